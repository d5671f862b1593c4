//! What was acknowledged is on the disk, and nobody else waits for that.

mod support;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use support::disk::{self, Disk};
use support::{ANY_PORT, client, publish, silent, start, subscribe, until};
use ternmq_broker::store::Store;
use ternmq_broker::{Broker, Config, Durability, Event, Placement};
use ternmq_protocol::broker::DelayedLimits;
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

fn on(store: &Arc<Store>, change: impl FnOnce(&mut Config)) -> (Broker, Receiver<Event>) {
    let (events, told) = sync_channel(1024);
    let mut config = Config {
        shards: 2,
        placement: Placement::ByClientId,
        store: Some(store.clone()),
        events: Some(events),
        ..Config::listen(ANY_PORT)
    };
    change(&mut config);
    (start(config), told)
}

fn held() -> (Broker, Arc<Disk>) {
    let (store, disk) = disk::store();
    (on(&store, |_| {}).0, disk)
}

/// What another broker finds that starts now, as if this process had been killed.
fn after_a_crash(disk: &Disk) -> Broker {
    on(&Arc::new(disk.copy()).open(), |_| {}).0
}

/// A client that keeps its session, and whether it was there.
fn durable(broker: &Broker, level: u8, client_id: &str) -> (RawPeer, bool) {
    let mut peer = silent(broker, level);
    let expiry = if level == 5 {
        "session_expiry=1000"
    } else {
        ""
    };
    peer.send(&format!(
        "CONNECT client_id={client_id} clean_start=0 {expiry}"
    ))
    .expect("sent");
    let connack = peer.expect("CONNACK reason=0").expect("CONNACK");
    (peer, connack.number("session_present", 0) == 1)
}

/// A session that is away and due all that is published to `filter`.
fn away(broker: &Broker, client_id: &str, filter: &str) {
    let (mut peer, _) = durable(broker, 4, client_id);
    subscribe(&mut peer, filter, 2);
    peer.send("DISCONNECT").expect("sent");
    peer.expect_close().expect("closed");
}

/// The payloads of so many messages, acknowledged.
fn take(peer: &mut RawPeer, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let packet = peer.next_packet().expect("a packet").expect("not closed");
        let id = packet.number("id", 0);
        let answer = match (packet.word(0), packet.number("qos", 0)) {
            ("PUBLISH", 1) => "PUBACK",
            ("PUBLISH", 2) => "PUBREC",
            ("PUBREL", _) => "PUBCOMP",
            _ => panic!("{packet}"),
        };
        if packet.word(0) == "PUBLISH" {
            let payload = packet.get("payload").unwrap_or_default();
            payloads.push(String::from_utf8_lossy(payload).into_owned());
        }
        peer.send(&format!("{answer} id={id}")).expect("sent");
    }
    payloads
}

/// Publishes from one to the other with each QoS.
fn flows([from, to]: &mut [RawPeer; 2], topic: &str) {
    for qos in [0, 1, 2] {
        publish(from, topic, qos, "flows");
        let got = to.expect(&format!("PUBLISH topic={topic} payload=flows"));
        let id = got.expect("it").number("id", 0);
        if qos > 0 {
            to.send(&format!("PUBACK id={id}")).expect("sent");
        }
    }
}

fn settle(peer: &mut RawPeer) {
    peer.send("PINGREQ").expect("sent");
    loop {
        let packet = peer.next_packet().expect("a packet").expect("not closed");
        match packet.word(0) {
            "PINGRESP" => return,
            // The rest of QoS 2, which waits for the disk.
            "PUBREL" => {
                let id = packet.number("id", 0);
                peer.send(&format!("PUBCOMP id={id}")).expect("sent");
            }
            _ => panic!("{packet}"),
        }
    }
}

#[test]
fn what_is_acknowledged_survives_a_crash_at_once() {
    for level in [4, 5] {
        let (store, disk) = disk::store();
        let (broker, _) = on(&store, |_| {});
        away(&broker, "reader", "t/#");
        let mut publisher = client(&broker, level, "publisher");
        let mut all = Vec::new();
        for n in 0..20_u8 {
            publish(&mut publisher, "t/x", level - 3, &n.to_string());
            all.push(n.to_string());
            publisher
                .send(&format!(
                    "PUBLISH topic=kept/{n} qos=1 id=9 retain=1 payload=x"
                ))
                .expect("sent");
            publisher.expect("PUBACK id=9").expect("PUBACK");
            if n % 7 == 0 {
                let next = after_a_crash(&disk);
                let found = next.restoration().expect("a store");
                assert_eq!((found.sessions, found.retained), (1, u64::from(n) + 1));
                let (mut reader, present) = durable(&next, 4, "reader");
                assert!(present);
                assert_eq!(take(&mut reader, all.len()), all);
                settle(&mut reader);
                next.stop().expect("stopped");
            }
        }
        broker.stop().expect("stopped");
    }
}

#[test]
fn acknowledgements_wait_for_the_disk_and_nobody_else_does() {
    let (broker, disk) = held();
    away(&broker, "reader", "t/#");
    let mut publisher = client(&broker, 5, "publisher");
    let mut others = [client(&broker, 5, "other"), client(&broker, 5, "another")];
    subscribe(&mut others[1], "else/#", 1);
    let (mut comes, _) = durable(&broker, 5, "comes");
    let held = disk.hold();
    publisher
        .send("PUBLISH topic=t/1 qos=1 id=1 payload=one")
        .expect("sent");
    disk.until_held();
    publisher
        .send("PUBLISH topic=t/2 qos=2 id=2 payload=two")
        .expect("sent");
    // The same client, a subscription of a session that is kept, and one that begins.
    settle(&mut publisher);
    comes
        .send("SUBSCRIBE id=1 filter=comes options=1")
        .expect("sent");
    settle(&mut comes);
    let mut begins = silent(&broker, 5);
    begins
        .send("CONNECT client_id=begins session_expiry=100")
        .expect("sent");
    // Whoever has nothing to do with it has his messages and acknowledgements.
    flows(&mut others, "else/x");
    let stats = broker.stats();
    assert_eq!(stats.store.appended, 0);
    let now = after_a_crash(&disk);
    // Nothing was promised yet: some of it may be there or not.
    assert!(durable(&now, 4, "reader").1);
    drop(now);
    drop(held);
    publisher.expect("PUBACK id=1").expect("PUBACK");
    publisher.expect("PUBREC id=2").expect("PUBREC");
    comes.expect("SUBACK id=1 code=1").expect("SUBACK");
    begins.expect("CONNACK reason=0").expect("CONNACK");
    publisher.send("PUBREL id=2").expect("sent");
    publisher.expect("PUBCOMP id=2").expect("PUBCOMP");
    let (mut reader, present) = durable(&broker, 4, "reader");
    assert!(present);
    assert_eq!(take(&mut reader, 2), ["one", "two"]);
}

#[test]
fn modes_differ_in_what_an_acknowledgement_waits_for() {
    let (store, disk) = disk::store();
    let (broker, _) = on(&store, |config| {
        config.durability = vec![
            ("none/#".into(), Durability::None),
            ("each/#".into(), Durability::Each),
        ];
    });
    away(&broker, "reader", "#");
    let mut publisher = client(&broker, 4, "publisher");
    let burst = |publisher: &mut RawPeer, topic: &str| {
        let before = disk.syncs();
        for id in 1..=50 {
            publisher
                .send(&format!("PUBLISH topic={topic} qos=1 id={id} payload={id}"))
                .expect("sent");
        }
        for id in 1..=50 {
            publisher
                .expect(&format!("PUBACK id={id}"))
                .expect("PUBACK");
        }
        disk.syncs() - before
    };
    assert!(burst(&mut publisher, "each/x") >= 50);
    assert!(burst(&mut publisher, "x") >= 1);
    // Nothing waits for the disk: it may stand still.
    let held = disk.hold();
    burst(&mut publisher, "none/x");
    drop(held);
    until(&broker, |stats| stats.store.appended == 150);
    broker.stop().expect("stopped");
    let (next, _) = on(&disk.open(), |_| {});
    let (mut reader, _) = durable(&next, 4, "reader");
    assert_eq!(take(&mut reader, 150).len(), 150);
}

/// Packets that a publisher sends in one piece, so that one turn takes all of them: QoS 1 and 2 by turns, from
/// identifier 1 on.
fn burst(count: u8, dup: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in 1..=count {
        let first = 0x30 | u8::from(dup) << 3 | (2 - id % 2) << 1;
        bytes.extend([first, 9, 0, 3, b't', b'/', b'x', 0, id, 0, b'0' + id]);
    }
    bytes
}

/// A broker on which every message has a write of its own, and a session that is due them.
fn each() -> (Broker, Arc<Disk>) {
    let (store, disk) = disk::store();
    let (broker, _) = on(&store, |config| {
        config.shards = 1;
        config.durability = vec![("#".into(), Durability::Each)];
    });
    away(&broker, "reader", "#");
    (broker, disk)
}

/// All payloads that there are for the reader.
fn all_there(broker: &Broker) -> Vec<String> {
    let mut last = client(broker, 5, "last");
    publish(&mut last, "t/x", 2, "last");
    let (mut reader, present) = durable(broker, 4, "reader");
    assert!(present);
    let mut payloads = Vec::new();
    loop {
        payloads.extend(take(&mut reader, 1));
        if payloads.last().is_some_and(|last| last == "last") {
            payloads.pop();
            settle(&mut reader);
            // QoS 1 may overtake QoS 2.
            payloads.sort();
            return payloads;
        }
    }
}

#[test]
fn with_a_write_for_each_message_what_is_refused_is_not_kept_wherever_the_disk_fails() {
    const COUNT: u8 = 6;
    for fails in 0..=u64::from(COUNT) {
        let (broker, disk) = each();
        let mut publisher = client(&broker, 5, "publisher");
        settle(&mut publisher);
        disk.break_down_after(fails);
        publisher.send_bytes(&burst(COUNT, false)).expect("sent");
        let mut kept = Vec::new();
        for id in 1..=COUNT {
            let kind = ["PUBREC", "PUBACK"][usize::from(id % 2)];
            let answer = publisher.expect(&format!("{kind} id={id}")).expect(kind);
            match answer.number("reason", 0) {
                0 => kept.push(id.to_string()),
                reason => assert_eq!(reason, 0x97),
            }
        }
        // Each has a write of its own; one of before that may have been under way still.
        let writes = fails.saturating_sub(1)..=fails;
        assert!(writes.contains(&(kept.len() as u64)), "{kept:?} of {fails}");
        // The process dies, and nobody knows what the flush did that failed; or the disk is well again.
        let there = all_there(&after_a_crash(&disk));
        assert!(there.starts_with(&kept) && there.len() <= kept.len() + 1);
        disk.mend();
        assert_eq!(all_there(&broker), kept);
    }
}

#[test]
fn with_a_write_for_each_message_none_of_qos_2_comes_twice_after_a_crash_between_them() {
    const COUNT: u8 = 6;
    let (broker, disk) = each();
    let (mut publisher, _) = durable(&broker, 5, "publisher");
    disk.remember();
    publisher.send_bytes(&burst(COUNT, false)).expect("sent");
    for id in 1..=COUNT {
        let kind = ["PUBREC", "PUBACK"][usize::from(id % 2)];
        publisher.expect(&format!("{kind} id={id}")).expect(kind);
    }
    let crashes = disk.remembered();
    assert!(crashes.len() >= usize::from(COUNT));
    for disk in crashes {
        let broker = after_a_crash(&disk);
        let (mut publisher, present) = durable(&broker, 5, "publisher");
        assert!(present);
        publisher.send_bytes(&burst(COUNT, true)).expect("sent");
        for id in 1..=COUNT {
            let kind = ["PUBREC", "PUBACK"][usize::from(id % 2)];
            publisher.expect(&format!("{kind} id={id}")).expect(kind);
        }
        let mut there = all_there(&broker);
        let qos2 = |payload: &String| payload.parse().is_ok_and(|id: u8| id.is_multiple_of(2));
        let once: Vec<_> = there.iter().filter(|payload| qos2(payload)).collect();
        assert_eq!(once, ["2", "4", "6"]);
        there.dedup();
        assert_eq!(there.len(), usize::from(COUNT));
    }
}

#[test]
fn while_the_disk_is_full_publishers_are_told_and_others_go_on() {
    for full in [true, false] {
        let (store, disk) = disk::store();
        let (broker, told) = on(&store, |_| {});
        away(&broker, "reader", "t/#");
        let mut five = client(&broker, 5, "five");
        let mut four = client(&broker, 4, "four");
        let mut others = [client(&broker, 5, "other"), client(&broker, 5, "another")];
        subscribe(&mut others[1], "else", 1);
        publish(&mut five, "t/1", 1, "before");
        match full {
            true => disk.fill_up(),
            false => disk.break_down(),
        }
        // What is full has some room left at first.
        let payload = "x".repeat(10_000);
        let mut taken = 0;
        loop {
            five.send(&format!("PUBLISH topic=t/1 qos=1 id=1 payload={payload}"))
                .expect("sent");
            match five
                .expect("PUBACK id=1")
                .expect("PUBACK")
                .text("reason", "0")
            {
                reason if reason == "0x97" || reason == "151" => break,
                _ => taken += 1,
            }
        }
        five.send(&format!("PUBLISH topic=t/1 qos=2 id=2 payload={payload}"))
            .expect("sent");
        five.expect("PUBREC id=2 reason=0x97").expect("PUBREC");
        four.send(&format!("PUBLISH topic=t/1 qos=1 id=3 payload={payload}"))
            .expect("sent");
        four.expect_close().expect("closed");
        flows(&mut others, "else");
        settle(&mut five);
        let heard = |wanted: fn(&Event) -> bool| {
            while !wanted(&told.recv_timeout(PATIENCE).expect("an event")) {}
        };
        heard(|event| matches!(event, Event::NotStored(_)));
        assert!(broker.stats().store.refused >= 3);
        disk.mend();
        heard(|event| matches!(event, Event::StoredAgain));
        publish(&mut five, "t/1", 1, "after");
        let (mut reader, present) = durable(&broker, 4, "reader");
        assert!(present);
        let got = take(&mut reader, taken + 2);
        assert_eq!((&*got[0], &*got[taken + 1]), ("before", "after"));
        settle(&mut reader);
        broker.stop().expect("stopped");
    }
}

/// A disk on which nothing of so many bytes can be kept, and the broker has found that out; with a session that
/// is due `t/#`, and somebody who is told.
fn refusing(full: bool, payload: &str) -> (Broker, Receiver<Event>, Arc<Disk>, RawPeer) {
    let (store, disk) = disk::store();
    let (broker, told) = on(&store, |config| {
        config.topics.delayed = Some(DelayedLimits::default());
    });
    away(&broker, "reader", "t/#");
    let mut five = client(&broker, 5, "five");
    publish(&mut five, "$delayed/60/t/late", 1, "late");
    match full {
        true => disk.fill_up(),
        false => disk.break_down(),
    }
    loop {
        // QoS 1, so that nothing is owed when it is refused.
        five.send(&format!("PUBLISH topic=t/1 qos=1 id=1 payload={payload}"))
            .expect("sent");
        let puback = five.expect("PUBACK id=1").expect("PUBACK");
        if puback.number("reason", 0) == 0x97 {
            return (broker, told, disk, five);
        }
    }
}

#[test]
fn wills_delayed_and_retained_messages_that_the_disk_refuses_are_counted_and_never_half_kept() {
    for full in [true, false] {
        let payload = "x".repeat(10_000);
        let (broker, told, disk, mut five) = refusing(full, &payload);
        let before = broker.stats().mqtt;
        // Its publisher is told, and it does not wait.
        five.send(&format!(
            "PUBLISH topic=$delayed/1/t/2 qos=1 id=2 payload=delayed{payload}"
        ))
        .expect("sent");
        five.expect("PUBACK id=2 reason=0x97").expect("PUBACK");
        let now = until(&broker, |stats| stats.mqtt.delayed_refused == 1).mqtt;
        assert_eq!((before.delayed, now.delayed), (1, 1));
        // Nobody is there who could be told.
        let will =
            format!("CONNECT client_id=w will_topic=t/3 will_qos=1 will_payload=will{payload}");
        let mut dies = silent(&broker, 5);
        dies.send(&will).expect("sent");
        dies.expect("CONNACK reason=0").expect("CONNACK");
        let refused = broker.stats().mqtt.publishes_refused.quota;
        dies.cut();
        until(&broker, |stats| {
            stats.mqtt.publishes_refused.quota == refused + 1
        });
        // It is the topic's message in memory, and on the disk as soon as that takes it.
        five.send(&format!(
            "PUBLISH topic=r qos=1 id=4 retain=1 payload={payload}"
        ))
        .expect("sent");
        five.expect("PUBACK id=4 reason=0x97").expect("PUBACK");
        let mut looks = client(&broker, 4, "looks");
        subscribe(&mut looks, "r", 0);
        looks.expect("PUBLISH topic=r retain=1").expect("retained");
        // What has waited since before waits on when it can't be kept that it is due.
        let published = broker.stats().mqtt.delayed_published;
        broker.advance(Duration::from_secs(61));
        disk.mend();
        until(&broker, |stats| {
            stats.mqtt.delayed == 0 && stats.mqtt.delayed_published == published + 1
        });
        while !matches!(
            told.recv_timeout(PATIENCE).expect("an event"),
            Event::StoredAgain
        ) {}
        publish(&mut five, "t/5", 1, "last");
        let next = after_a_crash(&disk);
        assert_eq!(next.restoration().expect("a store").retained, 1);
        for broker in [&next, &broker] {
            let (mut reader, present) = durable(broker, 4, "reader");
            assert!(present);
            let mut got = Vec::new();
            while got.last().is_none_or(|last| last != "last") {
                got.extend(take(&mut reader, 1));
            }
            // Nothing but what was there before, and what came of it.
            got.retain(|one| *one != payload);
            assert_eq!(got, ["late", "last"]);
        }
    }
}

// [MQTT-3.2.2-3] [MQTT-3.2.2-4]
#[test]
fn who_was_refused_for_a_full_disk_is_told_of_no_session_that_it_never_had() {
    for (full, level) in [(true, 4), (true, 5), (false, 4), (false, 5)] {
        let (store, disk) = disk::store();
        let (broker, _) = on(&store, |_| {});
        away(&broker, "old", "t/#");
        match full {
            true => disk.fill_up(),
            false => disk.break_down(),
        }
        let reason = if level == 5 { 0x97 } else { 3 };
        let user = "x".repeat(60_000);
        let mut names = (0..).map(|n| format!("new-{n}"));
        let refused = names.find(|name| {
            let mut peer = silent(&broker, level);
            let connect = format!("CONNECT client_id={name} clean_start=0 will_topic=w");
            let expiry = if level == 5 {
                "session_expiry=1000"
            } else {
                ""
            };
            peer.send(&format!("{connect} will_payload={user} {expiry}"))
                .expect("sent");
            let connack = peer.expect("CONNACK").expect("CONNACK");
            let answer = connack.number("reason", 0);
            assert!(answer == 0 || answer == reason, "{connack}");
            assert_eq!(connack.number("session_present", 0), 0);
            answer == reason
        });
        disk.mend();
        let refused = refused.expect("endless");
        assert!(!durable(&broker, level, &refused).1);
        assert!(durable(&broker, level, "old").1);
    }
}

#[test]
fn a_full_intake_holds_publishers_back_and_loses_nothing() {
    let (store, disk) = disk::store();
    let (broker, _) = on(&store, |config| config.limits.store_bytes = 32 << 10);
    away(&broker, "reader", "t");
    let mut publisher = client(&broker, 4, "publisher");
    let held = disk.hold();
    let payload = "x".repeat(1000);
    for id in 1..=500 {
        publisher
            .send(&format!("PUBLISH topic=t qos=1 id={id} payload={payload}"))
            .expect("sent");
        if id == 1 {
            disk.until_held();
        }
    }
    until(&broker, |stats| stats.stalls > 0);
    drop(held);
    for id in 1..=500 {
        publisher
            .expect(&format!("PUBACK id={id}"))
            .expect("PUBACK");
    }
    let (mut reader, _) = durable(&broker, 4, "reader");
    assert_eq!(take(&mut reader, 500).len(), 500);
}

#[test]
fn a_broadcast_to_many_sessions_that_are_away_is_written_once() {
    let (store, _disk) = disk::store();
    let (broker, _) = on(&store, |_| {});
    for n in 0..200 {
        away(&broker, &format!("away-{n}"), "all/#");
    }
    let before = broker.stats();
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..100 {
        publish(&mut publisher, "all/x", 1, &n.to_string());
    }
    let after = broker.stats();
    assert_eq!(after.store.appended - before.store.appended, 100);
    assert_eq!((after.mqtt.queued, after.mqtt.queued_bytes), (0, 0));
    let wanted: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    for n in [0, 77, 199] {
        let (mut reader, present) = durable(&broker, 4, &format!("away-{n}"));
        assert!(present);
        assert_eq!(take(&mut reader, 100), wanted);
        settle(&mut reader);
    }
}

#[test]
fn what_all_have_had_leaves_the_log_and_what_somebody_waits_for_stays() {
    let (store, _disk) = disk::store();
    let (broker, _) = on(&store, |config| config.limits.log.sweep_ms = 1);
    away(&broker, "reads", "t/#");
    away(&broker, "waits", "t/last");
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..300 {
        publish(&mut publisher, "t/x", 1, &n.to_string());
    }
    publish(&mut publisher, "t/last", 1, "last");
    let (mut reader, _) = durable(&broker, 4, "reads");
    assert_eq!(take(&mut reader, 301).len(), 301);
    reader.send("DISCONNECT").expect("sent");
    reader.expect_close().expect("closed");
    until(&broker, |stats| stats.store.swept_passed >= 300);
    let stats = broker.stats().store;
    assert_eq!((stats.swept_old, stats.swept_full), (0, 0));
    let (mut waits, present) = durable(&broker, 4, "waits");
    assert!(present);
    assert_eq!(take(&mut waits, 1), ["last"]);
}

// Blocks go or are written again around what somebody has in flight and what a group has not done.
#[test]
fn what_is_in_flight_and_what_a_group_has_not_done_is_never_swept() {
    let (store, disk) = disk::store();
    let (broker, _) = on(&store, |config| config.limits.log.sweep_ms = 1);
    away(&broker, "once", "t/#");
    away(&broker, "member", "$share/g/w/#");
    away(&broker, "idle", "$share/g/v/#");
    away(&broker, "reads", "#");
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..100 {
        // What stays stands between what goes, in one commit most of the time.
        let topic = match n % 10 {
            1 => "v/1",
            4 => "t/1",
            7 => "w/1",
            _ => "x",
        };
        let id = n + 1;
        publisher
            .send(&format!("PUBLISH topic={topic} qos=1 id={id} payload={n}"))
            .expect("sent");
    }
    for id in 1..=100 {
        publisher
            .expect(&format!("PUBACK id={id}"))
            .expect("PUBACK");
    }
    // Both have all of theirs, answer none, and leave: so their records say what is in flight, and that
    // they have read all. Then a third one takes everything.
    let (mut once, _) = durable(&broker, 4, "once");
    let (mut member, _) = durable(&broker, 4, "member");
    for peer in [&mut once, &mut member] {
        for _ in 0..10 {
            peer.expect("PUBLISH").expect("a message");
        }
        peer.send("DISCONNECT").expect("sent");
        peer.expect_close().expect("closed");
    }
    let (mut reader, _) = durable(&broker, 4, "reads");
    assert_eq!(take(&mut reader, 100).len(), 100);
    reader.send("DISCONNECT").expect("sent");
    reader.expect_close().expect("closed");
    // A block of which more than a quarter stays is left as it is.
    until(&broker, |stats| stats.store.swept_passed >= 50);
    let again = after_a_crash(&disk);
    for (name, first) in [("once", 4), ("member", 7), ("idle", 1)] {
        let (mut peer, present) = durable(&again, 4, name);
        assert!(present);
        let wanted: Vec<String> = (first..100).step_by(10).map(|n| n.to_string()).collect();
        assert_eq!(take(&mut peer, 10), wanted, "{name}");
        settle(&mut peer);
    }
}

/// What a session gets that was away while 30 messages came in: the newest, in their order, and the others
/// are counted.
fn expect_the_newest(broker: &Broker, most: usize) {
    let (mut back, present) = durable(broker, 4, "away");
    assert!(present);
    let mut got = take(&mut back, 1);
    while got.last().is_none_or(|last| last != "29") {
        got.extend(take(&mut back, 1));
    }
    let first = 30 - got.len();
    assert!(got.len() <= most && got.len() > most / 3, "{got:?}");
    let newest: Vec<_> = (first..30).map(|number| number.to_string()).collect();
    assert_eq!(got, newest);
    let dropped = broker.stats().mqtt.dropped;
    let counted = dropped.queue_items + dropped.queue_bytes;
    assert_eq!(counted, first as u64, "{dropped:?}");
}

#[test]
fn a_session_has_no_more_to_read_than_it_may() {
    type Limit = fn(&mut Config);
    let by_count: Limit = |config| config.limits.log.session_messages = 10;
    let by_bytes: Limit = |config| config.limits.log.session_bytes = 1_000;
    let plain = [("t", false, false), ("t", true, false)];
    let over_a_start = [("t", false, true), ("$share/g/t", false, true)];
    for (limit, most) in [(by_count, 10), (by_bytes, 20)] {
        for (filter, live, crash) in plain.into_iter().chain(over_a_start) {
            let (store, disk) = disk::store();
            let (mut broker, _told) = on(&store, [limit, |_| ()][usize::from(live)]);
            away(&broker, "away", filter);
            let mut publisher = client(&broker, 5, "publisher");
            for number in 0..30 {
                publish(&mut publisher, "t", 1, &number.to_string());
            }
            if live {
                let mut config = Config::listen(ANY_PORT);
                limit(&mut config);
                broker.reconfigure(&config).expect("it can").apply();
            }
            if crash {
                broker = on(&Arc::new(disk.copy()).open(), limit).0;
            }
            expect_the_newest(&broker, most);
        }
    }
}

#[test]
fn the_log_is_swept_by_other_limits_at_once() {
    let (store, _disk) = disk::store();
    let (broker, _) = on(&store, |config| config.limits.log.sweep_ms = 3_600_000);
    away(&broker, "reads", "t/#");
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..20 {
        publish(&mut publisher, "t/x", 1, &n.to_string());
    }
    let mut config = Config::listen(ANY_PORT);
    (config.limits.log.sweep_ms, config.limits.log.bytes) = (1, 1);
    broker.reconfigure(&config).expect("it can").apply();
    until(&broker, |stats| stats.store.swept_full == 20);
    config.limits.log.sweep_ms = 0;
    assert!(broker.reconfigure(&config).is_err(), "never to be swept");
}

#[test]
fn messages_go_when_they_are_too_old() {
    let (store, _disk) = disk::store();
    let (broker, _) = on(&store, |config| {
        config.limits.log.sweep_ms = 1;
        config.limits.log.age_seconds = 1;
    });
    away(&broker, "reads", "t/#");
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..10 {
        publish(&mut publisher, "t/x", 1, &n.to_string());
    }
    until(&broker, |stats| stats.store.swept_old == 10);
    let (mut reader, present) = durable(&broker, 4, "reads");
    assert!(present);
    publish(&mut publisher, "t/x", 1, "young");
    assert_eq!(take(&mut reader, 1), ["young"]);
}

#[test]
fn what_is_on_its_way_to_a_client_is_there_for_it_when_the_log_has_it_no_more() {
    let (store, disk) = disk::store();
    let (broker, _) = on(&store, |config| {
        config.limits.log.sweep_ms = 1;
        config.limits.log.age_seconds = 1;
    });
    let (mut reader, _) = durable(&broker, 5, "reader");
    subscribe(&mut reader, "t/#", 1);
    // By what this one loses it shows that they are too old.
    let (mut away, _) = durable(&broker, 5, "away");
    subscribe(&mut away, "t/#", 1);
    away.cut();
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..5 {
        publish(&mut publisher, "t/x", 1, &n.to_string());
        let message = reader.expect(&format!("PUBLISH payload={n}"));
        message.expect("a message");
    }
    // That they are on their way is in the session's record.
    reader.cut();
    until(&broker, |stats| stats.store.swept_old == 5);
    let (mut again, present) = durable(&broker, 5, "reader");
    assert!(present);
    let all: Vec<_> = (0..5).map(|n| n.to_string()).collect();
    for n in &all {
        let message = again.expect(&format!("PUBLISH dup=1 payload={n}"));
        message.expect("sent again from memory");
    }
    // Another process finds what the session's record says, or tells that it is lost.
    let next = after_a_crash(&disk);
    let lost = next.restoration().expect("a store").copies_lost;
    let (mut reader, present) = durable(&next, 5, "reader");
    assert!(present);
    let mut publisher = client(&next, 4, "publisher");
    publish(&mut publisher, "t/x", 1, "next");
    let mut got = Vec::new();
    while got.last().is_none_or(|last| last != "next") {
        got.extend(take(&mut reader, 1));
    }
    assert_eq!(got.len() as u64 - 1 + lost, 5, "{got:?}, {lost} lost");
}

#[test]
fn the_oldest_messages_go_when_the_log_is_full_and_that_is_told() {
    let (store, _disk) = disk::store();
    let (broker, told) = on(&store, |config| {
        assert_eq!(config.limits.log.bytes, 16 << 30, "there is a limit");
        config.limits.log.sweep_ms = 1;
        config.limits.log.bytes = 1;
    });
    away(&broker, "reads", "t/#");
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..20 {
        publish(&mut publisher, "t/x", 1, &n.to_string());
    }
    until(&broker, |stats| stats.store.swept_full == 20);
    let mut full =
        std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok()).filter_map(|event| match event {
            Event::LogFull(dropped) => Some(dropped),
            _ => None,
        });
    assert!(full.next().is_some_and(|dropped| dropped > 0));
}

#[test]
fn what_may_go_from_the_log_has_gone_when_the_clock_was_moved_ahead() {
    let (store, _disk) = disk::store();
    let (broker, _told) = on(&store, |config| {
        config.limits.log.sweep_ms = 3_600_000;
        config.limits.log.bytes = 1;
    });
    away(&broker, "reads", "t/#");
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..20 {
        publish(&mut publisher, "t/x", 1, &n.to_string());
    }
    assert_eq!(broker.stats().store.swept_full, 0);
    broker.advance(std::time::Duration::from_secs(5));
    assert_eq!(broker.stats().store.swept_full, 20);
}
