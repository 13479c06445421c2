//! Dates and times as text.

use super::{Date, DateTime, Time};
use std::fmt;

fn push_digits(text: &mut String, number: u32, width: usize) {
    let mut buffer = [b'0'; 10];
    let mut rest = number;
    let mut start = buffer.len();
    while rest > 0 || buffer.len() - start < width {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text.extend(buffer[start..].iter().map(|digit| *digit as char));
}

fn push_fraction(text: &mut String, micros: u32, fsp: u8) {
    if fsp > 0 {
        let fsp = fsp.min(6);
        text.push('.');
        push_digits(text, micros / 10u32.pow(6 - fsp as u32), fsp as usize);
    }
}

fn push_clock(text: &mut String, hour: u32, minute: u8, second: u8) {
    push_digits(text, hour, 2);
    text.push(':');
    push_digits(text, minute as u32, 2);
    text.push(':');
    push_digits(text, second as u32, 2);
}

impl Date {
    /// Appends `2024-01-31`.
    pub fn write_text(self, text: &mut String) {
        push_digits(text, self.year() as u32, 4);
        text.push('-');
        push_digits(text, self.month() as u32, 2);
        text.push('-');
        push_digits(text, self.day() as u32, 2);
    }
}

impl DateTime {
    /// Appends `2024-01-31 12:34:56.000`, with as many digits as it has.
    pub fn write_text(self, text: &mut String) {
        self.date().write_text(text);
        text.push(' ');
        push_clock(text, self.hour() as u32, self.minute(), self.second());
        push_fraction(text, self.microsecond(), self.fsp);
    }
}

impl Time {
    /// Appends `-838:59:59`.
    pub fn write_text(self, text: &mut String) {
        if self.is_negative() {
            text.push('-');
        }
        push_clock(text, self.hours(), self.minute(), self.second());
        push_fraction(text, self.microsecond(), self.fsp);
    }
}

macro_rules! display {
    ($($name:ty),*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity(26);
                self.write_text(&mut text);
                formatter.pad(&text)
            }
        })*
    };
}
display!(Date, DateTime, Time);
