//! The page server's half: reads at an LSN.

use super::{FakeCluster, State};
use crate::execute::codec::columns_of_rows;
use async_trait::async_trait;
use bytes::Bytes;
use common::bulk::BulkLayer;
use common::id::{Lsn, TabletId};
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::page::*;
use expr::row_encoding::RowReader;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::BTreeMap;

fn version(state: &State, key: &Key, lsn: Lsn) -> Option<RowVersion> {
    let versions = state.versions.get(key)?;
    let (lsn, row) = versions.iter().rev().find(|(written, _)| *written <= lsn)?;
    Some(RowVersion { lsn: *lsn, row: row.clone()? })
}

impl State {
    fn put_bulk(&mut self, rows: BTreeMap<Key, Option<Bytes>>) -> Option<BulkLayer> {
        let (first, last) = (rows.keys().next()?.clone(), rows.keys().next_back()?.clone());
        let (count, sequence) = (rows.len() as u64, self.bulk.len() as u64);
        let tombstones = rows.values().filter(|row| row.is_none()).count() as u64;
        self.bulk.push(rows);
        let (home, generation, bytes, index_offset) = (TabletId(1), 1, 2, 1);
        Some(BulkLayer { home, generation, sequence, bytes, index_offset, first, last, rows: count, tombstones })
    }
}

#[async_trait]
impl PageService for FakeCluster {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        assert!(request.lsn <= self.newest(), "a read of the future");
        let state = self.state.lock();
        Ok(request.keys.iter().map(|key| version(&state, key, request.lsn)).collect())
    }

    async fn newest_versions(&self, keys: Vec<Key>, _applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        let state = self.state.lock();
        let newest = |key: &Key| state.versions.get(key).and_then(|versions| versions.last()).map(|(lsn, _)| *lsn);
        Ok(keys.iter().map(|key| newest(key).unwrap_or(Lsn::ZERO)).collect())
    }

    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        assert!(request.lsn <= self.newest(), "a read of the future");
        let keys_only = matches!(request.output, ScanOutput::Keys);
        let mut rows: Vec<ScannedRow> = {
            let state = self.state.lock();
            let ranges = request.ranges.iter();
            let keys = ranges.flat_map(|range| state.versions.keys().filter(move |key| range.contains(key)));
            let versions = keys.filter_map(|key| Some((key, version(&state, key, request.lsn)?)));
            let scanned = versions.map(|(key, version)| ScannedRow {
                key: key.clone(),
                lsn: version.lsn,
                row: if keys_only { Bytes::new() } else { version.row },
            });
            scanned.collect()
        };
        if request.direction == Direction::Backward {
            rows.reverse();
        }
        rows.truncate(request.limit.unwrap_or(u64::MAX).min(usize::MAX as u64) as usize);
        if let ScanOutput::Aggregates(wanted) = &request.output {
            let values = |row: ScannedRow| {
                let reader = RowReader::new(&row.row).expect("stored rows are sound");
                let column = |column: &ScanColumn| {
                    reader.get(column.column).map_or_else(|| column.default.clone(), |value| value.to_owned())
                };
                wanted.columns.iter().map(column).collect()
            };
            let answer = expr::partial::of_rows(wanted, &request.bounds, rows.into_iter().map(values));
            let answer = answer.map(ScanBatch::Aggregates).map_err(|error| PageError::BadRequest(error.to_string()));
            return Ok(futures::stream::iter([answer]).boxed());
        }
        let batch = |rows: &[ScannedRow]| match &request.output {
            ScanOutput::Columns(columns) => columns_of_rows(rows, columns)
                .map(ScanBatch::Columns)
                .map_err(|error| PageError::BadRequest(error.message)),
            _ => Ok(ScanBatch::Rows(rows.to_vec())),
        };
        let batches: Vec<_> = rows.chunks(request.batch_rows.max(1)).map(batch).collect();
        Ok(futures::stream::iter(batches).boxed())
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        let rows = self.rows();
        let inside = rows.iter().filter(|(key, _)| range.contains(key));
        let bytes = inside.clone().map(|(key, row)| (key.len() + row.len()) as u64).sum();
        Ok(RangeEstimate { rows: inside.count() as u64, bytes })
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        Ok(self.newest())
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        Ok(PageStatus {
            applied: self.newest(),
            durable: self.newest(),
            tablets: Vec::new(),
            layers: 0,
            layer_bytes: 0,
            memtable_bytes: 0,
            cache_memory_bytes: 0,
        })
    }

    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "bulk rows ascend");
        Ok(self.state.lock().put_bulk(rows.into_iter().collect()).into_iter().collect())
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        let mut state = self.state.lock();
        let mut all = BTreeMap::new();
        for layer in &layers {
            for (key, row) in state.bulk[layer.sequence as usize].clone() {
                if all.insert(key.clone(), row).is_some() {
                    return Ok(BulkFinished::Duplicate(key));
                }
            }
        }
        Ok(BulkFinished::Ready(state.put_bulk(all).into_iter().collect()))
    }
}
