// Runs: E.D.N.360's eighteen agents over time, with a step that is tried again; the form that starts one; the frame of another product.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { accessible, expect, picture, pictures, test } from "./fixtures.mjs";

// One after the other, so that the first has the faulty try of E5.
test.describe.configure({ mode: "serial" });

const INPUT = readFileSync(new URL("../../../infra/pipelines/questionnaire.json", import.meta.url), "utf8");

test("the form tells all errors in place, and starts E.D.N.360, whose step E5 is tried again", async ({ open, page }) => {
  test.setTimeout(240_000);
  await open("/pipelines/edn360-full");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByText(/fields need another value/)).toBeVisible();
  const field = page.getByLabel("questionnaire").first();
  await expect(field).toHaveAttribute("aria-invalid", "true");
  await expect(field).toBeFocused();
  await accessible(page);
  await page.getByRole("button", { name: "Fill in from JSON" }).click();
  await page.getByLabel("Input, as JSON").fill(INPUT);
  await page.getByRole("button", { name: "Fill in", exact: true }).click();
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page).toHaveURL(/#\/runs\/run_/);
  await expect(page.getByText(/has started/).first()).toBeVisible();
  const step = page.getByRole("button", { name: /^E1 / });
  await step.click();
  await expect(page.getByRole("region", { name: "Answer as JSON" })).toBeVisible();
  await expect(page.getByText("18 of 18")).toBeVisible({ timeout: 60_000 });
  await expect(page.getByRole("button", { name: /^E5 .*2 tries/ })).toBeVisible();
  await expect(page.locator(".waterfall .track i.good")).toHaveCount(18);
  await expect(page.getByText("The plan has menus.")).toBeVisible();
  await accessible(page);
  await pictures(page, "run", { languages: null });
});

test("another product shows a run in a frame, with a token of that run alone", async ({ page, dev, watched }) => {
  void watched;
  const { id } = await dev.call("POST", "v1/runs", { pipeline: "edn360-full", input: JSON.parse(INPUT) });
  const { token } = await dev.call("POST", `v1/runs/${id}/tokens`, { expires_in: 300 });
  const address = `${dev.url}/console/index.html?embed=1#/runs/${id}?token=${token}`;
  const host = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>Host</title><iframe title="run" width="900" height="600" src="${address}"></iframe><iframe title="all" src="${dev.url}/console/index.html"></iframe>`));
  await new Promise((resolve) => host.listen(0, "localhost", resolve));
  await page.goto(`http://localhost:${host.address().port}/`);
  const frame = page.frameLocator('iframe[title="run"]');
  await expect(frame.getByRole("progressbar", { name: "Progress" })).toBeVisible();
  await expect(frame.getByRole("navigation")).toHaveCount(0);
  await page.locator('iframe[title="run"]').screenshot({ path: picture("run-embedded"), animations: "disabled" });
  await expect(frame.getByText(/^\d+ of \d+$/).first()).toBeVisible();
  await expect(page.frameLocator('iframe[title="all"]').locator("main")).toHaveCount(0);
  watched.splice(0, watched.length, ...watched.filter((text) => !text.includes("frame-ancestors")));
  host.close();
});

test("a run is shown whole though its steps could not be read at first", async ({ open, page, context, dev }) => {
  const [run] = (await dev.call("GET", "v1/runs?status=completed&limit=1")).data;
  let failures = 0;
  await context.route(`**/v1/runs/${run.id}/steps`, (route) => ((failures += 1) === 1 ? route.fulfill({ status: 429, contentType: "application/json", body: '{"detail":"not yet"}' }) : route.continue()));
  await open(`/runs/${run.id}`);
  await expect(page.locator(".waterfall button.row")).toHaveCount(18);
  await expect(page.getByRole("alert")).toHaveCount(0);
  expect(failures).toBe(2);
});

test("a run is cancelled and goes on as another", async ({ open, page, dev }) => {
  const { id } = await dev.call("POST", "v1/runs", { pipeline: "edn360-full", input: JSON.parse(INPUT) });
  await open(`/runs/${id}`);
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("button", { name: "Cancel it" }).click();
  await expect(page.getByText("cancelled").first()).toBeVisible();
  await page.getByRole("button", { name: "Go on from what failed" }).click();
  await page.getByRole("button", { name: "Start it" }).click();
  await expect(page.getByText("Goes on from")).toBeVisible();
});
