//! An even pace: so many a second, and after a pause one second's worth at once.

use std::num::NonZeroU32;

use ternmq_protocol::Time;

/// Microseconds in a second, and in a millisecond of [`Time`].
const SECOND: u64 = 1_000_000;
const PER_MS: u64 = 1_000;

/// What an even pace may be ahead of time, in microseconds: a thread's turn may be late by some of it.
const EVEN: u64 = 10_000;

/// The generic cell rate algorithm: 24 bytes and one comparison, whatever the rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Microseconds between two.
    every: u64,
    /// How far ahead of time one may be, in microseconds.
    ahead: u64,
    /// When the next one would be on time, in microseconds of the broker's clock.
    next: u64,
}

impl Pace {
    /// `None` for 0, which means without limit. Above 1,000,000 a second counts as that.
    pub(crate) fn per_second(rate: u32) -> Option<Self> {
        let rate = NonZeroU32::new(rate)?;
        let every = (SECOND / u64::from(rate.get())).max(1);
        Some(Self {
            every,
            ahead: SECOND,
            next: 0,
        })
    }

    /// The same without more at once than the clock's steps ask for.
    pub(crate) fn evenly(rate: u32) -> Option<Self> {
        let pace = Self::per_second(rate)?;
        Some(Self {
            ahead: pace.every.max(EVEN),
            ..pace
        })
    }

    /// Takes one.
    ///
    /// # Errors
    /// It is too early; when it won't be any more.
    pub(crate) fn take(&mut self, now: Time) -> Result<(), Time> {
        let now = now.0 * PER_MS;
        let next = self.next.max(now);
        let ahead = next + self.every - now;
        if ahead > self.ahead {
            return Err(Time((now + ahead - self.ahead).div_ceil(PER_MS)));
        }
        self.next = next + self.every;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pace: &mut Pace, at: u64) -> usize {
        (0..).take_while(|_| pace.take(Time(at)).is_ok()).count()
    }

    #[test]
    fn a_seconds_worth_at_once_and_then_one_at_a_time() {
        let mut pace = Pace::per_second(10).unwrap();
        assert_eq!(taken(&mut pace, 5_000), 10);
        assert_eq!(pace.take(Time(5_000)), Err(Time(5_100)));
        assert_eq!(taken(&mut pace, 5_099), 0);
        assert_eq!(taken(&mut pace, 5_100), 1);
        assert_eq!(taken(&mut pace, 5_350), 2);
        assert_eq!(taken(&mut pace, 60_000), 10);
    }

    #[test]
    fn an_even_pace_has_no_burst() {
        let mut pace = Pace::evenly(10).unwrap();
        let taken: Vec<usize> = (0..5).map(|n| taken(&mut pace, 5_000 + 50 * n)).collect();
        assert_eq!(taken, [1, 0, 1, 0, 1]);
        let mut pace = Pace::evenly(2_000).unwrap();
        let all: usize = (1_000..2_000)
            .map(|at| super::tests::taken(&mut pace, at))
            .sum();
        assert_eq!(all, 20 + 1_998);
    }

    #[test]
    fn rates_beyond_the_clocks_step_hold_on_the_average() {
        let mut pace = Pace::per_second(10_000).unwrap();
        let all: usize = (1_000..3_000).map(|at| taken(&mut pace, at)).sum();
        assert_eq!(all, 10_000 + 19_990);
        assert!(Pace::per_second(0).is_none());
    }
}
