//! Files of passwords: a user name and a hash on each line, as mosquitto has them.
//!
//! ```text
//! # mosquitto_passwd writes $7$ (and with -H sha512 $6$), `ternmq passwd` $argon2id$.
//! anna:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$...
//! ben:$7$101$c2FsdHNhbHRzYWx0$...
//! ```

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ternmq_broker::hooks::{Authenticate, Connecting, Decision};
use ternmq_protocol::ReasonCode;

use crate::hash::PasswordHash;
use crate::text::{FileError, read_file};

/// Who may come in, by the file of a password.
///
/// As a hook it checks on the threads of the hooks, for each check takes its time on purpose. Whoever names
/// nobody, and who has shown already who they are, is left to others.
#[derive(Debug)]
pub struct Passwords {
    path: PathBuf,
    /// Others may know a user that the file does not.
    others: AtomicBool,
    users: RwLock<Arc<PasswordFile>>,
}

/// What stands in a file of passwords.
#[derive(Default)]
pub struct PasswordFile {
    by_name: HashMap<Box<str>, (usize, PasswordHash)>,
    /// What is checked for somebody unknown, so that this takes as long.
    like: Option<Box<str>>,
}

impl PasswordFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The first things that are wrong with it. No hash is in them.
    pub fn read(path: &Path) -> Result<Self, Vec<FileError>> {
        Self::parse(&read_file(path)?, path)
    }

    /// The users of a text that stands in this file.
    ///
    /// # Errors
    /// As [`PasswordFile::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<FileError>> {
        let (mut users, mut errors) = (Self::default(), Vec::new());
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = users.add(number, line);
            if let Err((column, what)) = added {
                errors.push(FileError::at(path, number, column, what));
            }
        }
        errors.truncate(crate::text::MAX_ERRORS);
        match errors.is_empty() {
            true => Ok(users),
            false => Err(errors),
        }
    }

    fn add(&mut self, number: usize, line: &str) -> Result<(), (usize, String)> {
        let (name, hash) = line
            .split_once(':')
            .ok_or((1, "expected NAME:HASH".to_owned()))?;
        if name.is_empty() {
            return Err((1, "a user name is missing".to_owned()));
        }
        let column = name.chars().count() + 2;
        let hash: PasswordHash = hash.parse().map_err(|error| (column, format!("{error}")))?;
        if self.by_name.insert(name.into(), (number, hash)).is_some() {
            return Err((1, "the name is there twice".to_owned()));
        }
        self.like.get_or_insert_with(|| name.into());
        Ok(())
    }

    /// The line of a user.
    #[must_use]
    pub fn line(&self, user_name: &str) -> Option<usize> {
        self.by_name.get(user_name).map(|(line, _)| *line)
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether this is the user's password. Takes its time, and as much for somebody unknown, as long as all
    /// hashes are of one kind.
    #[must_use]
    pub fn is_password(&self, user_name: &str, password: &[u8]) -> bool {
        let known = self.by_name.get(user_name);
        let like = || self.by_name.get(self.like.as_ref()?);
        let fits = known
            .or_else(like)
            .is_some_and(|(_, hash)| hash.is_of(password));
        fits && known.is_some()
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PasswordFile").field(&self.len()).finish()
    }
}

impl Passwords {
    /// Reads a file. With `others` a user who is not in it is left to those that are asked next, without it
    /// refused.
    ///
    /// # Errors
    /// As [`PasswordFile::read`].
    pub fn open(path: &Path, others: bool) -> Result<Self, Vec<FileError>> {
        Ok(Self {
            path: path.to_owned(),
            others: others.into(),
            users: RwLock::new(Arc::new(PasswordFile::read(path)?)),
        })
    }

    /// Reads the file again, for [`Passwords::replace`].
    ///
    /// # Errors
    /// As [`PasswordFile::read`].
    pub fn read_again(&self) -> Result<PasswordFile, Vec<FileError>> {
        PasswordFile::read(&self.path)
    }

    /// Goes on with these users, and with this answer to whether others may know one. Who is connected stays.
    pub fn replace(&self, users: PasswordFile, others: bool) {
        self.others.store(others, Ordering::Relaxed);
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
    }

    fn users(&self) -> Arc<PasswordFile> {
        let users = self.users.read();
        users.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Passwords {
    /// As the hook does, with this answer to whether others may know a user.
    #[must_use]
    pub fn decide(&self, connecting: &Connecting<'_>, others: bool) -> Decision {
        let wrong = Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        let names_nobody = connecting.user_name.is_none() && connecting.password.is_none();
        if connecting.authenticated || names_nobody {
            return Decision::Ignore;
        }
        let (Some(name), Some(password)) = (connecting.user_name, connecting.password) else {
            return wrong;
        };
        let users = self.users();
        if others && users.line(name).is_none() {
            return Decision::Ignore;
        }
        match users.is_password(name, password) {
            true => Decision::Allow,
            false => wrong,
        }
    }
}

impl Authenticate for Passwords {
    fn authenticate(&self, connecting: &Connecting<'_>) -> Decision {
        self.decide(connecting, self.others.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_no_hash_is_shown() {
        let good = PasswordHash::argon2id("p").unwrap().to_string();
        let text = format!(
            "# users\nanna:{good}\n\nben\n:x\nanna:{good}\ncarl:geheim\nd:$7$0$AA==$AA==\n"
        );
        let errors = PasswordFile::parse(&text, Path::new("pw")).unwrap_err();
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let starts = [
            "pw:4:1: expected NAME:HASH",
            "pw:5:1: a user name is missing",
            "pw:6:1: the name is there twice",
            "pw:7:6: ",
            "pw:8:3: ",
        ];
        assert_eq!(told.len(), starts.len(), "{told:?}");
        for (told, start) in told.iter().zip(starts) {
            assert!(told.starts_with(start), "{told}");
            assert!(!told.contains("geheim") && !told.contains('$'), "{told}");
        }
    }

    #[test]
    fn a_password_is_that_of_its_user_only() {
        let line = |name: &str| format!("{name}:{}\n", PasswordHash::argon2id(name).unwrap());
        let text = line("anna") + &line("ben");
        let users = PasswordFile::parse(&text, Path::new("pw")).unwrap();
        assert!(users.is_password("anna", b"anna") && users.is_password("ben", b"ben"));
        assert_eq!(users.line("ben"), Some(2));
        // The last is checked against anna's hash, which it fits.
        for (name, password) in [
            ("anna", "ben"),
            ("anna", ""),
            ("carl", "carl"),
            ("", "anna"),
        ] {
            assert!(!users.is_password(name, password.as_bytes()), "{name}");
        }
        let none = PasswordFile::default();
        assert!(none.is_empty() && !none.is_password("anna", b"anna"));
    }
}
