//! Entries of the audit log: one JSON object in a line.

use super::Ended;
use super::slow::timestamp;
use serde::Serialize;

/// Who, from where.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    pub id: u64,
    /// As given, known here or not; empty where the client did not come that far.
    pub user: &'a str,
    /// With its port.
    pub peer: &'a str,
    /// Microseconds since 1970.
    pub now_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEvent {
    Connected,
    /// COM_CHANGE_USER.
    ChangedUser,
    /// With MySQL's number of the error.
    Refused(u16),
    Ended,
}

#[derive(Serialize)]
struct ConnectionEntry<'a> {
    time: String,
    event: &'static str,
    connection: u64,
    user: &'a str,
    peer: &'a str,
    /// 0: none.
    error: u16,
}

#[derive(Serialize)]
struct StatementEntry<'a> {
    time: String,
    event: &'static str,
    connection: u64,
    user: &'a str,
    host: &'a str,
    database: Option<&'a str>,
    verb: &'static str,
    statement: &'a str,
    error: u16,
    rows_sent: u64,
    rows_changed: u64,
    rows_read: u64,
    microseconds: u64,
}

pub fn connection(connection: &Connection<'_>, event: ConnectionEvent) -> String {
    let (name, error) = match event {
        ConnectionEvent::Connected => ("connect", 0),
        ConnectionEvent::ChangedUser => ("change_user", 0),
        ConnectionEvent::Refused(error) => ("connect", error),
        ConnectionEvent::Ended => ("disconnect", 0),
    };
    let &Connection { id, user, peer, now_us } = connection;
    line(&ConnectionEntry { time: timestamp(now_us), event: name, connection: id, user, peer, error })
}

pub fn statement(ended: &Ended<'_>) -> String {
    line(&StatementEntry {
        time: timestamp(ended.ended_us),
        event: "statement",
        connection: ended.connection,
        user: ended.user,
        host: ended.host,
        database: ended.database,
        verb: ended.verb.name(),
        statement: ended.text,
        error: ended.error.unwrap_or(0),
        rows_sent: ended.rows.sent,
        rows_changed: ended.rows.changed,
        rows_read: ended.rows.read,
        microseconds: ended.took.as_micros().try_into().unwrap_or(u64::MAX),
    })
}

/// Strings and numbers are always JSON.
fn line(entry: &impl Serialize) -> String {
    let mut line = serde_json::to_string(entry).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_is_in_it() {
        let who = Connection { id: 3, user: "a\"\nb", peer: "10.0.0.1:5", now_us: 1_700_000_000_000_000 };
        let entry = connection(&who, ConnectionEvent::Refused(1045));
        let expected = r#"{"time":"2023-11-14T22:13:20.000000Z","event":"connect","connection":3,"user":"a\"\nb","peer":"10.0.0.1:5","error":1045}"#;
        assert_eq!(entry, format!("{expected}\n"));
    }
}
