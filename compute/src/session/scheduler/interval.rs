//! What an event is repeated by: seconds, or months.

use chrono::{DateTime, Months};

const SECOND_US: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    Seconds(u64),
    Months(u32),
}

impl Interval {
    /// `1` DAY, `1:30` HOUR_MINUTE. None for nothing, and for what is too much.
    pub fn parse(count: &str, unit: &str) -> Option<Interval> {
        let numbers: Vec<u64> = count
            .split(|character: char| !character.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(|digits| digits.parse().ok())
            .collect::<Option<_>>()?;
        let seconds = |factors: &[u64]| {
            // The last number is of the last unit.
            let given = numbers.iter().rev().zip(factors.iter().rev());
            given.map(|(number, factor)| number.checked_mul(*factor)).try_fold(0u64, |sum, part| sum.checked_add(part?))
        };
        let one = *numbers.first()?;
        let months = |factor: u64| one.checked_mul(factor).and_then(|months| u32::try_from(months).ok());
        let interval = match unit {
            "YEAR" => Interval::Months(months(12)?),
            "QUARTER" => Interval::Months(months(3)?),
            "MONTH" => Interval::Months(months(1)?),
            "YEAR_MONTH" => {
                let all = numbers.iter().rev().zip([1, 12]).map(|(number, factor)| number * factor).sum::<u64>();
                Interval::Months(u32::try_from(all).ok()?)
            }
            "WEEK" => Interval::Seconds(one.checked_mul(604_800)?),
            "DAY" => Interval::Seconds(one.checked_mul(86_400)?),
            "HOUR" => Interval::Seconds(one.checked_mul(3_600)?),
            "MINUTE" => Interval::Seconds(one.checked_mul(60)?),
            "SECOND" => Interval::Seconds(one),
            "DAY_HOUR" => Interval::Seconds(seconds(&[86_400, 3_600])?),
            "DAY_MINUTE" => Interval::Seconds(seconds(&[86_400, 3_600, 60])?),
            "DAY_SECOND" => Interval::Seconds(seconds(&[86_400, 3_600, 60, 1])?),
            "HOUR_MINUTE" => Interval::Seconds(seconds(&[3_600, 60])?),
            "HOUR_SECOND" => Interval::Seconds(seconds(&[3_600, 60, 1])?),
            _ => return None,
        };
        (!matches!(interval, Interval::Seconds(0) | Interval::Months(0))).then_some(interval)
    }

    /// The first of its times that is later than `after_us`.
    pub fn next(self, starts_us: u64, after_us: u64) -> Option<u64> {
        if starts_us > after_us {
            return Some(starts_us);
        }
        match self {
            Interval::Seconds(seconds) => {
                let length_us = seconds.checked_mul(SECOND_US)?;
                let passed = (after_us - starts_us) / length_us;
                starts_us.checked_add(length_us.checked_mul(passed + 1)?)
            }
            Interval::Months(months) => {
                let start = DateTime::from_timestamp_micros(i64::try_from(starts_us).ok()?)?;
                // No month is longer than this: never too far.
                let passed = (after_us - starts_us) / (31 * 86_400 * SECOND_US) / u64::from(months);
                let mut times = u32::try_from(passed).ok()?;
                loop {
                    let time = start.checked_add_months(Months::new(months.checked_mul(times)?))?;
                    let time_us = u64::try_from(time.timestamp_micros()).ok()?;
                    if time_us > after_us {
                        return Some(time_us);
                    }
                    times = times.checked_add(1)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_their_end() {
        assert_eq!(Interval::parse("2", "DAY"), Some(Interval::Seconds(172_800)));
        assert_eq!(Interval::parse("1:30", "HOUR_MINUTE"), Some(Interval::Seconds(5_400)));
        assert_eq!(Interval::parse("1 2:00:05", "DAY_SECOND"), Some(Interval::Seconds(93_605)));
        assert_eq!(Interval::parse("1-2", "YEAR_MONTH"), Some(Interval::Months(14)));
        assert_eq!(Interval::parse("0", "DAY"), None);
        assert_eq!(Interval::parse("99999999999999999999", "DAY"), None);
        assert_eq!(Interval::parse("18446744073709551615", "DAY"), None);
    }

    #[test]
    fn the_next_time_is_a_whole_number_of_intervals_after_the_start() {
        let day = Interval::Seconds(86_400);
        assert_eq!(day.next(5, 4), Some(5));
        assert_eq!(day.next(5, 5), Some(5 + 86_400 * SECOND_US));
        assert_eq!(day.next(5, 5 + 86_400 * SECOND_US * 1000), Some(5 + 86_400 * SECOND_US * 1001));
        // 2024-01-31: the month after has no such day, the one after that has.
        let start = 1_706_659_200 * SECOND_US;
        let month = Interval::Months(1);
        assert_eq!(month.next(start, start), Some(1_709_164_800 * SECOND_US));
        assert_eq!(month.next(start, 1_709_164_800 * SECOND_US), Some(1_711_843_200 * SECOND_US));
    }
}
