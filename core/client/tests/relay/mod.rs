//! A box on the way of datagrams that does what networks do to them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a thread waits for a datagram before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(10);

/// Loses and swaps datagrams by their numbers, each way; 0: none.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    /// One of so many is lost.
    pub(crate) loses: u64,
    /// One of so many comes behind the next one.
    pub(crate) swaps: u64,
}

/// Between one client and a server.
pub(crate) struct Relay {
    front: UdpSocket,
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

struct Inner {
    server: SocketAddr,
    /// The socket that the server sees as the client.
    back: Mutex<Arc<UdpSocket>>,
    client: Mutex<Option<SocketAddr>>,
    weather: Weather,
    over: AtomicBool,
}

impl Relay {
    pub(crate) fn to(server: SocketAddr, weather: Weather) -> Self {
        let front = socket();
        let inner = Arc::new(Inner {
            server,
            back: Mutex::new(Arc::new(socket())),
            client: Mutex::default(),
            weather,
            over: AtomicBool::new(false),
        });
        let there = (front.try_clone().unwrap(), inner.clone());
        let back = (front.try_clone().unwrap(), inner.clone());
        let threads = vec![
            std::thread::spawn(move || there.1.carry_there(&there.0)),
            std::thread::spawn(move || back.1.carry_back(&back.0)),
        ];
        Self {
            front,
            inner,
            threads,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.front.local_addr().unwrap().port()
    }

    /// From now on the client comes from another port.
    pub(crate) fn moves(&self) {
        *self.inner.back.lock().unwrap() = Arc::new(socket());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Inner {
    fn carry_there(&self, front: &UdpSocket) {
        let mut fate = Fate::new(self.weather);
        self.carry(
            || {
                let mut bytes = vec![0; 65_536];
                let (len, from) = front.recv_from(&mut bytes).ok()?;
                *self.client.lock().unwrap() = Some(from);
                bytes.truncate(len);
                Some(bytes)
            },
            |bytes| {
                let back = self.back.lock().unwrap().clone();
                let _ = back.send_to(bytes, self.server);
            },
            &mut fate,
        );
    }

    fn carry_back(&self, front: &UdpSocket) {
        let mut fate = Fate::new(self.weather);
        self.carry(
            || {
                let back = self.back.lock().unwrap().clone();
                let mut bytes = vec![0; 65_536];
                let (len, _) = back.recv_from(&mut bytes).ok()?;
                bytes.truncate(len);
                Some(bytes)
            },
            |bytes| {
                if let Some(client) = *self.client.lock().unwrap() {
                    let _ = front.send_to(bytes, client);
                }
            },
            &mut fate,
        );
    }

    fn carry(&self, receive: impl Fn() -> Option<Vec<u8>>, send: impl Fn(&[u8]), fate: &mut Fate) {
        while !self.over.load(Ordering::Relaxed) {
            if let Some(bytes) = receive() {
                fate.of(bytes, &send);
            }
        }
    }
}

/// What becomes of each.
struct Fate {
    weather: Weather,
    count: u64,
    held: Option<Vec<u8>>,
}

impl Fate {
    fn new(weather: Weather) -> Self {
        Self {
            weather,
            count: 0,
            held: None,
        }
    }

    fn of(&mut self, bytes: Vec<u8>, send: impl Fn(&[u8])) {
        self.count += 1;
        let is_one_of = |n: u64| n > 0 && self.count.is_multiple_of(n);
        if is_one_of(self.weather.loses) {
            return;
        }
        if is_one_of(self.weather.swaps) && self.held.is_none() {
            self.held = Some(bytes);
            return;
        }
        send(&bytes);
        if let Some(held) = self.held.take() {
            send(&held);
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LOOK)).unwrap();
    socket
}
