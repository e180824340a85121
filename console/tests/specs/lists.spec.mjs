// Lists of answers that are rare: pages that a filter leaves empty, rows without an id, two clicks.

import { expect, test } from "./fixtures.mjs";

/** Answers a list by the row behind which a page begins. @param {(after: string | null) => any} answer */
async function listed(context, path, answer) {
  const asked = [];
  await context.route(new RegExp(`/${path}\\?`), async (route) => {
    const query = new URL(route.request().url()).searchParams;
    asked.push(query.get("after"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    return route.fulfill({ contentType: "application/json", body: JSON.stringify({ object: "list", ...answer(query.get("after")) }) });
  });
  return asked;
}

const pipeline = (name) => ({ name, title: name, version: 1, steps: 1, updated_at: "2026-11-21T07:00:00.000Z" });

test("pages that a filter leaves empty lead on, and a name tells rows without an id apart", async ({ open, page, context }) => {
  const pages = { null: { data: [], has_more: true, last_id: "a" }, a: { data: [], has_more: true, last_id: "b" }, b: { data: [pipeline("one"), pipeline("two")], has_more: true, last_id: "two" }, two: { data: [], has_more: true, last_id: "c" }, c: { data: [pipeline("three")], has_more: false, last_id: "three" } };
  const asked = await listed(context, "v1/pipelines", (after) => pages[after]);
  await open("/pipelines");
  await expect(page.locator("tbody tr")).toHaveCount(2);
  await page.getByRole("button", { name: "Show more" }).dblclick();
  await expect(page.locator("tbody tr")).toHaveCount(3);
  await expect(page.getByRole("button", { name: "Show more" })).toHaveCount(0);
  expect(asked).toEqual([null, "a", "b", "two", "c"]);
});

test("what another filter has asked for is not added", async ({ open, page, context }) => {
  const row = (id) => ({ id, title: id, labels: [], current: 1, updated_at: "2026-11-21T07:00:00.000Z" });
  await listed(context, "v1/subjects", (after) => (after === null ? { data: [row("first")], has_more: true, last_id: "first" } : { data: [row("late")], has_more: false, last_id: "late" }));
  await open("/subjects");
  await page.getByRole("button", { name: "Show more" }).click();
  await page.getByLabel("Name begins with").fill("f");
  await expect(page.getByRole("button", { name: "Show more" })).toBeVisible();
  await expect(page.getByText("late")).toHaveCount(0);
});

test("the deliveries of a webhook are shown to their end, and a filter that finds none says so", async ({ open, page, context, dev }) => {
  const webhook = await dev.call("POST", "v1/webhooks", { url: "http://127.0.0.1:9/hook", kind: "webhook" });
  const delivery = (id) => ({ id, type: `event.${id}`, status: "succeeded", tries: 1, attempts: [], created_at: "2026-11-21T07:00:00.000Z", next_attempt_at: null, body: "{}" });
  await context.route(/\/deliveries\?/, (route) => {
    const query = new URL(route.request().url()).searchParams;
    const found = query.get("status") ? { data: [], has_more: false, last_id: null } : query.get("after") ? { data: [delivery("b")], has_more: false, last_id: "b" } : { data: [delivery("a")], has_more: true, last_id: "a" };
    return route.fulfill({ contentType: "application/json", body: JSON.stringify(found) });
  });
  await open(`/webhooks/${webhook.id}`);
  await page.getByRole("button", { name: "Show more" }).click();
  await expect(page.locator("tbody tr")).toHaveCount(2);
  await page.getByRole("combobox", { name: "State" }).selectOption("failed");
  await expect(page.getByText("No entry fits these filters.")).toBeVisible();
  await dev.call("DELETE", `v1/webhooks/${webhook.id}`).catch(() => {});
});
