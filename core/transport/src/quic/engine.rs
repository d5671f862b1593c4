//! The thread that moves datagrams.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, EcnCodepoint, Incoming, ServerConfig, Transmit};
use quinn_udp::RecvMeta;
use slab::Slab;

use super::client::{Connecting, PIPE};
use super::connection::{Conn, Running, Stage};
use super::error::Failure;
use super::port::{AT_ONCE, Port, ROW};
use super::stream::{Line, QuicStream, lock};
use crate::pipe::pipe;
use crate::poller::{Poller, Ready, Waker};
use crate::stream::Stream;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Bytes read from a pipe at once.
const SCRATCH: usize = 64 * 1024;

/// Rows of datagrams that one connection sends, and reads from one socket, before others have their turn.
const ROWS: usize = 16;

/// How other threads reach an engine.
pub(super) struct Handle {
    /// At most one of each kind for each stream that somebody holds, but for those who move about.
    orders: Mutex<Vec<Order>>,
    waker: Waker,
    ended: (Mutex<bool>, Condvar),
}

pub(super) enum Order {
    /// Begins a client's connection.
    Connect(Box<Connecting>),
    /// Lets in one that waits.
    Begin(Arc<Line>, Arc<ServerConfig>),
    /// Gives a client another socket.
    Rebind(Arc<Line>),
    /// Ends the thread with the last connection.
    End,
}

pub(super) struct Engine {
    handle: Arc<Handle>,
    poller: Poller,
    ports: Slab<Port>,
    conns: Slab<Conn>,
    timers: BTreeSet<(Instant, usize)>,
    /// Places of connections to be looked at.
    dirty: Vec<usize>,
    /// Sockets that may have more datagrams, though the poller won't say so again.
    again: Vec<usize>,
    buffers: Box<[Vec<u8>; AT_ONCE]>,
    scratch: Vec<u8>,
    /// A row of datagrams on its way out.
    row: Vec<u8>,
    ending: bool,
}

impl Handle {
    pub(super) fn send(&self, order: Order) {
        lock(&self.orders).push(order);
        self.waker.wake();
    }

    pub(super) fn wait_for_end(&self, timeout: Duration) -> bool {
        let (ended, told) = &self.ended;
        let waited = told.wait_timeout_while(lock(ended), timeout, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Tells that an engine has ended, in whichever way.
struct Ended(Arc<Handle>);

impl Drop for Ended {
    fn drop(&mut self) {
        *lock(&self.0.ended.0) = true;
        self.0.ended.1.notify_all();
    }
}

impl Engine {
    pub(super) fn new() -> io::Result<Self> {
        let poller = Poller::new(EVENTS)?;
        let handle = Arc::new(Handle {
            orders: Mutex::default(),
            waker: poller.waker(),
            ended: (Mutex::new(false), Condvar::new()),
        });
        Ok(Self {
            handle,
            poller,
            ports: Slab::new(),
            conns: Slab::new(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            again: Vec::new(),
            buffers: Box::new(std::array::from_fn(|_| vec![0; ROW])),
            scratch: vec![0; SCRATCH],
            row: Vec::new(),
            ending: false,
        })
    }

    pub(super) fn handle(&self) -> Arc<Handle> {
        self.handle.clone()
    }

    /// Runs it on a thread, with a listener's port if there is one.
    pub(super) fn start(mut self, listener: Option<Port>) -> io::Result<()> {
        if let Some(mut port) = listener {
            port.register(&self.poller, port_token(self.ports.vacant_key()))?;
            self.ports.insert(port);
        }
        let named = std::thread::Builder::new().name("ternmq-quic".into());
        named.spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let _ended = Ended(self.handle.clone());
        let mut ready = Vec::new();
        loop {
            let timeout = match self.dirty.is_empty() && self.again.is_empty() {
                true => self.timers.first().map(|(at, _)| *at),
                false => Some(Instant::now()),
            };
            let timeout = timeout.map(|at| at.saturating_duration_since(Instant::now()));
            // An error here is none of a socket: the kernel is out of memory. Waiting again is all that
            // can be done.
            let _ = self.poller.wait(timeout, &mut ready);
            let now = Instant::now();
            for event in ready.drain(..) {
                self.heed(event, now);
            }
            for port in std::mem::take(&mut self.again) {
                self.receive(port, now);
            }
            self.carry_out(now);
            self.on_timers(now);
            for place in std::mem::take(&mut self.dirty) {
                self.settle(place, now);
            }
            if self.is_over() {
                // The descriptor is free before anybody is told so.
                self.ports.clear();
                return;
            }
        }
    }

    fn heed(&mut self, event: Ready, now: Instant) {
        let at = event.token / 2;
        if event.token != port_token(at) {
            if let Some(conn) = self.conns.get_mut(at) {
                if let Stage::Running(running) = &mut conn.stage {
                    running.hung_up |= event.closed;
                }
                self.mark(at);
            }
            return;
        }
        if event.writable
            && let Some(port) = self.ports.get_mut(at)
        {
            for place in port.unblock() {
                self.mark(place);
            }
        }
        self.receive(at, now);
    }

    fn mark(&mut self, place: usize) {
        if let Some(conn) = self.conns.get_mut(place)
            && !std::mem::replace(&mut conn.dirty, true)
        {
            self.dirty.push(place);
        }
    }

    /// Takes what has come to a socket.
    fn receive(&mut self, at: usize, now: Instant) {
        let mut metas = [RecvMeta::default(); AT_ONCE];
        for _ in 0..ROWS {
            let Some(port) = self.ports.get_mut(at) else {
                return;
            };
            let rows = match port.receive(&mut self.buffers, &mut metas) {
                Ok(rows) => rows,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.look_at_port(at);
                }
                Err(_) => {
                    self.look_at_port(at);
                    continue;
                }
            };
            for (row, meta) in metas.iter().take(rows).enumerate() {
                for from in (0..meta.len).step_by(meta.stride.max(1)) {
                    let to = meta.len.min(from + meta.stride.max(1));
                    let datagram = BytesMut::from(&self.buffers[row][from..to]);
                    self.take_in(at, meta, datagram, now);
                }
            }
        }
        self.again.push(at);
    }

    /// A socket has news that is not a datagram: of a client, its connection has to hear of it.
    fn look_at_port(&mut self, at: usize) {
        if let Some(port) = self.ports.get(at)
            && port.gate.is_none()
        {
            let places: Vec<usize> = port.places.values().copied().collect();
            places.into_iter().for_each(|place| self.mark(place));
        }
    }

    fn take_in(&mut self, at: usize, meta: &RecvMeta, datagram: BytesMut, now: Instant) {
        let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
        let port = &mut self.ports[at];
        self.row.clear();
        let (from, to) = (meta.addr, meta.dst_ip);
        let handled = port
            .endpoint
            .handle(now, from, to, ecn, datagram, &mut self.row);
        match handled {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let Some(place) = port.places.get(&handle).copied() else {
                    return;
                };
                if let Stage::Running(running) = &mut self.conns[place].stage {
                    running.hear(event);
                }
                self.mark(place);
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.meet(at, incoming),
            Some(DatagramEvent::Response(transmit)) => {
                port.answer(&transmit, &self.row);
                count_stray(port);
            }
            None => count_stray(port),
        }
    }

    /// Somebody wants to come in.
    fn meet(&mut self, at: usize, incoming: Incoming) {
        let port = &mut self.ports[at];
        let Some(gate) = port.gate.clone().filter(|_| !self.ending) else {
            return refuse(port, incoming, &mut self.row);
        };
        if !incoming.remote_address_validated()
            && port.half_open >= gate.retry_from.load(Ordering::Relaxed)
        {
            gate.counts.0.retried.fetch_add(1, Ordering::Relaxed);
            self.row.clear();
            if let Ok(transmit) = port.endpoint.retry(incoming, &mut self.row) {
                port.answer(&transmit, &self.row);
            }
            return;
        }
        if port.half_open >= gate.handshakes.load(Ordering::Relaxed) {
            gate.counts.0.refused.fetch_add(1, Ordering::Relaxed);
            return refuse(port, incoming, &mut self.row);
        }
        let peer = incoming.remote_address();
        let (below, mut near) = pipe(PIPE);
        let line = Line::new(peer);
        *lock(&line.local) = port.local_addr();
        port.half_open += 1;
        let place = self.conns.vacant_key();
        line.place.store(place, Ordering::Relaxed);
        // Pipes are always watched.
        let _ = self.poller.register(&mut near, conn_token(place));
        self.conns.insert(Conn {
            port: at,
            line: line.clone(),
            near: Some(near),
            stage: Stage::Waiting(Box::new(incoming)),
            half_open: true,
            dirty: false,
            armed: None,
        });
        let engine = self.handle.clone();
        let stream = QuicStream {
            below,
            line,
            engine,
        };
        gate.offer(Stream::Quic(Box::new(stream)), peer);
    }

    fn carry_out(&mut self, now: Instant) {
        let orders = std::mem::take(&mut *lock(&self.handle.orders));
        for order in orders {
            match order {
                Order::Connect(connecting) => self.connect(*connecting),
                Order::Begin(line, config) => self.begin(&line, config, now),
                Order::Rebind(line) => self.rebind_line(&line, now),
                Order::End => self.ending = true,
            }
        }
    }

    /// The place of a connection that is still there.
    fn place_of(&self, line: &Arc<Line>) -> Option<usize> {
        let place = line.place();
        let conn = self.conns.get(place)?;
        Arc::ptr_eq(&conn.line, line).then_some(place)
    }

    fn connect(&mut self, connecting: Connecting) {
        let Connecting {
            mut port,
            connection,
            handle,
            mut near,
            line,
            greets,
        } = connecting;
        let (at, place) = (self.ports.vacant_key(), self.conns.vacant_key());
        let watched = port
            .register(&self.poller, port_token(at))
            .and_then(|()| self.poller.register(&mut near, conn_token(place)));
        if let Err(error) = watched {
            let what = "no room to watch a socket";
            let _ = line.failure.set(Failure::Socket(error.kind(), what));
            return;
        }
        *lock(&line.local) = port.local_addr();
        line.place.store(place, Ordering::Relaxed);
        port.places.insert(handle, place);
        self.ports.insert(port);
        self.conns.insert(Conn {
            port: at,
            line,
            near: Some(near),
            stage: Stage::Running(Box::new(Running::new(connection, handle, greets))),
            half_open: false,
            dirty: false,
            armed: None,
        });
        self.mark(place);
    }

    /// Lets in a connection that waits.
    fn begin(&mut self, line: &Arc<Line>, config: Arc<ServerConfig>, now: Instant) {
        let Some(place) = self.place_of(line) else {
            return;
        };
        let conn = &mut self.conns[place];
        let Stage::Waiting(incoming) = std::mem::replace(&mut conn.stage, Stage::Over) else {
            return;
        };
        let port = &mut self.ports[conn.port];
        self.row.clear();
        let accepted = port
            .endpoint
            .accept(*incoming, now, &mut self.row, Some(config));
        match accepted {
            Ok((handle, connection)) => {
                port.places.insert(handle, place);
                let running = Running::new(connection, handle, false);
                conn.stage = Stage::Running(Box::new(running));
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    port.answer(&transmit, &self.row);
                }
                if let Some(failure) = Failure::of(error.cause) {
                    let _ = line.failure.set(failure);
                }
            }
        }
        self.mark(place);
    }

    fn rebind_line(&mut self, line: &Arc<Line>, now: Instant) {
        if let Some(place) = self.place_of(line) {
            self.rebind(place, now);
        }
    }

    fn rebind(&mut self, place: usize, now: Instant) {
        let conn = &mut self.conns[place];
        let port = &mut self.ports[conn.port];
        if let Ok(true) = port.rebind(now, &self.poller, port_token(conn.port))
            && let Stage::Running(running) = &mut conn.stage
        {
            *lock(&conn.line.local) = port.local_addr();
            running.connection.local_address_changed();
            self.mark(place);
        }
    }

    fn on_timers(&mut self, now: Instant) {
        while let Some((at, place)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let conn = &mut self.conns[place];
            conn.armed = None;
            if let Stage::Running(running) = &mut conn.stage {
                running.connection.handle_timeout(now);
            }
            self.mark(place);
        }
    }

    /// Looks at a connection: moves its bytes, sends its datagrams, sets its timer.
    fn settle(&mut self, place: usize, now: Instant) {
        let Some(conn) = self.conns.get_mut(place) else {
            return;
        };
        conn.dirty = false;
        let port = &mut self.ports[conn.port];
        match &mut conn.stage {
            Stage::Waiting(_) => {
                if conn.is_deserted()
                    && let Stage::Waiting(incoming) =
                        std::mem::replace(&mut conn.stage, Stage::Over)
                {
                    refuse(port, *incoming, &mut self.row);
                    self.forget(place);
                }
                return;
            }
            Stage::Over => return self.forget(place),
            Stage::Running(running) => {
                if port.is_refused(conn.line.established.get().is_some()) {
                    let what = "nobody listens at the server's UDP port";
                    running.fail(Failure::Socket(io::ErrorKind::ConnectionRefused, what), now);
                }
                running.turn(&mut conn.near, &conn.line, &mut self.scratch, now);
                if conn.half_open && (running.has_stream() || running.is_ended()) {
                    conn.half_open = false;
                    port.half_open -= 1;
                }
            }
        }
        self.speak(place, now);
        self.arm(place);
    }

    /// Sends what a connection has to send.
    fn speak(&mut self, place: usize, now: Instant) {
        let conn = &mut self.conns[place];
        let port = &mut self.ports[conn.port];
        let Stage::Running(running) = &mut conn.stage else {
            return;
        };
        let mut more = true;
        for _ in 0..ROWS {
            if port.is_blocked() {
                port.waiting.push(place);
                more = false;
                break;
            }
            self.row.clear();
            let next: Option<Transmit> =
                running
                    .connection
                    .poll_transmit(now, port.segments(), &mut self.row);
            let Some(transmit) = next else {
                more = false;
                break;
            };
            port.send(transmit, &self.row);
        }
        while let Some(event) = running.connection.poll_endpoint_events() {
            running.drained |= event.is_drained();
            let heard = port.endpoint.handle_event(running.handle, event);
            if let Some(event) = heard {
                running.hear(event);
                more = true;
            }
        }
        if conn.note_peer()
            && let Some(gate) = &port.gate
        {
            gate.counts.0.moved.fetch_add(1, Ordering::Relaxed);
        }
        let stranded = port.should_rebind(now);
        if more {
            self.mark(place);
        }
        if stranded {
            self.rebind(place, now);
        }
    }

    fn arm(&mut self, place: usize) {
        let conn = &mut self.conns[place];
        let deserted = conn.is_deserted();
        let Stage::Running(running) = &mut conn.stage else {
            return;
        };
        if running.drained && deserted {
            return self.forget(place);
        }
        let due = match running.drained {
            true => None,
            false => running.due(),
        };
        if due != conn.armed {
            if let Some(armed) = conn.armed {
                self.timers.remove(&(armed, place));
            }
            if let Some(due) = due {
                self.timers.insert((due, place));
            }
            conn.armed = due;
        }
    }

    /// Forgets a connection that is over, and a client's port with it.
    fn forget(&mut self, place: usize) {
        let conn = self.conns.remove(place);
        if let Some(armed) = conn.armed {
            self.timers.remove(&(armed, place));
        }
        let port = &mut self.ports[conn.port];
        port.half_open -= usize::from(conn.half_open);
        port.waiting.retain(|waiting| *waiting != place);
        if let Stage::Running(running) = &conn.stage {
            port.places.remove(&running.handle);
        }
        if port.gate.is_none() {
            self.ports.remove(conn.port);
        }
    }

    /// Whether there is nothing to do any more and never will be.
    fn is_over(&self) -> bool {
        let ended = |conn: &Conn| match &conn.stage {
            Stage::Running(running) => running.is_ended() && conn.is_deserted(),
            Stage::Waiting(_) => false,
            Stage::Over => true,
        };
        self.ending && self.conns.iter().all(|(_, conn)| ended(conn))
    }
}

fn refuse(port: &mut Port, incoming: Incoming, row: &mut Vec<u8>) {
    row.clear();
    let transmit = port.endpoint.refuse(incoming, row);
    port.answer(&transmit, row);
}

fn count_stray(port: &Port) {
    if let Some(gate) = &port.gate {
        gate.counts.0.strays.fetch_add(1, Ordering::Relaxed);
    }
}

const fn port_token(at: usize) -> usize {
    2 * at
}

const fn conn_token(place: usize) -> usize {
    2 * place + 1
}
