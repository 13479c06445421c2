//! What the page server programs stand on: a page server in this process on objects in memory, and clocks of CPU time.
//!
//! The machine these run on may be shared, so figures are CPU time of a thread, or ratios to a peer in the same run.
#![allow(dead_code)]

#[path = "../../../pageserver/tests/support/log.rs"]
pub mod log;

use bytes::Bytes;
use common::id::{ColumnId, IndexId, Lsn, TableId};
use common::key::{Key, index_prefix};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{GetRequest, PageStatus, ScanColumn};
use log::{LogHandle, MemoryLog};
use object_store::memory::InMemory;
use pageserver::{CacheConfig, Config, PageServer};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub const TABLE: TableId = TableId(1);
pub const INDEX: IndexId = IndexId(0);

/// Changes of one transaction while a table is loaded.
const ROWS_PER_COMMIT: usize = 1000;
/// Transactions between two looks at what the log may forget.
const COMMITS_PER_TRIM: usize = 100;

/// A page server with the settings of a real one, and a cache that holds everything.
pub struct Pages {
    pub runtime: Runtime,
    pub log: Arc<MemoryLog>,
    pub server: PageServer,
}

impl Pages {
    pub fn start(config: Config) -> Pages {
        let runtime = Runtime::new().expect("runtime");
        let log = MemoryLog::new(1_000);
        let cache = CacheConfig { memory_bytes: 12 << 30, disk: None };
        // Loading must not fail where the machine is busy with something else.
        let config = Config { cache, read_wait_max: Duration::from_secs(3600), ..config };
        let wal = Arc::new(LogHandle(log.clone()));
        let server =
            runtime.block_on(pageserver::start(config, wal, Arc::new(InMemory::new()))).expect("start a page server");
        Pages { runtime, log, server }
    }

    /// Commits `rows` in transactions of some size, no faster than they are applied.
    pub fn load(&self, rows: impl Iterator<Item = (Key, Bytes)>) {
        let mut rows = rows.peekable();
        for commit in 1usize.. {
            let changes: Vec<_> = rows.by_ref().take(ROWS_PER_COMMIT).map(|(key, row)| (key, Some(row))).collect();
            let last = changes.len() < ROWS_PER_COMMIT;
            if !changes.is_empty() {
                let lsn = self.log.commit(changes, vec![]);
                if commit.is_multiple_of(COMMITS_PER_TRIM) {
                    self.applied(lsn);
                    self.log.trim();
                }
            }
            if last {
                break;
            }
        }
        self.applied(self.log.newest());
    }

    pub fn applied(&self, lsn: Lsn) {
        let request = GetRequest { lsn, keys: vec![] };
        self.runtime.block_on(self.server.service().get(request)).expect("the log is applied");
    }

    pub fn flush(&self) {
        self.runtime.block_on(self.server.flush()).expect("flush");
        self.log.trim();
    }

    pub fn compact(&self) {
        self.runtime.block_on(self.server.compact()).expect("compact");
    }

    pub fn status(&self) -> PageStatus {
        self.runtime.block_on(self.server.service().status()).expect("status")
    }
}

/// The parts of a key are integers, as `expr::key_encoding` writes them.
pub fn key(parts: &[i64]) -> Key {
    let mut key = index_prefix(TABLE, INDEX).to_vec();
    for part in parts {
        key.push(1);
        key.extend((*part ^ i64::MIN).to_be_bytes());
    }
    key.into()
}

pub fn column(column: u16, physical: PhysicalType) -> ScanColumn {
    ScanColumn { column: ColumnId(column), physical, default: PhysicalValue::Null }
}

/// Steps through numbers without a visible pattern.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % end
    }
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process.
pub fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub fn number_from<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The sorted sample at a per mille rank.
pub fn quantile(sorted: &[u64], per_mille: usize) -> u64 {
    sorted[(sorted.len() * per_mille / 1000).min(sorted.len() - 1)]
}
