//! CREATE, ALTER, DROP, RENAME of users and roles; SET PASSWORD, SET ROLE, SET DEFAULT ROLE.
//! Manual: "Account Management Statements" (15.7.1).

use crate::account::password::Secret;
use crate::account::{AccountName, TlsRule};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::Kind;
use crate::sql::parse::error;
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::plan::account::*;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

fn kind(statement: AccountStatement) -> Kind {
    Kind::Account(Box::new(statement))
}

/// `'user'@'host'`, CURRENT_USER, USER().
pub fn account(parser: &mut Parser<'_>) -> Parsed<AccountRef> {
    let is_call = parser.peek_is("user")
        && parser.peek_nth_token_ref(1).token == Token::LParen
        && parser.peek_nth_token_ref(2).token == Token::RParen;
    if parser.peek_is("current_user") || is_call {
        parser.advance_token();
        if parser.token(&Token::LParen) {
            parser.expect(&Token::RParen)?;
        }
        return Ok(AccountRef::Current);
    }
    name(parser).map(AccountRef::Named)
}

/// `'user'@'host'`, of an account or a role.
pub fn name(parser: &mut Parser<'_>) -> Parsed<AccountName> {
    let user = parser.name_or_string()?;
    if parser.token(&Token::AtSign) {
        return Ok(AccountName::new(user, parser.name_or_string()?));
    }
    // The lexer reads `@'host'` and `@host` as a user variable.
    let host = match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style == Some(VARIABLE_QUOTE) => {
            let host = word.value.strip_prefix('@').unwrap_or(&word.value).to_owned();
            parser.advance_token();
            host
        }
        _ => "%".to_owned(),
    };
    Ok(AccountName::new(user, host))
}

fn names(parser: &mut Parser<'_>) -> Parsed<Vec<AccountName>> {
    parser.list(name)
}

pub fn accounts(parser: &mut Parser<'_>) -> Parsed<Vec<AccountRef>> {
    parser.list(account)
}

fn secret(parser: &mut Parser<'_>) -> Parsed<Secret> {
    parser.string().map(Secret)
}

/// After CREATE: USER or ROLE, if it is one of them.
pub fn create(parser: &mut Parser<'_>) -> Parsed<Option<Kind>> {
    if parser.word("role") {
        let if_not_exists = parser.words(&["if", "not", "exists"]);
        return Ok(Some(kind(AccountStatement::CreateRoles { names: names(parser)?, if_not_exists })));
    }
    if !parser.word("user") {
        return Ok(None);
    }
    let if_not_exists = parser.words(&["if", "not", "exists"]);
    let users = parser.list(user)?;
    let default_roles = if parser.words(&["default", "role"]) { names(parser)? } else { Vec::new() };
    let options = options(parser)?;
    Ok(Some(kind(AccountStatement::CreateUsers { users, if_not_exists, default_roles, options })))
}

/// After ALTER.
pub fn alter(parser: &mut Parser<'_>) -> Parsed<Option<Kind>> {
    if !parser.word("user") {
        return Ok(None);
    }
    let if_exists = parser.words(&["if", "exists"]);
    let users = parser.list(user)?;
    if parser.words(&["default", "role"]) {
        let roles = role_choice(parser, false)?;
        let users = users.into_iter().map(|user| user.name).collect();
        return Ok(Some(kind(AccountStatement::SetDefaultRole { roles, users, if_exists })));
    }
    let options = options(parser)?;
    Ok(Some(kind(AccountStatement::AlterUsers { users, if_exists, options })))
}

/// After DROP.
pub fn drop(parser: &mut Parser<'_>) -> Parsed<Option<Kind>> {
    let are_roles = parser.peek_is("role");
    if !parser.word("user") && !parser.word("role") {
        return Ok(None);
    }
    let if_exists = parser.words(&["if", "exists"]);
    Ok(Some(kind(AccountStatement::DropUsers { names: accounts(parser)?, if_exists, are_roles })))
}

/// After RENAME USER.
pub fn rename(parser: &mut Parser<'_>) -> Parsed<Kind> {
    let pairs = parser.list(|parser| {
        let from = account(parser)?;
        parser.expect_word("to")?;
        Ok((from, account(parser)?))
    })?;
    Ok(kind(AccountStatement::RenameUsers(pairs)))
}

/// After SET: PASSWORD, ROLE or DEFAULT ROLE, if it is one of them.
pub fn set(parser: &mut Parser<'_>) -> Parsed<Option<Kind>> {
    let assigns = matches!(parser.peek_nth_token_ref(1).token, Token::Eq | Token::Assignment);
    if parser.peek_is("role") && !assigns {
        parser.advance_token();
        return Ok(Some(Kind::SetRole(role_choice(parser, true)?)));
    }
    if parser.words(&["default", "role"]) {
        let roles = role_choice(parser, false)?;
        parser.expect_word("to")?;
        let users = accounts(parser)?;
        return Ok(Some(kind(AccountStatement::SetDefaultRole { roles, users, if_exists: false })));
    }
    if !parser.word("password") {
        return Ok(None);
    }
    let user = if parser.word("for") { Some(account(parser)?) } else { None };
    if parser.word("to") {
        return Err(error::unsupported("RANDOM PASSWORD"));
    }
    if !parser.token(&Token::Assignment) {
        parser.expect(&Token::Eq)?;
    }
    let password = secret(parser)?;
    let (current, retain) = replaced(parser)?;
    Ok(Some(kind(AccountStatement::SetPassword { user, password, current, retain })))
}

fn role_choice(parser: &mut Parser<'_>, of_session: bool) -> Parsed<RoleChoice> {
    Ok(if parser.word("none") {
        RoleChoice::None
    } else if parser.word("all") {
        if of_session && parser.word("except") { RoleChoice::AllExcept(names(parser)?) } else { RoleChoice::All }
    } else if of_session && parser.word("default") {
        RoleChoice::Default
    } else {
        RoleChoice::These(names(parser)?)
    })
}

/// `[REPLACE 'current'] [RETAIN CURRENT PASSWORD]`
fn replaced(parser: &mut Parser<'_>) -> Parsed<(Option<Secret>, bool)> {
    let current = if parser.word("replace") { Some(secret(parser)?) } else { None };
    Ok((current, parser.words(&["retain", "current", "password"])))
}

fn user(parser: &mut Parser<'_>) -> Parsed<UserSpec> {
    let name = account(parser)?;
    let mut authentication = None;
    if parser.word("identified") {
        let mut plugin = None;
        if parser.word("with") {
            plugin = Some(parser.name_or_string()?.to_lowercase());
        }
        let mut given = Given::Nothing;
        if parser.word("by") {
            if parser.peek_is("random") {
                return Err(error::unsupported("RANDOM PASSWORD"));
            }
            given = Given::Password(secret(parser)?);
        } else if plugin.is_some() && parser.word("as") {
            given = Given::Hash(hash_text(parser)?);
        } else if plugin.is_none() {
            return parser.refuse();
        }
        let (current, retain) = replaced(parser)?;
        if parser.peek_is("and") || parser.peek_is("initial") {
            return Err(error::unsupported("several factors of authentication"));
        }
        authentication = Some(Authentication { plugin, given, current, retain });
    }
    let discard_retained = parser.words(&["discard", "old", "password"]);
    Ok(UserSpec { name, authentication, discard_retained })
}

/// A hash as a string, or in hexadecimal.
fn hash_text(parser: &mut Parser<'_>) -> Parsed<Secret> {
    let Token::HexStringLiteral(digits) = &parser.peek_token_ref().token else { return secret(parser) };
    let bytes: Option<Vec<u8>> = (0..digits.len() / 2)
        .map(|at| digits.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => {
            parser.advance_token();
            Ok(Secret(text))
        }
        None => parser.refuse(),
    }
}

fn options(parser: &mut Parser<'_>) -> Parsed<UserOptions> {
    let mut options = UserOptions::default();
    loop {
        if parser.word("require") {
            options.tls = Some(tls(parser)?);
        } else if parser.word("with") {
            while limit(parser, &mut options)? {}
        } else if parser.word("password") {
            password_option(parser, &mut options)?;
        } else if parser.word("failed_login_attempts") {
            options.failed_login_attempts = Some(small(parser, 32_767)?);
        } else if parser.word("password_lock_time") {
            options.lock_days = Some(if parser.word("unbounded") { None } else { Some(small(parser, 32_767)?) });
        } else if parser.words(&["account", "lock"]) {
            options.locked = Some(true);
        } else if parser.words(&["account", "unlock"]) {
            options.locked = Some(false);
        } else if parser.word("comment") {
            options.comment = Some(parser.string()?);
        } else if parser.word("attribute") {
            options.attribute = Some(parser.string()?);
        } else {
            return Ok(options);
        }
    }
}

fn tls(parser: &mut Parser<'_>) -> Parsed<TlsRule> {
    if parser.word("none") {
        return Ok(TlsRule::None);
    }
    if parser.word("ssl") {
        return Ok(TlsRule::Any);
    }
    if parser.word("x509") {
        return Ok(TlsRule::X509);
    }
    let (mut subject, mut issuer, mut cipher) = (None, None, None);
    loop {
        let (option, place) = if parser.word("subject") {
            ("SUBJECT", &mut subject)
        } else if parser.word("issuer") {
            ("ISSUER", &mut issuer)
        } else if parser.word("cipher") {
            ("CIPHER", &mut cipher)
        } else if subject.is_some() || issuer.is_some() || cipher.is_some() {
            let given = Option::unwrap_or_default;
            return Ok(TlsRule::Specified { subject: given(subject), issuer: given(issuer), cipher: given(cipher) });
        } else {
            return parser.refuse();
        };
        if place.replace(parser.string()?).is_some() {
            return Err(error::used_twice(option));
        }
        parser.word("and");
    }
}

/// One of WITH; false if none is next.
fn limit(parser: &mut Parser<'_>, options: &mut UserOptions) -> Parsed<bool> {
    let place = if parser.word("max_queries_per_hour") {
        &mut options.queries_per_hour
    } else if parser.word("max_updates_per_hour") {
        &mut options.updates_per_hour
    } else if parser.word("max_connections_per_hour") {
        &mut options.connections_per_hour
    } else if parser.word("max_user_connections") {
        &mut options.user_connections
    } else {
        return Ok(false);
    };
    *place = Some(parser.unsigned()?.try_into().unwrap_or(u32::MAX));
    Ok(true)
}

/// After PASSWORD.
fn password_option(parser: &mut Parser<'_>, options: &mut UserOptions) -> Parsed<()> {
    if parser.word("expire") {
        options.expire = Some(if parser.word("default") {
            Expire::Default
        } else if parser.word("never") {
            Expire::Never
        } else if parser.word("interval") {
            let days = small(parser, 65_535)?;
            parser.expect_word("day")?;
            if days == 0 {
                return parser.refuse();
            }
            Expire::Days(days)
        } else {
            Expire::Now
        });
    } else if parser.word("history") {
        options.history_count = Some(if parser.word("default") { None } else { Some(clamped(parser)?) });
    } else if parser.words(&["reuse", "interval"]) {
        options.history_days = Some(if parser.word("default") {
            None
        } else {
            let days = clamped(parser)?;
            parser.expect_word("day")?;
            Some(days)
        });
    } else if parser.words(&["require", "current"]) {
        options.require_current = Some(if parser.word("default") { None } else { Some(!parser.word("optional")) });
    } else {
        return parser.refuse();
    }
    Ok(())
}

fn small(parser: &mut Parser<'_>, max: u16) -> Parsed<u16> {
    let number = parser.unsigned()?;
    match u16::try_from(number) {
        Ok(number) if number <= max => Ok(number),
        _ => parser.refuse(),
    }
}

/// What is more than the column of mysql.user holds is its largest.
fn clamped(parser: &mut Parser<'_>) -> Parsed<u32> {
    Ok(parser.unsigned()?.min(65_535) as u32)
}
