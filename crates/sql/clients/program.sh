#!/usr/bin/env bash
# Tests psql against `dayfold run` with `[serve] postgres`, without users and with a users file; HTTP clients; and
# `dayfold query`. `crates/sql/clients/program.sh DAYFOLD PYTHON`
set -euo pipefail
dayfold=$1 python=$2
clients=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
program=
trap '[ -z "$program" ] || { kill "$program" 2>/dev/null; wait "$program" || true; }; rm -rf "$work"' EXIT
cd "$work"
"$dayfold" init . >/dev/null
echo 'tester = "secret"' >users.toml

# Starts the program with a line of [serve], and prints its address.
start() {
    sed "s|^http = .*|$1|" dayfold.toml >f.toml
    "$dayfold" check f.toml >/dev/null
    "$dayfold" run f.toml 2>said &
    program=$!
    for _ in $(seq 300); do grep -q '^postgres://' said && break; sleep 0.1; done
    port=$(sed -n 's|^postgres://127.0.0.1:\([0-9]*\)/dayfold$|\1|p' said)
    [ -n "$port" ] || { cat said >&2; return 1; }
}
stop() {
    kill -INT "$program"
    wait "$program"
    program=
}
ask() { psql -X -A -t -F, -h 127.0.0.1 -p "$port" -d dayfold "$@"; }
same() { [ "$1" = "$2" ] || { printf 'expected %s, found %s\n' "$2" "$1" >&2; exit 1; }; }

start 'http = "127.0.0.1:0"\npostgres = "127.0.0.1:0"'
http=$(grep '^http://' said)
# All rows of the file that `init` wrote.
rows=$(($(wc -l <visits.csv) - 1))
sealed='SELECT sum(visits) FROM by_status WHERE sealed'
for _ in $(seq 300); do [ "$(ask -U me -c "$sealed")" = "$rows" ] && break; sleep 0.1; done
same "$(ask -U me -c 'SELECT sum(visits) FROM by_status')" "$rows"
"$python" "$clients/post_sql.py" "$http" "$rows"
by_status='SELECT status, sum(visits) AS n FROM by_status GROUP BY status ORDER BY n DESC, status'
running=$("$dayfold" query f.toml "$by_status" --format csv)
same "$(tail -n +2 <<<"$running")" "$(ask -U me -c "$by_status")"
if ask -U me -c 'CREATE TABLE t (a int)' 2>refused; then echo "a table was made" >&2; exit 1; fi
grep -q 'read-only' refused
stop
# The sealed days, without the program.
same "$("$dayfold" query f.toml "$by_status" --format csv)" "$running"

start 'postgres = { listen = "127.0.0.1:0", users_file = "users.toml" }'
same "$(PGPASSWORD=secret ask -U tester -c 'SELECT 1')" 1
if PGPASSWORD=wrong ask -U tester -c 'SELECT 1' 2>refused; then echo "a wrong password was taken" >&2; exit 1; fi
grep -qi 'password' refused
stop

# Refused before anything runs.
sed 's|^http = .*|postgres = "0.0.0.0:5433"|' dayfold.toml >f.toml
if "$dayfold" check f.toml 2>refused >/dev/null; then echo "it would serve everybody" >&2; exit 1; fi
grep -q 'expected a users_file' refused
echo "psql, dayfold run, dayfold query: ok"
