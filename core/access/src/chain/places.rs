//! How many may ask a back end at a time, and how many wait for that.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Questions at a time. Whoever asks or waits holds one thread of the hooks, so that the sum of both is what a
/// back end that hangs can take from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Questions that are put to it at a time; 0: as many as there are threads.
    pub asking: usize,
    /// Questions that wait for that; one more gets no answer.
    pub waiting: usize,
    /// For how long one waits.
    pub patience: Duration,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            asking: 0,
            waiting: 8,
            patience: Duration::from_secs(2),
        }
    }
}

/// Those who ask and those who wait.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    free: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) asking: usize,
    pub(super) waiting: usize,
}

/// Somebody asks, until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Places);

impl Places {
    /// A place, at once or after some patience; `None`: there are too many already.
    pub(super) fn take(&self, crowd: Crowd) -> Option<Place<'_>> {
        let limit = if crowd.asking == 0 {
            usize::MAX
        } else {
            crowd.asking
        };
        let mut taken = self.taken();
        if taken.asking >= limit {
            if taken.waiting >= crowd.waiting {
                return None;
            }
            taken.waiting += 1;
            let until = Instant::now() + crowd.patience;
            while taken.asking >= limit {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let woken = self.free.wait_timeout(taken, left);
                taken = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            taken.waiting -= 1;
            if taken.asking >= limit {
                return None;
            }
        }
        taken.asking += 1;
        Some(Place(self))
    }

    pub(super) fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken().asking -= 1;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_ask_so_many_wait_and_one_more_does_neither() {
        let (places, crowd) = (
            Places::default(),
            Crowd {
                asking: 2,
                waiting: 1,
                patience: Duration::from_secs(600),
            },
        );
        let first = places.take(crowd).unwrap();
        let second = places.take(crowd).unwrap();
        std::thread::scope(|scope| {
            let third = scope.spawn(|| places.take(crowd).is_some());
            while places.taken().waiting == 0 {
                std::thread::yield_now();
            }
            assert!(places.take(crowd).is_none());
            drop(first);
            assert!(third.join().unwrap());
        });
        drop(second);
        assert_eq!(*places.taken(), Taken::default());
    }

    #[test]
    fn nobody_waits_for_longer_than_the_patience_and_without_a_limit_nobody_at_all() {
        let places = Places::default();
        let mut crowd = Crowd {
            asking: 1,
            waiting: 1,
            patience: Duration::from_millis(1),
        };
        let first = places.take(crowd).unwrap();
        assert!(places.take(crowd).is_none());
        assert_eq!(places.taken().waiting, 0);
        crowd.asking = 0;
        let all: Vec<_> = (0..100).map(|_| places.take(crowd).unwrap()).collect();
        drop((first, all));
        assert_eq!(*places.taken(), Taken::default());
    }
}
