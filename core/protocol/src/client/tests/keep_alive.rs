//! Keep Alive.

use super::*;

// [MQTT-3.1.2-20] in MQTT 3.1.1 [MQTT-3.1.2-23]
#[test]
fn an_idle_client_pings_within_the_interval() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        peer.pass(58_999);
        assert_eq!(peer.sent(), [""; 0]);
        peer.pass(1);
        assert_eq!(peer.sent(), ["PINGREQ"]);
        peer.give(Packet::PingResp);
        peer.pass(59_000);
        assert_eq!(
            (peer.sent(), peer.session.stats().pings),
            (vec!["PINGREQ".into()], 2)
        );
    }
}

#[test]
fn packets_are_counted_and_the_newest_ping_is_timed() {
    let mut peer = Peer::connected(options(V5));
    let before = *peer.session.stats();
    assert_eq!((before.packets_sent, before.packets_received), (1, 1));
    assert_eq!(before.ping_round_trip_ms, None);
    peer.pass(59_000);
    peer.pass(35);
    peer.give(Packet::PingResp);
    // One that nobody has asked for says nothing.
    peer.pass(1_000);
    peer.give(Packet::PingResp);
    assert_eq!(peer.session.stats().ping_round_trip_ms, Some(35));
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.give_publish("b", QoS::AtLeastOnce, 7, false);
    let after = *peer.session.stats();
    // CONNECT, PINGREQ, PUBLISH, PUBACK; CONNACK, two PINGRESP, PUBLISH.
    assert_eq!((after.packets_sent, after.packets_received), (4, 4));
}

#[test]
fn traffic_in_both_directions_puts_the_ping_off() {
    let mut peer = Peer::connected(options(V5));
    for _ in 0..20 {
        peer.pass(30_000);
        peer.publish("a", QoS::AtMostOnce).unwrap();
        peer.give_publish("b", QoS::AtMostOnce, 0, false);
    }
    assert!(peer.sent().iter().all(|packet| packet == "PUBLISH a q0"));
}

#[test]
fn no_answer_to_a_ping_ends_the_connection() {
    let mut peer = Peer::connected(options(V5));
    peer.pass(59_000);
    peer.publish("a", QoS::AtMostOnce).unwrap();
    peer.pass(19_999);
    assert_eq!(peer.session.state(), State::Connected);
    peer.pass(1);
    peer.ends_with(&[], "disconnected Timeout(KeepAlive) 0x8D");
    assert!(peer.session.stats().unsent_bytes > 0);
}

// [MQTT-3.1.2-21] [MQTT-3.2.2-21]
#[test]
fn the_servers_keep_alive_is_used() {
    let mut peer = Peer::new(options(V5));
    peer.session.handle_open(peer.now);
    peer.sent();
    peer.connack(false, numbers(&[(PropertyId::ServerKeepAlive, 5)]).get());
    let Some(Event::Connected(connected)) = peer.session.poll_event() else {
        panic!("not connected");
    };
    assert_eq!(connected.keep_alive, 5);
    peer.pass(4_500);
    assert_eq!(peer.sent(), ["PINGREQ"]);
    let off = Peer::limited(options(V5), &[(PropertyId::ServerKeepAlive, 0)]);
    assert_eq!(off.session.poll_timeout(), None);
}

#[test]
fn keep_alive_0_never_pings() {
    let mut none = options(V4);
    none.keep_alive = 0;
    let mut peer = Peer::connected(none);
    assert_eq!(peer.session.poll_timeout(), None);
    peer.session.handle_timeout(Time(u64::MAX - 1));
    assert_eq!(
        (peer.sent().len(), peer.session.state()),
        (0, State::Connected)
    );
}

#[test]
fn a_driver_that_does_not_read_gets_no_timeout() {
    let mut peer = Peer::connected(options(V5));
    peer.session.set_reading(peer.now, false);
    peer.pass(1_000_000);
    assert_eq!(peer.session.state(), State::Connected);
    let pings = peer.sent();
    assert!(
        pings.len() >= 16 && pings.iter().all(|packet| packet == "PINGREQ"),
        "{pings:?}"
    );
    peer.session.set_reading(peer.now, true);
    // The ping after that one is due at 1,003 s.
    peer.pass(22_999);
    assert_eq!(peer.session.state(), State::Connected);
    peer.pass(1);
    assert!(peer.session.wants_close());
}
