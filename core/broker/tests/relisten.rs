//! Listeners come, change and go, and whoever is connected notices nothing.

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use support::{ANY_PORT, start, until};
use ternmq_broker::{Broker, Config, ListenerConfig, StartError, Versions};
use ternmq_test_broker_wire::RawPeer;

fn with(listeners: &[ListenerConfig]) -> Config {
    Config {
        shards: 2,
        listeners: listeners.to_vec(),
        ..Config::default()
    }
}

fn change(broker: &Broker, listeners: &[ListenerConfig]) {
    let prepared = broker.reconfigure(&with(listeners)).expect("it can");
    prepared.apply();
}

fn any() -> ListenerConfig {
    ListenerConfig::anonymous(ANY_PORT)
}

/// A client that is answered so.
fn client(address: SocketAddr, level: u8, reason: &str) -> RawPeer {
    let mut peer = RawPeer::connect(address, level).expect("accepted");
    peer.send("CONNECT client_id=").expect("sent");
    peer.expect(&format!("CONNACK reason={reason}"))
        .expect("an answer");
    peer
}

fn is_alive(peer: &mut RawPeer) {
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("still there");
}

fn socket(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ternmq-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn mode(path: &Path) -> u32 {
    let file = std::fs::metadata(path).expect("there");
    file.permissions().mode() & 0o777
}

#[test]
fn listeners_come_and_go_while_clients_stay() {
    let broker = start(with(&[any()]));
    let first = broker.local_addrs()[0];
    let mut there = client(first, 5, "0");
    let path = socket("comes");
    let closed = ListenerConfig {
        anonymous: false,
        ..any()
    };
    change(
        &broker,
        &[any(), ListenerConfig::unix(&path, 0o600), closed.clone()],
    );
    let addresses = broker.local_addrs();
    assert_eq!((addresses.len(), addresses[0]), (2, first));
    assert_eq!(broker.listener_numbers(), [0, 1, 2]);
    drop(client(first, 4, "0"));
    drop(client(addresses[1], 5, "0x87"));
    drop(UnixStream::connect(&path).expect("listened at"));
    // The same in another order.
    change(&broker, &[closed.clone(), any()]);
    assert_eq!(broker.local_addrs(), [addresses[1], first]);
    assert_eq!(broker.listener_numbers(), [2, 0]);
    assert!(!path.exists());
    change(&broker, std::slice::from_ref(&closed));
    assert_eq!(broker.local_addrs(), [addresses[1]]);
    assert!(TcpStream::connect(first).is_err(), "nobody listens");
    is_alive(&mut there);
    // Somebody is still here with the number 0. The address is free all the same.
    change(&broker, &[closed.clone(), ListenerConfig::anonymous(first)]);
    assert_ne!(broker.listener_numbers()[1], 0);
    drop(client(first, 4, "0"));
    there.send("DISCONNECT").expect("sent");
    there.expect_close().expect("closed");
    until(&broker, |stats| stats.mqtt.connections == 0);
    change(&broker, &[closed, any(), any(), any(), any()]);
    assert!(broker.listener_numbers().contains(&0), "it is free again");
    for address in &broker.local_addrs()[1..] {
        drop(client(*address, 5, "0"));
    }
    broker.stop().expect("stopped");
}

#[test]
fn what_changes_of_a_listener_holds_for_who_comes_from_then_on() {
    let path = socket("changes");
    let unix = ListenerConfig::unix(&path, 0o600);
    let broker = start(with(&[any(), unix.clone()]));
    let address = broker.local_addrs()[0];
    let mut there = client(address, 4, "0");
    let only_v5 = ListenerConfig {
        versions: Versions {
            v5_0: true,
            ..Versions::NONE
        },
        connections: 2,
        ..any()
    };
    change(&broker, &[only_v5, ListenerConfig::unix(&path, 0o660)]);
    assert_eq!(broker.local_addrs(), [address]);
    assert_eq!(mode(&path), 0o660);
    let mut old = client(address, 4, "1");
    old.expect_close().expect("refused");
    until(&broker, |stats| stats.mqtt.connections == 1);
    let _second = client(address, 5, "0");
    // Who came before counts.
    let mut third = RawPeer::connect(address, 5).expect("accepted");
    third.expect_close().expect("closed");
    assert_eq!(broker.stats().connections_refused_listener, 1);
    is_alive(&mut there);
    change(&broker, &[any(), unix]);
    assert_eq!(mode(&path), 0o600);
    drop(client(address, 4, "0"));
    broker.stop().expect("stopped");
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let (path, new) = (socket("stays"), socket("new"));
    let unix = ListenerConfig::unix(&path, 0o600);
    let broker = start(with(&[any(), unix]));
    let address = broker.local_addrs()[0];
    let mut there = client(address, 5, "0");
    let other = TcpListener::bind(ANY_PORT).expect("bound");
    let taken = ListenerConfig::anonymous(other.local_addr().expect("bound"));
    let refused = |listeners: &[ListenerConfig]| {
        let error = broker.reconfigure(&with(listeners)).expect_err("taken");
        assert!(matches!(error, StartError::Listen(..)), "{error:?}");
        error.to_string()
    };
    let error = refused(&[
        ListenerConfig::unix(&new, 0o600),
        ListenerConfig::unix(&path, 0o666),
        taken.clone(),
    ]);
    assert!(error.contains(&taken.address.to_string()), "{error}");
    assert!(!new.exists() && mode(&path) == 0o600, "as it was");
    assert_eq!(broker.listener_numbers(), [0, 1]);
    drop(client(address, 5, "0"));
    is_alive(&mut there);
    // By this server itself.
    let all = ListenerConfig::anonymous(SocketAddr::from(([0; 4], address.port())));
    let error = refused(&[any(), all.clone()]);
    assert!(error.contains("for a listener that goes on"), "{error}");
    // It could be in the place of the first, but the other one is taken.
    let error = refused(&[all, taken]);
    assert!(error.contains("in use"), "{error}");
    drop(client(address, 5, "0"));
    let port = format!("127.0.0.1:{}", address.port());
    assert!(
        TcpListener::bind(port).is_err(),
        "nobody else may listen there"
    );
    // Only one at a time: what the first was made from would not be true any more.
    let first = broker.reconfigure(&with(&[any()])).expect("it can");
    let another = broker.reconfigure(&with(&[any()]));
    let error = another.expect_err("not before that");
    assert!(matches!(error, StartError::Config(_)), "{error:?}");
    drop(first);
    // One that is only made ready is not there afterwards.
    drop(broker.reconfigure(&with(&[ListenerConfig::unix(&new, 0o600)])));
    assert!(!new.exists() && path.exists());
    drop(client(address, 5, "0"));
    broker.stop().expect("stopped");
    assert!(!path.exists());
}

#[test]
fn a_listener_becomes_one_for_all_addresses_and_back_while_clients_stay() {
    let broker = start(with(&[any()]));
    let one = broker.local_addrs()[0];
    let port = one.port();
    let mut there = vec![client(one, 5, "0")];
    let v6: SocketAddr = format!("[::]:{port}").parse().expect("an address");
    // Some machines of tests have no IPv6.
    let has_v6 = TcpListener::bind("[::]:0").is_ok();
    let all = SocketAddr::from(([0; 4], port));
    let others = [all, v6, one, all, one];
    for next in others.into_iter().filter(|next| has_v6 || next.is_ipv4()) {
        // Somebody whose connection the kernel has made, and who says something later.
        let mut waits = TcpStream::connect(one).expect("connected");
        change(&broker, &[ListenerConfig::anonymous(next)]);
        assert_eq!(broker.local_addrs(), [next]);
        std::io::Write::write_all(&mut waits, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
            .expect("sent");
        let mut connack = [0; 4];
        std::io::Read::read_exact(&mut waits, &mut connack).expect("let in");
        assert_eq!(connack, [0x20, 2, 0, 0]);
        there.push(client(one, 5, "0"));
        there.iter_mut().for_each(is_alive);
        // A second loopback address tells whether all are listened at.
        let second = SocketAddr::from(([127, 0, 0, 2], port));
        assert_eq!(TcpStream::connect(second).is_ok(), next != one, "{next}");
    }
    assert!(
        TcpListener::bind(one).is_err(),
        "nobody else may listen there"
    );
    broker.stop().expect("stopped");
    assert!(TcpStream::connect(one).is_err(), "nobody listens");
}
