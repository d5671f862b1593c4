//! Reason codes of MQTT 5.0 (section 2.4) and the CONNECT return codes of 3.1 and 3.1.1.

/// An MQTT 5.0 reason code. Values below 0x80 mean success, the others failure.
///
/// It is a number with names: one value has several names in the standard (0x00 is Success, Normal
/// disconnection and Granted QoS 0), and which names are allowed depends on the packet
/// ([`ReasonCode::allowed_in`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

use crate::codec::PacketType as P;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal, [$($packet:ident)*];)*) => {
        #[allow(missing_docs)]
        impl ReasonCode {
            $($(#[$doc])* pub const $name: ReasonCode = ReasonCode($value);)*
        }
        /// (value, standard's name, packets that may carry it)
        const TABLE: &[(u8, &str, &[P])] = &[$(($value, $text, &[$(P::$packet),*]),)*];
    };
}

reason_codes! {
    SUCCESS = 0x00, "Success", [ConnAck PubAck PubRec PubRel PubComp UnsubAck Auth SubAck Disconnect];
    GRANTED_QOS_1 = 0x01, "Granted QoS 1", [SubAck];
    GRANTED_QOS_2 = 0x02, "Granted QoS 2", [SubAck];
    DISCONNECT_WITH_WILL = 0x04, "Disconnect with Will Message", [Disconnect];
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers", [PubAck PubRec];
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed", [UnsubAck];
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication", [Auth];
    RE_AUTHENTICATE = 0x19, "Re-authenticate", [Auth];
    UNSPECIFIED_ERROR = 0x80, "Unspecified error", [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    MALFORMED_PACKET = 0x81, "Malformed Packet", [ConnAck Disconnect];
    PROTOCOL_ERROR = 0x82, "Protocol Error", [ConnAck Disconnect];
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error", [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version", [ConnAck];
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid", [ConnAck];
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password", [ConnAck];
    NOT_AUTHORIZED = 0x87, "Not authorized", [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    SERVER_UNAVAILABLE = 0x88, "Server unavailable", [ConnAck];
    SERVER_BUSY = 0x89, "Server busy", [ConnAck Disconnect];
    BANNED = 0x8A, "Banned", [ConnAck];
    SERVER_SHUTTING_DOWN = 0x8B, "Server shutting down", [Disconnect];
    BAD_AUTHENTICATION_METHOD = 0x8C, "Bad authentication method", [ConnAck Disconnect];
    KEEP_ALIVE_TIMEOUT = 0x8D, "Keep Alive timeout", [Disconnect];
    SESSION_TAKEN_OVER = 0x8E, "Session taken over", [Disconnect];
    TOPIC_FILTER_INVALID = 0x8F, "Topic Filter invalid", [SubAck UnsubAck Disconnect];
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid", [ConnAck PubAck PubRec Disconnect];
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use", [PubAck PubRec SubAck UnsubAck];
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found", [PubRel PubComp];
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded", [Disconnect];
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid", [Disconnect];
    PACKET_TOO_LARGE = 0x95, "Packet too large", [ConnAck Disconnect];
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high", [Disconnect];
    QUOTA_EXCEEDED = 0x97, "Quota exceeded", [ConnAck PubAck PubRec SubAck Disconnect];
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action", [Disconnect];
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid", [ConnAck PubAck PubRec Disconnect];
    RETAIN_NOT_SUPPORTED = 0x9A, "Retain not supported", [ConnAck Disconnect];
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported", [ConnAck Disconnect];
    USE_ANOTHER_SERVER = 0x9C, "Use another server", [ConnAck Disconnect];
    SERVER_MOVED = 0x9D, "Server moved", [ConnAck Disconnect];
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "Shared Subscriptions not supported", [SubAck Disconnect];
    CONNECTION_RATE_EXCEEDED = 0x9F, "Connection rate exceeded", [ConnAck Disconnect];
    MAXIMUM_CONNECT_TIME = 0xA0, "Maximum connect time", [Disconnect];
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "Subscription Identifiers not supported", [SubAck Disconnect];
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "Wildcard Subscriptions not supported", [SubAck Disconnect];
}

impl ReasonCode {
    /// Granted QoS 0, the SUBACK name of 0x00.
    pub const GRANTED_QOS_0: ReasonCode = ReasonCode::SUCCESS;
    /// Normal disconnection, the DISCONNECT name of 0x00.
    pub const NORMAL_DISCONNECTION: ReasonCode = ReasonCode::SUCCESS;

    /// Whether the code reports a failure (0x80 and above, section 2.4).
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The standard's name for the code, `"Unknown reason code"` for a number it does not list.
    pub fn name(self) -> &'static str {
        row(self.0).map_or("Unknown reason code", |r| r.1)
    }

    /// Whether the standard lists the code for this kind of packet (section 2.4, table 2-6).
    pub fn allowed_in(self, packet: P) -> bool {
        row(self.0).is_some_and(|r| r.2.contains(&packet))
    }

    /// The CONNACK return code that tells a 3.1 or 3.1.1 client the same (3.1.1 section 3.2.2.3).
    ///
    /// `None` where no code fits, as for a CONNECT that breaks the protocol: the connection is
    /// closed without a CONNACK then, 3.1.1 [MQTT-3.1.4-1] and [MQTT-3.2.2-6].
    pub const fn to_connect_return_code(self) -> Option<ConnectReturnCode> {
        Some(match self {
            Self::SUCCESS => ConnectReturnCode::Accepted,
            Self::UNSUPPORTED_PROTOCOL_VERSION => ConnectReturnCode::UnacceptableProtocolVersion,
            Self::CLIENT_IDENTIFIER_NOT_VALID => ConnectReturnCode::IdentifierRejected,
            Self::BAD_USER_NAME_OR_PASSWORD => ConnectReturnCode::BadUserNameOrPassword,
            Self::NOT_AUTHORIZED | Self::BANNED => ConnectReturnCode::NotAuthorized,
            Self::UNSPECIFIED_ERROR
            | Self::IMPLEMENTATION_SPECIFIC_ERROR
            | Self::SERVER_UNAVAILABLE
            | Self::SERVER_BUSY
            | Self::SERVER_SHUTTING_DOWN
            | Self::QUOTA_EXCEEDED
            | Self::USE_ANOTHER_SERVER
            | Self::SERVER_MOVED
            | Self::CONNECTION_RATE_EXCEEDED => ConnectReturnCode::ServerUnavailable,
            _ => return None,
        })
    }
}

impl std::fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:02X} {}", self.0, self.name())
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), self.0)
    }
}

/// CONNACK return code of MQTT 3.1 and 3.1.1 (3.1.1 section 3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnectReturnCode {
    /// 0: connection accepted.
    Accepted = 0,
    /// 1: unacceptable protocol version.
    UnacceptableProtocolVersion = 1,
    /// 2: identifier rejected.
    IdentifierRejected = 2,
    /// 3: server unavailable.
    ServerUnavailable = 3,
    /// 4: bad user name or password.
    BadUserNameOrPassword = 4,
    /// 5: not authorized.
    NotAuthorized = 5,
}

impl ConnectReturnCode {
    /// The code for a byte of the wire, `None` for the reserved ones (6 and above).
    pub const fn from_wire(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Accepted,
            1 => Self::UnacceptableProtocolVersion,
            2 => Self::IdentifierRejected,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }

    /// The reason code of MQTT 5.0 with the same meaning.
    pub const fn to_reason_code(self) -> ReasonCode {
        match self {
            Self::Accepted => ReasonCode::SUCCESS,
            Self::UnacceptableProtocolVersion => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Self::IdentifierRejected => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            Self::ServerUnavailable => ReasonCode::SERVER_UNAVAILABLE,
            Self::BadUserNameOrPassword => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
            Self::NotAuthorized => ReasonCode::NOT_AUTHORIZED,
        }
    }
}

fn row(value: u8) -> Option<&'static (u8, &'static str, &'static [P])> {
    TABLE
        .binary_search_by_key(&value, |r| r.0)
        .ok()
        .map(|i| &TABLE[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(TABLE.windows(2).all(|w| w[0].0 < w[1].0));
        assert_eq!(TABLE.len(), 43);
    }

    #[test]
    fn every_connect_return_code_survives_the_way_there_and_back() {
        for byte in 0..=5 {
            let code = ConnectReturnCode::from_wire(byte).unwrap();
            assert_eq!(code.to_reason_code().to_connect_return_code(), Some(code));
        }
        assert_eq!(ConnectReturnCode::from_wire(6), None);
    }

    #[test]
    fn a_code_belongs_to_the_packets_that_the_standard_lists() {
        assert!(ReasonCode::KEEP_ALIVE_TIMEOUT.allowed_in(P::Disconnect));
        assert!(!ReasonCode::KEEP_ALIVE_TIMEOUT.allowed_in(P::ConnAck));
        assert!(!ReasonCode(0x03).allowed_in(P::SubAck));
    }
}
