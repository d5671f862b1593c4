//! An even pace: so many a second, and after a pause one second's worth at once.

use std::num::NonZeroU32;

use ternmq_protocol::Time;

/// Microseconds in a second, and in a millisecond of [`Time`].
const SECOND: u64 = 1_000_000;
const PER_MS: u64 = 1_000;

/// The generic cell rate algorithm: 16 bytes and one comparison, whatever the rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Microseconds between two.
    every: u64,
    /// When the next one would be on time, in microseconds of the broker's clock.
    next: u64,
}

impl Pace {
    /// `None` for 0, which means without limit. Above 1,000,000 a second counts as that.
    pub(crate) fn per_second(rate: u32) -> Option<Self> {
        let rate = NonZeroU32::new(rate)?;
        let every = (SECOND / u64::from(rate.get())).max(1);
        Some(Self { every, next: 0 })
    }

    /// Takes one.
    ///
    /// # Errors
    /// It is too early; when it won't be any more.
    pub(crate) fn take(&mut self, now: Time) -> Result<(), Time> {
        let now = now.0 * PER_MS;
        let next = self.next.max(now);
        // With this one there would be more than a second's worth ahead of time.
        let ahead = next + self.every - now;
        if ahead > SECOND {
            return Err(Time((now + ahead - SECOND).div_ceil(PER_MS)));
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
    fn rates_beyond_the_clocks_step_hold_on_the_average() {
        let mut pace = Pace::per_second(10_000).unwrap();
        let all: usize = (1_000..3_000).map(|at| taken(&mut pace, at)).sum();
        assert_eq!(all, 10_000 + 19_990);
        assert!(Pace::per_second(0).is_none());
    }
}
