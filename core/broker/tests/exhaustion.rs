//! A process out of descriptors. The only test of its process, because it takes them all.

mod support;

use std::fs::File;
use std::net::TcpStream;

use support::{broker, client, until};
use ternmq_test_broker_wire::RawPeer;

#[test]
fn without_descriptors_connections_wait_and_nothing_spins() {
    let broker = broker();
    let mut held = client(&broker, 4, "held");
    let mut taken: Vec<File> = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    // One for the client's end of the next connection, and none for the broker's.
    taken.pop();
    let waiting = TcpStream::connect(broker.local_addrs()[0]).expect("a connection");
    let before = until(&broker, |stats| stats.accept_errors > 0);
    held.send("PINGREQ").expect("sent");
    held.expect("PINGRESP").expect("the others go on");
    let after = until(&broker, |stats| {
        stats.accept_errors > before.accept_errors + 2
    });
    // Tried again at its interval, and not in each turn.
    assert!(after.turns - before.turns > 2 * (after.accept_errors - before.accept_errors));
    drop(taken);
    until(&broker, |stats| stats.accepted == 2);
    drop(waiting);
    RawPeer::introduced(broker.local_addrs()[0], 4, "CONNECT client_id=again").expect("CONNACK");
}
