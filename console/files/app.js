// The console: signs in, draws the frame around the pages, and leads from address to page.

import { poll, Problem, queryOf } from "./api.js";
import { h, render } from "./dom.js";
import { language, setLanguage, t } from "./i18n.js";
import { remember, remembered } from "./memory.js";
import * as sessions from "./session.js";
import { closeDialogs, problem, refreshTimes, time, who } from "./ui.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {{ session: Session, api: import("./api.js").Api, params: string[], query: Record<string, string>, root: HTMLElement, signal: AbortSignal, isEmbedded: boolean, setQuery: (query: Record<string, any>) => void, setTitle: (title: string) => void, onError: (error: unknown) => void, act: (how: () => Promise<any>) => Promise<void> }} Context `onError` is for what is asked again by itself, `act` for what a person does */

const THEME = "longhand.theme";
/** Another product may frame a run, by this address alone; the rest of the console stands in no frame. */
const isEmbedded = location.search === "?embed=1";

/** Each page's address, with its module. @type {[RegExp, () => Promise<{ page: (context: Context) => void }>][]} */
const ROUTES = [
  [/^\/$/, () => import("./page_overview.js")],
  [/^\/generations$/, () => import("./page_generations.js")],
  [/^\/generations\/([^/]+)$/, () => import("./page_generation.js")],
  [/^\/batches$/, () => import("./page_batches.js")],
  [/^\/batches\/([^/]+)$/, () => import("./page_batch.js")],
  [/^\/runs$/, () => import("./page_runs.js")],
  [/^\/runs\/([^/]+)$/, () => import("./page_run.js")],
  [/^\/pipelines$/, () => import("./page_pipelines.js")],
  [/^\/pipelines\/([^/]+)$/, () => import("./page_pipeline.js")],
  [/^\/subjects$/, () => import("./page_subjects.js")],
  [/^\/subjects\/([^/]+)$/, () => import("./page_subject.js")],
  [/^\/subjects\/([^/]+)\/entities$/, () => import("./page_entities.js")],
  [/^\/webhooks$/, () => import("./page_webhooks.js")],
  [/^\/webhooks\/([^/]+)$/, () => import("./page_webhook.js")],
  [/^\/inbox$/, () => import("./page_inbox.js")],
  [/^\/usage$/, () => import("./page_usage.js")],
  [/^\/access$/, () => import("./page_access.js")],
];

const MENU = /** @type {const} */ ([
  ["/", "Overview"],
  ["/generations", "Generations"],
  ["/batches", "Batches"],
  ["/runs", "Runs"],
  ["/pipelines", "Pipelines"],
  ["/subjects", "Subjects"],
  ["/usage", "Usage"],
  ["/webhooks", "Webhooks"],
  ["/inbox", "Inbox"],
  ["/access", "Keys and quotas"],
]);

/** @type {Session | null} */
let session = null;
/** @type {AbortController | null} */
let shown = null;
/** The address of the page that is shown; `null`: none is. @type {string | null} */
let shownAt = null;
/** Counts the tries to sign in, of which the last one counts. */
let entries = 0;
let unread = 0;
let menuIsOpen = false;
/** Why the last poll failed. @type {unknown} */
let failure = null;
/** Why what a person did failed; told until they close it or do something else. @type {unknown} */
let refusal = null;
const main = h("main", { id: "main" });
/** Dialogs and messages stand beside it, so that drawing it again leaves them. */
const app = h("div", { id: "app" });

const address = () => {
  const [path, query = ""] = location.hash.slice(1).split("?");
  return { path: path === "" ? "/" : path, query: Object.fromEntries(new URLSearchParams(query)) };
};

function theme() {
  return remembered(THEME) ?? "auto";
}

/** @param {string} to */
function setTheme(to) {
  remember(THEME, to);
  document.documentElement.dataset.theme = to;
  drawFrame();
}

/** @param {string} label @param {string} value @param {[string, string][]} choices @param {(value: string) => void} choose */
function chooser(label, value, choices, choose) {
  return h("label", { class: "chooser" }, h("span", { class: "unseen" }, label), h("select", { on: { change: (/** @type {any} */ event) => choose(event.target.value) } }, choices.map(([name, words]) => h("option", { value: name, selected: name === value }, words))));
}

function drawFrame() {
  const { path } = address();
  const isHere = (/** @type {string} */ to) => (to === "/" ? path === "/" : path === to || path.startsWith(`${to}/`));
  const credential = session?.credential;
  render(
    app,
    h("a", { class: "skip", href: "#main", on: { click: (/** @type {Event} */ event) => (event.preventDefault(), main.querySelector("h1")?.focus()) } }, t("Skip to the page")),
    !isEmbedded &&
      h(
        "header",
        { class: "frame" },
        h("a", { class: "brand", href: "#/" }, h("span", { "aria-hidden": "true", class: "mark" }, "ℓ"), "Longhand"),
        h("button", { type: "button", class: "menu", "aria-expanded": String(menuIsOpen), "aria-controls": "menu", on: { click: () => ((menuIsOpen = !menuIsOpen), drawFrame()) } }, t("Menu")),
        h(
          "nav",
          { id: "menu", class: menuIsOpen ? "open" : "", "aria-label": t("Pages") },
          session && h("ul", null, MENU.map(([to, name]) => h("li", null, h("a", { href: `#${to}`, "aria-current": isHere(to) ? "page" : null }, t(name), to === "/inbox" && unread > 0 && h("span", { class: "count", "aria-label": t("{n} unread", { n: unread }) }, unread))))),
          h(
            "div",
            { class: "who" },
            credential && h("p", null, h("bdi", null, credential.organization), h("br"), h("small", null, credential.kind === "token" ? t("reads only") : credential.kind === "key" ? who(credential.user ?? credential.key) : t("no key needed"), credential.expires_at && [", ", t("until"), " ", time(credential.expires_at)])),
            chooser(t("Language"), language, [["en", "English"], ["es", "Español"]], (to) => setLanguage(/** @type {"en" | "es"} */ (to)).then(() => (drawFrame(), session ? show(true) : signIn(null)))),
            chooser(t("Colours"), theme(), [["auto", t("As the system")], ["light", t("Light")], ["dark", t("Dark")]], setTheme),
            credential && credential.kind !== "none" && h("button", { type: "button", on: { click: () => leave(null) } }, t("Sign out")),
          ),
        ),
      ),
    main,
  );
}

/** @param {string | null} reason why, where nobody asked for it */
function leave(reason) {
  sessions.signOut();
  signIn(reason);
}

/** Ends the session with all that it asks for. */
function end() {
  shown?.abort();
  session?.controller.abort();
  session = null;
  shownAt = null;
  unread = 0;
  entries += 1;
  closeDialogs();
}

/** @param {import("./session.js").Session} of */
const refused = (of) => of === session && leave(ended());
const ended = () => t("You were signed out: the API does not take this key or token any more. It has expired, or was revoked.");

/** @param {unknown} error why the last try failed, or the session ended */
function signIn(error) {
  end();
  document.title = "Longhand";
  drawFrame();
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const given = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("credential") ?? "").trim();
    const entry = (entries += 1);
    try {
      const opened = await sessions.open(given, refused);
      if (entry !== entries) return;
      session = opened;
      begin();
    } catch (error) {
      if (entry === entries) signIn(error);
    }
  };
  main.replaceChildren(
    h(
      "form",
      { class: "sign-in", on: { submit } },
      h("h1", { tabindex: -1 }, t("Sign in")),
      h("p", null, t("With an API key of your organization. It stays in this tab, and is sent to this address alone.")),
      h("label", null, t("API key or read token"), h("input", { name: "credential", type: "password", required: true, autocomplete: "off", spellcheck: "false" })),
      error ? problem(error) : null,
      h("div", { class: "actions" }, h("button", { type: "submit", class: "main" }, t("Sign in"))),
      h("p", { class: "quiet" }, t("On your own machine, this prints an address that signs in by itself:")),
      h("pre", { tabindex: 0 }, "longhand console"),
    ),
  );
  main.querySelector("input")?.focus();
}

/** Shows the page of the address. @param {boolean} [again] though it is shown already */
async function show(again = false) {
  if (location.hash === shownAt && !again) return;
  if (!session && !isEmbedded) return;
  shown?.abort();
  closeDialogs();
  const controller = new AbortController();
  shown = controller;
  const framed = isEmbedded ? embedded() : null;
  const { path, query } = address();
  shownAt = location.hash;
  menuIsOpen = false;
  drawFrame();
  const route = ROUTES.find(([pattern]) => pattern.test(path));
  const params = paramsOf(route?.[0].exec(path));
  const root = h("div", { class: "page" });
  const draw = () => {
    failure = refusal = null;
    main.replaceChildren(h("div", { id: "failure" }), root);
    window.scrollTo(0, 0);
  };
  const of = framed ?? session;
  if (!route || !params || !of || (isEmbedded && !path.startsWith("/runs/"))) {
    draw();
    root.append(h("h1", { tabindex: -1 }, t("There is no such page")), h("p", null, h("a", { href: "#/" }, t("Overview"))));
    return;
  }
  let isLoaded = false;
  try {
    const module = await route[1]();
    if (controller.signal.aborted) return;
    isLoaded = true;
    const begin = () => {
      draw();
      module.page({
        session: of,
        api: of.api,
        params,
        query,
        root,
        signal: controller.signal,
        isEmbedded,
        setQuery: (to) => {
          history.replaceState(null, "", `${location.pathname}${location.search}#${path}${queryOf(to)}`);
          shownAt = location.hash;
        },
        setTitle: (title) => (document.title = `${title} · Longhand`),
        onError: (error) => {
          if (controller.signal.aborted) return;
          failure = error;
          drawFailures();
        },
        act: async (how) => {
          refusal = null;
          drawFailures();
          try {
            await how();
          } catch (error) {
            if (controller.signal.aborted) return;
            refusal = error;
            drawFailures();
          }
        },
      });
      root.querySelector("h1")?.focus({ preventScroll: true });
    };
    if (again || !document.startViewTransition || matchMedia("(prefers-reduced-motion: reduce)").matches) begin();
    else await document.startViewTransition(begin).updateCallbackDone;
  } catch (error) {
    if (controller.signal.aborted) return;
    draw();
    root.replaceChildren(h("h1", { tabindex: -1 }, isLoaded ? t("This page cannot be shown") : t("This page could not be loaded")), problem(error, () => location.reload()));
  }
}

/** The parts of an address; `null`: it is none. @param {RegExpExecArray | null | undefined} found */
function paramsOf(found) {
  try {
    return found ? found.slice(1).map(decodeURIComponent) : null;
  } catch {
    return null;
  }
}

/** The session of the run that is framed, with the token that its address has at first. */
function embedded() {
  const run = /^\/runs\/([^/]+)$/.exec(address().path)?.[1];
  return run === undefined ? null : sessions.openEmbedded(run);
}

/** Shows above the page what failed. */
function drawFailures() {
  const place = document.querySelector("#failure");
  const dismiss = () => ((refusal = null), drawFailures());
  if (place) render(place, failure !== null && problem(failure, null, true), refusal !== null && problem(refusal, null, false, dismiss));
}

/** Takes the error of a poll away. */
export function recovered() {
  if (failure === null) return;
  failure = null;
  drawFailures();
}

function begin() {
  shownAt = null;
  drawFrame();
  void show();
  const { api, credential, controller } = /** @type {Session} */ (session);
  if (!credential.user) return;
  const of = session;
  poll({
    load: async () => {
      const inbox = await api.get(`v1/notifications?unread=true&limit=1`);
      if (of === session && inbox.unread !== unread) {
        unread = inbox.unread;
        drawFrame();
      }
    },
    isActive: () => of === session,
    every: 30_000,
    signal: controller.signal,
    onError: () => {},
  });
}

/** Signs in by a token, or by what the tab has. @param {string | null} token */
async function enter(token) {
  end();
  const entry = entries;
  try {
    const { session: resumed, wasRefused } = await sessions.resume(token, refused);
    if (entry !== entries) return;
    session = resumed;
    if (session) begin();
    else signIn(wasRefused ? ended() : null);
  } catch (error) {
    if (entry !== entries) return;
    const isSilent = error instanceof Problem && error.status === 0;
    main.replaceChildren(h("h1", null, isSilent ? t("The API does not answer") : t("The console cannot begin")), problem(error, () => location.reload()));
  }
}

addEventListener("hashchange", () => {
  // The frame's token is taken where its run is shown.
  const token = isEmbedded ? null : sessions.takeToken();
  if (token !== null) void enter(token);
  else void show();
});
addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("[data-search]");
  if (!(search instanceof HTMLInputElement)) return;
  event.preventDefault();
  search.focus();
  search.select();
});
setInterval(() => document.hidden || refreshTimes(), 1_000);

document.documentElement.dataset.theme = theme();
document.documentElement.lang = language;
document.body.classList.toggle("embedded", isEmbedded);
document.body.replaceChildren(app, h("div", { id: "toasts", role: "status", "aria-live": "polite" }));
if (isEmbedded) void show();
else if (window !== window.top) document.body.replaceChildren(h("p", null, h("a", { href: location.pathname, target: "_blank", rel: "noopener" }, t("The console is shown in no frame. Open it by itself."))));
else {
  drawFrame();
  void enter(sessions.takeToken());
}
