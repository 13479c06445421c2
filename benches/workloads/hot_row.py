#!/usr/bin/env python3
"""One row that everybody updates, an auction's last minute: Drumlin (all roles in one process) beside MariaDB with flush
on commit on the same disk, in turns within one run.

Needs what sysbench.py needs, and a release build:

    cargo build --release
    python3 benches/workloads/hot_row.py [--threads 8,64,200] [--rounds 3] ...

Ends with an error if a statement failed on Drumlin, or if the row's final count is not the number of updates that
succeeded. Of several rounds the median counts; CPU is the server's, per update.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

from sysbench import ROOT, start_drumlin, start_mariadb


class Cluster:
    """A cluster of processes on this machine, with one compute."""

    def __init__(self, directory, arguments):
        self.name, self.program, self.directory = "drumlin", arguments.drumlin, directory / "cluster"
        command = [self.program, "cluster", "up", "--dir", self.directory, "--base-port", "0", "--wal", str(arguments.cluster)]
        subprocess.run([*command, "--pageservers", "1", "--compute", "1"], check=True, stdout=subprocess.DEVNULL)
        self.nodes = json.loads((self.directory / "cluster.json").read_text())["nodes"]
        compute = next(node for node in self.nodes if node["role"] == "compute")
        self.port = int(compute["listen"].rsplit(":", 1)[1])

    def cpu_seconds(self):
        ticks = 0
        for node in self.nodes:
            fields = pathlib.Path(f"/proc/{node['pid']}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        subprocess.run([self.program, "cluster", "down", "--dir", self.directory], check=True, stdout=subprocess.DEVNULL)


SCRIPT = pathlib.Path(__file__).with_name("hot_row.lua")
WORKLOADS = {"UPDATE in autocommit": [], "BEGIN, SELECT ... FOR UPDATE, UPDATE, COMMIT": ["--locked=on"]}
TABLE = """CREATE DATABASE hot; USE hot;
CREATE TABLE auction (id INT PRIMARY KEY, bids BIGINT NOT NULL, price DECIMAL(12, 2) NOT NULL, title VARCHAR(80));
SET GLOBAL max_connections = 500;
INSERT INTO auction VALUES """


def sql(server, text):
    client = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{server.port}", "-uroot", "-N", "-e", text]
    return subprocess.run(client, check=True, capture_output=True, text=True).stdout.strip()


def prepare(server, rows):
    sql(server, TABLE + ", ".join(f"({row}, 0, 1, 'a lamp')" for row in range(1, rows + 1)))


def run(server, threads, seconds, options, percentile=99):
    """Updates per second, CPU microseconds of the server for each, the percentile of latency in ms, errors."""
    sql(server, "UPDATE hot.auction SET bids = 0, price = 1")
    command = ["sysbench", SCRIPT, "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={server.port}"]
    command += ["--mysql-user=root", "--mysql-db=hot", f"--threads={threads}", f"--time={seconds}", "--db-ps-mode=disable"]
    before = server.cpu_seconds()
    ended = subprocess.run([*command, f"--percentile={percentile}", *options, "run"], capture_output=True, text=True)
    cpu = server.cpu_seconds() - before
    if ended.returncode != 0:
        sys.exit(f"sysbench on {server.name} failed:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")

    def number(pattern):
        return float(re.search(pattern, ended.stdout)[1])

    done = sum(int(count) for count in re.findall(r"done (\d+)\n", ended.stdout))
    bids = int(sql(server, "SELECT SUM(bids) FROM hot.auction"))
    if bids != done:
        sys.exit(f"{server.name}: {done} updates succeeded and {bids} are there")
    return {
        "rate": done / number(r"total time:\s+([\d.]+)s"),
        "cpu_us": cpu / max(done, 1) * 1e6,
        "ms": number(r"\d+th percentile:\s+([\d.]+)"),
        "errors": int(number(r"ignored errors:\s+(\d+)")),
        "done": done,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drumlin", default=ROOT / "target/release/drumlin", type=pathlib.Path)
    parser.add_argument("--drumlin-arguments", default="", help="more arguments of `drumlin start`")
    parser.add_argument("--cluster", type=int, help="a cluster with so many wal nodes, instead of one process with all roles")
    parser.add_argument("--threads", default="8,64,200")
    parser.add_argument("--seconds", default=5, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--only", choices=["drumlin", "mariadb"])
    parser.add_argument("--directory", help="where both servers keep their data; temporary by default")
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    failed = 0
    with tempfile.TemporaryDirectory(dir=arguments.directory) as temporary:
        servers = {}
        try:
            start_ours = Cluster if arguments.cluster else start_drumlin
            for name, start in {"mariadb": start_mariadb, "drumlin": start_ours}.items():
                if arguments.only in (None, name):
                    servers[name] = start(pathlib.Path(temporary), arguments)
                    prepare(servers[name], 1)
            for workload, options in WORKLOADS.items():
                print(f"{workload}: updates per second (CPU us each, p99 ms)", flush=True)
                for threads in map(int, arguments.threads.split(",")):
                    rounds = {name: [] for name in servers}
                    for _ in range(arguments.rounds):
                        for name, server in servers.items():
                            rounds[name].append(run(server, threads, arguments.seconds, options))
                    medians = {}
                    for name, results in rounds.items():
                        medians[name] = statistics.median(result["rate"] for result in results)
                        each = ", ".join(f"{r['rate']:.0f} ({r['cpu_us']:.0f}, {r['ms']:.1f})" for r in results)
                        errors = sum(result["errors"] for result in results)
                        failed += errors if name == "drumlin" else 0
                        print(f"{threads:>5} {name:<8} {each}, errors {errors}", flush=True)
                    if len(medians) == 2:
                        print(f"{threads:>5} ratio    {medians['drumlin'] / medians['mariadb']:.2f} of the medians", flush=True)
        finally:
            for server in servers.values():
                server.stop()
    sys.exit("statements failed on drumlin" if failed else 0)


if __name__ == "__main__":
    main()
