// A generation while it is written, or as it was: its text or JSON, its reasoning, its tool calls.

import { h, keep, render } from "./dom.js";
import { GenerationLog } from "./generation_log.js";
import { format, t } from "./i18n.js";
import { JsonView } from "./json_view.js";
import { PartialJson } from "./partial_json.js";
import { TextView } from "./text_view.js";
import { problem } from "./ui.js";

/** A tree is drawn so often at most, whatever arrives. */
const TREE_MS = 250;
/** A longer text is shown as text alone, until its reader asks for the tree. */
const TREE_CHARS_MAX = 4_000_000;
/** A longer silence between two events is told. */
const PAUSE_MS = 5_000;

export class LiveGeneration {
  log = new GenerationLog();
  json = new PartialJson();
  #answer = new TextView(t("Answer"));
  #reasoning = new TextView(t("Reasoning"));
  #other = new TextView(t("Tool calls and refusals"));
  #discarded = new TextView(t("Discarded text"));
  #tree = keep(h("div", { class: "tree", tabindex: 0, role: "region", "aria-label": t("Answer as JSON") }));
  #jsonView = new JsonView(() => this.#drawTree());
  #treeTimer = 0;
  #reasoningChars = 0;
  #otherChars = 0;
  /** @type {"live" | "waiting" | "ended" | "loading"} */
  connection = "loading";
  /** @type {"text" | "json"} */
  #view = "text";
  #hasChosen = false;
  /** Silences that were seen while the text was live. @type {{ seq: number, ms: number }[]} */
  #pauses = [];
  #lastAt = 0;
  /** @type {unknown} */
  #failure = null;

  /** @param {import("./api.js").Api} api @param {string} id @param {{ onChange?: () => void, signal: AbortSignal }} options */
  constructor(api, id, { onChange = () => {}, signal }) {
    this.api = api;
    this.id = id;
    this.onChange = onChange;
    this.signal = signal;
    this.#reasoning.element.classList.add("small");
    this.#other.element.classList.add("small");
    this.#discarded.element.classList.add("small", "discarded");
    this.element = keep(h("section", { class: "live", "aria-label": t("Output") }));
    this.#draw();
    void this.#follow();
    signal.addEventListener("abort", () => [this.#answer, this.#reasoning, this.#other, this.#discarded].forEach((view) => view.stop()));
  }

  async #follow() {
    try {
      await this.api.follow(`v1/generations/${this.id}/events`, {
        after: () => (this.log.seq < 0 ? null : this.log.seq),
        onEvent: (event) => this.#take(event),
        isOver: () => this.log.end !== null,
        onState: (state) => this.#connect(state),
        signal: this.signal,
      });
      if (!this.signal.aborted) this.#connect("ended");
    } catch (error) {
      this.#failure = error;
      this.#draw();
    }
  }

  /** @param {LiveGeneration["connection"]} state */
  #connect(state) {
    this.connection = state;
    this.#draw();
  }

  /** @param {any} event */
  #take(event) {
    const now = performance.now();
    if (this.connection === "live" && this.#lastAt > 0 && now - this.#lastAt > PAUSE_MS) {
      this.#pauses.push({ seq: event.seq, ms: now - this.#lastAt });
      queueMicrotask(() => this.#draw());
    }
    this.#lastAt = now;
    const change = this.log.push(event);
    if (!change) return;
    if (change.kind === "append") {
      this.#append(change.item, change.delta);
      return;
    }
    if (change.kind === "restart") {
      for (const item of change.items) if (item.text !== "") this.#discarded.append(`${item.text}\n\n`);
      for (const view of [this.#answer, this.#reasoning, this.#other]) view.clear();
      this.#reasoningChars = this.#otherChars = 0;
      this.json = new PartialJson();
      if (this.#view === "json") this.#drawTree();
    }
    if (change.kind === "end") this.connection = "ended";
    this.#draw();
    this.onChange();
  }

  /** @param {import("./generation_log.js").Item} item @param {string} delta */
  #append(item, delta) {
    if (item.kind === "message") {
      this.#answer.append(delta);
      this.json.push(delta);
      if (!this.#hasChosen && this.#view === "text" && this.json.root && ["object", "array"].includes(this.json.root.type) && this.json.error === null) {
        this.#view = "json";
        this.#draw();
      }
      if (this.json.error !== null && this.#view === "json" && !this.#hasChosen) {
        this.#view = "text";
        this.#draw();
      }
      if (this.#view === "json" && this.#treeTimer === 0) this.#treeTimer = window.setTimeout(() => this.#drawTree(), TREE_MS);
    } else if (item.kind === "reasoning") {
      if (this.#reasoningChars === 0) queueMicrotask(() => this.#draw());
      this.#reasoningChars += delta.length;
      this.#reasoning.append(delta);
    } else {
      if (this.#otherChars === 0) queueMicrotask(() => this.#draw());
      this.#otherChars += delta.length;
      this.#other.append(delta);
    }
  }

  #drawTree() {
    this.#treeTimer = 0;
    if (this.json.root && this.log.text.length <= TREE_CHARS_MAX) render(this.#tree, this.#jsonView.draw(this.json.root));
    else render(this.#tree, h("p", { class: "quiet" }, this.json.root ? t("The answer is too long for a tree. It is shown as text.") : t("No JSON yet.")));
  }

  #draw() {
    const choose = (/** @type {"text" | "json"} */ view) => () => {
      this.#view = view;
      this.#hasChosen = true;
      this.#drawTree();
      this.#draw();
    };
    const tab = (/** @type {"text" | "json"} */ view, /** @type {string} */ label) => h("button", { type: "button", "aria-pressed": String(this.#view === view), on: { click: choose(view) } }, label);
    const follow = () => {
      this.#answer.isFollowing = !this.#answer.isFollowing;
      if (this.#answer.isFollowing) this.#answer.element.scrollTop = this.#answer.element.scrollHeight;
      this.#draw();
    };
    const words = { loading: t("Loading …"), live: t("Live"), waiting: t("The connection broke. It is made again."), ended: t("Ended") }[this.connection];
    const isDiscarded = this.log.items.some((item) => item.state === "discarded" && item.text !== "");
    render(
      this.element,
      h("div", { class: "head" }, h("h2", null, t("Output")), h("div", { class: "actions" }, h("span", { class: "quiet", role: "status" }, words), tab("text", t("Text")), tab("json", t("JSON")), this.log.end === null && h("button", { type: "button", "aria-pressed": String(this.#answer.isFollowing), on: { click: follow } }, t("Follow")))),
      this.#failure !== null && problem(this.#failure),
      this.log.violation && h("div", { class: "problem" }, h("strong", null, t("The output breaks its schema")), h("p", null, h("code", null, this.log.violation.path || "/"), " ", this.log.violation.message)),
      h("details", { key: "reasoning", hidden: this.#reasoningChars === 0 }, h("summary", null, t("Reasoning")), this.#reasoning.element),
      h("div", { key: "text", hidden: this.#view !== "text" }, this.#answer.element),
      h("div", { key: "json", hidden: this.#view !== "json" }, this.#tree),
      h("details", { key: "other", hidden: this.#otherChars === 0, open: true }, h("summary", null, t("Tool calls and refusals")), this.#other.element),
      h("details", { key: "discarded", hidden: !isDiscarded }, h("summary", null, t("Text of interrupted attempts, which does not count")), this.#discarded.element),
      this.#pauses.length > 0 && h("p", { class: "quiet" }, this.#pauses.map(({ seq, ms }) => t("{time} of silence before event {seq}", { time: format.duration(ms), seq: format.number(seq) })).join(" · ")),
      this.log.attempts.length > 1 && h("p", { class: "quiet" }, this.log.attempts.map((attempt) => t(attempt.number === 1 ? "Attempt {n} from event {seq}" : attempt.continues ? "Attempt {n} went on at event {seq}" : "Attempt {n} began again at event {seq}", { n: attempt.number, seq: format.number(attempt.seq) })).join(" · ")),
    );
  }

  /** All of the answer so far. */
  get text() {
    return this.log.text;
  }
}
