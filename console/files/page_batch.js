// One batch: its counts, its items with their errors, and what can be done about them.

import { once, poll, queryOf } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { isEnded, nothingFound } from "./lists.js";
import { action, bar, between, confirm, copyable, figure, figures, head, loading, state, stateWord, table, time, words } from "./ui.js";

const PAGE = 100;

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  const [id] = context.params;
  const path = `v1/batches/${id}`;
  let status = context.query.status ?? "";
  /** @type {any} */
  let batch = null;
  /** @type {any[]} */
  let items = [];
  let most = PAGE;
  let hasMore = false;
  let tag = "";
  let shownFor = "";

  const load = async () => {
    const response = await api.send("GET", path, { headers: tag ? { "if-none-match": tag } : {}, signal });
    recovered();
    if (response.status !== 304) {
      tag = response.headers.get("etag") ?? "";
      batch = await response.json();
    }
    const wanted = `${batch.revision} ${status} ${most}`;
    if (wanted !== shownFor) {
      await loadItems();
      shownFor = wanted;
    }
    update();
  };
  const loadItems = async () => {
    /** @type {any[]} */
    const all = [];
    hasMore = true;
    /** @type {number | null} */
    let after = null;
    while (hasMore && all.length < most) {
      const answer = await api.get(`${path}/items${queryOf({ status, after, limit: PAGE })}`, signal);
      all.push(...answer.data);
      hasMore = answer.has_more;
      after = answer.last_index;
    }
    items = all;
  };
  const again = poll({ load, isActive: () => batch === null || !isEnded(batch.status), every: 1_500, signal, onError: context.onError });

  const cancel = () => confirm({ title: t("Cancel this batch?"), words: t("Items that run are cancelled, the others do not start. What has completed is kept."), label: t("Cancel it"), act: async () => (await api.post(`${path}/cancel`), again()) });
  const retry = () => {
    const post = once(api);
    confirm({
      title: t("Retry what failed?"),
      words: t("{n} items are started again, as a new batch.", { n: batch.counts.failed + batch.counts.cancelled }),
      label: t("Start it"),
      act: async () => {
        const started = await post(`${path}/retry`, { only: ["failed", "cancelled"] });
        location.hash = `#/batches/${started.id}`;
      },
    });
  };
  const choose = (/** @type {any} */ event) => {
    status = event.target.value;
    context.setQuery({ status });
    again();
  };
  const update = () => {
    const { counts } = batch;
    const isOpen = !isEnded(batch.status);
    const mayStart = session.refusal("start");
    context.setTitle(batch.name ?? t("Batch"));
    const count = (/** @type {string} */ of) => figure(stateWord(of), format.number(counts[of]));
    render(
      root,
      head(words(batch.name ?? t("Batch")), copyable(id), isOpen && action(t("Cancel"), mayStart, cancel, "danger"), !isOpen && counts.failed + counts.cancelled > 0 && action(t("Retry what failed"), mayStart, retry, "main")),
      h("div", { class: "actions" }, state(batch.status), h("span", { class: "quiet" }, `${batch.percent} %`)),
      bar(batch.percent, t("Progress"), `wide ${counts.failed > 0 ? "bad" : isOpen ? "" : "good"}`),
      figures(figure(t("Items"), format.number(counts.total)), count("completed"), count("failed"), count("running"), count("pending"), count("cancelled"), count("skipped"), figure(t("Duration"), format.duration(between(batch.started_at, batch.ended_at)), batch.started_at ? [t("started"), " ", time(batch.started_at)] : null), figure(t("Tokens, out"), format.number(batch.usage.output_tokens)), figure(t("Cost"), format.cost(batch.cost))),
      batch.retry_of && h("p", null, t("Retry of"), " ", h("a", { href: `#/batches/${batch.retry_of}` }, shortId(batch.retry_of))),
      h("div", { class: "filters" }, h("label", null, t("State"), h("select", { on: { change: choose } }, ["", "pending", "running", "completed", "failed", "cancelled", "skipped"].map((value) => h("option", { value, selected: value === status }, value === "" ? t("all") : stateWord(value)))))),
      items.length === 0 ? nothingFound() : drawItems(items),
      hasMore && h("button", { type: "button", on: { click: () => ((most += PAGE * 5), again()) } }, t("Show more")),
    );
  };
  render(root, head(t("Batch"), copyable(id)), loading());
}

/** @param {any[]} items */
function drawItems(items) {
  return table(
    t("Items"),
    [{ title: t("No."), class: "number" }, { title: t("Item") }, { title: t("State") }, { title: t("Subject"), class: "low" }, { title: t("Tries"), class: "number low" }, { title: t("Duration"), class: "number low" }, { title: t("Cost"), class: "number low" }],
    items.map((item) =>
      h(
        "tr",
        { key: String(item.index) },
        h("td", { class: "number" }, format.number(item.index + 1)),
        h("td", { class: "name" }, item.generation ? h("a", { href: `#/generations/${item.generation}` }, words(item.custom_id ?? shortId(item.generation))) : words(item.custom_id)),
        h("td", null, state(item.status), item.error && h("div", { class: "error" }, words(item.error.message))),
        h("td", { class: "name low" }, item.subject ? h("a", { href: `#/subjects/${encodeURIComponent(item.subject)}` }, words(item.subject)) : "–"),
        h("td", { class: "number low" }, format.number(item.tries)),
        h("td", { class: "number low" }, format.duration(between(item.started_at, item.ended_at))),
        h("td", { class: "number low" }, format.cost(item.cost)),
      ),
    ),
  );
}
