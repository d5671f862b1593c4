//! SUBSCRIBE and UNSUBSCRIBE, and what options and overlaps do to deliveries.

use super::desk::*;
use crate::codec::subscribe::{RetainHandling, SubscriptionOptions};
use crate::codec::{Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, Subscribe};
use crate::reason::ReasonCode;

fn options(qos: crate::codec::QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    }
}

fn with_id(id: u32) -> PropertiesBuf {
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SubscriptionIdentifier, id);
    properties
}

// [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [MQTT-3.8.4-1] [MQTT-3.8.4-2]
// in MQTT 3.1.1 [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-3.9.3-2]
#[test]
fn each_filter_gets_its_code_in_order() {
    let requests = [
        ("a", options(Q2)),
        ("b/#/c", options(Q1)),
        ("+/b", options(Q0)),
        ("$share/g/a", options(Q1)),
        ("d", options(Q1)),
        ("", options(Q1)),
    ];
    let mut desk = Desk::new();
    let new = desk.client(V5_0, "new");
    let codes = desk.subscribe_with(new, &requests, Properties::EMPTY);
    assert_eq!(codes, [2, 0x8F, 0, 1, 1, 0x8F]);
    let old = desk.client(V3_1_1, "old");
    let codes = desk.subscribe_with(old, &requests, Properties::EMPTY);
    assert_eq!(codes, [2, 0x80, 0, 1, 1, 0x80]);
    assert_eq!(
        (desk.shard.subscriptions(), desk.stats().subscriptions),
        (7, 8),
        "the group counts once for others, and each member for itself"
    );
}

// [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1]
// [MQTT-3.11.3-2] [MQTT-2.2.1-6] in MQTT 3.1.1 [MQTT-2.3.1-7]
#[test]
fn unsubscribing_is_exact_and_answered_for_each_filter() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.subscribe(client, "a/+", Q0);
    desk.subscribe(client, "a/b", Q0);
    assert_eq!(
        desk.unsubscribe(client, &["a/#", "a/+", "+/#/x"]),
        [0x11, 0, 0x8F]
    );
    desk.publish(client, "a/c", "gone", Q0, 0);
    desk.publish(client, "a/b", "still", Q0, 0);
    assert_eq!(desk.texts(client), ["still"]);
    let old = desk.client(V3_1_1, "o");
    assert!(desk.unsubscribe(old, &["never"]).is_empty());
    assert_eq!(desk.shard.subscriptions(), 1);
}

// [MQTT-3.10.4-3]
#[test]
fn unsubscribing_lets_begun_deliveries_finish() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.subscribe(client, "a", Q2);
    desk.publish(client, "a", "x", Q1, 5);
    let Got::Publish(got) = desk.take(client) else {
        panic!("no PUBLISH");
    };
    desk.take(client);
    desk.unsubscribe(client, &["a"]);
    desk.ack(client, PacketType::PubAck, got.id);
    assert_eq!(desk.stats().acknowledged, 1);
}

// [MQTT-3.8.4-3] in MQTT 3.1.1 [MQTT-3.8.4-3]
#[test]
fn the_same_filter_again_replaces_the_subscription() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.subscribe(client, "a", Q2);
    desk.subscribe(client, "a", Q0);
    assert_eq!(desk.stats().subscriptions, 1);
    desk.publish(client, "a", "x", Q2, 1);
    let got = desk.take_all(client);
    assert!(matches!(&got[0], Got::Publish(m) if m.qos == Q0), "{got:?}");
}

// [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] in MQTT 3.1.1 [MQTT-3.3.5-1]
#[test]
fn overlapping_subscriptions_give_one_copy_with_all_identifiers_at_the_highest_qos() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    for (filter, qos, id) in [("a/b", Q0, 1), ("a/+", Q2, 200), ("#", Q1, 70_000)] {
        desk.subscribe_with(client, &[(filter, options(qos))], with_id(id).get());
    }
    desk.subscribe(client, "+/b", Q0);
    let other = desk.client(V3_1_1, "o");
    desk.subscribe(other, "a/#", Q1);
    desk.subscribe(other, "+/+", Q0);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "a/b", "x", Q2, 1);
    let got = desk.messages(client);
    assert_eq!((got.len(), got[0].qos), (1, Q2));
    assert_eq!(got[0].subscription_ids(), [1, 200, 70_000]);
    let got = desk.messages(other);
    assert_eq!((got.len(), got[0].qos), (1, Q1));
    assert_eq!(desk.stats().matched, 2);
    desk.publish(publisher, "x", "y", Q0, 0);
    assert_eq!(desk.messages(client)[0].subscription_ids(), [70_000]);
}

// [MQTT-3.8.3-3]
#[test]
fn no_local_keeps_a_client_from_its_own_messages() {
    let mut desk = Desk::new();
    let (a, b) = (desk.client(V5_0, "a"), desk.client(V5_0, "b"));
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(Q0)
    };
    for client in [a, b] {
        desk.subscribe_with(client, &[("t", no_local)], Properties::EMPTY);
    }
    desk.publish(a, "t", "from a", Q0, 0);
    assert!(desk.texts(a).is_empty());
    assert_eq!(desk.texts(b), ["from a"]);
    // Another subscription without the option still gets it.
    desk.subscribe(a, "#", Q0);
    desk.publish(a, "t", "again", Q0, 0);
    assert_eq!(desk.texts(a), ["again"]);
}

// [MQTT-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "a");
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(Q0)
    };
    let requests = [("$share/g/t", no_local)];
    let packet = Subscribe::new(1, Properties::EMPTY, &requests);
    desk.send(client, Packet::Subscribe(packet));
    let error = Got::Disconnect(ReasonCode::PROTOCOL_ERROR);
    assert_eq!(desk.take_all(client), [error]);
}

// [MQTT-3.3.1-12] [MQTT-3.3.1-13] in MQTT 3.1.1 [MQTT-3.3.1-9]
#[test]
fn retain_is_forwarded_only_as_published() {
    let mut desk = Desk::new();
    let (plain, kept, old) = (
        desk.client(V5_0, "plain"),
        desk.client(V5_0, "kept"),
        desk.client(V3_1_1, "old"),
    );
    let as_published = SubscriptionOptions {
        retain_as_published: true,
        ..options(Q0)
    };
    desk.subscribe(plain, "t", Q0);
    desk.subscribe(old, "t", Q0);
    desk.subscribe_with(kept, &[("t", as_published)], Properties::EMPTY);
    desk.retain(plain, "t", "x");
    desk.publish(plain, "t", "y", Q0, 0);
    for (client, expected) in [(plain, false), (old, false), (kept, true)] {
        let got = desk.messages(client);
        assert_eq!((got[0].retain, got[1].retain), (expected, false));
    }
}

/// Each way from filters to topics, by the index and not by the rule it follows.
// [MQTT-3.3.2-3] [MQTT-4.7.3-4] in MQTT 3.1.1 [MQTT-3.3.2-3] [MQTT-4.7.3-4]
#[test]
fn a_client_gets_what_matches_its_filter_and_nothing_else() {
    let filters = [
        "#", "a/#", "a/+", "+/b", "a/b", "A/b", "/", "+/+", "a//b", "a/b/", "é",
    ];
    for filter in filters {
        let mut desk = Desk::new();
        let client = desk.client(V5_0, "c");
        desk.subscribe(client, filter, Q0);
        for topic in [
            "a", "a/b", "a/b/c", "a//b", "/", "A/b", "b/b", "a/b/", "é", "e\u{301}",
        ] {
            desk.publish(client, topic, "", Q0, 0);
            let name = crate::topic::TopicName::assume(topic);
            let matches = crate::topic::TopicFilter::assume(filter).matches(name);
            assert_eq!(
                desk.messages(client).len(),
                usize::from(matches),
                "{filter} {topic}"
            );
        }
    }
}

// [MQTT-4.7.2-1] in MQTT 3.1.1 [MQTT-4.7.2-1]
#[test]
fn wildcards_in_front_do_not_see_topics_with_a_dollar() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    for filter in ["#", "+/x", "$own/#"] {
        desk.subscribe(client, filter, Q0);
    }
    desk.publish(client, "$own/x", "once", Q0, 0);
    desk.publish(client, "$other/x", "never", Q0, 0);
    assert_eq!(desk.texts(client), ["once"]);
}

#[test]
fn a_session_has_only_so_many_subscriptions() {
    let mut desk = Desk::with(|limits| (limits.subscriptions, limits.topic_levels) = (2, 3));
    let client = desk.client(V5_0, "c");
    assert_eq!(desk.subscribe(client, "a", Q0), 0);
    assert_eq!(desk.subscribe(client, "b", Q0), 0);
    assert_eq!(desk.subscribe(client, "c", Q0), 0x97);
    assert_eq!(desk.subscribe(client, "a", Q1), 1, "not a new one");
    desk.unsubscribe(client, &["a"]);
    assert_eq!(desk.subscribe(client, "a/b/c/d", Q0), 0x8F);
    assert_eq!(desk.subscribe(client, "a/b/c", Q0), 0);
    desk.send(client, Packet::Publish(Publish::new("a/b/c/d", b"")));
    let error = Got::Disconnect(ReasonCode::TOPIC_NAME_INVALID);
    assert_eq!(desk.take_all(client), [error]);
}

#[test]
fn subscriptions_leave_with_their_session() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    for filter in ["a", "b", "+/c", "#"] {
        desk.subscribe(client, filter, Q0);
    }
    let handling = SubscriptionOptions {
        retain_handling: RetainHandling::DoNotSend,
        ..options(Q0)
    };
    desk.subscribe_with(client, &[("d", handling)], Properties::EMPTY);
    assert_eq!(desk.shard.subscriptions(), 5);
    desk.cut(client);
    assert_eq!(
        (desk.shard.subscriptions(), desk.stats().subscriptions),
        (0, 0)
    );
    assert_eq!(desk.ended, ["c"]);
}
