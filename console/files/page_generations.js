// Generations: what was asked for, how it stands, what it cost.

import { once } from "./api.js";
import { h } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { curl } from "./calls.js";
import { isEnded, listPage, nothingFound, stateChoices } from "./lists.js";
import { action, ask, bar, between, confirm, empty, state, stateWord, table, time, toast, tokensOf, words } from "./ui.js";

const STATES = ["pending", "running", "completed", "incomplete", "failed", "cancelled"];

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { session } = context;
  /** @type {Set<string>} */
  const chosen = new Set();
  const mayStart = session.refusal("start");
  /** @type {() => void} */
  let again = () => {};
  const cancel = () =>
    confirm({
      title: t("Cancel {n} generations?", { n: chosen.size }),
      words: t("What they have written so far is kept. A cancelled generation does not go on."),
      label: t("Cancel them"),
      act: async () => {
        for (const id of [...chosen]) {
          await context.api.post(`v1/generations/${id}/cancel`).catch((error) => {
            // One that has ended in the meantime needs no cancel.
            if (error.code !== "already_ended") throw error;
          });
          chosen.delete(id);
        }
        again();
      },
    });
  const box = (/** @type {any} */ row) => {
    const isOpen = !isEnded(row.status);
    if (!isOpen) chosen.delete(row.id);
    return h("input", { key: isOpen ? "open" : "ended", type: "checkbox", "aria-label": t("Choose {what}", { what: shortId(row.id) }), disabled: !isOpen, checked: chosen.has(row.id), on: { change: (/** @type {any} */ event) => (event.target.checked ? chosen.add(row.id) : chosen.delete(row.id), again()) } });
  };
  /** What is not shown is not cancelled either. @param {any[]} rows */
  const forget = (rows) => {
    for (const id of [...chosen]) if (!rows.some((row) => row.id === id)) chosen.delete(id);
  };
  const draw = (/** @type {any[]} */ rows) => {
    forget(rows);
    return table(
      t("Generations"),
      [{ title: "", class: "tight" }, { title: t("Generation") }, { title: t("State") }, { title: t("Model"), class: "low" }, { title: t("Subject"), class: "low" }, { title: t("Started") }, { title: t("Duration"), class: "number low" }, { title: t("Tokens"), class: "number low" }, { title: t("Cost"), class: "number low" }],
      rows.map((row) =>
        h(
          "tr",
          { key: row.id },
          h("td", { class: "tight" }, box(row)),
          h("td", null, h("a", { class: "mono", href: `#/generations/${row.id}`, title: row.id }, shortId(row.id))),
          h("td", null, state(row.status), " ", !isEnded(row.status) && bar(row.progress?.percent, t("Progress")), row.error && h("div", { class: "error" }, words(row.error.message))),
          h("td", { class: "name low" }, words(row.model), h("br"), h("small", null, words(row.provider))),
          h("td", { class: "name low" }, row.subject ? h("a", { href: `#/subjects/${encodeURIComponent(row.subject)}` }, words(row.subject)) : "–"),
          h("td", null, time(row.created_at)),
          h("td", { class: "number low" }, format.duration(between(row.created_at, row.completed_at))),
          h("td", { class: "number low" }, tokensOf(row.usage)),
          h("td", { class: "number low" }, format.cost(row.cost)),
        ),
      ),
    );
  };
  again = listPage(context, {
    title: t("Generations"),
    path: "v1/generations",
    filters: [
      { name: "subject", label: t("Subject"), kind: "search" },
      { name: "status", label: t("State"), kind: "choice", choices: stateChoices(stateWord, STATES) },
      { name: "model", label: t("Model"), kind: "text" },
      { name: "provider", label: t("Provider"), kind: "text" },
    ],
    actions: () => [chosen.size > 0 && action(t("Cancel {n}", { n: chosen.size }), mayStart, cancel, "danger"), action(t("New generation"), mayStart, () => begin(context), "main")],
    draw,
    empty: (isFiltered) => (forget([]), isFiltered ? nothingFound() : empty(t("No generations yet"), t("A generation is one request to a model. It is written down as it arrives, and stays here."), curl("POST", "v1/generations", { provider: "openai", model: "gpt-5", prompt: "Hola" }))),
    isOpen: (row) => !isEnded(row.status),
  });
}

/** Asks for what a generation needs, and starts it. @param {import("./app.js").Context} context */
function begin(context) {
  const post = once(context.api);
  ask({
    title: t("New generation"),
    label: t("Start"),
    content: () => [
      h("label", null, t("Provider"), h("input", { name: "provider", value: "openai", autocomplete: "off" })),
      h("label", null, t("Model"), h("input", { name: "model", required: true, autocomplete: "off" })),
      h("label", null, t("Prompt"), h("textarea", { name: "prompt", rows: 6, required: true })),
      h("label", null, t("Subject (optional)"), h("input", { name: "subject", autocomplete: "off" })),
    ],
    act: async (texts) => {
      const given = Object.entries(texts).map(([name, text]) => [name, text.trim()]);
      const started = await post("v1/generations", Object.fromEntries(given.filter(([, text]) => text !== "")));
      toast(t("Started"));
      location.hash = `#/generations/${started.id}`;
    },
  });
}
