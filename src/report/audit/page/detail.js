// One release: what to do next, what enforcing would do to it, what was found, and who owns which field.

let shownDetail = null;

/** Opens a release and leads the keyboard into it. */
function open(id) {
  go({ open: id });
  byId("detail-title")?.focus();
}

/** Closes it and leads the keyboard back to its row. */
function close() {
  const at = table.rows.findIndex((row) => row.id === state.open);
  const hadFocus = byId("detail").contains(document.activeElement) || document.activeElement === document.body;
  go({ open: "" });
  if (hadFocus && at >= 0) focusRow(at);
}

function isNarrow() {
  return matchMedia("(max-width: 900px)").matches;
}

function showDetail() {
  const row = ROWS_BY_ID.get(state.open) ?? null;
  if (row !== shownDetail) {
    shownDetail = row;
    fill(byId("detail"), row && detailOf(row));
    byId("detail").scrollTop = 0;
  }
  byId("detail").hidden = row === null;
  byId("split").classList.toggle("is-split", row !== null);
  if (row) showNeighbours(row);
  // On a narrow screen it covers the page, which then must not be reached behind it.
  const isSheet = row !== null && isNarrow();
  document.documentElement.classList.toggle("has-sheet", isSheet);
  for (const behind of document.querySelectorAll(
    ".skip, .masthead, .notice, .migration, .cards, .releases > h2, .toolbar, .found, .table-frame, footer",
  )) {
    behind.inert = isSheet;
  }
}

function detailOf(row) {
  const { release } = row;
  return [
    element(
      "header",
      { class: "detail-head" },
      element(
        "div",
        { class: "detail-nav" },
        element("button", { type: "button", id: "previous", on: { click: () => step(-1) } }, "← Previous"),
        element("button", { type: "button", id: "next", on: { click: () => step(1) } }, "Next →"),
        element("button", { type: "button", id: "close", "aria-keyshortcuts": "Escape", on: { click: close } }, "Close"),
      ),
      element(
        "h2",
        { id: "detail-title", tabindex: "-1" },
        element("span", { class: "detail-namespace" }, `${release.namespace}/`),
        release.name,
      ),
      element("p", { class: "badges" }, phaseBadge(release.phase), outcomeBadge(release.enforced.outcome), row.edit && editMark()),
      facts(row),
    ),
    part("What to do next", nextSteps(release)),
    part("If chartgate enforced", enforcedPart(row)),
    part("Findings", findingsPart(release.findings)),
    part("Field owners", ownersPart(release)),
    part("See for yourself", lookUp(release)),
  ];
}

function part(title, ...content) {
  return element("section", { class: "part" }, element("h3", {}, title), ...content);
}

function facts({ changes, release }) {
  const { version, source, mode, applier, kustomization, phase } = release;
  const applied = applier
    ? `${applier.manager}, ${applier.operation === "Apply" ? "server-side apply" : "update"} at ${applier.version}`
    : "not told by managedFields";
  const list = [
    ["Phase", phase === "broken" ? WORDS.phases[phase] : `${phase}, ${WORDS.phases[phase]}`],
    ["API", `helm.toolkit.fluxcd.io/${version}`],
    ["Chart from", SOURCES.find((it) => it.id === source).name],
    ["Applied by", applied],
    ["Kustomization", kustomization],
    ["Mode now", mode],
    ["Since then", changes && [...changes].map(([id, list]) => changed(id, list)).join("; ")],
  ];
  return element(
    "dl",
    { class: "facts" },
    list.filter(([, text]) => text).map(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]),
  );
}

/** What happened to a release since the earlier audit, in words. */
function changed(id, list) {
  const names = list.map((it) => it.rule ?? it.from).join(", ");
  const words = { new: "new", moved: `was in phase ${names}`, appeared: `new finding of ${names}`, solved: `no more ${names}` };
  return words[id];
}

/** The way to the release before or after, in the order of the table. */
function step(by) {
  const at = table.rows.findIndex((row) => row.id === state.open);
  const row = table.rows[at < 0 ? 0 : at + by];
  if (!row) return;
  go({ open: row.id }, false);
  if (!isNarrow()) reveal(table.rows.indexOf(row));
  byId(by < 0 ? "previous" : "next").focus();
}

function showNeighbours(row) {
  const at = selected.rows.indexOf(row);
  byId("previous").disabled = at <= 0;
  byId("next").disabled = at >= selected.rows.length - 1;
}

function nextSteps({ blockers, nextStep, phase, source, enforced }) {
  if (blockers.length > 0) {
    return element(
      "ol",
      { class: "steps" },
      // Most begin with the name of a manager, which stays as it is written.
      blockers.map(({ what, help }) => element("li", {}, element("p", { class: "what" }, stopped(what)), advice(help))),
    );
  }
  if (nextStep) return advice(nextStep);
  if (phase === "2" && !["refused", "denied"].includes(enforced.outcome)) {
    const moved = "Nothing: it has moved to spec.chartRef.";
    const inline = "Nothing: helm-controller makes its OCIRepository from spec.chart.";
    return element("p", {}, source === "inline" ? inline : moved);
  }
  if (enforced.outcome === "patched") {
    return element("p", {}, "Nothing by hand: once chartgate enforces, it puts this right at the next apply.");
  }
  return element("p", {}, "The findings say what to put right first.");
}

/** A text that tells what to do; a command in it stands on a line of its own, ready to be copied. */
function advice(text) {
  const commit = /^commit: /.exec(text);
  const said = commit ? text.slice(commit[0].length) : text;
  const command = /(?:^|: |; |run )(kubectl patch [^]*$|flux migrate(?: -f \.)?)/.exec(said)?.[1] ?? null;
  const words = command?.startsWith("kubectl") ? said.slice(0, said.length - command.length) : said;
  return element(
    "div",
    { class: "advice" },
    words.trim() &&
      element("p", {}, commit && element("span", { class: "tag" }, "Commit"), sentence(words.trim())),
    command && snippet(command, "command"),
  );
}

/** With a capital at its start and a full stop at its end, unless it begins with a name of something. */
function sentence(text) {
  const isWord = /^[a-z]+[ ,:]/.test(text) && !/^(kubectl|flux) /.test(text);
  return stopped(isWord ? capitalised(text) : text);
}

/** With a full stop at its end. */
function stopped(text) {
  return /[.:!?]$/.test(text) ? text : `${text}.`;
}

function enforcedPart({ edit, release }) {
  const { outcome, message, rules, patch, changes } = release.enforced;
  const denying = [...new Set(release.findings.filter((it) => it.denies).map((it) => it.rule))];
  return [
    element(
      "p",
      {},
      element("b", {}, "Next apply, unchanged: "),
      `${WORDS.outcomes[outcome]}.`,
      rules.length > 0 && [" Decided by ", ruleNames(rules), "."],
    ),
    edit && element("p", {}, element("b", {}, "Next change of its spec: "), "denied by ", ruleNames(denying), "."),
    message && element("pre", { class: "message", tabindex: "0", "aria-label": "the answer" }, message),
    patch && [diff(patch, changes ?? []), patchText(patch)],
  ];
}

function ruleNames(rules) {
  return rules.map((rule, index) => [index > 0 && ", ", element("code", {}, rule)]);
}

function patchText(patch) {
  return element(
    "details",
    {},
    element("summary", {}, `JSON Patch of ${counted(patch.length, "operation")}`),
    snippet(JSON.stringify(patch, null, 2), "JSON Patch"),
  );
}

function findingsPart(findings) {
  if (findings.length === 0) return element("p", {}, "The rules found nothing.");
  return findings.map((finding) => {
    const level = LEVELS.find((it) => it.id === finding.level);
    return element(
      "article",
      { class: "finding", "data-level": level.id },
      element(
        "h4",
        {},
        element("span", { class: "level", "data-level": level.id }, sign(level), level.name),
        " ",
        element("code", {}, finding.rule),
        finding.denies && element("span", { class: "tag", title: "enforcing denies every change of its spec" }, "denies"),
        finding.patched && element("span", { class: "tag", title: "chartgate puts it right" }, "patched"),
      ),
      finding.field && element("p", { class: "field" }, element("code", {}, finding.field)),
      element("p", { class: "what" }, sentence(finding.what)),
      element("dl", {}, element("dt", {}, "Why"), element("dd", {}, sentence(finding.why))),
      element("dl", {}, element("dt", {}, "How to fix"), element("dd", {}, advice(finding.help))),
    );
  });
}

/** Who owns which field below spec.chart and spec.chartRef: a manager, and below it its fields as a tree. */
function ownersPart({ owners, applier }) {
  if (owners.length === 0) {
    return element("p", {}, "managedFields name no owner of a field below spec.chart or spec.chartRef.");
  }
  return element(
    "ul",
    { class: "owners" },
    owners.map((owner) => {
      const applies =
        applier?.manager === owner.manager && (applier.operation === "Apply") === (owner.operation === "Apply");
      return element(
        "li",
        {},
        element(
          "p",
          { class: "owner" },
          element("b", {}, owner.manager),
          applies && element("span", { class: "tag" }, "applies it"),
          element("span", { class: "owner-how" }, `${owner.operation} at `),
          element("span", owner.version === "v2" ? {} : { class: "level", "data-level": "warning" }, owner.version),
          owner.time && element("time", { datetime: owner.time }, moment(owner.time)),
        ),
        tree(fieldTree(owner.fields)),
      );
    }),
  );
}

/** Dotted fields as nested maps; a chain without a fork is one node. */
function fieldTree(fields) {
  const root = new Map();
  for (const field of fields) {
    let node = root;
    for (const name of field.split(".")) node = node.get(name) ?? node.set(name, new Map()).get(name);
  }
  return root;
}

function tree(node) {
  return element(
    "ul",
    { class: "tree" },
    [...node].map(([start, below]) => {
      let name = start;
      let rest = below;
      while (rest.size === 1) {
        const [[next, deeper]] = rest;
        name += `.${next}`;
        rest = deeper;
      }
      return element("li", {}, element("code", {}, name), rest.size > 0 && tree(rest));
    }),
  );
}

function lookUp({ namespace, name, version }) {
  const command = `kubectl get helmreleases.${version}.helm.toolkit.fluxcd.io ${word(name)} -n ${word(namespace)} -o yaml --show-managed-fields`;
  return snippet(command, "command");
}
