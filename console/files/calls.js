// Calls that people copy: into a shell, or into their own code.

import { BASE } from "./api.js";

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {string} method @param {string} path @param {any} [body] */
export function curl(method, path, body) {
  const lines = [`curl -sN ${method === "GET" ? "" : `-X ${method} `}${quoted(new URL(path, BASE).href)}`, '-H "authorization: Bearer $LONGHAND_API_KEY"'];
  if (body !== undefined) lines.push("-H 'content-type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  return lines.join(" \\\n  ");
}

/** Reads a generation live by OpenAI's client for Python. @param {string} id */
export function python(id) {
  const lines = [
    "import os",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(new URL("v1", BASE).href)}, api_key=os.environ["LONGHAND_API_KEY"])`,
    `for event in client.responses.retrieve(${JSON.stringify(id.replace(/^gen_/, "resp_"))}, stream=True):`,
    '    if event.type == "response.output_text.delta":',
    '        print(event.delta, end="", flush=True)',
    "",
  ];
  return lines.join("\n");
}
