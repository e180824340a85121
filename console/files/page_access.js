// Keys and quotas: who may call the API, and how much of it.

import { poll } from "./api.js";
import { recovered } from "./app.js";
import { h, render } from "./dom.js";
import { format, t } from "./i18n.js";
import { quotaFigures } from "./quota_view.js";
import { copyable, figure, figures, head, loading, time, words } from "./ui.js";

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { api, session, root, signal } = context;
  context.setTitle(t("Keys and quotas"));
  const { credential } = session;
  /** @type {any} */
  let quota = null;
  const load = async () => {
    quota = await api.get("v1/quota", signal);
    recovered();
    update();
  };
  poll({ load, isActive: () => true, every: 30_000, signal, onError: context.onError });
  const update = () =>
    render(
      root,
      head(t("Keys and quotas")),
      h("section", null, h("h2", null, t("Quota")), figures(figure(t("Running at once"), quota.quota.running === undefined ? t("no limit") : format.number(quota.quota.running)), figure(t("Runs at once"), format.number(quota.quota.runs ?? 2)), quotaFigures(quota)), h("p", { class: "quiet" }, t("Days are UTC. An operator sets quotas:"), " ", h("code", null, "longhand quota set"))),
      h(
        "section",
        null,
        h("h2", null, t("Your credential")),
        figures(figure(t("Organization"), words(credential.organization)), figure(t("Kind"), credential.kind === "key" ? t("API key") : credential.kind === "token" ? t("read token") : t("no key needed")), figure(t("Scopes"), credential.scopes.join(" ")), figure(t("Key"), credential.key ? copyable(credential.key) : "–", credential.user && !credential.user.startsWith("key_") && words(credential.user)), figure(t("Ends"), credential.expires_at ? time(credential.expires_at) : t("never"))),
        h("p", { class: "quiet" }, t("An operator creates and revokes keys:"), " ", h("code", null, "longhand keys")),
      ),
    );
  render(root, head(t("Keys and quotas")), loading());
}
