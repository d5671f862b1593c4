//! The broker's clock, and moving it ahead of the real one.
//!
//! Machines get the time as a number, so a clock that is ahead is an offset in one place. A jump would
//! be wrong all the same: a client that is silent for too long is noticed after one and a half times its
//! Keep Alive, and its session's expiry counts from then. So the clock goes from one deadline to the
//! next, and waits at each until every shard has done what was due, with all that came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ternmq_protocol::Time;
use ternmq_protocol::time::{Clock, UnixMs};

use crate::broker::Broker;
use crate::shared::{Parcel, Shared};
use crate::store::utc_now;

/// Deadlines at which one advance stops; then it goes to its end at once, so that clients who make new
/// deadlines all the time don't hold it up.
const STOPS: u32 = 100_000;

/// Times that all shards are asked at one deadline: what one has done may be work for another. Clients
/// that send without a pause give them always more.
const ROUNDS: u32 = 100;

/// Sweeps of a store after which everything has gone that may go: the first one marks how far all are.
const SWEEPS: u32 = 2;

/// How many milliseconds a clock may be ahead of the real one: some 35,000 years, all of which can be counted
/// in microseconds too.
const FURTHEST: u64 = 1 << 50;

/// Looks at two clocks that take no longer than this count as one, and how often it is tried.
const ONE_MOMENT: Duration = Duration::from_millis(1);
const LOOKS: u32 = 8;

/// Milliseconds since a start, and those it was moved ahead.
pub(crate) struct SteadyClock {
    started: Instant,
    /// The time of `started`: by the wall clock, so that deadlines from before this start are told
    /// apart. From then on only the steady clock counts.
    began: Time,
    ahead: AtomicU64,
    /// One advance after the other.
    advancing: Mutex<()>,
}

/// A question to a shard, answered at the end of its turn.
pub(crate) struct CatchUp {
    /// Forget retained messages that have expired.
    pub(crate) sweep: bool,
    pub(crate) reply: SyncSender<Progress>,
}

/// How far a shard has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// When its machine has something to do next.
    pub(crate) due: Option<Time>,
    /// It has something to do at once.
    pub(crate) busy: bool,
    /// Batches that it has sent to other shards, ever.
    pub(crate) sent: u64,
}

impl SteadyClock {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            began: Time(utc_now().0),
            ahead: AtomicU64::new(0),
            advancing: Mutex::new(()),
        }
    }

    /// Milliseconds that it was moved ahead so far.
    pub(crate) fn ahead(&self) -> u64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// The time of a moment while the clock is so much ahead.
    pub(crate) fn time(&self, at: Instant, ahead: u64) -> Time {
        let passed = at.saturating_duration_since(self.started);
        let passed = (passed.as_millis() as u64).saturating_add(ahead);
        self.began.after(passed)
    }

    /// What the wall clock makes of the time now.
    pub(crate) fn calendar(&self) -> Clock {
        let (at, utc) = at_once(Instant::now, utc_now);
        Clock::at(self.time(at, self.ahead()), utc)
    }
}

/// Two clocks that are looked at in one moment: a thread that is held up between them, for seconds on a starved
/// machine, would put deadlines off by as much.
fn at_once(
    mut steady: impl FnMut() -> Instant,
    mut wall: impl FnMut() -> UnixMs,
) -> (Instant, UnixMs) {
    let mut at = steady();
    for _ in 0..LOOKS {
        let utc = wall();
        let then = steady();
        if then.saturating_duration_since(at) <= ONE_MOMENT {
            return (at, utc);
        }
        at = then;
    }
    (at, wall())
}

impl Broker {
    /// Moves the broker's clock ahead: for tests, which have no hours to wait. Keep alives, sessions, wills
    /// and their delays, messages that expire, delayed messages, bans and rates take their turn as if so much
    /// time had passed while no client said anything, in the order of their deadlines; at the end goes what may
    /// go from the log of a store. Real time goes on as well. When this returns all shards have carried that out: what clients are told of it is on its way
    /// to them.
    ///
    /// How long a peer gets to take what is sent to it is not a matter of this clock: the last words to a client
    /// ([`Config::stop_grace`](crate::Config::stop_grace) at a stop). Nor is how often a store is saved.
    ///
    /// Two at once take their turn one after the other. On a broker that has failed it moves the clock
    /// and returns.
    pub fn advance(&self, by: Duration) {
        let clock = &self.shared.clock;
        let _one = clock
            .advancing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let most = FURTHEST.saturating_sub(clock.ahead());
        let mut left = u64::try_from(by.as_millis()).unwrap_or(most).min(most);
        for _ in 0..STOPS {
            let due = self.shared.catch_up(false);
            if left == 0 {
                break;
            }
            // At least a millisecond: what is due now and was not done is not done by waiting for it.
            let until = due.map_or(left, |due| due.since(self.now()).max(1));
            let step = until.min(left);
            clock.ahead.fetch_add(step, Ordering::Relaxed);
            left -= step;
        }
        clock.ahead.fetch_add(left, Ordering::Relaxed);
        self.shared.catch_up(true);
        if let Some(desk) = self.shared.desk.as_ref().filter(|_| !by.is_zero()) {
            for _ in 0..SWEEPS {
                desk.sweep_now();
                self.shared.catch_up(false);
            }
        }
    }
}

impl Shared {
    /// Waits until no shard has anything to do before the next deadline, and returns that.
    fn catch_up(&self, sweep: bool) -> Option<Time> {
        let (mut sent, mut due) = (None, None);
        for _ in 0..ROUNDS {
            let progress = self.ask_for_progress(sweep);
            due = progress.due;
            if !progress.busy && sent == Some(progress.sent) {
                break;
            }
            sent = Some(progress.sent);
        }
        due
    }

    /// Lets every shard have a turn, and returns how far they have come together.
    fn ask_for_progress(&self, sweep: bool) -> Progress {
        let (reply, replies) = sync_channel(self.mailboxes.len());
        for (shard, mailbox) in self.mailboxes.iter().enumerate() {
            let question = CatchUp {
                sweep: sweep && shard == 0,
                reply: reply.clone(),
            };
            // A shard that has ended has nothing to do.
            let _ = mailbox.send(Parcel::CatchUp(question));
        }
        drop(reply);
        let nothing = Progress {
            due: None,
            busy: false,
            sent: 0,
        };
        replies.into_iter().fold(nothing, |all, one| Progress {
            due: all.due.into_iter().chain(one.due).min(),
            busy: all.busy || one.busy,
            sent: all.sent + one.sent,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_clock_that_is_ahead_never_comes_round() {
        let clock = SteadyClock::start();
        let at = Instant::now();
        assert_eq!(clock.time(at, 5_000).since(clock.time(at, 0)), 5_000);
        assert_eq!(clock.time(at, u64::MAX), Time::NEVER);
    }

    #[test]
    fn a_thread_that_is_held_up_between_two_clocks_looks_again() {
        let began = Instant::now();
        for held_up in [0, 1, 3] {
            let (passed, mut looks) = (Cell::new(0), 0);
            let steady = || began + Duration::from_millis(passed.get());
            let wall = || {
                if looks < held_up {
                    passed.set(passed.get() + 2_000);
                }
                looks += 1;
                UnixMs(passed.get())
            };
            let (at, utc) = at_once(steady, wall);
            assert_eq!(u128::from(utc.0), (at - began).as_millis());
        }
    }
}
