//! What the tests of the broker share: a broker on a free port, and raw peers on it.
#![allow(dead_code)]

pub(crate) mod disk;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use ternmq_broker::{Broker, Config, Event, Placement, Stats};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

/// A free port of the loopback interface.
pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) fn broker() -> Broker {
    start(Config::listen(ANY_PORT))
}

/// A broker with several shards and clients all over them.
pub(crate) fn spread(shards: usize) -> Broker {
    start(Config {
        shards,
        placement: Placement::ByClientId,
        ..Config::listen(ANY_PORT)
    })
}

/// The same, and what it tells, which can be waited for.
pub(crate) fn watched(shards: usize) -> (Broker, Receiver<Event>) {
    let (sender, events) = sync_channel(100);
    let config = Config {
        shards,
        placement: Placement::ByClientId,
        events: Some(sender),
        ..Config::listen(ANY_PORT)
    };
    (start_listening(config, &events), events)
}

/// A broker that has told where it listens.
pub(crate) fn start_listening(config: Config, events: &Receiver<Event>) -> Broker {
    let broker = start(config);
    let first = events.recv_timeout(PATIENCE).expect("where it listens");
    assert!(matches!(first, Event::Listening(..)));
    broker
}

pub(crate) fn start(config: Config) -> Broker {
    Broker::start(config).expect("a broker")
}

/// A client that is let in.
pub(crate) fn client(broker: &Broker, level: u8, client_id: &str) -> RawPeer {
    let connect = format!("CONNECT client_id={client_id}");
    RawPeer::introduced(broker.local_addrs()[0], level, &connect).expect("CONNACK")
}

/// A connection that has said nothing yet.
pub(crate) fn silent(broker: &Broker, level: u8) -> RawPeer {
    RawPeer::connect(broker.local_addrs()[0], level).expect("a connection")
}

pub(crate) fn subscribe(peer: &mut RawPeer, filter: &str, qos: u8) {
    peer.send(&format!("SUBSCRIBE id=1 filter={filter} options={qos}"))
        .expect("sent");
    peer.expect(&format!("SUBACK id=1 code={qos}"))
        .expect("SUBACK");
}

/// Publishes and goes through the acknowledgements of `qos`.
pub(crate) fn publish(peer: &mut RawPeer, topic: &str, qos: u8, payload: &str) {
    let id = if qos == 0 { "" } else { "id=7" };
    peer.send(&format!(
        "PUBLISH topic={topic} qos={qos} {id} payload={payload}"
    ))
    .expect("sent");
    match qos {
        0 => {}
        1 => drop(peer.expect("PUBACK id=7").expect("PUBACK")),
        _ => {
            peer.expect("PUBREC id=7").expect("PUBREC");
            peer.send("PUBREL id=7").expect("sent");
            peer.expect("PUBCOMP id=7").expect("PUBCOMP");
        }
    }
}

/// Asks for the counters until they are as wanted. Each answer takes a turn of every shard, so
/// nothing spins while nothing happens.
pub(crate) fn until(broker: &Broker, mut wanted: impl FnMut(&Stats) -> bool) -> Stats {
    let begun = Instant::now();
    loop {
        let stats = broker.stats();
        if wanted(&stats) {
            return stats;
        }
        assert!(begun.elapsed() < PATIENCE, "still not: {stats:#?}");
    }
}
