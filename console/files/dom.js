// Elements from data: made by `h`, brought up to date by `render`, which keeps what is there already. Text is only ever text.

const ON = Symbol("listeners");
const KEEPS = Symbol("keeps its children");
/** On an element that stands for a kept one until `render` knows where that is. */
const SLOT = Symbol("stands for");
const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */
/** @typedef {Record<string, any>} Props attributes; `on` has the listeners, `key` tells an element from its neighbours */

/** @param {Event} event @this {any} */
function dispatch(event) {
  this[ON]?.[event.type]?.(event);
}

/** @param {Element} node @param {Props | null} props @param {Child[]} children */
function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      /** @type {any} */ (node)[ON] = value;
      for (const type of Object.keys(value)) node.addEventListener(type, dispatch);
    } else if (name === "key") node.setAttribute("data-key", value);
    else if (name === "style") for (const [property, of] of Object.entries(value)) /** @type {any} */ (node).style.setProperty(property, of);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

/** A place for a kept element, which itself is not taken out of the page. @param {Node} kept */
function slot(kept) {
  const node = document.createElement("slot");
  /** @type {any} */ (node)[SLOT] = kept;
  return node;
}

/** @param {Node} node @param {Child[]} children */
function append(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(node, child);
    else if (child instanceof Node) node.appendChild(/** @type {any} */ (child)[KEEPS] ? slot(child) : child);
    else if (child !== null && child !== undefined && child !== false) node.appendChild(document.createTextNode(String(child)));
  }
}

/**
 * An element of HTML.
 * @param {string} tag @param {Props | null} [props] @param {...Child} children
 * @returns {any}
 */
export function h(tag, props = null, ...children) {
  return fill(document.createElement(tag), props, children);
}

/**
 * An element of SVG.
 * @param {string} tag @param {Props | null} [props] @param {...Child} children
 * @returns {any}
 */
export function s(tag, props = null, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/**
 * Marks an element whose children are its own affair. `render` leaves it where it is, with its focus, selection and scrolling; elements around it
 * that come and go have keys.
 * @template {Element} T
 * @param {T} node
 * @returns {T}
 */
export function keep(node) {
  /** @type {any} */ (node)[KEEPS] = true;
  return node;
}

/**
 * Makes the children of `parent` equal to these, and leaves what is equal already: focus, selection and open details stay.
 * @param {Element} parent @param {...Child} children
 */
export function render(parent, ...children) {
  const wanted = document.createDocumentFragment();
  append(wanted, children);
  morphChildren(parent, wanted);
}

/** @param {Node} node */
const keyOf = (node) => (node instanceof Element ? node.getAttribute("data-key") : null);

/** What tells a node from its neighbours: the kept element, or a key. @param {any} node @returns {any} */
const nameOf = (node) => node[SLOT] ?? (node[KEEPS] ? node : keyOf(node));

/** @param {Node} parent @param {Node} wanted */
function morphChildren(parent, wanted) {
  const list = [...wanted.childNodes];
  const names = new Set(list.map(nameOf));
  const named = new Map();
  for (const child of [...parent.childNodes]) {
    const name = nameOf(child);
    if (name === null) continue;
    if (names.has(name)) named.set(name, child);
    else parent.removeChild(child);
  }
  /** @type {ChildNode | null} */
  let at = parent.firstChild;
  for (const next of list) {
    const name = nameOf(next);
    const known = name === null ? at : (named.get(name) ?? null);
    named.delete(name);
    if (!known || !isAlike(known, next)) {
      parent.insertBefore(filled(next), at);
      continue;
    }
    // What has no name and stands before it goes, so that it need not be moved: what is moved loses its focus and scrolling.
    while (at && at !== known && nameOf(at) === null) {
      const gone = at;
      at = at.nextSibling;
      parent.removeChild(gone);
    }
    if (known === at) at = /** @type {ChildNode} */ (known).nextSibling;
    else parent.insertBefore(known, at);
    morph(known, next);
  }
  while (at) {
    const next = at.nextSibling;
    parent.removeChild(at);
    at = next;
  }
}

/** A new node, with the kept elements in their places. @param {any} node @returns {Node} */
function filled(node) {
  if (node[SLOT]) return node[SLOT];
  if (node instanceof Element) for (const each of node.querySelectorAll("slot")) each.replaceWith(/** @type {any} */ (each)[SLOT]);
  return node;
}

/** @param {any} known @param {any} next */
function isAlike(known, next) {
  if (known[KEEPS] || next[SLOT]) return known === next[SLOT];
  if (known.nodeName !== next.nodeName || keyOf(known) !== keyOf(next)) return false;
  return known.nodeName !== "INPUT" || (known.type === next.type && known.name === next.name);
}

/** @param {any} known @param {any} next */
function morph(known, next) {
  if (next[SLOT]) return;
  if (known.nodeType === Node.TEXT_NODE) {
    if (known.data !== next.data) known.data = next.data;
    return;
  }
  // What a person has opened or closed stays so.
  const isTheirs = (/** @type {string} */ name) => name === "open" && known.nodeName === "DETAILS";
  // What a person has typed or chosen stays too, until the page wants something else than before.
  const isOther = (/** @type {string} */ name) => known.getAttribute(name) !== next.getAttribute(name);
  const [hasValue, hasCheck, hasChoice] = [isOther("value"), isOther("checked"), isOther("selected")];
  for (const { name, value } of next.attributes) {
    if (known.getAttribute(name) === value || isTheirs(name)) continue;
    // The content security policy takes a style as properties alone.
    if (name === "style") known.style.cssText = next.style.cssText;
    else known.setAttribute(name, value);
  }
  for (const { name } of [...known.attributes]) if (!next.hasAttribute(name) && !isTheirs(name)) known.removeAttribute(name);
  known[ON] = next[ON];
  for (const type of Object.keys(next[ON] ?? {})) known.addEventListener(type, dispatch);
  if (known.nodeName === "INPUT") {
    const value = next.getAttribute("value") ?? "";
    if (hasValue && known.type !== "checkbox" && known.value !== value) known.value = value;
    if (hasCheck) known.checked = next.hasAttribute("checked");
  }
  if (known.nodeName === "OPTION" && hasChoice && next.hasAttribute("selected")) known.selected = true;
  if (known.nodeName === "TEXTAREA") return;
  morphChildren(known, next);
}
