//! Packets on the wire: framing, sequence numbers, splitting at 16 MiB, bounded buffers.
//! Manual: MySQL Internals, "MySQL Packets".

use super::compression::{self, Algorithm, Frames};
use bytes::{Buf, BytesMut};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Longest payload of one packet; a longer message continues in further packets.
const PACKET_BYTES_MAX: usize = 0xff_ffff;
/// Written bytes are sent when this many have gathered: a result is never held whole.
const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// What a connection may keep for its next answer while it waits for a command.
const IDLE_BUFFER_BYTES_MAX: usize = 4 << 10;
/// Short messages arrive in one buffer of the thread: while nothing comes, a connection has none.
const ARRIVAL_BYTES: usize = 16 << 10;

thread_local! {
    static ARRIVAL: RefCell<Vec<u8>> = RefCell::new(vec![0; ARRIVAL_BYTES]);
}

/// A TCP stream, plain or under TLS.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Messages over a transport.
pub struct PacketStream {
    transport: Box<dyn Transport>,
    read: BytesMut,
    write: Vec<u8>,
    sequence: u8,
    compressed: Option<Compressed>,
    traffic: Traffic,
}

/// Bytes on the wire, compressed ones as they travel. What TLS adds is not among them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub received: u64,
    pub sent: u64,
}

/// What is between packets and the transport once compression is on.
struct Compressed {
    frames: Frames,
    /// Read from the transport, not opened yet.
    wire: BytesMut,
}

#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    #[error("the client closed the connection")]
    Closed,
    /// MySQL 1153.
    #[error("a packet of more than {limit} bytes")]
    TooLarge { limit: usize },
    /// MySQL 1156.
    #[error("packets out of order")]
    OutOfOrder,
    #[error("a damaged compressed frame")]
    Compression,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl PacketError {
    /// For metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            PacketError::Closed => "closed",
            PacketError::TooLarge { .. } => "too_large",
            PacketError::OutOfOrder | PacketError::Compression => "malformed",
            PacketError::Io(_) => "network",
        }
    }
}

impl PacketStream {
    pub fn new(transport: Box<dyn Transport>) -> PacketStream {
        let traffic = Traffic::default();
        PacketStream { transport, read: BytesMut::new(), write: Vec::new(), sequence: 0, compressed: None, traffic }
    }

    /// Takes the transport out, for the upgrade to TLS. Bytes that were read already are the beginning of the client's
    /// TLS handshake: the transport gives them first. What is no handshake fails there.
    pub fn into_transport(self) -> Box<dyn Transport> {
        if self.read.is_empty() {
            return self.transport;
        }
        let (read, write) = tokio::io::split(self.transport);
        Box::new(tokio::io::join(AsyncReadExt::chain(std::io::Cursor::new(self.read), read), write))
    }

    /// Goes on with the sequence numbers of another stream (after the upgrade to TLS).
    pub fn with_sequence(mut self, sequence: u8) -> PacketStream {
        self.sequence = sequence;
        self
    }

    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// What came and went since the last time.
    pub fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// A new command: numbers start again.
    pub fn reset_sequence(&mut self) {
        self.sequence = 0;
        if let Some(compressed) = &mut self.compressed {
            compressed.frames.reset();
        }
    }

    /// From here on both directions are compressed: after authentication.
    pub fn compress(&mut self, algorithm: Algorithm) {
        // What has come already is compressed, too.
        let wire = std::mem::take(&mut self.read);
        self.compressed = Some(Compressed { frames: Frames::new(algorithm), wire });
    }

    /// Reads one message of at most `limit` bytes.
    pub async fn read(&mut self, limit: usize) -> Result<Vec<u8>, PacketError> {
        let mut message = Vec::new();
        if self.write.is_empty() && self.write.capacity() > IDLE_BUFFER_BYTES_MAX {
            self.write = Vec::new();
        }
        loop {
            self.fill(4).await?;
            let length = self.header();
            if self.read[3] != self.sequence {
                return Err(PacketError::OutOfOrder);
            }
            if message.len() + length > limit {
                return Err(PacketError::TooLarge { limit });
            }
            self.sequence = self.sequence.wrapping_add(1);
            self.read.advance(4);
            self.fill(length).await?;
            message.extend_from_slice(&self.read[..length]);
            self.read.advance(length);
            if length < PACKET_BYTES_MAX {
                if self.read.is_empty() {
                    self.read = BytesMut::new();
                }
                return Ok(message);
            }
        }
    }

    /// Reads over a message that [`PacketStream::read`] found too large, so that the client comes to read the error.
    pub async fn skip(&mut self) -> Result<(), PacketError> {
        loop {
            self.fill(4).await?;
            let length = self.header();
            self.sequence = self.sequence.wrapping_add(1);
            self.read.advance(4);
            let mut rest = length;
            while rest > 0 {
                self.fill(1).await?;
                let part = rest.min(self.read.len());
                self.read.advance(part);
                rest -= part;
            }
            if length < PACKET_BYTES_MAX {
                return Ok(());
            }
        }
    }

    /// What has come, at least so many bytes; it stays to be read.
    pub async fn peek(&mut self, bytes: usize) -> Result<&[u8], PacketError> {
        self.fill(bytes).await?;
        Ok(&self.read)
    }

    /// Leaves out bytes that were peeked at.
    pub fn discard(&mut self, bytes: usize) {
        self.read.advance(bytes.min(self.read.len()));
    }

    /// Length of the packet whose header has come.
    fn header(&self) -> usize {
        usize::from(self.read[0]) | usize::from(self.read[1]) << 8 | usize::from(self.read[2]) << 16
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), PacketError> {
        while self.read.len() < bytes {
            let Some(Compressed { frames, wire }) = &mut self.compressed else {
                self.traffic.received += receive(&mut self.transport, &mut self.read, bytes).await?;
                continue;
            };
            if compression::is_whole(wire) {
                frames.open(wire, &mut self.read)?;
            } else {
                let needed = Frames::needed(wire);
                self.traffic.received += receive(&mut self.transport, wire, needed).await?;
            }
        }
        Ok(())
    }

    /// Appends a message whose payload `encode` writes; sends when much has gathered.
    pub async fn write(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), PacketError> {
        self.append(encode);
        if self.write.len() >= WRITE_BUFFER_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.write.len();
        self.write.extend_from_slice(&[0; 4]);
        encode(&mut self.write);
        let length = self.write.len() - start - 4;
        if length < PACKET_BYTES_MAX {
            self.put_header(start, length);
            return;
        }
        let payload = self.write.split_off(start + 4);
        self.write.truncate(start);
        // A payload that fills its last packet exactly is followed by an empty one.
        for chunk in
            payload.chunks(PACKET_BYTES_MAX).chain(payload.len().is_multiple_of(PACKET_BYTES_MAX).then_some(&[][..]))
        {
            let start = self.write.len();
            self.write.extend_from_slice(&[0; 4]);
            self.write.extend_from_slice(chunk);
            self.put_header(start, chunk.len());
        }
    }

    fn put_header(&mut self, start: usize, length: usize) {
        self.write[start..start + 3].copy_from_slice(&(length as u32).to_le_bytes()[..3]);
        self.write[start + 3] = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Sends what has gathered.
    pub async fn flush(&mut self) -> Result<(), PacketError> {
        match &mut self.compressed {
            Some(compressed) => {
                let mut wire = Vec::new();
                compressed.frames.close(&self.write, &mut wire);
                self.transport.write_all(&wire).await?;
                self.traffic.sent += wire.len() as u64;
            }
            None => {
                self.transport.write_all(&self.write).await?;
                self.traffic.sent += self.write.len() as u64;
            }
        }
        self.transport.flush().await?;
        self.write.clear();
        if self.write.capacity() > 4 * WRITE_BUFFER_BYTES {
            self.write = Vec::new();
        }
        Ok(())
    }

    /// Waits until the client sends something or goes away, without reading it. `true`: gone.
    pub async fn closed(&mut self) -> bool {
        let next = match &mut self.compressed {
            Some(compressed) => &mut compressed.wire,
            None => &mut self.read,
        };
        if !next.is_empty() {
            // A pipelined command is waiting: the client is there; nothing more can be told.
            return std::future::pending().await;
        }
        let Ok(received @ 1..) = self.transport.read_buf(next).await else { return true };
        self.traffic.received += received as u64;
        std::future::pending().await
    }
}

/// Reads some of what is missing to `bytes`.
async fn receive(transport: &mut Box<dyn Transport>, into: &mut BytesMut, bytes: usize) -> Result<u64, PacketError> {
    let missing = bytes.saturating_sub(into.len());
    let received = if missing > ARRIVAL_BYTES {
        into.reserve(missing.min(1 << 20));
        transport.read_buf(into).await?
    } else {
        poll_fn(|context| {
            ARRIVAL.with_borrow_mut(|room| {
                let mut arrived = ReadBuf::new(room);
                ready!(Pin::new(&mut *transport).poll_read(context, &mut arrived))?;
                into.extend_from_slice(arrived.filled());
                Poll::Ready(Ok::<_, io::Error>(arrived.filled().len()))
            })
        })
        .await?
    };
    if received == 0 { Err(PacketError::Closed) } else { Ok(received as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_of_every_length_around_the_split_round_trip() {
        for length in [0, 1, 250, PACKET_BYTES_MAX - 1, PACKET_BYTES_MAX, PACKET_BYTES_MAX + 1, 2 * PACKET_BYTES_MAX] {
            let (near, far) = tokio::io::duplex(1 << 20);
            let mut sender = PacketStream::new(Box::new(near));
            let mut receiver = PacketStream::new(Box::new(far));
            let sent = tokio::spawn(async move {
                sender.write(|out| out.resize(out.len() + length, 7)).await.unwrap();
                sender.flush().await.unwrap();
                sender
            });
            let message = receiver.read(usize::MAX).await.unwrap();
            assert_eq!(message.len(), length);
            assert_eq!(receiver.sequence(), sent.await.unwrap().sequence());
        }
    }

    #[tokio::test]
    async fn compressed_messages_round_trip_whatever_their_length() {
        for length in [0, 1, 250, 100_000, PACKET_BYTES_MAX] {
            let (near, far) = tokio::io::duplex(1 << 20);
            let mut sender = PacketStream::new(Box::new(near));
            let mut receiver = PacketStream::new(Box::new(far));
            sender.compress(Algorithm::Zlib);
            receiver.compress(Algorithm::Zlib);
            let sent = tokio::spawn(async move {
                sender.write(|out| out.resize(out.len() + length, 7)).await.unwrap();
                sender.flush().await.unwrap();
            });
            assert_eq!(receiver.read(usize::MAX).await.unwrap(), vec![7; length]);
            sent.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_refused_before_it_is_read() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let mut receiver = PacketStream::new(Box::new(far));
        let mut near = near;
        near.write_all(&[0, 0, 1, 0]).await.unwrap();
        assert!(matches!(receiver.read(1000).await, Err(PacketError::TooLarge { limit: 1000 })));
        let rest = tokio::spawn(async move { receiver.skip().await.map(|()| receiver.sequence()) });
        near.write_all(&[0; 65_536]).await.unwrap();
        assert_eq!(rest.await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn what_follows_a_message_in_one_segment_is_not_lost_to_tls() {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        near.write_all(&[1, 0, 0, 0, 9, b'h', b'i']).await.unwrap();
        let mut receiver = PacketStream::new(Box::new(far));
        assert_eq!(receiver.read(10).await.unwrap(), [9]);
        near.write_all(b"!").await.unwrap();
        drop(near);
        let mut rest = Vec::new();
        receiver.into_transport().read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"hi!");
    }

    #[tokio::test]
    async fn a_wrong_sequence_number_is_refused() {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        near.write_all(&[1, 0, 0, 3, 9]).await.unwrap();
        assert!(matches!(PacketStream::new(Box::new(far)).read(1000).await, Err(PacketError::OutOfOrder)));
    }
}
