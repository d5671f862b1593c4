//! Packet Identifiers of what this side sends (2.2.1).

/// Most identifiers one side has in use at a time.
///
/// Leaving a sixteenth of the 65,535 free bounds the search for a free one to 16 steps on average,
/// whatever the peer leaves unacknowledged. A sender may always use less than Receive Maximum.
pub const MAX_IDS_IN_USE: usize = 61_440;

/// Hands out Packet Identifiers in turn: 1, 2 ... 65,535, 1 ...
///
/// Only the place of the search is kept here, two bytes. Who is in use is known by whoever holds
/// the packets, and is asked. Taking turns, and not the lowest free one, keeps an id from returning
/// at once: a late second acknowledgement then finds nobody instead of the wrong message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketIds {
    last: u16,
}

impl PacketIds {
    /// Starts before 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: 0 }
    }

    /// The next identifier that is not 0 and not `in_use`; `None` when 61,440 are in use already.
    ///
    /// `used` is how many identifiers `in_use` answers true for. Constant time on average.
    pub fn next(&mut self, used: usize, in_use: impl Fn(u16) -> bool) -> Option<u16> {
        if used >= MAX_IDS_IN_USE {
            return None;
        }
        for _ in 0..=u16::MAX {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !in_use(self.last) {
                return Some(self.last);
            }
        }
        None
    }

    /// What [`next`](Self::next) would give.
    #[must_use]
    pub fn peek(mut self, used: usize, in_use: impl Fn(u16) -> bool) -> Option<u16> {
        self.next(used, in_use)
    }

    /// The identifier given out last, 0 before the first.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Goes on behind `id`, as after restoring a session.
    pub fn skip_to(&mut self, id: u16) {
        self.last = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;
    use std::cell::Cell;
    use std::collections::BTreeSet;

    // [MQTT-2.2.1-3] [MQTT-2.2.1-4]
    #[test]
    fn never_zero_and_never_in_use() {
        let mut ids = PacketIds::new();
        let mut used = BTreeSet::new();
        let mut seeded = Seeded::new(3);
        let mut order = Vec::new();
        for _ in 0..300_000 {
            if used.len() < 2000 && !seeded.one_in(3) {
                let id = ids.next(used.len(), |id| used.contains(&id)).unwrap();
                assert_ne!(id, 0);
                assert!(used.insert(id));
                order.push(id);
            } else if !order.is_empty() {
                let id = order.swap_remove(seeded.below(order.len()));
                used.remove(&id);
            }
        }
    }

    #[test]
    fn takes_turns_and_wraps_past_zero() {
        let mut ids = PacketIds::new();
        assert_eq!(
            (ids.next(0, |_| false), ids.next(0, |_| false)),
            (Some(1), Some(2))
        );
        ids.skip_to(u16::MAX - 1);
        assert_eq!(
            (ids.next(0, |_| false), ids.next(0, |_| false)),
            (Some(u16::MAX), Some(1))
        );
        assert_eq!(ids.next(2, |id| id < 40), Some(40));
    }

    #[test]
    fn refuses_past_the_limit_and_ends() {
        let mut ids = PacketIds::new();
        assert_eq!(ids.next(MAX_IDS_IN_USE, |_| false), None);
        assert_eq!(ids.next(0, |_| true), None, "a wrong count ends too");
    }

    #[test]
    fn search_is_short_on_average_at_the_limit() {
        // The peer leaves a solid block unacknowledged and always answers the newest.
        let mut ids = PacketIds::new();
        let steps = Cell::new(0u64);
        for _ in 0..50_000 {
            ids.next(MAX_IDS_IN_USE - 1, |id| {
                steps.set(steps.get() + 1);
                usize::from(id) < MAX_IDS_IN_USE
            });
        }
        assert!(steps.get() < 50_000 * 18, "{}", steps.get());
    }
}
