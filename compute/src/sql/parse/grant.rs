//! GRANT and REVOKE. Manual: "GRANT Statement" (15.7.1.6), "REVOKE Statement" (15.7.1.8).

use crate::account::{AccountName, Privileges, RoutineKind};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::account::{account, accounts, name};
use crate::sql::parse::ast::Kind;
use crate::sql::parse::reserved::is_reserved;
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::plan::account::*;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// What stands before ON, TO or FROM: a privilege by its words, or a role.
enum Item {
    Words(Vec<String>, Vec<String>),
    Role(AccountName),
}

pub fn grant(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("grant")?;
    if parser.words(&["proxy", "on"]) {
        let proxied = account(parser)?;
        parser.expect_word("to")?;
        let to = accounts(parser)?;
        let grant_option = parser.words(&["with", "grant", "option"]);
        return Ok(kind(AccountStatement::GrantProxy { proxied, to, grant_option }));
    }
    let items = parser.list(item)?;
    if parser.word("to") {
        let roles = roles(parser, items)?;
        let to = accounts(parser)?;
        let admin = parser.words(&["with", "admin", "option"]);
        return Ok(kind(AccountStatement::GrantRoles { roles, to, admin }));
    }
    parser.expect_word("on")?;
    let privileges = privileges(parser, items)?;
    let on = level(parser)?;
    parser.expect_word("to")?;
    let to = accounts(parser)?;
    let grant_option = parser.words(&["with", "grant", "option"]);
    if parser.word("as") {
        // Whose privileges count for partial revokes, which there are none of.
        name(parser)?;
        if parser.words(&["with", "role"]) && parser.one_of(&["default", "none", "all"]).is_none() {
            parser.list(name)?;
        }
    }
    Ok(kind(AccountStatement::Grant { privileges, on, to, grant_option }))
}

pub fn revoke(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("revoke")?;
    let if_exists = parser.words(&["if", "exists"]);
    let end = |parser: &mut Parser<'_>| RevokeRules {
        if_exists,
        ignore_unknown_user: parser.words(&["ignore", "unknown", "user"]),
    };
    if parser.words(&["proxy", "on"]) {
        let proxied = account(parser)?;
        parser.expect_word("from")?;
        let from = accounts(parser)?;
        return Ok(kind(AccountStatement::RevokeProxy { proxied, from, rules: end(parser) }));
    }
    let items = parser.list(item)?;
    if parser.word("from") {
        let from = accounts(parser)?;
        let rules = end(parser);
        let words = |item: &Item| match item {
            Item::Words(words, _) => words.join(" "),
            Item::Role(_) => String::new(),
        };
        let all: Vec<String> = items.iter().map(words).collect();
        if matches!(all.as_slice(), [first, second]
            if (first == "ALL" || first == "ALL PRIVILEGES") && second == "GRANT OPTION")
        {
            return Ok(kind(AccountStatement::RevokeAll { from, rules }));
        }
        let roles = roles(parser, items)?;
        return Ok(kind(AccountStatement::RevokeRoles { roles, from, rules }));
    }
    parser.expect_word("on")?;
    let privileges = privileges(parser, items)?;
    let on = level(parser)?;
    parser.expect_word("from")?;
    let from = accounts(parser)?;
    Ok(kind(AccountStatement::Revoke { privileges, on, from, rules: end(parser) }))
}

fn kind(statement: AccountStatement) -> Kind {
    Kind::Account(Box::new(statement))
}

fn item(parser: &mut Parser<'_>) -> Parsed<Item> {
    let at_host = |parser: &Parser<'_>, ahead: usize| match &parser.peek_nth_token_ref(ahead).token {
        Token::Word(word) => word.quote_style == Some(VARIABLE_QUOTE),
        Token::AtSign => true,
        _ => false,
    };
    if parser.nth_word(0).is_none() || at_host(parser, 1) {
        return Ok(Item::Role(name(parser)?));
    }
    let mut words = Vec::new();
    while let Some(word) = parser.nth_word(0)
        && !["on", "to", "from"].iter().any(|end| word.eq_ignore_ascii_case(end))
    {
        // Case matters to roles only, which are one word.
        words.push(word.to_owned());
        parser.advance_token();
    }
    if words.is_empty() {
        return parser.refuse();
    }
    if words.len() > 1 {
        words.iter_mut().for_each(|word| word.make_ascii_uppercase());
    }
    let columns = if parser.peek_token_ref().token == Token::LParen { parser.name_list()? } else { Vec::new() };
    Ok(Item::Words(words, columns))
}

fn roles(parser: &Parser<'_>, items: Vec<Item>) -> Parsed<Vec<AccountName>> {
    let role = |item| match item {
        Item::Role(name) => Ok(name),
        Item::Words(words, columns) => match words.as_slice() {
            [word] if columns.is_empty() && !is_reserved(word) => Ok(AccountName::new(word, "%")),
            _ => parser.refuse(),
        },
    };
    items.into_iter().map(role).collect()
}

fn privileges(parser: &Parser<'_>, items: Vec<Item>) -> Parsed<Vec<PrivilegeSpec>> {
    let spec = |item| {
        let Item::Words(words, columns) = item else { return parser.refuse() };
        let text = words.join(" ").to_ascii_uppercase();
        let privilege = match text.as_str() {
            "ALL" | "ALL PRIVILEGES" => PrivilegeWords::All,
            "USAGE" => PrivilegeWords::Usage,
            text => match Privileges::by_sql(text) {
                Some(privilege) => PrivilegeWords::Static(privilege),
                None if words.len() == 1 && !is_reserved(text) => PrivilegeWords::Dynamic(text.to_owned()),
                None => return parser.refuse(),
            },
        };
        Ok(PrivilegeSpec { privilege, columns })
    };
    items.into_iter().map(spec).collect()
}

fn level(parser: &mut Parser<'_>) -> Parsed<PrivilegeLevel> {
    let routine = match parser.one_of(&["procedure", "function"]) {
        Some("procedure") => Some(RoutineKind::Procedure),
        Some(_) => Some(RoutineKind::Function),
        None => {
            if parser.peek_is("table") {
                parser.advance_token();
            }
            None
        }
    };
    if routine.is_none() && parser.token(&Token::Mul) {
        if parser.token(&Token::Period) {
            parser.expect(&Token::Mul)?;
            return Ok(PrivilegeLevel::Global);
        }
        return Ok(PrivilegeLevel::Database(None));
    }
    let first = parser.name()?;
    let (database, name) = if parser.token(&Token::Period) {
        if routine.is_none() && parser.token(&Token::Mul) {
            return Ok(PrivilegeLevel::Database(Some(first)));
        }
        (Some(first), parser.name()?)
    } else {
        (None, first)
    };
    Ok(match routine {
        Some(kind) => PrivilegeLevel::Routine { kind, database, name },
        None => PrivilegeLevel::Table { database, name },
    })
}
