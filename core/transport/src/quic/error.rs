//! Why a QUIC connection has ended, if not as it should.

use std::fmt;
use std::io;

use quinn_proto::{ConnectionError, TransportErrorCode};

use crate::error::TransportError;
use crate::tls::{self, TlsError};

/// What goes wrong in QUIC and is not of the TLS inside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuicError {
    /// The server lets nobody in: it has as many connections, or as many that are only beginning, as may
    /// be.
    Refused,
    /// The peer speaks no version of QUIC that we do.
    Version,
    /// The peer broke the protocol; how.
    Protocol(String),
    /// The peer has ended the connection because of us: what it says.
    Closed(String),
}

/// The end of a connection as its reader is told it.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Layer(TransportError),
    Socket(io::ErrorKind, &'static str),
}

impl Failure {
    pub(super) fn to_io(&self) -> io::Error {
        match self {
            Self::Layer(error) => error.clone().into(),
            Self::Socket(kind, what) => io::Error::new(*kind, *what),
        }
    }

    /// What has ended a connection; `None` when nothing is wrong with that.
    pub(super) fn of(reason: ConnectionError) -> Option<Self> {
        let quic = |error| Some(Self::Layer(TransportError::Quic(error)));
        let tls = |error| Some(Self::Layer(TransportError::Tls(error)));
        match reason {
            ConnectionError::LocallyClosed => None,
            ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == 0 => None,
            ConnectionError::ApplicationClosed(close) => quic(QuicError::Closed(close.to_string())),
            ConnectionError::ConnectionClosed(close) => match crypto(close.error_code) {
                Some(alert) => tls(tls::alert(alert)),
                None if close.error_code == TransportErrorCode::NO_ERROR => None,
                None if close.error_code == TransportErrorCode::CONNECTION_REFUSED => {
                    quic(QuicError::Refused)
                }
                None => quic(QuicError::Closed(close.to_string())),
            },
            ConnectionError::TransportError(error) => match crypto(error.code) {
                Some(_) => {
                    let why = TlsError::Protocol(error.reason);
                    tls(tls::take_refusal().unwrap_or(why))
                }
                None => quic(QuicError::Protocol(error.to_string())),
            },
            ConnectionError::VersionMismatch => quic(QuicError::Version),
            ConnectionError::Reset => Some(Self::Socket(
                io::ErrorKind::ConnectionReset,
                "the peer knows of no such QUIC connection any more",
            )),
            ConnectionError::TimedOut => Some(Self::Socket(
                io::ErrorKind::TimedOut,
                "nothing came over QUIC for too long",
            )),
            ConnectionError::CidsExhausted => Some(Self::Socket(
                io::ErrorKind::OutOfMemory,
                "no connection identifiers are left",
            )),
        }
    }
}

impl fmt::Display for QuicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the server refuses more QUIC connections"),
            Self::Version => f.write_str("no version of QUIC in common"),
            Self::Protocol(what) => write!(f, "QUIC failed: {what}"),
            Self::Closed(what) => write!(f, "the peer ended QUIC: {what}"),
        }
    }
}

impl std::error::Error for QuicError {}

impl From<QuicError> for io::Error {
    fn from(error: QuicError) -> Self {
        TransportError::Quic(error).into()
    }
}

/// The alert of TLS that an error code stands for (RFC 9001 section 4.8).
fn crypto(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}
