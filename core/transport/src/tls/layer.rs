//! The layer itself: records in, bytes out, and the other way round.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};

use rustls::{HandshakeKind, ProtocolVersion};

use super::error::TlsError;
use super::session::{Plain, RECORD, Session};
use super::suites::TlsVersion;
use crate::held::Held;
use crate::stream::Stream;

/// Bytes that one read asks of the stream below.
const READ: usize = 64 * 1024;

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
            self.advance(&mut [], &mut Plain::kept(&mut Held::default()))?;
        }
        while !self.is_established() {
            match self.receive(&mut [], &mut 0) {
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
                None => match self.receive(target, &mut filled) {
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

    /// Reads once from below and takes in what that brings, into `target` behind what fills it already;
    /// what finds no room there is kept. 0 when the stream below has ended.
    fn receive(&mut self, target: &mut [u8], filled: &mut usize) -> io::Result<usize> {
        let mut scratch = SCRATCH.take();
        let mut kept = std::mem::take(&mut self.plain);
        let mut plain = Plain {
            target,
            filled: *filled,
            kept: &mut kept,
        };
        let received = self.receive_by(&mut scratch, &mut plain);
        *filled = plain.filled;
        self.plain = kept;
        SCRATCH.set(scratch);
        received
    }

    fn receive_by(&mut self, scratch: &mut Vec<u8>, plain: &mut Plain<'_>) -> io::Result<usize> {
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
        let used = self.advance(&mut scratch[..begun + read], plain)?;
        self.begun.clear();
        self.begun.extend_from_slice(&scratch[used..begun + read]);
        if self.begun.is_empty() {
            self.begun = Vec::new();
        }
        Ok(read)
    }

    /// Takes in records and says what is to be said to them. Returns how much of `records` is used up.
    fn advance(&mut self, records: &mut [u8], plain: &mut Plain<'_>) -> io::Result<usize> {
        match self.session.advance(records, plain, &mut self.sealed) {
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
                if plain.is_empty() {
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
