//! ALTER TABLE's actions on indexes and constraints.

use super::{Alteration, cannot_drop, note_or};
use crate::catalog::TableDef;
use crate::catalog::schema::{ColumnDef, IndexDef, IndexKind};
use crate::execute::StatementContext;
use crate::execute::ddl::create_table::primary_null;
use crate::execute::ddl::{children, foreign_keys, indexes};
use crate::sql::plan::{ForeignKeySpec, IndexSpec};
use common::id::IndexId;
use expr::{ErrorCode, SqlError};

impl Alteration {
    pub(super) fn add_index(
        &mut self,
        spec: &IndexSpec,
        if_not_exists: bool,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        if spec.primary {
            if self.new.indexes.iter().any(|index| index.name == indexes::PRIMARY) {
                return Err(SqlError::new(ErrorCode::MULTIPLE_PRI_KEY, "Multiple primary key defined"));
            }
            self.require_not_null(spec)?;
        }
        let named = spec.name.as_ref().and_then(|name| self.new.index_by_name(name)).filter(|_| !spec.primary);
        if let Some(index) = named {
            return note_or(if_not_exists, indexes::duplicate_name(&index.name), context);
        }
        // Its values differ from row to row.
        self.rebuild |= !spec.expressions.is_empty();
        let spec = indexes::with_hidden_columns(spec, &mut self.new, &[], &*context.binder)?;
        let taken: Vec<&str> = self.new.indexes.iter().map(|index| index.name.as_str()).collect();
        let index = indexes::define(&spec, &self.new.columns, &taken, IndexId(self.new.next_index), &context.eval)?;
        self.new.next_index += 1;
        self.added_indexes.push(index.id);
        self.new.indexes.push(index);
        Ok(())
    }

    /// Columns of a new primary key become NOT NULL; rows are written anew, and refused if they have NULLs there.
    fn require_not_null(&mut self, spec: &IndexSpec) -> Result<(), SqlError> {
        for (name, _, _) in &spec.parts {
            if let Some(position) = self.new.column_index(name) {
                let column = &mut self.new.columns[position];
                if matches!(column.default, crate::catalog::schema::ColumnDefault::Null) {
                    return Err(primary_null());
                }
                column.ty.nullable = false;
            }
        }
        Ok(())
    }

    pub(super) fn drop_index(
        &mut self,
        name: &str,
        if_exists: bool,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let found = self
            .new
            .indexes
            .iter()
            .position(|index| index.name != indexes::HIDDEN && index.name.eq_ignore_ascii_case(name));
        let Some(position) = found else { return note_or(if_exists, cannot_drop(name), context) };
        let index = self.new.indexes.remove(position);
        self.added_indexes.retain(|added| *added != index.id);
        let of_index = |column: &ColumnDef| index.parts.iter().any(|part| part.column == column.id);
        self.new.columns.retain(|column| !(column.is_key_expression() && of_index(column)));
        self.refuse_if_needed(&index)
    }

    /// A foreign key needs an index on each side.
    fn refuse_if_needed(&self, dropped: &IndexDef) -> Result<(), SqlError> {
        let needed = || {
            SqlError::new(
                ErrorCode::DROP_INDEX_FK,
                format!("Cannot drop index '{}': needed in a foreign key constraint", dropped.name),
            )
        };
        let served = |columns: &[common::id::ColumnId]| {
            !foreign_keys::leads_with(dropped, columns)
                || self.new.indexes.iter().any(|index| foreign_keys::leads_with(index, columns))
        };
        if !self.new.foreign_keys.iter().all(|key| served(&key.columns)) {
            return Err(needed());
        }
        let (database, name) = (&self.old.database, &self.old.name);
        let itself: Vec<&TableDef> = vec![&self.new];
        let others = children(&self.catalog, database, name);
        for child in itself.into_iter().chain(others.iter().map(|child| &***child)) {
            let here =
                |key: &&crate::catalog::ForeignKeyDef| key.parent_database == *database && key.parent_table == *name;
            for key in child.foreign_keys.iter().filter(here) {
                let positions = key.parent_columns.iter().map(|column| self.old.column_index(column));
                let ids: Option<Vec<_>> =
                    positions.map(|position| position.map(|position| self.old.columns[position].id)).collect();
                if ids.is_some_and(|ids| !served(&ids)) {
                    return Err(needed());
                }
            }
        }
        Ok(())
    }

    fn find_index(&mut self, name: &str) -> Result<&mut IndexDef, SqlError> {
        let table = self.new.name.clone();
        self.new.indexes.iter_mut().find(|index| index.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            SqlError::new(ErrorCode::KEY_DOES_NOT_EXIST, format!("Key '{name}' doesn't exist in table '{table}'"))
        })
    }

    pub(super) fn rename_index(&mut self, old_name: &str, new_name: &str) -> Result<(), SqlError> {
        let wrong =
            |name: &str| SqlError::new(ErrorCode::WRONG_NAME_FOR_INDEX, format!("Incorrect index name '{name}'"));
        for name in [old_name, new_name] {
            if name.eq_ignore_ascii_case(indexes::PRIMARY) || name.eq_ignore_ascii_case(indexes::HIDDEN) {
                return Err(wrong(name));
            }
        }
        if self.new.index_by_name(new_name).is_some() && !old_name.eq_ignore_ascii_case(new_name) {
            return Err(indexes::duplicate_name(new_name));
        }
        new_name.clone_into(&mut self.find_index(old_name)?.name);
        Ok(())
    }

    pub(super) fn set_index_visible(&mut self, name: &str, visible: bool) -> Result<(), SqlError> {
        let index = self.find_index(name)?;
        if index.name == indexes::PRIMARY && !visible {
            return Err(SqlError::new(ErrorCode(3522), "A primary key index cannot be invisible"));
        }
        index.invisible = !visible;
        Ok(())
    }

    pub(super) fn add_foreign_key(
        &mut self,
        spec: &ForeignKeySpec,
        context: &StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let indexes_before = self.new.indexes.len();
        foreign_keys::add(spec, &mut self.new, &self.catalog, context.settings.foreign_key_checks, &context.eval)?;
        self.added_indexes.extend(self.new.indexes[indexes_before..].iter().map(|index| index.id));
        self.added_keys.extend(self.new.foreign_keys.last().map(|key| key.name.clone()));
        Ok(())
    }

    pub(super) fn drop_foreign_key(&mut self, name: &str) -> Result<(), SqlError> {
        let before = self.new.foreign_keys.len();
        self.new.foreign_keys.retain(|key| !key.name.eq_ignore_ascii_case(name));
        self.added_keys.retain(|added| !added.eq_ignore_ascii_case(name));
        if self.new.foreign_keys.len() == before { Err(cannot_drop(name)) } else { Ok(()) }
    }

    pub(super) fn drop_constraint(&mut self, name: &str, context: &StatementContext<'_>) -> Result<(), SqlError> {
        if self.new.foreign_keys.iter().any(|key| key.name.eq_ignore_ascii_case(name)) {
            return self.drop_foreign_key(name);
        }
        if self.new.checks.iter().any(|check| check.name.eq_ignore_ascii_case(name)) {
            self.new.checks.retain(|check| !check.name.eq_ignore_ascii_case(name));
            self.added_checks.retain(|added| !added.eq_ignore_ascii_case(name));
            return Ok(());
        }
        if self.new.index_by_name(name).is_some_and(is_constraint) {
            return self.drop_index(name, false, context);
        }
        Err(no_constraint(name))
    }

    /// `any`: ALTER CONSTRAINT, which names constraints of every kind, and changes CHECKs alone.
    pub(super) fn set_check_enforced(&mut self, name: &str, enforced: bool, any: bool) -> Result<(), SqlError> {
        let of_keys = self.new.index_by_name(name).is_some_and(is_constraint)
            || self.new.foreign_keys.iter().any(|key| key.name.eq_ignore_ascii_case(name));
        let found = self.new.checks.iter_mut().find(|check| check.name.eq_ignore_ascii_case(name));
        if any && of_keys {
            let text = match found {
                Some(_) => return Err(several_constraints(name, "ALTER")),
                None => format!(
                    "Altering constraint enforcement is not supported for the constraint '{name}'. Enforcement state \
                     alter is not supported for the PRIMARY, UNIQUE and FOREIGN KEY type constraints."
                ),
            };
            return Err(SqlError::new(ErrorCode(3941), text));
        }
        let check = found.ok_or_else(|| match any {
            true => no_constraint(name),
            false => SqlError::new(ErrorCode(3821), format!("Check constraint '{name}' is not found in the table.")),
        })?;
        if enforced && !check.enforced {
            self.added_checks.push(check.name.clone());
        }
        check.enforced = enforced;
        Ok(())
    }
}

/// PRIMARY KEY and UNIQUE are constraints.
fn is_constraint(index: &IndexDef) -> bool {
    index.unique && index.kind == IndexKind::Btree
}

fn no_constraint(name: &str) -> SqlError {
    SqlError::new(ErrorCode(3940), format!("Constraint '{name}' does not exist."))
}

fn several_constraints(name: &str, verb: &str) -> SqlError {
    let text = format!(
        "Table has multiple constraints with the name '{name}'. Please use constraint specific '{verb}' clause."
    );
    SqlError::new(ErrorCode(3939), text)
}
