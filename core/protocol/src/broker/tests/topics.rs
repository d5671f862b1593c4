//! What a server may leave out: announced, and refused with the right words.

use super::desk::{Desk, Got, Q0, Q1, Q2, V3_1_1, V5_0};
use crate::broker::{ConnId, Topics};
use crate::codec::{
    Connect, Packet, PropertiesBuf, PropertyId, Publish, QoS, SubscriptionOptions, Value, Will,
};
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;

fn desk(change: impl FnOnce(&mut Topics)) -> Desk {
    let mut topics = Topics::default();
    change(&mut topics);
    Desk::with_topics(topics)
}

fn properties(desk: &mut Desk, conn: ConnId) -> PropertiesBuf {
    match desk.take(conn) {
        Got::ConnAck {
            reason: ReasonCode::SUCCESS,
            properties,
            ..
        } => properties,
        other => panic!("no CONNACK that accepts: {other:?}"),
    }
}

fn with_will(
    desk: &mut Desk,
    version: ProtocolVersion,
    will: Will<'_>,
) -> (ConnId, Option<ReasonCode>) {
    let mut connect = Connect::new(version, "willing");
    connect.will = Some(will);
    let conn = desk.connect(connect);
    let reason = match desk.take_all(conn).first() {
        Some(Got::ConnAck { reason, .. }) => Some(*reason),
        _ => None,
    };
    (conn, reason)
}

fn will(qos: QoS, retain: bool) -> Will<'static> {
    Will {
        topic: "will",
        payload: b"gone",
        qos,
        retain,
        properties: crate::codec::Properties::EMPTY,
    }
}

/// What the client got that ends the connection.
fn goodbye(desk: &mut Desk, conn: ConnId) -> ReasonCode {
    assert!(!desk.is_open(conn));
    match desk.take_all(conn).last() {
        Some(Got::Disconnect(reason)) => *reason,
        other => panic!("no DISCONNECT but {other:?}"),
    }
}

// [MQTT-3.2.2-9]
#[test]
fn what_is_not_offered_is_announced_and_nothing_else() {
    let ids = [
        PropertyId::MaximumQoS,
        PropertyId::RetainAvailable,
        PropertyId::WildcardSubscriptionAvailable,
        PropertyId::SubscriptionIdentifierAvailable,
    ];
    let mut full = desk(|_| ());
    let conn = full.connect(Connect::new(V5_0, "c"));
    let said = properties(&mut full, conn);
    assert!(ids.iter().all(|id| said.get().number(*id).is_none()));
    for (qos, announced) in [(Q0, 0), (Q1, 1)] {
        let mut poor = desk(|topics| {
            topics.maximum_qos = qos;
            topics.retain_available = false;
            topics.wildcard_subscriptions = false;
            topics.subscription_identifiers = false;
        });
        let conn = poor.connect(Connect::new(V5_0, "c"));
        let said = properties(&mut poor, conn);
        let numbers = ids.map(|id| said.get().number(id));
        assert_eq!(numbers, [Some(announced), Some(0), Some(0), Some(0)]);
        let old = poor.connect(Connect::new(V3_1_1, "o"));
        assert!(properties(&mut poor, old).is_empty());
    }
}

// [MQTT-3.2.2-10] [MQTT-3.8.4-8]
#[test]
fn subscriptions_are_granted_the_maximum_qos_and_publishing_above_it_ends_the_connection() {
    let mut desk = desk(|topics| topics.maximum_qos = Q1);
    let (v5, old) = (desk.client(V5_0, "v5"), desk.client(V3_1_1, "old"));
    for conn in [v5, old] {
        let granted = [Q0, Q1, Q2].map(|qos| desk.subscribe(conn, "a", qos));
        assert_eq!(granted, [0, 1, 1]);
    }
    // A client that can't know is served: its exchange as it began, the delivery with less.
    desk.publish(old, "a", "x", Q2, 3);
    let got = desk.take_all(v5);
    assert!(
        matches!(&got[..], [Got::Publish(m)] if m.qos == Q1),
        "{got:?}"
    );
    desk.publish(v5, "a", "y", Q2, 3);
    assert_eq!(goodbye(&mut desk, v5), ReasonCode::QOS_NOT_SUPPORTED);
    assert!(desk.is_open(old));
    desk.check_books();
}

// [MQTT-3.2.2-12] [MQTT-3.2.2-13]
#[test]
fn a_will_that_could_not_be_published_is_refused() {
    for (qos, retain, refused) in [
        (Q0, false, None),
        (Q1, false, Some(ReasonCode::QOS_NOT_SUPPORTED)),
        (Q0, true, Some(ReasonCode::RETAIN_NOT_SUPPORTED)),
    ] {
        let mut desk = desk(|topics| {
            topics.maximum_qos = Q0;
            topics.retain_available = false;
        });
        let (conn, reason) = with_will(&mut desk, V5_0, will(qos, retain));
        assert_eq!(reason, Some(refused.unwrap_or(ReasonCode::SUCCESS)));
        assert_eq!(desk.is_open(conn), refused.is_none());
        // Who can't know gets in, and its will is published without being kept.
        let (conn, reason) = with_will(&mut desk, V3_1_1, will(qos, retain));
        assert_eq!(reason, Some(ReasonCode::SUCCESS));
        desk.cut(conn);
        assert_eq!(
            (desk.store.len(), desk.stats().wills),
            (0, 1 + u64::from(refused.is_none()))
        );
    }
}

#[test]
fn without_retained_messages_nothing_is_kept() {
    let mut desk = desk(|topics| topics.retain_available = false);
    let (v5, old) = (desk.client(V5_0, "v5"), desk.client(V3_1_1, "old"));
    desk.subscribe(v5, "a", Q0);
    desk.retain(old, "a", "x");
    assert_eq!(desk.texts(v5), ["x"]);
    assert_eq!(desk.store.len(), 0);
    desk.retain(v5, "a", "y");
    assert_eq!(goodbye(&mut desk, v5), ReasonCode::RETAIN_NOT_SUPPORTED);
    assert!(desk.is_open(old));
}

// in MQTT 3.1.1 [MQTT-3.8.3-2]
#[test]
fn filters_and_identifiers_that_are_not_offered_end_the_connection_of_who_was_told() {
    let poor = |topics: &mut Topics| {
        topics.wildcard_subscriptions = false;
        topics.subscription_identifiers = false;
    };
    let options = SubscriptionOptions::default();
    for filter in ["#", "a/+"] {
        let mut desk = desk(poor);
        let (v5, old) = (desk.client(V5_0, "v5"), desk.client(V3_1_1, "old"));
        assert_eq!(desk.subscribe(v5, "a/b", Q1), 1);
        let none = crate::codec::Properties::EMPTY;
        let codes = desk.subscribe_with(old, &[(filter, options), ("a", options)], none);
        assert_eq!(codes, [0x80, 0]);
        let requests = [(filter, options)];
        let subscribe = crate::codec::Subscribe::new(1, none, &requests);
        desk.send(v5, Packet::Subscribe(subscribe));
        let reason = goodbye(&mut desk, v5);
        assert_eq!(reason, ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED);
    }
    let mut desk = desk(poor);
    let v5 = desk.client(V5_0, "v5");
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SubscriptionIdentifier, 7);
    let requests = [("a", options)];
    let subscribe = crate::codec::Subscribe::new(1, properties.get(), &requests);
    desk.send(v5, Packet::Subscribe(subscribe));
    let reason = goodbye(&mut desk, v5);
    assert_eq!(reason, ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED);
}

// [MQTT-3.1.2-28]
// [MQTT-3.1.2-28]
#[test]
fn response_information_goes_to_who_asks_for_it() {
    let mut desk = desk(|topics| {
        topics.response_information = Some("answers/${clientid}".parse().unwrap());
    });
    for (client, asks, told) in [
        ("c", Some(1), Some("answers/c")),
        ("c", Some(0), None),
        ("c", None, None),
        ("a/b", Some(1), None),
        ("#", Some(1), None),
    ] {
        let mut wishes = PropertiesBuf::default();
        if let Some(asks) = asks {
            wishes.push_number(PropertyId::RequestResponseInformation, asks);
        }
        let mut connect = Connect::new(V5_0, client);
        connect.properties = wishes.get();
        let conn = desk.connect(connect);
        let said = properties(&mut desk, conn);
        let text = said.get().text(PropertyId::ResponseInformation);
        assert_eq!(text, told, "{client} {asks:?}");
    }
}

// [MQTT-4.3.3-9]
#[test]
fn a_payload_is_text_where_it_is_said_to_be_and_checked() {
    let mut format = PropertiesBuf::default();
    format.push_number(PropertyId::PayloadFormatIndicator, 1);
    let publish = |desk: &mut Desk, conn, qos, id, payload: &[u8]| {
        let mut publish = Publish::new("a", payload);
        (publish.qos, publish.packet_id) = (qos, id);
        publish.properties = format.get();
        desk.send(conn, Packet::Publish(publish));
    };
    let mut lax = desk(|_| ());
    let conn = lax.client(V5_0, "c");
    lax.subscribe(conn, "a", Q0);
    publish(&mut lax, conn, Q0, 0, b"\xFF");
    assert_eq!(lax.messages(conn).len(), 1);

    let mut desk = desk(|topics| topics.check_payload_format = true);
    let conn = desk.client(V5_0, "c");
    desk.subscribe(conn, "a", Q0);
    publish(&mut desk, conn, Q0, 0, b"\xFF");
    publish(&mut desk, conn, Q1, 1, b"\xFF");
    publish(&mut desk, conn, Q2, 2, b"\xFF");
    let reasons: Vec<Got> = desk.take_all(conn);
    let invalid = ReasonCode::PAYLOAD_FORMAT_INVALID;
    assert_eq!(
        reasons,
        [
            Got::Ack(crate::codec::PacketType::PubAck, 1, invalid),
            Got::Ack(crate::codec::PacketType::PubRec, 2, invalid)
        ]
    );
    assert_eq!(desk.stats().publishes_refused.payload_format, 3);
    // The identifier is free again, and text passes.
    publish(&mut desk, conn, Q2, 2, "ü".as_bytes());
    assert_eq!(desk.take_all(conn).len(), 2);
    assert_eq!(desk.stats().received_again, 0);
    let mut broken = will(Q0, false);
    broken.payload = b"\xFF";
    broken.properties = format.get();
    let (_, reason) = with_will(&mut desk, V5_0, broken);
    assert_eq!(reason, Some(invalid));
}

// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn properties_of_a_message_pass_as_they_came() {
    let mut desk = desk(|topics| topics.check_payload_format = true);
    let (from, to) = (desk.client(V5_0, "from"), desk.client(V5_0, "to"));
    desk.subscribe(to, "a", Q2);
    let mut sent = PropertiesBuf::default();
    for (id, value) in [
        (PropertyId::UserProperty, Value::Utf8StringPair("z", "1")),
        (PropertyId::PayloadFormatIndicator, Value::Byte(1)),
        (PropertyId::ContentType, Value::Utf8String("text/plain")),
        (PropertyId::UserProperty, Value::Utf8StringPair("a", "2")),
        (PropertyId::ResponseTopic, Value::Utf8String("r/1")),
        (PropertyId::CorrelationData, Value::BinaryData(b"\0\xFF")),
        (PropertyId::UserProperty, Value::Utf8StringPair("z", "1")),
    ] {
        sent.push(id, value).unwrap();
    }
    for qos in [Q0, Q1, Q2] {
        let mut publish = Publish::new("a", b"text");
        (publish.qos, publish.packet_id) = (qos, u16::from(qos != Q0));
        publish.properties = sent.get();
        desk.send(from, Packet::Publish(publish));
        assert_eq!(desk.messages(to)[0].properties, sent);
    }
}
