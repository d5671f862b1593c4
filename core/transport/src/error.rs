//! What the layers above a socket have to say when a connection fails.

use std::fmt;
use std::io;

use crate::proxy::ProxyError;
#[cfg(feature = "quic")]
use crate::quic::QuicError;
#[cfg(feature = "tls")]
use crate::tls::TlsError;
#[cfg(feature = "websocket")]
use crate::websocket::WebSocketError;

/// A failure of a layer. Streams give it inside of an [`io::Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// Of TLS.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// Of the WebSocket.
    #[cfg(feature = "websocket")]
    WebSocket(WebSocketError),
    /// Of QUIC, where it is not of the TLS inside.
    #[cfg(feature = "quic")]
    Quic(QuicError),
    /// Of the way through an HTTP proxy.
    Proxy(ProxyError),
}

impl TransportError {
    /// What a layer says in an error of a stream; `None` when it is the socket's.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            #[cfg(feature = "websocket")]
            Self::WebSocket(error) => error.fmt(f),
            #[cfg(feature = "quic")]
            Self::Quic(error) => error.fmt(f),
            Self::Proxy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TransportError {}

impl From<TransportError> for io::Error {
    fn from(error: TransportError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
