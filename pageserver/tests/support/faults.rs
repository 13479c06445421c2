//! An object store in memory that fails, fails after having done what was asked, truncates, and flips bits.

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

#[derive(Debug)]
pub struct FaultyStore {
    pub inner: Arc<InMemory>,
    state: AtomicU64,
    /// Of 1000 requests, so many fail before, and as many after they were carried out.
    pub failures_per_mille: AtomicU64,
    pub truncations_per_mille: AtomicU64,
    /// After so many changes nothing changes any more, as if the process had died then; negative: no limit.
    pub changes_left: AtomicI64,
}

impl FaultyStore {
    pub fn new(seed: u64) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner: Arc::new(InMemory::new()),
            state: AtomicU64::new(seed),
            failures_per_mille: AtomicU64::new(0),
            truncations_per_mille: AtomicU64::new(0),
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
        let result = self.inner.put_opts(location, payload, opts).await?;
        self.fail()?;
        Ok(result)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.fail()?;
        let mut result = self.inner.get_opts(location, options).await?;
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
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fail() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
