//! Which subscription a message belongs to, and the queue of each.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use slab::Slab;
use ternmq_protocol::client::{Delivery, Incoming};
use ternmq_protocol::topic::{SharedFilter, TopicFilter, TopicName};

/// Largest Subscription Identifier (section 3.8.2.1.2).
const MAX_ID: u32 = 268_435_455;

/// Where the numbers begin that subscriptions get without having asked for one: beyond those that
/// applications choose, and in the PUBLISH still three bytes.
const FIRST_ID: u32 = 0x4000;

/// The subscriptions of one client.
///
/// A message goes to the subscriptions whose identifiers it carries and whose filters match it; to
/// all that match where it carries none of ours. Identifiers alone would be wrong on a session
/// that was begun by an earlier process, filters alone give a message twice where the server sends
/// a copy for each of several overlapping subscriptions.
#[derive(Default)]
pub(crate) struct Routes {
    routes: Slab<Route>,
    by_filter: HashMap<String, Vec<usize>>,
    by_id: HashMap<u32, Vec<usize>>,
    /// Those with wildcards; the others are found by their filter.
    wildcards: Vec<usize>,
    last_id: u32,
    /// Subscriptions with more than one filter.
    several: usize,
    /// What waits in all queues.
    pub(crate) held: usize,
    pub(crate) held_bytes: usize,
    /// Subscriptions whose queue has reached its limit and is not half empty again.
    full: usize,
    /// Messages that no subscription wanted yet.
    unclaimed: VecDeque<Incoming>,
    /// A subscription was left to the server, so messages may come that nobody here waits for yet.
    pub(crate) kept: bool,
    pub(crate) unclaimed_dropped: u64,
    /// Those among them that the server waits for, when the application acknowledges.
    pub(crate) unwanted: Vec<Delivery>,
    targets: Vec<usize>,
}

struct Route {
    filters: Vec<Filter>,
    /// By which it is found: its own, and those of later subscriptions to one of its filters.
    ids: Vec<u32>,
    queue: VecDeque<Incoming>,
    limit: usize,
    full: bool,
    waker: Option<Waker>,
}

struct Filter {
    text: String,
    /// What of it is matched: a shared subscription's begins after the ShareName.
    matched_from: usize,
}

impl Filter {
    fn new(filter: TopicFilter<'_>) -> Self {
        let shared = SharedFilter::parse(filter).ok().flatten();
        let matched = shared.map_or(filter, |shared| shared.filter);
        Self {
            text: filter.as_str().to_owned(),
            matched_from: filter.as_str().len() - matched.as_str().len(),
        }
    }

    fn matched(&self) -> TopicFilter<'_> {
        TopicFilter::assume(&self.text[self.matched_from..])
    }

    /// Whether a message's topic does not lead to it by `by_filter`.
    fn is_searched(&self) -> bool {
        self.matched_from > 0 || !self.matched().is_exact()
    }
}

impl Route {
    fn matches(&self, topic: &str) -> bool {
        let name = TopicName::assume(topic);
        let mut filters = self.filters.iter();
        filters.any(|filter| filter.matched().matches(name))
    }
}

impl Routes {
    /// Adds a subscription and returns its key and Subscription Identifier: the one that was asked
    /// for, or one of ours. Messages that waited for somebody to claim them are claimed.
    pub(crate) fn add(
        &mut self,
        filters: &[TopicFilter<'_>],
        limit: usize,
        asked: Option<u32>,
    ) -> (usize, u32) {
        let twins = self.twins(filters);
        let own = |key: &usize| self.routes[*key].ids.first().copied();
        let id = asked
            .or_else(|| twins.first().and_then(own))
            .unwrap_or_else(|| self.next_id());
        // A second SUBSCRIBE for a filter replaces the first, its identifier included.
        for twin in twins {
            self.identify(twin, id);
        }
        let filters: Vec<Filter> = filters.iter().copied().map(Filter::new).collect();
        let texts: Vec<String> = filters.iter().map(|filter| filter.text.clone()).collect();
        let searched = filters.iter().any(Filter::is_searched);
        self.several += usize::from(filters.len() > 1);
        let key = self.routes.insert(Route {
            filters,
            ids: Vec::new(),
            queue: VecDeque::new(),
            limit: limit.max(1),
            full: false,
            waker: None,
        });
        for text in texts {
            self.by_filter.entry(text).or_default().push(key);
        }
        self.identify(key, id);
        if searched {
            self.wildcards.push(key);
        }
        self.claim(key);
        (key, id)
    }

    /// Removes a subscription with what is in its queue. Returns those of its filters that no other
    /// one has.
    pub(crate) fn remove(&mut self, key: usize) -> Vec<String> {
        let Some(route) = self.routes.try_remove(key) else {
            return Vec::new();
        };
        self.held -= route.queue.len();
        let bytes: usize = route.queue.iter().map(|m| m.message.memory()).sum();
        self.held_bytes -= bytes;
        self.full -= usize::from(route.full);
        self.several -= usize::from(route.filters.len() > 1);
        self.wildcards.retain(|k| *k != key);
        for id in &route.ids {
            drop_key(&mut self.by_id, id, key);
        }
        let mut alone: Vec<String> = route.filters.into_iter().map(|f| f.text).collect();
        alone.retain(|text| drop_key(&mut self.by_filter, text, key));
        alone
    }

    /// Removes a subscription that stays with the server: what is in its queue, and what comes, waits
    /// for whoever subscribes next, up to `keep` messages.
    pub(crate) fn leave(&mut self, key: usize, keep: usize) {
        let left = self.pop_all(key);
        self.remove(key);
        self.kept = true;
        self.unclaimed.extend(left);
        self.trim(keep);
    }

    /// Puts messages in front of a subscription's queue.
    pub(crate) fn put_back(
        &mut self,
        key: usize,
        messages: impl DoubleEndedIterator<Item = Incoming>,
    ) {
        let Some(route) = self.routes.get_mut(key) else {
            return;
        };
        for incoming in messages.rev() {
            self.held += 1;
            self.held_bytes += incoming.message.memory();
            route.queue.push_front(incoming);
        }
        if !route.full && route.queue.len() >= route.limit {
            route.full = true;
            self.full += 1;
        }
    }

    /// Puts a message into the queues where it belongs, and those who wait there on the list of
    /// the woken. One that nobody wants is kept if `keep` says so, up to that many.
    pub(crate) fn deliver(&mut self, incoming: Incoming, keep: usize, woken: &mut Vec<Waker>) {
        let mut targets = std::mem::take(&mut self.targets);
        self.find(&incoming, &mut targets);
        let last = targets.pop();
        for key in targets.drain(..) {
            self.push(key, incoming.clone(), woken);
        }
        match last {
            Some(key) => self.push(key, incoming, woken),
            // What waits already stays: a kept subscription may have left it.
            None if keep == 0 => self.give_up(incoming),
            None => {
                self.unclaimed.push_back(incoming);
                self.trim(keep);
            }
        }
        self.targets = targets;
    }

    /// The oldest message of a subscription, or `None` and `waker` is woken when there is one.
    pub(crate) fn pop(&mut self, key: usize, waker: Option<&Waker>) -> Option<Incoming> {
        let route = self.routes.get_mut(key)?;
        let Some(incoming) = route.queue.pop_front() else {
            if let Some(waker) = waker {
                route.waker = Some(waker.clone());
            }
            return None;
        };
        self.held -= 1;
        self.held_bytes -= incoming.message.memory();
        if route.full && route.queue.len() <= route.limit / 2 {
            route.full = false;
            self.full -= 1;
        }
        Some(incoming)
    }

    /// Messages in a subscription's queue.
    pub(crate) fn waiting(&self, key: usize) -> usize {
        self.routes.get(key).map_or(0, |route| route.queue.len())
    }

    /// All messages of a subscription.
    pub(crate) fn pop_all(&mut self, key: usize) -> VecDeque<Incoming> {
        let Some(route) = self.routes.get_mut(key) else {
            return VecDeque::new();
        };
        let queue = std::mem::take(&mut route.queue);
        self.held -= queue.len();
        self.held_bytes -= queue.iter().map(|m| m.message.memory()).sum::<usize>();
        self.full -= usize::from(std::mem::take(&mut route.full));
        queue
    }

    /// Whether some subscription's queue is full.
    pub(crate) fn is_full(&self) -> bool {
        self.full > 0
    }

    /// Everybody who waits for a message.
    pub(crate) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        let waiting = self.routes.iter_mut().filter_map(|(_, r)| r.waker.take());
        woken.extend(waiting);
    }

    fn find(&self, incoming: &Incoming, targets: &mut Vec<usize>) {
        let topic = incoming.message.topic();
        for id in incoming.subscription_ids.as_slice() {
            let keys = self.by_id.get(id).into_iter().flatten();
            targets.extend(keys.filter(|key| self.routes[**key].matches(topic)));
        }
        if targets.is_empty() {
            targets.extend(self.by_filter.get(topic).into_iter().flatten());
            let wildcards = self.wildcards.iter();
            targets.extend(wildcards.filter(|key| self.routes[**key].matches(topic)));
        }
        // Two identifiers, or two filters, may lead to the same subscription.
        if incoming.subscription_ids.as_slice().len() > 1 || self.several > 0 {
            targets.sort_unstable();
            targets.dedup();
        }
    }

    /// Subscriptions to one of these filters.
    fn twins(&self, filters: &[TopicFilter<'_>]) -> Vec<usize> {
        let of = |filter: &TopicFilter<'_>| self.by_filter.get(filter.as_str());
        filters.iter().filter_map(of).flatten().copied().collect()
    }

    fn next_id(&mut self) -> u32 {
        loop {
            self.last_id = match self.last_id {
                FIRST_ID..MAX_ID => self.last_id + 1,
                _ => FIRST_ID,
            };
            if !self.by_id.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Messages with this identifier may be for this subscription.
    fn identify(&mut self, key: usize, id: u32) {
        let ids = &mut self.routes[key].ids;
        if !ids.contains(&id) {
            ids.push(id);
            self.by_id.entry(id).or_default().push(key);
        }
    }

    /// Gives the oldest unclaimed messages up.
    fn trim(&mut self, keep: usize) {
        while self.unclaimed.len() > keep {
            if let Some(oldest) = self.unclaimed.pop_front() {
                self.give_up(oldest);
            }
        }
    }

    fn give_up(&mut self, incoming: Incoming) {
        if incoming.packet_id != 0 {
            self.unwanted.push(incoming.delivery);
        }
        self.unclaimed_dropped += 1;
    }

    fn push(&mut self, key: usize, incoming: Incoming, woken: &mut Vec<Waker>) {
        let route = &mut self.routes[key];
        self.held += 1;
        self.held_bytes += incoming.message.memory();
        route.queue.push_back(incoming);
        if !route.full && route.queue.len() >= route.limit {
            route.full = true;
            self.full += 1;
        }
        woken.extend(route.waker.take());
    }

    fn claim(&mut self, key: usize) {
        for incoming in std::mem::take(&mut self.unclaimed) {
            if self.routes[key].matches(incoming.message.topic()) {
                self.push(key, incoming, &mut Vec::new());
            } else {
                self.unclaimed.push_back(incoming);
            }
        }
    }
}

/// Takes a key out of a list of a table, and the list when it was the last.
fn drop_key<K, Q>(table: &mut HashMap<K, Vec<usize>>, entry: &Q, key: usize) -> bool
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    let Some(keys) = table.get_mut(entry) else {
        return false;
    };
    keys.retain(|k| *k != key);
    let last = keys.is_empty();
    if last {
        table.remove(entry);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::client::SubscriptionIds;
    use ternmq_protocol::codec::{Properties, QoS};
    use ternmq_protocol::{Message, Time};

    fn incoming(topic: &str, ids: &[u32]) -> Incoming {
        let properties = Properties::EMPTY;
        let qos = QoS::AtMostOnce;
        Incoming {
            message: Message::new(topic, b"x", qos, false, properties, Time(0)).unwrap(),
            packet_id: 0,
            delivery: Delivery(1),
            dup: false,
            qos,
            retain: false,
            subscription_ids: match ids {
                [] => SubscriptionIds::None,
                ids => SubscriptionIds::Many(ids.into()),
            },
        }
    }

    fn add(routes: &mut Routes, filter: &str, limit: usize) -> (usize, u32) {
        add_all(routes, &[filter], limit, None)
    }

    fn add_all(
        routes: &mut Routes,
        filters: &[&str],
        limit: usize,
        asked: Option<u32>,
    ) -> (usize, u32) {
        let filters = filters.iter().map(|f| TopicFilter::parse(f, 100).unwrap());
        let filters: Vec<TopicFilter<'_>> = filters.collect();
        routes.add(&filters, limit, asked)
    }

    fn deliver(routes: &mut Routes, topic: &str, ids: &[u32]) {
        routes.deliver(incoming(topic, ids), 2, &mut Vec::new());
    }

    #[test]
    fn without_identifiers_all_that_match_get_a_message() {
        let mut routes = Routes::default();
        let filters = ["a/b", "a/+", "b", "$share/g/a/b", "#"];
        let keys = filters.map(|filter| add(&mut routes, filter, 9).0);
        deliver(&mut routes, "a/b", &[]);
        let got = keys.map(|key| routes.pop_all(key).len());
        assert_eq!(got, [1, 1, 0, 1, 1]);
    }

    #[test]
    fn identifiers_choose_among_those_that_match() {
        let mut routes = Routes::default();
        let (one, id) = add(&mut routes, "a/+", 9);
        let (other, _) = add(&mut routes, "#", 9);
        deliver(&mut routes, "a/b", &[id]);
        assert_eq!(
            (routes.pop_all(one).len(), routes.pop_all(other).len()),
            (1, 0)
        );
        // An identifier of an earlier process that means something else now.
        deliver(&mut routes, "b", &[id]);
        assert_eq!(
            (routes.pop_all(one).len(), routes.pop_all(other).len()),
            (0, 1)
        );
    }

    #[test]
    fn the_same_filter_twice_has_one_identifier_and_ends_with_the_last() {
        let mut routes = Routes::default();
        let (one, id) = add(&mut routes, "a", 9);
        let (two, same) = add(&mut routes, "a", 9);
        assert_eq!(id, same);
        deliver(&mut routes, "a", &[id]);
        assert!(routes.remove(one).is_empty());
        assert_eq!(routes.pop_all(two).len(), 1);
        assert_eq!(routes.remove(two), ["a"]);
        assert_eq!((routes.held, routes.held_bytes), (0, 0));
    }

    #[test]
    fn a_queue_is_full_from_its_limit_until_it_is_half_empty() {
        let mut routes = Routes::default();
        let (key, _) = add(&mut routes, "a", 4);
        for _ in 0..4 {
            assert!(!routes.is_full());
            deliver(&mut routes, "a", &[]);
        }
        assert!(routes.is_full());
        routes.pop(key, None);
        assert!(routes.is_full());
        routes.pop(key, None);
        assert!(!routes.is_full());
        deliver(&mut routes, "a", &[]);
        deliver(&mut routes, "a", &[]);
        routes.remove(key);
        assert!(!routes.is_full());
    }

    #[test]
    fn unclaimed_messages_wait_for_a_subscription_and_the_oldest_go_first() {
        let mut routes = Routes::default();
        for topic in ["a/1", "a/2", "b", "a/3"] {
            deliver(&mut routes, topic, &[]);
        }
        assert_eq!(routes.unclaimed_dropped, 2);
        let (key, _) = add(&mut routes, "a/+", 9);
        let got = routes.pop_all(key);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].message.topic(), "a/3");
    }

    #[test]
    fn several_filters_have_one_queue_and_a_message_comes_once() {
        let mut routes = Routes::default();
        let filters = ["a/b", "a/+", "$share/g/a/#", "c"];
        let (key, id) = add_all(&mut routes, &filters, 9, None);
        deliver(&mut routes, "a/b", &[]);
        deliver(&mut routes, "a/b", &[id, id]);
        deliver(&mut routes, "c", &[]);
        assert_eq!(routes.pop_all(key).len(), 3);
        let (twin, _) = add_all(&mut routes, &["a/+", "d"], 9, None);
        assert_eq!(routes.remove(key), ["a/b", "$share/g/a/#", "c"]);
        assert_eq!(routes.remove(twin), ["a/+", "d"]);
        assert!(routes.by_id.is_empty() && routes.by_filter.is_empty());
        assert_eq!((routes.several, routes.wildcards.len()), (0, 0));
    }

    #[test]
    fn the_identifier_of_a_later_subscription_leads_to_the_earlier_ones_too() {
        let mut routes = Routes::default();
        let (one, _) = add(&mut routes, "a", 9);
        let (two, _) = add(&mut routes, "b", 9);
        let (both, id) = add_all(&mut routes, &["a", "b"], 9, Some(7));
        assert_eq!(id, 7);
        deliver(&mut routes, "a", &[7]);
        deliver(&mut routes, "b", &[7]);
        let got = [one, two, both].map(|key| routes.pop_all(key).len());
        assert_eq!(got, [1, 1, 2]);
        // Who asks for none gets one that nobody else has asked for.
        add_all(&mut routes, &["c"], 9, Some(FIRST_ID + 2));
        assert_eq!(add(&mut routes, "d", 9).1, FIRST_ID + 3);
    }

    #[test]
    fn what_a_kept_subscription_leaves_waits_for_the_next() {
        let mut routes = Routes::default();
        let (key, _) = add(&mut routes, "a", 2);
        for _ in 0..3 {
            deliver(&mut routes, "a", &[]);
        }
        let taken: Vec<Incoming> = routes.pop_all(key).into();
        routes.put_back(key, taken.into_iter());
        assert!(routes.is_full());
        routes.leave(key, 2);
        assert!(routes.kept && !routes.is_full());
        assert_eq!((routes.held, routes.unclaimed_dropped), (0, 1));
        routes.deliver(incoming("b", &[]), 0, &mut Vec::new());
        let (next, _) = add(&mut routes, "a", 9);
        assert_eq!(routes.pop_all(next).len(), 2);
    }
}
