//! Requests against a store that misbehaves as told, one request after the other.

use super::*;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::*;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Nothing is done.
    Before,
    /// It is done, and the answer is an error.
    After,
    /// It is done, and no answer comes.
    Silence,
    /// Half of the body comes.
    Half,
}

#[derive(Debug)]
struct Scripted {
    inner: InMemory,
    /// For the requests to come; afterwards `rest`.
    faults: Mutex<VecDeque<Fault>>,
    rest: Fault,
    requests: Mutex<Vec<&'static str>>,
}

impl Scripted {
    fn new(faults: &[Fault]) -> Arc<Scripted> {
        Scripted::with_rest(faults, Fault::None)
    }

    fn with_rest(faults: &[Fault], rest: Fault) -> Arc<Scripted> {
        let faults = Mutex::new(faults.iter().copied().collect());
        Arc::new(Scripted { inner: InMemory::new(), faults, rest, requests: Mutex::default() })
    }

    fn next(&self, request: &'static str) -> Fault {
        self.requests.lock().push(request);
        self.faults.lock().pop_front().unwrap_or(self.rest)
    }

    fn taken(&self) -> String {
        std::mem::take(&mut *self.requests.lock()).join(" ")
    }
}

fn failure() -> Error {
    Error::Generic { store: "scripted", source: "503".into() }
}

async fn struck<T>(fault: Fault, outcome: impl Future<Output = Result<T>>) -> Result<T> {
    if fault == Fault::Before {
        return Err(failure());
    }
    let outcome = outcome.await;
    match fault {
        Fault::After => Err(failure()),
        Fault::Silence => std::future::pending().await,
        _ => outcome,
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("scripted")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Scripted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        struck(self.next("put"), self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.next("parts");
        let upload = struck(fault, self.inner.put_multipart(location)).await?;
        Ok(Box::new(ScriptedUpload { upload, fault: self.next("complete") }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.next(if options.head { "head" } else { "get" });
        let result = struck(fault, self.inner.get_opts(location, options)).await?;
        if fault != Fault::Half {
            return Ok(result);
        }
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let half = result.bytes().await.map(|bytes| bytes.slice(..bytes.len() / 2));
        let payload = GetResultPayload::Stream(stream::once(async { half }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.next("delete") {
            Fault::Before => stream::once(async { Err(failure()) }).boxed(),
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = self.inner.list(prefix);
        match self.next("list") {
            Fault::None => inner,
            Fault::Silence => inner.take(1).chain(stream::pending()).boxed(),
            _ => inner.take(1).chain(stream::once(async { Err(failure()) })).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct ScriptedUpload {
    upload: Box<dyn MultipartUpload>,
    fault: Fault,
}

#[async_trait::async_trait]
impl MultipartUpload for ScriptedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        struck(self.fault, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

fn objects(store: &Arc<Scripted>) -> Objects {
    let policy = RetryPolicy { wait_first: Duration::from_millis(1), seed: Some(1), ..RetryPolicy::default() };
    Objects::with_policy(store.clone(), policy)
}

/// One that does not wait long for a silent store.
fn impatient(store: &Arc<Scripted>, total: Duration) -> Objects {
    let (attempt, wait_first) = (Duration::from_millis(100), Duration::from_millis(1));
    let policy = RetryPolicy { attempt, attempt_per_mib: Duration::ZERO, total, wait_first, ..RetryPolicy::default() };
    Objects::with_policy(store.clone(), policy)
}

fn name() -> Path {
    Path::from("tablets/1/manifest-1")
}

#[tokio::test]
async fn what_failed_is_tried_again() {
    use Fault::*;
    let store = Scripted::new(&[Before, After, After, None, Before, Half, None, Half]);
    let objects = objects(&store);
    objects.put(&name(), "0123456789".into()).await.unwrap();
    assert_eq!(store.taken(), "put put put put");
    assert_eq!(objects.get(&name()).await.unwrap(), "0123456789");
    assert_eq!(store.taken(), "get get get");
    assert_eq!(objects.get_range(&name(), 2..5).await.unwrap(), "234");
    // The second time it looks how long the object is.
    assert_eq!(store.taken(), "get get");
    objects.delete(&name()).await.unwrap();
    objects.delete(&name()).await.unwrap();
    assert!(objects.get(&name()).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_finds_its_own_object() {
    use Fault::*;
    for faults in [&[After][..], &[Before, After, Before], &[After, None, Half]] {
        let store = Scripted::new(faults);
        let created = objects(&store).create(&name(), "mine".into()).await.unwrap();
        assert_eq!(created, Created::Ours, "{faults:?}: {}", store.taken());
        assert_eq!(objects(&store).create(&name(), "another's".into()).await.unwrap(), Created::Theirs);
    }
}

#[tokio::test]
async fn of_rivals_with_lost_answers_exactly_one_has_created() {
    for seed in 0..50 {
        let random = Random::seeded(seed);
        let faults: Vec<Fault> =
            (0..6).map(|_| [Fault::None, Fault::Before, Fault::After][random.below(3) as usize]).collect();
        let store = Scripted::new(&faults);
        let rivals = ["one", "two", "three"].map(|content| {
            let objects = objects(&store);
            async move { objects.create(&name(), content.into()).await.unwrap() }
        });
        let outcomes = futures::future::join_all(rivals).await;
        let winners = outcomes.iter().filter(|created| **created == Created::Ours).count();
        assert_eq!(winners, 1, "{faults:?}");
    }
}

#[tokio::test]
async fn a_silent_store_is_asked_again() {
    use Fault::*;
    let store = Scripted::new(&[Silence, None, Silence, None, Silence]);
    let objects = impatient(&store, Duration::from_secs(3600));
    assert_eq!(objects.create(&name(), "mine".into()).await.unwrap(), Created::Ours);
    assert_eq!(objects.get(&name()).await.unwrap(), "mine");
    assert_eq!(objects.list(&Path::from("tablets")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn every_request_ends() {
    for rest in [Fault::Silence, Fault::Before] {
        let store = Scripted::with_rest(&[], rest);
        let objects = impatient(&store, Duration::from_millis(300));
        assert!(objects.put(&name(), "x".into()).await.is_err());
        assert!(objects.get_range(&name(), 0..1).await.is_err());
        assert!(objects.create(&name(), "x".into()).await.is_err());
    }
}

#[tokio::test]
async fn an_object_that_is_too_short_is_damage_at_once() {
    let store = Scripted::new(&[]);
    let objects = objects(&store);
    objects.put(&name(), "0123456789".into()).await.unwrap();
    for range in [5..11, 20..30] {
        let error = objects.get_range(&name(), range).await.unwrap_err();
        assert!(error.is_too_short(), "{error}");
    }
}

#[tokio::test]
async fn a_listing_is_complete_or_fails() {
    use Fault::*;
    let store = Scripted::new(&[None, None, None, Before, After]);
    let objects = objects(&store);
    for number in 0..3 {
        objects.put(&Path::from(format!("a/{number}")), "x".into()).await.unwrap();
    }
    assert_eq!(objects.list(&Path::from("a")).await.unwrap().len(), 3);
    assert_eq!(store.taken(), "put put put list list list");
}

#[tokio::test]
async fn large_objects_travel_in_parts() {
    use Fault::*;
    let store = Scripted::new(&[Before, None, After]);
    let objects = objects(&store);
    let bytes = Bytes::from((0..MULTIPART_BYTES_MIN + 5).map(|at| (at >> 12) as u8).collect::<Vec<_>>());
    objects.put(&name(), bytes.clone()).await.unwrap();
    assert_eq!(store.taken(), "parts parts complete parts complete");
    assert_eq!(objects.get(&name()).await.unwrap(), bytes);
}
