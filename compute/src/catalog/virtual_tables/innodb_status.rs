//! SHOW ENGINE INNODB STATUS: who holds and waits for which locks, over all computes, and the latest deadlock, in the form
//! of InnoDB's monitor, which people and tools know by its headings. Manual: 17.17.3.

use crate::catalog::Catalog;
use crate::catalog::virtual_tables::VirtualContext;
use crate::catalog::virtual_tables::locks::{lock_row, report, thread};
use crate::txn::service_error::{wal_error, with_backoff};
use common::id::TxnId;
use common::service::wal::{Deadlock, LockInfo};
use expr::SqlError;
use expr::value::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Locks that are told of one transaction; InnoDB does not print more either.
const LOCKS_MAX: usize = 10;

pub async fn innodb_status(catalog: &Catalog, context: &VirtualContext, now_us: u64) -> Result<String, SqlError> {
    let locks = report(context).await?;
    let deadlock = match &context.wal {
        Some(wal) => with_backoff(|| wal.latest_deadlock()).await.map_err(wal_error)?,
        None => None,
    };
    let mut text = String::new();
    let wide = "=".repeat(37);
    let _ = writeln!(text, "\n{wide}\n{} INNODB MONITOR OUTPUT\n{wide}", time(now_us));
    if let Some(deadlock) = deadlock {
        heading(&mut text, "LATEST DETECTED DEADLOCK");
        latest_deadlock(&mut text, &deadlock, catalog);
    }
    heading(&mut text, "TRANSACTIONS");
    transactions(&mut text, &locks, catalog);
    let _ = writeln!(text, "{}\nEND OF INNODB MONITOR OUTPUT\n{}", "-".repeat(28), "=".repeat(28));
    Ok(text)
}

fn heading(text: &mut String, name: &str) {
    let line = "-".repeat(name.len());
    let _ = writeln!(text, "{line}\n{name}\n{line}");
}

fn latest_deadlock(text: &mut String, deadlock: &Deadlock, catalog: &Catalog) {
    let _ = writeln!(text, "{}", time(deadlock.time_us));
    let mut victim = 0;
    for (number, wait) in (1..).zip(&deadlock.waits) {
        if wait.txn == deadlock.victim {
            victim = number;
        }
        let _ = writeln!(text, "*** ({number}) TRANSACTION:\n{}", transaction(wait.txn));
        let _ = writeln!(text, "*** ({number}) WAITING FOR THIS LOCK TO BE GRANTED:\n{}", lock(wait, catalog));
        let others: Vec<String> = wait.waits_for.iter().flatten().map(|other| number_of(*other).to_string()).collect();
        let _ = writeln!(text, "held or asked for before by TRANSACTION {}", others.join(", "));
    }
    let _ = writeln!(text, "*** WE ROLL BACK TRANSACTION ({victim})");
}

fn transactions(text: &mut String, locks: &[LockInfo], catalog: &Catalog) {
    let mut by_txn: BTreeMap<TxnId, Vec<&LockInfo>> = BTreeMap::new();
    for lock in locks {
        by_txn.entry(lock.txn).or_default().push(lock);
    }
    let _ = writeln!(text, "LIST OF TRANSACTIONS WITH LOCKS, OF ALL COMPUTES:");
    for (txn, locks) in by_txn {
        let waits: Vec<&&LockInfo> = locks.iter().filter(|lock| lock.waits_for.is_some()).collect();
        let held: Vec<&&LockInfo> = locks.iter().filter(|lock| lock.waits_for.is_none()).collect();
        let waiting = if waits.is_empty() { "" } else { "LOCK WAIT " };
        let _ = writeln!(text, "---{}\n{waiting}{} row lock(s)", transaction(txn), held.len());
        for held in held.iter().take(LOCKS_MAX) {
            let _ = writeln!(text, "{}", lock(held, catalog));
        }
        if held.len() > LOCKS_MAX {
            let _ = writeln!(text, "{} LOCKS PRINTED FOR THIS TRX: SUPPRESSING FURTHER PRINTS", LOCKS_MAX);
        }
        for waits in waits {
            let _ = writeln!(text, "------- TRX IS WAITING FOR THIS LOCK TO BE GRANTED:\n{}", lock(waits, catalog));
            let others: Vec<String> =
                waits.waits_for.iter().flatten().map(|other| number_of(*other).to_string()).collect();
            let _ = writeln!(text, "held or asked for before by TRANSACTION {}\n------------------", others.join(", "));
        }
    }
}

/// As `performance_schema.data_locks` numbers it.
fn number_of(txn: TxnId) -> u64 {
    (txn.0 >> 64) as u64
}

fn transaction(txn: TxnId) -> String {
    format!("TRANSACTION {}, ACTIVE\nMySQL thread id {}", number_of(txn), thread(txn))
}

/// One line: what kind of lock, on what, how.
fn lock(info: &LockInfo, catalog: &Catalog) -> String {
    let row = lock_row(info, catalog);
    let column = |at: usize| match row.get(at) {
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_text().into_owned(),
    };
    let (schema, object, index, kind, mode, data) =
        (column(5), column(6), column(9), column(11), column(12), column(14));
    let table = if schema.is_empty() { format!("`{object}`") } else { format!("`{schema}`.`{object}`") };
    let wait = if info.waits_for.is_some() { " waiting" } else { "" };
    let trx = number_of(info.txn);
    match kind.as_str() {
        "TABLE" => format!("TABLE LOCK table {table} trx id {trx} lock mode {mode}{wait}"),
        "USER LEVEL LOCK" => format!("USER LEVEL LOCK {object} trx id {trx} lock mode {mode}{wait}"),
        _ => format!("RECORD LOCKS index {index} of table {table} trx id {trx} lock mode {mode}{wait}, key {data}"),
    }
}

/// In UTC.
fn time(us: u64) -> String {
    let seconds = us / 1_000_000;
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Days since 0000-03-01, so that the leap day is a year's last one.
    let day = days + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_dates() {
        assert_eq!(super::time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(super::time(951_782_400_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(super::time(1_795_737_599_999_999), "2026-11-26 23:59:59 UTC");
    }
}
