//! The object store as page servers use it: with deadlines, bounded retries, and checked lengths.
//!
//! Nothing here decides what an answer means; `manifest::store` does, for the writes that may lose a race.

use bytes::Bytes;
use common::env::planted::{Bug, planted};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const ATTEMPTS: u32 = 6;
/// Waits double from here: 20, 40, 80, 160, 320 ms.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// One attempt may take this long; large objects are put in one request.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
}

/// How a conditional put ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    Yes,
    /// Something with that name is there. It may be what an earlier attempt of ours wrote: read before deciding.
    Exists,
}

#[derive(Debug, thiserror::Error)]
#[error("{doing} {object}: {source}")]
pub struct ObjectError {
    doing: &'static str,
    object: Path,
    #[source]
    pub source: Error,
}

impl ObjectError {
    pub fn is_not_found(&self) -> bool {
        matches!(self.source, Error::NotFound { .. })
    }
}

impl Objects {
    pub fn new(store: Arc<dyn ObjectStore>) -> Objects {
        Objects { store }
    }

    async fn retry<T>(
        &self,
        doing: &'static str,
        object: &Path,
        attempt: impl Fn(Arc<dyn ObjectStore>, Path) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, ObjectError> {
        let mut wait = BACKOFF_FIRST;
        let mut tries = 1;
        loop {
            let outcome = match tokio::time::timeout(ATTEMPT_TIMEOUT, attempt(self.store.clone(), object.clone())).await
            {
                Ok(outcome) => outcome,
                Err(late) => Err(Error::Generic { store: "object store", source: Box::new(late) }),
            };
            match outcome {
                Ok(value) => return Ok(value),
                Err(source) if tries == ATTEMPTS || is_final(&source) => {
                    return Err(ObjectError { doing, object: object.clone(), source });
                }
                Err(source) => tracing::warn!(doing, %object, error = %source, tries, "object store request failed"),
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            tries += 1;
        }
    }

    /// Exactly the bytes of `range`; an answer of another length counts as a failed attempt.
    pub async fn get_range(&self, object: &Path, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let wanted = range.end.saturating_sub(range.start);
        self.retry("get", object, |store, object| {
            let range = range.clone();
            async move {
                let bytes = store.get_range(&object, range).await?;
                if bytes.len() as u64 != wanted {
                    return Err(truncated(wanted, bytes.len()));
                }
                Ok(bytes)
            }
            .boxed()
        })
        .await
    }

    pub async fn get(&self, object: &Path) -> Result<Bytes, ObjectError> {
        self.retry("get", object, |store, object| {
            async move {
                let answer = store.get(&object).await?;
                let wanted = answer.meta.size;
                let bytes = answer.bytes().await?;
                if bytes.len() as u64 != wanted {
                    return Err(truncated(wanted, bytes.len()));
                }
                Ok(bytes)
            }
            .boxed()
        })
        .await
    }

    /// Writes an object whose name is this writer's alone, so that a repeated attempt may overwrite.
    pub async fn put(&self, object: &Path, bytes: Bytes) -> Result<(), ObjectError> {
        self.retry("put", object, |store, object| {
            let payload = PutPayload::from_bytes(bytes.clone());
            async move { store.put(&object, payload).await.map(|_| ()) }.boxed()
        })
        .await
    }

    /// Writes an object unless one of that name exists.
    pub async fn create(&self, object: &Path, bytes: Bytes) -> Result<Created, ObjectError> {
        let outcome = self
            .retry("create", object, |store, object| {
                let payload = PutPayload::from_bytes(bytes.clone());
                let mode = if planted(Bug::ManifestOverwrites) { PutMode::Overwrite } else { PutMode::Create };
                async move { store.put_opts(&object, payload, PutOptions::from(mode)).await }.boxed()
            })
            .await;
        match outcome {
            Ok(_) => Ok(Created::Yes),
            // 412, 409 and, from some servers under a race, 404: somebody else was first, or an attempt of ours was.
            Err(error) if is_conflict(&error.source) => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    /// Removes an object; one that is not there is fine.
    pub async fn delete(&self, object: &Path) -> Result<(), ObjectError> {
        let attempt = |store: Arc<dyn ObjectStore>, object: Path| async move { store.delete(&object).await }.boxed();
        match self.retry("delete", object, attempt).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    pub async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, ObjectError> {
        let attempt = |store: Arc<dyn ObjectStore>, prefix: Path| {
            async move { store.list(Some(&prefix)).try_collect().await }.boxed()
        };
        self.retry("list", prefix, attempt).await
    }
}

fn truncated(wanted: u64, got: usize) -> Error {
    let text = format!("{got} bytes came where {wanted} were asked for");
    Error::Generic { store: "object store", source: text.into() }
}

fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. })
}

/// Another attempt would give the same answer.
fn is_final(error: &Error) -> bool {
    is_conflict(error)
        || matches!(
            error,
            Error::InvalidPath { .. }
                | Error::NotSupported { .. }
                | Error::NotImplemented { .. }
                | Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::UnknownConfigurationKey { .. }
        )
}
