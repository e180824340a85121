// The overview: what runs, what today has cost, what failed.

import { poll, queryOf } from "./api.js";
import { recovered } from "./app.js";
import { curl } from "./calls.js";
import { h, render } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { quotaFigures } from "./quota_view.js";
import { bar, empty, figure, figures, head, loading, state, table, time, words } from "./ui.js";

const DAY_MS = 86_400_000;
const SHOWN = 10;

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, root, signal } = context;
  context.setTitle(t("Overview"));
  /** @type {any} */
  let seen = null;
  const load = async () => {
    const today = new Date().toISOString().slice(0, 10);
    const since = new Date(Date.now() - DAY_MS).toISOString();
    const list = (/** @type {string} */ path, /** @type {any} */ query) => api.get(`${path}${queryOf(query)}`, signal).then((answer) => answer.data);
    const [generations, pending, batches, runs, failed, failedRuns, usage, quota] = await Promise.all([
      list("v1/generations", { status: "running", limit: SHOWN }),
      list("v1/generations", { status: "pending", limit: SHOWN }),
      list("v1/batches", { status: "open", limit: SHOWN }),
      list("v1/runs", { status: "running", limit: SHOWN }),
      list("v1/generations", { status: "failed", since, limit: SHOWN }),
      list("v1/runs", { status: "failed", limit: SHOWN }),
      api.get(`v1/usage${queryOf({ from: today, to: today, by: "day" })}`, signal),
      api.get("v1/quota", signal),
    ]);
    seen = { generations: [...generations, ...pending], batches, runs, failed, failedRuns: failedRuns.filter((/** @type {any} */ run) => run.created_at >= since), usage, quota };
    recovered();
    update();
  };
  const isBusy = () => seen === null || seen.generations.length + seen.batches.length + seen.runs.length > 0;
  poll({ load, isActive: isBusy, every: 4_000, signal, onError: context.onError });
  const update = () => {
    const { total } = seen.usage;
    const running = seen.generations.length + seen.batches.length + seen.runs.length;
    const isNew = running === 0 && total.generations.total === 0 && seen.failed.length === 0;
    render(
      root,
      head(t("Overview")),
      figures(figure(t("At work now"), format.number(running), t("generations {generations}, batches {batches}, runs {runs}", { generations: seen.generations.length, batches: seen.batches.length, runs: seen.runs.length })), figure(t("Ended today"), format.number(total.generations.total), t("{n} failed", { n: format.number(total.generations.failed) })), figure(t("Tokens today"), `${format.number(total.usage.input_tokens)} → ${format.number(total.usage.output_tokens)}`), figure(t("Cost today"), format.cost(total.cost)), quotaFigures(seen.quota)),
      isNew && empty(t("Welcome"), t("Start the first generation. It appears here, and can be watched while it is written."), curl("POST", "v1/generations", { provider: "openai", model: "gpt-5", prompt: "Hola" })),
      running > 0 && h("section", null, h("h2", null, t("At work")), atWork(seen)),
      h("section", null, h("h2", null, t("Failed in the last 24 hours")), seen.failed.length + seen.failedRuns.length === 0 ? h("p", { class: "quiet" }, t("Nothing has failed.")) : failures(seen)),
    );
  };
  render(root, head(t("Overview")), loading());
}

/** @param {any} seen */
function atWork(seen) {
  const entries = [
    ...seen.runs.map((/** @type {any} */ run) => [t("Run"), `#/runs/${run.id}`, words(run.pipeline.name), run.progress.percentage, words(run.progress.message), run.created_at]),
    ...seen.batches.map((/** @type {any} */ batch) => [t("Batch"), `#/batches/${batch.id}`, words(batch.name ?? shortId(batch.id)), batch.percent, t("{done} of {all}", { done: batch.counts.completed + batch.counts.failed + batch.counts.cancelled + batch.counts.skipped, all: batch.counts.total }), batch.created_at]),
    ...seen.generations.map((/** @type {any} */ each) => [t("Generation"), `#/generations/${each.id}`, shortId(each.id), each.progress.percent, words(each.model), each.created_at]),
  ];
  return table(
    t("At work"),
    [{ title: t("Kind"), class: "low" }, { title: t("Name") }, { title: t("Progress") }, { title: t("What"), class: "low" }, { title: t("Started") }],
    entries.map(([kind, to, name, percent, more, at]) => h("tr", { key: to }, h("td", { class: "tight low" }, kind), h("td", { class: "name" }, h("a", { href: to }, name)), h("td", null, bar(percent, t("Progress"))), h("td", { class: "name low" }, more), h("td", null, time(at)))),
  );
}

/** @param {any} seen */
function failures(seen) {
  const entries = [
    ...seen.failedRuns.map((/** @type {any} */ run) => [`#/runs/${run.id}`, words(run.pipeline.name), run, run.ended_at]),
    ...seen.failed.map((/** @type {any} */ each) => [`#/generations/${each.id}`, shortId(each.id), each, each.completed_at ?? each.created_at]),
  ];
  return table(
    t("Failures"),
    [{ title: t("Name") }, { title: t("State"), class: "low" }, { title: t("Why") }, { title: t("When") }],
    entries.map(([to, name, of, at]) => h("tr", { key: to }, h("td", { class: "name" }, h("a", { href: to }, name)), h("td", { class: "low" }, state(of.status)), h("td", { class: "name error" }, words(of.error?.message ?? of.reason)), h("td", null, time(at)))),
  );
}
