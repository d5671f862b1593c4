//! Who gets a message: all subscriptions of one shard, by topic filter.

use super::arena::{Arena, NONE};
use super::durable::StreamKey;
use super::subscribers::{Passed, Subscribers};
use super::trie::{End, Trie, Walk, wide};
use crate::topic::{TopicFilter, TopicName};
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::{HashMap, HashTable};
use std::hash::BuildHasher;
use std::num::NonZeroU32;

pub use super::subscribers::Subscription;

/// A topic filter that has subscribers, by number: good while the subscription of the one who got
/// it lasts. 4 bytes are all a session has to keep of each of its subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(u32);

impl FilterId {
    /// No filter.
    pub(super) const NONE: Self = Self(NONE);
}

/// What [`SubscriptionIndex::insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The filter, for [`SubscriptionIndex::remove`].
    pub filter: FilterId,
    /// The subscription that was replaced [MQTT-3.8.4-3].
    pub previous: Option<Subscription>,
    /// The filter had no subscriber before.
    pub first: bool,
}

/// What [`SubscriptionIndex::remove`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The subscription that is no more.
    pub subscription: Subscription,
    /// The filter has no subscriber left, and its [`FilterId`] is void.
    pub last: bool,
}

/// What one subscription to a filter weighs, as if nobody else had the filter: its text, about what
/// stands for it in the tables of index, session and retained messages, and a node of the trie for
/// each level.
#[must_use]
pub fn filter_weight(filter: TopicFilter<'_>) -> usize {
    const TABLES: usize = 128;
    const NODE: usize = 96;
    let text = filter.as_str();
    let levels = match filter.is_exact() {
        true => 0,
        false => text.split('/').count(),
    };
    TABLES + text.len() + NODE * levels
}

/// The filters that match a topic. Kept and used again for its memory.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    filters: Vec<FilterId>,
    walk: Walk,
    steps: u64,
}

impl Matches {
    /// The matching filters in no order, each once.
    ///
    /// With one there is nothing to merge; with several, a session may be among the subscribers of
    /// more than one, and the caller decides between one copy and several (3.3.4).
    #[must_use]
    pub fn filters(&self) -> &[FilterId] {
        &self.filters
    }

    /// Nodes of the trie that were looked at to find them.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

/// Subscriptions by topic filter.
///
/// Filters without wildcards are found by one hash of the topic, the others in a trie. The
/// subscribers of a filter are one slice of 16-byte records. Entering and leaving take constant
/// time, even in a filter with a hundred thousand subscribers. One more exact subscription costs
/// about 100 bytes and the text of its filter.
#[derive(Clone, Debug)]
pub struct SubscriptionIndex {
    filters: Arena<Filter>,
    exact: HashTable<Key>,
    trie: Trie,
    hasher: SeedableRandomState,
    subscriptions: usize,
    version: u64,
    /// Filters whose messages a store is to keep. Beside the filters, which cost nothing more where there
    /// is no store.
    interests: HashMap<FilterId, Vec<Interest>>,
}

/// What sessions that a store keeps want of a filter.
#[derive(Clone, Copy, Debug)]
struct Interest {
    stream: StreamKey,
    /// Subscriptions of this shard.
    local: u32,
    /// Shards that have some, as far as this one knows.
    shards: u32,
}

impl SubscriptionIndex {
    /// An empty index. `seed` should be random in each process: it keeps clients from choosing
    /// topics that collide in the tables.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            filters: Arena::new(),
            exact: HashTable::new(),
            trie: Trie::new(seed.rotate_left(32)),
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            subscriptions: 0,
            version: 0,
            interests: HashMap::new(),
        }
    }

    /// Adds a subscription, or replaces that of the same session and group to the same filter.
    ///
    /// `filter` is what to match: of a shared subscription, that behind the share name.
    pub fn insert(&mut self, filter: TopicFilter<'_>, subscription: Subscription) -> Inserted {
        let id = self.find(filter).unwrap_or_else(|| self.enter(filter));
        let subscribers = &mut self.filters[id.0].subscribers;
        let first = subscribers.as_slice().is_empty();
        let previous = subscribers.insert(subscription);
        self.subscriptions += usize::from(previous.is_none());
        self.version += 1;
        Inserted {
            filter: id,
            previous,
            first,
        }
    }

    /// Removes one subscription; `None` when there is none of this session and group.
    pub fn remove(
        &mut self,
        filter: FilterId,
        session: u32,
        group: Option<NonZeroU32>,
    ) -> Option<Removed> {
        let subscribers = &mut self.filters.get_mut(filter.0)?.subscribers;
        let subscription = subscribers.remove(session, group)?;
        let last = subscribers.as_slice().is_empty();
        self.subscriptions -= 1;
        self.version += 1;
        if last && !self.interests.contains_key(&filter) {
            self.leave(filter);
        }
        Some(Removed { subscription, last })
    }

    /// One subscription of this shard more by a session that a store keeps; true when it is the first to
    /// this stream of the filter.
    pub(super) fn hold(&mut self, filter: TopicFilter<'_>, stream: StreamKey) -> bool {
        let interest = self.interest(filter, stream);
        interest.local += 1;
        interest.local == 1
    }

    /// One less; true when it was the last.
    pub(super) fn release(&mut self, filter: TopicFilter<'_>, stream: StreamKey) -> bool {
        let interest = self.interest(filter, stream);
        debug_assert!(interest.local > 0);
        interest.local = interest.local.saturating_sub(1);
        interest.local == 0
    }

    /// A shard wants what matches a filter to be kept for a stream.
    pub(super) fn add_interest(&mut self, filter: TopicFilter<'_>, stream: StreamKey) {
        self.interest(filter, stream).shards += 1;
        self.version += 1;
    }

    /// A shard does not want it any more.
    pub(super) fn remove_interest(&mut self, filter: TopicFilter<'_>, stream: StreamKey) {
        let interest = self.interest(filter, stream);
        interest.shards = interest.shards.saturating_sub(1);
        self.version += 1;
        let Some(id) = self.find(filter) else {
            return;
        };
        let Some(all) = self.interests.get_mut(&id) else {
            return;
        };
        all.retain(|interest| interest.shards > 0 || interest.local > 0);
        if all.is_empty() {
            self.interests.remove(&id);
            if self.subscribers(id).is_empty() {
                self.leave(id);
            }
        }
    }

    /// The streams that messages belong to which match these filters, in place of what was there.
    pub(super) fn streams(&self, matches: &Matches, streams: &mut Vec<StreamKey>) {
        streams.clear();
        if self.interests.is_empty() {
            return;
        }
        for filter in matches.filters() {
            let interests = self.interests.get(filter).into_iter().flatten();
            let wanted = interests.filter(|interest| interest.shards > 0);
            streams.extend(wanted.map(|interest| interest.stream));
        }
    }

    fn interest(&mut self, filter: TopicFilter<'_>, stream: StreamKey) -> &mut Interest {
        let id = self.find(filter).unwrap_or_else(|| self.enter(filter));
        let all = self.interests.entry(id).or_default();
        let place = all.iter().position(|interest| interest.stream == stream);
        let place = place.unwrap_or_else(|| {
            all.push(Interest {
                stream,
                local: 0,
                shards: 0,
            });
            all.len() - 1
        });
        &mut all[place]
    }

    /// The number of a filter that has subscribers.
    #[must_use]
    pub fn find(&self, filter: TopicFilter<'_>) -> Option<FilterId> {
        let text = filter.as_str();
        if filter.is_exact() {
            self.find_exact(text)
        } else {
            self.trie.find(text).map(FilterId)
        }
    }

    /// Puts all filters that match `topic` into `matches`, in place of what was there.
    ///
    /// Costs one hash of the topic, and one of each level per way through the trie.
    pub fn matching(&self, topic: TopicName<'_>, matches: &mut Matches) {
        let Matches {
            filters,
            walk,
            steps,
        } = matches;
        *steps = 0;
        filters.clear();
        filters.extend(self.find_exact(topic.as_str()));
        if self.trie.is_empty() {
            return;
        }
        *steps = self.trie.matching(topic.as_str(), walk, |number| {
            filters.push(FilterId(number));
        });
    }

    /// The subscriptions to one filter, in no order; none for a void number.
    #[must_use]
    pub fn subscribers(&self, filter: FilterId) -> &[Subscription] {
        self.filters
            .get(filter.0)
            .map_or(&[], |filter| filter.subscribers.as_slice())
    }

    /// Those of them that are told of a message: of one from the log, who is not asleep.
    pub(super) fn told(&self, filter: FilterId, logged: bool) -> &[Subscription] {
        let Some(filter) = self.filters.get(filter.0) else {
            return &[];
        };
        match logged {
            true => filter.subscribers.awake(),
            false => filter.subscribers.as_slice(),
        }
    }

    /// A message of the log comes by that these filters match: counts it for those who are asleep, and tells
    /// how many they are.
    pub(super) fn pass(&mut self, matches: &Matches, bytes: u64) -> u64 {
        let mut asleep = 0;
        for filter in matches.filters() {
            if let Some(filter) = self.filters.get_mut(filter.0) {
                asleep += filter.subscribers.pass(bytes) as u64;
            }
        }
        asleep
    }

    /// What has come by for those who are asleep in a filter.
    pub(super) fn passed(&self, filter: FilterId) -> Passed {
        let filter = self.filters.get(filter.0);
        filter.map_or(Passed::default(), |filter| filter.subscribers.passed())
    }

    /// Sets the subscription of a session to a filter apart. Returns what has come by so far; `None` if there
    /// are no others that it would cost anything beside.
    pub(super) fn put_to_sleep(&mut self, filter: FilterId, session: u32) -> Option<Passed> {
        let filter = self.filters.get_mut(filter.0)?;
        filter.subscribers.put_to_sleep(session)
    }

    /// Takes it back.
    pub(super) fn wake(&mut self, filter: FilterId, session: u32) {
        if let Some(filter) = self.filters.get_mut(filter.0) {
            filter.subscribers.wake(session);
        }
    }

    /// The subscription of one session and group to one filter.
    #[must_use]
    pub fn subscription(
        &self,
        filter: FilterId,
        session: u32,
        group: Option<NonZeroU32>,
    ) -> Option<&Subscription> {
        self.filters.get(filter.0)?.subscribers.get(session, group)
    }

    /// The text of a filter; empty for a void number.
    #[must_use]
    pub fn text(&self, filter: FilterId) -> &str {
        self.filters.get(filter.0).map_or("", |filter| &filter.text)
    }

    /// All filters that have subscribers, in no order.
    pub fn filters(&self) -> impl Iterator<Item = (FilterId, &str, &[Subscription])> {
        self.filters
            .iter()
            .map(|(id, filter)| (FilterId(id), &*filter.text, filter.subscribers.as_slice()))
    }

    /// Subscriptions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subscriptions
    }

    /// True without any subscription.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions == 0
    }

    /// Different filters.
    #[must_use]
    pub fn filter_count(&self) -> usize {
        self.filters.len()
    }

    /// Changes with each change, so that whoever remembers matches can tell that they are stale.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    fn find_exact(&self, text: &str) -> Option<FilterId> {
        let hash = self.hash(text);
        let same = |key: &Key| key.hash == hash && *self.filters[key.filter].text == *text;
        self.exact
            .find(wide(hash), same)
            .map(|key| FilterId(key.filter))
    }

    fn enter(&mut self, filter: TopicFilter<'_>) -> FilterId {
        let text = filter.as_str();
        let number = self.filters.insert(Filter {
            text: text.into(),
            subscribers: Subscribers::None,
            place: Place::Exact,
        });
        if filter.is_exact() {
            let hash = self.hash(text);
            let key = Key {
                hash,
                filter: number,
            };
            self.exact
                .insert_unique(wide(hash), key, |key| wide(key.hash));
        } else {
            self.filters[number].place = Place::Trie(self.trie.insert(text, number));
        }
        FilterId(number)
    }

    fn leave(&mut self, filter: FilterId) {
        let Some(entry) = self.filters.remove(filter.0) else {
            return;
        };
        match entry.place {
            Place::Trie(end) => self.trie.remove(end),
            Place::Exact => {
                let hash = wide(self.hash(&entry.text));
                if let Ok(key) = self.exact.find_entry(hash, |key| key.filter == filter.0) {
                    key.remove();
                }
            }
        }
    }

    fn hash(&self, text: &str) -> u32 {
        (self.hasher.hash_one(text) >> 32) as u32
    }
}

#[derive(Clone, Debug)]
struct Filter {
    text: Box<str>,
    subscribers: Subscribers,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Exact,
    Trie(End),
}

/// An entry of the exact table. The hash is kept so that growing the table does not visit a million
/// texts, and a lookup seldom visits a wrong one.
#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u32,
    filter: u32,
}

#[cfg(test)]
mod tests;
