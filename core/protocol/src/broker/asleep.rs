//! Sessions whose client is away cost nothing per message of the log.
//!
//! Such a session is behind, and of a message that comes by there is only to be counted that it waits. So its
//! subscriptions are set apart (*asleep*), each filter counts once for all of them what comes by, and a session
//! remembers where its filters' counts stood when it fell asleep. When its client comes back, the differences
//! are what waits for it.
//!
//! That is right for filters of which no two match one topic, for a message counts once for a session. Other
//! sessions stay awake, as do subscriptions with No Local or QoS 0.

use super::arena::NONE;
use super::index::{FilterId, SubscriptionIndex};
use super::session::{Kept, Session};
use super::shard::Shard;
use super::subscribers::Passed;
use crate::codec::QoS;
use crate::topic::TopicFilter;

/// Filters that are compared with each other.
const MOST_FILTERS: usize = 8;

/// Filters with subscriptions that are asleep, and what had come by for such of each then.
pub(super) type Asleep = Box<[(FilterId, Passed)]>;

impl Shard {
    /// Sets those apart that were found away.
    pub(super) fn put_to_sleep(&mut self) {
        while let Some(slot) = self.links.journal.drowsy.pop() {
            let Some(session) = self.links.sessions.get_mut(slot) else {
                continue;
            };
            let away = session.conn == NONE;
            let quiet =
                away && session.filters.len() <= MOST_FILTERS && are_apart(session, &self.index);
            let Session { filters, kept, .. } = session;
            let Some(kept) = kept.as_deref_mut().filter(|kept| kept.is_drowsy() && away) else {
                continue;
            };
            let mut asleep = Vec::new();
            for filter in filters.iter().filter(|_| quiet) {
                let subscription = self.index.subscription(*filter, slot, None);
                let counted = subscription
                    .is_some_and(|one| one.options.qos > QoS::AtMostOnce && !one.options.no_local);
                if counted && let Some(passed) = self.index.put_to_sleep(*filter, slot) {
                    asleep.push((*filter, passed));
                }
            }
            kept.asleep = Some(asleep.into());
        }
    }

    /// A session's client is back, or its subscriptions change.
    pub(super) fn wake(&mut self, slot: u32) {
        let Some(kept) = self.links.sessions[slot].kept.as_deref_mut() else {
            return;
        };
        let (unread, bytes) = kept.unread(&self.index);
        (kept.unread, kept.unread_bytes) = (unread, bytes);
        for (filter, _) in kept.asleep.take().iter().flatten() {
            self.index.wake(*filter, slot);
        }
    }
}

impl Kept {
    /// Whether it is to be looked at whether it can be set apart.
    pub(super) fn is_drowsy(&self) -> bool {
        self.behind && self.asleep.is_none()
    }

    /// What has come by since the session fell behind, as far as it is not read: messages and bytes.
    pub(super) fn unread(&self, index: &SubscriptionIndex) -> (u32, u64) {
        let (mut unread, mut bytes) = (self.unread, self.unread_bytes);
        for (filter, before) in self.asleep.iter().flatten() {
            let passed = index.passed(*filter);
            let messages = passed.messages - before.messages;
            unread = unread.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
            bytes = bytes.saturating_add(passed.bytes - before.bytes);
        }
        (unread, bytes)
    }
}

/// Whether no topic matches two of a session's filters.
fn are_apart(session: &Session, index: &SubscriptionIndex) -> bool {
    let texts = || session.filters.iter().map(|filter| index.text(*filter));
    texts().enumerate().all(|(n, one)| {
        let one = TopicFilter::assume(one);
        texts()
            .skip(n + 1)
            .all(|other| !one.overlaps(TopicFilter::assume(other)))
    })
}
