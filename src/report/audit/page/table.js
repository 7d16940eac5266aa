// The table of releases. Of thousands, only the rows that are seen are in the document; each has its place by its number.

/** Rows above and below what is seen, so that scrolling does not show a gap. */
const SPARE = 8;

const table = { rows: [], made: new Map(), current: 0, rowHeight: 36 };

function prepareTable() {
  fill(byId("columns"), COLUMNS.map(columnHead));
  fill(byId("sort"), COLUMNS.map(({ id, name }) => element("option", { value: id }, name)));
  byId("sort").addEventListener("change", (event) => go({ sort: event.target.value }));
  byId("rows").addEventListener("click", (event) => {
    const row = rowOf(event.target);
    if (row === null || !getSelection().isCollapsed) return;
    table.current = row;
    open(table.rows[row].id);
  });
  byId("rows").addEventListener("keydown", onRowKey);
  byId("rows").addEventListener("focusin", (event) => {
    const row = rowOf(event.target);
    if (row !== null) setCurrent(row);
  });
  let isDue = false;
  const later = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      drawRows();
    });
  };
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  // A card on a narrow screen, a line on a wide one.
  matchMedia("(max-width: 720px)").addEventListener("change", () => showTable(table.rows));
  new ResizeObserver(([entry]) => {
    document.documentElement.style.setProperty("--bar-height", `${entry.target.offsetHeight}px`);
  }).observe(byId("toolbar"));
}

function columnHead({ id, name }) {
  const sort = () => go({ sort: state.sort === id ? `-${id}` : id });
  return element(
    "th",
    { role: "columnheader", scope: "col", class: `cell-${id}`, "data-column": id },
    element("button", { type: "button", "data-key": `sort\n${id}`, on: { click: sort } }, name),
  );
}

function showTable(rows) {
  const isOther = rows.length !== table.rows.length || rows.some((row, index) => row !== table.rows[index]);
  const body = byId("rows");
  const hadFocus = body.contains(document.activeElement);
  table.rows = rows;
  table.rowHeight = parseFloat(getComputedStyle(byId("table")).getPropertyValue("--row"));
  if (isOther) {
    const at = rows.findIndex((row) => row.id === state.open);
    table.current = Math.max(0, at);
    stayAtTop();
  }
  for (const line of table.made.values()) line.remove();
  table.made.clear();
  body.style.height = `${rows.length * table.rowHeight}px`;
  byId("table").setAttribute("aria-rowcount", rows.length + 1);
  byId("table").hidden = rows.length === 0;
  byId("empty").hidden = rows.length > 0 || ROWS.length === 0;
  for (const head of byId("columns").children) {
    const isBy = state.sort.replace("-", "") === head.dataset.column;
    head.setAttribute("aria-sort", isBy ? (state.sort.startsWith("-") ? "descending" : "ascending") : "none");
  }
  byId("sort").value = state.sort.replace("-", "");
  drawRows();
  if (hadFocus && rows.length > 0) focusRow(table.current);
}

/** Other rows begin at the first: whoever has scrolled into the old ones is led back. */
function stayAtTop() {
  const top = byId("toolbar").getBoundingClientRect();
  const start = byId("split").getBoundingClientRect().top;
  if (top.top <= 0 && start < top.bottom) scrollBy({ top: start - top.bottom, behavior: "instant" });
}

/** Makes the rows that are seen, and drops the others. */
function drawRows() {
  const { rows, made, rowHeight } = table;
  const body = byId("rows");
  const top = body.getBoundingClientRect().top;
  // Never none, so that the keyboard finds a row wherever the page is scrolled to.
  const first = Math.max(0, Math.min(rows.length - SPARE, Math.floor(-top / rowHeight) - SPARE));
  const last = Math.min(rows.length, Math.max(first, Math.ceil((innerHeight - top) / rowHeight)) + SPARE);
  for (const [index, line] of made) {
    // To drop the row that has the focus would send the keyboard back to the start of the page.
    if ((index < first || index >= last) && !line.contains(document.activeElement)) {
      line.remove();
      made.delete(index);
    }
  }
  for (let index = first; index < last; index += 1) {
    if (made.has(index)) continue;
    const line = makeLine(rows[index], index);
    made.set(index, line);
    body.append(line);
  }
  if (rows.length > 0 && !made.has(table.current)) setCurrent(Math.min(first, rows.length - 1));
}

function makeLine(row, index) {
  const line = element(
    "tr",
    {
      role: "row",
      class: "row",
      tabindex: index === table.current ? "0" : "-1",
      "aria-rowindex": index + 2,
      "aria-selected": String(row.id === state.open),
      "data-index": index,
    },
    cells(row).map(([id, ...content]) => element("td", { role: "gridcell", class: `cell-${id}` }, ...content)),
  );
  line.style.transform = `translateY(${index * table.rowHeight}px)`;
  return line;
}

function cells(row) {
  const { namespace, name, version, source, phase, applier, enforced } = row.release;
  return [
    ["namespace", namespace],
    ["name", name],
    ["version", version],
    ["source", SOURCES.find((it) => it.id === source).name],
    ["phase", phaseBadge(phase)],
    ["applier", applier?.manager ?? element("span", { class: "faint" }, "unknown")],
    ["findings", findingCounts(row)],
    ["outcome", outcomeBadge(enforced.outcome), row.edit && editMark()],
  ];
}

function phaseBadge(id) {
  const phase = PHASES.find((it) => it.id === id);
  return element(
    "span",
    { class: "badge", "data-phase": id, title: WORDS.phases[id] },
    element("i", { class: "swatch", "aria-hidden": "true" }),
    element("b", {}, id),
    phase.hint && element("span", { class: "hint" }, ` ${phase.hint}`),
  );
}

function outcomeBadge(id) {
  const outcome = OUTCOMES.find((it) => it.id === id);
  return element("span", { class: "badge", "data-outcome": id }, sign(outcome), outcome.name.toLowerCase());
}

function editMark() {
  return element("span", { class: "edit", title: "chartgate denies every change of its spec" }, "✕ on change");
}

function findingCounts(row) {
  const there = LEVELS.filter(({ id }) => row.count[id] > 0);
  if (there.length === 0) return element("span", { class: "faint" }, "none");
  return there.map((level) =>
    element(
      "span",
      { class: "level", "data-level": level.id, title: counted(row.count[level.id], level.name) },
      sign(level),
      element("span", { class: "sr" }, `${level.name}: `),
      number(row.count[level.id]),
      " ",
    ),
  );
}

function rowOf(target) {
  const line = target.closest("tr");
  return line ? Number(line.dataset.index) : null;
}

/** Makes a row the one that the Tab key leads to. */
function setCurrent(index) {
  table.made.get(table.current)?.setAttribute("tabindex", "-1");
  table.current = index;
  table.made.get(index)?.setAttribute("tabindex", "0");
}

function focusRow(index) {
  if (table.rows.length === 0) return;
  const at = Math.max(0, Math.min(table.rows.length - 1, index));
  reveal(at);
  table.made.get(at).focus({ preventScroll: true });
}

/** Scrolls no further than it must to have a row seen. */
function reveal(at) {
  const { rowHeight } = table;
  const top = byId("rows").getBoundingClientRect().top + at * rowHeight;
  const ceiling = byId("columns").getBoundingClientRect().bottom;
  if (top < ceiling) scrollBy({ top: Math.floor(top - ceiling), behavior: "instant" });
  else if (top + rowHeight > innerHeight) scrollBy({ top: Math.ceil(top + rowHeight - innerHeight), behavior: "instant" });
  setCurrent(at);
  drawRows();
}

function onRowKey(event) {
  const index = rowOf(event.target);
  if (index === null || event.ctrlKey || event.metaKey || event.altKey) return;
  const page = Math.max(1, Math.floor(innerHeight / table.rowHeight) - 6);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (event.key in steps) {
    focusRow(index + steps[event.key]);
    // Beside an open release the arrows lead from one to the next.
    if (state.open && !isNarrow()) go({ open: table.rows[table.current].id }, false);
  } else if (event.key === "Enter" || event.key === " ") {
    open(table.rows[index].id);
  } else {
    return;
  }
  event.preventDefault();
}

/** `error: a, b; warning: c` */
function printedFindings({ release }) {
  const told = LEVELS.map(({ id, name }) => {
    const rules = new Set(release.findings.filter((it) => it.level === id).map((it) => it.rule));
    return rules.size > 0 && `${name}: ${[...rules].join(", ")}`;
  });
  return told.filter(Boolean).join("; ");
}

/** All the rows as a plain table, for paper: there is no scrolling there. */
function printTable() {
  const filters = activeFilters().map(({ name, value }) => `${name} ${value}`);
  const told = filters.length > 0 ? `filtered by ${filters.join(", ")}` : "all of them";
  const line = (row) => {
    const texts = cells(row).map(([id, ...content]) => (id === "findings" ? printedFindings(row) : content));
    return element("tr", {}, texts.map((content) => element("td", {}, content)));
  };
  fill(
    byId("printed"),
    element("p", {}, `${counted(table.rows.length, "release")}, ${told}`),
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, COLUMNS.map(({ name }) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, table.rows.map(line)),
    ),
  );
}
