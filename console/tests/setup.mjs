// Starts the provider and `longhand dev` before the specs, and ends them afterwards.

import { startProvider } from "./provider.mjs";
import { Dev, fill } from "./stack.mjs";

export default async function setup() {
  // A stack that runs already, of somebody who writes pages.
  if (process.env.LONGHAND_PLACE) return;
  const provider = await startProvider();
  const dev = await new Dev(provider.url).start();
  await fill(dev);
  process.env.LONGHAND_PLACE = JSON.stringify({ url: dev.url, key: dev.key, console: dev.console, data: dev.data });
  return async () => {
    await dev.stop();
    provider.close();
  };
}
