//! What a client counts.

use super::Client;
use crate::statistics;
use crate::types::lifecycle::ternmq_statistics_data;

impl Client {
    pub(crate) fn statistics(&self) -> ternmq_statistics_data {
        let waiting = self.lock().inbox.messages();
        let store = self.store.as_deref();
        statistics::of(&self.link, store, self.outbox.get(), waiting)
    }
}
