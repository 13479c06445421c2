//! Read LSNs in batches: one request is under way, and everybody who asks meanwhile shares the next one.
//!
//! An answer serves only callers that came before its request was sent, so each of them sees every commit that was
//! acknowledged before it asked.

use super::wal::Members;
use crate::service::wal::{ReadLsn, WalError};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Callers that wait; more wait to be let in.
const WAITING_MAX: usize = 16 << 10;

type Answer = oneshot::Sender<Result<ReadLsn, WalError>>;

pub(super) struct ReadLsnBatcher {
    waiting: mpsc::Sender<Answer>,
    _task: AbortOnDropHandle<()>,
}

impl ReadLsnBatcher {
    pub fn start(members: Arc<Members>) -> ReadLsnBatcher {
        let (waiting, callers) = mpsc::channel(WAITING_MAX);
        ReadLsnBatcher { waiting, _task: AbortOnDropHandle::new(tokio::spawn(run(members, callers))) }
    }

    pub async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        let stopped = || WalError::Unavailable("this node is stopping".to_owned());
        let (sender, answer) = oneshot::channel();
        self.waiting.send(sender).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

async fn run(members: Arc<Members>, mut callers: mpsc::Receiver<Answer>) {
    let mut waiting = Vec::new();
    while callers.recv_many(&mut waiting, WAITING_MAX).await > 0 {
        let answer = members.read_lsn().await;
        for caller in waiting.drain(..) {
            // Whoever asked may have given up.
            let _ = caller.send(answer.clone());
        }
    }
}
