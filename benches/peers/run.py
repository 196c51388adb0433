#!/usr/bin/env python3
"""Compares Dayfold with DuckDB and Polars: the same work on the same files, with equal results before any time is shown.

    benches/peers/run.py            # 3.3 million flights of one year, and of ten; medians of five runs
    benches/peers/run.py --short    # the flights of a year, once: for the results alone

It builds the examples `replay` and `dashboard`, and installs the peers from PyPI, in the versions of
requirements.txt, into an environment of its own beside the builds. Files are made from the flights in examples/data.

What is timed: of Dayfold the whole process, from its start to its end; of a peer the work alone, from the
opening of the file to the written result, in a process that has loaded the library before. Questions are timed one
after the other over one connection.
"""

import argparse
import csv
import gzip
import http.client
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLIGHTS = ROOT / "examples/data/flights-2013.csv.gz"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
VALUES = ["arr_delay", "distance"]
STATISTICS = ["count", "sum", "min", "max", "mean", "p50", "p99"]
NAMES = ["day", "carrier", "rows"] + [f"{value}_{what}" for value in VALUES for what in STATISTICS] + ["aircraft"]


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--short", action="store_true", help="one year, one run: compares results only")
    options.add_argument("--runs", type=int, default=5, help="runs of each, of which the median is shown")
    options = options.parse_args()
    runs, times = (1, 1) if options.short else (options.runs, 10)
    cargo = ["cargo", "build", "--release", "--locked"]
    subprocess.run([*cargo, "--example", "replay", "--example", "dashboard"], cwd=ROOT, check=True)
    python = environment()
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        shapes = ["one year"] if options.short else ["one year", "ten years"]
        rows = [make(place / shape, shape, times) for shape in shapes][0]
        print(f"{machine()}; {rows:,} flights; medians of {runs}\n")
        table = []
        for shape in shapes:
            for form in ("csv", "json"):
                for workers in (1, 2):
                    table.append(fold(python, place / shape, shape, form, workers, runs))
        table += questions(python, place, 3 if options.short else 200)
    print(f"{'':69}{'Dayfold':>10}{'DuckDB':>10}{'Polars':>10}{'to DuckDB':>11}")
    for name, ours, duckdb, polars in table:
        cells = [f"{seconds * 1000:.1f} ms" if seconds else "" for seconds in (ours, duckdb, polars)]
        print(f"{name:69}{cells[0]:>10}{cells[1]:>10}{cells[2]:>10}{ours / duckdb:>11.2f}")
    print("\nall results are equal")


def environment():
    """An environment with the peers, created once."""
    folder = TARGET / "peers"
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
    return python


def machine():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if os.path.exists("/proc/cpuinfo") else None
    peers = " and ".join((HERE / "requirements.txt").read_text().split()).replace("==", " ")
    return f"{found.group(1) if found else platform.machine()}, {os.cpu_count()} processors, {peers}"


def make(place, shape, times):
    """The flights of 2013 so many times, as CSV and as JSON lines; the number of rows.

    One year has each flight so often, by one of three aircraft: distinct counts of a day are exact then. Ten years have
    it once a year. So both have as many rows, and ten years have a tenth as many a day: nine hundred.
    """
    place.mkdir()
    header, *rows = gzip.open(FLIGHTS, "rt").read().splitlines()
    names = header.split(",")
    tail = names.index("tailnum")

    def of_one_year():
        for row in rows:
            for number in range(times):
                cells = row.split(",")
                if cells[tail]:
                    cells[tail] += str(number % 3)
                yield cells

    def of_years():
        for year in range(2013 - times + 1, 2014):
            for row in rows:
                cells = row.split(",")
                for at in (0, 1):
                    cells[at] = str(int(cells[at][:4]) - 2013 + year) + cells[at][4:]
                yield cells

    with open(place / "flights.csv", "w") as as_csv, open(place / "flights.jsonl", "w") as as_json:
        as_csv.write(header + "\n")
        for cells in of_one_year() if shape == "one year" else of_years():
            as_csv.write(",".join(cells) + "\n")
            fields = {name: cell for name, cell in zip(names, cells) if cell != ""}
            for name in VALUES:
                if name in fields:
                    fields[name] = int(fields[name])
            as_json.write(json.dumps(fields, separators=(",", ":")) + "\n")
    return len(rows) * times


def fold(python, place, shape, form, workers, runs):
    """By UTC day and carrier: count; seven statistics of two columns; distinct tail numbers."""
    file = place / ("flights.csv" if form == "csv" else "flights.jsonl")
    ours = [str(TARGET / "release/examples/replay"), str(file), "--time", "event_time", "--key", "carrier"]
    ours += ["--value", ",".join(VALUES), "--distinct", "tailnum", "-w", str(workers), "--out"]
    times, expect = {}, None
    for name in ("dayfold", "duckdb", "polars"):
        if name == "polars" and form == "json":
            continue
        out = place / f"{name}.csv"
        for _ in range(runs):
            if name == "dayfold":
                started = time.perf_counter()
                subprocess.run([*ours, str(out)], check=True, stderr=subprocess.DEVNULL)
                seconds = time.perf_counter() - started
            else:
                # Polars reads its number of threads only from there.
                environ = os.environ | {"POLARS_MAX_THREADS": str(workers)}
                command = [python, HERE / "peer.py", name, "fold", str(file), str(out), str(workers)]
                ran = subprocess.run(command, check=True, env=environ, stdout=subprocess.PIPE)
                seconds = float(ran.stdout)
            times.setdefault(name, []).append(seconds)
        found = rows_of(out)
        expect = expect or found
        same(name, expect, found)
    times = {name: statistics.median(of) for name, of in times.items()}
    threads = "1 thread" if workers == 1 else f"{workers} threads"
    return (f"statistics by day and carrier, {shape}, {form.upper()}, {threads}", times["dayfold"], times["duckdb"], times.get("polars"))


def rows_of(path):
    """Rows by name, as numbers and texts; means rounded to six digits, as exact ones and those of doubles agree there."""
    def cell(text):
        try:
            return round(float(text), 6)
        except ValueError:
            return text
    with open(path, newline="") as file:
        _, *rows = csv.reader(file)
    return [dict(zip(NAMES, map(cell, row), strict=True)) for row in rows]


def same(name, expect, found):
    assert len(expect) == len(found), f"{name}: {len(found)} rows, expected {len(expect)}"
    for left, right in zip(expect, found):
        assert all(close(left, right, of) for of in NAMES), f"{name}: {right}, expected {left}"


def close(left, right, name):
    """Whether values are equal. Quantiles of more than 1,000 values are within 0.1 % of the exact ones."""
    column, _, what = name.rpartition("_")
    left_value, right_value = left[name], right[name]
    bound = 2e-6
    if what in ("p50", "p99") and left[f"{column}_count"] > 1_000:
        bound = max(bound, 0.001 * abs(right_value))
    is_number = isinstance(left_value, float) and isinstance(right_value, float)
    return left_value == right_value or (is_number and abs(left_value - right_value) <= bound)


def questions(python, place, asked):
    """Over all flights of 2013: a warm server, beside DuckDB over the raw rows in memory."""
    command = [python, HERE / "peer.py", "duckdb", "ask", str(FLIGHTS), str(os.cpu_count()), str(asked)]
    peer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    served = [str(TARGET / "release/examples/dashboard"), "--pace", "max", "--port", "0", "--data", str(place / "dashboard")]
    server = subprocess.Popen(served, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = next(line for line in server.stderr if line.startswith("http://")).strip().rstrip("/")
        client = http.client.HTTPConnection(address.removeprefix("http://"))

        def ask(path):
            client.request("GET", path)
            answer = client.getresponse()
            body = answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {body[:300]}"
            return json.loads(body)

        deadline = time.monotonic() + 120
        def is_sealed():
            status = ask("/api/status")
            sources = status["sources"]
            return sources and sources[0]["ended"] and all(view["unsealed_days"] == 0 for view in status["views"])

        while not is_sealed():
            assert time.monotonic() < deadline, "the flights were not sealed within two minutes"
            time.sleep(0.2)
        table = []
        for name, path, read in QUESTIONS:
            found = read(ask(path))
            assert found == peer[name]["answer"], f"{name}: {found}, expected {peer[name]['answer']}"
            times = []
            for _ in range(asked):
                started = time.perf_counter()
                ask(path)
                times.append(time.perf_counter() - started)
            table.append((f"{name}, over HTTP", statistics.median(times), peer[name]["seconds"], None))
        return table
    finally:
        server.terminate()
        server.wait()


def whole(answer):
    value = answer["value"]
    return [value["flights"], value["miles"], value["mean_delay"]]


# The HTTP queries, and the compared part of their answers; peer.py has the same queries in SQL.
QUESTIONS = [
    ("all flights of 2013", "/api/views/by-route/total", whole),
    ("one carrier over the year", "/api/views/by-carrier/value?key=UA", whole),
    ("top ten routes of the year", "/api/views/by-route/top?by=flights&n=10",
     lambda answer: [[*row["key"], row["value"]["flights"]] for row in answer["rows"]]),
]

if __name__ == "__main__":
    main()
