//! From what came in to the subscriptions it is for, and back to what may be acknowledged.

use std::collections::{HashMap, VecDeque};

use ternmq_protocol::client::{Delivery, Incoming};
use ternmq_protocol::codec::QoS;

use crate::inbox::{Inbox, Item, Reader};
use crate::routes::{Key, Routes};

/// Messages that closed subscriptions have left and that are acknowledged already. The oldest are
/// discarded beyond this, and counted.
const MOST_LEFT: usize = 1000;

/// All inboxes of a client.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// The session outlives the connection, so what is not acknowledged comes again with the next.
    keeps: bool,
    routes: Routes,
    inboxes: HashMap<Key, Inbox>,
    /// Messages with QoS above 0 that no open subscription is for: those of a resumed session that
    /// come before the application subscribes, and those that a failed or kept one left. At most as
    /// many as the server may have unacknowledged, and [`MOST_LEFT`] that are settled.
    unclaimed: VecDeque<Item>,
    /// Of messages that went to several subscriptions: how many have not finished with it.
    shared: HashMap<Delivery, (QoS, usize)>,
    /// Subscriptions whose inbox was empty and no longer is.
    ready: Vec<Key>,
    found: Vec<Key>,
    resumed: bool,
    /// A subscription was left to the server, so messages may come that nobody here waits for yet.
    kept: bool,
    full: usize,
    stuffed: usize,
    discarded: u64,
}

/// What closing a subscription says of the messages it got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// None counts as dealt with.
    Failed,
    /// All do, those that were not read too.
    Finished,
    /// Those that were read do. The subscription goes on with the server.
    Keep,
    /// None does, and it goes on with the server.
    KeepAll,
}

impl Deliveries {
    /// `keeps`: the session outlives the connection.
    pub(crate) fn new(keeps: bool) -> Self {
        Self {
            keeps,
            ..Self::default()
        }
    }

    /// A new connection; `resumed` when the server went on with the session.
    pub(crate) fn connected(&mut self, resumed: bool) {
        self.resumed = resumed;
        if resumed {
            // The server sends them again as if they were new [MQTT-4.4.0-1]; QoS 2 messages are
            // given out once.
            let comes_again = |item: &Item| item.is_owed() && item.incoming.qos == QoS::AtLeastOnce;
            self.unclaimed.retain(|item| !comes_again(item));
            let keys: Vec<Key> = self.inboxes.keys().copied().collect();
            for key in keys {
                self.change(key, |inbox| inbox.retain(|item| !comes_again(item)));
            }
        } else {
            self.discarded += self.unclaimed.len() as u64;
            self.unclaimed.clear();
        }
        // What is owed for QoS 1 ends with the connection, for QoS 2 with the session.
        self.shared
            .retain(|_, (qos, _)| resumed && *qos == QoS::ExactlyOnce);
    }

    /// Puts a message where it belongs; returns it when it is to be acknowledged at once because
    /// nobody wants it.
    pub(crate) fn deliver(&mut self, incoming: Incoming) -> Option<Delivery> {
        let mut found = std::mem::take(&mut self.found);
        let identifiers = incoming.subscription_ids.as_slice();
        self.routes
            .find(incoming.message.topic(), identifiers, &mut found);
        let item = Item {
            shared: found.len() > 1,
            settled: false,
            incoming,
        };
        if item.shared && item.is_owed() {
            let Incoming { delivery, qos, .. } = item.incoming;
            self.shared.insert(delivery, (qos, found.len()));
        }
        for key in &found {
            let item = item.clone();
            if self.change(*key, |inbox| inbox.push(item)) == Some(true) {
                self.ready.push(*key);
            }
        }
        let wanted = !found.is_empty();
        self.found = found;
        match wanted {
            true => None,
            false => self.unwanted(item),
        }
    }

    /// Opens a subscription's inbox. What waited for such a subscription is its first content.
    pub(crate) fn open(
        &mut self,
        key: Key,
        filters: &[&str],
        identifier: Option<u32>,
        limit: usize,
        manual: bool,
    ) {
        self.routes.add(key, filters, identifier);
        self.inboxes.insert(key, Inbox::new(limit, manual));
        for item in std::mem::take(&mut self.unclaimed) {
            if self.routes.matches(key, item.incoming.message.topic()) {
                self.change(key, |inbox| inbox.push(item));
            } else {
                self.unclaimed.push_back(item);
            }
        }
    }

    /// Closes a subscription. What counts as dealt with goes to `done`; the rest is for the next
    /// subscription that matches. Returns the filters to unsubscribe.
    ///
    /// The rest stays unacknowledged if the session outlives the connection. If not, the server would
    /// never send it again, and would only wait for it: an acknowledgement may not overtake those of
    /// earlier messages [MQTT-4.6.0-2], so soon nothing would come any more for anybody.
    pub(crate) fn close(&mut self, key: Key, how: Closing, done: &mut Vec<Item>) -> Vec<Box<str>> {
        self.kept |= matches!(how, Closing::Keep | Closing::KeepAll);
        if let Some(inbox) = self.inboxes.remove(&key) {
            self.full -= usize::from(inbox.is_full());
            self.stuffed -= usize::from(inbox.is_stuffed());
            let waiting = inbox.len();
            // Who acknowledges by hand has said of each message that it was dealt with.
            let how = if inbox.is_manual() {
                Closing::Failed
            } else {
                how
            };
            let items: Vec<Item> = inbox.into_items().collect();
            let handed_out = items.len() - waiting;
            for (at, item) in items.into_iter().enumerate() {
                let was_read = at < handed_out;
                let dealt_with = match how {
                    Closing::Failed | Closing::KeepAll => false,
                    Closing::Finished => true,
                    Closing::Keep => was_read,
                };
                if dealt_with || !item.is_held() {
                    self.discarded += u64::from(!was_read);
                    done.push(item);
                } else if self.keeps {
                    self.unclaimed.push_back(item);
                } else {
                    done.push(item.clone());
                    let settled = true;
                    self.unclaimed.push_back(Item { settled, ..item });
                }
            }
            self.trim_settled();
        }
        self.routes.remove(key)
    }

    /// The next message of an inbox for `reader`.
    pub(crate) fn pop(&mut self, key: Key, reader: &Reader) -> Option<Incoming> {
        self.change(key, |inbox| inbox.pop(reader)).flatten()
    }

    /// Moves what `reader` has got to `done`.
    pub(crate) fn finish(&mut self, key: Key, reader: &Reader, done: &mut Vec<Item>) {
        if let Some(inbox) = self.inboxes.get_mut(&key) {
            inbox.finish(reader, done);
        }
    }

    /// Moves what readers that are gone have got to `done`: whoever goes on to read from the same
    /// subscription has dealt with it.
    pub(crate) fn finish_gone(&mut self, key: Key, done: &mut Vec<Item>) {
        if let Some(inbox) = self.inboxes.get_mut(&key) {
            inbox.finish_gone(done);
        }
    }

    /// Takes a message that was handed out and is dealt with now, by itself.
    pub(crate) fn finish_one(&mut self, key: Key, delivery: Delivery) -> Option<Item> {
        self.inboxes.get_mut(&key)?.finish_one(delivery)
    }

    /// Whether the messages of a subscription are acknowledged by hand.
    pub(crate) fn is_manual(&self, key: Key) -> bool {
        self.inboxes.get(&key).is_some_and(Inbox::is_manual)
    }

    /// What to acknowledge now that one subscription is done with a message.
    pub(crate) fn settle(&mut self, item: &Item) -> Option<Delivery> {
        let delivery = item.incoming.delivery;
        if item.shared && item.is_owed() {
            let (_, left) = self.shared.get_mut(&delivery)?;
            *left -= 1;
            if *left > 0 {
                return None;
            }
            self.shared.remove(&delivery);
        }
        item.is_owed().then_some(delivery)
    }

    /// Subscriptions that have got something after they had nothing; each is named once.
    pub(crate) fn take_ready(&mut self) -> std::vec::Drain<'_, Key> {
        self.ready.drain(..)
    }

    /// 0: there is room everywhere. 1: an inbox is full. 2: one is as full as it may get while an
    /// answer is awaited.
    pub(crate) fn crowding(&self) -> u8 {
        match (self.full, self.stuffed) {
            (0, _) => 0,
            (_, 0) => 1,
            _ => 2,
        }
    }

    /// Messages waiting in an inbox.
    pub(crate) fn waiting(&self, key: Key) -> usize {
        self.inboxes.get(&key).map_or(0, Inbox::len)
    }

    /// Messages that were received and given to nobody.
    pub(crate) fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Messages that wait for a subscription.
    pub(crate) fn unclaimed(&self) -> usize {
        self.unclaimed.len()
    }

    fn unwanted(&mut self, item: Item) -> Option<Delivery> {
        if item.is_owed() && (self.resumed || (self.kept && self.keeps)) {
            self.unclaimed.push_back(item);
            return None;
        }
        self.discarded += 1;
        item.is_owed().then_some(item.incoming.delivery)
    }

    fn trim_settled(&mut self) {
        let settled = self.unclaimed.iter().filter(|item| item.settled).count();
        let mut excess = settled.saturating_sub(MOST_LEFT);
        self.discarded += excess as u64;
        self.unclaimed.retain(|item| {
            let goes = item.settled && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
    }

    /// Changes an inbox and keeps count of the full ones.
    fn change<R>(&mut self, key: Key, change: impl FnOnce(&mut Inbox) -> R) -> Option<R> {
        let inbox = self.inboxes.get_mut(&key)?;
        let (full, stuffed) = (inbox.is_full(), inbox.is_stuffed());
        let result = change(inbox);
        self.full = self.full + usize::from(inbox.is_full()) - usize::from(full);
        self.stuffed = self.stuffed + usize::from(inbox.is_stuffed()) - usize::from(stuffed);
        Some(result)
    }
}
