//! What back ends have said, kept for a while.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Answers; beyond it the oldest gives way. Some 200 bytes each, and what a grant brings.
    pub entries: usize,
    /// For how long one holds; zero: none is kept.
    pub time: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            entries: 10_000,
            time: Duration::ZERO,
        }
    }
}

/// A fingerprint of a question: a keyed hash, so that no password lies about.
pub(super) type Key = [u8; 32];

#[derive(Debug)]
pub(super) struct Cache<T> {
    limits: CacheLimits,
    answers: HashMap<Key, (Instant, T)>,
    /// In the order in which they came; a key that came again is there twice.
    order: VecDeque<(Instant, Key)>,
}

impl<T: Clone> Cache<T> {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            answers: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.limits.entries > 0 && !self.limits.time.is_zero()
    }

    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<T> {
        let (since, answer) = self.answers.get(key)?;
        (now.saturating_duration_since(*since) < self.limits.time).then(|| answer.clone())
    }

    pub(super) fn put(&mut self, key: Key, answer: T, now: Instant) {
        if !self.is_on() {
            return;
        }
        self.answers.insert(key, (now, answer));
        self.order.push_back((now, key));
        while self.order.len() > self.limits.entries {
            let Some((came, old)) = self.order.pop_front() else {
                return;
            };
            if self.answers.get(&old).is_some_and(|(at, _)| *at == came) {
                self.answers.remove(&old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_its_time_and_the_oldest_gives_way() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut cache = Cache::new(CacheLimits {
            entries: 2,
            time: 10 * second,
        });
        cache.put([1; 32], 'a', start);
        assert_eq!(cache.get(&[1; 32], start + 9 * second), Some('a'));
        assert_eq!(cache.get(&[1; 32], start + 10 * second), None);
        assert_eq!(cache.get(&[2; 32], start), None);
        cache.put([1; 32], 'b', start + 10 * second);
        cache.put([2; 32], 'c', start + 11 * second);
        assert_eq!(cache.get(&[1; 32], start + 12 * second), Some('b'));
        cache.put([3; 32], 'd', start + 12 * second);
        assert_eq!(cache.get(&[1; 32], start + 12 * second), None);
        assert_eq!(cache.get(&[3; 32], start + 12 * second), Some('d'));
        assert_eq!((cache.answers.len(), cache.order.len()), (2, 2));
    }

    #[test]
    fn without_a_time_nothing_is_kept() {
        let mut cache = Cache::new(CacheLimits::default());
        cache.put([1; 32], 'a', Instant::now());
        assert!(cache.answers.is_empty() && cache.order.is_empty());
    }
}
