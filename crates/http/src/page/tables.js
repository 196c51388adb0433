// The numbers outside the chart: totals by layer, the days, the ranking, the engine.
import { COLOURS } from "/assets/chart.js";
import { PARTS, bytes, column, float, keyText, label, micros, partText, show, span } from "/assets/format.js";

const by = (id) => document.getElementById(id);

export function element(name, text = "", style = "") {
  const made = document.createElement(name);
  if (text !== "") made.textContent = text;
  if (style) made.className = style;
  return made;
}

/** The names of the layers, for periods of a grain. */
const LAYERS = [
  ["batch", "batch", (grain) => `from sealed ${grain}s`],
  ["speed", "speed", (grain) => `from open ${grain}s`],
  ["amendments", "amended", () => "late, to be sealed again"],
];

/** A key in its colour of the chart. */
function keyed(key, at) {
  const made = element("span", "", "keyed"), mark = element("i");
  mark.style.background = COLOURS[at % COLOURS.length];
  made.append(mark, keyText(key));
  return made;
}

/** The moments of answers: one, if all have the same. */
function moments(answers) {
  return [...new Set(answers.map(({ as_of }) => `${as_of.floor} ${as_of.tick}`))].join(", ");
}

/** `answers`: a single answer, or one for each of several keys. */
export function totals(view, answers, chosen) {
  const several = answers.length > 1;
  by("totals").classList.toggle("several", several);
  by("totals").replaceChildren(...view.measures.map((measure) => {
    const group = element("div", "", measure === chosen ? "chosen" : "");
    group.dataset.measure = measure;
    const shown = column(answers.map((answer) => answer.value?.[measure]));
    group.append(element("dt", label(measure)), ...answers.map((answer, at) => {
      const value = element("dd");
      if (several) value.append(keyed(answer.key, at));
      value.append(element("b", shown[at]));
      value.title = String(answer.value?.[measure] ?? "no value");
      return value;
    }));
    return group;
  }));
  by("layers").replaceChildren(...answers.map((answer, at) => {
    const line = element("p");
    line.append(several ? keyed(answer.key, at) : element("span", answer.key ? keyText(answer.key) : "all keys", "keyed"));
    for (const [layer, style, text] of LAYERS.filter(([layer]) => answer[layer])) {
      const made = element("span", "", style);
      made.append(element("b", show(answer[layer][chosen])), ` ${text(view.schema.grain)}`);
      line.append(made);
    }
    return line;
  }));
  by("totals").dataset.moment = moments(answers);
  const { floor, tick } = answers[0].as_of;
  by("as-of").title = `as of tick ${tick}` + (floor ? `, with floor ${floor}` : "") + ": answer = batch ⊕ speed ⊕ amendments";
}

/** The periods as a table, the newest first. */
export function days(lines, measure, grain) {
  const several = lines.length > 1;
  const layers = ["batch", "speed", "amendments"];
  const heads = [grain, ...(several ? ["key"] : []), label(measure), "state", ...layers.map((layer) => PARTS[layer]), "revision"];
  const isText = (head) => [grain, "key", "state", "revision"].includes(head);
  by("days-head").replaceChildren(...heads.map((head) => {
    const made = element("th", head, isText(head) ? "" : "num");
    made.scope = "col";
    return made;
  }));
  const rows = lines.flatMap((line) => line.days.map((day) => ({ line, day })));
  rows.sort((a, b) => (a.day.day < b.day.day ? 1 : -1));
  const shown = column(rows.flatMap(({ day }) => ["value", ...layers].map((part) => day[part]?.[measure])), 6);
  by("days-body").replaceChildren(...rows.map(({ line, day }, at) => {
    const [value, ...parts] = shown.slice(4 * at, 4 * at + 4);
    const row = element("tr");
    row.append(element("td", day.day.replace(".000Z", "Z")));
    if (several) row.append(element("td", keyText(line.key)));
    // A key that came late to a closed day has neither a sealed nor an open part.
    const state = day.batch || day.speed ? day.source : "amendments";
    row.append(element("td", value, "num"), element("td", PARTS[state] ?? state, `src ${state}`));
    layers.forEach((layer, i) => row.append(element("td", day[layer] ? parts[i] : "", "num")));
    row.append(element("td", (day.revision ?? "").replace(".000Z", "Z")));
    return row;
  }));
}

/** The ranking. `pick` is called with a key, `rank` with a measure. */
export function top(view, answer, keys, pick, rank) {
  const focused = document.activeElement?.closest?.("#top")?.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  const cell = (head, style) => Object.assign(element("th", head, style), { scope: "col" });
  const heads = [cell("#", "num"), ...view.key.map((name) => cell(name)), cell("", "share")];
  heads.at(-1).append(element("span", "compared with the first row", "visually-hidden"));
  for (const measure of view.measures) {
    const head = cell("", measure === answer.by ? "num" : "num other");
    const button = element("button", label(measure));
    button.type = "button";
    button.dataset.focus = `m ${measure}`;
    button.addEventListener("click", () => rank(measure));
    if (measure === answer.by) head.setAttribute("aria-sort", "descending");
    head.append(button);
    heads.push(head);
  }
  by("top-head").replaceChildren(...heads);
  by("top").dataset.moment = moments([answer]);
  by("top-title").textContent = `Top by ${label(answer.by)}`;
  const shown = Object.fromEntries(view.measures.map((measure) => [measure, column(answer.rows.map((row) => row.value?.[measure]))]));
  const most = Math.max(...answer.rows.map((row) => float(row.value?.[answer.by]) ?? 0), 0);
  by("top-body").replaceChildren(...answer.rows.map((found, at) => {
    const row = element("tr", "", keys.has(found.key) ? "chosen" : "");
    row.append(element("td", show(answer.skip + at + 1), "num quiet"));
    found.key.forEach((part, i) => {
      const place = element("td");
      if (i === 0) {
        const button = element("button", partText(part));
        button.type = "button";
        button.dataset.focus = `k ${keyText(found.key)}`;
        button.setAttribute("aria-pressed", String(keys.has(found.key)));
        button.setAttribute("aria-label", `${keyText(found.key)}: show in the chart`);
        button.addEventListener("click", () => pick(found.key));
        place.append(button);
      } else place.textContent = partText(part);
      row.append(place);
    });
    const share = element("td", "", "share"), bar = element("progress");
    bar.max = 1;
    bar.value = most > 0 ? Math.max(0, (float(found.value?.[answer.by]) ?? 0) / most) : 0;
    bar.setAttribute("aria-hidden", "true");
    share.append(bar);
    row.append(share);
    for (const measure of view.measures) {
      row.append(element("td", shown[measure][at], measure === answer.by ? "num" : "num other"));
    }
    return row;
  }));
  if (!answer.rows.length) {
    const row = element("tr"), none = element("td", "No events in these days.", "quiet");
    none.colSpan = heads.length;
    row.append(none);
    by("top-body").append(row);
  }
  pages(answer);
  // Restores the focus.
  if (focused) [...by("top").querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused)?.focus();
}

/** The greatest number of keys that the server skips; the CSV file has all keys. */
const SKIPPED = 100_000;

/** Shows the position in the ranking, with buttons for other pages. */
function pages(answer) {
  const first = answer.skip + 1, last = answer.skip + answer.rows.length;
  by("page-of").textContent = answer.rows.length ? `${show(first)} to ${show(last)}${answer.more ? "" : `, the last of ${show(last)}`}` : "";
  // A button that is disabled in this way keeps the focus.
  by("prev").setAttribute("aria-disabled", String(answer.skip === 0));
  by("next").setAttribute("aria-disabled", String(!answer.more || answer.skip + answer.n > SKIPPED));
  by("pager").hidden = answer.skip === 0 && !answer.more;
}

/** Readable names of sources, by the engine's names. */
const SOURCES = { replay: "data that is read", live: "events that are pushed" };

/** The progress of a source: by its own clock if it is read, by the wall clock if it is pushed. */
function reached(source) {
  if (source.ended) return "ended";
  if (source.trouble) return `waits: ${source.trouble}`;
  if (source.paused) return `paused: far ahead of others${source.records_behind > 0 ? `, ${show(source.records_behind)} behind its end` : ""}`;
  if (source.records_behind > 0) return `${show(source.records_behind)} behind its end`;
  if (source.records_behind === 0) return source.quiet ? "read to its end, quiet" : "read to its end";
  if (source.watermark === null) return "nothing yet";
  if (source.name === "replay") return `up to ${source.watermark.slice(0, 10)}`;
  return source.lag_ms < 1000 ? "up to date" : `${span(source.lag_ms)} behind`;
}

/** All numbers of a source, for the details. */
function place(source) {
  const position = source.position === null ? "" : `position ${show(source.position)}, `;
  const idle = source.quiet ? ", quiet: it holds no days open" : "";
  return `source ${source.name}: ${position}watermark ${source.watermark}, lag ${span(source.lag_ms)}${idle}`;
}

/** How far a store is behind that answers are written to, and why. */
function written(sink) {
  const refused = sink.refused ? `, ${show(sink.refused)} refused` : "";
  if (sink.in_step && !sink.error && sink.lag_ms < 2000) return `up to date${refused}`;
  const behind = `${show(sink.lag_events)} events and ${span(sink.lag_ms)} behind${refused}`;
  return sink.error ? `${behind}: ${sink.error}` : behind;
}

function list(id, rows) {
  const focused = document.activeElement;
  by(id).replaceChildren(...rows.flatMap(([name, value, title = ""]) => {
    const made = [element("dt", name), element("dd", typeof value === "string" ? value : "")];
    if (typeof value !== "string") made[1].replaceChildren(value);
    made[0].title = title;
    return made;
  }));
  // Restores the focus if the element still exists.
  if (by(id).contains(focused)) focused.focus({ preventScroll: true });
}

/** `refused` shows the refused rows. */
export function engine(status, refused) {
  const most = (of) => show(status.views.reduce((most, one) => Math.max(most, one[of]), 0));
  const quantiles = (of) => (of?.count ? `${micros(of.p50)} / ${micros(of.p99)}` : "–");
  list("engine", [
    ...status.sources.map((one) => [SOURCES[one.name] ?? one.name, reached(one), place(one)]),
    ["days sealed / open", `${most("sealed_days")} / ${most("unsealed_days")}`],
    ...(status.log ? [["log entries: all / durable", `${show(status.log.appended)} / ${show(status.log.durable)}`, "durable: they survive a crash of the machine"]] : []),
    ["workers × processes", `${status.workers} × ${status.processes}`],
    ["memory", bytes(status.memory_bytes)],
    ...(status.sinks ?? []).map((one) => [`sink ${one.sink}: ${one.view}`, written(one), `${show(one.written)} rows were written; at most so many have changed as there were events since`]),
    ["listening now", show(status.subscribers), "pages and programs that have this process tell them each change"],
  ]);
  const one = status.processes > 1 ? `process ${status.process + 1} of ${status.processes}` : "this process";
  by("since").textContent = `Since ${one} started, ${span(status.uptime_ms)} ago`;
  list("counts", [
    ["events", show(status.events), "that entered through this process; totals also have those of earlier runs and other processes"],
    ["late events", show(status.late), "of days that had closed, in all processes; they count at once, and their day is sealed again"],
    ["refused rows", status.tells_refused ? refused.button(show(status.refused)) : show(status.refused)],
    ["visible after: median / p99", quantiles(status.freshness_us), "how long an event takes until answers have it; 99 % take no longer than the second"],
    ["queries: median / p99", quantiles(status.query_us), "how long an answer takes; 99 % take no longer than the second"],
  ]);
}
