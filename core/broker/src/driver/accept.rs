//! New connections: accepted here, made in process, or handed over by another shard.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ternmq_protocol::broker::{Admission, ConnId, ListenerId};
use ternmq_protocol::{ReasonCode, Time};
use ternmq_transport::{Listener, Stream};

use super::Driver;
use crate::connections::ByProxy;
use crate::event::Event;
use crate::shared::Moved;

/// Milliseconds until accepting is tried again after it failed for lack of descriptors or memory.
/// The connections wait in the kernel; trying at once would spin.
const RETRY_MS: u64 = 100;

/// Connections taken from one listener before the other sockets have their turn.
const ACCEPT_AT_ONCE: usize = 64;

/// Times that as many are taken from one that is to go: more than may wait there.
const ACCEPT_LAST: usize = 32;

/// The first token of listeners; connections count up from 0.
const FIRST_LISTENER: usize = usize::MAX / 2;

/// What a listener's connections are reported under.
pub(crate) fn listener_token(id: ListenerId) -> usize {
    FIRST_LISTENER + usize::from(id.0)
}

/// The listeners of a shard.
#[derive(Default)]
pub(crate) struct Accepting {
    /// By their numbers.
    listeners: Vec<Option<Arc<Listener>>>,
    /// Numbers of listeners that may have more connections, though the poller won't say so again.
    waiting: Vec<usize>,
    retry_at: Option<Time>,
    /// There are to be none any more.
    closed: bool,
}

impl Accepting {
    /// When [`Driver::accept_all`] is due.
    pub(super) fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    /// Listens no more; which listeners there were.
    fn close(&mut self) -> Vec<ListenerId> {
        let closed = Self {
            closed: true,
            ..Self::default()
        };
        let listeners = std::mem::replace(self, closed).listeners.into_iter();
        let there = listeners
            .enumerate()
            .filter(|(_, listener)| listener.is_some());
        there.map(|(number, _)| ListenerId(number as u16)).collect()
    }
}

impl Driver {
    /// Accepts from these too, which the poller watches already: it may have reported them before.
    pub(crate) fn listen(&mut self, listeners: Vec<(ListenerId, Arc<Listener>)>) {
        let accepting = &mut self.accepting;
        for (ListenerId(number), listener) in listeners {
            let number = usize::from(number);
            let places = accepting.listeners.len().max(number + 1);
            accepting.listeners.resize_with(places, || None);
            accepting.listeners[number] = Some(listener);
            accepting.waiting.push(number);
            accepting.retry_at = Some(self.now);
        }
    }

    /// The same while the broker runs, and tells of it. One that is about to end has no use for them.
    pub(super) fn listen_also(&mut self, listeners: Vec<(ListenerId, Arc<Listener>)>) {
        if !self.accepting.closed {
            let numbers: Vec<ListenerId> = listeners.iter().map(|(id, _)| *id).collect();
            self.listen(listeners);
            self.shared.tell_where_it_listens(&numbers);
        }
    }

    /// Accepts from these no more. Who came in through them stays, and who waits there is let in.
    pub(super) fn listen_no_more(&mut self, listeners: &[ListenerId]) {
        for listener in listeners {
            let number = usize::from(listener.0);
            for _ in 0..ACCEPT_LAST {
                if !self.has_more(number) {
                    break;
                }
            }
            self.accepting.waiting.retain(|waiting| *waiting != number);
            let place = self.accepting.listeners.get_mut(number);
            if place.and_then(Option::take).is_some() {
                self.shared.tell(Event::ListenerClosed(*listener));
            }
        }
    }

    /// Listens no more.
    pub(super) fn stop_listening(&mut self) {
        self.leave_arrivals();
        for listener in self.accepting.close() {
            self.shared.tell(Event::ListenerClosed(listener));
        }
    }

    /// The listener that a token stands for.
    pub(super) fn listener_of(token: usize) -> Option<usize> {
        token.checked_sub(FIRST_LISTENER)
    }

    /// Accepts from one listener, a limited number at a time.
    pub(super) fn accept(&mut self, number: usize) {
        if !self.accepting.waiting.contains(&number) {
            self.accepting.waiting.push(number);
        }
        if self.accepting.retry_at.is_none() {
            self.accept_all();
        }
    }

    /// Accepts from every listener that may have something.
    pub(super) fn accept_all(&mut self) {
        self.accepting.retry_at = None;
        let mut waiting = std::mem::take(&mut self.accepting.waiting);
        waiting.retain(|number| self.has_more(*number));
        if !waiting.is_empty() && self.accepting.retry_at.is_none() {
            self.accepting.retry_at = Some(self.now);
        }
        self.accepting.waiting = waiting;
    }

    fn has_more(&mut self, number: usize) -> bool {
        for _ in 0..ACCEPT_AT_ONCE {
            let Some(Some(listener)) = self.accepting.listeners.get(number) else {
                return false;
            };
            match listener.accept() {
                Ok(Some((stream, address))) => {
                    self.counters.accepted += 1;
                    let listener = ListenerId(number as u16);
                    self.meet(stream, listener, address);
                }
                Ok(None) => return false,
                Err(_) => {
                    self.counters.accept_errors += 1;
                    self.accepting.retry_at = Some(self.now.after(RETRY_MS));
                    return true;
                }
            }
        }
        true
    }

    /// Lets a connection in, if nothing that is known of it already speaks against that.
    fn meet(&mut self, stream: Stream, listener: ListenerId, address: Option<SocketAddr>) {
        // An IPv4 address is one, whichever socket it came in through.
        let peer = address.map(|address| address.ip().to_canonical());
        let by_proxy = self.shared.connections.comes_by_proxy(listener, peer);
        if by_proxy == ByProxy::Stranger {
            self.counters.connections_refused_proxy += 1;
            self.tell_refused(listener, peer, || "it is none of the proxies".into());
        } else if by_proxy == ByProxy::No
            && peer.is_some_and(|peer| self.shared.bans.keep_out_address(peer))
        {
            self.counters.connections_refused_banned += 1;
            self.tell_refused(listener, peer, || "its address is banned".into());
        } else if !self.shared.connections.enter(listener, self.now) {
            let full = "as many connections as may be, or too many in a second";
            self.tell_refused(listener, peer, || full.into());
        } else if by_proxy == ByProxy::Yes {
            self.arrive(stream, listener, address);
        } else {
            self.raise(stream, listener, peer);
        }
    }

    /// Puts above an accepted socket what is spoken at its listener.
    pub(super) fn raise(&mut self, stream: Stream, listener: ListenerId, peer: Option<IpAddr>) {
        match self
            .shared
            .connections
            .put_on(listener, stream, self.largest)
        {
            Ok(stream) => self.open(stream, listener, peer),
            Err(error) => {
                self.counters.tls_failed += 1;
                self.tell_refused(listener, peer, || error.to_string());
                self.shared.connections.leave(listener);
            }
        }
    }

    /// Gives a stream that has entered the count of connections to the shard.
    pub(super) fn open(&mut self, stream: Stream, listener: ListenerId, peer: Option<IpAddr>) {
        // A number that is free again may still stand in what is not settled yet.
        self.settle();
        let stream = self.shared.expose(stream);
        match self.shard.open(self.now, listener, peer) {
            Some(conn) if self.stops_at.is_none() => {
                self.hold(conn, stream, listener);
                self.follow(conn);
            }
            Some(conn) => {
                self.shard.handle_closed(conn, self.now, &mut self.out);
                self.shared.connections.leave(listener);
            }
            None => self.shared.connections.leave(listener),
        }
    }

    /// Takes over a connection whose session lives here.
    pub(super) fn adopt(&mut self, moved: Moved) {
        self.settle();
        let Moved {
            stream,
            listener,
            parked,
            user_name,
            key,
            followed,
        } = moved;
        let client_id: Box<str> = parked.client_id().into();
        if self.stops_at.is_some() {
            self.shared.connections.leave(listener);
            self.shared.directory.arrived(key, false);
            return;
        }
        let Some(conn) = self.shard.adopt(self.now, parked) else {
            self.shared.connections.leave(listener);
            self.shared.directory.arrived(key, false);
            return;
        };
        if let Some(user) = &user_name {
            // It may be another one than CONNECT says: that of a certificate.
            self.shard.set_user(conn, user.clone());
        }
        self.counters.moved += 1;
        let peer = stream.peer_addr();
        self.hold(conn, stream, listener);
        self.trace_arrives(conn, followed);
        // It may have been banned on its way, when no shard had it.
        let banned = self.is_banned(&client_id, user_name.as_deref())
            || peer.is_some_and(|peer| self.shared.bans.keep_out_address(peer.ip()));
        let answer = match banned {
            true => Admission::Refuse(ReasonCode::BANNED),
            false => Admission::Accept,
        };
        self.admit(conn, &client_id, user_name, key, answer);
    }

    /// Keeps the socket of a connection and watches it; what it has to read is reported at once.
    fn hold(&mut self, conn: ConnId, stream: Stream, listener: ListenerId) {
        let slot = self.slots.insert(conn, stream, listener);
        if self
            .poller
            .register(&mut slot.stream, conn.0 as usize)
            .is_err()
        {
            // The kernel has no room for one more watch: as good as no descriptor.
            self.counters.accept_errors += 1;
            self.close(conn);
        } else if slot.stream.is_layered() {
            // A layer may have read on before the connection moved here.
            self.remember_unread(conn);
        }
    }
}
