//! What is said of a directory.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::filter::Filter;
use super::groups::Group;
use super::names::EntryName;
use super::socket::{Place, Url};

/// How a directory is asked.
///
/// A client is let in if the directory takes its password: a bind by the name of its entry. One without a user
/// name or a password it does not know; an empty password, by which a bind would be nobody's and go well, is
/// refused and never sent. Referrals and aliases are not followed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub url: Url,
    /// A connection that began in plain goes on by TLS before anything is said.
    pub start_tls: bool,
    /// The file of the certificates that are trusted; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Who searches; `None`: nobody in particular, and the client itself once it is let in.
    pub account: Option<Account>,
    /// Which entry a client is.
    pub entry: Entry,
    /// The attribute of its entry with the name that its user has from then on; `None`: the one that it sent, of
    /// which directories take others that differ in case and blanks for the same.
    pub user_name: Option<String>,
    /// Where it stands which groups a client is in; `None`: groups mean nothing.
    pub member: Option<Member>,
    /// Groups that mean something.
    pub groups: Vec<Group>,
    /// What becomes of a client that is in none of them.
    pub ungrouped: Ungrouped,
    /// For the whole of a question, connecting included.
    pub timeout: Duration,
    /// Connections that are kept open.
    pub connections: usize,
}

/// An account of the server's own.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name of its entry.
    pub name: String,
    /// Its password.
    pub password: Secret,
}

/// A password, or the file in whose first line it stands. It is not shown.
#[derive(Clone)]
pub enum Secret {
    /// The password.
    Text(String),
    /// The file.
    File(PathBuf),
}

/// Which entry a client is.
#[derive(Clone, Debug)]
pub enum Entry {
    /// The one of this name.
    Named(EntryName),
    /// The one that is found. Where none is, the client is not known; where more than one is, it is refused.
    Found {
        /// The entry below which is searched.
        base: String,
        /// By which it is found.
        filter: Filter,
    },
}

/// Where it stands which groups a client is in.
#[derive(Clone, Debug)]
pub enum Member {
    /// Names of groups are the values of an attribute of its entry.
    Attribute(String),
    /// Groups are found, and their names are what counts.
    Found {
        /// The entry below which is searched.
        base: String,
        /// By which they are found.
        filter: Filter,
    },
}

/// What becomes of a client that is in no group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ungrouped {
    /// It is refused: Not authorized.
    #[default]
    Deny,
    /// It is let in and may do what others may.
    Allow,
}

impl Options {
    /// What of it does not go together, without a look at a file.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), String> {
        let unix = matches!(self.url.place, Place::Path(_));
        match (self.start_tls, self.url.secure) {
            (true, _) if unix => Err("a Unix socket has no TLS".to_owned()),
            (true, true) => Err("ldaps:// begins with TLS; `start_tls` is for ldap://".to_owned()),
            (false, false) if self.ca.is_some() => {
                Err("`ca` is for ldaps://, or for ldap:// with `start_tls`".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("a text"),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl Secret {
    pub(super) fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|error| format!("{}: {error}", path.display()))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
        };
        match text.is_empty() {
            true => Err("the password of `bind_dn` is empty".to_owned()),
            false => Ok(text),
        }
    }
}
