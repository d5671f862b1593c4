//! A clock that is moved ahead: what is due is done, in its order and on every shard, when the call returns.

mod support;

use std::time::{Duration, Instant};

use support::{ANY_PORT, broker, publish, spread, start, subscribe};
use ternmq_broker::{Broker, Config, DelayedLimits, Topics};
use ternmq_protocol::Message;
use ternmq_protocol::codec::{PropertiesBuf, PropertyId, QoS, Value};
use ternmq_test_broker_wire::RawPeer;

const HOUR: Duration = Duration::from_secs(3600);

fn enter(broker: &Broker, connect: &str) -> RawPeer {
    RawPeer::introduced(broker.local_addrs()[0], 5, connect).expect("CONNACK")
}

/// Goes without a DISCONNECT; the broker knows when this returns.
fn vanish(broker: &Broker, peer: RawPeer, client_id: &str) {
    drop(peer);
    support::until(broker, |_| {
        let client = broker.client(client_id).expect("a session");
        client.connection.is_none()
    });
}

// [MQTT-3.1.2-23]
#[test]
fn a_session_lives_exactly_as_long_as_its_expiry() {
    let broker = broker();
    let peer = enter(
        &broker,
        "CONNECT client_id=c clean_start=0 session_expiry=7200",
    );
    vanish(&broker, peer, "c");
    broker.advance(HOUR);
    assert!(broker.client("c").is_some());
    broker.advance(HOUR);
    assert!(broker.client("c").is_none());
}

// [MQTT-3.1.2-22]
#[test]
fn what_follows_from_a_deadline_counts_from_that_deadline() {
    for shards in [1, 4] {
        let broker = spread(shards);
        let mut witness = enter(&broker, "CONNECT client_id=witness keep_alive=0");
        subscribe(&mut witness, "wills/#", 0);
        // 15 seconds of silence, 60 until the will, 120 until the end: in one step.
        let mut silent: Vec<RawPeer> = (0..8)
            .map(|n| {
                let connect = format!(
                    "CONNECT client_id=silent{n} clean_start=0 keep_alive=10 session_expiry=120 \
                     will_topic=wills/{n} will_payload=gone will.will_delay=60"
                );
                enter(&broker, &connect)
            })
            .collect();
        broker.advance(Duration::from_secs(74));
        assert_eq!(broker.stats().mqtt.wills, 0);
        broker.advance(Duration::from_secs(1));
        let stats = broker.stats();
        assert_eq!((stats.mqtt.wills, stats.mqtt.sessions), (8, 9));
        for _ in 0..8 {
            witness.expect("PUBLISH payload=gone").expect("a will");
        }
        broker.advance(Duration::from_secs(60));
        assert_eq!(broker.stats().mqtt.sessions, 1);
        for peer in &mut silent {
            peer.expect("DISCONNECT reason=0x8D").expect("told");
            peer.expect_close().expect("closed");
        }
    }
}

// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn messages_expire_and_delayed_ones_are_published() {
    let topics = Topics {
        delayed: Some(DelayedLimits::default()),
        ..Topics::default()
    };
    let broker = start(Config {
        shards: 2,
        topics,
        ..Config::listen(ANY_PORT)
    });
    let mut peer = enter(&broker, "CONNECT client_id=p keep_alive=0");
    subscribe(&mut peer, "later", 1);
    peer.send("PUBLISH topic=kept retain=1 qos=1 id=7 payload=x message_expiry=600")
        .expect("sent");
    peer.expect("PUBACK id=7").expect("PUBACK");
    publish(&mut peer, "$delayed/1800/later", 1, "now");
    broker.advance(Duration::from_secs(599));
    let mut reader = enter(&broker, "CONNECT client_id=r keep_alive=0");
    subscribe(&mut reader, "kept", 0);
    reader
        .expect("PUBLISH topic=kept payload=x message_expiry=1")
        .expect("one second is left");
    broker.advance(Duration::from_secs(1));
    assert_eq!(broker.stats().retained_expired, 1);
    broker.advance(Duration::from_secs(1200));
    peer.expect("PUBLISH topic=later payload=now")
        .expect("after half an hour");
}

#[test]
fn what_this_process_has_retained_expires_like_anything_else() {
    let broker = broker();
    let mut expires = PropertiesBuf::default();
    let expiry = Value::FourByteInteger(60);
    let pushed = expires.push(PropertyId::MessageExpiryInterval, expiry);
    pushed.expect("a property");
    let (qos, now) = (QoS::AtMostOnce, broker.now());
    let message = Message::new("t", b"x", qos, true, expires.get(), now).expect("a message");
    assert_eq!(broker.publish(&message), Ok(()));
    broker.advance(Duration::from_secs(60));
    assert_eq!(broker.stats().retained_expired, 1);
}

#[test]
fn a_year_with_many_deadlines_is_quick_and_harms_nobody() {
    let broker = spread(2);
    for n in 0..200 {
        let expiry = 1 + n * 100_000;
        let connect = format!("CONNECT client_id=c{n} clean_start=0 session_expiry={expiry}");
        drop(enter(&broker, &connect));
    }
    support::until(&broker, |stats| stats.mqtt.connected == 0);
    let mut stays = enter(&broker, "CONNECT client_id=stays keep_alive=0");
    let begun = Instant::now();
    broker.advance(365 * 24 * HOUR);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(broker.stats().mqtt.sessions, 1);
    stays.send("PINGREQ").expect("sent");
    stays.expect("PINGRESP").expect("still there");
    // As far as it goes, and beyond.
    broker.advance(Duration::MAX);
    broker.advance(Duration::MAX);
    stays.send("PINGREQ").expect("sent");
    stays.expect("PINGRESP").expect("still there");
}
