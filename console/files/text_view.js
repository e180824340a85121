// Text of any length as it arrives: written into blocks, of which a bounded number stands in the page. Never markup.

import { h, keep } from "./dom.js";
import { t } from "./i18n.js";

/** A block ends at a line's end behind so many characters, and at twice as many wherever it is. */
const BLOCK_CHARS = 8_192;
/** So many blocks stand in the page; earlier ones are in the whole text, which can be downloaded. */
const BLOCKS_MAX = 160;
/** Characters that are written in one frame, so that none takes long. */
const FRAME_CHARS = 16_384;

/** A growing text. */
export class TextView {
  #blocks = h("div", { class: "blocks" });
  #earlier = h("p", { class: "earlier quiet", hidden: true });
  /** @type {HTMLElement | null} */
  #last = null;
  #lastChars = 0;
  /** @type {string[]} */
  #waiting = [];
  #frame = 0;

  /** @param {string} label */
  constructor(label) {
    /** Whether the newest text stays in view. */
    this.isFollowing = true;
    this.element = keep(h("div", { class: "text", tabindex: 0, role: "region", "aria-label": label }, this.#earlier, this.#blocks));
  }

  /** @param {string} text */
  append(text) {
    if (text === "") return;
    this.#waiting.push(text);
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#write());
  }

  clear() {
    this.#waiting = [];
    this.#blocks.replaceChildren();
    this.#last = null;
    this.#earlier.hidden = true;
  }

  /** What is not written yet is dropped. */
  stop() {
    cancelAnimationFrame(this.#frame);
  }

  #write() {
    this.#frame = 0;
    let text = this.#waiting.join("");
    this.#waiting = [];
    if (text.length > FRAME_CHARS) {
      const cut = safeCut(text, FRAME_CHARS);
      this.#waiting.push(text.slice(cut));
      text = text.slice(0, cut);
      this.#frame = requestAnimationFrame(() => this.#write());
    }
    while (text !== "") text = this.#fill(text);
    while (this.#blocks.childElementCount > BLOCKS_MAX) {
      this.#blocks.firstElementChild?.remove();
      this.#earlier.hidden = false;
      this.#earlier.textContent = t("Earlier text is not shown here. Copy or download all of it above.");
    }
    if (this.isFollowing) this.element.scrollTop = this.element.scrollHeight;
  }

  /** Writes what fits into the last block, and returns the rest. @param {string} text */
  #fill(text) {
    if (!this.#last || this.#lastChars >= BLOCK_CHARS * 2) {
      const block = h("div", { class: "block" });
      block.append(document.createTextNode(""));
      this.#blocks.append(block);
      this.#last = block;
      this.#lastChars = 0;
    }
    const room = BLOCK_CHARS * 2 - this.#lastChars;
    const lineEnd = text.indexOf("\n", Math.max(BLOCK_CHARS - this.#lastChars, 0));
    const isAtLineEnd = lineEnd >= 0 && lineEnd < room;
    const cut = isAtLineEnd ? lineEnd + 1 : safeCut(text, room);
    const block = /** @type {HTMLElement} */ (this.#last);
    /** @type {any} */ (block.firstChild).appendData(text.slice(0, cut));
    this.#lastChars = isAtLineEnd ? BLOCK_CHARS * 2 : this.#lastChars + cut;
    return text.slice(cut);
  }
}

/** Not between the two halves of one character. @param {string} text @param {number} at */
function safeCut(text, at) {
  if (at >= text.length) return text.length;
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at + 1 : at;
}
