#!/usr/bin/env python3
"""Dayfold's Kafka source beside the client alone, and beside Flink's and Spark's Kafka sources, in one run on one machine.

    .ci/kafka python3 crates/kafka/benches/figures.py                    # ten million records
    .ci/kafka python3 crates/kafka/benches/figures.py --records 100000   # for the results alone

It builds `figures.rs`, fills a topic of four partitions with JSON records of 150 bytes, and reads it with each. All but the client alone
parse the records, count them, and add up an amount by day and user; the results are compared before any time is shown. Of Dayfold the
whole process is timed, with its log and its sealed days on the disk; of a peer the work alone, in a process that has started its
machine before. Peers come from PyPI, and their Kafka sources from Maven Central, into an environment beside the builds.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = {
    "flink": (["setuptools<81", "apache-flink==2.1.0"], ["org.apache.flink:flink-sql-connector-kafka:4.0.1-2.0"]),
    "spark": (["pyspark==4.0.1"], [
        "org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.1",
        # It is used only with secured clusters, and not every mirror has the version of 4.0.1.
        "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.0.0",
        "org.apache.kafka:kafka-clients:3.9.1",
        "org.apache.commons:commons-pool2:2.12.1",
    ]),
}
DAY_MS = 86_400_000


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--records", type=int, default=10_000_000)
    options.add_argument("--runs", type=int, default=3, help="runs of each, of which the median is shown")
    options.add_argument("--seconds", type=int, default=10, help="seconds of 10,000 records each, until they are visible")
    options.add_argument("--freshness", action="store_true", help="measures only that")
    options.add_argument("--program", help="figures, built before")
    options.add_argument("--recovery", action="store_true", help="measures only what comes after a kill")
    options.add_argument("--peer", help=argparse.SUPPRESS)
    options = options.parse_args()
    brokers, topic = os.environ["KAFKA_BROKERS"], "figures"
    if options.peer:
        return {"flink": flink, "spark": spark}[options.peer](brokers, topic)
    program = options.program or build()

    def figures(*arguments):
        return json.loads(subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.PIPE).stdout)

    def median(run):
        runs = sorted((run() for _ in range(options.runs)), key=lambda of: of["seconds"])
        return runs[len(runs) // 2]

    print(f"{machine()}; {options.records:,} records; medians of {options.runs}\n", flush=True)
    if options.freshness:
        return freshness(figures, brokers, options)
    figures("fill", brokers, topic, options.records)
    with tempfile.TemporaryDirectory() as place:
        folders = (os.path.join(place, str(n)) for n in range(1_000))
        if options.recovery:
            return recovery(program, brokers, topic, next(folders))
        client = median(lambda: figures("consume", brokers, topic, options.records))
        show("rdkafka's consumer, nothing parsed", client, options.records, client)
        for workers in (1, 2):
            ours = median(lambda: figures("read", brokers, topic, next(folders), workers))
            assert ours["records"] == options.records, ours
            show(f"Dayfold, {workers} worker(s), at most {ours['memory_mib']} MiB", ours, options.records, client)
        for name in PEERS:
            peer(name, ours, options, client)
        recovery(program, brokers, topic, next(folders))
    freshness(figures, brokers, options)


def freshness(figures, brokers, options):
    """How long after its acknowledgement a record is available: with the client alone, and in answers."""
    # A broker that has just started is still compiling its code.
    figures("deliver", brokers, "warm", options.seconds)
    client, ours = [], []
    for run in range(options.runs):
        client.append(figures("deliver", brokers, f"deliver-{run}", options.seconds))
        with tempfile.TemporaryDirectory() as folder:
            ours.append(figures("fresh", brokers, f"fresh-{run}", folder, options.seconds))
    print(f"\nafter its acknowledgement, at 10,000 a second for {options.seconds} s (p50, p99, most):")
    for name, runs in ("the client alone has it", client), ("it is visible in Dayfold", ours):
        figure = lambda what: statistics.median(run[what] for run in runs)
        print(f"{name:<40} {figure('p50_ms'):8.2f} ms {figure('p99_ms'):8.2f} ms {figure('max_ms'):8.2f} ms")


def build():
    command = ["cargo", "bench", "--locked", "-p", "dayfold-kafka", "--bench", "figures", "--no-run"]
    told = subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.PIPE, text=True).stderr
    return ROOT / re.search(r"\((\S*figures-\S*)\)", told).group(1)


def show(name, of, records, client):
    rate, part = records / of["seconds"], client["seconds"] / of["seconds"]
    print(f"{name:45} {of['seconds']:8.2f} s {rate / 1000:10.0f} k/s {part:7.2f} of the client", flush=True)


def result(of):
    return [of[name] for name in ("rows", "records", "sum")]


def peer(name, ours, options, client):
    """Reports a peer that is not available or fails, instead of hiding it."""
    try:
        python, jars = environment(name)
        command = [python, __file__, "--peer", name, "--runs", str(options.runs)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ, FIGURES_JARS=jars))
        runs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"{name:45} not measured: {error}", flush=True)
        return
    for run in runs:
        assert result(run) == result(ours), f"{name} has {result(run)}, Dayfold {result(ours)}"
    # The first run warms up.
    seconds = statistics.median(run["seconds"] for run in runs[1:])
    show(f"{name}, 2 threads", {"seconds": seconds}, options.records, client)


def environment(name):
    packages, jars = PEERS[name]
    folder = TARGET / "peers-kafka" / name
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        for jar in jars:
            copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={jar}", f"-DoutputDirectory={folder}"]
            subprocess.run(copy, check=True)
        (folder / "complete").touch()
    return python, ",".join(str(folder / "-".join(jar.split(":")[1:])) + ".jar" for jar in jars)


def timed(options_runs, work):
    """Runs it once more than requested, and prints each result."""
    import time

    for _ in range(options_runs + 1):
        begun = time.time()
        rows = work()
        seconds = time.time() - begun
        print(json.dumps({"seconds": seconds, "rows": len(rows), "records": sum(row[2] for row in rows), "sum": sum(row[3] for row in rows)}), flush=True)


def runs():
    return int(sys.argv[sys.argv.index("--runs") + 1])


def flink(brokers, topic):
    from pyflink.table import EnvironmentSettings, TableEnvironment

    table = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    config = table.get_config()
    config.set("pipeline.jars", ";".join(f"file://{jar}" for jar in os.environ["FIGURES_JARS"].split(",")))
    config.set("parallelism.default", "2")
    table.execute_sql(f"""
        CREATE TABLE records (`at` BIGINT, `user` STRING, `amount` BIGINT) WITH (
            'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}', 'format' = 'json',
            'properties.isolation.level' = 'read_committed',
            'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset')""")
    query = f"SELECT `at` / {DAY_MS}, `user`, COUNT(*), SUM(`amount`) FROM records GROUP BY `at` / {DAY_MS}, `user`"
    timed(runs(), lambda: list(table.execute_sql(query).collect()))


def spark(brokers, topic):
    from pyspark.sql import SparkSession, functions as of

    session = SparkSession.builder.master("local[2]").config("spark.jars", os.environ["FIGURES_JARS"]).config("spark.driver.memory", "3g")
    session = session.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")

    def work():
        records = session.read.format("kafka").option("kafka.bootstrap.servers", brokers).option("subscribe", topic)
        records = records.option("startingOffsets", "earliest").option("endingOffsets", "latest").load()
        fields = records.select(of.from_json(of.col("value").cast("string"), "at BIGINT, user STRING, amount BIGINT").alias("r"))
        day = of.floor(of.col("r.at") / DAY_MS)
        return fields.groupBy(day, of.col("r.user")).agg(of.count("*"), of.sum("r.amount")).collect()

    timed(runs(), work)


def recovery(program, brokers, topic, folder):
    """Waits until everything is read and durable, and then kills everything."""
    holding = subprocess.Popen([program, "hold", brokers, topic, folder, "2"], stdout=subprocess.PIPE, text=True)
    held = json.loads(holding.stdout.readline())
    holding.send_signal(signal.SIGKILL)
    holding.wait()
    again = subprocess.run([program, "recover", brokers, topic, folder, "2"], check=True, stdout=subprocess.PIPE)
    again = json.loads(again.stdout)
    assert result(again) == result(held), (again, held)
    print(f"after a kill behind {held['records']:,} records: answers after {again['seconds']:.2f} s, {again['replayed']:,} records replayed")


def machine():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = ", ".join(package.replace("==", " ") for packages, _ in PEERS.values() for package in packages if "==" in package)
    return f"{found.group(1) if found else 'unknown'}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.0f}, {versions}"


if __name__ == "__main__":
    main()
