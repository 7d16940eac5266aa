"use strict";

// What every part of the page uses: elements, texts, numbers. Nothing here knows of releases.
//
// A text of the audit reaches the page only as a text node or the value of an attribute. The page's policy asks for trusted
// types and allows none, so that the browser itself refuses every other way.

/** Characters that steer or hide instead of being seen, as `report::visible` of chartgate knows them. */
const HIDDEN =
  /[\0-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ufff9-\ufffb\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}]/gu;

/** The text with a sign in the place of each character that would hide or turn others. */
function visible(text) {
  return String(text).replace(HIDDEN, (hidden, at, whole) => {
    const joins = isJoiner(hidden.charCodeAt(0)) && shapes(whole.charCodeAt(at - 1)) && shapes(whole.charCodeAt(at + 1));
    return joins ? hidden : "\ufffd";
  });
}

function isJoiner(unit) {
  return unit === 0x200c || unit === 0x200d;
}

/** Whether a joiner may change the character that this is a unit of. NaN is none. */
function shapes(unit) {
  return unit >= 0x600 && !isJoiner(unit);
}

/**
 * An element. Of `attributes`, `on` holds listeners by event; those that are null or false are left out, and true is an
 * attribute without a value. Children are nodes, or texts.
 */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? "" : visible(value));
    }
  }
  add(made, children);
  return made;
}

function add(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : visible(child));
  }
}

/** Puts children in the place of those that an element has. */
function fill(parent, ...children) {
  parent.textContent = "";
  add(parent, children);
}

function byId(id) {
  return document.getElementById(id);
}

/** `1 release`, `2,140 releases` */
function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function number(count) {
  return count.toLocaleString("en");
}

/** A share in whole percent, where only nothing is 0 % and only all is 100 %. */
function percent(part, all) {
  if (part === 0 || all === 0) return "0 %";
  if (part === all) return "100 %";
  return `${Math.min(99, Math.max(1, Math.round((100 * part) / all)))} %`;
}

function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `2026-03-01T10:20:30Z` as `2026-03-01 10:20 UTC`; what is no such time stays as it is. */
function moment(time) {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?Z$/.exec(time);
  return parts ? `${parts[1]} ${parts[2]} UTC` : time;
}

/** A text as one word of a shell command. */
function word(text) {
  return /^[A-Za-z0-9_.-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** By the order of code points, which is that of `kubectl get`. */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A button that copies a text, and says that it did. */
function copyButton(text, label) {
  const button = element("button", { type: "button", class: "copy", "aria-label": label, on: { click: copy } }, "Copy");
  async function copy() {
    const isCopied = await toClipboard(text);
    button.textContent = isCopied ? "Copied" : "Select and copy";
    byId("said").textContent = isCopied ? "Copied" : "The browser does not allow it: select the text and copy it";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  return button;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not every browser takes a page that was opened from a file for a safe one.
    const area = element("textarea", { class: "sr", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    return isCopied;
  }
}

/** A text to copy as it is: a command, a patch. */
function snippet(text, label) {
  return element(
    "div",
    { class: "snippet" },
    element("pre", { tabindex: "0", "aria-label": label }, element("code", {}, text)),
    copyButton(text, `Copy: ${label}`),
  );
}
