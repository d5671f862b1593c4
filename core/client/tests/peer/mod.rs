//! A scripted server over a real socket: what no well-behaved broker can be made to do.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ternmq_client::ConnectOptions;
use ternmq_client::link::{Event, Link, Notify};
use ternmq_protocol::codec::{MAX_PACKET_SIZE, Packet, Split, split};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn deadline() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

pub struct Server(TcpListener);

pub struct Conn {
    stream: TcpStream,
    bytes: Vec<u8>,
    pub version: ProtocolVersion,
}

impl Server {
    pub fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn uri(&self) -> String {
        format!("mqtt://{}", self.0.local_addr().unwrap())
    }

    pub fn options(&self) -> ConnectOptions {
        ConnectOptions::from_uri(&self.uri())
            .unwrap()
            .client_id("c")
    }

    pub fn accept(&self) -> Conn {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Conn {
            stream,
            bytes: Vec::new(),
            version: ProtocolVersion::V5_0,
        }
    }

    /// Accepts a connection, reads its CONNECT and accepts it.
    pub fn accept_mqtt(&self, session_present: bool) -> Conn {
        let mut conn = self.accept();
        conn.expect_connect();
        conn.send_connack(session_present, ReasonCode::SUCCESS);
        conn
    }
}

impl Conn {
    /// The next packet, or `None` at the end of the stream.
    pub fn next<R>(&mut self, look: impl FnOnce(Packet<'_>) -> R) -> Option<R> {
        loop {
            if let Split::Frame(frame) = split(&self.bytes, MAX_PACKET_SIZE).unwrap() {
                let len = frame.len;
                let result = look(Packet::decode(frame, self.version).unwrap());
                self.bytes.drain(..len);
                return Some(result);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                n => self.bytes.extend_from_slice(&buffer[..n]),
            }
        }
    }

    pub fn expect<R>(&mut self, look: impl FnOnce(Packet<'_>) -> R) -> R {
        self.next(look).expect("a packet, not the end")
    }

    pub fn expect_connect(&mut self) -> bool {
        let (version, clean_start) = self.expect(|packet| match packet {
            Packet::Connect(connect) => (connect.version, connect.clean_start),
            other => panic!("not a CONNECT: {other:?}"),
        });
        self.version = version;
        clean_start
    }

    /// Reads a SUBSCRIBE and grants what it asks for.
    pub fn grant(&mut self) -> Vec<String> {
        let (id, filters, qos) = self.expect(|packet| match packet {
            Packet::Subscribe(s) => {
                let filters = s.requests().map(|r| r.0.to_owned()).collect::<Vec<_>>();
                let qos: Vec<u8> = s.requests().map(|r| r.1.qos as u8).collect();
                (s.packet_id, filters, qos)
            }
            other => panic!("not a SUBSCRIBE: {other:?}"),
        });
        let mut suback = vec![0x90, 0];
        suback.extend_from_slice(&id.to_be_bytes());
        if self.version.is_v5() {
            suback.push(0);
        }
        suback.extend_from_slice(&qos);
        suback[1] = (suback.len() - 2) as u8;
        self.send(&suback);
        filters
    }

    pub fn send_connack(&mut self, session_present: bool, reason: ReasonCode) {
        let flags = u8::from(session_present);
        if self.version.is_v5() {
            self.send(&[0x20, 3, flags, reason.0, 0]);
        } else {
            let code = reason.to_connect_return_code();
            let code = code.expect("a reason that has a return code before MQTT 5.0");
            self.send(&[0x20, 2, flags, code as u8]);
        }
    }

    /// Reads a PUBLISH: its packet id, topic, payload and DUP.
    pub fn expect_publish(&mut self) -> (u16, String, Vec<u8>, bool) {
        self.expect(|packet| match packet {
            Packet::Publish(p) => (p.packet_id, p.topic.to_owned(), p.payload.to_vec(), p.dup),
            other => panic!("not a PUBLISH: {other:?}"),
        })
    }

    pub fn send_puback(&mut self, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low]);
    }

    pub fn expect_disconnect(&mut self) {
        self.expect(|packet| assert!(matches!(packet, Packet::Disconnect(_)), "{packet:?}"));
    }

    pub fn expect_end(&mut self) {
        let extra = self.next(|packet| format!("{packet:?}"));
        assert_eq!(extra, None);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends as much as the other side takes within `patience`; how much that was.
    pub fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(None).unwrap();
        sent
    }
}

/// Counts how often a link has told of events.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<u64>,
    changed: Condvar,
}

impl Notify for Bell {
    fn notify(&self) {
        *self.rung.lock().unwrap() += 1;
        self.changed.notify_all();
    }
}

impl Bell {
    pub fn rung(&self) -> u64 {
        *self.rung.lock().unwrap()
    }

    pub fn wait_for(&self, count: u64) {
        let rung = self.rung.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(rung, PATIENCE, |rung| *rung < count);
        assert!(*waited.unwrap().0 >= count, "not told {count} times");
    }
}

/// Events of a link, one at a time.
pub struct Events {
    pub link: Link,
    taken: std::collections::VecDeque<Event>,
}

impl Events {
    pub fn of(link: &Link) -> Self {
        Self {
            link: link.clone(),
            taken: Default::default(),
        }
    }

    /// The next event.
    pub fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.taken.pop_front() {
                return event;
            }
            let some = self.link.wait(deadline(), |s| s.has_events().then_some(()));
            some.expect("an event in time");
            let mut events = Vec::new();
            self.link.take_events(&mut events);
            // Where each attempt begins, and what is planned, is for those who look at all of them.
            events
                .retain(|event| !matches!(event, Event::ConnectBegun | Event::RetryPlanned { .. }));
            self.taken.extend(events);
        }
    }
}

pub fn open(options: ConnectOptions) -> (Link, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    (Link::open(options, bell.clone()).unwrap(), bell)
}
