//! What `ternmq_set_reconnect` has changed, beside what `MQTTAsync.h` has of it.

use ternmq_client::ConnectOptions;

use super::Client;
use crate::reconnect::{Change, Reconnect};

impl Client {
    /// Sets how a lost connection is made again, in the place of what the options of connects say; `None`:
    /// as those say.
    pub(crate) fn set_reconnect(&self, reconnect: Option<Reconnect>) {
        let mut state = self.lock();
        state.reconnect = reconnect;
        let asked = state.last.as_ref().and_then(|options| options.reconnect);
        state.automatic = reconnect.is_some() || asked.is_some();
        let wanted = state.wanted;
        drop(state);
        let held = self.link.is_held();
        self.link.reconfigure(|options| match &reconnect {
            Some(reconnect) if wanted => reconnect.apply_nonblocking(options),
            Some(_) => {}
            None => {
                options.reconnect = asked.filter(|_| wanted);
                options.resubscribe = false;
            }
        });
        if held && !self.is_connected() && !self.lock().automatic {
            self.link.close();
        }
    }

    /// The options of a connect with what was set here.
    pub(super) fn completed(&self, mut options: ConnectOptions) -> ConnectOptions {
        if let Some(reconnect) = self.lock().reconnect {
            reconnect.apply_nonblocking(&mut options);
        }
        if let Some(outbox) = self.outbox.get() {
            outbox.apply(&mut options.session);
        }
        options
    }

    /// Tells of a change, if somebody listens.
    pub(super) fn tell_change(&self, change: &Change) {
        let reconnect = self.lock().reconnect;
        if let Some(listener) = reconnect.and_then(|reconnect| reconnect.changed)
            && !self.has_ended()
        {
            change.tell(listener, self.is_v5());
        }
    }
}
