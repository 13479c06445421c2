//! LOAD DATA: where fields go, and SET.

use crate::account::Privileges;
use crate::catalog::TableDef;
use crate::sql::bind::insert::{generated, is_own_default};
use crate::sql::bind::scope::Block;
use crate::sql::bind::{Binder, error};
use crate::sql::parse::ast;
use crate::sql::plan::{LoadFile, LoadFormat, LoadTarget};
use expr::collation::{Charset, CollationId};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

impl Binder<'_> {
    /// The file and the columns that the statement gives values. A frame is open.
    pub(super) fn load_file(
        &mut self,
        table: &Arc<TableDef>,
        insert: &ast::Insert,
        file: &ast::LoadFile,
    ) -> Result<(LoadFile, Vec<usize>), SqlError> {
        if !file.local {
            self.rights.require_any(Privileges::FILE)?;
        }
        let targets = match &file.targets {
            None => {
                let visible = (0..table.columns.len()).filter(|at| !table.columns[*at].invisible);
                visible.map(LoadTarget::Column).collect()
            }
            Some(targets) => targets.iter().map(|target| load_target(table, target)).collect::<Result<Vec<_>, _>>()?,
        };
        check_format(table, &file.format, &targets)?;
        // A variable that a field goes to is a text from then on.
        let text = || MysqlType::varchar(16_383, self.context.collation_connection).with_nullable(true);
        for target in &targets {
            if let LoadTarget::Variable(name) = target {
                self.assigned.push((name.clone(), text()));
            }
        }
        let mut columns: Vec<usize> = Vec::new();
        for target in &targets {
            if let LoadTarget::Column(position) = target {
                if columns.contains(position) {
                    let text = format!("Column '{}' specified twice", table.columns[*position].name);
                    return Err(SqlError::new(ErrorCode(1110), text));
                }
                columns.push(*position);
            }
        }
        self.blocks.push(Block::over_table(table, self.frames.len() - 1));
        self.limit_reading(table);
        let mut assignments = Vec::with_capacity(file.assignments.len());
        for assignment in &file.assignments {
            let name = assignment.column.last().cloned().unwrap_or_default();
            let Some(position) = table.column_index(&name) else {
                return Err(error::unknown_column(&assignment.column.join("."), "field list"));
            };
            let column = &table.columns[position];
            let value = match &assignment.value {
                Some(value) if is_own_default(value, column) => None,
                Some(value) => {
                    generated(table, column)?;
                    Some(self.assigned_value(value, &column.ty)?)
                }
                None => None,
            };
            if !columns.contains(&position) {
                columns.push(position);
            }
            assignments.push((position, value));
        }
        self.blocks.clear();
        let charset = match &file.charset {
            Some(name) => Charset::by_name(name).ok_or_else(|| {
                SqlError::new(ErrorCode::UNKNOWN_CHARACTER_SET, format!("Unknown character set: '{name}'"))
            })?,
            None => self.database_charset(table),
        };
        if charset.bytes_min() > 1 {
            return Err(SqlError::not_supported(format!("LOAD DATA of a file in {}", charset.name())));
        }
        let file = LoadFile {
            name: file.name.clone(),
            local: file.local,
            ignores: insert.ignore,
            charset,
            format: file.format.clone(),
            lines_ignored: file.lines_ignored,
            targets,
            assignments,
        };
        Ok((file, columns))
    }

    /// character_set_database: of the current database.
    fn database_charset(&self, table: &TableDef) -> Charset {
        let name = self.context.database.unwrap_or(&table.database);
        let database = self.context.catalog.database(name);
        database.map_or(CollationId::UTF8MB4_0900_AI_CI, |database| database.definition.collation).charset()
    }
}

fn load_target(table: &TableDef, target: &ast::LoadTarget) -> Result<LoadTarget, SqlError> {
    let name = match target {
        ast::LoadTarget::Variable(name) => return Ok(LoadTarget::Variable(name.clone())),
        ast::LoadTarget::Column(name) => name,
    };
    let plain = name.rsplit('.').next().unwrap_or(name);
    let position = table.column_index(name).or_else(|| table.column_index(plain));
    position.map(LoadTarget::Column).ok_or_else(|| error::unknown_column(name, "field list"))
}

/// Fields of fixed widths go to columns that have one.
fn check_format(table: &TableDef, format: &LoadFormat, targets: &[LoadTarget]) -> Result<(), SqlError> {
    if !format.is_fixed() {
        return Ok(());
    }
    for target in targets {
        let LoadTarget::Column(position) = target else {
            return Err(SqlError::new(ErrorCode(1409), "Can't load value from file with fixed size rows to variable"));
        };
        if matches!(
            table.columns[*position].ty.kind,
            TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Json | TypeKind::Geometry(_)
        ) {
            let text = "You can't use fixed rowlength with BLOBs; please use 'fields terminated by'";
            return Err(SqlError::new(ErrorCode(1084), text));
        }
    }
    Ok(())
}
