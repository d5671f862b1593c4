//! CONNECT (3.1).

use crate::wire::{
    ALL, V3_1, V3_1_1, V5_0, bytes, malformed, packet, protocol_error, refused, same,
};
use crate::wire::{means, read, unwritable};
use ternmq_protocol::codec::{Connect, Packet, PropertiesBuf, PropertyId, QoS, Value, Will};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

fn connect<'a>(version: ProtocolVersion, client_id: &'a str) -> Connect<'a> {
    Connect::new(version, client_id)
}

// [MQTT-3.1.3-1] [MQTT-3.1.3-3] in MQTT 3.1.1 [MQTT-3.1.3-1] [MQTT-3.1.3-3]
#[test]
fn the_smallest_connects() {
    for (version, text) in [
        (V3_1, "10 0F | 00 06 'MQIsdp' 03 02 00 00 | 00 01 'c'"),
        (V3_1_1, "10 0D | 00 04 'MQTT' 04 02 00 00 | 00 01 'c'"),
        (V5_0, "10 0E | 00 04 'MQTT' 05 02 00 00 | 00 | 00 01 'c'"),
    ] {
        let mut smallest = connect(version, "c");
        // The version of the connection is not known before CONNECT: any will do.
        for assumed in ALL {
            same(assumed, text, &Packet::Connect(smallest));
        }
        smallest.client_id = "";
        smallest.clean_start = false;
        smallest.keep_alive = 0xABCD;
        let text = match version {
            V3_1 => "10 0E | 00 06 'MQIsdp' 03 00 AB CD | 00 00",
            V3_1_1 => "10 0C | 00 04 'MQTT' 04 00 AB CD | 00 00",
            V5_0 => "10 0D | 00 04 'MQTT' 05 00 AB CD | 00 | 00 00",
        };
        same(version, text, &Packet::Connect(smallest));
    }
}

// [MQTT-3.1.2-9] [MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.3-1] in MQTT 3.1.1 [MQTT-3.1.2-9]
// 3.1.1 [MQTT-3.1.2-19] [MQTT-3.1.2-21] [MQTT-3.1.3-1]
#[test]
fn connects_with_everything_in_them() {
    let will = Will {
        topic: "w/t",
        payload: b"\0\xFF",
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: Default::default(),
    };
    for (version, text) in [
        (
            V3_1,
            "10 21 | 00 06 'MQIsdp' 03 EE 00 0A | 00 01 'c' | 00 03 'w/t' 00 02 00 FF | 00 02 'me' | 00 03 'pw' 00",
        ),
        (
            V3_1_1,
            "10 1F | 00 04 'MQTT' 04 EE 00 0A | 00 01 'c' | 00 03 'w/t' 00 02 00 FF | 00 02 'me' | 00 03 'pw' 00",
        ),
        (
            V5_0,
            "10 21 | 00 04 'MQTT' 05 EE 00 0A | 00 | 00 01 'c' | 00 00 03 'w/t' 00 02 00 FF | 00 02 'me' | 00 03 'pw' 00",
        ),
    ] {
        let full = Connect {
            keep_alive: 10,
            will: Some(will),
            user_name: Some("me"),
            password: Some(b"pw\0"),
            ..connect(version, "c")
        };
        same(version, text, &Packet::Connect(full));
    }
}

// [MQTT-3.1.3-10]
#[test]
fn properties_of_connect_and_of_its_will() {
    let mut own = PropertiesBuf::default();
    own.push(
        PropertyId::SessionExpiryInterval,
        Value::FourByteInteger(10),
    )
    .and_then(|p| p.push(PropertyId::ReceiveMaximum, Value::TwoByteInteger(20)))
    .unwrap();
    let mut of_will = PropertiesBuf::default();
    of_will
        .push(PropertyId::UserProperty, Value::Utf8StringPair("b", "1"))
        .and_then(|p| p.push(PropertyId::UserProperty, Value::Utf8StringPair("a", "2")))
        .and_then(|p| p.push(PropertyId::WillDelayInterval, Value::FourByteInteger(5)))
        .unwrap();
    let packet = Packet::Connect(Connect {
        properties: own.get(),
        will: Some(Will {
            topic: "w",
            payload: b"",
            qos: QoS::ExactlyOnce,
            retain: false,
            properties: of_will.get(),
        }),
        ..connect(V5_0, "c")
    });
    same(
        V5_0,
        "10 2F | 00 04 'MQTT' 05 16 00 00 | 08 11 00 00 00 0A 21 00 14 | 00 01 'c'
         | 13 26 00 01 'b' 00 01 '1' 26 00 01 'a' 00 01 '2' 18 00 00 00 05 00 01 'w' 00 00",
        &packet,
    );
}

// [MQTT-3.1.2-1] [MQTT-3.1.2-2] in MQTT 3.1.1 [MQTT-3.1.2-1] [MQTT-3.1.2-2]
#[test]
fn unknown_protocol_names_and_levels() {
    let unsupported = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
    for (name, level) in [
        (&b"MQTT"[..], 0),
        (b"MQTT", 3),
        (b"MQTT", 6),
        (b"MQTT", 0x84),
        (b"MQTT", 0xFF),
        (b"MQIsdp", 2),
        (b"MQIsdp", 4),
        (b"MQIsdp", 5),
        (b"MQIsdp", 0x83),
        (b"mqtt", 4),
        (b"MQT", 4),
        (b"MQTTT", 4),
        (b"", 4),
        (b"\xFF\xFF", 5),
        (b"AMQP", 0),
    ] {
        let head = [&crate::wire::field(name)[..], &[level]].concat();
        for rest in [&b""[..], b"\x02\0\0\0\0", b"\xFF"] {
            // Nothing behind the level is looked at: its meaning is not known.
            let bytes = packet(0x10, &[&head, rest].concat());
            for version in ALL {
                refused(version, &bytes, unsupported);
            }
        }
    }
}

#[test]
fn the_version_of_the_answer() {
    for (body, version) in [
        ("00 06 'MQIsdp' 03", V3_1),
        ("00 04 'MQTT' 04", V3_1_1),
        ("00 04 'MQTT' 05", V5_0),
        // Known, and broken behind it.
        ("00 04 'MQTT' 05 FF FF", V5_0),
        // A version yet to come will know the form of 5.0 best.
        ("00 04 'MQTT' 06", V5_0),
        ("00 04 'MQTT' 7F", V5_0),
        // A bridge that asks for more than the standard: it waits for 0x01 in a CONNACK of two bytes.
        ("00 04 'MQTT' 84", V3_1_1),
        ("00 06 'MQIsdp' 83", V3_1_1),
        ("00 04 'MQTT' 00", V3_1_1),
        ("00 04 'MQTT' 03", V3_1_1),
        ("00 06 'MQIsdp' 05", V3_1_1),
        ("00 06 'MQIsdp' 06", V3_1_1),
        ("00 04 'AMQP' 07", V3_1_1),
        ("00 04 'MQTT'", V3_1_1),
        ("00 04 'MQ'", V3_1_1),
        ("", V3_1_1),
    ] {
        assert_eq!(Connect::answer_version(&bytes(body)), version, "{body}");
    }
}

#[test]
fn mqtt_3_1_may_leave_out_what_its_flags_announce() {
    // MQTT 3.1, section 3.1: the Remaining Length takes precedence over the flags.
    let full = Connect {
        user_name: Some("me"),
        ..connect(V3_1, "c")
    };
    let head = "00 06 'MQIsdp' 03 C2 00 00 | 00 01 'c'";
    means(
        V3_1,
        &format!("10 13 | {head} | 00 02 'me'"),
        &Packet::Connect(full),
    );
    let none = Packet::Connect(connect(V3_1, "c"));
    means(V3_1, &format!("10 0F | {head}"), &none);
    // Not half of it, and not in later versions.
    malformed(V3_1, &format!("10 11 | {head} | 00 02"));
    malformed(V3_1_1, "10 0D | 00 04 'MQTT' 04 C2 00 00 | 00 01 'c'");
    malformed(V5_0, "10 0E | 00 04 'MQTT' 05 C2 00 00 | 00 | 00 01 'c'");
}

#[test]
fn a_will_topic_is_a_topic_name_mqtt_4_7_0_1_mqtt_4_7_3_1() {
    for topic in ["#", "+", "a/#", "a/+", "a+b"] {
        let head = format!("00 01 'c' | 00 {:02X} '{topic}' 00 00", topic.len());
        let v4 = bytes(&format!("00 04 'MQTT' 04 06 00 00 | {head}"));
        refused(V3_1_1, &packet(0x10, &v4), ReasonCode::PROTOCOL_ERROR);
        let with_properties = head.replacen("'c' |", "'c' 00 |", 1);
        let v5 = bytes(&format!("00 04 'MQTT' 05 06 00 00 | 00 {with_properties}"));
        refused(V5_0, &packet(0x10, &v5), ReasonCode::PROTOCOL_ERROR);
        let will = Will {
            topic,
            payload: b"",
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Default::default(),
        };
        for version in ALL {
            let will = Some(will);
            unwritable(
                version,
                &Packet::Connect(Connect {
                    will,
                    ..connect(version, "c")
                }),
            );
        }
    }
    protocol_error(
        V3_1_1,
        "10 11 | 00 04 'MQTT' 04 06 00 00 | 00 01 'c' | 00 00 00 00",
    );
}

#[test]
fn authentication_data_needs_a_method() {
    // Section 3.1.2.11.10.
    protocol_error(
        V5_0,
        "10 12 | 00 04 'MQTT' 05 02 00 00 | 04 16 00 01 'd' | 00 01 'c'",
    );
    let text = "10 16 | 00 04 'MQTT' 05 02 00 00 | 08 16 00 01 'd' 15 00 01 'm' | 00 01 'c'";
    assert!(read(&bytes(text), V5_0).is_ok(), "in either order");
    let mut data = PropertiesBuf::default();
    data.push(PropertyId::AuthenticationData, Value::BinaryData(b"d"))
        .unwrap();
    let properties = data.get();
    unwritable(
        V5_0,
        &Packet::Connect(Connect {
            properties,
            ..connect(V5_0, "c")
        }),
    );
}

#[test]
fn fields_that_do_not_fit_are_not_written() {
    let (long, payload) = ("x".repeat(65_536), vec![0; 65_536]);
    let will = Will {
        topic: "w",
        payload: &payload,
        qos: QoS::AtMostOnce,
        retain: false,
        properties: Default::default(),
    };
    for version in ALL {
        let good = connect(version, "c");
        for bad in [
            connect(version, &long),
            connect(version, "nu\0ll"),
            Connect {
                user_name: Some(&long),
                ..good
            },
            Connect {
                user_name: Some("\0"),
                ..good
            },
            Connect {
                user_name: Some("u"),
                password: Some(&payload),
                ..good
            },
            Connect {
                will: Some(will),
                ..good
            },
            Connect {
                will: Some(Will {
                    topic: &long,
                    payload: b"",
                    ..will
                }),
                ..good
            },
        ] {
            unwritable(version, &Packet::Connect(bad));
        }
        // The longest that fit.
        let (long, payload) = (&long[1..], &payload[1..]);
        let fits = Connect {
            user_name: Some(long),
            password: Some(payload),
            will: Some(Will {
                topic: long,
                payload,
                ..will
            }),
            ..connect(version, long)
        };
        let bytes = crate::wire::written(&Packet::Connect(fits), version);
        assert_eq!(read(&bytes, version), Ok(Packet::Connect(fits)));
    }
}
