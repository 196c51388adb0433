#!/usr/bin/env python3
"""Runs the same statements on a server and on DuckDB, which computes each from the raw flights: 80 written statements, and
200 random ones.

    crates/sql/clients/flights.py HOST:PORT FLIGHTS.csv.gz [SEED]

Needs psycopg and duckdb. In DuckDB, the tables of the server are views over the raw rows.
"""
import datetime
import math
import pathlib
import random
import sys
import time
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import psycopg

HERE = pathlib.Path(__file__).resolve().parent
HOST, PORT = sys.argv[1].rsplit(":", 1)
FLIGHTS = sys.argv[2]
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 22
FLIGHTS_IN_ALL = 328_521

MEASURES = """count(*) AS flights, sum(distance)::BIGINT AS miles, sum(arr_delay) AS delay_sum,
    min(arr_delay) AS delay_min, max(arr_delay) AS delay_max"""


def duck():
    """The raw rows, and views over them in place of the server's tables."""
    connection = duckdb.connect(config={"threads": 2})
    connection.sql("SET TimeZone = 'UTC'")
    connection.sql(
        f"""CREATE TABLE raw AS
        SELECT CAST(timezone('America/New_York', event_time) AS DATE) AS day, date_trunc('hour', event_time) AS hour,
            carrier, origin, dest, arr_delay, distance
        FROM read_csv('{FLIGHTS}', types = {{'event_time': 'TIMESTAMPTZ', 'arr_delay': 'DECIMAL(18, 3)', 'distance': 'BIGINT'}})"""
    )
    for name, key in [("by_carrier", "day, carrier"), ("by_route", "day, origin, dest, carrier"), ("hourly", "hour, origin")]:
        connection.sql(f"CREATE VIEW {name} AS SELECT {key}, {MEASURES} FROM raw GROUP BY ALL")
    return connection


def shown(value):
    """A value in a form that can be compared: exact numbers, times in UTC."""
    if isinstance(value, bool) or value is None:
        return (0, str(value))
    if isinstance(value, (int, Decimal)):
        return (1, Decimal(value).normalize() + 0)
    if isinstance(value, float):
        return (1, value)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        # The type of date_trunc of a date differs between the two.
        return (2, value.date().isoformat())
    if isinstance(value, (datetime.date, datetime.datetime)):
        return (2, value.isoformat())
    return (3, str(value))


def equal(one, other):
    if one[0] == other[0] == 1 and (isinstance(one[1], float) or isinstance(other[1], float)):
        # A mean of decimals has four more digits than the decimals; in DuckDB it is a double.
        exact = isinstance(one[1], Decimal) or isinstance(other[1], Decimal)
        return math.isclose(one[1], other[1], rel_tol=1e-9, abs_tol=1e-4 if exact else 1e-9)
    return one == other


def compare(statement, found, expected):
    is_sorted = statement.rstrip().rsplit(")", 1)[-1].find("ORDER BY") >= 0
    found, expected = ([tuple(map(shown, row)) for row in rows] for rows in (found, expected))
    if not is_sorted:
        key = lambda row: [(kind, round(float(value), 6)) if kind == 1 else (kind, value) for kind, value in row]
        found, expected = sorted(found, key=key), sorted(expected, key=key)
    if len(found) != len(expected):
        sys.exit(f"{statement}\n{len(found)} rows, expected {len(expected)}")
    for one, other in zip(found, expected):
        if len(one) != len(other) or not all(map(equal, one, other)):
            sys.exit(f"{statement}\nfound    {one}\nexpected {other}")


class Generator:
    """Random statements over any table, with conditions that can be pushed down and others that cannot."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def date(self):
        return (datetime.date(2013, 1, 1) + datetime.timedelta(self.random.randrange(-5, 370))).isoformat()

    def period(self, name):
        if name == "day":
            return f"DATE '{self.date()}'"
        return f"TIMESTAMPTZ '{self.date()} {self.random.randrange(24):02}:00:00+00'"

    def condition(self, period, key):
        choose, compared = self.random.choice, self.random.choice(["=", "<", "<=", ">", ">=", "<>"])
        values = {
            "carrier": ["UA", "AA", "B6", "U", "9E", "ZZ"],
            "origin": ["EWR", "JFK", "LGA", "L"],
            "dest": ["BOS", "LAX", "SFO", "IAH", "ZZZ"],
        }
        column = choose(key)
        value = lambda: f"'{choose(values[column])}'"
        return choose([
            f"{period} {compared} {self.period(period)}",
            f"{period} BETWEEN {self.period(period)} AND {self.period(period)}",
            f"{period} >= {self.period(period)}",
            f"{column} {compared} {value()}",
            f"{column} = {value()}",
            f"{column} IN ({value()}, {value()})",
            f"({column} = {value()} OR {column} = {value()})",
            f"{column} LIKE '{choose(values[column])[0]}%'",
            f"{column} NOT LIKE '%A'",
            f"flights {compared} {self.random.randrange(60)}",
            f"delay_sum {compared} {self.random.randrange(-500, 500)}",
            f"lower({column}) = lower({value()})",
        ])

    def statement(self):
        table, period, key = self.random.choice(
            [("by_carrier", "day", ["carrier"]), ("by_route", "day", ["origin", "dest", "carrier"]), ("hourly", "hour", ["origin"])]
        )
        conditions = [self.condition(period, key) for _ in range(self.random.randrange(4))]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        some = lambda names: [name for name in names if self.random.random() < 0.5]
        sums = ["sum(flights)", "sum(miles)", "sum(delay_sum)", "min(delay_min)", "max(delay_max)", "count(*)", "avg(flights)"]
        sums = some(sums) or ["sum(flights)"]
        columns = [period, *key]
        shape = self.random.randrange(6)
        if shape == 0:
            names = ", ".join(columns)
            limit = self.random.randrange(1, 50)
            return f"SELECT {names}, flights, miles, delay_sum FROM {table}{where} ORDER BY {names} LIMIT {limit}"
        if shape == 1:
            names = ", ".join(key)
            order = f"sum({self.random.choice(['miles', 'flights'])}) {self.random.choice(['DESC', 'ASC'])}, {names}"
            return f"SELECT {names}, {', '.join(sums)} FROM {table}{where} GROUP BY {names} ORDER BY {order} LIMIT 10"
        if shape == 2:
            part = self.random.choice(["month", "week", "quarter"])
            names = some(key)
            return f"SELECT {', '.join([f'''date_trunc('{part}', {period})''', *names, *sums])} FROM {table}{where} GROUP BY {', '.join(['1', *names])}"
        names = some(columns)
        groups = f" GROUP BY {', '.join(names)}" if names else ""
        return f"SELECT {', '.join(names + sums)} FROM {table}{where}{groups}"


def windows():
    """Statements about the last months, quarters and weeks that begin in 2013, and the same about days."""
    today = datetime.datetime.now(ZoneInfo("America/New_York")).date()
    months = (today.year - 2013) * 12 + today.month - 5
    monday = today - datetime.timedelta(days=today.weekday())
    spans = [
        (f"{months} months", "2013-06-01"),
        (f"{(today.year - 2013) * 4 + (today.month - 1) // 3}q", "2013-04-01"),
        (f"{(monday - datetime.date(2013, 9, 2)).days // 7 + 1} weeks", "2013-09-02"),
    ]
    for span, first in spans:
        for statement in [
            "SELECT day, carrier, flights, delay_sum FROM {}",
            "SELECT carrier, sum(flights), sum(miles) FROM {} GROUP BY carrier",
            "SELECT date_trunc('quarter', day), sum(flights) FROM {} WHERE carrier <> 'UA' AND day < DATE '2013-12-01' GROUP BY 1",
        ]:
            yield statement.format(f"last('by_carrier', '{span}')"), statement.format(f"(FROM by_carrier WHERE day >= DATE '{first}')")


def main():
    reference = duck()
    with psycopg.connect(host=HOST, port=PORT, dbname="dayfold", user="tester", password="secret of the tester", autocommit=True) as server:
        while server.execute("SELECT sum(flights) FROM by_carrier").fetchone()[0] != FLIGHTS_IN_ALL:
            time.sleep(0.2)
        written = (HERE / "statements.sql").read_text()
        written = "\n".join(line for line in written.splitlines() if not line.startswith("--"))
        written = [statement.strip() for statement in written.split(";") if statement.strip()]
        generator = Generator(SEED)
        generated = [generator.statement() for _ in range(200)]
        rows = 0
        for statement in written + generated:
            try:
                found = server.execute(statement).fetchall()
            except psycopg.Error as error:
                sys.exit(f"{statement}\n{error}")
            compare(statement, found, reference.sql(statement).fetchall())
            rows += len(found)
        # The second time is for a day that has begun in between.
        for attempt in range(2):
            pairs = list(windows())
            found = [server.execute(statement).fetchall() for statement, _ in pairs]
            if pairs == list(windows()):
                break
        for (statement, days), answer in zip(pairs, found):
            compare(statement, answer, reference.sql(days).fetchall())
            rows += len(answer)
        print(f"{len(pairs)} statements about windows, {len(written)} written and {len(generated)} generated statements (seed {SEED}): {rows} rows, all as DuckDB has them")


main()
