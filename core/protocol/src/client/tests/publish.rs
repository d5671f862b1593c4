//! Outgoing messages while connected.

use super::*;

// [MQTT-2.2.1-2] [MQTT-3.3.1-2] [MQTT-4.3.1-1]
// in MQTT 3.1.1 [MQTT-2.3.1-5] [MQTT-3.3.1-2] [MQTT-4.3.1-1]
#[test]
fn qos_0_has_no_packet_id_and_no_dup() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        assert_eq!(peer.publish("a", QoS::AtMostOnce), Ok(Token::NONE));
        assert_eq!(peer.sent(), ["PUBLISH a q0"]);
        assert_eq!(peer.session.pending().count(), 0);
        assert!(!peer.session.is_pending(Token::NONE));
    }
}

// [MQTT-2.2.1-3] [MQTT-2.2.1-5] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.2-3] [MQTT-4.3.2-5]
// in MQTT 3.1.1 [MQTT-2.3.1-1] [MQTT-2.3.1-2] [MQTT-2.3.1-3] [MQTT-4.3.2-1]
#[test]
fn qos_1_is_pending_until_puback() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        for id in 1..=3 {
            assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(id)));
        }
        assert_eq!(
            peer.sent(),
            ["PUBLISH a q1 #1", "PUBLISH a q1 #2", "PUBLISH a q1 #3"]
        );
        peer.puback(2);
        assert_eq!(peer.events(), ["published #2"]);
        assert!(peer.session.is_pending(Token(1)) && !peer.session.is_pending(Token(2)));
        assert!(peer.session.pending().eq([Token(1), Token(3)]));
        peer.puback(2);
        assert_eq!(peer.events(), [""; 0], "a late second one means nobody");
        assert_eq!(peer.session.stats().unknown_acknowledgements, 1);
        peer.puback(1);
        peer.puback(3);
        assert_eq!(peer.events(), ["published #1", "published #3"]);
        assert_eq!((peer.session.in_flight(), peer.sent().len()), (0, 0));
    }
}

// [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6]
// in MQTT 3.1.1 [MQTT-4.3.3-1]
#[test]
fn qos_2_is_pending_until_pubcomp() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        peer.publish("a", QoS::ExactlyOnce).unwrap();
        assert_eq!(peer.sent(), ["PUBLISH a q2 #1"]);
        peer.pubrec(1);
        assert_eq!(
            (peer.sent(), peer.events()),
            (vec!["PUBREL #1".into()], vec![])
        );
        peer.pubrec(1);
        assert_eq!(peer.sent(), ["PUBREL #1"], "asked again, answered again");
        assert!(peer.session.is_pending(Token(1)));
        peer.pubcomp(1);
        assert_eq!(peer.events(), ["published #1"]);
        assert!(!peer.session.is_pending(Token(1)));
    }
}

// [MQTT-4.6.0-4] in MQTT 3.1.1 [MQTT-4.6.0-4]
#[test]
fn pubrels_follow_the_order_of_pubrecs() {
    let mut peer = Peer::connected(options(V4));
    for _ in 0..3 {
        peer.publish("a", QoS::ExactlyOnce).unwrap();
    }
    peer.sent();
    for id in [2, 3, 1] {
        peer.pubrec(id);
    }
    assert_eq!(peer.sent(), ["PUBREL #2", "PUBREL #3", "PUBREL #1"]);
}

// [MQTT-4.4.0-2]
#[test]
fn an_error_code_completes() {
    let mut peer = Peer::connected(options(V5));
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.publish("b", QoS::ExactlyOnce).unwrap();
    peer.sent();
    peer.give(Packet::PubAck(Ack::new(1, ReasonCode::QUOTA_EXCEEDED)));
    peer.give(Packet::PubRec(Ack::new(2, ReasonCode::NOT_AUTHORIZED)));
    assert_eq!(peer.events(), ["published #1 0x97", "published #2 0x87"]);
    assert_eq!(
        (peer.sent().len(), peer.session.in_flight()),
        (0, 0),
        "no PUBREL"
    );
}

// [MQTT-3.6.2-1]
#[test]
fn pubrec_for_nothing_gets_an_end() {
    for version in [V4, V5] {
        let mut peer = Peer::connected(options(version));
        peer.pubrec(9);
        let reason = if version.is_v5() { " 0x92" } else { "" };
        assert_eq!(peer.sent(), [format!("PUBREL #9{reason}")]);
        peer.pubcomp(9);
        assert_eq!(peer.session.stats().unknown_acknowledgements, 2);
    }
}

// [MQTT-3.3.4-7] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3] [MQTT-3.3.4-8]
#[test]
fn the_servers_receive_maximum_holds_publishes_back_and_nothing_else() {
    let mut peer = Peer::limited(options(V5), &[(PropertyId::ReceiveMaximum, 2)]);
    for topic in ["a", "b", "c", "d", "e"] {
        let qos = if topic == "b" {
            QoS::ExactlyOnce
        } else {
            QoS::AtLeastOnce
        };
        peer.publish(topic, qos).unwrap();
    }
    assert_eq!(peer.sent(), ["PUBLISH a q1 #1", "PUBLISH b q2 #2"]);
    assert_eq!((peer.session.queued().0, peer.session.in_flight()), (3, 2));
    peer.publish("z", QoS::AtMostOnce).unwrap();
    peer.give_publish("in", QoS::AtLeastOnce, 1, false);
    peer.session
        .subscribe(peer.now, &[("s", Default::default())], Properties::EMPTY)
        .unwrap();
    assert_eq!(
        peer.sent(),
        ["PUBLISH z q0", "PUBACK #1", "SUBSCRIBE #6 s:0"]
    );
    peer.pubrec(2);
    assert_eq!(peer.sent(), ["PUBREL #2"], "PUBREC gives no quota");
    peer.pubcomp(2);
    assert_eq!(peer.sent(), ["PUBLISH c q1 #3"]);
    peer.puback(3);
    peer.puback(1);
    assert_eq!(peer.sent(), ["PUBLISH d q1 #4", "PUBLISH e q1 #5"]);
    assert_eq!(peer.session.queued(), (0, 0));
}

#[test]
fn our_own_window_holds_where_it_is_smaller() {
    let mut small = options(V4);
    small.max_inflight = 1;
    let mut peer = Peer::connected(small);
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.publish("b", QoS::AtLeastOnce).unwrap();
    assert_eq!(peer.sent(), ["PUBLISH a q1 #1"]);
    peer.puback(1);
    assert_eq!(peer.sent(), ["PUBLISH b q1 #2"]);
}

// [MQTT-3.2.2-15]
#[test]
fn a_packet_too_large_for_the_server_is_refused() {
    // "a", one byte: header 2, topic 3, packet id 2, properties 1, payload 1.
    let mut peer = Peer::limited(options(V5), &[(PropertyId::MaximumPacketSize, 9)]);
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(1)));
    assert_eq!(
        peer.publish("ab", QoS::AtLeastOnce),
        Err(PublishRefused::TooLarge)
    );
    assert_eq!(peer.publish("abc", QoS::AtMostOnce), Ok(Token::NONE));
    assert_eq!(
        peer.publish("abcd", QoS::AtMostOnce),
        Err(PublishRefused::TooLarge)
    );
    assert_eq!(peer.sent(), ["PUBLISH a q1 #1", "PUBLISH abc q0"]);
    let request = [("a/b/c", Default::default())];
    assert_eq!(
        peer.session
            .subscribe(peer.now, &request, Properties::EMPTY),
        Err(RequestRefused::Encode(EncodeError::PacketTooLarge))
    );
    assert_eq!(
        (peer.sent().len(), peer.session.stats().publishes_refused),
        (0, 2)
    );
}

// [MQTT-3.2.2-11] [MQTT-3.2.2-14]
#[test]
fn what_the_server_does_not_support_is_refused() {
    let limits = [
        (PropertyId::MaximumQoS, 1),
        (PropertyId::RetainAvailable, 0),
    ];
    let mut peer = Peer::limited(options(V5), &limits);
    assert_eq!(
        peer.publish("a", QoS::ExactlyOnce),
        Err(PublishRefused::QosNotSupported)
    );
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(1)));
    let kept = Message::new("a", b"", QoS::AtMostOnce, true, Properties::EMPTY, peer.now).unwrap();
    assert_eq!(
        peer.session.publish(peer.now, kept),
        Err(PublishRefused::RetainNotSupported)
    );
    assert_eq!(peer.sent(), ["PUBLISH a q1 #1"]);
}

// [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-9]
#[test]
fn outgoing_aliases_stay_within_the_servers_maximum() {
    let mut with_aliases = options(V5);
    with_aliases.max_topic_aliases = 5;
    let mut peer = Peer::connected(with_aliases.clone());
    peer.publish("a", QoS::AtMostOnce).unwrap();
    assert_eq!(peer.sent(), ["PUBLISH a q0"], "the server takes none");
    let mut peer = Peer::limited(with_aliases, &[(PropertyId::TopicAliasMaximum, 1)]);
    for topic in ["a", "b", "a"] {
        peer.publish(topic, QoS::AtMostOnce).unwrap();
    }
    assert_eq!(
        peer.sent(),
        [
            "PUBLISH a q0 alias=1",
            "PUBLISH b q0",
            "PUBLISH  q0 alias=1"
        ]
    );
}

// [MQTT-3.3.2-7]
#[test]
fn aliases_end_with_the_connection() {
    let mut with_aliases = keeping(V5);
    with_aliases.max_topic_aliases = 5;
    let limits = numbers(&[(PropertyId::TopicAliasMaximum, 9)]);
    let mut peer = Peer::new(with_aliases);
    peer.open(false, limits.get());
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    assert_eq!(
        peer.sent(),
        ["PUBLISH a q1 #1 alias=1", "PUBLISH  q1 #2 alias=1"]
    );
    peer.cut();
    peer.events();
    peer.open(true, limits.get());
    assert_eq!(
        peer.sent(),
        ["PUBLISH a q1 #1 dup alias=1", "PUBLISH  q1 #2 dup alias=1"]
    );
}

#[test]
fn no_alias_where_it_would_make_the_packet_too_large() {
    let mut with_aliases = options(V5);
    with_aliases.max_topic_aliases = 5;
    let limits = [
        (PropertyId::TopicAliasMaximum, 9),
        (PropertyId::MaximumPacketSize, 10),
    ];
    let mut peer = Peer::limited(with_aliases, &limits);
    for topic in ["a", "abcd", "abcd"] {
        peer.publish(topic, QoS::AtMostOnce).unwrap();
    }
    let full = "PUBLISH abcd q0";
    assert_eq!(peer.sent(), ["PUBLISH a q0 alias=1", full, full]);
}

// [MQTT-4.7.0-1] [MQTT-3.3.2-2] [MQTT-3.3.2-1] in MQTT 3.1.1 [MQTT-4.7.1-1] [MQTT-3.3.2-2]
#[test]
fn a_topic_with_wildcards_makes_no_message() {
    for topic in ["a/+", "#", "", "a\0"] {
        let none = Properties::EMPTY;
        assert!(Message::new(topic, b"", QoS::AtMostOnce, false, none, Time(0)).is_err());
    }
}

// [MQTT-3.3.4-6]
#[test]
fn a_forwarded_message_loses_its_subscription_ids() {
    let mut peer = Peer::connected(options(V5));
    let ids = numbers(&[(PropertyId::SubscriptionIdentifier, 5)]);
    let message = Message::new("a", b"x", QoS::AtMostOnce, false, ids.get(), peer.now).unwrap();
    peer.session.publish(peer.now, message).unwrap();
    assert_eq!(peer.sent_bytes(), [0x30, 5, 0, 1, b'a', 0, b'x']);
}

#[test]
fn a_full_outbound_buffer_refuses_until_it_is_sent() {
    let mut small = options(V5);
    small.max_queued_bytes = 1_000;
    let mut peer = Peer::connected(small);
    let big = Message::new(
        "a",
        &[7; 2_000],
        QoS::AtMostOnce,
        false,
        Properties::EMPTY,
        peer.now,
    )
    .unwrap();
    assert_eq!(
        peer.session.publish(peer.now, big),
        Ok(Token::NONE),
        "one always fits"
    );
    assert_eq!(
        peer.publish("b", QoS::AtMostOnce),
        Err(PublishRefused::Full)
    );
    assert_eq!(
        peer.publish("b", QoS::AtLeastOnce),
        Err(PublishRefused::Full)
    );
    peer.sent();
    assert_eq!(peer.publish("b", QoS::AtMostOnce), Ok(Token::NONE));
}
