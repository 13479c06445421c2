#!/usr/bin/env python3
"""TPC-C's five transactions without think times: Drumlin (all roles in one process) beside MariaDB with flush on commit on
the same disk, in turns within one run.

Needs what sysbench.py needs, and a release build:

    cargo build --release
    python3 benches/workloads/tpcc.py [--warehouses 4] [--threads 8] [--seconds 30] [--rounds 3] ...

Reported are new orders a minute, transactions a second, the server's CPU for each, and latency. Ends with an error if a
consistency condition of the specification (clause 3.3.2) does not hold on Drumlin afterwards.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from hot_row import sql
from sysbench import ROOT, start_drumlin, start_mariadb

SCRIPT = pathlib.Path(__file__).with_name("tpcc.lua")
# Each must find no row.
CONDITIONS = {
    1: "SELECT w_id FROM warehouse WHERE w_ytd <> (SELECT SUM(d_ytd) FROM district WHERE d_w_id = w_id)",
    2: "SELECT d_w_id, d_id FROM district WHERE d_next_o_id - 1 <> (SELECT MAX(o_id) FROM orders WHERE o_w_id = d_w_id AND o_d_id = d_id)",
    3: "SELECT no_w_id, no_d_id FROM new_orders GROUP BY no_w_id, no_d_id HAVING MAX(no_o_id) - MIN(no_o_id) + 1 <> COUNT(*)",
    4: "SELECT w_id FROM warehouse WHERE (SELECT SUM(o_ol_cnt) FROM orders WHERE o_w_id = w_id) <> "
    "(SELECT COUNT(*) FROM order_line WHERE ol_w_id = w_id)",
    5: "SELECT o_w_id, o_d_id, o_id FROM orders LEFT JOIN new_orders ON no_w_id = o_w_id AND no_d_id = o_d_id AND no_o_id = o_id "
    "WHERE (o_carrier_id IS NULL) <> (no_o_id IS NOT NULL)",
    7: "SELECT ol_w_id, ol_d_id, ol_o_id FROM order_line JOIN orders ON o_w_id = ol_w_id AND o_d_id = ol_d_id AND o_id = ol_o_id "
    "WHERE (ol_delivery_d IS NULL) <> (o_carrier_id IS NULL)",
    8: "SELECT w_id FROM warehouse WHERE w_ytd <> (SELECT SUM(h_amount) FROM history WHERE h_w_id = w_id)",
}


def sysbench(server, arguments, action, *options):
    command = ["sysbench", SCRIPT, "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={server.port}", "--mysql-user=root"]
    command += ["--mysql-db=tpcc", "--db-ps-mode=disable", f"--warehouses={arguments.warehouses}"]
    command += ["--foreign-keys=on"] if arguments.foreign_keys else []
    ended = subprocess.run([*command, *options, action], capture_output=True, text=True)
    if ended.returncode != 0:
        sys.exit(f"sysbench {action} on {server.name} failed:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    return ended.stdout


def run(server, threads, arguments):
    before = server.cpu_seconds()
    text = sysbench(server, arguments, "run", f"--threads={threads}", f"--time={arguments.seconds}", "--percentile=99")
    cpu = server.cpu_seconds() - before

    def number(pattern):
        return float(re.search(pattern, text)[1])

    counts = [tuple(map(int, pair)) for pair in re.findall(r"done (\d+) (\d+)\n", text)]
    seconds, transactions = number(r"total time:\s+([\d.]+)s"), number(r"transactions:\s+(\d+)")
    return {
        "new_orders": sum(orders for orders, _ in counts) * 60 / seconds,
        "rate": transactions / seconds,
        "cpu_us": cpu / max(transactions, 1) * 1e6,
        "p99_ms": number(r"99th percentile:\s+([\d.]+)"),
        "retries": sum(retries for _, retries in counts),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drumlin", default=ROOT / "target/release/drumlin", type=pathlib.Path)
    parser.add_argument("--drumlin-arguments", default="", help="more arguments of `drumlin start`")
    parser.add_argument("--warehouses", default=4, type=int)
    parser.add_argument("--foreign-keys", action="store_true")
    parser.add_argument("--threads", default="8")
    parser.add_argument("--seconds", default=30, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--only", choices=["drumlin", "mariadb"])
    parser.add_argument("--directory", help="where both servers keep their data; temporary by default")
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    broken = []
    with tempfile.TemporaryDirectory(dir=arguments.directory) as temporary:
        servers = {}
        try:
            for name, start in {"mariadb": start_mariadb, "drumlin": start_drumlin}.items():
                if arguments.only not in (None, name):
                    continue
                server = servers[name] = start(pathlib.Path(temporary), arguments)
                sql(server, "CREATE DATABASE tpcc")
                began, cpu = time.monotonic(), server.cpu_seconds()
                sysbench(server, arguments, "prepare")
                print(f"{name}: {arguments.warehouses} warehouses loaded in {time.monotonic() - began:.0f} s, "
                      f"{server.cpu_seconds() - cpu:.1f} s of the server's CPU", flush=True)
            print(f"\n{'threads':>7}  {'server':<9}{'new orders/min':>15}{'tps':>9}{'CPU us/txn':>12}{'p99 ms':>9}{'retries':>9}")
            for threads in map(int, arguments.threads.split(",")):
                results = {name: [] for name in servers}
                for _ in range(arguments.rounds):
                    for name, server in servers.items():
                        result = run(server, threads, arguments)
                        results[name].append(result)
                        print(f"{threads:>7}  {name:<9}{result['new_orders']:>15.0f}{result['rate']:>9.0f}{result['cpu_us']:>12.0f}"
                              f"{result['p99_ms']:>9.1f}{result['retries']:>9}", flush=True)
                if len(results) == 2:
                    rate, cpu = (
                        statistics.median(r[key] for r in results["drumlin"]) / statistics.median(r[key] for r in results["mariadb"])
                        for key in ("rate", "cpu_us")
                    )
                    print(f"{threads:>7}  ratio    tps {rate:.2f}, CPU {cpu:.2f} (of the medians)", flush=True)
            for name, server in servers.items():
                for number, query in CONDITIONS.items():
                    if found := sql(server, f"USE tpcc; {query} LIMIT 5"):
                        print(f"{name}: condition {number} does not hold: {found!r}")
                        broken.append(name)
        finally:
            for server in servers.values():
                server.stop()
    sys.exit("a consistency condition does not hold" if "drumlin" in broken else 0)


if __name__ == "__main__":
    main()
