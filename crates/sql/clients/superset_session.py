#!/usr/bin/env python3
"""What Superset does with a server that `examples/serve.rs` is: its inspector, a dataset with its columns, charts, SQL Lab.

    crates/sql/clients/superset_session.py HOST:PORT ANSWERS.csv

It runs in an environment of its own (crates/sql/clients/superset.txt). ANSWERS.csv has the right rows of by_carrier
(tests/data/flights-2013.by-carrier.new-york.csv).
"""
import csv
import os
import sys
import tempfile
from collections import defaultdict
from unittest import mock

FOLDER = tempfile.TemporaryDirectory()
CONFIG = os.path.join(FOLDER.name, "superset_config.py")
with open(CONFIG, "w") as config:
    config.write(
        f"""
SECRET_KEY = "a key for this test alone"
SQLALCHEMY_DATABASE_URI = "sqlite:///{FOLDER.name}/superset.db"
CACHE_CONFIG = DATA_CACHE_CONFIG = {{"CACHE_TYPE": "NullCache"}}
FILTER_STATE_CACHE_CONFIG = EXPLORE_FORM_DATA_CACHE_CONFIG = {{"CACHE_TYPE": "NullCache"}}
RATELIMIT_ENABLED = False
"""
    )
os.environ["SUPERSET_HOME"] = FOLDER.name
os.environ["SUPERSET_CONFIG_PATH"] = CONFIG

from superset.app import create_app  # noqa: E402

HOST_PORT = sys.argv[1]
ANSWERS = list(csv.DictReader(open(sys.argv[2])))


def summed(key, value="events"):
    found = defaultdict(int)
    for row in ANSWERS:
        found[key(row)] += int(row[value])
    return dict(found)


def chart(dataset, **query):
    """The rows of a chart, by the way that a chart of Superset's page takes."""
    from superset.commands.chart.data.get_data_command import ChartDataCommand
    from superset.common.query_context_factory import QueryContextFactory

    query = {"filters": [], "extras": {}, "row_limit": 10_000, "time_range": "No filter", **query}
    context = QueryContextFactory().create(
        datasource={"id": dataset.id, "type": "table"}, queries=[query], form_data={}, force=True
    )
    [answer] = ChartDataCommand(context).run()["queries"]
    assert answer["error"] is None, answer["error"]
    return answer["data"]


def metric(sql, label):
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label}


def run():
    from superset import db
    from superset.commands.database.test_connection import TestConnectionDatabaseCommand
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.sql.parse import Table

    db.create_all()
    from flask_appbuilder import Model

    Model.metadata.create_all(db.engine)

    uri = f"postgresql+psycopg2://tester:secret of the tester@{HOST_PORT}/dayfold?sslmode=require"
    TestConnectionDatabaseCommand({"sqlalchemy_uri": uri, "database_name": "dayfold"}).run()
    database = Database(database_name="dayfold", expose_in_sqllab=True)
    database.set_sqlalchemy_uri(uri)
    db.session.add(database)
    db.session.commit()
    assert database.db_engine_spec.engine_name == "PostgreSQL"

    # The lists of the page on the left.
    assert database.get_default_catalog() == "dayfold"
    assert "dayfold" in database.get_all_catalog_names()
    assert "public" in database.get_all_schema_names(catalog="dayfold")
    assert database.get_default_schema(None) == "public"
    tables = database.get_all_table_names_in_schema(catalog="dayfold", schema="public")
    names = {table[0] for table in tables}
    assert {"by_carrier", "hourly"} <= names, names
    assert database.get_all_view_names_in_schema(catalog="dayfold", schema="public") == set()

    # A table's columns, and what the page shows of it.
    table = Table("by_carrier", "public", "dayfold")
    assert database.has_table(table)
    columns = {column["column_name"]: str(column["type"]) for column in database.get_columns(table)}
    assert columns["day"] == "DATE" and columns["flights"] == "BIGINT", columns
    assert columns["carrier"] in ("TEXT", "VARCHAR") and columns["sealed"] == "BOOLEAN", columns
    assert not any(name.endswith("_sketch") for name in columns), columns
    assert database.get_foreign_keys(table) == [] and database.get_indexes(table) == []
    assert not database.get_pk_constraint(table)["constrained_columns"]
    assert database.get_table_comment(table) is None
    star = database.select_star(table, limit=3, show_cols=True)
    assert len(database.get_df(star, catalog="dayfold", schema="public")) == 3, star

    # A dataset, and charts of it.
    dataset = SqlaTable(table_name="by_carrier", schema="public", database=database)
    db.session.add(dataset)
    dataset.fetch_metadata()
    db.session.commit()
    kinds = {column.column_name: column.is_dttm for column in dataset.columns}
    assert kinds["day"] and not kinds["flights"], kinds

    flights = metric("SUM(flights)", "flights")
    found = chart(dataset, columns=["carrier"], metrics=[flights], orderby=[[flights, False]])
    expected = summed(lambda row: row["key"])
    assert {row["carrier"]: int(row["flights"]) for row in found} == expected, found
    assert found[0]["carrier"] == max(expected, key=expected.get)

    def of_time(grain, **more):
        axis = {"columnType": "BASE_AXIS", "expressionType": "SQL", "sqlExpression": "day", "label": "day", "timeGrain": grain}
        return chart(dataset, columns=[axis], metrics=[flights], granularity="day", **more)

    found = of_time("P1M")
    assert sorted(int(row["flights"]) for row in found) == sorted(summed(lambda row: row["day"][:7]).values()), found[:3]
    filters = [{"col": "carrier", "op": "IN", "val": ["UA", "B6"]}]
    found = of_time("P1D", filters=filters, time_range="2013-02-01 : 2013-02-03")
    wanted = [row for row in ANSWERS if row["key"] in ("UA", "B6") and row["day"] in ("2013-02-01", "2013-02-02")]
    assert sum(int(row["flights"]) for row in found) == sum(int(row["events"]) for row in wanted), found[:3]
    assert len(found) == 2, found[:3]
    for grain in ("P1W", "P3M", "P1Y"):
        assert sum(int(row["flights"]) for row in of_time(grain)) == sum(expected.values()), grain
    # Distinct counts of a quarter, from the sketches of days.
    found = chart(dataset, columns=["carrier"], metrics=[metric("merge_distinct(aircraft)", "aircraft")])
    assert len(found) == len(expected) and all(row["aircraft"] > 0 for row in found), found
    # The values of a filter, and samples of rows.
    assert sorted(dataset.values_for_column("carrier", limit=1_000)) == sorted(expected)

    # SQL Lab: the limit is put into the statement.
    frame = database.get_df("SELECT origin, sum(flights) AS n FROM by_route GROUP BY origin ORDER BY n DESC", schema="public")
    assert list(frame.columns) == ["origin", "n"] and len(frame) == 3, frame
    cost = database.db_engine_spec.estimate_query_cost(database, "dayfold", "public", "SELECT count(*) FROM by_carrier")
    assert cost is not None
    print(f"Superset: {len(names)} tables, {len(columns)} columns, charts as expected")


with create_app().app_context():
    # Whoever runs this may see everything: rights are Superset's own affair.
    with mock.patch("superset.security.SupersetSecurityManager.raise_for_access"), mock.patch(
        "superset.security.SupersetSecurityManager.can_access_all_datasources", return_value=True
    ):
        run()
