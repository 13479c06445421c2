//! Parsing: statement text to [`ast::Statement`], in MySQL's language. The only door to sqlparser.
//!
//! Text goes through our own [`lexer`]; queries and expressions are sqlparser's, read through our own `dialect`; other
//! statements are ours, read from the same tokens. Nothing here knows the catalog.

mod account;
mod alter;
pub mod ast;
mod bulk;
mod call;
mod chains;
mod column;
mod create;
mod dialect;
mod dml;
mod error;
mod grant;
mod infix;
pub mod lexer;
mod load;
pub mod outline;
pub mod partition;
mod prefix;
mod refused;
mod reserved;
mod rewrite;
pub mod routine;
mod session;
mod set;
mod show;
mod split;
mod view;
mod words;
mod xa;

#[cfg(test)]
mod tests;

pub use call::{ARRAY, JSON_VALUE_OR};
pub use lexer::VARIABLE_QUOTE;
pub use reserved::is_reserved;
pub use split::split_statements;

use crate::sql::plan::ExplainFormat;
use ast::{IntoTarget, Kind, Source, Statement, syntax};
use expr::eval::SqlMode;
use expr::{ErrorCode, SqlError};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use words::{Parsed, Words};

/// Levels of parentheses and subqueries; each costs stack here and in the binder.
pub const NESTING_MAX: usize = 400;

/// Parses one statement.
pub fn parse(text: &str, sql_mode: SqlMode) -> Result<Statement, SqlError> {
    if let Some(statement) = bulk::parse(text, sql_mode) {
        return Ok(statement);
    }
    let tokens = lexer::tokens(text, sql_mode)?;
    if let Some(kind) = routine::definition(text, &tokens, sql_mode) {
        let kind = kind?;
        return Ok(Statement { kind, source: Source::of(text), parameters: 0 });
    }
    let mut reader = Reader::over(text, tokens, sql_mode)?;
    let kind = reader.read(|parser, text| {
        let kind = statement(parser, text)?;
        parser.token(&Token::SemiColon);
        if !parser.at_end() {
            return parser.refuse();
        }
        Ok(kind)
    })?;
    let kind = match kind {
        Kind::Query { query, .. } => Kind::Query { query, into: reader.into },
        other => other,
    };
    Ok(Statement { kind, source: reader.source, parameters: reader.parameters })
}

/// Parses an expression that stands alone: a default, a generated column, a CHECK.
pub fn parse_expression(text: &str, sql_mode: SqlMode) -> Result<(syntax::Expr, Source), SqlError> {
    let mut reader = Reader::new(text, sql_mode)?;
    let expression = reader.read(|parser, _| {
        let expression = parser.parse_expr()?;
        if !parser.at_end() {
            return parser.refuse();
        }
        Ok(expression)
    })?;
    Ok((expression, reader.source))
}

/// Parses a type of a column that stands alone.
pub fn parse_type(text: &str, sql_mode: SqlMode) -> Result<ast::TypeName, SqlError> {
    Reader::new(text, sql_mode)?.read(|parser, _| {
        let name = column::type_name(parser)?;
        if !parser.at_end() {
            return parser.refuse();
        }
        Ok(name)
    })
}

/// Parses a PARTITION BY clause that stands alone.
pub fn parse_partitioning(text: &str, sql_mode: SqlMode) -> Result<partition::Partitioning, SqlError> {
    Reader::new(text, sql_mode)?.read(|parser, text| {
        let partitioning = partition::partitioning(parser, text)?;
        if !parser.at_end() {
            return parser.refuse();
        }
        Ok(partitioning)
    })
}

/// A text with its tokens, ready for a parse function.
struct Reader<'a> {
    text: &'a str,
    sql_mode: SqlMode,
    tokens: Vec<TokenWithSpan>,
    into: Vec<IntoTarget>,
    source: Source,
    parameters: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, sql_mode: SqlMode) -> Result<Reader<'a>, SqlError> {
        Reader::over(text, lexer::tokens(text, sql_mode)?, sql_mode)
    }

    fn over(text: &'a str, mut tokens: Vec<TokenWithSpan>, sql_mode: SqlMode) -> Result<Reader<'a>, SqlError> {
        if tokens.iter().all(|token| token.token == Token::SemiColon) {
            return Err(SqlError::new(ErrorCode::EMPTY_QUERY, "Query was empty"));
        }
        if depth(&tokens) > NESTING_MAX || chains::are_too_long(&tokens) {
            return Err(error::too_deep());
        }
        let parameters = tokens.iter().filter(|token| matches!(token.token, Token::Placeholder(_))).count();
        let source = rewrite::source(text, &tokens);
        let into = rewrite::prepare(&mut tokens)?;
        Ok(Reader { text, sql_mode, tokens, into, source, parameters })
    }

    fn read<T>(&mut self, read: impl FnOnce(&mut Parser<'_>, &str) -> Parsed<T>) -> Result<T, SqlError> {
        let dialect = dialect::MysqlText { sql_mode: self.sql_mode };
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(NESTING_MAX)
            .with_tokens_with_locations(std::mem::take(&mut self.tokens));
        read(&mut parser, self.text).map_err(|error| error::from_parser(error, self.text, parser.offset()))
    }
}

/// The deepest level of parentheses.
fn depth(tokens: &[TokenWithSpan]) -> usize {
    let mut level = 0usize;
    let mut deepest = 0;
    for token in tokens {
        match token.token {
            Token::LParen => level += 1,
            Token::RParen => level = level.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// Reads the statement that starts here.
fn statement(parser: &mut Parser<'_>, text: &str) -> Parsed<Kind> {
    if matches!(parser.peek_token_ref().token, Token::LParen) {
        return query(parser);
    }
    let Some(verb) = parser.nth_word(0).map(str::to_ascii_lowercase) else { return parser.refuse() };
    match verb.as_str() {
        "select" | "values" | "table" => query(parser),
        "with" => dml::with(parser),
        "insert" | "replace" => dml::insert(parser),
        "update" => dml::update(parser, None),
        "delete" => dml::delete(parser, None),
        "create" => create::create(parser, text),
        "alter" => alter::alter(parser, text),
        "drop" => create::drop(parser),
        "rename" => create::rename(parser),
        "truncate" => create::truncate(parser),
        "set" => set::set(parser),
        "show" => show::show(parser),
        "describe" | "desc" | "explain" => explain(parser, text),
        "grant" => grant::grant(parser),
        "revoke" => grant::revoke(parser),
        "load" => load::load(parser),
        "xa" => {
            parser.advance_token();
            xa::statement(parser)
        }
        "call" => call_procedure(parser),
        "signal" | "resignal" => routine::diagnostics::signal(parser),
        "get" => routine::diagnostics::get(parser),
        "use" => {
            parser.advance_token();
            Ok(Kind::Use(parser.name()?))
        }
        _ => match session::statement(parser, &verb)? {
            Some(kind) => Ok(kind),
            None => refused::refuse(parser, &verb),
        },
    }
}

/// `CALL name`, `CALL database.name(1, @a)`
fn call_procedure(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.advance_token();
    let name = parser.object_name()?;
    let mut arguments = Vec::new();
    if parser.token(&Token::LParen) && !parser.token(&Token::RParen) {
        arguments = parser.list(|parser| parser.parse_expr())?;
        parser.expect(&Token::RParen)?;
    }
    Ok(Kind::Call { name, arguments })
}

fn query(parser: &mut Parser<'_>) -> Parsed<Kind> {
    Ok(Kind::Query { query: parser.parse_query()?, into: Vec::new() })
}

/// DESCRIBE table [column], EXPLAIN [ANALYZE] [FORMAT = x] statement.
fn explain(parser: &mut Parser<'_>, text: &str) -> Parsed<Kind> {
    parser.advance_token();
    let analyze = parser.word("analyze");
    let _ = parser.word("extended") || parser.word("partitions");
    let mut format = if analyze { ExplainFormat::Tree } else { ExplainFormat::Traditional };
    if parser.word("format") {
        parser.optional_equals();
        let name = parser.name_or_string()?;
        format = match name.to_ascii_lowercase().as_str() {
            "traditional" => ExplainFormat::Traditional,
            "tree" => ExplainFormat::Tree,
            "json" => ExplainFormat::Json,
            _ => return parser.refuse(),
        };
    }
    const EXPLAINED: [&str; 8] = ["select", "insert", "replace", "update", "delete", "with", "table", "values"];
    let starts_statement =
        EXPLAINED.iter().any(|word| parser.peek_is(word)) || parser.peek_token_ref().token == Token::LParen;
    if starts_statement {
        let statement = Box::new(statement(parser, text)?);
        return Ok(Kind::Explain { statement, format, analyze });
    }
    if parser.nth_is(0, "for") && parser.nth_is(1, "connection") {
        return Err(error::unsupported("EXPLAIN FOR CONNECTION"));
    }
    let table = parser.object_name()?;
    let filter = match parser.peek_string() {
        Some(_) => ast::Filter::Like(parser.string()?),
        None if parser.at_end() || parser.peek_token_ref().token == Token::SemiColon => ast::Filter::None,
        None => ast::Filter::Like(parser.name()?),
    };
    Ok(Kind::Show(ast::Show::Columns { full: false, table, filter }))
}
