//! Session changes in OK packets. Manual: MySQL Internals, "OK_Packet", "Session State Information".

use crate::session::Change;
use mysql_common::io::BufMutExt;

const SYSTEM_VARIABLES: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;

/// What follows the info text of an OK packet whose status says that the session changed.
pub fn encode(changes: &[Change], out: &mut Vec<u8>) {
    let mut all = Vec::new();
    for change in changes {
        let (kind, data) = match change {
            Change::Variable { name, value } => {
                let mut data = Vec::new();
                data.put_lenenc_str(name.as_bytes());
                data.put_lenenc_str(value.as_bytes());
                (SYSTEM_VARIABLES, data)
            }
            Change::Schema(name) => {
                let mut data = Vec::new();
                data.put_lenenc_str(name.as_bytes());
                (SCHEMA, data)
            }
            Change::State => {
                let mut data = Vec::new();
                data.put_lenenc_str(b"1");
                (STATE_CHANGE, data)
            }
        };
        all.push(kind);
        all.put_lenenc_str(&data);
    }
    out.put_lenenc_str(&all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_laid_out_as_clients_read_them() {
        let changes = [
            Change::Variable { name: "autocommit".into(), value: "OFF".into() },
            Change::Schema("shop".into()),
            Change::State,
        ];
        let mut out = Vec::new();
        encode(&changes, &mut out);
        let expected =
            [&[28][..], &[0, 15, 10], b"autocommit", &[3], b"OFF", &[1, 5, 4], b"shop", &[2, 2, 1], b"1"].concat();
        assert_eq!(out, expected);
    }
}
