// The audit as the page works with it: rows, what they can be filtered and sorted by, and which are shown.

const AUDIT = JSON.parse(byId("audit").textContent);
/** What phases, outcomes and rules mean, in the words of chartgate. */
const WORDS = JSON.parse(byId("words").textContent);

/** From what is done to what is to be put right. `hint` stands beside the id where there is room for one word. */
const PHASES = [
  { id: "2", name: "Moved", hint: "moved" },
  { id: "1", name: "Ready", hint: "ready" },
  { id: "1b", name: "Left behind", hint: "left behind" },
  { id: "0", name: "Old API", hint: "old API" },
  { id: "broken", name: "Broken", hint: "" },
];

const OUTCOMES = [
  { id: "refused", name: "Refused", sign: "⊘" },
  { id: "denied", name: "Denied", sign: "✕" },
  { id: "patched", name: "Patched", sign: "±" },
  { id: "warned", name: "Warned", sign: "!" },
  { id: "allowed", name: "Allowed", sign: "✓" },
  { id: "skipped", name: "Skipped", sign: "–" },
];

const LEVELS = [
  { id: "error", name: "error", sign: "✕" },
  { id: "warning", name: "warning", sign: "!" },
  { id: "note", name: "note", sign: "i" },
];

const SOURCES = [
  { id: "chart", name: "spec.chart" },
  { id: "chartRef", name: "spec.chartRef" },
  { id: "inline", name: "OCIRepository in spec.chart" },
  { id: "both", name: "both" },
  { id: "none", name: "neither" },
];

const CHANGES = [
  { id: "new", name: "New releases" },
  { id: "moved", name: "In another phase" },
  { id: "appeared", name: "With a new finding" },
  { id: "solved", name: "With a finding less" },
];

/** What a change of the spec would come to, where that is another matter than to apply it unchanged. */
const EDITS = [{ id: "denied", name: "Denied", sign: "✕" }];

/** What a release can be filtered by besides a text, in the order in which it is told. */
const FACETS = {
  namespace: { name: "namespace", of: (row) => row.release.namespace },
  phase: { name: "phase", of: (row) => row.release.phase },
  source: { name: "source", of: (row) => row.release.source },
  version: { name: "API version", of: (row) => row.release.version },
  outcome: { name: "next apply", of: (row) => row.release.enforced.outcome },
  edit: { name: "next change", of: (row) => row.edit },
  rule: { name: "rule", of: null },
  level: { name: "level", of: null },
  change: { name: "change", of: null },
};

/** `key` orders ascending; what is worth looking at first comes first. */
const COLUMNS = [
  { id: "namespace", name: "Namespace", key: (row) => row.release.namespace },
  { id: "name", name: "Name", key: (row) => row.release.name },
  { id: "version", name: "API", key: (row) => row.release.version },
  { id: "source", name: "Chart from", key: (row) => row.release.source },
  { id: "phase", name: "Phase", key: (row) => -row.phaseRank },
  { id: "applier", name: "Applied by", key: (row) => row.release.applier?.manager ?? "" },
  { id: "findings", name: "Findings", key: (row) => row.severity },
  { id: "outcome", name: "If enforced", key: (row) => row.outcomeRank * 2 + (row.edit ? 0 : 1) },
];

const ROWS = AUDIT.releases.map(makeRow);
const ROWS_BY_ID = new Map(ROWS.map((row) => [row.id, row]));
noteChanges();

function makeRow(release, index) {
  const { outcome } = release.enforced;
  const count = { error: 0, warning: 0, note: 0 };
  for (const finding of release.findings) count[finding.level] += 1;
  return {
    release,
    index,
    id: `${release.namespace}/${release.name}`,
    count,
    // Worst level first, then how many of it: a number that sorts.
    severity: -(count.error * 1e6 + count.warning * 1e3 + count.note),
    phaseRank: PHASES.findIndex((phase) => phase.id === release.phase),
    outcomeRank: OUTCOMES.findIndex((it) => it.id === outcome),
    // What is stored may be applied again as it is; its next change is judged in full, if it comes to that.
    edit: release.findings.some((it) => it.denies) && !["skipped", "refused"].includes(outcome) ? "denied" : "",
    changes: null,
    text: null,
  };
}

/** Tells each row what happened to it since the earlier audit. */
function noteChanges() {
  for (const { id } of CHANGES) {
    for (const change of AUDIT.since?.[id] ?? []) {
      const row = ROWS_BY_ID.get(`${change.namespace}/${change.name}`);
      if (row) (row.changes ??= new Map()).set(id, [...(row.changes.get(id) ?? []), change]);
    }
  }
}

/** What a search looks at. Made when it is first asked for: most pages are never searched. */
function searched(row) {
  if (row.text === null) {
    const { release } = row;
    const texts = [row.id, release.version, release.kustomization, release.applier?.manager];
    for (const owner of release.owners) texts.push(owner.manager);
    for (const finding of release.findings) texts.push(finding.rule, finding.field, finding.what);
    row.text = texts.join("\n").toLowerCase();
  }
  return row.text;
}

/** A level and a rule are asked of the same finding: a warning of one rule is no error of another. */
function hasFinding(row, rule, level) {
  if (!rule && !level) return true;
  return row.release.findings.some((it) => (!rule || it.rule === rule) && (!level || it.level === level));
}

/**
 * The rows that a state shows, and for each facet how many there would be of each of its values if only that facet were
 * left open. That is what the bars show: where a click leads.
 */
function select(state) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const asked = Object.keys(FACETS).filter((facet) => FACETS[facet].of && state[facet]);
  const counts = Object.fromEntries(Object.keys(FACETS).map((facet) => [facet, new Map()]));
  counts.moved = new Map();
  const shown = [];
  for (const row of ROWS) {
    if (words.length > 0 && !words.every((it) => searched(row).includes(it))) continue;
    const failed = asked.filter((facet) => FACETS[facet].of(row) !== state[facet]);
    if (!hasFinding(row, state.rule, state.level)) failed.push("finding");
    if (state.change && !row.changes?.has(state.change)) failed.push("change");
    if (failed.length > 1) continue;
    if (failed.length === 0) shown.push(row);
    tally(counts, row, state, failed[0]);
  }
  return { rows: sorted(shown, state.sort), counts };
}

/** Counts a row that fails at most one filter, for the facets that it is in the reach of. */
function tally(counts, row, state, failed) {
  const isOpen = (facet) => failed === undefined || failed === facet;
  const count = (facet, value) => counts[facet].set(value, (counts[facet].get(value) ?? 0) + 1);
  for (const facet of ["namespace", "phase", "source", "version", "outcome", "edit"]) {
    if (!isOpen(facet)) continue;
    const value = FACETS[facet].of(row);
    count(facet, value);
    if (facet === "namespace" || facet === "version") {
      const key = `${facet}\n${value}`;
      const phases = counts.moved.get(key) ?? counts.moved.set(key, new Map()).get(key);
      phases.set(row.release.phase, (phases.get(row.release.phase) ?? 0) + 1);
    }
  }
  if (isOpen("change")) for (const change of row.changes?.keys() ?? []) count("change", change);
  if (!isOpen("finding")) return;
  const levels = new Set();
  const rules = new Map();
  for (const { rule, level } of row.release.findings) {
    if (!state.rule || rule === state.rule) levels.add(level);
    if (state.level && level !== state.level) continue;
    const known = rules.get(rule);
    if (!known || rankOfLevel(level) < rankOfLevel(known)) rules.set(rule, level);
  }
  for (const level of levels) count("level", level);
  for (const [rule, level] of rules) {
    const known = counts.rule.get(rule) ?? counts.rule.set(rule, { error: 0, warning: 0, note: 0 }).get(rule);
    known[level] += 1;
  }
}

function rankOfLevel(level) {
  return LEVELS.findIndex((it) => it.id === level);
}

/** `column`, or `-column` for the other way round; ties stay in the order of namespace and name. */
function sorted(rows, sort) {
  const isDown = sort.startsWith("-");
  const column = COLUMNS.find((it) => it.id === sort.replace("-", ""));
  const keys = rows.map((row) => [column.key(row), row]);
  const sign = isDown ? -1 : 1;
  keys.sort(([a, x], [b, y]) => sign * compare(a, b) || x.index - y.index);
  return keys.map(([, row]) => row);
}
