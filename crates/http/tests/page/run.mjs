// The dashboard page in a real browser, on the real example and on the program `dayfold`. What each test looks at is in
// `tests.mjs` and `schemas.mjs`.
//
//     npm ci && node run.mjs [WORDS OF A TEST'S NAME]
//
// DASHBOARD: the example's program. PROGRAM: `dayfold`. CHROMIUM: the browser. SCREENSHOTS: a folder for pictures.
// FROM_SOURCE=1: the page's files from the source tree instead of those in the program.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dashboard, freePort, launch, open } from "./harness.mjs";
import { Program } from "./program.mjs";
import { schemas } from "./schemas.mjs";
import { tests } from "./tests.mjs";

const words = process.argv.slice(2).join(" ");
const pictures = process.env.SCREENSHOTS;
const work = mkdtempSync(join(tmpdir(), "dayfold-page-"));
if (pictures) mkdirSync(pictures, { recursive: true });

const past = new Dashboard(await freePort(), join(work, "past"), "max");
const today = new Dashboard(await freePort(), join(work, "today"), "3");
const many = new Program(await freePort(), join(work, "many"));
let browser = null, failed = 0;
// Nothing of this may go on for longer, whatever hangs.
const limit = setTimeout(() => { console.error("not done after 240 s"); end(1); }, 240_000);

async function end(code) {
  clearTimeout(limit);
  await browser?.close();
  await Promise.all([past.stop("SIGKILL"), today.stop("SIGKILL"), many.stop()]);
  rmSync(work, { recursive: true, force: true });
  process.exit(code);
}

try {
  browser = await launch();
  await Promise.all([past.start().then(() => past.finished()), today.start(), many.start()]);
  for (const [name, test] of [...tests, ...schemas].filter(([name]) => name.includes(words))) {
    const pages = [];
    const on = async (server, options) => {
      const page = await open(browser, server.at, options);
      pages.push(page);
      return page;
    };
    const picture = async (page, file) => { if (pictures) await page.screenshot({ path: join(pictures, `${file}.png`), fullPage: true }); };
    const start = performance.now();
    try {
      await test({ past, today, many, on, picture });
      const wrong = pages.flatMap((page) => page.wrong);
      if (wrong.length) throw new Error(wrong.join("\n"));
      console.log(`ok      ${name} (${Math.round(performance.now() - start)} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${error.stack ?? error}`);
      for (const page of pages) for (const wrong of page.wrong) console.log(`        ${wrong}`);
      if (pages.length) await picture(pages.at(-1), `failed-${name.replace(/\W+/g, "-")}`).catch(() => {});
    }
    await Promise.all(pages.map((page) => page.context().close()));
  }
} catch (error) {
  failed += 1;
  console.log(error);
}
console.log(failed ? `${failed} failed` : "the page holds");
await end(failed ? 1 : 0);
