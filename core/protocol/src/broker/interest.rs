//! Which messages a store is to keep: those that match a filter which some session subscribes to, on
//! whatever shard, that a store keeps too.
//!
//! A shard tells all others when the first of its sessions subscribes to a filter, and when the last one
//! has left it. That it is left counts only once the store has what was handed to it before: else the next
//! message of a topic, which need not wait for the store any more, could overtake the last.

use super::durable::{Append, StoreOp, StreamKey};
use super::exclusive::EXCLUSIVE_PREFIX;
use super::journal::Journal;
use super::out::{ListenerId, Out};
use super::record::{SessKey, SubscriptionRecord};
use super::session::Session;
use super::shard::Shard;
use super::share::{Content, Letter, To};
use super::source::Source;
use super::unstored::Then;
use crate::codec::QoS;
use crate::topic::{SharedFilter, TopicFilter};
use std::sync::Arc;

impl Journal {
    /// A client of this listener publishes.
    pub(super) fn begin(&mut self, listener: ListenerId) {
        (self.listener, self.promised) = (Some(listener), None);
    }

    /// A retained message is to be kept, which its publisher waits for.
    pub(super) fn promise_retained(&mut self, source: &Source<'_>) {
        if self.on && source.qos > QoS::AtMostOnce {
            self.promised = Some(self.durability_of(source.topic()));
        }
    }
}

impl Shard {
    /// Gives a message to the store, for the streams that [`match_topic`](Self::match_topic) has found.
    pub(super) fn append(&mut self, source: &mut Source<'_>, out: &mut Out) -> usize {
        let durability = self.links.journal.durability_of(source.topic());
        self.links.journal.promised = Some(durability);
        self.links.stats.appended += 1;
        if source.message().log_seq() == 0 {
            source.message().set_for_the_log();
        }
        out.store.push(StoreOp::Append(Append {
            message: source.message().clone(),
            streams: self.streams.as_slice().into(),
            durability,
        }));
        1
    }

    /// A session that a store keeps has a subscription, or has it with other options; before, its QoS was
    /// `before`.
    pub(super) fn keep_subscription(
        &mut self,
        slot: u32,
        mut record: SubscriptionRecord,
        before: Option<QoS>,
        out: &mut Out,
    ) {
        let filter = &*record.filter;
        match (before.is_some_and(is_kept), is_kept(record.options.qos)) {
            (false, true) => self.hold_filter(filter, out),
            (true, false) => self.release_filter(filter, out),
            _ => {}
        }
        let session = &self.links.sessions[slot];
        let key = SessKey::new("", &session.client_id);
        record.filter = name(session, &record.filter);
        out.store.push(StoreOp::Subscribe(key, Box::new(record)));
        // With its cursor, which must not lag behind where the subscription begins.
        self.links.touch(slot);
    }

    /// A session that a store keeps has a subscription no more, if it had it with this QoS.
    pub(super) fn drop_subscription(
        &mut self,
        slot: u32,
        filter: &str,
        before: Option<QoS>,
        out: &mut Out,
    ) {
        if before.is_some_and(is_kept) {
            self.release_filter(filter, out);
        }
        let session = &self.links.sessions[slot];
        let key = SessKey::new("", &session.client_id);
        out.store
            .push(StoreOp::Unsubscribe(key, name(session, filter)));
        self.links.touch(slot);
    }

    /// A session of this shard wants what matches a filter, as in SUBSCRIBE, to be kept.
    pub(super) fn hold_filter(&mut self, filter: &str, out: &mut Out) {
        let (inner, stream) = (inner(filter), StreamKey::of(filter));
        if self.index.hold(inner, stream) {
            self.index.add_interest(inner, stream);
            tell(filter, true, out);
        }
    }

    /// A session does not want it any more.
    pub(super) fn release_filter(&mut self, filter: &str, out: &mut Out) {
        if self.index.release(inner(filter), StreamKey::of(filter)) {
            tell(filter, false, out);
            let then = Then::Uninterested(filter.into());
            self.links.after_stored(then, out);
        }
    }

    /// Another shard wants what matches a filter to be kept, or does not any more.
    pub(super) fn note_interest(&mut self, filter: &Arc<str>, wanted: bool, out: &mut Out) {
        if wanted {
            self.index
                .add_interest(inner(filter), StreamKey::of(filter));
        } else {
            let then = Then::Uninterested(filter.clone());
            self.links.after_stored(then, out);
        }
    }

    /// What was published while a shard wanted it is stored.
    pub(super) fn forget_interest(&mut self, filter: &str) {
        self.index
            .remove_interest(inner(filter), StreamKey::of(filter));
    }

    /// Ends what a session holds, which ends itself.
    pub(super) fn release_all_filters(&mut self, slot: u32, out: &mut Out) {
        let session = &self.links.sessions[slot];
        let mut held = Vec::new();
        for filter in &session.filters {
            let subscription = self.index.subscription(*filter, slot, None);
            if subscription.is_some_and(|one| is_kept(one.options.qos)) {
                held.push(String::from(self.index.text(*filter)));
            }
        }
        for (_, membership) in session.memberships.iter().flat_map(|all| all.iter()) {
            if is_kept(membership.options.qos) {
                held.push(format!("$share/{}", membership.group));
            }
        }
        for filter in held {
            self.release_filter(&filter, out);
        }
    }

    /// Where a subscription that a session makes now begins in the log.
    pub(super) fn since(&self, slot: u32) -> u64 {
        let session = &self.links.sessions[slot];
        let reached = session.kept.as_ref().map_or(0, |kept| kept.reached);
        self.links.journal.seen.max(reached)
    }
}

/// Whether messages are kept for a subscription that was granted this QoS.
fn is_kept(qos: QoS) -> bool {
    qos > QoS::AtMostOnce
}

fn tell(filter: &str, wanted: bool, out: &mut Out) {
    let letter = Letter(Content::Interest(filter.into(), wanted));
    out.letters.push((To::All, letter));
}

/// What a subscription is called in the store: as in SUBSCRIBE.
fn name(session: &Session, filter: &str) -> Box<str> {
    let exclusive = session.exclusive.as_deref();
    match exclusive.is_some_and(|kept| kept.contains(filter)) {
        true => format!("{EXCLUSIVE_PREFIX}{filter}").into(),
        false => filter.into(),
    }
}

/// The filter that the topics of a stream match.
fn inner(filter: &str) -> TopicFilter<'_> {
    let filter = TopicFilter::assume(filter);
    match SharedFilter::parse(filter) {
        Ok(Some(shared)) => shared.filter,
        _ => filter,
    }
}
