//! What a client counts.

use super::Client;
use crate::statistics;
use crate::types::lifecycle::ternmq_statistics_data;

impl Client {
    pub(crate) fn statistics(&self) -> ternmq_statistics_data {
        let waiting = self.lock().inbox.messages();
        statistics::of(&self.link, self.store.as_deref(), waiting)
    }
}
