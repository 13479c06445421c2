//! CREATE and ALTER of what has a body: procedures, functions, triggers, events.
//!
//! Their texts are read from the lexer's tokens by a parser of their own ([`body`]), before the parser of statements sees
//! them: semicolons belong to the body. What is stored is the body's text; it is read again where it runs.

mod body;
mod declare;
pub mod diagnostics;
mod errors;
mod header;
pub mod program;
mod simple;

pub use body::{Owner, Rows};
pub use header::rows_of;
pub use program::Program;

use crate::sql::parse::ast::Kind;
use crate::sql::parse::lexer;
use body::Body;
use expr::SqlError;
use expr::eval::SqlMode;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Reads the definition if the text is one.
pub(super) fn definition(text: &str, tokens: &[TokenWithSpan], sql_mode: SqlMode) -> Option<Result<Kind, SqlError>> {
    let object = header::object(tokens)?;
    let mut body = Body::new(text, tokens, sql_mode, Owner::Procedure);
    let outcome = body.definition(object).and_then(|kind| {
        body.take(&Token::SemiColon);
        if body.at < tokens.len() { Err(body.refuse()) } else { Ok(kind) }
    });
    Some(outcome)
}

/// How long the definition is that the text starts with: up to the semicolon behind it, or all of a text that cannot be
/// read. None where none begins here.
pub(super) fn extent(text: &str, sql_mode: SqlMode) -> Option<usize> {
    let Ok(tokens) = lexer::tokens(text, sql_mode) else { return Some(text.len()) };
    let object = header::object(&tokens)?;
    let mut body = Body::new(text, &tokens, sql_mode, Owner::Procedure);
    Some(match body.definition(object) {
        Ok(_) => body.start(),
        Err(_) => text.len(),
    })
}

/// Reads a stored body again. `parameters`: their names.
pub fn parse_body(text: &str, sql_mode: SqlMode, owner: Owner, parameters: &[&str]) -> Result<Program, SqlError> {
    let tokens = lexer::tokens(text, sql_mode)?;
    let mut body = Body::new(text, &tokens, sql_mode, owner);
    for name in parameters {
        body.variable(name, None);
    }
    body.statement()?;
    if body.at < tokens.len() {
        return Err(body.refuse());
    }
    Ok(body.program)
}
