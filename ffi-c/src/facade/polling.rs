//! Taking what waits without callbacks or threads, and acknowledging it by hand.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

use ternmq_client::link::Status;
use ternmq_protocol::client::{Acknowledge, Delivery};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::{ReasonCode, Time};

use super::{Client, Code, State};
use crate::inbox::{Limits, Report, Upcall};
use crate::types::client::*;
use crate::types::persistence::MQTTCLIENT_PERSISTENCE_ERROR;

impl Client {
    /// From now on what happens is taken with [`next`](Self::next), and no callback is called. The
    /// descriptor to poll.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` while there is a connection or an attempt, unless it was so before; or when
    /// the process has no descriptors left.
    pub(crate) fn poll(&self) -> Result<RawFd, Code> {
        let at_rest = self.link.status() == Status::Closed;
        let mut state = self.lock();
        if !at_rest && !state.inbox.is_polled() {
            return Err(MQTTCLIENT_FAILURE);
        }
        state.inbox.poll().map_err(|_| MQTTCLIENT_FAILURE)
    }

    /// How much may wait for [`next`](Self::next).
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` when nobody polls.
    pub(crate) fn set_limits(&self, limits: Limits) -> Result<(), Code> {
        let mut state = self.lock();
        if !state.inbox.is_polled() {
            return Err(MQTTCLIENT_FAILURE);
        }
        state.inbox.limits = limits;
        self.throttle(state);
        Ok(())
    }

    /// The next of what happened, if anything did.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` when nobody polls.
    pub(crate) fn next(&self) -> Result<Option<Upcall>, Code> {
        let mut state = self.lock();
        if !state.inbox.is_polled() {
            return Err(MQTTCLIENT_FAILURE);
        }
        let upcall = state.inbox.pop(true);
        self.throttle(state);
        if let Some(Upcall::Message(incoming)) = &upcall {
            self.taken(incoming.delivery);
        }
        Ok(upcall)
    }

    /// Has the application acknowledge messages, or the library.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` while there is a connection or an attempt; `MQTTCLIENT_PERSISTENCE_ERROR`
    /// where a store keeps what comes in, which takes the place of the server.
    pub(crate) fn set_manual(&self, manual: bool) -> Result<(), Code> {
        if self.store.is_some() && manual {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        if self.link.status() != Status::Closed {
            return Err(MQTTCLIENT_FAILURE);
        }
        self.manual.store(manual, Ordering::Relaxed);
        Ok(())
    }

    /// Acknowledges a message for the application.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` when no such message waits for it.
    pub(crate) fn acknowledge(&self, delivery: Delivery, reason: ReasonCode) -> Result<(), Code> {
        let waited = self.is_manual() && self.link.acknowledge(delivery, reason);
        waited.then_some(()).ok_or(MQTTCLIENT_FAILURE)
    }

    /// The application has taken a message in a way that has no acknowledgement of its own.
    pub(super) fn acknowledge_taken(&self, delivery: Delivery, qos: QoS) {
        if qos != QoS::AtMostOnce && self.is_manual() {
            // False when the connection has ended: the server sends it again.
            self.link.acknowledge(delivery, ReasonCode::SUCCESS);
        }
    }

    pub(super) fn acknowledge_mode(&self) -> Acknowledge {
        match self.is_manual() {
            true => Acknowledge::Manual,
            false => Acknowledge::Automatic,
        }
    }

    /// The time of the link.
    pub(crate) fn now(&self) -> Time {
        self.link.session(|now, _| now)
    }

    fn is_manual(&self) -> bool {
        self.manual.load(Ordering::Relaxed)
    }
}

impl State {
    /// Tells who polls; nobody else wants to hear it.
    pub(super) fn report(&mut self, report: Report) {
        if self.inbox.is_polled() {
            self.inbox.push(Upcall::Polled(report));
        }
    }
}
