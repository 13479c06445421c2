//! Error 1062, worded as MySQL words it.

use crate::catalog::TableDef;
use crate::catalog::schema::IndexDef;
use common::key::{Key, table_and_index};
use expr::value::Value;
use expr::{ErrorCode, SqlError};

/// Characters of the key that the message shows.
const SHOWN_CHARACTERS_MAX: usize = 64;

pub fn duplicate_entry(table: &TableDef, index: &IndexDef, values: &[Value]) -> SqlError {
    let parts: Vec<String> = index
        .parts
        .iter()
        .filter_map(|part| {
            let (position, _) = table.column_by_id(part.column)?;
            Some(part_text(values.get(position)?, part.prefix))
        })
        .collect();
    let shown: String = parts.join("-").chars().take(SHOWN_CHARACTERS_MAX).collect();
    SqlError::new(ErrorCode::DUP_ENTRY, format!("Duplicate entry '{shown}' for key '{}.{}'", table.name, index.name))
}

/// The same where nobody has the values any more: of rows that are in the object store already.
pub fn duplicate_key(table: &TableDef, key: &Key) -> SqlError {
    let index = table_and_index(key).and_then(|(_, id)| table.indexes.iter().find(|index| index.id == id));
    let index = index.map_or("?", |index| index.name.as_str());
    SqlError::new(ErrorCode::DUP_ENTRY, format!("Duplicate entry '...' for key '{}.{index}'", table.name))
}

fn part_text(value: &Value, prefix: Option<u32>) -> String {
    let cut = prefix.map_or(usize::MAX, |length| length as usize);
    match value {
        Value::Null => "NULL".into(),
        Value::Bytes(bytes) => bytes.iter().take(cut).map(|&byte| shown_byte(byte)).collect(),
        Value::Bit(..) => value.to_bytes().iter().map(|&byte| shown_byte(byte)).collect(),
        other => other.to_text().chars().take(cut).collect(),
    }
}

fn shown_byte(byte: u8) -> String {
    if (0x20..0x7f).contains(&byte) { char::from(byte).to_string() } else { format!("\\x{byte:02X}") }
}
