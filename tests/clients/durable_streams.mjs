// Follows one stream to its end with the official client, and prints each item on a line.
// node durable_streams.mjs URL LIVE OFFSET; LONGHAND_NODE_MODULES: where @durable-streams/client is installed;
// LONGHAND_API_KEY: the API key.
import { createRequire } from "node:module";
import path from "node:path";

const [url, live, offset] = process.argv.slice(2);
const require = createRequire(path.join(process.env.LONGHAND_NODE_MODULES, "_.js"));
const { stream } = require("@durable-streams/client");

const headers = { Authorization: `Bearer ${process.env.LONGHAND_API_KEY}` };
const response = await stream({ url, headers, offset, live: live === "auto" ? true : live, json: true });
for await (const item of response.jsonStream()) {
  console.log(JSON.stringify(item));
}
console.log(JSON.stringify({ offset: response.offset, closed: response.streamClosed }));
