//! PUBLISH (3.3).

use crate::wire::{ALL, OLD, V3_1, V3_1_1, V5_0, bytes, field, malformed, means, packet};
use crate::wire::{protocol_error, read, refused, same, unwritable, written};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{Packet, Properties, PropertiesBuf, PropertyId, Publish, QoS, Value};

fn publish<'a>(topic: &'a str, payload: &'a [u8]) -> Packet<'a> {
    publish_with(topic, payload, |_| {})
}

fn publish_with<'a>(
    topic: &'a str,
    payload: &'a [u8],
    set: impl FnOnce(&mut Publish<'a>),
) -> Packet<'a> {
    let mut publish = Publish::new(topic, payload);
    set(&mut publish);
    Packet::Publish(publish)
}

// [MQTT-3.3.2-1] [MQTT-2.2.1-2] [MQTT-2.2.2-1] in MQTT 3.1.1 [MQTT-3.3.2-1] [MQTT-2.3.1-5]
#[test]
fn topic_packet_identifier_properties_payload() {
    let plain = publish("a/b", b"hi");
    let with_id = publish_with("a/b", b"hi", |p| {
        p.qos = QoS::AtLeastOnce;
        p.packet_id = 0x1234;
        p.retain = true;
    });
    let again = publish_with("a/b", b"", |p| {
        p.qos = QoS::ExactlyOnce;
        p.packet_id = 0xFFFF;
        p.dup = true;
    });
    for version in OLD {
        same(version, "30 07 | 00 03 'a/b' | 'hi'", &plain);
        same(version, "33 09 | 00 03 'a/b' 12 34 | 'hi'", &with_id);
        same(version, "3C 07 | 00 03 'a/b' FF FF", &again);
    }
    same(V5_0, "30 08 | 00 03 'a/b' | 00 | 'hi'", &plain);
    same(V5_0, "33 0A | 00 03 'a/b' 12 34 | 00 | 'hi'", &with_id);
    same(V5_0, "3C 08 | 00 03 'a/b' FF FF | 00", &again);
}

// [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-4.3.1-1] in MQTT 3.1.1 [MQTT-3.3.1-2] [MQTT-3.3.1-4]
// 3.1.1 [MQTT-4.3.1-1]
#[test]
fn every_combination_of_flags() {
    for version in ALL {
        for flags in 0..16u8 {
            let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
            let mut body = bytes("00 01 't'");
            if qos > 0 {
                body.extend([0, 9]);
            }
            if version == V5_0 {
                body.push(0);
            }
            body.extend(*b"x");
            let bytes = packet(0x30 | flags, &body);
            if qos == 3 || (dup && qos == 0 && version != V3_1) {
                refused(version, &bytes, ReasonCode::MALFORMED_PACKET);
                continue;
            }
            let Ok(Packet::Publish(read)) = read(&bytes, version) else {
                panic!("{version} {flags:04b}");
            };
            // DUP means nothing with QoS 0 in MQTT 3.1.
            assert_eq!(read.dup, dup && qos > 0);
            assert_eq!((read.qos as u8, read.retain), (qos, retain));
            assert_eq!(read.packet_id, if qos > 0 { 9 } else { 0 });
            assert_eq!((read.topic, read.payload), ("t", &b"x"[..]));
        }
    }
}

// [MQTT-3.3.1-2] [MQTT-2.2.1-2] [MQTT-2.2.1-3] [MQTT-2.2.1-4]
// in MQTT 3.1.1 [MQTT-3.3.1-2] [MQTT-2.3.1-1] [MQTT-2.3.1-4] [MQTT-2.3.1-5]
#[test]
fn packet_identifiers_go_with_qos_1_and_2() {
    for version in ALL {
        let zero = match version {
            V5_0 => "32 07 | 00 01 't' 00 00 | 00 | 'x'",
            _ => "34 06 | 00 01 't' 00 00 | 'x'",
        };
        protocol_error(version, zero);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            unwritable(
                version,
                &publish_with("t", b"x", |p| {
                    p.qos = qos;
                }),
            );
        }
        unwritable(
            version,
            &publish_with("t", b"x", |p| {
                p.packet_id = 1;
            }),
        );
        unwritable(
            version,
            &publish_with("t", b"x", |p| {
                p.dup = true;
            }),
        );
    }
}

// [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT-4.7.3-1] in MQTT 3.1.1 [MQTT-3.3.2-2] [MQTT-4.7.1-1]
// 3.1.1 [MQTT-4.7.3-1]
#[test]
fn a_topic_name_has_no_wildcards_and_is_not_empty() {
    for version in ALL {
        for topic in ["", "#", "+", "a/#", "+/a", "a#", "a/+/b"] {
            let mut body = field(topic.as_bytes());
            body.extend(if version == V5_0 { &b"\0x"[..] } else { b"x" });
            refused(version, &packet(0x30, &body), ReasonCode::PROTOCOL_ERROR);
            unwritable(version, &publish(topic, b"x"));
        }
        for topic in ["/", " ", "$SYS/x", "a//b", "/a/", "\u{FEFF}"] {
            let packet = publish(topic, b"x");
            let bytes = written(&packet, version);
            assert_eq!(read(&bytes, version), Ok(packet));
        }
    }
}

// [MQTT-3.3.2-8]
#[test]
fn a_topic_alias_may_stand_for_the_topic() {
    let mut alias = PropertiesBuf::default();
    alias
        .push(PropertyId::TopicAlias, Value::TwoByteInteger(1))
        .unwrap();
    let properties = alias.get();
    let only = publish_with("", b"x", |p| p.properties = properties);
    let both = publish_with("t", b"x", |p| p.properties = properties);
    same(V5_0, "30 07 | 00 00 | 03 23 00 01 | 'x'", &only);
    same(V5_0, "30 08 | 00 01 't' | 03 23 00 01 | 'x'", &both);
    // Without aliases there is nothing that could stand for it.
    for version in OLD {
        unwritable(version, &only);
    }
    protocol_error(V5_0, "30 0A | 00 00 | 06 26 00 01 'k' 00 00 | 'x'");
    let zero = bytes("30 08 | 00 01 't' | 03 23 00 00 | 'x'");
    refused(V5_0, &zero, ReasonCode::TOPIC_ALIAS_INVALID);
}

// [MQTT-3.3.2-13] [MQTT-3.3.2-14]
#[test]
fn a_response_topic_is_a_topic_name() {
    for topic in ["#", "a/+", ""] {
        let property = [&[0x08][..], &field(topic.as_bytes())].concat();
        let mut body = bytes("00 01 't'");
        body.extend(field(&property).split_off(1));
        refused(V5_0, &packet(0x30, &body), ReasonCode::PROTOCOL_ERROR);
        let mut buf = PropertiesBuf::default();
        let pushed = buf.push(PropertyId::ResponseTopic, Value::Utf8String(topic));
        assert!(pushed.is_err());
        assert!(buf.is_empty());
    }
    malformed(V5_0, "30 0A | 00 01 't' | 04 08 00 01 FF | 'xy'");
}

// [MQTT-3.3.4-3] [MQTT-3.3.4-4] in the packet; who sends which is for the sessions
#[test]
fn subscription_identifiers_may_be_several() {
    let mut ids = PropertiesBuf::default();
    for id in [1, 127, 128, 268_435_455] {
        ids.push(
            PropertyId::SubscriptionIdentifier,
            Value::VariableByteInteger(id),
        )
        .unwrap();
    }
    let properties = ids.get();
    let text = "30 11 | 00 01 't' | 0C 0B 01 0B 7F 0B 80 01 0B FF FF FF 7F | 'x'";
    same(
        V5_0,
        text,
        &publish_with("t", b"x", |p| {
            p.properties = properties;
        }),
    );
    protocol_error(V5_0, "30 07 | 00 01 't' | 02 0B 00 | 'x'");
}

#[test]
fn properties_are_not_written_before_5_0() {
    let properties = Properties::parse(&[0x01, 1], ternmq_protocol::codec::Place::Publish).unwrap();
    let packet = publish_with("t", b"x", |p| {
        p.properties = properties;
    });
    for version in OLD {
        assert_eq!(written(&packet, version), bytes("30 04 | 00 01 't' | 'x'"));
    }
    // And what follows the topic is payload, whatever it looks like.
    let payload = publish("t", b"\x02\x01\x01x");
    same(V3_1_1, "30 07 | 00 01 't' | 02 01 01 'x'", &payload);
}

#[test]
fn lengths_at_the_borders_of_the_remaining_length() {
    for version in ALL {
        for around in [
            127, 128, 16_383, 16_384, 65_535, 65_536, 2_097_151, 2_097_152,
        ] {
            for len in around - 8..around + 3 {
                let payload = vec![0xA5; len];
                let packet = publish("t", &payload);
                let bytes = written(&packet, version);
                assert_eq!(read(&bytes, version), Ok(packet), "{version} {len}");
            }
        }
    }
}

// [MQTT-4.7.3-3] in MQTT 3.1.1 [MQTT-4.7.3-3]
#[test]
fn topics_of_up_to_65535_bytes() {
    let topic = "é/".repeat(21_845);
    assert_eq!(topic.len(), 65_535);
    for version in ALL {
        let longest = publish(&topic, b"x");
        let bytes = written(&longest, version);
        assert_eq!(read(&bytes, version), Ok(longest));
        let longer = format!("{topic}x");
        unwritable(version, &publish(&longer, b"x"));
    }
}

#[test]
fn a_long_form_of_the_remaining_length_before_5_0() {
    let packet = publish("t", b"x");
    means(V3_1_1, "30 84 80 00 | 00 01 't' | 'x'", &packet);
}
