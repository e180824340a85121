// The stack is killed and started again in the middle of a live text: the page goes on at the exact event.

import { prose, startProvider } from "../provider.mjs";
import { Dev } from "../stack.mjs";
import { expect, test } from "./fixtures.mjs";

const KILLS = 20;

test(`killed ${KILLS} times in the middle of a live text, and nothing is doubled`, async ({ page, context }) => {
  test.setTimeout(300_000);
  const provider = await startProvider();
  const dev = await new Dev(provider.url, { LONGHAND_MAX_ATTEMPTS: "100" }).start();
  await context.addInitScript((key) => location.protocol.startsWith("http") && sessionStorage.setItem("longhand.credential", key), dev.key);
  const id = await dev.generate({ model: "slow", prompt: "Largo words=2500 size=16 pause=40" });
  await page.goto(`${dev.url}/console/index.html#/generations/${id}`);
  const blocks = page.getByRole("region", { name: "Answer", exact: true }).locator(".block");
  const text = () => blocks.evaluateAll((all) => all.map((block) => block.textContent).join(""));
  const whole = prose(2500);
  let kills = 0;
  for (; kills < KILLS; kills += 1) {
    const before = (await text()).length;
    await expect.poll(async () => (await text()).length, { timeout: 60_000 }).toBeGreaterThan(before + 50);
    await dev.kill();
    const shown = await text();
    expect(whole.startsWith(shown), `after ${kills} kills the page shows what was written: …${shown.slice(-80)}`).toBe(true);
    expect(shown.length, "it was killed before the end").toBeLessThan(whole.length);
    await dev.start();
  }
  await expect(page.locator("main .state").first()).toContainText("completed", { timeout: 120_000 });
  await expect.poll(text).toBe(whole);
  expect(await (await fetch(`${dev.url}/v1/generations/${id}/output`, { headers: { authorization: `Bearer ${dev.key}`, accept: "text/plain" } })).text()).toBe(whole);
  console.log(`${kills} kills: ${whole.length} characters, equal`);
  await dev.stop();
  provider.close();
});
