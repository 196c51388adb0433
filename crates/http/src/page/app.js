// The page. The selection is in the address, and the values come from the server. If the server does not answer, the
// page says so and continues to ask.
import { Refusal, address, ask, atOneMoment, paced, wired } from "/assets/api.js";
import { Chart } from "/assets/chart.js";
import { dayNumber, dayText, label, setUnits, title } from "/assets/format.js";
import { Keys } from "/assets/keys.js";
import { Refused } from "/assets/refused.js";
import * as tables from "/assets/tables.js";

const by = (id) => document.getElementById(id);
const chart = new Chart(by("chart"), by("tip"), by("empty"));
const keys = new Keys((chosen) => change({ keys: chosen }));
const refusedRows = new Refused(() => write());

/** The selection, as in the address. `range` is `all`, a number of last days, a window until now (`7d`), or `dates`. */
let chosen = { view: null, measure: null, keys: [], range: "all", from: "", to: "", n: "10", page: 0 };

/** Windows that end now, and the grains of views that support them. */
const WINDOWS = { "24h": ["last 24 hours", "hour"], "7d": ["last 7 days", "hour day"], "4w": ["last 4 weeks", "hour day week"], "3mo": ["last 3 months", "hour day month"], "1y": ["last year", "hour day month quarter year"] };
const isWindow = (range) => /^[1-9]\d{0,3}(h|d|w|mo|q|y)$/.test(range);
let views = [];
let stream = null;
/** One answer for each line of the chart. They and the ranking are shown together, and are all that is shown. */
let lines = [];
/** Whether the server refuses the selection. Then it is not asked again before the selection changes. */
let refused = false;
/** Whether the source that is read has ended. Programs may still push events. */
let over = false;
/** The number of the selection: answers for an earlier one are dropped. */
let turn = 0;

// ---- the selection

function read() {
  const query = new URLSearchParams(location.search);
  const found = query.getAll("k").map((text) => { try { return JSON.parse(text); } catch { return null; } });
  const keys = found.filter((key) => Array.isArray(key) && key.every((part) => part === null || typeof part === "string"));
  const [from, to] = [query.get("from") ?? "", query.get("to") ?? ""];
  const range = from || to ? "dates" : query.get("last") ?? query.get("days") ?? "all";
  const page = /^[1-9]\d{0,4}$/.test(query.get("page") ?? "") ? Number(query.get("page")) - 1 : 0;
  chosen = { view: query.get("view"), measure: query.get("measure"), keys, range, from, to, n: query.get("n") ?? "10", page };
  refusedRows.toggle(query.has("refused"));
}

function write() {
  const query = new URLSearchParams({ view: chosen.view, measure: chosen.measure });
  chosen.keys.forEach((key) => query.append("k", JSON.stringify(key)));
  if (chosen.range === "dates") {
    if (chosen.from) query.set("from", chosen.from);
    if (chosen.to) query.set("to", chosen.to);
  } else if (chosen.range !== "all") query.set(isWindow(chosen.range) ? "last" : "days", chosen.range);
  if (chosen.n !== "10") query.set("n", chosen.n);
  if (chosen.page) query.set("page", chosen.page + 1);
  if (refusedRows.isOpen) query.set("refused", "");
  const text = `?${query}`;
  if (text !== location.search) history.pushState(null, "", text);
}

function view() {
  return views.find((one) => one.name === chosen.view);
}

/** Adapts the selection to the existing views and measures. */
function fit() {
  if (!views.length) return;
  if (!view()) Object.assign(chosen, { view: views[0].name, keys: [] });
  if (!view().measures.includes(chosen.measure)) chosen.measure = view().measures[0] ?? null;
  chosen.keys = chosen.keys.filter((key) => key.length === view().key.length);
  if (![...by("n").options].some((option) => option.value === chosen.n)) chosen.n = "10";
  if (!["all", "dates"].includes(chosen.range) && !/^[1-9]\d{0,4}$/.test(chosen.range) && !isWindow(chosen.range)) chosen.range = "all";
}

function grain() {
  return view()?.schema.grain ?? "day";
}

function change(to) {
  // A new selection starts at the first page; keys may be chosen on any page.
  if (!("keys" in to) && !("page" in to)) chosen.page = 0;
  Object.assign(chosen, to);
  if (to.view) chosen.keys = [];
  if (to.view && isWindow(chosen.range) && !WINDOWS[chosen.range]?.[1].includes(grain())) chosen.range = "all";
  fit();
  write();
  controls();
  restart();
}

/** The selected days; an open end has none. */
function range() {
  if (chosen.range === "dates") return { from: chosen.from, to: chosen.to };
  if (isWindow(chosen.range)) return { last: chosen.range };
  const last = view()?.last_day?.slice(0, 10);
  if (chosen.range === "all" || !last) return { from: "", to: "" };
  return { from: dayText(dayNumber(last) - Number(chosen.range) + 1), to: "" };
}

function options(select, names, value, text = (name) => name) {
  const wanted = names.map((name) => new Option(text(name), name));
  const said = (options) => [...options].map(({ value, text }) => `${value}\n${text}`).join("\n");
  if (said(select.options) !== said(wanted)) select.replaceChildren(...wanted);
  select.value = value;
}

function controls() {
  if (!view()) return;
  setUnits(view().schema);
  options(by("view"), views.map((one) => one.name), chosen.view);
  options(by("measure"), view().measures, chosen.measure, label);
  keys.set(view(), chosen.keys);
  by("n").value = chosen.n;
  const windows = Object.keys(WINDOWS).filter((name) => WINDOWS[name][1].split(" ").includes(grain()));
  if (isWindow(chosen.range) && !windows.includes(chosen.range)) windows.push(chosen.range);
  options(by("window"), ["", ...windows], isWindow(chosen.range) ? chosen.range : "", (name) => (name ? WINDOWS[name]?.[0] ?? `last ${name}` : "up to now …"));
  for (const button of by("presets").children) button.setAttribute("aria-pressed", String(button.dataset.range === chosen.range));
  // A date that is being typed is left alone.
  const date = (day) => day?.slice(0, 10) ?? "";
  const all = { from: range().from || date(view().first_day), to: date(view().last_day) };
  const shown = chosen.range === "dates" ? { from: chosen.from, to: chosen.to } : isWindow(chosen.range) ? { from: "", to: "" } : all;
  for (const name of ["from", "to"]) if (document.activeElement !== by(name)) by(name).value = shown[name];
}

// ---- the display

function problem(text) {
  document.body.classList.toggle("refused", Boolean(text));
  by("problem").textContent = text;
  by("problem").hidden = !text;
}

/** Runs `job` for the present selection. Shows what the server refuses, and notices when it does not answer. */
async function asking(job) {
  const mine = turn;
  try {
    await job(() => mine === turn);
    if (mine === turn && !refused) problem("");
  } catch (error) {
    if (mine !== turn) return;
    if (!(error instanceof Refusal)) { gone(); return; }
    refused = true;
    problem(error.message);
  }
}

/** Requests everything that is shown at one moment, and draws it together, so that numbers, lines and tables agree. */
const refresh = paced(400, () => asking(async (isMine) => {
  if (!view()) return;
  const asked = chosen.keys.length ? chosen.keys : [null];
  const [top, ...found] = await atOneMoment((snapshot) => {
    const what = { ...range(), snapshot };
    const ranked = chosen.measure && ask(address(chosen.view, "top", { by: chosen.measure, n: chosen.n, skip: chosen.page * Number(chosen.n) || "", ...what }));
    const series = asked.map((key) => ask(address(chosen.view, "series", { key: wired(view(), key), ...what })));
    return Promise.all([ranked, ...series]);
  });
  if (!isMine()) return;
  lines = found;
  draw();
  // The selected days may have fewer keys now.
  if (top && chosen.page > 0 && top.rows.length === 0) { change({ page: 0 }); return; }
  if (top) tables.top(view(), top, keys, (key) => keys.toggle(key), (measure) => change({ measure }));
  const { last, from, to } = range();
  by("download").href = address(chosen.view, "rows", { format: "csv", last, from, to });
}));

function draw() {
  const zone = grain() === "hour" ? "UTC" : view().zone;
  by("series-title").replaceChildren(`${title(chosen.measure)}, ${grain()} by ${grain()} `, tables.element("span", `(${zone})`, "quiet"));
  chart.draw(lines, chosen.measure, grain());
  tables.totals(view(), lines, chosen.measure);
  by("days").hidden = lines.every((line) => line.days.length === 0);
  by("days").querySelector("summary").textContent = `The ${grain()}s as a table`;
  if (by("days").open) tables.days(lines, chosen.measure, grain());
  sealed();
}

/** Shows the last sealed day. After the end of the data, days without events continue to close by the wall clock. */
function sealed() {
  const { through } = chart;
  const last = [view()?.last_day, ...lines.map((line) => line.days.at(-1)?.day)].filter(Boolean).sort().at(-1);
  const isAll = over && through && last && through >= last;
  by("sealed-through").textContent = isAll ? `${last}, the last ${grain()}` : through ?? "nothing yet";
  by("sealed-through").title = through ? `Each ${grain()} up to ${through} is closed. An event of them that still comes is late: it counts at once, and its ${grain()} is sealed again.` : "";
}

/** Opens a stream for the selection. Each of its answers means that the shown values may have changed. */
function restart() {
  turn += 1;
  refused = false;
  stream?.close();
  stream = null;
  if (document.hidden || !view()) return;
  refresh();
  // If several keys are selected, all keys are watched.
  const key = chosen.keys.length === 1 ? chosen.keys[0] : null;
  const endpoint = { of: key ? "value" : "total", key: wired(view(), key), ...range(), every: "250ms" };
  stream = new EventSource(address(chosen.view, "live", endpoint));
  const mine = turn;
  stream.addEventListener("open", () => { if (mine === turn) back(); });
  stream.addEventListener("answer", () => {
    if (mine !== turn) return;
    refresh();
  });
  // If the browser reconnected by itself, the page would not know since when the server does not answer. The next look
  // opens a new stream. Doing so at once would repeat refused requests without a pause.
  for (const name of ["end", "error"]) stream.addEventListener(name, () => { if (mine === turn) stream.close(); });
}

// ---- the connection

const WORDS = { running: "live", over: "the data has ended, new events are still taken", recovering: "catching up", ended: "the data has ended", stopped: "stopped", gone: "gone", connecting: "connecting" };
let state = "connecting";
let since = null;
let told = null;

function become(next) {
  state = next;
  by("state").dataset.state = next;
  by("state-text").textContent = WORDS[next] ?? next;
  document.body.classList.toggle("stale", next === "gone" || next === "stopped");
}

function banner(text, style = "") {
  by("banner").className = `banner ${style}`;
  if (by("banner").textContent !== text) by("banner").textContent = text;
  by("banner").hidden = !text;
}

function gone() {
  if (state === "gone") return;
  since = new Date();
  become("gone");
  clearTimeout(told);
  banner(`The engine has not answered since ${since.toLocaleTimeString()}. What you see is what it said last; asking again every second.`);
  stream?.close();
}

function back() {
  if (state !== "gone") return;
  const away = Math.round((Date.now() - since) / 1000);
  become("running");
  banner(`The engine is back after ${away} s.`, "back");
  told = setTimeout(() => banner(""), 5000);
}

let looking = false;
/** Asks how the engine is, every second. */
async function look() {
  if (looking || document.hidden) return;
  looking = true;
  try {
    const signal = AbortSignal.timeout(5000);
    const [status, answer] = await Promise.all([ask("/api/status", signal), ask("/api/views", signal)]);
    const [was, hadNone, before] = [state, !views.length, range().from];
    views = answer.views;
    by("name").textContent = status.name;
    document.title = `${status.name} · Dayfold`;
    if (was === "gone" && status.state !== "stopped") back();
    const wasOver = over;
    over = status.state === "ended" || status.sources.some((one) => one.ended);
    if (over !== wasOver && lines.length) sealed();
    become(status.state === "running" && over ? "over" : status.state);
    if (status.state === "recovering") banner("The engine reads what is in its log. Answers come when all of it is back.", "wait");
    else if (status.state === "stopped") banner("The engine has stopped.");
    else if (by("banner").className.includes("wait")) banner("");
    tables.engine(status, refusedRows);
    refusedRows.look(status.refused);
    if (hadNone) { fit(); history.replaceState(null, "", location.search); }
    controls();
    const isClosed = !stream || stream.readyState === EventSource.CLOSED;
    const hasMoved = before !== range().from;
    if (hadNone || was === "gone" || hasMoved || (isClosed && status.state === "running" && !refused)) restart();
  } catch (error) {
    if (error instanceof Refusal) problem(error.message);
    else gone();
  }
  looking = false;
}

// ---- events

by("filters").addEventListener("submit", (event) => event.preventDefault());
by("view").addEventListener("change", (event) => change({ view: event.target.value }));
by("measure").addEventListener("change", (event) => change({ measure: event.target.value }));
by("n").addEventListener("change", (event) => change({ n: event.target.value }));
by("window").addEventListener("change", (event) => change({ range: event.target.value || "all", from: "", to: "" }));
for (const [name, step] of [["prev", -1], ["next", 1]]) {
  by(name).addEventListener("click", () => { if (by(name).getAttribute("aria-disabled") !== "true") change({ page: Math.max(0, chosen.page + step) }); });
}
by("presets").addEventListener("click", (event) => {
  const { range } = event.target.dataset;
  if (range) change({ range, from: "", to: "" });
});
for (const name of ["from", "to"]) {
  by(name).addEventListener("change", () => change({ range: "dates", from: by("from").value, to: by("to").value }));
}
by("days").addEventListener("toggle", () => { if (by("days").open) tables.days(lines, chosen.measure, grain()); });
addEventListener("popstate", () => { read(); fit(); controls(); restart(); });
document.addEventListener("visibilitychange", () => { if (document.hidden) { stream?.close(); stream = null; } else { look(); } });

const THEMES = { "": ["◐", "Colours: as the system"], dark: ["●", "Colours: dark"], light: ["○", "Colours: light"] };
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  [by("theme").textContent] = THEMES[name];
  by("theme").setAttribute("aria-label", THEMES[name][1]);
  chart.recolour();
}
by("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES), now = document.documentElement.dataset.theme ?? "";
  const next = names[(names.indexOf(now) + 1) % names.length];
  localStorage.setItem("dayfold-theme", next);
  theme(next);
});

const remembered = localStorage.getItem("dayfold-theme") ?? "";
if (remembered in THEMES) theme(remembered);
read();
become("connecting");
look();
setInterval(look, 1000);
