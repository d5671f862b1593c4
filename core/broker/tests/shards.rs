//! Several shards: sessions move to theirs, messages cross, order holds.

mod support;

use support::{client, publish, silent, spread, subscribe};
use ternmq_broker::{Broker, Config, Placement};
use ternmq_test_broker_wire::packet;
use ternmq_test_broker_wire::{Line, RawPeer};

fn bytes(level: u8, lines: &[&str]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| packet::encode(level, &Line::parse(line).expect("a line")))
        .collect()
}

#[test]
fn what_follows_connect_in_the_same_segment_moves_along() {
    let broker = spread(4);
    for n in 0..16 {
        let mut peer = silent(&broker, 5);
        let connect = format!("CONNECT client_id=c{n}");
        let segment = bytes(
            5,
            &[
                &connect,
                "SUBSCRIBE id=1 filter=t options=1",
                "PUBLISH topic=t qos=1 id=9 payload=own",
            ],
        );
        peer.send_bytes(&segment).expect("sent");
        peer.expect("CONNACK reason=0").expect("CONNACK");
        let mut seen: Vec<String> = (0..3)
            .map(|_| peer.next_packet().expect("a packet").expect("open"))
            .map(|line| line.word(0).to_owned())
            .collect();
        seen.sort_unstable();
        // The message may come before SUBACK (3.8.4), which waits for what it promises.
        assert_eq!(seen, ["PUBACK", "PUBLISH", "SUBACK"]);
        peer.send("DISCONNECT").expect("sent");
        peer.expect_close().expect("closed");
    }
    let stats = broker.stats();
    assert!(stats.moved > 0 && stats.moved <= 16, "{}", stats.moved);
}

#[test]
fn a_message_reaches_the_subscribers_of_every_shard_in_the_order_of_its_publisher() {
    const EACH: usize = 2_000;
    let broker = spread(4);
    let mut subscribers: Vec<RawPeer> = (0..8)
        .map(|n| {
            let mut peer = client(&broker, 4, &format!("subscriber-{n}"));
            subscribe(&mut peer, "order/#", 0);
            peer
        })
        .collect();
    let mut publishers: Vec<RawPeer> = (0..4)
        .map(|n| client(&broker, 4, &format!("publisher-{n}")))
        .collect();
    for number in 0..EACH {
        for (n, publisher) in publishers.iter_mut().enumerate() {
            publish(publisher, &format!("order/{n}"), 0, &number.to_string());
        }
    }
    for subscriber in &mut subscribers {
        let mut next = [0; 4];
        for _ in 0..EACH * 4 {
            let line = subscriber.expect("PUBLISH").expect("a message");
            let from: usize = line.text("topic", "")[6..].parse().expect("a number");
            assert_eq!(line.text("payload", ""), next[from].to_string());
            next[from] += 1;
        }
    }
    let stats = broker.stats();
    assert_eq!(stats.mqtt.dropped.total(), 0);
    assert!(stats.mail_messages > 0 && stats.mail_batches <= stats.mail_messages);
}

// [MQTT-3.1.4-3]
#[test]
fn a_newer_connection_takes_over_wherever_it_came_in() {
    let broker = spread(4);
    for n in 0..12 {
        let id = format!("c{n}");
        let mut older = client(&broker, 5, &id);
        let mut newer = client(&broker, 5, &id);
        older
            .expect("DISCONNECT reason=0x8E")
            .expect("Session taken over");
        older.expect_close().expect("closed");
        newer.send("PINGREQ").expect("sent");
        newer.expect("PINGRESP").expect("alive");
    }
}

// in MQTT 3.1.1 [MQTT-3.1.2-5] [MQTT-4.1.0-1]
#[test]
fn a_session_waits_on_its_shard_for_its_client() {
    let broker = spread(4);
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..8 {
        let connect = format!("CONNECT client_id=keeper-{n} clean_start=0");
        let address = broker.local_addrs()[0];
        let mut peer = RawPeer::introduced(address, 4, &connect).expect("CONNACK");
        subscribe(&mut peer, &format!("for/{n}"), 1);
        peer.send("DISCONNECT").expect("sent");
        peer.expect_close().expect("closed");
        publish(&mut publisher, &format!("for/{n}"), 1, "waited");
        let mut peer = RawPeer::connect(address, 4).expect("a connection");
        peer.send(&connect).expect("sent");
        peer.expect("CONNACK reason=0 session_present=1")
            .expect("the session");
        peer.expect("PUBLISH qos=1 payload=waited")
            .expect("what waited");
    }
}

#[test]
fn a_small_mailbox_slows_publishers_down_and_loses_nothing() {
    const EACH: usize = 5_000;
    const PUBLISHERS: u64 = 4;
    let mut config = ternmq_broker::Config {
        shards: 4,
        placement: ternmq_broker::Placement::ByClientId,
        ..ternmq_broker::Config::listen(support::ANY_PORT)
    };
    config.limits.mailbox_messages = 64;
    let broker = support::start(config);
    let mut subscribers: Vec<RawPeer> = (0..8)
        .map(|n| {
            let mut peer = client(&broker, 4, &format!("subscriber-{n}"));
            subscribe(&mut peer, "flood/+", 0);
            peer
        })
        .collect();
    let segment = bytes(4, &["PUBLISH topic=flood/x payload=12345678"]).repeat(EACH);
    let readers: Vec<_> = subscribers
        .drain(..)
        .map(|mut peer| {
            std::thread::spawn(move || {
                for _ in 0..PUBLISHERS as usize * EACH {
                    peer.expect("PUBLISH topic=flood/x").expect("a message");
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..PUBLISHERS)
        .map(|n| {
            let mut peer = client(&broker, 4, &format!("publisher-{n}"));
            let segment = segment.clone();
            std::thread::spawn(move || {
                peer.send_bytes(&segment).expect("sent");
                peer
            })
        })
        .collect();
    let open: Vec<RawPeer> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    for reader in readers {
        reader.join().expect("every message");
    }
    drop(open);
    let stats = broker.stats();
    assert_eq!(stats.mqtt.dropped.total() + stats.mail_lost, 0);
    assert!(stats.stalls > 0, "no mailbox was ever nearly full");
    // Whoever waits for a mailbox is looked at once there is room, and not in every turn until then; a
    // read may leave more to read.
    let looks = 2 * stats.reads + stats.stalls * PUBLISHERS;
    assert!(stats.looks <= looks, "{stats:?}");
}

/// A session whose subscriptions make work for each message of [`BUSY`].
fn busy(broker: &Broker, client_id: &str) -> RawPeer {
    let mut peer = client(broker, 4, client_id);
    for mask in 0..1024u32 {
        let level = |at: u32| if (mask >> at) & 1 == 1 { "+" } else { "a" };
        let filter = (0..10).map(level).collect::<Vec<_>>().join("/");
        subscribe(&mut peer, &filter, 0);
    }
    peer
}

const BUSY: &str = "a/a/a/a/a/a/a/a/a/a";

/// Of three groups of messages one may be in the mailbox and one in hand when the last acknowledgement
/// is there; before that the other shard must have been through with them. Pings of the subscriber's
/// ask how far it is.
#[test]
fn no_acknowledgement_comes_before_the_other_shard_has_the_message() {
    const ROUNDS: usize = 12;
    /// So many that two groups don't fit into the mailbox and one leaves it less than nearly full: then
    /// its publisher is still read.
    const EACH: usize = 64;
    let mut config = Config {
        shards: 2,
        placement: Placement::ByClientId,
        ..Config::listen(support::ANY_PORT)
    };
    config.limits.mailbox_messages = 2 * EACH - 1;
    let broker = support::start(config);
    let mut publisher = client(&broker, 4, "publisher");
    let mut crosses = |name: &String| {
        let mut peer = client(&broker, 4, name);
        subscribe(&mut peer, "where", 0);
        let before = broker.stats().mail_messages;
        publish(&mut publisher, "where", 1, "here");
        broker.stats().mail_messages > before
    };
    let names = (0..64).map(|n| format!("subscriber-{n}"));
    let name = names.into_iter().find(&mut crosses);
    let mut subscriber = busy(&broker, &name.expect("one on the other shard"));
    let publishes: Vec<String> = (1..=EACH)
        .map(|id| format!("PUBLISH topic={BUSY} qos=1 id={id}"))
        .collect();
    let publishes: Vec<&str> = publishes.iter().map(String::as_str).collect();
    let segment = bytes(4, &publishes);
    for _ in 0..ROUNDS {
        publisher.send_bytes(&segment).expect("sent");
        for id in 1..=EACH {
            publisher.expect(&format!("PUBACK id={id}")).expect("it");
        }
        subscriber.send("PINGREQ").expect("sent");
    }
    let (mut come, mut pongs) = (0, 0);
    while pongs < ROUNDS || come < ROUNDS * EACH {
        let packet = subscriber.next_packet().expect("a packet").expect("open");
        match packet.word(0) {
            "PUBLISH" => come += 1,
            _ => pongs += 1,
        }
        let done = pongs.saturating_sub(2) * EACH;
        assert!(come >= done, "{come} have come before answer {pongs}");
    }
    assert!(broker.stats().stalls > 0, "it was never busy");
}

#[test]
fn a_shared_subscription_spans_shards_and_passes_on_what_a_member_left() {
    const EACH: usize = 200;
    let broker = spread(4);
    let mut members: Vec<RawPeer> = (0..8)
        .map(|n| {
            let level = if n % 2 == 0 { 4 } else { 5 };
            let mut peer = client(&broker, level, &format!("member-{n}"));
            subscribe(&mut peer, "$share/workers/jobs/#", 1);
            peer
        })
        .collect();
    let mut publishers: Vec<RawPeer> = (0..4)
        .map(|n| client(&broker, 5, &format!("publisher-{n}")))
        .collect();
    assert_eq!(broker.stats().groups, 1);
    for number in 0..EACH {
        for (n, publisher) in publishers.iter_mut().enumerate() {
            publish(publisher, &format!("jobs/{n}"), 1, &number.to_string());
        }
    }
    // Half of them leave without having acknowledged anything: the others get it all.
    let mut rest = members.split_off(4);
    drop(members);
    let inflight = |n: usize| {
        let client = broker.client(&format!("member-{n}"));
        client.map_or(0, |client| client.inflight)
    };
    let wanted = 4 * EACH;
    support::until(&broker, |_| (4..8).map(inflight).sum::<usize>() == wanted);
    let mut seen = std::collections::BTreeSet::new();
    for (n, peer) in rest.iter_mut().enumerate() {
        for _ in 0..inflight(n + 4) {
            let line = peer.expect("PUBLISH").expect("a message");
            let topic = line.text("topic", "");
            assert!(
                seen.insert((topic, line.text("payload", ""))),
                "{line} again"
            );
        }
    }
    assert_eq!(seen.len(), wanted);
    let stats = broker.stats();
    assert_eq!(stats.mqtt.dropped.total(), 0);
    drop(rest);
    support::until(&broker, |stats| stats.groups == 0);
}

/// Nobody else has subscribed: that there is a group now has to be known everywhere before its SUBACK goes out.
#[test]
fn the_first_member_of_a_group_gets_what_is_published_after_its_suback() {
    let broker = spread(3);
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..200 {
        let mut member = client(&broker, 4, &format!("member-{n}"));
        subscribe(&mut member, &format!("$share/g{n}/t{n}"), 0);
        publish(&mut publisher, &format!("t{n}"), 1, "first");
        member
            .expect(&format!("PUBLISH topic=t{n} payload=first"))
            .expect("what was published after SUBACK");
        member.send("DISCONNECT").expect("sent");
        member.expect_close().expect("closed");
    }
}

#[test]
fn an_exclusive_subscription_is_exclusive_over_all_shards() {
    let mut config = ternmq_broker::Config {
        shards: 4,
        placement: ternmq_broker::Placement::ByClientId,
        ..ternmq_broker::Config::listen(support::ANY_PORT)
    };
    config.topics.exclusive = true;
    let broker = support::start(config);
    let mut clients: Vec<RawPeer> = (0..8)
        .map(|n| client(&broker, 5, &format!("client-{n}")))
        .collect();
    for (n, peer) in clients.iter_mut().enumerate() {
        peer.send("SUBSCRIBE id=1 filter=$exclusive/t options=1")
            .expect("sent");
        let code = if n == 0 { "1" } else { "0x97" };
        peer.expect(&format!("SUBACK id=1 code={code}"))
            .expect("SUBACK");
    }
    publish(&mut clients[7], "t", 1, "first");
    clients[0].expect("PUBLISH topic=t").expect("the message");
    clients.remove(0).cut();
    support::until(&broker, |stats| stats.mqtt.exclusive == 0);
    clients[6]
        .send("SUBSCRIBE id=2 filter=$exclusive/t options=0")
        .expect("sent");
    clients[6].expect("SUBACK id=2 code=0").expect("free again");
}
