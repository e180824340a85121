// OpenAI's client for Node.js, and the library of Standard Webhooks, read a delivery: on stdin {"secret", "headers", "body"}. Says what it has read.
import { createRequire } from "node:module";

const require = createRequire(process.env.LONGHAND_NODE_MODULES + "/");
const OpenAI = require("openai").default ?? require("openai");
const client = new OpenAI({ apiKey: "none" });
let text = "";
for await (const part of process.stdin) text += part;
const { secret, headers, body } = JSON.parse(text);
const event = await client.webhooks.unwrap(body, headers, secret);
let refused = false;
try {
  await client.webhooks.unwrap(body + " ", headers, secret);
} catch (error) {
  refused = error instanceof OpenAI.InvalidWebhookSignatureError;
}
const { Webhook } = require("standardwebhooks");
const own = new Webhook(secret).verify(body, headers);
if (JSON.stringify(own) !== JSON.stringify(JSON.parse(body))) throw new Error("standardwebhooks has read something else");
console.log(JSON.stringify({ event, refused }));
