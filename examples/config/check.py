#!/usr/bin/env python3
"""Runs the files of this folder, and compares their answers with DuckDB's over the raw rows.

    examples/config/check.py PROGRAM FOLDER [SEED]

FOLDER takes the data. Then expressions at random are compared, row by row. `.ci/program` calls it.
"""
import csv
import datetime
import io
import pathlib
import random
import subprocess
import sys
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM, FOLDER = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()


def dayfold(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != code:
        sys.exit(f"dayfold {arguments}: exit code {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
    return done.stdout


def run(file, name, *arguments):
    data = FOLDER / name
    dayfold("check", file)
    dayfold("run", file, "--once", "--data", data, *arguments)
    return lambda sql: dayfold("query", file, sql, "--format", "csv", "--data", data)


def rows(text):
    """The rows of a CSV without their header, as a sorted list."""
    return sorted(tuple(row) for row in list(csv.reader(io.StringIO(text)))[1:])


def same(what, found, expected):
    """Numbers are equal by value, everything else as it is printed."""
    if len(found) != len(expected):
        sys.exit(f"{what}: {len(found)} rows, expected {len(expected)}")
    for one, other in zip(found, expected):
        for left, right in zip(one, other, strict=True):
            if left != right and not (left and right and number(left) is not None and number(left) == number(right)):
                sys.exit(f"{what}: found {one}\n{' ' * len(what)}  expected {other}")
    print(f"{what}: {len(found)} rows, the same")


def number(text):
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


def duck(sql):
    def shown(value):
        if value is None:
            return ""
        return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)

    with duckdb.connect() as connection:
        return sorted(tuple(map(shown, row)) for row in connection.sql(sql).fetchall())


def flights():
    expected = (ROOT / "tests/data/flights-2013.by-carrier.new-york.csv").read_text()
    for workers in (1, 2):
        ask = run(HERE / "flights.toml", f"flights-{workers}", "-w", workers)
        found = ask(
            "SELECT day, carrier AS key, events, delay_count, COALESCE(delay_sum, 0) AS delay_sum, delay_min, delay_max, delay_p50, delay_p99,"
            " distinct_tailnum, distance_sum FROM by_carrier"
        )
        same(f"flights by carrier, {workers} workers", rows(found), rows(expected))


def weblogs():
    ask = run(HERE / "weblogs.toml", "weblogs")
    with duckdb.connect() as connection:
        path = HERE / "made/access.jsonl.gz"
        connection.sql(f"CREATE TABLE log AS SELECT * FROM read_json('{path}', columns = {{time: 'BIGINT', session: 'VARCHAR',"
                       " request: 'STRUCT(method VARCHAR, url VARCHAR, agent VARCHAR)', response: 'STRUCT(status INTEGER, bytes BIGINT)', ms: 'DECIMAL(18, 3)'})")
        hours = [row[0] for row in connection.sql("SELECT DISTINCT time // 3600000 FROM log").fetchall()]
        zone = ZoneInfo("Europe/Vienna")
        days = [(hour, datetime.datetime.fromtimestamp(hour * 3600, zone).date()) for hour in hours]
        connection.execute("CREATE TABLE days (hour BIGINT, day DATE)")
        connection.executemany("INSERT INTO days VALUES (?, ?)", days)
        joined = "log JOIN days ON hour = time // 3600000"
        by_status = connection.sql(
            f"SELECT day, (response.status // 100) || 'xx', count(*), count(DISTINCT session), sum(response.bytes),"
            f" count(*) FILTER (ms > 100) FROM {joined} GROUP BY ALL").fetchall()
        by_path = connection.sql(
            f"SELECT day, lower(regexp_extract(request.url, '://([^/]*)', 1)), regexp_extract(request.url, '://[^/]*([^?]*)', 1),"
            f" count(*), count(*) FILTER (response.status >= 500), sum(response.bytes) FROM {joined}"
            " WHERE request.method = 'GET' AND request.agent NOT LIKE '%bot%' GROUP BY ALL").fetchall()
    text = lambda found: sorted(tuple("" if value is None else str(value) for value in row) for row in found)
    # Distinct counts are exact up to about 150, and an estimate beyond.
    found = rows(ask("SELECT day, class, requests, sessions, bytes, slow FROM by_status"))
    expected = text(by_status)
    for one, other in zip(found, expected):
        off = abs(int(one[3]) - int(other[3]))
        if off > (0 if int(other[3]) <= 150 else 0.05 * int(other[3])):
            sys.exit(f"sessions: {one}, expected {other}")
    without = lambda table: [row[:3] + row[4:] for row in table]
    same("web server by status", without(found), without(expected))
    same("web server by path", rows(ask("SELECT day, host, path, requests, failed, bytes FROM by_path")), text(by_path))


def tpch():
    ask = run(HERE / "tpch.toml", "tpch", "-w", 2)
    types = ", ".join(f"'l_{name}': 'DECIMAL(15, 2)'" for name in ("quantity", "extendedprice", "discount", "tax"))
    types += ", 'l_returnflag': 'VARCHAR', 'l_linestatus': 'VARCHAR'"
    table = f"read_csv('{HERE}/made/lineitem.csv.gz', delim = '|', types = {{{types}}})"
    sums = "sum_qty, sum_base_price, sum_disc_price, sum_charge, sum_discount, count_order"
    groups = {}
    for flag, status, *values in rows(ask(f"SELECT l_returnflag, l_linestatus, {sums} FROM q1")):
        group = groups.setdefault((flag, status), [Decimal(0)] * 6)
        groups[flag, status] = [one + Decimal(value) for one, value in zip(group, values)]
    expected = duck(
        "SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)),"
        " sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), sum(l_discount), count(*)"
        f" FROM {table} WHERE l_shipdate <= DATE '1998-12-01' - INTERVAL 90 DAY GROUP BY ALL")
    same("TPC-H query 1", sorted((*key, *map(str, values)) for key, values in groups.items()), expected)
    found = sum(Decimal(revenue) for (revenue,) in rows(ask("SELECT revenue FROM q6")))
    expected = duck(f"SELECT sum(l_extendedprice * l_discount) FROM {table} WHERE l_shipdate >= DATE '1994-01-01'"
                    " AND l_shipdate < DATE '1995-01-01' AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24")
    same("TPC-H query 6", [(str(found),)], expected)


def orders():
    ask = run(HERE / "orders.toml", "orders")
    table = (f"(SELECT *, strptime(date, '%d.%m.%Y')::DATE AS day, try_cast(price AS DECIMAL(9, 2)) AS cents FROM"
             f" read_csv('{HERE}/orders/*.csv', delim = ';', all_varchar = true) WHERE cents IS NOT NULL)")
    expected = duck(
        "SELECT day, upper(trim(country)), count(DISTINCT id), sum(quantity::INT), sum(quantity::INT * cents), max(cents),"
        f" arg_min(article, (time, article)), arg_max(article, (time, article)) FROM {table} GROUP BY ALL")
    found = rows(ask("SELECT day, country, orders, items, revenue, dearest, first, last FROM by_country"))
    same("orders by country", found, expected)
    # The local clock time is the hour of the view, except for the hour that the clocks skipped.
    expected = duck(f"SELECT day, CASE WHEN day = '2024-03-31' AND time[:2] = '02' THEN 3 ELSE time[:2]::INT END AS h,"
                    f" sum(quantity::INT), count(*) FILTER (quantity::INT * cents >= 100) FROM {table} GROUP BY ALL")
    same("orders by hour", rows(ask("SELECT day, hour, items, large FROM by_hour")), expected)
    refused = (FOLDER / "orders/refused.csv").read_text()
    if "column 'price': 'dear' is not a number" not in refused:
        sys.exit(f"the wrong order is not among the refused rows: {refused}")


# Functions that are the same in both; docs/program.md lists the differences.
class Expressions:
    """Random expressions, as text for Dayfold and for DuckDB."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def number(self, depth):
        pick = self.random.random() if depth > 0 else 0
        if pick < 0.3:
            return self.random.choice(["i", "j", "d", "e", "7", "-3", "2.5", "0.125", "length(t)"])
        if pick < 0.6:
            return f"({self.number(depth - 1)} {self.random.choice('+-*')} {self.number(0)})"
        if pick < 0.7:
            return f"({self.number(0)} % NULLIF({self.random.choice(['i', 'j', '7'])}, 0))"
        if pick < 0.8:
            name = self.random.choice(["abs", "floor", "ceil"])
            return f"{name}({self.number(depth - 1)})"
        if pick < 0.85:
            return f"round({self.number(depth - 1)}, {self.random.randrange(3)})"
        if pick < 0.92:
            return f"COALESCE({self.number(depth - 1)}, {self.number(0)})"
        return f"CASE WHEN {self.condition(depth - 1)} THEN {self.number(depth - 1)} ELSE {self.number(0)} END"

    def text(self, depth):
        pick = self.random.random() if depth > 0 else 0
        if pick < 0.3:
            return self.random.choice(["t", "u", "'a'", "'Ab c'", "''"])
        if pick < 0.5:
            return f"{self.random.choice(['lower', 'upper', 'trim', 'ltrim', 'rtrim'])}({self.text(depth - 1)})"
        if pick < 0.6:
            return f"({self.text(depth - 1)} || {self.text(0)})"
        if pick < 0.7:
            return f"concat({self.text(depth - 1)}, {self.text(0)}, i)"
        if pick < 0.85:
            start, length = self.random.choice([-3, -1, 1, 2, 5]), self.random.choice([0, 1, 3, 9])
            return f"substr({self.text(depth - 1)}, {start}, {length})"
        if pick < 0.9:
            return f"replace({self.text(depth - 1)}, '{self.random.choice(['a', 'b,', ' ', ''])}', {self.text(0)})"
        if pick < 0.95:
            return f"split_part({self.text(depth - 1)}, '{self.random.choice([',', 'a', ' ', 'b,'])}', {self.random.choice([1, 2, 3, -1])})"
        return f"NULLIF({self.text(depth - 1)}, {self.text(0)})"

    def condition(self, depth):
        pick = self.random.random()
        if depth > 0 and pick < 0.3:
            return f"({self.condition(depth - 1)} {self.random.choice(['AND', 'OR'])} {self.condition(depth - 1)})"
        if depth > 0 and pick < 0.4:
            return f"(NOT {self.condition(depth - 1)})"
        compare = self.random.choice(["=", "<>", "<", "<=", ">", ">="])
        if pick < 0.55:
            return f"({self.number(depth - 1)} {compare} {self.number(0)})"
        if pick < 0.65:
            return f"({self.text(depth - 1)} {compare} {self.text(0)})"
        if pick < 0.72:
            return f"({self.random.choice('ijdtu')} IS {self.random.choice(['', 'NOT '])}NULL)"
        if pick < 0.79:
            return f"({self.number(0)} {self.random.choice(['', 'NOT '])}IN (1, {self.number(0)}, 7, NULL))"
        if pick < 0.86:
            return f"({self.number(0)} {self.random.choice(['', 'NOT '])}BETWEEN {self.number(0)} AND {self.number(0)})"
        if pick < 0.93:
            pattern = "".join(self.random.choice("%_ab, ") for _ in range(self.random.randrange(1, 5)))
            return f"({self.text(depth - 1)} {self.random.choice(['', 'NOT '])}LIKE '{pattern}')"
        return f"(day {compare} DATE '2024-05-{self.random.randrange(1, 29):02}')"

    def time(self):
        field = self.random.choice(["year", "quarter", "month", "week", "day", "dow", "isodow", "doy", "isoyear"])
        return self.random.choice([f"extract({field} FROM day)", f"extract({self.random.choice(['hour', 'minute', 'second'])} FROM moment)",
                                   f"(day - DATE '2024-01-01')", f"(day + {self.random.randrange(-400, 400)})"])


def expressions(seed, count=120):
    generator = Expressions(seed)
    texts = []
    while len(texts) < count:
        make = generator.random.choice([lambda: generator.number(3), lambda: generator.text(3), lambda: generator.condition(3), generator.time])
        texts.append(make())
    folder = FOLDER / "expressions"
    folder.mkdir(parents=True)
    values = generator.random
    maybe = lambda value: "" if values.random() < 0.15 else value
    text = lambda: "".join(values.choice("abAB, é") for _ in range(values.randrange(1, 9)))
    with open(folder / "rows.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "moment", "day", "i", "j", "d", "e", "t", "u"])
        for row in range(400):
            at = datetime.datetime(2024, 5, 1) + datetime.timedelta(seconds=values.randrange(20 * 86_400))
            writer.writerow([row, at.isoformat() + "Z", at.date(), maybe(values.randrange(-9, 9)), maybe(values.randrange(-10**6, 10**6)),
                             maybe(f"{values.randrange(-9999, 9999) / 100:.2f}"), maybe(f"{values.randrange(-999, 999) / 1000:.3f}"), maybe(text()), maybe(text())])
    columns = "\n".join(f"e{index} = {toml(text)}" for index, text in enumerate(texts))
    file = folder / "expressions.toml"
    file.write_text(f"""
[engine]
max_refused = 0
[sources.rows]
type = "file"
path = "rows.csv"
event_time = "moment"
columns = {{ id = "integer", day = "date", i = "integer", j = "integer", d = "decimal(2)", e = "decimal(3)", t = "text", u = "text" }}
[views.all]
from = "rows"
measures = {{ events = "count()" }}
[views.all.key]
id = "id"
{columns}
""")
    ask = run(file, "expressions/data")
    names = ", ".join(f"e{index}" for index in range(count))
    found = sorted(list(csv.reader(io.StringIO(ask(f"SELECT id, {names} FROM all"))))[1:], key=lambda row: int(row[0]))
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'UTC'")
        types = {"id": "INT", "moment": "TIMESTAMP", "day": "DATE", "i": "INT", "j": "INT", "d": "DECIMAL(9, 2)", "e": "DECIMAL(9, 3)", "t": "VARCHAR", "u": "VARCHAR"}
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
        connection.sql(f"CREATE TABLE rows AS SELECT * FROM read_csv('{folder / 'rows.csv'}', header = true, columns = {{{types}}})")
        compared = 0
        for index, text in enumerate(texts):
            try:
                expected = [row[0] for row in connection.sql(f"SELECT {text} FROM rows ORDER BY id").fetchall()]
            except duckdb.Error as error:
                # For example a decimal of more than 38 digits, for which DuckDB has no result to compare with.
                print(f"  DuckDB has no answer to {text}: {str(error).splitlines()[0]}")
                continue
            for row, other in zip(found, expected, strict=True):
                one = row[index + 1]
                shown = "" if other is None else str(other).lower() if isinstance(other, bool) else str(other)
                is_float = isinstance(other, float) and number(one) is not None and abs(float(one) - other) <= 1e-6 * max(1, abs(other))
                if one != shown and not is_float and (not one or not shown or number(one) is None or number(one) != number(shown)):
                    sys.exit(f"{text}\n  row {row[0]}: found '{one}', DuckDB has '{shown}'")
            compared += 1
    if compared < count * 3 // 4:
        sys.exit(f"only {compared} of {count} expressions were compared")
    print(f"expressions (seed {seed}): {compared} over {len(found)} rows, the same")


def toml(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    flights()
    weblogs()
    tpch()
    orders()
    expressions(int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 30))
