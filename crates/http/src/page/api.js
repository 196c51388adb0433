// Asking the server. A failure is either an answer with a sentence in it, or nobody there.

export class Refusal extends Error {}

/** One answer. Throws `Refusal` with the server's sentence, or any other error if nobody answers. */
export async function ask(path, signal) {
  const response = await fetch(path, { signal, headers: { accept: "application/json" }, cache: "no-store" });
  const body = await response.json();
  if (!response.ok) {
    const message = body?.error?.message ?? `${response.status}`;
    if (response.status < 500) throw new Refusal(message);
    throw new Error(message);
  }
  return body;
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

/** A key as the server is asked for it: where a column may be null, null is `\\N`, and a text behind a backslash has one more. */
export function wired(view, key) {
  return key && key.map((part, at) => {
    if (!view.schema.key[at]?.nullable) return part;
    return part === null ? "\\N" : part.replace(/^\\/, "\\\\");
  });
}

/** Runs `job` when asked to, one at a time and at most once per `every` ms; asked meanwhile, once more. */
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
