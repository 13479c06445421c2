//! Scan results on the wire: rows and aggregates in postcard, columns as an Arrow IPC stream of one schema and one batch.

use super::frame::{self, FrameError, REPLY_BYTES_MAX};
use crate::service::page::ScanBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};

const ROWS: u8 = 1;
const COLUMNS: u8 = 2;
const AGGREGATES: u8 = 3;

/// One frame per batch; a batch too large for a frame becomes several.
pub(super) fn encode(batch: ScanBatch) -> Result<Vec<Bytes>, FrameError> {
    encode_within(batch, REPLY_BYTES_MAX)
}

fn encode_within(batch: ScanBatch, limit_bytes: usize) -> Result<Vec<Bytes>, FrameError> {
    let encoded = match &batch {
        ScanBatch::Rows(rows) => frame::encode(&[super::message::Status::Answered as u8, ROWS], rows, limit_bytes),
        ScanBatch::Columns(columns) => {
            let head = [super::message::Status::Answered as u8, COLUMNS];
            frame::encode_bytes(&head, &encode_columns(columns)?, limit_bytes)
        }
        ScanBatch::Aggregates(values) => {
            frame::encode(&[super::message::Status::Answered as u8, AGGREGATES], values, limit_bytes)
        }
    };
    match encoded {
        Ok(frame) => Ok(vec![frame]),
        Err(error @ FrameError::TooLarge { .. }) => {
            let Some((first, second)) = halves(batch) else { return Err(error) };
            let mut frames = encode_within(first, limit_bytes)?;
            frames.extend(encode_within(second, limit_bytes)?);
            Ok(frames)
        }
        Err(error) => Err(error),
    }
}

/// `None` for a batch of a single row.
fn halves(batch: ScanBatch) -> Option<(ScanBatch, ScanBatch)> {
    match batch {
        ScanBatch::Rows(rows) if rows.len() < 2 => None,
        ScanBatch::Rows(mut rows) => {
            let second = rows.split_off(rows.len() / 2);
            Some((ScanBatch::Rows(rows), ScanBatch::Rows(second)))
        }
        ScanBatch::Columns(columns) if columns.num_rows() < 2 => None,
        ScanBatch::Columns(columns) => {
            let half = columns.num_rows() / 2;
            let second = columns.slice(half, columns.num_rows() - half);
            Some((ScanBatch::Columns(columns.slice(0, half)), ScanBatch::Columns(second)))
        }
        // One value per call: all of them belong together.
        ScanBatch::Aggregates(_) => None,
    }
}

fn encode_columns(batch: &RecordBatch) -> Result<Vec<u8>, FrameError> {
    let write = || {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(batch)?;
        writer.into_inner()
    };
    write().map_err(|error: arrow::error::ArrowError| FrameError::Malformed(error.to_string()))
}

/// Reads what [`encode`] wrote, without its status byte.
pub(super) fn decode(bytes: Bytes) -> Result<ScanBatch, FrameError> {
    match bytes.first() {
        Some(&ROWS) => Ok(ScanBatch::Rows(frame::decode(&bytes[1..])?)),
        Some(&COLUMNS) => Ok(ScanBatch::Columns(decode_columns(bytes.slice(1..))?)),
        Some(&AGGREGATES) => Ok(ScanBatch::Aggregates(frame::decode(&bytes[1..])?)),
        _ => Err(FrameError::Malformed("neither rows, columns nor aggregates".to_owned())),
    }
}

/// The Arrow reader checks what it reads, but some of its checks are asserts: those become errors here.
fn decode_columns(bytes: Bytes) -> Result<RecordBatch, FrameError> {
    let malformed = |reason: String| FrameError::Malformed(format!("arrow batch: {reason}"));
    let read = || {
        let mut buffer = Buffer::from(bytes);
        let mut decoder = StreamDecoder::new();
        let batch = decoder.decode(&mut buffer)?;
        let rest = decoder.decode(&mut buffer)?;
        decoder.finish()?;
        Ok((batch, rest))
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok((Some(batch), None))) => Ok(batch),
        Ok(Ok(_)) => Err(malformed("not exactly one".to_owned())),
        Ok(Err(error)) => Err(malformed(arrow::error::ArrowError::to_string(&error))),
        Err(_) => Err(malformed("inconsistent".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Lsn;
    use crate::physical::{PhysicalType, PhysicalValue};
    use crate::service::page::ScannedRow;
    use arrow::array::{ArrayRef, BinaryArray, Decimal256Array, Int64Array};
    use arrow::datatypes::{Field, Schema, i256};
    use arrow::record_batch::RecordBatchOptions;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn columns(rows: usize) -> ScanBatch {
        let numbers = Int64Array::from_iter((0..rows).map(|row| (row % 3 != 0).then_some(row as i64)));
        let texts = BinaryArray::from_iter((0..rows).map(|row| (row % 4 != 1).then(|| vec![row as u8; row % 50])));
        let wide = Decimal256Array::from_iter_values((0..rows).map(|row| i256::from_i128(-(row as i128))))
            .with_precision_and_scale(76, 0)
            .unwrap();
        let arrays: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(texts), Arc::new(wide)];
        let types = [PhysicalType::Int64, PhysicalType::Bytes, PhysicalType::Int256];
        let fields: Vec<Field> =
            types.iter().enumerate().map(|(at, kind)| Field::new(format!("c{at}"), kind.arrow(), true)).collect();
        ScanBatch::Columns(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
    }

    fn rows(count: usize) -> ScanBatch {
        let row = |at: usize| ScannedRow { key: vec![at as u8].into(), lsn: Lsn(at as u64), row: vec![7; at].into() };
        ScanBatch::Rows((0..count).map(row).collect())
    }

    fn aggregates() -> ScanBatch {
        let values = [PhysicalValue::UInt64(7), PhysicalValue::Null, PhysicalValue::Int256([0xfe; 32])];
        ScanBatch::Aggregates(values.to_vec())
    }

    fn decode_all(frames: Vec<Bytes>) -> Vec<ScanBatch> {
        frames.into_iter().map(|frame| decode(frame.slice(5..)).unwrap()).collect()
    }

    #[test]
    fn batches_round_trip() {
        let no_columns = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            vec![],
            &RecordBatchOptions::new().with_row_count(Some(42)),
        );
        let no_columns = ScanBatch::Columns(no_columns.unwrap());
        for batch in [rows(0), rows(9), columns(0), columns(100), no_columns, aggregates()] {
            assert_eq!(decode_all(encode(batch.clone()).unwrap()), [batch]);
        }
    }

    #[test]
    fn a_batch_beyond_the_limit_travels_in_parts() {
        let frames = encode_within(columns(1000), 20_000).unwrap();
        assert!(frames.len() > 1 && frames.iter().all(|frame| frame.len() <= 20_004));
        let parts = decode_all(frames).into_iter().map(|part| match part {
            ScanBatch::Columns(columns) => columns,
            other => panic!("{other:?}"),
        });
        let parts: Vec<RecordBatch> = parts.collect();
        let ScanBatch::Columns(whole) = columns(1000) else { unreachable!() };
        assert_eq!(arrow::compute::concat_batches(&whole.schema(), &parts).unwrap(), whole);
        assert!(encode_within(rows(200), 10).is_err());
    }

    proptest! {
        #[test]
        fn damaged_batches_are_errors_or_batches_but_never_panics(
            at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(), which in 0..3usize,
        ) {
            let frame = encode([columns(50), rows(20), aggregates()][which].clone()).unwrap().remove(0);
            let mut bytes = frame[5..].to_vec();
            let place = at.index(bytes.len());
            bytes[place] = value;
            let _ = decode(bytes.clone().into());
            bytes.truncate(cut.index(bytes.len()));
            let _ = decode(bytes.into());
        }
    }
}
