//! The session's side of binding: what the binder asks it, and expressions of table definitions.

use super::variables::{self, Scope};
use super::{Engine, Session};
use crate::account::Rights;
use crate::catalog::virtual_tables::{self, ViewColumn};
use crate::catalog::{Catalog, TableDef, ViewDef};
use crate::execute::BindExpressions;
use crate::sql::bind::{self, BindContext, TEXT_CHARACTERS, VirtualColumns};
use crate::sql::parse::{ast, outline::Kind};
use crate::sql::plan::rules::{Statistics, Unnesting};
use crate::sql::plan::{Field, Prepared, Statement, VariableScope};
use common::id::ColumnId;
use common::service::page::ColumnFigures;
use expr::collation::{Charset, CollationId};
use expr::eval::SqlMode;
use expr::mysql_type::{BlobSize, MysqlType, TypeKind};
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};
use std::cell::Cell;
use std::sync::{Arc, PoisonError};

/// Digits of a fraction of a second, at most.
const FSP_MAX: u8 = 6;

/// A bound statement.
pub(super) struct Bound {
    pub prepared: Prepared,
    /// Nothing of the session went into it that may be different at the next execution: no values of system variables,
    /// no types of user variables.
    pub lasting: bool,
}

impl Session {
    /// Binds a statement against a catalog. `given`: see [`bind::bind_prepared`].
    pub(super) fn bind(
        &self,
        statement: &ast::Statement,
        catalog: &Catalog,
        given: &dyn Fn(usize) -> MysqlType,
    ) -> Result<Bound, SqlError> {
        self.bind_with(catalog, |context| bind::bind_prepared(statement, context, given))
    }

    /// Binds an outline; see [`bind::bind_outline`].
    pub(super) fn bind_outline(
        &self,
        statement: &ast::Statement,
        kinds: &[Kind],
        catalog: &Catalog,
    ) -> Result<Option<Bound>, SqlError> {
        let mut is_bound = true;
        let bound = self.bind_with(catalog, |context| {
            let prepared = bind::bind_outline(statement, kinds, context)?;
            is_bound = prepared.is_some();
            prepared.ok_or_else(|| SqlError::internal("an outline that is not bound; report it"))
        });
        if is_bound { bound.map(Some) } else { Ok(None) }
    }

    fn bind_with(
        &self,
        catalog: &Catalog,
        bind: impl FnOnce(&BindContext<'_>) -> Result<Prepared, SqlError>,
    ) -> Result<Bound, SqlError> {
        let rights = self.rights(catalog);
        let variables = self.user_variables.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = Cell::new(true);
        let variable = |scope: Option<VariableScope>, name: &str| {
            lasting.set(false);
            self.variable_value(scope, name)
        };
        let connection = self.connection_collation();
        let user_variable = |name: &str| {
            lasting.set(false);
            variables.get(name).map(|value| type_of(value, connection))
        };
        let statistics = OfSession { engine: &self.engine, unnesting: self.variables.effective().unnesting };
        let context = BindContext {
            catalog,
            database: self.database.as_deref(),
            sql_mode: self.sql_mode(),
            character_set_client: self.client_charset(),
            collation_connection: self.connection_collation(),
            select_limit: self.variables.effective().select_limit,
            definer: &self.identity.current_user,
            locals: self.frames.last().map(|frame| frame as &dyn bind::Locals),
            rights: &rights,
            variable: &variable,
            user_variable: &user_variable,
            virtual_table: &virtual_columns,
            statistics: &statistics,
        };
        let prepared = bind(&context)?;
        Ok(Bound { prepared, lasting: lasting.get() })
    }

    /// What PREPARE tells a client: types of parameters, columns of the result.
    pub(super) async fn describe(&self, statement: &ast::Statement) -> Result<(Vec<MysqlType>, Vec<Field>), SqlError> {
        let (catalog, _) = self.newest_catalog().await?;
        let text = parameter_type(&Value::Null, self.connection_collation());
        let prepared = self.bind(statement, &catalog, &|_| text.clone())?.prepared;
        let fields = match &prepared.statement {
            Statement::Query(query) if query.into_variables.is_empty() => query.fields.clone(),
            Statement::Show(show) => super::show::fields(show),
            Statement::Explain { format, .. } => super::explain::fields(*format),
            _ => Vec::new(),
        };
        let mut parameters = prepared.parameters;
        parameters.resize(statement.parameters, MysqlType::varchar(255, CollationId::UTF8MB4_0900_AI_CI));
        Ok((parameters, fields))
    }

    /// `@@name`. Without a scope: the session's value, else the server's.
    pub(super) fn variable_value(
        &self,
        scope: Option<VariableScope>,
        name: &str,
    ) -> Result<(Value, MysqlType), SqlError> {
        let variable = variables::lookup(name).ok_or_else(|| variables::unknown(name))?;
        match (scope, variable.scope) {
            (Some(VariableScope::Session), Scope::Global | Scope::ReadOnly) => {
                let text = format!("Variable '{name}' is a GLOBAL variable");
                return Err(SqlError::new(ErrorCode::INCORRECT_GLOBAL_LOCAL_VAR, text));
            }
            (Some(VariableScope::Global | VariableScope::Persist), Scope::Session) => {
                let text = format!("Variable '{name}' is a SESSION variable");
                return Err(SqlError::new(ErrorCode::INCORRECT_GLOBAL_LOCAL_VAR, text));
            }
            _ => {}
        }
        match variable.name {
            "last_insert_id" | "identity" => {
                return Ok((Value::UInt(self.last_insert_id), MysqlType::bigint_unsigned()));
            }
            "warning_count" => return Ok((Value::Int(self.counted.all as i64), MysqlType::bigint())),
            "error_count" => return Ok((Value::Int(self.counted.errors as i64), MysqlType::bigint())),
            "pseudo_thread_id" => return Ok((Value::UInt(self.handle.id), MysqlType::bigint_unsigned())),
            _ => {}
        }
        let global = matches!(scope, Some(VariableScope::Global | VariableScope::Persist))
            || matches!(variable.scope, Scope::Global | Scope::ReadOnly);
        if global {
            let globals = self.engine.globals();
            return Ok(variables::value(variable, globals.text(variable)));
        }
        Ok(variables::value(variable, self.variables.text(variable)))
    }

    /// Binds the expressions that definitions hold.
    pub(super) fn definition_binder(&self, catalog: Arc<Catalog>) -> Arc<dyn BindExpressions> {
        let rights = Rights::of_server();
        Arc::new(DefinitionBinder { catalog, collation: self.connection_collation(), rights })
    }
}

/// What is known of tables, and what the session wants of plans.
struct OfSession<'a> {
    engine: &'a Engine,
    unnesting: Unnesting,
}

impl Statistics for OfSession<'_> {
    fn rows(&self, table: &TableDef) -> u64 {
        self.engine.rows(table)
    }

    fn unnesting(&self) -> Unnesting {
        self.unnesting
    }

    fn column(&self, table: &TableDef, column: ColumnId) -> Option<Arc<ColumnFigures>> {
        self.engine.column(table, column)
    }
}

/// Definitions hold no queries to plan.
struct NoStatistics;

impl Statistics for NoStatistics {
    fn rows(&self, _table: &TableDef) -> u64 {
        0
    }
}

struct DefinitionBinder {
    catalog: Arc<Catalog>,
    collation: CollationId,
    rights: Arc<Rights>,
}

impl BindExpressions for DefinitionBinder {
    fn bind(&self, table: &TableDef, text: &str) -> Result<Expression, SqlError> {
        let context = definition_context(&self.catalog, &table.database, self.collation, &self.rights);
        bind::bind_table_expression(text, &Arc::new(table.clone()), &context)
    }
}

/// What definitions that the catalog keeps are bound in.
fn definition_context<'a>(
    catalog: &'a Catalog,
    database: &'a str,
    collation: CollationId,
    rights: &'a Arc<Rights>,
) -> BindContext<'a> {
    BindContext {
        catalog,
        database: Some(database),
        // Definitions are stored in the form that needs no mode.
        sql_mode: SqlMode::default(),
        // Definitions are kept as UTF-8.
        character_set_client: Charset::Utf8mb4,
        collation_connection: collation,
        select_limit: u64::MAX,
        definer: "",
        locals: None,
        rights,
        variable: &|_, name| Err(SqlError::not_supported(format!("@@{name} in a definition"))),
        user_variable: &|_| None,
        virtual_table: &virtual_columns,
        statistics: &NoStatistics,
    }
}

/// Of a view, for those who look at the catalog.
pub(super) fn view_columns(catalog: &Catalog, view: &ViewDef) -> Result<Vec<ViewColumn>, SqlError> {
    let rights = Rights::of_server();
    let context = definition_context(catalog, &view.database, CollationId::UTF8MB4_0900_AI_CI, &rights);
    let fields = bind::bind_view(view, &context)?;
    let column = |field: Field| ViewColumn {
        ty: field.ty,
        origin: field.origin.map(|origin| (origin.database, origin.original_table, origin.original_name)),
    };
    Ok(fields.into_iter().map(column).collect())
}

fn virtual_columns(database: &str, table: &str) -> Option<VirtualColumns> {
    let table = virtual_tables::lookup(database, table)?;
    Some(table.columns.iter().map(|column| (column.name.to_string(), column.ty.clone())).collect())
}

/// Of a user variable, by the value that it holds. Manual: "User-Defined Variables" (11.4). `text`: the collation of texts.
fn type_of(value: &Value, text: CollationId) -> MysqlType {
    match value {
        Value::Null => MysqlType::null(),
        Value::Int(_) => MysqlType::bigint(),
        Value::UInt(_) | Value::Bit(..) => MysqlType::bigint_unsigned(),
        Value::Float(_) | Value::Double(_) => MysqlType::double(),
        Value::Decimal(number) => {
            let kind = TypeKind::Decimal { precision: 65, scale: number.scale(), unsigned: false };
            MysqlType::new(kind)
        }
        Value::Bytes(bytes) => MysqlType::new(TypeKind::VarBinary { length: bytes.len() as u32 }),
        Value::Json(_) => MysqlType::new(TypeKind::Json),
        other => MysqlType::varchar(other.to_text().chars().count() as u32, text),
    }
}

/// Of a parameter whose surroundings ask for no type, by its value; of NULL, a text. `text`: the collation of texts.
pub(super) fn parameter_type(value: &Value, text: CollationId) -> MysqlType {
    match value {
        Value::Null | Value::Text(_) => MysqlType::varchar(TEXT_CHARACTERS, text),
        Value::Bytes(bytes) if bytes.len() > usize::from(u16::MAX) => {
            MysqlType::new(TypeKind::Blob { size: BlobSize::Long })
        }
        Value::Bytes(_) => MysqlType::new(TypeKind::VarBinary { length: u16::MAX.into() }),
        Value::Date(_) => MysqlType::new(TypeKind::Date),
        Value::Time(_) => MysqlType::new(TypeKind::Time { fsp: FSP_MAX }),
        Value::DateTime(_) => MysqlType::new(TypeKind::DateTime { fsp: FSP_MAX }),
        other => type_of(other, text),
    }
}
