// A batch that is watched for an hour, by a clock that the spec moves: the page holds no more afterwards than at first.

import { expect, test } from "./fixtures.mjs";

const HOUR_MS = 3_600_000;
const STEP_MS = 1_500;
/** An hour in a full run; some minutes otherwise. */
const STEPS = process.env.LONGHAND_FULL ? HOUR_MS / STEP_MS : 200;

test("a batch is watched for an hour, and the page does not grow", async ({ open, page, context, dev }) => {
  test.setTimeout(300_000);
  const items = Array.from({ length: 30 }, (_, at) => ({ request: { prompt: `Largo ${at} words=100000 pause=200` } }));
  const { id } = await dev.call("POST", "v1/batches", { name: "Una hora", items, defaults: { provider: "openai", model: "slow" }, concurrency: 2 });
  await page.clock.install();
  await open(`/batches/${id}`);
  await expect(page.locator("tbody tr")).toHaveCount(30);
  const session = await context.newCDPSession(page);
  const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    return usedSize;
  };
  const nodes = () => page.evaluate(() => document.querySelectorAll("*").length);
  let asked = 0;
  page.on("response", (response) => (asked += response.url().endsWith(id) ? 1 : 0));
  for (let step = 0; step < 20; step += 1) await Promise.all([page.waitForResponse((response) => response.url().endsWith(id)), page.clock.runFor(STEP_MS)]);
  const [heapBefore, nodesBefore] = [await heap(), await nodes()];
  for (let step = 0; step < STEPS; step += 1) await Promise.all([page.waitForResponse((response) => response.url().endsWith(id)), page.clock.runFor(STEP_MS)]);
  const [heapAfter, nodesAfter] = [await heap(), await nodes()];
  console.log(`${asked} polls: ${(heapBefore / 1e6).toFixed(1)} MB and ${nodesBefore} nodes at first, ${(heapAfter / 1e6).toFixed(1)} MB and ${nodesAfter} nodes afterwards`);
  expect(asked).toBeGreaterThan(STEPS);
  expect(heapAfter - heapBefore).toBeLessThan(2_000_000);
  expect(nodesAfter - nodesBefore).toBeLessThan(20);
  await dev.call("POST", `v1/batches/${id}/cancel`);
});
