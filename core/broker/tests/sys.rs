//! What the broker tells of itself under `$SYS`.

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use support::{ANY_PORT, client, publish, start, subscribe, until};
use ternmq_broker::{Broker, Config, Placement, sys_topics};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

const LEVELS: [u8; 3] = [3, 4, 5];

fn telling(interval: Duration) -> Broker {
    start(Config {
        shards: 3,
        placement: Placement::ByClientId,
        sys_interval: Some(interval),
        ..Config::listen(ANY_PORT)
    })
}

/// The next topic, below `$SYS/broker/`, and its value.
fn next(peer: &mut RawPeer) -> (String, String) {
    let packet = peer.next_packet().expect("a packet").expect("open");
    assert_eq!(packet.word(0), "PUBLISH");
    let text = |field: &str| {
        let bytes = packet.get(field).unwrap_or_default().to_vec();
        String::from_utf8(bytes).expect("a text")
    };
    (text("topic").replace("$SYS/broker/", ""), text("payload"))
}

/// Reads what comes until the values of these topics, below `$SYS/broker/`, are as wanted.
fn wait_for(peer: &mut RawPeer, wanted: &[(&str, &str)]) -> HashMap<String, String> {
    let (begun, mut values) = (Instant::now(), HashMap::new());
    while !wanted.iter().all(|(topic, value)| {
        let found: Option<&String> = values.get(*topic);
        found.is_some_and(|found| found == value)
    }) {
        assert!(begun.elapsed() < PATIENCE, "{wanted:?} in {values:#?}");
        let (topic, value) = next(peer);
        values.insert(topic, value);
    }
    values
}

#[test]
fn the_numbers_are_those_of_all_shards() {
    let broker = telling(Duration::from_millis(20));
    let mut watcher = client(&broker, 4, "watcher");
    let away = "CONNECT client_id=away clean_start=0";
    RawPeer::introduced(broker.local_addrs()[0], 4, away)
        .expect("CONNACK")
        .cut();
    let mut subscribers: Vec<RawPeer> = (0..4)
        .map(|n| client(&broker, LEVELS[n % 3], &format!("subscriber-{n}")))
        .collect();
    for subscriber in &mut subscribers {
        subscribe(subscriber, "t", 0);
    }
    for subscriber in &mut subscribers[..2] {
        subscribe(subscriber, "$share/g/none", 0);
    }
    let mut publisher = client(&broker, 5, "publisher");
    for _ in 0..10 {
        publish(&mut publisher, "t", 1, &"x".repeat(100));
    }
    publisher
        .send("PUBLISH topic=kept retain=1 qos=1 id=9 payload=12345")
        .expect("sent");
    publisher.expect("PUBACK id=9").expect("PUBACK");
    subscribe(&mut watcher, "$SYS/broker/#", 0);
    // Without the messages that tell of themselves, which is what the watcher gets.
    let retained = sys_topics().count() + 1;
    let values = wait_for(
        &mut watcher,
        &[
            ("clients/connected", "6"),
            ("clients/disconnected", "1"),
            ("clients/total", "7"),
            ("clients/maximum", "6"),
            ("subscriptions/count", "7"),
            ("shared_subscriptions/count", "1"),
            ("retained messages/count", &retained.to_string()),
            // 7 CONNECT, 7 SUBSCRIBE, 11 PUBLISH.
            ("messages/received", "25"),
            ("publish/messages/received", "11"),
            ("publish/bytes/received", "1005"),
            ("publish/messages/dropped", "0"),
        ],
    );
    assert!(values["version"].starts_with("ternmq version "));
    assert!(values["uptime"].ends_with(" seconds"));
    assert!(
        values["publish/messages/sent"]
            .parse::<u64>()
            .expect("a number")
            >= 40
    );
    let load = loop {
        let (topic, value) = next(&mut watcher);
        if topic == "load/publish/received/1min" {
            break value.parse::<f64>().expect("a number");
        }
    };
    // 11 within the last minute, hardly forgotten yet.
    assert!((8.0..=11.0).contains(&load), "{load}");
    for subscriber in subscribers {
        subscriber.cut();
    }
    // Only what has changed comes again.
    wait_for(
        &mut watcher,
        &[("clients/connected", "2"), ("clients/total", "3")],
    );
}

#[test]
fn who_subscribes_later_gets_the_last_values_as_retained_ones() {
    let broker = telling(Duration::from_secs(3600));
    until(&broker, |stats| {
        stats.mqtt.connections == 0 && stats.turns > 10
    });
    for level in LEVELS {
        let mut peer = client(&broker, level, "late");
        subscribe(&mut peer, "$SYS/broker/version", 2);
        peer.expect("PUBLISH topic=$SYS/broker/version qos=2 retain=1 id=<p>")
            .expect("the version");
    }
}

// [MQTT-4.7.2-1]
#[test]
fn wildcards_in_front_do_not_see_it() {
    let broker = telling(Duration::from_millis(5));
    let mut peer = client(&broker, 5, "curious");
    for filter in ["#", "+/broker/uptime", "+/+/#"] {
        subscribe(&mut peer, filter, 0);
    }
    let begun = broker.stats().turns;
    until(&broker, |stats| stats.turns > begun + 20);
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("nothing else");
}

#[test]
fn an_embedded_broker_says_nothing_unless_it_is_told_to() {
    let broker = support::broker();
    let mut peer = client(&broker, 5, "curious");
    subscribe(&mut peer, "$SYS/#", 0);
    until(&broker, |stats| stats.turns > 10);
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("nothing else");
}

// [MQTT-4.3.3-9] in MQTT 3.1.1 [MQTT-3.3.5-2]
#[test]
fn a_client_publishes_nothing_there() {
    let broker = support::broker();
    let mut watcher = client(&broker, 5, "watcher");
    subscribe(&mut watcher, "$SYS/#", 2);
    for level in LEVELS {
        let mut peer = client(&broker, level, "liar");
        // Before MQTT 5.0 there is no word for a refusal.
        let reason = if level == 5 { "reason=0x87" } else { "" };
        for topic in ["$SYS", "$SYS/broker/version"] {
            peer.send(&format!("PUBLISH topic={topic} payload=lie retain=1"))
                .expect("sent");
            peer.send(&format!("PUBLISH topic={topic} payload=lie qos=1 id=1"))
                .expect("sent");
            peer.expect(&format!("PUBACK id=1 {reason}"))
                .expect("PUBACK");
            peer.send(&format!("PUBLISH topic={topic} payload=lie qos=2 id=2"))
                .expect("sent");
            peer.expect(&format!("PUBREC id=2 {reason}"))
                .expect("PUBREC");
            if level < 5 {
                peer.send("PUBREL id=2").expect("sent");
                peer.expect("PUBCOMP id=2").expect("PUBCOMP");
            }
        }
        // The same identifier is a new message, and names that only look alike are anybody's.
        publish(&mut peer, "$SYSTEM/x", 2, "hello");
        peer.send("PUBLISH topic=t qos=2 id=2").expect("sent");
        peer.expect("PUBREC id=2").expect("PUBREC");
    }
    watcher.send("PINGREQ").expect("sent");
    watcher.expect("PINGRESP").expect("nothing else");
    let refused = broker.stats().mqtt.publishes_refused;
    assert_eq!((refused.not_allowed, refused.total()), (18, 18));
}

#[test]
fn a_will_there_is_refused_with_its_connect() {
    let broker = support::broker();
    for (level, reason) in [(3, 5), (4, 5), (5, 0x87)] {
        let mut peer = support::silent(&broker, level);
        peer.send("CONNECT client_id=a will_topic=$SYS/broker/version will_payload=lie")
            .expect("sent");
        peer.expect(&format!("CONNACK reason={reason}"))
            .expect("a refusal");
        peer.expect_close().expect("closed");
    }
}

/// The counters behind the numbers, against what one client has sent and got.
#[test]
fn every_packet_is_counted() {
    let broker = support::broker();
    let connect = "CONNECT client_id=a clean_start=0 session_expiry=100";
    let mut peer = RawPeer::introduced(broker.local_addrs()[0], 5, connect).expect("CONNACK");
    subscribe(&mut peer, "t", 2);
    peer.send("PUBLISH topic=t qos=2 id=3 payload=12345")
        .expect("sent");
    let got = [(); 2].map(|()| peer.next_packet().expect("a packet").expect("open"));
    assert_eq!(
        got.iter()
            .filter(|packet| packet.word(0) == "PUBREC")
            .count(),
        1
    );
    peer.send("PUBREL id=3").expect("sent");
    peer.expect("PUBCOMP id=3").expect("PUBCOMP");
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("PINGRESP");
    // The delivery is not answered, and comes again.
    peer.cut();
    until(&broker, |stats| stats.mqtt.connected == 0);
    let mut peer = RawPeer::introduced(broker.local_addrs()[0], 5, connect).expect("CONNACK");
    peer.expect("PUBLISH topic=t id=<p> dup=1").expect("again");
    peer.send("PUBREC id=<p>").expect("sent");
    peer.expect("PUBREL id=<p>").expect("PUBREL");
    peer.cut();
    until(&broker, |stats| stats.mqtt.connected == 0);
    let mut peer = RawPeer::introduced(broker.local_addrs()[0], 5, connect).expect("CONNACK");
    peer.expect("PUBREL").expect("PUBREL again");
    let mqtt = broker.stats().mqtt;
    // 3 CONNECT, SUBSCRIBE, PUBLISH, PUBREL, PINGREQ, PUBREC.
    assert_eq!(mqtt.packets_received, 8);
    // 3 CONNACK, SUBACK, PUBREC, PUBCOMP, PINGRESP, 2 PUBREL.
    assert_eq!(mqtt.control_sent, 9);
    assert_eq!((mqtt.sent(), mqtt.sent_again), (1, 1));
    assert_eq!((mqtt.received_payload, mqtt.sent_payload), (5, 10));
}
