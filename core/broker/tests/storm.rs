//! Ten thousand connections as fast as they can be made. The only test of its process, because it counts
//! descriptors.

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{client, publish, spread, subscribe, until};
use ternmq_test_broker_wire::{Line, RawPeer, packet};

const THREADS: usize = 4;
const EACH: usize = 2_500;

/// One connection of the storm; of each four one ends in another way.
fn arrive(address: SocketAddr, number: usize, name: &str) {
    let connect = Line::parse(&format!("CONNECT client_id={name}")).expect("a line");
    let bytes = packet::encode(4, &connect);
    match number % 4 {
        0 => drop(TcpStream::connect(address).expect("a connection")),
        1 => {
            let mut half = TcpStream::connect(address).expect("a connection");
            half.write_all(&bytes[..bytes.len() / 2]).expect("sent");
        }
        end => {
            let mut peer = RawPeer::introduced(address, 4, &format!("CONNECT client_id={name}"))
                .expect("CONNACK");
            if end == 2 {
                peer.send("DISCONNECT").expect("sent");
            }
        }
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .expect("a folder")
        .count()
}

#[test]
fn a_storm_of_connections_keeps_nobody_waiting_and_leaves_nothing() {
    let broker = spread(2);
    let address = broker.local_addrs()[0];
    let mut witness = client(&broker, 4, "witness");
    subscribe(&mut witness, "here", 0);
    let before = descriptors();
    let ended = AtomicUsize::new(0);
    let mut round_trips = 0;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ended = &ended;
            scope.spawn(move || {
                for number in 0..EACH {
                    arrive(address, number, &format!("storm-{thread}-{number}"));
                }
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        while ended.load(Ordering::Relaxed) < THREADS {
            publish(&mut witness, "here", 0, "still");
            witness
                .expect("PUBLISH topic=here payload=still")
                .expect("served");
            round_trips += 1;
        }
    });
    let all = (THREADS * EACH) as u64;
    let stats = until(&broker, |stats| {
        stats.mqtt.connections == 1 && stats.accepted == all + 1
    });
    assert!(round_trips > 0);
    assert_eq!((stats.mqtt.sessions, stats.mqtt.subscriptions), (1, 1));
    assert_eq!((stats.mqtt.queued, stats.outbound_bytes), (0, 0));
    assert_eq!(descriptors(), before);
}
