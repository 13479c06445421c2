//! Bad input made from good: what clients, disks and networks never give by themselves.

use common::env::random::Random;
use std::ops::Range;

/// Some bytes are others, gone, there twice, or of another payload.
pub fn mutated(payload: &[u8], others: &[Vec<u8>], random: &Random) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(7) {
            0 => bytes.insert(at, random.u64() as u8),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => {
                bytes[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfe, 0xff, b'\'', b'(', b'`'][random.below(11) as usize]
            }
            4 => {
                let piece = bytes[at..].iter().take(random.below(40) as usize).copied().collect::<Vec<_>>();
                let again = random.below(8) as usize;
                bytes.splice(at..at, piece.repeat(again));
            }
            5 => {
                let end = (at + random.below(12) as usize).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let other = &others[random.below(others.len() as u64) as usize];
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Words are others, gone, there twice, or of another statement: more of these come past the parser.
pub fn reworded(statement: &[u8], others: &[Vec<u8>], random: &Random) -> Vec<u8> {
    let words = |text: &[u8]| text.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut own = words(statement);
    for _ in 0..=random.below(2) {
        let at = random.below(own.len() as u64 + 1) as usize;
        // Its own words are names that are there.
        let other = match random.below(2) {
            0 => own.clone(),
            _ => words(&others[random.below(others.len() as u64) as usize]),
        };
        let from = random.below(other.len() as u64) as usize;
        match random.below(5) {
            0 | 1 if at < own.len() => own[at] = other[from].clone(),
            2 if at < own.len() && own.len() > 1 => drop(own.remove(at)),
            3 => own.insert(at, other[from].clone()),
            _ => {
                let until = (from + 1 + random.below(6) as usize).min(other.len());
                own.splice(at..at, other[from..until].iter().cloned());
            }
        }
    }
    own.join(&b' ')
}

/// What stands where a value stood.
const VALUES: [&str; 24] = [
    "NULL",
    "0",
    "-1",
    "1.5",
    "1e308",
    "-9223372036854775808",
    "18446744073709551616",
    "0.00000000000000000000000000000000000001",
    "''",
    "'a'",
    "'\u{1f600}'",
    "'2024-02-30'",
    "'0000-00-00'",
    "'838:59:59.999999'",
    "'[1, {\"a\": null}]'",
    "'$.a[last]'",
    "X'00ff'",
    "b'101'",
    "TRUE",
    "DATE'2024-02-29'",
    "(SELECT 1)",
    "REPEAT('x', 5000)",
    "_binary'\\\\'",
    "@unset",
];

/// Values are others: most of these are run.
pub fn revalued(statement: &[u8], _: &[Vec<u8>], random: &Random) -> Vec<u8> {
    let mut bytes = statement.to_vec();
    for _ in 0..=random.below(2) {
        let values = values(&bytes);
        if values.is_empty() {
            break;
        }
        let chosen = values[random.below(values.len() as u64) as usize].clone();
        let value = match random.below(4) {
            // One that stands there already, elsewhere.
            0 => bytes[values[random.below(values.len() as u64) as usize].clone()].to_vec(),
            _ => VALUES[random.below(VALUES.len() as u64) as usize].as_bytes().to_vec(),
        };
        bytes.splice(chosen, value);
    }
    bytes
}

/// Where numbers and quoted texts stand.
fn values(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'.';
        match bytes[start] {
            b'\'' => {
                at += bytes[at..].iter().position(|byte| *byte == b'\'').map_or(bytes.len() - at, |end| end + 1);
                found.push(start..at);
            }
            b'`' => at += bytes[at..].iter().position(|byte| *byte == b'`').map_or(bytes.len() - at, |end| end + 1),
            byte if in_word(&byte) => {
                at += bytes[at..].iter().take_while(|byte| in_word(byte)).count();
                if byte.is_ascii_digit() {
                    found.push(start..at);
                }
            }
            _ => {}
        }
    }
    found
}
