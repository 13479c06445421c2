//! FLOAT and DOUBLE as text, the way MySQL shows them: shortest digits, exponents only far from the point.

/// The point may be at most this many digits away for a form without exponent: what a double always holds exactly.
const PLAIN_DIGITS_MAX: i32 = 15;
/// A FLOAT shows at most six digits.
const FLOAT_DIGITS: usize = 6;

/// `0.1`, `100000000000000`, `1e15`, `1.5e-20`.
pub fn double(number: f64) -> String {
    special(number).unwrap_or_else(|| from_scientific(&format!("{number:e}")))
}

/// Like [`double`], with six digits.
pub fn float(number: f32) -> String {
    let precision = FLOAT_DIGITS - 1;
    special(number as f64).unwrap_or_else(|| from_scientific(&format!("{:.precision$e}", number as f64)))
}

/// With exactly `decimals` digits after the point, as FLOAT(M,D) and DOUBLE(M,D) columns show.
pub fn fixed(number: f64, decimals: u8) -> String {
    format!("{number:.0$}", decimals as usize)
}

fn special(number: f64) -> Option<String> {
    // No column holds these; -0 shows as MySQL shows it.
    if number == 0.0 {
        return Some(if number.is_sign_negative() { "-0".into() } else { "0".into() });
    }
    if number.is_finite() { None } else { Some(if number.is_nan() { "nan".into() } else { format!("{number}") }) }
}

/// From `d.ddde±x`.
fn from_scientific(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    // Where the point is, counted from the first digit.
    let point = exponent + 1;
    if !(1 - PLAIN_DIGITS_MAX..=PLAIN_DIGITS_MAX).contains(&point) {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{dot}{rest}e{exponent}");
    }
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(-point as usize));
    }
    let point = point as usize;
    if digits.len() <= point {
        return format!("{sign}{digits}{}", "0".repeat(point - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..point], &digits[point..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_show_their_shortest_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (1.25e20, "1.25e20"),
            (1e-10, "0.0000000001"),
            (1.5e-20, "1.5e-20"),
            (1.7976931348623157e308, "1.7976931348623157e308"),
            (123456.789, "123456.789"),
        ] {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn floats_show_six_digits() {
        for (number, text) in [(0.1f32, "0.1"), (1.234567, "1.23457"), (16777216.0, "16777200"), (1e20, "1e20")] {
            assert_eq!(float(number), text);
        }
        assert_eq!(fixed(1.5, 2), "1.50");
    }
}
