// A batch: twelve items, two of which fail; watched, retried, cancelled.

import { accessible, expect, pictures, test } from "./fixtures.mjs";

const figure = (page, name) => page.locator(".figure").filter({ has: page.getByText(name, { exact: true }) }).locator("dd");

test("twelve items with two failures, which are retried", async ({ open, page }) => {
  await open("/batches");
  await page.getByRole("button", { name: "New batch" }).click();
  const dialog = page.getByRole("dialog");
  const name = `Informe trimestral ${Date.now()}`;
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByLabel("Model").fill("slow");
  await dialog.getByLabel("Prompts, one a line").fill(Array.from({ length: 12 }, (_, at) => (at < 2 ? `FAIL-ONCE ${name} ${at}` : `Elemento ${at} words=20 pause=20`)).join("\n"));
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByRole("heading", { name })).toBeVisible();
  await expect(page.getByRole("progressbar", { name: "Progress" })).toBeVisible();
  await expect(page.getByText("completed").first()).toBeVisible();
  await expect(figure(page, "completed")).toHaveText("10");
  await expect(figure(page, "failed")).toHaveText("2");
  await expect(page.getByText("the prompt is not accepted")).toHaveCount(2);
  await accessible(page);
  await pictures(page, "batch", { languages: null });
  await page.getByRole("combobox", { name: "State" }).selectOption("failed");
  await expect(page.locator("tbody tr")).toHaveCount(2);
  await page.getByRole("link", { name: "Batches", exact: true }).click();
  const row = page.getByRole("row").filter({ hasText: name });
  await expect(row.locator("td").nth(3)).toHaveText("2");
  await row.getByRole("link").click();
  await page.getByRole("button", { name: "Retry what failed" }).click();
  await page.getByRole("button", { name: "Start it" }).click();
  await expect(page.getByText("Retry of")).toBeVisible();
  await expect(figure(page, "completed")).toHaveText("2");
  await expect(figure(page, "failed")).toHaveText("0");
});

test("a batch is cancelled, and asks no more once nothing runs", async ({ open, page, dev }) => {
  const items = Array.from({ length: 4 }, (_, at) => ({ request: { prompt: `Sin fin ${at} words=5000` } }));
  const { id } = await dev.call("POST", "v1/batches", { name: "Para cancelar", items, defaults: { provider: "openai", model: "slow" }, concurrency: 2 });
  await open(`/batches/${id}`);
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("button", { name: "Cancel it" }).click();
  await expect(page.locator("main .state").first()).toContainText("cancelled");
  await expect(figure(page, "cancelled")).toHaveText("4");
  let asked = 0;
  page.on("request", (request) => (asked += request.url().includes(id) ? 1 : 0));
  await page.waitForTimeout(4_000);
  expect(asked).toBe(0);
});
