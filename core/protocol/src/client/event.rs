//! What a client session tells, and why it refuses.

use crate::codec::{Properties, PropertiesBuf, PropertyId, QoS};
use crate::error::{EncodeError, PeerError};
use crate::message::Message;
use crate::reason::ReasonCode;

/// Names a publish, subscribe or unsubscribe until its completion: the Packet Identifier.
///
/// Not given anew before the operation has its completion event, and then only after all others
/// had their turn; unless nothing is left of a session that was dropped: then they begin with 1 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u16);

impl Token {
    /// A QoS 0 publish, which has no completion.
    pub const NONE: Token = Token(0);
}

/// What happened, in order. Each is given out once.
#[derive(Debug)]
pub enum Event {
    /// The server accepted the connection.
    Connected(Connected),
    /// The server refused the connection. The last event of a connection, like
    /// [`Event::Disconnected`], which does not follow.
    Refused {
        /// The reason code of CONNACK; that of the same meaning before MQTT 5.0.
        reason: ReasonCode,
        /// The properties of CONNACK: Reason String, Server Reference and so on.
        properties: PropertiesBuf,
    },
    /// A message came in.
    Message(Incoming),
    /// A publish with QoS 1 or 2 is complete.
    Published {
        /// Which one.
        token: Token,
        /// The reason code of PUBACK or PUBCOMP, or of a PUBREC that refused the message.
        reason: ReasonCode,
        /// The properties of that packet.
        properties: PropertiesBuf,
    },
    /// SUBACK came in.
    Subscribed {
        /// Which request.
        token: Token,
        /// One per topic filter, in the order of the request; before MQTT 5.0 the granted QoS or 0x80.
        codes: Vec<ReasonCode>,
        /// The properties of SUBACK.
        properties: PropertiesBuf,
    },
    /// UNSUBACK came in.
    Unsubscribed {
        /// Which request.
        token: Token,
        /// One per topic filter, in the order of the request; Success before MQTT 5.0.
        codes: Vec<ReasonCode>,
        /// The properties of UNSUBACK.
        properties: PropertiesBuf,
    },
    /// AUTH came in (MQTT 5.0, section 4.12), only where CONNECT named an authentication method.
    Authenticate {
        /// Continue authentication: to be answered by
        /// [`authenticate`](super::ClientSession::authenticate). Success: re-authentication is done.
        reason: ReasonCode,
        /// Authentication Method and Data, Reason String and so on.
        properties: PropertiesBuf,
    },
    /// A step inside a QoS 2 exchange, where
    /// [`Options::report_progress`](super::Options::report_progress) asks for them.
    Progress(Progress),
    /// A QoS 0 message that was published with
    /// [`publish_noted`](super::ClientSession::publish_noted) was written, and taken by the driver.
    Sent {
        /// What it was published with.
        note: u32,
    },
    /// A QoS 0 message that was published with
    /// [`publish_noted`](super::ClientSession::publish_noted) has left the outbox unsent, or was lost
    /// with the connection before the driver has taken it.
    NotSent {
        /// What it was published with.
        note: u32,
        /// Why.
        why: DropReason,
    },
    /// An operation ended without an answer of the server: its last event.
    Dropped {
        /// Which one.
        token: Token,
        /// Why.
        why: DropReason,
    },
    /// The connection ended, or the transport never opened.
    Disconnected {
        /// Who or what ended it.
        cause: Cause,
        /// The reason code that was sent or received; Unspecified error where there was none.
        reason: ReasonCode,
        /// The properties of the server's DISCONNECT.
        properties: PropertiesBuf,
    },
}

/// Steps that change the session state and concern nobody but a store. To lose and repeat
/// nothing over a crash, store them before sending what is in the outbound buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This publish has waited in the outbox and was written for the first time.
    Started(Token),
    /// PUBREC has come: of this publish only PUBREL is sent again.
    Released(Token),
    /// PUBREL has come for the incoming message with this Packet Identifier: it is free again.
    Completed(u16),
}

/// What CONNACK says of an accepted connection.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The server went on with the session: subscriptions hold. Always false in MQTT 3.1, which has
    /// no such flag.
    pub session_present: bool,
    /// Seconds, 0 for none: the server's if it gave one, else the one asked for.
    pub keep_alive: u16,
    /// The client identifier that the server made up for an empty one.
    pub assigned_client_id: Option<String>,
    /// All properties of CONNACK.
    pub properties: PropertiesBuf,
}

/// A message that came in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The message.
    pub message: Message,
    /// The Packet Identifier it came with; 0 with QoS 0.
    pub packet_id: u16,
    /// Names it in [`acknowledge`](super::ClientSession::acknowledge).
    pub delivery: Delivery,
    /// The server sent it before, perhaps. QoS 2 messages are given out once in any case.
    pub dup: bool,
    /// How it was delivered.
    pub qos: QoS,
    /// It was retained, or was published as retained (section 3.3.1.3).
    pub retain: bool,
    /// Identifiers of the subscriptions it came by (MQTT 5.0).
    pub subscription_ids: SubscriptionIds,
}

/// The number of a message among all that a session has given out, from 1 on.
///
/// Unlike a Packet Identifier, which the server uses again once it is acknowledged and once the
/// connection or the session has ended, it never means another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery(pub u64);

/// Subscription Identifiers of one message: none and one need no memory of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionIds {
    /// The server sent none.
    #[default]
    None,
    /// The usual case.
    One(u32),
    /// Overlapping subscriptions.
    Many(Box<[u32]>),
}

impl SubscriptionIds {
    /// The identifiers in the order they came.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    pub(super) fn of(properties: Properties<'_>) -> Self {
        if properties.is_empty() {
            return Self::None;
        }
        let ids = || {
            properties
                .iter()
                .filter(|p| p.id == PropertyId::SubscriptionIdentifier)
                .filter_map(|p| match p.value {
                    crate::codec::Value::VariableByteInteger(id) => Some(id),
                    _ => None,
                })
        };
        let mut first = ids();
        match (first.next(), first.next()) {
            (None, _) => Self::None,
            (Some(id), None) => Self::One(id),
            _ => Self::Many(ids().collect()),
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// [`disconnect`](super::ClientSession::disconnect) was called.
    Local,
    /// The server sent DISCONNECT.
    Server,
    /// The transport failed, was closed by the other side, or never opened.
    Lost,
    /// The server was silent for too long.
    Timeout(Timeout),
    /// The server broke the protocol or a limit.
    Error(PeerError),
    /// The options were changed to something that no CONNECT can carry.
    Options(EncodeError),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("disconnected"),
            Self::Server => f.write_str("the server disconnected"),
            Self::Lost => f.write_str("the connection was closed or has failed"),
            Self::Timeout(Timeout::Connect) => f.write_str("no CONNACK in time"),
            Self::Timeout(Timeout::KeepAlive) => f.write_str("no answer to PINGREQ in time"),
            Self::Error(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Options(error) => write!(f, "the options fit into no CONNECT: {error}"),
        }
    }
}

/// Which silence was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// No CONNACK within [`Options::connect_timeout_ms`](super::Options::connect_timeout_ms).
    Connect,
    /// Nothing within [`Options::ping_timeout_ms`](super::Options::ping_timeout_ms) of a PINGREQ.
    KeepAlive,
}

/// Why an operation ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The message's expiry interval passed while it waited in the outbox.
    Expired,
    /// The message exceeds the Maximum Packet Size of the server that answered.
    TooLarge,
    /// The server that answered does not take this QoS, or no retained messages.
    NotSupported,
    /// The server lost the session, and [`LostSession::Drop`](super::LostSession::Drop) is set.
    SessionLost,
    /// The connection ended before SUBACK or UNSUBACK. Whether the request took effect is unknown;
    /// it is not sent again [MQTT-4.4.0-1].
    ConnectionLost,
    /// [`forget`](super::ClientSession::forget) was called.
    Forgotten,
    /// The outbox was full, and [`Options::drop_oldest`](super::Options::drop_oldest) made room for a
    /// newer message.
    Overflow,
}

impl DropReason {
    /// All of them.
    pub const ALL: [DropReason; 7] = [
        Self::Expired,
        Self::TooLarge,
        Self::NotSupported,
        Self::SessionLost,
        Self::ConnectionLost,
        Self::Forgotten,
        Self::Overflow,
    ];
}

/// Why a publish was not taken. The message is as if it had never been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublishRefused {
    /// There is no connection, and [`Options::publish_offline`](super::Options::publish_offline) is
    /// off.
    NotConnected,
    /// The outbox has reached its limit in messages or bytes, or the outbound buffer has. Try again
    /// after a completion event, or after the buffer was sent.
    Full,
    /// 61,440 Packet Identifiers are in use.
    NoPacketId,
    /// The packet would exceed the server's Maximum Packet Size [MQTT-3.2.2-15].
    TooLarge,
    /// Above the server's Maximum QoS [MQTT-3.2.2-11].
    QosNotSupported,
    /// The server keeps no retained messages [MQTT-3.2.2-14].
    RetainNotSupported,
    /// The driver's store could not keep it. The session itself never says this.
    NotKept,
}

impl PublishRefused {
    pub(super) const fn drop_reason(self) -> DropReason {
        match self {
            Self::TooLarge => DropReason::TooLarge,
            _ => DropReason::NotSupported,
        }
    }
}

/// Why a subscribe, unsubscribe or disconnect was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRefused {
    /// There is no connection.
    NotConnected,
    /// 61,440 Packet Identifiers are in use.
    NoPacketId,
    /// The server does not support it: wildcards, shared subscriptions, subscription identifiers.
    NotSupported(&'static str),
    /// The packet can't be written, or exceeds the server's Maximum Packet Size.
    Encode(EncodeError),
}

impl From<EncodeError> for RequestRefused {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl std::fmt::Display for PublishRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "not connected",
            Self::Full => "too many messages or bytes wait to be sent",
            Self::NoPacketId => "too many packet identifiers in use",
            Self::TooLarge => "the packet exceeds the server's maximum packet size",
            Self::QosNotSupported => "the server does not support this QoS",
            Self::RetainNotSupported => "the server does not support retained messages",
            Self::NotKept => "the message could not be stored",
        })
    }
}

impl std::error::Error for PublishRefused {}

impl std::fmt::Display for RequestRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected"),
            Self::NoPacketId => f.write_str("too many packet identifiers in use"),
            Self::NotSupported(what) => write!(f, "the server does not support {what}"),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestRefused {}
