//! What a broker answers to a beginning that is no CONNECT, or a bad one. Nothing of it may reach
//! anybody else.
#![allow(missing_docs)]

mod support;

use support::{Scene, bytes, last_words};
use ternmq_test_broker_wire::Line;
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

/// The reasons that MQTT 5 hears; older clients get no CONNACK.
const MALFORMED: u32 = 0x81;
/// It can be read, and says what must not be said. Not 0x90: that one is for names that are well formed
/// and not accepted.
const PROTOCOL: u32 = 0x82;

// [MQTT-3.1.4-1] [MQTT-3.1.2-12] [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-2.1.3-1] [MQTT-3.2.2-6]
// in MQTT 3.1.1 [MQTT-3.1.4-1] [MQTT-3.2.2-6] [MQTT-3.1.2-14] [MQTT-3.1.3-4] [MQTT-3.1.3-10] [MQTT-3.1.3-11]
#[test]
fn a_malformed_connect_ends_the_connection() {
    let mut scene = Scene::new();
    for (text, reason) in [
        (
            "CONNECT client_id=a will_topic=w connect_flags=0x1e",
            MALFORMED,
        ),
        ("CONNECT client_id=a flags=1", MALFORMED),
        ("CONNECT client_id=%ff%fe", MALFORMED),
        ("CONNECT client_id=a%00b", MALFORMED),
        ("CONNECT client_id=%ed%a0%80", MALFORMED),
        (
            "CONNECT client_id=a will_topic=w/+ will_payload=x",
            PROTOCOL,
        ),
        ("CONNECT client_id=a will_topic=", PROTOCOL),
        ("CONNECT client_id=a will_topic=%ff", MALFORMED),
        ("CONNECT client_id=a will_topic=w%00", MALFORMED),
        ("CONNECT client_id=a username=%ff", MALFORMED),
        ("CONNECT client_id=a username=u%00", MALFORMED),
    ] {
        for level in LEVELS {
            let mut peer = scene.silent(level);
            peer.send(text).expect("sent");
            refused(level, reason, last_words(&mut peer, text), text);
            scene.goes_on();
        }
    }
    scene.finish();
}

// [MQTT-3.1.4-1] [MQTT-3.1.2-16] [MQTT-3.1.2-18] in MQTT 3.1.1 [MQTT-3.1.4-1] [MQTT-3.1.2-18] [MQTT-3.1.2-20]
#[test]
fn a_connect_whose_fields_do_not_fill_it_ends_the_connection() {
    let mut scene = Scene::new();
    for level in LEVELS {
        let whole = bytes(level, "CONNECT client_id=abc will_topic=w will_payload=x");
        // The same packet with one byte less, one more, or nothing behind its version.
        let head = whole.iter().position(|b| *b == level).expect("the level") + 1;
        for body in [
            &whole[2..whole.len() - 1],
            &[&whole[2..], b"x"].concat(),
            &whole[2..head],
        ] {
            let mut peer = scene.silent(level);
            peer.send_bytes(&[&[0x10, body.len() as u8], body].concat())
                .expect("sent");
            refused(
                level,
                MALFORMED,
                last_words(&mut peer, level),
                "a wrong length",
            );
            scene.goes_on();
        }
    }
    // Nothing says which version this would be.
    let mut peer = scene.silent(5);
    peer.send_bytes(b"\x10\x00").expect("sent");
    assert_eq!(last_words(&mut peer, "an empty CONNECT"), None);
    scene.finish();
}

fn refused(level: u8, wanted: u32, words: Option<Line>, case: &str) {
    match words {
        None => assert_ne!(level, 5, "{case}: no CONNACK"),
        Some(words) => {
            assert_eq!((level, words.word(0)), (5, "CONNACK"), "{case}: {words}");
            let reason = words.number("reason", 0);
            assert_eq!(reason, wanted, "{case}: {words}");
            assert_eq!(words.number("session_present", 1), 0);
        }
    }
}

// [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-17] [MQTT-3.1.2-19]
// in MQTT 3.1.1 [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15] [MQTT-3.1.2-19] [MQTT-3.1.2-21]
#[test]
fn connect_flags_that_lie_end_the_connection() {
    // MQTT 3.1 ignores the reserved flag and the flags of a will that is not there, and lets the
    // user name be missing.
    let scene = Scene::new();
    for flags in ["0x03", "0x0a", "0x22", "0x82", "0xc2"] {
        for level in [4, 5] {
            let mut peer = scene.silent(level);
            peer.send(&format!("CONNECT client_id=a connect_flags={flags}"))
                .expect("sent");
            refused(level, MALFORMED, last_words(&mut peer, flags), flags);
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
