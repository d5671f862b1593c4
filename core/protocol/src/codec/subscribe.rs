//! SUBSCRIBE (section 3.8) and UNSUBSCRIBE (section 3.10).

use super::primitive::{Reader, utf8_len, write_binary};
use super::property::{Place, Properties};
use super::{Body, QoS};
use crate::error::{EncodeError, PeerError};
use crate::version::ProtocolVersion;

/// What a client asks for with a topic filter (section 3.8.3.1). Before MQTT 5.0 only the QoS exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS to deliver with.
    pub qos: QoS,
    /// Don't send the client its own messages.
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// Whether retained messages are sent at subscribe time.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a subscription (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// 0: at each SUBSCRIBE.
    #[default]
    SendAtSubscribe = 0,
    /// 1: only if the subscription did not exist.
    SendIfNew = 1,
    /// 2: not at all.
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// The options byte for this version.
    pub const fn to_wire(self, version: ProtocolVersion) -> u8 {
        let qos = self.qos as u8;
        if !version.is_v5() {
            return qos;
        }
        qos | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    /// Reads the options byte.
    ///
    /// # Errors
    /// Malformed Packet for reserved bits [MQTT-3.8.3-5], Protocol Error for QoS 3 and Retain
    /// Handling 3 (3.8.3.1). In 3.1.1 all of it is malformed [MQTT-3.8.3-4], but for MQTT 3.1, which
    /// does not use the upper six bits.
    pub fn from_wire(byte: u8, version: ProtocolVersion) -> Result<Self, PeerError> {
        let (byte, reserved) = match version {
            ProtocolVersion::V3_1 => (byte & 3, 0), // the upper six bits are "not used"
            ProtocolVersion::V3_1_1 => (byte, 0xFC),
            ProtocolVersion::V5_0 => (byte, 0xC0),
        };
        if byte & reserved != 0 {
            return Err(PeerError::malformed(
                "reserved bits in the subscription options",
            ));
        }
        let qos = QoS::from_bits(byte & 3).ok_or(match version.is_v5() {
            true => PeerError::protocol("subscription QoS 3"),
            false => PeerError::malformed("subscription QoS 3"),
        })?;
        let retain_handling = match byte >> 4 & 3 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(PeerError::protocol("Retain Handling 3")),
        };
        Ok(Self {
            qos,
            no_local: byte & 1 << 2 != 0,
            retain_as_published: byte & 1 << 3 != 0,
            retain_handling,
        })
    }
}

/// A topic filter and its options. The text is valid UTF-8 without U+0000; whether it is a valid
/// filter is the session's business, because a bad one may be answered in the SUBACK.
pub type Request<'a> = (&'a str, SubscriptionOptions);

/// A SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Not 0.
    pub packet_id: u16,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
    requests: Requests<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Requests<'a> {
    Wire(&'a [u8], ProtocolVersion),
    List(&'a [Request<'a>]),
}

impl<'a> Requests<'a> {
    fn iter(self) -> impl Iterator<Item = Request<'a>> {
        let (mut reader, version, mut list) = match self {
            Requests::Wire(bytes, version) => (Reader::new(bytes), version, [].iter()),
            Requests::List(list) => (Reader::new(&[]), ProtocolVersion::V5_0, list.iter()),
        };
        // Checked when the packet was decoded, so reading again can't fail.
        std::iter::from_fn(move || {
            list.next()
                .copied()
                .or_else(|| read_request(&mut reader, version).ok())
        })
    }
}

impl PartialEq for Requests<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> Subscribe<'a> {
    /// A SUBSCRIBE to be sent.
    pub const fn new(
        packet_id: u16,
        properties: Properties<'a>,
        requests: &'a [Request<'a>],
    ) -> Self {
        Self {
            packet_id,
            properties,
            requests: Requests::List(requests),
        }
    }

    /// The filters in order.
    pub fn requests(&self) -> impl Iterator<Item = Request<'a>> {
        self.requests.iter()
    }

    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, PeerError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = read_properties(&mut reader, version, Place::Subscribe)?;
        let wire = reader.rest();
        if reader.is_empty() {
            return Err(PeerError::protocol("SUBSCRIBE without a topic filter"));
        }
        while !reader.is_empty() {
            read_request(&mut reader, version)?;
        }
        Ok(Self {
            packet_id,
            properties,
            requests: Requests::Wire(wire, version),
        })
    }
}

fn read_request<'a>(
    reader: &mut Reader<'a>,
    version: ProtocolVersion,
) -> Result<Request<'a>, PeerError> {
    let filter = reader.utf8()?;
    let options = SubscriptionOptions::from_wire(reader.u8()?, version)?;
    Ok((filter, options))
}

impl Body for Subscribe<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        let mut len = head_len(self.packet_id, self.properties, Place::Subscribe, version)?;
        let head = len;
        for (filter, _) in self.requests() {
            len += utf8_len(filter)? + 1;
        }
        not_empty(len > head)?;
        Ok(len)
    }

    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        write_head(self.packet_id, self.properties, version, out);
        for (filter, options) in self.requests() {
            write_binary(filter.as_bytes(), out);
            out.push(options.to_wire(version));
        }
    }
}

/// An UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Not 0.
    pub packet_id: u16,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
    filters: Filters<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Filters<'a> {
    Wire(&'a [u8]),
    List(&'a [&'a str]),
}

impl<'a> Filters<'a> {
    fn iter(self) -> impl Iterator<Item = &'a str> {
        let (mut reader, mut list) = match self {
            Filters::Wire(bytes) => (Reader::new(bytes), [].iter()),
            Filters::List(list) => (Reader::new(&[]), list.iter()),
        };
        std::iter::from_fn(move || list.next().copied().or_else(|| reader.utf8().ok()))
    }
}

impl PartialEq for Filters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> Unsubscribe<'a> {
    /// An UNSUBSCRIBE to be sent.
    pub const fn new(packet_id: u16, properties: Properties<'a>, filters: &'a [&'a str]) -> Self {
        Self {
            packet_id,
            properties,
            filters: Filters::List(filters),
        }
    }

    /// The filters in order.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> {
        self.filters.iter()
    }

    pub(crate) fn decode(body: &'a [u8], version: ProtocolVersion) -> Result<Self, PeerError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties = read_properties(&mut reader, version, Place::Unsubscribe)?;
        let wire = reader.rest();
        if reader.is_empty() {
            return Err(PeerError::protocol("UNSUBSCRIBE without a topic filter"));
        }
        while !reader.is_empty() {
            reader.utf8()?;
        }
        Ok(Self {
            packet_id,
            properties,
            filters: Filters::Wire(wire),
        })
    }
}

impl Body for Unsubscribe<'_> {
    fn body_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        let mut len = head_len(self.packet_id, self.properties, Place::Unsubscribe, version)?;
        let head = len;
        for filter in self.filters() {
            len += utf8_len(filter)?;
        }
        not_empty(len > head)?;
        Ok(len)
    }

    fn write_body(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        write_head(self.packet_id, self.properties, version, out);
        for filter in self.filters() {
            write_binary(filter.as_bytes(), out);
        }
    }
}

pub(super) fn read_properties<'a>(
    reader: &mut Reader<'a>,
    version: ProtocolVersion,
    place: Place,
) -> Result<Properties<'a>, PeerError> {
    if version.is_v5() {
        Properties::read(reader, place)
    } else {
        Ok(Properties::EMPTY)
    }
}

pub(super) fn head_len(
    packet_id: u16,
    properties: Properties<'_>,
    place: Place,
    version: ProtocolVersion,
) -> Result<usize, EncodeError> {
    if packet_id == 0 {
        return Err(EncodeError::Invalid("packet identifier 0"));
    }
    Ok(2 + if version.is_v5() {
        properties.wire_len(place)?
    } else {
        0
    })
}

pub(super) fn write_head(
    packet_id: u16,
    properties: Properties<'_>,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&packet_id.to_be_bytes());
    if version.is_v5() {
        properties.write(out);
    }
}

fn not_empty(has_filters: bool) -> Result<(), EncodeError> {
    if has_filters {
        Ok(())
    } else {
        Err(EncodeError::Invalid("a request without a topic filter"))
    }
}
