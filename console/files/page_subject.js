// One subject: the timeline of its versions, the text of one, what differs, and what can be made of it.

import { once, poll, queryOf } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { format, t } from "./i18n.js";
import { JsonView } from "./json_view.js";
import { treeOf } from "./partial_json.js";
import { action, confirm, figure, figures, head, loading, time, toast, tokensOf, who, words } from "./ui.js";
import { sideBySide, wordDiff } from "./words.js";

const SIGNS = /** @type {Record<string, string>} */ ({ initial_generation: "★", automatic_regeneration: "↻", manual_edit: "✎", restoration: "⮌" });
const PAGE = 50;
/** A subject is asked for again after so long, and less and less often while it does not change. */
const EVERY_MS = 5_000;
const EVERY_MAX_MS = 60_000;
const CHANGES = /** @type {Record<string, string>} */ ({ initial_generation: "first generation", automatic_regeneration: "generated again", manual_edit: "edited by hand", restoration: "restored" });
/** @param {any} version */
const changeOf = (version) => t(CHANGES[version.change_type] ?? version.change_type);

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  const [id] = context.params;
  const path = `v1/subjects/${encodeURIComponent(id)}`;
  context.setTitle(id);
  /** @type {any} */
  let subject = null;
  /** @type {any[]} */
  let versions = [];
  let hasMore = false;
  /** @type {number | null} */
  let chosen = context.query.version ? Number(context.query.version) : null;
  /** @type {number | null} */
  let compared = context.query.with ? Number(context.query.with) : null;
  let isInline = context.query.look === "inline";
  /** @type {any} */
  let output = null;
  /** @type {any} */
  let diff = null;
  let shownFor = "";
  let asked = "";
  /** How often in a row nothing was new. */
  let quiet = 0;
  const view = new JsonView(() => update());

  const load = async () => {
    const found = await api.get(path, signal);
    quiet = subject && found.updated_at === subject.updated_at && found.current === subject.current ? quiet + 1 : 0;
    subject = found;
    const list = await api.get(`${path}/versions${queryOf({ limit: PAGE })}`, signal);
    const known = new Set(list.data.map((/** @type {any} */ version) => version.number));
    versions = [...list.data, ...versions.filter((version) => !known.has(version.number) && version.number < (list.last_number ?? 0))];
    if (versions.length === list.data.length) hasMore = list.has_more;
    recovered();
    await loadChosen();
  };
  const number = () => chosen ?? subject.current;
  const loadChosen = async () => {
    const wanted = `${number()} ${compared}`;
    asked = wanted;
    if (wanted !== shownFor && number() !== null) {
      const [n, other] = [number(), compared];
      const text = await api.get(`${path}/versions/${n}/output`, signal);
      const found = other === null || other === n ? null : await api.get(`${path}/diff${queryOf({ from: Math.min(other, n), to: Math.max(other, n) })}`, signal);
      // Another was chosen meanwhile.
      if (asked !== wanted) return;
      output = text;
      diff = found && { ...found, rows: rowsOf(found) };
      shownFor = wanted;
    }
    update();
  };
  const again = poll({ load, isActive: () => true, every: () => Math.min(EVERY_MS * 2 ** quiet, EVERY_MAX_MS), signal, onError: context.onError });
  const change = (/** @type {() => void} */ how) => {
    how();
    context.setQuery({ version: chosen, with: compared, look: isInline ? "inline" : "" });
    void context.act(loadChosen);
  };
  const older = async () => {
    const list = await api.get(`${path}/versions${queryOf({ limit: PAGE, before: versions.at(-1).number })}`, signal);
    versions = [...versions, ...list.data];
    hasMore = list.has_more;
    update();
  };
  /** The change is made to the version that was current when its reader began, or refused. */
  const guard = () => ({ "if-match": `"${subject.current}"` });
  const done = (/** @type {any} */ version) => {
    chosen = null;
    compared = null;
    quiet = 0;
    toast(t("Version {n} is current now", { n: version.number }));
    context.setQuery({});
    again();
  };
  const restore = () => {
    const [seen, n] = [guard(), number()];
    confirm({ title: t("Restore version {n}?", { n }), words: t("Its text becomes the newest version. The versions in between stay."), label: t("Restore"), field: { name: "reason", label: t("Reason (optional)") }, act: async ({ reason }) => done(await api.post(`${path}/versions/${n}/restore`, reason ? { reason } : {}, seen)) });
  };
  const edit = () => {
    const seen = guard();
    confirm({
      title: t("Edit the text"),
      words: t("What you save becomes the newest version."),
      label: t("Save"),
      field: { name: "text", label: t("Text"), isRequired: true, isLong: true, value: output.text },
      act: async ({ text }) => done(await api.post(`${path}/versions`, { text: text.replaceAll("\r\n", "\n") }, seen)),
    });
  };
  const regenerate = () => {
    const post = once(api);
    confirm({
      title: t("Generate it again?"),
      words: t("The last request is sent once more. Its answer becomes the newest version."),
      label: t("Generate"),
      field: { name: "reason", label: t("Reason"), isRequired: true },
      act: async ({ reason }) => {
        const started = await post(`${path}/regenerate`, { reason });
        location.hash = `#/generations/${started.id}`;
      },
    });
  };
  /** Downloads an export by a link of its own, because the address alone has no key. @param {string} format */
  const save = (format) =>
    context.act(async () => {
      const response = await api.send("GET", `${path}/export${queryOf({ format })}`);
      const link = h("a", { href: URL.createObjectURL(await response.blob()), download: `${id}.${format}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
    });
  const update = () => {
    const mayStart = session.refusal("start");
    const isCurrent = number() === subject.current;
    const shown = versions.find((version) => version.number === number());
    render(
      root,
      head(words(subject.title ?? id), action(t("Generate again"), subject.last_generation ? mayStart : t("It was not generated, so there is no request to repeat."), regenerate, "main"), h("a", { href: `#/subjects/${encodeURIComponent(id)}/entities` }, t("Incubator")), h("select", { "aria-label": t("Export"), on: { change: (/** @type {any} */ event) => (save(event.target.value), (event.target.value = "")) } }, [["", t("Export …")], ["json", "JSON"], ["md", "Markdown"], ["csv", "CSV"], ["ndjson", "NDJSON"]].map(([value, label]) => h("option", { value }, label))), h("button", { type: "button", on: { click: () => print() } }, t("Print or PDF"))),
      h("div", { class: "columns" }, h("div", { class: "page" }, number() === null ? h("p", { class: "quiet" }, t("It has no version yet: no generation of it has completed.")) : content(shown, isCurrent, mayStart)), h("aside", { class: "page no-print" }, timeline())),
    );
  };
  const content = (/** @type {any} */ shown, /** @type {boolean} */ isCurrent, /** @type {string | null} */ mayStart) => [
    h("div", { class: "head" }, h("h2", null, t("Version {n}", { n: number() }), " ", isCurrent && h("span", { class: "tag" }, t("current"))), h("div", { class: "actions" }, output?.text !== null && isCurrent && action(t("Edit"), mayStart, edit), !isCurrent && action(t("Restore this version"), mayStart, restore, "main"))),
    shown && figures(figure(t("Change"), changeOf(shown), words(shown.reason ?? "")), figure(t("Made"), time(shown.created_at), shown.created_by && who(shown.created_by)), figure(t("Model"), words(shown.model), words(shown.provider ?? "")), figure(t("Tokens, in → out"), tokensOf(shown.usage)), figure(t("Cost"), format.cost(shown.cost)), figure(t("Size"), format.size(shown.bytes))),
    diff !== null ? [h("div", { class: "actions" }, h("strong", null, t("From {from} to {to}", { from: diff.from, to: diff.to })), h("span", { class: "quiet" }, t("lines added: {added}, removed: {removed}", { added: format.number(diff.added), removed: format.number(diff.removed) })), h("button", { type: "button", "aria-pressed": String(!isInline), on: { click: () => change(() => (isInline = false)) } }, t("Side by side")), h("button", { type: "button", "aria-pressed": String(isInline), on: { click: () => change(() => (isInline = true)) } }, t("Inline")), h("button", { type: "button", on: { click: () => change(() => (compared = null)) } }, t("Show the text"))), drawDiff(diff, isInline)] : preview(output),
  ];
  /** The text that was read last, and its tree. @type {{ text: string, tree: import("./partial_json.js").JsonNode | null }} */
  let previewed = { text: "", tree: null };
  const preview = (/** @type {any} */ of) => {
    if (!of) return null;
    if (of.text === null) return h("p", null, h("a", { href: of.url, rel: "noreferrer" }, t("Download the text ({size})", { size: format.size(of.bytes) })));
    if (previewed.text !== of.text) previewed = { text: of.text, tree: /^\s*[[{]/.test(of.text) ? treeOf(of.text) : null };
    return previewed.tree === null ? h("div", { class: "preview", tabindex: 0, role: "region", "aria-label": t("Text") }, of.text) : h("div", { class: "tree", tabindex: 0, role: "region", "aria-label": t("Text") }, view.draw(previewed.tree));
  };
  const timeline = () => [
    h("h2", null, t("Versions")),
    h(
      "ol",
      { class: "timeline" },
      versions.map((version) =>
        h(
          "li",
          { key: String(version.number), "data-sign": SIGNS[version.change_type] ?? "·", class: version.is_current ? "current" : "" },
          h("div", { class: "actions" }, h("button", { type: "button", "aria-pressed": String(version.number === number()), on: { click: () => change(() => ((chosen = version.number), (compared = null))) } }, t("Version {n}", { n: version.number })), version.is_current && h("span", { class: "tag" }, t("current")), version.labels.map((/** @type {string} */ label) => h("span", { class: "tag" }, label))),
          h("span", null, changeOf(version), version.restored_from && ` ${t("of version {n}", { n: version.restored_from })}`, version.reason && [": ", words(version.reason)]),
          h("small", null, time(version.created_at), version.created_by && [" · ", who(version.created_by)], version.model && [" · ", words(version.model)]),
          version.number !== number() && h("div", null, h("button", { type: "button", class: "plain", on: { click: () => change(() => (compared = version.number)) } }, t("Compare with version {n}", { n: number() }))),
        ),
      ),
    ),
    hasMore && h("button", { type: "button", on: { click: () => context.act(older) } }, t("Show more")),
  ];
  render(root, head(words(id)), loading());
}

/** The rows of a diff, hunk by hunk, with what differs within them: computed once, however often they are drawn. @param {any} diff */
const rowsOf = (diff) => diff.hunks.map((/** @type {any} */ hunk) => sideBySide(hunk.lines).map(({ from, to }) => ({ from, to, parts: from === null || to === null || from === to ? [] : wordDiff(from, to) })));

/** @param {any} diff @param {boolean} isInline */
function drawDiff(diff, isInline) {
  if (diff.hunks.length === 0) return h("p", { class: "quiet" }, t("They are the same."));
  const marked = (/** @type {any} */ { from, to, parts }, /** @type {"-" | "+"} */ side) => {
    if (from === null || to === null) return side === "-" ? from : to;
    return parts.filter((/** @type {any} */ part) => part.op === " " || part.op === side).map((/** @type {any} */ part) => (part.op === " " ? part.text : h(side === "-" ? "del" : "ins", null, part.text)));
  };
  const rows = diff.hunks.flatMap((/** @type {any} */ hunk, /** @type {number} */ at) => {
    const gap = h("tr", { key: `gap-${at}`, class: "gap" }, h("td", { colspan: 2 }, t("from line {n}", { n: hunk.new_start })));
    const lines = diff.rows[at].map((/** @type {any} */ row) => {
      const { from, to, parts } = row;
      const isSame = from === to;
      if (!isInline) return h("tr", null, h("td", { class: isSame || from === null ? "" : "removed" }, isSame ? from : marked(row, "-")), h("td", { class: isSame || to === null ? "" : "added" }, isSame ? to : marked(row, "+")));
      if (isSame) return h("tr", null, h("td", { colspan: 2 }, from));
      if (from === null || to === null) return h("tr", null, h("td", { colspan: 2, class: from === null ? "added" : "removed" }, from === null ? h("ins", null, to) : h("del", null, from)));
      return h("tr", null, h("td", { colspan: 2 }, parts.map((/** @type {any} */ part) => (part.op === " " ? part.text : h(part.op === "-" ? "del" : "ins", null, part.text)))));
    });
    return [gap, ...lines];
  });
  return h("div", { class: "diff", tabindex: 0, role: "region", "aria-label": t("Differences") }, h("table", null, h("tbody", null, rows)));
}
