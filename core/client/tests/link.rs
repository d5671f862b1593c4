//! Links against a scripted server.
#![allow(missing_docs)]

mod peer;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peer::{Conn, Events, Server, deadline, open};
use ternmq_client::link::{Event, Journal, Link, Name, Observers, Silent, Status, Tap};
use ternmq_client::{
    Backoff, ConnectError, ConnectOptions, Limits, PropertiesBuf, PropertyId,
    Status as ClientStatus, Value, blocking,
};
use ternmq_protocol::client::{Cause, DropReason, Event as SessionEvent, PublishRefused};
use ternmq_protocol::codec::{Packet, Properties, QoS, SubscriptionOptions};
use ternmq_protocol::outbound::Outbound;
use ternmq_protocol::{Message, ProtocolVersion, ReasonCode, Time};

fn message(topic: &str, payload: &[u8], qos: QoS) -> Message {
    Message::new(topic, payload, qos, false, Properties::EMPTY, Time(0)).unwrap()
}

fn wait_for(link: &Link, status: Status) {
    let seen = link.wait(deadline(), |s| (s.status() == status).then_some(()));
    assert!(seen.is_some(), "{status:?}, but it is {link:?}");
}

fn connect_error(link: &Link) -> ConnectError {
    link.wait(deadline(), |s| s.connect_error().cloned())
        .expect("an end of the attempt")
}

fn quick() -> Backoff {
    Backoff {
        min: Duration::from_millis(1),
        max: Duration::from_millis(5),
        ..Backoff::default()
    }
}

// [MQTT-4.2-1] in MQTT 3.1.1 [MQTT-7.1.2-1]
#[test]
fn connects_publishes_waits_and_disconnects() {
    let server = Server::start();
    let (link, bell) = open(server.options());
    link.connect().unwrap();
    assert!(matches!(link.connect(), Err(ConnectError::Busy)));
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    bell.wait_for(1);

    let token = link.publish(message("a", b"1", QoS::AtLeastOnce)).unwrap();
    let (id, topic, payload, dup) = conn.expect_publish();
    assert_eq!(
        (id, topic.as_str(), payload.as_slice(), dup),
        (token.0, "a", &b"1"[..], false)
    );
    assert!(link.is_pending(token));
    assert_eq!(link.pending(), [token]);
    conn.send_puback(id);
    let done = link.wait(deadline(), |s| (!s.is_pending(token)).then_some(()));
    assert!(done.is_some());

    assert!(
        link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY)
            .unwrap()
    );
    conn.expect_disconnect();
    conn.expect_end();
    wait_for(&link, Status::Closed);
    assert_eq!(bell.rung(), 1, "told once while nobody takes the events");
    let mut events = Vec::new();
    link.take_events(&mut events);
    assert!(matches!(
        events.as_slice(),
        [
            Event::ConnectBegun,
            Event::Session(SessionEvent::Connected(_)),
            Event::Session(SessionEvent::Published { .. }),
            Event::Session(SessionEvent::Disconnected {
                cause: Cause::Local,
                ..
            })
        ]
    ));
    let stats = link.stats();
    assert_eq!((stats.connects, stats.session.messages_sent), (1, 1));
}

#[test]
fn a_refusal_is_an_error_with_its_reason() {
    let server = Server::start();
    let (link, _) = open(server.options());
    link.connect().unwrap();
    let mut conn = server.accept();
    conn.expect_connect();
    conn.send_connack(false, ReasonCode::BANNED);
    conn.expect_end();
    assert_eq!(connect_error(&link).reason(), Some(ReasonCode::BANNED));
    assert_eq!(link.status(), Status::Closed);
    let mut events = Events::of(&link);
    assert!(matches!(
        events.next(),
        Event::ConnectFailed { retry: None, .. }
    ));
}

#[test]
fn a_server_that_closes_or_talks_nonsense_instead_of_answering() {
    let server = Server::start();
    let (link, _) = open(server.options());
    link.connect().unwrap();
    server.accept().expect_connect();
    assert!(matches!(connect_error(&link), ConnectError::Closed));

    link.connect().unwrap();
    let mut conn = server.accept();
    conn.send(b"\0 is no packet type");
    assert!(matches!(connect_error(&link), ConnectError::Protocol(_)));
}

fn refer(conn: &mut Conn, packet: u8, server: &str) {
    let reference = server.trim_start_matches("mqtt://").as_bytes();
    let mut body = match packet {
        0x20 => vec![0, ReasonCode::USE_ANOTHER_SERVER.0],
        _ => vec![ReasonCode::SERVER_MOVED.0],
    };
    body.push(reference.len() as u8 + 3);
    body.extend_from_slice(&[0x1C, 0, reference.len() as u8]);
    body.extend_from_slice(reference);
    conn.send(&[&[packet, body.len() as u8], &body[..]].concat());
}

#[test]
fn a_client_that_follows_goes_where_the_server_sends_it() {
    let (server, other) = (Server::start(), Server::start());
    for follows in [false, true] {
        let mut options = server.options().reconnect(quick());
        options.follow_redirects = follows;
        let (link, _) = open(options);
        link.connect().unwrap();
        let mut conn = server.accept();
        conn.expect_connect();
        refer(&mut conn, 0x20, &other.uri());
        if !follows {
            let refused = Some(ReasonCode::USE_ANOTHER_SERVER);
            assert_eq!(connect_error(&link).reason(), refused);
            continue;
        }
        let mut conn = other.accept_mqtt(false);
        wait_for(&link, Status::Connected);
        refer(&mut conn, 0xE0, &server.uri());
        let _conn = server.accept_mqtt(false);
        wait_for(&link, Status::Connected);
    }
}

#[test]
fn servers_that_name_each_other_are_given_up() {
    let server = Server::start();
    let mut options = server.options();
    options.follow_redirects = true;
    let (link, _) = open(options);
    link.connect().unwrap();
    for _ in 0..5 {
        let mut conn = server.accept();
        conn.expect_connect();
        refer(&mut conn, 0x20, &server.uri());
        conn.expect_end();
    }
    let refused = Some(ReasonCode::USE_ANOTHER_SERVER);
    assert_eq!(connect_error(&link).reason(), refused);
}

#[test]
fn a_challenge_is_answered_before_the_connection_is_accepted() {
    let server = Server::start();
    let mut options = server.options();
    let method = Value::Utf8String("riddle");
    let properties = &mut options.session.properties;
    properties
        .push(PropertyId::AuthenticationMethod, method)
        .unwrap();
    let client = blocking::Client::open(options).unwrap();
    let mut conn = server.accept();
    conn.expect_connect();
    let riddle = b"\xF0\x12\x18\x10\x15\0\x06riddle\x16\0\x04why?";
    conn.send(riddle);
    let challenge = client.challenge().expect("a challenge in time");
    let question = challenge
        .properties
        .get()
        .binary(PropertyId::AuthenticationData);
    assert_eq!(question, Some(&b"why?"[..]));
    let mut answer = PropertiesBuf::default();
    let because = Value::BinaryData(b"because");
    answer
        .push(PropertyId::AuthenticationData, because)
        .unwrap();
    client.authenticate(challenge.reason, &answer).unwrap();
    conn.expect(|packet| match packet {
        Packet::Auth(auth) => {
            let data = auth.properties.binary(PropertyId::AuthenticationData);
            assert_eq!(data, Some(&b"because"[..]));
        }
        other => panic!("not an AUTH: {other:?}"),
    });
    conn.send(b"\x20\x0C\0\0\x09\x15\0\x06riddle");
    let connected = client.wait_for(|status| status == ClientStatus::Connected);
    assert_eq!(connected, Some(ClientStatus::Connected));
}

#[test]
fn a_silent_server_costs_the_connect_timeout() {
    let server = Server::start();
    let (link, _) = open(server.options().connect_timeout(Duration::from_millis(50)));
    link.connect().unwrap();
    let mut conn = server.accept();
    assert!(matches!(connect_error(&link), ConnectError::Timeout));
    conn.expect_connect();
    conn.expect_end();
}

#[test]
fn endpoints_are_tried_in_order_and_names_are_looked_up() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("mqtt://{}", closed.local_addr().unwrap());
    drop(closed);
    let server = Server::start();
    let by_name = server.uri().replace("127.0.0.1", "localhost");
    let options = ConnectOptions::from_uri(&nobody)
        .unwrap()
        .or_uri("mqtt://no-such-host.invalid")
        .unwrap()
        .or_uri(&by_name)
        .unwrap();
    let (link, _) = open(options);
    link.connect().unwrap();
    let _conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
}

#[test]
fn the_error_of_the_last_endpoint_is_told() {
    let (link, _) = open(ConnectOptions::from_uri("mqtt://no-such-host.invalid").unwrap());
    link.connect().unwrap();
    let error = connect_error(&link);
    assert!(
        matches!(&error, ConnectError::Resolve { host, .. } if host == "no-such-host.invalid"),
        "{error:?}"
    );
    let (link, _) = open(ConnectOptions::new(Vec::new()));
    link.connect().unwrap();
    assert!(matches!(connect_error(&link), ConnectError::NoEndpoint));
}

#[test]
fn falls_back_from_3_1_1_to_3_1_and_begins_anew_with_3_1_1() {
    let server = Server::start();
    let mut options = server.options().version(ProtocolVersion::V3_1_1);
    options.version_fallback = true;
    options.reconnect = Some(quick());
    let (link, _) = open(options);
    link.connect().unwrap();
    for _ in 0..2 {
        let mut conn = server.accept();
        conn.expect_connect();
        assert_eq!(conn.version, ProtocolVersion::V3_1_1);
        conn.send_connack(false, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
        conn.expect_end();
        let mut conn = server.accept_mqtt(false);
        assert_eq!(conn.version, ProtocolVersion::V3_1);
        wait_for(&link, Status::Connected);
        // The connection is lost here, and the next one begins with 3.1.1 again.
        conn.send(&[0xFF]);
    }
}

#[test]
fn reconnects_resubscribes_and_sends_again() {
    let server = Server::start();
    let (link, _) = open(server.options().reconnect(quick()));
    let mut events = Events::of(&link);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Connected(_))
    ));
    let requests = [
        ("a/+", SubscriptionOptions::default()),
        ("b", SubscriptionOptions::default()),
    ];
    link.subscribe(&requests, Properties::EMPTY).unwrap();
    assert_eq!(conn.grant(), ["a/+", "b"]);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Subscribed { .. })
    ));
    let token = link.publish(message("t", b"x", QoS::AtLeastOnce)).unwrap();
    conn.expect_publish();
    drop(conn);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Disconnected {
            cause: Cause::Lost,
            ..
        })
    ));
    assert!(matches!(
        link.status(),
        Status::Waiting | Status::Connecting
    ));

    let mut conn = server.accept_mqtt(false);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Connected(_))
    ));
    let (id, topic, ..) = conn.expect_publish();
    assert_eq!((id, topic.as_str()), (token.0, "t"));
    assert_eq!(conn.grant(), ["a/+", "b"]);
    conn.send_puback(id);
    let next = events.next();
    assert!(
        matches!(next, Event::Session(SessionEvent::Published { token: t, .. }) if t == token),
        "the SUBACK of a repeated subscription is nobody's business: {next:?}"
    );
    // With its session kept, the server needs nothing again.
    link.reconfigure(|options| options.session.clean_start = false);
    drop(conn);
    let mut conn = server.accept_mqtt(true);
    link.wait(deadline(), |s| {
        (s.status() == Status::Connected).then_some(())
    })
    .unwrap();
    link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY)
        .unwrap();
    conn.expect_disconnect();
    conn.expect_end();
}

#[test]
fn a_taken_over_session_is_left_to_the_other_client() {
    let server = Server::start();
    let (link, _) = open(server.options().reconnect(quick()));
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    conn.send(&[0xE0, 1, ReasonCode::SESSION_TAKEN_OVER.0]);
    wait_for(&link, Status::Closed);
}

#[test]
fn the_first_connection_is_retried_when_asked_for() {
    let server = Server::start();
    let backoff = Backoff {
        first_connect: true,
        ..quick()
    };
    let (link, _) = open(server.options().reconnect(backoff));
    let mut events = Events::of(&link);
    link.connect().unwrap();
    drop(server.accept());
    assert!(matches!(
        events.next(),
        Event::ConnectFailed { retry: Some(_), .. }
    ));
    let _conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
}

#[test]
fn a_wait_for_the_next_attempt_ends_when_asked() {
    let server = Server::start();
    let (link, _) = open(server.options().reconnect(Backoff::default()));
    link.connect().unwrap();
    drop(server.accept_mqtt(false));
    wait_for(&link, Status::Waiting);
    link.connect().unwrap();
    drop(server.accept_mqtt(false));
    wait_for(&link, Status::Waiting);
    assert!(
        link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY)
            .unwrap()
    );
    wait_for(&link, Status::Closed);
    assert!(matches!(connect_error(&link), ConnectError::Cancelled));
    assert!(
        !link
            .disconnect(ReasonCode::SUCCESS, Properties::EMPTY)
            .unwrap()
    );
}

#[test]
fn close_while_connecting() {
    let server = Server::start();
    let (link, _) = open(server.options().reconnect(quick()));
    link.connect().unwrap();
    link.close();
    assert!(matches!(connect_error(&link), ConnectError::Cancelled));
    assert_eq!(link.status(), Status::Closed);

    link.connect().unwrap();
    let mut conn = server.accept();
    // The connection of the first attempt may have been made or not.
    if conn.next(|_| ()).is_none() {
        conn = server.accept();
        conn.expect_connect();
    }
    link.close();
    assert!(matches!(connect_error(&link), ConnectError::Cancelled));
    conn.expect_end();
}

#[test]
fn what_is_published_offline_goes_out_in_order_and_in_few_writes() {
    let server = Server::start();
    let (link, _) = open(server.options());
    for n in 0..500u16 {
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce][usize::from(n % 2)];
        link.publish(message("t", &n.to_be_bytes(), qos)).unwrap();
    }
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    for n in 0..500u16 {
        let (id, _, payload, _) = conn.expect_publish();
        assert_eq!(payload, n.to_be_bytes());
        if id != 0 {
            conn.send_puback(id);
        }
    }
    let done = link.wait(deadline(), |s| (s.pending() == 0).then_some(()));
    assert!(done.is_some());
    assert!(link.stats().writes <= 4, "{:?}", link.stats());
}

#[test]
fn a_full_outbox_refuses_and_tells_when_there_is_room() {
    let server = Server::start();
    let mut options = server.options();
    options.session.max_queued_messages = 4;
    let (link, _) = open(options);
    let mut events = Events::of(&link);
    for _ in 0..4 {
        link.publish(message("t", b"", QoS::AtLeastOnce)).unwrap();
    }
    let refused = link.publish(message("t", b"", QoS::AtLeastOnce));
    assert_eq!(refused, Err(PublishRefused::Full));
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Connected(_))
    ));
    assert!(matches!(events.next(), Event::Room));
    link.publish(message("t", b"", QoS::AtLeastOnce)).unwrap();
    for _ in 0..5 {
        conn.expect_publish();
    }
}

/// Says what a link tells its journal; refuses to keep what has no payload.
struct Notes(Arc<Mutex<Vec<String>>>);

impl Journal for Notes {
    fn keep(&mut self, _now: Time, name: Name, message: &Message) -> bool {
        let kept = !message.payload().is_empty();
        let Name {
            packet_id,
            note,
            waits,
        } = name;
        let waits = if waits { ", waits" } else { "" };
        let text = format!("keep {} {kept}{waits}", u32::from(packet_id) + note);
        self.0.lock().unwrap().push(text);
        kept
    }

    fn withdraw(&mut self, name: Name) {
        self.0.lock().unwrap().push(format!("withdraw {name:?}"));
    }

    fn note(&mut self, _now: Time, event: &SessionEvent) {
        let note = match event {
            SessionEvent::Connected(_) => "connected".to_owned(),
            SessionEvent::Progress(step) => format!("{step:?}"),
            SessionEvent::Published { token, .. } => format!("published {}", token.0),
            SessionEvent::Sent { note } => format!("sent {note}"),
            _ => return,
        };
        self.0.lock().unwrap().push(note);
    }
}

#[test]
fn a_journal_keeps_what_is_published_before_it_is_taken() {
    let server = Server::start();
    let notes = Arc::default();
    let observers = Observers {
        journal: Some(Box::new(Notes(Arc::clone(&notes)))),
        tap: None,
    };
    let link = Link::open_observed(server.options(), Arc::new(Silent), observers).unwrap();
    // The journal has its say over options that are changed, too.
    link.reconfigure(|options| options.session.report_progress = false);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    let refused = link.publish(message("t", b"", QoS::AtLeastOnce));
    assert_eq!(refused, Err(PublishRefused::NotKept));
    link.publish(message("t", b"", QoS::AtMostOnce)).unwrap();
    let token = link.publish(message("t", b"x", QoS::ExactlyOnce)).unwrap();
    assert_eq!(conn.expect_publish().2, b"", "QoS 0 is not kept");
    assert_eq!(conn.expect_publish().2, b"x");
    conn.send(&[0x50, 2, 0, 1]);
    conn.next(|packet| assert!(matches!(packet, Packet::PubRel(_))));
    conn.send(&[0x70, 2, 0, 1]);
    let done = link.wait(deadline(), |s| (!s.is_pending(token)).then_some(()));
    assert!(done.is_some());
    assert_eq!(
        *notes.lock().unwrap(),
        [
            "connected",
            "keep 1 false",
            "keep 1 true",
            "Released(Token(1))",
            "published 1"
        ]
    );
}

/// Collects what passes, and where packets begin.
#[derive(Default)]
struct Passing {
    sent: Mutex<Vec<u8>>,
    received: Mutex<Vec<(usize, bool)>>,
}

impl Tap for Passing {
    fn sending(&self, packets: &Outbound) {
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let count = packets.gather(&mut slices);
        let mut sent = self.sent.lock().unwrap();
        slices[..count]
            .iter()
            .for_each(|slice| sent.extend_from_slice(slice));
    }

    fn received(&self, bytes: &[u8], begins: bool) {
        self.received.lock().unwrap().push((bytes.len(), begins));
    }
}

#[test]
fn a_tap_sees_whole_packets_go_and_knows_where_those_begin_that_come() {
    let server = Server::start();
    let tap = Arc::new(Passing::default());
    let observers = Observers {
        tap: Some(tap.clone()),
        ..Observers::default()
    };
    let link = Link::open_observed(server.options(), Arc::new(Silent), observers).unwrap();
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    let big = vec![b'x'; 10_000];
    link.publish(message("t", &big, QoS::AtMostOnce)).unwrap();
    assert_eq!(conn.expect_publish().2.len(), big.len());
    let token = link.publish(message("t", b"", QoS::AtLeastOnce)).unwrap();
    conn.expect_publish();
    conn.send(&[0x40, 2]);
    let half = link.wait(deadline(), |_| {
        let received = tap.received.lock().unwrap();
        (received.last() == Some(&(2, true))).then_some(())
    });
    assert!(half.is_some());
    conn.send(&[0, 1]);
    let done = link.wait(deadline(), |s| (!s.is_pending(token)).then_some(()));
    assert!(done.is_some());
    assert_eq!(tap.received.lock().unwrap().last(), Some(&(2, false)));
    let sent = tap.sent.lock().unwrap();
    assert!(sent.starts_with(&[0x10]) && sent.ends_with(b"t\0\x01\0"));
    assert!(sent.windows(big.len()).any(|part| part == big));
}

#[test]
fn a_journal_hears_when_what_waited_is_sent() {
    let server = Server::start();
    let notes = Arc::default();
    let observers = Observers {
        journal: Some(Box::new(Notes(Arc::clone(&notes)))),
        ..Observers::default()
    };
    let link = Link::open_observed(server.options(), Arc::new(Silent), observers).unwrap();
    let noted = |payload, qos, note| link.publish_noted(message("t", payload, qos), note, |_| ());
    noted(b"1", QoS::AtLeastOnce, 0).unwrap();
    noted(b"2", QoS::AtMostOnce, 70_000).unwrap();
    noted(b"", QoS::AtMostOnce, 70_001).unwrap_err();
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    assert_eq!(conn.expect_publish().2, b"1");
    assert_eq!(conn.expect_publish().2, b"2");
    noted(b"3", QoS::AtMostOnce, 70_002).unwrap();
    // Who writes it may be the IO thread, still at what came before.
    assert_eq!(conn.expect_publish().2, b"3");
    let told = [
        "keep 1 true, waits",
        "keep 70000 true, waits",
        "keep 70001 false, waits",
        "connected",
        "Started(Token(1))",
        "sent 70000",
        "sent 70002",
    ];
    assert_eq!(*notes.lock().unwrap(), told);
}

#[test]
fn too_many_events_stop_the_reading_and_nothing_is_lost() {
    let server = Server::start();
    let mut options = server.options();
    options.limits = Limits {
        events: 10,
        event_bytes: 1 << 20,
        event_bytes_awaiting: 1 << 20,
        ..Limits::default()
    };
    let (link, bell) = open(options);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    bell.wait_for(1);
    const COUNT: usize = 400;
    let payload = vec![7u8; 100_000];
    let mut wire = Vec::new();
    for n in 0..COUNT {
        let numbered = [&(n as u32).to_be_bytes()[..], &payload].concat();
        let message = message("t", &numbered, QoS::AtMostOnce);
        let delivery = Default::default();
        message.write_publish_head(ProtocolVersion::V5_0, &delivery, &mut wire);
        wire.extend_from_slice(&numbered);
    }
    // 40 MB are more than the sockets hold: the sender gets stuck.
    let mut sent = conn.send_until_stuck(&wire, Duration::from_millis(300));
    assert!(sent < wire.len(), "the link read all {sent} bytes");
    let stats = link.stats();
    assert_eq!(stats.pauses, 1);
    assert!(stats.bytes_received < 20 * 100_000, "{stats:?}");

    let sender = std::thread::spawn(move || {
        while sent < wire.len() {
            sent += conn.send_until_stuck(&wire[sent..], peer::PATIENCE);
        }
        conn
    });
    let mut events = Events::of(&link);
    let mut expected = 0u32;
    while expected < COUNT as u32 {
        if let Event::Session(SessionEvent::Message(incoming)) = events.next() {
            assert_eq!(incoming.message.payload()[..4], expected.to_be_bytes());
            expected += 1;
        }
    }
    sender.join().unwrap();
}

#[test]
fn a_paused_link_stays_alive_and_goes_on() {
    let server = Server::start();
    let mut options = server.options();
    options.session.keep_alive = 1;
    options.session.ping_timeout_ms = 100;
    let (link, _) = open(options);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    link.pause(true);
    // Two pings without an answer: the silence is our own.
    for _ in 0..2 {
        conn.expect(|packet| assert!(matches!(packet, Packet::PingReq), "{packet:?}"));
    }
    let publish = [0x30, 5, 0, 1, b't', 0, b'x'];
    conn.send(&publish);
    link.pause(false);
    let mut events = Events::of(&link);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Connected(_))
    ));
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Message(_))
    ));
    assert!(link.is_connected());
}

#[test]
fn a_dead_server_is_noticed_by_keep_alive() {
    let server = Server::start();
    let mut options = server.options();
    options.session.keep_alive = 1;
    options.session.ping_timeout_ms = 50;
    let (link, _) = open(options);
    let mut events = Events::of(&link);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Connected(_))
    ));
    conn.expect(|packet| assert!(matches!(packet, Packet::PingReq)));
    let ended = events.next();
    assert!(
        matches!(
            ended,
            Event::Session(SessionEvent::Disconnected {
                cause: Cause::Timeout(_),
                ..
            })
        ),
        "{ended:?}"
    );
}

#[test]
fn a_request_without_an_answer_ends_with_its_connection() {
    let server = Server::start();
    let (link, _) = open(server.options());
    let mut events = Events::of(&link);
    link.connect().unwrap();
    let conn = server.accept_mqtt(false);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Connected(_))
    ));
    let requests = [("a", SubscriptionOptions::default())];
    let token = link.subscribe(&requests, Properties::EMPTY).unwrap();
    drop(conn);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Dropped { token: t, why: DropReason::ConnectionLost }) if t == token
    ));
}

#[test]
fn large_payloads_pass_a_full_socket() {
    let server = Server::start();
    let (link, _) = open(server.options());
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    let payload: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7) as u8).collect();
    for _ in 0..8 {
        link.publish(message("t", &payload, QoS::AtMostOnce))
            .unwrap();
    }
    // Written as far as it goes before anybody reads; the poller tells when there is room.
    for _ in 0..8 {
        let (_, _, got, _) = conn.expect_publish();
        assert!(got == payload, "the payload was changed");
    }
    let flushed = link.wait(deadline(), |s| s.is_flushed().then_some(()));
    assert!(flushed.is_some());
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let (link, _) = open(ConnectOptions::from_uri("localhost").unwrap());
    let soon = Instant::now() + Duration::from_millis(10);
    assert_eq!(
        link.wait(Some(soon), |s| s.is_connected().then_some(())),
        None
    );
    assert!(Instant::now() >= soon);
}
