#!/usr/bin/env python3
"""sysbench's OLTP workloads on Drumlin (all roles in one process) and on MariaDB, one after the other in one run.

Needs on PATH: sysbench, mariadbd, mariadb-install-db, mariadb (Debian: sysbench, mariadb-server), and a release build:

    cargo build --release
    python3 benches/workloads/sysbench.py [--threads 1,8,64] [--workloads oltp_point_select,oltp_read_write] ...

Both servers keep their data on the same disk and sync their log at each commit. Reported are transactions per second,
CPU time of the server per transaction (what a noisy machine disturbs least), latency, and Drumlin's ratio to MariaDB.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

WORKLOADS = ["oltp_point_select", "oltp_read_write"]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, command, port, log):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.await_port()

    def await_port(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended with code {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"{self.name} does not listen on port {self.port}")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_drumlin(directory, arguments):
    port = free_port()
    log = open(directory / "drumlin.log", "wb")
    command = [arguments.drumlin, "start", "--data-dir", directory / "drumlin", "--listen", f"127.0.0.1:{port}"]
    # As much as the other's buffer pool below.
    command += ["--cache-memory", "1G"]
    return Server("drumlin", [*command, "--http", "127.0.0.1:0", *arguments.drumlin_arguments.split()], port, log)


def start_mariadb(directory, _arguments):
    port, data = free_port(), directory / "mariadb"
    log = open(directory / "mariadb.log", "wb")
    user = ["--user=root"] if os.getuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--skip-test-db", *user], check=True, stdout=log, stderr=log)
    options = [f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={directory}/mariadb.sock"]
    tuning = ["--innodb-buffer-pool-size=1G", "--innodb-flush-log-at-trx-commit=1", "--skip-log-bin"]
    program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
    tuning += ["--innodb-log-file-size=512M", "--max-connections=500", "--skip-name-resolve"]
    return Server("mariadb", [program, "--no-defaults", *options, *tuning, *user], port, log)


def sysbench(server, workload, arguments, action, threads=None, seconds=None):
    command = ["sysbench", workload, "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={server.port}"]
    command += ["--mysql-user=root", "--mysql-db=sbtest", f"--tables={arguments.tables}", f"--table-size={arguments.rows}"]
    if arguments.text:
        command += ["--db-ps-mode=disable"]
    if threads:
        command += [f"--threads={threads}", f"--time={seconds}", "--percentile=99"]
    done = subprocess.run([*command, action], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"sysbench {workload} {action} on {server.name} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def measure(server, workload, threads, arguments):
    before = server.cpu_seconds()
    text = sysbench(server, workload, arguments, "run", threads, arguments.seconds)
    cpu = server.cpu_seconds() - before

    def number(pattern):
        return float(re.search(pattern, text)[1])

    transactions = number(r"transactions:\s+(\d+)")
    return {
        "tps": number(r"transactions:\s+\d+\s+\(([\d.]+) per sec"),
        "cpu_us": cpu / max(transactions, 1) * 1e6,
        "average_ms": number(r"avg:\s+([\d.]+)"),
        "p99_ms": number(r"99th percentile:\s+([\d.]+)"),
        "errors": int(number(r"ignored errors:\s+(\d+)")),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drumlin", default=ROOT / "target/release/drumlin", type=pathlib.Path)
    parser.add_argument("--drumlin-arguments", default="", help="more arguments of `drumlin start`")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--threads", default="8")
    parser.add_argument("--seconds", default=20, type=int)
    parser.add_argument("--tables", default=8, type=int)
    parser.add_argument("--rows", default=100_000, type=int)
    parser.add_argument("--text", action="store_true", help="text protocol instead of prepared statements")
    parser.add_argument("--only", choices=["drumlin", "mariadb"])
    parser.add_argument("--directory", help="where both servers keep their data; temporary by default")
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    starts = {"mariadb": start_mariadb, "drumlin": start_drumlin}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as temporary:
        directory = pathlib.Path(temporary)
        servers = {}
        try:
            for name, start in starts.items():
                if arguments.only not in (None, name):
                    continue
                server = servers[name] = start(directory, arguments)
                client = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{server.port}", "-uroot"]
                subprocess.run([*client, "-e", "CREATE DATABASE sbtest"], check=True)
                began, cpu = time.monotonic(), server.cpu_seconds()
                sysbench(server, "oltp_read_write", arguments, "prepare")
                rows = arguments.tables * arguments.rows
                print(f"{name}: loaded {rows} rows in {time.monotonic() - began:.1f} s, "
                      f"{server.cpu_seconds() - cpu:.1f} s of CPU", flush=True)
            protocol = "text" if arguments.text else "prepared"
            print(f"\n{'workload':<24}{'threads':>8}  {'server':<9}{'tps':>10}{'CPU us/txn':>12}{'avg ms':>9}{'p99 ms':>9}"
                  f"{'errors':>8}  ({protocol}, {arguments.seconds} s each)")
            for workload in arguments.workloads.split(","):
                for threads in map(int, arguments.threads.split(",")):
                    results = {}
                    for name, server in servers.items():
                        result = results[name] = measure(server, workload, threads, arguments)
                        print(f"{workload:<24}{threads:>8}  {name:<9}{result['tps']:>10.0f}{result['cpu_us']:>12.0f}"
                              f"{result['average_ms']:>9.2f}{result['p99_ms']:>9.2f}{result['errors']:>8}", flush=True)
                    if len(results) == 2:
                        ours, peer = results["drumlin"], results["mariadb"]
                        print(f"{'':<24}{'':>8}  {'ratio':<9}{ours['tps'] / peer['tps']:>10.2f}"
                              f"{ours['cpu_us'] / peer['cpu_us']:>12.2f}", flush=True)
            for name, server in servers.items():
                print(f"{name}: {server.resident_mib()} MiB resident")
        finally:
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    main()
