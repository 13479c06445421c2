//! The key pair with which clients of caching_sha2_password send a password where there is no TLS.
//!
//! Made when the first client asks for it, kept in memory: clients ask for the public key at each connection. RSA with
//! OAEP and SHA-1, as MySQL's clients do it; ring has no decryption (docs/decisions/0019-accounts.md). The private
//! operation is blinded, since its time depends on what it is given.

use common::env::random::Random;
use num_bigint::BigUint;
use sha1::{Digest, Sha1};

const KEY_BYTES: usize = 256;
const PUBLIC_EXPONENT: u32 = 65_537;
const SHA1_BYTES: usize = 20;
/// Of Miller and Rabin: a random number of this size that passes so many is no prime with less than 2^-128.
const ROUNDS: usize = 24;

pub struct KeyPair {
    modulus: BigUint,
    private_exponent: BigUint,
    random: Random,
    /// PEM of the public key.
    pub public_pem: String,
}

impl KeyPair {
    /// Takes a good part of a second.
    pub fn generate(random: Random) -> KeyPair {
        let one = BigUint::from(1u8);
        let exponent = BigUint::from(PUBLIC_EXPONENT);
        loop {
            let (p, q) = (prime(&random), prime(&random));
            let totient = (&p - &one) * (&q - &one);
            let modulus = &p * &q;
            if p != q
                && modulus.bits() == 8 * KEY_BYTES as u64
                && let Some(private_exponent) = exponent.modinv(&totient)
            {
                let public_pem = public_pem(&modulus);
                return KeyPair { modulus, private_exponent, random, public_pem };
            }
        }
    }

    /// What a client encrypted; None if it did not use this key.
    pub fn decrypt(&self, message: &[u8]) -> Option<Vec<u8>> {
        let message = (message.len() == KEY_BYTES).then(|| BigUint::from_bytes_be(message))?;
        if message >= self.modulus {
            return None;
        }
        // (m * r^e)^d = m^d * r
        let blind = self.below_modulus();
        let unblind = blind.modinv(&self.modulus)?;
        let blinded = message * blind.modpow(&BigUint::from(PUBLIC_EXPONENT), &self.modulus) % &self.modulus;
        let plain = blinded.modpow(&self.private_exponent, &self.modulus) * unblind % &self.modulus;
        let bytes = plain.to_bytes_be();
        let mut padded = vec![0; KEY_BYTES.checked_sub(bytes.len())?];
        padded.extend(bytes);
        unpad(&padded)
    }

    fn below_modulus(&self) -> BigUint {
        let mut bytes = [0; KEY_BYTES];
        self.random.fill(&mut bytes);
        BigUint::from_bytes_be(&bytes) % &self.modulus
    }
}

/// OAEP without a label.
fn unpad(padded: &[u8]) -> Option<Vec<u8>> {
    let (&first, rest) = padded.split_first()?;
    let (masked_seed, masked_block) = rest.split_at_checked(SHA1_BYTES)?;
    let seed = xor(masked_seed, &mask(masked_block, SHA1_BYTES));
    let block = xor(masked_block, &mask(&seed, masked_block.len()));
    let (label, content) = block.split_at_checked(SHA1_BYTES)?;
    let start = content.iter().position(|byte| *byte != 0)?;
    let right = first == 0 && label == Sha1::digest(b"").as_slice() && content[start] == 1;
    right.then(|| content[start + 1..].to_vec())
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

/// MGF1 with SHA-1.
fn mask(seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(length + SHA1_BYTES);
    let mut counter = 0u32;
    while mask.len() < length {
        mask.extend_from_slice(&Sha1::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize());
        counter += 1;
    }
    mask.truncate(length);
    mask
}

fn prime(random: &Random) -> BigUint {
    loop {
        let mut bytes = [0; KEY_BYTES / 2];
        random.fill(&mut bytes);
        // The product of two has all its bits; and it is odd.
        bytes[0] |= 0xC0;
        bytes[KEY_BYTES / 2 - 1] |= 1;
        let candidate = BigUint::from_bytes_be(&bytes);
        if is_prime(&candidate, random) {
            return candidate;
        }
    }
}

fn is_prime(candidate: &BigUint, random: &Random) -> bool {
    let small = (3u32..2000).step_by(2);
    for divisor in small {
        if candidate % divisor == BigUint::ZERO {
            return *candidate == BigUint::from(divisor);
        }
    }
    let one = BigUint::from(1u8);
    let last = candidate - &one;
    let twos = last.trailing_zeros().unwrap_or(0);
    let odd = &last >> twos;
    'witness: for _ in 0..ROUNDS {
        let mut bytes = [0; KEY_BYTES / 2];
        random.fill(&mut bytes);
        let base = BigUint::from_bytes_be(&bytes) % (candidate - 3u8) + 2u8;
        let mut power = base.modpow(&odd, candidate);
        if power == one || power == last {
            continue;
        }
        for _ in 1..twos {
            power = &power * &power % candidate;
            if power == last {
                continue 'witness;
            }
        }
        return false;
    }
    true
}

/// SubjectPublicKeyInfo of an RSA key in DER, as PEM.
fn public_pem(modulus: &BigUint) -> String {
    // rsaEncryption, NULL.
    const ALGORITHM: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let numbers = [integer(modulus), integer(&BigUint::from(PUBLIC_EXPONENT))].concat();
    let mut bits = vec![0];
    bits.extend(der(0x30, &numbers));
    let key = der(0x30, &[ALGORITHM.to_vec(), der(0x03, &bits)].concat());
    let text = base64(&key);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

fn integer(number: &BigUint) -> Vec<u8> {
    let mut bytes = number.to_bytes_be();
    if bytes[0] >= 0x80 {
        bytes.insert(0, 0);
    }
    der(0x02, &bytes)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..0x80 => out.push(length as u8),
        length => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | bytes.len() as u8);
            out.extend(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let character = ALPHABET[(bits >> (18 - 6 * position) & 63) as usize];
            text.push(if position > group.len() { '=' } else { char::from(character) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_mysql_is_understood() {
        let key = KeyPair::generate(Random::seeded(7));
        let sent = mysql_common::crypto::encrypt(b"geheim\0", key.public_pem.as_bytes());
        assert_eq!(key.decrypt(&sent).as_deref(), Some(&b"geheim\0"[..]));
        let mut damaged = sent.clone();
        damaged[100] ^= 1;
        assert_eq!(key.decrypt(&damaged), None);
        for hostile in [&[][..], &[0; 256], &[255; 256], &sent[1..]] {
            assert_eq!(key.decrypt(hostile), None);
        }
    }
}
