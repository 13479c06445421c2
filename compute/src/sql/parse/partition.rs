//! PARTITION BY, and the actions of ALTER TABLE on partitions.

use crate::sql::parse::ast::{PartitionAction, syntax::Expr};
use crate::sql::parse::error;
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// How a table is partitioned.
#[derive(Debug, Clone, PartialEq)]
pub struct Partitioning {
    pub method: Method,
    /// SUBPARTITION BY, as given.
    pub subpartitions: Option<String>,
    /// PARTITIONS n.
    pub count: Option<u64>,
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    Range(Box<Expr>),
    RangeColumns(Vec<String>),
    List(Box<Expr>),
    ListColumns(Vec<String>),
    Hash { linear: bool, expression: Box<Expr> },
    Key { linear: bool, algorithm: Option<u64>, columns: Vec<String> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    pub name: String,
    pub values: Values,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    None,
    LessThan(Vec<Bound>),
    /// For each value, its columns.
    In(Vec<Vec<Bound>>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    Max,
    Value(Box<Expr>),
}

/// The clause from PARTITION BY on.
pub fn partitioning(parser: &mut Parser<'_>, text: &str) -> Parsed<Partitioning> {
    parser.expect_word("partition")?;
    parser.expect_word("by")?;
    let method = method(parser)?;
    let mut count = if parser.word("partitions") { Some(parser.unsigned()?) } else { None };
    let start = parser.offset();
    let mut subpartitions = None;
    if parser.words(&["subpartition", "by"]) {
        self::method(parser)?;
        if parser.word("subpartitions") {
            parser.unsigned()?;
        }
        subpartitions = text.get(start..parser.end_offset()).map(str::to_owned);
    }
    if count.is_none() && parser.word("partitions") {
        count = Some(parser.unsigned()?);
    }
    let partitions = if parser.peek_token_ref().token == Token::LParen { definitions(parser)? } else { Vec::new() };
    Ok(Partitioning { method, subpartitions, count, partitions })
}

fn method(parser: &mut Parser<'_>) -> Parsed<Method> {
    let linear = parser.word("linear");
    if parser.word("hash") {
        return Ok(Method::Hash { linear, expression: expression(parser)? });
    }
    if parser.word("key") {
        let algorithm = if parser.word("algorithm") {
            parser.optional_equals();
            match parser.unsigned()? {
                known @ 1..=2 => Some(known),
                _ => return parser.refuse(),
            }
        } else {
            None
        };
        let mut columns = Vec::new();
        parser.expect(&Token::LParen)?;
        if !parser.token(&Token::RParen) {
            columns = parser.list(|parser| parser.name())?;
            parser.expect(&Token::RParen)?;
        }
        return Ok(Method::Key { linear, algorithm, columns });
    }
    if linear {
        return parser.refuse();
    }
    let range = parser.word("range");
    if !range {
        parser.expect_word("list")?;
    }
    let columns = if parser.word("columns") { Some(parser.name_list()?) } else { None };
    Ok(match (range, columns) {
        (true, Some(columns)) => Method::RangeColumns(columns),
        (false, Some(columns)) => Method::ListColumns(columns),
        (true, None) => Method::Range(expression(parser)?),
        (false, None) => Method::List(expression(parser)?),
    })
}

fn expression(parser: &mut Parser<'_>) -> Parsed<Box<Expr>> {
    parser.expect(&Token::LParen)?;
    let expression = Box::new(parser.parse_expr()?);
    parser.expect(&Token::RParen)?;
    Ok(expression)
}

/// `(PARTITION p VALUES ..., ...)`
pub fn definitions(parser: &mut Parser<'_>) -> Parsed<Vec<Partition>> {
    parser.expect(&Token::LParen)?;
    let partitions = parser.list(definition)?;
    parser.expect(&Token::RParen)?;
    Ok(partitions)
}

fn definition(parser: &mut Parser<'_>) -> Parsed<Partition> {
    parser.expect_word("partition")?;
    let name = parser.name()?;
    let mut values = Values::None;
    if parser.words(&["values", "less", "than"]) {
        values = Values::LessThan(if parser.word("maxvalue") { vec![Bound::Max] } else { bounds(parser)? });
    } else if parser.words(&["values", "in"]) {
        parser.expect(&Token::LParen)?;
        values = Values::In(parser.list(|parser| {
            let tuple = parser.peek_token_ref().token == Token::LParen;
            if tuple { bounds(parser) } else { Ok(vec![bound(parser)?]) }
        })?);
        parser.expect(&Token::RParen)?;
    }
    let mut partition = Partition { name, values, comment: None };
    options(parser, &mut partition.comment)?;
    if parser.peek_token_ref().token == Token::LParen {
        // Names of subpartitions: nothing is kept of them.
        parser.skip_group()?;
    }
    Ok(partition)
}

fn bounds(parser: &mut Parser<'_>) -> Parsed<Vec<Bound>> {
    parser.expect(&Token::LParen)?;
    let bounds = parser.list(bound)?;
    parser.expect(&Token::RParen)?;
    Ok(bounds)
}

fn bound(parser: &mut Parser<'_>) -> Parsed<Bound> {
    if parser.word("maxvalue") { Ok(Bound::Max) } else { Ok(Bound::Value(Box::new(parser.parse_expr()?))) }
}

fn options(parser: &mut Parser<'_>, comment: &mut Option<String>) -> Parsed<()> {
    loop {
        if parser.word("comment") {
            parser.optional_equals();
            *comment = Some(parser.string()?);
        } else if parser.words(&["data", "directory"]) || parser.words(&["index", "directory"]) {
            parser.optional_equals();
            parser.string()?;
        } else if parser.words(&["storage", "engine"]) || parser.word("engine") || parser.word("tablespace") {
            parser.optional_equals();
            parser.name_or_string()?;
        } else if parser.word("max_rows") || parser.word("min_rows") || parser.word("nodegroup") {
            parser.optional_equals();
            parser.unsigned()?;
        } else {
            return Ok(());
        }
    }
}

/// An action of ALTER TABLE on partitions, if one is next. What comes before it (ADD, DROP) is not taken yet.
pub fn action(parser: &mut Parser<'_>) -> Parsed<Option<PartitionAction>> {
    const UPKEEP: [&str; 5] = ["analyze", "check", "optimize", "rebuild", "repair"];
    if !parser.nth_is(1, "partition") || parser.nth_is(0, "partition") {
        return Ok(None);
    }
    let Some(verb) = parser.nth_word(0).map(str::to_ascii_lowercase) else { return Ok(None) };
    parser.advance_token();
    parser.advance_token();
    Ok(Some(match verb.as_str() {
        "add" if parser.word("partitions") => PartitionAction::AddCount(parser.unsigned()?),
        "add" if parser.at_end() => PartitionAction::Add(Vec::new()),
        "add" => PartitionAction::Add(definitions(parser)?),
        "drop" => PartitionAction::Drop(names(parser)?),
        "truncate" => PartitionAction::Truncate(names_or_all(parser)?),
        "coalesce" => PartitionAction::Coalesce(parser.unsigned()?),
        "reorganize" => {
            if parser.at_end() {
                return Ok(Some(PartitionAction::Upkeep(None)));
            }
            let from = names(parser)?;
            parser.expect_word("into")?;
            PartitionAction::Reorganize { from, into: definitions(parser)? }
        }
        "exchange" => {
            let name = parser.name()?;
            parser.expect_word("with")?;
            parser.expect_word("table")?;
            let table = parser.object_name()?;
            let validated = !parser.words(&["without", "validation"]);
            if validated {
                parser.words(&["with", "validation"]);
            }
            PartitionAction::Exchange { name, table, validated }
        }
        verb if UPKEEP.contains(&verb) => {
            let names = names_or_all(parser)?;
            while parser.word("quick") || parser.word("extended") || parser.word("fast") || parser.word("medium") {}
            PartitionAction::Upkeep(names)
        }
        _ => return Err(error::unsupported("ALTER TABLE with this action on partitions")),
    }))
}

fn names(parser: &mut Parser<'_>) -> Parsed<Vec<String>> {
    parser.list(|parser| parser.name())
}

fn names_or_all(parser: &mut Parser<'_>) -> Parsed<Option<Vec<String>>> {
    if parser.word("all") { Ok(None) } else { Ok(Some(names(parser)?)) }
}
