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
  for (const theme of ["light", "dark"]) {
    await page.evaluate((to) => (document.documentElement.dataset.theme = to), theme);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map(({ id, nodes }) => `${theme} ${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} ${node.any[0]?.message ?? ""}`).join("; ")}`)).toEqual([]);
  }
}
