//! What whoever runs a broker may do with its clients, and see of its messages.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use ternmq_protocol::broker::access::Rules;
use ternmq_protocol::broker::retained::Cursor;
use ternmq_protocol::topic::{MAX_TOPIC_LEVELS, TopicError, TopicFilter};
use ternmq_protocol::{Message, ReasonCode};

use crate::broker::Broker;
use crate::shared::Parcel;

/// Most retained messages of one page: the store is locked while it is read.
const PAGE: usize = 1_000;

/// Some of the retained messages.
#[derive(Clone, Debug, Default)]
pub struct RetainedPage {
    /// Messages that match, none of them expired; a clone shares its payload.
    pub messages: Vec<Message>,
    /// Where the next page begins, `None` at the end. There may be more after a page that holds fewer than
    /// were asked for.
    pub next: Option<Cursor>,
}

impl Broker {
    /// Ends the connection of a client: DISCONNECT with this reason code, such as
    /// [`ADMINISTRATIVE_ACTION`](ReasonCode::ADMINISTRATIVE_ACTION), where its version has it. Its will is
    /// published, and its session stays as long as its expiry says; it may come back at once, unless it is
    /// [banned](Self::ban). False when it is not connected. Waits for the current turn of the shards.
    pub fn kick(&self, client_id: &str, reason: ReasonCode) -> bool {
        let mailboxes = &self.shared.mailboxes;
        let (reply, replies) = sync_channel(mailboxes.len());
        for mailbox in mailboxes {
            let parcel = Parcel::Kick(client_id.into(), reason, reply.clone());
            // A shard that has ended has no connections.
            let _ = mailbox.send(parcel);
        }
        drop(reply);
        // All of them, so that nothing is under way when this returns.
        replies.into_iter().fold(false, |any, kicked| any | kicked)
    }

    /// At most `max` retained messages and never more than 1,000 that match a filter, from where the last
    /// page said, in the order of topics. A topic that is there from the first page to the last is in one
    /// of them.
    ///
    /// # Errors
    /// Not a topic filter.
    pub fn retained(
        &self,
        filter: &str,
        from: &Cursor,
        max: usize,
    ) -> Result<RetainedPage, TopicError> {
        let filter = TopicFilter::parse(filter, MAX_TOPIC_LEVELS)?;
        let mut messages = Vec::new();
        let (store, now) = (self.shared.retained.lock_whole(), self.now());
        let next = store.page(filter, from, now, max.min(PAGE), |message| {
            messages.push(message.clone());
        });
        Ok(RetainedPage { messages, next })
    }

    /// Replaces the rules. When this returns every packet that comes in is decided by the new ones, and what
    /// hooks have said before is forgotten. Each packet meets one list or the other, never a mixture.
    ///
    /// What clients have subscribed to stays: a subscription is decided when it is made. To have it made
    /// anew, [`kick`](Self::kick) the client.
    pub fn set_rules(&self, rules: Rules) {
        let rules = Arc::new(rules);
        self.shared.set_rules(rules.clone());
        let mailboxes = &self.shared.mailboxes;
        let (reply, replies) = sync_channel(mailboxes.len());
        for mailbox in mailboxes {
            // A shard that has ended has nothing to decide.
            let _ = mailbox.send(Parcel::Rules(rules.clone(), reply.clone()));
        }
        drop(reply);
        replies.into_iter().for_each(drop);
    }

    /// The rules that hold now.
    pub fn rules(&self) -> Arc<Rules> {
        self.shared.rules()
    }
}
