//! What waits for a client: in which order it is sent, and what is dropped when it becomes too much.

use super::desk::*;
use crate::broker::{ConnId, Priorities};
use crate::codec::{Packet, PacketType, PropertiesBuf, PropertyId, Publish, QoS};
use crate::session::queue::OverflowPolicy;

fn priorities() -> Priorities {
    Priorities {
        filters: vec![("alarm/#".into(), 9), ("log/#".into(), 1)],
        default: 5,
    }
}

fn publish_expiring(desk: &mut Desk, conn: ConnId, topic: &str, payload: &str, seconds: u32) {
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::MessageExpiryInterval, seconds);
    let mut publish = Publish::new(topic, payload.as_bytes());
    (publish.qos, publish.packet_id) = (Q1, 1);
    publish.properties = properties.get();
    desk.send(conn, Packet::Publish(publish));
    desk.take_all(conn);
}

/// A client that is away, subscribed to everything, and a publisher.
fn away(desk: &mut Desk) -> ConnId {
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "#", Q2);
    desk.cut(client);
    desk.client(V5_0, "p")
}

/// Publishes with QoS 1, the payload being the topic.
fn publish_all(desk: &mut Desk, publisher: ConnId, topics: &[&str]) {
    for topic in topics {
        desk.publish(publisher, topic, topic, Q1, 1);
    }
    desk.take_all(publisher);
    desk.check_books();
}

#[test]
fn higher_priorities_are_sent_first_and_each_in_its_order() {
    let mut desk = Desk::with(|limits| limits.priorities = priorities());
    let publisher = away(&mut desk);
    let topics = ["log/1", "x/1", "alarm/1", "log/2", "alarm/2", "x/2", "x/1"];
    publish_all(&mut desk, publisher, &topics);
    let (client, _) = desk.durable(V5_0, "c");
    let expected = ["alarm/1", "alarm/2", "x/1", "x/2", "x/1", "log/1", "log/2"];
    assert_eq!(desk.texts(client), expected);
    desk.check_books();
}

#[test]
fn without_priorities_the_order_is_that_of_arrival() {
    let mut desk = Desk::with(|limits| limits.priorities.default = 7);
    let publisher = away(&mut desk);
    let topics = ["log/1", "x/1", "alarm/1", "log/2"];
    publish_all(&mut desk, publisher, &topics);
    let (client, _) = desk.durable(V5_0, "c");
    assert_eq!(desk.texts(client), topics);
}

#[test]
fn a_full_window_holds_back_what_is_less_urgent() {
    let mut desk = Desk::with(|limits| {
        limits.priorities = priorities();
        limits.inflight = 1;
    });
    let client = desk.client(V5_0, "c");
    desk.subscribe(client, "#", Q2);
    let publisher = desk.client(V5_0, "p");
    publish_all(&mut desk, publisher, &["log/1", "log/2", "alarm/1", "x/1"]);
    let mut seen = Vec::new();
    while let Some(message) = desk.messages(client).pop() {
        seen.push(message.text().to_owned());
        desk.ack(client, PacketType::PubAck, message.id);
    }
    assert_eq!(seen, ["log/1", "alarm/1", "x/1", "log/2"]);
    desk.check_books();
}

#[test]
fn overflow_drops_the_lowest_priority_first() {
    for (policy, expected) in [
        (OverflowPolicy::DropNewest, ["alarm/1", "alarm/2", "x/1"]),
        (OverflowPolicy::DropOldest, ["alarm/1", "alarm/2", "x/2"]),
    ] {
        let mut desk = Desk::with(|limits| {
            limits.priorities = priorities();
            (limits.queue.items, limits.queue.policy) = (3, policy);
        });
        let publisher = away(&mut desk);
        let topics = ["x/1", "log/1", "alarm/1", "x/2", "log/2", "alarm/2"];
        publish_all(&mut desk, publisher, &topics);
        let dropped = &desk.stats().dropped;
        assert_eq!((dropped.queue_items, dropped.total()), (3, 3));
        let (client, _) = desk.durable(V5_0, "c");
        assert_eq!(desk.texts(client), expected, "{policy:?}");
        desk.check_books();
    }
}

#[test]
fn both_policies_keep_the_books_and_the_limits() {
    for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest] {
        for ranked in [false, true] {
            let mut desk = Desk::with(|limits| {
                (limits.queue.items, limits.queue.bytes) = (5, 1500);
                limits.queue.policy = policy;
                limits.queue_qos0_offline = true;
                limits.outbound_bytes = 100;
                if ranked {
                    limits.priorities = priorities();
                }
            });
            let (client, _) = desk.durable(V5_0, "c");
            desk.subscribe(client, "#", Q2);
            desk.stick(client, true);
            let publisher = desk.client(V3_1_1, "p");
            for n in 0..100usize {
                let topic = ["x", "log/1", "alarm/2"][n % 3];
                let qos = QoS::from_bits((n % 2) as u8).unwrap();
                let payload = "y".repeat(if n < 50 { 300 + n } else { n % 7 });
                desk.publish(publisher, topic, &payload, qos, (n % 2) as u16);
                desk.check_books();
                let info = desk.shard.client("c").unwrap();
                assert!(info.queued <= 5 && info.queued_bytes <= 1500);
            }
            let dropped = desk.stats().dropped.clone();
            assert!(dropped.queue_items > 0 && dropped.queue_bytes > 0);
            assert_eq!(dropped.total(), dropped.queue_items + dropped.queue_bytes);
            desk.stick(client, false);
            desk.send(client, Packet::PingReq);
            assert_eq!(desk.stats().queued, 0);
            let got = desk.take_all(client).into_iter();
            let published = got.filter(|got| matches!(got, Got::Publish(_))).count();
            assert_eq!(published as u64, 100 - dropped.total());
            desk.check_books();
        }
    }
}

// [MQTT-3.3.2-5]
#[test]
fn expired_messages_hold_no_places_in_a_full_queue() {
    for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest] {
        let mut desk = Desk::with(|limits| {
            (limits.queue.items, limits.queue.policy) = (4, policy);
        });
        let publisher = away(&mut desk);
        for n in 0..3 {
            publish_expiring(&mut desk, publisher, "t", &n.to_string(), 10);
        }
        publish_expiring(&mut desk, publisher, "t", "stays", 100);
        desk.wait(11_000);
        publish_all(&mut desk, publisher, &["a", "b", "c"]);
        let dropped = &desk.stats().dropped;
        assert_eq!((dropped.expired, dropped.total()), (3, 3));
        let (client, _) = desk.durable(V5_0, "c");
        assert_eq!(desk.texts(client), ["stays", "a", "b", "c"]);
    }
}
