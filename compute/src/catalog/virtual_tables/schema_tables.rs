//! SCHEMATA, TABLES, COLUMNS, STATISTICS, VIEWS, PARTITIONS: what there is in the catalog.

use crate::catalog::describe;
use crate::catalog::schema::ViewDef;
use crate::catalog::virtual_tables::{
    DATABASES, ViewColumn, VirtualContext, VirtualTable, number, optional, tables_of, text, yes_no,
};
use crate::catalog::{Catalog, ColumnDef, TableDef};
use expr::SqlError;
use expr::collation::CollationId;
use expr::eval::TimeZone;
use expr::value::{Row, Value};
use std::sync::Arc;

pub(super) const CATALOG: &str = "def";

/// `None` if the table is none of these.
pub(super) async fn rows(
    name: &str,
    wanted: &[usize],
    catalog: &Catalog,
    context: &VirtualContext,
) -> Result<Option<Vec<Row>>, SqlError> {
    Ok(Some(match name {
        "SCHEMATA" => schemata(catalog),
        "TABLES" => tables(wanted, catalog, context).await,
        "COLUMNS" => columns(wanted, catalog, context),
        "STATISTICS" => statistics(wanted, catalog, context).await,
        "VIEWS" => all_views(catalog).map(|view| view_row(view)).collect(),
        "PARTITIONS" => partitions(wanted, catalog, context).await,
        _ => return Ok(None),
    }))
}

pub(super) fn all_tables(catalog: &Catalog) -> impl Iterator<Item = &Arc<TableDef>> {
    catalog.databases.values().flat_map(|database| database.tables.values())
}

fn all_views(catalog: &Catalog) -> impl Iterator<Item = &Arc<ViewDef>> {
    catalog.databases.values().flat_map(|database| database.views.values())
}

fn schemata(catalog: &Catalog) -> Vec<Row> {
    let row = |name: &str, collation: CollationId| {
        vec![
            text(CATALOG),
            text(name),
            text(collation.charset().name()),
            text(collation.name()),
            Value::Null,
            text("NO"),
        ]
    };
    let mut rows: Vec<Row> =
        catalog.databases.values().map(|it| row(&it.definition.name, it.definition.collation)).collect();
    for name in DATABASES {
        if !catalog.databases.contains_key(name) {
            let collation = match name {
                "information_schema" => CollationId::UTF8MB3_GENERAL_CI,
                _ => CollationId::UTF8MB4_0900_AI_CI,
            };
            rows.push(row(name, collation));
        }
    }
    rows.sort_by(|left, right| left[1].to_text().cmp(&right[1].to_text()));
    rows
}

/// A time in seconds since 1970, in the session's time zone.
pub(super) fn moment(seconds: u64, zone: TimeZone) -> Value {
    let micros = (seconds as i64).saturating_mul(1_000_000);
    zone.from_utc_micros(micros, 0).map_or(Value::Null, Value::DateTime)
}

async fn tables(wanted: &[usize], catalog: &Catalog, context: &VirtualContext) -> Vec<Row> {
    const TABLE_ROWS: usize = 7;
    const DATA_LENGTH: usize = 9;
    const AUTO_INCREMENT: usize = 13;
    let wants_size = wanted.iter().any(|column| (TABLE_ROWS..=DATA_LENGTH).contains(column));
    let wants_counter = wanted.contains(&AUTO_INCREMENT);
    let mut rows = Vec::new();
    // Temporary tables are nobody's but the session's, and not listed there either.
    for table in all_tables(catalog).filter(|table| !catalog.is_temporary(table)) {
        let size = if wants_size { context.estimate(table).await } else { Default::default() };
        let counts = table.columns.iter().any(|column| column.auto_increment);
        let next = if wants_counter && counts { context.next_auto_increment(table.counter).await } else { None };
        rows.push(vec![
            text(CATALOG),
            text(&table.database),
            text(&table.name),
            text("BASE TABLE"),
            text(&table.engine),
            number(10),
            text("Dynamic"),
            Value::UInt(size.rows),
            Value::UInt(size.bytes.checked_div(size.rows).unwrap_or(0)),
            Value::UInt(size.bytes),
            Value::UInt(0),
            Value::UInt(0),
            Value::UInt(0),
            next.map_or(Value::Null, Value::UInt),
            moment(table.create_time, context.time_zone),
            Value::Null,
            Value::Null,
            text(table.collation.name()),
            Value::Null,
            text(create_options(table)),
            text(&table.comment),
        ]);
    }
    for view in all_views(catalog) {
        let mut row = vec![Value::Null; 21];
        row[0] = text(CATALOG);
        row[1] = text(&view.database);
        row[2] = text(&view.name);
        row[3] = text("VIEW");
        row[14] = moment(0, context.time_zone);
        row[20] = text("VIEW");
        rows.push(row);
    }
    for table in DATABASES.iter().flat_map(|database| tables_of(database)) {
        rows.push(virtual_table_row(table, context));
    }
    rows.sort_by(|left, right| {
        let key = |row: &Row| (row[1].to_text().into_owned(), row[2].to_text().into_owned());
        key(left).cmp(&key(right))
    });
    rows
}

fn virtual_table_row(table: &VirtualTable, context: &VirtualContext) -> Row {
    let (kind, engine) = match table.database {
        "information_schema" => ("SYSTEM VIEW", None),
        "performance_schema" => ("BASE TABLE", Some("PERFORMANCE_SCHEMA")),
        _ => ("BASE TABLE", Some("InnoDB")),
    };
    let mut row = vec![Value::Null; 21];
    row[0] = text(CATALOG);
    row[1] = text(table.database);
    row[2] = text(table.name);
    row[3] = text(kind);
    row[4] = optional(engine);
    row[5] = number(10);
    row[7] = Value::UInt(0);
    row[14] = moment(0, context.time_zone);
    row[19] = text("");
    row[20] = text("");
    row
}

/// CREATE_OPTIONS: `row_format=DYNAMIC partitioned`.
fn create_options(table: &TableDef) -> String {
    let mut options: Vec<String> = table
        .options
        .iter()
        .map(|option| match option.split_once('=') {
            Some((name, value)) => format!("{}={value}", name.to_ascii_lowercase()),
            None => option.to_ascii_lowercase(),
        })
        .collect();
    if table.partitioning.is_some() {
        options.push("partitioned".to_owned());
    }
    options.join(" ")
}

fn columns(wanted: &[usize], catalog: &Catalog, context: &VirtualContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for table in all_tables(catalog) {
        let shown = table.columns.iter().filter(|column| !column.is_key_expression());
        for (position, column) in shown.enumerate() {
            rows.push(column_row(table, position, column));
        }
    }
    // Columns up to the position say nothing of the type.
    let wants_types = wanted.iter().any(|column| *column > 4);
    for view in all_views(catalog) {
        let bound = if wants_types { (context.view_columns)(catalog, view).unwrap_or_default() } else { Vec::new() };
        for (position, name) in view.columns.iter().enumerate() {
            rows.push(view_column_row(view, position, name, bound.get(position), catalog));
        }
    }
    for table in DATABASES.iter().flat_map(|database| tables_of(database)) {
        for (position, column) in table.columns.iter().enumerate() {
            let mut row = type_columns(&column.ty);
            row[0] = text(CATALOG);
            row[1] = text(table.database);
            row[2] = text(table.name);
            row[3] = text(column.name);
            row[4] = number(position as i64 + 1);
            for column in [16, 17, 19, 20] {
                row[column] = text("");
            }
            row[18] = text("select");
            rows.push(row);
        }
    }
    rows
}

const PRIVILEGES: &str = "select,insert,update,references";

/// A row of COLUMNS with what follows from the type.
fn type_columns(ty: &expr::MysqlType) -> Row {
    let mut row = vec![Value::Null; 22];
    row[6] = yes_no(ty.nullable);
    row[7] = text(ty.data_type());
    row[8] = ty.character_length().map_or(Value::Null, number);
    row[9] = ty.octet_length().map_or(Value::Null, number);
    row[10] = ty.numeric_precision().map_or(Value::Null, Value::UInt);
    row[11] = ty.numeric_scale().map_or(Value::Null, Value::UInt);
    row[12] = ty.datetime_precision().map_or(Value::Null, number);
    if ty.is_text() {
        row[13] = text(ty.collation.charset().name());
        row[14] = text(ty.collation.name());
    }
    row[15] = text(ty.column_type());
    row
}

/// A column of a view that is not valid any more has the type of NULL.
fn view_column_row(view: &ViewDef, position: usize, name: &str, column: Option<&ViewColumn>, catalog: &Catalog) -> Row {
    let mut row = type_columns(&column.map_or_else(expr::MysqlType::null, |column| column.ty.clone()));
    let origin = column.and_then(|column| column.origin.as_ref());
    let base = origin.and_then(|(database, table, name)| {
        let table = catalog.table(database, table)?;
        Some(&table.columns[table.column_index(name)?])
    });
    row[0] = text(CATALOG);
    row[1] = text(&view.database);
    row[2] = text(&view.name);
    row[3] = text(name);
    row[4] = number(position as i64 + 1);
    row[5] = optional(base.and_then(describe::default_text));
    for column in [16, 17, 19, 20] {
        row[column] = text("");
    }
    row[18] = text(PRIVILEGES);
    row
}

fn column_row(table: &TableDef, position: usize, column: &ColumnDef) -> Row {
    let mut row = type_columns(&column.ty);
    row[0] = text(CATALOG);
    row[1] = text(&table.database);
    row[2] = text(&table.name);
    row[3] = text(&column.name);
    row[4] = number(position as i64 + 1);
    row[5] = optional(describe::default_text(column));
    row[16] = text(describe::column_key(table, column));
    row[17] = text(describe::extra(column));
    row[18] = text(PRIVILEGES);
    row[19] = text(&column.comment);
    row[20] = text(column.generated.as_ref().map_or("", |generated| generated.expression.as_str()));
    row
}

async fn statistics(wanted: &[usize], catalog: &Catalog, context: &VirtualContext) -> Vec<Row> {
    const CARDINALITY: usize = 9;
    let mut rows = Vec::new();
    for table in all_tables(catalog) {
        let size = if wanted.contains(&CARDINALITY) { context.estimate(table).await } else { Default::default() };
        for index in table.indexes.iter().filter(|index| !index.building) {
            for (position, part) in index.parts.iter().enumerate() {
                let Some((_, column)) = table.column_by_id(part.column) else { continue };
                let expression = column.generated.as_ref().filter(|_| column.is_key_expression());
                rows.push(vec![
                    text(CATALOG),
                    text(&table.database),
                    text(&table.name),
                    number(i64::from(!index.unique)),
                    text(&table.database),
                    text(&index.name),
                    number(position as i64 + 1),
                    if expression.is_some() { Value::Null } else { text(&column.name) },
                    text(if part.descending { "D" } else { "A" }),
                    number(size.rows),
                    part.prefix.map_or(Value::Null, number),
                    Value::Null,
                    text(if column.ty.nullable { "YES" } else { "" }),
                    text(describe::index_type(index.kind)),
                    text(""),
                    text(&index.comment),
                    yes_no(!index.invisible),
                    optional(expression.map(|generated| &generated.expression)),
                ]);
            }
        }
    }
    rows
}

fn view_row(view: &ViewDef) -> Row {
    vec![
        text(CATALOG),
        text(&view.database),
        text(&view.name),
        text(&view.select),
        text(view.check_option.as_deref().unwrap_or("NONE")),
        text("YES"),
        text(&view.definer),
        text(if view.invoker { "INVOKER" } else { "DEFINER" }),
        text("utf8mb4"),
        text("utf8mb4_0900_ai_ci"),
    ]
}

/// A row for each partition, one for a table without. Rows are not stored by partition: their number is spread evenly.
async fn partitions(wanted: &[usize], catalog: &Catalog, context: &VirtualContext) -> Vec<Row> {
    let wants_size = wanted.iter().any(|column| (12..=14).contains(column));
    let mut rows = Vec::new();
    for table in all_tables(catalog) {
        let size = if wants_size { context.estimate(table).await } else { Default::default() };
        let partitions = match table.partitioning {
            Some(_) => (context.partitions)(table).unwrap_or_default(),
            None => Vec::new(),
        };
        let count = partitions.len().max(1) as u64;
        let mut row = vec![Value::Null; 25];
        row[0] = text(CATALOG);
        row[1] = text(&table.database);
        row[2] = text(&table.name);
        row[12] = Value::UInt(size.rows / count);
        row[13] = Value::UInt(size.bytes.checked_div(size.rows).unwrap_or(0));
        row[14] = Value::UInt(size.bytes / count);
        for column in 15..=17 {
            row[column] = Value::UInt(0);
        }
        row[18] = moment(table.create_time, context.time_zone);
        row[22] = text("");
        if partitions.is_empty() {
            rows.push(row);
            continue;
        }
        for (position, partition) in partitions.into_iter().enumerate() {
            let mut row = row.clone();
            row[3] = text(partition.name);
            row[5] = Value::UInt(position as u64 + 1);
            row[7] = text(partition.method);
            row[9] = text(partition.expression);
            row[11] = optional(partition.description);
            row[22] = text(partition.comment);
            rows.push(row);
        }
    }
    rows
}
