// An answer is accepted and imported from its page; what it made is approved and rejected node by node.

import { accessible, expect, pictures, test } from "./fixtures.mjs";

test("accepted with its import, then approved and rejected by node", async ({ open, page, dev }) => {
  const subject = `escenario-${Date.now()}`;
  const id = await dev.generate({ model: "scenario", prompt: "Un escenario", subject });
  await dev.ended(`v1/generations/${id}`);
  await open(`/generations/${id}`);
  await page.getByRole("button", { name: "Accept" }).click();
  await page.getByLabel("Import it into the incubator").check();
  await page.getByRole("dialog").getByRole("button", { name: "Accept" }).click();
  await page.getByRole("link", { name: "Decide what was imported" }).click();
  await expect(page.locator("strong", { hasText: "Coordinación interdepartamental" })).toBeVisible();
  await accessible(page);
  await pictures(page, "incubator", { languages: null });
  const node = (name) => page.locator("li", { hasText: name }).last();
  await node("Escucha activa").getByRole("button", { name: "Reject" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Reject" }).click();
  await expect(node("Escucha activa")).toContainText("rejected");
  await page.getByRole("button", { name: "Approve all" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Approve all" }).click();
  await expect(page.locator(".entity .state", { hasText: "incubating" })).toHaveCount(0);
  await expect(node("Escucha activa")).toContainText("rejected");
});
