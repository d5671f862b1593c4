//! Observers: whoever in this process wants messages, without a session or a socket.

use super::out::Out;
use super::shard::Shard;
use super::source::Source;
use super::stats::Stats;
use crate::topic::{TopicFilter, TopicName};

/// Who wants what. Each topic is held against every filter once, while it is not the same as the last
/// one, so these are meant to be few.
#[derive(Debug, Default)]
pub(super) struct Observers {
    all: Vec<(u32, Box<str>)>,
    /// Those whose filter matches the topic of the last match.
    found: Vec<u32>,
}

impl Observers {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Another topic, or other filters.
    pub(super) fn find(&mut self, name: TopicName<'_>) {
        self.found.clear();
        let matching = self
            .all
            .iter()
            .filter(|(_, filter)| TopicFilter::assume(filter).matches(name));
        self.found.extend(matching.map(|(number, _)| *number));
    }

    #[inline]
    pub(super) fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// Gives each its copy of the message that was matched; returns how many.
    #[inline(never)]
    pub(super) fn hand_over(
        &self,
        source: &mut Source<'_>,
        stats: &mut Stats,
        out: &mut Out,
    ) -> usize {
        let message = source.message();
        let copies = self.found.iter().map(|number| (*number, message.clone()));
        out.observed.extend(copies);
        stats.observed += self.found.len() as u64;
        self.found.len()
    }
}

impl Shard {
    /// From now on, every message that matches the filter is put into [`Out::observed`] with this number,
    /// as one more copy. Retained messages from before are not. An observer is nobody's session: it has no
    /// queue here, no QoS, and no part in a shared subscription.
    pub fn observe(&mut self, number: u32, filter: TopicFilter<'_>) {
        self.observers.all.push((number, filter.as_str().into()));
        self.matched_version = u64::MAX;
    }

    /// No more of that. False when there is no such number.
    pub fn stop_observing(&mut self, number: u32) -> bool {
        let before = self.observers.len();
        self.observers.all.retain(|(other, _)| *other != number);
        self.matched_version = u64::MAX;
        self.observers.len() < before
    }
}
