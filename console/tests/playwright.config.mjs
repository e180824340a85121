// One `longhand dev` for all specs, Debian's Chromium, no downloads. A failure keeps its trace.

import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "specs",
  outputDir: "test-results",
  globalSetup: "./setup.mjs",
  workers: Number(process.env.LONGHAND_CONSOLE_WORKERS ?? 2),
  fullyParallel: true,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    locale: "en",
    trace: "retain-on-failure",
    launchOptions: { executablePath: process.env.LONGHAND_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] },
  },
});
