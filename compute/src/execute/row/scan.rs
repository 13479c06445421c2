//! Reading tables: the clustered index, a secondary index with the rows it points to, exact keys, made-up tables.

pub mod access;
mod locking;
pub mod lookup;

use crate::execute::codec;
use crate::execute::query_memory::Reservation;
use crate::execute::row::evaluate::Predicate;
use crate::execute::row::operator::{BATCH_ROWS, BoxOperator, Operator, Scope};
use crate::sql::plan::{Scan, VirtualScan};
use crate::txn::ReadView;
use crate::txn::read_view::ViewScan;
use access::{Source, StoredRow, Target};
use async_trait::async_trait;
use common::key::KeyRange;
use common::service::page::{Direction, ScanBatch, ScanOutput};
use expr::SqlError;
use expr::value::Row;
use futures::StreamExt;
use futures::stream::BoxStream;

/// As many rows are put together for less than their columns.
const FEW_ROWS: u64 = 8;

pub fn open<'q>(scan: &'q Scan, scope: &Scope<'q>, goal: Option<u64>) -> Result<BoxOperator<'q>, SqlError> {
    if let Some(lock) = scan.lock
        && let Some(locker) = scope.execution.context.locker.clone()
    {
        return Ok(Box::new(locking::LockingScan::new(scan, lock, locker, goal, scope)));
    }
    // Rows that the filter drops do not count towards the goal.
    let limit = goal.filter(|_| scan.filter.is_none());
    let view = &scope.execution.context.view;
    let source = match access::target(scan, scope)? {
        Target::Range { index, range, descending } if reads_columns(scan, index, &range, goal, view) => {
            let columns = codec::scan_columns(&scan.table, &scan.columns)?;
            let direction = if descending { Direction::Backward } else { Direction::Forward };
            let wanted = ViewScan {
                direction,
                limit,
                output: ScanOutput::Columns(columns),
                batch_rows: batch_rows(goal),
                ..ViewScan::rows(vec![range])
            };
            Batches::Columns(view.scan(wanted))
        }
        target => Batches::Rows(access::source(scan, target, view, limit, batch_rows(goal))),
    };
    Ok(Box::new(TableScan {
        scan,
        source,
        filter: scan.filter.as_ref().map(|filter| Predicate::new(filter, scope)),
        scope: scope.clone(),
    }))
}

/// Whether a range is read as columns: what a page server has is handed on, instead of rows that are put together there
/// and taken apart here. Not where few rows are wanted, nor where rows are needed to merge own writes into them.
fn reads_columns(scan: &Scan, index: usize, range: &KeyRange, goal: Option<u64>, view: &ReadView) -> bool {
    (index == 0 || access::is_covered(scan, index))
        && goal.is_none_or(|goal| goal > FEW_ROWS)
        && !view.has_own_writes(std::slice::from_ref(range))
}

/// Rows per batch where `goal` rows will be read at most. A few more than that, for those that a filter drops.
fn batch_rows(goal: Option<u64>) -> usize {
    goal.map_or(BATCH_ROWS, |goal| (goal as usize).saturating_mul(2).clamp(16, BATCH_ROWS))
}

/// A scan that takes no locks.
struct TableScan<'q> {
    scan: &'q Scan,
    source: Batches,
    filter: Option<Predicate<'q>>,
    scope: Scope<'q>,
}

enum Batches {
    Rows(Source),
    Columns(BoxStream<'static, Result<ScanBatch, SqlError>>),
}

impl TableScan<'_> {
    async fn next_rows(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        match &mut self.source {
            Batches::Rows(source) => {
                let Some(stored) = source.next().await? else { return Ok(None) };
                decode(self.scan, &stored, &self.scope).map(Some)
            }
            Batches::Columns(batches) => match batches.next().await.transpose()? {
                None => Ok(None),
                Some(ScanBatch::Columns(batch)) => {
                    let Scan { table, columns, .. } = self.scan;
                    codec::rows_of_columns(table, columns, &batch, self.scope.eval.time_zone).map(Some)
                }
                Some(ScanBatch::Rows(_) | ScanBatch::Aggregates(_)) => {
                    Err(SqlError::internal("asked for columns, got something else; report the page server's version"))
                }
            },
        }
    }
}

#[async_trait]
impl Operator for TableScan<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        while let Some(mut rows) = self.next_rows().await? {
            self.scope.execution.check()?;
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
