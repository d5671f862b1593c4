//! The two hash functions of SCRAM here, and what it makes of them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Hash {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name of the mechanism: MQTT's Authentication Method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The hash function of a mechanism, `None` for an unknown one. With channel binding
    /// (`-PLUS`) there is none.
    pub fn from_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.method() == method)
    }

    /// Bytes of a hash, and so of a key.
    pub(super) const fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    pub(super) fn digest(self, bytes: &[u8]) -> Box<[u8]> {
        match self {
            Self::Sha256 => Box::from(&Sha256::digest(bytes)[..]),
            Self::Sha512 => Box::from(&Sha512::digest(bytes)[..]),
        }
    }

    pub(super) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Box<[u8]> {
        fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Box<[u8]> {
            let mut mac =
                <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
            for part in parts {
                mac.update(part);
            }
            Box::from(&mac.finalize().into_bytes()[..])
        }
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, parts),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, parts),
        }
    }

    /// RFC 5802's `Hi`. Slow on purpose: nothing for a shard's thread.
    pub(super) fn salted_password(
        self,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Box<[u8]> {
        let mut out = vec![0; self.output_len()].into_boxed_slice();
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out),
        }
        out
    }
}
