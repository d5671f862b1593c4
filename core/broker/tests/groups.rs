//! What shared subscriptions have still to get is in the log: what of it goes, and when.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use support::{ANY_PORT, client, disk, publish, silent, start, subscribe, until};
use ternmq_broker::store::Store;
use ternmq_broker::{Broker, Config, Placement};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

fn on(store: &Arc<Store>, change: impl FnOnce(&mut Config)) -> Broker {
    let mut config = Config {
        shards: 2,
        placement: Placement::ByClientId,
        store: Some(store.clone()),
        ..Config::listen(ANY_PORT)
    };
    config.session.queue.items = 10;
    config.limits.log.sweep_ms = 1;
    change(&mut config);
    start(config)
}

/// A client of MQTT 3.1.1 that keeps its session.
fn durable(broker: &Broker, client_id: &str) -> RawPeer {
    let mut peer = silent(broker, 4);
    peer.send(&format!("CONNECT client_id={client_id} clean_start=0"))
        .expect("sent");
    peer.expect("CONNACK reason=0").expect("CONNACK");
    peer
}

fn leave(mut peer: RawPeer) {
    peer.send("DISCONNECT").expect("sent");
    peer.expect_close().expect("closed");
}

fn away(broker: &Broker, client_id: &str) {
    let mut peer = durable(broker, client_id);
    subscribe(&mut peer, "$share/g/t/#", 1);
    subscribe(&mut peer, "end", 0);
    leave(peer);
}

fn publish_many(broker: &Broker, count: u32) {
    let mut publisher = client(broker, 4, "publisher");
    for n in 0..count {
        publish(&mut publisher, "t/x", 1, &n.to_string());
    }
    leave(publisher);
}

/// The next so many messages, acknowledged.
fn take(peer: &mut RawPeer, count: u32) -> Vec<u32> {
    let mut got = Vec::new();
    for _ in 0..count {
        let packet = peer.expect("PUBLISH qos=1").expect("a message");
        got.push(packet.text("payload", "").parse().expect("a number"));
        let id = packet.number("id", 0);
        peer.send(&format!("PUBACK id={id}")).expect("sent");
    }
    got
}

#[test]
fn a_group_that_is_away_is_a_place_in_the_log_which_is_empty_once_it_has_passed() {
    let (store, _disk) = disk::store();
    let broker = on(&store, |_| {});
    for name in ["one", "two"] {
        away(&broker, name);
    }
    publish_many(&broker, 2_000);
    let stats = until(&broker, |stats| stats.store.log_bytes > 0);
    assert_eq!((stats.mqtt.queued, stats.mqtt.queued_bytes), (0, 0));
    assert_eq!(stats.mqtt.dropped.queue_items, 0);
    assert_eq!(stats.store.swept_passed, 0);
    let mut one = durable(&broker, "one");
    assert_eq!(take(&mut one, 1_990), (0..1_990).collect::<Vec<_>>());
    let most = until(&broker, |stats| stats.store.swept_passed > 1_000);
    assert!(most.store.log_bytes > 0, "something is left");
    assert_eq!(take(&mut one, 10), (1_990..2_000).collect::<Vec<_>>());
    let stats = until(&broker, |stats| stats.store.swept_passed == 2_000);
    assert_eq!((stats.store.swept_old, stats.store.swept_full), (0, 0));
    until(&broker, |stats| stats.store.log_bytes == 0);
}

#[test]
fn a_group_has_no_more_to_read_than_it_may() {
    let (store, _disk) = disk::store();
    let broker = on(&store, |config| config.limits.log.session_messages = 10);
    away(&broker, "one");
    publish_many(&broker, 30);
    let mut one = durable(&broker, "one");
    assert_eq!(take(&mut one, 10), (20..30).collect::<Vec<_>>());
    let stats = broker.stats();
    assert_eq!(stats.mqtt.dropped.queue_items, 20);
    until(&broker, |stats| stats.store.swept_passed == 30);
}

#[test]
fn messages_that_a_group_waits_for_go_when_the_log_may_not_hold_them() {
    let (store, _disk) = disk::store();
    let broker = on(&store, |config| config.limits.log.bytes = 1);
    away(&broker, "one");
    publish_many(&broker, 30);
    until(&broker, |stats| stats.store.swept_full == 30);
    let mut one = durable(&broker, "one");
    publish_many(&broker, 1);
    assert_eq!(take(&mut one, 1), [0], "it goes on behind them");
}

#[test]
fn who_stays_when_the_last_lasting_member_leaves_gets_what_comes() {
    let (store, _disk) = disk::store();
    let broker = on(&store, |_| {});
    away(&broker, "lasting");
    let mut guest = client(&broker, 4, "guest");
    subscribe(&mut guest, "$share/g/t/#", 1);
    publish_many(&broker, 300);
    assert_eq!(take(&mut guest, 300), (0..300).collect::<Vec<_>>());
    let mut lasting = durable(&broker, "lasting");
    lasting
        .send("UNSUBSCRIBE id=1 filter=$share/g/t/#")
        .expect("sent");
    lasting.expect("UNSUBACK id=1").expect("UNSUBACK");
    publish_many(&broker, 5);
    let got: BTreeSet<u32> = take(&mut guest, 5).into_iter().collect();
    assert_eq!(got, (0..5).collect());
}

#[test]
fn a_member_that_asked_for_qos_0_has_a_message_when_it_is_written_to_it() {
    const COUNT: u32 = 300;
    let (store, _disk) = disk::store();
    let broker = on(&store, |_| {});
    away(&broker, "lasting");
    publish_many(&broker, COUNT);
    let mut guest = client(&broker, 4, "guest");
    subscribe(&mut guest, "$share/g/t/#", 0);
    for n in 0..COUNT {
        guest
            .expect(&format!("PUBLISH qos=0 payload={n}"))
            .expect("a message");
    }
    until(&broker, |stats| stats.store.swept_passed == COUNT.into());
}

#[test]
fn a_member_whose_queue_is_full_of_retained_messages_has_its_group_s_once_it_is_not() {
    let (store, _disk) = disk::store();
    let broker = on(&store, |config| config.shards = 1);
    let mut publisher = client(&broker, 4, "keeper");
    for n in 0..20 {
        publisher
            .send(&format!(
                "PUBLISH topic=r/{n} retain=1 qos=1 id=1 payload=r"
            ))
            .expect("sent");
        publisher.expect("PUBACK id=1").expect("PUBACK");
    }
    let mut one = silent(&broker, 5);
    one.send("CONNECT client_id=one clean_start=0 session_expiry=1000 receive_maximum=1")
        .expect("sent");
    one.expect("CONNACK reason=0").expect("CONNACK");
    subscribe(&mut one, "$share/g/t/#", 1);
    // Retained messages may come before SUBACK.
    one.send("SUBSCRIBE id=2 filter=r/# options=1")
        .expect("sent");
    until(&broker, |stats| stats.mqtt.queued == 10);
    publish_many(&broker, 5);
    until(&broker, |stats| stats.mqtt.unread == 5);
    let mut got = Vec::new();
    while got.len() < 5 {
        let packet = one.next_packet().expect("readable").expect("a packet");
        if packet.word(0) != "PUBLISH" {
            continue;
        }
        got.extend(packet.text("payload", "").parse::<u32>());
        let id = packet.number("id", 0);
        one.send(&format!("PUBACK id={id}")).expect("sent");
    }
    assert_eq!(got, (0..5).collect::<Vec<_>>());
}

#[test]
fn members_on_all_shards_get_each_message_once() {
    const MEMBERS: usize = 6;
    const COUNT: u32 = 3_000;
    let (store, _disk) = disk::store();
    let broker = on(&store, |config| config.shards = 3);
    let names: Vec<String> = (0..MEMBERS).map(|n| format!("member-{n}")).collect();
    names.iter().for_each(|name| away(&broker, name));
    publish_many(&broker, COUNT);
    let peers: Vec<RawPeer> = names.iter().map(|name| durable(&broker, name)).collect();
    let (got, gets) = std::sync::mpsc::sync_channel(1_024);
    let numbers = std::thread::scope(|scope| {
        for (which, mut peer) in peers.into_iter().enumerate() {
            let got = got.clone();
            scope.spawn(move || {
                let mut last = None;
                loop {
                    let packet = peer.next_packet().expect("a packet").expect("not closed");
                    let Ok(number) = packet.text("payload", "").parse::<u32>() else {
                        return;
                    };
                    let id = packet.number("id", 0);
                    peer.send(&format!("PUBACK id={id}")).expect("sent");
                    assert!(last.is_none_or(|last| last < number), "{which}");
                    last = Some(number);
                    got.send(number).expect("somebody counts");
                }
            });
        }
        let take = |_| gets.recv_timeout(PATIENCE).expect("all of them");
        let mut numbers: Vec<u32> = (0..COUNT).map(take).collect();
        let mut publisher = client(&broker, 4, "publisher");
        publish(&mut publisher, "end", 0, "end");
        drop(got);
        numbers.extend(gets.iter());
        numbers
    });
    assert_eq!(numbers.len(), COUNT as usize);
    assert_eq!(BTreeSet::from_iter(numbers).len(), COUNT as usize);
}

/// A session ends with messages of its group that nobody has had, and the group with it. Another of its name begins,
/// before a crash or after one, and there is a crash more; nothing is swept meanwhile.
#[test]
fn a_group_has_nothing_of_one_of_its_name_that_ended_before_a_crash() {
    for crashes_between in [false, true] {
        let never = |config: &mut Config| config.limits.log.sweep_ms = 3_600_000;
        let (store, mut disk) = disk::store();
        let mut broker = on(&store, never);
        away(&broker, "one");
        publish_many(&broker, 20);
        leave(client(&broker, 4, "one"));
        // That it ended is on the disk with what is waited for later.
        leave(durable(&broker, "witness"));
        if crashes_between {
            disk = disk.copy();
            broker = on(&disk.open(), never);
        }
        away(&broker, "two");
        let mut publisher = client(&broker, 4, "publisher");
        publish(&mut publisher, "t/x", 1, "100");
        leave(publisher);
        let broker = on(&disk.copy().open(), never);
        let mut two = durable(&broker, "two");
        assert_eq!(take(&mut two, 1), [100]);
        let mut publisher = client(&broker, 4, "publisher");
        publish(&mut publisher, "t/x", 1, "101");
        assert_eq!(take(&mut two, 1), [101]);
    }
}
