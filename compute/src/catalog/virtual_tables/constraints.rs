//! KEY_COLUMN_USAGE, TABLE_CONSTRAINTS, REFERENTIAL_CONSTRAINTS, CHECK_CONSTRAINTS.

use crate::catalog::schema::{ForeignKeyDef, IndexDef, IndexKind, ReferentialAction};
use crate::catalog::virtual_tables::schema_tables::{CATALOG, all_tables};
use crate::catalog::virtual_tables::{number, optional, text, yes_no};
use crate::catalog::{Catalog, ColumnDef, TableDef};
use expr::value::{Row, Value};

/// `None` if the table is none of these.
pub(super) fn rows(name: &str, catalog: &Catalog) -> Option<Vec<Row>> {
    let of: fn(&TableDef, &Catalog, &mut Vec<Row>) = match name {
        "KEY_COLUMN_USAGE" => key_column_usage,
        "TABLE_CONSTRAINTS" => table_constraints,
        "REFERENTIAL_CONSTRAINTS" => referential_constraints,
        "CHECK_CONSTRAINTS" => check_constraints,
        _ => return None,
    };
    let mut rows = Vec::new();
    for table in all_tables(catalog) {
        of(table, catalog, &mut rows);
    }
    // As the dictionary of MySQL has them: by database and name, whatever the table.
    if name == "CHECK_CONSTRAINTS" {
        rows.sort_by_key(|row| (row[1].to_text().into_owned(), row[2].to_text().to_lowercase()));
    }
    Some(rows)
}

fn unique_keys(table: &TableDef) -> impl Iterator<Item = &IndexDef> {
    let shown = |index: &&IndexDef| {
        index.unique && index.kind == IndexKind::Btree && !index.building && !index.parts.is_empty()
    };
    table.indexes.iter().filter(shown)
}

fn key_column_usage(table: &TableDef, _catalog: &Catalog, rows: &mut Vec<Row>) {
    // NULL for a functional key part.
    let mut add = |constraint: &str, column: &ColumnDef, position: usize, parent: Option<(&ForeignKeyDef, &str)>| {
        rows.push(vec![
            text(CATALOG),
            text(&table.database),
            text(constraint),
            text(CATALOG),
            text(&table.database),
            text(&table.name),
            if column.is_key_expression() { Value::Null } else { text(&column.name) },
            number(position as i64 + 1),
            parent.map_or(Value::Null, |_| number(position as i64 + 1)),
            optional(parent.map(|(key, _)| &key.parent_database)),
            optional(parent.map(|(key, _)| &key.parent_table)),
            optional(parent.map(|(_, column)| column)),
        ]);
    };
    for index in unique_keys(table) {
        for (position, part) in index.parts.iter().enumerate() {
            if let Some((_, column)) = table.column_by_id(part.column) {
                add(&index.name, column, position, None);
            }
        }
    }
    for key in &table.foreign_keys {
        for (position, (id, parent)) in key.columns.iter().zip(&key.parent_columns).enumerate() {
            if let Some((_, column)) = table.column_by_id(*id) {
                add(&key.name, column, position, Some((key, parent)));
            }
        }
    }
}

fn table_constraints(table: &TableDef, _catalog: &Catalog, rows: &mut Vec<Row>) {
    let mut add = |name: &str, kind: &str, enforced: bool| {
        rows.push(vec![
            text(CATALOG),
            text(&table.database),
            text(name),
            text(&table.database),
            text(&table.name),
            text(kind),
            yes_no(enforced),
        ]);
    };
    for index in unique_keys(table) {
        add(&index.name, if index.name == "PRIMARY" { "PRIMARY KEY" } else { "UNIQUE" }, true);
    }
    for key in &table.foreign_keys {
        add(&key.name, "FOREIGN KEY", true);
    }
    for check in &table.checks {
        add(&check.name, "CHECK", check.enforced);
    }
}

fn referential_constraints(table: &TableDef, catalog: &Catalog, rows: &mut Vec<Row>) {
    for key in &table.foreign_keys {
        rows.push(vec![
            text(CATALOG),
            text(&table.database),
            text(&key.name),
            text(CATALOG),
            text(&key.parent_database),
            optional(parent_key(key, catalog)),
            text("NONE"),
            text(rule(key.on_update)),
            text(rule(key.on_delete)),
            text(&table.name),
            text(&key.parent_table),
        ]);
    }
}

/// The unique key of the parent that the foreign key names the columns of.
fn parent_key(key: &ForeignKeyDef, catalog: &Catalog) -> Option<String> {
    let parent = catalog.table(&key.parent_database, &key.parent_table)?;
    let columns: Vec<_> =
        key.parent_columns.iter().filter_map(|name| Some(parent.columns[parent.column_index(name)?].id)).collect();
    let index = unique_keys(parent).find(|index| {
        index.parts.len() >= columns.len() && index.parts.iter().zip(&columns).all(|(part, id)| part.column == *id)
    })?;
    Some(index.name.clone())
}

fn rule(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::Default | ReferentialAction::NoAction => "NO ACTION",
        ReferentialAction::Restrict => "RESTRICT",
        ReferentialAction::Cascade => "CASCADE",
        ReferentialAction::SetNull => "SET NULL",
        ReferentialAction::SetDefault => "SET DEFAULT",
    }
}

fn check_constraints(table: &TableDef, _catalog: &Catalog, rows: &mut Vec<Row>) {
    for check in &table.checks {
        rows.push(vec![text(CATALOG), text(&table.database), text(&check.name), text(&check.expression)]);
    }
}
