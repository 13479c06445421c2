//! From errors to ERR packets: SQLSTATEs by error number.

use expr::collation::Charset;
use expr::{ErrorCode, SqlError};
use mysql_common::packets::SqlState;
use opensrv_mysql::ErrorKind;

/// SQLSTATE of an error number; `HY000` for those that have none of their own.
pub fn sqlstate(code: ErrorCode) -> [u8; 5] {
    match code.0 {
        // opensrv's table ends here; asked for another number it panics.
        1000..=1885 => *ErrorKind::from(code.0).sqlstate(),
        3140 | 3141 | 3156 => *b"22032",
        3143 => *b"42000",
        4031 => *b"70100",
        _ => *b"HY000",
    }
}

/// Writes the payload of an ERR packet, its message in the character set of results.
pub fn encode(error: &SqlError, charset: Charset, out: &mut Vec<u8>) {
    out.push(0xff);
    out.extend_from_slice(&error.code.0.to_le_bytes());
    out.push(b'#');
    out.extend_from_slice(&SqlState::new(sqlstate(error.code)).as_bytes());
    // MySQL's limit for a message (MYSQL_ERRMSG_SIZE), cut at a character.
    let mut end = error.message.len().min(511);
    while !error.message.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&charset.encode(&error.message[..end]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_software_reads_are_mysqls() {
        for (code, state) in [
            (1062, "23000"),
            (1146, "42S02"),
            (1064, "42000"),
            (1054, "42S22"),
            (1213, "40001"),
            (1205, "HY000"),
            (1045, "28000"),
            (1452, "23000"),
            (1049, "42000"),
            (1364, "HY000"),
            (3819, "HY000"),
            (1792, "25006"),
        ] {
            assert_eq!(&sqlstate(ErrorCode(code)), state.as_bytes(), "{code}");
        }
    }

    #[test]
    fn every_number_has_a_state() {
        for code in 0..=u16::MAX {
            assert!(sqlstate(ErrorCode(code)).iter().all(u8::is_ascii_alphanumeric));
        }
    }
}
