//! Which page servers answer, and which of them owns the tablets: one task that asks all of them.

use crate::rpc::{Deadlines, PageClient, RpcClient};
use crate::service::PageService;
use futures::future::join_all;
use parking_lot::RwLock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

const PING_INTERVAL: Duration = Duration::from_millis(250);
const PING_DEADLINE: Duration = Duration::from_millis(500);
/// So many pings without an answer, and a page server counts as lost.
const FAILURES_MAX: u32 = 2;

/// More are not asked.
const SERVERS_MAX: usize = 256;

/// What is known of one page server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Health {
    /// Does not answer.
    #[default]
    Lost,
    /// Answers, and owns nothing.
    Standby,
    Owner,
}

pub(super) struct HealthWatch {
    pub servers: PageServers,
    /// One for each page server, in their order; those that were added since the last round are missing.
    pub health: watch::Receiver<Vec<Health>>,
    suspicion: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl HealthWatch {
    /// Starts to ask. Must be called within a tokio runtime.
    pub fn start(client: &RpcClient) -> HealthWatch {
        let (sender, health) = watch::channel(Vec::new());
        let suspicion = Arc::new(Notify::new());
        let servers = PageServers { client: client.clone(), list: Arc::default(), added: suspicion.clone() };
        let prober = Prober { servers: servers.clone(), sender, suspicion: suspicion.clone() };
        HealthWatch { servers, health, suspicion, _task: AbortOnDropHandle::new(tokio::spawn(prober.run())) }
    }

    /// A call went wrong: ask again, now.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }
}

/// Page servers, in the order in which they became known; none is ever taken away, so that places stay.
#[derive(Clone)]
pub(super) struct PageServers {
    client: RpcClient,
    list: Arc<RwLock<Vec<PageServer>>>,
    added: Arc<Notify>,
}

#[derive(Clone)]
pub(super) struct PageServer {
    pub address: SocketAddr,
    pub client: Arc<PageClient>,
    /// The same connection, for questions that have to be answered at once.
    ping: Arc<PageClient>,
}

impl PageServers {
    pub fn all(&self) -> Vec<PageServer> {
        self.list.read().clone()
    }

    /// Takes a page server in, unless it is known.
    pub fn add(&self, address: SocketAddr) {
        let mut list = self.list.write();
        if list.len() == SERVERS_MAX || list.iter().any(|server| server.address == address) {
            return;
        }
        let peer = self.client.peer(address);
        let deadlines = Deadlines { call: PING_DEADLINE, ..Deadlines::default() };
        list.push(PageServer {
            address,
            client: Arc::new(PageClient::new(peer.clone(), Deadlines::default())),
            ping: Arc::new(PageClient::new(peer, deadlines)),
        });
        self.added.notify_one();
    }
}

struct Prober {
    servers: PageServers,
    sender: watch::Sender<Vec<Health>>,
    suspicion: Arc<Notify>,
}

impl Prober {
    async fn run(self) {
        let mut failures = Vec::new();
        loop {
            let before = self.sender.borrow().clone();
            let servers = self.servers.all();
            failures.resize(servers.len(), 0);
            let answers = join_all(servers.iter().map(|server| server.ping.status())).await;
            let mut now = Vec::with_capacity(answers.len());
            for (at, answer) in answers.into_iter().enumerate() {
                let was = before.get(at).copied().unwrap_or_default();
                now.push(match answer {
                    Ok(status) => {
                        failures[at] = 0;
                        if status.tablets.is_empty() { Health::Standby } else { Health::Owner }
                    }
                    Err(error) => {
                        failures[at] += 1;
                        let lost = failures[at] >= FAILURES_MAX;
                        if lost && was != Health::Lost {
                            tracing::warn!(address = %servers[at].address, %error, "a page server does not answer");
                        }
                        if lost { Health::Lost } else { was }
                    }
                });
            }
            self.sender.send_if_modified(|health| {
                let changed = *health != now;
                *health = now;
                changed
            });
            tokio::select! {
                () = tokio::time::sleep(PING_INTERVAL) => {}
                () = async { self.suspicion.notified().await; tokio::time::sleep(PING_INTERVAL / 10).await } => {}
            }
        }
    }
}
