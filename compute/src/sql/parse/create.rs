//! CREATE and DROP of databases, tables and indexes; RENAME, TRUNCATE.

use crate::account::RoutineKind;
use crate::catalog::schema::IndexKind;
use crate::sql::parse::ast::{
    AlterAction, CharacterSet, CreateTable, DropRoutine, Index, IndexPart, Kind, Name, PartitioningOption, TableOptions,
};
use crate::sql::parse::column::{check, column, constraint_name, references};
use crate::sql::parse::partition::partitioning;
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::parse::{account, refused, view};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

pub fn create(parser: &mut Parser<'_>, text: &str) -> Parsed<Kind> {
    parser.expect_word("create")?;
    if parser.word("database") || parser.word("schema") {
        let if_not_exists = parser.words(&["if", "not", "exists"]);
        let name = parser.name()?;
        return Ok(Kind::CreateDatabase { name, if_not_exists, options: database_options(parser)? });
    }
    let temporary = parser.word("temporary");
    if parser.word("table") {
        return table(parser, temporary, text);
    }
    let unique = parser.word("unique");
    let kind = index_kind(parser);
    if parser.word("index") {
        return index(parser, unique, kind);
    }
    if view::is_next(parser) {
        return view::create(parser, text);
    }
    if let Some(kind) = account::create(parser)? {
        return Ok(kind);
    }
    refused::refuse(parser, "create")
}

fn index_kind(parser: &mut Parser<'_>) -> IndexKind {
    if parser.word("fulltext") {
        IndexKind::Fulltext
    } else if parser.word("spatial") {
        IndexKind::Spatial
    } else {
        IndexKind::Btree
    }
}

/// `[DEFAULT] CHARACTER SET x`, `COLLATE x`; ENCRYPTION is accepted.
pub fn database_options(parser: &mut Parser<'_>) -> Parsed<CharacterSet> {
    let mut options = CharacterSet::default();
    loop {
        parser.word("default");
        if parser.word("encryption") {
            parser.optional_equals();
            parser.string()?;
        } else if !character_set_option(parser, &mut options)? {
            return Ok(options);
        }
    }
}

/// Reads one of `CHARACTER SET x`, `CHARSET x`, `COLLATE x`; false if none is next.
pub fn character_set_option(parser: &mut Parser<'_>, options: &mut CharacterSet) -> Parsed<bool> {
    if parser.words(&["character", "set"]) || parser.words(&["char", "set"]) || parser.word("charset") {
        parser.optional_equals();
        let name = if parser.word("default") { "default".to_owned() } else { parser.name_or_string()? };
        options.charset = Some(name);
        options.collation_first = options.collation.is_some();
    } else if parser.word("collate") {
        parser.optional_equals();
        options.collation = Some(parser.name_or_string()?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn table(parser: &mut Parser<'_>, temporary: bool, text: &str) -> Parsed<Kind> {
    let if_not_exists = parser.words(&["if", "not", "exists"]);
    let name = parser.object_name()?;
    if parser.word("like") {
        return Ok(Kind::CreateTableLike { name, like: parser.object_name()?, if_not_exists, temporary });
    }
    let mut table = CreateTable {
        name,
        temporary,
        if_not_exists,
        columns: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        options: TableOptions::default(),
        source: None,
        ignore: false,
        replace: false,
    };
    let defines = parser.peek_token_ref().token == Token::LParen && !super::prefix::starts_query(parser, 0);
    if defines {
        parser.expect(&Token::LParen)?;
        if parser.word("like") {
            let like = parser.object_name()?;
            parser.expect(&Token::RParen)?;
            return Ok(Kind::CreateTableLike { name: table.name, like, if_not_exists, temporary });
        }
        parser.list(|parser| element(parser, &mut table))?;
        parser.expect(&Token::RParen)?;
    }
    table.options = table_options(parser, text)?;
    table.ignore = parser.word("ignore");
    table.replace = !table.ignore && parser.word("replace");
    let announced = parser.word("as");
    let query_next = ["select", "with", "values", "table"].iter().any(|word| parser.peek_is(word))
        || parser.peek_token_ref().token == Token::LParen;
    if query_next {
        table.source = Some(parser.parse_query()?);
    } else if announced || table.ignore || table.replace {
        return parser.refuse();
    }
    Ok(Kind::CreateTable(Box::new(table)))
}

/// One element of a table's definition.
fn element(parser: &mut Parser<'_>, table: &mut CreateTable) -> Parsed<()> {
    let constraint = parser.peek_is("constraint");
    let name = constraint_name(parser)?;
    if parser.words(&["foreign", "key"]) {
        table.foreign_keys.push(foreign_key(parser, name)?);
    } else if parser.peek_is("check") {
        table.checks.push((table.columns.len(), check(parser, name)?));
    } else if let Some(index) = index_element(parser, name)? {
        table.indexes.push(index);
    } else if constraint {
        return parser.refuse();
    } else {
        table.columns.push(column(parser)?);
    }
    Ok(())
}

/// `FOREIGN KEY` has been taken.
pub fn foreign_key(parser: &mut Parser<'_>, name: Option<String>) -> Parsed<super::ast::ForeignKey> {
    parser.words(&["if", "not", "exists"]);
    let index_name = if parser.peek_token_ref().token == Token::LParen { None } else { Some(parser.name()?) };
    let columns = parser.name_list()?;
    let mut key = references(parser, columns)?;
    key.name = name;
    key.index_name = index_name;
    Ok(key)
}

/// PRIMARY KEY, UNIQUE, KEY, INDEX, FULLTEXT, SPATIAL with what follows, if one is next.
pub fn index_element(parser: &mut Parser<'_>, constraint: Option<String>) -> Parsed<Option<Index>> {
    let mut index = Index {
        name: constraint,
        primary: false,
        unique: false,
        kind: IndexKind::Btree,
        parts: Vec::new(),
        comment: String::new(),
        invisible: false,
    };
    if parser.words(&["primary", "key"]) {
        index.primary = true;
        index.unique = true;
        // A name is accepted and forgotten.
        index.name = None;
        if parser.peek_token_ref().token != Token::LParen && !parser.peek_is("using") {
            parser.name()?;
        }
        index_using(parser)?;
        index_parts(parser, &mut index)?;
        return Ok(Some(index));
    }
    if parser.word("unique") {
        index.unique = true;
        let _ = parser.word("key") || parser.word("index");
    } else if parser.peek_is("fulltext") || parser.peek_is("spatial") {
        index.kind = index_kind(parser);
        let _ = parser.word("key") || parser.word("index");
    } else if !(parser.word("key") || parser.word("index")) {
        return Ok(None);
    }
    parser.words(&["if", "not", "exists"]);
    if parser.peek_token_ref().token != Token::LParen && !parser.peek_is("using") {
        index.name = Some(parser.name()?);
    }
    index_using(parser)?;
    index_parts(parser, &mut index)?;
    Ok(Some(index))
}

fn index_using(parser: &mut Parser<'_>) -> Parsed<()> {
    while parser.word("using") || parser.word("type") {
        parser.name()?;
    }
    Ok(())
}

/// `(parts) options`
fn index_parts(parser: &mut Parser<'_>, index: &mut Index) -> Parsed<()> {
    parser.expect(&Token::LParen)?;
    index.parts = parser.list(|parser| {
        if parser.peek_token_ref().token == Token::LParen {
            parser.expect(&Token::LParen)?;
            let expression = Box::new(parser.parse_expr()?);
            parser.expect(&Token::RParen)?;
            let descending = parser.word("desc");
            if !descending {
                parser.word("asc");
            }
            return Ok(IndexPart::Expression { expression, descending });
        }
        let name = parser.name()?;
        let mut prefix = None;
        if parser.token(&Token::LParen) {
            let length = parser.unsigned()?;
            prefix = Some(u32::try_from(length).unwrap_or(u32::MAX));
            parser.expect(&Token::RParen)?;
        }
        let descending = parser.word("desc");
        if !descending {
            parser.word("asc");
        }
        Ok(IndexPart::Column { name, prefix, descending })
    })?;
    parser.expect(&Token::RParen)?;
    loop {
        if parser.word("using") || parser.word("type") {
            parser.name()?;
        } else if parser.word("comment") {
            index.comment = parser.string()?;
        } else if parser.word("key_block_size") {
            parser.optional_equals();
            parser.unsigned()?;
        } else if parser.words(&["with", "parser"]) {
            parser.name()?;
        } else if parser.word("invisible") {
            index.invisible = true;
        } else if parser.word("visible") {
            index.invisible = false;
        } else if parser.word("engine_attribute") || parser.word("secondary_engine_attribute") {
            parser.optional_equals();
            parser.string()?;
        } else {
            return Ok(());
        }
    }
}

/// CREATE INDEX: an ALTER TABLE with one action.
fn index(parser: &mut Parser<'_>, unique: bool, kind: IndexKind) -> Parsed<Kind> {
    let name = parser.name()?;
    index_using(parser)?;
    parser.expect_word("on")?;
    let table = parser.object_name()?;
    let mut index = Index {
        name: Some(name),
        primary: false,
        unique,
        kind,
        parts: Vec::new(),
        comment: String::new(),
        invisible: false,
    };
    index_parts(parser, &mut index)?;
    algorithm_and_lock(parser)?;
    let actions = vec![AlterAction::AddIndex(index)];
    Ok(Kind::AlterTable { name: table, actions, is_index_statement: true })
}

/// `ALGORITHM = x`, `LOCK = y`: index builds never block here.
fn algorithm_and_lock(parser: &mut Parser<'_>) -> Parsed<()> {
    while parser.word("algorithm") || parser.word("lock") {
        parser.optional_equals();
        if !parser.word("default") {
            parser.name()?;
        }
    }
    Ok(())
}

/// Table options up to the first word that is none.
pub fn table_options(parser: &mut Parser<'_>, text: &str) -> Parsed<TableOptions> {
    let mut options = TableOptions::default();
    loop {
        let comma = parser.token(&Token::Comma);
        if table_option(parser, &mut options)? {
            continue;
        }
        if comma {
            parser.prev_token();
        }
        break;
    }
    if parser.peek_is("partition") && parser.nth_is(1, "by") {
        options.partitioning = Some(PartitioningOption::By(partitioning(parser, text)?));
    }
    Ok(options)
}

/// Reads one table option; false if none is next.
pub fn table_option(parser: &mut Parser<'_>, options: &mut TableOptions) -> Parsed<bool> {
    const NUMBERS_AND_WORDS: [&str; 19] = [
        "row_format",
        "avg_row_length",
        "checksum",
        "delay_key_write",
        "key_block_size",
        "max_rows",
        "min_rows",
        "pack_keys",
        "stats_auto_recalc",
        "stats_persistent",
        "stats_sample_pages",
        "insert_method",
        "tablespace",
        "connection",
        "compression",
        "encryption",
        "autoextend_size",
        "table_checksum",
        "password",
    ];
    let is_default = parser.peek_is("default")
        && ["character", "charset", "char", "collate"].iter().any(|word| parser.nth_is(1, word));
    if is_default {
        parser.advance_token();
    }
    if character_set_option(parser, &mut options.character_set)? {
        return Ok(true);
    }
    if parser.word("engine") || parser.word("type") {
        parser.optional_equals();
        options.engine = Some(parser.name_or_string()?);
    } else if parser.word("comment") {
        parser.optional_equals();
        options.comment = Some(parser.string()?);
    } else if parser.word("auto_increment") {
        parser.optional_equals();
        options.auto_increment = Some(parser.unsigned()?);
    } else if parser.words(&["data", "directory"]) || parser.words(&["index", "directory"]) {
        parser.optional_equals();
        parser.string()?;
    } else if parser.word("start") {
        parser.expect_word("transaction")?;
    } else if parser.word("union") {
        parser.optional_equals();
        parser.skip_group()?;
    } else if parser.word("engine_attribute") || parser.word("secondary_engine_attribute") {
        parser.optional_equals();
        parser.string()?;
    } else if let Some(name) = parser.one_of(&NUMBERS_AND_WORDS) {
        parser.optional_equals();
        let value = match &parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.clone(),
            Token::Word(word) => word.value.to_ascii_uppercase(),
            Token::SingleQuotedString(value) => format!("'{}'", value.replace('\'', "''")),
            _ => return parser.refuse(),
        };
        parser.advance_token();
        // SHOW CREATE TABLE leaves out what says "as usual".
        if value != "DEFAULT" {
            options.others.push(format!("{}={value}", name.to_ascii_uppercase()));
        }
    } else {
        return Ok(false);
    }
    Ok(true)
}

pub fn drop(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("drop")?;
    if parser.word("database") || parser.word("schema") {
        let if_exists = parser.words(&["if", "exists"]);
        return Ok(Kind::DropDatabase { name: parser.name()?, if_exists });
    }
    if parser.word("index") {
        let name = if parser.word("primary") { "PRIMARY".to_owned() } else { parser.name()? };
        parser.expect_word("on")?;
        let table = parser.object_name()?;
        algorithm_and_lock(parser)?;
        let action = if name == "PRIMARY" { AlterAction::DropPrimaryKey } else { AlterAction::DropIndex(name) };
        return Ok(Kind::AlterTable { name: table, actions: vec![action], is_index_statement: true });
    }
    if let Some(kind) = account::drop(parser)? {
        return Ok(kind);
    }
    let temporary = parser.word("temporary");
    let kind = parser.one_of(&["table", "tables", "view"]);
    let Some(kind) = kind else {
        return match drop_routine(parser)? {
            Some(kind) => Ok(kind),
            None => refused::refuse(parser, "drop"),
        };
    };
    let if_exists = parser.words(&["if", "exists"]);
    let names = parser.list(|parser| parser.object_name())?;
    let _ = parser.word("restrict") || parser.word("cascade");
    Ok(match kind {
        "view" => Kind::DropViews { names, if_exists },
        _ => Kind::DropTables { names, if_exists, temporary },
    })
}

/// PROCEDURE, FUNCTION, TRIGGER, EVENT.
fn drop_routine(parser: &mut Parser<'_>) -> Parsed<Option<Kind>> {
    let Some(object) = parser.one_of(&["procedure", "function", "trigger", "event"]) else { return Ok(None) };
    let if_exists = parser.words(&["if", "exists"]);
    let kind = match object {
        "procedure" => Some(RoutineKind::Procedure),
        "function" => Some(RoutineKind::Function),
        _ => None,
    };
    let dropped = DropRoutine { kind, name: parser.object_name()?, if_exists };
    Ok(Some(match object {
        "trigger" => Kind::DropTrigger(dropped),
        "event" => Kind::DropEvent(dropped),
        _ => Kind::DropRoutine(dropped),
    }))
}

/// `RENAME TABLE a TO b, c TO d`
pub fn rename(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("rename")?;
    if parser.word("user") {
        return account::rename(parser);
    }
    if !parser.word("tables") {
        parser.expect_word("table")?;
    }
    let pairs = parser.list(|parser| {
        let from = parser.object_name()?;
        parser.expect_word("to")?;
        Ok((from, parser.object_name()?))
    })?;
    Ok(Kind::RenameTables(pairs))
}

pub fn truncate(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("truncate")?;
    parser.word("table");
    let name: Name = parser.object_name()?;
    Ok(Kind::Truncate(name))
}
