//! Connected streams of every kind, and certificates for them.
#![allow(dead_code)] // each suite uses its part

use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use ternmq_transport::{Listener, Poller, Stream, pipe};

#[cfg(feature = "tls")]
pub(crate) mod certificates;

pub(crate) const SECONDS: Option<Duration> = Some(Duration::from_secs(10));

/// What a handshake may take on either side.
pub(crate) const HANDSHAKE_BYTES: usize = 64 * 1024;

pub(crate) fn tcp() -> (Stream, Stream) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = Stream::connect(listener.local_addr().unwrap().unwrap()).unwrap();
    accepted(listener, client)
}

pub(crate) fn unix() -> (Stream, Stream) {
    let folder = std::env::temp_dir().join(format!(
        "ternmq-streams-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let listener = Listener::bind_unix(&path, 0o600).unwrap();
    let client = Stream::connect_unix(&path).unwrap();
    let pair = accepted(listener, client);
    assert!(!path.exists());
    std::fs::remove_dir(&folder).unwrap();
    pair
}

/// Streams connected in every way there is.
pub(crate) fn every_kind() -> Vec<(&'static str, Stream, Stream)> {
    let mut kinds = Vec::new();
    let mut add = |name, (a, b)| kinds.push((name, a, b));
    add("tcp", tcp());
    add("unix", unix());
    add("pipe", pipe(64 * 1024));
    #[cfg(feature = "tls")]
    {
        add("tls over tcp", shaken(certificates::tls(tcp())));
        add(
            "tls over a pipe",
            shaken(certificates::tls(pipe(16 * 1024))),
        );
    }
    #[cfg(feature = "websocket")]
    {
        add("websocket over tcp", shaken(websocket(tcp())));
        add("websocket over a pipe", shaken(websocket(pipe(16 * 1024))));
    }
    #[cfg(all(feature = "tls", feature = "websocket"))]
    add(
        "websocket over tls",
        shaken(websocket(certificates::tls(tcp()))),
    );
    kinds
}

/// Puts a WebSocket above both ends.
#[cfg(feature = "websocket")]
pub(crate) fn websocket((client, server): (Stream, Stream)) -> (Stream, Stream) {
    use ternmq_transport::websocket::{WebSocketOptions, WebSocketServer};
    let client = WebSocketOptions::default().connect(client, false, "localhost:80", "/mqtt");
    (client.unwrap(), WebSocketServer::default().accept(server))
}

/// Drives both ends until both have ended their handshakes; what went wrong at the first that fails.
pub(crate) fn shake(client: &mut Stream, server: &mut Stream) -> (io::Result<()>, io::Result<()>) {
    let until = Instant::now() + Duration::from_secs(10);
    let (mut ready, mut heard) = (false, Ok(()));
    let mut buffer = [0; 1];
    while Instant::now() < until {
        match client.connected() {
            Ok(connected) => ready = connected,
            Err(error) => {
                // The server hears of it.
                for _ in 0..1000 {
                    match server.read(&mut buffer) {
                        Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                        Err(e) => return (Err(error), Err(e)),
                        Ok(_) => break,
                    }
                }
                return (Err(error), heard);
            }
        }
        if !server.is_established() && heard.is_ok() {
            match server.read(&mut buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => heard = Err(e),
                Ok(n) => panic!("{n} bytes in a handshake"),
            }
            let _ = server.flush();
        }
        if heard.is_err() && ready {
            // A client of TLS 1.3 is ready before the server has seen its certificate.
            match client.read(&mut buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return (Err(e), heard),
                Ok(_) => return (Err(ErrorKind::UnexpectedEof.into()), heard),
            }
        }
        if ready && server.is_established() {
            return (Ok(()), Ok(()));
        }
        std::thread::yield_now();
    }
    panic!("no end of the handshake: client {ready}, server {heard:?}");
}

/// The same, when nothing goes wrong.
pub(crate) fn shaken((mut client, mut server): (Stream, Stream)) -> (Stream, Stream) {
    let (said, heard) = shake(&mut client, &mut server);
    said.unwrap();
    heard.unwrap();
    // A ticket may have come behind it; dropping a socket with something unread resets it.
    let read = client.read(&mut [0; 16]);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    (client, server)
}

/// Sends all of `bytes` from one end to the other and returns what arrives.
pub(crate) fn send(from: &mut Stream, to: &mut Stream, bytes: &[u8]) -> Vec<u8> {
    let until = Instant::now() + Duration::from_secs(20);
    let (mut sent, mut got) = (0, Vec::new());
    let mut buffer = vec![0; 64 * 1024];
    while got.len() < bytes.len() {
        assert!(
            Instant::now() < until,
            "{sent} sent, {} received",
            got.len()
        );
        let wrote = match sent < bytes.len() {
            true => {
                // In two pieces, so that there are two.
                let (a, b) = bytes[sent..].split_at((bytes.len() - sent) / 3);
                from.write_vectored(&[IoSlice::new(a), IoSlice::new(b)])
            }
            false => from.flush().map(|()| 0),
        };
        match wrote {
            Ok(n) => sent += n,
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        match to.read(&mut buffer) {
            Ok(0) => panic!("closed"),
            Ok(n) => got.extend_from_slice(&buffer[..n]),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    }
    got
}

fn accepted(mut listener: Listener, mut client: Stream) -> (Stream, Stream) {
    let mut poller = Poller::new(8).unwrap();
    let registrar = poller.registrar().unwrap();
    registrar.register_listener(&mut listener, 0).unwrap();
    poller.register(&mut client, 1).unwrap();
    let mut server = None;
    let mut ready = Vec::new();
    while server.is_none() || !client.connected().unwrap() {
        poller.wait(SECONDS, &mut ready).unwrap();
        if let Some((stream, _)) = listener.accept().unwrap() {
            server = Some(stream);
        }
    }
    poller.deregister(&mut client).unwrap();
    (client, server.unwrap())
}
