//! STR_TO_DATE: reads a date or time by a pattern, the inverse of DATE_FORMAT.

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::Call;
use crate::function::date_time::format::{DAY_NAMES, MONTH_NAMES};
use crate::function::date_time::full_year;

use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::temporal::{Date, DateRules, DateTime, MICROS_PER_SECOND, Time, day_number, from_day_number};

/// Where the pattern is not known when the statement is planned.
pub fn result_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::DateTime { fsp: 6 }))
}

/// A date, a time or both, by what the pattern has.
pub fn result_by_literal(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    let Some(Some(Value::Text(pattern))) = literals.get(1) else { return result_type(types) };
    let mut specifiers = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            specifiers.extend(characters.next());
        }
    }
    let has = |any_of: &str| specifiers.iter().any(|specifier| any_of.contains(*specifier));
    let fsp = if has("f") { 6 } else { 0 };
    let kind = match (has("abcDdejMmUuVvWwXxYy"), has("fHhIiklprSsT")) {
        (true, false) => TypeKind::Date,
        (false, true) => TypeKind::Time { fsp },
        _ => TypeKind::DateTime { fsp },
    };
    Ok(MysqlType::new(kind))
}

pub fn str_to_date(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let (text, pattern) = (arguments[0].to_text(), arguments[1].to_text());
    let mut parsed = Parsed::default();
    let value = parsed.read(&text, &pattern).and_then(|rest| {
        // The parts are checked one by one: April has 31 days here, as in MySQL.
        let rules = DateRules { invalid_days: true, ..DateRules::of_mode(context.sql_mode) };
        let value = parsed.value(call.result_type, rules)?;
        Some((value, !rest.trim().is_empty()))
    });
    let Some((value, has_more)) = value else {
        let kind = if matches!(call.result_type.kind, TypeKind::Time { .. }) { "time" } else { "datetime" };
        let message = format!("Incorrect {kind} value: '{text}' for function str_to_date");
        context.warn(ErrorCode::WRONG_VALUE_FOR_TYPE, message);
        return Ok(Value::Null);
    };
    if has_more {
        let kind = if matches!(value, Value::Date(_)) { "date" } else { "datetime" };
        context.warn(ErrorCode::TRUNCATED_WRONG_VALUE, format!("Truncated incorrect {kind} value: '{text}'"));
    }
    Ok(value)
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Parsed {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    /// The hour was written for a clock of 12 hours.
    hour_of_12: bool,
    day_of_year: Option<i64>,
    /// 0 for Monday.
    weekday: Option<i64>,
    week: Option<Week>,
    week_year: Option<i64>,
}

/// A week by number; of a week year (`%V`, `%v`) or of the calendar year (`%U`, `%u`).
#[derive(Debug, Clone, Copy)]
struct Week {
    number: i64,
    monday_first: bool,
    of_week_year: bool,
}

impl Parsed {
    /// What is left of the text when the pattern is used up; a text that ends early leaves parts at 0.
    fn read<'t>(&mut self, text: &'t str, pattern: &str) -> Option<&'t str> {
        let mut rest = text;
        let mut characters = pattern.chars();
        loop {
            rest = rest.trim_start();
            let Some(character) = characters.next() else { return Some(rest) };
            if rest.is_empty() {
                return Some(rest);
            }
            match character {
                '%' => rest = self.specified(rest, characters.next()?)?,
                space if space.is_whitespace() => {}
                literal => rest = rest.strip_prefix(literal)?,
            }
        }
    }

    fn specified<'t>(&mut self, rest: &'t str, specifier: char) -> Option<&'t str> {
        match specifier {
            'Y' => {
                let (year, after) = number(rest, 4)?;
                self.year = if rest.len() - after.len() <= 2 { full_year(year) } else { year };
                Some(after)
            }
            'y' => number_into(rest, 2, |year| self.year = full_year(year)),
            'm' | 'c' => number_into(rest, 2, |month| self.month = month),
            'd' | 'e' => number_into(rest, 2, |day| self.day = day),
            'D' => number_into(rest, 2, |day| self.day = day)?.get(2..),
            'M' => name(rest, &MONTH_NAMES, false).map(|(index, after)| (self.month = index + 1, after).1),
            'b' => name(rest, &MONTH_NAMES, true).map(|(index, after)| (self.month = index + 1, after).1),
            'W' => name(rest, &DAY_NAMES, false).map(|(index, after)| (self.weekday = Some(index), after).1),
            'a' => name(rest, &DAY_NAMES, true).map(|(index, after)| (self.weekday = Some(index), after).1),
            'w' => {
                let (day, after) = number(rest, 1).filter(|(day, _)| *day < 7)?;
                self.weekday = Some((day + 6) % 7);
                Some(after)
            }
            'j' => number_into(rest, 3, |day| self.day_of_year = Some(day)),
            'H' | 'k' => number_into(rest, 2, |hour| self.hour = hour),
            'h' | 'I' | 'l' => {
                self.hour_of_12 = true;
                number_into(rest, 2, |hour| self.hour = hour)
            }
            'i' => number_into(rest, 2, |minute| self.minute = minute),
            's' | 'S' => number_into(rest, 2, |second| self.second = second),
            'f' => {
                let (digits, after) = number(rest, 6)?;
                self.micros = digits * 10i64.pow(6 - (rest.len() - after.len()) as u32);
                Some(after)
            }
            'p' => {
                let half = rest.get(..2)?.to_ascii_uppercase();
                self.afternoon = Some(match half.as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                rest.get(2..)
            }
            'r' => self.read(rest, "%I:%i:%S %p"),
            'T' => self.read(rest, "%H:%i:%S"),
            'U' | 'u' | 'V' | 'v' => {
                let (number, after) = number(rest, 2).filter(|(week, _)| *week <= 53)?;
                let (monday_first, of_week_year) = (matches!(specifier, 'u' | 'v'), matches!(specifier, 'V' | 'v'));
                self.week = Some(Week { number, monday_first, of_week_year });
                Some(after)
            }
            'X' | 'x' => number_into(rest, 4, |year| self.week_year = Some(year)),
            '.' => Some(rest.trim_start_matches(|character: char| character.is_ascii_punctuation())),
            '@' => Some(rest.trim_start_matches(char::is_alphabetic)),
            '#' => Some(rest.trim_start_matches(|character: char| character.is_ascii_digit())),
            '%' => rest.strip_prefix('%'),
            _ => None,
        }
    }

    fn date(&self, rules: DateRules) -> Option<Date> {
        if let Some(day) = self.day_of_year.filter(|day| *day > 0) {
            let year = u16::try_from(self.year).ok()?;
            return from_day_number(day_number(Date::from_parts(year, 1, 1)) + day - 1);
        }
        if let (Some(week), Some(weekday)) = (self.week, self.weekday) {
            return self.date_of_week(week, weekday);
        }
        let (year, month, day) = (u16::try_from(self.year).ok()?, u8::try_from(self.month).ok()?, self.day);
        let date = Date::from_parts(year, month.min(15), u8::try_from(day).ok()?.min(31));
        (month <= 12 && day <= 31 && rules.allow(date)).then_some(date)
    }

    /// `weekday` from Monday. `%V` goes with `%X`, `%v` with `%x`, the others with `%Y`.
    fn date_of_week(&self, week: Week, weekday: i64) -> Option<Date> {
        let year = if week.of_week_year { self.week_year? } else { self.year };
        if week.of_week_year && week.number == 0 {
            return None;
        }
        let first = Date::from_parts(u16::try_from(year).ok().filter(|year| *year <= 9999)?, 1, 1);
        let (day_in_week, first_in_week) = match week.monday_first {
            true => (weekday, i64::from(first.weekday())),
            false => ((weekday + 1) % 7, (i64::from(first.weekday()) + 1) % 7),
        };
        let week_one_is_later = if week.monday_first { first_in_week > 3 } else { first_in_week != 0 };
        let week_one = day_number(first) - first_in_week + if week_one_is_later { 7 } else { 0 };
        from_day_number(week_one + (week.number - 1) * 7 + day_in_week)
    }

    fn micros_of_day(&self) -> Option<i64> {
        let hour = match (self.hour_of_12, self.afternoon) {
            (false, None) => self.hour,
            (false, Some(_)) => return None,
            (true, _) if !(1..=12).contains(&self.hour) => return None,
            (true, afternoon) => self.hour % 12 + if afternoon == Some(true) { 12 } else { 0 },
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        Some(((hour * 60 + self.minute) * 60 + self.second) * MICROS_PER_SECOND + self.micros)
    }

    fn value(&self, ty: &MysqlType, rules: DateRules) -> Option<Value> {
        let micros = self.micros_of_day()?;
        Some(match ty.kind {
            TypeKind::Date => Value::Date(self.date(rules)?),
            TypeKind::Time { fsp } => Value::Time(Time::new(micros, fsp)),
            TypeKind::DateTime { fsp } => Value::DateTime(DateTime::new(self.date(rules)?, micros, fsp)),
            _ => return None,
        })
    }
}

/// At least one and at most `digits_max` digits.
fn number(text: &str, digits_max: usize) -> Option<(i64, &str)> {
    let length = text.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    Some((digits.parse().ok()?, rest))
}

fn number_into(text: &str, digits_max: usize, set: impl FnOnce(i64)) -> Option<&str> {
    let (number, rest) = number(text, digits_max)?;
    set(number);
    Some(rest)
}

/// Index of the name that the text starts with, in any case; `short` names have three letters.
fn name<'t>(text: &'t str, names: &[&str], short: bool) -> Option<(i64, &'t str)> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, _) = text.split_at(letters);
    let position = names.iter().position(|name| {
        let wanted = if short { &name[..3] } else { name };
        word.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
    })?;
    let length = if short { 3 } else { names[position].len() };
    Some((position as i64, &text[length..]))
}
