//! What EXPLAIN ANALYZE measures: rows, loops and time of each operator, its inputs included.

use crate::execute::row::operator::{BoxOperator, Operator};
use crate::sql::plan::explain::tree::Measured;
use async_trait::async_trait;
use expr::SqlError;
use expr::value::Row;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// By the address of the node, which stays where it is while its query runs.
#[derive(Debug, Default)]
pub struct Profile {
    nodes: Mutex<HashMap<usize, Measured>>,
}

impl Profile {
    pub fn of(&self, node: usize) -> Option<Measured> {
        self.nodes.lock().get(&node).copied()
    }

    /// An operator that is measured.
    pub fn around<'q>(self: &Arc<Self>, node: usize, inner: BoxOperator<'q>) -> BoxOperator<'q> {
        self.nodes.lock().entry(node).or_default().loops += 1;
        Box::new(Profiled { inner, node, profile: self.clone(), spent: Duration::ZERO, first: None, rows: 0 })
    }
}

struct Profiled<'q> {
    inner: BoxOperator<'q>,
    node: usize,
    profile: Arc<Profile>,
    spent: Duration,
    first: Option<Duration>,
    rows: u64,
}

#[async_trait]
impl Operator for Profiled<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        let began = Instant::now();
        let batch = self.inner.next().await;
        self.spent += began.elapsed();
        if let Ok(Some(rows)) = &batch {
            self.rows += rows.len() as u64;
            self.first.get_or_insert(self.spent);
        }
        batch
    }
}

impl Drop for Profiled<'_> {
    fn drop(&mut self) {
        let mut nodes = self.profile.nodes.lock();
        let measured = nodes.entry(self.node).or_default();
        measured.rows += self.rows;
        measured.first_ms += self.first.unwrap_or(self.spent).as_secs_f64() * 1e3;
        measured.total_ms += self.spent.as_secs_f64() * 1e3;
    }
}
