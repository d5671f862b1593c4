//! Messages through a broker over sockets.

mod support;

use support::{ANY_PORT, broker, client, publish, start, subscribe, until};
use ternmq_broker::Config;
use ternmq_broker::RetainedLimits;

const LEVELS: [u8; 3] = [3, 4, 5];

// [MQTT-4.2-1] [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-4.3.3-4] in MQTT 3.1.1 [MQTT-4.3.1-1] [MQTT-4.3.2-1]
// 3.1.1 [MQTT-4.3.3-1] [MQTT-7.1.1-1]
#[test]
fn every_qos_goes_from_every_version_to_every_version() {
    let broker = broker();
    for from in LEVELS {
        for to in LEVELS {
            for qos in 0..3 {
                let mut subscriber = client(&broker, to, "subscriber");
                let mut publisher = client(&broker, from, "publisher");
                subscribe(&mut subscriber, "a/+", qos);
                publish(&mut publisher, "a/b", qos, "hello");
                let got = subscriber
                    .expect(&format!("PUBLISH topic=a/b qos={qos} payload=hello dup=0"))
                    .expect("the message");
                let id = got.number("id", 0);
                match qos {
                    0 => {}
                    1 => subscriber.send(&format!("PUBACK id={id}")).expect("sent"),
                    _ => {
                        subscriber.send(&format!("PUBREC id={id}")).expect("sent");
                        subscriber
                            .expect(&format!("PUBREL id={id}"))
                            .expect("PUBREL");
                        subscriber.send(&format!("PUBCOMP id={id}")).expect("sent");
                    }
                }
                subscriber.send("PINGREQ").expect("sent");
                subscriber.expect("PINGRESP").expect("nothing else");
            }
        }
    }
}

#[test]
fn what_comes_in_one_segment_goes_out_in_one_write() {
    let broker = broker();
    let mut subscriber = client(&broker, 4, "subscriber");
    subscribe(&mut subscriber, "t", 1);
    let mut publisher = client(&broker, 4, "publisher");
    let before = broker.stats();
    let mut segment = Vec::new();
    for id in 1..=100u8 {
        segment.extend([0x32, 0x06, 0x00, 0x01, b't', 0x00, id, b'x']);
    }
    publisher.send_bytes(&segment).expect("sent");
    for id in 1..=100 {
        publisher
            .expect(&format!("PUBACK id={id}"))
            .expect("PUBACK");
    }
    for _ in 0..100 {
        subscriber
            .expect("PUBLISH topic=t qos=1")
            .expect("a message");
    }
    let after = broker.stats();
    // A segment arrives whole, so two connections had something to send in one batch; the kernel may
    // split it once or twice, but never by packet.
    let (flushes, writes) = (after.flushes - before.flushes, after.writes - before.writes);
    assert!(flushes <= 8, "{flushes} flushes");
    assert_eq!(flushes, writes, "a flush is one write");
}

#[test]
fn turns_that_end_early_do_not_flush_every_subscriber_each_time() {
    const SUBSCRIBERS: u64 = 50;
    const MESSAGES: u64 = 64;
    let mut config = Config::listen(ANY_PORT);
    config.shards = 1;
    // One message to all of them is all that fits into a turn.
    config.session.turn_work = SUBSCRIBERS;
    let broker = start(config);
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|n| {
            let mut peer = client(&broker, 4, &format!("subscriber-{n}"));
            subscribe(&mut peer, "t", 0);
            peer
        })
        .collect();
    let mut publisher = client(&broker, 4, "publisher");
    let before = broker.stats();
    let mut segment: Vec<u8> = (0..MESSAGES as u8)
        .flat_map(|n| [0x30, 0x04, 0x00, 0x01, b't', n])
        .collect();
    segment.extend([0xC0, 0x00]);
    publisher.send_bytes(&segment).expect("sent");
    publisher.expect("PINGRESP").expect("PINGRESP");
    for subscriber in &mut subscribers {
        subscriber.send("PINGREQ").expect("sent");
        for _ in 0..MESSAGES {
            subscriber.expect("PUBLISH topic=t").expect("a message");
        }
        subscriber.expect("PINGRESP").expect("PINGRESP");
    }
    let after = broker.stats();
    let turns = after.turns - before.turns;
    assert!(turns >= MESSAGES, "{turns} turns are too few to be fair");
    // One for what they got by each read of the publisher, one for their own PINGRESP.
    let reads = after.reads - before.reads - SUBSCRIBERS;
    let flushes = after.flushes - before.flushes;
    assert!(
        flushes <= SUBSCRIBERS * (reads + 1) + reads,
        "{flushes} flushes for {reads} reads of the publisher"
    );
}

#[test]
fn large_payloads_go_through_whole() {
    let broker = broker();
    let mut subscriber = client(&broker, 5, "subscriber");
    subscribe(&mut subscriber, "big", 0);
    let mut publisher = client(&broker, 5, "publisher");
    for len in [4095, 4096, 65_536, 500_000] {
        let payload = "abcdefgh".repeat(len / 8 + 1);
        publish(&mut publisher, "big", 1, &payload[..len]);
        let got = subscriber.expect("PUBLISH topic=big").expect("the message");
        assert_eq!(got.text("payload", ""), payload[..len]);
    }
}

// [MQTT-3.3.1-5] [MQTT-3.3.1-6]
#[test]
fn retained_messages_are_kept_and_forgotten_on_every_shard() {
    let broker = support::spread(3);
    let mut publisher = client(&broker, 5, "publisher");
    publisher
        .send("PUBLISH topic=kept/1 qos=1 id=1 retain=1 payload=one")
        .expect("sent");
    publisher.expect("PUBACK id=1").expect("PUBACK");
    for n in 0..6 {
        let mut subscriber = client(&broker, 4, &format!("subscriber-{n}"));
        subscribe(&mut subscriber, "kept/#", 0);
        subscriber
            .expect("PUBLISH topic=kept/1 retain=1 payload=one")
            .expect("the retained message");
    }
    publisher
        .send("PUBLISH topic=kept/1 qos=1 id=1 retain=1 payload=")
        .expect("sent");
    publisher.expect("PUBACK id=1").expect("PUBACK");
    let mut subscriber = client(&broker, 4, "late");
    subscribe(&mut subscriber, "kept/#", 0);
    subscriber.send("PINGREQ").expect("sent");
    subscriber.expect("PINGRESP").expect("nothing retained");
}

#[test]
fn a_full_retained_store_delivers_without_keeping_and_says_so() {
    let mut full = Config::listen(ANY_PORT).limits.retained;
    let by_bytes = RetainedLimits { bytes: 400, ..full };
    full.messages = 1;
    for limits in [full, by_bytes] {
        let mut config = Config::listen(ANY_PORT);
        config.limits.retained = limits;
        let broker = start(config);
        let mut subscriber = client(&broker, 5, "subscriber");
        subscribe(&mut subscriber, "#", 0);
        let mut publisher = client(&broker, 5, "publisher");
        let large = "x".repeat(300);
        for (topic, payload, code) in [
            ("kept", "1", 0),
            ("other", large.as_str(), 0x97),
            ("kept", "2", 0),
        ] {
            publisher
                .send(&format!(
                    "PUBLISH topic={topic} qos=1 id=1 retain=1 payload={payload}"
                ))
                .expect("sent");
            publisher
                .expect(&format!("PUBACK id=1 reason={code}"))
                .expect("PUBACK");
            subscriber
                .expect(&format!("PUBLISH topic={topic} payload={payload}"))
                .expect("delivered");
        }
        let mut late = client(&broker, 4, "late");
        subscribe(&mut late, "#", 0);
        late.expect("PUBLISH topic=kept retain=1 payload=2")
            .expect("the one that is kept");
        late.send("PINGREQ").expect("sent");
        late.expect("PINGRESP").expect("nothing else");
        assert_eq!(broker.stats().retained_refused, 1);
    }
}

#[test]
fn a_message_published_from_inside_reaches_every_shard() {
    use ternmq_protocol::Message;
    use ternmq_protocol::codec::{Properties, QoS};
    let broker = support::spread(3);
    let mut subscribers: Vec<_> = (0..6)
        .map(|n| {
            let mut peer = client(&broker, 5, &format!("subscriber-{n}"));
            subscribe(&mut peer, "inside", 1);
            peer
        })
        .collect();
    let none = Properties::EMPTY;
    let qos = QoS::AtLeastOnce;
    let message = Message::new("inside", b"out", qos, true, none, broker.now()).unwrap();
    broker.publish(&message).expect("taken");
    for subscriber in &mut subscribers {
        subscriber
            .expect("PUBLISH topic=inside qos=1 payload=out")
            .expect("the message");
    }
    let mut late = client(&broker, 5, "late");
    subscribe(&mut late, "inside", 1);
    late.expect("PUBLISH topic=inside retain=1 payload=out")
        .expect("the retained message");
}

#[test]
fn the_counters_tell_what_happened() {
    let broker = broker();
    let mut peer = client(&broker, 4, "peer");
    subscribe(&mut peer, "t", 0);
    publish(&mut peer, "t", 0, "x");
    peer.expect("PUBLISH topic=t").expect("the message");
    let stats = broker.stats();
    assert_eq!((stats.accepted, stats.mqtt.connections), (1, 1));
    assert_eq!(
        (stats.mqtt.received, stats.mqtt.sent),
        ([1, 0, 0], [1, 0, 0])
    );
    assert!(stats.bytes_in > 0 && stats.bytes_out > 0);
    peer.send("DISCONNECT").expect("sent");
    peer.expect_close().expect("closed");
    until(&broker, |stats| {
        stats.closed == 1 && stats.mqtt.connections == 0
    });
}
