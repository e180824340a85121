import assert from "node:assert/strict";
import { test } from "node:test";

import { entityTree } from "../../files/entity_tree.js";
import { collect, errorsByField, fieldsOf, textsOf } from "../../files/form_model.js";
import { formats } from "../../files/format.js";
import { GenerationLog } from "../../files/generation_log.js";
import { ListRows } from "../../files/list_rows.js";
import { PartialJson, textOf, treeOf } from "../../files/partial_json.js";
import { SseParser } from "../../files/sse.js";
import { bars, levels, phases, ticks, tickWord } from "../../files/waterfall.js";
import { sideBySide, tokens, wordDiff } from "../../files/words.js";

/** Numbers from a seed, which a failure prints. */
const SEED = Number(process.env.LONGHAND_SEED ?? Math.floor(Math.random() * 2 ** 31));
function randomOf(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
const property = (name, check) =>
  test(`${name} (LONGHAND_SEED=${SEED})`, () => {
    for (let round = 0; round < 500; round += 1) check(randomOf(SEED + round));
  });

/** A text in random pieces. */
function pieces(text, random) {
  const result = [];
  for (let at = 0; at < text.length; ) {
    const size = 1 + random(7);
    result.push(text.slice(at, at + size));
    at += size;
  }
  return result;
}

function value(random, depth = 0) {
  const kind = random(depth > 3 ? 4 : 6);
  if (kind === 0) return random(1_000) - 500;
  if (kind === 1) return [true, false, null][random(3)];
  if (kind === 2) return ["", "a\"b\\c\n", "ñandú 💡", "{[,:"][random(4)];
  if (kind === 3) return random(100) / 8;
  if (kind === 4) return Array.from({ length: random(4) }, () => value(random, depth + 1));
  return Object.fromEntries(Array.from({ length: random(4) }, (_, at) => [`k${at}"`, value(random, depth + 1)]));
}

property("events are the same whatever they are cut at", (random) => {
  const stream = 'id: 1\nevent: a\ndata: {"x":1}\n\n: comment\r\n\r\nid: 2\r\ndata: one\r\ndata:two\r\n\r\ndata\n\nevent: lost\n\nid: 3\ndata: end\n\n';
  const parser = new SseParser();
  const frames = pieces(stream, random).flatMap((piece) => parser.push(piece));
  assert.deepEqual(frames, [
    { id: "1", event: "a", data: '{"x":1}' },
    { id: "2", event: "message", data: "one\ntwo" },
    { id: "2", event: "message", data: "" },
    { id: "3", event: "message", data: "end" },
  ]);
});

property("JSON in pieces is the tree of the whole", (random) => {
  const of = value(random);
  const parser = new PartialJson();
  // A number has ended only where something stands behind it.
  for (const piece of pieces(`${JSON.stringify(of, null, random(3))}\n`, random)) parser.push(piece);
  assert.equal(parser.error, null, JSON.stringify(of));
  assert.equal(parser.isWhole, true);
  assert.deepEqual(JSON.parse(textOf(parser.root)), of);
});

test("numbers are shown and edited as they were written", () => {
  const text = '{"price": 0.10, "id": 9007199254740993, "none": [], "of": {"deep": [1e2, "\\u00e9\\n", null]}}';
  assert.equal(textOf(treeOf(text)), '{\n  "price": 0.10,\n  "id": 9007199254740993,\n  "none": [],\n  "of": {\n    "deep": [\n      1e2,\n      "é\\n",\n      null\n    ]\n  }\n}');
  assert.equal(textOf(treeOf(text, "of", "deep")), '[\n  1e2,\n  "é\\n",\n  null\n]');
  assert.equal(treeOf(text, "price")?.value, "0.10");
  for (const [wrong, ...path] of [["{", "a"], ['{"a": 1}', "b"], ["", ]]) assert.equal(treeOf(wrong, ...path), null);
});

test("JSON within a fence is read, and what is none is told", () => {
  const fenced = new PartialJson();
  fenced.push('```json\n{"a": [1, 2');
  assert.equal(fenced.root?.children[0].children.length, 2);
  assert.equal(fenced.isWhole, false);
  for (const wrong of ["Hola", '{"a" 1}', "[1,, 2]", '{"a": tru3 }', "[01 ]", '"\\x"']) {
    const parser = new PartialJson();
    parser.push(wrong);
    assert.notEqual(parser.error, null, wrong);
  }
  const deep = new PartialJson();
  deep.push("[".repeat(100_000));
  assert.match(deep.error ?? "", /deep/);
});

const delta = (seq, text, index = 0) => ({ seq, type: "output_text.delta", output_index: index, delta: text });
const added = (seq, index = 0, kind = "message") => ({ seq, type: "output_item.added", output_index: index, item: { kind } });

property("a log that is read again from anywhere before its end is the same", (random) => {
  const events = [{ seq: 0, type: "created" }, { seq: 1, type: "in_progress", attempt: 1 }, added(2), ...Array.from({ length: 20 }, (_, at) => delta(3 + at, `w${at} `)), { seq: 23, type: "output_item.done", output_index: 0, complete: true }, { seq: 24, type: "completed" }];
  const log = new GenerationLog();
  while (log.end === null) {
    // Each connection begins behind the last event, or repeats some that were read.
    const from = Math.max(0, log.seq + 1 - random(5));
    for (const event of events.slice(from, from + 1 + random(8))) log.push(event);
  }
  assert.equal(log.text, Array.from({ length: 20 }, (_, at) => `w${at} `).join(""));
  assert.throws(() => new GenerationLog().push(events[4]), /event 0 is missing/);
});

test("an attempt goes on with an open item, and begins again without one", () => {
  const log = new GenerationLog();
  for (const event of [{ seq: 0, type: "created" }, { seq: 1, type: "in_progress", attempt: 1 }, added(2), delta(3, "one "), { seq: 4, type: "in_progress", attempt: 2 }, delta(5, "two")]) log.push(event);
  assert.equal(log.text, "one two");
  log.push({ seq: 6, type: "output_item.done", output_index: 0, complete: false });
  const restart = log.push({ seq: 7, type: "in_progress", attempt: 3 });
  assert.deepEqual([restart.kind, restart.items.map((item) => item.text)], ["restart", ["one two"]]);
  for (const event of [added(8, 1), delta(9, "three", 1)]) log.push(event);
  assert.equal(log.text, "three");
  log.push({ seq: 10, type: "output_item.done", output_index: 1, complete: false });
  assert.deepEqual(log.push({ seq: 11, type: "in_progress", attempt: 4 }).items.map((item) => item.text), ["three"], "what was discarded before is not discarded again");
  assert.deepEqual(log.attempts.map(({ number, continues }) => [number, continues]), [[1, false], [2, true], [3, false], [4, false]]);
});

property("a diff by words leads from one text to the other", (random) => {
  const text = () => Array.from({ length: random(30) }, () => ["uno", "dos", " ", ", ", "\n", "ñ", "💡"][random(7)]).join("");
  const [from, to] = [text(), text()];
  const parts = wordDiff(from, to);
  const side = (op) => parts.filter((part) => part.op !== op).map((part) => part.text).join("");
  assert.equal(side("+"), from);
  assert.equal(side("-"), to);
});

test("a diff is by whole words, and rows stand side by side", () => {
  assert.deepEqual(wordDiff("el plan anual", "el plan mensual"), [{ op: " ", text: "el plan " }, { op: "-", text: "anual" }, { op: "+", text: "mensual" }]);
  assert.deepEqual(tokens("más, sí"), ["más", ",", " ", "sí"]);
  const line = (op, text) => ({ op, text });
  assert.deepEqual(sideBySide([line(" ", "a"), line("-", "b"), line("-", "c"), line("+", "d"), line(" ", "e"), line("+", "f")]), [{ from: "a", to: "a" }, { from: "b", to: "d" }, { from: "c", to: null }, { from: "e", to: "e" }, { from: null, to: "f" }]);
  const long = Array.from({ length: 20_000 }, (_, at) => `w${at}`).join(" ");
  assert.equal(wordDiff(long, long.replaceAll("w", "v")).length, 2, "what differs all over is replaced");
});

test("bars stand within the run, and what waits is told apart", () => {
  const at = (seconds) => new Date(seconds * 1_000).toISOString();
  const step = (id, ready, started, ended, more = {}) => ({ id, phase: "one", ready_at: ready === null ? null : at(ready), started_at: started === null ? null : at(started), ended_at: ended === null ? null : at(ended), ...more });
  const steps = [step("A", 0, 0, 5), step("B", 5, 6, null), step("C", null, null, null, { phase: "two" }), step("D", null, 1, 2, { inherited: true })];
  const placed = bars(steps, 0, 10_000);
  assert.deepEqual(placed.get("A"), { id: "A", left: 0, wait: 0, width: 50, isOpen: false, seconds: 5 });
  assert.deepEqual(placed.get("B"), { id: "B", left: 50, wait: 10, width: 40, isOpen: true, seconds: 4 });
  assert.deepEqual([placed.has("C"), placed.has("D")], [false, false]);
  assert.deepEqual(phases(steps).map((phase) => [phase.phase, phase.steps.length]), [["one", 3], ["two", 1]]);
  assert.deepEqual(ticks(10_000), [0, 2_000, 4_000, 6_000, 8_000, 10_000]);
  assert.deepEqual([0, 15_000, 60_000, 75_000, 3_600_000, 5_400_000, 86_400_000].map(tickWord), ["0", "15 s", "1 min", "1:15 min", "1 h", "1:30 h", "24 h"]);
  assert.deepEqual([1, 2, 3, 10].map(levels), [[0, 1], [0, 1, 2], [0, 2, 4], [0, 5, 10]]);
  for (const ms of [1, 999, 61_000, 3_600_000, 86_400_000 * 40]) assert.ok(ticks(ms).length <= 8, `${ms}`);
});

const SCHEMA = {
  type: "object",
  required: ["name", "client"],
  $defs: { age: { type: "integer", minimum: 0, description: "in years" } },
  properties: {
    name: { type: "string", title: "Name" },
    client: { type: "object", required: ["age"], properties: { age: { $ref: "#/$defs/age" }, goals: { type: "array", items: { type: "string" } } } },
    level: { enum: ["low", "high", 3] },
    urgent: { type: "boolean", default: false },
    extra: {},
  },
};

test("a form has the fields of its schema and makes its input", () => {
  const fields = fieldsOf(SCHEMA);
  assert.deepEqual(fields.map(({ pointer, kind, isRequired }) => [pointer, kind, isRequired]), [["/name", "text", true], ["/client/age", "integer", true], ["/client/goals", "lines", false], ["/level", "choice", false], ["/urgent", "boolean", false], ["/extra", "json", false]]);
  const input = { name: "Ada", client: { age: 36, goals: ["a", "b"] }, level: 3, urgent: true, extra: { x: [1] } };
  assert.deepEqual(collect(fields, textsOf(fields, input)), input);
  assert.deepEqual(collect(fields, { "/name": "", "/client/age": "old" }), { client: { age: "old" } }, "what is no number is sent as it is");
  const strange = fieldsOf({ type: "object", properties: { __proto__x: { type: "string" }, ["__proto__"]: { type: "string" } } });
  assert.equal(Object.hasOwn(collect(strange, { "/__proto__": "p" }), "__proto__"), true);
  assert.equal({}.p, undefined);
});

test("errors stand at the fields that they are about", () => {
  const fields = fieldsOf(SCHEMA);
  const errors = [
    { pointer: "/input/client/age", detail: "must be an integer" },
    { pointer: "/input/client/goals/1", detail: "must be a string" },
    { pointer: "/input", detail: "must not be empty" },
  ];
  assert.deepEqual(errorsByField(fields, errors), { "/client/age": ["must be an integer"], "/client/goals": ["must be a string"], "": ["must not be empty"] });
});

test("figures are words of the language", () => {
  const [english, spanish] = [formats("en"), formats("es")];
  assert.deepEqual([english.cost(0), english.cost(1_230), english.cost(12_500_000), english.cost(null)], ["$0.00", "$0.00123", "$12.50", "–"]);
  assert.deepEqual([english.size(999), english.size(1_500), spanish.size(2_500_000)], ["999 B", "1.5 KB", "2,5 MB"]);
  assert.deepEqual([english.duration(43), english.duration(6_100), english.duration(125_000), english.duration(7_500_000)], ["43 ms", "6.1 s", "2 min 5 s", "2 h 5 min"]);
  assert.deepEqual([999.6, 59_949, 59_999, 3_599_999].map(english.duration), ["1.0 s", "59.9 s", "1 min 0 s", "1 h 0 min"]);
  assert.deepEqual([english.ago(0, 61_000), english.ago(0, 500), spanish.ago(0, 7_200_000)], ["1 minute ago", "now", "hace 2 horas"]);
});

test("entities stand below their parents, in the order of the answer", () => {
  const entity = (id, parent, path, state = "incubating") => ({ id, parent, path, state });
  const list = [entity("b", null, "capabilities[10]"), entity("a", null, "capabilities[2]"), entity("a1", "a", "capabilities[2].competencies[0]"), entity("a2", "a", "capabilities[2].competencies[1]", "approved"), entity("x", "gone", "roles[0]"), entity("self", "self", "roles[1]")];
  const names = (nodes) => nodes.map((node) => (node.children.length > 0 ? [node.entity.id, names(node.children)] : node.entity.id));
  assert.deepEqual(names(entityTree(list, () => true)), [["a", ["a1", "a2"]], "b", "x", "self"]);
  assert.deepEqual(names(entityTree(list, (each) => each.state === "approved")), [["a", ["a2"]]]);
  assert.equal(entityTree(list, () => true)[0].count, 3);
});

/** A server's list, newest first, of which a page is asked for behind a row. */
function server() {
  const rows = [];
  const page = (after, limit) => {
    const from = after === null ? 0 : rows.findIndex((row) => row.n < after);
    const data = from < 0 ? [] : rows.slice(from, from + limit);
    return { data: data.map((row) => ({ ...row })), has_more: from >= 0 && from + limit < rows.length, last_id: data.at(-1)?.n ?? null };
  };
  return { rows, page };
}

property("a list that is read page by page has each row once, in order, as it is", (random) => {
  const { rows, page } = server();
  const limit = 1 + random(5);
  const list = new ListRows((row) => String(row.n), limit);
  let n = 0;
  const add = (count) => {
    for (let each = 0; each < count; each += 1) rows.unshift({ n: (n += 1), isOpen: true });
  };
  const read = () => {
    list.newest(page(null, limit));
    for (const after of list.open((row) => row.isOpen)) list.again(after, page(after, limit));
  };
  add(random(12));
  read();
  for (let turn = 0; turn < 12; turn += 1) {
    const act = random(4);
    if (act === 0) add(random(3));
    else if (act === 1 && rows.length > 0) rows[random(rows.length)].isOpen = false;
    else if (act === 2 && rows.length > 3) rows.splice(random(rows.length), 1);
    else if (list.next !== null) list.more(page(list.next, limit));
    read();
  }
  const shown = list.rows;
  const upTo = list.next === null ? rows : rows.filter((row) => row.n >= (shown.at(-1)?.n ?? 0));
  const open = (of) => of.filter((row) => row.isOpen);
  // Rows that have ended are not asked for again: of those, none is shown twice, and none is missing.
  assert.deepEqual(open(shown), open(upTo), JSON.stringify({ limit, shown, upTo }));
  assert.deepEqual(upTo.filter((row) => !shown.some((each) => each.n === row.n)), []);
  assert.deepEqual(shown.map((row) => row.n), [...new Set(shown.map((row) => row.n))].sort((one, other) => other - one));
});

test("rows are told apart by the list's own key, and another filter begins anew", () => {
  const list = new ListRows((row) => row.name, 2);
  const answer = (names, more = true) => ({ data: names.map((name) => ({ name })), has_more: more, last_id: names.at(-1) ?? null });
  const names = () => list.rows.map((row) => row.name).join("");
  list.newest(answer(["a", "b"]));
  list.more(answer(["c", "d"]));
  assert.deepEqual([names(), list.next], ["abcd", "d"]);
  list.newest(answer(["z", "a"]));
  assert.deepEqual([names(), list.next], ["zabcd", "d"]);
  list.restart();
  assert.deepEqual([names(), list.next], ["zabcd", null]);
  list.newest(answer(["a", "b"], false));
  assert.deepEqual([names(), list.next], ["ab", null]);
});
