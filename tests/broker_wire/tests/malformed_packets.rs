//! What a broker answers to bad packets after CONNECT: a DISCONNECT with the right reason in MQTT 5,
//! a close without a word before. Nothing of it may reach anybody else.
#![allow(missing_docs)]

mod support;

use support::{Scene, bytes, last_words};

/// Malformed Packet: its bytes are none of the figures of the standard, which is what the standard calls
/// malformed.
const MALFORMED: u32 = 0x81;
/// Protocol Error: it can be read, and is not allowed, there and then or at all (1.2). Where the standard
/// forbids something and names no code, this is the one. Not 0x90 for a topic with a wildcard: that is
/// for names that are well formed and not accepted.
const PROTOCOL: u32 = 0x82;

type Case<'a> = (&'a str, Vec<u8>, u32);

/// Sends each case on a connection of its own in `level`, and requires its end.
fn refuse(level: u8, cases: &[Case<'_>]) {
    let mut scene = Scene::new();
    for (name, bytes, wanted) in cases {
        let mut peer = scene.client(level, "CONNECT client_id=bad");
        peer.send_bytes(bytes).expect(name);
        let words = last_words(&mut peer, name);
        match (level, words) {
            (5, Some(words)) => {
                assert_eq!(words.word(0), "DISCONNECT", "{name}: {words}");
                let reason = words.number("reason", 0);
                assert_eq!(reason, *wanted, "{name}: {words}");
            }
            (5, None) => panic!("{name}: closed without DISCONNECT"),
            (_, words) => assert_eq!(words, None, "{name}: a word to MQTT 3"),
        }
        scene.goes_on();
    }
    assert_eq!(scene.finish().mqtt.peer_errors, cases.len() as u64);
}

fn cases<'a>(level: u8, lines: &[(&'a str, u32)]) -> Vec<Case<'a>> {
    let case = |(text, reason): &(&'a str, u32)| (*text, bytes(level, text), *reason);
    lines.iter().map(case).collect()
}

fn raw<'a>(rows: &[(&'a str, &[u8], u32)]) -> Vec<Case<'a>> {
    let case = |(name, bytes, reason): &(&'a str, &[u8], u32)| (*name, bytes.to_vec(), *reason);
    rows.iter().map(case).collect()
}

/// What is wrong in every version, as packets of `level`.
fn wrong_everywhere(level: u8) -> Vec<Case<'static>> {
    let mut all = cases(level, WRONG);
    all.extend(raw(WRONG_BYTES));
    let without_options: &[u8] = match level {
        5 => b"\x82\x06\x00\x01\x00\x00\x01a",
        _ => b"\x82\x05\x00\x01\x00\x01a",
    };
    let name = "a SUBSCRIBE without its options";
    all.extend(raw(&[(name, without_options, MALFORMED)]));
    all
}

const WRONG: &[(&str, u32)] = &[
    ("CONNECT client_id=bad", PROTOCOL),
    ("CONNACK", PROTOCOL),
    ("SUBACK id=1 code=0", PROTOCOL),
    ("UNSUBACK id=1 code=0", PROTOCOL),
    ("PINGRESP", PROTOCOL),
    ("PUBLISH topic=a qos=3 id=1", MALFORMED),
    ("PUBLISH topic=a qos=1 id=0", PROTOCOL),
    ("PUBLISH topic=a qos=2 id=0", PROTOCOL),
    // The flags are one field: DUP 1 is no value of it with QoS 0 (2.1.3).
    ("PUBLISH topic=a dup=1", MALFORMED),
    ("PUBLISH topic=a dup=1 qos=3 id=1", MALFORMED),
    ("PUBACK id=0", PROTOCOL),
    ("PUBREC id=0", PROTOCOL),
    ("PUBREL id=0", PROTOCOL),
    ("PUBCOMP id=0", PROTOCOL),
    ("PUBACK id=1 flags=1", MALFORMED),
    ("PUBREC id=1 flags=2", MALFORMED),
    ("PUBCOMP id=1 flags=8", MALFORMED),
    ("PUBLISH topic=%ff", MALFORMED),
    ("PUBLISH topic=a%00b", MALFORMED),
    ("PUBLISH topic=%ed%a0%80", MALFORMED),
    ("PUBLISH topic=a/+", PROTOCOL),
    ("PUBLISH topic=#", PROTOCOL),
    ("PUBREL id=1 flags=0", MALFORMED),
    ("SUBSCRIBE id=1 filter=a flags=0", MALFORMED),
    ("SUBSCRIBE id=1", PROTOCOL),
    ("SUBSCRIBE id=0 filter=a", PROTOCOL),
    ("SUBSCRIBE id=1 filter=a options=3", PROTOCOL),
    ("SUBSCRIBE id=1 filter=a options=0x40", MALFORMED),
    ("SUBSCRIBE id=1 filter=a options=0x80", MALFORMED),
    ("SUBSCRIBE id=1 filter=%ff", MALFORMED),
    ("SUBSCRIBE id=1 filter=a%00", MALFORMED),
    ("SUBSCRIBE id=1 filter=good filter=%ed%a0%80", MALFORMED),
    ("UNSUBSCRIBE id=1 filter=%ff", MALFORMED),
    ("UNSUBSCRIBE id=1 filter=a%00", MALFORMED),
    ("UNSUBSCRIBE id=1 filter=a flags=0", MALFORMED),
    ("UNSUBSCRIBE id=1", PROTOCOL),
    ("UNSUBSCRIBE id=0 filter=a", PROTOCOL),
    ("PINGREQ flags=1", MALFORMED),
    ("DISCONNECT flags=1", MALFORMED),
];

const WRONG_BYTES: &[(&str, &[u8], u32)] = &[
    ("packet type 0", b"\x00\x00", MALFORMED),
    (
        "a length of five bytes",
        b"\x30\xff\xff\xff\xff\x01",
        MALFORMED,
    ),
    ("a PUBLISH without a topic", b"\x30\x00", MALFORMED),
    (
        "a topic longer than its packet",
        b"\x30\x03\x00\x05a",
        MALFORMED,
    ),
    (
        "a QoS 1 PUBLISH without a packet id",
        b"\x32\x03\x00\x01a",
        MALFORMED,
    ),
    ("a PUBACK of one byte", b"\x40\x01\x00", MALFORMED),
    (
        "a SUBSCRIBE that ends in its filter",
        b"\x82\x06\x00\x01\x00\x09ab",
        MALFORMED,
    ),
    ("a PINGREQ with a body", b"\xc0\x01\x00", MALFORMED),
    (
        "a SUBSCRIBE without a packet id",
        b"\x82\x01\x00",
        MALFORMED,
    ),
    ("an UNSUBSCRIBE without a body", b"\xa2\x00", MALFORMED),
    ("a PUBREL without a body", b"\x62\x00", MALFORMED),
];

// [MQTT-4.13.1-1] [MQTT-3.3.1-4] [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
// [MQTT-3.14.1-1] [MQTT-3.1.0-2] [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-3.3.1-2] [MQTT-3.3.2-2]
// [MQTT-4.7.0-1] [MQTT-4.7.3-2]
#[test]
fn bad_packets_of_mqtt_5_end_with_their_reason() {
    refuse(5, &wrong_everywhere(5));
}

// in MQTT 3.1.1 [MQTT-4.8.0-1] [MQTT-2.2.2-1] [MQTT-2.2.2-2] [MQTT-3.3.1-4] [MQTT-3.8.3-4] [MQTT-3.1.0-2]
// 3.1.1 [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-3.3.1-2] [MQTT-3.3.2-2] [MQTT-3.6.1-1] [MQTT-3.8.1-1]
// 3.1.1 [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-4.7.1-1] [MQTT-4.7.3-2]
#[test]
fn bad_packets_of_mqtt_3_1_1_end_without_a_word() {
    let mut all = wrong_everywhere(4);
    all.extend(cases(
        4,
        &[("AUTH", PROTOCOL), ("PUBLISH topic=", PROTOCOL)],
    ));
    all.extend(raw(&[
        (
            "a PUBACK of three bytes",
            b"\x40\x03\x00\x01\x00",
            MALFORMED,
        ),
        ("a DISCONNECT with a body", b"\xe0\x01\x00", MALFORMED),
    ]));
    refuse(4, &all);
}

// [MQTT-3.8.3-4] [MQTT-3.8.3-5] [MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-4.7.3-1] [MQTT-1.5.5-1] [MQTT-3.15.1-1]
#[test]
fn what_only_mqtt_5_has_can_be_wrong_too() {
    let mut all = cases(
        5,
        &[
            ("PUBLISH topic=", PROTOCOL),
            ("PUBLISH topic=a payload_format=2", PROTOCOL),
            ("PUBLISH topic=a response_topic=a/%23", PROTOCOL),
            ("PUBLISH topic=a response_topic=%ff", MALFORMED),
            ("SUBSCRIBE id=1 filter=a options=0x30", PROTOCOL),
            ("SUBSCRIBE id=1 filter=$share/g/a options=0x04", PROTOCOL),
            ("PUBACK id=1 reason=0x42", PROTOCOL),
            ("PUBREC id=1 reason=0x92", PROTOCOL),
            ("PUBREL id=1 reason=0x10", PROTOCOL),
            ("PUBCOMP id=1 reason=0x80", PROTOCOL),
            ("DISCONNECT reason=0x01", PROTOCOL),
            ("AUTH flags=1", MALFORMED),
            ("AUTH reason=0x18", PROTOCOL),
            ("AUTH reason=0x19 auth_method=x", PROTOCOL),
        ],
    );
    all.extend(raw(&[
        (
            "a length in a longer form than needed",
            b"\xc0\x80\x00",
            MALFORMED,
        ),
        (
            "a SUBSCRIBE without a property length",
            b"\x82\x02\x00\x01",
            MALFORMED,
        ),
        (
            "an AUTH with a reason and no property length",
            b"\xf0\x01\x18",
            MALFORMED,
        ),
    ]));
    refuse(5, &all);
}

/// A delivery is answered by what belongs to its QoS and stage, or else the client is out of step.
#[test]
fn an_acknowledgement_out_of_order_ends_the_connection() {
    for (qos, answer) in [(1, "PUBREC"), (1, "PUBCOMP"), (2, "PUBACK"), (2, "PUBCOMP")] {
        for level in [3, 4, 5] {
            let mut scene = Scene::new();
            let mut peer = scene.client(level, "CONNECT client_id=bad");
            peer.send("SUBSCRIBE id=1 filter=t options=2")
                .expect("sent");
            peer.expect("SUBACK id=1 code=2").expect("SUBACK");
            peer.send(&format!("PUBLISH topic=t qos={qos} id=9"))
                .expect("sent");
            peer.expect("PUBLISH id=<p>").expect("the message");
            peer.expect(if qos == 1 {
                "PUBACK id=9"
            } else {
                "PUBREC id=9"
            })
            .expect("the answer");
            peer.send(&format!("{answer} id=<p>")).expect("sent");
            peer.expect_refusal("DISCONNECT reason=0x82")
                .unwrap_or_else(|e| panic!("{answer} for QoS {qos} in {level}: {e}"));
            scene.goes_on();
        }
    }
}

/// What a client may do although nobody waits for it: it is out of step, but the standard has an
/// answer for it, or none is due.
// [MQTT-3.6.2-1] [MQTT-3.7.2-1]
#[test]
fn acknowledgements_of_nothing_are_answered_or_ignored() {
    for level in [3, 4, 5] {
        let scene = Scene::new();
        let mut peer = scene.client(level, "CONNECT client_id=odd");
        let unknown = if level == 5 { " reason=0x92" } else { "" };
        for (sent, answer) in [
            ("PUBACK id=7", None),
            ("PUBCOMP id=7", None),
            ("PUBREC id=7", Some("PUBREL id=7")),
            ("PUBREL id=7", Some("PUBCOMP id=7")),
        ] {
            peer.send(sent).expect("sent");
            if let Some(answer) = answer {
                peer.expect(&format!("{answer}{unknown}")).expect(sent);
            }
        }
        peer.send("PINGREQ").expect("sent");
        peer.expect("PINGRESP").expect("nothing else, and open");
        peer.cut();
        scene.finish();
    }
}

/// Filters that no topic could match are refused one by one, with the connection going on.
// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] in MQTT 3.1.1 [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1]
#[test]
fn a_filter_that_is_none_is_refused_in_its_answer() {
    let scene = Scene::new();
    for level in [3, 4, 5] {
        let mut peer = scene.client(level, "CONNECT client_id=odd");
        let refused = if level == 5 { "0x8f" } else { "0x80" };
        for filter in ["", "a%23", "%23/a", "a/%23/b", "a+", "+a/b", "a/+b"] {
            peer.send(&format!(
                "SUBSCRIBE id=3 filter={filter} options=1 filter=ok options=1"
            ))
            .expect("sent");
            peer.expect(&format!("SUBACK id=3 code={refused} code=1"))
                .unwrap_or_else(|e| panic!("{filter} in {level}: {e}"));
        }
        peer.cut();
    }
    scene.finish();
}

/// Topics that are right but deeper than this server takes.
#[test]
fn a_topic_with_too_many_levels_is_refused_as_a_topic() {
    let mut scene = Scene::with(|config| config.session.topic_levels = 3);
    let mut peer = scene.client(5, "CONNECT client_id=bad");
    peer.send("SUBSCRIBE id=1 filter=a/b/c/d filter=a/b/c")
        .expect("sent");
    peer.expect("SUBACK id=1 code=0x8f code=0").expect("SUBACK");
    peer.send("PUBLISH topic=a/b/c/d").expect("sent");
    peer.expect_refusal("DISCONNECT reason=0x90")
        .expect("Topic Name invalid");
    let mut peer = scene.silent(5);
    peer.send("CONNECT client_id=bad will_topic=a/b/c/d")
        .expect("sent");
    peer.expect_refusal("CONNACK reason=0x90")
        .expect("Topic Name invalid");
    let mut peer = scene.client(4, "CONNECT client_id=bad");
    peer.send("PUBLISH topic=a/b/c/d").expect("sent");
    peer.expect_close().expect("closed");
    scene.goes_on();
    scene.finish();
}

// [MQTT-3.3.4-7]: what the server does to a client that does not keep to it.
#[test]
fn more_than_receive_maximum_ends_the_connection() {
    let mut scene = Scene::with(|config| config.session.receive_maximum = 2);
    for qos in 1..=2 {
        let mut peer = scene.silent(5);
        peer.send("CONNECT client_id=bad").expect("sent");
        peer.expect("CONNACK reason=0 receive_maximum=2")
            .expect("CONNACK");
        for id in 1..=2 {
            peer.send(&format!("PUBLISH topic=a qos=2 id={id}"))
                .expect("sent");
            peer.expect(&format!("PUBREC id={id}")).expect("PUBREC");
        }
        // The same again is not one more, and QoS 0 has no quota.
        peer.send("PUBLISH topic=a qos=2 id=2 dup=1").expect("sent");
        peer.expect("PUBREC id=2").expect("PUBREC");
        peer.send("PUBLISH topic=a").expect("sent");
        // PUBCOMP gives one back.
        peer.send("PUBREL id=1").expect("sent");
        peer.expect("PUBCOMP id=1").expect("PUBCOMP");
        peer.send("PUBLISH topic=a qos=1 id=3").expect("sent");
        peer.expect("PUBACK id=3").expect("PUBACK");
        peer.send("PUBLISH topic=a qos=2 id=4").expect("sent");
        peer.expect("PUBREC id=4").expect("PUBREC");
        peer.send(&format!("PUBLISH topic=a qos={qos} id=5"))
            .expect("sent");
        peer.expect_refusal("DISCONNECT reason=0x93")
            .expect("Receive Maximum exceeded");
    }
    scene.goes_on();
    scene.finish();
}

#[test]
fn a_packet_over_the_limit_is_refused_from_its_length_alone() {
    let mut scene = Scene::with(|config| config.session.packet_size = 100_000);
    for announced in [
        &b"\x30\xff\xff\xff\x7f"[..],
        b"\x82\xa1\x8d\x06",
        b"\xe0\xff\xff\xff\x7f",
    ] {
        let mut peer = scene.client(5, "CONNECT client_id=bad");
        peer.send_bytes(announced).expect("sent");
        peer.expect("DISCONNECT reason=0x95")
            .expect("Packet too large");
        peer.expect_close().expect("closed");
        let mut peer = scene.client(4, "CONNECT client_id=bad");
        peer.send_bytes(announced).expect("sent");
        peer.expect_close().expect("closed");
        scene.goes_on();
    }
    assert_eq!(scene.finish().mqtt.peer_errors, 6);
}

#[test]
fn announced_bytes_take_no_memory_before_they_come() {
    const HEAD: &[u8] = b"\x30\xff\xff\xff\x7f\x00\x01a";
    let scene = Scene::new();
    let mut waiting: Vec<_> = (0..64)
        .map(|n| scene.client(5, &format!("CONNECT client_id=big-{n}")))
        .collect();
    let (read, memory) = (scene.stats().bytes_in, resident());
    for peer in &mut waiting {
        peer.send_bytes(HEAD).expect("sent");
    }
    let all = read + (HEAD.len() * waiting.len()) as u64;
    scene.until(|stats| stats.bytes_in == all);
    let grown = resident().saturating_sub(memory);
    assert!(
        grown < 8 << 20,
        "{grown} bytes for 64 announcements of 256 MiB"
    );
    for peer in waiting {
        peer.cut();
    }
    scene.finish();
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: usize = statm
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number of pages");
    pages * 4096
}

#[test]
fn a_packet_cut_off_by_a_close_harms_nobody() {
    let mut scene = Scene::new();
    for text in [
        "PUBLISH topic=by/stander qos=2 id=7 payload=never",
        "SUBSCRIBE id=1 filter=by/# options=1 filter=b",
    ] {
        let packet = bytes(4, text);
        for end in 1..packet.len() {
            let mut peer = scene.client(4, "CONNECT client_id=bad");
            peer.send_bytes(&packet[..end]).expect("sent");
            peer.stop_sending().expect("half closed");
            peer.expect_close().expect("closed");
        }
        scene.goes_on();
    }
    scene.finish();
}
