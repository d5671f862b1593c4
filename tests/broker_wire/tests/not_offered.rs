//! What a server that offers less than the standard has says to clients that ask for more: each has a
//! reason code of its own (3.2.2.3, 3.3.2.3.2, 3.8.4, 4.13).
#![allow(missing_docs)]

mod support;

use support::{Scene, let_in, nothing_more, subscribe};
use ternmq_protocol::codec::QoS;

fn poor() -> Scene {
    Scene::with(|config| {
        config.topics.maximum_qos = QoS::AtLeastOnce;
        config.topics.retain_available = false;
        config.topics.wildcard_subscriptions = false;
        config.topics.subscription_identifiers = false;
        config.topics.check_payload_format = true;
    })
}

// [MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.8.4-7]
#[test]
fn what_is_missing_is_announced_and_subscriptions_get_what_there_is() {
    let scene = poor();
    let announced =
        "maximum_qos=1 retain_available=0 wildcard_available=0 subscription_ids_available=0";
    let mut peer = let_in(&scene, 5, "CONNECT client_id=anna", announced);
    peer.send("SUBSCRIBE id=1 filter=a options=0 filter=b options=1 filter=c options=2")
        .expect("sent");
    peer.expect("SUBACK id=1 code=0 code=1 code=1")
        .expect("SUBACK");
    peer.cut();
    scene.finish();
}

// [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-4.13.1-1]
#[test]
fn who_asks_for_more_than_was_announced_is_told_what_it_was() {
    let mut scene = poor();
    for (text, reason) in [
        ("PUBLISH topic=a qos=2 id=1", "0x9b"),
        ("PUBLISH topic=a retain=1", "0x9a"),
        ("SUBSCRIBE id=1 filter=a subscription_id=1", "0xa1"),
        ("SUBSCRIBE id=1 filter=a/+", "0xa2"),
        ("SUBSCRIBE id=1 filter=%23", "0xa2"),
    ] {
        let mut peer = scene.client(5, "CONNECT client_id=bad");
        peer.send(text).expect("sent");
        peer.expect(&format!("DISCONNECT reason={reason}"))
            .expect(text);
        peer.expect_close().expect(text);
        scene.goes_on();
    }
    scene.finish();
}

// [MQTT-3.2.2-12] [MQTT-3.2.2-13] [MQTT-3.2.2-6] [MQTT-3.2.2-7]
#[test]
fn a_will_that_could_not_be_published_lets_nobody_in() {
    let scene = poor();
    for (will, reason) in [("will_qos=2", "0x9b"), ("will_retain=1", "0x9a")] {
        let mut peer = scene.silent(5);
        peer.send(&format!("CONNECT client_id=bad will_topic=w {will}"))
            .expect("sent");
        peer.expect(&format!("CONNACK reason={reason} session_present=0"))
            .expect(will);
        peer.expect_close().expect(will);
    }
    scene.finish();
}

/// A payload that is not the text it is said to be: refused alone, and its packet id is free.
// [MQTT-4.3.3-9] [MQTT-3.4.2-1]
#[test]
fn a_payload_that_is_not_what_it_says_is_refused() {
    let scene = Scene::with(|config| config.topics.check_payload_format = true);
    let mut watcher = scene.client(5, "CONNECT client_id=watcher");
    subscribe(&mut watcher, "a", 0);
    let mut peer = scene.client(5, "CONNECT client_id=anna");
    for (qos, answer) in [(1, "PUBACK"), (2, "PUBREC")] {
        peer.send(&format!(
            "PUBLISH topic=a qos={qos} id=7 payload_format=1 payload=%ff"
        ))
        .expect("sent");
        peer.expect(&format!("{answer} id=7 reason=0x99"))
            .expect("Payload format invalid");
        peer.send(&format!(
            "PUBLISH topic=a qos={qos} id=7 payload_format=1 payload={qos}"
        ))
        .expect("sent");
        peer.expect(&format!("{answer} id=7 reason=0"))
            .expect("a new message");
        watcher
            .expect(&format!("PUBLISH topic=a payload={qos} payload_format=1"))
            .expect("the good one alone");
    }
    nothing_more(&mut watcher);
}

// in MQTT 3.1.1 [MQTT-3.8.3-2]
#[test]
fn older_clients_have_no_word_for_it_and_are_served_as_far_as_it_goes() {
    let scene = poor();
    let mut peer = scene.client(4, "CONNECT client_id=old");
    peer.send("SUBSCRIBE id=1 filter=a/+ options=1 filter=a options=2 filter=%23 options=0")
        .expect("sent");
    peer.expect("SUBACK id=1 code=0x80 code=1 code=0x80")
        .expect("SUBACK");
    peer.send("PUBLISH topic=a qos=2 id=1 retain=1 payload=x")
        .expect("sent");
    peer.expect("PUBLISH topic=a qos=1 payload=x")
        .expect("at the QoS there is");
    peer.expect("PUBREC id=1").expect("PUBREC");
}
