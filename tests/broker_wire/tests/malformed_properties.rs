//! Every property in every packet of a client: one that does not belong there is malformed, one that
//! stands twice is a protocol error (2.2.2.2, table 2-4, and the section of each property).
#![allow(missing_docs)]

mod support;

use support::{Scene, last_words};

/// A property, a value of its type, and where a client may send it.
const PROPERTIES: [(&str, &str, &[&str]); 27] = [
    ("payload_format", "1", &["will", "PUBLISH"]),
    ("message_expiry", "9", &["will", "PUBLISH"]),
    ("content_type", "x", &["will", "PUBLISH"]),
    ("response_topic", "x", &["will", "PUBLISH"]),
    ("correlation", "x", &["will", "PUBLISH"]),
    ("subscription_id", "1", &["PUBLISH", "SUBSCRIBE"]),
    ("session_expiry", "0", &["CONNECT", "DISCONNECT"]),
    ("assigned_client_id", "x", &[]),
    ("server_keep_alive", "9", &[]),
    ("auth_method", "x", &["CONNECT"]),
    ("auth_data", "x", &["CONNECT"]),
    ("request_problem_info", "1", &["CONNECT"]),
    ("will_delay", "9", &["will"]),
    ("request_response_info", "1", &["CONNECT"]),
    ("response_info", "x", &[]),
    ("server_reference", "x", &["DISCONNECT"]),
    (
        "reason_string",
        "x",
        &["PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "DISCONNECT"],
    ),
    ("receive_maximum", "9", &["CONNECT"]),
    ("topic_alias_maximum", "9", &["CONNECT"]),
    ("topic_alias", "1", &["PUBLISH"]),
    ("maximum_qos", "1", &[]),
    ("retain_available", "1", &[]),
    (
        "user",
        "k:v",
        &[
            "CONNECT",
            "will",
            "PUBLISH",
            "PUBACK",
            "PUBREC",
            "PUBREL",
            "PUBCOMP",
            "SUBSCRIBE",
            "UNSUBSCRIBE",
            "DISCONNECT",
        ],
    ),
    ("maximum_packet_size", "999", &["CONNECT"]),
    ("wildcard_available", "1", &[]),
    ("subscription_ids_available", "1", &[]),
    ("shared_available", "1", &[]),
];

/// Where a client's properties stand, the packet around them, and what their names begin with.
const PLACES: [(&str, &str, &str); 10] = [
    ("CONNECT", "CONNECT client_id=bad", ""),
    ("will", "CONNECT client_id=bad will_topic=w", "will."),
    ("PUBLISH", "PUBLISH topic=a", ""),
    ("PUBACK", "PUBACK id=1", ""),
    ("PUBREC", "PUBREC id=1", ""),
    ("PUBREL", "PUBREL id=1", ""),
    ("PUBCOMP", "PUBCOMP id=1", ""),
    ("SUBSCRIBE", "SUBSCRIBE id=1 filter=a", ""),
    ("UNSUBSCRIBE", "UNSUBSCRIBE id=1 filter=a", ""),
    ("DISCONNECT", "DISCONNECT", ""),
];

#[test]
fn a_property_in_a_packet_where_it_does_not_belong_is_malformed() {
    let mut scene = Scene::new();
    let mut bad = 0;
    for (place, packet, prefix) in PLACES {
        for (name, value, places) in PROPERTIES {
            if !places.contains(&place) {
                refuse(&scene, &format!("{packet} {prefix}{name}={value}"), 0x81);
                bad += 1;
            }
        }
        scene.goes_on();
    }
    let counted = scene.finish().mqtt;
    assert_eq!(counted.peer_errors + counted.connects_refused, bad);
}

#[test]
fn a_property_that_stands_twice_is_a_protocol_error() {
    let mut scene = Scene::new();
    let mut bad = 0;
    for (place, packet, prefix) in PLACES {
        for (name, value, places) in PROPERTIES {
            if places.contains(&place) && name != "user" {
                let twice = format!("{packet} {prefix}{name}={value} {prefix}{name}={value}");
                refuse(&scene, &twice, 0x82);
                bad += 1;
            }
        }
        scene.goes_on();
    }
    let counted = scene.finish().mqtt;
    assert_eq!(counted.peer_errors + counted.connects_refused, bad);
}

#[test]
fn a_user_property_may_stand_as_often_as_a_client_likes() {
    let scene = Scene::new();
    for (place, packet, prefix) in PLACES {
        let twice = format!("{packet} {prefix}user=k:v {prefix}user=k:v");
        let mut peer = scene.silent(5);
        if packet.starts_with("CONNECT") {
            peer.send(&twice).expect("sent");
            peer.expect("CONNACK reason=0").expect(place);
            continue;
        }
        peer.send("CONNECT client_id=good").expect("sent");
        peer.expect("CONNACK reason=0").expect("CONNACK");
        peer.send(&twice).expect("sent");
        if place == "DISCONNECT" {
            peer.expect_close().expect("closed");
            continue;
        }
        peer.send("PINGREQ").expect("sent");
        let mut answer = String::new();
        while answer != "PINGRESP" {
            let packet = peer.next_packet().expect(place).expect("it is open");
            answer = packet.word(0).to_string();
            assert_ne!(answer, "DISCONNECT", "{place}: {packet}");
        }
    }
    scene.finish();
}

/// Values that the sections of their properties forbid.
// [MQTT-3.3.2-8] [MQTT-3.3.2-9] [MQTT-3.3.4-6]
#[test]
fn a_value_that_its_property_forbids_ends_the_connection() {
    let mut scene = Scene::new();
    for (text, reason) in [
        ("CONNECT client_id=bad receive_maximum=0", 0x82),
        ("CONNECT client_id=bad maximum_packet_size=0", 0x82),
        ("CONNECT client_id=bad request_problem_info=2", 0x82),
        ("CONNECT client_id=bad request_response_info=2", 0x82),
        ("CONNECT client_id=bad auth_data=x", 0x82),
        (
            "CONNECT client_id=bad will_topic=w will.payload_format=2",
            0x82,
        ),
        ("PUBLISH topic=a topic_alias=0", 0x94),
        ("PUBLISH topic=a topic_alias=65535", 0x94),
        ("PUBLISH topic= topic_alias=7", 0x82),
        ("PUBLISH topic=a subscription_id=1", 0x82),
        ("SUBSCRIBE id=1 filter=a subscription_id=0", 0x82),
        ("DISCONNECT session_expiry=60", 0x82),
    ] {
        refuse(&scene, text, reason);
        scene.goes_on();
    }
    scene.finish();
}

/// What cannot be read as properties at all.
// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.5-1] [MQTT-1.5.7-1] [MQTT-3.3.2-19] [MQTT-4.13.1-1]
#[test]
fn properties_that_cannot_be_read_are_malformed() {
    let mut scene = Scene::new();
    for (name, bytes) in [
        ("an unknown property", &b"\x30\x06\x00\x01a\x02\x7f\x00"[..]),
        (
            "an identifier of two bytes",
            b"\x30\x07\x00\x01a\x03\x81\x01\x00",
        ),
        ("longer than their packet", b"\x30\x04\x00\x01a\x05"),
        ("no length", b"\x30\x03\x00\x01a"),
        (
            "a length in a longer form than needed",
            b"\x30\x05\x00\x01a\x80\x00",
        ),
        (
            "a length of five bytes",
            b"\x30\x08\x00\x01a\x80\x80\x80\x80\x01",
        ),
        ("half a number", b"\x30\x06\x00\x01a\x02\x02\x00"),
        (
            "a text longer than the properties",
            b"\x30\x08\x00\x01a\x04\x03\x00\x05x",
        ),
        (
            "a text that is not UTF-8",
            b"\x30\x08\x00\x01a\x04\x03\x00\x01\xff",
        ),
        (
            "a text with U+0000",
            b"\x30\x08\x00\x01a\x04\x03\x00\x01\x00",
        ),
        (
            "a pair with one half",
            b"\x30\x08\x00\x01a\x04\x26\x00\x01x",
        ),
        (
            "a pair whose second half is not UTF-8",
            b"\x30\x0a\x00\x01a\x06\x26\x00\x00\x00\x01\xff",
        ),
        (
            "an identifier of five bytes",
            b"\x82\x0c\x00\x01\x06\x0b\x80\x80\x80\x80\x01\x00\x01a\x00",
        ),
        (
            "bytes behind those of a PUBACK",
            b"\x40\x05\x00\x01\x00\x00\x00",
        ),
        (
            "bytes behind those of a DISCONNECT",
            b"\xe0\x03\x00\x00\x00",
        ),
    ] {
        let mut peer = scene.client(5, "CONNECT client_id=bad");
        peer.send_bytes(bytes).expect("sent");
        let words = last_words(&mut peer, name).unwrap_or_else(|| panic!("{name}: no word"));
        assert_eq!(
            (words.word(0), words.number("reason", 0)),
            ("DISCONNECT", 0x81),
            "{name}"
        );
        scene.goes_on();
    }
    scene.finish();
}

/// Sends a packet, as the first or behind a CONNECT, and requires the end with this reason.
fn refuse(scene: &Scene, text: &str, reason: u32) {
    let (mut peer, answer) = match text.starts_with("CONNECT") {
        true => (scene.silent(5), "CONNACK"),
        false => (scene.client(5, "CONNECT client_id=bad"), "DISCONNECT"),
    };
    peer.send(text).expect("sent");
    let words = last_words(&mut peer, text).unwrap_or_else(|| panic!("{text}: no word"));
    assert_eq!(
        (words.word(0), words.number("reason", 0)),
        (answer, reason),
        "{text}: {words}"
    );
}
