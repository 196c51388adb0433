#!/usr/bin/env python3
"""Makes the data of weblogs.toml, tpch.toml and orders.toml: the same bytes every time.

    examples/config/make.py [--orders]

The orders are kept in the repository; --orders makes them again.
"""
import datetime
import gzip
import io
import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
MADE = HERE / "made"


def write(path, lines):
    """Compressed without a time in the header."""
    with open(path, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
        text.writelines(line + "\n" for line in lines)
        text.flush()
        text.detach()


def log(rows=40_000):
    random.seed(1)
    paths = ["/", "/prices", "/login", "/api/v1/items", "/api/v1/orders", "/about us", "/ünïcode"]
    agents = ["Mozilla/5.0 (X11; Linux)", "curl/8.5", "Googlebot/2.1", "a \"quoted\" agent"]
    time = 1_714_500_000_000
    for _ in range(rows):
        time += random.randrange(0, 12_000)
        status = random.choices([200, 204, 301, 404, 500, 503], [80, 5, 4, 8, 2, 1])[0]
        path = random.choices(paths, [30, 10, 5, 20, 10, 2, 1])[0]
        yield json.dumps(
            {
                # Some come late.
                "time": time - random.choice([0] * 9 + [40_000_000]),
                "session": f"s{random.randrange(3_000)}",
                "request": {
                    "method": random.choices(["GET", "POST"], [9, 1])[0],
                    "url": f"https://{random.choice(['www', 'WWW', 'api'])}.example.com{path}?q={random.randrange(99)}",
                    "agent": random.choice(agents),
                },
                "response": {"status": status, "bytes": random.choice([None, 0, random.randrange(1, 90_000)])},
                "ms": round(random.expovariate(1 / 40), 3),
            },
            ensure_ascii=random.random() < 0.5,
        )


def lineitem(orders=15_000):
    random.seed(2)
    first, current = datetime.date(1992, 1, 1), datetime.date(1995, 6, 17)
    rows = []
    for order in range(orders):
        date = first + datetime.timedelta(days=random.randrange(0, 2_406))
        for line in range(random.randint(1, 7)):
            part = random.randint(1, 20_000)
            quantity = random.randint(1, 50)
            price = 90_000 + (part // 10) % 20_001 + 100 * (part % 1_000)
            shipped = date + datetime.timedelta(days=random.randint(1, 121))
            received = shipped + datetime.timedelta(days=random.randint(1, 30))
            flag = random.choice("RA") if received <= current else "N"
            status = "O" if shipped > current else "F"
            cents = quantity * price
            rows.append(
                (shipped, f"{order}|{line}|{quantity}.00|{cents // 100}.{cents % 100:02}|0.{random.randint(0, 10):02}"
                 f"|0.0{random.randint(0, 8)}|{flag}|{status}|{shipped}")
            )
    yield "l_orderkey|l_linenumber|l_quantity|l_extendedprice|l_discount|l_tax|l_returnflag|l_linestatus|l_shipdate"
    rows.sort(key=lambda row: row[0])
    yield from (row for _, row in rows)


def orders():
    random.seed(3)
    number = 0
    for day in range(27, 32):
        lines = ["id;date;time;country;article;quantity;price"]
        for minute in sorted(random.sample(range(24 * 60), 120)):
            number += random.choice([0, 1, 1])
            lines.append(
                f"{number};{day}.03.2024;{minute // 60:02}:{minute % 60:02};{random.choice(['at', ' AT', 'de', 'CH ', 'it'])};"
                f"{random.choice(['007', '4711', 'a;b', 'x'])};{random.randint(1, 9)};{random.randrange(99, 9_999) / 100}"
            )
        # One row with quotes, and a wrong one.
        lines = [line.replace("a;b", '"a;b"') for line in lines]
        if day == 29:
            lines[60] = lines[60].rsplit(";", 1)[0] + ";dear"
        (HERE / "orders" / f"2024-03-{day}.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if "--orders" in sys.argv:
        orders()
    MADE.mkdir(exist_ok=True)
    write(MADE / "access.jsonl.gz", log())
    write(MADE / "lineitem.csv.gz", lineitem())
