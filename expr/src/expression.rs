//! Bound expressions: names resolved, every node with its MySQL type. Built by compute's binder, evaluated by
//! [`crate::eval`] on rows and by compute's analytic executor on arrays.

use crate::mysql_type::MysqlType;
use crate::value::Value;

mod display;
mod same;
mod walk;

pub use display::WithNames;

#[derive(Debug, Clone)]
pub enum Expression {
    Literal {
        value: Value,
        ty: MysqlType,
    },
    /// Position in the input row.
    Column {
        index: usize,
        ty: MysqlType,
    },
    /// Position in a row of an enclosing query; `level` 1 is the query directly around this one.
    Outer {
        level: usize,
        index: usize,
        ty: MysqlType,
    },
    /// A `?`; the value comes with the execution.
    Parameter {
        index: usize,
        ty: MysqlType,
    },
    /// A function of the registry ([`crate::function`]). Operators, comparisons, LIKE, IN lists, BETWEEN are
    /// functions too, by the names in `function::operator`.
    Call {
        function: &'static crate::function::Function,
        arguments: Vec<Expression>,
        ty: MysqlType,
    },
    /// CAST and the implicit conversions that the binder puts in. Converts by `crate::cast::cast`.
    Cast {
        argument: Box<Expression>,
        ty: MysqlType,
    },
    /// Three-valued; evaluated from the left, no further than needed. Also what AND and OR chains become.
    And(Vec<Expression>),
    Or(Vec<Expression>),
    /// CASE, IF, IFNULL, COALESCE and NULLIF become this: only the branch that is taken is evaluated.
    Case {
        branches: Vec<(Expression, Expression)>,
        otherwise: Option<Box<Expression>>,
        ty: MysqlType,
    },
    /// COALESCE and IFNULL.
    Coalesce {
        arguments: Vec<Expression>,
        ty: MysqlType,
    },
    /// Result of a subquery of the plan, put into `EvalContext::subqueries` before this expression is evaluated:
    /// a scalar subquery's value, or 1 or 0 for EXISTS.
    Subquery {
        id: usize,
        ty: MysqlType,
    },
    /// `needle op ANY|ALL (subquery)`; IN is `= ANY`, NOT IN its negation. Rows where `needle` has several parts.
    Quantified {
        needle: Vec<Expression>,
        comparison: Comparison,
        all: bool,
        id: usize,
    },
    /// `@name`.
    UserVariable {
        name: String,
        ty: MysqlType,
    },
    /// `@name := value`.
    Assign {
        name: String,
        value: Box<Expression>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    /// `<=>`
    NullSafeEqual,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Expression {
    pub fn literal(value: Value, ty: MysqlType) -> Expression {
        Expression::Literal { value, ty }
    }

    pub fn column(index: usize, ty: MysqlType) -> Expression {
        Expression::Column { index, ty }
    }

    /// The type of its value.
    pub fn ty(&self) -> MysqlType {
        match self {
            Expression::Literal { ty, .. }
            | Expression::Column { ty, .. }
            | Expression::Outer { ty, .. }
            | Expression::Parameter { ty, .. }
            | Expression::Call { ty, .. }
            | Expression::Cast { ty, .. }
            | Expression::Case { ty, .. }
            | Expression::Coalesce { ty, .. }
            | Expression::Subquery { ty, .. }
            | Expression::UserVariable { ty, .. } => ty.clone(),
            Expression::And(_) | Expression::Or(_) | Expression::Quantified { .. } => MysqlType::boolean(),
            Expression::Assign { value, .. } => value.ty(),
        }
    }
}

#[cfg(test)]
mod tests;
