//! What a broker tells whoever runs it.

use ternmq_protocol::broker::{ListenerId, SlowSubscriber};

use crate::bans::{Ban, Banned};
use crate::listener::Address;
use crate::store::{Damage, Restoration, Salvaged, StoreError};

/// Something that the operator of a broker should know, from [`Config::events`](crate::Config).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Connections are accepted there from now on: the number of the listener
    /// ([`Broker::listener_numbers`](crate::Broker::listener_numbers)), and its address with the port that it
    /// got.
    Listening(ListenerId, Address),
    /// That listener accepts none any more: the broker is stopping, lets go of all clients, or has
    /// other listeners from now on.
    ListenerClosed(ListenerId),
    /// Somebody is banned from now on: by [`Broker::ban`](crate::Broker::ban), or for
    /// [`Flapping`](crate::Flapping).
    Banned(Ban),
    /// A ban was lifted by [`Broker::unban`](crate::Broker::unban). One that has ended by itself is
    /// not told.
    Unbanned(Banned),
    /// The store's file was damaged when the store was opened before this broker started: what could
    /// be read of it is in a new one, and the damaged one is kept.
    Salvaged(Salvaged),
    /// Rows of the store can't be read, more than were told of before: how many since it was opened,
    /// those that [`Restored`](Self::Restored) tells of among them. The rest is served.
    Damaged(Damage),
    /// All that the store held is there again: what it was. Retained messages are read while clients
    /// come in already.
    Restored(Restoration),
    /// Not all retained messages could be read: those that are there are told of by
    /// [`Restored`](Self::Restored).
    NotRestored(StoreError),
    /// The store can't keep what it is given, such as when the disk is full. Publishers of QoS 1 and 2
    /// are refused where it matters; it is tried again, until [`StoredAgain`](Self::StoredAgain).
    NotStored(StoreError),
    /// The log could not be swept: it grows until that works again.
    NotSwept(StoreError),
    /// The log has more bytes than it may ([`LogLimits::bytes`](crate::store::LogLimits::bytes)): so many
    /// messages were dropped that some session had not had, the oldest ones. Told with the first sweep that
    /// drops some, and again only after one that had to drop none.
    LogFull(u64),
    /// The store works again.
    StoredAgain,
    /// Every client is gone after [`Broker::drain`](crate::Broker::drain).
    Drained,
    /// A client has come on the list of those that get their messages late, see
    /// [`Config::slow`](crate::Config::slow): what was known of it when it was told, once while it is
    /// on the list. Each shard tells of 10 in a second at most, the slowest first.
    SlowSubscriber(SlowSubscriber),
}
