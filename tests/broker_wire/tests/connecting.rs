//! CONNECT, CONNACK and DISCONNECT over sockets (3.1, 3.2, 3.14): who gets in, to which session, and
//! how a connection ends.
#![allow(missing_docs)]

mod support;

use support::{Scene, durable, let_in, nothing_more, subscribe};
use ternmq_test_broker_wire::RawPeer;

const LEVELS: [u8; 2] = [4, 5];

// [MQTT-3.1.3-2] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.2-23] [MQTT-3.2.2-3] [MQTT-4.1.0-1] [MQTT-4.5.0-1]
// in MQTT 3.1.1 [MQTT-3.1.3-2] [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-4.1.0-1]
// 3.1.1 [MQTT-4.5.0-1]
#[test]
fn each_client_id_has_its_session_and_what_was_kept_in_it() {
    for level in LEVELS {
        let scene = Scene::new();
        for (client_id, topic) in [("anna", "a"), ("Anna", "b")] {
            let connect = durable(level, client_id);
            let mut peer = let_in(&scene, level, &connect, "session_present=0");
            subscribe(&mut peer, topic, 1);
            peer.send("DISCONNECT").expect("sent");
            peer.expect_close().expect("closed");
        }
        let mut publisher = scene.client(4, "CONNECT client_id=publisher");
        for topic in ["a", "b"] {
            publisher
                .send(&format!("PUBLISH topic={topic} qos=1 id=1 payload={topic}"))
                .expect("sent");
            publisher.expect("PUBACK id=1").expect("PUBACK");
        }
        for (client_id, topic) in [("Anna", "b"), ("anna", "a")] {
            let connect = durable(level, client_id);
            let mut peer = let_in(&scene, level, &connect, "session_present=1");
            peer.expect(&format!(
                "PUBLISH topic={topic} qos=1 id=<p> payload={topic} dup=0"
            ))
            .expect("what was kept");
            peer.send("PUBACK id=<p>").expect("sent");
            nothing_more(&mut peer);
        }
    }
}

// [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT-3.2.2-2] in MQTT 3.1.1 [MQTT-3.1.2-6] [MQTT-3.1.4-3] [MQTT-3.2.2-1]
#[test]
fn a_clean_start_leaves_nothing_of_the_old_session() {
    for level in LEVELS {
        let scene = Scene::new();
        let mut publisher = scene.client(4, "CONNECT client_id=publisher");
        let mut peer = let_in(&scene, level, &durable(level, "anna"), "session_present=0");
        subscribe(&mut peer, "t", 2);
        publisher
            .send("PUBLISH topic=t qos=1 id=1 payload=unacknowledged")
            .expect("sent");
        publisher.expect("PUBACK id=1").expect("PUBACK");
        peer.expect("PUBLISH topic=t qos=1").expect("the message");
        // A QoS 2 message on its way in is part of the session, too.
        peer.send("PUBLISH topic=other qos=2 id=7 payload=first")
            .expect("sent");
        peer.expect("PUBREC id=7").expect("PUBREC");
        peer.cut();
        let connect = "CONNECT client_id=anna clean_start=1";
        let mut peer = let_in(&scene, level, connect, "session_present=0");
        publisher
            .send("PUBLISH topic=t qos=1 id=1 payload=unwanted")
            .expect("sent");
        publisher.expect("PUBACK id=1").expect("PUBACK");
        nothing_more(&mut peer);
        subscribe(&mut peer, "t", 0);
        peer.send("PUBLISH topic=t qos=2 id=7 payload=second")
            .expect("sent");
        peer.expect("PUBLISH topic=t qos=0 payload=second")
            .expect("a new message, for its id is free");
    }
}

// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]
#[test]
fn a_client_without_an_id_comes_back_under_the_one_it_got() {
    let scene = Scene::new();
    let connect = "CONNECT client_id= session_expiry=1000";
    let (mut one, mut other) = (scene.silent(5), scene.silent(5));
    let assigned = |peer: &mut RawPeer| {
        peer.send(connect).expect("sent");
        let connack = peer
            .expect("CONNACK reason=0 assigned_client_id=*")
            .expect("CONNACK");
        connack.text("assigned_client_id", "")
    };
    let (mine, yours) = (assigned(&mut one), assigned(&mut other));
    assert_ne!(mine, yours);
    subscribe(&mut one, "t", 1);
    one.cut();
    let again = durable(5, &mine);
    let mut one = let_in(&scene, 5, &again, "session_present=1 assigned_client_id=!");
    one.send("PUBLISH topic=t payload=mine").expect("sent");
    one.expect("PUBLISH topic=t payload=mine")
        .expect("the subscription");
    one.cut();
    other.cut();
    scene.finish();
}

// [MQTT-3.1.3-5] in MQTT 3.1.1 [MQTT-3.1.3-5]
#[test]
fn client_ids_of_all_letters_and_digits_are_taken() {
    let scene = Scene::new();
    for level in LEVELS {
        for client_id in [
            "0123456789abcdefghijklm",
            "nopqrstuvwxyzABCDEFGHIJ",
            "KLMNOPQRSTUVWXYZ",
            "Z",
        ] {
            let connect = format!("CONNECT client_id={client_id}");
            scene.client(level, &connect).cut();
        }
    }
    scene.finish();
}

/// Whatever the server ends a connection for, its DISCONNECT is the last that comes, it has no Session
/// Expiry Interval, and the connection is closed. Before MQTT 5 there is only the close.
// [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1] [MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.1.2-22] [MQTT-3.1.4-3]
// in MQTT 3.1.1 [MQTT-3.1.2-24] [MQTT-3.1.4-2]
#[test]
fn a_server_that_says_disconnect_says_nothing_more_and_closes() {
    type End = fn(&Scene, &mut RawPeer, u8);
    let ends: [(u32, End); 4] = [
        (0x82, |_, peer, level| {
            // A ping that would be answered stands behind the error, in the same segment.
            let bytes = [
                support::bytes(level, "PINGRESP"),
                support::bytes(level, "PINGREQ"),
            ];
            peer.send_bytes(&bytes.concat()).expect("sent");
        }),
        (0x81, |_, peer, _| {
            peer.send_bytes(b"\x36\x00\xc0\x00").expect("sent")
        }),
        (0x8e, |scene, _, level| {
            scene.client(level, "CONNECT client_id=ends").cut();
        }),
        (0x8d, |_, _, _| {}), // its Keep Alive is one second
    ];
    for level in LEVELS {
        for (reason, end) in ends {
            let mut scene = Scene::new();
            let mut peer = scene.client(level, "CONNECT client_id=ends keep_alive=1");
            subscribe(&mut peer, "by/stander", 0);
            scene.goes_on();
            peer.expect("PUBLISH topic=by/stander").expect("a message");
            end(&scene, &mut peer, level);
            if level == 5 {
                peer.expect(&format!("DISCONNECT reason={reason} session_expiry=!"))
                    .unwrap_or_else(|e| panic!("{reason:#x}: {e}"));
            }
            peer.expect_close()
                .unwrap_or_else(|e| panic!("{reason:#x}: {e}"));
            peer.cut();
            scene.finish();
        }
    }
}

/// Who declines additions, or has no room for them, gets the same answers without.
// [MQTT-3.1.2-28] [MQTT-3.1.2-29] [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2]
// [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2]
// [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.14.2-3] [MQTT-3.14.2-4]
#[test]
fn who_has_no_use_for_additions_gets_none() {
    let scene = Scene::new();
    for why in ["request_problem_info=0", "maximum_packet_size=24"] {
        let connect = format!("CONNECT client_id=terse {why}");
        let mut peer = let_in(
            &scene,
            5,
            &connect,
            "reason_string=! user=! response_info=!",
        );
        for (packet, answer) in [
            ("SUBSCRIBE id=1 filter=a%23", "SUBACK id=1 code=0x8f"),
            ("UNSUBSCRIBE id=2 filter=a%23", "UNSUBACK id=2 code=0x8f"),
            ("PUBREL id=3", "PUBCOMP id=3 reason=0x92"),
            ("PUBREC id=4", "PUBREL id=4 reason=0x92"),
            ("PUBLISH topic=a qos=1 id=5", "PUBACK id=5 reason=0x10"),
            ("PUBLISH topic=a qos=2 id=6", "PUBREC id=6 reason=0x10"),
            ("PINGRESP", "DISCONNECT reason=0x82"),
        ] {
            peer.send(packet).expect("sent");
            peer.expect(&format!("{answer} reason_string=! user=!"))
                .unwrap_or_else(|e| panic!("{why}: {e}"));
        }
        let mut peer = scene.silent(5);
        peer.send(&format!("{connect} will_topic=%23"))
            .expect("sent");
        peer.expect("CONNACK reason=* reason_string=! user=!")
            .expect("a refusal");
    }
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25] [MQTT-3.1.2-27]
#[test]
fn a_client_gets_nothing_larger_than_it_takes_and_no_alias_it_does_not_know() {
    let scene = Scene::new();
    let connect = "CONNECT client_id=small maximum_packet_size=40";
    let mut peer = let_in(&scene, 5, connect, "");
    subscribe(&mut peer, "t", 1);
    let mut publisher = scene.client(5, "CONNECT client_id=publisher");
    for len in [5, 200, 31, 10] {
        let payload = "x".repeat(len);
        publisher
            .send(&format!("PUBLISH topic=t qos=1 id=1 payload={payload}"))
            .expect("sent");
        publisher.expect("PUBACK id=1 reason=0").expect("PUBACK");
    }
    // 2 bytes of header, 3 of topic, 2 of identifier, 1 of properties, 31 of payload: 39.
    for len in [5, 31, 10] {
        let payload = "x".repeat(len);
        peer.expect(&format!(
            "PUBLISH topic=t id=<p{len}> topic_alias=! payload={payload}"
        ))
        .expect("one that fits");
        peer.send(&format!("PUBACK id=<p{len}>")).expect("sent");
    }
    nothing_more(&mut peer);
    let stats = scene.until(|stats| stats.mqtt.acknowledged == 3);
    assert_eq!(stats.mqtt.dropped.too_large, 1);
}
