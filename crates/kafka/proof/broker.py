"""One node of Apache Kafka (KRaft) on the loopback interface, with its data in a folder: started, killed, stopped.

    broker.py LIB COMMAND…    starts a node with the jars in LIB, runs COMMAND with its address in KAFKA_BROKERS, and stops it
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import base64


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, lib, folder):
        self.lib, self.folder = lib, folder
        self.port, controller = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.config = os.path.join(folder, "node.properties")
        self.process = None
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "log.dirs": os.path.join(folder, "data"),
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "auto.create.topics.enable": "false",
            "log.retention.ms": -1,
            # Small ones, so that there are several.
            "log.segment.bytes": 16 << 20,
        }
        with open(self.config, "w") as file:
            file.writelines(f"{key}={value}\n" for key, value in settings.items())
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self.run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self.config)

    def java(self, *arguments, heap="512m"):
        return ["java", f"-Xmx{heap}", "-cp", os.path.join(self.lib, "*"), *arguments]

    def run(self, *arguments):
        done = subprocess.run(self.java(*arguments), capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        with open(os.path.join(self.folder, "node.log"), "a") as log:
            self.process = subprocess.Popen(
                self.java("kafka.Kafka", self.config), stdout=log, stderr=log, start_new_session=True
            )
        end = time.time() + 120
        while time.time() < end:
            if self.process.poll() is not None:
                sys.exit(f"the broker ended: see {self.folder}/node.log")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("the broker does not answer")

    def signal(self, number):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()


def main():
    lib, command = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(lib, folder)
        broker.start()
        try:
            environment = dict(os.environ, KAFKA_BROKERS=broker.address, KAFKA_LIB=lib)
            status = subprocess.run(command, env=environment).returncode
        finally:
            broker.stop()
    sys.exit(status)


if __name__ == "__main__":
    main()
