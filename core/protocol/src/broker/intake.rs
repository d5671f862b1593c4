//! Input that is kept, and who has to go when it is too much.
//!
//! A shard keeps the beginning of a packet until its rest comes, a CONNECT until it is answered, and
//! what waits its turn. Each connection is bounded by itself (the largest packet, [`Limits`]), and all of
//! them by [`SumLimits::input_bytes`](super::SumLimits::input_bytes). Beyond that a connection is ended: the
//! one whose packet has been on its way for longest, if that is longer than [`PATIENCE_MS`]; else the one
//! that keeps most, and of several about as large the one that began first.
//!
//! # Why this one
//! - *Not to read on* until the others have finished would hold all of them up for ever, once the limit
//!   is full of packets none of which is whole. Ending one makes room at once and waits for nobody, so
//!   nothing can lock.
//! - *Who comes last* would let those who sit on their half packets shut out everybody else.
//! - *Who has been at it for longest*: an honest packet is on its way for a short time, and one that drips
//!   in, or never ends, is not. So nobody keeps large packets of others out by sitting on many small
//!   parts; who tries has to send them again and again.
//! - *Who keeps most*: at least half of the average of all who keep anything worth counting, so that
//!   nobody is hit whose packets come quickly and who keeps less than half of a fair share.
//! - *Never who sends packets of up to 4 KiB*: these are not even in the list.
//!
//! Sizes are compared by their powers of two, so that a packet that grows moves a few times and not
//! with each read.

use super::connection::Stage;
use super::explain::words_for;
use super::links::Links;
use super::out::Out;
use super::shard::Shard;
use super::sums::ALLOWANCE;
use crate::reason::ReasonCode;
use crate::time::Time;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds that a packet may be on its way before its connection is the first to go when there is no
/// room.
const PATIENCE_MS: u64 = 10_000;

/// The connections that keep more than [`ALLOWANCE`].
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// By size as a power of two, the largest in front, then by their turn.
    by_size: BTreeSet<(Reverse<u32>, u64, u32)>,
    /// By their turn, with when it began.
    by_turn: BTreeMap<u64, (Time, u32)>,
    /// Where each stands.
    places: HashMap<u32, (Reverse<u32>, u64)>,
    /// Turns so far: a connection gets one when it begins to keep so much, and with each packet that is
    /// whole another one.
    turns: u64,
    now: Time,
}

impl Intake {
    /// A connection keeps so many bytes now. `anew`: of a packet that has just begun.
    fn set(&mut self, conn: u32, bytes: usize, anew: bool) {
        let size = Reverse(bytes.max(1).ilog2());
        let known = self.places.get(&conn).copied();
        let stays = bytes > ALLOWANCE;
        if known.is_some_and(|(before, _)| before == size) && stays && !anew {
            return;
        }
        if let Some((before, turn)) = known {
            self.by_size.remove(&(before, turn, conn));
            if stays && !anew {
                return self.enter(conn, size, turn);
            }
            self.places.remove(&conn);
            self.by_turn.remove(&turn);
        }
        if stays {
            self.turns += 1;
            self.by_turn.insert(self.turns, (self.now, conn));
            self.enter(conn, size, self.turns);
        }
    }

    fn enter(&mut self, conn: u32, size: Reverse<u32>, turn: u64) {
        self.places.insert(conn, (size, turn));
        self.by_size.insert((size, turn, conn));
    }

    /// Who has to go next.
    fn next_to_go(&self) -> Option<u32> {
        let (since, oldest) = *self.by_turn.first_key_value()?.1;
        if self.now.since(since) > PATIENCE_MS {
            return Some(oldest);
        }
        self.by_size.first().map(|(.., conn)| *conn)
    }
}

impl Links {
    /// Counts anew what a connection keeps of its input.
    pub(super) fn count_input(&mut self, id: u32) {
        self.count_input_of(id, false);
    }

    /// The same; `anew`: of a packet that has just begun.
    fn count_input_of(&mut self, id: u32, anew: bool) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let bytes = conn.input_kept();
        // Bounded by the size of a packet, far below 4 GiB.
        let before = std::mem::replace(&mut conn.input_bytes, bytes as u32) as usize;
        if bytes != before || anew && bytes > ALLOWANCE {
            self.stats.input_bytes = self.stats.input_bytes + bytes as u64 - before as u64;
            // Small input stands in no list, before or after.
            if bytes.max(before) > ALLOWANCE {
                self.intake.set(id, bytes, anew);
            }
        }
    }
}

impl Shard {
    /// A connection has had input. Ends connections while what is kept of all exceeds its limit.
    ///
    /// `anew`: a packet of it was whole.
    pub(super) fn bound_input(&mut self, id: u32, anew: bool, now: Time, out: &mut Out) {
        self.links.intake.now = now;
        self.links.count_input_of(id, anew);
        let limit = self.links.limits.sums.input_bytes as u64;
        while self.links.stats.input_bytes > limit {
            let Some(id) = self.links.intake.next_to_go() else {
                return; // all of them keep what each may always keep
            };
            self.links.stats.over_limit.shard_input_bytes += 1;
            let reason = ReasonCode::QUOTA_EXCEEDED;
            match self.links.conns[id].stage {
                Stage::Admission | Stage::Authenticating => self.refuse_with(id, reason, out),
                _ => self.end(id, reason, words_for(reason), now, out),
            }
            debug_assert_ne!(self.links.intake.next_to_go(), Some(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;

    #[test]
    fn the_largest_goes_first_and_of_these_the_one_that_began_first() {
        let mut intake = Intake::default();
        for (conn, bytes) in [(1, 5_000), (2, 9_000), (3, 16_000), (4, 4_096), (5, 9_500)] {
            intake.set(conn, bytes, false);
        }
        // Another packet is another turn.
        intake.set(2, 9_100, true);
        let mut gone = Vec::new();
        while let Some(conn) = intake.next_to_go() {
            gone.push(conn);
            intake.set(conn, 0, false);
        }
        assert_eq!(gone, [3, 5, 2, 1]);
        assert!(intake.by_size.is_empty() && intake.by_turn.is_empty());
        assert!(intake.places.is_empty());
    }

    #[test]
    fn whose_packet_takes_too_long_goes_before_larger_ones() {
        let mut intake = Intake::default();
        intake.set(1, 5_000, false);
        intake.set(2, 6_000, false);
        intake.now = Time(PATIENCE_MS);
        intake.set(3, 1_000_000, false);
        assert_eq!(intake.next_to_go(), Some(3));
        // Growing doesn't make it younger, but the next packet does.
        intake.now = Time(PATIENCE_MS + 1);
        intake.set(1, 50_000, false);
        intake.set(2, 60_000, true);
        assert_eq!(intake.next_to_go(), Some(1));
        intake.set(1, 0, false);
        assert_eq!(intake.next_to_go(), Some(3));
    }

    /// Whoever goes in time keeps at least half of what each would have if all had the same.
    #[test]
    fn nobody_below_half_of_a_fair_share_goes() {
        let (mut intake, mut kept, mut seeded) =
            (Intake::default(), vec![0_usize; 50], Seeded::new(3));
        for _ in 0..20_000 {
            let conn = seeded.below(kept.len());
            let most = 1 << (8 + seeded.below(14));
            kept[conn] = seeded.below(most);
            intake.set(conn as u32, kept[conn], seeded.one_in(2));
            let listed: Vec<usize> = kept.iter().copied().filter(|b| *b > ALLOWANCE).collect();
            assert_eq!(intake.by_size.len(), listed.len());
            assert_eq!(intake.by_turn.len(), listed.len());
            if let Some(largest) = intake.next_to_go() {
                let fair = listed.iter().sum::<usize>() / listed.len();
                assert!(kept[largest as usize] >= fair / 2);
            }
        }
    }
}
