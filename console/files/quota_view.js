// What an organization may use, and has used today.

import { format, t } from "./i18n.js";
import { bar, figure } from "./ui.js";

/** @param {any} quota */
export function quotaFigures({ quota, used }) {
  const of = (/** @type {string} */ name, /** @type {number} */ value, /** @type {number | undefined} */ most, /** @type {(n: number) => string} */ words) => figure(name, words(value), most === undefined ? t("no limit") : [t("of {most}", { most: words(most) }), " ", bar(Math.min((value / Math.max(most, 1)) * 100, 100), name, value >= most ? "bad" : "")]);
  const isCounted = quota.generations_per_day !== undefined || quota.output_bytes_per_day !== undefined || quota.spend_per_day !== undefined;
  if (!isCounted) return [figure(t("Quota of a day"), t("no limit"))];
  return [of(t("Generations today"), used.generations, quota.generations_per_day, format.number), of(t("Output today"), used.output_bytes, quota.output_bytes_per_day, format.size), of(t("Spend today"), used.spend, quota.spend_per_day, format.cost)];
}
