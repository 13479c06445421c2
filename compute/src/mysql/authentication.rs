//! Passwords: what is kept of them, and how a client proves that it knows one.
//!
//! Kept are the double hashes from which neither plugin's client can be impersonated. Manual: "Pluggable
//! Authentication" (8.4.1), mysql_native_password and caching_sha2_password.

#[cfg(test)]
use mysql_common::scramble;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// Length of the random challenge.
pub const NONCE_BYTES: usize = 20;
pub const NATIVE_PLUGIN: &str = "mysql_native_password";
pub const SHA2_PLUGIN: &str = "caching_sha2_password";

/// What is kept of an account's password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
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
    pub fn by_name(name: &[u8]) -> Option<Plugin> {
        match name {
            b"mysql_native_password" => Some(Plugin::Native),
            b"caching_sha2_password" => Some(Plugin::Sha2),
            _ => None,
        }
    }
}

impl Credential {
    pub fn new(password: &str) -> Credential {
        if password.is_empty() {
            return Credential { hashes: None };
        }
        let native = Sha1::digest(Sha1::digest(password.as_bytes())).into();
        let sha2 = Sha256::digest(Sha256::digest(password.as_bytes())).into();
        Credential { hashes: Some((native, sha2)) }
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
            Plugin::Native => {
                let mut challenge = Sha1::new();
                challenge.update(nonce);
                challenge.update(native);
                let Some(single) = unmask(answer, &challenge.finalize()) else { return false };
                equal_in_constant_time(&Sha1::digest(single), native)
            }
            Plugin::Sha2 => {
                let mut challenge = Sha256::new();
                challenge.update(sha2);
                challenge.update(nonce);
                let Some(single) = unmask(answer, &challenge.finalize()) else { return false };
                equal_in_constant_time(&Sha256::digest(single), sha2)
            }
        }
    }
}

fn unmask(answer: &[u8], mask: &[u8]) -> Option<Vec<u8>> {
    (answer.len() == mask.len()).then(|| answer.iter().zip(mask).map(|(left, right)| left ^ right).collect())
}

fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
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
            let credential = Credential::new("geheim");
            assert!(credential.verify(plugin, &nonce, &answer(plugin, &nonce, "geheim")));
            assert!(!credential.verify(plugin, &nonce, &answer(plugin, &nonce, "falsch")));
            assert!(!credential.verify(plugin, &[8; NONCE_BYTES], &answer(plugin, &nonce, "geheim")));
            assert!(!credential.verify(plugin, &nonce, b""));
            assert!(!credential.verify(plugin, &nonce, &[0; 300]));
            assert!(Credential::new("").verify(plugin, &nonce, b""));
            assert!(!Credential::new("").verify(plugin, &nonce, &answer(plugin, &nonce, "x")));
        }
    }
}
