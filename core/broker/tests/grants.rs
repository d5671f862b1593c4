//! What whoever lets a client in grants it: rules of its own, and a time that ends.

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{ANY_PORT, client, silent, start};
use ternmq_broker::access::{Rule, Rules, Verdict};
use ternmq_broker::hooks::{Access, Connecting, Decision, Grant};
use ternmq_broker::{Broker, Config, Placement};

const HOUR: Duration = Duration::from_secs(3600);

fn rules(verdict: Verdict, topics: &[&str], otherwise: Verdict) -> Rules {
    let topics = topics.iter().map(|topic| topic.parse().expect("a pattern"));
    let rule = Rule {
        topics: topics.collect(),
        verdict,
        ..Rule::default()
    };
    Rules::new(vec![rule], otherwise).expect("rules")
}

/// Who names nobody has nothing of its own; `hour` may stay for one, `own` may use what is its own.
fn grant(connecting: &Connecting<'_>) -> Decision {
    let hour = Grant {
        until: Some(connecting.now + HOUR),
        ..Grant::default()
    };
    let own = Grant {
        user: Some("anna".into()),
        rules: Some(rules(Verdict::Allow, &["own/%u/#", "all"], Verdict::Deny).into()),
        ..Grant::default()
    };
    match connecting.user_name {
        Some("hour") => Decision::AllowWith(hour),
        Some("own") => Decision::AllowWith(own),
        _ => Decision::Ignore,
    }
}

fn broker(placement: Placement, rules: Rules) -> Broker {
    start(Config {
        shards: 2,
        placement,
        access: Access {
            authenticate: vec![Arc::new(grant)],
            rules: rules.into(),
            ..Access::default()
        },
        ..Config::listen(ANY_PORT)
    })
}

#[test]
fn a_connection_ends_with_its_grant_by_the_clock_of_the_broker() {
    // Some are handed over to the other shard.
    for placement in [Placement::ByClientId, Placement::default()] {
        let broker = broker(placement, Rules::default());
        let mut peers: Vec<_> = (0..8)
            .map(|at| {
                let level = [4, 5][at % 2];
                let mut peer = silent(&broker, level);
                let connect = format!("CONNECT client_id=c{at} keep_alive=0 username=hour");
                peer.send(&connect).expect("sent");
                peer.expect("CONNACK reason=0").expect("let in");
                (level, peer)
            })
            .collect();
        let mut stays = client(&broker, 5, "stays keep_alive=0");
        broker.advance(HOUR - Duration::from_secs(30));
        for (_, peer) in &mut peers {
            peer.send("PINGREQ").expect("sent");
            peer.expect("PINGRESP").expect("it is still there");
        }
        broker.advance(Duration::from_secs(31));
        for (level, peer) in &mut peers {
            if *level == 5 {
                peer.expect("DISCONNECT reason=0x87").expect("told");
            }
            assert!(peer.next_packet().expect("an end").is_none(), "{level}");
        }
        stays.send("PINGREQ").expect("sent");
        stays.expect("PINGRESP").expect("nobody else goes");
        // By the same clock it may come again.
        let mut again = silent(&broker, 5);
        let connect = "CONNECT client_id=c0 keep_alive=0 username=hour";
        again.send(connect).expect("sent");
        again.expect("CONNACK reason=0").expect("let in");
        again.send("PINGREQ").expect("sent");
        again.expect("PINGRESP").expect("it is there");
    }
}

#[test]
fn a_grant_narrows_what_a_client_may_and_the_rules_of_all_narrow_it_further() {
    for placement in [Placement::ByClientId, Placement::default()] {
        let denied = rules(Verdict::Deny, &["own/anna/secret"], Verdict::Deny);
        for (all, secret) in [(Rules::default(), "0"), (denied, "0x87")] {
            let broker = broker(placement, all);
            for at in 0..4 {
                let mut peer = silent(&broker, 5);
                peer.send(&format!("CONNECT client_id=c{at} username=own"))
                    .expect("sent");
                peer.expect("CONNACK reason=0").expect("let in");
                for (filter, reason) in [
                    ("own/anna/x", "0"),
                    ("own/anna/secret", secret),
                    ("own/own/x", "0x87"),
                    ("own/+/x", "0x87"),
                    ("all", "0"),
                    ("#", "0x87"),
                ] {
                    peer.send(&format!("SUBSCRIBE id=1 filter={filter} options=0"))
                        .expect("sent");
                    let expected = format!("SUBACK id=1 code={reason}");
                    peer.expect(&expected).expect(filter);
                }
                peer.send("PUBLISH id=2 qos=1 topic=other payload=x")
                    .expect("sent");
                peer.expect("PUBACK id=2 reason=0x87").expect("denied");
            }
            let mut peer = silent(&broker, 5);
            let will = "will_topic=other will_payload=x";
            peer.send(&format!("CONNECT client_id=w username=own {will}"))
                .expect("sent");
            peer.expect("CONNACK reason=0x87").expect("no such will");
        }
    }
}

#[test]
fn a_grant_holds_when_the_rules_of_all_change() {
    let broker = broker(Placement::ByClientId, Rules::default());
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=c username=own").expect("sent");
    peer.expect("CONNACK reason=0").expect("let in");
    let mut publish = |topic: &str, reason: &str| {
        peer.send(&format!("PUBLISH id=2 qos=1 topic={topic} payload=x"))
            .expect("sent");
        let expected = format!("PUBACK id=2 reason={reason}");
        peer.expect(&expected).expect(topic);
    };
    publish("other", "0x87");
    broker.set_rules(rules(Verdict::Allow, &["other"], Verdict::Allow));
    publish("other", "0x87");
    publish("all", "0x10");
}
