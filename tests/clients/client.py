"""Python's clients: `client.py LIBRARY` speaks the line protocol of tests/clients/main.rs on standard input and output."""

import asyncio
import datetime
import decimal
import sys

library = sys.argv[1]
escapes = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def escaped(text):
    return "".join(escapes.get(character, character) for character in text)


def unescaped(text):
    out, characters = [], iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters)
            character = {"t": "\t", "n": "\n", "r": "\r"}.get(following, following)
        out.append(character)
    return "".join(out)


def shown(value):
    """A value as every client's is shown: see checks.txt."""
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (bytes, bytearray)):
        return "0x" + value.hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.timedelta):
        sign, value = ("-", -value) if value < datetime.timedelta(0) else ("", value)
        seconds = value.days * 86400 + value.seconds
        fraction = f".{value.microseconds:06}" if value.microseconds else ""
        return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"
    if isinstance(value, set):
        return escaped(",".join(sorted(value)))
    return escaped(str(value))


def parameter(text):
    kind, text = text[0], text[2:]
    makers = {"i": int, "d": float, "s": unescaped, "x": bytes.fromhex, "n": lambda _: None}
    return makers[kind](text)


def say(word, *fields):
    print("\t".join([word, *map(str, fields)]), flush=False)


class Absent(Exception):
    """What a library cannot do."""


class Blocking:
    """Libraries of the DB API (PEP 249)."""

    mark = "%s"

    def __init__(self, module):
        self.module = module
        self.errors = module.Error

    def cursor(self, connection, prepared=False):
        return connection.cursor()

    def stream(self, connection):
        raise Absent("no unbuffered cursor")

    def options(self, words):
        raise NotImplementedError

    def connect(self, host, port, user, password, database, words):
        return self.module.connect(host=host, port=port, user=user, password=password, **self.options(words, database))

    def execute(self, cursor, sql, parameters):
        cursor.execute(sql, parameters)

    def next_set(self, cursor):
        return cursor.nextset()

    def ping(self, connection):
        connection.ping()

    def reset(self, connection):
        raise Absent("COM_RESET_CONNECTION is not offered")

    def state(self, error):
        return "-"

    def code(self, error):
        return error.args[0] if error.args else 0


class PyMySql(Blocking):
    def options(self, words, database):
        from pymysql.constants import CLIENT

        if "compress" in words:
            raise Absent("no compression")
        flags = (CLIENT.FOUND_ROWS if "found" in words else 0) | (CLIENT.MULTI_STATEMENTS if "multi" in words else 0)
        tls = {"ssl": {"check_hostname": False}, "ssl_verify_cert": False} if "tls" in words else {"ssl_disabled": True}
        return dict(database=database, charset="utf8mb4", autocommit=None, client_flag=flags, local_infile="local" in words, max_allowed_packet=64 << 20, **tls)

    def stream(self, connection):
        return connection.cursor(self.module.cursors.SSCursor)


class MySqlDb(Blocking):
    def options(self, words, database):
        from MySQLdb.constants import CLIENT

        flags = (CLIENT.FOUND_ROWS if "found" in words else 0) | (CLIENT.MULTI_STATEMENTS if "multi" in words else 0)
        tls = {"ssl_mode": "REQUIRED"} if "tls" in words else {}
        options = dict(database=database, charset="utf8mb4", client_flag=flags, autocommit=None, **tls)
        if "local" in words:
            options["local_infile"] = 1
        if "compress" in words:
            options["compress"] = True
        return options

    def stream(self, connection):
        import MySQLdb.cursors

        return connection.cursor(MySQLdb.cursors.SSCursor)


class Connector(Blocking):
    def options(self, words, database):
        from mysql.connector.constants import ClientFlag

        flags = [ClientFlag.FOUND_ROWS if "found" in words else -ClientFlag.FOUND_ROWS]
        if "single" in words:
            flags.append(-ClientFlag.MULTI_STATEMENTS)
        return dict(database=database, charset="utf8mb4", client_flags=flags, ssl_disabled="tls" not in words, use_pure=True, allow_local_infile="local" in words, compress="compress" in words, autocommit=True)

    def cursor(self, connection, prepared=False):
        return connection.cursor(prepared=prepared)

    def stream(self, connection):
        return connection.cursor(buffered=False)

    def reset(self, connection):
        connection.cmd_reset_connection()

    def state(self, error):
        return error.sqlstate or "-"

    def code(self, error):
        return error.errno


class Odbc(Blocking):
    mark = "?"

    def connect(self, host, port, user, password, database, words):
        if {"compress", "found", "single"} & set(words):
            raise Absent("no such option")
        text = f"DRIVER={{MariaDB Unicode}};SERVER={host};PORT={port};UID={user};PWD={{{password}}};DATABASE={database}"
        text += ";FORCETLS=1;TLSVERIFYCERT=0" if "tls" in words else ""
        text += ";OPTION=67108864" if "multi" in words else ""
        if "local" in words:
            raise Absent("LOCAL is not reachable")
        return self.module.connect(text, autocommit=True)

    def next_set(self, cursor):
        return cursor.nextset()

    def execute(self, cursor, sql, parameters):
        cursor.execute(sql, *parameters)

    def stream(self, connection):
        return connection.cursor()

    def ping(self, connection):
        connection.cursor().execute("DO 0")

    def state(self, error):
        return "-"

    def code(self, error):
        # [01000] [ma-3.1.15][8.4.0](1146) text (SQLExecDirectW)
        numbers = [part.split(")")[0] for part in str(error.args[-1]).split("(")[1:]]
        return next((number for number in numbers if number.isdigit()), 0)


def adapter():
    if library == "PyMySQL":
        import pymysql

        return PyMySql(pymysql)
    if library == "mysqlclient":
        import MySQLdb

        return MySqlDb(MySQLdb)
    if library == "mysql-connector-python":
        import mysql.connector

        return Connector(mysql.connector)
    if library == "pyodbc":
        import pyodbc

        return Odbc(pyodbc)
    return Asynchronous(library)


class Asynchronous(Blocking):
    """aiomysql and asyncmy, driven one call at a time."""

    def __init__(self, name):
        super().__init__(__import__(name))
        self.name = name
        self.errors = __import__(f"{name}.errors", fromlist=["errors"]).Error if name == "asyncmy" else __import__("pymysql").Error
        self.loop = asyncio.new_event_loop()
        self.wait = self.loop.run_until_complete

    def connect(self, host, port, user, password, database, words):
        from pymysql.constants import CLIENT
        import ssl

        if "compress" in words:
            raise Absent("no compression")
        context = None
        if "tls" in words:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        flags = (CLIENT.FOUND_ROWS if "found" in words else 0) | (CLIENT.MULTI_STATEMENTS if "multi" in words else 0)
        connecting = self.module.connect(host=host, port=port, user=user, password=password, db=database, charset="utf8mb4", autocommit=None, client_flag=flags, local_infile="local" in words, ssl=context)

        async def connected():
            return await connecting

        return AsyncConnection(self, self.wait(connected()))

    def stream(self, connection):
        module = self.module.cursors if hasattr(self.module, "cursors") else __import__(f"{self.name}.cursors", fromlist=["cursors"])
        return AsyncCursor(self, self.cursor_of(connection, module.SSCursor))

    def cursor_of(self, connection, kind=None):
        made = connection.inner.cursor(kind) if kind else connection.inner.cursor()
        return self.wait(_awaited(made)) if hasattr(made, "__await__") else made

    def cursor(self, connection, prepared=False):
        return AsyncCursor(self, self.cursor_of(connection))

    def ping(self, connection):
        self.wait(connection.inner.ping(False) if self.name == "aiomysql" else _awaited(connection.inner.ping(reconnect=False)))


async def _awaited(made):
    return await made


class AsyncConnection:
    def __init__(self, owner, inner):
        self.owner, self.inner = owner, inner

    def close(self):
        self.inner.close()


class AsyncCursor:
    def __init__(self, owner, inner):
        self.owner, self.inner = owner, inner

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def called(*arguments):
            made = found(*arguments)
            return self.owner.wait(_awaited(made)) if hasattr(made, "__await__") else made

        return called


def answer_sets(client, cursor):
    while True:
        if cursor.description:
            say("columns", *[escaped(str(column[0])) for column in cursor.description])
            for row in cursor.fetchall():
                say("row", *map(shown, row))
        else:
            say("done", cursor.rowcount, getattr(cursor, "lastrowid", None) or "-")
        if not client.next_set(cursor):
            return


def run(client, connections, operation, name, fields):
    if operation == "connect":
        host, port, user, password, database, words = fields
        connections[name] = client.connect(host, int(port), user, password, database, words.split())
        return say("ok")
    connection = connections[name]
    if operation == "query":
        cursor = client.cursor(connection)
        client.execute(cursor, unescaped(fields[0]), ()) if client.mark == "?" else cursor.execute(unescaped(fields[0]))
        answer_sets(client, cursor)
        cursor.close()
    elif operation == "execute":
        cursor = client.cursor(connection, prepared=True)
        sql = unescaped(fields[0])
        if client.mark == "%s" and len(fields) > 1:
            sql = sql.replace("%", "%%").replace("?", "%s")
        client.execute(cursor, sql, tuple(map(parameter, fields[1:])))
        answer_sets(client, cursor)
        cursor.close()
    elif operation == "blob":
        cursor = client.cursor(connection, prepared=True)
        sent = bytes(range(256)) * (int(fields[1]) // 256) + bytes(range(int(fields[1]) % 256))
        client.execute(cursor, fields[0].replace("?", client.mark), (sent,))
        got = cursor.fetchall()[0][0]
        got = got.encode("utf8", "surrogateescape") if isinstance(got, str) else bytes(got)
        say("blob", len(got) if got == sent else f"{len(got)} other bytes")
        cursor.close()
    elif operation in ("stream", "abandon"):
        cursor = client.stream(connection)
        cursor.execute(unescaped(fields[0]))
        count = 0
        while cursor.fetchone() is not None:
            count += 1
            if operation == "abandon" and count == 10:
                connection.close()
                return say("ok")
        say("count", count)
        cursor.close()
    elif operation == "ping":
        client.ping(connection)
        say("ok")
    elif operation == "reset":
        client.reset(connection)
        say("ok")
    elif operation == "close":
        connections.pop(name).close()
        say("ok")
    else:
        raise Absent(operation)


def main():
    client, connections = adapter(), {}
    sys.stdin.reconfigure(encoding="utf8", newline="\n")
    sys.stdout.reconfigure(encoding="utf8", newline="\n")
    for line in sys.stdin:
        operation, name, *fields = line.rstrip("\n").split("\t")
        try:
            run(client, connections, operation, name, fields)
        except Absent as absent:
            say("absent", escaped(str(absent)))
        except client.errors as error:
            say("error", client.code(error), client.state(error), escaped(str(error)))
        except Exception as error:  # a client that falls over is a finding, not the end
            say("error", 0, "-", escaped(f"{type(error).__name__}: {error}"))
        print("end", flush=True)


main()
