// OpenAI's own JavaScript client, with both APIs.

import { collect, errors, installed, key, load, model, parsed, secondTurn, streamed, table, url, usedTool, weather } from './table.mjs';

const { default: OpenAI } = await load('openai');
const { zodResponseFormat, zodTextFormat } = await load('openai/helpers/zod');
const { z } = await load('zod');
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const { completions } = client.chat;
const { responses } = client;

const hola = { role: 'user', content: 'Hola' };
const and = { role: 'user', content: '¿Y?' };
const Place = z.object({ city: z.string(), people: z.int() });
const properties = { city: { type: 'string' } };
const parameters = { type: 'object', properties, required: ['city'], additionalProperties: false };
const described = { name: 'weather', description: 'The weather in a city.', parameters, strict: true };

const chat = async (messages, more = {}) => (await completions.create({ model, messages, ...more })).choices[0].message;
const respond = (input, more = {}) => responses.create({ model, input, ...more });

await table('openai (Node), chat completions', installed('openai'), {
  async stream() {
    const chunks = await collect(await completions.create({ model, messages: [hola], stream: true }));
    return streamed(chunks.map((chunk) => chunk.choices[0]?.delta.content));
  },
  async tools() {
    const tools = [{ type: 'function', function: described }];
    const message = await chat([hola], { tools });
    const [call] = message.tool_calls;
    const result = { role: 'tool', tool_call_id: call.id, content: weather(JSON.parse(call.function.arguments)) };
    usedTool((await chat([hola, message, result], { tools })).content);
    // The loop that the client has itself.
    const runnable = { type: 'function', function: { ...described, function: weather, parse: JSON.parse } };
    usedTool(await completions.runTools({ model, messages: [hola], tools: [runnable], stream: true }).finalContent());
    return 'by hand; runTools';
  },
  async structured() {
    const asked = { model, messages: [hola], response_format: zodResponseFormat(Place, 'place') };
    parsed((await completions.parse(asked)).choices[0].message.parsed);
  },
  async second_turn() {
    secondTurn((await chat([hola, await chat([hola]), and])).content);
  },
  ...errors((of) => chat([hola], { model: of }), [OpenAI.RateLimitError, OpenAI.NotFoundError], (error) => error.status),
});

await table('openai (Node), Responses', installed('openai'), {
  async stream() {
    const events = await collect(await respond('Hola', { stream: true }));
    return streamed(events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')));
  },
  async tools() {
    const tools = [{ type: 'function', ...described }];
    const first = await respond('Hola', { tools });
    const call = first.output.find((item) => item.type === 'function_call');
    const result = { type: 'function_call_output', call_id: call.call_id, output: weather(JSON.parse(call.arguments)) };
    usedTool((await respond([hola, ...first.output, result], { tools })).output_text);
    usedTool((await respond([result], { tools, previous_response_id: first.id })).output_text);
  },
  async structured() {
    parsed((await responses.parse({ model, input: 'Hola', text: { format: zodTextFormat(Place, 'place') } })).output_parsed);
  },
  async second_turn() {
    const first = await respond('Hola');
    secondTurn((await respond('¿Y?', { previous_response_id: first.id })).output_text);
    secondTurn((await respond([hola, ...first.output, and])).output_text);
    return 'previous_response_id; the items of the first';
  },
  ...errors((of) => respond('Hola', { model: of }), [OpenAI.RateLimitError, OpenAI.NotFoundError], (error) => error.status),
});
