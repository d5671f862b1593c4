//! DISCONNECT (section 3.14) and AUTH (section 3.15).

use super::primitive::Reader;
use super::property::{Place, Properties, PropertyId};
use super::{Body, PacketType, reason_code, sendable};
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
        // The reason may be left out (remaining length 0), and then the properties may be left out
        // too (1); sections 3.14.2.1 and 3.14.2.2.1.
        let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        let mut reader = Reader::new(body);
        if !reader.is_empty() {
            disconnect.reason = reason_code(reader.u8()?, PacketType::Disconnect)?;
        }
        if !reader.is_empty() {
            disconnect.properties = Properties::read(&mut reader, Place::Disconnect)?;
        }
        if !reader.is_empty() {
            return Err(PeerError::malformed("bytes after the properties"));
        }
        Ok(disconnect)
    }
}

impl<'a> Auth<'a> {
    /// What an AUTH without a body means.
    const SHORT: Auth<'static> = Auth {
        reason: ReasonCode::SUCCESS,
        properties: Properties::EMPTY,
    };

    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, PeerError> {
        if !version.is_v5() {
            return Err(PeerError::malformed(
                "packet type 15 is reserved before MQTT 5.0",
            ));
        }
        // Success without properties may be left out as a whole (3.15.2.1). Unlike DISCONNECT there
        // is no form with a reason and no Property Length.
        if body.is_empty() {
            return Ok(Auth::SHORT);
        }
        let mut reader = Reader::new(body);
        let reason = reason_code(reader.u8()?, PacketType::Auth)?;
        let properties = Properties::read(&mut reader, Place::Auth)?;
        if !reader.is_empty() {
            return Err(PeerError::malformed("bytes after the properties"));
        }
        // Section 3.15.2.2.2.
        if properties.get(PropertyId::AuthenticationMethod).is_none() {
            return Err(PeerError::protocol("AUTH without an Authentication Method"));
        }
        Ok(Self { reason, properties })
    }
}

impl Body for Disconnect<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if !version.is_v5() {
            return Ok(0);
        }
        sendable(self.reason, PacketType::Disconnect, version)?;
        Ok(if !self.properties.is_empty() {
            1 + self.properties.wire_len(Place::Disconnect)?
        } else {
            usize::from(self.reason != ReasonCode::NORMAL_DISCONNECTION)
        })
    }

    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        if !version.is_v5() {
            return;
        }
        if !self.properties.is_empty() {
            out.push(self.reason.0);
            self.properties.write(out);
        } else if self.reason != ReasonCode::NORMAL_DISCONNECTION {
            out.push(self.reason.0);
        }
    }
}

impl Body for Auth<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        sendable(self.reason, PacketType::Auth, version)?;
        if *self == Auth::SHORT {
            return Ok(0);
        }
        let len = 1 + self.properties.wire_len(Place::Auth)?;
        match self.properties.get(PropertyId::AuthenticationMethod) {
            Some(_) => Ok(len),
            None => Err(EncodeError::Invalid(
                "AUTH without an Authentication Method",
            )),
        }
    }

    fn write_body(&self, _: ProtocolVersion, out: &mut Vec<u8>) {
        if *self != Auth::SHORT {
            out.push(self.reason.0);
            self.properties.write(out);
        }
    }
}
