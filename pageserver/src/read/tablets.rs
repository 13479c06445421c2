//! Scans over several tablets: one after the other in reading order, as one stream; aggregates put together.
//!
//! All snapshots are taken before the first row is read, so that splits and merges meanwhile change nothing.

use super::aggregate::refused;
use super::scan;
use crate::metrics::Metrics;
use crate::tablet::Snapshot;
use common::key::KeyRange;
use common::service::page::{Aggregates, Direction, PageError, ScanBatch, ScanOutput, ScanRequest};
use expr::partial::PartialState;
use futures::stream::{self, BoxStream, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;

type Batches = BoxStream<'static, Result<ScanBatch, PageError>>;
/// A tablet's snapshot and what to read of it.
type Part = (Arc<Snapshot>, Vec<KeyRange>);

struct Parts {
    current: Option<Batches>,
    /// In reading order.
    rest: VecDeque<Part>,
    metrics: Arc<Metrics>,
    request: ScanRequest,
    /// Of the request's limit.
    rows_left: u64,
}

/// `parts` are in key order.
pub fn scan(parts: Vec<Part>, metrics: Arc<Metrics>, request: ScanRequest) -> Batches {
    let mut rest: VecDeque<Part> = parts.into();
    if rest.len() == 1
        && let Some((snapshot, ranges)) = rest.pop_front()
    {
        return scan::scan(snapshot, metrics, ScanRequest { ranges, ..request });
    }
    if let ScanOutput::Aggregates(wanted) = &request.output {
        let wanted = wanted.clone();
        return stream::once(put_together(rest, metrics, request, wanted)).boxed();
    }
    if request.direction == Direction::Backward {
        rest = rest.into_iter().rev().collect();
    }
    let rows_left = request.limit.unwrap_or(u64::MAX);
    let parts = Parts { current: None, rest, metrics, request, rows_left };
    stream::unfold(Some(parts), |parts| async move {
        let mut parts = parts?;
        let batch = parts.next().await?;
        let parts = batch.is_ok().then_some(parts);
        Some((batch, parts))
    })
    .boxed()
}

async fn put_together(
    parts: VecDeque<Part>,
    metrics: Arc<Metrics>,
    request: ScanRequest,
    wanted: Aggregates,
) -> Result<ScanBatch, PageError> {
    let mut states: Vec<PartialState> = wanted.calls.iter().map(PartialState::new).collect();
    for (snapshot, ranges) in parts {
        let mut batches = scan::scan(snapshot, metrics.clone(), ScanRequest { ranges, ..request.clone() });
        while let Some(batch) = batches.next().await {
            let ScanBatch::Aggregates(values) = batch? else { continue };
            states.iter_mut().zip(&values).try_for_each(|(state, value)| state.merge(value)).map_err(refused)?;
        }
    }
    Ok(ScanBatch::Aggregates(states.into_iter().map(PartialState::finish).collect()))
}

impl Parts {
    async fn next(&mut self) -> Option<Result<ScanBatch, PageError>> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(batch) = current.next().await
            {
                if let Ok(batch) = &batch {
                    self.rows_left = self.rows_left.saturating_sub(rows(batch));
                }
                return Some(batch);
            }
            if self.rows_left == 0 {
                return None;
            }
            let (snapshot, ranges) = self.rest.pop_front()?;
            if self.current.is_some() {
                // As a scan does before each batch but the first.
                tokio::task::yield_now().await;
            }
            let limit = self.request.limit.map(|_| self.rows_left);
            let request = ScanRequest { ranges, limit, ..self.request.clone() };
            self.current = Some(scan::scan(snapshot, self.metrics.clone(), request));
        }
    }
}

fn rows(batch: &ScanBatch) -> u64 {
    match batch {
        ScanBatch::Rows(rows) => rows.len() as u64,
        ScanBatch::Columns(columns) => columns.num_rows() as u64,
        ScanBatch::Aggregates(_) => 0,
    }
}
