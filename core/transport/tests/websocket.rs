//! WebSockets between our two ends and against a peer that says what it wants.
#![cfg(feature = "websocket")]

mod support;

use std::io::{ErrorKind, IoSlice};

use support::{send, shake, shaken, tcp, websocket};
use ternmq_transport::websocket::{WebSocketError, WebSocketOptions, WebSocketServer};
use ternmq_transport::{Stream, TransportError, pipe};

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: mqtt\r\n\r\n";

/// What the server's answer selects.
const SELECTED: &str = "\r\nSec-WebSocket-Protocol: mqtt\r\n";

fn websocket_error(error: &std::io::Error) -> &WebSocketError {
    match TransportError::of(error) {
        Some(TransportError::WebSocket(error)) => error,
        _ => panic!("no error of a WebSocket: {error:?}"),
    }
}

fn write(stream: &mut Stream, bytes: &[u8]) {
    assert_eq!(
        stream.write_vectored(&[IoSlice::new(bytes)]).unwrap(),
        bytes.len()
    );
}

fn read(stream: &mut Stream) -> Vec<u8> {
    let mut buffer = vec![0; 100_000];
    let len = stream.read(&mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

/// A server and the raw bytes of its client, which has opened the WebSocket.
fn opened() -> (Stream, Stream) {
    let (mut raw, below) = pipe(1 << 20);
    let mut server = WebSocketServer::default().accept(below);
    write(&mut raw, REQUEST.as_bytes());
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let answer = String::from_utf8(read(&mut raw)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "));
    assert!(answer.contains(SELECTED));
    (raw, server)
}

/// A client's frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

// [MQTT-6.0.0-4] in MQTT 3.1.1 [MQTT-6.0.0-4]: of what a client offers the server selects mqtt.
#[test]
fn a_server_selects_mqtt() {
    let (mut raw, below) = pipe(1 << 20);
    let mut server = WebSocketServer::default().accept(below);
    let request = REQUEST.replace("Protocol: mqtt", "Protocol: chat, mqttv3.1, mqtt");
    write(&mut raw, request.as_bytes());
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let answer = String::from_utf8(read(&mut raw)).unwrap();
    assert!(answer.contains(SELECTED), "{answer}");
    // Who knows no other name is of MQTT 3.1, which no standard binds.
    let (mut raw, below) = pipe(1 << 20);
    let mut server = WebSocketServer::default().accept(below);
    let request = REQUEST.replace("Protocol: mqtt", "Protocol: mqttv3.1");
    write(&mut raw, request.as_bytes());
    assert!(server.read(&mut [0]).is_err() && server.is_established());
}

#[test]
fn much_travels_both_ways() {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    for (mut a, mut b) in [shaken(websocket(tcp())), shaken(websocket(pipe(1000)))] {
        assert!(send(&mut a, &mut b, &bytes) == bytes);
        assert!(send(&mut b, &mut a, &bytes) == bytes);
    }
}

// [MQTT-6.0.0-2] in MQTT 3.1.1 [MQTT-6.0.0-2]: a frame may hold several packets or part of one.
#[test]
fn where_frames_begin_and_end_means_nothing() {
    let (mut raw, mut server) = opened();
    let mut bytes = frame(0x82, b"ab");
    bytes.extend(frame(0x82, b"c"));
    bytes.extend(frame(0x02, b"d"));
    bytes.extend(frame(0x80, b"e"));
    write(&mut raw, &bytes);
    assert_eq!(read(&mut server), b"abcde");
    // Byte by byte it is the same.
    let mut got = Vec::new();
    for byte in bytes {
        write(&mut raw, &[byte]);
        match server.read(&mut [0; 64][..]) {
            Ok(len) => got.push(len),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(got, [1; 5]);
}

/// How long a unit of these tests is: two bytes of length, which count.
fn unit_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes
        .first_chunk()
        .map(|length| u16::from_be_bytes(*length));
    length.map(usize::from)
}

/// Takes the first frame of a server off, with its payload.
fn first_frame(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (head, length) = match bytes.get(1)? {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        length => (2, usize::from(*length)),
    };
    let payload = bytes.get(head..head + length)?.to_vec();
    assert_eq!(bytes[0], 0x82, "a whole message, binary");
    bytes.drain(..head + length);
    Some(payload)
}

/// Opens a WebSocket through a pipe of this capacity, for units.
fn opened_for_units(capacity: usize) -> (Stream, Stream) {
    let (mut raw, below) = pipe(capacity);
    let mut server = WebSocketServer::default().accept_units(below, unit_length);
    let mut rest = REQUEST.as_bytes();
    while !server.is_established() {
        if let Ok(written) = raw.write_vectored(&[IoSlice::new(rest)]) {
            rest = &rest[written..];
        }
        assert!(server.read(&mut [0]).is_err());
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.extend(read(&mut raw));
        let _ = server.flush();
    }
    (raw, server)
}

#[test]
fn each_unit_gets_a_frame_of_its_own_however_they_are_written() {
    let sizes = [
        2, 9, 127, 128, 4096, 4097, 40_000, 3, 4097, 8, 8, 20_000, 2, 5000,
    ];
    let units: Vec<Vec<u8>> = (sizes.iter().chain(&[300; 100]).chain(&sizes).zip(0u8..))
        .map(|(size, n)| {
            [
                &u16::to_be_bytes(*size)[..],
                &vec![n; usize::from(*size) - 2],
            ]
            .concat()
        })
        .collect();
    // The capacity below, and units in one write.
    for (capacity, count) in [
        (1 << 20, 1000),
        (1 << 20, 5),
        (1 << 20, 1),
        (1000, 1000),
        (7, 4),
    ] {
        let (mut raw, mut server) = opened_for_units(capacity);
        let (mut first, mut skip, mut came, mut seen) = (0, 0, Vec::new(), 0);
        while seen < units.len() {
            // The rest of a unit that the last write has begun, and whole ones; long ones in two slices.
            let mut slices = Vec::new();
            for unit in &units[first..(first + count).min(units.len())] {
                let unit = &unit[if slices.is_empty() { skip } else { 0 }..];
                let (head, rest) = unit.split_at(unit.len().min(4000));
                slices.extend([IoSlice::new(head), IoSlice::new(rest)]);
            }
            slices.truncate(64);
            match server.write_vectored(&slices) {
                Ok(written) => skip += written,
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            while first < units.len() && skip >= units[first].len() {
                skip -= units[first].len();
                first += 1;
            }
            let mut buffer = [0; 1 << 16];
            match raw.read(&mut buffer) {
                Ok(count) => came.extend_from_slice(&buffer[..count]),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            while let Some(unit) = first_frame(&mut came) {
                assert!(unit == units[seen], "{capacity} {count}: unit {seen}");
                seen += 1;
            }
        }
        assert!(came.is_empty() && first == units.len());
    }
}

// [MQTT-6.0.0-1] in MQTT 3.1.1 [MQTT-6.0.0-1]: any other frame of data than a binary one closes the connection.
#[test]
fn a_frame_of_text_closes_the_connection() {
    let (mut raw, mut server) = opened();
    let mut bytes = frame(0x82, b"right");
    bytes.extend(frame(0x81, b"{}"));
    write(&mut raw, &bytes);
    assert_eq!(read(&mut server), b"right");
    assert!(!server.is_drained(5, 100_000), "the error came along");
    let error = server.read(&mut [0; 64]).unwrap_err();
    assert_eq!(websocket_error(&error), &WebSocketError::NotBinary);
    assert_eq!(read(&mut raw), [0x88, 2, 0x03, 0xEB]); // 1003
    assert!(server.write_vectored(&[IoSlice::new(b"x")]).is_err());
}

// [MQTT-6.0.0-3] in MQTT 3.1.1 [MQTT-6.0.0-3]: the client offers mqtt.
#[test]
fn a_client_offers_mqtt_and_its_own_lines() {
    let (mut raw, below) = pipe(1 << 20);
    let options = WebSocketOptions {
        headers: vec![("Authorization".into(), "Bearer abc".into())],
        ..WebSocketOptions::default()
    };
    let mut client = options.connect(below, true, "[::1]:8443", "/a?b").unwrap();
    assert!(!client.connected().unwrap());
    let request = String::from_utf8(read(&mut raw)).unwrap();
    assert!(
        request.starts_with("GET /a?b HTTP/1.1\r\nHost: [::1]:8443\r\n"),
        "{request}"
    );
    for line in [
        "Origin: https://[::1]:8443",
        "Sec-WebSocket-Protocol: mqtt",
        "Authorization: Bearer abc",
    ] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{request}");
    }
    assert!(!format!("{client:?}").contains("abc"));
    write(
        &mut raw,
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    );
    let error = client.connected().unwrap_err();
    let refused = WebSocketError::Refused(401, "Unauthorized".into());
    assert_eq!(websocket_error(&error), &refused);
}

#[test]
fn pings_are_answered_between_frames_and_the_last_one_counts() {
    let (mut raw, mut server) = opened();
    let mut bytes = frame(0x89, b"one");
    bytes.extend(frame(0x89, b"two"));
    bytes.extend(frame(0x8A, b"unasked"));
    bytes.extend(frame(0x82, b"data"));
    write(&mut raw, &bytes);
    assert_eq!(read(&mut server), b"data");
    assert_eq!(read(&mut raw), b"\x8A\x03two");
    // A frame is under way, and the pipe is full: the answer waits for its end.
    let payload = vec![7; 1 << 20];
    let sent = server.write_vectored(&[IoSlice::new(&payload)]).unwrap();
    assert!(sent < payload.len());
    write(&mut raw, &frame(0x89, b"again"));
    assert_eq!(
        server.read(&mut [0; 8]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let mut got = Vec::new();
    let mut rest = &payload[sent..];
    while got.len() < payload.len() + 10 + 7 {
        if !rest.is_empty()
            && let Ok(sent) = server.write_vectored(&[IoSlice::new(rest)])
        {
            rest = &rest[sent..];
        }
        server.flush().unwrap();
        got.extend(read(&mut raw));
    }
    assert_eq!(&got[..10], b"\x82\x7F\x00\x00\x00\x00\x00\x10\x00\x00");
    assert!(got[10..10 + payload.len()] == payload);
    assert_eq!(&got[10 + payload.len()..], b"\x8A\x05again");
}

#[test]
fn a_close_is_answered_and_ends_the_stream() {
    let (mut raw, mut server) = opened();
    let mut bytes = frame(0x82, b"last");
    bytes.extend(frame(0x88, &[0x03, 0xE9, b'b']));
    write(&mut raw, &bytes);
    assert_eq!(read(&mut server), b"last");
    assert!(!server.is_drained(4, 100_000));
    assert_eq!(read(&mut server), b"");
    assert_eq!(read(&mut raw), b"\x88\x02\x03\xE9");
    let (mut a, mut b) = shaken(websocket(pipe(1 << 20)));
    a.shutdown_write().unwrap();
    assert_eq!(read(&mut b), b"");
    assert_eq!(read(&mut a), b"");
}

#[test]
fn a_frame_beyond_the_limit_is_refused() {
    let (mut raw, below) = pipe(1 << 20);
    let server = WebSocketServer {
        frame_bytes: 10,
        ..WebSocketServer::default()
    };
    let mut server = server.accept(below);
    write(&mut raw, REQUEST.as_bytes());
    // What comes right behind the request is read too.
    write(&mut raw, &frame(0x82, b"0123456789"));
    assert_eq!(read(&mut server), b"0123456789");
    read(&mut raw);
    write(&mut raw, &frame(0x82, b"0123456789a"));
    let error = server.read(&mut [0; 64]).unwrap_err();
    assert_eq!(websocket_error(&error), &WebSocketError::FrameTooLarge(11));
    assert_eq!(read(&mut raw), [0x88, 2, 0x03, 0xF1]); // 1009
}

#[test]
fn a_request_is_refused_with_a_status_and_cut_at_its_limit() {
    let (mut raw, below) = pipe(1 << 20);
    let mut server = WebSocketServer::default().accept(below);
    write(&mut raw, REQUEST.replace("/mqtt", "/other").as_bytes());
    let error = server.read(&mut [0]).unwrap_err();
    assert!(matches!(
        websocket_error(&error),
        WebSocketError::Request(404, _)
    ));
    assert!(read(&mut raw).starts_with(b"HTTP/1.1 404 Not Found\r\n"));
    assert_eq!(read(&mut raw), b"", "and it is closed");

    let (mut raw, below) = pipe(1 << 20);
    let mut server = WebSocketServer::default().accept(below);
    let mut sent = 0;
    let error = loop {
        write(&mut raw, &[b'A'; 100]);
        sent += 100;
        match server.read(&mut [0]) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(websocket_error(&error), &WebSocketError::HeadTooLarge);
    assert_eq!(sent, 16_400, "16 KiB, rounded up");
    assert!(read(&mut raw).starts_with(b"HTTP/1.1 431 "));
}

#[test]
fn an_opening_cut_at_any_byte_ends_for_both() {
    for cut in 0..REQUEST.len() {
        let (mut raw, below) = pipe(1 << 20);
        let mut server = WebSocketServer::default().accept(below);
        if cut > 0 {
            write(&mut raw, &REQUEST.as_bytes()[..cut]);
        }
        raw.shutdown_write().unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 0, "{cut}");
        assert!(!server.is_established());
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    for cut in 0..answer.len() {
        let (mut raw, below) = pipe(1 << 20);
        let options = WebSocketOptions::default();
        let mut client = options.connect(below, false, "h:80", "/mqtt").unwrap();
        assert!(!client.connected().unwrap());
        if cut > 0 {
            write(&mut raw, &answer.as_bytes()[..cut]);
        }
        drop(raw);
        let error = client.connected().unwrap_err();
        assert_eq!(websocket_error(&error), &WebSocketError::Closed, "{cut}");
    }
}

#[test]
fn a_server_that_is_none_is_named() {
    for (answer, error) in [
        (&b"\x20\x02\x00\x00\r\n\r\n"[..], WebSocketError::NoHttp),
        (
            b"HTTP/1.1 101 x\r\n\r\n",
            WebSocketError::Answer("nothing is upgraded"),
        ),
        (&[b'x'; 20_000], WebSocketError::HeadTooLarge),
    ] {
        let (mut raw, below) = pipe(1 << 20);
        let options = WebSocketOptions::default();
        let mut client = options.connect(below, false, "h:80", "/mqtt").unwrap();
        write(&mut raw, answer);
        assert_eq!(websocket_error(&client.connected().unwrap_err()), &error);
    }
}

#[test]
fn only_the_right_web_sites_may_connect() {
    let server = WebSocketServer {
        origins: Some(vec!["https://good.example".into()]),
        ..WebSocketServer::default()
    };
    for (origin, opens) in [
        ("https://good.example", true),
        ("https://evil.example", false),
    ] {
        let options = WebSocketOptions {
            headers: vec![("Origin".into(), origin.into())],
            ..WebSocketOptions::default()
        };
        let (a, b) = tcp();
        let mut client = options.connect(a, false, "h:80", "/mqtt").unwrap();
        let mut server = server.accept(b);
        let (said, _) = shake(&mut client, &mut server);
        assert_eq!(said.is_ok(), opens, "{origin}");
    }
}
