//! The next segment's file, reserved in the background while the current one fills, so that no commit waits for it.
//!
//! Until it is needed it has a name that recovery does not look at; a crash leaves nothing but a file to be made again.

use super::disk::{Disk, DiskFile};
use common::env::threads;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

const SPARE_NAME: &str = "next-segment";

pub struct Spare {
    disk: Arc<dyn Disk>,
    size_bytes: u64,
    making: Option<JoinHandle<io::Result<Arc<dyn DiskFile>>>>,
}

impl Spare {
    pub fn new(disk: Arc<dyn Disk>, size_bytes: u64) -> Spare {
        Spare { disk, size_bytes, making: None }
    }

    /// Begins to make the file, if that has not begun.
    pub fn prepare(&mut self) {
        // In a simulation the next segment is made when it is needed: there is no thread to make it ahead.
        if self.making.is_some() || threads::are_simulated() {
            return;
        }
        let (disk, size_bytes) = (self.disk.clone(), self.size_bytes);
        let make = move || {
            match disk.remove(SPARE_NAME) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = disk.create(SPARE_NAME, size_bytes)?;
            file.sync_all()?;
            Ok(file)
        };
        match std::thread::Builder::new().name("log-spare".to_string()).spawn(make) {
            Ok(thread) => self.making = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "no thread for the next log segment; it will be made when it is needed")
            }
        }
    }

    /// The file under its new name, if there is one of at least that size. Otherwise the caller makes it.
    pub fn take(&mut self, name: &str, size_bytes: u64) -> Option<Arc<dyn DiskFile>> {
        if size_bytes > self.size_bytes {
            return None;
        }
        let made = self.making.take()?.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        let renamed = made.and_then(|file| self.disk.rename(SPARE_NAME, name).map(|()| file));
        match renamed {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::warn!(%error, "the next log segment could not be made ahead");
                None
            }
        }
    }

    /// Waits for what is under way: nothing changes the directory afterwards.
    pub fn finish(&mut self) {
        if let Some(making) = self.making.take() {
            let _ = making.join();
        }
    }
}
