//! The object store as roles use it: every request has a deadline, is tried again within a budget, and its answer is
//! checked for length. Nobody above tries again, and nothing below does.
//!
//! Invariants
//! - [`Created::Ours`]: the object has exactly the bytes that were given, whether the answer to the attempt that wrote
//!   it came or was lost.
//! - What is read has the length that was asked for.

use super::Random;
use super::planted::{Bug, planted};
use super::retry::{RetryBudget, RetryPolicy};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use futures::{FutureExt, TryFutureExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use prometheus::IntCounterVec;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::Instant;

/// From this size on an object is put in parts, which travel at the same time.
const MULTIPART_BYTES_MIN: usize = 96 << 20;
/// Parts are charged like objects, and a failed one costs the whole attempt: few and large.
const PART_BYTES: usize = 32 << 20;
const PARTS_AT_ONCE: usize = 4;
/// To clear the parts of a failed attempt away. What stays behind a rule of the bucket has to remove.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// What listings and whole objects of unknown size are given time for.
const UNKNOWN_BYTES: u64 = 64 << 20;
/// A name that is neither free nor taken so often does not exist: its bucket is gone.
const ATTEMPTS_WITHOUT_PLACE: u32 = 3;

static RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    crate::telemetry::counter_vec(
        "object_store_retries_total",
        "Requests to the object store that were made again after a failure, by operation.",
        &["operation"],
    )
});

#[derive(Debug, Clone)]
pub struct Objects {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn ObjectStore>,
    policy: RetryPolicy,
    budget: RetryBudget,
    random: Random,
}

/// How a conditional put ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is there with the bytes given.
    Ours,
    /// Another object of that name is there.
    Theirs,
}

#[derive(Debug, thiserror::Error)]
#[error("{doing} {object}: {source}")]
pub struct ObjectError {
    doing: &'static str,
    object: Path,
    #[source]
    pub source: Error,
}

/// The object ends before what was asked for: not an accident on the way, but damage.
#[derive(Debug, thiserror::Error)]
#[error("the object is {size} bytes long, but bytes {start} to {end} were asked for")]
struct TooShort {
    size: u64,
    start: u64,
    end: u64,
}

impl ObjectError {
    pub fn is_not_found(&self) -> bool {
        matches!(self.source, Error::NotFound { .. })
    }

    /// The object is there and shorter than it should be.
    pub fn is_too_short(&self) -> bool {
        matches!(&self.source, Error::Generic { source, .. } if source.is::<TooShort>())
    }

    /// For an object that has to be there: trying again will not help.
    pub fn is_damage(&self) -> bool {
        self.is_not_found() || self.is_too_short()
    }
}

/// What an attempt is told.
#[derive(Clone, Copy)]
struct Attempt {
    /// Counted from 1.
    number: u32,
    timeout: Duration,
}

impl Objects {
    pub fn new(store: Arc<dyn ObjectStore>) -> Objects {
        Objects::with_policy(store, RetryPolicy::default())
    }

    pub fn with_policy(store: Arc<dyn ObjectStore>, policy: RetryPolicy) -> Objects {
        let random = policy.seed.map_or_else(Random::system, Random::seeded);
        Objects { shared: Arc::new(Shared { store, policy, budget: RetryBudget::default(), random }) }
    }

    /// `bytes`: about how many are moved, which takes time.
    async fn retry<T>(
        &self,
        doing: &'static str,
        object: &Path,
        bytes: u64,
        attempt: impl Fn(Arc<dyn ObjectStore>, Path, Attempt) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, ObjectError> {
        let Shared { store, policy, budget, random } = &*self.shared;
        let deadline = Instant::now() + policy.total_timeout(bytes);
        let mut number = 1;
        loop {
            let timeout = policy.attempt_timeout(bytes).min(deadline.saturating_duration_since(Instant::now()));
            let outcome = attempt(store.clone(), object.clone(), Attempt { number, timeout });
            // Attempts that clean up behind themselves end at their timeout; this is for all others.
            let source = match tokio::time::timeout(timeout + ABORT_TIMEOUT, outcome).await {
                Ok(Ok(value)) => {
                    budget.succeeded();
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(_) => late(timeout),
            };
            let mut wait = policy.wait(number, random);
            let failed = |source| ObjectError { doing, object: object.clone(), source };
            if is_final(&source) || Instant::now() + wait >= deadline {
                return Err(failed(source));
            }
            tracing::warn!(doing, %object, error = %source, attempt = number, "object store request failed; trying again");
            tokio::time::sleep(wait).await;
            while !budget.take() {
                wait = policy.wait(number + 3, random);
                if Instant::now() + wait >= deadline {
                    return Err(failed(source));
                }
                tokio::time::sleep(wait).await;
            }
            RETRIES.with_label_values(&[doing]).inc();
            number += 1;
        }
    }

    /// Exactly the bytes of `range`; an answer of another length counts as a failed attempt.
    pub async fn get_range(&self, object: &Path, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let wanted = range.end.saturating_sub(range.start);
        let attempt = |store: Arc<dyn ObjectStore>, object: Path, attempt: Attempt| {
            let range = range.clone();
            let get = async move {
                match store.get_range(&object, range.clone()).await {
                    Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
                    // A second time: is there so much?
                    outcome if attempt.number > 1 => {
                        let size = store.head(&object).await?.size;
                        if size < range.end {
                            let source = Box::new(TooShort { size, start: range.start, end: range.end });
                            return Err(Error::Generic { store: STORE, source });
                        }
                        Err(outcome.map_or_else(|error| error, |bytes| truncated(wanted, bytes.len())))
                    }
                    Ok(bytes) => Err(truncated(wanted, bytes.len())),
                    Err(error) => Err(error),
                }
            };
            in_time(attempt.timeout, get).boxed()
        };
        self.retry("get", object, wanted, attempt).await
    }

    pub async fn get(&self, object: &Path) -> Result<Bytes, ObjectError> {
        let attempt = |store: Arc<dyn ObjectStore>, object: Path, attempt: Attempt| {
            in_time(attempt.timeout, async move { get_whole(&*store, &object).await }).boxed()
        };
        self.retry("get", object, UNKNOWN_BYTES, attempt).await
    }

    /// Writes an object whose name is this writer's alone, so that a repeated attempt may overwrite.
    pub async fn put(&self, object: &Path, bytes: Bytes) -> Result<(), ObjectError> {
        let attempt = |store: Arc<dyn ObjectStore>, object: Path, attempt: Attempt| {
            let bytes = bytes.clone();
            async move {
                if bytes.len() >= MULTIPART_BYTES_MIN {
                    return put_in_parts(&*store, &object, &bytes, attempt.timeout).await;
                }
                in_time(attempt.timeout, store.put(&object, bytes.into()).map_ok(|_| ())).await
            }
            .boxed()
        };
        self.retry("put", object, bytes.len() as u64, attempt).await
    }

    /// Writes an object unless one of that name exists. `bytes` are this writer's alone: an object with the same content
    /// is what an earlier attempt has written whose answer was lost.
    pub async fn create(&self, object: &Path, bytes: Bytes) -> Result<Created, ObjectError> {
        let attempt = |store: Arc<dyn ObjectStore>, object: Path, attempt: Attempt| {
            let bytes = bytes.clone();
            in_time(attempt.timeout, async move {
                let mode = if planted(Bug::ManifestOverwrites) { PutMode::Overwrite } else { PutMode::Create };
                let options = PutOptions::from(mode);
                let refused = match store.put_opts(&object, PutPayload::from_bytes(bytes.clone()), options).await {
                    Ok(_) => return Ok(Created::Ours),
                    // 412, 409 and, from some servers under a race, 404.
                    Err(error) if is_conflict(&error) => error,
                    Err(error) => return Err(error),
                };
                match get_whole(&*store, &object).await {
                    Ok(found) if found == bytes => Ok(Created::Ours),
                    Ok(_) => Ok(Created::Theirs),
                    // Deleted since, or a rival's attempt that came to nothing.
                    Err(Error::NotFound { .. }) if attempt.number < ATTEMPTS_WITHOUT_PLACE => {
                        Err(Error::Generic { store: STORE, source: Box::new(refused) })
                    }
                    Err(Error::NotFound { .. }) => Err(refused),
                    Err(error) => Err(error),
                }
            })
            .boxed()
        };
        self.retry("create", object, bytes.len() as u64, attempt).await
    }

    /// Removes an object; one that is not there is fine.
    pub async fn delete(&self, object: &Path) -> Result<(), ObjectError> {
        let attempt = |store: Arc<dyn ObjectStore>, object: Path, attempt: Attempt| {
            in_time(attempt.timeout, async move { store.delete(&object).await }).boxed()
        };
        match self.retry("delete", object, 0, attempt).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Everything below `prefix`, in no order that could be relied upon.
    pub async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, ObjectError> {
        let attempt = |store: Arc<dyn ObjectStore>, prefix: Path, attempt: Attempt| {
            in_time(attempt.timeout, async move { store.list(Some(&prefix)).try_collect().await }).boxed()
        };
        self.retry("list", prefix, UNKNOWN_BYTES, attempt).await
    }
}

const STORE: &str = "object store";

async fn in_time<T>(timeout: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(timeout, request).await.unwrap_or_else(|_| Err(late(timeout)))
}

async fn get_whole(store: &dyn ObjectStore, object: &Path) -> Result<Bytes, Error> {
    let answer = store.get(object).await?;
    let wanted = answer.meta.size;
    let bytes = answer.bytes().await?;
    if bytes.len() as u64 != wanted {
        return Err(truncated(wanted, bytes.len()));
    }
    Ok(bytes)
}

/// One attempt; where it fails, the parts that arrived are cleared away.
async fn put_in_parts(store: &dyn ObjectStore, object: &Path, bytes: &Bytes, timeout: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    let mut upload = in_time(timeout, store.put_multipart(object)).await?;
    let rest = deadline.saturating_duration_since(Instant::now());
    let outcome = in_time(rest, async {
        let starts = (0..bytes.len()).step_by(PART_BYTES);
        let part = |start: usize| PutPayload::from_bytes(bytes.slice(start..(start + PART_BYTES).min(bytes.len())));
        let parts: Vec<_> = starts.map(|start| upload.put_part(part(start))).collect();
        stream::iter(parts).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await?;
        upload.complete().await
    });
    let outcome = outcome.await;
    if outcome.is_err()
        && let Err(error) = in_time(ABORT_TIMEOUT / 2, upload.abort()).await
    {
        tracing::warn!(%object, %error, "parts of a failed upload remain; let the bucket's lifecycle remove them");
    }
    outcome.map(|_| ())
}

fn late(timeout: Duration) -> Error {
    Error::Generic { store: STORE, source: format!("no answer within {} ms", timeout.as_millis()).into() }
}

fn truncated(wanted: u64, got: usize) -> Error {
    let text = format!("{got} bytes came where {wanted} were asked for");
    Error::Generic { store: STORE, source: text.into() }
}

fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. })
}

/// Another attempt would give the same answer.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Generic { source, .. } => source.is::<TooShort>(),
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::UnknownConfigurationKey { .. } => true,
        other => is_conflict(other),
    }
}

#[cfg(test)]
mod tests;
