//! From one message to its subscribers on this shard.

use super::index::{Matches, Subscription, SubscriptionIndex};
use super::links::{Copy, Links};
use super::out::{Out, RetainedOp};
use super::shard::Shard;
use super::source::Source;
use crate::codec::QoS;
use crate::message::Origin;
use crate::time::Time;
use std::num::NonZeroU32;

/// What a fan-out over several filters collects, kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    sessions: Vec<Choice>,
    /// Subscription Identifiers as lists: the identifier, and where the next one stands plus 1.
    ids: Vec<(u32, u32)>,
    list: Vec<u32>,
    /// Shared subscriptions, each of which gets its copy whoever else gets one.
    groups: Vec<NonZeroU32>,
    /// Number of the fan-out, by which a session knows that it is chosen already.
    round: u32,
}

/// A session that gets one copy for all its matching subscriptions.
#[derive(Clone, Copy, Debug)]
struct Choice {
    session: u32,
    qos: QoS,
    retain_as_published: bool,
    /// Head of the list of identifiers, plus 1; 0 for none.
    ids: u32,
}

impl Shard {
    /// Publishes a message to the retained store, the other shards and the local subscribers, whose
    /// filters [`match_topic`](Self::match_topic) has found; or to the store, if that is to keep it, from
    /// where it comes to all shards. Returns how many local copies were due, 1 for the store. `by` is the
    /// session of the publisher.
    pub(super) fn publish(
        &mut self,
        source: &mut Source<'_>,
        by: Option<u32>,
        now: Time,
        out: &mut Out,
    ) -> usize {
        if source.retain {
            let message = source.message();
            // An empty payload is never kept [MQTT-3.3.1-6] [MQTT-3.3.1-7].
            out.retained.push(if message.payload().is_empty() {
                RetainedOp::Remove(message.topic().into())
            } else {
                RetainedOp::Put {
                    message: message.clone(),
                    owed: None,
                }
            });
            self.links.journal.promise_retained(source);
        }
        if self.observers.is_watched() {
            self.show(source, by, out);
        }
        if !self.streams.is_empty() && source.qos > QoS::AtMostOnce {
            return self.append(source, out);
        }
        if self.peers_interested {
            out.publishes.push(source.message().clone());
        }
        self.fan_out(source, now, out)
    }

    /// Shows a message to those who watch.
    pub(super) fn show(&mut self, source: &mut Source<'_>, by: Option<u32>, out: &mut Out) {
        let Links {
            sessions, stats, ..
        } = &mut self.links;
        let publisher = by.and_then(|session| sessions.get(session));
        let publisher = publisher.map(|session| &*session.client_id);
        self.observers.show(source, publisher, stats, out);
    }

    /// Finds the filters that match, for [`fan_out`](Self::fan_out); false when there are none.
    ///
    /// Publishers repeat themselves: while topic and subscriptions are those of the last time, so is
    /// the answer.
    #[inline(always)]
    pub(super) fn match_topic(&mut self, topic: &str) -> bool {
        if self.matched_version != self.index.version() || self.matched_topic != topic {
            self.match_anew(topic);
        }
        !self.matches.filters().is_empty()
            || self.observers.has_found()
            || self.observers.is_watched()
    }

    #[inline(never)]
    fn match_anew(&mut self, topic: &str) {
        let name = crate::topic::TopicName::assume(topic);
        self.index.matching(name, &mut self.matches);
        // Each way through the filters counts, whether it led to one or not.
        self.links.stats.work += self.matches.steps();
        self.index.streams(&self.matches, &mut self.streams);
        self.observers.find(name);
        self.matched_version = self.index.version();
        self.matched_topic.clear();
        self.matched_topic.push_str(topic);
    }

    /// Gives each session with a matching subscription its copy; returns how many were due.
    pub(super) fn fan_out(&mut self, source: &mut Source<'_>, now: Time, out: &mut Out) -> usize {
        let Self {
            index,
            matches,
            chosen,
            links,
            groups,
            number,
            observers,
            ..
        } = self;
        let before = links.stats.matched;
        chosen.groups.clear();
        let logged = source.log_seq != 0;
        if logged {
            let bytes = source.message().memory() as u64;
            let asleep = index.pass(matches, bytes);
            links.stats.matched += asleep;
            links.stats.unread += asleep;
        }
        if let [only] = matches.filters() {
            let subscriptions = index.told(*only, logged);
            links.stats.work += subscriptions.len() as u64;
            links.frames.begin(subscriptions.len() > 1);
            for subscription in subscriptions {
                match subscription.group {
                    None => deliver_one(links, subscription, source, now, out),
                    Some(group) => chosen.groups.push(group),
                }
            }
        } else {
            chosen.choose(index, (matches, logged), source.origin, links);
            links.frames.begin(chosen.sessions.len() > 1);
            chosen.deliver(source, now, links, out);
        }
        let mut due = (links.stats.matched - before) as usize;
        if observers.has_found() {
            due += observers.hand_over(source, &mut links.stats, out);
        }
        for group in &chosen.groups {
            let picked = groups.come_by(*group, source, *number, links, now, out);
            due += usize::from(picked);
        }
        if !links.journal.drowsy.is_empty() {
            self.put_to_sleep();
        }
        due
    }
}

/// A session does not get its own messages where it asked for No Local [MQTT-3.8.3-3].
fn is_own(subscription: &Subscription, origin: Origin, links: &Links) -> bool {
    subscription.options.no_local && links.sessions[subscription.session].origin == origin
}

fn deliver_one(
    links: &mut Links,
    subscription: &Subscription,
    source: &mut Source<'_>,
    now: Time,
    out: &mut Out,
) {
    if is_own(subscription, source.origin, links) {
        return;
    }
    let id = subscription.identifier.map(|id| [id.get()]);
    let copy = Copy {
        session: subscription.session,
        qos: subscription.options.qos.min(source.qos),
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        retain: subscription.options.retain_as_published && source.retain,
        ids: id.as_ref().map_or(&[], |id| &id[..]),
        share: 0,
    };
    links.stats.matched += 1;
    links.pass_on(copy, source, now, out);
}

impl Chosen {
    /// Merges overlapping subscriptions: one copy with the highest QoS [MQTT-3.3.4-2] and all
    /// identifiers [MQTT-3.3.4-4]. Each session carries the number of the round it was last chosen
    /// in, so that no lookup is needed.
    fn choose(
        &mut self,
        index: &SubscriptionIndex,
        (matches, logged): (&Matches, bool),
        origin: Origin,
        links: &mut Links,
    ) {
        self.sessions.clear();
        self.ids.clear();
        let round = self.next_round(links);
        for filter in matches.filters() {
            links.stats.work += 1;
            for subscription in index.told(*filter, logged) {
                links.stats.work += 1;
                if let Some(group) = subscription.group {
                    self.groups.push(group);
                    continue;
                }
                if is_own(subscription, origin, links) {
                    continue;
                }
                let session = &mut links.sessions[subscription.session];
                if session.chosen_by != round {
                    session.chosen_by = round;
                    session.chosen_at = self.sessions.len() as u32;
                    self.sessions.push(Choice {
                        session: subscription.session,
                        qos: QoS::AtMostOnce,
                        retain_as_published: false,
                        ids: 0,
                    });
                }
                let choice = &mut self.sessions[session.chosen_at as usize];
                choice.qos = choice.qos.max(subscription.options.qos);
                choice.retain_as_published |= subscription.options.retain_as_published;
                if let Some(id) = subscription.identifier {
                    self.ids.push((id.get(), choice.ids));
                    choice.ids = self.ids.len() as u32;
                }
            }
        }
    }

    fn deliver(&mut self, source: &mut Source<'_>, now: Time, links: &mut Links, out: &mut Out) {
        links.stats.matched += self.sessions.len() as u64;
        for choice in &self.sessions {
            self.list.clear();
            let mut next = choice.ids;
            while next != 0 {
                let (id, after) = self.ids[next as usize - 1];
                self.list.push(id);
                next = after;
            }
            let copy = Copy {
                session: choice.session,
                qos: choice.qos.min(source.qos),
                retain: choice.retain_as_published && source.retain,
                ids: &self.list,
                share: 0,
            };
            links.pass_on(copy, source, now, out);
        }
    }

    fn next_round(&mut self, links: &mut Links) -> u32 {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            // Once in four billion: nobody may be taken for chosen by a round of long ago.
            self.round = 1;
            for session in links.sessions.iter_mut() {
                session.chosen_by = 0;
            }
        }
        self.round
    }
}
