//! WITH RECURSIVE: rounds, each over the rows that the round before gave.
//!
//! Both rounds' rows count as the query's memory: those that are read, and those that are given. Recursive parts read them
//! a batch at a time and hold no copy.

use crate::execute::query_memory::Reservation;
use crate::execute::row::distinct::Seen;
use crate::execute::row::operator::{BoxOperator, Operator, Scope, open};
use crate::execute::row::shape;
use crate::sql::plan::Node;
use async_trait::async_trait;
use expr::eval::EvalContext;
use expr::mysql_type::MysqlType;
use expr::store::store;
use expr::value::Row;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

pub struct RecursiveCte<'q> {
    id: usize,
    names: &'q [String],
    /// Of the anchor: what the rounds give is stored in columns of these.
    types: Vec<MysqlType>,
    recursive: &'q Node,
    /// Of the round that runs.
    round: BoxOperator<'q>,
    rounds_done: u64,
    /// What the round has given so far, in batches: the next round's input.
    given: Vec<Vec<Row>>,
    /// Of `given`.
    given_memory: Reservation,
    /// Of what the round reads.
    working_memory: Reservation,
    /// For UNION DISTINCT.
    seen: Option<Seen>,
    /// What rounds give is stored as a statement that writes would.
    storing: EvalContext,
    scope: Scope<'q>,
}

impl<'q> RecursiveCte<'q> {
    pub fn new(
        id: usize,
        names: &'q [String],
        anchor: &'q Node,
        recursive: &'q Node,
        all: bool,
        scope: &Scope<'q>,
    ) -> Result<RecursiveCte<'q>, SqlError> {
        let eval = &scope.execution.context.eval;
        let storing = EvalContext { strict_write: eval.sql_mode.is_strict(), ..eval.clone() };
        Ok(RecursiveCte {
            id,
            names,
            types: shape::types(anchor),
            recursive,
            round: open(anchor, scope, None)?,
            rounds_done: 0,
            given: Vec::new(),
            given_memory: Reservation::new(&scope.execution.memory),
            working_memory: Reservation::new(&scope.execution.memory),
            seen: (!all).then(|| Seen::new(shape::types(anchor), scope)),
            storing,
            scope: scope.clone(),
        })
    }

    /// As columns of a table would have it: what does not fit is an error in strict mode, and cut otherwise.
    fn stored(&self, batch: Vec<Row>) -> Result<Vec<Row>, SqlError> {
        let row = |row: Row| {
            let columns = self.names.iter().zip(&self.types);
            row.into_iter().zip(columns).map(|(value, (name, ty))| store(value, name, 1, ty, &self.storing)).collect()
        };
        batch.into_iter().map(row).collect()
    }

    /// Starts the next round; false if there is none.
    fn start_round(&mut self) -> Result<bool, SqlError> {
        if self.given.is_empty() {
            return Ok(false);
        }
        let rounds_max = self.scope.execution.context.recursion_depth_max;
        self.rounds_done += 1;
        if self.rounds_done > rounds_max {
            return Err(SqlError::new(
                ErrorCode::CTE_MAX_RECURSION_DEPTH,
                format!(
                    "Recursive query aborted after {} iterations. Try increasing @@cte_max_recursion_depth to a larger \
                     value.",
                    self.rounds_done
                ),
            ));
        }
        let mut working = (*self.scope.working).clone();
        working.insert(self.id, Arc::new(std::mem::take(&mut self.given)));
        let scope = Scope { working: Arc::new(working), ..self.scope.clone() };
        // The round before, and with it what it read, ends here.
        self.round = open(self.recursive, &scope, None)?;
        self.working_memory.clear();
        std::mem::swap(&mut self.given_memory, &mut self.working_memory);
        Ok(true)
    }
}

#[async_trait]
impl Operator for RecursiveCte<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        loop {
            self.scope.execution.check()?;
            let Some(mut batch) = self.round.next().await? else {
                if !self.start_round()? {
                    return Ok(None);
                }
                tokio::task::consume_budget().await;
                continue;
            };
            if self.rounds_done > 0 {
                batch = self.stored(batch)?;
            }
            if let Some(seen) = &mut self.seen {
                seen.retain_new(&mut batch)?;
            }
            if !batch.is_empty() {
                self.given_memory.grow_rows(&batch)?;
                self.given.push(batch.clone());
                return Ok(Some(batch));
            }
        }
    }
}

/// The rows that the round before gave.
pub struct WorkingTable<'q> {
    batches: Arc<Vec<Vec<Row>>>,
    given: usize,
    scope: Scope<'q>,
}

impl<'q> WorkingTable<'q> {
    pub fn new(id: usize, scope: &Scope<'q>) -> Result<WorkingTable<'q>, SqlError> {
        let batches = scope.working.get(&id).ok_or_else(|| {
            SqlError::internal(format!("working table {id} is read outside of its recursive CTE; report this query"))
        })?;
        Ok(WorkingTable { batches: batches.clone(), given: 0, scope: scope.clone() })
    }
}

#[async_trait]
impl Operator for WorkingTable<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        self.scope.execution.check()?;
        // Nothing here waits for anything: others have their turn.
        tokio::task::consume_budget().await;
        let batch = self.batches.get(self.given).cloned();
        self.given += 1;
        Ok(batch)
    }
}
