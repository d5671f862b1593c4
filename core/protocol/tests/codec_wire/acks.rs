//! PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7).

use crate::wire::{
    ALL, OLD, V5_0, bytes, malformed, means, protocol_error, read, same, unwritable,
};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{Ack, Packet, PropertiesBuf, PropertyId, Value};

type Make = for<'a> fn(Ack<'a>) -> Packet<'a>;

/// First byte, how to make one, and a reason code that reports a failure.
const ACKS: [(u8, Make, ReasonCode); 4] = [
    (0x40, |a| Packet::PubAck(a), ReasonCode::QUOTA_EXCEEDED),
    (0x50, |a| Packet::PubRec(a), ReasonCode::QUOTA_EXCEEDED),
    (
        0x62,
        |a| Packet::PubRel(a),
        ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
    ),
    (
        0x70,
        |a| Packet::PubComp(a),
        ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
    ),
];

// [MQTT-2.2.1-5] in MQTT 3.1.1 [MQTT-2.3.1-6]
#[test]
fn two_bytes_say_success_in_all_versions() {
    for (first, make, _) in ACKS {
        for version in ALL {
            let text = format!("{first:02X} 02 | 12 34");
            same(version, &text, &make(Ack::new(0x1234, ReasonCode::SUCCESS)));
        }
    }
}

#[test]
fn short_forms_of_5_0() {
    for (first, make, failure) in ACKS {
        let success = make(Ack::new(7, ReasonCode::SUCCESS));
        // Sections 3.4.2.1 and 3.4.2.2.1 and their like.
        means(V5_0, &format!("{first:02X} 03 | 00 07 00"), &success);
        means(V5_0, &format!("{first:02X} 04 | 00 07 00 | 00"), &success);
        let failed = make(Ack::new(7, failure));
        same(
            V5_0,
            &format!("{first:02X} 03 | 00 07 {:02X}", failure.0),
            &failed,
        );
        means(
            V5_0,
            &format!("{first:02X} 04 | 00 07 {:02X} | 00", failure.0),
            &failed,
        );
        malformed(V5_0, &format!("{first:02X} 04 | 00 07 00 | 01"));
        malformed(V5_0, &format!("{first:02X} 05 | 00 07 00 | 00 00"));
        malformed(V5_0, &format!("{first:02X} 05 | 00 07 00 | 80 00"));
    }
}

#[test]
fn properties_of_acknowledgements() {
    for (first, make, _) in ACKS {
        let mut properties = PropertiesBuf::default();
        properties
            .push(PropertyId::ReasonString, Value::Utf8String("why"))
            .and_then(|p| p.push(PropertyId::UserProperty, Value::Utf8StringPair("k", "v")))
            .unwrap();
        let ack = make(Ack {
            properties: properties.get(),
            ..Ack::new(7, ReasonCode::SUCCESS)
        });
        let text = format!("{first:02X} 11 | 00 07 00 | 0D 1F 00 03 'why' 26 00 01 'k' 00 01 'v'");
        same(V5_0, &text, &ack);
        // No reason and no properties before.
        for version in OLD {
            assert_eq!(crate::wire::written(&ack, version), [first, 2, 0, 7]);
        }
    }
}

#[test]
fn nothing_but_the_identifier_before_5_0() {
    for (first, make, failure) in ACKS {
        for version in OLD {
            malformed(version, &format!("{first:02X} 03 | 00 07 00"));
            malformed(version, &format!("{first:02X} 04 | 00 07 00 00"));
            let failed = crate::wire::written(&make(Ack::new(7, failure)), version);
            let again = read(&failed, version);
            assert_eq!(again, Ok(make(Ack::new(7, ReasonCode::SUCCESS))));
        }
    }
}

// [MQTT-2.2.1-5] [MQTT-2.2.1-3] in MQTT 3.1.1 [MQTT-2.3.1-1]
#[test]
fn packet_identifier_0() {
    for (first, make, _) in ACKS {
        for version in ALL {
            protocol_error(version, &format!("{first:02X} 02 | 00 00"));
            unwritable(version, &make(Ack::new(0, ReasonCode::SUCCESS)));
        }
    }
}

#[test]
fn an_identifier_is_there() {
    for (first, ..) in ACKS {
        for version in ALL {
            malformed(version, &format!("{first:02X} 00"));
            malformed(version, &format!("{first:02X} 01 | 07"));
        }
    }
    assert!(read(&bytes("40 02 | FF FF"), V5_0).is_ok());
}
