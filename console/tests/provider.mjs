// A provider that plays recordings: chat completions as server-sent events, at the pace that a request's model or prompt names.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const RECORDED = JSON.parse(readFileSync(new URL("../../infra/local/recordings/edn360.json", import.meta.url), "utf8"));
const FAULTY = "E5";
const GREETING = /You are agent ([A-Za-z0-9]+)/;
const SENTENCES = ["La consejería revisa cada expediente con detalle.", "El seguimiento continúa durante todo el trimestre.", "Ningún dato se pierde por el camino.", "Las recomendaciones se ordenan por prioridad."];

/** A document of so many words, as a model writes one. */
export function prose(words) {
  const lines = [];
  for (let count = 0, at = 0; count < words; at += 1) {
    const sentence = SENTENCES[at % SENTENCES.length];
    count += sentence.split(" ").length;
    lines.push(at % 5 === 4 ? `${sentence}\n\n` : `${sentence} `);
  }
  return lines.join("");
}

/** What hostile models write: markup, links, controls that turn text around. */
export const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\n[a link](javascript:window.hacked=1)\n‮turned around‬ and ⁦isolated⁩\n<a href="javascript:window.hacked=1">click</a>\n';

/** The answer to a request: its deltas, the pause between them, and how it ends. */
function script(body, faults) {
  const [first] = body.messages;
  // A request that ends with the assistant's own words is continued behind them.
  const said = body.messages.at(-1)?.role === "assistant" ? String(body.messages.at(-1).content) : "";
  const prompt = String(body.messages.findLast((message) => message.role === "user")?.content ?? "");
  const agent = GREETING.exec(String(first.content))?.[1];
  if (agent && RECORDED[agent]) {
    // Of two tries of this agent, the first does not answer as its schema wants.
    const tries = (faults.get(agent) ?? 0) + 1;
    faults.set(agent, tries);
    const isWrong = agent === FAULTY && tries % 2 === 1;
    return { text: isWrong ? "No puedo responder así." : JSON.stringify(RECORDED[agent]), size: 24, pause: 10 };
  }
  if (/FAIL-ONCE/.test(prompt) && !faults.has(prompt)) {
    faults.set(prompt, 0);
    return { refused: "the prompt is not accepted" };
  }
  if (/FAIL-ALWAYS/.test(prompt)) return { refused: "the prompt is not accepted" };
  const number = (name, otherwise) => Number(new RegExp(`${name}=(\\d+)`).exec(prompt)?.[1] ?? otherwise);
  const pause = number("pause", body.model === "slow" ? 40 : 0);
  if (body.model === "hostile") return { text: HOSTILE + "x".repeat(number("line", 0)), size: 65_536, pause };
  if (body.model === "scenario") {
    const skills = [{ name: "Escucha activa" }, { name: "Redacción de actas" }];
    return { text: JSON.stringify({ scenario_metadata: { name: "Escenario" }, capabilities: [{ name: "Coordinación interdepartamental", competencies: [{ name: "Comunicación", skills }] }] }), size: 24, pause };
  }
  if (body.model === "json") return { text: JSON.stringify({ title: "Plan de acompañamiento", steps: [{ name: "Diagnóstico", days: 3 }, { name: "Planificación interdepartamental", days: 12 }], approved: true }), size: 5, pause };
  if (body.model === "thinks") return { reasoning: "Primero reviso el expediente, después comparo las fechas.", text: prose(30), size: 6, pause };
  return { text: prose(number("words", 60)).slice(said.length), size: number("size", 12), pause };
}

/** @returns {Promise<{ url: string, close: () => void }>} */
export function startProvider() {
  const faults = new Map();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    const { text = "", reasoning = "", size = 8, pause = 0, refused } = script(body, faults);
    if (refused) {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: refused, type: "invalid_request_error" } }));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const send = (delta, finish = null) => response.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: body.model, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    send({ role: "assistant" });
    for (const [name, whole] of [["reasoning_content", reasoning], ["content", text]]) {
      for (let at = 0; at < whole.length && !response.destroyed; at += size) {
        send({ [name]: whole.slice(at, at + size) });
        if (pause > 0) await wait(pause);
      }
    }
    send({}, "stop");
    const tokens = (count) => Math.ceil(count / 4);
    const [input, output] = [tokens(JSON.stringify(body.messages).length), tokens(text.length + reasoning.length)];
    response.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: body.model, choices: [], usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output } })}\n\n`);
    response.end("data: [DONE]\n\n");
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${server.address().port}/v1`, close: () => server.close() })));
}
