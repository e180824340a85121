// One pipeline: its versions, its document, a check of a changed one, and a form that starts a run.

import { once, Problem } from "./api.js";
import { h, render } from "./dom.js";
import { collect, errorsByField, fieldsOf, textsOf } from "./form_model.js";
import { format, t } from "./i18n.js";
import { JsonView } from "./json_view.js";
import { textOf, treeOf } from "./partial_json.js";
import { action, confirm, figure, figures, head, loading, problem, time, toast, who, words } from "./ui.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  const [name] = context.params;
  context.setTitle(name);
  /** @type {any} */
  let shown = null;
  let newest = 0;
  let asked = 0;
  /** @type {import("./form_model.js").Field[]} */
  let fields = [];
  /** What the fields have: what their reader gave them, or the version's own values. @type {Record<string, string>} */
  let texts = {};
  /** @type {Record<string, string>} */
  let given = {};
  /** @type {Record<string, string[]>} */
  let errors = {};
  /** @type {unknown} */
  let failure = null;
  const post = once(api);
  const view = new JsonView(() => update());
  /** The shown version's document. @type {import("./partial_json.js").JsonNode | null} */
  let tree = null;

  const load = async (/** @type {number | null} */ version) => {
    const number = (asked += 1);
    const text = await api.text(version === null ? `v1/pipelines/${name}` : `v1/pipelines/${name}/versions/${version}`, signal);
    const found = JSON.parse(text);
    if (version === null) newest = Math.max(newest, found.version);
    if (number !== asked) return;
    shown = found;
    tree = treeOf(text, "document");
    fields = fieldsOf(shown.document.input ?? { type: "object", properties: {} });
    texts = { ...Object.fromEntries(fields.map((field) => [field.pointer, field.initial])), ...given };
    // What was wrong was so by another version's schema.
    errors = {};
    failure = null;
    update();
  };
  const choose = (/** @type {any} */ event) =>
    context.act(async () => {
      try {
        await load(Number(event.target.value));
      } catch (error) {
        event.target.value = shown.version;
        throw error;
      }
    });
  const check = () =>
    confirm({
      title: t("Check a document"),
      words: t("Tells what publishing this document would do, and changes nothing."),
      label: t("Check"),
      field: { name: "document", label: t("Document, as JSON"), isRequired: true, isLong: true, value: textOf(tree) },
      act: async ({ document }) => {
        const answer = await api.post(`v1/pipelines/${name}/check`, `{"document":${document}}`);
        toast(answer.is_new ? t("Good: it would become version {n}", { n: answer.version }) : t("Good: it is version {n} already", { n: answer.version }));
      },
    });
  const publish = () =>
    confirm({
      title: t("Publish a new version?"),
      words: t("Runs that are started from now on take it. Those that have begun keep theirs."),
      label: t("Publish"),
      field: { name: "document", label: t("Document, as JSON"), isRequired: true, isLong: true, value: textOf(tree) },
      act: async ({ document }) => {
        await api.send("PUT", `v1/pipelines/${name}`, { body: document });
        await load(null);
      },
    });
  const start = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const refusal = session.refusal("start");
    if (refusal) return toast(refusal, "bad");
    errors = {};
    failure = null;
    try {
      const run = await post("v1/runs", { pipeline: `${name}@${shown.version}`, input: collect(fields, texts) });
      location.hash = `#/runs/${run.id}`;
    } catch (error) {
      if (error instanceof Problem && error.errors.length > 0 && error.errors.every((each) => each.pointer.startsWith("/input"))) {
        errors = errorsByField(fields, error.errors);
        update();
        /** @type {HTMLElement | null} */ (root.querySelector('[aria-invalid="true"], #form-errors'))?.focus();
        return;
      }
      failure = error;
      update();
    }
  };
  const fill = () =>
    confirm({
      title: t("Fill in from JSON"),
      words: t("The fields take what stands in it, and can be changed afterwards."),
      label: t("Fill in"),
      field: { name: "input", label: t("Input, as JSON"), isRequired: true, isLong: true, value: JSON.stringify(collect(fields, texts), null, 2) },
      act: async ({ input }) => {
        texts = given = textsOf(fields, JSON.parse(input));
        for (const control of root.querySelectorAll("[data-pointer]")) /** @type {HTMLInputElement} */ (control).value = texts[control.getAttribute("data-pointer") ?? ""] ?? "";
        update();
      },
    });
  const update = () => {
    const { document } = shown;
    const versions = Array.from({ length: newest }, (_, at) => newest - at);
    const mayPublish = session.refusal("admin");
    render(
      root,
      head(words(document.title ?? name), h("label", { class: "chooser" }, h("span", { class: "unseen" }, t("Version")), h("select", { on: { change: choose } }, versions.map((version) => h("option", { value: version, selected: version === shown.version }, t("Version {n}", { n: version }))))), action(t("Check a document"), mayPublish, check), action(t("Publish"), mayPublish, publish)),
      document.description && h("p", null, words(document.description)),
      figures(figure(t("Name"), words(name)), figure(t("Steps"), format.number(document.steps.length)), figure(t("Published"), time(shown.created_at), who(shown.created_by)), figure(t("Runs of it"), h("a", { href: `#/runs?pipeline=${encodeURIComponent(name)}` }, t("Show")))),
      h(
        "form",
        { class: "panel", novalidate: true, on: { submit: start } },
        h("div", { class: "head" }, h("h2", null, t("Start a run")), h("div", { class: "actions" }, h("button", { type: "button", on: { click: fill } }, t("Fill in from JSON")))),
        failure !== null && problem(failure),
        errors[""] && h("div", { class: "problem", role: "alert", id: "form-errors", tabindex: -1 }, h("ul", null, errors[""].map((each) => h("li", null, each)))),
        Object.keys(errors).length > 0 && h("p", { class: "field-error", role: "alert" }, t("{n} fields need another value.", { n: Object.keys(errors).length })),
        h("div", { class: "form" }, fields.map((field) => drawField(field, texts, errors[field.pointer] ?? [], (text) => (texts[field.pointer] = given[field.pointer] = text)))),
        fields.length === 0 && h("p", { class: "quiet" }, t("This pipeline needs no input.")),
        h("div", { class: "actions" }, h("button", { type: "submit", class: `main ${session.refusal("start") ? "refused" : ""}`, title: session.refusal("start"), "aria-disabled": session.refusal("start") ? "true" : null }, t("Start"))),
      ),
      h("section", null, h("h2", null, t("Document")), h("div", { class: "tree", tabindex: 0, role: "region", "aria-label": t("Document") }, tree && view.draw(tree))),
    );
  };
  render(root, head(words(name)), loading());
  void context.act(() => load(null));
}

/** @param {import("./form_model.js").Field} field @param {Record<string, string>} texts @param {string[]} errors @param {(text: string) => void} give */
function drawField(field, texts, errors, give) {
  const id = `field${field.pointer.replaceAll(/[^\w]/g, "-")}`;
  const props = {
    id,
    "data-pointer": field.pointer,
    "aria-invalid": errors.length > 0 ? "true" : null,
    "aria-describedby": [field.help && `${id}-help`, errors.length > 0 && `${id}-errors`].filter(Boolean).join(" ") || null,
    "aria-required": field.isRequired ? "true" : null,
    on: { input: (/** @type {any} */ event) => give(event.target.value) },
  };
  const value = texts[field.pointer] ?? "";
  const options = field.kind === "boolean" ? [["true", t("yes")], ["false", t("no")]] : field.choices.map((choice) => [String(choice), String(choice)]);
  const control =
    field.kind === "choice" || field.kind === "boolean"
      ? h("select", props, [["", ""], ...options].map(([of, label]) => h("option", { value: of, selected: of === value }, label)))
      : field.kind === "long" || field.kind === "lines" || field.kind === "json"
        ? h("textarea", { ...props, rows: field.kind === "json" ? 5 : 3 }, value)
        : h("input", { ...props, value, type: field.kind === "text" ? "text" : "number", step: field.kind === "number" ? "any" : null, min: field.min, max: field.max, autocomplete: "off" });
  const isWhole = field.kind === "json" || field.kind === "long";
  return h(
    "div",
    { key: `${field.pointer} ${field.kind} ${field.initial}`, class: isWhole ? "whole" : "" },
    h("label", { for: id }, h("span", null, words(field.label), field.isRequired ? h("span", { "aria-hidden": "true" }, " *") : "", field.path.length > 1 && h("small", null, ` ${field.path.slice(0, -1).join(" › ")}`))),
    control,
    field.help && h("small", { id: `${id}-help` }, field.kind === "lines" ? `${field.help} – ${t("one a line")}` : field.help),
    !field.help && field.kind === "lines" && h("small", null, t("one a line")),
    errors.length > 0 && h("div", { id: `${id}-errors`, class: "field-error" }, errors.map((each) => h("p", null, each))),
  );
}
