//! The serving end: connections, their lanes and streaming calls, and an orderly stop.
//!
//! Every task is owned by the server's tracker and ends with its stream, its connection, or the stop. On a stop, calls
//! that have begun are answered, new ones are refused, and streaming calls end.

use super::RpcError;
use super::caller::Caller;
use super::frame::{
    self, FrameError, FrameReader, LANE, LaneFrame, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, STREAMING_CALL,
};
use super::message::{Request, Status, StreamRequest};
use super::peer::write_frames;
use super::scan_batch;
use super::tls::Identity;
use super::transport;
use crate::service::page::{PageError, ScanBatch};
use crate::service::wal::{LockError, WalError};
use crate::service::{PageService, PeerService, WalService};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use quinn::{Connection, RecvStream, SendStream};
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

/// Calls of one connection that may run at once: every waiting lock of a busy compute is one.
const CALLS_MAX_PER_LANE: usize = 16 << 10;
/// Answers waiting for the network, per lane.
const ANSWER_QUEUE: usize = 256;
/// First byte of a scan item that is the service's error. Batches have [`Status::Answered`] there.
pub(super) const ITEM_ERROR: u8 = 0xff;
/// The last item of a scan. A stream that ends without it was cut: quinn finishes a dropped stream as if it were whole.
pub(super) const ITEM_END: u8 = 0xfe;

pub struct ServerConfig {
    pub listen: SocketAddr,
}

/// A running server. Dropping it without [`Server::shutdown`] cuts every connection.
pub struct Server {
    endpoint: quinn::Endpoint,
    local_address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A server, as far as its identity goes.
#[derive(Clone)]
pub struct ServerEnd {
    endpoint: quinn::Endpoint,
    stop: CancellationToken,
}

impl ServerEnd {
    /// From now on, connections are taken with this identity; those that are there stay.
    pub(super) fn renew(&self, identity: &Identity) -> Result<(), RpcError> {
        let config = transport::server_config(identity)?;
        // One that stops takes no more.
        if !self.stop.is_cancelled() {
            self.endpoint.set_server_config(Some(config));
        }
        Ok(())
    }
}

/// What this process offers to others.
#[derive(Clone, Default)]
pub struct Services {
    pub wal: Option<Arc<dyn WalService>>,
    pub page: Option<Arc<dyn PageService>>,
    /// Of a member of the log, for the other members.
    pub peer: Option<Arc<dyn PeerService>>,
}

/// Starts to serve the given roles. Must be called within a tokio runtime.
pub fn serve(config: ServerConfig, identity: &Identity, services: Services) -> Result<Server, RpcError> {
    let endpoint = transport::server_endpoint(identity, config.listen)?;
    let listen_error = |source| RpcError::Listen { address: config.listen, source };
    let local_address = endpoint.local_addr().map_err(listen_error)?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(accept_connections(endpoint.clone(), services, stop.clone(), tasks.clone()));
    info!(%local_address, "serving roles over QUIC");
    Ok(Server { endpoint, local_address, stop, tasks })
}

impl Server {
    pub fn local_addr(&self) -> SocketAddr {
        self.local_address
    }

    /// The end that gets new identities.
    pub fn end(&self) -> ServerEnd {
        ServerEnd { endpoint: self.endpoint.clone(), stop: self.stop.clone() }
    }

    /// Answers the calls that have begun, refuses new ones, and closes. Calls still running after `grace` are dropped.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            info!(grace_ms = grace.as_millis() as u64, "closing connections whose calls are still running");
        }
        self.endpoint.close(quinn::VarInt::from_u32(0), b"stopped");
        let _ = tokio::time::timeout(grace, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.endpoint.close(quinn::VarInt::from_u32(0), b"dropped");
    }
}

async fn accept_connections(
    endpoint: quinn::Endpoint,
    services: Services,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return endpoint.set_server_config(None),
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let (services, stop, connection_tasks) = (services.clone(), stop.clone(), tasks.clone());
        tasks.spawn(async move {
            let peer = incoming.remote_address();
            match incoming.await {
                Ok(connection) => {
                    let caller = Caller::new(services, transport::role_of(&connection), connection_tasks.clone());
                    accept_streams(connection, caller, stop, connection_tasks).await;
                }
                // Scanners and nodes of other clusters come by here; the handshake tells them no.
                Err(error) => debug!(%peer, %error, "connection refused"),
            }
        });
    }
}

async fn accept_streams(connection: Connection, caller: Caller, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let (send, receive) = tokio::select! {
            () = stop.cancelled() => return,
            stream = connection.accept_bi() => match stream {
                Ok(stream) => stream,
                Err(_) => return,
            },
        };
        let (caller, stop, peer) = (caller.clone(), stop.clone(), connection.remote_address());
        tasks.spawn(async move {
            if let Err(error) = serve_stream(send, receive, caller, stop).await {
                debug!(%peer, %error, "stream ended");
            }
        });
    }
}

async fn serve_stream(
    send: SendStream,
    mut receive: RecvStream,
    caller: Caller,
    stop: CancellationToken,
) -> Result<(), FrameError> {
    let kind = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        kind = receive.read_u8() => kind?,
    };
    let reader = FrameReader::new(receive, REQUEST_BYTES_MAX);
    match kind {
        LANE => serve_lane(send, reader, caller, stop).await,
        STREAMING_CALL => tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = serve_streaming_call(send, reader, &caller) => outcome,
        },
        other => Err(FrameError::Malformed(format!("unknown kind of stream {other}"))),
    }
}

/// Runs the calls of a lane side by side; their answers go out in the order in which they are ready.
async fn serve_lane(
    send: SendStream,
    reader: FrameReader<RecvStream>,
    caller: Caller,
    stop: CancellationToken,
) -> Result<(), FrameError> {
    let (answers, queue) = mpsc::channel(ANSWER_QUEUE);
    // The writer ends when the last sender is dropped, or with its stream.
    let (outcome, ()) = tokio::join!(run_calls(reader, caller, stop, answers), write_frames(send, queue));
    outcome
}

/// Until the client closes the lane (then nobody wants the answers, and the calls are dropped) or the server stops (then
/// what has begun is answered).
async fn run_calls(
    mut reader: FrameReader<RecvStream>,
    caller: Caller,
    stop: CancellationToken,
    answers: mpsc::Sender<Bytes>,
) -> Result<(), FrameError> {
    let mut calls = Calls::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(finished) = calls.running.join_next_with_id(), if !calls.running.is_empty() => calls.forget(finished),
            frame = reader.next() => match frame? {
                Some(frame) => calls.handle(frame, &caller, &answers).await?,
                None => return Ok(()),
            },
        }
    }
    while calls.running.join_next().await.is_some() {}
    Ok(())
}

/// Calls of a lane in progress. Dropped, it drops them.
#[derive(Default)]
struct Calls {
    running: JoinSet<()>,
    by_call: HashMap<u64, AbortHandle>,
    by_task: HashMap<Id, u64>,
}

impl Calls {
    async fn handle(&mut self, frame: Bytes, caller: &Caller, answers: &mpsc::Sender<Bytes>) -> Result<(), FrameError> {
        let (id, deadline, request) = match LaneFrame::split(frame)? {
            (LaneFrame::Call { id, deadline }, request) => (id, deadline, request),
            (LaneFrame::Cancel { id }, _) => {
                if let Some(task) = self.by_call.get(&id) {
                    task.abort();
                }
                return Ok(());
            }
        };
        if self.running.len() >= CALLS_MAX_PER_LANE {
            let _ = answers.send(refusal(id, Status::Overloaded)?).await;
            return Ok(());
        }
        let (caller, answers) = (caller.clone(), answers.clone());
        let task = self.running.spawn(async move {
            let answer = match tokio::time::timeout(deadline, answer(id, &request, &caller)).await {
                Ok(answer) => answer,
                Err(_) => refusal(id, Status::DeadlineExceeded),
            };
            let answer = answer.or_else(|_| refusal(id, Status::AnswerTooLarge));
            if let Ok(answer) = answer {
                let _ = answers.send(answer).await;
            }
        });
        self.by_task.insert(task.id(), id);
        self.by_call.insert(id, task);
        Ok(())
    }

    /// A call that panicked, which is a bug of the service, is answered by nobody: the client's deadline ends it.
    fn forget(&mut self, finished: Result<(Id, ()), tokio::task::JoinError>) {
        let task = match &finished {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        if let Some(call) = self.by_task.remove(&task) {
            self.by_call.remove(&call);
        }
    }
}

fn answer_head(id: u64, status: Status) -> [u8; 9] {
    let mut head = [status as u8; 9];
    head[..8].copy_from_slice(&id.to_le_bytes());
    head
}

fn refusal(id: u64, status: Status) -> Result<Bytes, FrameError> {
    frame::encode_bytes(&answer_head(id, status), &[], REPLY_BYTES_MAX)
}

async fn answer(id: u64, request: &[u8], caller: &Caller) -> Result<Bytes, FrameError> {
    fn done<T: Serialize>(id: u64, result: T) -> Result<Bytes, FrameError> {
        frame::encode(&answer_head(id, Status::Answered), &result, REPLY_BYTES_MAX)
    }
    let Ok(request) = frame::decode::<Request>(request) else { return refusal(id, Status::Malformed) };
    if caller.role.is_some_and(|role| !role.may_ask(&request)) {
        return refusal(id, Status::NotForRole);
    }
    let services = &caller.services;
    match request {
        Request::ReadLsn
        | Request::Lock(_)
        | Request::Unlock(_)
        | Request::Commit(_)
        | Request::Outcome(_)
        | Request::Allocate(_)
        | Request::ReportDurable { .. }
        | Request::UnlockKeys { .. }
        | Request::Locks
        | Request::WaitDurable(_)
        | Request::ChangeMembers(_)
        | Request::Announce(_)
        | Request::PageServers
        | Request::ReportPressure(_)
        | Request::ReportSnapshots(_)
        | Request::OldestSnapshot
        | Request::Pressure
        | Request::Holds(_)
        | Request::LatestDeadlock
        | Request::WalStatus => {
            let Some(wal) = &services.wal else { return refusal(id, Status::NoSuchService) };
            match request {
                Request::ReadLsn => done(id, wal.read_lsn().await),
                Request::Lock(request) => {
                    let txn = request.txn;
                    let first = caller.locks(txn);
                    let mut answer = wal.lock(request).await;
                    if let Ok(reply) = &mut answer {
                        reply.session = caller.session;
                    }
                    if matches!(answer, Err(LockError::Deadlock)) || (first && answer.is_err()) {
                        caller.holds_no_locks(txn);
                    }
                    done(id, answer)
                }
                Request::Unlock(txn) => {
                    let answer = wal.unlock(txn).await;
                    caller.holds_no_locks(txn);
                    done(id, answer)
                }
                Request::UnlockKeys { txn, keys } => done(id, wal.unlock_keys(txn, keys).await),
                Request::Locks => done(id, wal.locks().await),
                Request::LatestDeadlock => done(id, wal.latest_deadlock().await),
                Request::WaitDurable(version) => done(id, wal.wait_durable(version).await),
                // Locks of another connection were freed when it ended.
                Request::Holds(tenure) if tenure.session != caller.session => done(id, Ok::<_, WalError>(false)),
                Request::Holds(tenure) => done(id, wal.holds(tenure).await),
                Request::Commit(mut request) => {
                    let txn = request.txn;
                    request.session = caller.session;
                    let answer = wal.commit(request).await;
                    if answer.is_ok() {
                        caller.holds_no_locks(txn);
                    }
                    done(id, answer)
                }
                Request::Outcome(commit) => done(id, wal.outcome(commit).await),
                Request::Allocate(request) => done(id, wal.allocate(request).await),
                Request::ChangeMembers(change) => done(id, wal.change_members(change).await),
                Request::Announce(address) => done(id, wal.announce(address).await),
                Request::PageServers => done(id, wal.page_servers().await),
                Request::ReportDurable { tablet, lsn } => done(id, wal.report_durable(tablet, lsn).await),
                Request::ReportPressure(report) => done(id, wal.report_pressure(report).await),
                Request::ReportSnapshots(report) => done(id, wal.report_snapshots(report).await),
                Request::OldestSnapshot => done(id, wal.oldest_snapshot().await),
                Request::Pressure => done(id, wal.pressure().await),
                _ => done(id, wal.status().await),
            }
        }
        Request::Get(_)
        | Request::NewestVersions { .. }
        | Request::Estimate(_)
        | Request::Figures(_)
        | Request::Flush
        | Request::BulkWrite(_)
        | Request::BulkFinish(_)
        | Request::PageStatus => {
            let Some(page) = &services.page else { return refusal(id, Status::NoSuchService) };
            match request {
                Request::Get(request) => done(id, page.get(request).await),
                Request::NewestVersions { keys, applied } => done(id, page.newest_versions(keys, applied).await),
                Request::Estimate(range) => done(id, page.estimate(range).await),
                Request::Figures(range) => done(id, page.figures(range).await),
                Request::Flush => done(id, page.flush().await),
                Request::BulkWrite(rows) => done(id, page.bulk_write(rows).await),
                Request::BulkFinish(layers) => done(id, page.bulk_finish(layers).await),
                _ => done(id, page.status().await),
            }
        }
        Request::Peer(request) => match &services.peer {
            None => refusal(id, Status::NoSuchService),
            Some(peer) => {
                let answer = peer.handle(request).await;
                frame::encode_bytes(&answer_head(id, Status::Answered), &answer, REPLY_BYTES_MAX)
            }
        },
    }
}

async fn serve_streaming_call(
    mut send: SendStream,
    mut reader: FrameReader<RecvStream>,
    caller: &Caller,
) -> Result<(), FrameError> {
    let Some(request) = reader.next().await? else { return Ok(()) };
    // Ends when the client drops its end, also while the service has nothing to say.
    let stopped = send.stopped();
    let produce = async {
        match (frame::decode::<StreamRequest>(&request), &caller.services) {
            (Ok(request), _) if caller.role.is_some_and(|role| !role.may_stream(&request)) => {
                write(&mut send, &mut [refused(Status::NotForRole)?]).await
            }
            (Ok(StreamRequest::Subscribe(request)), Services { wal: Some(wal), .. }) => {
                let items = begin(&mut send, wal.subscribe(request).await).await?;
                send_items(&mut send, items, |item| Ok(vec![frame::encode(&[], &item, REPLY_BYTES_MAX)?])).await
            }
            (Ok(StreamRequest::Scan(request)), Services { page: Some(page), .. }) => {
                let items = begin(&mut send, page.scan(request).await).await?;
                send_items(&mut send, items, encode_scan_item).await?;
                write(&mut send, &mut [frame::encode_bytes(&[ITEM_END], &[], REPLY_BYTES_MAX)?]).await
            }
            (Ok(_), _) => write(&mut send, &mut [refused(Status::NoSuchService)?]).await,
            (Err(_), _) => write(&mut send, &mut [refused(Status::Malformed)?]).await,
        }
    };
    tokio::select! {
        outcome = produce => outcome?,
        _ = stopped => return Ok(()),
    }
    let _ = send.finish();
    let _ = send.stopped().await;
    Ok(())
}

fn refused(status: Status) -> Result<Bytes, FrameError> {
    frame::encode_bytes(&[status as u8], &[], REPLY_BYTES_MAX)
}

/// Sends the answer to the call itself. `None`: the service refused, and there is nothing to stream.
async fn begin<T, E: Serialize>(
    send: &mut SendStream,
    begun: Result<BoxStream<'static, T>, E>,
) -> Result<Option<BoxStream<'static, T>>, FrameError> {
    let (answer, items) = match begun {
        Ok(items) => (Ok(()), Some(items)),
        Err(error) => (Err(error), None),
    };
    write(send, &mut [frame::encode(&[Status::Answered as u8], &answer, REPLY_BYTES_MAX)?]).await?;
    Ok(items)
}

async fn send_items<T>(
    send: &mut SendStream,
    items: Option<BoxStream<'static, T>>,
    encode: fn(T) -> Result<Vec<Bytes>, FrameError>,
) -> Result<(), FrameError> {
    let Some(mut items) = items else { return Ok(()) };
    while let Some(item) = items.next().await {
        write(send, &mut encode(item)?).await?;
    }
    Ok(())
}

fn encode_scan_item(item: Result<ScanBatch, PageError>) -> Result<Vec<Bytes>, FrameError> {
    match item {
        Ok(batch) => scan_batch::encode(batch),
        Err(error) => Ok(vec![frame::encode(&[ITEM_ERROR], &error, REPLY_BYTES_MAX)?]),
    }
}

async fn write(send: &mut SendStream, frames: &mut [Bytes]) -> Result<(), FrameError> {
    send.write_all_chunks(frames).await.map_err(|error| FrameError::Io(error.into()))
}
