//! UNION, INTERSECT, EXCEPT, each with DISTINCT or ALL.

use crate::execute::query_memory::Reservation;
use crate::execute::row::distinct::Seen;
use crate::execute::row::keys::row_key;
use crate::execute::row::operator::{BoxOperator, Operator, Scope, open as open_node};
use crate::execute::row::shape;
use crate::sql::plan::{Node, SetKind};
use async_trait::async_trait;
use expr::SqlError;
use expr::mysql_type::MysqlType;
use expr::value::Row;
use std::collections::{HashMap, VecDeque};

pub fn open<'q>(node: &'q Node, scope: &Scope<'q>, goal: Option<u64>) -> Result<BoxOperator<'q>, SqlError> {
    let Node::SetOperation { kind, all, left, right } = node else {
        return Err(SqlError::internal("not a set operation; report this query"));
    };
    if *kind != SetKind::Union {
        return Ok(Box::new(Match {
            kind: *kind,
            all: *all,
            left: open_node(left, scope, None)?,
            right: Some(open_node(right, scope, None)?),
            types: shape::types(left),
            counts: HashMap::new(),
            memory: Reservation::new(&scope.execution.memory),
            scope: scope.clone(),
        }));
    }
    // A chain of a thousand UNIONs is a thousand deep on the left: taken apart here, not by recursion.
    let mut inputs = VecDeque::new();
    let mut first = node;
    while let Node::SetOperation { kind: SetKind::Union, all: same, left, right } = first
        && same == all
    {
        inputs.push_front(&**right);
        first = left;
    }
    inputs.push_front(first);
    let seen = (!all).then(|| Seen::new(shape::types(first), scope));
    let goal = goal.filter(|_| *all);
    Ok(Box::new(Union { inputs, current: None, seen, goal, scope: scope.clone() }))
}

/// The inputs one after the other.
struct Union<'q> {
    inputs: VecDeque<&'q Node>,
    current: Option<BoxOperator<'q>>,
    /// For DISTINCT.
    seen: Option<Seen>,
    goal: Option<u64>,
    scope: Scope<'q>,
}

#[async_trait]
impl Operator for Union<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        loop {
            self.scope.execution.check()?;
            let Some(current) = &mut self.current else {
                let Some(input) = self.inputs.pop_front() else { return Ok(None) };
                self.current = Some(open_node(input, &self.scope, self.goal)?);
                continue;
            };
            let Some(mut batch) = current.next().await? else {
                self.current = None;
                continue;
            };
            if let Some(seen) = &mut self.seen {
                seen.retain_new(&mut batch)?;
            }
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            tokio::task::consume_budget().await;
        }
    }
}

/// INTERSECT and EXCEPT: the right side is counted, then the left side read against the counts.
struct Match<'q> {
    kind: SetKind,
    all: bool,
    left: BoxOperator<'q>,
    /// `None` once it has been counted.
    right: Option<BoxOperator<'q>>,
    types: Vec<MysqlType>,
    counts: HashMap<Vec<u8>, u64>,
    memory: Reservation,
    scope: Scope<'q>,
}

impl Match<'_> {
    async fn count_right(&mut self) -> Result<(), SqlError> {
        let Some(mut right) = self.right.take() else { return Ok(()) };
        while let Some(batch) = right.next().await? {
            self.scope.execution.check()?;
            for row in &batch {
                let key = row_key(row, &self.types)?;
                self.memory.grow(key.len() + 2 * size_of::<Vec<u8>>())?;
                *self.counts.entry(key).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Whether a row of the left side is in the result.
    fn keeps(&mut self, row: &Row) -> Result<bool, SqlError> {
        let key = row_key(row, &self.types)?;
        let bytes = key.len() + 2 * size_of::<Vec<u8>>();
        let count = self.counts.get_mut(&key);
        Ok(match (self.kind, self.all, count) {
            // ALL: each row of the right side speaks for one of the left.
            (SetKind::Intersect, true, Some(count)) if *count > 0 => {
                *count -= 1;
                true
            }
            (SetKind::Except, true, Some(count)) if *count > 0 => {
                *count -= 1;
                false
            }
            (SetKind::Intersect, true, _) => false,
            (_, true, _) => true,
            // DISTINCT: a row given once is marked so that it is not given again.
            (SetKind::Intersect, false, Some(count)) => std::mem::take(count) > 0,
            (SetKind::Intersect, false, None) => false,
            (_, false, Some(_)) => false,
            (_, false, None) => {
                self.memory.grow(bytes)?;
                self.counts.insert(key, 1);
                true
            }
        })
    }
}

#[async_trait]
impl Operator for Match<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        self.count_right().await?;
        while let Some(batch) = self.left.next().await? {
            self.scope.execution.check()?;
            let mut kept = Vec::new();
            for row in batch {
                if self.keeps(&row)? {
                    kept.push(row);
                }
            }
            if !kept.is_empty() {
                return Ok(Some(kept));
            }
            tokio::task::consume_budget().await;
        }
        Ok(None)
    }
}
