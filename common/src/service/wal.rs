//! What the wal role offers: locks, commits, read LSNs, counters, and the stream of committed transactions.

use crate::id::{CommitId, CounterId, LogPos, Lsn, NodeId, TabletId, Term, TxnId};
use crate::key::{Key, KeyRange};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
pub trait WalService: Send + Sync {
    /// An LSN that is at least every commit acknowledged before this call, through whichever compute.
    async fn read_lsn(&self) -> Result<ReadLsn, WalError>;

    /// Locks keys and ranges for a transaction, waiting as `request.wait` says. All or nothing, but for SKIP LOCKED.
    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError>;

    /// Gives back single keys before the transaction ends. Keys it does not hold are fine.
    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError>;

    /// Every lock that is held or waited for. For people and IS_USED_LOCK; not cheap.
    async fn locks(&self) -> Result<Vec<LockInfo>, WalError>;

    /// The newest deadlock that the present leader has resolved.
    async fn latest_deadlock(&self) -> Result<Option<Deadlock>, WalError> {
        Ok(None)
    }

    /// Waits until what a lock reply gave ahead of its durability is durable. False: a leader change has undone it, and
    /// whoever built on it has to start again.
    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError>;

    /// Whether locks granted under `tenure` are held still, unless they were given back. False: a change of leaders or a lost
    /// connection has freed them, and others may have had them since.
    async fn holds(&self, _tenure: Tenure) -> Result<bool, WalError> {
        Ok(true)
    }

    /// Forgets every lock of a transaction that ends without a commit. Unknown transactions are fine.
    async fn unlock(&self, txn: TxnId) -> Result<(), WalError>;

    /// Commits a transaction: answers when it is durable, and frees its locks. Idempotent by `commit_id`.
    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError>;

    /// What became of a commit whose answer was lost. `None`: it is not in the log and never will be.
    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError>;

    /// Hands out `count` consecutive values of a counter, none below `at_least`. Returns the first.
    /// `count` of 0 only asks for the next value. No value is handed out twice, whatever becomes of the transaction that got
    /// it and of the leader that gave it, unless a commit sets the counter back.
    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError>;

    /// Committed batches from an LSN (that one included) on, in order, forever. Where the log no longer holds `from`,
    /// [`WalError::Trimmed`]. Transactions that touch none of `tablets` are left out; heartbeats stand in for them.
    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError>;

    /// As [`WalService::subscribe`], for who follows definitions: batches without any may be left out, and their heartbeats
    /// come late.
    async fn subscribe_to_definitions(
        &self,
        from: Lsn,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        self.subscribe(SubscribeRequest { from, tablets: Vec::new() }).await
    }

    /// A page server says: all of `tablet` up to `lsn` is in layers. The log below the smallest such LSN may be trimmed.
    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError>;

    /// A page server says how much commits should be slowed down. Holds for [`PRESSURE_REPORT_LASTS`].
    async fn report_pressure(&self, _report: PressureReport) -> Result<(), WalError> {
        Ok(())
    }

    /// How much page servers want writers slowed down, from 0 to 1, as they have reported to the leader.
    async fn pressure(&self) -> Result<f64, WalError> {
        Ok(0.0)
    }

    /// A compute says which snapshots are open there. Holds for [`SNAPSHOT_REPORT_LASTS`].
    async fn report_snapshots(&self, _report: SnapshotReport) -> Result<(), WalError> {
        Ok(())
    }

    /// The oldest snapshot that is open anywhere, as far as was reported.
    async fn oldest_snapshot(&self) -> Result<OldestSnapshot, WalError> {
        Ok(OldestSnapshot::Nothing)
    }

    async fn status(&self) -> Result<WalStatus, WalError>;

    /// Changes who belongs to the log. The leader does it; asking again is fine, and needed after
    /// [`WalError::Unavailable`]: the new member may still be learning the log.
    async fn change_members(&self, _change: MemberChange) -> Result<(), WalError> {
        Err(WalError::Unavailable("this log has one member".to_owned()))
    }

    /// A page server says where it listens. Forgotten when it is not said again for some seconds.
    async fn announce(&self, _page_server: SocketAddr) -> Result<(), WalError> {
        Ok(())
    }

    /// Page servers that announced themselves to this node.
    async fn page_servers(&self) -> Result<Vec<SocketAddr>, WalError> {
        Ok(Vec::new())
    }
}

/// Who is to belong to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// `node`, which listens at `address`, learns the log and then votes. The member that listened there before, or at
    /// `replaces`, is gone and leaves in the same step.
    Join { node: NodeId, address: String, replaces: Option<String> },
}

/// Where to read, and which definitions hold there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLsn {
    pub lsn: Lsn,
    /// Nothing from here to `lsn` wrote to [`CATALOG_TABLE`](crate::id::CATALOG_TABLE): whoever knows the catalog at
    /// this LSN knows it at `lsn`, and need not wait for the commits between them.
    pub definitions: Lsn,
}

/// How often a page server says so while it is under pressure.
pub const PRESSURE_REPORT_EVERY: Duration = Duration::from_millis(500);
/// A page server that says nothing for so long is not there any more, or well.
pub const PRESSURE_REPORT_LASTS: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PressureReport {
    /// The page server, by a number that it drew at its start.
    pub reporter: u128,
    /// 0: none. 1: memtables are full, or layers pile up as far as is bearable.
    pub pressure: f64,
}

/// How often a compute asks for the pressure.
pub const PRESSURE_ASK_EVERY: Duration = Duration::from_millis(500);
/// Under full pressure one session writes about so many bytes a second.
pub const PRESSURE_BYTES_PER_SECOND: u64 = 2 << 20;
/// Under full pressure, whatever the size.
const PRESSURE_DELAY_BASE: Duration = Duration::from_millis(20);
/// Nobody waits longer at once.
const PRESSURE_DELAY_MAX: Duration = Duration::from_secs(2);

/// What is waited for so many bytes under this pressure, so that those who write most wait most.
pub fn pressure_delay(pressure: f64, bytes: u64) -> Duration {
    let of_bytes = Duration::from_micros(bytes.saturating_mul(1_000_000) / PRESSURE_BYTES_PER_SECOND);
    (PRESSURE_DELAY_BASE + of_bytes).min(PRESSURE_DELAY_MAX).mul_f64(pressure)
}

/// How many of so many bytes such a wait is for.
pub fn pressure_paid(bytes: u64) -> u64 {
    let paid_ms = (PRESSURE_DELAY_MAX - PRESSURE_DELAY_BASE).as_millis() as u64;
    bytes.min(PRESSURE_BYTES_PER_SECOND * paid_ms / 1000)
}

/// How often a compute says which snapshots are open.
pub const SNAPSHOT_REPORT_EVERY: Duration = Duration::from_secs(5);
/// Several reports may be lost. Whoever says nothing for so long is gone, and its transactions with it.
pub const SNAPSHOT_REPORT_LASTS: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// The compute, by a number that it drew at its start.
    pub reporter: u128,
    /// Where its oldest open transaction or statement reads.
    pub oldest: Option<Lsn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldestSnapshot {
    /// Not known: the leader is new, and not everybody may have reported to it.
    Unknown,
    /// None is open.
    Nothing,
    At(Lsn),
}

/// A new version of a key: a row, or `None` for a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutation {
    pub key: Key,
    pub row: Option<Bytes>,
}

/// A key as a transaction saw it: the commit holds only if no newer version than `lsn` exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub key: Key,
    /// The LSN at which the key was read, or of the version that was read.
    pub lsn: Lsn,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    pub mutation: Mutation,
    /// See [`Observed::lsn`]. `Lsn::MAX` for a blind write, which never conflicts.
    pub observed: Lsn,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRequest {
    pub commit_id: CommitId,
    /// Whose locks end with this commit.
    pub txn: TxnId,
    /// At most one write per key.
    pub writes: Vec<Write>,
    /// Keys that were locked or relied on without being written: foreign key parents, tables' catalog entries.
    pub checks: Vec<Observed>,
    /// The newest version that this transaction read before it was durable. Refused as a conflict by every leader but that
    /// of this term: the version may be gone.
    pub depends_on: Option<Undurable>,
    pub counters: Vec<CounterBump>,
    /// Of its oldest lock, if it has any. Where another leader answers, or over another connection, its locks are gone.
    pub tenure: Option<Tenure>,
    /// It relies on locks that no version stands for (ranges, rows that must not appear, definitions held still): refused
    /// once its locks are gone, see [`CommitError::LocksLost`].
    pub relies_on_locks: bool,
    /// Others under whose names the same session holds locks: LOCK TABLES.
    pub also_holds: Vec<TxnId>,
    /// The connection over which it came; whoever serves the connection fills it in.
    pub session: u64,
    /// Where page servers are behind, it has waited for them before its first lock, and does not at its commit.
    pub has_waited: bool,
}

impl CommitRequest {
    /// One that writes, and relies on nothing else.
    pub fn of(commit_id: CommitId, txn: TxnId, writes: Vec<Write>) -> CommitRequest {
        CommitRequest {
            commit_id,
            txn,
            writes,
            checks: Vec::new(),
            depends_on: None,
            counters: Vec::new(),
            tenure: None,
            relies_on_locks: false,
            also_holds: Vec::new(),
            session: 0,
            has_waited: false,
        }
    }
}

/// How long a lock is held at most: while the same leader leads, over the same connection. Under another tenure nobody
/// knows what happened to the key in between.
///
/// In order of age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tenure {
    pub term: Term,
    /// The leader's number for the connection; zero within one process.
    pub session: u64,
}

/// The counter's next value is at least `next`; exactly `next` where `reset` (ALTER TABLE ... AUTO_INCREMENT, TRUNCATE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterBump {
    pub counter: CounterId,
    pub next: u64,
    pub reset: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReply {
    pub lsn: Lsn,
}

/// A version that has its LSN and is not durable yet: another leader than that of `term` may not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undurable {
    pub term: Term,
    pub lsn: Lsn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockMode {
    Shared,
    Exclusive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockWait {
    Timeout(Duration),
    NoWait,
    SkipLocked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRequest {
    pub txn: TxnId,
    pub keys: Vec<(Key, LockMode)>,
    /// Each within one index. A range stands for every key in it, those that do not exist yet included. Taken after the
    /// keys. Not with SKIP LOCKED.
    pub ranges: Vec<(KeyRange, LockMode)>,
    pub wait: LockWait,
}

impl LockRequest {
    pub fn keys(txn: TxnId, keys: Vec<(Key, LockMode)>, wait: LockWait) -> LockRequest {
        LockRequest { txn, keys, ranges: Vec::new(), wait }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockReply {
    /// Reading at this LSN shows the newest committed version of every key and range granted, but for those in `newest`.
    pub lsn: Lsn,
    /// One for each key of the request; all true but for SKIP LOCKED.
    pub granted: Vec<bool>,
    /// Keys whose newest version has its place in the order but is not durable yet. What is read here must not be shown
    /// before it is, and the commit has to name it in `depends_on`.
    pub newest: Vec<NewestVersion>,
    /// Of the leader that granted.
    pub term: Term,
    /// The newest commit that this grant comes after and that is not durable yet, if there is one: it held what is locked
    /// now. Everything that the transaction reads from now on has to be read there or later.
    pub undurable: Option<Lsn>,
    /// See [`Tenure::session`]; whoever serves the connection fills it in.
    pub session: u64,
}

impl LockReply {
    pub fn tenure(&self) -> Tenure {
        Tenure { term: self.term, session: self.session }
    }

    /// One that holds whoever leads.
    pub fn durable(lsn: Lsn, granted: Vec<bool>) -> LockReply {
        LockReply { lsn, granted, newest: Vec::new(), term: Term::default(), undurable: None, session: 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestVersion {
    /// Position in the request's keys.
    pub key: u32,
    pub lsn: Lsn,
    /// `None` for a tombstone.
    pub row: Option<Bytes>,
}

/// One lock, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    pub txn: TxnId,
    pub target: LockTarget,
    pub mode: LockMode,
    /// Transactions that it waits for; `None` for a lock that is held.
    pub waits_for: Option<Vec<TxnId>>,
}

/// Transactions that waited for each other in a circle, and what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlock {
    /// Microseconds since 1970 by the leader's clock.
    pub time_us: u64,
    /// What each of them waited for.
    pub waits: Vec<LockInfo>,
    /// It lost its locks, so that the others could go on.
    pub victim: TxnId,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LockTarget {
    Key(Key),
    Range(KeyRange),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateRequest {
    pub counter: CounterId,
    pub count: u64,
    pub at_least: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribeRequest {
    /// The first LSN wanted.
    pub from: Lsn,
    /// Empty: every tablet.
    pub tablets: Vec<TabletId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamItem {
    Batch(Arc<Batch>),
    /// Nothing for this subscriber up to here (that LSN included).
    Heartbeat {
        up_to: Lsn,
    },
}

/// What one log entry carries: transactions with consecutive LSNs and one wall-clock time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// LSN of the first transaction; the others follow without a gap, also where some were filtered out.
    pub first_lsn: Lsn,
    pub last_lsn: Lsn,
    /// Microseconds since 1970 by the leader's clock; never less than an earlier batch's.
    pub time_us: u64,
    pub transactions: Vec<Transaction>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub lsn: Lsn,
    pub commit_id: CommitId,
    pub mutations: Vec<(TabletId, Mutation)>,
    pub counters: Vec<CounterBump>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalStatus {
    pub node: NodeId,
    pub term: Term,
    pub leader: Option<NodeId>,
    /// Newest durable transaction.
    pub committed: Lsn,
    /// Oldest transaction that the log still holds.
    pub first: Lsn,
    pub log_last: LogPos,
    pub log_bytes: u64,
    pub locks_held: u64,
    pub locks_waiting: u64,
    /// Who belongs to the log, as far as this node knows.
    pub members: Vec<MemberStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    pub node: NodeId,
    /// Where it listens, if the log says so.
    pub address: String,
    /// Not yet, while it still learns the log.
    pub votes: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum WalError {
    /// Ask the leader, if known; else try again shortly.
    #[error("this wal node is not the leader (leader: {leader:?})")]
    NotLeader { leader: Option<NodeId> },
    /// The subscriber has to start from layers whose durable LSN is at least `first` minus one.
    #[error("the log begins at lsn {first}")]
    Trimmed { first: Lsn },
    /// Nothing is known about the outcome; retry.
    #[error("wal unavailable: {0}")]
    Unavailable(String),
    /// The log on disk is damaged; the text says which file, where, and what to do.
    #[error("{0}")]
    Corrupt(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum LockError {
    /// The transaction was chosen as the victim; its locks are gone. MySQL 1213.
    #[error("deadlock found when waiting for a lock")]
    Deadlock,
    /// MySQL 1205. Locks granted before this request stay.
    #[error("lock wait timeout exceeded")]
    Timeout,
    /// NOWAIT met a held lock. MySQL 3572.
    #[error("lock not available")]
    NotAvailable,
    /// The lock table has no room, or the transaction holds as many locks as one may. MySQL 1206.
    #[error("the lock table is full")]
    Full,
    #[error(transparent)]
    Wal(#[from] WalError),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CommitError {
    /// Nothing was written; the transaction may run again.
    #[error("write conflict: key {key:02x?} has a version at lsn {newest}")]
    Conflict { key: Key, newest: Lsn },
    /// Locks that the transaction relies on were freed before it ended. Nothing was written; it may run again.
    #[error("the locks that the transaction relies on were lost")]
    LocksLost,
    /// Refused before anything was written: too large, malformed.
    #[error("commit refused: {0}")]
    Refused(String),
    /// The outcome is unknown; ask `outcome` with the same commit id.
    #[error("no answer from the log: {0}")]
    Unknown(String),
    #[error(transparent)]
    Wal(#[from] WalError),
}
