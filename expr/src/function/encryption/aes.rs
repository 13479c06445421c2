//! AES_ENCRYPT and AES_DECRYPT. Manual: "Encryption and Compression Functions" (14.13).
//!
//! The block cipher is a library's; the modes around it are MySQL's list of `block_encryption_mode`. The key is what the
//! key text gives when its bytes are laid over the key's length, again and again, by exclusive or.

use crate::collation::CollationId;
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::result::{characters_max, string};
use crate::function::{Call, argument};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};

const BLOCK_BYTES: usize = 16;

/// The system variable `block_encryption_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AesMode {
    key_bytes: usize,
    chaining: Chaining,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chaining {
    Ecb,
    Cbc,
    Cfb1,
    Cfb8,
    Cfb128,
    Ofb,
}

impl Default for AesMode {
    fn default() -> AesMode {
        AesMode { key_bytes: 16, chaining: Chaining::Ecb }
    }
}

impl AesMode {
    /// `aes-256-cbc` and its like, in any case.
    pub fn parse(text: &str) -> Option<AesMode> {
        let text = text.to_ascii_lowercase();
        let (bits, chaining) = text.strip_prefix("aes-")?.split_once('-')?;
        let key_bytes = match bits {
            "128" => 16,
            "192" => 24,
            "256" => 32,
            _ => return None,
        };
        let chaining = match chaining {
            "ecb" => Chaining::Ecb,
            "cbc" => Chaining::Cbc,
            "cfb1" => Chaining::Cfb1,
            "cfb8" => Chaining::Cfb8,
            "cfb128" => Chaining::Cfb128,
            "ofb" => Chaining::Ofb,
            _ => return None,
        };
        Some(AesMode { key_bytes, chaining })
    }

    /// Whole blocks, filled up at the end; the others are as long as the text.
    fn pads(self) -> bool {
        matches!(self.chaining, Chaining::Ecb | Chaining::Cbc)
    }
}

pub fn encrypted_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let bytes = characters_max(&types[0]).saturating_mul(4);
    Ok(string((bytes / BLOCK_BYTES as u64 + 1).saturating_mul(BLOCK_BYTES as u64), CollationId::BINARY))
}

pub fn decrypted_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(string(characters_max(&types[0]).saturating_mul(4), CollationId::BINARY))
}

pub fn encrypt(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(mut cipher) = Cipher::new("aes_encrypt", arguments, context)? else { return Ok(Value::Null) };
    Ok(Value::bytes(cipher.encrypt(&argument::stored_bytes(call, &arguments[0]))))
}

/// NULL for what cannot be decrypted.
pub fn decrypt(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(mut cipher) = Cipher::new("aes_decrypt", arguments, context)? else { return Ok(Value::Null) };
    Ok(cipher.decrypt(&arguments[0].to_bytes()).map_or(Value::Null, Value::bytes))
}

enum Aes {
    Key128(Aes128),
    Key192(Aes192),
    Key256(Aes256),
}

/// A key with the state of its mode.
struct Cipher {
    aes: Aes,
    mode: AesMode,
    /// What the next block is combined with.
    state: [u8; BLOCK_BYTES],
}

impl Cipher {
    /// None if an argument is NULL.
    fn new(name: &str, arguments: &[Value], context: &EvalContext) -> Result<Option<Cipher>, SqlError> {
        let mode = context.session.block_encryption_mode;
        if mode.chaining != Chaining::Ecb && arguments.len() == 2 {
            let text = format!("Incorrect parameter count in the call to native function '{name}'");
            return Err(SqlError::new(ErrorCode::WRONG_PARAMCOUNT_TO_NATIVE_FCT, text));
        }
        if arguments.iter().take(2).any(Value::is_null) {
            return Ok(None);
        }
        let mut state = [0; BLOCK_BYTES];
        match (arguments.get(2), mode.chaining) {
            (Some(_), Chaining::Ecb) => context.warn(ErrorCode(1618), "<IV> option ignored"),
            (Some(Value::Null), _) => return Ok(None),
            (Some(vector), _) => match vector.to_bytes().get(..BLOCK_BYTES) {
                Some(bytes) => state.copy_from_slice(bytes),
                None => {
                    let text = format!(
                        "The initialization vector supplied to {name} is too short. Must be at least {BLOCK_BYTES} bytes long"
                    );
                    return Err(SqlError::new(ErrorCode(1882), text));
                }
            },
            (None, _) => {}
        }
        let key = folded(&arguments[1].to_bytes(), mode.key_bytes);
        let unusable = |_| SqlError::internal("AES: a key of a wrong length");
        let aes = match mode.key_bytes {
            16 => Aes::Key128(Aes128::new_from_slice(&key).map_err(unusable)?),
            24 => Aes::Key192(Aes192::new_from_slice(&key).map_err(unusable)?),
            _ => Aes::Key256(Aes256::new_from_slice(&key).map_err(unusable)?),
        };
        Ok(Some(Cipher { aes, mode, state }))
    }

    fn forward(&self, block: [u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
        let mut block = Block::from(block);
        match &self.aes {
            Aes::Key128(aes) => aes.encrypt_block(&mut block),
            Aes::Key192(aes) => aes.encrypt_block(&mut block),
            Aes::Key256(aes) => aes.encrypt_block(&mut block),
        }
        block.into()
    }

    fn backward(&self, block: [u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
        let mut block = Block::from(block);
        match &self.aes {
            Aes::Key128(aes) => aes.decrypt_block(&mut block),
            Aes::Key192(aes) => aes.decrypt_block(&mut block),
            Aes::Key256(aes) => aes.decrypt_block(&mut block),
        }
        block.into()
    }

    fn encrypt(&mut self, plain: &[u8]) -> Vec<u8> {
        if !self.mode.pads() {
            return self.stream(plain, true);
        }
        let fill = BLOCK_BYTES - plain.len() % BLOCK_BYTES;
        let mut padded = plain.to_vec();
        padded.resize(plain.len() + fill, fill as u8);
        let mut encrypted = Vec::with_capacity(padded.len());
        for block in padded.chunks_exact(BLOCK_BYTES) {
            let mut input = block_of(block);
            if self.mode.chaining == Chaining::Cbc {
                input = xor(input, self.state);
            }
            self.state = self.forward(input);
            encrypted.extend_from_slice(&self.state);
        }
        encrypted
    }

    fn decrypt(&mut self, encrypted: &[u8]) -> Option<Vec<u8>> {
        if !self.mode.pads() {
            return Some(self.stream(encrypted, false));
        }
        if encrypted.is_empty() || !encrypted.len().is_multiple_of(BLOCK_BYTES) {
            return None;
        }
        let mut plain = Vec::with_capacity(encrypted.len());
        for block in encrypted.chunks_exact(BLOCK_BYTES) {
            let block = block_of(block);
            let mut output = self.backward(block);
            if self.mode.chaining == Chaining::Cbc {
                output = xor(output, self.state);
            }
            self.state = block;
            plain.extend_from_slice(&output);
        }
        let fill = usize::from(*plain.last()?);
        let whole = plain.len().checked_sub(fill).filter(|_| (1..=BLOCK_BYTES).contains(&fill))?;
        plain[whole..].iter().all(|byte| usize::from(*byte) == fill).then(|| plain[..whole].to_vec())
    }

    /// CFB and OFB: the key stream is combined with the text; what is encrypted is fed back into it.
    fn stream(&mut self, input: &[u8], encrypting: bool) -> Vec<u8> {
        let mut output = Vec::with_capacity(input.len());
        match self.mode.chaining {
            Chaining::Cfb1 => {
                for byte in input {
                    let mut combined = 0;
                    for bit in (0..8).rev() {
                        let given = byte >> bit & 1;
                        let made = given ^ self.forward(self.state)[0] >> 7;
                        combined = combined << 1 | made;
                        let encrypted = if encrypting { made } else { given };
                        self.state = (u128::from_be_bytes(self.state) << 1 | u128::from(encrypted)).to_be_bytes();
                    }
                    output.push(combined);
                }
            }
            Chaining::Cfb8 => {
                for byte in input {
                    let made = byte ^ self.forward(self.state)[0];
                    output.push(made);
                    let encrypted = if encrypting { made } else { *byte };
                    self.state = (u128::from_be_bytes(self.state) << 8 | u128::from(encrypted)).to_be_bytes();
                }
            }
            _ => {
                for block in input.chunks(BLOCK_BYTES) {
                    let key = self.forward(self.state);
                    let made: Vec<u8> = block.iter().zip(key).map(|(byte, key)| byte ^ key).collect();
                    // Only the last block is shorter, and nothing comes after it.
                    if block.len() == BLOCK_BYTES {
                        self.state = match (self.mode.chaining, encrypting) {
                            (Chaining::Ofb, _) => key,
                            (_, true) => block_of(&made),
                            (_, false) => block_of(block),
                        };
                    }
                    output.extend(made);
                }
            }
        }
        output
    }
}

fn folded(key: &[u8], bytes: usize) -> Vec<u8> {
    let mut folded = vec![0; bytes];
    for (at, byte) in key.iter().enumerate() {
        folded[at % bytes] ^= byte;
    }
    folded
}

/// Of exactly one block.
fn block_of(bytes: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block.copy_from_slice(bytes);
    block
}

fn xor(left: [u8; BLOCK_BYTES], right: [u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
    std::array::from_fn(|at| left[at] ^ right[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::SessionInfo;
    use crate::function;
    use std::sync::Arc;

    fn run(mode: &str, function: &str, arguments: &[Value]) -> Result<Value, SqlError> {
        let session = SessionInfo { block_encryption_mode: AesMode::parse(mode).unwrap(), ..SessionInfo::default() };
        let context = EvalContext { session: Arc::new(session), ..EvalContext::constant() };
        let types = [MysqlType::null(), MysqlType::null()];
        let call = Call { argument_types: &types, result_type: &types[0] };
        (function::lookup(function).unwrap().evaluate)(&call, arguments, &context)
    }

    fn text(value: &str) -> Value {
        Value::text(value)
    }

    /// Answers of MySQL 8.
    #[test]
    fn each_mode_encrypts_as_mysql_does_and_back() {
        let vector = "1234567890123456";
        let known = [
            ("aes-128-ecb", "45ABDD5C4802EFA6771A94C43F805208"),
            ("aes-128-cbc", "80D5646F07B4654B05A02D9085759770"),
            ("aes-128-ofb", "48E38A"),
        ];
        for (mode, encrypted) in known {
            let made = run(mode, "AES_ENCRYPT", &[text("123"), text("foobar"), text(vector)]).unwrap();
            assert_eq!(hex::encode_upper(made.to_bytes()), encrypted, "{mode}");
        }
        for bits in [128, 192, 256] {
            for chaining in ["ecb", "cbc", "cfb1", "cfb8", "cfb128", "ofb"] {
                let mode = format!("aes-{bits}-{chaining}");
                for plain in ["", "x", "exactly 16 bytes", "a longer text, of several blocks, and a rest"] {
                    let made = run(&mode, "AES_ENCRYPT", &[text(plain), text("key"), text(vector)]).unwrap();
                    let back = run(&mode, "AES_DECRYPT", &[made, text("key"), text(vector)]).unwrap();
                    assert_eq!(back.to_bytes(), plain.as_bytes(), "{mode}: {plain}");
                }
            }
        }
    }

    #[test]
    fn what_was_not_encrypted_so_is_null() {
        let strange = run("aes-128-ecb", "AES_DECRYPT", &[text("SOME_THING_STRANGE"), text("foobar")]).unwrap();
        assert!(strange.is_null());
        let wrong_key = run("aes-128-ecb", "AES_DECRYPT", &[text("0123456789abcdef"), text("foobar")]).unwrap();
        assert!(wrong_key.is_null());
        let short = run("aes-128-cbc", "AES_ENCRYPT", &[text("1"), text("k"), text("short")]).unwrap_err();
        assert_eq!(short.code, ErrorCode(1882));
        assert_eq!(run("aes-128-cbc", "AES_ENCRYPT", &[text("1"), text("k")]).unwrap_err().code, ErrorCode(1582));
    }
}
