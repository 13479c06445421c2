//! The data directory of a process: made at first start, writable, and held by one process at a time.
//!
//! The hold is an advisory lock on the file `LOCK`, which the kernel drops when the process ends in whatever way. The
//! file also names the process, for the message that a second one prints.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "LOCK";

/// A data directory held by this process until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "data directory {path} is in use by process {pid}; stop that process, or choose another directory with --data-dir",
        path = path.display()
    )]
    InUse { path: PathBuf, pid: String },
    #[error(
        "cannot write to data directory {path}: {source}; give this user write access to it, or choose another directory with --data-dir",
        path = path.display()
    )]
    Unwritable { path: PathBuf, source: io::Error },
}

impl DataDir {
    /// Makes the directory if it is missing and takes hold of it.
    pub fn acquire(path: &Path) -> Result<DataDir, DataDirError> {
        let unwritable = |source| DataDirError::Unwritable { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(unwritable)?;
        let path = path.canonicalize().map_err(unwritable)?;
        let unwritable = |source| DataDirError::Unwritable { path: path.clone(), source };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_FILE))
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse { pid: holder(&mut lock), path }),
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        // The file may exist in a directory that takes no new ones: find out now, not at the first segment.
        let probe = path.join("LOCK.probe");
        File::create(&probe).and_then(|_| std::fs::remove_file(&probe)).map_err(unwritable)?;
        write_pid(&mut lock).map_err(unwritable)?;
        Ok(DataDir { path, _lock: lock })
    }

    /// Absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// What the lock file says about who holds it. Anything but a number is not repeated to the user.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.take(32).read_to_string(&mut text).map(|_| text.trim().parse::<u32>()) {
        Ok(Ok(pid)) => pid.to_string(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/data");
        let held = DataDir::acquire(&path).unwrap();
        let refused = DataDir::acquire(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("in use by process {}", std::process::id())), "{refused}");
        assert!(refused.contains("--data-dir"), "{refused}");
        drop(held);
        DataDir::acquire(&path).unwrap();
    }

    #[test]
    fn garbage_in_the_lock_file_is_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(LOCK_FILE), b"\xff\x1b[31m; rm -rf").unwrap();
        let mut file = File::open(directory.path().join(LOCK_FILE)).unwrap();
        assert_eq!(holder(&mut file), "unknown");
        DataDir::acquire(directory.path()).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = DataDir::acquire(&file.path().join("data")).unwrap_err();
        assert!(matches!(refused, DataDirError::Unwritable { .. }), "{refused}");
    }
}
