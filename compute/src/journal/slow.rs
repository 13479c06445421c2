//! Entries of the slow query log, as mysqldumpslow and pt-query-digest read them.
//! Manual: "The Slow Query Log" (7.4.5).

use super::Ended;
use chrono::DateTime;
use std::fmt::Write;

/// Begins a file.
pub const HEAD: &str = "Drumlin, slow query log. started with:\nTcp port: 0  Unix socket: (null)\nTime                 Id Command    Argument\n";

pub fn entry(ended: &Ended<'_>) -> String {
    let began_us = ended.ended_us.saturating_sub(ended.took.as_micros().try_into().unwrap_or(u64::MAX));
    let mut entry = String::with_capacity(ended.text.len() + 256);
    // Writing to a string does not fail.
    let _ = write!(
        entry,
        "# Time: {time}\n# User@Host: {user}[{user}] @ {host} []  Id: {id:>5}\n\
         # Query_time: {took:.6}  Lock_time: 0.000000 Rows_sent: {sent}  Rows_examined: {read}\n",
        time = timestamp(ended.ended_us),
        user = one_line(ended.user),
        host = ended.host,
        id = ended.connection,
        took = ended.took.as_secs_f64(),
        sent = ended.rows.sent,
        read = ended.rows.read,
    );
    if let Some(database) = ended.database {
        let _ = writeln!(entry, "use {};", one_line(database));
    }
    let text = ended.text.trim_end().trim_end_matches(';');
    let _ = writeln!(entry, "SET timestamp={};\n{text};", began_us / 1_000_000);
    entry
}

/// UTC, with microseconds.
pub fn timestamp(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A name may hold anything; it must not begin a line of its own.
fn one_line(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Rows, Verb};
    use std::time::Duration;

    #[test]
    fn an_entry_has_the_lines_that_tools_look_for() {
        let ended = Ended {
            connection: 8,
            user: "ann\n# Time",
            host: "localhost",
            database: Some("shop"),
            text: "SELECT *\nFROM bids; ",
            verb: Verb::Select,
            ended_us: 1_700_000_002_250_000,
            took: Duration::from_micros(2_000_133),
            rows: Rows { sent: 3, changed: 0, read: 40 },
            error: None,
            is_slow: true,
            logs_slow: true,
        };
        let expected = "# Time: 2023-11-14T22:13:22.250000Z\n\
            # User@Host: ann # Time[ann # Time] @ localhost []  Id:     8\n\
            # Query_time: 2.000133  Lock_time: 0.000000 Rows_sent: 3  Rows_examined: 40\n\
            use shop;\nSET timestamp=1700000000;\nSELECT *\nFROM bids;\n";
        assert_eq!(entry(&ended), expected);
    }
}
