//! A client session with the manners of paho-mqtt, for a socket that Python owns.

use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use ternmq_protocol::client::{Acknowledge, ClientSession, Options, State, Will};
use ternmq_protocol::codec::{Place, PropertiesBuf, SubscriptionOptions};
use ternmq_protocol::topic::TopicFilter;
use ternmq_protocol::{Message, ProtocolVersion, ReasonCode};

use super::info::{MessageInfo, Progress};
use super::inner::{Given, Inner, RequestError};
use super::message::PahoMessage;
use crate::bytes::Payload;
use crate::clock::now;
use crate::events;
use crate::message::qos_of;
use crate::options::retain_handling_of;
use crate::properties;

/// Bytes that `take` gives at most: one copy and one write to the socket.
const MOST_TAKEN: usize = 256 << 10;

/// Most bytes of messages that wait for the socket or for an acknowledgement. paho-mqtt has no limit
/// here; beyond it `publish` says `MQTT_ERR_QUEUE_SIZE`.
const MOST_QUEUED_BYTES: usize = 1 << 30;

/// The largest payload, as the standard's Remaining Length allows.
const MOST_PAYLOAD: usize = 268_435_455;

type Filter = (String, u8, bool, bool, u8);
type WillParts<'py> = (String, Payload<'py>, u8, bool, Option<Bound<'py, PyDict>>);

/// A client session. Threads may use it at the same time; no call into Python happens under its lock.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct PahoSession {
    inner: Mutex<Inner>,
    progress: Arc<Progress>,
}

#[pymethods]
impl PahoSession {
    #[new]
    fn new() -> PyResult<Self> {
        let options = Options {
            acknowledge: Acknowledge::Manual,
            ..Options::default()
        };
        let machine =
            ClientSession::new(options).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let progress = Arc::<Progress>::default();
        Ok(Self {
            inner: Mutex::new(Inner::new(machine, progress.clone())),
            progress,
        })
    }

    /// What the next connection begins with.
    #[expect(clippy::too_many_arguments, reason = "what CONNECT has")]
    fn configure(
        &self,
        py: Python<'_>,
        version: u8,
        client_id: String,
        clean_start: bool,
        keepalive: u16,
        username: Option<String>,
        password: Option<Payload<'_>>,
        will: Option<WillParts<'_>>,
        properties: Option<&Bound<'_, PyDict>>,
        inflight: u16,
    ) -> PyResult<()> {
        let version = match version {
            3 => ProtocolVersion::V3_1,
            4 => ProtocolVersion::V3_1_1,
            5 => ProtocolVersion::V5_0,
            _ => return Err(PyValueError::new_err("protocol must be 3, 4 or 5")),
        };
        let will = will
            .map(|parts| will_of(parts, version.is_v5()))
            .transpose()?;
        let properties = encode(properties, Place::Connect)?;
        let patience = u64::from(keepalive) * 1000;
        let options = Options {
            version,
            client_id,
            clean_start,
            keep_alive: keepalive,
            ping_timeout_ms: patience,
            connect_timeout_ms: patience,
            user_name: username,
            password: password.map(|password| password.as_slice().to_vec()),
            will,
            properties,
            max_inflight: inflight,
            max_queued_messages: usize::MAX,
            max_queued_bytes: MOST_QUEUED_BYTES,
            acknowledge: Acknowledge::Manual,
            publish_offline: true,
            ..Options::default()
        };
        *self.lock(py).machine.options_mut() = options;
        Ok(())
    }

    /// Most messages with QoS above 0 that are not complete; 0 for no limit.
    fn limit(&self, py: Python<'_>, most: usize) {
        self.lock(py).most_queued = most;
    }

    /// The transport is open.
    fn opened(&self, py: Python<'_>) {
        self.lock(py).machine.handle_open(now());
    }

    /// Bytes came in. Returns messages and events, None for none. `at`: what their timestamp is.
    fn feed<'py>(
        &self,
        py: Python<'py>,
        data: &[u8],
        at: f64,
        manual: bool,
        announce: bool,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let given = {
            let mut inner = self.lock(py);
            let now = now();
            inner.machine.handle_input(now, data);
            inner.given(now, manual, announce)
        };
        self.to_list(py, given, at)
    }

    /// The transport is gone. Returns messages and events.
    fn closed<'py>(
        &self,
        py: Python<'py>,
        at: f64,
        manual: bool,
        announce: bool,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let given = {
            let mut inner = self.lock(py);
            let now = now();
            inner.closed(now);
            inner.given(now, manual, announce)
        };
        self.to_list(py, given, at)
    }

    /// Time has passed.
    fn tick(&self, py: Python<'_>) {
        self.lock(py).machine.handle_timeout(now());
    }

    /// As `tick`, between two callbacks: what the server has said meanwhile is not read yet, so its
    /// silence is no sign of death.
    fn breathe(&self, py: Python<'_>) {
        let mut inner = self.lock(py);
        let now = now();
        inner.machine.set_reading(now, false);
        inner.machine.handle_timeout(now);
        inner.machine.set_reading(now, true);
    }

    /// Seconds until `tick` is due, None when nothing waits for time.
    fn timeout(&self, py: Python<'_>) -> Option<f64> {
        let at = self.lock(py).machine.poll_timeout()?;
        Some(at.since(now()) as f64 / 1000.0)
    }

    /// The first `count` things of the last batch have had their callbacks.
    fn handled(&self, py: Python<'_>, count: usize) {
        self.lock(py).handled(now(), count);
    }

    /// Whether `handled` has something to acknowledge.
    #[getter]
    fn owes(&self, py: Python<'_>) -> bool {
        self.lock(py).owes()
    }

    /// Acknowledges a message of manual mode; False when none waits under this mid.
    fn acknowledge(&self, py: Python<'_>, mid: u16) -> bool {
        self.lock(py).acknowledge(now(), mid)
    }

    /// What is to be sent, or its beginning; None for nothing. Say `wrote` when it was sent.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut inner = self.lock(py);
        let length = inner.machine.outbound().len().min(MOST_TAKEN);
        if length == 0 {
            return Ok(None);
        }
        inner.took(length);
        let outbound = inner.machine.outbound();
        let fill = |target: &mut [u8]| {
            outbound.read(target);
            Ok(())
        };
        PyBytes::new_with(py, length, fill).map(Some)
    }

    /// Whether `take` would give something.
    #[getter]
    fn has_output(&self, py: Python<'_>) -> bool {
        !self.lock(py).machine.outbound().is_empty()
    }

    /// `length` bytes of what was taken were sent. Returns the messages of QoS 0 that are out by it if
    /// `announce` is set; they are to be told so after their callbacks. Else they are told now.
    fn wrote(&self, py: Python<'_>, length: usize, announce: bool) -> Option<Vec<Py<MessageInfo>>> {
        let mut infos = Vec::new();
        let mut inner = self.lock(py);
        if announce {
            inner.wrote(length, |info| infos.push(info));
            return (!infos.is_empty()).then_some(infos);
        }
        inner.wrote(length, |info| info.get().finish(super::rc::SUCCESS));
        drop(inner);
        self.progress.notify();
        None
    }

    /// Whether the transport is to be closed once everything is sent.
    #[getter]
    fn wants_close(&self, py: Python<'_>) -> bool {
        self.lock(py).machine.wants_close()
    }

    /// Whether the server has accepted the connection.
    #[getter]
    fn connected(&self, py: Python<'_>) -> bool {
        self.lock(py).machine.state() == State::Connected
    }

    /// Whether every publish is complete.
    #[getter]
    fn idle(&self, py: Python<'_>) -> bool {
        self.lock(py).is_idle()
    }

    /// Mids of messages with QoS above 0 that are not complete, in order.
    fn pending(&self, py: Python<'_>) -> Vec<u16> {
        let mut mids: Vec<u16> = self.lock(py).pending().collect();
        mids.sort_unstable();
        mids
    }

    /// This thread begins to run callbacks, or has ended to.
    fn dispatching(&self, on: bool) {
        self.progress.set_dispatching(on);
    }

    /// Whether this thread runs callbacks.
    #[getter]
    fn in_callback(&self) -> bool {
        self.progress.is_dispatching_here()
    }

    /// Publishes. The info's `rc` says whether the message was taken.
    fn publish(
        &self,
        py: Python<'_>,
        topic: &str,
        payload: &Bound<'_, PyAny>,
        qos: u8,
        retain: bool,
        properties: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<MessageInfo>> {
        let payload = payload_of(payload)?;
        if payload.as_slice().len() > MOST_PAYLOAD {
            return Err(PyValueError::new_err("the payload is too large"));
        }
        let properties = encode(properties, Place::Publish)?;
        let (now, qos) = (now(), qos_of(qos)?);
        let message = Message::new(
            topic,
            payload.as_slice(),
            qos,
            retain,
            properties.get(),
            now,
        )
        .map_err(|e| PyValueError::new_err(e.to_string()))?;
        self.lock(py).publish(py, now, message)
    }

    /// Subscribes; returns a value of `MQTTErrorCode` and the mid. `filters`: filter, QoS, No Local,
    /// Retain As Published, Retain Handling.
    fn subscribe(
        &self,
        py: Python<'_>,
        filters: Vec<Filter>,
        properties: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<(i32, Option<u16>)> {
        let properties = encode(properties, Place::Subscribe)?;
        let mut requests = Vec::with_capacity(filters.len());
        for (filter, qos, no_local, retain_as_published, retain_handling) in filters {
            check_filter(&filter)?;
            let options = SubscriptionOptions {
                qos: qos_of(qos)?,
                no_local,
                retain_as_published,
                retain_handling: retain_handling_of(retain_handling)?,
            };
            requests.push((filter, options));
        }
        answer(self.lock(py).subscribe(now(), requests, properties))
    }

    /// Unsubscribes; returns a value of `MQTTErrorCode` and the mid.
    fn unsubscribe(
        &self,
        py: Python<'_>,
        filters: Vec<String>,
        properties: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<(i32, Option<u16>)> {
        let properties = encode(properties, Place::Unsubscribe)?;
        filters.iter().try_for_each(|filter| check_filter(filter))?;
        answer(self.lock(py).unsubscribe(now(), filters, properties))
    }

    /// Sends DISCONNECT.
    fn disconnect(
        &self,
        py: Python<'_>,
        reason: u8,
        properties: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let properties = encode(properties, Place::Disconnect)?;
        let mut inner = self.lock(py);
        let done = inner
            .machine
            .disconnect(now(), ReasonCode(reason), properties.get());
        done.map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Drops the messages with QoS above 0 that are not complete. Returns their mids with topic,
    /// payload, QoS and RETAIN.
    fn drop_out_messages(&self, py: Python<'_>) -> Vec<(u16, String, Py<PyBytes>, u8, bool)> {
        use ternmq_protocol::client::Stored;
        let mut inner = self.lock(py);
        let stored: Vec<Stored> = inner.machine.stored().collect();
        let infos = inner.drop_out_messages();
        drop(inner);
        for (_, info) in &infos {
            info.get().finish(super::rc::UNKNOWN);
        }
        self.progress.notify();
        let published = stored.into_iter().filter_map(|stored| match stored {
            Stored::Publish {
                packet_id, message, ..
            } => Some((
                packet_id,
                message.topic().to_owned(),
                PyBytes::new(py, message.payload()).unbind(),
                message.qos() as u8,
                message.retain(),
            )),
            _ => None,
        });
        published.collect()
    }
}

impl PahoSession {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Inner> {
        let locked = self.inner.lock_py_attached(py);
        locked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn to_list<'py>(
        &self,
        py: Python<'py>,
        given: Vec<Given>,
        at: f64,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        if given.is_empty() {
            return Ok(None);
        }
        let v5 = self.lock(py).machine.options().version.is_v5();
        let mut items = Vec::with_capacity(given.len());
        for one in given {
            items.push(match one {
                Given::Message(incoming) => {
                    Bound::new(py, PahoMessage::arrived(incoming, at, v5))?.into_any()
                }
                Given::Event(event) => events::to_tuple(py, &event)?.into_any(),
                Given::Published(event, info) => {
                    let tuple = events::to_tuple(py, &event)?;
                    let (kind, mid) = (tuple.get_item(0)?, tuple.get_item(1)?);
                    let (reason, properties) = (tuple.get_item(2)?, tuple.get_item(3)?);
                    (kind, mid, reason, properties, info)
                        .into_pyobject(py)?
                        .into_any()
                }
            });
        }
        PyList::new(py, items).map(Some)
    }
}

fn encode(properties: Option<&Bound<'_, PyDict>>, place: Place) -> PyResult<PropertiesBuf> {
    match properties {
        Some(mapping) => properties::from_mapping(mapping, place),
        None => Ok(PropertiesBuf::default()),
    }
}

fn will_of(parts: WillParts<'_>, v5: bool) -> PyResult<Will> {
    let (topic, payload, qos, retain, properties) = parts;
    Ok(Will {
        topic,
        payload: payload.as_slice().to_vec(),
        qos: qos_of(qos)?,
        retain,
        properties: encode(properties.as_ref().filter(|_| v5), Place::Will)?,
    })
}

/// Numbers travel as their text, None as nothing.
fn payload_of<'py>(payload: &Bound<'py, PyAny>) -> PyResult<Payload<'py>> {
    if payload.is_none() {
        return Ok(Payload::default());
    }
    if payload.is_exact_instance_of::<PyBytes>() || payload.is_exact_instance_of::<PyString>() {
        return payload.extract();
    }
    let number = payload.is_instance_of::<PyInt>()
        || payload.is_instance_of::<PyFloat>()
        || payload.is_instance_of::<PyBool>();
    if number {
        return payload.str()?.into_any().extract();
    }
    payload.extract().map_err(|_: PyErr| {
        PyTypeError::new_err("payload must be a string, bytearray, int, float or None.")
    })
}

fn check_filter(filter: &str) -> PyResult<()> {
    match TopicFilter::parse(filter, usize::MAX) {
        Ok(_) => Ok(()),
        Err(error) => Err(PyValueError::new_err(format!("{filter:?}: {error}"))),
    }
}

fn answer(requested: Result<u16, RequestError>) -> PyResult<(i32, Option<u16>)> {
    match requested {
        Ok(mid) => Ok((super::rc::SUCCESS, Some(mid))),
        Err(RequestError::Code(code)) => Ok((code, None)),
        Err(RequestError::Invalid(text)) => Err(PyValueError::new_err(text)),
    }
}
