//! What the link tells, sorted: messages and reports for the application, answers for the threads
//! that wait for them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ternmq_client::ConnectError;
use ternmq_client::link::Event;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, Event as SessionEvent, Incoming, Progress, Token};
use ternmq_protocol::codec::PropertiesBuf;

use super::connect::Attempt;
use super::{Answer, Client, State};
use crate::reconnect::Change;

/// Messages that may wait for the application before the socket is left alone; the server's window
/// and TCP then hold back the rest.
const MAX_WAITING: usize = 65_536;
/// The same in bytes.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// The same while a call waits for an answer, which stands behind the messages in the socket.
const MAX_WAITING_BYTES_AWAITING: usize = 64 << 20;

/// Something that the application is to be told.
pub(super) enum Upcall {
    Message(Incoming),
    Published {
        token: Token,
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    Lost,
    Disconnected {
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    Changed(Change),
}

/// What waits for the application, in order.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: VecDeque<Upcall>,
    /// How many of them are no messages.
    reports: usize,
    bytes: usize,
    /// Calls that wait for an answer of the server.
    awaiting: usize,
    /// The link was told to pause.
    paused: bool,
}

/// The answers to requests that list topics.
#[derive(Default)]
pub(super) struct Requests {
    /// Not fetched yet. `None`: there will be no answer.
    answers: HashMap<Token, Option<Answer>>,
    /// Nobody waits any more.
    abandoned: HashSet<Token>,
}

impl Inbox {
    pub(super) fn push(&mut self, upcall: Upcall) {
        self.bytes += memory(&upcall);
        self.reports += usize::from(!is_message(&upcall));
        self.waiting.push_back(upcall);
    }

    /// The first of what waits; but a message only if `messages`.
    pub(super) fn pop(&mut self, messages: bool) -> Option<Upcall> {
        let upcall = if messages {
            self.waiting.pop_front()
        } else if self.reports == 0 {
            None
        } else {
            let at = self.waiting.iter().position(|upcall| !is_message(upcall))?;
            self.waiting.remove(at)
        }?;
        self.bytes -= memory(&upcall);
        self.reports -= usize::from(!is_message(&upcall));
        Some(upcall)
    }

    /// The first message; reports before it are left to the callbacks.
    pub(super) fn pop_message(&mut self) -> Option<Incoming> {
        let at = self.waiting.iter().position(is_message)?;
        match self.waiting.remove(at)? {
            Upcall::Message(incoming) => {
                self.bytes -= incoming.message.memory();
                Some(incoming)
            }
            _ => None,
        }
    }

    /// Puts a message back to where it was.
    pub(super) fn put_back(&mut self, incoming: Incoming) {
        let upcall = Upcall::Message(incoming);
        self.bytes += memory(&upcall);
        self.waiting.push_front(upcall);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is anything but messages.
    pub(super) fn has_reports(&self) -> bool {
        self.reports > 0
    }

    /// Messages that wait.
    pub(super) fn messages(&self) -> usize {
        self.waiting.len() - self.reports
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        (self.bytes, self.reports) = (0, 0);
    }

    /// Whether the network is not read, for all that waits here.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    fn nobody_awaits(&self) -> bool {
        self.awaiting == 0
    }

    /// Whether the link is to pause, with some distance between stopping and going on.
    fn wants_pause(&self) -> bool {
        let (messages, bytes) = match self.awaiting {
            0 => (MAX_WAITING, MAX_WAITING_BYTES),
            _ => (usize::MAX, MAX_WAITING_BYTES_AWAITING),
        };
        let share = if self.paused { 2 } else { 1 };
        self.waiting.len() >= messages / share || self.bytes >= bytes / share
    }
}

impl Requests {
    /// An answer has come, or will not; `awaited`: by somebody.
    fn answered(&mut self, token: Token, answer: Option<Answer>, awaited: bool) {
        if !self.abandoned.remove(&token) && awaited {
            self.answers.insert(token, answer);
        }
    }

    pub(super) fn take(&mut self, token: Token) -> Option<Option<Answer>> {
        self.answers.remove(&token)
    }

    /// Nobody waits for this answer any more.
    pub(super) fn abandon(&mut self, token: Token) {
        if self.answers.remove(&token).is_none() {
            self.abandoned.insert(token);
        }
    }

    /// Nobody waits for anything: what is left was not asked for.
    fn forget_answers(&mut self) {
        self.answers.clear();
    }
}

impl Client {
    /// Sorts a batch of events into the state.
    pub(super) fn take_in_batch(&self, batch: &mut Vec<Event>) {
        let mut state = self.lock();
        for event in batch.drain(..) {
            match event {
                Event::Session(event) => self.take_in_event(&mut state, event),
                Event::ConnectBegun => (state.attempting, state.returning) = (true, false),
                Event::ConnectFailed { error, retry } => {
                    take_in_failure(&mut state, error, retry);
                }
                Event::RetryPlanned { after } => state.retry = Some(after),
                // Nobody has asked to be asked.
                Event::RetryDue => {}
                Event::Room => _ = self.room.fetch_add(1, Ordering::Release),
            }
        }
        self.changed.notify_all();
        let something_to_tell = state.has_something_to_tell();
        self.throttle(state);
        if something_to_tell {
            self.schedule_callbacks();
        }
    }

    fn take_in_event(&self, state: &mut State, event: SessionEvent) {
        match event {
            SessionEvent::Connected(connected) => {
                state.connected = true;
                state.returning = false;
                self.take_in_stored(state);
                if std::mem::take(&mut state.attempting) {
                    state.attempt = Some(Attempt::Connected(connected));
                } else {
                    let session_present = connected.session_present;
                    state.push_change(Change::Back { session_present });
                }
            }
            SessionEvent::Message(incoming) => {
                let store = self.store.as_ref();
                if !store.is_some_and(|store| store.holds_back(&incoming)) {
                    state.inbox.push(Upcall::Message(incoming));
                }
            }
            SessionEvent::Progress(Progress::Completed(_)) => self.take_in_released(state),
            SessionEvent::Published {
                token,
                reason,
                properties,
            } if state.callbacks.want_published(self.is_v5) => {
                state.inbox.push(Upcall::Published {
                    token,
                    reason,
                    properties,
                });
            }
            SessionEvent::Subscribed {
                token,
                codes,
                properties,
            }
            | SessionEvent::Unsubscribed {
                token,
                codes,
                properties,
            } => {
                let awaited = !state.inbox.nobody_awaits();
                let answer = Answer { codes, properties };
                state.requests.answered(token, Some(answer), awaited);
            }
            SessionEvent::Dropped { token, .. } => {
                // A publish or a request: who waits for the latter looks for it, the other is gone
                // from what the link has pending.
                state.kinds.forget(token);
                let awaited = !state.inbox.nobody_awaits();
                state.requests.answered(token, None, awaited);
            }
            SessionEvent::Disconnected {
                cause,
                reason,
                properties,
            } => {
                take_in_end(state, cause, reason, properties);
            }
            _ => {}
        }
    }

    /// There is a connection: the application gets what an earlier process has left, unless that belonged
    /// to a session that is cleaned now.
    fn take_in_stored(&self, state: &mut State) {
        let restored = std::mem::take(&mut state.restored);
        if !state.clean_start {
            let upcalls = restored.into_iter().map(Upcall::Message);
            upcalls.for_each(|upcall| state.inbox.push(upcall));
        }
        self.take_in_released(state);
    }

    /// Takes the messages that are held back no more.
    fn take_in_released(&self, state: &mut State) {
        while let Some(incoming) = self.store.as_ref().and_then(|store| store.released()) {
            state.inbox.push(Upcall::Message(incoming));
        }
    }

    /// A call begins or ends to wait for an answer of the server, which stands behind all messages
    /// that are not read yet.
    pub(super) fn await_answer(&self, begins: bool) {
        let mut state = self.lock();
        if begins {
            state.inbox.awaiting += 1;
        } else {
            state.inbox.awaiting -= 1;
            if state.inbox.nobody_awaits() {
                state.requests.forget_answers();
            }
        }
        self.throttle(state);
    }

    /// Stops or restarts reading from the network, as the inbox wants it. Called after each change
    /// of the inbox; the lock is released while the link is told.
    pub(super) fn throttle<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        while state.inbox.paused != state.inbox.wants_pause() {
            let mut paused = !state.inbox.paused;
            state.inbox.paused = paused;
            loop {
                drop(state);
                self.link.pause(paused);
                state = self.lock();
                if state.inbox.paused == paused {
                    break;
                }
                // Another thread has decided otherwise meanwhile, and may have told the link first.
                paused = state.inbox.paused;
            }
        }
    }
}

/// A connection has ended.
fn take_in_end(state: &mut State, cause: Cause, reason: ReasonCode, properties: PropertiesBuf) {
    state.connected = false;
    let retry = state.retry.take();
    state.returning = retry.is_some();
    if cause == Cause::Server && state.callbacks.want_disconnected() {
        let told = Upcall::Disconnected { reason, properties };
        state.inbox.push(told);
    } else if cause != Cause::Local && state.callbacks.want_lost() {
        state.inbox.push(Upcall::Lost);
    }
    if cause != Cause::Local || retry.is_some() {
        state.push_change(Change::Lost {
            cause,
            reason,
            retry,
        });
    }
}

/// An attempt has ended without a connection: one that a thread waits for, or one of those by itself.
/// That these were given up is no news.
fn take_in_failure(state: &mut State, error: ConnectError, retry: Option<Duration>) {
    state.returning = retry.is_some();
    if std::mem::take(&mut state.attempting) {
        state.attempt = Some(Attempt::Failed(error));
    } else if !matches!(error, ConnectError::Cancelled) {
        state.push_change(Change::AttemptFailed { error, retry });
    }
}

impl State {
    /// Notes a change of the connection, if somebody wants to hear of it.
    fn push_change(&mut self, change: Change) {
        if self.callbacks.changed.is_some() {
            self.inbox.push(Upcall::Changed(change));
        }
    }

    /// Whether there is something for the callbacks.
    pub(super) fn has_something_to_tell(&self) -> bool {
        match self.callbacks.are_set() {
            true => !self.inbox.is_empty(),
            false => self.inbox.has_reports(),
        }
    }
}

fn is_message(upcall: &Upcall) -> bool {
    matches!(upcall, Upcall::Message(_))
}

fn memory(upcall: &Upcall) -> usize {
    match upcall {
        Upcall::Message(incoming) => incoming.message.memory(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::client::Delivery;
    use ternmq_protocol::codec::{Properties, QoS};
    use ternmq_protocol::{Message, Time};

    fn message(bytes: usize) -> Upcall {
        let payload = vec![0; bytes];
        let (qos, none) = (QoS::AtMostOnce, Properties::EMPTY);
        Upcall::Message(Incoming {
            message: Message::new("t", &payload, qos, false, none, Time(0)).unwrap(),
            packet_id: 0,
            delivery: Delivery(1),
            dup: false,
            qos,
            retain: false,
            subscription_ids: Default::default(),
        })
    }

    #[test]
    fn many_messages_pause_the_network_until_half_are_gone() {
        let mut inbox = Inbox::default();
        for _ in 1..MAX_WAITING {
            inbox.push(Upcall::Lost);
        }
        assert!(!inbox.wants_pause());
        inbox.push(Upcall::Lost);
        assert!(inbox.wants_pause());
        inbox.paused = true;
        while inbox.len() >= MAX_WAITING / 2 {
            assert!(inbox.wants_pause());
            inbox.pop(true);
        }
        assert!(!inbox.wants_pause());
    }

    #[test]
    fn a_call_that_waits_for_an_answer_lets_more_bytes_wait() {
        let mut inbox = Inbox::default();
        inbox.push(message(MAX_WAITING_BYTES));
        assert!(inbox.wants_pause());
        inbox.paused = true;
        inbox.awaiting = 1;
        assert!(!inbox.wants_pause());
        inbox.push(message(MAX_WAITING_BYTES_AWAITING / 2));
        assert!(inbox.wants_pause());
        inbox.clear();
        assert!(!inbox.wants_pause() && inbox.is_empty());
    }

    #[test]
    fn reports_pass_a_refused_message_and_messages_do_not() {
        let mut inbox = Inbox::default();
        inbox.push(message(1));
        inbox.push(message(2));
        inbox.push(Upcall::Lost);
        let Some(Upcall::Message(refused)) = inbox.pop(true) else {
            panic!("no message");
        };
        inbox.put_back(refused);
        assert!(matches!(inbox.pop(false), Some(Upcall::Lost)));
        assert!(inbox.pop(false).is_none());
        let again = inbox.pop_message().unwrap();
        assert_eq!(again.message.payload().len(), 1);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_kept_for_the_next_request() {
        let (token, mut requests) = (Token(1), Requests::default());
        requests.abandon(token);
        requests.answered(token, None, true);
        assert!(requests.take(token).is_none());
        requests.answered(token, None, true);
        assert!(requests.take(token).is_some());
        requests.answered(token, None, false);
        assert!(requests.take(token).is_none());
    }
}
