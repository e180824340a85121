// One generation: live, and as it was.

import { once, poll, Problem } from "./api.js";
import { recovered } from "./app.js";
import { curl, python } from "./calls.js";
import { h, render } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { isEnded } from "./lists.js";
import { LiveGeneration } from "./live.js";
import { action, ask, bar, between, confirm, copy, copyable, figure, figures, head, state, time, tokensOf, words } from "./ui.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  const [id] = context.params;
  const path = `v1/generations/${id}`;
  context.setTitle(t("Generation"));
  /** @type {any} */
  let record = null;
  /** @type {any} */
  let output = null;
  /** @type {any[]} */
  let issues = [];
  /** @type {any} */
  let request = null;
  let shownIssue = "";
  const live = new LiveGeneration(api, id, { onChange: () => again(), signal });

  const load = async () => {
    record = await api.get(path, signal);
    live.element.hidden = false;
    recovered();
    update();
    if (record.last_validation_issue_id && record.last_validation_issue_id !== shownIssue) {
      issues = (await api.get(`${path}/validation_issues`, signal)).data;
      shownIssue = record.last_validation_issue_id;
    }
    // The file is there when the generation is stored.
    if (isEnded(record.status) && !record.finalizing) output ??= await api.get(`${path}/output`, signal).catch(absent({}));
    request ??= await api.get(`v1/responses/${id.replace(/^gen_/, "resp_")}/input_items?limit=100&order=asc`, signal).catch(absent({ data: [] }));
    update();
  };
  const onError = (/** @type {unknown} */ error) => {
    // What keeps the generation from being read keeps its text, too, and is told once.
    live.element.hidden = record === null;
    context.onError(error);
  };
  const again = poll({ load, isActive: () => record === null || !isEnded(record.status) || record.finalizing, every: 2_000, signal, onError });

  const cancel = () =>
    confirm({ title: t("Cancel this generation?"), words: t("What it has written so far is kept. It does not go on afterwards."), label: t("Cancel it"), act: async () => (await api.post(`${path}/cancel`), again()) });
  const retry = () => {
    const post = once(api);
    confirm({
      title: t("Try again?"),
      words: t("The same request is sent once more, as a new generation."),
      label: t("Start it"),
      act: async () => {
        const started = await post(`${path}/retry`);
        location.hash = `#/generations/${started.id}`;
      },
    });
  };
  /** Accepts the answer for its subject, and asks for what it needs to. */
  const accept = () =>
    ask({
      title: t("Accept this answer"),
      label: t("Accept"),
      content: () => [
        !record.subject && h("label", null, t("Subject"), h("input", { name: "subject", required: true, autocomplete: "off" })),
        h("label", null, t("Note (optional)"), h("input", { name: "note", autocomplete: "off" })),
        h("label", { class: "check" }, h("input", { type: "checkbox", name: "import" }), t("Import it into the incubator")),
        h("label", { class: "check" }, h("input", { type: "checkbox", name: "replace" }), t("In place of another that was accepted")),
      ],
      act: async (texts) => {
        const made = await api.post(`${path}/accept`, { subject: record.subject ?? texts.subject.trim(), note: texts.note.trim() || undefined, import: "import" in texts, replace: "replace" in texts });
        return [h("p", null, t("It is accepted for its subject.")), made.import && h("p", null, h("a", { href: `#/subjects/${encodeURIComponent(made.subject)}/entities` }, t("Decide what was imported")))];
      },
    });
  const update = () => {
    const isOpen = !isEnded(record.status);
    const mayStart = session.refusal("start");
    render(
      root,
      head([t("Generation"), " ", copyable(id)], isOpen && action(t("Cancel"), mayStart, cancel, "danger"), record.status === "completed" && action(t("Accept"), session.refusal("review"), accept, "main"), !isOpen && action(t("Try again"), mayStart, retry), h("button", { type: "button", on: { click: () => copy(live.text) } }, t("Copy text")), h("button", { type: "button", on: { click: () => copy(curl("GET", `${path}/events`)) } }, t("Copy as curl")), h("button", { type: "button", on: { click: () => copy(python(id)) } }, t("Copy as Python"))),
      figures(
        figure(t("State"), state(record.status), record.finalizing ? t("being stored") : record.finish_reason && t("finish reason: {reason}", { reason: record.finish_reason })),
        figure(t("Model"), words(record.model), words(record.provider)),
        figure(t("Started"), time(record.created_at), t("duration {time}", { time: format.duration(between(record.created_at, record.completed_at)) })),
        figure(t("Tokens, in → out"), tokensOf(record.usage), record.usage?.reasoning_tokens ? t("{n} for reasoning", { n: format.number(record.usage.reasoning_tokens) }) : null),
        figure(t("Cost"), format.cost(record.cost)),
        figure(t("Size"), format.size(record.bytes ?? record.progress.received_bytes), t("{n} events", { n: format.number((record.progress.last_seq ?? -1) + 1) })),
      ),
      isOpen && bar(record.progress.percent, t("Progress"), "wide"),
      record.error && h("div", { class: "problem" }, h("strong", null, words(record.error.message)), h("code", null, record.error.code)),
      moments(record),
      h("div", { class: "columns", key: "columns" }, h("div", { class: "page", key: "output" }, live.element, output?.url && h("p", null, h("a", { href: output.url, download: `${id}.txt`, rel: "noreferrer" }, t("Download all of the text ({size})", { size: format.size(output.bytes) })))), side(record, issues, request)),
    );
  };
  render(root, head([t("Generation"), " ", copyable(id)]), h("div", { class: "columns", key: "columns" }, h("div", { class: "page", key: "output" }, live.element)));
}

/** What stands for something that the API has not; any other failure is one. @param {any} instead */
const absent = (instead) => (/** @type {unknown} */ error) => {
  if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) return instead;
  throw error;
};

/** Its moments as a line: waiting for the first text, text, storing. @param {any} record */
function moments(record) {
  const begin = Date.parse(record.created_at);
  const end = record.completed_at ? Date.parse(record.completed_at) : Date.now();
  const whole = Math.max(end - begin, 1);
  const first = record.progress.first_chunk_at ? Date.parse(record.progress.first_chunk_at) : end;
  const last = Math.max(record.progress.last_chunk_at ? Date.parse(record.progress.last_chunk_at) : first, first);
  const percent = (/** @type {number} */ ms) => `${Math.min(Math.max((ms / whole) * 100, 0), 100)}%`;
  return h(
    "section",
    { class: "line", "aria-label": t("Times") },
    h("div", { class: "track", "aria-hidden": "true" }, h("i", { class: "wait", style: { left: "0", width: percent(first - begin) } }), h("i", { style: { left: percent(first - begin), width: percent(last - first) } }), h("i", { class: "quiet", style: { left: percent(last - begin), width: percent(end - last) } })),
    h(
      "ol",
      { class: "quiet" },
      h("li", null, t("first text after {time}", { time: record.progress.first_chunk_at ? format.duration(first - begin) : "–" })),
      h("li", null, t("text for {time}", { time: format.duration(last - first) })),
      record.completed_at && h("li", null, t("stored after {time} more", { time: format.duration(end - last) })),
      h("li", null, t("attempts: {n}", { n: record.attempts ?? 1 })),
    ),
  );
}

/** @param {any} record @param {any[]} issues @param {any} request */
function side(record, issues, request) {
  const texts = (request?.data ?? []).map((/** @type {any} */ item) => ({ role: item.role ?? item.type, text: typeof item.content === "string" ? item.content : (item.content ?? []).map((/** @type {any} */ part) => part.text ?? "").join("") }));
  const metadata = Object.entries(record.request_metadata ?? {});
  return h(
    "aside",
    { class: "page" },
    issues.length > 0 && h("section", { class: "panel" }, h("h2", null, t("Validation issues")), issues.map((issue) => h("ul", null, issue.errors.map((/** @type {any} */ error) => h("li", null, h("code", null, error.path || "/"), " ", words(error.message)))))),
    h("section", { class: "panel" }, h("h2", null, t("Request")), texts.length === 0 ? h("p", { class: "quiet" }, request === null ? t("Loading …") : t("The request is not kept any more.")) : texts.map((/** @type {any} */ { role, text }) => h("details", { open: text.length < 1_000 }, h("summary", null, role), h("div", { class: "preview" }, text)))),
    h(
      "section",
      { class: "panel" },
      h("h2", null, t("Belongs to")),
      h(
        "ul",
        null,
        record.subject && h("li", null, t("Subject"), " ", h("a", { href: `#/subjects/${encodeURIComponent(record.subject)}` }, words(record.subject))),
        record.batch && h("li", null, t("Batch"), " ", h("a", { class: "mono", href: `#/batches/${record.batch}` }, shortId(record.batch))),
        record.run && h("li", null, t("Run"), " ", h("a", { class: "mono", href: `#/runs/${record.run}` }, shortId(record.run))),
        record.retry_of && h("li", null, t("Retry of"), " ", h("a", { class: "mono", href: `#/generations/${record.retry_of}` }, shortId(record.retry_of))),
        metadata.map(([name, value]) => h("li", null, words(name), ": ", words(typeof value === "string" ? value : JSON.stringify(value)))),
        !record.subject && !record.batch && !record.run && !record.retry_of && metadata.length === 0 && h("li", { class: "quiet" }, t("nothing else")),
      ),
    ),
  );
}
