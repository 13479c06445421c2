//! SHOW statements that are not queries over information_schema: CREATE texts, variables, status, sessions, grants.
//!
//! SHOW WARNINGS is the session's own, and SHOW of a query runs as a query.

use crate::account::Privileges;
use crate::catalog::describe::{current_timestamp, literal, quoted};
use crate::catalog::schema::{CheckDef, ColumnDefault, ForeignKeyDef, IndexDef, IndexKind, ReferentialAction, ViewDef};
use crate::catalog::virtual_tables::VirtualContext;
use crate::catalog::{Catalog, ColumnDef, DatabaseDef, TableDef};
use expr::collation::CollationId;
use expr::mysql_type::TypeKind;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use std::fmt::Write;

/// What a SHOW gives: names of the columns, rows of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowTable {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// SHOW CREATE TABLE, of what is no view.
pub async fn create_table(
    catalog: &Catalog,
    database: &str,
    name: &str,
    context: &VirtualContext,
) -> Result<ShowTable, SqlError> {
    let Some(table) = catalog.table(database, name) else { return Err(no_such_table(database, name)) };
    let counts = table.columns.iter().any(|column| column.auto_increment);
    let next = if counts { context.next_auto_increment(table.counter).await } else { None };
    let mut text = table_text(table, next);
    if catalog.is_temporary(table) {
        text.insert_str("CREATE ".len(), "TEMPORARY ");
    }
    Ok(ShowTable { columns: vec!["Table", "Create Table"], rows: vec![vec![Some(table.name.clone()), Some(text)]] })
}

/// SHOW CREATE VIEW.
pub fn create_view(catalog: &Catalog, database: &str, name: &str) -> Result<ShowTable, SqlError> {
    // A temporary table is in nobody's way: views are what all sessions share.
    let catalog = match (catalog.names_temporary(database, name), &catalog.shared) {
        (true, Some(shared)) => shared,
        _ => catalog,
    };
    let Some(view) = catalog.view(database, name) else {
        if catalog.table(database, name).is_some() {
            return Err(SqlError::new(ErrorCode::WRONG_OBJECT, format!("'{database}.{name}' is not VIEW")));
        }
        return Err(no_such_table(database, name));
    };
    let texts = [view.name.as_str(), &view_text(view), "utf8mb4", "utf8mb4_0900_ai_ci"];
    Ok(ShowTable {
        columns: vec!["View", "Create View", "character_set_client", "collation_connection"],
        rows: vec![texts.iter().map(|text| Some(text.to_string())).collect()],
    })
}

/// SHOW CREATE DATABASE.
pub fn create_database(catalog: &Catalog, name: &str, if_not_exists: bool) -> Result<ShowTable, SqlError> {
    let Some(database) = catalog.database(name) else {
        return Err(SqlError::new(ErrorCode::BAD_DB, format!("Unknown database '{name}'")));
    };
    Ok(ShowTable {
        columns: vec!["Database", "Create Database"],
        rows: vec![vec![Some(name.to_owned()), Some(database_text(&database.definition, if_not_exists))]],
    })
}

fn no_such_table(database: &str, name: &str) -> SqlError {
    SqlError::new(ErrorCode::NO_SUCH_TABLE, format!("Table '{database}.{name}' doesn't exist"))
}

/// SHOW VARIABLES, SHOW STATUS: rows of (Variable_name, Value), to be filtered by the caller.
pub fn variables(context: &VirtualContext, status: bool, global: bool) -> Vec<Row> {
    let pairs = if status { context.server.status(global) } else { context.server.variables(global) };
    pairs.into_iter().map(|(name, value)| vec![Value::text(name), Value::text(value)]).collect()
}

/// Rows of SHOW [FULL] PROCESSLIST.
pub fn process_list(context: &VirtualContext, full: bool) -> Vec<Row> {
    const INFO_CHARACTERS: usize = 100;
    let text = |text: Option<String>| text.map_or(Value::Null, Value::text);
    let row = |process: crate::catalog::virtual_tables::Process| {
        let shorten = |info: String| if full { info } else { info.chars().take(INFO_CHARACTERS).collect() };
        vec![
            Value::UInt(process.id),
            Value::text(process.user),
            Value::text(process.host),
            text(process.database),
            Value::text(process.command),
            Value::Int(i64::try_from(process.seconds).unwrap_or(i64::MAX)),
            text(process.state),
            text(process.info.map(shorten)),
        ]
    };
    let viewer = &context.viewer;
    let seen = |process: &crate::catalog::virtual_tables::Process| {
        viewer.global().has(Privileges::PROCESS) || process.user == viewer.account.user
    };
    context.server.processes().into_iter().filter(seen).map(row).collect()
}

/// SHOW ENGINES.
pub fn engines() -> ShowTable {
    let row = |engine: &[&str; 6]| engine.iter().map(|text| Some(text.to_string())).collect();
    ShowTable {
        columns: vec!["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"],
        rows: crate::catalog::virtual_tables::ENGINES.iter().map(row).collect(),
    }
}

fn database_text(database: &DatabaseDef, if_not_exists: bool) -> String {
    let condition = if if_not_exists { "/*!32312 IF NOT EXISTS*/ " } else { "" };
    format!(
        "CREATE DATABASE {condition}{} /*!40100 DEFAULT CHARACTER SET {}{} */ /*!80016 DEFAULT ENCRYPTION='N' */",
        quoted(&database.name),
        database.collation.charset().name(),
        collation_clause(database.collation, " COLLATE "),
    )
}

/// The collation, where the character set alone does not say it. MySQL names utf8mb4's default too.
fn collation_clause(collation: CollationId, keyword: &str) -> String {
    if collation.info().is_default && collation != CollationId::UTF8MB4_0900_AI_CI {
        return String::new();
    }
    format!("{keyword}{}", collation.name())
}

fn view_text(view: &ViewDef) -> String {
    let (user, host) = view.definer.rsplit_once('@').unwrap_or((&view.definer, "%"));
    let check = view.check_option.as_ref().map_or(String::new(), |kind| format!(" WITH {kind} CHECK OPTION"));
    let columns: Vec<String> = view.columns.iter().map(|column| quoted(column)).collect();
    format!(
        "CREATE ALGORITHM={} DEFINER={}@{} SQL SECURITY {} VIEW {} ({}) AS {}{check}",
        view.algorithm,
        quoted(user),
        quoted(host),
        if view.invoker { "INVOKER" } else { "DEFINER" },
        quoted(&view.name),
        columns.join(","),
        view.select,
    )
}

/// A table's definition in MySQL 8's layout, which tools parse.
pub fn table_text(table: &TableDef, next_auto_increment: Option<u64>) -> String {
    let columns = table.columns.iter().filter(|column| !column.is_key_expression());
    let mut lines: Vec<String> = columns.map(|column| column_line(table, column)).collect();
    lines.extend(table.indexes.iter().filter(|index| shown(index)).map(|index| index_line(table, index)));
    let mut foreign_keys: Vec<&ForeignKeyDef> = table.foreign_keys.iter().collect();
    foreign_keys.sort_by(|left, right| left.name.cmp(&right.name));
    lines.extend(foreign_keys.into_iter().map(|key| foreign_key_line(table, key)));
    let mut checks: Vec<_> = table.checks.iter().collect();
    checks.sort_by_key(|check| check.name.to_lowercase());
    lines.extend(checks.into_iter().map(check_line));
    let mut text = format!("CREATE TABLE {} (\n  {}\n)", quoted(&table.name), lines.join(",\n  "));
    let _ = write!(text, " ENGINE={}", table.engine);
    if let Some(next) = next_auto_increment.filter(|next| *next > 1) {
        let _ = write!(text, " AUTO_INCREMENT={next}");
    }
    let _ = write!(text, " DEFAULT CHARSET={}", table.collation.charset().name());
    text.push_str(&collation_clause(table.collation, " COLLATE="));
    for option in &table.options {
        let _ = write!(text, " {option}");
    }
    if !table.comment.is_empty() {
        let _ = write!(text, " COMMENT={}", literal(&table.comment));
    }
    if let Some(partitioning) = &table.partitioning {
        let _ = write!(text, "\n/*!50100 {partitioning} */");
    }
    text
}

/// The hidden row id is nobody's business, nor an index that is being built.
fn shown(index: &IndexDef) -> bool {
    !index.parts.is_empty() && !index.building
}

fn column_line(table: &TableDef, column: &ColumnDef) -> String {
    let mut line = format!("{} {}", quoted(&column.name), column.ty.column_type());
    if column.ty.is_text() {
        let collation = column.ty.collation;
        if collation != table.collation {
            let _ = write!(line, " CHARACTER SET {}", collation.charset().name());
        }
        if !collation.info().is_default
            || (collation == CollationId::UTF8MB4_0900_AI_CI && collation != table.collation)
        {
            let _ = write!(line, " COLLATE {}", collation.name());
        }
    }
    if let Some(generated) = &column.generated {
        let kind = if generated.stored { "STORED" } else { "VIRTUAL" };
        let _ = write!(line, " GENERATED ALWAYS AS {} {kind}", parenthesised(&generated.expression));
    }
    if !column.ty.nullable {
        line.push_str(" NOT NULL");
    } else if matches!(column.ty.kind, TypeKind::Timestamp { .. }) {
        line.push_str(" NULL");
    }
    if column.invisible {
        line.push_str(" /*!80023 INVISIBLE */");
    }
    if column.generated.is_none() {
        line.push_str(&default_clause(column));
    }
    if column.on_update_now {
        let _ = write!(line, " ON UPDATE {}", current_timestamp(&column.ty));
    }
    if column.auto_increment {
        line.push_str(" AUTO_INCREMENT");
    }
    if !column.comment.is_empty() {
        let _ = write!(line, " COMMENT {}", literal(&column.comment));
    }
    line
}

fn default_clause(column: &ColumnDef) -> String {
    // TEXT and BLOB have no default to show, not even NULL.
    let long = matches!(column.ty.kind, TypeKind::Text { .. } | TypeKind::Blob { .. });
    match &column.default {
        ColumnDefault::Expression(expression) => format!(" DEFAULT {}", parenthesised(expression)),
        ColumnDefault::Now => format!(" DEFAULT {}", current_timestamp(&column.ty)),
        ColumnDefault::Literal(text) if matches!(column.ty.kind, TypeKind::Bit { .. }) => format!(" DEFAULT b'{text}'"),
        // As the column holds it.
        ColumnDefault::Literal(text) => match column.ty.kind {
            TypeKind::Binary { length } => {
                let missing = "\0".repeat((length as usize).saturating_sub(text.len()));
                format!(" DEFAULT {}", literal(&format!("{text}{missing}")))
            }
            _ => format!(" DEFAULT {}", literal(text)),
        },
        ColumnDefault::None | ColumnDefault::Null if column.ty.nullable && !long => " DEFAULT NULL".to_owned(),
        ColumnDefault::None | ColumnDefault::Null => String::new(),
    }
}

/// An expression in parentheses that belong together.
fn parenthesised(expression: &str) -> String {
    let text = expression.trim();
    let mut depth = 0_i32;
    let mut quote = None;
    let mut whole = text.starts_with('(') && text.ends_with(')');
    for (position, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                whole &= depth > 0 || position + 1 == text.len();
            }
            _ => {}
        }
    }
    if whole { text.to_owned() } else { format!("({text})") }
}

fn index_line(table: &TableDef, index: &IndexDef) -> String {
    let parts: Vec<String> = index
        .parts
        .iter()
        .filter_map(|part| {
            let (_, column) = table.column_by_id(part.column)?;
            let prefix = part.prefix.map_or(String::new(), |length| format!("({length})"));
            let of = match &column.generated {
                Some(generated) if column.is_key_expression() => format!("({})", generated.expression),
                _ => quoted(&column.name),
            };
            Some(format!("{of}{prefix}{}", if part.descending { " DESC" } else { "" }))
        })
        .collect();
    let kind = match index.kind {
        _ if index.name == "PRIMARY" => "PRIMARY KEY".to_owned(),
        IndexKind::Btree | IndexKind::Array if index.unique => format!("UNIQUE KEY {}", quoted(&index.name)),
        IndexKind::Btree | IndexKind::Array => format!("KEY {}", quoted(&index.name)),
        IndexKind::Fulltext => format!("FULLTEXT KEY {}", quoted(&index.name)),
        IndexKind::Spatial => format!("SPATIAL KEY {}", quoted(&index.name)),
    };
    let mut line = format!("{kind} ({})", parts.join(","));
    if !index.comment.is_empty() {
        let _ = write!(line, " COMMENT {}", literal(&index.comment));
    }
    if index.invisible {
        line.push_str(" /*!80000 INVISIBLE */");
    }
    line
}

/// As SHOW CREATE TABLE and the errors 1451 and 1452 word it.
pub fn foreign_key_line(table: &TableDef, key: &ForeignKeyDef) -> String {
    let columns: Vec<String> =
        key.columns.iter().filter_map(|id| table.column_by_id(*id).map(|(_, column)| quoted(&column.name))).collect();
    let parent_columns: Vec<String> = key.parent_columns.iter().map(|name| quoted(name)).collect();
    let database = match key.parent_database == table.database {
        true => String::new(),
        false => format!("{}.", quoted(&key.parent_database)),
    };
    let mut line = format!(
        "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {database}{} ({})",
        quoted(&key.name),
        columns.join(", "),
        quoted(&key.parent_table),
        parent_columns.join(", "),
    );
    for (event, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
        let action = match action {
            ReferentialAction::Default | ReferentialAction::NoAction => continue,
            ReferentialAction::Restrict => "RESTRICT",
            ReferentialAction::Cascade => "CASCADE",
            ReferentialAction::SetNull => "SET NULL",
            ReferentialAction::SetDefault => "SET DEFAULT",
        };
        let _ = write!(line, " ON {event} {action}");
    }
    line
}

fn check_line(check: &CheckDef) -> String {
    let enforced = if check.enforced { "" } else { " /*!80016 NOT ENFORCED */" };
    format!("CONSTRAINT {} CHECK ({}){enforced}", quoted(&check.name), parenthesised(&check.expression))
}

#[cfg(test)]
mod tests;
