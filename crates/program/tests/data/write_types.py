#!/usr/bin/env python3
"""Writes types.*.parquet with Arrow's own library: columns of many types, in three row groups.

    pip install pyarrow==26.0.1 && python3 write_types.py

types.int96.parquet is as Spark writes it: times of 96 bits, without Arrow's schema.
"""

from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("at", pa.timestamp("us", tz="UTC")),
        ("page", pa.dictionary(pa.int32(), pa.string())),
        ("visits", pa.int64()),
        ("small", pa.uint8()),
        ("price", pa.decimal128(30, 2)),
        ("share", pa.float64()),
        ("is_new", pa.bool_()),
        ("booked", pa.date32()),
        ("local", pa.timestamp("ms")),
        ("sent", pa.timestamp("ns", tz="America/New_York")),
        ("seen", pa.timestamp("s")),
        ("tags", pa.list_(pa.string())),
        ("about", pa.struct([("n", pa.int32())])),
        ("raw", pa.binary()),
    ]
)


def utc(*at):
    return datetime(*at, tzinfo=timezone.utc)


def rows():
    noon, night = utc(2024, 5, 1, 12), datetime(2024, 5, 1, 23, 59, 59)
    yield utc(2024, 5, 1, 10, 0, 0, 123456), "/a", 1, 1, "0.10", 0.1, True, date(2024, 4, 30), datetime(
        2024, 5, 1, 10
    ), noon, night, ["x", "y"], {"n": 1}, b"\x00\xff"
    yield utc(2024, 5, 1, 23, 59, 59, 999999), '/é "q"\n', 1 << 40, 2, "1234567890123456.25", 0.2, False, date(
        1969, 12, 31
    ), None, None, None, [], {"n": 2}, b""
    yield utc(2024, 5, 2), "/a", 3, 3, "-0.35", float("nan"), None, None, datetime(
        2024, 5, 2
    ), noon, night, None, None, None
    # Two rows that are refused: one has no time, and a number of the other is too large.
    yield None, "/a", 4, 4, "1.00", 0.5, True, date(2024, 5, 1), datetime(2024, 5, 2), noon, night, ["z"], {"n": 4}, b"a"
    yield utc(2024, 5, 2, 1), "/a", 4, 4, "1" * 28 + ".00", 0.5, True, None, None, None, None, [], None, b"a"
    yield utc(2024, 5, 2, 12), None, None, 5, None, 1000.0, True, date(2024, 5, 2), datetime(
        2024, 5, 2, 3
    ), noon, night, ["w"], {"n": 5}, b"b"


def main():
    names = SCHEMA.names
    table = [dict(zip(names, row)) for row in rows()]
    for row in table:
        row["price"] = row["price"] and Decimal(row["price"])
    table = pa.Table.from_pylist(table, schema=SCHEMA)
    folder = Path(__file__).parent
    options = {"row_group_size": 2, "write_page_checksum": True}
    pq.write_table(table, folder / "types.zstd.parquet", compression="zstd", **options)
    pq.write_table(table, folder / "types.gzip.parquet", compression="gzip", data_page_version="2.0", **options)
    as_spark = {"use_deprecated_int96_timestamps": True, "store_schema": False}
    pq.write_table(table, folder / "types.int96.parquet", compression="snappy", **as_spark, **options)


if __name__ == "__main__":
    main()
