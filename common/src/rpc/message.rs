//! The calls of both services as messages. Each call's answer is its own `Result`, in postcard.

use crate::bulk::BulkLayer;
use crate::id::{CommitId, Lsn, TabletId, TxnId};
use crate::key::{Key, KeyRange};
use crate::service::page::{BulkRow, GetRequest, ScanRequest};
use crate::service::wal::{
    AllocateRequest, CommitRequest, LockRequest, MemberChange, PressureReport, SnapshotReport, SubscribeRequest,
    Tenure, Undurable,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A call with one answer. Variants are numbered by their order: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Request {
    ReadLsn,
    Lock(LockRequest),
    Unlock(TxnId),
    Commit(CommitRequest),
    Outcome(CommitId),
    Allocate(AllocateRequest),
    ReportDurable {
        tablet: TabletId,
        lsn: Lsn,
    },
    WalStatus,
    Get(GetRequest),
    NewestVersions {
        keys: Vec<Key>,
        applied: Lsn,
    },
    Estimate(KeyRange),
    Flush,
    PageStatus,
    UnlockKeys {
        txn: TxnId,
        keys: Vec<Key>,
    },
    Locks,
    WaitDurable(Undurable),
    /// Between members of the log: its content is the consensus' own.
    Peer(Bytes),
    ChangeMembers(MemberChange),
    Announce(SocketAddr),
    PageServers,
    ReportPressure(PressureReport),
    ReportSnapshots(SnapshotReport),
    OldestSnapshot,
    Figures(KeyRange),
    Holds(Tenure),
    LatestDeadlock,
    BulkWrite(Vec<BulkRow>),
    BulkFinish(Vec<BulkLayer>),
    Pressure,
}

/// A call answered by a stream of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum StreamRequest {
    Subscribe(SubscribeRequest),
    Scan(ScanRequest),
}

/// First byte of an answer: whether the service answered (its `Result` follows), or why it was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Answered = 0,
    /// The call ran until its deadline and was dropped.
    DeadlineExceeded = 1,
    /// This node does not have the role. Nothing was done.
    NoSuchService = 2,
    /// Too many calls at once from this connection. Nothing was done.
    Overloaded = 3,
    /// The request cannot be read, perhaps because it comes from a newer version. Nothing was done.
    Malformed = 4,
    /// The answer exceeds what a frame may hold.
    AnswerTooLarge = 5,
    /// The node is stopping. Nothing was done.
    Stopping = 6,
    /// The caller's certificate is for another role. Nothing was done.
    NotForRole = 7,
}

impl Status {
    pub fn from_byte(byte: u8) -> Option<Status> {
        use Status::*;
        [Answered, DeadlineExceeded, NoSuchService, Overloaded, Malformed, AnswerTooLarge, Stopping, NotForRole]
            .into_iter()
            .find(|status| *status as u8 == byte)
    }

    pub fn text(self) -> &'static str {
        match self {
            Status::Answered => "answered",
            Status::DeadlineExceeded => "deadline exceeded",
            Status::NoSuchService => "this node does not offer that service",
            Status::Overloaded => "too many calls at once",
            Status::Malformed => "the request could not be read",
            Status::AnswerTooLarge => "the answer is too large",
            Status::Stopping => "the node is stopping",
            Status::NotForRole => "the caller's certificate is for another role",
        }
    }

    /// True where it is certain that the service never saw the call.
    pub fn nothing_was_done(self) -> bool {
        match self {
            Status::NoSuchService | Status::Overloaded | Status::Malformed | Status::Stopping | Status::NotForRole => {
                true
            }
            Status::Answered | Status::DeadlineExceeded | Status::AnswerTooLarge => false,
        }
    }
}
