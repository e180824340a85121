// Every page, in both languages: shown, accessible, nothing cut off; screenshots in light and dark, wide and narrow.

import { accessible, expect, pictures, test } from "./fixtures.mjs";

const SUBJECT = "informe-de-seguimiento-interdepartamental";

/** The address of each page, its name in the screenshots, and what stands on it once it is there. */
const PAGES = [
  ["overview", async () => "/", "Failed in the last 24 hours"],
  ["generations", async () => "/generations", "the prompt is not accepted"],
  ["generation", async (dev) => `/generations/${(await dev.call("GET", "v1/generations?limit=1&model=thinks")).data[0].id}`, "La consejería"],
  ["batches", async () => "/batches", "Informes interdepartamentales"],
  ["runs", async () => "/runs", "18 of 18 steps"],
  ["pipelines", async () => "/pipelines", "edn360-full"],
  ["pipeline", async () => "/pipelines/edn360-nutrition", "Start a run"],
  ["subjects", async () => "/subjects", SUBJECT],
  ["subject", async () => `/subjects/${SUBJECT}`, "El departamento corrige"],
  ["diff", async () => `/subjects/${SUBJECT}?version=4&with=3`, "Side by side"],
  ["usage", async () => "/usage", "Usage"],
  ["webhooks", async () => "/webhooks", "Webhooks"],
  ["inbox", async () => "/inbox", "Inbox"],
  ["access", async () => "/access", "Quota"],
];

for (const [name, address, words] of PAGES) {
  test(`${name} is accessible and fits`, async ({ open, page, dev }) => {
    const path = await address(dev);
    await open(path);
    await expect(page.getByText(words).first()).toBeVisible();
    await expect(page.getByText("Loading …")).toHaveCount(0);
    const told = await page.evaluate(() => {
      const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
      const files = performance.getEntriesByType("resource").filter((entry) => entry.name.includes("/console/"));
      return { paint, bytes: files.reduce((sum, entry) => sum + entry.encodedBodySize, 0), files: files.length };
    });
    console.log(`${name}: first paint after ${Math.round(told.paint)} ms, ${told.files} files of ${told.bytes} bytes`);
    await accessible(page);
    await pictures(page, name);
  });
}

test("sign-in refuses a wrong key in words, and takes a good one", async ({ open, page, dev }) => {
  await open("/", { credential: null });
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await accessible(page);
  await pictures(page, "sign-in", { languages: null });
  const field = page.getByLabel("API key or read token");
  await field.fill(`lh_${"0".repeat(64)}`);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("good API key");
  await field.fill(dev.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  expect(page.url()).not.toContain("lh_");
});

test("the address that longhand dev prints signs in, hides its token, and only reads", async ({ page, dev, watched }) => {
  void watched;
  await page.goto(dev.console);
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  expect(page.url()).not.toContain("lht_");
  await expect(page.getByText("reads only")).toBeVisible();
  await page.getByRole("link", { name: "Generations", exact: true }).click();
  const start = page.getByRole("button", { name: "New generation" });
  await expect(start).toHaveAttribute("aria-disabled", "true");
  await expect(start).toHaveAttribute("title", /only reads/);
  await start.press("Enter");
  await expect(page.getByText(/Sign in with an API key that has the scope/)).toBeVisible();
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

test("where there is nothing yet, the pages teach the first call", async ({ open, page, context, dev }) => {
  const empty = { status: 200, contentType: "application/json", body: JSON.stringify({ object: "list", data: [], has_more: false, last_id: null, next_cursor: null }) };
  const lists = ["generations", "batches", "runs", "pipelines", "subjects", "webhooks", "notifications", "entities"];
  await context.route((url) => lists.some((name) => url.pathname === `/v1/${name}`), (route) => route.fulfill(empty));
  const { data } = await dev.call("GET", "v1/usage?from=2020-01-01&to=2020-01-01&by=day");
  const { total } = await dev.call("GET", "v1/usage?from=2020-01-01&to=2020-01-01&by=day");
  await context.route((url) => url.pathname === "/v1/usage", (route) => route.fulfill({ ...empty, body: JSON.stringify({ object: "usage", data, total }) }));
  await open("/");
  for (const name of ["", "generations", "batches", "runs", "pipelines", "subjects", "webhooks", "inbox", "usage"]) {
    await page.evaluate((to) => (location.hash = `#/${to}`), name);
    await expect(page.getByText("Loading …")).toHaveCount(0);
    await expect(page.locator("main")).toContainText(/\S/);
    await accessible(page);
    await pictures(page, `empty-${name || "overview"}`, { languages: null });
  }
});

test("what cannot be shown is told in words", async ({ open, page, context }) => {
  await open("/generations/gen_00000000000000000000000000");
  await expect(page.getByRole("alert")).toBeVisible();
  await accessible(page);
  await pictures(page, "error-missing", { languages: null });
  await context.route("**/v1/batches?*", (route) => route.fulfill({ status: 429, contentType: "application/problem+json", headers: { "x-request-id": "0f3c1a2b-0000-4000-8000-000000000000" }, body: JSON.stringify({ detail: "too many requests; wait a second", code: "throttled" }) }));
  await page.evaluate(() => (location.hash = "#/batches"));
  await expect(page.getByRole("alert")).toContainText("0f3c");
  await accessible(page);
  await pictures(page, "error-throttled", { languages: null });
});

test("a slash goes to the search, and everything is reached by keys", async ({ open, page }) => {
  await open("/subjects");
  await expect(page.getByText("plan", { exact: true })).toBeVisible();
  await page.keyboard.press("/");
  await page.keyboard.type("informe");
  await expect(page.getByText("plan", { exact: true })).toHaveCount(0);
  expect(page.url()).toContain("prefix=informe");
  await page.reload();
  await expect(page.getByLabel("Name begins with")).toHaveValue("informe");
  const link = page.getByRole("link", { name: "informe-de-seguimiento-interdepartamental" });
  for (let presses = 0; presses < 20 && !(await link.evaluate((node) => node === document.activeElement)); presses += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toContainText("informe");
});
