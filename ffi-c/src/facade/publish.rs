//! Publishing, and what became of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Instant;

use ternmq_client::executor::Strand;
use ternmq_protocol::client::{PublishRefused, Token};
use ternmq_protocol::codec::{PacketType, QoS};
use ternmq_protocol::{Message, ReasonCode};

use super::{Client, Code};
use crate::outbox::trace_refusal;
use crate::outgoing::Outgoing;
use crate::trace::{MINIMUM, trace};
use crate::types::client::*;
use crate::types::persistence::MQTTCLIENT_PERSISTENCE_ERROR;

/// Which QoS the publishes have that are not complete: the packet that ends one depends on it. Kept
/// for MQTT 5.0 only, where the application is told.
#[derive(Default)]
pub(super) struct Kinds {
    kinds: HashMap<Token, QoS>,
    /// Publishes that have, perhaps, a token already and are not noted yet, by their numbers.
    beginning: BTreeSet<u64>,
    /// The number of the next publish.
    next: u64,
}

impl Kinds {
    pub(super) fn begin(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.beginning.insert(number);
        number
    }

    /// Whether a publish that had begun before this number is not noted yet.
    fn is_open_before(&self, number: u64) -> bool {
        self.beginning.first().is_some_and(|first| *first < number)
    }

    /// The publish will not be asked for any more.
    pub(super) fn forget(&mut self, token: Token) {
        self.kinds.remove(&token);
    }
}

impl Client {
    /// Publishes. Waits for room when too much waits to be sent, else not at all.
    ///
    /// # Errors
    /// `MQTTCLIENT_DISCONNECTED` without a connection that is there or made again;
    /// `MQTTCLIENT_BAD_MQTT_OPTION` for what this server does not support;
    /// `MQTTCLIENT_MAX_MESSAGES_INFLIGHT` when all packet identifiers are in use, or too much waits for a
    /// connection; `MQTTCLIENT_PERSISTENCE_ERROR` when the message can't be stored; else `MQTTCLIENT_FAILURE`.
    pub(crate) fn publish(&self, outgoing: &Outgoing<'_>) -> Result<Token, Code> {
        let message = self.prepare(outgoing, &mut Vec::new())?;
        let noted = self.is_v5 && outgoing.qos != QoS::AtMostOnce;
        let mut blocked = false;
        loop {
            if self.reconnects() && !self.has_outbox() && !self.link.is_held() {
                return Err(MQTTCLIENT_DISCONNECTED);
            }
            let room = self.room.load(Ordering::Acquire);
            let published = match noted {
                true => self.publish_and_note(message.clone(), outgoing.qos),
                false => self.link.publish(message.clone()),
            };
            match published {
                Ok(token) => return Ok(token),
                Err(PublishRefused::Full) => self.block(&mut blocked, room)?,
                Err(refused) => return Err(self.refusal(refused)),
            }
        }
    }

    /// The message that the application has given; `scratch` is memory that several may share.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE`; without a connection `MQTTCLIENT_DISCONNECTED`, which comes before what is
    /// wrong with the message, as Paho has it.
    pub(crate) fn prepare(
        &self,
        outgoing: &Outgoing<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Message, Code> {
        let aliases = |alias, topic: &str| self.lock().aliases.resolve(alias, topic);
        let message = outgoing.message(|| self.now(), aliases, scratch);
        message.map_err(|_| match self.link.is_held() {
            true => MQTTCLIENT_FAILURE,
            false => MQTTCLIENT_DISCONNECTED,
        })
    }

    /// Waits for more room than at `since`; `blocked`: not for the first time.
    ///
    /// # Errors
    /// As [`wait_for_room`](Self::wait_for_room); `MQTTCLIENT_MAX_MESSAGES_INFLIGHT` while a lost
    /// connection is made again, too.
    pub(super) fn block(&self, blocked: &mut bool, since: u64) -> Result<(), Code> {
        if (self.reconnects() || self.has_outbox()) && !self.is_connected() {
            return Err(MQTTCLIENT_MAX_MESSAGES_INFLIGHT);
        }
        if !std::mem::replace(blocked, true) {
            let client_id = &self.client_id;
            trace!(
                MINIMUM,
                "Blocking publish on queue full for client {client_id}"
            );
        }
        self.wait_for_room(since)
    }

    /// Waits until a publish is complete, also while a lost connection is made again.
    ///
    /// # Errors
    /// `MQTTCLIENT_DISCONNECTED` without a connection, `MQTTCLIENT_FAILURE` when the deadline has
    /// passed, or the message was dropped.
    pub(crate) fn wait_for_completion(&self, token: Token, deadline: Instant) -> Result<(), Code> {
        // Who polls may be the one that waits: the answer must come past what it does not take now.
        let polled = self.lock().inbox.is_polled();
        if polled {
            self.await_answer(true);
        }
        let waited = self.link.wait(Some(deadline), |link| {
            if !link.is_held() {
                Some(Err(MQTTCLIENT_DISCONNECTED))
            } else if (self.reconnects() || self.has_outbox()) && link.was_dropped(token) {
                Some(Err(MQTTCLIENT_FAILURE))
            } else {
                (!link.is_pending(token)).then_some(Ok(()))
            }
        });
        if polled {
            self.await_answer(false);
        }
        waited.unwrap_or(Err(MQTTCLIENT_FAILURE))
    }

    /// The publishes that are not complete.
    pub(crate) fn pending(&self) -> Vec<Token> {
        self.link.pending()
    }

    /// The type of the packet that has ended a publish.
    pub(super) fn last_packet_of(&self, token: Token, reason: ReasonCode) -> PacketType {
        let mut state = self.lock();
        let number = state.kinds.next;
        let qos = loop {
            match state.kinds.kinds.remove(&token) {
                Some(qos) => break Some(qos),
                // The publishing thread has not come back yet, which takes it a moment only.
                None if state.kinds.is_open_before(number) => state = self.wait(state, None).0,
                None => break None,
            }
        };
        match qos {
            Some(QoS::ExactlyOnce) if reason.is_error() => PacketType::PubRec,
            Some(QoS::ExactlyOnce) => PacketType::PubComp,
            _ => PacketType::PubAck,
        }
    }

    /// Why a publish was refused, but for lack of room, as a return code.
    pub(super) fn refusal(&self, refused: PublishRefused) -> Code {
        trace_refusal(self.outbox.get(), refused);
        code(refused)
    }

    fn publish_and_note(&self, message: Message, qos: QoS) -> Result<Token, PublishRefused> {
        let number = self.lock().kinds.begin();
        let published = self.link.publish(message);
        self.note_kinds(number, published.ok().map(|token| (token, qos)));
        published
    }

    /// The publishes with this number have these tokens.
    pub(super) fn note_kinds(&self, number: u64, kinds: impl IntoIterator<Item = (Token, QoS)>) {
        let mut state = self.lock();
        state.kinds.beginning.remove(&number);
        if state.callbacks.published.is_some() {
            state.kinds.kinds.extend(kinds);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until there is more room than at `since`, or no connection.
    ///
    /// # Errors
    /// `MQTTCLIENT_MAX_MESSAGES_INFLIGHT` inside a callback, or where the application polls, when so much
    /// waits for it that nothing is read: then there won't be room before it takes that.
    fn wait_for_room(&self, since: u64) -> Result<(), Code> {
        let inside = self.strand.get().is_some_and(Strand::is_current);
        self.await_answer(true);
        let mut state = self.lock();
        let mut result = Ok(());
        while self.room.load(Ordering::Acquire) == since && state.connected {
            if (inside || state.inbox.is_polled()) && state.inbox.is_paused() {
                result = Err(MQTTCLIENT_MAX_MESSAGES_INFLIGHT);
                break;
            }
            state = self.wait(state, None).0;
        }
        drop(state);
        self.await_answer(false);
        result
    }
}

fn code(refused: PublishRefused) -> Code {
    match refused {
        PublishRefused::NotConnected => MQTTCLIENT_DISCONNECTED,
        PublishRefused::NoPacketId => MQTTCLIENT_MAX_MESSAGES_INFLIGHT,
        PublishRefused::NotKept => MQTTCLIENT_PERSISTENCE_ERROR,
        PublishRefused::QosNotSupported | PublishRefused::RetainNotSupported => {
            MQTTCLIENT_BAD_MQTT_OPTION
        }
        PublishRefused::TooLarge | PublishRefused::Full => MQTTCLIENT_FAILURE,
    }
}
