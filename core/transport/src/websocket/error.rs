//! What can be wrong with a WebSocket.

use std::fmt;
use std::io;

use crate::error::TransportError;

/// Why a WebSocket was not opened, or has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The server refused to open one, with this status and these words of HTTP.
    Refused(u16, String),
    /// The other end speaks no HTTP.
    NoHttp,
    /// The head of the request or answer is longer than allowed.
    HeadTooLarge,
    /// The server closed the connection instead of answering.
    Closed,
    /// The server's answer opens no WebSocket for MQTT; what is wrong with it.
    Answer(&'static str),
    /// A client's request opens none; the status it was answered with, and why.
    Request(u16, &'static str),
    /// A frame of text, where MQTT travels in binary ones (section 6 of MQTT 5.0).
    NotBinary,
    /// A frame that is larger than allowed; its length.
    FrameTooLarge(u64),
    /// A message that holds more than this when it is decompressed.
    MessageTooLarge(u64),
    /// A compressed message that is none.
    Inflate,
    /// A window of one's own that there is not: [`Deflate::window_bits`](super::Deflate::window_bits).
    WindowBits(u8),
    /// The peer broke the protocol; how.
    Protocol(&'static str),
    /// A header line of one's own that can't be one; its name.
    Header(String),
    /// The system has no randomness to give.
    Randomness,
}

impl WebSocketError {
    /// The status of the Close frame that tells the peer (RFC 6455 section 7.4.1).
    pub(super) const fn close_code(&self) -> u16 {
        match self {
            Self::NotBinary => 1003,
            Self::Inflate => 1007,
            Self::FrameTooLarge(_) | Self::MessageTooLarge(_) => 1009,
            _ => 1002,
        }
    }
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status, reason) => {
                write!(f, "the server refused a WebSocket: {status} {reason}")
            }
            Self::NoHttp => f.write_str("the WebSocket's peer speaks no HTTP"),
            Self::HeadTooLarge => f.write_str("the head of HTTP before a WebSocket is too long"),
            Self::Closed => f.write_str("the server closed the connection instead of a WebSocket"),
            Self::Answer(why) => write!(f, "the server's answer opens no WebSocket: {why}"),
            Self::Request(status, why) => write!(f, "no request for a WebSocket ({status}): {why}"),
            Self::NotBinary => f.write_str("a WebSocket frame of text; MQTT has binary ones"),
            Self::FrameTooLarge(length) => {
                write!(f, "a WebSocket frame of {length} bytes is too large")
            }
            Self::MessageTooLarge(limit) => write!(
                f,
                "a WebSocket message that holds more than {limit} bytes when it is decompressed"
            ),
            Self::Inflate => f.write_str("a WebSocket message that can't be decompressed"),
            Self::WindowBits(bits) => write!(
                f,
                "there is no compression of WebSockets with a window of {bits} bits; there is from 9 to 15"
            ),
            Self::Protocol(how) => write!(f, "the WebSocket's peer broke the protocol: {how}"),
            Self::Header(name) => write!(f, "{name:?} can't be a header line"),
            Self::Randomness => f.write_str("the system has no randomness for a WebSocket"),
        }
    }
}

impl std::error::Error for WebSocketError {}

impl From<WebSocketError> for io::Error {
    fn from(error: WebSocketError) -> Self {
        TransportError::WebSocket(error).into()
    }
}
