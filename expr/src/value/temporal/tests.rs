use super::*;
use crate::eval::TimeZone;
use proptest::prelude::*;

fn datetime(text: &str) -> DateTime {
    parse_datetime(text, DateRules::LENIENT).unwrap_or_else(|| panic!("{text} is a datetime")).value
}

#[test]
fn datetimes_parse_liberally() {
    for (text, shown) in [
        ("2024-01-31", "2024-01-31 00:00:00"),
        ("2024-1-3 4:5:6", "2024-01-03 04:05:06"),
        ("24.01.31 12+30+45", "2024-01-31 12:30:45"),
        ("70-01-01", "1970-01-01 00:00:00"),
        ("69-01-01", "2069-01-01 00:00:00"),
        ("20240131", "2024-01-31 00:00:00"),
        ("240131", "2024-01-31 00:00:00"),
        ("20240131123456", "2024-01-31 12:34:56"),
        ("20240131123456.789", "2024-01-31 12:34:56.789"),
        ("240131123456", "2024-01-31 12:34:56"),
        ("2024-01-31T12:34:56", "2024-01-31 12:34:56"),
        ("20240131T123456", "2024-01-31 12:34:56"),
        ("2024-01-31 12:34", "2024-01-31 12:34:00"),
        ("2024-01-31 12:34:56.1234567", "2024-01-31 12:34:56.123457"),
        ("2024-12-31 23:59:59.9999999", "2025-01-01 00:00:00.000000"),
        ("  2024/01/31  ", "2024-01-31 00:00:00"),
        ("2024-00-00", "2024-00-00 00:00:00"),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        ("00-00-00", "0000-00-00 00:00:00"),
    ] {
        let parsed = parse_datetime(text, DateRules::LENIENT).unwrap_or_else(|| panic!("{text} is a datetime"));
        assert_eq!(parsed.value.to_string(), shown, "{text}");
        assert!(!parsed.truncated, "{text}");
    }
    for text in ["", "abc", "2024-13-01", "2024-02-30", "2024-01", "2024 01 31", "2024-01-01 25:00:00", "10000-01-01"] {
        assert!(parse_datetime(text, DateRules::LENIENT).is_none(), "{text}");
    }
    assert!(parse_datetime("2024-01-31 12:34:56abc", DateRules::LENIENT).expect("date").truncated);
    let offset = parse_datetime("2024-01-31 12:34:56+02:30", DateRules::LENIENT).expect("date");
    assert_eq!((offset.offset_seconds, offset.truncated), (Some(9000), false));
    let strict = DateRules { zero_date: false, zero_parts: false, invalid_days: false };
    assert!(parse_datetime("0000-00-00", strict).is_none() && parse_datetime("2024-01-00", strict).is_none());
}

#[test]
fn times_parse_liberally() {
    for (text, shown) in [
        ("12:34:56", "12:34:56"),
        ("12:34", "12:34:00"),
        ("123456", "12:34:56"),
        ("56", "00:00:56"),
        ("1234", "00:12:34"),
        ("1 10:00:00", "34:00:00"),
        ("2 10", "58:00:00"),
        ("-1 10:00", "-34:00:00"),
        ("12:34:56.5", "12:34:56.5"),
        ("2024-01-31 12:34:56", "12:34:56"),
        ("2024-01-31T12:34:56.25", "12:34:56.25"),
        ("20240131123456", "12:34:56"),
        ("00:00:00.000001", "00:00:00.000001"),
        ("10:11:12.000023", "10:11:12.000023"),
        ("839:00:00", "838:59:59"),
        ("-9999:00:00", "-838:59:59"),
    ] {
        let parsed = parse_time(text).unwrap_or_else(|| panic!("{text} is a time"));
        assert_eq!(parsed.value.to_string(), shown, "{text}");
    }
    for text in ["", "abc", "12:60:00", "00:00:61", "1e5"] {
        assert!(parse_time(text).is_none(), "{text}");
    }
    assert!(parse_time("12:34:56x").expect("time").truncated);
}

#[test]
fn numbers_are_dates_and_times() {
    for (number, shown) in [
        (20240131, Some("2024-01-31 00:00:00")),
        (240131, Some("2024-01-31 00:00:00")),
        (700101, Some("1970-01-01 00:00:00")),
        (20240131123456, Some("2024-01-31 12:34:56")),
        (240131123456, Some("2024-01-31 12:34:56")),
        (0, Some("0000-00-00 00:00:00")),
        (20241301, None),
        (100, None),
        (-5, None),
    ] {
        let value = DateTime::from_number(number, 0, DateRules::LENIENT);
        assert_eq!(value.map(|value| value.to_string()).as_deref(), shown, "{number}");
    }
    assert_eq!(Time::from_number(-123456, 0).expect("time").0.to_string(), "-12:34:56");
    assert!(Time::from_number(9_000_000, 0).expect("clipped").1);
    assert_eq!(Time::from_number(1261, 0), None);
}

#[test]
fn intervals_follow_the_calendar() {
    let add = |text: &str, unit: IntervalUnit, count: i64| {
        datetime(text).add_interval(Interval::of(unit, count).expect("small")).map(|value| value.to_string())
    };
    assert_eq!(add("2024-01-31", IntervalUnit::Month, 1).as_deref(), Some("2024-02-29 00:00:00"));
    assert_eq!(add("2024-02-29", IntervalUnit::Year, -1).as_deref(), Some("2023-02-28 00:00:00"));
    assert_eq!(add("2024-12-31 23:59:59", IntervalUnit::Second, 1).as_deref(), Some("2025-01-01 00:00:00"));
    assert_eq!(add("9999-12-31", IntervalUnit::Day, 1), None);
    assert_eq!(add("2024-01-00", IntervalUnit::Day, 1), None);
    let compound = |unit, text| {
        Interval::parse_compound(unit, text)
            .and_then(|interval| datetime("2024-01-01").add_interval(interval))
            .map(|value| value.to_string())
    };
    assert_eq!(compound(IntervalUnit::MinuteSecond, "1:30").as_deref(), Some("2024-01-01 00:01:30"));
    assert_eq!(compound(IntervalUnit::DaySecond, "-1 1:1:1").as_deref(), Some("2023-12-30 22:58:59"));
    assert_eq!(compound(IntervalUnit::YearMonth, "1-2").as_deref(), Some("2025-03-01 00:00:00"));
    assert_eq!(compound(IntervalUnit::SecondMicrosecond, "1.5").as_deref(), Some("2024-01-01 00:00:01.500000"));
    assert_eq!(datetime("2024-01-31").units_until(datetime("2024-02-29"), IntervalUnit::Month), 0);
    assert_eq!(datetime("2024-03-01").units_until(datetime("2023-01-01"), IntervalUnit::Month), -14);
}

#[test]
fn day_numbers_match_the_manual() {
    for (text, number) in
        [("0000-01-01", 1), ("2007-10-07", 733_321), ("1970-01-01", 719_528), ("9999-12-31", 3_652_424)]
    {
        assert_eq!(day_number(datetime(text).date()), number, "{text}");
    }
    assert_eq!(datetime("2024-07-04").date().weekday(), 3);
    assert_eq!(datetime("2024-12-31").date().day_of_year(), 366);
}

#[test]
fn zones_convert_and_skip_gaps() {
    let berlin = TimeZone::parse("europe/berlin").expect("zone");
    let utc = TimeZone::Offset(0);
    let through =
        |text: &str| utc.from_utc_micros(berlin.to_utc_micros(datetime(text)).expect("valid"), 0).expect("valid");
    assert_eq!(through("2024-01-31 12:00:00"), datetime("2024-01-31 11:00:00"));
    assert_eq!(through("2024-07-31 12:00:00"), datetime("2024-07-31 10:00:00"));
    // 02:30 does not exist on that day: the clocks went from 02:00 to 03:00, which is 01:00 UTC.
    assert_eq!(through("2024-03-31 02:30:00"), datetime("2024-03-31 01:00:00"));
    // 02:30 comes twice on that day; the first is summer time.
    assert_eq!(through("2024-10-27 02:30:00"), datetime("2024-10-27 00:30:00"));
    // A moment in the second 02:30 comes back as itself, although the local times are equal.
    for moment in ["2024-10-27 00:30:00", "2024-10-27 01:30:00", "2024-10-27 02:30:00"] {
        let micros = utc.to_utc_micros(datetime(moment));
        let local = micros.and_then(|micros| berlin.from_utc_micros(micros, 0)).expect("valid");
        assert_eq!(berlin.to_utc_micros(local.round(0).expect("valid").with_fsp(3)), micros, "{moment}");
    }
    assert_eq!(TimeZone::parse("-05:30"), Some(TimeZone::Offset(-19_800)));
    assert_eq!(TimeZone::parse("+15:00"), None);
    assert_eq!(TimeZone::Offset(-19_800).name(), "-05:30");
}

proptest! {
    #[test]
    fn day_numbers_round_trip(days in 366i64..3_652_425) {
        let date = from_day_number(days).expect("in the calendar");
        prop_assert!(date.is_valid());
        prop_assert_eq!(day_number(date), days);
    }

    #[test]
    fn shown_values_parse_back(days in 366i64..3_652_424, micros in 0..MICROS_PER_DAY, fsp in 0u8..=6) {
        let value = DateTime::new(from_day_number(days).expect("in the calendar"), micros, 6).truncate(fsp);
        prop_assert_eq!(datetime(&value.to_string()), value);
        let time = Time::new(micros - MICROS_PER_DAY / 2, 6).truncate(fsp);
        prop_assert_eq!(parse_time(&time.to_string()).expect("shown").value, time);
        prop_assert_eq!(DateTime::from_packed(value.packed(), fsp).to_string(), value.to_string());
    }

    #[test]
    fn any_text_parses_or_not_without_a_panic(text in "[-+:. T0-9eé]{0,40}") {
        let _ = parse_datetime(&text, DateRules::LENIENT);
        let _ = parse_time(&text);
        for unit in [IntervalUnit::DayMicrosecond, IntervalUnit::YearMonth] {
            let _ = Interval::parse_compound(unit, &text);
        }
    }
}
