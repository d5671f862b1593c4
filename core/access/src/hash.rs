//! What is stored of a password, in the formats that others write too.

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

/// Memory of new hashes in KiB, passes over it and lanes: what OWASP asks of argon2id at least. Each thread
/// that checks one takes as much.
const ARGON2: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Beyond these one check takes seconds, or more memory than a server has.
const MAX_ARGON2: (u32, u32, u32) = (1 << 20, 64, 16);
const MAX_ITERATIONS: u32 = 10_000_000;
const MAX_COST: u32 = 18;

/// Bytes of salts and hashes made here, and of those that are taken.
const SALT: usize = 16;
const HASH: usize = 32;
const MAX_BYTES: usize = 128;

/// The hash of a password. Its text is a secret: it lets guesses be tried.
#[derive(Clone)]
pub enum PasswordHash {
    /// mosquitto's `$6$`: SHA-512 of password and salt, once.
    Sha512 {
        /// Bytes behind the password.
        salt: Box<[u8]>,
        /// 64 bytes.
        hash: Box<[u8]>,
    },
    /// PBKDF2 with HMAC-SHA-512: mosquitto's `$7$`, and `$pbkdf2-sha512$`.
    Pbkdf2 {
        /// Rounds.
        iterations: u32,
        /// Salt.
        salt: Box<[u8]>,
        /// As long as it was made.
        hash: Box<[u8]>,
    },
    /// `$argon2id$`.
    Argon2id {
        /// Memory, passes and lanes.
        cost: (u32, u32, u32),
        /// Salt.
        salt: Box<[u8]>,
        /// As long as it was made.
        hash: Box<[u8]>,
    },
    /// `$2a$`, `$2b$`, `$2y$`. Of a password 72 bytes count.
    Bcrypt(Box<str>),
}

/// Why a text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashError(&'static str);

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for HashError {}

const UNKNOWN: HashError =
    HashError("not a hash that is known here: mosquitto's, argon2id, bcrypt or pbkdf2-sha512");
const BROKEN: HashError = HashError("a hash that is not whole");
const COSTLY: HashError = HashError("a hash that costs nothing, or more than a server can give");

impl PasswordHash {
    /// A new hash by argon2id, with a salt of the system's randomness. Takes its time.
    ///
    /// # Errors
    /// The password is empty, or the system has no randomness.
    pub fn argon2id(password: &str) -> Result<Self, HashError> {
        let salt = salt(password)?;
        let hash = argon2id(password.as_bytes(), &salt, ARGON2, HASH).ok_or(BROKEN)?;
        Ok(Self::Argon2id {
            cost: ARGON2,
            salt,
            hash,
        })
    }

    /// A new hash in mosquitto's format `$7$`, for files that mosquitto is to read as well.
    ///
    /// # Errors
    /// As [`PasswordHash::argon2id`].
    pub fn mosquitto(password: &str, iterations: u32) -> Result<Self, HashError> {
        check(iterations, MAX_ITERATIONS)?;
        let salt = salt(password)?;
        let hash = pbkdf2(password.as_bytes(), &salt, iterations, 64);
        Ok(Self::Pbkdf2 {
            iterations,
            salt,
            hash,
        })
    }

    /// Whether it is the hash of this password. Takes its time.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha512 { salt, hash } => {
                let made = Sha512::new().chain_update(password).chain_update(salt);
                made.finalize().as_slice().ct_eq(hash).into()
            }
            Self::Pbkdf2 {
                iterations,
                salt,
                hash,
            } => pbkdf2(password, salt, *iterations, hash.len())
                .ct_eq(hash)
                .into(),
            Self::Argon2id { cost, salt, hash } => argon2id(password, salt, *cost, hash.len())
                .is_some_and(|made| made.ct_eq(hash).into()),
            Self::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
        }
    }
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let parts: Vec<&str> = text.split('$').collect();
        match parts[..] {
            ["", "6", salt, hash] => {
                let (salt, hash) = (padded(salt)?, padded(hash)?);
                match hash.len() == 64 {
                    true => Ok(Self::Sha512 { salt, hash }),
                    false => Err(BROKEN),
                }
            }
            ["", "7", iterations, salt, hash] => {
                let hash = padded(hash)?;
                match hash.len() == 64 {
                    true => with_pbkdf2(iterations, padded(salt)?, hash),
                    false => Err(BROKEN),
                }
            }
            ["", "pbkdf2-sha512", cost, salt, hash] => {
                // As the PHC format says it, and as passlib does.
                let iterations = cost.split(',').find_map(|part| part.strip_prefix("i="));
                with_pbkdf2(iterations.unwrap_or(cost), bare(salt)?, bare(hash)?)
            }
            ["", "argon2id", "v=19", cost, salt, hash] => {
                let cost = argon2_cost(cost).ok_or(COSTLY)?;
                let (salt, hash) = (bare(salt)?, bare(hash)?);
                match salt.len() >= 8 {
                    true => Ok(Self::Argon2id { cost, salt, hash }),
                    false => Err(BROKEN),
                }
            }
            ["", "2a" | "2b" | "2y", cost, rest] => {
                let cost: u32 = cost.parse().map_err(|_| BROKEN)?;
                if !(4..=MAX_COST).contains(&cost) {
                    return Err(COSTLY);
                }
                let alphabet = |c: char| c.is_ascii_alphanumeric() || "./".contains(c);
                match rest.len() == 53 && rest.chars().all(alphabet) {
                    true => Ok(Self::Bcrypt(text.into())),
                    false => Err(BROKEN),
                }
            }
            _ => Err(UNKNOWN),
        }
    }
}

/// The secret text, which parses back.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let padded = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let bare = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        match self {
            Self::Sha512 { salt, hash } => write!(f, "$6${}${}", padded(salt), padded(hash)),
            Self::Pbkdf2 {
                iterations,
                salt,
                hash,
            } if hash.len() == 64 => {
                write!(f, "$7${iterations}${}${}", padded(salt), padded(hash))
            }
            Self::Pbkdf2 {
                iterations,
                salt,
                hash,
            } => write!(
                f,
                "$pbkdf2-sha512$i={iterations}${}${}",
                bare(salt),
                bare(hash)
            ),
            Self::Argon2id {
                cost: (m, t, p),
                salt,
                hash,
            } => write!(
                f,
                "$argon2id$v=19$m={m},t={t},p={p}${}${}",
                bare(salt),
                bare(hash)
            ),
            Self::Bcrypt(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha512 { .. } => "Sha512(...)",
            Self::Pbkdf2 { .. } => "Pbkdf2(...)",
            Self::Argon2id { .. } => "Argon2id(...)",
            Self::Bcrypt(_) => "Bcrypt(...)",
        })
    }
}

fn salt(password: &str) -> Result<Box<[u8]>, HashError> {
    if password.is_empty() {
        return Err(HashError("the password is empty"));
    }
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|_| HashError("the system has no randomness"))?;
    Ok(salt.into())
}

fn with_pbkdf2(
    iterations: &str,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
) -> Result<PasswordHash, HashError> {
    let iterations = iterations.parse().map_err(|_| BROKEN)?;
    check(iterations, MAX_ITERATIONS)?;
    match hash.len() >= 16 {
        true => Ok(PasswordHash::Pbkdf2 {
            iterations,
            salt,
            hash,
        }),
        false => Err(BROKEN),
    }
}

fn check(value: u32, most: u32) -> Result<(), HashError> {
    match (1..=most).contains(&value) {
        true => Ok(()),
        false => Err(COSTLY),
    }
}

/// `m=19456,t=2,p=1`
fn argon2_cost(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(',');
    let mut number = |name: &str, most: u32| {
        let number: u32 = parts.next()?.strip_prefix(name)?.parse().ok()?;
        (1..=most).contains(&number).then_some(number)
    };
    let cost = (
        number("m=", MAX_ARGON2.0)?,
        number("t=", MAX_ARGON2.1)?,
        number("p=", MAX_ARGON2.2)?,
    );
    // At least eight blocks for each lane.
    (parts.next().is_none() && cost.0 >= 8 * cost.2).then_some(cost)
}

fn argon2id(password: &[u8], salt: &[u8], cost: (u32, u32, u32), len: usize) -> Option<Box<[u8]>> {
    let params = Params::new(cost.0, cost.1, cost.2, Some(len)).ok()?;
    let mut hash = vec![0; len].into_boxed_slice();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password, salt, &mut hash).ok()?;
    Some(hash)
}

fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32, len: usize) -> Box<[u8]> {
    let mut hash = vec![0; len].into_boxed_slice();
    pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut hash);
    hash
}

fn padded(text: &str) -> Result<Box<[u8]>, HashError> {
    sized(BASE64_STANDARD.decode(text).map_err(|_| BROKEN)?)
}

/// passlib writes `.` for `+`.
fn bare(text: &str) -> Result<Box<[u8]>, HashError> {
    let text = text.replace('.', "+");
    sized(STANDARD_NO_PAD.decode(text).map_err(|_| BROKEN)?)
}

fn sized(bytes: Vec<u8>) -> Result<Box<[u8]>, HashError> {
    match (1..=MAX_BYTES).contains(&bytes.len()) {
        true => Ok(bytes.into()),
        false => Err(BROKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "geheim", by argon2-cffi, bcrypt and passlib, and the last one as the PHC format has it.
    const FOREIGN: [&str; 4] = [
        "$argon2id$v=19$m=64,t=2,p=2$VYnez0JMgb4y8lWTKUMYew$fMl5BqgIrxtHpnMySnjz+k9CJPzch3MjQUAiKtvS0Bc",
        "$2b$04$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mGC",
        "$pbkdf2-sha512$7$trb2vtd6j9H6P.ec8x6DUA$fjUR3MRp26GGJUvUd0DKTIur1dOkQBSBEPJ0aGHcXlFgEOGuvbMl/pWUpWYKz8DNEf2Ssmsi4phoBidgBt6UTw",
        "$pbkdf2-sha512$i=7$trb2vtd6j9H6P+ec8x6DUA$fjUR3MRp26GGJUvUd0DKTIur1dOkQBSBEPJ0aGHcXlFgEOGuvbMl/pWUpWYKz8DNEf2Ssmsi4phoBidgBt6UTw",
    ];

    #[test]
    fn hashes_of_others_are_those_of_their_passwords_only() {
        for text in FOREIGN {
            let hash: PasswordHash = text.parse().unwrap();
            assert!(hash.is_of(b"geheim"), "{text}");
            for wrong in ["Geheim", "geheim ", "", "geheim\0x"] {
                assert!(!hash.is_of(wrong.as_bytes()), "{text} {wrong:?}");
            }
            let again: PasswordHash = hash.to_string().parse().unwrap();
            assert!(again.is_of(b"geheim"), "{text}");
        }
    }

    #[test]
    fn a_new_hash_has_a_salt_of_its_own_and_is_read_again() {
        let made = [
            PasswordHash::argon2id("p").unwrap(),
            PasswordHash::argon2id("p").unwrap(),
            PasswordHash::mosquitto("p", 5).unwrap(),
        ];
        assert_ne!(made[0].to_string(), made[1].to_string());
        for hash in made {
            let again: PasswordHash = hash.to_string().parse().unwrap();
            assert!(again.is_of(b"p") && !again.is_of(b"q"), "{hash:?}");
        }
        assert!(PasswordHash::argon2id("").is_err() && PasswordHash::mosquitto("p", 0).is_err());
    }

    #[test]
    fn what_is_broken_or_costs_too_much_is_refused() {
        let argon2 = FOREIGN[0];
        for text in [
            "",
            "geheim",
            "$1$a$b",
            "$6$AAAA$AAAA",
            "$7$101$AAAA$AAAA",
            "$2b$31$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mGC",
            "$2b$04$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mG",
            &argon2.replace("m=64", "m=99999999"),
            &argon2.replace("m=64", "m=8"),
            &argon2.replace("t=2", "t=0"),
            &argon2.replace("p=2", "p=2,x=1"),
            &argon2.replace("v=19", "v=16"),
            &argon2.replace("argon2id", "argon2i"),
            &FOREIGN[2].replace("$7$", "$99999999$"),
        ] {
            assert!(text.parse::<PasswordHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_hash_is_printed_by_accident() {
        for text in FOREIGN {
            let hash: PasswordHash = text.parse().unwrap();
            assert!(!format!("{hash:?}").contains('$'));
        }
    }
}
