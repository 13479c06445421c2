//! Column definitions: types with their attributes, defaults, generated columns, constraints.

use crate::catalog::schema::ReferentialAction;
use crate::sql::parse::ast::{CharacterSet, Check, Column, Default, ForeignKey, Generated, TypeName};
use crate::sql::parse::create::character_set_option;
use crate::sql::parse::error;
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::text_bytes;
use sqlparser::ast::{Expr, UnaryOperator};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// `name type attributes`
pub fn column(parser: &mut Parser<'_>) -> Parsed<Column> {
    let mut name = parser.name()?;
    let mut table = None;
    // `t.a`, or `d.t.a`: the statement's own table.
    while parser.token(&Token::Period) {
        table = Some(std::mem::replace(&mut name, parser.name()?));
    }
    let serial = parser.peek_is("serial");
    let ty = type_name(parser)?;
    let mut column = Column {
        name,
        table,
        ty,
        nullable: serial.then_some(false),
        default: None,
        on_update_now: None,
        auto_increment: serial,
        generated: None,
        comment: String::new(),
        invisible: false,
        primary: false,
        unique: serial,
        check: None,
        references: None,
    };
    while attribute(parser, &mut column)? {}
    Ok(column)
}

/// Reads one attribute; false if there is none.
fn attribute(parser: &mut Parser<'_>, column: &mut Column) -> Parsed<bool> {
    if parser.words(&["not", "null"]) {
        column.nullable = Some(false);
    } else if parser.word("null") {
        column.nullable = Some(true);
    } else if parser.word("default") {
        column.default = Some(default(parser)?);
    } else if parser.words(&["on", "update"]) {
        column.on_update_now = now(parser)?;
        if column.on_update_now.is_none() {
            return parser.refuse();
        }
    } else if parser.word("auto_increment") {
        column.auto_increment = true;
    } else if parser.words(&["serial", "default", "value"]) {
        column.nullable = Some(false);
        column.auto_increment = true;
        column.unique = true;
    } else if parser.word("unique") {
        parser.word("key");
        column.unique = true;
    } else if parser.word("primary") || parser.peek_is("key") {
        parser.word("key");
        column.primary = true;
    } else if parser.word("comment") {
        column.comment = parser.string()?;
    } else if parser.word("collate") {
        parser.optional_equals();
        column.ty.character_set.collation = Some(parser.name_or_string()?);
    } else if parser.word("invisible") {
        column.invisible = true;
    } else if parser.word("visible") {
        column.invisible = false;
    } else if parser.word("column_format") || parser.word("storage") {
        parser.advance_token();
    } else if parser.word("engine_attribute") || parser.word("secondary_engine_attribute") {
        parser.optional_equals();
        parser.string()?;
    } else if parser.word("srid") {
        parser.unsigned()?;
    } else if parser.words(&["generated", "always"]) || parser.peek_is("as") {
        parser.expect_word("as")?;
        parser.expect(&Token::LParen)?;
        let expression = Box::new(parser.parse_expr()?);
        parser.expect(&Token::RParen)?;
        let stored = parser.word("stored") || parser.word("persistent");
        if !stored {
            parser.word("virtual");
        }
        column.generated = Some(Generated { expression, stored });
    } else if parser.peek_is("constraint") || parser.peek_is("check") {
        let name = constraint_name(parser)?;
        column.check = Some(check(parser, name)?);
    } else if parser.peek_is("references") {
        column.references = Some(references(parser, vec![column.name.clone()])?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// `CONSTRAINT [name]`
pub fn constraint_name(parser: &mut Parser<'_>) -> Parsed<Option<String>> {
    if !parser.word("constraint") {
        return Ok(None);
    }
    const KINDS: [&str; 4] = ["primary", "unique", "foreign", "check"];
    if KINDS.iter().any(|word| parser.peek_is(word)) { Ok(None) } else { Ok(Some(parser.name()?)) }
}

/// `CHECK (expression) [[NOT] ENFORCED]`
pub fn check(parser: &mut Parser<'_>, name: Option<String>) -> Parsed<Check> {
    parser.expect_word("check")?;
    parser.expect(&Token::LParen)?;
    let expression = Box::new(parser.parse_expr()?);
    parser.expect(&Token::RParen)?;
    let enforced = !parser.words(&["not", "enforced"]);
    if enforced {
        parser.word("enforced");
    }
    Ok(Check { name, expression, enforced })
}

/// Digits of `CURRENT_TIMESTAMP[(n)]` and its synonyms, if next.
fn now(parser: &mut Parser<'_>) -> Parsed<Option<u64>> {
    if parser.one_of(&["current_timestamp", "now", "localtime", "localtimestamp"]).is_none() {
        return Ok(None);
    }
    let mut digits = 0;
    if parser.token(&Token::LParen) && !parser.token(&Token::RParen) {
        digits = parser.unsigned()?;
        parser.expect(&Token::RParen)?;
    }
    Ok(Some(digits))
}

/// What follows DEFAULT.
pub fn default(parser: &mut Parser<'_>) -> Parsed<Default> {
    if let Some(digits) = now(parser)? {
        return Ok(Default::Now(digits));
    }
    if parser.word("null") {
        return Ok(Default::Null);
    }
    if parser.token(&Token::LParen) {
        let expression = Box::new(parser.parse_expr()?);
        parser.expect(&Token::RParen)?;
        return Ok(Default::Expression(expression));
    }
    // A signed literal; `parse_expr` would take the attributes that follow as operators.
    let sign = if parser.token(&Token::Minus) {
        Some(UnaryOperator::Minus)
    } else if parser.token(&Token::Plus) {
        Some(UnaryOperator::Plus)
    } else {
        None
    };
    let literal = parser.parse_prefix()?;
    if !matches!(literal, Expr::Value(_) | Expr::Prefixed { .. } | Expr::TypedString(_)) {
        parser.prev_token();
        return parser.refuse();
    }
    Ok(Default::Literal(Box::new(match sign {
        Some(op) => Expr::UnaryOp { op, expr: Box::new(literal) },
        None => literal,
    })))
}

/// `REFERENCES parent (columns) [ON DELETE x] [ON UPDATE y]`
pub fn references(parser: &mut Parser<'_>, columns: Vec<String>) -> Parsed<ForeignKey> {
    parser.expect_word("references")?;
    let parent = parser.object_name()?;
    let parent_columns = if parser.peek_token_ref().token == Token::LParen { parser.name_list()? } else { Vec::new() };
    let mut key = ForeignKey {
        name: None,
        index_name: None,
        columns,
        parent,
        parent_columns,
        on_delete: ReferentialAction::Default,
        on_update: ReferentialAction::Default,
    };
    if parser.word("match") {
        parser.advance_token();
    }
    loop {
        if parser.words(&["on", "delete"]) {
            key.on_delete = referential_action(parser)?;
        } else if parser.nth_is(0, "on") && parser.nth_is(1, "update") {
            parser.words(&["on", "update"]);
            key.on_update = referential_action(parser)?;
        } else {
            return Ok(key);
        }
    }
}

fn referential_action(parser: &mut Parser<'_>) -> Parsed<ReferentialAction> {
    Ok(if parser.word("cascade") {
        ReferentialAction::Cascade
    } else if parser.word("restrict") {
        ReferentialAction::Restrict
    } else if parser.words(&["set", "null"]) {
        ReferentialAction::SetNull
    } else if parser.words(&["set", "default"]) {
        ReferentialAction::SetDefault
    } else if parser.words(&["no", "action"]) {
        ReferentialAction::NoAction
    } else {
        return parser.refuse();
    })
}

/// A type with its lengths and attributes.
pub fn type_name(parser: &mut Parser<'_>) -> Parsed<TypeName> {
    let Some(word) = parser.nth_word(0).map(str::to_ascii_uppercase) else { return parser.refuse() };
    parser.advance_token();
    let mut ty = TypeName {
        name: String::new(),
        lengths: Vec::new(),
        members: Vec::new(),
        unsigned: false,
        zerofill: false,
        character_set: CharacterSet::default(),
        binary: false,
    };
    let national = |ty: &mut TypeName| ty.character_set.charset = Some("utf8mb3".to_owned());
    let name = match word.as_str() {
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "FLOAT" | "DECIMAL" | "BIT" | "DATE" | "TIME"
        | "DATETIME" | "TIMESTAMP" | "YEAR" | "VARCHAR" | "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB"
        | "MEDIUMBLOB" | "LONGBLOB" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "JSON"
        | "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON"
        | "GEOMETRYCOLLECTION" => word.as_str(),
        "BOOL" | "BOOLEAN" => {
            ty.lengths.push(1);
            "TINYINT"
        }
        "INT1" => "TINYINT",
        "INT2" => "SMALLINT",
        "INT3" | "MIDDLEINT" => "MEDIUMINT",
        "INTEGER" | "INT4" => "INT",
        "INT8" => "BIGINT",
        "SERIAL" => {
            ty.unsigned = true;
            "BIGINT"
        }
        "DOUBLE" => {
            parser.word("precision");
            "DOUBLE"
        }
        "REAL" | "FLOAT8" => "DOUBLE",
        "FLOAT4" => "FLOAT",
        "DEC" | "NUMERIC" | "FIXED" => "DECIMAL",
        "CHAR" | "CHARACTER" => {
            if parser.word("varying") {
                "VARCHAR"
            } else {
                "CHAR"
            }
        }
        "NCHAR" => {
            national(&mut ty);
            if parser.word("varchar") || parser.word("varying") { "VARCHAR" } else { "CHAR" }
        }
        "NVARCHAR" => {
            national(&mut ty);
            "VARCHAR"
        }
        "NATIONAL" => {
            national(&mut ty);
            if parser.word("varchar") || parser.words(&["char", "varying"]) || parser.words(&["character", "varying"]) {
                "VARCHAR"
            } else if parser.word("char") || parser.word("character") {
                if parser.word("varying") { "VARCHAR" } else { "CHAR" }
            } else {
                return parser.refuse();
            }
        }
        "LONG" => {
            if parser.word("varbinary") {
                "MEDIUMBLOB"
            } else {
                parser.word("varchar");
                "MEDIUMTEXT"
            }
        }
        "GEOMCOLLECTION" => "GEOMETRYCOLLECTION",
        "VECTOR" => return Err(error::unsupported("VECTOR")),
        _ => {
            parser.prev_token();
            return parser.refuse();
        }
    };
    ty.name = name.to_owned();
    if matches!(name, "ENUM" | "SET") {
        parser.expect(&Token::LParen)?;
        ty.members = parser.list(member)?;
        parser.expect(&Token::RParen)?;
    } else if parser.token(&Token::LParen) {
        let lengths = parser.list(|parser| parser.unsigned())?;
        ty.lengths = lengths.into_iter().map(|length| u32::try_from(length).unwrap_or(u32::MAX)).collect();
        parser.expect(&Token::RParen)?;
    }
    type_attributes(parser, &mut ty)?;
    Ok(ty)
}

/// A member of an ENUM or SET: a text, or the bytes of one.
fn member(parser: &mut Parser<'_>) -> Parsed<String> {
    match &parser.peek_token_ref().token {
        Token::HexStringLiteral(digits) => {
            let text = text_bytes::of_digits(digits);
            parser.advance_token();
            Ok(text)
        }
        _ => parser.string(),
    }
}

fn type_attributes(parser: &mut Parser<'_>, ty: &mut TypeName) -> Parsed<()> {
    loop {
        if parser.word("unsigned") {
            ty.unsigned = true;
        } else if parser.word("signed") {
        } else if parser.word("zerofill") {
            ty.zerofill = true;
            ty.unsigned = true;
        } else if parser.word("binary") {
            ty.binary = true;
        } else if parser.word("ascii") {
            ty.character_set.charset = Some("latin1".to_owned());
        } else if parser.word("unicode") {
            ty.character_set.charset = Some("ucs2".to_owned());
        } else if parser.word("byte") {
            ty.character_set.charset = Some("binary".to_owned());
        } else if !character_set_option(parser, &mut ty.character_set)? {
            return Ok(());
        }
    }
}
