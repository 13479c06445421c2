#!/usr/bin/env python3
"""TPC-H on Drumlin (all roles in one process): data loaded by LOAD DATA LOCAL INFILE over the MySQL port, then the 22
queries, beside DuckDB and DataFusion (over Parquet files) in the same run, on the same data. Answers must be equal; the
program says which are not.

    cargo build --release
    pip install duckdb==1.5.5 duckdb-extension-tpch==1.5.5 datafusion==55.0.0 pymysql
    python3 benches/workloads/tpch.py [--scale-factor 0.1] [--rounds 3] [--queries 1,6,9] [--threads 2] [--program PATH]
        [--mariadb] [--keep DIRECTORY] [-- --query-memory 1G ...]

Reported for each: wall-clock time (the fastest of the rounds), CPU time of the server's process in that round, and the peers'
times with as many threads. --mariadb also loads the same tables, with the same indexes, into MariaDB, and asks it once. --keep
leaves the data where it is and finds it there the next time. --server HOST:PORT asks a server that runs, instead of
starting one. What follows `--` is given to Drumlin.
"""

import argparse
import datetime
import decimal
import math
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import datafusion
import duckdb
import duckdb_extension_tpch
import pymysql

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXTENSION = pathlib.Path(duckdb_extension_tpch.__file__).parent / "extensions" / f"v{duckdb.__version__}" / "tpch.duckdb_extension"

MONEY = "DECIMAL(15,2) NOT NULL"
TABLES = {
    "region": ("r_regionkey INT NOT NULL, r_name CHAR(25) NOT NULL, r_comment VARCHAR(152)", "PRIMARY KEY (r_regionkey)"),
    "nation": (
        "n_nationkey INT NOT NULL, n_name CHAR(25) NOT NULL, n_regionkey INT NOT NULL, n_comment VARCHAR(152)",
        "PRIMARY KEY (n_nationkey)",
    ),
    "supplier": (
        f"s_suppkey INT NOT NULL, s_name CHAR(25) NOT NULL, s_address VARCHAR(40) NOT NULL, s_nationkey INT NOT NULL, "
        f"s_phone CHAR(15) NOT NULL, s_acctbal {MONEY}, s_comment VARCHAR(101) NOT NULL",
        "PRIMARY KEY (s_suppkey), KEY (s_nationkey)",
    ),
    "customer": (
        f"c_custkey INT NOT NULL, c_name VARCHAR(25) NOT NULL, c_address VARCHAR(40) NOT NULL, c_nationkey INT NOT NULL, "
        f"c_phone CHAR(15) NOT NULL, c_acctbal {MONEY}, c_mktsegment CHAR(10) NOT NULL, c_comment VARCHAR(117) NOT NULL",
        "PRIMARY KEY (c_custkey), KEY (c_nationkey)",
    ),
    "part": (
        f"p_partkey INT NOT NULL, p_name VARCHAR(55) NOT NULL, p_mfgr CHAR(25) NOT NULL, p_brand CHAR(10) NOT NULL, "
        f"p_type VARCHAR(25) NOT NULL, p_size INT NOT NULL, p_container CHAR(10) NOT NULL, p_retailprice {MONEY}, "
        f"p_comment VARCHAR(23) NOT NULL",
        "PRIMARY KEY (p_partkey)",
    ),
    "partsupp": (
        f"ps_partkey INT NOT NULL, ps_suppkey INT NOT NULL, ps_availqty INT NOT NULL, ps_supplycost {MONEY}, "
        f"ps_comment VARCHAR(199) NOT NULL",
        "PRIMARY KEY (ps_partkey, ps_suppkey), KEY (ps_suppkey)",
    ),
    "orders": (
        f"o_orderkey BIGINT NOT NULL, o_custkey INT NOT NULL, o_orderstatus CHAR(1) NOT NULL, o_totalprice {MONEY}, "
        f"o_orderdate DATE NOT NULL, o_orderpriority CHAR(15) NOT NULL, o_clerk CHAR(15) NOT NULL, "
        f"o_shippriority INT NOT NULL, o_comment VARCHAR(79) NOT NULL",
        "PRIMARY KEY (o_orderkey), KEY (o_custkey)",
    ),
    "lineitem": (
        f"l_orderkey BIGINT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL, l_linenumber INT NOT NULL, "
        f"l_quantity {MONEY}, l_extendedprice {MONEY}, l_discount {MONEY}, l_tax {MONEY}, l_returnflag CHAR(1) NOT NULL, "
        f"l_linestatus CHAR(1) NOT NULL, l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL, "
        f"l_shipinstruct CHAR(25) NOT NULL, l_shipmode CHAR(10) NOT NULL, l_comment VARCHAR(44) NOT NULL",
        "PRIMARY KEY (l_orderkey, l_linenumber), KEY (l_partkey, l_suppkey)",
    ),
}


class Server:
    """Drumlin, started here or running already."""

    name = "Drumlin"

    def __init__(self, program, directory, address, flags):
        self.process = None
        if address:
            host, port = address.rsplit(":", 1)
            self.host, self.port = host, int(port)
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host, self.port = probe.getsockname()
        command = [program, "start", "--data-dir", f"{directory}/data", "--listen", f"127.0.0.1:{self.port}", "--http", "127.0.0.1:0"] + flags
        log = open(f"{directory}/drumlin.log", "w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            sys.exit(f"Drumlin does not start: {line}; see {directory}/drumlin.log")

    def connect(self, seconds_max=None):
        return pymysql.connect(
            host=self.host, port=self.port, user="root", local_infile=True, autocommit=True, charset="utf8mb4", read_timeout=seconds_max
        )

    def cpu_seconds(self):
        if self.process is None:
            return math.nan
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)


class MariaDb(Server):
    """MariaDB on the same tables: 1 GiB for data, and a commit on disk before it is answered."""

    name = "MariaDB"

    def __init__(self, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host, self.port = probe.getsockname()
        data = f"{directory}/mariadb"
        if not os.path.exists(data):
            subprocess.run(
                ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root", "--auth-root-authentication-method=normal"],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        command = [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", "--user=root"]
        command += [f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={data}/socket", f"--pid-file={data}/pid"]
        command += ["--innodb-buffer-pool-size=1G", "--innodb-flush-log-at-trx-commit=1", "--local-infile=1", "--innodb-log-file-size=512M"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(f"{directory}/mariadb.log", "w"))
        for _ in range(600):
            try:
                return self.connect().close()
            except pymysql.Error:
                time.sleep(0.1)
        sys.exit(f"MariaDB does not start; see {directory}/mariadb.log")


class Parquet:
    """DataFusion over Parquet files."""

    def __init__(self, directory, threads):
        config = datafusion.SessionConfig().with_target_partitions(threads)
        self.context = datafusion.SessionContext(config)
        for table in TABLES:
            self.context.register_parquet(table, f"{directory}/{table}.parquet")

    def run(self, text):
        # A query may be several statements: a view, what reads it, its end.
        self.context.sql(text).collect()


def generate(scale_factor, directory, threads):
    is_new = not os.path.exists(f"{directory}/tpch.duckdb")
    peer = duckdb.connect(f"{directory}/tpch.duckdb")
    peer.execute(f"LOAD '{EXTENSION}'")
    peer.execute(f"SET threads = {threads}")
    if is_new:
        peer.execute(f"CALL dbgen(sf = {scale_factor})")
    for table in TABLES:
        if not os.path.exists(f"{directory}/{table}.tbl"):
            peer.execute(f"COPY {table} TO '{directory}/{table}.tbl' (DELIMITER '|', HEADER false, QUOTE '', ESCAPE '')")
        if not os.path.exists(f"{directory}/{table}.parquet"):
            peer.execute(f"COPY {table} TO '{directory}/{table}.parquet' (FORMAT parquet)")
    return peer


def load(server, directory):
    connection = server.connect()
    cursor = connection.cursor()
    cursor.execute("SHOW DATABASES LIKE 'tpch'")
    if cursor.fetchall():
        print(f"{server.name} has its data")
        return
    cursor.execute("SET GLOBAL local_infile = 1")
    cursor.execute("CREATE DATABASE IF NOT EXISTS tpch DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    cursor.execute("USE tpch")
    total_bytes, begun, cpu = 0, time.perf_counter(), server.cpu_seconds()
    for table, (columns, keys) in TABLES.items():
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(f"CREATE TABLE {table} ({columns}, {keys})")
        path = f"{directory}/{table}.tbl"
        total_bytes += os.path.getsize(path)
        table_begun = time.perf_counter()
        cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} FIELDS TERMINATED BY '|' ESCAPED BY ''")
        print(f"  {table}: {cursor.rowcount} rows, {time.perf_counter() - table_begun:.1f} s", flush=True)
        if connection.warning_count if hasattr(connection, "warning_count") else 0:
            cursor.execute("SHOW WARNINGS")
            sys.exit(f"{table}: {cursor.fetchmany(3)}")
    seconds, cpu = time.perf_counter() - begun, server.cpu_seconds() - cpu
    print(f"{server.name} loaded {total_bytes / 1e6:.0f} MB in {seconds:.1f} s, {total_bytes / 1e6 / seconds:.1f} MB/s, CPU {cpu:.1f} s", flush=True)
    begun = time.perf_counter()
    cursor.execute("FLUSH TABLES")
    print(f"flushed in {time.perf_counter() - begun:.1f} s", flush=True)
    connection.close()


def plain(value):
    if isinstance(value, (int, float, decimal.Decimal)):
        return float(value)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()[:10]
    return value.rstrip() if isinstance(value, str) else value


def same(ours, theirs):
    """None, or what differs. Averages have four more digits here than there, or fewer."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    for number, (row, other) in enumerate(zip(ours, theirs)):
        for value, wanted in zip(row, other):
            value, wanted = plain(value), plain(wanted)
            if isinstance(value, float) and isinstance(wanted, float):
                if not math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-4):
                    return f"row {number}: {value}, not {wanted}"
            elif value != wanted:
                return f"row {number}: {value!r}, not {wanted!r}"
    return None


def timed(ask):
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


def ask_mariadb(connection, text):
    cursor = connection.cursor()
    try:
        return timed(lambda: (cursor.execute(text), cursor.fetchall()))
    except pymysql.Error:
        return math.inf


def run(server, peer, parquet, mariadb, wanted, rounds, seconds_max, explain):
    texts = dict(peer.execute("SELECT query_nr, query FROM tpch_queries()").fetchall())
    def connect():
        connection = server.connect(seconds_max)
        cursor = connection.cursor()
        cursor.execute("USE tpch")
        return connection, cursor

    connection, cursor = connect()
    totals, different = [0.0, 0.0, 0.0, 0.0], []
    print(f"{'query':>5} {'Drumlin ms':>11} {'CPU ms':>8} {'DuckDB ms':>10} {'DataFusion ms':>14} {'MariaDB ms':>11}", flush=True)
    if mariadb:
        other = mariadb.connect()
        other.cursor().execute(f"SET max_statement_time = {seconds_max}")
        other.select_db("tpch")
    for number in sorted(texts):
        if wanted and number not in wanted:
            continue
        text = texts[number].rstrip().rstrip(";")
        best, best_cpu, best_peer, best_parquet, verdict = math.inf, math.inf, math.inf, math.inf, None
        if explain:
            cursor.execute("EXPLAIN FORMAT=TREE " + text)
            print("\n".join(row[0] for row in cursor.fetchall()))
        for _ in range(rounds):
            begun = time.perf_counter()
            theirs = peer.execute(text).fetchall()
            best_peer = min(best_peer, time.perf_counter() - begun)
            best_parquet = min(best_parquet, timed(lambda: parquet.run(text)))
            begun, cpu = time.perf_counter(), server.cpu_seconds()
            try:
                cursor.execute(text)
                ours = cursor.fetchall()
            except pymysql.Error as error:
                # A client that goes away takes its statement with it.
                verdict = str(error)
                connection, cursor = connect()
                break
            took = time.perf_counter() - begun
            if took < best:
                best, best_cpu = took, server.cpu_seconds() - cpu
            verdict = same(ours, theirs)
            if verdict:
                break
        if verdict:
            different.append(number)
        slowest = ask_mariadb(other, text) if mariadb else math.nan
        for at, seconds in enumerate([best, best_peer, best_parquet, slowest]):
            totals[at] += seconds if seconds < math.inf else seconds_max
        print(
            f"{number:>5} {best * 1e3:>11.1f} {best_cpu * 1e3:>8.0f} {best_peer * 1e3:>10.1f} {best_parquet * 1e3:>14.1f} "
            f"{slowest * 1e3:>11.1f}  {verdict or ''}",
            flush=True,
        )
    ours, duck, fusion, maria = totals
    beside = f", of MariaDB's {ours / maria:.3f}" if mariadb else ""
    print(f"total {ours * 1e3:.0f} ms; times DuckDB's {ours / duck:.1f}, times DataFusion's {ours / fusion:.2f}{beside}")
    print("all answers equal" if not different else f"answers differ or fail: {different}")
    connection.close()
    return not different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale-factor", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queries", default="")
    parser.add_argument("--seconds-max", type=int, default=120)
    parser.add_argument("--program", default=str(ROOT / "target/release/drumlin"))
    parser.add_argument("--server", default="")
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--mariadb", action="store_true")
    parser.add_argument("--keep", default="")
    parser.add_argument("flags", nargs="*", help="for Drumlin")
    options = parser.parse_args()
    wanted = {int(number) for number in options.queries.split(",") if number}
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.keep or temporary
        os.makedirs(directory, exist_ok=True)
        peer = generate(options.scale_factor, directory, options.threads)
        parquet = Parquet(directory, options.threads)
        mariadb = None
        if options.mariadb:
            mariadb = MariaDb(directory)
            load(mariadb, directory)
        server = Server(options.program, directory, options.server, options.flags)
        try:
            load(server, directory)
            equal = run(server, peer, parquet, mariadb, wanted, options.rounds, options.seconds_max, options.explain)
        finally:
            server.stop()
            if mariadb:
                mariadb.stop()
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
