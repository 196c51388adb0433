"""The stores of the tests: each can be started, killed, stopped for a while, and read row by row.

Rows are identified by the texts of their period and key; their values are texts by column, without nulls.
"""

import base64
import csv
import hashlib
import hmac
import http.client
import http.server
import io
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "kafka/proof"))
from broker import Broker, free_port, make_certificates  # noqa: E402

VIEWS = {"by-shop": ["day", "shop"], "by-hour": ["hour"]}


def wait_until(what, limit, condition):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {limit} s")
        time.sleep(0.05)


class Redis:
    def __init__(self, folder):
        self.folder, self.port, self.process = folder / "redis", free_port(), None
        self.url = f"redis://127.0.0.1:{self.port}"
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
        if self.process is not None:
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
    """PostgreSQL, with TLS for those who ask for it: `authority` is the file of who has signed its certificate."""

    def __init__(self, folder):
        self.folder, self.port, self.authority = folder / "postgres", free_port(), folder / "authority/ca.pem"
        self.url = f"postgresql://dayfold@127.0.0.1:{self.port}/postgres"
        self.tools = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent
        self.as_user = []
        if os.geteuid() == 0:
            self.folder.mkdir()
            shutil.chown(self.folder, "postgres", "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        self.run("initdb", "-D", str(self.folder), "-U", "dayfold", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        certificates = self.authority.parent
        certificates.mkdir()
        make_certificates(str(certificates))
        for name, made in (("server.crt", "node.crt"), ("server.key", "node.key")):
            shutil.copy(certificates / made, self.folder / name)
            (self.folder / name).chmod(0o600)
            if self.as_user:
                shutil.chown(self.folder / name, "postgres", "postgres")

    def run(self, tool, *options, check=True):
        command = [*self.as_user, str(self.tools / tool), *options]
        return subprocess.run(command, cwd="/", check=check, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c ssl=on"
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

    def stop(self):
        self.run("pg_ctl", "-D", str(self.folder), "-m", "immediate", "stop", check=False)

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
        self.url = f"mongodb://127.0.0.1:{self.port}/answers?decimals=text"

    def start(self):
        if self.process is None:
            self.postgres.query("CREATE DATABASE ferretdb")
        url = f"postgres://dayfold@127.0.0.1:{self.postgres.port}/ferretdb"
        command = [self.program, f"127.0.0.1:{self.port}", url]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def has_collections(self):
        """Whether the collections of all views exist with the index that the sink makes last.

        FerretDB 1 makes a collection in three statements, each in a transaction of its own. If it or PostgreSQL is
        killed between them, it can never make the collection again ("relation already exists"), so nothing is killed before.
        """
        import pymongo.errors

        client, _ = self.collection("by-hour")
        try:
            return all(len(client["answers"][view].index_information()) > 1 for view in VIEWS)
        except pymongo.errors.PyMongoError:
            return False
        finally:
            client.close()

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process is not None:
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


class Cassandra:
    """One node of Apache Cassandra, which answers only when its log is on the disk."""

    # What its own scripts give to Java 17.
    PACKAGES = [*(f"java.{name}" for name in ("io", "lang", "lang.module", "net", "nio", "util", "util.concurrent", "util.concurrent.atomic"))]
    PACKAGES += ["sun.nio.ch", *(f"jdk.internal.{name}" for name in ("loader", "math", "misc", "module", "ref", "reflect", "util.jar"))]
    EXPORTS = ["java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server"]
    EXPORTS += ["java.rmi/sun.rmi.transport.tcp", "java.sql/java.sql"]

    def __init__(self, lib, folder):
        self.lib, self.folder, self.port, self.process = lib, folder / "cassandra", free_port(), None
        self.lock, self.cluster, self.session = threading.Lock(), None, None
        # It logs whatever goes wrong while the node is away.
        logging.getLogger("cassandra").setLevel(logging.CRITICAL)
        self.folder.mkdir()
        self.url, peers = f"cassandra://127.0.0.1:{self.port}/answers", free_port()
        folders = ("data_file_directories: [{}/data]", "commitlog_directory: {}/log", "hints_directory: {}/hints", "saved_caches_directory: {}/saved")
        settings = [
            *(line.format(self.folder) for line in folders),
            "cluster_name: test",
            "num_tokens: 1",
            "partitioner: org.apache.cassandra.dht.Murmur3Partitioner",
            "endpoint_snitch: SimpleSnitch",
            f"seed_provider: [{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{{seeds: '127.0.0.1:{peers}'}}]}}]",
            "listen_address: 127.0.0.1",
            "rpc_address: 127.0.0.1",
            f"storage_port: {peers}",
            f"native_transport_port: {self.port}",
            "commitlog_sync: batch",
            "commitlog_segment_size: 4MiB",
            "memtable_heap_space: 64MiB",
            "memtable_offheap_space: 64MiB",
            "file_cache_size: 64MiB",
            "auto_snapshot: false",
        ]
        (self.folder / "cassandra.yaml").write_text("\n".join(settings) + "\n")
        (self.folder / "logback.xml").write_text(
            '<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %p %m%n</pattern></encoder>'
            '</appender><root level="WARN"><appender-ref ref="OUT"/></root></configuration>'
        )

    def start(self):
        is_first = self.process is None
        opens = [f"--add-{how}=java.base/{name}=ALL-UNNAMED" for name in self.PACKAGES for how in ("opens", "exports")]
        opens += [f"--add-exports={name}=ALL-UNNAMED" for name in self.EXPORTS]
        opens += ["--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED"]
        memory = ["-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        settings = {
            "jdk.attach.allowAttachSelf": "true",
            "logback.configurationFile": self.folder / "logback.xml",
            "cassandra.config": f"file://{self.folder}/cassandra.yaml",
            "cassandra.storagedir": self.folder,
            "cassandra-foreground": "yes",
            # There is nobody whose state has to be waited for.
            "cassandra.skip_wait_for_gossip_to_settle": 0,
            "cassandra.ring_delay_ms": 0,
        }
        settings = [f"-D{name}={value}" for name, value in settings.items()]
        command = ["java", *memory, *opens, *settings, "-cp", f"{self.lib}/*", "org.apache.cassandra.service.CassandraDaemon"]
        with open(self.folder / "output", "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        if is_first:
            strategy = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            wait_until("Cassandra starts", 180, lambda: self.tried(f"CREATE KEYSPACE IF NOT EXISTS answers WITH replication = {strategy}"))

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def tried(self, statement):
        if self.process.poll() is not None:
            raise SystemExit(f"Cassandra ended: {(self.folder / 'output').read_text()[-3000:]}")
        try:
            self.query(statement)
        except OSError:
            return False
        return True

    def query(self, statement):
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import WhiteListRoundRobinPolicy
        from cassandra.query import dict_factory

        with self.lock:
            try:
                if self.cluster is None:
                    profile = ExecutionProfile(WhiteListRoundRobinPolicy(["127.0.0.1"]), row_factory=dict_factory, request_timeout=20)
                    self.cluster = Cluster(["127.0.0.1"], port=self.port, connect_timeout=20, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
                    self.session = self.cluster.connect()
                return list(self.session.execute(statement))
            except Exception as error:  # The driver has many kinds of them.
                self.cluster.shutdown()
                self.cluster = None
                raise OSError(str(error)) from error

    def rows(self, view):
        table, found = view.replace("-", "_"), {}
        for row in self.query(f"SELECT * FROM answers.{table}"):
            row = {name: instant(value) if hasattr(value, "hour") else value for name, value in row.items()}
            key = tuple(str(row.pop(column)) for column in VIEWS[view])
            found[key] = {name: text(value) for name, value in row.items() if value is not None}
        return found


class HBase:
    """Apache HBase and its REST gateway. One process has the master, the server of regions and ZooKeeper."""

    OPENS = ["java.base/" + name for name in ("java.io", "java.lang", "java.lang.reflect", "java.net", "java.nio", "java.util", "sun.nio.ch", "jdk.internal.ref")]

    def __init__(self, lib, folder):
        self.lib, self.folder, self.port, self.processes = lib, folder / "hbase", free_port(), []
        self.url = f"hbase://127.0.0.1:{self.port}"
        self.folder.mkdir()
        settings = {
            "hbase.rootdir": f"file://{self.folder}/data",
            "hbase.tmp.dir": self.folder / "tmp",
            "hbase.cluster.distributed": "false",
            # This file system gives the log to the operating system at once, so that it survives a kill.
            "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
            "hbase.unsafe.stream.capability.enforce": "false",
            "hbase.zookeeper.quorum": "127.0.0.1",
            "hbase.zookeeper.property.dataDir": self.folder / "zookeeper",
            "hbase.zookeeper.property.clientPort": free_port(),
            # A server that was killed is missed soon.
            "hbase.zookeeper.property.tickTime": 1_000,
            "zookeeper.session.timeout": 6_000,
            "hbase.rest.host": "127.0.0.1",
            "hbase.rest.port": self.port,
            "hbase.rest.info.port": -1,
        }
        for part in ("master", "regionserver"):
            settings |= {f"hbase.{part}.hostname": "127.0.0.1", f"hbase.{part}.port": 0, f"hbase.{part}.info.port": -1}
        lines = [f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items()]
        (self.folder / "hbase-site.xml").write_text("\n".join(["<configuration>", *lines, "</configuration>"]))
        layout = ["layout=org.apache.log4j.PatternLayout", "layout.ConversionPattern=%d %p %c{1}: %m%n"]
        lines = ["log4j.rootLogger=WARN,out", "log4j.appender.out=org.apache.log4j.ConsoleAppender", *(f"log4j.appender.out.{line}" for line in layout)]
        (self.folder / "log4j.properties").write_text("\n".join(lines))

    def start(self):
        is_first = not self.processes
        opens = [f"--add-opens={name}=ALL-UNNAMED" for name in self.OPENS]
        self.processes = []
        for program, memory in (("master.HMaster", 512), ("rest.RESTServer", 128)):
            options = [f"-Xmx{memory}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *opens, "-cp", f"{self.folder}:{self.lib}/*"]
            with open(self.folder / program, "ab") as log:
                command = ["java", *options, f"org.apache.hadoop.hbase.{program}", "start"]
                self.processes.append(subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log))
        if is_first:
            wait_until("HBase starts", 180, self.is_up)

    def is_up(self):
        try:
            return self.ask("GET", "")[0] == 200
        except OSError:
            return False

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()

    def pause(self, seconds):
        for which in (signal.SIGSTOP, signal.SIGCONT):
            for process in self.processes:
                process.send_signal(which)
            time.sleep(seconds if which == signal.SIGSTOP else 0)

    def ask(self, method, path, body=None):
        headers = {"accept": "application/json", "content-type": "application/json"}
        body = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", method=method, headers=headers, data=body)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error

    def put(self, view, key, cells, time):
        """Writes a row as somebody else would."""
        cells = [{"column": coded(f"r:{name}"), "timestamp": time, "$": coded(value)} for name, value in cells.items()]
        status, said = self.ask("PUT", f"{view}/rows", {"Row": [{"key": coded(key), "Cell": cells}]})
        assert status == 200, said

    def found(self, view):
        """The rows by their keys."""
        status, said = self.ask("GET", f"{view}/*")
        if status != 200:
            raise OSError(f"HBase answers {status}")
        plain = lambda text: base64.b64decode(text).decode()
        rows = json.loads(said)["Row"]
        return {plain(row["key"]): {plain(cell["column"])[2:]: plain(cell["$"]) for cell in row["Cell"]} for row in rows}

    def rows(self, view):
        rows = {}
        for row in self.found(view).values():
            row = {name: json.loads(value, parse_float=str, parse_int=str) for name, value in row.items()}
            plain_hour(row)
            key = tuple(row.pop(column) for column in VIEWS[view])
            rows[key] = {name: text(value) for name, value in row.items() if value is not None}
        return rows


class Kafka:
    """Apache Kafka, whose topics are read from their beginnings, as far as transactions are committed. It compacts them soon and often."""

    RECORD_MAX = 65_536

    def __init__(self, lib, folder):
        data = folder / "kafka"
        data.mkdir()
        more = {"log.segment.bytes": 1 << 20, "log.cleaner.backoff.ms": 500, "log.cleaner.min.cleanable.ratio": 0.01}
        more |= {"log.roll.ms": 5_000, "num.partitions": 2, "message.max.bytes": self.RECORD_MAX}
        self.broker = Broker(lib, str(data), more=more)
        self.port = self.broker.port
        self.url = f"kafka://{self.broker.address}/answers."

    def start(self):
        self.broker.start()

    def kill(self):
        self.broker.kill()

    def pause(self, seconds):
        self.broker.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.broker.signal(signal.SIGCONT)

    def client(self, kind, **more):
        settings = {"bootstrap.servers": self.broker.address, "log_level": 0} | {name.replace("_", "."): value for name, value in more.items()}
        return kind({"error_cb": lambda error: None} | settings)

    def send(self, view, records):
        """Records of nobody's, beside those of the sink."""
        import confluent_kafka

        producer = self.client(confluent_kafka.Producer, partitioner="murmur2_random")
        for key, value in records:
            producer.produce(f"answers.{view}", key=key, value=value)
        assert producer.flush(60) == 0

    def rows(self, view):
        import confluent_kafka as kafka

        settings = {"group_id": "test", "isolation_level": "read_committed", "enable_partition_eof": True, "enable_auto_commit": False}
        consumer, topic, found = self.client(kafka.Consumer, **settings), f"answers.{view}", {}
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([kafka.TopicPartition(topic, partition, kafka.OFFSET_BEGINNING) for partition in partitions])
            left = set(partitions)
            while left:
                record = consumer.poll(10)
                if record is None:
                    raise OSError("Kafka does not answer")
                if record.error():
                    if record.error().code() != kafka.KafkaError._PARTITION_EOF:
                        raise OSError(str(record.error()))
                    left.discard(record.partition())
                    continue
                key = json.loads(record.key())
                assert list(key) == VIEWS[view], key
                key = tuple(plain(part) for part in key.values())
                if record.value() is None:
                    found.pop(key, None)
                    continue
                row = json.loads(record.value(), parse_float=str, parse_int=str)
                assert key == tuple(plain(row.pop(column)) for column in VIEWS[view]), (key, row)
                found[key] = {name: text(value) for name, value in row.items() if value is not None}
        except kafka.KafkaException as error:
            raise OSError(str(error)) from error
        finally:
            consumer.close()
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
        # A sender that is killed cuts its connection.
        self.server.handle_error = lambda request, address: None
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


def coded(text):
    return base64.b64encode(text.encode()).decode()


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
