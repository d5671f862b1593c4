//! When a back end that has failed is left alone.

use std::time::{Duration, Instant};

/// How many failures are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Failures in a row after which a back end is not asked any more; 0: it always is.
    pub failures: u32,
    /// For how long. Then one question is let through, and what comes of it decides.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(5),
        }
    }
}

/// Counts failures in a row. Whoever is let through has to tell what came of it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// Since when it is left alone, or somebody tries it; until then plus the pause nobody does.
    open: Option<Instant>,
}

impl Breaker {
    /// Whether a question may be put now.
    pub(super) fn lets_through(&mut self, patience: Patience, now: Instant) -> bool {
        match self.open {
            None => true,
            Some(since) if now.saturating_duration_since(since) < patience.pause => false,
            // One tries; the others wait as long again.
            Some(_) => {
                self.open = Some(now);
                true
            }
        }
    }

    /// Whether nobody may put a question now; unlike with [`Breaker::lets_through`] nobody is let through.
    pub(super) fn is_shut(&self, patience: Patience, now: Instant) -> bool {
        self.open
            .is_some_and(|since| now.saturating_duration_since(since) < patience.pause)
    }

    /// It has answered. Whether it had been left alone.
    pub(super) fn answered(&mut self) -> bool {
        self.failures = 0;
        self.open.take().is_some()
    }

    /// It has not. Whether it is left alone from now on and was not before.
    pub(super) fn failed(&mut self, patience: Patience, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if patience.failures == 0 || self.failures < patience.failures {
            return false;
        }
        self.open.replace(now).is_none()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_failures_in_a_row_it_is_left_alone_and_then_tried_by_one() {
        let patience = Patience {
            failures: 2,
            pause: Duration::from_secs(5),
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(patience, at(0)));
        assert!(!breaker.answered(), "it was not left alone");
        assert!(!breaker.failed(patience, at(0)), "not in a row");
        assert!(breaker.lets_through(patience, at(0)));
        assert!(breaker.failed(patience, at(1)) && breaker.is_open());
        // Who was under way already fails as well, which is no news.
        assert!(!breaker.failed(patience, at(1)));
        assert!(!breaker.lets_through(patience, at(5)));
        assert!(breaker.is_shut(patience, at(5)) && !breaker.is_shut(patience, at(6)));
        assert!(breaker.lets_through(patience, at(6)));
        assert!(!breaker.lets_through(patience, at(6)), "one at a time");
        assert!(!breaker.failed(patience, at(7)));
        assert!(!breaker.lets_through(patience, at(11)));
        assert!(breaker.lets_through(patience, at(12)));
        assert!(breaker.answered() && !breaker.is_open());
        assert!(breaker.lets_through(patience, at(12)));
    }

    #[test]
    fn without_a_limit_it_is_always_asked() {
        let patience = Patience {
            failures: 0,
            ..Patience::default()
        };
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            assert!(!breaker.failed(patience, Instant::now()));
        }
        assert!(breaker.lets_through(patience, Instant::now()));
    }
}
