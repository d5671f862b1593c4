//! Publishing, subscribing, unsubscribing, and waiting for their ends.

use std::sync::PoisonError;
use std::time::Instant;

use ternmq_protocol::Message;
use ternmq_protocol::client::{PublishRefused, RequestRefused, Token};
use ternmq_protocol::codec::{Properties, QoS, Request as Filter};

use super::outcome::Response;
use super::requests::{Kind, Request, key_of};
use super::{Client, Code};
use crate::outbox::trace_refusal;
use crate::outgoing::Outgoing;
use crate::trace::{self, trace};
use crate::types::async_::*;

impl Client {
    /// Whether a message would be taken now, as far as the connection decides.
    ///
    /// # Errors
    /// `MQTTASYNC_DISCONNECTED`.
    pub(crate) fn may_send(&self) -> Result<(), Code> {
        let creation = &self.creation;
        let buffers =
            creation.send_while_disconnected && (creation.send_at_any_time || self.lock().wanted);
        match buffers || self.outbox.get().is_some() || self.is_connected() {
            true => Ok(()),
            false => Err(MQTTASYNC_DISCONNECTED),
        }
    }

    /// Publishes, or has the message wait for a connection. Never blocks. The token is told before
    /// any callback can tell of its end; `tell_token` must not call the client.
    ///
    /// # Errors
    /// `MQTTASYNC_MAX_BUFFERED_MESSAGES` when too much waits, `MQTTASYNC_NO_MORE_MSGIDS` when all
    /// packet identifiers are in use, `MQTTASYNC_DISCONNECTED` without a connection;
    /// `MQTTASYNC_BAD_MQTT_OPTION` for what this server does not support; `MQTTASYNC_PERSISTENCE_ERROR`
    /// when it can't be stored; else `MQTTASYNC_FAILURE`.
    pub(crate) fn send(
        &self,
        outgoing: &Outgoing<'_>,
        response: Response,
        tell_token: impl FnOnce(Token),
    ) -> Result<(), Code> {
        self.restore()?;
        let message = self.prepare(outgoing, &mut Vec::new())?;
        let at_most_once = outgoing.qos == QoS::AtMostOnce;
        if !at_most_once && trace::wants(trace::MINIMUM) && self.waits_for_window() {
            let client_id = &self.client_id;
            trace!(
                trace::MINIMUM,
                "Blocking on server receive maximum for client {client_id}"
            );
        }
        let request = Request {
            response,
            kind: Kind::Publish(
                outgoing.qos,
                response.wants_success().then(|| message.clone()),
            ),
        };
        let sent = if !at_most_once {
            self.link.publish_noted(message, 0, |token| {
                tell_token(token);
                self.lock().requests.insert(key_of(token), request);
            })
        } else if response.wants_anything() || self.store.is_some() {
            tell_token(Token::NONE);
            let note = self.lock().requests.next_note();
            self.link.publish_noted(message, note, |_| {
                self.lock().requests.insert(note, request);
            })
        } else {
            tell_token(Token::NONE);
            self.link.publish(message)
        };
        sent.map(drop).map_err(|refused| self.refusal(refused))
    }

    /// Why a publish was refused, as a return code.
    pub(super) fn refusal(&self, refused: PublishRefused) -> Code {
        trace_refusal(self.outbox.get(), refused);
        publish_code(refused)
    }

    /// The message that the application has given; `scratch` is memory that several may share.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE`; `MQTTASYNC_DISCONNECTED` where none would be taken.
    pub(crate) fn prepare(
        &self,
        outgoing: &Outgoing<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Message, Code> {
        let aliases = |alias, topic: &str| self.lock().aliases.resolve(alias, topic);
        outgoing
            .message(|| self.now(), aliases, scratch)
            .map_err(|_| self.may_send().err().unwrap_or(MQTTASYNC_FAILURE))
    }

    /// Whether a message would wait because of others that the server has not acknowledged.
    fn waits_for_window(&self) -> bool {
        self.is_connected() && self.link.session(|_, session| !session.can_send())
    }

    /// Asks for subscriptions. `many`: the filters were given as a list, of whatever length.
    ///
    /// # Errors
    /// `MQTTASYNC_DISCONNECTED` without a connection, `MQTTASYNC_NO_MORE_MSGIDS`, or
    /// `MQTTASYNC_FAILURE` when the request can't be sent.
    pub(crate) fn subscribe(
        &self,
        filters: &[Filter<'_>],
        many: bool,
        properties: Properties<'_>,
        response: Response,
        tell_token: impl FnOnce(Token),
    ) -> Result<(), Code> {
        let kind = Kind::Subscribe(many);
        let note = |token| {
            tell_token(token);
            self.note(token, response, kind);
        };
        let sent = self.link.subscribe_noted(filters, properties, note);
        sent.map(drop).map_err(code)
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub(crate) fn unsubscribe(
        &self,
        filters: &[&str],
        properties: Properties<'_>,
        response: Response,
        tell_token: impl FnOnce(Token),
    ) -> Result<(), Code> {
        let kind = Kind::Unsubscribe;
        let note = |token| {
            tell_token(token);
            self.note(token, response, kind);
        };
        let sent = self.link.unsubscribe_noted(filters, properties, note);
        sent.map(drop).map_err(code)
    }

    /// Whether the end of a request has been told. Inside a callback, whether it has come.
    pub(crate) fn is_complete(&self, token: MQTTAsync_token) -> bool {
        match self.strand.is_current() {
            true => !self.link.is_pending(as_token(token)),
            false => !self.lock().requests.is_open(token),
        }
    }

    /// Waits until the end of a request has been told.
    ///
    /// # Errors
    /// `MQTTASYNC_DISCONNECTED` without a connection, `MQTTASYNC_FAILURE` when the deadline has
    /// passed.
    pub(crate) fn wait_for_completion(
        &self,
        token: MQTTAsync_token,
        deadline: Instant,
    ) -> Result<(), Code> {
        if !self.is_connected() {
            return Err(MQTTASYNC_DISCONNECTED);
        }
        match self.strand.is_current() {
            true => self.await_answer(as_token(token), deadline),
            // Who polls may be the one that waits.
            false => self.past_the_polled(|| self.await_end(token, deadline)),
        }
    }

    /// The publishes that have not ended.
    ///
    /// # Errors
    /// What the store said, if there is one and it was not read before.
    pub(crate) fn pending(&self) -> Result<Vec<MQTTAsync_token>, Code> {
        self.restore()?;
        Ok(self.lock().requests.publishes())
    }

    /// Waits inside a callback: ends can't be told before it returns, but answers come in.
    fn await_answer(&self, token: Token, deadline: Instant) -> Result<(), Code> {
        self.link
            .wait(Some(deadline), |link| {
                if !link.is_connected() {
                    Some(Err(MQTTASYNC_DISCONNECTED))
                } else {
                    (!link.is_pending(token)).then_some(Ok(()))
                }
            })
            .unwrap_or(Err(MQTTASYNC_FAILURE))
    }

    fn await_end(&self, token: MQTTAsync_token, deadline: Instant) -> Result<(), Code> {
        let mut state = self.lock();
        let losses = state.losses;
        state.waiters += 1;
        let result = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if !state.requests.is_open(token) {
                break Ok(());
            } else if state.losses != losses || self.has_ended() {
                break Err(MQTTASYNC_DISCONNECTED);
            } else if left.is_zero() {
                break Err(MQTTASYNC_FAILURE);
            }
            let waited = self.completed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        state.waiters -= 1;
        result
    }

    fn note(&self, token: Token, response: Response, kind: Kind) {
        let request = Request { response, kind };
        self.lock().requests.insert(key_of(token), request);
    }
}

/// Why a publish was refused, as a return code.
fn publish_code(refused: PublishRefused) -> Code {
    match refused {
        PublishRefused::Full => MQTTASYNC_MAX_BUFFERED_MESSAGES,
        PublishRefused::NotConnected => MQTTASYNC_DISCONNECTED,
        PublishRefused::NoPacketId => MQTTASYNC_NO_MORE_MSGIDS,
        PublishRefused::NotKept => MQTTASYNC_PERSISTENCE_ERROR,
        PublishRefused::QosNotSupported | PublishRefused::RetainNotSupported => {
            MQTTASYNC_BAD_MQTT_OPTION
        }
        PublishRefused::TooLarge => MQTTASYNC_FAILURE,
    }
}

fn code(refused: RequestRefused) -> Code {
    match refused {
        RequestRefused::NotConnected => MQTTASYNC_DISCONNECTED,
        RequestRefused::NoPacketId => MQTTASYNC_NO_MORE_MSGIDS,
        _ => MQTTASYNC_FAILURE,
    }
}

/// No request has a token that is out of range.
fn as_token(token: MQTTAsync_token) -> Token {
    Token(u16::try_from(token).unwrap_or(0))
}
