//! Which subscriptions an incoming message is for.

use std::collections::HashMap;

use ternmq_protocol::topic::{SharedFilter, TopicFilter, TopicName};

/// A subscription's number in this process.
pub(crate) type Key = u32;

/// The filters of all open subscriptions.
///
/// A name is looked up among the exact filters by hash; filters with wildcards are tried one by one.
#[derive(Default)]
pub(crate) struct Routes {
    exact: HashMap<Box<str>, Vec<Key>>,
    wild: Vec<(Box<str>, Key)>,
    /// Subscription Identifiers.
    by_identifier: HashMap<u32, Key>,
    filters: HashMap<Key, Vec<Box<str>>>,
}

impl Routes {
    /// Opens a subscription; the filters are valid.
    pub(crate) fn add(&mut self, key: Key, filters: &[&str], identifier: Option<u32>) {
        for filter in filters {
            let topics = topics_of(filter);
            if topics.is_exact() {
                self.exact
                    .entry(topics.as_str().into())
                    .or_default()
                    .push(key);
            } else {
                self.wild.push((topics.as_str().into(), key));
            }
        }
        if let Some(identifier) = identifier {
            self.by_identifier.insert(identifier, key);
        }
        self.filters.insert(
            key,
            filters.iter().map(|filter| Box::from(*filter)).collect(),
        );
    }

    /// Closes a subscription; returns those of its filters that no other one has.
    pub(crate) fn remove(&mut self, key: Key) -> Vec<Box<str>> {
        self.wild.retain(|(_, k)| *k != key);
        self.exact.retain(|_, keys| {
            keys.retain(|k| *k != key);
            !keys.is_empty()
        });
        self.by_identifier.retain(|_, k| *k != key);
        let mut own = self.filters.remove(&key).unwrap_or_default();
        own.retain(|filter| !self.filters.values().flatten().any(|other| other == filter));
        own
    }

    /// Puts the subscriptions that `topic` is for into `found`.
    ///
    /// Subscription Identifiers decide between overlapping subscriptions, because a server may send
    /// one copy for each. They are not believed when they don't fit the topic: they may stem from an
    /// earlier process with the same session, or two subscriptions may have the same filter, of
    /// which the server remembers one identifier.
    pub(crate) fn find(&self, topic: &str, identifiers: &[u32], found: &mut Vec<Key>) {
        found.clear();
        let name = TopicName::assume(topic);
        for identifier in identifiers {
            match self.by_identifier.get(identifier) {
                Some(key) if self.owns_alone(*key, name) => found.push(*key),
                _ => {
                    found.clear();
                    break;
                }
            }
        }
        if found.is_empty() {
            if let Some(keys) = self.exact.get(topic) {
                found.extend(keys);
            }
            let fits = |filter: &str| TopicFilter::assume(filter).matches(name);
            found.extend(
                self.wild
                    .iter()
                    .filter(|(filter, _)| fits(filter))
                    .map(|(_, key)| key),
            );
        }
        found.sort_unstable();
        found.dedup();
    }

    pub(crate) fn matches(&self, key: Key, topic: &str) -> bool {
        let name = TopicName::assume(topic);
        let filters = self.filters.get(&key).into_iter().flatten();
        filters
            .map(|filter| topics_of(filter))
            .any(|topics| topics.matches(name))
    }

    /// Whether a filter of this subscription matches that no other subscription has as well.
    fn owns_alone(&self, key: Key, name: TopicName<'_>) -> bool {
        let filters = self.filters.get(&key).into_iter().flatten();
        filters.map(|filter| topics_of(filter)).any(|topics| {
            topics.matches(name)
                && match topics.is_exact() {
                    true => self
                        .exact
                        .get(topics.as_str())
                        .is_some_and(|keys| keys.len() == 1),
                    false => {
                        self.wild
                            .iter()
                            .filter(|(f, _)| **f == *topics.as_str())
                            .count()
                            == 1
                    }
                }
        })
    }
}

/// What a filter subscribes to: the part behind `$share/{ShareName}/` of a shared one.
fn topics_of(filter: &str) -> TopicFilter<'_> {
    let filter = TopicFilter::assume(filter);
    match SharedFilter::parse(filter) {
        Ok(Some(shared)) => shared.filter,
        _ => filter,
    }
}
