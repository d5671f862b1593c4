//! Letting go of all clients.

mod support;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{client, silent, subscribe, until, watched};
use ternmq_broker::{Broker, Drain, Event, ListenerId};
use ternmq_test_broker_wire::RawPeer;

const PLACE: &str = "other.example:1883";

fn to(place: &str) -> Drain {
    Drain {
        server_reference: Some(place.into()),
        ..Drain::default()
    }
}

// [MQTT-3.14.0-1] [MQTT-3.2.2-7]
#[test]
fn clients_are_sent_to_another_server_and_new_ones_too() {
    for (moved, code) in [(false, "0x9C"), (true, "0x9D")] {
        let (broker, events) = watched(4);
        let old: Vec<RawPeer> = (0..6)
            .map(|n| client(&broker, 3 + n % 2, &format!("o{n}")))
            .collect();
        let new: Vec<RawPeer> = (0..6)
            .map(|n| client(&broker, 5, &format!("n{n}")))
            .collect();
        let mut mute = silent(&broker, 5);
        let drain = Drain { moved, ..to(PLACE) };
        assert!(!broker.is_drained() && broker.drain(drain.clone()));
        for mut peer in new {
            let told = format!("DISCONNECT reason={code} server_reference={PLACE}");
            peer.expect(&told).expect("where to go");
            peer.expect_close().expect("closed");
        }
        for mut peer in old {
            peer.expect_close().expect("closed");
        }
        assert_eq!(events.recv(), Ok(Event::Drained));
        assert!(broker.is_drained() && !broker.drain(drain));
        // Who had connected before, and who comes now.
        for peer in [&mut mute, &mut silent(&broker, 5)] {
            peer.send("CONNECT client_id=late").expect("sent");
            let told = format!("CONNACK reason={code} server_reference={PLACE}");
            peer.expect(&told).expect("where to go");
            peer.expect_close().expect("closed");
        }
        for level in [3, 4] {
            let mut peer = silent(&broker, level);
            peer.send("CONNECT client_id=late").expect("sent");
            peer.expect("CONNACK reason=3").expect("Server unavailable");
            peer.expect_close().expect("closed");
        }
        let stats = broker.stats();
        assert_eq!((stats.drained, stats.connects_refused_draining), (12, 4));
        assert_eq!(stats.mqtt.peer_errors, 0);
        broker.stop().expect("no failure");
    }
}

#[test]
fn without_a_place_clients_are_told_that_the_server_ends() {
    let (broker, events) = watched(4);
    let mut new = client(&broker, 5, "new");
    let mut old = client(&broker, 4, "old");
    let mut mute = silent(&broker, 5);
    until(&broker, |stats| stats.mqtt.connections == 3);
    assert!(broker.drain(Drain::default()));
    new.expect("DISCONNECT reason=0x8B")
        .expect("Server shutting down");
    new.expect_close().expect("closed");
    old.expect_close().expect("closed");
    let closed = Event::ListenerClosed(ListenerId(0));
    assert_eq!(events.recv(), Ok(closed));
    assert_eq!(events.recv(), Ok(Event::Drained));
    mute.send("CONNECT client_id=late").expect("sent");
    mute.expect("CONNACK reason=0x88")
        .expect("Server unavailable");
    mute.expect_close().expect("closed");
    // Nobody listens any more.
    TcpStream::connect(broker.local_addrs()[0]).expect_err("refused");
}

// [MQTT-3.1.2-24]
#[test]
fn a_place_that_does_not_fit_is_left_out() {
    let (broker, _events) = watched(4);
    let address = broker.local_addrs()[0];
    let connect =
        |id: usize, most: usize| format!("CONNECT client_id={id} maximum_packet_size={most}");
    // DISCONNECT with it takes 2 + 1 + 1 + 3 + 18 bytes, CONNACK one more.
    let mut roomy = RawPeer::introduced(address, 5, &connect(1, 60)).expect("CONNACK");
    let mut tight = RawPeer::introduced(address, 5, &connect(2, 24)).expect("CONNACK");
    broker.drain(to(PLACE));
    roomy
        .expect(&format!("DISCONNECT reason=0x9C server_reference={PLACE}"))
        .expect("where to go");
    let told = tight.expect("DISCONNECT reason=0x9C").expect("the code");
    assert_eq!(told.get("server_reference"), None);
    for (most, fits) in [(25, false), (26, true)] {
        let mut peer = silent(&broker, 5);
        peer.send(&connect(3, most)).expect("sent");
        let told = peer.expect("CONNACK reason=0x9C").expect("the code");
        assert_eq!(told.get("server_reference").is_some(), fits, "{most}");
    }
}

// [MQTT-3.1.2-8]
#[test]
fn sessions_stay_and_wills_go_out() {
    let (broker, events) = watched(4);
    let address = broker.local_addrs()[0];
    let connect = "CONNECT client_id=c clean_start=0 session_expiry=1000 will_topic=wills will_qos=1 \
                   will_payload=gone";
    let mut mortal = RawPeer::introduced(address, 5, connect).expect("CONNACK");
    let witness = "CONNECT client_id=witness clean_start=0 session_expiry=1000";
    let mut witness = RawPeer::introduced(address, 5, witness).expect("CONNACK");
    subscribe(&mut witness, "wills", 1);
    broker.drain(to(PLACE));
    mortal.expect("DISCONNECT reason=0x9C").expect("told");
    assert_eq!(events.recv(), Ok(Event::Drained));
    // The witness gets it, or it waits in its session.
    let stats = until(&broker, |stats| stats.mqtt.matched == 1);
    assert_eq!((stats.mqtt.sessions, stats.mqtt.wills), (2, 1));
    assert_eq!(stats.mqtt.dropped.total(), 0);
}

#[test]
fn the_rate_is_kept_over_all_shards() {
    let (broker, events) = watched(4);
    let peers: Vec<RawPeer> = (0..30)
        .map(|n| client(&broker, 5, &format!("{n}")))
        .collect();
    let begun = Instant::now();
    broker.drain(Drain {
        rate: 100,
        ..to(PLACE)
    });
    assert_eq!(events.recv(), Ok(Event::Drained));
    // The first one leaves at once, the others 10 ms apart.
    assert!(
        begun.elapsed() >= Duration::from_millis(280),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(broker.stats().drained, 30);
    for mut peer in peers {
        peer.expect("DISCONNECT reason=0x9C").expect("told");
    }
}

/// A client that takes one message at a time, with two more behind the first.
fn busy(broker: &Broker, client_id: &str) -> RawPeer {
    let connect = format!("CONNECT client_id={client_id} receive_maximum=1");
    let mut peer = RawPeer::introduced(broker.local_addrs()[0], 5, &connect).expect("CONNACK");
    subscribe(&mut peer, client_id, 1);
    let mut publisher = client(broker, 4, "publisher");
    for n in 1..=3 {
        let publish = format!("PUBLISH topic={client_id} qos=1 id={n} payload={n}");
        publisher.send(&publish).expect("sent");
        publisher.expect("PUBACK").expect("taken");
    }
    peer
}

#[test]
fn who_has_messages_waiting_gets_them_first() {
    let (broker, events) = watched(4);
    let mut busy = busy(&broker, "busy");
    let mut idle = client(&broker, 5, "idle");
    let mut old = client(&broker, 4, "old");
    broker.drain(Drain {
        within: Duration::from_secs(600),
        ..to(PLACE)
    });
    idle.expect("DISCONNECT reason=0x9C").expect("told");
    old.expect_close().expect("closed");
    for payload in ["1", "2", "3"] {
        let publish = format!("PUBLISH topic=busy payload={payload}");
        let got = busy.expect(&publish).expect("before it is let go of");
        let id = got.get("id").expect("an identifier");
        let id = String::from_utf8_lossy(id);
        busy.send(&format!("PUBACK id={id}")).expect("sent");
    }
    busy.expect("DISCONNECT reason=0x9C").expect("told");
    assert_eq!(events.recv(), Ok(Event::Drained));
    assert_eq!(broker.stats().mqtt.dropped.total(), 0);
}

#[test]
fn when_the_time_is_over_nobody_is_waited_for() {
    let (broker, events) = watched(4);
    let mut busy = busy(&broker, "busy");
    // At this rate most would be here for seconds.
    let mut others: Vec<RawPeer> = (0..5)
        .map(|n| client(&broker, 5, &format!("{n}")))
        .collect();
    let begun = Instant::now();
    broker.drain(Drain {
        rate: 1,
        within: Duration::from_millis(300),
        ..to(PLACE)
    });
    for peer in &mut others {
        peer.expect("DISCONNECT reason=0x9C").expect("told");
    }
    busy.expect("PUBLISH payload=1").expect("the first");
    busy.expect("DISCONNECT reason=0x9C").expect("told");
    assert_eq!(events.recv(), Ok(Event::Drained));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}
