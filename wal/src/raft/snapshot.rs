//! Snapshots on disk: one small file with the history at an entry, written beside the segments.

use super::{CommittedLeaderId, Membership, OldMembership, SnapshotMeta, StoredMembership};
use crate::segment::Disk;
use crate::sequencer::{Counters, History, Outcomes};
use bytes::Bytes;
use common::cluster_map::ClusterMap;
use common::env::threads;
use common::id::{CommitId, CounterId, Lsn};
use common::key::Key;
use common::prepared::PreparedLocks;
use openraft::BasicNode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const FILE: &str = "history.snapshot";
const TEMPORARY: &str = "history.snapshot.new";
const MAGIC: [u8; 8] = *b"DRLOGSN2";
/// Its membership has no addresses; no longer written.
const OLD_MAGIC: [u8; 8] = *b"DRLOGSNP";
/// Magic, CRC of the rest.
const HEADER_BYTES: usize = 12;

/// What a snapshot says.
#[derive(Serialize, Deserialize)]
pub struct SnapshotState {
    last_lsn: Lsn,
    time_us: u64,
    base_lsn: Lsn,
    pub trim: Lsn,
    counters: Vec<(CounterId, u64)>,
    outcomes: Vec<(CommitId, Lsn)>,
    /// Encoded behind the rest: snapshots of earlier versions end before it.
    #[serde(skip)]
    map: ClusterMap,
    /// Behind the map, for the same reason.
    #[serde(skip)]
    prepared: BTreeMap<Key, PreparedLocks>,
    /// Behind those.
    #[serde(skip)]
    generation: u64,
}

impl SnapshotState {
    pub fn new(history: &History, trim: Lsn) -> SnapshotState {
        SnapshotState {
            last_lsn: history.last_lsn,
            time_us: history.time_us,
            base_lsn: history.base_lsn,
            trim,
            counters: history.counters.values(),
            outcomes: history.outcomes.iter().collect(),
            map: history.map.clone(),
            prepared: history.prepared.clone(),
            generation: history.generation,
        }
    }

    pub fn history(&self, outcomes_max: usize) -> History {
        let mut outcomes = Outcomes::new(outcomes_max);
        for (commit, lsn) in &self.outcomes {
            outcomes.insert(*commit, *lsn);
        }
        History {
            last_lsn: self.last_lsn,
            time_us: self.time_us,
            base_lsn: self.base_lsn,
            counters: Counters::from_values(self.counters.iter().copied()),
            outcomes,
            map: self.map.clone(),
            prepared: self.prepared.clone(),
            generation: self.generation,
        }
    }

    pub fn encode(&self) -> io::Result<Bytes> {
        let mut bytes = postcard::to_stdvec(self).map_err(io::Error::other)?;
        bytes.extend(postcard::to_stdvec(&self.map).map_err(io::Error::other)?);
        bytes.extend(postcard::to_stdvec(&self.prepared).map_err(io::Error::other)?);
        bytes.extend(postcard::to_stdvec(&self.generation).map_err(io::Error::other)?);
        Ok(bytes.into())
    }

    pub fn decode(bytes: &[u8]) -> io::Result<SnapshotState> {
        let malformed = |error: postcard::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        let (mut state, rest) = postcard::take_from_bytes::<SnapshotState>(bytes).map_err(malformed)?;
        let mut rest: &[u8] = rest;
        if !rest.is_empty() {
            (state.map, rest) = postcard::take_from_bytes(rest).map_err(malformed)?;
        }
        if !rest.is_empty() {
            (state.prepared, rest) = postcard::take_from_bytes(rest).map_err(malformed)?;
        }
        if !rest.is_empty() {
            state.generation = postcard::from_bytes(rest).map_err(malformed)?;
        }
        Ok(state)
    }
}

/// Between two looks at a full disk.
const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

/// Replaces the snapshot on disk; durable when it returns. Waits while there is no space for it: an error would end the
/// consensus, and nothing is lost by waiting.
pub async fn save_when_possible(disk: Arc<dyn Disk>, meta: SnapshotMeta, state: Bytes) -> io::Result<()> {
    loop {
        let (disk, meta, state) = (disk.clone(), meta.clone(), state.clone());
        match threads::blocking(move || save(&disk, &meta, &state)).await.map_err(io::Error::other)? {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::error!(%error, "no space for a snapshot of the log's history; it is tried again");
                tokio::time::sleep(FULL_DISK_RETRY).await;
            }
            saved => return saved,
        }
    }
}

fn save(disk: &Arc<dyn Disk>, meta: &SnapshotMeta, state: &Bytes) -> io::Result<()> {
    let body = postcard::to_stdvec(&(meta, state)).map_err(io::Error::other)?;
    let mut contents = Vec::with_capacity(HEADER_BYTES + body.len());
    contents.extend_from_slice(&MAGIC);
    contents.extend_from_slice(&crc_fast::crc32_iscsi(&body).to_le_bytes());
    contents.extend_from_slice(&body);
    if disk.list()?.iter().any(|name| name == TEMPORARY) {
        disk.remove(TEMPORARY)?;
    }
    let file = disk.create(TEMPORARY, 0)?;
    file.write_all_at(&contents, 0)?;
    file.sync_all()?;
    disk.rename(TEMPORARY, FILE)?;
    disk.sync_directory()
}

/// The snapshot on disk, if there is one.
pub fn load(disk: &Arc<dyn Disk>) -> io::Result<Option<(SnapshotMeta, Bytes)>> {
    if !disk.list()?.iter().any(|name| name == FILE) {
        return Ok(None);
    }
    let damaged = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} is damaged: {what}; check the disk, then restore the log directory from another wal node, or start \
                 with an empty one and rebuild from object storage",
                disk.path_of(FILE).display()
            ),
        )
    };
    let file = disk.open(FILE)?;
    let mut contents = vec![0; usize::try_from(file.size_bytes()?).map_err(io::Error::other)?];
    file.read_exact_at(&mut contents, 0)?;
    let (header, body) = contents.split_at_checked(HEADER_BYTES).ok_or_else(|| damaged("it is too short"))?;
    let is_old = header[..8] == OLD_MAGIC;
    if (header[..8] != MAGIC && !is_old) || header[8..] != crc_fast::crc32_iscsi(body).to_le_bytes() {
        return Err(damaged("it does not match its checksum"));
    }
    let unreadable = |_| damaged("it cannot be read");
    if is_old {
        let (meta, state): (OldSnapshotMeta, Bytes) = postcard::from_bytes(body).map_err(unreadable)?;
        let membership = with_addresses(meta.last_membership.membership())?;
        let last_membership = StoredMembership::new(*meta.last_membership.log_id(), membership);
        return Ok(Some((SnapshotMeta { last_log_id: meta.last_log_id, last_membership }, state)));
    }
    postcard::from_bytes(body).map(Some).map_err(unreadable)
}

type OldSnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, openraft::EmptyNode>;

/// A membership of a log that did not know addresses yet.
pub fn with_addresses(old: &OldMembership) -> io::Result<Membership> {
    let nodes: BTreeMap<u64, BasicNode> = old.nodes().map(|(node, _)| (*node, BasicNode::default())).collect();
    Membership::new(old.get_joint_config().clone(), nodes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("membership: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::cluster_map::MapChange;
    use common::id::{TabletId, TxnId};
    use common::service::wal::{LockMode, LockTarget};

    #[test]
    fn a_snapshot_whose_members_have_no_addresses_is_read() {
        let disk: Arc<dyn Disk> = crate::segment::memory_disk::MemoryDisk::new();
        let old = OldMembership::new_with_defaults(vec![[1, 2, 3].into()], []);
        let last_membership = openraft::StoredMembership::new(None, old);
        let meta = OldSnapshotMeta { last_log_id: None, last_membership };
        let body = postcard::to_stdvec(&(meta, Bytes::from_static(b"state"))).expect("it serializes");
        let mut contents = OLD_MAGIC.to_vec();
        contents.extend(crc_fast::crc32_iscsi(&body).to_le_bytes());
        contents.extend(&body);
        disk.create(FILE, 0).and_then(|file| file.write_all_at(&contents, 0)).expect("it is written");
        let (meta, state) = load(&disk).expect("it is read").expect("it is there");
        assert_eq!(state, Bytes::from_static(b"state"));
        assert_eq!(meta.last_membership.voter_ids().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn snapshots_without_a_map_are_read() {
        let mut history = History::new(10);
        history.last_lsn = Lsn(9);
        history.counters = Counters::from_values([(CounterId(1), 2)]);
        // As they were written before there were maps.
        let old = postcard::to_stdvec(&SnapshotState::new(&history, Lsn(4))).expect("a snapshot serializes");
        let read = SnapshotState::decode(&old).expect("an old snapshot");
        assert_eq!((read.history(10), read.trim), (history.clone(), Lsn(4)));
        let split = MapChange::Split { tablet: TabletId(1), at: Bytes::from_static(b"m") };
        history.map = ClusterMap::default().changed(&split).expect("a split");
        // As they were written before transactions could be prepared.
        let mut old = postcard::to_stdvec(&SnapshotState::new(&history, Lsn(4))).expect("a snapshot serializes");
        old.extend(postcard::to_stdvec(&history.map).expect("a map serializes"));
        assert_eq!(SnapshotState::decode(&old).expect("an old snapshot").history(10), history);
        let locks = vec![(LockTarget::Key(Bytes::from_static(b"k")), LockMode::Shared)];
        history.prepared.insert(Bytes::from_static(b"x"), PreparedLocks { txn: TxnId(3), locks });
        // As they were written before there was an archive.
        old.extend(postcard::to_stdvec(&history.prepared).expect("locks serialize"));
        assert_eq!(SnapshotState::decode(&old).expect("an old snapshot").history(10), history);
        history.generation = 7;
        let new = SnapshotState::new(&history, Lsn(4)).encode().expect("a snapshot serializes");
        let read = SnapshotState::decode(&new).expect("a snapshot");
        assert_eq!(read.history(10), history);
    }
}
