//! Incoming messages, acknowledged by the user.

use super::*;

fn manual(version: ProtocolVersion) -> Options {
    let mut options = keeping(version);
    options.acknowledge = Acknowledge::Manual;
    options
}

impl Peer {
    fn acknowledge(&mut self, id: u16) -> bool {
        self.refuse(id, ReasonCode::SUCCESS)
    }

    fn refuse(&mut self, id: u16, reason: ReasonCode) -> bool {
        let owed = self.session.unacknowledged.delivery_of(id);
        owed.is_some_and(|delivery| self.session.acknowledge(self.now, delivery, reason))
    }

    /// Takes the messages that came in.
    fn deliveries(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while let Some(event) = self.session.poll_event() {
            if let Event::Message(incoming) = event {
                deliveries.push(incoming.delivery);
            }
        }
        deliveries
    }
}

// [MQTT-4.6.0-2] [MQTT-4.6.0-3] in MQTT 3.1.1 [MQTT-4.6.0-2] [MQTT-4.6.0-3]
#[test]
fn acknowledgements_keep_the_order_of_the_publishes() {
    for version in VERSIONS {
        let mut peer = Peer::connected(manual(version));
        peer.give_publish("a", QoS::AtLeastOnce, 10, false);
        peer.give_publish("b", QoS::ExactlyOnce, 11, false);
        peer.give_publish("c", QoS::AtLeastOnce, 12, false);
        assert_eq!((peer.events().len(), peer.sent().len()), (3, 0));
        assert!(peer.acknowledge(12) && peer.acknowledge(11));
        assert_eq!(peer.sent(), [""; 0]);
        assert!(peer.acknowledge(10));
        assert_eq!(peer.sent(), ["PUBACK #10", "PUBREC #11", "PUBACK #12"]);
        assert!(!peer.acknowledge(10), "once");
        assert!(!peer.acknowledge(99) && !peer.acknowledge(0));
    }
}

#[test]
fn a_message_can_be_refused() {
    let mut peer = Peer::connected(manual(V5));
    peer.give_publish("a", QoS::AtLeastOnce, 1, false);
    peer.give_publish("b", QoS::ExactlyOnce, 2, false);
    assert!(
        !peer.refuse(1, ReasonCode::KEEP_ALIVE_TIMEOUT),
        "no code of PUBACK"
    );
    assert!(peer.refuse(1, ReasonCode::NOT_AUTHORIZED));
    assert!(peer.refuse(2, ReasonCode::QUOTA_EXCEEDED));
    assert_eq!(peer.sent(), ["PUBACK #1 0x87", "PUBREC #2 0x97"]);
    peer.events();
    // [MQTT-4.3.3-9]
    peer.give_publish("c", QoS::ExactlyOnce, 2, false);
    assert_eq!(peer.events(), ["message c q2 #2"]);
    let mut peer = Peer::connected(manual(V4));
    peer.give_publish("b", QoS::ExactlyOnce, 2, false);
    assert!(peer.refuse(2, ReasonCode::QUOTA_EXCEEDED));
    assert_eq!(peer.sent(), ["PUBREC #2"]);
    peer.give_publish("b", QoS::ExactlyOnce, 2, true);
    assert_eq!(
        peer.events(),
        ["message b q2 #2"],
        "no way to refuse before MQTT 5.0"
    );
}

// [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3]
// [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.4.2-1] [MQTT-3.5.2-1]
#[test]
fn acknowledgements_carry_no_properties_so_that_they_always_fit() {
    let mut peer = Peer::limited(manual(V5), &[(PropertyId::MaximumPacketSize, 5)]);
    peer.give_publish("a", QoS::AtLeastOnce, 1, false);
    peer.give_publish("b", QoS::ExactlyOnce, 2, false);
    let reason = ReasonCode::PAYLOAD_FORMAT_INVALID;
    assert!(peer.refuse(1, reason));
    assert!(peer.refuse(2, reason));
    peer.pubrec(9);
    peer.pubrel(9);
    let expected = [
        0x40, 3, 0, 1, 0x99, 0x50, 3, 0, 2, 0x99, 0x62, 3, 0, 9, 0x92,
    ];
    let sent = peer.sent_bytes();
    assert_eq!(sent[..15], expected);
    assert_eq!(sent[15..], [0x70, 3, 0, 9, 0x92]);
}

#[test]
fn the_window_of_the_server_is_what_the_user_has_not_acknowledged() {
    let mut two = manual(V5);
    two.properties.push_number(PropertyId::ReceiveMaximum, 2);
    let mut peer = Peer::connected(two);
    peer.give_publish("a", QoS::AtLeastOnce, 1, false);
    peer.give_publish("b", QoS::AtLeastOnce, 2, false);
    peer.acknowledge(2);
    peer.acknowledge(1);
    peer.give_publish("c", QoS::AtLeastOnce, 3, false);
    peer.give_publish("d", QoS::AtLeastOnce, 4, false);
    peer.sent();
    peer.events();
    peer.give_publish("e", QoS::AtLeastOnce, 5, false);
    peer.ends_with(&["DISCONNECT 0x93"], "disconnected Error 0x93");
}

#[test]
fn a_qos_1_message_is_owed_nothing_on_the_next_connection() {
    let mut peer = Peer::connected(manual(V5));
    peer.give_publish("a", QoS::AtLeastOnce, 1, false);
    peer.cut();
    assert!(!peer.acknowledge(1));
    peer.reopen(true);
    assert!(!peer.acknowledge(1));
    peer.give_publish("a", QoS::AtLeastOnce, 1, true);
    assert!(peer.acknowledge(1));
    assert_eq!(peer.sent(), ["PUBACK #1"]);
}

#[test]
fn a_qos_2_message_is_given_out_once_and_acknowledged_when_it_comes_again() {
    let mut peer = Peer::connected(manual(V5));
    peer.give_publish("a", QoS::ExactlyOnce, 1, false);
    peer.give_publish("b", QoS::ExactlyOnce, 2, false);
    peer.cut();
    assert!(peer.acknowledge(2), "offline");
    peer.reopen(true);
    assert_eq!(peer.sent(), [""; 0], "the server has not sent it again yet");
    peer.give_publish("a", QoS::ExactlyOnce, 1, true);
    peer.give_publish("b", QoS::ExactlyOnce, 2, true);
    assert_eq!(
        (peer.events().len(), peer.sent().len()),
        (0, 0),
        "b waits for a"
    );
    assert!(peer.acknowledge(1));
    assert_eq!(peer.sent(), ["PUBREC #1", "PUBREC #2"]);
    peer.cut();
    peer.reopen(true);
    peer.give_publish("b", QoS::ExactlyOnce, 2, true);
    peer.pubrel(1);
    assert_eq!(peer.sent(), ["PUBREC #2", "PUBCOMP #1"], "PUBREC was lost");
    assert_eq!(peer.events(), [""; 0]);
}

#[test]
fn what_is_owed_ends_with_the_session() {
    let mut peer = Peer::connected(manual(V5));
    peer.give_publish("a", QoS::ExactlyOnce, 1, false);
    peer.cut();
    peer.reopen(false);
    assert!(!peer.acknowledge(1));
    peer.give_publish("n", QoS::ExactlyOnce, 1, false);
    assert_eq!(peer.events(), ["message n q2 #1"]);
}

#[test]
fn an_acknowledgement_never_means_another_message_with_the_same_packet_id() {
    for version in VERSIONS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut peer = Peer::connected(manual(version));
            let now = peer.now;
            peer.give_publish("a", qos, 1, false);
            let old = peer.deliveries()[0];
            peer.cut();
            peer.reopen(false);
            if version.level() == 3 && qos == QoS::ExactlyOnce {
                continue; // it has no Session Present: this is the same message
            }
            peer.give_publish("b", qos, 1, false);
            let new = peer.deliveries()[0];
            assert!(!peer.session.acknowledge(now, old, ReasonCode::SUCCESS));
            assert_eq!(peer.sent(), [""; 0]);
            assert!(peer.session.acknowledge(now, new, ReasonCode::SUCCESS));
            assert_eq!(peer.sent().len(), 1);
            if qos == QoS::AtLeastOnce {
                // The id is free again on the same connection.
                peer.give_publish("c", qos, 1, false);
                assert!(!peer.session.acknowledge(now, new, ReasonCode::SUCCESS));
                assert_eq!(peer.sent(), [""; 0]);
            }
        }
    }
}

#[test]
fn pubrel_before_pubrec_is_an_error() {
    let mut peer = Peer::connected(manual(V5));
    peer.give_publish("a", QoS::ExactlyOnce, 1, false);
    peer.events();
    peer.pubrel(1);
    peer.ends_with(&["DISCONNECT 0x82"], "disconnected Error 0x82");
}

#[test]
fn a_change_to_automatic_settles_what_is_owed() {
    let mut peer = Peer::connected(manual(V5));
    peer.give_publish("a", QoS::ExactlyOnce, 1, false);
    peer.cut();
    peer.session.options_mut().acknowledge = Acknowledge::Automatic;
    peer.reopen(true);
    peer.give_publish("a", QoS::ExactlyOnce, 1, true);
    peer.pubrel(1);
    assert_eq!(peer.sent(), ["PUBREC #1", "PUBCOMP #1"]);
    assert!(!peer.acknowledge(1));
}
