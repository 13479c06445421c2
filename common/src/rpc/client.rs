//! Both services as seen from another process. What went wrong on the way becomes the error of the service that tells
//! the caller what to do: try again, or, for a commit that may have arrived, ask for its outcome.

use super::frame::{FrameError, FrameReader, decode};
use super::message::{Request, StreamRequest};
use super::peer::{CallError, Peer};
use super::scan_batch;
use super::server::{ITEM_END, ITEM_ERROR};
use crate::bulk::BulkLayer;
use crate::id::{CommitId, Lsn, TabletId, TxnId};
use crate::key::{Key, KeyRange};
use crate::service::page::{
    BulkFinished, BulkRow, GetRequest, IndexFigures, PageError, PageService, PageStatus, RangeEstimate, RowVersion,
    ScanBatch, ScanRequest,
};
use crate::service::wal::{
    AllocateRequest, CommitError, CommitReply, CommitRequest, Deadlock, LockError, LockInfo, LockReply, LockRequest,
    LockWait, MemberChange, OldestSnapshot, PressureReport, ReadLsn, SnapshotReport, StreamItem, SubscribeRequest,
    Tenure, Undurable, WalError, WalService, WalStatus,
};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures::stream::{self, BoxStream, StreamExt};
use quinn::RecvStream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long calls may take. A lock call has its own wait on top of `call`.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Anything not named below. Default: 30 s.
    pub call: Duration,
    /// A commit; past it the outcome is unknown. Default: 60 s.
    pub commit: Duration,
    /// A flush writes everything to the object store. Default: 10 minutes.
    pub flush: Duration,
    /// Between two batches of a scan. Default: 2 minutes.
    pub scan_batch: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            call: Duration::from_secs(30),
            commit: Duration::from_secs(60),
            flush: Duration::from_secs(600),
            scan_batch: Duration::from_secs(120),
        }
    }
}

/// The wal role of another process.
pub struct WalClient {
    peer: Arc<Peer>,
    deadlines: Deadlines,
}

impl WalClient {
    pub fn new(peer: Arc<Peer>, deadlines: Deadlines) -> WalClient {
        WalClient { peer, deadlines }
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, request: Request) -> Result<T, WalError> {
        self.peer.call::<Result<T, WalError>>(&request, self.deadlines.call).await.map_err(wal_unavailable)?
    }
}

fn wal_unavailable(error: CallError) -> WalError {
    WalError::Unavailable(error.to_string())
}

#[async_trait]
impl WalService for WalClient {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        self.call(Request::ReadLsn).await
    }

    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError> {
        let wait = match request.wait {
            LockWait::Timeout(wait) => wait,
            LockWait::NoWait | LockWait::SkipLocked => Duration::ZERO,
        };
        let deadline = self.deadlines.call.saturating_add(wait);
        let answer = self.peer.call::<Result<LockReply, LockError>>(&Request::Lock(request), deadline).await;
        answer.map_err(|error| LockError::Wal(wal_unavailable(error)))?
    }

    async fn unlock(&self, txn: TxnId) -> Result<(), WalError> {
        self.call(Request::Unlock(txn)).await
    }

    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError> {
        self.call(Request::UnlockKeys { txn, keys }).await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        self.call(Request::Locks).await
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        self.call(Request::WaitDurable(version)).await
    }

    async fn latest_deadlock(&self) -> Result<Option<Deadlock>, WalError> {
        self.call(Request::LatestDeadlock).await
    }

    async fn holds(&self, tenure: Tenure) -> Result<bool, WalError> {
        self.call(Request::Holds(tenure)).await
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        let answer = self.peer.call(&Request::Commit(request), self.deadlines.commit).await;
        answer.unwrap_or_else(|error| {
            Err(match error {
                CallError::NotSent(reason) => CommitError::Wal(WalError::Unavailable(reason)),
                CallError::Lost(reason) => CommitError::Unknown(reason),
                CallError::TooLarge(reason) => CommitError::Refused(reason),
            })
        })
    }

    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError> {
        self.call(Request::Outcome(commit)).await
    }

    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError> {
        self.call(Request::Allocate(request)).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        let request = StreamRequest::Subscribe(request);
        let (answer, reader) =
            self.peer.open::<Result<(), WalError>>(&request, self.deadlines.call).await.map_err(wal_unavailable)?;
        answer?;
        Ok(items(reader, None, self.peer.clone(), read_wal_item, WalError::Unavailable))
    }

    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError> {
        self.call(Request::ReportDurable { tablet, lsn }).await
    }

    async fn report_pressure(&self, report: PressureReport) -> Result<(), WalError> {
        self.call(Request::ReportPressure(report)).await
    }

    async fn pressure(&self) -> Result<f64, WalError> {
        self.call(Request::Pressure).await
    }

    async fn report_snapshots(&self, report: SnapshotReport) -> Result<(), WalError> {
        self.call(Request::ReportSnapshots(report)).await
    }

    async fn oldest_snapshot(&self) -> Result<OldestSnapshot, WalError> {
        self.call(Request::OldestSnapshot).await
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        self.call(Request::WalStatus).await
    }

    async fn change_members(&self, change: MemberChange) -> Result<(), WalError> {
        self.call(Request::ChangeMembers(change)).await
    }

    async fn announce(&self, page_server: SocketAddr) -> Result<(), WalError> {
        self.call(Request::Announce(page_server)).await
    }

    async fn page_servers(&self) -> Result<Vec<SocketAddr>, WalError> {
        self.call(Request::PageServers).await
    }
}

/// The page server role of another process.
pub struct PageClient {
    peer: Arc<Peer>,
    deadlines: Deadlines,
}

impl PageClient {
    pub fn new(peer: Arc<Peer>, deadlines: Deadlines) -> PageClient {
        PageClient { peer, deadlines }
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, request: Request, deadline: Duration) -> Result<T, PageError> {
        self.peer.call::<Result<T, PageError>>(&request, deadline).await.map_err(page_error)?
    }
}

fn page_error(error: CallError) -> PageError {
    match error {
        CallError::NotSent(reason) | CallError::Lost(reason) => PageError::Unavailable(reason),
        CallError::TooLarge(reason) => PageError::BadRequest(reason),
    }
}

#[async_trait]
impl PageService for PageClient {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        self.call(Request::Get(request), self.deadlines.call).await
    }

    async fn newest_versions(&self, keys: Vec<Key>, applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        self.call(Request::NewestVersions { keys, applied }, self.deadlines.call).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        let request = StreamRequest::Scan(request);
        let (answer, reader) =
            self.peer.open::<Result<(), PageError>>(&request, self.deadlines.call).await.map_err(page_error)?;
        answer?;
        Ok(items(reader, Some(self.deadlines.scan_batch), self.peer.clone(), read_scan_item, PageError::Unavailable))
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        self.call(Request::Estimate(range), self.deadlines.call).await
    }

    async fn figures(&self, range: KeyRange) -> Result<IndexFigures, PageError> {
        self.call(Request::Figures(range), self.deadlines.call).await
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        self.call(Request::Flush, self.deadlines.flush).await
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        self.call(Request::PageStatus, self.deadlines.call).await
    }

    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        self.call(Request::BulkWrite(rows), self.deadlines.flush).await
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        self.call(Request::BulkFinish(layers), self.deadlines.flush).await
    }
}

fn read_wal_item(frame: Bytes) -> Option<Result<StreamItem, WalError>> {
    Some(match decode::<Result<StreamItem, WalError>>(&frame) {
        Ok(item) => item,
        Err(error) => Err(WalError::Unavailable(error.to_string())),
    })
}

fn read_scan_item(mut frame: Bytes) -> Option<Result<ScanBatch, PageError>> {
    let unavailable = |error: FrameError| PageError::Unavailable(error.to_string());
    Some(match frame.try_get_u8() {
        Ok(ITEM_END) => return None,
        Ok(ITEM_ERROR) => Err(decode(&frame).unwrap_or_else(unavailable)),
        _ => scan_batch::decode(frame).map_err(unavailable),
    })
}

/// The items of a streaming call, up to the first error or the item that says the end (`None` from `read_item`); where
/// the stream ends without that, it was cut. Dropping it stops the producer at the other end.
fn items<T: Send + 'static, E: Send + 'static>(
    reader: FrameReader<RecvStream>,
    item_deadline: Option<Duration>,
    peer: Arc<Peer>,
    read_item: fn(Bytes) -> Option<Result<T, E>>,
    unavailable: fn(String) -> E,
) -> BoxStream<'static, Result<T, E>> {
    // The peer is held so that its connection lasts as long as the stream.
    stream::unfold(Some((reader, peer)), move |state| async move {
        let (mut reader, peer) = state?;
        let lost = |reason: &dyn std::fmt::Display| Err(unavailable(format!("{}: {reason}", peer.address())));
        let next = match item_deadline {
            None => Ok(reader.next().await),
            Some(deadline) => tokio::time::timeout(deadline, reader.next()).await,
        };
        let item = match next {
            Ok(Ok(Some(frame))) => read_item(frame)?,
            Ok(Ok(None)) => lost(&"the stream was cut: the node is stopping"),
            Ok(Err(error)) => lost(&error),
            Err(_) => lost(&"no batch in time"),
        };
        let state = item.is_ok().then_some((reader, peer));
        Some((item, state))
    })
    .boxed()
}
