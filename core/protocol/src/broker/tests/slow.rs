//! Who gets its messages late, and how late.

use super::desk::*;
use super::records::{carry, export};
use crate::broker::{
    ConnId, DelayedLimits, Latency, Limits, Shard, ShardConfig, SlowLimits, SlowSubscriber, Topics,
};
use crate::codec::{
    Connect, Packet, PacketType, Properties, Publish, QoS, Subscribe, SubscriptionOptions, Will,
};
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::session::queue::OverflowPolicy;
use crate::time::{Clock, Time, UnixMs};

const PUBACK: PacketType = PacketType::PubAck;

fn limits() -> SlowLimits {
    SlowLimits::default()
}

fn measuring(latency: Latency) -> SlowLimits {
    SlowLimits {
        latency,
        ..limits()
    }
}

fn desk_with(slow: SlowLimits, change: impl FnOnce(&mut Limits)) -> Desk {
    let mut limits = Limits::default();
    change(&mut limits);
    let mut desk = Desk::new();
    desk.shard = Shard::new(ShardConfig {
        number: NUMBER,
        seed: 42,
        limits,
        topics: Topics {
            delayed: Some(DelayedLimits::default()),
            ..Topics::default()
        },
        slow: Some(slow),
        ..ShardConfig::default()
    });
    desk
}

fn desk(slow: SlowLimits) -> Desk {
    desk_with(slow, |_| ())
}

fn list(desk: &Desk) -> Vec<SlowSubscriber> {
    desk.shard.slow_subscribers(desk.now)
}

/// Client, topic, latency and count, slowest first.
fn told(desk: &Desk) -> Vec<(String, String, u64, u64)> {
    let list = list(desk).into_iter();
    list.map(|s| (s.client_id.into(), s.topic.into(), s.latency_ms, s.late))
        .collect()
}

fn one(client: &str, topic: &str, latency: u64, late: u64) -> (String, String, u64, u64) {
    (client.into(), topic.into(), latency, late)
}

/// A client subscribed to everything.
fn subscriber(desk: &mut Desk, name: &str, qos: QoS) -> ConnId {
    let conn = desk.client(V5_0, name);
    desk.subscribe(conn, "#", qos);
    conn
}

/// One message is published, and its Packet Identifier at the subscriber.
fn publish(desk: &mut Desk, from: ConnId, to: ConnId, topic: &str, qos: QoS) -> u16 {
    let id = u16::from(qos != Q0);
    desk.publish(from, topic, "x", qos, id);
    desk.take_all(from);
    desk.messages(to).pop().unwrap().id
}

#[test]
fn off_nothing_is_measured() {
    let mut desk = Desk::new();
    let (to, from) = (subscriber(&mut desk, "c", Q1), desk.client(V5_0, "p"));
    let id = publish(&mut desk, from, to, "t", Q1);
    desk.wait(10_000);
    desk.ack(to, PUBACK, id);
    assert_eq!(told(&desk), []);
    assert_eq!(desk.stats().late_deliveries, 0);
    assert!(!desk.shard.has_new_slow_subscribers());
    assert!(desk.shard.take_new_slow_subscribers(9, desk.now).is_empty());
    desk.shard.clear_slow_subscribers();
}

#[test]
fn a_puback_is_late_from_the_threshold_on() {
    for (after, late) in [(0, 0), (499, 0), (500, 1), (501, 1)] {
        let mut desk = desk(limits());
        let (to, from) = (subscriber(&mut desk, "c", Q2), desk.client(V5_0, "p"));
        let id = publish(&mut desk, from, to, "a/b", Q1);
        desk.wait(after);
        desk.ack(to, PUBACK, id);
        assert_eq!(told(&desk).len(), late, "{after}");
        assert_eq!(desk.stats().late_deliveries, late as u64);
        if late > 0 {
            assert_eq!(told(&desk), [one("c", "a/b", after, 1)]);
            assert_eq!(list(&desk)[0].updated, desk.now);
        }
    }
}

#[test]
fn a_threshold_of_0_is_one_of_1() {
    let mut desk = desk(SlowLimits {
        threshold_ms: 0,
        ..limits()
    });
    let (to, from) = (subscriber(&mut desk, "c", Q1), desk.client(V5_0, "p"));
    let id = publish(&mut desk, from, to, "t", Q1);
    desk.ack(to, PUBACK, id);
    assert_eq!(told(&desk), []);
    let id = publish(&mut desk, from, to, "t", Q1);
    desk.wait(1);
    desk.ack(to, PUBACK, id);
    assert_eq!(told(&desk), [one("c", "t", 1, 1)]);
}

#[test]
fn qos_2_is_complete_with_pubcomp_or_a_pubrec_that_refuses() {
    let mut desk = desk(limits());
    let (to, from) = (subscriber(&mut desk, "c", Q2), desk.client(V5_0, "p"));
    let id = publish(&mut desk, from, to, "a", Q2);
    desk.wait(300);
    desk.ack(to, PacketType::PubRec, id);
    desk.wait(300);
    assert_eq!(told(&desk), []);
    desk.ack(to, PacketType::PubComp, id);
    assert_eq!(told(&desk), [one("c", "a", 600, 1)]);
    desk.take_all(to);
    desk.ack(from, PacketType::PubRel, 1);
    let id = publish(&mut desk, from, to, "b", Q2);
    desk.wait(700);
    let refusal = ReasonCode::QUOTA_EXCEEDED;
    desk.ack_with(to, PacketType::PubRec, id, refusal);
    assert_eq!(told(&desk), [one("c", "b", 700, 2)]);
}

#[test]
fn qos_0_is_complete_when_it_is_written() {
    for latency in [Latency::Whole, Latency::Internal, Latency::Response] {
        let mut desk = desk_with(measuring(latency), |limits| limits.outbound_bytes = 20);
        let stuck = subscriber(&mut desk, "stuck", Q0);
        let quick = subscriber(&mut desk, "quick", Q0);
        let from = desk.client(V3_1_1, "p");
        desk.stick(stuck, true);
        for n in 0..10 {
            desk.publish(from, &format!("t/{n}"), "0123456789", Q0, 0);
            desk.wait(100);
        }
        desk.stick(stuck, false);
        assert_eq!(desk.messages(stuck).len(), 10);
        assert_eq!(desk.messages(quick).len(), 10);
        // Two went into the buffer at once, the others waited in the queue, the third for longest.
        let expected = match latency {
            Latency::Response => vec![],
            _ => vec![one("stuck", "t/2", 800, 4)],
        };
        assert_eq!(told(&desk), expected, "{latency:?}");
        desk.check_books();
    }
}

#[test]
fn waiting_for_the_window_is_the_brokers_part_and_acknowledging_the_clients() {
    let cases = [
        (Latency::Whole, vec![one("c", "b", 1_200, 2)]),
        (Latency::Internal, vec![one("c", "b", 600, 1)]),
        (Latency::Response, vec![one("c", "a", 600, 2)]),
    ];
    for (latency, expected) in cases {
        let mut desk = desk_with(measuring(latency), |limits| limits.inflight = 1);
        let (to, from) = (subscriber(&mut desk, "c", Q1), desk.client(V5_0, "p"));
        let first = publish(&mut desk, from, to, "a", Q1);
        desk.publish(from, "b", "x", Q1, 1);
        desk.wait(600);
        desk.ack(to, PUBACK, first);
        let second = desk.messages(to)[0].id;
        desk.wait(600);
        desk.ack(to, PUBACK, second);
        assert_eq!(told(&desk), expected, "{latency:?}");
    }
}

#[test]
fn a_response_counts_from_the_connection_it_was_sent_on_again() {
    for kind in [PUBACK, PacketType::PubComp] {
        let qos = if kind == PUBACK { Q1 } else { Q2 };
        let mut desk = desk(measuring(Latency::Response));
        let (to, _) = desk.durable(V5_0, "c");
        desk.subscribe(to, "#", qos);
        let from = desk.client(V5_0, "p");
        let id = publish(&mut desk, from, to, "t", qos);
        if qos == Q2 {
            desk.ack(to, PacketType::PubRec, id);
        }
        desk.wait(60_000);
        desk.cut(to);
        desk.wait(60_000);
        let (to, _) = desk.durable(V5_0, "c");
        desk.wait(100);
        desk.ack(to, kind, id);
        desk.take_all(to);
        assert_eq!(told(&desk), [], "{kind:?}");
        let id = publish(&mut desk, from, to, "t", Q1);
        desk.wait(800);
        desk.ack(to, PUBACK, id);
        assert_eq!(told(&desk), [one("c", "t", 800, 1)]);
    }
}

#[test]
fn what_waited_for_an_absent_client_counts_from_its_return() {
    for (after, expected) in [(400, vec![]), (600, vec![one("c", "b", 600, 2)])] {
        let mut desk = desk(limits());
        let (to, _) = desk.durable(V5_0, "c");
        desk.subscribe(to, "#", Q1);
        let from = desk.client(V5_0, "p");
        // One was sent before it went, one comes while it is away.
        let sent = publish(&mut desk, from, to, "a", Q1);
        desk.cut(to);
        desk.publish(from, "b", "x", Q1, 1);
        desk.wait(300_000);
        let (to, _) = desk.durable(V5_0, "c");
        let ids: Vec<u16> = desk.messages(to).iter().map(|m| m.id).collect();
        assert_eq!(ids[0], sent);
        desk.wait(after);
        desk.ack(to, PUBACK, ids[1]);
        desk.ack(to, PUBACK, ids[0]);
        assert_eq!(told(&desk), expected, "{after}");
    }
}

#[test]
fn a_retained_message_counts_from_its_replay() {
    for latency in [Latency::Whole, Latency::Internal] {
        let mut desk = desk_with(measuring(latency), |limits| limits.inflight = 1);
        let from = desk.client(V5_0, "p");
        desk.retain(from, "a", "old");
        desk.retain(from, "b", "old");
        let to = desk.client(V5_0, "c");
        desk.wait(100_000);
        let options = SubscriptionOptions {
            qos: Q1,
            ..SubscriptionOptions::default()
        };
        // They were published with QoS 0.
        desk.subscribe_with(to, &[("#", options)], Properties::EMPTY);
        assert_eq!(desk.messages(to).len(), 2);
        assert_eq!(told(&desk), []);
        // With QoS 1 one waits for the other.
        for topic in ["c", "d"] {
            let mut publish = Publish::new(topic, b"old");
            (publish.qos, publish.packet_id, publish.retain) = (Q1, 1, true);
            desk.send(from, Packet::Publish(publish));
        }
        for message in desk.messages(to) {
            desk.ack(to, PUBACK, message.id);
        }
        let last = desk.messages(to)[0].id;
        desk.ack(to, PUBACK, last);
        desk.wait(100_000);
        desk.subscribe_with(to, &[("#", options)], Properties::EMPTY);
        let third = desk.messages(to).iter().map(|m| m.id).max().unwrap();
        desk.wait(700);
        desk.ack(to, PUBACK, third);
        let fourth = desk.messages(to)[0].id;
        desk.wait(100);
        desk.ack(to, PUBACK, fourth);
        let expected = match latency {
            Latency::Whole => one("c", "d", 800, 2),
            _ => one("c", "d", 700, 1),
        };
        assert_eq!(told(&desk), [expected]);
    }
}

#[test]
fn a_delayed_message_counts_from_when_it_is_due_and_a_will_from_its_publication() {
    let mut desk = desk(limits());
    let to = subscriber(&mut desk, "c", Q1);
    let mut connect = Connect::new(V3_1_1, "w");
    connect.will = Some(Will {
        topic: "gone",
        payload: b"x",
        qos: Q1,
        retain: false,
        properties: Properties::EMPTY,
    });
    let from = desk.connect(connect);
    desk.connack(from);
    desk.publish(from, "$delayed/60/later", "x", Q1, 1);
    desk.wait(60_000);
    let later = desk.messages(to)[0].id;
    desk.wait(499);
    desk.ack(to, PUBACK, later);
    assert_eq!(told(&desk), []);
    desk.wait(60_000);
    desk.cut(from);
    let will = desk.messages(to)[0].id;
    desk.wait(499);
    desk.ack(to, PUBACK, will);
    assert_eq!(told(&desk), []);
    let from = desk.client(V3_1_1, "p");
    desk.publish(from, "$delayed/60/later", "x", Q1, 1);
    desk.wait(60_900);
    let later = desk.messages(to)[0].id;
    desk.ack(to, PUBACK, later);
    assert_eq!(told(&desk), [one("c", "later", 900, 1)]);
}

#[test]
fn the_time_in_the_mail_between_shards_counts() {
    let mut desk = desk(limits());
    let to = subscriber(&mut desk, "c", Q0);
    desk.wait(10_000);
    let made = |at| {
        let none = Properties::EMPTY;
        Message::new("t", b"x", Q0, false, none, Time(at)).unwrap()
    };
    let now = desk.now.0;
    // The other shard's turn began later than this one's.
    let messages = [made(now + 3), made(now - 499), made(now - 750)];
    desk.shard
        .handle_publishes(desk.now, &messages, &mut desk.out);
    desk.settle();
    assert_eq!(desk.messages(to).len(), 3);
    assert_eq!(told(&desk), [one("c", "t", 750, 1)]);
}

#[test]
fn a_message_that_another_member_gave_back_counts_from_the_second_one() {
    for (after, expected) in [(100, vec![]), (600, vec![one("b", "t", 600, 1)])] {
        let mut desk = desk(limits());
        let [a, b, from] = ["a", "b", "p"].map(|name| desk.client(V5_0, name));
        desk.subscribe(a, "$share/g/t", Q1);
        desk.publish(from, "t", "x", Q1, 1);
        assert_eq!(desk.messages(a).len(), 1);
        desk.subscribe(b, "$share/g/t", Q1);
        desk.wait(100_000);
        desk.cut(a);
        let id = desk.messages(b)[0].id;
        desk.wait(after);
        desk.ack(b, PUBACK, id);
        assert_eq!(told(&desk), expected);
    }
}

#[test]
fn a_message_that_another_member_had_no_room_for_counts_from_the_second_one() {
    let mut desk = desk_with(limits(), |limits| {
        limits.inflight = 1;
        (limits.queue.items, limits.queue.policy) = (1, OverflowPolicy::DropOldest);
    });
    let [a, b, from] = ["a", "b", "p"].map(|name| desk.client(V5_0, name));
    desk.subscribe(a, "$share/g/#", Q1);
    desk.publish(from, "1", "x", Q1, 1);
    desk.publish(from, "2", "x", Q1, 2);
    desk.wait(100_000);
    desk.subscribe(b, "$share/g/#", Q1);
    // One of them is for each; the one that waited has to go.
    desk.publish(from, "3", "x", Q1, 3);
    desk.publish(from, "4", "x", Q1, 4);
    let mut topics = String::new();
    while let Some(message) = desk.messages(b).pop() {
        topics += &message.topic;
        desk.ack(b, PUBACK, message.id);
    }
    assert!(topics.contains('2') && topics.len() == 2, "{topics}");
    assert_eq!(told(&desk), []);
}

// [MQTT-4.4.0-1]
#[test]
fn what_a_store_kept_counts_from_the_clients_return_and_goes_on_where_it_was() {
    let mut desk = desk(limits());
    let (to, _) = desk.durable(V5_0, "c");
    desk.subscribe(to, "#", Q2);
    let from = desk.client(V5_0, "p");
    let released = publish(&mut desk, from, to, "a", Q2);
    desk.ack(to, PacketType::PubRec, released);
    desk.take_all(to);
    let sent = publish(&mut desk, from, to, "b", Q1);
    let clock = Clock::at(desk.now, UnixMs(1_800_000_000_000));
    let records = export(&mut desk.shard, clock);
    let mut next = self::desk(limits());
    next.now = Time(77_000_000);
    let later = Clock::at(next.now, UnixMs(1_800_000_600_000));
    for record in &records {
        let record = carry(record, clock, later);
        next.shard.restore(record, later, &mut next.out);
    }
    next.settle();
    next.wait(60_000);
    let (to, present) = next.durable(V5_0, "c");
    assert!(present);
    let pubrel = Got::Ack(PacketType::PubRel, released, ReasonCode::SUCCESS);
    assert_eq!(next.take(to), pubrel);
    assert_eq!(next.messages(to)[0].id, sent);
    next.wait(800);
    // Of that one only the Packet Identifier was kept.
    next.ack(to, PacketType::PubComp, released);
    assert_eq!(told(&next), []);
    next.ack(to, PUBACK, sent);
    assert_eq!(told(&next), [one("c", "b", 800, 1)]);
}

/// Acknowledges a message of this client after so long.
fn late(desk: &mut Desk, from: ConnId, to: ConnId, topic: &str, ms: u64) {
    let id = publish(desk, from, to, topic, Q1);
    desk.wait(ms);
    desk.ack(to, PUBACK, id);
}

/// Clients that are each subscribed to what begins with their name, and a publisher.
fn several(desk: &mut Desk, names: &[&str]) -> (Vec<ConnId>, ConnId) {
    let connect = |name: &&str| {
        let conn = desk.client(V5_0, name);
        desk.subscribe(conn, &format!("{name}/#"), Q1);
        conn
    };
    let conns = names.iter().map(connect).collect();
    (conns, desk.client(V5_0, "p"))
}

#[test]
fn an_entry_has_the_slowest_delivery_of_its_client_and_the_number_of_all() {
    let mut desk = desk(limits());
    let (to, from) = (subscriber(&mut desk, "c", Q1), desk.client(V5_0, "p"));
    for (topic, ms) in [("a", 600), ("b", 900), ("c", 700), ("d", 10), ("e", 900)] {
        late(&mut desk, from, to, topic, ms);
    }
    assert_eq!(told(&desk), [one("c", "b", 900, 4)]);
}

#[test]
fn in_a_full_list_the_fastest_makes_room_for_a_slower_one() {
    let mut desk = desk(SlowLimits {
        entries: 3,
        ..limits()
    });
    let (to, from) = several(&mut desk, &["a", "b", "c", "d", "e", "f"]);
    for (n, (topic, ms)) in [("a/1", 700), ("b/1", 600), ("c/1", 900)]
        .into_iter()
        .enumerate()
    {
        late(&mut desk, from, to[n], topic, ms);
    }
    let names = |desk: &Desk| -> String { told(desk).into_iter().map(|s| s.0).collect() };
    assert_eq!(names(&desk), "cab");
    late(&mut desk, from, to[3], "d/1", 600);
    assert_eq!(names(&desk), "cab", "not slower than the fastest");
    assert_eq!(desk.stats().slow_unlisted, 1);
    late(&mut desk, from, to[4], "e/1", 601);
    assert_eq!(names(&desk), "cae");
    assert_eq!(desk.stats().slow_displaced, 1);
    // One that has become slower is not the fastest any more.
    late(&mut desk, from, to[4], "e/2", 2_000);
    late(&mut desk, from, to[5], "f/1", 650);
    assert_eq!(names(&desk), "eca");
    late(&mut desk, from, to[5], "f/1", 750);
    assert_eq!(names(&desk), "ecf");
    assert_eq!(desk.stats().slow_displaced, 2);
    assert_eq!(desk.stats().slow_unlisted, 2);
    assert_eq!(desk.stats().late_deliveries, 8);
}

#[test]
fn an_entry_ends_with_its_time_and_its_place_is_free() {
    let mut desk = desk(SlowLimits {
        entries: 2,
        expire_ms: 10_000,
        ..limits()
    });
    let (to, from) = several(&mut desk, &["a", "b", "c"]);
    late(&mut desk, from, to[0], "a/1", 5_000);
    desk.wait(4_000);
    late(&mut desk, from, to[1], "b/1", 4_000);
    desk.wait(1_999);
    assert_eq!(told(&desk).len(), 2);
    desk.wait(1);
    assert_eq!(told(&desk), [one("b", "b/1", 4_000, 1)]);
    late(&mut desk, from, to[2], "c/1", 500);
    let both = [one("b", "b/1", 4_000, 1), one("c", "c/1", 500, 1)];
    assert_eq!(told(&desk), both);
    assert_eq!(desk.stats().slow_displaced, 0);
    // A late delivery prolongs it; who comes again begins anew.
    desk.wait(7_000);
    late(&mut desk, from, to[1], "b/2", 500);
    late(&mut desk, from, to[0], "a/2", 600);
    desk.wait(9_999);
    assert_eq!(told(&desk), [one("a", "a/2", 600, 1)]);
    desk.wait(1);
    assert_eq!(told(&desk), []);
}

#[test]
fn a_client_is_one_entry_over_its_sessions_and_stays_when_it_is_gone() {
    let mut desk = desk(limits());
    for _ in 0..2 {
        let (to, from) = (subscriber(&mut desk, "c", Q1), desk.client(V5_0, "p"));
        late(&mut desk, from, to, "t", 600);
        desk.cut(to);
        desk.cut(from);
        assert!(!desk.shard.has_session("c"));
    }
    assert_eq!(told(&desk), [one("c", "t", 600, 2)]);
}

#[test]
fn clearing_forgets_and_begins_anew() {
    let mut desk = desk(SlowLimits {
        entries: 1,
        ..limits()
    });
    let (to, from) = several(&mut desk, &["a", "b"]);
    late(&mut desk, from, to[0], "a/1", 5_000);
    desk.shard.clear_slow_subscribers();
    assert_eq!(told(&desk), []);
    assert!(!desk.shard.has_new_slow_subscribers());
    late(&mut desk, from, to[1], "b/1", 600);
    assert_eq!(told(&desk), [one("b", "b/1", 600, 1)]);
    assert!(desk.shard.has_new_slow_subscribers());
}

#[test]
fn each_that_comes_on_the_list_is_told_once_the_slowest_first() {
    let mut desk = desk(SlowLimits {
        entries: 4,
        expire_ms: 100_000,
        ..limits()
    });
    let (to, from) = several(&mut desk, &["a", "b", "c", "d", "e"]);
    for (n, ms) in [600, 800, 700, 900].into_iter().enumerate() {
        let topic = ["a/1", "b/1", "c/1", "d/1"][n];
        late(&mut desk, from, to[n], topic, ms);
    }
    let new = |desk: &mut Desk, most| -> String {
        let new = desk.shard.take_new_slow_subscribers(most, desk.now);
        new.into_iter().map(|s| s.client_id.into_string()).collect()
    };
    assert_eq!(new(&mut desk, 2), "db");
    assert!(desk.shard.has_new_slow_subscribers());
    // One that was not told of is gone; told ones are not told again while they are there.
    late(&mut desk, from, to[4], "e/1", 650);
    late(&mut desk, from, to[1], "b/2", 5_000);
    assert_eq!(new(&mut desk, 9), "ce");
    assert!(!desk.shard.has_new_slow_subscribers());
    assert_eq!(new(&mut desk, 9), "");
    desk.wait(100_000);
    late(&mut desk, from, to[1], "b/3", 600);
    assert_eq!(new(&mut desk, 9), "b");
}

#[test]
fn lists_of_several_shards_become_one() {
    let entry = |client: &str, topic: &str, latency_ms, late, updated| SlowSubscriber {
        client_id: client.into(),
        topic: topic.into(),
        latency_ms,
        late,
        updated: Time(updated),
    };
    let all = [
        entry("a", "x", 700, 2, 50),
        entry("b", "y", 900, 1, 10),
        entry("c", "z", 600, 1, 10),
        // It has moved from one shard to another.
        entry("a", "w", 800, 3, 20),
    ];
    let expected = [entry("b", "y", 900, 1, 10), entry("a", "w", 800, 5, 50)];
    assert_eq!(SlowSubscriber::slowest(all.clone(), 2), expected);
    assert_eq!(SlowSubscriber::slowest(all, 9).len(), 3);
    assert!(SlowSubscriber::slowest([], 9).is_empty());
}

#[test]
fn a_subscription_made_while_messages_wait_changes_nothing_of_them() {
    let mut desk = desk(limits());
    let from = desk.client(V5_0, "p");
    desk.retain(from, "kept", "old");
    let to = subscriber(&mut desk, "c", Q1);
    desk.take_all(to);
    let id = publish(&mut desk, from, to, "t", Q1);
    desk.wait(600);
    // The retained message comes again, and the other one is as late as before.
    let options = [("#", SubscriptionOptions::default())];
    let subscribe = Subscribe::new(5, Properties::EMPTY, &options);
    desk.send(to, Packet::Subscribe(subscribe));
    desk.wait(100);
    desk.ack(to, PUBACK, id);
    assert_eq!(told(&desk), [one("c", "t", 700, 1)]);
}
