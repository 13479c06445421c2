//! One remote node as a client sees it: a connection made when needed and made again when lost, with a few lanes.
//!
//! A lane is a long-lived stream on which calls and answers are told apart by id; a call in a new stream of its own
//! would cost several times the CPU. Calls take the lanes in turn, so that a large message holds up only some of them.

use super::frame::{
    self, FrameError, FrameReader, LANE, LaneFrame, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, STREAMING_CALL,
};
use super::message::{Request, Status, StreamRequest};
use super::tls::{CLUSTER_NAME, Identity};
use super::transport;
use super::{NodeRole, RpcError};
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use quinn::RecvStream;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

const LANES: u64 = 4;
/// Frames waiting for the network, per lane: more wait in their calls.
const LANE_QUEUE: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call has no answer from the service.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The service certainly did not see it.
    #[error("{0}")]
    NotSent(String),
    /// The service may have seen it.
    #[error("{0}")]
    Lost(String),
    #[error("request refused: {0}")]
    TooLarge(String),
}

/// The client's end of QUIC: one socket for all peers of a node.
#[derive(Clone)]
pub struct RpcClient {
    endpoint: quinn::Endpoint,
    /// What new connections are made with.
    config: Arc<Mutex<quinn::ClientConfig>>,
}

impl RpcClient {
    /// Must be called within a tokio runtime.
    pub fn new(identity: &Identity) -> Result<RpcClient, RpcError> {
        let config = Arc::new(Mutex::new(transport::client_config(identity)?));
        Ok(RpcClient { endpoint: transport::client_endpoint(identity)?, config })
    }

    /// From now on, connections are made with this identity; those that are there stay.
    pub(super) fn renew(&self, identity: &Identity) -> Result<(), RpcError> {
        *self.config.lock() = transport::client_config(identity)?;
        Ok(())
    }

    /// A node by its address. Connects at the first call.
    pub fn peer(&self, address: SocketAddr) -> Arc<Peer> {
        Arc::new(Peer {
            endpoint: self.endpoint.clone(),
            config: self.config.clone(),
            address,
            link: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            calls: AtomicU64::new(0),
        })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.endpoint.close(quinn::VarInt::from_u32(0), b"closed");
        self.endpoint.wait_idle().await;
    }
}

pub struct Peer {
    endpoint: quinn::Endpoint,
    config: Arc<Mutex<quinn::ClientConfig>>,
    address: SocketAddr,
    /// The connection in use, replaced when it is lost.
    link: Mutex<Option<Arc<Link>>>,
    /// Held while connecting, so that many callers make one connection.
    connecting: tokio::sync::Mutex<()>,
    calls: AtomicU64,
}

/// A connection and its lanes.
struct Link {
    connection: quinn::Connection,
    /// The one role that the peer's certificate is for.
    role: Option<NodeRole>,
    lanes: Vec<Lane>,
}

struct Lane {
    frames: mpsc::Sender<Bytes>,
    pending: Arc<Mutex<Pending>>,
    _writer: AbortOnDropHandle<()>,
    _reader: AbortOnDropHandle<()>,
}

/// Calls of a lane that wait for their answers.
#[derive(Default)]
struct Pending {
    calls: HashMap<u64, oneshot::Sender<Bytes>>,
    /// Set once no more answers can come.
    closed: Option<String>,
}

impl Peer {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and reads its answer, within the deadline.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: &Request,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let answer = self.call_bytes(request, deadline).await?;
        frame::decode(&answer).map_err(|error| CallError::Lost(error.to_string()))
    }

    /// The same, where the answer is not a message of ours.
    pub(super) async fn call_bytes(&self, request: &Request, deadline: Duration) -> Result<Bytes, CallError> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let head = LaneFrame::Call { id, deadline }.head();
        let frame = match frame::encode(&head, request, REQUEST_BYTES_MAX) {
            Ok(frame) => frame,
            Err(error) => return Err(CallError::TooLarge(error.to_string())),
        };
        // Until the frame is handed over nothing was sent; from then on it may have been.
        let mut handed_over = false;
        let exchange = async {
            let link = self.link_to(request.answered_by()).await?;
            let lane = &link.lanes[(id % LANES) as usize];
            let waiting = WaitingCall::register(lane, id)?;
            lane.frames.send(frame).await.map_err(|_| CallError::NotSent(waiting.closed_reason()))?;
            handed_over = true;
            waiting.answer().await
        };
        let outcome = tokio::time::timeout(deadline, exchange).await;
        match outcome {
            Ok(answer) => check_status(answer?),
            Err(_) => Err(unanswered(handed_over, format!("{}: {}", self.address, Status::DeadlineExceeded.text()))),
        }
    }

    /// Sends a request whose answer is a stream, and reads the answer to the call itself; items follow in the reader.
    pub(super) async fn open<T: DeserializeOwned>(
        &self,
        request: &StreamRequest,
        deadline: Duration,
    ) -> Result<(T, FrameReader<RecvStream>), CallError> {
        let exchange = async {
            let lost = |error: String| CallError::Lost(format!("{}: {error}", self.address));
            let link = self.link_to(request.answered_by()).await?;
            let (mut send, receive) = link.connection.open_bi().await.map_err(|error| lost(error.to_string()))?;
            let frame = frame::encode(&[], request, REQUEST_BYTES_MAX)
                .map_err(|error| CallError::TooLarge(error.to_string()))?;
            send.write_all(&[STREAMING_CALL]).await.map_err(|error| lost(error.to_string()))?;
            send.write_all(&frame).await.map_err(|error| lost(error.to_string()))?;
            let _ = send.finish();
            let mut reader = FrameReader::new(receive, REPLY_BYTES_MAX);
            match reader.next().await {
                Ok(Some(answer)) => Ok((read_answer(answer)?, reader)),
                Ok(None) => Err(lost("the stream ended before its answer".to_owned())),
                Err(error) => Err(lost(error.to_string())),
            }
        };
        let expired = |_| CallError::Lost(format!("{}: {}", self.address, Status::DeadlineExceeded.text()));
        tokio::time::timeout(deadline, exchange).await.map_err(expired)?
    }

    /// To a node whose certificate is for this role, or for any: who has another node's key does not stand in for this one.
    async fn link_to(&self, role: NodeRole) -> Result<Arc<Link>, CallError> {
        let link = self.link().await?;
        match link.role.filter(|other| *other != role) {
            None => Ok(link),
            Some(other) => Err(CallError::NotSent(format!("{}: its certificate is for a {other}", self.address))),
        }
    }

    /// The connection in use, or a new one.
    async fn link(&self) -> Result<Arc<Link>, CallError> {
        if let Some(link) = self.usable_link() {
            return Ok(link);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(link) = self.usable_link() {
            return Ok(link);
        }
        let link = Arc::new(self.connect().await?);
        *self.link.lock() = Some(link.clone());
        Ok(link)
    }

    fn usable_link(&self) -> Option<Arc<Link>> {
        self.link.lock().clone().filter(|link| link.is_usable())
    }

    async fn connect(&self) -> Result<Link, CallError> {
        let failed = |error: String| CallError::NotSent(format!("connect to {}: {error}", self.address));
        let connect = async {
            let config = self.config.lock().clone();
            let connecting = self
                .endpoint
                .connect_with(config, self.address, CLUSTER_NAME)
                .map_err(|error| failed(error.to_string()))?;
            let connection = connecting.await.map_err(|error| failed(error.to_string()))?;
            let mut lanes = Vec::new();
            for _ in 0..LANES {
                lanes.push(Lane::open(&connection).await.map_err(failed)?);
            }
            Ok(Link { role: transport::role_of(&connection), connection, lanes })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| failed("no answer".to_owned()))?
    }
}

#[cfg(test)]
impl Peer {
    /// Sends bytes on a stream of their own and waits until the server has dealt with them.
    pub(super) async fn send_raw(&self, bytes: &[u8]) {
        let link = self.link().await.unwrap();
        let (mut send, mut receive) = link.connection.open_bi().await.unwrap();
        let _ = send.write_all(bytes).await;
        let _ = send.finish();
        let _ = receive.read_to_end(1 << 20).await;
    }
}

fn unanswered(handed_over: bool, reason: String) -> CallError {
    if handed_over { CallError::Lost(reason) } else { CallError::NotSent(reason) }
}

/// Status byte, then the service's answer.
fn read_answer<T: DeserializeOwned>(answer: Bytes) -> Result<T, CallError> {
    frame::decode(&check_status(answer)?).map_err(|error| CallError::Lost(error.to_string()))
}

/// What follows the status byte, if the service answered.
fn check_status(mut answer: Bytes) -> Result<Bytes, CallError> {
    let status = answer.try_get_u8().ok().and_then(Status::from_byte);
    match status {
        Some(Status::Answered) => Ok(answer),
        Some(status) => Err(unanswered(!status.nothing_was_done(), status.text().to_owned())),
        None => Err(CallError::Lost("an answer of unknown status".to_owned())),
    }
}

impl Link {
    fn is_usable(&self) -> bool {
        self.connection.close_reason().is_none() && self.lanes.iter().all(|lane| lane.pending.lock().closed.is_none())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(quinn::VarInt::from_u32(0), b"replaced");
    }
}

impl Lane {
    async fn open(connection: &quinn::Connection) -> Result<Lane, String> {
        let (mut send, receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
        send.write_all(&[LANE]).await.map_err(|error| error.to_string())?;
        let (frames, queue) = mpsc::channel(LANE_QUEUE);
        let pending = Arc::new(Mutex::new(Pending::default()));
        let writer = tokio::spawn(write_frames(send, queue));
        let reader = tokio::spawn(read_answers(FrameReader::new(receive, REPLY_BYTES_MAX), pending.clone()));
        Ok(Lane { frames, pending, _writer: AbortOnDropHandle::new(writer), _reader: AbortOnDropHandle::new(reader) })
    }
}

/// Writes what is queued, together where several frames wait, until the queue or the stream ends.
pub(super) async fn write_frames(mut send: quinn::SendStream, mut queue: mpsc::Receiver<Bytes>) {
    let mut frames = Vec::new();
    while queue.recv_many(&mut frames, LANE_QUEUE).await > 0 {
        if send.write_all_chunks(&mut frames).await.is_err() {
            return;
        }
        frames.clear();
    }
    let _ = send.finish();
    // The stream is kept until the peer has all of it: dropping it earlier would not lose data, closing the
    // connection would.
    let _ = send.stopped().await;
}

async fn read_answers(mut reader: FrameReader<RecvStream>, pending: Arc<Mutex<Pending>>) {
    let reason = loop {
        match reader.next().await {
            Ok(Some(mut frame)) => match frame.try_get_u64_le() {
                Ok(id) => {
                    let waiting = pending.lock().calls.remove(&id);
                    // Nobody waits for a call that was cancelled.
                    let _ = waiting.map(|waiting| waiting.send(frame));
                }
                Err(_) => break "an answer without a call id".to_owned(),
            },
            Ok(None) => break "the node is stopping".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    let mut pending = pending.lock();
    pending.closed = Some(reason);
    pending.calls.clear();
}

/// A call that waits for its answer. Dropped before that, it tells the server to drop its work too.
struct WaitingCall<'a> {
    lane: &'a Lane,
    id: u64,
    answer: oneshot::Receiver<Bytes>,
    done: bool,
}

impl WaitingCall<'_> {
    fn register(lane: &Lane, id: u64) -> Result<WaitingCall<'_>, CallError> {
        let (sender, answer) = oneshot::channel();
        let mut pending = lane.pending.lock();
        if let Some(reason) = &pending.closed {
            return Err(CallError::NotSent(reason.clone()));
        }
        pending.calls.insert(id, sender);
        Ok(WaitingCall { lane, id, answer, done: false })
    }

    fn closed_reason(&self) -> String {
        self.lane.pending.lock().closed.clone().unwrap_or_else(|| "connection lost".to_owned())
    }

    async fn answer(mut self) -> Result<Bytes, CallError> {
        let answer = (&mut self.answer).await;
        self.done = true;
        answer.map_err(|_| CallError::Lost(self.closed_reason()))
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.lane.pending.lock().calls.remove(&self.id);
        if let Ok(frame) = frame::encode_bytes(&LaneFrame::Cancel { id: self.id }.head(), &[], REQUEST_BYTES_MAX) {
            // A full queue loses the message; the deadline ends the work then.
            let _ = self.lane.frames.try_send(frame);
        }
    }
}

impl From<FrameError> for CallError {
    fn from(error: FrameError) -> CallError {
        CallError::Lost(error.to_string())
    }
}
