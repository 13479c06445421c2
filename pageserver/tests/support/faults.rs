//! An object store in memory that fails, fails after having done what was asked, answers late, does late what was asked,
//! and truncates.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

#[derive(Debug)]
pub struct FaultyStore {
    pub inner: Arc<InMemory>,
    state: AtomicU64,
    /// Of 1000 requests, so many fail before, and as many after they were carried out.
    pub failures_per_mille: AtomicU64,
    pub truncations_per_mille: AtomicU64,
    /// Of 1000 requests, so many are carried out `delay_ms` later, also where nobody waits for them any more.
    pub delays_per_mille: AtomicU64,
    pub delay_ms: AtomicU64,
    /// Requests that are on their way.
    under_way: Arc<AtomicU64>,
    /// After so many changes nothing changes any more, as if the process had died then; negative: no limit.
    pub changes_left: AtomicI64,
}

/// Counts a request until it was carried out, or its runtime ended before.
struct OnItsWay(Arc<AtomicU64>);

impl OnItsWay {
    fn new(count: Arc<AtomicU64>) -> OnItsWay {
        count.fetch_add(1, Ordering::SeqCst);
        OnItsWay(count)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FaultyStore {
    pub fn new(seed: u64) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner: Arc::new(InMemory::new()),
            state: AtomicU64::new(seed),
            failures_per_mille: AtomicU64::new(0),
            truncations_per_mille: AtomicU64::new(0),
            delays_per_mille: AtomicU64::new(0),
            delay_ms: AtomicU64::new(0),
            under_way: Arc::default(),
            changes_left: AtomicI64::new(-1),
        })
    }

    /// The same objects, for the process after one that died: what that one may still do changes nothing any more.
    pub fn successor(&self) -> Arc<FaultyStore> {
        self.changes_left.store(0, Ordering::Relaxed);
        let next = |counter: &AtomicU64| AtomicU64::new(counter.load(Ordering::Relaxed));
        Arc::new(FaultyStore {
            inner: self.inner.clone(),
            state: next(&self.state),
            failures_per_mille: next(&self.failures_per_mille),
            truncations_per_mille: next(&self.truncations_per_mille),
            delays_per_mille: next(&self.delays_per_mille),
            delay_ms: next(&self.delay_ms),
            under_way: self.under_way.clone(),
            changes_left: AtomicI64::new(-1),
        })
    }

    fn strikes(&self, per_mille: &AtomicU64) -> bool {
        let drawn = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % 1000 < per_mille.load(Ordering::Relaxed)
    }

    fn fail(&self) -> Result<()> {
        if self.strikes(&self.failures_per_mille) {
            return Err(Error::Generic { store: "faulty", source: "injected failure".into() });
        }
        Ok(())
    }

    /// Carries a request out, late if it is struck. As over a network, it is carried out even if the caller gives up.
    async fn deliver<T: Send + 'static>(&self, request: impl Future<Output = T> + Send + 'static) -> T {
        if !self.strikes(&self.delays_per_mille) {
            return request.await;
        }
        let (under_way, delay) = (self.under_way.clone(), Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)));
        let on_its_way = OnItsWay::new(under_way);
        let late = tokio::spawn(async move {
            let _on_its_way = on_its_way;
            tokio::time::sleep(delay).await;
            request.await
        });
        late.await.unwrap()
    }

    /// Waits until nothing is on its way any more.
    pub async fn settle(&self) {
        while self.under_way.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// No more faults.
    pub fn calm(&self) {
        for rate in [&self.failures_per_mille, &self.truncations_per_mille, &self.delays_per_mille] {
            rate.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a change may be made.
    fn may_change(&self, object: &Path) -> Result<()> {
        let count = |left: i64| (left > 0).then_some(left - 1);
        match self.changes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) {
            Err(0) => Err(Error::PermissionDenied { path: object.to_string(), source: "the process is dead".into() }),
            _ => Ok(()),
        }
    }

    /// Every object with its content.
    pub async fn objects(&self) -> Vec<(Path, Bytes)> {
        let metas: Vec<ObjectMeta> = self.inner.list(None).try_collect().await.unwrap();
        let mut objects = Vec::new();
        for meta in metas {
            let bytes = self.inner.get(&meta.location).await.unwrap().bytes().await.unwrap();
            objects.push((meta.location, bytes));
        }
        objects
    }

    /// A store of its own with the same objects.
    pub async fn duplicate(&self) -> Arc<FaultyStore> {
        let copy = FaultyStore::new(1);
        for (path, bytes) in self.objects().await {
            copy.inner.put(&path, bytes.into()).await.unwrap();
        }
        copy
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("faulty store")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.may_change(location)?;
        self.fail()?;
        let (inner, location) = (self.inner.clone(), location.clone());
        let result = self.deliver(async move { inner.put_opts(&location, payload, opts).await }).await?;
        self.fail()?;
        Ok(result)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.fail()?;
        let (inner, location) = (self.inner.clone(), location.clone());
        let mut result = self.deliver(async move { inner.get_opts(&location, options).await }).await?;
        if self.strikes(&self.truncations_per_mille) {
            let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
            let bytes = result.bytes().await?;
            let half = bytes.slice(..bytes.len() / 2);
            let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(half) }).boxed());
            result = GetResult { payload, meta, range, attributes };
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.changes_left.load(Ordering::Relaxed) == 0 {
            let dead = |path: Path| Error::PermissionDenied { path: path.into(), source: "the process is dead".into() };
            return locations.map(move |path| Err(dead(path?))).boxed();
        }
        if let Err(error) = self.fail() {
            return futures::stream::once(async { Err(error) }).boxed();
        }
        let after = self.fail();
        let (inner, late) = (self.inner.clone(), self.strikes(&self.delays_per_mille));
        let (under_way, delay) = (self.under_way.clone(), Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)));
        let deleted = locations.then(move |path| {
            let (inner, under_way) = (inner.clone(), under_way.clone());
            async move {
                let path = path?;
                if late {
                    let (on_its_way, location) = (OnItsWay::new(under_way), path.clone());
                    tokio::spawn(async move {
                        let _on_its_way = on_its_way;
                        tokio::time::sleep(delay).await;
                        let _ = inner.delete(&location).await;
                    });
                    // The answer is lost.
                    return std::future::pending().await;
                }
                inner.delete(&path).await?;
                Ok(path)
            }
        });
        match after {
            Ok(()) => deleted.boxed(),
            Err(_) => {
                deleted.map(|_| Err(Error::Generic { store: "faulty", source: "the answer is lost".into() })).boxed()
            }
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.fail() {
            return futures::stream::once(async { Err(error) }).boxed();
        }
        match self.fail() {
            Ok(()) => self.inner.list(prefix),
            // In the middle of it.
            Err(error) => self.inner.list(prefix).take(3).chain(futures::stream::once(async { Err(error) })).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
