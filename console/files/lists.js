// What the pages with lists share: rows that are loaded page by page, filters in the address, and news of what runs.

import { poll, queryOf } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { t } from "./i18n.js";
import { ListRows } from "./list_rows.js";
import { head, loading } from "./ui.js";

/** @typedef {import("./app.js").Context} Context */
/** @typedef {{ name: string, label: string, kind: "search" | "choice" | "text", choices?: [string, string][] }} Filter */

const ROWS = 50;
const TYPING_MS = 300;

/** Pages that are looked through for a first row, where a filter leaves pages empty. */
const EMPTY_PAGES_MAX = 20;
/** Pages behind the first that are asked for again at once. */
const PAGES_AGAIN_MAX = 3;

/**
 * A list, read page by page: the first page and those with rows that run are asked for again.
 * @param {Context} context
 * @param {{ path: string, query: () => Record<string, any>, limit?: number, cursor?: string, every?: number, keyOf?: (row: any) => string, isOpen: (row: any) => boolean, before?: () => Promise<any>, update: () => void }} options
 */
export function pagedList(context, { path, query, limit = ROWS, cursor = "last_id", every = 3_000, keyOf = (row) => row.id, isOpen, before = async () => {}, update }) {
  const { api, signal } = context;
  const list = new ListRows(keyOf, limit, cursor);
  /** What was asked for before the filters changed counts no more. */
  let turn = 0;
  let asked = 0;
  let isBusy = false;
  /** @param {string | null} after */
  const ask = async (after) => {
    for (let page = 1; ; page += 1) {
      const answer = await api.get(`${path}${queryOf({ ...query(), limit, after })}`, signal);
      if (answer.data.length > 0 || !answer.has_more || page === EMPTY_PAGES_MAX) return answer;
      after = answer[cursor];
    }
  };
  const load = async () => {
    const [of, number] = [turn, (asked += 1)];
    await before();
    const newest = await ask(null);
    if (of !== turn || number !== asked) return;
    list.newest(newest);
    for (const after of list.open(isOpen).slice(0, PAGES_AGAIN_MAX)) {
      const answer = await ask(after);
      if (of !== turn) return;
      list.again(after, answer);
    }
    recovered();
    update();
  };
  const again = poll({ load, isActive: () => list.isEmpty || list.rows.some(isOpen), every, signal, onError: context.onError });
  const more = () =>
    context.act(async () => {
      if (isBusy) return;
      const of = turn;
      isBusy = true;
      update();
      try {
        const answer = await ask(list.next);
        if (of === turn) list.more(answer);
      } finally {
        if (of === turn) isBusy = false;
        update();
      }
    });
  return {
    list,
    again,
    /** The filters have changed: what is here belongs to others. */
    restart: () => {
      turn += 1;
      isBusy = false;
      list.restart();
    },
    moreButton: () => list.next !== null && h("div", { class: "actions", key: "more" }, h("button", { type: "button", "aria-disabled": isBusy ? "true" : null, on: { click: more } }, isBusy ? t("Loading …") : t("Show more"))),
  };
}

/**
 * A page with a list. The newest rows are asked for again while one of them runs; more are added at the end.
 * @param {Context} context
 * @param {{ title: string, path: string, filters: Filter[], limit?: number, cursor?: string, every?: number, keyOf?: (row: any) => string, actions?: (again: () => void) => any[], draw: (rows: any[], again: () => void) => any, empty: (isFiltered: boolean) => any, isOpen: (row: any) => boolean }} options
 * @returns {() => void} loads it again at once
 */
export function listPage(context, { title, path, filters, limit, cursor, every, keyOf, actions = () => [], draw, empty, isOpen }) {
  const { root } = context;
  context.setTitle(title);
  /** @type {Record<string, string>} */
  let query = Object.fromEntries(filters.map(({ name }) => [name, context.query[name] ?? ""]));
  const { list, again, restart, moreButton } = pagedList(context, { path, query: () => query, limit, cursor, every, keyOf, isOpen, update: () => update() });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  const change = (/** @type {string} */ name, /** @type {string} */ value, /** @type {boolean} */ isTyped) => {
    query = { ...query, [name]: value };
    restart();
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
    const { rows } = list;
    const drawn = list.isEmpty ? loading() : rows.length > 0 ? draw(rows, again) : list.next === null ? empty(isFiltered) : h("p", { class: "quiet" }, t("Nothing found so far."));
    render(
      root,
      head(title, actions(again)),
      filters.length > 0 && h("div", { class: "filters", role: "search" }, filters.map(control)),
      drawn,
      moreButton(),
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
