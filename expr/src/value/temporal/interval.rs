//! INTERVAL: amounts of calendar units, and adding them to dates and times.

use super::{Date, DateTime, MICROS_PER_DAY, MICROS_PER_SECOND, calendar::days_in_month};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntervalUnit {
    Microsecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    SecondMicrosecond,
    MinuteMicrosecond,
    MinuteSecond,
    HourMicrosecond,
    HourSecond,
    HourMinute,
    DayMicrosecond,
    DaySecond,
    DayMinute,
    DayHour,
    YearMonth,
}

/// An amount of time: months and microseconds apart, because months differ in length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub months: i64,
    pub days: i64,
    pub micros: i64,
}

const MINUTE: i64 = 60 * MICROS_PER_SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The parts of compound units, in writing order.
const YEAR_TO_MONTH: &[IntervalUnit] = &[IntervalUnit::Year, IntervalUnit::Month];
const DAY_TO_MICROSECOND: &[IntervalUnit] =
    &[IntervalUnit::Day, IntervalUnit::Hour, IntervalUnit::Minute, IntervalUnit::Second, IntervalUnit::Microsecond];

impl IntervalUnit {
    const NAMES: [(&'static str, IntervalUnit); 20] = [
        ("MICROSECOND", IntervalUnit::Microsecond),
        ("SECOND", IntervalUnit::Second),
        ("MINUTE", IntervalUnit::Minute),
        ("HOUR", IntervalUnit::Hour),
        ("DAY", IntervalUnit::Day),
        ("WEEK", IntervalUnit::Week),
        ("MONTH", IntervalUnit::Month),
        ("QUARTER", IntervalUnit::Quarter),
        ("YEAR", IntervalUnit::Year),
        ("SECOND_MICROSECOND", IntervalUnit::SecondMicrosecond),
        ("MINUTE_MICROSECOND", IntervalUnit::MinuteMicrosecond),
        ("MINUTE_SECOND", IntervalUnit::MinuteSecond),
        ("HOUR_MICROSECOND", IntervalUnit::HourMicrosecond),
        ("HOUR_SECOND", IntervalUnit::HourSecond),
        ("HOUR_MINUTE", IntervalUnit::HourMinute),
        ("DAY_MICROSECOND", IntervalUnit::DayMicrosecond),
        ("DAY_SECOND", IntervalUnit::DaySecond),
        ("DAY_MINUTE", IntervalUnit::DayMinute),
        ("DAY_HOUR", IntervalUnit::DayHour),
        ("YEAR_MONTH", IntervalUnit::YearMonth),
    ];

    /// By its keyword, in any case; `SQL_TSI_DAY` too.
    pub fn from_name(name: &str) -> Option<IntervalUnit> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("SQL_TSI_").unwrap_or(&upper);
        Self::NAMES.iter().find(|(keyword, _)| *keyword == bare).map(|(_, unit)| *unit)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }

    /// Adding it to a DATE gives a DATE.
    pub fn keeps_date(self) -> bool {
        use IntervalUnit::*;
        matches!(self, Day | Week | Month | Quarter | Year | YearMonth)
    }

    /// Its value may have microseconds.
    pub fn has_fraction(self) -> bool {
        use IntervalUnit::*;
        matches!(self, Microsecond | SecondMicrosecond | MinuteMicrosecond | HourMicrosecond | DayMicrosecond)
    }

    /// Of compound units; empty for the others.
    fn parts(self) -> &'static [IntervalUnit] {
        use IntervalUnit::*;
        match self {
            YearMonth => YEAR_TO_MONTH,
            DayMicrosecond => DAY_TO_MICROSECOND,
            DaySecond => &DAY_TO_MICROSECOND[..4],
            DayMinute => &DAY_TO_MICROSECOND[..3],
            DayHour => &DAY_TO_MICROSECOND[..2],
            HourMicrosecond => &DAY_TO_MICROSECOND[1..],
            HourSecond => &DAY_TO_MICROSECOND[1..4],
            HourMinute => &DAY_TO_MICROSECOND[1..3],
            MinuteMicrosecond => &DAY_TO_MICROSECOND[2..],
            MinuteSecond => &DAY_TO_MICROSECOND[2..4],
            SecondMicrosecond => &DAY_TO_MICROSECOND[3..],
            _ => &[],
        }
    }

    pub fn is_compound(self) -> bool {
        !self.parts().is_empty()
    }

    /// Microseconds of one unit that has a fixed length.
    fn micros(self) -> i64 {
        match self {
            IntervalUnit::Microsecond => 1,
            IntervalUnit::Second => MICROS_PER_SECOND,
            IntervalUnit::Minute => MINUTE,
            IntervalUnit::Hour => HOUR,
            _ => 0,
        }
    }
}

impl Interval {
    /// `count` of a simple unit; `None` when it is too large for any date.
    pub fn of(unit: IntervalUnit, count: i64) -> Option<Interval> {
        let mut interval = Interval { months: 0, days: 0, micros: 0 };
        match unit {
            IntervalUnit::Year => interval.months = count.checked_mul(12)?,
            IntervalUnit::Quarter => interval.months = count.checked_mul(3)?,
            IntervalUnit::Month => interval.months = count,
            IntervalUnit::Week => interval.days = count.checked_mul(7)?,
            IntervalUnit::Day => interval.days = count,
            _ => interval.micros = count.checked_mul(unit.micros())?,
        }
        Some(interval)
    }

    /// Of seconds with a fraction: INTERVAL 1.5 SECOND.
    pub fn of_micros(micros: i64) -> Interval {
        Interval { months: 0, days: 0, micros }
    }

    /// A compound unit's value: `'1:30'` MINUTE_SECOND. Numbers are separated by anything; missing ones are those
    /// on the left; digits of a MICROSECOND part are a fraction.
    pub fn parse_compound(unit: IntervalUnit, text: &str) -> Option<Interval> {
        let parts = unit.parts();
        let trimmed = text.trim_start();
        let (negative, rest) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let numbers: Vec<&str> =
            rest.split(|character: char| !character.is_ascii_digit()).filter(|run| !run.is_empty()).collect();
        if numbers.len() > parts.len() {
            return None;
        }
        let mut interval = Interval { months: 0, days: 0, micros: 0 };
        for (part, number) in parts[parts.len() - numbers.len()..].iter().zip(&numbers) {
            let mut count: i64 = number.parse().ok()?;
            if *part == IntervalUnit::Microsecond && number.len() < 6 {
                count *= 10i64.pow(6 - number.len() as u32);
            }
            let piece = Interval::of(*part, count)?;
            interval.months = interval.months.checked_add(piece.months)?;
            interval.days = interval.days.checked_add(piece.days)?;
            interval.micros = interval.micros.checked_add(piece.micros)?;
        }
        Some(if negative { interval.negate() } else { interval })
    }

    pub fn negate(self) -> Interval {
        Interval {
            months: self.months.saturating_neg(),
            days: self.days.saturating_neg(),
            micros: self.micros.saturating_neg(),
        }
    }
}

impl DateTime {
    /// `None` outside the years 0 to 9999 and for dates with zero parts (months may be added to any date with a month).
    pub fn add_interval(self, interval: Interval) -> Option<DateTime> {
        let mut moment = self;
        if interval.months != 0 {
            moment = DateTime::new(moment.date().add_months(interval.months)?, moment.micros_of_day(), moment.fsp);
        }
        if interval.days != 0 || interval.micros != 0 {
            if !moment.date().is_valid() {
                return None;
            }
            let step = interval.days.checked_mul(MICROS_PER_DAY)?.checked_add(interval.micros)?;
            let fsp = if interval.micros % MICROS_PER_SECOND == 0 { moment.fsp } else { super::FSP_MAX };
            moment = DateTime::from_linear_micros(moment.linear_micros().checked_add(step)?, fsp)?;
        } else if !moment.date().is_valid() {
            return None;
        }
        Some(moment)
    }

    /// Whole units from `self` to `later` (TIMESTAMPDIFF); not for compound units.
    pub fn units_until(self, later: DateTime, unit: IntervalUnit) -> i64 {
        let micros = later.linear_micros() - self.linear_micros();
        let months = || {
            let (first, last, sign) = if micros >= 0 { (self, later, 1) } else { (later, self, -1) };
            let months = |moment: DateTime| moment.date().year() as i64 * 12 + moment.date().month() as i64;
            let place = |moment: DateTime| (moment.date().day(), moment.micros_of_day());
            sign * (months(last) - months(first) - (place(last) < place(first)) as i64)
        };
        match unit {
            IntervalUnit::Year => months() / 12,
            IntervalUnit::Quarter => months() / 3,
            IntervalUnit::Month => months(),
            IntervalUnit::Week => micros / (7 * MICROS_PER_DAY),
            IntervalUnit::Day => micros / MICROS_PER_DAY,
            _ => micros / unit.micros().max(1),
        }
    }
}

impl Date {
    /// Keeps the day where the month has it, else takes the month's last; `None` outside years 0 to 9999.
    pub fn add_months(self, months: i64) -> Option<Date> {
        let total = (self.year() as i64 * 12 + self.month() as i64 - 1).checked_add(months)?;
        let year = u16::try_from(total.div_euclid(12)).ok().filter(|year| *year <= 9999)?;
        let month = total.rem_euclid(12) as u8 + 1;
        Some(Date::from_parts(year, month, self.day().min(days_in_month(year, month))))
    }
}
