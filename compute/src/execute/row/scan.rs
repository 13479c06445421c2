//! Reading tables: the clustered index, a secondary index with the rows it points to, exact keys, made-up tables.

pub mod access;
mod locking;
pub mod lookup;

use crate::execute::codec;
use crate::execute::row::context::Reservation;
use crate::execute::row::evaluate::Predicate;
use crate::execute::row::operator::{BATCH_ROWS, BoxOperator, Operator, Scope};
use crate::sql::plan::{Scan, VirtualScan};
use access::{Source, StoredRow};
use async_trait::async_trait;
use expr::SqlError;
use expr::value::Row;

pub fn open<'q>(scan: &'q Scan, scope: &Scope<'q>, goal: Option<u64>) -> Result<BoxOperator<'q>, SqlError> {
    if let Some(lock) = scan.lock
        && let Some(locker) = scope.execution.context.locker.clone()
    {
        return Ok(Box::new(locking::LockingScan::new(scan, lock, locker, goal, scope)));
    }
    // Rows that the filter drops do not count towards the goal.
    let limit = goal.filter(|_| scan.filter.is_none());
    let source = access::source(scan, &scope.execution.context.view, limit, batch_rows(goal), scope)?;
    Ok(Box::new(TableScan {
        scan,
        source,
        filter: scan.filter.as_ref().map(|filter| Predicate::new(filter, scope)),
        scope: scope.clone(),
    }))
}

/// Rows per batch where `goal` rows will be read at most. A few more than that, for those that a filter drops.
fn batch_rows(goal: Option<u64>) -> usize {
    goal.map_or(BATCH_ROWS, |goal| (goal as usize).saturating_mul(2).clamp(16, BATCH_ROWS))
}

/// A scan that takes no locks.
struct TableScan<'q> {
    scan: &'q Scan,
    source: Source,
    filter: Option<Predicate<'q>>,
    scope: Scope<'q>,
}

#[async_trait]
impl Operator for TableScan<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        while let Some(stored) = self.source.next().await? {
            self.scope.execution.check()?;
            let mut rows = decode(self.scan, &stored, &self.scope)?;
            if let Some(filter) = &mut self.filter {
                filter.retain(&mut rows).await?;
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
            tokio::task::consume_budget().await;
        }
        Ok(None)
    }
}

fn decode(scan: &Scan, stored: &[StoredRow], scope: &Scope<'_>) -> Result<Vec<Row>, SqlError> {
    let zone = scope.eval.time_zone;
    stored.iter().map(|row| codec::decode_row(&scan.table, &scan.columns, &row.row, zone)).collect()
}

/// A table that is made up when it is read.
pub struct VirtualRows<'q> {
    scan: &'q VirtualScan,
    rows: Option<std::vec::IntoIter<Row>>,
    memory: Reservation,
    scope: Scope<'q>,
}

impl<'q> VirtualRows<'q> {
    pub fn new(scan: &'q VirtualScan, scope: &Scope<'q>) -> VirtualRows<'q> {
        VirtualRows { scan, rows: None, memory: Reservation::new(&scope.execution.memory), scope: scope.clone() }
    }
}

#[async_trait]
impl Operator for VirtualRows<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        if self.rows.is_none() {
            let context = &self.scope.execution.context;
            let VirtualScan { database, table, columns, .. } = self.scan;
            let rows = context.virtual_tables.rows(database, table, columns, &context.catalog).await?;
            self.memory.grow_rows(&rows)?;
            self.rows = Some(rows.into_iter());
        }
        let Some(rows) = &mut self.rows else { return Ok(None) };
        let columns = &self.scan.columns;
        let batch: Vec<Row> = rows
            .by_ref()
            .take(BATCH_ROWS)
            .map(|row| columns.iter().map(|&column| row.get(column).cloned().unwrap_or_default()).collect())
            .collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
