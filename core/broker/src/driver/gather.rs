//! What waits to be flushed while a client's input goes on in the next turn.
//!
//! A message to thousands of subscribers ends a turn after a few of its kind
//! ([`SessionLimits::turn_work`](crate::SessionLimits)), so that others are read. To flush thousands of
//! connections for these few would cost more than the messages. So the subscribers' buffers gather for
//! some turns, until the publisher's input is handled or enough has come together. What else is written
//! to one of these connections, an answer to its own packet for example, waits with them; all others
//! are flushed at the end of each turn as ever.

use ternmq_protocol::broker::ConnId;

use super::{Driver, TURN_BYTES};

/// Copies of messages that gather at most: what a shard makes in some tens of milliseconds. With ten
/// thousand subscribers a flush still takes a dozen messages.
const GATHERED_WORK: u64 = 131_072;

/// Connections that something was written to for a client whose input goes on.
#[derive(Default)]
pub(super) struct Gathered {
    conns: Vec<ConnId>,
    /// The shard's count of work when this began.
    since: u64,
    /// Input that it came from.
    bytes: usize,
}

impl Driver {
    /// Keeps those back to whom the client's messages go, from this place of the list of the dirty
    /// ones on, if its input goes on in the next turn.
    pub(super) fn gather(&mut self, conn: ConnId, from: usize, work: u64, bytes: usize) {
        if self.out.unfinished.last() != Some(&conn) {
            return;
        }
        if self.gathered.conns.is_empty() {
            (self.gathered.since, self.gathered.bytes) = (work, 0);
        }
        self.gathered.bytes += bytes;
        self.gathered.conns.extend(self.out.dirty.drain(from..));
    }

    /// Lets what has gathered be flushed, when it is time.
    pub(super) fn end_gathering(&mut self) {
        let gathered = &mut self.gathered;
        let goes_on = !(self.unfinished.is_empty() && self.out.unfinished.is_empty());
        let work = self.shard.stats().work - gathered.since;
        if !goes_on || work >= GATHERED_WORK || gathered.bytes >= TURN_BYTES {
            self.out.dirty.append(&mut gathered.conns);
        }
    }
}
