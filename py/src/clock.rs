//! The one clock of the package.

use std::sync::LazyLock;
use std::time::Instant;

use ternmq_protocol::Time;

/// Milliseconds since the first question.
pub(crate) fn now() -> Time {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Time(START.elapsed().as_millis() as u64)
}
