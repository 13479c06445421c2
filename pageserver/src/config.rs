//! What can be set about a page server. Unknown keys are rejected; [`Config::validate`] runs at start.

use common::env::retry::RetryPolicy;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A memtable of this size is frozen and written as a layer. Larger means fewer, larger objects and a longer
    /// replay after a crash. Default: 64 MiB.
    pub memtable_bytes_max: usize,
    /// All memtables together; at this size the log receiver waits for flushes. Default: 256 MiB.
    pub memtables_bytes_max: usize,
    /// Changes wait at most this long for their layer. Default: 30 s.
    pub flush_interval: Duration,
    /// Keys and rows per block before encoding. Larger scans faster, smaller reads single rows faster when they are not
    /// in memory. Default: 512 KiB.
    pub block_bytes: usize,
    /// Versions per block at most. Default: 4096.
    pub block_rows_max: usize,
    /// Layers written by compaction are cut at about this size. Default: 64 MiB.
    pub layer_bytes_max: usize,
    /// Sorted runs of flushed layers of about one size before they are merged: each of them may cost a point read one
    /// more block, and keeps scans from taking blocks whole. Six make a part of full memtables by two merges. Default: 6.
    pub level0_layers_max: usize,
    /// Level 1 is rewritten part by part, each of about so many bytes, as what was flushed since grows to a share of it.
    /// Default: 256 MiB.
    pub part_bytes: u64,
    /// Size of level 1, which is meant to hold all of a tablet; each deeper level may be `level_growth` times larger.
    /// Default: 16 GiB.
    pub level1_bytes: u64,
    /// Default: 10.
    pub level_growth: u64,
    /// Compactions that run at the same time, on inputs that lie apart; from two on, one worker is kept for the newest level.
    /// Each takes about 32 MiB and the layer it writes. Default: half of the processors, at least 2 and at most 8.
    pub compaction_workers: usize,
    /// From so many bytes that compaction still has to rewrite on, commits are slowed down. Default: 2 GiB.
    pub compaction_debt_soft: u64,
    /// At so many bytes they are slowed down as far as they are. Default: 16 GiB.
    pub compaction_debt_max: u64,
    /// Threads for scans, apart from those that answer point reads; 0: scans run where they are polled. Default: half of
    /// the processors.
    pub scan_threads: usize,
    /// A read waits at most this long for its LSN to be applied. Default: 10 s.
    pub read_wait_max: Duration,
    /// Old versions are kept at least this long, so that transactions and scans of that age can be read. Default: 1 h.
    pub retention: Duration,
    /// What an open transaction reads is kept longer than that, but at most so long: then its reads are refused.
    /// Default: 24 h.
    pub snapshot_age_max: Duration,
    /// An object that no manifest names any more is deleted after this long. Default: 60 s.
    pub delete_after: Duration,
    /// An object that no manifest of any tablet names, and that this process has nothing to do with, is deleted when it
    /// has been so for this long. Longer than any request to the store may be on its way. Default: 1 h.
    pub orphans_after: Duration,
    /// How often such objects are looked for, which lists all objects. Default: 30 min.
    pub orphans_interval: Duration,
    /// How often compaction looks for work besides after each flush. Default: 10 s.
    pub compaction_interval: Duration,
    /// Old manifests that are kept for inspection, at least; they are deleted a few at a time. Default: 5.
    pub manifests_kept: usize,
    /// A tablet with more bytes of layers is split in two. Default: 8 GiB.
    pub tablet_bytes_max: u64,
    /// Neighbours with fewer bytes together are merged into one. Default: 1 GiB.
    pub tablet_bytes_min: u64,
    /// A tablet to which more bytes per second are written is split in two. Default: 64 MiB.
    pub tablet_write_bytes_max: u64,
    /// No tablet is split from this number on. Default: 1000.
    pub tablets_max: usize,
    /// How often the sizes of tablets are looked at. Default: 30 s.
    pub balance_interval: Duration,
    /// How requests to the object store are tried again.
    pub requests: RetryPolicy,
    pub cache: CacheConfig,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Blocks in memory, expanded columns included. Default: 256 MiB.
    pub memory_bytes: usize,
    /// Blocks on local disk; none by default.
    pub disk: Option<DiskCacheConfig>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskCacheConfig {
    pub directory: PathBuf,
    pub bytes: usize,
}

impl DiskCacheConfig {
    /// The disk cache is recycled region by region: a 32nd of it, within bounds.
    pub fn region_bytes(&self) -> usize {
        (self.bytes / 32).clamp(1 << 20, 64 << 20) & !4095
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            memtable_bytes_max: 64 << 20,
            memtables_bytes_max: 256 << 20,
            flush_interval: Duration::from_secs(30),
            block_bytes: 512 << 10,
            block_rows_max: 4096,
            layer_bytes_max: 64 << 20,
            level0_layers_max: 6,
            part_bytes: 256 << 20,
            level1_bytes: 16 << 30,
            level_growth: 10,
            compaction_workers: std::thread::available_parallelism().map_or(2, |cores| (cores.get() / 2).clamp(2, 8)),
            compaction_debt_soft: 2 << 30,
            compaction_debt_max: 16 << 30,
            scan_threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            read_wait_max: Duration::from_secs(10),
            retention: Duration::from_secs(3600),
            snapshot_age_max: Duration::from_secs(24 * 3600),
            delete_after: Duration::from_secs(60),
            orphans_after: Duration::from_secs(3600),
            orphans_interval: Duration::from_secs(1800),
            compaction_interval: Duration::from_secs(10),
            manifests_kept: 5,
            tablet_bytes_max: 8 << 30,
            tablet_bytes_min: 1 << 30,
            tablet_write_bytes_max: 64 << 20,
            tablets_max: 1000,
            balance_interval: Duration::from_secs(30),
            requests: RetryPolicy::default(),
            cache: CacheConfig::default(),
        }
    }
}

impl Default for CacheConfig {
    fn default() -> CacheConfig {
        CacheConfig { memory_bytes: 256 << 20, disk: None }
    }
}

impl Config {
    /// The first setting that cannot work, in words.
    pub fn validate(&self) -> Result<(), String> {
        let rules = [
            (self.memtable_bytes_max >= 1, "memtable_bytes_max must be at least 1"),
            (
                self.memtables_bytes_max >= 2 * self.memtable_bytes_max,
                "memtables_bytes_max must be at least twice memtable_bytes_max",
            ),
            (self.block_bytes >= 1 && self.block_bytes <= 16 << 20, "block_bytes must be between 1 and 16 MiB"),
            (
                self.block_rows_max >= 1 && self.block_rows_max <= 1 << 20,
                "block_rows_max must be between 1 and 1048576",
            ),
            (
                self.layer_bytes_max >= 1 && self.layer_bytes_max <= 1 << 30,
                "layer_bytes_max must be between 1 and 1 GiB",
            ),
            ((1..=64).contains(&self.compaction_workers), "compaction_workers must be between 1 and 64"),
            (
                self.compaction_debt_soft < self.compaction_debt_max,
                "compaction_debt_soft must be less than compaction_debt_max",
            ),
            (self.scan_threads <= 1024, "scan_threads must be at most 1024"),
            (self.level0_layers_max >= 1, "level0_layers_max must be at least 1"),
            (self.part_bytes >= 1, "part_bytes must be at least 1"),
            (self.level_growth >= 2, "level_growth must be at least 2"),
            (!self.orphans_interval.is_zero(), "orphans_interval must not be zero"),
            (!self.compaction_interval.is_zero(), "compaction_interval must not be zero"),
            (
                self.tablet_bytes_min <= self.tablet_bytes_max / 2,
                "tablet_bytes_min must be at most half of tablet_bytes_max: what is merged must not be split again",
            ),
            (self.tablets_max >= 1, "tablets_max must be at least 1"),
            (!self.balance_interval.is_zero(), "balance_interval must not be zero"),
            (self.cache.memory_bytes >= 1 << 20, "cache.memory_bytes must be at least 1 MiB"),
            (
                self.cache.disk.as_ref().is_none_or(|disk| disk.bytes >= 32 << 20),
                "cache.disk.bytes must be at least 32 MiB",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(format!("page server configuration: {rule}")),
            None => Ok(()),
        }
    }
}
