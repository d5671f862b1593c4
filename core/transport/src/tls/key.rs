//! Private keys that are encrypted with a password, in both ways that PEM has for it: PKCS#8 (RFC 5958),
//! and the older one of OpenSSL, where lines above the key say how (`DEK-Info`, after RFC 1421).

use aes::{Aes128, Aes192, Aes256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyIvInit};
use des::{Des, TdesEde3};
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;

use super::error::TlsError;
use super::pem::{KeySource, PemSource};

impl KeySource {
    /// The first private key in a PEM text, or one in DER, decrypted if need be. `place` is where it
    /// is from, for errors.
    ///
    /// # Errors
    /// There is none; it needs a password, or another one; it is encrypted in a way that is not known.
    pub fn decrypted(key: Vec<u8>, password: Option<&[u8]>, place: &str) -> Result<Self, TlsError> {
        let failed =
            |why| TlsError::Identity(format!("the private key in {place} is encrypted: {why}"));
        let given = || password.ok_or_else(|| TlsError::EncryptedKey(place.to_owned()));
        if is_sequence(&key) {
            return match EncryptedPrivateKeyInfoRef::try_from(&key[..]) {
                Ok(encrypted) => pkcs8(&encrypted, given()?).map(Self::Der).map_err(failed),
                Err(_) => Ok(Self::Der(key)),
            };
        }
        let text = String::from_utf8_lossy(&key);
        let Some(block) = first(&text) else {
            return Err(TlsError::NoKey(place.to_owned()));
        };
        if block.label != "ENCRYPTED PRIVATE KEY" && block.encryption.is_none() {
            return Ok(Self::Pem(PemSource::Bytes(key)));
        }
        block.decrypt(given()?).map(Self::Der).map_err(failed)
    }
}

const WRONG_PASSWORD: &str = "the password is wrong";
const UNKNOWN_WAY: &str = "the way is not supported";

struct Block<'a> {
    label: &'a str,
    /// What `DEK-Info` says: a cipher and its first block, in hexadecimal.
    encryption: Option<&'a str>,
    body: String,
}

/// The first block that is a private key. Parameters of a curve may stand before it.
fn first(text: &str) -> Option<Block<'_>> {
    let mut lines = text.lines().map(str::trim);
    let label = lines.find_map(|line| {
        let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        label.ends_with("PRIVATE KEY").then_some(label)
    })?;
    let (mut encryption, mut body) = (None, String::new());
    for line in lines.take_while(|line| !line.starts_with("-----END ")) {
        match line.split_once(':') {
            Some(("DEK-Info", how)) => encryption = Some(how.trim()),
            Some(_) => {}
            None => body.push_str(line),
        }
    }
    Some(Block {
        label,
        encryption,
        body,
    })
}

impl Block<'_> {
    fn decrypt(&self, password: &[u8]) -> Result<Vec<u8>, &'static str> {
        let body = BASE64_STANDARD.decode(&self.body);
        let body = body.map_err(|_| "it is damaged")?;
        let der = match self.encryption {
            Some(how) => legacy(how, &body, password)?,
            None => {
                let key = EncryptedPrivateKeyInfoRef::try_from(&body[..]);
                pkcs8(&key.map_err(|_| UNKNOWN_WAY)?, password)?
            }
        };
        // Of 256 wrong passwords one leaves a right padding.
        match is_sequence(&der) {
            true => Ok(der),
            false => Err(WRONG_PASSWORD),
        }
    }
}

fn pkcs8(key: &EncryptedPrivateKeyInfoRef<'_>, password: &[u8]) -> Result<Vec<u8>, &'static str> {
    let der = key.decrypt(password).map_err(|_| WRONG_PASSWORD)?;
    Ok(der.as_bytes().to_vec())
}

fn legacy(how: &str, body: &[u8], password: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (cipher, iv) = how.split_once(',').ok_or(UNKNOWN_WAY)?;
    let iv = hexadecimal(iv.trim()).ok_or(UNKNOWN_WAY)?;
    let salt = iv.get(..8).ok_or(UNKNOWN_WAY)?;
    let key = derived(password, salt);
    match cipher.trim() {
        "AES-128-CBC" => decrypted::<Aes128>(&key[..16], &iv, body),
        "AES-192-CBC" => decrypted::<Aes192>(&key[..24], &iv, body),
        "AES-256-CBC" => decrypted::<Aes256>(&key[..32], &iv, body),
        "DES-EDE3-CBC" => decrypted::<TdesEde3>(&key[..24], &iv, body),
        "DES-CBC" => decrypted::<Des>(&key[..8], &iv, body),
        _ => Err(UNKNOWN_WAY),
    }
}

fn decrypted<C>(key: &[u8], iv: &[u8], body: &[u8]) -> Result<Vec<u8>, &'static str>
where
    C: BlockCipherDecrypt,
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| UNKNOWN_WAY)?;
    let plain = cipher.decrypt_padded_vec::<Pkcs7>(body);
    plain.map_err(|_| WRONG_PASSWORD)
}

/// The key as OpenSSL derives it: MD5 over what came before, the password and the salt, over and over.
fn derived(password: &[u8], salt: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    let mut last: Vec<u8> = Vec::new();
    while key.len() < 32 {
        let hash = Md5::new().chain_update(&last);
        last = hash
            .chain_update(password)
            .chain_update(salt)
            .finalize()
            .to_vec();
        key.extend_from_slice(&last);
    }
    key
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    let pairs = digits.chunks(2);
    Some(pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

/// Whether this is one sequence of DER and nothing else, as every private key and certificate is.
pub(super) fn is_sequence(der: &[u8]) -> bool {
    let length = match der {
        [0x30, length @ 0..=0x7f, rest @ ..] => Some((usize::from(*length), rest)),
        [0x30, 0x81, length, rest @ ..] => Some((usize::from(*length), rest)),
        [0x30, 0x82, high, low, rest @ ..] => {
            Some((usize::from(*high) << 8 | usize::from(*low), rest))
        }
        // A long list of revoked certificates.
        [0x30, 0x83, high, middle, low, rest @ ..] => {
            let length = u32::from_be_bytes([0, *high, *middle, *low]);
            Some((length as usize, rest))
        }
        _ => None,
    };
    length.is_some_and(|(length, rest)| length == rest.len())
}
