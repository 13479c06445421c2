//! A client that sends whatever bytes a test wants, and reads packets as they come.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// No answer within this is a hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

pub const LONG_PASSWORD: u32 = 1;
pub const PROTOCOL_41: u32 = 1 << 9;
pub const SECURE_CONNECTION: u32 = 1 << 15;
pub const MULTI_STATEMENTS: u32 = 1 << 16;
pub const PLUGIN_AUTH: u32 = 1 << 19;
pub const SESSION_TRACK: u32 = 1 << 23;
pub const DEPRECATE_EOF: u32 = 1 << 24;
pub const PLAIN: u32 = LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;

pub struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Connected; the greeting is read.
    pub fn connect(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Wire { stream };
        wire.packet().unwrap();
        wire
    }

    /// Says before the login that it speaks for somebody else, and logs in as a user without a password. The answer.
    pub fn log_in_through(address: SocketAddr, header: &[u8], user: &str) -> Vec<u8> {
        let mut wire = Wire::connect(address);
        let login = login_of(user, PLAIN);
        wire.send_raw(&[header, &framed(1, &login)].concat()).unwrap();
        wire.packet().unwrap_or_default()
    }

    /// Logged in as root without a password. Capabilities as the client announces them.
    pub fn log_in(address: SocketAddr, capabilities: u32) -> Wire {
        let mut wire = Wire::connect(address);
        wire.send(1, &login(capabilities));
        let answer = wire.packet().unwrap();
        assert_eq!(answer[0], 0, "OK: {answer:?}");
        wire
    }

    pub fn send(&mut self, sequence: u8, payload: &[u8]) {
        self.send_raw(&framed(sequence, payload)).unwrap();
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn command(&mut self, code: u8, payload: &[u8]) {
        self.send(0, &[&[code], payload].concat());
    }

    pub fn query(&mut self, text: &str) {
        self.command(3, text.as_bytes());
    }

    /// The next packet's payload.
    pub fn packet(&mut self) -> io::Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok(payload)
    }

    /// Packets up to an EOF (of a client without DEPRECATE_EOF), an OK or an error, which is the last of them.
    pub fn packets_to_end(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        loop {
            let packet = self.packet().unwrap();
            let end = matches!(packet.first(), Some(0xff)) || (packet[0] == 0xfe && packet.len() < 9);
            packets.push(packet);
            if end {
                return packets;
            }
        }
    }

    /// Reads until `mark` comes, or the server closes the connection. A server that does neither fails the test.
    pub fn read_to(&mut self, mark: &[u8]) -> bool {
        let mut seen = Vec::new();
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => seen.extend_from_slice(&chunk[..length]),
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                    return false;
                }
                // This process was stopped meanwhile.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("no answer and no end: {error}"),
            }
            if seen.windows(mark.len()).any(|window| window == mark) {
                return true;
            }
            seen.drain(..seen.len().saturating_sub(mark.len()));
        }
    }

    /// Says that nothing more will come, and reads what is left.
    pub fn finish(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection does not end"),
                Err(_) => return,
            }
        }
    }
}

pub fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(sequence);
    packet.extend_from_slice(payload);
    packet
}

/// A handshake response of root without a password.
pub fn login(capabilities: u32) -> Vec<u8> {
    login_of("root", capabilities)
}

/// A handshake response without a password.
pub fn login_of(user: &str, capabilities: u32) -> Vec<u8> {
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend_from_slice(&(64u32 << 20).to_le_bytes());
    payload.push(45);
    payload.extend_from_slice(&[0; 23]);
    payload.extend_from_slice(user.as_bytes());
    payload.extend_from_slice(b"\0\0mysql_native_password\0");
    payload
}
