//! LOAD DATA LOCAL: the client's file comes in packets, an empty one at its end, while the statement runs.
//! Manual: MySQL Internals, "LOCAL INFILE Request".

use super::packet::{PacketError, PacketStream};
use crate::execute::write::load::input::Chunk;
use std::time::Duration;
use tokio::sync::mpsc;

/// Packets between the client and the statement. Clients send some ten kilobytes in each.
pub const CHUNKS_MAX: usize = 64;

/// Asks for a file.
pub async fn ask(packets: &mut PacketStream, name: &str) -> Result<(), PacketError> {
    packets
        .write(|out| {
            out.push(0xfb);
            out.extend_from_slice(name.as_bytes());
        })
        .await?;
    packets.flush().await
}

/// Hands the file on until its end. A statement that has failed takes no more: the rest is read all the same, since the
/// client listens only then.
pub async fn receive(
    packets: &mut PacketStream,
    statement: mpsc::Sender<Chunk>,
    packet_bytes_max: usize,
    idle: Duration,
) -> Result<(), PacketError> {
    loop {
        let packet = match tokio::time::timeout(idle, packets.read(packet_bytes_max)).await {
            Ok(packet) => packet?,
            Err(_) => return Err(PacketError::Closed),
        };
        let chunk = if packet.is_empty() { Chunk::End } else { Chunk::Data(packet.into()) };
        let is_end = matches!(chunk, Chunk::End);
        // Nobody listens any more: see above.
        let _ = statement.send(chunk).await;
        if is_end {
            return Ok(());
        }
    }
}
