//! The codec: bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! One type per packet; the version is a value. Decoding borrows from the buffer it reads and
//! allocates nothing; encoding appends to a buffer that the caller owns. [`frame`] cuts a buffer
//! into frames, [`Packet::decode`] reads one frame, [`Packet::encode`] writes one packet.
//!
//! # How strict
//! Section 4.13.1 of MQTT 5.0 leaves to the receiver how rigorously it checks. Here everything that
//! a packet says by itself is checked, both when it is read and when it is written, so that nothing
//! illegal is acted on or sent. Which reason code an error gets follows section 1.2:
//! - what can't be parsed is a Malformed Packet (0x81), and so is what the standard calls that:
//!   reserved flags (2.1.3), QoS 3 (3.3.1.2), strings that are not UTF-8 or hold U+0000 (1.5.4), and
//!   properties that their packet doesn't have (2.2.2.2);
//! - what can be parsed and still must not be sent is a Protocol Error (0x82): packet identifier 0
//!   (2.2.1), a property that stands twice or has a forbidden value, an empty SUBSCRIBE (3.8.3), a
//!   topic name with wildcards (4.7.0), and a reason code that the standard doesn't list for the
//!   packet (2.4). 0x90, Topic Name invalid, is for names that are well formed and not accepted, so
//!   it is left to the session;
//! - a code of its own where the standard gives one: 0x84, 0x94, 0x95.
//!
//! MQTT 3.1 leaves more open, and its clients are old: bits that it calls "not used" are ignored.

pub mod ack;
pub mod connect;
pub mod control;
pub mod frame;
pub mod primitive;
pub mod property;
mod property_id;
pub mod publish;
pub mod suback;
pub mod subscribe;

pub use ack::Ack;
pub use connect::{ConnAck, Connect, Will};
pub use control::{Auth, Disconnect};
pub use frame::{FixedHeader, Frame, FrameBuffer, MAX_PACKET_SIZE, Split, split};
pub use property::{Place, Properties, PropertiesBuf, Property, PropertyId, Value, ValueType};
pub use publish::Publish;
pub use suback::{Codes, SubAck};
pub use subscribe::{Request, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe};

use crate::error::{EncodeError, PeerError};
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;
use suback::Answer;

/// The MQTT control packet types (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type for the high nibble of a fixed header, `None` for the reserved 0.
    pub const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The flag bits that the standard fixes for this type (section 2.1.3); PUBLISH has none.
    const fn fixed_flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

/// Quality of Service (section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0.
    #[default]
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS for its two bits, `None` for 3.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::AtMostOnce,
            1 => Self::AtLeastOnce,
            2 => Self::ExactlyOnce,
            _ => return None,
        })
    }
}

/// One control packet, borrowed from the buffer it was read from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(SubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Reads the packet in `frame`.
    ///
    /// `version` is what the connection speaks; a CONNECT names its own version and ignores it.
    /// Everything the standard says about the packet by itself is checked here; what depends on
    /// the connection (who may send it, when, and within which limits) is the session's business.
    ///
    /// # Errors
    /// [`PeerError`] with the reason code for the DISCONNECT that the standard demands.
    pub fn decode(frame: Frame<'a>, version: ProtocolVersion) -> Result<Self, PeerError> {
        let kind = frame.packet_type;
        if kind != PacketType::Publish {
            check_flags(frame, version)?;
        }
        if version.is_v5() && kind != PacketType::Connect {
            check_length_form(frame)?;
        }
        // Each arm makes the result itself: one around them all would copy as much as the largest has.
        match kind {
            PacketType::Connect => decode_connect(frame).map(Self::Connect),
            PacketType::ConnAck => ConnAck::decode(frame.body, version).map(Self::ConnAck),
            PacketType::Publish => Publish::decode(frame, version).map(Self::Publish),
            PacketType::PubAck => Ack::decode(kind, frame.body, version).map(Self::PubAck),
            PacketType::PubRec => Ack::decode(kind, frame.body, version).map(Self::PubRec),
            PacketType::PubRel => Ack::decode(kind, frame.body, version).map(Self::PubRel),
            PacketType::PubComp => Ack::decode(kind, frame.body, version).map(Self::PubComp),
            PacketType::Subscribe => Subscribe::decode(frame.body, version).map(Self::Subscribe),
            PacketType::SubAck => SubAck::decode(kind, frame.body, version).map(Self::SubAck),
            PacketType::Unsubscribe => {
                Unsubscribe::decode(frame.body, version).map(Self::Unsubscribe)
            }
            PacketType::UnsubAck => SubAck::decode(kind, frame.body, version).map(Self::UnsubAck),
            PacketType::PingReq => empty(frame.body).map(|()| Self::PingReq),
            PacketType::PingResp => empty(frame.body).map(|()| Self::PingResp),
            PacketType::Disconnect => Disconnect::decode(frame.body, version).map(Self::Disconnect),
            PacketType::Auth => Auth::decode(frame.body, version).map(Self::Auth),
        }
    }

    /// The type of this packet.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends the packet to `out` and returns how many bytes that took.
    ///
    /// # Errors
    /// [`EncodeError`], and `out` is left as it was.
    pub fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<usize, EncodeError> {
        match self {
            Self::Connect(p) => p.encode_to(out),
            Self::ConnAck(p) => write(p, PacketType::ConnAck, version, out),
            Self::Publish(p) => p.encode(version, out),
            Self::PubAck(p) | Self::PubRec(p) | Self::PubRel(p) | Self::PubComp(p) => {
                sendable(p.reason, self.packet_type(), version)?;
                write(p, self.packet_type(), version, out)
            }
            Self::Subscribe(p) => write(p, PacketType::Subscribe, version, out),
            Self::SubAck(p) => write(
                &Answer(p, PacketType::SubAck),
                PacketType::SubAck,
                version,
                out,
            ),
            Self::UnsubAck(p) => write(
                &Answer(p, PacketType::UnsubAck),
                PacketType::UnsubAck,
                version,
                out,
            ),
            Self::Unsubscribe(p) => write(p, PacketType::Unsubscribe, version, out),
            Self::PingReq => write(&(), PacketType::PingReq, version, out),
            Self::PingResp => write(&(), PacketType::PingResp, version, out),
            Self::Disconnect(p) => write(p, PacketType::Disconnect, version, out),
            Self::Auth(_) if !version.is_v5() => Err(EncodeError::NotInThisVersion("AUTH")),
            Self::Auth(p) => write(p, PacketType::Auth, version, out),
        }
    }
}

/// What follows the fixed header of a packet: measured first, then written.
pub(crate) trait Body {
    /// Length in bytes, after checking that it can be written.
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError>;
    /// Appends exactly that many bytes.
    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>);
}

impl Body for () {
    fn body_len(&self, _: ProtocolVersion) -> Result<usize, EncodeError> {
        Ok(0)
    }
    fn write_body(&self, _: ProtocolVersion, _: &mut Vec<u8>) {}
}

/// Writes fixed header and body.
pub(crate) fn write(
    body: &impl Body,
    kind: PacketType,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    let first_byte = (kind as u8) << 4 | kind.fixed_flags();
    write_with(first_byte, body, version, out)
}

/// Writes a first byte with flags of the caller's, then length and body.
pub(crate) fn write_with(
    first_byte: u8,
    body: &impl Body,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    let len = body.body_len(version)?;
    if len > primitive::MAX_VARIABLE_BYTE_INTEGER as usize {
        return Err(EncodeError::PacketTooLarge);
    }
    let start = out.len();
    out.reserve(5 + len);
    out.push(first_byte);
    primitive::write_variable_byte_integer(len as u32, out);
    let body_start = out.len();
    body.write_body(version, out);
    debug_assert_eq!(out.len() - body_start, len, "a body of another length");
    Ok(out.len() - start)
}

/// [MQTT-2.1.3-1]: reserved flags must have the listed value; 3.1.1 says the same in
/// [MQTT-2.2.2-1]. MQTT 3.1 calls these bits "not used", except the QoS of PUBREL, SUBSCRIBE and
/// UNSUBSCRIBE, which may also have DUP set. A CONNECT is held to the newer rule: who sends it is
/// not known yet.
fn check_flags(frame: Frame<'_>, version: ProtocolVersion) -> Result<(), PeerError> {
    let fixed = frame.packet_type.fixed_flags();
    let checked = match (version, frame.packet_type) {
        (ProtocolVersion::V3_1, kind) if kind != PacketType::Connect => match fixed {
            0 => 0,
            _ => 0b0110,
        },
        _ => 0b1111,
    };
    if frame.flags & checked == fixed {
        Ok(())
    } else {
        Err(PeerError::malformed("reserved flags of the fixed header"))
    }
}

/// [MQTT-1.5.5-1] for the Remaining Length. MQTT 3.1 and 3.1.1 (2.2.3) have no such rule, and some
/// small clients write it always with the same number of bytes.
fn check_length_form(frame: Frame<'_>) -> Result<(), PeerError> {
    let shortest = 1 + primitive::variable_byte_integer_len(frame.body.len() as u32);
    if frame.len == shortest + frame.body.len() {
        Ok(())
    } else {
        Err(PeerError::malformed(
            "a Remaining Length in a longer form than needed",
        ))
    }
}

fn decode_connect(frame: Frame<'_>) -> Result<Connect<'_>, PeerError> {
    let connect = Connect::decode(frame.body)?;
    if connect.version.is_v5() {
        check_length_form(frame)?;
    }
    Ok(connect)
}

fn empty(body: &[u8]) -> Result<(), PeerError> {
    if body.is_empty() {
        Ok(())
    } else {
        Err(PeerError::malformed("a ping packet has no body"))
    }
}

/// Whether `packet` may carry the reason code; before MQTT 5.0 it is not on the wire.
fn sendable(
    code: ReasonCode,
    packet: PacketType,
    version: ProtocolVersion,
) -> Result<(), EncodeError> {
    if code == ReasonCode::SUCCESS || !version.is_v5() || code.allowed_in(packet) {
        Ok(())
    } else {
        Err(EncodeError::Invalid(
            "reason code not allowed in this packet",
        ))
    }
}

/// A reason code read from the wire, checked against the packet that carries it.
fn reason_code(byte: u8, packet: PacketType) -> Result<ReasonCode, PeerError> {
    let code = ReasonCode(byte);
    if code.allowed_in(packet) {
        Ok(code)
    } else {
        Err(PeerError::protocol(
            "reason code not allowed in this packet",
        ))
    }
}
