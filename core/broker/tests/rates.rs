//! Rate limits over real sockets.

mod support;

use std::time::Instant;

use support::{ANY_PORT, client, publish, start, subscribe, until};
use ternmq_broker::{Broker, Config, ListenerConfig, Rate, Rates};
use ternmq_test_broker_wire::{Line, RawPeer, packet};

fn limited(client_rates: Rates, rates: Rates) -> Broker {
    let mut config = Config::listen(ANY_PORT);
    config.shards = 2;
    config.listeners[0].client_rates = client_rates;
    config.listeners[0].rates = rates;
    start(config)
}

/// QoS 0 messages as one write.
fn flood(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..count {
        let line = format!("PUBLISH topic=t payload={n}");
        bytes.extend(packet::encode(4, &Line::parse(&line).expect("a line")));
    }
    bytes
}

#[test]
fn a_fast_publisher_is_slowed_down_and_nobody_else() {
    let rate = Rate {
        per_second: 50,
        burst: 5,
    };
    let rates = Rates {
        messages_in: rate,
        ..Rates::UNLIMITED
    };
    let broker = limited(rates, Rates::UNLIMITED);
    let mut subscriber = client(&broker, 4, "s");
    subscribe(&mut subscriber, "#", 0);
    let (mut fast, mut slow) = (client(&broker, 4, "fast"), client(&broker, 4, "slow"));
    let begun = Instant::now();
    // More than one read gives: some of it waits in the socket, unread.
    fast.send_bytes(&flood(40)).expect("sent");
    publish(&mut slow, "other", 1, "x");
    let before = broker.stats();
    let mut seen = 0;
    while seen < 40 {
        let packet = subscriber.next_packet().expect("PUBLISH").expect("open");
        seen += usize::from(packet.get("topic") == Some(b"t"));
    }
    // 35 beyond the burst, at 50 a second.
    assert!(begun.elapsed().as_millis() >= 690, "{:?}", begun.elapsed());
    fast.send("PINGREQ").expect("sent");
    fast.expect("PINGRESP").expect("PINGRESP");
    let stats = broker.stats();
    assert!(stats.mqtt.rate_pauses >= 30, "{stats:?}");
    let turns = stats.turns - before.turns;
    assert!(turns < 400, "a pause is a sleep: {turns} turns");
    assert_eq!(stats.mqtt.dropped.total(), 0);
}

#[test]
fn messages_to_a_slow_rate_arrive_one_by_one() {
    let rates = Rates {
        messages_out: Rate {
            per_second: 50,
            burst: 5,
        },
        ..Rates::UNLIMITED
    };
    let broker = limited(Rates::UNLIMITED, rates);
    let mut subscriber = client(&broker, 5, "s");
    subscribe(&mut subscriber, "t", 1);
    let mut publisher = client(&broker, 4, "p");
    let begun = Instant::now();
    publisher.send_bytes(&flood(30)).expect("sent");
    for n in 0..30 {
        let wanted = format!("PUBLISH topic=t payload={n}");
        subscriber.expect(&wanted).expect("PUBLISH");
    }
    assert!(begun.elapsed().as_millis() >= 490, "{:?}", begun.elapsed());
    let stats = until(&broker, |stats| stats.mqtt.queued == 0);
    assert_eq!((stats.mqtt.sent(), stats.mqtt.dropped.total()), (30, 0));
    assert!(stats.mqtt.rate_waits > 0 && stats.mqtt.rate_pauses == 0);
}

#[test]
fn clients_over_their_rate_cost_others_nothing_however_many_have_more_to_say() {
    let rates = Rates {
        messages_in: Rate {
            per_second: 5,
            burst: 1,
        },
        ..Rates::UNLIMITED
    };
    let mut config = Config::listen(ANY_PORT);
    config.shards = 1;
    config.listeners[0].client_rates = rates;
    config.listeners.push(ListenerConfig::anonymous(ANY_PORT));
    let broker = start(config);
    let mut busy =
        RawPeer::introduced(broker.local_addrs()[1], 4, "CONNECT client_id=busy").expect("CONNACK");
    let mut paused: Vec<_> = (0..50)
        .map(|n| client(&broker, 4, &format!("c{n}")))
        .collect();
    for peer in &mut paused {
        peer.send_bytes(&flood(2)).expect("sent");
    }
    until(&broker, |stats| stats.mqtt.rate_pauses >= 50);
    // What comes now stays in the sockets until the rates allow it.
    for peer in &mut paused {
        peer.send_bytes(&flood(2)).expect("sent");
    }
    let mut stats = broker.stats();
    while stats.mqtt.received[0] < 200 {
        busy.send("PINGREQ").expect("sent");
        busy.expect("PINGRESP").expect("PINGRESP");
        stats = broker.stats();
    }
    assert!(stats.turns > 200, "{stats:?}");
    assert!(stats.looks <= 200, "{} looks", stats.looks);
    for peer in &mut paused {
        peer.send("PINGREQ").expect("sent");
        peer.expect("PINGRESP").expect("PINGRESP");
    }
}

#[test]
fn a_new_connection_of_the_same_client_waits_for_what_the_last_one_used() {
    let rates = Rates {
        messages_in: Rate {
            per_second: 2,
            burst: 1,
        },
        ..Rates::UNLIMITED
    };
    let broker = limited(rates, Rates::UNLIMITED);
    let begun = Instant::now();
    let mut first = client(&broker, 4, "c");
    first.send_bytes(&flood(1)).expect("sent");
    until(&broker, |stats| stats.mqtt.rate_pauses == 1);
    let mut second = client(&broker, 4, "c");
    second.send("PINGREQ").expect("sent");
    let mut other = client(&broker, 4, "other");
    other.send("PINGREQ").expect("sent");
    other.expect("PINGRESP").expect("PINGRESP");
    second.expect("PINGRESP").expect("PINGRESP");
    assert!(begun.elapsed().as_millis() >= 490, "{:?}", begun.elapsed());
    first.read_to_end().expect("taken over");
}
