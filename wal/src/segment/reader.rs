//! Reader: one record at a known place, checked again, because disks change their minds.

use super::disk::DiskFile;
use super::index::Position;
use super::record::{self, LogEntry, RECORD_HEADER_BYTES, RecordHeader, RecordKind};
use bytes::Bytes;
use std::io;
use std::path::Path;

/// Reads the entry whose record is at `position`. The error names file, offset and what to do.
pub fn read_entry(file: &dyn DiskFile, path: &Path, position: &Position, index: u64) -> io::Result<LogEntry> {
    let damaged = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "log segment {} is damaged at offset {}: {what}; check the disk, then restore this node's log from \
                 another wal node or start it with an empty directory to let it rejoin",
                path.display(),
                position.offset
            ),
        )
    };
    let mut bytes = vec![0; RECORD_HEADER_BYTES + position.body_bytes as usize];
    file.read_exact_at(&mut bytes, u64::from(position.offset)).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("read log segment {} at offset {}: {error}", path.display(), position.offset),
        )
    })?;
    let bytes = Bytes::from(bytes);
    let header_bytes = bytes[..RECORD_HEADER_BYTES].try_into().map_err(|_| damaged("the record is cut off"))?;
    let header = RecordHeader::decode(header_bytes, position.segment, u64::from(position.offset))
        .ok_or_else(|| damaged("the record's header does not match its checksum"))?;
    let body = bytes.slice(RECORD_HEADER_BYTES..);
    if header.kind != RecordKind::Entry || !header.matches_body(&body) {
        return Err(damaged("the record does not match its checksum"));
    }
    let entry = record::decode_entry(body).ok_or_else(|| damaged("the record is too short for an entry"))?;
    if (entry.index, entry.term) != (index, position.term) {
        return Err(damaged("the record holds another entry than it did"));
    }
    Ok(entry)
}
