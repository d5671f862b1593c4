//! Packets. What is rare is made by the codec of the product; what there is one of per message is read and
//! written here, in as few instructions as it takes.

use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::{
    Connect, Packet, Properties, PropertiesBuf, PropertyId, QoS, Subscribe, SubscriptionOptions,
    Value,
};

pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const PUBREC: u8 = 5;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const PUBCOMP: u8 = 7;
pub(crate) const SUBACK: u8 = 9;
pub(crate) const PINGRESP: u8 = 13;
pub(crate) const DISCONNECT: u8 = 14;

pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0];
pub(crate) const GOODBYE: [u8; 2] = [0xe0, 0];

/// A CONNECT. A session that is not clean lasts an hour.
pub(crate) fn connect(
    version: ProtocolVersion,
    id: &str,
    clean: bool,
    keep_alive: u16,
) -> Result<Vec<u8>, String> {
    let mut properties = PropertiesBuf::default();
    if version.is_v5() && !clean {
        let hour = Value::FourByteInteger(3600);
        properties
            .push(PropertyId::SessionExpiryInterval, hour)
            .map_err(|e| e.to_string())?;
    }
    let mut connect = Connect::new(version, id);
    connect.clean_start = clean;
    connect.keep_alive = keep_alive;
    connect.properties = properties.get();
    encoded(version, &Packet::Connect(connect))
}

/// One SUBSCRIBE for all filters.
pub(crate) fn subscribe(
    version: ProtocolVersion,
    id: u16,
    filters: &[String],
    qos: u8,
) -> Result<Vec<u8>, String> {
    let qos = QoS::from_bits(qos).ok_or("no such QoS")?;
    let options = SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    };
    let requests: Vec<_> = filters.iter().map(|filter| (&**filter, options)).collect();
    encoded(
        version,
        &Packet::Subscribe(Subscribe::new(id, Properties::EMPTY, &requests)),
    )
}

fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    packet
        .encode(version, &mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The four bytes of an acknowledgement that succeeds, in every version.
pub(crate) fn ack(kind: u8, id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [kind << 4 | if kind == PUBREL { 2 } else { 0 }, 2, high, low]
}

pub(crate) fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 128 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// The number at the start of `bytes` and how many bytes it takes; `None` when it isn't all there.
pub(crate) fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// First byte, start of the body and end of the packet at the start of `bytes`.
pub(crate) fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let (length, used) = varint(rest)?;
    let end = 1 + used + length;
    (bytes.len() >= end).then_some((first, 1 + used, end))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}

/// Packet identifier (0 with QoS 0) and payload of a PUBLISH.
pub(crate) fn publish(first: u8, body: &[u8], version5: bool) -> Option<(u16, &[u8])> {
    let mut at = 2 + usize::from(u16_at(body, 0)?);
    let mut id = 0;
    if first & 0b110 != 0 {
        id = u16_at(body, at)?;
        at += 2;
    }
    if version5 {
        let (length, used) = varint(body.get(at..)?)?;
        at += used + length;
    }
    body.get(at..).map(|payload| (id, payload))
}

/// Session present, code and Receive Maximum of a CONNACK.
pub(crate) fn connack(version: ProtocolVersion, packet: &[u8]) -> Option<(bool, u8, u16)> {
    use ternmq_protocol::codec::{Frame, MAX_PACKET_SIZE, Split, split};
    let Ok(Split::Frame(frame)) = split(packet, MAX_PACKET_SIZE) else {
        return None;
    };
    let frame: Frame<'_> = frame;
    let Ok(Packet::ConnAck(ack)) = Packet::decode(frame, version) else {
        return None;
    };
    let most = match ack.properties.get(PropertyId::ReceiveMaximum) {
        Some(Value::TwoByteInteger(most)) => most,
        _ => u16::MAX,
    };
    Some((ack.session_present, ack.reason.0, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_and_halves_are_not() {
        let mut bytes = vec![0x30];
        put_length(&mut bytes, 300);
        bytes.resize(3 + 300, 7);
        assert_eq!(frame(&bytes), Some((0x30, 3, 303)));
        assert_eq!(frame(&bytes[..302]), None);
        assert_eq!(frame(&[0x30, 0x80]), None);
    }

    #[test]
    fn a_publish_is_taken_apart() {
        let body = [0, 1, b't', 0, 9, 3, 1, 2, 3, b'p'];
        assert_eq!(publish(0x32, &body, true), Some((9, &b"p"[..])));
        assert_eq!(publish(0x30, &body[..3], false), Some((0, &b""[..])));
        assert_eq!(publish(0x32, &body[..4], false), None);
    }
}
