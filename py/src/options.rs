//! The options of a session, as Python passes them.

use std::path::PathBuf;

use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use ternmq_client::{FileOutbox, OutboxOptions};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::client::{Acknowledge, ClientSession, Options, Stored};
use ternmq_protocol::codec::{Place, PropertyId, RetainHandling, Value};
use ternmq_transport::Endpoint;

use crate::argument;
use crate::bytes::Payload;
use crate::message::Will;
use crate::properties;

/// The dict that a `Session` is made from. Every key must be there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SessionOptions<'py> {
    version: u8,
    #[pyo3(from_py_with = argument::client_id)]
    client_id: String,
    #[pyo3(from_py_with = argument::clean_start)]
    clean_start: bool,
    #[pyo3(from_py_with = argument::session_expiry)]
    session_expiry: u32,
    #[pyo3(from_py_with = argument::keepalive)]
    keepalive: u16,
    #[pyo3(from_py_with = argument::username)]
    username: Option<String>,
    #[pyo3(from_py_with = argument::password)]
    password: Option<Payload<'py>>,
    will: Option<Bound<'py, Will>>,
    properties: Option<Bound<'py, PyDict>>,
    #[pyo3(from_py_with = argument::inflight)]
    inflight: u16,
    #[pyo3(from_py_with = argument::outbox)]
    outbox: usize,
    #[pyo3(from_py_with = argument::outbox_bytes)]
    outbox_bytes: usize,
    #[pyo3(from_py_with = argument::queue)]
    queue: usize,
    #[pyo3(from_py_with = argument::max_packet_size)]
    max_packet_size: u32,
    #[pyo3(from_py_with = argument::receive_maximum)]
    receive_maximum: Option<u16>,
    auth_method: Option<String>,
}

impl<'py> SessionOptions<'py> {
    /// # Errors
    /// A value of the wrong type, or out of range; the message names the option.
    pub(crate) fn of(options: &Bound<'py, PyDict>) -> PyResult<Self> {
        let py = options.py();
        options.extract::<Self>().map_err(|error| {
            let Some(cause) = error.cause(py) else {
                return error;
            };
            let field = error.value(py).to_string();
            let name = field.rsplit('.').next().unwrap_or_default();
            let text = cause.value(py).to_string();
            match text.starts_with(name) {
                true => cause,
                false => PyTypeError::new_err(format!("{name}: {text}")),
            }
        })
    }

    /// # Errors
    /// A value out of range that its type does not keep out; the message names the option.
    fn check(&self) -> PyResult<()> {
        named("client_id", Some(&self.client_id))?;
        named("username", self.username.as_deref())?;
        if self
            .password
            .as_ref()
            .is_some_and(|p| p.as_slice().len() > usize::from(u16::MAX))
        {
            return Err(PyValueError::new_err("password: longer than 65535 bytes"));
        }
        for (name, least) in [("queue", self.queue), ("inflight", self.inflight.into())] {
            if least == 0 {
                return Err(PyValueError::new_err(format!("{name} must be at least 1")));
            }
        }
        if self.max_packet_size == 0 {
            return Err(PyValueError::new_err("max_packet_size must be at least 1"));
        }
        Ok(())
    }

    /// # Errors
    /// A value that no CONNECT can carry, or that MQTT 3 has no place for.
    pub(crate) fn build(self) -> PyResult<Options> {
        let version = match self.version {
            3 => ProtocolVersion::V3_1,
            4 => ProtocolVersion::V3_1_1,
            5 => ProtocolVersion::V5_0,
            _ => return Err(PyValueError::new_err("version must be 3, 4 or 5")),
        };
        self.check()?;
        let mut connect = match &self.properties {
            Some(mapping) => properties::from_mapping(mapping, Place::Connect)?,
            None => Default::default(),
        };
        let named = connect.get().get(PropertyId::AuthenticationMethod);
        if named.is_some() {
            let text = "properties: authentication_method is for auth= to say";
            return Err(PyValueError::new_err(text));
        }
        if let Some(method) = &self.auth_method {
            let value = Value::Utf8String(method);
            let pushed = connect.push(PropertyId::AuthenticationMethod, value);
            pushed.map_err(|e| PyValueError::new_err(format!("auth: {e}")))?;
        }
        let will = self.will.map(|will| will.get().will.clone());
        if version.is_v5() {
            if self.session_expiry > 0 {
                let id = PropertyId::SessionExpiryInterval;
                properties::push_number(&mut connect, id, self.session_expiry)?;
            }
            // Nobody has to hold more unacknowledged messages than the application's queue.
            if self.receive_maximum == Some(0) {
                return Err(PyValueError::new_err("receive_maximum must not be 0"));
            }
            if connect.get().number(PropertyId::ReceiveMaximum).is_none() {
                let by_queue = self.queue.clamp(1, usize::from(u16::MAX)) as u16;
                let most = self.receive_maximum.unwrap_or(by_queue).into();
                properties::push_number(&mut connect, PropertyId::ReceiveMaximum, most)?;
            }
        } else {
            let will_has_some = will
                .as_ref()
                .is_some_and(|will| !will.properties.is_empty());
            needs_v5(self.session_expiry > 0, "session_expiry")?;
            needs_v5(self.receive_maximum.is_some(), "receive_maximum")?;
            needs_v5(self.auth_method.is_some(), "auth")?;
            needs_v5(!connect.is_empty(), "properties")?;
            needs_v5(will_has_some, "a will with properties")?;
        }
        Ok(Options {
            version,
            client_id: self.client_id,
            clean_start: self.clean_start,
            keep_alive: self.keepalive,
            ping_timeout_ms: ping_timeout(self.keepalive),
            user_name: self.username,
            password: self.password.map(|password| password.as_slice().to_vec()),
            will,
            properties: connect,
            max_inflight: self.inflight,
            max_queued_messages: self.outbox,
            max_queued_bytes: self.outbox_bytes,
            max_packet_size: self.max_packet_size,
            acknowledge: Acknowledge::Manual,
            // The whole of connecting has one timeout, and it is the caller's.
            connect_timeout_ms: 0,
            publish_offline: false,
            ..Options::default()
        })
    }
}

/// How long the server may stay silent after a PINGREQ, in milliseconds: as long as Keep Alive, which
/// says how soon the application wants to know. Without one the server may impose its own.
fn ping_timeout(keepalive: u16) -> u64 {
    let usual = Options::default().ping_timeout_ms;
    match u64::from(keepalive) * 1000 {
        0 => usual,
        patience => patience.min(usual),
    }
}

/// ValueError for what is no string of MQTT; the message names the option.
fn named(name: &str, text: Option<&str>) -> PyResult<()> {
    let text = text.unwrap_or_default();
    if text.len() > usize::from(u16::MAX) {
        return Err(PyValueError::new_err(format!(
            "{name}: longer than 65535 bytes"
        )));
    }
    match text.contains('\0') {
        true => Err(PyValueError::new_err(format!("{name}: U+0000 in a string"))),
        false => Ok(()),
    }
}

/// 0, 1 or 2 as a Retain Handling.
pub(crate) fn retain_handling_of(number: u8) -> PyResult<RetainHandling> {
    Ok(match number {
        0 => RetainHandling::SendAtSubscribe,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(PyValueError::new_err("retain_handling must be 0, 1 or 2")),
    })
}

/// ValueError when something was asked for that only MQTT 5 has.
pub(crate) fn needs_v5(asked: bool, what: &str) -> PyResult<()> {
    match asked {
        true => Err(PyValueError::new_err(format!(
            "{what}: only MQTT 5 has that"
        ))),
        false => Ok(()),
    }
}

/// Raises what a session with these options would, which makes itself later.
#[pyfunction]
pub(crate) fn check_options(options: &Bound<'_, PyDict>) -> PyResult<()> {
    let options = SessionOptions::of(options)?.build()?;
    let session = ClientSession::new(options).map_err(|e| PyValueError::new_err(e.to_string()));
    session.map(drop)
}

/// The file that the session is kept in, and what it held; nothing when the options name none.
pub(crate) fn store_of(options: &Bound<'_, PyDict>) -> PyResult<Option<(FileOutbox, Vec<Stored>)>> {
    let path = match options.get_item("store")? {
        Some(path) if !path.is_none() => path.extract::<PathBuf>()?,
        _ => return Ok(None),
    };
    let mut how = OutboxOptions::default();
    if let Some(sync) = options.get_item("store_sync")? {
        how.sync = sync.extract()?;
    }
    let opened = FileOutbox::open_with(&path, how);
    let opened =
        opened.map_err(|error| PyOSError::new_err(format!("{}: {error}", path.display())))?;
    if let Some(damage) = opened.0.status().damage() {
        let logger = options.py().import("logging")?;
        let logger = logger.call_method1("getLogger", ("ternmq.client",))?;
        let text = "%s: damaged in %d places; the file as it was is %s";
        let (places, copy) = (damage.places, damage.copy);
        logger.call_method1("error", (text, path, places, copy))?;
    }
    Ok(Some(opened))
}

type Parts = (
    &'static str,
    String,
    u16,
    String,
    Option<String>,
    Option<Vec<u8>>,
);

/// Scheme, host, port, path, user name and password of a server's URI.
#[pyfunction]
pub(crate) fn parse_url(url: &str) -> PyResult<Parts> {
    let endpoint: Endpoint = url
        .parse()
        .map_err(|error: ternmq_transport::EndpointError| {
            PyValueError::new_err(format!("url: {error}"))
        })?;
    Ok((
        endpoint.scheme.name(),
        endpoint.host,
        endpoint.port,
        endpoint.path,
        endpoint.user_name,
        endpoint.password,
    ))
}
