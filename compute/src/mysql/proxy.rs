//! Headers of the PROXY protocol, versions 1 and 2: a balancer says who the client is that it speaks for.
//! Specification: HAProxy's `proxy-protocol.txt`.
//!
//! A header stands before the client's first packet. It is taken from networks that the operator trusts; there it may be
//! missing. From anybody else it is no handshake, and refused as such.

use super::packet::{PacketError, PacketStream};
use ipnet::IpNet;
use ppp::v2::Command;
use ppp::{HeaderResult, PartialResult};
use std::net::{IpAddr, SocketAddr};

/// A header that goes on for longer is none.
const HEADER_BYTES_MAX: usize = 4096;
const BEGINNING_V1: &[u8] = b"PROXY ";
const BEGINNING_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// The client's packet stands there.
    None,
    /// The balancer speaks for itself: it looks whether the server is there.
    Local,
    /// The client, and the header's length.
    Client(SocketAddr),
}

/// Whose balancers are believed.
pub fn is_trusted(networks: &[IpNet], peer: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&peer.to_canonical()))
}

/// Takes a header out of the stream, if one stands there.
pub async fn take(packets: &mut PacketStream) -> Result<Header, PacketError> {
    let mut wanted = BEGINNING_V1.len();
    loop {
        let bytes = packets.peek(wanted).await?;
        match parse(bytes) {
            Parsed::NoHeader => return Ok(Header::None),
            Parsed::Whole(header, length) => {
                packets.discard(length);
                return Ok(header);
            }
            Parsed::Part => wanted = bytes.len() + 1,
            Parsed::Wrong => return Err(PacketError::OutOfOrder),
        }
        if wanted > HEADER_BYTES_MAX {
            return Err(PacketError::TooLarge { limit: HEADER_BYTES_MAX });
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    NoHeader,
    Part,
    Whole(Header, usize),
    Wrong,
}

/// What a header would say; of bytes that come from anywhere.
pub fn read(bytes: &[u8]) {
    if let Parsed::Whole(_, length) = parse(bytes) {
        assert!(length <= bytes.len(), "a header ends within what was read");
    }
}

fn parse(bytes: &[u8]) -> Parsed {
    let begins = |beginning: &[u8]| bytes.iter().zip(beginning).all(|(byte, expected)| byte == expected);
    if !begins(BEGINNING_V1) && !begins(BEGINNING_V2) {
        return Parsed::NoHeader;
    }
    let result = HeaderResult::parse(bytes);
    if result.is_incomplete() {
        return Parsed::Part;
    }
    match result {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                ppp::v1::Addresses::Tcp4(it) => Header::Client((it.source_address, it.source_port).into()),
                ppp::v1::Addresses::Tcp6(it) => Header::Client((it.source_address, it.source_port).into()),
                ppp::v1::Addresses::Unknown => Header::Local,
            };
            Parsed::Whole(client, header.header.len())
        }
        HeaderResult::V2(Ok(header)) => {
            let client = match (header.command, header.addresses) {
                (Command::Proxy, ppp::v2::Addresses::IPv4(it)) => {
                    Header::Client((it.source_address, it.source_port).into())
                }
                (Command::Proxy, ppp::v2::Addresses::IPv6(it)) => {
                    Header::Client((it.source_address, it.source_port).into())
                }
                _ => Header::Local,
            };
            Parsed::Whole(client, header.len())
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Parsed::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 3306\r\n";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x9c\x40\x0c\xea";

    #[tokio::test]
    async fn a_header_is_taken_and_what_follows_stays() {
        let client = Header::Client(([203, 0, 113, 7], 40_000).into());
        for (header, expected) in [
            (V1, client),
            (V2, Header::Client(([203, 0, 113, 7], 40_000).into())),
            (b"PROXY UNKNOWN\r\n".as_slice(), Header::Local),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", Header::Local),
            (b"", Header::None),
        ] {
            let (mut near, far) = tokio::io::duplex(1 << 10);
            // Byte by byte, as a network may bring it.
            let sent = [header, &[2, 0, 0, 0, 9, 8, 7, 7, 7]].concat();
            let sender = tokio::spawn(async move {
                for byte in sent {
                    near.write_all(&[byte]).await.unwrap();
                    near.flush().await.unwrap();
                }
                near
            });
            let mut packets = PacketStream::new(Box::new(far));
            assert_eq!(take(&mut packets).await.unwrap(), expected);
            assert_eq!(packets.read(100).await.unwrap(), [9, 8]);
            drop(sender.await);
        }
    }

    #[test]
    fn networks_are_matched() {
        let networks = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        assert!(is_trusted(&networks, "10.1.2.3".parse().unwrap()));
        assert!(is_trusted(&networks, "::ffff:10.1.2.3".parse().unwrap()));
        assert!(is_trusted(&networks, "::1".parse().unwrap()));
        assert!(!is_trusted(&networks, "11.1.2.3".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(start in 0..3usize, bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0..60usize) {
            let beginning = [&b""[..], V1, V2][start];
            parse(&[&beginning[..cut.min(beginning.len())], &bytes].concat());
        }
    }
}
