//! Messages that wait: offline, or for room in the window.

use super::*;

#[test]
fn offline_messages_go_out_in_order_once_connected() {
    for version in VERSIONS {
        let mut peer = Peer::new(options(version));
        peer.publish("a", QoS::AtLeastOnce).unwrap();
        peer.publish("b", QoS::AtMostOnce).unwrap();
        peer.publish("c", QoS::ExactlyOnce).unwrap();
        assert_eq!(peer.session.queued().0, 3);
        assert!(peer.session.pending().eq([Token(1), Token(2)]));
        peer.session.handle_open(peer.now);
        peer.publish("d", QoS::AtMostOnce).unwrap();
        peer.sent();
        peer.connack(false, Properties::EMPTY);
        assert_eq!(
            peer.sent(),
            [
                "PUBLISH a q1 #1",
                "PUBLISH b q0",
                "PUBLISH c q2 #2",
                "PUBLISH d q0"
            ]
        );
        assert_eq!(peer.session.queued(), (0, 0));
    }
}

#[test]
fn the_next_token_is_foretold() {
    let mut small = options(V5);
    small.max_inflight = 1;
    small.max_queued_messages = 2;
    let mut peer = Peer::new(small);
    let foretold = |peer: &Peer, qos| {
        let message = Message::new("a", b"", qos, false, Properties::EMPTY, peer.now).unwrap();
        peer.session.next_token(&message)
    };
    peer.open(false, Properties::EMPTY);
    let qos = [0, 1, 2, 0, 1, 2].map(|qos| QoS::from_bits(qos).unwrap());
    let mut refused = 0;
    for qos in qos {
        let next = foretold(&peer, qos);
        assert_eq!(next, peer.publish("a", qos));
        refused += usize::from(next == Err(PublishRefused::Full));
    }
    assert_eq!(refused, 1);
    let at_most_once = foretold(&peer, QoS::AtMostOnce);
    assert_eq!(at_most_once, Ok(Token::NONE), "QoS 0 waits for nobody here");
}

#[test]
fn a_token_that_was_skipped_is_there_for_what_it_was_kept_for() {
    let mut peer = Peer::new(options(V5));
    peer.open(false, Properties::EMPTY);
    let kept = peer.session.skip_token().unwrap();
    assert_eq!(kept, Token(1));
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(2)));
    let now = peer.now;
    let message = Message::new("b", b"", QoS::AtLeastOnce, false, Properties::EMPTY, now).unwrap();
    let taken = peer
        .session
        .with_token(kept, |session| session.publish(now, message.clone()));
    assert_eq!(taken, Ok(kept));
    assert_eq!(peer.publish("c", QoS::AtLeastOnce), Ok(Token(3)));
    // It is in use by now, so the next that is free stands in.
    let taken = peer
        .session
        .with_token(kept, |session| session.publish(now, message));
    assert_eq!(taken, Ok(Token(4)));
}

#[test]
fn clearing_the_outbox_drops_what_was_not_sent() {
    let mut small = options(V5);
    small.max_inflight = 1;
    let mut peer = Peer::new(small);
    peer.open(false, Properties::EMPTY);
    for topic in ["a", "b"] {
        peer.publish(topic, QoS::AtLeastOnce).unwrap();
    }
    peer.session.clear_outbox();
    assert!(peer.session.pending().eq([Token(1)]));
    assert_eq!(peer.session.queued(), (0, 0));
    assert!(matches!(
        peer.session.poll_event(),
        Some(Event::Dropped {
            token: Token(2),
            why: DropReason::Forgotten
        })
    ));
}

#[test]
fn qos_0_never_overtakes_qos_0() {
    let mut small = options(V5);
    small.max_inflight = 1;
    let mut peer = Peer::new(small);
    for (topic, qos) in [("a", 1), ("b", 1), ("c", 0)] {
        peer.publish(topic, QoS::from_bits(qos).unwrap()).unwrap();
    }
    peer.open(false, Properties::EMPTY);
    assert_eq!(peer.sent(), ["PUBLISH a q1 #1"]);
    peer.publish("d", QoS::AtMostOnce).unwrap();
    assert_eq!(
        peer.sent(),
        [""; 0],
        "c waits behind b, so d waits behind c"
    );
    peer.puback(1);
    assert_eq!(
        peer.sent(),
        ["PUBLISH b q1 #2", "PUBLISH c q0", "PUBLISH d q0"]
    );
    peer.publish("e", QoS::AtMostOnce).unwrap();
    assert_eq!(peer.sent(), ["PUBLISH e q0"]);
}

#[test]
fn offline_can_be_refused() {
    let mut online_only = options(V5);
    online_only.publish_offline = false;
    let mut peer = Peer::new(online_only);
    let refused = Err(PublishRefused::NotConnected);
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), refused);
    peer.session.handle_open(peer.now);
    assert_eq!(peer.publish("a", QoS::AtMostOnce), refused);
    peer.connack(false, Properties::EMPTY);
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(1)));
}

#[test]
fn the_outbox_is_bounded_in_messages_and_bytes() {
    let mut few = options(V5);
    few.max_queued_messages = 2;
    let mut peer = Peer::new(few);
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(1)));
    assert_eq!(peer.publish("a", QoS::AtMostOnce), Ok(Token::NONE));
    assert_eq!(
        peer.publish("a", QoS::AtLeastOnce),
        Err(PublishRefused::Full)
    );
    assert_eq!(
        peer.publish("a", QoS::AtMostOnce),
        Err(PublishRefused::Full)
    );
    assert!(
        peer.session.pending().eq([Token(1)]),
        "the refused one holds no identifier"
    );
    let mut light = options(V5);
    light.max_queued_bytes = message("a", QoS::AtLeastOnce).memory();
    let mut peer = Peer::new(light);
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(1)));
    assert_eq!(
        peer.publish("a", QoS::AtLeastOnce),
        Err(PublishRefused::Full)
    );
    assert_eq!(peer.session.stats().publishes_refused, 1);
}

#[test]
fn without_an_outbox_a_connection_still_carries() {
    let mut none = options(V5);
    (none.max_queued_messages, none.max_queued_bytes) = (0, 0);
    let mut peer = Peer::new(none);
    assert_eq!(
        peer.publish("a", QoS::AtLeastOnce),
        Err(PublishRefused::Full)
    );
    peer.open(false, Properties::EMPTY);
    assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(2)));
    assert_eq!(
        peer.publish("b", QoS::AtMostOnce),
        Err(PublishRefused::Full)
    );
    peer.sent();
    assert_eq!(peer.publish("b", QoS::AtMostOnce), Ok(Token::NONE));
}

#[test]
fn packet_identifiers_run_out_with_an_error() {
    let mut many = options(V5);
    many.max_queued_messages = usize::MAX;
    let mut peer = Peer::new(many);
    let message = message("a", QoS::AtLeastOnce);
    for _ in 0..crate::session::packet_id::MAX_IDS_IN_USE {
        peer.session.publish(peer.now, message.clone()).unwrap();
    }
    let refused = peer.session.publish(peer.now, message.clone());
    assert_eq!(refused, Err(PublishRefused::NoPacketId));
    peer.open(false, Properties::EMPTY);
    let filter = [("a", Default::default())];
    let refused = peer.session.subscribe(peer.now, &filter, Properties::EMPTY);
    assert_eq!(refused, Err(RequestRefused::NoPacketId));
    peer.puback(1);
    let taken = peer.session.subscribe(peer.now, &filter, Properties::EMPTY);
    assert!(taken.is_ok());
}

#[test]
fn expiry_counts_down_in_the_outbox() {
    for version in [V4, V5] {
        let mut peer = Peer::new(options(version));
        for (topic, seconds) in [("a", 10), ("b", 100)] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                peer.session
                    .publish(peer.now, expiring(topic, qos, seconds))
                    .unwrap();
            }
        }
        peer.pass(10_000);
        peer.open(false, Properties::EMPTY);
        let left = if version.is_v5() { " expiry=90" } else { "" };
        assert_eq!(
            peer.sent(),
            [
                format!("PUBLISH b q0{left}"),
                format!("PUBLISH b q1 #2{left}")
            ]
        );
        assert_eq!(peer.events(), ["dropped #1 Expired"]);
        assert_eq!(peer.session.stats().dropped(DropReason::Expired), 2);
    }
}

#[test]
fn expired_messages_make_room() {
    let mut few = options(V5);
    few.max_queued_messages = 2;
    let mut peer = Peer::new(few);
    peer.session
        .publish(peer.now, expiring("a", QoS::AtLeastOnce, 1))
        .unwrap();
    peer.publish("b", QoS::AtLeastOnce).unwrap();
    assert_eq!(
        peer.publish("c", QoS::AtLeastOnce),
        Err(PublishRefused::Full)
    );
    peer.pass(1_000);
    assert!(peer.publish("c", QoS::AtLeastOnce).is_ok());
    assert_eq!(peer.events(), ["dropped #1 Expired"]);
    assert!(!peer.session.is_pending(Token(1)));
}

#[test]
fn what_the_server_turns_out_not_to_take_is_dropped_and_told() {
    let mut peer = Peer::new(options(V5));
    peer.publish("a", QoS::ExactlyOnce).unwrap();
    peer.publish("a/long/topic", QoS::AtLeastOnce).unwrap();
    peer.publish("a/long/topic", QoS::AtMostOnce).unwrap();
    peer.publish("b", QoS::AtLeastOnce).unwrap();
    let limits = [
        (PropertyId::MaximumQoS, 1),
        (PropertyId::MaximumPacketSize, 12),
    ];
    peer.open(false, numbers(&limits).get());
    assert_eq!(peer.sent(), ["PUBLISH b q1 #3"]);
    assert_eq!(
        peer.events(),
        ["dropped #1 NotSupported", "dropped #2 TooLarge"]
    );
    assert_eq!(peer.session.stats().dropped(DropReason::TooLarge), 2);
    assert!(peer.session.pending().eq([Token(3)]));
}

#[test]
fn forget_ends_everything() {
    let mut peer = Peer::connected(keeping(V5));
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.give_publish("in", QoS::ExactlyOnce, 5, false);
    assert!(!peer.session.forget(), "not while connected");
    peer.cut();
    peer.publish("b", QoS::AtLeastOnce).unwrap();
    peer.publish("c", QoS::AtMostOnce).unwrap();
    peer.events();
    assert!(peer.session.forget());
    assert_eq!(
        peer.events(),
        ["dropped #1 Forgotten", "dropped #2 Forgotten"]
    );
    assert_eq!(peer.session.stats().dropped(DropReason::Forgotten), 3);
    assert_eq!(
        (peer.session.queued(), peer.session.stored().count()),
        ((0, 0), 0)
    );
    peer.open(true, Properties::EMPTY);
    peer.publish("d", QoS::AtMostOnce).unwrap();
    assert_eq!(peer.sent(), ["PUBLISH d q0"]);
}

#[test]
fn a_full_outbox_can_give_up_its_oldest() {
    let mut few = options(V5);
    (few.max_queued_messages, few.drop_oldest) = (2, true);
    let mut peer = Peer::new(few);
    let now = peer.now;
    let noted = |peer: &mut Peer, topic, qos, note| {
        peer.session.publish_noted(now, message(topic, qos), note)
    };
    assert_eq!(noted(&mut peer, "a", QoS::AtMostOnce, 7), Ok(Token::NONE));
    assert_eq!(noted(&mut peer, "b", QoS::AtLeastOnce, 8), Ok(Token(1)));
    assert_eq!(noted(&mut peer, "c", QoS::AtMostOnce, 9), Ok(Token::NONE));
    assert_eq!(peer.events(), ["not sent 7 Overflow"]);
    assert_eq!(noted(&mut peer, "d", QoS::ExactlyOnce, 0), Ok(Token(2)));
    assert_eq!(peer.events(), ["dropped #1 Overflow"]);
    assert_eq!(peer.session.stats().dropped(DropReason::Overflow), 2);
    peer.session.options_mut().max_queued_bytes = 1;
    assert_eq!(
        peer.publish("too large", QoS::AtLeastOnce),
        Err(PublishRefused::Full)
    );
    assert_eq!(peer.session.queued().0, 2, "nothing gave way for it");
    peer.open(false, Properties::EMPTY);
    assert_eq!(peer.sent(), ["PUBLISH c q0", "PUBLISH d q2 #2"]);
    assert_eq!(peer.events(), ["sent 9"]);
}

#[test]
fn qos_0_with_a_note_is_told_of_once() {
    let mut peer = Peer::connected(options(V4));
    let (now, qos) = (peer.now, QoS::AtMostOnce);
    let published = peer.session.publish_noted(now, message("a", qos), 5);
    assert_eq!(published, Ok(Token::NONE));
    assert!(peer.events().is_empty(), "nobody has taken it yet");
    peer.sent();
    assert_eq!(peer.events(), ["sent 5"]);
    peer.publish("b", qos).unwrap();
    peer.sent();
    assert!(peer.events().is_empty());
    peer.session
        .publish_noted(now, message("c", qos), 6)
        .unwrap();
    peer.cut();
    assert_eq!(
        peer.events(),
        ["not sent 6 ConnectionLost", "disconnected Lost 0x80"]
    );
    peer.session
        .publish_noted(now, message("d", qos), 7)
        .unwrap();
    assert!(peer.events().is_empty(), "it waits");
    peer.session.forget();
    assert_eq!(peer.events(), ["not sent 7 Forgotten"]);
}
