//! The base layer that every face shares: one client on the IO thread, its events in batches.
//!
//! A [`Link`] is a handle; clones mean the same client. Publishing and the like happen on the
//! caller's thread: the lock of the client is held to encode, not to write. What comes in is put
//! into a queue by the IO thread, which calls [`Notify::notify`] when that was empty; whoever is
//! notified takes all there is with [`Link::take_events`]. Blocking faces need no thread of their
//! own: [`Link::wait`] sleeps until the state of the link is what they wait for.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//! use ternmq_client::link::{Link, Silent, Status};
//! use ternmq_client::ConnectOptions;
//!
//! // Nobody listens on this address.
//! let link = Link::open(ConnectOptions::from_uri("127.0.0.1:1")?, Arc::new(Silent))?;
//! link.connect()?;
//! let deadline = Instant::now() + Duration::from_secs(10);
//! let failed = link.wait(Some(deadline), |state| match state.status() {
//!     Status::Closed => state.connect_error().cloned(),
//!     _ => None,
//! });
//! assert!(failed.is_some());
//! # Ok::<(), ternmq_client::ConnectError>(())
//! ```

mod event;
mod inner;
mod journal;
mod shared;
mod subscriptions;
mod tap;
mod wire;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ternmq_protocol::client::{
    ClientSession, Delivery, PublishRefused, RequestRefused, State as SessionState, Stored, Token,
};
use ternmq_protocol::codec::{Properties, Request};
use ternmq_protocol::{Message, ReasonCode, Time};

pub use event::{Event, Levels, Stats};
pub use inner::Status;
pub use journal::{Journal, Name};
pub use tap::Tap;

pub(crate) use inner::{Farewell, Inner, Orders};
pub(crate) use shared::{Flush, Shared};

use crate::clock;
use crate::error::ConnectError;
use crate::io::Reactor;
use crate::options::ConnectOptions;

/// Learns that a link has events.
pub trait Notify: Send + Sync {
    /// There is something to take with [`Link::take_events`]. Called once, then not again until
    /// the events were taken.
    ///
    /// Runs on the IO thread or on the thread that caused the event, without any lock of the link: it
    /// may call the link. But all clients of the process wait for it, so it must not block and
    /// must not run code of the application: it passes the word on.
    fn notify(&self);
}

/// For whoever waits or polls instead of being notified.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Notify for Silent {
    fn notify(&self) {}
}

impl<F: Fn() + Send + Sync> Notify for F {
    fn notify(&self) {
        self();
    }
}

/// One client: its session, its connections, its events. Clones are the same client; any method may
/// be called from any thread, also from what [`Notify`] sets off.
///
/// When the last clone is dropped the connection is closed without a DISCONNECT, so the server
/// publishes the will. [`Link::disconnect`] and wait for [`Status::Closed`] to avoid that.
#[derive(Clone)]
pub struct Link(Arc<Handle>);

/// Who follows a link more closely than by its events. Nobody, by default.
#[derive(Default)]
pub struct Observers {
    /// Keeps the session outside of the process.
    pub journal: Option<Box<dyn Journal>>,
    /// Sees the bytes.
    pub tap: Option<Arc<dyn Tap>>,
}

/// A handle that does not keep the client. What a [`Notify`] may hold.
#[derive(Clone, Default)]
pub struct WeakLink(Weak<Handle>);

struct Handle {
    shared: Arc<Shared>,
}

/// What a link is at one moment, for [`Link::wait`]. The link stays as it is while this is looked at:
/// don't call its methods meanwhile.
pub struct State<'a>(&'a mut Inner);

/// A thread that does the IO of the links that are opened with it, beside the process's: for programs whose clients
/// are more work than one core does. It ends with the last that holds it, itself or a link.
#[derive(Clone)]
pub struct IoThread(Arc<Reactor>);

impl IoThread {
    /// Starts it.
    ///
    /// # Errors
    /// No thread or no descriptor.
    pub fn start() -> io::Result<Self> {
        Reactor::start().map(Self)
    }
}

impl std::fmt::Debug for IoThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoThread").finish_non_exhaustive()
    }
}

impl Link {
    /// A client that does nothing yet. The first one of the process starts the IO thread.
    ///
    /// # Errors
    /// [`ConnectError::Options`] when no CONNECT can carry the options, [`ConnectError::Io`] when
    /// the IO thread can't be started.
    pub fn open(options: ConnectOptions, on_events: Arc<dyn Notify>) -> Result<Self, ConnectError> {
        Self::open_observed(options, on_events, Observers::default())
    }

    /// As [`open`](Self::open), on an IO thread of the program's choice.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(
        thread: &IoThread,
        options: ConnectOptions,
        on_events: Arc<dyn Notify>,
    ) -> Result<Self, ConnectError> {
        Self::opened(thread.0.clone(), options, on_events, Observers::default())
    }

    /// As [`open`](Self::open), with a store for the session state or a tap. What a store has from an
    /// earlier process is put back with [`ClientSession::restore`] by [`session`](Self::session), before
    /// the first connection.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_observed(
        options: ConnectOptions,
        on_events: Arc<dyn Notify>,
        observers: Observers,
    ) -> Result<Self, ConnectError> {
        let reactor = Reactor::get().map_err(ConnectError::io)?;
        Self::opened(reactor, options, on_events, observers)
    }

    fn opened(
        reactor: Arc<Reactor>,
        mut options: ConnectOptions,
        on_events: Arc<dyn Notify>,
        observers: Observers,
    ) -> Result<Self, ConnectError> {
        options.session.report_progress |= observers.journal.is_some();
        let session = std::mem::take(&mut options.session);
        let session = ClientSession::new(session).map_err(ConnectError::Options)?;
        let inner = Inner::new(session, options, reactor, observers);
        let shared = Arc::new(Shared::new(inner, on_events));
        Ok(Self(Arc::new(Handle { shared })))
    }

    /// Begins to connect, and returns at once. The end is told by
    /// [`Connected`](ternmq_protocol::client::Event::Connected) or [`Event::ConnectFailed`]. While
    /// an automatic reconnection waits for its time, this ends the wait.
    ///
    /// # Errors
    /// [`ConnectError::Busy`] while there is a connection or an attempt, [`ConnectError::Io`] when
    /// this process is a fork and can't start an IO thread, [`ConnectError::Transport`] when TLS is
    /// to be spoken with the system's roots and there are none.
    pub fn connect(&self) -> Result<(), ConnectError> {
        self.connect_noted(|| {})
    }

    /// As [`connect`](Self::connect), with a call under the lock of the link when the attempt is taken,
    /// before any event can tell of it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_noted(&self, look: impl FnOnce()) -> Result<(), ConnectError> {
        let mut inner = self.lock();
        // What is being ended is no obstacle: the attempt begins behind that end.
        let behind = inner.orders.abort || inner.aborting;
        match inner.status {
            _ if behind && inner.orders.connect => return Err(ConnectError::Busy),
            Status::Connecting | Status::Connected if !behind => return Err(ConnectError::Busy),
            Status::Closed => (inner.resuming, inner.attempts) = (false, 0),
            _ => {}
        }
        if !inner.reactor.is_here() {
            return Err(ConnectError::io(io::Error::other("no IO thread")));
        }
        #[cfg(feature = "tls")]
        inner.options.prepare()?;
        inner.orders.connect = true;
        if !behind {
            inner.connect_begins();
        }
        look();
        self.finish(inner, Flush::Auto);
        Ok(())
    }

    /// Publishes a message with its own QoS and RETAIN flag; see [`ClientSession::publish`]. On a
    /// quiet connection it is written before this returns, on a busy one it leaves with others in
    /// one `writev`.
    ///
    /// # Errors
    /// The message was not taken. After [`PublishRefused::Full`], [`Event::Room`] tells when to try
    /// again.
    pub fn publish(&self, message: Message) -> Result<Token, PublishRefused> {
        self.with(|now, inner| inner.publish(now, message))
    }

    /// As [`publish`](Self::publish), with a note for a QoS 0 message, see
    /// [`ClientSession::publish_noted`], and a look at the outcome before any event can tell of it:
    /// `look` runs under the lock of the link and must not call it.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_noted(
        &self,
        message: Message,
        note: u32,
        look: impl FnOnce(Token),
    ) -> Result<Token, PublishRefused> {
        self.with(|now, inner| {
            let token = inner.publish_noted(now, message, note)?;
            look(token);
            Ok(token)
        })
    }

    /// As [`subscribe`](Self::subscribe), with a look at the token like
    /// [`publish_noted`](Self::publish_noted).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_noted(
        &self,
        requests: &[Request<'_>],
        properties: Properties<'_>,
        look: impl FnOnce(Token),
    ) -> Result<Token, RequestRefused> {
        self.with(|now, inner| {
            let token = inner.subscribe(now, requests, properties)?;
            look(token);
            Ok(token)
        })
    }

    /// As [`unsubscribe`](Self::unsubscribe), with a look at the token like
    /// [`publish_noted`](Self::publish_noted).
    ///
    /// # Errors
    /// As [`unsubscribe`](Self::unsubscribe).
    pub fn unsubscribe_noted(
        &self,
        filters: &[&str],
        properties: Properties<'_>,
        look: impl FnOnce(Token),
    ) -> Result<Token, RequestRefused> {
        self.with(|now, inner| {
            let token = inner.unsubscribe(now, filters, properties)?;
            look(token);
            Ok(token)
        })
    }

    /// Publishes several messages, in order and with one lock; `tokens` gets one per message taken.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), for the first message that was not taken; those after it
    /// were not tried.
    pub fn publish_all(
        &self,
        messages: impl IntoIterator<Item = Message>,
        tokens: &mut Vec<Token>,
    ) -> Result<(), PublishRefused> {
        let messages = messages.into_iter().map(|message| (message, 0));
        self.publish_all_noted(messages, tokens, |_| {})
    }

    /// As [`publish_all`](Self::publish_all), each message with a note, and one look at the new tokens
    /// like that of [`publish_noted`](Self::publish_noted), also when a message was not taken.
    ///
    /// # Errors
    /// As [`publish_all`](Self::publish_all).
    pub fn publish_all_noted(
        &self,
        messages: impl IntoIterator<Item = (Message, u32)>,
        tokens: &mut Vec<Token>,
        look: impl FnOnce(&[Token]),
    ) -> Result<(), PublishRefused> {
        let begin = tokens.len();
        self.with(|now, inner| {
            let published = messages.into_iter().try_for_each(|(message, note)| {
                tokens.push(inner.publish_noted(now, message, note)?);
                Ok(())
            });
            look(&tokens[begin..]);
            published
        })
    }

    /// Asks for subscriptions; the answer is
    /// [`Subscribed`](ternmq_protocol::client::Event::Subscribed). Those granted are made again
    /// after a reconnection, if [`ConnectOptions::resubscribe`] says so.
    ///
    /// # Errors
    /// Nothing was sent; see [`ClientSession::subscribe`].
    pub fn subscribe(
        &self,
        requests: &[Request<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, RequestRefused> {
        self.with(|now, inner| inner.subscribe(now, requests, properties))
    }

    /// Ends subscriptions; the answer is
    /// [`Unsubscribed`](ternmq_protocol::client::Event::Unsubscribed).
    ///
    /// # Errors
    /// Nothing was sent; see [`ClientSession::unsubscribe`].
    pub fn unsubscribe(
        &self,
        filters: &[&str],
        properties: Properties<'_>,
    ) -> Result<Token, RequestRefused> {
        self.with(|now, inner| inner.unsubscribe(now, filters, properties))
    }

    /// Acknowledges a message in manual mode; see [`ClientSession::acknowledge`].
    pub fn acknowledge(&self, delivery: Delivery, reason: ReasonCode) -> bool {
        self.session(|now, session| session.acknowledge(now, delivery, reason))
    }

    /// Ends the connection with a DISCONNECT, an attempt or a wait without one; there is no
    /// automatic reconnection afterwards. Returns at once, and whether there was anything to end.
    ///
    /// The end is told by [`Disconnected`](ternmq_protocol::client::Event::Disconnected) or
    /// [`Event::ConnectFailed`]. What was published before still goes out, if the server reads it
    /// within 5 s; acknowledgements are not waited for, and what lacks one is pending until the next
    /// connection.
    ///
    /// # Errors
    /// See [`ClientSession::disconnect`].
    pub fn disconnect(
        &self,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<bool, RequestRefused> {
        let mut inner = self.lock();
        let done = match inner.status {
            Status::Closed => Ok(false),
            Status::Connected => {
                let said = inner.session.disconnect(clock::now(), reason, properties);
                inner.leaving |= said.is_ok();
                said.map(|()| true)
            }
            Status::Connecting | Status::Waiting => {
                inner.give_up();
                Ok(true)
            }
        };
        self.finish(inner, Flush::Auto);
        done
    }

    /// As [`disconnect`](Self::disconnect), but not before what was published has been acknowledged,
    /// or `patience` has passed. Returns at once. More may be published meanwhile, and is waited
    /// for too.
    ///
    /// # Errors
    /// See [`ClientSession::disconnect`]; nothing will happen then.
    pub fn disconnect_when_done(
        &self,
        patience: Duration,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<bool, RequestRefused> {
        let mut inner = self.lock();
        if inner.session.state() != SessionState::Connected || patience.is_zero() {
            drop(inner);
            return self.disconnect(reason, properties);
        }
        inner.session.check_disconnect(reason, properties)?;
        inner.farewell = Some(Farewell {
            latest: clock::now().after(clock::millis(patience)),
            reason,
            properties: properties.into(),
        });
        self.finish(inner, Flush::Auto);
        Ok(true)
    }

    /// Ends the connection with a DISCONNECT, to make it again as after a loss: for a server that
    /// leaves requests without an answer. Without automatic reconnection it is just the end.
    pub fn renew(&self) {
        let mut inner = self.lock();
        if inner.session.state() == SessionState::Connected {
            inner.renewing = true;
            let normal = ReasonCode::NORMAL_DISCONNECTION;
            // With no properties there is nothing that a DISCONNECT can't carry.
            let _ = inner
                .session
                .disconnect(clock::now(), normal, Properties::EMPTY);
        }
        self.finish(inner, Flush::Auto);
    }

    /// Ends the connection, an attempt or a wait at once: no DISCONNECT, nothing more is sent. The
    /// server publishes the will.
    pub fn close(&self) {
        let mut inner = self.lock();
        if inner.status != Status::Closed {
            inner.give_up();
        }
        self.finish(inner, Flush::Auto);
    }

    /// Moves all events to the end of `into`, in order. Reading goes on if it had stopped because too
    /// many waited.
    pub fn take_events(&self, into: &mut Vec<Event>) {
        let mut inner = self.lock();
        if into.is_empty() {
            std::mem::swap(into, &mut inner.events);
        } else {
            into.append(&mut inner.events);
        }
        inner.event_bytes = 0;
        inner.told = false;
        if inner.starved && !inner.is_full() {
            inner.orders.attend = true;
            self.finish(inner, Flush::Auto);
        }
    }

    /// Stops reading from the socket, or goes on. For a face with queues of its own: the server's
    /// window and TCP hold back what comes next, and Keep Alive goes on. What one read brings (64
    /// KiB) may still come.
    pub fn pause(&self, paused: bool) {
        let mut inner = self.lock();
        if inner.paused.swap(paused, Ordering::AcqRel) != paused {
            inner.orders.attend = true;
            self.finish(inner, Flush::Auto);
        }
    }

    /// Unsubscribes; without a connection the subscription is at least not made again.
    pub(crate) fn unsubscribe_quietly(&self, filters: &[String]) {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        self.with(|now, inner| {
            let sent = inner.unsubscribe(now, &filters, Properties::EMPTY);
            if sent.is_err() {
                for filter in &filters {
                    inner.subscriptions.forget(filter);
                }
            }
        });
    }

    /// Has a journal keep the session from now on, and puts back what that has from an earlier process, as
    /// [`ClientSession::restore`] does. False, and nothing done, while there is a connection or an attempt,
    /// a journal, or a publish that is not complete.
    ///
    /// `look` is shown what is put back before any event can tell of it: it runs under the lock of the link
    /// and must not call it.
    pub fn set_journal(
        &self,
        journal: Box<dyn Journal>,
        stored: Vec<Stored>,
        look: impl FnOnce(&[Stored]),
    ) -> bool {
        self.with(|_, inner| {
            let is_used = inner.observers.journal.is_some()
                || inner.session.pending_count() > 0
                || inner.session.queued().0 > 0;
            if is_used || inner.status != Status::Closed || inner.orders.connect {
                return false;
            }
            inner.observers.journal = Some(journal);
            inner.session.options_mut().report_progress = true;
            look(&stored);
            for stored in stored {
                inner.session.restore(stored);
            }
            true
        })
    }

    /// Gives the journal back. What is told from now on is not kept.
    pub fn take_journal(&self) -> Option<Box<dyn Journal>> {
        self.lock().observers.journal.take()
    }

    /// What [`pause`](Self::pause) sets, for setting it without the lock of the link; [`attend`]
    /// must follow when it is cleared.
    ///
    /// [`attend`]: Self::attend
    pub(crate) fn pause_flag(&self) -> Arc<AtomicBool> {
        self.lock().paused.clone()
    }

    /// Lets the IO thread look at the link.
    pub(crate) fn attend(&self) {
        let mut inner = self.lock();
        inner.orders.attend = true;
        self.finish(inner, Flush::Auto);
    }

    /// Does several things with one lock. `call` must not call the link.
    pub(crate) fn with<R>(&self, call: impl FnOnce(Time, &mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let result = call(clock::now(), &mut inner);
        self.finish(inner, Flush::Auto);
        result
    }

    /// Waits until `look` sees what it waits for. It is called at once, and again after each change.
    /// `None` when the deadline has passed before; no deadline waits for ever.
    ///
    /// What was published before is written first, so a publish and its wait cost one round trip.
    pub fn wait<R>(
        &self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut State<'_>) -> Option<R>,
    ) -> Option<R> {
        let mut inner = self.shared().flush(self.lock());
        // The IO thread leaves alone what another thread is writing, a DISCONNECT above all: with that
        // written, closing is up to it again.
        self.shared().call_attention(&mut inner);
        loop {
            if let Some(seen) = look(&mut State(&mut inner)) {
                self.finish(inner, Flush::Now);
                return Some(seen);
            }
            let in_time;
            (inner, in_time) = self.shared().wait_for_change(inner, deadline);
            if !in_time {
                let seen = look(&mut State(&mut inner));
                self.finish(inner, Flush::Now);
                return seen;
            }
        }
    }

    /// Changes the options for the next attempt and the limits from now on.
    ///
    /// `change` runs under the lock of the link and must not call it.
    pub fn reconfigure(&self, change: impl FnOnce(&mut ConnectOptions)) {
        self.with(|_, inner| {
            std::mem::swap(inner.session.options_mut(), &mut inner.options.session);
            change(&mut inner.options);
            inner.options.session.report_progress |= inner.observers.journal.is_some();
            std::mem::swap(inner.session.options_mut(), &mut inner.options.session);
        });
    }

    /// Whether an automatic reconnection asks first: when its time has come there is
    /// [`Event::RetryDue`] instead of an attempt, which [`connect`](Self::connect) then begins. For
    /// credentials that have to be fetched anew.
    pub fn ask_before_retry(&self, ask: bool) {
        self.lock().asks = ask;
    }

    /// Calls the session itself, for what has no method here: restoring stored messages,
    /// authentication, forgetting. `call` runs under the lock of the link and must not call it. Don't
    /// call the methods that belong to the driver (`handle_*`, `outbound`, `poll_event`).
    pub fn session<R>(&self, call: impl FnOnce(Time, &mut ClientSession) -> R) -> R {
        self.with(|now, inner| call(now, &mut inner.session))
    }

    /// Drops the session: what is pending ends with
    /// [`Dropped`](ternmq_protocol::client::Event::Dropped), subscriptions are not made again. False,
    /// and nothing done, while there is a connection.
    pub fn forget(&self) -> bool {
        self.with(|_, inner| {
            let forgot = inner.session.forget();
            if forgot {
                inner.subscriptions.clear();
            }
            forgot
        })
    }

    /// Makes no subscription again that was made before.
    pub fn forget_subscriptions(&self) {
        self.lock().subscriptions.clear();
    }

    /// What the link is doing.
    pub fn status(&self) -> Status {
        self.lock().status
    }

    /// Whether the server has accepted, and neither side has ended it.
    pub fn is_connected(&self) -> bool {
        State(&mut self.lock()).is_connected()
    }

    /// Whether there is a connection, or there was one and it is being made again by itself.
    pub fn is_held(&self) -> bool {
        self.lock().is_held()
    }

    /// Which of the endpoints in the options is connected to, or was tried last. `None` before the
    /// first try, and for a server that another one has named.
    pub fn endpoint(&self) -> Option<usize> {
        self.lock().endpoint
    }

    /// Whether a publish or a request is not complete.
    pub fn is_pending(&self, token: Token) -> bool {
        self.lock().session.is_pending(token)
    }

    /// The publishes with QoS 1 and 2 that are not complete.
    pub fn pending(&self) -> Vec<Token> {
        self.lock().session.pending().collect()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let inner = self.lock();
        Stats {
            session: *inner.session.stats(),
            ..inner.stats
        }
    }

    /// What waits and what is in flight.
    pub fn levels(&self) -> Levels {
        let inner = self.lock();
        let (queued_messages, queued_bytes) = inner.session.queued();
        Levels {
            queued_messages,
            queued_bytes,
            in_flight: inner.session.in_flight(),
        }
    }

    /// Whether both are the same client.
    pub fn same(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A handle that does not keep the client.
    pub fn downgrade(&self) -> WeakLink {
        WeakLink(Arc::downgrade(&self.0))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.shared().lock()
    }

    fn finish(&self, inner: std::sync::MutexGuard<'_, Inner>, flush: Flush) {
        self.shared().finish(inner, flush);
    }
}

impl WeakLink {
    /// The link, as long as somebody has a handle.
    pub fn upgrade(&self) -> Option<Link> {
        self.0.upgrade().map(Link)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.orders = Orders {
            remove: true,
            ..Orders::default()
        };
        if inner.slot.is_none() && !inner.queued {
            return; // the IO thread has never heard of it
        }
        self.shared.finish(inner, Flush::Later);
    }
}

impl State<'_> {
    /// What the link is doing.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Whether the server has accepted, and neither side has ended it.
    pub fn is_connected(&self) -> bool {
        self.0.session.state() == SessionState::Connected
    }

    /// Whether there is a connection, or there was one and it is being made again by itself.
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// Whether the connection is over but for its last bytes.
    pub fn is_closing(&self) -> bool {
        self.0.session.state() == SessionState::Closing
    }

    /// Whether a publish has ended with
    /// [`Dropped`](ternmq_protocol::client::Event::Dropped), as far as its token is not in use again.
    pub fn was_dropped(&self, token: Token) -> bool {
        self.0.dropped.contains(&token)
    }

    /// Why the last attempt ended without a connection, until the next one begins.
    pub fn connect_error(&self) -> Option<&ConnectError> {
        self.0.error.as_ref()
    }

    /// Whether a publish or a request is not complete.
    pub fn is_pending(&self, token: Token) -> bool {
        self.0.session.is_pending(token)
    }

    /// Publishes with QoS 1 and 2 that are not complete.
    pub fn pending(&self) -> usize {
        self.0.session.pending_count()
    }

    /// Messages in the outbox and the bytes they take.
    pub fn queued(&self) -> (usize, usize) {
        self.0.session.queued()
    }

    /// Whether everything that was to be sent so far has been handed to the operating system: no
    /// message in the outbox, nothing in the buffers.
    pub fn is_flushed(&mut self) -> bool {
        let inner = &mut *self.0;
        inner.session.queued().0 == 0 && inner.unsent == 0 && inner.session.outbound().is_empty()
    }

    /// Whether there is something to take.
    pub fn has_events(&self) -> bool {
        !self.0.events.is_empty()
    }

    /// The events that wait to be taken, in order.
    pub fn events(&self) -> &[Event] {
        &self.0.events
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.lock();
        f.debug_struct("Link")
            .field("status", &inner.status)
            .field("session", &inner.session)
            .finish_non_exhaustive()
    }
}
