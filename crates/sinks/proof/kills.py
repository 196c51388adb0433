"""Kills the engine and the stores again and again; at the end the stores have the engine's rows, and no others.

    kills.py --program target/debug/dayfold --rounds 3 [--seed N]

It starts Redis and PostgreSQL itself (`redis-server`, `initdb`, `pg_ctl`), and a program that reads a file which grows. In each
round it appends rows, late ones too, and kills the engine, a store, or both, or stops a store for a while. While it does, counts of
rows in the stores may rise only. After each round all is quiet, and the stores are compared row by row. At the end, Redis and
PostgreSQL refuse a row.
"""

import argparse
import atexit
import csv
import io
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

SHOPS = ["Oslo", "Rome", "a:b", "100%", "", "Ōsaka", "it's", '"q"', "x\\y", "line one"]
DAY = 86_400_000
VIEWS = {"by-shop": ["day", "shop"], "by-hour": ["hour"]}
CONFIG = """
[engine]
data = "data"
workers = 2
[sources.sales]
type = "file"
path = "sales.csv"
follow = true
format = {{ type = "csv" }}
event_time = "timestamp_millis(at)"
arrival = "timestamp_millis(arrived)"
columns = {{ at = "integer", arrived = "integer", shop = "text", cents = "integer" }}
[views.by-shop]
from = "sales"
zone = "UTC"
key = {{ shop = "shop" }}
measures = {{ sales = "count()", cents = "sum(cents)", worst = "min(cents)", clients = "distinct(cents)" }}
[views.by-hour]
from = "sales"
zone = "UTC"
grain = "hour"
key = {{}}
measures = {{ sales = "count()", mean = "mean(cents)" }}
[serve]
http = "127.0.0.1:{http}"
[sinks.redis]
url = "redis://127.0.0.1:{redis}"
expire = "1d"
every = "1s"
[sinks.postgres]
url = "postgresql://dayfold@127.0.0.1:{postgres}/postgres"
every = "1s"
[sinks.files]
url = "file://answers"
every = "1s"
"""


def free_port(taken=set()):
    """One that no connection gets while a server is down: Linux gives them ports from 32768 on."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as found:
            if port not in taken and found.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                return port


def wait_until(what, limit, condition):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {limit} s")
        time.sleep(0.05)


class Redis:
    def __init__(self, folder):
        self.folder, self.port, self.process = folder / "redis", free_port(), None
        self.folder.mkdir()

    def start(self):
        options = ["--port", str(self.port), "--dir", str(self.folder), "--appendonly", "yes", "--save", "", "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        wait_until("Redis starts", 120, lambda: self.call("PING").strip() == b"PONG")

    def call(self, *words, script=None):
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, input=script, capture_output=True).stdout

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def rows(self, view):
        """Rows by the parts of their names, as texts; without as_of."""
        script = (
            "local out = {} for _, name in ipairs(redis.call('KEYS', ARGV[1])) do if redis.call('TYPE', name).ok == 'hash' then "
            "local row = {} local all = redis.call('HGETALL', name) for i = 1, #all, 2 do row[all[i]] = all[i + 1] end "
            "out[name] = row end end return cjson.encode(out)"
        )
        said = self.call("EVAL", script, "0", f"dayfold:{view}:*")
        found = {}
        for name, row in (json.loads(said or b"{}") or {}).items():
            parts = [None if part == "%-" else part.replace("%3A", ":").replace("%25", "%") for part in name.split(":")[2:]]
            found[tuple(parts)] = row
        return found


class Postgres:
    def __init__(self, folder):
        self.folder, self.port = folder / "postgres", free_port()
        self.tools = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent
        self.as_user = []
        if os.geteuid() == 0:
            self.folder.mkdir()
            shutil.chown(self.folder, "postgres", "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        self.run("initdb", "-D", str(self.folder), "-U", "dayfold", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")

    def run(self, tool, *options, check=True):
        command = [*self.as_user, str(self.tools / tool), *options]
        return subprocess.run(command, cwd="/", check=check, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        command = ["pg_ctl", "-D", str(self.folder), "-o", options, "-l", str(self.folder / "log"), "-w", "-t", "150", "start"]
        # Processes of the one that was killed may still be going.
        wait_until("PostgreSQL starts", 180, lambda: self.run(*command, check=False).returncode == 0)

    def pids(self):
        parent = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True).stdout
        return [parent, *map(int, children.split())]

    def signal(self, pids, which):
        for pid in pids:
            # Those of connections come and go.
            try:
                os.kill(pid, which)
            except ProcessLookupError:
                pass

    def pause(self, seconds):
        pids = self.pids()
        self.signal(pids, signal.SIGSTOP)
        time.sleep(seconds)
        self.signal(pids, signal.SIGCONT)

    def kill(self):
        """As a crash: every process of the server, at once."""
        self.signal(self.pids(), signal.SIGKILL)
        wait_until("PostgreSQL is gone", 30, lambda: self.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), check=False).returncode != 0)
        time.sleep(0.3)

    def query(self, sql):
        command = ["psql", "-X", "-q", "--csv", "-h", "127.0.0.1", "-p", str(self.port), "-U", "dayfold", "postgres", "--pset=null=%-", "-c", sql]
        environment = {**os.environ, "PGTZ": "UTC"}
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout

    def rows(self, view):
        found = {}
        for row in csv.DictReader(io.StringIO(self.query(f'SELECT * FROM "{view}"'))):
            if "hour" in row:
                row["hour"] = row["hour"].replace("+00", "Z").replace(" ", "T")
            row = {name: None if value == "%-" else value for name, value in row.items()}
            key = tuple(row.pop(column) for column in VIEWS[view])
            found[key] = {name: {"t": "true", "f": "false"}.get(value, value) for name, value in row.items() if value is not None}
        return found


class Files:
    """The journal, read from the beginning."""

    def __init__(self, folder):
        self.folder = folder / "answers"

    def rows(self, view):
        found = {}
        path = self.folder / f"{view}.ndjson"
        for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
            if not line.endswith("\n"):
                break
            row = json.loads(line, parse_float=str, parse_int=str)
            if "removed" in row or "removed_all_but" in row:
                is_gone = (lambda day: day == row["removed"]) if "removed" in row else (lambda day: day not in row["removed_all_but"])
                found = {key: old for key, old in found.items() if not (is_gone(key[0]) and int(old["as_of"]) < int(row["as_of"]))}
                continue
            if "hour" in row:
                row["hour"] = row["hour"].replace(".000Z", "Z")
            key = tuple(row.pop(column) for column in VIEWS[view])
            found[key] = {name: text(value) for name, value in row.items() if value is not None}
        return found


def text(value):
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


class Engine:
    def __init__(self, program, folder, port):
        self.program, self.folder, self.port, self.process = program, folder, port, None
        self.log = open(folder / "log", "ab")

    def start(self):
        self.process = subprocess.Popen([self.program, "run", "dayfold.toml"], cwd=self.folder, stderr=self.log, stdout=self.log)
        wait_until("the engine starts", 180, self.is_ready)

    def is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the engine ended: {(self.folder / 'log').read_text()[-3000:]}")
        try:
            return self.get("/readyz") is not None
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def status(self):
        return json.loads(self.get("/api/status"))

    def rows(self, view):
        found = {}
        said = self.get(f"/api/views/{view}/rows?format=ndjson")
        for line in said.splitlines():
            row = json.loads(line, parse_float=str, parse_int=str)
            if "hour" in row:
                row["hour"] = row["hour"].replace(".000Z", "Z")
            key = tuple(row.pop(column) for column in VIEWS[view])
            found[key] = {name: text(value) for name, value in row.items() if value is not None}
        return found


class Watcher(threading.Thread):
    """Counts only rise."""

    def __init__(self, stores):
        super().__init__(daemon=True)
        self.stores, self.highest, self.wrong, self.looks, self.end = stores, {}, [], 0, False

    def run(self):
        while not self.end:
            for store in self.stores:
                for view in VIEWS:
                    try:
                        rows = store.rows(view)
                    except (json.JSONDecodeError, OSError):
                        continue
                    self.looks += 1
                    for key, row in rows.items():
                        place, count = (type(store).__name__, view, key), int(row.get("sales", -1))
                        if count < self.highest.get(place, 0):
                            self.wrong.append((place, self.highest[place], count))
                        self.highest[place] = max(count, self.highest.get(place, 0))
            time.sleep(0.1)


def same(engine, stores, expected_events, refused=None):
    """What differs between the engine and a store, if anything does. A server does not have the row that it refuses."""
    status = engine.status()
    if status["events"] < 0 or any(sink["lag_events"] or not sink["in_step"] for sink in status["sinks"]):
        return "behind"
    for view in VIEWS:
        expected = engine.rows(view)
        total = sum(int(row["sales"]) for row in expected.values())
        if total != expected_events:
            return f"{view}: the engine has {total} of {expected_events} events"
        for store in stores:
            found = store.rows(view)
            wanted = {key: row for key, row in expected.items() if key != refused or isinstance(store, Files)}
            plain = {key: {name: value for name, value in row.items() if name not in ("as_of", "revision")} for key, row in found.items()}
            if plain != wanted:
                other = [(key, plain.get(key), wanted.get(key)) for key in plain.keys() | wanted.keys() if plain.get(key) != wanted.get(key)]
                return f"{type(store).__name__} {view}: {len(other)} rows differ, such as {other[:2]}"
            unsealed = [key for key, row in found.items() if row["sealed"] == "true" and "revision" not in row]
            if unsealed:
                return f"{type(store).__name__} {view}: sealed without a revision: {unsealed[:2]}"
    return None


def wait_same(engine, stores, events, what, refused=None):
    """Waits until they are equal; says how long it took."""
    began, said = time.monotonic(), [None]

    def is_same():
        try:
            said[0] = same(engine, stores, events, refused)
        except (OSError, ValueError) as error:
            said[0] = str(error)
        return said[0] is None

    try:
        wait_until("the stores are in step", 300, is_same)
    except SystemExit as error:
        raise SystemExit(f"{what}: {error}: {said[0]}\n{json.dumps(engine.status()['sinks'], indent=1)}\n{engine.folder}")
    return time.monotonic() - began


def refusal(engine, stores, events, clock, append):
    """A row that both servers refuse is kept aside with the reason, and holds nothing else up; after a start, too."""
    redis, postgres, _ = stores
    day = time.strftime("%Y-%m-%d", time.gmtime(clock / 1000))
    redis.call("SET", f"dayfold:by-shop:{day}:taken", "something else")
    postgres.query("ALTER TABLE \"by-shop\" ADD CHECK (shop <> 'taken')")
    append(f"{clock},{clock},taken,1\n")
    wait_same(engine, stores, events, "refused", (day, "taken"))
    engine.kill()
    engine.start()
    wait_same(engine, stores, events, "refused, after a start", (day, "taken"))
    assert redis.call("GET", f"dayfold:by-shop:{day}:taken").strip() == b"something else"
    row = next(iter(redis.rows("by-hour")))[0].replace(":", "%3A")
    left = int(redis.call("TTL", f"dayfold:by-hour:{row}"))
    assert 0 < left <= 86_400, f"a row goes in {left} s"
    metrics = engine.get("/metrics")
    for name in ("rows_total", "refused_total", "lag_events", "lag_seconds", "failures"):
        assert f'dayfold_sink_{name}{{sink="redis",view="by-shop"}}' in metrics, metrics
    counts = {(sink["sink"], sink["view"]): sink["refused"] for sink in engine.status()["sinks"] if sink["refused"]}
    assert counts.keys() == {("redis", "by-shop"), ("postgres", "by-shop")}, counts
    for name, reason in (("redis", "is no hash"), ("postgres", "(23514)")):
        kept = (engine.folder / "data/sinks" / name / "refused.ndjson").read_text().splitlines()
        kept = [json.loads(line) for line in kept]
        assert kept and all((one["view"], one["row"]["day"], one["row"]["shop"]) == ("by-shop", day, "taken") for one in kept), kept
        assert all(reason in one["why"] for one in kept), kept
        print(f"{name} refuses a row: {kept[-1]['why']}", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--program", required=True)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options = options.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dayfold-sinks-"))
    folder.chmod(0o755)
    redis, postgres, files = Redis(folder), Postgres(folder), Files(folder)
    stores = [redis, postgres, files]
    redis.start()
    postgres.start()
    http = free_port()
    (folder / "dayfold.toml").write_text(CONFIG.format(http=http, redis=redis.port, postgres=postgres.port))
    sales = open(folder / "sales.csv", "w")
    sales.write("at,arrived,shop,cents\n")
    clock, events = 1_700_000_000_000, 0

    def append(rows):
        nonlocal clock, events
        for _ in range(rows):
            clock += chance.randrange(60_000)
            # A tenth is late, by up to three days.
            late = chance.randrange(3 * DAY) if chance.random() < 0.1 else chance.randrange(600_000)
            sales.write(f"{clock - late},{clock},{quoted(chance.choice(SHOPS))},{chance.randrange(-500, 500)}\n")
        sales.flush()
        events += rows

    atexit.register(lambda: (redis.kill(), postgres.run("pg_ctl", "-D", str(postgres.folder), "-m", "immediate", "stop", check=False)))
    append(2_000)
    engine = Engine(str(pathlib.Path(options.program).resolve()), folder, http)
    atexit.register(lambda: engine.process and engine.kill())
    engine.start()
    watcher = Watcher([redis, postgres])
    watcher.start()
    for number in range(options.rounds):
        done = []
        for _ in range(4):
            append(chance.randrange(50, 800))
            time.sleep(chance.random() * 0.8)
            victim = chance.choice([[engine], [redis], [postgres], [engine, redis], [engine, postgres], [redis, postgres], "pause"])
            if victim == "pause":
                store = chance.choice([redis, postgres])
                done.append(f"pause {type(store).__name__}")
                store.pause(chance.random() * 2)
                continue
            chance.shuffle(victim)
            done.append("kill " + " and ".join(type(one).__name__ for one in victim))
            for one in victim:
                one.kill()
            append(chance.randrange(50, 300))
            for one in chance.sample(victim, len(victim)):
                one.start()
        # What nobody has written goes, and what was lost comes back, when the sink is told to compare.
        if number == options.rounds - 1:
            wait_same(engine, stores, events, f"round {number + 1}: {done}")
            redis.call("HSET", "dayfold:by-shop:2023-11-14:nobody", "sales", "1", "sealed", "true", "revision", "x", "as_of", "1")
            postgres.query("INSERT INTO \"by-shop\" (day, shop, sales, sealed, as_of) VALUES ('2001-01-01', 'nobody', 1, true, 1)")
            postgres.query("DELETE FROM \"by-shop\" WHERE shop = 'Oslo'")
            with open(files.folder / "by-shop.ndjson", "a") as journal:
                journal.write('{"day":"2001-01-01","shop":"nobody","sales":1,"sealed":true,"revision":null,"as_of":1}\n')
            watcher.end = True
            watcher.join()
            for sink in ("redis", "postgres", "files"):
                subprocess.run([engine.program, "sink", "sync", "dayfold.toml", sink], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            done.append("foreign and lost rows")
        took = wait_same(engine, stores, events, f"round {number + 1}: {done}")
        assert not watcher.wrong, f"rows went back: {watcher.wrong[:3]}"
        rows = sum(len(engine.rows(view)) for view in VIEWS)
        print(f"round {number + 1}: {', '.join(done)}; {events} events, {rows} rows equal in {took:.1f} s", flush=True)
    assert watcher.looks > 0

    def append_line(line):
        sales.write(line)
        sales.flush()

    refusal(engine, stores, events + 1, clock, append_line)
    engine.kill()
    check = [engine.program, "check", "dayfold.toml"]
    said = subprocess.run(check, cwd=folder, check=True, capture_output=True, text=True).stdout
    for sink in ("redis: Redis", "postgres: PostgreSQL", "files: files"):
        assert f"sink {sink} can be reached" in said, said
    redis.kill()
    failed = subprocess.run(check, cwd=folder, capture_output=True, text=True)
    assert failed.returncode == 2 and "sinks.redis: Redis cannot be used now" in failed.stderr, failed
    postgres.run("pg_ctl", "-D", str(postgres.folder), "-m", "immediate", "stop", check=False)
    shutil.rmtree(folder)
    print(f"{options.rounds} rounds: stores and engine are equal, row by row; {watcher.looks} looks saw no row go back")


def quoted(shop):
    return '"' + shop.replace('"', '""') + '"'


if __name__ == "__main__":
    main()
