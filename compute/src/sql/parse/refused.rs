//! Statements that are recognised and refused with 1235: tablespaces, servers, replication.

use crate::sql::parse::error;
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// Refuses the statement: with 1235 if MySQL has it, as a syntax error if not. For CREATE, ALTER and DROP the kind of
/// object is looked for in what follows.
pub fn refuse<T>(parser: &Parser<'_>, verb: &str) -> Parsed<T> {
    const OBJECTS: [&str; 7] = ["server", "tablespace", "undo", "logfile", "instance", "resource", "spatial"];
    const VERBS: [&str; 19] = [
        "binlog",
        "cache",
        "change",
        "clone",
        "handler",
        "help",
        "import",
        "install",
        "load",
        "purge",
        "reset",
        "restart",
        "shutdown",
        "slave",
        "start",
        "stop",
        "uninstall",
        "unlock",
        "lock",
    ];
    if matches!(verb, "create" | "alter" | "drop") {
        for ahead in 0..16 {
            if parser.peek_nth_token_ref(ahead).token == Token::EOF {
                break;
            }
            if let Some(object) = OBJECTS.iter().find(|object| parser.nth_is(ahead, object)) {
                let what = format!("{} {}", verb.to_ascii_uppercase(), object.to_ascii_uppercase());
                return Err(error::unsupported(&what));
            }
        }
        return parser.refuse();
    }
    if VERBS.contains(&verb) {
        return Err(error::unsupported(&verb.to_ascii_uppercase()));
    }
    parser.refuse()
}
