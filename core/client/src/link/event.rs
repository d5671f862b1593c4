//! What a link tells.

use std::time::Duration;

use ternmq_protocol::client::{Event as SessionEvent, Incoming};

use crate::error::ConnectError;

/// What happened, in order.
#[derive(Debug)]
pub enum Event {
    /// What the session told. [`SessionEvent::Refused`] and the loss of a connection before CONNACK
    /// are not among it: they are part of an attempt, which ends with `Connected` or
    /// [`Event::ConnectFailed`].
    Session(SessionEvent),
    /// Every endpoint, address and version was tried, and none gave a connection.
    ConnectFailed {
        /// What the last one said.
        error: ConnectError,
        /// When it will be tried again; `None` when it won't.
        retry: Option<Duration>,
    },
    /// An attempt that was asked for by [`Link::connect`](super::Link::connect) begins: what is told
    /// before this belongs to earlier ones.
    ConnectBegun,
    /// The connection whose end the next event tells will be made again.
    RetryPlanned {
        /// How long the first attempt waits.
        after: Duration,
    },
    /// The time for the next attempt has come, and somebody wants to be asked, see
    /// [`Link::ask_before_retry`](super::Link::ask_before_retry).
    RetryDue,
    /// Publishing is worth another try: it was refused as
    /// [`Full`](ternmq_protocol::client::PublishRefused::Full) before, and there is room now. Comes
    /// once after each series of refusals.
    Room,
}

impl Event {
    /// What it counts against [`Limits::event_bytes`](crate::Limits::event_bytes).
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Session(SessionEvent::Message(Incoming { message, .. })) => message.memory(),
            _ => 0,
        }
    }
}

/// What a session holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Messages in the outbox.
    pub queued_messages: usize,
    /// The bytes that they take.
    pub queued_bytes: usize,
    /// Messages with QoS 1 and 2 that were sent and are not complete.
    pub in_flight: usize,
}

/// What a link counted since it was opened. Counters never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What the session counted.
    pub session: ternmq_protocol::client::Stats,
    /// Bytes written to sockets.
    pub bytes_sent: u64,
    /// Bytes read from sockets.
    pub bytes_received: u64,
    /// System calls that wrote.
    pub writes: u64,
    /// System calls that read.
    pub reads: u64,
    /// Connections that the server accepted.
    pub connects: u64,
    /// Connections that were lost: ended neither from here nor by being replaced.
    pub losses: u64,
    /// Attempts that ended without one, all endpoints tried.
    pub connect_failures: u64,
    /// How often reading stopped because too much waited for the application.
    pub pauses: u64,
    /// Bytes that were taken from the session and not written when their connection ended.
    pub unsent_bytes: u64,
    /// Subscriptions that the server refused when they were made again after a reconnection.
    pub lost_subscriptions: u64,
    /// Messages that no subscription of the [`Client`](crate::Client) wanted.
    pub unclaimed_dropped: u64,
}
