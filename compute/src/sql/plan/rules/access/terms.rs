//! What a scan's filter says about single columns, in a form that an index can use.
//!
//! A comparison is used only where the constant, stored into the column, finds exactly the rows that compare so: the
//! executors store it by the column's rules, find nothing for an equality with a value that the column cannot hold, and
//! round the edges of ranges outwards.

use crate::sql::plan::rules::expressions::{conjuncts, is_constant};
use crate::sql::plan::{Bound, Scan};
use expr::Expression;
use expr::collation::CollationId;
use expr::compare::compare;
use expr::eval::EvalContext;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use std::cmp::Ordering;
use std::collections::HashMap;

/// By position in the table's columns.
#[derive(Debug, Default)]
pub struct Terms {
    /// Values that the column must be equal to one of.
    equal: HashMap<usize, Vec<Expression>>,
    /// The column must be NULL: the literal.
    null: HashMap<usize, Expression>,
    low: HashMap<usize, Bound>,
    high: HashMap<usize, Bound>,
}

impl Terms {
    pub fn of(scan: &Scan) -> Terms {
        let mut terms = Terms::default();
        for part in conjuncts(scan.filter.clone()) {
            terms.add(scan, &part);
        }
        terms
    }

    pub fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.null.is_empty() && self.low.is_empty() && self.high.is_empty()
    }

    pub fn equal(&self, column: usize) -> Option<&[Expression]> {
        self.equal.get(&column).map(Vec::as_slice)
    }

    /// The one value that the column has.
    pub fn equal_or_null(&self, column: usize) -> Option<&Expression> {
        match self.equal(column) {
            Some([value]) => Some(value),
            _ => self.null.get(&column),
        }
    }

    pub fn low(&self, column: usize) -> Option<&Bound> {
        self.low.get(&column)
    }

    pub fn high(&self, column: usize) -> Option<&Bound> {
        self.high.get(&column)
    }

    fn add(&mut self, scan: &Scan, predicate: &Expression) {
        let Expression::Call { function, arguments, .. } = predicate else { return };
        match (function.name, arguments.as_slice()) {
            ("=" | "<=>", [left, right]) => {
                for (side, other) in [(left, right), (right, left)] {
                    // `<=>` with what may turn out NULL finds rows that a key does not.
                    if function.name == "<=>" && !matches!(other, Expression::Literal { .. }) {
                        continue;
                    }
                    if let Some(column) = column_for(scan, side, other, Use::Equality) {
                        self.add_equal(column, vec![other.clone()]);
                    }
                }
            }
            ("<" | "<=" | ">" | ">=", [left, right]) => {
                let (is_less, inclusive) = (function.name.starts_with('<'), function.name.ends_with('='));
                for (side, other, is_high) in [(left, right, is_less), (right, left, !is_less)] {
                    if let Some(column) = column_for(scan, side, other, Use::Range) {
                        let bounds = if is_high { &mut self.high } else { &mut self.low };
                        bounds.entry(column).or_insert_with(|| Bound { value: other.clone(), inclusive });
                    }
                }
            }
            ("BETWEEN", [side, low, high]) => {
                if let Some(column) = column_for(scan, side, low, Use::Range) {
                    self.low.entry(column).or_insert_with(|| Bound { value: low.clone(), inclusive: true });
                }
                if let Some(column) = column_for(scan, side, high, Use::Range) {
                    self.high.entry(column).or_insert_with(|| Bound { value: high.clone(), inclusive: true });
                }
            }
            ("IN", [side, list @ ..]) => self.add_list(scan, side, list),
            ("IS NULL", [side]) => {
                if let Some(column) = column_of(scan, side) {
                    let null = Expression::literal(Value::Null, MysqlType::null());
                    self.null.entry(column).or_insert(null);
                }
            }
            ("LIKE", [side, Expression::Literal { value: Value::Text(pattern), .. }]) => {
                self.add_pattern(scan, side, pattern);
            }
            _ => {}
        }
    }

    fn add_equal(&mut self, column: usize, values: Vec<Expression>) {
        match self.equal.get_mut(&column) {
            // One value is better than a list; the filter checks the other anyway.
            Some(known) if known.len() <= values.len() => {}
            Some(known) => *known = values,
            None => {
                self.equal.insert(column, values);
            }
        }
    }

    fn add_list(&mut self, scan: &Scan, side: &Expression, list: &[Expression]) {
        let Some(column) = column_of(scan, side) else { return };
        // NULL in a list makes no row pass.
        let list: Vec<&Expression> = list.iter().filter(|item| !is_null(item)).collect();
        let ty = &scan.table.columns[column].ty;
        if list.is_empty() || !list.iter().all(|item| is_constant(item) && agrees(ty, &item.ty(), Use::Equality)) {
            return;
        }
        self.add_equal(column, list.iter().map(|item| (*item).clone()).collect());
        // All that lies between the least and the greatest, where a list of keys is of no use.
        if list.iter().all(|item| agrees(ty, &item.ty(), Use::Range))
            && let Some((least, greatest)) = extremes(&list, ty)
        {
            self.low.entry(column).or_insert(Bound { value: least, inclusive: true });
            self.high.entry(column).or_insert(Bound { value: greatest, inclusive: true });
        }
    }

    /// `LIKE 'abc%'` is a range where texts are ordered by their bytes.
    fn add_pattern(&mut self, scan: &Scan, side: &Expression, pattern: &str) {
        let Some(column) = column_of(scan, side) else { return };
        let ty = &scan.table.columns[column].ty;
        let is_bytewise = matches!(ty.kind, TypeKind::VarChar { .. } | TypeKind::Text { .. })
            && ty.collation == CollationId::UTF8MB4_BIN
            && side.ty().collation == ty.collation;
        let end = pattern.find(['%', '_', '\\']).unwrap_or(pattern.len());
        let start = &pattern[..end];
        let Some(last) = start.chars().next_back().filter(|_| is_bytewise) else { return };
        let literal = |text: &str| Expression::literal(Value::text(text), ty.clone());
        self.low.entry(column).or_insert_with(|| Bound { value: literal(start), inclusive: true });
        // The next character; the gap of the surrogates is no character.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            let mut after = start[..start.len() - last.len_utf8()].to_owned();
            after.push(next);
            self.high.entry(column).or_insert_with(|| Bound { value: literal(&after), inclusive: false });
        }
    }
}

fn is_null(expression: &Expression) -> bool {
    matches!(expression, Expression::Literal { value: Value::Null, .. })
}

/// Least and greatest of literals.
fn extremes(list: &[&Expression], ty: &MysqlType) -> Option<(Expression, Expression)> {
    let value = |expression: &Expression| match expression {
        Expression::Literal { value, .. } => Some(value.clone()),
        _ => None,
    };
    let context = EvalContext::constant();
    let (mut least, mut greatest) = (list.first()?, list.first()?);
    for item in list {
        let order = |other: &Expression| compare(&value(item)?, &value(other)?, ty.collation, &context).ok().flatten();
        if order(least)? == Ordering::Less {
            least = item;
        }
        if order(greatest)? == Ordering::Greater {
            greatest = item;
        }
    }
    Some(((*least).clone(), (*greatest).clone()))
}

/// What a comparison is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Equality,
    Range,
}

/// The table's column that `side` is.
fn column_of(scan: &Scan, side: &Expression) -> Option<usize> {
    let Expression::Column { index, ty } = side else { return None };
    let column = *scan.columns.get(*index)?;
    // A column under another collation compares otherwise than it is stored.
    (scan.table.columns.get(column)?.ty.collation == ty.collation).then_some(column)
}

/// The table's column that `side` is, if an index may be asked for `other`.
fn column_for(scan: &Scan, side: &Expression, other: &Expression, purpose: Use) -> Option<usize> {
    let column = column_of(scan, side)?;
    let is_usable =
        is_constant(other) && !is_null(other) && agrees(&scan.table.columns[column].ty, &other.ty(), purpose);
    is_usable.then_some(column)
}

/// Comparing a column of a type with a constant of another is comparing the stored forms.
fn agrees(column: &MysqlType, constant: &MysqlType, purpose: Use) -> bool {
    use TypeKind::{Bit, Char, Date, DateTime, Decimal, Double, Enum, Int, Text, Time, Timestamp, VarChar, Year};
    let is_exact = constant.is_integer() || matches!(constant.kind, Decimal { .. });
    let is_moment = matches!(constant.kind, Date | DateTime { .. } | Timestamp { .. });
    let is_plain_text = matches!(constant.kind, Char { .. } | VarChar { .. } | Text { .. });
    match column.kind {
        Int { .. } | Decimal { .. } => is_exact,
        Double { .. } => constant.is_numeric(),
        Bit { .. } => constant.is_integer() && purpose == Use::Equality,
        // 1 is 2001 when it is stored, but not when it is compared.
        Year => constant.is_integer() && purpose == Use::Equality,
        Char { .. } | VarChar { .. } | Text { .. } => is_plain_text && constant.collation == column.collation,
        // Members are ordered by number, and compared by name.
        Enum(_) => is_plain_text && constant.collation == column.collation && purpose == Use::Equality,
        Date | DateTime { .. } | Timestamp { .. } => is_moment,
        Time { .. } => matches!(constant.kind, Time { .. }),
        TypeKind::VarBinary { .. } | TypeKind::Blob { .. } => constant.is_binary() || is_plain_text,
        TypeKind::Binary { .. } => constant.is_binary() && purpose == Use::Equality,
        _ => false,
    }
}
