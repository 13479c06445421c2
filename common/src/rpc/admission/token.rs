//! A join token as text, and what is kept of one: enough to know it again, and not to make it.
//!
//! ```text
//! drumlin-join-1 . digest of the authority's certificate (32 bytes, hex) . id (8) . secret (32)
//! ```

use super::Refusal;
use crate::env::Random;
use crate::rpc::NodeRole;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "drumlin-join-1";
const DIGEST_BYTES: usize = 32;

/// Whoever has it gets a certificate, as often and as long as its record allows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// SHA-256 of the authority's certificate.
    pub(super) authority: [u8; DIGEST_BYTES],
    id: [u8; 8],
    secret: [u8; 32],
}

impl JoinToken {
    /// For a cluster with this authority.
    pub(in crate::rpc) fn draw(authority: &[u8], random: &Random) -> JoinToken {
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        random.fill(&mut id);
        random.fill(&mut secret);
        JoinToken { authority: digest_of(authority), id, secret }
    }

    /// Its name, no secret: that of its record.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// The token as its holder writes it.
    pub fn reveal(&self) -> String {
        [PREFIX, &hex(&self.authority), &hex(&self.id), &hex(&self.secret)].join(".")
    }

    pub fn record(&self, role: NodeRole, expires_us: u64, uses: u32) -> TokenRecord {
        TokenRecord { role, expires_us, uses_left: uses, secret_digest: hex(&digest_of(&self.secret)) }
    }
}

/// Without the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "JoinToken({})", self.id())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this is no join token: one begins with {PREFIX}. and is of one line, as `drumlin cluster token` printed it")]
pub struct NoToken;

impl FromStr for JoinToken {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<JoinToken, NoToken> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [PREFIX, authority, id, secret] = parts[..] else { return Err(NoToken) };
        let part = |text| bytes(text).ok_or(NoToken);
        let fixed = |_| NoToken;
        Ok(JoinToken {
            authority: part(authority)?.try_into().map_err(fixed)?,
            id: part(id)?.try_into().map_err(fixed)?,
            secret: part(secret)?.try_into().map_err(fixed)?,
        })
    }
}

/// What the desk keeps of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    pub role: NodeRole,
    pub expires_us: u64,
    pub uses_left: u32,
    /// SHA-256, hex: secrets are random and long enough for that.
    secret_digest: String,
}

impl TokenRecord {
    /// Takes one use. A wrong secret hears nothing about the record.
    pub fn take(&mut self, token: &JoinToken, now_us: u64) -> Result<NodeRole, Refusal> {
        if !same(self.secret_digest.as_bytes(), hex(&digest_of(&token.secret)).as_bytes()) {
            return Err(Refusal::Unknown);
        }
        if now_us >= self.expires_us {
            return Err(Refusal::Expired);
        }
        self.uses_left = self.uses_left.checked_sub(1).ok_or(Refusal::Used)?;
        Ok(self.role)
    }
}

pub(super) fn digest_of(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Takes as long whether they differ early or late.
fn same(one: &[u8], other: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"comparison");
    hmac::verify(&key, one, hmac::sign(&key, other).as_ref()).is_ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.bytes().all(|digit| digit.is_ascii_hexdigit()) && hex.len().is_multiple_of(2);
    digits.then(|| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken::draw(b"a certificate", &Random::seeded(1))
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let text = token().reveal();
        assert_eq!(text.parse::<JoinToken>().unwrap(), token());
        assert_eq!(format!(" {text}\n").parse::<JoinToken>().unwrap(), token());
        let cut = &text[..text.len() - 2];
        let other = text.replace("join-1", "join-2");
        let long = format!("{text}00");
        for wrong in ["", "drumlin-join-1", "drumlin-join-1...", cut, &other, &long, &text.replace('.', ":"), "é.é.é.é"]
        {
            assert!(wrong.parse::<JoinToken>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let (text, shown) = (token().reveal(), format!("{:?}", token()));
        let secret = text.rsplit('.').next().unwrap();
        assert!(!shown.contains(secret));
        assert!(!format!("{:?}", token().record(NodeRole::Wal, 1, 1)).contains(secret));
    }

    #[test]
    fn a_record_lets_in_so_often_and_so_long() {
        let mut record = token().record(NodeRole::Compute, 100, 2);
        let stranger = JoinToken { secret: [0; 32], ..token() };
        assert_eq!(record.take(&stranger, 1), Err(Refusal::Unknown));
        assert_eq!(record.take(&token(), 100), Err(Refusal::Expired));
        assert_eq!(record.take(&token(), 99), Ok(NodeRole::Compute));
        assert_eq!(record.take(&token(), 1), Ok(NodeRole::Compute));
        assert_eq!(record.take(&token(), 2), Err(Refusal::Used));
        assert_eq!(
            (record.take(&stranger, 200), record.take(&token(), 200)),
            (Err(Refusal::Unknown), Err(Refusal::Expired))
        );
    }
}
