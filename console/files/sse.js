// Server-sent events: from pieces of text to events, whatever the pieces are cut at.

/** @typedef {{ id: string | null, event: string, data: string }} Frame */

/** Reads a stream of server-sent events (the HTML standard, 9.2.6). */
export class SseParser {
  #rest = "";
  /** @type {string | null} */
  #id = null;
  #event = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} text the next piece
   * @returns {Frame[]} the events that are whole now
   */
  push(text) {
    /** @type {Frame[]} */
    const frames = [];
    this.#rest += text;
    // A carriage return at the end may be the first half of a line's end.
    const whole = this.#rest.endsWith("\r") ? this.#rest.slice(0, -1) : this.#rest;
    const lines = whole.split(/\r\n|\n|\r/);
    const last = lines.pop() ?? "";
    this.#rest = last + this.#rest.slice(whole.length);
    for (const line of lines) {
      if (line !== "") {
        this.#field(line);
        continue;
      }
      if (this.#data.length > 0) frames.push({ id: this.#id, event: this.#event || "message", data: this.#data.join("\n") });
      this.#event = "";
      this.#data = [];
    }
    return frames;
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }
}
