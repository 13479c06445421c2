//! JSON_TABLE: the document is evaluated once, for the rows around it.

use crate::execute::query_memory::Reservation;
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::operator::{BATCH_ROWS, Operator, Scope};
use crate::sql::plan::JsonTable;
use async_trait::async_trait;
use expr::SqlError;
use expr::value::Row;

pub struct JsonRows<'q> {
    table: &'q JsonTable,
    scope: Scope<'q>,
    /// What is left of the rows, once they are known.
    rows: Option<std::vec::IntoIter<Row>>,
    memory: Reservation,
}

impl<'q> JsonRows<'q> {
    pub fn new(table: &'q JsonTable, scope: &Scope<'q>) -> JsonRows<'q> {
        let memory = Reservation::new(&scope.execution.memory);
        JsonRows { table, scope: scope.clone(), rows: None, memory }
    }
}

#[async_trait]
impl Operator for JsonRows<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        self.scope.execution.check()?;
        if self.rows.is_none() {
            let document = Evaluator::new(&self.table.document, &self.scope).eval(&[]).await?;
            let rows = self.table.table.rows(&document, &self.scope.eval)?;
            self.memory.grow_rows(&rows)?;
            self.rows = Some(rows.into_iter());
        }
        let batch: Vec<Row> = self.rows.iter_mut().flatten().take(BATCH_ROWS).collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
