//! Index lookups for many left rows of a join at once.

use crate::execute::codec;
use crate::execute::row::operator::Scope;
use crate::execute::row::scan::access::{self, Target};
use crate::sql::plan::{Access, Node, Scan};
use crate::txn::read_view::ViewScan;
use common::key::{Key, KeyRange};
use common::service::page::{Direction, ScanBatch, ScanOutput, ScannedRow};
use expr::value::Row;
use expr::{Expression, SqlError};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;

/// Left rows whose lookups travel together.
pub const BATCH_KEYS: usize = 256;

/// A join's right side that is one scan by keys of the left row.
#[derive(Clone)]
pub struct Lookups<'q> {
    scan: &'q Scan,
}

impl<'q> Lookups<'q> {
    /// `None` if the node is anything else, or locks rows.
    pub fn new(node: &'q Node) -> Option<Lookups<'q>> {
        match node {
            Node::Scan(scan) if scan.lock.is_none() && !matches!(scan.access, Access::Full) => Some(Lookups { scan }),
            _ => None,
        }
    }

    /// What the rows found must meet, seen from the left row.
    pub fn filter(&self) -> Option<&'q Expression> {
        self.scan.filter.as_ref()
    }

    /// For each left row, the rows found for it; `None` if they must be looked up one by one.
    pub async fn read(&self, lefts: &[Arc<Row>], scope: &Scope<'q>) -> Result<Option<Vec<Vec<Row>>>, SqlError> {
        let mut ranges = Vec::new();
        let mut points = Vec::new();
        for (left, row) in lefts.iter().enumerate() {
            match access::target(self.scan, &scope.lateral(row.clone()))? {
                Target::Nothing => {}
                Target::Keys { keys, .. } => points.extend(keys.into_iter().map(|key| (key, left))),
                Target::Range { descending: true, .. } => return Ok(None),
                Target::Range { range, .. } => ranges.push((range, left)),
            }
        }
        let mut found = vec![Vec::new(); lefts.len()];
        if !points.is_empty() {
            self.read_points(points, &mut found, scope).await?;
        }
        if !ranges.is_empty() && !self.read_ranges(ranges, &mut found, scope).await? {
            return Ok(None);
        }
        Ok(Some(found))
    }

    fn index(&self) -> usize {
        match self.scan.access {
            Access::Full => 0,
            Access::Point { index, .. } | Access::Range { index, .. } => index,
        }
    }

    async fn read_points(
        &self,
        points: Vec<(Key, usize)>,
        found: &mut [Vec<Row>],
        scope: &Scope<'q>,
    ) -> Result<(), SqlError> {
        let mut keys: Vec<Key> = points.iter().map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let entries = access::read_keys(&scope.execution.context.view, keys).await?;
        let rows = self.rows(entries, scope).await?;
        for (key, left) in points {
            found[left].extend(rows.get(&key).cloned());
        }
        Ok(())
    }

    /// False if ranges overlap without being the same: then an entry would belong to several left rows.
    async fn read_ranges(
        &self,
        ranges: Vec<(KeyRange, usize)>,
        found: &mut [Vec<Row>],
        scope: &Scope<'q>,
    ) -> Result<bool, SqlError> {
        let mut distinct: Vec<KeyRange> = ranges.iter().map(|(range, _)| range.clone()).collect();
        distinct.sort_unstable_by(|left, right| left.start.cmp(&right.start));
        distinct.dedup();
        if distinct.windows(2).any(|pair| pair[0].overlaps(&pair[1])) {
            return Ok(false);
        }
        let view = &scope.execution.context.view;
        let mut batches = view.scan(ViewScan {
            ranges: distinct.clone(),
            direction: Direction::Forward,
            limit: None,
            output: ScanOutput::Rows,
            bounds: Vec::new(),
            batch_rows: super::BATCH_ROWS,
        });
        let mut of_range: Vec<Vec<Row>> = vec![Vec::new(); distinct.len()];
        while let Some(batch) = batches.next().await.transpose()? {
            scope.execution.check()?;
            let ScanBatch::Rows(entries) = batch else {
                return Err(SqlError::internal("asked for rows, got columns; report the page server's version"));
            };
            let keys: Vec<Key> = entries.iter().map(|entry| entry.key.clone()).collect();
            let mut rows = self.rows(entries, scope).await?;
            for key in keys {
                let range = distinct.partition_point(|range| range.start <= key).saturating_sub(1);
                if let Some(row) = rows.remove(&key) {
                    of_range[range].push(row);
                }
            }
        }
        for (range, left) in ranges {
            if let Ok(position) = distinct.binary_search_by(|other| other.start.cmp(&range.start)) {
                found[left].extend_from_slice(&of_range[position]);
            }
        }
        Ok(true)
    }

    /// Rows by the key of the entry that led to them.
    async fn rows(&self, entries: Vec<ScannedRow>, scope: &Scope<'q>) -> Result<HashMap<Key, Row>, SqlError> {
        let (table, index) = (&self.scan.table, self.index());
        let zone = scope.eval.time_zone;
        let decode = |row: &[u8]| codec::decode_row(table, &self.scan.columns, row, zone);
        if index == 0 || access::is_covered(self.scan, index) {
            return entries.into_iter().map(|entry| Ok((entry.key, decode(&entry.row)?))).collect();
        }
        let mut entry_of_row: HashMap<Key, Key> = HashMap::with_capacity(entries.len());
        for entry in &entries {
            entry_of_row.insert(codec::clustered_key_of_entry(table, &entry.row)?, entry.key.clone());
        }
        let stored = access::rows_of_entries(table, index, &scope.execution.context.view, entries).await?;
        let mut rows = HashMap::with_capacity(stored.len());
        for row in &stored {
            if let Some(entry) = entry_of_row.get(&row.key) {
                rows.insert(entry.clone(), decode(&row.row)?);
            }
        }
        Ok(rows)
    }
}
