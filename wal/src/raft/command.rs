//! Command: what a normal log entry says, encoded once, by the leader. The layout is in `docs/formats.md`.

use bytes::{BufMut, Bytes, BytesMut};
use common::cluster_map::ClusterMap;
use common::id::{CommitId, CounterId, Lsn};
use common::key::Key;
use common::prepared::PreparedLocks;
use common::service::wal::Batch;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Kind (1 byte) and two LSNs, before the body.
const PREFIX_BYTES: usize = 17;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandKind {
    /// Transactions.
    Batch(Batch),
    /// The log begins here.
    Base(Base),
    /// All up to here is in layers; each node may drop the log up to there.
    Trim { lsn: Lsn },
}

/// Where a log begins: beside a store that holds older data, or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// LSNs up to here are taken.
    pub lsn: Lsn,
    pub counters: Vec<(CounterId, u64)>,
    pub map: ClusterMap,
    pub founding: Founding,
}

/// What logs know since there is an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Founding {
    /// The generation of the log in the archive; 0 for logs that were there before the archive was.
    pub generation: u64,
    /// Transactions that are prepared at the base, by the keys of their records.
    pub prepared: Vec<(Key, PreparedLocks)>,
    /// Wall clock of the newest transaction at the base, in microseconds since 1970.
    pub time_us: u64,
    /// Recent commits up to the base, oldest first.
    pub outcomes: Vec<(CommitId, Lsn)>,
}

/// An encoded command. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    encoded: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("log entry cannot be read: {0}")]
pub struct CommandError(pub &'static str);

impl Command {
    pub fn new(kind: &CommandKind) -> Result<Command, CommandError> {
        let (tag, first_lsn, last_lsn) = match kind {
            CommandKind::Batch(batch) => (1, batch.first_lsn, batch.last_lsn),
            CommandKind::Base(base) => (2, base.lsn, base.lsn),
            CommandKind::Trim { .. } => (3, Lsn::ZERO, Lsn::ZERO),
        };
        let mut encoded = BytesMut::with_capacity(256);
        encoded.put_u8(tag);
        encoded.put_u64_le(first_lsn.0);
        encoded.put_u64_le(last_lsn.0);
        let mut body = encoded.writer();
        match kind {
            CommandKind::Batch(batch) => postcard::to_io(batch, &mut body),
            // What came later stands behind what there was before.
            CommandKind::Base(Base { lsn, counters, map, founding }) => {
                postcard::to_io(&((lsn, counters), map, founding), &mut body)
            }
            CommandKind::Trim { lsn } => postcard::to_io(lsn, &mut body),
        }
        .map_err(|_| CommandError("it could not be encoded"))?;
        Ok(Command { encoded: body.into_inner().freeze() })
    }

    /// From a record's payload. Checks the prefix only; [`Command::decode`] checks the rest.
    pub fn from_encoded(encoded: Bytes) -> Result<Command, CommandError> {
        if encoded.len() < PREFIX_BYTES || !(1..=3).contains(&encoded[0]) {
            return Err(CommandError("it is no command"));
        }
        Ok(Command { encoded })
    }

    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Newest LSN after this command; zero where it says nothing about LSNs.
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.encoded[9..PREFIX_BYTES].iter().rev().fold(0, |lsn, byte| lsn << 8 | u64::from(*byte)))
    }

    /// The batch as it is encoded, where the command is one.
    pub fn encoded_batch(&self) -> Option<Bytes> {
        (self.encoded[0] == 1).then(|| self.encoded.slice(PREFIX_BYTES..))
    }

    pub fn decode(&self) -> Result<CommandKind, CommandError> {
        let body = &self.encoded[PREFIX_BYTES..];
        let malformed = |_| CommandError("its body is malformed");
        match self.encoded[0] {
            1 => {
                let batch: Batch = postcard::from_bytes(body).map_err(malformed)?;
                if batch.last_lsn != self.last_lsn() {
                    return Err(CommandError("its LSNs contradict each other"));
                }
                Ok(CommandKind::Batch(batch))
            }
            2 => {
                let ((lsn, counters), rest) = postcard::take_from_bytes(body).map_err(malformed)?;
                let mut base = Base { lsn, counters, ..Base::default() };
                let mut rest: &[u8] = rest;
                if !rest.is_empty() {
                    (base.map, rest) = postcard::take_from_bytes(rest).map_err(malformed)?;
                }
                if !rest.is_empty() {
                    base.founding = postcard::from_bytes(rest).map_err(malformed)?;
                }
                Ok(CommandKind::Base(base))
            }
            _ => Ok(CommandKind::Trim { lsn: postcard::from_bytes(body).map_err(malformed)? }),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Command({} bytes, up to lsn {})", self.encoded.len(), self.last_lsn())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Command, D::Error> {
        Command::from_encoded(Bytes::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_without_a_map_is_read() {
        let (lsn, counters) = (Lsn(7), vec![(CounterId(1), 2)]);
        // As it was written before there were maps.
        let mut old = vec![2];
        old.extend(lsn.0.to_le_bytes());
        old.extend(lsn.0.to_le_bytes());
        old.extend(postcard::to_stdvec(&(lsn, &counters)).expect("it serializes"));
        let mut base = Base { lsn, counters, ..Base::default() };
        let read = |bytes: Vec<u8>| Command::from_encoded(bytes.into()).and_then(|command| command.decode());
        assert_eq!(read(old.clone()), Ok(CommandKind::Base(base.clone())));
        // Then there were maps, and no archive.
        old.extend(postcard::to_stdvec(&base.map).expect("it serializes"));
        assert_eq!(read(old), Ok(CommandKind::Base(base.clone())));
        base.founding.generation = 3;
        let base = CommandKind::Base(base);
        assert_eq!(Command::new(&base).and_then(|command| command.decode()), Ok(base));
    }
}
