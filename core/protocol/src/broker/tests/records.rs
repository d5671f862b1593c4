//! Sessions over a restart: what a shard exports, another one restores, through the bytes of a store.

use super::desk::*;
use crate::broker::record::{
    Epoch, LogPos, Owner, Restored, SessionRecord, decode_message, encode_message,
};
use crate::broker::{ConnId, Limits, Shard, ShardConfig};
use crate::codec::{
    Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, Subscribe,
    SubscriptionOptions, Unsubscribe, Will,
};
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::seeded::Seeded;
use crate::time::{Clock, Time, UnixMs};
use crate::version::ProtocolVersion;

/// When the first broker of a test stops.
const STOPPED: UnixMs = UnixMs(1_800_000_000_000);

/// The records of all sessions in pages of two, as bytes and back.
pub(super) fn export(shard: &mut Shard, clock: Clock) -> Vec<SessionRecord> {
    let (mut records, mut from) = (Vec::new(), Some(0));
    while let Some(slot) = from {
        from = shard.export(slot, 2, clock, &mut records);
    }
    records
}

/// Through the bytes of a store: written by one clock, read by another.
pub(super) fn carry(record: &SessionRecord, clock: Clock, later: Clock) -> SessionRecord {
    let (mut bytes, mut messages) = (Vec::new(), Vec::new());
    let place = |message: &Message| {
        let mut body = Vec::new();
        encode_message(message, clock, &mut body);
        messages.push(body);
        LogPos {
            partition: 0,
            seq: messages.len() as u64 - 1,
        }
    };
    record.encode(place, &mut bytes);
    let find = |at: LogPos| decode_message(&messages[at.seq as usize], later).ok();
    SessionRecord::decode(&bytes, find).unwrap()
}

/// Another broker starts `away` ms after this one stopped, with what it kept.
fn restart(desk: &mut Desk, away: u64) -> Desk {
    let clock = Clock::at(desk.now, STOPPED);
    let records = export(&mut desk.shard, clock);
    let mut next = Desk::new();
    next.shard = Shard::new(ShardConfig {
        number: NUMBER,
        seed: 7,
        limits: Limits::default(),
        owner: Owner {
            epoch: Epoch(2),
            ..Owner::default()
        },
        ..ShardConfig::default()
    });
    next.now = Time(50_000_000);
    let later = Clock::at(next.now, UnixMs(STOPPED.0 + away));
    for record in &records {
        let record = carry(record, clock, later);
        let restored = next.shard.restore(record, later, &mut next.out);
        assert_eq!(restored, Restored::Taken);
    }
    next.settle();
    next.check_books();
    next
}

/// A client that keeps its session is back; it was there.
fn resumed(desk: &mut Desk, version: ProtocolVersion, client_id: &str) -> ConnId {
    let (conn, present) = desk.durable(version, client_id);
    assert_eq!(present, version != V3_1, "{client_id} is known");
    conn
}

// [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.3.2-1]
#[test]
fn what_was_in_flight_is_sent_again_with_its_id_and_what_waited_follows() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::with(|limits| limits.inflight = 3);
        let (client, _) = desk.durable(version, "c");
        desk.subscribe(client, "a/+", Q2);
        let publisher = desk.client(V3_1_1, "p");
        for (n, qos) in [Q2, Q1, Q2, Q1, Q2].into_iter().enumerate() {
            let payload = n.to_string();
            desk.publish(publisher, "a/b", &payload, qos, 10 + n as u16);
        }
        desk.ack(client, PacketType::PubRec, 1);
        desk.ack(client, PacketType::PubAck, 2);
        let ids: Vec<u16> = desk
            .take_all(client)
            .iter()
            .filter_map(|got| match got {
                Got::Publish(message) => Some(message.id),
                _ => None,
            })
            .collect();
        assert_eq!(ids, [1, 2, 3, 4], "one went on after the PUBACK");
        let mut desk = restart(&mut desk, 60_000);
        let client = resumed(&mut desk, version, "c");
        let pubrel = PacketType::PubRel;
        assert_eq!(desk.take(client), Got::Ack(pubrel, 1, ReasonCode::SUCCESS));
        let got = desk.messages(client);
        let seen: Vec<_> = got.iter().map(|m| (m.text(), m.id, m.dup, m.qos)).collect();
        let wanted = [("2", 3, true, Q2), ("3", 4, true, Q1), ("4", 5, false, Q2)];
        assert_eq!(seen, wanted);
        desk.ack(client, PacketType::PubComp, 1);
        assert_eq!(desk.stats().acknowledged, 1);
        desk.check_books();
    }
}

// [MQTT-4.3.3-10]
#[test]
fn a_qos_2_message_that_came_in_is_not_delivered_again() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let (reader, _) = desk.durable(V5_0, "reader");
        desk.subscribe(reader, "a", Q2);
        let (publisher, _) = desk.durable(version, "p");
        desk.publish(publisher, "a", "once", Q2, 7);
        let mut desk = restart(&mut desk, 1);
        let reader = resumed(&mut desk, V5_0, "reader");
        assert_eq!(desk.texts(reader), ["once"]);
        let publisher = resumed(&mut desk, version, "p");
        desk.publish(publisher, "a", "once", Q2, 7);
        assert_eq!(desk.messages(reader), []);
        let success = ReasonCode::SUCCESS;
        assert_eq!(
            desk.take(publisher),
            Got::Ack(PacketType::PubRec, 7, success)
        );
        desk.ack(publisher, PacketType::PubRel, 7);
        assert_eq!(
            desk.take(publisher),
            Got::Ack(PacketType::PubComp, 7, success)
        );
        desk.publish(publisher, "a", "next", Q2, 7);
        assert_eq!(desk.texts(reader), ["next"]);
    }
}

#[test]
fn subscriptions_route_before_their_clients_are_back() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    let mut identifier = PropertiesBuf::default();
    identifier.push_number(PropertyId::SubscriptionIdentifier, 77);
    let options = SubscriptionOptions {
        qos: Q1,
        no_local: true,
        retain_as_published: true,
        ..SubscriptionOptions::default()
    };
    desk.subscribe_with(client, &[("a/#", options)], identifier.get());
    let mut desk = restart(&mut desk, 0);
    assert_eq!(desk.stats().subscriptions, 1);
    let publisher = desk.client(V5_0, "p");
    let mut publish = Publish::new("a/b", b"x");
    (publish.qos, publish.packet_id, publish.retain) = (Q1, 1, true);
    desk.send(publisher, Packet::Publish(publish));
    let client = resumed(&mut desk, V5_0, "c");
    let got = desk.messages(client);
    assert!(got[0].retain && got[0].subscription_ids() == [77]);
    // Its name for No Local is the old one, and nobody else's.
    desk.publish(client, "a/b", "mine", Q1, 2);
    desk.take(client);
    assert_eq!(desk.messages(client), []);
}

// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn messages_grow_old_while_the_broker_is_away() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "a", Q1);
    desk.cut(client);
    let publisher = desk.client(V5_0, "p");
    for (payload, seconds) in [("short", 10), ("long", 100)] {
        let mut expiry = PropertiesBuf::default();
        expiry.push_number(PropertyId::MessageExpiryInterval, seconds);
        let mut publish = Publish::new("a", payload.as_bytes());
        (publish.qos, publish.packet_id) = (Q1, seconds as u16);
        publish.properties = expiry.get();
        desk.send(publisher, Packet::Publish(publish));
    }
    desk.wait(4_000);
    let mut desk = restart(&mut desk, 30_000);
    let client = resumed(&mut desk, V5_0, "c");
    let got = desk.messages(client);
    let left = got[0].properties.get();
    assert_eq!((got.len(), got[0].text()), (1, "long"));
    assert_eq!(left.number(PropertyId::MessageExpiryInterval), Some(66));
    assert_eq!(desk.stats().dropped.expired, 1);
    desk.check_books();
}

/// A client of MQTT 5.0 with a will is connected.
fn with_will(desk: &mut Desk, client_id: &str, expiry: u32, delay: u32) -> ConnId {
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SessionExpiryInterval, expiry);
    let mut of_will = PropertiesBuf::default();
    of_will.push_number(PropertyId::WillDelayInterval, delay);
    of_will.push_number(PropertyId::MessageExpiryInterval, 50);
    let mut connect = Connect::new(V5_0, client_id);
    connect.properties = properties.get();
    connect.will = Some(Will {
        topic: "wills",
        payload: client_id.as_bytes(),
        qos: Q1,
        retain: false,
        properties: of_will.get(),
    });
    let conn = desk.connect(connect);
    desk.connack(conn);
    conn
}

// [MQTT-3.1.2-8] [MQTT-3.1.3-9]
#[test]
fn wills_and_ends_that_were_due_meanwhile_come_at_once_and_in_order() {
    let mut desk = Desk::new();
    let (reader, _) = desk.durable(V3_1_1, "reader");
    desk.subscribe(reader, "wills", Q1);
    for (client_id, expiry, delay) in [
        ("third", 100, 30),
        ("first", 100, 10),
        ("ends second", 20, 70),
        ("later", 1000, 500),
        ("back in time", 1000, 400),
        ("at once", 0, 0),
    ] {
        let conn = with_will(&mut desk, client_id, expiry, delay);
        // One is there until the end: its time counts from then.
        if client_id != "later" && client_id != "at once" {
            desk.cut(conn);
        }
    }
    let mut desk = restart(&mut desk, 60_000);
    assert_eq!(desk.stats().sessions, 7);
    let reader = resumed(&mut desk, V3_1_1, "reader");
    desk.wait(0);
    assert_eq!(
        desk.texts(reader),
        ["at once", "first", "ends second", "third"]
    );
    assert_eq!(desk.stats().sessions, 5);
    resumed(&mut desk, V5_0, "back in time");
    desk.wait(39_999);
    assert!(desk.shard.has_session("third"));
    desk.wait(1);
    assert!(!desk.shard.has_session("third"));
    desk.wait(399_999);
    assert_eq!(desk.messages(reader), []);
    desk.wait(1);
    assert_eq!(desk.texts(reader), ["later"]);
    desk.check_books();
}

#[test]
fn a_session_that_ended_meanwhile_is_not_resurrected() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "a", Q1);
    desk.cut(client);
    desk.wait(500_000);
    let (v3, _) = desk.durable(V3_1_1, "never ends");
    desk.cut(v3);
    let mut desk = restart(&mut desk, 500_000);
    desk.wait(0);
    assert_eq!((desk.stats().sessions, desk.ended.len()), (1, 1));
    let (_, present) = desk.durable(V5_0, "c");
    assert!(!present);
    resumed(&mut desk, V3_1_1, "never ends");
}

// [MQTT-3.3.1-9]
#[test]
fn retained_messages_that_were_still_due_go_on_where_they_stopped() {
    let mut desk = Desk::with(|limits| {
        limits.retained_page = 2;
        limits.outbound_bytes = 1;
    });
    let publisher = desk.client(V3_1_1, "p");
    for n in 0..9 {
        desk.retain(publisher, &format!("a/{n}"), &n.to_string());
    }
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "b", Q0);
    desk.stick(client, true);
    let options = SubscriptionOptions::default();
    let request = [("a/#", options)];
    let subscribe = Subscribe::new(9, Properties::EMPTY, &request);
    desk.send(client, Packet::Subscribe(subscribe));
    let store = desk.store.clone();
    let mut desk = restart(&mut desk, 0);
    desk.store = store;
    let client = resumed(&mut desk, V5_0, "c");
    let texts = desk.texts(client);
    assert_eq!(texts.last().map(String::as_str), Some("8"));
    let numbers: Vec<u32> = texts.iter().map(|text| text.parse().unwrap()).collect();
    assert!(
        numbers.windows(2).all(|two| two[1] == two[0] + 1),
        "{numbers:?}"
    );
}

// [MQTT-4.8.2-4] [MQTT-4.8.2-6]
#[test]
fn members_of_a_group_are_members_again_and_their_messages_the_groups() {
    let mut desk = Desk::new();
    let (first, _) = desk.durable(V5_0, "first");
    let (second, _) = desk.durable(V3_1_1, "second");
    for conn in [first, second] {
        desk.subscribe(conn, "$share/g/t/#", Q1);
    }
    desk.cut(second);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "t/1", "in flight", Q1, 1);
    assert_eq!(desk.texts(first), ["in flight"]);
    let mut desk = restart(&mut desk, 1_000);
    assert_eq!((desk.stats().subscriptions, desk.stats().sessions), (2, 2));
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "t/2", "nobody is here", Q1, 1);
    desk.take_all(publisher);
    // Whoever comes back first gets what the others hold.
    let second = resumed(&mut desk, V3_1_1, "second");
    let mut got = desk.texts(second);
    got.sort();
    assert_eq!(got, ["in flight", "nobody is here"]);
    let first = resumed(&mut desk, V5_0, "first");
    assert_eq!(desk.messages(first), []);
    desk.publish(publisher, "t/3", "one of two", Q1, 2);
    assert_eq!(desk.texts(first).len() + desk.texts(second).len(), 1);
    desk.check_books();
}

#[test]
fn an_older_revision_never_replaces_a_newer_one() {
    let mut desk = Desk::new();
    let (client, _) = desk.durable(V5_0, "c");
    let clock = Clock::at(desk.now, STOPPED);
    let old = export(&mut desk.shard, clock).remove(0);
    desk.subscribe(client, "a", Q1);
    let new = export(&mut desk.shard, clock).remove(0);
    assert!(old.rev < new.rev);
    let mut next = Desk::new();
    let restore = |next: &mut Desk, record: &SessionRecord| {
        next.shard.restore(record.clone(), clock, &mut next.out)
    };
    assert_eq!(restore(&mut next, &old), Restored::Taken);
    assert_eq!(restore(&mut next, &new), Restored::Taken);
    assert_eq!((next.stats().sessions, next.stats().subscriptions), (1, 1));
    assert_eq!(restore(&mut next, &new), Restored::NotNewer);
    assert_eq!(restore(&mut next, &old), Restored::NotNewer);
    assert_eq!(next.stats().subscriptions, 1);
    // Nor does any record replace a session whose client is there.
    let mut newest = new.clone();
    newest.rev.0 += 1;
    let conn = resumed(&mut next, V5_0, "c");
    assert_eq!(restore(&mut next, &newest), Restored::Connected);
    next.cut(conn);
    assert_eq!(restore(&mut next, &newest), Restored::Taken);
    assert!(next.ended.is_empty() && next.out.is_empty());
}

#[test]
fn a_full_shard_takes_no_more_and_lower_limits_count_what_they_drop() {
    let mut desk = Desk::new();
    for id in ["one", "two"] {
        let (client, _) = desk.durable(V3_1_1, id);
        desk.subscribe(client, "a", Q1);
        desk.cut(client);
    }
    let publisher = desk.client(V3_1_1, "p");
    for n in 1..=5 {
        desk.publish(publisher, "a", "x", Q1, n);
    }
    let clock = Clock::at(desk.now, STOPPED);
    let records = export(&mut desk.shard, clock);
    let mut small = Desk::with(|limits| {
        limits.sessions = 1;
        limits.queue.items = 2;
    });
    let done: Vec<Restored> = records
        .into_iter()
        .map(|record| small.shard.restore(record, clock, &mut small.out))
        .collect();
    assert_eq!(done, [Restored::Taken, Restored::Full]);
    assert_eq!(
        (small.stats().queued, small.stats().dropped.queue_items),
        (2, 3)
    );
    small.check_books();
}

/// Any history: what comes back is what was there, and coming back twice changes nothing.
#[test]
fn restoring_twice_is_restoring_once_and_nothing_is_added_or_lost() {
    for seed in 0..60 {
        let mut seeded = Seeded::new(seed);
        let mut desk = Desk::with(|limits| limits.inflight = 4);
        wander(&mut desk, &mut seeded);
        let clock = Clock::at(desk.now, STOPPED);
        let records = export(&mut desk.shard, clock);
        let mut next = Desk::with(|limits| limits.inflight = 4);
        next.now = desk.now;
        for _ in 0..2 {
            for record in &records {
                let record = carry(record, clock, clock);
                next.shard.restore(record, clock, &mut next.out);
            }
        }
        next.check_books();
        let again = export(&mut next.shard, clock);
        let show = |records: &[SessionRecord]| {
            let plain = |record: &SessionRecord| {
                let mut record = record.clone();
                record.rev.0 = 0;
                record.subscriptions.sort_by(|a, b| a.filter.cmp(&b.filter));
                // The slots differ, the order of sending does not.
                format!("{record:?}")
            };
            let mut all: Vec<String> = records.iter().map(plain).collect();
            all.sort();
            all
        };
        assert_eq!(show(&again), show(&records), "seed {seed}");
    }
}

/// Clients come, subscribe, publish, acknowledge some, and go.
fn wander(desk: &mut Desk, seeded: &mut Seeded) {
    let mut conns: [Option<ConnId>; 4] = [None; 4];
    for step in 0..200u16 {
        let at = seeded.below(conns.len());
        let Some(conn) = conns[at] else {
            let version = [V3_1_1, V5_0][at % 2];
            conns[at] = Some(desk.durable(version, &format!("client {at}")).0);
            continue;
        };
        match seeded.below(12) {
            0..=2 => drop(desk.subscribe(conn, &seeded.filter(2), [Q0, Q1, Q2][step as usize % 3])),
            3..=7 => {
                let topic = seeded.topic(2);
                desk.publish(conn, &topic, &step.to_string(), [Q1, Q2][at / 2], 1 + step);
            }
            8 => {
                desk.cut(conn);
                conns[at] = None;
                continue;
            }
            9 => {
                let filter = seeded.filter(1);
                let filters = [&*filter];
                let packet = Unsubscribe::new(11, Properties::EMPTY, &filters);
                // The answer comes behind what waits to be read.
                desk.send(conn, Packet::Unsubscribe(packet));
            }
            _ => {}
        }
        for got in desk.take_all(conn) {
            match got {
                Got::Publish(message) if message.qos == Q1 && seeded.one_in(2) => {
                    desk.ack(conn, PacketType::PubAck, message.id);
                }
                Got::Publish(message) if message.qos == Q2 && seeded.one_in(2) => {
                    desk.ack(conn, PacketType::PubRec, message.id);
                }
                Got::Ack(PacketType::PubRec, id, _) if seeded.one_in(2) => {
                    desk.ack(conn, PacketType::PubRel, id);
                }
                Got::Ack(PacketType::PubRel, id, _) if seeded.one_in(2) => {
                    desk.ack(conn, PacketType::PubComp, id);
                }
                _ => {}
            }
        }
        assert!(desk.is_open(conn));
        desk.wait(seeded.next() % 50);
    }
}

#[test]
fn a_page_is_as_much_work_whatever_the_sessions_hold_and_however_many_are_not_kept() {
    let mut desk = Desk::new();
    for n in 0..6 {
        let (conn, _) = desk.durable(V5_0, &format!("kept-{n}"));
        for topic in 0..10 {
            desk.subscribe(conn, &format!("{n}/{topic}"), Q1);
        }
    }
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "0/0", "x", Q1, 1);
    for n in 0..100 {
        desk.client(V5_0, &format!("passing-{n}"));
    }
    let clock = Clock::at(desk.now, STOPPED);
    let mut pages = Vec::new();
    let mut from = Some(0);
    while let Some(slot) = from {
        let mut page = Vec::new();
        from = desk.shard.export(slot, 23, clock, &mut page);
        pages.push(page.len());
    }
    // 12 and 11 are enough for the first, 11 each for the others; the rest are looked at 368 at a time.
    assert_eq!(pages, [2, 3, 1]);
    let mut page = Vec::new();
    assert_eq!(desk.shard.export(6, 1, clock, &mut page), Some(22));
    assert!(page.is_empty());
}

#[test]
fn what_a_former_member_owes_its_group_is_owed_after_a_restart_too() {
    let mut desk = Desk::new();
    let [(leaver, _), (stays, _)] = ["leaver", "stays"].map(|id| desk.durable(V5_0, id));
    desk.subscribe(leaver, "$share/g/t", Q1);
    desk.subscribe(leaver, "$share/h/#", Q1);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "t", "1", Q1, 1);
    assert_eq!(desk.texts(leaver), ["1", "1"]);
    for conn in [stays, leaver] {
        desk.subscribe(conn, "$share/g/t", Q1);
    }
    desk.unsubscribe(leaver, &["$share/g/t", "$share/h/#"]);
    let mut desk = restart(&mut desk, 1_000);
    let stays = resumed(&mut desk, V5_0, "stays");
    let leaver = resumed(&mut desk, V5_0, "leaver");
    assert_eq!(desk.texts(leaver), ["1", "1"]);
    // And over one more.
    let mut desk = {
        desk.take_all(stays);
        restart(&mut desk, 1_000)
    };
    let stays = resumed(&mut desk, V5_0, "stays");
    // Its session ends: nobody is left in `h`.
    desk.client(V5_0, "leaver");
    assert_eq!(desk.texts(stays), ["1"]);
    assert_eq!(desk.stats().dropped.no_member, 1);
    desk.check_books();
}
