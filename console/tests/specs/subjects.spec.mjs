// A subject: its versions compared by words, one of them restored, the text edited and exported.

import { readFileSync } from "node:fs";

import { expect, test } from "./fixtures.mjs";

async function subject(dev, name) {
  await dev.ended(`v1/generations/${await dev.generate({ prompt: "Informe words=30", subject: name })}`);
  while ((await dev.call("GET", `v1/subjects/${name}`)).current !== 1) await new Promise((resolve) => setTimeout(resolve, 50));
  const { text } = await dev.call("GET", `v1/subjects/${name}/versions/1/output`);
  await dev.call("POST", `v1/subjects/${name}/versions`, { text: text.replace("revisa", "corrige"), reason: "a mano" });
  return text;
}

test("compared by words, restored after a question, edited", async ({ open, page, dev }) => {
  const name = `acta-${Date.now()}`;
  const first = await subject(dev, name);
  await open(`/subjects/${name}`);
  await expect(page.getByText("edited by hand").first()).toBeVisible();
  await page.getByRole("button", { name: "Compare with version 2" }).click();
  const diff = page.getByRole("region", { name: "Differences" });
  await expect(diff.locator("del")).toHaveText("revisa");
  await expect(diff.locator("ins")).toHaveText("corrige");
  await page.getByRole("button", { name: "Inline" }).click();
  await expect(diff.locator("del")).toHaveText("revisa");
  expect(page.url()).toContain("look=inline");
  await page.getByRole("button", { name: "Version 1", exact: true }).click();
  await page.getByRole("button", { name: "Restore this version" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Reason (optional)").fill("estaba mejor");
  await dialog.getByRole("button", { name: "Restore", exact: true }).click();
  await expect(page.getByText("Version 3 is current now")).toBeVisible();
  await expect(page.getByText(/restored of version 1/)).toBeVisible();
  expect((await dev.call("GET", `v1/subjects/${name}/versions/3/output`)).text).toBe(first);
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("dialog").getByLabel("Text").fill("Otro texto");
  // Somebody else was faster: what was seen is not current any more.
  await dev.call("POST", `v1/subjects/${name}/versions`, { text: "De otra persona" });
  // The page behind the dialog knows it, and what is saved still says what was seen.
  await expect(page.locator(".timeline > li.current")).toContainText("Version 4");
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toBeVisible();
  expect((await dev.call("GET", `v1/subjects/${name}`)).current).toBe(4);
});

test("exported, and printed without the frame", async ({ open, page, dev }) => {
  const name = `acta-${Date.now()}-export`;
  await subject(dev, name);
  await open(`/subjects/${name}`);
  const download = page.waitForEvent("download");
  await page.getByRole("combobox", { name: "Export" }).selectOption("md");
  expect(readFileSync(await (await download).path(), "utf8")).toContain("corrige");
  await page.emulateMedia({ media: "print" });
  await expect(page.getByRole("navigation")).toBeHidden();
  await expect(page.getByRole("region", { name: "Text" })).toBeVisible();
  expect((await page.pdf()).length).toBeGreaterThan(1_000);
});

test("printed, a tree of JSON is whole and light", async ({ open, page }) => {
  await open("/subjects/plan", { theme: "dark" });
  const tree = page.getByRole("region", { name: "Text" });
  await expect(tree.locator(".twig").first()).toBeVisible();
  await page.emulateMedia({ media: "print" });
  await expect(tree.locator(".twig").first()).toBeVisible();
  expect(await tree.evaluate((node) => [getComputedStyle(node).maxHeight, getComputedStyle(node).overflow, getComputedStyle(document.documentElement).colorScheme])).toEqual(["none", "visible", "light"]);
});
