//! What a broker tells of clients that are refused or lose messages, and of its listeners.
#![cfg(all(feature = "tls", feature = "websocket"))]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use support::{ANY_PORT, client, publish, silent, start, subscribe, until};
use ternmq_broker::tls::{Identity, TlsServerOptions};
use ternmq_broker::{
    Address, Broker, ClientEvent, Config, Departure, Dropped, Event, ListenerConfig, ListenerId,
};
use ternmq_protocol::ReasonCode;
use ternmq_test_broker_wire::PATIENCE;
use ternmq_test_certificates::authority;

fn listening(change: impl FnOnce(&mut Config)) -> (Broker, Receiver<ClientEvent>) {
    let (sender, events) = sync_channel(1_000);
    let mut config = Config {
        shards: 1,
        client_events: Some(sender),
        ..Config::listen(ANY_PORT)
    };
    change(&mut config);
    (start(config), events)
}

fn told(events: &Receiver<ClientEvent>) -> ClientEvent {
    events.recv_timeout(PATIENCE).expect("an event")
}

/// Of a connection that was refused: who, the reason, the words.
fn refused(events: &Receiver<ClientEvent>) -> (String, Option<ReasonCode>, String) {
    match told(events) {
        ClientEvent::Refused {
            client_id,
            listener,
            peer,
            reason,
            what,
            ..
        } => {
            assert_eq!(listener, ListenerId(0));
            assert!(peer.is_some_and(|peer| peer.is_loopback()));
            (client_id.into(), reason, what.into())
        }
        other => panic!("{other:?}"),
    }
}

fn of(id: &str, reason: ReasonCode, what: &str) -> (String, Option<ReasonCode>, String) {
    (id.into(), Some(reason), what.into())
}

#[test]
fn who_is_refused_is_told_with_the_reason_and_without_the_password() {
    let (broker, events) = listening(|config| config.listeners[0].anonymous = false);
    let mut nobody = silent(&broker, 5);
    nobody.send("CONNECT client_id=n").expect("sent");
    nobody.expect("CONNACK reason=0x87").expect("CONNACK");
    let words = "the server does not let this client do that";
    assert_eq!(refused(&events), of("n", ReasonCode::NOT_AUTHORIZED, words));

    let mut liar = silent(&broker, 4);
    liar.send("CONNECT client_id=l username=anna password=geheim")
        .expect("sent");
    liar.expect("CONNACK reason=5").expect("CONNACK");
    let event = told(&events);
    assert!(!format!("{event:?}").contains("geheim"));
    let ClientEvent::Refused {
        client_id,
        user_name,
        reason,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    let wrong = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(
        (&*client_id, user_name.as_deref(), reason),
        ("l", Some("anna"), Some(wrong))
    );

    let mut stranger = silent(&broker, 5);
    stranger.send("PINGREQ").expect("sent");
    stranger.expect_close().expect("closed");
    let words = "the first packet is not CONNECT";
    assert_eq!(refused(&events), of("", ReasonCode::PROTOCOL_ERROR, words));
}

#[test]
fn who_breaks_the_protocol_is_told_with_what_was_broken() {
    let (broker, events) = listening(|_| {});
    let mut peer = client(&broker, 5, "c");
    assert!(matches!(told(&events), ClientEvent::Connected { .. }));
    peer.send("PUBLISH topic=a/+ qos=0 payload=x")
        .expect("sent");
    peer.expect("DISCONNECT").expect("DISCONNECT");
    let ClientEvent::Disconnected {
        client_id,
        departure: Departure::Ended(reason),
        what,
    } = told(&events)
    else {
        panic!("it was not ended");
    };
    assert_eq!((&*client_id, reason), ("c", ReasonCode::PROTOCOL_ERROR));
    assert_eq!(&*what, "not a valid topic name");
}

#[test]
fn a_session_whose_time_is_over_is_told_as_expired() {
    let (broker, events) = listening(|_| {});
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=c clean_start=0 session_expiry=100")
        .expect("sent");
    peer.expect("CONNACK").expect("CONNACK");
    peer.cut();
    assert!(matches!(told(&events), ClientEvent::Connected { .. }));
    assert!(matches!(told(&events), ClientEvent::Disconnected { .. }));
    broker.advance(Duration::from_secs(101));
    let client_id = "c".into();
    let expired = true;
    assert_eq!(
        told(&events),
        ClientEvent::SessionEnded { client_id, expired }
    );
}

#[test]
fn strangers_that_are_refused_are_told_one_by_one_and_then_in_sum() {
    let (broker, events) = listening(|config| config.listeners[0].anonymous = false);
    let many = 50;
    for _ in 0..many {
        let mut peer = silent(&broker, 5);
        peer.send("CONNECT client_id=x").expect("sent");
        peer.expect("CONNACK reason=0x87").expect("CONNACK");
    }
    broker.advance(Duration::from_secs(2));
    let (mut single, mut sum) = (0, 0);
    while single + sum < many {
        match told(&events) {
            ClientEvent::Refused { .. } => single += 1,
            ClientEvent::RefusedMore(more) => sum += more,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(single + sum, many);
    assert!(single >= 20, "{single} were told of");
    assert!(sum > 0, "nobody was left out");
    assert_eq!(broker.stats().refusals_untold, sum);
}

#[test]
fn what_clients_do_not_get_is_told_by_reason_and_in_sum() {
    let (broker, events) = listening(|config| config.session.queue.items = 3);
    for id in ["a", "b"] {
        let mut peer = silent(&broker, 5);
        peer.send(&format!(
            "CONNECT client_id={id} clean_start=0 session_expiry=1000"
        ))
        .expect("sent");
        peer.expect("CONNACK").expect("CONNACK");
        subscribe(&mut peer, "t", 1);
        peer.send("DISCONNECT").expect("sent");
        peer.expect_close().expect("closed");
    }
    let mut publisher = client(&broker, 5, "p");
    for _ in 0..10 {
        publish(&mut publisher, "t", 1, "x");
    }
    publish(&mut publisher, "t", 0, "x");
    until(&broker, |stats| stats.mqtt.dropped.total() == 16);
    let mut all = [Dropped::default(), Dropped::default()];
    let mut tellings = 0;
    while all.iter().map(Dropped::total).sum::<u64>() < 16 {
        broker.advance(Duration::from_secs(1));
        if let ClientEvent::Dropped { client_id, dropped } = told(&events) {
            tellings += 1;
            let sum = &mut all[usize::from(&*client_id == "b")];
            sum.queue_items += dropped.queue_items;
            sum.offline += dropped.offline;
        }
    }
    let expected = Dropped {
        queue_items: 7,
        offline: 1,
        ..Dropped::default()
    };
    assert_eq!(all, [expected.clone(), expected]);
    // The first at once, the others together.
    assert!(tellings <= 6, "{tellings} times");
}

#[test]
fn a_handshake_that_fails_is_told_with_the_reason() {
    let issued = authority().issue(&["localhost"]);
    let (broker, events) = listening(|config| {
        config.listeners[0] = ListenerConfig {
            tls: Some(TlsServerOptions::new(Identity::pem(
                issued.chain,
                issued.key,
            ))),
            ..ListenerConfig::anonymous(ANY_PORT)
        }
    });
    let mut socket = TcpStream::connect(broker.local_addrs()[0]).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
        .write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c")
        .expect("sent");
    let (id, reason, what) = refused(&events);
    assert_eq!((&*id, reason), ("", None));
    assert!(what.contains("TLS"), "{what}");
    let _ = socket.read_to_end(&mut Vec::new());
    assert_eq!(broker.stats().tls_failed, 1);
}

#[test]
fn where_a_broker_listens_and_that_it_does_no_more_is_told() {
    let (sender, events) = sync_channel(10);
    let broker = start(Config {
        events: Some(sender),
        ..Config::listen(ANY_PORT)
    });
    let address = Address::Ip(broker.local_addrs()[0]);
    let told = || events.recv_timeout(PATIENCE).expect("an event");
    assert_eq!(told(), Event::Listening(ListenerId(0), address));
    let other = Config::listen("127.0.0.2:0".parse().expect("an address"));
    broker.reconfigure(&other).expect("it can").apply();
    assert_eq!(told(), Event::ListenerClosed(ListenerId(0)));
    let address = Address::Ip(broker.local_addrs()[0]);
    assert_eq!(told(), Event::Listening(ListenerId(1), address));
    broker.stop().expect("stopped");
    assert_eq!(told(), Event::ListenerClosed(ListenerId(1)));
}
