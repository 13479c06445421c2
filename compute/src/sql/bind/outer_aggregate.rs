//! Which query an aggregate belongs to, when it stands in a subquery: the innermost one whose columns it reads, wherever in
//! the subquery it stands. There it is an aggregate as any other; where it stands it is an outer column.
//! Manual: "Correlated Subqueries" (15.2.15.7), "GROUP BY Handling" (14.19.3).
//!
//! An aggregate of a query further out may stand in the arguments of an inner one: `SELECT (SELECT SUM(COUNT(a))) FROM t`.

use crate::sql::bind::call::add_aggregate;
use crate::sql::bind::scope::Boundary;
use crate::sql::bind::{AGGREGATES, Binder, WINDOWS, error};
use crate::sql::plan::{AggregateCall, Subquery, walk};
use expr::{Expression, SqlError};

/// How far out is what an aggregate's arguments read: 0 is the row of the query that it stands in.
#[derive(Default)]
struct Reads {
    /// The nearest row of which they read a column.
    column: Option<usize>,
    /// The nearest query of which they have an aggregate.
    aggregate: Option<usize>,
}

impl Reads {
    fn of(call: &AggregateCall, subqueries: &[Subquery]) -> Reads {
        let mut reads = Reads::default();
        let keys = call.order_by.iter().map(|key| &key.expression);
        call.arguments.iter().chain(keys).for_each(|expression| reads.add(expression, subqueries));
        reads
    }

    fn add(&mut self, expression: &Expression, subqueries: &[Subquery]) {
        walk::each_row_read(expression, subqueries, &mut |level, index| {
            let nearest = match (AGGREGATES..WINDOWS).contains(&index) {
                true => &mut self.aggregate,
                false => &mut self.column,
            };
            *nearest = Some(nearest.map_or(level, |known| known.min(level)));
        });
    }
}

impl Binder<'_> {
    /// Puts an aggregate into the block that it belongs to, and gives what stands for it here.
    pub fn place_aggregate(&mut self, mut call: AggregateCall) -> Result<Expression, SqlError> {
        let Some(own) = self.blocks.last() else { return Err(error::invalid_group_function()) };
        let allowed_here = own.allows_aggregates();
        let subqueries = &self.frames[own.frame].subqueries;
        let reads = Reads::of(&call, subqueries);
        let blocks = self.blocks_by_level();
        let wanted = match reads.column {
            // Of no column: an aggregate of the query that it stands in, if it may stand there.
            None if allowed_here => 0,
            None => blocks.len() - 1,
            Some(level) => level.min(blocks.len() - 1),
        };
        let allows = |level: &usize| self.blocks[blocks[*level]].allows_aggregates();
        let Some(level) = (0..=wanted).rev().find(allows) else { return Err(error::invalid_group_function()) };
        // What it is made of must be there before: aggregates of queries further out alone.
        if reads.aggregate.is_some_and(|aggregate| aggregate <= level) {
            return Err(error::invalid_group_function());
        }
        let with_subquery = |expression: &Expression| {
            walk::any(expression, &|part| matches!(part, Expression::Subquery { .. } | Expression::Quantified { .. }))
        };
        if level > 0 && call.arguments.iter().any(with_subquery) {
            return Err(SqlError::not_supported("a subquery in an aggregate of the query around it"));
        }
        let keys = call.order_by.iter_mut().map(|key| &mut key.expression);
        call.arguments.iter_mut().chain(keys).for_each(|expression| lower(expression, level));
        let ty = call.ty.clone();
        let index = AGGREGATES + add_aggregate(&mut self.blocks[blocks[level]].aggregates, call);
        if level == 0 {
            return Ok(Expression::Column { index, ty });
        }
        for inner in blocks[level] + 1..self.blocks.len() {
            let frame = self.blocks[inner].frame;
            self.frames[frame].correlated = true;
        }
        Ok(Expression::Outer { level, index, ty })
    }

    /// The blocks in sight: first the innermost, then that of the row one level out, and so on.
    fn blocks_by_level(&self) -> Vec<usize> {
        let mut levels = Vec::new();
        let mut visible = true;
        for position in (0..self.blocks.len()).rev() {
            if visible {
                levels.push(position);
            }
            match self.blocks[position].boundary {
                Boundary::Top => break,
                Boundary::Subquery | Boundary::Lateral => visible = true,
                Boundary::Derived => visible = false,
            }
        }
        levels
    }
}

/// Moves an expression `levels` out: outer columns of that level are columns.
fn lower(expression: &mut Expression, levels: usize) {
    match expression {
        Expression::Outer { level, index, ty } if *level == levels => {
            *expression = Expression::Column { index: *index, ty: ty.clone() };
        }
        Expression::Outer { level, .. } => *level -= levels,
        _ => walk::each_child_mut(expression, &mut |child| lower(child, levels)),
    }
}
