//! Merges a transaction's own writes into a scan of committed rows, in key order.
//!
//! Own writes hide stored rows of the same key; deleted ones disappear. Columns are made from rows here, because a
//! column batch of the page server carries no keys to merge by.

use crate::execute::codec::columns_of_rows;
use crate::txn::ViewScan;
use crate::txn::spill::{HeldRow, load_all};
use bytes::Bytes;
use common::id::Lsn;
use common::key::Key;
use common::service::page::{Direction, ScanBatch, ScanOutput, ScannedRow};
use expr::SqlError;
use futures::stream::{BoxStream, StreamExt};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Own rows that are read from the transaction's file at a time.
const OWN_LOADED: usize = 512;

struct Merge {
    stored: BoxStream<'static, Result<ScanBatch, SqlError>>,
    stored_ended: bool,
    stored_rows: VecDeque<ScannedRow>,
    /// The first ones are in memory, if rows are wanted.
    own: VecDeque<(Key, Option<HeldRow>)>,
    lsn: Lsn,
    direction: Direction,
    output: ScanOutput,
    batch_rows: usize,
    remaining: u64,
}

/// `stored` must give [`ScanBatch::Rows`]; `own` is in the order of the scan.
pub fn merge(
    stored: BoxStream<'static, Result<ScanBatch, SqlError>>,
    own: Vec<(Key, Option<HeldRow>)>,
    lsn: Lsn,
    scan: ViewScan,
) -> BoxStream<'static, Result<ScanBatch, SqlError>> {
    let merge = Merge {
        stored,
        stored_ended: false,
        stored_rows: VecDeque::new(),
        own: own.into(),
        lsn,
        direction: scan.direction,
        output: scan.output,
        batch_rows: scan.batch_rows.max(1),
        remaining: scan.limit.unwrap_or(u64::MAX),
    };
    futures::stream::try_unfold(merge, |mut merge| async move {
        let rows = merge.next_rows().await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let batch = match &merge.output {
            ScanOutput::Columns(columns) => ScanBatch::Columns(columns_of_rows(&rows, columns)?),
            _ => ScanBatch::Rows(rows),
        };
        Ok(Some((batch, merge)))
    })
    .boxed()
}

impl Merge {
    /// The next batch; empty at the end.
    async fn next_rows(&mut self) -> Result<Vec<ScannedRow>, SqlError> {
        let mut rows = Vec::new();
        while rows.len() < self.batch_rows && self.remaining > 0 {
            let Some(row) = self.next_row().await? else { break };
            rows.push(row);
            self.remaining -= 1;
        }
        Ok(rows)
    }

    async fn next_row(&mut self) -> Result<Option<ScannedRow>, SqlError> {
        loop {
            self.fill().await?;
            let order = match (self.stored_rows.front(), self.own.front()) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(stored), Some((key, _))) => match self.direction {
                    Direction::Forward => stored.key.cmp(key),
                    Direction::Backward => key.cmp(&stored.key),
                },
            };
            if order == Ordering::Less {
                return Ok(self.stored_rows.pop_front());
            }
            if order == Ordering::Equal {
                self.stored_rows.pop_front();
            }
            let keys_only = matches!(self.output, ScanOutput::Keys);
            if !keys_only {
                self.load_own().await?;
            }
            if let Some((key, Some(row))) = self.own.pop_front() {
                let row = if keys_only { Bytes::new() } else { row.load()? };
                return Ok(Some(ScannedRow { key, lsn: self.lsn, row }));
            }
        }
    }

    /// Afterwards the next own row is in memory.
    async fn load_own(&mut self) -> Result<(), SqlError> {
        if !matches!(self.own.front(), Some((_, Some(HeldRow::File { .. })))) {
            return Ok(());
        }
        let rows = self.own.iter().take(OWN_LOADED).map(|(_, row)| row.clone()).collect();
        for ((_, place), row) in self.own.iter_mut().zip(load_all(rows).await?) {
            *place = row.map(HeldRow::Memory);
        }
        Ok(())
    }

    /// Afterwards there is a stored row at hand or none is left.
    async fn fill(&mut self) -> Result<(), SqlError> {
        while self.stored_rows.is_empty() && !self.stored_ended {
            match self.stored.next().await {
                Some(batch) => match batch? {
                    ScanBatch::Rows(rows) => self.stored_rows = rows.into(),
                    ScanBatch::Columns(_) | ScanBatch::Aggregates(_) => {
                        return Err(SqlError::internal("The page server gave no rows where rows were asked for"));
                    }
                },
                None => self.stored_ended = true,
            }
        }
        Ok(())
    }
}
