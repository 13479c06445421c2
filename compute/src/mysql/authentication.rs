//! How a client proves in one answer that it knows a password, and the password that the server was started with.
//! Manual: "Pluggable Authentication" (8.4.1), mysql_native_password and caching_sha2_password.

use crate::account::password::{NATIVE_PLUGIN, SHA2_PLUGIN, equal_in_constant_time};
#[cfg(test)]
use mysql_common::scramble;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// Length of the random challenge.
pub const NONCE_BYTES: usize = 20;

/// What is kept of the password that the server was started with, in memory only.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerPassword {
    /// SHA1(SHA1(password)) and SHA256(SHA256(password)); none for an empty password.
    hashes: Option<([u8; 20], [u8; 32])>,
}

/// How a client proves its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    Native,
    Sha2,
}

impl Plugin {
    pub fn name(self) -> &'static str {
        match self {
            Plugin::Native => NATIVE_PLUGIN,
            Plugin::Sha2 => SHA2_PLUGIN,
        }
    }
}

impl ServerPassword {
    pub fn new(password: &str) -> ServerPassword {
        if password.is_empty() {
            return ServerPassword { hashes: None };
        }
        let native = Sha1::digest(Sha1::digest(password.as_bytes())).into();
        let sha2 = Sha256::digest(Sha256::digest(password.as_bytes())).into();
        ServerPassword { hashes: Some((native, sha2)) }
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_none()
    }

    /// Whether `answer` is what a client that knows the password sends to the challenge `nonce`.
    pub fn verify(&self, plugin: Plugin, nonce: &[u8; NONCE_BYTES], answer: &[u8]) -> bool {
        let Some((native, sha2)) = &self.hashes else {
            // caching_sha2 clients send a single zero byte for an empty password.
            return answer.is_empty() || answer == [0];
        };
        match plugin {
            Plugin::Native => native_fits(native, nonce, answer),
            Plugin::Sha2 => sha2_fits(sha2, nonce, answer),
        }
    }
}

/// Whether an answer is made from the password with this SHA1(SHA1(password)).
pub fn native_fits(digest: &[u8; 20], nonce: &[u8; NONCE_BYTES], answer: &[u8]) -> bool {
    let challenge = Sha1::new().chain_update(nonce).chain_update(digest).finalize();
    let Some(single) = unmask(answer, &challenge) else { return false };
    equal_in_constant_time(&Sha1::digest(single), digest)
}

/// Whether an answer is made from the password with this SHA256(SHA256(password)).
pub fn sha2_fits(digest: &[u8; 32], nonce: &[u8; NONCE_BYTES], answer: &[u8]) -> bool {
    let challenge = Sha256::new().chain_update(digest).chain_update(nonce).finalize();
    let Some(single) = unmask(answer, &challenge) else { return false };
    equal_in_constant_time(&Sha256::digest(single), digest)
}

fn unmask(answer: &[u8], mask: &[u8]) -> Option<Vec<u8>> {
    (answer.len() == mask.len()).then(|| answer.iter().zip(mask).map(|(left, right)| left ^ right).collect())
}

/// What a client answers to a challenge.
#[cfg(test)]
pub fn answer(plugin: Plugin, nonce: &[u8; NONCE_BYTES], password: &str) -> Vec<u8> {
    match plugin {
        Plugin::Native => scramble::scramble_native(nonce, password.as_bytes()).map(Vec::from),
        Plugin::Sha2 => scramble::scramble_sha256(nonce, password.as_bytes()).map(Vec::from),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_is_accepted() {
        let nonce = [7; NONCE_BYTES];
        for plugin in [Plugin::Native, Plugin::Sha2] {
            let credential = ServerPassword::new("geheim");
            assert!(credential.verify(plugin, &nonce, &answer(plugin, &nonce, "geheim")));
            assert!(!credential.verify(plugin, &nonce, &answer(plugin, &nonce, "falsch")));
            assert!(!credential.verify(plugin, &[8; NONCE_BYTES], &answer(plugin, &nonce, "geheim")));
            assert!(!credential.verify(plugin, &nonce, b""));
            assert!(!credential.verify(plugin, &nonce, &[0; 300]));
            assert!(ServerPassword::new("").verify(plugin, &nonce, b""));
            assert!(!ServerPassword::new("").verify(plugin, &nonce, &answer(plugin, &nonce, "x")));
        }
    }
}
