//! Conflict window: the newest LSN of each recently written key, by key hash.
//!
//! Bulk commits do not name their keys, only ranges that hold them: of a key in such a range the window knows no more
//! than that it was not written since.
//!
//! Bounded: the oldest writes leave, and the floor rises to the last LSN that may have left. Two keys with the same
//! hash look like one; that can refuse a commit that was fine (about once in 10^7 windows), never accept a wrong one.

use common::id::Lsn;
use common::key::KeyRange;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// For keys that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed here");
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Ranges are few; each is looked at for every key that is checked.
const RANGES_MAX: usize = 1024;

pub struct ConflictWindow {
    newest: HashMap<u64, Lsn, BuildHasherDefault<Identity>>,
    /// Every write, oldest first; a key written twice is here twice.
    writes: VecDeque<(u64, Lsn)>,
    /// Of bulk commits above the floor, oldest first.
    ranges: VecDeque<(KeyRange, Lsn)>,
    keys_max: usize,
    floor: Lsn,
    /// Seeded per process, so that nobody can prepare keys that collide.
    hasher: RandomState,
}

/// What the window knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newest {
    At(Lsn),
    /// Not written above this LSN.
    NotAbove(Lsn),
}

impl ConflictWindow {
    /// Knows every write above `floor`: none yet.
    pub fn new(keys_max: usize, floor: Lsn) -> ConflictWindow {
        assert!(keys_max > 0, "a window holds at least one key");
        ConflictWindow {
            newest: HashMap::default(),
            writes: VecDeque::new(),
            ranges: VecDeque::new(),
            keys_max,
            floor,
            hasher: RandomState::new(),
        }
    }

    /// Writes above this LSN are all in the window.
    pub fn floor(&self) -> Lsn {
        self.floor
    }

    /// Records a write, newer than all before.
    pub fn insert(&mut self, key: &[u8], lsn: Lsn) {
        assert!(self.writes.back().is_none_or(|(_, last)| *last <= lsn), "writes enter in order of their LSNs");
        let hash = self.hasher.hash_one(key);
        self.newest.insert(hash, lsn);
        self.writes.push_back((hash, lsn));
        while self.writes.len() > self.keys_max
            && let Some((hash, lsn)) = self.writes.pop_front()
        {
            self.floor = self.floor.max(lsn);
            if self.newest.get(&hash) == Some(&lsn) {
                self.newest.remove(&hash);
            }
        }
    }

    /// Records that keys of a range were written, newer than all before.
    pub fn insert_range(&mut self, range: KeyRange, lsn: Lsn) {
        assert!(self.ranges.back().is_none_or(|(_, last)| *last <= lsn), "ranges enter in order of their LSNs");
        self.ranges.push_back((range, lsn));
        while self.ranges.len() > RANGES_MAX
            && let Some((_, lsn)) = self.ranges.pop_front()
        {
            self.floor = self.floor.max(lsn);
        }
        while self.ranges.front().is_some_and(|(_, oldest)| *oldest <= self.floor) {
            self.ranges.pop_front();
        }
    }

    pub fn newest(&self, key: &[u8]) -> Newest {
        let written = self.newest.get(&self.hasher.hash_one(key)).copied();
        let in_bulk = self.ranges.iter().rev().find(|(range, _)| range.contains(key)).map(|(_, lsn)| *lsn);
        match (written, in_bulk) {
            (Some(lsn), bulk) if bulk.is_none_or(|bulk| bulk <= lsn) => Newest::At(lsn),
            (_, bulk) => Newest::NotAbove(bulk.unwrap_or_default().max(self.floor)),
        }
    }

    /// No further write can enter without one leaving.
    pub fn is_full(&self) -> bool {
        self.writes.len() >= self.keys_max
    }
}
