// Batches: each with its bar, what failed, and how long it took.

import { once } from "./api.js";
import { h } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { curl } from "./calls.js";
import { isEnded, listPage, nothingFound } from "./lists.js";
import { action, ask, bar, between, empty, state, table, time, toast, words } from "./ui.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  const draw = (/** @type {any[]} */ rows) =>
    table(
      t("Batches"),
      [{ title: t("Name") }, { title: t("Progress") }, { title: t("State") }, { title: t("Failed"), class: "number low" }, { title: t("Items"), class: "number low" }, { title: t("Started"), class: "low" }, { title: t("Duration"), class: "number low" }, { title: t("Cost"), class: "number low" }],
      rows.map((row) =>
        h(
          "tr",
          { key: row.id },
          h("td", { class: "name" }, h("a", { href: `#/batches/${row.id}` }, words(row.name ?? shortId(row.id)))),
          h("td", null, bar(row.percent, t("Progress of {name}", { name: row.name ?? shortId(row.id) }), row.counts.failed > 0 ? "bad" : isEnded(row.status) ? "good" : ""), " ", h("span", { class: "number low" }, `${row.percent} %`)),
          h("td", null, state(row.status), row.counts.failed > 0 && h("div", { class: "error narrow" }, t("Failed"), ": ", format.number(row.counts.failed))),
          h("td", { class: `number low ${row.counts.failed > 0 ? "error" : ""}` }, format.number(row.counts.failed)),
          h("td", { class: "number low" }, format.number(row.counts.total)),
          h("td", { class: "low" }, time(row.created_at)),
          h("td", { class: "number low" }, format.duration(between(row.started_at, row.ended_at))),
          h("td", { class: "number low" }, format.cost(row.cost)),
        ),
      ),
    );
  listPage(context, {
    title: t("Batches"),
    path: "v1/batches",
    filters: [
      { name: "name", label: t("Name"), kind: "search" },
      { name: "status", label: t("State"), kind: "choice", choices: [["open", t("open")], ["ended", t("ended")]] },
    ],
    actions: () => [action(t("New batch"), context.session.refusal("start"), () => begin(context), "main")],
    draw,
    empty: (isFiltered) => (isFiltered ? nothingFound() : empty(t("No batches yet"), t("A batch starts many generations as one, and reports them together."), curl("POST", "v1/batches", { name: "Report", items: [{ request: { prompt: "One" } }, { request: { prompt: "Two" } }], defaults: { provider: "openai", model: "gpt-5" } }))),
    isOpen: (row) => !isEnded(row.status),
  });
}

/** Asks for the prompts of a batch, one a line, and starts it. @param {import("./app.js").Context} context */
function begin(context) {
  const post = once(context.api);
  ask({
    title: t("New batch"),
    label: t("Start"),
    content: () => [
      h("label", null, t("Name"), h("input", { name: "name", autocomplete: "off" })),
      h("label", null, t("Provider"), h("input", { name: "provider", value: "openai", required: true, autocomplete: "off" })),
      h("label", null, t("Model"), h("input", { name: "model", required: true, autocomplete: "off" })),
      h("label", null, t("Items at once"), h("input", { name: "concurrency", type: "number", min: 1, value: 5, required: true })),
      h("label", null, t("Prompts, one a line"), h("textarea", { name: "prompts", rows: 8, required: true })),
    ],
    act: async ({ name, provider, model, concurrency, prompts }) => {
      const lines = prompts.split("\n").map((line) => line.trim()).filter((line) => line !== "");
      const started = await post("v1/batches", { name: name.trim() || undefined, items: lines.map((prompt) => ({ request: { prompt } })), defaults: { provider: provider.trim(), model: model.trim() }, concurrency: Number(concurrency) });
      toast(t("Started"));
      location.hash = `#/batches/${started.id}`;
    },
  });
}
