#!/usr/bin/env python3
"""What a commit costs: with one session beside a bare fdatasync of as many bytes on the same disk, with 64 how many share
one fdatasync. Drumlin with all roles in one process.

Needs what sysbench.py needs but for MariaDB's server, and a release build:

    cargo build --release
    python3 benches/workloads/commit_latency.py [--rounds 5] ...

Bare syncs and commits are measured in turns. The limit of each round: 1.5 times the bare fdatasync, and 200 us.
"""

import argparse
import os
import pathlib
import re
import statistics
import tempfile
import time
import urllib.request

import hot_row
from sysbench import ROOT, Server, free_port

SESSIONS = 64
# Before the bare writes begin: as the log does, over blocks that exist.
FILE_BYTES = 16 << 20


def bare_fdatasync(directory, size, seconds):
    """Median of writes of `size` bytes, each synced, in microseconds."""
    record, times = bytes([7]) * size, []
    with open(directory / "bare", "wb", buffering=0) as file:
        file.write(bytes(FILE_BYTES))
        os.fsync(file.fileno())
        file.seek(0)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and (len(times) + 1) * size < FILE_BYTES:
            one = time.perf_counter()
            file.write(record)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - one)
    return statistics.median(times) * 1e6


class Syncs:
    """Syncs of the log, and bytes written by them, since this was made."""

    def __init__(self, http):
        self.http = http
        self.before = self.read()

    def read(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        names = ["wal_sync_seconds_count", "wal_group_bytes_sum", "wal_sync_seconds_sum"]
        return [float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1]) for name in names]

    def since(self):
        return [now - before for now, before in zip(self.read(), self.before)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drumlin", default=ROOT / "target/release/drumlin", type=pathlib.Path)
    parser.add_argument("--seconds", default=4, type=int)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--directory", help="where the server keeps its data; temporary by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as temporary:
        directory, port, http = pathlib.Path(temporary), free_port(), free_port()
        command = [arguments.drumlin, "start", "--data-dir", directory / "drumlin", "--listen", f"127.0.0.1:{port}"]
        log = open(directory / "drumlin.log", "wb")
        server = Server("drumlin", [*command, "--http", f"127.0.0.1:{http}"], port, log)
        try:
            hot_row.prepare(server, SESSIONS)
            size, held = 300, 0
            for number in range(1, arguments.rounds + 1):
                bare = bare_fdatasync(directory, size, arguments.seconds)
                syncs = Syncs(http)
                one = hot_row.run(server, 1, arguments.seconds, ["--own=on"], percentile=50)
                count, written, spent = syncs.since()
                again = bare_fdatasync(directory, size, arguments.seconds)
                commit, limit = one["ms"] * 1000, (bare + again) / 2 * 1.5 + 200
                held += commit <= limit
                print(f"round {number}: one session {commit:.0f} us median; bare fdatasync of {size} bytes {bare:.0f} us before, "
                      f"{again:.0f} us after; limit {limit:.0f} us; {count / one['done']:.2f} syncs a commit, "
                      f"{spent / count * 1e6:.0f} us each on average, of {written / count:.0f} bytes", flush=True)
                size = int(written / count)
                syncs = Syncs(http)
                many = hot_row.run(server, SESSIONS, arguments.seconds, ["--own=on"])
                print(f"  {SESSIONS} sessions: {many['rate']:.0f} commits per second, "
                      f"{many['done'] / syncs.since()[0]:.1f} commits per fdatasync", flush=True)
            print(f"within the limit in {held} of {arguments.rounds} rounds")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
