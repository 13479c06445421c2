//! Rows of a new table or a new index past the transaction's buffer: to the object store ahead of the commit.
//!
//! ```text
//! write ─▶ buffer ─(so many bytes)─▶ relieve: sorted rows ─▶ PageService::bulk_write
//!                                      finish: the rest ─▶ PageService::bulk_finish ─▶ references in the commit
//! ```
//!
//! Only for keys that nobody else can see before the commit, and that the statement does not read again: the transaction
//! no longer sees what has left its buffer. What an error or a rollback takes back is never committed, and the page server
//! deletes it in time.

use crate::txn::service_error::{page_error, with_backoff};
use crate::txn::spill::{HeldRow, load_all};
use crate::txn::{Remote, Transaction};
use common::bulk::BulkLayer;
use common::key::{Key, KeyRange};
use common::service::page::{BULK_BYTES_MAX, BulkFinished, BulkRow};
use expr::SqlError;

/// Keys and rows of one call.
pub(super) const CHUNK_BYTES: usize = BULK_BYTES_MAX / 2;

/// A key that was written twice.
#[derive(Debug)]
pub struct Duplicate(pub Key);

/// Sends buffered rows of `range` to the store, if they have come to be many.
pub async fn relieve(transaction: &mut Transaction, range: &KeyRange, remote: &Remote) -> Result<(), SqlError> {
    if transaction.buffered_bytes() >= remote.bulk_bytes {
        send(transaction, range, remote).await?;
    }
    Ok(())
}

/// Once all rows are written: makes what went to the store ready for the commit, and finds keys that are there twice.
pub async fn finish(
    transaction: &mut Transaction,
    range: &KeyRange,
    remote: &Remote,
) -> Result<Result<(), Duplicate>, SqlError> {
    if transaction.bulk().is_empty() {
        return Ok(Ok(()));
    }
    // The rest as well: its keys may be in what went before.
    send(transaction, range, remote).await?;
    let layers = transaction.bulk().to_vec();
    match with_backoff(|| remote.pages.bulk_finish(layers.clone())).await.map_err(page_error)? {
        BulkFinished::Ready(layers) => {
            transaction.set_bulk(layers);
            Ok(Ok(()))
        }
        BulkFinished::Duplicate(key) => Ok(Err(Duplicate(key))),
    }
}

async fn send(transaction: &mut Transaction, range: &KeyRange, remote: &Remote) -> Result<(), SqlError> {
    let mut rows = transaction.take_rows(range).into_iter().peekable();
    while rows.peek().is_some() {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while let Some((key, row)) =
            rows.next_if(|(key, row)| bytes == 0 || bytes + key.len() + row.byte_len() < CHUNK_BYTES)
        {
            bytes += key.len() + row.byte_len();
            chunk.push((key, Some(row)));
        }
        let written = write(chunk, remote).await?;
        transaction.add_bulk(written);
    }
    Ok(())
}

/// Writes rows, all of which fit into one call.
pub(super) async fn write(chunk: Vec<(Key, Option<HeldRow>)>, remote: &Remote) -> Result<Vec<BulkLayer>, SqlError> {
    let (keys, rows): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
    let chunk: Vec<BulkRow> = keys.into_iter().zip(load_all(rows).await?).collect();
    with_backoff(|| remote.pages.bulk_write(chunk.clone())).await.map_err(page_error)
}
