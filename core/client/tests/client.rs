//! The clients against a broker in this process, over real sockets.
#![allow(missing_docs)]

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use ternmq_broker::{Broker, Config};
use ternmq_client::blocking::{self, NextError, block_on};
use ternmq_client::{
    Backoff, Client, ConnectError, ConnectOptions, Ended, ProtocolVersion, Publish, PublishError,
    QoS, ReasonCode, Status, SubscribeError, SubscribeOptions,
};
use ternmq_protocol::client::{Acknowledge, Cause, PublishRefused, RequestRefused, Will};
use ternmq_protocol::codec::{PropertiesBuf, PropertyId, Value};

const PATIENCE: Duration = Duration::from_secs(20);
const VERSIONS: [ProtocolVersion; 3] = [
    ProtocolVersion::V3_1,
    ProtocolVersion::V3_1_1,
    ProtocolVersion::V5_0,
];
const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn broker() -> Broker {
    Broker::start(Config {
        shards: 2,
        ..Config::listen("127.0.0.1:0".parse().unwrap())
    })
    .unwrap()
}

fn options(broker: &Broker, client_id: &str) -> ConnectOptions {
    let uri = format!("mqtt://{}", broker.local_addrs()[0]);
    ConnectOptions::from_uri(&uri).unwrap().client_id(client_id)
}

fn connect(broker: &Broker, client_id: &str) -> blocking::Client {
    blocking::Client::connect(options(broker, client_id)).unwrap()
}

fn payloads(messages: &mut blocking::Subscription, count: usize) -> Vec<String> {
    let next = || {
        let message = messages.next_timeout(PATIENCE).expect("a message in time");
        message.text().unwrap().to_owned()
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn every_qos_in_every_version_arrives_once_and_in_order() {
    let broker = broker();
    for version in VERSIONS {
        for qos in ALL_QOS {
            let name = format!("c{}{}", version as u8, qos as u8);
            let client = blocking::Client::connect(options(&broker, &name).version(version));
            let client = client.unwrap();
            let mut messages = client.subscribe(&format!("{name}/+"), qos).unwrap();
            assert_eq!(messages.granted(), qos);
            let topic = format!("{name}/x");
            for n in 0..50 {
                let text = n.to_string();
                client
                    .publish(Publish::new(&topic, &text).qos(qos))
                    .unwrap();
            }
            let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
            assert_eq!(payloads(&mut messages, 50), expected, "{version} {qos:?}");
            client.disconnect();
            assert!(matches!(
                client.closed(),
                Some(Ended::Disconnected {
                    cause: Cause::Local,
                    ..
                })
            ));
            assert_eq!(
                messages.next_timeout(PATIENCE).err(),
                Some(NextError::Ended)
            );
        }
    }
}

#[test]
fn a_message_brings_everything_that_was_published() {
    let broker = broker();
    let client = connect(&broker, "c");
    let publish = Publish::new("state", "on")
        .qos(QoS::AtLeastOnce)
        .retain(true)
        .content_type("text/plain")
        .expiry(Duration::from_secs(600))
        .response_topic("answer")
        .correlation_data(b"\x01\x02")
        .user_property("k", "v");
    let outcome = client.publish(publish).unwrap();
    assert_eq!(outcome.reason, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let mut messages = client.subscribe("state", QoS::ExactlyOnce).unwrap();
    let message = messages.next_timeout(PATIENCE).unwrap();
    assert_eq!((message.topic(), message.text()), ("state", Some("on")));
    assert_eq!(
        (message.qos(), message.retain(), message.dup()),
        (QoS::AtLeastOnce, true, false)
    );
    let properties = message.properties();
    assert_eq!(properties.text(PropertyId::ContentType), Some("text/plain"));
    assert_eq!(properties.text(PropertyId::ResponseTopic), Some("answer"));
    assert_eq!(
        properties.binary(PropertyId::CorrelationData),
        Some(&b"\x01\x02"[..])
    );
    assert_eq!(
        properties.user_properties().collect::<Vec<_>>(),
        [("k", "v")]
    );
    let left = message.expiry().unwrap();
    let interval = Duration::from_secs(600);
    assert!((interval - PATIENCE..=interval).contains(&left), "{left:?}");
}

#[test]
fn overlapping_subscriptions_get_a_message_once_each() {
    let broker = broker();
    for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5_0] {
        let client = blocking::Client::connect(options(&broker, "c").version(version)).unwrap();
        let mut all = client.subscribe("#", QoS::AtLeastOnce).unwrap();
        let mut some = client.subscribe("a/+", QoS::AtMostOnce).unwrap();
        let mut same = client.subscribe("a/+", QoS::AtMostOnce).unwrap();
        for topic in ["a/b", "b", "a/c"] {
            client
                .publish(Publish::new(topic, topic).qos(QoS::AtLeastOnce))
                .unwrap();
        }
        assert_eq!(payloads(&mut some, 2), ["a/b", "a/c"]);
        assert_eq!(payloads(&mut same, 2), ["a/b", "a/c"]);
        if version.is_v5() {
            assert_eq!(payloads(&mut all, 3), ["a/b", "b", "a/c"]);
        }
        client.unsubscribe(some).unwrap();
        client
            .publish(Publish::new("a/d", "a/d").qos(QoS::AtLeastOnce))
            .unwrap();
        assert_eq!(payloads(&mut same, 1), ["a/d"], "the same filter goes on");
        client.disconnect();
    }
}

#[test]
fn a_dropped_subscription_is_unsubscribed() {
    let broker = broker();
    let client = connect(&broker, "c");
    let messages = client.subscribe("a", QoS::AtLeastOnce).unwrap();
    drop(messages);
    let outcome = client
        .publish(Publish::new("a", "").qos(QoS::AtLeastOnce))
        .unwrap();
    assert_eq!(outcome.reason, ReasonCode::NO_MATCHING_SUBSCRIBERS);
}

#[test]
fn a_hundred_clients_share_one_io_thread() {
    let broker = broker();
    let clients: Vec<blocking::Client> = (0..100)
        .map(|n| connect(&broker, &format!("many-{n}")))
        .collect();
    let mut inboxes: Vec<blocking::Subscription> = clients
        .iter()
        .map(|client| client.subscribe("many/#", QoS::AtLeastOnce).unwrap())
        .collect();
    for (n, client) in clients.iter().enumerate() {
        let topic = format!("many/{n}");
        client
            .publish(Publish::new(&topic, &topic).qos(QoS::AtLeastOnce))
            .unwrap();
    }
    let expected: HashSet<String> = (0..100).map(|n| format!("many/{n}")).collect();
    for inbox in &mut inboxes {
        let got: HashSet<String> = payloads(inbox, 100).into_iter().collect();
        assert_eq!(got, expected);
    }
    assert_eq!(threads_named("ternmq-io"), 1);
}

#[test]
fn many_threads_publish_through_one_client_and_nothing_stays_behind() {
    const THREADS: usize = 8;
    const EACH: usize = 2_000;
    let broker = broker();
    let receiver = connect(&broker, "receiver");
    let mut messages = receiver.subscribe("t/+", QoS::AtMostOnce).unwrap();
    let client = connect(&broker, "sender");
    let publish = |thread: usize| {
        let client = client.clone();
        move || {
            let topic = format!("t/{thread}");
            for n in 0..EACH {
                client
                    .publish(Publish::new(&topic, &n.to_string()))
                    .unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(publish(thread));
        }
    });
    // Nothing is published after this: what the last flush forgot would be missing.
    let mut expected = [0; THREADS];
    for _ in 0..THREADS * EACH {
        let message = messages.next_timeout(PATIENCE).expect("every message");
        let thread: usize = message.topic()[2..].parse().unwrap();
        assert_eq!(message.text(), Some(expected[thread].to_string().as_str()));
        expected[thread] += 1;
    }
}

#[test]
fn a_slow_subscriber_loses_nothing() {
    let broker = broker();
    let slow = connect(&broker, "slow");
    let small = SubscribeOptions::new(QoS::AtLeastOnce).queue(10);
    let mut messages = slow.subscribe("flood", small).unwrap();
    let fast = connect(&broker, "fast");
    let payload = vec![b'x'; 10_000];
    const COUNT: usize = 3_000;
    let sender = std::thread::spawn(move || {
        for n in 0..COUNT {
            let numbered = [n.to_string().as_bytes(), b" ", &payload].concat();
            let publish = Publish::new("flood", &numbered).qos(QoS::AtLeastOnce);
            fast.publish(publish).unwrap();
        }
    });
    // Nobody takes anything until the reading has stopped.
    let begun = Instant::now();
    while slow.stats().pauses == 0 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", slow.stats());
        std::thread::yield_now();
    }
    let first = messages.next_timeout(PATIENCE).unwrap();
    assert!(first.text().unwrap().starts_with("0 "));
    for n in 1..COUNT {
        let message = messages.next_timeout(PATIENCE).unwrap();
        let text = message.text().unwrap();
        assert!(text.starts_with(&format!("{n} ")), "{n}: {}", &text[..8]);
    }
    sender.join().unwrap();
}

#[test]
fn who_publishes_between_the_messages_of_a_full_queue_does_not_wait_for_ever() {
    let broker = broker();
    let echo = connect(&broker, "echo");
    let small = SubscribeOptions::new(QoS::AtMostOnce).queue(2);
    let mut requests = echo.subscribe("request", small).unwrap();
    let asker = connect(&broker, "asker");
    let mut answers = asker.subscribe("answer", QoS::AtLeastOnce).unwrap();
    for n in 0..2_000 {
        asker
            .publish(Publish::new("request", &n.to_string()))
            .unwrap();
    }
    for _ in 0..2_000 {
        let request = requests.next_timeout(PATIENCE).unwrap();
        let answer = Publish::new("answer", request.payload()).qos(QoS::AtLeastOnce);
        echo.publish(answer).unwrap();
    }
    let expected: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    assert_eq!(payloads(&mut answers, 2_000), expected);
}

#[test]
fn reconnects_and_subscribes_again_when_the_broker_comes_back() {
    let first = broker();
    let address = first.local_addrs()[0];
    let backoff = Backoff {
        min: Duration::from_millis(10),
        max: Duration::from_millis(50),
        ..Backoff::default()
    };
    let client = blocking::Client::connect(options(&first, "c").reconnect(backoff)).unwrap();
    let mut messages = client.subscribe("a/+", QoS::AtLeastOnce).unwrap();
    first.stop().unwrap();
    assert_eq!(
        client.wait_for(|status| status == Status::Reconnecting),
        Some(Status::Reconnecting)
    );
    // Published without a connection: it waits in the outbox.
    let publishing = client
        .publish_nowait(Publish::new("b", "").qos(QoS::AtLeastOnce))
        .unwrap();
    let second = Broker::start(Config::listen(address)).unwrap();
    client.wait(publishing).unwrap();
    assert_eq!(client.status(), Status::Connected);
    // Behind the SUBSCRIBE on the same connection.
    let answered = client.subscribe("c", QoS::AtMostOnce).unwrap();
    drop(answered);
    client
        .publish(Publish::new("a/b", "again").qos(QoS::AtLeastOnce))
        .unwrap();
    assert_eq!(payloads(&mut messages, 1), ["again"]);
    client.disconnect();
    second.stop().unwrap();
}

#[test]
fn an_open_client_works_from_the_first_moment_and_waits_for_its_server() {
    let address = broker().local_addrs()[0];
    let backoff = Backoff {
        min: Duration::from_millis(10),
        max: Duration::from_millis(50),
        first_connect: true,
        ..Backoff::default()
    };
    let options = ConnectOptions::from_uri(&address.to_string()).unwrap();
    let client = blocking::Client::open(options.reconnect(backoff)).unwrap();
    let publishing = client
        .publish_nowait(Publish::new("a", "").qos(QoS::AtLeastOnce))
        .unwrap();
    let subscriber = client.clone();
    let subscribing = std::thread::spawn(move || subscriber.subscribe("b", QoS::AtLeastOnce));
    let late = Broker::start(Config::listen(address)).unwrap();
    client.wait(publishing).unwrap();
    let mut messages = subscribing.join().unwrap().unwrap();
    client
        .publish(Publish::new("b", "1").qos(QoS::AtLeastOnce))
        .unwrap();
    assert_eq!(payloads(&mut messages, 1), ["1"]);
    late.stop().unwrap();
}

#[test]
fn a_resumed_session_brings_what_came_meanwhile_to_who_subscribes_again() {
    let broker = broker();
    let persistent = || {
        let mut options = options(&broker, "keeper").clean_start(false);
        let expiry = Value::FourByteInteger(600);
        let properties = &mut options.session.properties;
        properties
            .push(PropertyId::SessionExpiryInterval, expiry)
            .unwrap();
        blocking::Client::connect(options).unwrap()
    };
    let client = persistent();
    let kept = client.subscribe("kept/+", QoS::AtLeastOnce).unwrap();
    client.disconnect();
    drop(kept);
    let other = connect(&broker, "other");
    for text in ["1", "2", "3"] {
        other
            .publish(Publish::new("kept/x", text).qos(QoS::AtLeastOnce))
            .unwrap();
    }
    let client = persistent();
    // Let the messages come before anybody wants them.
    client
        .publish(Publish::new("b", "").qos(QoS::AtLeastOnce))
        .unwrap();
    let mut kept = client.subscribe("kept/+", QoS::AtLeastOnce).unwrap();
    assert_eq!(payloads(&mut kept, 3), ["1", "2", "3"]);
}

#[test]
fn errors_say_what_was_wrong() {
    let broker = broker();
    let client = connect(&broker, "c");
    assert!(matches!(
        client.subscribe("a/#/b", QoS::AtMostOnce),
        Err(SubscribeError::Filter(_))
    ));
    assert!(matches!(
        client.publish(Publish::new("a/#", "")),
        Err(PublishError::Invalid(_))
    ));
    client.disconnect();
    assert_eq!(client.status(), Status::Ended);
    assert!(matches!(
        client.publish(Publish::new("a", "")),
        Err(PublishError::Closed)
    ));
    assert!(matches!(
        client.subscribe("a", QoS::AtMostOnce),
        Err(SubscribeError::Closed)
    ));
    assert!(matches!(
        client.disconnect_with(ReasonCode::SESSION_TAKEN_OVER, &PropertiesBuf::default()),
        Err(RequestRefused::Encode(_)) | Ok(())
    ));
    let address = broker.local_addrs()[0];
    broker.stop().unwrap();
    let gone = ConnectOptions::from_uri(&address.to_string()).unwrap();
    assert!(matches!(
        blocking::Client::connect(gone),
        Err(ConnectError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused
    ));
}

#[test]
fn a_refused_connection_says_why() {
    let mut config = Config::listen("127.0.0.1:0".parse().unwrap());
    config.listeners[0].anonymous = false;
    let broker = Broker::start(config).unwrap();
    let refused = blocking::Client::connect(options(&broker, "c").credentials("u", "p"));
    assert_eq!(
        refused.unwrap_err().reason(),
        Some(ReasonCode::NOT_AUTHORIZED)
    );
}

#[test]
fn dropping_a_client_disconnects_without_the_will() {
    let broker = broker();
    let watcher = connect(&broker, "watcher");
    let mut wills = watcher.subscribe("gone/+", QoS::AtLeastOnce).unwrap();
    let with_will = |name: &str| {
        let mut will = Will::new(format!("gone/{name}"), name);
        will.qos = QoS::AtLeastOnce;
        blocking::Client::connect(options(&broker, name).will(will)).unwrap()
    };
    let dropped = with_will("dropped");
    dropped
        .publish_nowait(Publish::new("gone/farewell", "farewell"))
        .unwrap();
    drop(dropped);
    assert_eq!(
        payloads(&mut wills, 1),
        ["farewell"],
        "sent although nobody waited"
    );
    let with_reason = with_will("told");
    with_reason
        .disconnect_with(ReasonCode::DISCONNECT_WITH_WILL, &PropertiesBuf::default())
        .unwrap();
    assert_eq!(
        payloads(&mut wills, 1),
        ["told"],
        "and none of the first client"
    );
}

#[test]
fn the_outbox_makes_waiting_publishers_wait_and_others_an_error() {
    let broker = broker();
    let mut options = options(&broker, "c");
    options.session.max_inflight = 4;
    options.session.max_queued_messages = 8;
    let client = blocking::Client::connect(options).unwrap();
    let mut refused = 0;
    let mut taken = Vec::new();
    for _ in 0..10_000 {
        match client.publish_nowait(Publish::new("a", "").qos(QoS::ExactlyOnce)) {
            Ok(publishing) => taken.push(publishing),
            Err(PublishError::NotTaken(PublishRefused::Full)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || {
                for _ in 0..200 {
                    client
                        .publish(Publish::new("a", "").qos(QoS::ExactlyOnce))
                        .unwrap();
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().unwrap();
    }
    for publishing in taken {
        client.wait(publishing).unwrap();
    }
}

#[test]
fn in_manual_mode_the_application_acknowledges() {
    let broker = broker();
    let mut options = options(&broker, "c");
    options.session.acknowledge = Acknowledge::Manual;
    let one = Value::TwoByteInteger(1);
    options
        .session
        .properties
        .push(PropertyId::ReceiveMaximum, one)
        .unwrap();
    let client = blocking::Client::connect(options).unwrap();
    let mut messages = client.subscribe("a", QoS::AtLeastOnce).unwrap();
    for text in ["1", "2"] {
        client
            .publish(Publish::new("a", text).qos(QoS::AtLeastOnce))
            .unwrap();
    }
    let first = messages.next_timeout(PATIENCE).unwrap();
    // Anything that the broker had sent on this connection before would be here by now.
    client
        .publish(Publish::new("b", "").qos(QoS::AtLeastOnce))
        .unwrap();
    assert!(messages.try_next().is_none());
    assert!(client.acknowledge(&first, ReasonCode::SUCCESS));
    assert!(!client.acknowledge(&first, ReasonCode::SUCCESS));
    assert_eq!(payloads(&mut messages, 1), ["2"]);
}

#[test]
fn a_broker_in_this_process_needs_no_socket() {
    let broker = Arc::new(Broker::start(Config::default()).unwrap());
    let inside = broker.clone();
    let options = ConnectOptions::in_process(move || Ok(inside.connect()));
    let client = blocking::Client::connect(options).unwrap();
    let mut messages = client.subscribe("a", QoS::ExactlyOnce).unwrap();
    client
        .publish(Publish::new("a", "1").qos(QoS::ExactlyOnce))
        .unwrap();
    assert_eq!(payloads(&mut messages, 1), ["1"]);
    client.disconnect();
}

/// Counts how often a task was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn futures_can_be_dropped_at_any_time() {
    let broker = broker();
    let client = block_on(Client::connect(options(&broker, "c"))).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count);
    let mut context = Context::from_waker(&waker);
    // Dropped before it was polled: not sent. Dropped after: sent, and its answer is nobody's.
    let publish = || Publish::new("a", "").qos(QoS::AtLeastOnce);
    let mut messages = block_on(client.subscribe("a", QoS::AtLeastOnce)).unwrap();
    drop(client.publish(publish()));
    let mut polled = Box::pin(client.publish(publish()));
    let _ = polled.as_mut().poll(&mut context);
    drop(polled);
    block_on(client.publish(publish())).unwrap();
    assert!(block_on(messages.next()).is_some());
    assert!(block_on(messages.next()).is_some());
    assert!(messages.try_next().is_none());
    // A cancelled subscribe leaves no subscription behind; neither does one that is answered at once.
    let mut polled = Box::pin(client.subscribe("b", QoS::AtLeastOnce));
    let _ = polled.as_mut().poll(&mut context);
    drop(polled);
    let outcome = block_on(client.publish(Publish::new("b", "").qos(QoS::AtLeastOnce))).unwrap();
    assert_eq!(outcome.reason, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    // A cancelled wait for a message loses none.
    let mut next = Box::pin(messages.next());
    assert!(next.as_mut().poll(&mut context).is_pending());
    drop(next);
    block_on(client.publish(publish())).unwrap();
    assert!(block_on(messages.next()).is_some());
    // A cancelled connect ends the attempt.
    let mut attempt = Box::pin(Client::connect(options(&broker, "d")));
    let _ = attempt.as_mut().poll(&mut context);
    drop(attempt);
}

fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| {
        let comm = task.ok()?.path().join("comm");
        std::fs::read_to_string(comm).ok()
    });
    names.filter(|comm| comm.trim() == name).count()
}
