//! What came in for one subscription: waiting, or handed out and not acknowledged yet.

use std::collections::VecDeque;
use std::sync::Arc;

use ternmq_protocol::client::{Delivery, Incoming};
use ternmq_protocol::codec::QoS;

/// How much more than its limit an inbox takes while an answer of the server is awaited: the answer
/// stands behind the messages in the socket, so reading must go on to see it.
pub(crate) const AWAITING_FACTOR: usize = 8;

/// A message, for which an acknowledgement may be owed once it was dealt with.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) incoming: Incoming,
    /// Several subscriptions got it: the last one to finish acknowledges.
    pub(crate) shared: bool,
    /// The server has its acknowledgement, and will not send it again: this is the only copy.
    pub(crate) settled: bool,
}

impl Item {
    /// Whether it is to be kept until somebody has dealt with it.
    pub(crate) fn is_held(&self) -> bool {
        self.incoming.qos != QoS::AtMostOnce
    }

    /// Whether the server waits for an acknowledgement.
    pub(crate) fn is_owed(&self) -> bool {
        self.is_held() && !self.settled
    }
}

/// Identifies a reader of an inbox; the inbox sees when it is gone.
pub(crate) type Reader = Arc<()>;

/// A queue with a limit that is not enforced here but by not reading from the socket: whoever fills
/// it asks [`Inbox::is_full`] and [`Inbox::is_stuffed`].
pub(crate) struct Inbox {
    waiting: VecDeque<Item>,
    /// What each reader has got and was not acknowledged yet; readers without such are not here.
    handed: Vec<(Reader, Vec<Item>)>,
    limit: usize,
    full: bool,
    /// What was handed out is dealt with when the application says so, and not by asking for more.
    manual: bool,
}

impl Inbox {
    pub(crate) fn new(limit: usize, manual: bool) -> Self {
        Self {
            waiting: VecDeque::new(),
            handed: Vec::new(),
            limit: limit.max(1),
            full: false,
            manual,
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.manual
    }

    /// True when it was empty before.
    pub(crate) fn push(&mut self, item: Item) -> bool {
        self.waiting.push_back(item);
        self.full |= self.waiting.len() >= self.limit;
        self.waiting.len() == 1
    }

    /// The oldest one, noted as handed to `reader` when it is held until it is dealt with.
    pub(crate) fn pop(&mut self, reader: &Reader) -> Option<Incoming> {
        let item = self.waiting.pop_front()?;
        // Half empty before it counts as having room, so that reading doesn't stop and start for
        // each message.
        self.full &= self.waiting.len() > self.limit / 2;
        if !item.is_held() {
            return Some(item.incoming);
        }
        let incoming = item.incoming.clone();
        match self
            .handed
            .iter_mut()
            .find(|(other, _)| Arc::ptr_eq(other, reader))
        {
            Some((_, items)) => items.push(item),
            None => self.handed.push((reader.clone(), vec![item])),
        }
        Some(incoming)
    }

    /// Moves what `reader` has got to `done`.
    pub(crate) fn finish(&mut self, reader: &Reader, done: &mut Vec<Item>) {
        if self.manual {
            return;
        }
        if let Some((_, items)) = self.handed.iter_mut().find(|(r, _)| Arc::ptr_eq(r, reader)) {
            done.append(items);
        }
    }

    /// Moves what readers that are gone have got to `done`.
    pub(crate) fn finish_gone(&mut self, done: &mut Vec<Item>) {
        if self.manual {
            return;
        }
        self.handed.retain_mut(|(reader, items)| {
            let gone = Arc::strong_count(reader) == 1;
            if gone {
                done.append(items);
            }
            !gone
        });
    }

    /// Takes one out of what was handed to anybody.
    pub(crate) fn finish_one(&mut self, delivery: Delivery) -> Option<Item> {
        self.handed.iter_mut().find_map(|(_, items)| {
            let at = items.iter().position(|i| i.incoming.delivery == delivery)?;
            Some(items.remove(at))
        })
    }

    /// Forgets waiting items.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Item) -> bool) {
        self.waiting.retain(keep);
        self.full &= self.waiting.len() > self.limit / 2;
    }

    /// Everything, oldest first: what was handed out and what waits.
    pub(crate) fn into_items(self) -> impl Iterator<Item = Item> {
        self.handed
            .into_iter()
            .flat_map(|(_, items)| items)
            .chain(self.waiting)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// It has reached its limit and is not half empty again.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// It has reached what it may hold while an answer is awaited.
    pub(crate) fn is_stuffed(&self) -> bool {
        self.waiting.len() >= self.limit.saturating_mul(AWAITING_FACTOR)
    }
}
