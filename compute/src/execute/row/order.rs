//! The order that an ORDER BY asks for, as rows are sorted by it.
//!
//! It is that of [`sort_key`]'s bytes. Numbers and the like are made bytes once, for one comparison of all of them.
//! Texts stay as they are: most differ in their first characters, so that the weights of whole texts cost more than the
//! comparisons.

use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::keys::{KeyColumn, sort_key};
use crate::execute::row::operator::Scope;
use crate::sql::plan::SortKey;
use compact_str::CompactString;
use expr::mysql_type::TypeKind;
use expr::value::{Row, Value};
use expr::{Expression, SqlError, collation};
use std::cmp::Ordering;

pub struct Order<'q> {
    parts: Vec<Part<'q>>,
}

enum Part<'q> {
    /// Columns that become bytes, one behind the other.
    Bytes(Vec<(Evaluator<'q>, KeyColumn)>),
    /// A text that stands in the row.
    Column(usize, KeyColumn),
    /// Another text.
    Text(Evaluator<'q>, KeyColumn),
}

/// What a row is sorted by, as far as it is not in the row itself.
#[derive(Default)]
pub struct Place(Vec<Key>);

enum Key {
    Bytes(Vec<u8>),
    Text(CompactString),
}

impl<'q> Order<'q> {
    pub fn new(keys: &'q [SortKey], scope: &Scope<'q>) -> Order<'q> {
        let mut parts: Vec<Part<'q>> = Vec::new();
        for key in keys {
            let column = KeyColumn { ty: key.expression.ty(), descending: key.descending };
            let is_text =
                matches!(column.ty.kind, TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. });
            let evaluator = Evaluator::new(&key.expression, scope);
            match (&key.expression, parts.last_mut()) {
                (Expression::Column { index, .. }, _) if is_text => parts.push(Part::Column(*index, column)),
                _ if is_text => parts.push(Part::Text(evaluator, column)),
                (_, Some(Part::Bytes(columns))) => columns.push((evaluator, column)),
                _ => parts.push(Part::Bytes(vec![(evaluator, column)])),
            }
        }
        Order { parts }
    }

    pub async fn place(&mut self, row: &Row) -> Result<Place, SqlError> {
        let mut keys = Vec::new();
        for part in &mut self.parts {
            match part {
                Part::Bytes(columns) => {
                    let mut bytes = Vec::with_capacity(16 * columns.len());
                    for (evaluator, column) in columns {
                        sort_key(&evaluator.eval(row).await?, column, &mut bytes)?;
                    }
                    keys.push(Key::Bytes(bytes));
                }
                Part::Column(..) => {}
                Part::Text(evaluator, column) => keys.push(match evaluator.eval(row).await? {
                    Value::Text(text) => Key::Text(text),
                    value => Key::Bytes(bytes_of(&value, column)?),
                }),
            }
        }
        Ok(Place(keys))
    }

    pub fn compare(&self, left: (&Place, &Row), right: (&Place, &Row)) -> Ordering {
        let mut keys = left.0.0.iter().zip(&right.0.0);
        for part in &self.parts {
            let order = match part {
                Part::Column(at, column) => compare_values(left.1.get(*at), right.1.get(*at), column),
                Part::Bytes(_) => match keys.next() {
                    Some((Key::Bytes(left), Key::Bytes(right))) => left.cmp(right),
                    _ => Ordering::Equal,
                },
                Part::Text(_, column) => match keys.next() {
                    Some((Key::Text(left), Key::Text(right))) => compare_texts(left, right, column),
                    Some((Key::Bytes(left), Key::Bytes(right))) => left.cmp(right),
                    Some((Key::Text(left), Key::Bytes(right))) => weights(left, column).cmp(right),
                    Some((Key::Bytes(left), Key::Text(right))) => left.cmp(&weights(right, column)),
                    None => Ordering::Equal,
                },
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl Place {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let keys = self.0.iter().map(|key| match key {
            Key::Bytes(bytes) => bytes.len(),
            Key::Text(text) => text.len(),
        });
        size_of::<Place>() + keys.map(|bytes| bytes + size_of::<Key>()).sum::<usize>()
    }
}

fn compare_texts(left: &str, right: &str, column: &KeyColumn) -> Ordering {
    let order = collation::compare(column.ty.collation, left, right);
    if column.descending { order.reverse() } else { order }
}

fn compare_values(left: Option<&Value>, right: Option<&Value>, column: &KeyColumn) -> Ordering {
    let (left, right) = (left.unwrap_or(&Value::Null), right.unwrap_or(&Value::Null));
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => compare_texts(left, right, column),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) if column.descending => Ordering::Greater,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) if column.descending => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        // A text's type and other values: rare enough.
        _ => bytes_of(left, column).unwrap_or_default().cmp(&bytes_of(right, column).unwrap_or_default()),
    }
}

fn bytes_of(value: &Value, column: &KeyColumn) -> Result<Vec<u8>, SqlError> {
    let mut bytes = Vec::new();
    sort_key(value, column, &mut bytes)?;
    Ok(bytes)
}

fn weights(text: &CompactString, column: &KeyColumn) -> Vec<u8> {
    bytes_of(&Value::Text(text.clone()), column).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expr::collation::CollationId;
    use expr::mysql_type::MysqlType;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            1 => Just(Value::Null),
            8 => "[abAB äÄß0-3.\u{0}]{0,5}".prop_map(Value::text),
            1 => (-3i64..3).prop_map(Value::Int),
        ]
    }

    proptest! {
        #[test]
        fn texts_sort_as_their_keys_do(left in value(), right in value(), descending in any::<bool>(), collation in 0usize..4) {
            let collations = ["utf8mb4_0900_ai_ci", "utf8mb4_general_ci", "utf8mb4_bin", "latin1_swedish_ci"];
            let collation = expr::collation::collation_by_name(collations[collation]).unwrap();
            let column = KeyColumn { ty: MysqlType::varchar(20, collation), descending };
            let by_bytes = bytes_of(&left, &column).unwrap().cmp(&bytes_of(&right, &column).unwrap());
            prop_assert_eq!(compare_values(Some(&left), Some(&right), &column), by_bytes);
        }
    }

    #[test]
    fn null_comes_first_or_last() {
        for (descending, order) in [(false, Ordering::Less), (true, Ordering::Greater)] {
            let column = KeyColumn { ty: MysqlType::varchar(20, CollationId::UTF8MB4_BIN), descending };
            assert_eq!(compare_values(Some(&Value::Null), Some(&Value::text("")), &column), order);
        }
    }
}
