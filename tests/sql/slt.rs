//! The sqllogictest corpus: `shared/data/slt/**/*.test.gz`, and the reader of that format for our own cases.
//!
//! A default run takes all statements and a fixed sample of the queries of some files; `DRUMLIN_SQL_ALL` takes all.

use crate::client::{Client, Outcome, Rows};
use crate::report::{Record, Report};
use crate::target::Target;
use futures::StreamExt;
use md5::{Digest, Md5};
use std::io::Read;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Done,
    /// The number, if one is given: `statement error 1062`.
    Error(Option<u16>),
    Rows {
        types: String,
        sort: Sort,
        values: Values,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    None,
    Rows,
    Values,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    Lines(Vec<String>),
    Hash { count: usize, hash: String },
}

#[derive(Debug, Clone)]
pub struct Test {
    pub line: u32,
    pub sql: String,
    pub expected: Expected,
}

/// The records of a file that are meant for MySQL.
pub fn parse(text: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut skipped = false;
    while let Some((number, line)) = lines.next() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let line = number as u32 + 1;
        let mut block = || -> Vec<String> {
            let mut block = Vec::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
                block.push(line.to_owned());
            }
            block
        };
        match words.as_slice() {
            [] | ["hash-threshold", _] => continue,
            ["skipif", system] => {
                skipped |= *system == "mysql";
                continue;
            }
            ["onlyif", system] => {
                skipped |= *system != "mysql";
                continue;
            }
            ["halt"] if skipped => {}
            ["halt"] => break,
            ["statement", how, rest @ ..] => {
                let expected = match *how {
                    "ok" => Expected::Done,
                    "error" => Expected::Error(rest.first().map(|code| code.parse().expect("an error number"))),
                    other => panic!("line {line}: statement {other}"),
                };
                let sql = block().join("\n");
                if !skipped {
                    tests.push(Test { line, sql, expected });
                }
            }
            ["query", types, rest @ ..] => {
                let sort = match rest.first() {
                    Some(&"rowsort") => Sort::Rows,
                    Some(&"valuesort") => Sort::Values,
                    _ => Sort::None,
                };
                let block = block();
                let end = block.iter().position(|line| line == "----").unwrap_or(block.len());
                let sql = block[..end].join("\n");
                let values = block.get(end + 1..).unwrap_or_default().to_vec();
                let values = match values.as_slice() {
                    [line] if line.contains(" values hashing to ") => {
                        let words: Vec<&str> = line.split(' ').collect();
                        Values::Hash { count: words[0].parse().expect("a count"), hash: words[4].to_owned() }
                    }
                    _ => Values::Lines(values),
                };
                if !skipped {
                    let expected = Expected::Rows { types: (*types).to_owned(), sort, values };
                    tests.push(Test { line, sql, expected });
                }
            }
            other => panic!("line {line}: {other:?}"),
        }
        skipped = false;
    }
    tests
}

/// None if the outcome is the expected one, otherwise what to report.
pub fn check(test: &Test, outcome: &Outcome) -> Option<String> {
    let told = |wanted: String, got: String| Some(format!("{}\n--- expected\n{wanted}--- got\n{got}", test.sql));
    match (&test.expected, outcome) {
        (Expected::Done, Outcome::Done { .. }) => None,
        (Expected::Error(None), Outcome::Error { .. }) => None,
        (Expected::Error(Some(code)), Outcome::Error { code: got, .. }) if code == got => None,
        (Expected::Rows { types, sort, values }, Outcome::Done { sets, .. }) if sets.len() == 1 => {
            let got = render(&sets[0], types, *sort);
            match values {
                Values::Lines(lines) if *lines == got => None,
                Values::Lines(lines) => told(joined(lines), joined(&got)),
                Values::Hash { count, hash } => {
                    let mut digest = Md5::new();
                    for value in &got {
                        digest.update(value.as_bytes());
                        digest.update(b"\n");
                    }
                    let got_hash = hex(&digest.finalize());
                    let right = *count == got.len() && *hash == got_hash;
                    if right { None } else { told(format!("{count} values, {hash}\n"), joined(&got)) }
                }
            }
        }
        (expected, outcome) => told(format!("{expected:?}\n"), outcome.text()),
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The values in the form of the corpus, sorted as the record says.
fn render(set: &Rows, types: &str, sort: Sort) -> Vec<String> {
    let kinds: Vec<char> = types.chars().collect();
    let mut rows: Vec<Vec<String>> = set
        .rows
        .iter()
        .map(|row| row.iter().enumerate().map(|(at, value)| value_text(value, kinds.get(at).copied())).collect())
        .collect();
    if sort == Sort::Rows {
        rows.sort();
    }
    let mut values: Vec<String> = rows.into_iter().flatten().collect();
    if sort == Sort::Values {
        values.sort();
    }
    values
}

fn value_text(value: &Option<Vec<u8>>, kind: Option<char>) -> String {
    let Some(bytes) = value else { return "NULL".to_owned() };
    let text = String::from_utf8_lossy(bytes);
    match kind {
        Some('I') => {
            let end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
            match text.contains(['e', 'E']) {
                true => text.parse::<f64>().map_or_else(|_| "0".to_owned(), |number| format!("{}", number as i64)),
                false => text[..end].parse::<i128>().unwrap_or(0).to_string(),
            }
        }
        Some('R') => format!("{:.3}", text.parse::<f64>().unwrap_or(0.0)),
        _ if text.is_empty() => "(empty)".to_owned(),
        _ => text.chars().map(|c| if c < ' ' || c == '\u{7f}' { '@' } else { c }).collect(),
    }
}

/// Files of the default slice, each the cheapest of its kind, with one in how many queries is run.
const SLICE: &[(&str, u64)] = &[
    ("evidence/", 1),
    ("select2", 10),
    ("index/between/10/slt_good_5", 40),
    ("index/commute/10/slt_good_20", 40),
    ("index/in/10/slt_good_5", 40),
    ("index/orderby/10/slt_good_4", 40),
    ("index/random/10/slt_good_2", 40),
    ("index/view/10/slt_good_6", 40),
    ("random/aggregates/slt_good_42", 40),
    ("random/expr/slt_good_87", 40),
    ("random/groupby/slt_good_10", 40),
    ("random/select/slt_good_3", 40),
];

/// Runs the corpus, several files at a time.
pub async fn run(target: &Target, folder: &Path, report: &mut Report) {
    let files = crate::files(folder, ".test.gz");
    let chosen = files.iter().filter_map(|name| {
        let part = SLICE.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, one_in)| *one_in);
        Some((name, if crate::everything() { 1 } else { part? }))
    });
    let runs = chosen.enumerate().map(|(at, (name, one_in))| async move {
        (name, run_file(target, folder, name, &format!("slt_{at}"), one_in).await)
    });
    let mut runs = futures::stream::iter(runs).buffer_unordered(crate::SESSIONS);
    while let Some((name, records)) = runs.next().await {
        report.add(name, records);
    }
}

async fn run_file(target: &Target, folder: &Path, name: &str, database: &str, one_in: u64) -> Vec<Record> {
    let mut text = String::new();
    let packed = std::fs::File::open(folder.join(format!("{name}.test.gz"))).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let mut client = Client::connect(target, "root", "", "").await.expect("the server answers");
    client.must(&[&format!("DROP DATABASE IF EXISTS {database}"), &format!("CREATE DATABASE {database}")]).await;
    let open = [&format!("USE {database}"), "SET sql_mode = ''"];
    client.must(&open).await;
    let mut records = Vec::new();
    for test in parse(&text) {
        // The same queries in every run: chosen by their line.
        let sampled = u64::from(test.line).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if matches!(test.expected, Expected::Rows { .. }) && !sampled.is_multiple_of(one_in) {
            continue;
        }
        let outcome = client.run(&test.sql).await;
        records.push(Record { line: test.line, failure: check(&test, &outcome) });
        if client.reconnect().await {
            client.must(&open).await;
        }
    }
    client.must(&[&format!("DROP DATABASE {database}")]).await;
    records
}

#[test]
fn records_for_other_systems_are_left_out() {
    let text = "onlyif mssql\nhalt\n\nskipif mysql # why\nstatement ok\na\n\nonlyif mysql\nquery IT rowsort x\nb\nc\n----\n1\n\nhalt\n\nstatement ok\nd\n";
    let tests = parse(text);
    assert_eq!(tests.len(), 1);
    assert_eq!(tests[0].sql, "b\nc");
    let values = Values::Lines(vec!["1".to_owned()]);
    assert_eq!(tests[0].expected, Expected::Rows { types: "IT".to_owned(), sort: Sort::Rows, values });
}
