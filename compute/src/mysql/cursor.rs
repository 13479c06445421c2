//! The rows of a read-only cursor: found when it is opened, as MySQL does it, and kept until they are fetched.
//! Manual: "C API Prepared Statement Data Structures" (CURSOR_TYPE_READ_ONLY), MySQL Internals, "COM_STMT_FETCH".
//!
//! Rows are kept as they will be sent: first in memory, then in an unnamed temporary file.

use std::io;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Rows of one cursor that stay in memory.
const MEMORY_BYTES: usize = 32 << 10;
/// What is written and read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Rows that can be added until [`Spool::rewind`].
#[derive(Default)]
pub struct Spool {
    /// Each row behind its length; what is not in the file.
    memory: Vec<u8>,
    file: Option<File>,
    rows: u64,
}

impl Spool {
    pub async fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let start = self.memory.len();
        self.memory.extend_from_slice(&[0; 4]);
        encode(&mut self.memory);
        let length = u32::try_from(self.memory.len() - start - 4).map_err(io::Error::other)?;
        self.memory[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.rows += 1;
        if self.memory.len() < MEMORY_BYTES {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = tokio::task::spawn_blocking(tempfile::tempfile).await.map_err(io::Error::other)??;
                none.insert(File::from_std(made))
            }
        };
        file.write_all(&self.memory).await?;
        self.memory.clear();
        Ok(())
    }

    /// All rows are there.
    pub async fn rewind(mut self) -> io::Result<Cursor> {
        if let Some(file) = &mut self.file {
            file.flush().await?;
            file.rewind().await?;
        }
        Ok(Cursor { file: self.file, ahead: Vec::new(), at: 0, memory: self.memory, rows: self.rows })
    }
}

/// Rows that wait to be fetched.
pub struct Cursor {
    /// Read first, to its end.
    file: Option<File>,
    /// Read from the file, from `at` on not given out yet.
    ahead: Vec<u8>,
    at: usize,
    /// What comes after the file.
    memory: Vec<u8>,
    rows: u64,
}

impl Cursor {
    /// Rows that were not fetched.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next row, as it is sent.
    pub async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if self.rows == 0 {
            return Ok(None);
        }
        self.rows -= 1;
        self.fill(4).await?;
        let length: [u8; 4] = self.ahead[self.at..self.at + 4].try_into().unwrap_or_default();
        let length = u32::from_le_bytes(length) as usize;
        self.fill(4 + length).await?;
        let start = self.at + 4;
        self.at = start + length;
        Ok(Some(&self.ahead[start..self.at]))
    }

    async fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while self.ahead.len() - self.at < bytes {
            self.ahead.drain(..self.at);
            self.at = 0;
            let Some(file) = &mut self.file else {
                if self.memory.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.ahead.append(&mut self.memory);
                continue;
            };
            self.ahead.reserve(CHUNK_BYTES);
            if file.read_buf(&mut self.ahead).await? == 0 {
                self.file = None;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_come_back_in_order_from_memory_and_file() {
        for (count, bytes) in [(0, 0), (3, 5), (1000, 1000), (3, MEMORY_BYTES), (7, 3 * CHUNK_BYTES + 1)] {
            let mut spool = Spool::default();
            for number in 0..count {
                spool.push(|out| out.resize(out.len() + bytes, number as u8)).await.unwrap();
            }
            let mut cursor = spool.rewind().await.unwrap();
            assert_eq!(cursor.rows(), count);
            for number in 0..count {
                assert_eq!(cursor.next().await.unwrap(), Some(&vec![number as u8; bytes][..]));
            }
            assert_eq!(cursor.next().await.unwrap(), None);
        }
    }
}
