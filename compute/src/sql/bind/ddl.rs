//! Definitions: CREATE, ALTER, DROP with names resolved, types and expressions checked as far as the statement goes.

use crate::catalog::schema::{CheckDef, ColumnDefault, GeneratedDef};
use crate::sql::bind::column_type::{self, collation_of, column_type};
use crate::sql::bind::scope::Boundary;
use crate::sql::bind::{Binder, canonical, error};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::{self, Kind, Name, syntax};
use crate::sql::plan::{
    AlterAction, ColumnSpec, CreateTable, CreateView, Ddl, ForeignKeySpec, IndexSpec, ObjectName, TableOptions,
};
use expr::collation::{Charset, CollationId, collation_by_name};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};
use std::ops::ControlFlow;

impl Binder<'_> {
    /// Binds the statement if it is a definition.
    pub fn ddl(&mut self, kind: &Kind) -> Result<Option<Ddl>, SqlError> {
        Ok(Some(match kind {
            Kind::CreateDatabase { name, if_not_exists, options } => Ddl::CreateDatabase {
                name: name.clone(),
                if_not_exists: *if_not_exists,
                collation: collation_of(options)?,
            },
            Kind::AlterDatabase { name, options } => {
                let name = match (name, self.context.database) {
                    (Some(name), _) => name.clone(),
                    (None, Some(database)) => database.to_owned(),
                    (None, None) => return Err(error::no_database()),
                };
                Ddl::AlterDatabase {
                    name,
                    collation: collation_of(options)?.unwrap_or(CollationId::UTF8MB4_0900_AI_CI),
                }
            }
            Kind::DropDatabase { name, if_exists } => Ddl::DropDatabase { name: name.clone(), if_exists: *if_exists },
            Kind::CreateTable(table) => Ddl::CreateTable(Box::new(self.create_table(table)?)),
            Kind::CreateTableLike { name, like, if_not_exists, temporary } => Ddl::CreateTableLike {
                name: self.object(name)?,
                like: self.object(like)?,
                if_not_exists: *if_not_exists,
                temporary: *temporary,
            },
            Kind::DropTables { names, if_exists, temporary } => {
                Ddl::DropTables { names: self.objects(names)?, if_exists: *if_exists, temporary: *temporary }
            }
            Kind::AlterTable { name, actions, is_index_statement } => {
                let name = self.object(name)?;
                let mut bound = Vec::new();
                for action in actions {
                    self.alter(&name, action, &mut bound)?;
                }
                Ddl::AlterTable { name, actions: bound, is_index_statement: *is_index_statement }
            }
            Kind::RenameTables(pairs) => {
                let mut bound = Vec::new();
                for (from, to) in pairs {
                    bound.push((self.object(from)?, self.object(to)?));
                }
                Ddl::RenameTables(bound)
            }
            Kind::Truncate(name) => Ddl::Truncate(self.object(name)?),
            Kind::CreateView(view) => Ddl::CreateView(Box::new(self.create_view(view)?)),
            Kind::DropViews { names, if_exists } => {
                Ddl::DropViews { names: self.objects(names)?, if_exists: *if_exists }
            }
            Kind::Account(statement) => Ddl::Account(Box::new(self.account_statement(statement)?)),
            other => return self.routine_ddl(other),
        }))
    }

    pub fn object(&self, name: &Name) -> Result<ObjectName, SqlError> {
        Ok(ObjectName { database: self.database_of(name)?, name: name.name.clone() })
    }

    pub fn objects(&self, names: &[Name]) -> Result<Vec<ObjectName>, SqlError> {
        names.iter().map(|name| self.object(name)).collect()
    }

    fn create_table(&mut self, table: &ast::CreateTable) -> Result<CreateTable, SqlError> {
        let name = self.object(&table.name)?;
        let mut bound = CreateTable {
            temporary: table.temporary,
            if_not_exists: table.if_not_exists,
            columns: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            options: self.options(&table.options)?,
            source: None,
            source_ignore: table.ignore,
            source_replace: table.replace,
            name,
        };
        let home = bound.options.collation.unwrap_or_else(|| self.database_collation(&bound.name.database));
        for column in &table.columns {
            check_owner(column, &bound.name)?;
            let lower = column.name.to_lowercase();
            if bound.columns.iter().any(|other| other.name.to_lowercase() == lower) {
                return Err(SqlError::new(
                    ErrorCode::DUP_FIELDNAME,
                    format!("Duplicate column name '{}'", column.name),
                ));
            }
            bound.columns.push(self.column_spec(column, home)?);
            bound.indexes.extend(column_index(column));
            // In the order in which they stand: they are numbered by it.
            bound.checks.extend(checks_at(table, bound.columns.len() - 1));
            if let Some(added) = &column.check {
                let unnamed = bound.checks.iter().filter(|check| check.name.is_empty()).count();
                refuse_other_columns(added, column, &bound.name.name, unnamed + 1)?;
                bound.checks.push(check(added));
            }
        }
        for index in &table.indexes {
            bound.indexes.push(self.index(index)?);
        }
        for key in &table.foreign_keys {
            bound.foreign_keys.push(self.foreign_key(&bound.name.database, key)?);
        }
        bound.checks.extend(checks_at(table, bound.columns.len()));
        if bound.indexes.iter().filter(|index| index.primary).count() > 1 {
            return Err(SqlError::new(ErrorCode::MULTIPLE_PRI_KEY, "Multiple primary key defined"));
        }
        if let Some(query) = &table.source {
            bound.source = Some(self.top_query(query, &[])?);
        }
        if bound.columns.is_empty() && bound.source.is_none() {
            return Err(SqlError::new(ErrorCode::TABLE_MUST_HAVE_COLUMNS, "A table must have at least 1 column"));
        }
        Ok(bound)
    }

    fn options(&self, options: &ast::TableOptions) -> Result<TableOptions, SqlError> {
        Ok(TableOptions {
            engine: options.engine.as_deref().map(engine),
            collation: of_one_character_set(&options.character_set).and_then(collation_of)?,
            comment: options.comment.clone(),
            auto_increment: options.auto_increment,
            others: options.others.clone(),
            partitioning: options.partitioning.clone(),
        })
    }

    /// Of a table that is there already.
    fn table_collation(&self, table: &ObjectName) -> CollationId {
        match self.context.catalog.table(&table.database, &table.name) {
            Some(table) => table.collation,
            None => self.database_collation(&table.database),
        }
    }

    pub fn database_collation(&self, database: &str) -> CollationId {
        let database = self.context.catalog.database(database);
        database.map_or(CollationId::UTF8MB4_0900_AI_CI, |database| database.definition.collation)
    }

    /// `home` is the collation of a column that names none.
    fn column_spec(&mut self, column: &ast::Column, home: CollationId) -> Result<ColumnSpec, SqlError> {
        let converted = column_type::as_long_text(&column.ty, home, self.context.sql_mode);
        let note = converted.as_ref().map(|long| {
            let known = if long.name.ends_with("BLOB") { "BLOB" } else { "TEXT" };
            format!("Converting column '{}' from {} to {known}", column.name, column.ty.name)
        });
        let (ty, collation) = column_type(&column.name, converted.as_ref().unwrap_or(&column.ty), home)?;
        if column.on_update_now.is_some() && column.on_update_now != clock_digits(&ty.kind) {
            let text = format!("Invalid ON UPDATE clause for '{}' column", column.name);
            return Err(SqlError::new(ErrorCode(1294), text));
        }
        let nullable = column.nullable;
        let ty = ty.with_nullable(nullable.unwrap_or(true));
        let default = match &column.default {
            Some(default) => {
                let ty = MysqlType { collation: collation.unwrap_or(home), ..ty.clone() };
                self.default(&column.name, &ty, default)?
            }
            None => ColumnDefault::None,
        };
        Ok(ColumnSpec {
            name: column.name.clone(),
            ty,
            collation,
            nullable,
            default,
            on_update_now: column.on_update_now.is_some(),
            auto_increment: column.auto_increment,
            generated: column.generated.as_ref().map(|generated| GeneratedDef {
                expression: canonical::text(&generated.expression),
                stored: generated.stored,
            }),
            comment: column.comment.clone(),
            invisible: column.invisible,
            note,
        })
    }

    fn default(&mut self, column: &str, ty: &MysqlType, default: &ast::Default) -> Result<ColumnDefault, SqlError> {
        let kind = &ty.kind;
        let invalid = || SqlError::new(ErrorCode::INVALID_DEFAULT, format!("Invalid default value for '{column}'"));
        Ok(match default {
            ast::Default::Null => ColumnDefault::Null,
            ast::Default::Now(digits) => match clock_digits(kind) == Some(*digits) {
                true => ColumnDefault::Now,
                false => return Err(invalid()),
            },
            ast::Default::Expression(expression) => ColumnDefault::Expression(canonical::text(expression)),
            ast::Default::Literal(literal) => {
                if matches!(
                    kind,
                    TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Json | TypeKind::Geometry(_)
                ) {
                    // The empty text is left out with a warning, if the mode is not strict.
                    if matches!(self.expression(literal)?, Expression::Literal { value, .. } if value.to_text().is_empty())
                    {
                        return Ok(ColumnDefault::Literal(String::new()));
                    }
                    return Err(SqlError::new(
                        ErrorCode::BLOB_CANT_HAVE_DEFAULT,
                        format!("BLOB, TEXT, GEOMETRY or JSON column '{column}' can't have a default value"),
                    ));
                }
                if let (TypeKind::Bit { .. }, syntax::Expr::Value(value)) = (kind, literal.as_ref())
                    && let syntax::Value::SingleQuotedByteStringLiteral(bits) = &value.value
                {
                    return Ok(ColumnDefault::Literal(format!("b'{bits}'")));
                }
                match self.expression(literal)? {
                    // The bytes of a text of the column's character set.
                    Expression::Literal { value: Value::Bytes(bytes), .. } if ty.is_text() => {
                        let text = ty.collation.charset().decode(&bytes).map_err(|_| invalid())?;
                        ColumnDefault::Literal(text.into_owned())
                    }
                    Expression::Literal { value, .. } => ColumnDefault::Literal(value.to_text().into_owned()),
                    // DATE '2020-01-01'
                    Expression::Cast { argument, .. } => match *argument {
                        Expression::Literal { value, .. } => ColumnDefault::Literal(value.to_text().into_owned()),
                        _ => return Err(invalid()),
                    },
                    _ => return Err(invalid()),
                }
            }
        })
    }

    fn index(&self, index: &ast::Index) -> Result<IndexSpec, SqlError> {
        let mut parts = Vec::new();
        let mut expressions = Vec::new();
        for (position, part) in index.parts.iter().enumerate() {
            match part {
                ast::IndexPart::Column { name, prefix, descending } => parts.push((name.clone(), *prefix, *descending)),
                ast::IndexPart::Expression { expression, descending } => {
                    if matches!(**expression, syntax::Expr::Identifier(_) | syntax::Expr::CompoundIdentifier(_)) {
                        let text = "Functional index on a column is not supported. Consider using a regular index \
                                    instead.";
                        return Err(SqlError::new(ErrorCode(3762), text));
                    }
                    expressions.push((position, canonical::text(expression)));
                    parts.push((String::new(), None, *descending));
                }
            }
        }
        Ok(IndexSpec {
            name: index.name.clone(),
            primary: index.primary,
            unique: index.unique,
            kind: index.kind,
            parts,
            expressions,
            comment: index.comment.clone(),
            invisible: index.invisible,
        })
    }

    /// The parent is looked for in the child's database.
    fn foreign_key(&self, database: &str, key: &ast::ForeignKey) -> Result<ForeignKeySpec, SqlError> {
        Ok(ForeignKeySpec {
            name: key.name.clone(),
            index_name: key.index_name.clone(),
            columns: key.columns.clone(),
            parent: ObjectName {
                database: key.parent.database.clone().unwrap_or_else(|| database.to_owned()),
                name: key.parent.name.clone(),
            },
            parent_columns: key.parent_columns.clone(),
            on_delete: key.on_delete,
            on_update: key.on_update,
        })
    }

    fn alter(
        &mut self,
        table: &ObjectName,
        action: &ast::AlterAction,
        actions: &mut Vec<AlterAction>,
    ) -> Result<(), SqlError> {
        let action = match action {
            ast::AlterAction::AddColumn { column, position } => {
                check_owner(column, table)?;
                let spec = self.column_spec(column, self.table_collation(table))?;
                actions.push(AlterAction::AddColumn { column: spec, position: position.clone(), if_not_exists: false });
                return self.column_extras(column, table, actions);
            }
            ast::AlterAction::ChangeColumn { old_name, column, position } => {
                check_owner(column, table)?;
                let spec = self.column_spec(column, self.table_collation(table))?;
                actions.push(AlterAction::ChangeColumn {
                    old_name: old_name.clone(),
                    column: spec,
                    position: position.clone(),
                });
                return self.column_extras(column, table, actions);
            }
            ast::AlterAction::DropColumn(name) => AlterAction::DropColumn { name: name.clone(), if_exists: false },
            ast::AlterAction::RenameColumn { old_name, new_name } => {
                AlterAction::RenameColumn { old_name: old_name.clone(), new_name: new_name.clone() }
            }
            ast::AlterAction::SetDefault { column, default } => {
                let default = match default {
                    None => ColumnDefault::None,
                    Some(default) => {
                        let ty = self
                            .context
                            .catalog
                            .table(&table.database, &table.name)
                            .and_then(|table| table.column_index(column).map(|at| table.columns[at].ty.clone()))
                            .unwrap_or(MysqlType::null());
                        self.default(column, &ty, default)?
                    }
                };
                AlterAction::SetDefault { column: column.clone(), default }
            }
            ast::AlterAction::AddIndex(index) => {
                AlterAction::AddIndex { index: self.index(index)?, if_not_exists: false }
            }
            ast::AlterAction::DropIndex(name) => AlterAction::DropIndex { name: name.clone(), if_exists: false },
            ast::AlterAction::DropPrimaryKey => AlterAction::DropPrimaryKey,
            ast::AlterAction::RenameIndex { old_name, new_name } => {
                AlterAction::RenameIndex { old_name: old_name.clone(), new_name: new_name.clone() }
            }
            ast::AlterAction::SetIndexVisible { name, visible } => {
                AlterAction::SetIndexVisible { name: name.clone(), visible: *visible }
            }
            ast::AlterAction::AddForeignKey(key) => AlterAction::AddForeignKey(self.foreign_key(&table.database, key)?),
            ast::AlterAction::DropForeignKey(name) => AlterAction::DropForeignKey(name.clone()),
            ast::AlterAction::AddCheck(added) => AlterAction::AddCheck(check(added)),
            ast::AlterAction::DropConstraint(name) => AlterAction::DropConstraint(name.clone()),
            ast::AlterAction::SetCheckEnforced { name, enforced, any } => {
                AlterAction::SetCheckEnforced { name: name.clone(), enforced: *enforced, any: *any }
            }
            ast::AlterAction::Partition(action) => {
                let mut action = action.clone();
                if let ast::PartitionAction::Exchange { table: other, .. } = &mut action {
                    other.database = Some(self.database_of(other)?);
                }
                AlterAction::Partition(action)
            }
            ast::AlterAction::Options(options) => AlterAction::Options(self.options(options)?),
            ast::AlterAction::ConvertCharacterSet(options) => {
                let collation = match collation_of(options)? {
                    Some(collation) => collation,
                    // CONVERT TO CHARACTER SET DEFAULT: the database's.
                    None => self.database_collation(&table.database),
                };
                AlterAction::ConvertCharacterSet(collation)
            }
            ast::AlterAction::Rename(name) => {
                let database = name.database.clone().unwrap_or_else(|| table.database.clone());
                AlterAction::Rename(ObjectName { database, name: name.name.clone() })
            }
            ast::AlterAction::Nothing => AlterAction::Nothing,
        };
        actions.push(action);
        Ok(())
    }

    /// PRIMARY KEY, UNIQUE and CHECK of a column's definition.
    fn column_extras(
        &self,
        column: &ast::Column,
        table: &ObjectName,
        actions: &mut Vec<AlterAction>,
    ) -> Result<(), SqlError> {
        actions.extend(
            column_index(column).into_iter().map(|index| AlterAction::AddIndex { index, if_not_exists: false }),
        );
        if let Some(added) = &column.check {
            let known = self.context.catalog.table(&table.database, &table.name).map_or(0, |table| table.checks.len());
            refuse_other_columns(added, column, &table.name, known + 1)?;
            actions.push(AlterAction::AddCheck(check(added)));
        }
        Ok(())
    }

    fn create_view(&mut self, view: &ast::CreateView) -> Result<CreateView, SqlError> {
        let name = self.object(&view.name)?;
        self.check_view(view)?;
        if self.parameters.is_empty() {
            self.stars = Some(Default::default());
            self.replaced_view = (view.or_replace || view.alter).then(|| name.clone());
            let bound = self.framed_query(&view.query, Boundary::Top);
            self.replaced_view = None;
            let stars = self.stars.take().unwrap_or_default();
            if self.reads_variable {
                return Err(SqlError::new(ErrorCode(1351), "View's SELECT contains a variable or parameter"));
            }
            let query = bound?.0;
            self.refuse_temporary(&query)?;
            let mut select = view.select.clone();
            for (start, (end, columns)) in stars.into_iter().rev() {
                if let (Some(start), Some(end)) =
                    (start.checked_sub(view.select_start), end.checked_sub(view.select_start))
                    && select.get(start..end).is_some()
                {
                    select.replace_range(start..end, &columns);
                }
            }
            let mut query = match &view.columns {
                Some(columns) => super::table::renamed(query, columns)?,
                None => query,
            };
            for (position, field) in query.fields.iter_mut().enumerate() {
                let is_long = field.name.chars().count() > NAME_MAX;
                if is_long && view.columns.is_some() {
                    let text = format!("Identifier name '{}' is too long", field.name);
                    return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, text));
                }
                if is_long {
                    field.name = format!("Name_exp_{}", position + 1);
                }
            }
            for (position, field) in query.fields.iter().enumerate() {
                if query.fields[..position].iter().any(|other| other.name.eq_ignore_ascii_case(&field.name)) {
                    return Err(SqlError::new(
                        ErrorCode::DUP_FIELDNAME,
                        format!("Duplicate column name '{}'", field.name),
                    ));
                }
            }
            view.definer.as_deref().map_or(Ok(()), check_account)?;
            let definer = view.definer.clone().unwrap_or_else(|| self.context.definer.to_owned());
            return Ok(CreateView {
                name,
                or_replace: view.or_replace,
                columns: view.columns.clone(),
                select,
                query,
                definer: Some(definer),
                invoker: view.invoker,
                algorithm: view.algorithm.clone(),
                check_option: view.check_option.clone(),
                alter: view.alter,
            });
        }
        Err(SqlError::new(ErrorCode(1351), "View's SELECT contains a variable or parameter"))
    }
}

impl Binder<'_> {
    /// 1352: a view outlives the session.
    fn refuse_temporary(&self, query: &crate::sql::plan::Query) -> Result<(), SqlError> {
        let mut found = None;
        let mut look = |scan: &crate::sql::plan::Scan| {
            if self.context.catalog.is_temporary(&scan.table) {
                found = Some(scan.table.name.clone());
            }
        };
        scans(&query.root, &mut look);
        query.subqueries.iter().for_each(|subquery| scans(&subquery.query.root, &mut look));
        match found {
            Some(name) => {
                let text = format!("View's SELECT refers to a temporary table '{name}'");
                Err(SqlError::new(ErrorCode(1352), text))
            }
            None => Ok(()),
        }
    }
}

fn scans(node: &crate::sql::plan::Node, look: &mut dyn FnMut(&crate::sql::plan::Scan)) {
    if let crate::sql::plan::Node::Scan(scan) = node {
        look(scan);
    }
    node.inputs().into_iter().for_each(|input| scans(input, look));
}

/// 1470 for an account whose user or host is too long.
fn check_account(account: &str) -> Result<(), SqlError> {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, ""));
    for (text, what, characters_max) in [(user, "user", 32), (host, "host", 255)] {
        if text.chars().count() > characters_max {
            let shown: String = text.chars().take(70).collect();
            let text =
                format!("String '{shown}' is too long for {what} name (should be no longer than {characters_max})");
            return Err(SqlError::new(ErrorCode(1470), text));
        }
    }
    Ok(())
}

/// Characters in a name.
const NAME_MAX: usize = 64;

/// 1103 for a column that is written with another table's name.
fn check_owner(column: &ast::Column, table: &ObjectName) -> Result<(), SqlError> {
    match &column.table {
        Some(other) if *other != table.name => {
            Err(SqlError::new(ErrorCode(1103), format!("Incorrect table name '{other}'")))
        }
        _ => Ok(()),
    }
}

/// Digits of the seconds of a column that the clock can fill; those of NOW() must be as many.
fn clock_digits(kind: &TypeKind) -> Option<u64> {
    match kind {
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => Some(u64::from(*fsp)),
        _ => None,
    }
}

/// PRIMARY KEY and UNIQUE of a column's definition.
fn column_index(column: &ast::Column) -> Vec<IndexSpec> {
    let index = |primary: bool| IndexSpec {
        name: None,
        primary,
        unique: true,
        kind: crate::catalog::schema::IndexKind::Btree,
        parts: vec![(column.name.clone(), None, false)],
        expressions: Vec::new(),
        comment: String::new(),
        invisible: false,
    };
    let mut indexes = Vec::new();
    if column.primary {
        indexes.push(index(true));
    }
    if column.unique {
        indexes.push(index(false));
    }
    indexes
}

/// 1302: options of a table that name two character sets, the first one by its collation.
fn of_one_character_set(options: &ast::CharacterSet) -> Result<&ast::CharacterSet, SqlError> {
    if let (true, Some(collation), Some(charset)) = (options.collation_first, &options.collation, &options.charset) {
        let (first, second) = (collation_by_name(collation)?.charset(), Charset::from_name(charset)?);
        if first != second {
            let text = format!(
                "Conflicting declarations: 'CHARACTER SET {}' and 'CHARACTER SET {}'",
                first.name(),
                second.name()
            );
            return Err(SqlError::new(ErrorCode(1302), text));
        }
    }
    Ok(options)
}

/// CHECKs of the table that stand behind so many columns.
fn checks_at(table: &ast::CreateTable, columns: usize) -> impl Iterator<Item = CheckDef> {
    table.checks.iter().filter(move |(before, _)| *before == columns).map(|(_, added)| check(added))
}

/// 3813: the CHECK of a column is about that column alone. `number`: of its name, if it has none.
fn refuse_other_columns(check: &ast::Check, column: &ast::Column, table: &str, number: usize) -> Result<(), SqlError> {
    let named = syntax::visit_expressions(&check.expression, |part| {
        let name = match part {
            syntax::Expr::Identifier(name) if name.quote_style != Some(VARIABLE_QUOTE) => Some(name),
            syntax::Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        match name {
            Some(name) if !name.value.eq_ignore_ascii_case(&column.name) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    if named.is_continue() {
        return Ok(());
    }
    let name = check.name.clone().unwrap_or_else(|| format!("{table}_chk_{number}"));
    Err(SqlError::new(ErrorCode(3813), format!("Column check constraint '{name}' references other column.")))
}

/// A check without a name gets one from the executor: `t_chk_1`.
fn check(check: &ast::Check) -> CheckDef {
    CheckDef {
        name: check.name.clone().unwrap_or_default(),
        expression: canonical::text(&check.expression),
        enforced: check.enforced,
    }
}

/// Engine names as SHOW ENGINES writes them.
fn engine(name: &str) -> String {
    const KNOWN: [&str; 8] = ["InnoDB", "MyISAM", "MEMORY", "CSV", "ARCHIVE", "BLACKHOLE", "MRG_MYISAM", "FEDERATED"];
    KNOWN
        .iter()
        .find(|known| known.eq_ignore_ascii_case(name))
        .map_or_else(|| name.to_owned(), |known| (*known).to_owned())
}
