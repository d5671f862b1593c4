//! A directory of a test's own, which says what the test wants, right or wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A directory of a test's own: what it says to each request, by the number of its connection and what has come.
/// It ends the connection where that is `None`.
pub(crate) struct Liar {
    address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) got: Arc<Mutex<Vec<u8>>>,
}

impl Liar {
    pub(crate) fn start(
        say: impl Fn(usize, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let liar = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            got: Arc::default(),
        };
        let (connections, got) = (liar.connections.clone(), liar.got.clone());
        let say = Arc::new(say);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let number = connections.fetch_add(1, Ordering::Relaxed);
                let (got, say) = (got.clone(), say.clone());
                let mut stream: TcpStream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut bytes) {
                        got.lock().unwrap().extend_from_slice(&bytes[..length]);
                        let Some(said) = say(number, &bytes[..length]) else {
                            return;
                        };
                        // The server may have had enough.
                        let _ = stream.write_all(&said);
                    }
                });
            }
        });
        liar
    }

    pub(crate) fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }
}

pub(crate) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = (contents.len() as u32).to_be_bytes();
    [&[tag, 0x84][..], &length, contents].concat()
}

pub(crate) fn message(number: u8, tag: u8, contents: &[u8]) -> Vec<u8> {
    let both = [&[2, 1, number][..], &element(tag, contents)].concat();
    element(0x30, &both)
}

/// The result of a request.
pub(crate) fn result(code: u8) -> Vec<u8> {
    vec![0x0a, 1, code, 4, 0, 4, 0]
}

pub(crate) const BOUND: u8 = 0x61;
pub(crate) const ENTRY: u8 = 0x64;
pub(crate) const SEARCHED: u8 = 0x65;
pub(crate) const EXTENDED: u8 = 0x78;

pub(crate) fn found(number: u8, name: &[u8]) -> Vec<u8> {
    let entry = [element(4, name), element(0x30, &[])].concat();
    message(number, ENTRY, &entry)
}
