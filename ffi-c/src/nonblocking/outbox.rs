//! An outbox in a file.

use ternmq_client::link::Status;
use ternmq_protocol::client::Stored;
use ternmq_protocol::codec::QoS;

use super::{Client, Code};
use crate::outbox::{Asked, Outbox};
use crate::types::async_::*;

impl Client {
    /// Has what is published kept in a file.
    ///
    /// # Errors
    /// `MQTTASYNC_PERSISTENCE_ERROR` where there is a store, or for the file; `MQTTASYNC_FAILURE` where it
    /// comes too late.
    pub(crate) fn set_outbox(&self, asked: &Asked) -> Result<(), Code> {
        if self.store.is_some() {
            return Err(MQTTASYNC_PERSISTENCE_ERROR);
        }
        if self.outbox.get().is_some() {
            return Err(MQTTASYNC_FAILURE);
        }
        let look = |stored: &[Stored]| stored.iter().for_each(|stored| self.note_stored(stored));
        let outbox = Outbox::begin(&self.link, asked, look)?;
        let outbox = self.outbox.get_or_init(|| outbox);
        self.link
            .reconfigure(|options| outbox.apply(&mut options.session));
        Ok(())
    }

    /// The file is free for the next client when this returns.
    pub(super) fn close_outbox(&self) {
        if self.outbox.get().is_some() {
            // What is acknowledged until the end is still noted.
            self.link
                .wait(None, |link| (link.status() == Status::Closed).then_some(()));
            drop(self.link.take_journal());
        }
    }

    fn note_stored(&self, stored: &Stored) {
        match stored {
            Stored::Publish {
                packet_id, message, ..
            } => self.note_restored((*packet_id).into(), message.qos()),
            Stored::Pubrel { packet_id } => {
                self.note_restored((*packet_id).into(), QoS::ExactlyOnce);
            }
            Stored::Received { .. } => {}
        }
    }
}
