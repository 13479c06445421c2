//! From a scan's access to the stored rows it finds, before any filter.

use crate::catalog::TableDef;
use crate::execute::codec::{self, Edge};
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::operator::Scope;
use crate::sql::plan::{Access, Scan};
use crate::txn::read_view::{ReadView, ViewScan};
use bytes::Bytes;
use common::key::{Key, KeyRange};
use common::service::page::{Direction, ScanBatch, ScanOutput, ScannedRow};
use expr::mysql_type::MysqlType;
use expr::value::Value;
use expr::{Expression, SqlError};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;

/// Keys per request where rows are looked up by key.
const LOOKUP_KEYS: usize = 1000;

/// A stored row that has the columns a scan wants: of the clustered index, or an index entry that has them all.
pub struct StoredRow {
    pub key: Key,
    pub row: Bytes,
}

/// Stored rows of a table, a batch at a time.
pub struct Source {
    table: Arc<TableDef>,
    /// Entries of the index have all that is wanted.
    covered: bool,
    /// Position in the table's indexes of the index that is read.
    index: usize,
    view: ReadView,
    state: State,
}

enum State {
    Ranges(BoxStream<'static, Result<ScanBatch, SqlError>>),
    Keys(std::vec::IntoIter<Key>),
}

/// What an access asks for, with its expressions evaluated.
pub enum Target {
    /// In the clustered index, or in a unique one.
    Keys {
        index: usize,
        keys: Vec<Key>,
    },
    Range {
        index: usize,
        range: KeyRange,
        descending: bool,
    },
    /// A comparison with NULL.
    Nothing,
}

/// Evaluates an access. Its expressions read nothing of the scan's own rows.
pub fn target<'q>(scan: &'q Scan, scope: &Scope<'q>) -> Result<Target, SqlError> {
    let table = &*scan.table;
    let zone = scope.eval.time_zone;
    Ok(match &scan.access {
        Access::Full => {
            Target::Range { index: 0, range: KeyRange::index(table.id, table.clustered().id), descending: false }
        }
        Access::Point { index, keys } => {
            let mut encoded = Vec::with_capacity(keys.len());
            for parts in keys {
                if let Some(values) = values(parts, scope)?
                    && let Some(key) = codec::unique_key(table, &table.indexes[*index], &values, zone)?
                {
                    encoded.push(key);
                }
            }
            // In the order of the index, each row once: `a IN (2, 1, 2)`.
            encoded.sort_unstable();
            encoded.dedup();
            Target::Keys { index: *index, keys: encoded }
        }
        Access::Range { index, prefix, low, high, descending } => {
            let types: Vec<MysqlType> = prefix.iter().map(Expression::ty).collect();
            let Some(mut prefix) = values(prefix, scope)? else { return Ok(Target::Nothing) };
            let mut edges = [None, None];
            for (edge, bound) in edges.iter_mut().zip([low, high]) {
                if let Some(bound) = bound {
                    let value = Evaluator::new(&bound.value, scope).eval_simple(&[])?;
                    if value.is_null() {
                        return Ok(Target::Nothing);
                    }
                    *edge = Some(Edge { value, inclusive: bound.inclusive });
                }
            }
            codec::widen(table, &table.indexes[*index], &mut prefix, &types, &mut edges, zone)?;
            let [low, high] = edges;
            match codec::index_range(table, &table.indexes[*index], &prefix, low.as_ref(), high.as_ref(), zone)? {
                Some(range) => Target::Range { index: *index, range, descending: *descending },
                None => Target::Nothing,
            }
        }
    })
}

/// Values of key expressions; `None` if one is NULL and so equals nothing. The literal NULL stands for IS NULL.
fn values<'q>(expressions: &'q [Expression], scope: &Scope<'q>) -> Result<Option<Vec<Value>>, SqlError> {
    let mut values = Vec::with_capacity(expressions.len());
    for expression in expressions {
        let value = Evaluator::new(expression, scope).eval_simple(&[])?;
        if value.is_null() && !matches!(expression, Expression::Literal { .. }) {
            return Ok(None);
        }
        values.push(value);
    }
    Ok(Some(values))
}

/// The rows of a scan at a view. `limit`: how many are wanted at most.
pub fn source(scan: &Scan, target: Target, view: &ReadView, limit: Option<u64>, batch_rows: usize) -> Source {
    let (index, state) = match target {
        Target::Nothing => (0, State::Keys(Vec::new().into_iter())),
        Target::Keys { index, keys } => (index, State::Keys(keys.into_iter())),
        Target::Range { index, range, descending } => {
            let direction = if descending { Direction::Backward } else { Direction::Forward };
            let state = State::Ranges(view.scan(ViewScan {
                ranges: vec![range],
                direction,
                limit,
                output: ScanOutput::Rows,
                bounds: Vec::new(),
                batch_rows,
            }));
            (index, state)
        }
    };
    // Rows that are locked are read whole: what is locked is the row, not the entry.
    let covered = scan.lock.is_none() && is_covered(scan, index);
    Source { table: scan.table.clone(), covered, index, view: view.clone(), state }
}

/// True if the entries of a secondary index have every column that a scan wants.
pub fn is_covered(scan: &Scan, index: usize) -> bool {
    index != 0 && codec::is_covered(&scan.table, &scan.table.indexes[index], &scan.columns)
}

impl Source {
    /// Whole rows of a range of an index.
    pub fn of_range(
        table: Arc<TableDef>,
        index: usize,
        range: KeyRange,
        direction: Direction,
        limit: Option<u64>,
        view: &ReadView,
    ) -> Source {
        let scan = ViewScan { direction, limit, ..ViewScan::rows(vec![range]) };
        Source { table, covered: false, index, view: view.clone(), state: State::Ranges(view.scan(scan)) }
    }

    /// The keys of the next entries, each with its row if that is still there.
    pub async fn next_with_entries(&mut self) -> Result<Option<(Vec<Key>, Vec<Option<StoredRow>>)>, SqlError> {
        let State::Ranges(batches) = &mut self.state else { return Ok(None) };
        let entries = match batches.next().await.transpose()? {
            None => return Ok(None),
            Some(ScanBatch::Rows(rows)) => rows,
            Some(ScanBatch::Columns(_) | ScanBatch::Aggregates(_)) => {
                return Err(SqlError::internal("asked for rows, got something else; report the page server's version"));
            }
        };
        let keys: Vec<Key> = entries.iter().map(|entry| entry.key.clone()).collect();
        if self.index == 0 {
            return Ok(Some((keys, entries.into_iter().map(|entry| Some(StoredRow::from(entry))).collect())));
        }
        let clustered = entries
            .iter()
            .map(|entry| codec::clustered_key_of_entry(&self.table, &entry.row))
            .collect::<Result<Vec<Key>, SqlError>>()?;
        let versions = self.view.get(clustered.clone()).await?;
        let rows = clustered.into_iter().zip(versions);
        let rows = rows.map(|(key, version)| version.map(|version| StoredRow { key, row: version.row })).collect();
        Ok(Some((keys, rows)))
    }

    /// The next rows; an empty batch is possible, `None` is the end.
    pub async fn next(&mut self) -> Result<Option<Vec<StoredRow>>, SqlError> {
        let entries = match &mut self.state {
            State::Ranges(batches) => match batches.next().await.transpose()? {
                None => return Ok(None),
                Some(ScanBatch::Rows(rows)) => rows,
                Some(ScanBatch::Columns(_) | ScanBatch::Aggregates(_)) => {
                    return Err(SqlError::internal(
                        "asked for rows, got something else; report the page server's version",
                    ));
                }
            },
            State::Keys(keys) => {
                let keys: Vec<Key> = keys.by_ref().take(LOOKUP_KEYS).collect();
                if keys.is_empty() {
                    return Ok(None);
                }
                read_keys(&self.view, keys).await?
            }
        };
        if self.covered {
            return Ok(Some(entries.into_iter().map(StoredRow::from).collect()));
        }
        rows_of_entries(&self.table, self.index, &self.view, entries).await.map(Some)
    }
}

/// What is stored under keys; keys without a row are left out.
pub async fn read_keys(view: &ReadView, keys: Vec<Key>) -> Result<Vec<ScannedRow>, SqlError> {
    let versions = view.get(keys.clone()).await?;
    Ok(keys
        .into_iter()
        .zip(versions)
        .filter_map(|(key, version)| version.map(|version| ScannedRow { key, lsn: version.lsn, row: version.row }))
        .collect())
}

/// The rows that entries of an index stand for, in the order of the entries.
pub async fn rows_of_entries(
    table: &TableDef,
    index: usize,
    view: &ReadView,
    entries: Vec<ScannedRow>,
) -> Result<Vec<StoredRow>, SqlError> {
    if index == 0 {
        return Ok(entries.into_iter().map(StoredRow::from).collect());
    }
    let keys = entries
        .iter()
        .map(|entry| codec::clustered_key_of_entry(table, &entry.row))
        .collect::<Result<Vec<Key>, SqlError>>()?;
    let rows = read_keys(view, keys).await?;
    Ok(rows.into_iter().map(StoredRow::from).collect())
}

impl From<ScannedRow> for StoredRow {
    fn from(entry: ScannedRow) -> StoredRow {
        StoredRow { key: entry.key, row: entry.row }
    }
}
