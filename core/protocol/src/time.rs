//! Time as the machines see it: a number that the driver passes in.

/// Milliseconds since a start that the driver chose. The machines never read a clock, so a test
/// or the simulator owns time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// A moment that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// The moment `ms` milliseconds later; saturates at [`Time::NEVER`].
    #[must_use]
    pub const fn after(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    /// The moment `seconds` later; saturates at [`Time::NEVER`].
    #[must_use]
    pub const fn after_seconds(self, seconds: u64) -> Time {
        self.after(seconds.saturating_mul(1000))
    }

    /// Milliseconds since `earlier`, 0 when `earlier` is not earlier.
    pub const fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds left until `self`, rounded up; 0 once it has passed.
    pub const fn seconds_left(self, now: Time) -> u64 {
        self.since(now).div_ceil(1000)
    }
}

/// A moment of the calendar: milliseconds since 1970-01-01 UTC, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub u64);

/// Which moment of the calendar a [`Time`] is. Given by the driver as a value wherever a deadline
/// leaves the machine for longer than the process lives, or comes back.
///
/// Between the two it is the distance from now that counts: a wall clock that was set anew moves no
/// deadline of a running machine, and those that are written afterwards are right by the new clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    now: Time,
    utc: UnixMs,
}

impl Clock {
    /// A clock that shows `utc` at `now`.
    #[must_use]
    pub const fn at(now: Time, utc: UnixMs) -> Self {
        Self { now, utc }
    }

    /// When it was made.
    #[must_use]
    pub const fn now(self) -> Time {
        self.now
    }

    /// What it showed then.
    #[must_use]
    pub const fn utc_now(self) -> UnixMs {
        self.utc
    }

    /// The moment of a deadline; `None` for [`Time::NEVER`].
    #[must_use]
    pub const fn utc(self, time: Time) -> Option<UnixMs> {
        if time.0 == Time::NEVER.0 {
            return None;
        }
        let utc = if time.0 >= self.now.0 {
            self.utc.0.saturating_add(time.0 - self.now.0)
        } else {
            self.utc.0.saturating_sub(self.now.0 - time.0)
        };
        Some(UnixMs(utc))
    }

    /// The deadline of a moment. One from before the machine's time began is at its beginning, so a
    /// driver that wants those told apart begins to count early enough.
    #[must_use]
    pub const fn time(self, utc: Option<UnixMs>) -> Time {
        let Some(utc) = utc else {
            return Time::NEVER;
        };
        if utc.0 >= self.utc.0 {
            self.now.after(utc.0 - self.utc.0)
        } else {
            Time(self.now.0.saturating_sub(self.utc.0 - utc.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_maps_both_ways_and_saturates() {
        let clock = Clock::at(Time(500), UnixMs(1_000_000));
        for ms in [0, 499, 500, 501, 9_999_999] {
            let utc = clock.utc(Time(ms)).unwrap();
            assert_eq!(utc.0, 1_000_000 + ms - 500);
            assert_eq!(clock.time(Some(utc)), Time(ms));
        }
        assert_eq!(clock.utc(Time::NEVER), None);
        assert_eq!(clock.time(None), Time::NEVER);
        assert_eq!(clock.time(Some(UnixMs(0))), Time(0));
        assert_eq!(clock.time(Some(UnixMs(u64::MAX))), Time(u64::MAX - 999_500));
        let early = Clock::at(Time(500), UnixMs(100));
        assert_eq!(early.utc(Time(0)), Some(UnixMs(0)));
    }
}
