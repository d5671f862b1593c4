//! Redis, or what speaks its protocol: hashes of passwords and of rules under keys of a client.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::{Client, Connection, RedisError, TlsCertificates, cmd};
use ternmq_broker::access::{Action, Rules, Verdict};
use ternmq_broker::hooks::{Acting, Connecting, Decision};

use super::sql::{NO_SUPERUSER, TOO_MANY, bad_record, by_hash, by_rules, is_superuser};
use super::{http, tls};
use crate::chain::template::Facts;
use crate::chain::{BackEnd, Failure, Template};
use crate::jwt::rule;

/// Rules of one client; more is no answer.
const MAX_RULES: usize = 10_000;

/// How Redis is asked: by HGETALL and HGET. A name is part of a key and nothing else.
#[derive(Clone)]
pub struct Options {
    /// Where it is, with the password.
    pub url: Url,
    /// The file of the certificates that are trusted, for `rediss://`; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The key of a hash whose field `password_hash` is in any of the formats of
    /// [`PasswordHash`](crate::hash::PasswordHash), such as `mqtt:user:${username}`. Without such a hash or field
    /// it does not know the user. A field `is_superuser` of `1` or `true` lets it do everything. `None`: it is not asked.
    pub user_key: Option<Template>,
    /// The key of a hash of rules: fields are filters, with `%u` and `%c`, and values what is allowed there:
    /// `publish`, `subscribe` or `all`. Without one that fits it has no opinion. `None`: it is not asked.
    pub acl_key: Option<Template>,
    /// For each step on the way: to connect, to send, to get an answer.
    pub timeout: Duration,
    /// Connections that are kept open.
    pub connections: usize,
}

/// Where Redis is. It is not shown, for it may have a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Box<str>);

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Client::open(text) {
            // `rediss://host/#insecure`
            Ok(_) if text.contains('#') => Err(
                "TLS is with whom it is meant to be, or not at all: nothing \
                 stands behind #"
                    .to_owned(),
            ),
            Ok(_) => Ok(Self(text.into())),
            // What is wrong is not quoted: it may be the password.
            Err(_) => Err("expected redis://, rediss:// or redis+unix://".to_owned()),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("user_key", &self.user_key)
            .field("acl_key", &self.acl_key)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// What of it does not go together, without a look at a file.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), String> {
        match self.ca.is_some() && !self.url.0.starts_with("rediss:") {
            true => Err("`ca` is for rediss://".to_owned()),
            false => Ok(()),
        }
    }
}

/// Redis.
pub struct Redis {
    client: Client,
    options: Options,
    /// Those that nobody uses now.
    idle: Mutex<Vec<Connection>>,
}

impl Redis {
    /// Nobody is asked yet.
    ///
    /// # Errors
    /// The URL can't be used.
    pub fn new(options: Options) -> Result<Self, String> {
        options.check()?;
        let wrong = |_| "no URL of Redis".to_owned();
        let client = match &options.ca {
            None => Client::open(&*options.url.0).map_err(wrong)?,
            Some(path) => {
                http::of_file(path)?;
                let failed = |error: std::io::Error| format!("{}: {error}", path.display());
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(std::fs::read(path).map_err(failed)?),
                };
                let made = Client::build_with_tls(&*options.url.0, certificates);
                made.map_err(|_| format!("{}: no certificates in PEM", path.display()))?
            }
        };
        Ok(Self {
            client,
            options,
            idle: Mutex::default(),
        })
    }

    /// Asks for what is kept of a client; under its key may be something else than a hash.
    fn ask_of<T: redis::FromRedisValue>(
        &self,
        command: &redis::Cmd,
        facts: &Facts<'_>,
    ) -> Result<T, Failure> {
        self.ask(command).map_err(|error| match error.code() {
            Some("WRONGTYPE") => bad_record(facts, "under its key is no hash"),
            _ => failure(&error),
        })
    }

    /// Asks by a connection that is there, which may have been lost meanwhile, or by a new one.
    fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, RedisError> {
        let kept = self.idle().pop();
        if let Some(mut connection) = kept {
            match command.query(&mut connection) {
                Err(error) if is_lost(&error) => {}
                said => return self.keep(connection, said),
            }
        }
        let timeout = self.options.timeout;
        let mut connection = self.client.get_connection_with_timeout(timeout)?;
        for set in [Connection::set_read_timeout, Connection::set_write_timeout] {
            set(&connection, Some(timeout))?;
        }
        let said = command.query(&mut connection);
        self.keep(connection, said)
    }

    /// Keeps a connection on which the last answer has come whole.
    fn keep<T>(
        &self,
        connection: Connection,
        said: Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        match &said {
            Ok(_) => {
                let mut idle = self.idle();
                if idle.len() < self.options.connections {
                    idle.push(connection);
                }
            }
            // What comes on it later would be the answer to this question.
            Err(_) => drop(connection),
        }
        said
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackEnd for Redis {
    fn authenticate(&self, client: &Connecting<'_>) -> Result<Decision, Failure> {
        let (Some(key), Some(facts)) = (&self.options.user_key, Facts::of_client(client)) else {
            return Ok(Decision::Ignore);
        };
        let Some(password) = facts.password else {
            return Ok(Decision::Ignore);
        };
        let key = key.fill(&facts, str::to_owned);
        let fields = ["password_hash", "is_superuser"];
        let command = { cmd("HMGET") }.arg(key).arg(&fields).take();
        type Bytes = Option<Vec<u8>>;
        let (hash, superuser) = self.ask_of::<(Bytes, Bytes)>(&command, &facts)?;
        let text = |bytes: Bytes| bytes.map(String::from_utf8).transpose();
        let Some(hash) = text(hash).map_err(|_| bad_record(&facts, "its hash is no text"))? else {
            return Ok(Decision::Ignore);
        };
        let superuser = text(superuser).map_err(|_| bad_record(&facts, NO_SUPERUSER))?;
        let superuser = is_superuser(superuser.as_deref(), &facts)?;
        by_hash(&hash, password, superuser, &facts)
    }

    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Result<Option<Verdict>, Failure> {
        let Some(key) = &self.options.acl_key else {
            return Ok(None);
        };
        let facts = Facts::of_action(client, action);
        let command = { cmd("HGETALL") }
            .arg(key.fill(&facts, str::to_owned))
            .take();
        let said: HashMap<Vec<u8>, Vec<u8>> = self.ask_of(&command, &facts)?;
        if said.len() > MAX_RULES {
            return Err(bad_record(&facts, TOO_MANY));
        }
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let rules = said
            .iter()
            .map(|(topic, action)| rule("allow", text(action)?, text(topic)?));
        let rules = rules.collect::<Option<Vec<_>>>();
        let rules = rules.and_then(|rules| Rules::new(rules, Verdict::Deny).ok());
        let rules = rules.ok_or_else(|| bad_record(&facts, "a field is no rule"))?;
        Ok(by_rules(&rules, client, action))
    }

    fn authenticates(&self) -> bool {
        self.options.user_key.is_some()
    }

    fn authorises(&self) -> bool {
        self.options.acl_key.is_some()
    }
}

/// Whether the connection had ended before the question came.
fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout()
}

/// What Redis itself has said may quote a key.
fn failure(error: &RedisError) -> Failure {
    use redis::ErrorKind;
    if error.is_timeout() {
        return Failure::Late;
    }
    if let Some(problem) = tls::problem(error) {
        return Failure::Down(problem);
    }
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            Failure::Garbled("it does not speak its protocol".to_owned())
        }
        ErrorKind::Io => Failure::Down("it can't be reached".to_owned()),
        ErrorKind::AuthenticationFailed => Failure::Down("it refuses the password".to_owned()),
        _ => Failure::Down(match error.code() {
            Some(code) => format!("it refuses: {code}"),
            None => "it refuses".to_owned(),
        }),
    }
}
