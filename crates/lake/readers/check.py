#!/usr/bin/env python3
"""Reads exported tables with other engines and compares them with the right answers.

    check.py ANSWERS.csv READER=TABLE…

READER is duckdb-hive, duckdb-iceberg, pyiceberg, polars-hive, polars-iceberg, spark-hive, spark-iceberg, duckdb-azure-hive or
duckdb-azure-iceberg. TABLE is the folder or URL of the view by-carrier; for duckdb-catalog, pyiceberg-catalog and spark-catalog
it is the URL of a catalogue that has the lake. ANSWERS.csv has a line for each day and carrier. Ends with 1 if anything differs.

From the environment: TOKEN is the catalogue's token, ENDPOINT the address of a store in the place of S3 or Azure, and
SNAPSHOTS how many snapshots a table of Iceberg has, of which none may be lost.
"""

import csv
import os
import sys
from decimal import Decimal

# Columns of the table, and the equal columns of the answers.
COLUMNS = {
    "day": "day",
    "carrier": "key",
    "flights": "events",
    "mean_delay_count": "delay_count",
    "mean_delay_sum": "delay_sum",
    "least_delay": "delay_min",
    "worst_delay": "delay_max",
    "delay_p50": "delay_p50",
    "delay_p99": "delay_p99",
    "aircraft": "distinct_tailnum",
    "miles": "distance_sum",
}
SELECT = "SELECT " + ", ".join(COLUMNS) + " FROM {} WHERE sealed"


def main():
    answers, *checks = sys.argv[1:]
    with open(answers) as file:
        expected = sorted(normal([row[name] for name in COLUMNS.values()]) for row in csv.DictReader(file))
    for reader, table in (check.split("=", 1) for check in checks):
        found = sorted(map(normal, READERS[reader](table)))
        if found != expected:
            unlike = [pair for pair in zip(found, expected) if pair[0] != pair[1]][:5]
            sys.exit(f"{reader} {table}: {len(found)} rows, expected {len(expected)}; the first that differ: {unlike}")
        print(f"{reader}: {len(found)} rows, all as they should be", flush=True)


def normal(row):
    """A row as numbers and texts that compare."""
    day, key, *numbers = row
    flights, count, total, *others = (None if n in (None, "") else Decimal(str(n)).normalize() for n in numbers)
    # If there are no delays, the answers have a count and a sum of 0; in the view both are null, like the mean.
    return (str(day), key, flights, count or Decimal(0), total or Decimal(0), *others)


def duckdb_hive(table):
    import duckdb

    con = duckdb.connect()
    files = f"read_parquet('{table}/*/*.parquet', hive_partitioning = true)"
    return con.execute(SELECT.format(files)).fetchall()


def duckdb_with(*extensions):
    import duckdb
    import duckdb_extensions

    for extension in extensions:
        duckdb_extensions.import_extension(extension)
    con = duckdb.connect()
    for extension in extensions:
        con.execute(f"LOAD {extension}")
    return con


def duckdb_iceberg(table):
    con = duckdb_with("avro", "iceberg")
    return con.execute(SELECT.format(f"iceberg_scan('{newest(table)}')")).fetchall()


def duckdb_catalog(url):
    con = duckdb_with("httpfs", "avro", "iceberg")
    con.execute(f"CREATE SECRET of_lake (TYPE iceberg, TOKEN '{os.environ['TOKEN']}')")
    con.execute(f"ATTACH 'dayfold' AS mounted (TYPE iceberg, ENDPOINT '{url}', SECRET of_lake)")
    return con.execute(SELECT.format('mounted.lake."by-carrier"')).fetchall()


def pyiceberg_catalog(url):
    from pyiceberg.catalog.rest import RestCatalog
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, UnauthorizedError

    catalog = RestCatalog("lake", uri=url, token=os.environ["TOKEN"])
    assert catalog.list_namespaces() == [("lake",)], catalog.list_namespaces()
    assert ("lake", "by-carrier") in catalog.list_tables("lake"), catalog.list_tables("lake")
    assert catalog.table_exists("lake.by-carrier") and not catalog.table_exists("lake.none")
    # Errors are the ones that clients know.
    for expected, attempt in [
        (NoSuchTableError, lambda: catalog.load_table("lake.none")),
        (NoSuchNamespaceError, lambda: catalog.list_tables("none")),
        (UnauthorizedError, lambda: RestCatalog("lake", uri=url, token="wrong")),
    ]:
        try:
            attempt()
        except expected:
            continue
        raise AssertionError(f"{expected} was expected")
    rows = catalog.load_table("lake.by-carrier").scan().to_arrow().to_pylist()
    return [tuple(row[name] for name in COLUMNS) for row in rows]


def with_pyiceberg(table):
    from pyiceberg.table import StaticTable

    endpoint = os.environ.get("ENDPOINT")
    properties = {"s3.endpoint": endpoint, "s3.path-style-access": "true"} if endpoint else {}
    path = f"{table}/metadata/v{hint(table)}.metadata.json"
    static = StaticTable.from_metadata(path, properties)
    check_snapshots(len(static.metadata.snapshots))
    # A filter on the partition and one on the key: pruning by our statistics must lose no rows.
    half = static.scan(row_filter="day < '2013-07-01'").to_arrow()
    other = static.scan(row_filter="day >= '2013-07-01'").to_arrow()
    one = static.scan(row_filter="carrier = 'UA'").to_arrow().num_rows
    rows = [tuple(row[name] for name in COLUMNS) for row in half.to_pylist() + other.to_pylist()]
    assert one == sum(row[1] == "UA" for row in rows), "a filter on the key lost rows"
    return rows


def check_snapshots(found):
    expected = int(os.environ["SNAPSHOTS"])
    assert found == expected, f"{found} snapshots, of {expected} commits"


def duckdb_azure(*extensions):
    from container import ACCOUNT, KEY

    con = duckdb_with("azure", *extensions)
    endpoint = f"{os.environ['ENDPOINT']}/{ACCOUNT}"
    account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    con.execute(f"CREATE SECRET of_lake (TYPE azure, CONNECTION_STRING '{account}')")
    return con


def duckdb_azure_hive(table):
    files = f"read_parquet('{table}/*/*.parquet', hive_partitioning = true)"
    return duckdb_azure().execute(SELECT.format(files)).fetchall()


def duckdb_azure_iceberg(table):
    con = duckdb_azure("avro", "iceberg")
    number = con.execute(f"SELECT content FROM read_text('{table}/metadata/version-hint.text')").fetchone()[0]
    metadata = f"{table}/metadata/v{number}.metadata.json"
    check_snapshots(con.execute(f"SELECT count(*) FROM iceberg_snapshots('{metadata}')").fetchone()[0])
    return con.execute(SELECT.format(f"iceberg_scan('{metadata}')")).fetchall()


def polars_hive(table):
    import polars

    frame = polars.scan_parquet(f"{table}/*/*.parquet", hive_partitioning=True)
    return frame.filter(polars.col("sealed")).select(list(COLUMNS)).collect().rows()


def polars_iceberg(table):
    import polars

    return polars.scan_iceberg(newest(table)).select(list(COLUMNS)).collect().rows()


def session(**settings):
    """The only session, with more settings."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.session.timeZone", "UTC").config("spark.sql.shuffle.partitions", "4")
    spark = builder.config("spark.jars", os.environ["ICEBERG_JAR"]).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for name, value in settings.items():
        spark.conf.set(f"spark.sql.catalog.{name.replace('__', '.').replace('_', '-')}", value)
    return spark


def spark_hive(table):
    spark = session()
    spark.read.parquet(table).createOrReplaceTempView("flights")
    merged(spark, "flights")
    return [tuple(row) for row in spark.sql(SELECT.format("flights")).collect()]


def spark_iceberg(table):
    spark = session()
    # The lake has no databases, so a path names the table.
    check_snapshots(spark.read.format("iceberg").load(f"{table}#snapshots").count())
    spark.read.format("iceberg").load(table).createOrReplaceTempView("flights")
    merged(spark, "flights")
    return [tuple(row) for row in spark.sql(SELECT.format("flights")).collect()]


def spark_catalog(url):
    spark = session(
        mounted="org.apache.iceberg.spark.SparkCatalog",
        mounted__type="rest",
        mounted__uri=url,
        mounted__token=os.environ["TOKEN"],
        mounted__rest_page_size="1",
    )
    tables = {row["tableName"] for row in spark.sql("SHOW TABLES IN mounted.lake").collect()}
    assert {"by-carrier", "by-route", "by-origin"} <= tables, tables
    return [tuple(row) for row in spark.sql(SELECT.format("mounted.lake.`by-carrier`")).collect()]


def merged(spark, table):
    """The aircraft of a month, from the sketches of its days, are as many as there are: within 6 %."""
    query = f"""SELECT carrier, hll_sketch_estimate(hll_union_agg(aircraft_sketch, true)) AS aircraft FROM {table}
        WHERE day >= DATE'2013-07-01' AND day < DATE'2013-08-01' GROUP BY carrier"""
    found = {row["carrier"]: row["aircraft"] for row in spark.sql(query).collect()}
    truth = aircraft_of_july()
    assert found.keys() == truth.keys(), f"carriers {found.keys() ^ truth.keys()}"
    for carrier, number in found.items():
        assert abs(number - truth[carrier]) <= 0.06 * truth[carrier], f"{carrier}: {number}, {truth[carrier]} are right"
    print(f"merged sketches of July: {len(found)} carriers, all within 6 %")


def aircraft_of_july():
    """Counted from the raw flights, whose days are those of New York."""
    import gzip
    from datetime import datetime
    from zoneinfo import ZoneInfo

    tails = {}
    zone = ZoneInfo("America/New_York")
    with gzip.open(os.environ["FLIGHTS"], "rt") as file:
        for row in csv.DictReader(file):
            if row["event_time"].isdigit():
                time = datetime.fromtimestamp(int(row["event_time"]), zone)
            else:
                time = datetime.fromisoformat(row["event_time"].replace("Z", "+00:00")).astimezone(zone)
            if (time.year, time.month) == (2013, 7):
                tails.setdefault(row["carrier"], set())
                if row["tailnum"]:
                    tails[row["carrier"]].add(row["tailnum"])
    return {carrier: len(of) for carrier, of in tails.items()}


def newest(table):
    return f"{table}/metadata/v{hint(table)}.metadata.json"


def hint(table):
    """The number of the newest metadata file."""
    if table.startswith("s3://"):
        import boto3

        bucket, key = table.removeprefix("s3://").split("/", 1)
        client = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"])
        found = client.get_object(Bucket=bucket, Key=f"{key}/metadata/version-hint.text")
        return found["Body"].read().decode().strip()
    with open(f"{table.removeprefix('file://')}/metadata/version-hint.text") as file:
        return file.read().strip()


READERS = {
    "duckdb-hive": duckdb_hive,
    "duckdb-iceberg": duckdb_iceberg,
    "pyiceberg": with_pyiceberg,
    "polars-hive": polars_hive,
    "polars-iceberg": polars_iceberg,
    "spark-hive": spark_hive,
    "spark-iceberg": spark_iceberg,
    "duckdb-azure-hive": duckdb_azure_hive,
    "duckdb-azure-iceberg": duckdb_azure_iceberg,
    "duckdb-catalog": duckdb_catalog,
    "pyiceberg-catalog": pyiceberg_catalog,
    "spark-catalog": spark_catalog,
}

if __name__ == "__main__":
    main()
