//! The fourteen places where properties stand, and a packet for each.

use crate::wire::{field, packet};
use ternmq_protocol::ProtocolVersion::V5_0;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{
    Ack, Auth, Codes, ConnAck, Connect, Disconnect, Packet, Properties, Publish, QoS, SubAck,
    Subscribe, SubscriptionOptions, Unsubscribe, Will,
};

/// A packet, or the will in a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

pub(crate) const SPOTS: [Spot; 14] = [
    Spot::Connect,
    Spot::Will,
    Spot::ConnAck,
    Spot::Publish,
    Spot::PubAck,
    Spot::PubRec,
    Spot::PubRel,
    Spot::PubComp,
    Spot::Subscribe,
    Spot::SubAck,
    Spot::Unsubscribe,
    Spot::UnsubAck,
    Spot::Disconnect,
    Spot::Auth,
];

/// What AUTH always has.
pub(crate) const METHOD: &[u8] = b"\x15\0\x01m";

/// A packet of MQTT 5.0 with these encoded properties at that spot, written by hand; AUTH gets its
/// method in front where they have none.
pub(crate) fn with(spot: Spot, properties: &[u8]) -> Vec<u8> {
    let properties = match spot {
        Spot::Auth if !properties.starts_with(&METHOD[..1]) => [METHOD, properties].concat(),
        _ => properties.to_vec(),
    };
    assert!(properties.len() < 128, "a Property Length of one byte");
    let properties = [&[properties.len() as u8][..], &properties].concat();
    let build = |first, parts: &[&[u8]]| packet(first, &parts.concat());
    let connect = field(b"MQTT");
    match spot {
        Spot::Connect => build(0x10, &[&connect, b"\x05\x02\0\0", &properties, b"\0\x01c"]),
        Spot::Will => build(
            0x10,
            &[
                &connect,
                b"\x05\x06\0\0\0\0\x01c",
                &properties,
                b"\0\x01w\0\0",
            ],
        ),
        Spot::ConnAck => build(0x20, &[b"\0\0", &properties]),
        Spot::Publish => build(0x30, &[b"\0\x01t", &properties, b"x"]),
        Spot::PubAck => build(0x40, &[b"\0\x07\0", &properties]),
        Spot::PubRec => build(0x50, &[b"\0\x07\0", &properties]),
        Spot::PubRel => build(0x62, &[b"\0\x07\0", &properties]),
        Spot::PubComp => build(0x70, &[b"\0\x07\0", &properties]),
        Spot::Subscribe => build(0x82, &[b"\0\x07", &properties, b"\0\x01a\0"]),
        Spot::SubAck => build(0x90, &[b"\0\x07", &properties, b"\0"]),
        Spot::Unsubscribe => build(0xA2, &[b"\0\x07", &properties, b"\0\x01a"]),
        Spot::UnsubAck => build(0xB0, &[b"\0\x07", &properties, b"\0"]),
        Spot::Disconnect => build(0xE0, &[b"\0", &properties]),
        Spot::Auth => build(0xF0, &[b"\0", &properties]),
    }
}

const REQUESTS: &[(&str, SubscriptionOptions)] = &[(
    "a",
    SubscriptionOptions {
        qos: QoS::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: ternmq_protocol::codec::RetainHandling::SendAtSubscribe,
    },
)];

/// The same packet as a value.
pub(crate) fn value<'a>(spot: Spot, properties: Properties<'a>) -> Packet<'a> {
    let reason = ReasonCode::SUCCESS;
    let ack = Ack {
        properties,
        ..Ack::new(7, reason)
    };
    let answer = SubAck {
        packet_id: 7,
        properties,
        codes: Codes(&[0]),
    };
    let connect = Connect::new(V5_0, "c");
    let will = Will {
        topic: "w",
        payload: b"",
        qos: QoS::AtMostOnce,
        retain: false,
        properties,
    };
    match spot {
        Spot::Connect => Packet::Connect(Connect {
            properties,
            ..connect
        }),
        Spot::Will => Packet::Connect(Connect {
            will: Some(will),
            ..connect
        }),
        Spot::ConnAck => Packet::ConnAck(ConnAck {
            session_present: false,
            reason,
            properties,
        }),
        Spot::Publish => {
            let mut publish = Publish::new("t", b"x");
            publish.properties = properties;
            Packet::Publish(publish)
        }
        Spot::PubAck => Packet::PubAck(ack),
        Spot::PubRec => Packet::PubRec(ack),
        Spot::PubRel => Packet::PubRel(ack),
        Spot::PubComp => Packet::PubComp(ack),
        Spot::Subscribe => Packet::Subscribe(Subscribe::new(7, properties, REQUESTS)),
        Spot::SubAck => Packet::SubAck(answer),
        Spot::Unsubscribe => Packet::Unsubscribe(Unsubscribe::new(7, properties, &["a"])),
        Spot::UnsubAck => Packet::UnsubAck(answer),
        Spot::Disconnect => Packet::Disconnect(Disconnect { reason, properties }),
        Spot::Auth => Packet::Auth(Auth { reason, properties }),
    }
}
