//! DISTINCT: the first of rows that compare equal.

use crate::execute::query_memory::Reservation;
use crate::execute::row::keys::row_key;
use crate::execute::row::operator::{BoxOperator, Operator, Scope, open};
use crate::execute::row::shape;
use crate::sql::plan::Node;
use async_trait::async_trait;
use expr::SqlError;
use expr::mysql_type::MysqlType;
use expr::value::Row;
use std::collections::HashSet;

pub struct Distinct<'q> {
    input: BoxOperator<'q>,
    seen: Seen,
    scope: Scope<'q>,
}

impl<'q> Distinct<'q> {
    pub fn new(input: &'q Node, scope: &Scope<'q>) -> Result<Distinct<'q>, SqlError> {
        let seen = Seen::new(shape::types(input), scope);
        Ok(Distinct { input: open(input, scope, None)?, seen, scope: scope.clone() })
    }
}

#[async_trait]
impl Operator for Distinct<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        while let Some(mut batch) = self.input.next().await? {
            self.scope.execution.check()?;
            self.seen.retain_new(&mut batch)?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            tokio::task::consume_budget().await;
        }
        Ok(None)
    }
}

/// Rows seen so far, as keys under which equal rows are the same.
pub struct Seen {
    types: Vec<MysqlType>,
    keys: HashSet<Vec<u8>>,
    memory: Reservation,
}

impl Seen {
    pub fn new(types: Vec<MysqlType>, scope: &Scope<'_>) -> Seen {
        Seen { types, keys: HashSet::new(), memory: Reservation::new(&scope.execution.memory) }
    }

    /// True if no equal row was there before.
    pub fn insert(&mut self, row: &Row) -> Result<bool, SqlError> {
        let key = row_key(row, &self.types)?;
        let bytes = key.len() + 2 * size_of::<Vec<u8>>();
        let new = self.keys.insert(key);
        if new {
            self.memory.grow(bytes)?;
        }
        Ok(new)
    }

    pub fn retain_new(&mut self, rows: &mut Vec<Row>) -> Result<(), SqlError> {
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            if self.insert(&row)? {
                kept.push(row);
            }
        }
        *rows = kept;
        Ok(())
    }
}
