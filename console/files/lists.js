// What the pages with lists share: rows that are loaded page by page, filters in the address, and news of what runs.

import { poll, queryOf } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { t } from "./i18n.js";
import { head } from "./ui.js";

/** @typedef {import("./app.js").Context} Context */
/** @typedef {{ name: string, label: string, kind: "search" | "choice" | "text", choices?: [string, string][] }} Filter */

const ROWS = 50;
const TYPING_MS = 300;

/**
 * A page with a list. The newest rows are asked for again while one of them runs; more are added at the end.
 * @param {Context} context
 * @param {{ title: string, path: string, filters: Filter[], limit?: number, cursor?: string, every?: number, actions?: (again: () => void) => any[], draw: (rows: any[], again: () => void) => any, empty: (isFiltered: boolean) => any, isOpen: (row: any) => boolean }} options
 * @returns {() => void} loads it again at once
 */
export function listPage(context, { title, path, filters, limit = ROWS, cursor = "last_id", every = 3_000, actions = () => [], draw, empty, isOpen }) {
  const { root, api, signal } = context;
  context.setTitle(title);
  /** @type {Record<string, string>} */
  let query = Object.fromEntries(filters.map(({ name }) => [name, context.query[name] ?? ""]));
  /** @type {any[] | null} */
  let newest = null;
  /** @type {any[]} */
  let older = [];
  /** @type {string | null} */
  let next = null;
  let asked = 0;

  const load = async () => {
    const number = (asked += 1);
    const answer = await api.get(`${path}${queryOf({ ...query, limit })}`, signal);
    if (number !== asked) return;
    recovered();
    if (older.length === 0) next = answer.has_more ? answer[cursor] : null;
    newest = answer.data;
    update();
  };
  const again = poll({ load, isActive: () => newest === null || newest.some(isOpen), every, signal, onError: context.onError });
  const more = async () => {
    try {
      const answer = await api.get(`${path}${queryOf({ ...query, limit, after: next })}`, signal);
      older = [...older, ...answer.data];
      next = answer.has_more ? answer[cursor] : null;
      update();
    } catch (error) {
      context.onError(error);
    }
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  const change = (/** @type {string} */ name, /** @type {string} */ value, /** @type {boolean} */ isTyped) => {
    query = { ...query, [name]: value };
    older = [];
    next = null;
    context.setQuery(query);
    clearTimeout(typing);
    typing = setTimeout(again, isTyped ? TYPING_MS : 0);
  };
  const control = (/** @type {Filter} */ { name, label, kind, choices = [] }) => {
    const on = { [kind === "choice" ? "change" : "input"]: (/** @type {any} */ event) => change(name, event.target.value, kind !== "choice") };
    if (kind === "choice") return h("label", { key: name }, label, h("select", { on }, [["", t("all")], ...choices].map(([value, words]) => h("option", { value, selected: value === query[name] }, words))));
    return h("label", { key: name, class: kind === "search" ? "search" : "" }, label, h("input", { type: "search", value: query[name], "data-search": kind === "search", on, autocomplete: "off", spellcheck: "false" }));
  };
  const update = () => {
    const isFiltered = Object.values(query).some((value) => value !== "");
    const known = new Set((newest ?? []).map((row) => row.id));
    const rows = [...(newest ?? []), ...older.filter((row) => !known.has(row.id))];
    render(
      root,
      head(title, actions(again)),
      filters.length > 0 && h("div", { class: "filters", role: "search" }, filters.map(control)),
      newest === null ? h("p", { class: "quiet", role: "status" }, t("Loading …")) : rows.length === 0 ? empty(isFiltered) : draw(rows, again),
      next && h("div", { class: "actions" }, h("button", { type: "button", on: { click: more } }, t("Show more"))),
    );
  };
  update();
  return again;
}

/** Where a filter finds nothing. */
export const nothingFound = () => h("div", { class: "empty" }, h("h2", null, t("Nothing found")), h("p", null, t("No entry fits these filters.")));

/** The states of generations, batches and runs, as choices. @param {(status: string) => string} word @param {string[]} states @returns {[string, string][]} */
export const stateChoices = (word, states) => states.map((status) => [status, word(status)]);

/** The statuses after which nothing changes. */
export const isEnded = (/** @type {string} */ status) => ["completed", "incomplete", "failed", "cancelled"].includes(status);
