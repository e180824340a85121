// What the pages are made of: states, bars, times, ids, dialogs, messages.

import { h, render } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { Problem } from "./api.js";

/** @typedef {import("./dom.js").Child} Child */

/** Each state has a sign and a word beside its colour. @type {Record<string, [string, string]>} */
const STATES = {
  pending: ["○", "quiet"],
  waiting: ["○", "quiet"],
  running: ["◐", "busy"],
  cancelling: ["◐", "busy"],
  completed: ["✓", "good"],
  succeeded: ["✓", "good"],
  skipped: ["–", "quiet"],
  incubating: ["◌", "busy"],
  approved: ["✓", "good"],
  rejected: ["✕", "bad"],
  archived: ["–", "quiet"],
  reverted: ["↩", "quiet"],
  started: ["◐", "busy"],
  invalid: ["✕", "bad"],
  incomplete: ["!", "warn"],
  failed: ["✕", "bad"],
  cancelled: ["⊘", "quiet"],
};

/** The word for a state. @param {string} status */
export const stateWord = (status) => t(`state: ${status}`).replace(/^state: /, "");

/** @param {string} status */
export function state(status) {
  const [sign, tone] = STATES[status] ?? ["·", "quiet"];
  return h("span", { class: `state ${tone}` }, h("span", { "aria-hidden": "true", class: "sign" }, sign), stateWord(status));
}

/** How long ago, with the exact moment on hover. @param {string | null | undefined} moment */
export function time(moment) {
  if (!moment) return h("span", { class: "none" }, "–");
  const at = Date.parse(moment);
  return h("time", { datetime: moment, title: format.exact(at), "data-relative": true }, format.ago(at, Date.now()));
}

/** Brings the relative times of the page up to date. */
export function refreshTimes() {
  for (const node of document.querySelectorAll("time[data-relative]")) {
    const text = format.ago(Date.parse(node.getAttribute("datetime") ?? ""), Date.now());
    if (node.textContent !== text) node.textContent = text;
  }
}

/** @param {number | null | undefined} percent from 0 to 100; without one, the bar only moves @param {string} label @param {string} [tone] */
export function bar(percent, label, tone = "") {
  const known = percent !== null && percent !== undefined;
  return h(
    "span",
    {
      class: `bar ${tone} ${known ? "" : "unknown"}`,
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": known ? Math.round(percent) : null,
      "aria-valuetext": known ? `${Math.round(percent)} %` : t("at work"),
    },
    h("span", { style: { width: known ? `${percent}%` : "100%" } }),
  );
}

/** An id that is copied by a click. @param {string} id */
export function copyable(id) {
  return h("button", { type: "button", class: "id", title: `${id} – ${t("copy")}`, "aria-label": t("Copy {what}", { what: id }), on: { click: () => copy(id) } }, shortId(id));
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("Copied"));
  } catch {
    toast(t("The browser does not let this page copy"), "bad");
  }
}

/** A short message at the edge of the page. @param {string} text @param {string} [tone] */
export function toast(text, tone = "good") {
  const box = document.querySelector("#toasts");
  const node = h("p", { class: `toast ${tone}` }, text);
  box?.append(node);
  setTimeout(() => node.remove(), tone === "bad" ? 8_000 : 3_000);
}

/**
 * An error in words, with the id that logs know the request by.
 * @param {unknown} error @param {(() => void) | null} [again] @param {boolean} [isPolled] it is asked again by itself @param {(() => void) | null} [dismiss]
 */
export function problem(error, again = null, isPolled = false, dismiss = null) {
  const words = error instanceof Error ? error.message : String(error);
  const id = error instanceof Problem ? error.requestId : null;
  const details = error instanceof Problem ? error.errors : [];
  return h(
    "div",
    { class: "problem", role: "alert" },
    // What the API says is English, whatever the language of the page.
    h("strong", { lang: error instanceof Problem && error.status > 0 ? "en" : null }, error instanceof Problem && error.status === 0 ? (isPolled ? t("The API does not answer. It is asked again.") : t("The API does not answer. Try it again.")) : words),
    details.length > 0 && h("ul", null, details.map((each) => h("li", { lang: "en" }, h("code", null, each.pointer || "/"), " ", each.detail))),
    id && h("p", { class: "quiet" }, t("Request"), " ", copyable(id)),
    again && h("button", { type: "button", on: { click: again } }, t("Try again")),
    dismiss && h("button", { type: "button", on: { click: dismiss } }, t("Close")),
  );
}

/** Before the first answer. */
export const loading = () => h("p", { class: "quiet", role: "status" }, t("Loading …"));

/** Where there is nothing yet: what comes here, and how. @param {string} title @param {string} words @param {string | null} [call] */
export function empty(title, words, call = null) {
  return h(
    "div",
    { class: "empty" },
    h("h2", null, title),
    h("p", null, words),
    call && h("div", { class: "call" }, h("pre", { tabindex: 0 }, call), h("button", { type: "button", on: { click: () => copy(call) } }, t("Copy"))),
  );
}

/** A table whose wide columns go away where there is no room. @param {string} label @param {Column[]} columns @param {Child[]} rows */
export function table(label, columns, rows) {
  return h(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": label },
    h(
      "table",
      null,
      h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.class ?? null }, column.title === "" ? h("span", { class: "unseen" }, t("Actions")) : column.title)))),
      h("tbody", null, rows),
    ),
  );
}

/** @typedef {{ title: string, class?: string }} Column */

/** A button that does something, or says why it may not. @param {string} label @param {string | null} refusal @param {() => void} act @param {string} [look] */
export function action(label, refusal, act, look = "") {
  return h(
    "button",
    { type: "button", class: `${look} ${refusal ? "refused" : ""}`, "aria-disabled": refusal ? "true" : null, title: refusal, on: { click: () => (refusal ? toast(refusal, "bad") : act()) } },
    label,
  );
}

/** A figure with its name. @param {string} name @param {Child} value @param {Child} [more] */
export function figure(name, value, more = null) {
  return h("div", { class: "figure" }, h("dt", null, name), h("dd", null, value, more && h("small", null, more)));
}

/** @param {Child[]} children */
export const figures = (...children) => h("dl", { class: "figures" }, children);

/**
 * Shows a dialog; the focus returns afterwards.
 * @param {string} title @param {(close: () => void) => Child[]} content
 */
export function dialog(title, content) {
  const before = document.activeElement;
  const close = () => node.close();
  const node = h("dialog", { "aria-label": title, on: { close: () => (node.remove(), before instanceof HTMLElement && before.focus()) } });
  const body = h("div", { class: "body" });
  const update = () => render(body, content(close));
  node.append(h("header", null, h("h2", null, title), h("button", { type: "button", class: "plain", "aria-label": t("Close"), on: { click: close } }, "✕")), body);
  update();
  document.body.append(node);
  node.showModal();
  return { close, update };
}

/** Closes what stands above a page that goes away. */
export function closeDialogs() {
  for (const node of document.querySelectorAll("dialog")) node.close();
}

/**
 * Asks for what an action needs. Stays open, with the reason, where it fails; and with what it returns, where that is to be read.
 * @param {{ title: string, label: string, content: () => Child[], act: (texts: Record<string, string>) => Promise<Child[] | void>, hasBack?: boolean }} options
 */
export function ask({ title, label, content, act, hasBack = false }) {
  /** @type {unknown} */
  let failure = null;
  let isBusy = false;
  /** @type {Child[] | void} */
  let done;
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (isBusy) return;
    const texts = Object.fromEntries([...new FormData(/** @type {HTMLFormElement} */ (event.target))].map(([name, value]) => [name, String(value)]));
    isBusy = true;
    failure = null;
    shown.update();
    try {
      done = await act(texts);
      if (!done) return shown.close();
    } catch (error) {
      failure = error;
    }
    isBusy = false;
    shown.update();
  };
  const shown = dialog(title, (close) =>
    done ?? [
      h(
        "form",
        { on: { submit } },
        content(),
        failure !== null && problem(failure),
        h("div", { class: "actions" }, hasBack && h("button", { type: "button", on: { click: close } }, t("Back")), h("button", { type: "submit", class: "main", "aria-disabled": isBusy ? "true" : null }, isBusy ? t("Working …") : label)),
      ),
    ],
  );
}

/**
 * Asks before something is done that cannot be undone.
 * @param {{ title: string, words: string, label: string, act: (texts: Record<string, string>) => Promise<void>, field?: { name: string, label: string, isRequired?: boolean, value?: string, isLong?: boolean } }} options
 */
export function confirm({ title, words, label, act, field }) {
  const content = () => [h("p", null, words), field && h("label", null, field.label, field.isLong ? h("textarea", { name: field.name, rows: 16, required: field.isRequired }, field.value ?? "") : h("input", { name: field.name, required: field.isRequired, value: field.value ?? "", autocomplete: "off" }))];
  ask({ title, label, content, act, hasBack: true });
}

/** The head of a page. @param {Child} title @param {Child[]} more */
export const head = (title, ...more) => h("header", { class: "head" }, h("h1", { tabindex: -1 }, title), h("div", { class: "actions" }, more));

/** A text of somebody's, which cannot turn what stands beside it around. @param {string | null | undefined} text */
export const words = (text) => h("bdi", null, text ?? "–");

/** Who did something: a name, or the id of a key. @param {string | null | undefined} by */
export const who = (by) => (by?.startsWith("key_") ? h("span", { title: by }, shortId(by)) : words(by));

/** @param {any} usage */
export const tokensOf = (usage) => (usage ? `${format.number(usage.input_tokens)} → ${format.number(usage.output_tokens)}` : "–");

/** Milliseconds from one moment to another, or to now. @param {string | null} from @param {string | null} to */
export const between = (from, to) => (from ? Math.max(0, (to ? Date.parse(to) : Date.now()) - Date.parse(from)) : null);
