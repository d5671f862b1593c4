//! Sessions that outlive connections: what is kept, in which order it comes again, when it ends.

use super::desk::*;
use crate::broker::ConnId;
use crate::codec::{Connect, Disconnect, Packet, PacketType, PropertiesBuf, PropertyId, Publish};
use crate::reason::ReasonCode;
use crate::session::queue::OverflowPolicy;
use crate::version::ProtocolVersion;

// [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.2-23] [MQTT-3.2.2-3] [MQTT-4.1.0-1] [MQTT-4.5.0-1]
// in MQTT 3.1.1 [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-3.1.4-3]
// 3.1.1 [MQTT-4.1.0-1] [MQTT-4.5.0-1]
#[test]
fn what_came_while_the_client_was_away_is_sent_when_it_is_back() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let publisher = desk.client(V3_1_1, "p");
        let (client, present) = desk.durable(version, "c");
        assert!(!present);
        desk.subscribe(client, "a/+", Q2);
        desk.disconnect(client, ReasonCode::NORMAL_DISCONNECTION);
        for (n, qos) in [Q1, Q0, Q2, Q1].into_iter().enumerate() {
            let id = if qos == Q0 { 0 } else { 10 + n as u16 };
            desk.publish(publisher, "a/b", &n.to_string(), qos, id);
        }
        assert_eq!((desk.stats().queued, desk.stats().dropped.offline), (3, 1));
        let (client, present) = desk.durable(version, "c");
        assert_eq!(present, version != V3_1, "3.1 has no Session Present");
        let got = desk.messages(client);
        let texts: Vec<_> = got.iter().map(|m| m.text()).collect();
        assert_eq!(texts, ["0", "2", "3"]);
        assert!(got.iter().all(|m| !m.dup), "sent for the first time");
        desk.check_books();
        // A clean start forgets it all.
        let client = desk.client(version, "c");
        desk.publish(publisher, "a/b", "x", Q1, 9);
        assert!(desk.messages(client).is_empty());
        assert_eq!(desk.stats().subscriptions, 0);
        desk.cut(client);
        assert!(!desk.durable(version, "c").1);
    }
}

// [MQTT-4.1.0-2] [MQTT-3.1.2-23]
#[test]
fn a_session_ends_when_its_expiry_does() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "a", Q1);
    desk.publish(client, "a", "x", Q1, 1);
    desk.cut(client);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "a", "y", Q1, 1);
    desk.wait(999_999);
    assert_eq!((desk.stats().sessions, desk.ended.len()), (2, 0));
    desk.wait(1);
    assert_eq!((desk.stats().sessions, desk.shard.subscriptions()), (1, 0));
    assert_eq!(desk.ended, ["c"]);
    assert_eq!(desk.stats().dropped.session_ended, 1);
    desk.check_books();
    assert!(!desk.durable(V5_0, "c").1);
    // Coming back stops the clock.
    desk.wait(3_000_000);
    assert_eq!(desk.stats().sessions, 2);
}

/// Mail from another shard brings a client before the timers of the turn are looked at.
// [MQTT-4.1.0-2] [MQTT-3.1.2-23]
#[test]
fn a_session_whose_time_is_over_is_over_before_its_timer_was_looked_at() {
    for (late, over) in [(999_999, false), (1_000_000, true), (5_000_000, true)] {
        let mut desk = Desk::new();
        let (client, _) = desk.durable(V5_0, "c");
        desk.subscribe(client, "a", Q1);
        desk.cut(client);
        desk.now = desk.now.after(late);
        let (client, present) = desk.durable(V5_0, "c");
        assert_eq!(present, !over);
        assert_eq!(desk.shard.subscriptions(), usize::from(!over));
        assert_eq!(desk.stats().sessions_expired, u64::from(over));
        // The timer that was not looked at is nobody's.
        desk.wait(10_000_000);
        assert_eq!(desk.stats().sessions, 1);
        desk.cut(client);
        desk.wait(1_000_000);
        assert_eq!(desk.stats().sessions, 0);
        desk.check_books();
    }
}

#[test]
fn old_clients_sessions_are_kept_as_long_as_the_server_allows() {
    let mut desk = Desk::with(|limits| limits.session_expiry = 60);
    let (client, _) = desk.durable(V3_1_1, "c");
    desk.cut(client);
    desk.wait(59_999);
    let (client, present) = desk.durable(V3_1_1, "c");
    assert!(present);
    desk.cut(client);
    desk.wait(60_000);
    assert!(!desk.durable(V3_1_1, "c").1);
}

#[test]
fn disconnect_can_change_the_expiry() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SessionExpiryInterval, 0);
    desk.send(
        client,
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::NORMAL_DISCONNECTION,
            properties: properties.get(),
        }),
    );
    assert_eq!((desk.stats().sessions, desk.ended.len()), (0, 1));
}

#[test]
fn disconnect_cannot_raise_the_expiry_beyond_the_limit() {
    let mut desk = Desk::with(|limits| limits.session_expiry = 60);
    let client = client_with(&mut desk, "c", &[(PropertyId::SessionExpiryInterval, 10)]);
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SessionExpiryInterval, u32::MAX);
    desk.send(
        client,
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::NORMAL_DISCONNECTION,
            properties: properties.get(),
        }),
    );
    desk.wait(59_999);
    assert_eq!(desk.stats().sessions, 1);
    desk.wait(1);
    assert_eq!((desk.stats().sessions, desk.ended.len()), (0, 1));
}

/// A publisher sends 4 messages of QoS 1 and 2; the subscriber is cut off after `cut` packets of the
/// exchange, comes back and finishes. Returns what it got and how many were new.
fn exchange_with_cut(version: ProtocolVersion, cut: usize) -> (Vec<Delivered>, Vec<String>) {
    let mut desk = Desk::new();
    let (mut client, _) = desk.durable(version, "c");
    desk.subscribe(client, "t", Q2);
    let publisher = desk.client(V5_0, "p");
    for (n, qos) in [Q1, Q2, Q2, Q1].into_iter().enumerate() {
        desk.publish(publisher, "t", &n.to_string(), qos, 100 + n as u16);
    }
    let (mut all, mut new, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let mut steps = 0;
    loop {
        if steps == cut {
            desk.cut(client);
            let (again, present) = desk.durable(version, "c");
            assert!(present || version == V3_1);
            client = again;
        }
        steps += 1;
        if desk.got(client).is_empty() {
            if steps <= cut {
                break;
            }
            desk.check_books();
            assert_eq!(desk.stats().acknowledged, 4);
            desk.cut(client);
            let (client, _) = desk.durable(version, "c");
            assert!(desk.got(client).is_empty(), "all was acknowledged");
            break;
        }
        match desk.take(client) {
            Got::Publish(message) => {
                // A receiver's memory: QoS 2 identifiers until their PUBREL.
                if message.qos == Q1 {
                    new.push(message.text().to_owned());
                    desk.ack(client, PacketType::PubAck, message.id);
                } else {
                    if !seen.contains(&message.id) {
                        seen.push(message.id);
                        new.push(message.text().to_owned());
                    }
                    desk.ack(client, PacketType::PubRec, message.id);
                }
                all.push(message);
            }
            Got::Ack(PacketType::PubRel, id, ReasonCode::SUCCESS) => {
                seen.retain(|seen| *seen != id);
                desk.ack(client, PacketType::PubComp, id);
            }
            other => panic!("{other:?}"),
        }
    }
    (all, new)
}

// [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-4] [MQTT-4.3.3-6] [MQTT-4.6.0-1]
// in MQTT 3.1.1 [MQTT-4.4.0-1] [MQTT-2.3.1-4] [MQTT-3.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1]
#[test]
fn cut_anywhere_the_exchange_finishes_and_qos_2_is_new_once() {
    for version in [V3_1, V3_1_1, V5_0] {
        for cut in 0..=6 {
            let (all, new) = exchange_with_cut(version, cut);
            let mut firsts = Vec::new();
            for text in &new {
                if !firsts.contains(text) {
                    firsts.push(text.clone());
                }
            }
            assert_eq!(firsts, ["0", "1", "2", "3"], "cut at {cut}");
            for qos_2 in ["1", "2"] {
                assert_eq!(new.iter().filter(|text| *text == qos_2).count(), 1);
            }
            for (at, message) in all.iter().enumerate() {
                // What was read before the cut is the first try, what came after it the second.
                let before = all[..at].iter().find(|m| m.text() == message.text());
                if let Some(before) = before {
                    assert!(message.dup && !before.dup);
                    assert_eq!((message.id, message.qos), (before.id, before.qos));
                }
            }
        }
    }
}

/// Everything unacknowledged comes again, PUBREL first, then PUBLISH in the first order.
// [MQTT-4.6.0-1]
#[test]
fn what_is_sent_again_keeps_its_order_and_identifiers() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "t", Q2);
    let publisher = desk.client(V5_0, "p");
    for n in 0..6u16 {
        let qos = if n % 2 == 0 { Q2 } else { Q1 };
        desk.publish(publisher, "t", &n.to_string(), qos, n + 1);
    }
    let first = desk.messages(client);
    desk.ack(client, PacketType::PubRec, first[4].id);
    desk.ack(client, PacketType::PubRec, first[2].id);
    desk.ack(client, PacketType::PubAck, first[3].id);
    desk.cut(client);
    desk.publish(publisher, "t", "later", Q1, 50);
    let (client, _) = desk.durable(V5_0, "c");
    let got = desk.take_all(client);
    let release = |n: usize| Got::Ack(PacketType::PubRel, first[n].id, ReasonCode::SUCCESS);
    assert_eq!(got[..2], [release(4), release(2)]);
    let again = |n: usize| {
        Got::Publish(Delivered {
            dup: true,
            ..first[n].clone()
        })
    };
    assert_eq!(got[2..5], [again(0), again(1), again(5)]);
    assert!(matches!(&got[5..], [Got::Publish(m)] if m.text() == "later" && !m.dup));
    assert_eq!(desk.stats().sent_again, 3);
}

// [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] in MQTT 3.1.1 [MQTT-4.3.3-2]
#[test]
fn an_incoming_qos_2_message_is_published_once_across_connections() {
    for version in [V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let watcher = desk.client(V5_0, "w");
        desk.subscribe(watcher, "t", Q0);
        let (mut publisher, _) = desk.durable(version, "p");
        for _ in 0..3 {
            let mut publish = Publish::new("t", b"once");
            (publish.qos, publish.packet_id, publish.dup) = (Q2, 7, true);
            desk.send(publisher, Packet::Publish(publish));
            assert!(matches!(
                desk.take(publisher),
                Got::Ack(PacketType::PubRec, 7, _)
            ));
            desk.cut(publisher);
            publisher = desk.durable(version, "p").0;
        }
        assert_eq!(desk.texts(watcher), ["once"]);
        assert_eq!(desk.stats().received_again, 2);
        for reason in [ReasonCode::SUCCESS, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND] {
            desk.ack(publisher, PacketType::PubRel, 7);
            let reason = if version.is_v5() {
                reason
            } else {
                ReasonCode::SUCCESS
            };
            let done = Got::Ack(PacketType::PubComp, 7, reason);
            assert_eq!(desk.take(publisher), done);
        }
        desk.publish(publisher, "t", "new", Q2, 7);
        assert_eq!(desk.texts(watcher), ["new"]);
    }
}

#[test]
fn a_takeover_resumes_without_loss() {
    let mut desk = Desk::new();
    let (first, _) = desk.durable(V5_0, "c");
    desk.subscribe(first, "t", Q1);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "t", "x", Q1, 1);
    let sent = desk.messages(first);
    let (second, present) = desk.durable(V5_0, "c");
    assert!(present && !desk.is_open(first));
    let again = desk.messages(second);
    assert_eq!((again[0].id, again[0].dup), (sent[0].id, true));
    desk.publish(publisher, "t", "y", Q1, 1);
    assert_eq!(desk.texts(second), ["y"]);
    // The old socket's end changes nothing.
    assert!(desk.is_open(second));
    desk.check_books();
}

#[test]
fn a_session_may_change_its_version() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    let mut id = PropertiesBuf::default();
    id.push_number(PropertyId::SubscriptionIdentifier, 5);
    let options = crate::codec::SubscriptionOptions {
        qos: Q1,
        ..Default::default()
    };
    desk.subscribe_with(client, &[("t", options)], id.get());
    desk.cut(client);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "t", "x", Q1, 1);
    let (client, present) = desk.durable(V3_1_1, "c");
    assert!(present);
    desk.publish(publisher, "t", "y", Q1, 1);
    assert_eq!(desk.texts(client), ["x", "y"]);
}

fn offline(limit: usize, bytes: usize, policy: OverflowPolicy) -> (Desk, ConnId) {
    let mut desk = Desk::with(|limits| {
        (limits.queue.items, limits.queue.bytes, limits.queue.policy) = (limit, bytes, policy);
    });
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "t", Q1);
    desk.cut(client);
    let publisher = desk.client(V5_0, "p");
    (desk, publisher)
}

#[test]
fn a_full_queue_drops_by_its_policy_and_counts() {
    for (policy, expected) in [
        (OverflowPolicy::DropNewest, ["0", "1", "2"]),
        (OverflowPolicy::DropOldest, ["4", "5", "6"]),
        (OverflowPolicy::Refuse, ["0", "1", "2"]),
    ] {
        let (mut desk, publisher) = offline(3, 1 << 20, policy);
        for n in 0..7 {
            desk.publish(publisher, "t", &n.to_string(), Q1, 1);
            desk.check_books();
        }
        assert_eq!(desk.stats().dropped.queue_items, 4);
        let (client, _) = desk.durable(V5_0, "c");
        assert_eq!(desk.texts(client), expected);
        assert_eq!((desk.stats().queued, desk.stats().queued_bytes), (0, 0));
    }
    let (mut desk, publisher) = offline(100, 2_000, OverflowPolicy::DropOldest);
    for n in 0..30 {
        let text = format!("{n:0>300}");
        desk.publish(publisher, "t", &text, Q1, 1);
    }
    desk.publish(publisher, "t", &"x".repeat(3000), Q1, 1);
    let stats = desk.stats();
    assert!(stats.queued_bytes <= 2_000 && stats.queued > 2);
    assert_eq!(stats.dropped.queue_bytes + stats.queued, 31);
    desk.check_books();
}

#[test]
fn qos_0_is_queued_for_the_absent_only_on_demand() {
    let mut desk = Desk::with(|limits| limits.queue_qos0_offline = true);
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "t", Q1);
    desk.cut(client);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "t", "x", Q0, 0);
    let (client, _) = desk.durable(V5_0, "c");
    assert_eq!(desk.texts(client), ["x"]);
    desk.check_books();
}

// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn messages_expire_in_the_queue_and_lose_the_time_they_waited() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "t", Q1);
    desk.cut(client);
    let publisher = desk.client(V5_0, "p");
    for (text, seconds) in [("short", 5), ("long", 50)] {
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::MessageExpiryInterval, seconds);
        let mut publish = Publish::new("t", text.as_bytes());
        (publish.qos, publish.packet_id) = (Q1, 1);
        publish.properties = properties.get();
        desk.send(publisher, Packet::Publish(publish));
    }
    desk.wait(5_000);
    let (client, _) = desk.durable(V5_0, "c");
    let got = desk.messages(client);
    assert_eq!((got.len(), got[0].text()), (1, "long"));
    let left = got[0]
        .properties
        .get()
        .number(PropertyId::MessageExpiryInterval);
    assert_eq!((left, desk.stats().dropped.expired), (Some(45), 1));
    desk.check_books();
}

#[test]
fn a_session_of_zero_expiry_is_not_resumed_even_by_a_takeover() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.subscribe(client, "t", Q1);
    let mut connect = Connect::new(V5_0, "c");
    connect.clean_start = false;
    let conn = desk.connect(connect);
    assert!(!desk.connack(conn));
    assert_eq!(desk.shard.subscriptions(), 0);
}

// [MQTT-4.1.0-1] in MQTT 3.1.1 [MQTT-4.1.0-2]
#[test]
fn a_session_lasts_as_long_as_its_connection_at_least() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::with(|limits| limits.session_expiry = 1);
        for client in [
            desk.client(version, "clean"),
            desk.durable(version, "kept").0,
        ] {
            desk.subscribe(client, "t", Q1);
            desk.wait(1_000_000_000);
            let publisher = desk.client(V5_0, "p");
            desk.publish(publisher, "t", "x", Q1, 1);
            assert_eq!(desk.texts(client), ["x"]);
            desk.cut(client);
            desk.wait(1_000);
        }
    }
}

/// What a client was sent before it expired comes again after it has.
// [MQTT-4.3.3-7]
#[test]
fn a_message_that_was_sent_does_not_expire_any_more() {
    for qos in [Q1, Q2] {
        let mut desk = Desk::new();
        let (client, _) = desk.durable(V5_0, "c");
        desk.subscribe(client, "t", qos);
        let publisher = desk.client(V5_0, "p");
        publish_for(&mut desk, publisher, 5, qos);
        let first = desk.messages(client);
        desk.cut(client);
        desk.wait(60_000);
        let (client, _) = desk.durable(V5_0, "c");
        let again = desk.messages(client);
        assert_eq!(
            (again.len(), again[0].id, again[0].dup),
            (1, first[0].id, true)
        );
        assert_eq!(again[0].text(), "x");
        if qos == Q2 {
            desk.ack(client, PacketType::PubRec, first[0].id);
            let release = Got::Ack(PacketType::PubRel, first[0].id, ReasonCode::SUCCESS);
            assert_eq!(desk.take(client), release);
            desk.ack(client, PacketType::PubComp, first[0].id);
        } else {
            desk.ack(client, PacketType::PubAck, first[0].id);
        }
        assert_eq!(
            (desk.stats().acknowledged, desk.stats().dropped.expired),
            (1, 0)
        );
        desk.check_books();
    }
}

/// A message that expires for all its subscribers while its publisher is still busy with it.
// [MQTT-4.3.3-13]
#[test]
fn the_handshake_of_an_expired_message_goes_on() {
    let mut desk = Desk::new();
    let (away, _) = desk.durable(V5_0, "away");
    desk.subscribe(away, "t", Q2);
    desk.cut(away);
    let publisher = desk.client(V5_0, "p");
    publish_for(&mut desk, publisher, 5, Q2);
    desk.wait(60_000);
    publish_for(&mut desk, publisher, 5, Q2);
    desk.ack(publisher, PacketType::PubRel, 1);
    let ack = |kind| Got::Ack(kind, 1, ReasonCode::SUCCESS);
    let got = desk.take_all(publisher);
    let all = [PacketType::PubRec, PacketType::PubRec, PacketType::PubComp];
    assert_eq!(got, all.map(ack), "and the repetition was no new message");
    let (away, _) = desk.durable(V5_0, "away");
    assert!(desk.messages(away).is_empty());
    assert_eq!(desk.stats().dropped.expired, 1);
    desk.check_books();
}

/// A message "x" to topic "t" with packet identifier 1 that lives for `seconds`.
fn publish_for(desk: &mut Desk, publisher: ConnId, seconds: u32, qos: crate::codec::QoS) {
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::MessageExpiryInterval, seconds);
    let mut publish = Publish::new("t", b"x");
    (publish.qos, publish.packet_id) = (qos, 1);
    publish.properties = properties.get();
    desk.send(publisher, Packet::Publish(publish));
}
