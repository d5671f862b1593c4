//! What can go wrong, by operation.

use std::fmt;
use std::io;
use std::sync::Arc;

use ternmq_protocol::client::{DropReason, PublishRefused, RequestRefused};
use ternmq_protocol::codec::PropertiesBuf;
use ternmq_protocol::{EncodeError, PeerError, ReasonCode};
use ternmq_transport::{EndpointError, TransportError};

/// Why there is no connection. When several addresses, endpoints or versions were tried, this is
/// the error of the last one.
#[derive(Clone, Debug)]
pub enum ConnectError {
    /// The server answered, and refused.
    Refused {
        /// The reason code of CONNACK; that of the same meaning before MQTT 5.0.
        reason: ReasonCode,
        /// The properties of CONNACK, such as Reason String and Server Reference.
        properties: PropertiesBuf,
    },
    /// The connect timeout passed before CONNACK came.
    Timeout,
    /// The host name has no address.
    Resolve {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        error: Arc<io::Error>,
    },
    /// The transport could not be opened, or failed before CONNACK.
    Io(Arc<io::Error>),
    /// The same of what lies above the socket: TLS, the WebSocket, the way through a proxy.
    Transport(TransportError),
    /// The server closed the connection instead of answering.
    Closed,
    /// The server's answer broke the protocol.
    Protocol(PeerError),
    /// The options can't be put into a CONNECT of this version.
    Options(EncodeError),
    /// The options name no endpoint.
    NoEndpoint,
    /// The URI is not one of an MQTT server.
    Uri(EndpointError),
    /// The attempt was ended from our side: disconnect, close, or the client was dropped.
    Cancelled,
    /// There is a connection already, or an attempt goes on.
    Busy,
}

impl ConnectError {
    pub(crate) fn io(error: io::Error) -> Self {
        match TransportError::of(&error) {
            Some(error) => Self::Transport(error.clone()),
            None => Self::Io(Arc::new(error)),
        }
    }

    /// The reason code that the server refused with.
    pub fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Refused { reason, .. } => Some(*reason),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { reason, .. } => {
                write!(f, "the server refused the connection: {reason}")
            }
            Self::Timeout => f.write_str("the connection attempt took too long"),
            Self::Resolve { host, error } => write!(f, "no address for {host:?}: {error}"),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Transport(error) => error.fmt(f),
            Self::Closed => f.write_str("the server closed the connection without an answer"),
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Options(error) => write!(f, "impossible options: {error}"),
            Self::NoEndpoint => f.write_str("no endpoint to connect to"),
            Self::Uri(error) => error.fmt(f),
            Self::Cancelled => f.write_str("the connection attempt was cancelled"),
            Self::Busy => f.write_str("connected or connecting already"),
        }
    }
}

impl std::error::Error for ConnectError {}

#[cfg(feature = "tls")]
impl From<ternmq_transport::tls::TlsError> for ConnectError {
    fn from(error: ternmq_transport::tls::TlsError) -> Self {
        Self::Transport(TransportError::Tls(error))
    }
}

impl From<EndpointError> for ConnectError {
    fn from(error: EndpointError) -> Self {
        Self::Uri(error)
    }
}

/// Why a message was not published, or not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The topic, the properties or the size can't be put into a PUBLISH.
    Invalid(EncodeError),
    /// The session did not take the message.
    NotTaken(PublishRefused),
    /// The server answered with an error (MQTT 5.0).
    Rejected {
        /// The reason code of PUBACK, PUBREC or PUBCOMP.
        reason: ReasonCode,
        /// The properties of that packet.
        properties: PropertiesBuf,
    },
    /// The session gave the message up before there was an answer.
    Dropped(DropReason),
    /// No answer in time. The message is still on its way, and may yet be acknowledged.
    Timeout,
    /// The client has ended: disconnected, or its connection was lost for good.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::NotTaken(refused) => refused.fmt(f),
            Self::Rejected { reason, .. } => write!(f, "the server rejected the message: {reason}"),
            Self::Dropped(why) => write!(f, "the message was dropped: {}", dropped(*why)),
            Self::Timeout => f.write_str("no acknowledgement in time"),
            Self::Closed => f.write_str("the client has ended"),
        }
    }
}

impl std::error::Error for PublishError {}

impl From<EncodeError> for PublishError {
    fn from(error: EncodeError) -> Self {
        Self::Invalid(error)
    }
}

impl From<PublishRefused> for PublishError {
    fn from(refused: PublishRefused) -> Self {
        Self::NotTaken(refused)
    }
}

/// Why a subscribe or unsubscribe failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// Not a valid topic filter.
    Filter(ternmq_protocol::topic::TopicError),
    /// The request was not sent.
    NotSent(RequestRefused),
    /// The server answered with an error, for each filter.
    Rejected {
        /// The first reason code of SUBACK or UNSUBACK; Unspecified error (0x80) before MQTT 5.0.
        reason: ReasonCode,
        /// All reason codes, in the order of the filters.
        codes: Vec<ReasonCode>,
        /// The properties of that packet.
        properties: PropertiesBuf,
    },
    /// The connection ended before the answer; whether the request took effect is unknown.
    Dropped(DropReason),
    /// No answer in time.
    Timeout,
    /// The client has ended.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => write!(f, "not a valid topic filter: {error}"),
            Self::NotSent(refused) => refused.fmt(f),
            Self::Rejected { reason, .. } => write!(f, "the server rejected the request: {reason}"),
            Self::Dropped(why) => write!(f, "the request was dropped: {}", dropped(*why)),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Closed => f.write_str("the client has ended"),
        }
    }
}

impl std::error::Error for SubscribeError {}

impl From<RequestRefused> for SubscribeError {
    fn from(refused: RequestRefused) -> Self {
        Self::NotSent(refused)
    }
}

const fn dropped(why: DropReason) -> &'static str {
    match why {
        DropReason::Expired => "its expiry interval passed",
        DropReason::TooLarge => "it exceeds the server's maximum packet size",
        DropReason::NotSupported => "the server does not support its QoS or retained messages",
        DropReason::SessionLost => "the server lost the session",
        DropReason::ConnectionLost => "the connection ended before the answer",
        DropReason::Forgotten => "the session was forgotten",
        DropReason::Overflow => "the outbox was full and a newer message took its place",
    }
}
