//! The client and the broker over compressed WebSockets, and bombs for both.
#![cfg(all(feature = "tls", feature = "websocket"))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Broker, Config, ListenerConfig, Stats};
use ternmq_client::blocking::Client;
use ternmq_client::websocket::{Deflate, WebSocketError};
use ternmq_client::{ConnectError, ConnectOptions, Publish, QoS, SubscribeOptions, TransportError};

const PATIENCE: Duration = Duration::from_secs(20);

const KEEPS: Deflate = Deflate {
    window_bits: 12,
    context: true,
    min_bytes: 0,
    message_bytes: u64::MAX,
};

fn broker(deflate: Option<Deflate>, packet_size: u32) -> (Broker, SocketAddr) {
    let plain = ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap());
    let websocket = Some(WebSocketServer {
        deflate,
        ..WebSocketServer::default()
    });
    let mut config = Config {
        listeners: vec![ListenerConfig { websocket, ..plain }],
        shards: 1,
        ..Config::default()
    };
    config.session.packet_size = packet_size;
    let broker = Broker::start(config).unwrap();
    let address = broker.local_addrs()[0];
    (broker, address)
}

fn options(address: SocketAddr) -> ConnectOptions {
    let options = ConnectOptions::from_uri(&format!("ws://{address}/mqtt")).unwrap();
    options.connect_timeout(PATIENCE)
}

fn until(broker: &Broker, what: impl Fn(&Stats) -> bool) -> Stats {
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = broker.stats();
        if what(&stats) {
            return stats;
        }
        assert!(Instant::now() < end, "{stats:#?}");
        std::thread::yield_now();
    }
}

/// Passes one connection on, and counts what goes to the server and what comes back.
fn counted(server: SocketAddr) -> (SocketAddr, JoinHandle<(u64, u64)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let relay = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let there = std::thread::spawn(move || {
            let count = std::io::copy(&mut from, &mut to).unwrap_or(0);
            let _ = to.shutdown(std::net::Shutdown::Write);
            count
        });
        let back = std::io::copy(&mut server, &mut client).unwrap_or(0);
        let _ = client.shutdown(std::net::Shutdown::Write);
        (there.join().unwrap(), back)
    });
    (address, relay)
}

/// Sends 40 messages of text both ways; the bytes that they took there and back.
fn cost(client: Option<Deflate>, server: Option<Deflate>) -> (u64, u64) {
    let (broker, address) = broker(server, 1 << 20);
    let (through, relay) = counted(address);
    let mut options = options(through);
    options.websocket.deflate = client;
    let client = Client::connect(options).unwrap();
    let mut inbox = client
        .subscribe("text", SubscribeOptions::new(QoS::AtLeastOnce))
        .unwrap();
    for n in 0..40 {
        let text =
            format!("{{\"sensor\": {n}, \"state\": \"as it was before\"}} ").repeat(1 + n * n);
        (client.publish(Publish::new("text", text.as_bytes()).qos(QoS::AtLeastOnce))).unwrap();
        let message = inbox.next_timeout(PATIENCE).unwrap();
        assert_eq!(message.payload(), text.as_bytes());
    }
    client.disconnect();
    let counted = relay.join().unwrap();
    assert_eq!(broker.stats().websocket_failed, 0);
    broker.stop().unwrap();
    counted
}

#[test]
fn compression_is_used_where_both_want_it() {
    let (there, back) = cost(None, None);
    for (client, server) in [(Some(KEEPS), None), (None, Some(KEEPS))] {
        let (same, and_back) = cost(client, server);
        // The opening may say more.
        assert!(same.abs_diff(there) < 1000 && and_back.abs_diff(back) < 1000);
    }
    for (client, server) in [
        (Deflate::default(), Deflate::default()),
        (KEEPS, KEEPS),
        (KEEPS, Deflate::default()),
    ] {
        let (less, and_back) = cost(Some(client), Some(server));
        assert!(
            less * 4 < there && and_back * 4 < back,
            "{less}, {and_back}"
        );
    }
}

/// A message of WebSockets that is a bomb: these bytes again and again.
fn bomb(first: &[u8], bytes: usize, masked: bool) -> Vec<u8> {
    let mut deflater = Compress::new(Compression::best(), false);
    let mut body = Vec::with_capacity(bytes / 100 + 1000);
    let many = first.repeat(bytes / first.len());
    (deflater.compress_vec(&many, &mut body, FlushCompress::Sync)).unwrap();
    body.truncate(body.len() - 4);
    let mut frame = vec![0xC2, if masked { 0xFE } else { 126 }];
    frame.extend((body.len() as u16).to_be_bytes());
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend(body);
    frame
}

fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_bomb_for_a_broker_ends_at_the_largest_packet_in_force() {
    let (broker, address) = broker(Some(Deflate::default()), 100_000);
    for (bytes, ends) in [(100_000, false), (100_005, true)] {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Protocol: mqtt\r\n\
                       Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        assert!(head(&mut socket).contains("permessage-deflate"));
        let mut connect = vec![0x82, 0x8E, 0, 0, 0, 0];
        connect.extend(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00");
        socket.write_all(&connect).unwrap();
        // Messages of 5 bytes each, which nobody answers, and something that is answered.
        socket
            .write_all(&bomb(b"\x30\x03\x00\x01t", bytes, true))
            .unwrap();
        let _ = socket.write_all(&[0x82, 0x82, 0, 0, 0, 0, 0xC0, 0]);
        let mut said = [0; 10];
        socket.read_exact(&mut said).unwrap();
        assert_eq!(said[..6], [0x82, 4, 0x20, 2, 0, 0]);
        let end = match ends {
            false => [0x82, 2, 0xD0, 0],
            // 1009
            true => [0x88, 2, 0x03, 0xF1],
        };
        assert_eq!(said[6..], end);
    }
    let stats = until(&broker, |stats| stats.websocket_failed == 1);
    assert_eq!(stats.mqtt.peer_errors, 0);
    broker.stop().unwrap();
}

#[test]
fn a_bomb_for_a_client_ends_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let asked = head(&mut socket);
        assert!(asked.contains("permessage-deflate"), "{asked}");
        let key = asked
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
            .unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n",
            accept(key)
        );
        socket.write_all(answer.as_bytes()).unwrap();
        // The beginning of a packet that may be, and then more than may be.
        let mut bytes = vec![0x20, 0x96, 0x8D, 0x06];
        bytes.resize(100_010, 0);
        socket.write_all(&bomb(&bytes, bytes.len(), false)).unwrap();
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said);
        said
    });
    let mut options = options(address).deflate(Deflate::default());
    options.session.max_packet_size = 100_000;
    match Client::connect(options) {
        Err(ConnectError::Transport(TransportError::WebSocket(error))) => {
            assert_eq!(error, WebSocketError::MessageTooLarge(100_000));
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("connected"),
    }
    server.join().unwrap();
}

/// What proves that a key was read.
fn accept(key: &str) -> String {
    use base64::Engine;
    use sha1::{Digest, Sha1};
    let hash = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    base64::prelude::BASE64_STANDARD.encode(hash)
}
