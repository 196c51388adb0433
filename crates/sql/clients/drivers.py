#!/usr/bin/env python3
"""Tests Python's drivers and SQLAlchemy against the server of `examples/serve.rs`, with users and TLS.

    crates/sql/clients/drivers.py HOST:PORT CERTIFICATE.pem ANSWERS.csv

ANSWERS.csv has the expected rows of by_carrier (tests/data/flights-2013.by-carrier.new-york.csv).
"""
import asyncio
import csv
import datetime
import io
import ssl
import sys
import threading
import time
from decimal import Decimal

import asyncpg
import pg8000.dbapi
import psycopg
import sqlalchemy

HOST, PORT = sys.argv[1].rsplit(":", 1)
PORT = int(PORT)
CERTIFICATE = sys.argv[2]
USER, PASSWORD = "tester", "secret of the tester"
ANSWERS = list(csv.DictReader(open(sys.argv[3])))
DAY = datetime.date(2013, 2, 9)
UNITED = next(
    (DAY, "UA", int(row["events"]), int(row["distance_sum"])) for row in ANSWERS if row["day"] == str(DAY) and row["key"] == "UA"
)
ALL = sum(int(row["events"]) for row in ANSWERS)


def connect(**more):
    return psycopg.connect(host=HOST, port=PORT, dbname="dayfold", user=USER, password=PASSWORD, **more)


def refused(code, action):
    try:
        action()
    except psycopg.Error as error:
        assert error.sqlstate == code or code is None, (error.sqlstate, str(error))
        return str(error)
    raise AssertionError(f"it was let through; expected {code}")


def psycopg_3(expected):
    with connect(autocommit=True, sslmode="verify-ca", sslrootcert=CERTIFICATE) as connection:
        assert connection.pgconn.ssl_in_use
        statement = "SELECT day, carrier, flights, miles FROM by_carrier WHERE day = %s AND carrier = %s"
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for _ in range(7):  # From the sixth time on, it is prepared by name.
                assert cursor.execute(statement, (DAY, "UA")).fetchall() == [expected], cursor.fetchall()
            row = cursor.execute(
                "SELECT c.delay_sum, c.delay_p50, c.delay_min, c.sealed, NULL, 1.5::numeric, hour FROM by_carrier c, hourly"
                " WHERE day = %b AND carrier = 'UA' AND hour = %b AND origin = 'JFK'",
                (DAY, datetime.datetime(2013, 2, 10, 15, tzinfo=datetime.timezone.utc)),
            ).fetchone()
            assert isinstance(row[0], Decimal) and row[3] is True and row[4] is None and row[5] == Decimal("1.5"), row
            assert row[6] == datetime.datetime(2013, 2, 10, 15, tzinfo=datetime.timezone.utc), row
        # A window is a parameter, too.
        window = "SELECT sum(flights) FROM last('by_carrier', %s)"
        for span, total in [("50 years", ALL), ("1 day", None)]:
            assert connection.execute(window, (span,)).fetchone() == (total,), span
        refused(None, lambda: connection.execute(window, ("24 hours",)))
        numbers(connection)
        # A cursor, batch by batch.
        with connection.transaction():
            connection.execute("DECLARE all_rows CURSOR FOR SELECT day, carrier, flights FROM by_carrier")
            total = 0
            while rows := connection.execute("FETCH 500 FROM all_rows").fetchall():
                total += sum(row[2] for row in rows)
            connection.execute("CLOSE all_rows")
            assert total == ALL, total
        # The same with a named cursor and a parameter.
        with connection.transaction(), connection.cursor(name="a named one") as cursor:
            cursor.itersize = 500
            cursor.execute("SELECT day, carrier, flights FROM by_carrier WHERE day >= %s", (datetime.date(2013, 1, 1),))
            assert [column.name for column in cursor.description] == ["day", "carrier", "flights"]
            assert sum(row[2] for row in cursor) == ALL
        # One that goes backward.
        with connection.transaction(), connection.cursor(name="back and forth", scrollable=True) as cursor:
            cursor.execute("SELECT carrier, flights FROM by_carrier WHERE day = %s ORDER BY carrier", (DAY,))
            first = cursor.fetchmany(3)
            cursor.scroll(-2)
            assert cursor.fetchone() == first[1]
            cursor.scroll(0, mode="absolute")
            assert cursor.fetchmany(3) == first
        with connection.transaction():
            connection.execute("DECLARE c SCROLL CURSOR FOR SELECT i FROM (VALUES (1), (2), (3), (4), (5)) AS v(i) ORDER BY i")
            for fetch, rows in [
                ("FETCH 2 FROM c", [1, 2]), ("FETCH PRIOR FROM c", [1]), ("FETCH PRIOR FROM c", []), ("FETCH LAST FROM c", [5]),
                ("FETCH NEXT FROM c", []), ("FETCH BACKWARD 2 FROM c", [5, 4]), ("FETCH ABSOLUTE 2 FROM c", [2]),
                ("FETCH RELATIVE 0 FROM c", [2]), ("FETCH BACKWARD ALL FROM c", [1]), ("FETCH ALL c", [1, 2, 3, 4, 5]),
                ("FETCH FIRST FROM c", [1]),
            ]:  # fmt: skip
                found = [row[0] for row in connection.execute(fetch)]
                assert found == rows, (fetch, found)
            assert connection.execute("MOVE ABSOLUTE -2 FROM c").statusmessage == "MOVE 1"
            assert connection.execute("FETCH RELATIVE 1 FROM c").fetchall() == [(5,)]
        with connection.transaction():
            connection.execute("DECLARE c CURSOR FOR SELECT 1")
            refused("55000", lambda: connection.execute("FETCH PRIOR FROM c"))
            raise psycopg.Rollback
        # COPY, as text, as CSV and as binary.
        for options, read in [("", read_text), ("WITH (FORMAT csv, HEADER)", read_csv)]:
            with connection.cursor().copy(f"COPY (SELECT day, flights FROM by_carrier) TO STDOUT {options}") as copy:
                data = b"".join(bytes(block) for block in copy).decode()
            assert read(data) == ALL
        with connection.cursor().copy("COPY by_carrier (day, carrier, flights) TO STDOUT WITH BINARY") as copy:
            copy.set_types(["date", "text", "int8"])
            assert sum(row[2] for row in copy.rows()) == ALL
        # Errors have codes, and the connection goes on.
        refused("25006", lambda: connection.execute("DELETE FROM by_carrier"))
        refused("25006", lambda: connection.execute("COPY by_carrier TO '/tmp/x'"))
        refused("42P01", lambda: connection.execute("SELECT * FROM nothing"))
        refused("42703", lambda: connection.execute("SELECT nothing FROM by_carrier"))
        refused("42601", lambda: connection.execute("SELEC 1"))
        hint = refused(None, lambda: connection.execute("SELECT sum(aircraft) FROM by_carrier"))
        assert "merge_distinct(aircraft)" in hint, hint
        assert connection.execute("SELECT 1").fetchone() == (1,)
        cancelled(connection)
    with connect(sslmode="disable") as connection:
        # A failed transaction accepts nothing more until it is rolled back.
        refused("42P01", lambda: connection.execute("SELECT * FROM nothing"))
        refused("25P02", lambda: connection.execute("SELECT 1"))
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    for user, password in [(USER, "wrong"), ("nobody", PASSWORD)]:
        refused(None, lambda: psycopg.connect(host=HOST, port=PORT, dbname="dayfold", user=user, password=password))
    print("psycopg 3: text and binary, prepared, cursors, COPY, errors, cancel, TLS, passwords")


def numbers(connection):
    """A number with a fraction, and one beyond a column's type, are compared as they are."""

    def count(condition, *values):
        return connection.execute(f"SELECT count(*) FROM by_carrier WHERE {condition}", values).fetchone()[0]

    for form in ("%t", "%b", "%s"):
        for number in (float, Decimal):
            few, one, half = number("1.5"), number("1"), number("0.5")
            assert count(f"flights < {form}", few) == count("flights < 2") > 0, (form, number)
            assert count(f"flights = {form}", few) == 0 < count(f"flights = {form}", one) == count("flights = 1")
            assert count(f"flights IN ({form}, {form})", half, one) == count("flights = 1")
            assert count(f"flights BETWEEN {form} AND {form}", half, few) == count("flights = 1")
            assert count(f"flights < {form}", number("1e20")) == count("true")
            assert count(f"delay_sum > {form}", half) == count("delay_sum > 0.5") > 0
            product = connection.execute(f"SELECT {form} * flights FROM by_carrier WHERE flights = 1 LIMIT 1", (few,))
            assert product.fetchone() == (few,), (form, number)
            assert count(f"delay_sum > {form}", number("0.05")) == count("delay_sum > 0.05"), (form, number)
            limited = connection.execute(f"SELECT flights FROM by_carrier WHERE flights > {form} LIMIT {form}", (one, number("3")))
            assert len(limited.fetchall()) == 3
        assert count(f"delay_sum > {form}", 5) == count("delay_sum > 5") > 0
        for text in ("0.05", "-1.25E-2", "0.00", "1E-9", "99999999999999999999.123456789", "1E+28"):
            found = connection.execute(f"SELECT {form} + 0", (Decimal(text),)).fetchone()[0]
            assert found == Decimal(text), (form, text, found)
    refused("22003", lambda: count("flights < %s", Decimal("1.0000000001")))
    refused("22003", lambda: count("flights < %s", Decimal("1E+30")))
    refused("22P02", lambda: count("flights < %s", Decimal("NaN")))
    # A text beside decimals is a decimal.
    assert count("delay_sum > %s", "1e-2") == count("delay_sum > 0.01")
    refused("22003", lambda: count("delay_sum > %s", "337.00000000001"))


def cancelled(connection):
    """A statement that would run for minutes ends when it is cancelled."""
    long = "SELECT count(*) FROM by_route a, by_route b, by_route c WHERE a.flights + b.flights + c.flights = 0"
    begun = time.monotonic()
    timer = threading.Timer(0.5, connection.cancel)
    timer.start()
    refused("57014", lambda: connection.execute(long))
    timer.join()
    assert time.monotonic() - begun < 30
    assert connection.execute("SELECT 1").fetchone() == (1,)


def read_text(data):
    return sum(int(line.split("\t")[1]) for line in data.splitlines())


def read_csv(data):
    return sum(int(row["flights"]) for row in csv.DictReader(io.StringIO(data)))


async def async_pg(expected):
    context = ssl.create_default_context(cafile=CERTIFICATE)
    context.check_hostname = False
    connection = await asyncpg.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, database="dayfold", ssl=context)
    # asyncpg only uses binary values.
    statement = await connection.prepare("SELECT day, carrier, flights, miles FROM by_carrier WHERE day = $1 AND carrier = $2")
    assert tuple(await statement.fetchrow(DAY, "UA")) == expected
    rows = await connection.fetch("SELECT carrier, sum(flights) AS n, sum(delay_sum) FROM by_carrier GROUP BY carrier ORDER BY n DESC LIMIT $1", 3)
    assert await connection.fetchval("SELECT sum(flights) FROM last('by_carrier', $1)", "50 years") == ALL
    totals = {}
    for row in ANSWERS:
        totals[row["key"]] = totals.get(row["key"], 0) + int(row["events"])
    best = sorted(totals.items(), key=lambda total: -total[1])[:3]
    assert [(row["carrier"], row["n"]) for row in rows] == best and isinstance(rows[0]["n"], Decimal), rows
    async with connection.transaction():
        total = 0
        async for row in connection.cursor("SELECT flights FROM by_carrier", prefetch=50):
            total += row["flights"]
    assert total == ALL, total
    # It gives no types, so that decimals have that of the column.
    for text in ("0.05", "1E+20", "12345678901234567890123", "-99999999999999999999.123456789"):
        found = await connection.fetchval("SELECT delay_sum + $1 - delay_sum FROM by_carrier LIMIT 1", Decimal(text))
        assert found == Decimal(text), (text, found)
    try:
        await connection.fetchval("SELECT count(*) FROM by_carrier WHERE delay_sum = $1", Decimal("1E-10"))
        raise AssertionError("it was let through")
    except asyncpg.PostgresError as error:
        assert error.sqlstate == "22003", error
    try:
        await connection.execute("DROP TABLE by_carrier")
        raise AssertionError("it was let through")
    except asyncpg.PostgresError as error:
        assert error.sqlstate == "25006", error
    await connection.close()
    print("asyncpg: prepared, parameters, cursors, TLS")


def pg_8000(expected):
    connection = pg8000.dbapi.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, database="dayfold")
    cursor = connection.cursor()
    cursor.execute("SELECT day, carrier, flights, miles FROM by_carrier WHERE day = %s AND carrier = %s", (DAY, "UA"))
    assert [tuple(row) for row in cursor.fetchall()] == [expected]
    connection.close()
    print("pg8000: parameters")


def sql_alchemy(expected):
    url = f"postgresql+psycopg://{USER}:{PASSWORD.replace(' ', '%20')}@{HOST}:{PORT}/dayfold"
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    assert inspector.get_schema_names() == ["public"], inspector.get_schema_names()
    assert {"by_carrier", "by_route", "hourly"} == set(inspector.get_table_names()), inspector.get_table_names()
    assert inspector.get_view_names() == [] and inspector.has_table("hourly") and not inspector.has_table("nothing")
    assert inspector.get_pk_constraint("by_carrier")["constrained_columns"] == [] and inspector.get_indexes("by_carrier") == []
    assert inspector.get_foreign_keys("by_carrier") == [] and inspector.get_unique_constraints("by_carrier") == []
    assert inspector.get_table_comment("by_carrier") == {"text": None}
    # All tables with their columns.
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine)
    table = metadata.tables["by_carrier"]
    types = {"day": sqlalchemy.Date, "carrier": sqlalchemy.Text, "flights": sqlalchemy.BigInteger, "delay_sum": sqlalchemy.Numeric}
    assert all(isinstance(table.c[name].type, of) for name, of in types.items()), table.c
    assert isinstance(metadata.tables["hourly"].c.hour.type, sqlalchemy.DateTime) and table.c.day.nullable is False
    with engine.connect() as connection:
        query = sqlalchemy.select(table.c.day, table.c.carrier, table.c.flights, table.c.miles)
        query = query.where(table.c.day == DAY, table.c.carrier == "UA")
        assert [tuple(row) for row in connection.execute(query)] == [expected]
        total = sqlalchemy.select(sqlalchemy.func.sum(table.c.flights))
        assert connection.execute(total).scalar() == ALL
    print("SQLAlchemy: reflection, expressions")


def main():
    with connect(autocommit=True) as connection:
        while connection.execute("SELECT sum(flights) FROM by_carrier").fetchone()[0] != ALL:
            time.sleep(0.2)
    psycopg_3(UNITED)
    asyncio.run(async_pg(UNITED))
    pg_8000(UNITED)
    sql_alchemy(UNITED)


main()
