//! See `crate::fuzz`.

use super::log_store;
use super::snapshot::SnapshotState;
use crate::segment::LogEntry;

pub fn entry(found: &LogEntry) {
    let _ = log_store::decode(found);
}

pub fn snapshot(bytes: &[u8]) {
    if let Ok(state) = SnapshotState::decode(bytes) {
        let again = state.encode().expect("what was read can be written");
        assert!(SnapshotState::decode(&again).is_ok(), "it is read as it was written");
    }
}
