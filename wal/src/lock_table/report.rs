//! The lock table as people see it.

use super::table::{LockTable, RequestId};
use common::service::wal::{LockInfo, LockTarget};

impl LockTable {
    /// Locks held, then requests that wait, each in the order of their keys.
    pub fn report(&self) -> Vec<LockInfo> {
        let mut report = Vec::new();
        for (key, lock) in &self.keys {
            for (txn, mode) in lock.holders() {
                report.push(LockInfo { txn: *txn, target: LockTarget::Key(key.clone()), mode: *mode, waits_for: None });
            }
        }
        for group in self.groups.values() {
            for held in &group.held {
                let target = LockTarget::Range(held.range.clone());
                report.push(LockInfo { txn: held.txn, target, mode: held.mode, waits_for: None });
            }
        }
        let mut waiting: Vec<_> = self.requests.iter().collect();
        waiting.sort_by_key(|(id, _)| **id);
        report.extend(waiting.into_iter().filter_map(|(id, _)| self.wait_of(*id)));
        report
    }

    /// What a request waits for.
    pub(super) fn wait_of(&self, id: RequestId) -> Option<LockInfo> {
        let request = self.requests.get(&id)?;
        let (target, mode) = request.items.get(request.at).cloned()?;
        let mut waits_for = self.blockers_of_request(id);
        waits_for.sort_unstable();
        waits_for.dedup();
        Some(LockInfo { txn: request.txn, target, mode, waits_for: Some(waits_for) })
    }
}
