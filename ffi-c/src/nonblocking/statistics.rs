//! What a client counts.

use std::sync::atomic::Ordering;

use super::Client;
use crate::statistics;
use crate::types::lifecycle::ternmq_statistics_data;

impl Client {
    pub(crate) fn statistics(&self) -> ternmq_statistics_data {
        let refused = self.waiting.load(Ordering::Relaxed);
        let waiting = refused + self.waiting_for_polls();
        statistics::of(&self.link, self.store(), self.outbox.get(), waiting)
    }
}
