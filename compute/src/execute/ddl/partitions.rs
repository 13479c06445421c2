//! Partitions of a table: what a PARTITION BY clause must fulfil, and what ALTER TABLE does to single partitions.
//!
//! Partitioning is part of the definition, not of how rows are stored: DROP and TRUNCATE PARTITION delete the rows whose
//! partition it is, one by one. Manual: "Partitioning" (26).

use crate::catalog::TableDef;
use crate::catalog::schema::ColumnDef;
use crate::execute::StatementContext;
use crate::execute::ddl::columns::COMMENT_MAX;
use crate::execute::write::assign;
use crate::sql::bind::{canonical, partition};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::PartitionAction;
use crate::sql::parse::ast::syntax::{self, Expr};
use crate::sql::parse::partition::{Bound, Method, Partition, Partitioning, Values};
use expr::eval::{EvalContext, SqlMode, eval};
use expr::mysql_type::TypeKind;
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};
use std::cmp::Ordering;

const PARTITIONS_MAX: u64 = 8192;

fn wrong(code: u16, message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorCode(code), message)
}

/// Checks a clause against the table and puts constants in the place of its value expressions.
pub fn settle(
    mut partitioning: Partitioning,
    table: &TableDef,
    context: &StatementContext<'_>,
) -> Result<Partitioning, SqlError> {
    check_count(&partitioning)?;
    check_names(&partitioning)?;
    check_kinds(&partitioning)?;
    if partitioning.subpartitions.is_some() && partitioning.method.takes_every_row() {
        let text = "It is only possible to mix RANGE/LIST partitioning with HASH/KEY partitioning for subpartitioning";
        return Err(wrong(1500, text));
    }
    let columns = columns_of(&partitioning, table)?;
    if !table.foreign_keys.is_empty() {
        return Err(wrong(1506, "Foreign keys are not yet supported in conjunction with partitioning"));
    }
    match &partitioning.method {
        Method::RangeColumns(_) | Method::ListColumns(_) => {
            for column in &columns {
                check_column_type(column)?;
            }
            let method = partitioning.method.clone();
            for partition in &mut partitioning.partitions {
                settle_columns(partition, &columns, &method, table, context)?;
            }
        }
        Method::Range(expression) | Method::List(expression) | Method::Hash { expression, .. } => {
            let unsigned = check_function(expression, &columns, table, context)?;
            for partition in &mut partitioning.partitions {
                settle_numbers(partition, unsigned, table, context)?;
            }
        }
        Method::Key { .. } => {
            let blob = |column: &&ColumnDef| {
                matches!(
                    column.ty.kind,
                    TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Json | TypeKind::Geometry(_)
                )
            };
            if columns.iter().any(blob) {
                return Err(wrong(1502, "A BLOB field is not allowed in partition function"));
            }
        }
    }
    check_values(&partitioning, &columns, &context.eval)?;
    check_unique_keys(table, &columns)?;
    Ok(partitioning)
}

fn check_count(partitioning: &Partitioning) -> Result<(), SqlError> {
    if partitioning.count == Some(0) {
        return Err(wrong(1504, "Number of partitions = 0 is not an allowed value"));
    }
    let defined = partitioning.partitions.len() as u64;
    if partitioning.count.unwrap_or(defined).max(defined) > PARTITIONS_MAX {
        return Err(wrong(1499, "Too many partitions (including subpartitions) were defined"));
    }
    if partitioning.count.is_some_and(|count| defined > 0 && count != defined) {
        return Err(wrong(1484, "Wrong number of partitions defined, mismatch with previous setting"));
    }
    let kind = match partitioning.method {
        Method::Range(_) | Method::RangeColumns(_) => "RANGE",
        Method::List(_) | Method::ListColumns(_) => "LIST",
        _ => return Ok(()),
    };
    match defined {
        0 => Err(wrong(1492, format!("For {kind} partitions each partition must be defined"))),
        _ => Ok(()),
    }
}

fn check_names(partitioning: &Partitioning) -> Result<(), SqlError> {
    let mut seen = std::collections::HashSet::new();
    for partition in &partitioning.partitions {
        if partition.comment.as_ref().is_some_and(|comment| comment.chars().count() > COMMENT_MAX) {
            let text = format!("Comment for table partition '{}' is too long (max = {COMMENT_MAX})", partition.name);
            return Err(wrong(1793, text));
        }
        if !seen.insert(partition.name.to_lowercase()) {
            return Err(wrong(1517, format!("Duplicate partition name {}", partition.name)));
        }
    }
    Ok(())
}

/// VALUES LESS THAN for RANGE, VALUES IN for LIST, nothing for the others.
fn check_kinds(partitioning: &Partitioning) -> Result<(), SqlError> {
    let kind = match partitioning.method {
        Method::Range(_) | Method::RangeColumns(_) => "RANGE",
        Method::List(_) | Method::ListColumns(_) => "LIST",
        _ => "",
    };
    for partition in &partitioning.partitions {
        match (&partition.values, kind) {
            (Values::LessThan(_), "RANGE") | (Values::In(_), "LIST") | (Values::None, "") => {}
            (Values::None, _) => {
                let clause = if kind == "RANGE" { "LESS THAN" } else { "IN" };
                return Err(wrong(
                    1479,
                    format!(
                        "Syntax error: {kind} PARTITIONING requires definition of VALUES {clause} for each partition"
                    ),
                ));
            }
            (Values::LessThan(_), _) => {
                return Err(wrong(1480, "Only RANGE PARTITIONING can use VALUES LESS THAN in partition definition"));
            }
            (Values::In(_), _) => {
                return Err(wrong(1480, "Only LIST PARTITIONING can use VALUES IN in partition definition"));
            }
        }
    }
    Ok(())
}

/// The columns that decide on a row's partition.
fn columns_of<'t>(partitioning: &Partitioning, table: &'t TableDef) -> Result<Vec<&'t ColumnDef>, SqlError> {
    let listed = |names: &[String]| {
        let mut columns: Vec<&ColumnDef> = Vec::new();
        for name in names {
            let Some(position) = table.column_index(name) else {
                return Err(wrong(1488, "Field in list of fields for partition function not found in table"));
            };
            if columns.iter().any(|other| other.id == table.columns[position].id) {
                return Err(wrong(1652, "Duplicate partition field name '".to_owned() + name + "'"));
            }
            columns.push(&table.columns[position]);
        }
        Ok(columns)
    };
    match &partitioning.method {
        Method::RangeColumns(names) | Method::ListColumns(names) => listed(names),
        Method::Key { columns, .. } if columns.is_empty() => {
            let parts = &table.clustered().parts;
            if parts.is_empty() {
                return Err(wrong(1488, "Field in list of fields for partition function not found in table"));
            }
            Ok(parts.iter().filter_map(|part| Some(table.column_by_id(part.column)?.1)).collect())
        }
        Method::Key { columns, .. } => listed(columns),
        Method::Range(expression) | Method::List(expression) | Method::Hash { expression, .. } => {
            let mut columns = Vec::new();
            for name in names_in(expression)? {
                let Some(position) = table.column_index(&name) else {
                    let text = format!("Unknown column '{name}' in 'partition function'");
                    return Err(SqlError::new(ErrorCode::BAD_FIELD, text));
                };
                columns.push(&table.columns[position]);
            }
            Ok(columns)
        }
    }
}

/// Columns that a partitioning function names; error 1564 for what it may not contain.
fn names_in(expression: &Expr) -> Result<Vec<String>, SqlError> {
    const FUNCTIONS: [&str; 24] = [
        "abs",
        "ceiling",
        "datediff",
        "day",
        "dayofmonth",
        "dayofweek",
        "dayofyear",
        "extract",
        "floor",
        "hour",
        "microsecond",
        "minute",
        "mod",
        "month",
        "quarter",
        "second",
        "time_to_sec",
        "to_days",
        "to_seconds",
        "unix_timestamp",
        "weekday",
        "year",
        "yearweek",
        "ceil",
    ];
    use syntax::BinaryOperator::{Minus, Modulo, Multiply, MyIntegerDivide, Plus};
    let not_allowed = || Err(wrong(1564, "This partition function is not allowed"));
    match expression {
        Expr::Identifier(name) if name.quote_style != Some(VARIABLE_QUOTE) => Ok(vec![name.value.clone()]),
        Expr::CompoundIdentifier(parts) => Ok(parts.last().map(|part| part.value.clone()).into_iter().collect()),
        Expr::Value(_) => Ok(Vec::new()),
        Expr::Nested(inner) => names_in(inner),
        Expr::UnaryOp { op: syntax::UnaryOperator::Minus | syntax::UnaryOperator::Plus, expr } => names_in(expr),
        Expr::BinaryOp { left, op: Plus | Minus | Multiply | Modulo | MyIntegerDivide, right } => {
            Ok([names_in(left)?, names_in(right)?].concat())
        }
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            let syntax::FunctionArguments::List(list) = &function.args else { return not_allowed() };
            if !FUNCTIONS.contains(&name.as_str()) {
                return not_allowed();
            }
            let mut names = Vec::new();
            for argument in &list.args {
                let syntax::FunctionArg::Unnamed(syntax::FunctionArgExpr::Expr(argument)) = argument else {
                    return not_allowed();
                };
                names.extend(names_in(argument)?);
            }
            Ok(names)
        }
        Expr::Extract { expr, .. } | Expr::Floor { expr, .. } | Expr::Ceil { expr, .. } => names_in(expr),
        _ => not_allowed(),
    }
}

/// A column that decided on partitions and is gone.
pub fn missing_column(partitioning: &Partitioning, old: &TableDef, new: &TableDef) -> Result<Option<String>, SqlError> {
    let names = match &partitioning.method {
        Method::RangeColumns(names) | Method::ListColumns(names) | Method::Key { columns: names, .. } => names.clone(),
        Method::Range(expression) | Method::List(expression) | Method::Hash { expression, .. } => names_in(expression)?,
    };
    Ok(names.into_iter().find(|name| new.column_index(name).is_none() && old.column_index(name).is_some()))
}

fn check_column_type(column: &ColumnDef) -> Result<(), SqlError> {
    let allowed = matches!(
        column.ty.kind,
        TypeKind::Int { .. }
            | TypeKind::Year
            | TypeKind::Date
            | TypeKind::DateTime { .. }
            | TypeKind::Time { .. }
            | TypeKind::Char { .. }
            | TypeKind::VarChar { .. }
            | TypeKind::Binary { .. }
            | TypeKind::VarBinary { .. }
    );
    match allowed {
        true => Ok(()),
        false => {
            Err(wrong(1659, format!("Field '{}' is of a not allowed type for this type of partitioning", column.name)))
        }
    }
}

/// The function gives whole numbers and reads a column. True if none of them is negative.
fn check_function(
    expression: &Expr,
    columns: &[&ColumnDef],
    table: &TableDef,
    context: &StatementContext<'_>,
) -> Result<bool, SqlError> {
    if columns.is_empty() {
        let text = "Constant, random or timezone-dependent expressions in (sub)partitioning function are not allowed";
        return Err(wrong(1486, text));
    }
    if !depends_on_row_only(expression, table) {
        let text = "Constant, random or timezone-dependent expressions in (sub)partitioning function are not allowed";
        return Err(wrong(1486, text));
    }
    let ty = context.binder.bind(table, &canonical::text(expression))?.ty();
    if let Expr::Identifier(_) = strip(expression)
        && !ty.is_integer()
    {
        return Err(wrong(
            1659,
            format!("Field '{}' is of a not allowed type for this type of partitioning", columns[0].name),
        ));
    }
    match ty.is_integer() {
        true => Ok(ty.is_unsigned()),
        false => Err(wrong(1491, "The PARTITION function returns the wrong type")),
    }
}

/// Parts of dates are taken from dates and parts of times from times; a TIMESTAMP depends on the time zone, which only
/// UNIX_TIMESTAMP undoes.
fn depends_on_row_only(expression: &Expr, table: &TableDef) -> bool {
    const OF_DATES: [&str; 12] = [
        "day",
        "dayofmonth",
        "dayofweek",
        "dayofyear",
        "month",
        "quarter",
        "to_days",
        "to_seconds",
        "weekday",
        "year",
        "yearweek",
        "datediff",
    ];
    const OF_TIMES: [&str; 5] = ["hour", "minute", "second", "time_to_sec", "microsecond"];
    let kind = |expression: &Expr| match strip(expression) {
        Expr::Identifier(name) => table.column_index(&name.value).map(|at| table.columns[at].ty.kind.clone()),
        _ => None,
    };
    match expression {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => depends_on_row_only(inner, table),
        Expr::BinaryOp { left, right, .. } => depends_on_row_only(left, table) && depends_on_row_only(right, table),
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            let syntax::FunctionArguments::List(list) = &function.args else { return true };
            list.args.iter().all(|argument| {
                let syntax::FunctionArg::Unnamed(syntax::FunctionArgExpr::Expr(argument)) = argument else {
                    return true;
                };
                match kind(argument) {
                    Some(kind) if OF_DATES.contains(&name.as_str()) => {
                        matches!(kind, TypeKind::Date | TypeKind::DateTime { .. })
                    }
                    Some(kind) if OF_TIMES.contains(&name.as_str()) => {
                        matches!(kind, TypeKind::Time { .. } | TypeKind::DateTime { .. })
                    }
                    Some(TypeKind::Timestamp { .. }) => name == "unix_timestamp",
                    _ => depends_on_row_only(argument, table),
                }
            })
        }
        _ => true,
    }
}

fn strip(expression: &Expr) -> &Expr {
    match expression {
        Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

fn constant(
    expression: &Expr,
    table: &TableDef,
    context: &StatementContext<'_>,
) -> Result<(Value, Expression), SqlError> {
    let bound = context.binder.bind(table, &canonical::text(expression))?;
    if !bound.is_fixed() {
        let text = "Constant, random or timezone-dependent expressions in (sub)partitioning function are not allowed";
        return Err(wrong(1486, text));
    }
    Ok((eval(&bound, &[], &context.eval)?, bound))
}

/// Whole numbers as values of RANGE and LIST.
fn settle_numbers(
    partition: &mut Partition,
    unsigned: bool,
    table: &TableDef,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let name = partition.name.clone();
    let less_than = matches!(partition.values, Values::LessThan(_));
    let settle = |bound: &mut Bound| {
        let Bound::Value(expression) = bound else { return Ok(()) };
        let (value, bound_expression) = constant(expression, table, context)?;
        if value.is_null() {
            if less_than {
                return Err(wrong(1566, "Not allowed to use NULL value in VALUES LESS THAN"));
            }
        } else if !bound_expression.ty().is_integer() {
            return Err(wrong(1697, format!("VALUES value for partition '{name}' must have type INT")));
        } else if unsigned && matches!(value, Value::Int(number) if number < 0) {
            return Err(wrong(1563, "Partition constant is out of partition function domain"));
        }
        *bound = Bound::Value(Box::new(literal(&value)));
        Ok(())
    };
    match &mut partition.values {
        Values::None => Ok(()),
        Values::LessThan(bounds) => match bounds.len() {
            1 => bounds.iter_mut().try_for_each(settle),
            _ => Err(wrong(1653, "Inconsistency in usage of column lists for partitioning")),
        },
        Values::In(values) => values.iter_mut().try_for_each(|bounds| match bounds.len() {
            1 => bounds.iter_mut().try_for_each(settle),
            _ => Err(wrong(1658, "Row expressions in VALUES IN only allowed for multi-field column partitioning")),
        }),
    }
}

/// Values of the columns' types.
fn settle_columns(
    partition: &mut Partition,
    columns: &[&ColumnDef],
    method: &Method,
    table: &TableDef,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let less_than = matches!(method, Method::RangeColumns(_));
    let tuple = |bounds: &mut Vec<Bound>| {
        // A lone MAXVALUE, in parentheses or without.
        if bounds.len() != columns.len() {
            return Err(wrong(1653, "Inconsistency in usage of column lists for partitioning"));
        }
        for (bound, column) in bounds.iter_mut().zip(columns) {
            let Bound::Value(expression) = bound else { continue };
            let (value, _) = constant(expression, table, context)?;
            if value.is_null() && less_than {
                return Err(wrong(1566, "Not allowed to use NULL value in VALUES LESS THAN"));
            }
            let value = column_value(column, value, &context.eval)?;
            *bound = Bound::Value(Box::new(literal(&value)));
        }
        Ok(())
    };
    match &mut partition.values {
        Values::None => Ok(()),
        Values::LessThan(bounds) => tuple(bounds),
        Values::In(values) => values.iter_mut().try_for_each(tuple),
    }
}

/// Error 1654 for what is no value of the column's type as it stands.
fn column_value(column: &ColumnDef, value: Value, context: &EvalContext) -> Result<Value, SqlError> {
    let incorrect = || wrong(1654, "Partition column values of incorrect type");
    if value.is_null() {
        return Ok(value);
    }
    let number = matches!(value, Value::Int(_) | Value::UInt(_));
    let fits = match column.ty.kind {
        TypeKind::Int { .. } | TypeKind::Year => number,
        _ => !number && !matches!(value, Value::Decimal(_) | Value::Double(_)),
    };
    if !fits {
        return Err(incorrect());
    }
    let strict = EvalContext { strict_write: true, ..of_no_mode(context) };
    assign::convert(column, value, 1, &strict).map_err(|_| incorrect())
}

/// Values that partitions end at are the same whether the sql_mode is strict: a zero date is one of them.
fn of_no_mode(context: &EvalContext) -> EvalContext {
    let kept = SqlMode(context.sql_mode.0 & SqlMode::ALLOW_INVALID_DATES.0);
    EvalContext { sql_mode: kept, ..context.clone() }
}

fn literal(value: &Value) -> Expr {
    let value = match value {
        Value::Null => syntax::Value::Null,
        Value::Int(number) if *number < 0 => {
            let digits = syntax::Value::Number(number.unsigned_abs().to_string(), false);
            let expr = Box::new(Expr::Value(digits.into()));
            return Expr::UnaryOp { op: syntax::UnaryOperator::Minus, expr };
        }
        Value::Int(_) | Value::UInt(_) => syntax::Value::Number(value.to_text().into_owned(), false),
        Value::Bytes(bytes) => {
            syntax::Value::HexStringLiteral(bytes.iter().map(|byte| format!("{byte:02X}")).collect())
        }
        other => syntax::Value::SingleQuotedString(other.to_text().into_owned()),
    };
    Expr::Value(value.into())
}

/// What stands for a settled bound when two are compared: None is MAXVALUE.
fn settled(bound: &Bound, column: Option<&&ColumnDef>, context: &EvalContext) -> Result<Option<Value>, SqlError> {
    let Bound::Value(expression) = bound else { return Ok(None) };
    let value = match expression.as_ref() {
        Expr::UnaryOp { expr, .. } => Value::Int(
            canonical::text(expr).parse::<i128>().map_or(i64::MIN, |number| i64::try_from(-number).unwrap_or(i64::MIN)),
        ),
        Expr::Value(value) => match &value.value {
            syntax::Value::Null => Value::Null,
            syntax::Value::Number(digits, _) => match digits.parse::<i64>() {
                Ok(number) => Value::Int(number),
                Err(_) => Value::UInt(digits.parse().unwrap_or(u64::MAX)),
            },
            syntax::Value::HexStringLiteral(digits) => Value::bytes(
                digits
                    .as_bytes()
                    .chunks(2)
                    .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                    .collect::<Vec<u8>>(),
            ),
            syntax::Value::SingleQuotedString(text) => Value::text(text),
            _ => Value::Null,
        },
        _ => Value::Null,
    };
    Ok(Some(match column {
        Some(column) => assign::convert(column, value, 1, &of_no_mode(context))?,
        None => value,
    }))
}

fn order(
    left: &[Bound],
    right: &[Bound],
    columns: Option<&[&ColumnDef]>,
    context: &EvalContext,
) -> Result<Ordering, SqlError> {
    for (position, (left, right)) in left.iter().zip(right).enumerate() {
        let column = columns.and_then(|columns| columns.get(position));
        let collation = column.map_or(expr::collation::CollationId::BINARY, |column| column.ty.collation);
        let found = match (settled(left, column, context)?, settled(right, column, context)?) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(Value::Null), Some(Value::Null)) => Ordering::Equal,
            (Some(Value::Null), _) => Ordering::Less,
            (_, Some(Value::Null)) => Ordering::Greater,
            (Some(left), Some(right)) => {
                expr::compare::compare(&left, &right, collation, context)?.unwrap_or(Ordering::Equal)
            }
        };
        if found != Ordering::Equal {
            return Ok(found);
        }
    }
    Ok(Ordering::Equal)
}

/// Ranges rise, lists name each value once.
fn check_values(partitioning: &Partitioning, columns: &[&ColumnDef], context: &EvalContext) -> Result<(), SqlError> {
    let columns = match partitioning.method {
        Method::RangeColumns(_) | Method::ListColumns(_) => Some(columns),
        _ => None,
    };
    let mut before: Option<&[Bound]> = None;
    let mut listed: Vec<&[Bound]> = Vec::new();
    for partition in &partitioning.partitions {
        match &partition.values {
            Values::None => {}
            Values::LessThan(bounds) => {
                if let Some(before) = before {
                    if columns.is_none() && before == [Bound::Max] {
                        return Err(wrong(1481, "MAXVALUE can only be used in last partition definition"));
                    }
                    if order(before, bounds, columns, context)? != Ordering::Less {
                        let text = "VALUES LESS THAN value must be strictly increasing for each partition";
                        return Err(wrong(1493, text));
                    }
                }
                before = Some(bounds);
            }
            Values::In(values) => {
                for bounds in values {
                    for other in &listed {
                        if order(other, bounds, columns, context)? == Ordering::Equal {
                            return Err(wrong(1495, "Multiple definition of same constant in list partitioning"));
                        }
                    }
                    listed.push(bounds);
                }
            }
        }
    }
    Ok(())
}

/// A unique key must tell the partition, or it would have to be looked for in all of them.
fn check_unique_keys(table: &TableDef, columns: &[&ColumnDef]) -> Result<(), SqlError> {
    for index in table.indexes.iter().filter(|index| index.unique && !index.parts.is_empty()) {
        let has =
            |column: &&ColumnDef| index.parts.iter().any(|part| part.column == column.id && part.prefix.is_none());
        if !columns.iter().all(has) {
            let kind = if index.name == super::indexes::PRIMARY { "PRIMARY KEY" } else { "UNIQUE INDEX" };
            let text = format!(
                "A {kind} must include all columns in the table's partitioning function (prefixed columns \
                                are not considered)."
            );
            return Err(wrong(1503, text));
        }
    }
    Ok(())
}

/// What an action leaves, and the numbers of the partitions whose rows go.
pub struct Outcome {
    pub partitioning: Partitioning,
    pub emptied: Vec<u64>,
    /// Rows may be in no partition any more.
    pub verify: bool,
}

/// Applies an action to a table's partitions.
pub fn apply(action: &PartitionAction, table: &TableDef) -> Result<Outcome, SqlError> {
    let Some(text) = table.partitioning.as_deref().filter(|text| !text.is_empty()) else {
        return Err(wrong(1505, "Partition management on a not partitioned table is not possible"));
    };
    let mut partitioning = partition::parse_text(text)?;
    let hashed = matches!(partitioning.method, Method::Hash { .. } | Method::Key { .. });
    let mut emptied = Vec::new();
    let mut verify = false;
    let missing = |verb: &str| wrong(1507, format!("Error in list of partitions to {verb}"));
    match action {
        PartitionAction::Add(added) if added.is_empty() && hashed => {
            return Err(wrong(1514, "At least one partition must be added"));
        }
        PartitionAction::Add(added) if added.is_empty() => {
            let list = matches!(partitioning.method, Method::List(_) | Method::ListColumns(_));
            let kind = if list { "LIST" } else { "RANGE" };
            return Err(wrong(1492, format!("For {kind} partitions each partition must be defined")));
        }
        PartitionAction::Add(added) if hashed => {
            if partitioning.partitions.is_empty() {
                partitioning.partitions = partitioning.names().into_iter().map(unbounded).collect();
            }
            partitioning.partitions.extend(added.iter().cloned());
        }
        PartitionAction::Add(added) => {
            if let (Some(Values::LessThan(last)), Method::Range(_) | Method::RangeColumns(_)) =
                (partitioning.partitions.last().map(|last| &last.values), &partitioning.method)
                && last.iter().all(|bound| *bound == Bound::Max)
            {
                return Err(wrong(1481, "MAXVALUE can only be used in last partition definition"));
            }
            partitioning.partitions.extend(added.iter().cloned());
        }
        PartitionAction::AddCount(_) if !hashed => {
            let kind =
                if matches!(partitioning.method, Method::List(_) | Method::ListColumns(_)) { "LIST" } else { "RANGE" };
            return Err(wrong(1492, format!("For {kind} partitions each partition must be defined")));
        }
        PartitionAction::AddCount(0) => {
            return Err(wrong(1514, "At least one partition must be added"));
        }
        PartitionAction::AddCount(count) => {
            add_count(&mut partitioning, *count);
            check_names(&partitioning)?;
        }
        PartitionAction::Coalesce(_) if !hashed => {
            return Err(wrong(1509, "COALESCE PARTITION can only be used on HASH/KEY partitions"));
        }
        PartitionAction::Coalesce(0) => {
            return Err(wrong(1515, "At least one partition must be coalesced"));
        }
        PartitionAction::Coalesce(count) => {
            let left = (partitioning.names().len() as u64).saturating_sub(*count);
            if left == 0 {
                return Err(wrong(1508, "Cannot remove all partitions, use DROP TABLE instead"));
            }
            partitioning.count = Some(left);
            partitioning.partitions.truncate(left as usize);
        }
        PartitionAction::Drop(_) if hashed => {
            return Err(wrong(1512, "DROP PARTITION can only be used on RANGE/LIST partitions"));
        }
        PartitionAction::Drop(names) => {
            // As many names as there are partitions count as all of them, whatever they are.
            if names.len() >= partitioning.partitions.len() {
                return Err(wrong(1508, "Cannot remove all partitions, use DROP TABLE instead"));
            }
            emptied = partition::numbers(&partitioning, names, &table.name).map_err(|_| missing("DROP"))?;
            let mut distinct = emptied.clone();
            distinct.sort_unstable();
            distinct.dedup();
            if distinct.len() < names.len() {
                return Err(missing("DROP"));
            }
            let gone = |partition: &Partition| names.iter().any(|name| name.eq_ignore_ascii_case(&partition.name));
            partitioning.partitions.retain(|partition| !gone(partition));
        }
        PartitionAction::Truncate(names) => {
            let names = names.clone().unwrap_or_else(|| partitioning.names());
            emptied = partition::numbers(&partitioning, &names, &table.name)?;
        }
        PartitionAction::Reorganize { .. } if hashed => {
            return Err(wrong(
                1510,
                "REORGANIZE PARTITION can only be used to reorganize partitions not to change their numbers",
            ));
        }
        PartitionAction::Reorganize { from, into } => {
            reorganize(&mut partitioning, from, into, &table.name).map_err(|error| match error.code {
                ErrorCode(1735) => missing("REORGANIZE"),
                _ => error,
            })?;
            verify = true;
        }
        PartitionAction::Exchange { .. } => {
            return Err(SqlError::not_supported("EXCHANGE PARTITION with another action"));
        }
        PartitionAction::Upkeep(names) => {
            partition::numbers(&partitioning, names.as_deref().unwrap_or_default(), &table.name)?;
        }
    }
    partitioning.count = partitioning.count.filter(|_| partitioning.partitions.is_empty());
    Ok(Outcome { partitioning, emptied, verify })
}

fn add_count(partitioning: &mut Partitioning, added: u64) {
    let before = partitioning.names();
    let count = before.len() as u64 + added;
    if !partitioning.partitions.is_empty() {
        let new = (before.len() as u64..count).map(|number| Partition {
            name: format!("p{number}"),
            values: Values::None,
            comment: None,
        });
        partitioning.partitions.extend(new);
    }
    partitioning.count = Some(count);
}

/// A partition of HASH or KEY.
fn unbounded(name: String) -> Partition {
    Partition { name, values: Values::None, comment: None }
}

/// Neighbours give way to others that cover the same.
fn reorganize(
    partitioning: &mut Partitioning,
    from: &[String],
    into: &[Partition],
    table: &str,
) -> Result<(), SqlError> {
    let mut numbers = partition::numbers(partitioning, from, table)?;
    numbers.sort_unstable();
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else { return Ok(()) };
    let range = matches!(partitioning.method, Method::Range(_) | Method::RangeColumns(_));
    if range && last - first + 1 != numbers.len() as u64 {
        let text = "When reorganizing a set of partitions they must be in consecutive order";
        return Err(wrong(1519, text));
    }
    let (first, last) = (first as usize, last as usize);
    if range && last + 1 < partitioning.partitions.len() {
        let end = |partition: Option<&Partition>| partition.map(|partition| partition.values.clone());
        if end(into.last()) != end(partitioning.partitions.get(last)) {
            let text = "Reorganize of range partitions cannot change total ranges except for last partition where it can \
                        extend the range";
            return Err(wrong(1520, text));
        }
    }
    let mut number = 0;
    partitioning.partitions.retain(|_| {
        number += 1;
        !numbers.contains(&(number - 1))
    });
    partitioning.partitions.splice(first..first, into.iter().cloned());
    Ok(())
}
