//! DISCONNECT (section 3.14) and AUTH (section 3.15).

use super::primitive::Reader;
use super::property::{Place, Properties};
use super::{Body, PacketType, reason_code};
use crate::error::{EncodeError, PeerError};
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;

/// A DISCONNECT. Before MQTT 5.0 it has no body and only a client sends it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason: ReasonCode,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
}

/// An AUTH, MQTT 5.0 only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate [MQTT-3.15.2-1].
    pub reason: ReasonCode,
    /// Authentication method and data among them.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
    pub const fn new(reason: ReasonCode) -> Disconnect<'static> {
        Disconnect {
            reason,
            properties: Properties::EMPTY,
        }
    }

    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, PeerError> {
        if !version.is_v5() {
            return match body {
                [] => Ok(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)),
                _ => Err(PeerError::malformed(
                    "DISCONNECT has no body before MQTT 5.0",
                )),
            };
        }
        let (reason, properties) = read(body, PacketType::Disconnect, Place::Disconnect)?;
        Ok(Self { reason, properties })
    }
}

impl<'a> Auth<'a> {
    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, PeerError> {
        if !version.is_v5() {
            return Err(PeerError::malformed(
                "packet type 15 is reserved before MQTT 5.0",
            ));
        }
        let (reason, properties) = read(body, PacketType::Auth, Place::Auth)?;
        Ok(Self { reason, properties })
    }
}

/// Reason and properties, either of which may be left out at the end.
fn read(
    body: &[u8],
    kind: PacketType,
    place: Place,
) -> Result<(ReasonCode, Properties<'_>), PeerError> {
    let mut reader = Reader::new(body);
    if reader.is_empty() {
        return Ok((ReasonCode::SUCCESS, Properties::EMPTY));
    }
    let reason = reason_code(reader.u8()?, kind)?;
    if reader.is_empty() {
        return Ok((reason, Properties::EMPTY));
    }
    let properties = Properties::read(&mut reader, place)?;
    if reader.is_empty() {
        Ok((reason, properties))
    } else {
        Err(PeerError::malformed("bytes after the properties"))
    }
}

fn body_len(reason: ReasonCode, properties: Properties<'_>) -> Result<usize, EncodeError> {
    Ok(if !properties.is_empty() {
        1 + properties.wire_len()?
    } else {
        usize::from(reason != ReasonCode::SUCCESS)
    })
}

fn write_body(reason: ReasonCode, properties: Properties<'_>, out: &mut Vec<u8>) {
    if !properties.is_empty() {
        out.push(reason.0);
        properties.write(out);
    } else if reason != ReasonCode::SUCCESS {
        out.push(reason.0);
    }
}

impl Body for Disconnect<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if version.is_v5() {
            body_len(self.reason, self.properties)
        } else {
            Ok(0)
        }
    }
    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        if version.is_v5() {
            write_body(self.reason, self.properties, out);
        }
    }
}

impl Body for Auth<'_> {
    fn body_len(&self, _: ProtocolVersion) -> Result<usize, EncodeError> {
        body_len(self.reason, self.properties)
    }
    fn write_body(&self, _: ProtocolVersion, out: &mut Vec<u8>) {
        write_body(self.reason, self.properties, out);
    }
}
