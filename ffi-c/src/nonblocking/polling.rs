//! Taking what happens without callbacks, and acknowledging messages by hand.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_client::link::Status;
use ternmq_protocol::client::{Cause, Delivery};
use ternmq_protocol::codec::PropertiesBuf;
use ternmq_protocol::{ReasonCode, Time};

use super::{Client, Code};
use crate::inbox::{self, Inbox, Limits, Report, Upcall};
use crate::message::Arrived;
use crate::types::async_::*;

impl Client {
    /// From now on what happens is taken with [`next`](Self::next), messages by nothing else. The
    /// descriptor to poll.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` while there is a connection or an attempt, unless it was so before; or when
    /// the process has no descriptors left.
    pub(crate) fn poll(&self) -> Result<RawFd, Code> {
        let mut first = Inbox::default();
        if !self.is_polled() {
            if self.link.status() != Status::Closed {
                return Err(MQTTASYNC_FAILURE);
            }
            // Before anything goes there: without a descriptor the callbacks go on.
            first.poll().map_err(|_| MQTTASYNC_FAILURE)?;
        }
        let mut inbox = lock(self.polled.get_or_init(|| Mutex::new(first)));
        inbox.poll().map_err(|_| MQTTASYNC_FAILURE)
    }

    /// How much may wait for [`next`](Self::next).
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` when nobody polls.
    pub(crate) fn set_limits(&self, limits: Limits) -> Result<(), Code> {
        let polled = self.polled.get().ok_or(MQTTASYNC_FAILURE)?;
        let mut inbox = lock(polled);
        inbox.limits = limits;
        inbox::throttle(&self.link, inbox, || lock(polled));
        Ok(())
    }

    /// The next of what happened, if anything did.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` when nobody polls.
    pub(crate) fn next(&self) -> Result<Option<Upcall>, Code> {
        let polled = self.polled.get().ok_or(MQTTASYNC_FAILURE)?;
        let mut inbox = lock(polled);
        let upcall = inbox.pop(true);
        inbox::throttle(&self.link, inbox, || lock(polled));
        if let (Some(Upcall::Message(incoming)), Some(store)) = (&upcall, &self.store) {
            store.taken(incoming.delivery);
        }
        Ok(upcall)
    }

    /// Has the application acknowledge messages, or the library.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` while there is a connection or an attempt; `MQTTASYNC_PERSISTENCE_ERROR`
    /// where a store keeps what comes in, which takes the place of the server.
    pub(crate) fn set_manual(&self, manual: bool) -> Result<(), Code> {
        if self.store.is_some() && manual {
            return Err(MQTTASYNC_PERSISTENCE_ERROR);
        }
        if self.link.status() != Status::Closed {
            return Err(MQTTASYNC_FAILURE);
        }
        self.manual.store(manual, Ordering::Relaxed);
        Ok(())
    }

    /// Acknowledges a message for the application.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` when no such message waits for it.
    pub(crate) fn acknowledge_by_hand(
        &self,
        delivery: Delivery,
        reason: ReasonCode,
    ) -> Result<(), Code> {
        let manual = self.manual.load(Ordering::Relaxed);
        let waited = manual && self.link.acknowledge(delivery, reason);
        waited.then_some(()).ok_or(MQTTASYNC_FAILURE)
    }

    /// Whether who takes messages now acknowledges them, too: Paho's callback can't.
    pub(super) fn is_acknowledged_by_hand(&self) -> bool {
        let shares = || {
            self.lock()
                .callbacks
                .arrived
                .is_some_and(Arrived::is_shared)
        };
        self.manual.load(Ordering::Relaxed) && (self.is_polled() || shares())
    }

    pub(super) fn is_polled(&self) -> bool {
        self.polled.get().is_some()
    }

    /// Messages that wait for [`next`](Self::next).
    pub(super) fn waiting_for_polls(&self) -> usize {
        self.polled
            .get()
            .map_or(0, |polled| lock(polled).messages())
    }

    /// Tells who polls; nobody else hears it.
    pub(super) fn tell_polled(&self, upcall: Upcall) {
        if let Some(polled) = self.polled.get() {
            let mut inbox = lock(polled);
            inbox.push(upcall);
            inbox::throttle(&self.link, inbox, || lock(polled));
        }
    }

    pub(super) fn report(&self, report: Report) {
        self.tell_polled(Upcall::Polled(report));
    }

    pub(super) fn tell_polled_loss(
        &self,
        cause: Cause,
        reason: ReasonCode,
        properties: &PropertiesBuf,
    ) {
        self.tell_polled(match cause {
            Cause::Server => Upcall::Disconnected {
                reason,
                properties: properties.clone(),
            },
            _ => Upcall::Lost,
        });
    }

    /// Waits for an answer of the server, which must come past what nobody takes meanwhile.
    pub(super) fn past_the_polled<R>(&self, wait: impl FnOnce() -> R) -> R {
        let Some(polled) = self.polled.get() else {
            return wait();
        };
        let count = |change: fn(&mut usize)| {
            let mut inbox = lock(polled);
            change(&mut inbox.awaiting);
            inbox::throttle(&self.link, inbox, || lock(polled));
        };
        count(|awaiting| *awaiting += 1);
        let result = wait();
        count(|awaiting| *awaiting -= 1);
        result
    }

    /// The time of the link.
    pub(crate) fn now(&self) -> Time {
        self.link.session(|now, _| now)
    }
}

fn lock(polled: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    polled.lock().unwrap_or_else(PoisonError::into_inner)
}
