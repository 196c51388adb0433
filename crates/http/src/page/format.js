// Numbers in the server's form: those beyond 2^53 or with digits after the point are strings, and stay strings. Only the
// chart converts them to floats.

const THIN = "\u202f";

/** Groups the digits of an integer in threes. */
function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** A number for people: digits grouped, from `least` to `places` after the point, rounded half up on the text. */
export function show(value, places = 2, least = 0) {
  if (value === null || value === undefined) return "–";
  const parts = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(value));
  if (!parts) return String(value);
  const [, sign, whole, fraction = ""] = parts;
  let digits = BigInt(whole + fraction.slice(0, places).padEnd(places, "0"));
  if (fraction.length > places && fraction[places] >= "5") digits += 1n;
  const text = digits.toString().padStart(places + 1, "0");
  const rest = text.slice(text.length - places).replace(/0+$/, "").padEnd(least, "0");
  const shown = grouped(text.slice(0, text.length - places)) + (rest ? "." + rest : "");
  return (sign && digits !== 0n ? "\u2212" : "") + shown;
}

/** The numbers of a column, all with as many digits after the point as the longest, so that the points align. */
export function column(values, places = 2) {
  const digits = (value) => (show(value, places).split(".")[1] ?? "").length;
  const least = values.reduce((most, value) => Math.max(most, digits(value)), 0);
  return values.map((value) => show(value, places, least));
}

/** A number for the chart; null if there is none. */
export function float(value) {
  const number = value === null || value === undefined ? NaN : Number(value);
  return Number.isFinite(number) ? number : null;
}

export function micros(us) {
  if (us === null || us === undefined) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  return us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(ms)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  return count < 2 ** 30 ? `${Math.round(count / 2 ** 20)} MiB` : `${(count / 2 ** 30).toFixed(1)} GiB`;
}

/** A column of a key as text; the view may have null keys. */
export function partText(part) {
  if (part === null) return "(none)";
  return part === "" ? "(empty)" : part;
}

export function keyText(key) {
  return key.map(partText).join(" → ");
}

/** The units of the measures of the shown view. */
let units = {};

export function setUnits(schema) {
  units = Object.fromEntries((schema?.measures ?? []).map(({ name, unit }) => [name, unit]));
}

/** The readable name of a measure, with its unit. */
export function label(measure) {
  const name = (measure ?? "no measure").replaceAll("_", " ");
  return units[measure] ? `${name} (${units[measure]})` : name;
}

/** The same at the beginning of a heading. */
export function title(measure) {
  return label(measure).replace(/^./u, (first) => first.toUpperCase());
}

/** The page's words for the layers of an answer, by the server's names. */
export const PARTS = { batch: "sealed", speed: "open", amendments: "late", both: "sealed, then late" };

const DAY = 86400;

/** The number of a day since 1970; days are dates without a zone. */
export function dayNumber(day) {
  return Date.parse(day + "T00:00:00Z") / 1000 / DAY;
}

export function dayText(number) {
  return new Date(number * DAY * 1000).toISOString().slice(0, 10);
}

/** The beginning of a period in seconds since 1970: of a date without a zone, or of an hour (its first minute in UTC). */
export function periodStart(name) {
  return Date.parse(name.includes("T") ? name : `${name}T00:00:00Z`) / 1000;
}

/** The server's name of the period that begins then. */
export function periodText(start, grain) {
  const text = new Date(start * 1000).toISOString();
  return grain === "hour" ? `${text.slice(0, 19)}Z` : text.slice(0, 10);
}

const MONTHS = { month: 1, quarter: 3, year: 12 };

/** The beginning of the next period. */
export function nextPeriod(start, grain) {
  if (grain in MONTHS) {
    const date = new Date(start * 1000);
    return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + MONTHS[grain], 1) / 1000;
  }
  return start + ({ hour: DAY / 24, week: 7 * DAY }[grain] ?? DAY);
}

