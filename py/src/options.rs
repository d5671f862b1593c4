//! The options of a session, as Python passes them.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::client::{Acknowledge, Options};
use ternmq_protocol::codec::{Place, PropertyId, RetainHandling};
use ternmq_transport::{Endpoint, Scheme};

use crate::bytes::Payload;
use crate::message::Will;
use crate::properties;

/// The dict that a `Session` is made from. Every key must be there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SessionOptions<'py> {
    version: u8,
    client_id: String,
    clean_start: bool,
    session_expiry: u32,
    keepalive: u16,
    username: Option<String>,
    password: Option<Payload<'py>>,
    will: Option<Bound<'py, Will>>,
    properties: Option<Bound<'py, PyDict>>,
    inflight: u16,
    outbox: usize,
    outbox_bytes: usize,
    queue: usize,
    max_packet_size: u32,
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
            let text = format!("{name}: {}", cause.value(py));
            match cause.is_instance_of::<PyOverflowError>(py) {
                true => PyValueError::new_err(text),
                false => PyTypeError::new_err(text),
            }
        })
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
        let mut connect = match &self.properties {
            Some(mapping) => properties::from_mapping(mapping, Place::Connect)?,
            None => Default::default(),
        };
        if connect
            .get()
            .get(PropertyId::AuthenticationMethod)
            .is_some()
        {
            return Err(PyValueError::new_err(
                "enhanced authentication is not supported",
            ));
        }
        let will = self.will.map(|will| will.get().will.clone());
        if version.is_v5() {
            if self.session_expiry > 0 {
                let id = PropertyId::SessionExpiryInterval;
                properties::push_number(&mut connect, id, self.session_expiry)?;
            }
            // Nobody has to hold more unacknowledged messages than the application's queue.
            if connect.get().number(PropertyId::ReceiveMaximum).is_none() {
                let most = self.queue.clamp(1, usize::from(u16::MAX)) as u32;
                properties::push_number(&mut connect, PropertyId::ReceiveMaximum, most)?;
            }
        } else {
            let will_has_some = will
                .as_ref()
                .is_some_and(|will| !will.properties.is_empty());
            needs_v5(self.session_expiry > 0, "session_expiry")?;
            needs_v5(!connect.is_empty(), "properties")?;
            needs_v5(will_has_some, "a will with properties")?;
        }
        Ok(Options {
            version,
            client_id: self.client_id,
            clean_start: self.clean_start,
            keep_alive: self.keepalive,
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

/// Whether the session is meant to go on after the connection.
pub(crate) fn keeps_session(options: &Options) -> bool {
    match options.version.is_v5() {
        true => {
            let expiry = PropertyId::SessionExpiryInterval;
            options.properties.get().number(expiry).unwrap_or(0) > 0
        }
        false => !options.clean_start,
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

type Parts = (String, u16, Option<String>, Option<Vec<u8>>);

/// Host, port, user name and password of `mqtt://[user[:password]@]host[:port]`.
#[pyfunction]
pub(crate) fn parse_url(url: &str) -> PyResult<Parts> {
    let endpoint: Endpoint = url
        .parse()
        .map_err(|error: ternmq_transport::EndpointError| {
            PyValueError::new_err(error.to_string())
        })?;
    if endpoint.scheme != Scheme::Tcp {
        let scheme = endpoint.scheme.name();
        let hint = format!("{scheme}:// is not supported here; use mqtt:// or tcp://");
        return Err(PyValueError::new_err(hint));
    }
    Ok((
        endpoint.host,
        endpoint.port,
        endpoint.user_name,
        endpoint.password,
    ))
}
