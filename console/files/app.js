// The console: signs in, draws the frame around the pages, and leads from address to page.

import { visible, poll, queryOf } from "./api.js";
import { h, render } from "./dom.js";
import { language, setLanguage, t } from "./i18n.js";
import { remember, remembered } from "./memory.js";
import * as sessions from "./session.js";
import { problem, refreshTimes, time, who } from "./ui.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {{ session: Session, api: import("./api.js").Api, params: string[], query: Record<string, string>, root: HTMLElement, signal: AbortSignal, isEmbedded: boolean, setQuery: (query: Record<string, any>) => void, setTitle: (title: string) => void, onError: (error: unknown) => void }} Context */

const THEME = "longhand.theme";
const isEmbedded = new URLSearchParams(location.search).get("embed") === "1";

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
let shownPath = "";
let unread = 0;
let menuIsOpen = false;
/** @type {import("./dom.js").Child} */
let failure = null;
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
            credential && credential.kind !== "none" && h("button", { type: "button", on: { click: leave } }, t("Sign out")),
          ),
        ),
      ),
    main,
  );
}

function leave() {
  sessions.signOut();
  session = null;
  shown?.abort();
  signIn(null);
}

/** @param {unknown} error why the last try failed */
function signIn(error) {
  shown?.abort();
  session = null;
  document.title = "Longhand";
  drawFrame();
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const given = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("credential") ?? "").trim();
    try {
      session = await sessions.open(given, () => leave());
      begin();
    } catch (refused) {
      signIn(refused);
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
  const { path, query } = address();
  if (path === shownPath && !again) return;
  if (!session && !isEmbedded) return;
  shown?.abort();
  const controller = new AbortController();
  shown = controller;
  shownPath = path;
  menuIsOpen = false;
  drawFrame();
  const route = ROUTES.find(([pattern]) => pattern.test(path));
  const root = h("div", { class: "page" });
  const draw = () => {
    failure = null;
    main.replaceChildren(h("div", { id: "failure" }), root);
    window.scrollTo(0, 0);
  };
  if (!route || (isEmbedded && !path.startsWith("/runs/"))) {
    draw();
    root.append(h("h1", { tabindex: -1 }, t("There is no such page")), h("p", null, h("a", { href: "#/" }, t("Overview"))));
    return;
  }
  const params = (route[0].exec(path) ?? []).slice(1).map(decodeURIComponent);
  const of = isEmbedded ? sessions.openEmbedded(params[0]) : /** @type {Session} */ (session);
  try {
    const module = await route[1]();
    if (controller.signal.aborted) return;
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
        setQuery: (to) => history.replaceState(null, "", `${location.pathname}${location.search}#${path}${queryOf(to)}`),
        setTitle: (title) => (document.title = `${title} · Longhand`),
        onError: (error) => {
          if (!controller.signal.aborted) fail(error);
        },
      });
      root.querySelector("h1")?.focus({ preventScroll: true });
    };
    if (again || !document.startViewTransition || matchMedia("(prefers-reduced-motion: reduce)").matches) begin();
    else await document.startViewTransition(begin).updateCallbackDone;
  } catch (error) {
    draw();
    root.append(h("h1", { tabindex: -1 }, t("This page cannot be shown")), problem(error, () => location.reload()));
  }
}

/** Shows an error above the page; the next success of a poll takes it away. @param {unknown} error */
function fail(error) {
  failure = problem(error);
  const place = document.querySelector("#failure");
  if (place) render(place, failure);
}

/** Takes an error away. */
export function recovered() {
  if (!failure) return;
  failure = null;
  document.querySelector("#failure")?.replaceChildren();
}

function begin() {
  shownPath = "";
  drawFrame();
  void show();
  const { api, credential } = /** @type {Session} */ (session);
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
    signal: new AbortController().signal,
    onError: () => {},
  });
}

addEventListener("hashchange", () => {
  const token = location.hash.startsWith("#token=");
  if (token) location.reload();
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
drawFrame();
if (isEmbedded) void show();
else
  sessions
    .resume(() => leave())
    .then((resumed) => {
      session = resumed;
      if (session) begin();
      else signIn(null);
    })
    .catch(async (error) => {
      main.replaceChildren(h("h1", null, t("The API does not answer")), problem(error, () => location.reload()));
      await visible(new AbortController().signal);
    });
