//! The keys that tokens are checked by.

use std::fmt;
use std::path::Path;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use crate::text::{FileError, read_file};

/// Keys of one file: a token without a `kid` is checked by each of them.
const MAX_KEYS: usize = 100;

/// Bytes of a secret: with fewer than the hash has it is guessed from one token (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// What stands in a file of keys: a set of JSON Web Keys, a public key in PEM, or else a secret for HMAC.
pub struct Keys(Vec<Key>);

pub(super) struct Key {
    /// Its `kid`; one without fits every token.
    id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

impl Keys {
    /// Reads a file. A line end behind a secret is none of it.
    ///
    /// # Errors
    /// It can't be read, or holds no key that is of use here. No secret is in what is told.
    pub fn read(path: &Path) -> Result<Self, Vec<FileError>> {
        let text = read_file(path)?;
        Self::parse(&text).map_err(|what| vec![FileError::of_all(path, what)])
    }

    fn parse(text: &str) -> Result<Self, String> {
        let keys = match text {
            _ if text.trim_start().starts_with('{') => set(text)?,
            _ if text.contains("-----BEGIN") => vec![of_pem(text.as_bytes())?],
            _ => vec![secret(text.strip_suffix('\n').unwrap_or(text))?],
        };
        Self::of(keys)
    }

    /// Of a set of JSON Web Keys and nothing else: what somebody answers is no secret.
    pub(super) fn of_set(text: &str) -> Result<Self, String> {
        // What is wrong is not quoted, for what it is nobody knows.
        Self::of(set(text).map_err(|_| "no set of JSON Web Keys".to_owned())?)
    }

    fn of(keys: Vec<Key>) -> Result<Self, String> {
        match keys.len() {
            0 => Err("there is no key in it that tokens can be checked by".to_owned()),
            1..=MAX_KEYS => Ok(Self(keys)),
            _ => Err(format!("more than {MAX_KEYS} keys")),
        }
    }

    /// Those that a token with this header may be signed with.
    pub(super) fn fitting(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| {
            let named = key.id.is_none() || kid.is_none() || key.id.as_deref() == kid;
            named && key.algorithms.contains(&algorithm)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a file without a key is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.len()).finish()
    }
}

impl Key {
    fn new(key: DecodingKey) -> Self {
        Self {
            id: None,
            algorithms: key.family().algorithms().to_vec(),
            key,
        }
    }
}

fn secret(secret: &str) -> Result<Key, String> {
    if secret.len() < MIN_SECRET {
        return Err(format!("a secret has {MIN_SECRET} bytes at least"));
    }
    Ok(Key::new(DecodingKey::from_secret(secret.as_bytes())))
}

fn of_pem(pem: &[u8]) -> Result<Key, String> {
    let read = DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem));
    let key = read.map_err(|_| "no public key in PEM: RSA, P-256, P-384 and Ed25519 are known")?;
    Ok(Key::new(key))
}

fn set(text: &str) -> Result<Vec<Key>, String> {
    let set: JwkSet =
        serde_json::from_str(text).map_err(|error| format!("no set of JSON Web Keys: {error}"))?;
    Ok(set.keys.iter().filter_map(of_jwk).collect())
}

/// Keys for something else are passed over, as RFC 7517 wants it.
fn of_jwk(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    if matches!(&common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
        return None;
    }
    let operations = common.key_operations.as_ref();
    if operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(parameters)
            if parameters.curve != EllipticCurve::Ed25519 =>
        {
            return None;
        }
        _ => key.family().algorithms().to_vec(),
    };
    let short = |key: &DecodingKey| key.try_get_as_bytes().is_ok_and(|k| k.len() < MIN_SECRET);
    if key.family() == AlgorithmFamily::Hmac && short(&key) {
        return None;
    }
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| named(*algorithm) == Some(only));
    }
    (!algorithms.is_empty()).then(|| Key {
        id: common.key_id.as_deref().map(Into::into),
        algorithms,
        key,
    })
}

fn named(algorithm: Algorithm) -> Option<KeyAlgorithm> {
    format!("{algorithm:?}").parse().ok()
}
