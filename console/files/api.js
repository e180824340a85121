// The public API, as the pages call it: errors in words, polls that ask only for what has changed, streams that go on where they broke.

import { SseParser } from "./sse.js";

/** An error that the API has answered, or that kept it from answering (`status` 0). */
export class Problem extends Error {
  /** @param {number} status @param {any} body @param {string | null} requestId */
  constructor(status, body, requestId) {
    super(body?.detail ?? body?.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = body?.code ?? null;
    /** @type {{ pointer: string, detail: string, path?: string, expected?: string }[]} */
    this.errors = body?.errors ?? [];
    this.requestId = body?.request_id ?? requestId;
  }
}

/** The first pause before a stream is asked for again; it doubles up to the second. */
const PAUSE_MS = 500;
const PAUSE_MAX_MS = 10_000;

/** Where the API is: the folder above the console's, whatever the stage or domain. */
export const BASE = new URL("../", document.baseURI);

/** @param {string} path such as `v1/generations` */
export const urlOf = (path) => new URL(path, BASE).href;

/** @param {Record<string, any>} query without its empty values */
export function queryOf(query) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
  return text === "" ? "" : `?${text}`;
}

/** A client with one credential. */
export class Api {
  /** @param {string | null} credential @param {AbortSignal | null} [signal] ends all that is asked with it */
  constructor(credential, signal = null) {
    this.credential = credential;
    this.signal = signal;
    /** Called where the credential is not taken any more. */
    this.onRefused = () => {};
  }

  /** @param {AbortSignal | undefined} signal of one request, joined with that of the session */
  #until(signal) {
    return this.signal && signal ? AbortSignal.any([this.signal, signal]) : (signal ?? this.signal ?? undefined);
  }

  /** @param {string} method @param {string} path @param {{ body?: any, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async send(method, path, { body, headers = {}, signal } = {}) {
    /** @type {Record<string, string>} */
    const all = { ...headers };
    if (this.credential) all.authorization = `Bearer ${this.credential}`;
    if (body !== undefined) all["content-type"] ??= "application/json";
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const until = this.#until(signal);
    let response;
    try {
      response = await fetch(urlOf(path), { method, headers: all, body: text, signal: until, credentials: "omit", cache: "no-store", redirect: "follow" });
    } catch (error) {
      if (until?.aborted) throw error;
      throw new Problem(0, { message: "The API does not answer." }, null);
    }
    if (response.status === 401 && !until?.aborted) this.onRefused();
    if (response.status >= 400) throw new Problem(response.status, await response.json().catch(() => null), response.headers.get("x-request-id"));
    return response;
  }

  /** @param {string} path @param {AbortSignal} [signal] */
  async text(path, signal) {
    return (await this.send("GET", path, { signal })).text();
  }

  /** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
  async get(path, signal) {
    return JSON.parse(await this.text(path, signal));
  }

  /** @param {string} path @param {any} [body] @param {Record<string, string>} [headers] @returns {Promise<any>} */
  async post(path, body = {}, headers = {}) {
    return (await this.send("POST", path, { body, headers })).json();
  }

  /**
   * Follows a stream of events to its end, over any number of connections, while the page is visible.
   * @param {string} path @param {{ after: () => number | null, onEvent: (event: any) => void, isOver: () => boolean, onState?: (state: "live" | "waiting") => void, signal: AbortSignal }} options
   */
  async follow(path, { after, onEvent, isOver, onState = () => {}, signal }) {
    let pause = PAUSE_MS;
    while (!signal.aborted && !isOver()) {
      await visible(signal);
      const connection = new AbortController();
      const stop = () => document.hidden && connection.abort();
      document.addEventListener("visibilitychange", stop);
      try {
        const both = AbortSignal.any([signal, connection.signal]);
        const from = after();
        const response = await this.send("GET", `${path}${queryOf({ after: from })}`, { headers: { accept: "text/event-stream" }, signal: both });
        if (response.status === 204 || !response.body) return;
        onState("live");
        pause = PAUSE_MS;
        await readEvents(response.body, onEvent);
      } catch (error) {
        if (signal.aborted || this.signal?.aborted) return;
        // The caller has found a gap, or may not read this: another connection does not help.
        if (isFinal(error)) throw error;
      } finally {
        document.removeEventListener("visibilitychange", stop);
      }
      if (signal.aborted || isOver()) return;
      onState("waiting");
      if (!document.hidden) await sleep(pause, signal);
      pause = Math.min(pause * 2, PAUSE_MAX_MS);
    }
  }
}

/** Whether the API has refused, and would again. @param {unknown} error */
const isFinal = (error) => error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429;

/**
 * Posts for one form or dialog: sent again after a broken connection, it happens once. What the API has refused did not happen, so the next is another.
 * @param {Api} api
 * @returns {(path: string, body?: any) => Promise<any>}
 */
export function once(api) {
  let key = crypto.randomUUID();
  return async (path, body) => {
    try {
      return await api.post(path, body, { "idempotency-key": key });
    } catch (error) {
      if (error instanceof Problem && error.status >= 400 && error.status < 500) key = crypto.randomUUID();
      throw error;
    }
  };
}

/** @param {ReadableStream<Uint8Array>} body @param {(event: any) => void} onEvent */
async function readEvents(body, onEvent) {
  const parser = new SseParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    let began = performance.now();
    for (const { id, event, data } of parser.push(decoder.decode(value, { stream: true }))) {
      onEvent({ id, name: event, ...JSON.parse(data) });
      // Between long stretches of events, the page answers to its reader.
      if (performance.now() - began > 8) {
        await new Promise((resolve) => setTimeout(resolve));
        began = performance.now();
      }
    }
  }
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Waits until the page is visible. @param {AbortSignal} signal @returns {Promise<void>} */
export function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const seen = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", seen);
      resolve();
    };
    document.addEventListener("visibilitychange", seen, { signal });
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/**
 * Calls `load` now, and again every `every` milliseconds while the page is visible and `isActive` says so. After a refusal it waits to be called.
 * @param {{ load: () => Promise<void>, isActive: () => boolean, every?: number | (() => number), signal: AbortSignal, onError: (error: unknown) => void }} options
 * @returns {() => void} calls it again at once, and goes on from there
 */
export function poll({ load, isActive, every = 3_000, signal, onError }) {
  /** @type {(() => void) | null} */
  let wake = null;
  let isAsked = false;
  const again = () => {
    isAsked = true;
    wake?.();
  };
  void (async () => {
    let failures = 0;
    while (!signal.aborted) {
      isAsked = false;
      let isRefused = false;
      try {
        await load();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        isRefused = isFinal(error);
        onError(error);
      }
      if (!isAsked && !signal.aborted) {
        const isOn = !isRefused && (isActive() || failures > 0);
        const pause = typeof every === "number" ? every : every();
        await new Promise((resolve) => {
          wake = () => resolve(undefined);
          signal.addEventListener("abort", wake, { once: true });
          if (isOn) setTimeout(wake, pause * 2 ** Math.min(failures, 4));
        });
        wake = null;
        await visible(signal);
      }
    }
  })();
  return again;
}
