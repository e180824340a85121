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
const EVERY_MS = 5_000;
const DAY_EVERY_MS = 60_000;

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, root, signal } = context;
  context.setTitle(t("Overview"));
  /** @type {any} */
  let now = null;
  /** @type {any} */
  let day = null;
  let dayAt = 0;
  const list = (/** @type {string} */ path, /** @type {any} */ query) => api.get(`${path}${queryOf({ ...query, limit: SHOWN })}`, signal);
  const loadNow = async () => {
    const answers = await Promise.all([
      list("v1/runs", { status: "running" }),
      list("v1/runs", { status: "pending" }),
      list("v1/batches", { status: "open" }),
      list("v1/generations", { status: "running" }),
      list("v1/generations", { status: "pending" }),
    ]);
    /** The rows of some answers, and how many there are at least. @param {any[]} of */
    const joined = (of) => ({ rows: of.flatMap(({ data }) => data), more: of.some(({ has_more }) => has_more) ? "+" : "" });
    return { runs: joined(answers.slice(0, 2)), batches: joined(answers.slice(2, 3)), generations: joined(answers.slice(3)) };
  };
  const loadDay = async () => {
    const today = new Date().toISOString().slice(0, 10);
    const since = new Date(Date.now() - DAY_MS).toISOString();
    const [failed, failedRuns, usage, quota] = await Promise.all([list("v1/generations", { status: "failed", since }), list("v1/runs", { status: "failed" }), api.get(`v1/usage${queryOf({ from: today, to: today, by: "day" })}`, signal), api.get("v1/quota", signal)]);
    return { failed: failed.data, failedRuns: failedRuns.data.filter((/** @type {any} */ run) => run.created_at >= since), usage, quota };
  };
  const idsOf = (/** @type {any} */ of) => of && [of.runs, of.batches, of.generations].flatMap(({ rows }) => rows.map((/** @type {any} */ row) => row.id)).join();
  const load = async () => {
    const found = await loadNow();
    // What the day has come to is asked for where something has begun or ended, and now and then.
    if (idsOf(found) !== idsOf(now) || Date.now() - dayAt > DAY_EVERY_MS) [day, dayAt] = [await loadDay(), Date.now()];
    now = found;
    recovered();
    update();
  };
  const atWorkNow = () => now.runs.rows.length + now.batches.rows.length + now.generations.rows.length;
  poll({ load, isActive: () => now === null || atWorkNow() > 0, every: EVERY_MS, signal, onError: context.onError });
  const update = () => {
    const { total } = day.usage;
    const running = atWorkNow();
    const more = now.generations.more || now.batches.more || now.runs.more;
    const count = (/** @type {any} */ of) => format.number(of.rows.length) + of.more;
    const isNew = running === 0 && total.generations.total === 0 && day.failed.length === 0;
    render(
      root,
      head(t("Overview")),
      figures(figure(t("At work now"), format.number(running) + more, t("generations {generations}, batches {batches}, runs {runs}", { generations: count(now.generations), batches: count(now.batches), runs: count(now.runs) })), figure(t("Ended today"), format.number(total.generations.total), t("{n} failed", { n: format.number(total.generations.failed) })), figure(t("Tokens today"), `${format.number(total.usage.input_tokens)} → ${format.number(total.usage.output_tokens)}`), figure(t("Cost today"), format.cost(total.cost)), quotaFigures(day.quota)),
      isNew && empty(t("Welcome"), t("Start the first generation. It appears here, and can be watched while it is written."), curl("POST", "v1/generations", { provider: "openai", model: "gpt-5", prompt: "Hola" })),
      running > 0 && h("section", null, h("h2", null, t("At work")), atWork(now)),
      h("section", null, h("h2", null, t("Failed in the last 24 hours")), day.failed.length + day.failedRuns.length === 0 ? h("p", { class: "quiet" }, t("Nothing has failed.")) : failures(day)),
    );
  };
  render(root, head(t("Overview")), loading());
}

/** @param {any} now */
function atWork(now) {
  const entries = [
    ...now.runs.rows.map((/** @type {any} */ run) => [t("Run"), `#/runs/${run.id}`, words(run.pipeline.name), run.progress.percentage, words(run.progress.message), run.created_at]),
    ...now.batches.rows.map((/** @type {any} */ batch) => [t("Batch"), `#/batches/${batch.id}`, words(batch.name ?? shortId(batch.id)), batch.percent, t("{done} of {all}", { done: batch.counts.completed + batch.counts.failed + batch.counts.cancelled + batch.counts.skipped, all: batch.counts.total }), batch.created_at]),
    ...now.generations.rows.map((/** @type {any} */ each) => [t("Generation"), `#/generations/${each.id}`, shortId(each.id), each.progress.percent, words(each.model), each.created_at]),
  ];
  return table(
    t("At work"),
    [{ title: t("Kind"), class: "low" }, { title: t("Name") }, { title: t("Progress") }, { title: t("What"), class: "low" }, { title: t("Started") }],
    entries.map(([kind, to, name, percent, more, at]) => h("tr", { key: to }, h("td", { class: "tight low" }, kind), h("td", { class: "name" }, h("a", { href: to }, name)), h("td", null, bar(percent, t("Progress"))), h("td", { class: "name low" }, more), h("td", null, time(at)))),
  );
}

/** @param {any} day */
function failures(day) {
  const entries = [
    ...day.failedRuns.map((/** @type {any} */ run) => [`#/runs/${run.id}`, words(run.pipeline.name), run, run.ended_at]),
    ...day.failed.map((/** @type {any} */ each) => [`#/generations/${each.id}`, shortId(each.id), each, each.completed_at ?? each.created_at]),
  ];
  return table(
    t("Failures"),
    [{ title: t("Name") }, { title: t("State"), class: "low" }, { title: t("Why") }, { title: t("When") }],
    entries.map(([to, name, of, at]) => h("tr", { key: to }, h("td", { class: "name" }, h("a", { href: to }, name)), h("td", { class: "low" }, state(of.status)), h("td", { class: "name error" }, words(of.error?.message ?? of.reason)), h("td", null, time(at)))),
  );
}
