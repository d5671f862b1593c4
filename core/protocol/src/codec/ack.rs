//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): one shape, four meanings.

use super::primitive::Reader;
use super::property::{Place, Properties};
use super::{Body, PacketType, reason_code};
use crate::error::{EncodeError, PeerError};
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;

/// The body of a PUBACK, PUBREC, PUBREL or PUBCOMP.
///
/// Before MQTT 5.0 only the packet identifier is on the wire: reason and properties are not
/// written, and read as success and none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ack<'a> {
    /// The identifier of the PUBLISH that is answered, not 0 [MQTT-2.2.1-5].
    pub packet_id: u16,
    /// How it went.
    pub reason: ReasonCode,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement without properties.
    pub const fn new(packet_id: u16, reason: ReasonCode) -> Ack<'static> {
        Ack {
            packet_id,
            reason,
            properties: Properties::EMPTY,
        }
    }

    pub(crate) fn decode(
        kind: PacketType,
        body: &'a [u8],
        version: ProtocolVersion,
    ) -> Result<Self, PeerError> {
        // Short forms: the reason may be left out (remaining length 2), and then the properties may
        // be left out too (3); sections 3.4.2.1 and 3.4.2.2.1.
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut ack = Ack::new(packet_id, ReasonCode::SUCCESS);
        if reader.is_empty() {
            return Ok(ack);
        }
        if !version.is_v5() {
            return Err(PeerError::malformed(
                "an acknowledgement longer than two bytes",
            ));
        }
        ack.reason = reason_code(reader.u8()?, kind)?;
        if !reader.is_empty() {
            ack.properties = Properties::read(&mut reader, Place::Ack)?;
        }
        if !reader.is_empty() {
            return Err(PeerError::malformed("bytes after the properties"));
        }
        Ok(ack)
    }
}

impl Body for Ack<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if self.packet_id == 0 {
            return Err(EncodeError::Invalid("packet identifier 0"));
        }
        Ok(2 + match () {
            () if !version.is_v5() => 0,
            () if !self.properties.is_empty() => 1 + self.properties.wire_len(Place::Ack)?,
            () => usize::from(self.reason != ReasonCode::SUCCESS),
        })
    }

    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.packet_id.to_be_bytes());
        if !version.is_v5() {
            return;
        }
        if !self.properties.is_empty() {
            out.push(self.reason.0);
            self.properties.write(out);
        } else if self.reason != ReasonCode::SUCCESS {
            out.push(self.reason.0);
        }
    }
}
