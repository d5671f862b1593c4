//! Connections that suffer what a test wants them to.

mod support;

use std::time::{Duration, Instant};

use support::{ANY_PORT, publish, start, subscribe};
use ternmq_broker::{
    Broker, Config, Fault, FaultError, Harm, MAX_FAULTS, PacketType, Placement, Way,
};
use ternmq_protocol::ReasonCode;
use ternmq_test_broker_wire::{Line, PATIENCE, RawPeer, packet};

fn fragile() -> Broker {
    start(Config {
        shards: 2,
        placement: Placement::ByClientId,
        faults: true,
        ..Config::listen(ANY_PORT)
    })
}

fn enter(broker: &Broker, connect: &str) -> RawPeer {
    RawPeer::introduced(broker.local_addrs()[0], 5, connect).expect("CONNACK")
}

fn durable(broker: &Broker, client_id: &str) -> RawPeer {
    let connect =
        format!("CONNECT client_id={client_id} clean_start=0 session_expiry=7200 keep_alive=0");
    enter(broker, &connect)
}

fn of(client_id: &str, way: Way, packet: PacketType, harm: Harm) -> Fault {
    Fault {
        client_id: Some(client_id.into()),
        way: Some(way),
        packets: packet.into(),
        ..Fault::of_all(harm)
    }
}

fn send_publish(peer: &mut RawPeer, id: u16) {
    peer.send(&format!("PUBLISH topic=t qos=1 id={id} payload=m{id}"))
        .expect("sent");
}

fn is_alive(peer: &mut RawPeer) {
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("PINGRESP");
}

#[test]
fn a_connection_ends_after_the_third_puback_and_not_before() {
    let broker = fragile();
    let mut subscriber = durable(&broker, "s");
    subscribe(&mut subscriber, "t", 0);
    let mut other = durable(&broker, "other");
    let fault = Fault {
        after: 2,
        times: Some(1),
        ..of("c", Way::Out, PacketType::PubAck, Harm::CutAfter)
    };
    let fault = broker.inject(fault).expect("faults are on");
    let mut peer = durable(&broker, "c");
    // With one write: the broker reads all before it answers any.
    let five = (1..=5).flat_map(|id| {
        let publish = Line::parse(&format!("PUBLISH topic=t qos=1 id={id} payload=m{id}"));
        packet::encode(5, &publish.expect("a line"))
    });
    peer.send_bytes(&five.collect::<Vec<u8>>()).expect("sent");
    for id in 1..=3 {
        peer.expect(&format!("PUBACK id={id}")).expect("PUBACK");
    }
    peer.expect_close().expect("no DISCONNECT, no more PUBACK");
    assert!(broker.wait_for_hits(fault, 1, PATIENCE));
    // What came in had come in: it is the answers that are lost.
    for id in 1..=5 {
        let wanted = format!("PUBLISH payload=m{id}");
        subscriber.expect(&wanted).expect("all five");
    }
    for id in 1..=5 {
        send_publish(&mut other, id);
        other.expect(&format!("PUBACK id={id}")).expect("PUBACK");
    }
    // The session is there, and the fault is over.
    let mut peer = durable(&broker, "c");
    for id in 1..=5 {
        send_publish(&mut peer, id);
        peer.expect(&format!("PUBACK id={id}")).expect("PUBACK");
    }
}

#[test]
fn a_cut_before_a_packet_loses_it_and_one_after_it_loses_the_answer() {
    for (harm, arrives) in [(Harm::CutBefore, false), (Harm::CutAfter, true)] {
        let broker = fragile();
        let mut subscriber = durable(&broker, "s");
        subscribe(&mut subscriber, "t", 0);
        broker
            .inject(of("c", Way::In, PacketType::Publish, harm))
            .expect("faults are on");
        let mut peer = durable(&broker, "c");
        is_alive(&mut peer);
        send_publish(&mut peer, 1);
        peer.expect_close().expect("no PUBACK");
        // The end of the connection does not wait for the mail to the subscriber's shard.
        if arrives {
            subscriber.expect("PUBLISH payload=m1").expect("it arrives");
        }
        publish(&mut subscriber, "t", 0, "last");
        let last = subscriber.expect("PUBLISH payload=last");
        last.expect("nothing else");
    }
}

#[test]
fn dropped_packets_are_as_many_as_wanted() {
    let broker = fragile();
    let mut peer = durable(&broker, "c");
    let fault = Fault {
        times: Some(3),
        ..of("c", Way::Out, PacketType::PubAck, Harm::Drop)
    };
    let fault = broker.inject(fault).expect("faults are on");
    for id in 1..=4 {
        send_publish(&mut peer, id);
    }
    peer.expect("PUBACK id=4").expect("the fourth");
    assert_eq!(broker.hits(fault), Some(3));
    assert!(broker.lift(fault));
    assert!(!broker.lift(fault));
    assert_eq!(broker.hits(fault), None);
    assert!(!broker.wait_for_hits(fault, 1, PATIENCE));
    is_alive(&mut peer);
}

#[test]
fn what_is_delayed_comes_in_its_order_by_the_brokers_clock() {
    let broker = fragile();
    let mut peer = durable(&broker, "c");
    let hour = Duration::from_secs(3600);
    let fault = of("c", Way::Out, PacketType::PubAck, Harm::Delay(hour));
    let fault = broker.inject(fault).expect("faults are on");
    send_publish(&mut peer, 1);
    assert!(broker.wait_for_hits(fault, 1, PATIENCE));
    peer.send("PINGREQ").expect("sent");
    broker.advance(hour);
    peer.expect("PUBACK id=1").expect("first");
    peer.expect("PINGRESP").expect("and what was behind it");
    assert!(broker.lift(fault));
    // In real time as well, and the other way.
    let late = Duration::from_millis(50);
    broker
        .inject(of("c", Way::In, PacketType::PingReq, Harm::Delay(late)))
        .expect("faults are on");
    let begun = Instant::now();
    is_alive(&mut peer);
    assert!(begun.elapsed() >= late);
    // The end of a connection does not overtake what was sent before it.
    peer.send("PINGREQ").expect("sent");
    peer.send("PUBLISH topic=t retain=1 payload=x")
        .expect("sent");
    drop(peer);
    support::until(&broker, |stats| stats.mqtt.connections == 0);
    let mut reader = durable(&broker, "r");
    subscribe(&mut reader, "t", 0);
    reader.expect("PUBLISH payload=x").expect("it came in");
}

#[test]
fn damaged_packets_are_malformed_both_ways() {
    let broker = fragile();
    let mut peer = durable(&broker, "c");
    let fault = Fault {
        times: Some(1),
        ..of("c", Way::In, PacketType::Publish, Harm::Malform)
    };
    broker.inject(fault).expect("faults are on");
    send_publish(&mut peer, 1);
    peer.expect("DISCONNECT reason=0x81")
        .expect("Malformed Packet");
    peer.expect_close().expect("closed");
    // The last byte, in pieces.
    let mut peer = durable(&broker, "c");
    subscribe(&mut peer, "t", 0);
    let last = Harm::Corrupt {
        at: usize::MAX,
        mask: 0x01,
    };
    broker
        .inject(of("c", Way::Out, PacketType::Publish, last))
        .expect("faults are on");
    for byte in b"\x30\x06\0\x01t\0aa" {
        peer.send_bytes(&[*byte]).expect("sent");
    }
    peer.expect("PUBLISH payload=a%60").expect("one bit");
}

#[test]
fn what_is_held_waits_until_it_is_let_go_and_stops_nobody() {
    let broker = fragile();
    let mut other = durable(&broker, "other");
    let held = Fault {
        client_id: Some("c".into()),
        ..Fault::of_all(Harm::Hold)
    };
    let held = broker.inject(held).expect("faults are on");
    let mut peer = support::silent(&broker, 5);
    peer.send("CONNECT client_id=c keep_alive=0").expect("sent");
    assert!(broker.wait_for_hits(held, 1, PATIENCE));
    assert!(broker.client("c").is_none());
    is_alive(&mut other);
    broker.lift_all();
    peer.expect("CONNACK reason=0").expect("let in");
    // More than may wait: the broker keeps the rest, and nothing is lost.
    subscribe(&mut peer, "big", 1);
    let held = of("c", Way::Out, PacketType::Publish, Harm::Hold);
    let held = broker.inject(held).expect("faults are on");
    let payload = "x".repeat(50_000);
    for n in 0..40 {
        publish(&mut other, "big", 1, &format!("{n}{payload}"));
    }
    assert!(broker.lift(held));
    for n in 0..40 {
        let got = peer.expect("PUBLISH topic=big").expect("all of them");
        assert!(got.text("payload", "").starts_with(&format!("{n}x")));
        let id = got.number("id", 0);
        peer.send(&format!("PUBACK id={id}")).expect("sent");
    }
}

// [MQTT-3.1.2-22] [MQTT-3.1.2-8]
#[test]
fn who_has_vanished_is_missed_only_by_its_keep_alive() {
    let broker = fragile();
    let mut watcher = durable(&broker, "w");
    subscribe(&mut watcher, "wills", 0);
    let gone = "CONNECT client_id=c keep_alive=60 will_topic=wills will_payload=gone";
    let mut peer = enter(&broker, gone);
    let mut waits = enter(&broker, "CONNECT client_id=d keep_alive=60");
    assert_eq!(broker.vanish(Some("c")), Ok(1));
    assert_eq!(broker.vanish(Some("d")), Ok(1));
    assert_eq!(broker.vanish(Some("nobody")), Ok(0));
    send_publish(&mut peer, 1);
    drop(peer);
    is_alive(&mut watcher);
    let client = broker.client("c").expect("a session");
    assert!(client.connection.is_some(), "nobody knows");
    broker.advance(Duration::from_secs(91));
    watcher.expect("PUBLISH payload=gone").expect("the will");
    // The broker has given the other one up as well, and that one sees nothing of it.
    let fault = broker.inject(Fault::of_all(Harm::Hold));
    assert!(broker.lift(fault.expect("faults are on")));
    assert!(broker.client("d").is_none());
    broker.lift_all();
    waits.expect_close().expect("and no word before");
}

#[test]
fn a_packet_may_be_the_last_that_anybody_sees() {
    let broker = fragile();
    let mut peer = durable(&broker, "c");
    let fault = of("c", Way::In, PacketType::Subscribe, Harm::Vanish);
    broker.inject(fault).expect("faults are on");
    is_alive(&mut peer);
    peer.send("SUBSCRIBE id=1 filter=t options=0")
        .expect("sent");
    peer.send("PINGREQ").expect("sent");
    support::until(&broker, |stats| stats.mqtt.subscriptions == 0);
    assert_eq!(broker.cut(Some("c")), Ok(1));
    peer.expect_close().expect("nothing but the end");
}

// [MQTT-3.2.2-7]
#[test]
fn the_next_connect_is_refused_with_the_wanted_reason() {
    let broker = fragile();
    for (level, reason, code) in [
        (5, ReasonCode::SERVER_BUSY, "0x89"),
        (4, ReasonCode::NOT_AUTHORIZED, "5"),
        (3, ReasonCode::SERVER_UNAVAILABLE, "3"),
    ] {
        let fault = Fault {
            client_id: Some("c".into()),
            times: Some(2),
            ..Fault::of_all(Harm::Refuse(reason))
        };
        let fault = broker.inject(fault).expect("faults are on");
        for _ in 0..2 {
            let mut peer = support::silent(&broker, level);
            peer.send("CONNECT client_id=c").expect("sent");
            peer.expect(&format!("CONNACK reason={code}"))
                .expect("refused");
            peer.expect_close().expect("closed");
        }
        is_alive(&mut support::client(&broker, level, "c"));
        assert_eq!(broker.hits(fault), Some(2));
    }
}

#[test]
fn a_broker_without_faults_has_none_and_one_with_them_has_a_limit() {
    let broker = support::broker();
    let all = Fault::of_all(Harm::Drop);
    assert_eq!(broker.inject(all.clone()), Err(FaultError::Off));
    assert_eq!(broker.cut(None), Err(FaultError::Off));
    assert_eq!(broker.vanish(None), Err(FaultError::Off));
    let broker = fragile();
    let over = Fault {
        times: Some(0),
        ..all
    };
    for _ in 0..MAX_FAULTS {
        broker.inject(over.clone()).expect("room");
    }
    assert_eq!(broker.inject(over), Err(FaultError::Full));
    is_alive(&mut durable(&broker, "c"));
}

#[test]
fn a_stop_lifts_all_faults() {
    let broker = fragile();
    let mut held = durable(&broker, "held");
    let mut vanished = durable(&broker, "vanished");
    let hold = Fault {
        client_id: Some("held".into()),
        ..Fault::of_all(Harm::Hold)
    };
    let hold = broker.inject(hold).expect("faults are on");
    held.send("PINGREQ").expect("sent");
    assert!(broker.wait_for_hits(hold, 1, PATIENCE));
    assert_eq!(broker.vanish(Some("vanished")), Ok(1));
    // Given up, and not gone yet.
    let mut dying = enter(&broker, "CONNECT client_id=dying keep_alive=10");
    assert_eq!(broker.vanish(Some("dying")), Ok(1));
    broker.advance(Duration::from_secs(20));
    assert!(broker.client("dying").is_none());
    let begun = Instant::now();
    broker.stop().expect("no failure");
    dying.expect_close().expect("closed");
    assert!(begun.elapsed() < Duration::from_secs(1));
    held.read_to_end().expect("closed");
    vanished.expect_close().expect("closed");
}
