//! Mount points: clients that take a part of the tree of topics for the whole.

use super::desk::*;
use crate::broker::{
    AutoSubscription, ConnId, DelayedLimits, ListenerLimits, MountPoint, Rates, Rewrite, RewriteOn,
    Topics,
};
use crate::codec::{
    Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, QoS,
    SubscriptionOptions, Will,
};
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;
use std::sync::Arc;

/// The listener with the whole tree.
pub(super) const OPEN: u16 = 0;
/// `t/`, which most of these tests are about.
pub(super) const T: u16 = 1;
/// `u/`, to be seen nothing of.
pub(super) const U: u16 = 2;
/// `users/${username}/`.
const USER: u16 = 3;
/// `${clientid}/x/`.
const ID: u16 = 4;
/// `at/${host}/`.
const HOST: u16 = 5;

pub(super) fn listeners() -> Vec<Arc<ListenerLimits>> {
    let points = [
        "",
        "t/",
        "u/",
        "users/${username}/",
        "${clientid}/x/",
        "at/${host}/",
    ];
    let limits = points.map(|text| {
        let point: Option<MountPoint> = text.parse().ok();
        let limits = ListenerLimits::new(Rates::UNLIMITED, Rates::UNLIMITED);
        Arc::new(limits.with_mount_point(point))
    });
    limits.into()
}

fn desk_with(topics: Topics) -> Desk {
    let mut desk = Desk::with_topics(topics);
    desk.shard.set_listeners(listeners());
    desk
}

fn id(qos: QoS) -> u16 {
    u16::from(qos != Q0)
}

fn desk() -> Desk {
    desk_with(Topics::default())
}

fn at(desk: &mut Desk, listener: u16, version: ProtocolVersion, name: &str) -> ConnId {
    desk.listener = listener;
    desk.client(version, name)
}

fn topics(desk: &mut Desk, conn: ConnId) -> Vec<String> {
    desk.messages(conn).into_iter().map(|m| m.topic).collect()
}

fn durable_at(desk: &mut Desk, listener: u16, name: &str) -> (ConnId, bool) {
    desk.listener = listener;
    desk.durable(V5_0, name)
}

#[test]
fn topics_have_the_mount_point_inside_and_not_outside() {
    for version in [V3_1_1, V5_0] {
        for qos in [Q0, Q1, Q2] {
            let mut desk = desk();
            let whole = at(&mut desk, OPEN, V3_1_1, "whole");
            let [one, two] = ["one", "two"].map(|id| at(&mut desk, T, version, id));
            let other = at(&mut desk, U, version, "other");
            for conn in [whole, one, two, other] {
                desk.subscribe(conn, "#", qos);
            }
            desk.publish(one, "a/b", "inside", qos, id(qos));
            desk.publish(whole, "t/c", "outside", qos, id(qos));
            desk.publish(other, "a/b", "elsewhere", qos, id(qos));
            let mut got = |conn, of: &[&str]| {
                let all = desk.take_all(conn).into_iter();
                let topics = all.filter_map(|got| match got {
                    Got::Publish(message) => {
                        assert_eq!(message.qos, qos);
                        Some(message.topic)
                    }
                    _ => None,
                });
                assert_eq!(topics.collect::<Vec<_>>(), of, "{version:?} {qos:?}");
            };
            got(whole, &["t/a/b", "t/c", "u/a/b"]);
            got(one, &["a/b", "c"]);
            got(two, &["a/b", "c"]);
            got(other, &["a/b"]);
            desk.check_books();
        }
    }
}

/// What a client behind `t/` may try to subscribe to.
const FILTERS: &[&str] = &[
    "#",
    "+",
    "+/#",
    "+/+",
    "/#",
    "//",
    "../#",
    "../../#",
    "..",
    "t/#",
    "$SYS/#",
    "$SYS",
    "$share/g/#",
    "$share/g/+/x",
    "$share/g/$SYS/#",
    "$share/g/$exclusive/#",
    "$exclusive/#",
    "$exclusive/u/x",
    "$exclusive/$share/h/#",
    "$delayed/#",
    "$delayed/0/u/x",
];

/// And to publish to.
const NAMES: &[&str] = &[
    "x",
    "/",
    "//",
    "../u/x",
    "..",
    "u/x",
    "$SYS/x",
    "$SYS",
    "$share/g/x",
    "$share",
    "$exclusive/x",
    "$delayed/0/u/x",
    "$delayed/0//",
    "$delayed/0/../u/x",
    "$delayed/0/$SYS/x",
    "$delayed/0/$delayed/0/u/x",
];

/// None of it is below.
const ELSEWHERE: &[&str] = &[
    "x",
    "u/x",
    "u/",
    "t",
    "tt/x",
    "/",
    "/t/x",
    "$share/g/x",
    "$exclusive/u/x",
    "../x",
];

/// Whatever a client behind a mount point names, it is below it.
#[test]
fn nothing_outside_is_reached() {
    for (exclusive, delayed) in [(false, false), (true, true)] {
        let mut desk = desk_with(Topics {
            exclusive,
            delayed: delayed.then(DelayedLimits::default),
            ..Topics::default()
        });
        let mut inside: Vec<ConnId> = Vec::new();
        for (at_filter, filter) in FILTERS.iter().enumerate() {
            let conn = at(&mut desk, T, V5_0, &format!("in{at_filter}"));
            let code = desk.subscribe(conn, filter, Q1);
            assert!(code <= 2 || exclusive, "{filter}: {code}");
            inside.push(conn);
        }
        let whole = at(&mut desk, OPEN, V5_0, "whole");
        for topic in ELSEWHERE {
            desk.publish(whole, topic, "", Q1, 1);
            desk.retain(whole, topic, "kept");
        }
        // Neither at once, nor as what is retained when they subscribe again.
        for (conn, filter) in inside.iter().zip(FILTERS) {
            desk.subscribe(*conn, filter, Q1);
            assert_eq!(topics(&mut desk, *conn), [""; 0], "{filter}");
        }
        desk.take_all(whole);
        for filter in ["#", "$SYS/#", "$share/g/#", "$exclusive/#", "$delayed/#"] {
            desk.subscribe(whole, filter, Q0);
        }
        desk.take_all(whole);
        let publisher = at(&mut desk, T, V5_0, "publisher");
        for name in NAMES {
            desk.publish(publisher, name, "", Q1, 1);
            desk.wait(1);
            let got = topics(&mut desk, whole);
            assert!(
                got.iter().all(|topic| topic.starts_with("t/")),
                "{name}: {got:?}"
            );
            assert!(!got.is_empty(), "{name}");
        }
        desk.check_books();
    }
}

/// `t/#` is about `t` too, and `t/` has nothing behind the mount point.
#[test]
fn what_has_no_name_inside_is_dropped_and_counted() {
    let mut desk = desk();
    let whole = at(&mut desk, OPEN, V5_0, "whole");
    desk.retain(whole, "t", "kept");
    let (inside, _) = durable_at(&mut desk, T, "inside");
    desk.subscribe(inside, "#", Q2);
    for (topic, qos) in [("t", Q0), ("t/", Q0), ("t", Q1), ("t/", Q2), ("t//", Q0)] {
        desk.publish(whole, topic, "", qos, id(qos));
    }
    assert_eq!(topics(&mut desk, inside), ["/"]);
    assert_eq!(desk.stats().dropped.outside_mount, 5);
    // The same of what has waited.
    desk.cut(inside);
    desk.publish(whole, "t", "", Q1, 10);
    let (inside, present) = durable_at(&mut desk, T, "inside");
    assert!(present);
    assert_eq!(topics(&mut desk, inside), [""; 0]);
    assert_eq!(desk.stats().dropped.outside_mount, 6);
    desk.check_books();
}

#[test]
fn retained_messages_and_subscriptions_are_relative() {
    let mut desk = desk();
    let [one, two] = ["one", "two"].map(|id| at(&mut desk, T, V5_0, id));
    let whole = at(&mut desk, OPEN, V3_1_1, "whole");
    desk.retain(one, "state/a", "kept");
    desk.retain(whole, "t/state/b", "kept too");
    desk.retain(whole, "state/c", "not theirs");
    desk.subscribe(two, "state/+", Q1);
    let mut got = topics(&mut desk, two);
    got.sort();
    assert_eq!(got, ["state/a", "state/b"]);
    desk.subscribe(whole, "t/state/a", Q0);
    assert_eq!(topics(&mut desk, whole), ["t/state/a"]);
    desk.retain(one, "state/a", "");
    assert_eq!(desk.store.len(), 2);
    desk.take_all(whole);
    // Subscriptions end by the name they were made with.
    assert_eq!(desk.unsubscribe(whole, &["t/state/a"]), [0; 0]);
    desk.take_all(two);
    assert_eq!(desk.unsubscribe(two, &["t/state/+"]), [0x11]);
    assert_eq!(desk.unsubscribe(two, &["state/+"]), [0]);
    desk.publish(whole, "t/state/a", "", Q0, 0);
    assert_eq!(desk.messages(two).len(), 0);
    // An identifier comes along, and No Local holds.
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SubscriptionIdentifier, 77);
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    desk.subscribe_with(two, &[("n", options)], properties.get());
    desk.publish(two, "n", "own", Q0, 0);
    desk.publish(one, "n", "other", Q0, 0);
    let got = desk.messages(two);
    assert_eq!(
        (got.len(), got[0].text(), &*got[0].topic),
        (1, "other", "n")
    );
    let id = got[0]
        .properties
        .get()
        .number(PropertyId::SubscriptionIdentifier);
    assert_eq!(id, Some(77));
    desk.check_books();
}

#[test]
fn groups_of_different_mount_points_are_different() {
    let mut desk = desk();
    let [a, b] = ["a", "b"].map(|id| at(&mut desk, T, V5_0, id));
    let other = at(&mut desk, U, V5_0, "other");
    for conn in [a, b, other] {
        assert_eq!(desk.subscribe(conn, "$share/g/jobs", Q1), 1);
    }
    let publisher = at(&mut desk, T, V3_1_1, "publisher");
    for n in 0..4 {
        desk.publish(publisher, "jobs", "", Q1, n + 1);
    }
    for conn in [a, b] {
        assert_eq!(topics(&mut desk, conn), ["jobs", "jobs"]);
    }
    assert!(desk.got(other).is_empty());
    assert_eq!(desk.unsubscribe(a, &["$share/g/jobs"]), [0]);
    for filter in ["$share/g", "$share/g/", "$share//x", "$share/+/x"] {
        assert_eq!(desk.subscribe(a, filter, Q1), 0x8F, "{filter}");
    }
}

fn will(topic: &str) -> Will<'_> {
    Will {
        topic,
        payload: b"gone",
        qos: Q1,
        retain: true,
        properties: Properties::EMPTY,
    }
}

#[test]
fn wills_delays_and_what_the_server_subscribes_are_inside() {
    let options = SubscriptionOptions::default();
    let auto = AutoSubscription::new("in/${clientid}", options).unwrap();
    let mut desk = desk_with(Topics {
        auto_subscribe: vec![auto],
        delayed: Some(DelayedLimits::default()),
        rewrite: vec![Rewrite::new(RewriteOn::All, "t/old/#", None, "t/new/$1").unwrap()],
        ..Topics::default()
    });
    let whole = at(&mut desk, OPEN, V5_0, "whole");
    desk.subscribe(whole, "#", Q0);
    for (topic, came) in [
        ("w", "t/w"),
        ("old/w", "t/new/w"),
        ("$delayed/0/w", "t/w"),
        ("$SYS/w", "t/$SYS/w"),
    ] {
        let mut connect = Connect::new(V5_0, "dying");
        connect.will = Some(will(topic));
        desk.listener = T;
        let dying = desk.connect(connect);
        desk.connack(dying);
        desk.cut(dying);
        desk.wait(1);
        assert_eq!(topics(&mut desk, whole), [came]);
    }
    let inside = at(&mut desk, T, V5_0, "inside");
    desk.publish(whole, "t/in/inside", "", Q0, 0);
    desk.publish(whole, "in/inside", "", Q0, 0);
    assert_eq!(topics(&mut desk, inside), ["in/inside"]);
    desk.take_all(whole);
    desk.subscribe(inside, "old/#", Q0);
    desk.take_all(inside);
    desk.publish(inside, "$delayed/2/old/x", "", Q1, 1);
    desk.wait(1_999);
    assert_eq!(topics(&mut desk, whole), [""; 0]);
    desk.wait(2);
    assert_eq!(topics(&mut desk, whole), ["t/new/x"]);
    for malformed in ["$delayed/2", "$delayed/2/", "$delayed/x/y", "$delayed//y"] {
        desk.take_all(inside);
        desk.publish(inside, malformed, "", Q1, 1);
        let invalid = Got::Ack(PacketType::PubAck, 1, ReasonCode::TOPIC_NAME_INVALID);
        assert_eq!(desk.take(inside), invalid, "{malformed}");
    }
    desk.listener = T;
    let mut connect = Connect::new(V5_0, "refused");
    let long = "x".repeat(65_534);
    connect.will = Some(will(&long));
    let refused = desk.connect(connect);
    let got = desk.take(refused);
    assert!(
        matches!(
            got,
            Got::ConnAck {
                reason: ReasonCode::TOPIC_NAME_INVALID,
                ..
            }
        ),
        "{got:?}"
    );
    desk.check_books();
}

#[test]
fn aliases_stand_for_what_the_client_knows() {
    let mut desk = desk();
    desk.listener = T;
    let reader = client_with(&mut desk, "reader", &[(PropertyId::TopicAliasMaximum, 1)]);
    let writer = at(&mut desk, T, V5_0, "writer");
    let whole = at(&mut desk, OPEN, V5_0, "whole");
    for conn in [reader, whole] {
        desk.subscribe(conn, "#", Q0);
    }
    let mut alias = PropertiesBuf::default();
    alias.push_number(PropertyId::TopicAlias, 1);
    for topic in ["some/topic", "", ""] {
        let mut publish = Publish::new(topic, b"");
        publish.properties = alias.get();
        desk.send(writer, Packet::Publish(publish));
    }
    assert_eq!(topics(&mut desk, whole), ["t/some/topic"; 3]);
    assert_eq!(topics(&mut desk, reader), ["some/topic", "", ""]);
    // Without an alias, what comes as it is goes as it is only to who has the whole name.
    desk.publish(writer, "none", "", Q0, 0);
    desk.publish(whole, "t/none", "", Q0, 0);
    assert_eq!(topics(&mut desk, whole), ["t/none"; 2]);
    assert_eq!(topics(&mut desk, reader), ["none"; 2]);
    desk.check_books();
}

/// Refused by itself: the connection stays.
#[test]
fn topics_that_are_too_long_or_deep_behind_it_are_refused_with_words() {
    let mut desk = desk();
    let levels = crate::broker::Limits::default().topic_levels;
    let long = "x".repeat(65_534);
    let deep = "/".repeat(levels - 1);
    let inside = at(&mut desk, T, V5_0, "inside");
    let old = at(&mut desk, T, V3_1_1, "old");
    for topic in [&long, &deep] {
        desk.publish(inside, topic, "", Q1, 1);
        desk.publish(inside, topic, "", Q2, 2);
        desk.publish(inside, topic, "", Q0, 0);
        desk.publish(old, topic, "", Q1, 1);
        let invalid = ReasonCode::TOPIC_NAME_INVALID;
        assert_eq!(desk.take(inside), Got::Ack(PacketType::PubAck, 1, invalid));
        assert_eq!(desk.take(inside), Got::Ack(PacketType::PubRec, 2, invalid));
        assert_eq!(
            desk.take(old),
            Got::Ack(PacketType::PubAck, 1, ReasonCode::SUCCESS)
        );
        assert_eq!(desk.subscribe(inside, topic, Q1), 0x8F);
        assert_eq!(desk.subscribe(old, topic, Q1), 0x80);
        assert_eq!(desk.unsubscribe(inside, &[topic]), [0x8F]);
    }
    assert_eq!(desk.stats().publishes_refused.total(), 8);
    for words in [
        "too long behind the listener's",
        "too many levels behind the listener's",
    ] {
        assert!(
            desk.said.iter().any(|(_, said)| said.contains(words)),
            "{:?}",
            desk.said
        );
    }
    // The longest that fits.
    desk.subscribe(inside, "#", Q0);
    let longest = &long[..65_533];
    desk.publish(inside, longest, "", Q0, 0);
    assert_eq!(topics(&mut desk, inside), [longest]);
    desk.check_books();
}

#[test]
fn who_can_not_have_its_mount_point_is_refused_and_told_why() {
    let mut desk = desk();
    let whole = at(&mut desk, OPEN, V5_0, "whole");
    desk.subscribe(whole, "#", Q0);
    let invalid = ReasonCode::CLIENT_IDENTIFIER_NOT_VALID;
    let not_authorized = ReasonCode::NOT_AUTHORIZED;
    for version in [V3_1_1, V5_0] {
        for (listener, id, user, refused) in [
            (USER, "c", Some("ann"), None),
            (USER, "c", None, Some((not_authorized, "user name"))),
            (USER, "c", Some(""), Some((not_authorized, "user name"))),
            (USER, "c", Some("a/b"), Some((not_authorized, "user name"))),
            (USER, "c", Some("+"), Some((not_authorized, "user name"))),
            (USER, "c", Some("#"), Some((not_authorized, "user name"))),
            (USER, "a/b", Some("$SYS"), None),
            (ID, "c", None, None),
            (ID, "a/b", None, Some((invalid, "client identifier"))),
            (ID, "+", None, Some((invalid, "client identifier"))),
            (ID, "$SYS", None, Some((invalid, "client identifier"))),
            (HOST, "c", None, Some((not_authorized, "IP address"))),
        ] {
            desk.said.clear();
            desk.listener = listener;
            let mut connect = Connect::new(version, id);
            connect.user_name = user;
            let conn = desk.connect(connect);
            let Got::ConnAck { reason, .. } = desk.take(conn) else {
                panic!("no CONNACK");
            };
            let Some((expected, words)) = refused else {
                assert_eq!(reason, ReasonCode::SUCCESS, "{id} {user:?}");
                desk.publish(conn, "p", "", Q0, 0);
                let place = if listener == ID { "c/x" } else { "users" };
                let got = topics(&mut desk, whole);
                assert!(
                    got[0].starts_with(place) && got[0].ends_with("/p"),
                    "{got:?}"
                );
                desk.cut(conn);
                continue;
            };
            assert!(!desk.is_open(conn) && !desk.shard.has_session(id));
            if version == V5_0 {
                assert_eq!(reason, expected, "{id} {user:?}");
                let (_, said) = desk.said.last().unwrap();
                assert!(said.contains(words), "{said}");
            } else {
                assert!(reason.is_error());
            }
        }
    }
    desk.peer = Some([192, 0, 2, 7].into());
    let here = at(&mut desk, HOST, V3_1_1, "here");
    desk.publish(here, "p", "", Q0, 0);
    assert_eq!(topics(&mut desk, whole), ["at/192.0.2.7/p"]);
}

/// Sessions belong to no listener: what they are due that has no name there is not sent by another one.
#[test]
fn a_session_that_comes_back_through_another_listener_is_told_no_wrong_name() {
    let mut desk = desk();
    let publisher = at(&mut desk, T, V3_1_1, "publisher");
    let (sub, _) = durable_at(&mut desk, T, "sub");
    desk.subscribe(sub, "#", Q2);
    for (qos, id) in [(Q1, 1), (Q2, 2)] {
        desk.publish(publisher, "sent", "", qos, id);
    }
    assert_eq!(topics(&mut desk, sub), ["sent"; 2]);
    desk.cut(sub);
    for (qos, id) in [(Q1, 3), (Q2, 4)] {
        desk.publish(publisher, "queued", "", qos, id);
    }
    // Where all have names, whole ones.
    let (sub, present) = durable_at(&mut desk, OPEN, "sub");
    assert!(present);
    let got = desk.messages(sub);
    let told: Vec<_> = got.iter().map(|m| (&*m.topic, m.dup)).collect();
    let sent = ("t/sent", true);
    assert_eq!(told, [sent, sent, ("t/queued", false), ("t/queued", false)]);
    desk.cut(sub);
    // Where none of them has one: given up those that were sent once, dropped the others.
    desk.publish(publisher, "late", "", Q1, 5);
    let (sub, present) = durable_at(&mut desk, U, "sub");
    assert!(present);
    desk.publish(publisher, "live", "", Q1, 6);
    desk.publish(publisher, "live", "", Q0, 0);
    assert_eq!(topics(&mut desk, sub), [""; 0]);
    assert_eq!(
        (desk.stats().given_up, desk.stats().dropped.outside_mount),
        (4, 3)
    );
    desk.subscribe(sub, "own", Q1);
    let other = at(&mut desk, U, V5_0, "other");
    desk.publish(other, "own", "", Q1, 1);
    assert_eq!(topics(&mut desk, sub), ["own"]);
    desk.check_books();
}

/// What changes holds for those who come, and who is there keeps its own.
#[test]
fn another_mount_point_is_for_new_connections() {
    let mut desk = desk();
    let before = at(&mut desk, T, V5_0, "before");
    let mut all = listeners();
    all.swap(usize::from(T), usize::from(U));
    desk.shard.set_listeners(all);
    let after = at(&mut desk, T, V5_0, "after");
    let whole = at(&mut desk, OPEN, V5_0, "whole");
    desk.subscribe(whole, "#", Q0);
    desk.publish(before, "x", "", Q0, 0);
    desk.publish(after, "x", "", Q0, 0);
    assert_eq!(topics(&mut desk, whole), ["t/x", "u/x"]);
}

/// One message to many, of which some have a mount point: its frames are not mixed up.
#[test]
fn each_of_many_gets_its_own_name() {
    let mut desk = desk();
    let mut all = Vec::new();
    for n in 0..24_u16 {
        let (listener, version) = (
            [OPEN, T][usize::from(n) % 2],
            [V3_1_1, V5_0][usize::from(n) / 2 % 2],
        );
        let conn = at(&mut desk, listener, version, &n.to_string());
        let filter = if listener == OPEN { "t/x" } else { "x" };
        let qos = QoS::from_bits((n % 3) as u8).unwrap();
        desk.subscribe(conn, filter, qos);
        all.push((conn, filter));
    }
    for (from, topic) in [(OPEN, "t/x"), (T, "x")] {
        let publisher = at(&mut desk, from, V5_0, "publisher");
        for (payload, qos, id) in [("q0", Q0, 0), ("q2", Q2, 1)] {
            desk.publish(publisher, topic, payload, qos, id);
            for (conn, name) in &all {
                let got = desk.messages(*conn);
                assert_eq!(
                    (got.len(), &*got[0].topic, got[0].text()),
                    (1, *name, payload)
                );
            }
        }
    }
    desk.check_books();
}
