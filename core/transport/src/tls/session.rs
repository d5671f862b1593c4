//! A session of rustls, and the steps in which it takes in and gives out records.

use std::io;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use super::error::TlsError;
use crate::held::Held;

/// What a record holds at most (RFC 8446 section 5.1).
pub(super) const RECORD: usize = 16 * 1024;

/// More than encryption adds to a record: header, nonce, tag, content type.
const OVERHEAD: usize = 64;

/// Either side.
pub(super) enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// Where decrypted bytes go: to whoever reads, as far as there is room, and the rest is kept.
pub(super) struct Plain<'a> {
    pub(super) target: &'a mut [u8],
    pub(super) filled: usize,
    pub(super) kept: &'a mut Held,
}

impl<'a> Plain<'a> {
    /// All of it is kept.
    pub(super) fn kept(kept: &'a mut Held) -> Self {
        Self {
            target: &mut [],
            filled: 0,
            kept,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0 && self.kept.is_empty()
    }

    fn extend(&mut self, bytes: &[u8]) {
        // In their order: nothing overtakes what is kept.
        let room = match self.kept.is_empty() {
            true => bytes.len().min(self.target.len() - self.filled),
            false => 0,
        };
        self.target[self.filled..self.filled + room].copy_from_slice(&bytes[..room]);
        self.filled += room;
        if room < bytes.len() {
            self.kept.extend(&bytes[room..]);
        }
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
    pub(super) fn advance(
        &mut self,
        records: &mut [u8],
        plain: &mut Plain<'_>,
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
        let mut nothing = Plain::kept(&mut nothing);
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
    pub(super) fn seal(
        &mut self,
        bytes: &[u8],
        begun: &mut [u8],
        sealed: &mut Held,
    ) -> io::Result<()> {
        for record in bytes.chunks(RECORD) {
            self.write(begun, sealed, Some(record))?;
        }
        Ok(())
    }

    /// Says that nothing more will come.
    pub(super) fn end(&mut self, begun: &mut [u8], sealed: &mut Held) -> io::Result<()> {
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
        let mut nothing = Plain::kept(&mut nothing);
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
    plain: &mut Plain<'_>,
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
    plain: &mut Plain<'_>,
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
    plain: &mut Plain<'_>,
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
