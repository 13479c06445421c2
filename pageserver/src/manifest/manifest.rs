//! What a manifest says, and the edits that lead from one to the next. No I/O.

use crate::layer::block::crc32c;
use crate::layer::column::{Cursor, FormatError};
use common::id::{CounterId, Lsn, TabletId};
use common::key::{Key, KeyRange};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"DRUMMAN\x01";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub tablet: TabletId,
    pub number: u64,
    /// Counts owners. An owner begins by publishing a manifest with a generation of its own.
    pub generation: u64,
    /// Drawn by the owner at its start: tells its manifests from those of a rival with the same idea.
    pub owner: u128,
    /// All transactions up to here are in the layers.
    pub durable: Lsn,
    /// Wall clock of the batch that `durable` came with, in microseconds since 1970.
    pub durable_time_us: u64,
    /// Reads below this LSN are refused: versions that only they could see may be gone.
    pub horizon: Lsn,
    /// The newest tombstone that compaction has dropped; a key without a version may have been written up to here.
    pub tombstones_dropped: Lsn,
    /// Next sequence number for a layer of this generation.
    pub next_sequence: u64,
    /// Next values of AUTO_INCREMENT counters at `durable`, by counter.
    pub counters: Vec<(CounterId, u64)>,
    /// Level 0 first, newest first within it; then by level and key.
    pub layers: Vec<LayerMeta>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMeta {
    pub generation: u64,
    pub sequence: u64,
    /// 0: flushed, may overlap others of level 0. From 1 on, layers of a level have disjoint key ranges.
    pub level: u32,
    pub bytes: u64,
    pub index_offset: u64,
    /// Smallest and greatest key, both in the layer.
    pub first: Key,
    pub last: Key,
    pub lsn_min: Lsn,
    pub lsn_max: Lsn,
    pub versions: u64,
    pub tombstones: u64,
}

impl LayerMeta {
    pub fn path(&self, tablet: TabletId) -> Path {
        Path::from(format!("tablets/{tablet}/layers/{:010}-{:010}.layer", self.generation, self.sequence))
    }

    /// What names the layer within its tablet.
    pub fn id(&self) -> (u64, u64) {
        (self.generation, self.sequence)
    }

    pub fn overlaps(&self, other: &LayerMeta) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    pub fn overlaps_range(&self, range: &KeyRange) -> bool {
        self.last >= range.start && (range.end.is_empty() || self.first < range.end)
    }
}

impl Manifest {
    pub fn empty(tablet: TabletId, owner: u128) -> Manifest {
        Manifest {
            tablet,
            number: 0,
            generation: 0,
            owner,
            durable: Lsn::ZERO,
            durable_time_us: 0,
            horizon: Lsn::ZERO,
            tombstones_dropped: Lsn::ZERO,
            next_sequence: 1,
            counters: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// The manifest with which a new owner takes over.
    pub fn taken_over(&self, owner: u128) -> Manifest {
        Manifest { number: self.number + 1, generation: self.generation + 1, owner, next_sequence: 1, ..self.clone() }
    }

    /// The next manifest of the same owner, with `removed` layers replaced by `added`.
    pub fn with_layers(&self, removed: &[(u64, u64)], added: Vec<LayerMeta>) -> Manifest {
        let mut layers = self.layers.clone();
        layers.retain(|layer| !removed.contains(&layer.id()));
        layers.extend(added);
        layers.sort_by(|a, b| {
            let newest_first = b.lsn_max.cmp(&a.lsn_max);
            let by_place = if a.level == 0 { newest_first } else { a.first.cmp(&b.first) };
            a.level.cmp(&b.level).then(by_place)
        });
        Manifest { number: self.number + 1, layers, ..self.clone() }
    }

    /// What must hold of every manifest, whoever wrote it.
    pub fn check(&self) -> Result<(), FormatError> {
        for layer in &self.layers {
            if layer.first > layer.last || layer.lsn_min > layer.lsn_max || layer.index_offset >= layer.bytes {
                return Err(FormatError("a layer contradicts itself"));
            }
            if layer.lsn_max > self.durable {
                return Err(FormatError("a layer is newer than the durable LSN"));
            }
        }
        for pair in self.layers.windows(2) {
            if pair[0].level > pair[1].level {
                return Err(FormatError("levels are out of order"));
            }
            if pair[0].level == pair[1].level && pair[0].level > 0 && pair[0].last >= pair[1].first {
                return Err(FormatError("layers of one level overlap"));
            }
            if pair[1].level == 0 && pair[0].lsn_min <= pair[1].lsn_max {
                return Err(FormatError("flushed layers overlap in LSN"));
            }
        }
        Ok(())
    }
}

pub fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(postcard::to_stdvec(manifest).expect("a manifest serializes"));
    let crc = crc32c(&out);
    out.extend(crc.to_le_bytes());
    out
}

pub fn decode(bytes: &[u8]) -> Result<Manifest, FormatError> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(FormatError("it is too short"))?;
    if crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(FormatError("checksum mismatch"));
    }
    let mut cursor = Cursor::new(body);
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err(FormatError("not a manifest, or of a format that this version does not know"));
    }
    let manifest: Manifest =
        postcard::from_bytes(cursor.rest()).map_err(|_| FormatError("the manifest does not decode"))?;
    manifest.check()?;
    Ok(manifest)
}
