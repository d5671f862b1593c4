//! What this process gets: messages of its subscriptions, and what clients have done.

use std::collections::HashMap;
use std::sync::Arc;

use super::Driver;
use crate::local::{LocalQueue, Observe};
use ternmq_protocol::topic::TopicFilter;

/// The subscriptions of this process that this shard serves. They end with it.
#[derive(Default)]
pub(crate) struct Observing(HashMap<u32, Arc<LocalQueue>>);

impl Drop for Observing {
    fn drop(&mut self) {
        for queue in self.0.values() {
            queue.leave();
        }
    }
}

impl Driver {
    pub(super) fn observe(&mut self, observe: Observe) {
        let Observe {
            number,
            watches,
            filter,
            queue,
            reply,
        } = observe;
        let filter = TopicFilter::assume(&filter);
        match watches {
            true => self.shard.watch(number, filter),
            false => self.shard.observe(number, filter),
        }
        self.observing.0.insert(number, queue);
        // Others have to know before whoever asked goes on.
        self.announce();
        let _ = reply.try_send(());
    }

    pub(super) fn stop_observing(&mut self, number: u32) {
        self.shard.stop_observing(number);
        self.observing.0.remove(&number);
        self.announce();
    }

    /// Hands out what stands in `out` for this process.
    pub(super) fn tell_process(&mut self) {
        for observed in self.out.observed.drain(..) {
            if let Some(queue) = self.observing.0.get(&observed.number) {
                let dropped = queue.put(observed.message, observed.publisher);
                self.counters.local_dropped += dropped;
            }
        }
        self.tell_of_clients();
    }
}
