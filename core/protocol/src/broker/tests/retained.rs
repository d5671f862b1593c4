//! Retained messages: kept, replaced, removed, sent to new subscriptions as they can take them.

use super::desk::*;
use crate::codec::subscribe::{RetainHandling, SubscriptionOptions};
use crate::codec::{Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish};

// [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] in MQTT 3.1.1 [MQTT-3.3.1-10] [MQTT-3.3.1-11]
// 3.1.1 [MQTT-3.3.1-5] [MQTT-3.3.1-12]
#[test]
fn the_last_one_of_each_topic_is_kept() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let client = desk.client(version, "c");
        desk.retain(client, "a", "1");
        desk.retain(client, "a", "2");
        desk.publish(client, "a", "not kept", Q0, 0);
        desk.retain(client, "b", "3");
        desk.subscribe(client, "b", Q0);
        desk.take_all(client);
        desk.retain(client, "b", "");
        let got = desk.messages(client);
        assert_eq!(
            (got.len(), got[0].payload.len(), got[0].retain),
            (1, 0, false)
        );
        assert_eq!(desk.store.len(), 1);
        let new = desk.client(version, "n");
        desk.subscribe(new, "#", Q1);
        let got = desk.messages(new);
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].text(), got[0].retain, got[0].qos), ("2", true, Q0));
        assert_eq!(desk.stats().retained, 2);
        desk.check_books();
    }
}

// [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4] in MQTT 3.1.1 [MQTT-3.3.1-6] [MQTT-3.3.1-8] [MQTT-3.8.4-3]
#[test]
fn retain_handling_says_when_they_are_sent() {
    use RetainHandling::*;
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.retain(client, "t", "x");
    for (retain_handling, new, again) in [
        (SendAtSubscribe, 1, 1),
        (SendIfNew, 1, 0),
        (DoNotSend, 0, 0),
    ] {
        let options = SubscriptionOptions {
            retain_handling,
            ..SubscriptionOptions::default()
        };
        for expected in [new, again] {
            desk.subscribe_with(client, &[("t", options)], Properties::EMPTY);
            assert_eq!(desk.messages(client).len(), expected, "{retain_handling:?}");
        }
        desk.unsubscribe(client, &["t"]);
    }
    let old = desk.client(V3_1_1, "o");
    for _ in 0..2 {
        desk.subscribe(old, "t", Q0);
        assert_eq!(desk.messages(old).len(), 1);
    }
}

#[test]
fn they_carry_identifier_qos_and_what_is_left_of_their_life() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::MessageExpiryInterval, 60);
    let mut publish = Publish::new("t", b"x");
    (publish.qos, publish.packet_id, publish.retain) = (Q2, 1, true);
    publish.properties = properties.get();
    desk.send(client, Packet::Publish(publish));
    desk.take_all(client);
    desk.wait(20_500);
    let mut id = PropertiesBuf::default();
    id.push_number(PropertyId::SubscriptionIdentifier, 9);
    let options = SubscriptionOptions {
        qos: Q1,
        ..SubscriptionOptions::default()
    };
    desk.subscribe_with(client, &[("#", options)], id.get());
    let got = desk.messages(client);
    assert_eq!((got[0].qos, got[0].retain), (Q1, true));
    assert_eq!(got[0].subscription_ids(), [9]);
    let left = got[0]
        .properties
        .get()
        .number(PropertyId::MessageExpiryInterval);
    assert_eq!(left, Some(40));
    desk.wait(40_000);
    desk.subscribe(client, "t", Q1);
    assert!(desk.messages(client).is_empty(), "expired");
}

#[test]
fn many_are_sent_page_by_page_as_the_client_reads_and_acknowledges() {
    for qos in [Q0, Q1] {
        let mut desk = Desk::with(|limits| {
            (limits.retained_page, limits.outbound_bytes, limits.inflight) = (7, 300, 10);
        });
        let publisher = desk.client(V3_1_1, "p");
        for n in 0..500 {
            let mut publish = Publish::new("", b"0123456789");
            let topic = format!("t/{n:03}");
            (publish.topic, publish.retain) = (&topic, true);
            (publish.qos, publish.packet_id) = (qos, u16::from(qos == Q1));
            desk.send(publisher, Packet::Publish(publish));
        }
        let client = desk.client(V3_1_1, "c");
        desk.stick(client, true);
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        let requests = [("t/#", options)];
        let packet = crate::codec::Subscribe::new(9, Properties::EMPTY, &requests);
        desk.send(client, Packet::Subscribe(packet));
        let held = desk.stats().sent() + desk.stats().queued;
        assert!(
            held < 40,
            "the client does not read, and {held} are on their way"
        );
        desk.stick(client, false);
        desk.take(client);
        let mut topics = Vec::new();
        loop {
            let got = desk.messages(client);
            if got.is_empty() {
                break;
            }
            assert!(qos == Q0 || got.len() <= 10);
            for message in got {
                if qos == Q1 {
                    desk.ack(client, PacketType::PubAck, message.id);
                }
                topics.push(message.topic);
            }
        }
        assert_eq!(topics.len(), 500);
        assert!(topics.is_sorted());
        assert_eq!(desk.stats().queued, 0);
        desk.check_books();
    }
}

#[test]
fn a_replay_goes_on_after_a_reconnection_and_ends_with_its_subscription() {
    let mut desk = Desk::with(|limits| (limits.retained_page, limits.inflight) = (2, 2));
    let publisher = desk.client(V3_1_1, "p");
    for n in 0..20 {
        let topic = format!("t/{n:02}");
        let mut publish = Publish::new(&topic, b"x");
        (publish.qos, publish.packet_id, publish.retain) = (Q1, 1, true);
        desk.send(publisher, Packet::Publish(publish));
    }
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "t/#", Q1);
    assert_eq!(desk.messages(client).len(), 2);
    desk.cut(client);
    let (client, present) = desk.durable(V5_0, "c");
    assert!(present);
    let mut topics = std::collections::BTreeSet::new();
    while topics.len() < 10 {
        for message in desk.messages(client) {
            topics.insert(message.topic.clone());
            desk.ack(client, PacketType::PubAck, message.id);
        }
    }
    let on_the_way = desk.stats().queued;
    desk.send(
        client,
        Packet::Unsubscribe(crate::codec::Unsubscribe::new(
            1,
            Properties::EMPTY,
            &["t/#"],
        )),
    );
    let mut more = 0;
    loop {
        let got = desk.take_all(client);
        if got.is_empty() {
            break;
        }
        for got in got {
            if let Got::Publish(message) = got {
                desk.ack(client, PacketType::PubAck, message.id);
                more += 1;
            }
        }
    }
    assert!(more <= 2 + on_the_way, "{more}");
    desk.check_books();
}

#[test]
fn subscriptions_made_anew_while_retained_messages_are_due_get_them_once_and_in_their_new_order() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    for topic in ["a", "b", "c"] {
        desk.retain(client, topic, "x");
    }
    let options = SubscriptionOptions::default();
    let packet = ["a", "b", "c", "a", "b"].map(|filter| (filter, options));
    desk.subscribe_with(client, &packet, Properties::EMPTY);
    let got = desk.messages(client);
    let topics: Vec<&str> = got.iter().map(|message| &*message.topic).collect();
    assert_eq!(topics, ["c", "a", "b"]);
}

/// Each of them once cost a walk over all others of the packet: minutes in which nobody else was
/// served.
#[test]
fn a_hundred_thousand_subscriptions_may_be_made_anew_or_ended_in_one_packet() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.retain(client, "t/99999", "x");
    let filters: Vec<String> = (0..100_000).map(|n| format!("t/{n}")).collect();
    let options = SubscriptionOptions::default();
    let twice = filters.iter().chain(&filters);
    let packet: Vec<_> = twice.map(|filter| (&**filter, options)).collect();
    let codes = desk.subscribe_with(client, &packet, Properties::EMPTY);
    assert_eq!(
        (codes.len(), desk.shard.subscriptions()),
        (200_000, 100_000)
    );
    assert_eq!(desk.messages(client).len(), 1);
    let filters: Vec<&str> = filters.iter().map(|filter| &**filter).collect();
    desk.unsubscribe(client, &filters);
    assert_eq!(desk.shard.subscriptions(), 0);
    desk.check_books();
}
