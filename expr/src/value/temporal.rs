//! DATE, DATETIME and TIME values, zero dates and zero parts included. Manual: "Date and Time Data Types" (13.2).
//!
//! Packed so that the order of the numbers is the order of the values, and so that they are the stored form.

/// Bits from the top: year (0..=9999), month (0..=12, 4 bits), day (0..=31, 5 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

/// `date` × 86,400,000,000 + microseconds of the day; `fsp` digits are shown.
#[derive(Debug, Clone, Copy)]
pub struct DateTime {
    packed: i64,
    fsp: u8,
}

/// Signed microseconds, at most 838:59:59; `fsp` digits are shown.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    micros: i64,
    fsp: u8,
}

pub const MICROS_PER_DAY: i64 = 86_400_000_000;

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
}

impl DateTime {
    pub fn new(date: Date, micros_of_day: i64, fsp: u8) -> DateTime {
        DateTime { packed: date.packed() as i64 * MICROS_PER_DAY + micros_of_day, fsp }
    }

    pub fn from_packed(packed: i64, fsp: u8) -> DateTime {
        DateTime { packed, fsp }
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
}

impl Time {
    pub fn new(micros: i64, fsp: u8) -> Time {
        Time { micros, fsp }
    }

    pub fn micros(self) -> i64 {
        self.micros
    }

    pub fn fsp(self) -> u8 {
        self.fsp
    }
}
