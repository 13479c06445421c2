//! The bytes of a file that LOAD DATA reads: from the client, or from this server's disk.

use crate::execute::row::Cancel;
use bytes::Bytes;
use common::env::threads;
use expr::{ErrorCode, SqlError};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Read from a disk at a time.
const READ_BYTES: usize = 1 << 20;

/// What the connection hands on of a client's file.
pub enum Chunk {
    Data(Bytes),
    End,
}

pub enum FileInput {
    /// A channel that closes before [`Chunk::End`] means that the client is gone.
    Client(mpsc::Receiver<Chunk>),
    Server(File),
}

impl FileInput {
    /// The next bytes; `None` at the end of the file.
    pub async fn next(&mut self, cancel: &Arc<Cancel>) -> Result<Option<Bytes>, SqlError> {
        cancel.check()?;
        match self {
            FileInput::Client(chunks) => {
                let interrupted = (cancel.interrupt())();
                let chunk = tokio::select! {
                    chunk = chunks.recv() => chunk,
                    error = interrupted => return Err(error),
                };
                match chunk {
                    Some(Chunk::Data(bytes)) => Ok(Some(bytes)),
                    Some(Chunk::End) => Ok(None),
                    None => Err(SqlError::new(ErrorCode(1159), "Got timeout reading communication packets")),
                }
            }
            FileInput::Server(file) => {
                let file = file.try_clone().map_err(unreadable)?;
                let read = threads::blocking(move || {
                    let mut bytes = Vec::with_capacity(READ_BYTES);
                    (&file).take(READ_BYTES as u64).read_to_end(&mut bytes).map(|_| bytes)
                });
                let bytes = read.await.map_err(|error| SqlError::internal(error.to_string()))?.map_err(unreadable)?;
                Ok((!bytes.is_empty()).then(|| bytes.into()))
            }
        }
    }
}

fn unreadable(error: std::io::Error) -> SqlError {
    SqlError::new(ErrorCode(2), format!("Error reading the file: {error}"))
}
