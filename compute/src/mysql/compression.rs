//! The compressed protocol: packets travel inside frames that are compressed when that pays.
//!
//! A frame is a header of seven bytes (length on the wire, number, length before compression or 0) and its content, in which
//! packets may begin and end anywhere. Frames have numbers of their own. Manual: MySQL Internals, "Compression".

use super::packet::PacketError;
use bytes::{Buf, BytesMut};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 7;
/// Content of one frame at most, before and after compression.
const FRAME_BYTES_MAX: usize = 0xff_ffff;
/// What is sent in one frame: a whole result need not be held to be compressed.
const FRAME_BYTES: usize = 256 << 10;
/// Less than this is sent as it is: MySQL's MIN_COMPRESS_LENGTH.
const COMPRESS_BYTES_MIN: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Zlib,
    /// With the level that the client asked for, 1 to 22.
    Zstd(i32),
}

impl Algorithm {
    /// As `Compression_algorithm` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Zlib => "zlib",
            Algorithm::Zstd(_) => "zstd",
        }
    }
}

/// One connection's frames, in both directions.
pub struct Frames {
    algorithm: Algorithm,
    number: u8,
}

impl Frames {
    pub fn new(algorithm: Algorithm) -> Frames {
        Frames { algorithm, number: 0 }
    }

    /// A new command: numbers start again.
    pub fn reset(&mut self) {
        self.number = 0;
    }

    /// How many bytes of `wire` the frame at its beginning takes; more than are there if it has not come whole.
    pub fn needed(wire: &[u8]) -> usize {
        match wire {
            [a, b, c, ..] => HEADER_BYTES + length(*a, *b, *c),
            _ => HEADER_BYTES,
        }
    }

    /// Takes the frame at the beginning of `wire`, which is there whole, and appends its content to `packets`.
    pub fn open(&mut self, wire: &mut BytesMut, packets: &mut BytesMut) -> Result<(), PacketError> {
        let frame = wire.split_to(Frames::needed(wire));
        let (header, content) = frame.split_at(HEADER_BYTES);
        if header[3] != self.number {
            return Err(PacketError::OutOfOrder);
        }
        self.number = self.number.wrapping_add(1);
        match length(header[4], header[5], header[6]) {
            0 => packets.extend_from_slice(content),
            size => packets.extend_from_slice(&self.decompress(content, size)?),
        }
        Ok(())
    }

    /// `size` is at most 16 MiB, by its width.
    fn decompress(&self, content: &[u8], size: usize) -> Result<Vec<u8>, PacketError> {
        let damaged = || PacketError::Compression;
        let opened = match self.algorithm {
            Algorithm::Zlib => {
                let mut out = Vec::with_capacity(size);
                let status = Decompress::new(true).decompress_vec(content, &mut out, FlushDecompress::Finish);
                matches!(status, Ok(Status::StreamEnd)).then_some(out).ok_or_else(damaged)?
            }
            Algorithm::Zstd(_) => zstd::bulk::decompress(content, size).map_err(|_| damaged())?,
        };
        if opened.len() == size { Ok(opened) } else { Err(damaged()) }
    }

    /// Puts `packets` into frames at the end of `wire`.
    pub fn close(&mut self, packets: &[u8], wire: &mut Vec<u8>) {
        for content in packets.chunks(FRAME_BYTES) {
            let compressed = if content.len() < COMPRESS_BYTES_MIN { None } else { self.compress(content) };
            let (sent, size) = match &compressed {
                Some(compressed) => (compressed.as_slice(), content.len()),
                None => (content, 0),
            };
            wire.extend_from_slice(&(sent.len() as u32).to_le_bytes()[..3]);
            wire.push(self.number);
            wire.extend_from_slice(&(size as u32).to_le_bytes()[..3]);
            wire.extend_from_slice(sent);
            self.number = self.number.wrapping_add(1);
        }
    }

    /// Nothing where it would not become shorter.
    fn compress(&self, content: &[u8]) -> Option<Vec<u8>> {
        let compressed = match self.algorithm {
            Algorithm::Zlib => {
                // What does not fit here is not shorter.
                let mut out = Vec::with_capacity(content.len());
                let mut stream = Compress::new(flate2::Compression::default(), true);
                let status = stream.compress_vec(content, &mut out, FlushCompress::Finish);
                matches!(status, Ok(Status::StreamEnd)).then_some(out)?
            }
            Algorithm::Zstd(level) => zstd::bulk::compress(content, level).ok()?,
        };
        (compressed.len() < content.len()).then_some(compressed)
    }
}

const _: () = assert!(FRAME_BYTES <= FRAME_BYTES_MAX);

fn length(a: u8, b: u8, c: u8) -> usize {
    usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16
}

/// Whether the frame at the beginning of `wire` is there whole.
pub fn is_whole(wire: &BytesMut) -> bool {
    wire.remaining() >= Frames::needed(wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(algorithm: Algorithm, content: &[u8]) -> usize {
        let mut wire = Vec::new();
        Frames::new(algorithm).close(content, &mut wire);
        let sent = wire.len();
        let (mut wire, mut packets, mut reader) = (BytesMut::from(&wire[..]), BytesMut::new(), Frames::new(algorithm));
        while !wire.is_empty() {
            assert!(is_whole(&wire));
            reader.open(&mut wire, &mut packets).unwrap();
        }
        assert!(packets == content);
        sent
    }

    #[test]
    fn contents_of_every_size_come_back() {
        for algorithm in [Algorithm::Zlib, Algorithm::Zstd(3), Algorithm::Zstd(22)] {
            for size in [0, 1, 49, 50, 51, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES] {
                let even = vec![7; size];
                assert!(size < COMPRESS_BYTES_MIN || round_trip(algorithm, &even) < size);
                let random: Vec<u8> =
                    (0..size as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
                round_trip(algorithm, &random);
            }
        }
    }

    #[test]
    fn a_frame_of_another_number_is_refused() {
        let mut wire = BytesMut::from(&[1, 0, 0, 1, 0, 0, 0, 9][..]);
        let refused = Frames::new(Algorithm::Zlib).open(&mut wire, &mut BytesMut::new());
        assert!(matches!(refused, Err(PacketError::OutOfOrder)));
    }

    proptest! {
        #[test]
        fn damaged_frames_are_errors(bytes in prop::collection::vec(any::<u8>(), 1..80), size in 1u8..=255, zstd in any::<bool>()) {
            let algorithm = if zstd { Algorithm::Zstd(3) } else { Algorithm::Zlib };
            let mut wire = BytesMut::from(&[bytes.len() as u8, 0, 0, 0, size, 0, 0][..]);
            wire.extend_from_slice(&bytes);
            let mut packets = BytesMut::new();
            if Frames::new(algorithm).open(&mut wire, &mut packets).is_ok() {
                prop_assert_eq!(packets.len(), usize::from(size));
            }
        }
    }
}
