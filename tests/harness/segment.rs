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

/// What a power cut may leave behind the last record: a cut file, or bytes of a write that did not finish. Returns what
/// was done, in words.
pub fn tear(directory: &Path, random: &common::env::Random) -> Option<String> {
    let path = segments(directory).pop()?;
    let contents = std::fs::read(&path).unwrap();
    let (_, end) = records(&contents);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let free = contents.len() - end;
    if free == 0 {
        return None;
    }
    if random.below(2) == 0 {
        let size = end + random.below(free as u64 + 1) as usize;
        file.set_len(size as u64).unwrap();
        return Some(format!("cut at byte {size}, {} beyond the last record", size - end));
    }
    let mut garbage = vec![0; 1 + random.below(free.min(500) as u64) as usize];
    random.fill(&mut garbage);
    file.write_all_at(&garbage, end as u64).unwrap();
    Some(format!("{} bytes of garbage behind the last record", garbage.len()))
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
