//! What layers at rest cost in memory: bytes of the heap, counted by the allocator.
#![cfg(all(feature = "tls", feature = "websocket"))]

mod support;

use allocation_counter::measure;
use support::certificates::{client_options, server};
use support::{HANDSHAKE_BYTES, send, shaken, tcp, websocket};
use ternmq_transport::Stream;
use ternmq_transport::tls::{TlsOptions, TlsVersion};
use ternmq_transport::websocket::{Deflate, WebSocketOptions, WebSocketServer};

/// Bytes of one end with TLS: keys, what was agreed on, the peer's certificates, and no buffer.
const GATE_TLS: i64 = 6 * 1024;

/// Bytes of one end with a WebSocket.
const GATE_WEBSOCKET: i64 = 1024;

/// The same of one with compression for which nothing is kept between messages.
const GATE_DEFLATE: i64 = 1536;

/// And of one for which what was sent and what has come is kept, with the largest window.
const GATE_CONTEXT: i64 = 448 * 1024;

/// The bytes of both ends after they have talked: client, server.
fn at_rest(make: impl Fn() -> (Stream, Stream)) -> (i64, i64) {
    let talk = || {
        let (mut a, mut b) = shaken(make());
        let bytes = vec![7; 100_000];
        assert!(send(&mut a, &mut b, &bytes) == bytes);
        assert!(send(&mut b, &mut a, &bytes) == bytes);
        (a, b)
    };
    drop(talk()); // what is there once for all
    let mut pair = None;
    measure(|| pair = Some(talk()));
    let (client, server) = pair.expect("a pair");
    let client = -measure(|| drop(client)).bytes_current;
    let server = -measure(|| drop(server)).bytes_current;
    (client, server)
}

#[test]
fn layers_at_rest_own_no_buffers() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let options = TlsOptions {
            max_version: version,
            resumption: false,
            ..client_options()
        };
        let (client, server) = (options.build().unwrap(), server());
        let (client, server) = at_rest(|| {
            let (a, b) = tcp();
            let a = client.connect(a, "localhost").unwrap();
            (a, server.accept(b, HANDSHAKE_BYTES).unwrap())
        });
        println!("{version:?}: {client} bytes at the client, {server} at the server");
        assert!(client <= GATE_TLS && server <= GATE_TLS);
    }
    let (client, server) = at_rest(|| websocket(tcp()));
    println!("WebSocket: {client} bytes at the client, {server} at the server");
    assert!(client <= GATE_WEBSOCKET && server <= GATE_WEBSOCKET);
    for (context, window_bits, gate) in [
        (false, 15, GATE_DEFLATE),
        (true, 15, GATE_CONTEXT),
        (true, 9, GATE_CONTEXT),
    ] {
        let deflate = Deflate {
            context,
            window_bits,
            ..Deflate::default()
        };
        let (client, server) = at_rest(|| compressed(deflate, tcp()));
        println!(
            "compressed, context {context}, 2^{window_bits}: {client} bytes at the client, {server} at the server"
        );
        assert!(client <= gate && server <= gate);
    }
}

fn compressed(deflate: Deflate, (a, b): (Stream, Stream)) -> (Stream, Stream) {
    let client = WebSocketOptions {
        deflate: Some(deflate),
        ..WebSocketOptions::default()
    };
    let server = WebSocketServer {
        deflate: Some(deflate),
        ..WebSocketServer::default()
    };
    let a = client.connect(a, false, "localhost:80", "/mqtt").unwrap();
    (a, server.accept(b))
}
