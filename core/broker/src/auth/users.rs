//! The users of a broker, and what is said to those who are none.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::credentials::Credentials;
use super::hash::Hash;

/// Somebody who may log in by SCRAM, and by user name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name.
    pub name: String,
    /// What is stored of the password: for one mechanism, or for both.
    pub credentials: Vec<Credentials>,
}

/// Every [`User`], by name.
///
/// Whoever asks for a user that is none gets credentials made up from the name, always the same as
/// long as the users are the same: salt and iterations look like those of a user, and nothing fits
/// them. So nobody can find out by asking who is a user.
pub struct Users {
    by_name: HashMap<Box<str>, Vec<Arc<Credentials>>>,
    /// Of each mechanism all credentials, in an order of their own: what made-up ones look like.
    looks: [Vec<Arc<Credentials>>; 2],
    /// Keys what is made up. It is made from all credentials and stays the same over a restart.
    secret: Box<[u8]>,
}

/// Why these are no users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersError {
    /// Which one it is, counted from 0.
    pub index: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What somebody has to prove.
pub(super) struct Found {
    /// The name as SASLprep makes it.
    pub(super) name: Box<str>,
    pub(super) credentials: Arc<Credentials>,
    /// False: made up.
    pub(super) known: bool,
}

impl Users {
    /// Users by name.
    ///
    /// # Errors
    /// A name is empty, too long for MQTT, there twice, or has characters that SASLprep forbids; a
    /// user has no credentials, or two for one mechanism.
    pub fn new(users: &[User]) -> Result<Self, UsersError> {
        let mut by_name = HashMap::with_capacity(users.len());
        let mut all: Vec<Arc<Credentials>> = Vec::new();
        for (index, user) in users.iter().enumerate() {
            let failed = |what| UsersError { index, what };
            let Some(name) = prepare(&user.name) else {
                return Err(failed("the name has characters that SASLprep forbids"));
            };
            if name.is_empty() || name.len() > usize::from(u16::MAX) {
                return Err(failed("a name has 1 to 65535 bytes"));
            }
            let mut own: Vec<_> = user.credentials.iter().cloned().map(Arc::new).collect();
            own.sort_by_key(|credentials| credentials.hash);
            if own.is_empty() {
                return Err(failed("a user without credentials can't log in"));
            }
            if own.windows(2).any(|two| two[0].hash == two[1].hash) {
                return Err(failed("two credentials for one mechanism"));
            }
            all.extend(own.iter().cloned());
            if by_name.insert(name, own).is_some() {
                return Err(failed("the name is there twice"));
            }
        }
        all.sort_by(|a, b| (&a.salt, &a.server_key).cmp(&(&b.salt, &b.server_key)));
        let keys: Vec<&[u8]> = all
            .iter()
            .map(|credentials| &*credentials.server_key)
            .collect();
        let looks = Hash::ALL.map(|hash| {
            let of = all.iter().filter(|credentials| credentials.hash == hash);
            of.cloned().collect()
        });
        Ok(Self {
            secret: Hash::Sha256.hmac(b"made-up credentials", &keys),
            by_name,
            looks,
        })
    }

    /// Whether there are none: nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether somebody can log in by this mechanism.
    pub fn offer(&self, hash: Hash) -> bool {
        !self.looks[hash as usize].is_empty()
    }

    /// Whether the password is this user's. Takes its time, and the same for a name that is
    /// none. A user with two kinds of credentials is checked by SHA-256's.
    pub fn is_password(&self, name: &str, password: &[u8]) -> bool {
        let known = prepare(name).and_then(|name| self.by_name.get(&*name));
        let known = known.and_then(|own| own.first());
        let hash = match known {
            Some(credentials) => credentials.hash,
            None => self.kind_of(name),
        };
        let Some(found) = self.find(hash, name) else {
            return false;
        };
        let fits = found.credentials.is_password(password);
        fits && found.known
    }

    /// Whom a name stands for; `None` when the mechanism is not offered or the name can't be one.
    pub(super) fn find(&self, hash: Hash, name: &str) -> Option<Found> {
        let name = prepare(name)?;
        let own = self.by_name.get(&*name);
        let own = own.and_then(|own| own.iter().find(|credentials| credentials.hash == hash));
        let credentials = match own {
            Some(credentials) => credentials.clone(),
            None => Arc::new(self.make_up(hash, &name)?),
        };
        Some(Found {
            known: own.is_some(),
            name,
            credentials,
        })
    }

    fn make_up(&self, hash: Hash, name: &str) -> Option<Credentials> {
        let looks = &self.looks[hash as usize];
        let draw = self.draw(hash.method(), name);
        let like = looks.get(number(&draw).checked_rem(looks.len())?)?;
        let mut salt = Vec::new();
        while salt.len() < like.salt.len() {
            let more = Hash::Sha256.hmac(&draw, &[b"salt", &salt]);
            salt.extend_from_slice(&more);
        }
        salt.truncate(like.salt.len());
        let key = |what: &[u8]| hash.hmac(&draw, &[what]);
        Some(Credentials {
            hash,
            iterations: like.iterations,
            salt: salt.into(),
            stored_key: key(b"stored key"),
            server_key: key(b"server key"),
        })
    }

    /// Of which kind the password of somebody unknown would be.
    fn kind_of(&self, name: &str) -> Hash {
        let count = self.looks.iter().map(Vec::len).sum();
        let draw = number(&self.draw("password", name));
        match draw.checked_rem(count) {
            Some(at) if at >= self.looks[0].len() => Hash::Sha512,
            _ => Hash::Sha256,
        }
    }

    fn draw(&self, what: &str, name: &str) -> Box<[u8]> {
        Hash::Sha256.hmac(&self.secret, &[what.as_bytes(), b"\0", name.as_bytes()])
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Users").field(&self.by_name.len()).finish()
    }
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}: {}", self.index + 1, self.what)
    }
}

impl std::error::Error for UsersError {}

/// A name as SASLprep makes it.
fn prepare(name: &str) -> Option<Box<str>> {
    let prepared = stringprep::saslprep(name).ok()?;
    Some(prepared.into())
}

fn number(draw: &[u8]) -> usize {
    draw.iter()
        .take(4)
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, hashes: &[Hash], iterations: u32) -> User {
        let derive = |hash: &Hash| {
            let salt = [iterations as u8; 16];
            Credentials::derive(*hash, name, &salt, iterations).unwrap()
        };
        User {
            name: name.into(),
            credentials: hashes.iter().map(derive).collect(),
        }
    }

    fn some() -> Users {
        let users = [
            user("anna", &[Hash::Sha512, Hash::Sha256], 4096),
            user("ben", &[Hash::Sha256], 5000),
        ];
        Users::new(&users).unwrap()
    }

    #[test]
    fn passwords_fit_their_users_only() {
        let users = some();
        assert!(users.is_password("anna", b"anna") && users.is_password("ben", b"ben"));
        // The soft hyphen is nothing.
        assert!(users.is_password("an\u{AD}na", b"anna"));
        for (name, password) in [
            ("anna", "ben"),
            ("carl", "carl"),
            ("", ""),
            ("Anna", "anna"),
        ] {
            assert!(!users.is_password(name, password.as_bytes()), "{name}");
        }
    }

    #[test]
    fn somebody_unknown_looks_like_a_user_and_always_the_same() {
        let (users, again) = (some(), some());
        let mut iterations = Vec::new();
        for at in 0..40 {
            let name = format!("nobody{at}");
            let found = users.find(Hash::Sha256, &name).unwrap();
            let same = again.find(Hash::Sha256, &name).unwrap();
            assert!(!found.known && found.credentials == same.credentials);
            assert_eq!(found.credentials.salt.len(), 16);
            iterations.push(found.credentials.iterations);
        }
        iterations.sort_unstable();
        iterations.dedup();
        assert_eq!(iterations, [4096, 5000]);
        // Who has no credentials for this mechanism is unknown to it.
        let found = users.find(Hash::Sha512, "ben").unwrap();
        assert!(!found.known && found.credentials.iterations == 4096);
    }

    #[test]
    fn without_users_nothing_is_offered() {
        let none = Users::new(&[]).unwrap();
        assert!(none.is_empty() && !none.is_password("anna", b"anna"));
        assert!(Hash::ALL.iter().all(|hash| !none.offer(*hash)));
        assert!(none.find(Hash::Sha256, "anna").is_none());
        let one = Users::new(&[user("ben", &[Hash::Sha256], 4096)]).unwrap();
        assert!(one.offer(Hash::Sha256) && !one.offer(Hash::Sha512));
    }

    #[test]
    fn users_that_are_none_are_refused() {
        let good = user("anna", &[Hash::Sha256], 4096);
        let mut cases = vec![vec![
            good.clone(),
            user("an\u{AD}na", &[Hash::Sha256], 4096),
        ]];
        for name in ["", "a\u{7}", "\u{AD}", &"x".repeat(65536)] {
            let mut bad = good.clone();
            bad.name = name.into();
            cases.push(vec![good.clone(), bad]);
        }
        let twice = [good.credentials.clone(), good.credentials.clone()].concat();
        for credentials in [vec![], twice] {
            let name = "ben".into();
            cases.push(vec![good.clone(), User { name, credentials }]);
        }
        for users in cases {
            assert_eq!(Users::new(&users).unwrap_err().index, 1, "{users:?}");
        }
    }
}
