//! What comes in and what stands in a CONNECT: messages and wills as Python sees them.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use ternmq_protocol::client::{Delivery, Incoming, SubscriptionIds, Will as SessionWill};
use ternmq_protocol::codec::{PropertyId, QoS};
use ternmq_protocol::topic::TopicName;
use ternmq_protocol::{Message as Shared, ReasonCode};

use crate::argument;
use crate::blocking_subscription::BlockingSubscription;
use crate::bytes::Payload;
use crate::clock;
use crate::properties::{self, PublishProperties};
use crate::routes::Key;
use crate::session::Session;

/// An application message that came in. It never changes, and `memoryview(message)` is its payload
/// without a copy.
#[pyclass(frozen, module = "ternmq")]
pub(crate) struct Message {
    shared: Shared,
    qos: QoS,
    retain: bool,
    dup: bool,
    subscription_ids: SubscriptionIds,
    /// Where it is acknowledged by hand.
    receipt: Option<Box<Receipt>>,
    /// Who has published it, where that is known.
    publisher: Option<Arc<str>>,
}

/// What a message is acknowledged with.
pub(crate) struct Receipt {
    pub(crate) delivery: Delivery,
    pub(crate) to: Recipient,
}

/// Who is told that a message was dealt with.
pub(crate) enum Recipient {
    Session(Py<Session>, Key),
    Blocking(Py<BlockingSubscription>),
}

impl Message {
    pub(crate) fn new(incoming: &Incoming) -> Self {
        Self::with_receipt(incoming, None)
    }

    /// A message that the application acknowledges.
    pub(crate) fn manual(incoming: &Incoming, to: Recipient) -> Self {
        let delivery = incoming.delivery;
        Self::with_receipt(incoming, Some(Box::new(Receipt { delivery, to })))
    }

    fn with_receipt(incoming: &Incoming, receipt: Option<Box<Receipt>>) -> Self {
        Self {
            receipt,
            publisher: None,
            shared: incoming.message.clone(),
            qos: incoming.qos,
            retain: incoming.retain,
            dup: incoming.dup,
            subscription_ids: incoming.subscription_ids.clone(),
        }
    }

    /// One that did not come over a connection.
    pub(crate) fn of(shared: Shared, retain: bool, publisher: Option<Arc<str>>) -> Self {
        Self {
            qos: shared.qos(),
            shared,
            retain,
            dup: false,
            subscription_ids: SubscriptionIds::None,
            receipt: None,
            publisher,
        }
    }

    fn text(&self, id: PropertyId) -> Option<&str> {
        self.shared.properties().text(id)
    }
}

#[pymethods]
impl Message {
    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str, &'static str) {
        ("topic", "payload", "qos", "retain")
    }

    /// The topic name it was published to.
    #[getter]
    fn topic(&self) -> &str {
        self.shared.topic()
    }

    /// The application message: a copy for each access, `memoryview(message)` costs none.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.shared.payload())
    }

    /// The QoS it was delivered with.
    #[getter]
    fn qos(&self) -> u8 {
        self.qos as u8
    }

    /// Whether it was the topic's retained message, or was published as one.
    #[getter]
    fn retain(&self) -> bool {
        self.retain
    }

    /// Whether the server may have sent it before.
    #[getter]
    fn dup(&self) -> bool {
        self.dup
    }

    /// The user properties in order, as (name, value) pairs.
    #[getter]
    fn user<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(
            py,
            self.shared
                .properties()
                .user_properties()
                .collect::<Vec<_>>(),
        )
    }

    /// The Content Type.
    #[getter]
    fn content_type(&self) -> Option<&str> {
        self.text(PropertyId::ContentType)
    }

    /// The topic on which an answer is expected.
    #[getter]
    fn response_topic(&self) -> Option<&str> {
        self.text(PropertyId::ResponseTopic)
    }

    /// What to send back with an answer.
    #[getter]
    fn correlation_data<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let data = self
            .shared
            .properties()
            .binary(PropertyId::CorrelationData)?;
        Some(PyBytes::new(py, data))
    }

    /// The Payload Format Indicator: 1 promises UTF-8 text.
    #[getter]
    fn payload_format(&self) -> Option<u32> {
        self.shared
            .properties()
            .number(PropertyId::PayloadFormatIndicator)
    }

    /// Seconds of life left now, None for a message that does not expire.
    #[getter]
    fn expiry(&self) -> Option<u32> {
        self.shared.expiry_left(clock::now())
    }

    /// The identifier of the client that has published it, or whose will it is: only an embedded broker
    /// tells that, to `on_publish`, `messages` and `wait_for`. None for what `Broker.publish` published.
    #[getter]
    fn client_id(&self) -> Option<&str> {
        self.publisher.as_deref()
    }

    /// The Subscription Identifiers it came with. Subscriptions that were given none have one that the
    /// client chose, from 16,384 on.
    #[getter]
    fn subscription_ids(&self) -> &[u32] {
        self.subscription_ids.as_slice()
    }

    /// All properties that travelled with it, by their names in the standard.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        properties::to_dict(py, self.shared.properties())
    }

    /// Acknowledges the message, of a subscription with `ack="manual"`: the server will not send it
    /// again. Does not wait; any order will do. An error as `reason_code` tells an MQTT 5 server that
    /// the message was not accepted. False when nothing waits for it any more: it has QoS 0, was
    /// acknowledged before, or comes again because its connection has ended.
    #[pyo3(signature = (reason_code=0))]
    fn ack(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::reason_code)] reason_code: u8,
    ) -> PyResult<bool> {
        let Some(receipt) = &self.receipt else {
            let text = "the subscription acknowledges by itself; subscribe with ack=\"manual\"";
            return Err(PyRuntimeError::new_err(text));
        };
        let reason = ReasonCode(reason_code);
        match &receipt.to {
            _ if self.qos == QoS::AtMostOnce => Ok(false),
            Recipient::Session(session, key) => {
                Session::acknowledge_one(session.bind(py), *key, receipt.delivery, reason)
            }
            Recipient::Blocking(subscription) => {
                subscription
                    .get()
                    .acknowledge_one(py, receipt.delivery, reason)
            }
        }
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.payload(py)
    }

    fn __repr__(&self) -> String {
        let mut text = format!(
            "<Message {:?} qos={} {} bytes",
            self.shared.topic(),
            self.qos as u8,
            self.shared.payload().len()
        );
        for (set, name) in [(self.retain, " retain"), (self.dup, " dup")] {
            text += if set { name } else { "" };
        }
        text + ">"
    }

    // SAFETY: Python calls this with a buffer structure for it to fill in.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let payload = slf.get().shared.payload();
        let start = payload.as_ptr().cast_mut().cast::<c_void>();
        // SAFETY: the view takes a reference to the message, which is frozen: the payload neither
        // moves nor changes while the view exists, and the view is read-only.
        let done = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, payload.len() as isize, 1, flags)
        };
        if done == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

/// What the server publishes when the connection ends without a DISCONNECT.
#[pyclass(frozen, module = "ternmq")]
pub(crate) struct Will {
    pub(crate) will: SessionWill,
}

#[pymethods]
impl Will {
    /// `delay`: seconds that the server waits before it publishes the will; `delay` and the
    /// properties need MQTT 5.
    #[new]
    #[pyo3(signature = (topic, payload=Payload::default(), qos=0, retain=false, *, delay=0, expiry=None,
        content_type=None, response_topic=None, correlation_data=None, user=None, payload_format=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        #[pyo3(from_py_with = argument::topic)] topic: String,
        #[pyo3(from_py_with = argument::payload)] payload: Payload<'_>,
        #[pyo3(from_py_with = argument::qos)] qos: u8,
        #[pyo3(from_py_with = argument::retain)] retain: bool,
        #[pyo3(from_py_with = argument::delay)] delay: u32,
        #[pyo3(from_py_with = argument::expiry)] expiry: Option<u32>,
        #[pyo3(from_py_with = argument::content_type)] content_type: Option<&str>,
        #[pyo3(from_py_with = argument::response_topic)] response_topic: Option<&str>,
        #[pyo3(from_py_with = argument::correlation_data)] correlation_data: Option<&[u8]>,
        user: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = argument::payload_format)] payload_format: Option<u8>,
    ) -> PyResult<Self> {
        TopicName::parse(&topic, usize::MAX)
            .map_err(|e| PyValueError::new_err(format!("topic: {e}")))?;
        let publish = PublishProperties {
            expiry,
            content_type,
            response_topic,
            correlation_data,
            user,
            payload_format,
        };
        let mut properties = publish.encode()?;
        if delay > 0 {
            properties::push_number(&mut properties, PropertyId::WillDelayInterval, delay)?;
        }
        let (qos, payload) = (qos_of(qos)?, payload.as_slice().to_vec());
        let will = SessionWill {
            topic,
            payload,
            qos,
            retain,
            properties,
        };
        Ok(Self { will })
    }

    fn __repr__(&self) -> String {
        format!("<Will {:?} qos={}>", self.will.topic, self.will.qos as u8)
    }
}

/// 0, 1 or 2 as a QoS.
pub(crate) fn qos_of(number: u8) -> PyResult<QoS> {
    QoS::from_bits(number).ok_or_else(|| PyValueError::new_err("qos must be 0, 1 or 2"))
}
