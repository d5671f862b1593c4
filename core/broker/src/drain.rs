//! Letting go of all clients, a few at a time, so that other servers can take them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

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
}

/// A drain that goes on.
pub(crate) struct Draining {
    pub(crate) server_reference: Option<Box<str>>,
    /// For DISCONNECT, and for CONNACK.
    pub(crate) goodbye: ReasonCode,
    pub(crate) refusal: ReasonCode,
    /// One for all shards, so that the rate holds wherever the clients are.
    pace: Option<Mutex<Pace>>,
    /// Shards that have still clients.
    left: AtomicUsize,
}

impl Draining {
    pub(crate) fn new(drain: Drain, shards: usize) -> Self {
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
            left: AtomicUsize::new(shards),
        }
    }

    /// Whether one more client may be let go.
    ///
    /// # Errors
    /// When it may.
    pub(crate) fn take(&self, now: Time) -> Result<(), Time> {
        self.pace.as_ref().map_or(Ok(()), |pace| {
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(now)
        })
    }

    /// A shard has no clients any more. True for the last one.
    pub(crate) fn shard_is_done(&self) -> bool {
        self.left.fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(crate) fn is_done(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}
