//! The retained store that all shards share: one map behind one lock, which only retained messages and
//! new subscriptions take.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_protocol::broker::retained::{Retained, RetainedLimits};
use ternmq_protocol::{Message, Time};

/// Topics looked at in one sweep: a fraction of a millisecond.
const SWEPT_AT_ONCE: usize = 1024;

/// Milliseconds between two sweeps while there are messages that expire.
pub(crate) const SWEEP_EVERY_MS: u64 = 5_000;

pub(crate) struct Store(Mutex<Retained<Message>>);

impl Store {
    pub(crate) fn new(limits: RetainedLimits) -> Self {
        Self(Mutex::new(Retained::new(limits)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Retained<Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets messages that have expired, some at a time; returns how many, and whether there are
    /// more that will.
    pub(crate) fn sweep(&self, now: Time) -> (u64, bool) {
        let mut expired = 0;
        let more = self.lock().sweep(now, SWEPT_AT_ONCE, |_| expired += 1);
        (expired, more)
    }

    /// Forgets all that have expired.
    pub(crate) fn sweep_all(&self, now: Time) -> (u64, bool) {
        let mut expired = 0;
        let mut retained = self.lock();
        // It goes on where it has stopped: to the end, and then from the beginning.
        retained.sweep(now, usize::MAX, |_| expired += 1);
        let more = retained.sweep(now, usize::MAX, |_| expired += 1);
        (expired, more)
    }
}
