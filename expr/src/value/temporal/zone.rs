//! Time zones: TIMESTAMP columns hold UTC, expressions see the session's local time.

use super::{Date, DateTime, MICROS_PER_DAY, MICROS_PER_SECOND, day_number};
use crate::eval::TimeZone;
use chrono::{NaiveDate, NaiveDateTime, Offset, TimeZone as _};

/// TO_DAYS('1970-01-01').
const EPOCH_DAY: i64 = 719_528;

/// Of a local time without a zone, as if it were UTC. Not for dates with zero parts.
fn micros_as_utc(local: DateTime) -> i64 {
    (day_number(local.date()) - EPOCH_DAY) * MICROS_PER_DAY + local.micros_of_day()
}

fn whole_seconds(local: DateTime) -> Option<NaiveDateTime> {
    let date = local.date();
    let day = NaiveDate::from_ymd_opt(date.year() as i32, date.month() as u32, date.day() as u32)?;
    day.and_hms_opt(local.hour() as u32, local.minute() as u32, local.second() as u32)
}

impl TimeZone {
    /// `SYSTEM`, `UTC`, `+02:00` (from -13:59 to +14:00) or a zone's name, in any case. SYSTEM is UTC.
    pub fn parse(text: &str) -> Option<TimeZone> {
        if text.eq_ignore_ascii_case("SYSTEM") || text.eq_ignore_ascii_case("UTC") {
            return Some(TimeZone::Offset(0));
        }
        if let Some(sign) = text.bytes().next().filter(|byte| matches!(byte, b'+' | b'-')) {
            let (hours, minutes) = text[1..].split_once(':')?;
            let digits = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            if !digits(hours) || !digits(minutes) {
                return None;
            }
            let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
            let seconds = (hours * 60 + minutes) * 60 * if sign == b'-' { -1 } else { 1 };
            let in_range = minutes < 60 && (-(13 * 3600 + 59 * 60)..=14 * 3600).contains(&seconds);
            return in_range.then_some(TimeZone::Offset(seconds));
        }
        chrono_tz::Tz::from_str_insensitive(text).ok().map(TimeZone::Named)
    }

    /// As `@@time_zone` shows it: `+02:00`, `Europe/Berlin`.
    pub fn name(self) -> String {
        match self {
            TimeZone::Named(zone) => zone.name().to_string(),
            TimeZone::Offset(seconds) => {
                let sign = if seconds < 0 { '-' } else { '+' };
                format!("{sign}{:02}:{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
            }
        }
    }

    /// Microseconds since 1970 UTC of a local time. A time that a change of clocks skips counts as the moment of the
    /// change, one that comes twice as the first unless it came from UTC as the second. `None` for dates outside the
    /// calendar.
    pub fn to_utc_micros(self, local: DateTime) -> Option<i64> {
        if !local.date().is_valid() {
            return None;
        }
        let naive = micros_as_utc(local);
        match self {
            TimeZone::Offset(seconds) => Some(naive - seconds as i64 * MICROS_PER_SECOND),
            TimeZone::Named(zone) => {
                let time = whole_seconds(local)?;
                let offset = match zone.offset_from_local_datetime(&time) {
                    chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
                    chrono::LocalResult::Ambiguous(_, second) if local.second_pass => second.fix().local_minus_utc(),
                    chrono::LocalResult::Ambiguous(first, _) => first.fix().local_minus_utc(),
                    chrono::LocalResult::None => return end_of_gap(zone, time),
                };
                Some(naive - offset as i64 * MICROS_PER_SECOND)
            }
        }
    }

    /// A local time that comes twice, because clocks are set back, as the first and as the second.
    pub fn both_passes(self, local: DateTime) -> Option<[DateTime; 2]> {
        let TimeZone::Named(zone) = self else { return None };
        if !local.date().is_valid() {
            return None;
        }
        match zone.offset_from_local_datetime(&whole_seconds(local)?) {
            chrono::LocalResult::Ambiguous(..) => {
                Some([false, true].map(|second_pass| DateTime { second_pass, ..local }))
            }
            _ => None,
        }
    }

    /// The local time at a moment; `None` outside the calendar.
    pub fn from_utc_micros(self, micros: i64, fsp: u8) -> Option<DateTime> {
        let (offset, second_pass) = match self {
            TimeZone::Offset(seconds) => (seconds, false),
            TimeZone::Named(zone) => {
                let utc = chrono::DateTime::from_timestamp_micros(micros)?.naive_utc();
                let offset = zone.offset_from_utc_datetime(&utc).fix();
                let local = utc.checked_add_offset(offset)?;
                let second_pass = match zone.offset_from_local_datetime(&local) {
                    chrono::LocalResult::Ambiguous(_, second) => second.fix() == offset,
                    _ => false,
                };
                (offset.local_minus_utc(), second_pass)
            }
        };
        let local = micros.checked_add(offset as i64 * MICROS_PER_SECOND)?;
        let moment = DateTime::from_linear_micros(local.checked_add(EPOCH_DAY * MICROS_PER_DAY)?, fsp)?;
        Some(DateTime { second_pass, ..moment })
    }
}

/// The moment at which a gap in local time ends, found by the offset that was valid before it.
fn end_of_gap(zone: chrono_tz::Tz, skipped: NaiveDateTime) -> Option<i64> {
    let before = skipped.checked_sub_signed(chrono::TimeDelta::days(1))?;
    let offset_before = match zone.offset_from_local_datetime(&before) {
        chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => offset,
        chrono::LocalResult::None => return None,
    };
    let offset_before = offset_before.fix().local_minus_utc() as i64;
    // With the old offset the skipped time is after the change; go back to the first second with the new offset.
    let mut after = skipped.and_utc().timestamp() - offset_before;
    let mut before = after - 86_400;
    let offset_at = |moment: i64| {
        let utc = chrono::DateTime::from_timestamp(moment, 0)?.naive_utc();
        Some(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc() as i64)
    };
    let new_offset = offset_at(after)?;
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if offset_at(middle)? == new_offset {
            after = middle;
        } else {
            before = middle;
        }
    }
    Some(after * MICROS_PER_SECOND)
}

impl DateTime {
    /// The local date of a moment.
    pub fn local_date(micros_utc: i64, zone: TimeZone) -> Date {
        zone.from_utc_micros(micros_utc, 0).map_or(Date::ZERO, DateTime::date)
    }
}
