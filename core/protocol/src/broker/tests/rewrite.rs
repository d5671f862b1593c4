//! Rules that make other topics, and subscriptions that the server makes.

use super::desk::{Desk, Got, Q0, Q1, Q2, V3_1_1, V5_0};
use crate::broker::{AutoSubscription, ConnId, DelayedLimits, Rewrite, RewriteOn, Topics};
use crate::codec::{
    Connect, Packet, PacketType, PropertiesBuf, PropertyId, Publish, RetainHandling,
    SubscriptionOptions, Will,
};
use crate::reason::ReasonCode;
use RewriteOn::{All, Publish as OnPublish, Subscribe as OnSubscribe};

fn desk(rules: &[(RewriteOn, &str, Option<&str>, &str)]) -> Desk {
    let rule = |(on, source, expression, target): &(_, &str, Option<&str>, &str)| {
        Rewrite::new(*on, source, *expression, target).unwrap()
    };
    Desk::with_topics(Topics {
        rewrite: rules.iter().map(rule).collect(),
        delayed: Some(DelayedLimits::default()),
        ..Topics::default()
    })
}

fn named(desk: &mut Desk, client_id: &str, user: Option<&str>) -> ConnId {
    let mut connect = Connect::new(V5_0, client_id);
    connect.user_name = user;
    let conn = desk.connect(connect);
    desk.connack(conn);
    conn
}

fn topics(desk: &mut Desk, conn: ConnId) -> Vec<String> {
    desk.messages(conn).into_iter().map(|m| m.topic).collect()
}

#[test]
fn the_first_rule_that_is_for_a_topic_holds_in_its_direction() {
    let mut desk = desk(&[
        (OnPublish, "a/+/c", None, "x/$1"),
        (OnPublish, "a/#", None, "y/$1"),
        (OnSubscribe, "s/#", None, "x/$1"),
        (All, "both/+", Some("/n(\\d+)$"), "x/number/$1"),
    ]);
    let (from, to) = (desk.client(V5_0, "from"), desk.client(V5_0, "to"));
    desk.subscribe(to, "#", Q0);
    for (sent, published) in [
        ("a/b/c", "x/b"),
        ("a/b", "y/b"),
        ("s/b", "s/b"),
        ("both/n17", "x/number/17"),
        ("both/x", "both/x"),
        ("$delayed/0/a/b/c", "x/b"),
    ] {
        desk.publish(from, sent, "", Q0, 0);
        desk.wait(1);
        assert_eq!(topics(&mut desk, to), [published], "{sent}");
    }
    // Subscribing and its end mean the same filter.
    let third = desk.client(V3_1_1, "third");
    for (filter, published) in [("s/b", "a/b/c"), ("s/#", "a/q/c"), ("both/n1", "both/n1")] {
        assert_eq!(desk.subscribe(third, filter, Q0), 0);
        desk.publish(from, published, "", Q0, 0);
        assert_eq!(desk.messages(third).len(), 1, "{filter}");
        assert!(desk.unsubscribe(third, &[filter]).is_empty());
        desk.publish(from, published, "", Q0, 0);
        assert_eq!(desk.messages(third).len(), 0, "{filter}");
    }
    desk.check_books();
}

#[test]
fn aliases_stand_for_what_the_client_said() {
    let mut desk = desk(&[(OnPublish, "a/+", None, "b/$1")]);
    let (from, to) = (desk.client(V5_0, "from"), desk.client(V5_0, "to"));
    desk.subscribe(to, "#", Q0);
    let mut alias = PropertiesBuf::default();
    alias.push_number(PropertyId::TopicAlias, 1);
    for topic in ["a/x", "", ""] {
        let mut publish = Publish::new(topic, b"");
        publish.properties = alias.get();
        desk.send(from, Packet::Publish(publish));
    }
    assert_eq!(topics(&mut desk, to), ["b/x", "b/x", "b/x"]);
}

#[test]
fn retained_messages_and_wills_have_the_new_topic() {
    let mut desk = desk(&[(All, "a/+", None, "${clientid}/$1")]);
    let from = desk.client(V5_0, "from");
    desk.retain(from, "a/x", "kept");
    let to = desk.client(V5_0, "to");
    desk.subscribe(to, "from/#", Q0);
    assert_eq!(topics(&mut desk, to), ["from/x"]);
    let mut connect = Connect::new(V5_0, "dying");
    connect.will = Some(Will {
        topic: "a/gone",
        payload: b"",
        qos: Q0,
        retain: false,
        properties: crate::codec::Properties::EMPTY,
    });
    let dying = desk.connect(connect);
    desk.subscribe(to, "dying/gone", Q0);
    desk.cut(dying);
    assert_eq!(topics(&mut desk, to), ["dying/gone"]);
    connect.client_id = "d/y";
    let refused = desk.connect(connect);
    assert!(matches!(
        desk.take(refused),
        Got::ConnAck {
            reason: ReasonCode::TOPIC_NAME_INVALID,
            ..
        }
    ));
    assert!(!desk.shard.has_session("d/y"));
}

#[test]
fn what_no_topic_can_be_made_of_is_refused() {
    let mut desk = desk(&[
        (All, "user/+", None, "u/${username}/$1"),
        (All, "strip/#", None, "$1"),
        (All, "glue/+", None, "g$1"),
    ]);
    let (v5, nobody) = (
        named(&mut desk, "v5", Some("ann")),
        named(&mut desk, "nobody", None),
    );
    let spy = named(&mut desk, "spy", Some("#"));
    assert_eq!(desk.subscribe(v5, "user/x", Q1), 1);
    let invalid = ReasonCode::TOPIC_NAME_INVALID;
    for (conn, topic) in [
        (nobody, "user/x"),
        (spy, "user/x"),
        (v5, "strip/$SYS/x"),
        (v5, "strip"),
    ] {
        desk.publish(conn, topic, "", Q1, 3);
        assert_eq!(
            desk.take(conn),
            Got::Ack(PacketType::PubAck, 3, invalid),
            "{topic}"
        );
        desk.publish(conn, topic, "", Q2, 3);
        assert_eq!(
            desk.take(conn),
            Got::Ack(PacketType::PubRec, 3, invalid),
            "{topic}"
        );
        assert_eq!(desk.subscribe(conn, topic, Q1), 0x8F, "{topic}");
        assert_eq!(desk.unsubscribe(conn, &[topic]), [0x8F], "{topic}");
    }
    // `$SYS/#` can't be had by a detour, and `g+` is no filter.
    assert_eq!(desk.subscribe(v5, "strip/$SYS/#", Q1), 0x8F);
    assert_eq!(desk.subscribe(v5, "glue/+", Q1), 0x8F);
    assert_eq!(desk.subscribe(v5, "glue/x", Q1), 1);
    let old = desk.client(V3_1_1, "old");
    assert_eq!(desk.subscribe(old, "user/x", Q1), 0x80);
    desk.publish(old, "user/x", "", Q1, 3);
    let done = Got::Ack(PacketType::PubAck, 3, ReasonCode::SUCCESS);
    assert_eq!(desk.take(old), done);
    assert_eq!(desk.stats().publishes_refused.total(), 9);
    assert!(desk.got(v5).is_empty());
}

fn auto(filter: &str) -> AutoSubscription {
    let options = SubscriptionOptions {
        qos: Q1,
        retain_handling: RetainHandling::SendIfNew,
        ..SubscriptionOptions::default()
    };
    AutoSubscription::new(filter, options).unwrap()
}

#[test]
fn a_new_session_has_the_subscriptions_that_the_server_makes() {
    let mut desk = Desk::with_topics(Topics {
        auto_subscribe: vec![auto("in/${clientid}/#"), auto("from/${host}"), auto("all")],
        rewrite: vec![Rewrite::new(OnSubscribe, "all", None, "everybody").unwrap()],
        ..Topics::default()
    });
    desk.peer = Some([192, 0, 2, 9].into());
    let from = desk.client(V5_0, "from");
    desk.take_all(from);
    desk.retain(from, "in/c/kept", "old news");
    let (conn, present) = desk.durable(V3_1_1, "c");
    assert!(!present);
    assert_eq!(desk.texts(conn), ["old news"]);
    for (topic, text) in [
        ("in/c", "1"),
        ("in/c/x/y", "2"),
        ("in/d", "not his"),
        ("everybody", "3"),
        ("from/192.0.2.9", "4"),
    ] {
        desk.publish(from, topic, text, Q1, 1);
    }
    let got = desk.messages(conn);
    let texts: Vec<&str> = got.iter().map(|m| m.text()).collect();
    assert_eq!(texts, ["1", "2", "3", "4"]);
    assert!(got.iter().all(|m| m.qos == Q1));
    // A client may end one; its session comes back as it was.
    assert!(desk.unsubscribe(conn, &["in/c/#"]).is_empty());
    desk.cut(conn);
    let (conn, present) = desk.durable(V3_1_1, "c");
    assert!(present);
    desk.take_all(conn);
    desk.publish(from, "in/c", "5", Q1, 1);
    assert!(desk.got(conn).is_empty());
    assert_eq!(desk.stats().auto_subscribed, 6);
    desk.check_books();
}

/// A client identifier that is a piece of a filter gets nobody else's messages.
#[test]
fn a_name_never_widens_a_filter() {
    let mut desk = Desk::with_topics(Topics {
        auto_subscribe: vec![auto("in/${clientid}"), auto("${username}/#"), auto("all")],
        ..Topics::default()
    });
    for (client_id, user) in [
        ("#", Some("$SYS")),
        ("+", Some("+")),
        ("a/b", Some("a/#")),
        ("x+", None),
        ("/", Some("")),
    ] {
        let conn = named(&mut desk, client_id, user);
        assert_eq!(desk.stats().subscriptions, 1, "{client_id}");
        desk.cut(conn);
    }
    assert_eq!(desk.stats().auto_subscribe_refused, 10);
    let conn = named(&mut desk, "honest", Some("ann"));
    assert_eq!(desk.stats().subscriptions, 3);
    desk.cut(conn);
}
