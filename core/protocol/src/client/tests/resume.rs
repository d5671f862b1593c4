//! The session over more than one connection.

use super::*;

fn three_in_flight(options: Options) -> Peer {
    let mut peer = Peer::connected(options);
    for (topic, qos) in [("a", 1), ("b", 2), ("c", 2), ("d", 1)] {
        peer.publish(topic, QoS::from_bits(qos).unwrap()).unwrap();
    }
    peer.pubrec(3);
    peer.sent();
    peer.cut();
    assert_eq!(peer.events(), ["disconnected Lost 0x80"]);
    assert!(peer.session.pending().count() == 4);
    peer
}

// [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-3.1.2-23] [MQTT-4.1.0-1]
// in MQTT 3.1.1 [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-2.3.1-3] [MQTT-4.1.0-1]
// 3.1.1 [MQTT-4.1.0-2]
#[test]
fn what_is_unacknowledged_is_sent_again_in_order() {
    for version in VERSIONS {
        let mut peer = three_in_flight(keeping(version));
        peer.open(version != V3, Properties::EMPTY);
        assert_eq!(
            peer.sent(),
            [
                "PUBREL #3",
                "PUBLISH a q1 #1 dup",
                "PUBLISH b q2 #2 dup",
                "PUBLISH d q1 #4 dup"
            ]
        );
        assert_eq!(peer.session.stats().messages_resent, 3);
        peer.pass(40_000);
        assert_eq!(peer.sent(), [""; 0], "at no other time");
        peer.publish("e", QoS::AtLeastOnce).unwrap();
        assert_eq!(peer.sent(), ["PUBLISH e q1 #5"]);
        peer.pubcomp(3);
        peer.puback(1);
        assert_eq!(peer.events(), ["published #3", "published #1"]);
    }
}

// Section 3.7.2.1: 0x92 is no error during recovery, but is one at other times.
#[test]
fn a_pubrel_sent_again_may_have_come_before() {
    let unknown = |id| Packet::PubComp(Ack::new(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND));
    let mut peer = three_in_flight(keeping(V5));
    peer.open(true, Properties::EMPTY);
    assert_eq!(peer.sent()[0], "PUBREL #3");
    let stored = peer.session.stored().count();
    assert_eq!(stored, 4, "PUBREL is still kept");
    peer.give(unknown(3));
    assert_eq!(peer.events(), ["published #3"]);
    peer.pubrec(2);
    peer.give(unknown(2));
    assert_eq!(peer.events(), ["published #2 0x92"], "its first PUBREL");
}

// [MQTT-3.2.2-5]
#[test]
fn a_lost_session_publishes_anew() {
    for version in [V4, V5] {
        let mut peer = three_in_flight(keeping(version));
        peer.open(false, Properties::EMPTY);
        assert_eq!(
            peer.sent(),
            ["PUBLISH a q1 #1", "PUBLISH b q2 #2", "PUBLISH d q1 #4"]
        );
        assert_eq!(
            peer.events(),
            ["published #3"],
            "the server had taken it over"
        );
    }
}

// [MQTT-3.2.2-5] [MQTT-3.1.2-4] in MQTT 3.1.1 [MQTT-3.1.2-6]
#[test]
fn a_lost_session_can_drop() {
    for version in [V4, V5] {
        let mut options = keeping(version);
        options.lost_session = LostSession::Drop;
        let mut peer = three_in_flight(options);
        peer.publish("e", QoS::AtLeastOnce).unwrap();
        peer.open(false, Properties::EMPTY);
        let lost = [1, 2, 4].map(|id| format!("dropped #{id} SessionLost"));
        assert_eq!(
            peer.events(),
            [&lost[..], &["published #3".into()]].concat()
        );
        assert_eq!(
            peer.sent(),
            ["PUBLISH e q1 #5"],
            "never sent before, so it is sent"
        );
        assert_eq!(peer.session.stats().dropped(DropReason::SessionLost), 3);
    }
}

// In MQTT 3.1.1 [MQTT-3.1.2-6]
#[test]
fn a_session_that_ends_with_its_connection_drops_at_once() {
    for version in VERSIONS {
        let mut options = options(version);
        options.lost_session = LostSession::Drop;
        let mut peer = Peer::connected(options);
        peer.publish("a", QoS::AtLeastOnce).unwrap();
        peer.publish("b", QoS::ExactlyOnce).unwrap();
        peer.publish("c", QoS::ExactlyOnce).unwrap();
        peer.pubrec(3);
        peer.sent();
        peer.cut();
        let told = [
            "dropped #1 SessionLost",
            "dropped #2 SessionLost",
            "published #3",
            "disconnected Lost 0x80",
        ];
        assert_eq!(peer.events(), told);
        assert!(peer.session.pending().next().is_none());
        assert_eq!(peer.publish("e", QoS::AtLeastOnce), Ok(Token(1)));
        peer.open(false, Properties::EMPTY);
        assert_eq!(peer.sent(), ["PUBLISH e q1 #1"]);
    }
}

#[test]
fn the_server_or_a_disconnect_may_decide_when_the_session_ends() {
    let mut options = keeping(V5);
    options.lost_session = LostSession::Drop;
    let none = [(PropertyId::SessionExpiryInterval, 0)];
    let mut peer = Peer::limited(options.clone(), &none);
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.cut();
    assert_eq!(
        peer.events(),
        ["dropped #1 SessionLost", "disconnected Lost 0x80"]
    );
    let mut peer = Peer::connected(options);
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    let (now, normal) = (peer.now, ReasonCode::NORMAL_DISCONNECTION);
    let disconnected = peer.session.disconnect(now, normal, numbers(&none).get());
    assert!(disconnected.is_ok());
    peer.cut();
    assert_eq!(
        peer.events(),
        ["dropped #1 SessionLost", "disconnected Local"]
    );
}

// [MQTT-3.2.2-4]
#[test]
fn session_present_after_clean_start_is_an_error() {
    for version in [V4, V5] {
        let mut peer = Peer::new(options(version));
        peer.session.handle_open(peer.now);
        peer.sent();
        peer.connack(true, Properties::EMPTY);
        let packets: &[&str] = if version.is_v5() {
            &["DISCONNECT 0x82"]
        } else {
            &[]
        };
        peer.ends_with(packets, "disconnected Error 0x82");
    }
}

// [MQTT-3.3.4-7] [MQTT-4.9.0-1]
#[test]
fn sending_again_keeps_within_the_new_quota() {
    let mut peer = three_in_flight(keeping(V5));
    peer.publish("e", QoS::AtLeastOnce).unwrap();
    peer.open(true, numbers(&[(PropertyId::ReceiveMaximum, 1)]).get());
    assert_eq!(peer.sent(), ["PUBREL #3", "PUBLISH a q1 #1 dup"]);
    peer.publish("f", QoS::AtLeastOnce).unwrap();
    peer.pubcomp(3);
    assert_eq!(peer.sent(), [""; 0]);
    for (id, next) in [(1, "PUBLISH b q2 #2 dup"), (2, "PUBLISH d q1 #4 dup")] {
        if id == 2 {
            peer.pubrec(2);
            assert_eq!(peer.sent(), ["PUBREL #2"]);
            peer.pubcomp(2);
        } else {
            peer.puback(id);
        }
        assert_eq!(peer.sent(), [next]);
    }
    peer.puback(4);
    peer.puback(5);
    assert_eq!(peer.sent(), ["PUBLISH e q1 #5", "PUBLISH f q1 #6"]);
}

#[test]
fn cut_twice_while_sending_again() {
    let mut peer = three_in_flight(keeping(V5));
    for _ in 0..3 {
        peer.open(true, numbers(&[(PropertyId::ReceiveMaximum, 1)]).get());
        assert_eq!(peer.sent(), ["PUBREL #3", "PUBLISH a q1 #1 dup"]);
        peer.cut();
        peer.events();
    }
    peer.open(true, Properties::EMPTY);
    assert_eq!(peer.sent().len(), 4);
}

// [MQTT-4.3.3-7]
#[test]
fn what_was_sent_does_not_expire() {
    let mut peer = Peer::connected(keeping(V5));
    peer.session
        .publish(peer.now, expiring("a", QoS::ExactlyOnce, 10))
        .unwrap();
    assert_eq!(peer.sent(), ["PUBLISH a q2 #1 expiry=10"]);
    peer.pass(20_000);
    peer.cut();
    peer.events();
    peer.open(true, Properties::EMPTY);
    assert_eq!(peer.sent(), ["PUBLISH a q2 #1 dup expiry=0"]);
    peer.pubrec(1);
    assert_eq!(peer.sent(), ["PUBREL #1"]);
}

#[test]
fn a_new_server_that_takes_less_drops_and_goes_on() {
    let mut peer = three_in_flight(keeping(V5));
    peer.open(
        true,
        numbers(&[(PropertyId::MaximumQoS, 1), (PropertyId::ReceiveMaximum, 1)]).get(),
    );
    assert_eq!(peer.events(), [""; 0]);
    assert_eq!(peer.sent(), ["PUBREL #3", "PUBLISH a q1 #1 dup"]);
    peer.puback(1);
    assert_eq!(peer.events(), ["published #1", "dropped #2 NotSupported"]);
    assert_eq!(peer.sent(), ["PUBLISH d q1 #4 dup"], "the quota came back");
}

// [MQTT-4.3.3-10] in MQTT 3.1.1 [MQTT-4.3.3-2]
#[test]
fn incoming_qos_2_is_remembered_over_connections() {
    for version in VERSIONS {
        let mut peer = Peer::connected(keeping(version));
        peer.give_publish("a", QoS::ExactlyOnce, 5, false);
        peer.cut();
        peer.reopen(version != V3);
        peer.give_publish("a", QoS::ExactlyOnce, 5, true);
        peer.pubrel(5);
        assert_eq!(peer.sent(), ["PUBREC #5", "PUBCOMP #5"]);
        assert_eq!(peer.events(), [""; 0]);
        peer.give_publish("b", QoS::ExactlyOnce, 5, false);
        peer.cut();
        peer.session.options_mut().clean_start = true;
        peer.reopen(false);
        peer.give_publish("c", QoS::ExactlyOnce, 5, false);
        assert_eq!(
            peer.events(),
            ["message c q2 #5"],
            "another session, another message"
        );
    }
}
