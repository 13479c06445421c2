#!/usr/bin/env python3
"""What idle connections cost: memory of the server for each, and what busy ones lose by them.

Needs a release build (`cargo build --release`) and a limit of open files above the number of connections:

    python3 benches/workloads/idle_connections.py [--idle 10000] [--busy 64] [--seconds 10]

The busy ones run `SELECT k FROM t WHERE id = N` (text protocol) as fast as they are answered, before the idle ones connect and
beside them, in turns. Reported are statements per second, CPU time of the server per statement, and memory per idle connection.
"""

import argparse
import os
import pathlib
import re
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAPABILITIES = 1 | 1 << 9 | 1 << 15 | 1 << 19


class Client:
    def __init__(self, address):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.packet()
        login = struct.pack("<IIB23x", CAPABILITIES, 1 << 26, 45) + b"root\0\0mysql_native_password\0"
        self.socket.sendall(struct.pack("<I", len(login))[:3] + b"\1" + login)
        answer = self.packet()
        if answer[0] != 0:
            sys.exit(f"login: {answer}")

    def exactly(self, length):
        data = bytearray()
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                sys.exit("the server closed a connection")
            data += part
        return bytes(data)

    def packet(self):
        header = self.exactly(4)
        return self.exactly(int.from_bytes(header[:3], "little"))

    def query(self, text):
        payload = b"\3" + text.encode()
        self.socket.sendall(struct.pack("<I", len(payload))[:3] + b"\0" + payload)
        ends = 0
        first = self.packet()
        if first[0] == 0xFF:
            sys.exit(first.decode(errors="replace"))
        while first[0] != 0 and ends < 2:
            packet = self.packet()
            ends += packet[0] == 0xFE and len(packet) < 9


def memory_bytes(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) << 10


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rate(pid, clients, seconds):
    """Statements per second, and CPU microseconds of the server for each."""
    stop, counts = threading.Event(), [0] * len(clients)

    def run(place):
        while not stop.is_set():
            clients[place].query(f"SELECT k FROM d.t WHERE id = {counts[place] % 1000}")
            counts[place] += 1

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(clients))]
    before, start = cpu_seconds(pid), time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    count = sum(counts)
    return count / (time.monotonic() - start), (cpu_seconds(pid) - before) * 1e6 / count


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--idle", type=int, default=10_000)
    arguments.add_argument("--busy", type=int, default=64)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--binary", default=ROOT / "target/release/drumlin")
    options = arguments.parse_args()
    wanted = options.idle + options.busy + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"open files are limited to {hard}: ulimit -Hn {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with tempfile.TemporaryDirectory() as directory:
        command = [options.binary, "start", "--data-dir", directory + "/data", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            ready = server.stdout.readline()
            host, port = re.search(r"mysql=(\S+):(\d+)", ready).groups()
            address = (host, int(port))
            first = Client(address)
            first.query("SET GLOBAL max_connections = 100000")
            first.query("CREATE DATABASE d")
            first.query("CREATE TABLE d.t (id INT PRIMARY KEY, k INT)")
            first.query("INSERT INTO d.t VALUES " + ",".join(f"({number}, {number})" for number in range(1000)))
            busy = [Client(address) for _ in range(options.busy)]
            rate(server.pid, busy, 2)
            alone = [rate(server.pid, busy, options.seconds)]
            before = memory_bytes(server.pid)
            idle = [Client(address) for _ in range(options.idle)]
            threads = len(list(pathlib.Path(f"/proc/{server.pid}/task").iterdir()))
            each = (memory_bytes(server.pid) - before) / max(options.idle, 1)
            beside = [rate(server.pid, busy, options.seconds)]
            for client in idle:
                client.socket.close()
            alone.append(rate(server.pid, busy, options.seconds))
            print(f"{options.idle} idle connections: {each / 1024:.1f} KiB each; {threads} threads in the server")
            for name, rates in [("alone", alone), ("beside them", beside)]:
                shown = ", ".join(f"{per_second:,.0f}/s at {cpu:.1f} us of CPU" for per_second, cpu in rates)
                print(f"{options.busy} busy connections {name}: {shown}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
