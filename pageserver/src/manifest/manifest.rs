//! What a manifest says, and the edits that lead from one to the next. No I/O.

use super::Kept;
use crate::layer::block::crc32c;
use crate::layer::column::{Cursor, FormatError};
use common::cluster_map::ClusterMap;
use common::id::{CounterId, Lsn, TabletId};
use common::key::{Key, KeyRange};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 7] = b"DRUMMAN";
const FORMAT: u8 = 4;

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
    /// Where it can be read: elsewhere versions that only such a read could see may be gone.
    pub kept: Kept,
    /// The newest tombstone that compaction has dropped; a key without a version may have been written up to here.
    pub tombstones_dropped: Lsn,
    /// Next sequence number for a layer of this generation.
    pub next_sequence: u64,
    /// Next values of AUTO_INCREMENT counters at `durable`, by counter.
    pub counters: Vec<(CounterId, u64)>,
    /// Level 0 first, newest first within it; then by level and key.
    pub layers: Vec<LayerMeta>,
    /// In the first tablet's manifests: the map at `durable`. Up to there all tablets of that map are in layers, and they
    /// have manifests. `None`: the first tablet alone.
    pub map: Option<ClusterMap>,
    /// In the first tablet's manifests: the branch points at `durable`, ascending.
    pub points: Vec<Lsn>,
}

/// What names a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LayerId {
    /// The tablet that wrote it, and below whose name the object lies. After a split others have it too.
    pub home: TabletId,
    pub generation: u64,
    pub sequence: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMeta {
    pub home: TabletId,
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
    /// Written ahead of its commit: every version has `lsn_min`, whatever the object says.
    pub stamped: bool,
}

impl LayerId {
    pub fn path(&self) -> Path {
        Path::from(format!("tablets/{}/layers/{:010}-{:010}.layer", self.home, self.generation, self.sequence))
    }

    /// The layer that an object of this name is; `None` for other objects.
    pub fn of_path(path: &Path) -> Option<LayerId> {
        let text = path.as_ref().strip_prefix("tablets/")?.strip_suffix(".layer")?;
        let (home, name) = text.split_once("/layers/")?;
        let (generation, sequence) = name.split_once('-')?;
        let home = TabletId(home.parse().ok()?);
        let id = LayerId { home, generation: generation.parse().ok()?, sequence: sequence.parse().ok()? };
        (id.path() == *path).then_some(id)
    }
}

impl LayerMeta {
    pub fn path(&self) -> Path {
        self.id().path()
    }

    pub fn id(&self) -> LayerId {
        LayerId { home: self.home, generation: self.generation, sequence: self.sequence }
    }

    /// The LSN of all its versions, where the object does not have it.
    pub fn stamp(&self) -> Option<Lsn> {
        self.stamped.then_some(self.lsn_min)
    }

    /// Whether it has no key beyond `range`.
    pub fn is_within(&self, range: &KeyRange) -> bool {
        range.contains(&self.first) && range.contains(&self.last)
    }

    /// Its keys, and whatever lies between them.
    pub fn range(&self) -> KeyRange {
        let mut end = self.last.to_vec();
        end.push(0);
        KeyRange { start: self.first.clone(), end: end.into() }
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
            kept: Kept::default(),
            tombstones_dropped: Lsn::ZERO,
            next_sequence: 1,
            counters: Vec::new(),
            layers: Vec::new(),
            map: None,
            points: Vec::new(),
        }
    }

    /// The manifest with which a new owner takes over.
    pub fn taken_over(&self, owner: u128) -> Manifest {
        Manifest { number: self.number + 1, generation: self.generation + 1, owner, next_sequence: 1, ..self.clone() }
    }

    /// The same for a tablet beside the first one, whose generation it takes: no tablet is ahead of the first.
    pub fn taken_over_with(&self, owner: u128, generation: u64) -> Manifest {
        Manifest { generation: generation.max(self.generation + 1), ..self.taken_over(owner) }
    }

    /// The next manifest of the same owner, with `removed` layers replaced by `added`.
    pub fn with_layers(&self, removed: &[LayerId], added: Vec<LayerMeta>) -> Manifest {
        let mut layers = self.layers.clone();
        layers.retain(|layer| !removed.contains(&layer.id()));
        layers.extend(added);
        layers.sort_by(|a, b| {
            // A stamped layer has none of the keys that others have at its LSN, and newer versions than their older ones.
            let newest_first = b.lsn_max.cmp(&a.lsn_max).then(b.stamped.cmp(&a.stamped));
            let by_place = if a.level == 0 { newest_first } else { a.first.cmp(&b.first) };
            a.level.cmp(&b.level).then(by_place)
        });
        Manifest { number: self.number + 1, layers, ..self.clone() }
    }

    /// What must hold of every manifest, whoever wrote it.
    pub fn check(&self) -> Result<(), FormatError> {
        if !self.kept.is_consistent() || !self.points.is_sorted_by(|a, b| a < b) {
            return Err(FormatError("branch points are out of order"));
        }
        for layer in &self.layers {
            if layer.first > layer.last || layer.lsn_min > layer.lsn_max || layer.index_offset >= layer.bytes {
                return Err(FormatError("a layer contradicts itself"));
            }
            if layer.stamped && layer.lsn_min != layer.lsn_max {
                return Err(FormatError("a stamped layer has several LSNs"));
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
            if pair[1].level == 0 && pair[0].lsn_max < pair[1].lsn_max {
                return Err(FormatError("flushed layers are out of order"));
            }
        }
        let level0 = self.layers.iter().take_while(|layer| layer.level == 0).count();
        for (at, newer) in self.layers[..level0].iter().enumerate() {
            // Those of tablets that were merged may be of one time, but not of the same keys.
            let apart =
                |older: &LayerMeta| older.lsn_max < newer.lsn_min || (newer.stamped && older.lsn_max == newer.lsn_min);
            let clash = |older: &LayerMeta| !apart(older) && older.overlaps(newer);
            if self.layers[at + 1..level0].iter().any(clash) {
                return Err(FormatError("flushed layers overlap in LSN and keys"));
            }
        }
        Ok(())
    }
}

/// Formats that are read and no longer written. What stayed in its place from one to the next is one struct: postcard
/// writes fields one after the other, without names.
mod older {
    use super::{ClusterMap, CounterId, Deserialize, Kept, Key, LayerMeta, Lsn, Manifest, TabletId};

    #[derive(Deserialize)]
    pub struct Head {
        tablet: TabletId,
        number: u64,
        generation: u64,
        owner: u128,
        durable: Lsn,
        durable_time_us: u64,
        horizon: Lsn,
        tombstones_dropped: Lsn,
        next_sequence: u64,
        counters: Vec<(CounterId, u64)>,
    }

    #[derive(Deserialize)]
    pub struct Layer {
        generation: u64,
        sequence: u64,
        level: u32,
        bytes: u64,
        index_offset: u64,
        first: Key,
        last: Key,
        lsn_min: Lsn,
        lsn_max: Lsn,
        versions: u64,
        tombstones: u64,
    }

    /// Before tablets were split: every layer is at home.
    pub type Version1 = (Head, Vec<Layer>);
    /// Before bulk layers: every object has its own LSNs.
    pub type Version2 = (Head, Vec<(TabletId, Layer)>, Option<ClusterMap>);
    /// Before branch points: nothing below the horizon is kept.
    pub type Version3 = (Head, Vec<LayerMeta>, Option<ClusterMap>);

    pub fn of_version1((head, layers): Version1) -> Manifest {
        let home = head.tablet;
        of_version2((head, layers.into_iter().map(|layer| (home, layer)).collect(), None))
    }

    pub fn of_version2((head, layers, map): Version2) -> Manifest {
        let layer = |(home, layer): (TabletId, Layer)| LayerMeta {
            home,
            generation: layer.generation,
            sequence: layer.sequence,
            level: layer.level,
            bytes: layer.bytes,
            index_offset: layer.index_offset,
            first: layer.first,
            last: layer.last,
            lsn_min: layer.lsn_min,
            lsn_max: layer.lsn_max,
            versions: layer.versions,
            tombstones: layer.tombstones,
            stamped: false,
        };
        of_version3((head, layers.into_iter().map(layer).collect(), map))
    }

    pub fn of_version3((head, layers, map): Version3) -> Manifest {
        Manifest {
            tablet: head.tablet,
            number: head.number,
            generation: head.generation,
            owner: head.owner,
            durable: head.durable,
            durable_time_us: head.durable_time_us,
            kept: Kept::new(head.horizon, &[]),
            tombstones_dropped: head.tombstones_dropped,
            next_sequence: head.next_sequence,
            counters: head.counters,
            layers,
            map,
            points: Vec::new(),
        }
    }
}

pub fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(FORMAT);
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
        return Err(FormatError("not a manifest"));
    }
    let malformed = |_| FormatError("the manifest does not decode");
    let manifest: Manifest = match cursor.u8()? {
        1 => older::of_version1(postcard::from_bytes(cursor.rest()).map_err(malformed)?),
        2 => older::of_version2(postcard::from_bytes(cursor.rest()).map_err(malformed)?),
        3 => older::of_version3(postcard::from_bytes(cursor.rest()).map_err(malformed)?),
        FORMAT => postcard::from_bytes(cursor.rest()).map_err(malformed)?,
        _ => return Err(FormatError("a manifest format that this version does not know")),
    };
    manifest.check()?;
    Ok(manifest)
}
