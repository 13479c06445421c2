//! Expressions in operators: evaluated on a row, with the results of their subqueries put in place first.

use crate::execute::row::integer_range::IntegerRange;
use crate::execute::row::operator::Scope;
use crate::execute::row::subquery::SubqueryRun;
use crate::execute::row::truth::is_true;
use crate::execute::row::waiting::{self, WaitingFunctions};
use crate::execute::row::walk;
use expr::eval::{EvalContext, eval};
use expr::value::{Row, Value};
use expr::{Expression, SqlError};
use std::sync::Arc;

/// One expression of one operator.
pub struct Evaluator<'q> {
    expression: &'q Expression,
    eval: Arc<EvalContext>,
    /// Of an expression that has subqueries.
    subqueries: Option<Box<Subqueries<'q>>>,
    /// Of an expression with calls that have to be waited for.
    waiting: Option<Arc<dyn WaitingFunctions>>,
}

struct Subqueries<'q> {
    /// A copy of the operator's own, whose `subqueries` are filled in for every row.
    eval: EvalContext,
    runs: Vec<SubqueryRun<'q>>,
    /// All uncorrelated ones have been run.
    started: bool,
}

impl<'q> Evaluator<'q> {
    pub fn new(expression: &'q Expression, scope: &Scope<'q>) -> Evaluator<'q> {
        let ids = walk::subqueries_of(expression);
        let subqueries = (!ids.is_empty()).then(|| {
            let runs = ids.into_iter().map(|id| SubqueryRun::new(id, scope)).collect();
            Box::new(Subqueries { eval: (*scope.eval).clone(), runs, started: false })
        });
        let waiting = waiting::waits(expression).then(|| scope.execution.context.waiting.clone());
        Evaluator { expression, eval: scope.eval.clone(), subqueries, waiting }
    }

    pub fn expression(&self) -> &'q Expression {
        self.expression
    }

    /// True if there is nothing to wait for in it, as a subquery is: [`Evaluator::eval_simple`] may be used.
    pub fn is_simple(&self) -> bool {
        self.subqueries.is_none() && self.waiting.is_none()
    }

    /// For expressions without subqueries.
    pub fn eval_simple(&self, row: &[Value]) -> Result<Value, SqlError> {
        if let Expression::Column { index, .. } = self.expression
            && let Some(value) = row.get(*index)
        {
            return Ok(value.clone());
        }
        eval(self.expression, row, &self.eval)
    }

    fn is_true(&self, value: Value) -> Result<bool, SqlError> {
        is_true(&value, &self.eval)
    }

    pub async fn eval(&mut self, row: &[Value]) -> Result<Value, SqlError> {
        let Some(subqueries) = &mut self.subqueries else {
            let Some(functions) = &self.waiting else { return self.eval_simple(row) };
            return waiting::evaluate(self.expression, row, &self.eval, &**functions).await;
        };
        let mut outer_row: Option<Arc<Row>> = None;
        for run in &mut subqueries.runs {
            if run.is_correlated() {
                let outer_row = outer_row.get_or_insert_with(|| Arc::new(row.to_vec()));
                subqueries.eval.subqueries[run.id()] = run.result_for(outer_row).await?;
            } else if !subqueries.started {
                subqueries.eval.subqueries[run.id()] = run.result_once().await?;
            }
        }
        subqueries.started = true;
        if let Some(functions) = &self.waiting {
            return waiting::evaluate(self.expression, row, &subqueries.eval, &**functions).await;
        }
        eval(self.expression, row, &subqueries.eval)
    }
}

/// A condition of which only "true" matters. Its parts without subqueries are tried first, and no further part than
/// needed is evaluated.
pub struct Predicate<'q> {
    /// All of these must hold; of each, any.
    conjuncts: Vec<Vec<Condition<'q>>>,
}

struct Condition<'q> {
    evaluator: Evaluator<'q>,
    /// Decides it faster.
    range: Option<IntegerRange>,
}

impl<'q> Condition<'q> {
    fn new(expression: &'q Expression, scope: &Scope<'q>) -> Condition<'q> {
        Condition { evaluator: Evaluator::new(expression, scope), range: IntegerRange::of(expression, scope) }
    }

    fn is_simple(&self) -> bool {
        self.evaluator.is_simple()
    }

    fn known(&self, row: &[Value]) -> Option<bool> {
        self.range.as_ref()?.holds(row)
    }

    fn holds_simple(&self, row: &[Value]) -> Result<bool, SqlError> {
        match self.known(row) {
            Some(holds) => Ok(holds),
            None => self.evaluator.is_true(self.evaluator.eval_simple(row)?),
        }
    }

    async fn holds(&mut self, row: &[Value]) -> Result<bool, SqlError> {
        if let Some(holds) = self.known(row) {
            return Ok(holds);
        }
        let value = self.evaluator.eval(row).await?;
        self.evaluator.is_true(value)
    }
}

impl<'q> Predicate<'q> {
    pub fn new(expression: &'q Expression, scope: &Scope<'q>) -> Predicate<'q> {
        let mut parts = Vec::new();
        walk::conjuncts(expression, &mut parts);
        let mut conjuncts: Vec<Vec<Condition<'q>>> = parts
            .into_iter()
            .map(|part| {
                let mut alternatives: Vec<Condition<'q>> = match part {
                    Expression::Or(alternatives) if !walk::subqueries_of(part).is_empty() => {
                        alternatives.iter().map(|alternative| Condition::new(alternative, scope)).collect()
                    }
                    other => vec![Condition::new(other, scope)],
                };
                alternatives.sort_by_key(|alternative| !alternative.is_simple());
                alternatives
            })
            .collect();
        conjuncts.sort_by_key(|alternatives| !alternatives.iter().all(Condition::is_simple));
        Predicate { conjuncts }
    }

    /// True if there is no subquery in it.
    pub fn is_simple(&self) -> bool {
        self.conjuncts.iter().flatten().all(Condition::is_simple)
    }

    /// For predicates without subqueries.
    pub fn holds_simple(&self, row: &[Value]) -> Result<bool, SqlError> {
        for alternatives in &self.conjuncts {
            let mut holds = false;
            for alternative in alternatives {
                if alternative.holds_simple(row)? {
                    holds = true;
                    break;
                }
            }
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub async fn holds(&mut self, row: &[Value]) -> Result<bool, SqlError> {
        for alternatives in &mut self.conjuncts {
            let mut holds = false;
            for alternative in alternatives {
                if alternative.holds(row).await? {
                    holds = true;
                    break;
                }
            }
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps the rows for which it holds.
    pub async fn retain(&mut self, rows: &mut Vec<Row>) -> Result<(), SqlError> {
        let mut kept = 0;
        let simple = self.is_simple();
        for index in 0..rows.len() {
            let holds = if simple { self.holds_simple(&rows[index])? } else { self.holds(&rows[index]).await? };
            if holds {
                rows.swap(kept, index);
                kept += 1;
            }
        }
        rows.truncate(kept);
        Ok(())
    }
}
