//! ALTER TABLE, ALTER DATABASE, ALTER VIEW.

use crate::sql::parse::ast::{AlterAction, CharacterSet, Kind, PartitioningOption, TableOptions};
use crate::sql::parse::column::{check, column, constraint_name, default};
use crate::sql::parse::create::{character_set_option, database_options, foreign_key, index_element, table_option};
use crate::sql::parse::partition::{self, partitioning};
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::parse::{account, error, refused, view};
use crate::sql::plan::ColumnPosition;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

pub fn alter(parser: &mut Parser<'_>, text: &str) -> Parsed<Kind> {
    parser.expect_word("alter")?;
    if parser.word("database") || parser.word("schema") {
        let named = !["default", "character", "charset", "char", "collate", "encryption"]
            .iter()
            .any(|word| parser.peek_is(word));
        let name = if named { Some(parser.name()?) } else { None };
        return Ok(Kind::AlterDatabase { name, options: database_options(parser)? });
    }
    if view::is_next(parser) {
        return view::create(parser, text).map(|kind| match kind {
            Kind::CreateView(mut view) => {
                view.alter = true;
                Kind::CreateView(view)
            }
            other => other,
        });
    }
    if let Some(kind) = account::alter(parser)? {
        return Ok(kind);
    }
    let _ = parser.word("online") || parser.word("ignore");
    if !parser.word("table") {
        return refused::refuse(parser, "alter");
    }
    let name = parser.object_name()?;
    let mut actions = Vec::new();
    if !parser.at_end() && parser.peek_token_ref().token != Token::SemiColon {
        loop {
            action(parser, text, &mut actions)?;
            // Table options may follow one another without commas.
            let more = parser.token(&Token::Comma);
            if !more && (parser.at_end() || parser.peek_token_ref().token == Token::SemiColon) {
                break;
            }
            if !more && !matches!(actions.last(), Some(AlterAction::Options(_))) {
                return parser.refuse();
            }
        }
    }
    Ok(Kind::AlterTable { name, actions, is_index_statement: false })
}

fn position(parser: &mut Parser<'_>) -> Parsed<ColumnPosition> {
    Ok(if parser.word("first") {
        ColumnPosition::First
    } else if parser.word("after") {
        ColumnPosition::After(parser.name()?)
    } else {
        ColumnPosition::Unchanged
    })
}

fn action(parser: &mut Parser<'_>, text: &str, actions: &mut Vec<AlterAction>) -> Parsed<()> {
    if let Some(action) = partition::action(parser)? {
        actions.push(AlterAction::Partition(action));
        return Ok(());
    }
    if parser.word("add") {
        return add(parser, actions);
    }
    if parser.word("drop") {
        actions.push(drop(parser)?);
        return Ok(());
    }
    let action = if parser.word("change") {
        parser.word("column");
        let old_name = parser.name()?;
        let column = column(parser)?;
        AlterAction::ChangeColumn { old_name, column, position: position(parser)? }
    } else if parser.word("modify") {
        parser.word("column");
        let column = column(parser)?;
        AlterAction::ChangeColumn { old_name: column.name.clone(), column, position: position(parser)? }
    } else if parser.word("alter") {
        alter_part(parser)?
    } else if parser.word("rename") {
        rename(parser)?
    } else if parser.words(&["convert", "to"]) {
        let mut options = CharacterSet::default();
        while character_set_option(parser, &mut options)? {}
        AlterAction::ConvertCharacterSet(options)
    } else if parser.words(&["disable", "keys"]) || parser.words(&["enable", "keys"]) || parser.word("force") {
        AlterAction::Nothing
    } else if parser.words(&["order", "by"]) {
        parser.list(|parser| parser.parse_order_by_expr())?;
        AlterAction::Nothing
    } else if parser.word("algorithm") || parser.word("lock") {
        parser.optional_equals();
        if !parser.word("default") {
            parser.name()?;
        }
        AlterAction::Nothing
    } else if parser.words(&["with", "validation"]) || parser.words(&["without", "validation"]) {
        AlterAction::Nothing
    } else if parser.peek_is("partition") && parser.nth_is(1, "by") {
        let partitioning = Some(PartitioningOption::By(partitioning(parser, text)?));
        AlterAction::Options(TableOptions { partitioning, ..TableOptions::default() })
    } else if parser.words(&["remove", "partitioning"]) {
        AlterAction::Options(TableOptions { partitioning: Some(PartitioningOption::Remove), ..TableOptions::default() })
    } else if parser.word("import") || parser.word("discard") {
        return Err(error::unsupported("ALTER TABLE with this action"));
    } else {
        let mut options = TableOptions::default();
        if !table_option(parser, &mut options)? {
            return parser.refuse();
        }
        AlterAction::Options(options)
    };
    actions.push(action);
    Ok(())
}

fn add(parser: &mut Parser<'_>, actions: &mut Vec<AlterAction>) -> Parsed<()> {
    let name = constraint_name(parser)?;
    if parser.words(&["foreign", "key"]) {
        actions.push(AlterAction::AddForeignKey(foreign_key(parser, name)?));
    } else if parser.peek_is("check") {
        actions.push(AlterAction::AddCheck(check(parser, name)?));
    } else if let Some(index) = index_element(parser, name)? {
        actions.push(AlterAction::AddIndex(index));
    } else {
        parser.word("column");
        if parser.token(&Token::LParen) {
            for column in parser.list(column)? {
                actions.push(AlterAction::AddColumn { column, position: ColumnPosition::Unchanged });
            }
            parser.expect(&Token::RParen)?;
        } else {
            let column = column(parser)?;
            actions.push(AlterAction::AddColumn { column, position: position(parser)? });
        }
    }
    Ok(())
}

fn drop(parser: &mut Parser<'_>) -> Parsed<AlterAction> {
    if parser.words(&["primary", "key"]) {
        return Ok(AlterAction::DropPrimaryKey);
    }
    if parser.words(&["foreign", "key"]) {
        return Ok(AlterAction::DropForeignKey(parser.name()?));
    }
    if parser.word("index") || parser.word("key") {
        let name = parser.name()?;
        let primary = name.eq_ignore_ascii_case("primary");
        return Ok(if primary { AlterAction::DropPrimaryKey } else { AlterAction::DropIndex(name) });
    }
    if parser.word("check") || parser.word("constraint") {
        return Ok(AlterAction::DropConstraint(parser.name()?));
    }
    parser.word("column");
    let name = parser.name()?;
    let _ = parser.word("restrict") || parser.word("cascade");
    Ok(AlterAction::DropColumn(name))
}

/// ALTER COLUMN c SET DEFAULT x | DROP DEFAULT, ALTER INDEX i VISIBLE, ALTER CHECK c [NOT] ENFORCED.
fn alter_part(parser: &mut Parser<'_>) -> Parsed<AlterAction> {
    if parser.word("index") {
        let name = parser.name()?;
        let visible = parser.word("visible");
        if !visible {
            parser.expect_word("invisible")?;
        }
        return Ok(AlterAction::SetIndexVisible { name, visible });
    }
    if let Some(kind) = parser.one_of(&["check", "constraint"]) {
        let name = parser.name()?;
        let enforced = !parser.word("not");
        parser.expect_word("enforced")?;
        return Ok(AlterAction::SetCheckEnforced { name, enforced, any: kind == "constraint" });
    }
    parser.word("column");
    let column = parser.name()?;
    if parser.words(&["drop", "default"]) {
        return Ok(AlterAction::SetDefault { column, default: None });
    }
    if parser.nth_is(0, "set") && (parser.nth_is(1, "visible") || parser.nth_is(1, "invisible")) {
        return Err(error::unsupported("ALTER COLUMN ... SET VISIBLE"));
    }
    parser.expect_word("set")?;
    parser.expect_word("default")?;
    Ok(AlterAction::SetDefault { column, default: Some(default(parser)?) })
}

fn rename(parser: &mut Parser<'_>) -> Parsed<AlterAction> {
    if parser.word("column") {
        let old_name = parser.name()?;
        parser.expect_word("to")?;
        return Ok(AlterAction::RenameColumn { old_name, new_name: parser.name()? });
    }
    if parser.word("index") || parser.word("key") {
        let old_name = parser.name()?;
        parser.expect_word("to")?;
        return Ok(AlterAction::RenameIndex { old_name, new_name: parser.name()? });
    }
    if !parser.word("to") && !parser.word("as") {
        parser.optional_equals();
    }
    Ok(AlterAction::Rename(parser.object_name()?))
}
