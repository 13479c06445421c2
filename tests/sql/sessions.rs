//! Cases of several sessions and accounts, as text: `tests/sql/sessions/*.txt`, one after another on one server.
//!
//! What is not one query with one answer on both executors: accounts, EXPLAIN, what belongs to one session.
//!
//! ```text
//! == what the case shows
//! root: a statement                       the sessions root, and those that the case opens:
//!   ok | error NUMBER | rows, each on its own line, values between bars | empty      `{any}` stands for any text
//! ann = user password database            opens the session ann; `-` is an empty password or no database
//!   ok | error NUMBER
//! ```
//!
//! Each case has a database `d` of its own, which is the default one of root. Accounts that a case leaves behind are
//! dropped after it.

use crate::client::{Client, Outcome, cell};
use crate::report::{Record, Report};
use crate::target::Target;
use std::collections::HashMap;
use std::path::Path;

pub async fn run(target: &Target, folder: &Path, report: &mut Report) {
    for name in crate::files(folder, ".txt") {
        let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
        let mut records = Vec::new();
        for case in text.split("\n== ").skip(usize::from(!text.starts_with("== "))) {
            records.extend(run_case(target, &text, case).await);
        }
        report.add(&name, records);
    }
}

async fn run_case(target: &Target, whole: &str, case: &str) -> Vec<Record> {
    let offset = case.as_ptr() as usize - whole.as_ptr() as usize;
    let first_line = 1 + whole[..offset].matches('\n').count();
    let mut root = Client::connect(target, "root", "", "").await.expect("the server answers");
    root.must(&["DROP DATABASE IF EXISTS d", "CREATE DATABASE d", "USE d"]).await;
    let mut sessions = HashMap::from([("root".to_owned(), root)]);
    let mut records = Vec::new();
    let lines: Vec<&str> = case.lines().collect();
    let mut at = 1;
    while at < lines.len() {
        let step = lines[at];
        let number = first_line + at;
        at += 1;
        if step.trim().is_empty() || step.starts_with('#') {
            continue;
        }
        let mut expected = Vec::new();
        while let Some(line) = lines.get(at).and_then(|line| line.strip_prefix("  ")) {
            expected.push(line);
            at += 1;
        }
        let got = run_step(target, step, &mut sessions).await;
        let expected = expected.join("\n");
        let failure = (!fits(&expected, &got)).then(|| format!("{step}\n--- expected\n{expected}\n--- got\n{got}"));
        records.push(Record { line: number as u32, failure });
    }
    drop(sessions);
    clean(target).await;
    records
}

async fn run_step(target: &Target, step: &str, sessions: &mut HashMap<String, Client>) -> String {
    if let Some((name, login)) = step.split_once(" = ")
        && !name.contains(':')
    {
        let given = |word: Option<&str>| word.filter(|word| *word != "-").unwrap_or_default().to_owned();
        let mut words = login.split(' ');
        let (user, password, database) = (given(words.next()), given(words.next()), given(words.next()));
        return match Client::log_in(target, &user, &password, &database).await {
            Ok(client) => {
                sessions.insert(name.to_owned(), client);
                "ok".to_owned()
            }
            Err(mysql_async::Error::Server(error)) => format!("error {}", error.code),
            Err(error) => error.to_string(),
        };
    }
    let (name, sql) = step.split_once(": ").unwrap_or_else(|| panic!("no session in: {step}"));
    let client = sessions.get_mut(name).unwrap_or_else(|| panic!("{name} is not connected: {step}"));
    match client.run(sql).await {
        Outcome::Error { code, .. } => format!("error {code}"),
        Outcome::Lost(reason) => reason,
        Outcome::Done { sets, .. } if sets.is_empty() => "ok".to_owned(),
        Outcome::Done { sets, .. } => {
            let rows: Vec<String> = sets
                .iter()
                .flat_map(|set| &set.rows)
                .map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|"))
                .collect();
            if rows.is_empty() { "empty".to_owned() } else { rows.join("\n").trim_end().to_owned() }
        }
    }
}

/// Every account but root goes.
async fn clean(target: &Target) {
    let mut root = Client::connect(target, "root", "", "").await.expect("root may still log in");
    root.must(&["DROP DATABASE IF EXISTS d"]).await;
    let Outcome::Done { sets, .. } = root.run("SELECT USER, HOST FROM mysql.user WHERE user <> 'root'").await else {
        panic!("mysql.user can be read");
    };
    for row in sets.iter().flat_map(|set| &set.rows) {
        root.must(&[&format!("DROP USER '{}'@'{}'", cell(&row[0]), cell(&row[1]))]).await;
    }
}

/// Equal, where the expected text does not say `{any}`.
fn fits(expected: &str, got: &str) -> bool {
    let mut pieces = expected.split("{any}");
    let Some(mut rest) = got.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
