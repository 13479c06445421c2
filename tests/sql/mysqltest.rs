//! The MySQL-format cases: `shared/data/mysqltest/*.jsonl`; the README there describes the format.
//!
//! Files that change accounts or settings of the server run after the others, one at a time. A default run takes a third
//! of the files; `DRUMLIN_SQL_ALL` takes all.

use crate::client::{Client, Outcome, cell};
use crate::report::{Record, Report};
use crate::target::Target;
use futures::StreamExt;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;

#[derive(Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
enum Step {
    Sql(Case),
    Connect { name: String, user: String, pw: String, db: String },
    Connection { name: String },
    Disconnect { name: String },
}

#[derive(Deserialize)]
struct Case {
    line: u32,
    sql: String,
    exp: Option<String>,
    errno: Option<u16>,
    #[serde(default)]
    may_err: bool,
    #[serde(default)]
    sorted: bool,
    #[serde(default)]
    rcol: Vec<(usize, String)>,
    #[serde(default)]
    rrex: Vec<(String, String)>,
    #[serde(default)]
    warn: bool,
    #[serde(default)]
    info: bool,
    #[serde(default)]
    agree: bool,
}

/// A default run takes one file in so many; `DRUMLIN_SQL_ALL` takes all.
const SLICE_STEP: usize = 3;

/// Files that change what other sessions see, or look at more than their own database.
const ALONE: &[&str] =
    &["privilege", "grant", "password", "revoke", "executor__simple", "setvar", "session__variable", "infoschema"];

pub async fn run(target: &Target, folder: &Path, report: &mut Report) {
    let mut files = crate::files(folder, ".jsonl");
    if !crate::everything() {
        files = files.into_iter().step_by(SLICE_STEP).collect();
    }
    // Some files use the database that the recorded server came with.
    let mut first = Client::connect(target, "root", "", "").await.expect("the server answers");
    first.must(&["CREATE DATABASE IF NOT EXISTS test"]).await;
    // Databases that more than one file makes.
    let mut makers = HashMap::<String, usize>::new();
    for name in &files {
        made_databases(folder, name).into_iter().for_each(|database| *makers.entry(database).or_default() += 1);
    }
    let shares = |name: &str| made_databases(folder, name).iter().any(|database| makers[database] > 1);
    let alone = |name: &str| ALONE.iter().any(|part| name.contains(part)) || shares(name);
    for (several, sessions) in [(true, crate::SESSIONS), (false, 1)] {
        let chosen = files.iter().filter(|name| alone(name) != several);
        let runs = chosen.map(|name| async move { (name, run_file(target, folder, name).await) });
        let mut runs = futures::stream::iter(runs).buffer_unordered(sessions);
        while let Some((name, records)) = runs.next().await {
            report.add(name, records);
        }
    }
}

/// Names of the databases that a file creates.
fn made_databases(folder: &Path, name: &str) -> HashSet<String> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap().to_ascii_lowercase();
    let words: Vec<&str> = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let mut made = HashSet::new();
    for (at, window) in words.windows(2).enumerate() {
        if window[0] == "create" && matches!(window[1], "database" | "schema") {
            let named = words[at + 2..].iter().find(|word| !matches!(**word, "" | "if" | "not" | "exists"));
            made.extend(named.map(|name| (*name).to_owned()));
        }
    }
    made
}

async fn open(target: &Target, user: &str, password: &str, database: &str) -> Result<Client, String> {
    let mut client = Client::connect(target, user, password, database).await?;
    client.must(&["SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET time_zone = 'Asia/Shanghai'"]).await;
    // Some sessions wait for one another's locks, which the recorded server did not: nothing is learned from a long wait.
    client.must(&["SET innodb_lock_wait_timeout = 1"]).await;
    if !target.is_drumlin {
        let mode = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO";
        client.must(&[&format!("SET sql_mode = '{mode}'")]).await;
    }
    Ok(client)
}

async fn run_file(target: &Target, folder: &Path, name: &str) -> Vec<Record> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
    let mut first = open(target, "root", "", "").await.expect("the server answers");
    first
        .must(&[
            &format!("DROP DATABASE IF EXISTS `{name}`"),
            &format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
            &format!("USE `{name}`"),
        ])
        .await;
    let mut clients = HashMap::from([("default".to_owned(), Some(first))]);
    let mut current = "default".to_owned();
    let mut records = Vec::new();
    for line in text.lines() {
        match serde_json::from_str(&without_lone_surrogates(line))
            .unwrap_or_else(|error| panic!("{name}: {error}: {line}"))
        {
            Step::Connect { name, user, pw, db } => {
                clients.insert(name.clone(), open(target, &user, &pw, &db).await.ok());
                current = name;
            }
            Step::Connection { name } => current = name,
            Step::Disconnect { name } => {
                clients.remove(&name);
                current = "default".to_owned();
            }
            Step::Sql(case) => {
                let failure = match clients.get_mut(&current).and_then(Option::as_mut) {
                    Some(client) => run_case(client, &case).await,
                    None => Some(format!("{}\nno connection {current}", case.sql)),
                };
                records.push(Record { line: case.line, failure });
                if let Some(Some(client)) = clients.get_mut(&current)
                    && client.reconnect().await
                {
                    client.must(&["SET NAMES utf8mb4 COLLATE utf8mb4_bin", &format!("USE `{name}`")]).await;
                }
            }
        }
    }
    // Their open transactions end with them, a little later.
    drop(clients);
    let mut last = open(target, "root", "", "").await.expect("the server answers");
    last.must(&["SET innodb_lock_wait_timeout = 50", &format!("DROP DATABASE IF EXISTS `{name}`")]).await;
    // Each file was recorded on a server of its own.
    for made in made_databases(folder, name) {
        if !matches!(&made[..], "test" | "mysql" | "sys" | "information_schema" | "performance_schema") {
            last.run(&format!("DROP DATABASE IF EXISTS `{made}`")).await;
        }
    }
    records
}

/// Bytes that are no UTF-8 are recorded as half of a surrogate pair; here they are what [`cell`] shows for them.
fn without_lone_surrogates(line: &str) -> String {
    let high = |text: &str| {
        text.get(text.len().wrapping_sub(6)..)
            .is_some_and(|end| matches!(end.get(..4), Some("\\ud8" | "\\ud9" | "\\uda" | "\\udb")))
    };
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\\udc") {
        text.push_str(&rest[..at]);
        let escape = rest.get(at..at + 6).unwrap_or(&rest[at..]);
        text.push_str(if high(&text) { escape } else { "\\ufffd" });
        rest = &rest[at + escape.len()..];
    }
    text + rest
}

/// None if the answer is the recorded one.
async fn run_case(client: &mut Client, case: &Case) -> Option<String> {
    let outcome = client.run(&case.sql).await;
    let mut told = outcome.text();
    let right = match &outcome {
        Outcome::Error { code, .. } => case.may_err || case.errno == Some(*code),
        Outcome::Lost(_) => false,
        Outcome::Done { .. } if case.errno.is_some() => {
            told = "success\n".to_owned() + &told;
            case.may_err
        }
        Outcome::Done { affected_rows, info, .. } => {
            let mut got = rendered(case, &outcome, false);
            if case.warn {
                got.push_str(&warnings(client, case).await);
            }
            if case.info {
                got.push_str(&format!("affected rows: {affected_rows}\ninfo: {info}\n"));
            }
            let expected = |expected: &String| if case.sorted { sorted(expected) } else { expected.clone() };
            let right = case.exp.as_ref().is_none_or(|exp| same(&expected(exp), &expected(&got)));
            told = got;
            right
        }
    };
    let agree = if case.agree { "agree" } else { "one server" };
    let expected = case.exp.as_deref().unwrap_or("(not known)\n");
    (!right).then(|| format!("{}\n--- expected ({agree})\n{expected}--- got\n{told}", case.sql))
}

/// Header and rows, edited as the case says.
fn rendered(case: &Case, outcome: &Outcome, sort: bool) -> String {
    let Outcome::Done { sets, .. } = outcome else { return outcome.text() };
    let mut text = String::new();
    for set in sets {
        text.push_str(&set.columns.join("\t"));
        text.push('\n');
        let mut rows: Vec<String> = set
            .rows
            .iter()
            .map(|row| {
                let mut cells: Vec<String> = row.iter().map(cell).collect();
                for (column, value) in &case.rcol {
                    if let Some(cell) = cells.get_mut(column.wrapping_sub(1)) {
                        cell.clone_from(value);
                    }
                }
                for cell in &mut cells {
                    // The expressions of the corpus are plain texts.
                    for (from, to) in &case.rrex {
                        *cell = cell.replace(from, to);
                    }
                }
                cells.join("\t") + "\n"
            })
            .collect();
        if sort {
            rows.sort();
        }
        text.extend(rows);
    }
    text
}

async fn warnings(client: &mut Client, case: &Case) -> String {
    let outcome = client.run("SHOW WARNINGS").await;
    let Outcome::Done { sets, .. } = &outcome else { return outcome.text() };
    match sets.first().is_some_and(|set| !set.rows.is_empty()) {
        true => rendered(case, &outcome, true),
        false => String::new(),
    }
}

/// The lines after the first, in order.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    if let Some(rows) = lines.get_mut(1..) {
        rows.sort_unstable();
    }
    lines.join("\n")
}

/// Equal, with floats that have an exponent compared as numbers.
fn same(expected: &str, got: &str) -> bool {
    if expected == got {
        return true;
    }
    let (expected, got): (Vec<&str>, Vec<&str>) =
        (expected.split(['\n', '\t']).collect(), got.split(['\n', '\t']).collect());
    expected.len() == got.len()
        && expected.iter().zip(&got).all(|(expected, got)| {
            let number = |text: &str| text.parse::<f64>().ok().filter(|_| text.contains(['e', 'E']));
            expected == got
                || match (number(expected), number(got)) {
                    (None, None) => false,
                    _ => expected.parse::<f64>().ok().is_some_and(|number| got.parse() == Ok(number)),
                }
        })
}

#[test]
fn floats_compare_as_numbers_if_one_has_an_exponent() {
    assert!(same("a\n1e20\n", "a\n100000000000000000000\n"));
    assert!(!same("a\n1.0\n", "a\n1\n"));
    assert!(!same("a\n1e20\n", "a\n1e21\n"));
}
