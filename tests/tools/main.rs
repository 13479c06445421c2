//! Operators' tools, unmodified from Debian's packages: each is run against a server as its manual says, and what it
//! prints is looked at. `mariadb-dump` is in `tests/dumps.rs`, `pt-query-digest` in `tests/logs.rs`, phpMyAdmin with the
//! applications.

#[path = "../harness/mod.rs"]
mod harness;

use harness::{Launch, Server, tools};
use mysql_async::prelude::Queryable;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tables with every kind of column and key, a view, routines.
const SCHEMA: &str = include_str!("schema.sql");
const PATIENCE: Duration = Duration::from_secs(60);

/// What a tool printed on both outputs. It has to succeed.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// One of MariaDB's client programs, as root.
fn client(name: &str, address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::program(name, &["mariadb-client"]));
    command.args(["--no-defaults", "--user=root", "--protocol=tcp", "--skip-ssl", "--host=127.0.0.1"]);
    command.arg(format!("--port={}", address.port())).args(arguments);
    command
}

async fn load(server: &Server) {
    let mut connection = server.connect().await;
    for statement in SCHEMA.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        connection.query_drop(statement).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    connection
        .query_drop(
            "INSERT INTO parent (code, name, price, at, day, t, y, small, big, tiny, d, f, b, bin, vb, bl, tx, e, s, ts) VALUES
             ('a', 'one \u{1f600}', 1.5, '2024-02-29 23:59:59.000001', '0001-01-01', '-838:59:59', 1901, 65535, 18446744073709551615, 1,
              1e308, 1.5, b'10000001', X'00', X'00ff27', X'005c2227', 'line\\n\\t\"quoted\"', 'bcd', 'x,y', '2001-01-01 00:00:01'),
             ('b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await
        .unwrap();
    connection.query_drop("INSERT INTO child VALUES (1, 2, 1, 'a'), (2, 1, NULL, 'b')").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysqladmin_does_all_that_it_is_asked() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let admin = |arguments: &[&str]| output(&mut client("mysqladmin", server.mysql(), arguments));
    assert_eq!(admin(&["ping"]).trim(), "mysqld is alive");
    for word in ["flush-hosts", "flush-logs", "flush-privileges", "flush-status", "flush-tables", "refresh", "reload"] {
        admin(&[word]);
    }
    assert!(admin(&["status"]).contains("Uptime:"));
    assert!(admin(&["version"]).contains("Server version"));
    assert!(admin(&["variables"]).contains("| max_connections"));
    let status = admin(&["extended-status"]);
    assert!(status.contains("| Questions") && status.contains("| Bytes_sent"), "{status}");
    let mut idle = server.connect().await;
    let id: u64 = idle.query_first("SELECT CONNECTION_ID()").await.unwrap().unwrap();
    assert!(admin(&["processlist"]).contains(&format!("| {id}")));
    admin(&["kill", &id.to_string()]);
    assert!(idle.query_drop("SELECT 1").await.is_err());
    admin(&["create", "made"]);
    admin(&["--force", "drop", "made"]);
    // Its `password` is for MariaDB alone, with a SET PASSWORD that MySQL 8.4 does not read either.
    server.run(&["ALTER USER root IDENTIFIED BY 'new'"]).await;
    let refused = client("mysqladmin", server.mysql(), &["status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Access denied"));
    assert!(admin(&["--password=new", "status"]).contains("Uptime:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysqlshow_and_mysqlslap_have_their_answers() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    load(&server).await;
    let show = |arguments: &[&str]| output(&mut client("mysqlshow", server.mysql(), arguments));
    assert!(show(&[]).contains("| jdbc"));
    assert!(show(&["jdbc"]).contains("| parent"));
    assert!(show(&["--count", "jdbc"]).contains("| child"));
    assert!(show(&["--status", "jdbc"]).contains("InnoDB"));
    assert!(show(&["-t", "jdbc"]).contains("VIEW"));
    let keys = show(&["--keys", "jdbc", "parent"]);
    assert!(keys.contains("by_name") && keys.contains("decimal(12,4)"), "{keys}");
    assert!(!show(&["jdbc", "parent", "p%"]).contains("by_name"));
    let slap = ["--concurrency=4", "--iterations=2", "--number-of-queries=200", "--auto-generate-sql"];
    let more = ["--auto-generate-sql-load-type=mixed", "--auto-generate-sql-add-autoincrement", "--commit=5"];
    let figures = output(&mut client("mysqlslap", server.mysql(), &[&slap[..], &more].concat()));
    assert!(figures.contains("Average number of queries per client: 50"), "{figures}");
}

/// What `mariadb-dump` says of the tables and views of a database.
fn dumped(server: &Server, database: &str) -> String {
    let arguments = ["--skip-comments", "--hex-blob", "--order-by-primary", "--triggers", database];
    output(&mut client("mariadb-dump", server.mysql(), &arguments))
}

/// Routines are left out: this mydumper takes columns of SHOW PROCEDURE STATUS by their place, where MySQL 8.4 has one more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mydumper_dumps_and_myloader_loads_the_same() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    load(&server).await;
    server.run(&["CREATE TRIGGER jdbc.t BEFORE INSERT ON jdbc.child FOR EACH ROW SET NEW.b = NEW.b + 1"]).await;
    let folder = data.path().join("dump");
    let run = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(tools::program(name, &["mydumper"]));
        command.args(["--host", "127.0.0.1", "--user", "root", "--port", &server.mysql().port().to_string()]);
        let text = output(command.args(arguments));
        assert!(!text.contains("CRITICAL") && !text.contains("WARNING"), "{text}");
    };
    let path = folder.display().to_string();
    run("mydumper", &["--database", "jdbc", "--triggers", "--rows", "1", "--outputdir", &path]);
    run("myloader", &["--directory", &path, "--database", "again"]);
    assert_eq!(dumped(&server, "again"), dumped(&server, "jdbc"));
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_exporter_finds_its_figures() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    load(&server).await;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = tools::program("prometheus-mysqld-exporter", &["prometheus-mysqld-exporter"]);
    let mut command = Command::new(program);
    command.env("DATA_SOURCE_NAME", format!("root@tcp({})/", server.mysql()));
    command.arg(format!("--web.listen-address={address}"));
    // Besides what it asks for by itself.
    let further = ["info_schema.processlist", "info_schema.tables", "engine_innodb_status", "auto_increment.columns"];
    command.args(further.map(|name| format!("--collect.{name}")));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _running = Running(child);
    let begun = Instant::now();
    let metrics = loop {
        let answer =
            Command::new(tools::program("curl", &["curl"])).args(["-s", &format!("http://{address}/metrics")]).output();
        let answer = answer.unwrap();
        if answer.status.success() {
            break String::from_utf8(answer.stdout).unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "the exporter does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for line in ["mysql_up 1", "mysql_exporter_last_scrape_error 0"] {
        assert!(metrics.lines().any(|it| it == line), "{line}");
    }
    for name in
        ["mysql_global_status_queries", "mysql_global_status_bytes_sent", "mysql_global_variables_max_connections"]
    {
        assert!(metrics.lines().any(|it| it.starts_with(name)), "{name}");
    }
    assert!(metrics.contains("mysql_info_schema_table_rows{schema=\"jdbc\",table=\"parent\"}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jdbc_is_told_of_tables_keys_and_routines_as_by_mariadb() {
    const DRIVER: &str = "/usr/share/java/mariadb-java-client.jar";
    if !Path::new(DRIVER).exists() {
        tools::install(&["libmariadb-java"]);
    }
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    load(&server).await;
    let classes = data.path().join("classes");
    output(
        Command::new(tools::program("javac", &["default-jdk-headless"]))
            .arg("-d")
            .arg(&classes)
            .arg("tests/tools/Metadata.java"),
    );
    let mut command = Command::new("java");
    command.arg("-cp").arg(format!("{}:{DRIVER}", classes.display())).arg("Metadata");
    let text = output(command.arg(format!("jdbc:mariadb://{}/?user=root", server.mysql())).arg("jdbc"));
    assert_eq!(text, include_str!("metadata.txt"), "as MariaDB's answer, which is in tests/tools/metadata.txt");
}
