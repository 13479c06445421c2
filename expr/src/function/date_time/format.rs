//! DATE_FORMAT and TIME_FORMAT: a date or time by a pattern.

use crate::function::date_time::week::{WeekMode, week_of};
use crate::value::temporal::{Date, DateTime, Time, day_number};
use std::fmt::Write;

/// From Monday, as [`Date::weekday`] counts.
pub const DAY_NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `None` where the pattern asks for what the date does not have: the name of month 0.
pub fn datetime(moment: DateTime, pattern: &str) -> Option<String> {
    format(Some(moment.date()), moment.time(), pattern)
}

/// Hours may be more than 24; a time has no date: its parts are zeros.
pub fn time(time: Time, pattern: &str) -> Option<String> {
    format(None, time, pattern)
}

fn format(date: Option<Date>, time: Time, pattern: &str) -> Option<String> {
    let mut out = String::new();
    if time.is_negative() {
        out.push('-');
    }
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match (character, character == '%') {
            (_, false) => out.push(character),
            _ => match characters.next() {
                Some(specifier) => specified(&mut out, specifier, date, time)?,
                None => out.push('%'),
            },
        }
    }
    Some(out)
}

fn specified(out: &mut String, specifier: char, real_date: Option<Date>, time: Time) -> Option<()> {
    // Parts of a date that is not there are zeros; what counts days is NULL.
    let date = real_date.unwrap_or(Date::ZERO);
    let hour = time.hours();
    let hour_of_12 = (hour % 24 + 11) % 12 + 1;
    let half = if hour % 24 < 12 { "AM" } else { "PM" };
    let month_name = || MONTH_NAMES.get(usize::from(date.month()).checked_sub(1)?).copied();
    let weekday =
        || real_date.filter(|date| date.year() > 0 || date.month() > 0).map(|date| usize::from(date.weekday()));
    let week = |mode: WeekMode| real_date.map(|date| week_of(date, mode));
    let day_of_year = |date: Date| day_number(date) - day_number(Date::from_parts(date.year(), 1, 1)) + 1;
    let written = match specifier {
        'a' => write!(out, "{}", &DAY_NAMES[weekday()?][..3]),
        'b' => write!(out, "{}", &month_name()?[..3]),
        'c' => write!(out, "{}", date.month()),
        'D' => write!(out, "{}{}", date.day(), ordinal_suffix(date.day())),
        'd' => write!(out, "{:02}", date.day()),
        'e' => write!(out, "{}", date.day()),
        'f' => write!(out, "{:06}", time.microsecond()),
        'H' => write!(out, "{hour:02}"),
        'h' | 'I' => write!(out, "{hour_of_12:02}"),
        'i' => write!(out, "{:02}", time.minute()),
        'j' => write!(out, "{:03}", day_of_year(real_date?)),
        'k' => write!(out, "{hour}"),
        'l' => write!(out, "{hour_of_12}"),
        'M' => write!(out, "{}", month_name()?),
        'm' => write!(out, "{:02}", date.month()),
        'p' => write!(out, "{half}"),
        'r' => write!(out, "{hour_of_12:02}:{:02}:{:02} {half}", time.minute(), time.second()),
        'S' | 's' => write!(out, "{:02}", time.second()),
        'T' => write!(out, "{hour:02}:{:02}:{:02}", time.minute(), time.second()),
        'U' => write!(out, "{:02}", week(WeekMode::SUNDAY)?.1),
        'u' => write!(out, "{:02}", week(WeekMode::MONDAY)?.1),
        'V' => write!(out, "{:02}", week(WeekMode::SUNDAY.of_week_year())?.1),
        'v' => write!(out, "{:02}", week(WeekMode::ISO)?.1),
        'W' => write!(out, "{}", DAY_NAMES[weekday()?]),
        'w' => write!(out, "{}", (weekday()? + 1) % 7),
        'X' => write!(out, "{:04}", week(WeekMode::SUNDAY.of_week_year())?.0),
        'x' => write!(out, "{:04}", week(WeekMode::ISO)?.0),
        'Y' => write!(out, "{:04}", date.year()),
        'y' => write!(out, "{:02}", date.year() % 100),
        other => write!(out, "{other}"),
    };
    written.ok()
}

fn ordinal_suffix(day: u8) -> &'static str {
    match day {
        11..=13 => "th",
        _ => match day % 10 {
            1 => "st",
            2 => "nd",
            3 => "rd",
            _ => "th",
        },
    }
}
