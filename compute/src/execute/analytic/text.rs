//! Functions on texts a column at a time: comparisons, LIKE, and texts without the spaces that a collation does not count.
//!
//! They call `expr` with the texts where they lie in the arrays, and make no values of them.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use expr::collation::{CollationId, compare, equal};
use expr::expression::Comparison;
use expr::function::operator::like::matches;
use std::cmp::Ordering;
use std::sync::Arc;

/// What becomes of the texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The text without spaces at its end.
    Unpadded,
    /// Two texts compared.
    Compare(Comparison, CollationId),
    /// Whether the text matches a pattern that is the same for all.
    Like { pattern: String, escape: Option<char>, collation: CollationId },
}

/// One function, equal to every other of its kind.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TextFunction {
    kind: Kind,
    signature: Signature,
}

impl TextFunction {
    pub fn udf(kind: Kind) -> Arc<ScalarUDF> {
        let count = if matches!(kind, Kind::Compare(..)) { 2 } else { 1 };
        let signature = Signature::any(count, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(TextFunction { kind, signature }))
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Unpadded => "unpadded",
            Kind::Compare(..) => "compare_texts",
            Kind::Like { .. } => "like_text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Unpadded => DataType::Utf8,
            Kind::Compare(..) | Kind::Like { .. } => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let texts = |position: usize| arrays[position].as_string::<i32>();
        let array: ArrayRef = match &self.kind {
            Kind::Unpadded => unpadded(&arrays[0]),
            Kind::Compare(comparison, collation) => Arc::new(compared(texts(0), texts(1), *comparison, *collation)),
            Kind::Like { pattern, escape, collation } => Arc::new(
                texts(0)
                    .iter()
                    .map(|text| text.map(|text| matches(*collation, text, pattern, *escape)))
                    .collect::<BooleanArray>(),
            ),
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// Usually no text has spaces at its end, and nothing is copied.
fn unpadded(array: &ArrayRef) -> ArrayRef {
    let texts = array.as_string::<i32>();
    let (offsets, bytes) = (texts.value_offsets(), texts.value_data());
    let is_padded = |pair: &[i32]| pair[0] < pair[1] && bytes[pair[1] as usize - 1] == b' ';
    if !offsets.windows(2).any(is_padded) {
        return array.clone();
    }
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.values().len());
    for text in texts {
        builder.append_option(text.map(|text| text.trim_end_matches(' ')));
    }
    Arc::new(builder.finish())
}

fn compared(left: &StringArray, right: &StringArray, comparison: Comparison, collation: CollationId) -> BooleanArray {
    let holds = |left: &str, right: &str| match comparison {
        Comparison::Equal | Comparison::NullSafeEqual => equal(collation, left, right),
        Comparison::NotEqual => !equal(collation, left, right),
        Comparison::Less => compare(collation, left, right) == Ordering::Less,
        Comparison::LessOrEqual => compare(collation, left, right) != Ordering::Greater,
        Comparison::Greater => compare(collation, left, right) == Ordering::Greater,
        Comparison::GreaterOrEqual => compare(collation, left, right) != Ordering::Less,
    };
    left.iter().zip(right).map(|(left, right)| Some(holds(left?, right?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_at_the_end_go_and_nothing_else() {
        let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some(" b")]));
        assert!(Arc::ptr_eq(&plain, &unpadded(&plain)));
        let padded: ArrayRef = Arc::new(StringArray::from(vec![Some("a  "), None, Some("  "), Some("b\t ")]));
        let expected = StringArray::from(vec![Some("a"), None, Some(""), Some("b\t")]);
        assert_eq!(unpadded(&padded).as_string::<i32>(), &expected);
    }

    #[test]
    fn texts_compare_by_their_collation() {
        let left = StringArray::from(vec![Some("Abc"), Some("abc "), None]);
        let right = StringArray::from(vec![Some("abc"), Some("abc"), Some("x")]);
        let truths = |comparison, collation| compared(&left, &right, comparison, collation).iter().collect::<Vec<_>>();
        let general = CollationId::by_name("utf8mb4_general_ci").unwrap().id;
        assert_eq!(truths(Comparison::Equal, general), [Some(true), Some(true), None]);
        assert_eq!(truths(Comparison::Equal, CollationId::UTF8MB4_BIN), [Some(false), Some(true), None]);
        assert_eq!(truths(Comparison::Less, CollationId::UTF8MB4_BIN), [Some(true), Some(false), None]);
        assert_eq!(truths(Comparison::Equal, CollationId::UTF8MB4_0900_AI_CI), [Some(true), Some(false), None]);
    }
}
