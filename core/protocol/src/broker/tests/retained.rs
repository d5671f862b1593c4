//! Retained messages: kept, replaced, removed, sent to new subscriptions as they can take them.

use super::desk::*;
use crate::broker::retained::{Retained, RetainedLimits};
use crate::broker::{Rewrite, RewriteOn, Topics};
use crate::codec::subscribe::{RetainHandling, SubscriptionOptions};
use crate::codec::{Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish};
use crate::reason::ReasonCode;

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

// [MQTT-3.8.3-3]
#[test]
fn with_no_local_nobody_gets_their_own() {
    let mut desk = Desk::new();
    let (own, other) = (desk.client(V5_0, "own"), desk.client(V5_0, "other"));
    desk.retain(own, "t/own", "own");
    desk.retain(other, "t/other", "other");
    desk.take_all(other);
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    for (client, texts) in [(own, ["other"]), (other, ["own"])] {
        desk.subscribe_with(client, &[("t/+", options)], Properties::EMPTY);
        assert_eq!(desk.texts(client), texts);
    }
    desk.check_books();
}

// [MQTT-3.3.1-13]
#[test]
fn of_overlapping_subscriptions_one_that_keeps_the_flag_is_enough() {
    for keeps in ["t", "+", "#"] {
        let mut desk = Desk::new();
        let client = desk.client(V5_0, "c");
        for filter in ["t", "+", "#"] {
            let options = SubscriptionOptions {
                retain_as_published: filter == keeps,
                ..SubscriptionOptions::default()
            };
            desk.subscribe_with(client, &[(filter, options)], Properties::EMPTY);
        }
        desk.retain(client, "t", "x");
        let got = desk.messages(client);
        assert_eq!((got.len(), got[0].retain), (1, true), "{keeps}");
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

/// What is still due of the first subscription is for the one that replaces it [MQTT-3.8.4-3], with the
/// QoS that this one grants [MQTT-3.8.4-8] and its identifier.
#[test]
fn retained_messages_that_are_still_due_follow_a_subscription_that_is_replaced() {
    let mut desk = Desk::with(|limits| (limits.retained_page, limits.inflight) = (1, 1));
    let publisher = desk.client(V5_0, "p");
    for topic in ["a", "b", "c", "d"] {
        let mut publish = Publish::new(topic, b"x");
        (publish.retain, publish.qos, publish.packet_id) = (true, Q1, 1);
        desk.send(publisher, Packet::Publish(publish));
    }
    let client = desk.client(V5_0, "c");
    let options = |qos, retain_handling| SubscriptionOptions {
        qos,
        retain_handling,
        ..SubscriptionOptions::default()
    };
    let first = options(Q1, RetainHandling::SendAtSubscribe);
    desk.subscribe_with(client, &[("#", first)], Properties::EMPTY);
    let sent = desk.messages(client);
    assert_eq!(sent.len(), 1, "the others wait for its acknowledgement");
    let second = options(Q0, RetainHandling::SendIfNew);
    let mut id = PropertiesBuf::default();
    id.push_number(PropertyId::SubscriptionIdentifier, 7);
    desk.subscribe_with(client, &[("#", second)], id.get());
    desk.ack(client, PacketType::PubAck, sent[0].id);
    let rest = desk.messages(client);
    let rest: Vec<_> = rest
        .iter()
        .map(|m| (&*m.topic, m.qos, m.subscription_ids()))
        .collect();
    let waited = ("b", Q1, vec![]);
    let new = |topic| (topic, Q0, vec![7]);
    assert_eq!(rest, [waited, new("c"), new("d")]);
    desk.check_books();
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

#[test]
fn what_is_not_kept_is_delivered_and_its_publisher_told_with_the_reason() {
    let full = RetainedLimits {
        messages: 1,
        bytes: usize::MAX,
    };
    let mut desk = Desk::new();
    desk.store = Retained::new(full);
    let subscriber = desk.client(V3_1_1, "s");
    desk.subscribe(subscriber, "#", Q2);
    let (old, v5) = (desk.client(V3_1_1, "old"), desk.client(V5_0, "new"));
    let retain = |desk: &mut Desk, from, topic, payload: &[u8], qos, id| {
        let mut publish = Publish::new(topic, payload);
        (publish.qos, publish.packet_id, publish.retain) = (qos, id, true);
        desk.send(from, Packet::Publish(publish));
    };
    let quota = ReasonCode::QUOTA_EXCEEDED;
    let success = ReasonCode::SUCCESS;
    let answered = |kind, id, reason| vec![Got::Ack(kind, id, reason)];
    retain(&mut desk, v5, "kept", b"1", Q1, 1);
    assert_eq!(desk.take_all(v5), answered(PacketType::PubAck, 1, success));
    for qos in [Q0, Q1, Q2] {
        retain(&mut desk, v5, "other", b"x", qos, 2 * u16::from(qos != Q0));
        let (kind, text) = match qos {
            Q0 => {
                assert_eq!(desk.take_all(v5), []);
                continue;
            }
            Q1 => (PacketType::PubAck, desk.said.pop()),
            _ => (PacketType::PubRec, desk.said.pop()),
        };
        assert_eq!(desk.take_all(v5), answered(kind, 2, quota));
        let (of, text) = text.expect("a reason string");
        assert!(of == kind && text.contains("retained"), "{text}");
    }
    // The exchange of QoS 2 is over, so the same identifier is another message.
    retain(&mut desk, v5, "other", b"x", Q2, 2);
    assert_eq!(desk.take_all(v5), answered(PacketType::PubRec, 2, quota));
    // A client that knows no reasons is acknowledged.
    retain(&mut desk, old, "other", b"x", Q1, 2);
    assert_eq!(desk.take_all(old), answered(PacketType::PubAck, 2, success));
    assert_eq!(desk.messages(subscriber).len(), 6);
    // What is there may be changed, and makes room when it goes.
    retain(&mut desk, v5, "kept", b"2", Q1, 3);
    retain(&mut desk, v5, "kept", b"", Q1, 4);
    retain(&mut desk, v5, "other", b"y", Q1, 5);
    let acks = desk.take_all(v5);
    assert!(
        acks.iter().all(
            |got| matches!(got, Got::Ack(PacketType::PubAck, _, reason) if *reason == success)
        ),
        "{acks:?}"
    );
    assert_eq!(acks.len(), 3);
    desk.subscribe(old, "#", Q0);
    let kept = desk.messages(old);
    assert_eq!(kept.len(), 1);
    assert_eq!((&*kept[0].topic, &*kept[0].payload), ("other", &b"y"[..]));
}

// [MQTT-3.3.1-6] [MQTT-3.3.1-7]
#[test]
fn an_empty_message_deletes_under_the_name_that_a_rule_makes_and_goes_to_groups_as_any_other() {
    let mut desk = Desk::with_topics(Topics {
        rewrite: vec![Rewrite::new(RewriteOn::Publish, "old/+", None, "new/$1").unwrap()],
        ..Topics::default()
    });
    let (publisher, member) = (desk.client(V5_0, "p"), desk.client(V5_0, "m"));
    desk.retain(publisher, "old/a", "kept");
    desk.retain(publisher, "new/b", "kept too");
    desk.subscribe(member, "$share/g/new/#", Q1);
    assert!(desk.messages(member).is_empty(), "none of a group's");
    let late = desk.client(V3_1_1, "late");
    desk.subscribe(late, "new/+", Q0);
    assert_eq!(desk.messages(late).len(), 2);
    for (deleted, left) in [("old/a", 1), ("old/b", 0)] {
        desk.retain(publisher, deleted, "");
        let live = desk.messages(member);
        assert_eq!(live.len(), 1, "{deleted}");
        assert!(live[0].payload.is_empty() && !live[0].retain, "{deleted}");
        desk.take_all(late);
        desk.subscribe(late, "new/+", Q0);
        assert_eq!(desk.messages(late).len(), left, "{deleted}");
    }
}
