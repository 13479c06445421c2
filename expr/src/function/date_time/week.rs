//! Numbers of weeks: the eight modes of WEEK. Manual: "WEEK(date[,mode])" in 14.7.

use crate::value::temporal::{Date, day_number};

/// Which day starts a week, and which week is the first of a year.
#[derive(Debug, Clone, Copy)]
pub struct WeekMode {
    monday_first: bool,
    /// Days before week 1 belong to the last week of the year before; otherwise they are week 0.
    of_week_year: bool,
    /// Week 1 is the first that starts in the year; otherwise the first with four days in it.
    starts_in_year: bool,
}

impl WeekMode {
    pub const ISO: WeekMode = WeekMode { monday_first: true, of_week_year: true, starts_in_year: false };
    /// Sundays first, week 1 starts in the year.
    pub const SUNDAY: WeekMode = WeekMode { monday_first: false, of_week_year: false, starts_in_year: true };
    /// Mondays first, week 1 has four days.
    pub const MONDAY: WeekMode = WeekMode { monday_first: true, of_week_year: false, starts_in_year: false };

    /// The second argument of WEEK, of which three bits count. Bit 2 changes which week is the first.
    pub fn from_number(mode: i64) -> WeekMode {
        let monday_first = mode & 1 != 0;
        WeekMode { monday_first, of_week_year: mode & 2 != 0, starts_in_year: (mode & 4 != 0) == monday_first }
    }

    pub fn of_week_year(self) -> WeekMode {
        WeekMode { of_week_year: true, ..self }
    }

    /// Day number on which week 1 of a year starts.
    fn start(self, year: u16) -> i64 {
        let first = Date::from_parts(year, 1, 1);
        let day_of_week = match self.monday_first {
            true => i64::from(first.weekday()),
            false => (i64::from(first.weekday()) + 1) % 7,
        };
        let starts_before = if self.starts_in_year { day_of_week == 0 } else { day_of_week < 4 };
        day_number(first) - day_of_week + if starts_before { 0 } else { 7 }
    }
}

/// Year and week of a date of the calendar.
pub fn week_of(date: Date, mode: WeekMode) -> (u16, i64) {
    let day = day_number(date);
    let mut year = date.year();
    if day < mode.start(year) {
        if !mode.of_week_year {
            return (year, 0);
        }
        year = year.saturating_sub(1);
    } else if mode.of_week_year && day >= mode.start(year + 1) {
        year += 1;
    }
    (year, (day - mode.start(year)) / 7 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::temporal::from_day_number;
    use chrono::Datelike;
    use proptest::prelude::*;

    #[test]
    fn modes_number_the_first_week_of_2008_as_the_manual_says() {
        let date = Date::from_parts(2008, 2, 20);
        let weeks: Vec<i64> = (0..8).map(|mode| week_of(date, WeekMode::from_number(mode)).1).collect();
        assert_eq!(weeks, [7, 8, 7, 8, 8, 7, 8, 7]);
        let new_year = Date::from_parts(2000, 1, 1);
        assert_eq!(week_of(new_year, WeekMode::from_number(0)), (2000, 0));
        assert_eq!(week_of(new_year, WeekMode::from_number(2)), (1999, 52));
        assert_eq!(week_of(Date::from_parts(2008, 12, 31), WeekMode::from_number(1)), (2008, 53));
        assert_eq!(week_of(Date::from_parts(2008, 12, 31), WeekMode::ISO), (2009, 1));
    }

    proptest! {
        #[test]
        fn iso_weeks_are_the_calendar_librarys(days in 366i64..3_652_425) {
            let date = from_day_number(days).expect("in the calendar");
            let (year, month, day) = (i32::from(date.year()), u32::from(date.month()), u32::from(date.day()));
            let iso = chrono::NaiveDate::from_ymd_opt(year, month, day).expect("a date").iso_week();
            let (week_year, week) = week_of(date, WeekMode::ISO);
            prop_assert_eq!((i32::from(week_year), week), (iso.year(), i64::from(iso.week())));
        }

        /// In every mode: a new week starts every seventh day, and years change only between weeks.
        #[test]
        fn weeks_have_seven_days(days in 731i64..3_652_000, mode in 0i64..8) {
            let mode = WeekMode::from_number(mode).of_week_year();
            let at = |days: i64| week_of(from_day_number(days).expect("in the calendar"), mode);
            let changes = (days..days + 7).filter(|day| at(*day) != at(day + 1)).count();
            prop_assert_eq!(changes, 1);
        }
    }
}
