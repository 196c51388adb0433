#!/usr/bin/env python3
"""How fast the dashboard plays the flights back while clients ask: events a second, without clients and with so many.

    cargo build --release --example dashboard && python3 benches/playback.py 0 20 250

Each client keeps a connection and asks for totals and series of a year of each view, one question after the other.
"""

import argparse
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples/dashboard"
QUESTIONS = ("total", "series")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("clients", type=int, nargs="+")
    options.add_argument("--seconds", type=float, default=12)
    options.add_argument("--program", default=PROGRAM)
    options = options.parse_args()
    for clients in options.clients:
        rate, answers = measure(options, clients)
        print(f"{clients:4} clients: {rate:7.0f} events/s, {answers} answers", flush=True)


def measure(options, clients):
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [options.program, "--pace", "12", "--data", folder, "--port", str(port)]
        program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            views = [view["name"] for view in until_there(port)["views"]]
            stop, answers = threading.Event(), [0] * clients
            threads = [
                threading.Thread(target=ask, args=(port, views, number, stop, answers)) for number in range(clients)
            ]
            for thread in threads:
                thread.start()
            time.sleep(2)
            before, begun = get(port, "/api/status")["events"], time.monotonic()
            time.sleep(options.seconds)
            after, took = get(port, "/api/status")["events"], time.monotonic() - begun
            stop.set()
            for thread in threads:
                thread.join()
            return (after - before) / took, sum(answers)
        finally:
            program.terminate()
            program.wait()


def ask(port, views, number, stop, answers):
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as lines:
        while not stop.is_set():
            question, view = QUESTIONS[answers[number] % 2], views[(number + answers[number]) % len(views)]
            path = f"/api/views/{view}/{question}?from=2013-01-01&to=2013-12-31"
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            status = lines.readline()
            assert b" 200 " in status, status
            length = 0
            while header := lines.readline().strip().lower():
                if header.startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            assert len(lines.read(length)) == length > 0
            answers[number] += 1


def get(port, path):
    return json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60))


def until_there(port):
    for _ in range(400):
        try:
            return get(port, "/api/views")
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the dashboard does not answer")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
