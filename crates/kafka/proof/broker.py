"""One node of Apache Kafka (KRaft) on the loopback interface, with its data in a folder: started, killed, stopped.

    broker.py LIB COMMAND…    starts a node with the jars in LIB, runs COMMAND with its address in KAFKA_BROKERS, and stops it

It then also listens with TLS ($KAFKA_SSL) and with SASL over TLS ($KAFKA_SASL), under certificates of an authority of its own
($KAFKA_CA), which openssl makes. The user alice has the password secret.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import base64


def free_port(taken=set()):
    """One that no connection gets while a server is down: Linux gives them ports from 32768 on."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as found:
            if port not in taken and found.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                return port


def make_certificates(folder):
    """An authority, and a key with its certificate for 127.0.0.1, as Kafka wants them: one file."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=test authority")
    openssl("req", *new_key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=127.0.0.1")
    with open(os.path.join(folder, "names"), "w") as names:
        names.write("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "names", "-out", "node.crt")
    with open(os.path.join(folder, "node.pem"), "w") as both:
        for part in ("node.key", "node.crt"):
            with open(os.path.join(folder, part)) as file:
                both.write(file.read())
    return os.path.join(folder, "ca.pem"), os.path.join(folder, "node.pem")


class Broker:
    def __init__(self, lib, folder, secured=False, more=None):
        self.lib, self.folder = lib, folder
        self.port, controller = free_port(), free_port()
        self.ssl = self.sasl = self.authority = None
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
            # Small segments, so that there are several.
            "log.segment.bytes": 16 << 20,
        }
        settings |= more or {}
        users = []
        if secured:
            settings |= self.secure(settings["listeners"])
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                users += ["--add-scram", f"{mechanism}=[name=alice,password=secret]"]
        with open(self.config, "w") as file:
            file.writelines(f"{key}={value}\n" for key, value in settings.items())
        # The tool mistakes a name that begins with "-" for an option.
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        self.run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self.config, *users)

    def secure(self, listeners):
        """More settings: TLS, and SASL over it."""
        self.ssl, self.sasl = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.authority, key = make_certificates(self.folder)
        common = "org.apache.kafka.common.security"
        logins = {
            "plain": f'{common}.plain.PlainLoginModule required user_alice="secret";',
            "scram-sha-256": f"{common}.scram.ScramLoginModule required;",
            "scram-sha-512": f"{common}.scram.ScramLoginModule required;",
            # Tokens without a signature: the test is about providing them, not about checking them.
            "oauthbearer": f'{common}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="node";',
        }
        return {
            "listeners": f"{listeners},SSL://{self.ssl},SASL_SSL://{self.sasl}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": key,
            "sasl.enabled.mechanisms": ",".join(name.upper() for name in logins),
        } | {f"listener.name.sasl_ssl.{name}.sasl.jaas.config": login for name, login in logins.items()}

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
        broker = Broker(lib, folder, secured=True)
        broker.start()
        try:
            environment = dict(os.environ, KAFKA_BROKERS=broker.address, KAFKA_LIB=lib)
            environment |= {"KAFKA_SSL": broker.ssl, "KAFKA_SASL": broker.sasl, "KAFKA_CA": broker.authority}
            status = subprocess.run(command, env=environment).returncode
        finally:
            broker.stop()
    sys.exit(status)


if __name__ == "__main__":
    main()
