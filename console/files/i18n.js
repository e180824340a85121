// Words in two languages. The English ones are the keys; braces hold what is filled in.

import { formats } from "./format.js";
import { remember, remembered } from "./memory.js";

const STORED = "longhand.language";

/** @returns {"en" | "es"} */
function preferred() {
  const stored = remembered(STORED);
  if (stored === "en" || stored === "es") return stored;
  return navigator.language.toLowerCase().startsWith("es") ? "es" : "en";
}

/** The words of the language; those of English are in the pages. @param {"en" | "es"} of @returns {Promise<Record<string, string>>} */
const load = async (of) => (of === "es" ? (await import("./spanish.js")).SPANISH : {});

export let language = preferred();
export let format = formats(language);
let known = await load(language);

/** @param {"en" | "es"} to */
export async function setLanguage(to) {
  known = await load(to);
  language = to;
  format = formats(to);
  remember(STORED, to);
  document.documentElement.lang = to;
}

/**
 * The words in the reader's language.
 * @param {string} english @param {Record<string, any>} [values]
 */
export function t(english, values = {}) {
  const words = known[english] ?? english;
  return words.replace(/\{(\w+)\}/g, (/** @type {string} */ whole, /** @type {string} */ name) => (name in values ? String(values[name]) : whole));
}
