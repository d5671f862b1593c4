//! Telling the operator which clients get their messages late.

use ternmq_protocol::Time;

use super::Driver;
use crate::event::Event;

/// Milliseconds between two tellings, and clients that each tells of: whoever reads the events must
/// not drown in them when everybody is late at once. The others follow, if they are still on the
/// list.
const TELL_EVERY_MS: u64 = 1_000;
const TOLD_AT_ONCE: usize = 10;

impl Driver {
    /// When clients that have come on the list are told of.
    pub(super) fn next_telling(&self) -> Option<Time> {
        let new = self.shard.has_new_slow_subscribers();
        new.then_some(self.tells_at)
    }

    pub(super) fn tell_of_slow_subscribers(&mut self) {
        self.tells_at = self.now.after(TELL_EVERY_MS);
        let new = self.shard.take_new_slow_subscribers(TOLD_AT_ONCE, self.now);
        for subscriber in new {
            self.shared.tell(Event::SlowSubscriber(subscriber));
        }
    }
}
