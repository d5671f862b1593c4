//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11).

use crate::wire::{ALL, OLD, V3_1, V3_1_1, V5_0, bytes, malformed, protocol_error, read, refused};
use crate::wire::{same, unwritable, written};
use ternmq_protocol::codec::{
    Codes, Packet, PacketType, Properties, PropertiesBuf, PropertyId, QoS, Request, RetainHandling,
    SubAck, Subscribe, SubscriptionOptions, Unsubscribe, Value,
};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

const NONE: Properties<'static> = Properties::EMPTY;

fn qos(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        ..Default::default()
    }
}

fn answer(codes: &[u8]) -> SubAck<'_> {
    SubAck {
        packet_id: 7,
        properties: NONE,
        codes: Codes(codes),
    }
}

#[test]
fn subscribe_in_all_versions() {
    let requests: [Request<'_>; 3] = [
        ("a/b", qos(QoS::AtMostOnce)),
        ("+/#", qos(QoS::AtLeastOnce)),
        ("#", qos(QoS::ExactlyOnce)),
    ];
    let packet = Packet::Subscribe(Subscribe::new(7, NONE, &requests));
    let filters = "00 03 'a/b' 00 | 00 03 '+/#' 01 | 00 01 '#' 02";
    for version in OLD {
        same(version, &format!("82 12 | 00 07 | {filters}"), &packet);
    }
    same(V5_0, &format!("82 13 | 00 07 | 00 | {filters}"), &packet);
    let bytes = written(&packet, V5_0);
    let Ok(Packet::Subscribe(subscribe)) = read(&bytes, V5_0) else {
        panic!("not a SUBSCRIBE");
    };
    assert!(subscribe.requests().eq(requests));
    assert_eq!(subscribe.packet_id, 7);
}

// [MQTT-3.8.3-5] 3.1.1 [MQTT-3.8.3-4]
#[test]
fn every_options_byte() {
    for version in ALL {
        for byte in 0..=255u8 {
            let text = match version {
                V5_0 => format!("82 07 | 00 07 | 00 | 00 01 'a' {byte:02X}"),
                _ => format!("82 06 | 00 07 | 00 01 'a' {byte:02X}"),
            };
            match expected(version, byte) {
                Ok(options) => {
                    let requests = [("a", options)];
                    let packet = Packet::Subscribe(Subscribe::new(7, NONE, &requests));
                    assert_eq!(
                        read(&bytes(&text), version),
                        Ok(packet),
                        "{version} {byte:02X}"
                    );
                    let unused = if version == V3_1 { 0xFC } else { 0 };
                    assert_eq!(options.to_wire(version), byte & !unused);
                }
                Err(reason) => refused(version, &bytes(&text), reason),
            }
        }
    }
}

fn expected(version: ProtocolVersion, byte: u8) -> Result<SubscriptionOptions, ReasonCode> {
    let malformed = Err(ReasonCode::MALFORMED_PACKET);
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let level = levels.get(usize::from(byte & 3)).copied();
    match (version, byte >> 2, level) {
        // The upper six bits are not used.
        (V3_1, _, Some(level)) | (V3_1_1, 0, Some(level)) => Ok(qos(level)),
        (V3_1 | V3_1_1, ..) => malformed,
        (V5_0, 16.., _) => malformed,
        // Section 3.8.3.1 calls QoS 3 and Retain Handling 3 Protocol Errors.
        (V5_0, 12.., _) | (V5_0, _, None) => Err(ReasonCode::PROTOCOL_ERROR),
        (V5_0, bits, Some(qos)) => Ok(SubscriptionOptions {
            qos,
            no_local: bits & 1 != 0,
            retain_as_published: bits & 2 != 0,
            retain_handling: match bits >> 2 {
                0 => RetainHandling::SendAtSubscribe,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        }),
    }
}

// [MQTT-3.8.3-2] [MQTT-3.10.3-2] in MQTT 3.1.1 [MQTT-3.8.3-3] [MQTT-3.10.3-2]
#[test]
fn requests_without_a_filter() {
    for version in OLD {
        protocol_error(version, "82 02 | 00 07");
        protocol_error(version, "A2 02 | 00 07");
    }
    protocol_error(V5_0, "82 03 | 00 07 | 00");
    protocol_error(V5_0, "A2 03 | 00 07 | 00");
    protocol_error(V5_0, "82 05 | 00 07 | 02 0B 01");
    malformed(V5_0, "82 02 | 00 07");
    malformed(V5_0, "A2 02 | 00 07");
    for version in ALL {
        unwritable(version, &Packet::Subscribe(Subscribe::new(7, NONE, &[])));
        unwritable(
            version,
            &Packet::Unsubscribe(Unsubscribe::new(7, NONE, &[])),
        );
    }
}

// [MQTT-2.2.1-3] [MQTT-2.2.1-6] in MQTT 3.1.1 [MQTT-2.3.1-1] [MQTT-2.3.1-7]
#[test]
fn packet_identifier_0() {
    for version in ALL {
        let properties = if version == V5_0 { "00" } else { "" };
        let len = 2 + properties.len() / 2;
        for (first, rest, rest_len) in [
            ("82", "00 01 'a' 00", 4),
            ("90", "00", 1),
            ("A2", "00 01 'a'", 3),
            (
                "B0",
                if version == V5_0 { "00" } else { "" },
                usize::from(version == V5_0),
            ),
        ] {
            let text = format!(
                "{first} {:02X} | 00 00 | {properties} | {rest}",
                len + rest_len
            );
            protocol_error(version, &text);
        }
        let requests = [("a", qos(QoS::AtMostOnce))];
        unwritable(
            version,
            &Packet::Subscribe(Subscribe::new(0, NONE, &requests)),
        );
        unwritable(
            version,
            &Packet::Unsubscribe(Unsubscribe::new(0, NONE, &["a"])),
        );
        let none = SubAck {
            packet_id: 0,
            ..answer(&[0])
        };
        unwritable(version, &Packet::SubAck(none));
        unwritable(version, &Packet::UnsubAck(none));
    }
}

#[test]
fn unsubscribe_in_all_versions() {
    let packet = Packet::Unsubscribe(Unsubscribe::new(7, NONE, &["a/b", "+/#"]));
    for version in OLD {
        same(
            version,
            "A2 0C | 00 07 | 00 03 'a/b' | 00 03 '+/#'",
            &packet,
        );
    }
    same(
        V5_0,
        "A2 0D | 00 07 | 00 | 00 03 'a/b' | 00 03 '+/#'",
        &packet,
    );
    let bytes = written(&packet, V5_0);
    let Ok(Packet::Unsubscribe(unsubscribe)) = read(&bytes, V5_0) else {
        panic!("not an UNSUBSCRIBE");
    };
    assert!(unsubscribe.filters().eq(["a/b", "+/#"]));
}

#[test]
fn a_filter_is_any_text_here() {
    // What is no valid filter is answered by the session, as SUBACK can say so.
    for filter in ["", "a#", "+a", "#/a", "$share/", "\u{FEFF}"] {
        for version in ALL {
            let requests = [(filter, qos(QoS::AtMostOnce))];
            let packet = Packet::Subscribe(Subscribe::new(7, NONE, &requests));
            assert_eq!(read(&written(&packet, version), version), Ok(packet));
            let filters = [filter];
            let packet = Packet::Unsubscribe(Unsubscribe::new(7, NONE, &filters));
            assert_eq!(read(&written(&packet, version), version), Ok(packet));
        }
    }
}

// [MQTT-3.8.4-6] [MQTT-3.9.3-1] [MQTT-3.11.3-1] in MQTT 3.1.1 [MQTT-3.8.4-5] [MQTT-3.9.3-1]
#[test]
fn answers_keep_the_order_of_their_codes() {
    let codes = answer(&[2, 0x80, 0, 1]);
    for version in OLD {
        same(
            version,
            "90 06 | 00 07 | 02 80 00 01",
            &Packet::SubAck(codes),
        );
        same(version, "B0 02 | 00 07", &Packet::UnsubAck(answer(&[])));
    }
    same(
        V5_0,
        "90 07 | 00 07 | 00 | 02 80 00 01",
        &Packet::SubAck(codes),
    );
    let codes = answer(&[0x11, 0, 0x87]);
    same(
        V5_0,
        "B0 06 | 00 07 | 00 | 11 00 87",
        &Packet::UnsubAck(codes),
    );
    assert_eq!(
        codes.codes.iter().collect::<Vec<_>>(),
        [
            ReasonCode::NO_SUBSCRIPTION_EXISTED,
            ReasonCode::SUCCESS,
            ReasonCode::NOT_AUTHORIZED
        ]
    );
}

#[test]
fn answers_have_the_codes_that_their_version_has() {
    for version in OLD {
        protocol_error(version, "90 02 | 00 07");
        malformed(version, "B0 03 | 00 07 | 00");
    }
    protocol_error(V5_0, "90 03 | 00 07 | 00");
    protocol_error(V5_0, "B0 03 | 00 07 | 00");
    malformed(V5_0, "B0 02 | 00 07");
    for version in ALL {
        unwritable(version, &Packet::SubAck(answer(&[])));
    }
    unwritable(V5_0, &Packet::UnsubAck(answer(&[])));
}

// 3.1.1 [MQTT-3.9.3-2]
#[test]
fn codes_before_5_0() {
    for version in OLD {
        for code in 0..=255u8 {
            let text = format!("90 03 | 00 07 | {code:02X}");
            let codes = [code];
            let suback = Packet::SubAck(answer(&codes));
            match code {
                0..=2 | 0x80 => same(version, &text, &suback),
                _ => protocol_error(version, &text),
            }
            // The one failure that there is stands for all of them.
            let listed = ReasonCode(code).allowed_in(PacketType::SubAck);
            if code > 0x80 && listed {
                assert_eq!(written(&suback, version), [0x90, 3, 0, 7, 0x80]);
            } else if (3..0x80).contains(&code) {
                unwritable(version, &suback);
            }
            let unsuback = Packet::UnsubAck(answer(&codes));
            assert_eq!(written(&unsuback, version), [0xB0, 2, 0, 7]);
        }
    }
}

#[test]
fn properties_of_requests_and_answers() {
    let mut id = PropertiesBuf::default();
    id.push(
        PropertyId::SubscriptionIdentifier,
        Value::VariableByteInteger(300),
    )
    .unwrap();
    let requests = [("a", qos(QoS::AtLeastOnce))];
    let subscribe = Packet::Subscribe(Subscribe::new(7, id.get(), &requests));
    same(
        V5_0,
        "82 0A | 00 07 | 03 0B AC 02 | 00 01 'a' 01",
        &subscribe,
    );
    assert_eq!(
        written(&subscribe, V3_1_1),
        bytes("82 06 | 00 07 | 00 01 'a' 01")
    );
    // Section 3.8.2.1.2: not twice, not 0.
    protocol_error(V5_0, "82 0B | 00 07 | 04 0B 01 0B 02 | 00 01 'a' 01");
    protocol_error(V5_0, "82 09 | 00 07 | 02 0B 00 | 00 01 'a' 01");
    let mut reason = PropertiesBuf::default();
    reason
        .push(PropertyId::ReasonString, Value::Utf8String("r"))
        .unwrap();
    let properties = reason.get();
    let packet = Packet::SubAck(SubAck {
        properties,
        ..answer(&[0])
    });
    same(V5_0, "90 08 | 00 07 | 04 1F 00 01 'r' | 00", &packet);
    let packet = Packet::UnsubAck(SubAck {
        properties,
        ..answer(&[0])
    });
    same(V5_0, "B0 08 | 00 07 | 04 1F 00 01 'r' | 00", &packet);
}
