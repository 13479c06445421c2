//! Settings of the wal role.

use common::id::NodeId;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// All settings, with defaults for all but the directory and the node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalConfig {
    /// Where the log's segments are. One directory belongs to one node.
    pub directory: PathBuf,
    pub node: NodeId,
    /// Every member of a new cluster, this node included. Read when the cluster is made, by the smallest id. Empty: the
    /// log says who they are, and a node with an empty disk waits until it is taken in.
    pub members: Vec<NodeId>,
    /// Where others reach this node; the log remembers it with the member. Default: empty, for one process.
    #[serde(default)]
    pub address: String,
    /// Size of a segment file, reserved before it is begun. Smaller frees disk space earlier after a trim; larger means
    /// fewer files. Default: 64 MiB.
    #[serde(default = "defaults::segment_bytes")]
    pub segment_bytes: u64,
    /// Newest entries kept in memory, so that followers and subscribers need not read the disk. Default: 32 MiB.
    #[serde(default = "defaults::cache_bytes_max")]
    pub cache_bytes_max: usize,
    /// Batches on their way to the disk at the same time. Two: the next one is there when a sync ends. Default: 2.
    #[serde(default = "defaults::batches_in_flight_max")]
    pub batches_in_flight_max: usize,
    /// Bytes of keys and rows at which a batch is closed. Default: 4 MiB.
    #[serde(default = "defaults::batch_bytes_max")]
    pub batch_bytes_max: usize,
    /// Larger transactions are refused. Default: 512 MiB.
    #[serde(default = "defaults::transaction_bytes_max")]
    pub transaction_bytes_max: usize,
    /// Recent writes against which commits are checked without asking a page server; about 40 bytes each. Default: 1 million.
    #[serde(default = "defaults::conflict_window_keys_max")]
    pub conflict_window_keys_max: usize,
    /// How many of them a new leader reads from its log before it serves; for keys older than these it asks page servers.
    /// Default: 100,000.
    #[serde(default = "defaults::conflict_window_rebuilt_max")]
    pub conflict_window_rebuilt_max: usize,
    /// Commits whose outcome can still be asked for; about 50 bytes each. Default: 256 Ki.
    #[serde(default = "defaults::outcomes_max")]
    pub outcomes_max: usize,
    /// Locks held by all transactions together, about 200 bytes each; beyond it lock requests are refused. Default: 4 million.
    #[serde(default = "defaults::locks_max")]
    pub locks_max: usize,
    /// Newest batches kept for subscribers that follow closely; others read the log. Default: 32 MiB.
    #[serde(default = "defaults::stream_bytes_max")]
    pub stream_bytes_max: usize,
    /// A subscriber hears at least this often. Default: 200 ms.
    #[serde(default = "defaults::heartbeat_interval")]
    pub heartbeat_interval: Duration,
    /// A follower that has not heard from the leader for this long votes for another one, and stands for election itself
    /// after 1.6 to 2 times as long, at random. Must be well above what a member may be held up by its machine: whatever
    /// locks ranges has to run again when the leader changes. Default: 250 ms.
    #[serde(default = "defaults::election_timeout")]
    pub election_timeout: Duration,
    /// A leader whose disk takes longer than this for one group of entries (and a second more for each 4 MiB) hands over to
    /// another member: those have what it cannot write. Default: 5 s.
    #[serde(default = "defaults::disk_write_max")]
    pub disk_write_max: Duration,
    /// How what is committed gets to the object store, where there is an archive.
    #[serde(default)]
    pub archive: ArchiveConfig,
}

/// The archive of the log; see `archive`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveConfig {
    /// So many bytes become an object at once. Larger means fewer requests. Default: 32 MiB.
    pub seal_bytes: u64,
    /// A commit is archived after so long, however little there is: what a loss of all disks may cost. Each such object is a
    /// request, 180 an hour at most. Default: 20 s.
    pub seal_age: Duration,
    /// Archived log is kept for so long, and until it is in layers. Default: 1 h.
    pub retention: Duration,
    /// The log keeps what is not archived until it has this size; then it lets it go, and the archive has a gap. Default: 4 GiB.
    pub log_bytes_max: u64,
}

impl Default for ArchiveConfig {
    fn default() -> ArchiveConfig {
        ArchiveConfig {
            seal_bytes: 32 << 20,
            seal_age: Duration::from_secs(20),
            retention: Duration::from_secs(3600),
            log_bytes_max: 4 << 30,
        }
    }
}

impl ArchiveConfig {
    /// How often it is looked for what may go.
    pub fn sweep_interval(&self) -> Duration {
        (self.retention / 6).clamp(Duration::from_secs(1), Duration::from_secs(600))
    }
}

mod defaults {
    use std::time::Duration;

    pub fn segment_bytes() -> u64 {
        64 << 20
    }
    pub fn cache_bytes_max() -> usize {
        32 << 20
    }
    pub fn batches_in_flight_max() -> usize {
        2
    }
    pub fn batch_bytes_max() -> usize {
        4 << 20
    }
    pub fn transaction_bytes_max() -> usize {
        512 << 20
    }
    pub fn conflict_window_keys_max() -> usize {
        1_000_000
    }
    pub fn conflict_window_rebuilt_max() -> usize {
        100_000
    }
    pub fn outcomes_max() -> usize {
        256 << 10
    }
    pub fn locks_max() -> usize {
        4_000_000
    }
    pub fn stream_bytes_max() -> usize {
        32 << 20
    }
    pub fn heartbeat_interval() -> Duration {
        Duration::from_millis(200)
    }
    pub fn election_timeout() -> Duration {
        Duration::from_millis(250)
    }
    pub fn disk_write_max() -> Duration {
        Duration::from_secs(5)
    }
}

impl WalConfig {
    /// One node that is the whole cluster, with the defaults.
    pub fn single(directory: PathBuf) -> WalConfig {
        WalConfig::member(directory, NodeId(1), vec![NodeId(1)])
    }

    /// One of several nodes, with the defaults.
    pub fn member(directory: PathBuf, node: NodeId, members: Vec<NodeId>) -> WalConfig {
        WalConfig {
            directory,
            node,
            members,
            address: String::new(),
            segment_bytes: defaults::segment_bytes(),
            cache_bytes_max: defaults::cache_bytes_max(),
            batches_in_flight_max: defaults::batches_in_flight_max(),
            batch_bytes_max: defaults::batch_bytes_max(),
            transaction_bytes_max: defaults::transaction_bytes_max(),
            conflict_window_keys_max: defaults::conflict_window_keys_max(),
            conflict_window_rebuilt_max: defaults::conflict_window_rebuilt_max(),
            outcomes_max: defaults::outcomes_max(),
            locks_max: defaults::locks_max(),
            stream_bytes_max: defaults::stream_bytes_max(),
            heartbeat_interval: defaults::heartbeat_interval(),
            election_timeout: defaults::election_timeout(),
            disk_write_max: defaults::disk_write_max(),
            archive: ArchiveConfig::default(),
        }
    }

    /// What is wrong with the settings, for the person who wrote them.
    pub fn validate(&self) -> Result<(), String> {
        let mut members = self.members.clone();
        members.sort_unstable();
        members.dedup();
        if members.len() != self.members.len() {
            return Err("members: a node is named twice".to_string());
        }
        if !self.members.is_empty() && !self.members.contains(&self.node) {
            return Err(format!("members: this node ({}) is not among them", self.node));
        }
        if !(4 << 10..=2 << 30).contains(&self.segment_bytes) {
            return Err(format!("segment_bytes: {} is not between 4 KiB and 2 GiB", self.segment_bytes));
        }
        if self.transaction_bytes_max > 1 << 30 {
            return Err("transaction_bytes_max: more than 1 GiB does not fit into a log entry".to_string());
        }
        let positive = [
            ("batches_in_flight_max", self.batches_in_flight_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("conflict_window_keys_max", self.conflict_window_keys_max),
            ("outcomes_max", self.outcomes_max),
            ("locks_max", self.locks_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name}: must be at least 1"));
        }
        if self.archive.seal_bytes == 0 || self.archive.seal_bytes > 1 << 30 {
            return Err("archive: seal_bytes: must be between 1 byte and 1 GiB".to_string());
        }
        if self.election_timeout < Duration::from_millis(50) || self.heartbeat_interval.is_zero() {
            return Err("election_timeout: below 50 ms, or heartbeat_interval: 0".to_string());
        }
        Ok(())
    }
}
