//! Abuse of the handshakes below MQTT: each ends, is counted, and no bystander notices.
#![cfg(all(feature = "tls", feature = "websocket"))]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::{ANY_PORT, client, publish, start, subscribe, until};
use ternmq_broker::tls::{Identity, TlsServerOptions};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Broker, Config, ListenerConfig};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};
use ternmq_test_certificates::authority;

/// Listeners with nothing, TLS, a WebSocket, and both; handshakes have a second and 4 KiB.
fn broker() -> Broker {
    broker_with(4096)
}

fn broker_with(bytes: usize) -> Broker {
    let issued = authority().issue(&["localhost"]);
    let tls = Some(TlsServerOptions::new(Identity::pem(
        issued.chain,
        issued.key,
    )));
    let websocket = Some(WebSocketServer {
        head_bytes: bytes,
        ..WebSocketServer::default()
    });
    let plain = ListenerConfig {
        handshake_bytes: bytes,
        ..ListenerConfig::anonymous(ANY_PORT)
    };
    let listeners = vec![
        plain.clone(),
        ListenerConfig {
            tls: tls.clone(),
            ..plain.clone()
        },
        ListenerConfig {
            websocket: websocket.clone(),
            ..plain.clone()
        },
        ListenerConfig {
            tls,
            websocket,
            ..plain
        },
    ];
    let mut config = Config {
        listeners,
        shards: 1,
        ..Config::default()
    };
    config.session.connect_timeout_ms = 1_000;
    start(config)
}

/// A client in the middle of everything: whatever happens meanwhile, it has its answers.
struct Bystander(RawPeer);

impl Bystander {
    fn at(broker: &Broker) -> Self {
        let mut peer = client(broker, 5, "bystander");
        subscribe(&mut peer, "here", 0);
        Self(peer)
    }

    fn is_served(&mut self) {
        publish(&mut self.0, "here", 0, "x");
        self.0.expect("PUBLISH topic=here payload=x").expect("back");
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Sends until the broker has had enough; what it says until its end.
fn insist(mut socket: TcpStream, piece: &[u8]) -> Vec<u8> {
    let end = Instant::now() + PATIENCE;
    while socket.write_all(piece).is_ok() {
        assert!(Instant::now() < end, "it goes on listening");
    }
    said(socket)
}

fn said(mut socket: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = socket.read_to_end(&mut said);
    said
}

#[test]
fn who_says_nothing_is_closed_in_time() {
    let broker = broker();
    let mut bystander = Bystander::at(&broker);
    let began = Instant::now();
    let silent: Vec<TcpStream> = broker.local_addrs()[1..]
        .iter()
        .copied()
        .map(connect)
        .collect();
    for socket in silent {
        bystander.is_served();
        assert_eq!(said(socket), b"");
    }
    assert!(began.elapsed() >= Duration::from_millis(900));
    let stats = until(&broker, |stats| stats.closed == 3);
    assert_eq!(stats.handshakes_unfinished, 3);
    assert_eq!((stats.tls_failed, stats.websocket_failed), (0, 0));
    bystander.is_served();
}

#[test]
fn who_says_something_byte_by_byte_has_no_more_time_than_others() {
    let broker = broker_with(1 << 20);
    let mut bystander = Bystander::at(&broker);
    for at in 1..4 {
        let mut socket = connect(broker.local_addrs()[at]);
        socket.set_nodelay(true).expect("an option");
        // The beginning of a ClientHello of 64 KiB, or of a request.
        let hello: &[u8] = match at {
            2 => b"GET /mqtt HTTP/1.1\r\nX: ",
            _ => b"\x16\x03\x01\x40\x00\x01\x00\xff\x00\x03\x03",
        };
        let began = Instant::now();
        let mut bytes = hello.iter().chain(std::iter::repeat(&b'a'));
        while socket.write_all(&[*bytes.next().expect("endless")]).is_ok() {
            bystander.is_served();
            assert!(began.elapsed() < PATIENCE);
        }
    }
    let stats = until(&broker, |stats| stats.closed == 3);
    assert_eq!(stats.handshakes_unfinished, 3);
    bystander.is_served();
}

#[test]
fn garbage_is_refused_at_once() {
    let broker = broker();
    let mut bystander = Bystander::at(&broker);
    let addresses = broker.local_addrs();
    // MQTT, HTTP and zeros where TLS is spoken: an alert (21), and the end.
    for garbage in [
        &b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 64],
    ] {
        for at in [1, 3] {
            let mut socket = connect(addresses[at]);
            socket.write_all(garbage).expect("sent");
            assert_eq!(said(socket).first(), Some(&21));
            bystander.is_served();
        }
    }
    let mut socket = connect(addresses[2]);
    socket
        .write_all(b"\x10\x0c\x00\x04MQTT\r\n\r\n")
        .expect("sent");
    assert!(said(socket).starts_with(b"HTTP/1.1 400 "));
    let mut socket = connect(addresses[2]);
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    assert!(said(socket).starts_with(b"HTTP/1.1 404 "));
    let stats = until(&broker, |stats| stats.closed == 8);
    assert_eq!((stats.tls_failed, stats.websocket_failed), (6, 2));
    assert_eq!(stats.handshakes_unfinished, 8);
    bystander.is_served();
}

#[test]
fn what_has_no_end_ends_at_its_limit() {
    let broker = broker();
    let mut bystander = Bystander::at(&broker);
    let addresses = broker.local_addrs();
    // A head without an end.
    let told = insist(connect(addresses[2]), &[b'a'; 1000]);
    assert!(
        told.is_empty() || told.starts_with(b"HTTP/1.1 431 "),
        "{told:?}"
    );
    bystander.is_served();
    // A message of 16 MiB in records of one byte each.
    let mut socket = connect(addresses[1]);
    socket
        .write_all(b"\x16\x03\x01\x00\x04\x01\x00\xff\xff")
        .expect("sent");
    insist(socket, &b"\x16\x03\x01\x00\x01\x00".repeat(100));
    bystander.is_served();
    // Records of nothing at all.
    insist(connect(addresses[1]), &b"\x16\x03\x01\x00\x00".repeat(100));
    bystander.is_served();
    // Alerts that only warn.
    insist(
        connect(addresses[1]),
        &b"\x15\x03\x01\x00\x02\x01\x5a".repeat(100),
    );
    bystander.is_served();
    let stats = until(&broker, |stats| stats.closed == 4);
    assert_eq!((stats.tls_failed, stats.websocket_failed), (3, 1));
    assert_eq!(stats.handshakes_unfinished, 4);
}

#[test]
fn a_handshake_that_is_left_at_any_byte_leaves_nothing() {
    let broker = broker();
    let mut bystander = Bystander::at(&broker);
    let request = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n".as_bytes();
    for cut in 0..request.len() {
        let mut socket = connect(broker.local_addrs()[2]);
        socket.write_all(&request[..cut]).expect("sent");
    }
    let hello: Vec<u8> = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        &[7; 501],
    ]
    .concat();
    for cut in (0..hello.len()).step_by(16) {
        let mut socket = connect(broker.local_addrs()[1]);
        socket.write_all(&hello[..cut]).expect("sent");
    }
    let all = (request.len() + hello.len().div_ceil(16)) as u64;
    let stats = until(&broker, |stats| stats.closed == all);
    assert_eq!(stats.handshakes_unfinished, all);
    assert_eq!(stats.mqtt.connections, 1);
    bystander.is_served();
}
