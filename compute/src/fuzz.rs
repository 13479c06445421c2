//! Where bytes of clients are read, for the programs that try bad ones (`fuzz/` beside the packages).

use crate::mysql;
use crate::sql::parse;
use expr::eval::SqlMode;

/// A message of a client, before its login or after.
pub fn packet(bytes: &[u8]) {
    mysql::fuzz::message(bytes);
}

/// What stands around messages: the header of a balancer, compressed frames, a certificate.
pub fn envelope(bytes: &[u8]) {
    mysql::fuzz::envelope(bytes);
}

/// A statement, an expression and a PARTITION BY clause, as text in two modes.
pub fn statement(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let other = SqlMode(
        SqlMode::ANSI_QUOTES.0
            | SqlMode::PIPES_AS_CONCAT.0
            | SqlMode::IGNORE_SPACE.0
            | SqlMode::NO_BACKSLASH_ESCAPES.0
            | SqlMode::HIGH_NOT_PRECEDENCE.0,
    );
    for mode in [SqlMode::default(), other] {
        let _ = parse::parse(&text, mode);
        let _ = parse::parse_expression(&text, mode);
        let _ = parse::parse_partitioning(&text, mode);
        let mut end = 0;
        for range in parse::split_statements(&text, mode) {
            assert!(range.start >= end && range.end >= range.start, "statements follow each other");
            end = range.end;
            let _ = parse::parse(&text[range], mode);
        }
    }
}
