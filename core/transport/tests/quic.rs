//! QUIC below the drivers: a client's socket that is replaced, and a loop that takes sockets only.
#![cfg(feature = "quic")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use support::certificates::{client_options, server_options};
use support::send;
use ternmq_transport::quic::{QuicClients, QuicCounts, QuicListener, QuicOptions, QuicServer};
use ternmq_transport::tls::TlsClient;
use ternmq_transport::{Listener, Stream};

const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    quic: QuicServer,
    listener: Listener,
    counts: QuicCounts,
}

impl Server {
    fn start() -> Self {
        let quic = QuicServer::new(server_options(), QuicOptions::default(), 64 * 1024).unwrap();
        let counts = QuicCounts::default();
        let listener: QuicListener = quic
            .listen("127.0.0.1:0".parse().unwrap(), counts.clone())
            .unwrap();
        Self {
            quic,
            listener: Listener::Quic(listener),
            counts,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().unwrap()
    }

    fn accept(&self) -> Stream {
        until(|| self.listener.accept().unwrap()).map_or_else(
            || panic!("nobody comes"),
            |(stream, _)| self.quic.accept(stream),
        )
    }
}

fn until<T>(mut what: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(done) = what() {
            return Some(done);
        }
        std::thread::yield_now();
    }
    None
}

fn trusting() -> TlsClient {
    client_options().build().unwrap()
}

#[test]
fn a_client_with_another_socket_goes_on() {
    let server = Server::start();
    let clients = QuicClients::start().unwrap();
    let mut client = clients
        .connect(server.address(), "localhost", &trusting())
        .unwrap();
    let mut accepted = server.accept();
    until(|| client.connected().unwrap().then_some(())).unwrap();
    let payload: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    assert!(send(&mut client, &mut accepted, &payload) == payload);
    let before = (client.local_addr(), accepted.peer_addr());
    assert_eq!(before.0.unwrap().port(), before.1.unwrap().port());
    client.quic().unwrap().rebind();
    assert!(send(&mut client, &mut accepted, &payload) == payload);
    assert!(send(&mut accepted, &mut client, &payload) == payload);
    let after = (client.local_addr(), accepted.peer_addr());
    assert_ne!(before.0, after.0);
    assert_eq!(after.0.unwrap().port(), after.1.unwrap().port());
    assert_eq!(server.counts.moved(), 1);
}

#[test]
fn the_end_of_a_stream_is_told_each_way_and_the_engines_end() {
    let server = Server::start();
    let end = match &server.listener {
        Listener::Quic(quic) => quic.engine(),
        _ => unreachable!(),
    };
    let clients = QuicClients::start().unwrap();
    let mut client = clients
        .connect(server.address(), "localhost", &trusting())
        .unwrap();
    let mut accepted = server.accept();
    until(|| client.connected().unwrap().then_some(())).unwrap();
    assert_eq!(send(&mut client, &mut accepted, b"first"), b"first");
    client.shutdown_write().unwrap();
    let mut byte = [0; 1];
    until(|| matches!(accepted.read(&mut byte), Ok(0)).then_some(())).unwrap();
    assert_eq!(send(&mut accepted, &mut client, b"last"), b"last");
    drop(server.listener);
    assert!(!end.wait_for_end(Duration::ZERO));
    drop(accepted);
    until(|| matches!(client.read(&mut byte), Ok(0)).then_some(())).unwrap();
    drop(client);
    assert!(end.wait_for_end(PATIENCE));
}

#[test]
fn a_socket_in_place_of_the_pipe_says_when_the_connection_is_there() {
    let server = Server::start();
    let clients = QuicClients::start().unwrap();
    let (mut inside, outside) = UnixStream::pair().unwrap();
    inside.set_read_timeout(Some(PATIENCE)).unwrap();
    let quic = clients
        .connect_socket(server.address(), "localhost", &trusting(), outside)
        .unwrap();
    let mut accepted = server.accept();
    let mut byte = [0; 1];
    inside.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"+");
    inside.write_all(b"x").unwrap();
    let read = until(|| match accepted.read(&mut byte) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        read => Some(read.unwrap()),
    });
    assert_eq!((read, &byte), (Some(1), b"x"));
    assert!(quic.error().is_none());
    drop(inside);
    until(|| matches!(accepted.read(&mut byte), Ok(0)).then_some(())).unwrap();

    let (mut inside, outside) = UnixStream::pair().unwrap();
    inside.set_read_timeout(Some(PATIENCE)).unwrap();
    let quic = clients
        .connect_socket(server.address(), "elsewhere", &trusting(), outside)
        .unwrap();
    drop(server.accept());
    assert_eq!(inside.read(&mut byte).unwrap(), 0);
    assert!(quic.error().is_some());
}
