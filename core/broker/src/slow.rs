//! Clients that get their messages late, over all shards.

use std::sync::mpsc::sync_channel;

use ternmq_protocol::broker::SlowSubscriber;

use crate::broker::Broker;
use crate::clients::Question;
use crate::shared::Parcel;

impl Broker {
    /// The clients that get their messages late, slowest first, at most
    /// [`SlowLimits::entries`](crate::SlowLimits::entries); none where
    /// [`Config::slow`](crate::Config::slow) is `None`. Waits for the current turn of the shards.
    ///
    /// [`SlowSubscriber::updated`] is of the clock that [`Broker::now`] reads.
    pub fn slow_subscribers(&self) -> Vec<SlowSubscriber> {
        let Some(limits) = self.shared.slow else {
            return Vec::new();
        };
        let mailboxes = &self.shared.mailboxes;
        let (reply, replies) = sync_channel(mailboxes.len());
        for mailbox in mailboxes {
            // The list of a shard that has ended is gone with it.
            let _ = mailbox.send(Parcel::Ask(Question::Slow(reply.clone())));
        }
        drop(reply);
        SlowSubscriber::slowest(replies.into_iter().flatten(), limits.entries)
    }

    /// Empties the list. A client whose next delivery is late is on it anew, and told of again.
    pub fn clear_slow_subscribers(&self) {
        for mailbox in &self.shared.mailboxes {
            // Mail is taken in its order: who asks next finds the list cleared.
            let _ = mailbox.send(Parcel::Ask(Question::ClearSlow));
        }
    }
}
