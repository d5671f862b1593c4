//! The loop of the IO thread, and what it does for a link that has a transport.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use slab::Slab;
use ternmq_protocol::Time;
use ternmq_transport::{Poller, Ready, Stream};

use super::attempt::Attempt;
use super::{Inbox, Mail};
use crate::clock;
use crate::error::ConnectError;
use crate::link::{Event, Inner, Shared, Status};

/// Bytes that one read can bring.
const SCRATCH: usize = 64 * 1024;

/// Reads for one link before the others have their turn.
const READS_PER_TURN: usize = 8;

/// How long a closed socket may wait for the other side to close too. A socket closed at once while
/// bytes come in would be reset, and the peer could lose our last bytes, the DISCONNECT among them.
const LINGER_MS: u64 = 1_000;

/// Whoever has left by QUIC waits so long until the server has heard all.
const LAST_WORDS_MS: u64 = 5_000;

pub(super) struct IoThread {
    pub(super) inbox: Arc<Inbox>,
    pub(super) poller: Poller,
    pub(super) links: Slab<Attended>,
    pub(super) sources: Slab<Source>,
    /// When to look at which link; also entries that are out of date.
    timers: BinaryHeap<Reverse<(Time, usize)>>,
    /// The tokens of [`Source::Lingering`] and when their time is over, in that order; also entries
    /// that are out of date.
    lingering: VecDeque<(Time, usize)>,
    /// Links that have more to read than their turn allowed.
    again: Vec<usize>,
    scratch: Box<[u8]>,
    /// What carries the connections of QUIC, once there has been one.
    #[cfg(feature = "quic")]
    pub(super) quic: Option<ternmq_transport::quic::QuicClients>,
    ended: bool,
}

/// The IO thread's part of a link.
pub(super) struct Attended {
    pub(super) shared: Arc<Shared>,
    /// The attempt to connect, from its beginning until CONNACK.
    pub(super) attempt: Option<Attempt>,
    /// The source of its transport.
    pub(super) online: Option<usize>,
    /// The version of the session was lowered.
    pub(super) fell_back: bool,
    /// There may be something to read.
    readable: bool,
    /// The peer has closed: read to the end, the poller will not tell again.
    ending: bool,
    /// There are layers above the socket, which may hold something back.
    layered: bool,
    /// Our last word is on its way, and until when it is worth waiting for its being heard.
    parting: Option<Time>,
}

/// What a token of the poller stands for.
pub(super) enum Source {
    /// The transport of a link, which has the stream.
    Online { slot: usize },
    /// A connection being made for a link.
    Opening { slot: usize, stream: Stream },
    /// A connection that is over for us, and not yet for the peer.
    Lingering { stream: Stream, until: Time },
}

impl IoThread {
    pub(super) fn new(poller: Poller, inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            poller,
            links: Slab::new(),
            sources: Slab::new(),
            timers: BinaryHeap::new(),
            lingering: VecDeque::new(),
            again: Vec::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            #[cfg(feature = "quic")]
            quic: None,
            ended: false,
        }
    }

    pub(super) fn run(mut self) {
        let mut ready = Vec::new();
        while !(self.ended && self.lingering.is_empty()) {
            let timeout = match self.again.is_empty() {
                true => self.next_timer().and_then(clock::until),
                false => Some(std::time::Duration::ZERO),
            };
            // An error here is none of a socket: the kernel is out of memory. Waiting again is all
            // that can be done.
            let _ = self.poller.wait(timeout, &mut ready);
            for event in ready.drain(..) {
                self.on_ready(event);
            }
            self.on_mail();
            self.on_timers();
            self.on_turns();
            self.ended = self.inbox.ended.load(Ordering::Acquire);
        }
    }

    fn on_ready(&mut self, event: Ready) {
        match self.sources.get_mut(event.token) {
            // Events of a source that has been removed since may still come.
            None => {}
            Some(Source::Opening { .. }) => self.opening_ready(event.token),
            Some(Source::Lingering { .. }) => self.drain(event.token),
            Some(&mut Source::Online { slot }) => {
                let link = &mut self.links[slot];
                link.readable |= event.readable || event.closed;
                link.ending |= event.closed;
                if event.writable {
                    let mut inner = link.shared.lock();
                    inner.writable = true;
                    inner.blocked = inner.blocked && inner.broken.is_some();
                    drop(inner);
                    if link.layered {
                        link.shared.flush_layers();
                    }
                }
                self.read(slot);
                self.settle(slot);
            }
        }
    }

    fn on_mail(&mut self) {
        let Mail { links, resolved } = std::mem::take(&mut *self.inbox.mail());
        for shared in links {
            self.attend(&shared);
        }
        for answer in resolved {
            if let Some(shared) = answer.link.upgrade() {
                self.resolved(&shared, answer.lookup, answer.addresses);
            }
        }
    }

    fn on_timers(&mut self) {
        let now = clock::now();
        while let Some(&Reverse((at, slot))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            let Some(link) = self.links.get(slot) else {
                continue;
            };
            let mut inner = link.shared.lock();
            if inner.armed != at {
                continue; // an earlier one was set since, or the slot has another link
            }
            inner.armed = Time::NEVER;
            let retry = inner.retry_at.is_some_and(|at| at <= now);
            if inner.session.poll_timeout().is_some_and(|at| at <= now) {
                inner.session.handle_timeout(now);
            }
            let asked = retry && inner.asks;
            if asked {
                inner.retry_at = None;
                inner.push(Event::RetryDue);
            }
            drop(inner);
            if retry && !asked {
                self.begin(slot);
            }
            self.attempt_timeout(slot, now);
            self.settle(slot);
        }
        self.end_lingering(now);
    }

    /// Gives their next turn to the links that had more to do than one turn takes.
    fn on_turns(&mut self) {
        for slot in std::mem::take(&mut self.again) {
            self.read(slot);
            self.settle(slot);
        }
    }

    /// Carries out what the application's threads have asked for.
    fn attend(&mut self, shared: &Arc<Shared>) {
        let mut inner = shared.lock();
        inner.queued = false;
        let orders = std::mem::take(&mut inner.orders);
        let slot = match inner.slot {
            Some(slot) => slot,
            None if orders.remove => return,
            None => {
                let slot = self.links.insert(Attended::new(shared.clone()));
                inner.slot = Some(slot);
                slot
            }
        };
        let aborting = orders.abort || orders.remove;
        inner.given_up |= aborting;
        inner.aborting = aborting;
        inner.orders.connect = aborting && orders.connect;
        drop(inner);
        let begins = match aborting {
            true => self.abort(slot),
            false => orders.connect,
        };
        if orders.remove {
            shared.lock().slot = None;
            self.links.remove(slot);
            return;
        }
        if begins {
            shared.lock().given_up = false;
            self.begin(slot);
        }
        self.read(slot);
        self.settle(slot);
    }

    /// Ends whatever the link is doing. Whether an attempt begins behind that, which may have been asked
    /// for meanwhile.
    fn abort(&mut self, slot: usize) -> bool {
        let shared = self.links[slot].shared.clone();
        if self.links[slot].online.is_some() {
            let mut inner = shared.lock();
            if inner.handshaking {
                inner.failed = Some(ConnectError::Cancelled);
            }
            drop(inner);
            self.close(slot, false);
        }
        let now = clock::now();
        self.end_attempt(slot);
        let mut inner = shared.lock();
        inner.failed = None;
        inner.retry_at = None;
        if inner.status != Status::Closed {
            inner.attempt_failed(now, ConnectError::Cancelled);
        }
        (inner.resuming, inner.attempts) = (false, 0);
        inner.aborting = false;
        let again = std::mem::take(&mut inner.orders.connect);
        if again {
            inner.connect_begins();
        }
        shared.tell(inner);
        again
    }

    /// Reads what a link may read, as long as its turn lasts. The link may be gone: it waits for its
    /// turn under its slot, and its last handle may go before that.
    fn read(&mut self, slot: usize) {
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        let shared = link.shared.clone();
        for _ in 0..READS_PER_TURN {
            if link.online.is_none() {
                return;
            }
            if !may_read(&mut shared.lock()) || !link.readable {
                return;
            }
            let read = shared.read(&mut self.scratch);
            match read {
                Some(Ok((count, drained))) if count > 0 => {
                    link.readable = !drained || link.ending;
                    let mut inner = shared.lock();
                    let now = clock::now();
                    inner.stats.reads += 1;
                    inner.stats.bytes_received += count as u64;
                    if let Some(tap) = &inner.observers.tap {
                        let begins = !inner.session.is_inside_packet();
                        tap.received(&self.scratch[..count], begins);
                    }
                    inner.session.handle_input(now, &self.scratch[..count]);
                    inner.collect(now);
                    shared.tell(inner);
                }
                Some(Err(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                    link.readable = false;
                    return;
                }
                None => return,
                Some(end) => {
                    if let Err(error) = end {
                        let mut inner = shared.lock();
                        if inner.handshaking {
                            inner.failed.get_or_insert(ConnectError::io(error));
                        }
                    }
                    self.close(slot, false);
                    return;
                }
            }
        }
        self.again.push(slot);
    }

    /// Brings a link that may have changed to rest: writes, closes, goes on with the attempt, sets
    /// the timer.
    pub(super) fn settle(&mut self, slot: usize) {
        let Some(link) = self.links.get(slot) else {
            return;
        };
        let shared = link.shared.clone();
        let mut inner = shared.lock();
        inner.collect(clock::now());
        if inner.online {
            inner = shared.flush(inner);
            let broken = inner.broken.is_some();
            let readable = self.links[slot].readable && !inner.is_full();
            if inner.may_close() {
                drop(inner);
                if self.is_heard(slot) {
                    self.close(slot, true);
                }
                inner = shared.lock();
            } else if broken && !readable {
                if inner.handshaking {
                    inner.failed = inner.broken.take();
                }
                drop(inner);
                self.close(slot, false);
                inner = shared.lock();
            } else if broken {
                self.again.push(slot); // what the peer said before it closed
            }
        }
        if !inner.handshaking && inner.online {
            self.links[slot].attempt = None;
        }
        let failed = match inner.online {
            true => None,
            false => inner.failed.take(),
        };
        shared.tell(inner);
        if let Some(error) = failed {
            self.handshake_failed(slot, error);
        }
        self.arm(slot);
    }

    /// Sets the timer of a link, if it has to be earlier than it is.
    fn arm(&mut self, slot: usize) {
        let Some(link) = self.links.get(slot) else {
            return;
        };
        let attempt = link.attempt.as_ref().map_or(Time::NEVER, Attempt::due);
        let mut inner = link.shared.lock();
        let parting = link.parting.unwrap_or(Time::NEVER);
        let due = inner.deadline().min(attempt).min(parting);
        if due < inner.armed {
            inner.armed = due;
            self.timers.push(Reverse((due, slot)));
        }
    }

    /// Whether the peer has all that was written, as far as that is ours to wait for. Of a socket the
    /// system sees to it, also when the process ends; a connection of QUIC would end with the process,
    /// and its last messages with it. Whoever got our DISCONNECT closes, which shows that it was heard.
    fn is_heard(&mut self, slot: usize) -> bool {
        let now = clock::now();
        let link = &mut self.links[slot];
        let until = match link.parting {
            Some(until) => until,
            None if link.shared.part() => now.after(LAST_WORDS_MS),
            None => return true,
        };
        link.parting = Some(until);
        if until <= now {
            return true;
        }
        loop {
            match link.shared.read(&mut self.scratch) {
                Some(Ok((count, _))) if count > 0 => {}
                Some(Err(e)) if e.kind() == io::ErrorKind::WouldBlock => return false,
                _ => return true,
            }
        }
    }

    /// Ends the transport of a link. `gently` when everything was sent that should be.
    pub(super) fn close(&mut self, slot: usize, gently: bool) {
        let now = clock::now();
        let link = &mut self.links[slot];
        let Some(token) = link.online.take() else {
            return;
        };
        (link.readable, link.ending, link.parting) = (false, false, None);
        let shared = link.shared.clone();
        let mut inner = shared.lock();
        let stream = shared.close(&mut inner, now);
        shared.tell(inner);
        if gently
            && let Some(mut stream) = stream
            && stream.shutdown_write().is_ok()
        {
            let until = now.after(LINGER_MS);
            self.sources[token] = Source::Lingering { stream, until };
            self.lingering.push_back((until, token));
            self.drain(token);
        } else {
            self.sources.remove(token);
        }
    }

    /// A transport is open and registered under `token`: the session begins on it.
    pub(super) fn online(&mut self, slot: usize, token: usize, stream: Stream) {
        self.sources[token] = Source::Online { slot };
        let link = &mut self.links[slot];
        link.online = Some(token);
        (link.readable, link.ending) = (true, false);
        link.layered = stream.is_layered();
        link.shared.clone().open(stream, clock::now());
        // What came in before this moment was reported while the connection was being made.
        self.again.push(slot);
    }

    /// Throws away what a peer still sends to a connection that is over.
    fn drain(&mut self, token: usize) {
        let Some(Source::Lingering { stream, .. }) = self.sources.get_mut(token) else {
            return;
        };
        // Layers may have their last words still to say.
        let _ = stream.flush();
        for _ in 0..READS_PER_TURN {
            match stream.read(&mut self.scratch) {
                Ok(count) if count > 0 => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                _ => break,
            }
        }
        // Closed by the peer, failed, or a peer that goes on sending: no more patience.
        self.sources.remove(token);
    }

    /// Closes what has lingered long enough, and forgets what is closed.
    fn end_lingering(&mut self, now: Time) {
        while let Some(&(at, token)) = self.lingering.front() {
            match self.sources.get(token) {
                Some(Source::Lingering { until, .. }) if *until == at => {
                    if at > now {
                        return;
                    }
                    self.sources.remove(token);
                }
                _ => {}
            }
            self.lingering.pop_front();
        }
    }

    /// When the loop has to look at a timer; `None` when there is none.
    fn next_timer(&self) -> Option<Time> {
        let links = self.timers.peek().map(|Reverse((at, _))| *at);
        let lingering = self.lingering.front().map(|(at, _)| *at);
        links.into_iter().chain(lingering).min()
    }
}

impl Attended {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            attempt: None,
            online: None,
            fell_back: false,
            readable: false,
            ending: false,
            parting: None,
            layered: false,
        }
    }
}

/// Whether the limits let a link read, noting the change when there is one.
fn may_read(inner: &mut Inner) -> bool {
    let now = clock::now();
    let full = inner.is_full();
    if full != inner.starved {
        inner.starved = full;
        inner.stats.pauses += u64::from(full);
        inner.session.set_reading(now, !full);
    }
    !full && !inner.session.wants_close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_link_that_goes_before_its_turn_is_passed_over() {
        let poller = Poller::new(1).unwrap();
        let inbox = Arc::new(Inbox {
            mail: Mutex::default(),
            waker: poller.waker(),
            ended: AtomicBool::new(false),
        });
        let mut thread = IoThread::new(poller, inbox);
        let removed = 0;
        thread.again.push(removed);
        thread.on_turns();
        assert!(thread.again.is_empty());
    }
}
