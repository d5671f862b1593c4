//! The layer itself: records in, bytes out, and the other way round.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::error::TlsError;
use super::suites::TlsVersion;
use crate::held::Held;
use crate::stream::Stream;

/// Bytes that one read asks of the stream below.
const READ: usize = 64 * 1024;

/// What a record holds at most (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// More than encryption adds to a record: header, nonce, tag, content type.
const OVERHEAD: usize = 64;

/// Bytes encrypted before they are written below.
const CHUNK: usize = 4 * RECORD;

/// What may wait to be written that nobody asked for: answers to requests for new keys. A peer that
/// asks on and doesn't read is cut off.
const UNASKED: usize = 64 * 1024;

/// Reads from below that bring no data before others have their turn.
const ROUNDS: usize = 32;

thread_local! {
    /// Where records are read and decrypted: of no connection, so that idle ones own nothing.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One side of a TLS conversation above another stream.
pub struct TlsStream {
    below: Stream,
    session: Session,
    /// The beginning of a record, or of a message of the handshake.
    begun: Vec<u8>,
    /// Decrypted and not taken yet.
    plain: Held,
    /// Encrypted and not written yet.
    sealed: Held,
    /// Bytes that the rest of the handshake may take.
    handshake_left: usize,
    drained: bool,
    peer_closed: bool,
    end: End,
    /// The session has failed and is not asked any more.
    dead: bool,
    /// What comes after what has been read.
    failed: Option<io::Error>,
}

/// How far our own end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// Said, and on its way.
    Said,
    /// Everything is written: the stream below knows too.
    Done,
}

pub(super) enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What a conversation has agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite, by its name in the IANA registry.
    pub cipher_suite: String,
    /// The application protocol.
    pub alpn: Option<Vec<u8>>,
    /// Whether a ticket of an earlier connection was used.
    pub resumed: bool,
}

impl TlsStream {
    pub(super) fn new(below: Stream, session: Session, handshake_bytes: Option<usize>) -> Self {
        Self {
            below,
            session,
            begun: Vec::new(),
            plain: Held::default(),
            sealed: Held::default(),
            handshake_left: handshake_bytes.unwrap_or(usize::MAX),
            drained: false,
            peer_closed: false,
            end: End::Open,
            dead: false,
            failed: None,
        }
    }

    /// What was agreed on; `None` before the handshake is over.
    pub fn info(&self) -> Option<TlsInfo> {
        let state = self.session.state();
        let version = match state.protocol_version()? {
            ProtocolVersion::TLSv1_3 => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        };
        let suite = super::suites::name_of(state.negotiated_cipher_suite()?);
        Some(TlsInfo {
            version,
            cipher_suite: suite,
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// The certificate that the peer has shown, in DER. One that was shown has been accepted.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = self.session.state().peer_certificates()?;
        chain.first().map(|certificate| certificate.as_ref())
    }

    pub(crate) fn is_established(&self) -> bool {
        !self.session.state().is_handshaking()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drained
    }

    pub(crate) fn below(&self) -> &Stream {
        &self.below
    }

    pub(crate) fn below_mut(&mut self) -> &mut Stream {
        &mut self.below
    }

    pub(crate) fn connected(&mut self) -> io::Result<bool> {
        if !self.below.is_established() || self.is_untouched() {
            if !self.below.connected()? {
                return Ok(false);
            }
            self.advance(&mut [])?;
        }
        while !self.is_established() {
            match self.receive() {
                Ok(0) => return Err(TlsError::Truncated.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        match self.flush() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(true),
            flushed => flushed.map(|()| true),
        }
    }

    pub(crate) fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.drained = false;
        let mut filled = 0;
        for _ in 0..ROUNDS {
            filled += self.plain.take(&mut target[filled..]);
            if filled == target.len() || (filled > 0 && self.drained) {
                let nothing_follows = self.failed.is_none() && !self.peer_closed;
                self.drained &= self.plain.is_empty() && nothing_follows;
                return Ok(filled);
            }
            if self.peer_closed {
                self.drained = false;
                return Ok(filled); // and 0 bytes next time
            }
            let end = match self.failed.take() {
                Some(failed) => failed,
                None => match self.receive() {
                    // With a word of TLS or without: what is sent by MQTT has an end of its own, so
                    // that nobody is deceived by one that is cut off, and many peers just close.
                    Ok(0) => {
                        self.peer_closed = true;
                        continue;
                    }
                    Ok(_) => continue,
                    Err(error) => error,
                },
            };
            if filled == 0 {
                return Err(end);
            }
            if end.kind() == io::ErrorKind::WouldBlock {
                self.drained = true;
            } else {
                self.failed = Some(end);
            }
            return Ok(filled);
        }
        // Whoever sends so much of nothing is asked again when more comes.
        match filled {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            filled => Ok(filled),
        }
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.is_established() || self.end != End::Open || self.dead {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.flush()?;
        let mut taken = 0;
        let mut gathered = SCRATCH.take();
        let mut rest = slices.iter().map(|slice| &**slice);
        let mut open: &[u8] = &[];
        let written = loop {
            gathered.clear();
            // Small pieces go into one record together.
            while gathered.len() < CHUNK {
                if open.is_empty() {
                    match rest.next() {
                        Some(next) => open = next,
                        None => break,
                    }
                }
                let (now, later) = open.split_at(open.len().min(CHUNK - gathered.len()));
                gathered.extend_from_slice(now);
                open = later;
            }
            if gathered.is_empty() {
                break Ok(());
            }
            if let Err(error) = self
                .session
                .seal(&gathered, &mut self.begun, &mut self.sealed)
            {
                break Err(error);
            }
            taken += gathered.len();
            if let Err(error) = self.flush() {
                break Err(error);
            }
        };
        SCRATCH.set(gathered);
        match written {
            // What was taken goes out when there is room.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(taken),
            Err(e) => Err(e),
            Ok(()) => Ok(taken),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.sealed.write_to(&mut self.below)?;
        if self.end == End::Said {
            self.end = End::Done;
            self.below.shutdown_write()?;
        }
        self.below.flush()
    }

    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        if self.end == End::Open {
            self.end = End::Said;
            if self.is_established() && !self.dead {
                self.session.end(&mut self.begun, &mut self.sealed)?;
            }
        }
        match self.flush() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// Whether nothing has been said or heard yet.
    fn is_untouched(&self) -> bool {
        self.sealed.is_untouched()
    }

    /// Reads once from below and takes in what that brings. 0 when the stream below has ended.
    fn receive(&mut self) -> io::Result<usize> {
        let mut scratch = SCRATCH.take();
        let received = self.receive_into(&mut scratch);
        SCRATCH.set(scratch);
        received
    }

    fn receive_into(&mut self, scratch: &mut Vec<u8>) -> io::Result<usize> {
        let begun = self.begun.len();
        let wanted = begun + READ;
        if scratch.len() < wanted {
            scratch.resize(wanted, 0);
        }
        let read = match self.below.read(&mut scratch[begun..wanted]) {
            Ok(0) => return Ok(0),
            other => other?,
        };
        self.drained = self.below.is_drained(read, READ);
        scratch[..begun].copy_from_slice(&self.begun);
        if !self.is_established() {
            let left = self.handshake_left.checked_sub(read);
            self.handshake_left = left.ok_or(TlsError::HandshakeTooLarge)?;
        }
        let used = self.advance(&mut scratch[..begun + read])?;
        self.begun.clear();
        self.begun.extend_from_slice(&scratch[used..begun + read]);
        if self.begun.is_empty() {
            self.begun = Vec::new();
        }
        Ok(read)
    }

    /// Takes in records and says what is to be said to them. Returns how much of `records` is used up.
    fn advance(&mut self, records: &mut [u8]) -> io::Result<usize> {
        match self
            .session
            .advance(records, &mut self.plain, &mut self.sealed)
        {
            Ok((used, closed)) => {
                self.peer_closed |= closed;
                let unread = self.sealed.len();
                // A failure of the stream below shows when it is read: perhaps there are last words.
                let sent = self.flush();
                if sent.is_err() && unread > UNASKED + CHUNK + CHUNK / 8 {
                    return Err(TlsError::Protocol("the peer reads no answers".to_owned()).into());
                }
                Ok(used)
            }
            Err(error) => {
                self.dead = true;
                // The peer shall know why: an alert, if there is room for it.
                let _ = self.flush();
                if self.plain.is_empty() {
                    return Err(error.into());
                }
                self.failed = Some(error.into());
                Ok(records.len())
            }
        }
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.below).finish()
    }
}

/// What one step of the session came to.
enum Step {
    Goes,
    /// Nothing more without more input.
    Rests,
    Closed,
}

impl Session {
    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Client(session) => session,
            Self::Server(session) => session,
        }
    }

    /// Takes in records. Returns how much is used up and whether the peer has ended the conversation.
    fn advance(
        &mut self,
        records: &mut [u8],
        plain: &mut Held,
        sealed: &mut Held,
    ) -> Result<(usize, bool), TlsError> {
        let (mut used, mut closed) = (0, false);
        loop {
            let rest = &mut records[used..];
            let (discard, step) = match self {
                Self::Client(session) => step(session.process_tls_records(rest), plain, sealed),
                Self::Server(session) => step(session.process_tls_records(rest), plain, sealed),
            };
            used += discard;
            match step {
                Ok(Step::Goes) => {}
                Ok(Step::Rests) => return Ok((used, closed)),
                Ok(Step::Closed) => closed = true,
                Err(error) => {
                    self.take_alert(&mut records[used..], sealed);
                    return Err(error.into());
                }
            }
        }
    }

    /// After an error: what the session still has to say. Asked once more than that it would look at
    /// its input again, which it does not expect after an error.
    fn take_alert(&mut self, rest: &mut [u8], sealed: &mut Held) {
        let mut nothing = Held::default();
        while self.state().wants_write() {
            let (_, step) = match self {
                Self::Client(session) => {
                    step(session.process_tls_records(rest), &mut nothing, sealed)
                }
                Self::Server(session) => {
                    step(session.process_tls_records(rest), &mut nothing, sealed)
                }
            };
            if !matches!(step, Ok(Step::Goes)) {
                return;
            }
        }
    }

    /// Encrypts bytes of the application.
    fn seal(&mut self, bytes: &[u8], begun: &mut [u8], sealed: &mut Held) -> io::Result<()> {
        for record in bytes.chunks(RECORD) {
            self.write(begun, sealed, Some(record))?;
        }
        Ok(())
    }

    /// Says that nothing more will come.
    fn end(&mut self, begun: &mut [u8], sealed: &mut Held) -> io::Result<()> {
        self.write(begun, sealed, None)
    }

    /// Encrypts one record, or the end. The session looks at what has begun to come in again before it
    /// writes, and finds it as incomplete as before.
    fn write(
        &mut self,
        begun: &mut [u8],
        sealed: &mut Held,
        record: Option<&[u8]>,
    ) -> io::Result<()> {
        let room = record.map_or(0, <[u8]>::len) + OVERHEAD;
        let mut nothing = Held::default();
        loop {
            let done = match self {
                Self::Client(session) => write(
                    session.process_tls_records(begun),
                    &mut nothing,
                    sealed,
                    record,
                    room,
                ),
                Self::Server(session) => write(
                    session.process_tls_records(begun),
                    &mut nothing,
                    sealed,
                    record,
                    room,
                ),
            };
            if done? {
                return Ok(());
            }
        }
    }
}

fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plain: &mut Held,
    sealed: &mut Held,
) -> (usize, Result<Step, rustls::Error>) {
    let mut discard = status.discard;
    let step = match status.state {
        Err(error) => Err(error),
        Ok(state) => follow(state, &mut discard, plain, sealed),
    };
    (discard, step)
}

fn follow<D>(
    state: ConnectionState<'_, '_, D>,
    discard: &mut usize,
    plain: &mut Held,
    sealed: &mut Held,
) -> Result<Step, rustls::Error> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                *discard += record.discard;
                plain.extend(record.payload);
            }
            Ok(Step::Goes)
        }
        ConnectionState::EncodeTlsData(mut encode) => {
            let mut room = 512;
            loop {
                let target = sealed.room(room);
                match encode.encode(target) {
                    Ok(written) => {
                        sealed.grown(room, written);
                        return Ok(Step::Goes);
                    }
                    Err(EncodeError::InsufficientSize(needs)) => {
                        sealed.grown(room, 0);
                        room = needs.required_size;
                    }
                    Err(EncodeError::AlreadyEncoded) => {
                        sealed.grown(room, 0);
                        return Ok(Step::Goes);
                    }
                }
            }
        }
        ConnectionState::TransmitTlsData(transmit) => {
            transmit.done(); // it is in `sealed`, in its order
            Ok(Step::Goes)
        }
        ConnectionState::PeerClosed => Ok(Step::Closed),
        // Early data is never allowed; the rest waits for input.
        _ => Ok(Step::Rests),
    }
}

/// One step towards writing; whether it is done.
fn write<D>(
    status: UnbufferedStatus<'_, '_, D>,
    plain: &mut Held,
    sealed: &mut Held,
    record: Option<&[u8]>,
    room: usize,
) -> io::Result<bool> {
    let mut discard = status.discard;
    match status.state.map_err(TlsError::from)? {
        ConnectionState::WriteTraffic(mut traffic) => {
            let target = sealed.room(room);
            let written = match record {
                Some(record) => traffic.encrypt(record, target),
                None => traffic.queue_close_notify(target),
            };
            let failed = match &written {
                Ok(_) => None,
                Err(EncryptError::InsufficientSize(_)) => Some("no room for a record"),
                Err(EncryptError::EncryptExhausted) => Some("the key is used up"),
            };
            sealed.grown(room, written.unwrap_or(0));
            match failed {
                None => Ok(true),
                Some(why) => Err(TlsError::Protocol(why.to_owned()).into()),
            }
        }
        ConnectionState::BlockedHandshake | ConnectionState::Closed => {
            Err(io::ErrorKind::NotConnected.into())
        }
        other => {
            follow(other, &mut discard, plain, sealed).map_err(TlsError::from)?;
            Ok(false)
        }
    }
}
