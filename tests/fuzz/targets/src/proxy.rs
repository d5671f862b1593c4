//! What a proxy says before a way through it is open.

use std::io::IoSlice;

use crate::choice;
use ternmq_transport::{Endpoint, Proxy, pipe};

const PROXIES: [&str; 4] = [
    "http://h",
    "http://u:p@h",
    "socks5://h",
    "socks5://user:password@h",
];

/// The first byte chooses the proxy, the second how the answers are cut.
pub fn proxy(data: &[u8]) {
    let Some((which, rest)) = choice(data) else {
        return;
    };
    let Some((cut, answer)) = choice(rest) else {
        return;
    };
    let proxy: Proxy = PROXIES[which % PROXIES.len()].parse().expect("a proxy");
    let (below, mut raw) = pipe(1 << 20);
    let opening = proxy.connect(below, &Endpoint::new("server.example", 1883));
    let mut stream = opening.expect("names that have room");
    for piece in answer.chunks(cut + 1) {
        match stream.connected() {
            Ok(false) => {}
            Ok(true) => return assert!(stream.is_established()),
            Err(_) => return,
        }
        let _ = raw.read(&mut [0; 1024]);
        let _ = raw.write_vectored(&[IoSlice::new(piece)]);
    }
    drop(raw);
    let _ = stream.connected();
}
