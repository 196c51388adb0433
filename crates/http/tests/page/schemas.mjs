// The page with other schemas: many keys, hours and months, windows that end now, and refused rows.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { number, until } from "./harness.mjs";
import { REFUSED, USERS, VISITS } from "./program.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const text = (page, selector) => page.locator(selector).innerText();
const query = (page) => new URL(page.url()).searchParams;
const address = (view, measure, more = {}) => "/?" + new URLSearchParams({ view, measure, ...more });
const total = async (page, measure) => number(await text(page, `#totals [data-measure="${measure}"] dd`));
const rows = (page, body) => page.locator(body).evaluate((body) => [...body.rows].map((row) => [...row.cells].map((cell) => cell.textContent)));

async function hasNoBarriers(page, name) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  const bad = violations.filter((one) => ["serious", "critical"].includes(one.impact));
  assert.deepEqual(bad.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).join("; ")}`), [], name);
}

/** The rank, user and points of the shown rows, once they begin with a given rank. */
async function ranking(page, first) {
  const found = await until(`rank ${first}`, () => rows(page, "#top-body"), (found) => found.length > 0 && number(found[0][0]) === first, 20_000);
  return found.map(([rank, user, , points]) => [number(rank), user, number(points)]);
}

const ranked = (first, count) => Array.from({ length: count }, (_, i) => [first + i, `u${String(first + i - 1).padStart(6, "0")}`, USERS - first - i + 1]);

async function theTablePages({ many, on, picture }) {
  const page = await on(many, { path: address("by_user", "points") });
  assert.deepEqual(await ranking(page, 1), ranked(1, 10));
  assert.equal(await text(page, "#page-of"), "1 to 10");
  assert.equal(await page.getAttribute("#prev", "aria-disabled"), "true");
  await page.focus("#next");
  await page.keyboard.press("Enter");
  assert.deepEqual(await ranking(page, 11), ranked(11, 10));
  assert.equal(query(page).get("page"), "2");
  assert.equal(await page.evaluate(() => document.activeElement.id), "next", "it keeps the focus");
  await page.selectOption("#n", "100");
  assert.deepEqual(await ranking(page, 1), ranked(1, 100));
  await page.goto(many.at + address("by_user", "points", { n: "100", page: "1000" }));
  assert.deepEqual(await ranking(page, 99_901), ranked(99_901, 100));
  await picture(page, "paged-1280");
  await page.click("#prev");
  assert.deepEqual(await ranking(page, 99_801), ranked(99_801, 100));
  await page.goBack();
  await ranking(page, 99_901);
  // A new selection starts at the first page; a key may be chosen on any page.
  await page.locator("#top-body button").first().click();
  await until("the key", () => query(page).getAll("k").length, (count) => count === 1);
  assert.equal(query(page).get("page"), "1000");
  await page.selectOption("#measure", "rows");
  await until("the first page", () => query(page).get("page"), (found) => found === null);
  const href = await page.getAttribute("#download", "href");
  const csv = await (await fetch(many.at + href)).text();
  assert.equal(csv.trim().split("\n").length, USERS + 1, "all rows are there to be taken");
}

async function hoursAndMonths({ many, on, picture }) {
  const page = await on(many, { path: address("by_hour", "visits") });
  const all = VISITS.reduce((all, count) => all + count) + 1;
  assert.equal(await total(page, "visits"), all);
  assert.equal(await text(page, "#series-title"), "Visits, hour by hour (UTC)");
  assert.equal(await text(page, '#totals [data-measure="time_spent"] dt'), "time spent (ms)");
  assert.equal(await text(page, "#days summary"), "The hours as a table");
  assert.match(await text(page, "#layers"), /from sealed hours/);
  await page.click("#days summary");
  const hours = await until("hours", () => rows(page, "#days-body"), (found) => found.length === VISITS.filter(Boolean).length + 1);
  assert.match(hours[0][0], /^\d{4}-\d\d-\d\dT00:00:00Z$/);
  assert.deepEqual(hours.map(([, count]) => Number(count)), [...VISITS.filter(Boolean), 1]);
  await page.focus("#chart");
  await page.keyboard.press("End");
  assert.match(await text(page, "#tip"), new RegExp(hours[0][0]));
  await picture(page, "hours-1280");
  // A day of an hourly view has all its hours.
  const day = hours[0][0].slice(0, 10);
  await page.fill("#from", day);
  await until("one day", () => total(page, "visits"), (found) => found === VISITS[0]);
  await page.goto(many.at + address("by_month", "points"));
  await until("the title", () => text(page, "#series-title"), (found) => found === "Points, month by month (UTC)");
  const label = await until("months", () => page.getAttribute("#chart", "aria-label"), (label) => label.includes("4 months"));
  assert.match(label, /all sealed/);
  await page.focus("#chart");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  assert.match(await text(page, "#tip"), /2024-02-01/);
}

async function windowsThatEndNow({ many, on }) {
  const page = await on(many, { path: address("by_day", "visits") });
  const offered = await page.locator("#window option").allInnerTexts();
  assert.deepEqual(offered, ["up to now …", "last 7 days", "last 4 weeks", "last 3 months", "last year"]);
  await page.selectOption("#window", "7d");
  const recent = VISITS.reduce((all, count) => all + count);
  await until("a week", () => total(page, "visits"), (found) => found === recent);
  assert.equal(query(page).get("last"), "7d");
  await page.selectOption("#window", "3mo");
  await until("three months", () => total(page, "visits"), (found) => found === recent + 1);
  await page.goBack();
  await until("a week again", () => total(page, "visits"), (found) => found === recent);
  assert.equal(await page.inputValue("#window"), "7d");
  // Only views of hours have hours.
  await page.selectOption("#view", "by_hour");
  await page.selectOption("#window", "24h");
  await until("its hours", () => query(page).get("last"), (found) => found === "24h");
  await page.selectOption("#view", "by_day");
  await until("all days", () => query(page).get("last"), (found) => found === null);
  await page.click('#presets [data-range="all"]');
  await until("all", () => total(page, "visits"), (found) => found === recent + 1);
}

async function refusedRows({ many, on, picture }) {
  for (const [width, dark] of [[1280, false], [390, true]]) {
    const page = await on(many, { width, dark, path: address("by_day", "visits") });
    const opener = page.locator("#counts button");
    await until("how many", () => opener.innerText(), (found) => number(found) === REFUSED);
    await opener.focus();
    // It is drawn again every second, and keeps the focus.
    await page.waitForTimeout(1_200);
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "refused-title");
    const found = await until("rows", () => rows(page, "#refused-body"), (found) => found.length === 50);
    assert.match(found[0][1], /ms/);
    assert.match(found[0][2], /"\/bad, 0",many$/);
    assert.equal(await text(page, "#refused-of"), `1 to 50 of ${REFUSED}`);
    assert.equal((await rows(page, "#reasons-body")).reduce((all, [, count]) => all + number(count), 0), REFUSED);
    await hasNoBarriers(page, `refused ${width}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${wide} px wide`);
    await picture(page, `refused-${width}-${dark ? "dark" : "light"}`);
    await page.click("#refused-next");
    await page.click("#refused-next");
    await until("the last ones", () => text(page, "#refused-of"), (found) => found === `101 to ${REFUSED} of ${REFUSED}`);
    assert.equal(await page.getAttribute("#refused-next", "aria-disabled"), "true");
    await page.click("#refused-prev");
    await until("those before", () => text(page, "#refused-of"), (found) => found === `51 to 100 of ${REFUSED}`);
    assert.ok(query(page).has("refused"), "it is in the address");
    await page.click("#refused-close");
    assert.ok(await page.locator("#refused").isHidden());
    assert.ok(!query(page).has("refused"));
    assert.equal(await page.evaluate(() => document.activeElement.closest("#counts") !== null), true, "the focus is back");
  }
}

/** The page with sinks in the status as docs of HTTP have them; `.ci/sinks` tests the status itself. */
async function sinksAreShown({ many, on, picture }) {
  const page = await on(many, { path: address("by_day", "visits") });
  const plain = { view: "by_day", written: 50, refused: 0, lag_events: 0, lag_ms: 0, in_step: true, failures: 0, error: null };
  const sinks = [
    { ...plain, sink: "redis", refused: 2 },
    { ...plain, sink: "warehouse", lag_events: 1200, lag_ms: 65_000, in_step: false, failures: 3, error: "PostgreSQL cannot be used now: connection refused" },
  ];
  await page.route("**/api/status", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), sinks } });
  });
  const shown = await until("sinks", () => text(page, "#engine"), (text) => text.includes("sink warehouse"));
  assert.match(shown, /sink redis: by_day\s+up to date, 2 refused/);
  assert.match(shown, /sink warehouse: by_day\s+1\s200 events and 65 s behind: PostgreSQL cannot be used now: connection refused/);
  await hasNoBarriers(page, "sinks");
  await picture(page, "sinks-1280");
}

export const schemas = [
  ["the table pages", theTablePages],
  ["hours and months", hoursAndMonths],
  ["windows that end now", windowsThatEndNow],
  ["refused rows", refusedRows],
  ["sinks", sinksAreShown],
];
