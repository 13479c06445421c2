//! Where bytes of the log are read, for the programs that try bad ones (`fuzz/` beside the packages). Checksums are left
//! out: whoever damages a record on purpose makes them right.

use crate::raft::Command;
use crate::raft::fuzz::{entry, snapshot};
use crate::segment::fuzz::record;
use bytes::Bytes;

/// The body of a record, and what is in its entry.
pub fn log_record(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    if let Some(found) = record(body.clone()) {
        entry(&found);
        command(&found.payload);
    }
    command(&body);
}

fn command(bytes: &Bytes) {
    let Ok(command) = Command::from_encoded(bytes.clone()) else { return };
    let _ = (command.last_lsn(), command.encoded_batch());
    if let Ok(kind) = command.decode() {
        let again = Command::new(&kind).expect("what was read can be written");
        assert_eq!(again.decode(), Ok(kind), "it is read as it was written");
    }
}

/// What a snapshot of the log's history holds.
pub fn history(bytes: &[u8]) {
    snapshot(bytes);
}
