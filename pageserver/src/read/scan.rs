//! Scans: a merge of memtables and layers in key order, in either direction.
//!
//! The merge goes by runs, not by rows: as far as one source alone has keys, its entries are handed on together, and a
//! whole block that nothing overlaps is one slice of decoded columns.

use super::aggregate::Aggregator;
use super::batch::BatchBuilder;
use super::source::{Next, Source};
use crate::metrics::Metrics;
use crate::tablet::Snapshot;
use common::key::{Key, KeyRange};
use common::service::page::{Direction, PageError, ScanBatch, ScanOutput, ScanRequest};
use futures::stream::{self, BoxStream, StreamExt};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

/// Units loaded in one turn, where they give no batch: bounds may leave few rows of many blocks.
const UNITS_PER_TURN: usize = 16;
/// Rows per batch, whatever was asked for.
const BATCH_ROWS_MAX: usize = 65_536;
/// Rows that are aggregated together, at least: a block's worth, so that single rows of many blocks are gathered first.
const AGGREGATED_ROWS_MIN: usize = 2048;

pub struct Scan {
    snapshot: Arc<Snapshot>,
    metrics: Arc<Metrics>,
    request: ScanRequest,
    ranges: VecDeque<KeyRange>,
    range: KeyRange,
    /// Newest first.
    sources: Vec<Source>,
    /// What each source has next; kept, because a step changes few of them.
    nexts: Vec<Next>,
    batch: BatchBuilder,
    /// Where aggregates are asked for: takes the batches.
    aggregator: Option<Aggregator>,
    batch_rows: usize,
    rows_left: u64,
    begun: bool,
    /// Units loaded since others had their turn.
    units: usize,
}

/// Runs a scan on a snapshot that has the request's LSN. Work is done as batches are asked for. Where more than the first
/// batch is left to be read, the stream is not ready at the second look; that it has ended it says at once.
pub fn scan(
    snapshot: Arc<Snapshot>,
    metrics: Arc<Metrics>,
    request: ScanRequest,
) -> BoxStream<'static, Result<ScanBatch, PageError>> {
    metrics.scans.inc();
    let mut ranges: VecDeque<KeyRange> = request.ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    if request.direction == Direction::Backward {
        ranges = ranges.into_iter().rev().collect();
    }
    let scan = Scan {
        batch: BatchBuilder::new(request.output.clone(), request.direction),
        aggregator: match &request.output {
            ScanOutput::Aggregates(wanted) => Some(Aggregator::new(wanted, &request.bounds)),
            _ => None,
        },
        batch_rows: match &request.output {
            ScanOutput::Aggregates(_) => AGGREGATED_ROWS_MIN,
            _ => request.batch_rows.clamp(1, BATCH_ROWS_MAX),
        },
        rows_left: request.limit.unwrap_or(u64::MAX),
        begun: false,
        units: 0,
        range: KeyRange::all(),
        sources: Vec::new(),
        nexts: Vec::new(),
        snapshot,
        metrics,
        request,
        ranges,
    };
    stream::unfold(Some(scan), |scan| async move {
        let mut scan = scan?;
        if scan.begun {
            // A consumer that always has room would otherwise keep its thread until the scan ends.
            tokio::task::yield_now().await;
        }
        scan.begun = true;
        match scan.next_batch().await {
            Ok((Some(batch), more)) => Some((Ok(batch), more.then_some(scan))),
            Ok((None, _)) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Scan {
    /// The next rows, and whether there may be more.
    async fn next_batch(&mut self) -> Result<(Option<ScanBatch>, bool), PageError> {
        loop {
            let more = self.fill_batch().await? && self.rows_left > 0;
            let Some(aggregator) = &mut self.aggregator else {
                let batch = if self.batch.rows() == 0 { None } else { Some(self.batch.finish()?) };
                return Ok((batch, more));
            };
            if self.batch.rows() > 0 {
                aggregator.add(&mut self.batch)?;
            }
            if !more {
                return Ok((self.aggregator.take().map(|mut aggregator| aggregator.finish()), false));
            }
        }
    }

    /// False where the scan ended before the batch was full.
    async fn fill_batch(&mut self) -> Result<bool, PageError> {
        while self.batch.rows() < self.batch_rows && !self.batch.is_full() && self.rows_left > 0 {
            if !self.step().await? && !self.open_next_range() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn open_next_range(&mut self) -> bool {
        let Some(range) = self.ranges.pop_front() else { return false };
        let direction = self.request.direction;
        let snapshot = &self.snapshot;
        let tables = std::iter::once(&snapshot.active).chain(snapshot.frozen.iter().map(|frozen| &frozen.table));
        let tables = tables.filter(|table| !table.is_empty());
        let memtables = tables.map(|table| Source::memtable(table.clone(), &range));
        let runs = snapshot.layers.runs(&range).into_iter().map(|layers| Source::layers(layers, &range, direction));
        self.sources = memtables.chain(runs).collect();
        self.nexts = self.sources.iter().map(|source| source.next(direction)).collect();
        self.range = range;
        true
    }

    /// One step of the merge: reads a unit, passes a block over, or hands on a run. False at the end of the range.
    async fn step(&mut self) -> Result<bool, PageError> {
        let direction = self.request.direction;
        let nexts = &self.nexts;
        let mut first: Option<usize> = None;
        for (at, next) in nexts.iter().enumerate() {
            if *next != Next::End && first.is_none_or(|best| before(next, &nexts[best], direction) == Ordering::Less) {
                first = Some(at);
            }
        }
        let Some(first) = first else { return Ok(false) };
        let Next::Key(key) = &nexts[first] else {
            self.load(first).await?;
            return Ok(true);
        };
        // Whoever may have the same key: it is read first if it was not, and passed over if it has it.
        let mut limit: Option<&Key> = None;
        let mut ties = Vec::new();
        for (at, next) in nexts.iter().enumerate().filter(|(at, _)| *at != first) {
            match before(&nexts[first], next, direction) {
                _ if *next == Next::End => {}
                Ordering::Less => {
                    let (Next::Key(other) | Next::Bound(other)) = next else { continue };
                    let nearer = |limit: &Key| before_key(other, limit, direction) == Ordering::Less;
                    if limit.is_none_or(nearer) {
                        limit = Some(other);
                    }
                }
                _ if matches!(next, Next::Bound(_)) => {
                    self.load(at).await?;
                    return Ok(true);
                }
                _ => ties.push(at),
            }
        }
        let key = key.clone();
        let limit = limit.cloned();
        if ties.is_empty() {
            self.hand_on(first, |unit, low, high| match (&limit, direction) {
                (None, _) => (low, high),
                (Some(limit), Direction::Forward) => (low, unit.lower_bound_near_low(limit, low, high)),
                (Some(limit), Direction::Backward) => {
                    let at = unit.lower_bound_near_high(limit, low, high);
                    let same = at < high && unit.key(at) == *limit;
                    (at + usize::from(same), high)
                }
            });
        } else {
            // Sources are ordered from new to old, and `first` is the first of those with this key.
            self.hand_on(first, |_, low, high| match direction {
                Direction::Forward => (low, low + 1),
                Direction::Backward => (high - 1, high),
            });
            for at in ties {
                self.pass_key(at, &key);
            }
        }
        Ok(true)
    }

    async fn load(&mut self, at: usize) -> Result<(), PageError> {
        let direction = self.request.direction;
        let (until, older) = self.sources.split_at_mut(at + 1);
        self.units += 1;
        if self.units.is_multiple_of(UNITS_PER_TURN) {
            tokio::task::yield_now().await;
        }
        let bounds = &self.request.bounds;
        if let Some(aggregator) = &mut self.aggregator
            && let Some((source, newer)) = until.split_last_mut()
            && let Some(entry) = source.plain_block(&self.range, self.request.lsn, newer.iter().chain(older.iter()))
            && aggregator.add_known(entry)?
        {
            source.pass_block();
            self.metrics.blocks_skipped.inc();
            self.nexts[at] = source.next(direction);
            return Ok(());
        }
        let Some(source) = until.last_mut() else { return Ok(()) };
        if bounds.is_empty() || !source.skip_excluded(bounds, older, &self.metrics) {
            source.load(&self.range, self.request.lsn, direction, bounds).await?;
        }
        self.nexts[at] = self.sources[at].next(direction);
        Ok(())
    }

    /// Hands on the entries that `choose` picks out of what is left, as far as the batch and the limit have room.
    fn hand_on(&mut self, at: usize, choose: impl Fn(&super::unit::Unit, usize, usize) -> (usize, usize)) {
        let room = match &self.aggregator {
            // A block is not cut in two.
            Some(_) => usize::MAX,
            None => (self.batch_rows - self.batch.rows()).min(usize::try_from(self.rows_left).unwrap_or(usize::MAX)),
        };
        let Some((unit, low, high)) = self.sources[at].unit.take() else { return };
        let (from, to) = choose(&unit, low, high);
        let rows_before = self.batch.rows();
        let used = self.batch.push(&unit, from, to, room);
        if self.aggregator.is_none() {
            self.rows_left -= (self.batch.rows() - rows_before) as u64;
        }
        self.keep(at, unit, low, high, used);
    }

    fn pass_key(&mut self, at: usize, key: &Key) {
        if let Some((unit, low, high)) = self.sources[at].unit.take() {
            let entry = if self.request.direction == Direction::Forward { low } else { high - 1 };
            assert_eq!(unit.key(entry), *key, "a tie is on the next key");
            self.keep(at, unit, low, high, 1);
        }
    }

    fn keep(&mut self, at: usize, unit: Arc<super::unit::Unit>, low: usize, high: usize, used: usize) {
        let (low, high) = match self.request.direction {
            Direction::Forward => (low + used, high),
            Direction::Backward => (low, high - used),
        };
        if low < high {
            self.sources[at].unit = Some((unit, low, high));
        }
        self.nexts[at] = self.sources[at].next(self.request.direction);
    }
}

/// Which of two sources comes first in reading order. A mere bound counts as its key.
fn before(a: &Next, b: &Next, direction: Direction) -> Ordering {
    match (a, b) {
        (Next::End, Next::End) => Ordering::Equal,
        (Next::End, _) => Ordering::Greater,
        (_, Next::End) => Ordering::Less,
        (Next::Key(a) | Next::Bound(a), Next::Key(b) | Next::Bound(b)) => before_key(a, b, direction),
    }
}

fn before_key(a: &Key, b: &Key, direction: Direction) -> Ordering {
    match direction {
        Direction::Forward => a.cmp(b),
        // An empty bound stands for "no upper bound": read before everything else.
        Direction::Backward => match (a.is_empty(), b.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => b.cmp(a),
        },
    }
}
