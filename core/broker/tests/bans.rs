//! Clients that are not wanted any more.

mod support;

use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime};

use support::{ANY_PORT, client, start, start_listening, subscribe, until, watched};
use ternmq_broker::{
    Ban, BanError, BanLimits, Banned, Broker, Config, Event, Flapping, Placement, StartError,
};
use ternmq_test_broker_wire::RawPeer;

const LEVELS: [u8; 3] = [3, 4, 5];

fn ban(who: Banned) -> Ban {
    Ban {
        who,
        until: None,
        reason: "on purpose".into(),
        by: "test".into(),
    }
}

/// CONNECT is answered with Banned.
fn refused(broker: &Broker, level: u8, connect: &str) {
    let mut peer = RawPeer::connect(broker.local_addrs()[0], level).expect("a connection");
    peer.send(connect).expect("sent");
    let reason = if level == 5 { 0x8A } else { 5 };
    peer.expect(&format!("CONNACK reason={reason}"))
        .expect("a refusal");
    peer.expect_close().expect("closed");
}

/// The connection of a banned client ends.
fn ended(mut peer: RawPeer) {
    peer.expect_refusal("DISCONNECT reason=0x98")
        .expect("Administrative action");
}

#[test]
fn a_banned_client_is_ended_and_refused_on_whichever_shard_it_is() {
    let (broker, events) = watched(4);
    for (n, level) in LEVELS.into_iter().cycle().take(9).enumerate() {
        let id = format!("client-{n}");
        let connect = format!("CONNECT client_id={id}");
        let there = client(&broker, level, &id);
        let bystander = client(&broker, level, "bystander");
        let who = Banned::ClientId(id.as_str().into());
        broker.ban(ban(who.clone())).expect("room");
        ended(there);
        refused(&broker, level, &connect);
        assert_eq!(broker.bans(), [ban(who.clone())]);
        assert_eq!(events.try_recv(), Ok(Event::Banned(ban(who.clone()))));
        assert!(broker.unban(&who) && !broker.unban(&who));
        assert_eq!(events.try_recv(), Ok(Event::Unbanned(who)));
        client(&broker, level, &id);
        let mut bystander = bystander;
        bystander.send("PINGREQ").expect("sent");
        bystander.expect("PINGRESP").expect("untouched");
    }
    let stats = broker.stats();
    assert_eq!(
        (stats.connects_refused_banned, stats.banned_connections),
        (9, 9)
    );
}

#[test]
fn a_banned_user_is_ended_and_refused_whatever_the_client_is_called() {
    let (broker, _events) = watched(4);
    let address = broker.local_addrs()[0];
    for level in LEVELS {
        let user = format!("user-{level}");
        let connect = |n: usize| format!("CONNECT client_id={level}-{n} username={user}");
        let there: Vec<RawPeer> = (0..6)
            .map(|n| RawPeer::introduced(address, level, &connect(n)).expect("CONNACK"))
            .collect();
        // The same word as client identifier is somebody else.
        let mut namesake = client(&broker, level, &user);
        let who = Banned::UserName(user.as_str().into());
        broker.ban(ban(who)).expect("room");
        for peer in there {
            ended(peer);
        }
        refused(&broker, level, &connect(0));
        refused(&broker, level, &connect(7));
        namesake.send("PINGREQ").expect("sent");
        namesake.expect("PINGRESP").expect("untouched");
    }
    assert_eq!(broker.stats().banned_connections, 18);
}

// [MQTT-3.1.2-8]
#[test]
fn a_ban_keeps_the_session_and_publishes_the_will() {
    let (broker, _events) = watched(4);
    let mut witness = client(&broker, 5, "witness");
    subscribe(&mut witness, "wills", 0);
    let connect = "CONNECT client_id=c clean_start=0 session_expiry=1000 will_topic=wills \
                   will_payload=gone";
    let there = RawPeer::introduced(broker.local_addrs()[0], 5, connect).expect("CONNACK");
    let who = Banned::ClientId("c".into());
    broker.ban(ban(who.clone())).expect("room");
    ended(there);
    witness
        .expect("PUBLISH topic=wills payload=gone")
        .expect("the will");
    broker.unban(&who);
    let mut again = RawPeer::connect(broker.local_addrs()[0], 5).expect("a connection");
    again.send(connect).expect("sent");
    again
        .expect("CONNACK reason=0 session_present=1")
        .expect("the session");
}

#[test]
fn a_banned_network_is_closed_at_once_and_hears_nothing() {
    let (broker, _events) = watched(4);
    let there: Vec<RawPeer> = LEVELS
        .map(|level| client(&broker, level, &format!("{level}")))
        .into();
    let mut mute = support::silent(&broker, 4);
    until(&broker, |stats| stats.mqtt.connections == 4);
    let other = Banned::Network("10.0.0.0/8".parse().expect("a network"));
    broker.ban(ban(other)).expect("room");
    let who = Banned::Network("127.0.0.0/8".parse().expect("a network"));
    broker.ban(ban(who.clone())).expect("room");
    for peer in there {
        ended(peer);
    }
    mute.expect_close().expect("closed");
    let mut peer = support::silent(&broker, 5);
    peer.expect_close().expect("closed at once");
    let stats = broker.stats();
    assert_eq!(stats.connections_refused_banned, 1);
    assert_eq!(stats.banned_connections, 4);
    broker.unban(&who);
    let one = Banned::address("127.0.0.1".parse().expect("an address"));
    broker.ban(ban(one)).expect("room");
    support::silent(&broker, 5).expect_close().expect("closed");
}

#[test]
fn a_ban_ends_when_its_time_is_over() {
    let who = Banned::ClientId("c".into());
    let until = SystemTime::now() + Duration::from_millis(700);
    let broker = start(Config {
        bans: vec![Ban {
            until: Some(until),
            ..ban(who.clone())
        }],
        ..Config::listen(ANY_PORT)
    });
    let begun = SystemTime::now();
    refused(&broker, 5, "CONNECT client_id=c");
    while broker.bans().len() == 1 {
        std::thread::yield_now();
    }
    assert!(SystemTime::now() >= until && begun < until);
    client(&broker, 5, "c");
    let over = Ban {
        until: Some(until),
        ..ban(who)
    };
    assert_eq!(broker.ban(over), Err(BanError::Expired));
}

#[test]
fn a_full_list_refuses_and_counts() {
    let mut config = Config::listen(ANY_PORT);
    config.limits.bans = BanLimits {
        entries: 2,
        bytes: 1_000,
    };
    config.bans = vec![ban(Banned::ClientId("a".into()))];
    let broker = start(config.clone());
    broker.ban(ban(Banned::ClientId("b".into()))).expect("room");
    let one_more = ban(Banned::ClientId("c".into()));
    assert_eq!(broker.ban(one_more), Err(BanError::Full));
    assert_eq!((broker.bans().len(), broker.stats().bans_refused), (2, 1));
    config.bans = ["a", "b", "c"]
        .map(|id| ban(Banned::ClientId(id.into())))
        .into();
    let error = Broker::start(config).expect_err("three bans and room for two");
    assert!(
        matches!(&error, StartError::Ban(who, BanError::Full) if who.to_string().contains("\"c\""))
    );
}

#[test]
fn a_client_that_connects_over_and_over_is_banned_for_a_time() {
    let (sender, events) = sync_channel(100);
    let config = Config {
        shards: 4,
        placement: Placement::ByClientId,
        events: Some(sender),
        flapping: Some(Flapping {
            max: 3,
            window: Duration::from_secs(3600),
            ban_for: Duration::from_secs(100),
        }),
        ..Config::listen(ANY_PORT)
    };
    let broker = start_listening(config, &events);
    for level in LEVELS {
        let id = format!("nervous-{level}");
        for _ in 0..3 {
            drop(client(&broker, level, &id));
            drop(client(&broker, level, &format!("calm-{level}")));
        }
        let connect = format!("CONNECT client_id={id}");
        refused(&broker, level, &connect);
        refused(&broker, level, &connect);
        let Ok(Event::Banned(ban)) = events.recv() else {
            panic!("the ban is told");
        };
        assert_eq!(
            (ban.who, &*ban.by),
            (Banned::ClientId(id.as_str().into()), "flapping")
        );
        let left = ban.until.expect("an end").duration_since(SystemTime::now());
        assert!(left.expect("in future") <= Duration::from_secs(100));
    }
    let stats = broker.stats();
    assert_eq!((stats.flapping, stats.connects_refused_banned), (3, 3));
}

#[test]
fn what_nobody_takes_is_lost_and_counted() {
    let (sender, events) = sync_channel(1);
    let config = Config {
        events: Some(sender),
        ..Config::listen(ANY_PORT)
    };
    let broker = start_listening(config, &events);
    for id in ["a", "b", "c"] {
        broker.ban(ban(Banned::ClientId(id.into()))).expect("room");
    }
    assert_eq!(broker.stats().events_lost, 2);
    drop(broker);
    assert_eq!(events.iter().count(), 1);
}

#[test]
fn another_list_holds_at_once_or_not_at_all() {
    let mut config = Config::listen(ANY_PORT);
    (config.shards, config.placement) = (4, Placement::ByClientId);
    config.limits.bans.entries = 2;
    let broker = start(config);
    let of = |id: &str| ban(Banned::ClientId(id.into()));
    broker.ban(of("old")).expect("room");
    broker.ban(of("kept")).expect("room");
    let there: Vec<RawPeer> = (0..8)
        .map(|n| client(&broker, 5, &format!("c{n}")))
        .collect();
    let three = ["c0", "c1", "c2"].map(of).to_vec();
    assert_eq!(broker.replace_bans(three, |_| false), Err(BanError::Full));
    assert_eq!(broker.bans().len(), 2);
    refused(&broker, 5, "CONNECT client_id=old");

    let everybody = ban(Banned::address([127, 0, 0, 1].into()));
    let kept = |ban: &Ban| ban.who == Banned::ClientId("kept".into());
    let over = Ban {
        until: Some(SystemTime::UNIX_EPOCH),
        ..of("over")
    };
    let changes = broker
        .replace_bans(vec![over, everybody], kept)
        .expect("room");
    assert_eq!((changes.banned, changes.lifted, changes.kept), (1, 1, 1));
    there.into_iter().for_each(ended);

    broker.replace_bans(Vec::new(), |_| false).expect("room");
    assert!(broker.bans().is_empty());
    client(&broker, 5, "kept");
}
