// Requests to the server. A failed request has an answer with a message, or no answer at all.

export class Refusal extends Error {}

/** The snapshot of a request is no longer kept. */
class Expired extends Error {}

/** Returns one answer. Throws `Refusal` with the server's message, or any other error if nobody answers. */
export async function ask(path, signal, method = "GET") {
  const response = await fetch(path, { method, signal, headers: { accept: "application/json" }, cache: "no-store" });
  if (response.status === 204) return null;
  const body = await response.json();
  if (!response.ok) {
    const message = body?.error?.message ?? `${response.status}`;
    if (response.status === 410) throw new Expired(message);
    if (response.status < 500) throw new Refusal(message);
    throw Object.assign(new Error(message), { code: body?.error?.code });
  }
  return body;
}

const SNAPSHOTS = "/api/snapshots";
/** Whether the server has snapshots. A server of single views has no moment that covers all of them. */
let hasSnapshots = true;

async function taken(tries = 20) {
  try {
    return (await ask(SNAPSHOTS, undefined, "POST")).snapshot;
  } catch (error) {
    // Other clients hold the maximum number of snapshots, which expire soon.
    if (error.code !== "busy" || tries === 0) throw error;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return taken(tries - 1);
  }
}

/** Runs `job` with the name of a snapshot: all answers with that name have one moment. */
export async function atOneMoment(job, tries = 2) {
  let snapshot = null;
  if (hasSnapshots) {
    try { snapshot = await taken(); } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      hasSnapshots = false;
    }
  }
  try {
    return await job(snapshot);
  } catch (error) {
    // The server was restarted, or this page was suspended.
    if (!(error instanceof Expired) || tries === 0) throw error;
    return atOneMoment(job, tries - 1);
  } finally {
    // Nobody waits for this; otherwise the snapshot expires after a while.
    if (snapshot) ask(`${SNAPSHOTS}/${snapshot}`, undefined, "DELETE").catch(() => {});
  }
}

/** The address of an endpoint of a view. Empty parameters are left out; lists are repeated. */
export function address(view, endpoint, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && (one !== "" || Array.isArray(value))) query.append(name, one);
    }
  }
  const text = query.toString();
  return `/api/views/${encodeURIComponent(view)}/${endpoint}${text ? "?" + text : ""}`;
}

/** A key in a request. In a nullable column, null is `\\N`, and a text that begins with a backslash gets one more. */
export function wired(view, key) {
  return key && key.map((part, at) => {
    if (!view.schema.key[at]?.nullable) return part;
    return part === null ? "\\N" : part.replace(/^\\/, "\\\\");
  });
}

/** Runs `job` on request, one at a time and at most once per `every` ms. A request meanwhile runs it once more. */
export function paced(every, job) {
  let running = false, again = false, last = 0;
  const turn = async () => {
    if (running) { again = true; return; }
    running = true;
    const wait = last + every - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    again = false;
    last = performance.now();
    try { await job(); } finally { running = false; }
    if (again) turn();
  };
  return turn;
}
