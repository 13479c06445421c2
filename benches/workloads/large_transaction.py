#!/usr/bin/env python3
"""One transaction that updates every row of a large table, while others bid on another table: Drumlin (all roles in one
process) beside MariaDB with flush on commit on the same disk, in turns within one run.

Needs what sysbench.py needs but sysbench itself, PyMySQL, and a release build:

    cargo build --release
    python3 benches/workloads/large_transaction.py [--rows 1000000] [--sessions 8] ...

Says how long the UPDATE and its COMMIT take, the server's CPU for both, its memory, and what the bids of the others (an
UPDATE of one row in autocommit, and a SELECT by key) take meanwhile and without. Ends with an error if a bid fails or
is lost, or if a row was not updated once.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import threading
import time

import pymysql
from sysbench import ROOT, start_drumlin, start_mariadb


def connect(server):
    return pymysql.connect(host="127.0.0.1", port=server.port, user="root", autocommit=True, local_infile=True)


def prepare(server, rows, directory):
    cursor = connect(server).cursor()
    cursor.execute("SET GLOBAL local_infile = 1")
    cursor.execute("CREATE DATABASE large")
    cursor.execute("USE large")
    cursor.execute("CREATE TABLE item (id INT PRIMARY KEY, price INT NOT NULL, seller INT NOT NULL, title VARCHAR(200))")
    cursor.execute("CREATE TABLE auction (id INT PRIMARY KEY, bids INT NOT NULL, title VARCHAR(80))")
    cursor.execute("INSERT INTO auction VALUES " + ", ".join(f"({row}, 0, 'a lamp')" for row in range(10_000)))
    file = pathlib.Path(directory, "items.txt")
    with file.open("w") as lines:
        for row in range(rows):
            lines.write(f"{row}\t0\t{row * 7919 % 100_003}\titem {row} {'of many ' * 15}\n")
    with connect(server).cursor() as loader:
        loader.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE large.item")


class Bidders:
    """Sessions that bid until told to stop."""

    def __init__(self, server, sessions):
        self.stop, self.errors, self.took, self.bids = threading.Event(), [], [], 0
        self.threads = [threading.Thread(target=self.run, args=(server, number)) for number in range(sessions)]
        for thread in self.threads:
            thread.start()

    def run(self, server, number):
        cursor = connect(server).cursor()
        took, bids, row = [], 0, number * 1_000
        while not self.stop.is_set():
            row = (row * 31 + 17) % 10_000
            began = time.monotonic()
            try:
                cursor.execute(f"UPDATE large.auction SET bids = bids + 1 WHERE id = {row}")
                cursor.execute(f"SELECT bids FROM large.auction WHERE id = {row}")
            except pymysql.Error as error:
                self.errors.append(str(error))
                return
            bids += 1
            took.append(time.monotonic() - began)
            time.sleep(0.002)
        self.took += took
        self.bids += bids

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            sys.exit(f"a bid failed: {self.errors[0]}")
        ordered = sorted(self.took)
        at = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3
        return f"{at(0.5):.1f} / {at(0.99):.1f} / {ordered[-1] * 1e3:.0f}"


def memory_mib(server):
    lines = pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drumlin", default=ROOT / "target/release/drumlin", type=pathlib.Path)
    parser.add_argument("--drumlin-arguments", default="", help="more arguments of `drumlin start`")
    parser.add_argument("--rows", default=1_000_000, type=int)
    parser.add_argument("--sessions", default=8, type=int)
    parser.add_argument("--isolation", default="REPEATABLE READ", help="of the large transaction; READ COMMITTED locks rows instead of ranges")
    parser.add_argument("--only", choices=["drumlin", "mariadb"])
    parser.add_argument("--directory", help="where both servers keep their data; temporary by default")
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    print(f"{'server':10} {'UPDATE s':>9} {'COMMIT s':>9} {'CPU s':>7} {'MiB':>6}   bids, median / p99 / most ms: without, and meanwhile")
    for name in ["drumlin", "mariadb"]:
        if arguments.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            start = {"drumlin": start_drumlin, "mariadb": start_mariadb}[name]
            server = start(pathlib.Path(directory), arguments)
            try:
                prepare(server, arguments.rows, directory)
                bidders = Bidders(server, arguments.sessions)
                time.sleep(8)
                without, bids = bidders.end(), bidders.bids
                connection = connect(server)
                cursor = connection.cursor()
                bidders = Bidders(server, arguments.sessions)
                before, began = server.cpu_seconds(), time.monotonic()
                cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {arguments.isolation}")
                cursor.execute("BEGIN")
                cursor.execute("UPDATE large.item SET price = price + 1")
                updated = time.monotonic()
                cursor.execute("COMMIT")
                committed = time.monotonic()
                cpu = server.cpu_seconds() - before
                time.sleep(3)
                meanwhile = bidders.end()
                bids += bidders.bids
                cursor.execute("SELECT COUNT(*), MIN(price), MAX(price) FROM large.item")
                if (found := cursor.fetchone()) != (arguments.rows, 1, 1):
                    sys.exit(f"{name}: the items are {found}")
                cursor.execute("SELECT SUM(bids) FROM large.auction")
                if (found := cursor.fetchone()[0]) != bids:
                    sys.exit(f"{name}: {bids} bids succeeded and {found} are there")
                print(
                    f"{name:10} {updated - began:9.1f} {committed - updated:9.2f} {cpu:7.1f} {memory_mib(server):6}"
                    f"   {without}, and {meanwhile}",
                    flush=True,
                )
            finally:
                server.stop()


if __name__ == "__main__":
    main()
