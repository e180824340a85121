// A tree of JSON, open as far as a reader has opened it.

import { h } from "./dom.js";
import { t } from "./i18n.js";

/** Children of one node that are shown before one asks for more. */
const CHILDREN_SHOWN = 100;
/** Nodes of the whole tree that are shown before one asks for more. */
const NODES_SHOWN = 2_000;
const STRING_SHOWN = 2_000;
const DEPTH_OPEN = 3;

/** @typedef {import("./partial_json.js").JsonNode} JsonNode */

/** A tree as elements; what was opened stays open. */
export class JsonView {
  /** @type {Map<string, boolean>} */
  #open = new Map();
  /** @type {Map<string, number>} */
  #shown = new Map();
  #most = NODES_SHOWN;
  #left = 0;

  /** @param {() => void} update draws it again */
  constructor(update) {
    this.update = update;
  }

  /** @param {JsonNode} node */
  draw(node) {
    this.#left = this.#most;
    return this.#node(node, "", 0);
  }

  /** @param {JsonNode} node @param {string} path @param {number} depth @returns {any} */
  #node(node, path, depth) {
    this.#left -= 1;
    const name = node.key === null ? null : h("span", { class: "key" }, String(node.key));
    const separator = name && h("span", { class: "quiet" }, ": ");
    if (node.type !== "object" && node.type !== "array") {
      const text = node.value.length > STRING_SHOWN ? `${node.value.slice(0, STRING_SHOWN)}…` : node.value;
      const value = h("span", { class: `value ${node.type} ${node.isWhole ? "" : "growing"}` }, node.type === "string" ? `“${text}${node.isWhole ? "”" : ""}` : text);
      return h("div", { class: "leaf", key: path }, name, separator, value);
    }
    const isOpen = this.#open.get(path) ?? depth < DEPTH_OPEN;
    const most = this.#shown.get(path) ?? CHILDREN_SHOWN;
    const count = node.children.length;
    const words = node.type === "array" ? t(count === 1 ? "1 element" : "{n} elements", { n: count }) : t(count === 1 ? "1 member" : "{n} members", { n: count });
    const toggle = () => {
      this.#open.set(path, !isOpen);
      this.update();
    };
    const children = [];
    if (isOpen) for (let at = 0; at < Math.min(count, most) && this.#left > 0; at += 1) children.push(this.#node(node.children[at], `${path}/${at}`, depth + 1));
    const more = () => {
      if (children.length === most) this.#shown.set(path, most + CHILDREN_SHOWN * 5);
      this.#most += NODES_SHOWN;
      this.update();
    };
    return h(
      "div",
      { class: "branch", key: path },
      h("button", { type: "button", class: "plain twig", "aria-expanded": String(isOpen), on: { click: toggle } }, h("span", { "aria-hidden": "true" }, isOpen ? "▾ " : "▸ "), name, separator, h("span", { class: "quiet" }, node.type === "array" ? "[ ]" : "{ }", " ", words, node.isWhole ? "" : " …")),
      isOpen && h("div", { class: "children" }, children, count > children.length && h("button", { key: "more", type: "button", class: "plain", on: { click: more } }, t("{n} more", { n: count - children.length }))),
    );
  }
}
