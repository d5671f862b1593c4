use crate::{VERSIONS, choice};
use std::collections::BTreeSet;
use ternmq_protocol::client::{ClientSession, Event, Options, Token};
use ternmq_protocol::codec::{
    MAX_PACKET_SIZE, Packet, Properties, QoS, Split, SubscriptionOptions, split,
};
use ternmq_protocol::{Message, ProtocolVersion, Time};

/// A client whose server sends anything: what the client sends is well-formed MQTT, begins with
/// CONNECT and ends with DISCONNECT if there is one; each connection has one last event and each
/// operation one completion.
///
/// The first byte chooses the version, then each byte is a step; an input step has its length and
/// its bytes behind it.
pub fn client(data: &[u8]) {
    let Some((version, mut data)) = choice(data) else {
        return;
    };
    let mut driver = Driver::new(VERSIONS[version % 3]);
    while let Some((step, rest)) = choice(data) {
        data = driver.step(step, rest);
        driver.settle();
    }
    driver.end();
}

struct Driver {
    session: ClientSession,
    version: ProtocolVersion,
    now: Time,
    open: bool,
    ended: bool,
    outstanding: BTreeSet<Token>,
    sent: Sent,
}

/// What has been seen of what the client sent on this connection.
#[derive(Default)]
struct Sent {
    packets: usize,
    disconnect: bool,
}

impl Driver {
    fn new(version: ProtocolVersion) -> Self {
        let options = Options {
            version,
            client_id: "fuzz".into(),
            clean_start: false,
            max_inflight: 3,
            max_queued_messages: 5,
            max_queued_bytes: 1000,
            max_packet_size: 2000,
            ..Options::default()
        };
        Self {
            session: ClientSession::new(options).expect("good options"),
            version,
            now: Time(0),
            open: false,
            ended: false,
            outstanding: BTreeSet::new(),
            sent: Sent::default(),
        }
    }

    fn step<'a>(&mut self, step: usize, rest: &'a [u8]) -> &'a [u8] {
        if !self.open {
            self.session.handle_open(self.now);
            self.open = true;
            self.ended = false;
            self.sent = Sent::default();
        }
        let more = step >> 3;
        match step & 7 {
            4 => self.publish(more),
            5 => self.request(more),
            6 => {
                self.now = Time(self.now.0 + more as u64 * 1000);
                self.session.handle_timeout(self.now);
            }
            7 => self.close(),
            _ => {
                let Some((length, rest)) = choice(rest) else {
                    return rest;
                };
                let (input, rest) = rest.split_at(length.min(rest.len()));
                self.session.handle_input(self.now, input);
                return rest;
            }
        }
        rest
    }

    fn publish(&mut self, more: usize) {
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][more % 3];
        let message = Message::new("a/b", b"payload", qos, false, Properties::EMPTY, self.now);
        let taken = self
            .session
            .publish(self.now, message.expect("a good message"));
        self.expect_completion(taken.ok());
    }

    fn request(&mut self, more: usize) {
        let none = Properties::EMPTY;
        let token = if more.is_multiple_of(2) {
            let plain = SubscriptionOptions::default();
            let requests = [("a/+", plain), ("b", plain)];
            self.session.subscribe(self.now, &requests, none).ok()
        } else {
            self.session.unsubscribe(self.now, &["a/+"], none).ok()
        };
        self.expect_completion(token);
    }

    fn expect_completion(&mut self, token: Option<Token>) {
        if let Some(token) = token.filter(|t| *t != Token::NONE) {
            assert!(self.outstanding.insert(token), "{token:?} was given twice");
        }
    }

    /// Does what a driver does after each call.
    fn settle(&mut self) {
        self.take_outbound();
        if self.open && self.session.wants_close() {
            self.close();
        }
        self.take_events();
    }

    fn close(&mut self) {
        self.take_outbound();
        self.session.handle_closed(self.now);
        self.open = false;
        self.take_events();
        assert!(self.ended, "a connection without a last event");
    }

    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(
                !self.ended || matches!(event, Event::Dropped { .. }),
                "{event:?} after the last event"
            );
            let done = match event {
                Event::Published { token, .. }
                | Event::Subscribed { token, .. }
                | Event::Unsubscribed { token, .. }
                | Event::Dropped { token, .. } => Some(token),
                Event::Refused { .. } | Event::Disconnected { .. } => {
                    self.ended = true;
                    None
                }
                _ => None,
            };
            if let Some(token) = done {
                assert!(self.outstanding.remove(&token), "{token:?} completed twice");
            }
        }
    }

    fn take_outbound(&mut self) {
        let mut bytes = Vec::new();
        self.session.outbound().drain_into(&mut bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) else {
                panic!("the client sent {rest:02x?}");
            };
            let packet = Packet::decode(frame, self.version).expect("a good packet");
            self.sent.check(&packet);
            rest = &rest[frame.len..];
        }
    }

    fn end(mut self) {
        if self.open {
            self.close();
        }
        self.session.forget();
        self.take_events();
        assert!(
            self.outstanding.is_empty(),
            "never completed: {:?}",
            self.outstanding
        );
    }
}

impl Sent {
    fn check(&mut self, packet: &Packet<'_>) {
        let first = matches!(packet, Packet::Connect(_));
        assert_eq!(
            first,
            self.packets == 0,
            "{packet:?} as number {}",
            self.packets
        );
        assert!(!self.disconnect, "{packet:?} after DISCONNECT");
        self.packets += 1;
        self.disconnect = matches!(packet, Packet::Disconnect(_));
        match packet {
            Packet::Publish(p) => assert_eq!(p.packet_id != 0, p.qos != QoS::AtMostOnce),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                panic!("a client sent {packet:?}")
            }
            _ => {}
        }
    }
}
