//! SHOW statements that the session answers itself.

use super::Session;
use super::engine::View;
use super::result::{ResultSet, StatementResult};
use crate::account::{self, AccountName};
use crate::catalog::Catalog;
use crate::catalog::virtual_tables::{self, VirtualContext};
use crate::execute::show::{self, ShowTable};
use crate::execute::show_routine;
use crate::sql::plan::{Field, Show, ShowFilter};
use expr::collation::CollationId;
use expr::error::{Warning, WarningLevel};
use expr::eval::{EvalContext, eval};
use expr::mysql_type::{IntDisplay, MysqlType, TypeKind};
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use futures::StreamExt;
use std::sync::Arc;

impl Session {
    /// The server's state as virtual tables and SHOW see it.
    pub(super) fn virtual_context(&self) -> VirtualContext {
        VirtualContext {
            server: Arc::new(View {
                engine: self.engine.clone(),
                session: self.variables.clone(),
                wire: self.wire.clone(),
            }),
            pages: Some(self.engine.services.remote.pages.clone()),
            wal: Some(self.engine.services.remote.wal.clone()),
            time_zone: self.variables.effective().time_zone,
            viewer: self.newest_rights(),
            view_columns: super::binding::view_columns,
            partitions: crate::sql::bind::partition::rows,
        }
    }

    /// All but `Show::Query`, which runs as a query.
    pub(super) async fn show(
        &mut self,
        statement: &Show,
        catalog: &Catalog,
        context: &EvalContext,
    ) -> Result<StatementResult, SqlError> {
        let virtual_context = self.virtual_context();
        let rows = match statement {
            Show::CreateTable(name) => {
                texts(show::create_table(catalog, &name.database, &name.name, &virtual_context).await?)
            }
            Show::CreateView(name) => texts(show::create_view(catalog, &name.database, &name.name)?),
            Show::CreateDatabase { name, if_not_exists } => {
                texts(show::create_database(catalog, name, *if_not_exists)?)
            }
            Show::ProcessList { full } => show::process_list(&virtual_context, *full),
            Show::Engines => texts(show::engines()),
            Show::EngineStatus => {
                let status = virtual_tables::innodb_status(catalog, &virtual_context, self.engine.clock.wall_us());
                vec![vec![Value::text("InnoDB"), Value::text(""), Value::text(status.await?)]]
            }
            Show::Variables { global, filter } => {
                filtered(show::variables(&virtual_context, false, *global), filter.as_ref(), context)?
            }
            Show::Status { global, filter } => {
                filtered(show::variables(&virtual_context, true, *global), filter.as_ref(), context)?
            }
            Show::Warnings { limit, errors_only, count } => self.warning_rows(*limit, *errors_only, *count),
            Show::Grants { user, is_own, using } => self.grant_rows(user, *is_own, using, catalog)?,
            Show::CreateUser(user) => match catalog.accounts.get(user) {
                Some(account) => vec![vec![Value::text(account::create_user(account))]],
                None => {
                    let text = format!("Operation SHOW CREATE USER failed for {}", user.literal());
                    return Err(SqlError::new(ErrorCode(1396), text));
                }
            },
            Show::CreateRoutine(shown) => texts(show_routine::create(shown, context.time_zone)),
            Show::Empty(_) => Vec::new(),
            Show::Query(_) => return Err(SqlError::internal("a SHOW that is a query came to be answered directly")),
        };
        Ok(result(fields(statement), rows))
    }

    fn grant_rows(
        &self,
        user: &AccountName,
        is_own: bool,
        using: &[AccountName],
        catalog: &Catalog,
    ) -> Result<Vec<Row>, SqlError> {
        let Some(account) = catalog.accounts.get(user) else {
            let text = format!("There is no such grant defined for user '{}' on host '{}'", user.user, user.host);
            return Err(SqlError::new(ErrorCode(1141), text));
        };
        let mandatory = super::identity::mandatory_roles(&self.engine.globals());
        if let Some(role) = using.iter().find(|it| !account.roles.contains_key(*it) && !mandatory.contains(it)) {
            let text = format!("{} is not granted to {}", role.quoted(), user.quoted());
            return Err(SqlError::new(ErrorCode(3530), text));
        }
        let active = self.rights(catalog).active_roles.clone();
        let roles = if is_own && using.is_empty() { &active } else { using };
        let lines = account::grants(account, roles, &catalog.accounts);
        Ok(lines.into_iter().map(|line| vec![Value::text(line)]).collect())
    }

    fn warning_rows(&self, limit: Option<(u64, u64)>, errors_only: bool, count: bool) -> Vec<Row> {
        let wanted = |warning: &&Warning| !errors_only || warning.level == WarningLevel::Error;
        let warnings = self.warnings.iter().filter(wanted);
        if count {
            return vec![vec![Value::Int(warnings.count() as i64)]];
        }
        let (offset, rows) = limit.unwrap_or((0, u64::MAX));
        warnings
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(rows).unwrap_or(usize::MAX))
            .map(|warning| {
                let level = match warning.level {
                    WarningLevel::Note => "Note",
                    WarningLevel::Warning => "Warning",
                    WarningLevel::Error => "Error",
                };
                vec![Value::text(level), Value::Int(warning.code.0.into()), Value::text(&warning.message)]
            })
            .collect()
    }
}

/// Columns of a SHOW, before it has run.
pub(super) fn fields(statement: &Show) -> Vec<Field> {
    let columns: &[&str] = match statement {
        Show::Query(query) => return query.fields.clone(),
        Show::Empty(columns) => return columns.iter().map(|name| field(name)).collect(),
        Show::CreateTable(_) => &["Table", "Create Table"],
        Show::CreateRoutine(shown) => show_routine::columns(shown),
        Show::CreateView(_) => &["View", "Create View", "character_set_client", "collation_connection"],
        Show::CreateDatabase { .. } => &["Database", "Create Database"],
        Show::ProcessList { .. } => &["Id", "User", "Host", "db", "Command", "Time", "State", "Info"],
        Show::Engines => &["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"],
        Show::EngineStatus => &["Type", "Name", "Status"],
        Show::Variables { .. } | Show::Status { .. } => &["Variable_name", "Value"],
        Show::Warnings { count: true, errors_only: true, .. } => &["@@session.error_count"],
        Show::Warnings { count: true, .. } => &["@@session.warning_count"],
        Show::Warnings { .. } => &["Level", "Code", "Message"],
        Show::Grants { user, .. } => return vec![field(&format!("Grants for {user}"))],
        Show::CreateUser(user) => return vec![field(&format!("CREATE USER for {user}"))],
    };
    let mut fields: Vec<Field> = columns.iter().map(|name| field(name)).collect();
    match statement {
        Show::Warnings { count: true, .. } => fields[0].ty = MysqlType::bigint(),
        Show::Warnings { .. } => fields[1].ty = MysqlType::bigint(),
        Show::ProcessList { .. } => {
            fields[0].ty = MysqlType::bigint_unsigned();
            fields[5].ty = MysqlType::new(TypeKind::Int { bytes: 4, unsigned: false, display: IntDisplay::default() });
        }
        _ => {}
    }
    fields
}

fn field(name: &str) -> Field {
    let ty = MysqlType::varchar(1024, CollationId::UTF8MB4_0900_AI_CI);
    Field { name: name.to_string(), ty, origin: None }
}

fn texts(table: ShowTable) -> Vec<Row> {
    let value = |text: Option<String>| text.map_or(Value::Null, Value::text);
    table.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect()
}

/// LIKE looks at the name, WHERE at name and value.
fn filtered(rows: Vec<Row>, filter: Option<&ShowFilter>, context: &EvalContext) -> Result<Vec<Row>, SqlError> {
    let Some(filter) = filter else { return Ok(rows) };
    let mut kept = Vec::new();
    for row in rows {
        let keeps = match filter {
            ShowFilter::Like(pattern) => like(&row[0].to_text(), pattern),
            ShowFilter::Where(condition) => eval(condition, &row, context)?.to_bool(context)? == Some(true),
        };
        if keeps {
            kept.push(row);
        }
    }
    Ok(kept)
}

/// LIKE over names: ASCII, in any case, with `%`, `_` and backslash.
fn like(name: &str, pattern: &str) -> bool {
    fn matches(name: &[u8], pattern: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'%', rest @ ..] => (0..=name.len()).any(|start| matches(&name[start..], rest)),
            [b'_', rest @ ..] => !name.is_empty() && matches(&name[1..], rest),
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
                name.first().is_some_and(|byte| byte.eq_ignore_ascii_case(literal)) && matches(&name[1..], rest)
            }
        }
    }
    matches(name.as_bytes(), pattern.as_bytes())
}

/// A result that is there already.
pub(super) fn result(fields: Vec<Field>, rows: Vec<Row>) -> StatementResult {
    let rows = futures::stream::iter((!rows.is_empty()).then_some(Ok(rows))).boxed();
    StatementResult::Rows(ResultSet { fields, rows, is_out_parameters: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_knows_its_wildcards() {
        assert!(like("sql_mode", "SQL%") && like("sql_mode", "sql\\_mode") && like("sql_mode", "___\\_%"));
        assert!(!like("sqlXmode", "sql\\_mode") && !like("sql_mode", "sql") && !like("", "_"));
    }
}
