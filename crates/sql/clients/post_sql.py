#!/usr/bin/env python3
"""Tests HTTP clients against a program that serves the visits of `dayfold init`.

    crates/sql/clients/post_sql.py http://HOST:PORT VISITS
"""
import csv
import io
import json
import sys
import urllib.error
import urllib.request
from decimal import Decimal

import pyarrow

ADDRESS, VISITS = sys.argv[1], int(sys.argv[2])


def post(sql, accept="application/json", **more):
    body = json.dumps({"sql": sql, **more}).encode()
    headers = {"content-type": "application/json", "accept": accept}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{ADDRESS}/api/sql", body, headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def rows(sql, **more):
    status, body = post(sql, **more)
    assert status == 200, body
    answer = json.loads(body)
    return [column["kind"] for column in answer["columns"]], answer["rows"]


assert rows("SELECT sum(visits) FROM by_status") == (["integer"], [[VISITS]])
by_status = "SELECT status, sum(visits) AS visits FROM by_status GROUP BY status ORDER BY status"
kinds, expected = rows(by_status)
assert len(expected) > 1 and sum(row[1] for row in expected) == VISITS, expected
# The same as CSV, line by line, and as Arrow.
_, body = post(by_status, "text/csv")
assert [[row["status"], row["visits"]] for row in csv.DictReader(io.StringIO(body.decode()))] == [[str(cell) for cell in row] for row in expected]
_, body = post(by_status, "application/x-ndjson")
assert [list(json.loads(line).values()) for line in body.splitlines()] == expected
_, body = post(by_status, "application/vnd.apache.arrow.stream")
table = pyarrow.ipc.open_stream(body).read_all()
assert table.column_names == ["status", "visits"] and table["visits"].to_pylist() == [Decimal(row[1]) for row in expected], table
# Parameters have the types that the statement expects.
one = "SELECT sum(visits) FROM by_status WHERE status = $1 AND day <= $2"
assert rows(one, params=[expected[0][0], "9999-12-31"])[1] == [[expected[0][1]]]
for sql, status, code in [
    ("SELECT", 400, "bad_statement"),
    ("SELECT nothing FROM by_status", 400, "bad_statement"),
    ("DELETE FROM by_status", 400, "read_only"),
    ("SELECT visits / (visits - visits) FROM by_status", 422, "statement_failed"),
]:
    found, body = post(sql)
    assert (found, json.loads(body)["error"]["code"]) == (status, code), (sql, body)
place = json.loads(post("SELECT nothing FROM by_status")[1])["error"]["position"]
assert place == {"line": 1, "column": 8}, place
print("POST /api/sql: JSON, CSV, NDJSON, Arrow, parameters, errors")
