//! A connection that is lost and made again by itself.

use std::sync::atomic::Ordering;

use ternmq_client::ConnectOptions;
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::client::Options;

use super::{Client, Code};
use crate::options;
use crate::reconnect::Reconnect;

impl Client {
    /// Sets how a lost connection is made again, or that it is not.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` when no thread can be started for the callback.
    pub(crate) fn set_reconnect(&self, reconnect: Option<Reconnect>) -> Result<(), Code> {
        if reconnect.is_some_and(|reconnect| reconnect.changed.is_some()) {
            self.begin_strand()?;
        }
        let mut state = self.lock();
        state.reconnect = reconnect;
        state.callbacks.changed = reconnect.and_then(|reconnect| reconnect.changed);
        let clean = state.clean_start;
        drop(state);
        self.reconnects
            .store(reconnect.is_some(), Ordering::Relaxed);
        let held = self.link.is_held();
        self.link.reconfigure(|options| {
            match &reconnect {
                Some(reconnect) => reconnect.apply(options),
                None => do_not(options, clean),
            }
            if let Some(outbox) = self.outbox.get() {
                outbox.apply(&mut options.session);
            }
        });
        if held {
            self.tell_store(clean && reconnect.is_none());
        }
        if reconnect.is_none() && held && !self.is_connected() {
            self.link.close();
        }
        Ok(())
    }

    /// Completes the options of a connect. What is still there of earlier connections goes, if it is to
    /// begin without: from there on nothing is dropped any more.
    pub(super) fn prepare_reconnect(&self, options: &mut ConnectOptions) {
        let Some(reconnect) = self.lock().reconnect else {
            return;
        };
        reconnect.apply(options);
        if options.session.clean_start && self.has_outbox() {
            self.link.forget_subscriptions();
        } else if options.session.clean_start {
            self.link.forget();
            if let Some(store) = &self.store {
                store.begin_anew();
            }
        }
    }

    /// Whether the store is to drop what it has when the next connection begins.
    pub(super) fn store_begins_anew(&self, options: &Options) -> bool {
        options.clean_start && !self.reconnects()
    }

    /// Whether a lost connection is made again.
    pub(super) fn reconnects(&self) -> bool {
        self.reconnects.load(Ordering::Relaxed)
    }

    fn tell_store(&self, clean: bool) {
        if let Some(store) = &self.store {
            let version = self.link.session(|_, session| session.options().version);
            store.connecting(clean, version != ProtocolVersion::V3_1);
        }
    }
}

/// As without a word of reconnecting.
fn do_not(options: &mut ConnectOptions, clean: bool) {
    options.reconnect = None;
    options.resubscribe = false;
    options::leave_nothing_waiting(&mut options.session, clean);
}
