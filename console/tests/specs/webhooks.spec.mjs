// A webhook: added, told, resent, rotated; and the inbox.

import { createServer } from "node:http";

import { accessible, expect, pictures, test } from "./fixtures.mjs";

test("added, tested, resent after a failure, rotated and deleted", async ({ open, page }) => {
  // The first message is refused for ever: its retries, which come by time, must not succeed among the others.
  let refused;
  let told = 0;
  const receiver = createServer((request, response) => {
    request.resume();
    told += 1;
    const id = request.headers["webhook-id"];
    refused ??= id;
    response.writeHead(id === refused ? 500 : 200).end("no");
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${receiver.address().port}/hook`;
  await open("/webhooks");
  await page.getByRole("button", { name: "New webhook" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Address").fill("ftp://nowhere");
  await dialog.getByRole("button", { name: "Add" }).click();
  await expect(dialog.getByRole("alert")).toBeVisible();
  await dialog.getByLabel("Address").fill(url);
  await dialog.getByRole("button", { name: "Add" }).click();
  await expect(dialog.getByText(/^whsec_/)).toBeVisible();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("link", { name: url }).click();
  await page.getByRole("button", { name: "Send a test" }).click();
  // The other specs' ends are told to it, too.
  const ping = page.getByRole("row", { name: /test\.ping/ });
  await expect(ping.first().getByText("HTTP 500")).toBeVisible();
  await accessible(page);
  await pictures(page, "webhook", { languages: null });
  await expect(ping.getByRole("button", { name: "Resend" })).toHaveAttribute("aria-disabled", "true");
  await page.getByRole("button", { name: "Send a test" }).click();
  const succeeded = ping.filter({ hasText: "succeeded" });
  await expect(succeeded).toHaveCount(1);
  const before = told;
  await succeeded.getByRole("button", { name: "Resend" }).click();
  await expect(succeeded).toHaveCount(2);
  expect(told).toBeGreaterThan(before);
  await page.getByRole("button", { name: "Rotate the secret" }).click();
  await page.getByRole("button", { name: "Rotate", exact: true }).click();
  await expect(page.getByText(/^whsec_/)).toBeVisible();
  await page.getByRole("button", { name: "Close" }).last().click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("heading", { name: "Webhooks", exact: true })).toBeVisible();
  await expect(page.getByRole("link", { name: url })).toHaveCount(0);
  receiver.close();
});

test("the bell counts what is unread, until it is read", async ({ open, page, dev }) => {
  const { user } = await dev.call("GET", "v1/credential");
  await dev.ended(`v1/generations/${await dev.generate({ prompt: "Avísame", notify: { users: [user] } })}`);
  while ((await dev.call("GET", "v1/notifications?unread=true")).unread === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  await open("/inbox");
  await expect(page.locator("nav .count")).toBeVisible();
  await page.getByRole("button", { name: "Mark all as read" }).click();
  await expect(page.getByText(/marked as read/)).toBeVisible();
  await expect(page.getByRole("button", { name: "Mark as read", exact: true })).toHaveCount(0);
});
