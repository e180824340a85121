// `longhand dev` over a recorded provider, for the specs: started, filled, killed and started again.

import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const ROOT = new URL("../../", import.meta.url).pathname;
const BINARY = process.env.LONGHAND_BINARY ?? join(ROOT, "target/debug/longhand");
const PRICES = { openai: Object.fromEntries(["slow", "json", "thinks", "m", "hostile", "scenario", "gpt-5-mini"].map((model) => [model, { input: 75_000, output: 300_000 }])) };

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** One `longhand dev` with its data. */
export class Dev {
  constructor(providerUrl, settings = {}) {
    this.data = mkdtempSync(join(tmpdir(), "longhand-console-"));
    this.port = 0;
    this.env = {
      ...process.env,
      OPENAI_API_KEY: "test",
      LONGHAND_PROVIDERS: JSON.stringify({ openai: { base_url: providerUrl, continuation: "trailing_assistant" } }),
      LONGHAND_PRICES: JSON.stringify(PRICES),
      LONGHAND_MAX_SPEND_PER_DAY: "50000000",
      LONGHAND_EMBED_ORIGIN: "*",
      LONGHAND_IMPORT_GENERATION: "true",
      LONGHAND_LEASE_SECONDS: "1",
      ...settings,
    };
  }

  /** Starts it, at the same port as before. */
  async start() {
    this.child = spawn(BINARY, ["dev", "--data", this.data, "--port", String(this.port), "--relaxed-sync"], { env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    this.console = await new Promise((resolve, reject) => {
      for (const stream of [this.child.stdout, this.child.stderr]) {
        // Read to its end: the command ends where nobody reads what it prints.
        stream.on("data", (chunk) => {
          text += chunk;
          const found = /^console: (\S+)$/m.exec(text);
          if (found) resolve(found[1]);
        });
      }
      this.child.once("exit", () => reject(new Error(`longhand dev ended: ${text}`)));
    });
    const place = JSON.parse(readFileSync(join(this.data, "stack.json"), "utf8"));
    this.url = place.url.replace(/\/$/, "");
    this.key = place.key;
    this.port = Number(new URL(this.url).port);
    return this;
  }

  /** Kills the process at once, as a power cut would. */
  async kill() {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
  }

  async stop() {
    await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }

  /** A call of the API, with the key. */
  async call(method, path, body) {
    const headers = { authorization: `Bearer ${this.key}`, ...(body === undefined ? {} : { "content-type": "application/json" }) };
    const response = await fetch(`${this.url}/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** Waits until a record has ended. */
  async ended(path) {
    for (;;) {
      const record = await this.call("GET", path);
      if (["completed", "incomplete", "failed", "cancelled"].includes(record.status)) return record;
      await sleep(100);
    }
  }

  async generate(body) {
    const { id } = await this.call("POST", "v1/generations", { provider: "openai", model: "m", ...body });
    return id;
  }

  async command(...args) {
    const { stdout } = await promisify(execFile)(BINARY, [...args, "--data", this.data], { env: this.env });
    return stdout;
  }
}

/** What every page has to show. */
export async function fill(dev) {
  for (const document of ["training", "nutrition", "full"]) await dev.command("pipelines", "publish", join(ROOT, `infra/pipelines/edn360-${document}.yaml`));
  const texts = ["words=40", "words=44", "words=60"];
  for (const [at, prompt] of texts.entries()) await dev.ended(`v1/generations/${await dev.generate({ prompt: `Escribe el informe ${prompt}`, subject: "informe-de-seguimiento-interdepartamental", change_reason: `edición ${at + 1}`, notify: { users: ["local"] } })}`);
  while ((await dev.call("GET", "v1/subjects/informe-de-seguimiento-interdepartamental")).current !== texts.length) await sleep(50);
  const path = "v1/subjects/informe-de-seguimiento-interdepartamental";
  const { text } = await dev.call("GET", `${path}/versions/3/output`);
  await dev.call("POST", `${path}/versions`, { text: text.replace("La consejería revisa", "El departamento corrige"), reason: "Correcciones del equipo" });
  await dev.ended(`v1/generations/${await dev.generate({ model: "json", prompt: "Un plan", subject: "plan" })}`);
  await dev.ended(`v1/generations/${await dev.generate({ prompt: "FAIL-ALWAYS" })}`);
  await dev.ended(`v1/generations/${await dev.generate({ model: "thinks", prompt: "Piensa" })}`);
  const items = ["Uno", "Dos", "FAIL-ALWAYS"].map((prompt) => ({ request: { prompt } }));
  const batch = await dev.call("POST", "v1/batches", { name: "Informes interdepartamentales del tercer trimestre", items, defaults: { provider: "openai", model: "m" } });
  await dev.ended(`v1/batches/${batch.id}`);
  const input = JSON.parse(readFileSync(join(ROOT, "infra/pipelines/questionnaire.json"), "utf8"));
  const run = await dev.call("POST", "v1/runs", { pipeline: "edn360-full", input });
  await dev.ended(`v1/runs/${run.id}`);
  return dev;
}
