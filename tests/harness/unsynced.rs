//! Loss of everything that a process wrote and had not synced, as when the power of its machine fails.
//!
//! Killed processes leave their writes in the kernel. So a small library, `unsynced.c`, is preloaded into them; it notes what
//! each write replaces, and which syncs succeeded. Once the processes are dead, [`Unsynced::lose`] takes back, newest first,
//! what no sync covers. It works as any user, on any file system, without a kernel's help.
//!
//! It sees what goes through the C library, as all writes of the log do. Room that was reserved and not synced stays.

use super::tools;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("unsynced.c");
const MAGIC: u32 = 0x554e_5359;
const RECORD_BYTES: usize = 64;

const WRITE: u32 = 1;
const LENGTH: u32 = 2;
const MADE: u32 = 3;
const MOVED: u32 = 4;
const REMOVED: u32 = 5;
const SYNCED: u32 = 6;
const NAMES_SYNCED: u32 = 7;

pub struct Unsynced {
    below: Vec<PathBuf>,
    /// Journals, and files that have lost their names.
    journals: PathBuf,
    library: PathBuf,
}

/// What was taken back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    pub writes: usize,
    pub names: usize,
}

/// See `struct record` of `unsynced.c`.
struct Record {
    kind: u32,
    moment: u64,
    inode: u64,
    offset: u64,
    length: u64,
    size: u64,
    bytes: Vec<u8>,
    first: String,
    second: String,
}

impl Unsynced {
    /// Watches what lies below these directories. `journals` is made, on the same file system.
    pub fn new(below: Vec<PathBuf>, journals: &Path) -> Unsynced {
        std::fs::create_dir(journals).expect("a directory for journals");
        let (source, library) = (journals.join("unsynced.c"), journals.join("unsynced.so"));
        std::fs::write(&source, SOURCE).expect("write the source");
        let mut compiler = Command::new(tools::program("cc", &["gcc", "libc6-dev"]));
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).args(["-ldl", "-lpthread"]);
        let output = compiler.output().expect("run the C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Unsynced { below, journals: journals.to_owned(), library }
    }

    /// Variables for the processes.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().expect("a path of letters").to_owned();
        let below: Vec<String> = self.below.iter().map(|path| text(path)).collect();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("DRUMLIN_UNSYNCED_BELOW", below.join(":")),
            ("DRUMLIN_UNSYNCED_JOURNALS", text(&self.journals)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The processes are dead: takes back what they had not synced.
    pub fn lose(&self) -> Lost {
        let mut records = Vec::new();
        let mut used = Vec::new();
        for entry in std::fs::read_dir(&self.journals).expect("the journals").flatten() {
            let path = entry.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("journal") => read_journal(&std::fs::read(&path).expect("a journal"), &mut records),
                Some("kept") => {}
                _ => continue,
            }
            used.push(path);
        }
        records.sort_by_key(|record| record.moment);
        let (mut files_safe, mut names_safe) = (HashMap::new(), HashMap::new());
        for record in &records {
            match record.kind {
                SYNCED => drop(files_safe.insert(record.inode, record.size)),
                NAMES_SYNCED => drop(names_safe.insert(PathBuf::from(&record.first), record.size)),
                _ => {}
            }
        }
        let mut files = HashMap::new();
        self.below.iter().chain([&self.journals]).for_each(|directory| collect_files(directory, &mut files));
        let mut lost = Lost::default();
        for record in records.iter().rev() {
            let names_are_safe = |name: &str| {
                let directory = Path::new(name).parent().expect("a file is in a directory");
                names_safe.get(directory).is_some_and(|safe| record.moment < *safe)
            };
            match record.kind {
                WRITE | LENGTH if files_safe.get(&record.inode).is_none_or(|safe| record.moment >= *safe) => {
                    let Some(file) = files.get(&record.inode) else { continue };
                    take_back(file, record);
                    lost.writes += 1;
                }
                MADE if !names_are_safe(&record.first) => {
                    // What it held may have been synced; without its name it is gone.
                    lost.names += usize::from(std::fs::remove_file(&record.first).is_ok());
                }
                MOVED => {
                    let (to, kept) = record.second.split_once('\n').expect("two names");
                    if names_are_safe(to) {
                        continue;
                    }
                    lost.names += usize::from(std::fs::rename(to, &record.first).is_ok());
                    if !kept.is_empty() {
                        std::fs::rename(kept, to).expect("give it its name back");
                    }
                }
                REMOVED if !names_are_safe(&record.first) => {
                    std::fs::rename(&record.second, &record.first).expect("give it its name back");
                    lost.names += 1;
                }
                _ => {}
            }
        }
        for path in used {
            // One that has its name back is not here any more.
            let _ = std::fs::remove_file(path);
        }
        lost
    }
}

/// The bytes and the length that were there before.
fn take_back(file: &File, record: &Record) {
    if record.kind == LENGTH {
        file.set_len(record.size).expect("make it as long as it was");
        return file.write_all_at(&record.bytes, record.offset).expect("write what was there");
    }
    // Zeros at the end of what was there are not in the journal.
    let mut there = record.bytes.clone();
    there.resize(record.length.min(record.size.saturating_sub(record.offset)) as usize, 0);
    file.write_all_at(&there, record.offset).expect("write what was there");
    if record.offset + record.length > record.size {
        file.set_len(record.size).expect("make it as long as it was");
    }
}

/// By inode. The open files stay what they are whatever happens to their names.
fn collect_files(directory: &Path, files: &mut HashMap<u64, File>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let metadata = entry.metadata().expect("a file that is there");
        if metadata.is_dir() {
            collect_files(&entry.path(), files);
        } else if metadata.is_file() {
            let file = OpenOptions::new().read(true).write(true).open(entry.path()).expect("open a file");
            files.insert(metadata.ino(), file);
        }
    }
}

/// Up to the record that was being written when the process was killed.
fn read_journal(mut rest: &[u8], records: &mut Vec<Record>) {
    while let Some((head, after)) = rest.split_at_checked(RECORD_BYTES) {
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        assert_eq!(word(0), MAGIC, "a record begins here");
        let (bytes, first, second) = (long(48) as usize, word(56) as usize, word(60) as usize);
        let Some((body, after)) = after.split_at_checked(bytes + first + second) else { return };
        let name = |range: std::ops::Range<usize>| String::from_utf8(body[range].to_vec()).expect("a name of letters");
        records.push(Record {
            kind: word(4),
            moment: long(8),
            inode: long(16),
            offset: long(24),
            length: long(32),
            size: long(40),
            bytes: body[..bytes].to_vec(),
            first: name(bytes..bytes + first),
            second: name(bytes + first..bytes + first + second),
        });
        rest = after;
    }
}
