#!/usr/bin/env python3
"""Tests clients that browse against the server of `examples/serve.rs`: pgcli itself, and statements in the forms in which
the PostgreSQL drivers of Grafana, Metabase and DBeaver ask for tables and columns.

    crates/sql/clients/catalogue.py HOST:PORT
"""
import sys

import psycopg
from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial

HOST, PORT = sys.argv[1].rsplit(":", 1)
USER, PASSWORD = "tester", "secret of the tester"
TABLES = ["by_carrier", "by_route", "hourly"]

# The statements ask for the same tables, columns and functions as those of the programs, which are in:
# - Grafana: public/app/plugins/datasource/grafana-postgresql-datasource/postgresMetaQuery.ts; its macros $__timeFilter and
#   $__timeGroup are in pkg/tsdb/grafana-postgresql-datasource/macros.go;
# - Metabase: src/metabase/driver/postgres.clj and driver/sql_jdbc/sync/*.clj, beside the metadata of the JDBC driver
#   (Check.java);
# - DBeaver: org.jkiss.dbeaver.ext.postgresql/model: PostgreDataSource, PostgreDatabase, PostgreExecutionContext, PostgreSchema,
#   PostgreDataTypeCache.

# From Grafana's query builder: the search path decides which tables are named without their schema.
PATH = """quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1),
                         array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS i,
         string_to_array(current_setting('search_path'), ',') s)"""
GRAFANA = {
    "version": "SELECT current_setting('server_version_num')::int/100 AS version",
    "extension": "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'",
    "schemas": "SELECT schema_name AS name FROM information_schema.schemata"
    " WHERE schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_toast') ORDER BY schema_name",
    "tables": f"""SELECT CASE WHEN {PATH} THEN quote_ident(table_name)
            ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
        FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog')
        ORDER BY CASE WHEN {PATH} THEN 0 ELSE 1 END, 1""",
    "columns": f"""SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
        WHERE CASE WHEN array_length(parse_ident('by_carrier'), 1) = 2
            THEN quote_ident(table_schema) = (parse_ident('by_carrier'))[1] AND quote_ident(table_name) = (parse_ident('by_carrier'))[2]
            ELSE quote_ident(table_name) = 'by_carrier' AND {PATH} END""",
    "tables of a schema": "SELECT quote_ident(table_name) AS \"table\" FROM information_schema.tables"
    " WHERE quote_ident(table_schema) = 'public' ORDER BY 1",
    "health": "SELECT 1",
    # A panel by time, with the macros in place.
    "panel": """SELECT floor(extract(epoch from day)/604800)*604800 AS "time", carrier AS metric, sum(flights) AS flights
        FROM by_carrier WHERE day BETWEEN '2013-02-01T00:00:00Z' AND '2013-02-28T23:59:59.999Z' AND carrier IN ('UA', 'AA')
        GROUP BY 1, 2 ORDER BY 1, 2""",
    "table panel": """SELECT day AS "time", sum(flights) AS "value" FROM by_carrier
        WHERE day >= '2013-02-01T00:00:00Z' AND day <= '2013-02-03T23:59:59Z' GROUP BY day ORDER BY day LIMIT 50""",
    "variable": "SELECT DISTINCT carrier FROM by_carrier ORDER BY 1",
}
METABASE = {
    "tables": """SELECT n.nspname AS schema, c.relname AS name,
            CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END AS type,
            d.description AS description, stat.n_live_tup AS estimated_row_count
        FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
        LEFT JOIN pg_catalog.pg_description AS d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
        LEFT JOIN pg_stat_user_tables AS stat ON n.nspname = stat.schemaname AND c.relname = stat.relname
        WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND c.relkind IN ('r', 'p', 'v', 'f', 'm') AND n.nspname IN ('public')
        ORDER BY type ASC, schema ASC, name ASC""",
    "columns": """SELECT c.column_name AS name,
            CASE WHEN c.udt_schema IN ('public', 'pg_catalog') THEN format('%s', c.udt_name)
                ELSE format('"%s"."%s"', c.udt_schema, c.udt_name) END AS database_type,
            c.ordinal_position - 1 AS position, c.table_schema AS schema, c.table_name AS table_name, pk.column_name IS NOT NULL AS is_pk,
            col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS TEXT), CAST(c.table_name AS TEXT)) AS REGCLASS) AS OID),
                c.ordinal_position) AS comment,
            ((column_default IS NULL) OR (LOWER(column_default) = 'null')) AND (is_nullable = 'NO')
                AND NOT (((column_default IS NOT NULL) AND (column_default LIKE '%nextval(%')) OR (is_identity <> 'NO')) AS is_required
        FROM information_schema.columns AS c
        LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints AS tc
            INNER JOIN information_schema.key_column_usage AS kc ON tc.constraint_name = kc.constraint_name
                AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name
            WHERE tc.constraint_type = 'PRIMARY KEY') AS pk
            ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name
        WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_schema IN ('public') AND c.table_name = 'by_carrier'
        ORDER BY schema ASC, table_name ASC, position ASC""",
    "enums": "SELECT nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
    " WHERE t.oid IN (SELECT DISTINCT enumtypid FROM pg_enum e)",
    "zone": "SHOW timezone",
    "materialized columns": """SELECT pa.attname AS name,
            CASE WHEN ptn.nspname IN ('public', 'pg_catalog') THEN format('%s', pt.typname)
                ELSE format('"%s"."%s"', ptn.nspname, pt.typname) END AS database_type,
            pa.attnum - 1 AS position, pn.nspname AS schema, pc.relname AS table_name
        FROM pg_catalog.pg_class AS pc INNER JOIN pg_catalog.pg_namespace AS pn ON pn.oid = pc.relnamespace
        INNER JOIN pg_catalog.pg_attribute AS pa ON pa.attrelid = pc.oid INNER JOIN pg_catalog.pg_type AS pt ON pt.oid = pa.atttypid
        INNER JOIN pg_catalog.pg_namespace AS ptn ON ptn.oid = pt.typnamespace
        WHERE pc.relkind = 'm' AND pa.attnum >= 1 AND pn.nspname IN ('public') ORDER BY schema, table_name, position""",
    "foreign keys": """SELECT fk_ns.nspname AS fk_schema, fk_table.relname AS fk_table, fk_column.attname AS fk_column,
            pk_ns.nspname AS pk_schema, pk_table.relname AS pk_table, pk_column.attname AS pk_column
        FROM pg_constraint AS c INNER JOIN pg_class AS fk_table ON c.conrelid = fk_table.oid
        INNER JOIN pg_namespace AS fk_ns ON c.connamespace = fk_ns.oid
        INNER JOIN pg_attribute AS fk_column ON c.conrelid = fk_column.attrelid
        INNER JOIN pg_class AS pk_table ON c.confrelid = pk_table.oid
        INNER JOIN pg_namespace AS pk_ns ON pk_table.relnamespace = pk_ns.oid
        INNER JOIN pg_attribute AS pk_column ON c.confrelid = pk_column.attrelid
        WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND c.contype = 'f'::char
            AND fk_column.attnum = ANY(c.conkey) AND pk_column.attnum = ANY(c.confkey) AND fk_ns.nspname IN ('public')
        ORDER BY fk_schema, fk_table""",
    # Whether a table can be read, and the questions of its query builder.
    "probe": 'SELECT TRUE AS "_" FROM "public"."by_carrier" WHERE 1 <> 1 LIMIT 0',
    "samples": 'SELECT "public"."by_carrier"."day" AS "day", "public"."by_carrier"."carrier" AS "carrier",'
    ' "public"."by_carrier"."flights" AS "flights" FROM "public"."by_carrier" LIMIT 10000',
    "values": 'SELECT "public"."by_carrier"."carrier" AS "carrier" FROM "public"."by_carrier"'
    ' GROUP BY "public"."by_carrier"."carrier" ORDER BY "public"."by_carrier"."carrier" ASC LIMIT 1000',
    "by month": """SELECT CAST(DATE_TRUNC('month', "public"."by_carrier"."day") AS date) AS "day", SUM("public"."by_carrier"."flights") AS "sum"
        FROM "public"."by_carrier" WHERE ("public"."by_carrier"."day" >= date '2013-01-01') AND ("public"."by_carrier"."day" < date '2014-01-01')
        GROUP BY CAST(DATE_TRUNC('month', "public"."by_carrier"."day") AS date)
        ORDER BY CAST(DATE_TRUNC('month', "public"."by_carrier"."day") AS date) ASC""",
    "by weekday": """SELECT CAST(extract(dow from CAST("public"."by_carrier"."day" AS timestamp)) AS integer) + 1 AS "weekday",
            COUNT(*) AS "count" FROM "public"."by_carrier" GROUP BY 1 ORDER BY 1""",
}
DBEAVER = {
    "session": "SELECT current_schema(), session_user",
    "database": "SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datname = 'dayfold'",
    "setting": "SELECT * FROM pg_catalog.pg_settings WHERE name = 'standard_conforming_strings'",
    "schemas": "SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d"
    " ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass ORDER BY nspname",
    "tables": """SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS partition_expr,
            pg_catalog.pg_get_partkeydef(c.oid) AS partition_key
        FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d
            ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
        WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'public') AND c.relkind NOT IN ('i', 'I', 'c')
        ORDER BY c.relname""",
    "columns": """SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value, dsc.description, dep.objid
        FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)
        LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)
        LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
        LEFT OUTER JOIN pg_depend dep ON dep.refobjid = a.attrelid AND dep.deptype = 'i' AND dep.refobjsubid = a.attnum
            AND dep.classid = dep.refclassid
        WHERE NOT a.attisdropped AND c.relkind NOT IN ('i', 'I', 'c') AND c.relname = 'by_carrier' ORDER BY a.attnum""",
    "types": """SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) AS base_type_name, d.description
        FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem
        LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid
        WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C')""",
    "roles": "SELECT a.oid, a.*, pd.description FROM pg_catalog.pg_roles a LEFT JOIN pg_catalog.pg_shdescription pd ON a.oid = pd.objoid"
    " ORDER BY a.rolname",
    "version": "SELECT version()",
    "path": "SHOW search_path",
    "databases": "SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate OR db.datname = 'dayfold'"
    " ORDER BY db.datname",
    "access methods": "SELECT am.oid, am.* FROM pg_catalog.pg_am am ORDER BY am.oid",
    "encodings": "SELECT c.contoencoding AS encid, pg_catalog.pg_encoding_to_char(c.contoencoding) AS encname"
    " FROM pg_catalog.pg_conversion c GROUP BY c.contoencoding ORDER BY 2",
    "languages": "SELECT l.oid, l.* FROM pg_catalog.pg_language l ORDER BY l.oid",
    "wrappers": "SELECT l.oid, l.*, p.pronamespace AS handler_schema_id FROM pg_catalog.pg_foreign_data_wrapper l"
    " LEFT OUTER JOIN pg_catalog.pg_proc p ON p.oid = l.fdwhandler ORDER BY l.fdwname",
    "tablespaces": "SELECT t.oid, t.*, pg_tablespace_location(t.oid) AS loc FROM pg_catalog.pg_tablespace t ORDER BY t.oid",
    "extensions": "SELECT e.oid, cfg.tbls, n.nspname AS schema_name, e.* FROM pg_catalog.pg_extension e"
    " JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"
    " LEFT JOIN (SELECT 0 AS oid, '' AS tbls) cfg ON cfg.oid = e.oid ORDER BY e.oid",
    "indexes": """SELECT i.*, i.indkey AS keys, c.relname, c.relnamespace, c.relam, tc.relname AS tabrelname, dsc.description,
            pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) AS expr
        FROM pg_catalog.pg_index i INNER JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        INNER JOIN pg_catalog.pg_class tc ON tc.oid = i.indrelid
        LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid = dsc.objoid
        WHERE tc.relname = 'by_carrier' ORDER BY c.relname""",
    "procedures": "SELECT p.oid, p.*, d.description FROM pg_catalog.pg_proc p LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = p.oid"
    " WHERE p.pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'public') ORDER BY p.proname",
    "triggers": "SELECT x.oid, x.*, p.pronamespace AS func_schema_id, d.description FROM pg_catalog.pg_trigger x"
    " LEFT OUTER JOIN pg_catalog.pg_proc p ON p.oid = x.tgfoid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = x.oid"
    " WHERE NOT x.tgisinternal",
    "inherits": "SELECT i.*, c.relnamespace FROM pg_catalog.pg_inherits i, pg_catalog.pg_class c WHERE c.oid = i.inhrelid",
    "enums": "SELECT e.oid, e.* FROM pg_catalog.pg_enum e ORDER BY e.enumsortorder",
    "sizes": "SELECT c.oid, pg_catalog.pg_total_relation_size(c.oid) AS total_rel_size, pg_catalog.pg_relation_size(c.oid) AS rel_size"
    " FROM pg_class c WHERE c.relname = 'by_carrier'",
    "rows": "SELECT x.* FROM public.by_carrier x ORDER BY x.day LIMIT 200",
    "count": "SELECT count(*) FROM public.by_carrier",
    "constraints": "SELECT c.oid, c.*, t.relname AS tabrelname, rt.relnamespace AS refnamespace, d.description"
    " FROM pg_catalog.pg_constraint c INNER JOIN pg_catalog.pg_class t ON t.oid = c.conrelid"
    " LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid = c.confrelid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid"
    " WHERE t.relname = 'by_carrier'",
}


def statements(connection, name, all_of_them):
    """The rows of each statement."""
    rows = {}
    for of, sql in all_of_them.items():
        try:
            rows[of] = connection.execute(sql).fetchall()
        except psycopg.Error as error:
            raise AssertionError(f"{name}, {of}: {error}") from error
    return rows


def main():
    with psycopg.connect(host=HOST, port=PORT, dbname="dayfold", user=USER, password=PASSWORD, autocommit=True) as connection:
        found = statements(connection, "Grafana", GRAFANA)
        assert found["version"] == [(1600,)] and found["extension"] == [] and found["schemas"] == [("public",)], found
        assert found["tables"] == [(name,) for name in TABLES], found["tables"]
        assert {("day", "date"), ("carrier", "text"), ("flights", "bigint")} <= set(found["columns"]), found["columns"]
        assert found["tables of a schema"] == [(name,) for name in TABLES] and found["health"] == [(1,)], found
        assert len(found["panel"]) == 10 and {row[1] for row in found["panel"]} == {"UA", "AA"}, found["panel"]
        assert all(row[0] % 604_800 == 0 for row in found["panel"]) and len(found["table panel"]) == 3, found["table panel"]
        assert len(found["variable"]) == 16, found["variable"]
        found = statements(connection, "Metabase", METABASE)
        assert found["materialized columns"] == found["foreign keys"] == found["probe"] == [], found
        assert len(found["samples"]) > 5_000 and len(found["values"]) == 16 and len(found["by month"]) == 12, found["by month"]
        in_2013 = sum(row[2] for row in found["samples"] if row[0].year == 2013)
        assert sum(row[1] for row in found["by month"]) == in_2013, found["by month"]
        assert [row[0] for row in found["by weekday"]] == list(range(1, 8)), found["by weekday"]
        assert [row[:3] for row in found["tables"]] == [("public", name, "TABLE") for name in TABLES], found["tables"]
        columns = [(row[0], row[1], row[2], row[7]) for row in found["columns"]]
        assert columns[:2] == [("day", "date", 0, True), ("carrier", "text", 1, True)] and ("flights", "int8", 2, True) in columns, columns
        assert found["enums"] == [] and found["zone"] == [("UTC",)], found
        found = statements(connection, "DBeaver", DBEAVER)
        assert found["session"][0][0] == "public" and len(found["database"]) == 1, found["session"]
        assert [row[2] for row in found["tables"]] == TABLES, found["tables"]
        assert [row[0] for row in found["columns"]] == ["by_carrier"] * len(found["columns"]) and found["constraints"] == []
        assert len(found["columns"]) == len(columns) and len(found["types"]) > 50
        assert found["version"][0][0].startswith("PostgreSQL") and found["path"] == [("public",)], found["version"]
        assert "dayfold" in [row[2] for row in found["databases"]], found["databases"]
        assert found["indexes"] == [], found["indexes"]
        assert found["procedures"] == [], found["procedures"]
        assert len(found["rows"]) == 200 and found["count"][0][0] > 5_000 and len(found["sizes"]) == 1, found["sizes"]
    print("the statements of Grafana, Metabase and DBeaver: tables, columns, types")
    pgcli()


def pgcli():
    """Its commands, and the names that it completes."""
    execute = PGExecute(database="dayfold", user=USER, password=PASSWORD, host=HOST, port=PORT, dsn="")
    assert "public" in execute.schemata() and execute.search_path()[0] == "public"
    assert {("public", name) for name in TABLES} <= set(execute.tables()), "tables"
    columns = [tuple(column[1:3]) for column in execute.table_columns() if column[0] == "public"]
    assert ("by_carrier", "flights") in columns and ("hourly", "hour") in columns, columns
    for what in ["views", "view_columns", "databases", "foreignkeys", "functions", "datatypes"]:
        list(getattr(execute, what)())
    special = PGSpecial()
    for command in ["\\d", "\\d by_carrier", "\\d+ by_carrier", "\\dt+", "\\dn+", "\\l", "\\df", "\\du", "\\dv", "\\di", "\\dx"]:
        for title, rows, headers, status in (result[:4] for result in special.execute(execute.conn.cursor(), command)):
            assert headers, (command, status)
            rows = [tuple(row) for row in rows or []]
            if command == "\\d":
                assert {row[1] for row in rows} == set(TABLES), rows
            if command.endswith("by_carrier"):
                assert rows[0][:2] == ("day", "date") and len(rows) == len([c for c in columns if c[0] == "by_carrier"]), rows
    print("pgcli: completion of schemas, tables and columns, commands")


main()
