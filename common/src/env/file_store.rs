//! A directory as an object store whose writes are on disk once they are acknowledged.
//!
//! object_store's `LocalFileSystem` does everything but the fsync. Here a put goes to a staged file, is synced, gets its
//! name, and then the directory is synced: the log is trimmed once a manifest names a layer, so both must survive a
//! power cut from the moment they are acknowledged.
//!
//! Invariants
//! - An object is never seen half written, not even after a power cut.
//! - Of several puts with [`PutMode::Create`] of one name exactly one succeeds (a hard link either is made or not).

use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub struct FileStore {
    files: LocalFileSystem,
    /// Makes staged names unique within this process; the process id does so between processes.
    staged: AtomicU64,
}

impl FileStore {
    /// `directory` must exist.
    pub fn new(directory: &FilePath) -> Result<FileStore> {
        Ok(FileStore { files: LocalFileSystem::new_with_prefix(directory)?, staged: AtomicU64::new(0) })
    }

    /// `#` and digits at the end of a name are what `LocalFileSystem` leaves out of listings.
    fn staging_path(&self, target: &FilePath) -> PathBuf {
        let mut name = target.as_os_str().to_owned();
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        name.push(format!("#{}{number:06}", std::process::id()));
        name.into()
    }
}

impl fmt::Display for FileStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (synced)", self.files)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FileStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return self.files.put_opts(location, payload, options).await;
        }
        let target = self.files.path_to_filesystem(location)?;
        let staged = self.staging_path(&target);
        let create = options.mode == PutMode::Create;
        let path = target.display().to_string();
        blocking(move || put_synced(&target, &staged, &payload, create))
            .await
            .map_err(|source| store_error(path, source))?;
        let meta = self.files.get_opts(location, GetOptions { head: true, ..GetOptions::default() }).await?.meta;
        Ok(PutResult { e_tag: meta.e_tag, version: meta.version })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.files.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { upload, target: self.files.path_to_filesystem(location)? }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

/// Syncs when the parts are complete. The name is there a moment before the sync; nothing refers to it until then.
#[derive(Debug)]
struct SyncedUpload {
    upload: Box<dyn MultipartUpload>,
    target: PathBuf,
}

#[async_trait::async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        let target = self.target.clone();
        let path = target.display().to_string();
        blocking(move || {
            File::open(&target)?.sync_all()?;
            sync_directory_of(&target)
        })
        .await
        .map_err(|source| store_error(path, source))?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn store_error(path: String, source: io::Error) -> object_store::Error {
    let already_exists = source.kind() == io::ErrorKind::AlreadyExists;
    let source = Box::new(source);
    if already_exists {
        object_store::Error::AlreadyExists { path, source }
    } else {
        object_store::Error::Generic { store: "FileStore", source: format!("write {path}: {source}").into() }
    }
}

fn put_synced(target: &FilePath, staged: &FilePath, payload: &PutPayload, create: bool) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        make_directory(parent)?;
    }
    let outcome = write_staged(staged, payload).and_then(|()| match create {
        true => std::fs::hard_link(staged, target),
        false => std::fs::rename(staged, target),
    });
    if create || outcome.is_err() {
        // A staged file that stays behind costs space and is never listed.
        let _ = std::fs::remove_file(staged);
    }
    outcome?;
    sync_directory_of(target)
}

fn write_staged(staged: &FilePath, payload: &PutPayload) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(staged)?;
    for chunk in payload.iter() {
        file.write_all(chunk)?;
    }
    file.sync_all()
}

/// Makes a directory and those above it, each synced into its parent.
fn make_directory(directory: &FilePath) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_directory(parent)?;
    }
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory_of(directory),
    }
}

fn sync_directory_of(path: &FilePath) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    fn create() -> PutOptions {
        PutOptions { mode: PutMode::Create, ..PutOptions::default() }
    }

    #[tokio::test]
    async fn one_of_many_creators_wins_and_no_staged_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = std::sync::Arc::new(FileStore::new(directory.path()).unwrap());
        let name = Path::from("a/b/manifest");
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8u8 {
            let (store, name) = (store.clone(), name.clone());
            tasks.spawn(async move { store.put_opts(&name, vec![number; 100].into(), create()).await.map(|_| number) });
        }
        let outcomes = tasks.join_all().await;
        let winners: Vec<u8> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
        assert_eq!(winners.len(), 1);
        for outcome in &outcomes {
            assert!(matches!(outcome, Ok(_) | Err(object_store::Error::AlreadyExists { .. })), "{outcome:?}");
        }
        let stored = store.get(&name).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored, vec![winners[0]; 100]);
        assert_eq!(std::fs::read_dir(directory.path().join("a/b")).unwrap().count(), 1);
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
    }

    #[tokio::test]
    async fn put_replaces_and_parts_become_one_object() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::new(directory.path()).unwrap();
        let name = Path::from("x");
        store.put(&name, "one".into()).await.unwrap();
        store.put(&name, "two".into()).await.unwrap();
        assert_eq!(store.get(&name).await.unwrap().bytes().await.unwrap(), "two");
        let mut upload = store.put_multipart(&Path::from("y/z")).await.unwrap();
        upload.put_part("ab".into()).await.unwrap();
        upload.put_part("cd".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(store.get(&Path::from("y/z")).await.unwrap().bytes().await.unwrap(), "abcd");
    }
}
