//! Transactions that are prepared and not yet finished (XA PREPARE): what their record in the log says.
//!
//! The record is a row under a reserved key, written by the commit that prepares and deleted by the one that finishes. What
//! the transaction is to write lies in it and takes effect with the second commit. From the first to the second its locks
//! are the log's: every leader holds them, whatever becomes of the compute that took them, so nobody can come in between.
//!
//! The log knows the head of a record (whose it is, and its locks), and nothing of the rest.

use crate::id::TxnId;
use crate::key::{Key, KeyRange};
use crate::service::wal::{CounterBump, LockMode, LockTarget, Observed, Write};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Every key of a record begins like this: table 0, which is the log's own, and an index that it never has otherwise.
const PREFIX: [u8; 8] = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe];
const FORMAT: u8 = 1;

/// What the log has to know of a prepared transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedLocks {
    /// In whose name the locks are held; the commit that finishes comes in the same one.
    pub txn: TxnId,
    pub locks: Vec<(LockTarget, LockMode)>,
}

/// What the commit that finishes has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedCommit {
    pub writes: Vec<Write>,
    pub checks: Vec<Observed>,
    pub counters: Vec<CounterBump>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of a prepared transaction does not decode")]
pub struct MalformedRecord;

/// The key of the record of a transaction that is known by `name`.
pub fn key_of(name: &[u8]) -> Key {
    [&PREFIX, name].concat().into()
}

/// The name in the key of a record; `None` for other keys.
pub fn name_of(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&PREFIX)
}

/// Keys of all records.
pub fn all() -> KeyRange {
    let mut end = PREFIX;
    end[7] = 0xff;
    KeyRange { start: Bytes::from_static(&PREFIX), end: Bytes::copy_from_slice(&end) }
}

/// A record's row. Whoever prepares gives no locks: the leader writes down which there are.
pub fn encode(head: &PreparedLocks, commit: &PreparedCommit) -> Bytes {
    with_body(head, &postcard::to_stdvec(commit).expect("plain data serializes"))
}

fn with_body(head: &PreparedLocks, body: &[u8]) -> Bytes {
    let mut row = vec![FORMAT];
    row.extend(postcard::to_stdvec(head).expect("plain data serializes"));
    row.extend(body);
    row.into()
}

fn split(row: &[u8]) -> Result<(PreparedLocks, &[u8]), MalformedRecord> {
    let (format, rest) = row.split_first().ok_or(MalformedRecord)?;
    if *format != FORMAT {
        return Err(MalformedRecord);
    }
    postcard::take_from_bytes(rest).map_err(|_| MalformedRecord)
}

pub fn decode_head(row: &[u8]) -> Result<PreparedLocks, MalformedRecord> {
    split(row).map(|(head, _)| head)
}

pub fn decode(row: &[u8]) -> Result<(PreparedLocks, PreparedCommit), MalformedRecord> {
    let (head, body) = split(row)?;
    Ok((head, postcard::from_bytes(body).map_err(|_| MalformedRecord)?))
}

/// The same record with these locks.
pub fn with_locks(row: &[u8], locks: Vec<(LockTarget, LockMode)>) -> Result<Bytes, MalformedRecord> {
    let (head, body) = split(row)?;
    Ok(with_body(&PreparedLocks { locks, ..head }, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Lsn;

    #[test]
    fn a_record_gets_its_locks_and_says_the_rest_as_it_was() {
        let key = Bytes::from_static(b"k");
        let head = PreparedLocks { txn: TxnId(7), locks: Vec::new() };
        let checks = vec![Observed { key: key.clone(), lsn: Lsn(3) }];
        let commit = PreparedCommit { checks, ..PreparedCommit::default() };
        let locks = vec![(LockTarget::Key(key), LockMode::Shared)];
        let row = with_locks(&encode(&head, &commit), locks.clone()).unwrap();
        let head = PreparedLocks { locks, ..head };
        assert_eq!(decode_head(&row), Ok(head.clone()));
        assert_eq!(decode(&row), Ok((head, commit)));
        for length in 0..row.len() {
            assert!(decode(&row[..length]).is_err(), "cut to {length} bytes");
        }
        assert!(all().contains(&key_of(b"x")) && !all().contains(&[0; 8]));
        assert_eq!(name_of(&key_of(b"x")), Some(&b"x"[..]));
    }
}
