//! Incoming messages, acknowledged automatically.

use super::*;

// [MQTT-3.3.4-1] [MQTT-2.2.1-5] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.5.0-2]
// in MQTT 3.1.1 [MQTT-3.3.4-1] [MQTT-2.3.1-6] [MQTT-4.3.2-2] [MQTT-4.5.0-2]
#[test]
fn each_qos_gets_its_answer() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        peer.give_publish("a", QoS::AtMostOnce, 0, false);
        assert_eq!(peer.sent(), [""; 0]);
        peer.give_publish("b", QoS::AtLeastOnce, 7, false);
        peer.give_publish("c", QoS::ExactlyOnce, 8, false);
        assert_eq!(peer.sent(), ["PUBACK #7", "PUBREC #8"]);
        assert_eq!(
            peer.events(),
            ["message a q0 #0", "message b q1 #7", "message c q2 #8"]
        );
        peer.pubrel(8);
        assert_eq!(peer.sent(), ["PUBCOMP #8"]);
    }
}

// [MQTT-1.5.4-3] in MQTT 3.1.1 [MQTT-1.5.3-3]
#[test]
fn a_zero_width_no_break_space_stays() {
    let mut peer = Peer::connected(options(V5));
    peer.give_publish("\u{FEFF}a", QoS::AtMostOnce, 0, false);
    assert_eq!(peer.events(), ["message \u{FEFF}a q0 #0"]);
    peer.publish("\u{FEFF}a", QoS::AtMostOnce).unwrap();
    assert_eq!(peer.sent_bytes()[2..7], [0, 4, 0xEF, 0xBB, 0xBF]);
}

#[test]
fn a_message_arrives_with_all_it_has() {
    let mut peer = Peer::connected(options(V5));
    let mut properties = numbers(&[
        (PropertyId::MessageExpiryInterval, 30),
        (PropertyId::SubscriptionIdentifier, 3),
        (PropertyId::SubscriptionIdentifier, 300),
    ]);
    properties
        .push(PropertyId::ContentType, Value::Utf8String("text"))
        .unwrap();
    let mut publish = Publish::new("a/b", b"payload");
    (publish.retain, publish.properties) = (true, properties.get());
    peer.give(Packet::Publish(publish));
    let Some(Event::Message(incoming)) = peer.session.poll_event() else {
        panic!("no message");
    };
    let message = &incoming.message;
    assert_eq!(
        (message.topic(), message.payload()),
        ("a/b", &b"payload"[..])
    );
    assert_eq!(
        message.properties().text(PropertyId::ContentType),
        Some("text")
    );
    assert_eq!(message.expiry_left(peer.now), Some(30));
    assert_eq!(incoming.subscription_ids.as_slice(), [3, 300]);
    assert!(incoming.retain && message.retain());
}

// [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] in MQTT 3.1.1 [MQTT-4.3.3-2]
#[test]
fn qos_2_is_given_out_once_until_pubrel() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        peer.give_publish("a", QoS::ExactlyOnce, 5, false);
        peer.give_publish("a", QoS::ExactlyOnce, 5, true);
        assert_eq!(peer.sent(), ["PUBREC #5", "PUBREC #5"]);
        assert_eq!(peer.events(), ["message a q2 #5"]);
        assert_eq!(peer.session.stats().duplicates, 1);
        peer.pubrel(5);
        peer.give_publish("b", QoS::ExactlyOnce, 5, false);
        assert_eq!(peer.sent(), ["PUBCOMP #5", "PUBREC #5"]);
        assert_eq!(peer.events(), ["message b q2 #5"], "a new message");
    }
}

// [MQTT-4.3.3-13]
#[test]
fn the_handshake_of_an_expired_message_goes_on() {
    let mut peer = Peer::connected(keeping(V5));
    let properties = numbers(&[(PropertyId::MessageExpiryInterval, 1)]);
    let mut publish = Publish::new("a", b"x");
    (publish.qos, publish.packet_id) = (QoS::ExactlyOnce, 5);
    publish.properties = properties.get();
    peer.give(Packet::Publish(publish));
    peer.pass(2_000);
    publish.dup = true;
    peer.give(Packet::Publish(publish));
    peer.pubrel(5);
    assert_eq!(peer.sent(), ["PUBREC #5", "PUBREC #5", "PUBCOMP #5"]);
    assert_eq!(peer.events(), ["message a q2 #5"]);
}

// [MQTT-4.3.2-5] in MQTT 3.1.1 [MQTT-4.3.2-2]
#[test]
fn qos_1_after_puback_is_a_new_message() {
    let mut peer = Peer::connected(options(V5));
    peer.give_publish("a", QoS::AtLeastOnce, 5, false);
    peer.give_publish("a", QoS::AtLeastOnce, 5, true);
    assert_eq!(peer.events(), ["message a q1 #5", "message a q1 #5 dup"]);
    assert_eq!(peer.sent(), ["PUBACK #5", "PUBACK #5"]);
}

// [MQTT-3.7.2-1]
#[test]
fn pubrel_for_nothing() {
    for version in [V4, V5] {
        let mut peer = Peer::connected(options(version));
        peer.pubrel(9);
        let reason = if version.is_v5() { " 0x92" } else { "" };
        assert_eq!(peer.sent(), [format!("PUBCOMP #9{reason}")]);
    }
}

// [MQTT-3.3.2-10] [MQTT-3.3.2-12]
#[test]
fn incoming_aliases_up_to_what_was_announced() {
    let mut aliases = options(V5);
    aliases.properties = numbers(&[(PropertyId::TopicAliasMaximum, 2)]);
    let mut peer = Peer::connected(aliases);
    for (topic, alias) in [("a", 1), ("b", 2), ("", 1), ("", 2), ("c", 1), ("", 1)] {
        give_alias(&mut peer, topic, alias);
    }
    let expected = ["a", "b", "a", "b", "c", "c"].map(|topic| format!("message {topic} q0 #0"));
    assert_eq!(peer.events(), expected);
}

// [MQTT-3.3.2-7] [MQTT-3.3.2-8] [MQTT-3.3.2-11]
#[test]
fn wrong_aliases_end_the_connection() {
    let mut aliases = keeping(V5);
    aliases.properties = numbers(&[(PropertyId::TopicAliasMaximum, 2)]);
    for (topic, alias, reason) in [("a", 3, "0x94"), ("", 2, "0x82")] {
        let mut peer = Peer::connected(aliases.clone());
        give_alias(&mut peer, "a", 1);
        peer.events();
        give_alias(&mut peer, topic, alias);
        let packet = format!("DISCONNECT {reason}");
        peer.ends_with(&[&packet], &format!("disconnected Error {reason}"));
        peer.open(true, Properties::EMPTY);
        give_alias(&mut peer, "", 1);
        peer.ends_with(&["DISCONNECT 0x82"], "disconnected Error 0x82");
    }
    // Alias 0 does not even pass the codec.
    let mut peer = Peer::connected(aliases);
    peer.session
        .handle_input(peer.now, &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0]);
    peer.ends_with(&["DISCONNECT 0x94"], "disconnected Error 0x94");
}

fn give_alias(peer: &mut Peer, topic: &str, alias: u32) {
    let properties = numbers(&[(PropertyId::TopicAlias, alias)]);
    let mut publish = Publish::new(topic, b"x");
    publish.properties = properties.get();
    peer.give(Packet::Publish(publish));
}

#[test]
fn our_receive_maximum_is_enforced() {
    let mut two = options(V5);
    two.properties = numbers(&[(PropertyId::ReceiveMaximum, 2)]);
    let mut peer = Peer::connected(two);
    peer.give_publish("a", QoS::ExactlyOnce, 1, false);
    for id in 2..9 {
        peer.give_publish("b", QoS::AtLeastOnce, id, false); // acknowledged at once
    }
    peer.give_publish("c", QoS::ExactlyOnce, 9, false);
    peer.pubrel(1);
    peer.give_publish("d", QoS::ExactlyOnce, 10, false);
    peer.sent();
    assert_eq!(peer.events().len(), 10);
    peer.give_publish("e", QoS::AtMostOnce, 0, false);
    assert_eq!(peer.events(), ["message e q0 #0"], "QoS 0 has no quota");
    peer.give_publish("f", QoS::AtLeastOnce, 11, false);
    peer.ends_with(&["DISCONNECT 0x93"], "disconnected Error 0x93");
}

#[test]
fn the_receive_quota_begins_anew_with_each_connection() {
    let mut one = keeping(V5);
    one.properties.push_number(PropertyId::ReceiveMaximum, 1);
    let mut peer = Peer::connected(one);
    peer.give_publish("a", QoS::ExactlyOnce, 1, false);
    peer.cut();
    peer.events();
    peer.open(true, Properties::EMPTY);
    peer.give_publish("b", QoS::ExactlyOnce, 2, false);
    peer.pubrel(1);
    assert_eq!(peer.sent(), ["PUBREC #2", "PUBCOMP #1"]);
}

#[test]
fn many_packets_in_one_input_and_one_packet_in_many() {
    let mut bytes = Vec::new();
    for id in 1..=50 {
        let mut publish = Publish::new("topic", b"some payload");
        (publish.qos, publish.packet_id) = (QoS::AtLeastOnce, id);
        Packet::Publish(publish).encode(V5, &mut bytes).unwrap();
    }
    let acknowledged: Vec<String> = (1..=50).map(|id| format!("PUBACK #{id}")).collect();
    for step in [1, 2, 3, 7, 30, 100, bytes.len()] {
        let mut peer = Peer::connected(options(V5));
        for chunk in bytes.chunks(step) {
            peer.session.handle_input(peer.now, chunk);
        }
        assert_eq!(peer.events().len(), 50, "step {step}");
        assert_eq!(peer.sent(), acknowledged);
    }
}

#[test]
fn half_a_packet_dies_with_its_connection() {
    let mut peer = Peer::connected(options(V5));
    peer.session.handle_input(peer.now, &[0x30, 50, 0, 1, b'a']);
    peer.cut();
    peer.events();
    peer.open(false, Properties::EMPTY);
    peer.give_publish("b", QoS::AtMostOnce, 0, false);
    assert_eq!(peer.events(), ["message b q0 #0"]);
}
