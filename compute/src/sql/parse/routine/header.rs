//! What stands before a body: names, parameters, characteristics, when a trigger fires, when an event runs.

use super::body::{Body, Owner, Rows, end_of, start_of};
use super::errors;
use crate::account::RoutineKind;
use crate::catalog::routine::{DataAccess, EventStatus, ParameterMode, TriggerEvent, TriggerTiming};
use crate::sql::parse::ast::{
    AlterEvent, AlterRoutine, Characteristics, CreateEvent, CreateRoutine, CreateTrigger, Kind, Parameter, Schedule,
};
use crate::sql::parse::words::Words;
use crate::sql::parse::{error, view};
use expr::SqlError;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// What a text defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Routine(RoutineKind),
    Trigger,
    Event,
    AlterRoutine(RoutineKind),
    AlterEvent,
}

/// By the words before the name: CREATE [OR REPLACE] [DEFINER = account] [AGGREGATE] kind.
pub(super) fn object(tokens: &[TokenWithSpan]) -> Option<Object> {
    /// An account has no more tokens than this.
    const HEAD_TOKENS_MAX: usize = 12;
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
        _ => None,
    };
    let creates = match word(0)?.as_str() {
        "create" => true,
        "alter" => false,
        _ => return None,
    };
    let mut at = 1;
    if word(at)? == "definer" {
        at += 1;
        const KINDS: [&str; 4] = ["procedure", "function", "trigger", "event"];
        while at < HEAD_TOKENS_MAX && !word(at).is_some_and(|word| KINDS.contains(&word.as_str())) {
            if word(at).is_some_and(|word| word == "view" || word == "sql") {
                return None;
            }
            at += 1;
        }
    }
    Some(match (word(at)?.as_str(), creates) {
        ("procedure", true) => Object::Routine(RoutineKind::Procedure),
        ("function", true) => Object::Routine(RoutineKind::Function),
        ("trigger", true) => Object::Trigger,
        ("event", true) => Object::Event,
        ("procedure", false) => Object::AlterRoutine(RoutineKind::Procedure),
        ("function", false) => Object::AlterRoutine(RoutineKind::Function),
        ("event", false) => Object::AlterEvent,
        _ => return None,
    })
}

impl Body<'_> {
    /// From CREATE or ALTER on.
    pub(super) fn definition(&mut self, object: Object) -> Result<Kind, SqlError> {
        self.at += 1;
        let definer = match self.take_word("definer") {
            true => self.with_parser(|parser| {
                parser.optional_equals();
                view::account(parser)
            })?,
            false => None,
        };
        self.at += 1;
        match object {
            Object::Routine(kind) => self.routine(kind, definer),
            Object::Trigger => self.trigger(definer),
            Object::Event => self.event(definer),
            Object::AlterRoutine(kind) => {
                let name = self.with_parser(|parser| parser.object_name())?;
                let characteristics = self.characteristics()?;
                Ok(Kind::AlterRoutine(Box::new(AlterRoutine { kind, name, characteristics })))
            }
            Object::AlterEvent => self.alter_event(definer),
        }
    }

    fn if_not_exists(&mut self) -> bool {
        let found = self.is(0, "if") && self.is(1, "not") && self.is(2, "exists");
        self.at += if found { 3 } else { 0 };
        found
    }

    fn routine(&mut self, kind: RoutineKind, definer: Option<String>) -> Result<Kind, SqlError> {
        let if_not_exists = self.if_not_exists();
        let name = self.with_parser(|parser| parser.object_name())?;
        if kind == RoutineKind::Function {
            self.owner = Owner::Function;
            if self.is(0, "returns") {
                return Err(SqlError::not_supported("CREATE FUNCTION ... SONAME"));
            }
        }
        let open = self.tokens.get(self.at).map_or(0, end_of);
        let parameters = self.parameters(kind)?;
        let close = self.tokens.get(self.at - 1).map_or(0, start_of);
        let parameters_text = self.text.get(open..close).unwrap_or_default().to_owned();
        let returns = match kind {
            RoutineKind::Procedure => None,
            RoutineKind::Function => {
                self.expect_word("returns")?;
                Some(self.type_name()?)
            }
        };
        let characteristics = self.characteristics()?;
        let body = self.text_of_body()?;
        if kind == RoutineKind::Function && !self.has_return {
            let full = name.database.as_ref().map_or(name.name.clone(), |database| format!("{database}.{}", name.name));
            return Err(errors::no_return(&full));
        }
        Ok(Kind::CreateRoutine(Box::new(CreateRoutine {
            definer,
            if_not_exists,
            kind,
            name,
            parameters,
            parameters_text,
            returns,
            characteristics,
            body,
            system_variables: std::mem::take(&mut self.program.system_variables),
        })))
    }

    /// Reads the body, and gives its text.
    fn text_of_body(&mut self) -> Result<String, SqlError> {
        let from = self.at;
        self.note_rows();
        self.statement()?;
        Ok(self.text_from(from)?.to_owned())
    }

    fn parameters(&mut self, kind: RoutineKind) -> Result<Vec<Parameter>, SqlError> {
        self.expect(&Token::LParen)?;
        let mut parameters: Vec<Parameter> = Vec::new();
        while !self.take(&Token::RParen) {
            if !parameters.is_empty() {
                self.expect(&Token::Comma)?;
            }
            let mut mode = ParameterMode::In;
            if kind == RoutineKind::Procedure && !matches!(self.peek(1), Some(Token::Comma | Token::RParen)) {
                for (word, given) in
                    [("inout", ParameterMode::InOut), ("in", ParameterMode::In), ("out", ParameterMode::Out)]
                {
                    if self.take_word(word) {
                        mode = given;
                        break;
                    }
                }
            }
            let name = self.name()?;
            if parameters.iter().any(|other| other.name.eq_ignore_ascii_case(&name)) {
                return Err(errors::parameter_again(&name));
            }
            let ty = self.type_name()?;
            self.variable(&name, None);
            parameters.push(Parameter { mode, name, ty });
        }
        Ok(parameters)
    }

    fn characteristics(&mut self) -> Result<Characteristics, SqlError> {
        let mut found = Characteristics::default();
        loop {
            if self.take_word("comment") {
                found.comment = Some(self.string()?);
            } else if self.is(0, "language") && self.is(1, "sql") {
                self.at += 2;
            } else if self.take_word("deterministic") {
                found.deterministic = Some(true);
            } else if self.is(0, "not") && self.is(1, "deterministic") {
                self.at += 2;
                found.deterministic = Some(false);
            } else if self.is(0, "contains") && self.is(1, "sql") {
                self.at += 2;
                found.data_access = Some(DataAccess::ContainsSql);
            } else if self.is(0, "no") && self.is(1, "sql") {
                self.at += 2;
                found.data_access = Some(DataAccess::NoSql);
            } else if self.is(0, "reads") && self.is(1, "sql") && self.is(2, "data") {
                self.at += 3;
                found.data_access = Some(DataAccess::ReadsSqlData);
            } else if self.is(0, "modifies") && self.is(1, "sql") && self.is(2, "data") {
                self.at += 3;
                found.data_access = Some(DataAccess::ModifiesSqlData);
            } else if self.is(0, "sql") && self.is(1, "security") {
                self.at += 2;
                found.invoker = Some(self.take_word("invoker"));
                if found.invoker == Some(false) {
                    self.expect_word("definer")?;
                }
            } else {
                return Ok(found);
            }
        }
    }

    fn string(&mut self) -> Result<String, SqlError> {
        match self.peek(0) {
            Some(Token::SingleQuotedString(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => Err(self.refuse()),
        }
    }

    fn trigger(&mut self, definer: Option<String>) -> Result<Kind, SqlError> {
        let if_not_exists = self.if_not_exists();
        let name = self.with_parser(|parser| parser.object_name())?;
        let timing = if self.take_word("before") {
            TriggerTiming::Before
        } else {
            self.expect_word("after")?;
            TriggerTiming::After
        };
        let event = if self.take_word("insert") {
            TriggerEvent::Insert
        } else if self.take_word("update") {
            TriggerEvent::Update
        } else {
            self.expect_word("delete")?;
            TriggerEvent::Delete
        };
        self.expect_word("on")?;
        let table = self.with_parser(|parser| parser.object_name())?;
        for word in ["for", "each", "row"] {
            self.expect_word(word)?;
        }
        let mut place = None;
        if (self.is(0, "follows") || self.is(0, "precedes")) && !matches!(self.peek(1), Some(Token::Colon)) {
            let follows = self.is(0, "follows");
            self.at += 1;
            place = Some((follows, self.name()?));
        }
        self.owner = Owner::Trigger(rows_of(timing, event));
        let body = self.text_of_body()?;
        let row_columns = std::mem::take(&mut self.program.row_columns);
        Ok(Kind::CreateTrigger(Box::new(CreateTrigger {
            definer,
            if_not_exists,
            name,
            timing,
            event,
            table,
            place,
            body,
            row_columns,
            system_variables: std::mem::take(&mut self.program.system_variables),
        })))
    }

    fn event(&mut self, definer: Option<String>) -> Result<Kind, SqlError> {
        let if_not_exists = self.if_not_exists();
        let name = self.with_parser(|parser| parser.object_name())?;
        self.expect_word("on")?;
        self.expect_word("schedule")?;
        let schedule = self.schedule()?;
        let preserve = self.completion()?;
        let status = self.status()?;
        let comment = if self.take_word("comment") { self.string()? } else { String::new() };
        self.expect_word("do")?;
        let body = self.text_of_body()?;
        Ok(Kind::CreateEvent(Box::new(CreateEvent {
            definer,
            if_not_exists,
            name,
            schedule,
            preserve: preserve.unwrap_or(false),
            status: status.unwrap_or(EventStatus::Enabled),
            comment,
            body,
        })))
    }

    fn alter_event(&mut self, definer: Option<String>) -> Result<Kind, SqlError> {
        let name = self.with_parser(|parser| parser.object_name())?;
        let mut schedule = None;
        if self.is(0, "on") && self.is(1, "schedule") {
            self.at += 2;
            schedule = Some(self.schedule()?);
        }
        let preserve = self.completion()?;
        let rename = match self.is(0, "rename") && self.is(1, "to") {
            true => {
                self.at += 2;
                Some(self.with_parser(|parser| parser.object_name())?)
            }
            false => None,
        };
        let status = self.status()?;
        let comment = if self.take_word("comment") { Some(self.string()?) } else { None };
        let body = if self.take_word("do") { Some(self.text_of_body()?) } else { None };
        Ok(Kind::AlterEvent(Box::new(AlterEvent { definer, name, schedule, preserve, rename, status, comment, body })))
    }

    /// `AT time`, or `EVERY count unit [STARTS time] [ENDS time]`, as texts of expressions.
    fn schedule(&mut self) -> Result<Schedule, SqlError> {
        const ENDS: [&str; 9] = ["starts", "ends", "on", "rename", "enable", "disable", "comment", "do", "preserve"];
        if self.take_word("at") {
            return Ok(Schedule::At(self.text_of_expression(&ENDS)?));
        }
        self.expect_word("every")?;
        let from = self.at;
        // The unit is the last word before what follows.
        self.skip_expression(&ENDS, true)?;
        self.at = self.at.saturating_sub(1);
        let unit = self.word_at(0).map(str::to_ascii_uppercase).ok_or_else(|| self.refuse())?;
        let count = self.text_from(from)?.to_owned();
        self.at += 1;
        if count.is_empty() || !crate::catalog::routine::INTERVAL_UNITS.contains(&unit.as_str()) {
            return Err(error::near(self.text, self.start()));
        }
        let starts = if self.take_word("starts") { Some(self.text_of_expression(&ENDS)?) } else { None };
        let ends = if self.take_word("ends") { Some(self.text_of_expression(&ENDS)?) } else { None };
        Ok(Schedule::Every { count, unit, starts, ends })
    }

    fn text_of_expression(&mut self, ends: &[&str]) -> Result<String, SqlError> {
        let from = self.at;
        self.skip_expression(ends, true)?;
        Ok(self.text_from(from)?.to_owned())
    }

    /// ON COMPLETION [NOT] PRESERVE.
    fn completion(&mut self) -> Result<Option<bool>, SqlError> {
        if !(self.is(0, "on") && self.is(1, "completion")) {
            return Ok(None);
        }
        self.at += 2;
        let preserve = !self.take_word("not");
        self.expect_word("preserve")?;
        Ok(Some(preserve))
    }

    fn status(&mut self) -> Result<Option<EventStatus>, SqlError> {
        if self.take_word("enable") {
            return Ok(Some(EventStatus::Enabled));
        }
        if !self.take_word("disable") {
            return Ok(None);
        }
        if self.is(0, "on") && (self.is(1, "slave") || self.is(1, "replica")) {
            self.at += 2;
            return Ok(Some(EventStatus::DisabledOnReplica));
        }
        Ok(Some(EventStatus::Disabled))
    }
}

/// What a trigger's body has of its row.
pub fn rows_of(timing: TriggerTiming, event: TriggerEvent) -> Rows {
    Rows {
        old: event != TriggerEvent::Insert,
        new: event != TriggerEvent::Delete,
        before: timing == TriggerTiming::Before,
    }
}
