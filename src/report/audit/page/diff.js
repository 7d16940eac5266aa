// A patch as people read it: the changed fields as YAML, with what goes and what comes.

/** The changes of a JSON Patch. Those of `changes` belong to its operations, in their order. */
function diff(patch, changes) {
  const lines = [];
  let above = [];
  const operations = patch.filter(({ op }) => op === "add" || op === "replace" || op === "remove");
  for (const [index, { path }] of operations.entries()) {
    const { before, after } = changes[index] ?? {};
    const keys = path.split("/").slice(1).map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const parents = keys.slice(0, -1);
    let shared = 0;
    while (shared < parents.length && shared < above.length && parents[shared] === above[shared]) shared += 1;
    for (const [depth, key] of parents.entries()) {
      if (depth >= shared) lines.push([" ", `${"  ".repeat(depth)}${yamlKey(key)}:`]);
    }
    above = parents;
    const entry = (value) => yamlEntry(keys.at(-1) ?? "", value, parents.length);
    if (before !== undefined) for (const line of entry(before)) lines.push(["-", line]);
    if (after !== undefined) for (const line of entry(after)) lines.push(["+", line]);
  }
  const kinds = { " ": "same", "-": "minus", "+": "plus" };
  return element(
    "div",
    { class: "diff", role: "group", "aria-label": "What the patch changes", tabindex: "0" },
    lines.map(([mark, text]) => element("div", { class: kinds[mark] }, `${mark} ${text}`)),
  );
}

function yamlEntry(key, value, depth) {
  const lead = `${"  ".repeat(depth)}${yamlKey(key)}:`;
  return isBranch(value) ? [lead, ...yamlLines(value, depth + 1)] : [`${lead} ${yamlScalar(value)}`];
}

function yamlLines(value, depth) {
  if (!Array.isArray(value)) return Object.entries(value).flatMap(([key, below]) => yamlEntry(key, below, depth));
  return value.flatMap((item) => {
    const lines = isBranch(item) ? yamlLines(item, depth + 1) : [`${"  ".repeat(depth + 1)}${yamlScalar(item)}`];
    return [`${"  ".repeat(depth)}- ${lines[0].trimStart()}`, ...lines.slice(1)];
  });
}

/** Whether it takes lines of its own. */
function isBranch(value) {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}

function yamlKey(key) {
  return /^[\w./-]+$/.test(key) ? key : JSON.stringify(key);
}

/** A text stands bare only where no reader of YAML takes it for something else. */
function yamlScalar(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  const isBare = /^[A-Za-z_/][\w./@-]*$/.test(value) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(value);
  return isBare ? value : JSON.stringify(value);
}
