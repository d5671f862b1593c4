//! Subscriptions of the process that runs the broker, what it is told of clients, and what it may see.

mod support;

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};

use support::{ANY_PORT, client, publish, silent, spread, start, subscribe, until};
use ternmq_broker::{
    Broker, ClientEvent, Config, Departure, LocalOptions, LocalOverflow, MAX_LOCAL_SUBSCRIPTIONS,
    Placement, SubscribeError,
};
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::{Message, ReasonCode};
use ternmq_test_broker_wire::PATIENCE;

fn message(broker: &Broker, topic: &str, payload: &str, retain: bool) -> Message {
    let none = Properties::EMPTY;
    let qos = QoS::AtLeastOnce;
    Message::new(topic, payload.as_bytes(), qos, retain, none, broker.now()).expect("a message")
}

#[test]
fn what_anybody_publishes_on_any_shard_comes_once_and_in_order() {
    let broker = spread(4);
    let all = broker
        .subscribe("t/#", LocalOptions::default())
        .expect("subscribed");
    let some = broker
        .subscribe("t/+/9", LocalOptions::default())
        .expect("subscribed");
    let mut peers: Vec<_> = (0..8)
        .map(|n| client(&broker, 5, &format!("c{n}")))
        .collect();
    for round in 0..10 {
        for (n, peer) in peers.iter_mut().enumerate() {
            let topic = format!("t/{n}/{round}");
            peer.send(&format!("PUBLISH topic={topic} qos={} id=1 payload=x", 1))
                .expect("sent");
            // It had a subscriber, so there is no other reason.
            peer.expect("PUBACK id=1 reason=0").expect("PUBACK");
        }
    }
    broker
        .publish(&message(&broker, "t/x/9", "from here", false))
        .expect("published");
    broker
        .publish(&message(&broker, "u", "not asked for", false))
        .expect("published");
    let mut next = [0; 8];
    for _ in 0..80 {
        let got = all.recv_timeout(PATIENCE).expect("a message");
        let mut levels = got.message.topic().split('/').skip(1);
        let mut number = || levels.next().expect("a level").parse::<usize>().ok();
        if let (Some(n), Some(round)) = (number(), number()) {
            assert_eq!(round, next[n]);
            next[n] += 1;
        }
        assert!(!got.retained);
    }
    all.recv_timeout(PATIENCE).expect("the last");
    assert!(all.try_recv().is_none());
    let nines: BTreeSet<String> = (0..9)
        .map(|_| {
            some.recv_timeout(PATIENCE)
                .expect("a message")
                .message
                .topic()
                .into()
        })
        .collect();
    assert_eq!(nines.len(), 9);
    let stats = broker.stats();
    assert_eq!(
        (
            stats.local_subscriptions,
            stats.mqtt.observed,
            stats.local_dropped
        ),
        (2, 90, 0)
    );
    drop((all, some));
    until(&broker, |stats| {
        stats.local_subscriptions == 0 && stats.mqtt.sessions == 8
    });
    peers[0]
        .send("PUBLISH topic=t/1 qos=1 id=1 payload=x")
        .expect("sent");
    peers[0]
        .expect("PUBACK id=1 reason=0x10")
        .expect("nobody is left");
}

/// On every shard, without the publishers' being told of a subscriber, and with their names.
#[test]
fn who_watches_is_no_subscriber_and_knows_who_publishes() {
    let broker = spread(3);
    let options = LocalOptions {
        watch: true,
        ..LocalOptions::default()
    };
    let watch = broker.subscribe("t/#", options).expect("subscribed");
    let mut peers: Vec<_> = (0..6)
        .map(|n| client(&broker, 5, &format!("c{n}")))
        .collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        for qos in [1, 2] {
            peer.send(&format!("PUBLISH topic=t/{n} qos={qos} id={qos} payload=x"))
                .expect("sent");
        }
        peer.expect("PUBACK id=1 reason=0x10").expect("PUBACK");
        peer.expect("PUBREC id=2 reason=0x10").expect("PUBREC");
    }
    broker
        .publish(&message(&broker, "t/x", "from here", false))
        .expect("published");
    broker
        .publish(&message(&broker, "u", "not asked for", false))
        .expect("published");
    // A subscriber of one client makes no difference to what is seen.
    subscribe(&mut peers[0], "t/5", 0);
    peers[5]
        .send("PUBLISH topic=t/5 qos=1 id=3 payload=x")
        .expect("sent");
    peers[5].expect("PUBACK id=3 reason=0").expect("PUBACK");
    let mut seen: Vec<(String, Option<String>)> = (0..14)
        .map(|_| watch.recv_timeout(PATIENCE).expect("a message"))
        .map(|got| {
            let publisher = got.publisher.as_deref().map(str::to_owned);
            (got.message.topic().to_owned(), publisher)
        })
        .collect();
    assert!(watch.try_recv().is_none());
    seen.sort();
    let by = |n: usize| (format!("t/{n}"), Some(format!("c{n}")));
    let mut expected: Vec<_> = (0..6).chain(0..6).chain([5]).map(by).collect();
    expected.push(("t/x".into(), None));
    expected.sort();
    assert_eq!(seen, expected);
    // What waits can still be taken when every shard has ended.
    peers[1]
        .send("PUBLISH topic=t/1 qos=1 id=4 payload=last")
        .expect("sent");
    peers[1].expect("PUBACK id=4").expect("PUBACK");
    broker.stop().expect("stopped");
    assert_eq!(
        watch.recv().expect("the last").publisher.as_deref(),
        Some("c1")
    );
    assert!(watch.recv().is_none() && watch.is_closed());
}

#[test]
fn a_will_comes_with_the_client_whose_it_is() {
    let broker = spread(2);
    let options = LocalOptions {
        watch: true,
        ..LocalOptions::default()
    };
    let watch = broker.subscribe("will", options).expect("subscribed");
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=w will_topic=will will_payload=gone")
        .expect("sent");
    peer.expect("CONNACK").expect("let in");
    drop(peer);
    let got = watch.recv_timeout(PATIENCE).expect("the will");
    assert_eq!(got.publisher.as_deref(), Some("w"));
}

#[test]
fn retained_messages_come_first_and_are_listed() {
    let broker = spread(2);
    let mut peer = client(&broker, 5, "c");
    for n in 0..600 {
        peer.send(&format!(
            "PUBLISH topic=r/{n:03} qos=1 retain=1 id=1 payload={n}"
        ))
        .expect("sent");
        peer.expect("PUBACK id=1").expect("PUBACK");
    }
    let options = LocalOptions {
        messages: 1,
        retained: true,
        ..LocalOptions::default()
    };
    let all = broker.subscribe("r/+", options).expect("subscribed");
    publish(&mut peer, "r/x", 1, "live");
    for n in 0..600 {
        let got = all.recv().expect("a message");
        assert_eq!(
            (got.message.topic(), got.retained),
            (&*format!("r/{n:03}"), true)
        );
    }
    let live = all.recv_timeout(PATIENCE).expect("a message");
    assert_eq!(
        (live.message.payload(), live.retained),
        (&b"live"[..], false)
    );
    let (mut cursor, mut topics) = (Some(Default::default()), Vec::new());
    while let Some(from) = cursor {
        let page = broker.retained("r/#", &from, 250).expect("a filter");
        assert!(page.messages.len() <= 250);
        topics.extend(page.messages.iter().map(|m| m.topic().to_owned()));
        cursor = page.next;
    }
    assert!(
        topics.iter().eq((0..600)
            .map(|n| format!("r/{n:03}"))
            .collect::<Vec<_>>()
            .iter())
    );
    assert!(broker.retained("r/#/x", &Default::default(), 1).is_err());
}

#[test]
fn a_slow_receiver_loses_messages_by_its_policy_and_nobody_waits_for_it() {
    let broker = spread(1);
    let options = |overflow| LocalOptions {
        messages: 3,
        overflow,
        ..LocalOptions::default()
    };
    let new = broker
        .subscribe("t", options(LocalOverflow::DropNewest))
        .expect("subscribed");
    let old = broker
        .subscribe("t", options(LocalOverflow::DropOldest))
        .expect("subscribed");
    let mut peer = client(&broker, 5, "c");
    for n in 0..10 {
        publish(&mut peer, "t", 1, &n.to_string());
    }
    let stats = until(&broker, |stats| stats.mqtt.observed == 20);
    assert_eq!(
        (stats.local_dropped, new.dropped(), old.dropped()),
        (14, 7, 7)
    );
    let payloads = |subscription: &ternmq_broker::LocalSubscription| -> Vec<u8> {
        (0..3)
            .map(|_| {
                subscription
                    .try_recv()
                    .expect("a message")
                    .message
                    .payload()[0]
            })
            .collect()
    };
    assert_eq!(
        (payloads(&new), payloads(&old)),
        (b"012".to_vec(), b"789".to_vec())
    );
}

#[test]
fn a_local_subscription_ends_with_the_broker_or_when_it_is_closed() {
    let broker = spread(2);
    let subscription = broker
        .subscribe("t", LocalOptions::default())
        .expect("subscribed");
    let closed = broker
        .subscribe("t", LocalOptions::default())
        .expect("subscribed");
    broker
        .publish(&message(&broker, "t", "1", false))
        .expect("published");
    until(&broker, |stats| stats.mqtt.observed == 2);
    std::thread::scope(|scope| {
        let received = scope.spawn(|| closed.into_iter().count());
        // What waits is received, whoever closes it meanwhile.
        until(&broker, |_| subscription.queue_is_there());
        scope.spawn(|| broker.stop().expect("stopped"));
        assert_eq!(received.join().expect("joined"), 1);
    });
    assert_eq!((&subscription).count(), 1);
    assert!(subscription.is_closed() && subscription.recv().is_none());
}

trait There {
    fn queue_is_there(&self) -> bool;
}

impl There for ternmq_broker::LocalSubscription {
    fn queue_is_there(&self) -> bool {
        !self.is_closed()
    }
}

#[test]
fn what_is_no_filter_and_one_too_many_are_refused() {
    let broker = spread(1);
    for filter in ["", "a/#/b", "a+", "$share/g/t", "\0"] {
        let refused = broker
            .subscribe(filter, LocalOptions::default())
            .expect_err("refused");
        assert!(matches!(refused, SubscribeError::Filter(_)), "{filter}");
    }
    let subscribe = |_| broker.subscribe("t", LocalOptions::default());
    let all: Result<Vec<_>, _> = (0..MAX_LOCAL_SUBSCRIPTIONS).map(subscribe).collect();
    let all = all.expect("as many as may be");
    assert_eq!(subscribe(0).expect_err("one more"), SubscribeError::Full);
    drop(all);
    subscribe(0).expect("room again").close();
}

fn told(events: &Receiver<ClientEvent>) -> ClientEvent {
    events.recv_timeout(PATIENCE).expect("an event")
}

#[test]
fn what_clients_do_is_told_in_order() {
    let (sender, events) = sync_channel(100);
    let broker = start(Config {
        shards: 2,
        placement: Placement::ByClientId,
        client_events: Some(sender),
        ..Config::listen(ANY_PORT)
    });
    let id = || Box::from("c");
    let gone = |departure| ClientEvent::Disconnected {
        client_id: id(),
        departure,
        what: "".into(),
    };
    for session_present in [false, true] {
        let mut peer = silent(&broker, 5);
        peer.send("CONNECT client_id=c username=anna clean_start=0 session_expiry=100")
            .expect("sent");
        peer.expect("CONNACK").expect("CONNACK");
        match told(&events) {
            ClientEvent::Connected {
                client_id,
                user_name,
                peer,
                session_present: present,
                ..
            } => {
                assert_eq!((&*client_id, user_name.as_deref()), ("c", Some("anna")));
                assert!(peer.is_some_and(|peer| peer.is_loopback()));
                assert_eq!(present, session_present);
            }
            other => panic!("{other:?}"),
        }
        subscribe(&mut peer, "t/+", 1);
        let (client_id, filter) = (id(), "t/+".into());
        let qos = QoS::AtLeastOnce;
        assert_eq!(
            told(&events),
            ClientEvent::Subscribed {
                client_id,
                filter,
                qos
            }
        );
        peer.send("UNSUBSCRIBE id=2 filter=t/+ filter=u")
            .expect("sent");
        peer.expect("UNSUBACK").expect("UNSUBACK");
        let (client_id, filter) = (id(), "t/+".into());
        assert_eq!(
            told(&events),
            ClientEvent::Unsubscribed { client_id, filter }
        );
        if session_present {
            peer.send("DISCONNECT reason=4").expect("sent");
            let reason = ReasonCode::DISCONNECT_WITH_WILL;
            assert_eq!(told(&events), gone(Departure::Own(reason)));
        } else {
            peer.cut();
            assert_eq!(told(&events), gone(Departure::Lost));
        }
    }
}

#[test]
fn whoever_ends_a_session_its_end_is_told() {
    let (sender, events) = sync_channel(100);
    let broker = start(Config {
        client_events: Some(sender),
        ..Config::listen(ANY_PORT)
    });
    let gone = |reason, what: &str| ClientEvent::Disconnected {
        client_id: "c".into(),
        departure: Departure::Ended(reason),
        what: what.into(),
    };
    let ended = || ClientEvent::SessionEnded {
        client_id: "c".into(),
        expired: false,
    };
    let taken = client(&broker, 5, "c");
    assert!(matches!(told(&events), ClientEvent::Connected { .. }));
    let again = client(&broker, 5, "c");
    let why = "another connection uses this client identifier";
    assert_eq!(told(&events), gone(ReasonCode::SESSION_TAKEN_OVER, why));
    assert_eq!(told(&events), ended());
    assert!(matches!(told(&events), ClientEvent::Connected { .. }));
    broker.stop().expect("stopped");
    let why = "the server is stopping";
    assert_eq!(told(&events), gone(ReasonCode::SERVER_SHUTTING_DOWN, why));
    assert_eq!(told(&events), ended());
    assert!(
        events.try_recv().is_err(),
        "the broker has gone, and its sender"
    );
    drop((taken, again));
}

#[test]
fn events_that_nobody_takes_are_counted() {
    let (sender, events) = sync_channel(1);
    let broker = start(Config {
        client_events: Some(sender),
        ..Config::listen(ANY_PORT)
    });
    let _clients: Vec<_> = (0..3)
        .map(|n| client(&broker, 4, &format!("c{n}")))
        .collect();
    assert_eq!(
        until(&broker, |stats| stats.mqtt.connected == 3).client_events_lost,
        2
    );
    assert_eq!(told(&events).client_id(), "c0");
}
