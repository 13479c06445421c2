//! Evaluation of bound expressions on rows: the reference semantics.

use crate::error::{SqlError, Warning};
use crate::value::{Row, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

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

/// What evaluation leaves behind for the session.
#[derive(Debug, Default)]
pub struct Effects {
    /// Of casts and functions; at most [`Effects::WARNINGS_MAX`] are kept, all are counted.
    pub warnings: Mutex<Vec<Warning>>,
    /// User variables (`@name`, lower case); written by `Assign`, copied back to the session after the statement.
    pub user_variables: Mutex<HashMap<String, Value>>,
    /// LAST_INSERT_ID(expr) stores here.
    pub last_insert_id: Mutex<Option<u64>>,
}

impl Effects {
    /// MySQL's default of max_error_count.
    pub const WARNINGS_MAX: usize = 1024;
}

/// What information functions answer from: DATABASE(), USER(), CONNECTION_ID(), system variables.
#[derive(Debug, Clone, Default)]
pub struct SessionInfo {
    pub database: Option<String>,
    /// `root@localhost`: what USER() gives.
    pub user: String,
    /// The account that was matched: CURRENT_USER().
    pub current_user: String,
    pub connection_id: u64,
    pub version: String,
    pub last_insert_id: u64,
    pub row_count: i64,
    pub found_rows: u64,
    /// Of `SET NAMES`: collation of literals.
    pub collation_connection: u16,
    pub group_concat_max_len: usize,
    pub max_allowed_packet: usize,
    pub div_precision_increment: u8,
    pub default_week_format: u8,
    pub lc_time_names: String,
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
}

/// Evaluates on a row.
pub fn eval(expression: &crate::Expression, row: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let _ = (row, context);
    Err(SqlError::internal(format!("cannot evaluate {expression:?}")))
}
