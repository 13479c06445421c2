//! Function calls: arguments, the forms with a syntax of their own, OVER.
//!
//! Forms with words between their arguments become plain calls: `POSITION(a IN b)` is `LOCATE(a, b)`, units and modes
//! are string arguments.

use crate::sql::parse::error;
use crate::sql::parse::prefix::{call, function, text, unit};
use crate::sql::parse::words::{Parsed, Words};
use expr::collation::Charset;
use sqlparser::ast::{
    CastKind, DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, NullTreatment, ObjectName, OrderByExpr, TrimWhereField, Value,
    ValueWithSpan, WindowType,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// Reserved words that are also functions.
pub const RESERVED_FUNCTIONS: &[&str] = &[
    "char",
    "convert",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "database",
    "default",
    "dense_rank",
    "first_value",
    "grouping",
    "if",
    "insert",
    "lag",
    "last_value",
    "lead",
    "left",
    "localtime",
    "localtimestamp",
    "match",
    "mod",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "repeat",
    "replace",
    "right",
    "row_number",
    "schema",
    "utc_date",
    "utc_time",
    "utc_timestamp",
    "values",
];

/// Parses a call; its name has been taken, the parenthesis is next.
pub fn parse(parser: &mut Parser<'_>, name: ObjectName) -> Parsed<Expr> {
    let simple = match name.0.as_slice() {
        [part] => {
            part.as_ident().filter(|ident| ident.quote_style.is_none()).map(|ident| ident.value.to_ascii_lowercase())
        }
        _ => None,
    };
    parser.expect(&Token::LParen)?;
    let expression = match simple.as_deref() {
        Some("cast") => {
            let expr = Box::new(parser.parse_expr()?);
            parser.expect_word("as")?;
            let mut data_type = cast_type(parser)?;
            if parser.word("array")
                && let DataType::Custom(_, modifiers) = &mut data_type
            {
                modifiers.push(ARRAY.to_owned());
            }
            Expr::Cast { kind: CastKind::Cast, expr, data_type, format: None }
        }
        Some("convert") => convert(parser)?,
        Some("extract") => {
            let unit = unit(parser)?;
            parser.expect_word("from")?;
            call("EXTRACT", vec![text(unit), parser.parse_expr()?])
        }
        Some("timestampadd" | "timestampdiff") => {
            let unit = unit(parser)?;
            let mut arguments = vec![text(unit)];
            while parser.token(&Token::Comma) {
                arguments.push(parser.parse_expr()?);
            }
            renamed(call("", arguments), name)
        }
        Some("get_format") => {
            let kind = parser.name()?;
            parser.expect(&Token::Comma)?;
            call("GET_FORMAT", vec![text(&kind.to_ascii_uppercase()), parser.parse_expr()?])
        }
        Some("position") => {
            let needle = parser.parse_subexpr(super::dialect::PREDICATE)?;
            parser.expect_word("in")?;
            call("LOCATE", vec![needle, parser.parse_expr()?])
        }
        Some("substring" | "substr" | "mid") => substring(parser)?,
        Some("trim") => trim(parser)?,
        Some("char") => char(parser)?,
        Some("match") => matching(parser, true)?,
        Some("json_value") => json_value(parser)?,
        Some("weight_string") => weight_string(parser)?,
        _ => return general(parser, name),
    };
    parser.expect(&Token::RParen)?;
    if simple.as_deref() == Some("match") {
        return against(parser, expression);
    }
    Ok(expression)
}

fn renamed(mut expression: Expr, name: ObjectName) -> Expr {
    if let Expr::Function(function) = &mut expression {
        function.name = name;
    }
    expression
}

/// Arguments between commas, then what aggregates and window functions add.
fn general(parser: &mut Parser<'_>, name: ObjectName) -> Parsed<Expr> {
    let mut list = FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
    if parser.word("distinct") {
        list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
    } else if parser.word("all") {
        list.duplicate_treatment = Some(DuplicateTreatment::All);
    }
    if parser.token(&Token::Mul) {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    } else if parser.peek_token_ref().token != Token::RParen {
        list.args = parser.list(|parser| Ok(FunctionArg::Unnamed(FunctionArgExpr::Expr(parser.parse_expr()?))))?;
    }
    if parser.words(&["order", "by"]) {
        list.clauses.push(FunctionArgumentClause::OrderBy(order_by(parser)?));
    }
    if parser.word("separator") {
        let span = parser.peek_token_ref().span;
        let value = Value::SingleQuotedString(parser.string()?);
        list.clauses.push(FunctionArgumentClause::Separator(ValueWithSpan { value, span }));
    }
    parser.expect(&Token::RParen)?;
    let mut function = function(name, FunctionArguments::List(list));
    over(parser, &mut function)?;
    Ok(Expr::Function(function))
}

pub fn order_by(parser: &mut Parser<'_>) -> Parsed<Vec<OrderByExpr>> {
    parser.list(|parser| parser.parse_order_by_expr())
}

fn over(parser: &mut Parser<'_>, function: &mut Function) -> Parsed<()> {
    if parser.words(&["from", "first"]) {
    } else if parser.nth_is(0, "from") && parser.nth_is(1, "last") {
        return Err(error::unsupported("FROM LAST"));
    }
    if parser.words(&["respect", "nulls"]) {
        function.null_treatment = Some(NullTreatment::RespectNulls);
    } else if parser.nth_is(0, "ignore") && parser.nth_is(1, "nulls") {
        return Err(error::unsupported("IGNORE NULLS"));
    }
    if parser.word("over") {
        function.over = Some(if parser.token(&Token::LParen) {
            WindowType::WindowSpec(parser.parse_window_spec()?)
        } else {
            WindowType::NamedWindow(Ident::new(parser.name()?))
        });
    }
    Ok(())
}

fn convert(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let expr = Box::new(parser.parse_expr()?);
    if parser.word("using") {
        let charset = ObjectName::from(vec![Ident::new(parser.name_or_string()?)]);
        return Ok(converted(*expr, charset));
    }
    parser.expect(&Token::Comma)?;
    let data_type = cast_type(parser)?;
    Ok(Expr::Cast { kind: CastKind::Cast, expr, data_type, format: None })
}

fn converted(expr: Expr, charset: ObjectName) -> Expr {
    Expr::Convert {
        is_try: false,
        expr: Box::new(expr),
        data_type: None,
        charset: Some(charset),
        target_before_value: false,
        styles: Vec::new(),
    }
}

fn char(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let codes = parser.list(|parser| parser.parse_expr())?;
    if !parser.word("using") {
        return Ok(call("CHAR", codes));
    }
    let name = parser.name_or_string()?;
    // Each code fills whole units of two or four bytes.
    let alone = Charset::by_name(&name).is_some_and(|charset| charset.bytes_min() > 1);
    let charset = ObjectName::from(vec![Ident::new(name)]);
    if !alone {
        return Ok(converted(call("CHAR", codes), charset));
    }
    let one = |code: Expr| converted(call("CHAR", vec![code]), charset.clone());
    Ok(call("CONCAT", codes.into_iter().map(one).collect()))
}

fn substring(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let mut arguments = vec![parser.parse_expr()?];
    if parser.word("from") {
        arguments.push(parser.parse_expr()?);
        if parser.word("for") {
            arguments.push(parser.parse_expr()?);
        }
    } else {
        while parser.token(&Token::Comma) {
            arguments.push(parser.parse_expr()?);
        }
    }
    Ok(call("SUBSTRING", arguments))
}

fn trim(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let trim_where = match parser.one_of(&["leading", "trailing", "both"]) {
        Some("leading") => Some(TrimWhereField::Leading),
        Some("trailing") => Some(TrimWhereField::Trailing),
        Some(_) => Some(TrimWhereField::Both),
        None => None,
    };
    let trim = |trim_what, expr| Expr::Trim { trim_where, trim_what, expr: Box::new(expr), trim_characters: None };
    if trim_where.is_some() && parser.word("from") {
        return Ok(trim(None, parser.parse_expr()?));
    }
    let first = parser.parse_expr()?;
    if parser.word("from") {
        return Ok(trim(Some(Box::new(first)), parser.parse_expr()?));
    }
    match trim_where {
        Some(_) => parser.refuse(),
        None => Ok(trim(None, first)),
    }
}

/// `WEIGHT_STRING(a AS CHAR(n))` is that of the text filled up to n characters, `AS BINARY(n)` of the bytes filled up.
fn weight_string(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let argument = parser.parse_expr()?;
    if !parser.word("as") {
        return Ok(call("WEIGHT_STRING", vec![argument]));
    }
    let DataType::Custom(name, modifiers) = cast_type(parser)? else { return parser.refuse() };
    let [length] = modifiers.as_slice() else { return parser.refuse() };
    let length = literal(Value::Number(length.clone(), false));
    let kind = name.to_string();
    let argument = match kind.as_str() {
        "CHAR" => call("RPAD", vec![argument, length, text(" ")]),
        "BINARY" => {
            let data_type = DataType::Custom(name, Vec::new());
            let bytes = Expr::Cast { kind: CastKind::Cast, expr: Box::new(argument), data_type, format: None };
            call("RPAD", vec![bytes, length, literal(Value::HexStringLiteral("00".to_owned()))])
        }
        _ => return parser.refuse(),
    };
    Ok(call("WEIGHT_STRING", vec![argument, text(&kind)]))
}

fn literal(value: Value) -> Expr {
    Expr::Value(value.into())
}

/// `a, b)` of `MATCH (a, b) AGAINST (...)`, or `MATCH a, b AGAINST` without the parenthesis.
fn matching(parser: &mut Parser<'_>, _parenthesis: bool) -> Parsed<Expr> {
    Ok(call("MATCH", parser.list(|parser| parser.parse_expr())?))
}

/// `AGAINST (pattern [mode])`: the call gets the pattern and the mode before the columns.
fn against(parser: &mut Parser<'_>, columns: Expr) -> Parsed<Expr> {
    parser.expect_word("against")?;
    parser.expect(&Token::LParen)?;
    // `IN` would be taken as the predicate.
    let pattern = parser.parse_subexpr(super::dialect::PREDICATE)?;
    let mode = if parser.words(&["in", "boolean", "mode"]) {
        "BOOLEAN"
    } else if parser.words(&["in", "natural", "language", "mode", "with", "query", "expansion"])
        || parser.words(&["with", "query", "expansion"])
    {
        return Err(error::unsupported("WITH QUERY EXPANSION"));
    } else {
        parser.words(&["in", "natural", "language", "mode"]);
        "NATURAL"
    };
    parser.expect(&Token::RParen)?;
    let Expr::Function(mut function) = columns else { return parser.refuse() };
    if let FunctionArguments::List(list) = &mut function.args {
        let argument = |expression| FunctionArg::Unnamed(FunctionArgExpr::Expr(expression));
        list.args.insert(0, argument(text(mode)));
        list.args.insert(0, argument(pattern));
    }
    Ok(Expr::Function(function))
}

fn json_value(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let document = parser.parse_expr()?;
    parser.expect(&Token::Comma)?;
    let path = parser.parse_expr()?;
    let returning = if parser.word("returning") { Some(cast_type(parser)?) } else { None };
    let cast = |expr: Expr, data_type: DataType| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        format: None,
    };
    if parser.peek_token_ref().token == Token::RParen {
        let value = call("JSON_VALUE", vec![document, path]);
        return Ok(match returning {
            Some(data_type) => cast(value, data_type),
            None => value,
        });
    }
    // Conversion to the type is one of the errors that there is an answer to: the call knows the type.
    let null = || Expr::value(Value::Null);
    let text_type = || {
        let modifiers = vec!["512".to_owned(), "CHARSET utf8mb4".to_owned()];
        DataType::Custom(ObjectName::from(vec![Ident::new("CHAR")]), modifiers)
    };
    let (mut on_empty, mut on_error) = ([text("NULL"), null()], [text("NULL"), null()]);
    while parser.peek_token_ref().token != Token::RParen {
        let answer = match parser.one_of(&["null", "error", "default"]) {
            Some("default") => [text("DEFAULT"), parser.parse_expr()?],
            Some(word) => [text(&word.to_ascii_uppercase()), null()],
            None => return parser.refuse(),
        };
        parser.expect_word("on")?;
        match parser.one_of(&["empty", "error"]) {
            Some("empty") => on_empty = answer,
            Some(_) => on_error = answer,
            None => return parser.refuse(),
        }
    }
    let ty = cast(null(), returning.unwrap_or_else(text_type));
    let arguments = [document, path, ty].into_iter().chain(on_empty).chain(on_error);
    Ok(call(JSON_VALUE_OR, arguments.collect()))
}

/// JSON_VALUE with ON EMPTY or ON ERROR: behind document and path a NULL of the type, then for each of both what is said and
/// the default.
pub const JSON_VALUE_OR: &str = "JSON_VALUE OR";

/// The modifier of a type of CAST that is an array of such values.
pub const ARRAY: &str = "ARRAY";

/// A type of CAST: its name in upper case, with lengths and `CHARSET name` as modifiers.
pub fn cast_type(parser: &mut Parser<'_>) -> Parsed<DataType> {
    let Some(word) = parser.nth_word(0).map(str::to_ascii_uppercase) else { return parser.refuse() };
    let mut modifiers = Vec::new();
    let name = match word.as_str() {
        "SIGNED" | "UNSIGNED" => {
            parser.advance_token();
            let _ = parser.word("integer") || parser.word("int");
            word
        }
        "CHAR" | "CHARACTER" | "NCHAR" | "VARCHAR" => {
            parser.advance_token();
            lengths(parser, &mut modifiers)?;
            if word == "NCHAR" {
                modifiers.push("CHARSET utf8mb3".to_owned());
            } else if parser.words(&["character", "set"]) || parser.words(&["char", "set"]) || parser.word("charset") {
                modifiers.push(format!("CHARSET {}", parser.name_or_string()?));
            } else if parser.word("ascii") {
                modifiers.push("CHARSET latin1".to_owned());
            } else if parser.word("unicode") {
                modifiers.push("CHARSET ucs2".to_owned());
            } else if parser.word("binary") {
                modifiers.push("CHARSET binary".to_owned());
            }
            "CHAR".to_owned()
        }
        "BINARY" | "DECIMAL" | "DEC" | "FLOAT" | "TIME" | "DATETIME" => {
            parser.advance_token();
            lengths(parser, &mut modifiers)?;
            if word == "DEC" { "DECIMAL".to_owned() } else { word }
        }
        "DATE" | "JSON" | "REAL" | "YEAR" => {
            parser.advance_token();
            word
        }
        "DOUBLE" => {
            parser.advance_token();
            parser.word("precision");
            word
        }
        _ => return parser.refuse(),
    };
    Ok(DataType::Custom(ObjectName::from(vec![Ident::new(name)]), modifiers))
}

fn lengths(parser: &mut Parser<'_>, modifiers: &mut Vec<String>) -> Parsed<()> {
    if parser.token(&Token::LParen) {
        for number in parser.list(|parser| parser.unsigned())? {
            modifiers.push(number.to_string());
        }
        parser.expect(&Token::RParen)?;
    }
    Ok(())
}
