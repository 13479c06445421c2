//! How passwords are kept: in MySQL's own forms, so that accounts of a dump come with theirs.
//!
//! mysql_native_password: `*` and SHA1(SHA1(password)) in hexadecimal. caching_sha2_password: `$A$005$`, 20 bytes of salt
//! and 43 characters of SHA-crypt's digest with 5000 rounds. Hashing the latter takes milliseconds on purpose: callers do
//! it where nobody waits for the thread.

use common::env::random::Random;
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const NATIVE_PLUGIN: &str = "mysql_native_password";
pub const SHA2_PLUGIN: &str = "caching_sha2_password";

/// A password on its way to its hash. Debug does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret(..)")
    }
}

const SHA2_PREFIX: &str = "$A$";
const SALT_BYTES: usize = 20;
const DIGEST_CHARACTERS: usize = 43;
/// Thousands of rounds, as MySQL writes them: `005`.
const THOUSANDS: u32 = 5;

/// Whether accounts may name it.
pub fn is_plugin(name: &str) -> bool {
    name == NATIVE_PLUGIN || name == SHA2_PLUGIN
}

/// What is stored of a password. Empty for an empty one.
pub fn hash(plugin: &str, password: &str, random: &Random) -> String {
    if password.is_empty() {
        return String::new();
    }
    if plugin == NATIVE_PLUGIN {
        return native(password);
    }
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt);
    // Characters that need no quoting, in SQL or here.
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let salt: String = salt.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect();
    let digest = sha_crypt(password.as_bytes(), salt.as_bytes(), THOUSANDS * 1000);
    format!("{SHA2_PREFIX}{THOUSANDS:03}${salt}{digest}")
}

fn native(password: &str) -> String {
    let digest = Sha1::digest(Sha1::digest(password.as_bytes()));
    digest.iter().fold("*".to_owned(), |text, byte| text + &format!("{byte:02X}"))
}

/// SHA1(SHA1(password)) of a stored hash, if it is one of mysql_native_password.
pub fn native_digest(stored: &str) -> Option<[u8; 20]> {
    let digits = stored.strip_prefix('*').filter(|digits| digits.len() == 40 && digits.is_ascii())?;
    let mut digest = [0; 20];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// SHA256(SHA256(password)): what the short exchange of caching_sha2_password compares with.
pub fn fast_digest(password: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(password)).into()
}

/// Whether a text given with AS has the plugin's form.
pub fn is_hash(plugin: &str, stored: &str) -> bool {
    stored.is_empty() || if plugin == NATIVE_PLUGIN { native_digest(stored).is_some() } else { parts(stored).is_some() }
}

/// Whether the password is the stored one, whatever plugin stored it.
pub fn verify(stored: &str, password: &str) -> bool {
    if stored.is_empty() || password.is_empty() {
        return stored.is_empty() && password.is_empty();
    }
    match parts(stored) {
        Some((rounds, salt, digest)) => {
            let made = sha_crypt(password.as_bytes(), salt.as_bytes(), rounds);
            equal_in_constant_time(made.as_bytes(), digest.as_bytes())
        }
        None => equal_in_constant_time(native(password).as_bytes(), stored.to_ascii_uppercase().as_bytes()),
    }
}

/// Rounds, salt and digest. The rounds of a hostile text are bounded.
fn parts(stored: &str) -> Option<(u32, &str, &str)> {
    const THOUSANDS_MAX: u32 = 0xFFF;
    let rest = stored.strip_prefix(SHA2_PREFIX)?;
    let (thousands, rest) = rest.split_once('$')?;
    let thousands = u32::from_str_radix(thousands, 16).ok().filter(|count| (1..=THOUSANDS_MAX).contains(count))?;
    if rest.len() != SALT_BYTES + DIGEST_CHARACTERS || !rest.is_char_boundary(SALT_BYTES) {
        return None;
    }
    let (salt, digest) = rest.split_at(SALT_BYTES);
    Some((thousands * 1000, salt, digest))
}

pub fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// SHA-crypt with SHA-256, as specified by U. Drepper, with salts of any length. The digest in its base 64.
fn sha_crypt(password: &[u8], salt: &[u8], rounds: u32) -> String {
    let alternate = Sha256::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut context = Sha256::new().chain_update(password).chain_update(salt);
    context.update(repeated(&alternate, password.len()));
    let mut length = password.len();
    while length > 0 {
        if length & 1 == 1 {
            context.update(alternate)
        } else {
            context.update(password)
        }
        length >>= 1;
    }
    let mut digest = context.finalize();
    let mut of_password = Sha256::new();
    for _ in 0..password.len() {
        of_password.update(password);
    }
    let password_bytes = repeated(&of_password.finalize(), password.len());
    let mut of_salt = Sha256::new();
    for _ in 0..16 + usize::from(digest[0]) {
        of_salt.update(salt);
    }
    let salt_bytes = repeated(&of_salt.finalize(), salt.len());
    for round in 0..rounds {
        let mut context = Sha256::new();
        if round & 1 == 1 {
            context.update(&password_bytes)
        } else {
            context.update(digest)
        }
        if round % 3 != 0 {
            context.update(&salt_bytes);
        }
        if round % 7 != 0 {
            context.update(&password_bytes);
        }
        if round & 1 == 1 {
            context.update(digest)
        } else {
            context.update(&password_bytes)
        }
        digest = context.finalize();
    }
    encode(&digest)
}

fn repeated(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(length).collect()
}

/// The digest's bytes in SHA-crypt's order, six bits a character.
fn encode(digest: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(DIGEST_CHARACTERS);
    let mut put = |mut bits: u32, characters: usize| {
        for _ in 0..characters {
            text.push(char::from(ALPHABET[(bits & 63) as usize]));
            bits >>= 6;
        }
    };
    const ORDER: [[usize; 3]; 10] = [
        [0, 10, 20],
        [21, 1, 11],
        [12, 22, 2],
        [3, 13, 23],
        [24, 4, 14],
        [15, 25, 5],
        [6, 16, 26],
        [27, 7, 17],
        [18, 28, 8],
        [9, 19, 29],
    ];
    for group in ORDER {
        let [first, second, third] = group.map(|at| u32::from(digest[at]));
        put(first << 16 | second << 8 | third, 4);
    }
    put(u32::from(digest[31]) << 8 | u32::from(digest[30]), 3);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha_crypt_gives_the_published_answers() {
        let made = sha_crypt(b"Hello world!", b"saltstring", 5000);
        assert_eq!(made, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
    }

    #[test]
    fn only_the_password_itself_is_accepted() {
        let random = Random::system();
        assert_eq!(hash(NATIVE_PLUGIN, "root", &random), "*81F5E21E35407D884A6CD4A731AEBFB6AF209E1B");
        for plugin in [NATIVE_PLUGIN, SHA2_PLUGIN] {
            let stored = hash(plugin, "geheim", &random);
            assert!(is_hash(plugin, &stored) && verify(&stored, "geheim"));
            assert!(!verify(&stored, "falsch") && !verify(&stored, ""));
            assert!(!verify(&hash(plugin, "", &random), "x") && verify("", ""));
        }
        for hostile in ["$A$005$", "$A$FFFFFFFF$", "$A$000$", "*", "*\u{e9}", "nothing"] {
            assert!(!is_hash(SHA2_PLUGIN, hostile) && !verify(hostile, "x"));
        }
    }
}
