// Usage: what each day and each model came to.

import { poll, queryOf } from "./api.js";
import { recovered } from "./app.js";
import { h, render, s } from "./dom.js";
import { format, t } from "./i18n.js";
import { empty, figure, figures, head, loading, table, words } from "./ui.js";
import { levels } from "./waterfall.js";

const DAYS = [7, 30, 90];
const MEASURES = ["cost", "tokens", "generations"];
const DAY_MS = 86_400_000;
const [HEIGHT, FOOT, SIDE] = [220, 24, 72];
const dayOf = (/** @type {number} */ ms) => new Date(ms).toISOString().slice(0, 10);

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, root, signal } = context;
  context.setTitle(t("Usage"));
  let days = DAYS.find((each) => String(each) === context.query.days) ?? 30;
  let measure = MEASURES.find((each) => each === context.query.measure) ?? "cost";
  /** What was loaded, with its days: those that are chosen may be on their way yet. @type {any} */
  let seen = null;
  const load = async () => {
    const of = days;
    const range = { from: dayOf(Date.now() - (of - 1) * DAY_MS), to: dayOf(Date.now()) };
    const [byDay, byModel] = await Promise.all([api.get(`v1/usage${queryOf({ ...range, by: "day" })}`, signal), api.get(`v1/usage${queryOf({ ...range, by: "provider,model" })}`, signal)]);
    if (of !== days) return;
    seen = { of, byDay, byModel };
    recovered();
    update();
  };
  const again = poll({ load, isActive: () => true, every: 60_000, signal, onError: context.onError });
  const change = (/** @type {() => void} */ how) => {
    how();
    context.setQuery({ days, measure });
    if (seen) update();
    if (seen?.of !== days) again();
  };
  const update = () => {
    const { of, byDay, byModel } = seen;
    const { total } = byDay;
    const names = /** @type {[string, string][]} */ ([["cost", t("Cost")], ["tokens", t("Tokens, out")], ["generations", t("Generations")]]);
    render(
      root,
      head(t("Usage"), h("label", { class: "chooser" }, h("span", { class: "unseen" }, t("Days")), h("select", { on: { change: (/** @type {any} */ event) => change(() => (days = Number(event.target.value))) } }, DAYS.map((n) => h("option", { value: n, selected: n === days }, t("{n} days", { n }))))), names.map(([name, label]) => h("button", { type: "button", "aria-pressed": String(name === measure), on: { click: () => change(() => (measure = name)) } }, label))),
      figures(figure(t("Generations"), format.number(total.generations.total), t("{n} failed", { n: format.number(total.generations.failed) })), figure(t("Completed"), format.percent(total.success_rate)), figure(t("Duration, median"), format.duration(total.duration_ms.median), t("95 %: {time}", { time: format.duration(total.duration_ms.p95) })), figure(t("Tokens, in → out"), `${format.number(total.usage.input_tokens)} → ${format.number(total.usage.output_tokens)}`), figure(t("Cost"), format.cost(total.cost), total.without_cost > 0 ? t("{n} without a known price", { n: format.number(total.without_cost) }) : null)),
      total.generations.total === 0
        ? empty(t("Nothing was counted in these days"), t("Generations are counted when they end, some minutes later at most."), "longhand usage")
        : [
            h("section", { class: "panel" }, h("h2", null, t("Per day")), chart(byDay, measure, of), h("details", null, h("summary", null, t("As a table")), figuresTable(byDay.data, (group) => format.day(group.day), t("Day")))),
            h("section", null, h("h2", null, t("Per model")), figuresTable(byModel.data, (group) => [words(group.model), h("br"), h("small", null, words(group.provider))], t("Model"))),
          ],
    );
  };
  render(root, head(t("Usage")), loading());
}

/** @param {any} group @param {string} measure */
const valueOf = (group, measure) => (measure === "cost" ? group.cost : measure === "tokens" ? group.usage.output_tokens : group.generations.total);

/** @param {any} report @param {string} measure @param {number} days */
function chart(report, measure, days) {
  const byDay = new Map(report.data.map((/** @type {any} */ group) => [group.day, group]));
  const end = Date.parse(`${report.to}T00:00:00Z`);
  const list = Array.from({ length: days }, (_, at) => dayOf(end - (days - 1 - at) * DAY_MS));
  const most = Math.max(1, ...report.data.map((/** @type {any} */ group) => valueOf(group, measure)));
  const words = (/** @type {number} */ value) => (measure === "cost" ? format.cost(Math.round(value)) : format.number(Math.round(value)));
  // In a narrow window the whole is narrower: scaled down, its words could not be read.
  const whole = matchMedia("(min-width: 720px)").matches ? 900 : 380;
  const width = (whole - SIDE) / days;
  const height = HEIGHT - FOOT - 12;
  const marks = levels(most);
  const top = marks[marks.length - 1];
  const y = (/** @type {number} */ value) => 12 + height - (value / top) * height;
  const every = Math.ceil(days / (whole / 110));
  return s(
    "svg",
    { class: "chart", viewBox: `0 0 ${whole} ${HEIGHT}`, role: "img", "aria-label": t("A column for each day; the highest is {value}", { value: words(most) }) },
    marks.map((mark) => [s("line", { x1: SIDE, x2: whole, y1: y(mark), y2: y(mark) }), s("text", { x: SIDE - 6, y: y(mark) + 4, "text-anchor": "end" }, words(mark))]),
    list.map((day, at) => {
      const group = byDay.get(day);
      const value = group ? valueOf(group, measure) : 0;
      const x = SIDE + at * width;
      return [
        value > 0 && s("rect", { class: "column", x: x + width * 0.15, width: width * 0.7, y: y(value), height: 12 + height - y(value), rx: 2 }, s("title", null, `${format.day(day)}: ${words(value)}`)),
        at % every === 0 && s("text", { x: x + width / 2, y: HEIGHT - 6, "text-anchor": "middle" }, format.day(day)),
      ];
    }),
  );
}

/** @param {any[]} groups @param {(group: any) => any} name @param {string} title */
function figuresTable(groups, name, title) {
  return table(
    title,
    [{ title }, { title: t("Generations"), class: "number" }, { title: t("Failed"), class: "number low" }, { title: t("Completed"), class: "number low" }, { title: t("Duration, median"), class: "number low" }, { title: t("Tokens, in → out"), class: "number low" }, { title: t("Cost"), class: "number" }],
    groups.map((group) => h("tr", { key: `${group.day ?? ""} ${group.provider ?? ""} ${group.model ?? ""}` }, h("td", { class: "name" }, name(group)), h("td", { class: "number" }, format.number(group.generations.total)), h("td", { class: "number low" }, format.number(group.generations.failed)), h("td", { class: "number low" }, format.percent(group.success_rate)), h("td", { class: "number low" }, format.duration(group.duration_ms.median)), h("td", { class: "number low" }, `${format.number(group.usage.input_tokens)} → ${format.number(group.usage.output_tokens)}`), h("td", { class: "number" }, format.cost(group.cost)))),
  );
}
