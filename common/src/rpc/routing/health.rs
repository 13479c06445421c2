//! Which page servers answer, and which of them owns the tablets: one task that asks all of them.

use super::NodeAddress;
use crate::rpc::{Deadlines, PageClient, RpcClient};
use crate::service::PageService;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

const PING_INTERVAL: Duration = Duration::from_millis(250);
const PING_DEADLINE: Duration = Duration::from_millis(500);
/// So many pings without an answer, and a page server counts as lost.
const FAILURES_MAX: u32 = 2;

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
    /// One for each page server, in the order in which they were given.
    pub health: watch::Receiver<Vec<Health>>,
    suspicion: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl HealthWatch {
    /// Starts to ask. Must be called within a tokio runtime.
    pub fn start(client: &RpcClient, servers: &[NodeAddress]) -> HealthWatch {
        let deadlines = Deadlines { call: PING_DEADLINE, ..Deadlines::default() };
        let servers =
            servers.iter().map(|server| (*server, PageClient::new(client.peer(server.address), deadlines))).collect();
        let (sender, health) = watch::channel(Vec::new());
        let suspicion = Arc::new(Notify::new());
        let prober = Prober { servers, sender, suspicion: suspicion.clone() };
        HealthWatch { health, suspicion, _task: AbortOnDropHandle::new(tokio::spawn(prober.run())) }
    }

    /// A call went wrong: ask again, now.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }
}

struct Prober {
    servers: Vec<(NodeAddress, PageClient)>,
    sender: watch::Sender<Vec<Health>>,
    suspicion: Arc<Notify>,
}

impl Prober {
    async fn run(self) {
        let mut failures = vec![0; self.servers.len()];
        loop {
            let before = self.sender.borrow().clone();
            let answers = join_all(self.servers.iter().map(|(_, client)| client.status())).await;
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
                            tracing::warn!(node = %self.servers[at].0.node, %error, "a page server does not answer");
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
