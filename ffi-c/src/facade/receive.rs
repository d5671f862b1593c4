//! Fetching messages without callbacks.

use std::time::Instant;

use super::{Client, Code};
use crate::message::CMessage;
use crate::types::client::*;

/// What fetching a message came to.
pub(crate) enum Received {
    Message(CMessage),
    /// None came in time.
    Nothing,
    /// A return code.
    Failed(Code),
}

impl Client {
    /// The next message, waiting for it until the deadline, also while a lost connection is made again.
    /// What came before the connection was lost is still given out.
    pub(crate) fn receive(&self, deadline: Instant) -> Received {
        let mut state = self.lock();
        if state.callbacks.are_set() || state.inbox.is_polled() {
            return Received::Failed(MQTTCLIENT_FAILURE);
        }
        let incoming = loop {
            if let Some(incoming) = state.inbox.pop_message() {
                self.throttle(state);
                break incoming;
            }
            if !state.connected && !state.returning {
                return Received::Failed(MQTTCLIENT_DISCONNECTED);
            }
            let in_time;
            (state, in_time) = self.wait(state, Some(deadline));
            if !in_time {
                return Received::Nothing;
            }
        };
        match CMessage::new(&incoming, || self.now()) {
            Some(message) => {
                self.taken(incoming.delivery);
                self.acknowledge_taken(incoming.delivery, incoming.qos);
                Received::Message(message)
            }
            None => {
                self.lock().inbox.put_back(incoming);
                Received::Failed(MQTTCLIENT_FAILURE)
            }
        }
    }
}
