//! Connections through a proxy that has still to say who they come from.
//!
//! They are no connections of the shard before that: whoever they are has to be known when they become
//! one. Each is read for exactly what its introduction needs, so that TLS, a WebSocket or MQTT find
//! their first byte in the socket.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};

use ternmq_protocol::Time;
use ternmq_protocol::broker::ListenerId;
use ternmq_transport::Stream;
use ternmq_transport::introduction::{self, INTRODUCTION_BYTES, Introduction, Origin};

use super::Driver;

/// The first token of arrivals, above those of connections and below those of listeners. Each has a
/// number of its own for ever, so that late news are about nobody.
const FIRST_ARRIVAL: usize = usize::MAX / 4;

/// Connections whose proxy has not said enough.
pub(crate) struct Arrivals {
    all: HashMap<usize, Arrival>,
    deadlines: BTreeSet<(Time, usize)>,
    next: usize,
    /// Milliseconds that an introduction may take.
    pub(super) timeout_ms: u64,
}

struct Arrival {
    stream: Stream,
    listener: ListenerId,
    proxy: Option<SocketAddr>,
    said: Vec<u8>,
    until: Time,
}

impl Arrivals {
    pub(super) fn new(timeout_ms: u64) -> Self {
        Self {
            all: HashMap::new(),
            deadlines: BTreeSet::new(),
            next: FIRST_ARRIVAL,
            timeout_ms,
        }
    }

    /// When [`Driver::give_up_arrivals`] is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    fn take(&mut self, number: usize) -> Option<Arrival> {
        let arrival = self.all.remove(&number)?;
        self.deadlines.remove(&(arrival.until, number));
        Some(arrival)
    }
}

impl Arrival {
    fn proxy(&self) -> Option<IpAddr> {
        self.proxy.map(|address| address.ip().to_canonical())
    }

    /// Reads what is there of the introduction and nothing behind it; `None`: more has to come.
    fn listen(&mut self) -> Result<Option<Origin>, String> {
        loop {
            let missing = match introduction::read(&self.said) {
                Ok(Introduction::Whole(origin, _)) => return Ok(Some(origin)),
                Ok(Introduction::Missing(missing)) => missing,
                Err(error) => return Err(error.to_string()),
            };
            let mut part = [0; INTRODUCTION_BYTES];
            let part = &mut part[..missing.min(INTRODUCTION_BYTES)];
            match self.stream.read(part) {
                Ok(0) => return Err("it ended inside its PROXY protocol".to_owned()),
                Ok(read) => self.said.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl Driver {
    /// The arrival that a token stands for.
    pub(super) fn arrival_of(token: usize) -> Option<usize> {
        (token >= FIRST_ARRIVAL).then_some(token)
    }

    /// Waits for the introduction of a connection that has entered the count.
    pub(super) fn arrive(
        &mut self,
        mut stream: Stream,
        listener: ListenerId,
        proxy: Option<SocketAddr>,
    ) {
        let number = self.arrivals.next;
        if self.poller.register(&mut stream, number).is_err() {
            self.counters.accept_errors += 1;
            self.shared.connections.leave(listener);
            return;
        }
        let arrival = Arrival {
            stream,
            listener,
            proxy,
            said: Vec::new(),
            until: self.now.after(self.arrivals.timeout_ms),
        };
        self.arrivals.next += 1;
        self.arrivals.deadlines.insert((arrival.until, number));
        self.arrivals.all.insert(number, arrival);
    }

    /// There is news of an arrival.
    pub(super) fn hear_arrival(&mut self, number: usize) {
        let Some(arrival) = self.arrivals.all.get_mut(&number) else {
            return;
        };
        let heard = arrival.listen();
        if matches!(heard, Ok(None)) {
            return;
        }
        let Some(arrival) = self.arrivals.take(number) else {
            return;
        };
        match heard {
            Err(why) => self.send_away(arrival, &why),
            Ok(None) => {}
            Ok(Some(origin)) => self.take_in(arrival, origin),
        }
    }

    /// Makes it a connection of whom it comes from.
    fn take_in(&mut self, arrival: Arrival, origin: Origin) {
        let Arrival {
            mut stream,
            listener,
            proxy,
            ..
        } = arrival;
        let from = match origin {
            Origin::Proxy => proxy,
            Origin::Client(client) => Some(client),
            Origin::Local => None,
        };
        let peer = from.map(|address| address.ip().to_canonical());
        if peer.is_some_and(|peer| self.shared.bans.keep_out_address(peer)) {
            self.counters.connections_refused_banned += 1;
            self.tell_refused(listener, peer, || "its address is banned".into());
            self.shared.connections.leave(listener);
        } else if self.poller.deregister(&mut stream).is_err() {
            self.counters.accept_errors += 1;
            self.shared.connections.leave(listener);
        } else if origin == Origin::Proxy {
            self.raise(stream, listener, peer);
        } else {
            self.raise(stream.introduced(from), listener, peer);
        }
    }

    fn send_away(&mut self, arrival: Arrival, why: &str) {
        self.counters.connections_refused_proxy += 1;
        self.tell_refused(arrival.listener, arrival.proxy(), || why.to_owned());
        self.shared.connections.leave(arrival.listener);
    }

    /// Closes those whose introduction takes too long.
    pub(super) fn give_up_arrivals(&mut self) {
        while let Some((until, number)) = self.arrivals.deadlines.first().copied() {
            if until > self.now {
                return;
            }
            match self.arrivals.take(number) {
                Some(arrival) => self.send_away(arrival, "no PROXY protocol came in time"),
                None => drop(self.arrivals.deadlines.pop_first()),
            }
        }
    }

    /// Closes all: nobody is let in any more.
    pub(super) fn leave_arrivals(&mut self) {
        self.arrivals.deadlines.clear();
        for (_, arrival) in self.arrivals.all.drain() {
            self.shared.connections.leave(arrival.listener);
        }
    }
}
