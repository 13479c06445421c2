//! XA: names of global transactions, and the statements about them.

use expr::{ErrorCode, SqlError};

/// Bytes of each part of a name at most.
pub const PART_BYTES_MAX: usize = 64;

/// The name that a transaction manager gives to a branch of a global transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xid {
    pub format: u64,
    pub global: Vec<u8>,
    pub branch: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XaStatement {
    /// `joins`: JOIN or RESUME, which MySQL knows and refuses.
    Start {
        xid: Xid,
        joins: bool,
    },
    /// `suspends`: SUSPEND, the same.
    End {
        xid: Xid,
        suspends: bool,
    },
    Prepare(Xid),
    Commit {
        xid: Xid,
        one_phase: bool,
    },
    Rollback(Xid),
    /// `convert`: names in hexadecimal digits.
    Recover {
        convert: bool,
    },
}

impl Xid {
    /// The order of these bytes is that of names; see [`Xid::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.format.to_be_bytes().to_vec();
        bytes.push(self.global.len() as u8);
        bytes.extend(&self.global);
        bytes.extend(&self.branch);
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Xid> {
        let (format, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let (global, branch) = rest.split_at_checked(usize::from(*length))?;
        (global.len().max(branch.len()) <= PART_BYTES_MAX).then(|| Xid {
            format: u64::from_be_bytes(*format),
            global: global.to_vec(),
            branch: branch.to_vec(),
        })
    }
}

/// Errors of XA, each with MySQL's text.
pub mod errors {
    use super::{ErrorCode, SqlError};

    pub fn unknown() -> SqlError {
        SqlError::new(ErrorCode(1397), "XAER_NOTA: Unknown XID")
    }
    pub fn invalid() -> SqlError {
        SqlError::new(ErrorCode(1398), "XAER_INVAL: Invalid arguments (or unsupported command)")
    }
    pub fn wrong_state(state: &str) -> SqlError {
        let text =
            format!("XAER_RMFAIL: The command cannot be executed when global transaction is in the  {state} state");
        SqlError::new(ErrorCode(1399), text)
    }
    pub fn outside() -> SqlError {
        SqlError::new(ErrorCode(1400), "XAER_OUTSIDE: Some work is done outside global transaction")
    }
    pub fn failed(why: &str) -> SqlError {
        let text = format!(
            "XAER_RMERR: Fatal error occurred in the transaction branch - check your data for consistency: {why}"
        );
        SqlError::new(ErrorCode(1401), text)
    }
    pub fn rolled_back() -> SqlError {
        SqlError::new(ErrorCode(1402), "XA_RBROLLBACK: Transaction branch was rolled back")
    }
    pub fn duplicate() -> SqlError {
        SqlError::new(ErrorCode(1440), "XAER_DUPID: The XID already exists")
    }
    pub fn deadlock() -> SqlError {
        let text = "XA_RBDEADLOCK: Transaction branch was rolled back: deadlock was detected";
        SqlError::new(ErrorCode(1614), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_bytes() {
        let xid = Xid { format: 1, global: b"g".to_vec(), branch: vec![0, 255] };
        assert_eq!(Xid::from_bytes(&xid.to_bytes()), Some(xid.clone()));
        assert_eq!(Xid::from_bytes(&xid.to_bytes()[..8]), None);
        let other = Xid { global: b"g\0".to_vec(), branch: vec![255], ..xid.clone() };
        assert_ne!(other.to_bytes(), xid.to_bytes());
    }
}
