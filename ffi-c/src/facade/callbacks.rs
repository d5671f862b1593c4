//! The application's callbacks, run one after the other on the client's strand.

use std::ffi::c_int;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use ternmq_client::executor::Strand;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Incoming, Token};
use ternmq_protocol::codec::PropertiesBuf;

use super::{Client, State};
use crate::callback::{Callback, with_list};
use crate::inbox::Upcall;
use crate::message::Arrived;
use crate::reconnect::Listener;
use crate::signals;
use crate::types::beyond::ternmq_messageArrived;
use crate::types::client::*;

/// How long a refused message waits before it is offered again, if nothing else happens before.
const OFFER_AGAIN: Duration = Duration::from_secs(1);

/// What the application wants to hear of.
#[derive(Clone, Copy, Default)]
pub(crate) struct Callbacks {
    pub(crate) arrived: Option<Arrived>,
    pub(crate) delivered: Option<Callback<MQTTClient_deliveryComplete>>,
    pub(crate) lost: Option<Callback<MQTTClient_connectionLost>>,
    pub(crate) disconnected: Option<Callback<MQTTClient_disconnected>>,
    pub(crate) published: Option<Callback<MQTTClient_published>>,
    pub(crate) changed: Option<Listener>,
}

impl Callbacks {
    /// Messages go to a callback, not to `receive`.
    pub(super) fn are_set(&self) -> bool {
        self.arrived.is_some()
    }
}

/// What is worth a place in the inbox: all of it for who polls.
impl State {
    pub(super) fn wants_published(&self, is_v5: bool) -> bool {
        let Callbacks {
            delivered,
            published,
            ..
        } = &self.callbacks;
        self.wants(delivered.is_some() || (is_v5 && published.is_some()))
    }

    pub(super) fn wants_disconnected(&self) -> bool {
        self.wants(self.callbacks.disconnected.is_some())
    }

    pub(super) fn wants_lost(&self) -> bool {
        self.wants(self.callbacks.lost.is_some())
    }

    fn wants(&self, callback: bool) -> bool {
        self.inbox.is_polled() || (self.callbacks.are_set() && callback)
    }
}

impl Client {
    /// Registers the callbacks of `MQTTClient_setCallbacks`.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` while a connect goes on, or when no thread can be started.
    pub(crate) fn set_callbacks(
        &self,
        lost: Option<Callback<MQTTClient_connectionLost>>,
        arrived: Callback<MQTTClient_messageArrived>,
        delivered: Option<Callback<MQTTClient_deliveryComplete>>,
    ) -> Result<(), c_int> {
        self.change_callbacks(|callbacks| {
            callbacks.lost = lost;
            callbacks.arrived = Some(Arrived::Copied(arrived));
            callbacks.delivered = delivered;
        })
    }

    /// Has messages go to a function that gets them without a copy; what else is told stays as it is.
    ///
    /// # Errors
    /// As [`set_callbacks`](Self::set_callbacks).
    pub(crate) fn set_shared_arrived(
        &self,
        arrived: Callback<ternmq_messageArrived>,
    ) -> Result<(), c_int> {
        self.change_callbacks(|callbacks| callbacks.arrived = Some(Arrived::Shared(arrived)))
    }

    fn change_callbacks(&self, change: impl FnOnce(&mut Callbacks)) -> Result<(), c_int> {
        if self.connecting.try_lock().is_err() {
            return Err(MQTTCLIENT_FAILURE);
        }
        self.begin_strand()?;
        let mut state = self.lock();
        change(&mut state.callbacks);
        let something_to_tell = state.has_something_to_tell();
        drop(state);
        if something_to_tell {
            self.schedule_callbacks();
        }
        Ok(())
    }

    /// Makes the thread that runs the callbacks, if there is none.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` when no thread can be started.
    pub(super) fn begin_strand(&self) -> Result<(), c_int> {
        if self.strand.get().is_none() {
            let (client, mask) = (self.this.clone(), signals::mask());
            let run = move || {
                signals::adopt(mask);
                if let Some(client) = client.upgrade() {
                    client.run_callbacks();
                }
            };
            let strand = Strand::new(run).map_err(|_| MQTTCLIENT_FAILURE)?;
            // Another thread may have been first; its strand is as good.
            let _ = self.strand.set(strand);
        }
        Ok(())
    }

    pub(crate) fn set_disconnected(&self, callback: Option<Callback<MQTTClient_disconnected>>) {
        self.lock().callbacks.disconnected = callback;
    }

    pub(crate) fn set_published(&self, callback: Option<Callback<MQTTClient_published>>) {
        self.lock().callbacks.published = callback;
    }

    /// Has the callbacks run, if there are any.
    pub(super) fn schedule_callbacks(&self) {
        if let Some(strand) = self.strand.get() {
            strand.schedule();
        }
    }

    /// Runs callbacks until there is nothing to tell.
    fn run_callbacks(&self) {
        let mut state = self.lock();
        // The first message was refused: reports may pass it, other messages wait behind it.
        let mut refused = false;
        while !state.inbox.is_polled() {
            let messages = state.callbacks.are_set() && !refused;
            let Some(upcall) = state.inbox.pop(messages) else {
                if !refused || state.inbox.is_empty() {
                    break;
                }
                state = self.wait_to_offer_again(state);
                refused = false;
                continue;
            };
            let callbacks = state.callbacks;
            self.throttle(state);
            let given_back = self.tell(callbacks, upcall);
            state = self.lock();
            if let Some(incoming) = given_back {
                state.inbox.put_back(incoming);
                refused = true;
            }
        }
    }

    /// Waits until something else has come in, or long enough.
    fn wait_to_offer_again<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let deadline = Instant::now() + OFFER_AGAIN;
        let seen = state.inbox.len();
        let mut in_time = true;
        while in_time && state.inbox.len() == seen {
            (state, in_time) = self.wait(state, Some(deadline));
        }
        state
    }

    /// Tells the application one thing. Gives back a message that it has refused.
    fn tell(&self, callbacks: Callbacks, upcall: Upcall) -> Option<Incoming> {
        match upcall {
            Upcall::Message(incoming) => return self.offer(callbacks.arrived?, incoming),
            Upcall::Polled(_) => {}
            Upcall::Published {
                token,
                reason,
                properties,
            } => self.tell_published(callbacks, token, reason, &properties),
            Upcall::Lost => {
                if let Some(Callback { function, context }) = callbacks.lost {
                    // SAFETY: the application registered the function for this.
                    unsafe { function(context, std::ptr::null_mut()) };
                }
            }
            Upcall::Changed(change) => {
                if let Some(listener) = callbacks.changed {
                    change.tell(listener, self.is_v5);
                }
            }
            Upcall::Disconnected { reason, properties } => {
                if let Some(Callback { function, context }) = callbacks.disconnected {
                    with_list(&properties, |list| {
                        // SAFETY: as above; the list is valid during the call.
                        unsafe { function(context, list, reason.0.into()) };
                    });
                }
            }
        }
        None
    }

    /// Offers a message; gives it back when it is refused.
    fn offer(&self, arrived: Arrived, incoming: Incoming) -> Option<Incoming> {
        let (delivery, qos) = (incoming.delivery, incoming.qos);
        // A topic can't hold a NUL, so the length is never needed.
        let topic_len = 0;
        if let Err(refused) = arrived.offer(incoming, topic_len, || self.now()) {
            return Some(refused);
        }
        self.taken(delivery);
        if !arrived.is_shared() {
            self.acknowledge_taken(delivery, qos);
        }
        None
    }

    fn tell_published(
        &self,
        callbacks: Callbacks,
        token: Token,
        reason: ReasonCode,
        properties: &PropertiesBuf,
    ) {
        if let (true, Some(Callback { function, context })) = (self.is_v5, callbacks.published) {
            let packet_type = self.last_packet_of(token, reason) as c_int;
            with_list(properties, |list| {
                // SAFETY: the application registered the function for this; the list is valid
                // during the call.
                unsafe { function(context, token.0.into(), packet_type, list, reason.0.into()) };
            });
        }
        if let Some(Callback { function, context }) = callbacks.delivered {
            // SAFETY: the application registered the function for this.
            unsafe { function(context, token.0.into()) };
        }
    }
}
