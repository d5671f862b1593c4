//! What is stored of a password: enough to check it, too little to know it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;

use super::hash::Hash;

/// Fewest iterations of the password's hash (RFC 7677, section 4).
pub const MIN_ITERATIONS: u32 = 4096;

/// Iterations of new credentials: some tens of milliseconds for whoever guesses one password, and
/// the same for each client that logs in.
pub const DEFAULT_ITERATIONS: u32 = 100_000;

/// Beyond this one login takes seconds.
const MAX_ITERATIONS: u32 = 10_000_000;

/// Bytes of a salt.
const SALT_LEN: RangeInclusive<usize> = 8..=256;

/// Bytes of the salts made here.
const NEW_SALT_LEN: usize = 16;

/// What is stored of one user's password for one mechanism (RFC 5802, section 3).
///
/// As text it is `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, salt and keys in base64: the
/// form of RFC 5803 that PostgreSQL stores too. The text is a secret: it lets nobody log in, but
/// lets guesses of the password be tried, and lets a server be impersonated.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) hash: Hash,
    pub(super) iterations: u32,
    pub(super) salt: Box<[u8]>,
    pub(super) stored_key: Box<[u8]>,
    pub(super) server_key: Box<[u8]>,
}

/// Why there are no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialsError(pub(super) &'static str);

impl Credentials {
    /// Credentials of a password with a salt of the system's randomness. Takes its time.
    ///
    /// # Errors
    /// The password is empty or has characters that SASLprep (RFC 4013) forbids, such as control
    /// characters; the iterations are out of bounds; the system has no randomness.
    pub fn new(hash: Hash, password: &str, iterations: u32) -> Result<Self, CredentialsError> {
        let mut salt = [0; NEW_SALT_LEN];
        getrandom::fill(&mut salt).map_err(|_| CredentialsError("the system has no randomness"))?;
        Self::derive(hash, password, &salt, iterations)
    }

    /// The same with a given salt.
    ///
    /// # Errors
    /// As [`Credentials::new`], and a salt of less than 8 or more than 256 bytes.
    pub fn derive(
        hash: Hash,
        password: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, CredentialsError> {
        check(iterations, salt)?;
        let password = stringprep::saslprep(password)
            .map_err(|_| CredentialsError("the password has characters that SASLprep forbids"))?;
        if password.is_empty() {
            return Err(CredentialsError("the password is empty"));
        }
        let salted = hash.salted_password(password.as_bytes(), salt, iterations);
        let client_key = hash.hmac(&salted, &[b"Client Key"]);
        Ok(Self {
            hash,
            iterations,
            salt: salt.into(),
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(&salted, &[b"Server Key"]),
        })
    }

    /// Whether this is the password. Takes as long as deriving it did.
    pub fn is_password(&self, password: &[u8]) -> bool {
        let text = std::str::from_utf8(password).ok();
        let Some(prepared) = text.and_then(|text| stringprep::saslprep(text).ok()) else {
            return false;
        };
        let hash = self.hash;
        let salted = hash.salted_password(prepared.as_bytes(), &self.salt, self.iterations);
        let client_key = hash.hmac(&salted, &[b"Client Key"]);
        self.is_client_key(&client_key)
    }

    /// For which mechanism they are.
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The secret text of them, which parses back.
    pub fn to_text(&self) -> String {
        format!(
            "{}${}:{}${}:{}",
            self.hash.method(),
            self.iterations,
            BASE64_STANDARD.encode(&self.salt),
            BASE64_STANDARD.encode(&self.stored_key),
            BASE64_STANDARD.encode(&self.server_key),
        )
    }

    pub(super) fn is_client_key(&self, client_key: &[u8]) -> bool {
        self.hash.digest(client_key).ct_eq(&self.stored_key).into()
    }
}

impl FromStr for Credentials {
    type Err = CredentialsError;

    fn from_str(text: &str) -> Result<Self, CredentialsError> {
        let form = CredentialsError(
            "not of the form SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY that `ternmq passwd` \
             prints",
        );
        let mut parts = text.split('$');
        let (Some(method), Some(how), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form);
        };
        let hash = Hash::from_method(method).ok_or(CredentialsError(
            "neither SCRAM-SHA-256 nor SCRAM-SHA-512 credentials",
        ))?;
        let (iterations, salt) = how.split_once(':').ok_or(form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(form)?;
        let bytes = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| form);
        let (salt, stored_key, server_key) = (bytes(salt)?, bytes(stored_key)?, bytes(server_key)?);
        let iterations = iterations.parse().map_err(|_| form)?;
        check(iterations, &salt)?;
        if stored_key.len() != hash.output_len() || server_key.len() != hash.output_len() {
            return Err(CredentialsError("a key is not as long as its hash"));
        }
        Ok(Self {
            hash,
            iterations,
            salt: salt.into(),
            stored_key: stored_key.into(),
            server_key: server_key.into(),
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}$...", self.hash.method())
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for CredentialsError {}

fn check(iterations: u32, salt: &[u8]) -> Result<(), CredentialsError> {
    if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
        return Err(CredentialsError(
            "iterations from 4096 to 10000000 are taken",
        ));
    }
    if !SALT_LEN.contains(&salt.len()) {
        return Err(CredentialsError("a salt has 8 to 256 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other() {
        for hash in Hash::ALL {
            let made = Credentials::new(hash, "I\u{AD}X \u{AA}", MIN_ITERATIONS).unwrap();
            let read: Credentials = made.to_text().parse().unwrap();
            assert_eq!(read, made);
            // SASLprep: the soft hyphen is nothing, the ordinal is a letter.
            assert!(read.is_password("IX a".as_bytes()));
            let wrong: [&[u8]; 4] = [b"ix a", b"", b"IX a\0", b"\xFF"];
            assert!(wrong.iter().all(|wrong| !read.is_password(wrong)));
            let again = Credentials::new(hash, "IX a", MIN_ITERATIONS).unwrap();
            assert!(again != made, "the same salt twice");
        }
    }

    #[test]
    fn text_that_is_none_is_refused() {
        let made = Credentials::derive(Hash::Sha256, "p", &[7; 16], 4096).unwrap();
        let text = made.to_text();
        assert!(text.parse::<Credentials>().is_ok());
        let breaks: [(&str, &str); 9] = [
            ("4096", "4095"),
            ("4096", "10000001"),
            ("4096", "99999999999"),
            ("4096", "-1"),
            ("4096:", "4096"),
            ("SHA-256", "SHA-1"),
            ("SHA-256", "SHA-512"),
            ("=", ""),
            ("BwcHBwcHBwcHBwcHBwcHBw==", "BwcHBw=="),
        ];
        for (from, to) in breaks {
            let broken = text.replacen(from, to, 1);
            assert_ne!(broken, text);
            assert!(broken.parse::<Credentials>().is_err(), "{broken}");
        }
        for broken in ["", "$$", "SCRAM-SHA-256", &format!("{text}$"), &text[1..]] {
            assert!(broken.parse::<Credentials>().is_err(), "{broken}");
        }
    }

    #[test]
    fn passwords_that_nobody_can_type_are_refused() {
        for password in ["", "a\u{7}", "\u{AD}"] {
            assert!(Credentials::new(Hash::Sha256, password, 4096).is_err());
        }
    }

    #[test]
    fn no_secret_is_printed_by_accident() {
        let made = Credentials::derive(Hash::Sha512, "p", &[7; 16], 4096).unwrap();
        assert_eq!(format!("{made:?}"), "SCRAM-SHA-512$...");
    }
}
