//! Aggregate functions: reference semantics on values. Manual: "Aggregate Functions" (14.19).
//!
//! NULL arguments count for nothing but for the JSON aggregates, ANY_VALUE and COUNT(*). DISTINCT and the order of
//! GROUP_CONCAT are the executors' business: they decide which rows arrive here, and in what order.

use crate::SqlError;
use crate::cast::binary_is_no_json;
use crate::collation::{self, CollationId};
use crate::compare::compare;
use crate::error::ErrorCode;
use crate::eval::EvalContext;
use crate::function::json::node_of;
use crate::mysql_type::{BlobSize, MysqlType, TypeKind};
use crate::value::Value;
use crate::value::decimal::Decimal;
use crate::value::json::Json;
use serde_json::{Map, Value as Node};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Rows for COUNT(*) (no argument); else rows where no argument is NULL.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    GroupConcat,
    BitAnd,
    BitOr,
    BitXor,
    StddevPop,
    StddevSamp,
    VarPop,
    VarSamp,
    JsonArrayAgg,
    JsonObjectAgg,
    AnyValue,
    /// GROUPING(...) of WITH ROLLUP.
    Grouping,
}

impl AggregateFunction {
    /// By the name in a statement, in any case.
    pub fn by_name(name: &str) -> Option<AggregateFunction> {
        Some(match &*name.to_ascii_uppercase() {
            "COUNT" => AggregateFunction::Count,
            "SUM" => AggregateFunction::Sum,
            "AVG" => AggregateFunction::Avg,
            "MIN" => AggregateFunction::Min,
            "MAX" => AggregateFunction::Max,
            "GROUP_CONCAT" => AggregateFunction::GroupConcat,
            "BIT_AND" => AggregateFunction::BitAnd,
            "BIT_OR" => AggregateFunction::BitOr,
            "BIT_XOR" => AggregateFunction::BitXor,
            "STD" | "STDDEV" | "STDDEV_POP" => AggregateFunction::StddevPop,
            "STDDEV_SAMP" => AggregateFunction::StddevSamp,
            "VARIANCE" | "VAR_POP" => AggregateFunction::VarPop,
            "VAR_SAMP" => AggregateFunction::VarSamp,
            "JSON_ARRAYAGG" => AggregateFunction::JsonArrayAgg,
            "JSON_OBJECTAGG" => AggregateFunction::JsonObjectAgg,
            "ANY_VALUE" => AggregateFunction::AnyValue,
            "GROUPING" => AggregateFunction::Grouping,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::GroupConcat => "group_concat",
            AggregateFunction::BitAnd => "bit_and",
            AggregateFunction::BitOr => "bit_or",
            AggregateFunction::BitXor => "bit_xor",
            AggregateFunction::StddevPop => "std",
            AggregateFunction::StddevSamp => "stddev_samp",
            AggregateFunction::VarPop => "variance",
            AggregateFunction::VarSamp => "var_samp",
            AggregateFunction::JsonArrayAgg => "json_arrayagg",
            AggregateFunction::JsonObjectAgg => "json_objectagg",
            AggregateFunction::AnyValue => "any_value",
            AggregateFunction::Grouping => "grouping",
        }
    }
}

/// Type of the result from the types of the arguments.
pub fn result_type(function: AggregateFunction, arguments: &[MysqlType]) -> MysqlType {
    let argument = arguments.first().cloned().unwrap_or_else(MysqlType::null);
    match function {
        AggregateFunction::Count | AggregateFunction::Grouping => MysqlType::bigint().with_nullable(false),
        AggregateFunction::BitAnd | AggregateFunction::BitOr | AggregateFunction::BitXor => {
            MysqlType::bigint_unsigned().with_nullable(false)
        }
        AggregateFunction::Sum => match exact(&argument) {
            // MySQL adds 22 digits for the sum of a group.
            Some((precision, scale)) => decimal((precision + 22).min(Decimal::PRECISION_MAX), scale),
            None => MysqlType::double(),
        },
        AggregateFunction::Avg => match exact(&argument) {
            Some((precision, scale)) => {
                let scale_of_average = (scale + 4).min(Decimal::SCALE_MAX);
                decimal((precision + scale_of_average - scale).min(Decimal::PRECISION_MAX), scale_of_average)
            }
            None => MysqlType::double(),
        },
        AggregateFunction::StddevPop
        | AggregateFunction::StddevSamp
        | AggregateFunction::VarPop
        | AggregateFunction::VarSamp => MysqlType::double(),
        AggregateFunction::GroupConcat => {
            if arguments.iter().any(MysqlType::is_binary) {
                MysqlType::new(TypeKind::Blob { size: BlobSize::Normal })
            } else {
                let collation =
                    arguments.iter().find(|ty| ty.is_text()).map_or(CollationId::UTF8MB4_0900_AI_CI, |ty| ty.collation);
                MysqlType::text(TypeKind::Text { size: BlobSize::Normal }, collation)
            }
        }
        AggregateFunction::JsonArrayAgg | AggregateFunction::JsonObjectAgg => MysqlType::new(TypeKind::Json),
        AggregateFunction::Min | AggregateFunction::Max => match &argument.kind {
            // As texts, MIN and MAX of ENUM and SET lose their numbers.
            TypeKind::Enum(_) | TypeKind::Set(_) => MysqlType::varchar(255, argument.collation),
            _ => argument.with_nullable(true),
        },
        AggregateFunction::AnyValue => argument.with_nullable(true),
    }
}

fn decimal(precision: u8, scale: u8) -> MysqlType {
    MysqlType::new(TypeKind::Decimal { precision, scale, unsigned: false })
}

/// Digits of exact numbers; `None` for types that are summed as doubles.
fn exact(ty: &MysqlType) -> Option<(u8, u8)> {
    Some(match ty.kind {
        TypeKind::Int { bytes: 1, .. } => (3, 0),
        TypeKind::Int { bytes: 2, .. } => (5, 0),
        TypeKind::Int { bytes: 3, .. } => (8, 0),
        TypeKind::Int { bytes: 4, .. } => (10, 0),
        TypeKind::Int { unsigned, .. } => (19 + u8::from(unsigned), 0),
        TypeKind::Bit { .. } => (20, 0),
        TypeKind::Year => (4, 0),
        TypeKind::Decimal { precision, scale, .. } => (precision, scale),
        TypeKind::Date | TypeKind::Time { fsp: 0 } | TypeKind::DateTime { fsp: 0 } | TypeKind::Timestamp { fsp: 0 } => {
            (14, 0)
        }
        TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => (14 + fsp, fsp),
        _ => return None,
    })
}

/// The state of one call in one group.
#[derive(Debug, Clone)]
pub struct Accumulator {
    function: AggregateFunction,
    collation: CollationId,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Count(i64),
    /// Sum and number of values; `scale` of the result for AVG.
    Exact {
        sum: Decimal,
        count: i64,
        scale: u8,
    },
    Double {
        sum: f64,
        count: i64,
    },
    /// Welford's running mean and sum of squared differences.
    Variance {
        count: i64,
        mean: f64,
        squares: f64,
    },
    Best(Value),
    Any(Option<Value>),
    Bits(u64),
    Concat {
        text: Vec<u8>,
        any: bool,
        cut: bool,
        separator: String,
        binary: bool,
    },
    /// With the type of what goes in.
    Array(Vec<Node>, MysqlType),
    Object(Map<String, Node>, MysqlType),
}

impl Accumulator {
    /// `separator` is GROUP_CONCAT's; a comma if not given.
    pub fn new(function: AggregateFunction, arguments: &[MysqlType], separator: Option<&str>) -> Accumulator {
        let argument = arguments.first();
        let exact = argument.and_then(exact);
        let state = match function {
            AggregateFunction::Count | AggregateFunction::Grouping => State::Count(0),
            AggregateFunction::Sum | AggregateFunction::Avg => match exact {
                Some((_, scale)) => State::Exact { sum: Decimal::new(0.into(), scale), count: 0, scale },
                None => State::Double { sum: 0.0, count: 0 },
            },
            AggregateFunction::StddevPop
            | AggregateFunction::StddevSamp
            | AggregateFunction::VarPop
            | AggregateFunction::VarSamp => State::Variance { count: 0, mean: 0.0, squares: 0.0 },
            AggregateFunction::Min | AggregateFunction::Max => State::Best(Value::Null),
            AggregateFunction::AnyValue => State::Any(None),
            AggregateFunction::BitAnd => State::Bits(u64::MAX),
            AggregateFunction::BitOr | AggregateFunction::BitXor => State::Bits(0),
            AggregateFunction::GroupConcat => State::Concat {
                text: Vec::new(),
                any: false,
                cut: false,
                separator: separator.unwrap_or(",").to_string(),
                binary: arguments.iter().any(MysqlType::is_binary),
            },
            AggregateFunction::JsonArrayAgg => State::Array(Vec::new(), json_type(arguments.first())),
            AggregateFunction::JsonObjectAgg => State::Object(Map::new(), json_type(arguments.get(1))),
        };
        let collation = argument.map_or(CollationId::BINARY, |ty| ty.collation);
        Accumulator { function, collation, state }
    }

    /// SUM or AVG, as if it had taken in `count` values that come to `sum`; NULL is the sum of none.
    pub fn summed(
        function: AggregateFunction,
        arguments: &[MysqlType],
        sum: &Value,
        count: i64,
        context: &EvalContext,
    ) -> Result<Accumulator, SqlError> {
        let mut accumulator = Accumulator::new(function, arguments, None);
        accumulator.update(std::slice::from_ref(sum), context)?;
        match &mut accumulator.state {
            State::Exact { count: counted, .. } | State::Double { count: counted, .. } if *counted > 0 => {
                *counted = count
            }
            _ => {}
        }
        Ok(accumulator)
    }

    /// Takes in the arguments of one row.
    pub fn update(&mut self, values: &[Value], context: &EvalContext) -> Result<(), SqlError> {
        let value = values.first().unwrap_or(&Value::Null);
        let keeps_nulls = matches!(
            self.function,
            AggregateFunction::JsonArrayAgg | AggregateFunction::JsonObjectAgg | AggregateFunction::AnyValue
        );
        if !keeps_nulls && values.iter().any(Value::is_null) {
            return Ok(());
        }
        match &mut self.state {
            State::Count(count) => *count += 1,
            State::Exact { sum, count, .. } => {
                let overflow = || SqlError::new(ErrorCode::DATA_OUT_OF_RANGE, "DECIMAL value is out of range in 'sum'");
                *sum = sum.add(&value.to_decimal(context)?).ok_or_else(overflow)?;
                *count += 1;
            }
            State::Double { sum, count } => {
                *sum += value.to_f64(context)?;
                *count += 1;
            }
            State::Variance { count, mean, squares } => {
                let number = value.to_f64(context)?;
                *count += 1;
                let difference = number - *mean;
                *mean += difference / *count as f64;
                *squares += difference * (number - *mean);
            }
            State::Best(best) => {
                let wanted = if self.function == AggregateFunction::Min {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Greater
                };
                let better = match &*best {
                    Value::Null => true,
                    Value::Text(held) if matches!(value, Value::Text(_)) => {
                        collation::compare(self.collation, &value.to_text(), held) == wanted
                    }
                    held => compare(value, held, self.collation, context)? == Some(wanted),
                };
                if better {
                    *best = match value {
                        Value::Enum(_, text) | Value::Set(_, text) => Value::Text(text.clone()),
                        other => other.clone(),
                    };
                }
            }
            State::Any(held) => {
                held.get_or_insert_with(|| value.clone());
            }
            State::Bits(bits) => {
                let number = value.to_u64(context)?;
                match self.function {
                    AggregateFunction::BitAnd => *bits &= number,
                    AggregateFunction::BitOr => *bits |= number,
                    _ => *bits ^= number,
                }
            }
            State::Concat { text, any, cut, separator, .. } => {
                // MySQL cuts the result at group_concat_max_len, with warning 1260.
                let limit = match context.session.group_concat_max_len {
                    0 => 1024,
                    limit => limit,
                };
                if *cut {
                    return Ok(());
                }
                if *any {
                    text.extend_from_slice(separator.as_bytes());
                }
                *any = true;
                for value in values {
                    text.extend_from_slice(&value.to_bytes());
                }
                if text.len() > limit {
                    let mut end = limit;
                    while end > 0 && text[end] & 0xc0 == 0x80 {
                        end -= 1;
                    }
                    text.truncate(end);
                    *cut = true;
                    context.bad_value(ErrorCode(1260), "Row 1 was cut by GROUP_CONCAT()")?;
                }
            }
            State::Array(items, ty) => items.push(node_of(value, ty)),
            State::Object(members, ty) => {
                if value.is_null() {
                    let text = "JSON documents may not contain NULL member names.";
                    return Err(SqlError::new(ErrorCode(3158), text));
                }
                if matches!(value, Value::Bytes(_)) {
                    return Err(binary_is_no_json());
                }
                members.insert(value.to_text().into_owned(), node_of(values.get(1).unwrap_or(&Value::Null), ty));
            }
        }
        Ok(())
    }

    /// The value for the group.
    pub fn finish(self, context: &EvalContext) -> Result<Value, SqlError> {
        let function = self.function;
        Ok(match self.state {
            State::Count(count) => Value::Int(count),
            State::Exact { count: 0, .. } | State::Double { count: 0, .. } => Value::Null,
            State::Exact { sum, count, scale } if function == AggregateFunction::Avg => {
                let increment = context.session.div_precision_increment.max(4);
                let digits = (scale + increment).min(Decimal::SCALE_MAX);
                match sum.divide(&Decimal::from(count), increment) {
                    Some(average) => Value::Decimal(average.round(digits.into())),
                    None => Value::Null,
                }
            }
            State::Exact { sum, .. } => Value::Decimal(sum),
            State::Double { sum, count } if function == AggregateFunction::Avg => Value::Double(sum / count as f64),
            State::Double { sum, .. } => Value::Double(sum),
            State::Variance { count, squares, .. } => {
                let sample = matches!(function, AggregateFunction::StddevSamp | AggregateFunction::VarSamp);
                let divisor = count - i64::from(sample);
                if divisor <= 0 {
                    return Ok(Value::Null);
                }
                let variance = squares / divisor as f64;
                match function {
                    AggregateFunction::StddevPop | AggregateFunction::StddevSamp => Value::Double(variance.sqrt()),
                    _ => Value::Double(variance),
                }
            }
            State::Best(value) => value,
            State::Any(value) => value.unwrap_or_default(),
            State::Bits(bits) => Value::UInt(bits),
            State::Concat { any: false, .. } => Value::Null,
            State::Concat { text, binary: true, .. } => Value::Bytes(text.into()),
            State::Concat { text, .. } => Value::text(String::from_utf8_lossy(&text)),
            State::Array(items, _) if items.is_empty() => Value::Null,
            State::Array(items, _) => Value::Json(Json::array(items)),
            State::Object(members, _) if members.is_empty() => Value::Null,
            State::Object(members, _) => Value::Json(Json::object(members)),
        })
    }

    /// Memory beyond its own size, about.
    pub fn heap_bytes(&self) -> usize {
        match &self.state {
            State::Concat { text, .. } => text.capacity(),
            State::Array(items, _) => items.len() * 64,
            State::Object(members, _) => members.len() * 128,
            _ => 0,
        }
    }
}

/// Truth values count as numbers here.
fn json_type(argument: Option<&MysqlType>) -> MysqlType {
    let plain = |ty: &&MysqlType| !matches!(ty.kind, TypeKind::Int { .. });
    argument.filter(plain).cloned().unwrap_or_else(MysqlType::null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(function: AggregateFunction, ty: MysqlType, values: &[Value]) -> String {
        let context = EvalContext::constant();
        let mut accumulator = Accumulator::new(function, &[ty], None);
        for value in values {
            accumulator.update(std::slice::from_ref(value), &context).unwrap();
        }
        let value = accumulator.finish(&context).unwrap();
        if value.is_null() { "NULL".to_string() } else { value.to_text().into_owned() }
    }

    #[test]
    fn results_are_mysqls() {
        use AggregateFunction::*;
        let ints = [Value::Int(1), Value::Null, Value::Int(2), Value::Int(2)];
        for (function, expected) in [
            (Count, "3"),
            (Sum, "5"),
            (Avg, "1.6667"),
            (Min, "1"),
            (Max, "2"),
            (GroupConcat, "1,2,2"),
            (BitAnd, "0"),
            (BitOr, "3"),
            (BitXor, "1"),
            (JsonArrayAgg, "[1, null, 2, 2]"),
            (AnyValue, "1"),
        ] {
            assert_eq!(run(function, MysqlType::bigint(), &ints), expected, "{function:?}");
        }
        let doubles = [Value::Double(2.0), Value::Double(4.0)];
        assert_eq!(run(VarPop, MysqlType::double(), &doubles), "1");
        assert_eq!(run(StddevSamp, MysqlType::double(), &doubles[..1]), "NULL");
        assert_eq!(run(Sum, MysqlType::bigint(), &[]), "NULL");
        assert_eq!(run(BitAnd, MysqlType::bigint(), &[]), "18446744073709551615");
        let text = MysqlType::varchar(9, CollationId::UTF8MB4_0900_AI_CI);
        assert_eq!(run(Max, text, &[Value::text("b"), Value::text("A"), Value::text("\u{e4}")]), "b");
    }
}
