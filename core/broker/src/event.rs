//! What a broker tells whoever runs it.

use crate::bans::{Ban, Banned};

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
    /// Every client is gone after [`Broker::drain`](crate::Broker::drain).
    Drained,
}
