//! One thing at a time.

use super::hall::*;
use crate::broker::Priorities;
use crate::broker::durable::{Durability, DurabilityRule, DurableConfig, NotStored};
use crate::broker::tests::desk::*;
use crate::codec::{
    Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, QoS, Subscribe,
    SubscriptionOptions, Will,
};
use crate::message::Message;
use crate::reason::ReasonCode;

fn acks(hall: &mut Hall, client: u32) -> Vec<(PacketType, u16, ReasonCode)> {
    let all = hall.take_all(client).into_iter();
    all.filter_map(|got| match got {
        Got::Ack(kind, id, reason) => Some((kind, id, reason)),
        _ => None,
    })
    .collect()
}

/// A session that subscribes to a filter, everything settled.
pub(super) fn subscriber(hall: &mut Hall, name: &str, filter: &str, qos: crate::codec::QoS) -> u32 {
    let (client, _) = hall.durable(V5_0, name);
    hall.subscribe(client, filter, qos);
    hall.quiet();
    assert!(matches!(hall.take(client), Some(Got::SubAck(9, _))));
    client
}

// [MQTT-3.1.2-23] [MQTT-4.4.0-1]
#[test]
fn what_is_acknowledged_outlives_a_crash_and_what_is_not_is_not_acknowledged() {
    for shards in 1..4 {
        let mut hall = Hall::new(shards);
        let sub = subscriber(&mut hall, "sub", "a/+", Q1);
        let publisher = hall.connect(V5_0, "pub", true, 0);
        hall.quiet();
        hall.connack(publisher);
        hall.publish(publisher, "a/1", "first", Q1, 1);
        hall.deliver_all();
        assert_eq!(hall.take(publisher), None, "nothing is stored yet");
        assert_eq!(hall.take(sub), None, "nor delivered");
        hall.quiet();
        let first = (PacketType::PubAck, 1, ReasonCode::SUCCESS);
        assert_eq!(acks(&mut hall, publisher), [first]);
        assert_eq!(hall.texts(sub), ["first"]);
        hall.publish(publisher, "a/2", "second", Q1, 2);
        hall.check_books();
        hall.crash(shards, 1000);
        let (sub, present) = hall.durable(V5_0, "sub");
        assert!(present);
        hall.quiet();
        assert_eq!(hall.texts(sub), ["first"]);
        hall.check_books();
    }
}

#[test]
fn who_is_away_costs_a_cursor_and_reads_page_by_page() {
    let config = DurableConfig {
        page_messages: 8,
        ..DurableConfig::default()
    };
    let mut hall = Hall::with(2, config, |limits| limits.inflight = 4);
    let sub = subscriber(&mut hall, "sub", "a/#", Q1);
    hall.cut(sub);
    let publisher = hall.connect(V3_1_1, "pub", true, 0);
    hall.quiet();
    for n in 1..=100 {
        hall.publish(publisher, "a/b", &n.to_string(), Q1, n);
    }
    hall.quiet();
    let home = hall.home_of("sub");
    assert_eq!(hall.shards[home].stats().queued, 0);
    assert_eq!(hall.shards[home].stats().unread, 100);
    let (sub, _) = hall.durable(V5_0, "sub");
    let mut seen = Vec::new();
    loop {
        hall.quiet();
        assert!(hall.shards[home].stats().queued <= 10);
        let all = hall.take_all(sub);
        if all.is_empty() {
            break;
        }
        for got in all {
            let Got::Publish(message) = got else {
                panic!("{got:?}");
            };
            seen.push(message.text().to_owned());
            hall.ack(sub, PacketType::PubAck, message.id);
        }
    }
    let expected: Vec<String> = (1..=100).map(|n: u32| n.to_string()).collect();
    assert_eq!(seen, expected);
    // Live again: without a question.
    hall.publish(publisher, "a/b", "more", Q1, 101);
    hall.commit(9, None);
    hall.deliver_all();
    assert_eq!(hall.texts(sub), ["more"]);
    assert!(hall.reads.is_empty());
    hall.check_books();
}

// [MQTT-4.3.3-8] [MQTT-4.3.3-9] [MQTT-4.3.3-10]
#[test]
fn qos_2_waits_for_the_store_at_each_step_of_both_ways() {
    let mut hall = Hall::new(1);
    let sub = subscriber(&mut hall, "sub", "t", Q2);
    let (publisher, _) = hall.durable(V5_0, "pub");
    hall.publish(publisher, "t", "x", Q2, 7);
    assert!(acks(&mut hall, publisher).is_empty());
    hall.commit(9, None);
    hall.deliver_all();
    let received = (PacketType::PubRec, 7, ReasonCode::SUCCESS);
    assert_eq!(acks(&mut hall, publisher), [received]);
    assert_eq!(hall.take(sub), None, "its identifier is not stored yet");
    hall.ack(publisher, PacketType::PubRel, 7);
    assert!(acks(&mut hall, publisher).is_empty());
    hall.commit(9, None);
    hall.deliver_all();
    assert_eq!(acks(&mut hall, publisher)[0].0, PacketType::PubComp);
    let Some(Got::Publish(message)) = hall.take(sub) else {
        panic!("no message");
    };
    assert!(message.qos == Q2 && !message.dup);
    hall.ack(sub, PacketType::PubRec, message.id);
    assert!(acks(&mut hall, sub).is_empty(), "PUBREC is not stored yet");
    hall.commit(9, None);
    hall.deliver_all();
    assert_eq!(acks(&mut hall, sub)[0].0, PacketType::PubRel);
    hall.crash(1, 10);
    // Only PUBREL is owed, whatever of PUBCOMP was on its way.
    let (sub, present) = hall.durable(V5_0, "sub");
    assert!(present);
    hall.quiet();
    let again = (PacketType::PubRel, message.id, ReasonCode::SUCCESS);
    assert_eq!(acks(&mut hall, sub), [again]);
}

#[test]
fn a_store_that_refuses_delivers_nothing_and_says_so() {
    let mut hall = Hall::new(2);
    let sub = subscriber(&mut hall, "sub", "t", Q2);
    let v5 = hall.connect(V5_0, "five", true, 0);
    let v3 = hall.connect(V3_1_1, "three", true, 0);
    hall.quiet();
    hall.connack(v5);
    hall.connack(v3);
    hall.publish(v5, "t", "1", Q1, 1);
    hall.publish(v5, "t", "2", Q2, 2);
    hall.publish(v3, "t", "3", Q1, 1);
    hall.commit(9, Some(NotStored::Full));
    hall.deliver_all();
    let full = ReasonCode::QUOTA_EXCEEDED;
    let refused = [(PacketType::PubAck, 1, full), (PacketType::PubRec, 2, full)];
    assert_eq!(acks(&mut hall, v5), refused);
    assert!(hall.is_open(v5) && !hall.is_open(v3));
    hall.quiet();
    assert_eq!(hall.take(sub), None);
    // Both identifiers are free, and the store takes again.
    hall.publish(v5, "t", "4", Q2, 2);
    hall.quiet();
    assert_eq!(acks(&mut hall, v5)[0].2, ReasonCode::SUCCESS);
    assert_eq!(hall.texts(sub), ["4"]);
    let refused: u64 = hall
        .shards
        .iter()
        .map(|s| s.stats().publishes_refused.quota)
        .sum();
    assert_eq!(refused, 3);
    // What nobody waits for is written a while later.
    hall.cut(sub);
    hall.commit(9, Some(NotStored::Failed));
    hall.deliver_all();
    let clock = hall.clock();
    assert!(hall.disk.restore(clock)[0].connected);
    hall.wait(1_001);
    hall.quiet();
    assert!(!hall.disk.restore(clock)[0].connected);
}

#[test]
fn a_session_that_was_discarded_or_has_expired_does_not_come_back() {
    let mut hall = Hall::new(2);
    let old = subscriber(&mut hall, "c", "t", Q1);
    hall.cut(old);
    let clean = hall.connect(V5_0, "c", true, 0);
    hall.quiet();
    assert!(!hall.connack(clean));
    assert_eq!(hall.disk.sessions(), 0);
    hall.crash(2, 10);
    let (_, present) = hall.durable(V5_0, "c");
    assert!(!present);
    // And when the store refuses that, it is said again.
    let clean = hall.connect(V5_0, "c", true, 0);
    hall.commit(9, Some(NotStored::Full));
    hall.deliver_all();
    assert!(!hall.is_open(clean));
    assert_eq!(hall.disk.sessions(), 1);
    hall.wait(1_500);
    hall.quiet();
    assert_eq!(hall.disk.sessions(), 0);
    // Time passes while nothing runs.
    let short = subscriber(&mut hall, "short", "t", Q1);
    hall.cut(short);
    hall.quiet();
    hall.crash(2, 20_000_000);
    hall.quiet();
    assert_eq!(hall.disk.sessions(), 0);
}

#[test]
fn topics_and_listeners_choose_what_an_acknowledgement_promises() {
    let rule = |filter: &str, durability| DurabilityRule {
        listener: None,
        filter: Some(filter.into()),
        durability,
    };
    let config = DurableConfig {
        rules: vec![
            rule("fast/#", Durability::None),
            rule("#", Durability::Each),
        ],
        ..DurableConfig::default()
    };
    let mut hall = Hall::with(1, config, |_| ());
    let sub = subscriber(&mut hall, "sub", "#", Q1);
    let publisher = hall.connect(V5_0, "pub", true, 0);
    hall.quiet();
    hall.connack(publisher);
    hall.publish(publisher, "fast/1", "f", Q1, 1);
    assert_eq!(acks(&mut hall, publisher).len(), 1, "at once");
    hall.publish(publisher, "safe/1", "s", Q1, 2);
    // In its turn: behind what waits.
    hall.publish(publisher, "fast/2", "g", Q1, 3);
    assert!(acks(&mut hall, publisher).is_empty());
    hall.quiet();
    let ids: Vec<u16> = acks(&mut hall, publisher).iter().map(|ack| ack.1).collect();
    assert_eq!(ids, [2, 3]);
    assert_eq!(hall.texts(sub), ["f", "s", "g"]);
}

#[test]
fn interest_goes_with_the_last_subscription_and_nothing_is_overtaken() {
    // On the shard of the last one who wants it, and on the other.
    for name in ["p", "q"] {
        let mut hall = Hall::new(2);
        assert_ne!(hall.home_of("p"), hall.home_of("q"));
        interest_goes(&mut hall, name);
    }
}

fn interest_goes(hall: &mut Hall, name: &str) {
    let one = subscriber(hall, "a", "t", Q1);
    let other = subscriber(hall, "b", "t", Q1);
    assert_ne!(hall.home_of("a"), hall.home_of("b"));
    let plain = hall.connect(V3_1_1, name, true, 0);
    hall.quiet();
    hall.connack(plain);
    hall.subscribe(plain, "t", Q1);
    hall.quiet();
    hall.take_all(plain);
    hall.unsubscribe(one, "t");
    hall.quiet();
    hall.publish(plain, "t", "kept", Q1, 1);
    assert!(hall.take(plain).is_none(), "for the other one");
    hall.unsubscribe(other, "t");
    // Nobody wants it to be kept, but the last one that was is not out yet.
    hall.deliver_all();
    hall.publish(plain, "t", "behind it", Q1, 2);
    hall.deliver_all();
    assert!(hall.take(plain).is_none());
    hall.quiet();
    let got: Vec<String> = hall
        .take_all(plain)
        .into_iter()
        .filter_map(|got| match got {
            Got::Publish(message) => Some(message.text().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(got, ["kept", "behind it"]);
    let appended = |hall: &Hall| hall.shards.iter().map(|s| s.stats().appended).sum::<u64>();
    assert_eq!(appended(hall), 2);
    hall.publish(plain, "t", "not kept", Q1, 3);
    hall.deliver_all();
    assert_eq!(hall.take_all(plain).len(), 2, "the message and PUBACK");
    assert_eq!(appended(hall), 2);
    hall.quiet();
    assert_eq!(hall.disk.tail(), 2);
}

#[test]
fn delayed_messages_and_wills_are_kept_until_they_are_published() {
    let mut hall = Hall::new(2);
    let sub = subscriber(&mut hall, "sub", "later", Q1);
    hall.cut(sub);
    let publisher = hall.connect(V5_0, "pub", true, 0);
    hall.quiet();
    hall.connack(publisher);
    hall.publish(publisher, "$delayed/60/later", "x", Q1, 1);
    assert!(acks(&mut hall, publisher).is_empty());
    hall.quiet();
    assert_eq!(acks(&mut hall, publisher).len(), 1);
    hall.crash(2, 30_000);
    hall.wait(30_001);
    hall.quiet();
    let clock = hall.clock();
    assert!(hall.disk.delayed(clock).is_empty());
    hall.crash(2, 10);
    let (sub, present) = hall.durable(V5_0, "sub");
    assert!(present);
    hall.quiet();
    assert_eq!(hall.texts(sub), ["x"], "once");
}

// [MQTT-4.6.0-6]
#[test]
fn a_session_is_written_once_a_turn_and_without_anybody_waiting_a_while_later() {
    let mut hall = Hall::new(1);
    let sub = subscriber(&mut hall, "sub", "#", Q1);
    let publisher = hall.connect(V3_1_1, "pub", true, 0);
    // That nothing was retained for it.
    hall.wait(1_001);
    hall.quiet();
    let (before, idle) = (hall.disk.written, hall.disk.session_bytes());
    for n in 1..=20 {
        hall.publish(publisher, "t", "x", Q1, n);
    }
    hall.quiet();
    for got in hall.take_all(sub) {
        if let Got::Publish(message) = got {
            hall.ack(sub, PacketType::PubAck, message.id);
        }
    }
    hall.quiet();
    assert_eq!(hall.disk.written, before);
    hall.wait(1_001);
    hall.quiet();
    assert_eq!(hall.disk.written, before + 1);
    let clock = hall.clock();
    let record = hall.disk.restore(clock).remove(0);
    assert_eq!((record.cursor, record.in_flight.len()), (20, 0));
    // What a step of QoS 2 writes: the architecture says how much that is.
    for n in 1..=20 {
        hall.publish(publisher, "t", "x", Q1, n);
    }
    hall.cut(sub);
    hall.quiet();
    assert!(idle <= 40, "{idle}");
    let each = (hall.disk.session_bytes() - idle) / 20;
    assert!(each <= 16, "{each}");
}

fn texts(hall: &mut Hall, client: u32) -> Vec<String> {
    let all = hall.take_all(client).into_iter();
    all.filter_map(|got| match got {
        Got::Publish(message) => Some(message.text().to_owned()),
        _ => None,
    })
    .collect()
}

pub(super) fn publisher(hall: &mut Hall) -> u32 {
    let publisher = hall.connect(V5_0, "pub", true, 0);
    hall.quiet();
    hall.connack(publisher);
    publisher
}

#[test]
fn of_a_backlog_beyond_its_limit_the_oldest_are_dropped_when_they_are_read() {
    let config = DurableConfig {
        page_messages: 3,
        backlog_messages: 4,
        ..DurableConfig::default()
    };
    let mut hall = Hall::with(1, config, |_| ());
    let sub = subscriber(&mut hall, "sub", "t", Q1);
    hall.cut(sub);
    let publisher = publisher(&mut hall);
    for n in 1..=10 {
        hall.publish(publisher, "t", &n.to_string(), Q1, n);
    }
    hall.quiet();
    let (sub, _) = hall.durable(V5_0, "sub");
    hall.quiet();
    assert_eq!(texts(&mut hall, sub), ["7", "8", "9", "10"]);
    assert_eq!(hall.shards[0].stats().dropped.queue_items, 6);
    hall.check_books();
}

/// Of a session and of a group: what is in the log when a broker starts counts as what comes by later.
#[test]
fn a_limit_of_what_may_wait_holds_over_a_start() {
    let config = |by_bytes: bool| DurableConfig {
        page_messages: 3,
        backlog_messages: if by_bytes { u32::MAX } else { 4 },
        backlog_bytes: if by_bytes { 300 } else { u64::MAX },
        ..DurableConfig::default()
    };
    for filter in ["t", "$share/g/t"] {
        for (by_bytes, before) in [(false, 10), (false, 7), (false, 0), (true, 10), (true, 6)] {
            let mut hall = Hall::with(1, config(by_bytes), |_| ());
            let sub = subscriber(&mut hall, "sub", filter, Q1);
            hall.cut(sub);
            for n in 1..=10 {
                if n == before + 1 {
                    hall.crash(1, 10);
                }
                let publisher = publisher(&mut hall);
                hall.publish(publisher, "t", &n.to_string(), Q1, n);
                hall.quiet();
                hall.cut(publisher);
            }
            if before == 10 {
                hall.crash(1, 10);
            }
            let (sub, _) = hall.durable(V5_0, "sub");
            let got = read_all(&mut hall, sub, 10);
            let most = if by_bytes { 5 } else { 4 };
            assert!(
                got.len() <= most && got.len() >= 2,
                "{filter} {before} {got:?}"
            );
            let newest: Vec<_> = (11 - got.len()..=10).map(|n| n.to_string()).collect();
            assert_eq!(got, newest, "{filter} {before}");
            let dropped = &hall.shards[0].stats().dropped;
            let counted = dropped.queue_items + dropped.queue_bytes;
            assert_eq!(counted as usize, 10 - got.len(), "{filter} {before}");
            hall.check_books();
        }
    }
}

// [MQTT-3.3.2-5] [MQTT-3.8.3-3] [MQTT-3.3.4-3] [MQTT-3.3.4-4]
#[test]
fn what_is_read_is_for_the_subscriptions_of_today() {
    let mut hall = Hall::new(2);
    let sub = subscriber(&mut hall, "sub", "a/#", Q1);
    let identified = |hall: &mut Hall, filter: &str, id: u32, no_local: bool| {
        let options = SubscriptionOptions {
            qos: Q2,
            no_local,
            ..SubscriptionOptions::default()
        };
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::SubscriptionIdentifier, id);
        let requests = [(filter, options)];
        let packet = Subscribe::new(9, properties.get(), &requests);
        hall.send(sub, Packet::Subscribe(packet));
        hall.quiet();
        hall.take_all(sub);
    };
    identified(&mut hall, "a/+", 7, false);
    identified(&mut hall, "own", 8, true);
    // Its own, of which it wants none; then it goes.
    hall.publish(sub, "own", "mine", Q1, 1);
    hall.quiet();
    hall.take_all(sub);
    hall.cut(sub);
    let publisher = publisher(&mut hall);
    let mut expiring = Publish::new("a/b", b"too late");
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::MessageExpiryInterval, 5);
    (expiring.qos, expiring.packet_id) = (Q1, 1);
    expiring.properties = properties.get();
    hall.send(publisher, Packet::Publish(expiring));
    hall.publish(publisher, "a/b", "in time", Q2, 2);
    hall.publish(publisher, "a/b/c", "one", Q2, 3);
    hall.quiet();
    hall.wait(6_000);
    let (sub, _) = hall.durable(V5_0, "sub");
    hall.quiet();
    // Order is promised for each QoS by itself.
    let mut got: Vec<(String, QoS, Vec<u32>)> = hall
        .take_all(sub)
        .into_iter()
        .filter_map(|got| match got {
            Got::Publish(m) => Some((m.text().to_owned(), m.qos, m.subscription_ids())),
            _ => None,
        })
        .collect();
    got.sort();
    assert_eq!(
        got,
        [("in time".into(), Q2, vec![7]), ("one".into(), Q1, vec![])]
    );
    let home = hall.home_of("sub");
    assert_eq!(hall.shards[home].stats().dropped.expired, 1);
    hall.check_books();
}

#[test]
fn who_subscribes_while_it_is_behind_gets_nothing_from_before_and_still_the_rest() {
    for crashes in [true, false] {
        subscribes_while_behind(crashes);
    }
}

fn subscribes_while_behind(crashes: bool) {
    let mut hall = Hall::with(1, DurableConfig::default(), |limits| limits.inflight = 1);
    let sub = subscriber(&mut hall, "sub", "a", Q1);
    let other = subscriber(&mut hall, "other", "b", Q1);
    let publisher = publisher(&mut hall);
    for (id, topic, qos) in [(1, "a", Q1), (2, "a", Q2), (3, "b", Q1), (4, "a", Q2)] {
        hall.publish(publisher, topic, &format!("{topic}{id}"), qos, id);
    }
    hall.quiet();
    // Behind: one is on its way, and no more may be.
    hall.subscribe(sub, "b", Q1);
    hall.subscribe(sub, "a", Q1);
    hall.subscribe(sub, "+", Q2);
    hall.quiet();
    hall.publish(publisher, "b", "b5", Q1, 5);
    hall.publish(publisher, "a", "a6", Q2, 6);
    hall.quiet();
    let sub = match crashes {
        true => {
            hall.crash(1, 10);
            hall.durable(V5_0, "sub").0
        }
        false => sub,
    };
    let mut all = Vec::new();
    for _ in 0..10 {
        hall.quiet();
        for got in hall.take_all(sub) {
            if let Got::Publish(message) = got {
                all.push((message.text().to_owned(), message.qos));
                let kind = match message.qos {
                    Q2 => PacketType::PubRec,
                    _ => PacketType::PubAck,
                };
                hall.ack(sub, kind, message.id);
            }
        }
    }
    // What was published before the subscription with QoS 2 is not for that one.
    let expected = [("a1", Q1), ("a2", Q1), ("a4", Q1), ("b5", Q1), ("a6", Q2)];
    assert_eq!(all, expected.map(|(text, qos)| (text.to_owned(), qos)));
    let _ = other;
}

// [MQTT-3.3.1-9]
#[test]
fn a_retained_message_on_its_way_is_in_the_record_itself() {
    let mut hall = Hall::new(1);
    let anybody = subscriber(&mut hall, "anybody", "r", Q1);
    let publisher = publisher(&mut hall);
    let mut publish = Publish::new("r", b"kept");
    (publish.qos, publish.packet_id, publish.retain) = (Q2, 1, true);
    hall.send(publisher, Packet::Publish(publish));
    hall.quiet();
    assert_eq!(texts(&mut hall, anybody), ["kept"]);
    let late = subscriber(&mut hall, "late", "r", Q2);
    assert_eq!(texts(&mut hall, late), ["kept"]);
    hall.quiet();
    let clock = hall.clock();
    let records = hall.disk.restore(clock);
    let late = records
        .iter()
        .find(|one| &*one.client_id == "late")
        .unwrap();
    let message = late.messages().next().unwrap();
    assert_eq!((message.log_seq(), message.payload()), (0, &b"kept"[..]));
    hall.crash(1, 10);
    let (late, _) = hall.durable(V5_0, "late");
    hall.quiet();
    assert_eq!(texts(&mut hall, late), ["kept"]);
}

// [MQTT-3.1.2-8] [MQTT-3.1.3-9]
#[test]
fn the_will_of_a_client_that_was_there_is_published_after_a_crash() {
    let mut hall = Hall::new(2);
    let sub = subscriber(&mut hall, "sub", "gone", Q1);
    let will = Will {
        topic: "gone",
        payload: b"bye",
        qos: Q1,
        retain: false,
        properties: Properties::EMPTY,
    };
    let mut connect = Connect::new(V3_1_1, "c");
    connect.clean_start = false;
    connect.will = Some(will);
    let client = hall.open(hall.home_of("c"), V3_1_1);
    hall.send(client, Packet::Connect(connect));
    hall.quiet();
    hall.connack(client);
    let _ = sub;
    hall.crash(2, 10);
    hall.wait(1);
    hall.quiet();
    let (sub, _) = hall.durable(V5_0, "sub");
    hall.quiet();
    assert_eq!(texts(&mut hall, sub), ["bye"]);
    hall.crash(2, 10);
    let (sub, _) = hall.durable(V5_0, "sub");
    hall.quiet();
    assert_eq!(texts(&mut hall, sub), ["bye"], "the same, on its way");
    assert_eq!(hall.disk.tail(), 1);
}

#[test]
fn a_topic_that_comes_first_comes_first_and_qos_2_once_all_the_same() {
    let mut hall = two_of_six_under_way(Q2);
    let mut all = Vec::new();
    hall.crash(1, 10);
    let (sub, _) = hall.durable(V5_0, "sub");
    for _ in 0..20 {
        hall.quiet();
        for got in hall.take_all(sub) {
            match got {
                Got::Publish(message) => {
                    all.push(message.text().to_owned());
                    hall.ack(sub, PacketType::PubRec, message.id);
                }
                Got::Ack(PacketType::PubRel, id, _) => hall.ack(sub, PacketType::PubComp, id),
                _ => {}
            }
        }
    }
    assert_eq!(all, ["5", "6", "1", "2", "3", "4"]);
    hall.check_books();
}

// [MQTT-4.6.0-1]
#[test]
fn what_waits_behind_a_topic_that_comes_first_comes_once_after_a_crash() {
    let mut hall = two_of_six_under_way(Q1);
    hall.wait(2_000); // its record is written
    hall.quiet();
    hall.crash(1, 10);
    let (sub, _) = hall.durable(V5_0, "sub");
    assert_eq!(read_all(&mut hall, sub, 20), ["5", "6", "1", "2", "3", "4"]);
    hall.check_books();
}

#[test]
fn a_page_that_was_asked_for_before_a_subscription_says_nothing_about_it() {
    for comes_back in [false, true] {
        let mut hall = Hall::new(1);
        let sub = subscriber(&mut hall, "sub", "t", Q1);
        hall.cut(sub);
        let publisher = publisher(&mut hall);
        hall.publish(publisher, "t", "1", Q1, 1);
        hall.quiet();
        let come = |hall: &mut Hall| {
            let sub = hall.connect(V5_0, "sub", false, 10_000);
            hall.commit(usize::MAX, None);
            hall.deliver_all();
            assert!(hall.connack(sub));
            sub
        };
        let mut sub = come(&mut hall);
        assert_eq!(hall.reads.len(), 1);
        if comes_back {
            hall.cut(sub);
            sub = come(&mut hall);
            assert_eq!(hall.reads.len(), 2, "one is for the connection of before");
        }
        hall.subscribe(sub, "u", Q1);
        hall.commit(usize::MAX, None);
        hall.deliver_all();
        assert!(matches!(hall.take(sub), Some(Got::SubAck(..))));
        hall.publish(publisher, "u", "2", Q1, 2);
        hall.commit(usize::MAX, None);
        hall.deliver_all();
        assert_eq!(read_all(&mut hall, sub, 20), ["1", "2"]);
        hall.check_books();
    }
}

/// Six messages waited for `sub`, which takes two at a time; the fifth and sixth, of a topic that comes first,
/// are on their way to it.
fn two_of_six_under_way(qos: crate::codec::QoS) -> Hall {
    let config = DurableConfig {
        page_messages: 6,
        ..DurableConfig::default()
    };
    let mut hall = Hall::with(1, config, |limits| {
        limits.inflight = 2;
        limits.priorities = Priorities {
            filters: vec![("alarm/#".into(), 9)],
            ..Priorities::default()
        };
    });
    let sub = subscriber(&mut hall, "sub", "#", qos);
    hall.cut(sub);
    let publisher = publisher(&mut hall);
    for n in 1..=6 {
        let topic = ["t", "alarm/x"][usize::from(n > 4)];
        hall.publish(publisher, topic, &n.to_string(), qos, n);
    }
    hall.quiet();
    let (sub, _) = hall.durable(V5_0, "sub");
    hall.quiet();
    assert_eq!(texts(&mut hall, sub), ["5", "6"]);
    hall
}

#[test]
fn a_message_of_this_process_is_kept_like_any_other() {
    let mut hall = Hall::new(1);
    let sub = subscriber(&mut hall, "sub", "t", Q1);
    hall.cut(sub);
    for (topic, qos, kept) in [("t", Q1, true), ("t", Q0, false), ("other", Q1, false)] {
        let now = hall.now;
        let message = Message::new(topic, b"x", qos, false, Properties::EMPTY, now);
        assert_eq!(hall.keep_published(&message.unwrap()), kept);
    }
    hall.quiet();
    hall.crash(1, 1);
    let (sub, _) = hall.durable(V5_0, "sub");
    hall.quiet();
    assert_eq!(texts(&mut hall, sub), ["x"]);
}
