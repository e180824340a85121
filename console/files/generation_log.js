// The log of a generation as a page shows it: events in, items and attempts out. No clock, no network.

/** @typedef {{ index: number, kind: string, name: string | null, text: string, state: "open" | "whole" | "cut" | "discarded" }} Item */
/** @typedef {{ number: number, seq: number, continues: boolean }} Attempt */
/** @typedef {{ type: string, reason?: string, message?: string, finish_reason?: string, usage?: any }} End */
/** @typedef {{ kind: "append", item: Item, delta: string } | { kind: "item", item: Item } | { kind: "restart", items: Item[] } | { kind: "end" } | { kind: "violation" }} Change */

const ENDS = ["completed", "incomplete", "failed", "cancelled"];
const DELTAS = ["output_text.delta", "reasoning_text.delta", "refusal.delta", "function_call_arguments.delta"];

/** What has been read of a log. An event that was read already changes nothing; one that leaves a gap is an error. */
export class GenerationLog {
  /** The number of the last event; -1 before the first. */
  seq = -1;
  /** @type {Item[]} */
  items = [];
  /** @type {Attempt[]} */
  attempts = [];
  /** @type {{ path: string, message: string } | null} */
  violation = null;
  /** @type {End | null} */
  end = null;

  /**
   * @param {any} event with its `seq` and `type`
   * @returns {Change | null} what a page has to change; `null`: nothing
   */
  push(event) {
    if (event.seq <= this.seq) return null;
    if (event.seq !== this.seq + 1) throw new Error(`event ${this.seq + 1} is missing before event ${event.seq}`);
    this.seq = event.seq;
    return this.#apply(event);
  }

  /** @param {any} event @returns {Change | null} */
  #apply(event) {
    if (DELTAS.includes(event.type)) {
      const item = this.#open(event.output_index);
      if (!item) return null;
      item.text += event.delta;
      return { kind: "append", item, delta: event.delta };
    }
    if (event.type === "output_item.added") {
      const item = { index: event.output_index, kind: event.item.kind, name: event.item.name ?? null, text: "", state: /** @type {const} */ ("open") };
      this.items.push(item);
      return { kind: "item", item };
    }
    if (event.type === "output_item.done") {
      const item = this.#open(event.output_index);
      if (!item) return null;
      item.state = event.complete ? "whole" : "cut";
      return { kind: "item", item };
    }
    if (event.type === "in_progress") return this.#attempt(event);
    if (event.type === "schema_violation") {
      this.violation = { path: event.path, message: event.message };
      return { kind: "violation" };
    }
    if (ENDS.includes(event.type)) {
      this.end = event;
      return { kind: "end" };
    }
    return null;
  }

  /** An attempt that finds an item open goes on with it; any other begins again, and what was before it counts no more.
   * @param {any} event @returns {Change | null} */
  #attempt(event) {
    const continues = this.items.some((item) => item.state === "open");
    this.attempts.push({ number: event.attempt, seq: event.seq, continues });
    if (continues || this.items.length === 0) return null;
    const items = this.items.filter((item) => item.state !== "discarded");
    for (const item of items) item.state = "discarded";
    return { kind: "restart", items };
  }

  /** @param {number} index */
  #open(index) {
    return this.items.find((item) => item.index === index && item.state === "open");
  }

  /** The text of the answer so far: that of all messages that count. */
  get text() {
    return this.items.filter((item) => item.kind === "message" && item.state !== "discarded").map((item) => item.text).join("");
  }
}
