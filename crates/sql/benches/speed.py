#!/usr/bin/env python3
"""How fast SQL is: beside the other questions over HTTP, beside DuckDB and PostgreSQL 15, and what it costs ingest.

    crates/sql/benches/speed.py DAYFOLD [ROWS]

DAYFOLD is the program with the feature `sql`, optimized. Needs duckdb and psycopg (as .ci/sql installs them), and
PostgreSQL 15 in /usr/lib/postgresql/15. All figures are of one run: medians, of statements that take turns.
"""
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import duckdb
import psycopg

PROGRAM = Path(sys.argv[1]).resolve()
ROWS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
KEYS = 100_000
FLIGHTS = Path(__file__).resolve().parents[3] / "examples/data/flights-2013.csv.gz"
PORT, POSTGRES_PORT, RAW_PORT = 18_473, 18_474, 18_475
TIMES, SCANS, INGESTED = 300, 5, 4_000_000

FILE = f"""
[engine]
data = "data"
workers = 2

[sources.flights]
type = "file"
path = "{FLIGHTS}"
event_time = "event_time"

[sources.big]
type = "file"
path = "big.csv"
event_time = "time"

[sources.more]
type = "file"
path = "more.csv"
follow = true
event_time = "time"

[views.by_carrier]
from = "flights"
zone = "America/New_York"
key = {{ carrier = "carrier" }}
measures = {{ flights = "count()", miles = "sum(distance)" }}

[views.big]
from = "big"
key = {{ id = "id" }}
measures = {{ n = "count()", cents = "sum(cents)" }}

[views.more]
from = "more"
key = {{ id = "id" }}
measures = {{ n = "count()", cents = "sum(cents)" }}

[serve]
http = "127.0.0.1:{PORT}"
postgres = "127.0.0.1:{POSTGRES_PORT}"
"""

# Name, path, statement over views, statement over raw flights.
QUESTIONS = [
    (
        "value",
        "/api/views/by_carrier/value?key=UA&from=2013-03-01&to=2013-05-31",
        "SELECT sum(flights) AS flights, sum(miles) AS miles FROM by_carrier"
        " WHERE carrier = 'UA' AND day BETWEEN '2013-03-01' AND '2013-05-31'",
        "SELECT count(*), sum(distance) FROM flights WHERE carrier = 'UA' AND"
        " event_time >= '2013-03-01 America/New_York' AND event_time < '2013-06-01 America/New_York'",
    ),
    (
        "series",
        "/api/views/by_carrier/series?key=UA&from=2013-03-01&to=2013-05-31",
        "SELECT day, flights, miles FROM by_carrier"
        " WHERE carrier = 'UA' AND day BETWEEN '2013-03-01' AND '2013-05-31' ORDER BY day",
        "SELECT (event_time AT TIME ZONE 'America/New_York')::date AS day, count(*), sum(distance) FROM flights WHERE"
        " carrier = 'UA' AND event_time >= '2013-03-01 America/New_York' AND event_time < '2013-06-01 America/New_York'"
        " GROUP BY 1 ORDER BY 1",
    ),
    (
        "top",
        "/api/views/by_carrier/top?by=flights&n=5&from=2013-01-01&to=2013-12-31",
        "SELECT carrier, sum(flights) AS flights, sum(miles) AS miles FROM by_carrier"
        " WHERE day BETWEEN '2013-01-01' AND '2013-12-31' GROUP BY carrier ORDER BY flights DESC LIMIT 5",
        "SELECT carrier, count(*) AS flights, sum(distance) FROM flights"
        " WHERE event_time >= '2013-01-01 America/New_York' AND event_time < '2014-01-01 America/New_York'"
        " GROUP BY carrier ORDER BY flights DESC LIMIT 5",
    ),
]

# Statements that need every row.
ALL_ROWS = [
    "SELECT count(*) AS n, sum(cents * 2) AS cents FROM big WHERE cents % 7 <> 3",
    "SELECT day, max(cents) AS most, min(cents) AS least FROM big GROUP BY day ORDER BY day",
    "SELECT id % 100 AS g, count(*) AS n, max(cents) AS most FROM big GROUP BY 1 ORDER BY 1",
]


def median_ms(times):
    return statistics.median(times) * 1_000


def texts(rows):
    return [[str(cell) for cell in row] for row in rows]


def timed(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


class Http:
    def __init__(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)

    def get(self, path):
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return json.loads(body)

    def sql(self, sql):
        body = json.dumps({"sql": sql})
        self.connection.request("POST", "/api/sql", body, {"content-type": "application/json"})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return json.loads(body)["rows"]


def wait_until(what, is_so, limit=900):
    until = time.monotonic() + limit
    while True:
        try:
            if is_so():
                return
        except OSError:
            pass
        assert time.monotonic() < until, f"{what} within {limit} s"
        time.sleep(0.02)


def rows_of(first_day, count):
    time = f"TIMESTAMP '{first_day}' + INTERVAL 12 HOUR + INTERVAL (i // {KEYS}) DAY"
    return (
        f"SELECT strftime({time}, '%Y-%m-%dT%H:%M:%SZ') AS time,"
        f" i % {KEYS} AS id, (i * 7919) % 1000003 AS cents FROM range({count}) t(i)"
    )


def questions(http_client, raw):
    dayfold = psycopg.connect(host="127.0.0.1", port=POSTGRES_PORT, user="me", dbname="dayfold", autocommit=True)
    print("| question | HTTP | `POST /api/sql` | PostgreSQL's protocol | PostgreSQL 15, raw flights |")
    print("|---|---|---|---|---|")
    for name, path, sql, raw_sql in QUESTIONS:
        ways = [
            lambda: http_client.get(path),
            lambda: http_client.sql(sql),
            lambda: dayfold.execute(sql).fetchall(),
            lambda: raw.execute(raw_sql).fetchall(),
        ]
        ours, theirs = dayfold.execute(sql).fetchall(), raw.execute(raw_sql).fetchall()
        assert texts(ours) == texts(theirs), (ours, theirs)
        for way in ways:
            timed(way)
        times = [[] for _ in ways]
        for _ in range(TIMES):
            for way, found in zip(ways[:3], times):
                found.append(timed(way))
        times[3] = [timed(ways[3]) for _ in range(10)]
        print(f"| {name} | " + " | ".join(f"{median_ms(found):.2f} ms" for found in times) + " |", flush=True)


def scans(http_client, duck):
    print(f"\n| over {ROWS:,} rows | Dayfold | DuckDB, Parquet | speed |\n|---|---|---|---|")
    for sql in ALL_ROWS:
        ours, theirs = [], []
        for _ in range(SCANS):
            rows = []
            ours.append(timed(lambda: rows.extend(http_client.sql(sql))))
            expected = []
            theirs.append(timed(lambda: expected.extend(duck.execute(sql).fetchall())))
            assert texts(rows) == texts(expected)
        speed = statistics.median(theirs) / statistics.median(ours)
        print(f"| `{sql}` | {median_ms(ours):.0f} ms | {median_ms(theirs):.0f} ms | {speed:.2f} |", flush=True)


def ingest(http_client, folder, number):
    """How many events a second are taken in: rows that are appended to a file, until all of them are visible."""
    before = http_client.get("/api/status")["events"]
    with open(folder / "more.csv", "ab") as file, open(folder / f"prepared-{number}.csv", "rb") as prepared:
        prepared.readline()
        rows = prepared.read()
        began = time.perf_counter()
        file.write(rows)
    wait_until("all events are in", lambda: http_client.get("/api/status")["events"] >= before + INGESTED)
    return INGESTED / (time.perf_counter() - began)


def beside(http_client, folder):
    alone = [ingest(http_client, folder, 0), ingest(http_client, folder, 1)]
    stop, counts = threading.Event(), [0] * 8

    def scan(at):
        client = Http()
        while not stop.is_set():
            client.sql(ALL_ROWS[at % len(ALL_ROWS)])
            counts[at] += 1

    threads = [threading.Thread(target=scan, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    with_scans = [ingest(http_client, folder, 2), ingest(http_client, folder, 3)]
    stop.set()
    for thread in threads:
        thread.join()
    again = ingest(http_client, folder, 4)
    alone.append(again)
    alone, with_scans = statistics.median(alone), statistics.median(with_scans)
    print(
        f"\ningest: {alone:,.0f} events/s alone, {with_scans:,.0f} beside eight scans ({sum(counts)} ended):"
        f" {with_scans / alone:.2f} of its speed",
        flush=True,
    )


def main():
    folder = Path(tempfile.mkdtemp(prefix="dayfold-speed-"))
    folder.chmod(0o755)
    running = raw_running = None
    try:
        (folder / "f.toml").write_text(FILE)
        duck = duckdb.connect()
        duck.execute(f"COPY ({rows_of('2023-01-01', ROWS)}) TO '{folder}/big.csv'")
        big = "SELECT CAST(time[:10] AS DATE) AS day, id, CAST(1 AS BIGINT) AS n, cents"
        big = f"{big} FROM ({rows_of('2023-01-01', ROWS)})"
        duck.execute(f"COPY ({big} ORDER BY day, id) TO '{folder}/big.parquet'")
        duck.execute(f"CREATE VIEW big AS SELECT * FROM '{folder}/big.parquet'")
        duck.execute(f"COPY (SELECT * FROM ({rows_of('2024-01-01', 1)})) TO '{folder}/more.csv'")
        for number in range(5):
            prepared = rows_of(f"2024-0{number + 2}-01", INGESTED)
            duck.execute(f"COPY ({prepared}) TO '{folder}/prepared-{number}.csv'")
        cluster, bin_folder = folder / "postgres", "/usr/lib/postgresql/15/bin"
        cluster.mkdir()
        shutil.chown(cluster, "postgres")
        as_postgres = ["runuser", "-u", "postgres", "--"]
        make = [*as_postgres, f"{bin_folder}/initdb", "-D", cluster, "-A", "trust"]
        subprocess.run(make, check=True, capture_output=True)
        serve = [*as_postgres, f"{bin_folder}/postgres", "-D", cluster, "-p", str(RAW_PORT), "-k", cluster]
        raw_running = subprocess.Popen(serve, stderr=subprocess.DEVNULL)
        running = subprocess.Popen([PROGRAM, "run", "f.toml"], cwd=folder, stderr=open(folder / "log", "w"))
        client = Http()

        def is_sealed():
            found = client.sql("SELECT sum(n) AS n FROM big WHERE sealed")[0][0]
            open_flights = "SELECT sum(flights) AS n FROM by_carrier WHERE day <= '2013-12-30' AND NOT sealed"
            flights = client.sql(open_flights)[0][0]
            return found is not None and int(found) >= ROWS - KEYS and flights is None

        def ask():
            try:
                return is_sealed()
            except (http.client.HTTPException, AssertionError):
                client.connection.close()
                return False

        wait_until("all days are sealed", ask)
        raw = psycopg.connect(host=str(cluster), port=RAW_PORT, user="postgres", autocommit=True)
        raw.execute(
            "CREATE TABLE flights (event_time timestamptz, ingest_time timestamptz, carrier text, origin text,"
            " dest text, tailnum text, arr_delay numeric, distance bigint)"
        )
        plain = subprocess.run(["zcat", FLIGHTS], check=True, capture_output=True).stdout
        with raw.cursor().copy("COPY flights FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(plain)
        raw.execute("CREATE INDEX ON flights (carrier, event_time)")
        raw.execute("VACUUM ANALYZE flights")
        print(f"load when it began: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n", flush=True)
        questions(client, raw)
        raw.close()
        scans(client, duck)
        beside(client, folder)
    finally:
        for process in (running, raw_running):
            if process:
                process.terminate()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
