// Shared by the tests: the process of the example, a browser, the expected answers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../../..");
const DASHBOARD = process.env.DASHBOARD ?? join(ROOT, "target/release/examples/dashboard");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Asks until `isTrue` holds for the answer; fails with the last answer. */
export async function until(what, ask, isTrue, limit = 30_000) {
  const end = Date.now() + limit;
  for (let last; ;) {
    try { last = await ask(); if (isTrue(last)) return last; } catch (error) { last = error; }
    assert.ok(Date.now() < end, `${what}: not within ${limit} ms; last seen: ${typeof last === "string" ? last : JSON.stringify(last?.message ?? last)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The running example. */
export class Dashboard {
  constructor(port, data, pace) {
    Object.assign(this, { port, data, pace, at: `http://127.0.0.1:${port}` });
  }

  async start() {
    const options = ["--pace", this.pace, "--data", this.data, "--port", String(this.port)];
    this.child = spawn(DASHBOARD, options, { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    this.child.stderr.on("data", (text) => { said += text; });
    this.gone = once(this.child, "exit");
    await until("the example answers", async () => {
      assert.equal(this.child.exitCode, null, `the example has ended: ${said}`);
      return this.status();
    }, (status) => status.state !== "recovering");
    return this;
  }

  async get(path) {
    return (await fetch(this.at + path)).json();
  }

  status() {
    return this.get("/api/status");
  }

  /** Waits until the whole year is sealed. */
  async finished() {
    const isSealed = (view) => view.sealed_through >= "2014-01-01" && view.sealed_days === 366 && view.unsealed_days === 0;
    await until("all is sealed", () => this.status(), (status) => status.views.every(isSealed), 60_000);
    return this;
  }

  async stop(signal = "SIGINT") {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill(signal);
    await this.gone;
  }
}

export function launch() {
  const args = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
  return chromium.launch({ executablePath: CHROMIUM, args: args.split(" ") });
}

/** A page that records what must not happen: errors, console messages, requests to other hosts. */
export async function open(browser, at, { width = 1280, height = 900, dark = false, path = "/" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.wrong = [];
  /** While the server is stopped on purpose, the browser reports each failed request. */
  page.isAlone = false;
  page.on("pageerror", (error) => page.wrong.push(`error: ${error.stack}`));
  page.on("console", (message) => {
    const isExpected = page.isAlone && /Failed to load resource|ERR_/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !isExpected) page.wrong.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(at + "/") && !request.url().startsWith("data:")) page.wrong.push(`a request to ${request.url()}`);
  });
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  // For work on the page: uses its files from the source tree, without building.
  if (process.env.FROM_SOURCE) {
    await page.route((url) => url.pathname === "/" || url.pathname.startsWith("/assets/"), async (route) => {
      const name = new URL(route.request().url()).pathname.replace("/assets/", "").replace(/^\/$/, "index.html");
      try {
        const response = await route.fetch();
        await route.fulfill({ response, body: readFileSync(join(ROOT, "crates/http/src/page", name)) });
      } catch { await route.abort(); }
    });
  }
  await page.goto(at + path);
  await page.locator("#totals dd").first().waitFor();
  return page;
}

/** Parses a number as the page writes it. */
export function number(text) {
  return Number(text.replaceAll("\u202f", "").replace("\u2212", "-"));
}

/** The days of each carrier with their measures, named as on the page. */
export function truth() {
  const text = readFileSync(join(ROOT, "tests/data/flights-2013.by-carrier.new-york.csv"), "utf8");
  const [head, ...rows] = text.trim().split("\n").map((line) => line.split(","));
  const carriers = new Map();
  for (const row of rows) {
    const found = Object.fromEntries(head.map((name, i) => [name, row[i]]));
    const day = {
      flights: Number(found.events), count: Number(found.delay_count), sum: Number(found.delay_sum),
      median_delay: found.delay_p50 === "" ? null : Number(found.delay_p50), p99_delay: found.delay_p99 === "" ? null : Number(found.delay_p99),
      worst_delay: found.delay_max === "" ? null : Number(found.delay_max), aircraft: Number(found.distinct_tailnum), miles: Number(found.distance_sum),
    };
    day.mean_delay = day.count ? day.sum / day.count : null;
    if (!carriers.has(found.key)) carriers.set(found.key, new Map());
    carriers.get(found.key).set(found.day, day);
  }
  return carriers;
}
