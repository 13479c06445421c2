//! SHOW.

use crate::sql::parse::account::{account, name as account_name};
use crate::sql::parse::ast::{Filter, Kind, Name, Show};
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

pub fn show(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("show")?;
    Ok(Kind::Show(read(parser)?))
}

fn read(parser: &mut Parser<'_>) -> Parsed<Show> {
    if parser.word("create") {
        return create(parser);
    }
    if parser.words(&["count"]) {
        parser.expect(&Token::LParen)?;
        parser.expect(&Token::Mul)?;
        parser.expect(&Token::RParen)?;
        let errors_only = parser.word("errors");
        if !errors_only {
            parser.expect_word("warnings")?;
        }
        return Ok(Show::Warnings { limit: None, errors_only, count: true });
    }
    parser.word("extended");
    let full = parser.word("full");
    let global = parser.word("global");
    if !global {
        let _ = parser.word("session") || parser.word("local");
    }
    if parser.word("databases") || parser.word("schemas") {
        return Ok(Show::Databases(filter(parser)?));
    }
    if parser.word("tables") {
        let database = from_database(parser)?;
        return Ok(Show::Tables { full, database, filter: filter(parser)? });
    }
    if parser.words(&["table", "status"]) {
        let database = from_database(parser)?;
        return Ok(Show::TableStatus { database, filter: filter(parser)? });
    }
    if parser.words(&["open", "tables"]) {
        from_database(parser)?;
        return Ok(Show::OpenTables { filter: filter(parser)? });
    }
    if parser.word("columns") || parser.word("fields") {
        let table = from_table(parser)?;
        return Ok(Show::Columns { full, table, filter: filter(parser)? });
    }
    if parser.word("index") || parser.word("indexes") || parser.word("keys") {
        let table = from_table(parser)?;
        return Ok(Show::Index { table, filter: filter(parser)? });
    }
    if parser.word("variables") {
        return Ok(Show::Variables { global, filter: filter(parser)? });
    }
    if parser.word("status") {
        return Ok(Show::Status { global, filter: filter(parser)? });
    }
    if parser.word("warnings") {
        return Ok(Show::Warnings { limit: limit(parser)?, errors_only: false, count: false });
    }
    if parser.word("errors") {
        return Ok(Show::Warnings { limit: limit(parser)?, errors_only: true, count: false });
    }
    if parser.word("processlist") {
        return Ok(Show::ProcessList { full });
    }
    if parser.word("grants") {
        let user = if parser.word("for") { Some(account(parser)?) } else { None };
        let using = if user.is_some() && parser.word("using") { parser.list(account_name)? } else { Vec::new() };
        return Ok(Show::Grants { user, using });
    }
    if parser.word("collation") {
        return Ok(Show::Collation(filter(parser)?));
    }
    if parser.words(&["character", "set"]) || parser.word("charset") {
        return Ok(Show::CharacterSet(filter(parser)?));
    }
    if parser.word("engines") || parser.words(&["storage", "engines"]) {
        return Ok(Show::Engines);
    }
    if parser.words(&["engine", "innodb", "status"]) {
        return Ok(Show::EngineStatus);
    }
    if parser.word("plugins") {
        return Ok(Show::Plugins);
    }
    if parser.word("privileges") {
        return Ok(Show::Privileges);
    }
    if parser.word("triggers") {
        let database = from_database(parser)?;
        return Ok(Show::Triggers { database, filter: filter(parser)? });
    }
    if parser.word("events") {
        let database = from_database(parser)?;
        return Ok(Show::Events { database, filter: filter(parser)? });
    }
    if parser.words(&["procedure", "status"]) {
        return Ok(Show::ProcedureStatus(filter(parser)?));
    }
    if parser.words(&["function", "status"]) {
        return Ok(Show::FunctionStatus(filter(parser)?));
    }
    replication(parser)
}

fn replication(parser: &mut Parser<'_>) -> Parsed<Show> {
    let columns: &'static [&'static str] =
        if parser.words(&["master", "status"]) || parser.words(&["binary", "log", "status"]) {
            &["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB", "Executed_Gtid_Set"]
        } else if parser.words(&["master", "logs"]) || parser.words(&["binary", "logs"]) {
            &["Log_name", "File_size", "Encrypted"]
        } else if parser.words(&["slave", "status"]) || parser.words(&["replica", "status"]) {
            &["Replica_IO_State", "Source_Host", "Source_User", "Source_Port"]
        } else if parser.words(&["slave", "hosts"]) || parser.word("replicas") {
            &["Server_Id", "Host", "Port", "Source_Id", "Replica_UUID"]
        } else if parser.words(&["binlog", "events"]) || parser.words(&["relaylog", "events"]) {
            &["Log_name", "Pos", "Event_type", "Server_id", "End_log_pos", "Info"]
        } else if parser.words(&["profiles"]) {
            &["Query_ID", "Duration", "Query"]
        } else if parser.words(&["profile"]) {
            &["Status", "Duration"]
        } else if parser.words(&["engine"]) {
            parser.name()?;
            parser.advance_token();
            &["Type", "Name", "Status"]
        } else {
            return parser.refuse();
        };
    // Their clauses do not matter.
    while !parser.at_end() && parser.peek_token_ref().token != Token::SemiColon {
        parser.advance_token();
    }
    Ok(Show::Empty(columns))
}

fn create(parser: &mut Parser<'_>) -> Parsed<Show> {
    if parser.word("table") {
        return Ok(Show::CreateTable(parser.object_name()?));
    }
    if parser.word("view") {
        return Ok(Show::CreateView(parser.object_name()?));
    }
    if parser.word("database") || parser.word("schema") {
        let if_not_exists = parser.words(&["if", "not", "exists"]);
        return Ok(Show::CreateDatabase { name: parser.name()?, if_not_exists });
    }
    if let Some(kind) = parser.one_of(&["procedure", "function", "trigger", "event"]) {
        return Ok(Show::CreateRoutine(kind, parser.object_name()?));
    }
    if parser.word("user") {
        return Ok(Show::CreateUser(account(parser)?));
    }
    parser.refuse()
}

fn from_database(parser: &mut Parser<'_>) -> Parsed<Option<String>> {
    if parser.word("from") || parser.word("in") { Ok(Some(parser.name()?)) } else { Ok(None) }
}

/// `FROM t [FROM d]`
fn from_table(parser: &mut Parser<'_>) -> Parsed<Name> {
    if !parser.word("from") {
        parser.expect_word("in")?;
    }
    let mut table = parser.object_name()?;
    if let Some(database) = from_database(parser)? {
        table.database = Some(database);
    }
    Ok(table)
}

fn filter(parser: &mut Parser<'_>) -> Parsed<Filter> {
    if parser.word("like") {
        return Ok(Filter::Like(parser.string()?));
    }
    if parser.word("where") {
        return Ok(Filter::Where(Box::new(parser.parse_expr()?)));
    }
    Ok(Filter::None)
}

/// `LIMIT [offset,] count`
fn limit(parser: &mut Parser<'_>) -> Parsed<Option<(u64, u64)>> {
    if !parser.word("limit") {
        return Ok(None);
    }
    let first = parser.unsigned()?;
    if parser.token(&Token::Comma) {
        return Ok(Some((first, parser.unsigned()?)));
    }
    if parser.word("offset") {
        return Ok(Some((parser.unsigned()?, first)));
    }
    Ok(Some((0, first)))
}
