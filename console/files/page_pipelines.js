// Pipelines that can be run.

import { h } from "./dom.js";
import { format, t } from "./i18n.js";
import { listPage } from "./lists.js";
import { empty, table, time, words } from "./ui.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  listPage(context, {
    title: t("Pipelines"),
    path: "v1/pipelines",
    keyOf: (row) => row.name,
    filters: [],
    draw: (rows) =>
      table(
        t("Pipelines"),
        [{ title: t("Name") }, { title: t("Title"), class: "low" }, { title: t("Version"), class: "number" }, { title: t("Steps"), class: "number" }, { title: t("Published") }],
        rows.map((row) => h("tr", { key: row.name }, h("td", { class: "name" }, h("a", { href: `#/pipelines/${row.name}` }, words(row.name))), h("td", { class: "name low" }, words(row.title)), h("td", { class: "number" }, format.number(row.version)), h("td", { class: "number" }, format.number(row.steps)), h("td", null, time(row.updated_at)))),
      ),
    empty: () => empty(t("No pipelines yet"), t("A pipeline is a document of steps, each a prompt with what its answer must look like. Publish one:"), "longhand pipelines publish FILE"),
    isOpen: () => false,
  });
}
