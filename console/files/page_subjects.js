// Subjects: what generations are about.

import { h } from "./dom.js";
import { curl } from "./calls.js";
import { format, t } from "./i18n.js";
import { listPage, nothingFound } from "./lists.js";
import { empty, table, time, words } from "./ui.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  listPage(context, {
    title: t("Subjects"),
    path: "v1/subjects",
    filters: [
      { name: "prefix", label: t("Name begins with"), kind: "search" },
      { name: "label", label: t("Label"), kind: "text" },
    ],
    draw: (rows) =>
      table(
        t("Subjects"),
        [{ title: t("Subject") }, { title: t("Title"), class: "low" }, { title: t("Labels"), class: "low" }, { title: t("Version"), class: "number" }, { title: t("Changed") }],
        rows.map((row) => h("tr", { key: row.id }, h("td", { class: "name" }, h("a", { href: `#/subjects/${encodeURIComponent(row.id)}` }, words(row.id))), h("td", { class: "name low" }, words(row.title)), h("td", { class: "low" }, row.labels.map((/** @type {string} */ label) => [h("span", { class: "tag" }, label), " "])), h("td", { class: "number" }, format.number(row.current)), h("td", null, time(row.updated_at)))),
      ),
    empty: (isFiltered) => (isFiltered ? nothingFound() : empty(t("No subjects yet"), t("A generation that names a subject becomes the next version of its text."), curl("POST", "v1/generations", { provider: "openai", model: "gpt-5", prompt: "Hola", subject: "my-document" }))),
    isOpen: () => false,
  });
}
