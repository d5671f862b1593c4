//! The state of a `PahoSession`. Nothing here calls Python code, so it may all happen under a lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pyo3::prelude::*;
use ternmq_protocol::client::{
    ClientSession, Delivery, DropReason, Event, Incoming, PublishRefused, RequestRefused, State,
    Token,
};
use ternmq_protocol::codec::{PropertiesBuf, QoS, SubscriptionOptions};
use ternmq_protocol::{Message, ReasonCode, Time};

use super::held::Held;
use super::info::{MessageInfo, Progress};
use super::rc;

/// Operations that may wait for CONNACK. More are refused with `MQTT_ERR_QUEUE_SIZE`.
const MOST_HELD: usize = 65_535;

pub(super) struct Inner {
    pub(super) machine: ClientSession,
    /// Messages with QoS above 0 that are not complete, by mid: at most as many as there are Packet
    /// Identifiers.
    infos: HashMap<u16, Py<MessageInfo>>,
    /// Messages of QoS 0 in the outbound buffer, each with the place in the stream where it ends. The
    /// buffer has a limit in bytes.
    sending: VecDeque<(u64, Py<MessageInfo>)>,
    /// Bytes of this connection that were taken from the outbound buffer, and that were sent.
    taken: u64,
    sent: u64,
    held: VecDeque<Held>,
    /// From the token of something that was held to the mid that was promised for it.
    mids: HashMap<u16, u16>,
    /// Of the batch that was given out last: its messages to be acknowledged, by their places in it.
    owed: VecDeque<(usize, Delivery)>,
    /// Messages that the program acknowledges itself, by mid: at most Receive Maximum.
    manual: HashMap<u16, Delivery>,
    /// Most messages with QoS above 0 that are not complete, 0 for no limit.
    pub(super) most_queued: usize,
    progress: Arc<Progress>,
}

/// What a `feed` gives to Python, in order.
pub(super) enum Given {
    Message(Incoming),
    Event(Event),
    /// A publish is complete, and Python is to say so before the waiting end.
    Published(Event, Option<Py<MessageInfo>>),
}

/// A mid, or a value of `MQTTErrorCode`.
pub(super) type Requested = Result<u16, RequestError>;

pub(super) enum RequestError {
    Code(i32),
    Invalid(String),
}

impl Inner {
    pub(super) fn new(machine: ClientSession, progress: Arc<Progress>) -> Self {
        Self {
            machine,
            infos: HashMap::new(),
            sending: VecDeque::new(),
            taken: 0,
            sent: 0,
            held: VecDeque::new(),
            mids: HashMap::new(),
            owed: VecDeque::new(),
            manual: HashMap::new(),
            most_queued: 0,
            progress,
        }
    }

    /// Publishes; the new info comes from `made`, of a mid and a value of `MQTTErrorCode`.
    pub(super) fn publish(
        &mut self,
        py: Python<'_>,
        now: Time,
        message: Message,
    ) -> PyResult<Py<MessageInfo>> {
        let state = self.machine.state();
        let at_most_once = message.qos() == QoS::AtMostOnce;
        let waits = state == State::Connecting && (at_most_once || !self.held.is_empty());
        let info = |inner: &Self, mid, code| {
            Py::new(py, MessageInfo::made(mid, code, inner.progress.clone()))
        };
        if at_most_once || waits {
            let Some(Token(mid)) = self.machine.skip_token() else {
                return info(self, 0, rc::QUEUE_SIZE);
            };
            if waits {
                let full = self.held.len() >= MOST_HELD || (!at_most_once && self.is_full());
                let code = if full { rc::QUEUE_SIZE } else { rc::SUCCESS };
                let info = info(self, mid, code)?;
                if !full {
                    let info = info.clone_ref(py);
                    self.held.push_back(Held::Publish { message, info });
                }
                return Ok(info);
            }
            if state != State::Connected {
                return info(self, mid, rc::NO_CONN);
            }
            return match self.machine.publish(now, message) {
                Ok(_) => {
                    let info = info(self, mid, rc::SUCCESS)?;
                    let end = self.taken + self.machine.outbound().len() as u64;
                    self.sending.push_back((end, info.clone_ref(py)));
                    Ok(info)
                }
                Err(refused) => info(self, mid, code_of(refused)),
            };
        }
        if self.is_full() {
            let mid = self.machine.skip_token().map_or(0, |token| token.0);
            return info(self, mid, rc::QUEUE_SIZE);
        }
        match self.machine.publish(now, message) {
            Ok(Token(mid)) => {
                let online = matches!(state, State::Connected | State::Connecting);
                let code = if online { rc::SUCCESS } else { rc::NO_CONN };
                let info = info(self, mid, code)?;
                self.infos.insert(mid, info.clone_ref(py));
                Ok(info)
            }
            Err(refused) => info(self, 0, code_of(refused)),
        }
    }

    /// Asks for subscriptions.
    pub(super) fn subscribe(
        &mut self,
        now: Time,
        filters: Vec<(String, SubscriptionOptions)>,
        properties: PropertiesBuf,
    ) -> Requested {
        if let Some(mid) = self.mid_to_hold()? {
            self.held.push_back(Held::Subscribe {
                mid,
                filters,
                properties,
            });
            return Ok(mid);
        }
        let requests: Vec<_> = filters.iter().map(|(f, o)| (f.as_str(), *o)).collect();
        let sent = self.machine.subscribe(now, &requests, properties.get());
        requested(sent)
    }

    /// Ends subscriptions.
    pub(super) fn unsubscribe(
        &mut self,
        now: Time,
        filters: Vec<String>,
        properties: PropertiesBuf,
    ) -> Requested {
        if let Some(mid) = self.mid_to_hold()? {
            self.held.push_back(Held::Unsubscribe {
                mid,
                filters,
                properties,
            });
            return Ok(mid);
        }
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let sent = self.machine.unsubscribe(now, &filters, properties.get());
        requested(sent)
    }

    /// Everything that happened since. Messages are to be acknowledged by [`Self::handled`], or by
    /// the program where `manual` is set; `announce` is whether a complete publish is told to Python.
    pub(super) fn given(&mut self, now: Time, manual: bool, announce: bool) -> Vec<Given> {
        let mut given = Vec::new();
        // A batch that was not handled to its end: the program went on without its rest.
        self.handled(now, usize::MAX);
        while let Some(mut event) = self.machine.poll_event() {
            match &mut event {
                Event::Published { token, .. } => {
                    let mid = self.mid_of(*token);
                    *token = Token(mid);
                    let info = self.infos.remove(&mid);
                    if announce {
                        given.push(Given::Published(event, info));
                    } else if let Some(info) = info {
                        info.get().finish(rc::SUCCESS);
                    }
                    continue;
                }
                Event::Dropped { token, why } => {
                    let mid = self.mid_of(*token);
                    if let Some(info) = self.infos.remove(&mid) {
                        info.get().finish(code_of_drop(*why));
                    }
                    continue;
                }
                Event::Subscribed { token, .. } | Event::Unsubscribed { token, .. } => {
                    *token = Token(self.mid_of(*token));
                }
                Event::Authenticate { .. }
                | Event::Progress(_)
                | Event::Sent { .. }
                | Event::NotSent { .. } => continue,
                _ => {}
            }
            match event {
                Event::Message(incoming) => {
                    self.owe(given.len(), &incoming, manual);
                    given.push(Given::Message(incoming));
                }
                Event::Connected(_) => {
                    given.push(Given::Event(event));
                    self.release(now, &mut given);
                }
                _ => given.push(Given::Event(event)),
            }
        }
        self.progress.notify();
        given
    }

    /// Notes who is to acknowledge a message that is given out at this place of a batch.
    fn owe(&mut self, place: usize, incoming: &Incoming, manual: bool) {
        if incoming.qos == QoS::AtMostOnce {
            return;
        }
        if manual {
            self.manual.insert(incoming.packet_id, incoming.delivery);
        } else {
            self.owed.push_back((place, incoming.delivery));
        }
    }

    /// The callbacks of the first `count` of the last batch are over: its messages are acknowledged.
    pub(super) fn handled(&mut self, now: Time, count: usize) {
        while let Some((place, delivery)) = self.owed.front().copied() {
            if place >= count {
                break;
            }
            self.owed.pop_front();
            // False would mean that the session knows of no such message, and then nothing is owed.
            let _ = self.machine.acknowledge(now, delivery, ReasonCode::SUCCESS);
        }
    }

    pub(super) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// The program acknowledges a message; false when none waits under this mid.
    pub(super) fn acknowledge(&mut self, now: Time, mid: u16) -> bool {
        let delivery = self.manual.remove(&mid);
        delivery.is_some_and(|delivery| {
            let done = ReasonCode::SUCCESS;
            self.machine.acknowledge(now, delivery, done)
        })
    }

    /// `length` bytes were taken out of the outbound buffer.
    pub(super) fn took(&mut self, length: usize) {
        self.taken += length as u64;
    }

    /// `length` bytes were sent. Gives the messages of QoS 0 that are out by it.
    pub(super) fn wrote(&mut self, length: usize, mut out: impl FnMut(Py<MessageInfo>)) {
        self.sent += length as u64;
        while self
            .sending
            .front()
            .is_some_and(|(end, _)| *end <= self.sent)
        {
            if let Some((_, info)) = self.sending.pop_front() {
                out(info);
            }
        }
    }

    /// The transport is gone: what was not sent with QoS 0 is lost, and its infos say so.
    pub(super) fn closed(&mut self, now: Time) {
        self.machine.handle_closed(now);
        (self.taken, self.sent) = (0, 0);
        self.owed.clear();
        for (_, info) in self.sending.drain(..) {
            info.get().finish(rc::CONN_LOST);
        }
        for held in std::mem::take(&mut self.held) {
            let Held::Publish { message, info } = held else {
                continue;
            };
            match message.qos() {
                QoS::AtMostOnce => info.get().finish(rc::CONN_LOST),
                _ => self.publish_held(now, message, info),
            }
        }
        self.progress.notify();
    }

    /// Drops the messages with QoS above 0 that are not complete, as far as they can be called back.
    pub(super) fn drop_out_messages(&mut self) -> Vec<(u16, Py<MessageInfo>)> {
        let dropped = self.infos.drain().collect();
        if !self.machine.forget() {
            self.machine.clear_outbox();
        }
        dropped
    }

    /// The mids of messages with QoS above 0 that are not complete.
    pub(super) fn pending(&self) -> impl Iterator<Item = u16> {
        self.infos.keys().copied()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.infos.is_empty() && self.sending.is_empty() && self.held.is_empty()
    }

    fn is_full(&self) -> bool {
        self.most_queued > 0 && self.infos.len() >= self.most_queued
    }

    /// What was asked for before CONNACK goes out.
    fn release(&mut self, now: Time, given: &mut Vec<Given>) {
        for held in std::mem::take(&mut self.held) {
            let (mid, sent, count) = match held {
                Held::Publish { message, info } => {
                    self.publish_held(now, message, info);
                    continue;
                }
                Held::Subscribe {
                    mid,
                    filters,
                    properties,
                } => {
                    let requests: Vec<_> = filters.iter().map(|(f, o)| (f.as_str(), *o)).collect();
                    let subscribe = |machine: &mut ClientSession| {
                        machine.subscribe(now, &requests, properties.get())
                    };
                    let sent = self.machine.with_token(Token(mid), subscribe);
                    (mid, sent, filters.len())
                }
                Held::Unsubscribe {
                    mid,
                    filters,
                    properties,
                } => {
                    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
                    let unsubscribe = |machine: &mut ClientSession| {
                        machine.unsubscribe(now, &filters, properties.get())
                    };
                    let sent = self.machine.with_token(Token(mid), unsubscribe);
                    (mid, sent, filters.len())
                }
            };
            match sent {
                Ok(token) => self.promise(token, mid),
                // As a server would answer that does not support it.
                Err(_) => given.push(Given::Event(Event::Subscribed {
                    token: Token(mid),
                    codes: vec![ReasonCode::UNSPECIFIED_ERROR; count],
                    properties: PropertiesBuf::default(),
                })),
            }
        }
    }

    fn publish_held(&mut self, now: Time, message: Message, info: Py<MessageInfo>) {
        let at_most_once = message.qos() == QoS::AtMostOnce;
        let mid = info.get().mid();
        let publish = |machine: &mut ClientSession| machine.publish(now, message);
        match self.machine.with_token(Token(mid), publish) {
            Ok(_) if at_most_once => {
                let end = self.taken + self.machine.outbound().len() as u64;
                self.sending.push_back((end, info));
            }
            Ok(token) => {
                self.promise(token, mid);
                self.infos.insert(mid, info);
            }
            Err(refused) => info.get().finish(code_of(refused)),
        }
    }

    fn promise(&mut self, token: Token, mid: u16) {
        if token.0 != mid {
            self.mids.insert(token.0, mid);
        }
    }

    fn mid_of(&mut self, token: Token) -> u16 {
        if self.mids.is_empty() {
            return token.0;
        }
        self.mids.remove(&token.0).unwrap_or(token.0)
    }

    /// The mid of a request that has to wait for CONNACK.
    fn mid_to_hold(&mut self) -> Result<Option<u16>, RequestError> {
        if self.machine.state() != State::Connecting {
            return Ok(None);
        }
        if self.held.len() >= MOST_HELD {
            return Err(RequestError::Code(rc::QUEUE_SIZE));
        }
        match self.machine.skip_token() {
            Some(token) => Ok(Some(token.0)),
            None => Err(RequestError::Code(rc::NOMEM)),
        }
    }
}

fn requested(sent: Result<Token, RequestRefused>) -> Requested {
    sent.map(|token| token.0).map_err(|refused| match refused {
        RequestRefused::NotConnected => RequestError::Code(rc::NO_CONN),
        RequestRefused::NoPacketId => RequestError::Code(rc::NOMEM),
        RequestRefused::NotSupported(_) => RequestError::Code(rc::NOT_SUPPORTED),
        RequestRefused::Encode(error) => RequestError::Invalid(error.to_string()),
    })
}

const fn code_of(refused: PublishRefused) -> i32 {
    match refused {
        PublishRefused::NotConnected => rc::NO_CONN,
        PublishRefused::Full | PublishRefused::NoPacketId => rc::QUEUE_SIZE,
        PublishRefused::TooLarge => rc::PAYLOAD_SIZE,
        PublishRefused::QosNotSupported | PublishRefused::RetainNotSupported => rc::NOT_SUPPORTED,
        PublishRefused::NotKept => rc::UNKNOWN,
    }
}

const fn code_of_drop(why: DropReason) -> i32 {
    match why {
        DropReason::TooLarge => rc::PAYLOAD_SIZE,
        DropReason::NotSupported => rc::NOT_SUPPORTED,
        DropReason::ConnectionLost => rc::CONN_LOST,
        DropReason::Overflow => rc::QUEUE_SIZE,
        DropReason::Expired | DropReason::SessionLost | DropReason::Forgotten => rc::UNKNOWN,
    }
}
