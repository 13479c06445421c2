//! What is read of a client, one function after another: see `crate::fuzz`.

use super::command::Command;
use super::compression::{self, Algorithm, Frames};
use super::parameters::{self, Attributes};
use super::{certificate, handshake, proxy};
use bytes::BytesMut;
use expr::collation::Charset;
use mysql_common::io::ParseBuf;
use mysql_common::packets::HandshakeResponse;
use mysql_common::proto::MyDeserialize;

/// More than a statement of these bytes could have.
const PARAMETERS_MAX: usize = 20;

pub fn message(bytes: &[u8]) {
    if let Ok(response) = HandshakeResponse::deserialize((), &mut ParseBuf(bytes)) {
        let _ = (response.user(), response.db_name(), response.scramble_buf(), response.auth_plugin());
        let _ = (response.collation(), response.connect_attributes());
        let _ = handshake::compression(response.capabilities(), bytes);
    }
    let Ok(command) = Command::decode(bytes) else { return };
    match command {
        Command::Query(text) => {
            for charset in [Charset::Utf8mb4, Charset::Latin1] {
                let _ = parameters::past_attributes(text, charset);
                let _ = super::character_set::statement(text, charset);
            }
        }
        Command::Execute { payload, .. } => {
            for count in 0..PARAMETERS_MAX {
                for attributes in [Attributes::Unknown, Attributes::Named { counted: false }] {
                    let mut long_data = [None, Some(payload.to_vec())];
                    let (mut types, data) = (Vec::new(), &mut long_data[..count.min(2)]);
                    if let Ok(values) =
                        parameters::decode(payload, Charset::Utf8mb4, count, attributes, &mut types, data)
                    {
                        assert_eq!(values.len(), count);
                    }
                }
            }
        }
        _ => {}
    }
}

pub fn envelope(bytes: &[u8]) {
    proxy::read(bytes);
    if let Some(names) = certificate::names(bytes) {
        assert!(names.subject.is_ascii() && names.issuer.is_ascii(), "what is not ASCII is escaped");
    }
    for algorithm in [Algorithm::Zlib, Algorithm::Zstd(3)] {
        let (mut frames, mut wire, mut packets) = (Frames::new(algorithm), BytesMut::from(bytes), BytesMut::new());
        while compression::is_whole(&wire) && frames.open(&mut wire, &mut packets).is_ok() {}
    }
}
