//! A floating point number in so many characters: with fewer digits where not all of them fit.
//!
//! Plain or with an exponent, whichever shows more digits; plain if both show the same. Beyond what a double is exact in
//! (15 places on either side of the point) always with an exponent.

/// Places before or after the point from which a number has an exponent.
const PLACES_MAX: i32 = 15;

/// The text, and whether the number fits; if not, it is cut.
pub(super) fn double_text(number: f64, characters: usize) -> (String, bool) {
    if characters == 0 {
        return (String::new(), false);
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let mut room = characters as i32 - sign.len() as i32;
    let number = number.abs();
    let (mut digits, mut point) = significant(number, room.max(1) as usize);
    let exponent_digits = 1 + i32::from(point >= 101 || point <= -99) + i32::from(point >= 11 || point <= -9);
    let count = digits.len() as i32;
    let plain_characters = match point {
        ..=0 => count - point + 2,
        point if point < count => count + 1,
        point => point,
    };
    let shows_more = match point {
        // Zeros behind the point against a point of its own and an exponent with a sign.
        ..=0 => {
            let beside_exponent = match room - 2 - exponent_digits {
                ..=0 => 0,
                1 | 2 => 1,
                characters => characters - 1,
            };
            point >= -exponent_digits - 1 && (room - 2 + point).max(0) >= beside_exponent
        }
        point => point <= room,
    };
    let forced = !(1 - PLACES_MAX..=PLACES_MAX).contains(&point);
    let mut fits = true;
    let text = if (plain_characters <= room || shows_more) && !forced {
        room -= i32::from(point < count) + if point <= 0 { 1 - point } else { 0 };
        if room < count {
            if room < point {
                fits = false;
                room = point;
            }
            (digits, point) = after_point(number, (room - point).max(0) as usize);
        }
        plain(sign, &digits, point)
    } else {
        let exponent = point - 1;
        room -= i32::from(exponent < 0) + 1 + exponent_digits + i32::from(count > 1);
        if room <= 0 {
            fits = false;
            room = 0;
        }
        let mut exponent = exponent;
        if room < count {
            (digits, point) = significant(number, room.max(1) as usize);
            exponent = point - 1;
        }
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}e{exponent}")
    };
    (text.chars().take(characters).collect(), fits)
}

/// The fewest digits that tell the number from others, or so many; and where the point is behind the first of them.
fn significant(number: f64, digits_max: usize) -> (String, i32) {
    let shortest = parts(&format!("{number:e}"));
    if shortest.0.len() <= digits_max { shortest } else { parts(&format!("{number:.*e}", digits_max - 1)) }
}

/// `1.25e3`: ("125", 4). Zero has one digit.
fn parts(scientific: &str) -> (String, i32) {
    let (mantissa, exponent) = scientific.split_once('e').expect("a number with an exponent");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let kept = digits.trim_end_matches('0');
    let digits = if kept.is_empty() { "0" } else { kept };
    (digits.to_owned(), exponent.parse::<i32>().expect("an exponent") + 1)
}

/// Rounded to so many digits after the point.
fn after_point(number: f64, decimals: usize) -> (String, i32) {
    let text = format!("{number:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_matches('0').to_owned();
    (digits, whole.len() as i32 - leading as i32)
}

fn plain(sign: &str, digits: &str, point: i32) -> String {
    if digits.is_empty() {
        return "0".to_owned();
    }
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point as usize;
    if digits.len() <= point {
        return format!("{sign}{digits}{}", "0".repeat(point - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..point], &digits[point..])
}

#[cfg(test)]
mod tests {
    use super::double_text;

    #[test]
    fn a_number_has_the_digits_that_fit() {
        let cases = [
            (1.23456789, 5, "1.235", true),
            (1e15, 3, "1e1", false),
            (123456789.0, 5, "1.2e8", true),
            (1e20, 5, "1e20", true),
            (-1.5e-7, 3, "-1e", false),
            (0.000123456, 5, "1e-4", true),
            (-123456.5, 5, "-1e5", true),
            (99.96, 3, "100", true),
            (1.0 / 3.0, 3, "0.3", true),
            (1e100 / 3.0, 5, "3e99", true),
            (0.0, 1, "0", true),
        ];
        for (number, characters, text, fits) in cases {
            assert_eq!(double_text(number, characters), (text.to_owned(), fits), "{number} in {characters}");
        }
    }
}
