// What the API is asked, and when it is asked again: with a fetch of the test's own.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

Object.assign(globalThis, { document: { baseURI: "http://localhost/console/index.html", hidden: false, addEventListener() {}, removeEventListener() {} } });
const { Api, once, poll, Problem } = await import("../../files/api.js");

/** Answers one after the other: a status, or `null` for a broken connection. */
let answers = [];
let asked = [];
globalThis.fetch = async (url, { headers, signal }) => {
  signal?.throwIfAborted();
  asked.push(headers["idempotency-key"] ?? url);
  const status = answers.length > 0 ? answers.shift() : 200;
  if (status === null) throw new TypeError("failed to fetch");
  return new Response(JSON.stringify({ id: "gen_1" }), { status });
};
beforeEach(() => ([answers, asked] = [[], []]));

test("a form keeps its key over what may have happened, and takes another after a refusal", async () => {
  answers = [null, 503, 422, 409, 200];
  const post = once(new Api("key"));
  for (const expected of [0, 503, 422, 409]) await assert.rejects(post("v1/generations", {}), (error) => error instanceof Problem && error.status === expected);
  await post("v1/generations", {});
  assert.equal(asked[0], asked[1], "after a broken connection");
  assert.equal(asked[1], asked[2], "after an error of the server");
  assert.notEqual(asked[2], asked[3], "after a refusal");
  assert.notEqual(asked[3], asked[4]);
  assert.notEqual(asked[0], asked[4]);
});

/** Polls until all these were answered, and a while more. */
async function polled(statuses) {
  answers = [...statuses];
  const controller = new AbortController();
  const api = new Api("key", controller.signal);
  const told = [];
  const again = poll({ load: () => api.get("v1/x", controller.signal), isActive: () => false, every: 1, signal: controller.signal, onError: (error) => told.push(error.status) });
  while (told.length < statuses.length) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 50));
  return { told, again, stop: () => controller.abort() };
}

test("a poll ends at a refusal, goes on after other failures, and begins again when it is called", async () => {
  const refused = await polled([429, 500, null, 404]);
  assert.deepEqual([refused.told, asked.length], [[429, 500, 0, 404], 4]);
  refused.again();
  while (asked.length < 5) await new Promise((resolve) => setTimeout(resolve, 1));
  refused.stop();
});

test("what a session has asked ends with it, and a late 401 signs nobody out", async () => {
  const controller = new AbortController();
  const api = new Api("old", controller.signal);
  let refusals = 0;
  api.onRefused = () => (refusals += 1);
  answers = [401];
  await assert.rejects(api.get("v1/x"), Problem);
  assert.equal(refusals, 1);
  controller.abort();
  await assert.rejects(api.get("v1/x"), { name: "AbortError" });
  await assert.rejects(api.get("v1/x", new AbortController().signal), { name: "AbortError" });
  assert.equal(refusals, 1);
});
