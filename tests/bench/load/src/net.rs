//! Connections behind one poller.

use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use ternmq_transport::tls::{TlsClient, TlsOptions, Verify};
use ternmq_transport::websocket::WebSocketOptions;
use ternmq_transport::{Poller, Ready, Stream};

use crate::options::Options;
use crate::wire;

const READ: usize = 256 * 1024;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Connecting,
    Introduced,
    Ready,
    Closed,
}

pub(crate) struct Conn {
    stream: Option<Stream>,
    pub(crate) state: State,
    /// The beginning of a packet.
    carry: Vec<u8>,
    /// What the socket had no room for.
    unsent: Vec<u8>,
}

/// What a CONNACK says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Welcome {
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: u16,
}

/// Whoever has the connections.
pub(crate) trait Client {
    /// Its CONNECT.
    fn introduce(&mut self, number: usize) -> Result<Vec<u8>, String>;
    fn welcome(&mut self, net: &mut Net, number: usize, welcome: Welcome);
    fn packet(&mut self, net: &mut Net, number: usize, first: u8, body: &[u8]);
    /// All packets of one read were handed over.
    fn read(&mut self, _net: &mut Net, _number: usize) {}
    /// There is room again.
    fn writable(&mut self, _net: &mut Net, _number: usize) {}
    fn closed(&mut self, _net: &mut Net, _number: usize) {}
}

pub(crate) struct Net {
    poller: Poller,
    ready: Vec<Ready>,
    scratch: Vec<u8>,
    pub(crate) conns: Vec<Conn>,
    options: Options,
    tls: Option<TlsClient>,
    /// On their way in.
    pub(crate) opening: usize,
    /// The first thing that went wrong.
    pub(crate) error: Option<String>,
    /// Closing is what is expected of the broker.
    pub(crate) may_close: bool,
    start: Instant,
    /// Nanoseconds since the start, when something was read last.
    pub(crate) now: u64,
}

impl Net {
    pub(crate) fn new(options: &Options, conns: usize) -> io::Result<Self> {
        let tls = TlsOptions {
            verify: Verify::Nothing,
            resumption: false,
            ..TlsOptions::default()
        };
        let conn = || Conn {
            stream: None,
            state: State::Idle,
            carry: Vec::new(),
            unsent: Vec::new(),
        };
        Ok(Self {
            poller: Poller::new(512)?,
            ready: Vec::new(),
            scratch: vec![0; READ + options.size + 4096],
            conns: std::iter::repeat_with(conn).take(conns).collect(),
            options: options.clone(),
            tls: if options.tls {
                Some(tls.build()?)
            } else {
                None
            },
            opening: 0,
            error: None,
            may_close: false,
            start: Instant::now(),
            now: 0,
        })
    }

    pub(crate) fn clock(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        self.error.get_or_insert_with(|| why.into());
    }

    pub(crate) fn has_unsent(&self, number: usize) -> bool {
        !self.conns[number].unsent.is_empty()
    }

    /// Begins to connect.
    pub(crate) fn open(&mut self, number: usize) {
        match self.opened(number) {
            Ok(stream) => {
                let conn = &mut self.conns[number];
                conn.stream = Some(stream);
                conn.state = State::Connecting;
                conn.carry.clear();
                conn.unsent.clear();
                self.opening += 1;
            }
            Err(error) => {
                self.conns[number].state = State::Closed;
                self.fail(format!("connecting: {error}"));
            }
        }
    }

    fn opened(&self, number: usize) -> io::Result<Stream> {
        let mut stream = Stream::connect(self.options.address())?;
        if let Some(tls) = &self.tls {
            stream = tls.connect(stream, &self.options.host.to_string())?;
        }
        if self.options.websocket {
            let authority = self.options.address().to_string();
            stream = WebSocketOptions::default().connect(
                stream,
                self.options.tls,
                &authority,
                "/mqtt",
            )?;
        }
        self.poller.register(&mut stream, number)?;
        Ok(stream)
    }

    /// Writes at once if nothing waits, and keeps what there is no room for.
    pub(crate) fn send(&mut self, number: usize, bytes: &[u8]) {
        let conn = &mut self.conns[number];
        let Some(stream) = conn.stream.as_mut() else {
            return;
        };
        let mut written = 0;
        while conn.unsent.is_empty() && written < bytes.len() {
            match stream.write_vectored(&[IoSlice::new(&bytes[written..])]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    // Reading tells of the end.
                    self.fail(format!("sending: {error}"));
                    return;
                }
            }
        }
        conn.unsent.extend_from_slice(&bytes[written..]);
        // A layer that holds something back goes on when the poller tells of room.
        let _ = stream.flush();
    }

    pub(crate) fn close(&mut self, number: usize) {
        let conn = &mut self.conns[number];
        if matches!(conn.state, State::Connecting | State::Introduced) {
            self.opening -= 1;
        }
        conn.stream = None;
        conn.state = State::Closed;
    }

    /// DISCONNECT, and our half of the stream is closed.
    pub(crate) fn leave(&mut self, number: usize) {
        self.send(number, &wire::GOODBYE);
        if let Some(stream) = self.conns[number].stream.as_mut() {
            let _ = stream.shutdown_write();
        }
    }

    /// Handles what happens within `timeout`.
    pub(crate) fn poll(&mut self, timeout: Duration, client: &mut impl Client) {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        if let Err(error) = self.poller.wait(Some(timeout), &mut ready) {
            self.fail(format!("polling: {error}"));
        }
        for one in &ready {
            self.handle(*one, client);
        }
        self.ready = ready;
    }

    pub(crate) fn rest(&mut self, seconds: f64, client: &mut impl Client) {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.poll(left, client);
        }
    }

    /// Opens those, so many at a time, and tells how many have become ready.
    pub(crate) fn open_all(
        &mut self,
        numbers: std::ops::Range<usize>,
        client: &mut impl Client,
    ) -> usize {
        const AT_A_TIME: usize = 64;
        let mut next = numbers.start;
        let (mut seen, mut progress) = ((0, 0), Instant::now());
        while next < numbers.end || self.opening > 0 {
            while next < numbers.end && self.opening < AT_A_TIME {
                self.open(next);
                next += 1;
            }
            self.poll(Duration::from_millis(50), client);
            if seen != (next, self.opening) {
                seen = (next, self.opening);
                progress = Instant::now();
            } else if progress.elapsed().as_secs_f64() > self.options.stall_timeout + 2.0 {
                self.fail("no CONNACK comes");
                break;
            }
        }
        numbers
            .filter(|number| self.conns[*number].state == State::Ready)
            .count()
    }

    fn handle(&mut self, ready: Ready, client: &mut impl Client) {
        let number = ready.token;
        if self.conns[number].state == State::Connecting {
            let connected = self.conns[number].stream.as_mut().map(Stream::connected);
            match connected {
                Some(Ok(true)) => match client.introduce(number) {
                    Ok(packet) => {
                        self.conns[number].state = State::Introduced;
                        self.send(number, &packet);
                    }
                    Err(why) => return self.fail(why),
                },
                Some(Ok(false)) | None => return,
                Some(Err(error)) => {
                    return self.lose(number, &format!("connecting: {error}"), client);
                }
            }
        }
        if ready.readable || ready.closed {
            self.receive(number, client);
        }
        if ready.writable {
            self.flush(number, client);
        }
    }

    fn receive(&mut self, number: usize, client: &mut impl Client) {
        loop {
            let mut scratch = std::mem::take(&mut self.scratch);
            let conn = &mut self.conns[number];
            let Some(stream) = conn.stream.as_mut() else {
                self.scratch = scratch;
                return;
            };
            let kept = conn.carry.len();
            scratch[..kept].copy_from_slice(&conn.carry);
            conn.carry.clear();
            let asked = scratch.len() - kept;
            let read = stream.read(&mut scratch[kept..]);
            let drained = match &read {
                Ok(count) => stream.is_drained(*count, asked),
                Err(_) => true,
            };
            let end = match read {
                Ok(count) => (count > 0).then_some(kept + count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.carry.extend_from_slice(&scratch[..kept]);
                    self.scratch = scratch;
                    return;
                }
                Err(_) => None,
            };
            if let Some(end) = end {
                self.now = self.clock();
                self.packets(number, &scratch[..end], client);
                client.read(self, number);
            }
            self.scratch = scratch;
            if end.is_none() {
                return self.lose(number, "the broker has closed a connection", client);
            }
            if drained {
                return;
            }
        }
    }

    fn packets(&mut self, number: usize, mut bytes: &[u8], client: &mut impl Client) {
        while let Some((first, body, end)) = wire::frame(bytes) {
            match self.conns[number].state {
                State::Ready if first >> 4 != wire::DISCONNECT => {
                    client.packet(self, number, first, &bytes[body..end]);
                }
                State::Introduced if first >> 4 == wire::CONNACK => {
                    self.welcomed(number, &bytes[..end], client);
                }
                State::Ready | State::Introduced => {
                    let why = format!("the broker says {:02x?}", &bytes[..end.min(8)]);
                    return self.lose(number, &why, client);
                }
                _ => return,
            }
            bytes = &bytes[end..];
        }
        if bytes.len() + 1024 > self.options.size + 8192 {
            return self.lose(number, "a packet is larger than any that was sent", client);
        }
        self.conns[number].carry.extend_from_slice(bytes);
    }

    fn welcomed(&mut self, number: usize, packet: &[u8], client: &mut impl Client) {
        match wire::connack(self.options.protocol(), packet) {
            Some((session_present, 0, receive_maximum)) => {
                self.opening -= 1;
                self.conns[number].state = State::Ready;
                client.welcome(
                    self,
                    number,
                    Welcome {
                        session_present,
                        receive_maximum,
                    },
                );
            }
            refused => {
                let why = format!("a CONNECT was refused: {refused:?}");
                self.lose(number, &why, client);
            }
        }
    }

    fn flush(&mut self, number: usize, client: &mut impl Client) {
        let conn = &mut self.conns[number];
        let Some(stream) = conn.stream.as_mut() else {
            return;
        };
        let _ = stream.flush();
        if conn.unsent.is_empty() {
            return;
        }
        let mut written = 0;
        while written < conn.unsent.len() {
            match stream.write_vectored(&[IoSlice::new(&conn.unsent[written..])]) {
                Ok(count) => written += count,
                Err(_) => break,
            }
        }
        conn.unsent.drain(..written);
        if conn.unsent.is_empty() {
            client.writable(self, number);
        }
    }

    fn lose(&mut self, number: usize, why: &str, client: &mut impl Client) {
        if !self.may_close {
            self.fail(why);
        }
        self.close(number);
        client.closed(self, number);
    }
}
