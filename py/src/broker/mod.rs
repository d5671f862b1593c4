//! The embedded broker. It runs on threads of its own, which touch Python only to ask what the
//! application wants to be asked.

mod acl;
mod certificate;
mod clients;
mod config;
mod faults;
mod hooks;
mod listener;
mod local;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use ternmq_broker::{
    Address, Broker, Config, FaultError, FaultId, PublishError, StartError, StopError,
};
use ternmq_protocol::broker::retained::Cursor;
use ternmq_protocol::topic::TopicError;
use ternmq_protocol::{Message as Shared, ReasonCode};

use crate::argument;
use crate::bytes::Payload;
use crate::errors;
use crate::gil;
use crate::message::{Message, qos_of};
use crate::properties::PublishProperties;
use crate::wait::{in_slices, seconds};

pub(crate) use acl::check_rule;
pub(crate) use certificate::Authority;
pub(crate) use config::check_broker;
pub(crate) use listener::check_listener;
pub(crate) use local::{Tap, topic_matches};

use hooks::{Hooks, Telling};

/// A broker that runs until `stop` or until the object is gone.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct RunningBroker {
    /// Shared by whoever uses the broker; changed by start and stop alone.
    broker: RwLock<Option<Broker>>,
    /// With the addresses that it has got.
    config: Mutex<Config>,
    keeps_files: bool,
    hooks: Hooks,
    telling: Mutex<Telling>,
    process: u32,
}

#[pymethods]
impl RunningBroker {
    /// Listens when it returns.
    #[new]
    fn start(py: Python<'_>, options: config::Options, mut hooks: Hooks) -> PyResult<Self> {
        let keeps_files = options.keeps_files();
        let mut config = gil::released(py, || options.config())?;
        hooks.put_into(&mut config)?;
        let (broker, telling) = launch(py, &config, &hooks, keeps_files)?;
        config::keep_addresses(&mut config, &broker.local_addrs());
        Ok(Self {
            broker: Some(broker).into(),
            config: config.into(),
            keeps_files,
            hooks,
            telling: telling.into(),
            process: std::process::id(),
        })
    }

    /// Where it listens, as URLs for clients of this machine, in the order of the options.
    #[getter]
    fn urls(&self) -> Vec<String> {
        let config = self.config();
        let url = |listener: &ternmq_broker::ListenerConfig| {
            let scheme = listener.scheme().name();
            let websocket = listener.websocket.as_ref();
            let path = websocket.map_or("", |at| at.path.as_deref().unwrap_or("/mqtt"));
            match &listener.address {
                Address::Unix { path, .. } => format!("{scheme}://{}", path.display()),
                Address::Ip(at) => format!("{scheme}://{}{path}", reachable(*at)),
            }
        };
        config.listeners.iter().map(url).collect()
    }

    /// Publishes without a client.
    #[allow(clippy::too_many_arguments)]
    fn publish(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::topic)] topic: &str,
        #[pyo3(from_py_with = argument::payload)] payload: Payload<'_>,
        #[pyo3(from_py_with = argument::qos)] qos: u8,
        #[pyo3(from_py_with = argument::retain)] retain: bool,
        #[pyo3(from_py_with = argument::expiry)] expiry: Option<u32>,
        #[pyo3(from_py_with = argument::content_type)] content_type: Option<&str>,
        #[pyo3(from_py_with = argument::response_topic)] response_topic: Option<&str>,
        #[pyo3(from_py_with = argument::correlation_data)] correlation_data: Option<&[u8]>,
        user: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = argument::payload_format)] payload_format: Option<u8>,
    ) -> PyResult<()> {
        let publish = PublishProperties {
            expiry,
            content_type,
            response_topic,
            correlation_data,
            user,
            payload_format,
        };
        let (properties, qos) = (publish.encode()?, qos_of(qos)?);
        let payload = payload.as_slice();
        let published = self.with(py, |broker| {
            let now = broker.now();
            let message = Shared::new(topic, payload, qos, retain, properties.get(), now)?;
            Ok(broker.publish(&message))
        })?;
        match published.map_err(errors::not_a_message)? {
            Ok(()) => Ok(()),
            Err(error @ PublishError::Full) => Err(errors::raise(py, "QueueFullError", error)),
            Err(error @ PublishError::Stopped) => Err(PyRuntimeError::new_err(error.to_string())),
        }
    }

    /// Moves its clock ahead.
    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let by = Duration::try_from_secs_f64(seconds)
            .map_err(|_| PyValueError::new_err("time goes forward, by a number of seconds"))?;
        self.with(py, |broker| broker.advance(by))
    }

    /// Some of its counters.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        clients::stats(py, &self.with(py, Broker::stats)?)
    }

    /// Its sessions, as dicts.
    fn clients<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let all = self.with(py, clients::all)?;
        all.iter()
            .map(|client| clients::to_dict(py, client))
            .collect()
    }

    /// Stops it and starts it again on the same addresses.
    fn restart(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::keep_sessions)] keep_sessions: bool,
    ) -> PyResult<()> {
        self.check_process(py)?;
        let config = gil::released(py, || {
            let running = self.take();
            let running = running.ok_or_else(|| PyRuntimeError::new_err(NOT_RUNNING))?;
            self.end(running)?;
            let mut config = self.config();
            if !keep_sessions {
                config::wipe(&mut config, self.keeps_files).map_err(config::store_error)?;
            }
            Ok::<_, PyErr>(config.clone())
        })?;
        let (broker, telling) = launch(py, &config, &self.hooks, self.keeps_files)?;
        gil::released(py, || {
            *self.telling() = telling;
            *self.broker.write().unwrap_or_else(PoisonError::into_inner) = Some(broker);
        });
        Ok(())
    }

    /// Stops it and waits until every thread has ended and every descriptor is closed; nothing when
    /// it was stopped before.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        gil::released(py, || self.take().map_or(Ok(()), |broker| self.end(broker)))
    }

    /// Messages from now on, or with `retained` from the retained ones on. `keep_newest`: which give way.
    /// `watch`: it counts as no subscriber, and says who has published.
    fn subscribe(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::filter)] filter: &str,
        messages: usize,
        keep_newest: bool,
        retained: bool,
        watch: bool,
    ) -> PyResult<Tap> {
        let options = local::options(messages, keep_newest, retained, watch);
        let subscription = self.with(py, |broker| broker.subscribe(filter, options))?;
        subscription.map(Tap::new).map_err(local::subscribe_error)
    }

    /// The retained messages that match.
    fn retained(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::filter)] filter: &str,
    ) -> PyResult<Vec<Message>> {
        let all = self.with(py, |broker| {
            let (mut all, mut next) = (Vec::new(), Some(Cursor::default()));
            while let Some(from) = next {
                let page = broker.retained(filter, &from, usize::MAX)?;
                all.extend(page.messages);
                next = page.next;
            }
            Ok::<_, TopicError>(all)
        })?;
        let all = all.map_err(|e| PyValueError::new_err(format!("filter: {e}")))?;
        Ok(all
            .into_iter()
            .map(|message| Message::of(message, true, None))
            .collect())
    }

    /// Ends the connection of a client with a reason code; false when it has none.
    fn kick(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::client)] client_id: &str,
        #[pyo3(from_py_with = argument::reason)] reason: u8,
    ) -> PyResult<bool> {
        self.with(py, |broker| broker.kick(client_id, ReasonCode(reason)))
    }

    /// Replaces the rules of access.
    fn set_acl(&self, py: Python<'_>, acl: Vec<acl::Rule>) -> PyResult<()> {
        let rules = acl::rules(&acl)?;
        self.config().access.rules = Arc::new(acl::rules(&acl)?);
        self.with(py, |broker| broker.set_rules(rules))
    }

    /// Lets something go wrong; see `Faults` in Python. Returns its number.
    #[allow(clippy::too_many_arguments)]
    fn inject(
        &self,
        py: Python<'_>,
        client_id: Option<&str>,
        way: Option<&str>,
        packets: Vec<u8>,
        after: u64,
        times: Option<u64>,
        harm: (String, f64, u8),
    ) -> PyResult<u64> {
        let fault = faults::fault(client_id, way, &packets, after, times, &harm)?;
        let injected = self.with(py, |broker| broker.inject(fault))?;
        injected.map(|id| id.0).map_err(fault_error)
    }

    /// Ends a fault, or all.
    fn lift(&self, py: Python<'_>, fault: Option<u64>) -> PyResult<()> {
        self.with(py, |broker| match fault {
            Some(fault) => drop(broker.lift(FaultId(fault))),
            None => broker.lift_all(),
        })
    }

    /// How often a fault has happened; None when it was lifted, or its broker is gone.
    fn hits(&self, py: Python<'_>, fault: u64) -> PyResult<Option<u64>> {
        self.check_process(py)?;
        let hits = gil::released(py, || {
            let broker = self.broker();
            broker.as_ref()?.hits(FaultId(fault))
        });
        Ok(hits)
    }

    /// Waits until a fault has happened so often; false when it has not in time, and at once when it is
    /// lifted.
    fn wait_for_hits(
        &self,
        py: Python<'_>,
        fault: u64,
        hits: u64,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        self.check_process(py)?;
        let timeout = seconds(timeout)?;
        let fault = FaultId(fault);
        let happened = in_slices(py, timeout, |until| {
            let broker = self.broker();
            let Some(broker) = broker.as_ref() else {
                return Some(false);
            };
            let left = until.saturating_duration_since(Instant::now());
            match broker.wait_for_hits(fault, hits, left) {
                true => Some(true),
                // It may have been lifted, or go with a broker that was started again.
                false => broker.hits(fault).is_none().then_some(false),
            }
        })?;
        Ok(happened.unwrap_or(false))
    }

    /// Ends connections without a word, or lets them vanish; how many there were.
    fn strike(&self, py: Python<'_>, client_id: Option<&str>, vanish: bool) -> PyResult<usize> {
        let struck = self.with(py, |broker| match vanish {
            true => broker.vanish(client_id),
            false => broker.cut(client_id),
        })?;
        struck.map_err(fault_error)
    }
}

const NOT_RUNNING: &str = "the broker is not running";

impl RunningBroker {
    fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&Broker) -> R + Send) -> PyResult<R> {
        self.check_process(py)?;
        let result = gil::released(py, || self.broker().as_ref().map(work));
        result.ok_or_else(|| PyRuntimeError::new_err(NOT_RUNNING))
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        let text = "the broker runs in the process that forked";
        errors::check_process(py, self.process, text)
    }

    /// Stops a broker that was taken, and waits until all is told.
    fn end(&self, broker: Broker) -> PyResult<()> {
        let stopped = broker.stop();
        std::mem::take(&mut *self.telling()).end();
        stopped.map_err(stop_error)
    }

    fn telling(&self) -> MutexGuard<'_, Telling> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Broker> {
        let mut broker = self.broker.write().unwrap_or_else(PoisonError::into_inner);
        broker.take()
    }

    fn broker(&self) -> RwLockReadGuard<'_, Option<Broker>> {
        self.broker.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        let broker = self.take();
        if self.process == std::process::id() {
            Python::attach(|py| gil::released(py, || broker.map(|broker| self.end(broker))));
        } else {
            std::mem::forget(broker);
        }
    }
}

/// Starts a broker, and what tells Python of it.
fn launch(
    py: Python<'_>,
    config: &Config,
    hooks: &Hooks,
    keeps_files: bool,
) -> PyResult<(Broker, Telling)> {
    let mut config = config.clone();
    let events = hooks::client_channel();
    config.client_events = Some(events.0.clone());
    let store = hooks::store_channel();
    config.events = Some(store.0.clone());
    let broker = gil::released(py, || Broker::start(config)).map_err(start_error)?;
    let telling = hooks.tell(py, &broker, events, store, keeps_files)?;
    Ok((broker, telling))
}

/// An address that a client of this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match (address.ip().is_unspecified(), address.ip()) {
        (false, host) => host,
        (true, IpAddr::V4(_)) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (true, IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(host, address.port())
}

fn fault_error(error: FaultError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

fn stop_error(error: StopError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

fn start_error(error: StartError) -> PyErr {
    match &error {
        StartError::Config(_)
        | StartError::Users(_)
        | StartError::Ban(..)
        | StartError::Tls(..) => PyValueError::new_err(error.to_string()),
        StartError::Listen(_, cause) | StartError::System(cause) => match cause.raw_os_error() {
            // With the number Python makes it the right subclass, such as PermissionError.
            Some(number) => PyOSError::new_err((number, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        },
        StartError::Store(_) => PyOSError::new_err(error.to_string()),
    }
}
