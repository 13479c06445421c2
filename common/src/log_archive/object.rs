//! What lies in the objects of the archive. The layout is in `docs/formats.md`.
//!
//! A transaction lies there as it does in the log: the bytes of its batch are copied, never made anew.

use super::ObjectName;
use crate::id::{Lsn, Term};
use crate::service::wal::Batch;
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

const OBJECT_MAGIC: [u8; 8] = *b"DRUMLOG\x01";
const BASE_MAGIC: [u8; 8] = *b"DRUMLGB\x01";
const CRC_BYTES: usize = 4;
/// No log comes so far; whoever reads adds to LSNs.
pub const LSN_MAX: Lsn = Lsn(u64::MAX / 2);
/// A record with transactions; others may come.
const BATCH: u8 = 1;
/// Kind and length.
const RECORD_HEADER_BYTES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedArchive(pub &'static str);

/// The beginning of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub generation: u64,
    /// The newest generation before it; 0 where there was none, or one without a base.
    pub previous: u64,
    /// The log of this generation has all up to here from the one before; what that one has above counts for nothing.
    pub continues_at: Lsn,
    /// At random, so that no two founders write the same bytes.
    pub founder: u128,
}

impl Base {
    pub fn encode(&self) -> Bytes {
        let mut bytes = BASE_MAGIC.to_vec();
        bytes.extend(postcard::to_stdvec(self).expect("plain data serializes"));
        with_crc(bytes.as_slice().into())
    }

    pub fn decode(bytes: &[u8]) -> Result<Base, MalformedArchive> {
        let body = checked(bytes, BASE_MAGIC)?;
        let base: Base = postcard::from_bytes(body).map_err(|_| MalformedArchive("it cannot be read"))?;
        match base.continues_at <= LSN_MAX {
            true => Ok(base),
            false => Err(MalformedArchive("it names an LSN that there cannot be")),
        }
    }
}

/// At the beginning of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    generation: u64,
    first: Lsn,
    last: Lsn,
    term: Term,
    /// Wall clock of the first batch and of the last, in microseconds since 1970.
    first_us: u64,
    last_us: u64,
}

/// An object that is ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub name: ObjectName,
    pub bytes: Bytes,
    /// Wall clock of the last batch.
    pub last_us: u64,
}

impl Sealed {
    /// Batches that follow each other, as postcard has them; one at least.
    pub fn new(generation: u64, term: Term, batches: &[Bytes]) -> Result<Sealed, MalformedArchive> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Err(MalformedArchive("there is nothing to archive"));
        };
        let (first, _, first_us) = head(first)?;
        let (_, last, last_us) = head(last)?;
        let mut expected = first;
        for batch in batches {
            let (begins, ends, _) = head(batch)?;
            if begins != expected || ends < begins {
                return Err(MalformedArchive("its batches do not follow each other"));
            }
            expected = ends.next();
        }
        let header = Header { generation, first, last, term, first_us, last_us };
        let size = batches.iter().map(|batch| RECORD_HEADER_BYTES + batch.len()).sum::<usize>();
        let mut bytes = BytesMut::with_capacity(size + 128);
        bytes.put_slice(&OBJECT_MAGIC);
        bytes.put_slice(&postcard::to_stdvec(&header).expect("plain data serializes"));
        for batch in batches {
            let length = u32::try_from(batch.len()).map_err(|_| MalformedArchive("a batch is too large"))?;
            bytes.put_u8(BATCH);
            bytes.put_u32_le(length);
            bytes.put_slice(batch);
        }
        Ok(Sealed { name: ObjectName { generation, first, last, term }, bytes: with_crc(bytes), last_us })
    }
}

/// First and last LSN and the time of a batch that is not decoded.
fn head(batch: &[u8]) -> Result<(Lsn, Lsn, u64), MalformedArchive> {
    let head = postcard::take_from_bytes(batch).map_err(|_| MalformedArchive("a batch cannot be read"))?;
    Ok(head.0)
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub name: ObjectName,
    pub batches: Vec<Batch>,
}

impl Object {
    pub fn decode(bytes: &[u8]) -> Result<Object, MalformedArchive> {
        let body = checked(bytes, OBJECT_MAGIC)?;
        let (header, mut rest) =
            postcard::take_from_bytes::<Header>(body).map_err(|_| MalformedArchive("its header cannot be read"))?;
        if header.last > LSN_MAX || header.first > header.last {
            return Err(MalformedArchive("it names LSNs that there cannot be"));
        }
        let mut batches: Vec<Batch> = Vec::new();
        let mut expected = header.first;
        while let Some((record, behind)) = rest.split_at_checked(RECORD_HEADER_BYTES) {
            let length = u32::from_le_bytes([record[1], record[2], record[3], record[4]]) as usize;
            let Some((body, behind)) = behind.split_at_checked(length) else {
                return Err(MalformedArchive("a record ends behind its end"));
            };
            rest = behind;
            if record[0] != BATCH {
                return Err(MalformedArchive("it has records of a kind that this version does not know"));
            }
            let batch: Batch = postcard::from_bytes(body).map_err(|_| MalformedArchive("a batch cannot be read"))?;
            check(&batch, expected)?;
            expected = batch.last_lsn.next();
            batches.push(batch);
        }
        if !rest.is_empty() || expected != header.last.next() {
            return Err(MalformedArchive("it does not end where it says"));
        }
        let Header { generation, first, last, term, .. } = header;
        Ok(Object { name: ObjectName { generation, first, last, term }, batches })
    }
}

/// The batch of the next LSNs, with a transaction for each.
fn check(batch: &Batch, expected: Lsn) -> Result<(), MalformedArchive> {
    let lsns = (expected.0..).map(Lsn);
    let is_dense = batch.transactions.iter().zip(lsns).all(|(transaction, lsn)| transaction.lsn == lsn);
    let last = batch.transactions.last().map(|transaction| transaction.lsn);
    if batch.first_lsn != expected || last != Some(batch.last_lsn) || !is_dense {
        return Err(MalformedArchive("its batches do not follow each other"));
    }
    Ok(())
}

fn with_crc(mut bytes: BytesMut) -> Bytes {
    let crc = crc_fast::crc32_iscsi(&bytes);
    bytes.put_u32_le(crc);
    bytes.freeze()
}

/// What stands between the mark and the checksum.
fn checked(bytes: &[u8], magic: [u8; 8]) -> Result<&[u8], MalformedArchive> {
    let (contents, crc) = bytes
        .len()
        .checked_sub(CRC_BYTES)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(MalformedArchive("it is too short"))?;
    let Some((mark, body)) = contents.split_at_checked(magic.len()) else {
        return Err(MalformedArchive("it is too short"));
    };
    if mark != magic {
        return Err(MalformedArchive("it is of another kind or version"));
    }
    if crc != crc_fast::crc32_iscsi(contents).to_le_bytes() {
        return Err(MalformedArchive("it does not match its checksum"));
    }
    Ok(body)
}
