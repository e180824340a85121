// The steps of a run as bars over time.

/** @typedef {{ id: string, left: number, wait: number, width: number, isOpen: boolean, seconds: number | null }} Bar in percent of the whole width */
/** @typedef {{ phase: string | null, steps: any[] }} Phase */

/** The steps under their phases, in the order of the steps. @param {any[]} steps @returns {Phase[]} */
export function phases(steps) {
  /** @type {Phase[]} */
  const result = [];
  for (const step of steps) {
    const known = result.find((phase) => phase.phase === (step.phase ?? null));
    if (known) known.steps.push(step);
    else result.push({ phase: step.phase ?? null, steps: [step] });
  }
  return result;
}

/**
 * Where each step's bar stands: it waits from `ready_at` to `started_at`, and is at work until `ended_at` or now.
 * @param {any[]} steps @param {number} begin @param {number} end milliseconds
 * @returns {Map<string, Bar>} steps that have not begun have none
 */
export function bars(steps, begin, end) {
  const whole = Math.max(end - begin, 1);
  const at = (/** @type {number} */ ms) => Math.min(Math.max(((ms - begin) / whole) * 100, 0), 100);
  const result = new Map();
  for (const step of steps) {
    // What an earlier run has done lies outside of this one.
    if (!step.started_at || step.inherited) continue;
    const started = Date.parse(step.started_at);
    const ready = Math.min(step.ready_at ? Date.parse(step.ready_at) : started, started);
    const ended = step.ended_at ? Date.parse(step.ended_at) : end;
    const left = at(ready);
    const wait = at(started) - left;
    result.set(step.id, { id: step.id, left, wait, width: Math.max(at(ended) - at(started), 0), isOpen: !step.ended_at, seconds: (ended - started) / 1000 });
  }
  return result;
}

/**
 * Round moments for an axis: at most `most` of them, from 0.
 * @param {number} ms @param {number} [most]
 * @returns {number[]} milliseconds
 */
export function ticks(ms, most = 6) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400].map((seconds) => seconds * 1000);
  const step = steps.find((each) => ms / each <= most) ?? 86_400_000 * Math.ceil(ms / most / 86_400_000);
  const result = [];
  for (let at = 0; at <= ms; at += step) result.push(at);
  return result;
}

/** A moment of an axis, in words. @param {number} ms whole seconds */
export function tickWord(ms) {
  const seconds = ms / 1_000;
  const pair = (/** @type {number} */ whole, /** @type {number} */ rest, /** @type {string} */ unit) => (rest === 0 ? `${whole} ${unit}` : `${whole}:${String(rest).padStart(2, "0")} ${unit}`);
  if (seconds === 0) return "0";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return pair(Math.floor(seconds / 60), seconds % 60, "min");
  return pair(Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60), "h");
}

/**
 * Where the lines of a chart of counts or sums stand, from 0: no two have the same words.
 * @param {number} most the highest value, at least 1
 * @returns {number[]}
 */
export function levels(most) {
  return most <= 1 ? [0, 1] : [0, Math.ceil(most / 2), Math.ceil(most / 2) * 2];
}
