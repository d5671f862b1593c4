//! Streams of the log that groups hold for members whose sessions do not last.
//!
//! The store does not know of such members, so whoever sweeps asks here. A group that lets its stream go may be
//! told of messages yet that a member gave back, and counts these itself: so a stream is held on until the
//! sweep after the next, by when that is in the store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_protocol::broker::durable::StreamKey;

#[derive(Default)]
pub(crate) struct Holds(Mutex<HashMap<StreamKey, Hold>>);

/// A group of a name may begin on one shard before another one has told that its group of that name has ended.
#[derive(Default)]
struct Hold {
    holders: u32,
    /// Nobody has held it at the last sweep.
    ripe: bool,
}

impl Holds {
    /// What a turn of a shard has taken and let go. To be told before that turn's operations are handed in.
    pub(crate) fn tell(&self, changes: &mut Vec<(StreamKey, bool)>) {
        if changes.is_empty() {
            return;
        }
        let mut holds = self.lock();
        for (stream, held) in changes.drain(..) {
            let hold = holds.entry(stream).or_default();
            hold.ripe = false;
            hold.holders = match held {
                true => hold.holders + 1,
                false => hold.holders.saturating_sub(1),
            };
        }
    }

    /// Before each sweep: what nobody has held for one is let go.
    pub(super) fn ripen(&self) {
        self.lock().retain(|_, hold| {
            let goes = hold.holders == 0 && hold.ripe;
            hold.ripe = hold.holders == 0;
            !goes
        });
    }

    /// Whether the next sweep may let something go.
    pub(super) fn is_ripening(&self) -> bool {
        self.lock().values().any(|hold| hold.holders == 0)
    }

    pub(super) fn is_held(&self, stream: StreamKey) -> bool {
        self.lock().contains_key(&stream)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_held_for_two_sweeps_more_and_as_long_as_anybody_holds_it() {
        let holds = Holds::default();
        let stream = StreamKey::of("$share/g/t");
        let tell =
            |changes: &[bool]| holds.tell(&mut changes.iter().map(|c| (stream, *c)).collect());
        let sweep = || {
            holds.ripen();
            holds.is_held(stream)
        };
        assert!(!sweep());
        // The next one of its name begins before the first has said that it is over.
        tell(&[true, true, false]);
        assert!(sweep() && sweep() && sweep() && !holds.is_ripening());
        tell(&[false]);
        assert!(holds.is_ripening() && sweep());
        // It is held again before it was let go.
        tell(&[true]);
        assert!(sweep() && sweep());
        tell(&[false]);
        assert!(sweep() && holds.is_ripening());
        assert!(!sweep() && !holds.is_ripening());
    }
}
