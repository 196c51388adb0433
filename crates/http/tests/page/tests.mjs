// The page shows the right values, updates, can be used by keyboard, and shows errors.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { number, truth, until } from "./harness.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const right = truth();

const text = (page, selector) => page.locator(selector).innerText();
const total = async (page, measure) => number(await text(page, `#totals [data-measure="${measure}"] dd`));
/** The totals of one measure as pairs of key and value. Read at once, because each answer redraws them. */
const totals = (page, measure) => page.locator(`#totals [data-measure="${measure}"]`)
  .evaluate((group) => [...group.querySelectorAll("dd")].map((value) => [value.querySelector("span")?.textContent ?? "", value.querySelector("b").textContent]));
const shows = (page, measure, value) => until(`${measure} in all`, () => total(page, measure), (found) => found === value, 10_000);
const query = (page) => new URL(page.url()).searchParams;
const keys = (page) => query(page).getAll("k").map((key) => JSON.parse(key));
const sum = (carriers, measure, isIn = () => true) => carriers.flatMap((carrier) => [...right.get(carrier)])
  .filter(([day]) => isIn(day)).reduce((all, [, found]) => all + found[measure], 0);
const address = (measure, key, more = {}) => "/?" + new URLSearchParams({ view: "by-carrier", measure, k: JSON.stringify([key]), ...more });

/** The rows of the day table as texts. */
async function table(page) {
  if (!(await page.locator("#days").evaluate((days) => days.open))) await page.locator("#days summary").click();
  return page.locator("#days-body").evaluate((body) => [...body.rows].map((row) => [...row.cells].map((cell) => cell.textContent)));
}

function pointsStandBelowEachOther(column) {
  const places = new Set(column.filter((value) => value !== "–").map((value) => value.split(".")[1]?.length ?? 0));
  assert.equal(places.size, 1, `digits after the point: ${[...places]} in ${column}`);
}

async function valuesAreRight({ past, on }) {
  const page = await on(past);
  await shows(page, "flights", sum([...right.keys()], "flights"));
  await shows(page, "miles", sum([...right.keys()], "miles"));
  for (const carrier of ["UA", "OO"]) {
    for (const measure of ["flights", "mean_delay", "median_delay", "p99_delay", "worst_delay", "aircraft", "miles"]) {
      const days = right.get(carrier);
      await page.goto(past.at + address(measure, carrier));
      const rows = await until("the day table", () => table(page), (rows) => rows.length === days.size, 10_000);
      assert.deepEqual(rows.map(([day]) => day), [...days.keys()].sort().reverse());
      for (const [day, value, source, batch, speed, amendments] of rows) {
        const found = days.get(day)[measure];
        if (found === null) assert.equal(value, "–", `${carrier} ${measure} ${day}`);
        else assert.ok(Math.abs(number(value) - found) < 0.0051, `${carrier} ${measure} ${day}: ${value}, not ${found}`);
        assert.deepEqual([source, batch, speed, amendments], ["sealed", value, "", ""], `${carrier} ${measure} ${day}`);
      }
      pointsStandBelowEachOther(rows.map(([, value]) => value));
    }
    await shows(page, "flights", sum([carrier], "flights"));
    await shows(page, "miles", sum([carrier], "miles"));
    await shows(page, "worst_delay", Math.max(...[...right.get(carrier).values()].map((day) => day.worst_delay)));
  }
}

async function sealLineMoves({ today, on, picture }) {
  const page = await on(today);
  const sealed = () => page.locator("#chart").getAttribute("data-sealed");
  const first = await until("a day is sealed", sealed, Boolean);
  const flights = await total(page, "flights");
  await until("the seal line moves", sealed, (day) => day > first);
  await until("the head says so", () => text(page, "#sealed-through"), (day) => /^2013-/.test(day) && day > first);
  await until("the total grows", () => total(page, "flights"), (now) => now > flights);
  await until("open days are open", async () => (await table(page)).map((row) => row[2]), (from) => from[0] === "open" && from.at(-1) === "sealed");
  for (let looks = 0; looks < 40; looks += 1) {
    const [head, line, newest] = await page.evaluate(() => [document.getElementById("sealed-through").textContent, document.getElementById("chart").dataset.sealed,
      [...document.getElementById("days-body").rows].find((row) => row.cells[2].textContent !== "open").cells[0].textContent]);
    assert.equal(head, line, "the head and the chart are of the same answer");
    assert.ok(newest <= line, `${newest} is sealed in the table, and the chart is sealed through ${line}`);
    await page.waitForTimeout(50);
  }
  await picture(page, "today-1280");
}

/** While flights come, the numbers, the lines of two keys and the tables have one moment, so they add up. */
async function allIsOfOneMoment({ today, on }) {
  const both = new URLSearchParams([["view", "by-origin"], ["measure", "flights"], ["k", '["EWR"]'], ["k", '["JFK"]']]);
  const page = await on(today, { path: `/?${both}` });
  await page.locator("#top-body tr").nth(2).waitFor();
  if (!(await page.locator("#days").evaluate((days) => days.open))) await page.locator("#days summary").click();
  // The browser reports the opened table of days only after the click; then the page fills it.
  await page.locator("#days-body tr").first().waitFor();
  const seen = new Set();
  for (let looks = 0; looks < 600 && seen.size < 8; looks += 1) {
    const shown = await page.evaluate(() => {
      const cells = (body) => [...document.getElementById(body).rows].map((row) => [...row.cells].map((cell) => cell.textContent));
      const totals = document.querySelectorAll('#totals [data-measure="flights"] dd b');
      const moments = ["totals", "top"].map((id) => document.getElementById(id).dataset.moment);
      return { moments, totals: [...totals].map((total) => total.textContent), top: cells("top-body"), days: cells("days-body") };
    });
    const [moment, ofTop] = shown.moments;
    assert.doesNotMatch(moment, /,/, "both lines are of one moment");
    assert.equal(ofTop, moment, "the top table is of the moment of the numbers");
    ["EWR", "JFK"].forEach((key, at) => {
      const total = number(shown.totals[at]);
      assert.equal(number(shown.top.find((row) => row[1] === key)[3]), total, `the top table has the total of ${key}`);
      const days = shown.days.filter((row) => row[1] === key).map((row) => number(row[2]));
      assert.equal(days.reduce((all, one) => all + one, 0), total, `the days add up to the total of ${key}`);
    });
    seen.add(moment);
    await page.waitForTimeout(20);
  }
  assert.ok(seen.size >= 8, `what is shown moves: ${[...seen]}`);
}

async function filtersWork({ past, on }) {
  const page = await on(past);
  await page.selectOption("#measure", "miles");
  await until("the address", () => query(page).get("measure"), (measure) => measure === "miles");
  await until("its total is marked", () => text(page, "#totals .chosen dt"), (name) => name === "miles");
  assert.equal(await text(page, "#series-title"), "Miles, day by day (America/New_York)");
  await page.fill("#from", "2013-03-01");
  await page.fill("#to", "2013-03-31");
  const march = (day) => day.startsWith("2013-03");
  await shows(page, "flights", sum([...right.keys()], "flights", march));
  assert.equal(query(page).get("from"), "2013-03-01");
  await page.click("#key-input");
  await page.locator("#key-list li", { hasText: "B6" }).click();
  await shows(page, "flights", sum(["B6"], "flights", march));
  assert.deepEqual(keys(page), [["B6"]]);
  await page.goBack();
  await shows(page, "flights", sum([...right.keys()], "flights", march));
  assert.deepEqual(keys(page), []);
  await page.goForward();
  await shows(page, "flights", sum(["B6"], "flights", march));
  await page.reload();
  await shows(page, "flights", sum(["B6"], "flights", march));
  assert.equal(await page.inputValue("#from"), "2013-03-01");
  await page.click('#presets [data-range="7"]');
  await shows(page, "flights", sum(["B6"], "flights", (day) => day >= "2013-12-26"));
  assert.equal(await page.getAttribute('#presets [data-range="7"]', "aria-pressed"), "true");
  await page.click('#presets [data-range="all"]');
  await page.selectOption("#view", "by-origin");
  await shows(page, "flights", sum([...right.keys()], "flights"));
  assert.deepEqual(keys(page), []);
}

async function keyboardWorks({ past, on }) {
  const page = await on(past);
  const reached = [];
  await page.keyboard.press("Tab");
  for (let presses = 0; presses < 40; presses += 1) {
    const at = await page.evaluate(() => document.activeElement.id || document.activeElement.dataset.range || document.activeElement.className);
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement.closest(".chips") ?? document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", `${at} (after ${reached}) shows that it has the focus`);
    if (reached.at(-1) !== at) reached.push(at);
    // The list of keys opens below the input, and must not take the focus.
    if (at === "key-input") await page.locator("#key-list li").first().waitFor();
    if (at === "chart") break;
    await page.keyboard.press("Tab");
  }
  assert.deepEqual(reached, ["skip", "theme", "view", "measure", "key-input", "all", "90", "30", "7", "window", "from", "to", "chart"]);
  await page.keyboard.press("Home");
  assert.match(await text(page, "#tip"), /2013-01-01/);
  await page.keyboard.press("ArrowRight");
  const tip = await text(page, "#tip");
  assert.match(tip, /2013-01-02/);
  assert.match(tip, /sealed/);
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#tip").isHidden());
  await page.focus("#key-input");
  const selected = page.locator("#key-list li[aria-selected=true]");
  const offers = (key) => until(`${key} is offered`, async () => (await selected.allInnerTexts())[0], (found) => found === key, 10_000);
  await page.keyboard.type("dl");
  await offers("DL");
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#key-list").isHidden());
  await page.keyboard.press("Control+A");
  await page.keyboard.type("U");
  await offers("UA");
  await page.keyboard.press("Enter");
  await shows(page, "flights", sum(["UA"], "flights"));
  assert.deepEqual(keys(page), [["UA"]]);
  await page.keyboard.press("Backspace");
  await shows(page, "flights", sum([...right.keys()], "flights"));
}

/** An answer about keys that comes after more was typed is ignored: Enter would choose a key that was not meant. */
async function lateKeysAreNotOffered({ past, on }) {
  const page = await on(past);
  const held = [];
  await page.route("**/keys?*", (route) => { held.push(route); });
  await page.focus("#key-input");
  const asked = (count) => until(`question ${count}`, () => held.length, (length) => length === count);
  await asked(1);
  await page.keyboard.type("D");
  await held[0].continue();
  await asked(2);
  await page.keyboard.press("Backspace");
  await page.keyboard.type("U");
  await held[1].continue();
  await asked(3);
  await page.keyboard.press("Enter");
  assert.deepEqual(keys(page), []);
  await held[2].continue();
  await until("UA is offered", async () => (await page.locator("#key-list li[aria-selected=true]").allInnerTexts())[0], (found) => found === "UA");
}

async function topTableWorks({ past, on }) {
  const page = await on(past);
  const first = () => page.locator("#top-body tr").first().locator("td").allInnerTexts();
  const most = (measure) => [...right.keys()].sort((a, b) => sum([b], measure) - sum([a], measure))[0];
  await until("the most flights", first, (cells) => cells[1] === most("flights") && number(cells[3]) === sum([most("flights")], "flights"));
  await page.locator("#top-head button", { hasText: "miles" }).click();
  await until("the most miles", first, (cells) => cells[1] === most("miles") && number(cells.at(-1)) === sum([most("miles")], "miles"));
  assert.equal(query(page).get("measure"), "miles");
  await until("the heading", () => text(page, "#top-title"), (title) => title === "Top by miles");
  pointsStandBelowEachOther(await page.locator("#top-body tr").evaluateAll((rows) => rows.map((row) => row.cells[4].textContent)));
  await page.locator("#top-body button", { hasText: "DL" }).click();
  await shows(page, "miles", sum(["DL"], "miles"));
  assert.deepEqual(keys(page), [["DL"]]);
  await page.locator("#top-body button[aria-pressed=true]", { hasText: "DL" }).click();
  await shows(page, "miles", sum([...right.keys()], "miles"));
}

async function compositeKeysWork({ past, on }) {
  const page = await on(past, { path: "/?view=by-route&measure=flights" });
  await page.focus("#key-input");
  await page.keyboard.type("JFK, LA");
  await until("a route is offered", () => page.locator("#key-list li[aria-selected=true]").innerText(), (found) => found === "JFK → LAS");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.deepEqual(keys(page), [["JFK", "LAX"]]);
  const answer = await past.get("/api/views/by-route/value?key=JFK&key=LAX");
  await shows(page, "flights", answer.value.flights);
}

async function severalKeys({ past, on, picture }) {
  const page = await on(past, { path: address("flights", "UA") + "&" + new URLSearchParams({ k: '["B6"]' }) });
  const rows = await until("both keys' days", () => table(page), (rows) => rows.length === right.get("UA").size + right.get("B6").size, 10_000);
  for (const [day, key, value] of rows) assert.equal(number(value), right.get(key).get(day).flights, `${key} ${day}`);
  for (const measure of ["flights", "miles"]) {
    const found = await totals(page, measure);
    assert.deepEqual(found.map(([key, value]) => [key, number(value)]), ["UA", "B6"].map((key) => [key, sum([key], measure)]));
  }
  await page.locator("#days summary").click();
  await page.locator("#chart .u-over").hover({ position: { x: 300, y: 60 } });
  await until("both keys in the tip", () => text(page, "#tip"), (tip) => tip.includes("UA") && tip.includes("B6"), 10_000);
  await picture(page, "several-1280");
  for (const width of [1600, 1280, 390]) {
    const routes = [["JFK", "LAX"], ["EWR", "SFO"]].map((key) => ["k", JSON.stringify(key)]);
    const page = await on(past, { width, path: "/?" + new URLSearchParams([["view", "by-route"], ["measure", "miles"], ...routes]) });
    const broken = await page.locator("#totals").evaluate((totals) => [...totals.querySelectorAll("b")].filter((number) => {
      const range = document.createRange();
      range.selectNodeContents(number);
      return range.getClientRects().length !== 1;
    }).map((number) => number.textContent));
    assert.deepEqual(broken, [], `numbers on more than one line, ${width} px`);
  }
}

/** A selection without events says so, and draws no axes. */
async function nothingIsSaid({ past, on, picture }) {
  const page = await on(past, { path: address("flights", "no such carrier") });
  assert.equal(await text(page, "#empty"), "No events of this key in these days.");
  assert.ok(!(await page.locator("#chart canvas").isVisible()), "axes of nothing");
  await picture(page, "no-such-key-1280");
  await page.goto(`${past.at}/?view=by-carrier&measure=flights&from=2015-01-01&to=2015-02-01`);
  await until("an empty top", () => text(page, "#top-body"), (said) => said === "No events in these days.", 10_000);
  await until("an empty chart", () => text(page, "#empty"), (said) => said === "No events in these days.", 10_000);
  await page.click('#presets [data-range="all"]');
  await shows(page, "flights", sum([...right.keys()], "flights"));
  assert.equal(await text(page, "#empty"), "");
  assert.ok(await page.locator("#chart canvas").isVisible());
}

/** A demonstration that is over is not shown as live, and its days not as days of this year. */
async function theEndIsSaid({ past, on }) {
  const page = await on(past);
  await until("the state", () => text(page, "#state"), (said) => said === "the data has ended, new events are still taken", 10_000);
  await until("all is sealed", () => text(page, "#sealed-through"), (said) => said === "2014-01-01, the last day", 10_000);
}

async function yearsHaveDates({ past, on }) {
  const page = await on(past);
  const dates = await page.evaluate(async () => {
    const { dates } = await import("/assets/chart.js");
    return dates(["2012-01-01", "2013-01-01", "2013-07-01", "2014-01-01"].map((day) => Date.parse(day) / 1e3));
  });
  assert.deepEqual(dates, ["1 Jan 2012", "1 Jan 2013", "1 Jul", "1 Jan 2014"]);
}

async function refusalsAreSentences({ past, on }) {
  const page = await on(past);
  // The browser itself logs each answer of 400 on the console.
  page.isAlone = true;
  await page.goto(`${past.at}/?view=by-carrier&measure=flights&from=2013-05-01&to=2013-04-01`);
  const said = await until("a sentence", () => page.locator("#problem").innerText(), Boolean, 10_000);
  assert.match(said, /from|to/);
  assert.ok(await page.evaluate(() => document.body.classList.contains("refused")), "what is shown is no answer to this");
  assert.ok(await page.locator("#banner").isHidden(), "the engine is there");
  let asked = 0;
  page.on("request", () => { asked += 1; });
  await page.waitForTimeout(2_000);
  assert.ok(asked <= 10, `${asked} requests in 2 s about what is refused; how the engine is takes 2 a second`);
  await page.click('#presets [data-range="all"]');
  await until("it goes", () => page.locator("#problem").isHidden(), Boolean, 10_000);
  await shows(page, "flights", sum([...right.keys()], "flights"));
}

async function layoutAndColours({ past, on, picture }) {
  for (const width of [1600, 1280, 390]) {
    for (const dark of [false, true]) {
      for (const path of ["/", "/?view=by-route&measure=mean_delay&days=7&k=" + encodeURIComponent('["JFK","LAX"]')]) {
        const page = await on(past, { width, dark, path });
        await page.locator("#chart canvas").waitFor();
        await page.locator("#top-body tr").first().waitFor();
        const name = `${path === "/" ? "all" : "week"}-${width}-${dark ? "dark" : "light"}`;
        await picture(page, name);
        const found = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, paper: getComputedStyle(document.body).backgroundColor }));
        assert.ok(found.scroll <= width, `${name}: ${found.scroll} px wide`);
        const light = found.paper.match(/\d+/g).slice(0, 3).every((part) => Number(part) > 128);
        assert.equal(light, !dark, `${name}: the ground is ${found.paper}`);
        await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => axe.run());
        const bad = violations.filter((one) => ["serious", "critical"].includes(one.impact));
        assert.deepEqual(bad.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`), [], name);
      }
    }
  }
}

async function reconnects({ today, on, picture }) {
  const page = await on(today);
  page.isAlone = true;
  await today.stop("SIGKILL");
  await until("the banner", () => text(page, "#banner"), (said) => said.includes("has not answered"), 10_000);
  assert.equal(await page.getAttribute("#state", "data-state"), "gone");
  assert.ok(await page.evaluate(() => document.body.classList.contains("stale")));
  await picture(page, "gone-1280");
  const [head, line] = await page.evaluate(() => [document.getElementById("sealed-through").textContent, document.getElementById("chart").dataset.sealed]);
  assert.equal(head, line, "what stays is of one answer");
  const flights = await total(page, "flights");
  await today.start();
  await until("it is back", () => text(page, "#banner"), (said) => said.includes("is back"), 20_000);
  page.isAlone = false;
  assert.ok(!(await page.evaluate(() => document.body.classList.contains("stale"))));
  await until("the total goes on", () => total(page, "flights"), (now) => now > flights);
  assert.match(await text(page, "#since"), /^Since this process started, /);
}

export const tests = [
  ["values are the right answers", valuesAreRight],
  ["the seal line moves", sealLineMoves],
  ["filters work, and are in the address", filtersWork],
  ["the keyboard is enough", keyboardWorks],
  ["late answers about keys are not offered", lateKeysAreNotOffered],
  ["numbers, lines and tables are of one moment", allIsOfOneMoment],
  ["the top table ranks and chooses", topTableWorks],
  ["composite keys", compositeKeysWork],
  ["several keys", severalKeys],
  ["nothing is said to be nothing", nothingIsSaid],
  ["the end of the data", theEndIsSaid],
  ["dates of several years", yearsHaveDates],
  ["a refusal is a sentence", refusalsAreSentences],
  ["widths, colours, accessibility", layoutAndColours],
  ["gone, and back", reconnects],
];
