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
