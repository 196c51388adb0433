// The numbers that are not drawn: totals and their layers, the days, the top, the engine.
import { COLOURS } from "/assets/chart.js";
import { bytes, float, keyText, label, micros, show, span } from "/assets/format.js";

const by = (id) => document.getElementById(id);

function element(name, text = "", style = "") {
  const made = document.createElement(name);
  if (text !== "") made.textContent = text;
  if (style) made.className = style;
  return made;
}

const LAYERS = [["batch", "batch", "from sealed days"], ["speed", "speed", "from open days"], ["amendments", "amended", "late, to be sealed again"]];

/** A key as the chart paints it. */
function keyed(key, at) {
  const made = element("span", "", "keyed"), mark = element("i");
  mark.style.background = COLOURS[at % COLOURS.length];
  made.append(mark, keyText(key));
  return made;
}

/** `answers`: one, or one for each of several keys, which are told apart. */
export function totals(view, answers, chosen) {
  const several = answers.length > 1;
  by("totals").classList.toggle("several", several);
  by("totals").replaceChildren(...view.measures.map((measure) => {
    const group = element("div", "", measure === chosen ? "chosen" : "");
    group.dataset.measure = measure;
    group.append(element("dt", label(measure)), ...answers.map((answer, at) => {
      const value = element("dd");
      if (several) value.append(keyed(answer.key, at));
      value.append(element("b", show(answer.value?.[measure])));
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
      made.append(element("b", show(answer[layer][chosen])), ` ${text}`);
      line.append(made);
    }
    return line;
  }));
  const { floor, tick } = answers[0].as_of;
  by("as-of").textContent = `tick ${tick}` + (floor ? `, days up to ${floor.slice(0, 16).replace("T", " ")} UTC may close` : "");
}

/** The days as a table, the newest first. */
export function days(lines, measure) {
  const several = lines.length > 1;
  const heads = ["day", ...(several ? ["key"] : []), label(measure), "from", "batch", "speed", "amendments", "revision"];
  const isText = (head) => ["day", "key", "from", "revision"].includes(head);
  by("days-head").replaceChildren(...heads.map((head) => {
    const made = element("th", head, isText(head) ? "" : "num");
    made.scope = "col";
    return made;
  }));
  const rows = lines.flatMap((line) => line.days.map((day) => ({ line, day })));
  rows.sort((a, b) => (a.day.day < b.day.day ? 1 : -1));
  by("days-body").replaceChildren(...rows.map(({ line, day }) => {
    const row = element("tr");
    row.append(element("td", day.day));
    if (several) row.append(element("td", keyText(line.key)));
    row.append(element("td", show(day.value?.[measure], 6), "num"), element("td", day.source, `src ${day.source}`));
    for (const layer of ["batch", "speed", "amendments"]) row.append(element("td", day[layer] ? show(day[layer][measure], 6) : "", "num"));
    row.append(element("td", day.revision ?? ""));
    return row;
  }));
}

/** The top table. `pick` is called with a key, `rank` with a measure. */
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
  const most = Math.max(...answer.rows.map((row) => float(row.value?.[answer.by]) ?? 0), 0);
  by("top-body").replaceChildren(...answer.rows.map((found, at) => {
    const row = element("tr", "", keys.has(found.key) ? "chosen" : "");
    row.append(element("td", String(at + 1), "num quiet"));
    found.key.forEach((part, i) => {
      const place = element("td");
      if (i === 0) {
        const button = element("button", part === "" ? "(empty)" : part);
        button.type = "button";
        button.dataset.focus = `k ${keyText(found.key)}`;
        button.setAttribute("aria-pressed", String(keys.has(found.key)));
        button.setAttribute("aria-label", `${keyText(found.key)}: show in the chart`);
        button.addEventListener("click", () => pick(found.key));
        place.append(button);
      } else place.textContent = part === "" ? "(empty)" : part;
      row.append(place);
    });
    const share = element("td", "", "share"), bar = element("progress");
    bar.max = 1;
    bar.value = most > 0 ? Math.max(0, (float(found.value?.[answer.by]) ?? 0) / most) : 0;
    bar.setAttribute("aria-hidden", "true");
    share.append(bar);
    row.append(share);
    for (const measure of view.measures) {
      row.append(element("td", show(found.value?.[measure]), measure === answer.by ? "num" : "num other"));
    }
    return row;
  }));
  // What had the focus has it again.
  if (focused) [...by("top").querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused)?.focus();
}

export function engine(status) {
  // Of a replay against the replay's clock, of a live source against the wall's.
  const source = (one) => [`${one.name}: watermark lag`, one.ended ? "ended" : span(one.lag_ms)];
  const view = status.views.map((one) => one.sealed_days).reduce((a, b) => Math.max(a, b), 0);
  const open = status.views.map((one) => one.unsealed_days).reduce((a, b) => Math.max(a, b), 0);
  const quantiles = (of) => (of?.count ? `${micros(of.p50)} / ${micros(of.p99)}` : "–");
  const rows = [
    ["visible after (p50 / p99)", quantiles(status.freshness_us)],
    ["query (p50 / p99)", quantiles(status.query_us)],
    ...status.sources.map(source),
    ["events", show(status.events)],
    ["late", show(status.late)],
    ["refused", show(status.refused)],
    ["days sealed / open", `${show(view)} / ${show(open)}`],
    ...(status.log ? [["log: durable / appended", `${show(status.log.durable)} / ${show(status.log.appended)}`]] : []),
    ["memory", bytes(status.memory_bytes)],
    ["workers × processes", `${status.workers} × ${status.processes}`],
    ["watching", show(status.subscribers)],
  ];
  by("engine").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}
