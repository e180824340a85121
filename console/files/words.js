// Differences of two texts, word by word.

/** @typedef {{ op: " " | "-" | "+", text: string }} Part */

/** So many differences are looked for; two texts that have more are shown as replaced. */
const EDITS_MAX = 1_000;

/** Words, spaces and signs. @param {string} text @returns {string[]} */
export function tokens(text) {
  return text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];
}

/**
 * The shortest way from one list to the other (Myers, "An O(ND) Difference Algorithm and Its Variations").
 * @param {string[]} from @param {string[]} to
 * @returns {Part[] | null} `null`: they differ too much
 */
function shortest(from, to) {
  const most = Math.min(from.length + to.length, EDITS_MAX);
  /** @type {Map<number, number>} */
  let ends = new Map([[1, 0]]);
  /** @type {Map<number, number>[]} */
  const trace = [];
  for (let edits = 0; edits <= most; edits += 1) {
    trace.push(new Map(ends));
    for (let k = -edits; k <= edits; k += 2) {
      const goesDown = k === -edits || (k !== edits && (ends.get(k - 1) ?? 0) < (ends.get(k + 1) ?? 0));
      let x = goesDown ? (ends.get(k + 1) ?? 0) : (ends.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < from.length && y < to.length && from[x] === to[y]) {
        x += 1;
        y += 1;
      }
      ends.set(k, x);
      if (x >= from.length && y >= to.length) return walkBack(from, to, trace);
    }
  }
  return null;
}

/** @param {string[]} from @param {string[]} to @param {Map<number, number>[]} trace */
function walkBack(from, to, trace) {
  /** @type {Part[]} */
  const parts = [];
  let [x, y] = [from.length, to.length];
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const ends = trace[edits];
    const k = x - y;
    const goesDown = k === -edits || (k !== edits && (ends.get(k - 1) ?? 0) < (ends.get(k + 1) ?? 0));
    const before = goesDown ? k + 1 : k - 1;
    const [toX, toY] = [ends.get(before) ?? 0, (ends.get(before) ?? 0) - before];
    while (x > toX && y > toY && x > 0 && y > 0) {
      parts.push({ op: " ", text: from[x - 1] });
      x -= 1;
      y -= 1;
    }
    if (edits === 0) break;
    if (goesDown) parts.push({ op: "+", text: to[y - 1] });
    else parts.push({ op: "-", text: from[x - 1] });
    [x, y] = [toX, toY];
  }
  return parts.reverse();
}

/** Neighbours of one kind as one. @param {Part[]} parts */
function joined(parts) {
  /** @type {Part[]} */
  const result = [];
  for (const part of parts) {
    const last = result.at(-1);
    if (last && last.op === part.op) last.text += part.text;
    else result.push({ ...part });
  }
  return result;
}

/**
 * What leads from one text to the other: the parts without `+` are the first, those without `-` the second.
 * @param {string} from @param {string} to
 * @returns {Part[]}
 */
export function wordDiff(from, to) {
  const [before, after] = [tokens(from), tokens(to)];
  let begin = 0;
  while (begin < before.length && begin < after.length && before[begin] === after[begin]) begin += 1;
  let end = 0;
  while (end < before.length - begin && end < after.length - begin && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const [middleFrom, middleTo] = [before.slice(begin, before.length - end), after.slice(begin, after.length - end)];
  const replaced = () => [
    { op: /** @type {const} */ ("-"), text: middleFrom.join("") },
    { op: /** @type {const} */ ("+"), text: middleTo.join("") },
  ];
  const middle = shortest(middleFrom, middleTo) ?? replaced();
  const same = (/** @type {string[]} */ of) => ({ op: /** @type {const} */ (" "), text: of.join("") });
  return joined([same(before.slice(0, begin)), ...middle, same(before.slice(before.length - end))].filter((part) => part.text !== ""));
}

/**
 * The lines of a hunk as rows of two columns: a line that was changed stands beside what it became.
 * @param {{ op: string, text: string }[]} lines
 * @returns {{ from: string | null, to: string | null }[]}
 */
export function sideBySide(lines) {
  /** @type {{ from: string | null, to: string | null }[]} */
  const rows = [];
  /** @type {string[]} */
  let removed = [];
  /** @type {string[]} */
  let added = [];
  const flush = () => {
    for (let at = 0; at < Math.max(removed.length, added.length); at += 1) rows.push({ from: removed[at] ?? null, to: added[at] ?? null });
    removed = [];
    added = [];
  };
  for (const { op, text } of lines) {
    if (op === "-") {
      if (added.length > 0) flush();
      removed.push(text);
    } else if (op === "+") added.push(text);
    else {
      flush();
      rows.push({ from: text, to: text });
    }
  }
  flush();
  return rows;
}
