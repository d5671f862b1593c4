//! What a link's lock protects: the session and what the drivers need beside it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ternmq_protocol::client::{
    Cause, ClientSession, Event as SessionEvent, PublishRefused, RequestRefused,
    State as SessionState, Token,
};
use ternmq_protocol::codec::{Properties, PropertiesBuf, PropertyId, QoS, Request};
use ternmq_protocol::{Message, ReasonCode, Time};

use super::Observers;
use super::event::{Event, Stats};
use super::journal::Name;
use super::subscriptions::Subscriptions;
use crate::clock;
use crate::error::ConnectError;
use crate::io::Reactor;
use crate::options::{ConnectOptions, Target};
use ternmq_transport::{Endpoint, Scheme};

/// Servers taken from one Server Reference.
const SERVERS_IN_REFERENCE: usize = 8;

/// What a link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// No connection, and none will be made unless asked for.
    Closed,
    /// An attempt goes on.
    Connecting,
    /// The server has accepted.
    Connected,
    /// No connection; the next attempt is planned.
    Waiting,
}

/// How a connection is to end, and when at the latest.
pub(crate) struct Farewell {
    pub(crate) latest: Time,
    pub(crate) reason: ReasonCode,
    pub(crate) properties: PropertiesBuf,
}

/// What the threads of the application ask of the IO thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    /// Begin an attempt, now.
    pub(crate) connect: bool,
    /// End the attempt, the wait or the connection, now and without a DISCONNECT.
    pub(crate) abort: bool,
    /// The last handle is gone: abort, and forget the link.
    pub(crate) remove: bool,
    /// There is something to do that the state shows: flush, close, read on, a new deadline.
    pub(crate) attend: bool,
}

pub(crate) struct Inner {
    pub(crate) session: ClientSession,
    /// Who keeps the session, and who sees the bytes.
    pub(crate) observers: Observers,
    /// `options.session` is empty: the session has it.
    pub(crate) options: ConnectOptions,
    pub(crate) subscriptions: Subscriptions,
    /// Publishes that were dropped, until their tokens are in use again: no more than there are.
    pub(crate) dropped: HashSet<Token>,
    pub(crate) stats: Stats,
    pub(crate) status: Status,
    /// Why the last attempt ended without a connection.
    pub(crate) error: Option<ConnectError>,

    pub(crate) events: Vec<Event>,
    pub(crate) event_bytes: usize,
    /// Somebody was told of the events and has not taken them yet.
    pub(crate) told: bool,
    /// Threads in `wait`.
    pub(crate) waiters: usize,
    /// A publish was refused for lack of room since the last [`Event::Room`].
    wants_room: bool,
    /// One of them had a QoS above 0, so that room means room in the send window too.
    wants_window: bool,

    /// The wire has a stream and the session knows.
    pub(crate) online: bool,
    /// Counts the transports, so that a write to an old one does not count for the new.
    pub(crate) epoch: u64,
    /// A thread is writing; it comes back for what is added meanwhile.
    pub(crate) flushing: bool,
    /// The socket is full; the poller will tell.
    pub(crate) blocked: bool,
    /// The poller has told since the last write began.
    pub(crate) writable: bool,
    /// Bytes that are taken from the session and not written.
    pub(crate) unsent: usize,
    /// When something was written last, in nanoseconds.
    pub(crate) written_at: u64,
    /// A write has failed.
    pub(crate) broken: Option<ConnectError>,

    /// The CONNACK is awaited: what the session tells is news of the attempt.
    pub(crate) handshaking: bool,
    /// How the handshake failed.
    pub(crate) failed: Option<ConnectError>,
    /// An attempt is a repetition: a connection was there before, and was not given up.
    pub(crate) resuming: bool,
    /// The connection is being ended from here, for good.
    pub(crate) leaving: bool,
    /// The connection is being ended from here, to be made again.
    pub(crate) renewing: bool,
    /// Attempts since the last connection.
    pub(crate) attempts: u32,
    /// The link was closed by hand: nothing is tried again.
    pub(crate) given_up: bool,
    /// The IO thread is ending what there is: an attempt that is asked for begins behind that.
    pub(crate) aborting: bool,
    /// Which of the endpoints is connected to, or was tried last.
    pub(crate) endpoint: Option<usize>,
    /// Somebody wants to be asked before an attempt is repeated.
    pub(crate) asks: bool,
    /// The connection is to end when nothing is under way any more.
    pub(crate) farewell: Option<Farewell>,
    /// Where the server has sent us; the next attempt begins there.
    pub(crate) redirect: Vec<Target>,
    /// How the server is reached with which we talk.
    pub(crate) scheme: Scheme,
    /// When the next attempt is planned.
    pub(crate) retry_at: Option<Time>,

    pub(crate) orders: Orders,
    /// The IO thread.
    pub(crate) reactor: Arc<Reactor>,
    /// Where the IO thread keeps its part of the link.
    pub(crate) slot: Option<usize>,
    /// The IO thread has been told to look here.
    pub(crate) queued: bool,
    /// When the IO thread looks here in any case.
    pub(crate) armed: Time,
    /// The application wants no more for now. Set without the lock.
    pub(crate) paused: Arc<AtomicBool>,
    /// The IO thread leaves the socket alone because of a limit or a pause.
    pub(crate) starved: bool,
}

impl Inner {
    pub(crate) fn new(
        session: ClientSession,
        options: ConnectOptions,
        reactor: Arc<Reactor>,
        observers: Observers,
    ) -> Self {
        Self {
            session,
            observers,
            options,
            subscriptions: Subscriptions::default(),
            dropped: HashSet::new(),
            stats: Stats::default(),
            status: Status::Closed,
            error: None,
            events: Vec::new(),
            event_bytes: 0,
            told: false,
            waiters: 0,
            wants_room: false,
            wants_window: false,
            online: false,
            epoch: 0,
            flushing: false,
            blocked: false,
            writable: false,
            unsent: 0,
            written_at: 0,
            broken: None,
            handshaking: false,
            failed: None,
            resuming: false,
            leaving: false,
            renewing: false,
            attempts: 0,
            given_up: false,
            aborting: false,
            endpoint: None,
            asks: false,
            farewell: None,
            redirect: Vec::new(),
            scheme: Scheme::Tcp,
            retry_at: None,
            orders: Orders::default(),
            slot: None,
            queued: false,
            armed: Time::NEVER,
            reactor,
            paused: Arc::default(),
            starved: false,
        }
    }

    /// Takes over what the session has to tell. After every call that may have made events.
    pub(crate) fn collect(&mut self, now: Time) {
        self.collect_events(now);
        if self.farewell.is_some() && self.may_say_farewell(now) {
            self.say_farewell(now);
            self.collect_events(now);
        }
    }

    fn collect_events(&mut self, now: Time) {
        while let Some(event) = self.session.poll_event() {
            if let Some(journal) = &mut self.observers.journal {
                journal.note(now, &event);
            }
            match event {
                SessionEvent::Connected(connected) => {
                    let present = connected.session_present;
                    self.connected();
                    self.push(Event::Session(SessionEvent::Connected(connected)));
                    self.resubscribe(now, present);
                }
                SessionEvent::Refused { reason, properties } => {
                    self.note_redirect(reason, properties.get());
                    self.failed = Some(ConnectError::Refused { reason, properties });
                }
                SessionEvent::Disconnected { cause, .. } if self.handshaking => {
                    self.failed.get_or_insert(before_connack(cause));
                }
                SessionEvent::Disconnected {
                    cause,
                    reason,
                    ref properties,
                } => {
                    self.note_redirect(reason, properties.get());
                    self.disconnected(now, cause, reason);
                    self.push(Event::Session(event));
                }
                SessionEvent::Subscribed {
                    token, ref codes, ..
                }
                | SessionEvent::Unsubscribed {
                    token, ref codes, ..
                } => match self.subscriptions.answered(token, codes) {
                    Some(lost) => self.stats.lost_subscriptions += lost,
                    None => self.push(Event::Session(event)),
                },
                SessionEvent::Dropped { token, .. } => {
                    if !self.subscriptions.unanswered(token) {
                        self.dropped.insert(token);
                        self.push(Event::Session(event));
                    }
                }
                other => self.push(Event::Session(other)),
            }
        }
        if self.wants_room && self.has_room() {
            (self.wants_room, self.wants_window) = (false, false);
            self.push(Event::Room);
        }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.event_bytes += event.bytes();
        self.events.push(event);
    }

    pub(crate) fn publish(&mut self, now: Time, message: Message) -> Result<Token, PublishRefused> {
        self.publish_noted(now, message, 0)
    }

    pub(crate) fn publish_noted(
        &mut self,
        now: Time,
        message: Message,
        note: u32,
    ) -> Result<Token, PublishRefused> {
        let at_most_once = message.qos() == QoS::AtMostOnce;
        let published = match self.observers.journal {
            Some(_) if !at_most_once || note != 0 => self.keep_and_publish(now, message, note),
            _ => self.session.publish_noted(now, message, note),
        };
        if let (Ok(token), false) = (published, self.dropped.is_empty()) {
            self.dropped.remove(&token);
        }
        if published == Err(PublishRefused::Full) {
            self.wants_room = true;
            self.wants_window |= !at_most_once;
        }
        published
    }

    /// Stores the message, then has the session take it.
    fn keep_and_publish(
        &mut self,
        now: Time,
        message: Message,
        note: u32,
    ) -> Result<Token, PublishRefused> {
        let token = self.session.next_token(&message)?;
        let name = Name {
            packet_id: token.0,
            note,
            waits: self.session.would_wait(message.qos()),
        };
        let journal = match &mut self.observers.journal {
            // What is sent at once with QoS 0 is done with.
            Some(journal) if token != Token::NONE || name.waits => journal,
            _ => return self.session.publish_noted(now, message, note),
        };
        if !journal.keep(now, name, &message) {
            return Err(PublishRefused::NotKept);
        }
        let published = self.session.publish_noted(now, message, note);
        debug_assert!(published.is_err() || published == Ok(token));
        if published.is_err() {
            journal.withdraw(name);
        }
        published
    }

    pub(crate) fn subscribe(
        &mut self,
        now: Time,
        requests: &[Request<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, RequestRefused> {
        let token = self.session.subscribe(now, requests, properties)?;
        self.subscriptions.asked(token, requests, properties);
        Ok(token)
    }

    pub(crate) fn unsubscribe(
        &mut self,
        now: Time,
        filters: &[&str],
        properties: Properties<'_>,
    ) -> Result<Token, RequestRefused> {
        let token = self.session.unsubscribe(now, filters, properties)?;
        self.subscriptions.asked_to_end(token, filters);
        Ok(token)
    }

    /// An attempt that was asked for begins.
    pub(crate) fn connect_begins(&mut self) {
        self.status = Status::Connecting;
        self.error = None;
        self.push(Event::ConnectBegun);
    }

    /// Orders the end of whatever there is.
    pub(crate) fn give_up(&mut self) {
        if std::mem::take(&mut self.orders.connect) && (self.orders.abort || self.aborting) {
            // An attempt that was to begin behind an end: it ends with that.
            self.push(Event::ConnectBegun);
        }
        self.orders.abort = true;
    }

    /// All endpoints were tried.
    pub(crate) fn attempt_failed(&mut self, now: Time, error: ConnectError) {
        self.stats.connect_failures += 1;
        let cancelled = matches!(error, ConnectError::Cancelled);
        let again = self.resuming || self.options.reconnect.is_some_and(|b| b.first_connect);
        let retry = (again && !cancelled)
            .then(|| self.plan_retry(now))
            .flatten();
        if retry.is_none() {
            self.status = Status::Closed;
        }
        self.error = Some(error.clone());
        self.push(Event::ConnectFailed { error, retry });
    }

    /// Whether the socket is to be left alone for now.
    pub(crate) fn is_full(&self) -> bool {
        let limits = &self.options.limits;
        if self.paused.load(Ordering::Acquire) {
            return true;
        }
        if self.events.len() < limits.events && self.event_bytes < limits.event_bytes {
            return false;
        }
        self.event_bytes >= limits.event_bytes_awaiting || !self.awaits_answer()
    }

    /// Whether an answer of the server is awaited.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.subscriptions.awaits_answer() || self.session.pending_count() > 0
    }

    /// Whether there are bytes that could be written and nobody writes.
    pub(crate) fn can_flush(&mut self) -> bool {
        self.online
            && !self.flushing
            && !self.blocked
            && (self.unsent > 0 || !self.session.outbound().is_empty())
    }

    /// Whether the connection is over and everything is written, or never will be.
    pub(crate) fn may_close(&mut self) -> bool {
        let given_up = self.session.poll_timeout().is_none();
        self.session.wants_close()
            && self.session.outbound().is_empty()
            && (given_up || (self.unsent == 0 && !self.flushing))
    }

    /// When the IO thread has something to do for the sake of time.
    pub(crate) fn deadline(&self) -> Time {
        let session = self.session.poll_timeout().unwrap_or(Time::NEVER);
        let farewell = self.farewell.as_ref().map_or(Time::NEVER, |f| f.latest);
        session
            .min(self.retry_at.unwrap_or(Time::NEVER))
            .min(farewell)
    }

    /// Whether nothing is under way any more, or it has taken too long.
    fn may_say_farewell(&self, now: Time) -> bool {
        let late = self.farewell.as_ref().is_some_and(|f| f.latest <= now);
        late || (self.session.pending_count() == 0 && self.session.queued().0 == 0)
    }

    fn say_farewell(&mut self, now: Time) {
        self.leaving = true;
        let Some(Farewell {
            reason, properties, ..
        }) = self.farewell.take()
        else {
            return;
        };
        if self
            .session
            .disconnect(now, reason, properties.get())
            .is_err()
        {
            // What was possible when it was asked for is not any more: a plain end then.
            let normal = ReasonCode::NORMAL_DISCONNECTION;
            let _ = self.session.disconnect(now, normal, Properties::EMPTY);
        }
    }

    fn connected(&mut self) {
        self.handshaking = false;
        self.failed = None;
        self.error = None;
        self.status = Status::Connected;
        self.resuming = true;
        (self.leaving, self.renewing) = (false, false);
        self.attempts = 0;
        self.stats.connects += 1;
        // A session that outlives connections is begun anew once, not each time.
        let options = self.session.options_mut();
        let expiry = options.properties.get();
        if options.version.is_v5() && expiry.number(PropertyId::SessionExpiryInterval) > Some(0) {
            options.clean_start = false;
        }
    }

    fn disconnected(&mut self, now: Time, cause: Cause, reason: ReasonCode) {
        self.status = Status::Closed;
        // A farewell ends with its connection, whoever ended that.
        let renewing = std::mem::take(&mut self.renewing);
        let own = self.farewell.take().is_some() || (cause == Cause::Local && !renewing);
        self.stats.losses += u64::from(!own);
        let backoff = self.options.reconnect;
        let taken_over = reason == ReasonCode::SESSION_TAKEN_OVER && cause == Cause::Server;
        let again = backoff.is_some_and(|b| !taken_over || b.after_takeover);
        if again && !own && !self.given_up {
            if let Some(after) = self.plan_retry(now) {
                self.push(Event::RetryPlanned { after });
            }
        } else {
            self.resuming = false;
        }
    }

    /// Whether there is a connection, or there was one and it is being made again.
    pub(crate) fn is_held(&self) -> bool {
        let back = self.resuming && self.options.reconnect.is_some() && !self.leaving;
        self.session.state() == SessionState::Connected || (back && self.status != Status::Closed)
    }

    /// Notes where the server wants the client to go (section 4.11), to be reached like this one where
    /// it doesn't say how. What can't be understood of it is passed over, and so is a way without TLS
    /// from a server with it: the client's own endpoints remain.
    fn note_redirect(&mut self, reason: ReasonCode, properties: Properties<'_>) {
        let elsewhere = [ReasonCode::USE_ANOTHER_SERVER, ReasonCode::SERVER_MOVED];
        if !self.options.follow_redirects || !elsewhere.contains(&reason) {
            return;
        }
        let reference = properties.text(PropertyId::ServerReference).unwrap_or("");
        let servers = reference.split_ascii_whitespace();
        self.redirect = servers
            .filter_map(|server| elsewhere_from(self.scheme, server))
            .map(Target::Server)
            .take(SERVERS_IN_REFERENCE)
            .collect();
    }

    fn plan_retry(&mut self, now: Time) -> Option<Duration> {
        let delay = self.options.reconnect?.delay(self.attempts, random());
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(now.after(clock::millis(delay)));
        self.status = Status::Waiting;
        Some(delay)
    }

    fn resubscribe(&mut self, now: Time, session_present: bool) {
        if session_present || !self.options.resubscribe {
            return;
        }
        for batch in self.subscriptions.batches() {
            let requests: Vec<Request<'_>> = batch
                .filters
                .iter()
                .map(|(f, o)| (f.as_str(), *o))
                .collect();
            let sent = self
                .session
                .subscribe(now, &requests, batch.properties.get());
            match sent {
                Ok(token) => self.subscriptions.asked_again(token, batch),
                Err(_) => self.stats.lost_subscriptions += batch.filters.len() as u64,
            }
        }
    }

    /// Whether a publish would be taken now, with some distance to the limit, so that a waiting
    /// publisher is not woken for each single message.
    fn has_room(&mut self) -> bool {
        let (messages, bytes) = self.session.queued();
        let outbound = self.session.outbound().len();
        let options = self.session.options();
        let half = options.max_queued_bytes / 2;
        let waits_in_window = self.wants_window && options.max_queued_messages == 0;
        (!waits_in_window || self.session.can_send())
            && messages <= options.max_queued_messages / 2
            && bytes <= half
            && outbound <= half
            && (options.publish_offline || self.session.state() == SessionState::Connected)
    }
}

fn elsewhere_from(here: Scheme, server: &str) -> Option<Endpoint> {
    let endpoint: Endpoint = match server.contains("://") {
        true => server.parse().ok()?,
        false => format!("{}://{server}", here.name()).parse().ok()?,
    };
    (endpoint.scheme.is_secure() || !here.is_secure()).then_some(endpoint)
}

/// What the loss of a connection means for the attempt to make it.
fn before_connack(cause: Cause) -> ConnectError {
    match cause {
        Cause::Local => ConnectError::Cancelled,
        Cause::Timeout(_) => ConnectError::Timeout,
        Cause::Error(error) => ConnectError::Protocol(error),
        Cause::Options(error) => ConnectError::Options(error),
        Cause::Server | Cause::Lost => ConnectError::Closed,
    }
}

/// A number nobody can foresee, from the seeds of the standard library's hash tables.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(clock::nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_keeps_the_scheme_and_never_gives_up_tls() {
        let shown = |here, server| elsewhere_from(here, server).map(|e| e.to_string());
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(shown(Scheme::Tcp, "other"), is("mqtt://other:1883"));
        assert_eq!(shown(Scheme::Tls, "other:1"), is("mqtts://other:1"));
        assert_eq!(
            shown(Scheme::SecureWebSocket, "other/x"),
            is("wss://other:443/x")
        );
        assert_eq!(
            shown(Scheme::Tcp, "mqtts://other"),
            is("mqtts://other:8883")
        );
        assert_eq!(shown(Scheme::Tls, "mqtt://other"), None);
        assert_eq!(shown(Scheme::Tls, "unix:///x"), None);
    }
}
