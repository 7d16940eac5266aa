// Brings the parts together: what stands still is written once, everything else whenever the state is another one.

/** The facets that the toolbar has a select for, with the names of their values. */
const SELECTS = {
  namespace: distinct((row) => [row.release.namespace]).map((it) => [it, it]),
  rule: distinct((row) => row.release.findings.map(({ rule }) => rule)).map((it) => [it, it]),
  level: LEVELS.map(({ id, name }) => [id, name]),
  phase: PHASES.toReversed().map((phase) => [phase.id, phaseName(phase)]),
  outcome: OUTCOMES.map(({ id, name }) => [id, name.toLowerCase()]),
};

function distinct(values) {
  return [...new Set(ROWS.flatMap(values))].sort(compare);
}

function start() {
  prepareMasthead();
  prepareToolbar();
  prepareTable();
  byId("skip").addEventListener("click", () => focusRow(table.current));
  byId("reset").addEventListener("click", showEverything);
  addEventListener("popstate", () => {
    state = readAddress();
    show();
  });
  addEventListener("keydown", onKey);
  addEventListener("beforeprint", printTable);
  addEventListener("afterprint", () => fill(byId("printed")));
  matchMedia("(max-width: 900px)").addEventListener("change", showDetail);
  byId("page").hidden = false;
  show();
  if (!byId("detail").hidden && !isNarrow()) {
    // Who was sent the address of a release shall see it.
    byId("releases-title").scrollIntoView();
    const at = table.rows.indexOf(shownDetail);
    if (at >= 0) reveal(at);
  }
}

/** What was selected last, and what it was asked by: to open a release changes neither. */
let selected = { by: null, rows: [] };

/** Shows what the state asks for. */
function show() {
  const focused = document.activeElement?.dataset.key;
  const by = address({ ...state, open: "" });
  if (selected.by !== by) {
    const { rows, counts } = select(state);
    selected = { by, rows, counts };
    showOverview(counts, rows);
    showToolbar(rows);
  }
  showDetail();
  showTable(selected.rows);
  if (focused !== undefined) {
    [...document.querySelectorAll("[data-key]")].find((it) => it.dataset.key === focused)?.focus({ preventScroll: true });
  }
}

function prepareMasthead() {
  const { cluster, takenAt, served, tool, missing, since } = AUDIT;
  fill(byId("cluster"), cluster || "HelmReleases");
  const about = [
    ["Taken", element("time", { datetime: takenAt }, moment(takenAt))],
    ["Releases", number(ROWS.length)],
    ["Served", served.join(", ")],
  ];
  fill(
    byId("about"),
    about.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text))),
  );
  fill(byId("tool"), `${tool.name} ${tool.version}. This file holds all that it shows; it asks no network for anything.`);
  byId("missing").hidden = missing.length === 0;
  fill(byId("missing").querySelector("ul"), missing.map((line) => element("li", {}, line)));
  if (since) prepareSince(since);
}

function prepareSince({ takenAt, gone }) {
  byId("since").hidden = false;
  fill(byId("since-caption"), `What is other than at ${moment(takenAt)}.`);
  byId("gone").hidden = gone.length === 0;
  fill(byId("gone").querySelector("summary"), `${counted(gone.length, "release")} gone`);
  fill(byId("gone").querySelector("ul"), gone.map(({ namespace, name }) => element("li", {}, `${namespace}/${name}`)));
}

function prepareToolbar() {
  byId("toolbar").addEventListener("submit", (event) => event.preventDefault());
  byId("search").addEventListener("input", (event) => go({ q: event.target.value }, false));
  for (const [facet, values] of Object.entries(SELECTS)) {
    const options = values.map(([value, name]) => element("option", { value }, name));
    fill(byId(`filter-${facet}`), element("option", { value: "" }, "All"), options);
    byId(`filter-${facet}`).addEventListener("change", (event) => go({ [facet]: event.target.value }));
  }
}

function showToolbar(rows) {
  if (byId("search").value !== state.q) byId("search").value = state.q;
  for (const facet of Object.keys(SELECTS)) {
    const choice = byId(`filter-${facet}`);
    // A shared view may ask for what this audit does not have.
    if (![...choice.options].some((option) => option.value === state[facet])) {
      choice.append(element("option", { value: state[facet] }, state[facet]));
    }
    choice.value = state[facet];
    choice.classList.toggle("is-set", state[facet] !== "");
  }
  const all = counted(ROWS.length, "release");
  const count = rows.length === ROWS.length ? all : `${number(rows.length)} of ${all}`;
  // A text that is written again is read out again.
  if (byId("count").textContent !== count) fill(byId("count"), count);
  fill(
    byId("active"),
    activeFilters().map(({ facet, name, value }) =>
      element(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-label": `No filter by ${name} ${value}`,
          on: { click: () => go({ [facet]: "" }) },
        },
        `${name}: `,
        element("b", {}, value),
        " ×",
      ),
    ),
  );
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.closest("input, select, textarea") !== null;
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    byId("search").focus();
    byId("search").select();
  } else if (event.key === "Escape") {
    if (event.target === byId("search") && state.q) go({ q: "" }, false);
    else if (state.open) close();
    else if (isTyping) event.target.blur();
  }
}

start();
