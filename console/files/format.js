// Numbers, sums, times and names as people read them.

/** @param {string} language */
export function formats(language) {
  const whole = new Intl.NumberFormat(language);
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: "UTC" });
  const decimal = (/** @type {number} */ value, /** @type {number} */ digits) =>
    new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

  /** @param {number | null | undefined} value */
  const number = (value) => (value === null || value === undefined ? "–" : whole.format(value));

  /** Micro-dollars. @param {number | null | undefined} micros */
  const cost = (micros) => {
    if (micros === null || micros === undefined) return "–";
    const dollars = micros / 1_000_000;
    const digits = micros === 0 || dollars >= 1 ? 2 : dollars >= 0.01 ? 3 : 5;
    return `$${decimal(dollars, digits)}`;
  };

  /** @param {number | null | undefined} bytes */
  const size = (bytes) => {
    if (bytes === null || bytes === undefined) return "–";
    if (bytes < 1_000) return `${whole.format(bytes)} B`;
    if (bytes < 1_000_000) return `${decimal(bytes / 1_000, 1)} KB`;
    return `${decimal(bytes / 1_000_000, 1)} MB`;
  };

  /** @param {number | null | undefined} ms */
  const duration = (ms) => {
    if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
    if (ms < 999.5) return `${Math.max(0, Math.round(ms))} ms`;
    if (ms < 59_950) return `${decimal(ms / 1_000, 1)} s`;
    const seconds = Math.round(ms / 1_000);
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
    return `${whole.format(Math.floor(minutes / 60))} h ${minutes % 60} min`;
  };

  /** @param {number} atMs @param {number} nowMs */
  const ago = (atMs, nowMs) => {
    const seconds = Math.round((atMs - nowMs) / 1_000);
    const units = /** @type {const} */ ([["day", 86_400], ["hour", 3_600], ["minute", 60]]);
    for (const [unit, length] of units) if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
    return relative.format(Math.abs(seconds) < 2 ? 0 : seconds, "second");
  };

  /** @param {number | null | undefined} share from 0 to 1 */
  const percent = (share) => (share === null || share === undefined ? "–" : `${decimal(share * 100, share === 1 || share === 0 ? 0 : 1)} %`);

  return { number, cost, size, duration, ago, percent, exact: (/** @type {number} */ ms) => exact.format(ms), day: (/** @type {string} */ text) => day.format(Date.parse(`${text}T00:00:00Z`)) };
}

/** The first and last characters of an id, which people can tell apart. @param {string} id */
export function shortId(id) {
  return id.length <= 16 ? id : `${id.slice(0, 4)}…${id.slice(-6)}`;
}
