// OpenAI's own JavaScript client against Longhand: nothing but its base URL is changed.
//
// Called by tests/it/official_clients.rs, which says in the environment where the stack is and which text is to be expected.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { LONGHAND_URL, LONGHAND_CUT_URL, LONGHAND_DROP_URL, LONGHAND_API_KEY, LONGHAND_TEXT_SHA256, LONGHAND_NODE_MODULES } =
  process.env;
const require = createRequire(join(LONGHAND_NODE_MODULES, 'here.js'));
const OpenAI = require('openai');
const { VERSION } = require('openai/version');
const CUTS = 20;

let requests = 0;
const counted = (...of) => ((requests += 1), fetch(...of));
const client = new OpenAI({ baseURL: LONGHAND_URL, apiKey: LONGHAND_API_KEY, fetch: counted });
const responses = client.responses;

const digest = (text) => createHash('sha256').update(text).digest('hex');
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const collect = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};
const textOf = (events) => events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');
// A response as it was sent, without what the client adds.
const added = ['output_text', 'parsed', 'parsed_arguments', 'output_parsed', '_request_id'];
const plain = (value) => JSON.parse(JSON.stringify(value, (key, inner) => (added.includes(key) ? undefined : inner)));

async function ended(id) {
  for (;;) {
    const response = await responses.retrieve(id);
    if (!['queued', 'in_progress'].includes(response.status)) return response;
    await sleep(20);
  }
}

async function rejects(kind, call) {
  const before = requests;
  const error = await call().then(() => assert.fail(`no ${kind.name}`), (error) => error);
  assert(error instanceof kind, String(error));
  assert.equal(requests, before + 1, 'it was tried again');
  return error;
}

async function backgroundAndPoll() {
  // Its provider never finishes, so an answer that waited for that would not come.
  const waiting = await responses.create({ model: 'stall/m', input: 'Hola', background: true });
  assert.equal(waiting.status, 'queued');
  assert.equal((await responses.cancel(waiting.id)).status, 'cancelled');
  const created = await responses.create({ model: 'text/m', input: 'Hola', background: true });
  assert.equal(created.status, 'queued');
  assert(created._request_id);
  let partial;
  while (!(partial = await responses.retrieve(created.id)).output_text) await sleep(20);
  assert.equal(partial.status, 'in_progress');
  const final = await ended(created.id);
  assert.equal(final.status, 'completed');
  assert.equal(digest(final.output_text), LONGHAND_TEXT_SHA256);
  assert(final.output_text.startsWith(partial.output_text));
}

async function streamAndCuts() {
  const stream = await responses.create({ model: 'text/m', input: 'Hola', background: true, stream: true });
  let id;
  for await (const event of stream) {
    id = event.response.id;
    break;
  }
  const cutting = new OpenAI({ baseURL: LONGHAND_CUT_URL, apiKey: LONGHAND_API_KEY, maxRetries: 0 });
  const seen = [];
  const cuts = [];
  while (seen.at(-1)?.type !== 'response.completed') {
    const after = seen.length ? { starting_after: seen.at(-1).sequence_number } : {};
    try {
      for await (const event of await cutting.responses.retrieve(id, { stream: true, ...after })) seen.push(event);
    } catch (error) {
      assert(error instanceof OpenAI.APIConnectionError || error instanceof TypeError, String(error));
      cuts.push(seen.length);
    }
  }
  assert.equal(cuts.length, CUTS);
  assert(new Set(cuts).size >= CUTS / 2, String(cuts));
  assert.deepEqual(seen.map((event) => event.sequence_number), [...seen.keys()]);
  assert.equal(digest(textOf(seen)), LONGHAND_TEXT_SHA256);
  assert.deepEqual(plain(seen.at(-1).response), plain(await responses.retrieve(id)));
  return { id, seen };
}

async function readersAndHelpers(id, seen) {
  const read = async () => collect(await responses.retrieve(id, { stream: true }));
  const [one, other] = await Promise.all([read(), read()]);
  assert.deepEqual(one, seen);
  assert.deepEqual(other, seen);
  const retrieved = plain(await responses.retrieve(id));
  for (const after of [{}, { starting_after: seen.length >> 1 }]) {
    const stream = responses.stream({ response_id: id, ...after });
    const numbers = (await collect(stream)).map((event) => event.sequence_number);
    assert.deepEqual(plain(await stream.finalResponse()), retrieved);
    assert.equal(numbers[0], (after.starting_after ?? -1) + 1);
    assert.equal(numbers.at(-1), seen.length - 1);
  }
  const made = await responses.stream({ model: 'text/m', input: 'Hola', background: true }).finalResponse();
  assert.equal(digest(made.output_text), LONGHAND_TEXT_SHA256);
}

async function twoReadersLive() {
  const mine = [];
  let others;
  for await (const event of await responses.create({ model: 'text/m', input: 'Hola', background: true, stream: true })) {
    mine.push(event);
    others ??= responses.retrieve(event.response.id, { stream: true }).then(collect);
  }
  assert.deepEqual(mine, await others);
}

async function cancel() {
  const events = [];
  let cancelled;
  for await (const event of await responses.create({ model: 'stall/m', input: 'Hola', background: true, stream: true })) {
    events.push(event);
    if (events.length === 5) cancelled = await responses.cancel(events[0].response.id);
  }
  assert.deepEqual([events.at(-1).type, events.at(-1).response.status], ['response.failed', 'cancelled']);
  assert.deepEqual(plain(await responses.cancel(cancelled.id)), plain(cancelled));
  assert.deepEqual(plain(await responses.retrieve(cancelled.id)), plain(cancelled));
  const replayed = await responses.stream({ response_id: cancelled.id }).finalResponse();
  assert.equal(replayed.status, 'cancelled');
}

async function errors(id) {
  let error = await rejects(OpenAI.BadRequestError, () => responses.cancel(id));
  assert.equal(error.error.message, 'Cannot cancel a completed response.');
  error = await rejects(OpenAI.NotFoundError, () => client.models.retrieve('text/none'));
  assert.equal(error.code, 'model_not_found');
  assert.equal((await client.models.retrieve('text/m')).owned_by, 'text');
  assert.ok((await client.models.list()).data.some((model) => model.id === 'text/m'));
  error = await rejects(OpenAI.NotFoundError, () => client.post('/nowhere', { body: {} }));
  assert.equal(error.code, 'unknown_url');
  error = await rejects(OpenAI.NotFoundError, () => responses.retrieve('resp_nothing'));
  assert.equal(error.error.message, "Response with id 'resp_nothing' not found.");
  assert(error.requestID);
  error = await rejects(OpenAI.BadRequestError, () => responses.create({ model: 'text/m', input: 'x', temperature: 9 }));
  assert.deepEqual([error.param, error.type], ['temperature', 'invalid_request_error']);
  const unstored = { model: 'text/m', input: 'x', background: true, store: false };
  assert.equal((await rejects(OpenAI.BadRequestError, () => responses.create(unstored))).code, 'unsupported_parameter');
}

async function inputItems(id) {
  const input = ['uno', 'dos', 'tres'].map((content) => ({ role: 'user', content }));
  const created = await responses.create({ model: 'json/m', input, background: true });
  const words = async (query) => (await collect(responses.inputItems.list(created.id, query))).map((item) => item.content[0].text);
  assert.deepEqual(await words({ limit: 1, order: 'asc' }), ['uno', 'dos', 'tres']);
  assert.deepEqual(await words({ limit: 1 }), ['tres', 'dos', 'uno']);
  assert.equal((await responses.inputItems.list(id)).data[0].content[0].text, 'Hola');
  await ended(created.id);
  await responses.delete(created.id);
  await rejects(OpenAI.NotFoundError, () => responses.retrieve(created.id));
}

async function structuredAndTools() {
  const properties = { city: { type: 'string' }, people: { type: 'integer' } };
  const schema = { type: 'object', properties, required: ['city', 'people'], additionalProperties: false };
  const text = { format: { type: 'json_schema', name: 'place', schema, strict: true } };
  const place = { city: 'Sevilla', people: 684000 };
  assert.deepEqual((await responses.parse({ model: 'json/m', input: '¿Dónde?', text })).output_parsed, place);
  assert.deepEqual((await responses.stream({ model: 'json/m', input: '¿Dónde?', text }).finalResponse()).output_parsed, place);
  const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' }, strict: true }];
  const [call] = (await responses.stream({ model: 'made/tool', input: 'x', tools }).finalResponse()).output;
  assert.deepEqual([call.type, call.name, call.call_id, call.arguments], ['function_call', 'f', 'c1', '{"a":1}']);
}

async function anInterruptedAttempt() {
  const stream = responses.stream({ model: 'made/flaky-js', input: 'x' });
  const kinds = (await collect(stream)).map((event) => event.type);
  const final = await stream.finalResponse();
  assert.equal(kinds.filter((kind) => kind === 'response.in_progress').length, 2);
  assert.deepEqual([final.output_text, final.output.length], ['Howdy', 1]);
}

async function anAttemptThatGoesOn() {
  const stream = responses.stream({ model: 'steady/flaky-on-js', input: 'x' });
  const kinds = (await collect(stream)).map((event) => event.type);
  const final = await stream.finalResponse();
  assert.equal(kinds.filter((kind) => kind === 'response.in_progress').length, 2);
  assert.equal(kinds.filter((kind) => kind === 'response.output_item.added').length, 1);
  assert.deepEqual([final.output_text, final.output.length], ['Hello', 1]);
}

async function aRetryIsNoSecondResponse() {
  const dropped = new OpenAI({ baseURL: LONGHAND_DROP_URL, apiKey: LONGHAND_API_KEY });
  const response = await dropped.responses.create({ model: 'once/m', input: 'js', background: true });
  assert.equal((await ended(response.id)).status, 'completed');
}

async function heartbeats() {
  const [events, final] = await Promise.all([
    responses.create({ model: 'late/m', input: 'js', stream: true }).then(collect),
    responses.stream({ model: 'late/m', input: 'js' }).finalResponse(),
  ]);
  assert.deepEqual([events.at(-1).type, final.status], ['response.completed', 'completed']);
}

async function foreground() {
  const response = await responses.create({ model: 'text/m', input: 'Hola' });
  assert.deepEqual([response.status, digest(response.output_text)], ['completed', LONGHAND_TEXT_SHA256]);
}

async function chatCompletions() {
  const { completions } = client.chat;
  const messages = [{ role: 'user', content: 'Hola' }];
  const whole = await completions.create({ model: 'text/m', messages });
  assert.deepEqual([digest(whole.choices[0].message.content), whole.choices[0].finish_reason], [LONGHAND_TEXT_SHA256, 'stop']);
  const chunks = await collect(await completions.create({ model: 'text/m', messages, stream: true, stream_options: { include_usage: true } }));
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
  assert.equal(digest(text), LONGHAND_TEXT_SHA256);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
  const { message } = (await completions.create({ model: 'made/tool', messages, tools })).choices[0];
  assert.equal(message.tool_calls[0].function.arguments, '{"a":1}');
  const result = { role: 'tool', tool_call_id: message.tool_calls[0].id, content: '1' };
  const final = await completions.stream({ model: 'text/m', messages: [...messages, message, result] }).finalChatCompletion();
  assert.equal(digest(final.choices[0].message.content), LONGHAND_TEXT_SHA256);
}

const late = heartbeats();
await backgroundAndPoll();
const { id, seen } = await streamAndCuts();
await readersAndHelpers(id, seen);
await twoReadersLive();
await cancel();
await structuredAndTools();
await anInterruptedAttempt();
await anAttemptThatGoesOn();
await aRetryIsNoSecondResponse();
await foreground();
await chatCompletions();
await late;
await errors(id);
await inputItems(id);
console.log(`ok: openai ${VERSION}, ${seen.length} events, ${CUTS} cuts, ${requests} requests`);
