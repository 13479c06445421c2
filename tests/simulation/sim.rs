//! What everything in one simulation shares: randomness, the trace, what went wrong, and who lives.

use crate::checkers::Ledger;
use crate::machine;
use crate::network::Network;
use common::env::Random;
use common::id::NodeId;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use wal::WalNode;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running process: what it spawned ends with it, and nothing that it sends afterwards arrives.
pub struct Process {
    pub name: String,
    /// Of its machine, in the network.
    pub place: u64,
    dead: CancellationToken,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Process {
    pub fn new(name: String, place: u64) -> Arc<Process> {
        Arc::new(Process { name, place, dead: CancellationToken::new(), tasks: Mutex::default() })
    }

    pub fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    pub async fn died(&self) {
        self.dead.cancelled().await;
    }

    pub fn kill(&self) {
        self.dead.cancel();
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }

    /// Runs in this process; the answer never comes if it dies first.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        if self.is_dead() {
            return receiver;
        }
        let task = tokio::spawn(async move {
            // Whoever asked may have given up.
            let _ = sender.send(work.await);
        });
        let mut tasks = lock(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task.abort_handle());
        receiver
    }
}

/// A wal member that runs.
#[derive(Clone)]
pub struct Member {
    pub process: Arc<Process>,
    pub node: Arc<WalNode>,
}

/// A page server that runs.
#[derive(Clone)]
pub struct Pages {
    pub process: Arc<Process>,
    pub server: Arc<pageserver::PageServer>,
}

pub struct Sim {
    pub random: Random,
    pub network: Network,
    pub ledger: Ledger,
    pub members: Mutex<BTreeMap<NodeId, Member>>,
    pub pages: Mutex<Option<Pages>>,
    trace: Mutex<Trace>,
    /// Ends the run: something is wrong.
    pub failed: CancellationToken,
    /// Faults are over; everything has to work now.
    pub healed: CancellationToken,
    /// Clients begin nothing new.
    pub finished: CancellationToken,
}

struct Trace {
    hash: u64,
    events: u64,
    print: bool,
    violation: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub hash: u64,
    pub events: u64,
    pub commits: u64,
    pub violation: Option<String>,
}

impl Sim {
    pub fn new(seed: u64, print: bool) -> Arc<Sim> {
        Arc::new(Sim {
            random: Random::seeded(seed),
            network: Network::default(),
            ledger: Ledger::default(),
            members: Mutex::default(),
            pages: Mutex::default(),
            trace: Mutex::new(Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, print, violation: None }),
            failed: CancellationToken::new(),
            healed: CancellationToken::new(),
            finished: CancellationToken::new(),
        })
    }

    /// One event of the trace.
    pub fn event(&self, text: impl FnOnce() -> String) {
        let line = format!("{:>6} {}", machine::now_ms(), text());
        let mut trace = lock(&self.trace);
        trace.events += 1;
        for byte in line.bytes() {
            trace.hash = (trace.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if trace.print {
            eprintln!("{line}");
        }
    }

    /// An invariant does not hold. The first one counts.
    pub fn violation(&self, text: String) {
        self.event(|| format!("VIOLATION {text}"));
        lock(&self.trace).violation.get_or_insert(text);
        self.failed.cancel();
    }

    pub fn outcome(&self) -> Outcome {
        let trace = lock(&self.trace);
        Outcome {
            hash: trace.hash,
            events: trace.events,
            commits: self.ledger.length(),
            violation: trace.violation.clone(),
        }
    }

    /// One of `from..=to` milliseconds.
    pub fn ms(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.random.below(to - from + 1))
    }

    /// True in so many of a thousand cases.
    pub fn strikes(&self, per_mille: u64) -> bool {
        self.random.below(1000) < per_mille
    }
}
