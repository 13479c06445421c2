//! The body of a routine: blocks, branches, loops; everything becomes steps as it is read.
//!
//! Works on the lexer's tokens. What is no statement of a body's own is cut out up to its semicolon and given to the
//! parser of statements; expressions are cut out at the word that ends them and parsed as `SELECT expression`.

use super::errors;
use super::program::{Block, Code, Depth, Instruction, Program, Scope, Step, Target};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::parse::{NESTING_MAX, dialect, error};
use expr::SqlError;
use expr::eval::SqlMode;
use expr::sqlstate::SqlState;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// What a body belongs to: some statements are for procedures only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Of events, too.
    Procedure,
    Function,
    Trigger(Rows),
}

/// What a trigger's body has of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    pub old: bool,
    pub new: bool,
    pub before: bool,
}

impl Owner {
    /// Runs inside of another statement.
    pub fn is_nested(self) -> bool {
        self != Owner::Procedure
    }

    pub fn word(self) -> &'static str {
        match self {
            Owner::Procedure => "procedure",
            Owner::Function => "function",
            Owner::Trigger(_) => "trigger",
        }
    }
}

/// Steps that one body may have: what fits into a statement's text, and far from what memory holds.
const STEPS_MAX: usize = 1 << 20;

pub(super) struct Body<'t> {
    pub text: &'t str,
    pub tokens: &'t [TokenWithSpan],
    pub at: usize,
    pub sql_mode: SqlMode,
    pub owner: Owner,
    pub program: Program,
    pub has_return: bool,
    /// Where the statement that is being read stands.
    pub scope: usize,
    pub block: usize,
    pub depth: Depth,
    labels: Vec<Label>,
    nesting: usize,
    /// DECLARE ... CONDITION and CURSOR in sight, innermost last; of a condition None is an error number.
    pub conditions: Vec<(String, super::program::Condition)>,
    pub cursors: Vec<(String, usize)>,
}

struct Label {
    name: Option<String>,
    /// ITERATE goes here; blocks have none.
    start: Option<usize>,
    /// Jumps out, to be given their goal.
    leaves: Vec<usize>,
    depth: Depth,
    /// Labels further out than a handler's body are out of sight inside it.
    handlers: usize,
}

impl<'t> Body<'t> {
    pub fn new(text: &'t str, tokens: &'t [TokenWithSpan], sql_mode: SqlMode, owner: Owner) -> Body<'t> {
        let program = Program { scopes: vec![Scope::default()], blocks: vec![Block::default()], ..Program::default() };
        Body {
            text,
            tokens,
            at: 0,
            sql_mode,
            owner,
            program,
            has_return: false,
            scope: 0,
            block: 0,
            depth: Depth::default(),
            labels: Vec::new(),
            nesting: 0,
            conditions: Vec::new(),
            cursors: Vec::new(),
        }
    }

    // Tokens.

    pub fn peek(&self, ahead: usize) -> Option<&'t Token> {
        self.tokens.get(self.at + ahead).map(|token| &token.token)
    }

    /// The word `ahead` tokens further, if it is one without quotes.
    pub fn word_at(&self, ahead: usize) -> Option<&'t str> {
        match self.peek(ahead) {
            Some(Token::Word(word)) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    pub fn is(&self, ahead: usize, word: &str) -> bool {
        self.word_at(ahead).is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let found = self.is(0, word);
        self.at += usize::from(found);
        found
    }

    pub fn expect_word(&mut self, word: &str) -> Result<(), SqlError> {
        if self.take_word(word) { Ok(()) } else { Err(self.refuse()) }
    }

    pub fn take(&mut self, token: &Token) -> bool {
        let found = self.peek(0) == Some(token);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.take(token) { Ok(()) } else { Err(self.refuse()) }
    }

    /// A plain or quoted identifier; `@name` is none.
    pub fn name(&mut self) -> Result<String, SqlError> {
        match self.peek(0) {
            Some(Token::Word(word)) if word.quote_style != Some(VARIABLE_QUOTE) => {
                self.at += 1;
                Ok(word.value.clone())
            }
            _ => Err(self.refuse()),
        }
    }

    pub fn start(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), start_of)
    }

    /// 1064 at the next token.
    pub fn refuse(&self) -> SqlError {
        error::near(self.text, self.start())
    }

    /// The text of the tokens from `from` to here.
    pub fn text_from(&self, from: usize) -> Result<&'t str, SqlError> {
        let (Some(first), Some(last)) = (self.tokens.get(from), self.tokens.get(self.at.wrapping_sub(1))) else {
            return Err(self.refuse());
        };
        if self.at <= from {
            return Err(self.refuse());
        }
        self.text.get(start_of(first)..end_of(last)).ok_or_else(|| self.refuse())
    }

    /// Has a function that reads from sqlparser's parser read what comes next, up to a semicolon.
    pub fn with_parser<T>(&mut self, read: impl FnOnce(&mut Parser<'_>) -> Parsed<T>) -> Result<T, SqlError> {
        let rest = &self.tokens[self.at.min(self.tokens.len())..];
        let end = rest.iter().position(|token| token.token == Token::SemiColon).unwrap_or(rest.len());
        let dialect = dialect::MysqlText { sql_mode: self.sql_mode };
        let mut parser =
            Parser::new(&dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(rest[..end].to_vec());
        let outcome = read(&mut parser);
        let offset = parser.offset();
        let value = outcome.map_err(|failure| error::from_parser(failure, self.text, offset))?;
        while self.at < self.tokens.len() && self.start() < offset && self.peek(0) != Some(&Token::SemiColon) {
            self.at += 1;
        }
        Ok(value)
    }

    // Steps.

    pub fn here(&self) -> usize {
        self.program.steps.len()
    }

    pub fn emit(&mut self, instruction: Instruction) -> Result<usize, SqlError> {
        let at = self.here();
        if at >= STEPS_MAX {
            return Err(error::too_deep());
        }
        self.program.steps.push(Step { instruction, block: self.block, resume: at + 1 });
        Ok(at)
    }

    fn jump(&mut self, to: usize) -> Result<usize, SqlError> {
        let leaves = self.depth;
        self.emit(Instruction::Jump { to, leaves })
    }

    /// Gives a jump its goal.
    pub fn lead(&mut self, step: usize, goal: usize) {
        match &mut self.program.steps[step].instruction {
            Instruction::Jump { to, .. } | Instruction::JumpUnless(_, to) => *to = goal,
            _ => {}
        }
    }

    /// An expression up to one of the words or tokens that end it, parsed.
    pub fn expression(&mut self, ends: &[&str]) -> Result<Code, SqlError> {
        let from = self.at;
        self.skip_expression(ends, true)?;
        let text = self.text_from(from)?;
        self.code_of_expression(text, from)
    }

    /// Moves to what ends an expression.
    pub fn skip_expression(&mut self, ends: &[&str], stops_at_comma: bool) -> Result<(), SqlError> {
        let (mut parentheses, mut cases) = (0usize, 0usize);
        while let Some(token) = self.peek(0) {
            let outside = parentheses == 0 && cases == 0;
            match token {
                Token::SemiColon => break,
                Token::LParen => parentheses += 1,
                Token::RParen if parentheses == 0 => break,
                Token::RParen => parentheses -= 1,
                Token::Comma if outside && stops_at_comma => break,
                Token::Word(word) if word.quote_style.is_none() => {
                    if outside && ends.iter().any(|end| word.value.eq_ignore_ascii_case(end)) {
                        break;
                    }
                    if word.value.eq_ignore_ascii_case("case") {
                        cases += 1;
                    } else if word.value.eq_ignore_ascii_case("end") {
                        cases = cases.saturating_sub(1);
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Ok(())
    }

    fn code_of_expression(&self, text: &str, from: usize) -> Result<Code, SqlError> {
        let parsed = crate::sql::parse::parse(&format!("SELECT {text}"), self.sql_mode);
        let statement = parsed.map_err(|error| self.placed(error, from))?;
        match &statement.kind {
            crate::sql::parse::ast::Kind::Query { into, .. } if into.is_empty() && statement.parameters == 0 => {}
            _ => return Err(error::near(self.text, self.tokens.get(from).map_or(0, start_of))),
        }
        Ok(Code { statement: Box::new(statement), scope: self.scope })
    }

    /// A syntax error in a piece of the text is one of the text.
    pub fn placed(&self, error: SqlError, from: usize) -> SqlError {
        match error.code {
            expr::ErrorCode::PARSE_ERROR => error::near(self.text, self.tokens.get(from).map_or(0, start_of)),
            _ => error,
        }
    }

    /// NEW.x and OLD.x, to be looked up when the trigger is made.
    pub fn note_rows(&mut self) {
        for window in self.tokens[self.at..].windows(3) {
            let [row, dot, column] = window else { continue };
            if let (Token::Word(row), Token::Period, Token::Word(column)) = (&row.token, &dot.token, &column.token) {
                let is_new = row.value.eq_ignore_ascii_case("new");
                if is_new || row.value.eq_ignore_ascii_case("old") {
                    self.program.row_columns.push((is_new, column.value.clone()));
                }
            }
        }
    }

    // Statements.

    pub fn statement(&mut self) -> Result<(), SqlError> {
        if self.nesting >= NESTING_MAX {
            return Err(error::too_deep());
        }
        self.nesting += 1;
        let outcome = stacker::maybe_grow(128 << 10, 2 << 20, || self.any_statement());
        self.nesting -= 1;
        outcome
    }

    fn any_statement(&mut self) -> Result<(), SqlError> {
        if matches!(self.peek(1), Some(Token::Colon)) {
            return self.labelled();
        }
        let Some(verb) = self.word_at(0).map(str::to_ascii_lowercase) else {
            // A query in parentheses.
            return self.sql();
        };
        match verb.as_str() {
            "begin" => self.compound(None),
            "loop" | "while" | "repeat" => self.compound(None),
            "if" => self.branches(),
            "case" => self.case(),
            "leave" | "iterate" => self.leave(&verb),
            "return" => self.return_value(),
            "open" | "fetch" | "close" => self.cursor(&verb),
            "set" => self.set(),
            "declare" => Err(self.refuse()),
            _ => self.sql(),
        }
    }

    /// Statements up to one of the words.
    fn statements(&mut self, ends: &[&str]) -> Result<(), SqlError> {
        loop {
            self.statement()?;
            self.expect(&Token::SemiColon)?;
            if ends.iter().any(|end| self.is(0, end)) {
                return Ok(());
            }
        }
    }

    fn labelled(&mut self) -> Result<(), SqlError> {
        let name = self.name()?;
        self.expect(&Token::Colon)?;
        let visible = self.labels.iter().filter(|label| label.handlers == self.depth.handlers);
        for label in visible {
            if label.name.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(&name)) {
                return Err(errors::label_again(&name));
            }
        }
        if !["begin", "loop", "while", "repeat"].iter().any(|word| self.is(0, word)) {
            return Err(self.refuse());
        }
        self.compound(Some(name))
    }

    /// BEGIN, LOOP, WHILE, REPEAT, with or without a label.
    fn compound(&mut self, label: Option<String>) -> Result<(), SqlError> {
        let start = (!self.is(0, "begin")).then(|| self.here());
        let name = label.clone();
        let (depth, handlers) = (self.depth, self.depth.handlers);
        self.labels.push(Label { name, start, leaves: Vec::new(), depth, handlers });
        let end = if self.take_word("begin") {
            Some(self.block_of_statements()?)
        } else if self.take_word("loop") {
            self.statements(&["end"])?;
            self.expect_word("end")?;
            self.expect_word("loop")?;
            self.jump(start.unwrap_or_default())?;
            None
        } else if self.take_word("while") {
            let condition = self.expression(&["do"])?;
            self.expect_word("do")?;
            let test = self.emit(Instruction::JumpUnless(condition, 0))?;
            self.statements(&["end"])?;
            self.expect_word("end")?;
            self.expect_word("while")?;
            self.jump(start.unwrap_or_default())?;
            let end = self.here();
            self.lead(test, end);
            self.program.steps[test].resume = end;
            None
        } else {
            self.expect_word("repeat")?;
            self.statements(&["until"])?;
            self.expect_word("until")?;
            let condition = self.expression(&["end"])?;
            self.expect_word("end")?;
            self.expect_word("repeat")?;
            self.emit(Instruction::JumpUnless(condition, start.unwrap_or_default()))?;
            None
        };
        let end = end.unwrap_or_else(|| self.here());
        let leaves = self.labels.pop().map(|label| label.leaves).unwrap_or_default();
        for step in leaves {
            self.lead(step, end);
        }
        // An end label.
        if !matches!(self.peek(0), None | Some(Token::SemiColon)) {
            let given = self.name()?;
            if !label.is_some_and(|label| label.eq_ignore_ascii_case(&given)) {
                return Err(errors::label_mismatch(&given));
            }
        }
        Ok(())
    }

    /// After BEGIN, up to its END. Gives where leaving it goes.
    fn block_of_statements(&mut self) -> Result<usize, SqlError> {
        let outside = (self.scope, self.block, self.depth);
        let (conditions, cursors) = (self.conditions.len(), self.cursors.len());
        self.program.scopes.push(Scope { parent: Some(self.scope), names: Vec::new() });
        self.scope = self.program.scopes.len() - 1;
        self.program.blocks.push(Block { parent: Some(self.block), handlers: Vec::new(), depth: self.depth });
        self.block = self.program.blocks.len() - 1;
        let block = self.block;
        self.declarations(conditions, cursors, outside.1)?;
        while !self.is(0, "end") {
            self.statement()?;
            self.expect(&Token::SemiColon)?;
        }
        self.expect_word("end")?;
        (self.scope, self.block, self.depth) = outside;
        self.conditions.truncate(conditions);
        self.cursors.truncate(cursors);
        let depth = self.depth;
        let end = self.emit(Instruction::EndBlock(depth))?;
        for handler in self.program.blocks[block].handlers.clone() {
            self.program.handlers[handler].end = end;
        }
        Ok(end)
    }

    fn branches(&mut self) -> Result<(), SqlError> {
        self.expect_word("if")?;
        let mut ends = Vec::new();
        let mut tests = Vec::new();
        loop {
            let condition = self.expression(&["then"])?;
            self.expect_word("then")?;
            let test = self.emit(Instruction::JumpUnless(condition, 0))?;
            tests.push(test);
            self.statements(&["elseif", "else", "end"])?;
            if self.is(0, "end") {
                let end = self.here();
                self.lead(test, end);
                break;
            }
            ends.push(self.jump(0)?);
            let next = self.here();
            self.lead(test, next);
            if self.take_word("else") {
                self.statements(&["end"])?;
                break;
            }
            self.expect_word("elseif")?;
        }
        self.expect_word("end")?;
        self.expect_word("if")?;
        self.finish_branches(&tests, &ends);
        Ok(())
    }

    /// All branches go on behind the statement; so does a CONTINUE handler for a condition.
    fn finish_branches(&mut self, tests: &[usize], ends: &[usize]) {
        let end = self.here();
        for &step in ends {
            self.lead(step, end);
        }
        for &test in tests {
            self.program.steps[test].resume = end;
        }
    }

    fn case(&mut self) -> Result<(), SqlError> {
        self.expect_word("case")?;
        let from = self.at;
        let operand = match self.is(0, "when") {
            true => None,
            false => {
                self.skip_expression(&["when"], true)?;
                Some(self.text_from(from)?)
            }
        };
        let (mut tests, mut ends) = (Vec::new(), Vec::new());
        let mut otherwise = false;
        while self.take_word("when") {
            let from = self.at;
            self.skip_expression(&["then"], true)?;
            let value = self.text_from(from)?;
            let condition = match operand {
                Some(operand) => self.code_of_expression(&format!("({operand}) = ({value})"), from)?,
                None => self.code_of_expression(value, from)?,
            };
            self.expect_word("then")?;
            let test = self.emit(Instruction::JumpUnless(condition, 0))?;
            tests.push(test);
            self.statements(&["when", "else", "end"])?;
            ends.push(self.jump(0)?);
            let next = self.here();
            self.lead(test, next);
        }
        if tests.is_empty() {
            return Err(self.refuse());
        }
        if self.take_word("else") {
            otherwise = true;
            self.statements(&["end"])?;
        }
        self.expect_word("end")?;
        self.expect_word("case")?;
        if !otherwise {
            self.emit(Instruction::NoCase)?;
        }
        self.finish_branches(&tests, &ends);
        Ok(())
    }

    fn leave(&mut self, verb: &str) -> Result<(), SqlError> {
        self.at += 1;
        let name = self.name()?;
        let iterates = verb == "iterate";
        let handlers = self.depth.handlers;
        let found = self.labels.iter().rposition(|label| {
            label.handlers == handlers
                && label.name.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(&name))
                && (!iterates || label.start.is_some())
        });
        let Some(found) = found else { return Err(errors::no_label(&verb.to_ascii_uppercase(), &name)) };
        let (leaves, start) = (self.labels[found].depth, self.labels[found].start);
        let step = self.emit(Instruction::Jump { to: start.unwrap_or_default(), leaves })?;
        if !iterates {
            self.labels[found].leaves.push(step);
        }
        Ok(())
    }

    fn return_value(&mut self) -> Result<(), SqlError> {
        if self.owner != Owner::Function {
            return Err(errors::return_outside());
        }
        self.at += 1;
        self.has_return = true;
        let value = self.expression(&[])?;
        self.emit(Instruction::Return(value))?;
        Ok(())
    }

    /// A variable, NEW.column, or `@name`.
    pub fn target(&mut self, may_be_user: bool) -> Result<Target, SqlError> {
        if let Some(Token::Word(word)) = self.peek(0)
            && word.quote_style == Some(VARIABLE_QUOTE)
        {
            if !may_be_user || word.value.starts_with("@@") {
                return Err(self.refuse());
            }
            self.at += 1;
            return Ok(Target::User(word.value.trim_start_matches('@').to_ascii_lowercase()));
        }
        let name = self.name()?;
        if let Owner::Trigger(_) = self.owner
            && self.take(&Token::Period)
        {
            let column = self.name()?;
            return self.row_target(&name, column);
        }
        match self.program.slot(self.scope, &name) {
            Some(slot) => Ok(Target::Slot(slot)),
            None => Err(errors::undeclared(&name)),
        }
    }

    pub fn row_target(&self, row: &str, column: String) -> Result<Target, SqlError> {
        let Owner::Trigger(rows) = self.owner else { return Err(self.refuse()) };
        if row.eq_ignore_ascii_case("old") {
            return Err(errors::row_is_fixed("OLD", ""));
        }
        if !row.eq_ignore_ascii_case("new") {
            return Err(self.refuse());
        }
        match rows {
            Rows { new: false, .. } => Err(errors::no_row("NEW", "DELETE")),
            Rows { before: false, .. } => Err(errors::row_is_fixed("NEW", "after ")),
            _ => Ok(Target::New(column)),
        }
    }
}

pub(super) fn start_of(token: &TokenWithSpan) -> usize {
    (token.span.start.column as usize).saturating_sub(1)
}

pub(super) fn end_of(token: &TokenWithSpan) -> usize {
    (token.span.end.column as usize).saturating_sub(1)
}

/// `'45000'` as a state. 1407 for others.
pub(super) fn state(text: &str) -> Result<SqlState, SqlError> {
    let well_formed = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    match text.as_bytes().try_into() {
        Ok(state) if well_formed => Ok(state),
        _ => Err(errors::bad_state(text)),
    }
}
