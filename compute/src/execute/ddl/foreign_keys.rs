//! Foreign keys of a table: names, what they may refer to, the index that each needs on its own side.

use super::{expression_rules, indexes};
use crate::catalog::schema::{ColumnDef, ForeignKeyDef, IndexDef, IndexKind, ReferentialAction};
use crate::catalog::{Catalog, TableDef};
use crate::sql::plan::{ForeignKeySpec, IndexSpec};
use common::id::{ColumnId, IndexId};
use expr::eval::EvalContext;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{ErrorCode, SqlError};

/// Adds a foreign key to a definition, with an index for it if none serves. Its name is generated if it has none.
pub fn add(
    spec: &ForeignKeySpec,
    table: &mut TableDef,
    catalog: &Catalog,
    checks: bool,
    eval: &EvalContext,
) -> Result<(), SqlError> {
    let name = match &spec.name {
        Some(name) => name.clone(),
        None => generated_name(table),
    };
    if table.foreign_keys.iter().any(|key| key.name.eq_ignore_ascii_case(&name)) {
        return Err(SqlError::new(ErrorCode::FK_DUP_NAME, format!("Duplicate foreign key constraint name '{name}'")));
    }
    if spec.columns.len() != spec.parent_columns.len() {
        return Err(SqlError::new(
            ErrorCode::WRONG_FK_DEF,
            format!("Incorrect foreign key definition for '{name}': Key reference and table reference don't match"),
        ));
    }
    let columns = child_columns(spec, table, &name)?;
    let key = ForeignKeyDef {
        name,
        columns,
        parent_database: spec.parent.database.clone(),
        parent_table: spec.parent.name.clone(),
        parent_columns: spec.parent_columns.clone(),
        on_delete: spec.on_delete,
        on_update: spec.on_update,
    };
    let itself = table.database == key.parent_database && table.name == key.parent_table;
    let parent =
        if itself { Some(&*table) } else { catalog.table(&key.parent_database, &key.parent_table).map(|t| &**t) };
    match parent {
        Some(parent) => check_parent(&key, table, parent)?,
        None if checks => {
            return Err(SqlError::new(
                ErrorCode::FK_CANNOT_OPEN_PARENT,
                format!("Failed to open the referenced table '{}'", key.parent_table),
            ));
        }
        None => {}
    }
    if !table.indexes.iter().any(|index| leads_with(index, &key.columns)) {
        add_index(spec, &key, table, eval)?;
    }
    table.foreign_keys.push(key);
    Ok(())
}

/// `child_ibfk_1` and on: one more than the greatest there is.
fn generated_name(table: &TableDef) -> String {
    let prefix = format!("{}_ibfk_", table.name);
    let numbers = table.foreign_keys.iter().filter_map(|key| key.name.strip_prefix(&prefix)?.parse::<u64>().ok());
    format!("{prefix}{}", numbers.max().unwrap_or(0) + 1)
}

fn child_columns(spec: &ForeignKeySpec, table: &TableDef, name: &str) -> Result<Vec<ColumnId>, SqlError> {
    let sets_null = [spec.on_delete, spec.on_update].contains(&ReferentialAction::SetNull);
    let mut columns = Vec::with_capacity(spec.columns.len());
    for column_name in &spec.columns {
        let position = table.column_index(column_name).ok_or_else(|| {
            SqlError::new(
                ErrorCode::KEY_COLUMN_DOES_NOT_EXIST,
                format!("Key column '{column_name}' doesn't exist in table"),
            )
        })?;
        let column = &table.columns[position];
        if let Some(generated) = &column.generated {
            if let Some(clause) = clause_on_generated(spec) {
                return Err(SqlError::new(
                    ErrorCode(3104),
                    format!("Cannot define foreign key with {clause} clause on a generated column."),
                ));
            }
            if !generated.stored {
                return Err(SqlError::new(
                    ErrorCode(3733),
                    format!("Foreign key '{name}' uses virtual column '{}' which is not supported.", column.name),
                ));
            }
        }
        let writes = |action| {
            use ReferentialAction::{Cascade, SetDefault, SetNull};
            matches!(action, Cascade | SetNull | SetDefault)
        };
        if (writes(spec.on_update) || writes(spec.on_delete))
            && expression_rules::is_base_of_stored(&column.name, table)?
        {
            return Err(SqlError::new(ErrorCode::CANNOT_ADD_FOREIGN, "Cannot add foreign key constraint"));
        }
        if sets_null && !column.ty.nullable {
            return Err(SqlError::new(
                ErrorCode(1830),
                format!(
                    "Column '{}' cannot be NOT NULL: needed in a foreign key constraint '{name}' SET NULL",
                    column.name
                ),
            ));
        }
        columns.push(column.id);
    }
    Ok(columns)
}

/// Actions that would write the column.
fn clause_on_generated(spec: &ForeignKeySpec) -> Option<&'static str> {
    use ReferentialAction::{Cascade, SetDefault, SetNull};
    match (spec.on_update, spec.on_delete) {
        (SetNull, _) => Some("ON UPDATE SET NULL"),
        (Cascade, _) => Some("ON UPDATE CASCADE"),
        (SetDefault, _) => Some("ON UPDATE SET DEFAULT"),
        (_, SetNull) => Some("ON DELETE SET NULL"),
        (_, SetDefault) => Some("ON DELETE SET DEFAULT"),
        _ => None,
    }
}

/// Whether a foreign key fits its parent: columns, types, and an index to find parents by.
pub fn check_parent(key: &ForeignKeyDef, child: &TableDef, parent: &TableDef) -> Result<(), SqlError> {
    let mut referenced = Vec::with_capacity(key.columns.len());
    for (child_id, parent_name) in key.columns.iter().zip(&key.parent_columns) {
        let position = parent.column_index(parent_name).ok_or_else(|| {
            SqlError::new(
                ErrorCode(3734),
                format!(
                    "Failed to add the foreign key constraint. Missing column '{parent_name}' for constraint '{}' in \
                     the referenced table '{}'",
                    key.name, parent.name
                ),
            )
        })?;
        let column = &parent.columns[position];
        let child_column = child.column_by_id(*child_id).map(|(_, column)| column);
        if let Some(child_column) = child_column.filter(|child| !compatible(&child.ty, &column.ty)) {
            return Err(incompatible(child_column, column, &key.name));
        }
        referenced.push(column.id);
    }
    if !parent.indexes.iter().any(|index| leads_with(index, &referenced)) {
        return Err(SqlError::new(
            ErrorCode::NO_REFERENCED_INDEX,
            format!(
                "Failed to add the foreign key constraint. Missing index for constraint '{}' in the referenced table \
                 '{}'",
                key.name, parent.name
            ),
        ));
    }
    Ok(())
}

fn incompatible(child: &ColumnDef, parent: &ColumnDef, name: &str) -> SqlError {
    SqlError::new(
        ErrorCode::FK_INCOMPATIBLE_COLUMNS,
        format!(
            "Referencing column '{}' and referenced column '{}' in foreign key constraint '{name}' are incompatible.",
            child.name, parent.name
        ),
    )
}

/// Lengths of strings may differ; size and sign of integers, precision of decimals, collations may not.
fn compatible(child: &MysqlType, parent: &MysqlType) -> bool {
    use TypeKind::*;
    match (&child.kind, &parent.kind) {
        (Int { bytes, unsigned, .. }, Int { bytes: parent_bytes, unsigned: parent_unsigned, .. }) => {
            bytes == parent_bytes && unsigned == parent_unsigned
        }
        (Char { .. } | VarChar { .. }, Char { .. } | VarChar { .. }) => child.collation == parent.collation,
        (Binary { .. } | VarBinary { .. }, Binary { .. } | VarBinary { .. }) => true,
        (Enum(_), Enum(_)) | (Set(_), Set(_)) => child.collation == parent.collation,
        (Bit { .. }, Bit { .. }) => true,
        (left, right) => left == right,
    }
}

/// An index whose first parts are these columns, whole: it finds rows by their values.
pub fn leads_with(index: &IndexDef, columns: &[ColumnId]) -> bool {
    index.kind == IndexKind::Btree
        && !index.building
        && index.parts.len() >= columns.len()
        && index.parts.iter().zip(columns).all(|(part, column)| part.column == *column && part.prefix.is_none())
}

/// The index that MySQL makes for a foreign key's own side.
fn add_index(
    spec: &ForeignKeySpec,
    key: &ForeignKeyDef,
    table: &mut TableDef,
    eval: &EvalContext,
) -> Result<(), SqlError> {
    let taken: Vec<&str> = table.indexes.iter().map(|index| index.name.as_str()).collect();
    let name = spec.index_name.clone().or_else(|| spec.name.clone());
    // A constraint's name may be that of another index; then the first column names it.
    let name = name.filter(|name| !taken.iter().any(|other| other.eq_ignore_ascii_case(name)));
    let index = IndexSpec {
        name,
        primary: false,
        unique: false,
        kind: IndexKind::Btree,
        parts: spec.columns.iter().map(|column| (column.clone(), None, false)).collect(),
        expressions: Vec::new(),
        comment: String::new(),
        invisible: false,
    };
    let index = indexes::define(&index, &table.columns, &taken, IndexId(table.next_index), eval)?;
    debug_assert!(leads_with(&index, &key.columns), "made for it");
    table.next_index += 1;
    table.indexes.push(index);
    Ok(())
}

/// Tables whose definitions say "others refer to me" must change when a foreign key to them appears or goes, so that
/// transactions that delete from them are told.
pub fn parents(table: &TableDef) -> Vec<(String, String)> {
    let mut parents: Vec<(String, String)> = table
        .foreign_keys
        .iter()
        .map(|key| (key.parent_database.clone(), key.parent_table.clone()))
        .filter(|(database, name)| *database != table.database || *name != table.name)
        .collect();
    parents.sort();
    parents.dedup();
    parents
}
