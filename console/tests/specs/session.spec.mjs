// Who is signed in: by a token in the address, until the API refuses it; and what the address leads to.

import { createServer } from "node:http";

import { expect, test } from "./fixtures.mjs";

test("a refused key signs out once, says why, and leaves no dialog", async ({ open, page, context }) => {
  await open("/generations");
  await page.getByRole("button", { name: "New generation" }).click();
  await page.getByRole("dialog").getByLabel("Model").fill("m");
  await page.getByRole("dialog").getByLabel("Prompt").fill("Hola");
  await context.route("**/v1/**", (route) => route.fulfill({ status: 401, contentType: "application/json", body: "{}" }));
  await page.getByRole("dialog").getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await expect(page.getByRole("alert")).toContainText("You were signed out");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await context.unroute("**/v1/**");
  expect(await page.evaluate(() => sessionStorage.getItem("longhand.credential"))).toBe(null);
});

test("a token is taken out of the address whenever it comes", async ({ open, page, dev }) => {
  await open("/access");
  await expect(page.locator("main")).toContainText("API key");
  const fragment = new URL(dev.console).hash;
  await page.evaluate((to) => (location.hash = to), fragment);
  await expect(page.getByText("reads only")).toBeVisible();
  expect(page.url()).not.toContain("token");
});

test("an address with another query is another page, and one that cannot be read is told", async ({ open, page }) => {
  await open("/generations");
  await expect(page.getByRole("heading", { name: "Generations" })).toBeVisible();
  await page.evaluate(() => (location.hash = "#/generations?status=failed"));
  await expect(page.getByRole("combobox", { name: "State" })).toHaveValue("failed");
  await page.evaluate(() => (location.hash = "#/subjects/%E0%A4%A"));
  await expect(page.getByRole("heading", { name: "There is no such page" })).toBeVisible();
});

test("the error of what a person did stays until they close it", async ({ open, page, context, dev }) => {
  const webhook = await dev.call("POST", "v1/webhooks", { url: "http://127.0.0.1:9/hook", kind: "webhook" });
  await open(`/webhooks/${webhook.id}`);
  await context.route("**/test", (route) => route.fulfill({ status: 409, contentType: "application/json", body: '{"detail":"not now"}' }));
  await page.getByRole("button", { name: "Send a test" }).click();
  await expect(page.getByRole("alert")).toContainText("not now");
  await page.getByRole("combobox", { name: "State" }).selectOption("failed");
  await expect(page.getByText("No entry fits these filters.")).toBeVisible();
  await expect(page.getByRole("alert")).toContainText("not now");
  await page.getByRole("alert").getByRole("button", { name: "Close" }).click();
  await expect(page.getByRole("alert")).toHaveCount(0);
  await dev.call("DELETE", `v1/webhooks/${webhook.id}`).catch(() => {});
});

test("no other page frames more than a run", async ({ page, dev, watched, context }) => {
  // As though the answer had no policy.
  await context.route("**/console/index.html?*", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), "content-security-policy": "" } });
  });
  const { hash } = new URL(dev.console);
  const host = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>Host</title>${["?a=1", "?embed=1&a=1", "?a=1&embed=1", "?embed=1"].map((query) => `<iframe src="${dev.url}/console/index.html${query}${hash}"></iframe>`).join("")}`));
  await new Promise((resolve) => host.listen(0, "localhost", resolve));
  await page.goto(`http://localhost:${host.address().port}/`);
  for (const at of [0, 1, 2]) {
    const frame = page.frameLocator("iframe").nth(at);
    await expect(frame.getByText("The console is shown in no frame")).toBeVisible();
    await expect(frame.locator("nav, main")).toHaveCount(0);
  }
  await expect(page.frameLocator("iframe").nth(3).getByRole("heading", { name: "There is no such page" })).toBeVisible();
  void watched;
  host.close();
});
