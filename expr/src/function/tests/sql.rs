//! Reads the SQL of test cases and evaluates it at once: literals, calls, and the forms with keywords.

use super::{Operand, call};
use crate::collation::CollationId;
use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::decimal::Decimal;
use crate::value::json::Json;

pub fn evaluate(sql: &str, context: &EvalContext) -> Result<Operand, SqlError> {
    let mut reader = Reader { sql, at: 0, context };
    let operand = reader.operand()?;
    reader.skip_space();
    assert_eq!(reader.at, sql.len(), "rest of {sql}: {}", &sql[reader.at..]);
    Ok(operand)
}

struct Reader<'s> {
    sql: &'s str,
    at: usize,
    context: &'s EvalContext,
}

fn literal(value: Value, ty: MysqlType) -> Operand {
    Operand { value, ty, literal: true }
}

pub fn text(content: &str) -> Operand {
    let length = content.chars().count() as u32;
    literal(Value::text(content), MysqlType::varchar(length, CollationId::UTF8MB4_0900_AI_CI))
}

fn bytes(content: Vec<u8>) -> Operand {
    let kind = TypeKind::VarBinary { length: content.len() as u32 };
    literal(Value::bytes(content), MysqlType::new(kind))
}

impl<'s> Reader<'s> {
    fn rest(&self) -> &'s str {
        &self.sql[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, wanted: &str) -> bool {
        self.skip_space();
        let found = self.rest().get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted));
        // A word must not go on.
        let word = wanted.ends_with(|character: char| character.is_ascii_alphanumeric());
        let goes_on = |next: char| word && (next.is_ascii_alphanumeric() || next == '_');
        if found && !self.rest()[wanted.len()..].starts_with(goes_on) {
            self.at += wanted.len();
            return true;
        }
        false
    }

    fn expect(&mut self, wanted: &str) {
        assert!(self.eat(wanted), "expected {wanted} at: {}", self.rest());
    }

    fn word(&mut self) -> String {
        self.skip_space();
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let length = self.rest().find(|character| !is_part(character)).unwrap_or(self.rest().len());
        let word = self.rest()[..length].to_ascii_uppercase();
        self.at += length;
        word
    }

    fn operand(&mut self) -> Result<Operand, SqlError> {
        let mut left = self.primary()?;
        loop {
            if self.eat("COLLATE") {
                let name = self.word();
                assert_eq!(name, "UTF8MB4_BIN", "the one collation that cases use");
                left.ty.collation = CollationId::UTF8MB4_BIN;
            } else if self.eat("MEMBER OF") {
                self.expect("(");
                let right = self.operand()?;
                self.expect(")");
                left = call("MEMBER OF", &[left, right], self.context)?;
            } else if self.eat("REGEXP") {
                let right = self.primary()?;
                left = call("REGEXP", &[left, right], self.context)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn primary(&mut self) -> Result<Operand, SqlError> {
        self.skip_space();
        match self.rest().chars().next() {
            Some('\'') => Ok(text(&self.quoted())),
            Some(digit) if digit.is_ascii_digit() || digit == '-' || digit == '.' => Ok(self.number()),
            _ => self.named(),
        }
    }

    fn quoted(&mut self) -> String {
        self.expect("'");
        let mut content = String::new();
        let mut characters = self.rest().char_indices().peekable();
        while let Some((offset, character)) = characters.next() {
            match character {
                '\'' if characters.next_if(|(_, next)| *next == '\'').is_some() => content.push('\''),
                '\'' => {
                    self.at += offset + 1;
                    return content;
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => content.push('\n'),
                    Some((_, 't')) => content.push('\t'),
                    Some((_, '0')) => content.push('\0'),
                    Some((_, 'Z')) => content.push('\x1A'),
                    Some((_, other)) => content.push(other),
                    None => break,
                },
                other => content.push(other),
            }
        }
        panic!("unclosed text in {}", self.sql)
    }

    fn number(&mut self) -> Operand {
        if self.rest().starts_with("0x") {
            self.at += 2;
            return bytes(hex::decode(self.word()).expect("hexadecimal digits"));
        }
        let is_part = |(index, character): (usize, char)| {
            let after_exponent = index > 0 && self.rest().as_bytes()[index - 1].eq_ignore_ascii_case(&b'e');
            character.is_ascii_digit()
                || character == '.'
                || character == 'e'
                || (character == '-' && (index == 0 || after_exponent))
        };
        let length = self.rest().char_indices().find(|part| !is_part(*part)).map_or(self.rest().len(), |(end, _)| end);
        let digits = &self.rest()[..length];
        self.at += length;
        if digits.contains('e') {
            return literal(Value::Double(digits.parse().expect("a double")), MysqlType::double());
        }
        if let Ok(number) = digits.parse::<i64>() {
            return literal(Value::Int(number), MysqlType::bigint());
        }
        if let Ok(number) = digits.parse::<u64>() {
            return literal(Value::UInt(number), MysqlType::bigint_unsigned());
        }
        let number = Decimal::parse(digits).expect("a decimal");
        let precision = number.digits().max(number.scale()).max(1);
        let kind = TypeKind::Decimal { precision, scale: number.scale(), unsigned: false };
        literal(Value::Decimal(number), MysqlType::new(kind))
    }

    fn named(&mut self) -> Result<Operand, SqlError> {
        let name = self.word();
        assert!(!name.is_empty(), "nothing to read at: {}", self.rest());
        match name.as_str() {
            "NULL" => return Ok(literal(Value::Null, MysqlType::null())),
            "TRUE" => return Ok(literal(Value::boolean(true), MysqlType::boolean())),
            "FALSE" => return Ok(literal(Value::boolean(false), MysqlType::boolean())),
            "X" => return Ok(bytes(hex::decode(self.quoted()).expect("hexadecimal digits"))),
            "BINARY" => {
                let operand = self.primary()?;
                return Ok(bytes(operand.value.to_bytes().into_owned()));
            }
            "DATE" | "TIME" | "TIMESTAMP" if self.rest().starts_with('\'') => return self.temporal(&name),
            _ => {}
        }
        self.expect("(");
        let mut operands = Vec::new();
        match name.as_str() {
            "TRIM" => return self.trim(),
            "CAST" => {
                let content = self.operand()?;
                self.expect("AS JSON");
                self.expect(")");
                let document = Json::parse(&content.value.to_text()).expect("a document");
                return Ok(literal(Value::Json(document), MysqlType::new(TypeKind::Json)));
            }
            "EXTRACT" => {
                operands.push(text(&self.word()));
                self.expect("FROM");
            }
            "TIMESTAMPDIFF" | "TIMESTAMPADD" | "GET_FORMAT" => {
                operands.push(text(&self.word()));
                self.expect(",");
            }
            _ => {}
        }
        while !self.eat(")") {
            if self.eat("INTERVAL") && !self.rest().starts_with('(') {
                operands.push(self.operand()?);
                operands.push(text(&self.word()));
            } else {
                operands.push(self.operand()?);
            }
            if !self.eat(",") && name == "POSITION" && self.eat("IN") {}
        }
        call(&name, &operands, self.context)
    }

    fn temporal(&mut self, name: &str) -> Result<Operand, SqlError> {
        let content = text(&self.quoted());
        let digits = content.value.to_text().split_once('.').map_or(0, |(_, digits)| digits.len() as u8);
        let value = match name {
            "DATE" => content.value.to_date(self.context)?.map(Value::Date),
            "TIME" => content.value.to_time(self.context)?.map(Value::Time),
            _ => content.value.to_datetime(self.context)?.map(Value::DateTime),
        };
        let kind = match name {
            "DATE" => TypeKind::Date,
            "TIME" => TypeKind::Time { fsp: digits },
            _ => TypeKind::DateTime { fsp: digits },
        };
        Ok(literal(value.expect("a date or time"), MysqlType::new(kind)))
    }

    fn trim(&mut self) -> Result<Operand, SqlError> {
        let sides = [("BOTH", "TRIM_BOTH"), ("LEADING", "TRIM_LEADING"), ("TRAILING", "TRIM_TRAILING")];
        let side = sides.iter().find(|(keyword, _)| self.eat(keyword)).map_or("TRIM", |(_, name)| name);
        let mut operands = vec![];
        if !self.eat("FROM") {
            operands.push(self.operand()?);
            if self.eat("FROM") {
                operands.insert(0, self.operand()?);
            }
        } else {
            operands.push(self.operand()?);
        }
        self.expect(")");
        call(side, &operands, self.context)
    }
}
