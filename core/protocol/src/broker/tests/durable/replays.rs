//! Retained messages that were due when the power failed.

use super::hall::*;
use super::plain::publisher;
use crate::broker::durable::{DurableConfig, NotStored};
use crate::broker::tests::desk::*;
use crate::codec::{Packet, PacketType, Publish, QoS};

fn retain(hall: &mut Hall, publisher: u32, topic: &str, text: &str, qos: QoS, id: u16) {
    let mut publish = Publish::new(topic, text.as_bytes());
    (publish.qos, publish.packet_id, publish.retain) = (qos, id, true);
    hall.send(publisher, Packet::Publish(publish));
    hall.quiet();
    if qos == Q2 {
        hall.ack(publisher, PacketType::PubRel, id);
        hall.quiet();
    }
}

/// What a client gets, each with whether it is told that it was retained. It answers everything.
fn got(hall: &mut Hall, client: u32) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for _ in 0..20 {
        hall.quiet();
        for got in hall.take_all(client) {
            match got {
                Got::Publish(message) => {
                    all.push((message.text().to_owned(), message.retain));
                    let kind = match message.qos {
                        Q2 => PacketType::PubRec,
                        _ => PacketType::PubAck,
                    };
                    hall.ack(client, kind, message.id);
                }
                Got::Ack(PacketType::PubRel, id, _) => hall.ack(client, PacketType::PubComp, id),
                _ => {}
            }
        }
    }
    all
}

/// A session subscribes. All that the store has done is what SUBACK waits for.
fn subscribes(hall: &mut Hall, qos: QoS) -> u32 {
    let (sub, _) = hall.durable(V5_0, "sub");
    hall.subscribe(sub, "r/#", qos);
    for _ in 0..5 {
        hall.commit(1, None);
        hall.deliver_all();
        if let Some(Got::SubAck(9, _)) = hall.take(sub) {
            return sub;
        }
    }
    panic!("no SUBACK");
}

// [MQTT-4.3.3-2] [MQTT-3.3.1-9]
#[test]
fn what_is_retained_after_a_crash_is_not_played_again_to_who_subscribed_before() {
    for qos in [Q1, Q2] {
        for shards in 1..3 {
            let mut hall = Hall::new(shards);
            subscribes(&mut hall, qos);
            hall.crash(shards, 10);
            let publisher = publisher(&mut hall);
            retain(&mut hall, publisher, "r/1", "new", qos, 1);
            let (sub, present) = hall.durable(V5_0, "sub");
            assert!(present);
            assert_eq!(got(&mut hall, sub), [("new".to_owned(), false)]);
            hall.check_books();
        }
    }
}

#[test]
fn that_nothing_was_retained_is_stored_before_what_is_published_after_suback() {
    for qos in [Q1, Q2] {
        let mut hall = Hall::new(1);
        let publisher = publisher(&mut hall);
        subscribes(&mut hall, qos);
        let mut publish = Publish::new("r/1", b"new");
        (publish.qos, publish.packet_id, publish.retain) = (qos, 1, true);
        hall.send(publisher, Packet::Publish(publish));
        // Nothing is stored of what follows from it.
        while hall.disk.tail() == 0 {
            hall.commit(1, None);
        }
        hall.crash(1, 10);
        let (sub, _) = hall.durable(V5_0, "sub");
        assert_eq!(got(&mut hall, sub), [("new".to_owned(), false)]);
        hall.check_books();
    }
}

#[test]
fn a_replay_that_a_crash_has_cut_off_goes_on_with_what_there_was() {
    for qos in [Q1, Q2] {
        let mut hall = Hall::with(1, DurableConfig::default(), |limits| {
            limits.retained_page = 1;
            limits.inflight = 1;
        });
        let publisher = publisher(&mut hall);
        for n in 1..=3 {
            let (topic, text) = (format!("r/{n}"), n.to_string());
            retain(&mut hall, publisher, &topic, &text, qos, n);
        }
        subscribes(&mut hall, qos);
        hall.crash(1, 10);
        let publisher = self::publisher(&mut hall);
        retain(&mut hall, publisher, "r/4", "new", qos, 4);
        let (sub, _) = hall.durable(V5_0, "sub");
        let mut all = got(&mut hall, sub);
        all.sort();
        let due = [("1", true), ("2", true), ("3", true), ("new", false)];
        assert_eq!(all, due.map(|(text, retain)| (text.to_owned(), retain)));
        hall.check_books();
    }
}

/// A session with a replay that has come no further than its first message, of three.
fn in_a_replay(qos: QoS, shards: usize) -> (Hall, u32) {
    let mut hall = Hall::with(shards, DurableConfig::default(), |limits| {
        limits.retained_page = 1;
        limits.inflight = 1;
    });
    let publisher = publisher(&mut hall);
    for n in 1..=3 {
        let (topic, text) = (format!("r/{n}"), n.to_string());
        retain(&mut hall, publisher, &topic, &text, qos, n);
    }
    let sub = subscribes(&mut hall, qos);
    (hall, sub)
}

const DUE: [(&str, bool); 4] = [("1", true), ("2", true), ("3", true), ("new", false)];

fn check_all(hall: &mut Hall, sub: u32) {
    let mut all = got(hall, sub);
    all.sort();
    assert_eq!(all, DUE.map(|(text, retain)| (text.to_owned(), retain)));
    hall.check_books();
}

// [MQTT-4.3.3-2] [MQTT-3.3.1-9]
#[test]
fn what_is_retained_before_a_crash_is_not_played_too_if_it_came_after_suback() {
    for qos in [Q1, Q2] {
        for crashes in 1..3 {
            for shards in 1..3 {
                let (mut hall, _) = in_a_replay(qos, shards);
                let publisher = publisher(&mut hall);
                retain(&mut hall, publisher, "r/4", "new", qos, 4);
                for _ in 0..crashes {
                    hall.crash(shards, 10);
                }
                let (sub, _) = hall.durable(V5_0, "sub");
                check_all(&mut hall, sub);
            }
        }
    }
}

// [MQTT-4.3.3-2] [MQTT-3.3.1-9]
#[test]
fn what_is_retained_between_two_crashes_is_not_played_too() {
    for qos in [Q1, Q2] {
        let (mut hall, _) = in_a_replay(qos, 1);
        hall.crash(1, 10);
        let publisher = publisher(&mut hall);
        retain(&mut hall, publisher, "r/4", "new", qos, 4);
        hall.crash(1, 10);
        let (sub, _) = hall.durable(V5_0, "sub");
        check_all(&mut hall, sub);
    }
}

// [MQTT-4.3.3-2] [MQTT-3.3.1-9]
#[test]
fn what_is_retained_where_a_replay_has_not_come_by_yet_comes_once() {
    for qos in [Q1, Q2] {
        // Kept by the time that the page is read, or on its way to the store.
        for kept in [true, false] {
            let (mut hall, sub) = in_a_replay(qos, 1);
            let publisher = publisher(&mut hall);
            let mut publish = Publish::new("r/4", b"new");
            (publish.qos, publish.packet_id, publish.retain) = (qos, 4, true);
            hall.send(publisher, Packet::Publish(publish));
            if kept {
                hall.quiet();
            }
            check_all(&mut hall, sub);
        }
    }
}

// [MQTT-3.3.1-9]
#[test]
fn a_retained_message_that_the_store_refused_is_one_that_is_not_in_the_log() {
    let (mut hall, sub) = in_a_replay(Q2, 1);
    let publisher = publisher(&mut hall);
    let mut publish = Publish::new("r/4", b"new");
    (publish.qos, publish.packet_id, publish.retain) = (Q2, 4, true);
    hall.send(publisher, Packet::Publish(publish));
    hall.commit(usize::MAX, Some(NotStored::Full));
    hall.deliver_all();
    let all = got(&mut hall, sub);
    assert!(all.contains(&("new".to_owned(), true)), "{all:?}");
}

// [MQTT-3.8.4-4]
#[test]
fn who_subscribes_again_is_sent_again_what_it_had_from_the_log() {
    let mut hall = Hall::new(1);
    let sub = subscribes(&mut hall, Q2);
    let publisher = publisher(&mut hall);
    retain(&mut hall, publisher, "r/1", "new", Q2, 1);
    assert_eq!(got(&mut hall, sub), [("new".to_owned(), false)]);
    hall.subscribe(sub, "r/#", Q2);
    assert_eq!(got(&mut hall, sub), [("new".to_owned(), true)]);
    hall.check_books();
}

// [MQTT-3.3.1-9]
#[test]
fn a_message_that_nobody_had_in_the_log_is_played_after_crashes() {
    for crashes in 0..3 {
        let mut hall = Hall::new(1);
        let publisher = publisher(&mut hall);
        retain(&mut hall, publisher, "r/1", "old", Q2, 1);
        for _ in 0..crashes {
            hall.crash(1, 10);
        }
        let sub = subscribes(&mut hall, Q2);
        assert_eq!(got(&mut hall, sub), [("old".to_owned(), true)]);
    }
}

// [MQTT-4.3.3-2] [MQTT-3.3.1-9]
#[test]
fn what_is_on_its_way_to_the_log_when_a_replay_finds_it_comes_once() {
    let (mut hall, sub) = in_a_replay(Q1, 1);
    let publisher = publisher(&mut hall);
    let mut publish = Publish::new("r/3", b"new");
    (publish.qos, publish.packet_id, publish.retain) = (Q1, 4, true);
    hall.send(publisher, Packet::Publish(publish));
    // The next page is read before anything is stored.
    let Some(Got::Publish(first)) = hall.take(sub) else {
        panic!("no PUBLISH");
    };
    assert_eq!(first.text(), "1");
    hall.ack(sub, PacketType::PubAck, first.id);
    let mut all = got(&mut hall, sub);
    all.sort();
    let due = [("2", true), ("new", false)];
    assert_eq!(all, due.map(|(text, retain)| (text.to_owned(), retain)));
    hall.check_books();
}
