//! Frames: how messages are told apart on a stream.
//!
//! ```text
//! stream   kind (1 byte: lane or streaming call), then frames
//! frame    length of the rest (4 bytes, little endian), rest
//! ```
//! The rest, on a lane from the client: `CALL` (1), call id (8), deadline in ms (4), request; or `CANCEL` (1), call id (8).
//! On a lane from the server: call id (8), status (1), answer. On a streaming call from the client: request; from the
//! server: status (1), answer to the call; then items. Integers are little endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// First byte of a stream that carries many calls.
pub(super) const LANE: u8 = 1;
/// First byte of a stream that carries one subscription or scan.
pub(super) const STREAMING_CALL: u8 = 2;

const CALL: u8 = 1;
const CANCEL: u8 = 2;

/// The greatest request: the largest transaction that the log takes in one piece (512 MiB), with room for what frames it.
pub(super) const REQUEST_BYTES_MAX: usize = 640 << 20;
/// The greatest answer or item: a log entry may hold the largest transaction and others before it.
pub(super) const REPLY_BYTES_MAX: usize = 1 << 30;
/// Memory is taken as bytes arrive, not as a length promises them.
const READ_STEP_BYTES: usize = 64 << 10;

/// The other end does not keep to the protocol, or the connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {size_bytes} bytes exceeds the limit of {limit_bytes}")]
    TooLarge { size_bytes: usize, limit_bytes: usize },
    #[error("malformed message: {0}")]
    Malformed(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Cuts a byte stream into frames. A dropped future of [`FrameReader::next`] loses nothing.
pub(super) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    limit_bytes: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(stream: R, limit_bytes: usize) -> FrameReader<R> {
        FrameReader { stream, buffer: BytesMut::new(), limit_bytes }
    }

    /// The next frame without its length; `None` where the stream ends between two.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            let missing = match self.buffer.get(..4) {
                None => 4 - self.buffer.len(),
                Some(prefix) => {
                    let size_bytes = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
                    if size_bytes > self.limit_bytes {
                        return Err(FrameError::TooLarge { size_bytes, limit_bytes: self.limit_bytes });
                    }
                    match (4 + size_bytes).checked_sub(self.buffer.len()) {
                        Some(missing @ 1..) => missing,
                        _ => {
                            self.buffer.advance(4);
                            return Ok(Some(self.buffer.split_to(size_bytes).freeze()));
                        }
                    }
                }
            };
            self.buffer.reserve(missing.min(READ_STEP_BYTES));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(FrameError::Malformed("the stream ends within a frame".to_owned())),
                };
            }
        }
    }
}

/// A frame whose content is `head` followed by `body` in postcard.
pub(super) fn encode<T: Serialize>(head: &[u8], body: &T, limit_bytes: usize) -> Result<Bytes, FrameError> {
    let mut frame = vec![0; 4];
    frame.extend_from_slice(head);
    let frame = postcard::to_extend(body, frame).map_err(|error| FrameError::Malformed(error.to_string()))?;
    finish(frame, limit_bytes)
}

/// A frame whose content is `head` followed by `body`.
pub(super) fn encode_bytes(head: &[u8], body: &[u8], limit_bytes: usize) -> Result<Bytes, FrameError> {
    let mut frame = Vec::with_capacity(4 + head.len() + body.len());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(head);
    frame.extend_from_slice(body);
    finish(frame, limit_bytes)
}

fn finish(mut frame: Vec<u8>, limit_bytes: usize) -> Result<Bytes, FrameError> {
    let size_bytes = frame.len() - 4;
    match u32::try_from(size_bytes) {
        Ok(size) if size_bytes <= limit_bytes => frame[..4].copy_from_slice(&size.to_le_bytes()),
        _ => return Err(FrameError::TooLarge { size_bytes, limit_bytes }),
    }
    Ok(frame.into())
}

/// Reads a message; bytes left over are an error.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(FrameError::Malformed(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(FrameError::Malformed(error.to_string())),
    }
}

/// What a client says on a lane, without the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneFrame {
    Call { id: u64, deadline: Duration },
    Cancel { id: u64 },
}

impl LaneFrame {
    pub fn head(self) -> Vec<u8> {
        let mut head = Vec::with_capacity(13);
        match self {
            LaneFrame::Call { id, deadline } => {
                head.put_u8(CALL);
                head.put_u64_le(id);
                head.put_u32_le(u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX));
            }
            LaneFrame::Cancel { id } => {
                head.put_u8(CANCEL);
                head.put_u64_le(id);
            }
        }
        head
    }

    /// The head, and the request that follows it.
    pub fn split(mut frame: Bytes) -> Result<(LaneFrame, Bytes), FrameError> {
        let short = |_| FrameError::Malformed("a frame too short for its head".to_owned());
        let kind = frame.try_get_u8().map_err(short)?;
        let id = frame.try_get_u64_le().map_err(short)?;
        match kind {
            CALL => {
                let deadline = Duration::from_millis(u64::from(frame.try_get_u32_le().map_err(short)?));
                Ok((LaneFrame::Call { id, deadline }, frame))
            }
            CANCEL => Ok((LaneFrame::Cancel { id }, frame)),
            other => Err(FrameError::Malformed(format!("unknown kind of frame {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8], limit_bytes: usize) -> Result<Vec<Bytes>, FrameError> {
        futures::executor::block_on(async {
            let mut reader = FrameReader::new(bytes, limit_bytes);
            let mut frames = Vec::new();
            while let Some(frame) = reader.next().await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_memory_is_taken() {
        let error = read_all(&[0xff; 8], 1024).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { limit_bytes: 1024, .. }), "{error}");
        assert!(encode(&[], &vec![0u8; 2000], 1024).is_err());
    }

    #[test]
    fn a_stream_cut_within_a_frame_is_an_error_and_between_frames_its_end() {
        let frame = encode(b"head", &7u32, 100).unwrap();
        assert_eq!(read_all(&frame, 100).unwrap(), [frame.slice(4..)]);
        for cut in 1..frame.len() {
            assert!(matches!(read_all(&frame[..cut], 100), Err(FrameError::Malformed(_))), "cut at {cut}");
        }
    }

    #[test]
    fn lane_heads_round_trip() {
        for head in
            [LaneFrame::Call { id: 7, deadline: Duration::from_millis(1500) }, LaneFrame::Cancel { id: u64::MAX }]
        {
            let mut frame = head.head();
            frame.extend_from_slice(b"rest");
            assert_eq!(LaneFrame::split(frame.into()).unwrap(), (head, Bytes::from_static(b"rest")));
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were_sent(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8)) {
            let sent: Vec<u8> = bodies.iter().flat_map(|body| encode_bytes(&[], body, 1024).unwrap()).collect();
            prop_assert_eq!(read_all(&sent, 1024).unwrap(), bodies);
        }

        #[test]
        fn hostile_bytes_are_errors(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes, 100);
            let _ = LaneFrame::split(bytes.clone().into());
            let _ = decode::<crate::rpc::message::Request>(&bytes);
            let _ = decode::<crate::rpc::message::StreamRequest>(&bytes);
            let _ = decode::<Result<crate::service::wal::StreamItem, crate::service::wal::WalError>>(&bytes);
        }
    }
}
