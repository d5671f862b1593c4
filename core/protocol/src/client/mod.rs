//! The client as a pure state machine.
//!
//! A [`ClientSession`] is one MQTT client with its session: what to send, what came in, and what
//! is still owed on both sides. It outlives connections. It does no IO and reads no clock: a
//! driver moves bytes and time.
//!
//! # The driver's manual
//!
//! There are three classes of methods.
//!
//! **Transport**, called by the driver as things happen:
//! - [`handle_open`](ClientSession::handle_open) when the transport can carry bytes: CONNECT is
//!   written.
//! - [`handle_input`](ClientSession::handle_input) with whatever bytes came in, cut anywhere. It
//!   never fails: an error of the server becomes a DISCONNECT to be sent and an event.
//! - [`handle_timeout`](ClientSession::handle_timeout) once
//!   [`poll_timeout`](ClientSession::poll_timeout) has passed; calling it early does no harm.
//! - [`handle_closed`](ClientSession::handle_closed) once for each transport that ended or failed
//!   to open.
//!
//! **Output**, asked for after any call of the other classes:
//! - [`outbound`](ClientSession::outbound): send what is in it, as far as the transport takes it.
//! - [`poll_event`](ClientSession::poll_event) until `None`. The queue is as long as the input
//!   makes it: ask after each `handle_input`.
//! - [`wants_close`](ClientSession::wants_close): when true, send the rest of the outbound buffer,
//!   close the transport, call `handle_closed`. Input is ignored from there on.
//! - [`poll_timeout`](ClientSession::poll_timeout): when to call `handle_timeout` next. It may have
//!   changed with any call.
//!
//! **User**: [`publish`](ClientSession::publish), [`subscribe`](ClientSession::subscribe),
//! [`unsubscribe`](ClientSession::unsubscribe), [`acknowledge`](ClientSession::acknowledge),
//! [`authenticate`](ClientSession::authenticate), [`disconnect`](ClientSession::disconnect), at any
//! time. [`stored`](ClientSession::stored) and [`restore`](ClientSession::restore) carry the session
//! state over the end of the process.
//!
//! A connection begins with `handle_open` and ends with `handle_closed`, which queues its last
//! event: [`Event::Refused`] or [`Event::Disconnected`]. Then the driver may open the next one, at
//! once or later; when and how often is its policy. Time must not run backwards.
//!
//! Each user operation that returned a [`Token`] other than [`Token::NONE`] ends with one event
//! that names it: Published, Subscribed, Unsubscribed or Dropped. A publish may live through many
//! connections until then, a subscribe never outlives the one it was sent on.
//!
//! Backpressure: the driver stops reading when the events are not taken away fast enough, or when
//! `outbound().len()` shows that the server doesn't read; say so with
//! [`set_reading`](ClientSession::set_reading), or Keep Alive will take the silence for the
//! server's. Towards the user, `publish` refuses with [`PublishRefused::Full`].
//!
//! ```
//! use ternmq_protocol::client::{ClientSession, Event, Options, State};
//! use ternmq_protocol::time::Time;
//!
//! let mut session = ClientSession::new(Options::default())?;
//! session.handle_open(Time(0));
//! let mut connect = Vec::new();
//! session.outbound().drain_into(&mut connect); // to the server
//! assert_eq!(connect[0], 0x10);
//! session.handle_input(Time(5), &[0x20, 3, 0, 0, 0]); // its CONNACK
//! assert!(matches!(session.poll_event(), Some(Event::Connected(_))));
//! assert_eq!(session.state(), State::Connected);
//! # Ok::<(), ternmq_protocol::EncodeError>(())
//! ```

mod acknowledge;
mod authenticate;
mod connect;
mod event;
mod inbound;
mod link;
mod options;
mod outbound;
mod stats;
mod stored;

pub use connect::FLUSH_TIMEOUT_MS;
pub use event::{
    Cause, Connected, Delivery, DropReason, Event, Incoming, Progress, PublishRefused,
    RequestRefused, SubscriptionIds, Timeout, Token,
};
pub use options::{Acknowledge, LostSession, Options, Will};
pub use stats::Stats;
pub use stored::Stored;

use std::collections::VecDeque;

use crate::codec::FrameBuffer;
use crate::error::EncodeError;
use crate::outbound::Outbound;
use crate::session::dedupe::ReceivedIds;
use crate::session::queue::BoundedQueue;
use crate::session::window::SendWindow;
use crate::time::Time;
use acknowledge::Unacknowledged;
use link::Link;
use outbound::{InFlight, Queued};

/// Where a client session is in the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no transport.
    Closed,
    /// CONNECT was written, CONNACK is awaited.
    Connecting,
    /// The server accepted.
    Connected,
    /// The connection is over but for bytes to be sent; then the driver closes the transport.
    Closing,
}

/// An MQTT client and its session, without IO. See the [module](self) for how to drive it.
pub struct ClientSession {
    options: Options,
    state: State,
    /// What ends with the connection.
    link: Link,
    /// What was sent and not acknowledged, and what waits in the outbox with QoS above 0.
    window: SendWindow<InFlight>,
    outbox: BoundedQueue<Queued>,
    /// Packet Identifiers of the window that belong to SUBSCRIBE and UNSUBSCRIBE.
    requests: usize,
    /// Messages of QoS 0 in the outbox: later ones must not overtake them.
    outbox_at_most_once: usize,
    /// QoS 2 messages given out whose PUBREL is awaited.
    received: ReceivedIds,
    unacknowledged: Unacknowledged,
    outbound: Outbound,
    frames: FrameBuffer,
    events: VecDeque<Event>,
    /// Notes of QoS 0 messages in the outbound buffer.
    noted: Vec<u32>,
    scratch: Vec<u8>,
    stats: Stats,
}

impl ClientSession {
    /// A session without state and without a connection.
    ///
    /// # Errors
    /// No CONNECT can carry these options.
    pub fn new(options: Options) -> Result<Self, EncodeError> {
        options.write_connect(&mut Vec::new())?;
        Ok(Self {
            state: State::Closed,
            link: Link::new(&options, Time(0)),
            options,
            window: SendWindow::new(),
            outbox: BoundedQueue::new(),
            requests: 0,
            outbox_at_most_once: 0,
            received: ReceivedIds::new(),
            unacknowledged: Unacknowledged::default(),
            outbound: Outbound::default(),
            frames: FrameBuffer::default(),
            events: VecDeque::new(),
            noted: Vec::new(),
            scratch: Vec::new(),
            stats: Stats::default(),
        })
    }

    /// Whether the input so far has ended inside a packet.
    pub fn is_inside_packet(&self) -> bool {
        self.frames.is_partial()
    }

    /// Where the session is in the life of a connection.
    pub fn state(&self) -> State {
        self.state
    }

    /// What is to be sent. The driver takes from it with `gather` and `advance`, or `read`.
    pub fn outbound(&mut self) -> &mut Outbound {
        &mut self.outbound
    }

    /// Everything that was in [`outbound`](Self::outbound) has been taken and is being sent: what was
    /// published with a note is told of now, many at once. True if there was any.
    pub fn outbound_taken(&mut self) -> bool {
        let any = !self.noted.is_empty();
        let notes = self.noted.drain(..);
        self.events.extend(notes.map(|note| Event::Sent { note }));
        any
    }

    /// Whether the connection is over: send what is left in [`outbound`](Self::outbound), close the
    /// transport and call [`handle_closed`](Self::handle_closed).
    pub fn wants_close(&self) -> bool {
        self.state == State::Closing
    }

    /// The oldest event not given out yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The options in force for the next connection.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The options for the next connection: another version, new credentials, Clean Start.
    ///
    /// Something that no CONNECT can carry ends the next connection with [`Cause::Options`].
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Whether the operation is not complete yet.
    pub fn is_pending(&self, token: Token) -> bool {
        self.window.contains(token.0)
    }

    /// The publishes with QoS above 0 that are not complete: those sent, in the order of sending,
    /// then those in the outbox. Costs a sort.
    pub fn pending(&self) -> impl Iterator<Item = Token> {
        self.publishes().map(|(id, _, _)| Token(id))
    }

    /// Whether a message with QoS above 0 would be sent at once instead of waiting in the outbox for
    /// an acknowledgement of another.
    pub fn can_send(&self) -> bool {
        self.outbox.is_empty() && self.window.can_push()
    }

    /// Messages in the outbox and the bytes they take.
    pub fn queued(&self) -> (usize, usize) {
        (self.outbox.len(), self.outbox.bytes())
    }

    /// How many publishes [`pending`](Self::pending) would give, without the sort.
    pub fn pending_count(&self) -> usize {
        self.window.len() - self.requests
    }

    /// Publishes that were sent with QoS above 0 and are not complete.
    pub fn in_flight(&self) -> usize {
        self.pending_count() - (self.outbox.len() - self.outbox_at_most_once)
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Uses up the Packet Identifier that the next operation would get, for a driver that numbers its
    /// QoS 0 messages in the same row. `None` when all are in use.
    pub fn skip_token(&mut self) -> Option<Token> {
        let id = self.window.next_id()?;
        self.window.skip_to(id);
        Some(Token(id))
    }

    /// Does something whose operation gets this Packet Identifier, which
    /// [`skip_token`](Self::skip_token) gave, unless another holds it by now. Others go on where they
    /// were.
    pub fn with_token<R>(&mut self, token: Token, act: impl FnOnce(&mut Self) -> R) -> R {
        let last = self.window.last_id();
        self.window.skip_to(token.0.saturating_sub(1));
        let result = act(self);
        self.window.skip_to(last);
        result
    }

    /// Drops what waits in the outbox, with or without a connection: each of its messages ends with
    /// [`DropReason::Forgotten`].
    pub fn clear_outbox(&mut self) {
        let why = DropReason::Forgotten;
        for queued in self.outbox.take() {
            self.drop_queued(queued.packet_id, queued.note, why);
        }
    }

    /// Drops the session state and the outbox: what is pending ends with [`DropReason::Forgotten`].
    /// False, and nothing done, while there is a connection.
    pub fn forget(&mut self) -> bool {
        if self.state != State::Closed {
            return false;
        }
        let tokens: Vec<Token> = self.pending().collect();
        for token in tokens {
            self.drop_operation(token, DropReason::Forgotten);
        }
        let why = DropReason::Forgotten;
        for queued in self.outbox.take().filter(|queued| queued.packet_id == 0) {
            self.stats.count_dropped(why);
            if queued.note != 0 {
                let note = queued.note;
                self.events.push_back(Event::NotSent { note, why });
            }
        }
        drop(self.window.clear());
        self.window.skip_to(0);
        self.outbox_at_most_once = 0;
        self.received.clear();
        self.unacknowledged = Unacknowledged::default();
        true
    }

    fn drop_operation(&mut self, token: Token, why: DropReason) {
        self.stats.count_dropped(why);
        if token != Token::NONE {
            self.events.push_back(Event::Dropped { token, why });
        }
    }
}

impl std::fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSession")
            .field("client_id", &self.options.client_id)
            .field("state", &self.state)
            .field("packet_ids", &self.window.len())
            .field("queued", &self.outbox.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
