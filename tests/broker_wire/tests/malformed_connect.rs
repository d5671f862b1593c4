//! What a broker answers to a beginning that is no CONNECT, or a bad one. Nothing of it may reach
//! anybody else.
#![allow(missing_docs)]

mod support;

use support::{Scene, bytes, last_words};
use ternmq_test_broker_wire::packet::LEVELS;

// [MQTT-3.1.0-1] in MQTT 3.1.1 [MQTT-3.1.0-1]
#[test]
fn whatever_comes_before_connect_ends_the_connection_without_an_answer() {
    let scene = Scene::new();
    let mut bad = 0;
    for text in [
        "CONNACK",
        "PUBLISH topic=by/stander payload=never",
        "PUBLISH topic=by/stander qos=1 id=1 payload=never",
        "PUBACK id=1",
        "PUBREC id=1",
        "PUBREL id=1",
        "PUBCOMP id=1",
        "SUBSCRIBE id=1 filter=#",
        "SUBACK id=1 code=0",
        "UNSUBSCRIBE id=1 filter=#",
        "UNSUBACK id=1",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH reason=0",
    ] {
        for level in LEVELS {
            let mut peer = scene.silent(level);
            peer.send_bytes(&bytes(level, text)).expect("sent");
            assert_eq!(last_words(&mut peer, text), None, "{text} in {level}");
            bad += 1;
        }
    }
    assert_eq!(scene.finish().mqtt.peer_errors, bad);
}

#[test]
fn other_protocols_end_the_connection() {
    // What looks like the beginning of a longer packet is waited for until the connect timeout.
    let mut scene = Scene::with(|config| config.session.connect_timeout_ms = 300);
    let mut bad = 0;
    for stream in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS ClientHello",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x10\xff\xff\xff\xff\x01",
        b"\x05\x01\x00",
    ] {
        let mut peer = scene.silent(5);
        peer.send_bytes(stream).expect("sent");
        assert_eq!(last_words(&mut peer, format!("{stream:?}")), None);
        scene.goes_on();
        bad += 1;
    }
    let counted = scene.finish().mqtt;
    assert_eq!(counted.peer_errors + counted.timeouts, bad);
}

// [MQTT-3.1.2-1] [MQTT-3.1.2-2] in MQTT 3.1.1 [MQTT-3.1.2-1] [MQTT-3.1.2-2]
#[test]
fn a_wrong_protocol_version_is_refused_in_the_words_of_the_nearest_version() {
    let mut scene = Scene::new();
    for (level, connect, answer) in [
        (4, "CONNECT client_id=a level=0", "CONNACK reason=1"),
        (4, "CONNECT client_id=a level=2", "CONNACK reason=1"),
        (4, "CONNECT client_id=a level=3", "CONNACK reason=1"),
        (3, "CONNECT client_id=a level=4", "CONNACK reason=1"),
        (5, "CONNECT client_id=a level=6", "CONNACK reason=0x84"),
        (5, "CONNECT client_id=a level=127", "CONNACK reason=0x84"),
        // The highest bit is set by bridges of mosquitto, which take the answer of MQTT 3.1.1.
        (4, "CONNECT client_id=a level=255", "CONNACK reason=1"),
    ] {
        let mut peer = scene.silent(level);
        peer.send(connect).expect("sent");
        peer.expect(answer)
            .unwrap_or_else(|e| panic!("{connect}: {e}"));
        peer.expect_close().expect(connect);
        scene.goes_on();
    }
    for connect in [
        "CONNECT client_id=a protocol_name=MQTX",
        "CONNECT client_id=a protocol_name=mqtt",
        "CONNECT client_id=a protocol_name=",
    ] {
        let mut peer = scene.silent(4);
        peer.send(connect).expect("sent");
        if let Some(answer) = last_words(&mut peer, connect) {
            assert_eq!(
                answer.to_string(),
                "CONNACK session_present=0 reason=1",
                "{connect}"
            );
        }
    }
    scene.finish();
}

// [MQTT-3.1.4-1]
#[test]
fn a_malformed_connect_ends_the_connection() {
    let mut scene = Scene::new();
    for text in [
        "CONNECT client_id=a will_topic=w connect_flags=0x1e",
        "CONNECT client_id=a flags=1",
        "CONNECT client_id=%ff%fe",
        "CONNECT client_id=a%00b",
        "CONNECT client_id=%ed%a0%80",
        "CONNECT client_id=a will_topic=w/+ will_payload=x",
        "CONNECT client_id=a will_topic=%ff",
        "CONNECT client_id=a username=%ff",
    ] {
        for level in LEVELS {
            let mut peer = scene.silent(level);
            peer.send(text).expect("sent");
            let answer = last_words(&mut peer, text);
            if let Some(answer) = &answer {
                assert_eq!((level, answer.word(0)), (5, "CONNACK"), "{text}: {answer}");
                let reason = answer.number("reason", 0);
                assert!(
                    matches!(reason, 0x81 | 0x82 | 0x85 | 0x90),
                    "{text}: {answer}"
                );
                assert_eq!(answer.number("session_present", 1), 0);
            }
            scene.goes_on();
        }
    }
    scene.finish();
}

// [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-17] [MQTT-3.1.2-19]; MQTT 3.1 ignores the
// reserved flag and the flags of a will that is not there, and lets the user name be missing.
#[test]
fn connect_flags_that_lie_end_the_connection() {
    let scene = Scene::new();
    for flags in ["0x03", "0x0a", "0x22", "0x82", "0xc2"] {
        for level in [4, 5] {
            let mut peer = scene.silent(level);
            peer.send(&format!("CONNECT client_id=a connect_flags={flags}"))
                .expect("sent");
            let answer = last_words(&mut peer, flags);
            let reason = answer.map(|a| a.number("reason", 0));
            let right = matches!((level, reason), (_, None) | (5, Some(0x81)));
            assert!(right, "{flags} in {level}: {reason:?}");
        }
    }
    scene.finish();
}

// in MQTT 3.1.1 [MQTT-3.1.2-22]
#[test]
fn a_password_without_a_user_name_is_a_violation_before_mqtt_5() {
    let scene = Scene::new();
    for level in [3, 4] {
        let mut peer = scene.silent(level);
        peer.send("CONNECT client_id=a password=p").expect("sent");
        assert_eq!(last_words(&mut peer, level), None);
    }
    scene.finish();
}

#[test]
fn bad_connect_properties_are_refused_with_their_reason() {
    let mut scene = Scene::new();
    for (text, reasons) in [
        ("receive_maximum=0", &[0x82][..]),
        ("maximum_packet_size=0", &[0x82]),
        ("session_expiry=1 session_expiry=2", &[0x82]),
        ("request_problem_info=2", &[0x82]),
        ("auth_data=x", &[0x82]),
        ("topic_alias=1", &[0x82, 0x81]),
        ("will_topic=w will.topic_alias=1", &[0x82, 0x81]),
        ("will_topic=w will.payload_format=2", &[0x82, 0x81]),
        ("auth_method=unknown", &[0x8c, 0x87]),
    ] {
        let mut peer = scene.silent(5);
        peer.send(&format!("CONNECT client_id=a {text}"))
            .expect("sent");
        let answer = last_words(&mut peer, text).unwrap_or_else(|| panic!("{text}: no CONNACK"));
        assert_eq!(answer.word(0), "CONNACK", "{text}");
        let reason = answer.number("reason", 0);
        assert!(reasons.contains(&reason), "{text}: {answer}");
        scene.goes_on();
    }
    scene.finish();
}

// in MQTT 3.1.1 [MQTT-3.1.3-8]
#[test]
fn an_empty_client_id_without_a_clean_session_is_refused() {
    let scene = Scene::new();
    let mut peer = scene.silent(4);
    peer.send("CONNECT client_id= clean_start=0").expect("sent");
    peer.expect("CONNACK reason=2 session_present=0")
        .expect("refused");
    peer.expect_close().expect("closed");
    scene.finish();
}

#[test]
fn every_prefix_of_a_connect_ends_with_the_connect_timeout() {
    let scene = Scene::with(|config| config.session.connect_timeout_ms = 300);
    let mut waiting = Vec::new();
    for level in LEVELS {
        let connect = bytes(level, "CONNECT client_id=abc username=u password=p");
        for end in 0..connect.len() {
            let mut peer = scene.silent(level);
            peer.send_bytes(&connect[..end]).expect("sent");
            waiting.push(peer);
        }
    }
    let silent = waiting.len() as u64;
    for (at, peer) in waiting.iter_mut().enumerate() {
        assert_eq!(last_words(peer, at), None);
    }
    assert_eq!(scene.finish().mqtt.timeouts, silent);
}

#[test]
fn every_prefix_of_a_connect_and_a_half_close_ends_the_connection() {
    let scene = Scene::new();
    for level in LEVELS {
        let connect = bytes(level, "CONNECT client_id=abc username=u password=p");
        for end in 0..connect.len() {
            let mut peer = scene.silent(level);
            peer.send_bytes(&connect[..end]).expect("sent");
            peer.stop_sending().expect("half closed");
            assert_eq!(last_words(&mut peer, end), None);
        }
    }
    scene.finish();
}
