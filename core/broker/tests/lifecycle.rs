//! Starting and stopping, over and over, with clients and without. The only test of its process,
//! because it counts the threads and descriptors of the process.

mod support;

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{ANY_PORT, client, silent, start, subscribe};
use ternmq_broker::{Broker, Config, ListenerConfig, StartError};
use ternmq_test_broker_wire::RawPeer;

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("threads").count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("descriptors").count()
}

#[test]
fn starting_and_stopping_leaves_nothing_behind() {
    stop_tells_clients_and_frees_the_port();
    stop_does_not_wait_for_who_does_not_read();
    stop_waits_for_who_reads_late_but_in_time();
    a_port_in_use_is_an_error_with_its_address();
    every_listener_listens_on_its_own_address();
    dropping_a_broker_stops_it();
    a_thousand_cycles_leave_no_thread_and_no_descriptor();
}

fn stop_tells_clients_and_frees_the_port() {
    let broker = start(Config {
        shards: 2,
        ..Config::listen(ANY_PORT)
    });
    let address = broker.local_addrs()[0];
    let mut new = client(&broker, 5, "new");
    let mut old = client(&broker, 4, "old");
    let mut mute = silent(&broker, 4);
    broker.stop().expect("no failure");
    new.expect("DISCONNECT reason=0x8B")
        .expect("Server shutting down");
    new.expect_close().expect("closed");
    old.expect_close().expect("closed");
    mute.expect_close().expect("closed");
    let again = start(Config::listen(address));
    assert_eq!(again.local_addrs(), [address]);
    client(&again, 5, "new");
}

fn stop_does_not_wait_for_who_does_not_read() {
    let broker = start(Config {
        stop_grace: Duration::from_millis(100),
        ..Config::listen(ANY_PORT)
    });
    let mut stuck = client(&broker, 4, "stuck");
    subscribe(&mut stuck, "big", 0);
    let mut publisher = client(&broker, 4, "publisher");
    let payload = "x".repeat(60_000);
    while broker.stats().blocked == 0 {
        support::publish(&mut publisher, "big", 1, &payload);
    }
    let begun = Instant::now();
    broker.stop().expect("no failure");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

fn stop_waits_for_who_reads_late_but_in_time() {
    let broker = start(Config {
        stop_grace: Duration::from_secs(60),
        ..Config::listen(ANY_PORT)
    });
    let mut late = client(&broker, 5, "late");
    subscribe(&mut late, "big", 0);
    let mut publisher = client(&broker, 4, "publisher");
    let payload = "x".repeat(60_000);
    while broker.stats().blocked == 0 {
        support::publish(&mut publisher, "big", 1, &payload);
    }
    let stopping = std::thread::spawn(move || broker.stop());
    publisher.expect_close().expect("closed");
    // Another broker's patience is the clock: longer than a connection gets that is closed in the
    // middle of a broker's life.
    let mut config = Config::listen(ANY_PORT);
    config.session.connect_timeout_ms = 1_500;
    let clock = start(config);
    let mut mute = silent(&clock, 4);
    mute.expect_close().expect("closed");
    let goodbye = loop {
        let packet = late.next_packet().expect("all of it").expect("a packet");
        if packet.word(0) != "PUBLISH" {
            break packet;
        }
    };
    assert_eq!(
        (goodbye.word(0), goodbye.number("reason", 0)),
        ("DISCONNECT", 0x8B)
    );
    stopping.join().expect("no panic").expect("no failure");
}

fn a_port_in_use_is_an_error_with_its_address() {
    let broker = start(Config::listen(ANY_PORT));
    let taken = broker.local_addrs()[0];
    match Broker::start(Config {
        listeners: [ANY_PORT, taken].map(ListenerConfig::anonymous).to_vec(),
        ..Config::default()
    }) {
        Err(StartError::Listen(address, _)) => assert_eq!(address, taken.into()),
        other => panic!("{other:?}"),
    }
}

fn every_listener_listens_on_its_own_address() {
    let addresses = ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"];
    let listeners = addresses.map(|a| ListenerConfig::anonymous(a.parse().expect("an address")));
    let broker = start(Config {
        listeners: listeners.to_vec(),
        ..Config::default()
    });
    let bound = broker.local_addrs();
    assert_ne!(bound[0], bound[2]);
    for (address, listener) in bound.iter().zip(listeners) {
        assert_eq!(Some(address.ip()), listener.address.ip());
        RawPeer::introduced(*address, 4, "CONNECT client_id=a").expect("CONNACK");
    }
}

fn dropping_a_broker_stops_it() {
    let broker = start(Config::listen(ANY_PORT));
    let mut peer = client(&broker, 5, "peer");
    let ending = broker.ending();
    drop(broker);
    assert_eq!(ending.wait(), None);
    peer.expect("DISCONNECT reason=0x8B")
        .expect("Server shutting down");
    peer.expect_close().expect("closed");
}

fn a_thousand_cycles_leave_no_thread_and_no_descriptor() {
    let before = (threads(), descriptors());
    for n in 0..1000 {
        let broker = start(Config {
            shards: 1 + n % 3,
            ..Config::listen(ANY_PORT)
        });
        let inside = broker.connect();
        match n % 4 {
            0 => drop(client(&broker, 5, "a")),
            1 => drop(TcpStream::connect(broker.local_addrs()[0]).expect("a connection")),
            _ => {}
        }
        broker.stop().expect("no failure");
        drop(inside);
    }
    assert_eq!((threads(), descriptors()), before);
}
