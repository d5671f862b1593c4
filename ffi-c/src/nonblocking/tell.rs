//! What the strand does: takes the events of the link and tells the application, one after the other.

use std::time::Duration;

use ternmq_client::link::Event;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{DropReason, Event as SessionEvent, Progress, Token};
use ternmq_protocol::codec::PropertiesBuf;

use super::inbound::Inbound;
use super::requests::{Key, Kind, Request, key_of};
use super::{Client, Code};
use crate::callback::Callback;
use crate::inbox::{Report, Upcall};
use crate::message::Arrived;
use crate::types::async_::*;

/// How long a refused message waits before it is offered again, if nothing else happens before.
const OFFER_AGAIN: Duration = Duration::from_secs(1);

/// What the application wants to hear of, whoever has asked for it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Callbacks {
    pub(crate) lost: Option<Callback<MQTTAsync_connectionLost>>,
    pub(crate) arrived: Option<Arrived>,
    pub(crate) delivered: Option<Callback<MQTTAsync_deliveryComplete>>,
    pub(crate) connected: Option<Callback<MQTTAsync_connected>>,
    pub(crate) disconnected: Option<Callback<MQTTAsync_disconnected>>,
    pub(crate) update: Option<Callback<MQTTAsync_updateConnectOptions>>,
}

impl Client {
    /// Tells what there is to tell.
    pub(super) fn run(&self) {
        // The strand alone uses it now. A callback may destroy the client, so nothing is locked.
        let mut inbound = std::mem::take(&mut *self.inbound());
        let mut batch = std::mem::take(&mut inbound.batch);
        // What was refused is offered again when something has happened since, or after a while.
        let mut offer = true;
        while !self.has_ended() {
            self.tell_already();
            self.link.take_events(&mut batch);
            let is_idle = batch.is_empty();
            offer |= !is_idle;
            offer &= inbound.has_waiting();
            for event in batch.drain(..) {
                match self.has_ended() {
                    false => self.tell(&mut inbound, event),
                    true => _ = self.tell_end(event),
                }
            }
            self.finished();
            self.acknowledge(&mut inbound);
            if std::mem::take(&mut offer) {
                self.offer_again(&mut inbound);
            }
            if is_idle {
                if !inbound.has_waiting() || self.lock().callbacks.arrived.is_none() {
                    break;
                }
                self.wait_for_events(OFFER_AGAIN);
                offer = true;
            }
        }
        inbound.batch = batch;
        *self.inbound() = inbound;
    }

    /// Tells one thing.
    fn tell(&self, inbound: &mut Inbound, event: Event) {
        if let Some(event) = self.tell_end(event) {
            // The end that was told last is not to wait for what comes now.
            self.finished();
            self.tell_other(inbound, event);
        }
    }

    /// Tells of anything but the end of a request.
    fn tell_other(&self, inbound: &mut Inbound, event: Event) {
        match event {
            Event::Session(SessionEvent::Message(incoming)) => {
                self.receive(inbound, incoming, self.is_v5());
            }
            Event::Session(SessionEvent::Progress(Progress::Completed(packet_id))) => {
                self.release(inbound, packet_id);
            }
            Event::Session(SessionEvent::Connected(connected)) => {
                self.tell_connected(inbound, &connected);
            }
            Event::Session(SessionEvent::Disconnected {
                cause,
                reason,
                properties,
            }) => {
                let retry = inbound.retry.take();
                self.tell_disconnected(cause, reason, &properties, retry);
            }
            Event::ConnectFailed { error, retry } => {
                self.tell_connect_failed(inbound, error, retry);
            }
            Event::ConnectBegun => inbound.attempting = true,
            Event::RetryPlanned { after } => inbound.retry = Some(after),
            Event::RetryDue => self.tell_retry_due(),
            _ => {}
        }
    }

    /// Tells of the end of a request; gives back anything else. [`finished`](Self::finished) must
    /// follow.
    pub(super) fn tell_end(&self, event: Event) -> Option<Event> {
        let event = match event {
            Event::Session(event) => event,
            other => return Some(other),
        };
        match event {
            SessionEvent::Published {
                token,
                reason,
                properties,
            } => self.tell_published(token, reason, &properties),
            SessionEvent::Subscribed {
                token,
                codes,
                properties,
            }
            | SessionEvent::Unsubscribed {
                token,
                codes,
                properties,
            } => {
                self.end(key_of(token), |request, key| {
                    request.answered(key, &codes, &properties);
                    self.report_answer(request, token, &codes);
                });
            }
            SessionEvent::Sent { note } => self.end(note, |request, key| {
                request.published(key, ReasonCode::SUCCESS, &PropertiesBuf::default());
            }),
            SessionEvent::NotSent { note, why } => self.tell_dropped(note, Token::NONE, why),
            SessionEvent::Dropped { token, why } => self.tell_dropped(key_of(token), token, why),
            other => return Some(Event::Session(other)),
        }
        None
    }

    fn tell_published(&self, token: Token, reason: ReasonCode, properties: &PropertiesBuf) {
        let key = key_of(token);
        let mut state = self.lock();
        let request = state.requests.finish(key);
        let delivered = state.callbacks.delivered;
        if state.waiters > 0 {
            self.completed.notify_all();
        }
        drop(state);
        if let Some(Callback { function, context }) = delivered {
            // SAFETY: the application registered the function for this.
            unsafe { function(context, token.0.into()) };
        }
        if let Some(request) = request {
            request.published(key, reason, properties);
        }
        if self.is_polled() {
            self.tell_polled(Upcall::Published {
                token,
                reason,
                properties: properties.clone(),
            });
        }
    }

    fn tell_dropped(&self, key: Key, token: Token, why: DropReason) {
        let code = dropped(why);
        self.end(key, |request, key| request.drop_with(key, code));
        self.report(Report::Dropped { token, code });
    }

    /// Tells who polls of the answer to a request: the first refusal in it, if there is one.
    fn report_answer(&self, request: &Request, token: Token, codes: &[ReasonCode]) {
        let refusal = codes.iter().find(|code| code.is_error());
        let first = refusal.or(codes.first()).copied();
        let reason = first.unwrap_or(ReasonCode::SUCCESS);
        self.report(match request.kind {
            Kind::Unsubscribe => Report::Unsubscribed { token, reason },
            _ => Report::Subscribed { token, reason },
        });
    }

    /// Ends a request, if there is one. The one before has been told, which costs no lock of its own.
    fn end(&self, key: Key, tell: impl FnOnce(&Request, Key)) {
        let mut state = self.lock();
        let request = state.requests.finish(key);
        if state.waiters > 0 {
            self.completed.notify_all();
        }
        drop(state);
        if let Some(request) = request {
            tell(&request, key);
        }
    }

    /// The end of a request has been told.
    pub(super) fn finished(&self) {
        let mut state = self.lock();
        state.requests.finished();
        if state.waiters > 0 {
            self.completed.notify_all();
        }
    }

    fn inbound(&self) -> std::sync::MutexGuard<'_, Inbound> {
        self.inbound
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Why a request ends without an answer, as a return code.
fn dropped(why: DropReason) -> Code {
    match why {
        DropReason::Overflow => MQTTASYNC_MAX_BUFFERED_MESSAGES,
        DropReason::NotSupported => MQTTASYNC_BAD_MQTT_OPTION,
        DropReason::TooLarge => MQTTASYNC_FAILURE,
        DropReason::Expired
        | DropReason::SessionLost
        | DropReason::ConnectionLost
        | DropReason::Forgotten => MQTTASYNC_OPERATION_INCOMPLETE,
    }
}
