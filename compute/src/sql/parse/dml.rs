//! INSERT, REPLACE, UPDATE, DELETE, and WITH before them.

use crate::sql::parse::ast::{Assignment, Delete, Insert, InsertSource, InsertValue, Kind, Name, Update};
use crate::sql::parse::call::order_by;
use crate::sql::parse::error;
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{Expr, FunctionArguments, TableWithJoins, With};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// WITH before SELECT, UPDATE or DELETE: the statement's verb comes after the last parenthesis.
pub fn with(parser: &mut Parser<'_>) -> Parsed<Kind> {
    let mut ahead = 0;
    let mut depth = 0;
    let verb = loop {
        match &parser.peek_nth_token_ref(ahead).token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::EOF => break "select",
            Token::Word(word) if depth == 0 && word.quote_style.is_none() => {
                if let Some(verb) = ["select", "update", "delete", "values", "table"]
                    .iter()
                    .find(|v| word.value.eq_ignore_ascii_case(v))
                {
                    break verb;
                }
            }
            _ => {}
        }
        ahead += 1;
    };
    if !matches!(verb, "update" | "delete") {
        return Ok(Kind::Query { query: parser.parse_query()?, into: Vec::new() });
    }
    let with_token = AttachedToken(parser.next_token());
    let recursive = parser.word("recursive");
    let cte_tables = parser.list(|parser| parser.parse_cte())?;
    let with = Some(With { with_token, recursive, cte_tables });
    if verb == "update" { update(parser, with) } else { delete(parser, with) }
}

/// INSERT and REPLACE.
pub fn insert(parser: &mut Parser<'_>) -> Parsed<Kind> {
    let replace = parser.peek_is("replace");
    parser.advance_token();
    let _ = parser.word("low_priority") || parser.word("high_priority") || parser.word("delayed");
    let ignore = parser.word("ignore");
    parser.word("into");
    let table = parser.object_name()?;
    let partitions = if parser.word("partition") { parser.name_list()? } else { Vec::new() };
    let mut insert = Insert {
        table,
        partitions,
        columns: None,
        source: InsertSource::Values(Vec::new()),
        row_alias: None,
        on_duplicate: Vec::new(),
        ignore,
        replace,
    };
    if parser.word("set") {
        let assignments = assignments(parser)?;
        insert.columns = Some(assignments.iter().map(|assignment| assignment.column.join(".")).collect());
        let row = assignments.into_iter().map(|assignment| match assignment.value {
            Some(value) => InsertValue::Expression(value),
            None => InsertValue::Default,
        });
        insert.source = InsertSource::Values(vec![row.collect()]);
    } else {
        if parser.peek_token_ref().token == Token::LParen && !super::prefix::starts_query(parser, 0) {
            insert.columns = Some(columns(parser)?);
        }
        insert.source = if (parser.peek_is("values") && !parser.nth_is(1, "row")) || parser.peek_is("value") {
            parser.advance_token();
            InsertSource::Values(parser.list(row)?)
        } else {
            InsertSource::Query(parser.parse_query()?)
        };
    }
    if parser.word("as") {
        let alias = parser.name()?;
        let columns = if parser.peek_token_ref().token == Token::LParen { Some(parser.name_list()?) } else { None };
        insert.row_alias = Some((alias, columns));
    }
    if parser.words(&["on", "duplicate", "key", "update"]) {
        insert.on_duplicate = assignments(parser)?;
    }
    if parser.peek_is("returning") {
        return Err(error::unsupported("RETURNING"));
    }
    Ok(Kind::Insert(Box::new(insert)))
}

fn columns(parser: &mut Parser<'_>) -> Parsed<Vec<String>> {
    parser.expect(&Token::LParen)?;
    let mut columns = Vec::new();
    if !parser.token(&Token::RParen) {
        columns = parser.list(|parser| Ok(column_path(parser)?.join(".")))?;
        parser.expect(&Token::RParen)?;
    }
    Ok(columns)
}

fn row(parser: &mut Parser<'_>) -> Parsed<Vec<InsertValue>> {
    parser.word("row");
    parser.expect(&Token::LParen)?;
    if parser.token(&Token::RParen) {
        return Ok(Vec::new());
    }
    let values = parser.list(|parser| {
        Ok(match value(parser)? {
            Some(expression) => InsertValue::Expression(expression),
            None => InsertValue::Default,
        })
    })?;
    parser.expect(&Token::RParen)?;
    Ok(values)
}

/// An expression, or None for DEFAULT.
fn value(parser: &mut Parser<'_>) -> Parsed<Option<Expr>> {
    Ok(match parser.parse_expr()? {
        Expr::Function(function)
            if matches!(function.args, FunctionArguments::None)
                && function.name.to_string().eq_ignore_ascii_case("default") =>
        {
            None
        }
        expression => Some(expression),
    })
}

pub fn column_path(parser: &mut Parser<'_>) -> Parsed<Vec<String>> {
    let mut parts = vec![parser.name()?];
    while parts.len() < 3 && parser.token(&Token::Period) {
        parts.push(parser.name()?);
    }
    Ok(parts)
}

/// `a = 1, t.b = DEFAULT`; `:=` is `=` here.
pub fn assignments(parser: &mut Parser<'_>) -> Parsed<Vec<Assignment>> {
    parser.list(|parser| {
        let column = column_path(parser)?;
        if !parser.token(&Token::Assignment) {
            parser.expect(&Token::Eq)?;
        }
        Ok(Assignment { column, value: value(parser)? })
    })
}

fn tables(parser: &mut Parser<'_>) -> Parsed<Vec<TableWithJoins>> {
    parser.list(|parser| parser.parse_table_and_joins())
}

fn selection(parser: &mut Parser<'_>) -> Parsed<Option<Expr>> {
    if parser.word("where") { Ok(Some(parser.parse_expr()?)) } else { Ok(None) }
}

fn limit(parser: &mut Parser<'_>) -> Parsed<Option<Expr>> {
    if parser.word("limit") { Ok(Some(parser.parse_expr()?)) } else { Ok(None) }
}

pub fn update(parser: &mut Parser<'_>, with: Option<With>) -> Parsed<Kind> {
    parser.expect_word("update")?;
    parser.word("low_priority");
    let ignore = parser.word("ignore");
    let tables = tables(parser)?;
    parser.expect_word("set")?;
    let assignments = assignments(parser)?;
    let selection = selection(parser)?;
    let order_by = if parser.words(&["order", "by"]) { order_by(parser)? } else { Vec::new() };
    let limit = limit(parser)?;
    Ok(Kind::Update(Box::new(Update { with, tables, assignments, selection, order_by, limit, ignore })))
}

pub fn delete(parser: &mut Parser<'_>, with: Option<With>) -> Parsed<Kind> {
    parser.expect_word("delete")?;
    parser.word("low_priority");
    parser.word("quick");
    let ignore = parser.word("ignore");
    let (targets, tables) = if parser.word("from") {
        // DELETE FROM a, b USING ..., or DELETE FROM t [AS x]
        let start = parser.index();
        let targets = parser.list(target);
        match targets {
            Ok(targets) if parser.word("using") => (targets, tables(parser)?),
            _ => {
                while parser.index() > start {
                    parser.prev_token();
                }
                let table = parser.parse_table_and_joins()?;
                if !table.joins.is_empty() {
                    return parser.refuse();
                }
                (Vec::new(), vec![table])
            }
        }
    } else {
        let targets = parser.list(target)?;
        parser.expect_word("from")?;
        (targets, tables(parser)?)
    };
    let selection = selection(parser)?;
    let order_by = if parser.words(&["order", "by"]) { order_by(parser)? } else { Vec::new() };
    let limit = limit(parser)?;
    if parser.peek_is("returning") {
        return Err(error::unsupported("RETURNING"));
    }
    Ok(Kind::Delete(Box::new(Delete { with, targets, tables, selection, order_by, limit, ignore })))
}

/// `t`, `d.t`, `t.*`
fn target(parser: &mut Parser<'_>) -> Parsed<Name> {
    let first = parser.name()?;
    let mut name = Name { database: None, name: first };
    while parser.token(&Token::Period) {
        if parser.token(&Token::Mul) {
            break;
        }
        name = Name { database: Some(name.name), name: parser.name()? };
    }
    Ok(name)
}
