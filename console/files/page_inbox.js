// The inbox: what the caller was told.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { listPage } from "./lists.js";
import { action, empty, table, time, toast, words } from "./ui.js";

/** Where a notification leads. @param {any} entry */
function target(entry) {
  const link = entry.link ?? "";
  const found = /\/v1\/(generations|batches|runs|subjects|webhooks)\/([^/?#]+)/.exec(link);
  return found ? `#/${found[1]}/${found[2]}` : null;
}

/** @param {import("./app.js").Context} context */
export function page(context) {
  const { session, api } = context;
  const refusal = session.credential.kind === "token" ? session.refusal("admin") : session.refusal("read");
  const mark = (/** @type {any} */ body) =>
    context.act(async () => {
      const { read } = await api.post("v1/notifications/read", body);
      toast(t("{n} marked as read", { n: read }));
      again();
    });
  const again = listPage(context, {
    title: t("Inbox"),
    path: "v1/notifications",
    filters: [{ name: "unread", label: t("Entries"), kind: "choice", choices: [["true", t("unread")]] }],
    every: 15_000,
    actions: () => [action(t("Mark all as read"), refusal, () => mark({ all: true }))],
    draw: (rows) =>
      table(
        t("Inbox"),
        [{ title: t("What happened") }, { title: t("Event"), class: "low tight" }, { title: t("When") }, { title: "", class: "tight" }],
        rows.map((row) => {
          const to = target(row);
          return h("tr", { key: row.id, class: row.read_at ? "" : "unread" }, h("td", { class: "name" }, to ? h("a", { href: to }, words(row.title)) : words(row.title)), h("td", { class: "low tight" }, row.type), h("td", null, time(row.at)), h("td", { class: "tight" }, row.read_at ? h("span", { class: "quiet" }, t("read")) : action(t("Mark as read"), refusal, () => mark({ ids: [row.id] }))));
        }),
      ),
    empty: () => empty(t("Nothing here"), t("A request that names you in notify.users puts its end here."), '"notify": {"users": ["YOU"]}'),
    isOpen: () => true,
  });
}
