//! Compressed WebSockets (RFC 7692) between our two ends, and against a peer that says what it wants.
#![cfg(feature = "websocket")]

mod support;

use std::io::{ErrorKind, IoSlice};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use support::{send, shaken, tcp};
use ternmq_transport::websocket::{
    Deflate, UnitLength, WebSocketError, WebSocketOptions, WebSocketServer,
};
use ternmq_transport::{Stream, TransportError, pipe};

const OFFER: &str = "permessage-deflate; client_max_window_bits";

const KEEPS: Deflate = Deflate {
    window_bits: 10,
    context: true,
    min_bytes: 0,
    message_bytes: 1 << 20,
};

/// The tail that ends every flush.
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

fn websocket_error(error: &std::io::Error) -> &WebSocketError {
    match TransportError::of(error) {
        Some(TransportError::WebSocket(error)) => error,
        _ => panic!("no error of a WebSocket: {error:?}"),
    }
}

fn both(client: Deflate, server: Deflate, (a, b): (Stream, Stream)) -> (Stream, Stream) {
    let options = WebSocketOptions {
        deflate: Some(client),
        ..WebSocketOptions::default()
    };
    let server = WebSocketServer {
        deflate: Some(server),
        ..WebSocketServer::default()
    };
    let a = options.connect(a, false, "localhost:80", "/mqtt").unwrap();
    shaken((a, server.accept(b)))
}

fn write(stream: &mut Stream, bytes: &[u8]) {
    let written = stream.write_vectored(&[IoSlice::new(bytes)]).unwrap();
    assert_eq!(written, bytes.len());
}

/// All that is there to be read.
fn read(stream: &mut Stream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 100_000]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(len) => all.extend_from_slice(&buffer[..len]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return all,
            Err(e) => panic!("{e}"),
        }
    }
}

/// A server and the raw bytes of its client, which has offered this; and what was answered.
fn opened(
    deflate: Option<Deflate>,
    offer: &str,
    unit: Option<UnitLength>,
) -> (Stream, Stream, String) {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"
    );
    let (mut raw, below) = pipe(1 << 22);
    let server = WebSocketServer {
        deflate,
        ..WebSocketServer::default()
    };
    let mut server = match unit {
        Some(unit) => server.accept_units(below, unit),
        None => server.accept(below),
    };
    write(&mut raw, request.as_bytes());
    assert!(read(&mut server).is_empty());
    let answer = String::from_utf8(read(&mut raw)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let extension = answer
        .lines()
        .find_map(|line| line.split_once("Extensions: "));
    let extension = extension.map_or("", |(_, value)| value).to_owned();
    (raw, server, extension)
}

/// A client's frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | 126];
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A message as another program compresses it, without its tail.
fn deflated(deflater: &mut Compress, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1000);
    (deflater.compress_vec(bytes, &mut out, FlushCompress::Sync)).unwrap();
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - 4);
    out
}

fn deflater() -> Compress {
    Compress::new(Compression::best(), false)
}

/// Frames of a server: the first byte of each, and its payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match *length {
            126 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            127 => (
                u64::from_be_bytes(*rest.first_chunk().unwrap()) as usize,
                &rest[8..],
            ),
            short => (usize::from(short), rest),
        };
        frames.push((*first, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}

fn json(bytes: usize) -> Vec<u8> {
    (0..)
        .flat_map(|n: u32| {
            format!("{{\"sensor\":{n},\"value\":{}}},", n * 7919 % 1000).into_bytes()
        })
        .take(bytes)
        .collect()
}

/// What compresses not at all.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(bytes).collect()
}

#[test]
fn much_travels_both_ways_whatever_each_end_is_set_to() {
    let bytes = [json(90_000), noise(70_000), vec![0; 200_000]].concat();
    let plain = Deflate::default();
    for (client, server) in [
        (plain, plain),
        (plain, KEEPS),
        (KEEPS, plain),
        (KEEPS, KEEPS),
    ] {
        for below in [tcp(), pipe(1000)] {
            let (mut a, mut b) = both(client, server, below);
            assert!(send(&mut a, &mut b, &bytes) == bytes);
            assert!(send(&mut b, &mut a, &bytes) == bytes);
            assert!(send(&mut a, &mut b, &bytes) == bytes);
        }
    }
}

#[test]
fn nothing_is_compressed_unless_both_want_it() {
    for (deflate, offer, answer) in [
        (None, OFFER, ""),
        (Some(KEEPS), "x-other", ""),
        (Some(KEEPS), "permessage-deflate; nonsense", ""),
        (
            Some(KEEPS),
            OFFER,
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10",
        ),
    ] {
        let (mut raw, mut server, extension) = opened(deflate, offer, None);
        assert_eq!(extension, answer);
        write(&mut server, &json(1000));
        let frames = frames(&read(&mut raw));
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].0, if answer.is_empty() { 0x82 } else { 0xC2 });
        assert_eq!(frames[0].1.len() < 500, !answer.is_empty());
    }
    // A client that has offered nothing is told of something.
    let (mut raw, below) = pipe(1 << 20);
    let options = WebSocketOptions::default();
    let mut client = options.connect(below, false, "h:80", "/mqtt").unwrap();
    assert!(!client.connected().unwrap());
    let request = String::from_utf8(read(&mut raw)).unwrap();
    assert!(!request.contains("Extensions"), "{request}");
}

#[test]
fn small_and_random_messages_stay_as_they_are() {
    let (mut raw, mut server, _) = opened(Some(Deflate::default()), OFFER, None);
    for (bytes, first) in [
        (json(255), 0x82),
        (json(256), 0xC2),
        (noise(1000), 0x82),
        (json(1000), 0xC2),
    ] {
        write(&mut server, &bytes);
        let frames = frames(&read(&mut raw));
        assert_eq!((frames.len(), frames[0].0), (1, first));
    }
}

#[test]
fn who_keeps_what_was_sent_sends_less_the_second_time() {
    let bytes = json(900);
    let sizes = |deflate| {
        let (mut raw, mut server, _) = opened(Some(deflate), OFFER, None);
        let mut inflater = Decompress::new(false);
        let mut size = || {
            write(&mut server, &bytes);
            let sent = frames(&read(&mut raw));
            assert_eq!((sent.len(), sent[0].0), (1, 0xC2));
            let mut out = Vec::with_capacity(1000);
            let whole = [&sent[0].1[..], &TAIL].concat();
            (inflater.decompress_vec(&whole, &mut out, FlushDecompress::None)).unwrap();
            assert!(out == bytes);
            sent[0].1.len()
        };
        (size(), size())
    };
    let (first, second) = sizes(Deflate::default());
    assert_eq!(first, second);
    let (first, second) = sizes(Deflate {
        context: true,
        ..Deflate::default()
    });
    assert!(second * 4 < first, "{first}, then {second}");
}

#[test]
fn a_client_that_wants_a_window_too_small_to_compress_with_gets_what_it_asked_for() {
    let (mut raw, mut server, extension) = opened(
        Some(KEEPS),
        "permessage-deflate; server_max_window_bits=8",
        None,
    );
    assert!(
        extension.contains("server_max_window_bits=8"),
        "{extension}"
    );
    write(&mut server, &json(1000));
    assert_eq!(frames(&read(&mut raw))[0].0, 0x82);
    write(
        &mut raw,
        &frame(0xC2, &deflated(&mut deflater(), b"hello hello hello")),
    );
    assert_eq!(read(&mut server), b"hello hello hello");
}

#[test]
fn a_message_comes_apart_wherever_it_is_cut() {
    let (mut one, mut other) = (deflater(), deflater());
    let long = json(30_000);
    let body = deflated(&mut one, &long);
    let mut bytes = frame(0x42, &body[..10]);
    bytes.extend(frame(0x89, b"!"));
    bytes.extend(frame(0x00, &body[10..11]));
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x00, &body[11..]));
    bytes.extend(frame(0x80, b""));
    bytes.extend(frame(0x82, b"plain"));
    // What its program has ended as a file (section 7.2.3.4).
    let mut ended = Vec::with_capacity(100);
    (other.compress_vec(b"ended", &mut ended, FlushCompress::Finish)).unwrap();
    ended.push(0);
    bytes.extend(frame(0xC2, &ended));
    // Empty (section 7.2.3.6).
    bytes.extend(frame(0xC2, &[0]));
    bytes.extend(frame(0xC2, &deflated(&mut deflater(), b"last")));
    let expected = [&long[..], b"plain", b"ended", b"last"].concat();
    for deflate in [Deflate::default(), KEEPS] {
        for size in [1, 3, 100, 20_000] {
            let (mut raw, mut server, _) = opened(Some(deflate), OFFER, None);
            let mut came = Vec::new();
            for part in bytes.chunks(size) {
                write(&mut raw, part);
                came.extend(read(&mut server));
            }
            assert!(came == expected, "{size}: {} bytes", came.len());
            assert_eq!(read(&mut raw), b"\x8A\x01!");
        }
    }
    // With little room for what comes out, the driver is told that there is more.
    let (mut raw, mut server, _) = opened(Some(Deflate::default()), OFFER, None);
    write(&mut raw, &bytes);
    let (mut came, mut drained) = (Vec::new(), false);
    while !drained {
        let mut little = [0; 7];
        let len = server.read(&mut little).unwrap();
        came.extend_from_slice(&little[..len]);
        drained = server.is_drained(len, 7);
    }
    assert!(came == expected);
}

/// What is wrong with these bytes of a client, and which status it is told.
fn wrong(deflate: Option<Deflate>, bytes: &[u8]) -> (WebSocketError, [u8; 2]) {
    let (mut raw, mut server, _) = opened(deflate, OFFER, None);
    let mut right = frame(0x82, b"right");
    right.extend(bytes);
    write(&mut raw, &right);
    let (mut buffer, mut came) = (vec![0; 1 << 16], Vec::new());
    let error = loop {
        match server.read(&mut buffer) {
            Ok(len) => {
                assert!(
                    len > 0 && !server.is_drained(len, 1 << 16),
                    "the error came along"
                );
                came.extend_from_slice(&buffer[..len]);
            }
            Err(error) => break websocket_error(&error).clone(),
        }
    };
    assert!(came.starts_with(b"right"));
    let told = frames(&read(&mut raw)).pop().unwrap();
    assert_eq!((told.0, told.1.len()), (0x88, 2));
    (error, [told.1[0], told.1[1]])
}

#[test]
fn bits_that_mean_nothing_there_are_refused() {
    let hello = deflated(&mut deflater(), b"hello");
    let begun = frame(0x02, b"x");
    for (deflate, bytes) in [
        // Nobody has agreed on it.
        (None, frame(0xC2, &hello)),
        // Other extensions, control frames, the rest of a message.
        (Some(KEEPS), frame(0xA2, &hello)),
        (Some(KEEPS), frame(0x92, &hello)),
        (Some(KEEPS), frame(0xC9, b"")),
        (Some(KEEPS), [begun, frame(0xC0, &hello)].concat()),
    ] {
        let (error, status) = wrong(deflate, &bytes);
        assert!(matches!(error, WebSocketError::Protocol(_)), "{error}");
        assert_eq!(status, 1002_u16.to_be_bytes());
    }
}

#[test]
fn what_can_not_be_inflated_ends_the_connection() {
    let far = {
        // It refers to what an earlier message held, which nobody has kept.
        let mut deflater = deflater();
        deflated(&mut deflater, &json(500));
        deflated(&mut deflater, &json(500))
    };
    for bytes in [&[0x07, 1, 2, 3][..], &[0xFF; 40], &far] {
        let (error, status) = wrong(Some(Deflate::default()), &frame(0xC2, bytes));
        assert_eq!(error, WebSocketError::Inflate);
        assert_eq!(status, 1007_u16.to_be_bytes());
    }
}

#[test]
fn a_message_that_grows_beyond_the_limit_ends_the_connection() {
    let limit = Deflate::default().for_packets(1000);
    assert_eq!(limit.message_bytes, Deflate::LEAST_MESSAGE);
    let most = Deflate::LEAST_MESSAGE as usize;
    let bomb = |bytes| frame(0xC2, &deflated(&mut deflater(), &vec![0; bytes]));
    assert!(bomb(most).len() < 200);
    let (mut raw, mut server, _) = opened(Some(limit), OFFER, None);
    for _ in 0..3 {
        write(&mut raw, &bomb(most));
        assert_eq!(
            read(&mut server).len(),
            most,
            "the limit holds for each message"
        );
    }
    let (error, status) = wrong(Some(limit), &bomb(most + 1));
    assert_eq!(error, WebSocketError::MessageTooLarge(most as u64));
    assert_eq!(status, 1009_u16.to_be_bytes());
    // In pieces it is the same.
    let body = deflated(&mut deflater(), &vec![0; 4 * most]);
    let (first, rest) = body.split_at(100);
    let pieces = [frame(0x42, first), frame(0x80, rest)].concat();
    let (error, _) = wrong(Some(limit), &pieces);
    assert_eq!(error, WebSocketError::MessageTooLarge(most as u64));
}

/// How long a unit of these tests is: four bytes of length, which count.
fn unit_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes
        .first_chunk()
        .map(|length| u32::from_be_bytes(*length));
    length.map(|length| length as usize)
}

#[test]
fn each_unit_is_a_message_of_its_own() {
    let unit = |bytes: Vec<u8>| {
        let length = (bytes.len() as u32 + 4).to_be_bytes();
        [&length[..], &bytes].concat()
    };
    let units = [
        json(10),
        json(1000),
        noise(70_000),
        json(200_000),
        json(20),
        vec![0; 300],
    ]
    .map(unit);
    let all = units.concat();
    for deflate in [Deflate::default(), KEEPS] {
        for piece in [all.len(), 5000, 100] {
            let (mut raw, mut server, _) = opened(Some(deflate), OFFER, Some(unit_length));
            let mut sent = 0;
            for unit in &units {
                // As drivers write: from the beginning of a unit, or from where the last write stopped.
                for part in unit.chunks(piece) {
                    write(&mut server, part);
                    sent += part.len();
                }
            }
            assert_eq!(sent, all.len());
            let mut inflater = Decompress::new(false);
            let (mut message, mut compressed, mut seen) = (Vec::new(), false, 0);
            for (first, payload) in frames(&read(&mut raw)) {
                compressed |= first & 0x40 != 0;
                message.extend(payload);
                if first & 0x80 == 0 {
                    continue;
                }
                let whole = match std::mem::take(&mut compressed) {
                    false => std::mem::take(&mut message),
                    true => {
                        message.extend(TAIL);
                        let mut out = Vec::with_capacity(300_000);
                        (inflater.decompress_vec(&message, &mut out, FlushDecompress::None))
                            .unwrap();
                        message.clear();
                        out
                    }
                };
                assert!(whole == units[seen], "{piece}: unit {seen}");
                seen += 1;
            }
            assert_eq!(seen, units.len());
        }
    }
}

#[test]
fn a_window_that_there_is_not_is_refused() {
    let options = WebSocketOptions {
        deflate: Some(Deflate {
            window_bits: 8,
            ..Deflate::default()
        }),
        ..WebSocketOptions::default()
    };
    let (_raw, below) = pipe(1000);
    let error = options.connect(below, false, "h:80", "/mqtt").unwrap_err();
    assert_eq!(websocket_error(&error), &WebSocketError::WindowBits(8));
}
