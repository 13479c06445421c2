//! Recovery: from the files of a directory to an [`Index`] and the place where writing goes on.
//!
//! Every record of every segment is read and checked. A bad record ends the log only where a crash can have left it:
//! in the last segment, with no later record that a completed sync had to precede. Everything else is damage, and
//! damage is reported, never repaired by forgetting.

use super::disk::{Disk, DiskFile};
use super::index::{Index, SegmentInfo};
use super::record::{
    self, EntryMark, Meta, RECORD_ALIGNMENT, RECORD_HEADER_BYTES, RecordHeader, RecordKind, SEGMENT_HEADER_BYTES,
};
use bytes::Bytes;
use common::env::planted::{Bug, planted};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("{doing} {path}: {source}", path = path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// A person has to decide.
    #[error(
        "log segment {path} is damaged at offset {offset}: {what}; check the disk, then restore the log directory from \
         another wal node, or start with an empty one and rebuild from object storage",
        path = path.display()
    )]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error("log segment {path} is missing between others; restore the file, or the whole log directory", path = path.display())]
    Missing { path: PathBuf },
}

/// Where the writer goes on.
pub struct WritePosition {
    pub file: Arc<dyn DiskFile>,
    pub segment: u64,
    pub offset: u64,
    pub size_bytes: u64,
}

pub struct Recovered {
    pub index: Index,
    /// `None`: the next write begins a new segment, number `next_segment`.
    pub write_position: Option<WritePosition>,
    pub next_segment: u64,
    /// Bytes of a torn write that were cut off; 0 after a clean stop.
    pub torn_bytes: u64,
    /// The oldest segment began behind this entry; a later record has to say that it was purged.
    unexplained_gap: Option<u64>,
}

/// `0000000000000007.log` for 7.
pub fn segment_name(number: u64) -> String {
    format!("{number:016}.log")
}

fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Reads the whole log. Changes the disk only to cut off a torn tail or a segment whose creation did not finish.
pub fn recover(disk: &dyn Disk) -> Result<Recovered, RecoveryError> {
    let names = disk.list().map_err(io_error("list", disk.path_of("")))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut recovered = Recovered {
        index: Index::default(),
        write_position: None,
        next_segment: 1,
        torn_bytes: 0,
        unexplained_gap: None,
    };
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 && numbers[at - 1] + 1 != *number {
            return Err(RecoveryError::Missing { path: disk.path_of(&segment_name(numbers[at - 1] + 1)) });
        }
        let last = at + 1 == numbers.len();
        recover_segment(disk, *number, at == 0, last, &mut recovered)?;
    }
    if let Some(missing) = recovered.unexplained_gap {
        return Err(RecoveryError::Damaged {
            path: disk.path_of(&segment_name(numbers[0])),
            offset: SEGMENT_HEADER_BYTES as u64,
            what: format!("entries up to {missing} are missing, and nothing says that they were purged"),
        });
    }
    Ok(recovered)
}

fn io_error(doing: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> RecoveryError {
    move |source| RecoveryError::Io { doing, path, source }
}

fn recover_segment(
    disk: &dyn Disk,
    number: u64,
    first: bool,
    last: bool,
    recovered: &mut Recovered,
) -> Result<(), RecoveryError> {
    let name = segment_name(number);
    let path = disk.path_of(&name);
    let damaged =
        |offset: u64, what: &str| RecoveryError::Damaged { path: path.clone(), offset, what: what.to_string() };
    let file = disk.open(&name).map_err(io_error("open", path.clone()))?;
    let size_bytes = file.size_bytes().map_err(io_error("measure", path.clone()))?;
    let mut contents = vec![0; usize::try_from(size_bytes).map_err(|_| damaged(0, "it is too large"))?];
    file.read_exact_at(&mut contents, 0).map_err(io_error("read", path.clone()))?;
    let contents = Bytes::from(contents);
    // What follows the last byte that is not zero was reserved and never written.
    let used = contents.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);

    let header: Option<&[u8; SEGMENT_HEADER_BYTES]> = contents.first_chunk();
    let header_problem = match header {
        Some(header) => record::check_segment_header(header, number).err(),
        None => Some("it is shorter than a header"),
    };
    if let Some(problem) = header_problem {
        // A crash while the segment was made leaves no record in it: records follow the header's sync.
        if last && used <= SEGMENT_HEADER_BYTES {
            disk.remove(&name).map_err(io_error("remove", path.clone()))?;
            disk.sync_directory().map_err(io_error("sync the directory of", path.clone()))?;
            recovered.next_segment = number;
            return Ok(());
        }
        return Err(damaged(0, problem));
    }
    recovered
        .index
        .segments
        .insert(number, SegmentInfo { file: file.clone(), name: name.clone(), size_bytes, last_index: None });

    let mut offset = SEGMENT_HEADER_BYTES as u64;
    let mut sealed = false;
    while let Some((header, body)) = record_at(&contents, number, offset) {
        if sealed {
            return Err(damaged(offset, "records follow the one that closes the segment"));
        }
        match header.kind {
            RecordKind::Seal => sealed = true,
            RecordKind::Meta => {
                let meta: Meta =
                    postcard::from_bytes(&body).map_err(|_| damaged(offset, "a record of state cannot be read"))?;
                let checkpoint = matches!(meta, Meta::Checkpoint { .. });
                if checkpoint != (offset == SEGMENT_HEADER_BYTES as u64) {
                    return Err(damaged(offset, "a checkpoint is not where one belongs"));
                }
                if let Meta::Purge { mark, .. } | Meta::Checkpoint { purged: Some((mark, _)), .. } = &meta
                    && recovered.unexplained_gap.is_some_and(|missing| missing <= mark.index)
                {
                    recovered.unexplained_gap = None;
                }
                recovered.index.apply_meta(&meta);
            }
            RecordKind::Entry => {
                if offset == SEGMENT_HEADER_BYTES as u64 {
                    return Err(damaged(offset, "it does not begin with a checkpoint"));
                }
                let entry = record::decode_entry(body).ok_or_else(|| damaged(offset, "an entry is too short"))?;
                restore_entry(recovered, &entry, first, number, offset, header.body_bytes)
                    .map_err(|what| damaged(offset, &what))?;
            }
        }
        offset += header.total_bytes();
    }

    if offset < used as u64 {
        // Something is there, and it is not a record.
        if sealed || !last {
            return Err(damaged(offset, "a record does not match its checksum"));
        }
        if let Some(later) = record_synced_after(&contents, used, number, offset) {
            return Err(damaged(
                offset,
                &format!(
                    "a record does not match its checksum, and valid ones that were written later follow at {later}"
                ),
            ));
        }
        recovered.torn_bytes = used as u64 - offset;
        // Through a shorter length, so that nothing of the torn write can come back as a record.
        file.set_len(offset).map_err(io_error("truncate", path.clone()))?;
        file.reserve(size_bytes).map_err(io_error("reserve space for", path.clone()))?;
        file.sync_all().map_err(io_error("sync", path.clone()))?;
    }
    if !last && !sealed {
        return Err(damaged(offset, "it ends too early: its end is missing, yet another segment follows"));
    }
    recovered.next_segment = number + 1;
    if last && !sealed {
        if offset == SEGMENT_HEADER_BYTES as u64 {
            // Without its checkpoint a segment says nothing: make it again.
            recovered.index.segments.remove(&number);
            disk.remove(&name).map_err(io_error("remove", path.clone()))?;
            disk.sync_directory().map_err(io_error("sync the directory of", path.clone()))?;
            recovered.next_segment = number;
        } else {
            recovered.write_position = Some(WritePosition { file, segment: number, offset, size_bytes });
        }
    }
    Ok(())
}

/// The record at `offset`, whole and matching its checksums.
fn record_at(contents: &Bytes, segment: u64, offset: u64) -> Option<(RecordHeader, Bytes)> {
    let start = usize::try_from(offset).ok()?;
    let header = RecordHeader::decode(contents.get(start..)?.first_chunk()?, segment, offset)?;
    let body_start = start + RECORD_HEADER_BYTES;
    let body_end = body_start.checked_add(header.body_bytes as usize)?;
    contents.get(body_start..body_end)?;
    let body = contents.slice(body_start..body_end);
    (header.matches_body(&body) || planted(Bug::TornTailAccepted)).then_some((header, body))
}

/// Where a valid record follows that was written after `bad_offset` was synced, if there is one. Its group began behind
/// that offset, and a group is written only when everything before it is on disk.
fn record_synced_after(contents: &[u8], used: usize, segment: u64, bad_offset: u64) -> Option<u64> {
    let mut offset = (bad_offset as usize).next_multiple_of(RECORD_ALIGNMENT);
    while offset < used
        && let Some(header_bytes) = contents.get(offset..).and_then(|rest| rest.first_chunk())
    {
        if let Some(header) = RecordHeader::decode(header_bytes, segment, offset as u64)
            && u64::from(header.group_start) > bad_offset
            && contents
                .get(offset + RECORD_HEADER_BYTES..)
                .and_then(|rest| rest.get(..header.body_bytes as usize))
                .is_some_and(|body| header.matches_body(body))
        {
            return Some(offset as u64);
        }
        offset += RECORD_ALIGNMENT;
    }
    None
}

fn restore_entry(
    recovered: &mut Recovered,
    entry: &record::LogEntry,
    first_segment: bool,
    segment: u64,
    offset: u64,
    body_bytes: u32,
) -> Result<(), String> {
    let index = &mut recovered.index;
    if let Some(info) = index.segments.get_mut(&segment) {
        info.last_index = info.last_index.max(Some(entry.index));
    }
    if entry.index < index.first_index() {
        // Purged, and its segment not deleted yet.
        return Ok(());
    }
    if first_segment && index.is_empty() && entry.index > index.first_index() {
        // Older segments are gone, because of a purge that a later record tells of.
        let missing = entry.index - 1;
        recovered.unexplained_gap = Some(missing);
        index.apply_meta(&Meta::Purge { mark: EntryMark { term: 0, index: missing }, lsn: 0 });
    }
    if entry.index != index.next_written_index() {
        return Err(format!("entry {} is missing, entry {} is here", index.next_written_index(), entry.index));
    }
    let offset = u32::try_from(offset).map_err(|_| "the segment is too large".to_string())?;
    index.push_written(entry, segment, offset, body_bytes);
    Ok(())
}
