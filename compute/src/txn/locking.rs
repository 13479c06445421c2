//! Takes locks for a transaction and remembers at which LSN each key was first seen.
//!
//! A [`Locker`] is handed to executors that run while the session holds the transaction; what it learns goes to the
//! transaction's shared [`LockSet`]. Locks are hints: commit checks every key here against newer versions. Ranges cannot
//! be checked so, nor what was concluded from a lock alone (a definition held still while an index is filled): such a
//! commit names the tenure of its locks, and is refused where they may have been lost.

use crate::txn::Remote;
use crate::txn::read_view::Known;
use crate::txn::service_error::{deadlock, lock_error, wal_error, with_backoff};
use common::id::{Lsn, TableId, TxnId};
use common::key::{Key, KeyRange, table_and_index};
use common::service::wal::{LockError, LockMode, LockRequest, LockWait, Tenure, Undurable};
use expr::{ErrorCode, SqlError};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Named locks are keys of this table: beyond the ids of tables, nothing is stored in it.
pub const NAMED_LOCKS: TableId = TableId(0xffff_fff0);

/// Keys and ranges a transaction has locked.
#[derive(Debug, Default)]
pub struct LockSet {
    held: HashMap<Key, Held>,
    ranges: Vec<(KeyRange, LockMode)>,
    /// Ranges among them that stand for the locks of single keys that were there before.
    escalated: Vec<KeyRange>,
    /// Definitions that the statement uses: locked together with the first thing that it locks.
    deferred: Vec<(Key, LockMode)>,
    /// The oldest of all locks: a later leader knows nothing of those before it.
    oldest_tenure: Option<Tenure>,
    /// It relies on locks that no version stands for: ranges, what is held still or kept away while it runs.
    relies_on_locks: bool,
    /// Owner of LOCK TABLES, if what it has locked was relied on.
    also_holds: Option<TxnId>,
    /// The newest version read that was not durable when it was read.
    undurable: Option<Undurable>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    mode: LockMode,
    /// The first LSN at which the key was seen under a lock: whatever this transaction did with it started from there.
    observed: Lsn,
}

/// An index with fewer locked keys is not worth a lock of all of it.
const ESCALATED_KEYS_MIN: usize = 100;

impl LockSet {
    /// The LSN at which a key was first seen, if it is locked.
    pub fn observed(&self, key: &Key) -> Option<Lsn> {
        self.held.get(key).map(|held| held.observed)
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.ranges.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, Lsn)> {
        self.held.iter().map(|(key, held)| (key, held.observed))
    }

    fn holds(&self, key: &Key, mode: LockMode) -> bool {
        let held = self.held.get(key).is_some_and(|held| held.mode == LockMode::Exclusive || mode == LockMode::Shared);
        held || self.is_escalated(key)
    }

    fn is_escalated(&self, key: &Key) -> bool {
        self.escalated.iter().any(|range| range.contains(key))
    }

    /// The index with most keys locked exclusively.
    fn busiest_index(&self) -> Option<KeyRange> {
        let mut counts: HashMap<_, usize> = HashMap::new();
        let exclusive = self.held.iter().filter(|(_, held)| held.mode == LockMode::Exclusive);
        for index in exclusive.filter_map(|(key, _)| table_and_index(key)) {
            *counts.entry(index).or_default() += 1;
        }
        let ((table, index), count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        (count >= ESCALATED_KEYS_MIN).then(|| KeyRange::index(table, index))
    }

    fn holds_range(&self, range: &KeyRange, mode: LockMode) -> bool {
        self.ranges.iter().any(|(held, held_mode)| {
            (*held_mode == LockMode::Exclusive || mode == LockMode::Shared)
                && held.start <= range.start
                && (held.end.is_empty() || (!range.end.is_empty() && range.end <= held.end))
        })
    }

    pub(super) fn grant(&mut self, key: Key, mode: LockMode, lsn: Lsn) {
        let held = self.held.entry(key).or_insert(Held { mode, observed: lsn });
        if mode == LockMode::Exclusive {
            held.mode = mode;
        }
        held.observed = held.observed.min(lsn);
    }

    fn grant_range(&mut self, range: KeyRange, mode: LockMode) {
        self.relies_on_locks = true;
        if !self.holds_range(&range, mode) {
            self.ranges.push((range, mode));
        }
    }

    /// Keys of a range that is locked as a whole: the commit relies on that lock instead of on each of them.
    pub fn cover(&mut self, range: &KeyRange) {
        assert!(self.holds_range(range, LockMode::Exclusive), "only a locked range covers its keys");
        self.held.retain(|key, _| !range.contains(key));
    }

    /// Relies on the lock of a key, if there is one, instead of on the version seen under it, which it gives.
    pub fn cover_key(&mut self, key: &Key) -> Option<Lsn> {
        let held = self.held.remove(key)?;
        self.relies_on_locks = true;
        Some(held.observed)
    }

    /// What has to become durable before anything that was read is shown.
    pub fn undurable(&self) -> Option<Undurable> {
        self.undurable
    }

    /// Everything up to this version is durable.
    pub fn note_durable(&mut self, version: Undurable) {
        if self.undurable.is_some_and(|newest| newest.lsn <= version.lsn) {
            self.undurable = None;
        }
    }

    fn note_undurable(&mut self, version: Undurable) {
        // Of two leaders the older one's version is the one that may be lost.
        if self.undurable.is_none_or(|known| known.term == version.term && known.lsn < version.lsn) {
            self.undurable = Some(version);
        }
    }

    /// From here on the commit holds only if every lock taken so far was held without a break: something was concluded
    /// from what others cannot do meanwhile, and not from versions.
    pub fn rely_on_locks(&mut self) {
        self.relies_on_locks = true;
    }

    /// As [`LockSet::rely_on_locks`], for locks that the session holds beside its transactions.
    pub fn rely_on_session_locks(&mut self, tenure: Tenure) {
        self.note_tenure(tenure);
        self.relies_on_locks = true;
    }

    /// Of the oldest lock.
    pub fn tenure(&self) -> Option<Tenure> {
        self.oldest_tenure
    }

    pub fn relies_on_locks(&self) -> bool {
        self.relies_on_locks
    }

    pub fn also_holds(&self) -> Vec<TxnId> {
        self.also_holds.into_iter().collect()
    }

    fn note_tenure(&mut self, tenure: Tenure) {
        self.oldest_tenure = Some(self.oldest_tenure.map_or(tenure, |oldest| oldest.min(tenure)));
    }
}

/// What a lock call has brought.
pub struct Grant {
    /// Reading here, with `known` over it, shows the newest committed version of everything granted.
    pub lsn: Lsn,
    /// One for each key; false only under SKIP LOCKED.
    pub granted: Vec<bool>,
    pub known: Known,
}

/// Gives an error when what waits for a lock shall end.
pub type Interrupt = Arc<dyn Fn() -> BoxFuture<'static, SqlError> + Send + Sync>;

/// Tables that the session has locked for writing by LOCK TABLES: nobody else can lock anything of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OwnTables {
    pub tables: HashSet<TableId>,
    /// Keys of their definitions.
    pub names: HashSet<Key>,
    /// Under whose name, and since when.
    pub owner: Option<(TxnId, Tenure)>,
}

impl OwnTables {
    fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    fn covers(&self, key: &Key) -> bool {
        table_and_index(key).is_some_and(|(table, _)| self.tables.contains(&table)) || self.names.contains(key)
    }
}

/// Takes locks in the name of one transaction. Cheap to clone.
#[derive(Clone)]
pub struct Locker {
    pub remote: Remote,
    pub txn: TxnId,
    /// For requests that say nothing else: innodb_lock_wait_timeout.
    pub wait: LockWait,
    pub locks: Arc<Mutex<LockSet>>,
    pub own: Arc<OwnTables>,
    /// Ends a wait: KILL, a closed connection, max_execution_time.
    pub interrupt: Interrupt,
}

impl Locker {
    /// Locks keys, waiting as `wait` says (`None`: the session's timeout).
    pub async fn lock(&self, keys: Vec<(Key, LockMode)>, wait: Option<LockWait>) -> Result<Grant, SqlError> {
        self.lock_all(keys, Vec::new(), wait).await
    }

    /// Has definitions locked with the next keys or ranges: one call instead of two.
    pub fn defer(&self, keys: Vec<(Key, LockMode)>) {
        self.locks.lock().deferred = keys;
    }

    /// Locks keys, then ranges. Error 1412 if a definition that was deferred has just got another version.
    pub async fn lock_all(
        &self,
        keys: Vec<(Key, LockMode)>,
        ranges: Vec<(KeyRange, LockMode)>,
        wait: Option<LockWait>,
    ) -> Result<Grant, SqlError> {
        let deferred = std::mem::take(&mut self.locks.lock().deferred);
        if deferred.is_empty() {
            return self.lock_now(keys, ranges, wait).await;
        }
        let names: Vec<Key> = deferred.iter().map(|(key, _)| key.clone()).collect();
        let changed = |known: &Known| names.iter().any(|name| known.get(name).is_some());
        // Definitions are waited for whatever the statement says about rows.
        if wait.is_some_and(|wait| !matches!(wait, LockWait::Timeout(_))) {
            let grant = self.lock_now(deferred, Vec::new(), None).await?;
            return if changed(&grant.known) {
                Err(definition_changed())
            } else {
                self.lock_now(keys, ranges, wait).await
            };
        }
        let all = deferred.into_iter().chain(keys).collect();
        let mut grant = self.lock_now(all, ranges, wait).await?;
        if changed(&grant.known) {
            return Err(definition_changed());
        }
        grant.granted.drain(..names.len());
        Ok(grant)
    }

    async fn lock_now(
        &self,
        keys: Vec<(Key, LockMode)>,
        ranges: Vec<(KeyRange, LockMode)>,
        wait: Option<LockWait>,
    ) -> Result<Grant, SqlError> {
        if self.locks.lock().held.len() < ESCALATED_KEYS_MIN {
            return self.lock_others(keys, ranges, wait).await;
        }
        match self.lock_others(keys.clone(), ranges.clone(), wait).await {
            Err(error) if error.code == ErrorCode::LOCK_TABLE_FULL && self.escalate().await? => {
                self.lock_others(keys, ranges, wait).await
            }
            outcome => outcome,
        }
    }

    /// Locks what is not locked as a whole already.
    async fn lock_others(
        &self,
        keys: Vec<(Key, LockMode)>,
        ranges: Vec<(KeyRange, LockMode)>,
        wait: Option<LockWait>,
    ) -> Result<Grant, SqlError> {
        let escalated = self.locks.lock().escalated.clone();
        if self.own.is_empty() && escalated.is_empty() {
            return self.request(keys, ranges, wait).await;
        }
        // What is locked as a whole needs no lock, but is relied on like the rest.
        let covers = |key: &Key| self.own.covers(key) || escalated.iter().any(|range| range.contains(key));
        let flags: Vec<bool> = keys.iter().map(|(key, _)| covers(key)).collect();
        let (own, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(key, _)| covers(key));
        let ranges: Vec<_> = ranges.into_iter().filter(|(range, _)| !self.own.covers(&range.start)).collect();
        let grant = if others.is_empty() && ranges.is_empty() {
            let lsn = crate::txn::snapshot::newest_lsn_after(&self.locks, &self.remote).await?;
            Grant { lsn, granted: Vec::new(), known: Known::default() }
        } else {
            self.request(others, ranges, wait).await?
        };
        let mut locks = self.locks.lock();
        // Where the lock of an index was handed on before it was durable, what is in the index is to be read behind that.
        let lsn = locks.undurable().map_or(grant.lsn, |version| grant.lsn.max(version.lsn));
        let grant = Grant { lsn: if escalated.is_empty() { grant.lsn } else { lsn }, ..grant };
        if let Some((owner, tenure)) = self.own.owner {
            locks.rely_on_session_locks(tenure);
            locks.also_holds = Some(owner);
        }
        for (key, mode) in own.into_iter().filter(|(key, _)| self.own.covers(key)) {
            locks.grant(key, mode, grant.lsn);
        }
        let mut asked = grant.granted.into_iter();
        let granted = flags.into_iter().map(|own| own || asked.next().unwrap_or(false)).collect();
        Ok(Grant { granted, ..grant })
    }

    /// The transaction has as many locks as it may have: those of single keys of one index become one of the index. False
    /// where others have locks there.
    async fn escalate(&self) -> Result<bool, SqlError> {
        let Some(index) = self.locks.lock().busiest_index() else { return Ok(false) };
        let ranges = vec![(index.clone(), LockMode::Exclusive)];
        let request = LockRequest { txn: self.txn, keys: Vec::new(), ranges, wait: LockWait::NoWait };
        let reply = match with_backoff(|| self.remote.wal.lock(request.clone())).await {
            Ok(reply) => reply,
            Err(LockError::NotAvailable | LockError::Full) => return Ok(false),
            Err(error) => return Err(lock_error(error)),
        };
        tracing::info!("a transaction with very many locks locks an index as a whole");
        let mut locks = self.locks.lock();
        locks.note_tenure(reply.tenure());
        if let Some(lsn) = reply.undurable {
            locks.note_undurable(Undurable { term: reply.term, lsn });
        }
        locks.grant_range(index.clone(), LockMode::Exclusive);
        // The lock table keeps those of single keys until the end: no more will come.
        locks.cover(&index);
        locks.escalated.push(index);
        Ok(true)
    }

    async fn request(
        &self,
        keys: Vec<(Key, LockMode)>,
        ranges: Vec<(KeyRange, LockMode)>,
        wait: Option<LockWait>,
    ) -> Result<Grant, SqlError> {
        let request = LockRequest { txn: self.txn, keys, ranges, wait: wait.unwrap_or(self.wait) };
        let reply = tokio::select! {
            biased;
            reply = with_backoff(|| self.remote.wal.lock(request.clone())) => reply.map_err(lock_error)?,
            error = (self.interrupt)() => return Err(error),
        };
        if reply.granted.len() != request.keys.len() {
            return Err(SqlError::internal("The log answered a lock request with another number of keys"));
        }
        let (tenure, mut known) = (reply.tenure(), HashMap::new());
        for newest in reply.newest {
            let Some((key, _)) = request.keys.get(newest.key as usize) else {
                return Err(SqlError::internal("The log told the newest version of a key that was not asked for"));
            };
            known.insert(key.clone(), (newest.lsn, newest.row));
        }
        let mut locks = self.locks.lock();
        locks.note_tenure(tenure);
        for ((key, mode), _) in request.keys.into_iter().zip(&reply.granted).filter(|(_, granted)| **granted) {
            let lsn = known.get(&key).map_or(reply.lsn, |(lsn, _)| *lsn);
            locks.grant(key, mode, lsn);
        }
        for (range, mode) in request.ranges {
            locks.grant_range(range, mode);
        }
        if let Some(lsn) = reply.undurable {
            locks.note_undurable(Undurable { term: reply.term, lsn });
        }
        Ok(Grant { lsn: reply.lsn, granted: reply.granted, known: Known::from(known) })
    }

    /// Gives back keys that turned out not to be wanted.
    pub async fn unlock(&self, keys: Vec<Key>) -> Result<(), SqlError> {
        if keys.is_empty() {
            return Ok(());
        }
        {
            let mut locks = self.locks.lock();
            for key in &keys {
                locks.held.remove(key);
            }
        }
        with_backoff(|| self.remote.wal.unlock_keys(self.txn, keys.clone())).await.map_err(wal_error)
    }

    /// True if every one of these is already locked strongly enough.
    pub fn holds_all(&self, keys: &[(Key, LockMode)]) -> bool {
        let locks = self.locks.lock();
        keys.iter().all(|(key, mode)| locks.holds(key, *mode))
    }

    /// True if the key was locked before.
    pub fn holds(&self, key: &Key) -> bool {
        let locks = self.locks.lock();
        locks.held.contains_key(key) || locks.is_escalated(key)
    }
}

/// Bound again, the statement may run again.
pub fn definition_changed() -> SqlError {
    SqlError::new(ErrorCode(1412), "Table definition has changed, please retry transaction")
}

/// Waits until what was read under locks is durable, so that it may be shown. Error 1213 if it never will be.
pub async fn wait_durable(locks: &Mutex<LockSet>, remote: &Remote) -> Result<(), SqlError> {
    let undurable = locks.lock().undurable();
    let Some(version) = undurable else { return Ok(()) };
    if !with_backoff(|| remote.wal.wait_durable(version)).await.map_err(wal_error)? {
        return Err(deadlock());
    }
    locks.lock().note_durable(version);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plan::Isolation;
    use crate::testing::FakeCluster;
    use crate::txn::{Transaction, commit, roll_back};

    fn key(index: u32, number: u32) -> Key {
        let mut key = KeyRange::index(TableId(1000), common::id::IndexId(index)).start.to_vec();
        key.extend(number.to_be_bytes());
        key.into()
    }

    fn exclusive(index: u32, numbers: std::ops::Range<u32>) -> Vec<(Key, LockMode)> {
        numbers.map(|number| (key(index, number), LockMode::Exclusive)).collect()
    }

    #[tokio::test]
    async fn too_many_locks_of_keys_become_one_of_their_index_unless_somebody_else_is_there() {
        let cluster = FakeCluster::new();
        let remote = cluster.remote();
        cluster.locks().set_limit(1_000);
        let begin = |number: u128| {
            let transaction = Transaction::new(TxnId(number), Isolation::RepeatableRead, false, true);
            let locker = cluster.locker(&transaction);
            (transaction, locker)
        };
        let (other, others) = begin(1);
        others.lock(exclusive(1, 5_000..5_001), None).await.unwrap();
        let (mut large, locker) = begin(2);
        locker.lock(exclusive(1, 0..600), None).await.unwrap();
        locker.lock(exclusive(2, 0..300), None).await.unwrap();
        let full = locker.lock(exclusive(1, 600..900), None).await.err().unwrap();
        assert_eq!(full.code, ErrorCode::LOCK_TABLE_FULL);
        roll_back(other, &remote).await;
        let grant = locker.lock(exclusive(1, 600..900), None).await.unwrap();
        assert_eq!(grant.granted, vec![true; 300]);
        assert_eq!(cluster.locks().held_keys(large.id()), 900, "as many as before");
        assert!(locker.holds_all(&exclusive(1, 0..2_000)) && !locker.holds(&key(2, 300)));
        // Nobody else gets into the index; both go on in theirs.
        let (other, others) = begin(3);
        assert!(others.lock(exclusive(1, 9_000..9_001), None).await.is_err());
        others.lock(exclusive(2, 9_000..9_001), None).await.unwrap();
        let mixed = [exclusive(1, 2_000..2_100), exclusive(2, 300..400)].concat();
        assert_eq!(locker.lock(mixed, None).await.unwrap().granted.len(), 200);
        large.write(key(1, 7), Some("row".into()), None).unwrap();
        roll_back(other, &remote).await;
        assert!(large.locks().lock().relies_on_locks());
        commit(large, &remote).await.unwrap();
        let (_, others) = begin(4);
        others.lock(exclusive(1, 0..10), None).await.unwrap();
    }
}
