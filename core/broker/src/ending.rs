//! How a broker ends, for whoever waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Failure;

/// The end of a broker, from [`Broker::ending`](crate::Broker::ending).
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<State>);

#[derive(Debug, Default)]
struct State {
    end: Mutex<End>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
struct End {
    failure: Option<Failure>,
    stopped: bool,
}

impl Ending {
    /// Waits until the broker has been stopped (`None`) or has failed. A process that is nothing
    /// without its broker waits here on a thread of its own, and ends when it fails.
    pub fn wait(&self) -> Option<Failure> {
        let going_on = |end: &mut End| end.failure.is_none() && !end.stopped;
        let changed = self.0.changed.wait_while(self.lock(), going_on);
        let end = changed.unwrap_or_else(PoisonError::into_inner);
        end.failure.clone()
    }

    /// Why the broker has ended by itself, if it has.
    pub fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    /// Runs the thread of a shard. However it ends, unless the broker was stopped, is a failure;
    /// the first one counts. Returns whether it was one.
    pub(crate) fn watch(&self, shard: usize, run: impl FnOnce() -> io::Result<()>) -> bool {
        let message = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return false,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => text_of(&*panic),
        };
        self.lock()
            .failure
            .get_or_insert(Failure { shard, message });
        self.0.changed.notify_all();
        true
    }

    /// Every thread has ended.
    pub(crate) fn stopped(&self) {
        self.lock().stopped = true;
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.0.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panic says, where it says something.
fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_counts_whatever_kind_it_is() {
        let ending = Ending::default();
        assert!(!ending.watch(0, || Ok(())));
        assert_eq!(ending.failure(), None);
        assert!(ending.watch(2, || Err(io::Error::other("no poller"))));
        assert!(ending.watch(1, || panic!("{}", 7)));
        let failure = ending.wait().unwrap();
        assert_eq!(failure.to_string(), "shard 2 has failed: no poller");
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let ending = Ending::default();
        let waits = ending.clone();
        let waiting = std::thread::spawn(move || waits.wait());
        ending.stopped();
        assert_eq!(waiting.join().unwrap(), None);
    }
}
