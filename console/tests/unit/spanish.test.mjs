import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { SPANISH } from "../../files/spanish.js";

const FILES = new URL("../../files/", import.meta.url);
const sources = readdirSync(FILES).filter((name) => name.endsWith(".js") && name !== "spanish.js").map((name) => readFileSync(new URL(name, FILES), "utf8"));

/** The English words that the pages pass to `t`, directly or by a choice of two. */
function words() {
  const found = new Set();
  for (const source of sources) {
    for (const call of source.matchAll(/\bt\(([^()]*?"(?:[^"\\]|\\.)*"[^()]*)/g)) {
      const [choice] = call[1].split(", {");
      for (const [, text] of choice.matchAll(/"((?:[^"\\]|\\.)*)"/g)) if (!/^(completed|failed|token|text|json)$/.test(text)) found.add(text);
    }
  }
  return found;
}

test("every word of the pages has a Spanish one", () => {
  const missing = [...words()].filter((word) => !(word in SPANISH));
  assert.deepEqual(missing, []);
  assert.ok(words().size > 300);
});

test("both languages fill in the same", () => {
  const names = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
  for (const [english, spanish] of Object.entries(SPANISH)) assert.deepEqual(names(spanish), names(english), english);
});
