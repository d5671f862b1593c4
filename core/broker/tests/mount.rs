//! Listeners with mount points, over sockets, shards and restarts.

mod support;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use support::{ANY_PORT, publish, start, subscribe, until};
use ternmq_broker::access::{Action, Verdict};
use ternmq_broker::hooks::{Access, Acting, Authorise};
use ternmq_broker::store::Store;
use ternmq_broker::{Broker, Config, ListenerConfig, Placement};
use ternmq_protocol::broker::{DelayedLimits, Topics};
use ternmq_test_broker_wire::RawPeer;

fn mounted(point: &str) -> ListenerConfig {
    ListenerConfig {
        mount_point: Some(point.parse().expect("a mount point")),
        ..ListenerConfig::anonymous(ANY_PORT)
    }
}

/// The whole tree, `t/`, and one for each user.
fn config() -> Config {
    Config {
        shards: 3,
        placement: Placement::ByClientId,
        listeners: vec![
            ListenerConfig::anonymous(ANY_PORT),
            mounted("t/"),
            mounted("users/${username}/"),
        ],
        topics: Topics {
            delayed: Some(DelayedLimits::default()),
            ..Topics::default()
        },
        ..Config::default()
    }
}

const WHOLE: usize = 0;
const T: usize = 1;
const USER: usize = 2;

fn client(broker: &Broker, listener: usize, level: u8, connect: &str) -> RawPeer {
    let address = broker.local_addrs()[listener];
    let connect = format!("CONNECT client_id={connect}");
    RawPeer::introduced(address, level, &connect).expect("CONNACK")
}

/// The topic and payload of the next packet, which is acknowledged.
fn next(peer: &mut RawPeer) -> (String, String) {
    let packet = peer.next_packet().expect("a packet").expect("open");
    assert_eq!(packet.word(0), "PUBLISH", "{packet}");
    let id = packet.text("id", "");
    match packet.number("qos", 0) {
        0 => {}
        1 => peer.send(&format!("PUBACK id={id}")).expect("sent"),
        _ => {
            peer.send(&format!("PUBREC id={id}")).expect("sent");
            peer.expect(&format!("PUBREL id={id}")).expect("PUBREL");
            peer.send(&format!("PUBCOMP id={id}")).expect("sent");
        }
    }
    (packet.text("topic", ""), packet.text("payload", ""))
}

fn is(topic: &str, payload: &str) -> (String, String) {
    (topic.to_owned(), payload.to_owned())
}

/// Nothing has come: what would have would have come before the answer.
fn is_silent(peer: &mut RawPeer) {
    peer.send("PINGREQ").expect("sent");
    let packet = peer.next_packet().expect("a packet").expect("open");
    assert_eq!(packet.word(0), "PINGRESP", "{packet}");
}

#[test]
fn every_version_and_qos_goes_in_and_out_over_all_shards() {
    let broker = start(config());
    for level in [3, 4, 5] {
        for qos in 0..3 {
            let mut whole = client(&broker, WHOLE, 4, "whole");
            let mut inside = client(&broker, T, level, "inside");
            let mut other = client(&broker, USER, level, "other username=ann");
            for peer in [&mut whole, &mut inside, &mut other] {
                subscribe(peer, "#", qos);
            }
            let mut publisher = client(&broker, T, level, "publisher");
            publish(&mut publisher, "a/b", qos, "in");
            assert_eq!(next(&mut whole), is("t/a/b", "in"));
            assert_eq!(next(&mut inside), is("a/b", "in"));
            let mut publisher = client(&broker, WHOLE, level, "publisher");
            publish(&mut publisher, "users/ann/x", qos, "ann");
            assert_eq!(next(&mut whole), is("users/ann/x", "ann"));
            assert_eq!(next(&mut other), is("x", "ann"));
            is_silent(&mut inside);
            is_silent(&mut other);
        }
    }
    let address = broker.local_addrs()[USER];
    let mut nobody = RawPeer::connect(address, 5).expect("accepted");
    nobody.send("CONNECT client_id=c").expect("sent");
    let refused = nobody.expect("CONNACK reason=0x87").expect("refused");
    let words = refused.text("reason_string", "");
    assert!(words.contains("needs a user name"), "{words}");
}

#[test]
fn retained_messages_wills_groups_and_aliases_are_inside() {
    let broker = start(config());
    let mut whole = client(&broker, WHOLE, 5, "whole");
    subscribe(&mut whole, "#", 1);
    let mut a = client(
        &broker,
        T,
        5,
        "a will_topic=gone will_payload=bye will_qos=1",
    );
    a.send("PUBLISH topic=kept qos=1 id=1 retain=1 payload=k")
        .expect("sent");
    a.expect("PUBACK id=1").expect("PUBACK");
    assert_eq!(next(&mut whole), is("t/kept", "k"));
    let mut b = client(&broker, T, 3, "b");
    subscribe(&mut b, "kept", 1);
    assert_eq!(next(&mut b), is("kept", "k"));
    for (topic, alias) in [("long/name", 1), ("", 1)] {
        a.send(&format!(
            "PUBLISH topic={topic} qos=1 id=2 topic_alias={alias} payload=x"
        ))
        .expect("sent");
        a.expect("PUBACK id=2").expect("PUBACK");
        assert_eq!(next(&mut whole), is("t/long/name", "x"));
    }
    let mut c = client(&broker, T, 5, "c");
    let mut other = client(&broker, USER, 5, "other username=ann");
    for peer in [&mut c, &mut other] {
        subscribe(peer, "$share/g/jobs", 1);
    }
    // Both are known on every shard.
    until(&broker, |stats| stats.groups == 2);
    publish(&mut b, "jobs", 1, "one");
    assert_eq!(next(&mut c), is("jobs", "one"));
    assert_eq!(next(&mut whole), is("t/jobs", "one"));
    is_silent(&mut other);
    a.send("PUBLISH topic=$delayed/0/late qos=1 id=3 payload=d")
        .expect("sent");
    a.expect("PUBACK id=3").expect("PUBACK");
    assert_eq!(next(&mut whole), is("t/late", "d"));
    drop(a);
    assert_eq!(next(&mut whole), is("t/gone", "bye"));
}

/// What the server tells of itself is outside, for whoever asks from behind a mount point.
#[test]
fn nothing_of_the_servers_own_is_told() {
    let broker = start(Config {
        sys_interval: Some(std::time::Duration::from_millis(10)),
        ..config()
    });
    let mut inside = client(&broker, T, 5, "inside");
    for filter in ["$SYS/#", "#", "+/#", "../$SYS/#", "$share/g/$SYS/#"] {
        subscribe(&mut inside, filter, 0);
    }
    // It is told all the while.
    let mut whole = client(&broker, WHOLE, 5, "whole");
    subscribe(&mut whole, "$SYS/#", 0);
    for _ in 0..50 {
        assert!(next(&mut whole).0.starts_with("$SYS/"));
    }
    is_silent(&mut inside);
    // And a topic of that name is one like others.
    publish(&mut inside, "$SYS/x", 0, "own");
    assert_eq!(next(&mut inside), is("$SYS/x", "own"));
}

struct Tell(std::sync::mpsc::SyncSender<String>);

impl Authorise for Tell {
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Option<Verdict> {
        let topic = match action {
            Action::Publish { topic, will, .. } => format!("{topic} {will}"),
            Action::Subscribe { filter, .. } => filter.to_string(),
        };
        self.0
            .send(format!("{} {topic}", client.client_id))
            .expect("heard");
        Some(Verdict::Allow)
    }
}

/// Whoever is asked what a client may do is told whole topics, and what has waited for the answer has
/// them too.
#[test]
fn whole_topics_are_what_is_decided_about() {
    let (asked, questions) = sync_channel(100);
    let broker = start(Config {
        access: Access {
            authorise: vec![Arc::new(Tell(asked))],
            verdict_ms: 0,
            ..Access::default()
        },
        ..config()
    });
    let next_question = || {
        questions
            .recv_timeout(ternmq_test_broker_wire::PATIENCE)
            .expect("asked")
    };
    let mut inside = client(&broker, T, 5, "c will_topic=w will_payload=bye");
    assert_eq!(next_question(), "c t/w true");
    subscribe(&mut inside, "a/+", 1);
    assert_eq!(next_question(), "c t/a/+");
    subscribe(&mut inside, "$share/g/s", 1);
    assert_eq!(next_question(), "c t/s");
    publish(&mut inside, "$delayed/9/p", 1, "x");
    assert_eq!(next_question(), "c t/p false");
    inside
        .send("PUBLISH topic=a/b qos=1 id=7 payload=x")
        .expect("sent");
    assert_eq!(next_question(), "c t/a/b false");
    let mut answers = [inside.next_packet(), inside.next_packet()]
        .map(|packet| packet.expect("a packet").expect("open"));
    answers.sort_by_key(|packet| packet.word(0).to_owned());
    assert_eq!(
        answers.each_ref().map(|packet| packet.word(0)),
        ["PUBACK", "PUBLISH"]
    );
    assert_eq!(answers[1].text("topic", ""), "a/b");
}

#[test]
fn another_mount_point_is_for_who_comes_then() {
    let broker = start(config());
    let mut before = client(&broker, T, 5, "before");
    let mut whole = client(&broker, WHOLE, 4, "whole");
    subscribe(&mut whole, "#", 0);
    let mut changed = config();
    changed.listeners[T].mount_point = Some("u/".parse().expect("a mount point"));
    broker.reconfigure(&changed).expect("it can").apply();
    let mut after = client(&broker, T, 5, "after");
    publish(&mut after, "x", 1, "1");
    assert_eq!(next(&mut whole), is("u/x", "1"));
    publish(&mut before, "x", 1, "2");
    assert_eq!(next(&mut whole), is("t/x", "2"));
    changed.listeners[T].mount_point = None;
    broker.reconfigure(&changed).expect("it can").apply();
    let mut last = client(&broker, T, 5, "last");
    publish(&mut last, "x", 1, "3");
    assert_eq!(next(&mut whole), is("x", "3"));
}

#[test]
fn a_session_comes_back_over_a_restart_and_through_another_listener() {
    let store = Arc::new(Store::memory().expect("a store"));
    let with_store = || Config {
        store: Some(store.clone()),
        ..config()
    };
    let durable = "clean_start=0 session_expiry=1000";
    let broker = start(with_store());
    let mut sub = client(&broker, T, 5, &format!("sub {durable}"));
    subscribe(&mut sub, "a/#", 2);
    drop(sub);
    let mut publisher = client(&broker, T, 4, "publisher");
    for qos in [1, 2] {
        publish(&mut publisher, "a/b", qos, "kept");
    }
    broker.stop().expect("stopped");
    let broker = start(with_store());
    let mut sub = client(&broker, T, 5, &format!("sub {durable}"));
    for _ in [1, 2] {
        assert_eq!(next(&mut sub), is("a/b", "kept"));
    }
    is_silent(&mut sub);
    // Through the listener with the whole tree it is told whole names, elsewhere nothing.
    let mut sub = client(&broker, WHOLE, 5, &format!("sub {durable}"));
    let mut publisher = client(&broker, T, 4, "publisher");
    publish(&mut publisher, "a/b", 1, "whole");
    assert_eq!(next(&mut sub), is("t/a/b", "whole"));
    let mut sub = client(&broker, USER, 5, &format!("sub username=ann {durable}"));
    for qos in 0..3 {
        publish(&mut publisher, "a/b", qos, "nowhere");
    }
    until(&broker, |stats| stats.mqtt.dropped.outside_mount == 3);
    is_silent(&mut sub);
}
