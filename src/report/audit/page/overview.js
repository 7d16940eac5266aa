// The overview: how far the migration is, and where what was found is. Every bar is a filter, and shows what it leads to.

/** How many namespaces are shown before all are asked for. */
const FEW = 8;
let showsAllNamespaces = false;

function showOverview(counts, shown) {
  showHeadline(counts.phase);
  showFilterNote(shown);
  showPhases(counts.phase);
  showChips("sources", "source", SOURCES, counts.source);
  showOutcomes("outcomes", "outcome", OUTCOMES, counts.outcome, WORDS.outcomes);
  showOutcomes("edits", "edit", EDITS, counts.edit, { denied: "chartgate denies every change of its spec until the finding is gone" });
  showChips("levels", "level", LEVELS, counts.level);
  showRules(counts.rule);
  showSplit("namespaces", "namespace", counts, byWork);
  showSplit("versions", "version", counts, (a, b) => compare(a.value, b.value));
  showChanges(counts.change);
}

function total(counts) {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

function showHeadline(phases) {
  const all = total(phases);
  const moved = phases.get("2") ?? 0;
  if (all === 0) {
    fill(byId("headline"), ROWS.length === 0 ? "The cluster holds no HelmRelease" : "No HelmRelease is like that");
    return;
  }
  const verb = all === 1 ? "has" : "have";
  const inline = ROWS.some((row) => row.release.source === "inline") ? "or an inline OCIRepository " : "";
  fill(
    byId("headline"),
    element("strong", {}, `${number(moved)} of ${number(all)}`),
    ` ${all === 1 ? "HelmRelease" : "HelmReleases"} ${verb} moved to spec.chartRef ${inline}`,
    element("span", { class: "share" }, percent(moved, all)),
  );
}

function showFilterNote(shown) {
  const filters = activeFilters();
  byId("filter-note").hidden = filters.length === 0;
  fill(
    byId("filter-note"),
    `Filtered by ${filters.map(({ name, value }) => `${name} ${value}`).join(", ")}: ${counted(shown.length, "release")}. `,
    element("button", { type: "button", class: "link", on: { click: showEverything } }, "Show all"),
  );
}

/** What the releases are filtered by, in words. */
function activeFilters() {
  const filters = [];
  for (const [facet, { name }] of Object.entries(FACETS)) {
    if (state[facet]) filters.push({ facet, name, value: nameOf(facet, state[facet]) });
  }
  if (state.q) filters.push({ facet: "q", name: "text", value: `“${state.q}”` });
  return filters;
}

function nameOf(facet, value) {
  const known = { phase: PHASES, outcome: OUTCOMES, edit: EDITS, source: SOURCES, change: CHANGES }[facet];
  const entry = known?.find((it) => it.id === value);
  if (!entry) return value;
  return facet === "phase" ? phaseName(entry) : entry.name.toLowerCase();
}

function phaseName({ id, hint }) {
  return hint ? `${id} (${hint})` : id;
}

function showEverything() {
  go({ ...DEFAULTS, sort: state.sort, open: state.open });
}

function showPhases(counts) {
  const all = total(counts);
  fill(byId("progress"), PHASES.map(({ id }) => segment(id, counts.get(id) ?? 0, () => toggle("phase", id))));
  fill(
    byId("phases"),
    PHASES.map((phase) => {
      const count = counts.get(phase.id) ?? 0;
      return filterButton(
        "phase",
        phase.id,
        { class: "tile", "data-phase": phase.id },
        element("span", { class: "tile-head" }, element("i", { class: "swatch", "aria-hidden": "true" }), phase.name),
        element("span", { class: "tile-count" }, number(count), element("small", {}, percent(count, all))),
        element(
          "span",
          { class: "tile-note" },
          phase.id === "broken" ? capitalised(WORDS.phases.broken) : `Phase ${phase.id}: ${WORDS.phases[phase.id]}`,
        ),
      );
    }),
  );
}

/** A part of a bar; as wide as its count, and never too narrow to be seen. */
function segment(phase, count, onClick) {
  if (count === 0) return null;
  const part = element("i", { class: "segment", "data-phase": phase, on: onClick ? { click: onClick } : {} });
  part.style.flexGrow = count;
  return part;
}

/** A button that filters by a value of a facet, and no more when it is pressed again. */
function filterButton(facet, value, attributes, ...children) {
  return element(
    "button",
    {
      type: "button",
      "aria-pressed": String(state[facet] === value),
      "data-key": `${facet}\n${value}`,
      "data-facet": facet,
      "data-value": value,
      ...attributes,
      on: { click: () => toggle(facet, value) },
    },
    ...children,
  );
}

function showChips(id, facet, entries, counts) {
  const there = entries.filter((entry) => counts.get(entry.id) || state[facet] === entry.id);
  fill(
    byId(id),
    there.map((entry) =>
      filterButton(
        facet,
        entry.id,
        { class: "chip", [`data-${facet}`]: entry.id },
        entry.sign && sign(entry),
        `${entry.name} `,
        element("b", {}, number(counts.get(entry.id) ?? 0)),
      ),
    ),
  );
}

/** A sign beside a word, which says the same to those who do not see it. */
function sign(entry) {
  return element("i", { class: "sign", "aria-hidden": "true" }, entry.sign);
}

/** One bar of a card. `parts` are its segments, each a count and the attributes that colour it. */
function bar(facet, value, { label, note, title, figure, share, parts }) {
  const track = element("span", { class: "track", "aria-hidden": "true" });
  const filled = element("span", { class: "filled" });
  filled.style.width = `${100 * share}%`;
  for (const [count, attributes] of parts) {
    if (count === 0) continue;
    const part = element("i", { class: "segment", ...attributes });
    part.style.flexGrow = count;
    filled.append(part);
  }
  track.append(filled);
  return filterButton(
    facet,
    value,
    { class: "bar", title },
    element("span", { class: "bar-label" }, label),
    element("span", { class: "bar-figure" }, figure),
    track,
    note && element("span", { class: "bar-note" }, note),
  );
}

function showOutcomes(id, facet, outcomes, counts, meanings) {
  const most = Math.max(1, total(counts));
  const there = outcomes.filter((outcome) => counts.get(outcome.id) || state[facet] === outcome.id);
  fill(
    byId(id),
    there.map((outcome) => {
      const count = counts.get(outcome.id) ?? 0;
      return bar(facet, outcome.id, {
        label: element("span", { class: "outcome", "data-outcome": outcome.id }, sign(outcome), outcome.name),
        note: meanings[outcome.id],
        figure: number(count),
        share: count / most,
        parts: [[count, { "data-outcome": outcome.id }]],
      });
    }),
    there.length === 0 && nothing("None."),
  );
}

function showRules(counts) {
  if (state.rule && !counts.has(state.rule)) counts.set(state.rule, { error: 0, warning: 0, note: 0 });
  const sum = (count) => count.error + count.warning + count.note;
  const most = Math.max(1, ...[...counts.values()].map(sum));
  const rules = [...counts].sort(([a, x], [b, y]) => y.error - x.error || sum(y) - sum(x) || compare(a, b));
  fill(
    byId("rules"),
    rules.map(([rule, count]) => {
      const worst = LEVELS.find(({ id }) => count[id] > 0) ?? LEVELS[2];
      return bar("rule", rule, {
        label: [element("span", { "data-level": worst.id, class: "level" }, sign(worst)), rule],
        title: WORDS.rules[rule],
        figure: number(sum(count)),
        share: sum(count) / most,
        parts: LEVELS.map(({ id }) => [count[id], { "data-level": id }]),
      });
    }),
    rules.length === 0 && nothing("No rule found anything."),
  );
}

function nothing(text = "Nothing.") {
  return element("p", { class: "nothing" }, text);
}

/** Those with most left to move first. */
function byWork(a, b) {
  return b.all - b.moved - (a.all - a.moved) || b.all - a.all || compare(a.value, b.value);
}

/** A bar for each value of a facet, split by phase. */
function showSplit(id, facet, counts, order) {
  const entries = [...counts[facet]].map(([value, all]) => {
    const phases = counts.moved.get(`${facet}\n${value}`);
    return { value, all, phases, moved: phases.get("2") ?? 0 };
  });
  if (state[facet] && !counts[facet].has(state[facet])) {
    entries.push({ value: state[facet], all: 0, phases: new Map(), moved: 0 });
  }
  entries.sort(order);
  const isLong = facet === "namespace" && entries.length > FEW + 2;
  const few = entries.filter((entry, index) => index < FEW || entry.value === state[facet]);
  const most = Math.max(1, ...entries.map((entry) => entry.all));
  fill(
    byId(id),
    (isLong && !showsAllNamespaces ? few : entries).map(({ value, all, phases, moved }) =>
      bar(facet, value, {
        label: value || "(none)",
        figure: [`${number(moved)} `, element("small", {}, `of ${number(all)}`)],
        share: all / most,
        parts: PHASES.map((phase) => [phases.get(phase.id) ?? 0, { "data-phase": phase.id }]),
      }),
    ),
    isLong &&
      element(
        "button",
        { type: "button", class: "link", on: { click: toggleNamespaces } },
        showsAllNamespaces ? "Show fewer" : `Show all ${number(entries.length)} namespaces`,
      ),
    entries.length === 0 && nothing(),
  );
}

function toggleNamespaces() {
  showsAllNamespaces = !showsAllNamespaces;
  showOverview(selected.counts, selected.rows);
  byId("namespaces").querySelector(":scope > .link").focus();
}

function showChanges(counts) {
  if (!AUDIT.since) return;
  const most = Math.max(1, ...counts.values());
  const there = CHANGES.filter(({ id }) => counts.get(id) || state.change === id);
  fill(
    byId("changes"),
    there.map(({ id, name }) => {
      const count = counts.get(id) ?? 0;
      const share = count / most;
      return bar("change", id, { label: name, figure: number(count), share, parts: [[count, { "data-change": id }]] });
    }),
    there.length === 0 && nothing("None of these releases changed."),
  );
}
