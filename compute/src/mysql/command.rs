//! Commands of the protocol, decoded from hostile bytes. Manual: MySQL Internals, "Command Phase".

use expr::collation::CollationId;
use expr::{ErrorCode, SqlError};
use mysql_common::io::ParseBuf;

#[derive(Debug)]
pub enum Command<'a> {
    Quit,
    InitDatabase(&'a [u8]),
    Query(&'a [u8]),
    FieldList {
        table: &'a [u8],
    },
    /// FLUSH, of tables or of something that there is not here.
    Refresh {
        tables: bool,
    },
    Statistics,
    /// Writes what MySQL knows to its log, for its developers.
    Debug,
    Kill {
        connection: u32,
    },
    Ping,
    ChangeUser(ChangeUser),
    ResetConnection,
    Prepare(&'a [u8]),
    /// `payload`: null bitmap, types and values.
    Execute {
        statement: u32,
        cursor: u8,
        payload: &'a [u8],
    },
    LongData {
        statement: u32,
        parameter: u16,
        data: &'a [u8],
    },
    Close {
        statement: u32,
    },
    ResetStatement {
        statement: u32,
    },
    /// Rows of a cursor, at most so many.
    Fetch {
        statement: u32,
        rows: u32,
    },
    SetOption {
        multi_statements: bool,
    },
}

/// COM_CHANGE_USER; the password is asked for anew, so its first answer is left out.
#[derive(Debug)]
pub struct ChangeUser {
    pub user: String,
    pub database: Option<String>,
    pub collation: Option<CollationId>,
}

impl Command<'_> {
    pub fn decode(message: &[u8]) -> Result<Command<'_>, SqlError> {
        let (&code, rest) = message.split_first().ok_or_else(malformed)?;
        let mut buffer = ParseBuf(rest);
        Ok(match code {
            0x01 => Command::Quit,
            0x02 => Command::InitDatabase(rest),
            0x03 => Command::Query(rest),
            0x04 => Command::FieldList { table: rest.split(|byte| *byte == 0).next().unwrap_or_default() },
            0x07 => Command::Refresh { tables: buffer.checked_eat_u8().ok_or_else(malformed)? & REFRESH_TABLES != 0 },
            0x09 => Command::Statistics,
            0x0c => Command::Kill { connection: u32_le(&mut buffer)? },
            0x0d => Command::Debug,
            0x0e => Command::Ping,
            0x11 => Command::ChangeUser(change_user(&mut buffer)?),
            0x16 => Command::Prepare(rest),
            0x17 => {
                let statement = u32_le(&mut buffer)?;
                let cursor = buffer.checked_eat_u8().ok_or_else(malformed)?;
                // The iteration count is always 1.
                u32_le(&mut buffer)?;
                Command::Execute { statement, cursor, payload: buffer.0 }
            }
            0x18 => {
                let statement = u32_le(&mut buffer)?;
                let parameter = buffer.checked_eat_u16_le().ok_or_else(malformed)?;
                Command::LongData { statement, parameter, data: buffer.0 }
            }
            0x19 => Command::Close { statement: u32_le(&mut buffer)? },
            0x1a => Command::ResetStatement { statement: u32_le(&mut buffer)? },
            0x1b => match buffer.checked_eat_u16_le() {
                Some(0) => Command::SetOption { multi_statements: true },
                Some(1) => Command::SetOption { multi_statements: false },
                _ => return Err(SqlError::new(ErrorCode::UNKNOWN_COM, "Unknown command")),
            },
            0x1c => {
                let statement = u32_le(&mut buffer)?;
                Command::Fetch { statement, rows: u32_le(&mut buffer)? }
            }
            0x1f => Command::ResetConnection,
            _ => return Err(SqlError::new(ErrorCode::UNKNOWN_COM, "Unknown command")),
        })
    }
}

const REFRESH_TABLES: u8 = 0x04;

fn change_user(buffer: &mut ParseBuf<'_>) -> Result<ChangeUser, SqlError> {
    let user = null_terminated(buffer)?;
    let answer_length = buffer.checked_eat_u8().ok_or_else(malformed)?;
    buffer.checked_eat(answer_length.into()).ok_or_else(malformed)?;
    let database = Some(null_terminated(buffer)?).filter(|name| !name.is_empty());
    let collation = buffer.checked_eat_u16_le().map(CollationId);
    Ok(ChangeUser { user, database, collation })
}

fn null_terminated(buffer: &mut ParseBuf<'_>) -> Result<String, SqlError> {
    let end = buffer.0.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
    let text = String::from_utf8_lossy(&buffer.0[..end]).into_owned();
    buffer.0 = &buffer.0[end + 1..];
    Ok(text)
}

fn u32_le(buffer: &mut ParseBuf<'_>) -> Result<u32, SqlError> {
    buffer.checked_eat_u32_le().ok_or_else(malformed)
}

fn malformed() -> SqlError {
    SqlError::new(ErrorCode(1835), "Malformed communication packet.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_commands_are_refused() {
        for code in [0x00, 0x05, 0x0f, 0x12, 0x1e, 0xee] {
            assert_eq!(Command::decode(&[code]).unwrap_err().code, ErrorCode::UNKNOWN_COM);
        }
        assert_eq!(Command::decode(&[]).unwrap_err().code, ErrorCode(1835));
        assert_eq!(Command::decode(&[0x17, 1]).unwrap_err().code, ErrorCode(1835));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
            let _ = Command::decode(&bytes);
        }
    }
}
