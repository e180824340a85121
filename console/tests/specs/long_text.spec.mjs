// A long live text, without a trace of the page, whose pictures are long tasks themselves.

import { prose } from "../provider.mjs";
import { expect, test } from "./fixtures.mjs";

test.use({ trace: "off" });

const output = (page) => page.getByRole("region", { name: "Answer", exact: true });
const textOf = (page) => output(page).locator(".block").evaluateAll((blocks) => blocks.map((block) => block.textContent).join(""));

/** The longest tasks of the page by the processor time that each took, in milliseconds: other work of the machine does not count. */
function tasksOf(trace) {
  const { traceEvents } = JSON.parse(trace.toString());
  const main = new Set(traceEvents.filter((event) => event.name === "thread_name" && event.args.name === "CrRendererMain").map(({ pid, tid }) => `${pid}/${tid}`));
  const tasks = traceEvents.filter(({ ph, name, pid, tid }) => ph === "X" && name.endsWith("RunTask") && main.has(`${pid}/${tid}`));
  return tasks.map(({ tdur = 0 }) => Math.round(tdur / 1_000)).sort((one, other) => other - one);
}

test("a megabyte of live text stays smooth", async ({ open, page, dev, browser }) => {
  await open("/generations");
  const id = await dev.generate({ model: "m", prompt: "Largo words=150000 size=2000 pause=1" });
  await browser.startTracing(page, { categories: ["toplevel", "disabled-by-default-devtools.timeline", "__metadata"] });
  await page.evaluate((to) => (location.hash = `#/generations/${to}`), id);
  await expect(page.locator("main .state").first()).toContainText("completed", { timeout: 60_000 });
  await page.waitForTimeout(2_000);
  // Before the text is read, which is a long task of this spec's own.
  const tasks = tasksOf(await browser.stopTracing());
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  console.log(`1 MB: ${nodes} nodes, ${tasks.length} tasks, the longest ${tasks.slice(0, 5).join(", ")} ms of processor time`);
  expect(tasks.length).toBeGreaterThan(100);
  expect(tasks[0]).toBeLessThan(50);
  expect(nodes).toBeLessThan(1_000);
  const whole = prose(150_000);
  expect(whole.length).toBeGreaterThan(1_000_000);
  await expect.poll(async () => (await textOf(page)).length, { timeout: 30_000 }).toBe(whole.length);
  expect(await textOf(page)).toBe(whole);
});
