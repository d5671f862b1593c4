//! One connection: bytes between its stream and its pipe.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{
    Connection, ConnectionEvent, ConnectionHandle, Dir, Event, Incoming, ReadError, Side,
    StreamEvent, StreamId, VarInt, WriteError,
};
use rustls::pki_types::CertificateDer;

use super::error::{Failure, QuicError};
use super::stream::{Established, Line, lock};
use crate::error::TransportError;
use crate::held::Held;
use crate::stream::Stream;

/// How long a peer may take to say that it has the last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The code of an end at which nothing is wrong.
const NO_ERROR: VarInt = VarInt::from_u32(0);

/// The code for a peer that does something which MQTT has no use for.
const MISUSE: VarInt = VarInt::from_u32(1);

/// A connection in its engine.
pub(super) struct Conn {
    pub(super) port: usize,
    pub(super) line: Arc<Line>,
    /// Our end of the pipe; `None` once the other end knows all there is to know.
    pub(super) near: Option<Stream>,
    pub(super) stage: Stage,
    /// Counts among those without a stream.
    pub(super) half_open: bool,
    /// It is in the list of those to be looked at.
    pub(super) dirty: bool,
    /// The timer that is set.
    pub(super) armed: Option<Instant>,
}

pub(super) enum Stage {
    /// A server's that nobody has decided about.
    Waiting(Box<Incoming>),
    Running(Box<Running>),
    Over,
}

/// A connection that QUIC knows.
pub(super) struct Running {
    pub(super) connection: Connection,
    pub(super) handle: ConnectionHandle,
    /// A byte tells the other end of the pipe that the handshake is over.
    greets: bool,
    stream: Option<StreamId>,
    /// Read from the stream; the pipe has no room for it.
    inward: Bytes,
    /// The stream has ended.
    heard_all: bool,
    /// Read from the pipe; the stream has no room for it.
    outward: Held,
    /// The pipe has ended.
    near_ended: bool,
    /// The poller has said that it will; of a socket in place of a pipe that is all there is to know.
    pub(super) hung_up: bool,
    finished: bool,
    /// The peer has all that we said, or wants none of it.
    acknowledged: bool,
    /// Why the connection is no more; until it is told.
    lost: Option<Option<Failure>>,
    /// We have ended it.
    closed: bool,
    /// When it is ended, whatever was still to be said.
    until: Option<Instant>,
    /// QUIC has forgotten it.
    pub(super) drained: bool,
}

impl Running {
    pub(super) fn new(connection: Connection, handle: ConnectionHandle, greets: bool) -> Self {
        Self {
            connection,
            handle,
            greets,
            stream: None,
            inward: Bytes::new(),
            heard_all: false,
            outward: Held::default(),
            near_ended: false,
            hung_up: false,
            finished: false,
            acknowledged: false,
            lost: None,
            closed: false,
            until: None,
            drained: false,
        }
    }

    /// When time matters to it.
    pub(super) fn due(&mut self) -> Option<Instant> {
        let quic = self.connection.poll_timeout();
        let last = self.until.filter(|_| !self.closed);
        quic.into_iter().chain(last).min()
    }

    pub(super) fn has_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether nothing of it is worth waiting for.
    pub(super) fn is_ended(&self) -> bool {
        self.closed || self.connection.is_closed() || self.drained
    }

    pub(super) fn hear(&mut self, event: ConnectionEvent) {
        self.connection.handle_event(event);
    }

    /// Ends it because of something that QUIC does not know of.
    pub(super) fn fail(&mut self, failure: Failure, now: Instant) {
        if self.lost.is_none() {
            self.lost = Some(Some(failure));
            self.close(now, NO_ERROR, b"");
        }
    }

    /// Moves what can be moved, and ends what has ended.
    pub(super) fn turn(
        &mut self,
        near: &mut Option<Stream>,
        line: &Line,
        scratch: &mut [u8],
        now: Instant,
    ) {
        if self.until.is_some_and(|until| until <= now) {
            self.close(now, NO_ERROR, b"");
        }
        self.heed_events(near, line, now);
        if let Some(open) = near
            && let Err(failure) = self.exchange(open, scratch)
        {
            self.close(now, MISUSE, b"the stream was reset");
            self.lost.get_or_insert(Some(failure));
        }
        self.see_to_the_end(near, line, now);
    }

    fn heed_events(&mut self, near: &mut Option<Stream>, line: &Line, now: Instant) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.established(near, line, now),
                Event::ConnectionLost { reason } => {
                    self.lost.get_or_insert_with(|| Failure::of(reason));
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    let opened = self.connection.streams().accept(Dir::Bi);
                    if self.stream.is_none() {
                        self.stream = opened;
                    } else if opened.is_some() {
                        self.misuse(now, "a second stream");
                    }
                }
                Event::Stream(StreamEvent::Finished { .. } | StreamEvent::Stopped { .. }) => {
                    self.acknowledged = true;
                }
                _ => {}
            }
        }
    }

    /// The handshake is over.
    fn established(&mut self, near: &mut Option<Stream>, line: &Line, now: Instant) {
        let identity = self.connection.crypto_session().peer_identity();
        let chain = identity.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let certificate = chain.and_then(|chain| Some(chain.first()?.to_vec()));
        let _ = line.established.set(Established { certificate });
        if self.connection.side() == Side::Client {
            self.stream = self.connection.streams().open(Dir::Bi);
            if self.stream.is_none() {
                self.misuse(now, "it lets us open no stream");
            }
        }
        match near {
            Some(Stream::Pipe(pipe)) => pipe.nudge(),
            Some(near) if self.greets => {
                // There is room for one byte in a socket that nothing was written to.
                let _ = near.write_vectored(&[IoSlice::new(b"+")]);
            }
            _ => {}
        }
    }

    fn misuse(&mut self, now: Instant, what: &str) {
        let failure = QuicError::Protocol(what.to_owned());
        let failure = Failure::Layer(TransportError::Quic(failure));
        self.lost.get_or_insert(Some(failure));
        self.close(now, MISUSE, what.as_bytes());
    }

    /// # Errors
    /// The peer has broken off the stream.
    fn exchange(&mut self, near: &mut Stream, scratch: &mut [u8]) -> Result<(), Failure> {
        let Some(stream) = self.stream else {
            return Ok(());
        };
        self.bring_in(near, stream)?;
        if self.lost.is_none() {
            self.take_out(near, stream, scratch);
        }
        Ok(())
    }

    fn bring_in(&mut self, near: &mut Stream, stream: StreamId) -> Result<(), Failure> {
        loop {
            while !self.inward.is_empty() {
                match near.write_vectored(&[IoSlice::new(&self.inward)]) {
                    Ok(written) => drop(self.inward.split_to(written)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    // Nobody reads any more, which shows when the pipe is read.
                    Err(_) => self.inward.clear(),
                }
            }
            if self.heard_all {
                return Ok(());
            }
            let mut received = self.connection.recv_stream(stream);
            let Ok(mut chunks) = received.read(true) else {
                return Ok(());
            };
            let next = chunks.next(usize::MAX);
            let _ = chunks.finalize();
            match next {
                Ok(Some(chunk)) => self.inward = chunk.bytes,
                Ok(None) => {
                    self.heard_all = true;
                    let _ = near.shutdown_write();
                }
                Err(ReadError::Blocked) => return Ok(()),
                Err(ReadError::Reset(_)) => {
                    let kind = io::ErrorKind::ConnectionReset;
                    return Err(Failure::Socket(kind, "the peer has reset the stream"));
                }
            }
        }
    }

    fn take_out(&mut self, near: &mut Stream, stream: StreamId, scratch: &mut [u8]) {
        let mut stream = self.connection.send_stream(stream);
        loop {
            if self.acknowledged {
                // Nobody wants to hear more.
                self.outward.advance(self.outward.len());
            }
            while !self.outward.is_empty() {
                match stream.write(self.outward.as_slice()) {
                    Ok(written) => self.outward.advance(written),
                    Err(WriteError::Blocked) => return,
                    Err(_) => self.outward.advance(self.outward.len()),
                }
            }
            if self.near_ended {
                if !std::mem::replace(&mut self.finished, true) && stream.finish().is_err() {
                    self.acknowledged = true;
                }
                return;
            }
            match near.read(scratch) {
                Ok(0) => self.near_ended = true,
                Ok(read) => {
                    let sent = stream.write(&scratch[..read]).unwrap_or(0);
                    self.outward.extend(&scratch[sent..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.near_ended = true,
            }
        }
    }

    fn see_to_the_end(&mut self, near: &mut Option<Stream>, line: &Line, now: Instant) {
        if self.lost.is_some()
            && (self.inward.is_empty() || near.as_ref().is_none_or(|near| self.is_left(near)))
        {
            if let Some(failure) = self.lost.take().flatten() {
                let _ = line.failure.set(failure);
            }
            // From now on there is nobody to tell.
            *near = None;
            self.close(now, NO_ERROR, b"");
        }
        let Some(open) = near else {
            return;
        };
        if !self.is_left(open) || self.closed {
            return;
        }
        if self.stream.is_none() || self.acknowledged {
            *near = None;
            self.close(now, NO_ERROR, b"");
        } else {
            self.until.get_or_insert(now + LAST_WORDS);
        }
    }

    /// Whether whoever holds the other end of the pipe does not any more.
    fn is_left(&self, near: &Stream) -> bool {
        match near {
            Stream::Pipe(pipe) => pipe.peer_is_gone(),
            _ => self.near_ended || (self.hung_up && self.stream.is_none()),
        }
    }

    fn close(&mut self, now: Instant, code: VarInt, why: &[u8]) {
        if !std::mem::replace(&mut self.closed, true) && !self.connection.is_closed() {
            self.connection
                .close(now, code, Bytes::copy_from_slice(why));
        }
    }
}

impl Conn {
    /// Whether nobody waits for it.
    pub(super) fn is_deserted(&self) -> bool {
        match (&self.near, &self.stage) {
            (None, _) => true,
            (Some(near), Stage::Running(running)) => running.is_left(near),
            (Some(Stream::Pipe(pipe)), _) => pipe.peer_is_gone(),
            (Some(_), _) => false,
        }
    }

    /// Notes where the peer is now. Whether it has moved.
    pub(super) fn note_peer(&self) -> bool {
        let Stage::Running(running) = &self.stage else {
            return false;
        };
        let now = running.connection.remote_address();
        std::mem::replace(&mut *lock(&self.line.peer), now) != now
    }
}
