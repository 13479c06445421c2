//! Evaluation of bound expressions on rows: the reference semantics.

use crate::cast::{cast, in_common};
use crate::compare::holds;
use crate::error::{ErrorCode, SqlError, Warning, WarningLevel};
use crate::expression::{Comparison, Expression};
use crate::function::json;
use crate::function::numeric::random::{Sequences, SessionSequence};
use crate::function::operator::{Evaluate, takes_unrounded, unrounded};
use crate::function::{Call, Function};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::{Row, Value, temporal::DateTime};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What an expression sees of its surroundings: session settings, the statement's clock, parameters, outer rows.
/// One per execution of a statement; executors clone it to bind outer rows and subquery results.
#[derive(Debug, Clone)]
pub struct EvalContext {
    pub sql_mode: SqlMode,
    /// The session's time zone.
    pub time_zone: TimeZone,
    /// NOW(): microseconds since 1970 UTC, fixed for the statement.
    pub now_us: i64,
    /// Values of `?`.
    pub parameters: Arc<[Value]>,
    /// Rows of the enclosing queries, innermost first (`Expression::Outer` with level 1 reads the first).
    pub outer_rows: Vec<Arc<Row>>,
    /// Results of the plan's subqueries by id; see `Expression::Subquery` and `Expression::Quantified`.
    pub subqueries: Vec<SubqueryResult>,
    pub session: Arc<SessionInfo>,
    /// Whether the statement changes data under a strict sql_mode: bad values are errors then, warnings otherwise.
    pub strict_write: bool,
    /// Set by INSERT/UPDATE IGNORE: errors that IGNORE demotes become warnings.
    pub ignore: bool,
    /// What evaluation leaves behind; shared by all clones of this context.
    pub effects: Arc<Effects>,
}

/// User variables by name (`@name`, in lower case).
pub type UserVariables = Arc<Mutex<HashMap<String, Value>>>;

/// What evaluation leaves behind for the session.
#[derive(Debug, Default)]
pub struct Effects {
    /// Of casts and functions; at most [`Effects::WARNINGS_MAX`] are kept, all are counted.
    pub warnings: Mutex<Vec<Warning>>,
    /// Shared with the session; written by `Assign`.
    pub user_variables: UserVariables,
    /// LAST_INSERT_ID(expr) stores here.
    pub last_insert_id: Mutex<Option<u64>>,
    /// Where RAND(seed) stands.
    pub random: Mutex<Sequences>,
    /// Shared with the session: where RAND() stands.
    pub session_random: SessionSequence,
}

impl Effects {
    /// MySQL's default of max_error_count.
    pub const WARNINGS_MAX: usize = 1024;
}

/// What information functions answer from: DATABASE(), USER(), CONNECTION_ID(), system variables.
#[derive(Debug, Clone, Default)]
pub struct SessionInfo {
    pub database: Option<Arc<str>>,
    /// `root@localhost`: what USER() gives.
    pub user: Arc<str>,
    /// The account that was matched: CURRENT_USER().
    pub current_user: Arc<str>,
    /// The active roles: CURRENT_ROLE(). Empty stands for none.
    pub current_role: Arc<str>,
    pub connection_id: u64,
    pub version: Arc<str>,
    pub last_insert_id: u64,
    pub row_count: i64,
    pub found_rows: u64,
    /// Of `SET NAMES`: collation of literals.
    pub collation_connection: u16,
    pub group_concat_max_len: usize,
    pub max_allowed_packet: usize,
    pub div_precision_increment: u8,
    pub default_week_format: u8,
    pub lc_time_names: Arc<str>,
    pub block_encryption_mode: crate::function::encryption::aes::AesMode,
}

/// Result of one subquery, filled in by the executor before the expression that uses it.
#[derive(Debug, Clone, Default)]
pub enum SubqueryResult {
    #[default]
    NotRun,
    Scalar(Value),
    /// Rows for IN, ANY, ALL.
    Rows(Arc<Vec<Row>>),
}

/// sql_mode as a set of flags. Manual: "Server SQL Modes" (7.1.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SqlMode(pub u64);

impl SqlMode {
    pub const REAL_AS_FLOAT: SqlMode = SqlMode(1);
    pub const PIPES_AS_CONCAT: SqlMode = SqlMode(2);
    pub const ANSI_QUOTES: SqlMode = SqlMode(4);
    pub const IGNORE_SPACE: SqlMode = SqlMode(8);
    pub const ONLY_FULL_GROUP_BY: SqlMode = SqlMode(0x20);
    pub const NO_UNSIGNED_SUBTRACTION: SqlMode = SqlMode(0x40);
    pub const NO_DIR_IN_CREATE: SqlMode = SqlMode(0x80);
    pub const ANSI: SqlMode = SqlMode(0x4_0000);
    pub const NO_AUTO_VALUE_ON_ZERO: SqlMode = SqlMode(0x8_0000);
    pub const NO_BACKSLASH_ESCAPES: SqlMode = SqlMode(0x10_0000);
    pub const STRICT_TRANS_TABLES: SqlMode = SqlMode(0x20_0000);
    pub const STRICT_ALL_TABLES: SqlMode = SqlMode(0x40_0000);
    pub const NO_ZERO_IN_DATE: SqlMode = SqlMode(0x80_0000);
    pub const NO_ZERO_DATE: SqlMode = SqlMode(0x100_0000);
    pub const ALLOW_INVALID_DATES: SqlMode = SqlMode(0x200_0000);
    pub const ERROR_FOR_DIVISION_BY_ZERO: SqlMode = SqlMode(0x400_0000);
    pub const TRADITIONAL: SqlMode = SqlMode(0x800_0000);
    pub const HIGH_NOT_PRECEDENCE: SqlMode = SqlMode(0x2000_0000);
    pub const NO_ENGINE_SUBSTITUTION: SqlMode = SqlMode(0x4000_0000);
    pub const PAD_CHAR_TO_FULL_LENGTH: SqlMode = SqlMode(0x8000_0000);
    pub const TIME_TRUNCATE_FRACTIONAL: SqlMode = SqlMode(0x1_0000_0000);

    /// In the order in which MySQL lists them.
    pub const NAMES: &[(&str, SqlMode)] = &[
        ("REAL_AS_FLOAT", SqlMode::REAL_AS_FLOAT),
        ("PIPES_AS_CONCAT", SqlMode::PIPES_AS_CONCAT),
        ("ANSI_QUOTES", SqlMode::ANSI_QUOTES),
        ("IGNORE_SPACE", SqlMode::IGNORE_SPACE),
        ("ONLY_FULL_GROUP_BY", SqlMode::ONLY_FULL_GROUP_BY),
        ("NO_UNSIGNED_SUBTRACTION", SqlMode::NO_UNSIGNED_SUBTRACTION),
        ("NO_DIR_IN_CREATE", SqlMode::NO_DIR_IN_CREATE),
        ("ANSI", SqlMode::ANSI),
        ("NO_AUTO_VALUE_ON_ZERO", SqlMode::NO_AUTO_VALUE_ON_ZERO),
        ("NO_BACKSLASH_ESCAPES", SqlMode::NO_BACKSLASH_ESCAPES),
        ("STRICT_TRANS_TABLES", SqlMode::STRICT_TRANS_TABLES),
        ("STRICT_ALL_TABLES", SqlMode::STRICT_ALL_TABLES),
        ("NO_ZERO_IN_DATE", SqlMode::NO_ZERO_IN_DATE),
        ("NO_ZERO_DATE", SqlMode::NO_ZERO_DATE),
        ("ALLOW_INVALID_DATES", SqlMode::ALLOW_INVALID_DATES),
        ("ERROR_FOR_DIVISION_BY_ZERO", SqlMode::ERROR_FOR_DIVISION_BY_ZERO),
        ("TRADITIONAL", SqlMode::TRADITIONAL),
        ("HIGH_NOT_PRECEDENCE", SqlMode::HIGH_NOT_PRECEDENCE),
        ("NO_ENGINE_SUBSTITUTION", SqlMode::NO_ENGINE_SUBSTITUTION),
        ("PAD_CHAR_TO_FULL_LENGTH", SqlMode::PAD_CHAR_TO_FULL_LENGTH),
        ("TIME_TRUNCATE_FRACTIONAL", SqlMode::TIME_TRUNCATE_FRACTIONAL),
    ];

    /// As `@@sql_mode` shows it.
    pub fn text(self) -> String {
        let names: Vec<&str> = Self::NAMES.iter().filter(|(_, flag)| self.has(*flag)).map(|(name, _)| *name).collect();
        names.join(",")
    }

    /// All flags of `other` are set.
    pub fn has(self, other: SqlMode) -> bool {
        self.0 & other.0 == other.0
    }

    /// STRICT_TRANS_TABLES or STRICT_ALL_TABLES: all our tables are transactional.
    pub fn is_strict(self) -> bool {
        self.0 & (Self::STRICT_TRANS_TABLES.0 | Self::STRICT_ALL_TABLES.0) != 0
    }
}

/// A session time zone: an offset from UTC in seconds, or a named zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeZone {
    Offset(i32),
    Named(chrono_tz::Tz),
}

impl EvalContext {
    /// For constant folding, defaults, and tests: MySQL 8.4's default session, UTC, no parameters.
    pub fn constant() -> EvalContext {
        EvalContext {
            sql_mode: SqlMode::default(),
            time_zone: TimeZone::Offset(0),
            now_us: 0,
            parameters: Arc::from([]),
            outer_rows: Vec::new(),
            subqueries: Vec::new(),
            session: Arc::new(SessionInfo::default()),
            strict_write: false,
            ignore: false,
            effects: Arc::default(),
        }
    }

    /// Leaves a warning for SHOW WARNINGS.
    pub fn warn(&self, code: ErrorCode, message: impl Into<String>) {
        self.report(WarningLevel::Warning, code, message.into());
    }

    /// Leaves a note for SHOW WARNINGS.
    pub fn note(&self, code: ErrorCode, message: impl Into<String>) {
        self.report(WarningLevel::Note, code, message.into());
    }

    fn report(&self, level: WarningLevel, code: ErrorCode, message: String) {
        if let Ok(mut warnings) = self.effects.warnings.lock()
            && warnings.len() < Effects::WARNINGS_MAX
        {
            warnings.push(Warning::new(level, code, message));
        }
    }

    /// A bad value: an error where the statement changes data in strict mode, otherwise a warning.
    pub fn bad_value(&self, code: ErrorCode, message: impl Into<String>) -> Result<(), SqlError> {
        if self.strict_write && !self.ignore {
            return Err(SqlError::new(code, message));
        }
        self.warn(code, message);
        Ok(())
    }

    /// 1292 `Truncated incorrect INTEGER value: '12x'`; `kind` is MySQL's word for what was wanted.
    pub fn truncated_value(&self, kind: &str, text: &str) -> Result<(), SqlError> {
        let message = format!("Truncated incorrect {kind} value: '{}'", shortened(text));
        self.bad_value(ErrorCode::TRUNCATED_WRONG_VALUE, message)
    }

    /// 1292 `Incorrect datetime value: 'abc'`.
    pub fn incorrect_value(&self, kind: &str, text: &str) -> Result<(), SqlError> {
        let message = format!("Incorrect {kind} value: '{}'", shortened(text));
        self.bad_value(ErrorCode::TRUNCATED_WRONG_VALUE, message)
    }

    /// NOW() in the session's time zone, with microseconds.
    pub fn now(&self) -> DateTime {
        self.time_zone.from_utc_micros(self.now_us, 6).unwrap_or(DateTime::ZERO)
    }
}

/// Messages quote at most 128 characters of a value.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(128).map_or(text, |(end, _)| &text[..end])
}

/// Evaluates on a row.
pub fn eval(expression: &Expression, row: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    match expression {
        Expression::Literal { value, .. } => Ok(value.clone()),
        Expression::Column { index, .. } => value_at(row, *index),
        Expression::Outer { level, index, .. } => match context.outer_rows.get(level.wrapping_sub(1)) {
            Some(row) => value_at(row, *index),
            None => Err(SqlError::internal(format!("an outer row of level {level} is missing"))),
        },
        Expression::Parameter { index, .. } => context
            .parameters
            .get(*index)
            .cloned()
            .ok_or_else(|| SqlError::new(ErrorCode(1210), "Incorrect arguments to EXECUTE")),
        Expression::Call { function, arguments, ty } => call(function, arguments, ty, row, context),
        Expression::Cast { argument, ty } if ty.is_numeric() => {
            cast(eval_unrounded(argument, row, context)?, ty, context)
        }
        // A truth value becomes true or false, which its value does not tell.
        // So do bytes become a text in base 64.
        Expression::Cast { argument, ty }
            if ty.kind == TypeKind::Json && (json::is_boolean(&argument.ty()) || argument.ty().is_binary()) =>
        {
            let value = eval(argument, row, context)?;
            Ok(if value.is_null() { value } else { json::json_value(json::node_of(&value, &argument.ty())) })
        }
        // A text becomes the bytes that its character set has for it.
        Expression::Cast { argument, ty } if ty.is_binary() => {
            let value = eval(argument, row, context)?;
            let from = argument.ty();
            let encoded = from.is_text() && !from.collation.charset().is_utf8() && !value.is_null();
            let value = if encoded { Value::bytes(value.stored_bytes(&from)) } else { value };
            cast(value, ty, context)
        }
        Expression::Cast { argument, ty } => cast(eval(argument, row, context)?, ty, context),
        Expression::And(operands) => chain(operands, false, row, context),
        Expression::Or(operands) => chain(operands, true, row, context),
        Expression::Case { branches, otherwise, ty } => {
            for (condition, result) in branches {
                if eval(condition, row, context)?.to_bool(context)? == Some(true) {
                    return in_common(eval(result, row, context)?, ty, context);
                }
            }
            match otherwise {
                Some(result) => in_common(eval(result, row, context)?, ty, context),
                None => Ok(Value::Null),
            }
        }
        Expression::Coalesce { arguments, ty } => {
            for argument in arguments {
                let value = eval(argument, row, context)?;
                if !value.is_null() {
                    return in_common(value, ty, context);
                }
            }
            Ok(Value::Null)
        }
        Expression::Subquery { id, .. } => match context.subqueries.get(*id) {
            Some(SubqueryResult::Scalar(value)) => Ok(value.clone()),
            _ => Err(SqlError::internal(format!("subquery {id} has no value yet"))),
        },
        Expression::Quantified { needle, comparison, all, id } => {
            quantified(needle, *comparison, *all, *id, row, context)
        }
        Expression::UserVariable { name, .. } => {
            let variables = context.effects.user_variables.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(variables.get(name).cloned().unwrap_or_default())
        }
        Expression::Assign { name, value } => {
            let value = eval(value, row, context)?;
            let mut variables = context.effects.user_variables.lock().unwrap_or_else(PoisonError::into_inner);
            variables.insert(name.clone(), value.clone());
            Ok(value)
        }
    }
}

fn value_at(row: &[Value], index: usize) -> Result<Value, SqlError> {
    let missing = || SqlError::internal(format!("a row of {} columns has no column {index}", row.len()));
    row.get(index).cloned().ok_or_else(missing)
}

fn call(
    function: &Function,
    arguments: &[Expression],
    ty: &MysqlType,
    row: &[Value],
    context: &EvalContext,
) -> Result<Value, SqlError> {
    evaluate_call(function, function.evaluate, arguments, ty, row, context)
}

/// As [`eval`], but decimals keep digits that the type does not show: for what is computed further or assigned to a
/// column. `a / b * 100` must not lose what `a / b` alone would not show; see `function::operator`.
pub fn eval_unrounded(expression: &Expression, row: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if let Expression::Call { function, arguments, ty } = expression
        && matches!(ty.kind, TypeKind::Decimal { .. })
        && let Some(evaluate) = unrounded(function)
    {
        return evaluate_call(function, evaluate, arguments, ty, row, context);
    }
    eval(expression, row, context)
}

/// Functions have few arguments: up to three are kept off the heap.
fn evaluate_call(
    function: &Function,
    evaluate: Evaluate,
    arguments: &[Expression],
    ty: &MysqlType,
    row: &[Value],
    context: &EvalContext,
) -> Result<Value, SqlError> {
    let mut values = [const { Value::Null }; 3];
    if let Some(values) = values.get_mut(..arguments.len()) {
        if !arguments_of(function, arguments, row, context, values)? {
            return Ok(Value::Null);
        }
        let of = |index: usize| arguments[index].ty();
        return match arguments.len() {
            0 => evaluate(&Call { argument_types: &[], result_type: ty }, values, context),
            1 => evaluate(&Call { argument_types: &[of(0)], result_type: ty }, values, context),
            2 => evaluate(&Call { argument_types: &[of(0), of(1)], result_type: ty }, values, context),
            _ => evaluate(&Call { argument_types: &[of(0), of(1), of(2)], result_type: ty }, values, context),
        };
    }
    let mut values = vec![Value::Null; arguments.len()];
    if !arguments_of(function, arguments, row, context, &mut values)? {
        return Ok(Value::Null);
    }
    let types: Vec<MysqlType> = arguments.iter().map(Expression::ty).collect();
    evaluate(&Call { argument_types: &types, result_type: ty }, &values, context)
}

/// False where one is NULL and that makes the result NULL.
fn arguments_of(
    function: &Function,
    arguments: &[Expression],
    row: &[Value],
    context: &EvalContext,
    values: &mut [Value],
) -> Result<bool, SqlError> {
    let numeric = takes_unrounded(function);
    for (value, expression) in values.iter_mut().zip(arguments) {
        *value = if numeric { eval_unrounded(expression, row, context)? } else { eval(expression, row, context)? };
        if value.is_null() && function.null_if_any_null {
            return Ok(false);
        }
    }
    Ok(true)
}

/// AND (`decides` false) and OR (`decides` true): the first operand with that truth decides, NULL counts otherwise.
fn chain(operands: &[Expression], decides: bool, row: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let mut unknown = false;
    for operand in operands {
        match eval(operand, row, context)?.to_bool(context)? {
            Some(truth) if truth == decides => return Ok(Value::boolean(decides)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::boolean(!decides) })
}

/// `needle comparison ANY|ALL (rows)`. ANY is an OR over the rows, ALL an AND, each three-valued.
fn quantified(
    needle: &[Expression],
    comparison: Comparison,
    all: bool,
    id: usize,
    row: &[Value],
    context: &EvalContext,
) -> Result<Value, SqlError> {
    let Some(SubqueryResult::Rows(rows)) = context.subqueries.get(id) else {
        return Err(SqlError::internal(format!("subquery {id} has no rows yet")));
    };
    let collations: Vec<_> = needle.iter().map(|part| part.ty().collation).collect();
    let needle = needle.iter().map(|part| eval(part, row, context)).collect::<Result<Vec<_>, _>>()?;
    let mut unknown = false;
    for candidate in rows.iter() {
        match row_holds(&needle, comparison, candidate, &collations, context)? {
            Some(truth) if truth != all => return Ok(Value::boolean(!all)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::boolean(all) })
}

/// Rows are equal where all parts are, and not equal where one is not; their order is that of the first parts that differ.
fn row_holds(
    needle: &[Value],
    comparison: Comparison,
    candidate: &[Value],
    collations: &[crate::collation::CollationId],
    context: &EvalContext,
) -> Result<Option<bool>, SqlError> {
    let strict = match comparison {
        Comparison::Less | Comparison::LessOrEqual => Some(Comparison::Less),
        Comparison::Greater | Comparison::GreaterOrEqual => Some(Comparison::Greater),
        Comparison::Equal | Comparison::NullSafeEqual | Comparison::NotEqual => None,
    };
    if let Some(strict) = strict {
        let last = needle.len().saturating_sub(1);
        for ((left, right), collation) in needle.iter().zip(candidate).zip(collations).take(last) {
            match holds(Comparison::Equal, left, right, *collation, context)? {
                Some(true) => {}
                Some(false) => return holds(strict, left, right, *collation, context),
                None => return Ok(None),
            }
        }
        return holds(comparison, &needle[last], &candidate[last], collations[last], context);
    }
    let (part, decides) = match comparison {
        Comparison::NotEqual => (Comparison::NotEqual, true),
        other => (other, false),
    };
    let mut unknown = false;
    for ((left, right), collation) in needle.iter().zip(candidate).zip(collations) {
        match holds(part, left, right, *collation, context)? {
            Some(truth) if truth == decides => return Ok(Some(decides)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok((!unknown).then_some(!decides))
}

#[cfg(test)]
mod tests;
