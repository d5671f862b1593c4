//! Clients that connect over and over.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ternmq_protocol::Time;

/// What counts as flapping, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// Connections of one client within `window`; with one more it is banned.
    pub max: u16,
    /// The time that is looked back.
    pub window: Duration,
    /// How long the client is banned.
    pub ban_for: Duration,
}

/// The times of the last connections of each client. It keeps a keyed hash instead of the client
/// identifier: that two clients share one is less likely than that the machine errs.
///
/// In two halves: the younger one takes who connects, and when it is full, or a window has passed,
/// it becomes the older one, and who was in that is forgotten. So the table never holds more than
/// its limit, no update looks at other clients, and who is forgotten has not connected for longer
/// than who stays.
pub(crate) struct Recent {
    rules: Flapping,
    half: usize,
    hasher: RandomState,
    young: HashMap<u64, Times>,
    old: HashMap<u64, Times>,
    young_since: Time,
}

/// The last connections of one client: a ring of as many as it may have.
struct Times {
    ring: Box<[Time]>,
    at: usize,
}

/// What one more connection of a client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// One too many within the window.
    pub(crate) flaps: bool,
    /// Clients that were forgotten to make room although their window was not over.
    pub(crate) forgotten: usize,
}

impl Recent {
    pub(crate) fn new(rules: Flapping, clients: usize) -> Self {
        Self {
            rules,
            half: (clients / 2).max(1),
            hasher: RandomState::new(),
            young: HashMap::new(),
            old: HashMap::new(),
            young_since: Time(0),
        }
    }

    /// A client connects.
    pub(crate) fn connects(&mut self, client_id: &str, now: Time) -> Seen {
        let window = self.rules.window.as_millis() as u64;
        let since = now.since(self.young_since);
        let full = self.young.len() >= self.half;
        let mut forgotten = 0;
        if full || since > window {
            // Who is in the older half has not connected since the younger one began.
            forgotten = if since > window { 0 } else { self.old.len() };
            self.old = std::mem::take(&mut self.young);
            self.young_since = now;
        }
        let key = self.hasher.hash_one(client_id);
        let max = usize::from(self.rules.max);
        let known = self.old.remove(&key);
        let times = self.young.entry(key).or_insert_with(|| {
            known.unwrap_or_else(|| Times {
                ring: vec![Time::NEVER; max].into(),
                at: 0,
            })
        });
        // The one that was `max` connections ago gives its place to this one.
        let before = std::mem::replace(&mut times.ring[times.at], now);
        times.at = (times.at + 1) % max;
        let flaps = before != Time::NEVER && now.since(before) <= window;
        if flaps {
            // When its ban is over it begins anew.
            self.young.remove(&key);
        }
        Seen { flaps, forgotten }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Flapping = Flapping {
        max: 3,
        window: Duration::from_secs(10),
        ban_for: Duration::from_secs(60),
    };

    fn flaps(recent: &mut Recent, id: &str, at: u64) -> bool {
        recent.connects(id, Time(at)).flaps
    }

    #[test]
    fn one_too_many_within_any_window_counts() {
        let mut recent = Recent::new(RULES, 100);
        let times = [0, 9_000, 9_500, 10_001, 18_000, 18_500, 20_002, 20_003];
        let seen = times.map(|at| flaps(&mut recent, "a", at));
        // 9,000, 9,500 and 10,001 are followed by 18,000.
        assert_eq!(
            seen,
            [false, false, false, false, true, false, false, false]
        );
        assert!(flaps(&mut recent, "a", 20_004));
        assert!(!flaps(&mut recent, "b", 20_004));
    }

    #[test]
    fn a_full_table_forgets_who_has_been_away_longest() {
        let mut recent = Recent::new(RULES, 8);
        let mut forgotten = 0;
        for n in 0..100 {
            // One that goes on connecting stays.
            let regular = recent.connects("regular", Time(n * 2_500));
            assert_eq!(regular.flaps, n % 4 == 3);
            let other = recent.connects(&format!("{n}"), Time(n * 2_500));
            forgotten += regular.forgotten + other.forgotten;
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert!(forgotten > 0);
    }

    #[test]
    fn others_do_not_make_a_flapping_client_forgotten_at_once() {
        let mut recent = Recent::new(RULES, 8);
        for n in 0..3 {
            assert!(!flaps(&mut recent, "a", n));
            assert!(!flaps(&mut recent, &format!("other {n}"), n));
        }
        assert!(flaps(&mut recent, "a", 4));
    }
}
