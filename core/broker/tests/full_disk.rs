//! A full disk, and how it comes to be less full by itself.

mod support;

use std::time::Instant;

use support::{ANY_PORT, client, disk, publish, silent, start, subscribe};
use ternmq_broker::{Config, Placement};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

/// Messages of 10 kB that are there before the disk is full.
const BEFORE: usize = 200;

/// Whether a message of QoS 1 was taken.
fn is_taken(peer: &mut RawPeer, topic: &str, payload: &str) -> bool {
    peer.send(&format!(
        "PUBLISH topic={topic} qos=1 id=1 payload={payload}"
    ))
    .expect("sent");
    let puback = peer.expect("PUBACK id=1").expect("PUBACK");
    match puback.number("reason", 0) {
        0x97 => false,
        reason => {
            assert!(reason < 0x80, "{puback}");
            true
        }
    }
}

/// Fills the disk, to the last bytes.
fn fill(peer: &mut RawPeer) -> usize {
    let mut taken = 0;
    for bytes in [10_000, 100, 1] {
        let payload = "x".repeat(bytes);
        let mut refused = 0;
        // A shard's turn is refused as a whole, so it takes some to know that it is the disk.
        while refused < 30 {
            match is_taken(peer, "t/1", &payload) {
                true => taken += 1,
                false => refused += 1,
            }
        }
    }
    taken
}

/// That a topic has another retained message has happened, though there is no room to keep it; whoever is due what
/// fills the disk can come all the same, and makes room.
#[test]
fn a_retained_message_that_finds_no_room_keeps_nobody_from_coming() {
    let (store, disk) = disk::store();
    let mut config = Config {
        shards: 2,
        placement: Placement::ByClientId,
        store: Some(store),
        ..Config::listen(ANY_PORT)
    };
    config.limits.log.sweep_ms = 10;
    let broker = start(config);
    let connect = "CONNECT client_id=reader clean_start=0 session_expiry=1000";
    let mut reader = silent(&broker, 5);
    reader.send(connect).expect("sent");
    reader.expect("CONNACK reason=0").expect("CONNACK");
    subscribe(&mut reader, "t/#", 1);
    reader.cut();
    let mut fills = client(&broker, 5, "fills");
    for _ in 0..BEFORE {
        publish(&mut fills, "t/1", 1, &"x".repeat(10_000));
    }
    disk.fill_up_but_for_the_reserve();
    let taken = BEFORE + fill(&mut fills);
    let retained = "r".repeat(3_000_000);
    fills
        .send(&format!("PUBLISH topic=r retain=1 payload={retained}"))
        .expect("sent");
    assert!(!is_taken(&mut fills, "t/1", &retained));

    let begun = Instant::now();
    let mut reader = loop {
        let mut reader = silent(&broker, 5);
        reader.send(connect).expect("sent");
        let connack = reader.expect("CONNACK").expect("CONNACK");
        if connack.number("reason", 0) == 0 {
            assert_eq!(connack.number("session_present", 0), 1);
            break reader;
        }
        // Only what its shard has handed in just before, and was not kept, is in its way.
        assert!(begun.elapsed() < PATIENCE, "nobody can come");
    };
    for _ in 0..taken {
        let publish = reader.expect("PUBLISH qos=1").expect("a message");
        reader
            .send(&format!("PUBACK id={}", publish.number("id", 0)))
            .expect("sent");
    }
    disk.mend();
    let begun = Instant::now();
    while !is_taken(&mut fills, "t/1", "last") {
        assert!(begun.elapsed() < PATIENCE, "it is refused still");
    }
    drop(broker);
    let next = start(Config {
        store: Some(std::sync::Arc::new(disk.copy()).open()),
        ..Config::listen(ANY_PORT)
    });
    assert_eq!(next.restoration().expect("a store").retained, 1);
}
