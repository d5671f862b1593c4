//! Subscriptions with several filters, and those that stay with the server.
#![allow(missing_docs)]

mod peer;

use std::time::Duration;

use peer::{PATIENCE, Server};
use ternmq_broker::{Broker, Config};
use ternmq_client::blocking::{Client, Subscription};
use ternmq_client::{
    Backoff, ConnectOptions, ProtocolVersion, Publish, QoS, ReasonCode, Subscribe, SubscribeError,
    SubscribeOptions,
};
use ternmq_protocol::client::RequestRefused;
use ternmq_protocol::codec::{Packet, PropertyId, Value};

fn broker() -> Broker {
    // A shard alone knows that nobody has subscribed.
    Broker::start(Config {
        shards: 1,
        ..Config::listen("127.0.0.1:0".parse().unwrap())
    })
    .unwrap()
}

fn options(broker: &Broker) -> ConnectOptions {
    let uri = format!("mqtt://{}", broker.local_addrs()[0]);
    ConnectOptions::from_uri(&uri).unwrap().client_id("c")
}

fn publish(client: &Client, topic: &str, payload: &str) {
    let publish = Publish::new(topic, payload).qos(QoS::ExactlyOnce);
    client.publish(publish).unwrap();
}

/// Whether somebody has subscribed to it.
fn is_wanted(client: &Client, topic: &str) -> bool {
    let publish = Publish::new(topic, "").qos(QoS::AtLeastOnce);
    client.publish(publish).unwrap().reason != ReasonCode::NO_MATCHING_SUBSCRIBERS
}

fn take(messages: &mut Subscription) -> (String, QoS) {
    let message = messages.next_timeout(PATIENCE).unwrap();
    (message.text().unwrap().to_owned(), message.qos())
}

#[test]
fn several_filters_share_a_queue_and_have_a_qos_each() {
    let broker = broker();
    for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5_0] {
        let client = Client::connect(options(&broker).version(version)).unwrap();
        let subscribe = Subscribe::new("a/+", QoS::AtLeastOnce)
            .filter("b", QoS::ExactlyOnce)
            .filter("a/b", QoS::AtMostOnce);
        let mut messages = client.subscribe_with(subscribe).unwrap();
        assert_eq!(messages.filters(), ["a/+", "b", "a/b"]);

        let codes: Vec<u8> = messages.codes().iter().map(|code| code.0).collect();
        assert_eq!(
            (codes, messages.granted()),
            (vec![1, 2, 0], QoS::ExactlyOnce)
        );
        publish(&client, "a/b", "1");
        publish(&client, "b", "2");
        publish(&client, "a/c", "3");
        // Behind its answer everything has come.
        client.subscribe("other", QoS::AtMostOnce).unwrap();
        assert_eq!(messages.waiting(), 3);
        let got = [
            take(&mut messages),
            take(&mut messages),
            take(&mut messages),
        ];
        let expected = [
            ("1", QoS::AtLeastOnce),
            ("2", QoS::ExactlyOnce),
            ("3", QoS::AtLeastOnce),
        ];
        assert_eq!(got, expected.map(|(text, qos)| (text.to_owned(), qos)));
        assert!(messages.try_next().is_none());
        client.unsubscribe(messages).unwrap();
        if version.is_v5() {
            for topic in ["a/b", "b", "a/c"] {
                assert!(!is_wanted(&client, topic));
            }
        }
    }
}

#[test]
fn an_identifier_comes_with_each_message_and_user_properties_go_to_the_server() {
    let server = Server::start();
    let mut options = server.options();
    options.reconnect = Some(Backoff {
        min: Duration::ZERO,
        ..Backoff::default()
    });
    std::thread::scope(|scope| {
        let subscribing = scope.spawn(|| {
            let client = Client::connect(options).unwrap();
            let subscribe = Subscribe::new("t", QoS::AtMostOnce)
                .filter("u", SubscribeOptions::new(QoS::AtLeastOnce).no_local())
                .identifier(7)
                .user_property("k", "v");
            let messages = client.subscribe_with(subscribe).unwrap();
            (client, messages)
        });
        let mut conn = server.accept_mqtt(false);
        let look = |packet: Packet<'_>| match packet {
            Packet::Subscribe(subscribe) => {
                let properties = subscribe.properties;
                let id = properties.number(PropertyId::SubscriptionIdentifier);
                let pairs: Vec<_> = properties.user_properties().collect();
                assert_eq!((id, pairs), (Some(7), vec![("k", "v")]));
                let asked = subscribe
                    .requests()
                    .map(|(f, o)| (f.to_owned(), o.qos, o.no_local));
                let asked: Vec<_> = asked.collect();
                let (t, u) = ("t".to_owned(), "u".to_owned());
                let expected = [(t, QoS::AtMostOnce, false), (u, QoS::AtLeastOnce, true)];
                assert_eq!(asked, expected);
                subscribe.packet_id
            }
            other => panic!("not a SUBSCRIBE: {other:?}"),
        };
        // The second filter is refused.
        let id = conn.expect(look).to_be_bytes();
        conn.send(&[0x90, 5, id[0], id[1], 0, 0, 0x87]);
        let (_client, mut messages) = subscribing.join().unwrap();
        assert_eq!(
            messages.codes(),
            [ReasonCode::SUCCESS, ReasonCode::NOT_AUTHORIZED]
        );
        // PUBLISH to t with Subscription Identifier 7.
        conn.send(&[0x30, 6, 0, 1, b't', 2, 0x0B, 7]);
        let message = messages.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.incoming().subscription_ids.as_slice(), [7]);
        // What was granted is asked for again, with all that it was asked for with.
        drop(conn);
        let mut conn = server.accept_mqtt(false);
        conn.expect(|packet| match packet {
            Packet::Subscribe(subscribe) => {
                let value = subscribe.properties.get(PropertyId::SubscriptionIdentifier);
                assert_eq!(value, Some(Value::VariableByteInteger(7)));
                let filters: Vec<_> = subscribe.requests().map(|(filter, _)| filter).collect();
                assert_eq!(filters, ["t"]);
            }
            other => panic!("not a SUBSCRIBE: {other:?}"),
        });
    });
}

#[test]
fn what_can_not_be_subscribed_to_is_told() {
    let broker = broker();
    let client = Client::connect(options(&broker)).unwrap();
    let wrong = |subscribe: Subscribe<'_>| client.subscribe_with(subscribe).unwrap_err();
    let plain = || Subscribe::new("a", QoS::AtMostOnce);
    assert!(matches!(
        wrong(plain().filter("a/#/b", QoS::AtMostOnce)),
        SubscribeError::Filter(_)
    ));
    for identifier in [0, 268_435_456] {
        let error = wrong(plain().identifier(identifier));
        let refused = matches!(error, SubscribeError::NotSent(RequestRefused::Encode(_)));
        assert!(refused, "{error:?}");
    }
    let error = wrong(plain().user_property("\0", ""));
    assert!(
        matches!(error, SubscribeError::NotSent(RequestRefused::Encode(_))),
        "{error:?}"
    );
    // Nothing of it is left behind.
    assert!(!is_wanted(&client, "a"));
}

#[test]
fn a_kept_subscription_goes_on_with_the_server() {
    let broker = broker();
    let session = |clean: bool| {
        let mut options = options(&broker).clean_start(clean);
        let expiry = Value::FourByteInteger(60);
        let properties = &mut options.session.properties;
        properties
            .push(PropertyId::SessionExpiryInterval, expiry)
            .unwrap();
        Client::connect(options).unwrap()
    };
    let client = session(true);
    let kept = || {
        Subscribe::new("a", QoS::AtLeastOnce)
            .filter("b", QoS::AtLeastOnce)
            .keep()
    };
    let mut messages = client.subscribe_with(kept()).unwrap();
    for text in ["1", "2"] {
        publish(&client, "a", text);
    }
    let first = messages.next_timeout(PATIENCE).unwrap();
    messages.put_back(vec![first]);
    drop(messages);
    // What nobody took, and what comes while nobody is there, waits for the next one.
    publish(&client, "b", "3");
    let mut messages = client.subscribe("b", QoS::AtLeastOnce).unwrap();
    assert_eq!(take(&mut messages).0, "3");
    let mut messages = client.subscribe_with(kept()).unwrap();
    assert_eq!([take(&mut messages).0, take(&mut messages).0], ["1", "2"]);
    drop(messages);
    client.disconnect();
    let other = Client::connect(options(&broker).client_id("other")).unwrap();
    publish(&other, "b", "4");
    let client = session(false);
    let mut messages = client.subscribe_with(kept()).unwrap();
    assert_eq!(take(&mut messages).0, "4");
    client.unsubscribe(messages).unwrap();
    assert!(!is_wanted(&other, "b"));
}
