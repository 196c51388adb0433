"""The stores of the tests: each can be started, killed, stopped for a while, and read row by row.

Rows are identified by the texts of their period and key; their values are texts by column, without nulls.
"""

import base64
import csv
import hashlib
import hmac
import http.server
import io
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

VIEWS = {"by-shop": ["day", "shop"], "by-hour": ["hour"]}


def free_port(taken=set()):
    """A port that no outgoing connection gets while a server is down: Linux uses ports from 32768 on for them."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as found:
            if port not in taken and found.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                return port


def wait_until(what, limit, condition):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {limit} s")
        time.sleep(0.05)


class Redis:
    def __init__(self, folder):
        self.folder, self.port, self.process = folder / "redis", free_port(), None
        self.folder.mkdir()

    def start(self):
        options = ["--port", str(self.port), "--dir", str(self.folder), "--appendonly", "yes", "--save", "", "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        wait_until("Redis starts", 120, lambda: self.call("PING").strip() == b"PONG")

    def call(self, *words, script=None):
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, input=script, capture_output=True).stdout

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def rows(self, view):
        """The rows by the parts of their names, as texts; without as_of."""
        script = (
            "local out = {} for _, name in ipairs(redis.call('KEYS', ARGV[1])) do if redis.call('TYPE', name).ok == 'hash' then "
            "local row = {} local all = redis.call('HGETALL', name) for i = 1, #all, 2 do row[all[i]] = all[i + 1] end "
            "out[name] = row end end return cjson.encode(out)"
        )
        said = self.call("EVAL", script, "0", f"dayfold:{view}:*")
        found = {}
        for name, row in (json.loads(said or b"{}") or {}).items():
            parts = [None if part == "%-" else part.replace("%3A", ":").replace("%25", "%") for part in name.split(":")[2:]]
            found[tuple(parts)] = row
        return found


class Postgres:
    def __init__(self, folder):
        self.folder, self.port = folder / "postgres", free_port()
        self.tools = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent
        self.as_user = []
        if os.geteuid() == 0:
            self.folder.mkdir()
            shutil.chown(self.folder, "postgres", "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        self.run("initdb", "-D", str(self.folder), "-U", "dayfold", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")

    def run(self, tool, *options, check=True):
        command = [*self.as_user, str(self.tools / tool), *options]
        return subprocess.run(command, cwd="/", check=check, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        command = ["pg_ctl", "-D", str(self.folder), "-o", options, "-l", str(self.folder / "log"), "-w", "-t", "150", "start"]
        # Processes of the killed server may still be running.
        wait_until("PostgreSQL starts", 180, lambda: self.run(*command, check=False).returncode == 0)

    def pids(self):
        parent = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True).stdout
        return [parent, *map(int, children.split())]

    def signal(self, pids, which):
        for pid in pids:
            # Processes of connections come and go.
            try:
                os.kill(pid, which)
            except ProcessLookupError:
                pass

    def pause(self, seconds):
        pids = self.pids()
        self.signal(pids, signal.SIGSTOP)
        time.sleep(seconds)
        self.signal(pids, signal.SIGCONT)

    def kill(self):
        """Kills every process of the server at once, as in a crash."""
        self.signal(self.pids(), signal.SIGKILL)
        wait_until("PostgreSQL is gone", 30, lambda: self.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), check=False).returncode != 0)
        time.sleep(0.3)

    def query(self, sql):
        command = ["psql", "-X", "-q", "--csv", "-h", "127.0.0.1", "-p", str(self.port), "-U", "dayfold", "postgres", "--pset=null=%-", "-c", sql]
        environment = {**os.environ, "PGTZ": "UTC"}
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout

    def rows(self, view):
        found = {}
        for row in csv.DictReader(io.StringIO(self.query(f'SELECT * FROM "{view}"'))):
            if "hour" in row:
                row["hour"] = row["hour"].replace("+00", "Z").replace(" ", "T")
            row = {name: None if value == "%-" else value for name, value in row.items()}
            key = tuple(row.pop(column) for column in VIEWS[view])
            found[key] = {name: {"t": "true", "f": "false"}.get(value, value) for name, value in row.items() if value is not None}
        return found


class MongoDb:
    """FerretDB, whose documents are in a database of the same PostgreSQL, which is killed as well."""

    def __init__(self, program, folder, postgres):
        self.program, self.postgres, self.port, self.process = program, postgres, free_port(), None
        self.log = open(folder / "ferretdb.log", "ab")

    def start(self):
        if self.process is None:
            self.postgres.query("CREATE DATABASE ferretdb")
        url = f"postgres://dayfold@127.0.0.1:{self.postgres.port}/ferretdb"
        command = [self.program, f"127.0.0.1:{self.port}", url]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def collection(self, view):
        import pymongo

        client = pymongo.MongoClient("127.0.0.1", self.port, timeoutMS=20_000, serverSelectionTimeoutMS=20_000)
        return client, client["answers"][view]

    def rows(self, view):
        import pymongo.errors

        client, documents = self.collection(view)
        found = {}
        try:
            for document in documents.find({"sealed": {"$exists": True}}):
                del document["_id"]
                row = {name: instant(value) if hasattr(value, "strftime") else value for name, value in document.items()}
                key = tuple(row.pop(column) for column in VIEWS[view])
                found[key] = {name: text(value) for name, value in row.items() if value is not None}
        except pymongo.errors.PyMongoError as error:
            raise OSError(str(error)) from error
        finally:
            client.close()
        return found


class Webhook(threading.Thread):
    """A receiver that keeps the rows. It checks signatures, identifies messages by their id, and fences off earlier
    writers. Some of its answers get lost."""

    SECRET = "whsec_" + base64.b64encode(b"a secret of 32 bytes, or so they").decode()

    def __init__(self, chance):
        super().__init__(daemon=True)
        self.port, self.chance, self.lock, self.is_down = free_port(), random.Random(chance.random()), threading.Lock(), False
        self.held, self.epochs, self.seen, self.refused = {view: {} for view in VIEWS}, {}, set(), None
        self.repeated, self.wrong = 0, []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status = receiver.receive(self.headers, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True

    def run(self):
        self.server.serve_forever()

    def start(self):
        self.is_down = False
        if self.ident is None:
            super().start()

    def kill(self):
        self.is_down = True

    def pause(self, seconds):
        with self.lock:
            time.sleep(seconds)

    def receive(self, headers, body):
        """The status of the answer; None if the connection is cut."""
        with self.lock:
            if self.is_down:
                return None
            name, seconds = headers["webhook-id"], headers["webhook-timestamp"]
            secret = base64.b64decode(self.SECRET.removeprefix("whsec_"))
            signed = base64.b64encode(hmac.new(secret, f"{name}.{seconds}.{body}".encode(), hashlib.sha256).digest()).decode()
            if headers["webhook-signature"] != f"v1,{signed}" or abs(time.time() - int(seconds)) > 60:
                self.wrong.append(name)
                return 401
            luck = self.chance.random()
            if luck < 0.05:
                return 503
            message = json.loads(body, parse_float=str, parse_int=str)
            view = message["view"]
            if int(message["epoch"]) < self.epochs.get(view, 0):
                return 409
            if self.refused and any(row.get("shop") == self.refused for row in message.get("rows", [])):
                return 422
            if name in self.seen:
                self.repeated += 1
            elif message["type"] != "ping":
                self.seen.add(name)
                self.epochs[view] = int(message["epoch"])
                self.apply(view, message)
            # The receiver has the message, but the sender does not know it.
            return None if luck < 0.1 else 500 if luck < 0.15 else 200

    def apply(self, view, message):
        held, as_of = self.held[view], int(message["as_of"])
        for row in message.get("rows", []):
            plain_hour(row)
            key = tuple(row.pop(column) for column in VIEWS[view])
            if int(held.get(key, {"as_of": 0})["as_of"]) <= int(row["as_of"]):
                held[key] = {name: text(value) for name, value in row.items() if value is not None}
        is_gone = {
            "removed": lambda period: period == plain(message.get("period")),
            "removed_all_but": lambda period: period not in [plain(kept) for kept in message.get("periods", [])],
        }.get(message["type"], lambda period: False)
        self.held[view] = {key: row for key, row in held.items() if not (is_gone(key[0]) and int(row["as_of"]) < as_of)}

    def rows(self, view):
        with self.lock:
            return {key: dict(row) for key, row in self.held[view].items()}


class Files:
    """The rows of the journal, read from the beginning."""

    def __init__(self, folder):
        self.folder = folder / "answers"

    def rows(self, view):
        found = {}
        path = self.folder / f"{view}.ndjson"
        for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
            if not line.endswith("\n"):
                break
            row = json.loads(line, parse_float=str, parse_int=str)
            if "removed" in row or "removed_all_but" in row:
                is_gone = (lambda day: day == row["removed"]) if "removed" in row else (lambda day: day not in row["removed_all_but"])
                found = {key: old for key, old in found.items() if not (is_gone(key[0]) and int(old["as_of"]) < int(row["as_of"]))}
                continue
            plain_hour(row)
            key = tuple(row.pop(column) for column in VIEWS[view])
            found[key] = {name: text(value) for name, value in row.items() if value is not None}
        return found


def instant(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(period):
    """A period in the form of `dayfold`."""
    return period and period.replace(".000Z", "Z")


def plain_hour(row):
    if "hour" in row:
        row["hour"] = plain(row["hour"])


def text(value):
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
