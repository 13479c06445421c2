//! DECLARE: variables, conditions, cursors, handlers, in that order at the start of a block.

use super::body::{Body, state};
use super::errors;
use super::program::{Condition, Cursor, Depth, Handler, Instruction, Target, Variable};
use crate::sql::parse::ast::Kind;
use crate::sql::parse::{ast, column};
use expr::SqlError;
use sqlparser::tokenizer::Token;

impl Body<'_> {
    /// All that stand here. `conditions` and `cursors`: how many there were before the block; `outside`: the block that
    /// the block is in.
    pub(super) fn declarations(&mut self, conditions: usize, cursors: usize, outside: usize) -> Result<(), SqlError> {
        let (mut after_cursor, mut after_handler) = (false, false);
        while self.take_word("declare") {
            let handler = ["continue", "exit", "undo"].iter().any(|word| self.is(0, word)) && self.is(1, "handler");
            if handler {
                after_handler = true;
                self.handler(outside)?;
            } else if self.is(1, "condition") {
                if after_cursor || after_handler {
                    return Err(errors::variable_after());
                }
                self.condition_name(conditions)?;
            } else if self.is(1, "cursor") {
                if after_handler {
                    return Err(errors::cursor_after());
                }
                after_cursor = true;
                self.cursor_name(cursors)?;
            } else {
                if after_cursor || after_handler {
                    return Err(errors::variable_after());
                }
                self.variables()?;
            }
            self.expect(&Token::SemiColon)?;
        }
        Ok(())
    }

    fn variables(&mut self) -> Result<(), SqlError> {
        let mut names = vec![self.name()?];
        while self.take(&Token::Comma) {
            names.push(self.name()?);
        }
        let ty = self.type_name()?;
        let default = if self.take_word("default") { Some(self.expression(&[])?) } else { None };
        for name in names {
            let known =
                self.program.scopes[self.scope].names.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name));
            if known {
                return Err(errors::variable_again(&name));
            }
            let slot = self.variable(&name, Some(ty.clone()));
            let value = match &default {
                Some(default) => default.clone(),
                None => self.null()?,
            };
            self.emit(Instruction::Set(Target::Slot(slot), value))?;
        }
        Ok(())
    }

    fn null(&self) -> Result<super::program::Code, SqlError> {
        let statement = Box::new(crate::sql::parse::parse("SELECT NULL", self.sql_mode)?);
        Ok(super::program::Code { statement, scope: self.scope })
    }

    /// Gives a variable its slot in the scope.
    pub(super) fn variable(&mut self, name: &str, ty: Option<ast::TypeName>) -> usize {
        let slot = self.program.variables.len();
        self.program.variables.push(Variable { name: name.to_owned(), ty });
        self.program.scopes[self.scope].names.push((name.to_lowercase(), slot));
        slot
    }

    /// A type with its attributes.
    pub(super) fn type_name(&mut self) -> Result<ast::TypeName, SqlError> {
        self.with_parser(column::type_name)
    }

    fn condition_name(&mut self, outside: usize) -> Result<(), SqlError> {
        let name = self.name()?;
        self.expect_word("condition")?;
        self.expect_word("for")?;
        let condition = match self.peek(0) {
            Some(Token::Number(digits, _)) => {
                self.at += 1;
                Condition::Code(self.code(digits)?)
            }
            _ => self.sqlstate()?,
        };
        if self.conditions[outside..].iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(errors::condition_again(&name));
        }
        self.conditions.push((name, condition));
        Ok(())
    }

    fn code(&self, digits: &str) -> Result<u16, SqlError> {
        match digits.parse() {
            Ok(0) | Err(_) => Err(self.refuse()),
            Ok(code) => Ok(code),
        }
    }

    fn sqlstate(&mut self) -> Result<Condition, SqlError> {
        self.expect_word("sqlstate")?;
        self.take_word("value");
        match self.peek(0) {
            Some(Token::SingleQuotedString(text)) => {
                self.at += 1;
                let state = state(text)?;
                if state.starts_with(b"00") {
                    return Err(errors::bad_state(text));
                }
                Ok(Condition::State(state))
            }
            _ => Err(self.refuse()),
        }
    }

    fn cursor_name(&mut self, outside: usize) -> Result<(), SqlError> {
        let name = self.name()?;
        self.expect_word("cursor")?;
        self.expect_word("for")?;
        if self.cursors[outside..].iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(errors::cursor_again(&name));
        }
        let from = self.at;
        let query = self.statement_code()?;
        match &query.statement.kind {
            Kind::Query { into, .. } if !into.is_empty() => {
                return Err(SqlError::new(expr::ErrorCode(1323), "Cursor SELECT must not have INTO"));
            }
            Kind::Query { .. } => {}
            // 1322: something else than a query.
            _ if self.tokens.get(from).is_some() => {
                return Err(SqlError::new(expr::ErrorCode(1322), "Cursor statement must be a SELECT"));
            }
            _ => return Err(self.refuse()),
        }
        let depth = self.depth.cursors;
        self.depth.cursors += 1;
        self.program.cursors.push(Cursor { query, depth });
        self.cursors.push((name, self.program.cursors.len() - 1));
        Ok(())
    }

    fn handler(&mut self, outside: usize) -> Result<(), SqlError> {
        let exits = self.is(0, "exit");
        if self.is(0, "undo") {
            return Err(self.refuse());
        }
        self.at += 1;
        self.expect_word("handler")?;
        self.expect_word("for")?;
        let mut conditions = Vec::new();
        loop {
            let condition = self.handled()?;
            let known = self.program.blocks[self.block].handlers.iter();
            let mut known = known.flat_map(|handler| &self.program.handlers[*handler].conditions);
            if conditions.contains(&condition) || known.any(|other| *other == condition) {
                return Err(errors::handler_again());
            }
            conditions.push(condition);
            if !self.take(&Token::Comma) {
                break;
            }
        }
        // The body stands where its declaration does, and is jumped over.
        let over = self.emit(Instruction::Jump { to: 0, leaves: self.depth })?;
        let start = self.here();
        let number = self.program.handlers.len();
        // Handlers of a block work inside of it. Leaving one, those around it are found by its depth.
        let block = self.program.blocks[self.block].depth;
        let depth = Depth { handlers: block.handlers, cursors: self.depth.cursors };
        self.program.handlers.push(Handler { conditions, exits, start, end: 0, depth });
        let inside = (self.block, self.depth);
        // A condition in a handler is for handlers further out.
        self.program.blocks.push(super::program::Block {
            parent: Some(outside),
            handlers: Vec::new(),
            depth: Depth { handlers: self.depth.handlers + 1, ..self.depth },
        });
        self.block = self.program.blocks.len() - 1;
        self.depth.handlers += 1;
        let body = self.statement();
        (self.block, self.depth) = inside;
        body?;
        self.emit(Instruction::EndHandler(number))?;
        let end = self.here();
        self.lead(over, end);
        self.program.blocks[self.block].handlers.push(number);
        Ok(())
    }

    fn handled(&mut self) -> Result<Condition, SqlError> {
        if self.take_word("sqlwarning") {
            return Ok(Condition::Warning);
        }
        if self.take_word("sqlexception") {
            return Ok(Condition::Exception);
        }
        if self.is(0, "not") && self.is(1, "found") {
            self.at += 2;
            return Ok(Condition::NotFound);
        }
        if self.is(0, "sqlstate") {
            return self.sqlstate();
        }
        if let Some(Token::Number(digits, _)) = self.peek(0) {
            self.at += 1;
            return Ok(Condition::Code(self.code(digits)?));
        }
        let name = self.name()?;
        self.condition(&name).cloned()
    }

    /// A declared condition. 1319.
    pub(super) fn condition(&self, name: &str) -> Result<&Condition, SqlError> {
        let found = self.conditions.iter().rev().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, condition)| condition).ok_or_else(|| errors::no_condition(name))
    }
}
