//! CREATE TABLE, CREATE TABLE ... LIKE, CREATE TABLE ... AS SELECT.

use super::*;
use crate::catalog::TableDef;
use crate::catalog::schema::CheckDef;
use crate::execute::ddl::{columns, expression_rules, foreign_keys, indexes, partitions};
use crate::execute::write::insert;
use crate::sql::parse::ast::PartitioningOption;
use crate::sql::plan::{ColumnSpec, CreateTable, IndexSpec};
use common::id::{ColumnId, CounterId, IndexId, Lsn};
use expr::collation::CollationId;
use expr::error::WarningLevel;
use expr::eval::EvalContext;

pub async fn create(create: &CreateTable, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    if create.temporary {
        return create_temporary(create, context).await;
    }
    let Some(catalog) = claim_name(&create.name, create.if_not_exists, context).await? else {
        return Ok(Done::default());
    };
    let id = allocate_table_id(context).await?;
    let table = define(create, &catalog, id, context)?;
    // Errors in the expressions of the definition come now, not at the first INSERT.
    crate::execute::expressions::TableExpressions::bind(&table, &*context.binder)?;
    touch_parents(&table, context).await?;
    put_shared_table(&table, context)?;
    start_counter(&table, create.options.auto_increment.unwrap_or(1), context);
    match &create.source {
        Some(source) => insert::fill_new_table(Arc::new(table), source, create, context).await,
        None => Ok(Done::default()),
    }
}

/// CREATE TEMPORARY TABLE. It takes no locks, and belongs to the transaction only by the rows of its query.
async fn create_temporary(create: &CreateTable, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    if !claim_temporary(&create.name, create.if_not_exists, context)? {
        return Ok(Done::default());
    }
    if !create.foreign_keys.is_empty() {
        return Err(SqlError::new(ErrorCode(1215), "Cannot add foreign key constraint"));
    }
    if matches!(create.options.partitioning, Some(PartitioningOption::By(_))) {
        return Err(SqlError::new(ErrorCode(1562), "Cannot create temporary table with partitions"));
    }
    let id = allocate_temporary_id(context).await?;
    let catalog = context.catalog.clone();
    let table = define(create, &catalog, id, context)?;
    crate::execute::expressions::TableExpressions::bind(&table, &*context.binder)?;
    begin_counter_at(&table, create.options.auto_increment.unwrap_or(1), context).await?;
    context.temporary.put(table.clone());
    context.catalog = context.temporary.over(&context.services.catalog.newest());
    match &create.source {
        Some(source) => insert::fill_new_table(Arc::new(table), source, create, context).await,
        None => Ok(Done::default()),
    }
}

/// False: the session has one of this name, and IF NOT EXISTS was said.
fn claim_temporary(name: &ObjectName, if_not_exists: bool, context: &StatementContext<'_>) -> Result<bool, SqlError> {
    refuse_made_up(name)?;
    if name.name.chars().count() > 64 {
        return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, format!("Identifier name '{}' is too long", name.name)));
    }
    if context.catalog.database(&name.database).is_none() {
        return Err(unknown_database(&name.database));
    }
    if context.temporary.get(&name.database, &name.name).is_none() {
        return Ok(true);
    }
    let message = format!("Table '{}' already exists", name.name);
    if !if_not_exists {
        return Err(SqlError::new(ErrorCode::TABLE_EXISTS, message));
    }
    context.warn(WarningLevel::Note, ErrorCode::TABLE_EXISTS, message);
    Ok(false)
}

/// The counter of a temporary table begins there now: the transaction may go on for long.
async fn begin_counter_at(table: &TableDef, next: u64, context: &StatementContext<'_>) -> Result<(), SqlError> {
    if next <= 1 {
        return Ok(());
    }
    // Taking the number before moves the counter to it.
    let request = AllocateRequest { counter: table.counter, count: 1, at_least: next - 1 };
    with_backoff(|| context.services.remote.wal.allocate(request)).await.map_err(wal_error).map(|_| ())
}

pub async fn create_like(
    name: &ObjectName,
    like: &ObjectName,
    if_not_exists: bool,
    temporary: bool,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    let (model, id) = if temporary {
        let model = find_table(&context.catalog, like)?;
        if !claim_temporary(name, if_not_exists, context)? {
            return Ok(Done::default());
        }
        (model, allocate_temporary_id(context).await?)
    } else {
        let Some(catalog) = claim_name(name, if_not_exists, context).await? else { return Ok(Done::default()) };
        let model = find_table(&catalog, like)?;
        context.rely_on(&model);
        (model, allocate_table_id(context).await?)
    };
    let mut checks = model.checks.clone();
    // Generated names carry the table's name.
    let prefix = format!("{}_chk_", model.name);
    for check in &mut checks {
        if let Some(number) = check.name.strip_prefix(&prefix) {
            check.name = format!("{}_chk_{number}", name.name);
        }
    }
    let table = TableDef {
        id,
        database: name.database.clone(),
        name: name.name.clone(),
        foreign_keys: Vec::new(),
        checks,
        counter: CounterId(u64::from(id.0)),
        create_time: now_seconds(context),
        version: Lsn::ZERO,
        ..(*model).clone()
    };
    if temporary {
        context.temporary.put(table);
        return Ok(Done::default());
    }
    put_shared_table(&table, context)?;
    start_counter(&table, 1, context);
    Ok(Done::default())
}

/// Locks a name for a new table or view. `None`: it is taken, and IF NOT EXISTS was said.
pub async fn claim_name(
    name: &ObjectName,
    if_not_exists: bool,
    context: &mut StatementContext<'_>,
) -> Result<Option<Arc<Catalog>>, SqlError> {
    refuse_made_up(name)?;
    if name.name.chars().count() > 64 {
        return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, format!("Identifier name '{}' is too long", name.name)));
    }
    let mut keys = name_keys(name).to_vec();
    keys.push(storage::database_key(&name.database));
    let catalog = lock_names(keys, context).await?;
    let catalog = with_home(&name.database, catalog, context)?;
    let database = catalog.database(&name.database).ok_or_else(|| unknown_database(&name.database))?;
    // A temporary table of that name is in nobody's way.
    let newest = context.services.catalog.newest();
    let taken = match catalog.names_temporary(&name.database, &name.name) {
        true => newest.table(&name.database, &name.name).is_some(),
        false => database.tables.contains_key(&name.name),
    };
    if taken || database.views.contains_key(&name.name) {
        let message = format!("Table '{}' already exists", name.name);
        if !if_not_exists {
            return Err(SqlError::new(ErrorCode::TABLE_EXISTS, message));
        }
        context.warn(WarningLevel::Note, ErrorCode::TABLE_EXISTS, message);
        return Ok(None);
    }
    Ok(Some(catalog))
}

/// Makes the counter begin there with the commit.
pub fn start_counter(table: &TableDef, next: u64, context: &mut StatementContext<'_>) {
    context.transaction.bump_counter(CounterBump { counter: table.counter, next: next.max(1), reset: true });
}

/// Changes the definitions of tables that this one has foreign keys to, without changing what they say: transactions
/// that relied on "nobody refers to my rows" are refused.
pub async fn touch_parents(table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    let parents = foreign_keys::parents(table);
    if parents.is_empty() {
        return Ok(());
    }
    let keys = parents.iter().map(|(database, name)| storage::table_key(database, name)).collect();
    let catalog = lock_names(keys, context).await?;
    for (database, name) in &parents {
        if let Some(parent) = catalog.table(database, name) {
            put_table(&parent.clone(), context)?;
        }
    }
    Ok(())
}

pub fn now_seconds(context: &StatementContext<'_>) -> u64 {
    u64::try_from(context.eval.now_us / 1_000_000).unwrap_or(0)
}

fn define(
    create: &CreateTable,
    catalog: &Catalog,
    id: TableId,
    context: &StatementContext<'_>,
) -> Result<TableDef, SqlError> {
    let database = catalog.database(&create.name.database).ok_or_else(|| unknown_database(&create.name.database))?;
    let collation = create.options.collation.unwrap_or(database.definition.collation);
    let mut table = TableDef {
        id,
        database: create.name.database.clone(),
        name: create.name.name.clone(),
        columns: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        collation,
        comment: create.options.comment.clone().unwrap_or_default(),
        engine: create.options.engine.clone().unwrap_or_else(|| "InnoDB".into()),
        options: create.options.others.clone(),
        partitioning: None,
        counter: CounterId(u64::from(id.0)),
        next_column: 1,
        // 0 is the clustered index.
        next_index: 1,
        create_time: now_seconds(context),
        version: Lsn::ZERO,
    };
    check_comment(&mut table, &context.eval)?;
    add_columns(&create.columns, collation, &mut table, context)?;
    if let Some(source) = &create.source {
        add_columns(&insert::columns_of_query(source, &table), collation, &mut table, context)?;
    }
    if table.columns.is_empty() {
        return Err(SqlError::new(ErrorCode::TABLE_MUST_HAVE_COLUMNS, "A table must have at least 1 column"));
    }
    require_primary_not_null(&create.columns, &create.indexes, &mut table)?;
    add_indexes(&create.indexes, &mut table, context)?;
    for key in &create.foreign_keys {
        foreign_keys::add(key, &mut table, catalog, context.settings.foreign_key_checks, &context.eval)?;
    }
    indexes::arrange(&mut table)?;
    number_clustered(&mut table);
    indexes::check_auto_increment(&table)?;
    for check in &create.checks {
        add_check(check, &mut table)?;
    }
    expression_rules::verify(&table)?;
    if let Some(PartitioningOption::By(partitioning)) = &create.options.partitioning {
        table.partitioning = Some(partitions::settle(partitioning.clone(), &table, context)?.text());
    }
    Ok(table)
}

/// Characters in the comment of a table.
const TABLE_COMMENT_MAX: usize = 2048;

pub fn check_comment(table: &mut TableDef, eval: &EvalContext) -> Result<(), SqlError> {
    let what = format!("table '{}'", table.name);
    table.comment = columns::fit_comment(&table.comment, TABLE_COMMENT_MAX, ErrorCode(1628), &what, eval)?;
    Ok(())
}

fn add_columns(
    specs: &[ColumnSpec],
    collation: CollationId,
    table: &mut TableDef,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    if table.columns.len() + specs.len() > columns::COLUMNS_MAX {
        return Err(SqlError::new(ErrorCode(1117), "Too many columns"));
    }
    for spec in specs {
        if table.column_index(&spec.name).is_some() {
            return Err(SqlError::new(ErrorCode::DUP_FIELDNAME, format!("Duplicate column name '{}'", spec.name)));
        }
        let column = columns::define(spec, ColumnId(table.next_column), collation, &context.eval)?;
        table.next_column += 1;
        table.columns.push(column);
    }
    Ok(())
}

/// Columns of the primary key are NOT NULL, unless NULL was written.
fn require_primary_not_null(specs: &[ColumnSpec], indexes: &[IndexSpec], table: &mut TableDef) -> Result<(), SqlError> {
    let mut primaries = indexes.iter().filter(|index| index.primary);
    let Some(primary) = primaries.next() else { return Ok(()) };
    if primaries.next().is_some() {
        return Err(SqlError::new(ErrorCode::MULTIPLE_PRI_KEY, "Multiple primary key defined"));
    }
    for (name, _, _) in &primary.parts {
        let wrote_null = |spec: &ColumnSpec| spec.name.eq_ignore_ascii_case(name) && spec.nullable == Some(true);
        if specs.iter().any(wrote_null) {
            return Err(primary_null());
        }
        if let Some(position) = table.column_index(name) {
            let column = &mut table.columns[position];
            if matches!(column.default, crate::catalog::schema::ColumnDefault::Null) {
                return Err(SqlError::new(
                    ErrorCode::INVALID_DEFAULT,
                    format!("Invalid default value for '{}'", column.name),
                ));
            }
            column.ty.nullable = false;
        }
    }
    Ok(())
}

pub fn primary_null() -> SqlError {
    SqlError::new(
        ErrorCode::PRIMARY_CANT_HAVE_NULL,
        "All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead",
    )
}

fn add_indexes(specs: &[IndexSpec], table: &mut TableDef, context: &StatementContext<'_>) -> Result<(), SqlError> {
    // Names that are given are taken from the start, those that are made up give way.
    let given: Vec<&str> = specs.iter().filter_map(|spec| spec.name.as_deref()).collect();
    for spec in specs {
        let named = |index: &&crate::catalog::IndexDef| {
            spec.name.as_ref().is_some_and(|name| index.name.eq_ignore_ascii_case(name))
        };
        if let Some(other) = table.indexes.iter().find(named).filter(|_| !spec.primary) {
            return Err(indexes::duplicate_name(&other.name));
        }
        let made_up: &[&str] = if spec.name.is_none() { &given } else { &[] };
        let spec = indexes::with_hidden_columns(spec, table, made_up, &*context.binder)?;
        let mut taken: Vec<&str> = table.indexes.iter().map(|index| index.name.as_str()).collect();
        taken.extend(if spec.name.is_none() { made_up } else { &[] });
        let index = indexes::define(&spec, &table.columns, &taken, IndexId(table.next_index), &context.eval)?;
        table.next_index += 1;
        table.indexes.push(index);
    }
    Ok(())
}

/// The clustered index has number 0 in the keys of a new table.
pub fn number_clustered(table: &mut TableDef) {
    table.indexes[0].id = IndexId(0);
}

/// Adds a CHECK, with a name if it has none.
pub fn add_check(check: &CheckDef, table: &mut TableDef) -> Result<(), SqlError> {
    let mut check = check.clone();
    if check.name.is_empty() {
        let prefix = format!("{}_chk_", table.name);
        let numbers = table.checks.iter().filter_map(|check| check.name.strip_prefix(&prefix)?.parse::<u64>().ok());
        check.name = format!("{prefix}{}", numbers.max().unwrap_or(0) + 1);
    }
    if table.checks.iter().any(|other| other.name.eq_ignore_ascii_case(&check.name)) {
        return Err(SqlError::new(ErrorCode(3822), format!("Duplicate check constraint name '{}'.", check.name)));
    }
    table.checks.push(check);
    Ok(())
}
