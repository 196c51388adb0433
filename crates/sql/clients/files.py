#!/usr/bin/env python3
"""Views joined with files of the program's file: the rows of `dayfold query` are those that DuckDB computes from the raw rows.

    crates/sql/clients/files.py DAYFOLD
"""
import csv
import io
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

DAYFOLD = Path(sys.argv[1]).resolve()
FILE = """
[engine]
data = "data"

[sources.visits]
type = "file"
path = "visits.csv"
event_time = "time"

[views.by_page]
from = "visits"
key = { page = "page", country = "country" }
measures = { visits = "count()", ms = "sum(ms)", users = "distinct(visitor)", p90 = "quantile(ms, 0.9)" }

[tables.pages]
file = "pages.csv"
format = { delimiter = ";" }
columns = { code = "text" }

[tables.countries]
file = "countries.parquet"
"""

# `by_page` is the view here, and the same sums over the raw rows there.
STATEMENTS = [
    "SELECT code, name, price, since, shown FROM pages ORDER BY code",
    "SELECT * FROM countries ORDER BY country",
    "SELECT p.name, sum(v.visits) AS n FROM by_page v JOIN pages p ON p.code = v.page GROUP BY p.name ORDER BY n DESC, p.name",
    "SELECT p.name, sum(v.visits) * p.price AS worth FROM by_page v JOIN pages p ON p.code = v.page GROUP BY p.name, p.price"
    " ORDER BY p.name",
    "SELECT c.continent, sum(v.ms) AS ms, count(*) AS n FROM by_page v JOIN countries c USING (country) GROUP BY 1 ORDER BY 1",
    "SELECT v.page, sum(v.visits) AS n FROM by_page v LEFT JOIN pages p ON p.code = v.page WHERE p.code IS NULL GROUP BY 1 ORDER BY 1",
    "SELECT c.continent, p.name, sum(v.visits) AS n FROM by_page v JOIN countries c USING (country) JOIN pages p ON p.code = v.page"
    " WHERE p.since <= v.day AND p.shown GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT continent, country, n, rank() OVER (PARTITION BY continent ORDER BY n DESC, country) AS r FROM (SELECT c.continent,"
    " v.country, sum(v.visits) AS n FROM by_page v JOIN countries c USING (country) GROUP BY 1, 2) t ORDER BY 1, 2",
    "SELECT count(*) AS n, sum(people) AS people FROM countries WHERE people > 5000000",
    "SELECT name FROM pages WHERE code IN (SELECT page FROM by_page WHERE country = 'NO') ORDER BY name",
]
# Statements that are written in another way there.
PAIRS = [
    (
        "SELECT c.continent, merge_distinct(v.users) AS users, merge_quantile(v.p90, 0.5) AS middle FROM by_page v"
        " JOIN countries c USING (country) GROUP BY 1 ORDER BY 1",
        "SELECT c.continent, count(DISTINCT visitor) AS users, quantile_disc(ms, 0.5) AS middle FROM visits v"
        " JOIN countries c USING (country) GROUP BY 1 ORDER BY 1",
    ),
    (
        "SELECT date_trunc('week', day)::date AS week, merge_distinct(users) AS users FROM by_page GROUP BY 1 ORDER BY 1",
        "SELECT date_trunc('week', time)::date AS week, count(DISTINCT visitor) AS users FROM visits GROUP BY 1 ORDER BY 1",
    ),
]


def dayfold(*arguments, code=0):
    done = subprocess.run([DAYFOLD, *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def rows(sql):
    found = list(csv.reader(io.StringIO(dayfold("query", "f.toml", sql, "--format", "csv"))))
    return [[number(cell) for cell in row or [""]] for row in found[1:]]


def number(cell):
    """A cell as both print it: numbers without zeros behind the last digit that counts."""
    text = str(cell).lower() if isinstance(cell, bool) else "" if cell is None else str(cell)
    try:
        float(text)
    except ValueError:
        return text
    return text.rstrip("0").rstrip(".") if "." in text else text


def write(name, lines):
    (FOLDER / name).write_text("\n".join(lines) + "\n")


with tempfile.TemporaryDirectory() as name:
    FOLDER = Path(name)
    chance = random.Random(22)
    visits = ["time,page,country,visitor,ms"]
    for visit in range(3_000):
        day, hour = visit * 20 // 3_000 + 1, visit % 24
        page, country = chance.choice(["01", "1", "a b", "é"]), chance.choice(["NO", "JP", "BR", "XX"])
        visits.append(f"2024-05-{day:02}T{hour:02}:00:00Z,{page},{country},u{chance.randrange(90)},{chance.randrange(4_000) / 4}")
    write("visits.csv", visits)
    pages = [
        "code;name;price;since;shown",
        '01;"First; ""the"" page";1.25;2024-05-01;true',
        "1;One;0.5;2024-05-10;true",
        "a b;;10;2024-05-03;false",
    ]
    write("pages.csv", pages)
    write("f.toml", [FILE])
    duck = duckdb.connect()
    duck.execute("CREATE TABLE countries (country TEXT, continent TEXT, people BIGINT)")
    duck.execute("INSERT INTO countries VALUES ('NO', 'Europe', 5500000), ('JP', 'Asia', 124000000), ('BR', NULL, 3)")
    duck.execute(f"COPY countries TO '{FOLDER}/countries.parquet'")
    duck.execute(
        f"CREATE TABLE visits AS SELECT * FROM read_csv('{FOLDER}/visits.csv', types = {{'page': 'VARCHAR', 'time': 'TIMESTAMP',"
        " 'ms': 'DECIMAL(18, 9)'})"
    )
    duck.execute(
        f"CREATE TABLE pages AS SELECT * FROM read_csv('{FOLDER}/pages.csv', delim = ';', types = {{'code': 'VARCHAR',"
        " 'price': 'DECIMAL(18, 9)'})"
    )
    duck.execute(
        "CREATE VIEW by_page AS SELECT time::date AS day, page, country, count(*) AS visits, sum(ms) AS ms FROM visits GROUP BY ALL"
    )
    checked = dayfold("check", "f.toml")
    assert "by_page" in checked, checked
    dayfold("run", "f.toml", "--once")
    for ours, theirs in [(sql, sql) for sql in STATEMENTS] + PAIRS:
        found, expected = rows(ours), [[number(cell) for cell in row] for row in duck.execute(theirs).fetchall()]
        assert found == expected, (ours, found, expected)
        assert expected, theirs
    # What is wrong with a file is told with its line and column, before anything runs.
    for name, lines, told in [
        ("pages.csv", [*pages, "x;y;no number;2024-05-01;true"], ["pages.csv:5", "column 'price'"]),
        ("pages.csv", [*pages, "x;y"], ["pages.csv:5", "2 fields"]),
        ("countries.parquet", ["none"], ["countries.parquet", "f.toml"]),
    ]:
        kept = (FOLDER / name).read_bytes()
        write(name, lines)
        if "price" in told[-1]:
            (FOLDER / "f.toml").write_text(FILE.replace('code = "text"', 'code = "text", price = "decimal"'))
        for arguments in [("check", "f.toml"), ("query", "f.toml", "SELECT 1")]:
            said = dayfold(*arguments, code=2)
            assert all(one in said for one in told), (arguments, said)
        (FOLDER / name).write_bytes(kept)
        (FOLDER / "f.toml").write_text(FILE)
    for change, told in [
        (("[tables.pages]", "[tables.by_page]"), "there is a view 'by_page'"),
        (('"pages.csv"', '"page.csv"'), "there is no file 'page.csv'"),
        (("delimiter", "delimitr"), "did you mean 'delimiter'"),
    ]:
        (FOLDER / "f.toml").write_text(FILE.replace(*change))
        said = dayfold("check", "f.toml", code=2)
        assert told in said and said.startswith(("f.toml:", "error: f.toml:")), said
    (FOLDER / "f.toml").write_text(FILE)
    said = dayfold("query", "f.toml", "INSERT INTO pages VALUES ('x', 'y', 1, NULL, true)", code=2)
    assert "read-only" in said, said
print(f"files as tables: {len(STATEMENTS) + len(PAIRS)} statements as DuckDB has them")
