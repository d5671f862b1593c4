//! Letting go of all clients, a few at a time, so that other servers can take them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ternmq_protocol::{ReasonCode, Time};

use crate::pace::Pace;

/// How a broker lets go of its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Where clients are to go instead, in the form that they understand: `host:port`, several of
    /// them with spaces between (4.11). MQTT 5.0 clients are told it with Use another server (0x9C)
    /// or Server moved (0x9D), as far as their Maximum Packet Size allows. Without it they are told
    /// Server shutting down (0x8B).
    pub server_reference: Option<String>,
    /// They are to go there for good: Server moved (0x9D) instead of Use another server (0x9C).
    pub moved: bool,
    /// Clients a second, over all shards; 0: all at once. Above 1,000,000 counts as that.
    pub rate: u32,
    /// The longest that all of it may take. Until then clients whose messages wait, in a queue or in
    /// their connection, leave after the others, so that they get them; when it is over all that are
    /// still here leave at once, whatever the rate. Zero: nobody is waited for, and the rate alone counts.
    pub within: Duration,
}

/// Milliseconds between two looks at clients whose messages wait.
const LOOK_MS: u64 = 20;

/// A drain that goes on.
pub(crate) struct Draining {
    pub(crate) server_reference: Option<Box<str>>,
    /// For DISCONNECT, and for CONNACK.
    pub(crate) goodbye: ReasonCode,
    pub(crate) refusal: ReasonCode,
    /// One for all shards, so that the rate holds wherever the clients are.
    pace: Option<Mutex<Pace>>,
    /// When the last one is to leave, if there is such a moment.
    ends_at: Option<Time>,
    /// Shards that have still clients.
    left: AtomicUsize,
}

impl Draining {
    pub(crate) fn new(drain: Drain, now: Time, shards: usize) -> Self {
        let redirect = match drain.moved {
            true => ReasonCode::SERVER_MOVED,
            false => ReasonCode::USE_ANOTHER_SERVER,
        };
        // DISCONNECT knows that a server ends, CONNACK only that there is none.
        let (goodbye, refusal) = match &drain.server_reference {
            Some(_) => (redirect, redirect),
            None => (
                ReasonCode::SERVER_SHUTTING_DOWN,
                ReasonCode::SERVER_UNAVAILABLE,
            ),
        };
        Self {
            server_reference: drain.server_reference.map(Into::into),
            goodbye,
            refusal,
            pace: Pace::evenly(drain.rate).map(Mutex::new),
            ends_at: (!drain.within.is_zero())
                .then(|| now.after(drain.within.as_millis().try_into().unwrap_or(u64::MAX))),
            left: AtomicUsize::new(shards),
        }
    }

    /// Whether one more client may be let go.
    ///
    /// # Errors
    /// When it may.
    pub(crate) fn take(&self, now: Time) -> Result<(), Time> {
        if self.ends_at.is_some_and(|at| at <= now) {
            return Ok(());
        }
        self.pace.as_ref().map_or(Ok(()), |pace| {
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = pace.take(now);
            taken.map_err(|at| self.ends_at.map_or(at, |end| end.min(at)))
        })
    }

    /// When to look again at clients whose messages wait, while they are waited for.
    pub(crate) fn looks_again(&self, now: Time) -> Option<Time> {
        let end = self.ends_at.filter(|end| *end > now)?;
        Some(now.after(LOOK_MS).min(end))
    }

    /// A shard has no clients any more. True for the last one.
    pub(crate) fn shard_is_done(&self) -> bool {
        self.left.fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(crate) fn is_done(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}
