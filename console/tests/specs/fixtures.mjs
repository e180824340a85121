// What the specs share: a page that is signed in and may break no rule, the API, and the checks that every page passes.

import { existsSync, readFileSync } from "node:fs";

import AxeBuilder from "@axe-core/playwright";
import { expect, test as base } from "@playwright/test";

import { Dev } from "../stack.mjs";

/** The stack that `setup.mjs` started. */
export function stack() {
  const dev = Object.create(Dev.prototype);
  return Object.assign(dev, JSON.parse(process.env.LONGHAND_PLACE));
}

/** An answer of this status is told in the browser's console, which is no error of the page. */
const TOLD = /Failed to load resource: the server responded with a status of 4\d\d/;

export const test = base.extend({
  dev: async ({}, use) => use(stack()),
  /** What a page may not do: break the content security policy, or write an error to the console. */
  watched: async ({ context }, use) => {
    const wrong = [];
    context.on("console", (message) => {
      if (message.type() === "error" && !TOLD.test(message.text())) wrong.push(message.text());
    });
    context.on("weberror", (error) => wrong.push(String(error.error())));
    await context.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`)));
    await use(wrong);
    expect(wrong).toEqual([]);
  },
  /** The console as it is on the disk, over a binary that was built before, for somebody who writes pages. */
  context: async ({ context }, use) => {
    if (process.env.LONGHAND_CONSOLE_FROM_DISK) {
      const types = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
      await context.route(/\/console\/[0-9a-f]{16}\/[\w.]+$/, (route) => {
        const name = new URL(route.request().url()).pathname.split("/").at(-1);
        const file = new URL(`../../files/${name}`, import.meta.url);
        return existsSync(file) ? route.fulfill({ contentType: types[name.split(".").at(-1)], body: readFileSync(file) }) : route.continue();
      });
    }
    await use(context);
  },
  /** Opens a page of the console with the key of the stack, or another credential; `null`: none. */
  open: async ({ page, context, dev, watched }, use) => {
    void watched;
    await use(async (path, { credential = dev.key, query = "", language = "en", theme = "light" } = {}) => {
      await context.addInitScript(
        ([key, words, colours]) => {
          // The checks of accessibility open an empty page of their own.
          if (!location.protocol.startsWith("http")) return;
          if (key !== null && sessionStorage.getItem("longhand.credential") === null) sessionStorage.setItem("longhand.credential", key);
          localStorage.setItem("longhand.language", words);
          localStorage.setItem("longhand.theme", colours);
        },
        [credential, language, theme],
      );
      await page.goto(`${dev.url}/console/index.html${query}#${path}`);
      return page;
    });
  },
});

export { expect };

/** No violation of the accessibility rules, in either theme. */
export async function accessible(page) {
  await expect(page.locator("h1").first()).toBeVisible();
  for (const theme of ["light", "dark"]) {
    await page.evaluate((to) => (document.documentElement.dataset.theme = to), theme);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map(({ id, nodes }) => `${theme} ${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} ${node.any[0]?.message ?? ""}`).join("; ")}`)).toEqual([]);
  }
}

const FOLDER = `${process.env.LONGHAND_SCREENSHOTS ?? new URL("../screenshots", import.meta.url).pathname}/`;

/** The file of a screenshot. @param {string} name */
export const picture = (name) => `${FOLDER}${name}.png`;

/** Of both languages, the longer words; a full run looks at both. */
const LANGUAGES = process.env.LONGHAND_FULL ? ["en", "es"] : ["es"];

/**
 * Screenshots of a page in light and dark, wide and narrow; nothing of it may be cut off.
 * @param {import("@playwright/test").Page} page @param {string} name of the files
 * @param {{ languages?: string[] | null, ready?: (page: any) => Promise<void> }} [options] the languages to load the page in; `null`: as it stands, not loaded again
 */
export async function pictures(page, name, { languages = LANGUAGES, ready = async () => {} } = {}) {
  for (const language of languages ?? ["en"]) {
    if (languages) {
      await page.evaluate((to) => localStorage.setItem("longhand.language", to), language);
      await page.addInitScript((to) => location.protocol.startsWith("http") && localStorage.setItem("longhand.language", to), language);
    }
    for (const [width, height] of [[1440, 900], [390, 844]]) {
      await page.setViewportSize({ width, height });
      if (languages) {
        await page.reload();
        await expect(page.locator("h1").first()).toBeVisible();
        await expect(page.getByText(/Loading …|Cargando …/)).toHaveCount(0);
        await ready(page);
      } else await page.evaluate(() => scrollTo(0, 0));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide, `${language} ${width}: the page is wider than the window`).toBeLessThanOrEqual(0);
      const cut = await page.locator(".table").evaluateAll((tables) => tables.filter((table) => table.scrollWidth > table.clientWidth + 1).map((table) => `${table.getAttribute("aria-label")} ${table.scrollWidth} > ${table.clientWidth}`));
      expect(cut, `${language} ${width}: columns are cut off`).toEqual([]);
      for (const theme of ["light", "dark"]) {
        await page.evaluate((to) => (document.documentElement.dataset.theme = to), theme);
        await page.screenshot({ path: picture(`${name}-${language}-${width}-${theme}`), fullPage: languages !== null && width < 1000, animations: "disabled" });
      }
    }
  }
  await page.setViewportSize({ width: 1280, height: 720 });
}
