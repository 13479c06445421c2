//! SHOW: most of it as a query over information_schema, with MySQL's column names.

use crate::account::{AccountName, Privileges, RoutineKind};
use crate::sql::bind::scope::{Block, Boundary};
use crate::sql::bind::{Binder, Frame, error};
use crate::sql::parse::ast::{self, Filter, Kind, Name};
use crate::sql::plan::account::AccountRef;
use crate::sql::plan::{ObjectName, Show, ShowFilter, ShownBody, Statement};
use expr::{ErrorCode, MysqlType, SqlError};

impl Binder<'_> {
    pub fn show(&mut self, show: &ast::Show) -> Result<Statement, SqlError> {
        Ok(Statement::Show(match show {
            ast::Show::CreateTable(name) => {
                let name = self.object(name)?;
                let own = self.context.catalog.names_temporary(&name.database, &name.name);
                if !own && !self.rights.sees_table(&name.database, &name.name) {
                    return Err(self.rights.table_denied("SHOW", &name.name));
                }
                match self.context.catalog.view(&name.database, &name.name) {
                    // Tools tell a view by the names of the columns.
                    Some(_) if !own => self.show_create_view(name)?,
                    _ => Show::CreateTable(name),
                }
            }
            ast::Show::CreateView(name) => {
                let name = self.object(name)?;
                self.show_create_view(name)?
            }
            ast::Show::CreateDatabase { name, if_not_exists } => {
                self.check_shown_database(name)?;
                Show::CreateDatabase { name: name.clone(), if_not_exists: *if_not_exists }
            }
            ast::Show::Variables { global, filter } => {
                Show::Variables { global: *global, filter: self.variable_filter(filter)? }
            }
            ast::Show::Status { global, filter } => {
                Show::Status { global: *global, filter: self.variable_filter(filter)? }
            }
            ast::Show::Warnings { limit, errors_only, count } => {
                Show::Warnings { limit: *limit, errors_only: *errors_only, count: *count }
            }
            ast::Show::ProcessList { full } => Show::ProcessList { full: *full },
            ast::Show::Grants { user, using } => Show::Grants {
                is_own: user.as_ref().is_none_or(|user| *user == AccountRef::Current),
                user: self.shown_account(user.as_ref().unwrap_or(&AccountRef::Current))?,
                using: using.clone(),
            },
            ast::Show::CreateUser(name) => Show::CreateUser(self.shown_account(name)?),
            ast::Show::Engines => Show::Engines,
            ast::Show::EngineStatus => Show::EngineStatus,
            ast::Show::Empty(columns) => Show::Empty(columns.iter().map(|column| (*column).to_owned()).collect()),
            ast::Show::CreateRoutine(kind, name) => Show::CreateRoutine(self.shown_body(kind, name)?),
            other => self.show_query(other)?,
        }))
    }

    /// 1044 for those of others, without SELECT on the tables of accounts.
    fn shown_account(&self, name: &AccountRef) -> Result<AccountName, SqlError> {
        let own = &self.rights.account;
        match name {
            AccountRef::Named(name) if name != own => {
                self.rights.require_database(Privileges::SELECT, "mysql")?;
                Ok(name.clone())
            }
            _ => Ok(own.clone()),
        }
    }

    /// What SHOW CREATE shows. An error where there is none, or it may not be seen.
    fn shown_body(&self, kind: &str, name: &Name) -> Result<ShownBody, SqlError> {
        let database = self.database_of(name)?;
        let catalog = self.context.catalog;
        let name = &name.name;
        match kind {
            "trigger" => {
                let trigger = catalog.database(&database).and_then(|of| of.triggers.get(name));
                let trigger = trigger.ok_or_else(|| SqlError::new(ErrorCode(1360), "Trigger does not exist"))?;
                self.rights.require_table(Privileges::TRIGGER, &database, &trigger.table)?;
                Ok(ShownBody::Trigger(trigger.clone()))
            }
            "event" => {
                self.rights.require_database(Privileges::EVENT, &database)?;
                let event = catalog.event(&database, name);
                let unknown = || SqlError::new(ErrorCode(1539), format!("Unknown event '{name}'"));
                Ok(ShownBody::Event(event.ok_or_else(unknown)?.clone()))
            }
            kind => {
                let routine = match kind {
                    "function" => RoutineKind::Function,
                    _ => RoutineKind::Procedure,
                };
                let found = catalog.routine(routine, &database, name).filter(|found| self.rights.sees_routine(found));
                let definition = found.cloned().ok_or_else(|| {
                    let text = format!("{} {name} does not exist", routine.sql());
                    SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, text)
                })?;
                let visible = self.rights.sees_body(&definition.body.definer);
                Ok(ShownBody::Routine { definition, visible })
            }
        }
    }

    /// LIKE, or WHERE over (Variable_name, Value).
    fn variable_filter(&mut self, filter: &Filter) -> Result<Option<ShowFilter>, SqlError> {
        Ok(match filter {
            Filter::None => None,
            Filter::Like(pattern) => Some(ShowFilter::Like(pattern.clone())),
            Filter::Where(condition) => {
                self.frames.push(Frame::new(Boundary::Top));
                let mut block = Block::new(Boundary::Top, self.frames.len() - 1);
                let text = MysqlType::varchar(1024, self.context.collation_connection);
                let fields: Vec<crate::sql::plan::Field> = ["Variable_name", "Value"]
                    .map(|name| crate::sql::plan::Field { name: name.to_owned(), ty: text.clone(), origin: None })
                    .to_vec();
                block.scope = super::query::scope_of(&fields);
                self.blocks.push(block);
                let bound = self.expression(condition)?;
                self.blocks.pop();
                let subqueries = self.frames.pop().is_some_and(|frame| !frame.subqueries.is_empty());
                if subqueries {
                    return Err(SqlError::not_supported("subqueries in SHOW VARIABLES"));
                }
                Some(ShowFilter::Where(bound))
            }
        })
    }

    fn show_create_view(&self, name: ObjectName) -> Result<Show, SqlError> {
        let needed = Privileges::SELECT | Privileges::SHOW_VIEW;
        self.rights.require_table(needed, &name.database, &name.name)?;
        Ok(Show::CreateView(name))
    }

    fn database_or_default(&self, database: &Option<String>) -> Result<String, SqlError> {
        let database = match (database, self.context.database) {
            (Some(database), _) => database.clone(),
            (None, Some(database)) => database.to_owned(),
            (None, None) => return Err(error::no_database()),
        };
        let known = self.context.catalog.database(&database).is_some()
            || super::table::VIRTUAL_DATABASES.contains(&database.to_ascii_lowercase().as_str());
        self.check_shown_database(&database)?;
        if known { Ok(database) } else { Err(error::unknown_database(&database)) }
    }

    /// Error 1146 if there is no such table.
    fn known_table(&self, name: &Name) -> Result<(String, String), SqlError> {
        let database = self.database_of(name)?;
        self.check_described(&database, &name.name)?;
        let database = self.database_or_default(&Some(database))?;
        let lower = database.to_ascii_lowercase();
        let is_virtual = super::table::VIRTUAL_DATABASES.contains(&lower.as_str());
        let found = self.context.catalog.table(&database, &name.name).is_some()
            || self.context.catalog.view(&database, &name.name).is_some();
        if found {
            return Ok((database, name.name.clone()));
        }
        let shown = if lower == "information_schema" { name.name.to_ascii_uppercase() } else { name.name.clone() };
        if is_virtual && (self.context.virtual_table)(&lower, &shown).is_some() {
            return Ok((lower, shown));
        }
        Err(self.missing(&database, &name.name))
    }

    fn show_query(&mut self, show: &ast::Show) -> Result<Show, SqlError> {
        let (inner, like, filter) = match show {
            ast::Show::Databases(filter) => {
                let name = named("Database", filter);
                (
                    format!("SELECT SCHEMA_NAME AS `{name}` FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME"),
                    name,
                    filter,
                )
            }
            ast::Show::Tables { full, database, filter } => {
                let database = self.database_or_default(database)?;
                let name = named(&format!("Tables_in_{database}"), filter);
                let kind = if *full { ", TABLE_TYPE AS `Table_type`" } else { "" };
                let text = format!(
                    "SELECT TABLE_NAME AS {}{kind} FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY \
                     TABLE_NAME",
                    super::canonical::quoted(&name),
                    quoted(&database)
                );
                (text, name, filter)
            }
            ast::Show::TableStatus { database, filter } => {
                let database = self.database_or_default(database)?;
                let text = format!(
                    "SELECT TABLE_NAME AS `Name`, ENGINE AS `Engine`, VERSION AS `Version`, ROW_FORMAT AS \
                     `Row_format`, TABLE_ROWS AS `Rows`, AVG_ROW_LENGTH AS `Avg_row_length`, DATA_LENGTH AS \
                     `Data_length`, MAX_DATA_LENGTH AS `Max_data_length`, INDEX_LENGTH AS `Index_length`, DATA_FREE AS \
                     `Data_free`, AUTO_INCREMENT AS `Auto_increment`, CREATE_TIME AS `Create_time`, UPDATE_TIME AS \
                     `Update_time`, CHECK_TIME AS `Check_time`, TABLE_COLLATION AS `Collation`, CHECKSUM AS \
                     `Checksum`, CREATE_OPTIONS AS `Create_options`, TABLE_COMMENT AS `Comment` FROM \
                     information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME",
                    quoted(&database)
                );
                (text, "Name".to_owned(), filter)
            }
            ast::Show::OpenTables { filter } => (
                "SELECT TABLE_SCHEMA AS `Database`, TABLE_NAME AS `Table`, 0 AS `In_use`, 0 AS `Name_locked` FROM \
                 information_schema.TABLES WHERE FALSE"
                    .to_owned(),
                "Table".to_owned(),
                filter,
            ),
            ast::Show::Columns { full, table, filter } => {
                let (database, table) = self.known_table(table)?;
                // Error 1356 for one that is not valid any more.
                if let Some(view) = self.context.catalog.view(&database, &table)
                    && !self.context.catalog.names_temporary(&database, &table)
                {
                    super::bind_view(view, &self.context)?;
                }
                let (collation, rest) = if *full {
                    (", COLLATION_NAME AS `Collation`", ", PRIVILEGES AS `Privileges`, COLUMN_COMMENT AS `Comment`")
                } else {
                    ("", "")
                };
                let text = format!(
                    "SELECT COLUMN_NAME AS `Field`, COLUMN_TYPE AS `Type`{collation}, IS_NULLABLE AS `Null`, \
                     COLUMN_KEY AS `Key`, COLUMN_DEFAULT AS `Default`, EXTRA AS `Extra`{rest} FROM \
                     information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
                    quoted(&database),
                    quoted(&table)
                );
                (text, "Field".to_owned(), filter)
            }
            ast::Show::Index { table, filter } => {
                let (database, table) = self.known_table(table)?;
                let text = format!(
                    "SELECT TABLE_NAME AS `Table`, NON_UNIQUE AS `Non_unique`, INDEX_NAME AS `Key_name`, SEQ_IN_INDEX \
                     AS `Seq_in_index`, COLUMN_NAME AS `Column_name`, COLLATION AS `Collation`, CARDINALITY AS \
                     `Cardinality`, SUB_PART AS `Sub_part`, PACKED AS `Packed`, NULLABLE AS `Null`, INDEX_TYPE AS \
                     `Index_type`, COMMENT AS `Comment`, INDEX_COMMENT AS `Index_comment`, IS_VISIBLE AS `Visible`, \
                     EXPRESSION AS `Expression` FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {} AND \
                     TABLE_NAME = {}",
                    quoted(&database),
                    quoted(&table)
                );
                (text, "Key_name".to_owned(), filter)
            }
            ast::Show::Collation(filter) => (
                "SELECT COLLATION_NAME AS `Collation`, CHARACTER_SET_NAME AS `Charset`, ID AS `Id`, IS_DEFAULT AS \
                 `Default`, IS_COMPILED AS `Compiled`, SORTLEN AS `Sortlen`, PAD_ATTRIBUTE AS `Pad_attribute` FROM \
                 information_schema.COLLATIONS ORDER BY COLLATION_NAME"
                    .to_owned(),
                "Collation".to_owned(),
                filter,
            ),
            ast::Show::CharacterSet(filter) => (
                "SELECT CHARACTER_SET_NAME AS `Charset`, DESCRIPTION AS `Description`, DEFAULT_COLLATE_NAME AS \
                 `Default collation`, MAXLEN AS `Maxlen` FROM information_schema.CHARACTER_SETS ORDER BY \
                 CHARACTER_SET_NAME"
                    .to_owned(),
                "Charset".to_owned(),
                filter,
            ),
            ast::Show::Plugins => (
                "SELECT PLUGIN_NAME AS `Name`, PLUGIN_STATUS AS `Status`, PLUGIN_TYPE AS `Type`, PLUGIN_LIBRARY AS \
                 `Library`, PLUGIN_LICENSE AS `License` FROM information_schema.PLUGINS"
                    .to_owned(),
                "Name".to_owned(),
                &Filter::None,
            ),
            ast::Show::Triggers { database, filter } => {
                let database = self.database_or_default(database)?;
                let text = format!(
                    "SELECT TRIGGER_NAME AS `Trigger`, EVENT_MANIPULATION AS `Event`, EVENT_OBJECT_TABLE AS `Table`, \
                     ACTION_STATEMENT AS `Statement`, ACTION_TIMING AS `Timing`, CREATED AS `Created`, SQL_MODE AS \
                     `sql_mode`, DEFINER AS `Definer`, CHARACTER_SET_CLIENT AS `character_set_client`, \
                     COLLATION_CONNECTION AS `collation_connection`, DATABASE_COLLATION AS `Database Collation` FROM \
                     information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {}",
                    quoted(&database)
                );
                (text, "Table".to_owned(), filter)
            }
            ast::Show::Events { database, filter } => {
                let database = self.database_or_default(database)?;
                self.rights.require_database(Privileges::EVENT, &database)?;
                let text = format!(
                    "SELECT EVENT_SCHEMA AS `Db`, EVENT_NAME AS `Name`, DEFINER AS `Definer`, TIME_ZONE AS `Time \
                     zone`, EVENT_TYPE AS `Type`, EXECUTE_AT AS `Execute at`, INTERVAL_VALUE AS `Interval value`, \
                     INTERVAL_FIELD AS `Interval field`, STARTS AS `Starts`, ENDS AS `Ends`, STATUS AS `Status`, \
                     ORIGINATOR AS `Originator`, CHARACTER_SET_CLIENT AS `character_set_client`, \
                     COLLATION_CONNECTION AS `collation_connection`, DATABASE_COLLATION AS `Database Collation` FROM \
                     information_schema.EVENTS WHERE EVENT_SCHEMA = {} ORDER BY EVENT_NAME",
                    quoted(&database)
                );
                (text, "Name".to_owned(), filter)
            }
            ast::Show::ProcedureStatus(filter) | ast::Show::FunctionStatus(filter) => {
                let kind = if matches!(show, ast::Show::FunctionStatus(_)) { "FUNCTION" } else { "PROCEDURE" };
                let text = format!(
                    "SELECT ROUTINE_SCHEMA AS `Db`, ROUTINE_NAME AS `Name`, ROUTINE_TYPE AS `Type`, \
                     EXTERNAL_LANGUAGE AS `Language`, DEFINER AS `Definer`, LAST_ALTERED AS `Modified`, CREATED AS \
                     `Created`, SECURITY_TYPE AS `Security_type`, ROUTINE_COMMENT AS `Comment`, CHARACTER_SET_CLIENT \
                     AS `character_set_client`, COLLATION_CONNECTION AS `collation_connection`, DATABASE_COLLATION AS \
                     `Database Collation` FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = '{kind}' ORDER BY \
                     ROUTINE_SCHEMA, ROUTINE_NAME"
                );
                (text, "Name".to_owned(), filter)
            }
            ast::Show::Privileges => return Ok(empty(&["Privilege", "Context", "Comment"])),
            other => return Err(SqlError::internal(format!("no query for {other:?}"))),
        };
        self.filtered(&inner, &like, filter)
    }

    /// Binds the text of a SHOW with its filter around it.
    fn filtered(&mut self, inner: &str, like: &str, filter: &Filter) -> Result<Show, SqlError> {
        let text = match filter {
            Filter::None => inner.to_owned(),
            Filter::Like(pattern) => format!(
                "SELECT * FROM ({inner}) `show` WHERE {} LIKE {}",
                super::canonical::quoted(like),
                quoted(pattern)
            ),
            Filter::Where(_) => format!("SELECT * FROM ({inner}) `show` WHERE TRUE"),
        };
        let statement = crate::sql::parse::parse(&text, expr::eval::SqlMode::default())?;
        let Kind::Query { mut query, .. } = statement.kind else {
            return Err(SqlError::internal("SHOW is not a query"));
        };
        if let (Filter::Where(condition), ast::syntax::SetExpr::Select(select)) = (filter, query.body.as_mut()) {
            select.selection = Some(condition.as_ref().clone());
        }
        let source = std::mem::replace(&mut self.source, statement.source);
        let bound = self.framed_query(&query, Boundary::Top);
        self.source = source;
        Ok(Show::Query(bound?.0))
    }
}

/// The name of the first column says what it was filtered by.
fn named(name: &str, filter: &Filter) -> String {
    match filter {
        Filter::Like(pattern) => format!("{name} ({pattern})"),
        _ => name.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn empty(columns: &[&str]) -> Show {
    Show::Empty(columns.iter().map(|column| (*column).to_owned()).collect())
}
