// A generation: started from the page, watched to its end, left and come back to, cancelled, tried again; and what models write that must stay text.

import { HOSTILE, prose } from "../provider.mjs";
import { expect, test } from "./fixtures.mjs";

const output = (page) => page.getByRole("region", { name: "Answer", exact: true });
/** The text that stands in the page, without what lays it out. */
const textOf = (page) => output(page).locator(".block").evaluateAll((blocks) => blocks.map((block) => block.textContent).join(""));

test("started from the page, watched to its end, left and come back to", async ({ open, page }) => {
  await open("/generations");
  await page.getByRole("button", { name: "New generation" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Model").fill("slow");
  await dialog.getByLabel("Prompt").fill("Escribe despacio words=400 pause=40");
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page).toHaveURL(/#\/generations\/gen_/);
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  await expect(output(page)).toContainText("La consejería");
  const early = await textOf(page);
  expect(early.length).toBeLessThan(prose(400).length);
  await page.getByRole("link", { name: "Generations", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Generations" })).toBeVisible();
  await expect(page.locator("main .state").filter({ hasText: "running" }).first()).toBeVisible();
  await page.goBack();
  await expect(output(page)).toContainText(early.slice(0, 40));
  await expect(page.locator("main .state").first()).toContainText("completed");
  await expect.poll(() => textOf(page)).toBe(prose(400));
  await page.reload();
  await expect.poll(() => textOf(page)).toBe(prose(400));
});

test("an error loses nothing that was typed, and a broken connection starts nothing twice", async ({ open, page, context, dev, watched }) => {
  await open("/generations?subject=once");
  await page.getByRole("button", { name: "New generation" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Provider").fill("nobody");
  await dialog.getByLabel("Model").fill("m");
  await dialog.getByLabel("Prompt").fill("Una sola vez words=10");
  await dialog.getByLabel("Subject (optional)").fill("once");
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(dialog.getByRole("alert")).toBeVisible();
  for (const [label, text] of [["Provider", "nobody"], ["Model", "m"], ["Prompt", "Una sola vez words=10"], ["Subject (optional)", "once"]]) await expect(dialog.getByLabel(label)).toHaveValue(text);
  await dialog.getByLabel("Provider").fill("openai");
  let isBroken = true;
  await context.route("**/v1/generations", async (route) => {
    if (route.request().method() !== "POST" || !isBroken) return route.continue();
    isBroken = false;
    // The API has taken it, and the answer is lost.
    await route.fetch();
    await route.abort();
  });
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(dialog.getByRole("alert")).toContainText("The API does not answer. Try it again.");
  await dialog.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page).toHaveURL(/#\/generations\/gen_/);
  await expect(page.locator("main .state").first()).toContainText("completed");
  expect((await dev.call("GET", "v1/generations?subject=once")).data.length).toBe(1);
  watched.splice(0, watched.length, ...watched.filter((text) => !text.includes("ERR_FAILED")));
});

test("cancelled, and its text stays", async ({ open, page, dev }) => {
  const id = await dev.generate({ model: "slow", prompt: "Sin fin words=5000" });
  await open(`/generations/${id}`);
  await expect(output(page)).toContainText("consejería");
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel it" }).click();
  await expect(page.locator("main .state").first()).toContainText("cancelled");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect((await dev.call("GET", `v1/generations/${id}`)).status).toBe("cancelled");
  expect(prose(5000).startsWith(await textOf(page))).toBe(true);
});

test("many are cancelled at once, and the filters are in the address", async ({ open, page, dev }) => {
  const ids = await Promise.all([1, 2].map((n) => dev.generate({ model: "slow", prompt: `En lote ${n} words=5000`, subject: "bulk" })));
  await open("/generations?subject=bulk");
  for (const id of ids) await page.getByLabel(`Choose ${id.slice(0, 4)}…${id.slice(-6)}`).check();
  // What a filter hides is not chosen any more.
  await page.getByLabel("Model").fill("none");
  await expect(page.getByText("No entry fits these filters.")).toBeVisible();
  await expect(page.getByRole("button", { name: /^Cancel / })).toHaveCount(0);
  await page.getByLabel("Model").fill("");
  for (const id of ids) await page.getByLabel(`Choose ${id.slice(0, 4)}…${id.slice(-6)}`).check();
  await page.getByRole("button", { name: "Cancel 2" }).click();
  await page.getByRole("button", { name: "Cancel them" }).click();
  await expect(page.getByText("cancelled")).toHaveCount(2);
  await page.getByRole("combobox", { name: "State" }).selectOption("completed");
  await expect(page.getByText("No entry fits these filters.")).toBeVisible();
  expect(page.url()).toContain("status=completed");
});

test("JSON grows as a tree, reasoning is folded", async ({ open, page, dev }) => {
  await open(`/generations/${await dev.generate({ model: "json", prompt: "Un plan pause=30" })}`);
  const tree = page.getByRole("region", { name: "Answer as JSON" });
  await expect(tree).toContainText("title");
  await expect(tree).toContainText("Planificación interdepartamental");
  await page.getByRole("button", { name: "Text", exact: true }).click();
  await expect(output(page)).toContainText('"approved":true');
  await open(`/generations/${await dev.generate({ model: "thinks", prompt: "Piensa" })}`);
  await expect(page.getByText("Reasoning", { exact: true })).toBeVisible();
  await expect(page.getByText("Primero reviso")).toBeHidden();
  await page.getByText("Reasoning", { exact: true }).click();
  await expect(page.getByText("Primero reviso")).toBeVisible();
});

test("what a hostile model writes is text, and a line of 10 MB does not stop the page", async ({ open, page, dev }) => {
  const small = await dev.generate({ model: "hostile", prompt: "Ataca", metadata: { note: '<img src=x onerror="window.hacked=1">' } });
  await open(`/generations/${small}`);
  await expect.poll(() => textOf(page)).toBe(HOSTILE);
  await expect(page.getByText('<img src=x onerror="window.hacked=1">').first()).toBeVisible();
  expect(await page.evaluate(() => [window.hacked, document.querySelectorAll("main img, main script, main a[href^=javascript]").length])).toEqual([undefined, 0]);
  const long = await dev.generate({ model: "hostile", prompt: "Ataca line=10000000" });
  await open(`/generations/${long}`);
  await expect(page.locator("main .state").first()).toContainText("completed", { timeout: 60_000 });
  await expect(page.getByRole("link", { name: /Download all of the text/ })).toBeVisible({ timeout: 30_000 });
  expect(await page.evaluate(() => document.querySelectorAll("*").length)).toBeLessThan(1_000);
});

test("a failure is told in words, and tried again from the page", async ({ open, page, dev }) => {
  const id = await dev.generate({ prompt: `FAIL-ONCE ${Date.now()}` });
  await open(`/generations/${id}`);
  await expect(page.getByText("the prompt is not accepted").first()).toBeVisible();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("button", { name: "Start it" }).click();
  await expect(page).not.toHaveURL(new RegExp(id));
  await expect(page.locator("main .state").first()).toContainText("completed");
  await expect(page.getByText("Retry of")).toBeVisible();
});
