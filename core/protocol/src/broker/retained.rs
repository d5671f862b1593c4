//! Retained messages: the last one of each topic, found by filter in pages.
//!
//! One ordered map, keyed by the topic with each `/` turned into U+0000. That character stands in no
//! topic and sorts before all others, so a topic is followed by all topics below it and nothing
//! else: a filter's literal start is one range, and behind `+` each branch that does not fit is
//! left with one search. Order also makes the place of a reader a topic name, good whatever comes
//! and goes meanwhile; a trie would need about twice the memory and a list of its readers.

use crate::time::Time;
use crate::topic::{TopicFilter, TopicName};
use crate::weight::Weight;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Bytes counted for each message beyond its topic and its own weight: the map's share.
pub const RETAINED_OVERHEAD: usize = 64;

/// Topics [`Retained::page`] looks at before it ends a page, whether they match or not: a filter
/// that matches one of a million must not hold the shard for the whole walk.
pub const MAX_TOPICS_PER_PAGE: usize = 4096;

/// Topics that are stepped over one by one before a search is worth its price.
const STEPS_BEFORE_SEARCH: usize = 8;

/// Limits of the store. Beyond them, a new message is refused; what is there stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedLimits {
    /// Most messages.
    pub messages: usize,
    /// Most bytes: topics, weights and [`RETAINED_OVERHEAD`] each.
    pub bytes: usize,
}

/// Which limit refused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetainedFull {
    /// [`RetainedLimits::messages`].
    Messages,
    /// [`RetainedLimits::bytes`].
    Bytes,
}

/// Where the next page begins. [`Cursor::default`] is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// The cursor as a store may keep it: the key that the page begins with, as this module orders
    /// topics.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Cursor {
    fn from(key: &str) -> Self {
        Self(key.into())
    }
}

/// The retained message of each topic (3.3.1.3).
#[derive(Clone, Debug)]
pub struct Retained<M> {
    topics: BTreeMap<Box<str>, Entry<M>>,
    limits: RetainedLimits,
    bytes: usize,
    /// Entries that expire at all.
    expiring: usize,
    /// Where the next sweep begins.
    swept: String,
    key: String,
}

impl<M: Weight> Retained<M> {
    /// An empty store.
    #[must_use]
    pub const fn new(limits: RetainedLimits) -> Self {
        Self {
            topics: BTreeMap::new(),
            limits,
            bytes: 0,
            expiring: 0,
            swept: String::new(),
            key: String::new(),
        }
    }

    /// Keeps `message` for `topic` until `expires`, which is [`Time::NEVER`] for one that does not
    /// expire, and gives back the one it replaces [MQTT-3.3.1-5].
    ///
    /// # Errors
    /// The limits refuse it: `message` is dropped and nothing has changed.
    pub fn put(
        &mut self,
        topic: TopicName<'_>,
        message: M,
        expires: Time,
    ) -> Result<Option<M>, RetainedFull> {
        write_key(&mut self.key, topic.as_str());
        let weight = self.key.len() + message.weight() + RETAINED_OVERHEAD;
        let full = self.topics.len() >= self.limits.messages;
        let old = self.topics.get_mut(&*self.key);
        let freed = old.as_ref().map_or(0, |old| old.weight(self.key.len()));
        let bytes = (self.bytes - freed).saturating_add(weight);
        if bytes > self.limits.bytes {
            return Err(RetainedFull::Bytes);
        }
        let entry = Entry { message, expires };
        let gained = usize::from(entry.expires());
        let replaced = match old {
            Some(old) => Some(std::mem::replace(old, entry)),
            None if full => return Err(RetainedFull::Messages),
            None => self.topics.insert(self.key.as_str().into(), entry),
        };
        self.bytes = bytes;
        self.expiring += gained;
        self.expiring -= replaced
            .as_ref()
            .map_or(0, |old| usize::from(old.expires()));
        Ok(replaced.map(|old| old.message))
    }

    /// Removes the message of `topic`, as a PUBLISH with RETAIN and no payload does [MQTT-3.3.1-6].
    pub fn remove(&mut self, topic: TopicName<'_>) -> Option<M> {
        write_key(&mut self.key, topic.as_str());
        let entry = self.topics.remove(&*self.key)?;
        self.bytes -= entry.weight(self.key.len());
        self.expiring -= usize::from(entry.expires());
        Some(entry.message)
    }

    /// The message of `topic`, unless it has expired.
    #[must_use]
    pub fn get(&self, topic: TopicName<'_>, now: Time) -> Option<&M> {
        let mut key = String::new();
        write_key(&mut key, topic.as_str());
        self.topics
            .get(&*key)
            .filter(|entry| entry.expires > now)
            .map(|entry| &entry.message)
    }

    /// Passes up to `max` messages whose topics match `filter` to `found`, in the order of topics,
    /// and tells where the next page begins; `None` at the end.
    ///
    /// A page may hold fewer and not be the last, see [`MAX_TOPICS_PER_PAGE`]. The store may change
    /// between pages: a topic that is there from the first page to the last is found exactly once.
    pub fn page(
        &self,
        filter: TopicFilter<'_>,
        from: &Cursor,
        now: Time,
        max: usize,
        mut found: impl FnMut(&M),
    ) -> Option<Cursor> {
        if self.topics.is_empty() {
            return None; // as in most brokers most of the time
        }
        let mut scope = Scope::new(filter, from);
        let (mut taken, mut looked) = (0, 0);
        loop {
            let mut steps = 0;
            let mut range = self.topics.range::<str, _>(scope.bounds());
            loop {
                let (key, entry) = range.next()?;
                if taken >= max.max(1) || looked >= MAX_TOPICS_PER_PAGE {
                    return Some(Cursor(key.clone()));
                }
                looked += 1;
                if **key < *scope.start {
                    steps += 1;
                } else if scope.fits(key) {
                    steps = 0;
                    if entry.expires > now {
                        found(&entry.message);
                        taken += 1;
                    }
                }
                if steps >= STEPS_BEFORE_SEARCH {
                    break; // and begin a new range at scope.start
                }
            }
        }
    }

    /// Passes the next `max` messages in the order of topics to `found`, whatever their topics, and
    /// tells where to go on; `None` at the end. Those expired and not swept yet are left out.
    pub fn walk(
        &self,
        from: &Cursor,
        now: Time,
        max: usize,
        mut found: impl FnMut(&M),
    ) -> Option<Cursor> {
        let from = (Bound::Included(&*from.0), Bound::Unbounded);
        for (looked, (key, entry)) in self.topics.range::<str, _>(from).enumerate() {
            if looked == max.max(1) {
                return Some(Cursor(key.clone()));
            }
            if entry.expires > now {
                found(&entry.message);
            }
        }
        None
    }

    /// Whether any message expires at all.
    #[must_use]
    pub fn has_expiring(&self) -> bool {
        self.expiring > 0
    }

    /// Looks at the next `max` topics in turn and passes those expired to `expired`, removed. True
    /// while messages remain that will expire.
    ///
    /// Expired messages are never found, but count against the limits until they are swept. A
    /// thousand topics now and then cost little; without any that expire it costs nothing.
    pub fn sweep(&mut self, now: Time, max: usize, mut expired: impl FnMut(M)) -> bool {
        if self.expiring == 0 {
            return false;
        }
        let mut gone = Vec::new();
        let mut next = String::new();
        let after = (Bound::Included(&*self.swept), Bound::Unbounded);
        for (looked, (key, entry)) in self.topics.range::<str, _>(after).enumerate() {
            if looked == max {
                next = key.to_string();
                break;
            }
            if entry.expires <= now {
                gone.push(key.clone());
            }
        }
        self.swept = next;
        for key in gone {
            if let Some(entry) = self.topics.remove(&key) {
                self.bytes -= entry.weight(key.len());
                self.expiring -= 1;
                expired(entry.message);
            }
        }
        self.expiring > 0
    }

    /// All messages in the order of topics, those expired and not swept yet included.
    pub fn iter(&self) -> impl Iterator<Item = &M> {
        self.topics.values().map(|entry| &entry.message)
    }

    /// Messages, those expired and not swept yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// True without any message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Bytes that count against [`RetainedLimits::bytes`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[derive(Clone, Debug)]
struct Entry<M> {
    message: M,
    expires: Time,
}

impl<M: Weight> Entry<M> {
    fn weight(&self, key: usize) -> usize {
        key + self.message.weight() + RETAINED_OVERHEAD
    }

    fn expires(&self) -> bool {
        self.expires != Time::NEVER
    }
}

/// The part of the keys that a filter still has to see.
struct Scope<'a> {
    filter: TopicFilter<'a>,
    /// The first key to look at. Moves past whatever cannot match.
    start: String,
    /// The first key behind the filter's literal start; empty for no end.
    end: String,
}

impl<'a> Scope<'a> {
    fn new(filter: TopicFilter<'a>, from: &Cursor) -> Self {
        let text = filter.as_str();
        let literal = match text.bytes().position(|byte| matches!(byte, b'+' | b'#')) {
            Some(at) => text[..at].strip_suffix('/'),
            None => Some(text),
        };
        let (mut start, mut end) = (String::new(), String::new());
        if let Some(literal) = literal {
            write_key(&mut start, literal);
            write_key(&mut end, literal);
            // The next key that is neither `literal` nor below it.
            end.push(if filter.is_exact() { '\0' } else { '\u{1}' });
        }
        if *from.0 > *start {
            start = from.0.clone().into();
        }
        Self { filter, start, end }
    }

    fn bounds(&self) -> (Bound<&str>, Bound<&str>) {
        let end = match &*self.end {
            "" => Bound::Unbounded,
            // A range must not end before it starts, not even an empty one.
            end => Bound::Excluded(end.max(&*self.start)),
        };
        (Bound::Included(&*self.start), end)
    }

    /// Whether the topic of `key` matches. If not, `start` moves to the next key that may.
    fn fits(&mut self, key: &str) -> bool {
        if key.starts_with('$') && self.filter.has_leading_wildcard() {
            self.start.replace_range(.., "%"); // what comes after `$` [MQTT-4.7.2-1]
            return false;
        }
        let mut at = 0;
        for level in self.filter.levels() {
            if level == "#" {
                return true;
            }
            let Some(rest) = key.get(at..) else {
                return false; // too short: what is below comes next
            };
            let length = rest
                .bytes()
                .position(|byte| byte == 0)
                .unwrap_or(rest.len());
            match if level == "+" {
                Ordering::Equal
            } else {
                rest[..length].cmp(level)
            } {
                Ordering::Equal => at += length + 1,
                Ordering::Less => {
                    self.start.replace_range(.., &key[..at]);
                    self.start.push_str(level);
                    return false;
                }
                Ordering::Greater => {
                    self.leave(&key[..at.saturating_sub(1)]);
                    return false;
                }
            }
        }
        if at > key.len() {
            return true;
        }
        self.leave(&key[..at - 1]); // too long, like all below its first levels
        false
    }

    /// Goes on behind all topics below `parent`.
    fn leave(&mut self, parent: &str) {
        self.start.replace_range(.., parent);
        self.start.push('\u{1}');
    }
}

fn write_key(key: &mut String, topic: &str) {
    key.clear();
    for (nth, level) in topic.split('/').enumerate() {
        if nth > 0 {
            key.push('\0');
        }
        key.push_str(level);
    }
}

#[cfg(test)]
mod tests;
