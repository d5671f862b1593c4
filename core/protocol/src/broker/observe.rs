//! Observers: whoever in this process wants messages, without a session or a socket.

use std::sync::Arc;

use super::out::{Observed, Out};
use super::shard::Shard;
use super::source::Source;
use super::stats::Stats;
use crate::topic::{TopicFilter, TopicName};

/// Who wants what. Each topic is held against every filter once, while it is not the same as the last
/// one, so these are meant to be few.
#[derive(Debug, Default)]
pub(super) struct Observers {
    all: Vec<Observer>,
    /// Those whose filter matches the topic of the last match.
    found: Vec<u32>,
    /// The same of those who watch.
    watching: Vec<u32>,
}

#[derive(Debug)]
struct Observer {
    number: u32,
    filter: Box<str>,
    watches: bool,
}

impl Observers {
    /// Those who count as subscribers.
    pub(super) fn len(&self) -> usize {
        self.all.iter().filter(|observer| !observer.watches).count()
    }

    /// Another topic, or other filters.
    pub(super) fn find(&mut self, name: TopicName<'_>) {
        self.found.clear();
        self.watching.clear();
        for observer in &self.all {
            if TopicFilter::assume(&observer.filter).matches(name) {
                match observer.watches {
                    false => self.found.push(observer.number),
                    true => self.watching.push(observer.number),
                }
            }
        }
    }

    #[inline]
    pub(super) fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        !self.watching.is_empty()
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
        let copies = self.found.iter().map(|number| Observed {
            number: *number,
            message: message.clone(),
            publisher: None,
        });
        out.observed.extend(copies);
        stats.observed += self.found.len() as u64;
        self.found.len()
    }

    /// Shows the message that was matched to those who watch.
    #[inline(never)]
    pub(super) fn show(
        &self,
        source: &mut Source<'_>,
        publisher: Option<&str>,
        stats: &mut Stats,
        out: &mut Out,
    ) {
        let message = source.message();
        let publisher: Option<Arc<str>> = publisher.map(Arc::from);
        let copies = self.watching.iter().map(|number| Observed {
            number: *number,
            message: message.clone(),
            publisher: publisher.clone(),
        });
        out.observed.extend(copies);
        stats.observed += self.watching.len() as u64;
    }
}

impl Shard {
    /// From now on, every message that matches the filter is put into [`Out::observed`] with this number,
    /// as one more copy. Retained messages from before are not. An observer is nobody's session: it has no
    /// queue here, no QoS, and no part in a shared subscription.
    pub fn observe(&mut self, number: u32, filter: TopicFilter<'_>) {
        self.add_observer(number, filter, false);
    }

    /// From now on, every message that matches the filter and is published on this shard, or by the process
    /// through it ([`handle_published`](Self::handle_published)), is put into [`Out::observed`] with this
    /// number and with the client that published it. Who watches is no subscriber: publishers may be told
    /// that there is none, and other shards send nothing here because of it.
    pub fn watch(&mut self, number: u32, filter: TopicFilter<'_>) {
        self.add_observer(number, filter, true);
    }

    fn add_observer(&mut self, number: u32, filter: TopicFilter<'_>, watches: bool) {
        self.observers.all.push(Observer {
            number,
            filter: filter.as_str().into(),
            watches,
        });
        self.matched_version = u64::MAX;
    }

    /// No more of that. False when there is no such number.
    pub fn stop_observing(&mut self, number: u32) -> bool {
        let all = &mut self.observers.all;
        let before = all.len();
        all.retain(|observer| observer.number != number);
        let found = all.len() < before;
        self.matched_version = u64::MAX;
        found
    }
}
