//! MySQL's values as Arrow arrays: which array type stands for which MySQL type, and the way there and back.
//!
//! As stored (`expr::row_encoding::physical_type`), but for decimals, which become Arrow decimals of their precision and
//! scale, and for texts, which become `Utf8`. The order of the array's values is the order of MySQL's, but for texts.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Decimal128Array, Decimal128Builder, Decimal256Array,
    Decimal256Builder, Float64Array, Float64Builder, Int64Array, Int64Builder, StringArray, StringBuilder, UInt64Array,
    UInt64Builder,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use common::physical::{PhysicalType, PhysicalValue};
use expr::SqlError;
use expr::cast::cast;
use expr::eval::{EvalContext, TimeZone};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::row_encoding::{PhysicalRef, from_physical, physical_type, to_physical};
use expr::value::Value;
use std::sync::Arc;

/// The array type of a MySQL type.
pub fn arrow_type(ty: &MysqlType) -> DataType {
    match (&ty.kind, physical_type(ty)) {
        (TypeKind::Decimal { precision, scale, .. }, PhysicalType::Int256) => {
            DataType::Decimal256(*precision, *scale as i8)
        }
        (TypeKind::Decimal { precision, scale, .. }, _) => DataType::Decimal128((*precision).max(1), *scale as i8),
        (TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. }, _) => DataType::Utf8,
        (_, physical) => physical.arrow(),
    }
}

/// A stored column as the array of its MySQL type.
pub fn from_stored(array: &ArrayRef, ty: &MysqlType) -> Result<ArrayRef, SqlError> {
    let wanted = arrow_type(ty);
    if *array.data_type() == wanted {
        return Ok(array.clone());
    }
    let failed = |error| SqlError::internal(format!("A stored column is damaged ({error}); run `drumlin doctor`"));
    Ok(match (array.data_type(), &wanted) {
        (DataType::Int64, DataType::Decimal128(precision, scale)) => {
            let wide: Decimal128Array = array.as_primitive::<Int64Type>().unary(i128::from);
            Arc::new(wide.with_precision_and_scale(*precision, *scale).map_err(failed)?)
        }
        (DataType::Decimal128(..), DataType::Decimal128(precision, scale)) => {
            let array = array.as_primitive::<Decimal128Type>().clone();
            Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(failed)?)
        }
        (DataType::Decimal256(..), DataType::Decimal256(precision, scale)) => {
            let array = array.as_primitive::<arrow::datatypes::Decimal256Type>().clone();
            Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(failed)?)
        }
        // Binary to Utf8 looks at every byte and copies none.
        _ => {
            cast_with_options(array, &wanted, &CastOptions { safe: false, ..CastOptions::default() }).map_err(failed)?
        }
    })
}

/// Reads one array as values of a MySQL type.
pub struct ValueReader<'a> {
    array: Typed<'a>,
    ty: &'a MysqlType,
    zone: TimeZone,
    /// Decimals are stored in as many bytes as their precision needs.
    narrow_decimal: bool,
}

enum Typed<'a> {
    Int64(&'a Int64Array),
    UInt64(&'a UInt64Array),
    Float64(&'a Float64Array),
    Decimal128(&'a Decimal128Array),
    Decimal256(&'a Decimal256Array),
    Utf8(&'a StringArray),
    Binary(&'a BinaryArray),
}

impl<'a> ValueReader<'a> {
    /// The array must be of `arrow_type(ty)`.
    pub fn new(array: &'a ArrayRef, ty: &'a MysqlType, zone: TimeZone) -> Result<ValueReader<'a>, SqlError> {
        let typed = match array.data_type() {
            DataType::Int64 => Typed::Int64(array.as_primitive()),
            DataType::UInt64 => Typed::UInt64(array.as_primitive()),
            DataType::Float64 => Typed::Float64(array.as_primitive()),
            DataType::Decimal128(..) => Typed::Decimal128(array.as_primitive()),
            DataType::Decimal256(..) => Typed::Decimal256(array.as_primitive()),
            DataType::Utf8 => Typed::Utf8(array.as_string()),
            DataType::Binary => Typed::Binary(array.as_binary()),
            other => {
                return Err(SqlError::internal(format!("No MySQL value in an array of {other}; report this query")));
            }
        };
        let narrow_decimal = physical_type(ty) == PhysicalType::Int64;
        Ok(ValueReader { array: typed, ty, zone, narrow_decimal })
    }

    pub fn value(&self, row: usize) -> Result<Value, SqlError> {
        macro_rules! read {
            ($array:expr, $value:expr) => {{
                if $array.is_null(row) {
                    return Ok(Value::Null);
                }
                $value($array.value(row))
            }};
        }
        let stored = match &self.array {
            Typed::Int64(array) => read!(array, PhysicalRef::Int64),
            Typed::UInt64(array) => read!(array, PhysicalRef::UInt64),
            Typed::Float64(array) => read!(array, PhysicalRef::Float64),
            Typed::Decimal128(array) if self.narrow_decimal => {
                read!(array, |number| PhysicalRef::Int64(number as i64))
            }
            Typed::Decimal128(array) => read!(array, PhysicalRef::Int128),
            Typed::Decimal256(array) => read!(array, |number: i256| PhysicalRef::Int256(number.to_le_bytes())),
            Typed::Utf8(array) => return Ok(read!(array, Value::text)),
            Typed::Binary(array) => read!(array, PhysicalRef::Bytes),
        };
        Ok(from_physical(stored, self.ty, self.zone)?)
    }
}

/// Values of a MySQL type as an array. Values of other types are converted first, as CAST does.
pub fn array_of(
    values: impl Iterator<Item = Value>,
    ty: &MysqlType,
    context: &EvalContext,
) -> Result<ArrayRef, SqlError> {
    macro_rules! build {
        ($builder:expr, $($pattern:pat => $value:expr),+) => {{
            let mut builder = $builder;
            for value in values {
                match stored(value, ty, context)? {
                    PhysicalValue::Null => builder.append_null(),
                    $($pattern => builder.append_value($value),)+
                    other => return Err(mismatch(ty, &other)),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match arrow_type(ty) {
        DataType::Int64 => build!(Int64Builder::new(), PhysicalValue::Int64(number) => number),
        DataType::UInt64 => build!(UInt64Builder::new(), PhysicalValue::UInt64(number) => number),
        DataType::Float64 => build!(Float64Builder::new(), PhysicalValue::Float64(number) => number),
        decimal @ DataType::Decimal128(..) => build!(
            Decimal128Builder::new().with_data_type(decimal),
            PhysicalValue::Int64(number) => number.into(),
            PhysicalValue::Int128(number) => number
        ),
        decimal @ DataType::Decimal256(..) => build!(
            Decimal256Builder::new().with_data_type(decimal),
            PhysicalValue::Int256(number) => i256::from_le_bytes(number)
        ),
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    value => builder.append_value(value.to_text()),
                }
            }
            Arc::new(builder.finish())
        }
        _ => build!(BinaryBuilder::new(), PhysicalValue::Bytes(bytes) => bytes),
    })
}

/// A value's stored form; what is not of the type yet is cast.
fn stored(value: Value, ty: &MysqlType, context: &EvalContext) -> Result<PhysicalValue, SqlError> {
    match to_physical(&value, ty, context.time_zone) {
        Ok(stored) => Ok(stored),
        Err(_) => to_physical(&cast(value, ty, context)?, ty, context.time_zone),
    }
}

fn mismatch(ty: &MysqlType, stored: &PhysicalValue) -> SqlError {
    SqlError::internal(format!("{stored:?} in a column of type {:?}; report this query", ty.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expr::collation::CollationId;
    use expr::mysql_type::IntDisplay;
    use expr::value::decimal::Decimal;
    use expr::value::temporal::{Date, DateTime, Time};

    #[test]
    fn values_come_back_from_arrays_as_they_went_in() {
        let context = EvalContext::constant();
        let decimal = |precision, scale| MysqlType::new(TypeKind::Decimal { precision, scale, unsigned: false });
        let number = |text: &str| Value::Decimal(Decimal::parse(text).unwrap());
        let year_type = MysqlType::new(TypeKind::Year);
        let small = MysqlType::new(TypeKind::Int { bytes: 2, unsigned: true, display: IntDisplay::default() });
        for (ty, value) in [
            (MysqlType::bigint(), Value::Int(-5)),
            (MysqlType::bigint_unsigned(), Value::UInt(u64::MAX)),
            (small, Value::UInt(7)),
            (year_type, Value::UInt(2024)),
            (MysqlType::double(), Value::Double(-0.5)),
            (decimal(10, 2), number("-12345678.90")),
            (decimal(30, 4), number("12345678901234567890123456.7890")),
            (decimal(60, 5), number("1234567890123456789012345678901234567890.12345")),
            (MysqlType::varchar(9, CollationId::UTF8MB4_0900_AI_CI), Value::text("héllo")),
            (MysqlType::new(TypeKind::Date), Value::Date(Date::from_parts(2024, 2, 29))),
            (
                MysqlType::new(TypeKind::DateTime { fsp: 6 }),
                Value::DateTime(DateTime::new(Date::from_parts(2024, 2, 29), 1_000_001, 6)),
            ),
            (MysqlType::new(TypeKind::Time { fsp: 0 }), Value::Time(Time::new(-3_600_000_000, 0))),
            (MysqlType::new(TypeKind::Enum(Arc::from(["a".to_owned(), "b".to_owned()]))), Value::Enum(2, "b".into())),
        ] {
            let array = array_of([value.clone(), Value::Null].into_iter(), &ty, &context).unwrap();
            assert_eq!(*array.data_type(), arrow_type(&ty));
            let reader = ValueReader::new(&array, &ty, context.time_zone).unwrap();
            assert_eq!(format!("{:?}", reader.value(0).unwrap()), format!("{value:?}"));
            assert!(reader.value(1).unwrap().is_null());
        }
    }
}
