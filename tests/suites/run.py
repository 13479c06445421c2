#!/usr/bin/env python3
"""Other projects' own test suites on Drumlin and on MariaDB, one after the other: what passes on the one and not on the other.

    cargo build --release
    python3 tests/suites/run.py [pymysql] [sqlalchemy] [mysqlclient] [django] [sequelize] [typeorm] [--binary target/release/drumlin]

Their source archives come from PyPI into target/suites; MariaDB's server is installed from Debian where it is missing. Half an
hour, and not part of `cargo test`. Sequelize and TypeORM publish no tests: for them there are programs of our own (`orm/`), which
use all that their documentation tells of, each with the dialect that it has for the server. Tests that fail on Drumlin alone are named; docs/compatibility.md says why they do.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "suites"
PYTHON = WORK / "python" / "bin" / "python"
# What the programs in orm/ use; the connector for MariaDB is the newest that this Sequelize works with.
NODE_PACKAGES = ["sequelize@6.37.8", "typeorm@1.1.1", "mysql2@3.24.6", "mariadb@2.5.6", "reflect-metadata@0.2.2"]

# Django's tests that reach the database, by folder.
DJANGO = """aggregation aggregation_regress annotations auth_tests backends basic bulk_create cache composite_pk constraints contenttypes_tests
custom_columns custom_lookups custom_managers custom_methods custom_pk datatypes dates datetimes db_functions db_typecasts db_utils defer
defer_regress delete delete_regress distinct_on_fields empty empty_models expressions expressions_case expressions_window extra_regress
field_defaults filtered_relation fixtures fixtures_regress force_insert_update foreign_object from_db_value generic_relations
generic_relations_regress get_earliest_or_latest get_object_or_404 get_or_create indexes inspectdb introspection known_related_objects
lookup m2m_and_m2o m2m_intermediary m2m_multiple m2m_recursive m2m_regress m2m_signals m2m_through m2m_through_regress m2o_recursive
managers_regress many_to_many many_to_one many_to_one_null max_lengths migrate_signals migrations model_fields model_indexes
model_inheritance model_inheritance_regress model_options multiple_database mutually_referential nested_foreign_keys null_fk
null_fk_ordering null_queries one_to_one or_lookups order_with_respect_to ordering pagination prefetch_related proxy_model_inheritance
proxy_models queries queryset_pickle raw_query reserved_names reverse_lookup save_delete_hooks schema select_for_update select_related
select_related_onetoone select_related_regress serializers sessions_tests string_lookup timezones transaction_hooks transactions
unmanaged_models update update_only_fields validation xor_lookups""".split()

DJANGO_SETTINGS = """
def database(name):
    return {{"ENGINE": "django.db.backends.mysql", "HOST": "127.0.0.1", "PORT": "{port}", "USER": "root", "PASSWORD": "", "NAME": name,
             "TEST": {{"CHARSET": "utf8mb4"}}}}
DATABASES = {{"default": database("one"), "other": database("two")}}
SECRET_KEY = "of the tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
"""


def sources(package, version=None):
    """The unpacked source archive of a package."""
    unpacked = lambda: [path for path in WORK.iterdir() if path.is_dir() and path.name.lower().startswith(f"{package}-")]
    if not unpacked():
        wanted = f"{package}=={version}" if version else package
        subprocess.run([PYTHON, "-m", "pip", "download", "-q", "--no-binary", package, "--no-deps", "-d", WORK, wanted], check=True)
        archive = next(path for path in WORK.glob("*.tar.gz") if path.name.lower().startswith(f"{package}-"))
        shutil.unpack_archive(archive, WORK, filter="data")
    return unpacked()[0]


def prepare():
    WORK.mkdir(parents=True, exist_ok=True)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", PYTHON.parent.parent], check=True)
        packages = ["setuptools", "wheel", "pymysql", "mysqlclient", "sqlalchemy", "django", "pytest", "cryptography"]
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", *packages], check=True)
    if not (WORK / "node" / "node_modules").exists():
        if not shutil.which("npm"):
            subprocess.run(["apt-get", "install", "-y", "-qq", "nodejs", "npm"], check=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", WORK / "node", *NODE_PACKAGES], check=True)
    if not shutil.which("mariadbd", path=os.environ["PATH"] + ":/usr/sbin"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "mariadb-server"], env={**os.environ, "RUNLEVEL": "1"}, check=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, directory, binary):
        self.name, self.port = name, free_port()
        directory.mkdir()
        if name == "drumlin":
            command = [binary, "start", "--data-dir", directory / "data", "--listen", f"127.0.0.1:{self.port}", "--http", "127.0.0.1:0"]
        else:
            data, path = directory / "data", os.environ["PATH"] + ":/usr/sbin"
            install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
            subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            command = [shutil.which("mariadbd", path=path), "--no-defaults", f"--datadir={data}", f"--port={self.port}"]
            command += ["--bind-address=127.0.0.1", f"--socket={directory}/socket", "--user=root", "--local-infile=1"]
        log = open(directory / "log", "w")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit(f"{name} does not listen: {directory}/log")
                time.sleep(0.1)
        self.run("CREATE DATABASE IF NOT EXISTS test", "CREATE DATABASE test_schema", "SET GLOBAL local_infile = 1")

    def run(self, *statements):
        script = "import pymysql, sys; c = pymysql.connect(host='127.0.0.1', port=int(sys.argv[1]), user='root').cursor(); "
        script += "[c.execute(s) for s in sys.argv[2:]]"
        subprocess.run([PYTHON, "-c", script, str(self.port), *statements], check=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def pytest(arguments, directory, environment):
    """Names of the tests that passed, and of those that did not."""
    command = [PYTHON, "-m", "pytest", "-q", "-rpfE", "-p", "no:cacheprovider", "-p", "no:warnings", "--tb=line", *arguments]
    output = subprocess.run(command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True).stdout
    # The server's name and version are part of some names.
    plain = lambda name: re.sub(r"_(mysql|mariadb)\+\w+?(_\d+)+(?=::)", "", name)
    passed = {plain(name) for name in re.findall(r"^PASSED (\S+)", output, re.M)}
    failed = {plain(name) for name in re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.M)}
    if not passed:
        sys.exit(output[-3000:])
    return passed, failed


def sqlalchemy(server):
    url = f"mysql+pymysql://root@127.0.0.1:{server.port}/test?charset=utf8mb4"
    tests = ["test/dialect/test_suite.py", "test/dialect/mysql"]
    return pytest(["--maxfail=100000", "--dburi", url, *tests], sources("sqlalchemy"), {})


def pymysql(server):
    # The last one whose archive has its tests.
    directory = sources("pymysql", "0.9.3")
    (directory / "unittest2.py").write_text("from unittest import *\n")
    database = {"host": "127.0.0.1", "port": server.port, "user": "root", "password": "", "use_unicode": True, "local_infile": True}
    databases = [{**database, "database": name} for name in ["test1", "test2"]]
    (directory / "pymysql" / "tests" / "databases.json").write_text(json.dumps(databases))
    server.run("CREATE DATABASE test1", "CREATE DATABASE test2")
    return pytest(["pymysql/tests"], directory, {})


def mysqlclient(server):
    settings = WORK / f"mysqlclient.{server.name}.cnf"
    lines = ["[MySQLdb-tests]", "host=127.0.0.1", f"port={server.port}", "user=root", "database=test", "default-character-set=utf8mb4"]
    settings.write_text("\n".join(lines) + "\n")
    return pytest(["tests"], sources("mysqlclient"), {"TESTDB": str(settings)})


def django(server):
    tests = sources("django") / "tests"
    (tests / f"on_{server.name}.py").write_text(DJANGO_SETTINGS.format(port=server.port))
    command = [PYTHON, "runtests.py", f"--settings=on_{server.name}", "--noinput", "--parallel=1", "-v", "2", *DJANGO]
    output = subprocess.run(command, cwd=tests, capture_output=True, text=True).stderr
    outcomes = re.findall(r"^(\w+) \(([\w.]+)\).*?\.\.\. (ok|FAIL|ERROR)$", output, re.M | re.S)
    passed = {case for _, case, outcome in outcomes if outcome == "ok"}
    failed = set(re.findall(r"^(?:FAIL|ERROR): \w+ \(([\w.]+)\)", output, re.M))
    if not passed:
        sys.exit(output[-3000:])
    return passed - failed, failed


def orm(server, program):
    server.run("CREATE DATABASE orm CHARACTER SET utf8mb4")
    dialect = "mariadb" if server.name == "mariadb" else "mysql"
    command = ["node", ROOT / "tests" / "suites" / "orm" / program, "127.0.0.1", str(server.port), "orm", dialect]
    environment = {**os.environ, "NODE_PATH": str(WORK / "node" / "node_modules")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    outcomes = {outcome: set(re.findall(rf"^{outcome} ([^\t\n]+)", ended.stdout, re.M)) for outcome in ["PASSED", "FAILED"]}
    if not re.search(r"^checks: \d+ passed, \d+ failed$", ended.stdout, re.M):
        sys.exit(ended.stdout[-3000:] + ended.stderr[-3000:])
    return outcomes["PASSED"], outcomes["FAILED"]


def sequelize(server):
    return orm(server, "sequelize.js")


def typeorm(server):
    return orm(server, "typeorm.js")


SUITES = {
    "pymysql": pymysql,
    "sqlalchemy": sqlalchemy,
    "mysqlclient": mysqlclient,
    "django": django,
    "sequelize": sequelize,
    "typeorm": typeorm,
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("suites", nargs="*", choices=[[], *SUITES], help="all of them, if none is named")
    arguments.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "drumlin")
    options = arguments.parse_args()
    prepare()
    for suite in options.suites or SUITES:
        results = {}
        for name in ["drumlin", "mariadb"]:
            with tempfile.TemporaryDirectory(prefix="suites-") as directory:
                server = Server(name, pathlib.Path(directory) / name, options.binary.resolve())
                try:
                    results[name] = SUITES[suite](server)
                finally:
                    server.stop()
        ours, theirs = results["drumlin"], results["mariadb"]
        for name, (passed, failed) in results.items():
            print(f"{suite} on {name}: {len(passed)} passed, {len(failed)} failed")
        print(f"{suite}: of {len(theirs[0])} that pass on mariadb, {len(theirs[0]) - len(ours[1] & theirs[0])} do not fail on drumlin", flush=True)
        for name in sorted(ours[1]):
            print(f"  fails on drumlin{' and on mariadb' if name in theirs[1] else ''}: {name}")


if __name__ == "__main__":
    main()
