//! SUBSCRIBE, UNSUBSCRIBE and what they do to deliveries, over sockets (3.8 to 3.11, 4.5 to 4.7).
#![allow(missing_docs)]

mod support;

use support::{Scene, nothing_more, subscribe};

const LEVELS: [u8; 2] = [4, 5];

// [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2]
// [MQTT-2.2.1-6] in MQTT 3.1.1 [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1]
// 3.1.1 [MQTT-3.9.3-2] [MQTT-2.3.1-7]
#[test]
fn many_filters_get_one_answer_with_their_codes_in_order() {
    let scene = Scene::new();
    for (level, refused) in [(4, 0x80), (5, 0x8f)] {
        let mut peer = scene.client(level, "CONNECT client_id=anna");
        peer.send("SUBSCRIBE id=65535 filter=a options=2 filter=b%23 options=1 filter=c/+ options=0 filter=d options=1")
            .expect("sent");
        peer.expect(&format!(
            "SUBACK id=65535 code=2 code={refused} code=0 code=1"
        ))
        .expect("SUBACK");
        // Each of them counts as if it had been asked for alone.
        for (topic, qos) in [("a", 2), ("c/x", 0), ("d", 1)] {
            peer.send(&format!("PUBLISH topic={topic} payload={topic}"))
                .expect("sent");
            peer.expect(&format!("PUBLISH topic={topic} qos=0"))
                .unwrap_or_else(|e| panic!("{topic} at {qos}: {e}"));
        }
        nothing_more(&mut peer);
    }
}

// [MQTT-3.8.4-8] [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] in MQTT 3.1.1 [MQTT-3.8.4-6] [MQTT-3.3.5-1]
#[test]
fn overlapping_filters_give_one_copy_at_the_highest_qos_they_grant() {
    let scene = Scene::new();
    for level in LEVELS {
        let mut peer = scene.client(level, "CONNECT client_id=anna");
        let mut publisher = scene.client(4, "CONNECT client_id=publisher");
        let with_id = |id: u32| match level {
            5 => format!("subscription_id={id}"),
            _ => String::new(),
        };
        for (filter, qos, id) in [("a/%23", 0, 1), ("a/+", 1, 2), ("a/b", 0, 3)] {
            let id = with_id(id);
            peer.send(&format!(
                "SUBSCRIBE id=1 filter={filter} options={qos} {id}"
            ))
            .expect("sent");
            peer.expect(&format!("SUBACK id=1 code={qos}"))
                .expect("SUBACK");
        }
        for (qos, delivered) in [(0, 0), (1, 1), (2, 1)] {
            publisher
                .send(&format!("PUBLISH topic=a/b qos={qos} id=1 payload=x"))
                .expect("sent");
            let copy = peer
                .expect(&format!("PUBLISH topic=a/b qos={delivered} payload=x"))
                .expect("one copy");
            let mut ids: Vec<_> = copy.all("subscription_id").collect();
            ids.sort_unstable();
            let wanted: &[&[u8]] = if level == 5 { &[b"1", b"2", b"3"] } else { &[] };
            assert_eq!(ids, wanted, "{copy}");
            nothing_more(&mut peer);
        }
    }
}

/// A subscription is replaced again and again while messages flow: retained messages come with each,
/// and no message is lost or doubled.
// [MQTT-3.8.4-3] [MQTT-3.8.4-4] [MQTT-4.6.0-5] [MQTT-4.6.0-6]
// in MQTT 3.1.1 [MQTT-3.8.4-3] [MQTT-4.6.0-5] [MQTT-4.6.0-6]
#[test]
fn a_subscription_is_replaced_without_a_gap() {
    let scene = Scene::new();
    for level in LEVELS {
        let mut peer = scene.client(level, "CONNECT client_id=anna");
        let mut publisher = scene.client(4, "CONNECT client_id=publisher");
        publisher
            .send("PUBLISH topic=t/kept retain=1 payload=kept")
            .expect("sent");
        nothing_more(&mut publisher);
        subscribe(&mut peer, "t/%23", 1);
        peer.expect("PUBLISH topic=t/kept retain=1")
            .expect("the kept one");
        let mut next = 0;
        for round in 1..=30 {
            for n in next..10 * round {
                publisher
                    .send(&format!("PUBLISH topic=t/flow qos=1 id=1 payload={n}"))
                    .expect("sent");
            }
            let qos = 1 + round % 2;
            peer.send(&format!("SUBSCRIBE id=7 filter=t/%23 options={qos}"))
                .expect("sent");
            let (mut answers, mut kept) = (0, 0);
            while (answers, kept, next) != (1, 1, 10 * round) {
                let packet = peer.next_packet().expect("a packet").expect("it is open");
                match packet.word(0) {
                    "SUBACK" => answers += 1,
                    "PUBLISH" if packet.text("topic", "") == "t/kept" => kept += 1,
                    _ => {
                        assert_eq!(packet.number("payload", 0), next, "{packet}");
                        next += 1;
                        let id = packet.number("id", 0);
                        peer.send(&format!("PUBACK id={id}")).expect("sent");
                    }
                }
            }
        }
        nothing_more(&mut peer);
    }
}

// [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2]
// [MQTT-2.2.1-6] in MQTT 3.1.1 [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5]
// 3.1.1 [MQTT-3.10.4-6] [MQTT-2.3.1-7]
#[test]
fn many_filters_are_given_up_with_one_answer() {
    let scene = Scene::new();
    for level in LEVELS {
        let mut peer = scene.client(level, "CONNECT client_id=anna");
        peer.send("SUBSCRIBE id=1 filter=a/+ filter=a/b filter=c")
            .expect("sent");
        peer.expect("SUBACK id=1 code=0 code=0 code=0")
            .expect("SUBACK");
        peer.send("UNSUBSCRIBE id=65535 filter=a/%23 filter=a/+ filter=A/b filter=c")
            .expect("sent");
        let codes = if level == 5 {
            "code=0x11 code=0 code=0x11 code=0"
        } else {
            "code=!"
        };
        peer.expect(&format!("UNSUBACK id=65535 {codes}"))
            .expect("UNSUBACK");
        peer.send("PUBLISH topic=a/c payload=gone").expect("sent");
        peer.send("PUBLISH topic=c payload=gone").expect("sent");
        peer.send("PUBLISH topic=a/b payload=left").expect("sent");
        peer.expect("PUBLISH topic=a/b payload=left")
            .expect("the one that is left");
        nothing_more(&mut peer);
    }
}

// [MQTT-3.10.4-3] in MQTT 3.1.1 [MQTT-3.10.4-3]
#[test]
fn a_delivery_that_has_begun_is_finished_without_its_subscription() {
    let scene = Scene::new();
    for level in LEVELS {
        let mut peer = scene.client(level, "CONNECT client_id=anna");
        let mut publisher = scene.client(4, "CONNECT client_id=publisher");
        subscribe(&mut peer, "t", 2);
        for qos in 1..=2 {
            publisher
                .send(&format!("PUBLISH topic=t qos={qos} id={qos} payload={qos}"))
                .expect("sent");
            peer.expect(&format!("PUBLISH topic=t qos={qos} id=<p{qos}>"))
                .expect("the beginning");
        }
        peer.send("UNSUBSCRIBE id=1 filter=t").expect("sent");
        peer.expect("UNSUBACK id=1").expect("UNSUBACK");
        let before = scene.stats().mqtt.acknowledged;
        peer.send("PUBACK id=<p1>").expect("sent");
        peer.send("PUBREC id=<p2>").expect("sent");
        peer.expect("PUBREL id=<p2>")
            .expect("the handshake goes on");
        peer.send("PUBCOMP id=<p2>").expect("sent");
        nothing_more(&mut peer);
        assert_eq!(scene.stats().mqtt.acknowledged, before + 2);
    }
}

// [MQTT-4.7.2-1] [MQTT-4.7.3-4] [MQTT-3.3.2-3] in MQTT 3.1.1 [MQTT-4.7.2-1] [MQTT-4.7.3-4] [MQTT-3.3.2-3]
#[test]
fn a_filter_gets_its_topics_and_no_others() {
    let scene = Scene::new();
    let mut publisher = scene.client(4, "CONNECT client_id=publisher");
    for level in LEVELS {
        for (filter, topics, others) in [
            ("%23", &["a", "a/b", "/"][..], &["$a/b", "$SYS"][..]),
            ("+/b", &["a/b", "/b"], &["$a/b", "b", "a/b/c", "a/B"]),
            ("$a/%23", &["$a", "$a/b"], &["a/b", "$A/b"]),
            ("%c3%a9", &["%c3%a9"], &["e%cc%81", "e"]),
            ("a%20b", &["a%20b"], &["a%20b%20", "ab", "%ef%bb%bfa%20b"]),
        ] {
            let mut peer = scene.client(level, "CONNECT client_id=anna");
            subscribe(&mut peer, filter, 0);
            for topic in others.iter().chain(topics) {
                publisher
                    .send(&format!("PUBLISH topic={topic}"))
                    .expect("sent");
            }
            nothing_more(&mut publisher);
            for topic in topics {
                peer.expect(&format!("PUBLISH topic={topic}"))
                    .unwrap_or_else(|e| panic!("{filter}: {e}"));
            }
            nothing_more(&mut peer);
        }
    }
}

// [MQTT-3.8.3-3] [MQTT-3.3.1-12] [MQTT-3.3.1-13] [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
#[test]
fn the_options_of_a_subscription_are_kept() {
    let scene = Scene::new();
    let mut other = scene.client(5, "CONNECT client_id=other");
    let mut peer = scene.client(5, "CONNECT client_id=anna");
    other
        .send("PUBLISH topic=t retain=1 payload=kept")
        .expect("sent");
    nothing_more(&mut other);
    // Retain Handling, whether the subscription is new, and whether retained messages are due.
    for (options, first, again) in [
        (0x00, true, true),
        (0x10, true, false),
        (0x20, false, false),
    ] {
        for due in [first, again] {
            peer.send(&format!("SUBSCRIBE id=1 filter=t options={options}"))
                .expect("sent");
            peer.expect("SUBACK id=1 code=0").expect("SUBACK");
            if due {
                peer.expect("PUBLISH topic=t retain=1")
                    .expect("the kept one");
            }
            nothing_more(&mut peer);
        }
        peer.send("UNSUBSCRIBE id=1 filter=t").expect("sent");
        peer.expect("UNSUBACK id=1").expect("UNSUBACK");
    }
    // No Local, then Retain As Published.
    for (options, own, retain) in [(0x24, false, 0), (0x28, true, 1), (0x20, true, 0)] {
        peer.send(&format!("SUBSCRIBE id=1 filter=t options={options}"))
            .expect("sent");
        peer.expect("SUBACK id=1 code=0").expect("SUBACK");
        peer.send("PUBLISH topic=t retain=1 payload=own")
            .expect("sent");
        if own {
            peer.expect(&format!("PUBLISH topic=t retain={retain} payload=own"))
                .expect("its own");
        }
        other
            .send("PUBLISH topic=t retain=1 payload=other")
            .expect("sent");
        peer.expect(&format!("PUBLISH topic=t retain={retain} payload=other"))
            .expect("that of the other");
        nothing_more(&mut peer);
    }
}
