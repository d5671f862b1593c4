//! CONNECT, CONNACK, refusals and the end of a connection.

use super::*;

// [MQTT-3.1.0-1] in MQTT 3.1.1 [MQTT-3.1.0-1]
#[test]
fn connect_is_the_first_packet() {
    for version in VERSIONS {
        let mut peer = Peer::new(options(version));
        assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(1)));
        assert_eq!(peer.sent(), [""; 0], "nothing before the transport is open");
        peer.session.handle_open(peer.now);
        let connect =
            format!("CONNECT {version} clean=true keep_alive=60 id=\"c\" user=None password=None");
        assert_eq!(peer.sent(), [connect]);
        assert_eq!(peer.session.state(), State::Connecting);
        peer.connack(false, Properties::EMPTY);
        assert_eq!(peer.events(), ["connected present=false"]);
        assert_eq!(peer.sent(), ["PUBLISH a q1 #1"]);
    }
}

// [MQTT-3.1.2-9] [MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.3-1] [MQTT-3.1.3-3]
// in MQTT 3.1.1 [MQTT-3.1.2-9] [MQTT-3.1.2-19] [MQTT-3.1.2-21]
#[test]
fn connect_carries_what_the_options_say() {
    for version in VERSIONS {
        let mut all = options(version);
        all.user_name = Some("u".into());
        all.password = Some(b"pw".to_vec());
        all.keep_alive = 7;
        all.clean_start = false;
        all.will = Some(Will {
            topic: "w/t".into(),
            payload: b"gone".to_vec(),
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: numbers(&[(PropertyId::WillDelayInterval, 9)]),
        });
        all.properties = numbers(&[(PropertyId::ReceiveMaximum, 11)]);
        all.max_packet_size = 5_000;
        let mut peer = Peer::new(all);
        peer.session.handle_open(peer.now);
        let bytes = peer.sent_bytes();
        let Ok(Split::Frame(frame)) = split(&bytes, MAX_PACKET_SIZE) else {
            panic!("no frame");
        };
        let Ok(Packet::Connect(connect)) = Packet::decode(frame, version) else {
            panic!("no CONNECT");
        };
        let will = connect.will.expect("a will");
        assert_eq!((will.topic, will.payload), ("w/t", &b"gone"[..]));
        assert_eq!((will.qos, will.retain), (QoS::ExactlyOnce, true));
        assert_eq!(
            (connect.user_name, connect.password),
            (Some("u"), Some(&b"pw"[..]))
        );
        assert_eq!((connect.keep_alive, connect.clean_start), (7, false));
        let number = |id| connect.properties.number(id);
        let expected = |n| version.is_v5().then_some(n);
        assert_eq!(number(PropertyId::ReceiveMaximum), expected(11));
        assert_eq!(number(PropertyId::MaximumPacketSize), expected(5_000));
        assert_eq!(
            will.properties.number(PropertyId::WillDelayInterval),
            expected(9)
        );
    }
}

// [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-2.2.2-1]
// in MQTT 3.1.1 [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.3-4] [MQTT-3.1.3-10] [MQTT-3.1.3-11]
#[test]
fn connect_byte_by_byte() {
    let mut all = options(V4);
    (all.client_id, all.keep_alive) = ("ö".into(), 0x0102);
    (all.user_name, all.password) = (Some("ü".into()), Some(vec![0, 0xFF]));
    all.will = Some(Will {
        topic: "wä".into(),
        payload: vec![9],
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: PropertiesBuf::default(),
    });
    let mut peer = Peer::new(all.clone());
    peer.session.handle_open(peer.now);
    let mut expected = b"\x10\x1E\0\x04MQTT\x04\xCE\x01\x02\0\x02\xC3\xB6".to_vec();
    expected.extend(b"\0\x03w\xC3\xA4\0\x01\x09\0\x02\xC3\xBC\0\x02\0\xFF");
    assert_eq!(peer.sent_bytes(), expected);
    all.version = V5;
    let mut peer = Peer::new(all);
    peer.session.handle_open(peer.now);
    (expected[1], expected[8]) = (0x20, 5);
    expected.insert(12, 0); // no properties
    expected.insert(17, 0); // no will properties
    assert_eq!(peer.sent_bytes(), expected);
}

// [MQTT-1.5.4-2] in MQTT 3.1.1 [MQTT-1.5.3-2]
#[test]
fn a_null_character_is_refused_in_every_text() {
    for place in 0..3 {
        let mut options = options(V5);
        match place {
            0 => options.client_id = "a\0".into(),
            1 => options.user_name = Some("a\0".into()),
            _ => {
                options.will = Some(Will {
                    topic: "a\0".into(),
                    payload: Vec::new(),
                    qos: QoS::AtMostOnce,
                    retain: false,
                    properties: PropertiesBuf::default(),
                });
            }
        }
        assert!(ClientSession::new(options).is_err(), "place {place}");
    }
}

// [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-16] [MQTT-3.1.2-18]
// in MQTT 3.1.1 [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15] [MQTT-3.1.2-18] [MQTT-3.1.2-20]
#[test]
fn connect_flags_are_zero_for_what_is_not_there() {
    for version in [V4, V5] {
        let mut peer = Peer::new(options(version));
        peer.session.handle_open(peer.now);
        // Fixed header 2, protocol name 6, level 1.
        assert_eq!(peer.sent_bytes()[9], 0b0000_0010);
    }
}

#[test]
fn options_that_no_connect_can_carry_are_refused_at_once() {
    // 3.1.1 [MQTT-3.1.3-7]
    let mut empty = options(V4);
    empty.client_id = String::new();
    assert!(ClientSession::new(empty.clone()).is_ok());
    empty.clean_start = false;
    assert!(ClientSession::new(empty.clone()).is_err());
    empty.version = V5;
    assert!(ClientSession::new(empty).is_ok());
    // 3.1.1 [MQTT-3.1.2-22]
    let mut password = options(V4);
    password.password = Some(b"p".to_vec());
    assert!(ClientSession::new(password.clone()).is_err());
    password.version = V5;
    assert!(ClientSession::new(password).is_ok());
    let mut alias = options(V5);
    alias.properties = numbers(&[(PropertyId::TopicAlias, 1)]);
    assert!(ClientSession::new(alias).is_err());
    let mut will = options(V5);
    will.will = Some(Will {
        topic: "a/#".into(),
        payload: Vec::new(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: PropertiesBuf::default(),
    });
    assert!(ClientSession::new(will).is_err());
}

#[test]
fn options_broken_later_end_the_next_connection() {
    let mut peer = Peer::new(options(V4));
    peer.session.options_mut().client_id = String::new();
    peer.session.options_mut().clean_start = false;
    peer.session.handle_open(peer.now);
    let error =
        EncodeError::NotInThisVersion("an empty client identifier, or one without Clean Session");
    let event = format!("disconnected {:?} 0x80", Cause::Options(error));
    peer.ends_with(&[], &event);
}

#[test]
fn debug_hides_the_password() {
    let mut secret = options(V5);
    secret.user_name = Some("u".into());
    secret.password = Some(b"sesame".to_vec());
    let text = format!("{secret:?}");
    assert!(
        !text.contains("sesame") && !text.contains("115, 101"),
        "{text}"
    );
}

// [MQTT-4.13.2-1]
#[test]
fn a_refusal_closes() {
    for version in VERSIONS {
        let mut peer = Peer::new(options(version));
        peer.session.handle_open(peer.now);
        peer.sent();
        peer.give(Packet::ConnAck(ConnAck {
            session_present: false,
            reason: ReasonCode::NOT_AUTHORIZED,
            properties: Properties::EMPTY,
        }));
        peer.ends_with(&[], "refused 0x87");
    }
}

#[test]
fn a_refusal_in_the_format_of_an_older_version_is_one() {
    for (byte, reason) in [(1, "0x84"), (2, "0x85"), (5, "0x87")] {
        let mut peer = Peer::new(options(V5));
        peer.session.handle_open(peer.now);
        peer.sent();
        peer.session.handle_input(peer.now, &[0x20, 2, 0, byte]);
        peer.ends_with(&[], &format!("refused {reason}"));
    }
    let mut peer = Peer::new(options(V5));
    peer.session.options_mut().version = V4;
    peer.open(false, Properties::EMPTY);
    assert_eq!(peer.session.state(), State::Connected);
}

#[test]
fn an_assigned_client_id_is_used_from_then_on() {
    let mut empty = options(V5);
    empty.client_id = String::new();
    let mut peer = Peer::new(empty);
    peer.session.handle_open(peer.now);
    let mut properties = PropertiesBuf::default();
    let assigned = Value::Utf8String("auto-7");
    properties
        .push(PropertyId::AssignedClientIdentifier, assigned)
        .unwrap();
    peer.sent();
    peer.connack(false, properties.get());
    let Some(Event::Connected(connected)) = peer.session.poll_event() else {
        panic!("not connected");
    };
    assert_eq!(connected.assigned_client_id.as_deref(), Some("auto-7"));
    assert_eq!(connected.properties, properties);
    peer.cut();
    peer.session.handle_open(peer.now);
    assert!(peer.sent()[0].contains("id=\"auto-7\""));
}

#[test]
fn no_connack_in_time_closes() {
    let mut peer = Peer::new(options(V5));
    peer.session.handle_open(peer.now);
    peer.sent();
    peer.pass(29_999);
    assert_eq!(peer.session.state(), State::Connecting);
    peer.pass(1);
    peer.ends_with(&[], "disconnected Timeout(Connect) 0x80");
    let mut patient = options(V5);
    patient.connect_timeout_ms = 0;
    let mut peer = Peer::new(patient);
    peer.session.handle_open(peer.now);
    assert_eq!(peer.session.poll_timeout(), None);
}

// [MQTT-3.14.4-1] [MQTT-3.14.4-2] in MQTT 3.1.1 [MQTT-3.14.4-1] [MQTT-3.14.4-2]
#[test]
fn after_disconnect_nothing_is_sent() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        peer.publish("a", QoS::AtMostOnce).unwrap();
        let normal = ReasonCode::NORMAL_DISCONNECTION;
        peer.session
            .disconnect(peer.now, normal, Properties::EMPTY)
            .unwrap();
        peer.session
            .disconnect(peer.now, normal, Properties::EMPTY)
            .unwrap();
        assert_eq!(peer.publish("b", QoS::AtMostOnce), Ok(Token::NONE));
        assert_eq!(
            peer.session
                .unsubscribe(peer.now, &["a"], Properties::EMPTY),
            Err(RequestRefused::NotConnected)
        );
        peer.give_publish("c", QoS::AtLeastOnce, 1, false);
        peer.ends_with(&["PUBLISH a q0", "DISCONNECT"], "disconnected Local");
        assert_eq!(peer.session.queued().0, 1, "what came later waits");
    }
}

#[test]
fn disconnect_before_connack() {
    let mut peer = Peer::new(options(V5));
    peer.session.handle_open(peer.now);
    peer.sent();
    let normal = ReasonCode::NORMAL_DISCONNECTION;
    peer.session
        .disconnect(peer.now, normal, Properties::EMPTY)
        .unwrap();
    peer.ends_with(&["DISCONNECT"], "disconnected Local");
    assert!(
        peer.session
            .disconnect(peer.now, normal, Properties::EMPTY)
            .is_ok()
    );
    assert_eq!(peer.events(), [""; 0], "no connection, nothing to end");
}

// [MQTT-3.14.2-1] [MQTT-3.14.2-4]
#[test]
fn disconnect_with_reason_and_properties() {
    let limits = [(PropertyId::MaximumPacketSize, 20)];
    let mut peer = Peer::limited(options(V5), &limits);
    let with_will = ReasonCode(0x04);
    let mut long = PropertiesBuf::default();
    long.push(
        PropertyId::ReasonString,
        Value::Utf8String("much too long to fit in there"),
    )
    .unwrap();
    let mut try_it = |reason, properties: &PropertiesBuf| {
        peer.session.disconnect(peer.now, reason, properties.get())
    };
    assert_eq!(
        try_it(with_will, &long),
        Err(RequestRefused::Encode(EncodeError::PacketTooLarge))
    );
    let none = PropertiesBuf::default();
    assert!(
        try_it(ReasonCode::SERVER_BUSY, &none).is_err(),
        "a server's code"
    );
    let alias = numbers(&[(PropertyId::TopicAlias, 1)]);
    assert!(try_it(with_will, &alias).is_err());
    let expiry = numbers(&[(PropertyId::SessionExpiryInterval, 5)]);
    assert!(try_it(with_will, &expiry).is_err(), "CONNECT had none");
    assert_eq!(try_it(with_will, &none), Ok(()));
    peer.ends_with(&["DISCONNECT 0x04"], "disconnected Local 0x04");
    let mut peer = Peer::connected(keeping(V5));
    peer.session
        .disconnect(peer.now, with_will, expiry.get())
        .unwrap();
    peer.ends_with(&["DISCONNECT 0x04"], "disconnected Local 0x04");
}

// [MQTT-4.13.2-1]
#[test]
fn disconnect_from_the_server() {
    let mut peer = Peer::connected(options(V5));
    let mut properties = PropertiesBuf::default();
    properties
        .push(PropertyId::ServerReference, Value::Utf8String("other:1883"))
        .unwrap();
    peer.publish("a", QoS::AtMostOnce).unwrap();
    peer.give(Packet::Disconnect(crate::codec::Disconnect {
        reason: ReasonCode::USE_ANOTHER_SERVER,
        properties: properties.get(),
    }));
    assert!(peer.session.wants_close() && peer.sent().is_empty());
    peer.cut();
    let Some(Event::Disconnected {
        cause,
        reason,
        properties: got,
    }) = peer.session.poll_event()
    else {
        panic!("no event");
    };
    assert_eq!(
        (cause, reason),
        (Cause::Server, ReasonCode::USE_ANOTHER_SERVER)
    );
    assert_eq!(got, properties);
    assert!(
        peer.session.stats().unsent_bytes > 0,
        "the QoS 0 message is lost and counted"
    );
}

#[test]
fn a_peer_that_never_reads_can_not_hold_the_end_up() {
    let mut peer = Peer::connected(options(V5));
    let normal = ReasonCode::NORMAL_DISCONNECTION;
    peer.session
        .disconnect(peer.now, normal, Properties::EMPTY)
        .unwrap();
    peer.pass(FLUSH_TIMEOUT_MS - 1);
    assert!(!peer.session.outbound().is_empty());
    peer.pass(1);
    assert!(peer.session.outbound().is_empty() && peer.session.wants_close());
    assert_eq!(peer.session.poll_timeout(), None);
}

#[test]
fn a_transport_that_never_opened() {
    let mut peer = Peer::new(options(V5));
    peer.cut();
    assert_eq!(peer.events(), ["disconnected Lost 0x80"]);
    peer.open(false, Properties::EMPTY);
    peer.session.handle_open(peer.now);
    assert_eq!(
        peer.events(),
        ["disconnected Lost 0x80"],
        "opened over an open one"
    );
    assert_eq!(peer.session.state(), State::Connecting);
}
