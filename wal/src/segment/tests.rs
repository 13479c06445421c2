//! The log on a disk that forgets, cuts off and flips bits.

use super::memory_disk::MemoryDisk;
use super::recovery::RecoveryError;
use super::{EntryMark, LogEntry, Meta, SegmentLog, SegmentOptions, WriteFailure};
use crate::metrics::WalMetrics;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

fn open(disk: &Arc<MemoryDisk>) -> Result<SegmentLog, RecoveryError> {
    let options = SegmentOptions { segment_bytes: 4096, cache_bytes_max: 0 };
    SegmentLog::open(disk.clone(), options, Arc::new(WalMetrics::new().expect("metrics")))
}

fn entry(index: u64, payload: Vec<u8>) -> LogEntry {
    LogEntry { index, term: 1 + index / 10, last_lsn: index + 1, payload_kind: 1, payload: payload.into() }
}

fn payload(index: u64) -> Vec<u8> {
    (0..20 + index * 37 % 600).map(|at| (index * 31 + at) as u8).collect()
}

/// Appends one by one, each on disk before the next.
fn fill(log: &SegmentLog, range: std::ops::Range<u64>) {
    for index in range {
        append(log, vec![entry(index, payload(index))]).expect("append");
    }
}

fn append(log: &SegmentLog, entries: Vec<LogEntry>) -> Result<(), WriteFailure> {
    let (sender, receiver) = mpsc::channel();
    log.append(entries, Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv().expect("an answer")
}

fn write_meta(log: &SegmentLog, meta: Meta) {
    let (sender, receiver) = mpsc::channel();
    log.write_meta(meta, Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv().expect("an answer").expect("written");
}

fn read_all(log: &SegmentLog) -> Vec<LogEntry> {
    log.read(0..u64::MAX, usize::MAX).expect("readable").iter().map(|entry| (**entry).clone()).collect()
}

fn segments(disk: &MemoryDisk) -> Vec<String> {
    use super::Disk;
    disk.list().expect("list").into_iter().filter(|name| name.ends_with(".log")).collect()
}

#[test]
fn everything_is_there_after_a_clean_stop() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..60);
    write_meta(&log, Meta::Vote(Bytes::from_static(b"vote")));
    log.note_committed(EntryMark { term: 6, index: 58 });
    let before = read_all(&log);
    log.close();
    assert!(segments(&disk).len() > 3, "the test wants several segments");
    let log = open(&disk).expect("open again");
    assert_eq!(read_all(&log), before);
    assert_eq!(log.vote(), Some(Bytes::from_static(b"vote")));
    assert_eq!(log.committed(), Some(EntryMark { term: 6, index: 58 }));
    fill(&log, 60..70);
    assert_eq!(read_all(&log).len(), 70);
    log.close();
}

#[test]
fn a_committed_position_counts_only_with_its_entry() {
    // (what was noted, what holds after a restart): entries 0 to 9 of one term are there.
    let term = entry(0, Vec::new()).term;
    let cases = [
        (EntryMark { term, index: 9 }, true),
        (EntryMark { term, index: 10 }, false),
        (EntryMark { term: term + 1, index: 9 }, false),
    ];
    for (noted, holds) in cases {
        let disk = MemoryDisk::new();
        let log = open(&disk).expect("an empty disk");
        fill(&log, 0..10);
        log.note_committed(noted);
        log.close();
        let log = open(&disk.copy()).expect("the log");
        assert_eq!(log.committed(), holds.then_some(noted), "{noted:?}");
    }
}

#[test]
fn truncation_and_purge_hold_after_restart() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..40);
    write_meta(&log, Meta::Truncate { keep: Some(29) });
    fill(&log, 30..50);
    let many = segments(&disk).len();
    write_meta(&log, Meta::Purge { mark: EntryMark { term: 3, index: 24 }, lsn: 25 });
    assert!(segments(&disk).len() < many, "segments before the purge go");
    let check = |log: &SegmentLog| {
        assert_eq!(read_all(log), (25..50).map(|index| entry(index, payload(index))).collect::<Vec<_>>());
        assert_eq!(log.purged(), Some((EntryMark { term: 3, index: 24 }, 25)));
        assert_eq!(log.last_mark(), Some(EntryMark { term: 5, index: 49 }));
        assert_eq!((log.index_of_lsn(30), log.index_of_lsn(51)), (Some(29), None));
    };
    check(&log);
    log.close();
    let log = open(&disk).expect("open again");
    check(&log);
    write_meta(&log, Meta::Truncate { keep: None });
    assert_eq!(read_all(&log), []);
    assert_eq!(log.last_mark(), Some(EntryMark { term: 3, index: 24 }));
    log.close();
}

#[test]
fn a_purge_beyond_the_end_leaves_an_empty_log_that_goes_on_there() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..5);
    write_meta(&log, Meta::Purge { mark: EntryMark { term: 9, index: 99 }, lsn: 0 });
    append(&log, vec![entry(100, payload(100))]).expect("append");
    log.close();
    let log = open(&disk).expect("open again");
    assert_eq!(read_all(&log), [entry(100, payload(100))]);
    log.close();
}

#[test]
fn appends_that_wait_share_a_sync() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..1);
    let before = disk.syncs();
    let (sender, receiver) = mpsc::channel();
    // The first append keeps the writer busy in its callback while the others gather.
    let (release, blocked) = mpsc::channel::<()>();
    let first = sender.clone();
    log.append(
        vec![entry(1, payload(1))],
        Box::new(move |result| {
            blocked.recv().expect("the test releases it");
            first.send(result).expect("the test waits");
        }),
    );
    for index in 2..5 {
        let sender = sender.clone();
        log.append(
            vec![entry(index, vec![0; 8])],
            Box::new(move |result| sender.send(result).expect("the test waits")),
        );
    }
    release.send(()).expect("the writer waits");
    for _ in 0..4 {
        receiver.recv().expect("an answer").expect("written");
    }
    assert!(disk.syncs() - before <= 3, "{} syncs for four appends", disk.syncs() - before);
    log.close();
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..3);
    disk.fail_syncs();
    let failed = append(&log, vec![entry(3, payload(3))]).expect_err("the sync failed");
    assert!(failed.reason.contains("input/output error"), "{failed}");
    assert_eq!(append(&log, vec![entry(4, payload(4))]), Err(failed.clone()));
    assert_eq!(log.failure(), Some(failed));
    log.close();
}

#[test]
fn on_a_full_disk_writes_wait_until_there_is_space() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..1);
    disk.fill_up();
    let (sender, receiver) = mpsc::channel();
    for index in 1..100 {
        let sender = sender.clone();
        log.append(
            vec![entry(index, payload(index))],
            Box::new(move |result| sender.send(result).expect("the test waits")),
        );
    }
    while !*log.stuck().borrow() {
        std::thread::yield_now();
    }
    assert_eq!(log.failure(), None);
    disk.make_room();
    for _ in 1..100 {
        assert_eq!(receiver.recv().expect("an answer"), Ok(()));
    }
    assert!(!*log.stuck().borrow());
    assert_eq!(read_all(&log).len(), 100);
    log.close();
}

#[test]
fn a_large_entry_gets_a_segment_of_its_size() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    let large: Vec<u8> = (0..50_000u32).map(|at| at as u8).collect();
    append(&log, vec![entry(0, large.clone()), entry(1, payload(1)), entry(2, large)]).expect("append");
    let before = read_all(&log);
    log.close();
    let log = open(&disk).expect("open again");
    assert_eq!(read_all(&log), before);
    log.close();
}

/// A log with some segments, and what was in it.
fn sample() -> (Arc<MemoryDisk>, Vec<LogEntry>) {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..23);
    let entries = read_all(&log);
    log.close();
    (disk, entries)
}

#[test]
fn the_last_segment_may_be_cut_anywhere_and_never_gives_a_wrong_record() {
    let (disk, entries) = sample();
    let name = segments(&disk).pop().expect("segments");
    let bytes = disk.contents(&name);
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("used") + 1;
    for length in 0..=used {
        let cut = disk.copy();
        cut.replace(&name, bytes[..length].to_vec());
        let log = open(&cut).unwrap_or_else(|error| panic!("cut at {length}: {error}"));
        let found = read_all(&log);
        assert_eq!(found, entries[..found.len()], "cut at {length}");
        // It goes on from there, and nothing of what was cut off comes back.
        fill(&log, found.len() as u64..found.len() as u64 + 1);
        log.close();
        let log = open(&cut).unwrap_or_else(|error| panic!("cut at {length}, then restarted: {error}"));
        assert_eq!(read_all(&log).len(), found.len() + 1, "cut at {length}");
        log.close();
    }
}

#[test]
fn any_flipped_bit_is_an_error_or_cuts_off_the_last_write_only() {
    let (disk, entries) = sample();
    let names = segments(&disk);
    for (at, name) in names.iter().enumerate() {
        let bytes = disk.contents(name);
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("used") + 1;
        for place in 0..used {
            let flipped = disk.copy();
            let mut changed = bytes.clone();
            changed[place] ^= 1 << (place % 8);
            flipped.replace(name, changed);
            match open(&flipped) {
                Ok(log) => {
                    let found = read_all(&log);
                    assert_eq!(found, entries[..found.len()], "{name} byte {place}");
                    assert!(found.len() + 1 >= entries.len(), "{name} byte {place}: lost more than the last write");
                    log.close();
                }
                Err(error) => {
                    let message = error.to_string();
                    assert!(message.contains(name) && message.contains("offset"), "{message}");
                }
            }
            if at + 1 < names.len() && open(&flipped).is_ok() {
                // Only padding can change without harm in a sealed segment.
                let log = open(&flipped).expect("opened before");
                assert_eq!(read_all(&log), entries, "{name} byte {place}");
                log.close();
            }
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    use super::Disk;
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("open");
    fill(&log, 0..60);
    log.close();
    let names = segments(&disk);
    disk.remove(&names[1]).expect("remove");
    let message = open(&disk).err().expect("a gap").to_string();
    assert!(message.contains(&names[1]), "{message}");
    disk.remove(&names[0]).expect("remove");
    let message = open(&disk).err().expect("the beginning is missing").to_string();
    assert!(message.contains("nothing says that they were purged"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Groups of any size, crashes at any time: what was acknowledged is there, what is there is right, and the log goes on.
    #[test]
    fn crashes_lose_nothing_that_was_acknowledged(
        rounds in proptest::collection::vec((proptest::collection::vec(1..5u64, 1..8), any::<u64>()), 1..6),
    ) {
        let mut disk = MemoryDisk::new();
        let mut acknowledged = 0;
        for (groups, seed) in rounds {
            let log = open(&disk);
            prop_assert!(log.is_ok(), "{}", log.err().map(|error| error.to_string()).unwrap_or_default());
            let log = log.expect("checked");
            let found = read_all(&log);
            prop_assert!(found.len() as u64 >= acknowledged, "{} of {} acknowledged", found.len(), acknowledged);
            for (at, entry) in found.iter().enumerate() {
                prop_assert_eq!(entry, &self::entry(at as u64, payload(at as u64)));
            }
            let done = Arc::new(Mutex::new(acknowledged));
            let mut next = found.len() as u64;
            for count in groups {
                let entries: Vec<_> = (next..next + count).map(|index| entry(index, payload(index))).collect();
                next += count;
                let (done, reached) = (done.clone(), next);
                log.append(entries, Box::new(move |result| if result.is_ok() { *done.lock().expect("lock") = reached }));
            }
            // Wherever the writer is by now: the disk as it is, with what was acknowledged up to then.
            let before = *done.lock().expect("lock");
            let mut state = seed | 1;
            let crashed = disk.after_crash(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state & 1 == 1
            });
            acknowledged = before.max(acknowledged);
            log.kill();
            disk = crashed;
        }
    }

    /// A write that was torn in any way is cut off; what was synced before stays.
    #[test]
    fn torn_groups_are_cut_off(groups in proptest::collection::vec(1..6u64, 2..6), keep in any::<u64>()) {
        let disk = MemoryDisk::new();
        let log = open(&disk).expect("open");
        let mut next = 0;
        let (last, synced) = groups.split_last().expect("at least two");
        for count in synced {
            append(&log, (next..next + count).map(|index| entry(index, payload(index))).collect()).expect("append");
            next += count;
        }
        disk.fail_syncs();
        append(&log, (next..next + last).map(|index| entry(index, payload(index))).collect()).expect_err("not synced");
        log.close();
        let mut bits = keep;
        let crashed = disk.after_crash(|| {
            bits = bits.rotate_left(1);
            bits & 1 == 1
        });
        let log = open(&crashed);
        prop_assert!(log.is_ok(), "{}", log.err().map(|error| error.to_string()).unwrap_or_default());
        let log = log.expect("checked");
        let found = read_all(&log);
        prop_assert!(found.len() as u64 >= next);
        for (at, found) in found.iter().enumerate() {
            prop_assert_eq!(found, &entry(at as u64, payload(at as u64)));
        }
        log.close();
    }

    /// Segments of nonsense: an error, or an empty log; never a panic.
    #[test]
    fn nonsense_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let disk = MemoryDisk::new();
        let meaningful = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        disk.replace("0000000000000001.log", bytes);
        match open(&disk) {
            Ok(log) => {
                prop_assert!(meaningful <= 32);
                prop_assert!(read_all(&log).is_empty());
                log.close();
            }
            Err(error) => prop_assert!(error.to_string().contains("0000000000000001.log")),
        }
    }
}
