// A program with views of other schemas than the flights: many keys, hours, months, and refused rows.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, until } from "./harness.mjs";

const PROGRAM = process.env.PROGRAM ?? join(ROOT, "target/release/dayfold");

/** The number of users. User `i` has `USERS - i` points, so the ranking is known. */
export const USERS = 120_000;
/** The number of refused rows, each with its own text. */
export const REFUSED = 120;
/** The visits of each of the last days, today first. */
export const VISITS = [5, 0, 7, 1];

const FILE = `
[engine]
data = "data"

[sources.points]
type = "file"
path = "points.csv"
event_time = "at"

[sources.visits]
type = "file"
path = "visits.csv"
follow = true
event_time = "at"
columns = { ms = "integer" }

[views.by_user]
from = "points"
key = { user = "user" }
measures = { points = "sum(points)", rows = "count()" }

[views.by_hour]
from = "visits"
grain = "hour"
key = { page = "page" }
measures = { visits = "count()", time_spent = "sum(ms)" }
units = { time_spent = "ms" }

[views.by_day]
from = "visits"
key = { page = "page" }
measures = { visits = "count()" }

[views.by_month]
from = "points"
grain = "month"
measures = { points = "sum(points)" }

[serve]
http = "127.0.0.1:PORT"
`;

const HOUR = 3_600_000;

export class Program {
  constructor(port, folder) {
    Object.assign(this, { folder, at: `http://127.0.0.1:${port}` });
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "f.toml"), FILE.replace("PORT", port));
    const points = ["at,user,points"];
    for (let i = 0; i < USERS; i += 1) points.push(`2024-0${1 + Math.floor((4 * i) / USERS)}-05T10:00:00Z,u${String(i).padStart(6, "0")},${USERS - i}`);
    writeFileSync(join(folder, "points.csv"), points.join("\n") + "\n");
    const visits = ["at,page,ms"];
    // A few minutes after the beginning of a UTC day.
    const midnight = Math.floor(Date.now() / (24 * HOUR)) * 24 * HOUR;
    VISITS.forEach((count, day) => {
      for (let i = 0; i < count; i += 1) visits.push(`${new Date(midnight - day * 24 * HOUR + (i % 3) * 60_000).toISOString()},/${i % 2},${i}`);
    });
    visits.push(`${new Date(midnight - 40 * 24 * HOUR).toISOString()},/old,1`);
    for (let i = 0; i < REFUSED; i += 1) visits.push(`${new Date(midnight).toISOString()},"/bad, ${i}",many`);
    writeFileSync(join(folder, "visits.csv"), visits.join("\n") + "\n");
  }

  async start() {
    this.child = spawn(PROGRAM, ["run", "f.toml"], { cwd: this.folder, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    this.child.stderr.on("data", (text) => { said += text; });
    this.gone = once(this.child, "exit");
    const events = USERS + VISITS.reduce((all, count) => all + count) + 1;
    await until("the program has read its files", async () => {
      if (this.child.exitCode !== null) throw new Error(`the program has ended: ${said}`);
      return (await fetch(`${this.at}/api/status`)).json();
    }, (status) => status.events === events && status.refused === REFUSED, 60_000);
    return this;
  }

  async stop() {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill("SIGKILL");
    await this.gone;
  }
}
