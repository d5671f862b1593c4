//! Messages: from a PUBLISH, through a broker, to a PUBLISH of any version.
#![forbid(unsafe_code)]

use ternmq_protocol::ProtocolVersion::{V3_1, V3_1_1, V5_0};
use ternmq_protocol::codec::{
    MAX_PACKET_SIZE, Packet, Place, Properties, PropertiesBuf, PropertyId, Publish, QoS, Split,
    Value, split,
};
use ternmq_protocol::message::{Delivery, Message, Origin, TopicAlias};
use ternmq_protocol::{EncodeError, ProtocolVersion, Time};

const ALL: [ProtocolVersion; 3] = [V3_1, V3_1_1, V5_0];

fn decode(bytes: &[u8], version: ProtocolVersion) -> Publish<'_> {
    let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
        panic!("not a frame");
    };
    assert_eq!(frame.len, bytes.len());
    match Packet::decode(frame, version) {
        Ok(Packet::Publish(publish)) => publish,
        other => panic!("not a PUBLISH: {other:?}"),
    }
}

fn wire(version: ProtocolVersion, publish: Publish<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    Packet::Publish(publish).encode(version, &mut out).unwrap();
    out
}

fn delivered(message: &Message, version: ProtocolVersion, delivery: &Delivery<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.write_publish_head(version, delivery, &mut out);
    out.extend_from_slice(message.payload());
    assert_eq!(out.len(), message.publish_len(version, delivery));
    out
}

fn received(publish: &Publish<'_>, topic: &str) -> Message {
    Message::from_publish(publish, topic, Time(1000), Origin(7), &mut Vec::new())
}

/// Everything a PUBLISH may carry, some of it several times.
fn everything() -> PropertiesBuf {
    let mut buf = PropertiesBuf::default();
    let pair = |k, v| (PropertyId::UserProperty, Value::Utf8StringPair(k, v));
    for (id, value) in [
        pair("b", "1"),
        (PropertyId::MessageExpiryInterval, Value::FourByteInteger(9)),
        (PropertyId::PayloadFormatIndicator, Value::Byte(1)),
        (PropertyId::TopicAlias, Value::TwoByteInteger(3)),
        (PropertyId::ResponseTopic, Value::Utf8String("r/t")),
        pair("a", "2"),
        (
            PropertyId::SubscriptionIdentifier,
            Value::VariableByteInteger(300),
        ),
        (PropertyId::CorrelationData, Value::BinaryData(b"\0\xFF")),
        (
            PropertyId::SubscriptionIdentifier,
            Value::VariableByteInteger(1),
        ),
        (PropertyId::ContentType, Value::Utf8String("x")),
        pair("b", "1"),
    ] {
        buf.push(id, value).unwrap();
    }
    buf
}

/// What of that goes on to a subscriber, in the order it came.
fn what_travels() -> PropertiesBuf {
    let mut buf = everything();
    buf.retain(|p| !matches!(p.id as u8, 0x02 | 0x0B | 0x23));
    buf
}

// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn properties_go_on_unaltered_and_in_their_order() {
    let (all, travelling) = (everything(), what_travels());
    for (topic, properties) in [
        ("a/b", all.get()),
        ("", all.get()),
        ("a/b", travelling.get()),
    ] {
        let mut publish = Publish::new(topic, b"payload");
        publish.properties = properties;
        let bytes = wire(V5_0, publish);
        let message = received(&decode(&bytes, V5_0), "a/b");
        let made = Message::new(
            "a/b",
            b"payload",
            QoS::AtMostOnce,
            false,
            properties,
            Time(0),
        );
        for message in [message, made.unwrap()] {
            assert_eq!(message.properties(), travelling.get());
            let bytes = delivered(&message, V5_0, &Delivery::default());
            let publish = decode(&bytes, V5_0);
            assert_eq!((publish.topic, publish.payload), ("a/b", &b"payload"[..]));
            assert_eq!(publish.properties, travelling.get());
            let bytes = delivered(&message, V3_1_1, &Delivery::default());
            assert_eq!(bytes, b"\x30\x0C\0\x03a/bpayload");
        }
    }
}

// [MQTT-3.3.1-3] in MQTT 3.1.1 [MQTT-3.3.1-3]
#[test]
fn flags_and_packet_identifier_are_those_of_the_delivery() {
    for from in ALL {
        let mut publish = Publish::new("t", b"x");
        (publish.dup, publish.retain) = (true, true);
        (publish.qos, publish.packet_id) = (QoS::ExactlyOnce, 0xABCD);
        let bytes = wire(from, publish);
        let message = received(&decode(&bytes, from), "t");
        assert_eq!((message.qos(), message.retain()), (QoS::ExactlyOnce, true));
        assert_eq!(message.origin(), Origin(7));
        for to in ALL {
            let plain = delivered(&message, to, &Delivery::default());
            let publish = decode(&plain, to);
            assert_eq!(
                (publish.dup, publish.retain, publish.packet_id),
                (false, false, 0)
            );
            let delivery = Delivery {
                dup: true,
                qos: QoS::AtLeastOnce,
                retain: true,
                packet_id: 5,
                ..Delivery::default()
            };
            let bytes = delivered(&message, to, &delivery);
            let publish = decode(&bytes, to);
            assert_eq!(
                (publish.dup, publish.retain, publish.packet_id),
                (true, true, 5)
            );
            assert_eq!((publish.topic, publish.payload), ("t", &b"x"[..]));
        }
    }
}

// [MQTT-3.3.2-6] [MQTT-3.3.4-3]
#[test]
fn what_belongs_to_a_delivery_is_written_for_it() {
    let message = received(
        &decode(&wire(V3_1_1, Publish::new("a/b", b"x")), V3_1_1),
        "a/b",
    );
    for (alias, topic) in [
        (None, "a/b"),
        (Some((2, true)), "a/b"),
        (Some((2, false)), ""),
    ] {
        let delivery = Delivery {
            subscription_ids: &[268_435_455, 1, 128],
            expiry: Some(77),
            topic_alias: alias.map(|(number, with_topic)| TopicAlias { number, with_topic }),
            ..Delivery::default()
        };
        let bytes = delivered(&message, V5_0, &delivery);
        let publish = decode(&bytes, V5_0);
        assert_eq!((publish.topic, publish.payload), (topic, &b"x"[..]));
        let number = |id| publish.properties.number(id);
        assert_eq!(number(PropertyId::MessageExpiryInterval), Some(77));
        assert_eq!(number(PropertyId::TopicAlias), alias.map(|(n, _)| n.into()));
        let ids: Vec<_> = publish
            .properties
            .iter()
            .filter(|p| p.id == PropertyId::SubscriptionIdentifier)
            .map(|p| p.value)
            .collect();
        assert_eq!(ids, [268_435_455, 1, 128].map(Value::VariableByteInteger));
        Properties::parse(publish.properties.as_bytes(), Place::Publish).unwrap();
    }
}

// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn the_expiry_counts_from_when_the_message_came() {
    let all = everything();
    let mut publish = Publish::new("t", b"x");
    publish.properties = all.get();
    let message = received(&decode(&wire(V5_0, publish), V5_0), "t");
    assert_eq!(message.expires(), Time(10_000));
    for (now, left) in [(1000, 9), (1001, 9), (2000, 8), (9999, 1), (10_000, 0)] {
        assert_eq!(message.expiry_left(Time(now)), Some(left));
        assert_eq!(message.is_expired(Time(now)), now >= 10_000);
    }
    let message = received(&decode(&wire(V3_1_1, Publish::new("t", b"")), V3_1_1), "t");
    assert_eq!(message.expires(), Time::NEVER);
    assert_eq!(message.expiry_left(Time(5)), None);
    assert!(!message.is_expired(Time(u64::MAX - 1)));
}

#[test]
fn a_field_replaced_after_decoding_counts() {
    let properties = what_travels();
    let mut sent = Publish::new("a/b", b"old");
    sent.properties = properties.get();
    let bytes = wire(V5_0, sent);
    let decoded = decode(&bytes, V5_0);
    let other = {
        let mut buf = PropertiesBuf::default();
        buf.push(PropertyId::ContentType, Value::Utf8String("other"))
            .unwrap();
        buf
    };
    let (own, none, old) = (decoded.properties, Properties::EMPTY, decoded.payload);
    for (topic, properties, payload) in [
        ("a/c", own, old),
        ("a/b/c", own, old),
        ("a", own, old),
        ("a/b", other.get(), old),
        ("a/b", none, old),
        ("a/b", own, &b"another"[..]),
        ("a/b", none, b"another"),
        ("a/b", own, b""),
        ("a/b", none, b""),
        ("a/b", own, &old[..2]),
        ("a/b", own, &old[1..]),
    ] {
        let mut changed = decoded;
        (changed.topic, changed.properties, changed.payload) = (topic, properties, payload);
        let message = received(&changed, topic);
        assert_eq!(message.topic(), topic);
        assert_eq!(message.properties(), properties);
        assert_eq!(message.payload(), payload);
        let bytes = delivered(&message, V5_0, &Delivery::default());
        let publish = decode(&bytes, V5_0);
        assert_eq!((publish.topic, publish.payload), (topic, payload));
        assert_eq!(publish.properties, properties);
        // A broker that only maps the name leaves the packet alone.
        let mapped = received(&decoded, "elsewhere");
        assert_eq!(
            (mapped.topic(), mapped.payload()),
            ("elsewhere", &b"old"[..])
        );
    }
}

#[test]
fn topics_and_payloads_of_all_sizes() {
    let topic = "t".repeat(65_535);
    for version in ALL {
        for name in ["t", &topic[..200], &topic] {
            for around in [0usize, 127, 128, 16_383, 16_384, 65_536, 2_097_152] {
                for len in [around, around + 1, around.saturating_sub(name.len() + 3)] {
                    let payload = vec![7; len];
                    let bytes = wire(version, Publish::new(name, &payload));
                    let message = received(&decode(&bytes, version), name);
                    assert_eq!(delivered(&message, version, &Delivery::default()), bytes);
                    let none = Properties::EMPTY;
                    let made = Message::new(name, &payload, QoS::AtMostOnce, false, none, Time(0))
                        .unwrap();
                    assert_eq!(delivered(&made, version, &Delivery::default()), bytes);
                }
            }
        }
    }
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25] for the length that the sessions compare
#[test]
fn a_message_near_the_end_of_what_mqtt_can_express() {
    // Topic length, topic and payload make 268,435,455 bytes: all that a 3.1.1 packet can hold.
    let payload = vec![0; 268_435_455 - 3];
    let bytes = wire(V3_1_1, Publish::new("t", &payload));
    assert_eq!(bytes.len(), MAX_PACKET_SIZE as usize);
    drop(payload);
    let message = received(&decode(&bytes, V3_1_1), "t");
    let delivery = Delivery::default();
    let len = message.publish_len(V3_1_1, &delivery);
    assert_eq!(len, MAX_PACKET_SIZE as usize);
    // With a packet identifier or properties it fits no more, and its length says so.
    let with_id = Delivery {
        qos: QoS::AtLeastOnce,
        packet_id: 1,
        ..delivery
    };
    assert!(message.publish_len(V3_1_1, &with_id) > MAX_PACKET_SIZE as usize);
    assert!(message.publish_len(V5_0, &delivery) > MAX_PACKET_SIZE as usize);
}

// [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3] [MQTT-3.3.2-2] [MQTT-3.3.2-14]
#[test]
fn what_can_not_be_published_is_no_message() {
    let make = |topic: &str, properties| {
        let qos = QoS::AtMostOnce;
        Message::new(topic, b"x", qos, false, properties, Time(0)).map(drop)
    };
    for topic in ["", "#", "a/+", "a\0b", &"x".repeat(65_536)] {
        let refused = make(topic, Properties::EMPTY);
        assert!(
            matches!(refused, Err(EncodeError::Invalid(_))),
            "{topic:.9}"
        );
    }
    let mut twice = PropertiesBuf::default();
    for _ in 0..2 {
        let text = Value::Utf8String("c");
        twice.push(PropertyId::ContentType, text).unwrap();
    }
    assert!(make("t", twice.get()).is_err());
    let mut elsewhere = PropertiesBuf::default();
    let seconds = Value::FourByteInteger(1);
    elsewhere
        .push(PropertyId::SessionExpiryInterval, seconds)
        .unwrap();
    assert!(make("t", elsewhere.get()).is_err());
}

#[test]
fn what_a_version_does_not_have_is_left_out() {
    let message = Message::new(
        "t",
        b"x",
        QoS::AtMostOnce,
        false,
        what_travels().get(),
        Time(0),
    );
    let message = message.unwrap();
    let delivery = Delivery {
        subscription_ids: &[1],
        expiry: Some(1),
        topic_alias: Some(TopicAlias {
            number: 1,
            with_topic: false,
        }),
        ..Delivery::default()
    };
    for version in [V3_1, V3_1_1] {
        assert_eq!(delivered(&message, version, &delivery), b"\x30\x04\0\x01tx");
    }
}

#[test]
fn a_message_is_a_pointer_of_eight_bytes() {
    assert_eq!(size_of::<Message>(), 8);
    assert_eq!(size_of::<Option<Message>>(), 8);
}
