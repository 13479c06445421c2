//! For tests and simulation: a disk in memory that forgets at a crash what was not synced, sector by sector, as chance has it; and that fails on
//! request.

use super::disk::{Disk, DiskFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

const SECTOR_BYTES: u64 = 512;

#[derive(Default)]
struct Contents {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// Since the last sync, in order.
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

fn change(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length as usize, 0),
        Change::Write(offset, written) => {
            let (start, end) = (*offset as usize, *offset as usize + written.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(written);
        }
    }
}

struct MemoryFile {
    contents: Mutex<Contents>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    syncs_fail: AtomicBool,
    full: AtomicBool,
    /// Files that were not made for want of space.
    refused: AtomicU64,
    syncs: AtomicU64,
    /// Syncs that have begun do not end.
    hangs: Mutex<bool>,
    resumed: Condvar,
}

type Names = BTreeMap<String, Arc<MemoryFile>>;

#[derive(Default)]
pub struct MemoryDisk {
    /// As seen now, and as of the last sync of the directory.
    names: Mutex<(Names, Names)>,
    faults: Arc<Faults>,
}

impl MemoryDisk {
    pub fn new() -> Arc<MemoryDisk> {
        Arc::default()
    }

    /// Every later sync fails.
    pub fn fail_syncs(&self) {
        self.faults.syncs_fail.store(true, Ordering::SeqCst);
    }

    /// No space for further files.
    pub fn fill_up(&self) {
        self.faults.full.store(true, Ordering::SeqCst);
    }

    /// There is space again.
    pub fn make_room(&self) {
        self.faults.full.store(false, Ordering::SeqCst);
    }

    /// Syncs do not end any more, as on a disk that does not answer.
    pub fn hang(&self) {
        *self.faults.hangs.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// They end now.
    pub fn resume(&self) {
        *self.faults.hangs.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.faults.resumed.notify_all();
    }

    /// How often there was no space for a file.
    pub fn refused(&self) -> u64 {
        self.faults.refused.load(Ordering::SeqCst)
    }

    pub fn syncs(&self) -> u64 {
        self.faults.syncs.load(Ordering::SeqCst)
    }

    /// The disk after a crash; `chance` decides for each unsynced sector and name whether it survived.
    pub fn after_crash(&self, mut chance: impl FnMut() -> bool) -> Arc<MemoryDisk> {
        let (current, synced) = &*self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let all: BTreeSet<&String> = current.keys().chain(synced.keys()).collect();
        let disk = MemoryDisk::new();
        let mut survivors = Names::new();
        for name in all {
            let file = match (current.get(name), synced.get(name)) {
                (Some(now), Some(then)) if Arc::ptr_eq(now, then) => now,
                (now, then) => match if chance() { now } else { then } {
                    Some(file) => file,
                    None => continue,
                },
            };
            let contents = file.contents.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = contents.synced.clone();
            for made in &contents.changes {
                match made {
                    Change::Length(_) if chance() => change(&mut bytes, made),
                    Change::Length(_) => {}
                    Change::Write(offset, written) => {
                        let mut at = 0;
                        while at < written.len() {
                            let place = offset + at as u64;
                            let end = written.len().min(at + (SECTOR_BYTES - place % SECTOR_BYTES) as usize);
                            if chance() {
                                change(&mut bytes, &Change::Write(place, written[at..end].to_vec()));
                            }
                            at = end;
                        }
                    }
                }
            }
            survivors.insert(name.clone(), memory_file(bytes, disk.faults.clone()));
        }
        *disk.names.lock().unwrap_or_else(PoisonError::into_inner) = (survivors.clone(), survivors);
        disk
    }

    /// Contents of a file, for tests that damage it.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = names.0[name].contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.current.clone()
    }

    /// Replaces a file, durably.
    pub fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let file = memory_file(bytes, self.faults.clone());
        names.0.insert(name.to_string(), file.clone());
        names.1.insert(name.to_string(), file);
    }

    /// The same files on another disk.
    pub fn copy(&self) -> Arc<MemoryDisk> {
        self.after_crash(|| true)
    }
}

/// A file with these bytes, synced.
fn memory_file(bytes: Vec<u8>, faults: Arc<Faults>) -> Arc<MemoryFile> {
    let contents = Contents { synced: bytes.clone(), current: bytes, changes: Vec::new() };
    Arc::new(MemoryFile { contents: Mutex::new(contents), faults })
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_string())
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names.lock().unwrap_or_else(PoisonError::into_inner).0.keys().cloned().collect())
    }

    fn create(&self, name: &str, size_bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        if self.faults.full.load(Ordering::SeqCst) {
            self.faults.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.0.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, name.to_string()));
        }
        let file = memory_file(Vec::new(), self.faults.clone());
        file.set_len(size_bytes)?;
        names.0.insert(name.to_string(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let file = names.0.get(name).ok_or_else(|| not_found(name))?.clone();
        Ok(file)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.names.lock().unwrap_or_else(PoisonError::into_inner).0.remove(name);
        removed.map(|_| ()).ok_or_else(|| not_found(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let file = names.0.remove(from).ok_or_else(|| not_found(from))?;
        names.0.insert(to.to_string(), file);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.1 = names.0.clone();
        Ok(())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }

    fn release(&self) {}
}

impl DiskFile for MemoryFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.contents.lock().unwrap_or_else(PoisonError::into_inner).current.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let range = offset as usize..offset as usize + buffer.len();
        let bytes = contents.current.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let made = Change::Write(offset, bytes.to_vec());
        change(&mut contents.current, &made);
        contents.changes.push(made);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        let hangs = self.faults.hangs.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.faults.resumed.wait_while(hangs, |hangs| *hangs).unwrap_or_else(PoisonError::into_inner));
        if self.faults.syncs_fail.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.synced = contents.current.clone();
        contents.changes.clear();
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let made = Change::Length(size_bytes);
        change(&mut contents.current, &made);
        contents.changes.push(made);
        Ok(())
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        if size_bytes > self.size_bytes()? { self.set_len(size_bytes) } else { Ok(()) }
    }
}
