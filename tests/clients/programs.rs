//! The clients: how each is installed, built and started, and what it cannot do by its own nature.

use crate::harness::tools;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

pub struct Client {
    pub name: &'static str,
    command: fn(&Environment) -> Command,
    /// Checks that the client's own nature decides otherwise, with the reason. They are left out.
    pub differs: Differs,
}

type Differs = &'static [(&'static str, &'static str)];

const ALWAYS_FOUND_ROWS: (&str, &str) = ("affected rows", "always asks for rows found");
const ALWAYS_MULTI: (&str, &str) =
    ("several statements are refused unless asked for", "always announces multi-statements");
const AIOMYSQL: Differs = &[
    ALWAYS_FOUND_ROWS,
    ALWAYS_MULTI,
    ("bytes", "cannot quote bytes with the newest PyMySQL; on MariaDB too"),
    ("a blob of 32 MiB", "the same"),
    ("a blob of more than one packet", "the same"),
];
const ASYNCMY: Differs = &[
    ALWAYS_FOUND_ROWS,
    ALWAYS_MULTI,
    ("a blob of 32 MiB", "fails by itself where a packet ends; on MariaDB too"),
    ("load data local", "fails by itself on the file's name; on MariaDB too"),
];
const CONNECTOR_PYTHON: Differs = &[
    ("dates", "reads YEAR of a prepared statement as text; on MariaDB too"),
    ("a blob of 32 MiB", "cuts a row of a prepared statement where a packet ends; on MariaDB too"),
    ("a blob of more than one packet", "the same"),
];
const ODBC: Differs = &[
    ("unsigned integers", "4294967295 becomes -1 in pyodbc; on MariaDB too"),
    ("times", "pyodbc's time has neither sign nor fraction"),
    ("ping", "no such call, and the driver takes DO for an error; on MariaDB too"),
];
const PHP: Differs =
    &[("wrong password", "gives HY000 for every error while connecting"), ("unknown database", "the same")];
const PERL: Differs = &[
    ("floating point", "Perl shows 15 digits of a number"),
    ("json", "sends text of a prepared statement as BLOB, which MySQL takes for no JSON either (3144)"),
    ("under TLS", "Debian's build, over MariaDB's library, refuses to ask for TLS"),
];
const RUBY: Differs = &[("dates", "moments far from today lose their fraction of a second; on MariaDB too")];
const GO: Differs = &[("an error ends several results", "version 1.5 waits for more after the error, for ever")];
const SQLX: Differs = &[
    ALWAYS_FOUND_ROWS,
    ALWAYS_MULTI,
    ("an empty result has columns", "tells columns with rows alone, or of a prepared statement"),
];

pub const CLIENTS: &[Client] = &[
    Client { name: "PyMySQL", command: python, differs: &[ALWAYS_FOUND_ROWS] },
    Client { name: "mysqlclient", command: python, differs: &[ALWAYS_FOUND_ROWS, ALWAYS_MULTI] },
    Client { name: "mysql-connector-python", command: python, differs: CONNECTOR_PYTHON },
    Client { name: "aiomysql", command: python, differs: AIOMYSQL },
    Client { name: "asyncmy", command: python, differs: ASYNCMY },
    Client { name: "pyodbc", command: odbc, differs: ODBC },
    Client { name: "mysql2", command: node, differs: &[] },
    Client { name: "mariadb", command: node, differs: &[] },
    Client { name: "mysqli", command: php, differs: PHP },
    Client { name: "PDO", command: php, differs: PHP },
    Client { name: "DBD-mysql", command: perl, differs: PERL },
    Client { name: "ruby-mysql2", command: ruby, differs: RUBY },
    Client { name: "go-sql-driver", command: go, differs: GO },
    Client { name: "connector-j", command: java, differs: &[] },
    Client { name: "connector-c", command: c, differs: &[] },
    Client { name: "mysql_async", command: rust, differs: &[ALWAYS_MULTI] },
    Client { name: "sqlx", command: rust, differs: SQLX },
];

impl Client {
    /// Ready to be spawned; installs and builds what it needs first.
    pub fn command(&self, environment: &Environment) -> Command {
        let mut command = (self.command)(environment);
        command.arg(self.name);
        command
    }
}

/// Where clients are installed: below the target directory, so that it happens once.
pub struct Environment {
    directory: PathBuf,
}

impl Environment {
    pub fn new() -> Environment {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
        std::fs::create_dir_all(&directory).unwrap();
        Environment { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The source of a client program.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
}

/// Installs Debian's packages where `probe` does not succeed.
fn needs(probe: &mut Command, packages: &[&str]) {
    let mut works = || {
        let status = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !works() {
        tools::install(packages);
        assert!(works(), "{probe:?} does not work; apt-get install {}", packages.join(" "));
    }
}

const PYTHON_PACKAGES: [&str; 7] =
    ["pymysql", "mysqlclient", "mysql-connector-python", "aiomysql", "asyncmy", "pyodbc", "cryptography"];

fn python(environment: &Environment) -> Command {
    let home = environment.path("python");
    let program = home.join("bin/python");
    let import = "import pymysql, MySQLdb, mysql.connector, aiomysql, asyncmy, pyodbc";
    let works = Command::new(&program).args(["-c", import]).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        let python = tools::program("python3", &["python3", "python3-venv"]);
        // Headers and a compiler for those that come without a wheel for this Python.
        needs(Command::new("mariadb_config").arg("--version"), &["libmariadb-dev"]);
        needs(Command::new("pkg-config").arg("--version"), &["pkg-config"]);
        let headers = "import os, sysconfig; open(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))";
        needs(Command::new(&python).args(["-c", headers]), &["python3-dev"]);
        needs(Command::new("odbcinst").arg("-j"), &["odbcinst", "unixodbc"]);
        let make = |command: &mut Command| command.stdin(Stdio::null()).status().is_ok_and(|status| status.success());
        if !make(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&home)) {
            tools::install(&["python3-venv"]);
            run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&home));
        }
        run(Command::new(home.join("bin/pip")).args(["install", "--quiet"]).args(PYTHON_PACKAGES));
    }
    let mut command = Command::new(program);
    command.arg(source("client.py"));
    command
}

fn odbc(environment: &Environment) -> Command {
    needs(
        Command::new("odbcinst").args(["-q", "-d", "-n", "MariaDB Unicode"]),
        &["odbc-mariadb", "odbcinst", "unixodbc"],
    );
    python(environment)
}

/// By name and version; the newest of `mariadb` that runs on the Node of Debian 12, which is 18.
const NODE_PACKAGES: [(&str, &str); 3] = [("mysql2", "3"), ("mariadb", "3.4"), ("sequelize", "6.37.8")];

/// Node, and the directory with the packages.
fn node_home(environment: &Environment) -> (PathBuf, PathBuf) {
    // Tests of this process install the same.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = environment.path("node");
    let node = tools::program("node", &["nodejs", "npm"]);
    if !NODE_PACKAGES.iter().all(|(name, _)| home.join("node_modules").join(name).is_dir()) {
        let npm = tools::program("npm", &["npm"]);
        std::fs::create_dir_all(&home).unwrap();
        let arguments = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"];
        let packages = NODE_PACKAGES.map(|(name, version)| format!("{name}@{version}"));
        run(Command::new(npm).arg("--prefix").arg(&home).args(arguments).args(packages));
    }
    (node, home)
}

fn node(environment: &Environment) -> Command {
    let (node, home) = node_home(environment);
    let mut command = Command::new(node);
    command.arg(source("client.js")).env("CLIENT_HOME", home);
    command
}

/// The program of `tests/suites/orm` that uses Sequelize; its arguments are to follow.
pub fn sequelize(environment: &Environment) -> Command {
    let (node, home) = node_home(environment);
    let mut command = Command::new(node);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/orm/sequelize.js");
    command.arg(program).env("NODE_PATH", home.join("node_modules"));
    command
}

fn php(_: &Environment) -> Command {
    needs(Command::new("php").args(["-r", "exit(extension_loaded('pdo_mysql') ? 0 : 1);"]), &["php-cli", "php-mysql"]);
    let mut command = Command::new("php");
    command.args(["-d", "mysqli.allow_local_infile=1"]).arg(source("client.php"));
    command
}

fn perl(_: &Environment) -> Command {
    needs(Command::new("perl").args(["-MDBD::mysql", "-e", "1"]), &["perl", "libdbd-mysql-perl"]);
    let mut command = Command::new("perl");
    command.arg(source("client.pl"));
    command
}

fn ruby(_: &Environment) -> Command {
    needs(Command::new("ruby").args(["-e", "require 'mysql2'"]), &["ruby", "ruby-mysql2"]);
    let mut command = Command::new("ruby");
    command.arg(source("client.rb"));
    command
}

fn go(environment: &Environment) -> Command {
    let packages = ["golang-go", "golang-github-go-sql-driver-mysql-dev"];
    needs(Command::new("test").args(["-d", "/usr/share/gocode/src/github.com/go-sql-driver/mysql"]), &packages);
    let program = environment.path("client-go");
    let mut build = Command::new(tools::program("go", &packages));
    build.env("GOPATH", "/usr/share/gocode").env("GO111MODULE", "off").env("CGO_ENABLED", "0");
    build.env("GOCACHE", environment.path("go-cache"));
    run(build.args(["build", "-o"]).arg(&program).arg(source("client.go")));
    Command::new(program)
}

fn java(environment: &Environment) -> Command {
    let driver = "/usr/share/java/mariadb-java-client.jar";
    needs(Command::new("test").args(["-f", driver]), &["libmariadb-java"]);
    let compiler = tools::program("javac", &["default-jdk-headless"]);
    let classes = environment.path("java");
    run(Command::new(compiler).arg("-d").arg(&classes).arg(source("Client.java")));
    let mut command = Command::new("java");
    command.args(["-Xmx1g", "-cp", &format!("{}:{driver}", classes.display()), "Client"]);
    command
}

fn c(environment: &Environment) -> Command {
    needs(Command::new("mariadb_config").arg("--version"), &["libmariadb-dev"]);
    let flags = Command::new("mariadb_config").args(["--cflags", "--libs"]).output().expect("mariadb_config");
    let flags = String::from_utf8(flags.stdout).expect("flags are ASCII");
    let program = environment.path("client-c");
    let mut build = Command::new("cc");
    build.args(["-O1", "-Wall", "-D_GNU_SOURCE", "-o"]).arg(&program).arg(source("client.c"));
    run(build.args(flags.split_whitespace()));
    Command::new(program)
}

/// Of each the newest that Cargo finds; what a library does not need for these checks is left out, so that it builds soon.
const RUST_PACKAGE: &str = r#"
[workspace]

[package]
name = "client"
edition = "2024"

[dependencies]
bytes = "1"
futures-util = { version = "0.3", default-features = false }
mysql_async = { version = "0.37", default-features = false, features = ["minimal-rust", "ring", "rustls-tls", "tls12"] }
sqlx = { version = "0.9", default-features = false, features = ["chrono", "mysql-rsa", "runtime-tokio", "tls-rustls-ring-webpki"] }
tokio = { version = "1", features = ["macros", "rt"] }

[profile.dev]
debug = false
"#;

/// A package and a target directory of its own: the workspace's features and versions stay what they are.
fn rust(environment: &Environment) -> Command {
    let home = environment.path("rust");
    std::fs::create_dir_all(&home).unwrap();
    let manifest = format!("{RUST_PACKAGE}\n[[bin]]\nname = \"client\"\npath = {:?}\n", source("client.rs"));
    std::fs::write(home.join("Cargo.toml"), manifest).unwrap();
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--manifest-path"]).arg(home.join("Cargo.toml"));
    run(build.arg("--target-dir").arg(home.join("target")));
    Command::new(home.join("target/debug/client"))
}
