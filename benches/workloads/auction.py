#!/usr/bin/env python3
"""An auction with reports: bids on items of which a few are hot, with and without one stream of reports over all bids, in turns,
on Drumlin (all roles in one process) and on MariaDB with flush on commit on the same disk, in one run.

Needs what sysbench.py needs, PyMySQL, and a release build:

    cargo build --release
    python3 benches/workloads/auction.py [--bids 2000000] [--threads 8] [--seconds 15] [--rounds 3] ...

Reported are bids a second, their p99 and the server's CPU, without reports and beside them, reports answered meanwhile, and
the share of the rate that is kept. Ends with an error if a bid fails on Drumlin, if a report contradicts itself (it reads
totals of items and of bids in one statement), or if an item's highest bid and count are not those of its bids at the end.
"""

import argparse
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import pymysql
from sysbench import ROOT, start_drumlin, start_mariadb

SCRIPT = pathlib.Path(__file__).with_name("auction.lua")
TABLES = """CREATE TABLE user (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, country CHAR(2) NOT NULL, KEY (country));
CREATE TABLE item (id INT PRIMARY KEY, seller_id INT NOT NULL, category INT NOT NULL, title VARCHAR(80) NOT NULL, high_cents BIGINT NOT NULL,
 bid_count INT NOT NULL, KEY (seller_id), KEY (category));
CREATE TABLE bid (id BIGINT PRIMARY KEY AUTO_INCREMENT, item_id INT NOT NULL, user_id INT NOT NULL, amount_cents BIGINT NOT NULL,
 placed_at DATETIME NOT NULL, KEY (item_id, amount_cents), KEY (user_id))"""
REPORTS = {
    "top sellers": "SELECT u.id, u.name, SUM(i.high_cents) AS revenue, COUNT(*) FROM item i JOIN user u ON u.id = i.seller_id "
    "WHERE i.bid_count > 0 GROUP BY u.id, u.name ORDER BY revenue DESC, u.id LIMIT 20",
    "revenue by hour": "SELECT DATE_FORMAT(b.placed_at, '%Y-%m-%d %H') AS hour, u.country, COUNT(*), SUM(b.amount_cents), MAX(b.amount_cents) "
    "FROM bid b JOIN user u ON u.id = b.user_id GROUP BY hour, u.country ORDER BY hour, u.country",
    "totals": "SELECT (SELECT SUM(bid_count) FROM item), (SELECT COUNT(*) FROM bid)",
}
COUNTRIES = ["DE", "FR", "IT", "ES", "US", "CA", "BR", "AR", "JP", "KR", "IN", "AU"]


def connect(server):
    return pymysql.connect(host="127.0.0.1", port=server.port, user="root", autocommit=True, local_infile=True)


def prepare(server, arguments, directory):
    chance = random.Random(7)
    cursor = connect(server).cursor()
    cursor.execute("SET GLOBAL local_infile = 1")
    cursor.execute("CREATE DATABASE auction")
    cursor.execute("USE auction")
    for table in TABLES.split(";"):
        cursor.execute(table)
    high, count = [0] * arguments.items, [0] * arguments.items
    files = {name: pathlib.Path(directory, f"{name}.txt") for name in ("user", "item", "bid")}
    with files["user"].open("w") as lines:
        for user in range(1, arguments.users + 1):
            lines.write(f"{user}\tuser {user}\t{chance.choice(COUNTRIES)}\n")
    with files["bid"].open("w") as lines:
        for number in range(1, arguments.bids + 1):
            item = int(chance.random() ** 2 * arguments.items)
            count[item] += 1
            high[item] += chance.randint(1, 500)
            at = f"2026-10-{number * 28 // arguments.bids % 28 + 1:02} {chance.randrange(24):02}:{chance.randrange(60):02}:00"
            lines.write(f"{number}\t{item + 1}\t{chance.randint(1, arguments.users)}\t{high[item]}\t{at}\n")
    with files["item"].open("w") as lines:
        for item in range(arguments.items):
            lines.write(f"{item + 1}\t{chance.randint(1, arguments.users // 20)}\t{item % 200}\titem {item} of many\t{high[item]}\t{count[item]}\n")
    with connect(server).cursor() as loader:
        for name, file in files.items():
            loader.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE auction.{name}")
    cursor.execute("ANALYZE TABLE user, item, bid")


class Reports:
    """One session that asks for reports, one after the other, until told to stop."""

    def __init__(self, server):
        self.stop, self.took, self.failure = threading.Event(), {name: [] for name in REPORTS}, None
        self.thread = threading.Thread(target=self.run, args=(server,))
        self.thread.start()

    def run(self, server):
        try:
            cursor = connect(server).cursor()
            cursor.execute("USE auction")
            while not self.stop.is_set():
                for name, query in REPORTS.items():
                    began = time.monotonic()
                    cursor.execute(query)
                    rows = cursor.fetchall()
                    self.took[name].append(time.monotonic() - began)
                    if name == "totals" and rows[0][0] != rows[0][1]:
                        self.failure = f"a report says {rows[0]}"
        except pymysql.Error as error:
            self.failure = f"a report failed: {error}"

    def end(self):
        self.stop.set()
        self.thread.join()
        if self.failure:
            sys.exit(self.failure)
        return ", ".join(f"{name} {len(took)} times ({statistics.median(took):.2f} s)" for name, took in self.took.items() if took)


def bids(server, arguments):
    command = ["sysbench", SCRIPT, "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={server.port}", "--mysql-user=root"]
    command += ["--mysql-db=auction", "--db-ps-mode=disable", f"--items={arguments.items}", f"--users={arguments.users}", "--percentile=99"]
    before = server.cpu_seconds()
    ended = subprocess.run(
        [*command, f"--threads={arguments.threads}", f"--time={arguments.seconds}", "run"], capture_output=True, text=True
    )
    if ended.returncode != 0:
        sys.exit(f"sysbench on {server.name} failed:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")

    def number(pattern):
        return float(re.search(pattern, ended.stdout)[1])

    done = sum(int(count) for count in re.findall(r"done (\d+)\n", ended.stdout))
    return {
        "rate": done / number(r"total time:\s+([\d.]+)s"),
        "p99": number(r"99th percentile:\s+([\d.]+)"),
        "cpu_s": server.cpu_seconds() - before,
        "errors": int(number(r"ignored errors:\s+(\d+)")),
    }


def check(server):
    cursor = connect(server).cursor()
    cursor.execute("USE auction")
    cursor.execute(
        "SELECT COUNT(*) FROM item i LEFT JOIN (SELECT item_id, COUNT(*) AS bids, MAX(amount_cents) AS high FROM bid GROUP BY item_id) b "
        "ON b.item_id = i.id WHERE i.bid_count <> COALESCE(b.bids, 0) OR i.high_cents <> COALESCE(b.high, 0)"
    )
    return cursor.fetchone()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drumlin", default=ROOT / "target/release/drumlin", type=pathlib.Path)
    parser.add_argument("--drumlin-arguments", default="", help="more arguments of `drumlin start`")
    parser.add_argument("--bids", default=2_000_000, type=int)
    parser.add_argument("--items", default=100_000, type=int)
    parser.add_argument("--users", default=100_000, type=int)
    parser.add_argument("--threads", default=8, type=int)
    parser.add_argument("--seconds", default=15, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--only", choices=["drumlin", "mariadb"])
    parser.add_argument("--directory", help="where both servers keep their data; temporary by default")
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    failed = []
    for name, start in {"drumlin": start_drumlin, "mariadb": start_mariadb}.items():
        if arguments.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            server = start(pathlib.Path(directory), arguments)
            try:
                prepare(server, arguments, directory)
                bids(server, arguments)
                alone, beside = [], []
                for _ in range(arguments.rounds):
                    alone.append(bids(server, arguments))
                    reports = Reports(server)
                    beside.append(bids(server, arguments))
                    answered = reports.end()
                    for label, result in (("alone", alone[-1]), ("beside reports", beside[-1])):
                        print(f"{name:8} {label:15} {result['rate']:7.0f} bids/s, p99 {result['p99']:6.1f} ms, server {result['cpu_s']:5.1f} s of CPU, "
                              f"errors {result['errors']}", flush=True)
                    print(f"{name:8} reports: {answered}", flush=True)
                rate, p99 = (
                    statistics.median(r[key] for r in beside) / statistics.median(r[key] for r in alone) for key in ("rate", "p99")
                )
                wrong = check(server)
                errors = sum(result["errors"] for result in alone + beside)
                print(f"{name:8} keeps {rate:.2f} of its rate, p99 times {p99:.2f}; {wrong} items differ from their bids, {errors} errors", flush=True)
                if name == "drumlin" and (wrong or errors):
                    failed.append(name)
            finally:
                server.stop()
    sys.exit("an invariant is broken or a bid failed" if failed else 0)


if __name__ == "__main__":
    main()
