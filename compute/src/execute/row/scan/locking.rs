//! Scans of UPDATE, DELETE and SELECT ... FOR UPDATE/SHARE: rows are found in the newest data, locked, and read again.
//!
//! Only rows that meet the filter are locked. A row that changed between the two reads is judged by what it is now; one
//! that is gone is left out.

use crate::execute::row::context::Locker;
use crate::execute::row::evaluate::Predicate;
use crate::execute::row::operator::{BATCH_ROWS, Operator, Scope};
use crate::execute::row::scan::access::{self, Source, StoredRow, Target};
use crate::execute::row::scan::decode;
use crate::sql::plan::{Scan, ScanLock};
use async_trait::async_trait;
use common::key::Key;
use expr::SqlError;
use expr::value::Row;
use std::sync::Arc;

pub struct LockingScan<'q> {
    scan: &'q Scan,
    lock: ScanLock,
    locker: Arc<dyn Locker>,
    filter: Option<Predicate<'q>>,
    /// `None` before the first batch.
    source: Option<Source>,
    finished: bool,
    scope: Scope<'q>,
}

impl<'q> LockingScan<'q> {
    pub fn new(scan: &'q Scan, lock: ScanLock, locker: Arc<dyn Locker>, scope: &Scope<'q>) -> LockingScan<'q> {
        let filter = scan.filter.as_ref().map(|filter| Predicate::new(filter, scope));
        LockingScan { scan, lock, locker, filter, source: None, finished: false, scope: scope.clone() }
    }

    /// Exact keys are locked whether there is a row or not, so that nobody else inserts one.
    async fn read_points(&mut self, index: usize, keys: Vec<Key>) -> Result<Vec<Row>, SqlError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let locked = self.locker.lock(keys.clone(), self.lock).await?;
        let granted = keys.into_iter().zip(locked.granted).filter_map(|(key, granted)| granted.then_some(key));
        let entries = access::read_keys(&locked.view, granted.collect()).await?;
        let stored = access::rows_of_entries(&self.scan.table, index, &locked.view, entries).await?;
        if index == 0 {
            return self.filtered(&stored).await;
        }
        self.lock_rows(stored).await
    }

    /// Locks the rows among `stored` that meet the filter and gives them as they are now.
    async fn lock_rows(&mut self, stored: Vec<StoredRow>) -> Result<Vec<Row>, SqlError> {
        let mut keys = Vec::with_capacity(stored.len());
        for row in stored {
            if !self.filtered(std::slice::from_ref(&row)).await?.is_empty() {
                keys.push(row.key);
            }
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let locked = self.locker.lock(keys.clone(), self.lock).await?;
        let granted = keys.into_iter().zip(locked.granted).filter_map(|(key, granted)| granted.then_some(key));
        let entries = access::read_keys(&locked.view, granted.collect()).await?;
        let now = access::rows_of_entries(&self.scan.table, 0, &locked.view, entries).await?;
        self.filtered(&now).await
    }

    async fn filtered(&mut self, stored: &[StoredRow]) -> Result<Vec<Row>, SqlError> {
        let mut rows = decode(self.scan, stored, &self.scope)?;
        if let Some(filter) = &mut self.filter {
            filter.retain(&mut rows).await?;
        }
        Ok(rows)
    }
}

#[async_trait]
impl Operator for LockingScan<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        while !self.finished {
            self.scope.execution.check()?;
            let Some(source) = &mut self.source else {
                if let Target::Keys { index, keys } = access::target(self.scan, &self.scope)? {
                    self.finished = true;
                    let rows = self.read_points(index, keys).await?;
                    return Ok(Some(rows).filter(|rows| !rows.is_empty()));
                }
                let view = self.locker.newest().await?;
                self.source = Some(access::source(self.scan, &view, None, BATCH_ROWS, &self.scope)?);
                continue;
            };
            let Some(stored) = source.next().await? else {
                self.finished = true;
                break;
            };
            let rows = self.lock_rows(stored).await?;
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }
}
