//! A server that breaks the rules.

use super::*;
use crate::codec::{Connect, Disconnect, Subscribe, SubscriptionOptions, Unsubscribe};

/// What the client does about `bytes` on an accepted connection.
fn ends(version: ProtocolVersion, bytes: &[u8], reason: &str) {
    let mut peer = Peer::connected(options(version));
    peer.session.handle_input(peer.now, bytes);
    let disconnect = format!("DISCONNECT {reason}");
    let packets: &[&str] = if version.is_v5() { &[&disconnect] } else { &[] };
    peer.ends_with(packets, &format!("disconnected Error {reason}"));
}

fn encoded(packet: Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("a packet");
    bytes
}

#[test]
fn packets_that_only_a_client_sends() {
    let request = [("a", SubscriptionOptions::default())];
    for version in VERSIONS {
        for packet in [
            Packet::Connect(Connect::new(version, "s")),
            Packet::Subscribe(Subscribe::new(1, Properties::EMPTY, &request)),
            Packet::Unsubscribe(Unsubscribe::new(1, Properties::EMPTY, &["a"])),
            Packet::PingReq,
        ] {
            ends(version, &encoded(packet, version), "0x82");
        }
        ends(
            version,
            &encoded(Packet::ConnAck(ACCEPTED), version),
            "0x82",
        );
    }
    let disconnect = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
    ends(V4, &encoded(disconnect, V4), "0x82");
}

const ACCEPTED: ConnAck<'static> = ConnAck {
    session_present: false,
    reason: ReasonCode::SUCCESS,
    properties: Properties::EMPTY,
};

#[test]
fn packets_before_connack() {
    for version in VERSIONS {
        let publish = Packet::Publish(Publish::new("a", b""));
        let ack = Packet::PubAck(Ack::new(1, ReasonCode::SUCCESS));
        for packet in [publish, ack, Packet::PingResp] {
            let mut peer = Peer::new(options(version));
            peer.session.handle_open(peer.now);
            peer.sent();
            peer.give(packet);
            let packets: &[&str] = if version.is_v5() {
                &["DISCONNECT 0x82"]
            } else {
                &[]
            };
            peer.ends_with(packets, "disconnected Error 0x82");
        }
    }
}

// [MQTT-2.1.3-1] [MQTT-3.3.1-4] [MQTT-3.3.1-2] [MQTT-3.6.1-1] [MQTT-3.15.1-1] [MQTT-2.2.1-3]
// in MQTT 3.1.1 [MQTT-2.2.2-2] [MQTT-3.3.1-4] [MQTT-3.6.1-1] [MQTT-4.8.0-1]
#[test]
fn malformed_packets() {
    let packets: [&[u8]; 7] = [
        &[0x00, 0x00],                         // type 0
        &[0xD1, 0x00],                         // flags of PINGRESP
        &[0x60, 0x02, 0, 1],                   // flags of PUBREL
        &[0x36, 0x05, 0, 1, b'a', 0, 1],       // QoS 3
        &[0x38, 0x03, 0, 1, b'a'],             // DUP with QoS 0
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], // a length of five bytes
        &[0x40, 0x01, 0],                      // half a packet identifier
    ];
    for version in [V4, V5] {
        for bytes in packets {
            ends(version, bytes, "0x81");
        }
    }
    ends(V4, &[0xF0, 0x00], "0x81"); // AUTH before MQTT 5.0
    ends(V5, &[0xF1, 0x00], "0x81");
}

// [MQTT-3.3.2-2] [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-3.4.2-1]
// in MQTT 3.1.1 [MQTT-3.3.2-2] [MQTT-1.5.3-1] [MQTT-1.5.3-2]
#[test]
fn packets_with_a_bad_content() {
    ends(V5, &[0x30, 6, 0, 3, b'a', b'/', b'#', 0], "0x82");
    ends(V4, &[0x30, 5, 0, 3, b'a', b'/', b'#'], "0x82");
    for bad in [0x00, 0xFF] {
        ends(V5, &[0x30, 4, 0, 1, bad, 0], "0x81");
        ends(V4, &[0x30, 3, 0, 1, bad], "0x81");
    }
    ends(V5, &[0x40, 3, 0, 1, 0x55], "0x82");
}

// [MQTT-1.5.7-1] [MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19]
#[test]
fn messages_with_bad_properties() {
    let ends_with = |property: &[u8], reason| {
        let mut bytes = vec![
            0x30,
            4 + property.len() as u8,
            0,
            1,
            b'a',
            property.len() as u8,
        ];
        bytes.extend(property);
        ends(V5, &bytes, reason);
    };
    ends_with(&[0x08, 0, 1, b'+'], "0x82");
    ends_with(&[0x08, 0, 1, 0xFF], "0x81");
    ends_with(&[0x03, 0, 1, 0xFF], "0x81");
    ends_with(&[0x26, 0, 1, 0xFF, 0, 1, b'v'], "0x81");
    ends_with(&[0x26, 0, 1, b'n', 0, 1, 0], "0x81");
}

#[test]
fn packets_above_our_maximum_packet_size() {
    let mut limited = options(V5);
    limited.max_packet_size = 100;
    let mut peer = Peer::connected(limited.clone());
    peer.session.handle_input(peer.now, &[0x30, 99]);
    peer.ends_with(&["DISCONNECT 0x95"], "disconnected Error 0x95");
    limited.version = V4;
    let mut peer = Peer::connected(limited.clone());
    peer.session.handle_input(peer.now, &[0x30, 99]);
    peer.ends_with(&[], "disconnected Error 0x95");
    // A property of the user's own is what counts when it is lower.
    limited.version = V5;
    limited.properties = numbers(&[(PropertyId::MaximumPacketSize, 50)]);
    let mut peer = Peer::connected(limited);
    peer.session.handle_input(peer.now, &[0x30, 49]);
    peer.ends_with(&["DISCONNECT 0x95"], "disconnected Error 0x95");
}

#[test]
fn acknowledgements_of_the_wrong_kind() {
    type Answer = fn(Ack<'static>) -> Packet<'static>;
    let wrong: [(QoS, Answer); 3] = [
        (QoS::AtLeastOnce, Packet::PubRec),
        (QoS::AtLeastOnce, Packet::PubComp),
        (QoS::ExactlyOnce, Packet::PubAck),
    ];
    for version in [V4, V5] {
        for (qos, answer) in wrong {
            let mut peer = Peer::connected(options(version));
            peer.publish("a", qos).unwrap();
            peer.sent();
            peer.give(answer(Ack::new(1, ReasonCode::SUCCESS)));
            let packets: &[&str] = if version.is_v5() {
                &["DISCONNECT 0x82"]
            } else {
                &[]
            };
            peer.ends_with(packets, "disconnected Error 0x82");
        }
    }
}

// [MQTT-3.14.2-3]
#[test]
fn the_reason_is_told_in_words_only_where_it_fits() {
    for (maximum, words) in [(5, false), (1_000, true)] {
        let mut peer = Peer::limited(options(V5), &[(PropertyId::MaximumPacketSize, maximum)]);
        peer.give(Packet::PingReq);
        let bytes = peer.sent_bytes();
        assert_eq!((bytes[0], bytes.len() > 3), (0xE0, words));
        assert!(bytes.len() <= maximum as usize);
    }
}

#[test]
fn nothing_after_an_error_is_looked_at() {
    let mut peer = Peer::connected(options(V4));
    let mut bytes = encoded(Packet::PingReq, V4);
    bytes.extend(encoded(Packet::Publish(Publish::new("a", b"")), V4));
    peer.session.handle_input(peer.now, &bytes);
    peer.session.handle_input(peer.now, &bytes);
    peer.ends_with(&[], "disconnected Error 0x82");
}

#[test]
fn no_input_makes_it_panic() {
    let mut seeded = crate::seeded::Seeded::new(11);
    let good = [
        encoded(Packet::Publish(Publish::new("a", b"payload")), V5),
        encoded(Packet::PubRec(Ack::new(1, ReasonCode::SUCCESS)), V5),
        encoded(Packet::ConnAck(ACCEPTED), V5),
        encoded(
            Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_BUSY)),
            V5,
        ),
    ];
    for round in 0..20_000 {
        let mut peer = Peer::new(options(VERSIONS[round % 3]));
        peer.session.handle_open(peer.now);
        if round % 4 > 0 {
            peer.connack(false, Properties::EMPTY);
            peer.publish("a", QoS::ExactlyOnce).unwrap();
        }
        let mut bytes: Vec<u8> = (0..3).flat_map(|_| good[seeded.below(4)].clone()).collect();
        for _ in 0..seeded.below(4) {
            let place = seeded.below(bytes.len());
            bytes[place] = seeded.next() as u8;
        }
        for chunk in bytes.chunks(1 + seeded.below(9)) {
            peer.session.handle_input(peer.now, chunk);
        }
        peer.cut();
        let last = peer.events().pop().unwrap();
        assert!(
            last.starts_with("disconnected") || last.starts_with("refused"),
            "{last}"
        );
    }
}
