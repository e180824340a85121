// The AI SDK, with its provider for OpenAI (by default the Responses API) and with the one for compatible servers.

import { collect, errors, installed, key, load, model, parsed, secondTurn, streamed, table, url, usedTool, weather } from './table.mjs';

const { APICallError, generateText, isStepCount, Output, streamText, tool } = await load('ai');
const { createOpenAI } = await load('@ai-sdk/openai');
const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible');
const { z } = await load('zod');

// They would be printed where the table goes.
globalThis.AI_SDK_LOG_WARNINGS = false;

const hola = { role: 'user', content: 'Hola' };
const and = { role: 'user', content: '¿Y?' };
const schema = z.object({ city: z.string(), people: z.int() });
const tools = { weather: tool({ description: 'The weather in a city.', inputSchema: z.object({ city: z.string() }), execute: weather }) };

function features(of, more = {}) {
  const asked = { model: of(model), maxRetries: 0 };
  return {
    async stream() {
      return streamed(await collect(streamText({ ...asked, prompt: 'Hola' }).textStream));
    },
    async tools() {
      const loop = { ...asked, prompt: 'Hola', tools, stopWhen: isStepCount(2) };
      usedTool((await generateText(loop)).text);
      usedTool(await streamText(loop).text);
      return 'generateText; streamText';
    },
    async structured() {
      parsed((await generateText({ ...asked, prompt: 'Hola', output: Output.object({ schema }) })).output);
      parsed(await streamText({ ...asked, prompt: 'Hola', output: Output.object({ schema }) }).output);
      return 'generateText; streamText';
    },
    async second_turn() {
      const first = await generateText({ ...asked, messages: [hola] });
      secondTurn((await generateText({ ...asked, messages: [hola, ...first.responseMessages, and] })).text);
      // After a tool loop: by default the provider sends the calls whole, and the text after them as a reference to its item.
      const called = await generateText({ ...asked, messages: [hola], tools, stopWhen: isStepCount(2) });
      secondTurn((await generateText({ ...asked, messages: [hola, ...called.responseMessages, and], tools })).text);
      return (await more.second_turn?.(asked, first)) ?? 'messages';
    },
    ...errors(
      (name) => generateText({ ...asked, model: of(name), prompt: 'Hola' }),
      [APICallError, APICallError],
      (error) => error.statusCode,
    ),
  };
}

const openai = createOpenAI({ baseURL: url, apiKey: key });
const name = `ai ${installed('ai')}, `;
await table('AI SDK, @ai-sdk/openai, Responses', name + installed('@ai-sdk/openai'), features((id) => openai(id), {
  async second_turn(asked, first) {
    const previousResponseId = first.finalStep.providerMetadata.openai.responseId;
    secondTurn((await generateText({ ...asked, prompt: '¿Y?', providerOptions: { openai: { previousResponseId } } })).text);
    return 'item references; previousResponseId';
  },
}));

const compatible = createOpenAICompatible({ name: 'longhand', baseURL: url, apiKey: key, supportsStructuredOutputs: true });
await table('AI SDK, @ai-sdk/openai-compatible', name + installed('@ai-sdk/openai-compatible'), features((id) => compatible(id)));
