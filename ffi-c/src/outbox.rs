//! What `ternmq_set_outbox` asks for, for clients of both kinds.

use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::Arc;

use ternmq_client::link::Link;
use ternmq_client::{FileOutbox, OutboxOptions, OutboxStatus};
use ternmq_protocol::client::{LostSession, Options, PublishRefused, Stored};

use crate::trace::{ERROR, trace};
use crate::types::client::MQTTCLIENT_FAILURE;
use crate::types::persistence::MQTTCLIENT_PERSISTENCE_ERROR;

/// A file in which what is published is kept, and how much of it.
pub(crate) struct Asked {
    pub(crate) path: PathBuf,
    pub(crate) sync: bool,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The outbox of a client.
pub(crate) struct Outbox {
    messages: usize,
    bytes: usize,
    status: Arc<OutboxStatus>,
}

impl Outbox {
    /// Opens the file, and has a link keep what is published in it. `look` is shown what an earlier process
    /// has left, under the lock of the link.
    ///
    /// # Errors
    /// `MQTTCLIENT_PERSISTENCE_ERROR` for the file, `MQTTCLIENT_FAILURE` where the link is in use already.
    pub(crate) fn begin(
        link: &Link,
        asked: &Asked,
        look: impl FnOnce(&[Stored]),
    ) -> Result<Self, c_int> {
        let path = asked.path.display();
        let mut options = OutboxOptions::default();
        options.sync = asked.sync;
        let opened = FileOutbox::open_with(&asked.path, options);
        let (file, stored) = opened.map_err(|error| {
            trace!(ERROR, "ternmq_set_outbox: {path}: {error}");
            MQTTCLIENT_PERSISTENCE_ERROR
        })?;
        let status = file.status();
        if let Some(damage) = status.damage() {
            let (places, copy) = (damage.places, damage.copy.display());
            trace!(
                ERROR,
                "ternmq_set_outbox: {path}: damaged in {places} places; the file as it was is {copy}"
            );
        }
        match link.set_journal(Box::new(file), stored, look) {
            true => Ok(Self {
                messages: asked.messages,
                bytes: asked.bytes,
                status,
            }),
            false => Err(MQTTCLIENT_FAILURE),
        }
    }

    /// What the session has to do so that nothing goes which is kept.
    pub(crate) fn apply(&self, session: &mut Options) {
        session.publish_offline = true;
        session.max_queued_messages = self.messages;
        session.max_queued_bytes = self.bytes;
        session.drop_oldest = false;
        session.lost_session = LostSession::Republish;
    }

    pub(crate) fn status(&self) -> &OutboxStatus {
        &self.status
    }
}

/// Says in the trace why a message could not be stored, if that is why it was refused.
pub(crate) fn trace_refusal(outbox: Option<&Outbox>, refused: PublishRefused) {
    if refused != PublishRefused::NotKept {
        return;
    }
    if let Some(error) = outbox.and_then(|outbox| outbox.status.last_error()) {
        trace!(ERROR, "{refused}: {error}");
    }
}
