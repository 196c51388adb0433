"""Figures of docs/sinks.md: starts Redis and PostgreSQL, and runs figures.rs with their addresses.

    python3 crates/sinks/benches/figures.py [redis|postgresql]
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "proof"))
from stores import Postgres, Redis  # noqa: E402


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dayfold-figures-"))
    folder.chmod(0o755)
    redis, postgres = Redis(folder), Postgres(folder)
    redis.start()
    postgres.start()
    urls = [url for url in (redis.url, postgres.url) if url.startswith(tuple(sys.argv[1:]) or "")]
    bench = ["cargo", "bench", "--locked", "-p", "dayfold-sinks", "--features", "redis,postgres", "--bench", "figures", "--"]
    try:
        done = subprocess.run([*bench, *urls], env={**os.environ, "CARGO_INCREMENTAL": "0"})
    finally:
        redis.kill()
        postgres.stop()
        shutil.rmtree(folder)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
