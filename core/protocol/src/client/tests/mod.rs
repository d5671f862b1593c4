//! The session against a scripted peer: packets and events as short texts, time by hand.

mod acknowledge;
mod authenticate;
mod connect;
mod cut;
mod errors;
mod keep_alive;
mod model;
mod outbox;
mod publish;
mod random;
mod receive;
mod resume;
mod stored;
mod subscribe;

use super::*;
use crate::codec::{
    Ack, ConnAck, MAX_PACKET_SIZE, Packet, Properties, PropertiesBuf, PropertyId, Publish, QoS,
    Split, Value, split,
};
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;

const V5: ProtocolVersion = ProtocolVersion::V5_0;
const V4: ProtocolVersion = ProtocolVersion::V3_1_1;
const V3: ProtocolVersion = ProtocolVersion::V3_1;
const VERSIONS: [ProtocolVersion; 3] = [V3, V4, V5];

/// The other end of the connection, and the clock.
struct Peer {
    session: ClientSession,
    now: Time,
    version: ProtocolVersion,
}

impl Peer {
    fn new(options: Options) -> Self {
        Self {
            version: options.version,
            session: ClientSession::new(options).expect("valid options"),
            now: Time(1_000),
        }
    }

    /// Connected to a server without limits, which has no session.
    fn connected(options: Options) -> Self {
        let mut peer = Self::new(options);
        peer.open(false, Properties::EMPTY);
        peer
    }

    /// Connected to a server that sends these CONNACK properties.
    fn limited(options: Options, limits: &[(PropertyId, u32)]) -> Self {
        let mut peer = Self::new(options);
        peer.open(false, numbers(limits).get());
        peer
    }

    /// Opens and accepts a connection; the CONNECT and the event are checked and taken.
    fn open(&mut self, session_present: bool, properties: Properties<'_>) {
        self.version = self.session.options().version;
        self.session.handle_open(self.now);
        let sent = self.sent();
        assert!(
            sent.len() == 1 && sent[0].starts_with("CONNECT"),
            "{sent:?}"
        );
        self.connack(session_present, properties);
        let Some(Event::Connected(connected)) = self.session.poll_event() else {
            panic!("not connected");
        };
        assert_eq!(connected.session_present, session_present);
    }

    /// The next connection, once the events of the last are taken.
    fn reopen(&mut self, session_present: bool) {
        self.events();
        self.open(session_present, Properties::EMPTY);
    }

    fn connack(&mut self, session_present: bool, properties: Properties<'_>) {
        self.give(Packet::ConnAck(ConnAck {
            session_present,
            reason: ReasonCode::SUCCESS,
            properties,
        }));
    }

    /// The transport breaks, and what was sent on it is lost. The last event stays to be taken.
    fn cut(&mut self) {
        self.session.handle_closed(self.now);
        assert_eq!(self.session.state(), State::Closed);
    }

    /// Sends the client a packet.
    fn give(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("a packet");
        self.session.handle_input(self.now, &bytes);
    }

    fn give_publish(&mut self, topic: &str, qos: QoS, packet_id: u16, dup: bool) {
        let mut publish = Publish::new(topic, b"x");
        (publish.qos, publish.packet_id, publish.dup) = (qos, packet_id, dup);
        self.give(Packet::Publish(publish));
    }

    fn puback(&mut self, id: u16) {
        self.give(Packet::PubAck(Ack::new(id, ReasonCode::SUCCESS)));
    }

    fn pubrec(&mut self, id: u16) {
        self.give(Packet::PubRec(Ack::new(id, ReasonCode::SUCCESS)));
    }

    fn pubrel(&mut self, id: u16) {
        self.give(Packet::PubRel(Ack::new(id, ReasonCode::SUCCESS)));
    }

    fn pubcomp(&mut self, id: u16) {
        self.give(Packet::PubComp(Ack::new(id, ReasonCode::SUCCESS)));
    }

    fn publish(&mut self, topic: &str, qos: QoS) -> Result<Token, PublishRefused> {
        self.session.publish(self.now, message(topic, qos))
    }

    /// Time passes; the timer goes off where the session asked for it.
    fn pass(&mut self, ms: u64) {
        let end = self.now.after(ms);
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.session.handle_timeout(due);
        }
        self.now = end;
    }

    /// The packets sent since the last call.
    fn sent(&mut self) -> Vec<String> {
        let bytes = self.sent_bytes();
        let mut rest = &bytes[..];
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) else {
                panic!("not a whole packet: {rest:?}");
            };
            let packet = Packet::decode(frame, self.version).expect("a valid packet");
            packets.push(describe(&packet));
            rest = &rest[frame.len..];
        }
        packets
    }

    fn sent_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.session.outbound().drain_into(&mut bytes);
        self.session.outbound_taken();
        bytes
    }

    /// The events since the last call.
    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_event())
            .map(|event| describe_event(&event))
            .collect()
    }

    /// Checks how the session ended the connection by itself, and closes it.
    fn ends_with(&mut self, packets: &[&str], event: &str) {
        assert!(self.session.wants_close(), "goes on");
        assert_eq!(self.sent(), packets);
        self.session.handle_closed(self.now);
        assert_eq!(self.events(), [event]);
        assert_eq!(self.session.poll_timeout(), None);
    }
}

fn options(version: ProtocolVersion) -> Options {
    Options {
        version,
        client_id: "c".into(),
        ..Options::default()
    }
}

/// Options of a client that keeps its session.
fn keeping(version: ProtocolVersion) -> Options {
    let mut options = options(version);
    options.clean_start = false;
    options.properties = numbers(&[(PropertyId::SessionExpiryInterval, 1000)]);
    options
}

fn numbers(list: &[(PropertyId, u32)]) -> PropertiesBuf {
    let mut properties = PropertiesBuf::default();
    for (id, number) in list {
        properties.push_number(*id, *number);
    }
    properties
}

fn message(topic: &str, qos: QoS) -> Message {
    Message::new(topic, b"x", qos, false, Properties::EMPTY, Time(0)).expect("a valid message")
}

/// A message that expires so many seconds after the peer's first clock reading.
fn expiring(topic: &str, qos: QoS, seconds: u32) -> Message {
    let expiry = numbers(&[(PropertyId::MessageExpiryInterval, seconds)]);
    Message::new(topic, b"x", qos, false, expiry.get(), Time(1_000)).expect("a valid message")
}

fn describe(packet: &Packet<'_>) -> String {
    let name = format!("{:?}", packet.packet_type()).to_uppercase();
    match packet {
        Packet::Connect(p) => format!(
            "{name} {} clean={} keep_alive={} id={:?} user={:?} password={:?}",
            p.version, p.clean_start, p.keep_alive, p.client_id, p.user_name, p.password
        ),
        Packet::Publish(p) => format!("{name} {}", describe_publish(p)),
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
            format!("{name} #{}{}", p.packet_id, code(p.reason))
        }
        Packet::Subscribe(p) => {
            let list: Vec<_> = p
                .requests()
                .map(|(filter, options)| format!("{filter}:{}", options.qos as u8))
                .collect();
            format!("{name} #{} {}", p.packet_id, list.join(" "))
        }
        Packet::Unsubscribe(p) => {
            let list: Vec<_> = p.filters().collect();
            format!("{name} #{} {}", p.packet_id, list.join(" "))
        }
        Packet::Disconnect(p) => format!("{name}{}", code(p.reason)),
        Packet::Auth(p) => format!("{name}{} {:?}", code(p.reason), p.properties),
        _ => name,
    }
}

fn describe_publish(p: &Publish<'_>) -> String {
    let mut text = format!("{} q{}", p.topic, p.qos as u8);
    if p.packet_id != 0 {
        text += &format!(" #{}", p.packet_id);
    }
    for (set, word) in [(p.dup, " dup"), (p.retain, " retain")] {
        text += if set { word } else { "" };
    }
    for (id, word) in [
        (PropertyId::TopicAlias, "alias"),
        (PropertyId::MessageExpiryInterval, "expiry"),
    ] {
        if let Some(number) = p.properties.number(id) {
            text += &format!(" {word}={number}");
        }
    }
    text
}

fn code(reason: ReasonCode) -> String {
    match reason.0 {
        0 => String::new(),
        other => format!(" 0x{other:02X}"),
    }
}

fn describe_event(event: &Event) -> String {
    match event {
        Event::Connected(c) => format!("connected present={}", c.session_present),
        Event::Refused { reason, .. } => format!("refused{}", code(*reason)),
        Event::Message(m) => {
            let dup = if m.dup { " dup" } else { "" };
            let ids = m.subscription_ids.as_slice();
            let ids = match ids.is_empty() {
                true => String::new(),
                false => format!(" by={ids:?}"),
            };
            let topic = m.message.topic();
            format!(
                "message {topic} q{} #{}{dup}{ids}",
                m.qos as u8, m.packet_id
            )
        }
        Event::Published { token, reason, .. } => {
            format!("published #{}{}", token.0, code(*reason))
        }
        Event::Subscribed { token, codes, .. } => {
            let codes: Vec<u8> = codes.iter().map(|code| code.0).collect();
            format!("subscribed #{} {codes:?}", token.0)
        }
        Event::Unsubscribed { token, codes, .. } => {
            let codes: Vec<u8> = codes.iter().map(|code| code.0).collect();
            format!("unsubscribed #{} {codes:?}", token.0)
        }
        Event::Authenticate { reason, .. } => format!("authenticate{}", code(*reason)),
        Event::Progress(step) => format!("progress {step:?}"),
        Event::Sent { note } => format!("sent {note}"),
        Event::NotSent { note, why } => format!("not sent {note} {why:?}"),
        Event::Dropped { token, why } => format!("dropped #{} {why:?}", token.0),
        Event::Disconnected { cause, reason, .. } => match cause {
            Cause::Error(_) => format!("disconnected Error{}", code(*reason)),
            cause => format!("disconnected {cause:?}{}", code(*reason)),
        },
    }
}
