//! MySQL's words for types and columns, as SHOW CREATE TABLE and information_schema write them.

use crate::catalog::schema::{ColumnDefault, IndexKind};
use crate::catalog::{ColumnDef, TableDef};
use expr::mysql_type::{MysqlType, TypeKind};

/// `name` in backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in single quotes, as SHOW CREATE TABLE escapes it.
pub fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\0' => quoted.push_str("\\0"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// `CURRENT_TIMESTAMP`, with the fraction of the column's type.
pub fn current_timestamp(ty: &MysqlType) -> String {
    match ty.datetime_precision() {
        Some(fsp) if fsp > 0 => format!("CURRENT_TIMESTAMP({fsp})"),
        _ => "CURRENT_TIMESTAMP".to_owned(),
    }
}

/// COLUMN_DEFAULT: `None` is NULL.
pub fn default_text(column: &ColumnDef) -> Option<String> {
    match &column.default {
        ColumnDefault::None | ColumnDefault::Null => None,
        ColumnDefault::Literal(text) if matches!(column.ty.kind, TypeKind::Bit { .. }) => Some(format!("b'{text}'")),
        ColumnDefault::Literal(text) | ColumnDefault::Expression(text) => Some(text.clone()),
        ColumnDefault::Now => Some(current_timestamp(&column.ty)),
    }
}

/// EXTRA.
pub fn extra(column: &ColumnDef) -> String {
    let mut words = Vec::new();
    if column.auto_increment {
        words.push("auto_increment".to_owned());
    }
    if matches!(column.default, ColumnDefault::Now | ColumnDefault::Expression(_)) {
        words.push("DEFAULT_GENERATED".to_owned());
    }
    if column.on_update_now {
        words.push(format!("on update {}", current_timestamp(&column.ty)));
    }
    if let Some(generated) = &column.generated {
        words.push(if generated.stored { "STORED GENERATED" } else { "VIRTUAL GENERATED" }.to_owned());
    }
    if column.invisible {
        words.push("INVISIBLE".to_owned());
    }
    words.join(" ")
}

/// COLUMN_KEY: PRI, UNI, MUL, or nothing.
pub fn column_key(table: &TableDef, column: &ColumnDef) -> &'static str {
    // Without a primary key, the first UNIQUE NOT NULL key is shown as one.
    let clustered = table.clustered();
    if clustered.parts.iter().any(|part| part.column == column.id) {
        return "PRI";
    }
    let mut key = "";
    for index in &table.indexes {
        if index.parts.first().is_some_and(|part| part.column == column.id) {
            if index.unique && index.parts.len() == 1 {
                return "UNI";
            }
            key = "MUL";
        }
    }
    key
}

/// INDEX_TYPE.
pub fn index_type(kind: IndexKind) -> &'static str {
    match kind {
        IndexKind::Btree | IndexKind::Array => "BTREE",
        IndexKind::Fulltext => "FULLTEXT",
        IndexKind::Spatial => "SPATIAL",
    }
}
