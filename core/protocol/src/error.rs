//! Errors, split by whose fault they are.

use crate::reason::ReasonCode;

/// The peer sent something that the standard forbids, or more than a limit allows.
///
/// `reason` is the code that the standard demands in the DISCONNECT (or CONNACK) that ends the
/// connection; `what` says in words what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerError {
    /// The reason code to end the connection with.
    pub reason: ReasonCode,
    /// What was wrong, for logs and reason strings.
    pub what: &'static str,
}

impl PeerError {
    /// The packet can't be parsed (section 1.2, Malformed Packet).
    pub const fn malformed(what: &'static str) -> Self {
        Self::new(ReasonCode::MALFORMED_PACKET, what)
    }

    /// The packet can be parsed but must not be sent like that (section 1.2, Protocol Error).
    pub const fn protocol(what: &'static str) -> Self {
        Self::new(ReasonCode::PROTOCOL_ERROR, what)
    }

    /// An error with any other code.
    pub const fn new(reason: ReasonCode, what: &'static str) -> Self {
        Self { reason, what }
    }
}

impl std::fmt::Display for PeerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.what)
    }
}

impl std::error::Error for PeerError {}

/// Our own side asked for a packet that can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A string or binary field is longer than 65,535 bytes (section 1.5.4).
    FieldTooLong,
    /// The packet is longer than the peer's Maximum Packet Size or than 268,435,460 bytes.
    PacketTooLarge,
    /// A value that this protocol version can't carry, such as a password without a user name before
    /// MQTT 5.0.
    NotInThisVersion(&'static str),
    /// A value that the standard forbids.
    Invalid(&'static str),
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FieldTooLong => f.write_str("a string or binary field exceeds 65535 bytes"),
            Self::PacketTooLarge => f.write_str("the packet exceeds the maximum packet size"),
            Self::NotInThisVersion(what) => {
                write!(f, "not possible in this protocol version: {what}")
            }
            Self::Invalid(what) => write!(f, "invalid value: {what}"),
        }
    }
}

impl std::error::Error for EncodeError {}
