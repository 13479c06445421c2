//! ALTER TABLE's actions on columns.

use super::{Alteration, cannot_drop, note_or};
use crate::catalog::schema::{ColumnDef, ColumnDefault, GeneratedDef, IndexKind};
use crate::execute::StatementContext;
use crate::execute::codec::UTC;
use crate::execute::ddl::create_table::primary_null;
use crate::execute::ddl::expression_rules::{self, Dependent};
use crate::execute::ddl::{children, columns, indexes};
use crate::execute::write::assign;
use crate::sql::plan::{ColumnPosition, ColumnSpec};
use common::id::{ColumnId, IndexId};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::row_encoding::{PhysicalRef, from_physical, to_physical};
use expr::value::Value;
use expr::{ErrorCode, SqlError};

impl Alteration {
    pub(super) fn add_column(
        &mut self,
        spec: &ColumnSpec,
        position: &ColumnPosition,
        if_not_exists: bool,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        if self.new.column_index(&spec.name).is_some() {
            return note_or(if_not_exists, duplicate_column(&spec.name), context);
        }
        let mut column = columns::define(spec, ColumnId(self.new.next_column), self.new.collation, &context.eval)?;
        self.new.next_column += 1;
        // Values that differ from row to row have to be written.
        if column.generated.is_some() || column.auto_increment || matches!(column.default, ColumnDefault::Expression(_))
        {
            self.rebuild = true;
        } else {
            column.added_default = added_default(&column, context)?;
        }
        self.insert_column(column, position)
    }

    fn insert_column(&mut self, column: ColumnDef, position: &ColumnPosition) -> Result<(), SqlError> {
        let at = match position {
            ColumnPosition::Unchanged => self.new.columns.len(),
            ColumnPosition::First => 0,
            ColumnPosition::After(name) => self.find(name)? + 1,
        };
        self.new.columns.insert(at, column);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, SqlError> {
        self.new.column_index(name).ok_or_else(|| {
            SqlError::new(ErrorCode::BAD_FIELD, format!("Unknown column '{name}' in '{}'", self.new.name))
        })
    }

    pub(super) fn drop_column(
        &mut self,
        name: &str,
        if_exists: bool,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let Some(position) = self.new.column_index(name) else {
            return note_or(if_exists, cannot_drop(name), context);
        };
        if self.new.columns.len() == 1 {
            return Err(SqlError::new(
                ErrorCode(1090),
                "You can't delete all columns with ALTER TABLE; use DROP TABLE instead",
            ));
        }
        let column = self.new.columns[position].clone();
        self.refuse_if_in_foreign_key(&column, context)?;
        match expression_rules::dependent(&column.name, &self.new)? {
            // A CHECK of this column alone goes with it.
            Some(Dependent::Check { name, alone: true }) => self.new.checks.retain(|check| check.name != name),
            Some(dependent) => return Err(dependent.refuse(&column.name)),
            None => {}
        }
        self.new.columns.remove(position);
        // An index loses the part; one that loses its last part goes. What remains has other keys.
        for index in &mut self.new.indexes {
            let before = index.parts.len();
            index.parts.retain(|part| part.column != column.id);
            if index.parts.len() == before || index.parts.is_empty() {
                continue;
            }
            index.id = IndexId(self.new.next_index);
            self.added_indexes.push(index.id);
            self.new.next_index += 1;
        }
        self.new.indexes.retain(|index| !index.parts.is_empty() || index.name == indexes::HIDDEN);
        Ok(())
    }

    fn refuse_if_in_foreign_key(&self, column: &ColumnDef, context: &StatementContext<'_>) -> Result<(), SqlError> {
        if let Some(key) = self.new.foreign_keys.iter().find(|key| key.columns.contains(&column.id)) {
            return Err(SqlError::new(
                ErrorCode::FK_COLUMN_CANNOT_DROP,
                format!("Cannot drop column '{}': needed in a foreign key constraint '{}'", column.name, key.name),
            ));
        }
        if !context.settings.foreign_key_checks {
            return Ok(());
        }
        for child in children(&self.catalog, &self.old.database, &self.old.name) {
            let refers = |name: &String| name.eq_ignore_ascii_case(&column.name);
            let key = child.foreign_keys.iter().find(|key| {
                key.parent_database == self.old.database
                    && key.parent_table == self.old.name
                    && key.parent_columns.iter().any(refers)
            });
            if let Some(key) = key {
                return Err(SqlError::new(
                    ErrorCode(1829),
                    format!(
                        "Cannot drop column '{}': needed in a foreign key constraint '{}' of table '{}'",
                        column.name, key.name, child.name
                    ),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn change_column(
        &mut self,
        old_name: &str,
        spec: &ColumnSpec,
        position: &ColumnPosition,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let at = self.find(old_name)?;
        if self.new.column_index(&spec.name).is_some_and(|other| other != at) {
            return Err(duplicate_column(&spec.name));
        }
        let old = self.new.columns[at].clone();
        if old.name != spec.name
            && let Some(dependent) = expression_rules::dependent(&old.name, &self.new)?
        {
            return Err(dependent.refuse(&old.name));
        }
        let stored = |generated: &Option<GeneratedDef>| generated.as_ref().is_none_or(|generated| generated.stored);
        if stored(&old.generated) != stored(&spec.generated) {
            return Err(expression_rules::unsupported("Changing the STORED status"));
        }
        let mut column = columns::define(spec, old.id, self.new.collation, &context.eval)?;
        let in_primary = self
            .new
            .indexes
            .iter()
            .any(|index| index.name == indexes::PRIMARY && index.parts.iter().any(|part| part.column == old.id));
        if in_primary {
            if spec.nullable == Some(true) {
                return Err(primary_null());
            }
            column.ty.nullable = false;
        }
        // What rows have that were stored before the column was added is not changed by another DEFAULT.
        column.added_default = old.added_default.clone();
        let in_index = self.new.indexes.iter().any(|index| index.parts.iter().any(|part| part.column == old.id));
        let same_generation = old.generated == column.generated;
        self.rebuild |= !stores_alike(&old.ty, &column.ty, in_index)
            || !same_generation
            || (column.auto_increment && !old.auto_increment);
        self.rebuild |= self.settle_prefixes(&column)?;
        if old.name != column.name {
            self.renamed_columns.push((old.name.clone(), column.name.clone()));
        }
        match position {
            ColumnPosition::Unchanged => self.new.columns[at] = column,
            _ => {
                self.new.columns.remove(at);
                self.insert_column(column, position)?;
            }
        }
        Ok(())
    }

    /// A prefix that a changed column does not have, or that is all of it, goes: true if there was one.
    fn settle_prefixes(&mut self, column: &ColumnDef) -> Result<bool, SqlError> {
        let length = match column.ty.kind {
            TypeKind::Char { length }
            | TypeKind::VarChar { length }
            | TypeKind::Binary { length }
            | TypeKind::VarBinary { length } => length,
            TypeKind::Text { .. } | TypeKind::Blob { .. } => u32::MAX,
            _ => 0,
        };
        let mut changed = false;
        for index in self.new.indexes.iter_mut().filter(|index| index.kind == IndexKind::Btree) {
            for part in index.parts.iter_mut().filter(|part| part.column == column.id) {
                if part.prefix.is_none() && length == u32::MAX {
                    let text =
                        format!("BLOB/TEXT column '{}' used in key specification without a key length", column.name);
                    return Err(SqlError::new(ErrorCode(1170), text));
                }
                if part.prefix.is_some_and(|prefix| prefix >= length) {
                    part.prefix = None;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    pub(super) fn rename_column(&mut self, old_name: &str, new_name: &str) -> Result<(), SqlError> {
        let at = self.find(old_name)?;
        if self.new.column_index(new_name).is_some_and(|other| other != at) {
            return Err(duplicate_column(new_name));
        }
        if let Some(dependent) = expression_rules::dependent(old_name, &self.new)? {
            return Err(dependent.refuse(old_name));
        }
        self.renamed_columns.push((self.new.columns[at].name.clone(), new_name.to_owned()));
        new_name.clone_into(&mut self.new.columns[at].name);
        Ok(())
    }

    pub(super) fn set_default(
        &mut self,
        name: &str,
        default: &ColumnDefault,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let at = self.find(name)?;
        let mut column = ColumnDef { default: default.clone(), ..self.new.columns[at].clone() };
        columns::check(&column, &context.eval)?;
        columns::settle_default(&mut column, &context.eval)?;
        self.new.columns[at] = column;
        Ok(())
    }
}

fn duplicate_column(name: &str) -> SqlError {
    SqlError::new(ErrorCode::DUP_FIELDNAME, format!("Duplicate column name '{name}'"))
}

/// What existing rows get in a new column, as text in UTC.
fn added_default(column: &ColumnDef, context: &StatementContext<'_>) -> Result<Option<String>, SqlError> {
    let value = match &column.default {
        ColumnDefault::Literal(text) if column.ty.is_binary() => return Ok(Some(text.clone())),
        ColumnDefault::Literal(text) => assign::literal_default(column, text, &context.eval)?,
        ColumnDefault::Now => assign::now(column, &context.eval)?,
        ColumnDefault::None | ColumnDefault::Null | ColumnDefault::Expression(_) => {
            return Ok(columns::implicit_default_text(&column.ty));
        }
    };
    let stored = to_physical(&value, &column.ty, context.eval.time_zone)?;
    Ok(Some(match from_physical(PhysicalRef::from(&stored), &column.ty, UTC)? {
        Value::Bit(bits, _) => bits.to_string(),
        value => value.to_text().into_owned(),
    }))
}

/// True if what is stored in a column of the old type is what a column of the new type would hold, in its indexes too.
fn stores_alike(old: &MysqlType, new: &MysqlType, in_index: bool) -> bool {
    use TypeKind::*;
    if old.nullable && !new.nullable {
        return false;
    }
    let same_text = old.collation == new.collation || (!in_index && old.collation.charset() == new.collation.charset());
    match (&old.kind, &new.kind) {
        (Int { bytes, unsigned, .. }, Int { bytes: new_bytes, unsigned: new_unsigned, .. }) => {
            unsigned == new_unsigned && new_bytes >= bytes
        }
        (VarChar { length }, VarChar { length: new_length }) => same_text && new_length >= length,
        (VarBinary { length }, VarBinary { length: new_length }) => new_length >= length,
        (Text { size }, Text { size: new_size }) => same_text && new_size >= size,
        (Blob { size }, Blob { size: new_size }) => new_size >= size,
        (Enum(members), Enum(new_members)) | (Set(members), Set(new_members)) => {
            same_text && new_members.starts_with(members)
        }
        (Char { .. }, Char { .. }) => same_text && old.kind == new.kind,
        (old_kind, new_kind) => old_kind == new_kind,
    }
}
