// Elements from data: made by `h`, brought up to date by `render`, which keeps what is there already. Text is only ever text.

const ON = Symbol("listeners");
const KEEPS = Symbol("keeps its children");
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

/** @param {Node} node @param {Child[]} children */
function append(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(node, child);
    else if (child instanceof Node) node.appendChild(child);
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
 * Marks an element whose children are its own affair: `render` leaves them.
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

/** @param {Node} parent @param {Node} wanted */
function morphChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = keyOf(child);
    if (key !== null) keyed.set(key, child);
  }
  /** @type {ChildNode | null} */
  let at = parent.firstChild;
  for (const next of [...wanted.childNodes]) {
    const key = keyOf(next);
    const known = key === null ? at : (keyed.get(key) ?? null);
    if (known && isAlike(known, next)) {
      if (known === at) at = /** @type {ChildNode} */ (known).nextSibling;
      else parent.insertBefore(known, at);
      morph(known, next);
    } else parent.insertBefore(next, at);
  }
  while (at) {
    const next = at.nextSibling;
    parent.removeChild(at);
    at = next;
  }
}

/** @param {Node} known @param {Node} next */
const isAlike = (known, next) => known.nodeName === next.nodeName && keyOf(known) === keyOf(next);

/** @param {any} known @param {any} next */
function morph(known, next) {
  if (known === next) return;
  if (known.nodeType === Node.TEXT_NODE) {
    if (known.data !== next.data) known.data = next.data;
    return;
  }
  // What a person has opened or closed stays so.
  const isTheirs = (/** @type {string} */ name) => name === "open" && known.nodeName === "DETAILS";
  for (const { name, value } of next.attributes) {
    if (known.getAttribute(name) === value || isTheirs(name)) continue;
    // The content security policy takes a style as properties alone.
    if (name === "style") known.style.cssText = next.style.cssText;
    else known.setAttribute(name, value);
  }
  for (const { name } of [...known.attributes]) if (!next.hasAttribute(name) && !isTheirs(name)) known.removeAttribute(name);
  known[ON] = next[ON];
  for (const type of Object.keys(next[ON] ?? {})) known.addEventListener(type, dispatch);
  if (known.nodeName === "INPUT" && next.type === "checkbox") known.checked = next.hasAttribute("checked");
  else if (known.nodeName === "INPUT" && known !== document.activeElement) known.value = next.getAttribute("value") ?? known.value;
  if (known[KEEPS] || next[KEEPS]) return;
  if (known.nodeName === "TEXTAREA") return;
  morphChildren(known, next);
}
