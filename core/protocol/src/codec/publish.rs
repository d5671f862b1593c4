//! PUBLISH (section 3.3).

use super::frame::Frame;
use super::primitive::{Reader, utf8_len, write_binary};
use super::property::{Place, Properties, PropertyId};
use super::{Body, PacketType, QoS, write_with};
use crate::error::{EncodeError, PeerError};
use crate::topic::TopicName;
use crate::version::ProtocolVersion;

/// The DUP bit of the fixed header.
pub(crate) const DUP: u8 = 1 << 3;

/// A PUBLISH.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// This may be a delivery that was tried before; always false with QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// How it is delivered.
    pub qos: QoS,
    /// To be kept, or was kept, as the topic's retained message.
    pub retain: bool,
    /// A valid topic name; empty only in MQTT 5.0 with a Topic Alias.
    pub topic: &'a str,
    /// Not 0 with QoS 1 and 2, 0 (and not on the wire) with QoS 0 [MQTT-2.2.1-2].
    pub packet_id: u16,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
    /// The application message.
    pub payload: &'a [u8],
    /// The body as it came from the wire, empty when built by hand: lets a message be copied in
    /// one piece.
    wire: &'a [u8],
}

impl<'a> Publish<'a> {
    /// The same without RETAIN.
    pub(crate) fn without_retain(self) -> Self {
        let retain = false;
        Self { retain, ..self }
    }

    /// A PUBLISH to be sent, with QoS 0, no flags and no properties; set the fields for more.
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: 0,
            properties: Properties::EMPTY,
            payload,
            wire: &[],
        }
    }

    /// The whole body when it came from the wire.
    pub(crate) const fn wire(&self) -> &'a [u8] {
        self.wire
    }

    /// The lower half of the first byte.
    pub(crate) fn flags(&self) -> u8 {
        first_byte(self.dup, self.qos, self.retain) & 0x0f
    }

    pub(crate) fn decode(frame: Frame<'a>, version: ProtocolVersion) -> Result<Self, PeerError> {
        let (dup, qos, retain) = read_flags(frame.flags, version)?;
        let mut reader = Reader::new(frame.body);
        let topic = reader.utf8()?;
        let packet_id = match qos {
            QoS::AtMostOnce => 0,
            _ => reader.packet_id()?,
        };
        let properties = if version.is_v5() {
            Properties::read(&mut reader, Place::Publish)?
        } else {
            Properties::EMPTY
        };
        check_topic(topic, properties)?;
        Ok(Self {
            dup,
            qos,
            retain,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
            wire: frame.body,
        })
    }

    pub(crate) fn encode(
        &self,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Result<usize, EncodeError> {
        let byte = first_byte(self.dup, self.qos, self.retain);
        write_with(byte, self, version, out)
    }
}

/// Whether they are the same on the wire; where they came from makes no difference.
impl PartialEq for Publish<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.dup, self.qos, self.retain) == (other.dup, other.qos, other.retain)
            && (self.topic, self.packet_id) == (other.topic, other.packet_id)
            && (self.properties, self.payload) == (other.properties, other.payload)
    }
}

impl Body for Publish<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if (self.packet_id == 0) != (self.qos == QoS::AtMostOnce) {
            return Err(EncodeError::Invalid(
                "a packet identifier goes with QoS 1 and 2",
            ));
        }
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(EncodeError::Invalid("DUP with QoS 0"));
        }
        let properties = match version.is_v5() {
            true => self.properties,
            false => Properties::EMPTY,
        };
        let mut len = utf8_len(self.topic)? + self.payload.len();
        check_topic(self.topic, properties).map_err(|e| EncodeError::Invalid(e.what))?;
        if self.packet_id != 0 {
            len += 2;
        }
        if version.is_v5() {
            len += self.properties.wire_len(Place::Publish)?;
        }
        Ok(len)
    }

    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        write_binary(self.topic.as_bytes(), out);
        if self.packet_id != 0 {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if version.is_v5() {
            self.properties.write(out);
        }
        out.extend_from_slice(self.payload);
    }
}

/// The first byte of a PUBLISH.
pub(crate) const fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    (PacketType::Publish as u8) << 4 | (dup as u8) << 3 | (qos as u8) << 1 | retain as u8
}

fn read_flags(flags: u8, version: ProtocolVersion) -> Result<(bool, QoS, bool), PeerError> {
    let qos = QoS::from_bits(flags >> 1 & 3).ok_or(PeerError::malformed("PUBLISH with QoS 3"))?;
    let mut dup = flags & DUP != 0;
    if dup && qos == QoS::AtMostOnce {
        if version != ProtocolVersion::V3_1 {
            return Err(PeerError::malformed("DUP with QoS 0"));
        }
        dup = false;
    }
    Ok((dup, qos, flags & 1 != 0))
}

/// [MQTT-3.3.2-1] [MQTT-3.3.2-2]: a name without wildcards, not empty unless an alias stands for it.
fn check_topic(topic: &str, properties: Properties<'_>) -> Result<(), PeerError> {
    if topic.is_empty() && properties.get(PropertyId::TopicAlias).is_some() {
        return Ok(());
    }
    match TopicName::parse(topic, usize::MAX) {
        Ok(_) => Ok(()),
        Err(_) if topic.is_empty() => Err(PeerError::protocol("an empty topic name")),
        Err(_) => Err(PeerError::protocol("not a valid topic name")),
    }
}
