// JSON while it is written: each piece of text is read once, and the tree so far can be shown at any moment.

/** @typedef {{ type: "object" | "array" | "string" | "number" | "literal", key: string | number | null, value: string, children: JsonNode[], isWhole: boolean }} JsonNode */

const ESCAPES = /** @type {Record<string, string>} */ ({ n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", "/": "/", "\\": "\\", '"': '"' });
const DEPTH_MAX = 200;
/** What a fence of Markdown consists of. */
const FENCE = "\x60";

/** A reader of JSON text in pieces. It stops at what is no JSON, and keeps the tree up to there. A fence of Markdown around it is skipped. */
export class PartialJson {
  /** @type {JsonNode | null} */
  root = null;
  /** Why the text is no JSON. @type {string | null} */
  error = null;
  isWhole = false;
  /** @type {JsonNode[]} */
  #stack = [];
  /** @type {"fence" | "value" | "key" | "colon" | "next" | "string" | "keyString" | "bare" | "end"} */
  #state = "fence";
  #escape = "";
  #key = "";
  #fence = "";
  /** @type {JsonNode | null} */
  #leaf = null;

  /** @param {string} text */
  push(text) {
    let at = 0;
    while (at < text.length && this.error === null && this.#state !== "end") {
      if ((this.#state === "string" || this.#state === "keyString") && this.#escape === "") at = this.#run(text, at);
      if (at < text.length) this.#char(text[at++]);
    }
  }

  /** Takes all of a string up to its next quote or escape at once. @param {string} text @param {number} at */
  #run(text, at) {
    let end = at;
    while (end < text.length && text[end] !== '"' && text[end] !== "\\") end += 1;
    this.#add(text.slice(at, end));
    return end;
  }

  /** @param {string} text */
  #add(text) {
    if (this.#state === "keyString") this.#key += text;
    else if (this.#leaf) this.#leaf.value += text;
  }

  /** @param {string} char */
  #char(char) {
    if (this.#state === "string" || this.#state === "keyString") return this.#inString(char);
    if (this.#state === "bare") {
      if (!/[\s,\]}:]/.test(char)) {
        this.#add(char);
        return;
      }
      if (!this.#closeBare()) return;
    }
    if (/\s/.test(char)) {
      if (this.#state === "fence" && char === "\n" && this.#fence !== "") this.#state = "value";
      return;
    }
    if (this.#state === "fence") {
      if (this.#fence === "" && char !== FENCE) this.#state = "value";
      else {
        this.#fence += char;
        return;
      }
    }
    this.#token(char);
  }

  /** @param {string} char */
  #token(char) {
    const parent = this.#stack.at(-1);
    if (this.#state === "next") {
      if (char === ",") this.#state = parent?.type === "object" ? "key" : "value";
      else if (char === (parent?.type === "object" ? "}" : "]")) this.#close();
      else this.#fail(char);
    } else if (this.#state === "key") {
      if (char === '"') {
        this.#key = "";
        this.#state = "keyString";
      } else if (char === "}" && parent?.children.length === 0) this.#close();
      else this.#fail(char);
    } else if (this.#state === "colon") {
      if (char === ":") this.#state = "value";
      else this.#fail(char);
    } else if (char === "]" && parent?.type === "array" && parent.children.length === 0) this.#close();
    else this.#begin(char);
  }

  /** @param {string} char */
  #begin(char) {
    if (char === "{" || char === "[") {
      if (this.#stack.length >= DEPTH_MAX) {
        this.error = `nested more than ${DEPTH_MAX} deep`;
        return;
      }
      this.#stack.push(this.#node(char === "{" ? "object" : "array"));
      this.#state = char === "{" ? "key" : "value";
    } else if (char === '"') {
      this.#leaf = this.#node("string");
      this.#state = "string";
    } else if (/[-0-9tfn]/.test(char)) {
      this.#leaf = this.#node(/[-0-9]/.test(char) ? "number" : "literal");
      this.#leaf.value = char;
      this.#state = "bare";
    } else this.#fail(char);
  }

  /** @param {JsonNode["type"]} type @returns {JsonNode} */
  #node(type) {
    const parent = this.#stack.at(-1);
    const key = parent === undefined ? null : parent.type === "array" ? parent.children.length : this.#key;
    /** @type {JsonNode} */
    const node = { type, key, value: "", children: [], isWhole: false };
    if (parent) parent.children.push(node);
    else this.root = node;
    return node;
  }

  /** @param {string} char */
  #inString(char) {
    if (this.#escape !== "") {
      this.#escape += char;
      this.#unescape();
    } else if (char === "\\") this.#escape = "\\";
    else if (char === '"') {
      if (this.#state === "keyString") this.#state = "colon";
      else this.#closeLeaf();
    } else this.#add(char);
  }

  #unescape() {
    const kind = this.#escape[1];
    if (kind === "u") {
      if (this.#escape.length < 6) return;
      const code = this.#escape.slice(2);
      if (!/^[0-9a-fA-F]{4}$/.test(code)) return this.#fail(this.#escape);
      this.#add(String.fromCharCode(parseInt(code, 16)));
    } else if (kind in ESCAPES) this.#add(ESCAPES[kind]);
    else return this.#fail(this.#escape);
    this.#escape = "";
  }

  #closeBare() {
    const leaf = this.#leaf;
    const isGood = leaf && (leaf.type === "number" ? /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(leaf.value) : ["true", "false", "null"].includes(leaf.value));
    if (!isGood) this.#fail(leaf?.value ?? "");
    else this.#closeLeaf();
    return isGood;
  }

  #closeLeaf() {
    if (this.#leaf) this.#leaf.isWhole = true;
    this.#leaf = null;
    this.#after();
  }

  #close() {
    const closed = this.#stack.pop();
    if (closed) closed.isWhole = true;
    this.#after();
  }

  #after() {
    this.#state = this.#stack.length === 0 ? "end" : "next";
    this.isWhole = this.#stack.length === 0;
  }

  /** @param {string} found */
  #fail(found) {
    this.error = `unexpected ${JSON.stringify(found)}`;
  }
}

/**
 * The tree of a JSON text, or of one of its members; `null`: it is no JSON, or has none such. Numbers are as they were written, which those of
 * `JSON.parse` are not: it makes 0.10 to 0.1.
 * @param {string} text @param {string[]} path
 */
export function treeOf(text, ...path) {
  const reader = new PartialJson();
  reader.push(`${text}\n`);
  /** @type {JsonNode | null} */
  let node = reader.isWhole ? reader.root : null;
  for (const name of path) node = node?.children.find(({ key }) => key === name) ?? null;
  return node;
}

/** The text of a tree, over lines. @param {JsonNode | null} node @returns {string} */
export function textOf(node, indent = "") {
  if (node === null) return "";
  if (node.type === "string") return JSON.stringify(node.value);
  if (node.type === "number" || node.type === "literal") return node.value;
  const [first, last] = node.type === "object" ? "{}" : "[]";
  const inner = `${indent}  `;
  const lines = node.children.map((child) => `\n${inner}${node.type === "object" ? `${JSON.stringify(child.key)}: ` : ""}${textOf(child, inner)}`);
  return lines.length === 0 ? first + last : `${first}${lines.join()}\n${indent}${last}`;
}
