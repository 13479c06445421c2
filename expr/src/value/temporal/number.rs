//! Dates and times as numbers: 20240131, 20240131123456, 123456 (12:34:56), two-digit years included.

use super::{Date, DateRules, DateTime, MICROS_PER_SECOND, Time};

/// Two-digit years below this are in this century.
pub(super) const TWO_DIGIT_YEAR_PIVOT: i64 = 70;

impl Date {
    /// 20240131.
    pub fn as_number(self) -> i64 {
        self.year() as i64 * 10_000 + self.month() as i64 * 100 + self.day() as i64
    }
}

impl DateTime {
    /// 20240131123456, microseconds dropped.
    pub fn as_number(self) -> i64 {
        self.date().as_number() * 1_000_000
            + self.hour() as i64 * 10_000
            + self.minute() as i64 * 100
            + self.second() as i64
    }

    /// From YYMMDD, YYYYMMDD, YYMMDDhhmmss or YYYYMMDDhhmmss, with microseconds; `None` if it is none of these.
    pub fn from_number(number: i64, micros: u32, rules: DateRules) -> Option<DateTime> {
        let full = full_number(number)?;
        let (date, time) = (full / 1_000_000, full % 1_000_000);
        let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
        let (hour, minute, second) = (time / 10_000, time / 100 % 100, time % 100);
        if year > 9999 || month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let date = Date::from_parts(year as u16, month as u8, day as u8);
        let micros_of_day = ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micros as i64;
        (rules.allow(date)).then(|| DateTime::new(date, micros_of_day, if micros > 0 { 6 } else { 0 }))
    }
}

/// The number with four digits of year and six of time; `None` in the gaps between the short forms.
fn full_number(number: i64) -> Option<i64> {
    const MIDNIGHT: i64 = 1_000_000;
    const THIS_CENTURY: i64 = 20_000_000;
    const LAST_CENTURY: i64 = 19_000_000;
    let pivot = TWO_DIGIT_YEAR_PIVOT;
    Some(match number {
        0 => 0,
        101.. if number <= (pivot - 1) * 10_000 + 1231 => (number + THIS_CENTURY) * MIDNIGHT,
        _ if number >= pivot * 10_000 + 101 && number <= 991_231 => (number + LAST_CENTURY) * MIDNIGHT,
        10_000_101..=99_991_231 => number * MIDNIGHT,
        101_000_000.. if number <= (pivot - 1) * 10_000_000_000 + 1_231_235_959 => number + THIS_CENTURY * MIDNIGHT,
        _ if number >= pivot * 10_000_000_000 + 101_000_000 && number <= 991_231_235_959 => {
            number + LAST_CENTURY * MIDNIGHT
        }
        10_000_101_000_000..=99_991_231_235_959 => number,
        _ => return None,
    })
}

impl Time {
    /// 123456 for 12:34:56, negative for negative times, microseconds dropped.
    pub fn as_number(self) -> i64 {
        let magnitude = self.hours() as i64 * 10_000 + self.minute() as i64 * 100 + self.second() as i64;
        if self.is_negative() { -magnitude } else { magnitude }
    }

    /// From hhmmss with microseconds; more than 838:59:59 gives that, and `true`. A number with a date gives its time.
    pub fn from_number(number: i64, micros: u32) -> Option<(Time, bool)> {
        let magnitude = number.unsigned_abs();
        let fsp = if micros > 0 { 6 } else { 0 };
        if number >= 10_000_000_000
            && let Some(moment) = DateTime::from_number(number, micros, DateRules::LENIENT)
        {
            return Some((moment.time(), false));
        }
        let (minute, second) = (magnitude / 100 % 100, magnitude % 100);
        if minute > 59 || second > 59 {
            return None;
        }
        let hours = i64::try_from(magnitude / 10_000).unwrap_or(i64::MAX).min(10_000_000);
        let seconds = hours * 3600 + minute as i64 * 60 + second as i64;
        let size = seconds * MICROS_PER_SECOND + micros as i64;
        let time = Time::new(if number < 0 { -size } else { size }, fsp);
        Some((time.clamped(), time.clamped() != time))
    }
}
