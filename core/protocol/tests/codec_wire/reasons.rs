//! Reason codes (2.4): each byte in each packet.

use crate::wire::{V5_0, bytes, protocol_error, read, unwritable, written};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{
    Ack, Auth, Codes, ConnAck, Disconnect, Packet, PacketType, Place, Properties, SubAck,
};

const NONE: Properties<'static> = Properties::EMPTY;

/// The tables of 3.2.2.2, 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.9.3, 3.11.3, 3.14.2.1 and 3.15.2.1.
/// 0x8C in DISCONNECT is from table 2-6 (2.4).
const LISTED: [(PacketType, &[u8]); 9] = [
    (
        PacketType::ConnAck,
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
    ),
    (
        PacketType::PubAck,
        &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    ),
    (
        PacketType::PubRec,
        &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    ),
    (PacketType::PubRel, &[0x00, 0x92]),
    (PacketType::PubComp, &[0x00, 0x92]),
    (
        PacketType::SubAck,
        &[
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
    ),
    (
        PacketType::UnsubAck,
        &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
    ),
    (
        PacketType::Disconnect,
        &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90,
            0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0,
            0xA1, 0xA2,
        ],
    ),
    (PacketType::Auth, &[0x00, 0x18, 0x19]),
];

// [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.8.4-7]
// [MQTT-3.9.3-2] [MQTT-3.11.3-2] [MQTT-3.14.2-1] [MQTT-3.15.2-1]
#[test]
fn each_packet_has_the_codes_that_are_listed_for_it() {
    let method = bytes("15 00 01 'm'");
    let method = Properties::parse(&method, Place::Auth).unwrap();
    for (kind, listed) in LISTED {
        for byte in 0..=255 {
            let text = text(kind, byte);
            assert_eq!(ReasonCode(byte).allowed_in(kind), listed.contains(&byte));
            let codes = [byte];
            let packet = packet(kind, ReasonCode(byte), &codes, method);
            if listed.contains(&byte) {
                assert_eq!(read(&bytes(&text), V5_0), Ok(packet), "{text}");
                let again = written(&packet, V5_0);
                assert_eq!(read(&again, V5_0), Ok(packet), "{text}");
            } else {
                protocol_error(V5_0, &text);
                unwritable(V5_0, &packet);
            }
        }
    }
}

fn text(kind: PacketType, byte: u8) -> String {
    match kind {
        PacketType::ConnAck => format!("20 03 | 00 {byte:02X} | 00"),
        PacketType::PubAck => format!("40 03 | 00 07 {byte:02X}"),
        PacketType::PubRec => format!("50 03 | 00 07 {byte:02X}"),
        PacketType::PubRel => format!("62 03 | 00 07 {byte:02X}"),
        PacketType::PubComp => format!("70 03 | 00 07 {byte:02X}"),
        PacketType::SubAck => format!("90 04 | 00 07 | 00 | {byte:02X}"),
        PacketType::UnsubAck => format!("B0 04 | 00 07 | 00 | {byte:02X}"),
        PacketType::Disconnect => format!("E0 01 | {byte:02X}"),
        _ => format!("F0 06 | {byte:02X} | 04 15 00 01 'm'"),
    }
}

fn packet<'a>(
    kind: PacketType,
    reason: ReasonCode,
    codes: &'a [u8],
    method: Properties<'a>,
) -> Packet<'a> {
    let ack = Ack::new(7, reason);
    let answer = SubAck {
        packet_id: 7,
        properties: NONE,
        codes: Codes(codes),
    };
    match kind {
        PacketType::ConnAck => Packet::ConnAck(ConnAck {
            session_present: false,
            reason,
            properties: NONE,
        }),
        PacketType::PubAck => Packet::PubAck(ack),
        PacketType::PubRec => Packet::PubRec(ack),
        PacketType::PubRel => Packet::PubRel(ack),
        PacketType::PubComp => Packet::PubComp(ack),
        PacketType::SubAck => Packet::SubAck(answer),
        PacketType::UnsubAck => Packet::UnsubAck(answer),
        PacketType::Disconnect => Packet::Disconnect(Disconnect::new(reason)),
        _ => Packet::Auth(Auth {
            reason,
            properties: method,
        }),
    }
}

#[test]
fn one_wrong_code_among_many() {
    protocol_error(V5_0, "90 06 | 00 07 | 00 | 00 03 01");
    protocol_error(V5_0, "B0 06 | 00 07 | 00 | 00 11 01");
}

#[test]
fn codes_have_the_names_of_the_standard() {
    for byte in 0..=255 {
        let listed = LISTED.iter().any(|(_, codes)| codes.contains(&byte));
        let named = ReasonCode(byte).name() != "Unknown reason code";
        assert_eq!(named, listed, "{byte:02X}");
        assert_eq!(ReasonCode(byte).is_error(), byte >= 0x80);
    }
    assert_eq!(ReasonCode(0x8D).to_string(), "Keep Alive timeout (0x8D)");
}
