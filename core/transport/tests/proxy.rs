//! Ways through a proxy, which is played here.

mod support;

use std::io::IoSlice;

use support::{send, tcp};
use ternmq_transport::{Endpoint, Proxy, ProxyError, Stream, TransportError, pipe};

fn asked(proxy: &str, target: &str) -> (Stream, Stream, String) {
    let (below, mut raw) = pipe(1 << 20);
    let proxy: Proxy = proxy.parse().unwrap();
    let server: Endpoint = target.parse().unwrap();
    let mut stream = proxy.connect(below, &server).unwrap();
    assert!(!stream.connected().unwrap() && !stream.is_established());
    let mut buffer = [0; 1000];
    let len = raw.read(&mut buffer).unwrap();
    (
        stream,
        raw,
        String::from_utf8(buffer[..len].to_vec()).unwrap(),
    )
}

fn answered(answer: &[u8]) -> Result<bool, ProxyError> {
    let (mut stream, mut raw, _) = asked("proxy", "h:1");
    raw.write_vectored(&[IoSlice::new(answer)]).unwrap();
    drop(raw);
    stream
        .connected()
        .map_err(|error| match TransportError::of(&error) {
            Some(TransportError::Proxy(error)) => error.clone(),
            _ => panic!("no error of a proxy: {error:?}"),
        })
}

#[test]
fn a_way_is_asked_for_and_opened() {
    let (mut stream, mut raw, request) = asked("http://user:p%40ss@proxy:1", "[::1]:8883");
    let credentials = "dXNlcjpwQHNz"; // user:p@ss
    assert_eq!(
        request,
        format!(
            "CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\n\
             Proxy-Authorization: Basic {credentials}\r\n\r\n"
        )
    );
    for byte in b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n" {
        assert!(!stream.connected().unwrap());
        raw.write_vectored(&[IoSlice::new(&[*byte])]).unwrap();
    }
    assert!(stream.connected().unwrap());
    assert!(stream.is_established() && !stream.is_layered());
    assert_eq!(send(&mut stream, &mut raw, b"through"), b"through");
}

#[test]
fn a_way_that_is_not_opened_says_why() {
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(true));
    let wants = Err(ProxyError::AuthenticationRequired);
    assert_eq!(answered(b"HTTP/1.1 407 Who are you?\r\n\r\n"), wants);
    let refused = Err(ProxyError::Refused(502, "Bad Gateway".into()));
    assert_eq!(answered(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), refused);
    for cut in 0..b"HTTP/1.1 200 OK\r\n\r".len() {
        let cut = answered(&b"HTTP/1.1 200 OK\r\n\r"[..cut]);
        assert_eq!(cut, Err(ProxyError::Closed));
    }
    assert_eq!(answered(b"\x20\x02\r\n\r\n"), Err(ProxyError::NoHttp));
    assert_eq!(answered(&[b'x'; 8192]), Err(ProxyError::TooLarge));
    // Nobody behind it speaks first.
    assert_eq!(
        answered(b"HTTP/1.1 200 OK\r\n\r\nhello"),
        Err(ProxyError::NoHttp)
    );
}

#[test]
fn a_way_through_socks_leaves_what_the_server_says_to_whoever_reads() {
    let (below, mut raw) = pipe(1 << 20);
    let proxy: Proxy = "socks5h://u:p@proxy".parse().unwrap();
    let mut stream = proxy.connect(below, &Endpoint::new("h", 1883)).unwrap();
    let dialogue: [(&[u8], &[u8]); 3] = [
        (&[5, 2, 0, 2], &[5, 2]),
        (&[1, 1, b'u', 1, b'p'], &[1, 0]),
        (
            &[5, 1, 0, 3, 1, b'h', 7, 91],
            &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'!'],
        ),
    ];
    for (asks, answer) in dialogue {
        assert!(!stream.connected().unwrap());
        let mut heard = [0; 100];
        let len = raw.read(&mut heard).unwrap();
        assert_eq!(&heard[..len], asks);
        raw.write_vectored(&[IoSlice::new(answer)]).unwrap();
    }
    assert!(stream.connected().unwrap() && !stream.is_layered());
    let mut said = [0; 9];
    assert_eq!((stream.read(&mut said).unwrap(), said[0]), (1, b'!'));
    assert_eq!(send(&mut stream, &mut raw, b"through"), b"through");
}

#[test]
fn a_request_goes_out_once_the_proxy_is_connected() {
    let (client, mut server) = tcp();
    let proxy: Proxy = "proxy".parse().unwrap();
    let mut stream = proxy.connect(client, &Endpoint::new("h", 1)).unwrap();
    assert!(!stream.connected().unwrap());
    assert!(stream.peer_addr().is_some());
    let mut buffer = [0; 100];
    let len = loop {
        match server.read(&mut buffer) {
            Ok(len) => break len,
            Err(_) => std::thread::yield_now(),
        }
    };
    assert!(buffer[..len].starts_with(b"CONNECT h:1 HTTP/1.1\r\n"));
}
