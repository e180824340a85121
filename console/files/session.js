// Who looks at the console: the credential, where it is kept, and what it may do.

import { Api, Problem, queryOf } from "./api.js";
import { t } from "./i18n.js";

const STORED = "longhand.credential";

/** @typedef {{ kind: "key" | "token" | "none", organization: string, scopes: string[], key: string | null, user: string | null, expires_at: string | null }} Credential */

/** The tab's store, which a frame of another site may lack. */
function store() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

/** Takes a token out of the address, which then no longer has it. @returns {string | null} */
export function takeToken() {
  const fragment = location.hash.slice(1);
  if (fragment.startsWith("token=")) {
    history.replaceState(null, "", `${location.pathname}${location.search}#/`);
    return new URLSearchParams(fragment).get("token");
  }
  const [path, query = ""] = fragment.split("?");
  const pairs = new URLSearchParams(query);
  const token = pairs.get("token");
  if (token === null) return null;
  pairs.delete("token");
  history.replaceState(null, "", `${location.pathname}${location.search}#${path}${queryOf(Object.fromEntries(pairs))}`);
  return token;
}

export class Session {
  /** @param {Api} api @param {Credential} credential @param {AbortController} [controller] ends all that is asked for it */
  constructor(api, credential, controller = new AbortController()) {
    this.api = api;
    this.credential = credential;
    this.controller = controller;
  }

  /** Why the credential may not do what needs `scope`; `null`: it may. @param {"start" | "read" | "admin" | "review"} scope @returns {string | null} */
  refusal(scope) {
    if (this.credential.scopes.includes(scope)) return null;
    return this.credential.kind === "token" ? t("This token only reads. Sign in with an API key that has the scope “{scope}”.", { scope }) : t("This key does not have the scope “{scope}”.", { scope });
  }
}

/**
 * Opens a session by a credential, or without one where the API asks for none.
 * @param {string | null} credential @param {(session: Session) => void} onRefused
 * @returns {Promise<Session>}
 */
export async function open(credential, onRefused) {
  const controller = new AbortController();
  const api = new Api(credential, controller.signal);
  const session = new Session(api, await api.get("v1/credential"), controller);
  api.onRefused = () => onRefused(session);
  if (credential) store()?.setItem(STORED, credential);
  return session;
}

/**
 * The session of this tab, or that of the token in the address.
 * @param {string | null} token @param {(session: Session) => void} onRefused
 * @returns {Promise<{ session: Session | null, wasRefused: boolean }>} without one, somebody must sign in
 */
export async function resume(token, onRefused) {
  const credential = token ?? store()?.getItem(STORED) ?? null;
  try {
    return { session: await open(credential, onRefused), wasRefused: false };
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    if (token === null) signOut();
    return { session: null, wasRefused: credential !== null };
  }
}

/** A session that reads one run, by the token in the address, or else the tab's. @param {string} run @returns {Session} */
export function openEmbedded(run) {
  const name = `longhand.token.${run}`;
  const token = takeToken() ?? store()?.getItem(name) ?? null;
  if (token) store()?.setItem(name, token);
  return new Session(new Api(token), { kind: "token", organization: "", scopes: ["read"], key: null, user: null, expires_at: null });
}

export function signOut() {
  store()?.removeItem(STORED);
}
