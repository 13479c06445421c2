//! Dates and times from text, as liberally as MySQL takes them: any punctuation between parts, parts without leading
//! zeros, two-digit years, all digits in one run. Manual: "Date and Time Literals" (11.1.3).

use super::number::TWO_DIGIT_YEAR_PIVOT;
use super::{Date, DateRules, DateTime, MICROS_PER_SECOND, Time};

#[derive(Debug, Clone, Copy)]
pub struct ParsedDateTime {
    pub value: DateTime,
    /// There was no time of day.
    pub date_only: bool,
    /// Something followed that does not belong to it.
    pub truncated: bool,
    /// Seconds east of UTC, where the text ends in `+02:00`.
    pub offset_seconds: Option<i32>,
}

#[derive(Debug, Clone, Copy)]
pub struct ParsedTime {
    pub value: Time,
    pub truncated: bool,
    /// It was longer than 838:59:59, which is what `value` is then.
    pub out_of_range: bool,
}

const YEAR: usize = 0;
const DAY: usize = 2;
const SECOND: usize = 5;
const FRACTION: usize = 6;
const PARTS: usize = 7;

/// A date with or without time; `None` for what is no date, or one that the rules do not allow.
pub fn parse_datetime(text: &str, rules: DateRules) -> Option<ParsedDateTime> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.skip_space();
    if !scanner.at_digit() {
        return None;
    }
    let run = scanner.rest().iter().position(|byte| !byte.is_ascii_digit() && *byte != b'T');
    let digits = run.unwrap_or(scanner.rest().len());
    let one_run = run.is_none() || scanner.rest().get(digits) == Some(&b'.');
    let year_width = if !one_run || matches!(digits, 4 | 8) || digits >= 14 { 4 } else { 2 };
    let parts = scan_parts(&mut scanner, one_run, year_width)?;

    let [mut year, month, day, hour, minute, second, fraction] = parts.numbers;
    let not_zero = parts.numbers.iter().any(|number| *number != 0);
    let year_digits = if one_run { year_width } else { parts.lengths[YEAR] };
    if year_digits == 2 && not_zero {
        year += if (year as i64) < TWO_DIGIT_YEAR_PIVOT { 2000 } else { 1900 };
    }
    if parts.count < 3 || year > 9999 || month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = Date::from_parts(year as u16, month as u8, day as u8);
    let fsp = parts.lengths[FRACTION].min(6) as u8;
    let micros = fraction as i64 * 10i64.pow(6 - fsp as u32);
    let micros_of_day = (hour as i64 * 3600 + minute as i64 * 60 + second as i64) * MICROS_PER_SECOND + micros;
    if date.is_zero() && micros_of_day != 0 {
        // A time on the zero date counts as a date with zero parts.
        if !rules.zero_parts {
            return None;
        }
    } else if !rules.allow(date) {
        return None;
    }
    let mut value = DateTime::new(date, micros_of_day, fsp);
    if fsp == 6 && scanner.at_digit() {
        // The seventh digit rounds; the others say nothing more.
        let round_up = scanner.rest()[0] >= b'5';
        while scanner.at_digit() {
            scanner.position += 1;
        }
        if round_up {
            value = add_microsecond(value)?;
        }
    }
    let offset_seconds = if parts.count > 3 { scan_offset(&mut scanner)? } else { None };
    scanner.skip_space();
    Some(ParsedDateTime {
        value,
        date_only: parts.count <= 3,
        truncated: scanner.position < scanner.text.len(),
        offset_seconds,
    })
}

fn add_microsecond(value: DateTime) -> Option<DateTime> {
    if value.micros_of_day() + 1 < super::MICROS_PER_DAY {
        return Some(DateTime::new(value.date(), value.micros_of_day() + 1, value.fsp()));
    }
    Some(DateTime::new(value.date().add_days(1)?, 0, value.fsp()))
}

struct Parts {
    /// Year, month, day, hour, minute, second, fraction.
    numbers: [u32; PARTS],
    /// Digits of each.
    lengths: [usize; PARTS],
    count: usize,
}

/// `None` where a space or a number stands where none can.
fn scan_parts(scanner: &mut Scanner<'_>, one_run: bool, year_width: usize) -> Option<Parts> {
    let mut parts = Parts { numbers: [0; PARTS], lengths: [0; PARTS], count: 0 };
    let mut end_of_last = scanner.position;
    let mut part = 0;
    while part < PARTS && scanner.at_digit() {
        let width = match part {
            FRACTION => 6,
            YEAR if one_run => year_width,
            _ if one_run => 2,
            _ => usize::MAX,
        };
        let start = scanner.position;
        let number = scanner.number(width)?;
        parts.numbers[part] = number;
        parts.lengths[part] = scanner.position - start;
        part += 1;
        end_of_last = scanner.position;
        let here = part - 1;
        if here == DAY && scanner.peek() == Some(b'T') {
            scanner.position += 1;
            continue;
        }
        if here == SECOND {
            if scanner.peek() == Some(b'.') {
                scanner.position += 1;
                end_of_last = scanner.position;
                continue;
            }
            break;
        }
        if here == FRACTION {
            break;
        }
        while let Some(byte) = scanner.peek() {
            if byte.is_ascii_whitespace() {
                if here != DAY {
                    return if trailing_space_only(scanner) { finish(parts, part, scanner, end_of_last) } else { None };
                }
            } else if !byte.is_ascii_punctuation() {
                break;
            }
            scanner.position += 1;
        }
        if scanner.at_digit() {
            end_of_last = scanner.position;
        }
    }
    finish(parts, part, scanner, end_of_last)
}

fn finish(mut parts: Parts, count: usize, scanner: &mut Scanner<'_>, end_of_last: usize) -> Option<Parts> {
    parts.count = count;
    scanner.position = end_of_last;
    Some(parts)
}

fn trailing_space_only(scanner: &Scanner<'_>) -> bool {
    scanner.rest().iter().all(u8::is_ascii_whitespace)
}

/// `+02:00` right after the time. `Some(None)` where there is none; `None` where it is out of range.
fn scan_offset(scanner: &mut Scanner<'_>) -> Option<Option<i32>> {
    let rest = scanner.rest();
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2, ..] = rest else { return Some(None) };
    if ![h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()) {
        return Some(None);
    }
    let digits = |tens: &u8, ones: &u8| (tens - b'0') as i32 * 10 + (ones - b'0') as i32;
    let (hours, minutes) = (digits(h1, h2), digits(m1, m2));
    let seconds = (hours * 60 + minutes) * 60;
    if minutes > 59 || seconds > 14 * 3600 || (*sign == b'-' && seconds == 0) {
        return None;
    }
    scanner.position += 6;
    Some(Some(if *sign == b'-' { -seconds } else { seconds }))
}

/// A time: `12:34:56.789`, `-1 10:00:00` (a day and ten hours), `123456`, or the time of a full date and time.
/// `None` for what is no time.
pub fn parse_time(text: &str) -> Option<ParsedTime> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.skip_space();
    let negative = scanner.peek() == Some(b'-');
    if negative {
        scanner.position += 1;
    }
    if !scanner.at_digit() && scanner.peek() != Some(b':') {
        return None;
    }
    if !negative
        && may_be_datetime(scanner.rest())
        && let Some(parsed) = parse_datetime(text, DateRules::LENIENT)
        && !parsed.date_only
    {
        return Some(ParsedTime { value: parsed.value.time(), truncated: parsed.truncated, out_of_range: false });
    }
    let first = scanner.long_number();
    let end_of_first = scanner.position;
    scanner.skip_space();
    let (mut days, mut clock) = (0, [0u64; 3]);
    if scanner.position > end_of_first && scanner.at_digit() {
        days = first;
        scan_clock(&mut scanner, &mut clock, 0);
    } else if scanner.position == end_of_first && scanner.peek() == Some(b':') && scanner.digit_after() {
        clock[0] = first;
        scanner.position += 1;
        scan_clock(&mut scanner, &mut clock, 1);
    } else {
        scanner.position = end_of_first;
        clock = [first / 10_000, first / 100 % 100, first % 100];
    }
    let (micros, fsp) = scan_time_fraction(&mut scanner)?;
    let [hours, minutes, seconds] = clock;
    if minutes > 59 || seconds > 59 {
        return None;
    }
    let hours = hours.saturating_add(days.saturating_mul(24)).min(1_000_000) as i64;
    let size = ((hours * 60 + minutes as i64) * 60 + seconds as i64) * MICROS_PER_SECOND + micros;
    let time = Time::new(if negative { -size } else { size }, fsp);
    scanner.skip_space();
    Some(ParsedTime {
        value: time.clamped(),
        truncated: scanner.position < scanner.text.len(),
        out_of_range: time.clamped() != time,
    })
}

/// Long enough for a date and a time, and with a space or `T` in between if there is anything but digits:
/// `00:00:00.000001` is a time.
fn may_be_datetime(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.len() >= 12
        && (digits >= 12 || text.trim_ascii().iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'T'))
}

/// Hours, minutes and seconds from part `part` on, separated by colons.
fn scan_clock(scanner: &mut Scanner<'_>, clock: &mut [u64; 3], part: usize) {
    let mut part = part;
    loop {
        clock[part] = scanner.long_number();
        part += 1;
        if part == clock.len() || scanner.peek() != Some(b':') || !scanner.digit_after() {
            return;
        }
        scanner.position += 1;
    }
}

/// Microseconds and the number of digits; `None` where an exponent follows, which makes it no time.
fn scan_time_fraction(scanner: &mut Scanner<'_>) -> Option<(i64, u8)> {
    let mut micros = 0;
    let mut fsp = 0;
    if scanner.peek() == Some(b'.') {
        scanner.position += 1;
        let start = scanner.position;
        micros = scanner.number(6)? as i64;
        fsp = (scanner.position - start) as u8;
        micros *= 10i64.pow(6 - fsp as u32);
        if scanner.at_digit() {
            micros += (scanner.rest()[0] >= b'5') as i64;
            while scanner.at_digit() {
                scanner.position += 1;
            }
        }
    }
    match scanner.rest() {
        [b'e' | b'E', next, ..] if next.is_ascii_digit() => None,
        [b'e' | b'E', b'-' | b'+', next, ..] if next.is_ascii_digit() => None,
        _ => Some((micros, fsp)),
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8]) -> Scanner<'a> {
        Scanner { text, position: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.position..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn at_digit(&self) -> bool {
        self.peek().is_some_and(|byte| byte.is_ascii_digit())
    }

    fn digit_after(&self) -> bool {
        self.text.get(self.position + 1).is_some_and(u8::is_ascii_digit)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.position += 1;
        }
    }

    /// At most `width` digits; `None` above 999,999, which no part can be.
    fn number(&mut self, width: usize) -> Option<u32> {
        let mut number = 0u32;
        let start = self.position;
        while self.at_digit() && self.position - start < width {
            number = number * 10 + (self.text[self.position] - b'0') as u32;
            if number > 999_999 {
                return None;
            }
            self.position += 1;
        }
        Some(number)
    }

    /// All digits, saturating.
    fn long_number(&mut self) -> u64 {
        let mut number = 0u64;
        while self.at_digit() {
            number = number.saturating_mul(10).saturating_add((self.text[self.position] - b'0') as u64);
            self.position += 1;
        }
        number
    }
}
