//! Walking and rewriting expressions.

use super::Expression;
use crate::function::Volatility;
use std::collections::BTreeSet;

impl Expression {
    /// The expressions that this one is made of, in the order of evaluation.
    pub fn children(&self) -> Vec<&Expression> {
        match self {
            Expression::Literal { .. }
            | Expression::Column { .. }
            | Expression::Outer { .. }
            | Expression::Parameter { .. }
            | Expression::Subquery { .. }
            | Expression::UserVariable { .. } => Vec::new(),
            Expression::Call { arguments, .. } | Expression::Coalesce { arguments, .. } => arguments.iter().collect(),
            Expression::And(operands) | Expression::Or(operands) => operands.iter().collect(),
            Expression::Cast { argument, .. } => vec![argument],
            Expression::Case { branches, otherwise, .. } => {
                let branches = branches.iter().flat_map(|(condition, result)| [condition, result]);
                branches.chain(otherwise.as_deref()).collect()
            }
            Expression::Quantified { needle, .. } => needle.iter().collect(),
            Expression::Assign { value, .. } => vec![value],
        }
    }

    /// As [`Expression::children`], to change them in place.
    pub fn children_mut(&mut self) -> Vec<&mut Expression> {
        match self {
            Expression::Literal { .. }
            | Expression::Column { .. }
            | Expression::Outer { .. }
            | Expression::Parameter { .. }
            | Expression::Subquery { .. }
            | Expression::UserVariable { .. } => Vec::new(),
            Expression::Call { arguments, .. } | Expression::Coalesce { arguments, .. } => {
                arguments.iter_mut().collect()
            }
            Expression::And(operands) | Expression::Or(operands) => operands.iter_mut().collect(),
            Expression::Cast { argument, .. } => vec![argument],
            Expression::Case { branches, otherwise, .. } => {
                let branches = branches.iter_mut().flat_map(|(condition, result)| [condition, result]);
                branches.chain(otherwise.as_deref_mut()).collect()
            }
            Expression::Quantified { needle, .. } => needle.iter_mut().collect(),
            Expression::Assign { value, .. } => vec![value],
        }
    }

    /// Calls `visit` with this expression and everything below it, parents first.
    pub fn visit<'e>(&'e self, visit: &mut impl FnMut(&'e Expression)) {
        visit(self);
        for child in self.children() {
            child.visit(visit);
        }
    }

    /// Whether this expression or one below it is such.
    pub fn any(&self, is_such: &mut impl FnMut(&Expression) -> bool) -> bool {
        is_such(self) || self.children().into_iter().any(|child| child.any(is_such))
    }

    /// Changes everything below and then this expression itself.
    pub fn rewrite(&mut self, rewrite: &mut impl FnMut(&mut Expression)) {
        for child in self.children_mut() {
            child.rewrite(rewrite);
        }
        rewrite(self);
    }

    /// As [`Expression::rewrite`], on a value.
    pub fn transform(mut self, transform: &mut impl FnMut(Expression) -> Expression) -> Expression {
        self.rewrite(&mut |expression| {
            let taken = std::mem::replace(expression, Expression::And(Vec::new()));
            *expression = transform(taken);
        });
        self
    }

    /// Positions of the input row that it reads.
    pub fn columns(&self) -> BTreeSet<usize> {
        let mut columns = BTreeSet::new();
        self.visit(&mut |expression| {
            if let Expression::Column { index, .. } = expression {
                columns.insert(*index);
            }
        });
        columns
    }

    /// Its value is known when the statement is planned: literals and immutable functions of them.
    pub fn is_constant(&self) -> bool {
        !self.any(&mut |expression| match expression {
            Expression::Call { function, .. } => function.volatility != Volatility::Immutable,
            Expression::Column { .. }
            | Expression::Outer { .. }
            | Expression::Parameter { .. }
            | Expression::Subquery { .. }
            | Expression::Quantified { .. }
            | Expression::UserVariable { .. }
            | Expression::Assign { .. } => true,
            _ => false,
        })
    }

    /// It has one value for all rows of one execution, and evaluating it once is enough: parameters, values of enclosing
    /// queries and subqueries count as such, user variables and RAND() do not.
    pub fn is_fixed(&self) -> bool {
        !self.any(&mut |expression| match expression {
            Expression::Call { function, .. } => function.volatility == Volatility::Volatile,
            Expression::Column { .. } | Expression::UserVariable { .. } | Expression::Assign { .. } => true,
            _ => false,
        })
    }
}
