//! Records: the bytes of one entry or one fact in a segment file. The layout is in `docs/formats.md`.
//!
//! The header's checksum covers the segment's number and the record's offset, so bytes that are valid somewhere else
//! (a recycled block, a copied file) are not valid here. `group_start` is the offset where the write that carried the
//! record began; the writer starts a group only after everything before it is synced, which is how recovery tells a
//! torn write from damage.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// "Drumlin log segment".
pub const SEGMENT_MAGIC: [u8; 8] = *b"DRLOGSEG";
pub const SEGMENT_VERSION: u32 = 1;
pub const SEGMENT_HEADER_BYTES: usize = 32;
pub const RECORD_HEADER_BYTES: usize = 24;
/// Records begin at multiples of this.
pub const RECORD_ALIGNMENT: usize = 8;
/// Index, term and LSN (8 bytes each) and the payload's kind (8 with padding), before an entry's payload.
const ENTRY_PREFIX_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    Entry = 1,
    Meta = 2,
    /// The last record of a segment that has a successor. No body.
    Seal = 3,
}

impl RecordKind {
    fn from_tag(tag: u8) -> Option<RecordKind> {
        Some(match tag {
            1 => RecordKind::Entry,
            2 => RecordKind::Meta,
            3 => RecordKind::Seal,
            _ => return None,
        })
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub index: u64,
    pub term: u64,
    /// Newest LSN after this entry; 0 where the entry itself does not say (it carries no transactions).
    pub last_lsn: u64,
    /// What the payload is; meaningful to the layer above only.
    pub payload_kind: u8,
    pub payload: Bytes,
}

/// Names an entry without its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryMark {
    pub term: u64,
    pub index: u64,
}

/// A fact that must survive a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Meta {
    /// Opaque here.
    Vote(Bytes),
    Committed(EntryMark),
    /// Entries above this index are void; all of them for `None`.
    Truncate {
        keep: Option<u64>,
    },
    /// Entries up to this one are no longer needed; `lsn` is the newest among them.
    Purge {
        mark: EntryMark,
        lsn: u64,
    },
    /// First in every segment: all of the above as it stood, so that older segments can go.
    Checkpoint {
        vote: Option<Bytes>,
        committed: Option<EntryMark>,
        purged: Option<(EntryMark, u64)>,
    },
}

/// A record's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    pub kind: RecordKind,
    pub body_bytes: u32,
    pub group_start: u32,
    body_crc: u32,
}

impl RecordHeader {
    /// Header, body and padding.
    pub fn total_bytes(&self) -> u64 {
        padded(RECORD_HEADER_BYTES + self.body_bytes as usize) as u64
    }

    /// `None` where these are not the bytes of a header written at this place.
    pub fn decode(bytes: &[u8; RECORD_HEADER_BYTES], segment: u64, offset: u64) -> Option<RecordHeader> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(20) != header_crc(&bytes[..20], segment, offset) || bytes[5..8] != [0; 3] || word(16) != 0 {
            return None;
        }
        let kind = RecordKind::from_tag(bytes[4])?;
        Some(RecordHeader { kind, body_bytes: word(0), group_start: word(8), body_crc: word(12) })
    }

    pub fn matches_body(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes as usize && crc_fast::crc32_iscsi(body) == self.body_crc
    }
}

fn header_crc(first_20: &[u8], segment: u64, offset: u64) -> u32 {
    let mut covered = [0; 36];
    covered[..20].copy_from_slice(first_20);
    covered[20..28].copy_from_slice(&segment.to_le_bytes());
    covered[28..].copy_from_slice(&offset.to_le_bytes());
    crc_fast::crc32_iscsi(&covered)
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(RECORD_ALIGNMENT)
}

/// Size in a file of an entry's record.
pub fn entry_record_bytes(entry: &LogEntry) -> usize {
    padded(RECORD_HEADER_BYTES + ENTRY_PREFIX_BYTES + entry.payload.len())
}

/// Size of the body of an entry's record.
pub fn entry_body_bytes(entry: &LogEntry) -> usize {
    ENTRY_PREFIX_BYTES + entry.payload.len()
}

/// Size in a file of a record with such a body.
pub fn record_bytes(body_bytes: usize) -> usize {
    padded(RECORD_HEADER_BYTES + body_bytes)
}

pub fn encode_segment_header(number: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(&SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&number.to_le_bytes());
    let crc = crc_fast::crc32_iscsi(&header[..24]);
    header[24..28].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What is wrong with a segment's header, in words; `Ok` where nothing is.
pub fn check_segment_header(header: &[u8; SEGMENT_HEADER_BYTES], number: u64) -> Result<(), &'static str> {
    if *header == encode_segment_header(number) {
        return Ok(());
    }
    if header[..8] != SEGMENT_MAGIC {
        return Err("it does not begin as a log segment does");
    }
    if header[8..12] != SEGMENT_VERSION.to_le_bytes() && {
        let crc = crc_fast::crc32_iscsi(&header[..24]);
        header[24..28] == crc.to_le_bytes()
    } {
        return Err("it was written by another version of Drumlin");
    }
    Err("its header is damaged, or the file was renamed")
}

/// Where a buffer of records goes.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub segment: u64,
    /// Offset in the segment of the buffer's first byte.
    pub buffer_offset: u64,
    pub group_start: u32,
}

/// Appends the record of an entry to `buffer`.
pub fn encode_entry(buffer: &mut Vec<u8>, place: Place, entry: &LogEntry) {
    let start = begin_record(buffer);
    buffer.extend_from_slice(&entry.index.to_le_bytes());
    buffer.extend_from_slice(&entry.term.to_le_bytes());
    buffer.extend_from_slice(&entry.last_lsn.to_le_bytes());
    buffer.extend_from_slice(&[entry.payload_kind, 0, 0, 0, 0, 0, 0, 0]);
    buffer.extend_from_slice(&entry.payload);
    end_record(buffer, start, RecordKind::Entry, place);
}

/// Appends a record with this body to `buffer`.
pub fn encode_record(buffer: &mut Vec<u8>, place: Place, kind: RecordKind, body: &[u8]) {
    let start = begin_record(buffer);
    buffer.extend_from_slice(body);
    end_record(buffer, start, kind, place);
}

fn begin_record(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
    start
}

fn end_record(buffer: &mut Vec<u8>, start: usize, kind: RecordKind, place: Place) {
    let body_start = start + RECORD_HEADER_BYTES;
    let body_bytes = u32::try_from(buffer.len() - body_start).expect("the writer refuses records of 4 GiB");
    let body_crc = crc_fast::crc32_iscsi(&buffer[body_start..]);
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..4].copy_from_slice(&body_bytes.to_le_bytes());
    header[4] = kind as u8;
    header[8..12].copy_from_slice(&place.group_start.to_le_bytes());
    header[12..16].copy_from_slice(&body_crc.to_le_bytes());
    let crc = header_crc(&header[..20], place.segment, place.buffer_offset + start as u64);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    buffer[start..body_start].copy_from_slice(&header);
    buffer.resize(padded(buffer.len()), 0);
}

/// The entry in a record's body; `None` where it is too short to be one.
pub fn decode_entry(body: Bytes) -> Option<LogEntry> {
    let word = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
    let (index, term, last_lsn) = (word(0)?, word(8)?, word(16)?);
    let payload_kind = *body.get(24)?;
    if body.len() < ENTRY_PREFIX_BYTES {
        return None;
    }
    Some(LogEntry { index, term, last_lsn, payload_kind, payload: body.slice(ENTRY_PREFIX_BYTES..) })
}
