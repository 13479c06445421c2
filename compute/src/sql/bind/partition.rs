//! What a PARTITION BY clause says: its text, which is what the catalog keeps, and which partition a row belongs to.
//!
//! Rows are not stored by partition. Where it matters in which one a row is (INSERT, PARTITION (p), DROP PARTITION), an
//! expression over the row tells: the partition's number from 0, or NULL if the table has none for the row.

use crate::catalog::TableDef;
use crate::catalog::virtual_tables::PartitionRow;
use crate::sql::bind::canonical::{self, quoted};
use crate::sql::parse;
use crate::sql::parse::ast::syntax::{Expr, UnaryOperator};
use crate::sql::parse::partition::{Bound, Method, Partition, Partitioning, Values};
use crate::sql::plan::walk;
use expr::eval::{EvalContext, SqlMode, eval};
use expr::{ErrorCode, Expression, SqlError};
use std::fmt::Write;

/// The clause of a stored definition.
pub fn parse_text(text: &str) -> Result<Partitioning, SqlError> {
    parse::parse_partitioning(text, SqlMode::default())
}

impl Partitioning {
    /// The clause as SHOW CREATE TABLE prints it; it parses to the same again.
    pub fn text(&self) -> String {
        let mut text = format!("PARTITION BY {}", self.method.text());
        if let Some(subpartitions) = &self.subpartitions {
            let _ = write!(text, "\n{subpartitions}");
        }
        match (&self.partitions[..], self.count) {
            ([], Some(count)) => {
                let _ = write!(text, "\nPARTITIONS {count}");
            }
            ([], None) => {}
            (partitions, _) => {
                let lines: Vec<String> = partitions.iter().map(Partition::text).collect();
                let _ = write!(text, "\n({})", lines.join(",\n "));
            }
        }
        text
    }
}

impl Method {
    /// An expression or one column, not several.
    pub fn has_one_operand(&self) -> bool {
        match self {
            Method::Range(_) | Method::List(_) | Method::Hash { .. } => true,
            Method::RangeColumns(columns) | Method::ListColumns(columns) => columns.len() == 1,
            Method::Key { .. } => false,
        }
    }

    /// HASH and KEY have a partition for every row.
    pub fn takes_every_row(&self) -> bool {
        matches!(self, Method::Hash { .. } | Method::Key { .. })
    }

    /// What stands in front of the columns or the expression: `RANGE  COLUMNS`.
    pub fn name(&self) -> &'static str {
        match self {
            Method::Range(_) => "RANGE",
            Method::RangeColumns(_) => "RANGE COLUMNS",
            Method::List(_) => "LIST",
            Method::ListColumns(_) => "LIST COLUMNS",
            Method::Hash { linear: false, .. } => "HASH",
            Method::Hash { linear: true, .. } => "LINEAR HASH",
            Method::Key { linear: false, .. } => "KEY",
            Method::Key { linear: true, .. } => "LINEAR KEY",
        }
    }

    /// The expression or the columns.
    pub fn operand(&self) -> String {
        let columns = |columns: &[String]| columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
        match self {
            Method::Range(expression) | Method::List(expression) | Method::Hash { expression, .. } => {
                canonical::text(expression)
            }
            Method::RangeColumns(names) | Method::ListColumns(names) | Method::Key { columns: names, .. } => {
                columns(names)
            }
        }
    }

    fn text(&self) -> String {
        let operand = self.operand();
        // An expression comes with its own parentheses.
        let inner = operand.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let simple = inner.filter(|inner| !inner.contains(['(', ')'])).unwrap_or(&operand);
        match self {
            Method::RangeColumns(_) => format!("RANGE  COLUMNS({operand})"),
            Method::ListColumns(_) => format!("LIST  COLUMNS({operand})"),
            Method::Key { algorithm: Some(algorithm), .. } => {
                format!("{} ALGORITHM = {algorithm} ({operand})", self.name())
            }
            _ => format!("{} ({simple})", self.name()),
        }
    }
}

impl Partition {
    fn text(&self) -> String {
        let mut text = format!("PARTITION {}", name_text(&self.name));
        match &self.values {
            Values::None => {}
            Values::LessThan(bounds) if bounds == &[Bound::Max] => text.push_str(" VALUES LESS THAN MAXVALUE"),
            Values::LessThan(bounds) => {
                let _ = write!(text, " VALUES LESS THAN ({})", list_text(bounds));
            }
            Values::In(_) => {
                let _ = write!(text, " VALUES IN ({})", self.description().unwrap_or_default());
            }
        }
        if let Some(comment) = &self.comment {
            let _ = write!(text, " COMMENT = '{}'", comment.replace('\\', "\\\\").replace('\'', "''"));
        }
        text.push_str(" ENGINE = InnoDB");
        text
    }

    /// PARTITION_DESCRIPTION: its values.
    pub fn description(&self) -> Option<String> {
        match &self.values {
            Values::None => None,
            Values::LessThan(bounds) => Some(list_text(bounds)),
            Values::In(values) => {
                let item = |bounds: &Vec<Bound>| match bounds.as_slice() {
                    [bound] => bound.text(),
                    bounds => format!("({})", list_text(bounds)),
                };
                Some(values.iter().map(item).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Bound {
    /// Without the introducer that the general form of a text has.
    pub fn text(&self) -> String {
        match self {
            Bound::Max => "MAXVALUE".to_owned(),
            Bound::Value(value) => {
                if let Expr::UnaryOp { op: UnaryOperator::Minus, expr } = value.as_ref() {
                    return format!("-{}", canonical::text(expr));
                }
                let text = canonical::text(value);
                match text.strip_prefix("_utf8mb4") {
                    Some(plain) if plain.starts_with('\'') => plain.to_owned(),
                    _ => text,
                }
            }
        }
    }
}

fn list_text(bounds: &[Bound]) -> String {
    bounds.iter().map(Bound::text).collect::<Vec<_>>().join(",")
}

/// Quoted where it has to be.
fn name_text(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !parse::is_reserved(name);
    if plain { name.to_owned() } else { quoted(name) }
}

/// The clause of a table; error 1747 if it has none.
pub fn of_table(table: &TableDef) -> Result<Partitioning, SqlError> {
    match table.partitioning.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => parse_text(text),
        None => Err(SqlError::new(ErrorCode(1747), "PARTITION () clause on non partitioned table")),
    }
}

/// What information_schema.PARTITIONS tells of a table's partitions.
pub fn rows(table: &TableDef) -> Result<Vec<PartitionRow>, SqlError> {
    let partitioning = of_table(table)?;
    let (method, expression) = (partitioning.method.name(), partitioning.method.operand());
    let row = |(position, name): (usize, String)| {
        let partition = partitioning.partitions.get(position);
        PartitionRow {
            name,
            method,
            expression: expression.clone(),
            description: partition.and_then(Partition::description),
            comment: partition.and_then(|partition| partition.comment.clone()).unwrap_or_default(),
        }
    };
    Ok(partitioning.names().into_iter().enumerate().map(row).collect())
}

/// An expression over a table's row that gives the number of its partition, as a text.
pub fn membership(partitioning: &Partitioning, table: &TableDef) -> String {
    let parts = table.clustered().parts.iter();
    let key: Vec<String> = parts.filter_map(|part| Some(table.column_by_id(part.column)?.1.name.clone())).collect();
    partitioning.membership(&key)
}

/// Makes the bounds of a bound expression values that no session's sql_mode has a say in: a zero date is one of them.
pub fn settled(mut membership: Expression) -> Expression {
    settle_bounds(&mut membership);
    membership
}

fn settle_bounds(expression: &mut Expression) {
    if let Expression::Cast { argument, ty } = &*expression
        && ty.is_temporal()
        && matches!(**argument, Expression::Literal { .. })
    {
        let lenient = EvalContext { sql_mode: SqlMode(0), ..EvalContext::constant() };
        if let Ok(value) = eval(expression, &[], &lenient)
            && !value.is_null()
        {
            *expression = Expression::Literal { value, ty: ty.clone() };
        }
        return;
    }
    walk::each_child_mut(expression, &mut settle_bounds);
}

/// Numbers of partitions by name; error 1735 for one that is not there.
pub fn numbers(partitioning: &Partitioning, names: &[String], table: &str) -> Result<Vec<u64>, SqlError> {
    let known = partitioning.names();
    let number = |name: &String| match known.iter().position(|known| known.eq_ignore_ascii_case(name)) {
        Some(number) => Ok(number as u64),
        None => Err(SqlError::new(ErrorCode(1735), format!("Unknown partition '{name}' in table '{table}'"))),
    };
    names.iter().map(number).collect()
}

impl Partitioning {
    /// Names of the partitions; those of HASH and KEY are made up.
    pub fn names(&self) -> Vec<String> {
        if !self.partitions.is_empty() {
            return self.partitions.iter().map(|partition| partition.name.clone()).collect();
        }
        (0..self.count.unwrap_or(1)).map(|number| format!("p{number}")).collect()
    }

    /// An expression over the table's row that gives the number of its partition, as a text. `primary_key`: what KEY ()
    /// hashes.
    pub fn membership(&self, primary_key: &[String]) -> String {
        let partitions = self.names().len() as u64;
        match &self.method {
            Method::Range(expression) => {
                let operand = format!("({})", canonical::text(expression));
                self.cases(|values| match values {
                    Values::LessThan(bounds) => less(std::slice::from_ref(&operand), bounds),
                    _ => "false".to_owned(),
                })
            }
            Method::RangeColumns(columns) => {
                let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
                self.cases(|values| match values {
                    Values::LessThan(bounds) => less(&columns, bounds),
                    _ => "false".to_owned(),
                })
            }
            Method::List(expression) => {
                let operand = format!("({})", canonical::text(expression));
                self.cases(|values| among(std::slice::from_ref(&operand), values))
            }
            Method::ListColumns(columns) => {
                let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
                self.cases(|values| among(&columns, values))
            }
            Method::Hash { linear, expression } => {
                spread(&format!("({})", canonical::text(expression)), *linear, partitions)
            }
            Method::Key { linear, columns, .. } => {
                let columns = if columns.is_empty() { primary_key } else { columns };
                let parts: Vec<String> =
                    columns.iter().map(|column| format!("hex(lower({}))", quoted(column))).collect();
                let hashed = format!("crc32(concat_ws(',', '', {}))", parts.join(", "));
                spread(&hashed, *linear, partitions)
            }
        }
    }

    fn cases(&self, condition: impl Fn(&Values) -> String) -> String {
        let mut text = "case".to_owned();
        for (number, partition) in self.partitions.iter().enumerate() {
            let _ = write!(text, " when {} then {number}", condition(&partition.values));
        }
        text.push_str(" end");
        text
    }
}

/// `columns < bounds`, where NULL is less than every value and MAXVALUE more.
fn less(columns: &[String], bounds: &[Bound]) -> String {
    let (Some((column, columns)), Some((bound, bounds))) = (columns.split_first(), bounds.split_first()) else {
        return "false".to_owned();
    };
    let Bound::Value(_) = bound else { return "true".to_owned() };
    let value = bound.text();
    let below = format!("{column} is null or {column} < {value}");
    match columns {
        [] => format!("({below})"),
        _ => format!("({below} or ({column} = {value} and {}))", less(columns, bounds)),
    }
}

fn among(columns: &[String], values: &Values) -> String {
    let Values::In(values) = values else { return "false".to_owned() };
    let equal = |bounds: &Vec<Bound>| {
        let parts: Vec<String> =
            columns.iter().zip(bounds).map(|(column, bound)| format!("{column} <=> {}", bound.text())).collect();
        format!("({})", parts.join(" and "))
    };
    format!("({})", values.iter().map(equal).collect::<Vec<_>>().join(" or "))
}

/// The partition of a whole number. LINEAR takes its low bits, one less where that is no partition.
fn spread(operand: &str, linear: bool, partitions: u64) -> String {
    if !linear {
        return format!("ifnull(abs({operand} % {partitions}), 0)");
    }
    let wide = partitions.next_power_of_two();
    let (all, fewer) = (wide - 1, (wide / 2).max(1) - 1);
    format!("ifnull(if(({operand} & {all}) < {partitions}, {operand} & {all}, {operand} & {fewer}), 0)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_is_kept_as_its_text() {
        for text in [
            "PARTITION BY RANGE (`a`)\n(PARTITION p0 VALUES LESS THAN (-10) ENGINE = InnoDB,\n PARTITION p1 VALUES LESS \
             THAN MAXVALUE COMMENT = 'x' ENGINE = InnoDB)",
            "PARTITION BY RANGE  COLUMNS(`a`,`b`)\n(PARTITION p0 VALUES LESS THAN (1,'x') ENGINE = InnoDB,\n PARTITION p1 \
             VALUES LESS THAN (1,MAXVALUE) ENGINE = InnoDB)",
            "PARTITION BY LIST (year(`d`))\n(PARTITION p0 VALUES IN (1,NULL) ENGINE = InnoDB)",
            "PARTITION BY LIST  COLUMNS(`a`,`b`)\n(PARTITION p0 VALUES IN ((1,'x'),(2,'y')) ENGINE = InnoDB)",
            "PARTITION BY LINEAR HASH (`a`)\nPARTITIONS 4",
            "PARTITION BY KEY (`a`)\nPARTITIONS 3",
        ] {
            assert_eq!(parse_text(text).unwrap().text(), text);
        }
    }

    #[test]
    fn null_is_less_and_maxvalue_more_than_every_value() {
        let clause =
            parse_text("PARTITION BY RANGE COLUMNS(a, b) (PARTITION p0 VALUES LESS THAN (1, MAXVALUE))").unwrap();
        assert_eq!(clause.membership(&[]), "case when (`a` is null or `a` < 1 or (`a` = 1 and true)) then 0 end");
    }
}
