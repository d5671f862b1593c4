//! From the log to the mailboxes.

use ternmq_protocol::Message;
use ternmq_protocol::broker::durable::StoreOp;

use super::desk::Desk;
use crate::mailbox::{Batch, Offer};
use crate::shared::{Parcel, Shared};

/// Messages, and bytes of them, that are put into the mailboxes at once: less than a mailbox has room
/// for, if it is not a very small one.
const MESSAGES: usize = 1_024;
const BYTES: usize = 1 << 20;

/// Messages on their way to the mailboxes.
#[derive(Default)]
pub(super) struct Poster {
    messages: Vec<Message>,
    bytes: usize,
    batch: Batch<Parcel>,
}

impl Poster {
    /// Puts messages that are kept into the mailbox of every shard that has subscriptions, in their order.
    /// Waits for those that are full.
    pub(super) fn post(&mut self, ops: &[StoreOp], shared: &Shared, desk: &Desk) {
        let mut last = 0;
        for op in ops {
            let StoreOp::Append(append) = op else {
                continue;
            };
            last = append.message.log_seq();
            self.bytes += append.message.memory();
            self.messages.push(append.message.clone());
            if self.messages.len() >= MESSAGES || self.bytes >= BYTES {
                self.flush(shared, desk);
            }
        }
        self.flush(shared, desk);
        if last > 0 {
            desk.set_posted(last);
        }
    }

    fn flush(&mut self, shared: &Shared, desk: &Desk) {
        for shard in (0..shared.mailboxes.len()).filter(|shard| shared.subscribes(*shard)) {
            self.batch.messages.extend_from_slice(&self.messages);
            self.offer(shard, shared, desk);
        }
        self.messages.clear();
        self.bytes = 0;
    }

    fn offer(&mut self, shard: usize, shared: &Shared, desk: &Desk) {
        let waits_as = shared.mailboxes.len();
        loop {
            let before = desk.rooms().before();
            match shared.mailboxes[shard].offer(Some(waits_as), &mut self.batch) {
                Offer::Taken | Offer::High => return,
                // Those that it was for find it in the log.
                Offer::Closed => return self.batch.clear(),
                Offer::Full => desk.rooms().wait(before),
            }
        }
    }
}
