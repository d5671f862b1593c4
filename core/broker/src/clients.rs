//! What is known of clients: questions to the shards, answered between their turns.

use std::sync::mpsc::{SyncSender, sync_channel};

use ternmq_protocol::Time;
use ternmq_protocol::broker::{ClientInfo, ClientPage, Shard, SlowSubscriber};

use crate::broker::Broker;
use crate::shared::Parcel;

/// Most clients of one page: what a shard answers in well under a millisecond.
pub(crate) const PAGE: usize = 1_000;

/// What somebody outside of the shards wants to know, or to have done. Whoever asked may have gone, and there is room
/// for the answer, so no shard ever waits.
pub(crate) enum Question {
    /// About one client.
    Client(Box<str>, SyncSender<Option<ClientInfo>>),
    /// About some of the shard's clients: from where on, and how many at most.
    Clients(u32, usize, SyncSender<ClientPage>),
    /// Which clients get their messages late.
    Slow(SyncSender<Vec<SlowSubscriber>>),
    /// That these are forgotten.
    ClearSlow,
}

/// Where the next page of [`Broker::clients`] begins. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCursor {
    shard: usize,
    slot: u32,
}

/// Some of the clients of a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Their sessions, connected or not, in no order that means anything.
    pub clients: Vec<ClientInfo>,
    /// Where the next page begins, `None` at the end.
    pub next: Option<ClientCursor>,
}

impl Question {
    pub(crate) fn answer(self, shard: &mut Shard, now: Time) {
        match self {
            Self::Client(client_id, reply) => drop(reply.try_send(shard.client(&client_id))),
            Self::Clients(from, max, reply) => drop(reply.try_send(shard.clients(from, max))),
            Self::Slow(reply) => drop(reply.try_send(shard.slow_subscribers(now))),
            Self::ClearSlow => shard.clear_slow_subscribers(),
        }
    }
}

impl Broker {
    /// What is known of a client that has a session, connected or not. Waits for the current turn of
    /// the shards.
    pub fn client(&self, client_id: &str) -> Option<ClientInfo> {
        let mailboxes = &self.shared.mailboxes;
        let (reply, replies) = sync_channel(mailboxes.len());
        for mailbox in mailboxes {
            let question = Question::Client(client_id.into(), reply.clone());
            let _ = mailbox.send(Parcel::Ask(question));
        }
        drop(reply);
        replies.into_iter().flatten().next()
    }

    /// At most `max` clients and never more than 1,000, from where the last page said. There may be
    /// more after a page that holds fewer. Waits for the current turn of one shard.
    ///
    /// A session that is there from the first page to the last is in one of them; the others may be.
    pub fn clients(&self, from: ClientCursor, max: usize) -> Clients {
        let Some(mailbox) = self.shared.mailboxes.get(from.shard) else {
            return Clients::default();
        };
        let (reply, replies) = sync_channel(1);
        let question = Question::Clients(from.slot, max.min(PAGE), reply);
        let _ = mailbox.send(Parcel::Ask(question));
        // A shard that has ended has none.
        let page = replies.recv().unwrap_or_default();
        let next = match page.next {
            Some(slot) => ClientCursor { slot, ..from },
            None => ClientCursor {
                shard: from.shard + 1,
                slot: 0,
            },
        };
        Clients {
            clients: page.clients,
            next: (next.shard < self.shared.mailboxes.len()).then_some(next),
        }
    }
}
