//! From errors to ERR packets.

use expr::SqlError;
use expr::collation::Charset;
use mysql_common::packets::SqlState;

/// Writes the payload of an ERR packet, its message in the character set of results.
pub fn encode(error: &SqlError, charset: Charset, out: &mut Vec<u8>) {
    out.push(0xff);
    out.extend_from_slice(&error.code.0.to_le_bytes());
    out.push(b'#');
    out.extend_from_slice(&SqlState::new(error.sqlstate()).as_bytes());
    // MySQL's limit for a message (MYSQL_ERRMSG_SIZE), cut at a character.
    let mut end = error.message.len().min(511);
    while !error.message.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&charset.encode(&error.message[..end]));
}

#[cfg(test)]
mod tests {
    use expr::ErrorCode;
    use expr::sqlstate::of as sqlstate;
    use opensrv_mysql::ErrorKind;

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
    fn states_are_those_of_the_manual() {
        let state = |bytes: &[u8; 5]| String::from_utf8_lossy(bytes).into_owned();
        let both = |code| (code, state(&sqlstate(ErrorCode(code))), state(ErrorKind::from(code).sqlstate()));
        let others: Vec<_> = (1000..=1885).map(both).filter(|(_, ours, theirs)| ours != theirs).collect();
        assert_eq!(others, []);
    }
}
