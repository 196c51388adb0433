"""Runs the peers, each call in its own process. run.py calls it; see there for what is timed.

    peer.py duckdb|polars fold FILE OUT THREADS         prints seconds
    peer.py duckdb ask FILE THREADS TIMES          prints answers and median seconds as JSON
"""

import json
import statistics
import sys
import time

VALUES = ["arr_delay", "distance"]
# A discrete quantile is the value at rank ceil(q * n), as in Dayfold.
STATISTICS = ", ".join(
    f"count({v}), coalesce(sum({v}), 0), min({v}), max({v}), avg({v}), quantile_disc({v}, 0.5), quantile_disc({v}, 0.99)"
    for v in VALUES
)
# Queries over all flights, over one carrier, and for ten routes, as in QUESTIONS of run.py.
WHOLE = "SELECT count(*), sum(distance)::BIGINT, printf('%.2f', avg(arr_delay)) FROM flights"
ASKED = {
    "all flights of 2013": WHOLE,
    "one carrier over the year": f"{WHOLE} WHERE carrier = 'UA'",
    "top ten routes of the year": "SELECT origin, dest, count(*) FROM flights GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT 10",
}


def csv_source(file):
    # Without a zone, because days are in UTC, and zones are an extension of DuckDB.
    return f"read_csv('{file}', types = {{event_time: 'TIMESTAMP', ingest_time: 'TIMESTAMP'}})"


def duckdb_fold(file, out, threads):
    import duckdb

    started = time.perf_counter()
    db = duckdb.connect(config={"threads": threads})
    if file.endswith(".csv"):
        source = csv_source(file)
    else:
        columns = "event_time: 'TIMESTAMP', carrier: 'VARCHAR', tailnum: 'VARCHAR', arr_delay: 'BIGINT', distance: 'BIGINT'"
        source = f"read_json('{file}', format = 'newline_delimited', columns = {{{columns}}})"
    db.execute(
        f"COPY (SELECT event_time::DATE AS day, carrier, count(*), {STATISTICS}, count(DISTINCT tailnum) "
        f"FROM {source} GROUP BY ALL ORDER BY 1, 2) TO '{out}' (HEADER)"
    )
    return time.perf_counter() - started


def polars_fold(file, out, _threads):
    import polars as pl

    started = time.perf_counter()
    columns = [pl.len().alias("events")]
    for v in VALUES:
        c = pl.col(v)
        ranked = [c.drop_nulls().sort().get((q * c.count() - 1e-9).ceil().cast(pl.Int64) - 1, null_on_oob=True).alias(f"{v}_{q}")
                  for q in (0.5, 0.99)]
        columns += [c.count().alias(f"{v}_count"), c.sum().alias(f"{v}_sum"), c.min().alias(f"{v}_min"),
                    c.max().alias(f"{v}_max"), c.mean().alias(f"{v}_mean"), *ranked]
    columns.append(pl.col("tailnum").drop_nulls().n_unique().alias("tailnum_distinct"))
    rows = pl.scan_csv(file, try_parse_dates=True).with_columns(pl.col("event_time").dt.date().alias("day"))
    rows.group_by("day", "carrier").agg(columns).sort("day", "carrier").collect(engine="streaming").write_csv(out)
    return time.perf_counter() - started


def duckdb_ask(file, threads, times):
    import duckdb

    db = duckdb.connect(config={"threads": threads})
    db.execute(f"CREATE TABLE flights AS SELECT * FROM {csv_source(file)}")
    answers = {}
    for name, sql in ASKED.items():
        taken = []
        for _ in range(times):
            started = time.perf_counter()
            rows = db.execute(sql).fetchall()
            taken.append(time.perf_counter() - started)
        answer = list(rows[0]) if len(rows) == 1 else [list(row) for row in rows]
        answers[name] = {"answer": answer, "seconds": statistics.median(taken)}
    return answers


if __name__ == "__main__":
    peer, what, *rest = sys.argv[1:]
    if what == "fold":
        print({"duckdb": duckdb_fold, "polars": polars_fold}[peer](rest[0], rest[1], int(rest[2])))
    else:
        print(json.dumps(duckdb_ask(rest[0], int(rest[1]), int(rest[2]))))
