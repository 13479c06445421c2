//! The calendar: which dates there are, and days counted from year 0 as TO_DAYS counts them.

use super::{Date, DateTime, MICROS_PER_DAY};
use crate::eval::SqlMode;

/// Which dates outside the calendar are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRules {
    /// `0000-00-00`.
    pub zero_date: bool,
    /// `2024-00-00`, `2024-01-00`.
    pub zero_parts: bool,
    /// Any day from 1 to 31 in any month.
    pub invalid_days: bool,
}

impl DateRules {
    /// What functions take as arguments: zero dates and zero parts.
    pub const LENIENT: DateRules = DateRules { zero_date: true, zero_parts: true, invalid_days: false };

    /// What columns and CAST take under a sql_mode.
    pub fn of_mode(mode: SqlMode) -> DateRules {
        DateRules {
            zero_date: !mode.has(SqlMode::NO_ZERO_DATE),
            zero_parts: !mode.has(SqlMode::NO_ZERO_IN_DATE),
            invalid_days: mode.has(SqlMode::ALLOW_INVALID_DATES),
        }
    }

    pub fn allow(self, date: Date) -> bool {
        if date == Date::ZERO {
            return self.zero_date;
        }
        if date.year() > 9999 || date.month() > 12 {
            return false;
        }
        if date.month() == 0 || date.day() == 0 {
            return self.zero_parts;
        }
        self.invalid_days || date.day() <= days_in_month(date.year(), date.month())
    }
}

/// Year 0 has no 29th of February in MySQL's calendar.
pub fn is_leap_year(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) && year != 0
}

/// 31 for a month that does not exist.
pub fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// TO_DAYS: 1 for 0000-01-01, 719528 for 1970-01-01. Zero parts count as the manual's formula counts them.
pub fn day_number(date: Date) -> i64 {
    let (mut year, month, day) = (date.year() as i64, date.month() as i64, date.day() as i64);
    if year == 0 && month == 0 {
        return 0;
    }
    let mut days = 365 * year + 31 * (month - 1) + day;
    if month <= 2 {
        year -= 1;
    } else {
        days -= (month * 4 + 23) / 10;
    }
    // Leap days up to that year, by truncating division as the formula is defined for year 0 (here -1).
    days + year / 4 - (year / 100 + 1) * 3 / 4
}

/// FROM_DAYS: `None` before year 1 and after 9999.
pub fn from_day_number(days: i64) -> Option<Date> {
    if !(366..3_652_425).contains(&days) {
        return None;
    }
    // Days since 0000-03-01 of the proleptic calendar, in eras of 400 years.
    let shifted = days - 60;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    Some(Date::from_parts(year as u16, month as u8, day as u8))
}

impl Date {
    /// A day of the calendar, no zero part.
    pub fn is_valid(self) -> bool {
        DateRules { zero_date: false, zero_parts: false, invalid_days: false }.allow(self)
    }

    pub fn is_zero(self) -> bool {
        self == Date::ZERO
    }

    /// Month or day is 0.
    pub fn has_zero_part(self) -> bool {
        self.month() == 0 || self.day() == 0
    }

    /// `None` for dates outside the calendar, before and after.
    pub fn add_days(self, days: i64) -> Option<Date> {
        if !self.is_valid() {
            return None;
        }
        let day = day_number(self).checked_add(days)?;
        // Year 0 has no day numbers of its own in FROM_DAYS, but dates in it can be reached.
        if (1..=365).contains(&day) { Some(day_of_year_zero(day)) } else { from_day_number(day) }
    }

    /// 0 for Monday to 6 for Sunday.
    pub fn weekday(self) -> u8 {
        (day_number(self) + 5).rem_euclid(7) as u8
    }

    /// 1 to 366.
    pub fn day_of_year(self) -> u16 {
        (day_number(self) - day_number(Date::from_parts(self.year(), 1, 1)) + 1) as u16
    }
}

fn day_of_year_zero(day: i64) -> Date {
    let mut rest = day as u16;
    let mut month = 1;
    while rest > days_in_month(0, month) as u16 {
        rest -= days_in_month(0, month) as u16;
        month += 1;
    }
    Date::from_parts(0, month, rest as u8)
}

impl DateTime {
    /// Microseconds from day number 0, for differences.
    pub fn linear_micros(self) -> i64 {
        day_number(self.date()) * MICROS_PER_DAY + self.micros_of_day()
    }

    /// `None` outside the calendar.
    pub fn from_linear_micros(micros: i64, fsp: u8) -> Option<DateTime> {
        let day = micros.div_euclid(MICROS_PER_DAY);
        let date = if (1..=365).contains(&day) { day_of_year_zero(day) } else { from_day_number(day)? };
        Some(DateTime::new(date, micros.rem_euclid(MICROS_PER_DAY), fsp))
    }
}
