//! A log file that lines are appended to in the background.
//!
//! Opened for each write, which takes many lines at once: whoever rotates logs may rename it at any time and tell nobody.

use prometheus::IntCounter;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait to be written.
const LINES_MAX: usize = 4096;
/// Lines of one write.
const LINES_AT_ONCE: usize = 256;

enum Entry {
    Line(String),
    Flush(oneshot::Sender<()>),
}

pub struct LogFile {
    entries: mpsc::Sender<Entry>,
    lost: IntCounter,
}

impl LogFile {
    /// `head` begins each new file. The writer ends when this is dropped.
    pub fn open(path: &Path, head: &'static str, lost: IntCounter) -> std::io::Result<LogFile> {
        append(path, head, &[])?;
        let (entries, received) = mpsc::channel(LINES_MAX);
        tokio::spawn(write_all(path.to_owned(), head, received, lost.clone()));
        Ok(LogFile { entries, lost })
    }

    /// Never waits: where the disk does not follow, the line is lost, and counted.
    pub fn write(&self, line: String) {
        if self.entries.try_send(Entry::Line(line)).is_err() {
            self.lost.inc();
        }
    }

    /// Waits for room, so that nothing is lost on a slow disk.
    pub async fn write_surely(&self, line: String) {
        if self.entries.send(Entry::Line(line)).await.is_err() {
            self.lost.inc();
        }
    }

    /// Until all that was written before has been tried.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.entries.send(Entry::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

async fn write_all(path: PathBuf, head: &'static str, mut entries: mpsc::Receiver<Entry>, lost: IntCounter) {
    let mut taken = Vec::with_capacity(LINES_AT_ONCE);
    let mut fails = false;
    while entries.recv_many(&mut taken, LINES_AT_ONCE).await > 0 {
        let (mut lines, mut flushed) = (Vec::with_capacity(taken.len()), Vec::new());
        for entry in taken.drain(..) {
            match entry {
                Entry::Line(line) => lines.push(line),
                Entry::Flush(done) => flushed.push(done),
            }
        }
        let (count, file) = (lines.len() as u64, path.clone());
        let written = tokio::task::spawn_blocking(move || append(&file, head, &lines)).await;
        match written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(()) => fails = false,
            Err(error) => {
                lost.inc_by(count);
                if !fails {
                    tracing::error!(%error, path = %path.display(), "lines of this log are lost until it can be written to");
                }
                fails = true;
            }
        }
        for done in flushed {
            let _ = done.send(());
        }
    }
}

fn append(path: &Path, head: &str, lines: &[String]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let is_new = file.metadata()?.len() == 0;
    let mut text = String::with_capacity(lines.iter().map(String::len).sum::<usize>() + head.len());
    if is_new {
        text.push_str(head);
    }
    text.extend(lines.iter().map(String::as_str));
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_renamed_file_is_begun_anew_and_a_lost_directory_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("a.log"), directory.path().join("a.log.1"));
        let lost = IntCounter::new("lost", "Lines.").unwrap();
        let log = LogFile::open(&path, "head\n", lost.clone()).unwrap();
        log.write("one\n".to_string());
        log.flush().await;
        std::fs::rename(&path, &old).unwrap();
        log.write_surely("two\n".to_string()).await;
        log.flush().await;
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "head\none\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\ntwo\n");
        drop(directory);
        log.write_surely("three\n".to_string()).await;
        log.flush().await;
        assert_eq!(lost.get(), 1);
    }
}
