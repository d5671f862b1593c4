//! Which subscription a message belongs to, and the queue of each.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use slab::Slab;
use ternmq_protocol::client::{Delivery, Incoming};
use ternmq_protocol::topic::{SharedFilter, TopicFilter, TopicName};

/// Largest Subscription Identifier (section 3.8.2.1.2).
const MAX_ID: u32 = 268_435_455;

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
    /// What waits in all queues.
    pub(crate) held: usize,
    pub(crate) held_bytes: usize,
    /// Subscriptions whose queue has reached its limit and is not half empty again.
    full: usize,
    /// Messages that no subscription wanted yet.
    unclaimed: VecDeque<Incoming>,
    pub(crate) unclaimed_dropped: u64,
    /// Those among them that the server waits for, when the application acknowledges.
    pub(crate) unwanted: Vec<Delivery>,
    targets: Vec<usize>,
}

struct Route {
    filter: String,
    /// What of the filter is matched: a shared subscription's begins after the ShareName.
    matched_from: usize,
    id: u32,
    queue: VecDeque<Incoming>,
    limit: usize,
    full: bool,
    waker: Option<Waker>,
}

impl Route {
    fn matches(&self, topic: &str) -> bool {
        let filter = TopicFilter::assume(&self.filter[self.matched_from..]);
        filter.matches(TopicName::assume(topic))
    }
}

impl Routes {
    /// Adds a subscription and returns its key and Subscription Identifier. Messages that waited for
    /// somebody to claim them are claimed.
    pub(crate) fn add(&mut self, filter: TopicFilter<'_>, limit: usize) -> (usize, u32) {
        let text = filter.as_str();
        let shared = SharedFilter::parse(filter).ok().flatten();
        let matched = shared.map_or(filter, |shared| shared.filter);
        let twins = self.by_filter.entry(text.to_owned()).or_default();
        let id = match twins.first() {
            // A second SUBSCRIBE for a filter replaces the first, its identifier included.
            Some(twin) => self.routes[*twin].id,
            None => {
                self.last_id = self.last_id % MAX_ID + 1;
                self.last_id
            }
        };
        let key = self.routes.insert(Route {
            filter: text.to_owned(),
            matched_from: text.len() - matched.as_str().len(),
            id,
            queue: VecDeque::new(),
            limit: limit.max(1),
            full: false,
            waker: None,
        });
        twins.push(key);
        self.by_id.entry(id).or_default().push(key);
        if !matched.is_exact() || matched != filter {
            self.wildcards.push(key);
        }
        self.claim(key);
        (key, id)
    }

    /// Removes a subscription with what is in its queue. Returns its filter if it was the last with
    /// it.
    pub(crate) fn remove(&mut self, key: usize) -> Option<String> {
        let route = self.routes.try_remove(key)?;
        self.held -= route.queue.len();
        let bytes: usize = route.queue.iter().map(|m| m.message.memory()).sum();
        self.held_bytes -= bytes;
        self.full -= usize::from(route.full);
        self.wildcards.retain(|k| *k != key);
        let last = drop_key(&mut self.by_filter, &route.filter, key);
        drop_key(&mut self.by_id, &route.id, key);
        last.then_some(route.filter)
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
            None => {
                self.unclaimed.push_back(incoming);
                while self.unclaimed.len() > keep {
                    let dropped = self.unclaimed.pop_front();
                    self.unwanted
                        .extend(dropped.filter(|m| m.packet_id != 0).map(|m| m.delivery));
                    self.unclaimed_dropped += 1;
                }
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
        routes.add(TopicFilter::parse(filter, 100).unwrap(), limit)
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
        assert_eq!(routes.remove(one), None);
        assert_eq!(routes.pop_all(two).len(), 1);
        assert_eq!(routes.remove(two).as_deref(), Some("a"));
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
}
