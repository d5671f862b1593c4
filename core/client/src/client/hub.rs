//! Where the events of a link meet those who wait for them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, Delivery, DropReason, Event as SessionEvent, Token};
use ternmq_protocol::codec::PropertiesBuf;

use super::follow::News;
use super::routes::Routes;
use crate::error::ConnectError;
use crate::link::{Event, Inner, Link, Notify, Status as LinkStatus, WeakLink};
use crate::options::Limits;

/// Changes that may wait for a follower.
const MOST_NEWS: usize = 256;

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The first connection is being made.
    Connecting,
    /// The server has accepted.
    Connected,
    /// The connection was lost, and will be made again.
    Reconnecting,
    /// It is over: disconnected, or lost and not to be made again.
    Ended,
}

/// Why a client has ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// A connection ended, and no other was to be made.
    Disconnected {
        /// Who or what ended it.
        cause: Cause,
        /// The reason code that was sent or received.
        reason: ReasonCode,
        /// The properties of the server's DISCONNECT.
        properties: PropertiesBuf,
    },
    /// A connection could not be made.
    ConnectFailed(ConnectError),
}

/// An AUTH of the server (section 4.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// [`ReasonCode::CONTINUE_AUTHENTICATION`] wants an answer, Success ends an authentication that
    /// was begun again.
    pub reason: ReasonCode,
    /// Authentication Method, Authentication Data and so on.
    pub properties: PropertiesBuf,
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Published {
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    /// SUBACK or UNSUBACK.
    Answered {
        codes: Vec<ReasonCode>,
        properties: PropertiesBuf,
    },
    Dropped(DropReason),
    Ended,
}

/// Receives the events of one link, on whatever thread brings them, and hands them out.
///
/// Locks are taken in this order: `batch`, then the link's, then `state`. Nobody is woken while one
/// is held.
pub(crate) struct Hub {
    state: Mutex<State>,
    /// The events being handed out; whoever has it also does the work of those who come meanwhile.
    batch: Mutex<Vec<Event>>,
    more: AtomicBool,
    link: OnceLock<WeakLink>,
    limits: Limits,
}

pub(crate) struct State {
    pub(crate) routes: Routes,
    operations: HashMap<Token, Operation>,
    /// Operations among them that have no outcome yet.
    open: usize,
    pub(crate) status: Status,
    pub(crate) ended: Option<Ended>,
    /// Counts the times that there was room again for publishing.
    pub(crate) rooms: u64,
    /// What the server wants to know before it goes on. It sends one and waits.
    pub(crate) challenge: Option<Challenge>,
    /// Those who wait for the status, for room or for a challenge.
    watchers: Vec<Waker>,
    /// What a follower has not heard yet; nothing where there is none.
    pub(super) news: Option<VecDeque<News>>,
    /// The connection goes on with a session of an earlier client.
    pub(super) resumed: bool,
    /// The session outlives the connection.
    lasting: bool,
    /// Stops the reading of the link.
    pause: Arc<AtomicBool>,
    /// The link of a client that was dropped, until its connection is over.
    parting: Option<Link>,
}

enum Operation {
    Open(Option<Waker>),
    Done(Outcome),
}

impl Hub {
    pub(crate) fn new(limits: Limits, lasting: bool) -> Self {
        Self {
            state: Mutex::new(State {
                routes: Routes::default(),
                operations: HashMap::new(),
                open: 0,
                status: Status::Connecting,
                ended: None,
                rooms: 0,
                challenge: None,
                watchers: Vec::new(),
                news: None,
                resumed: false,
                lasting,
                pause: Arc::default(),
                parting: None,
            }),
            batch: Mutex::default(),
            more: AtomicBool::new(false),
            link: OnceLock::new(),
            limits,
        }
    }

    /// Says which link the events come from.
    pub(crate) fn attach(&self, link: &Link) {
        let pause = link.pause_flag();
        self.lock().pause = pause;
        let _ = self.link.set(link.downgrade());
    }

    /// Begins an operation with the link locked, so that its outcome can't come before somebody waits
    /// for it. `ended` is the error when there is nothing to wait for any more.
    pub(crate) fn begin<E>(
        &self,
        inner: &mut Inner,
        ended: E,
        send: impl FnOnce(&mut Inner) -> Result<Token, E>,
    ) -> Result<Token, E> {
        let mut state = self.lock();
        if state.ended.is_some() {
            return Err(ended);
        }
        let token = send(inner)?;
        if token != Token::NONE {
            state.open += 1;
            state.operations.insert(token, Operation::Open(None));
            // The answer must be read, however much waits.
            inner.orders.attend |= state.update_pause(&self.limits);
        }
        Ok(token)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps no more news; those who are to look again.
    pub(super) fn silence(&self) -> Vec<Waker> {
        let mut state = self.lock();
        state.news = None;
        std::mem::take(&mut state.watchers)
    }

    pub(crate) fn link(&self) -> Option<Link> {
        self.link.get().and_then(WeakLink::upgrade)
    }

    /// Looks at the state, and changes it; then reading stops or goes on as the queues demand.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        let goes_on = state.update_pause(&self.limits);
        drop(state);
        if goes_on && let Some(link) = self.link() {
            link.attend();
        }
        result
    }

    /// A subscription goes and stays with the server.
    pub(crate) fn leave(&self, key: usize) {
        let unwanted = self.change(|state| {
            state.routes.leave(key, self.limits.unclaimed);
            std::mem::take(&mut state.routes.unwanted)
        });
        if let Some(link) = self.link() {
            acknowledge(&link, unwanted);
        }
    }

    /// Waits until `look` sees what it waits for; it is asked again after each change of the status
    /// and each time there is room.
    pub(crate) fn poll_watch<R>(
        &self,
        context: &mut Context<'_>,
        look: &mut impl FnMut(&State) -> Option<R>,
    ) -> Poll<R> {
        let mut state = self.lock();
        if let Some(seen) = look(&state) {
            return Poll::Ready(seen);
        }
        let waker = context.waker();
        if !state.watchers.iter().any(|w| w.will_wake(waker)) {
            state.watchers.push(waker.clone());
        }
        Poll::Pending
    }

    /// Keeps the link until its connection is over, which `end` brings about.
    pub(crate) fn part(&self, link: Link, end: impl FnOnce(&Link)) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        state.parting = Some(link.clone());
        drop(state);
        end(&link);
    }

    fn hand_out(&self, batch: &mut Vec<Event>) {
        let Some(link) = self.link() else {
            return;
        };
        link.take_events(batch);
        let closed = link.status() == LinkStatus::Closed;
        let mut woken = Vec::new();
        let mut parted = None;
        let mut unwanted = Vec::new();
        self.change(|state| {
            for event in batch.drain(..) {
                state.receive(event, closed, &self.limits, &mut woken);
            }
            if state.ended.is_some() {
                parted = state.parting.take();
            }
            unwanted.append(&mut state.routes.unwanted);
        });
        acknowledge(&link, unwanted);
        for waker in woken {
            // What an executor does here is none of the IO thread's business, panics included.
            let wake = std::panic::AssertUnwindSafe(|| waker.wake());
            let _ = std::panic::catch_unwind(wake);
        }
        drop(parted);
    }
}

/// Acknowledges what was given up: nobody else would, and the server has only so many under way.
fn acknowledge(link: &Link, unwanted: Vec<Delivery>) {
    for delivery in unwanted {
        let _ = link.acknowledge(delivery, ReasonCode::SUCCESS);
    }
}

impl Notify for Hub {
    fn notify(&self) {
        self.more.store(true, Ordering::SeqCst);
        while self.more.load(Ordering::SeqCst) {
            // Whoever has it, perhaps this very thread further up, sees `more` before or after.
            let mut batch = match self.batch.try_lock() {
                Ok(batch) => batch,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            while self.more.swap(false, Ordering::SeqCst) {
                self.hand_out(&mut batch);
            }
        }
    }
}

impl State {
    fn receive(&mut self, event: Event, closed: bool, limits: &Limits, woken: &mut Vec<Waker>) {
        let event = match event {
            Event::Session(event) => event,
            Event::ConnectFailed { error, retry } => {
                self.challenge = None;
                if retry.is_some() {
                    self.tell(News::AttemptFailed(error), woken);
                } else {
                    self.end(Ended::ConnectFailed(error), woken);
                }
                return;
            }
            Event::RetryDue => {
                self.tell(News::RetryDue, woken);
                return;
            }
            // A link is not asked to tell more of its attempts.
            Event::ConnectBegun | Event::RetryPlanned { .. } => return,
            Event::Room => {
                self.rooms += 1;
                woken.append(&mut self.watchers);
                return;
            }
        };
        self.receive_from_session(event, closed, limits, woken);
    }

    fn receive_from_session(
        &mut self,
        event: SessionEvent,
        closed: bool,
        limits: &Limits,
        woken: &mut Vec<Waker>,
    ) {
        match event {
            SessionEvent::Message(incoming) => {
                let waits = self.resumed || (self.lasting && self.routes.kept);
                let keep = if waits { limits.unclaimed } else { 0 };
                self.routes.deliver(incoming, keep, woken);
            }
            SessionEvent::Published {
                token,
                reason,
                properties,
            } => self.done(token, Outcome::Published { reason, properties }, woken),
            SessionEvent::Subscribed {
                token,
                codes,
                properties,
            }
            | SessionEvent::Unsubscribed {
                token,
                codes,
                properties,
            } => self.done(token, Outcome::Answered { codes, properties }, woken),
            SessionEvent::Dropped { token, why } => self.done(token, Outcome::Dropped(why), woken),
            SessionEvent::Connected(connected) => {
                self.resumed = connected.session_present;
                self.status = Status::Connected;
                self.tell(News::Connected(connected), woken);
                woken.append(&mut self.watchers);
            }
            SessionEvent::Disconnected {
                cause,
                reason,
                properties,
            } => {
                let ended = Ended::Disconnected {
                    cause,
                    reason,
                    properties,
                };
                if closed {
                    self.end(ended, woken);
                } else {
                    self.challenge = None;
                    self.status = Status::Reconnecting;
                    self.tell(News::Lost(ended), woken);
                    woken.append(&mut self.watchers);
                }
            }
            SessionEvent::Authenticate { reason, properties } => {
                let challenge = Challenge { reason, properties };
                self.tell(News::Challenge(challenge.clone()), woken);
                self.challenge = Some(challenge);
                woken.append(&mut self.watchers);
            }
            _ => {}
        }
    }

    fn tell(&mut self, news: News, woken: &mut Vec<Waker>) {
        if let Some(unheard) = &mut self.news {
            // Who listens to nothing of so much has lost interest in the oldest.
            if unheard.len() >= MOST_NEWS {
                unheard.pop_front();
            }
            unheard.push_back(news);
            woken.append(&mut self.watchers);
        }
    }

    fn done(&mut self, token: Token, outcome: Outcome, woken: &mut Vec<Waker>) {
        let Some(operation) = self.operations.get_mut(&token) else {
            return; // nobody waits for it any more
        };
        if let Operation::Open(waker) = std::mem::replace(operation, Operation::Done(outcome)) {
            self.open -= 1;
            woken.extend(waker);
        }
    }

    fn end(&mut self, ended: Ended, woken: &mut Vec<Waker>) {
        if self.ended.is_some() {
            return;
        }
        self.status = Status::Ended;
        self.tell(News::Ended(ended.clone()), woken);
        self.ended = Some(ended);
        let tokens: Vec<Token> = self.operations.keys().copied().collect();
        for token in tokens {
            if matches!(self.operations.get(&token), Some(Operation::Open(_))) {
                self.done(token, Outcome::Ended, woken);
            }
        }
        self.routes.wake_all(woken);
        woken.append(&mut self.watchers);
    }

    /// Stops the reading when too much waits, lets it go on when it doesn't. True when it must be
    /// told that it may go on.
    ///
    /// While an answer is awaited, which stands behind the messages in the socket, more may wait:
    /// who takes messages only after the answer would wait for ever.
    fn update_pause(&mut self, limits: &Limits) -> bool {
        let (held, bytes) = (self.routes.held, self.routes.held_bytes);
        let full = self.routes.is_full() || held >= limits.events || bytes >= limits.event_bytes;
        let pause = full && (self.open == 0 || bytes >= limits.event_bytes_awaiting);
        self.pause.swap(pause, Ordering::AcqRel) && !pause
    }
}

/// Waits for the outcome of one operation.
pub(crate) struct Completion {
    hub: Arc<Hub>,
    token: Token,
    finished: bool,
}

impl Completion {
    /// For an operation that was [begun](Hub::begin).
    pub(crate) fn new(hub: Arc<Hub>, token: Token) -> Self {
        Self {
            hub,
            token,
            finished: false,
        }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.hub.lock();
        match state.operations.get_mut(&self.token) {
            Some(Operation::Open(waker)) => {
                *waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Some(Operation::Done(_)) => {}
            None => return Poll::Ready(Outcome::Ended),
        }
        // From here on the token may belong to another operation.
        self.finished = true;
        match state.operations.remove(&self.token) {
            Some(Operation::Done(outcome)) => Poll::Ready(outcome),
            _ => Poll::Ready(Outcome::Ended),
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.hub.change(|state| {
            if let Some(Operation::Open(_)) = state.operations.remove(&self.token) {
                state.open -= 1;
            }
        });
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Completion").field(&self.token).finish()
    }
}
