//! INSERT and REPLACE: where rows come from, and what a column gets that the statement does not name.

use crate::catalog::TableDef;
use crate::catalog::schema::{ColumnDefault, GeneratedDef};
use crate::execute::StatementContext;
use crate::execute::row::{Evaluator, Execution, Scope, open};
use crate::execute::write::insert_rows::{InsertRows, NewRow, OnDuplicate};
use crate::execute::write::keeper::Keeper;
use crate::execute::write::past_buffer::Past;
use crate::execute::write::{CHUNK_ROWS, assign, auto_increment, load, skip_if_ignored};
use crate::session::result::Done;
use crate::sql::plan::{ColumnSpec, CreateTable, Insert, InsertSource, Query, ScanLock, walk};
use crate::txn::ReadView;
use expr::SqlError;
use expr::mysql_type::TypeKind;
use expr::value::{Row, Value};
use std::sync::Arc;

pub async fn insert(statement: &Insert, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let lsn = context.begin_write(&[&statement.table]).await?;
    let warnings_before = warning_count(context);
    let expressions = context.expressions(&statement.table)?;
    let mut keeper = Keeper::new(statement.table.clone(), expressions, context.eval.time_zone);
    keeper.partitions.clone_from(&statement.partitions);
    let on_duplicate = match statement {
        Insert { replace: true, .. } => OnDuplicate::Replace,
        Insert { on_duplicate, .. } if !on_duplicate.is_empty() => OnDuplicate::Update(on_duplicate),
        Insert { ignore: true, .. } => OnDuplicate::Skip,
        _ => OnDuplicate::Refuse,
    };
    // The view lives as long as the statement writes. Where no subquery reads through it, it holds no own writes, so that
    // the transaction's buffer is not copied: thousands of INSERTs in one transaction would each pay for all before.
    let view = context.view(lsn);
    let view = if statement.subqueries.is_empty() { ReadView { buffer: Arc::default(), ..view } } else { view };
    let execution = Execution::new(context.query_context(view));
    let scope = Scope::new(execution, &statement.subqueries);
    let is_query = matches!(statement.source, InsertSource::Query(_));
    let is_file = matches!(statement.source, InsertSource::File(_));
    let past = match on_duplicate {
        OnDuplicate::Refuse if is_query => Past::of_existing(&statement.table, context),
        // Where only LOCAL says that duplicates are skipped, those among very many rows are refused instead.
        OnDuplicate::Refuse | OnDuplicate::Skip if is_file && !asks_to_ignore(&statement.source) => {
            Past::of_existing(&statement.table, context)
        }
        _ => Past::Never,
    };
    let mut rows = InsertRows::new(keeper, on_duplicate, scope.clone(), context)?.past_buffer(past);
    let mut lines = 0;
    match &statement.source {
        InsertSource::Values(values) => from_values(statement, values, &scope, &mut rows, context).await?,
        InsertSource::Query(query) => from_query(query, &statement.columns, &mut rows, context).await?,
        InsertSource::File(file) => {
            lines = load::from_file(statement, file, &scope, &mut rows, context).await?;
        }
    }
    rows.finish(context).await?;
    let mut done = rows.done();
    let records = rows.records();
    if is_file {
        let (inserted, warnings) = (rows.inserted(), warning_count(context) - warnings_before);
        let (deleted, skipped) = (done.affected_rows - inserted, lines - inserted);
        done.info = format!("Records: {lines}  Deleted: {deleted}  Skipped: {skipped}  Warnings: {warnings}");
    } else if records > 1 || is_query {
        let duplicates = rows.duplicates();
        let warnings = warning_count(context) - warnings_before;
        done.info = format!("Records: {records}  Duplicates: {duplicates}  Warnings: {warnings}");
    }
    Ok(done)
}

fn asks_to_ignore(source: &InsertSource) -> bool {
    matches!(source, InsertSource::File(file) if file.ignores)
}

fn warning_count(context: &StatementContext<'_>) -> usize {
    context.eval.effects.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).len()
}

async fn from_values<'q>(
    statement: &'q Insert,
    values: &'q [Vec<Option<expr::Expression>>],
    scope: &Scope<'q>,
    rows: &mut InsertRows<'q>,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let mut row_number = 0;
    // `VALUES (a + 1)`: a column that has not been set yet is its default.
    let is_column = |part: &expr::Expression| matches!(part, expr::Expression::Column { .. });
    let reads_row = values.iter().flatten().flatten().any(|value| value.any(&mut |part| is_column(part)));
    // What a function reads, rows before it have changed.
    let calls_functions = context.routines.as_ref().is_some_and(|routines| routines.calls_functions());
    for chunk in values.chunks(if calls_functions { 1 } else { CHUNK_ROWS }) {
        let mut new_rows = Vec::with_capacity(chunk.len());
        for expressions in chunk {
            row_number += 1;
            match of_values(statement, values.len() == 1, expressions, row_number, reads_row, scope, rows, context)
                .await
            {
                Ok(row) => new_rows.extend(row),
                Err(error) => return Err(rows.failed(new_rows, error, context).await),
            }
        }
        rows.insert(new_rows, context).await?;
    }
    Ok(())
}

/// One row of VALUES; `None` if IGNORE skips it. `alone`: there is no other.
async fn of_values<'q>(
    statement: &'q Insert,
    alone: bool,
    expressions: &'q [Option<expr::Expression>],
    row_number: u64,
    reads_row: bool,
    scope: &Scope<'q>,
    rows: &InsertRows<'q>,
    context: &mut StatementContext<'_>,
) -> Result<Option<NewRow>, SqlError> {
    let mut row = rows.start_row(&statement.columns, row_number, context)?;
    if reads_row {
        rows.set_defaults(&mut row, &statement.columns, context)?;
    }
    for (&position, expression) in statement.columns.iter().zip(expressions) {
        let value = match expression {
            Some(expression) => {
                let mut evaluator = Evaluator::new(expression, scope);
                Some(context.with_functions(evaluator.eval(&row.values)).await?)
            }
            None => None,
        };
        // One row alone is an error under any sql_mode.
        let column = &statement.table.columns[position];
        let refused = alone
            && !rows.checks_nulls_later()
            && !statement.ignore
            && !column.ty.nullable
            && !column.auto_increment
            && value.as_ref().is_some_and(Value::is_null);
        if refused {
            let text = format!("Column '{}' cannot be null", column.name);
            return Err(SqlError::new(expr::ErrorCode::BAD_NULL, text));
        }
        if !skip_if_ignored(rows.set(&mut row, position, value, context), context)? {
            return Ok(None);
        }
    }
    Ok(Some(row))
}

async fn from_query(
    query: &Query,
    columns: &[usize],
    rows: &mut InsertRows<'_>,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let view = context.newest().await?;
    let execution = Execution::new(context.query_context(view));
    let scope = Scope::new(execution.clone(), &query.subqueries);
    let mut operator = open(&query.root, &scope, None)?;
    let mut row_number = 0;
    while let Some(batch) = context.with_functions(operator.next()).await? {
        execution.check()?;
        let mut new_rows = Vec::with_capacity(batch.len());
        for values in batch {
            row_number += 1;
            match of_query(values, columns, row_number, rows, context) {
                Ok(row) => new_rows.extend(row),
                Err(error) => return Err(rows.failed(new_rows, error, context).await),
            }
        }
        rows.insert(new_rows, context).await?;
    }
    Ok(())
}

/// One row of a query; `None` if IGNORE skips it.
fn of_query(
    values: Row,
    columns: &[usize],
    row_number: u64,
    rows: &InsertRows<'_>,
    context: &mut StatementContext<'_>,
) -> Result<Option<NewRow>, SqlError> {
    let mut row = rows.start_row(columns, row_number, context)?;
    for (&position, value) in columns.iter().zip(values) {
        if !skip_if_ignored(rows.set(&mut row, position, Some(value), context), context)? {
            return Ok(None);
        }
    }
    Ok(Some(row))
}

impl InsertRows<'_> {
    /// The error of a statement whose next row has one, after these: what is wrong with them is told first.
    pub async fn failed(
        &mut self,
        before: Vec<NewRow>,
        error: SqlError,
        context: &mut StatementContext<'_>,
    ) -> SqlError {
        match before.is_empty() {
            true => error,
            false => self.insert(before, context).await.err().unwrap_or(error),
        }
    }

    /// A row with defaults in the columns that the statement does not name. Those it names hold their implicit default
    /// until they are set, as expressions to their left see them.
    pub fn start_row(
        &self,
        named: &[usize],
        row_number: u64,
        context: &StatementContext<'_>,
    ) -> Result<NewRow, SqlError> {
        let table = &self.keeper.table;
        let mut values: Row = table.columns.iter().map(|column| assign::implicit_default(&column.ty)).collect();
        let mut wants_number = false;
        for (position, column) in table.columns.iter().enumerate() {
            if named.contains(&position) || column.generated.is_some() {
                continue;
            }
            if column.auto_increment {
                wants_number = true;
                continue;
            }
            let expressions = &self.keeper.expressions;
            values[position] = assign::default(table, position, expressions, &values, row_number, &context.eval)?;
        }
        Ok(NewRow { values, wants_number, row_number })
    }

    /// Gives columns that are going to be set their defaults, for expressions that read them before.
    fn set_defaults(&self, row: &mut NewRow, named: &[usize], context: &StatementContext<'_>) -> Result<(), SqlError> {
        let table = &self.keeper.table;
        for &position in named {
            let column = &table.columns[position];
            if column.generated.is_none() && !matches!(column.default, ColumnDefault::None) {
                let expressions = &self.keeper.expressions;
                row.values[position] =
                    assign::default(table, position, expressions, &row.values, row.row_number, &context.eval)?;
            }
        }
        Ok(())
    }

    /// Sets a column; `None` is DEFAULT.
    pub fn set(
        &self,
        row: &mut NewRow,
        position: usize,
        value: Option<Value>,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let table = &self.keeper.table;
        let column = &table.columns[position];
        if column.generated.is_some() {
            // The binder lets only DEFAULT through.
            return Ok(());
        }
        if column.auto_increment && value.as_ref().is_none_or(|value| auto_increment::wants_value(value, &context.eval))
        {
            row.wants_number = true;
            return Ok(());
        }
        let value = match value {
            Some(Value::Null) if self.checks_nulls_later() => Value::Null,
            Some(value) => assign::assign(column, value, row.row_number, &context.eval)?,
            None => {
                let expressions = &self.keeper.expressions;
                assign::default(table, position, expressions, &row.values, row.row_number, &context.eval)?
            }
        };
        if column.auto_increment && auto_increment::wants_value(&value, &context.eval) {
            row.wants_number = true;
            return Ok(());
        }
        row.values[position] = value;
        Ok(())
    }
}

/// CREATE TABLE ... AS SELECT: the rows. The SELECT's columns are the table's last ones, or those of the same name.
pub async fn fill_new_table(
    table: Arc<TableDef>,
    source: &Query,
    create: &CreateTable,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    let expressions = context.expressions(&table)?;
    let keeper = Keeper::new(table.clone(), expressions, context.eval.time_zone);
    let on_duplicate = match (create.source_replace, create.source_ignore) {
        (true, _) => OnDuplicate::Replace,
        (_, true) => OnDuplicate::Skip,
        _ => OnDuplicate::Refuse,
    };
    context.eval.strict_write = context.eval.sql_mode.is_strict();
    context.eval.ignore = create.source_ignore;
    let mut locked = source.clone();
    if context.transaction.locks_ranges() {
        walk::lock_query(&mut locked, ScanLock::SHARED);
    }
    let source = &locked;
    let view = context.newest().await?;
    let execution = Execution::new(context.query_context(view));
    let scope = Scope::new(execution, &source.subqueries);
    let refuses = matches!(on_duplicate, OnDuplicate::Refuse) && !create.source_ignore;
    // IGNORE and REPLACE look at rows again.
    let past = if refuses { Past::of_new(&table) } else { Past::Never };
    let mut rows = InsertRows::new(keeper, on_duplicate, scope, context)?.past_buffer(past);
    let columns: Vec<usize> = source.fields.iter().filter_map(|field| table.column_index(&field.name)).collect();
    from_query(source, &columns, &mut rows, context).await?;
    rows.finish(context).await?;
    let (records, duplicates) = (rows.records(), rows.duplicates());
    let info = format!("Records: {records}  Duplicates: {duplicates}  Warnings: 0");
    Ok(Done { info, ..rows.done() })
}

/// The columns that CREATE TABLE ... AS SELECT adds: those of the SELECT that the table does not have.
pub fn columns_of_query(query: &Query, table: &TableDef) -> Vec<ColumnSpec> {
    let fields = query.fields.iter().filter(|field| table.column_index(&field.name).is_none());
    fields
        .map(|field| {
            let mut ty = field.ty.clone();
            let default = default_of_field(&ty);
            if matches!(ty.kind, TypeKind::Null) {
                ty.kind = TypeKind::Binary { length: 0 };
            }
            ColumnSpec {
                name: field.name.clone(),
                collation: ty.is_text().then_some(ty.collation),
                nullable: Some(ty.nullable),
                ty,
                default,
                on_update_now: false,
                auto_increment: false,
                generated: None::<GeneratedDef>,
                comment: String::new(),
                invisible: false,
                note: None,
            }
        })
        .collect()
}

/// NOT NULL columns of a SELECT have their type's implicit default, as MySQL shows them.
fn default_of_field(ty: &expr::mysql_type::MysqlType) -> ColumnDefault {
    match ty.kind {
        _ if ty.nullable => ColumnDefault::None,
        TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Json | TypeKind::Geometry(_) => ColumnDefault::None,
        _ if ty.is_numeric() => ColumnDefault::Literal("0".into()),
        TypeKind::Char { .. } | TypeKind::VarChar { .. } => ColumnDefault::Literal(String::new()),
        _ => ColumnDefault::None,
    }
}
