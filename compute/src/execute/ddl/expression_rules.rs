//! What the expressions of a definition may say: generated columns and CHECKs see their row and nothing else.
//! Manual: "CREATE TABLE and Generated Columns" (15.1.20.8), "CHECK Constraints" (15.1.20.6).

use crate::catalog::TableDef;
use crate::catalog::schema::{CheckDef, ColumnDef, IndexDef};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::syntax::{self, BinaryOperator, Expr, UnaryOperator};
use crate::sql::parse::parse_expression;
use expr::eval::SqlMode;
use expr::{ErrorCode, SqlError};
use std::ops::ControlFlow;

/// Functions whose results come from somewhere else than from their arguments.
const NOT_DETERMINISTIC: [&str; 42] = [
    "benchmark",
    "connection_id",
    "curdate",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "curtime",
    "database",
    "default",
    "found_rows",
    "get_lock",
    "is_free_lock",
    "is_used_lock",
    "last_insert_id",
    "load_file",
    "localtime",
    "localtimestamp",
    "now",
    "ps_current_thread_id",
    "rand",
    "random_bytes",
    "release_all_locks",
    "release_lock",
    "row_count",
    "schema",
    "session_user",
    "sleep",
    "source_pos_wait",
    "statement_digest",
    "sysdate",
    "system_user",
    "unix_timestamp",
    "user",
    "utc_date",
    "utc_time",
    "utc_timestamp",
    "uuid",
    "uuid_short",
    "values",
    "version",
];

/// What an expression reads.
#[derive(Default)]
struct Contents {
    columns: Vec<String>,
    /// The first that is not deterministic.
    function: Option<String>,
    subquery: bool,
    variable: bool,
}

fn contents(expression: &Expr) -> Contents {
    let mut contents = Contents::default();
    let _: ControlFlow<()> = syntax::visit_expressions(expression, |part| {
        match part {
            Expr::Identifier(name) if name.quote_style == Some(VARIABLE_QUOTE) => contents.variable = true,
            Expr::Identifier(name) => contents.columns.push(name.value.clone()),
            Expr::CompoundIdentifier(parts) => {
                contents.columns.extend(parts.last().map(|part| part.value.clone()));
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => contents.subquery = true,
            Expr::AnyOp { .. } | Expr::AllOp { .. } => contents.subquery = true,
            Expr::Function(function) => {
                let name = function.name.to_string().trim_matches('`').to_ascii_lowercase();
                let arguments =
                    matches!(&function.args, syntax::FunctionArguments::List(list) if !list.args.is_empty());
                let from_outside = NOT_DETERMINISTIC.contains(&name.as_str())
                    // Of an argument, this one is a plain function.
                    && !(name == "unix_timestamp" && arguments);
                if from_outside && contents.function.is_none() {
                    contents.function = Some(name);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    contents
}

/// Holds all generated columns and CHECKs of a table to the rules.
pub fn verify(table: &TableDef) -> Result<(), SqlError> {
    for (position, column) in table.columns.iter().enumerate() {
        let Some(generated) = &column.generated else { continue };
        let (expression, _) = parse_expression(&generated.expression, SqlMode::default())?;
        let contents = contents(&expression);
        if contents.function.is_some() || contents.subquery || contents.variable {
            return Err(match key_expression_index(column, table) {
                Some(index) => SqlError::new(
                    ErrorCode(3758),
                    format!("Expression of functional index '{index}' contains a disallowed function."),
                ),
                None => SqlError::new(
                    ErrorCode(3102),
                    format!("Expression of generated column '{}' contains a disallowed function.", column.name),
                ),
            });
        }
        for name in &contents.columns {
            let Some(at) = table.column_index(name) else {
                let text = format!("Unknown column '{name}' in 'generated column function'");
                return Err(SqlError::new(ErrorCode::BAD_FIELD, text));
            };
            if table.columns[at].auto_increment {
                return Err(match key_expression_index(column, table) {
                    Some(index) => SqlError::new(
                        ErrorCode(3754),
                        format!("Functional index '{index}' cannot refer to an auto-increment column."),
                    ),
                    None => SqlError::new(
                        ErrorCode(3109),
                        format!("Generated column '{}' cannot refer to auto-increment column.", column.name),
                    ),
                });
            }
            if at >= position && table.columns[at].generated.is_some() {
                return Err(SqlError::new(
                    ErrorCode(3107),
                    "Generated column can refer only to generated columns defined prior to it.",
                ));
            }
        }
        let primary = table.indexes.iter().any(|index| {
            index.name == super::indexes::PRIMARY && index.parts.iter().any(|part| part.column == column.id)
        });
        if primary && !generated.stored {
            return Err(unsupported("Defining a virtual generated column as primary key"));
        }
    }
    for check in &table.checks {
        verify_check(check, table)?;
    }
    Ok(())
}

/// Name of the index that the column holds a part of.
fn key_expression_index<'a>(column: &ColumnDef, table: &'a TableDef) -> Option<&'a str> {
    let holds = |index: &&IndexDef| index.parts.iter().any(|part| part.column == column.id);
    let index = table.indexes.iter().find(holds).filter(|_| column.is_key_expression())?;
    Some(&index.name)
}

/// 3106.
pub fn unsupported(what: &str) -> SqlError {
    SqlError::new(ErrorCode(3106), format!("'{what}' is not supported for generated columns."))
}

fn verify_check(check: &CheckDef, table: &TableDef) -> Result<(), SqlError> {
    let name = &check.name;
    let (expression, _) = parse_expression(&check.expression, SqlMode::default())?;
    let contents = contents(&expression);
    let refused = |code: u16, text: String| Err(SqlError::new(ErrorCode(code), text));
    if let Some(function) = contents.function {
        let text = format!("An expression of a check constraint '{name}' contains disallowed function: {function}.");
        return refused(3814, text);
    }
    if contents.subquery {
        return refused(3815, format!("An expression of a check constraint '{name}' contains disallowed function."));
    }
    if contents.variable {
        let text = format!("An expression of a check constraint '{name}' cannot refer to a user or system variable.");
        return refused(3816, text);
    }
    for column in &contents.columns {
        match table.column_index(column) {
            None => {
                return refused(3820, format!("Check constraint '{name}' refers to non-existing column '{column}'."));
            }
            Some(at) if table.columns[at].auto_increment => {
                return refused(3818, format!("Check constraint '{name}' cannot refer to an auto-increment column."));
            }
            Some(_) => {}
        }
    }
    for key in &table.foreign_keys {
        use crate::catalog::schema::ReferentialAction::{Cascade, SetDefault, SetNull};
        let writes =
            matches!(key.on_update, Cascade | SetNull | SetDefault) || matches!(key.on_delete, SetNull | SetDefault);
        let shared = contents
            .columns
            .iter()
            .find(|column| table.column_index(column).is_some_and(|at| key.columns.contains(&table.columns[at].id)));
        if let (true, Some(column)) = (writes, shared) {
            let text = format!(
                "Column '{column}' cannot be used in a check constraint '{name}': needed in a foreign key constraint '{}' \
                 referential action.",
                key.name
            );
            return refused(3823, text);
        }
    }
    if name.chars().count() > 64 {
        return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, format!("Identifier name '{name}' is too long")));
    }
    if !is_truth(&expression) {
        let text = format!("An expression of non-boolean type specified to a check constraint '{name}'.");
        return refused(3812, text);
    }
    Ok(())
}

/// The expression is a condition by its form.
fn is_truth(expression: &Expr) -> bool {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or, Spaceship, Xor};
    match expression {
        Expr::Nested(inner) => is_truth(inner),
        Expr::Value(value) => matches!(value.value, syntax::Value::Boolean(_)),
        Expr::BinaryOp { op, .. } => {
            matches!(op, And | Eq | Gt | GtEq | Lt | LtEq | NotEq | Or | Spaceship | Xor)
        }
        Expr::UnaryOp { op, .. } => matches!(op, UnaryOperator::Not | UnaryOperator::BangNot),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::InList { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::RLike { .. } => true,
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter().all(|branch| is_truth(&branch.result)) && else_result.as_deref().is_none_or(is_truth)
        }
        Expr::Function(function) => {
            const TRUTHS: [&str; 17] = [
                "json_valid",
                "regexp_like",
                "json_contains",
                "json_contains_path",
                "json_overlaps",
                "json_schema_valid",
                "member of",
                "is_ipv4",
                "is_ipv6",
                "is_ipv4_compat",
                "is_ipv4_mapped",
                "is_uuid",
                "isnull",
                "if",
                "ifnull",
                "coalesce",
                "nullif",
            ];
            TRUTHS.contains(&function.name.to_string().trim_matches('`').to_ascii_lowercase().as_str())
        }
        _ => false,
    }
}

/// A generated column or CHECK that reads this column: what stands against dropping or renaming it.
pub fn dependent(name: &str, table: &TableDef) -> Result<Option<Dependent>, SqlError> {
    let reads = |text: &str| -> Result<bool, SqlError> {
        let (expression, _) = parse_expression(text, SqlMode::default())?;
        Ok(contents(&expression).columns.iter().any(|column| column.eq_ignore_ascii_case(name)))
    };
    for column in &table.columns {
        if let Some(generated) = &column.generated
            && !column.name.eq_ignore_ascii_case(name)
            && reads(&generated.expression)?
        {
            return Ok(Some(match column.is_key_expression() {
                true => Dependent::KeyExpression,
                false => Dependent::Generated,
            }));
        }
    }
    for check in &table.checks {
        if reads(&check.expression)? {
            let (expression, _) = parse_expression(&check.expression, SqlMode::default())?;
            let alone = contents(&expression).columns.iter().all(|column| column.eq_ignore_ascii_case(name));
            return Ok(Some(Dependent::Check { name: check.name.clone(), alone }));
        }
    }
    Ok(None)
}

pub enum Dependent {
    Generated,
    /// Part of a functional index.
    KeyExpression,
    /// `alone`: it reads no other column, and goes with this one.
    Check {
        name: String,
        alone: bool,
    },
}

impl Dependent {
    pub fn refuse(self, column: &str) -> SqlError {
        match self {
            Dependent::KeyExpression => SqlError::new(
                ErrorCode(3837),
                format!("Column '{column}' has a functional index dependency and cannot be dropped or renamed."),
            ),
            Dependent::Generated => {
                SqlError::new(ErrorCode(3108), format!("Column '{column}' has a generated column dependency."))
            }
            Dependent::Check { name, .. } => SqlError::new(
                ErrorCode(3959),
                format!("Check constraint '{name}' uses column '{column}', hence column cannot be dropped or renamed."),
            ),
        }
    }
}

/// True if a stored generated column is computed from this one.
pub fn is_base_of_stored(name: &str, table: &TableDef) -> Result<bool, SqlError> {
    for column in &table.columns {
        if let Some(generated) = column.generated.as_ref().filter(|generated| generated.stored) {
            let (expression, _) = parse_expression(&generated.expression, SqlMode::default())?;
            if contents(&expression).columns.iter().any(|column| column.eq_ignore_ascii_case(name)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
