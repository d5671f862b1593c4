//! CONNECT (section 3.1) and CONNACK (section 3.2).

use super::primitive::{Reader, binary_len, utf8_len, write_binary};
use super::property::{Place, Properties, PropertyId};
use super::{Body, PacketType, QoS, reason_code, sendable, write};
use crate::error::{EncodeError, PeerError};
use crate::reason::{ConnectReturnCode, ReasonCode};
use crate::topic::TopicName;
use crate::version::ProtocolVersion;

const FLAG_RESERVED: u8 = 1;
const FLAG_CLEAN_START: u8 = 1 << 1;
const FLAG_WILL: u8 = 1 << 2;
const FLAG_WILL_RETAIN: u8 = 1 << 5;
const FLAG_PASSWORD: u8 = 1 << 6;
const FLAG_USER_NAME: u8 = 1 << 7;

/// A CONNECT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connect<'a> {
    /// The version that the whole connection speaks from here on.
    pub version: ProtocolVersion,
    /// Clean Start; Clean Session before MQTT 5.0.
    pub clean_start: bool,
    /// Seconds, 0 for none.
    pub keep_alive: u16,
    /// May be empty: the server assigns one then.
    pub client_id: &'a str,
    /// The will message.
    pub will: Option<Will<'a>>,
    /// The user name.
    pub user_name: Option<&'a str>,
    /// The password.
    pub password: Option<&'a [u8]>,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
}

/// The will inside a CONNECT (section 3.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Will<'a> {
    /// A valid topic name.
    pub topic: &'a str,
    /// The application message.
    pub payload: &'a [u8],
    /// How it is published.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// MQTT 5.0 will properties.
    pub properties: Properties<'a>,
}

impl<'a> Connect<'a> {
    /// A CONNECT with nothing but a client identifier, Clean Start, and no keep alive.
    pub const fn new(version: ProtocolVersion, client_id: &'a str) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::EMPTY,
        }
    }

    /// The version in which a server answers a CONNECT that can't be accepted or even read: the
    /// client's where it is known, 5.0 for later levels of MQTT, 3.1.1 for everything else. Bit 7 of
    /// the level marks a bridge of some brokers, which falls back when its own version says no.
    pub fn answer_version(body: &[u8]) -> ProtocolVersion {
        let mut reader = Reader::new(body);
        let (Ok(name), Ok(level)) = (reader.binary(), reader.u8()) else {
            return ProtocolVersion::V3_1_1;
        };
        match ProtocolVersion::from_wire(name, level) {
            Some(version) => version,
            None if name == b"MQTT" && matches!(level, 6..=0x7F) => ProtocolVersion::V5_0,
            None => ProtocolVersion::V3_1_1,
        }
    }

    /// The properties of an MQTT 5.0 CONNECT that may be broken behind them; `None` when they can't be
    /// read either. What they say of answers holds for the refusal, too.
    pub(crate) fn leading_properties(body: &'a [u8]) -> Option<Properties<'a>> {
        let mut reader = Reader::new(body);
        let (name, level) = (reader.binary().ok()?, reader.u8().ok()?);
        let version = ProtocolVersion::from_wire(name, level)?;
        let (_flags, _keep_alive) = (reader.u8().ok()?, reader.u16().ok()?);
        version
            .is_v5()
            .then(|| Properties::read(&mut reader, Place::Connect).ok())?
    }

    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, PeerError> {
        let mut reader = Reader::new(body);
        let name = reader.binary()?;
        let level = reader.u8()?;
        // [MQTT-3.1.2-1] [MQTT-3.1.2-2]
        let version = ProtocolVersion::from_wire(name, level).ok_or(PeerError::new(
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            "unknown protocol name or level",
        ))?;
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive = reader.u16()?;
        let properties = if version.is_v5() {
            Properties::read(&mut reader, Place::Connect)?
        } else {
            Properties::EMPTY
        };
        check_authentication(properties)?;
        let client_id = reader.utf8()?;
        let will = read_will(&mut reader, flags, version)?;
        // MQTT 3.1 lets the packet end before a string that the flags announce.
        let present = |flag: u8, reader: &Reader<'_>| {
            flags & flag != 0 && !(version == ProtocolVersion::V3_1 && reader.is_empty())
        };
        let user_name = present(FLAG_USER_NAME, &reader)
            .then(|| reader.utf8())
            .transpose()?;
        let password = present(FLAG_PASSWORD, &reader)
            .then(|| reader.binary())
            .transpose()?;
        if !reader.is_empty() {
            return Err(PeerError::malformed("bytes after the payload of CONNECT"));
        }
        Ok(Self {
            version,
            clean_start: flags & FLAG_CLEAN_START != 0,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Appends the packet to `out` and returns how many bytes that took.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        write(self, PacketType::Connect, self.version, out)
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        let mut set = |on: bool, bits: u8| flags |= if on { bits } else { 0 };
        set(self.clean_start, FLAG_CLEAN_START);
        if let Some(will) = &self.will {
            set(true, FLAG_WILL | (will.qos as u8) << 3);
            set(will.retain, FLAG_WILL_RETAIN);
        }
        set(self.password.is_some(), FLAG_PASSWORD);
        set(self.user_name.is_some(), FLAG_USER_NAME);
        flags
    }
}

impl Body for Connect<'_> {
    fn body_len(&self, _: ProtocolVersion) -> Result<usize, EncodeError> {
        let v5 = self.version.is_v5();
        if !v5 && self.password.is_some() && self.user_name.is_none() {
            return Err(EncodeError::NotInThisVersion(
                "a password without a user name",
            ));
        }
        let mut len = 2 + self.version.name().len() + 1 + 1 + 2;
        if v5 {
            len += self.properties.wire_len(Place::Connect)?;
            check_authentication(self.properties).map_err(|e| EncodeError::Invalid(e.what))?;
        }
        len += utf8_len(self.client_id)?;
        if let Some(will) = &self.will {
            if v5 {
                len += will.properties.wire_len(Place::Will)?;
            }
            if TopicName::parse(will.topic, usize::MAX).is_err() {
                return Err(EncodeError::Invalid("the will topic is not a topic name"));
            }
            len += utf8_len(will.topic)? + binary_len(will.payload)?;
        }
        len += self.user_name.map_or(Ok(0), utf8_len)?;
        len += self.password.map_or(Ok(0), binary_len)?;
        Ok(len)
    }

    fn write_body(&self, _: ProtocolVersion, out: &mut Vec<u8>) {
        write_binary(self.version.name().as_bytes(), out);
        out.push(self.version.level());
        out.push(self.flags());
        out.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.version.is_v5() {
            self.properties.write(out);
        }
        write_binary(self.client_id.as_bytes(), out);
        if let Some(will) = &self.will {
            if self.version.is_v5() {
                will.properties.write(out);
            }
            write_binary(will.topic.as_bytes(), out);
            write_binary(will.payload, out);
        }
        if let Some(user_name) = self.user_name {
            write_binary(user_name.as_bytes(), out);
        }
        if let Some(password) = self.password {
            write_binary(password, out);
        }
    }
}

/// Section 3.1.2.11.10: no Authentication Data without an Authentication Method.
fn check_authentication(properties: Properties<'_>) -> Result<(), PeerError> {
    let has = |id| properties.get(id).is_some();
    if has(PropertyId::AuthenticationData) && !has(PropertyId::AuthenticationMethod) {
        return Err(PeerError::protocol("Authentication Data without a method"));
    }
    Ok(())
}

/// What the standard says of the connect flags by themselves (section 3.1.2.3). MQTT 3.1 does not
/// use the reserved bit, nor Will QoS and Will Retain without a will.
fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), PeerError> {
    let (v3_1, will) = (version == ProtocolVersion::V3_1, flags & FLAG_WILL != 0);
    let will_bits = flags >> 3 & 3;
    let what = if flags & FLAG_RESERVED != 0 && !v3_1 {
        "the reserved connect flag is set" // [MQTT-3.1.2-3]
    } else if !will && !v3_1 && (will_bits != 0 || flags & FLAG_WILL_RETAIN != 0) {
        "Will QoS or Will Retain without a will" // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
    } else if will && will_bits == 3 {
        "Will QoS 3" // [MQTT-3.1.2-12]
    } else if !version.is_v5() && flags & FLAG_PASSWORD != 0 && flags & FLAG_USER_NAME == 0 {
        "a password without a user name" // 3.1.1 [MQTT-3.1.2-22]
    } else {
        return Ok(());
    };
    Err(PeerError::malformed(what))
}

fn read_will<'a>(
    reader: &mut Reader<'a>,
    flags: u8,
    version: ProtocolVersion,
) -> Result<Option<Will<'a>>, PeerError> {
    if flags & FLAG_WILL == 0 {
        return Ok(None);
    }
    let properties = if version.is_v5() {
        Properties::read(reader, Place::Will)?
    } else {
        Properties::EMPTY
    };
    let topic = reader.utf8()?;
    if TopicName::parse(topic, usize::MAX).is_err() {
        return Err(PeerError::protocol("the will topic is not a topic name"));
    }
    Ok(Some(Will {
        topic,
        payload: reader.binary()?,
        qos: QoS::from_bits(flags >> 3 & 3).ok_or(PeerError::malformed("Will QoS 3"))?,
        retain: flags & FLAG_WILL_RETAIN != 0,
        properties,
    }))
}

/// A CONNACK.
///
/// Before MQTT 5.0 the wire carries a return code; it stands here as the reason code of the same
/// meaning, and is written as [`ReasonCode::to_connect_return_code`]. A reason without such a code
/// can't be written: the connection is closed without a CONNACK then (3.1.1 [MQTT-3.2.2-6]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnAck<'a> {
    /// The server has a session of this client; only with success [MQTT-3.2.2-6]. Not in MQTT 3.1.
    pub session_present: bool,
    /// How it went.
    pub reason: ReasonCode,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, PeerError> {
        let mut reader = Reader::new(body);
        let flags = reader.u8()?;
        if flags > 1 && version != ProtocolVersion::V3_1 {
            return Err(PeerError::malformed("reserved CONNACK flags"));
        }
        let byte = reader.u8()?;
        let (reason, properties) = if version.is_v5() {
            let reason = reason_code(byte, PacketType::ConnAck)?;
            (reason, Properties::read(&mut reader, Place::ConnAck)?)
        } else {
            let code = ConnectReturnCode::from_wire(byte)
                .ok_or(PeerError::protocol("a reserved CONNACK return code"))?;
            (code.to_reason_code(), Properties::EMPTY)
        };
        if !reader.is_empty() {
            return Err(PeerError::malformed("bytes after the end of CONNACK"));
        }
        let session_present = flags & 1 != 0 && version != ProtocolVersion::V3_1;
        if session_present && reason.is_error() {
            return Err(PeerError::protocol("Session Present with a refusal"));
        }
        Ok(Self {
            session_present,
            reason,
            properties,
        })
    }
}

impl Body for ConnAck<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        // [MQTT-3.2.2-6], in 3.1.1 [MQTT-3.2.2-4]
        if self.session_present && self.reason.is_error() {
            return Err(EncodeError::Invalid("Session Present with a refusal"));
        }
        if version.is_v5() {
            sendable(self.reason, PacketType::ConnAck, version)?;
            return Ok(2 + self.properties.wire_len(Place::ConnAck)?);
        }
        match self.reason.to_connect_return_code() {
            Some(_) => Ok(2),
            None => Err(EncodeError::NotInThisVersion("a CONNACK with this reason")),
        }
    }

    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        let present = self.session_present && version != ProtocolVersion::V3_1;
        out.push(u8::from(present));
        if version.is_v5() {
            out.push(self.reason.0);
            self.properties.write(out);
        } else {
            let code = self.reason.to_connect_return_code();
            out.push(code.unwrap_or(ConnectReturnCode::ServerUnavailable) as u8);
        }
    }
}
