//! Counts what is asked of an object store: requests are what object storage charges for and where reads wait.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use prometheus::{HistogramVec, IntCounter, IntCounterVec};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    requests: crate::telemetry::counter_vec(
        "object_store_requests_total",
        "Requests to the object store, by operation and outcome.",
        &["operation", "outcome"],
    ),
    seconds: crate::telemetry::histogram_vec(
        "object_store_request_seconds",
        "Time to the answer of the object store (for a get: to its first byte).",
        &["operation"],
    ),
    bytes_written: crate::telemetry::counter("object_store_written_bytes_total", "Bytes put into the object store."),
});

struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    bytes_written: IntCounter,
}

/// An object store whose requests are counted in the process's metrics.
#[derive(Debug)]
pub struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
}

impl MeteredStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> MeteredStore {
        MeteredStore { inner }
    }
}

/// Losing a race for a name and asking for what is not there are ordinary answers, told apart from failures.
fn count<T>(operation: &str, started: Instant, result: Result<T>) -> Result<T> {
    use object_store::Error;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(Error::NotFound { .. }) => "not_found",
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => "precondition",
        Err(_) => "error",
    };
    METRICS.requests.with_label_values(&[operation, outcome]).inc();
    METRICS.seconds.with_label_values(&[operation]).observe(started.elapsed().as_secs_f64());
    result
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

#[async_trait::async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (started, size_bytes) = (Instant::now(), payload.content_length() as u64);
        let result = count("put", started, self.inner.put_opts(location, payload, options).await)?;
        METRICS.bytes_written.inc_by(size_bytes);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let started = Instant::now();
        let upload = count("put_multipart", started, self.inner.put_multipart_opts(location, options).await)?;
        Ok(Box::new(MeteredUpload { upload }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (started, operation) = (Instant::now(), if options.head { "head" } else { "get" });
        count(operation, started, self.inner.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let started = Instant::now();
        count("get_ranges", started, self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let started = Instant::now();
        self.inner.delete_stream(locations).map(move |result| count("delete", started, result)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        METRICS.requests.with_label_values(&["list", "ok"]).inc();
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        METRICS.requests.with_label_values(&["list", "ok"]).inc();
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let started = Instant::now();
        count("list", started, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let started = Instant::now();
        count("copy", started, self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let started = Instant::now();
        count("rename", started, self.inner.rename_opts(from, to, options).await)
    }
}

#[derive(Debug)]
struct MeteredUpload {
    upload: Box<dyn MultipartUpload>,
}

#[async_trait::async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        METRICS.bytes_written.inc_by(data.content_length() as u64);
        let (started, part) = (Instant::now(), self.upload.put_part(data));
        Box::pin(async move { count("put_part", started, part.await) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let started = Instant::now();
        count("put_complete", started, self.upload.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        let started = Instant::now();
        count("put_abort", started, self.upload.abort().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn requests_are_counted_by_outcome() {
        let requests = |operation, outcome| METRICS.requests.with_label_values(&[operation, outcome]).get();
        let store = MeteredStore::new(Arc::new(InMemory::new()));
        let (copies, renames) = (requests("copy", "not_found"), requests("copy", "ok"));
        store.put(&Path::from("a"), "x".into()).await.unwrap();
        store.copy(&Path::from("a"), &Path::from("b")).await.unwrap();
        assert!(store.copy(&Path::from("missing"), &Path::from("c")).await.is_err());
        assert_eq!((requests("copy", "not_found"), requests("copy", "ok")), (copies + 1, renames + 1));
    }
}
