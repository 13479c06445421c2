//! Cases of two and three sessions, as text: `tests/sql/concurrency/*.txt`, on a real server and beside it on MariaDB.
//!
//! ```text
//! == what the case shows
//! ! why MariaDB is left out, if it is
//! statements that set up, each on its own line
//! --
//! a: a statement of session a          `{b}`: the number of b's connection; `{n}`: a number of this case
//!   ok | ok ROWS-AFFECTED | rows a,b | c,d | empty | error NUMBER | waits | gone
//! a:                                   what a waits for has come about
//!   ...
//! ```
//!
//! A line may hold two forms, `X || Y`: the second one is MariaDB's. `waits` is asked of the server, which knows who waits
//! for a lock. Nothing that waits may end before the step after which the case says so.

mod harness;

use futures::StreamExt;
use harness::Launch;
use harness::mariadb::MariaDb;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const CASES: &[(&str, &str)] = &[
    ("locks", include_str!("sql/concurrency/locks.txt")),
    ("gaps", include_str!("sql/concurrency/gaps.txt")),
    ("isolation", include_str!("sql/concurrency/isolation.txt")),
    ("deadlocks", include_str!("sql/concurrency/deadlocks.txt")),
    ("constraints", include_str!("sql/concurrency/constraints.txt")),
    ("transactions", include_str!("sql/concurrency/transactions.txt")),
    ("session_locks", include_str!("sql/concurrency/session_locks.txt")),
    ("xa", include_str!("sql/concurrency/xa.txt")),
];

/// Cases that run at the same time.
const CASES_AT_ONCE: usize = 8;
/// A step that takes longer hangs.
const STEP_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Drumlin,
    MariaDb,
}

struct Case {
    name: String,
    not_on_mariadb: bool,
    setup: Vec<String>,
    steps: Vec<Step>,
}

struct Step {
    session: String,
    /// Empty: what the session waits for has come about.
    sql: String,
    expected: String,
    line: usize,
}

fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut in_setup = true;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.trim().is_empty() || (line.starts_with('#') && cases.is_empty()) {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            let name = format!("{file}: {name}");
            cases.push(Case { name, not_on_mariadb: false, setup: Vec::new(), steps: Vec::new() });
            in_setup = true;
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("{file}.txt:{number}: before the first case"));
        if line.starts_with("! ") {
            case.not_on_mariadb = true;
        } else if line == "--" {
            in_setup = false;
        } else if in_setup {
            case.setup.push(line.to_owned());
        } else if let Some(expected) = line.strip_prefix("  ") {
            let step = case.steps.last_mut().unwrap_or_else(|| panic!("{file}.txt:{number}: an answer to nothing"));
            assert!(step.expected.is_empty(), "{file}.txt:{number}: a second answer");
            step.expected = expected.to_owned();
        } else {
            let (session, sql) = line.split_once(':').unwrap_or_else(|| panic!("{file}.txt:{number}: no session"));
            let sql = sql.trim().to_owned();
            case.steps.push(Step { session: session.to_owned(), sql, expected: String::new(), line: number });
        }
    }
    for case in &cases {
        for step in &case.steps {
            assert!(!step.expected.is_empty(), "{file}.txt:{}: no answer expected", step.line);
        }
    }
    cases
}

/// One connection, in a task of its own, so that its statements can wait.
struct Session {
    id: u32,
    statements: mpsc::Sender<(String, oneshot::Sender<String>)>,
    waiting: Option<oneshot::Receiver<String>>,
}

impl Session {
    async fn open(options: OptsBuilder, database: &str) -> Session {
        let mut connection = Conn::new(Opts::from(options.db_name(Some(database)))).await.expect("connect");
        let id = connection.id();
        let (statements, mut wanted) = mpsc::channel::<(String, oneshot::Sender<String>)>(1);
        tokio::spawn(async move {
            while let Some((sql, reply)) = wanted.recv().await {
                let _ = reply.send(run(&mut connection, &sql).await);
            }
        });
        Session { id, statements, waiting: None }
    }
}

/// A statement's outcome as the cases write it.
async fn run(connection: &mut Conn, sql: &str) -> String {
    let mut result = match connection.query_iter(sql).await {
        Ok(result) => result,
        Err(error) => return failure(&error),
    };
    let has_rows = result.columns().is_some_and(|columns| !columns.is_empty());
    let affected = result.affected_rows();
    match result.collect::<Row>().await {
        Err(error) => failure(&error),
        Ok(_) if !has_rows => format!("ok {affected}"),
        Ok(rows) if rows.is_empty() => "empty".to_owned(),
        Ok(rows) => format!("rows {}", rows.into_iter().map(row_text).collect::<Vec<_>>().join(" | ")),
    }
}

fn failure(error: &Error) -> String {
    match error {
        Error::Server(error) => format!("error {} {}", error.code, error.message),
        _ => "gone".to_owned(),
    }
}

fn row_text(row: Row) -> String {
    let text = |value: Value| match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true),
    };
    row.unwrap().into_iter().map(text).collect::<Vec<_>>().join(",")
}

fn meets(actual: &str, expected: &str) -> bool {
    match expected {
        "ok" => actual.starts_with("ok "),
        _ if expected.starts_with("error ") => actual == expected || actual.starts_with(&format!("{expected} ")),
        _ => actual == expected,
    }
}

struct Runner {
    peer: Peer,
    options: OptsBuilder,
}

impl Runner {
    /// What went wrong, if anything did.
    async fn run(&self, number: usize, case: &Case) -> Result<(), String> {
        let database = format!("case_{number}");
        let mut admin = Conn::new(Opts::from(self.options.clone())).await.map_err(|error| error.to_string())?;
        let setup = [format!("create database {database}"), format!("use {database}")];
        for sql in setup.iter().chain(&case.setup) {
            admin.query_drop(sql).await.map_err(|error| format!("{sql}: {error}"))?;
        }
        let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
        for step in &case.steps {
            if !sessions.contains_key(&step.session) {
                let session = Session::open(self.options.clone(), &database).await;
                sessions.insert(step.session.clone(), session);
            }
        }
        let ids: BTreeMap<String, u32> = sessions.iter().map(|(name, session)| (name.clone(), session.id)).collect();
        let filled = |text: &str| {
            let text = match text.split_once(" || ") {
                Some((ours, theirs)) => {
                    if self.peer == Peer::MariaDb {
                        theirs
                    } else {
                        ours
                    }
                }
                None => text,
            };
            let mut text = text.replace("{n}", &number.to_string());
            for (name, id) in &ids {
                text = text.replace(&format!("{{{name}}}"), &id.to_string());
            }
            text
        };
        for step in &case.steps {
            let expected = filled(&step.expected);
            let fail = |actual: &str| {
                Err(format!(
                    "line {}: {}: {}\n    expected {expected}\n    was      {actual}",
                    step.line, step.session, step.sql
                ))
            };
            if !step.sql.is_empty() {
                for (name, session) in &mut sessions {
                    if let Some(waiting) = &mut session.waiting
                        && let Ok(actual) = waiting.try_recv()
                    {
                        return fail(&format!("{name} did not wait any longer: {actual}"));
                    }
                }
            }
            let session = sessions.get_mut(&step.session).expect("opened above");
            let mut answer = if step.sql.is_empty() {
                session.waiting.take().ok_or_else(|| format!("line {}: nothing waits", step.line))?
            } else {
                let (reply, answer) = oneshot::channel();
                let sent = session.statements.send((filled(&step.sql), reply)).await;
                sent.map_err(|_| format!("line {}: {} waits already", step.line, step.session))?;
                answer
            };
            if expected == "waits" {
                if let Some(actual) = self.until_it_waits(&mut admin, session.id, &mut answer).await? {
                    return fail(&actual);
                }
                session.waiting = Some(answer);
                continue;
            }
            match tokio::time::timeout(STEP_WITHIN, answer).await {
                Ok(Ok(actual)) if meets(&actual, &expected) => {}
                Ok(Ok(actual)) => return fail(&actual),
                Ok(Err(_)) => return fail("the connection's task ended"),
                Err(_) => return fail("no answer"),
            }
        }
        for (name, session) in sessions {
            if session.waiting.is_some() {
                return Err(format!("{name} still waits at the end"));
            }
        }
        // Whoever is still in a transaction is gone with its connection.
        let _ = admin.query_drop(format!("drop database {database}")).await;
        Ok(())
    }

    /// Until the server says that the connection waits for a lock. The answer, if it did not wait.
    async fn until_it_waits(
        &self,
        admin: &mut Conn,
        id: u32,
        answer: &mut oneshot::Receiver<String>,
    ) -> Result<Option<String>, String> {
        let begun = Instant::now();
        loop {
            if let Ok(actual) = answer.try_recv() {
                return Ok(Some(actual));
            }
            if self.waits(admin, id).await.map_err(|error| error.to_string())? {
                return Ok(None);
            }
            if begun.elapsed() > STEP_WITHIN {
                return Ok(Some("neither an answer nor a wait".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

impl Runner {
    async fn waits(&self, admin: &mut Conn, id: u32) -> mysql_async::Result<bool> {
        if self.peer == Peer::Drumlin {
            let sql =
                format!("select 1 from performance_schema.data_lock_waits where requesting_thread_id = {id} limit 1");
            return Ok(admin.query_first::<u64, _>(sql).await?.is_some());
        }
        let sql = format!(
            "select 1 from information_schema.processlist where id = {id} and (state like 'Waiting for%' or state = 'User lock')"
        );
        if admin.query_first::<u64, _>(sql).await?.is_some() {
            return Ok(true);
        }
        // Tables about InnoDB's transactions are cached; this is not.
        let status: Option<(String, String, String)> = admin.query_first("show engine innodb status").await?;
        let (_, _, text) = status.unwrap_or_default();
        let of_connection = format!("thread id {id},");
        Ok(text.split("---TRANSACTION").any(|one| one.contains("LOCK WAIT") && one.contains(&of_connection)))
    }
}

async fn run_all(peer: Peer, options: OptsBuilder) -> (usize, String) {
    let runner = Runner { peer, options };
    let wanted = std::env::var("CONCURRENCY_CASE").unwrap_or_default();
    let cases: Vec<Case> = CASES.iter().flat_map(|(file, text)| parse(file, text)).collect();
    let cases: Vec<(usize, &Case)> = cases
        .iter()
        .enumerate()
        .filter(|(_, case)| case.name.contains(&wanted) && !(peer == Peer::MariaDb && case.not_on_mariadb))
        .collect();
    let runs = cases.iter().map(|(number, case)| async {
        let outcome = runner.run(*number, case).await;
        outcome.err().map(|problem| format!("== {}\n  {problem}\n", case.name))
    });
    let failures: Vec<String> = futures::stream::iter(runs.collect::<Vec<_>>())
        .buffer_unordered(CASES_AT_ONCE)
        .filter_map(|failure| async { failure })
        .collect()
        .await;
    (cases.len(), failures.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_wait_for_each_other_as_the_cases_say() {
    let directory = tempfile::tempdir().unwrap();
    let server = Launch::new(directory.path()).start();
    let (count, failures) = run_all(Peer::Drumlin, server.options()).await;
    assert!(failures.is_empty(), "on drumlin:\n{failures}");
    println!("{count} cases hold on drumlin");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cases_hold_on_mariadb_too() {
    let server = MariaDb::start();
    let (count, failures) = run_all(Peer::MariaDb, server.options()).await;
    assert!(failures.is_empty(), "on mariadb:\n{failures}");
    println!("{count} cases hold on mariadb");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_monitor_tells_of_locks_and_of_the_latest_deadlock() {
    let directory = tempfile::tempdir().unwrap();
    let server = Launch::new(directory.path()).start();
    let create = "create table d.t (id int primary key, v int not null)";
    server.run(&["create database d", create, "insert into d.t values (1, 0), (2, 0)"]).await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    for (connection, id) in [(&mut a, 1), (&mut b, 2)] {
        connection.query_drop("begin").await.unwrap();
        connection.query_drop(format!("update d.t set v = 1 where id = {id}")).await.unwrap();
    }
    // Each wants the other's row: one of them loses all it had.
    let outcomes = tokio::join!(
        a.query_drop("update d.t set v = 2 where id = 2"),
        b.query_drop("update d.t set v = 2 where id = 1")
    );
    assert!(outcomes.0.is_err() != outcomes.1.is_err(), "{outcomes:?}");
    let mut other = server.connect().await;
    let status: Option<(String, String, String)> = other.query_first("show engine innodb status").await.unwrap();
    let (kind, _, text) = status.expect("one row");
    assert_eq!(kind, "InnoDB");
    for part in [
        "INNODB MONITOR OUTPUT",
        "LATEST DETECTED DEADLOCK",
        "*** (2) WAITING FOR THIS LOCK TO BE GRANTED:\nRECORD LOCKS index PRIMARY of table `d`.`t`",
        "*** WE ROLL BACK TRANSACTION (",
        " row lock(s)\n",
        "END OF INNODB MONITOR OUTPUT",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    drop((a, b, other));
    server.stop();
}
