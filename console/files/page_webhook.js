// One webhook: what was delivered to it and how each try fared, and what can be done.

import { h, render } from "./dom.js";
import { shortId } from "./format.js";
import { format, t } from "./i18n.js";
import { nothingFound, pagedList } from "./lists.js";
import { action, confirm, copy, copyable, dialog, figure, figures, head, loading, state, stateWord, table, time, toast, who, words } from "./ui.js";
import { standing } from "./page_webhooks.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  const [id] = context.params;
  const path = `v1/webhooks/${id}`;
  context.setTitle(t("Webhook"));
  /** @type {any} */
  let endpoint = null;
  let status = context.query.status ?? "";
  const before = async () => (endpoint = await api.get(path, signal));
  const { list, again, restart, moreButton } = pagedList(context, { path: `${path}/deliveries`, query: () => ({ status }), every: 2_000, isOpen: (delivery) => delivery.status === "pending", before, update: () => update() });
  const quick = (/** @type {() => Promise<any>} */ act, /** @type {string} */ told) =>
    context.act(async () => {
      await act();
      toast(told);
      again();
    });
  const choose = (/** @type {any} */ event) => {
    status = event.target.value;
    context.setQuery({ status });
    restart();
    again();
  };
  const rotate = () =>
    confirm({
      title: t("Rotate the secret?"),
      words: t("Requests are signed with the new secret, and for 24 hours with the present one too."),
      label: t("Rotate"),
      act: async () => {
        const { secret } = await api.post(`${path}/rotate`);
        dialog(t("The new secret"), () => [h("p", null, t("It is shown this once.")), h("div", { class: "call" }, h("pre", { tabindex: 0 }, secret), h("button", { type: "button", on: { click: () => copy(secret) } }, t("Copy")))]);
        again();
      },
    });
  const remove = () =>
    confirm({
      title: t("Delete this webhook?"),
      words: t("Nothing more is sent to it. Deliveries that wait are given up."),
      label: t("Delete"),
      act: async () => {
        await api.send("DELETE", path);
        location.hash = "#/webhooks";
      },
    });
  const show = (/** @type {any} */ delivery) => () =>
    dialog(`${delivery.type} · ${shortId(delivery.id)}`, () => [
      h("div", { class: "page" }, h("ol", null, delivery.attempts.map((/** @type {any} */ attempt) => h("li", null, time(attempt.at), " – ", attempt.status_code === null ? words(attempt.error) : `HTTP ${attempt.status_code}`, ` · ${format.duration(attempt.ms)}`, attempt.response && h("div", { class: "preview" }, attempt.response)))), h("h3", null, t("Body")), h("pre", { class: "preview", tabindex: 0 }, delivery.body)),
    ]);
  const update = () => {
    const mayAdmin = session.refusal("admin");
    const deliveries = list.rows;
    render(
      root,
      head(words(endpoint.url), copyable(id), action(t("Send a test"), mayAdmin, () => quick(() => api.post(`${path}/test`), t("A test is on its way"))), endpoint.kind === "webhook" && action(t("Rotate the secret"), mayAdmin, rotate), action(endpoint.enabled ? t("Disable") : t("Enable"), mayAdmin, () => quick(() => api.send("PATCH", path, { body: { enabled: !endpoint.enabled } }), t("Changed"))), action(t("Delete"), mayAdmin, remove, "danger")),
      figures(figure(t("State"), standing(endpoint), endpoint.disabled_reason), figure(t("Kind"), endpoint.kind), figure(t("Events"), h("small", null, endpoint.events.join(", "))), figure(t("Failures in a row"), format.number(endpoint.failures), endpoint.failing_since && [t("since"), " ", time(endpoint.failing_since)]), figure(t("Added"), time(endpoint.created_at), who(endpoint.created_by))),
      h("div", { class: "filters" }, h("label", null, t("State"), h("select", { on: { change: choose } }, ["", "pending", "succeeded", "failed"].map((value) => h("option", { value, selected: value === status }, value === "" ? t("all") : stateWord(value)))))),
      deliveries.length === 0 && list.next === null
        ? status !== "" ? nothingFound() : h("div", { class: "empty" }, h("h2", null, t("No deliveries yet")), h("p", null, t("They come here when something ends, or when you send a test.")))
        : table(
            t("Deliveries"),
            [{ title: t("Event") }, { title: t("State") }, { title: t("Tries"), class: "number low" }, { title: t("Answer"), class: "low" }, { title: t("Made") }, { title: "", class: "tight" }],
            deliveries.map((delivery) => {
              const last = delivery.attempts.at(-1);
              return h("tr", { key: delivery.id }, h("td", { class: "name" }, h("button", { type: "button", class: "plain", on: { click: show(delivery) } }, delivery.type)), h("td", null, state(delivery.status), delivery.next_attempt_at && h("div", { class: "quiet" }, t("next try"), " ", time(delivery.next_attempt_at))), h("td", { class: "number low" }, format.number(delivery.tries)), h("td", { class: "name low" }, last ? words(last.error ?? `HTTP ${last.status_code}`) : "–"), h("td", null, time(delivery.created_at)), h("td", { class: "tight" }, action(t("Resend"), mayAdmin ?? (delivery.status === "pending" ? t("It is tried again by itself.") : null), () => quick(() => api.post(`v1/deliveries/${delivery.id}/resend`), t("It is sent again")))));
            }),
          ),
      moreButton(),
    );
  };
  render(root, head(t("Webhook"), copyable(id)), loading());
}
