// The incubator of a subject: what was imported from accepted answers, as a tree, decided node by node.

import { poll, queryOf } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { entityTree } from "./entity_tree.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { action, bar, confirm, empty, figure, figures, head, loading, state, stateWord, table, time, toast, who, words } from "./ui.js";

const LIMIT = 100;
const STATES = ["incubating", "approved", "rejected", "archived", "reverted"];

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  const [subject] = context.params;
  const path = `v1/subjects/${encodeURIComponent(subject)}`;
  context.setTitle(t("Incubator"));
  /** @type {any[] | null} */
  let entities = null;
  /** @type {any[]} */
  let imports = [];
  let shown = context.query.state ?? "";

  const all = async (/** @type {string} */ of) => {
    const rows = [];
    let after = null;
    for (;;) {
      const answer = await api.get(`${path}/${of}${queryOf({ limit: LIMIT, after })}`, signal);
      rows.push(...answer.data);
      if (!answer.has_more) return rows;
      after = answer.last_id;
    }
  };
  const load = async () => {
    [entities, imports] = await Promise.all([all("entities"), all("imports")]);
    recovered();
    update();
  };
  const again = poll({ load, isActive: () => entities === null || imports.some((each) => each.state === "started"), signal, onError: context.onError });

  /** @param {"approve" | "reject" | "archive"} act @param {any} body */
  const decide = async (act, body) => {
    const refused = [];
    // An answer tells of what was done to 2,000 at most.
    for (let hasMore = true; hasMore; ) {
      const decision = await api.post(`${path}/entities/${act}`, body);
      refused.push(...decision.results.filter((/** @type {any} */ each) => !each.ok));
      hasMore = decision.has_more && decision.approved_count + decision.rejected_count + decision.archived_count > 0;
    }
    if (refused.length > 0) toast(t("{n} were decided otherwise: {reason}", { n: refused.length, reason: refused[0].reason }), "bad");
    else toast(t("Decided"));
    again();
  };
  const ask = (/** @type {"approve" | "reject" | "archive"} */ act, /** @type {any} */ node) => () => {
    const label = { approve: t("Approve"), reject: t("Reject"), archive: t("Archive") }[act];
    const inner = node.count - 1;
    confirm({
      title: `${label}: ${node.entity.name}`,
      words: inner === 0 ? t("The decision has its entry in the audit.") : t("With it, {n} that belong to it. Each decision has its entry in the audit.", { n: inner }),
      label,
      field: { name: "note", label: t("Note (optional)") },
      act: ({ note }) => decide(act, { items: [{ id: node.entity.id }], cascade: inner > 0, note: note || undefined }),
    });
  };
  const approveAll = () =>
    confirm({ title: t("Approve all that incubates?"), words: t("Each decision has its entry in the audit."), label: t("Approve all"), field: { name: "note", label: t("Note (optional)") }, act: ({ note }) => decide("approve", { all: true, cascade: true, note: note || undefined }) });
  const revert = (/** @type {any} */ each) => () =>
    confirm({
      title: t("Revert this import?"),
      words: t("What it has made and nobody has decided loses its content. What was decided stays."),
      label: t("Revert"),
      field: { name: "note", label: t("Note (optional)") },
      act: async ({ note }) => {
        await api.post(`${path}/imports/${each.id}/revert`, note ? { note } : {});
        again();
      },
    });
  const update = () => {
    const list = entities ?? [];
    const mayReview = session.refusal("review");
    const counts = Object.fromEntries(STATES.map((name) => [name, list.filter((entity) => entity.state === name).length]));
    const decided = list.length - counts.incubating;
    render(
      root,
      head([t("Incubator"), " ", h("small", null, h("a", { href: `#/subjects/${encodeURIComponent(subject)}` }, words(subject)))], counts.incubating > 0 && action(t("Approve all"), mayReview, approveAll, "main")),
      list.length === 0
        ? empty(t("Nothing incubates"), t("An answer that is accepted with its import becomes entities, which are decided here."), "longhand accept GENERATION --import")
        : [
            bar((decided / list.length) * 100, t("Decided"), "wide good"),
            figures(figure(t("Entities"), format.number(list.length)), STATES.map((name) => figure(stateWord(name), format.number(counts[name])))),
            h("div", { class: "filters" }, h("label", null, t("State"), h("select", { on: { change: (/** @type {any} */ event) => ((shown = event.target.value), context.setQuery({ state: shown }), update()) } }, ["", ...STATES].map((value) => h("option", { value, selected: value === shown }, value === "" ? t("all") : stateWord(value)))))),
            h("div", { class: "table", tabindex: 0, role: "region", "aria-label": t("Entities") }, h("ul", { class: "entities" }, entityTree(list, (entity) => shown === "" || entity.state === shown).map((node) => drawNode(node, mayReview, ask)))),
          ],
      imports.length > 0 &&
        h(
          "section",
          null,
          h("h2", null, t("Imports")),
          table(
            t("Imports"),
            [{ title: t("Generation") }, { title: t("State") }, { title: t("Importer"), class: "low" }, { title: t("By"), class: "low" }, { title: t("Made"), class: "low" }, { title: "", class: "tight" }],
            imports.map((each) => h("tr", { key: each.id }, h("td", { class: "name" }, h("a", { class: "mono", href: `#/generations/${each.generation}`, title: each.generation }, shortId(each.generation))), h("td", null, state(each.state)), h("td", { class: "low" }, words(each.importer)), h("td", { class: "low" }, each.by ? who(each.by) : "–"), h("td", { class: "low" }, time(each.created_at)), h("td", { class: "tight" }, each.state === "completed" && action(t("Revert"), mayReview, revert(each), "danger")))),
          ),
        ),
    );
  };
  render(root, head(t("Incubator")), loading());
}

/** @param {import("./entity_tree.js").Node} node @param {string | null} mayReview @param {(act: "approve" | "reject" | "archive", node: any) => () => void} ask @returns {any} */
function drawNode(node, mayReview, ask) {
  const { entity } = node;
  const fields = Object.entries(entity.fields ?? {}).filter(([, value]) => value !== null && value !== "");
  return h(
    "li",
    { key: entity.id },
    h(
      "div",
      { class: "entity" },
      h("div", null, h("span", { class: "tag" }, entity.kind), " ", h("strong", null, words(entity.name)), " ", state(entity.state), entity.edited && h("small", null, ` · ${t("edited")}`), h("br"), h("small", null, h("code", null, entity.path), entity.decided_by && [" · ", who(entity.decided_by), " ", time(entity.decided_at)], entity.note && [" · ", words(entity.note)]), fields.length > 0 && h("details", { key: "fields" }, h("summary", null, t("Fields")), h("dl", { class: "fields" }, fields.map(([name, value]) => [h("dt", null, words(name)), h("dd", null, words(typeof value === "string" ? value : JSON.stringify(value)))])))),
      h("div", { class: "actions" }, entity.state === "incubating" && [action(t("Approve"), mayReview, ask("approve", node)), action(t("Reject"), mayReview, ask("reject", node), "danger")], entity.state === "approved" && action(t("Archive"), mayReview, ask("archive", node))),
    ),
    node.children.length > 0 && h("ul", { class: "entities" }, node.children.map((child) => drawNode(child, mayReview, ask))),
  );
}
