//! Writer: the one thread that changes segment files.
//!
//! It takes everything that waits, writes it as one group and syncs once; meanwhile, and for a moment after (`gathering.rs`),
//! the next group gathers. After an error it never writes again: what a failed fdatasync left on disk is unknown, so all that
//! follows is refused.

use super::disk::{Disk, DiskFile};
use super::gathering::Gathering;
use super::index::SegmentInfo;
use super::log::{Group, GroupNow, IDLE_BEFORE_LAZY_WRITE, Shared, WriteRequest};
use super::record::{self, LogEntry, Meta, Place, RecordKind, SEGMENT_HEADER_BYTES};
use super::recovery::{WritePosition, segment_name};
use super::spare::Spare;
use common::env::planted::{Bug, planted};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// How far blocks are written ahead of the records. Larger means fewer syncs that change metadata, and more zeros.
const WRITE_AHEAD_BYTES: u64 = 256 << 10;

pub struct Writer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    current: Option<WritePosition>,
    next_segment: u64,
    /// Encoded records from `group_start` of the current segment on, not written yet.
    buffer: Vec<u8>,
    spare: Spare,
    /// The current segment's blocks are written up to here: a sync of records within them changes no metadata.
    written_up_to: u64,
    /// Where the records of the buffer are, to be published once they are on disk.
    unpublished: Vec<Unpublished>,
    gathering: Gathering,
}

enum Unpublished {
    Entry { entry: Arc<LogEntry>, segment: u64, offset: u32, body_bytes: u32 },
    Meta(Meta),
}

impl Writer {
    pub fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, current: Option<WritePosition>, next_segment: u64) -> Writer {
        let spare = Spare::new(disk.clone(), shared.options.segment_bytes);
        let written_up_to = current.as_ref().map_or(0, |current| current.offset);
        Writer {
            disk,
            shared,
            current,
            next_segment,
            buffer: Vec::new(),
            spare,
            written_up_to,
            unpublished: Vec::new(),
            gathering: Gathering::default(),
        }
    }

    /// Runs until the log is closed or killed.
    pub fn run(mut self) {
        while let Some(group) = self.shared.next_group() {
            self.gathering.pause();
            self.serve(group);
        }
        self.spare.finish();
    }

    /// The same as a task, for a simulation, whose time passes only where somebody awaits.
    pub async fn run_simulated(mut self) {
        loop {
            match self.shared.group_now() {
                GroupNow::Ready(group) => {
                    tokio::time::sleep(self.disk.simulated_latency()).await;
                    if !self.shared.is_killed() {
                        self.serve(group);
                    }
                }
                GroupNow::Lazy => {
                    let _ = tokio::time::timeout(IDLE_BEFORE_LAZY_WRITE, self.shared.queued_simulated.notified()).await;
                    self.shared.lazy_is_due();
                }
                GroupNow::Nothing => self.shared.queued_simulated.notified().await,
                GroupNow::Ended => return,
            }
        }
    }

    /// Writes a group and answers those who wait for it.
    fn serve(&mut self, mut group: Group) {
        let failed = self.shared.failure();
        if group.takes_in && failed.is_none() {
            self.shared.take_in(&mut group);
        }
        self.shared.stuck.begin(group.bytes());
        let result = match failed {
            Some(failure) => Err(failure),
            None => self.write_group(&group.requests).map_err(|error| self.shared.fail(&error)),
        };
        self.shared.stuck.end();
        self.gathering.written(group.commits);
        for request in group.requests {
            if let Some(done) = request.done {
                done(result.clone());
            }
        }
        if self.current.as_ref().is_some_and(|current| current.offset > current.size_bytes / 2) {
            self.spare.prepare();
        }
    }

    fn write_group(&mut self, group: &[WriteRequest]) -> io::Result<()> {
        for request in group {
            for entry in &request.entries {
                self.put_entry(entry)?;
            }
            if let Some(meta) = &request.meta {
                self.put_meta(meta.clone())?;
            }
        }
        self.flush()?;
        self.delete_unneeded_segments()
    }

    fn put_entry(&mut self, entry: &Arc<LogEntry>) -> io::Result<()> {
        let place =
            self.put(record::entry_record_bytes(entry), |buffer, place| record::encode_entry(buffer, place, entry))?;
        let body_bytes = u32::try_from(record::entry_body_bytes(entry)).map_err(io::Error::other)?;
        let offset = u32::try_from(place.buffer_offset).map_err(io::Error::other)?;
        let segment = place.segment;
        self.unpublished.push(Unpublished::Entry { entry: entry.clone(), segment, offset, body_bytes });
        Ok(())
    }

    fn put_meta(&mut self, meta: Meta) -> io::Result<()> {
        let body = postcard::to_stdvec(&meta).map_err(io::Error::other)?;
        self.put(record::record_bytes(body.len()), |buffer, place| {
            record::encode_record(buffer, place, RecordKind::Meta, &body);
        })?;
        self.unpublished.push(Unpublished::Meta(meta));
        Ok(())
    }

    /// Adds one record of `record_bytes` to the buffer, in a new segment where this one is full. Returns its place.
    fn put(&mut self, record_bytes: usize, encode: impl FnOnce(&mut Vec<u8>, Place)) -> io::Result<Place> {
        // Room for the record that closes the segment always stays.
        let seal_bytes = record::record_bytes(0);
        let fits = self.current.as_ref().is_some_and(|current| {
            current.offset + (self.buffer.len() + record_bytes + seal_bytes) as u64 <= current.size_bytes
        });
        if !fits {
            self.start_segment(record_bytes)?;
        }
        let Some(current) = &self.current else {
            return Err(io::Error::other("no segment is open"));
        };
        let group_start = u32::try_from(current.offset).map_err(io::Error::other)?;
        let place = Place { segment: current.segment, buffer_offset: current.offset, group_start };
        let start = self.buffer.len();
        encode(&mut self.buffer, place);
        assert_eq!(self.buffer.len() - start, record_bytes, "a record has the size that was planned for");
        Ok(Place { buffer_offset: current.offset + start as u64, ..place })
    }

    /// Writes and syncs the buffer, then makes its records visible to readers.
    fn flush(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let record_bytes = self.buffer.len();
        let end = current.offset + record_bytes as u64;
        if end > self.written_up_to {
            // Zeros behind the records: the file system notes once for many records that these blocks are in use, and
            // not at each sync.
            let written_up_to = (end + WRITE_AHEAD_BYTES).min(current.size_bytes).max(end);
            self.buffer.resize(record_bytes + (written_up_to - end) as usize, 0);
            self.written_up_to = written_up_to;
        }
        current.file.write_all_at(&self.buffer, current.offset)?;
        self.buffer.truncate(record_bytes);
        let started = Instant::now();
        if !planted(Bug::MissingFsync) {
            current.file.sync_data()?;
        }
        let took = started.elapsed();
        self.gathering.synced(took);
        self.shared.observe_sync(took, self.buffer.len());
        current.offset += self.buffer.len() as u64;
        self.buffer.clear();
        let mut index = self.shared.index();
        for unpublished in self.unpublished.drain(..) {
            match unpublished {
                Unpublished::Entry { entry, segment, offset, body_bytes } => {
                    index.push_written(&entry, segment, offset, body_bytes);
                }
                Unpublished::Meta(meta) => index.apply_meta(&meta),
            }
        }
        index.shrink_cache(self.shared.options.cache_bytes_max);
        Ok(())
    }

    /// Closes the current segment, if any, and begins the next one with room for a record of `record_bytes`.
    fn start_segment(&mut self, record_bytes: usize) -> io::Result<()> {
        if let Some(current) = &self.current {
            let group_start = u32::try_from(current.offset).map_err(io::Error::other)?;
            let place = Place { segment: current.segment, buffer_offset: current.offset, group_start };
            record::encode_record(&mut self.buffer, place, RecordKind::Seal, &[]);
            self.flush()?;
        }
        if let Some(sealed) = self.current.take() {
            // Gives back what was reserved and not used.
            sealed.file.set_len(sealed.offset)?;
            sealed.file.sync_all()?;
            if let Some(info) = self.shared.index().segments.get_mut(&sealed.segment) {
                info.size_bytes = sealed.offset;
            }
        }
        let checkpoint = self.shared.index().checkpoint();
        let checkpoint_body = postcard::to_stdvec(&checkpoint).map_err(io::Error::other)?;
        let needed_bytes =
            SEGMENT_HEADER_BYTES + record::record_bytes(checkpoint_body.len()) + record_bytes + record::record_bytes(0);
        let size_bytes = self.shared.options.segment_bytes.max(needed_bytes as u64);
        if size_bytes > u64::from(u32::MAX) {
            return Err(io::Error::other(format!("an entry of {record_bytes} bytes is too large for a log segment")));
        }
        let number = self.next_segment;
        let name = segment_name(number);
        let file = match self.spare.take(&name, size_bytes) {
            Some(file) => file,
            None => self.create(&name, size_bytes)?,
        };
        self.written_up_to = 0;
        file.write_all_at(&record::encode_segment_header(number), 0)?;
        let mut first_record = Vec::new();
        let offset = SEGMENT_HEADER_BYTES as u64;
        let place = Place { segment: number, buffer_offset: offset, group_start: SEGMENT_HEADER_BYTES as u32 };
        record::encode_record(&mut first_record, place, RecordKind::Meta, &checkpoint_body);
        file.write_all_at(&first_record, offset)?;
        file.sync_all()?;
        self.disk.sync_directory()?;
        self.next_segment += 1;
        self.shared
            .index()
            .segments
            .insert(number, SegmentInfo { file: file.clone(), name, size_bytes, last_index: None });
        self.current =
            Some(WritePosition { file, segment: number, offset: offset + first_record.len() as u64, size_bytes });
        Ok(())
    }

    /// A new file. On a full disk it waits for space, as whoever waits for its writes does; a leader of several is told, so
    /// that another can lead.
    fn create(&self, name: &str, size_bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut told = false;
        loop {
            let error = match self.disk.create(name, size_bytes) {
                Ok(file) => {
                    if told {
                        tracing::info!("there is space for the next log segment");
                    }
                    return Ok(file);
                }
                Err(error) => error,
            };
            let path = self.disk.path_of(name);
            if error.kind() != io::ErrorKind::StorageFull {
                let text = format!("reserve {size_bytes} bytes for log segment {}: {error}", path.display());
                return Err(io::Error::new(error.kind(), text));
            }
            if !told {
                tracing::error!(path = %path.display(), size_bytes, "no space for the next log segment; nothing is written until there is");
                self.shared.stuck.no_space();
                told = true;
            }
            if !self.shared.wait_before_retry() {
                return Err(error);
            }
        }
    }

    fn delete_unneeded_segments(&mut self) -> io::Result<()> {
        let deletable = self.shared.index().deletable_segments();
        if deletable.is_empty() {
            return Ok(());
        }
        for number in deletable {
            let name = segment_name(number);
            self.disk.remove(&name)?;
            // One by one, oldest first: a crash in between must not leave a gap.
            self.disk.sync_directory()?;
            self.shared.index().segments.remove(&number);
            tracing::info!(segment = %name, "deleted a log segment that layers have replaced");
        }
        Ok(())
    }
}
