//! Sessions that never come back keep no more of the log than they may have to read.

mod support;

use std::sync::Arc;

use support::disk;
use support::{ANY_PORT, client, publish, silent, start, subscribe, until};
use ternmq_broker::store::Store;
use ternmq_broker::{Broker, Config, StoreStats};
use ternmq_test_broker_wire::RawPeer;

/// Messages, and how many a session may have to read.
const MESSAGES: usize = 1_500;
const MOST: usize = 50;

/// What the log may have in the end: what may be read, what came in between two sweeps, and a row of the index,
/// which goes as a whole. All messages are three times that.
const LOG_BYTES: u64 = 500 * PAYLOAD as u64;
const PAYLOAD: usize = 400;

fn on(store: &Arc<Store>, change: impl FnOnce(&mut Config)) -> Broker {
    let mut config = Config {
        shards: 2,
        store: Some(store.clone()),
        ..Config::listen(ANY_PORT)
    };
    change(&mut config);
    start(config)
}

fn durable(broker: &Broker, client_id: &str) -> RawPeer {
    let mut peer = silent(broker, 5);
    let connect = format!("CONNECT client_id={client_id} clean_start=0 session_expiry=1000");
    peer.send(&connect).expect("sent");
    peer.expect("CONNACK reason=0").expect("CONNACK");
    peer
}

/// Two sessions that are away, and what is published for them a hundred at a time.
fn fill(broker: &Broker, mut between: impl FnMut(usize)) {
    for name in ["one", "other"] {
        let mut peer = durable(broker, name);
        subscribe(&mut peer, "t/#", 1);
        peer.cut();
    }
    let mut publisher = client(broker, 4, "publisher");
    for number in 0..MESSAGES {
        let payload = format!("{number:0PAYLOAD$}");
        publish(&mut publisher, "t/x", 1, &payload);
        if (number + 1) % 100 == 0 {
            between(number + 1);
        }
    }
}

fn swept(stats: &StoreStats) -> u64 {
    assert_eq!(
        (stats.swept_passed, stats.swept_old, stats.swept_full),
        (0, 0, 0)
    );
    stats.swept_session_messages + stats.swept_session_bytes
}

/// The numbers of what a session that comes back gets.
fn read(broker: &Broker, name: &str) -> Vec<usize> {
    let mut peer = durable(broker, name);
    let mut got = Vec::new();
    while got.last() != Some(&(MESSAGES - 1)) {
        let packet = peer.expect("PUBLISH").expect("a message");
        let payload = packet.get("payload").unwrap_or_default();
        got.push(String::from_utf8_lossy(payload).parse().expect("a number"));
        let id = packet.number("id", 0);
        peer.send(&format!("PUBACK id={id}")).expect("sent");
    }
    got
}

fn check(broker: &Broker, most: usize) {
    let newest: Vec<_> = (MESSAGES - most..MESSAGES).collect();
    let by_sweeps = swept(&broker.stats().store);
    for (times, name) in [(1, "one"), (2, "other")] {
        assert_eq!(read(broker, name), newest, "{name}");
        let stats = broker.stats();
        // Each once: by the sweep for all, or by the session for itself.
        let own = stats.mqtt.dropped.queue_items + stats.mqtt.dropped.queue_bytes;
        let here = (MESSAGES - most) as u64 - by_sweeps;
        assert_eq!(own, times * here, "{:?}", stats.mqtt.dropped);
    }
}

fn by_count(config: &mut Config) {
    config.limits.log.session_messages = MOST as u32;
    config.limits.log.sweep_ms = 1;
}

fn never(config: &mut Config) {
    by_count(config);
    config.limits.log.sweep_ms = 3_600_000;
}

#[test]
fn the_log_stays_small_while_messages_come_for_sessions_that_are_away() {
    let (store, _disk) = disk::store();
    let broker = on(&store, by_count);
    fill(&broker, |number| {
        let over = number.saturating_sub(400) as u64;
        until(&broker, |stats| swept(&stats.store) >= over);
    });
    assert!(broker.stats().store.log_bytes <= LOG_BYTES);
    // Nothing is swept while it is counted what was.
    let mut config = Config::listen(ANY_PORT);
    never(&mut config);
    broker.reconfigure(&config).expect("it can").apply();
    broker.advance(std::time::Duration::from_secs(1));
    check(&broker, MOST);
}

#[test]
fn what_is_too_much_for_sessions_that_are_away_goes_after_a_crash_too() {
    let (store, disk) = disk::store();
    let broker = on(&store, never);
    fill(&broker, |_| ());
    assert_eq!(swept(&broker.stats().store), 0);
    let copy = Arc::new(disk.copy());
    let broker = on(&copy.open(), by_count);
    until(&broker, |stats| swept(&stats.store) > 0);
    let mut config = Config::listen(ANY_PORT);
    never(&mut config);
    broker.reconfigure(&config).expect("it can").apply();
    broker.advance(std::time::Duration::from_secs(1));
    check(&broker, MOST);
}
