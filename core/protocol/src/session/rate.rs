//! How much may pass in which time: buckets that fill at a steady rate.

use crate::time::Time;
use std::sync::atomic::{AtomicU64, Ordering};

/// A rate: so many a second, and how many at once after a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Units a second, 0 without limit; at most a billion count.
    pub per_second: u64,
    /// Units that may pass at once when nothing has passed for a while; 0 is one second's worth.
    pub burst: u64,
}

/// A debt that takes longer than this to pay back is forgiven: one packet of 16 MiB may be worth hours
/// of a slow rate, and nobody is to be locked out for so long by one packet.
const LONGEST_DEBT_NS: u64 = 60_000 * MS;

const MS: u64 = 1_000_000;

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self {
        per_second: 0,
        burst: 0,
    };

    /// So many a second, and one second's worth at once.
    #[must_use]
    pub const fn per_second(per_second: u64) -> Self {
        Self {
            per_second,
            burst: 0,
        }
    }

    /// Whether everything passes.
    #[must_use]
    pub const fn is_unlimited(self) -> bool {
        self.per_second == 0
    }

    fn nanoseconds(self, units: u64) -> u64 {
        let rate = self.per_second.clamp(1, 1_000_000_000);
        units.saturating_mul(1_000_000_000) / rate
    }

    fn tolerance(self) -> u64 {
        match self.burst {
            0 => self.nanoseconds(self.per_second),
            burst => self.nanoseconds(burst),
        }
    }

    /// When one more unit may pass; `None` for now. `paid` is when all that has passed is paid for.
    fn wait(self, paid: u64, now: Time) -> Option<Time> {
        if self.is_unlimited() {
            return None;
        }
        let due = paid.saturating_add(self.nanoseconds(1));
        let at = due.saturating_sub(self.tolerance()).div_ceil(MS);
        (at > now.0).then_some(Time(at))
    }

    /// When all is paid for, once so many units more have passed.
    fn charge(self, paid: u64, now: Time, units: u64) -> u64 {
        let now = now.0.saturating_mul(MS);
        let paid = paid.max(now).saturating_add(self.nanoseconds(units));
        paid.min(
            now.saturating_add(self.tolerance())
                .saturating_add(LONGEST_DEBT_NS),
        )
    }
}

/// What has passed at one [`Rate`]. It starts with a full burst.
///
/// One may pass more than there is credit for, as the size of a packet is known when it is there; the
/// debt is waited for afterwards. So over time the rate is kept exactly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    paid: u64,
}

impl Bucket {
    /// When something may pass again; `None` for now.
    #[must_use]
    pub fn wait(self, rate: Rate, now: Time) -> Option<Time> {
        rate.wait(self.paid, now)
    }

    /// When all that has passed is paid for: from then on it is like a new one.
    #[must_use]
    pub const fn paid_at(self) -> Time {
        Time(self.paid.div_ceil(MS))
    }

    /// So many units have passed.
    pub fn charge(&mut self, rate: Rate, now: Time, units: u64) {
        if !rate.is_unlimited() {
            self.paid = rate.charge(self.paid, now, units);
        }
    }
}

/// A [`Bucket`] for several threads.
#[derive(Debug, Default)]
pub struct SharedBucket {
    paid: AtomicU64,
}

impl SharedBucket {
    /// When something may pass again; `None` for now.
    pub fn wait(&self, rate: Rate, now: Time) -> Option<Time> {
        rate.wait(self.paid.load(Ordering::Relaxed), now)
    }

    /// So many units have passed.
    pub fn charge(&self, rate: Rate, now: Time, units: u64) {
        if !rate.is_unlimited() {
            let charge = |paid| Some(rate.charge(paid, now, units));
            let order = Ordering::Relaxed;
            // It always has a next value.
            let _ = self.paid.fetch_update(order, order, charge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;

    /// Lets as much pass as may until `end`; how many units.
    fn pass(rate: Rate, bucket: &mut Bucket, end: u64, units: &mut dyn FnMut() -> u64) -> u64 {
        let (mut now, mut passed) = (Time(0), 0);
        while now.0 < end {
            match bucket.wait(rate, now) {
                Some(at) => {
                    assert!(at > now);
                    now = at;
                }
                None => {
                    let units = units();
                    passed += units;
                    bucket.charge(rate, now, units);
                }
            }
        }
        passed
    }

    #[test]
    fn the_rate_is_kept_over_time_and_the_burst_at_once() {
        let mut seeded = Seeded::new(3);
        for (per_second, burst) in [(1, 1), (7, 3), (100, 0), (1000, 5000), (1_000_000, 64_000)] {
            let rate = Rate { per_second, burst };
            let at_once = if burst == 0 { per_second } else { burst };
            let mut bucket = Bucket::default();
            // One wait for a bucket in credit costs a millisecond at most.
            let passed = pass(rate, &mut bucket, 100_000, &mut || 1);
            let most = 100 * per_second + at_once;
            let least = match per_second {
                1_000_000 => 64 * 1_000_000,
                _ => most - at_once,
            };
            assert!((least..=most).contains(&passed), "{rate:?}: {passed}");
            let largest = at_once.div_ceil(2);
            let mut bucket = Bucket::default();
            let passed = pass(rate, &mut bucket, 100_000, &mut || {
                1 + seeded.below(largest as usize) as u64
            });
            assert!(passed <= most + largest, "{rate:?}: {passed}");
        }
    }

    #[test]
    fn a_full_burst_passes_at_once_and_no_more() {
        let rate = Rate {
            per_second: 10,
            burst: 4,
        };
        let (mut own, shared) = (Bucket::default(), SharedBucket::default());
        let now = Time(1_000_000);
        for _ in 0..4 {
            assert_eq!((own.wait(rate, now), shared.wait(rate, now)), (None, None));
            own.charge(rate, now, 1);
            shared.charge(rate, now, 1);
        }
        let then = Some(now.after(100));
        assert_eq!((own.wait(rate, now), shared.wait(rate, now)), (then, then));
        assert_eq!(own.wait(rate, now.after(100)), None);
    }

    #[test]
    fn nobody_is_locked_out_for_long_and_unlimited_is_unlimited() {
        let rate = Rate::per_second(1);
        let mut bucket = Bucket::default();
        bucket.charge(rate, Time(5), u64::MAX);
        assert!(bucket.wait(rate, Time(5)).unwrap() <= Time(5).after(62_000));
        bucket.charge(Rate::UNLIMITED, Time(5), u64::MAX);
        assert_eq!(bucket.wait(Rate::UNLIMITED, Time(5)), None);
    }
}
