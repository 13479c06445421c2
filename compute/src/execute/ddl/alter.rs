//! ALTER TABLE: first the definition, action by action; then the rows, as far as they have to follow.
//!
//! Columns are added and dropped without touching rows: their ids are never used again. A new index is filled from the
//! rows. What changes how rows or the clustered key are stored writes the table anew under another id. All of it is one
//! transaction, during which nobody else writes to the table.

mod column_actions;
mod key_actions;

use super::*;
use crate::catalog::TableDef;
use crate::execute::ddl::backfill;
use crate::execute::ddl::create_table::{add_check, check_comment, touch_parents};
use crate::execute::ddl::{exchange, expression_rules, indexes, online, partitions, rename};
use crate::sql::bind::partition;
use crate::sql::parse::ast::{PartitionAction, PartitioningOption};
use crate::sql::parse::partition::Partitioning;
use crate::sql::plan::{AlterAction, TableOptions};
use common::id::{IndexId, Lsn};
use expr::error::WarningLevel;

/// A table on its way from one definition to another.
struct Alteration {
    old: Arc<TableDef>,
    new: TableDef,
    catalog: Arc<Catalog>,
    /// All rows have to be written again.
    rebuild: bool,
    /// Indexes that have no entries yet.
    added_indexes: Vec<IndexId>,
    /// Names of foreign keys and CHECKs that existing rows have not been held to.
    added_keys: Vec<String>,
    added_checks: Vec<String>,
    /// AUTO_INCREMENT = n.
    next_number: Option<u64>,
    /// Columns by old and new name, for foreign keys of other tables.
    renamed_columns: Vec<(String, String)>,
    rename_to: Option<ObjectName>,
    /// Another PARTITION BY clause, to be checked when the columns and keys are as they shall be.
    partitioning: Option<Partitioning>,
    /// Numbers of partitions of the old table whose rows go.
    emptied: Vec<u64>,
    /// Rows may be in no partition any more.
    verify_partitions: bool,
}

pub async fn alter(
    name: &ObjectName,
    actions: &[AlterAction],
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    if let [AlterAction::Partition(PartitionAction::Exchange { name: partition, table, validated })] = actions {
        let database = table.database.clone().unwrap_or_else(|| name.database.clone());
        let other = ObjectName { database, name: table.name.clone() };
        return exchange::exchange(name, partition, &other, *validated, context).await;
    }
    refuse_made_up(name)?;
    let mut keys = vec![storage::table_key(&name.database, &name.name)];
    for action in actions {
        if let AlterAction::Rename(new) = action {
            refuse_made_up(new)?;
            keys.extend(name_keys(new));
            keys.push(storage::database_key(&new.database));
        }
    }
    let catalog = lock_names(keys, context).await?;
    let old = find_table(&catalog, name)?;
    if catalog.is_temporary(&old) {
        refuse_for_temporary(actions)?;
    }
    let mut alteration = Alteration {
        new: (*old).clone(),
        old,
        catalog,
        rebuild: false,
        added_indexes: Vec::new(),
        added_keys: Vec::new(),
        added_checks: Vec::new(),
        next_number: None,
        renamed_columns: Vec::new(),
        rename_to: None,
        partitioning: None,
        emptied: Vec::new(),
        verify_partitions: false,
    };
    let mut builder = None;
    if alteration.old.indexes.iter().any(|index| index.building) {
        builder = online::Builder::of(alteration.old.id, &context.services.remote, context.transaction.id().0).await?;
    }
    if builder.is_some() {
        // Nobody goes on with them.
        alteration.new.indexes.retain(|index| !index.building);
    }
    for action in actions {
        alteration.apply(action, context)?;
    }
    if actions.iter().all(|action| matches!(action, AlterAction::AddIndex { .. })) {
        return alteration.add_indexes(builder, context).await;
    }
    alteration.finish(context).await
}

/// What temporary tables cannot do, here or in MySQL.
fn refuse_for_temporary(actions: &[AlterAction]) -> Result<(), SqlError> {
    for action in actions {
        match action {
            AlterAction::Rename(_) => return Err(SqlError::not_supported("RENAME of temporary tables")),
            AlterAction::AddForeignKey(_) => {
                return Err(SqlError::new(ErrorCode(1215), "Cannot add foreign key constraint"));
            }
            AlterAction::Partition(_) => {
                return Err(SqlError::new(ErrorCode(1562), "Cannot create temporary table with partitions"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Alteration {
    fn apply(&mut self, action: &AlterAction, context: &StatementContext<'_>) -> Result<(), SqlError> {
        match action {
            AlterAction::AddColumn { column, position, if_not_exists } => {
                self.add_column(column, position, *if_not_exists, context)
            }
            AlterAction::DropColumn { name, if_exists } => self.drop_column(name, *if_exists, context),
            AlterAction::ChangeColumn { old_name, column, position } => {
                self.change_column(old_name, column, position, context)
            }
            AlterAction::RenameColumn { old_name, new_name } => self.rename_column(old_name, new_name),
            AlterAction::SetDefault { column, default } => self.set_default(column, default, context),
            AlterAction::AddIndex { index, if_not_exists } => self.add_index(index, *if_not_exists, context),
            AlterAction::DropIndex { name, if_exists } => self.drop_index(name, *if_exists, context),
            AlterAction::DropPrimaryKey => self.drop_index(indexes::PRIMARY, false, context),
            AlterAction::RenameIndex { old_name, new_name } => self.rename_index(old_name, new_name),
            AlterAction::SetIndexVisible { name, visible } => self.set_index_visible(name, *visible),
            AlterAction::AddForeignKey(spec) => self.add_foreign_key(spec, context),
            AlterAction::DropForeignKey(name) => self.drop_foreign_key(name),
            AlterAction::AddCheck(check) => {
                add_check(check, &mut self.new)?;
                self.added_checks.extend(self.new.checks.last().map(|check| check.name.clone()));
                Ok(())
            }
            AlterAction::DropConstraint(name) => self.drop_constraint(name, context),
            AlterAction::SetCheckEnforced { name, enforced, any } => self.set_check_enforced(name, *enforced, *any),
            AlterAction::Options(options) => {
                self.set_options(options);
                Ok(())
            }
            AlterAction::Partition(action) => {
                let outcome = partitions::apply(action, &self.new)?;
                self.emptied.extend(outcome.emptied);
                self.verify_partitions |= outcome.verify;
                self.partitioning = Some(outcome.partitioning);
                Ok(())
            }
            AlterAction::ConvertCharacterSet(collation) => {
                self.new.collation = *collation;
                for column in self.new.columns.iter_mut().filter(|column| column.ty.is_text()) {
                    self.rebuild |= column.ty.collation != *collation;
                    column.ty.collation = *collation;
                }
                Ok(())
            }
            AlterAction::Rename(name) => {
                self.rename_to = Some(name.clone());
                Ok(())
            }
            AlterAction::Nothing => Ok(()),
        }
    }

    fn set_options(&mut self, options: &TableOptions) {
        let TableOptions { engine, collation, comment, auto_increment, others, partitioning } = options.clone();
        let table = &mut self.new;
        table.engine = engine.unwrap_or_else(|| table.engine.clone());
        table.collation = collation.unwrap_or(table.collation);
        table.comment = comment.unwrap_or_else(|| table.comment.clone());
        for option in others {
            let name = |option: &str| option.split('=').next().unwrap_or("").to_owned();
            table.options.retain(|other| name(other) != name(&option));
            table.options.push(option);
        }
        match partitioning {
            Some(PartitioningOption::By(partitioning)) => {
                self.verify_partitions = true;
                self.partitioning = Some(partitioning);
            }
            Some(PartitioningOption::Remove) => table.partitioning = None,
            None => {}
        }
        self.next_number = auto_increment.or(self.next_number);
    }

    /// Nothing but new indexes: those of a large table are made while others write to it.
    async fn add_indexes(
        mut self,
        builder: Option<online::Builder>,
        context: &mut StatementContext<'_>,
    ) -> Result<Done, SqlError> {
        indexes::arrange(&mut self.new)?;
        let clustered = |table: &TableDef| (table.clustered().id, table.clustered().parts.clone());
        if clustered(&self.old) != clustered(&self.new) {
            return self.finish(context).await;
        }
        match online::applies(&self.old, &self.new, builder, context).await? {
            None => self.finish(context).await,
            Some(builder) => {
                self.new.version = Lsn::ZERO;
                indexes::check_auto_increment(&self.new)?;
                online::build(&self.old, self.new, builder, context).await?;
                Ok(Done { info: "Records: 0  Duplicates: 0  Warnings: 0".to_owned(), ..Done::default() })
            }
        }
    }

    /// The rows follow, then everything is stored.
    async fn finish(mut self, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
        self.new.version = Lsn::ZERO;
        indexes::arrange(&mut self.new)?;
        indexes::check_auto_increment(&self.new)?;
        self.check_children(context)?;
        check_comment(&mut self.new, &context.eval)?;
        expression_rules::verify(&self.new)?;
        self.settle_partitions(context)?;
        let clustered = |table: &TableDef| (table.clustered().id, table.clustered().parts.clone());
        // An index that clusters rows has the id it was made with; a new one, or none, means other keys for all rows.
        self.rebuild |= clustered(&self.old) != clustered(&self.new);
        crate::execute::expressions::TableExpressions::bind(&self.new, &*context.binder)?;
        if !self.emptied.is_empty() {
            backfill::empty_partitions(&self.old, &self.emptied, context).await?;
        }
        // What reads the new rows or entries below has to find them in the buffer.
        let read_again = !self.added_keys.is_empty() || self.next_number.is_some();
        let mut records = 0;
        if self.rebuild {
            let id = allocate_table_id(context).await?;
            self.new.id = id;
            records = backfill::rebuild(&self.old, &mut self.new, !read_again, context).await?;
        } else if !self.added_indexes.is_empty() {
            backfill::fill_indexes(&self.new, &self.added_indexes, !read_again, context).await?;
        }
        if !self.added_keys.is_empty() && context.settings.foreign_key_checks {
            backfill::verify_foreign_keys(&self.new, &self.added_keys, context).await?;
        }
        // A table that was written anew has been held to all of them.
        if !self.added_checks.is_empty() && !self.rebuild {
            backfill::verify_checks(&self.new, &self.added_checks, context).await?;
        }
        if self.verify_partitions && !self.rebuild {
            backfill::verify_partitions(&self.new, context).await?;
        }
        if let Some(next) = self.next_number {
            backfill::set_counter(&self.new, next, context).await?;
        }
        if !self.added_keys.is_empty() || self.new.foreign_keys.len() != self.old.foreign_keys.len() {
            touch_parents(&self.new, context).await?;
        }
        self.store(context).await?;
        Ok(Done {
            affected_rows: records,
            info: format!("Records: {records}  Duplicates: 0  Warnings: 0"),
            ..Done::default()
        })
    }

    /// The clause still fits the columns and keys.
    fn settle_partitions(&mut self, context: &StatementContext<'_>) -> Result<(), SqlError> {
        let changed = self.partitioning.take();
        let kept = self.new.partitioning.as_deref().filter(|text| !text.is_empty());
        let partitioning = match (changed, kept) {
            (Some(changed), _) => changed,
            (None, Some(text)) => partition::parse_text(text)?,
            (None, None) => return Ok(()),
        };
        if let Some(column) = partitions::missing_column(&partitioning, &self.old, &self.new)? {
            let text =
                format!("Column '{column}' has a partitioning function dependency and cannot be dropped or renamed.");
            return Err(SqlError::new(ErrorCode(3855), text));
        }
        self.new.partitioning = Some(partitions::settle(partitioning, &self.new, context)?.text());
        Ok(())
    }

    async fn store(self, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        let mut catalog = (*self.catalog).clone();
        if !self.renamed_columns.is_empty() {
            self.rename_in_children(context).await?;
        }
        match self.rename_to.filter(|name| name.database != self.old.database || name.name != self.old.name) {
            None => put_table(&self.new, context),
            Some(name) => {
                catalog = (*with_home(&name.database, Arc::new(catalog), context)?).clone();
                let target = catalog.database(&name.database).ok_or_else(|| unknown_database(&name.database))?;
                if target.tables.contains_key(&name.name) || target.views.contains_key(&name.name) {
                    let message = format!("Table '{}' already exists", name.name);
                    return Err(SqlError::new(ErrorCode::TABLE_EXISTS, message));
                }
                let renamed = rename::renamed(&self.new, &name);
                delete_table(&self.old, context)?;
                put_table(&renamed, context)?;
                super::routine::trigger::follow(&catalog, &self.old, &renamed, context)?;
                rename::follow_children(&self.old, &renamed, &mut catalog, context).await
            }
        }
    }

    /// Foreign keys name the columns of their parent.
    async fn rename_in_children(&self, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        let (database, name) = (&self.old.database, &self.old.name);
        let children: Vec<TableDef> =
            children(&self.catalog, database, name).into_iter().map(|child| (**child).clone()).collect();
        if children.is_empty() {
            return Ok(());
        }
        let keys = children.iter().map(|child| storage::table_key(&child.database, &child.name)).collect();
        lock_names(keys, context).await?;
        for mut child in children {
            for key in &mut child.foreign_keys {
                if key.parent_database == *database && key.parent_table == *name {
                    self.rename_parent_columns(&mut key.parent_columns);
                }
            }
            put_table(&child, context)?;
        }
        Ok(())
    }

    fn rename_parent_columns(&self, columns: &mut [String]) {
        for column in columns {
            if let Some((_, new)) = self.renamed_columns.iter().find(|(old, _)| old.eq_ignore_ascii_case(column)) {
                column.clone_from(new);
            }
        }
    }

    /// Children still find their parents, in columns of a type that fits.
    fn check_children(&mut self, context: &StatementContext<'_>) -> Result<(), SqlError> {
        if !context.settings.foreign_key_checks {
            return Ok(());
        }
        for child in children(&self.catalog, &self.old.database, &self.old.name) {
            for key in &child.foreign_keys {
                if key.parent_database != self.old.database || key.parent_table != self.old.name {
                    continue;
                }
                let mut key = key.clone();
                self.rename_parent_columns(&mut key.parent_columns);
                foreign_keys::check_parent(&key, child, &self.new)?;
            }
        }
        for key in &self.new.foreign_keys {
            let changed = key.columns.iter().any(|id| {
                let ty = |table: &TableDef| table.column_by_id(*id).map(|(_, column)| column.ty.clone());
                matches!((ty(&self.old), ty(&self.new)), (Some(old), Some(new)) if old != new)
            });
            let itself = key.parent_database == self.old.database && key.parent_table == self.old.name;
            if changed
                && !itself
                && let Some(parent) = self.catalog.table(&key.parent_database, &key.parent_table)
            {
                foreign_keys::check_parent(key, &self.new, parent)?;
            }
        }
        let renames = std::mem::take(&mut self.renamed_columns);
        let (database, name) = (self.old.database.clone(), self.old.name.clone());
        for key in &mut self.new.foreign_keys {
            if key.parent_database == database && key.parent_table == name {
                for column in &mut key.parent_columns {
                    if let Some((_, new)) = renames.iter().find(|(old, _)| old.eq_ignore_ascii_case(column)) {
                        column.clone_from(new);
                    }
                }
            }
        }
        self.renamed_columns = renames;
        Ok(())
    }
}

fn cannot_drop(name: &str) -> SqlError {
    SqlError::new(ErrorCode::CANT_DROP_FIELD_OR_KEY, format!("Can't DROP '{name}'; check that column/key exists"))
}

/// IF EXISTS and IF NOT EXISTS make a note of an error.
fn note_or(tolerant: bool, error: SqlError, context: &StatementContext<'_>) -> Result<(), SqlError> {
    if !tolerant {
        return Err(error);
    }
    context.warn(WarningLevel::Note, error.code, error.message);
    Ok(())
}
