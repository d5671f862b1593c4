//! A client session for Python to drive: bytes and time go in, bytes and events come out. It owns
//! neither socket nor thread, so it runs under asyncio, under any other loop, and under a socket
//! that Python owns.

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView};
use ternmq_client::FileOutbox;
use ternmq_client::link::{Journal, Name};
use ternmq_protocol::client::{ClientSession, Delivery, Event, Incoming};
use ternmq_protocol::client::{PublishRefused, State, Token};
use ternmq_protocol::codec::{PacketType, PropertiesBuf, PropertyId, QoS};
use ternmq_protocol::codec::{SubscriptionOptions, Value};
use ternmq_protocol::topic::{SharedFilter, TopicFilter};
use ternmq_protocol::{Message as Shared, ProtocolVersion, ReasonCode, Time};

use crate::argument;
use crate::bytes::Payload;
use crate::clock::now;
use crate::deliveries::{Closing, Deliveries};
use crate::errors;
use crate::events;
use crate::inbox::{Item, Reader};
use crate::layer::{Opening, WebSocket};
use crate::message::qos_of;
use crate::options::{SessionOptions, needs_v5, retain_handling_of, store_of};
use crate::properties::{self, PublishProperties};
use crate::routes::Key;
use crate::stats::{count_outbox, counters};

/// What one read from the socket takes at most.
const READ_BUFFER: usize = 64 << 10;

/// Bytes written by publishing without a pause from which on the publisher is asked to let the
/// others have a turn.
const PUBLISH_TURN: usize = 64 << 10;

/// Subscription Identifiers that are given to subscriptions by themselves count from here, so that
/// the small numbers are left to the application.
const FIRST_IDENTIFIER: u32 = 0x0100_0000;

/// What `publish` returns instead of a token when the publisher should pause.
const TAKE_A_TURN: i32 = -1;

/// A client session.
#[pyclass(module = "ternmq._ternmq")]
pub(crate) struct Session {
    machine: ClientSession,
    deliveries: Deliveries,
    /// Reused for every read. The view pins its size.
    buffer: Py<PyByteArray>,
    view: Py<PyMemoryView>,
    /// Called when there is something to send after there was nothing.
    on_output: Option<Py<PyAny>>,
    output_announced: bool,
    version: ProtocolVersion,
    max_packet_size: u32,
    clean_start: bool,
    identifiers: bool,
    done: Vec<Item>,
    /// Around the bytes of the connection, or nothing.
    websocket: Option<Box<WebSocket>>,
    /// Why the layer above the socket has failed.
    failure: Option<String>,
    store: Option<FileOutbox>,
    forks: u32,
}

#[pymethods]
impl Session {
    /// `on_output` is called without arguments when there is something to `take` after there was
    /// nothing; it must not call the session.
    #[new]
    fn new(py: Python<'_>, options: &Bound<'_, PyDict>, on_output: Py<PyAny>) -> PyResult<Self> {
        let store = store_of(options)?;
        let mut options = SessionOptions::of(options)?.build()?;
        options.report_progress = store.is_some();
        let (version, clean_start) = (options.version, options.clean_start);
        let max_packet_size = options.max_packet_size;
        let keeps = options.keeps_session();
        let mut machine =
            ClientSession::new(options).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let store = store.map(|(store, kept)| {
            for stored in kept {
                machine.restore(stored);
            }
            store
        });
        let buffer = PyByteArray::new_with(py, READ_BUFFER, |_| Ok(()))?;
        let view = PyMemoryView::from(&buffer)?;
        Ok(Self {
            machine,
            deliveries: Deliveries::new(keeps),
            buffer: buffer.unbind(),
            view: view.unbind(),
            on_output: Some(on_output),
            output_announced: false,
            version,
            max_packet_size,
            clean_start,
            identifiers: false,
            done: Vec::new(),
            websocket: None,
            failure: None,
            store,
            forks: errors::forks(),
        })
    }

    /// Where a read from the socket is to go; then `feed`.
    #[getter]
    fn buffer(&self, py: Python<'_>) -> Py<PyMemoryView> {
        self.view.clone_ref(py)
    }

    /// The transport is open. `websocket`: authority, path, whether TLS is spoken, header lines, and
    /// compression, when one is to be put around the bytes.
    #[pyo3(signature = (websocket=None))]
    fn opened(slf: &Bound<'_, Self>, websocket: Option<Opening>) -> PyResult<()> {
        Self::edit(slf, |session| {
            session.output_announced = false;
            session.failure = None;
            session.websocket = None;
            let largest = session.max_packet_size;
            let opened = websocket.map(|opening| WebSocket::new(opening, largest));
            match opened.transpose() {
                Ok(None) => session.machine.handle_open(now()),
                Ok(Some(websocket)) => session.websocket = Some(Box::new(websocket)),
                Err(error) => return Err(PyValueError::new_err(format!("headers: {error}"))),
            }
            Ok(())
        })?
    }

    /// `length` bytes came into the buffer. Returns events, None for none.
    fn feed<'py>(slf: &Bound<'py, Self>, length: usize) -> PyResult<Option<Bound<'py, PyList>>> {
        let py = slf.py();
        Self::edit(slf, |session| {
            let buffer = session.buffer.bind(py).clone();
            // SAFETY: the view keeps the array from being resized, and nothing that runs while the
            // slice lives calls Python, so nobody writes to it.
            let bytes = unsafe { buffer.as_bytes() };
            let input = bytes.get(..length).unwrap_or(bytes);
            match session.websocket.is_some() {
                false => session.machine.handle_input(now(), input),
                true => session.unwrap(input),
            }
        })?;
        Self::events(slf)
    }

    /// The transport is gone. Returns events.
    fn closed<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyList>>> {
        Self::edit(slf, |session| {
            session.websocket = None;
            session.machine.handle_closed(now());
        })?;
        Self::events(slf)
    }

    /// Time has passed. Returns events.
    fn tick<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyList>>> {
        Self::edit(slf, |session| session.machine.handle_timeout(now()))?;
        Self::events(slf)
    }

    /// Seconds until `tick` is due, None when nothing waits for time.
    fn timeout(&self) -> Option<f64> {
        let at = self.machine.poll_timeout()?;
        Some(at.since(now()) as f64 / 1000.0)
    }

    /// Whether the transport is being read from.
    fn set_reading(&mut self, reading: bool) {
        self.machine.set_reading(now(), reading);
    }

    /// What is to be sent, None for nothing. It counts as sent.
    fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.output_announced = false;
        if self.websocket.is_some() {
            return Ok(self.wrap().map(|bytes| PyBytes::new(py, &bytes)));
        }
        let outbound = self.machine.outbound();
        if outbound.is_empty() {
            return Ok(None);
        }
        let length = outbound.len();
        let fill = |target: &mut [u8]| {
            outbound.read(target);
            Ok(())
        };
        PyBytes::new_with(py, length, fill).map(Some)
    }

    /// Whether the transport is to be closed once everything is sent.
    #[getter]
    fn wants_close(&self) -> bool {
        self.machine.wants_close() || self.failure.is_some()
    }

    /// How the end of a WebSocket stands: None without one, or before its end; False while the server's
    /// Close frame is awaited, True when both have sent theirs.
    #[getter]
    fn farewell(&self) -> Option<bool> {
        let websocket = self.websocket.as_ref()?;
        (websocket.awaits_close() || websocket.is_over()).then(|| websocket.is_over())
    }

    /// Why the WebSocket has failed, if it has.
    #[getter]
    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether the server has accepted the connection.
    #[getter]
    fn connected(&self) -> bool {
        self.machine.state() == State::Connected
    }

    /// The client identifier, that which the server assigned included.
    #[getter]
    fn client_id(&self) -> &str {
        &self.machine.options().client_id
    }

    /// Messages in the outbox.
    #[getter]
    fn queued(&self) -> usize {
        self.machine.queued().0
    }

    /// Messages that were sent and are not acknowledged.
    #[getter]
    fn inflight(&self) -> usize {
        self.machine.in_flight()
    }

    /// 0: every inbox has room, 1: one is full, 2: one is full to the brim.
    #[getter]
    fn crowding(&self) -> u8 {
        self.deliveries.crowding()
    }

    /// Publishes; returns the token of a message with QoS 1 or 2, 0 for QoS 0, or -1 for QoS 0 when
    /// much has been published without a pause.
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn publish(
        slf: &Bound<'_, Self>,
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
    ) -> PyResult<i32> {
        let publish = PublishProperties {
            expiry,
            content_type,
            response_topic,
            correlation_data,
            user,
            payload_format,
        };
        let properties = publish.encode()?;
        let now = now();
        let message = Shared::new(
            topic,
            payload.as_slice(),
            qos_of(qos)?,
            retain,
            properties.get(),
            now,
        )
        .map_err(errors::not_a_message)?;
        Self::edit(slf, |session| {
            needs_v5(
                !session.version.is_v5() && !properties.is_empty(),
                "publish properties",
            )?;
            let taken = match session.store {
                Some(_) if qos > 0 => session.keep_and_publish(now, message),
                _ => session.machine.publish(now, message),
            };
            let token = taken.map_err(|refused| {
                let outbox = session.store.as_ref().map(FileOutbox::status);
                errors::not_taken(slf.py(), refused, outbox.as_deref())
            })?;
            let pause = token.0 == 0 && session.machine.outbound().len() > PUBLISH_TURN;
            Ok(if pause { TAKE_A_TURN } else { token.0.into() })
        })?
    }

    /// Opens the inbox of a subscription; messages come in from now on.
    fn open_inbox(
        &mut self,
        key: Key,
        filters: Vec<String>,
        #[pyo3(from_py_with = argument::identifier)] identifier: Option<u32>,
        #[pyo3(from_py_with = argument::queue)] limit: usize,
        manual: bool,
    ) -> PyResult<()> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        for filter in &filters {
            let valid = TopicFilter::parse(filter, usize::MAX).and_then(SharedFilter::parse);
            valid.map_err(|error| PyValueError::new_err(format!("filter {filter:?}: {error}")))?;
        }
        let identifier = identifier.unwrap_or(FIRST_IDENTIFIER + key);
        self.deliveries
            .open(key, &filters, Some(identifier), limit, manual);
        Ok(())
    }

    /// Closes an inbox. `how`: 0, nothing that came for it counts as dealt with; 1, everything does;
    /// 2, what was read does, and the server is not told; 3, nothing does, and it is not told. The
    /// others stay unacknowledged. Returns the filters that no other
    /// subscription needs.
    fn close_inbox(slf: &Bound<'_, Self>, key: Key, how: u8) -> PyResult<Vec<String>> {
        let how = match how {
            0 => Closing::Failed,
            1 => Closing::Finished,
            2 => Closing::Keep,
            3 => Closing::KeepAll,
            _ => return Err(PyValueError::new_err("how must be from 0 to 3")),
        };
        Self::edit(slf, |session| {
            let filters = session.deliveries.close(key, how, &mut session.done);
            session.settle();
            filters.into_iter().map(String::from).collect()
        })
    }

    /// Messages waiting in an inbox.
    fn waiting(&self, key: Key) -> usize {
        self.deliveries.waiting(key)
    }

    /// Sends SUBSCRIBE for an open inbox; returns the token. `filters`: (filter, qos) pairs.
    #[expect(clippy::too_many_arguments, reason = "what SUBSCRIBE has")]
    fn subscribe(
        slf: &Bound<'_, Self>,
        key: Key,
        filters: Vec<(String, u8)>,
        no_local: bool,
        retain_as_published: bool,
        #[pyo3(from_py_with = argument::retain_handling)] retain_handling: u8,
        #[pyo3(from_py_with = argument::identifier)] identifier: Option<u32>,
        user: Option<Bound<'_, PyAny>>,
    ) -> PyResult<i32> {
        let retain_handling = retain_handling_of(retain_handling)?;
        let options = SubscriptionOptions {
            qos: QoS::AtMostOnce,
            no_local,
            retain_as_published,
            retain_handling,
        };
        let asks_for_more = options != SubscriptionOptions::default();
        let mut requests = Vec::with_capacity(filters.len());
        for (filter, qos) in &filters {
            requests.push((
                filter.as_str(),
                SubscriptionOptions {
                    qos: qos_of(*qos)?,
                    ..options
                },
            ));
        }
        let mut properties = properties::user_properties(user)?;
        let asked = identifier.is_some() || asks_for_more || !properties.is_empty();
        Self::edit(slf, |session| {
            needs_v5(
                !session.version.is_v5() && asked,
                "subscription options beside qos",
            )?;
            if session.identifiers || identifier.is_some() {
                let number = identifier.unwrap_or(FIRST_IDENTIFIER + key);
                let value = Value::VariableByteInteger(number);
                let pushed = properties.push(PropertyId::SubscriptionIdentifier, value);
                pushed.map_err(|e| PyValueError::new_err(format!("identifier: {e}")))?;
            }
            let sent = session
                .machine
                .subscribe(now(), &requests, properties.get());
            sent.map(|token| token.0.into())
                .map_err(|refused| errors::request_refused(slf.py(), &refused))
        })?
    }

    /// Sends UNSUBSCRIBE; returns the token.
    fn unsubscribe(
        slf: &Bound<'_, Self>,
        filters: Vec<String>,
        user: Option<Bound<'_, PyAny>>,
    ) -> PyResult<i32> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let properties = properties::user_properties(user)?;
        Self::edit(slf, |session| {
            needs_v5(
                !session.version.is_v5() && !properties.is_empty(),
                "user properties",
            )?;
            let sent = session
                .machine
                .unsubscribe(now(), &filters, properties.get());
            sent.map(|token| token.0.into())
                .map_err(|refused| errors::request_refused(slf.py(), &refused))
        })?
    }

    /// Sends DISCONNECT; nothing without a connection.
    fn disconnect(
        slf: &Bound<'_, Self>,
        #[pyo3(from_py_with = argument::reason_code)] reason: u8,
        properties: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let properties = properties::of_farewell(properties)?;
        Self::edit(slf, |session| {
            let ended = session
                .machine
                .disconnect(now(), ReasonCode(reason), properties.get());
            ended.map_err(|refused| errors::farewell_refused(slf.py(), &refused))
        })?
    }

    /// Raises what `disconnect` would, and changes nothing.
    fn check_disconnect(
        slf: &Bound<'_, Self>,
        #[pyo3(from_py_with = argument::reason_code)] reason: u8,
        properties: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let properties = properties::of_farewell(properties)?;
        Self::edit(slf, |session| {
            let asked = reason != 0 || !properties.is_empty();
            needs_v5(
                !session.version.is_v5() && asked,
                "a reason for disconnecting",
            )?;
            let checked = session
                .machine
                .check_disconnect(ReasonCode(reason), properties.get());
            checked.map_err(|refused| errors::farewell_refused(slf.py(), &refused))
        })?
    }

    /// Sends AUTH: 0x18 answers the server's, 0x19 begins anew on an accepted connection.
    fn authenticate(slf: &Bound<'_, Self>, reason: u8, data: Option<&[u8]>) -> PyResult<()> {
        let mut properties = PropertiesBuf::default();
        properties::push_data(&mut properties, data)?;
        Self::edit(slf, |session| {
            let reason = ReasonCode(reason);
            let sent = session
                .machine
                .authenticate(now(), reason, properties.get());
            sent.map_err(|refused| errors::request_refused(slf.py(), &refused))
        })?
    }

    /// What the next CONNECT says as Authentication Data.
    fn set_authentication_data(&mut self, data: Option<&[u8]>) -> PyResult<()> {
        let properties = &mut self.machine.options_mut().properties;
        *properties = properties::with_data(properties, data)?;
        Ok(())
    }

    /// Whether the next connection begins without the state of earlier ones.
    fn set_clean_start(&mut self, clean_start: bool) {
        self.clean_start = clean_start;
        self.machine.options_mut().clean_start = clean_start;
    }

    /// Whether a publish without a connection goes to the outbox or is refused.
    fn set_offline(&mut self, offline: bool) {
        self.machine.options_mut().publish_offline = offline;
    }

    /// The client has ended: the file of the outbox is free for the next one.
    fn close_store(&mut self) {
        self.store = None;
    }

    /// Counters, by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = counters(py, self.machine.stats())?;
        let (queued, queued_bytes) = self.machine.queued();
        for (name, value) in [
            ("messages_discarded", self.deliveries.discarded()),
            ("queued", queued as u64),
            ("queued_bytes", queued_bytes as u64),
            ("inflight", self.machine.in_flight() as u64),
            ("unclaimed", self.deliveries.unclaimed() as u64),
        ] {
            dict.set_item(name, value)?;
        }
        if let Some(store) = &self.store {
            count_outbox(&dict, &store.status())?;
        }
        Ok(dict)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on_output)
    }

    fn __clear__(&mut self) {
        self.on_output = None;
    }
}

impl Session {
    /// Changes the session, then says when there is something to send: not before the borrow has
    /// ended, because what is called is Python.
    pub(crate) fn edit<R>(
        slf: &Bound<'_, Self>,
        change: impl FnOnce(&mut Self) -> R,
    ) -> PyResult<R> {
        let mut session = slf.try_borrow_mut()?;
        let text = "the client was made in the process that forked";
        errors::check_forks(slf.py(), session.forks, text)?;
        let result = change(&mut session);
        let wrapped = session.websocket.as_mut();
        let waits = wrapped.is_some_and(|websocket| !websocket.out().is_empty());
        if session.output_announced || (!waits && session.machine.outbound().is_empty()) {
            return Ok(result);
        }
        session.output_announced = true;
        let call = session
            .on_output
            .as_ref()
            .map(|call| call.clone_ref(slf.py()));
        drop(session);
        if let Some(call) = call {
            call.call0(slf.py())?;
        }
        Ok(result)
    }

    pub(crate) fn pop(&mut self, key: Key, reader: &Reader) -> Option<Incoming> {
        self.deliveries.pop(key, reader)
    }

    pub(crate) fn is_manual(&self, key: Key) -> bool {
        self.deliveries.is_manual(key)
    }

    /// Acknowledges one message by hand. False when nothing waits for it.
    pub(crate) fn acknowledge_one(
        slf: &Bound<'_, Self>,
        key: Key,
        delivery: Delivery,
        reason: ReasonCode,
    ) -> PyResult<bool> {
        check_acknowledgement(reason)?;
        Self::edit(slf, |session| {
            let Some(item) = session.deliveries.finish_one(key, delivery) else {
                return false;
            };
            match session.deliveries.settle(&item) {
                Some(delivery) => session.machine.acknowledge(now(), delivery, reason),
                // Other subscriptions have it too, and the last one tells the server.
                None => true,
            }
        })
    }

    pub(crate) fn finish(&mut self, key: Key, reader: &Reader) {
        self.deliveries.finish(key, reader, &mut self.done);
        self.settle();
    }

    pub(crate) fn finish_gone(&mut self, key: Key) {
        self.deliveries.finish_gone(key, &mut self.done);
        self.settle();
    }

    /// Acknowledges what is in `done`.
    fn settle(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let now = now();
        let mut done = std::mem::take(&mut self.done);
        for item in done.drain(..) {
            if let Some(delivery) = self.deliveries.settle(&item) {
                self.acknowledge(now, delivery);
            }
        }
        self.done = done;
    }

    fn acknowledge(&mut self, now: Time, delivery: Delivery) {
        // False would mean that the session knows of no such message, and then nothing is owed.
        let _ = self.machine.acknowledge(now, delivery, ReasonCode::SUCCESS);
    }

    /// Stores a message, then has the machine take it.
    fn keep_and_publish(&mut self, now: Time, message: Shared) -> Result<Token, PublishRefused> {
        let token = self.machine.next_token(&message)?;
        let name = Name {
            packet_id: token.0,
            note: 0,
            waits: self.machine.would_wait(message.qos()),
        };
        let Some(store) = &mut self.store else {
            return self.machine.publish(now, message);
        };
        if !store.keep(now, name, &message) {
            return Err(PublishRefused::NotKept);
        }
        let published = self.machine.publish(now, message);
        if published.is_err() {
            store.withdraw(name);
        }
        published
    }

    /// Takes the frames off what came in.
    fn unwrap(&mut self, input: &[u8]) {
        let Some(websocket) = self.websocket.as_mut() else {
            return;
        };
        let was_closed = self.machine.state() == State::Closed;
        let mut unwrap = || -> std::io::Result<()> {
            if !websocket.receive(input)? {
                return Ok(());
            }
            if was_closed {
                self.machine.handle_open(now());
            }
            while let Some(bytes) = websocket.read()? {
                // Behind our DISCONNECT only the server's Close frame is of interest.
                if !self.machine.wants_close() {
                    self.machine.handle_input(now(), bytes);
                }
            }
            Ok(())
        };
        if let Err(error) = unwrap() {
            self.failure = Some(error.to_string());
        }
    }

    /// What is to be sent, in frames.
    fn wrap(&mut self) -> Option<Vec<u8>> {
        let websocket = self.websocket.as_mut()?;
        if let Err(error) = websocket.send(self.machine.outbound()) {
            self.failure = Some(error.to_string());
        }
        if self.machine.wants_close() {
            websocket.close();
        }
        let bytes = std::mem::take(websocket.out());
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Delivers messages to their inboxes, all else goes into a list.
    fn events<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyList>>> {
        let py = slf.py();
        Self::edit(slf, |session| {
            let mut list = None;
            let mut append = |event: Bound<'py, PyAny>| {
                list.get_or_insert_with(|| PyList::empty(py)).append(event)
            };
            while let Some(event) = session.machine.poll_event() {
                if let Some(store) = &mut session.store {
                    store.note(now(), &event);
                }
                match event {
                    Event::Message(incoming) => {
                        if let Some(delivery) = session.deliveries.deliver(incoming) {
                            session.acknowledge(now(), delivery);
                        }
                        continue;
                    }
                    Event::Connected(ref connected) => {
                        let available = PropertyId::SubscriptionIdentifierAvailable;
                        let available = connected.properties.get().number(available) != Some(0);
                        session.identifiers = session.version.is_v5() && available;
                        // MQTT 3.1 has no Session Present: a session asked for counts as present.
                        let assumed =
                            session.version == ProtocolVersion::V3_1 && !session.clean_start;
                        session
                            .deliveries
                            .connected(connected.session_present || assumed);
                    }
                    Event::Progress(_) => continue,
                    _ => {}
                }
                append(events::to_tuple(py, &event)?.into_any())?;
            }
            for key in session.deliveries.take_ready() {
                append((events::READY, key).into_pyobject(py)?.into_any())?;
            }
            let crowding = session.deliveries.crowding();
            if crowding > 0 {
                append((events::CROWDED, crowding).into_pyobject(py)?.into_any())?;
            }
            Ok(list)
        })?
    }
}

/// ValueError for a reason that no acknowledgement has.
pub(crate) fn check_acknowledgement(reason: ReasonCode) -> PyResult<()> {
    match reason.allowed_in(PacketType::PubAck) {
        true => Ok(()),
        false => Err(PyValueError::new_err(format!(
            "reason_code: {reason} is no reason of an acknowledgement"
        ))),
    }
}
