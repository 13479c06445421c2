//! Whether two answers are equal, and if not, in what.

use crate::servers::{Cell, Outcome, Rows};

/// In what two answers differ; None if they are equal.
pub fn difference(left: &Outcome, right: &Outcome, ordered: bool, sql: &str) -> Option<String> {
    match (left, right) {
        (Outcome::Rows(left), Outcome::Rows(right)) => {
            if left.doubles.len() != right.doubles.len() {
                return Some("number of columns".to_owned());
            }
            if left.rows.len() != right.rows.len() {
                return Some("number of rows".to_owned());
            }
            let equal = equal_rows(left, right, ordered, picks_representatives(sql));
            (!equal).then(|| "values".to_owned())
        }
        (Outcome::Done { affected_rows: left }, Outcome::Done { affected_rows: right }) => {
            (left != right).then(|| "affected rows".to_owned())
        }
        (Outcome::Error { code: left, .. }, Outcome::Error { code: right, .. }) if class(*left) == class(*right) => {
            None
        }
        _ => Some(format!("{}, {}", name(left), name(right))),
    }
}

/// The number of an error. That a column does not take a value has several, which MariaDB gives by other rules.
fn class(code: u16) -> u16 {
    match code {
        1264 | 1265 | 1292 | 1366 | 1367 | 1406 | 1411 => 1264,
        code => code,
    }
}

fn name(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rows(_) | Outcome::Done { .. } => "no error".to_owned(),
        Outcome::Error { code, .. } => format!("error {code}"),
        Outcome::Lost(_) => "connection lost".to_owned(),
    }
}

/// Texts that a collation takes for equal stand for each other in what groups them: any of them is right.
fn picks_representatives(sql: &str) -> bool {
    let words = ["DISTINCT", "GROUP BY", "UNION ", "INTERSECT", "EXCEPT", "MIN(", "MAX(", "PARTITION BY", "ORDER BY"];
    words.iter().any(|word| sql.contains(word))
}

fn equal_rows(left: &Rows, right: &Rows, ordered: bool, folded: bool) -> bool {
    let doubles: Vec<bool> = left.doubles.iter().zip(&right.doubles).map(|(left, right)| *left || *right).collect();
    let prepared = |rows: &Rows| {
        let row = |row: &Vec<Cell>| {
            row.iter().zip(&doubles).map(|(cell, double)| comparable(cell, *double, folded)).collect()
        };
        let mut rows: Vec<Vec<Comparable>> = rows.rows.iter().map(row).collect();
        if !ordered {
            rows.sort_by(|left, right| left.partial_cmp(right).expect("no NaN is sent"));
        }
        rows
    };
    let (left, right) = (prepared(left), prepared(right));
    left.iter().zip(&right).all(|(left, right)| left.iter().zip(right).all(|(left, right)| left.is(right)))
}

#[derive(Debug, PartialEq, PartialOrd)]
enum Comparable {
    Null,
    Text(Vec<u8>),
    Double(f64),
}

impl Comparable {
    fn is(&self, other: &Comparable) -> bool {
        match (self, other) {
            (Comparable::Double(left), Comparable::Double(right)) => {
                // MariaDB shows ten digits of CUME_DIST and PERCENT_RANK.
                (left - right).abs() <= left.abs().max(right.abs()) * 1e-9 + 1e-10
            }
            _ => self == other,
        }
    }
}

fn comparable(cell: &Cell, double: bool, folded: bool) -> Comparable {
    let Some(bytes) = cell else { return Comparable::Null };
    if double && let Ok(number) = String::from_utf8_lossy(bytes).parse() {
        return Comparable::Double(number);
    }
    // The sign of a zero: `(-1.5) % 1.5`.
    if bytes.starts_with(b"-0.") && bytes[3..].iter().all(|digit| *digit == b'0') {
        return Comparable::Text(bytes[1..].to_vec());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if folded => {
            let text = text.trim_end_matches(' ').to_lowercase().replace('é', "e");
            Comparable::Text(text.into_bytes())
        }
        _ => Comparable::Text(bytes.clone()),
    }
}
