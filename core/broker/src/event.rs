//! What a broker tells whoever runs it.

use std::time::Duration;

use ternmq_protocol::broker::SlowSubscriber;

use crate::bans::{Ban, Banned};
use crate::store::{Saved, StoreError};

/// Something that the operator of a broker should know, from [`Config::events`](crate::Config).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody is banned from now on: by [`Broker::ban`](crate::Broker::ban), or for
    /// [`Flapping`](crate::Flapping).
    Banned(Ban),
    /// A ban was lifted by [`Broker::unban`](crate::Broker::unban). One that has ended by itself is
    /// not told.
    Unbanned(Banned),
    /// What the broker holds has been saved, [`Config::save_interval`](crate::Config) after the last time:
    /// a crash loses what has come since this began.
    Saved {
        /// What it was.
        saved: Saved,
        /// How long it took.
        took: Duration,
    },
    /// The same has failed. What was saved before is still there, and it is tried again the next time.
    NotSaved(StoreError),
    /// Every client is gone after [`Broker::drain`](crate::Broker::drain).
    Drained,
    /// A client has come on the list of those that get their messages late, see
    /// [`Config::slow`](crate::Config::slow): what was known of it when it was told, once while it is
    /// on the list. Each shard tells of 10 in a second at most, the slowest first.
    SlowSubscriber(SlowSubscriber),
}
