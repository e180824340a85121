// Runs of pipelines: how far each is, and at which step.

import { curl } from "./calls.js";
import { h } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { isEnded, listPage, nothingFound, stateChoices } from "./lists.js";
import { bar, between, empty, state, stateWord, table, time, words } from "./ui.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  const draw = (/** @type {any[]} */ rows) =>
    table(
      t("Runs"),
      [{ title: t("Run") }, { title: t("Progress") }, { title: t("State") }, { title: t("Step"), class: "low" }, { title: t("Started"), class: "low" }, { title: t("Duration"), class: "number low" }, { title: t("Tokens"), class: "number low" }, { title: t("Cost"), class: "number low" }],
      rows.map((row) =>
        h(
          "tr",
          { key: row.id },
          h("td", { class: "name" }, h("a", { href: `#/runs/${row.id}`, title: row.id }, words(row.pipeline.name)), h("small", null, ` @${row.pipeline.version}`), h("br"), h("small", { class: "mono" }, shortId(row.id))),
          h("td", null, bar(row.progress.percentage, t("Progress"), row.status === "failed" ? "bad" : row.status === "completed" ? "good" : ""), h("br"), h("small", null, t("{done} of {all} steps", { done: row.progress.completed_steps, all: row.progress.total_steps }))),
          h("td", null, state(row.status), row.error && h("div", { class: "error" }, words(row.error.message))),
          h("td", { class: "name low" }, isEnded(row.status) ? "–" : words(row.progress.current_step)),
          h("td", { class: "low" }, time(row.created_at)),
          h("td", { class: "number low" }, format.duration(between(row.started_at, row.ended_at))),
          h("td", { class: "number low" }, format.number(row.token_usage.total_tokens)),
          h("td", { class: "number low" }, format.cost(row.cost)),
        ),
      ),
    );
  listPage(context, {
    title: t("Runs"),
    path: "v1/runs",
    filters: [
      { name: "pipeline", label: t("Pipeline"), kind: "search" },
      { name: "status", label: t("State"), kind: "choice", choices: stateChoices(stateWord, ["pending", "running", "completed", "failed", "cancelled"]) },
    ],
    draw,
    empty: (isFiltered) => (isFiltered ? nothingFound() : empty(t("No runs yet"), t("A run makes one result by the steps of a pipeline. Start one on the page of its pipeline, or by a call:"), curl("POST", "v1/runs", { pipeline: "NAME", input: {} }))),
    isOpen: (row) => !isEnded(row.status),
  });
}
