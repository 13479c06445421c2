//! Real clients against a real server: each does the same checks (`checks.txt`), and one table says how it went.
//!
//! A client is a small program in its own language around its own library, which reads one operation a line from
//! standard input and prints what the library gave; the checks and the judgement are here, the same for all.
//!
//! | variable | meaning |
//! |---|---|
//! | `DRUMLIN_CLIENTS` | only the clients with these names, by comma |
//! | `DRUMLIN_CLIENTS_SERVER` | `host:port` of a running MySQL or MariaDB to ask instead, as root with the password `geheim` |

#[path = "../harness/mod.rs"]
mod harness;

mod checks;
mod programs;

use checks::{Answer, Check, Step};
use harness::Launch;
use mysql_async::prelude::*;
use mysql_async::{Conn, Opts, OptsBuilder};
use programs::{CLIENTS, Client, Environment};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Runtime;

const PASSWORD: &str = "geheim";
/// A debug build on a busy machine, moving 32 MiB.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn every_client_sees_what_it_should() {
    let data = tempfile::tempdir().unwrap();
    let given = std::env::var("DRUMLIN_CLIENTS_SERVER").ok();
    let server = given.is_none().then(|| Launch::new(data.path()).variable("DRUMLIN_ROOT_PASSWORD", PASSWORD).start());
    let address = match (&given, &server) {
        (Some(address), _) => address.parse().expect("host:port"),
        (None, Some(server)) => server.mysql(),
        (None, None) => unreachable!("one of both is there"),
    };
    let only = std::env::var("DRUMLIN_CLIENTS").ok();
    let chosen = |client: &&Client| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == client.name));
    let file = data.path().join("loaded.csv");
    std::fs::write(&file, "id,name,amount\n1,a,1.25\n2,\"b\",2.00\n3,\"c,d\",3.50\n").unwrap();
    let checks = checks::parse(&std::fs::read_to_string("tests/clients/checks.txt").unwrap());
    assert!(checks.len() >= 50);
    let environment = Environment::new();
    let outside = Outside::new(address);
    // Some clients send a byte of a blob as two to six characters.
    outside.run("SET GLOBAL max_allowed_packet = 268435456");
    let mut table = format!("{:<24}{:>7}{:>7}{:>8}{:>8}\n", "client", "checks", "right", "differ", "absent");
    let mut failures = String::new();
    for client in CLIENTS.iter().filter(chosen) {
        outside.run("DROP DATABASE IF EXISTS clients");
        outside.run("CREATE DATABASE clients");
        let mut visit = Visit::begin(client, &environment, address, &outside, &file);
        let (mut right, mut absent, mut differ) = (0, 0, 0);
        for check in &checks {
            if client.differs.iter().any(|(name, _)| *name == check.name) {
                differ += 1;
                continue;
            }
            match visit.check(check) {
                Ok(()) => right += 1,
                Err(Finding::Absent) => absent += 1,
                Err(Finding::Wrong(text)) => {
                    writeln!(failures, "{}: [{}] {text}", client.name, check.name).unwrap();
                }
            }
        }
        writeln!(table, "{:<24}{:>7}{right:>7}{differ:>8}{absent:>8}", client.name, checks.len()).unwrap();
        visit.end();
    }
    println!("{table}");
    drop(server);
    assert!(failures.is_empty(), "{table}\n{failures}");
}

/// Some of what `tests/suites/run.py` asks of Sequelize, and of TypeORM, which needs a newer Node than Debian's.
#[test]
fn sequelize_keeps_what_its_documentation_promises() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).variable("DRUMLIN_ROOT_PASSWORD", PASSWORD).start();
    Outside::new(server.mysql()).run("CREATE DATABASE orm");
    let (host, port) = (server.mysql().ip().to_string(), server.mysql().port().to_string());
    let output = programs::sequelize(&Environment::new())
        .args([&host, &port, "orm", "mysql", PASSWORD])
        .env("ORM_GROUPS", "schema,associations,errors")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = text.lines().filter(|line| !line.starts_with("PASSED ")).collect();
    let passed = text.lines().count() - failed.len();
    assert!(passed >= 100 && failed == [format!("checks: {passed} passed, 0 failed")], "{passed} passed: {failed:#?}");
}

enum Finding {
    /// The library has no such thing.
    Absent,
    Wrong(String),
}

/// One client's program, and its way through the checks.
struct Visit<'a> {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
    address: SocketAddr,
    outside: &'a Outside,
    file: &'a Path,
}

impl<'a> Visit<'a> {
    fn begin(
        client: &Client,
        environment: &Environment,
        address: SocketAddr,
        outside: &'a Outside,
        file: &'a Path,
    ) -> Visit<'a> {
        let mut command = client.command(environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        let output = child.stdout.take().expect("stdout is piped");
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take().expect("stdin is piped");
        Visit { child, input, lines, address, outside, file }
    }

    fn check(&mut self, check: &Check) -> Result<(), Finding> {
        // Each check has a connection of its own, as it was after connecting; tables stay.
        let opened = self.connect("a", "")?;
        if let Some(error) = opened.iter().find(|line| line[0] == "error") {
            return Err(Finding::Wrong(format!("connect: {error:?}")));
        }
        let mut outcome = Ok(());
        for step in &check.steps {
            outcome = self.step(step);
            if outcome.is_err() {
                // What it opened must not hold locks against the checks that follow.
                self.ask("close", "b", &[]).ok();
                break;
            }
        }
        self.ask("close", "a", &[]).ok();
        outcome
    }

    fn step(&mut self, step: &Step) -> Result<(), Finding> {
        let answer = match step.operation.as_str() {
            "connect" => self.connect(&step.on, &step.argument)?,
            "kill" => {
                let id = self.connection_id(&step.on)?;
                let killer = self.outside.kill_statement(id);
                let answer = self.ask("query", &step.on, &[&step.argument])?;
                killer.join().expect("the killer ends");
                answer
            }
            "killed" => {
                let id = self.connection_id(&step.on)?;
                self.outside.kill_connection(id);
                return Ok(());
            }
            operation => {
                let argument = step.argument.replace("{file}", &self.file.display().to_string());
                let mut fields = vec![argument.as_str()];
                fields.extend(step.parameters.iter().map(String::as_str));
                self.ask(operation, &step.on, &fields)?
            }
        };
        step.judge(&answer).map_err(|text| Finding::Wrong(format!("line {}: {text}", step.line)))
    }

    fn connect(&mut self, name: &str, words: &str) -> Result<Answer, Finding> {
        let word = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key));
        let (password, database) = (word("password=").unwrap_or(PASSWORD), word("database=").unwrap_or("clients"));
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        self.ask("connect", name, &[&host, &port, "root", password, database, words])
    }

    fn connection_id(&mut self, name: &str) -> Result<u64, Finding> {
        let answer = self.ask("query", name, &["SELECT CONNECTION_ID()"])?;
        let row = answer.iter().find(|line| line[0] == "row");
        row.and_then(|row| row.get(1)?.parse().ok()).ok_or_else(|| Finding::Wrong(format!("connection id: {answer:?}")))
    }

    fn ask(&mut self, operation: &str, name: &str, fields: &[&str]) -> Result<Answer, Finding> {
        let mut line = format!("{operation}\t{name}");
        for (position, field) in fields.iter().enumerate() {
            line.push('\t');
            // A statement's own backslashes are data; those of parameters are escapes already.
            line.push_str(&if position == 0 { field.replace('\\', "\\\\") } else { (*field).to_owned() });
        }
        line.push('\n');
        let gone = |text: String| Finding::Wrong(format!("the client program: {text}"));
        self.input
            .write_all(line.as_bytes())
            .and_then(|()| self.input.flush())
            .map_err(|error| gone(error.to_string()))?;
        let mut answer = Answer::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).map_err(|error| gone(error.to_string()))?;
            if line == "end" {
                break;
            }
            answer.push(line.split('\t').map(str::to_owned).collect());
        }
        if answer.iter().any(|line| line[0] == "absent") {
            return Err(Finding::Absent);
        }
        Ok(answer)
    }

    fn end(mut self) {
        drop(self.input);
        // A program that left connections open ends without care for them.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection beside the client's own.
struct Outside {
    options: Opts,
    runtime: Runtime,
}

impl Outside {
    fn new(address: SocketAddr) -> Outside {
        let options = OptsBuilder::default().ip_or_hostname(address.ip().to_string()).tcp_port(address.port());
        let options = options.user(Some("root")).pass(Some(PASSWORD)).prefer_socket(false).into();
        Outside { options, runtime: Runtime::new().unwrap() }
    }

    fn run(&self, sql: &str) {
        self.runtime.block_on(async {
            let mut connection = Conn::new(self.options.clone()).await.unwrap();
            connection.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            connection.disconnect().await.unwrap();
        });
    }

    /// KILL QUERY once the connection runs a statement other than the one that asked for its number.
    fn kill_statement(&self, id: u64) -> std::thread::JoinHandle<()> {
        let options = self.options.clone();
        let handle = self.runtime.handle().clone();
        std::thread::spawn(move || {
            handle.block_on(async {
                let mut connection = Conn::new(options).await.unwrap();
                let query = format!(
                    "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id} AND info LIKE '%SLEEP(%'"
                );
                while connection.query_first::<u64, _>(&query).await.unwrap() != Some(1) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                connection.query_drop(format!("KILL QUERY {id}")).await.unwrap();
                connection.disconnect().await.unwrap();
            });
        })
    }

    /// KILL, and wait until the connection is gone.
    fn kill_connection(&self, id: u64) {
        self.runtime.block_on(async {
            let mut connection = Conn::new(self.options.clone()).await.unwrap();
            connection.query_drop(format!("KILL {id}")).await.unwrap();
            let query = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id}");
            while connection.query_first::<u64, _>(&query).await.unwrap() != Some(0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connection.disconnect().await.unwrap();
        });
    }
}
