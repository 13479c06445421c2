//! The page service of several nodes. Every page server that has applied an LSN gives the same answer at that LSN, so a
//! read may go to any of them; the owner is asked first, because it follows the log closest.

use super::health::{Health, HealthWatch};
use super::{RETRY_WAIT_FIRST, RETRY_WAIT_MAX};
use crate::bulk::BulkLayer;
use crate::id::Lsn;
use crate::key::{Key, KeyRange};
use crate::rpc::{PageClient, RpcClient};
use crate::service::page::{
    BulkFinished, BulkRow, Direction, GetRequest, IndexFigures, PageError, PageStatus, RangeEstimate, RowVersion,
    ScanBatch, ScanOutput, ScanRequest,
};
use crate::service::{PageService, WalService};
use async_trait::async_trait;
use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::cmp::Reverse;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How long a call looks for a page server that answers: longer than a standby takes to take over.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the log is asked for page servers, before one is known and after.
const FOLLOW_INTERVAL_FIRST: Duration = Duration::from_millis(50);
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// A scan that breaks so often without giving anything is given up.
const RESUMES_IN_VAIN_MAX: u32 = 10;
/// A flush takes as long as the object store does.
const FLUSH_PATIENCE: Duration = Duration::from_secs(600);

/// The page servers of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct PageRouter {
    servers: Arc<Servers>,
}

struct Servers {
    watch: HealthWatch,
    /// Asks the log for page servers that came later.
    _follower: Option<AbortOnDropHandle<()>>,
}

impl PageRouter {
    /// Must be called within a tokio runtime.
    pub fn new(client: &RpcClient, servers: &[SocketAddr]) -> PageRouter {
        let watch = HealthWatch::start(client);
        servers.iter().for_each(|server| watch.servers.add(*server));
        PageRouter { servers: Arc::new(Servers { watch, _follower: None }) }
    }

    /// Those that announced themselves to the log, and those that do so later.
    pub fn following(client: &RpcClient, wal: Arc<dyn WalService>) -> PageRouter {
        let watch = HealthWatch::start(client);
        let servers = watch.servers.clone();
        let follower = tokio::spawn(async move {
            loop {
                let found = wal.page_servers().await.unwrap_or_default();
                found.into_iter().for_each(|server| servers.add(server));
                let wait = if servers.all().is_empty() { FOLLOW_INTERVAL_FIRST } else { FOLLOW_INTERVAL };
                tokio::time::sleep(wait).await;
            }
        });
        PageRouter { servers: Arc::new(Servers { watch, _follower: Some(AbortOnDropHandle::new(follower)) }) }
    }

    async fn ask<T, F>(&self, call: impl Fn(Arc<PageClient>) -> F) -> Result<T, PageError>
    where
        F: Future<Output = Result<T, PageError>>,
    {
        self.servers.ask(PATIENCE, call).await
    }
}

impl Servers {
    /// Asks one page server after the other until one answers, or the patience ends.
    async fn ask<T, F>(&self, patience: Duration, call: impl Fn(Arc<PageClient>) -> F) -> Result<T, PageError>
    where
        F: Future<Output = Result<T, PageError>>,
    {
        let give_up = Instant::now() + patience;
        let mut health = self.watch.health.clone();
        let mut wait = RETRY_WAIT_FIRST;
        let mut last = PageError::Unavailable("no page server answers".to_owned());
        loop {
            let clients = self.watch.servers.all();
            let order = preferred(&health.borrow_and_update(), clients.len());
            for at in order {
                let answer = tokio::select! {
                    biased;
                    answer = call(clients[at].client.clone()) => answer,
                    () = lost(&mut health, at) => Err(PageError::Unavailable("the page server was lost".to_owned())),
                    () = tokio::time::sleep_until(give_up) => return Err(last),
                };
                match answer {
                    Err(error @ (PageError::Unavailable(_) | PageError::Behind { .. })) => {
                        last = error;
                        self.watch.suspect();
                    }
                    answer => return answer,
                }
            }
            tokio::select! {
                _ = health.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = tokio::time::sleep_until(give_up) => return Err(last),
            }
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
    }
}

/// Owners first, those that do not answer last: they may have come back since.
fn preferred(health: &[Health], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|at| Reverse(health.get(*at).copied().unwrap_or_default()));
    order
}

/// Returns when the page server has ceased to answer. One that never did is waited for: it may just be starting.
async fn lost(health: &mut watch::Receiver<Vec<Health>>, at: usize) {
    let is_lost = |health: &Vec<Health>| health.get(at).copied().unwrap_or_default() == Health::Lost;
    let was_there = health.wait_for(|health| !is_lost(health)).await.is_ok();
    if !was_there || health.wait_for(is_lost).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl PageService for PageRouter {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        let request = &request;
        self.ask(|server| async move { server.get(request.clone()).await }).await
    }

    async fn newest_versions(&self, keys: Vec<Key>, applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        let keys = &keys;
        self.ask(|server| async move { server.newest_versions(keys.clone(), applied).await }).await
    }

    /// Goes on at another page server, after the last key that was delivered, where the first is lost in the middle. Scans
    /// for columns have no keys: they go on only as long as nothing was delivered. So do aggregates, which come all at once.
    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        let batches = self.begin(&request).await?;
        let state = Resumable { router: self.clone(), rest: Some(request), batches, in_vain: 0 };
        let resumed = stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            let item = state.next().await?;
            let state = item.is_ok().then_some(state);
            Some((item, state))
        });
        Ok(resumed.boxed())
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        let range = &range;
        self.ask(|server| async move { server.estimate(range.clone()).await }).await
    }

    async fn figures(&self, range: KeyRange) -> Result<IndexFigures, PageError> {
        let range = &range;
        self.ask(|server| async move { server.figures(range.clone()).await }).await
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        self.servers.ask(FLUSH_PATIENCE, |server| async move { server.flush().await }).await
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        self.ask(|server| async move { server.status().await }).await
    }

    /// Only the owner writes layers, and it knows no others than its own: one that has taken over since refuses to finish
    /// what its predecessor wrote.
    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        let rows = &rows;
        self.servers.ask(FLUSH_PATIENCE, |server| async move { server.bulk_write(rows.clone()).await }).await
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        let layers = &layers;
        self.servers.ask(FLUSH_PATIENCE, |server| async move { server.bulk_finish(layers.clone()).await }).await
    }
}

impl PageRouter {
    async fn begin(
        &self,
        request: &ScanRequest,
    ) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        let watch = &self.servers.watch;
        let health = &watch.health;
        self.ask(|server| async move {
            let batches = server.scan(request.clone()).await?;
            Ok::<_, PageError>((server, batches))
        })
        .await
        .map(|(server, batches)| {
            let known = watch.servers.all();
            let at = known.iter().position(|known| Arc::ptr_eq(&known.client, &server));
            cut_when_lost(batches, health.clone(), at.unwrap_or_default())
        })
    }
}

/// The stream, ended with an error when its page server has ceased to answer.
fn cut_when_lost(
    batches: BoxStream<'static, Result<ScanBatch, PageError>>,
    health: watch::Receiver<Vec<Health>>,
    at: usize,
) -> BoxStream<'static, Result<ScanBatch, PageError>> {
    stream::unfold((batches, health), move |(mut batches, mut health)| async move {
        let item = tokio::select! {
            biased;
            item = batches.next() => item?,
            () = lost(&mut health, at) => Err(PageError::Unavailable("the page server was lost".to_owned())),
        };
        Some((item, (batches, health)))
    })
    .boxed()
}

struct Resumable {
    router: PageRouter,
    /// What is still to be delivered; `None` once that cannot be said any more.
    rest: Option<ScanRequest>,
    batches: BoxStream<'static, Result<ScanBatch, PageError>>,
    /// How often it went on without getting anything since.
    in_vain: u32,
}

impl Resumable {
    async fn next(&mut self) -> Option<Result<ScanBatch, PageError>> {
        loop {
            match (self.batches.next().await?, &self.rest) {
                (Ok(batch), _) => {
                    self.in_vain = 0;
                    self.rest = self.rest.take().and_then(|request| after(request, &batch));
                    return Some(Ok(batch));
                }
                (Err(PageError::Unavailable(_) | PageError::Behind { .. }), Some(rest))
                    if self.in_vain < RESUMES_IN_VAIN_MAX =>
                {
                    if rest.limit == Some(0) || rest.ranges.is_empty() {
                        return None;
                    }
                    if self.in_vain > 0 {
                        tokio::time::sleep(RETRY_WAIT_MAX).await;
                    }
                    self.in_vain += 1;
                    match self.router.begin(rest).await {
                        Ok(batches) => self.batches = batches,
                        Err(error) => return Some(Err(error)),
                    }
                }
                (Err(error), _) => return Some(Err(error)),
            }
        }
    }
}

/// What is left of a scan after a batch.
fn after(mut request: ScanRequest, batch: &ScanBatch) -> Option<ScanRequest> {
    let (ScanBatch::Rows(rows), ScanOutput::Rows | ScanOutput::Keys) = (batch, &request.output) else { return None };
    let Some(last) = rows.last() else { return Some(request) };
    request.limit = request.limit.map(|limit| limit.saturating_sub(rows.len() as u64));
    match request.direction {
        Direction::Forward => {
            request.ranges.retain(|range| range.end.is_empty() || range.end > last.key);
            if let Some(range) = request.ranges.first_mut().filter(|range| range.start <= last.key) {
                let mut next = BytesMut::from(&last.key[..]);
                next.extend_from_slice(&[0]);
                range.start = next.freeze();
            }
        }
        Direction::Backward => {
            request.ranges.retain(|range| range.start < last.key);
            if let Some(range) = request.ranges.last_mut()
                && (range.end.is_empty() || range.end > last.key)
            {
                range.end = last.key.clone();
            }
        }
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::page::ScannedRow;
    use bytes::Bytes;

    fn request(direction: Direction, limit: Option<u64>) -> ScanRequest {
        let range = |start: &'static [u8], end: &'static [u8]| KeyRange {
            start: Bytes::from_static(start),
            end: Bytes::from_static(end),
        };
        ScanRequest {
            lsn: Lsn(1),
            ranges: vec![range(b"a", b"c"), range(b"d", b"f"), range(b"g", b"")],
            direction,
            limit,
            output: ScanOutput::Rows,
            bounds: Vec::new(),
            batch_rows: 10,
        }
    }

    fn batch(last: &'static [u8]) -> ScanBatch {
        let row = ScannedRow { key: Bytes::from_static(last), lsn: Lsn(1), row: Bytes::new() };
        ScanBatch::Rows(vec![row.clone(), row])
    }

    fn ranges(request: Option<ScanRequest>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let ranges = request.map(|request| request.ranges).unwrap_or_default();
        ranges.into_iter().map(|range| (range.start.to_vec(), range.end.to_vec())).collect()
    }

    #[test]
    fn the_rest_of_a_scan_begins_after_its_last_key() {
        let own = |start: &[u8], end: &[u8]| (start.to_vec(), end.to_vec());
        let rest = |direction, last| ranges(after(request(direction, None), &batch(last)));
        assert_eq!(rest(Direction::Forward, b"e"), [own(b"e\0", b"f"), own(b"g", b"")]);
        assert_eq!(rest(Direction::Forward, b"z"), [own(b"z\0", b"")]);
        assert_eq!(rest(Direction::Backward, b"e"), [own(b"a", b"c"), own(b"d", b"e")]);
        assert_eq!(rest(Direction::Backward, b"d"), [own(b"a", b"c")]);
        assert_eq!(rest(Direction::Backward, b"a"), []);
        assert_eq!(after(request(Direction::Forward, Some(5)), &batch(b"e")).unwrap().limit, Some(3));
        let columns = ScanRequest { output: ScanOutput::Columns(Vec::new()), ..request(Direction::Forward, None) };
        assert_eq!(after(columns, &batch(b"e")), None, "columns have no keys");
    }
}
