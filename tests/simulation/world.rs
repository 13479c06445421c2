//! World: starts the processes of a cluster, starts them again when they die, and looks at what each member shows.

use crate::disk::{DiskFaults, Platter, SimDisk, after_crash};
use crate::network::call;
use crate::remote::Remote;
use crate::sim::{Member, Outcome, Pages, Process, Sim, lock};
use crate::store::{SimStore, StoreFaults};
use crate::{faults, machine, txn, workloads};
use async_trait::async_trait;
use bytes::Bytes;
use common::env::objects::Objects;
use common::id::{CommitId, Lsn, NodeId};
use common::log_archive::LogArchive;
use common::service::PageService;
use common::service::wal::{StreamItem, SubscribeRequest, WalError};
use futures::StreamExt;
use object_store::memory::InMemory;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use wal::segment::memory_disk::MemoryDisk;
use wal::{PeerError, PeerTransport, WalConfig, WalEnvironment};

pub const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
pub const COMPUTES: u64 = 2;
/// Places in the network: members have their own ids.
pub const PAGES_PLACE: u64 = 10;
pub const COMPUTE_PLACE: u64 = 20;

/// After the faults, so long for everything to settle.
const SETTLE_MAX: Duration = Duration::from_secs(60);

pub struct World {
    pub sim: Arc<Sim>,
    pub platters: BTreeMap<NodeId, Platter>,
    /// How each member's next death goes: by power, or of the process alone.
    pub power_lost: AtomicBool,
    /// What each member's wall clock is off by, in microseconds.
    pub clock_skew_us: BTreeMap<NodeId, Arc<AtomicI64>>,
    pub objects: Arc<InMemory>,
    pub store_faults: Arc<StoreFaults>,
    /// A new page server is to take over although the old one lives.
    pub replace_pages: Notify,
    lives: AtomicU64,
}

/// One run: a cluster, its clients and its faults, from a seed.
pub async fn run(seed: u64, print: bool) -> Outcome {
    let sim = Sim::new(seed, print);
    let world = Arc::new(World {
        sim: sim.clone(),
        platters: MEMBERS.into_iter().map(|node| (node, platter())).collect(),
        power_lost: AtomicBool::new(true),
        clock_skew_us: MEMBERS.into_iter().map(|node| (node, Arc::default())).collect(),
        objects: Arc::new(InMemory::new()),
        store_faults: Arc::default(),
        replace_pages: Notify::new(),
        lives: AtomicU64::new(0),
    });
    tokio::select! {
        biased;
        () = sim.failed.cancelled() => {}
        () = world.live() => {}
    }
    sim.outcome()
}

fn platter() -> Platter {
    Platter { memory: Mutex::new(MemoryDisk::new()), faults: DiskFaults::new() }
}

impl World {
    async fn live(self: &Arc<World>) {
        for node in MEMBERS {
            tokio::spawn(self.clone().keep_member(node));
        }
        tokio::spawn(self.clone().keep_pages());
        let computes: Vec<_> =
            (0..COMPUTES).map(|number| Process::new(format!("compute{number}"), COMPUTE_PLACE + number)).collect();
        if let Err(failure) = workloads::prepare(&self.sim, &computes[0]).await {
            return self.sim.violation(format!("the first commit of all: {failure:?}"));
        }
        let mut clients = Vec::new();
        for (compute, number) in computes.iter().zip(0..) {
            clients.extend(workloads::start(&self.sim, compute, number));
        }
        faults::rage(self).await;
        faults::heal(self);
        if tokio::time::timeout(SETTLE_MAX, self.settle(&computes[0], clients)).await.is_err() {
            let members = lock(&self.sim.members).clone();
            let mut states = Vec::new();
            for (node, member) in members {
                let status = member.node.service().status().await;
                states
                    .push(format!("{node}: {:?}", status.map(|status| (status.term, status.leader, status.committed))));
            }
            return self.sim.violation(format!("{SETTLE_MAX:?} after the last fault not everything works: {states:?}"));
        }
        self.sim.ledger.finish(&self.sim);
        workloads::finish(&self.sim);
    }

    /// Everything works again, clients go on for a while and end, and all members show the whole log.
    async fn settle(&self, compute: &Arc<Process>, clients: Vec<oneshot::Receiver<()>>) {
        let remote = Remote::new(&self.sim, compute);
        for _ in 0..2 {
            let newest = loop {
                match txn::read_lsn(&self.sim, &remote).await {
                    Ok(newest) => break newest,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            while !PageService::status(&*remote).await.is_ok_and(|status| status.applied >= newest) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Lock waits, deadlines and elections that faults have left behind.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        self.sim.event(|| "healed".to_string());
        self.sim.healed.cancel();
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.sim.finished.cancel();
        for client in clients {
            // One that panicked has been heard by the test.
            let _ = client.await;
        }
        let last = loop {
            if let Ok(lsn) = txn::read_lsn(&self.sim, &remote).await {
                break lsn;
            }
        };
        self.sim.event(|| format!("the log ends at {last}"));
        loop {
            let members = lock(&self.sim.members).clone();
            let mut behind = members.len() < MEMBERS.len();
            for member in members.values() {
                behind |= member.node.service().status().await.is_ok_and(|status| status.committed < last);
            }
            if !behind && self.sim.ledger.length() >= last.0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.check_archive(last).await;
        // What the page server has is what the log says, for every key.
        let all = common::key::KeyRange::all();
        while txn::scan(&self.sim, &remote, last, all.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything is archived in the end, and what is archived is what the log has.
    async fn check_archive(&self, last: Lsn) {
        // Without the faults of processes.
        let archive = LogArchive::new(Objects::new(self.objects.clone()));
        let contents = loop {
            match archive.contents().await {
                Ok(contents) if contents.newest_of(0) >= Some(last) => break contents,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        self.sim.event(|| format!("{} objects of archived log", contents.objects.len()));
        for listed in contents.objects {
            let name = format!("archived log {}", listed.name);
            // Page servers go on to change the map.
            while self.sim.ledger.length() < listed.name.last.0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match archive.read(listed.name).await {
                Ok(object) => object.batches.iter().for_each(|batch| self.sim.ledger.observe(&self.sim, &name, batch)),
                Err(error) => return self.sim.violation(error.to_string()),
            }
        }
    }

    fn new_life(&self) -> u64 {
        self.lives.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs a member, again and again.
    async fn keep_member(self: Arc<World>, node: NodeId) {
        let platter = &self.platters[&node];
        loop {
            let process = Process::new(format!("wal{node}.{}", self.new_life()), node.0);
            let memory = lock(&platter.memory).clone();
            let disk = SimDisk::new(&self.sim, &process, &platter.faults, memory.clone());
            let started = wal::start_on(Arc::new(disk), member_config(node), self.environment(node, &process)).await;
            match started {
                Ok(started) => {
                    started.set_page_service(Remote::new(&self.sim, &process));
                    let member = Member { process: process.clone(), node: Arc::new(started) };
                    self.sim.event(|| format!("{} runs", process.name));
                    lock(&self.sim.members).insert(node, member.clone());
                    process.spawn(watch(self.sim.clone(), member.clone()));
                    process.spawn(step_down(self.sim.clone(), member, platter.faults.clone()));
                    process.died().await;
                }
                Err(error) if process.is_dead() => {
                    self.sim.event(|| format!("{} died at its start: {error}", process.name))
                }
                // Its disk fails: somebody puts another one there, with all that was written.
                Err(error) if platter.faults.cannot_sync() => {
                    self.sim.event(|| format!("{} does not start: {error}", process.name));
                }
                Err(error) => return self.sim.violation(format!("{} does not start: {error}", process.name)),
            }
            lock(&self.sim.members).remove(&node);
            platter.faults.mend();
            let power_lost = self.power_lost.load(Ordering::Relaxed);
            *lock(&platter.memory) = after_crash(&self.sim, &memory, power_lost);
            self.sim.event(|| format!("{} is dead; power lost: {power_lost}", process.name));
            tokio::time::sleep(self.sim.ms(20, 1200)).await;
        }
    }

    fn environment(&self, node: NodeId, process: &Arc<Process>) -> WalEnvironment {
        let skew = self.clock_skew_us[&node].clone();
        let clock = move || machine::wall_us().saturating_add_signed(skew.load(Ordering::Relaxed));
        let wire = Wire { sim: self.sim.clone(), process: process.clone() };
        let store = SimStore::new(self.objects.clone(), &self.sim, process, &self.store_faults);
        WalEnvironment {
            transport: Some(Arc::new(wire)),
            archive: Some(LogArchive::new(Objects::new(Arc::new(store)))),
            ..WalEnvironment::new(Arc::new(clock))
        }
    }

    /// Runs a page server, again and again.
    async fn keep_pages(self: Arc<World>) {
        loop {
            let process = Process::new(format!("pages.{}", self.new_life()), PAGES_PLACE);
            let store = SimStore::new(self.objects.clone(), &self.sim, &process, &self.store_faults);
            let remote = Remote::new(&self.sim, &process);
            let start = pageserver::start(pages_config(), remote, Arc::new(store));
            let started = tokio::select! {
                biased;
                () = process.died() => None,
                started = start => Some(started),
            };
            match started {
                Some(Ok(server)) => {
                    self.sim.event(|| format!("{} runs", process.name));
                    let pages = Pages { process: process.clone(), server: Arc::new(server) };
                    *lock(&self.sim.pages) = Some(pages.clone());
                    tokio::select! {
                        biased;
                        () = process.died() => {}
                        () = self.replace_pages.notified() => {
                            let lives_for = self.sim.ms(500, 3000);
                            tokio::spawn(async move {
                                tokio::time::sleep(lives_for).await;
                                pages.process.kill();
                            });
                            continue;
                        }
                    }
                }
                Some(Err(error)) if error.is_damage() => {
                    return self.sim.violation(format!("{} does not start: {error}", process.name));
                }
                // The store failed; it is tried again.
                Some(Err(error)) => self.sim.event(|| format!("{} does not start: {error}", process.name)),
                None => {}
            }
            process.kill();
            self.sim.event(|| format!("{} is dead", process.name));
            tokio::time::sleep(self.sim.ms(20, 600)).await;
        }
    }
}

/// Small in everything, so that little work reaches every limit.
fn member_config(node: NodeId) -> WalConfig {
    let mut config = WalConfig::member(PathBuf::from("memory"), node, MEMBERS.to_vec());
    config.segment_bytes = 16 << 10;
    config.cache_bytes_max = 2 << 10;
    config.stream_bytes_max = 4 << 10;
    config.conflict_window_keys_max = 24;
    config.batch_bytes_max = 4 << 10;
    config.archive.seal_bytes = 6 << 10;
    config.archive.seal_age = Duration::from_millis(400);
    config
}

fn pages_config() -> pageserver::Config {
    pageserver::Config {
        memtable_bytes_max: 24 << 10,
        memtables_bytes_max: 128 << 10,
        flush_interval: Duration::from_millis(1500),
        block_bytes: 1 << 10,
        layer_bytes_max: 8 << 10,
        level0_layers_max: 2,
        part_bytes: 16 << 10,
        level1_bytes: 64 << 10,
        scan_threads: 0,
        read_wait_max: Duration::from_secs(1),
        delete_after: Duration::from_secs(2),
        compaction_interval: Duration::from_millis(700),
        tablet_bytes_max: 24 << 10,
        tablet_bytes_min: 4 << 10,
        balance_interval: Duration::from_millis(900),
        cache: pageserver::CacheConfig { memory_bytes: 1 << 20, disk: None },
        ..pageserver::Config::default()
    }
}

/// Carries a member's calls to the others.
struct Wire {
    sim: Arc<Sim>,
    process: Arc<Process>,
}

#[async_trait]
impl PeerTransport for Wire {
    async fn call(&self, target: NodeId, request: Bytes) -> Result<Bytes, PeerError> {
        let unreachable = || PeerError::Unreachable(target, "nobody is there".to_string());
        let member = lock(&self.sim.members).get(&target).cloned();
        let Some(member) = member else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            return Err(unreachable());
        };
        let node = member.node.clone();
        let work = async move { node.handle_peer(&request).await };
        let answer = call(&self.sim, &self.process, &member.process, work).await;
        answer.map_err(|_| PeerError::Failed(target, "the answer was lost".to_string()))
    }
}

/// Puts what a member shows into the ledger, from the beginning of its log on.
async fn watch(sim: Arc<Sim>, member: Member) {
    let mut from = Lsn(1);
    loop {
        let stream = member.node.service().subscribe(SubscribeRequest { from, tablets: Vec::new() }).await;
        match stream {
            Ok(mut items) => {
                while let Some(Ok(item)) = items.next().await {
                    match item {
                        StreamItem::Batch(batch) => {
                            sim.ledger.observe(&sim, &member.process.name, &batch);
                            from = batch.last_lsn.next();
                        }
                        StreamItem::Heartbeat { up_to } => from = from.max(up_to.next()),
                    }
                }
            }
            Err(WalError::Trimmed { first }) => from = from.max(first),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A member whose disk failed does nothing any more: whoever runs it starts it again. Nothing else may stop one.
async fn step_down(sim: Arc<Sim>, member: Member, faults: Arc<DiskFaults>) {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = member.node.service().outcome(CommitId(0)).await;
        if answer.is_err_and(|error| matches!(error, WalError::Unavailable(_))) {
            sim.event(|| format!("{} has stopped and is ended", member.process.name));
            if !faults.cannot_sync() {
                sim.violation(format!("{} has stopped, and its disk is well", member.process.name));
            }
            member.process.kill();
        }
    }
}
