//! A member's disk: the wal's own disk in memory, which forgets at a crash what was not synced; slow at times; and with a
//! power switch that strikes between two operations of a write.

use crate::sim::{Process, Sim};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wal::segment::memory_disk::MemoryDisk;
use wal::segment::{Disk, DiskFile};

/// What happens to a member's disk, over all its processes.
#[derive(Default)]
pub struct DiskFaults {
    /// The power goes after so many operations; negative: it stays.
    operations_left: AtomicI64,
    latency_ms_max: AtomicU64,
    cannot_sync: AtomicBool,
}

impl DiskFaults {
    pub fn new() -> Arc<DiskFaults> {
        let faults = DiskFaults {
            operations_left: AtomicI64::new(-1),
            latency_ms_max: AtomicU64::new(2),
            ..DiskFaults::default()
        };
        Arc::new(faults)
    }

    pub fn power_goes_after(&self, operations: i64) {
        self.operations_left.store(operations, Ordering::Relaxed);
    }

    /// Every sync fails from now on.
    pub fn fail_syncs(&self) {
        self.cannot_sync.store(true, Ordering::Relaxed);
    }

    pub fn cannot_sync(&self) -> bool {
        self.cannot_sync.load(Ordering::Relaxed)
    }

    pub fn mend(&self) {
        self.cannot_sync.store(false, Ordering::Relaxed);
    }

    pub fn latency(&self, ms_max: u64) {
        self.latency_ms_max.store(ms_max, Ordering::Relaxed);
    }
}

/// The disk as one process sees it.
pub struct SimDisk {
    pub memory: Arc<MemoryDisk>,
    power: Power,
}

#[derive(Clone)]
struct Power {
    sim: Arc<Sim>,
    process: Arc<Process>,
    faults: Arc<DiskFaults>,
}

impl Power {
    /// Before each change.
    fn check(&self) -> io::Result<()> {
        let left = self.faults.operations_left.load(Ordering::Relaxed);
        if left > 0 {
            self.faults.operations_left.store(left - 1, Ordering::Relaxed);
        } else if left == 0 && !self.process.is_dead() {
            self.faults.operations_left.store(-1, Ordering::Relaxed);
            self.sim.event(|| format!("{} loses power in the middle of a write", self.process.name));
            self.process.kill();
        }
        if self.process.is_dead() { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }
}

impl Power {
    fn check_sync(&self) -> io::Result<()> {
        self.check()?;
        if self.faults.cannot_sync() { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }
}

impl SimDisk {
    pub fn new(sim: &Arc<Sim>, process: &Arc<Process>, faults: &Arc<DiskFaults>, memory: Arc<MemoryDisk>) -> SimDisk {
        let power = Power { sim: sim.clone(), process: process.clone(), faults: faults.clone() };
        SimDisk { memory, power }
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { file, power: self.power.clone() })
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn create(&self, name: &str, size_bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.power.check()?;
        Ok(self.file(self.memory.create(name, size_bytes)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.memory.open(name)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.power.check()?;
        self.memory.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.power.check()?;
        self.memory.rename(from, to)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.power.check()?;
        self.memory.sync_directory()
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.memory.path_of(name)
    }

    fn release(&self) {}

    fn simulated_latency(&self) -> Duration {
        self.power.sim.ms(0, self.power.faults.latency_ms_max.load(Ordering::Relaxed))
    }
}

struct SimFile {
    file: Arc<dyn DiskFile>,
    power: Power,
}

impl DiskFile for SimFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.power.check()?;
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.power.check_sync()?;
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.power.check_sync()?;
        self.file.sync_all()
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.power.check()?;
        self.file.set_len(size_bytes)
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        self.power.check()?;
        self.file.reserve(size_bytes)
    }
}

/// What is left of a disk after a crash. A process that dies leaves everything that it wrote; a machine that loses power
/// keeps what was synced, and of the rest what chance wills.
pub fn after_crash(sim: &Sim, memory: &MemoryDisk, power_lost: bool) -> Arc<MemoryDisk> {
    let survives_per_mille = match (power_lost, sim.random.below(3)) {
        (false, _) => 1000,
        (true, 0) => 0,
        (true, 1) => 500,
        (true, _) => 900,
    };
    memory.after_crash(|| sim.strikes(survives_per_mille))
}

/// A disk, and how its last process ended.
pub struct Platter {
    pub memory: Mutex<Arc<MemoryDisk>>,
    pub faults: Arc<DiskFaults>,
}
