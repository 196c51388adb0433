"""A machine loses its disk again and again, and goes on from the lake and from Apache Kafka.

A topic of three partitions has orders: some are late by up to 39 days, and some cannot be read. The program counts them by
day and shop, and by month, and exports what it seals. In each round it is killed, and its data folder is removed. The next
round starts from the export, is killed once more while it takes the export over, and reads the topic again. In the end all
rows and all refused rows must be those of one run over the whole topic, and counts and sums those that are computed here.

    lost_disk.py PROGRAM        the program has the features kafka and lake; $KAFKA_BROKERS names a broker (`.ci/kafka COMMAND…`)
"""

import collections
import csv
import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC, PARTITIONS = "orders", 3
DAY_MS = 86_400_000
BEGIN = 1_704_067_200_000  # 2024-01-01
FILE = """
[engine]
data = "data"
workers = 2

[sources.orders]
type = "kafka"
brokers = ["{brokers}"]
topics = ["{topic}"]
start = "earliest"
format = {{ type = "json" }}
event_time = "at"
columns = {{ cents = "integer" }}

[views.daily]
from = "orders"
grace = "0s"
key = {{ shop = "shop" }}
measures = {{ orders = "count()", cents = "sum(cents)", buyers = "distinct(buyer)", p90 = "quantile(cents, 0.9)" }}

[views.monthly]
from = "orders"
grain = "month"
grace = "0s"
measures = {{ orders = "count()", cents = "sum(cents)", most = "max(cents)" }}

[exports.lake]
url = "lake"
states = true
"""
VIEWS = ["daily", "monthly"]


class Orders:
    """Writes orders, and knows the answers."""

    def __init__(self, brokers):
        self.random, self.producer = random.Random(7), Producer({"bootstrap.servers": brokers})
        self.daily, self.monthly = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0])
        self.refused = 0

    def write(self, days):
        for day in days:
            for row in range(200):
                # Every tenth is late. The clock of a partition does not go back.
                of_day = max(0, day - self.random.randrange(40)) if row % 10 == 3 else day
                at = BEGIN + of_day * DAY_MS + row * 400_000 + self.random.randrange(1000)
                shop, cents = self.random.choice("abcde"), self.random.randint(-500, 5000)
                record = {"at": at, "shop": shop, "cents": cents, "buyer": self.random.randrange(300)}
                if row == 77:
                    record["cents"], self.refused = "none", self.refused + 1
                else:
                    date = datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).date()
                    for count in (self.daily[f"{date}", shop], self.monthly[f"{date.replace(day=1)}",]):
                        count[0] += 1
                        count[1] += cents
                # Each partition has all days.
                self.producer.produce(TOPIC, json.dumps(record), partition=row % PARTITIONS)
            self.producer.poll(0)
        assert self.producer.flush(60) == 0, "the broker has not taken all records"


class Machine:
    """A program, its data folder, and the lake elsewhere."""

    def __init__(self, program, folder, brokers):
        self.program, self.folder = program, folder
        os.makedirs(folder)
        with open(os.path.join(folder, "f.toml"), "w") as file:
            file.write(FILE.format(brokers=brokers, topic=TOPIC))

    def start(self, *options):
        return subprocess.Popen([self.program, "run", "f.toml", *options], cwd=self.folder)

    def once(self, *options):
        subprocess.run([self.program, "run", "f.toml", "--once", *options], cwd=self.folder, check=True)

    def cuts(self, view):
        """How many snapshots of a view's table can be started from."""
        metadata = os.path.join(self.folder, "lake", view, "metadata")
        try:
            with open(os.path.join(metadata, "version-hint.text")) as file:
                newest = file.read().strip()
            with open(os.path.join(metadata, f"v{newest}.metadata.json")) as file:
                return file.read().count('"dayfold.cut"')
        except FileNotFoundError:
            return 0

    def rows(self, view):
        query = [self.program, "query", "f.toml", f"SELECT * FROM {view}", "--format", "csv"]
        return subprocess.run(query, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def refused(self):
        with open(os.path.join(self.folder, "data", "refused.csv")) as file:
            return sum(1 for _ in csv.reader(file)) - 1


def wait_until(what, is_so, process):
    end = time.time() + 120
    while not is_so():
        if process.poll() is not None:
            sys.exit(f"{what}: the program has ended with {process.returncode}")
        if time.time() > end:
            sys.exit(f"{what}: not within two minutes")
        time.sleep(0.02)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def counted(text, keys):
    """Orders and cents of the rows of a view, by their keys."""
    return {tuple(row[key] for key in keys): [int(row["orders"]), int(row["cents"])] for row in csv.DictReader(text.splitlines())}


def main():
    program, brokers = os.path.abspath(sys.argv[1]), os.environ["KAFKA_BROKERS"]
    admin = AdminClient({"bootstrap.servers": brokers})
    for made in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
        made.result()
    orders = Orders(brokers)
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(program, os.path.join(folder, "machine"), brokers)
        options = []
        for number, days in enumerate([range(40), range(40, 75), range(75, 100)]):
            orders.write(days)
            before = {view: machine.cuts(view) for view in VIEWS}
            running = machine.start(*options)
            if options:
                # A kill while rows of the export enter the new folder; the same command goes on.
                noted = os.path.join(machine.folder, "data", "start-from.json")
                wait_until("the start is noted", lambda: os.path.exists(noted), running)
                time.sleep(0.1 * number)
                kill(running)
                running = machine.start(*options)
            for view in VIEWS:
                wait_until(f"periods of {view} are exported", lambda: machine.cuts(view) > before[view], running)
            kill(running)
            shutil.rmtree(os.path.join(machine.folder, "data"))
            options = ["--start-from", "lake"]
        orders.write(range(100, 120))
        machine.once(*options)

        whole = Machine(program, os.path.join(folder, "whole"), brokers)
        whole.once()
        for view in VIEWS:
            found, expected = machine.rows(view), whole.rows(view)
            assert found == expected, f"{view}: unlike one run over the topic:\n{found[:500]}\n{expected[:500]}"
        assert counted(machine.rows("daily"), ["day", "shop"]) == orders.daily, "daily: unlike the records"
        assert counted(machine.rows("monthly"), ["month"]) == orders.monthly, "monthly: unlike the records"
        assert machine.refused() == whole.refused() == orders.refused, (machine.refused(), orders.refused)
        rows = len(orders.daily) + len(orders.monthly)
        print(f"a disk lost 3 times, 5 kills: {sum(count for count, _ in orders.daily.values())} orders, {rows} rows, all right")


if __name__ == "__main__":
    main()
