// Webhooks: where an organization's events are sent to.

import { poll } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { t } from "./i18n.js";
import { action, ask, copy, empty, head, loading, table, time, words } from "./ui.js";

/** How an endpoint stands. @param {any} endpoint */
export const standing = (endpoint) => h("span", { class: `state ${endpoint.enabled ? (endpoint.failing_since ? "warn" : "good") : "quiet"}` }, endpoint.enabled ? (endpoint.failing_since ? t("failing") : t("enabled")) : t("disabled"));

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  context.setTitle(t("Webhooks"));
  /** @type {any[] | null} */
  let endpoints = null;
  const load = async () => {
    endpoints = (await api.get("v1/webhooks", signal)).data;
    recovered();
    update();
  };
  const again = poll({ load, isActive: () => endpoints === null, signal, onError: context.onError });
  const add = () =>
    ask({
      title: t("New webhook"),
      label: t("Add"),
      content: () => [h("label", null, t("Address"), h("input", { name: "url", required: true, autocomplete: "off", placeholder: "https://example.com/hook" })), h("label", null, t("Kind"), h("select", { name: "kind" }, ["webhook", "slack", "email"].map((kind) => h("option", { value: kind }, kind)))), h("label", null, t("Description (optional)"), h("input", { name: "description", autocomplete: "off" }))],
      act: async ({ url, kind, description }) => {
        const made = await api.post("v1/webhooks", { url, kind, description: description || null });
        again();
        return [h("p", null, made.secret ? t("Its signing secret is shown this once. Keep it where the receiver verifies signatures.") : t("It is there.")), made.secret && h("div", { class: "call" }, h("pre", { tabindex: 0 }, made.secret), h("button", { type: "button", on: { click: () => copy(made.secret) } }, t("Copy")))];
      },
    });
  const update = () =>
    render(
      root,
      head(t("Webhooks"), action(t("New webhook"), session.refusal("admin"), add, "main")),
      endpoints === null
        ? loading()
        : endpoints.length === 0
          ? empty(t("No webhooks yet"), t("A webhook is told when a generation, a batch or a run has ended. Each request is signed."), "longhand webhooks create https://example.com/hook")
          : table(
              t("Webhooks"),
              [{ title: t("Address") }, { title: t("State") }, { title: t("Events"), class: "low" }, { title: t("Added") }],
              endpoints.map((endpoint) => h("tr", { key: endpoint.id }, h("td", { class: "name" }, h("a", { href: `#/webhooks/${endpoint.id}` }, words(endpoint.url)), h("br"), h("small", null, words(endpoint.description ?? endpoint.kind))), h("td", null, standing(endpoint)), h("td", { class: "name low" }, endpoint.events.join(", ")), h("td", null, time(endpoint.created_at)))),
            ),
    );
  update();
}
