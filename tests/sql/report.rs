//! What came of a run: figures per file, failures in a file for triage, and the verdict beside the known list.

use crate::known::Known;
use crate::target::Target;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// How the reason begins of a record that no server can answer as recorded, from what the corpus holds.
const BEYOND: &str = "no server can";

/// One record that was run.
pub struct Record {
    pub line: u32,
    /// None: as expected. Otherwise what is told in the report.
    pub failure: Option<String>,
}

pub struct Report {
    corpus: &'static str,
    known: Known,
    files: BTreeMap<String, Vec<Record>>,
}

impl Report {
    pub fn new(corpus: &'static str, known: &str) -> Report {
        Report { corpus, known: Known::parse(known), files: BTreeMap::new() }
    }

    pub fn add(&mut self, file: &str, records: Vec<Record>) {
        let failed = records.iter().filter(|record| record.failure.is_some()).count();
        println!("{}/{file}: {} passed, {failed} failed", self.corpus, records.len() - failed);
        self.files.insert(file.to_owned(), records);
    }

    /// Writes the failures, prints the totals, and panics if they are not those of the known list.
    pub async fn finish(self, target: Target) {
        let mut failures = String::new();
        let (mut total, mut failed, mut beyond) = (0, 0, 0);
        let mut unlisted = Vec::new();
        let mut passing = Vec::new();
        for (file, records) in &self.files {
            for record in records {
                total += 1;
                let reason = self.known.reason(file, record.line);
                match (&record.failure, reason) {
                    (Some(failure), reason) => {
                        failed += 1;
                        beyond += u32::from(reason.is_some_and(|reason| reason.starts_with(BEYOND)));
                        let mark = reason.map_or_else(|| "NEW".to_owned(), |reason| format!("known: {reason}"));
                        let _ = writeln!(failures, "=== {file} {} ({mark})\n{failure}", record.line);
                        if reason.is_none() {
                            unlisted.push(format!("{file} {}\n{failure}", record.line));
                        }
                    }
                    (None, Some(reason)) => passing.push(format!("{file} {} [{reason}]", record.line)),
                    (None, None) => {}
                }
            }
        }
        let path = report_folder().join(format!("{}.failures", self.corpus));
        std::fs::create_dir_all(report_folder()).unwrap();
        std::fs::write(&path, failures).unwrap();
        let share = 100.0 * f64::from(total - failed) / f64::from(total.max(1));
        println!("{}: {total} records, {failed} differ, {share:.3} % as recorded; see {}", self.corpus, path.display());
        if beyond > 0 {
            let possible = f64::from(total - beyond);
            let share = 100.0 * f64::from(total - failed) / possible.max(1.0);
            println!(
                "{}: {beyond} of these no server can give; {share:.3} % of the others are as recorded",
                self.corpus
            );
        }
        if target.is_drumlin {
            let shown = unlisted.iter().take(20).cloned().collect::<Vec<_>>().join("\n\n");
            assert!(unlisted.is_empty(), "{} records differ and are not listed:\n\n{shown}", unlisted.len());
            assert!(passing.is_empty(), "listed as different, but as recorded:\n{}", passing.join("\n"));
        }
        target.stop();
    }
}

fn report_folder() -> PathBuf {
    match std::env::var_os("DRUMLIN_SQL_REPORT") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sql"),
    }
}
