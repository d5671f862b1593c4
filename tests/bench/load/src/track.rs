//! What of one flow of messages has come.

use std::collections::BTreeSet;

/// From one publisher to one subscriber, or to all together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// All before this one have come.
    next: u64,
    /// What has come beyond a gap.
    beyond: BTreeSet<u64>,
}

/// What a message turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    /// New, and one with a higher number has come before.
    Late,
    Duplicate,
}

impl Track {
    pub(crate) fn arrive(&mut self, number: u64) -> Arrival {
        if number == self.next && self.beyond.is_empty() {
            self.next += 1;
            return Arrival::New;
        }
        if number < self.next || !self.beyond.insert(number) {
            return Arrival::Duplicate;
        }
        let late = self.beyond.last().is_some_and(|last| number < *last);
        while self.beyond.remove(&self.next) {
            self.next += 1;
        }
        if late { Arrival::Late } else { Arrival::New }
    }
}

#[cfg(test)]
mod tests {
    use super::Arrival::{Duplicate, Late, New};
    use super::*;

    #[test]
    fn gaps_repeats_and_disorder_are_told_apart() {
        let mut track = Track::default();
        let seen: Vec<_> = [0, 1, 3, 3, 2, 2, 4, 0]
            .into_iter()
            .map(|n| track.arrive(n))
            .collect();
        assert_eq!(
            seen,
            [New, New, New, Duplicate, Late, Duplicate, New, Duplicate]
        );
        assert!(track.beyond.is_empty());
    }
}
