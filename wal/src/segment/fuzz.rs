//! See `crate::fuzz`.

use super::LogEntry;
use super::record::decode_entry;
use bytes::Bytes;

pub fn record(body: Bytes) -> Option<LogEntry> {
    decode_entry(body)
}
