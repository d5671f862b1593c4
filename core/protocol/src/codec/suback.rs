//! SUBACK (section 3.9) and UNSUBACK (section 3.11): one shape, but for the codes.

use super::primitive::Reader;
use super::property::{Place, Properties};
use super::subscribe::{head_len, read_properties, write_head};
use super::{Body, PacketType, reason_code};
use crate::error::{EncodeError, PeerError};
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;

/// A SUBACK or an UNSUBACK.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubAck<'a> {
    /// The identifier of the request that is answered [MQTT-2.2.1-6].
    pub packet_id: u16,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
    /// One code per topic filter of the request, in its order [MQTT-3.8.4-6] [MQTT-3.11.3-1].
    ///
    /// Before MQTT 5.0 an UNSUBACK has none, and the only failure of a SUBACK is 0x80: codes that
    /// version can't carry are left out or written as that.
    pub codes: Codes<'a>,
}

/// Reason codes as the bytes of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes<'a>(pub &'a [u8]);

impl<'a> Codes<'a> {
    /// The codes in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = ReasonCode> + 'a {
        self.0.iter().map(|b| ReasonCode(*b))
    }
}

impl<'a> SubAck<'a> {
    pub(crate) fn decode(
        kind: PacketType,
        body: &'a [u8],
        version: ProtocolVersion,
    ) -> Result<Self, PeerError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = read_properties(&mut reader, version, Place::SubAck)?;
        let codes = reader.rest();
        let wants_codes = kind == PacketType::SubAck || version.is_v5();
        if wants_codes && codes.is_empty() {
            return Err(PeerError::protocol("an acknowledgement without codes"));
        }
        if !wants_codes && !codes.is_empty() {
            return Err(PeerError::malformed(
                "UNSUBACK has no payload before MQTT 5.0",
            ));
        }
        for code in codes {
            if version.is_v5() {
                reason_code(*code, kind)?;
            } else if !matches!(code, 0..=2 | 0x80) {
                return Err(PeerError::protocol(
                    "a SUBACK code other than 0, 1, 2, 0x80",
                ));
            }
        }
        Ok(Self {
            packet_id,
            properties,
            codes: Codes(codes),
        })
    }
}

/// A [`SubAck`] together with which of the two packets it is.
pub(super) struct Answer<'p, 'a>(pub(super) &'p SubAck<'a>, pub(super) PacketType);

impl Answer<'_, '_> {
    /// The code as this version writes it.
    fn code(&self, code: ReasonCode, version: ProtocolVersion) -> ReasonCode {
        if !version.is_v5() && code.is_error() {
            ReasonCode::UNSPECIFIED_ERROR
        } else {
            code
        }
    }

    fn has_codes(&self, version: ProtocolVersion) -> bool {
        version.is_v5() || self.1 == PacketType::SubAck
    }
}

impl Body for Answer<'_, '_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        let Answer(answer, kind) = *self;
        let head = head_len(answer.packet_id, answer.properties, Place::SubAck, version)?;
        if !self.has_codes(version) {
            return Ok(head);
        }
        if answer.codes.0.is_empty() {
            return Err(EncodeError::Invalid("an acknowledgement without codes"));
        }
        // [MQTT-3.9.3-2] [MQTT-3.11.3-2]
        for code in answer.codes.iter() {
            if !self.code(code, version).allowed_in(kind) {
                return Err(EncodeError::Invalid(
                    "reason code not allowed in this packet",
                ));
            }
        }
        Ok(head + answer.codes.0.len())
    }

    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        write_head(self.0.packet_id, self.0.properties, version, out);
        if self.has_codes(version) {
            out.extend(self.0.codes.iter().map(|code| self.code(code, version).0));
        }
    }
}
