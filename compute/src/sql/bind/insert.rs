//! INSERT and REPLACE.

use crate::account::Privileges;
use crate::catalog::TableDef;
use crate::catalog::schema::{ColumnDef, ColumnDefault};
use crate::sql::bind::scope::{Block, Boundary, Scope};
use crate::sql::bind::self_read::{self, Changed};
use crate::sql::bind::unify::cast_to;
use crate::sql::bind::{Binder, Frame, error, partition};
use crate::sql::parse::ast::{self, InsertValue};
use crate::sql::plan::{Insert, InsertSource};
use expr::collation::CollationId;
use expr::mysql_type::{BlobSize, MysqlType, TypeKind};
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};
use std::sync::Arc;

impl Binder<'_> {
    pub fn insert(&mut self, insert: &ast::Insert) -> Result<Insert, SqlError> {
        let table = self.target(&insert.table, insert)?;
        let mut columns = self.insert_columns(&table, insert)?;
        self.check_inserted(&table, &columns, insert)?;
        let mut ignore = insert.ignore;
        self.frames.push(Frame::new(Boundary::Top));
        let source = match &insert.source {
            ast::InsertSource::Values(rows) => {
                self.blocks.push(Block::over_table(&table, self.frames.len() - 1));
                self.limit_reading(&table);
                let named = insert.columns.as_ref().is_some_and(|names| !names.is_empty());
                InsertSource::Values(self.insert_rows(&table, &columns, rows, named)?)
            }
            ast::InsertSource::Query(query) => {
                let (mut query, _) = self.framed_query(query, Boundary::Top)?;
                if query.fields.len() != columns.len() {
                    return Err(value_count(1));
                }
                columns.iter().try_for_each(|at| generated(&table, &table.columns[*at]))?;
                query.into_variables.clear();
                InsertSource::Query(query)
            }
            ast::InsertSource::File(file) => {
                let (file, named) = self.load_file(&table, insert, file)?;
                columns = named;
                // The client cannot be stopped in the middle: what is wrong with a row is a warning.
                ignore |= file.local;
                InsertSource::File(file)
            }
        };
        self.blocks.clear();
        let on_duplicate = self.on_duplicate(&table, insert)?;
        let subqueries = self.frames.pop().map(|frame| frame.subqueries).unwrap_or_default();
        // INSERT ... SELECT reads all before it writes.
        if matches!(source, InsertSource::Values(_)) {
            self_read::refuse(&[Changed::by_name(&table)], &subqueries)?;
        }
        let partitions = match insert.partitions.as_slice() {
            [] => None,
            names => Some(partition::numbers(&partition::of_table(&table)?, names, &table.name)?),
        };
        Ok(Insert { table, partitions, columns, source, on_duplicate, ignore, replace: insert.replace, subqueries })
    }

    /// The table of a statement that writes one table.
    fn target(&self, name: &ast::Name, insert: &ast::Insert) -> Result<Arc<TableDef>, SqlError> {
        let database = self.database_of(name)?;
        if self.context.catalog.view(&database, &name.name).is_some() {
            return Err(SqlError::new(
                ErrorCode::NON_UPDATABLE_TABLE,
                format!("The target table {} of the statement is not updatable", name.name),
            ));
        }
        if super::table::VIRTUAL_DATABASES.contains(&database.to_ascii_lowercase().as_str())
            && self.context.catalog.database(&database).is_none()
        {
            return Err(SqlError::new(
                ErrorCode::DBACCESS_DENIED,
                format!("Access denied for user '{}' to database '{database}'", self.context.definer),
            ));
        }
        self.check_some(Privileges::INSERT, &database, &name.name)?;
        if insert.replace {
            self.need_table(Privileges::DELETE, &database, &name.name)?;
        }
        if !insert.on_duplicate.is_empty() {
            self.check_some(Privileges::UPDATE, &database, &name.name)?;
        }
        self.base_table(name)
    }

    /// INSERT on the table, or on each column that is named.
    fn check_inserted(&self, table: &TableDef, columns: &[usize], insert: &ast::Insert) -> Result<(), SqlError> {
        if insert.columns.is_none() {
            return self.need_table(Privileges::INSERT, &table.database, &table.name);
        }
        columns.iter().try_for_each(|at| self.check_column(Privileges::INSERT, table, &table.columns[*at].name))
    }

    /// Values and assignments may read the table's columns as far as they are open.
    pub(super) fn limit_reading(&mut self, table: &TableDef) {
        let whole =
            self.rights.is_unlimited() || self.rights.table(&table.database, &table.name).has(Privileges::SELECT);
        if !whole {
            let limits = self.rights.column_limits(&table.database, &table.name);
            self.block().scope.tables[0].limits = Some(limits);
        }
    }

    fn insert_columns(&self, table: &TableDef, insert: &ast::Insert) -> Result<Vec<usize>, SqlError> {
        let Some(names) = &insert.columns else {
            let empty = matches!(&insert.source, ast::InsertSource::Values(rows) if rows.iter().all(Vec::is_empty));
            if empty {
                return Ok(Vec::new());
            }
            return Ok((0..table.columns.len()).filter(|at| !table.columns[*at].invisible).collect());
        };
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let plain = name.rsplit('.').next().unwrap_or(name);
            let Some(position) = table.column_index(name).or_else(|| table.column_index(plain)) else {
                return Err(error::unknown_column(name, "field list"));
            };
            if columns.contains(&position) {
                return Err(SqlError::new(ErrorCode(1110), format!("Column '{plain}' specified twice")));
            }
            columns.push(position);
        }
        Ok(columns)
    }

    fn insert_rows(
        &mut self,
        table: &Arc<TableDef>,
        columns: &[usize],
        rows: &[Vec<InsertValue>],
        named: bool,
    ) -> Result<Vec<Vec<Option<Expression>>>, SqlError> {
        let mut bound = Vec::with_capacity(rows.len());
        for (number, row) in rows.iter().enumerate() {
            if row.len() != columns.len() && !row.is_empty() {
                return Err(value_count(number + 1));
            }
            if row.is_empty() && !columns.is_empty() {
                if rows.len() > 1 || named {
                    return Err(value_count(number + 1));
                }
                bound.push(columns.iter().map(|_| None).collect());
                continue;
            }
            let mut values = Vec::with_capacity(row.len());
            for (value, column) in row.iter().zip(columns) {
                let definition = &table.columns[*column];
                values.push(match value {
                    InsertValue::Default => None,
                    InsertValue::Literal(value) => {
                        generated(table, definition)?;
                        let mut literal = self.value_literal(value);
                        if definition.ty.is_numeric() {
                            super::literal::as_number(&mut literal);
                        }
                        Some(literal)
                    }
                    InsertValue::Expression(expression) if is_own_default(expression, definition) => None,
                    InsertValue::Expression(expression) => {
                        generated(table, definition)?;
                        Some(self.assigned_value(expression, &definition.ty)?)
                    }
                });
            }
            bound.push(values);
        }
        Ok(bound)
    }

    /// A value for a column: parameters take the column's type.
    pub fn assigned_value(&mut self, value: &ast::syntax::Expr, ty: &MysqlType) -> Result<Expression, SqlError> {
        let mut bound = self.expression(value)?;
        self.infer(&mut bound, ty);
        self.meet_stored(&bound);
        if ty.is_numeric() {
            super::literal::as_number(&mut bound);
        }
        // What is made of JSON is stored as its text, unlike what a column has: `null` and `true` are no numbers.
        let is_column = matches!(bound, Expression::Column { .. } | Expression::Outer { .. });
        if bound.ty().kind == TypeKind::Json && !is_column && ty.kind != TypeKind::Json {
            let text = MysqlType::text(TypeKind::Text { size: BlobSize::Long }, CollationId::UTF8MB4_BIN);
            bound = cast_to(bound, &text);
        }
        Ok(bound)
    }

    fn on_duplicate(
        &mut self,
        table: &Arc<TableDef>,
        insert: &ast::Insert,
    ) -> Result<Vec<(usize, Expression)>, SqlError> {
        if insert.on_duplicate.is_empty() {
            return Ok(Vec::new());
        }
        let frame = self.frames.len() - 1;
        let width = table.columns.len();
        let mut block = Block::over_table(table, frame);
        block.new_row = Some((table.clone(), width));
        if let Some((alias, names)) = &insert.row_alias {
            let mut new_row = Scope::of_table(table, alias);
            new_row.tables[0].database = None;
            if let Some(names) = names {
                let columns = self.insert_columns(table, insert)?;
                if names.len() != columns.len() {
                    return Err(value_count(1));
                }
                new_row.columns.retain(|column| columns.contains(&column.index));
                for column in &mut new_row.columns {
                    if let Some(at) = columns.iter().position(|index| *index == column.index) {
                        column.name = names[at].clone();
                    }
                }
            }
            for column in &mut new_row.columns {
                // Only `alias.column` names it.
                column.merged = names.is_none();
                column.ty.nullable = true;
            }
            block.scope.append(new_row)?;
        }
        self.blocks.push(block);
        self.limit_reading(table);
        let mut assignments = Vec::new();
        for assignment in &insert.on_duplicate {
            let name = assignment.column.last().cloned().unwrap_or_default();
            let Some(position) = table.column_index(&name) else {
                return Err(error::unknown_column(&assignment.column.join("."), "field list"));
            };
            let definition = &table.columns[position];
            self.check_column(Privileges::UPDATE, table, &definition.name)?;
            let value = match &assignment.value {
                Some(value) if is_own_default(value, definition) => continue,
                Some(value) => {
                    generated(table, definition)?;
                    self.assigned_value(value, &definition.ty)?
                }
                None => self.column_default(definition)?,
            };
            assignments.push((position, value));
        }
        self.blocks.pop();
        Ok(assignments)
    }

    /// A column's default as an expression.
    pub fn column_default(&mut self, column: &ColumnDef) -> Result<Expression, SqlError> {
        let null = || Expression::literal(Value::Null, MysqlType::null());
        Ok(match &column.default {
            ColumnDefault::None if !column.ty.nullable => {
                return Err(SqlError::new(
                    ErrorCode::NO_DEFAULT_FOR_FIELD,
                    format!("Field '{}' doesn't have a default value", column.name),
                ));
            }
            ColumnDefault::None | ColumnDefault::Null => null(),
            ColumnDefault::Literal(text) => {
                let argument = Box::new(super::literal::text_literal(text, self.context.collation_connection));
                Expression::Cast { argument, ty: column.ty.clone() }
            }
            ColumnDefault::Now => super::expression::operator("NOW", Vec::new())?,
            ColumnDefault::Expression(text) => {
                let (expression, _) = crate::sql::parse::parse_expression(text, self.context.sql_mode)?;
                self.expression(&expression)?
            }
        })
    }
}

fn value_count(row: usize) -> SqlError {
    SqlError::new(ErrorCode::WRONG_VALUE_COUNT_ON_ROW, format!("Column count doesn't match value count at row {row}"))
}

/// 3105: generated columns take no value but DEFAULT.
pub fn generated(table: &TableDef, column: &ColumnDef) -> Result<(), SqlError> {
    if column.generated.is_none() {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorCode(3105),
        format!("The value specified for generated column '{}' in table '{}' is not allowed.", column.name, table.name),
    ))
}

/// DEFAULT(c) for a generated column c itself is DEFAULT.
pub fn is_own_default(value: &ast::syntax::Expr, column: &ColumnDef) -> bool {
    use ast::syntax::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments};
    let Expr::Function(function) = value else { return false };
    let FunctionArguments::List(list) = &function.args else { return false };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return false };
    let name = match argument {
        Expr::Identifier(name) => &name.value,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(name) => &name.value,
            None => return false,
        },
        _ => return false,
    };
    column.generated.is_some()
        && function.name.to_string().eq_ignore_ascii_case("default")
        && name.eq_ignore_ascii_case(&column.name)
}
