//! Messages that are published later.

use super::desk::{Delivered, Desk, Got, Q0, Q1, Q2, V3_1_1, V5_0};
use crate::broker::{ConnId, DelayedLimits, Topics};
use crate::codec::{Connect, Packet, PacketType, PropertiesBuf, PropertyId, Publish, Value, Will};
use crate::reason::ReasonCode;
use crate::time::Time;

fn desk(limits: DelayedLimits) -> Desk {
    Desk::with_topics(Topics {
        delayed: Some(limits),
        ..Topics::default()
    })
}

fn some(messages: usize, bytes: usize) -> DelayedLimits {
    DelayedLimits {
        messages,
        bytes,
        seconds: 1000,
    }
}

fn acks(desk: &mut Desk, conn: ConnId) -> Vec<ReasonCode> {
    let reason = |got| match got {
        Got::Ack(_, _, reason) => reason,
        other => panic!("no acknowledgement: {other:?}"),
    };
    desk.take_all(conn).into_iter().map(reason).collect()
}

#[test]
fn off_they_are_topics_like_others() {
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    desk.subscribe(conn, "$delayed/#", Q0);
    desk.publish(conn, "$delayed/5/a", "x", Q0, 0);
    assert_eq!(desk.messages(conn)[0].topic, "$delayed/5/a");
}

#[test]
fn a_message_is_acknowledged_at_once_and_published_in_time_with_all_it_has() {
    let mut desk = desk(DelayedLimits::default());
    let (from, to) = (desk.client(V5_0, "from"), desk.client(V5_0, "to"));
    desk.subscribe(to, "a/#", Q2);
    let mut properties = PropertiesBuf::default();
    let user = Value::Utf8StringPair("k", "v");
    properties.push(PropertyId::UserProperty, user).unwrap();
    properties.push_number(PropertyId::MessageExpiryInterval, 3);
    for (qos, id) in [(Q0, 0), (Q1, 1), (Q2, 2)] {
        let mut publish = Publish::new("$delayed/10/a/b", b"later");
        (publish.qos, publish.packet_id, publish.retain) = (qos, id, true);
        publish.properties = properties.get();
        desk.send(from, Packet::Publish(publish));
    }
    assert_eq!(acks(&mut desk, from), [ReasonCode::SUCCESS; 2]);
    desk.ack(from, PacketType::PubRel, 2);
    desk.cut(from);
    desk.wait(9_999);
    assert_eq!((desk.got(to).len(), desk.store.len()), (0, 0));
    assert_eq!(desk.stats().delayed, 3);
    assert!(desk.stats().delayed_bytes > 0);
    desk.wait(1);
    let got: Vec<Delivered> = desk.messages(to);
    let qos: Vec<_> = got.iter().map(|m| m.qos).collect();
    assert_eq!(qos, [Q0, Q1, Q2], "as they came");
    for message in &got {
        assert_eq!((&*message.topic, message.text()), ("a/b", "later"));
        // The expiry counts from the publication.
        let got = message.properties.get();
        assert_eq!(got.number(PropertyId::MessageExpiryInterval), Some(3));
        assert!(got.user_properties().eq([("k", "v")]));
    }
    assert_eq!(desk.store.len(), 1);
    let stats = desk.stats();
    assert_eq!((stats.delayed, stats.delayed_bytes), (0, 0));
    assert_eq!(stats.delayed_published, 3);
    assert_eq!(desk.shard.delayed().len(), 0);
    desk.check_books();
    desk.wait(2_999);
    let late = desk.client(V5_0, "late");
    desk.subscribe(late, "a/#", Q1);
    let left = desk.messages(late)[0]
        .properties
        .get()
        .number(PropertyId::MessageExpiryInterval);
    assert_eq!(left, Some(1), "kept from the publication on");
}

#[test]
fn they_come_in_the_order_of_their_times() {
    let mut desk = desk(DelayedLimits::default());
    let conn = desk.client(V3_1_1, "c");
    desk.subscribe(conn, "#", Q0);
    for (topic, text) in [
        ("$delayed/3/t", "c"),
        ("$delayed/1/t", "a"),
        ("$delayed/2/t", "b"),
        ("$delayed/3/t", "d"),
        ("$delayed/0/t", "0"),
    ] {
        desk.publish(conn, topic, text, Q0, 0);
    }
    desk.wait(5000);
    assert_eq!(desk.texts(conn), ["0", "a", "b", "c", "d"]);
}

#[test]
fn what_is_not_of_the_form_or_too_much_is_refused_and_counted() {
    let mut desk = desk(some(2, 1 << 20));
    let (v5, old) = (desk.client(V5_0, "v5"), desk.client(V3_1_1, "old"));
    for (topic, reason) in [
        ("$delayed/x/a", ReasonCode::TOPIC_NAME_INVALID),
        ("$delayed/5", ReasonCode::TOPIC_NAME_INVALID),
        ("$delayed/1001/a", ReasonCode::QUOTA_EXCEEDED),
        ("$delayed/1/$SYS/x", ReasonCode::NOT_AUTHORIZED),
        ("$delayed/1/a", ReasonCode::SUCCESS),
        ("$delayed/1/a", ReasonCode::SUCCESS),
        ("$delayed/1/a", ReasonCode::QUOTA_EXCEEDED),
    ] {
        for (qos, kind) in [(Q1, PacketType::PubAck), (Q2, PacketType::PubRec)] {
            if reason == ReasonCode::SUCCESS && qos == Q2 {
                continue;
            }
            desk.publish(v5, topic, "", qos, 7);
            assert_eq!(desk.take(v5), Got::Ack(kind, 7, reason), "{topic}");
        }
    }
    // Who can't be told is acknowledged; with QoS 0 nobody is told.
    let refused = desk.stats().publishes_refused.total();
    desk.publish(old, "$delayed/1/a", "", Q1, 7);
    desk.publish(old, "$delayed/1/a", "", Q2, 8);
    desk.publish(old, "$delayed/1/a", "", Q0, 0);
    assert_eq!(acks(&mut desk, old), [ReasonCode::SUCCESS; 2]);
    desk.ack(old, PacketType::PubRel, 8);
    assert_eq!(desk.stats().publishes_refused.total(), refused + 3);
    assert!(desk.stats().delayed_refused >= 3);
    // There is room again, and a bystander has seen nothing.
    desk.subscribe(v5, "a", Q0);
    desk.wait(1000);
    assert_eq!(desk.messages(v5).len(), 2);
    desk.publish(v5, "$delayed/1/a", "", Q1, 7);
    assert_eq!(acks(&mut desk, v5), [ReasonCode::SUCCESS]);
}

#[test]
fn bytes_are_limited_too() {
    let mut desk = desk(some(100, 2000));
    let conn = desk.client(V5_0, "c");
    let big = "x".repeat(900);
    for reason in [
        ReasonCode::SUCCESS,
        ReasonCode::SUCCESS,
        ReasonCode::QUOTA_EXCEEDED,
    ] {
        desk.publish(conn, "$delayed/9/a", &big, Q1, 7);
        assert_eq!(acks(&mut desk, conn), [reason]);
    }
    assert!(desk.stats().delayed_bytes <= 2000);
}

#[test]
fn a_will_may_be_delayed() {
    let mut desk = desk(some(1, 1 << 20));
    let to = desk.client(V5_0, "to");
    desk.subscribe(to, "w", Q0);
    let connect = |topic: &'static str| {
        let mut connect = Connect::new(V5_0, "from");
        connect.will = Some(Will {
            topic,
            payload: b"gone",
            qos: Q1,
            retain: false,
            properties: crate::codec::Properties::EMPTY,
        });
        connect
    };
    let from = desk.connect(connect("$delayed/5/w"));
    desk.cut(from);
    assert!(desk.got(to).is_empty());
    desk.wait(5000);
    assert_eq!(desk.texts(to), ["gone"]);
    let from = desk.connect(connect("$delayed/soon/w"));
    assert!(matches!(
        desk.take(from),
        Got::ConnAck {
            reason: ReasonCode::TOPIC_NAME_INVALID,
            ..
        }
    ));
}

/// Very many at one moment are spread, and nobody waits for all of them.
#[test]
fn a_crowd_is_published_in_parts() {
    let mut desk = desk(DelayedLimits::default());
    let conn = desk.client(V3_1_1, "c");
    for at in 0..1000 {
        desk.publish(conn, "$delayed/1/t", &at.to_string(), Q0, 0);
    }
    desk.subscribe(conn, "t", Q0);
    desk.wait(1000);
    assert_eq!(desk.got(conn).len(), 256);
    desk.wait(3);
    let all: Vec<String> = (0..1000).map(|at| at.to_string()).collect();
    assert_eq!(desk.texts(conn), all);
    desk.check_books();
}

#[test]
fn they_move_to_another_shard_with_their_times() {
    let mut old = desk(DelayedLimits::default());
    let conn = old.client(V5_0, "c");
    for (topic, text) in [("$delayed/20/t", "b"), ("$delayed/10/t", "a")] {
        old.publish(conn, topic, text, Q1, 1);
    }
    let kept: Vec<_> = old
        .shard
        .delayed()
        .map(|(due, m)| (due, m.clone()))
        .collect();
    assert_eq!(kept[0].0, old.now.after(10_000));
    let mut new = desk(some(2, 1 << 20));
    new.now = old.now.after(15_000);
    for (due, message) in kept.clone() {
        assert!(new.shard.insert_delayed(due, message));
    }
    assert!(
        !new.shard.insert_delayed(Time(0), kept[0].1.clone()),
        "full"
    );
    assert_eq!(new.stats().delayed_refused, 1);
    let conn = new.client(V5_0, "c");
    new.subscribe(conn, "t", Q0);
    new.wait(1);
    assert_eq!(new.texts(conn), ["a"], "overdue");
    new.wait(5000);
    assert_eq!(new.texts(conn), ["b"]);
    let mut off = Desk::new();
    assert!(!off.shard.insert_delayed(Time(0), kept[0].1.clone()));
}
