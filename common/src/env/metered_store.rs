//! Counts what is asked of an object store: requests are what object storage charges for and where reads wait.
//!
//! It stands right above the store, below whoever tries again, so that each attempt is counted as the request it is.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use prometheus::{CounterVec, HistogramVec, IntCounterVec};
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
    bytes: crate::telemetry::counter_vec(
        "object_store_bytes_total",
        "Bytes that requests moved to or from the object store, by operation.",
        &["operation"],
    ),
    dollars: crate::telemetry::float_counter_vec(
        "object_store_cost_dollars_total",
        "What the requests cost at the list price of S3 Standard (us-east-1, 2026), by operation; without storage and traffic.",
        &["operation"],
    ),
});

struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    bytes: IntCounterVec,
    dollars: CounterVec,
}

/// PUT, COPY, POST and LIST: 0.005 dollars for 1,000.
const DOLLARS_PER_WRITE: f64 = 0.005 / 1000.0;
/// GET and all others: 0.0004 dollars for 1,000.
const DOLLARS_PER_READ: f64 = 0.0004 / 1000.0;
/// A listing of more objects takes another request.
const OBJECTS_PER_LIST: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get,
    GetRange,
    Head,
    Put,
    PutIfAbsent,
    /// Beginning, completing, and each part.
    Multipart,
    Abort,
    List,
    Delete,
    Copy,
    Rename,
}

impl Operation {
    fn label(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::GetRange => "get_range",
            Operation::Head => "head",
            Operation::Put => "put",
            Operation::PutIfAbsent => "put_if_absent",
            Operation::Multipart => "multipart",
            Operation::Abort => "abort",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Copy => "copy",
            Operation::Rename => "rename",
        }
    }

    fn dollars(self) -> f64 {
        match self {
            Operation::Get | Operation::GetRange | Operation::Head => DOLLARS_PER_READ,
            Operation::Put | Operation::PutIfAbsent | Operation::Multipart | Operation::List | Operation::Copy => {
                DOLLARS_PER_WRITE
            }
            // A rename is a copy and a delete.
            Operation::Rename => DOLLARS_PER_WRITE,
            Operation::Delete | Operation::Abort => 0.0,
        }
    }

    /// Losing a race for a name and asking for what is not there are ordinary answers, told apart from failures.
    fn count<T>(self, started: Instant, result: Result<T>) -> Result<T> {
        use object_store::Error;
        let outcome = match &result {
            Ok(_) => "ok",
            Err(Error::NotFound { .. }) => "not_found",
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => "precondition",
            Err(_) => "error",
        };
        METRICS.requests.with_label_values(&[self.label(), outcome]).inc();
        METRICS.seconds.with_label_values(&[self.label()]).observe(started.elapsed().as_secs_f64());
        METRICS.dollars.with_label_values(&[self.label()]).inc_by(self.dollars());
        result
    }

    fn moved(self, bytes: u64) {
        METRICS.bytes.with_label_values(&[self.label()]).inc_by(bytes);
    }
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

impl fmt::Display for MeteredStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

#[async_trait::async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let operation = if options.mode == PutMode::Overwrite { Operation::Put } else { Operation::PutIfAbsent };
        let (started, bytes) = (Instant::now(), payload.content_length() as u64);
        let result = operation.count(started, self.inner.put_opts(location, payload, options).await)?;
        operation.moved(bytes);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let started = Instant::now();
        let upload = Operation::Multipart.count(started, self.inner.put_multipart_opts(location, options).await)?;
        Ok(Box::new(MeteredUpload { upload }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = match (options.head, &options.range) {
            (true, _) => Operation::Head,
            (false, Some(_)) => Operation::GetRange,
            (false, None) => Operation::Get,
        };
        let started = Instant::now();
        let result = operation.count(started, self.inner.get_opts(location, options).await)?;
        if operation != Operation::Head {
            operation.moved(result.range.end.saturating_sub(result.range.start));
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let started = Instant::now();
        let result = Operation::GetRange.count(started, self.inner.get_ranges(location, ranges).await)?;
        Operation::GetRange.moved(result.iter().map(|bytes| bytes.len() as u64).sum());
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let started = Instant::now();
        let counted = move |result| Operation::Delete.count(started, result);
        self.inner.delete_stream(locations).map(counted).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let started = Instant::now();
        Operation::List.count(started, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let started = Instant::now();
        Operation::Copy.count(started, self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let started = Instant::now();
        Operation::Rename.count(started, self.inner.rename_opts(from, to, options).await)
    }
}

/// One request for each thousand objects, the first of them in any case.
fn counted_list(list: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let mut started = Instant::now();
    let mut seen = 0;
    let counted = list.map(move |item| {
        let item = match seen % OBJECTS_PER_LIST {
            0 if seen > 0 || item.is_err() => Operation::List.count(started, item),
            _ => item,
        };
        if seen % OBJECTS_PER_LIST == 0 {
            started = Instant::now();
        }
        seen += 1;
        item
    });
    let _ = Operation::List.count(started, Ok(()));
    counted.boxed()
}

#[derive(Debug)]
struct MeteredUpload {
    upload: Box<dyn MultipartUpload>,
}

#[async_trait::async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (started, bytes) = (Instant::now(), data.content_length() as u64);
        let part = self.upload.put_part(data);
        Box::pin(async move {
            Operation::Multipart.count(started, part.await)?;
            Operation::Multipart.moved(bytes);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let started = Instant::now();
        Operation::Multipart.count(started, self.upload.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        let started = Instant::now();
        Operation::Abort.count(started, self.upload.abort().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn requests_are_counted_by_kind_and_outcome_and_priced() {
        let requests = |operation: &str, outcome: &str| METRICS.requests.with_label_values(&[operation, outcome]).get();
        let bytes = |operation: &str| METRICS.bytes.with_label_values(&[operation]).get();
        let dollars = |operation: &str| METRICS.dollars.with_label_values(&[operation]).get();
        let kinds = ["put", "put_if_absent", "get", "get_range", "head", "multipart", "list", "copy", "delete"];
        let before: Vec<(u64, u64, f64)> =
            kinds.iter().map(|kind| (requests(kind, "ok"), bytes(kind), dollars(kind))).collect();
        let missing = requests("copy", "not_found");

        let store = MeteredStore::new(Arc::new(InMemory::new()));
        store.put(&Path::from("a"), "xyz".into()).await.unwrap();
        store.put_opts(&Path::from("c"), "x".into(), PutMode::Create.into()).await.unwrap();
        store.get(&Path::from("a")).await.unwrap();
        store.get_range(&Path::from("a"), 1..3).await.unwrap();
        store.head(&Path::from("a")).await.unwrap();
        let mut upload = store.put_multipart(&Path::from("m")).await.unwrap();
        upload.put_part("0123".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 3);
        store.copy(&Path::from("a"), &Path::from("b")).await.unwrap();
        assert!(store.copy(&Path::from("missing"), &Path::from("c")).await.is_err());
        store.delete(&Path::from("b")).await.unwrap();

        assert_eq!(requests("copy", "not_found"), missing + 1);
        // Other tests of this process count too: at least.
        let expected = [(1, 3), (1, 1), (1, 3), (1, 2), (1, 0), (3, 4), (1, 0), (1, 0), (1, 0)];
        for ((kind, before), (count, moved)) in kinds.iter().zip(before).zip(expected) {
            assert!(requests(kind, "ok") >= before.0 + count, "{kind}");
            assert!(bytes(kind) >= before.1 + moved, "{kind}");
            assert_eq!(dollars(kind) > before.2, *kind != "delete", "{kind}");
        }
    }
}
