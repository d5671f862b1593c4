//! What the link tells, sorted: messages and reports for the application, answers for the threads
//! that wait for them.

use std::collections::{HashMap, HashSet};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ternmq_client::ConnectError;
use ternmq_client::link::Event;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, DropReason, Event as SessionEvent, Progress, Token};
use ternmq_protocol::codec::PropertiesBuf;

use super::connect::Attempt;
use super::{Answer, Client, State};
use crate::inbox::{self, HasInbox, Inbox, Report, Upcall};
use crate::reconnect::Change;
use crate::types::client::MQTTCLIENT_FAILURE;

impl HasInbox for State {
    fn inbox(&mut self) -> &mut Inbox {
        &mut self.inbox
    }
}

/// The answers to requests that list topics.
#[derive(Default)]
pub(super) struct Requests {
    /// Not fetched yet. `None`: there will be no answer.
    answers: HashMap<Token, Option<Answer>>,
    /// Nobody waits any more.
    abandoned: HashSet<Token>,
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
                let session_present = connected.session_present;
                state.report(Report::Connected { session_present });
                if std::mem::take(&mut state.attempting) {
                    state.attempt = Some(Attempt::Connected(connected));
                } else {
                    state.push_change(Change::Back { session_present });
                }
            }
            SessionEvent::Message(incoming) => {
                let store = self.store.as_ref();
                if !store.is_some_and(|store| store.holds_back(&incoming)) {
                    state.inbox.push(Upcall::Message(incoming));
                }
            }
            SessionEvent::Progress(Progress::Completed(id)) => self.take_in_released(state, id),
            SessionEvent::Published {
                token,
                reason,
                properties,
            } if state.wants_published(self.is_v5) => {
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
            SessionEvent::Dropped { token, why } => {
                // A publish or a request: who waits for the latter looks for it, the other is gone
                // from what the link has pending.
                state.kinds.forget(token);
                let awaited = !state.inbox.nobody_awaits();
                state.requests.answered(token, None, awaited);
                // What ends with its connection is a request, and its caller knows.
                if why != DropReason::ConnectionLost {
                    let code = MQTTCLIENT_FAILURE;
                    state.report(Report::Dropped { token, code });
                }
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
        while let Some(incoming) = self.store.as_ref().and_then(|store| store.ownerless()) {
            state.inbox.push(Upcall::Message(incoming));
        }
    }

    /// PUBREL has come for a message that is held back.
    fn take_in_released(&self, state: &mut State, packet_id: u16) {
        let store = self.store.as_ref();
        if let Some(incoming) = store.and_then(|store| store.released(packet_id)) {
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
    pub(super) fn throttle<'a>(&'a self, state: MutexGuard<'a, State>) {
        inbox::throttle(&self.link, state, || self.lock());
    }
}

/// A connection has ended.
fn take_in_end(state: &mut State, cause: Cause, reason: ReasonCode, properties: PropertiesBuf) {
    state.connected = false;
    let retry = state.retry.take();
    state.returning = retry.is_some();
    if cause == Cause::Server && state.wants_disconnected() {
        let told = Upcall::Disconnected { reason, properties };
        state.inbox.push(told);
    } else if cause != Cause::Local && state.wants_lost() {
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
        if !self.inbox.is_polled() {
            if self.callbacks.changed.is_some() {
                self.inbox.push(Upcall::Changed(change));
            }
        } else if let Change::AttemptFailed { error, .. } = change {
            // The other changes have reports of their own.
            let (code, reason) = match error {
                ConnectError::Refused { reason, .. } => (MQTTCLIENT_FAILURE, reason),
                _ => (MQTTCLIENT_FAILURE, ReasonCode::SUCCESS),
            };
            self.report(Report::ConnectFailed { code, reason });
        }
    }

    /// Whether there is something for the callbacks.
    pub(super) fn has_something_to_tell(&self) -> bool {
        match self.callbacks.are_set() {
            _ if self.inbox.is_polled() => false,
            true => !self.inbox.is_empty(),
            false => self.inbox.has_reports(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
