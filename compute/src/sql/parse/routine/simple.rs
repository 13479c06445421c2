//! Single statements of a body: SET, cursors, and all those that are not a body's own.

use super::body::{Body, Owner};
use super::errors;
use super::program::{Code, Condition, Instruction, Target};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::{DiagnosticsTarget, Show};
use crate::sql::parse::ast::{IntoTarget, Kind, SetItem, Signal, SignalState};
use expr::SqlError;
use sqlparser::tokenizer::Token;

impl Body<'_> {
    /// OPEN c, CLOSE c, FETCH [[NEXT] FROM] c INTO a, b.
    pub(super) fn cursor(&mut self, verb: &str) -> Result<(), SqlError> {
        self.at += 1;
        if verb == "fetch" {
            if self.is(0, "next") && self.is(1, "from") {
                self.at += 1;
            }
            if self.is(0, "from") {
                self.at += 1;
            }
        }
        let name = self.name()?;
        let found = self.cursors.iter().rev().find(|(other, _)| other.eq_ignore_ascii_case(&name));
        let Some((_, cursor)) = found.cloned() else { return Err(errors::no_cursor(&name)) };
        let instruction = match verb {
            "open" => Instruction::Open(cursor),
            "close" => Instruction::Close(cursor),
            _ => {
                self.expect_word("into")?;
                let mut into = vec![self.target(false)?];
                while self.take(&Token::Comma) {
                    into.push(self.target(false)?);
                }
                Instruction::Fetch { cursor, into }
            }
        };
        self.emit(instruction)?;
        Ok(())
    }

    /// SET: each item by itself where one is a variable of the routine or NEW.x; else the statement as it is.
    pub(super) fn set(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        self.at += 1;
        const WHOLE: [&str; 5] = ["transaction", "names", "character", "charset", "password"];
        let is_whole =
            WHOLE.iter().any(|word| self.is(0, word)) && !matches!(self.peek(1), Some(Token::Eq | Token::Assignment));
        let scoped = ["global", "session", "local", "persist", "persist_only"].iter().any(|word| self.is(0, word))
            && self.is(1, "transaction");
        let role = (self.is(0, "role") || self.is(0, "default"))
            && !matches!(self.peek(1), Some(Token::Eq | Token::Assignment));
        if is_whole || scoped || role {
            self.at = start;
            return self.sql();
        }
        loop {
            self.set_item()?;
            if !self.take(&Token::Comma) {
                return Ok(());
            }
        }
    }

    fn set_item(&mut self) -> Result<(), SqlError> {
        let from = self.at;
        let assigns = |token: Option<&Token>| matches!(token, Some(Token::Eq | Token::Assignment));
        if assigns(self.peek(1))
            && let Some(Token::Word(word)) = self.peek(0)
            && word.quote_style != Some(VARIABLE_QUOTE)
            && let Some(slot) = self.program.slot(self.scope, &word.value)
        {
            self.at += 2;
            let value = self.expression(&[])?;
            self.emit(Instruction::Set(Target::Slot(slot), value))?;
            return Ok(());
        }
        if let (Owner::Trigger(_), Some(Token::Period)) = (self.owner, self.peek(1))
            && (self.is(0, "new") || self.is(0, "old"))
        {
            let target = self.target(false)?;
            if !assigns(self.peek(0)) {
                return Err(self.refuse());
            }
            self.at += 1;
            let value = self.expression(&[])?;
            self.emit(Instruction::Set(target, value))?;
            return Ok(());
        }
        // `SET sql_mode = v`: a bare name would be taken for a text.
        self.skip_expression(&[], true)?;
        let text = self.text_from(from)?;
        let mut text = format!("SET {text}");
        if let [.., sign, value] = &self.tokens[from..self.at]
            && assigns(Some(&sign.token))
            && let Token::Word(word) = &value.token
            && word.quote_style != Some(VARIABLE_QUOTE)
            && self.program.slot(self.scope, &word.value).is_some()
        {
            let start = text.len() - (super::body::end_of(value) - super::body::start_of(value));
            text.insert(start, '(');
            text.push(')');
        }
        let code = self.parsed(&text, from)?;
        if let Kind::Set(items) = &code.statement.kind {
            let system = items.iter().filter_map(|item| match item {
                SetItem::System { name, .. } => Some(name.clone()),
                _ => None,
            });
            self.program.system_variables.extend(system);
        }
        if let Kind::Set(items) = &code.statement.kind
            && self.owner.is_nested()
            && items.iter().any(|item| matches!(item, SetItem::System { name, .. } if name == "autocommit"))
        {
            return Err(errors::commits());
        }
        self.emit(Instruction::Run(code))?;
        Ok(())
    }

    /// A statement that is not a body's own.
    pub(super) fn sql(&mut self) -> Result<(), SqlError> {
        let code = self.statement_code()?;
        self.emit(Instruction::Run(code))?;
        Ok(())
    }

    /// The statement up to its semicolon, parsed and looked at.
    pub(super) fn statement_code(&mut self) -> Result<Code, SqlError> {
        let from = self.at;
        while !matches!(self.peek(0), None | Some(Token::SemiColon)) {
            self.at += 1;
        }
        let text = self.text_from(from)?;
        let mut code = self.parsed(text, from)?;
        let mut kind = std::mem::replace(&mut code.statement.kind, Kind::UnlockTables);
        let checked = self.check(&mut kind);
        code.statement.kind = kind;
        checked?;
        Ok(code)
    }

    fn parsed(&self, text: &str, from: usize) -> Result<Code, SqlError> {
        let statement = crate::sql::parse::parse(text, self.sql_mode).map_err(|error| self.placed(error, from))?;
        if statement.parameters > 0 {
            return Err(crate::sql::parse::error::near(self.text, super::body::start_of(&self.tokens[from])));
        }
        Ok(Code { statement: Box::new(statement), scope: self.scope })
    }

    /// What is not for this kind of routine; names of conditions and variables that the statement has.
    fn check(&self, kind: &mut Kind) -> Result<(), SqlError> {
        let nested = self.owner.is_nested();
        match kind {
            Kind::Use(_) => return Err(errors::not_allowed("USE")),
            Kind::LockTables(_) => return Err(errors::not_allowed("LOCK")),
            Kind::UnlockTables => return Err(errors::not_allowed("UNLOCK")),
            Kind::Insert(insert) if matches!(insert.source, crate::sql::parse::ast::InsertSource::File(_)) => {
                return Err(errors::not_allowed("LOAD DATA"));
            }
            Kind::CreateView(view) if view.alter => return Err(errors::not_allowed("ALTER VIEW")),
            Kind::CreateRoutine(_) | Kind::AlterRoutine(_) | Kind::DropRoutine(_)
                if nested || matches!(kind, Kind::CreateRoutine(_)) =>
            {
                // 1303 for those inside of procedures.
                return Err(match nested {
                    true => errors::commits(),
                    false => SqlError::new(
                        expr::ErrorCode(1303),
                        "Can't create a PROCEDURE from within another stored routine",
                    ),
                });
            }
            Kind::Prepare { .. } | Kind::ExecutePrepared { .. } | Kind::Deallocate(_) if nested => {
                return Err(errors::dynamic());
            }
            Kind::Query { into, .. } => {
                if into.is_empty() && nested {
                    return Err(errors::gives_rows(self.owner.word()));
                }
                for target in into {
                    if let IntoTarget::Local(name) = target
                        && self.program.slot(self.scope, name).is_none()
                    {
                        return Err(errors::undeclared(name));
                    }
                }
            }
            Kind::Show(Show::Warnings { .. }) | Kind::Show(_) | Kind::Explain { .. } | Kind::Maintenance { .. }
                if nested =>
            {
                return Err(errors::gives_rows(self.owner.word()));
            }
            Kind::Signal(signal) => self.check_signal(signal)?,
            Kind::GetDiagnostics(diagnostics) => {
                for target in diagnostics.targets() {
                    if let DiagnosticsTarget::Named(name) = target
                        && self.program.slot(self.scope, name).is_none()
                    {
                        return Err(errors::undeclared(name));
                    }
                }
            }
            kind if nested && commits(kind) => return Err(errors::commits()),
            _ => {}
        }
        Ok(())
    }

    /// A condition's name becomes its SQLSTATE.
    fn check_signal(&self, signal: &mut Signal) -> Result<(), SqlError> {
        if let Some(SignalState::Named(name)) = &signal.state {
            match self.condition(name)? {
                Condition::State(state) => signal.state = Some(SignalState::State(*state)),
                _ => return Err(errors::condition_by_code()),
            }
        }
        Ok(())
    }
}

/// Ends the transaction that is open.
fn commits(kind: &Kind) -> bool {
    match kind {
        Kind::Begin { .. } | Kind::Commit { .. } | Kind::Flush { .. } | Kind::Account(_) => true,
        Kind::Rollback { .. } => true,
        Kind::CreateTable(table) => !table.temporary,
        Kind::CreateTableLike { temporary, .. } | Kind::DropTables { temporary, .. } => !temporary,
        Kind::CreateDatabase { .. }
        | Kind::AlterDatabase { .. }
        | Kind::DropDatabase { .. }
        | Kind::AlterTable { .. }
        | Kind::RenameTables(_)
        | Kind::Truncate(_)
        | Kind::CreateView(_)
        | Kind::DropViews { .. } => true,
        _ => false,
    }
}
