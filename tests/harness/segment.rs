//! Log segments as bytes on disk, read independently of the code that writes them.
//!
//! A segment is a header of 32 bytes, then records at multiples of 8: a header of 24 bytes (length of the body in the
//! first 4, kind in the fifth, 0 meaning "nothing here"), the body, padding. See docs/formats.md.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SEGMENT_HEADER_BYTES: usize = 32;
const RECORD_HEADER_BYTES: usize = 24;

/// The segments below a directory, oldest first.
pub fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(segments(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Where each record begins, and where the last one ends.
pub fn records(contents: &[u8]) -> (Vec<usize>, usize) {
    let (mut starts, mut at) = (Vec::new(), SEGMENT_HEADER_BYTES);
    while let Some(header) = contents.get(at..at + RECORD_HEADER_BYTES) {
        let body_bytes = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let total_bytes = (RECORD_HEADER_BYTES + body_bytes).next_multiple_of(8);
        if header[4] == 0 || at + total_bytes > contents.len() {
            break;
        }
        starts.push(at);
        at += total_bytes;
    }
    (starts, at.min(contents.len()))
}

/// What a power cut may do to the end of the log: it cuts the file, or leaves bytes of a write that did not finish, at a
/// random byte beyond what is known to be synced. Every record says where its group began, and a group is written only
/// once all before it is synced; the last group itself was synced if something in it was acknowledged, which `answered`
/// tells from its bytes. Returns what was done, in words.
pub fn tear(directory: &Path, random: &common::env::Random, answered: impl Fn(&[u8]) -> bool) -> Option<String> {
    let path = segments(directory).pop()?;
    let contents = std::fs::read(&path).unwrap();
    let (starts, end) = records(&contents);
    let last = *starts.last()?;
    let group_start = u32::from_le_bytes(contents[last + 8..last + 12].try_into().unwrap()) as usize;
    let synced = if answered(&contents[group_start..end]) { end } else { group_start };
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    if contents.len() == synced {
        return None;
    }
    let lost = |at: usize| {
        format!(
            "{} bytes before the end of the last record, {} beyond the last sync",
            end.saturating_sub(at),
            at - synced
        )
    };
    // Half of the time within the last group, where there is one that may be lost: the rest of the file is long and empty.
    let limit = if synced < end && random.below(2) == 0 { end } else { contents.len() };
    let at = synced + random.below((limit - synced) as u64 + 1) as usize;
    if random.below(2) == 0 {
        file.set_len(at as u64).unwrap();
        return Some(format!("cut at byte {at}, {}", lost(at)));
    }
    let mut garbage = vec![0; 1 + random.below((contents.len() - at).min(500) as u64) as usize];
    random.fill(&mut garbage);
    file.write_all_at(&garbage, at as u64).unwrap();
    Some(format!("{} bytes of garbage at byte {at}, {}", garbage.len(), lost(at)))
}

/// Changes one byte in the middle of the first records of the oldest segment that has many.
pub fn damage(directory: &Path) -> PathBuf {
    for path in segments(directory) {
        let mut contents = std::fs::read(&path).unwrap();
        let (starts, _) = records(&contents);
        if starts.len() < 20 {
            continue;
        }
        let place = starts[starts.len() / 3] + RECORD_HEADER_BYTES + 1;
        contents[place] ^= 0x40;
        std::fs::write(&path, &contents).unwrap();
        return path;
    }
    panic!("no segment with enough records below {}", directory.display());
}
