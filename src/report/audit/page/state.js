// What is looked at: the filters, the order, the open release. It is written to the address after `#`, so that a view can be
// shared, and the browser's way back leads through it.

const DEFAULTS = { q: "", sort: "namespace", open: "", ...Object.fromEntries(Object.keys(FACETS).map((it) => [it, ""])) };

let state = readAddress();

function readAddress() {
  const read = { ...DEFAULTS };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (Object.hasOwn(read, key)) read[key] = value;
  }
  if (!COLUMNS.some((column) => column.id === read.sort.replace(/^-/, ""))) read.sort = DEFAULTS.sort;
  return read;
}

function address(of) {
  const told = Object.entries(of).filter(([key, value]) => value !== DEFAULTS[key]);
  return `#${new URLSearchParams(told)}`;
}

/** Goes on to another view. `isStep` makes a step of it that the browser can take back. */
function go(changes, isStep = true) {
  const next = { ...state, ...changes };
  if (address(next) === address(state)) return;
  state = next;
  show();
  try {
    history[isStep ? "pushState" : "replaceState"](null, "", address(state));
  } catch {
    // Some browsers count how often the address changes, and refuse when somebody types fast. The next step writes it.
  }
}

/** Filters by a value, or no more if it is already. */
function toggle(facet, value) {
  go({ [facet]: state[facet] === value ? "" : value });
}
