//! Where bytes of a peer are read, for the programs that try bad ones (`fuzz/` beside the packages).

use super::frame::{LaneFrame, decode};
use super::message::{Request, StreamRequest};
use super::scan_batch;
use crate::service::page::PageError;
use crate::service::wal::{CommitError, CommitReply, StreamItem, WalError, WalStatus};
use bytes::Bytes;

/// A frame on a lane, from either side, or on a streaming call.
pub fn frame(bytes: &[u8]) {
    if let Ok((head, request)) = LaneFrame::split(Bytes::copy_from_slice(bytes)) {
        let again = head.head();
        assert_eq!(bytes[..again.len()], again);
        let _ = decode::<Request>(&request);
    }
    let _ = decode::<Request>(bytes);
    let _ = decode::<StreamRequest>(bytes);
    let _ = decode::<Result<StreamItem, WalError>>(bytes);
    let _ = decode::<Result<CommitReply, CommitError>>(bytes);
    let _ = decode::<Result<WalStatus, WalError>>(bytes);
    let _ = decode::<PageError>(bytes);
}

/// A batch of a scan.
pub fn batch(bytes: &[u8]) {
    let _ = scan_batch::decode(Bytes::copy_from_slice(bytes));
}
