//! An outbox in a file.

use ternmq_client::link::Status;

use super::{Client, Code};
use crate::outbox::{Asked, Outbox};
use crate::types::client::MQTTCLIENT_FAILURE;
use crate::types::persistence::MQTTCLIENT_PERSISTENCE_ERROR;

impl Client {
    /// Has what is published kept in a file.
    ///
    /// # Errors
    /// `MQTTCLIENT_PERSISTENCE_ERROR` where there is a store, or for the file; `MQTTCLIENT_FAILURE` where
    /// it comes too late.
    pub(crate) fn set_outbox(&self, asked: &Asked) -> Result<(), Code> {
        if self.store.is_some() {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let Ok(_connecting) = self.connecting.try_lock() else {
            return Err(MQTTCLIENT_FAILURE);
        };
        if self.outbox.get().is_some() {
            return Err(MQTTCLIENT_FAILURE);
        }
        let outbox = Outbox::begin(&self.link, asked, |_| {})?;
        let outbox = self.outbox.get_or_init(|| outbox);
        self.link
            .reconfigure(|options| outbox.apply(&mut options.session));
        Ok(())
    }

    /// Whether what is published without a connection is kept.
    pub(super) fn has_outbox(&self) -> bool {
        self.outbox.get().is_some()
    }

    /// The file is free for the next client when this returns.
    pub(super) fn close_outbox(&self) {
        if self.has_outbox() {
            // What is acknowledged until the end is still noted.
            self.link
                .wait(None, |link| (link.status() == Status::Closed).then_some(()));
            drop(self.link.take_journal());
        }
    }
}
