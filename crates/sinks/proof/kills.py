"""Kills the engine and the stores repeatedly; at the end the stores have exactly the engine's rows.

    kills.py --program target/debug/dayfold --rounds 3 [--seed N] [--ferretdb PROGRAM] [--kafka JARS] [--cassandra JARS]
        [--hbase JARS] [--tests COMMAND]

It starts Redis and PostgreSQL (`redis-server`, `initdb`, `pg_ctl`), FerretDB, Apache Kafka, Cassandra and HBase if they
are given, a receiver of the webhook, and a program that reads a growing file. In each round it appends rows, some of
them late, and kills the engine, a store, or both, or stops a store for a while. Meanwhile counts of rows in the stores
may only rise. After each round everything is idle, and the stores are compared row by row. At the end, each server
refuses a row.
"""

import argparse
import atexit
import concurrent.futures
import json
import os
import pathlib
import random
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from stores import VIEWS, Cassandra, Files, HBase, Kafka, MongoDb, Postgres, Redis, Webhook, free_port, plain_hour, text, wait_until

SHOPS = ["Oslo", "Rome", "a:b", "100%", "", "Ōsaka", "it's", '"q"', "x\\y", "line one"]
DAY = 86_400_000
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
url = "{redis}"
expire = "1d"
every = "1s"
[sinks.postgres]
url = "{postgres}?sslmode=require&sslrootcert={authority}"
every = "1s"
[sinks.files]
url = "file://answers"
every = "1s"
[sinks.hook]
url = "http://127.0.0.1:{hook}/answers"
secret_env = "HOOK_SECRET"
every = "1s"
"""
# FerretDB 1 has no Decimal128.
MONGODB = """
[sinks.mongodb]
url = "{mongodb}"
every = "1s"
"""
CASSANDRA = """
[sinks.cassandra]
url = "{cassandra}"
every = "1s"
"""
HBASE = """
[sinks.hbase]
url = "{hbase}"
every = "1s"
"""
KAFKA = """
[sinks.kafka]
url = "{kafka}"
every = "1s"
"""
# Some servers refuse a key of so many bytes.
LONG = "x" * 70_000
# The kills, and the rows that were equal after a round.
counts = {"kills": 0, "rows": 0}


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
            plain_hour(row)
            key = tuple(row.pop(column) for column in VIEWS[view])
            found[key] = {name: text(value) for name, value in row.items() if value is not None}
        return found


class Watcher(threading.Thread):
    """Checks that counts only rise."""

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


def is_null(store, key):
    """Whether a store refuses a key for a null: Cassandra has none in keys."""
    return isinstance(store, Cassandra) and None in key


def same(engine, stores, expected_events, refused):
    """The differences between the engine and a store. A store does not have the rows that it refuses."""
    status = engine.status()
    if status["events"] < 0 or any(sink["lag_events"] or not sink["in_step"] for sink in status["sinks"]):
        return "behind"
    equal = 0
    for view in VIEWS:
        expected = engine.rows(view)
        total = sum(int(row["sales"]) for row in expected.values())
        if total != expected_events:
            return f"{view}: the engine has {total} of {expected_events} events"
        for store in stores:
            found = store.rows(view)
            wanted = {key: row for key, row in expected.items() if type(store) not in refused.get(key, ()) and not is_null(store, key)}
            plain = {key: {name: value for name, value in row.items() if name not in ("as_of", "revision")} for key, row in found.items()}
            if plain != wanted:
                other = [(str(key)[:200], plain.get(key), wanted.get(key)) for key in plain.keys() | wanted.keys() if plain.get(key) != wanted.get(key)]
                return f"{type(store).__name__} {view}: {len(other)} rows differ, such as {other[:2]}"
            unsealed = [key for key, row in found.items() if row["sealed"] == "true" and "revision" not in row]
            if unsealed:
                return f"{type(store).__name__} {view}: sealed without a revision: {unsealed[:2]}"
            equal += len(found)
    counts["rows"] += equal
    return None


def wait_same(engine, stores, events, what, refused={}):
    """Waits until they are equal; returns how long it took."""
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
    """Rows that servers refuse are kept aside with the reason and delay nothing else, also after a restart."""
    there = {type(store): store for store in stores}
    redis, postgres, hook = there[Redis], there[Postgres], there[Webhook]
    day = time.strftime("%Y-%m-%d", time.gmtime(clock / 1000))
    redis.call("SET", f"dayfold:by-shop:{day}:taken", "something else")
    postgres.query("ALTER TABLE \"by-shop\" ADD CHECK (shop <> 'taken')")
    hook.refused = "taken"
    if MongoDb in there:
        # A later moment than any of a sink.
        there[MongoDb].collection("by-shop")[1].insert_one({"_id": f"{day}:taken", "as_of": 1 << 60})
    append(f"{clock},{clock},taken,1\n{clock},{clock},{LONG},1\n")
    reasons = {"redis": (Redis, "taken", "WRONGTYPE"), "postgres": (Postgres, "taken", "(23514)"), "hook": (Webhook, "taken", "it answers 422")}
    reasons |= {"mongodb": (MongoDb, "taken", "duplicate key"), "kafka": (Kafka, LONG, "max.message.bytes"), "cassandra": (Cassandra, LONG, "65535"), "hbase": (HBase, LONG, "32767")}
    reasons = {name: reason for name, reason in reasons.items() if reason[0] in there}
    refused = {(day, shop): [kind for kind, of, _ in reasons.values() if of == shop] for shop in ("taken", LONG)}
    wait_same(engine, stores, events, "refused", refused)
    engine.kill()
    engine.start()
    wait_same(engine, stores, events, "refused, after a start", refused)
    assert redis.call("GET", f"dayfold:by-shop:{day}:taken").strip() == b"something else"
    row = next(iter(redis.rows("by-hour")))[0].replace(":", "%3A")
    left = int(redis.call("TTL", f"dayfold:by-hour:{row}"))
    assert 0 < left <= 86_400, f"a row goes in {left} s"
    metrics = engine.get("/metrics")
    for name in ("rows_total", "refused_total", "lag_events", "lag_seconds", "failures"):
        assert f'dayfold_sink_{name}{{sink="redis",view="by-shop"}}' in metrics, metrics
    counts = {(sink["sink"], sink["view"]): sink["refused"] for sink in engine.status()["sinks"] if sink["refused"]}
    assert counts.keys() == {(name, "by-shop") for name in reasons}, counts
    for name, (_, shop, reason) in reasons.items():
        kept = (engine.folder / "data/sinks" / name / "refused.ndjson").read_text().splitlines()
        kept = [one for one in map(json.loads, kept) if one["row"]["shop"] is not None]
        assert kept and all((one["view"], one["row"]["day"], one["row"]["shop"]) == ("by-shop", day, shop) for one in kept), str(kept)[:500]
        assert all(reason in one["why"] for one in kept), str(kept)[:500]
        print(f"{name} refuses a row: {kept[-1]['why'][:200]}", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--program", required=True)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--ferretdb", help="the program of ferretdb.go; without it, MongoDB's protocol is left out")
    options.add_argument("--kafka", help="the folder of Kafka's jars; without it, Kafka is left out")
    options.add_argument("--cassandra", help="the folder of Cassandra's jars; without it, Cassandra is left out")
    options.add_argument("--hbase", help="the folder of HBase's jars; without it, HBase is left out")
    options.add_argument("--tests", help="a command that is run first, with the servers' URLs in DAYFOLD_SINK_REDIS and so on")
    options = options.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dayfold-sinks-"))
    folder.chmod(0o755)
    redis, postgres, files, hook = Redis(folder), Postgres(folder), Files(folder), Webhook(chance)
    mongodb = [MongoDb(options.ferretdb, folder, postgres)] if options.ferretdb else []
    kafka = [Kafka(options.kafka, folder)] if options.kafka else []
    cassandra = [Cassandra(options.cassandra, folder)] if options.cassandra else []
    hbase = [HBase(options.hbase, folder)] if options.hbase else []
    servers = [redis, postgres, hook, *mongodb, *kafka, *cassandra, *hbase]
    stores = [files, *servers]
    for server in servers:
        atexit.register(server.stop if server is postgres else server.kill)
    postgres.start()
    # The others take their time, but not each its own.
    with concurrent.futures.ThreadPoolExecutor() as threads:
        list(threads.map(lambda server: server.start(), [server for server in servers if server is not postgres]))
    if options.tests:
        urls = {f"DAYFOLD_SINK_{type(server).__name__.upper()}": server.url for server in servers if server is not hook}
        subprocess.run(shlex.split(options.tests), check=True, env={**os.environ, **urls})
    http = free_port()
    config = CONFIG.format(http=http, redis=redis.url, postgres=postgres.url, authority=postgres.authority, hook=hook.port)
    config += "".join(MONGODB.format(mongodb=server.url) for server in mongodb)
    config += "".join(CASSANDRA.format(cassandra=server.url) for server in cassandra)
    config += "".join(HBASE.format(hbase=server.url) for server in hbase)
    config += "".join(KAFKA.format(kafka=server.url) for server in kafka)
    (folder / "dayfold.toml").write_text(config)
    os.environ["HOOK_SECRET"] = Webhook.SECRET
    sales = open(folder / "sales.csv", "w")
    sales.write("at,arrived,shop,cents\n")
    clock, events = 1_700_000_000_000, 0

    def append(rows):
        nonlocal clock, events
        for _ in range(rows):
            clock += chance.randrange(60_000)
            # A tenth of the rows is late, by up to three days.
            late = chance.randrange(3 * DAY) if chance.random() < 0.1 else chance.randrange(600_000)
            sales.write(f"{clock - late},{clock},{quoted(chance.choice(SHOPS))},{chance.randrange(-500, 500)}\n")
        sales.flush()
        events += rows

    append(2_000)
    engine = Engine(str(pathlib.Path(options.program).resolve()), folder, http)
    atexit.register(lambda: engine.process and engine.kill())
    engine.start()
    watcher = Watcher(servers)
    watcher.start()
    for server in mongodb:
        wait_until("FerretDB has the collections", 120, server.has_collections)
    for number in range(options.rounds):
        done = []
        for _ in range(4):
            append(chance.randrange(50, 800))
            time.sleep(chance.random() * 0.8)
            one, other = chance.sample(servers, 2)
            victim = chance.choice([[engine], [one], [one], [engine, one], [engine, one], [one, other], "pause"])
            if victim == "pause":
                store = one
                done.append(f"pause {type(store).__name__}")
                store.pause(chance.random() * 2)
                continue
            chance.shuffle(victim)
            done.append("kill " + " and ".join(type(one).__name__ for one in victim))
            for one in victim:
                one.kill()
                counts["kills"] += 1
            append(chance.randrange(50, 300))
            # FerretDB reads the content of PostgreSQL only at its start.
            for one in sorted(chance.sample(victim, len(victim)), key=lambda one: one is not postgres):
                one.start()
        # A sync removes rows that no sink has written, and brings lost ones back.
        if number == options.rounds - 1:
            wait_same(engine, stores, events, f"round {number + 1}: {done}")
            redis.call("HSET", "dayfold:by-shop:2023-11-14:nobody", "sales", "1", "sealed", "true", "revision", "x", "as_of", "1")
            postgres.query("INSERT INTO \"by-shop\" (day, shop, sales, sealed, as_of) VALUES ('2001-01-01', 'nobody', 1, true, 1)")
            postgres.query("DELETE FROM \"by-shop\" WHERE shop = 'Oslo'")
            with open(files.folder / "by-shop.ndjson", "a") as journal:
                journal.write('{"day":"2001-01-01","shop":"nobody","sales":1,"sealed":true,"revision":null,"as_of":1}\n')
            with hook.lock:
                hook.held["by-shop"] = {key: row for key, row in hook.held["by-shop"].items() if key[1] != "Oslo"}
                hook.held["by-shop"][("2001-01-01", "nobody")] = {"sales": "1", "sealed": "true", "as_of": "1"}
            for server in mongodb:
                documents = server.collection("by-shop")[1]
                documents.insert_one({"_id": "2001-01-01:nobody", "day": "2001-01-01", "shop": "nobody", "sales": 1, "sealed": True, "as_of": 1})
                documents.delete_many({"shop": "Oslo"})
            for server in kafka:
                lost = [key for key in server.rows("by-shop") if key[1] == "Oslo"]
                record = {"day": "2001-01-01", "shop": "nobody"}
                nobody = (compact(record), compact(record | {"sales": 1, "sealed": True, "as_of": 1}))
                server.send("by-shop", [nobody, *((compact({"day": day, "shop": shop}), None) for day, shop in lost)])
            for server in cassandra:
                names = "day, shop, sales, sealed, as_of"
                server.query(f"INSERT INTO answers.by_shop ({names}) VALUES ('2001-01-01', 'nobody', 1, true, 1)")
                for day, shop in [key for key in server.rows("by-shop") if key[1] == "Oslo"]:
                    server.query(f"DELETE FROM answers.by_shop WHERE day = '{day}' AND shop = '{shop}'")
            for server in hbase:
                server.put("by-shop", "2001-01-01:nobody", {"day": '"2001-01-01"', "shop": '"nobody"', "sales": "1", "sealed": "true", "as_of": "1"}, 1)
                for key, row in server.found("by-shop").items():
                    if row["shop"] == '"Oslo"':
                        server.ask("DELETE", f"by-shop/{urllib.parse.quote(key)}/r/{row['as_of']}")
            watcher.end = True
            watcher.join()
            for sink in ("redis", "postgres", "files", "hook", *("mongodb" for _ in mongodb), *("kafka" for _ in kafka), *("cassandra" for _ in cassandra), *("hbase" for _ in hbase)):
                subprocess.run([engine.program, "sink", "sync", "dayfold.toml", sink], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            done.append("foreign and lost rows")
        took = wait_same(engine, stores, events, f"round {number + 1}: {done}")
        assert not watcher.wrong, f"rows went back: {watcher.wrong[:3]}"
        rows = sum(len(engine.rows(view)) for view in VIEWS)
        print(f"round {number + 1}: {', '.join(done)}; {events} events, {rows} rows equal in {took:.1f} s", flush=True)
    assert watcher.looks > 0 and not hook.wrong, hook.wrong
    assert hook.repeated > 0, "no message came twice: the test of the webhook's names shows nothing"

    def append_line(line):
        sales.write(line)
        sales.flush()

    plain = postgres.query("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'dayfold' AND NOT ssl")
    assert plain.split()[-1] == "0", plain
    refusal(engine, stores, events + 2, clock, append_line)
    engine.kill()
    check = [engine.program, "check", "dayfold.toml"]
    said = subprocess.run(check, cwd=folder, check=True, capture_output=True, text=True).stdout
    names = {"redis": "Redis", "postgres": "PostgreSQL", "files": "files", "hook": "the webhook"} | {"mongodb": "MongoDB" for _ in mongodb} | {"kafka": "Kafka" for _ in kafka} | {"cassandra": "Cassandra" for _ in cassandra} | {"hbase": "HBase" for _ in hbase}
    for sink in (f"{name}: {store}" for name, store in names.items()):
        assert f"sink {sink} can be reached" in said, said
    redis.kill()
    failed = subprocess.run(check, cwd=folder, capture_output=True, text=True)
    assert failed.returncode == 2 and "sinks.redis: Redis cannot be used now" in failed.stderr, failed
    postgres.run("pg_ctl", "-D", str(postgres.folder), "-m", "immediate", "stop", check=False)
    shutil.rmtree(folder)
    print(
        f"{options.rounds} rounds with {counts['kills']} kills: {len(stores)} stores and the engine are equal, {counts['rows']} rows "
        f"were compared; {watcher.looks} looks saw no row go back"
    )


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def quoted(shop):
    return '"' + shop.replace('"', '""') + '"'


if __name__ == "__main__":
    main()
