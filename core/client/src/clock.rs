//! The process's clock: what the pure machines get as [`Time`].

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ternmq_protocol::Time;

/// The moment that [`Time`] 0 stands for: the first look at the clock in this process.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    // One second back, so that "before the first look" can be said too.
    *START.get_or_init(|| {
        let now = Instant::now();
        now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
    })
}

/// Nanoseconds on the same axis as [`now`]; for what is shorter than a millisecond.
pub(crate) fn nanos() -> u64 {
    u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The present as the machines count it.
pub(crate) fn now() -> Time {
    from_nanos(nanos())
}

/// A reading of [`nanos`] as the machines count it.
pub(crate) const fn from_nanos(nanos: u64) -> Time {
    Time(nanos / 1_000_000)
}

/// How long a wait until `deadline` may last; `None` is for ever. Rounded up, so that the deadline
/// has passed when the wait is over: a wait that ends early would be waited again.
pub(crate) fn until(deadline: Time) -> Option<Duration> {
    if deadline == Time::NEVER {
        return None;
    }
    let due = u128::from(deadline.0) * 1_000_000;
    let left = due.saturating_sub(u128::from(nanos()));
    Some(Duration::from_nanos(
        u64::try_from(left).unwrap_or(u64::MAX),
    ))
}

/// A duration in the machines' milliseconds, rounded up.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
