//! Rules about who may publish and subscribe to what, over sockets.

mod support;

use support::{ANY_PORT, client, publish, silent, start, subscribe, until};
use ternmq_broker::access::{Denied, Name, Rule, Rules, Verdict, Who};
use ternmq_broker::hooks::Access;
use ternmq_broker::{Broker, Config, Placement};
use ternmq_protocol::ReasonCode;

fn rule(topics: &[&str], verdict: Verdict) -> Rule {
    Rule {
        topics: topics
            .iter()
            .map(|t| t.parse().expect("a pattern"))
            .collect(),
        verdict,
        ..Rule::default()
    }
}

/// Everybody has a place of their own, reads what is public, and writes to the inbox.
fn house_rules() -> Rules {
    let reads = Rule {
        publish: false,
        ..rule(&["public/#"], Verdict::Allow)
    };
    let writes = Rule {
        subscribe: false,
        qos: [false, true, true],
        retain: Some(false),
        ..rule(&["inbox"], Verdict::Allow)
    };
    let admin = Rule {
        who: Who {
            user: Name::Like("admin".parse().expect("a pattern")),
            client_id: Some("ops-*".parse().expect("a pattern")),
            address: Some("127.0.0.0/8".parse().expect("a network")),
        },
        ..Rule::default()
    };
    let own = rule(&["home/%c/#", "user/%u/#"], Verdict::Allow);
    let rules = vec![
        admin,
        rule(&["public/secret"], Verdict::Deny),
        reads,
        writes,
        own,
    ];
    Rules::new(rules, Verdict::Deny).expect("rules")
}

fn broker(access: Access) -> Broker {
    start(Config {
        shards: 2,
        placement: Placement::ByClientId,
        access,
        ..Config::listen(ANY_PORT)
    })
}

fn strict() -> Broker {
    broker(Access {
        rules: house_rules().into(),
        ..Access::default()
    })
}

// in MQTT 3.1.1 [MQTT-3.3.5-2]
#[test]
fn what_no_rule_allows_is_refused_as_each_version_has_words_for_it() {
    let broker = strict();
    let mut five = client(&broker, 5, "a");
    for (line, answer) in [
        ("topic=inbox qos=1 id=1", "PUBACK id=1 reason=0x10"),
        ("topic=home/a/x qos=1 id=2", "PUBACK id=2 reason=0x10"),
        ("topic=home/b/x qos=1 id=3", "PUBACK id=3 reason=0x87"),
        ("topic=home/b/x qos=2 id=4", "PUBREC id=4 reason=0x87"),
        ("topic=inbox qos=1 retain=1 id=5", "PUBACK id=5 reason=0x87"),
        ("topic=public/x qos=1 id=6", "PUBACK id=6 reason=0x87"),
        ("topic=$x qos=1 id=7", "PUBACK id=7 reason=0x87"),
        // The identifier of the refused one is free.
        ("topic=home/a/x qos=2 id=4", "PUBREC id=4 reason=0x10"),
    ] {
        five.send(&format!("PUBLISH {line} payload=x"))
            .expect("sent");
        let got = five.expect(answer);
        got.unwrap_or_else(|e| panic!("{line}: {e:?}"));
    }
    // Before MQTT 5.0 it is acknowledged, and nobody gets it.
    let mut reader = client(&broker, 5, "b");
    subscribe(&mut reader, "home/b/#", 1);
    let mut old = client(&broker, 4, "c");
    publish(&mut old, "home/b/x", 1, "foreign");
    publish(&mut old, "home/b/x", 2, "foreign");
    publish(&mut old, "home/b/x", 0, "foreign");
    publish(&mut old, "home/c/x", 1, "own");
    reader
        .send("PUBLISH topic=home/b/y qos=0 payload=own")
        .expect("sent");
    reader
        .expect("PUBLISH topic=home/b/y qos=0 payload=own")
        .expect("its own only");
    let stats = until(&broker, |stats| {
        stats.mqtt.publishes_refused.not_allowed == 8
    });
    assert_eq!(stats.mqtt.received.iter().sum::<u64>(), 13);
    assert_eq!(stats.mqtt.access_asked, 0);
}

// [MQTT-3.9.3-2]
#[test]
fn a_subscription_is_made_only_if_all_it_could_bring_is_allowed() {
    let broker = strict();
    for (level, code) in [(5, "0x87"), (4, "0x80"), (3, "0x80")] {
        let mut peer = client(&broker, level, "a");
        for (filter, allowed) in [
            ("public/news", true),
            ("public/+", false), // public/secret is among it
            ("public/secret", false),
            ("public/+/x", true),
            ("#", false),
            ("+/a/x", false),
            ("home/a/#", true),
            ("home/+/x", false),
            ("home/b", false),
            ("$SYS/#", false),
        ] {
            let shared = format!("$share/g/{filter}");
            for filter in [filter, &shared] {
                if level < 5 && filter == shared {
                    continue;
                }
                peer.send(&format!("SUBSCRIBE id=1 filter={filter} options=0"))
                    .expect("sent");
                let code = if allowed { "0" } else { code };
                let got = peer.expect(&format!("SUBACK id=1 code={code}"));
                got.unwrap_or_else(|e| panic!("{level} {filter}: {e:?}"));
            }
        }
        drop(peer);
        until(&broker, |stats| stats.mqtt.connections == 0);
    }
}

#[test]
fn no_name_gives_its_client_more_than_one_place() {
    let broker = strict();
    let mut victim = client(&broker, 5, "victim");
    subscribe(&mut victim, "home/victim/#", 0);
    for name in ["+", "#", "victim/x", "/", "%25u", "*"] {
        let connect = format!("CONNECT client_id={name} username={name}");
        let mut peer =
            ternmq_test_broker_wire::RawPeer::introduced(broker.local_addrs()[0], 5, &connect)
                .expect("CONNACK");
        for filter in ["home/+/#", "home/#", "home/victim/#", "user/+/#", "user/#"] {
            peer.send(&format!("SUBSCRIBE id=1 filter={filter} options=0"))
                .expect("sent");
            let got = peer.expect("SUBACK id=1 code=0x87");
            got.unwrap_or_else(|e| panic!("{name} {filter}: {e:?}"));
        }
        peer.send("PUBLISH topic=home/victim/x qos=1 id=1 payload=x")
            .expect("sent");
        peer.expect("PUBACK id=1 reason=0x87").expect("refused");
    }
}

#[test]
fn a_rule_for_an_administrator_needs_all_that_it_names() {
    let broker = strict();
    for (connect, allowed) in [
        ("client_id=ops-1 username=admin", true),
        ("client_id=ops-1 username=other", false),
        ("client_id=ops-1", false),
        ("client_id=x username=admin", false),
    ] {
        let mut peer = silent(&broker, 5);
        peer.send(&format!("CONNECT {connect}")).expect("sent");
        peer.expect("CONNACK reason=0").expect("CONNACK");
        peer.send("PUBLISH topic=home/b/x qos=1 id=1 payload=x")
            .expect("sent");
        let reason = if allowed { "0x10" } else { "0x87" };
        let got = peer.expect(&format!("PUBACK id=1 reason={reason}"));
        got.unwrap_or_else(|e| panic!("{connect}: {e:?}"));
    }
}

#[test]
fn a_client_may_be_cut_off_for_what_it_may_not() {
    let broker = broker(Access {
        rules: house_rules().into(),
        denied: Denied::Disconnect,
        ..Access::default()
    });
    for qos in [0, 1, 2] {
        let id = if qos == 0 { "" } else { "id=7" };
        let line = format!("PUBLISH topic=home/b/x qos={qos} {id} payload=x");
        let mut five = client(&broker, 5, "a");
        five.send(&line).expect("sent");
        five.expect("DISCONNECT reason=0x87").expect("told");
        five.expect_close().expect("closed");
        let mut old = client(&broker, 4, "a");
        old.send(&line).expect("sent");
        old.expect_close().expect("closed");
    }
}

// [MQTT-3.1.4-2]
#[test]
fn a_will_that_may_not_be_published_keeps_its_client_out() {
    let broker = strict();
    for (topic, reason) in [("home/a/will", None), ("home/b/will", Some(("0x87", "5")))] {
        for level in [5, 4] {
            let mut peer = silent(&broker, level);
            let line = format!("CONNECT client_id=a will_topic={topic} will_payload=x will_qos=1");
            peer.send(&line).expect("sent");
            match reason {
                None => drop(peer.expect("CONNACK reason=0").expect("CONNACK")),
                Some((five, old)) => {
                    let reason = if level == 5 { five } else { old };
                    peer.expect(&format!("CONNACK reason={reason}"))
                        .expect("refused");
                }
            }
        }
    }
    assert_eq!(broker.stats().wills_denied, 2);
}

#[test]
fn other_rules_hold_from_the_moment_that_they_are_set() {
    let broker = broker(Access::default());
    let mut peers: Vec<_> = (0..8)
        .map(|n| client(&broker, 5, &format!("c{n}")))
        .collect();
    let mut expect = |reason: &str| {
        for peer in &mut peers {
            peer.send("PUBLISH topic=t qos=1 id=1 payload=x")
                .expect("sent");
            peer.expect(&format!("PUBACK id=1 reason={reason}"))
                .expect("as the rules say");
        }
    };
    expect("0x10");
    let deny = Rules::new(vec![rule(&["t"], Verdict::Deny)], Verdict::Allow).expect("rules");
    broker.set_rules(deny);
    expect("0x87");
    broker.set_rules(Rules::new(Vec::new(), Verdict::Deny).expect("rules"));
    expect("0x87");
    assert_eq!(broker.rules().otherwise(), Verdict::Deny);
    broker.set_rules(Rules::default());
    expect("0x10");
}

#[test]
fn a_client_is_ended_by_name_and_may_come_back() {
    let broker = broker(Access::default());
    for level in [5, 4] {
        let mut peer = client(&broker, level, "a");
        assert!(broker.kick("a", ReasonCode::ADMINISTRATIVE_ACTION));
        if level == 5 {
            peer.expect("DISCONNECT reason=0x98").expect("told");
        }
        peer.expect_close().expect("closed");
        assert!(!broker.kick("a", ReasonCode::ADMINISTRATIVE_ACTION));
    }
    assert!(!broker.kick("nobody", ReasonCode::ADMINISTRATIVE_ACTION));
    client(&broker, 5, "a");
    assert_eq!(broker.stats().kicked, 2);
}
