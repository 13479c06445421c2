//! The few operations on a directory that the log needs: the real ones here, a simulated disk that forgets what was
//! not synced in the tests.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One directory.
pub trait Disk: Send + Sync {
    /// Names of the files in it.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates a file that must not exist yet, with room for `size_bytes` reserved. Durable after [`Disk::sync_directory`].
    fn create(&self, name: &str, size_bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Replaces `to` by `from`, at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes creations, removals and renames durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// For messages to people.
    fn path_of(&self, name: &str) -> PathBuf;
    /// Lets others use the directory. This disk changes nothing in it from now on.
    fn release(&self);
    /// How long the next group takes to be written, where that is simulated; a real disk takes the time itself.
    fn simulated_latency(&self) -> Duration {
        Duration::ZERO
    }
}

/// One file; every method may be called from any thread.
pub trait DiskFile: Send + Sync {
    fn size_bytes(&self) -> io::Result<u64>;
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    /// Contents and length.
    fn sync_all(&self) -> io::Result<()>;
    fn set_len(&self, size_bytes: u64) -> io::Result<()>;
    /// Makes the file `size_bytes` long with every block reserved, so that later writes cannot meet a full disk.
    fn reserve(&self, size_bytes: u64) -> io::Result<()>;
}

/// A directory of the operating system. Holds a lock on it: two writers to one log would destroy it.
pub struct RealDisk {
    directory: PathBuf,
    /// Held until the disk is released.
    hold: Mutex<Option<File>>,
}

impl RealDisk {
    /// Creates the directory where needed.
    pub fn open(directory: &Path) -> io::Result<RealDisk> {
        std::fs::create_dir_all(directory)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("LOCK"))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!("{} is in use by another process: stop that one, or choose another directory", {
                        directory.display()
                    }),
                ));
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        Ok(RealDisk { directory: directory.to_path_buf(), hold: Mutex::new(Some(lock)) })
    }

    fn check_held(&self) -> io::Result<()> {
        match *self.hold.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(_) => Ok(()),
            None => Err(io::Error::other("the log directory was closed")),
        }
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, size_bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.check_held()?;
        let path = self.path_of(name);
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
        let file = RealFile(file);
        if let Err(error) = file.reserve(size_bytes) {
            // Half a file would only take the room that is missing.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(true).open(self.path_of(name))?)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_held()?;
        std::fs::remove_file(self.path_of(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_held()?;
        std::fs::rename(self.path_of(from), self.path_of(to))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn release(&self) {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.0.set_len(size_bytes)
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        if size_bytes == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, size_bytes) {
            Ok(()) => Ok(()),
            // Not every file system can reserve; there the length alone has to do.
            Err(rustix::io::Errno::OPNOTSUPP) => self.0.set_len(size_bytes),
            Err(error) => Err(error.into()),
        }
    }
}
