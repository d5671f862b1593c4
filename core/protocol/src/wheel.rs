//! Timers by the million: a hierarchical wheel with constant cost for setting and cancelling.

use crate::time::Time;

/// A running timer. It names one setting: after the timer fired or was cancelled it names nothing,
/// even when its place is in use again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    slot: u32,
    generation: u32,
}

/// Timers that each carry a token of the caller's.
///
/// Six rings of 64 buckets with a resolution of 1 ms, 64 ms and so on reach two years ahead; what
/// lies beyond is looked at again when it comes nearer. A timer is 24 bytes and stands in the list
/// of its bucket; cancelling takes it out at once, so dead timers cost neither memory nor a visit.
/// Each timer moves at most five times before it fires.
///
/// A deadline that moves with each packet needs no moving timer: let it fire, look, set it again.
#[derive(Clone, Debug)]
pub struct Wheel {
    slots: Vec<Slot>,
    /// First free slot.
    free: u32,
    len: usize,
    /// All before is done; deadlines in here have fired or are in `DUE`.
    now: u64,
    /// First slot of each bucket, ring by ring, and of `DUE`.
    heads: Box<[u32; BUCKETS]>,
    /// Which buckets of a ring are in use.
    used: [u64; RINGS],
}

impl Wheel {
    /// An empty wheel that begins at `now`.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            len: 0,
            now: now.0,
            heads: Box::new([NONE; BUCKETS]),
            used: [0; RINGS],
        }
    }

    /// Sets a timer. It fires with the first [`poll`](Self::poll) at or after `deadline`; one in
    /// the past with the next.
    ///
    /// # Panics
    /// With 2^31 timers, 48 GiB of them.
    pub fn set(&mut self, deadline: Time, token: u32) -> Timer {
        let slot = self.take_slot();
        let entry = &mut self.slots[slot as usize];
        entry.deadline = deadline.0;
        entry.token = token;
        let timer = Timer {
            slot,
            generation: entry.generation,
        };
        self.link(slot);
        self.len += 1;
        timer
    }

    /// Cancels a timer; false when it has fired or was cancelled before.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        let running = self
            .slots
            .get(timer.slot as usize)
            .is_some_and(|slot| slot.generation == timer.generation && slot.previous != NONE);
        if running {
            self.unlink(timer.slot);
            self.release(timer.slot);
        }
        running
    }

    /// The token of one timer whose deadline is not after `now`; `None` when there is none left.
    ///
    /// Call it until `None`, or stop after so many and go on later: those due stay first, and can
    /// still be cancelled. Timers fire in the order of their deadlines, those of one millisecond in
    /// any order.
    pub fn poll(&mut self, now: Time) -> Option<u32> {
        while self.heads[DUE] == NONE {
            let (bucket, start) = self.next_bucket()?;
            if start > now.0 {
                break;
            }
            self.now = self.now.max(start);
            self.empty(bucket);
        }
        let slot = self.heads[DUE];
        if slot == NONE {
            self.now = self.now.max(now.0);
            return None;
        }
        self.unlink(slot);
        self.release(slot);
        Some(self.slots[slot as usize].token)
    }

    /// When to call [`poll`](Self::poll) again; `None` without timers.
    ///
    /// Never later than the earliest deadline. It may be earlier, by the resolution of the ring
    /// that one is in: then `poll` moves it nearer and gives nothing.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if self.heads[DUE] != NONE {
            return Some(Time(self.now));
        }
        self.next_bucket().map(|(_, start)| Time(start))
    }

    /// Running timers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without a running timer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn take_slot(&mut self) -> u32 {
        let slot = self.free;
        if slot != NONE {
            self.free = self.slots[slot as usize].next;
            return slot;
        }
        let slot = self.slots.len() as u32;
        assert!(slot < BUCKET, "fewer than 2^31 timers");
        self.slots.push(Slot {
            deadline: 0,
            token: 0,
            generation: 0,
            next: NONE,
            previous: NONE,
        });
        slot
    }

    fn release(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = slot;
        self.len -= 1;
    }

    /// Puts a slot at the head of the bucket for its deadline.
    fn link(&mut self, slot: u32) {
        let bucket = self.bucket_for(self.slots[slot as usize].deadline);
        let next = std::mem::replace(&mut self.heads[bucket], slot);
        if let Some(next) = self.slots.get_mut(next as usize) {
            next.previous = slot;
        }
        let entry = &mut self.slots[slot as usize];
        entry.next = next;
        entry.previous = BUCKET | bucket as u32;
        if bucket != DUE {
            self.used[bucket / RING] |= 1 << (bucket % RING);
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { next, previous, .. } = self.slots[slot as usize];
        if let Some(next) = self.slots.get_mut(next as usize) {
            next.previous = previous;
        }
        if previous & BUCKET == 0 {
            self.slots[previous as usize].next = next;
        } else {
            let bucket = (previous & !BUCKET) as usize;
            self.heads[bucket] = next;
            if next == NONE && bucket != DUE {
                self.used[bucket / RING] &= !(1 << (bucket % RING));
            }
        }
        self.slots[slot as usize].previous = NONE;
    }

    /// The ring is that of the highest digit, in base 64, in which deadline and now differ; the
    /// bucket is that digit of the deadline. So whatever is in a lower ring comes first.
    fn bucket_for(&self, deadline: u64) -> usize {
        if deadline <= self.now {
            return DUE;
        }
        let differ = 63 - (deadline ^ self.now).leading_zeros() as usize;
        let ring = differ / DIGIT;
        if ring < TOP {
            return ring * RING + (deadline >> (ring * DIGIT)) as usize % RING;
        }
        // Only the top ring goes round. What is beyond it waits in the bucket visited last.
        let turn = (deadline >> (TOP * DIGIT)).min((self.now >> (TOP * DIGIT)) + RING as u64 - 1);
        TOP * RING + turn as usize % RING
    }

    /// The bucket in use that begins first, and when.
    fn next_bucket(&self) -> Option<(usize, u64)> {
        let ring = self.used.iter().position(|used| *used != 0)?;
        let here = (self.now >> (ring * DIGIT)) as usize % RING;
        let ahead = self.used[ring].rotate_right(here as u32).trailing_zeros() as usize;
        let bucket = (here + ahead) % RING;
        let turn = (self.now >> (ring * DIGIT)) + ahead as u64;
        Some((ring * RING + bucket, turn << (ring * DIGIT)))
    }

    /// Moves all timers of a bucket that has begun to where they belong now.
    fn empty(&mut self, bucket: usize) {
        let mut slot = std::mem::replace(&mut self.heads[bucket], NONE);
        self.used[bucket / RING] &= !(1 << (bucket % RING));
        while slot != NONE {
            let next = self.slots[slot as usize].next;
            self.link(slot);
            slot = next;
        }
    }
}

const DIGIT: usize = 6;
const RING: usize = 1 << DIGIT;
const RINGS: usize = 6;
const TOP: usize = RINGS - 1;
/// The list of timers that fire with the next poll.
const DUE: usize = RINGS * RING;
const BUCKETS: usize = DUE + 1;
const NONE: u32 = u32::MAX;
/// Marks a `previous` that is a bucket and not a slot.
const BUCKET: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Slot {
    deadline: u64,
    token: u32,
    generation: u32,
    /// In the bucket, or among the free.
    next: u32,
    /// The slot before, or the bucket with `BUCKET` set; `NONE` when free.
    previous: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;
    use std::collections::BTreeMap;

    #[test]
    fn fires_at_the_deadline_and_not_before() {
        for start in [0, 1, 63, (1 << 36) - 2, 1_700_000_000_000] {
            for after in [
                0,
                1,
                5,
                63,
                64,
                65,
                4_095,
                4_096,
                90_000,
                604_800_000,
                1 << 40,
            ] {
                let mut wheel = Wheel::new(Time(start));
                wheel.set(Time(start + after), 7);
                assert_eq!(
                    wheel.poll(Time(start + after - after.min(1))),
                    (after == 0).then_some(7)
                );
                let due = wheel.poll(Time(start + after));
                assert_eq!(due, (after > 0).then_some(7), "{start} {after}");
                assert_eq!((wheel.poll(Time(u64::MAX)), wheel.len()), (None, 0));
            }
        }
    }

    #[test]
    fn a_past_deadline_fires_next_and_never_never() {
        let mut wheel = Wheel::new(Time(100));
        wheel.set(Time(5), 1);
        wheel.set(Time::NEVER, 2);
        assert_eq!(wheel.next_deadline(), Some(Time(100)));
        assert_eq!(
            (wheel.poll(Time(100)), wheel.poll(Time(100))),
            (Some(1), None)
        );
        assert_eq!((wheel.poll(Time(1 << 60)), wheel.len()), (None, 1));
    }

    #[test]
    fn a_timer_names_one_setting() {
        let mut wheel = Wheel::new(Time(0));
        let old = wheel.set(Time(5), 1);
        assert!(wheel.cancel(old));
        assert!(!wheel.cancel(old));
        let new = wheel.set(Time(5), 2);
        assert_eq!(new.slot, old.slot);
        assert!(!wheel.cancel(old), "the place is another timer's now");
        assert_eq!(wheel.poll(Time(5)), Some(2));
        assert!(!wheel.cancel(new), "fired");
    }

    #[test]
    fn what_is_due_can_still_be_cancelled() {
        let mut wheel = Wheel::new(Time(0));
        let timers: Vec<Timer> = (0..10).map(|token| wheel.set(Time(5), token)).collect();
        let first = wheel.poll(Time(9)).unwrap();
        let cancelled = timers.iter().filter(|timer| wheel.cancel(**timer)).count();
        assert_eq!(
            (first < 10, cancelled, wheel.poll(Time(9))),
            (true, 9, None)
        );
    }

    #[test]
    fn agrees_with_an_ordered_map() {
        for seed in 0..30 {
            agrees_from(&mut Seeded::new(seed), seed * ((1 << 36) / 30));
        }
    }

    fn agrees_from(seeded: &mut Seeded, start: u64) {
        let mut now = start;
        let mut wheel = Wheel::new(Time(now));
        // Token to deadline, place in the order of firing, and handle.
        let mut model: BTreeMap<u32, (u64, u64, Timer)> = BTreeMap::new();
        for token in 0..4_000 {
            match seeded.below(8) {
                0..4 => {
                    let span = 1u64 << seeded.below(40);
                    let deadline = (now + seeded.next() % span).saturating_sub(seeded.next() % 3);
                    let timer = wheel.set(Time(deadline), token);
                    model.insert(token, (deadline, deadline.max(wheel.now), timer));
                }
                4 => {
                    let Some(victim) = model.keys().nth(seeded.below(model.len().max(1))).copied()
                    else {
                        continue;
                    };
                    let (.., timer) = model.remove(&victim).unwrap();
                    assert!(wheel.cancel(timer) && !wheel.cancel(timer));
                }
                step => {
                    now = match (step, wheel.next_deadline()) {
                        (5, Some(next)) => now.max(next.0),
                        _ => now + seeded.next() % (1 << seeded.below(34)),
                    };
                    let mut last = 0;
                    let patience = if seeded.one_in(4) { 3 } else { usize::MAX };
                    for _ in 0..patience {
                        let Some(fired) = wheel.poll(Time(now)) else {
                            assert!(model.values().all(|(deadline, ..)| *deadline > now));
                            break;
                        };
                        let (deadline, turn, _) = model.remove(&fired).expect("runs once");
                        assert!(deadline <= now);
                        assert!(turn >= last, "out of order");
                        last = turn;
                    }
                }
            }
            assert_eq!(wheel.len(), model.len());
            let earliest = model.values().map(|(deadline, ..)| *deadline).min();
            let next = wheel.next_deadline().map(|next| next.0);
            assert!(
                next.is_some() == earliest.is_some()
                    && next <= earliest.map(|at| at.max(wheel.now))
            );
        }
    }

    #[test]
    fn a_timer_is_24_bytes_and_its_place_is_used_again() {
        assert_eq!((size_of::<Slot>(), size_of::<Timer>()), (24, 8));
        let mut wheel = Wheel::new(Time(0));
        for n in 0..10_000u64 {
            let timer = wheel.set(Time(n + 1_000_000), 0);
            wheel.set(Time(n), 0);
            assert!(wheel.cancel(timer) && wheel.poll(Time(n)).is_some());
        }
        assert!(wheel.slots.len() <= 2 && wheel.is_empty());
    }
}
