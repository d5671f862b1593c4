//! What a broker is started with, as Python names it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ternmq_broker::auth::{Credentials, Hash, MIN_ITERATIONS, User, Users};
use ternmq_broker::store::{self, Store, StoreError};
use ternmq_broker::{Address, Config};

use super::listener::{Certificate, Listener};
use crate::gil;

/// Bytes of the largest packet at least: what a broker takes.
const MIN_PACKET_SIZE: u64 = 1024;

/// Users whose credentials are remembered.
const MOST_HASHED: usize = 1_000;

/// Everything but what Python is called for.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    listeners: Vec<Listener>,
    shards: usize,
    certificate: Option<Certificate>,
    users: Vec<(String, String)>,
    folder: Option<PathBuf>,
    limits: Vec<(String, u64)>,
    faults: bool,
    /// Threads for each of the two kinds of questions to Python.
    hook_threads: usize,
}

impl Options {
    /// Whether what it holds outlives the process.
    pub(crate) fn keeps_files(&self) -> bool {
        self.folder.is_some()
    }

    /// The configuration, with a store in any case: a broker that is started again may want it.
    pub(crate) fn config(self) -> PyResult<Config> {
        let mut config = Config {
            shards: self.shards,
            faults: self.faults,
            ..Config::default()
        };
        config.access.threads = self.hook_threads;
        for listener in &self.listeners {
            let listener = listener.config(self.certificate.as_ref())?;
            config.listeners.push(listener);
        }
        config.users = self.users.iter().map(user).collect::<PyResult<_>>()?;
        for (name, value) in &self.limits {
            set_limit(&mut config, name, *value)?;
        }
        config.store = Some(match &self.folder {
            Some(folder) => {
                let options = store::Options::default();
                let opened = Store::open(folder, &options).map_err(|e| (&e).into());
                Arc::new(opened.map_err(store_error)?)
            }
            None => in_memory().map_err(store_error)?,
        });
        Ok(config)
    }
}

/// The addresses that a broker got, so that it listens on the same ones when it starts again.
pub(crate) fn keep_addresses(config: &mut Config, bound: &[SocketAddr]) {
    let mut bound = bound.iter();
    for listener in &mut config.listeners {
        if let Address::Ip(address) = &mut listener.address
            && let Some(bound) = bound.next()
        {
            *address = *bound;
        }
    }
}

/// Forgets what a store holds.
pub(crate) fn wipe(config: &mut Config, folder: bool) -> Result<(), StoreError> {
    match &config.store {
        Some(store) if folder => store::clear(store),
        _ => {
            config.store = Some(in_memory()?);
            Ok(())
        }
    }
}

fn in_memory() -> Result<Arc<Store>, StoreError> {
    Store::memory().map(Arc::new).map_err(|e| (&e).into())
}

/// With the fewest iterations: whoever can read this process has the password itself. That takes most of
/// a millisecond for each, and tests start many brokers with the same users, so it is done once.
fn user((name, password): &(String, String)) -> PyResult<User> {
    static HASHED: Mutex<BTreeMap<(String, String), Credentials>> = Mutex::new(BTreeMap::new());
    let key = (name.clone(), password.clone());
    // Nobody waits for the lock: in a forked process it may be held for ever.
    let known = HASHED.try_lock().ok();
    let known = known.and_then(|hashed| hashed.get(&key).cloned());
    let credentials = match known {
        Some(known) => known,
        None => {
            let made = Credentials::new(Hash::Sha256, password, MIN_ITERATIONS);
            let wrong = |e| PyValueError::new_err(format!("users: {name:?}: {e}"));
            let made = made.map_err(wrong)?;
            if let Ok(mut hashed) = HASHED.try_lock() {
                if hashed.len() >= MOST_HASHED {
                    hashed.clear();
                }
                hashed.insert(key, made.clone());
            }
            made
        }
    };
    Ok(User {
        name: name.clone(),
        credentials: vec![credentials],
    })
}

/// ValueError for users who can't log in, a limit that is none, or one that can't be that: what would
/// otherwise be told when the broker is started.
#[pyfunction]
pub(crate) fn check_broker(
    py: Python<'_>,
    users: Vec<(String, String)>,
    limits: Vec<(String, u64)>,
) -> PyResult<()> {
    let mut config = Config::default();
    for (name, value) in &limits {
        set_limit(&mut config, name, *value)?;
    }
    // Each is one that may be; what is left is that they don't go together.
    let wrong = |error: &dyn Display| PyValueError::new_err(format!("limits: {error}"));
    config.check().map_err(|error| wrong(&error))?;
    // Of more of them the credentials would be made twice.
    if users.len() <= MOST_HASHED {
        let users: PyResult<Vec<User>> = gil::released(py, || users.iter().map(user).collect());
        let checked = Users::new(&users?);
        checked.map_err(|error| PyValueError::new_err(format!("users: {error}")))?;
    }
    Ok(())
}

/// The limits that tests come to. The others have the defaults of a server.
fn set_limit(config: &mut Config, name: &str, value: u64) -> PyResult<()> {
    let (session, limits) = (&mut config.session, &mut config.limits);
    match name {
        "connections" => limits.connections = from(1, name, value)?,
        "sessions" => session.sessions = from(1, name, value)?,
        "connect_timeout" => {
            session.connect_timeout_ms = u64::from(from::<u32>(1, name, value)?) * 1_000;
        }
        "keep_alive" => session.keep_alive = number(name, value)?,
        "packet_size" => {
            session.packet_size = from(MIN_PACKET_SIZE, name, value)?;
            session.connect_size = session.connect_size.min(session.packet_size);
        }
        "receive_maximum" => session.receive_maximum = from(1, name, value)?,
        "inflight" => session.inflight = from(1, name, value)?,
        "topic_aliases" => session.topic_aliases = number(name, value)?,
        "session_expiry" => session.session_expiry = number(name, value)?,
        "subscriptions" => session.subscriptions = number(name, value)?,
        "queue_messages" => session.queue.items = number(name, value)?,
        "queue_bytes" => session.queue.bytes = number(name, value)?,
        "retained_messages" => limits.retained.messages = number(name, value)?,
        "log_bytes" => limits.log.bytes = number(name, value)?,
        "retained_bytes" => limits.retained.bytes = number(name, value)?,
        _ => {
            return Err(PyValueError::new_err(format!(
                "limits: there is no {name:?}"
            )));
        }
    }
    Ok(())
}

/// The same of a limit with which less than `least` makes no sense.
fn from<N: TryFrom<u64>>(least: u64, name: &str, value: u64) -> PyResult<N> {
    if value < least {
        let text = format!("limits: {name} must be at least {least}, got {value}");
        return Err(PyValueError::new_err(text));
    }
    number(name, value)
}

fn number<N: TryFrom<u64>>(name: &str, value: u64) -> PyResult<N> {
    N::try_from(value)
        .map_err(|_| PyValueError::new_err(format!("limits: {name} can't be {value}")))
}

pub(crate) fn store_error(error: StoreError) -> PyErr {
    pyo3::exceptions::PyOSError::new_err(error.to_string())
}
