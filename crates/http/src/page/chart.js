// The chart: sealed days are solid, open days are dashed, with a line at the present boundary.
import { PARTS, column, float, keyText, label, nextPeriod, periodStart, periodText, show } from "/assets/format.js";

const DAY = 86400;
/** The maximum number of periods on the axis. Eleven years have fewer hours. */
const MOST = 100_000;
export const COLOURS = ["#4e87c4", "#c9732a", "#3f9c6d", "#a4569a", "#b8942b", "#5d6bc4"];

export class Chart {
  constructor(place, tip, empty) {
    Object.assign(this, { place, tip, empty, plot: null, lines: [], shape: "" });
    new ResizeObserver(() => this.resize()).observe(place);
    place.addEventListener("keydown", (event) => this.step(event));
    place.addEventListener("blur", () => this.hide());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  /** `lines`: one series answer for each key, by periods of a grain. */
  draw(lines, measure, grain = "day") {
    Object.assign(this, { lines, measure, grain });
    const numbers = lines.flatMap((line) => line.days.map((day) => periodStart(day.day)));
    const key = lines.some((line) => line.key) ? `of ${lines.length > 1 ? "these keys" : "this key"} ` : "";
    this.empty.textContent = numbers.length ? "" : `No events ${key}in these days.`;
    this.place.classList.toggle("none", numbers.length === 0);
    const ends = numbers.reduce(([first, last], at) => [Math.min(first, at), Math.max(last, at)], [Infinity, -Infinity]);
    const [first, last] = ends;
    // Every period between the first and the last is shown, with or without events.
    this.days = [];
    for (let at = first; at <= last && this.days.length < MOST; at = nextPeriod(at, grain)) this.days.push(at);
    // Lines may have different moments: take the last day that all of them have sealed.
    const through = lines.map((line) => line.sealed_through).filter(Boolean).sort()[0] ?? null;
    this.through = through;
    this.sealed = through ? periodStart(through) : null;
    this.place.dataset.sealed = through ?? "";
    const data = [this.days];
    this.found = lines.map((line) => new Map(line.days.map((day) => [periodStart(day.day), day])));
    for (const found of this.found) {
      const value = (day) => float(found.get(day)?.value?.[measure]);
      const isSealed = (day) => found.has(day) && found.get(day).source !== "speed";
      const lastSealed = this.days.findLast(isSealed);
      data.push(this.days.map((day) => (isSealed(day) ? value(day) : null)));
      // The dashed line begins where the solid one ends.
      data.push(this.days.map((day) => (!isSealed(day) || day === lastSealed ? value(day) : null)));
      data.push(this.days.map((day) => (found.get(day)?.source === "both" ? value(day) : null)));
    }
    const shape = `${lines.length} ${grain}`;
    if (!this.plot || shape !== this.shape) this.build(data, shape);
    else this.plot.setData(data);
    if (this.at !== undefined && this.at !== null) this.show(this.at);
    const sum = lines.length === 1 ? show(lines[0].value?.[measure]) : "";
    const sealed = !through ? "nothing sealed yet" : this.sealed >= last ? "all sealed" : `sealed through ${through}`;
    this.place.setAttribute("aria-label", this.empty.textContent || `Chart of ${label(measure)} in ${this.days.length} ${grain}s, ${sealed}` + (sum ? `, in all ${sum}` : ""));
  }

  build(data, shape) {
    this.plot?.destroy();
    this.shape = shape;
    const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const one = this.lines.length === 1;
    const few = (u) => this.days.length <= Math.max(40, u.bbox.width / devicePixelRatio / 14);
    const series = [{}];
    this.lines.forEach((_, i) => {
      const colour = one ? css("--stone") : COLOURS[i % COLOURS.length];
      const open = one ? css("--moving") : colour;
      series.push({ stroke: colour, width: 2, spanGaps: false, points: { show: few, size: 6, fill: colour, stroke: colour,
        filter: (u, at, shown) => (shown ? null : alone(u.data[at])) } });
      series.push({ stroke: open, width: 2, dash: [5, 4], points: { show: true, size: 7, fill: css("--card"), stroke: open, width: 2,
        filter: (u, at, shown) => (shown ? this.openOnly(u, at) : null) } });
      series.push({ stroke: "transparent", width: 0, points: { show: true, size: 10, fill: "transparent", stroke: css("--late"), width: 2 } });
    });
    const axis = { stroke: css("--quiet"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: this.place.clientWidth, height: this.place.clientHeight, tzDate: (t) => uPlot.tzDate(new Date(t * 1e3), "Etc/UTC"),
      legend: { show: false }, cursor: { y: false, points: { size: 9 }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: (u, min, max) => this.span(min, max) }, y: { range: (u, min, max) => scale(min, max) } },
      padding: [22, 34, 0, 0],
      axes: [{ ...axis, grid: { show: false }, space: 76, size: 28, values: (u, at) => dates(at, this.grain) },
             { ...axis, size: (u, values) => Math.max(62, 7.5 * Math.max(...(values ?? [""]).map((text) => text.length)) + 14), values: (u, at) => at.map((value) => show(String(Number(value.toPrecision(8))), 3)) }],
      series,
      hooks: { drawClear: [(u) => this.ground(u, css)], setCursor: [(u) => this.moved(u)] },
    }, data, this.place);
    this.plot.over.addEventListener("mouseleave", () => this.hide());
  }

  /** Half a period. */
  half(start) {
    return (nextPeriod(start, this.grain) - start) / 2;
  }

  /** Adds half a period at both ends. For a single day, uPlot would show years. */
  span(min, max) {
    if (!this.days.length) return [min, max];
    const [first, last] = [this.days[0], this.days.at(-1)];
    return [first - this.half(first), last + this.half(last)];
  }

  /** The last sealed day is part of the dashed line only to connect it, so it has no open point. */
  openOnly(u, at) {
    const found = this.found[(at - 2) / 3 | 0];
    const indices = [];
    u.data[at].forEach((value, i) => {
      if (value !== null && found?.get(this.days[i])?.source === "speed") indices.push(i);
    });
    return indices;
  }

  /** Draws the background of open days, and the seal line. */
  ground(u, css) {
    const { left, top, width, height } = u.bbox, ctx = u.ctx, ratio = devicePixelRatio;
    if (!this.days.length) return;
    const end = this.sealed === null ? left : u.valToPos(this.sealed + this.half(this.sealed), "x", true);
    const x = Math.min(left + width, Math.max(left, end));
    ctx.save();
    ctx.fillStyle = css("--moving-soft");
    ctx.fillRect(x, top, left + width - x, height);
    if (this.sealed !== null && end >= left && end <= left + width) {
      ctx.strokeStyle = css("--moving");
      ctx.lineWidth = 1.5 * ratio;
      ctx.beginPath(); ctx.moveTo(x, top - 4 * ratio); ctx.lineTo(x, top + height); ctx.stroke();
      ctx.fillStyle = css("--moving");
      ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
      const text = `sealed through ${periodText(this.sealed, this.grain)}`;
      const isRight = x - left > ctx.measureText(text).width + 12 * ratio;
      ctx.textAlign = isRight ? "right" : "left";
      // Above the chart, so that it covers no lines.
      ctx.fillText(text, x + (isRight ? 1 : -1) * ratio, top - 7 * ratio);
    }
    ctx.restore();
  }

  moved(u) {
    if (u.cursor.idx === null || u.cursor.idx === undefined || u.cursor.left < 0) return;
    this.show(u.cursor.idx);
  }

  step(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -7, PageDown: 7, Home: -1e9, End: 1e9 };
    if (event.key === "Escape") { this.hide(); return; }
    if (!(event.key in steps) || !this.days.length) return;
    event.preventDefault();
    const from = this.at ?? (steps[event.key] < 0 ? this.days.length : -1);
    const at = Math.min(this.days.length - 1, Math.max(0, from + steps[event.key]));
    this.plot.setCursor({ left: this.plot.valToPos(this.days[at], "x"), top: 0 });
    this.show(at);
  }

  /** Shows the values of one day by layer. */
  show(at) {
    const day = this.days[at];
    if (day === undefined) return this.hide();
    this.at = at;
    const parts = [element("h3", periodText(day, this.grain))];
    this.lines.forEach((line, i) => {
      const found = this.found[i].get(day);
      if (this.lines.length > 1 || line.key) parts.push(pair(line.key ? keyText(line.key) : "all keys", "", "quiet"));
      if (!found) { parts.push(pair("no events", "", "quiet")); return; }
      const layers = [["batch", "src"], ["speed", "src speed"], ["amendments", "src both"]].filter(([layer]) => found[layer]);
      const values = [found.value, ...layers.map(([layer]) => found[layer])].map((one) => one?.[this.measure]);
      const [value, ...rest] = column(values, 6);
      parts.push(pair(label(this.measure), value));
      layers.forEach(([layer, style], at) => parts.push(pair(PARTS[layer], rest[at], style)));
      if (found.revision) parts.push(pair("revision", found.revision.replace(".000Z", "Z"), "quiet"));
    });
    this.tip.replaceChildren(...parts);
    this.tip.hidden = false;
    const x = this.place.offsetLeft + this.plot.valToPos(day, "x") + this.plot.bbox.left / devicePixelRatio;
    const room = this.place.offsetLeft + this.place.clientWidth - this.tip.offsetWidth;
    const beside = x + 14 > room ? x - this.tip.offsetWidth - 14 : x + 14;
    this.tip.style.transform = `translate(${Math.max(4, Math.min(room, beside))}px, ${this.place.offsetTop + 16}px)`;
  }

  hide() {
    this.at = null;
    this.tip.hidden = true;
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.place;
    if (this.plot && width > 0) this.plot.setSize({ width, height });
  }

  recolour() {
    this.shape = "";
    if (this.lines.length) this.draw(this.lines, this.measure, this.grain);
  }
}

/** Values without a neighbour. No line leads to them, so they are drawn as points. */
function alone(values) {
  const isThere = (at) => values[at] !== null && values[at] !== undefined;
  return [...values.keys()].filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
}

function scale(min, max) {
  if (min === null || max === null) return [0, 1];
  const low = Math.min(0, min), high = Math.max(0, max);
  const room = (high - low || 1) * 0.08;
  return [low < 0 ? low - room : 0, high > 0 ? high + room : 0];
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** The label of each tick that is at a day: a date, with the year where it changes. For hours, the hour. */
export function dates(at, grain = "day") {
  let year = null;
  return at.map((second) => {
    const date = new Date(second * 1e3);
    if (second % DAY !== 0) return grain === "hour" && second % 60 === 0 ? date.toISOString().slice(11, 16) : "";
    const text = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
    const full = date.getUTCFullYear() === year ? text : `${text} ${date.getUTCFullYear()}`;
    year = date.getUTCFullYear();
    return full;
  });
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function pair(left, right, style = "") {
  const made = document.createElement("p");
  made.className = style;
  made.append(element("span", left), element("span", right));
  return made;
}
