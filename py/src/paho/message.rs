//! `MQTTMessage`: what came in, read from the packet when it is asked for; every attribute may be
//! assigned.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use ternmq_protocol::Message as Shared;
use ternmq_protocol::client::{Incoming, SubscriptionIds};

use crate::clock;
use crate::properties;

/// A message that came in, or that a program has made for itself.
#[pyclass(subclass, name = "MQTTMessage", module = "ternmq.paho.client")]
pub(crate) struct PahoMessage {
    arrived: Option<Arrived>,
    topic: Option<Py<PyBytes>>,
    payload: Option<Py<PyAny>>,
    properties: Option<Py<PyAny>>,
    info: Option<Py<PyAny>>,
    state: Option<Py<PyAny>>,
    #[pyo3(get, set)]
    qos: u8,
    #[pyo3(get, set)]
    retain: bool,
    #[pyo3(get, set)]
    dup: bool,
    #[pyo3(get, set)]
    mid: u16,
    #[pyo3(get, set)]
    timestamp: f64,
}

struct Arrived {
    message: Shared,
    subscription_ids: SubscriptionIds,
    v5: bool,
}

impl PahoMessage {
    pub(super) fn arrived(incoming: Incoming, timestamp: f64, v5: bool) -> Self {
        Self {
            qos: incoming.qos as u8,
            retain: incoming.retain,
            dup: incoming.dup,
            mid: incoming.packet_id,
            timestamp,
            arrived: Some(Arrived {
                message: incoming.message,
                subscription_ids: incoming.subscription_ids,
                v5,
            }),
            topic: None,
            payload: None,
            properties: None,
            info: None,
            state: None,
        }
    }
}

#[pymethods]
impl PahoMessage {
    #[new]
    #[pyo3(signature = (mid=0, topic=None))]
    fn new(mid: u16, topic: Option<Py<PyBytes>>) -> Self {
        Self {
            arrived: None,
            topic,
            payload: None,
            properties: None,
            info: None,
            state: None,
            qos: 0,
            retain: false,
            dup: false,
            mid,
            timestamp: 0.0,
        }
    }

    /// The topic name as text; assigned as bytes.
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        match (&self.topic, &self.arrived) {
            (Some(topic), _) => {
                // Python's own way, for Python's own error.
                let text = topic.bind(py).call_method0("decode")?;
                Ok(text.cast_into()?)
            }
            (None, Some(arrived)) => Ok(PyString::new(py, arrived.message.topic())),
            (None, None) => Ok(PyString::new(py, "")),
        }
    }

    #[setter]
    fn set_topic(&mut self, topic: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = match topic.cast::<PyString>() {
            Ok(text) => PyBytes::new(topic.py(), text.to_str()?.as_bytes()),
            Err(_) => topic
                .cast::<PyBytes>()
                .map_err(|_| PyTypeError::new_err("a topic is bytes or str"))?
                .clone(),
        };
        self.topic = Some(bytes.unbind());
        Ok(())
    }

    #[getter]
    fn _topic<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.topic(py)?.to_str()?.as_bytes()))
    }

    #[setter(_topic)]
    fn set_raw_topic(&mut self, topic: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_topic(topic)
    }

    /// The application message.
    #[getter]
    fn payload(&mut self, py: Python<'_>) -> Py<PyAny> {
        if let Some(payload) = &self.payload {
            return payload.clone_ref(py);
        }
        let bytes = self.arrived.as_ref().map(|a| a.message.payload());
        let bytes = PyBytes::new(py, bytes.unwrap_or_default())
            .into_any()
            .unbind();
        self.payload = Some(bytes.clone_ref(py));
        bytes
    }

    #[setter]
    fn set_payload(&mut self, payload: Py<PyAny>) {
        self.payload = Some(payload);
    }

    /// A `Properties` with MQTT 5, else None.
    #[getter]
    fn properties(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(properties) = &self.properties {
            return Ok(properties.clone_ref(py));
        }
        let made = match self.arrived.as_ref().filter(|arrived| arrived.v5) {
            None => py.None(),
            Some(arrived) => {
                let dict = properties::to_dict(py, arrived.message.properties())?;
                if let Some(left) = arrived.message.expiry_left(clock::now()) {
                    dict.set_item("message_expiry_interval", left)?;
                }
                let ids = arrived.subscription_ids.as_slice();
                if !ids.is_empty() {
                    dict.set_item("subscription_identifier", ids.to_vec())?;
                }
                let make = py
                    .import("ternmq.paho.properties")?
                    .getattr("_of_message")?;
                make.call1((dict,))?.unbind()
            }
        };
        self.properties = Some(made.clone_ref(py));
        Ok(made)
    }

    #[setter]
    fn set_properties(&mut self, properties: Py<PyAny>) {
        self.properties = Some(properties);
    }

    #[getter]
    fn info(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(info) = &self.info {
            return Ok(info.clone_ref(py));
        }
        let class = py.get_type::<super::MessageInfo>();
        let made = class.call1((self.mid,))?.unbind();
        self.info = Some(made.clone_ref(py));
        Ok(made)
    }

    #[setter]
    fn set_info(&mut self, info: Py<PyAny>) {
        self.info = Some(info);
    }

    /// A `MessageState`.
    #[getter]
    fn state(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(state) = &self.state {
            return Ok(state.clone_ref(py));
        }
        let class = py.import("ternmq.paho.enums")?.getattr("MessageState")?;
        let made = class.call1((0,))?.unbind();
        self.state = Some(made.clone_ref(py));
        Ok(made)
    }

    #[setter]
    fn set_state(&mut self, state: Py<PyAny>) {
        self.state = Some(state);
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<Self>().map(|other| other.borrow().mid);
        other.is_ok_and(|mid| mid == self.mid)
    }

    fn __ne__(&self, other: &Bound<'_, PyAny>) -> bool {
        !self.__eq__(other)
    }
}
