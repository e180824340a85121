// One run: its steps as bars over time, and beside them what any of them writes. In a frame of another product, the progress alone.

import { once, poll } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { JsonView } from "./json_view.js";
import { isEnded } from "./lists.js";
import { LiveGeneration } from "./live.js";
import { treeOf } from "./partial_json.js";
import { action, bar, between, confirm, copyable, figure, figures, head, loading, state, stateWord, time, toast, words } from "./ui.js";
import { bars, phases, ticks, tickWord } from "./waterfall.js";

const TONES = /** @type {Record<string, string>} */ ({ completed: "good", failed: "bad", cancelled: "quiet", skipped: "quiet" });

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal, isEmbedded } = context;
  const [id] = context.params;
  const path = `v1/runs/${id}`;
  /** @type {any} */
  let run = null;
  /** @type {any[]} */
  let steps = [];
  /** @type {any[]} */
  let log = [];
  /** The result. @type {import("./partial_json.js").JsonNode | null} */
  let tree = null;
  let tag = "";
  /** The titles of the phases, by their ids. @type {Record<string, string> | null} */
  let titles = isEmbedded ? {} : null;
  /** @type {string | null} */
  let chosen = context.query.step ?? null;
  /** @type {{ id: string, live: LiveGeneration, stop: AbortController } | null} */
  let watched = null;
  const result = new JsonView(() => update());

  const load = async () => {
    const response = await api.send("GET", path, { headers: tag ? { "if-none-match": tag } : {}, signal });
    recovered();
    if (response.status !== 304) {
      const text = await response.text();
      const found = JSON.parse(text);
      const stepsOf = (await api.get(`${path}/steps`, signal)).data;
      titles ??= await api.get(`v1/pipelines/${found.pipeline.name}/versions/${found.pipeline.version}`, signal).then((version) => version.document.phases ?? {}).catch(() => ({}));
      if (isEnded(found.status)) log = (await api.get(`${path}/report`, signal)).log;
      // With the tag, the API tells changes alone: what belongs to it is all here now.
      [run, steps, tree, tag] = [found, stepsOf, isEmbedded ? null : treeOf(text, "result"), response.headers.get("etag") ?? ""];
    }
    update();
  };
  const again = poll({ load, isActive: () => run === null || !isEnded(run.status), every: 1_500, signal, onError: context.onError });

  const cancel = () => confirm({ title: t("Cancel this run?"), words: t("Steps that run are cancelled, the others do not start."), label: t("Cancel it"), act: async () => (await api.post(`${path}/cancel`), again()) });
  const redrive = () => {
    const post = once(api);
    confirm({
      title: t("Go on from what failed?"),
      words: t("A new run keeps what has completed, and runs the other steps again."),
      label: t("Start it"),
      act: async () => {
        const started = await post(`${path}/redrive`);
        location.hash = `#/runs/${started.id}`;
      },
    });
  };
  const share = () =>
    context.act(async () => {
      const token = await api.post(`${path}/tokens`, { expires_in: 3_600 });
      await navigator.clipboard.writeText(`${location.origin}${location.pathname}?embed=1#/runs/${id}?token=${token.token}`);
      toast(t("Copied: an address that shows this run for an hour"));
    });
  /** @param {string} step */
  const choose = (step) => {
    chosen = chosen === step ? null : step;
    if (!isEmbedded) context.setQuery({ step: chosen });
    update();
  };
  const watch = () => {
    const step = steps.find((each) => each.id === chosen);
    const generation = step?.generation ?? null;
    if (watched?.id === generation) return watched?.live ?? null;
    watched?.stop.abort();
    watched = null;
    if (!generation) return null;
    const stop = new AbortController();
    watched = { id: generation, stop, live: new LiveGeneration(api, generation, { signal: AbortSignal.any([signal, stop.signal]) }) };
    return watched.live;
  };
  const update = () => {
    const isOpen = !isEnded(run.status);
    const mayStart = session.refusal("start");
    const live = watch();
    context.setTitle(run.pipeline.name);
    const step = steps.find((each) => each.id === chosen);
    render(
      root,
      head([words(run.pipeline.name), h("small", null, ` @${run.pipeline.version}`)], !isEmbedded && [copyable(id), isOpen && action(t("Cancel"), mayStart, cancel, "danger"), !isOpen && run.status !== "completed" && action(t("Go on from what failed"), mayStart, redrive, "main"), action(t("Copy a link to share"), session.credential.kind === "token" ? t("A token makes no other tokens. Sign in with an API key.") : null, share)]),
      h("section", { "aria-label": t("Progress") }, h("div", { class: "head" }, h("p", { role: "status", "aria-live": "polite" }, state(run.status), " ", words(run.error?.message ?? run.progress.message)), h("strong", { class: "number" }, `${Math.round(run.progress.percentage)} %`)), bar(run.progress.percentage, t("Progress"), `wide ${TONES[run.status] ?? ""}`)),
      figures(figure(t("Steps"), t("{done} of {all}", { done: run.progress.completed_steps, all: run.progress.total_steps })), figure(t("Started"), time(run.created_at), t("duration {time}", { time: format.duration(between(run.started_at, run.ended_at)) })), figure(t("Tokens"), format.number(run.token_usage.total_tokens), `${format.number(run.token_usage.total_prompt_tokens)} → ${format.number(run.token_usage.total_completion_tokens)}`), figure(t("Cost"), format.cost(run.cost))),
      run.redrive_of && !isEmbedded && h("p", null, t("Goes on from"), " ", h("a", { href: `#/runs/${run.redrive_of}` }, shortId(run.redrive_of))),
      waterfall(run, steps, chosen, choose, titles ?? {}),
      step && h("section", { class: "panel", key: `step-${step.id}` }, h("div", { class: "head" }, h("h2", null, step.id, " ", words(step.title)), h("div", { class: "actions" }, state(step.status), step.generation && !isEmbedded && h("a", { href: `#/generations/${step.generation}` }, t("Its generation")))), step.error && h("p", { class: "error" }, words(step.error.message)), step.generations.length > 1 && h("p", { class: "quiet" }, t("Tries"), ": ", step.generations.map((/** @type {string} */ each, /** @type {number} */ at) => [at > 0 && " · ", isEmbedded ? shortId(each) : h("a", { href: `#/generations/${each}` }, shortId(each))])), live ? live.element : h("p", { class: "quiet" }, step.status === "skipped" ? t("This step was skipped.") : t("This step has not begun."))),
      run.checks.length > 0 && h("section", { class: "panel" }, h("h2", null, t("Checks of the result")), h("ul", null, run.checks.map((/** @type {any} */ check) => h("li", null, state(check.ok ? "succeeded" : "failed"), " ", words(check.message))))),
      tree && tree.value !== "null" && h("section", null, h("h2", null, t("Result")), h("div", { class: "tree", tabindex: 0, role: "region", "aria-label": t("Result") }, result.draw(tree))),
      log.length > 0 && !isEmbedded && h("details", { key: "log" }, h("summary", null, t("What happened, in order")), h("ol", null, log.map((entry) => h("li", null, time(entry.at), " ", words(entry.message))))),
    );
  };
  render(root, head(t("Run"), !isEmbedded && copyable(id)), loading());
}

/** @param {any} run @param {any[]} steps @param {string | null} chosen @param {(step: string) => void} choose @param {Record<string, string>} titles */
function waterfall(run, steps, chosen, choose, titles) {
  const begin = Date.parse(run.started_at ?? run.created_at);
  const end = Math.max(run.ended_at ? Date.parse(run.ended_at) : Date.now(), begin + 1_000);
  const placed = bars(steps, begin, end);
  const row = (/** @type {any} */ step) => {
    const at = placed.get(step.id);
    const tone = TONES[step.status] ?? "";
    const track = h("span", { class: "track", "aria-hidden": "true" }, at && [h("i", { class: "wait", style: { left: `${at.left}%`, width: `${at.wait}%` } }), h("i", { class: tone, style: { left: `${at.left + at.wait}%`, width: `${at.width}%` } })]);
    return h(
      "button",
      { type: "button", class: "row", key: step.id, "aria-pressed": String(step.id === chosen), on: { click: () => choose(step.id) } },
      h("span", { class: "step" }, h("strong", null, step.id), " ", words(step.title), h("br"), h("small", null, stateWord(step.status), step.tries > 1 && ` · ${t("{n} tries", { n: step.tries })}`, step.inherited && ` · ${t("kept")}`)),
      track,
      h("span", { class: "number" }, at ? format.duration((at.seconds ?? 0) * 1_000) : "–"),
      h("span", { class: "number" }, format.number(step.usage.total_tokens)),
      h("span", { class: "number" }, format.cost(step.cost)),
    );
  };
  const marks = ticks(end - begin);
  return h(
    "section",
    { class: "waterfall", "aria-label": t("Steps over time") },
    h("div", { class: "row top" }, h("span", null, t("Step")), h("span", { class: "axis", "aria-hidden": "true" }, marks.map((ms) => h("span", { style: { left: `${(ms / (end - begin)) * 100}%` } }, tickWord(ms)))), h("span", { class: "number" }, t("Time")), h("span", { class: "number" }, t("Tokens")), h("span", { class: "number" }, t("Cost"))),
    phases(steps).map((phase) => [phase.phase !== null && h("div", { class: "phase", key: `phase-${phase.phase}` }, words(titles[phase.phase] ?? phase.phase), h("span", { class: "quiet" }, t("{done} of {all}", { done: phase.steps.filter((step) => ["completed", "skipped"].includes(step.status)).length, all: phase.steps.length }))), phase.steps.map(row)]),
  );
}
