//! The object store as one process sees it: in memory, slow at times, failing at times before and at times after it did what
//! was asked. A request outlives its process: what was on its way may still be carried out, later.

use crate::sim::{Process, Sim};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The same for all processes.
#[derive(Debug, Default)]
pub struct StoreFaults {
    pub failures_per_mille: AtomicU64,
    pub delay_ms_max: AtomicU64,
}

pub struct SimStore {
    inner: Arc<InMemory>,
    sim: Arc<Sim>,
    process: Arc<Process>,
    faults: Arc<StoreFaults>,
}

impl SimStore {
    pub fn new(inner: Arc<InMemory>, sim: &Arc<Sim>, process: &Arc<Process>, faults: &Arc<StoreFaults>) -> SimStore {
        SimStore { inner, sim: sim.clone(), process: process.clone(), faults: faults.clone() }
    }

    /// The request on its way.
    async fn request(&self) -> Result<()> {
        if self.process.is_dead() {
            std::future::pending::<()>().await;
        }
        let delay = self.faults.delay_ms_max.load(Ordering::Relaxed);
        tokio::time::sleep(self.sim.ms(1, 3 + delay)).await;
        if self.process.is_dead() && self.sim.strikes(500) {
            std::future::pending::<()>().await;
        }
        self.fail()
    }

    /// The answer on its way.
    async fn answer(&self) -> Result<()> {
        tokio::time::sleep(self.sim.ms(1, 3)).await;
        if self.process.is_dead() {
            std::future::pending::<()>().await;
        }
        self.fail()
    }

    fn fail(&self) -> Result<()> {
        let per_mille = self.faults.failures_per_mille.load(Ordering::Relaxed);
        if per_mille > 0 && self.sim.strikes(per_mille) {
            return Err(Error::Generic { store: "simulated", source: "the store fails".into() });
        }
        Ok(())
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("simulated store")
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.request().await?;
        let result = self.inner.put_opts(location, payload, options).await;
        self.sim.event(|| format!("store: {} puts {location}: {}", self.process.name, result.is_ok()));
        self.answer().await?;
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request().await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.process.is_dead() {
            return futures::stream::pending().boxed();
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
