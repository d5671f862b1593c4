//! The table `[access]`: who may publish and subscribe to what.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use ternmq_access::FileError;
use ternmq_access::acl::{Acl, Format};
use ternmq_access::binding::ClientIds;
use ternmq_access::jwt::{Jwt, Keys};
use ternmq_access::passwords::{PasswordFile, Passwords};
use ternmq_broker::access::{Denied, Rules, Verdict};
use ternmq_broker::hooks;

use crate::config::{Origin, Problem, Problems};
use crate::jwt::Tokens;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    /// What holds where no rule applies.
    default: Option<Said>,
    rules: Option<PathBuf>,
    mosquitto_acl_file: Option<PathBuf>,
    denied: After,
    password_file: Option<PathBuf>,
    client_id: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum After {
    #[default]
    Drop,
    Disconnect,
}

/// Files of rules, in order, and what holds where none of them has anything to say.
#[derive(Clone, Debug)]
pub(crate) struct AccessFiles {
    files: Vec<(PathBuf, Format)>,
    pub(crate) otherwise: Verdict,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) client_ids: Option<ClientIds>,
    pub(crate) tokens: Option<Tokens>,
}

/// What a server that runs can have read again of who may come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors {
    passwords: Option<Arc<Passwords>>,
    tokens: Option<Arc<Jwt>>,
}

/// What has been read again, for those.
pub(crate) struct Reread {
    passwords: Option<PasswordFile>,
    keys: Option<Keys>,
}

impl Table {
    pub(crate) fn apply(self, access: &mut hooks::Access) -> AccessFiles {
        access.denied = match self.denied {
            After::Drop => Denied::Drop,
            After::Disconnect => Denied::Disconnect,
        };
        let own = self.rules.map(|path| (path, Format::Own));
        let theirs = (self.mosquitto_acl_file).map(|path| (path, Format::Mosquitto));
        let files: Vec<_> = own.into_iter().chain(theirs).collect();
        let otherwise = match self.default {
            Some(Said::Allow) => Verdict::Allow,
            Some(Said::Deny) => Verdict::Deny,
            // Who writes rules means that nothing else is allowed.
            None if files.is_empty() => Verdict::Allow,
            None => Verdict::Deny,
        };
        AccessFiles {
            files,
            otherwise,
            password_file: self.password_file,
            // It was looked at with its key.
            client_ids: self.client_id.and_then(|text| text.parse().ok()),
            tokens: None,
        }
    }
}

impl AccessFiles {
    /// Reads them.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn read(&self) -> Result<Acl, Problems> {
        let (mut acl, mut problems) = (Acl::default(), Vec::new());
        for (path, format) in &self.files {
            if let Err(errors) = acl.add_file(path, *format) {
                problems.extend(errors.into_iter().map(problem));
            }
        }
        Problems::none(problems)?;
        Ok(acl)
    }

    /// The rules that a broker is to decide by.
    pub(crate) fn rules(&self, acl: &Acl) -> Rules {
        acl.rules(self.otherwise)
    }

    /// Who may come in by a password of the file, if there is one.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn passwords(&self) -> Result<Option<PasswordFile>, Problems> {
        let file = self.password_file.as_deref().map(PasswordFile::read);
        file.transpose().map_err(problems)
    }

    /// The keys of tokens, if there are to be any.
    ///
    /// # Errors
    /// All that is wrong with their file.
    pub(crate) fn keys(&self) -> Result<Option<Keys>, Problems> {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        Keys::read(tokens.keys()?).map(Some).map_err(problems)
    }

    /// Has a broker that is about to start follow the rules and look at tokens and passwords.
    ///
    /// # Errors
    /// All that is wrong with the files.
    pub(crate) fn put_into(&self, broker: &mut ternmq_broker::Config) -> Result<Doors, Problems> {
        broker.access.rules = Arc::new(self.rules(&self.read()?));
        // First: what is refused whoever it is needs no look at a password.
        if let Some(ids) = &self.client_ids {
            broker.access.authenticate.push(Arc::new(ids.clone()));
        }
        let users = !broker.users.is_empty();
        let mut doors = Doors::default();
        if let Some(tokens) = &self.tokens {
            let others = users || self.password_file.is_some();
            let opened = Jwt::open(tokens.keys()?, tokens.terms.clone(), others);
            let tokens = Arc::new(opened.map_err(problems)?);
            broker.access.authenticate.push(tokens.clone());
            doors.tokens = Some(tokens);
        }
        if let Some(path) = &self.password_file {
            let passwords = Arc::new(Passwords::open(path, users).map_err(problems)?);
            broker.access.authenticate.push(passwords.clone());
            doors.passwords = Some(passwords);
        }
        if doors.are_there() {
            // The same work as for those of the configuration, which have threads of their own.
            broker.access.threads = broker.limits.password_threads;
            broker.access.queue = broker.limits.password_queue;
        }
        Ok(doors)
    }

    pub(crate) fn are_there(&self) -> bool {
        !self.files.is_empty()
    }
}

impl Doors {
    pub(crate) fn are_there(&self) -> bool {
        self.passwords.is_some() || self.tokens.is_some()
    }

    /// Reads the files again that the server was started with.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn read_again(&self) -> Result<Reread, Problems> {
        let passwords = self.passwords.as_ref().map(|own| own.read_again());
        let keys = self.tokens.as_ref().map(|own| own.read_again());
        Ok(Reread {
            passwords: passwords.transpose().map_err(problems)?,
            keys: keys.transpose().map_err(problems)?,
        })
    }

    /// Goes on with what was read; `users`: the configuration has some.
    pub(crate) fn replace(&self, reread: Reread, users: bool) {
        if let (Some(own), Some(keys)) = (&self.tokens, reread.keys) {
            own.replace(keys, users || self.passwords.is_some());
        }
        if let (Some(own), Some(file)) = (&self.passwords, reread.passwords) {
            own.replace(file, users);
        }
    }
}

/// What is wrong with a file, as of any other.
pub(crate) fn problems(errors: Vec<FileError>) -> Problems {
    match Problems::none(errors.into_iter().map(problem).collect()) {
        Err(problems) => problems,
        Ok(()) => Problem::of_all("a file that can't be used").into(),
    }
}

fn problem(error: FileError) -> Problem {
    match error.at {
        Some((line, column)) => {
            let path = Some(Arc::new(error.file));
            Problem::new(Origin::File { path, line, column }, "", error.what)
        }
        None => Problem::of_all(format!(
            "cannot read {}: {}",
            error.file.display(),
            error.what
        )),
    }
}
