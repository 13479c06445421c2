//! Prepared statements: parsed once; bound again where tables may have changed in between.

use super::Session;
use super::load::reads_file;
use super::result::StatementResult;
use super::source::Source;
use crate::sql::parse::{self, ast};
use crate::sql::plan::Field;
use expr::mysql_type::MysqlType;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

pub(super) struct PreparedStatement {
    text: Arc<str>,
    source: Arc<Source>,
}

/// What the answer to COM_STMT_PREPARE says.
#[derive(Debug, Clone)]
pub struct PreparedInfo {
    pub id: u32,
    /// Of each `?`.
    pub parameters: Vec<MysqlType>,
    /// Of the result; none for statements without rows.
    pub fields: Vec<Field>,
}

impl Session {
    /// COM_STMT_PREPARE. Finds the errors that do not depend on values.
    pub async fn prepare(&mut self, text: &str) -> Result<PreparedInfo, SqlError> {
        let statement = parse::parse(text, self.sql_mode()).inspect_err(|_| self.warnings.clear())?;
        // SHOW WARNINGS shows those of the statement before it, prepared or not.
        if !matches!(statement.kind, ast::Kind::Show(ast::Show::Warnings { .. })) {
            self.warnings.clear();
        }
        if reads_file(&statement) {
            return Err(not_preparable());
        }
        if statement.parameters > usize::from(u16::MAX) {
            return Err(SqlError::new(ErrorCode(1390), "Prepared statement contains too many placeholders"));
        }
        let (parameters, fields) = self.describe(&statement).await?;
        let id = self.next_prepared;
        self.next_prepared = self.next_prepared.wrapping_add(1).max(1);
        self.prepared.insert(id, PreparedStatement { text: text.into(), source: Arc::new(Source::new(statement)) });
        Ok(PreparedInfo { id, parameters, fields })
    }

    /// COM_STMT_EXECUTE.
    pub async fn execute(&mut self, id: u32, parameters: Vec<Value>) -> Result<StatementResult, SqlError> {
        let Some(prepared) = self.prepared.get(&id) else {
            let text = format!("Unknown prepared statement handler ({id}) given to EXECUTE");
            return Err(SqlError::new(ErrorCode::UNKNOWN_STMT_HANDLER, text));
        };
        let source = prepared.source.clone();
        let text = prepared.text.clone();
        self.began(&text);
        match self.run(&source, parameters.into()).await {
            Ok(StatementResult::Called) => self.proceed().await,
            outcome => self.conclude(outcome).await,
        }
    }

    pub fn close_prepared(&mut self, id: u32) {
        self.prepared.remove(&id);
    }

    /// PREPARE name FROM text.
    pub(super) async fn prepare_named(&mut self, name: &str, text: String) -> Result<(), SqlError> {
        let statement = parse::parse(&text, self.sql_mode())?;
        if matches!(
            statement.kind,
            ast::Kind::Prepare { .. } | ast::Kind::ExecutePrepared { .. } | ast::Kind::Deallocate(_)
        ) || reads_file(&statement)
        {
            return Err(not_preparable());
        }
        self.describe(&statement).await?;
        self.named.insert(name.to_lowercase(), text);
        Ok(())
    }

    /// The text of a statement that PREPARE named.
    pub(super) fn named_text(&self, name: &str) -> Result<String, SqlError> {
        self.named.get(&name.to_lowercase()).cloned().ok_or_else(|| unknown_name(name, "EXECUTE"))
    }

    pub(super) fn deallocate(&mut self, name: &str) -> Result<(), SqlError> {
        match self.named.remove(&name.to_lowercase()) {
            Some(_) => Ok(()),
            None => Err(unknown_name(name, "DEALLOCATE PREPARE")),
        }
    }
}

fn not_preparable() -> SqlError {
    let text = "This command is not supported in the prepared statement protocol yet";
    SqlError::new(ErrorCode::UNSUPPORTED_PS, text)
}

fn unknown_name(name: &str, command: &str) -> SqlError {
    let text = format!("Unknown prepared statement handler ({name}) given to {command}");
    SqlError::new(ErrorCode::UNKNOWN_STMT_HANDLER, text)
}
