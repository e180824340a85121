// The rows of a list that is read page by page, and read again while some of its rows change. No clock, no network.

/** @typedef {{ data: any[], has_more: boolean }} Answer */
/** @typedef {{ after: string | null, rows: any[] }} Page */

/** Pages of rows, each behind a row of the one before. A row is shown once, where it comes first. */
export class ListRows {
  /** @type {Page[]} */
  #pages = [];
  /** Behind which row the next page begins; `null`: there is none. @type {string | null} */
  next = null;
  #isOther = false;

  /** @param {(row: any) => string} keyOf @param {number} limit rows of a page @param {string} cursor the name of the answer's last id */
  constructor(keyOf, limit, cursor = "last_id") {
    this.keyOf = keyOf;
    this.limit = limit;
    this.cursor = cursor;
  }

  /** The next first page is that of another list; until then, the rows stay. */
  restart() {
    this.#isOther = true;
    this.next = null;
  }

  get isEmpty() {
    return this.#pages.length === 0;
  }

  /** All rows. @returns {any[]} */
  get rows() {
    const seen = new Set();
    return this.#pages.flatMap(({ rows }) => rows).filter((row) => !seen.has(this.keyOf(row)) && seen.add(this.keyOf(row)));
  }

  /** @param {any} answer */
  #nextOf(answer) {
    return answer.has_more ? (answer[this.cursor] ?? null) : null;
  }

  /** The first page, again. What new rows have pushed off its end goes on being shown where more is. @param {any} answer */
  newest(answer) {
    const [first, ...more] = this.#pages;
    const last = answer.data.at(-1);
    const at = first && last ? first.rows.findIndex((row) => this.keyOf(row) === this.keyOf(last)) : -1;
    if (this.#isOther || more.length === 0 || !answer.has_more || at < 0) {
      this.#isOther = false;
      this.#pages = [{ after: null, rows: answer.data }];
      this.next = this.#nextOf(answer);
      return;
    }
    const pushed = first.rows.slice(at + 1);
    const after = answer[this.cursor];
    if (pushed.length > 0 && more[0].rows.length + pushed.length <= this.limit) more[0] = { after, rows: [...pushed, ...more[0].rows] };
    else if (pushed.length > 0) more.unshift({ after, rows: pushed });
    this.#pages = [{ after: null, rows: answer.data }, ...more];
  }

  /** The next page. @param {any} answer */
  more(answer) {
    this.#pages.push({ after: this.next, rows: answer.data });
    this.next = this.#nextOf(answer);
  }

  /** Behind which rows the pages begin, the first aside, that have such a row. @param {(row: any) => boolean} isOpen @returns {string[]} */
  open(isOpen) {
    return this.#pages.flatMap(({ after, rows }) => (after !== null && rows.some(isOpen) ? [after] : []));
  }

  /** A page, again: its rows as they are now, without those that have gone. What the answer does not reach stays. @param {string} after @param {Answer} answer */
  again(after, answer) {
    const page = this.#pages.find((each) => each.after === after);
    if (!page || (answer.data.length === 0 && answer.has_more)) return;
    const now = new Map(answer.data.map((row) => [this.keyOf(row), row]));
    const last = answer.has_more ? page.rows.findIndex((row) => this.keyOf(row) === this.keyOf(answer.data.at(-1))) : -1;
    page.rows = page.rows.flatMap((row, at) => now.get(this.keyOf(row)) ?? (last >= 0 && at > last ? row : []));
  }
}
