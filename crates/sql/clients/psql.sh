#!/usr/bin/env bash
# Tests psql against a server: its commands that describe, CSV and COPY. `crates/sql/clients/psql.sh HOST:PORT ANSWERS.csv`
set -euo pipefail
export PGHOST=${1%:*} PGPORT=${1##*:} PGDATABASE=dayfold PGUSER=tester PGPASSWORD='secret of the tester' PGSSLMODE=require
answers=$2
ask() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"; }

ask --command '\conninfo' | grep -q 'SSL'
ask --command '\dt' | grep -q 'public *| by_carrier *| table'
ask --command '\d by_route' | grep -Eq 'origin *\| text'
ask --command '\d hourly' | grep -Eq 'hour *\| timestamp with time zone'
ask --command '\l' | grep -q dayfold
ask --command '\dn' | grep -q public
ask --command '\d+ by_route' | grep -Eq 'flights *\| bigint *\| *\| not null'
ask --command '\dt+' | grep -q 'by_carrier.*permanent'
ask --command '\df' | grep -q '(0 rows)'
for command in '\d+' '\df+' '\l+' '\dn+' '\du' '\dv' '\di' '\dx' '\db'; do ask --command "$command" >/dev/null; done
ask --command '\timing on' --command 'SELECT 1' >/dev/null
# The same bytes as the expected answers.
columns='day, carrier AS key, flights AS events, miles AS distance_sum'
ask --csv --command "SELECT $columns FROM by_carrier ORDER BY day, carrier" >/tmp/found.$$
trap 'rm -f /tmp/found.$$ /tmp/expected.$$' EXIT
cut -d, -f1-3,11 "$answers" >/tmp/expected.$$
cmp /tmp/found.$$ /tmp/expected.$$
ask --command "\\copy (SELECT $columns FROM by_carrier ORDER BY day, carrier) TO STDOUT WITH (FORMAT csv, HEADER)" | cmp - /tmp/expected.$$
ask --command 'BEGIN' --command 'DECLARE c CURSOR FOR SELECT 1' --command 'FETCH ALL FROM c' --command 'COMMIT' >/dev/null
ask --set FETCH_COUNT=100 --tuples-only --command 'SELECT flights FROM by_carrier' | awk '{ n += $1 } END { exit n != 328521 }'
ask --tuples-only --command "SELECT sum(flights) FROM last('by_carrier', '50 years')" | grep -q 328521
! ask --command 'CREATE TABLE x (a int)' 2>/tmp/found.$$
grep -q 'read-only' /tmp/found.$$
echo "psql: \\d and its like, CSV, COPY, cursors, errors"
