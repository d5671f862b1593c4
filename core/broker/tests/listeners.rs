//! Limits that one listener has for itself.

mod support;

use support::{ANY_PORT, start, until};
use ternmq_broker::{Config, ListenerConfig, Versions};
use ternmq_test_broker_wire::RawPeer;

fn beside_an_open_one(limited: ListenerConfig) -> Config {
    Config {
        listeners: vec![limited, ListenerConfig::anonymous(ANY_PORT)],
        ..Config::default()
    }
}

#[test]
fn a_full_listener_closes_and_its_neighbour_does_not() {
    let broker = start(beside_an_open_one(ListenerConfig {
        connections: 2,
        ..ListenerConfig::anonymous(ANY_PORT)
    }));
    let [full, open] = [broker.local_addrs()[0], broker.local_addrs()[1]];
    let enter = |address, id| {
        RawPeer::introduced(address, 5, &format!("CONNECT client_id={id}")).expect("CONNACK")
    };
    let (first, _second) = (enter(full, "a"), enter(full, "b"));
    let mut third = RawPeer::connect(full, 5).expect("a connection");
    third.expect_close().expect("closed at once");
    enter(open, "c");
    first.cut();
    until(&broker, |stats| stats.mqtt.sessions == 1);
    enter(full, "d");
    let stats = broker.stats();
    assert_eq!(stats.connections_refused_listener, 1);
    assert_eq!(
        stats.connections_refused + stats.connections_refused_rate,
        0
    );
}

#[test]
fn connections_that_come_too_fast_are_closed_and_counted() {
    // So slow that the test can't outlast it.
    let broker = start(beside_an_open_one(ListenerConfig {
        connection_rate: 1,
        ..ListenerConfig::anonymous(ANY_PORT)
    }));
    let [slow, open] = [broker.local_addrs()[0], broker.local_addrs()[1]];
    let ends = (0..50).map(|_| {
        let mut peer = RawPeer::connect(slow, 4).expect("a connection");
        // One that was closed may not even take it.
        let _ = peer.send("CONNECT client_id=a");
        peer.next_packet().is_ok_and(|packet| packet.is_some())
    });
    let let_in = ends.filter(|answered| *answered).count();
    assert!((1..50).contains(&let_in), "{let_in}");
    RawPeer::introduced(open, 4, "CONNECT client_id=b").expect("CONNACK");
    let stats = broker.stats();
    assert_eq!(stats.connections_refused_rate, 50 - let_in as u64);
}

// [MQTT-3.1.2-2]
#[test]
fn a_listener_speaks_the_versions_it_is_told_to() {
    let broker = start(beside_an_open_one(ListenerConfig {
        versions: Versions {
            v3_1_1: true,
            ..Versions::NONE
        },
        ..ListenerConfig::anonymous(ANY_PORT)
    }));
    let [old, open] = [broker.local_addrs()[0], broker.local_addrs()[1]];
    for (level, reason) in [(3, 1), (5, 0x84)] {
        let mut peer = RawPeer::connect(old, level).expect("a connection");
        peer.send("CONNECT client_id=a").expect("sent");
        peer.expect(&format!("CONNACK reason={reason}"))
            .expect("a refusal");
        peer.expect_close().expect("closed");
        RawPeer::introduced(open, level, "CONNECT client_id=a").expect("CONNACK");
    }
    RawPeer::introduced(old, 4, "CONNECT client_id=a").expect("CONNACK");
}
