//! Expressions as MySQL prints them back: how defaults, generated columns and checks are stored and shown.

use crate::sql::bind::column_type::plain_name;
use crate::sql::parse::ast::syntax::{
    BinaryOperator, DataType, DateTimeField, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, TrimWhereField,
    UnaryOperator, Value,
};
use crate::sql::parse::{ARRAY, JSON_VALUE_OR, VARIABLE_QUOTE};

/// The text of an expression, which parses to the same expression again.
pub fn text(expression: &Expr) -> String {
    stacker::maybe_grow(128 << 10, 2 << 20, || print(expression))
}

fn print(expression: &Expr) -> String {
    match expression {
        Expr::Nested(inner) => text(inner),
        Expr::Identifier(name) if name.quote_style == Some(VARIABLE_QUOTE) => name.value.clone(),
        Expr::Identifier(name) => quoted(&name.value),
        Expr::CompoundIdentifier(parts) => parts.iter().map(|part| quoted(&part.value)).collect::<Vec<_>>().join("."),
        Expr::Value(value) => literal(&value.value),
        Expr::Prefixed { prefix, value } => match value.as_ref() {
            Expr::Value(value) => format!("{}{}", prefix.value.to_ascii_lowercase(), plain_literal(&value.value)),
            other => format!("{}{}", prefix.value.to_ascii_lowercase(), text(other)),
        },
        Expr::TypedString(typed) => {
            let kind = match typed.data_type {
                DataType::Date => "DATE",
                DataType::Time(..) => "TIME",
                _ => "TIMESTAMP",
            };
            format!("{kind}{}", plain_literal(&typed.value.value))
        }
        Expr::BinaryOp { left, op, right } => binary(left, op, right),
        Expr::UnaryOp { op, expr } => match op {
            UnaryOperator::Not | UnaryOperator::BangNot => format!("(not({}))", text(expr)),
            UnaryOperator::Minus => match expr.as_ref() {
                Expr::Value(value) if matches!(value.value, Value::Number(..)) => format!("-({})", text(expr)),
                other => format!("-({})", text(other)),
            },
            UnaryOperator::BitwiseNot => format!("~({})", text(expr)),
            _ => text(expr),
        },
        Expr::IsNull(inner) => format!("({} is null)", text(inner)),
        Expr::IsNotNull(inner) => format!("({} is not null)", text(inner)),
        Expr::IsTrue(inner) => format!("({} is true)", text(inner)),
        Expr::IsNotTrue(inner) => format!("({} is not true)", text(inner)),
        Expr::IsFalse(inner) => format!("({} is false)", text(inner)),
        Expr::IsNotFalse(inner) => format!("({} is not false)", text(inner)),
        Expr::IsUnknown(inner) => format!("({} is unknown)", text(inner)),
        Expr::IsNotUnknown(inner) => format!("({} is not unknown)", text(inner)),
        Expr::Between { expr, negated, low, high } => {
            format!("({} {}between {} and {})", text(expr), not(*negated), text(low), text(high))
        }
        Expr::InList { expr, list, negated } => format!("({} {}in ({}))", text(expr), not(*negated), all(list)),
        Expr::Like { negated, expr, pattern, escape_char, .. } => {
            let escape = escape_char.as_ref().map_or_else(String::new, |escape| format!(" escape {}", text(escape)));
            format!("({} {}like {}{escape})", text(expr), not(*negated), text(pattern))
        }
        Expr::RLike { negated, expr, pattern, .. } => {
            let call = format!("regexp_like({},{})", text(expr), text(pattern));
            if *negated { format!("(not({call}))") } else { call }
        }
        Expr::Tuple(items) => format!("({})", all(items)),
        Expr::Collate { expr, collation } => format!("({} collate {})", text(expr), plain_name(collation)),
        Expr::Cast { expr, data_type, .. } => format!("cast({} as {})", text(expr), cast_type(data_type)),
        Expr::Convert { expr, charset, .. } => {
            format!("convert({} using {})", text(expr), charset.as_ref().map(plain_name).unwrap_or_default())
        }
        Expr::Interval(interval) => format!("interval {} {}", text(&interval.value), unit(&interval.leading_field)),
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut printed = "(case ".to_owned();
            if let Some(operand) = operand {
                printed.push_str(&format!("{} ", text(operand)));
            }
            for branch in conditions {
                printed.push_str(&format!("when {} then {} ", text(&branch.condition), text(&branch.result)));
            }
            if let Some(otherwise) = else_result {
                printed.push_str(&format!("else {} ", text(otherwise)));
            }
            printed.push_str("end)");
            printed
        }
        Expr::Trim { expr, trim_where, trim_what, .. } => {
            let place = match trim_where {
                Some(TrimWhereField::Leading) => "leading ",
                Some(TrimWhereField::Trailing) => "trailing ",
                Some(TrimWhereField::Both) => "both ",
                None => "",
            };
            match trim_what {
                Some(what) => format!("trim({place}{} from {})", text(what), text(expr)),
                None if place.is_empty() => format!("trim({})", text(expr)),
                None => format!("trim({place}from {})", text(expr)),
            }
        }
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            let arguments = match &function.args {
                FunctionArguments::List(list) => list
                    .args
                    .iter()
                    .map(|argument| match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => text(expression),
                        other => other.to_string(),
                    })
                    .collect::<Vec<_>>(),
                _ => Vec::new(),
            };
            special_form(&name, function).unwrap_or_else(|| format!("{name}({})", arguments.join(",")))
        }
        other => other.to_string(),
    }
}

/// Calls that have words between their arguments: the first argument is the unit.
fn special_form(name: &str, function: &crate::sql::parse::ast::syntax::Function) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let arguments: Vec<&Expr> = list
        .args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
            _ => None,
        })
        .collect();
    let word = |expression: &Expr| match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.to_ascii_lowercase()),
            _ => None,
        },
        _ => None,
    };
    match (name, arguments.as_slice()) {
        ("extract", [unit, value]) => Some(format!("extract({} from {})", word(unit)?, text(value))),
        ("timestampdiff" | "timestampadd", [unit, a, b]) => {
            Some(format!("{name}({},{},{})", word(unit)?, text(a), text(b)))
        }
        (_, [document, path, Expr::Cast { data_type, .. }, answers @ ..])
            if name.eq_ignore_ascii_case(JSON_VALUE_OR) && answers.len() == 4 =>
        {
            let answer = |at: usize| match word(answers[at])?.as_str() {
                "default" => Some(format!("default {}", text(answers[at + 1]))),
                other => Some(other.to_owned()),
            };
            Some(format!(
                "json_value({}, {} returning {} {} on empty {} on error)",
                text(document),
                text(path),
                cast_type(data_type),
                answer(0)?,
                answer(2)?
            ))
        }
        ("member of", [value, array]) => Some(format!("{} member of ({})", text(value), text(array))),
        _ => None,
    }
}

pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn not(negated: bool) -> &'static str {
    if negated { "not " } else { "" }
}

fn all(items: &[Expr]) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(",")
}

fn unit(field: &Option<DateTimeField>) -> String {
    field.as_ref().map(|field| field.to_string().to_ascii_lowercase()).unwrap_or_default()
}

fn binary(left: &Expr, op: &BinaryOperator, right: &Expr) -> String {
    let symbol = match op {
        BinaryOperator::Arrow => return format!("json_extract({},{})", text(left), text(right)),
        BinaryOperator::LongArrow => return format!("json_unquote(json_extract({},{}))", text(left), text(right)),
        BinaryOperator::StringConcat => return format!("concat({},{})", text(left), text(right)),
        BinaryOperator::And => "and",
        BinaryOperator::Or => "or",
        BinaryOperator::Xor => "xor",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::MyIntegerDivide => "DIV",
        BinaryOperator::PGBitwiseShiftLeft => "<<",
        BinaryOperator::PGBitwiseShiftRight => ">>",
        other => return format!("({} {other} {})", text(left), text(right)),
    };
    format!("({} {symbol} {})", text(left), text(right))
}

/// Texts carry their character set.
fn literal(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(_) => format!("_utf8mb4{}", plain_literal(value)),
        other => plain_literal(other),
    }
}

fn plain_literal(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::NationalStringLiteral(text) => {
            format!("_utf8mb3'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
        }
        Value::HexStringLiteral(digits) => format!("0x{}", digits.to_ascii_uppercase()),
        Value::SingleQuotedByteStringLiteral(bits) => format!("0b{bits}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}

fn cast_type(data_type: &DataType) -> String {
    let DataType::Custom(name, modifiers) = data_type else { return data_type.to_string() };
    let mut printed = plain_name(name).to_ascii_lowercase();
    let is_length = |modifier: &&String| !modifier.starts_with("CHARSET") && *modifier != ARRAY;
    let lengths: Vec<&str> = modifiers.iter().filter(is_length).map(String::as_str).collect();
    if !lengths.is_empty() {
        printed.push_str(&format!("({})", lengths.join(",")));
    }
    if let Some(charset) = modifiers.iter().find_map(|modifier| modifier.strip_prefix("CHARSET ")) {
        printed.push_str(&format!(" charset {charset}"));
    }
    if modifiers.iter().any(|modifier| modifier == ARRAY) {
        printed.push_str(" array");
    }
    printed
}
