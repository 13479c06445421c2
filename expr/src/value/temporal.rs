//! DATE, DATETIME and TIME values, zero dates and zero parts included. Manual: "Date and Time Data Types" (13.2).
//!
//! Packed so that the order of the numbers is the order of the values, and so that they are the stored form.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

mod calendar;
mod interval;
mod number;
mod parse;
mod text;
mod zone;

pub use calendar::{DateRules, day_number, days_in_month, from_day_number, is_leap_year};
pub use interval::{Interval, IntervalUnit};
pub use parse::{ParsedDateTime, ParsedTime, parse_datetime, parse_time};

/// Bits from the top: year (0..=9999), month (0..=12, 4 bits), day (0..=31, 5 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

/// `date` × 86,400,000,000 + microseconds of the day; `fsp` digits are shown.
#[derive(Debug, Clone, Copy)]
pub struct DateTime {
    packed: i64,
    fsp: u8,
    /// Of a local time that comes twice, when clocks are set back: it is the second. Only a conversion from UTC sets it,
    /// and only the one to UTC looks at it, so that a TIMESTAMP that is read and written again stays what it was.
    second_pass: bool,
}

/// Signed microseconds, at most 838:59:59; `fsp` digits are shown.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    micros: i64,
    fsp: u8,
}

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Most fractional second digits.
pub const FSP_MAX: u8 = 6;

impl Date {
    pub const ZERO: Date = Date(0);

    /// Parts are not checked against the calendar; see [`Date::is_valid`].
    pub fn from_parts(year: u16, month: u8, day: u8) -> Date {
        Date((year as i32) << 9 | (month as i32) << 5 | day as i32)
    }

    pub fn from_packed(packed: i32) -> Date {
        Date(packed)
    }

    pub fn packed(self) -> i32 {
        self.0
    }

    pub fn year(self) -> u16 {
        (self.0 >> 9) as u16
    }

    pub fn month(self) -> u8 {
        (self.0 >> 5 & 15) as u8
    }

    pub fn day(self) -> u8 {
        (self.0 & 31) as u8
    }

    /// Midnight of that day.
    pub fn at_midnight(self) -> DateTime {
        DateTime::new(self, 0, 0)
    }
}

impl DateTime {
    pub const ZERO: DateTime = DateTime { packed: 0, fsp: 0, second_pass: false };

    pub fn new(date: Date, micros_of_day: i64, fsp: u8) -> DateTime {
        DateTime::from_packed(date.packed() as i64 * MICROS_PER_DAY + micros_of_day, fsp)
    }

    pub fn from_packed(packed: i64, fsp: u8) -> DateTime {
        DateTime { packed, fsp, second_pass: false }
    }

    pub fn packed(self) -> i64 {
        self.packed
    }

    pub fn date(self) -> Date {
        Date(self.packed.div_euclid(MICROS_PER_DAY) as i32)
    }

    pub fn micros_of_day(self) -> i64 {
        self.packed.rem_euclid(MICROS_PER_DAY)
    }

    pub fn fsp(self) -> u8 {
        self.fsp
    }

    /// Same moment, shown with other digits; digits beyond them stay, see [`DateTime::round`].
    pub fn with_fsp(self, fsp: u8) -> DateTime {
        DateTime { fsp, ..self }
    }

    pub fn hour(self) -> u8 {
        (self.micros_of_day() / (3600 * MICROS_PER_SECOND)) as u8
    }

    pub fn minute(self) -> u8 {
        (self.micros_of_day() / (60 * MICROS_PER_SECOND) % 60) as u8
    }

    pub fn second(self) -> u8 {
        (self.micros_of_day() / MICROS_PER_SECOND % 60) as u8
    }

    pub fn microsecond(self) -> u32 {
        (self.micros_of_day() % MICROS_PER_SECOND) as u32
    }

    /// Rounded half up to `fsp` digits; `None` when that leaves the calendar (year 10000, or a carry into a zero date).
    pub fn round(self, fsp: u8) -> Option<DateTime> {
        let unit = fraction_unit(fsp);
        let micros = (self.micros_of_day() + unit / 2) / unit * unit;
        if micros < MICROS_PER_DAY {
            return Some(DateTime { second_pass: self.second_pass, ..DateTime::new(self.date(), micros, fsp) });
        }
        Some(DateTime::new(self.date().add_days(1)?, 0, fsp))
    }

    pub fn truncate(self, fsp: u8) -> DateTime {
        let unit = fraction_unit(fsp);
        let micros = self.micros_of_day() / unit * unit;
        DateTime { second_pass: self.second_pass, ..DateTime::new(self.date(), micros, fsp) }
    }

    /// The time of day.
    pub fn time(self) -> Time {
        Time::new(self.micros_of_day(), self.fsp)
    }
}

impl Time {
    /// 838:59:59.
    pub const MAX: Time = Time { micros: 3_020_399 * MICROS_PER_SECOND, fsp: 0 };
    pub const ZERO: Time = Time { micros: 0, fsp: 0 };

    pub fn new(micros: i64, fsp: u8) -> Time {
        Time { micros, fsp }
    }

    pub fn micros(self) -> i64 {
        self.micros
    }

    pub fn fsp(self) -> u8 {
        self.fsp
    }

    pub fn with_fsp(self, fsp: u8) -> Time {
        Time { micros: self.micros, fsp }
    }

    pub fn is_negative(self) -> bool {
        self.micros < 0
    }

    /// Of the absolute value, up to 838.
    pub fn hours(self) -> u32 {
        (self.micros.abs() / (3600 * MICROS_PER_SECOND)) as u32
    }

    pub fn minute(self) -> u8 {
        (self.micros.abs() / (60 * MICROS_PER_SECOND) % 60) as u8
    }

    pub fn second(self) -> u8 {
        (self.micros.abs() / MICROS_PER_SECOND % 60) as u8
    }

    pub fn microsecond(self) -> u32 {
        (self.micros.abs() % MICROS_PER_SECOND) as u32
    }

    /// Rounded half away from zero to `fsp` digits, at most [`Time::MAX`].
    pub fn round(self, fsp: u8) -> Time {
        let unit = fraction_unit(fsp);
        let micros = (self.micros.abs() + unit / 2) / unit * unit;
        Time { micros: micros * self.micros.signum(), fsp }.clamped()
    }

    pub fn truncate(self, fsp: u8) -> Time {
        let unit = fraction_unit(fsp);
        Time { micros: self.micros / unit * unit, fsp }
    }

    /// Within the range of the type.
    pub fn clamped(self) -> Time {
        Time { micros: self.micros.clamp(-Time::MAX.micros, Time::MAX.micros), fsp: self.fsp }
    }
}

/// Microseconds of the last of `fsp` digits.
fn fraction_unit(fsp: u8) -> i64 {
    10i64.pow((FSP_MAX - fsp.min(FSP_MAX)) as u32)
}

impl PartialEq for DateTime {
    fn eq(&self, other: &DateTime) -> bool {
        self.packed == other.packed
    }
}

impl Eq for DateTime {}

impl Ord for DateTime {
    fn cmp(&self, other: &DateTime) -> Ordering {
        self.packed.cmp(&other.packed)
    }
}

impl PartialOrd for DateTime {
    fn partial_cmp(&self, other: &DateTime) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for DateTime {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.packed.hash(state);
    }
}

impl PartialEq for Time {
    fn eq(&self, other: &Time) -> bool {
        self.micros == other.micros
    }
}

impl Eq for Time {}

impl Ord for Time {
    fn cmp(&self, other: &Time) -> Ordering {
        self.micros.cmp(&other.micros)
    }
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Time) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Time {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.micros.hash(state);
    }
}

#[cfg(test)]
mod tests;
