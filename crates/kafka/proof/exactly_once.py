"""Exactly once, against Apache Kafka: processes and brokers are killed, and every answer is compared with a recomputation.

A producer writes transactions into a topic of four partitions, and aborts a third of them. Two processes with two workers
each count the records by day and key. In each round something is killed (a process, all, the broker) or stopped for
seconds. Then the producer pauses, Kafka's own consumer (Java) reads the topic from its beginning, and the answers
have to be the same: nothing lost, nothing doubled, nothing of an aborted transaction.

Needs confluent-kafka for the producer; `.ci/kafka` installs everything and runs five rounds.
"""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from broker import Broker, free_port

TOPIC, PARTITIONS = "counts", 4
KEYS = "abcdefghijklmnop"
DAY_MS = 86_400_000
BEGIN = 1_704_067_200_000  # 2024-01-01


class Writer(threading.Thread):
    """Writes transactions until it is stopped; the topic itself tells which were committed."""

    def __init__(self, address, seed, rate):
        super().__init__(daemon=True)
        self.address, self.random, self.rate = address, random.Random(seed), rate
        self.running, self.idle = threading.Event(), threading.Event()
        self.sequence, self.aborted, self.begun = 0, 0, 0

    def record(self):
        self.sequence += 1
        # 1,440 records a day, sometimes up to two days out of order.
        behind = self.random.choice([0] * 20 + [DAY_MS // 10, 2 * DAY_MS]) * self.random.random()
        event = {
            "at": int(BEGIN + self.sequence * 60_000 - behind),
            "key": self.random.choice(KEYS),
            "value": self.random.randint(-1000, 1000),
        }
        return json.dumps(event, separators=(",", ":"))

    def run(self):
        producer = None
        while True:
            if not self.running.is_set():
                self.idle.set()
                self.running.wait()
                self.idle.clear()
            try:
                if producer is None:
                    producer = Producer({
                        "bootstrap.servers": self.address,
                        "transactional.id": "writer",
                        "transaction.timeout.ms": 15_000,
                        "message.timeout.ms": 10_000,
                        "log_level": 0,
                    })
                    producer.init_transactions(30)
                producer.begin_transaction()
                self.begun += 1
                count = self.random.randint(20, 200)
                for _ in range(count):
                    producer.produce(TOPIC, self.record(), partition=self.random.randrange(PARTITIONS))
                    producer.poll(0)
                if self.begun % 3 == 0:
                    # Flushed first, so that the records are in the topic.
                    producer.flush(10)
                    producer.abort_transaction(10)
                    self.aborted += 1
                else:
                    producer.commit_transaction(10)
                time.sleep(count / self.rate)
            except (KafkaException, BufferError):
                producer = None
                time.sleep(0.2)


class Program:
    """The two processes."""

    def __init__(self, program, address, folder, log):
        self.program, self.address, self.folder, self.log = program, address, folder, log
        self.processes = []

    def start(self):
        hosts = os.path.join(self.folder, "hosts")
        with open(hosts, "w") as file:
            file.writelines(f"127.0.0.1:{free_port()}\n" for _ in range(2))
        self.processes = [
            subprocess.Popen(
                [self.program, self.address, TOPIC, os.path.join(self.folder, "views"),
                 "-w", "2", "-n", "2", "-p", str(index), "-h", hosts],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1,
            )
            for index in range(2)
        ]

    def ask(self, what, process=0):
        asked = self.processes[process]
        asked.stdin.write(what + "\n")
        asked.stdin.flush()
        lines = []
        while True:
            line = asked.stdout.readline()
            if not line:
                raise RuntimeError(f"process {process} has ended with {asked.wait()}")
            if line == ".\n":
                return lines
            lines.append(line.rstrip("\n"))

    def kill(self, indices):
        for index in indices:
            self.processes[index].kill()
        for process in self.processes:
            # The other process notices that it is alone, and ends.
            process.wait(60)
            process.stdin.close()
            process.stdout.close()

    def stop(self):
        for process in self.processes:
            process.stdin.write("stop\n")
            process.stdin.close()
        for index, process in enumerate(self.processes):
            if process.wait(60) != 0:
                sys.exit(f"process {index} did not stop in order: see the log")


def mark_end(address, number):
    """Writes a last record of a round into each partition; everything is read up to these."""
    producer = Producer({"bootstrap.servers": address, "acks": "all", "log_level": 0})
    event = json.dumps({"at": BEGIN, "key": "end", "value": number}, separators=(",", ":"))
    for partition in range(PARTITIONS):
        producer.produce(TOPIC, event, partition=partition)
    if producer.flush(60) > 0:
        sys.exit("the broker does not take the last records of a round")


def recompute(broker, number):
    """The rows by day and key, and the number of records, that Kafka's own consumer reads up to the end of a round."""
    consumer = subprocess.Popen(
        broker.java(
            "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker.address,
            "--topic", TOPIC, "--from-beginning", "--isolation-level", "read_committed",
            "--property", "print.partition=true", "--property", "print.offset=true",
        ),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    rows, last, ended = collections.defaultdict(lambda: [0, 0]), {}, set()
    records = 0
    for line in consumer.stdout:
        partition, offset, text = line.rstrip("\n").split("\t")
        offset = int(offset.split(":")[1])
        if offset <= last.get(partition, -1):
            sys.exit(f"Kafka's consumer has read twice: {line}")
        last[partition] = offset
        event = json.loads(text)
        day = time.strftime("%Y-%m-%d", time.gmtime(event["at"] // 1000))
        row = rows[f"{day} {event['key']}"]
        row[0] += 1
        row[1] += event["value"]
        records += 1
        if event["key"] == "end" and event["value"] == number:
            ended.add(partition)
            if len(ended) == PARTITIONS:
                break
    consumer.kill()
    consumer.wait()
    if len(ended) < PARTITIONS:
        sys.exit("Kafka's consumer has ended early")
    return dict(rows), records


def answers(program):
    rows = {}
    for line in program.ask("answers"):
        day, key, count, total = line.split(" ")
        rows[f"{day} {key}"] = [int(count), int(total)]
    return rows


def compare(program, expect, records, limit):
    """Waits until as many records are counted as there are, and compares every answer."""
    end, found = time.time() + limit, {}
    while time.time() < end:
        found = answers(program)
        counted = sum(count for count, _ in found.values())
        if counted > records:
            break
        if found == expect:
            return
        time.sleep(0.2)
    wrong = [key for key in set(found) | set(expect) if found.get(key) != expect.get(key)]
    counted = sum(count for count, _ in found.values())
    print(f"WRONG: {counted} records counted, {records} there are; {len(wrong)} rows differ, such as")
    for key in sorted(wrong)[:10]:
        print(f"  {key}: {found.get(key)}, and should be {expect.get(key)}")
    for process in range(2):
        print("\n".join(program.ask("status", process)))
    sys.exit(1)


def wait_for_trouble(program):
    """Waits until the status says of a partition that its broker is away, at most a minute."""
    end = time.time() + 60
    while time.time() < end:
        # Name, position, lag, whether it is quiet, and the error.
        if any(len(line.split(" ", 4)) == 5 and line.split(" ", 4)[4] for line in program.ask("status")[:-1]):
            return
        time.sleep(0.1)
    raise AssertionError("the broker is away, and the status does not say so")


def disturb(what, program, broker, chance):
    """Causes one kind of failure. Returns whether the program has to be started again."""
    if what == "process":
        program.kill([chance.randrange(2)])
    elif what == "all":
        program.kill([0, 1])
    elif what == "broker":
        broker.kill()
        wait_for_trouble(program)
        time.sleep(chance.uniform(0.2, 3))
        broker.start()
    elif what == "stop a process":
        victim = program.processes[chance.randrange(2)]
        victim.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(1, 4))
        victim.send_signal(signal.SIGCONT)
    elif what == "stop the broker":
        broker.signal(signal.SIGSTOP)
        time.sleep(chance.uniform(1, 6))
        broker.signal(signal.SIGCONT)
    elif what == "all and the broker":
        program.kill([0, 1])
        broker.kill()
        broker.start()
    return what in ("process", "all", "all and the broker")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lib", required=True, help="folder with the jars of Apache Kafka")
    parser.add_argument("--program", required=True, help="the built example counts")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", type=float, default=2_000, help="records a second")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    kinds = ["process", "all", "broker", "stop a process", "stop the broker", "all and the broker"]
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "w+") as log:
        broker = Broker(options.lib, folder)
        broker.start()
        program = Program(options.program, broker.address, folder, log)
        try:
            admin = AdminClient({"bootstrap.servers": broker.address})
            admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(60)
            writer = Writer(broker.address, options.seed, options.rate)
            writer.start()
            program.start()
            print(f"seed {options.seed}", flush=True)
            happened, begin = collections.Counter(), time.time()
            for number in range(options.rounds):
                writer.running.set()
                # Each kind comes, in any order.
                if number % len(kinds) == 0:
                    chance.shuffle(kinds)
                what = kinds[number % len(kinds)]
                time.sleep(chance.uniform(0.5, 4))
                started, recovered = disturb(what, program, broker, chance), ""
                if started:
                    start = time.time()
                    program.start()
                    while not program.ask("status")[-1].startswith("recovered true"):
                        time.sleep(0.01)
                    recovered = f", answers again after {time.time() - start:.2f} s"
                happened[what] += 1
                time.sleep(chance.uniform(0.5, 3))
                writer.running.clear()
                writer.idle.wait(120)
                mark_end(broker.address, number)
                expect, records = recompute(broker, number)
                compare(program, expect, records, 60)
                print(f"round {number + 1}: {what}{recovered}; {records} records, {len(expect)} rows: the same", flush=True)
            program.stop()
            kept = f"{writer.begun} transactions begun, {writer.aborted} aborted of the program's own will"
            print(f"{options.rounds} rounds in {time.time() - begin:.0f} s, {dict(happened)}; {kept}")
            print(f"{records} records: 0 lost, 0 doubled, 0 of aborted transactions counted")
        except BaseException:
            log.flush()
            with open(log.name) as told:
                print("".join(told.readlines()[-30:]), file=sys.stderr)
            raise
        finally:
            for process in program.processes:
                process.kill()
            broker.stop()


if __name__ == "__main__":
    main()
