//! A driver for tests: it does what `Shard` asks for at once, and reads what clients would read.

use crate::broker::retained::{Retained, RetainedLimits};
use crate::broker::{
    Admission, Applied, AuthAnswer, AuthRequest, Claims, ClientCounters, ConnId, GroupGone, Letter,
    Limits, ListenerId, ListenerLimits, Out, Rates, Shard, ShardConfig, Stats, To, Topics,
};
use crate::codec::{
    Ack, ConnAck, Connect, Disconnect, FrameBuffer, MAX_PACKET_SIZE, Packet, PacketType,
    Properties, PropertiesBuf, PropertyId, Publish, QoS, Request, Subscribe, SubscriptionOptions,
    Unsubscribe,
};
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::time::Time;
use crate::version::ProtocolVersion;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) use ProtocolVersion::{V3_1, V3_1_1, V5_0};
pub(super) const Q0: QoS = QoS::AtMostOnce;
pub(super) const Q1: QoS = QoS::AtLeastOnce;
pub(super) const Q2: QoS = QoS::ExactlyOnce;

/// A packet as a client got it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Got {
    ConnAck {
        present: bool,
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    Publish(Delivered),
    Ack(PacketType, u16, ReasonCode),
    SubAck(u16, Vec<u8>),
    UnsubAck(u16, Vec<u8>),
    PingResp,
    Disconnect(ReasonCode),
    Auth(ReasonCode, PropertiesBuf),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Delivered {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: QoS,
    pub(super) dup: bool,
    pub(super) retain: bool,
    pub(super) id: u16,
    pub(super) properties: PropertiesBuf,
}

impl Delivered {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub(super) fn subscription_ids(&self) -> Vec<u32> {
        let ids = self.properties.get();
        let mut ids: Vec<u32> = ids
            .iter()
            .filter(|p| p.id == PropertyId::SubscriptionIdentifier)
            .map(|p| match p.value {
                crate::codec::Value::VariableByteInteger(id) => id,
                _ => unreachable!(),
            })
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// The shard's.
pub(super) const NUMBER: u16 = 3;

/// What the test knows of one connection.
pub(super) struct Line {
    version: ProtocolVersion,
    frames: FrameBuffer,
    pub(super) got: Vec<Got>,
    /// Reason Strings, with the kind of packet they came in.
    said: Vec<(PacketType, String)>,
    pub(super) open: bool,
    /// The socket takes nothing.
    pub(super) stuck: bool,
}

/// A shard, its retained store, its clock and its clients.
pub(super) struct Desk {
    pub(super) shard: Shard,
    pub(super) out: Out,
    pub(super) store: Retained<Message>,
    pub(super) claims: Claims,
    pub(super) now: Time,
    pub(super) ended: Vec<String>,
    pub(super) offered: Vec<Message>,
    /// Letters to other shards.
    pub(super) posted: Vec<(To, Letter)>,
    /// Groups are at home on another shard.
    pub(super) home_is_elsewhere: bool,
    pub(super) groups_gone: Vec<GroupGone>,
    /// Where the next client is.
    pub(super) peer: Option<IpAddr>,
    /// Through which one it comes.
    pub(super) listener: u16,
    pub(super) admission: Option<Admission>,
    /// Steps of authentication that the test has to answer.
    pub(super) asked: Vec<AuthRequest>,
    lines: BTreeMap<u32, Line>,
    /// Connections closed by the shard and what they got, by number.
    closed: BTreeMap<u32, Vec<Got>>,
    /// Reason Strings of all connections in order, with the kind of packet they came in.
    pub(super) said: Vec<(PacketType, String)>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with_all(change, Topics::default())
    }

    /// A desk whose clients come in through a listener with these rates, each and all together.
    pub(super) fn with_rates(client: Rates, all: Rates) -> Self {
        let mut desk = Self::new();
        let listener = Arc::new(ListenerLimits::new(client, all));
        desk.shard = Shard::new(ShardConfig {
            seed: 42,
            listeners: vec![listener; 8],
            ..ShardConfig::default()
        });
        desk
    }

    pub(super) fn with_topics(topics: Topics) -> Self {
        Self::with_all(|_| (), topics)
    }

    pub(super) fn with_all(change: impl FnOnce(&mut Limits), topics: Topics) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self {
            shard: Shard::new(ShardConfig {
                number: NUMBER,
                seed: 42,
                limits,
                topics,
                ..ShardConfig::default()
            }),
            out: Out::default(),
            claims: Claims::new(1000),
            store: Retained::new(RetainedLimits {
                messages: 1000,
                bytes: 1 << 20,
            }),
            now: Time(1_000_000),
            ended: Vec::new(),
            offered: Vec::new(),
            posted: Vec::new(),
            home_is_elsewhere: false,
            groups_gone: Vec::new(),
            peer: None,
            listener: 7,
            admission: Some(Admission::Accept),
            asked: Vec::new(),
            lines: BTreeMap::new(),
            closed: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    pub(super) fn stats(&self) -> &Stats {
        self.shard.stats()
    }

    /// Every copy due is sent, waiting, or dropped for a reason.
    pub(super) fn check_books(&self) {
        let stats = self.stats();
        let accounted = stats.sent() + stats.queued + stats.dropped.total();
        assert_eq!(stats.copies(), accounted, "{stats:?}");
        self.check_clients();
        super::sums::check_sums(&self.shard);
    }

    /// What the clients count, and those that are gone, is what the shard counts.
    fn check_clients(&self) {
        let stats = self.stats();
        let mut sum = self.shard.ended_clients().clone();
        let (mut from, mut queued, mut queued_bytes, mut count) = (Some(0), 0, 0, 0);
        while let Some(start) = from {
            let page = self.shard.clients(start, 3);
            for client in &page.clients {
                assert_eq!(self.shard.client(&client.client_id).as_ref(), Some(client));
                sum.add(&client.counters);
                queued += client.queued as u64;
                queued_bytes += client.queued_bytes as u64;
                count += 1;
            }
            from = page.next;
        }
        let expected = ClientCounters {
            received: stats.received.iter().sum(),
            sent: stats.sent(),
            dropped: stats.dropped.clone(),
        };
        assert_eq!(sum, expected);
        let gauges = (stats.sessions, stats.queued, stats.queued_bytes);
        assert_eq!((count, queued, queued_bytes), gauges);
    }

    /// A socket is accepted.
    pub(super) fn open(&mut self, version: ProtocolVersion) -> ConnId {
        let conn = self
            .shard
            .open(self.now, ListenerId(self.listener), self.peer)
            .unwrap();
        self.add_line(conn, version);
        conn
    }

    pub(super) fn add_line(&mut self, conn: ConnId, version: ProtocolVersion) {
        self.closed.remove(&conn.0);
        let line = Line::new(version);
        assert!(self.lines.insert(conn.0, line).is_none());
    }

    /// A client connects; its CONNACK stays to be read.
    pub(super) fn connect(&mut self, connect: Connect<'_>) -> ConnId {
        let conn = self.open(connect.version);
        self.send(conn, Packet::Connect(connect));
        conn
    }

    /// A client with a clean session is connected, CONNACK read.
    pub(super) fn client(&mut self, version: ProtocolVersion, client_id: &str) -> ConnId {
        let conn = self.connect(Connect::new(version, client_id));
        self.connack(conn);
        conn
    }

    /// A client that keeps its session is connected; whether there was one.
    pub(super) fn durable(&mut self, version: ProtocolVersion, client_id: &str) -> (ConnId, bool) {
        let mut properties = PropertiesBuf::default();
        if version.is_v5() {
            properties.push_number(PropertyId::SessionExpiryInterval, 1000);
        }
        let mut connect = Connect::new(version, client_id);
        connect.clean_start = false;
        connect.properties = properties.get();
        let conn = self.connect(connect);
        let present = self.connack(conn);
        (conn, present)
    }

    /// Reads a successful CONNACK.
    pub(super) fn connack(&mut self, conn: ConnId) -> bool {
        match self.take(conn) {
            Got::ConnAck {
                present, reason, ..
            } => {
                assert_eq!(reason, ReasonCode::SUCCESS);
                present
            }
            other => panic!("not a CONNACK: {other:?}"),
        }
    }

    pub(super) fn send(&mut self, conn: ConnId, packet: Packet<'_>) {
        let version = self.lines[&conn.0].version;
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        self.input(conn, &bytes);
    }

    pub(super) fn input(&mut self, conn: ConnId, bytes: &[u8]) {
        let Self {
            shard, now, out, ..
        } = self;
        shard.handle_input(conn, *now, bytes, out);
        self.settle();
    }

    pub(super) fn publish(&mut self, conn: ConnId, topic: &str, payload: &str, qos: QoS, id: u16) {
        let mut publish = Publish::new(topic, payload.as_bytes());
        (publish.qos, publish.packet_id) = (qos, id);
        self.send(conn, Packet::Publish(publish));
    }

    pub(super) fn retain(&mut self, conn: ConnId, topic: &str, payload: &str) {
        let mut publish = Publish::new(topic, payload.as_bytes());
        publish.retain = true;
        self.send(conn, Packet::Publish(publish));
    }

    pub(super) fn ack(&mut self, conn: ConnId, kind: PacketType, id: u16) {
        self.ack_with(conn, kind, id, ReasonCode::SUCCESS);
    }

    pub(super) fn ack_with(&mut self, conn: ConnId, kind: PacketType, id: u16, reason: ReasonCode) {
        let ack = Ack::new(id, reason);
        self.send(
            conn,
            match kind {
                PacketType::PubAck => Packet::PubAck(ack),
                PacketType::PubRec => Packet::PubRec(ack),
                PacketType::PubRel => Packet::PubRel(ack),
                _ => Packet::PubComp(ack),
            },
        );
    }

    /// SUBSCRIBE to one filter; the code of the SUBACK.
    pub(super) fn subscribe(&mut self, conn: ConnId, filter: &str, qos: QoS) -> u8 {
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        self.subscribe_with(conn, &[(filter, options)], Properties::EMPTY)[0]
    }

    pub(super) fn subscribe_with(
        &mut self,
        conn: ConnId,
        requests: &[Request<'_>],
        properties: Properties<'_>,
    ) -> Vec<u8> {
        let before = self.got(conn).len();
        self.send(
            conn,
            Packet::Subscribe(Subscribe::new(9, properties, requests)),
        );
        match self.line(conn).got.remove(before) {
            Got::SubAck(9, codes) => codes,
            other => panic!("not the SUBACK: {other:?}"),
        }
    }

    pub(super) fn unsubscribe(&mut self, conn: ConnId, filters: &[&str]) -> Vec<u8> {
        let packet = Unsubscribe::new(11, Properties::EMPTY, filters);
        self.send(conn, Packet::Unsubscribe(packet));
        match self.take(conn) {
            Got::UnsubAck(11, codes) => codes,
            other => panic!("not the UNSUBACK: {other:?}"),
        }
    }

    pub(super) fn disconnect(&mut self, conn: ConnId, reason: ReasonCode) {
        self.send(conn, Packet::Disconnect(Disconnect::new(reason)));
    }

    /// Answers a step of authentication.
    pub(super) fn authenticate(&mut self, conn: ConnId, answer: AuthAnswer) {
        let Self {
            shard, now, out, ..
        } = self;
        shard.authenticate(conn, *now, answer, out);
        self.settle();
    }

    /// The network of a client breaks.
    pub(super) fn cut(&mut self, conn: ConnId) {
        self.lines.remove(&conn.0);
        let Self {
            shard, now, out, ..
        } = self;
        shard.handle_closed(conn, *now, out);
        self.settle();
    }

    /// Time passes, with every timeout at its moment.
    pub(super) fn wait(&mut self, ms: u64) {
        let end = self.now.after(ms);
        while let Some(at) = self.shard.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.shard.handle_timeout(self.now, &mut self.out);
            self.settle();
        }
        self.now = end;
    }

    pub(super) fn is_open(&self, conn: ConnId) -> bool {
        self.lines.get(&conn.0).is_some_and(|line| line.open)
    }

    /// The socket takes nothing any more, or again.
    pub(super) fn stick(&mut self, conn: ConnId, stuck: bool) {
        self.line(conn).stuck = stuck;
        if !stuck {
            self.flush(conn);
            self.settle();
        }
    }

    /// What a client got and the test has not taken.
    pub(super) fn got(&self, conn: ConnId) -> &[Got] {
        match self.lines.get(&conn.0) {
            Some(line) => &line.got,
            None => &self.closed[&conn.0],
        }
    }

    /// Takes the first packet that a client got.
    pub(super) fn take(&mut self, conn: ConnId) -> Got {
        let got = match self.lines.get_mut(&conn.0) {
            Some(line) => &mut line.got,
            None => self.closed.get_mut(&conn.0).unwrap(),
        };
        assert!(!got.is_empty(), "the client got nothing");
        got.remove(0)
    }

    pub(super) fn take_all(&mut self, conn: ConnId) -> Vec<Got> {
        match self.lines.get_mut(&conn.0) {
            Some(line) => std::mem::take(&mut line.got),
            None => self.closed.insert(conn.0, Vec::new()).unwrap(),
        }
    }

    /// Takes all, which must be PUBLISH packets.
    pub(super) fn messages(&mut self, conn: ConnId) -> Vec<Delivered> {
        let publish = |got| match got {
            Got::Publish(delivered) => delivered,
            other => panic!("not a PUBLISH: {other:?}"),
        };
        self.take_all(conn).into_iter().map(publish).collect()
    }

    pub(super) fn texts(&mut self, conn: ConnId) -> Vec<String> {
        let messages = self.messages(conn);
        messages.iter().map(|m| m.text().to_owned()).collect()
    }

    /// Does what the shard asks for until it asks for nothing.
    pub(super) fn settle(&mut self) {
        while !self.out.is_empty() {
            let mut out = std::mem::take(&mut self.out);
            for op in out.claims.drain(..) {
                if let Some((ticket, granted)) = self.claims.apply(op) {
                    let Self {
                        shard, now, out, ..
                    } = self;
                    shard.handle_claims(ticket, &granted, *now, out);
                }
            }
            let ops = out.retained.drain(..);
            let applied: Vec<_> = ops.map(|op| op.apply(&mut self.store, self.now)).collect();
            self.offered.append(&mut out.publishes);
            for (to, letter) in out.letters.drain(..) {
                match to {
                    To::Shard(number) if number != NUMBER => self.posted.push((to, letter)),
                    To::Home(_) if self.home_is_elsewhere => self.posted.push((to, letter)),
                    _ => self.shard.handle_letter(letter, self.now, &mut self.out),
                }
            }
            self.groups_gone.append(&mut out.groups_gone);
            for applied in &applied {
                if let Applied::Full(_, Some(ticket)) = applied {
                    self.shard.handle_not_retained(*ticket);
                }
            }
            if let Some(ticket) = out.owed.take() {
                self.shard.complete(ticket, &mut self.out);
            }
            for applied in applied {
                self.answer(applied);
            }
            self.asked.append(&mut out.authentications);
            for request in out.admissions.drain(..) {
                if let Some(admission) = self.admission {
                    let Self {
                        shard, now, out, ..
                    } = self;
                    shard.admit(request.conn, *now, admission, out);
                } else {
                    self.out.admissions.push(request);
                }
            }
            self.ended.extend(out.ended.drain(..).map(String::from));
            for conn in out.unfinished.drain(..) {
                self.shard.resume(conn, self.now, &mut self.out);
            }
            for conn in out.dirty.drain(..) {
                self.flush(conn);
            }
            for conn in out.closing.drain(..) {
                self.flush(conn);
                if let Some(line) = self.lines.remove(&conn.0) {
                    self.closed.insert(conn.0, line.got);
                }
                let Self {
                    shard, now, out, ..
                } = self;
                shard.handle_closed(conn, *now, out);
            }
            if self.admission.is_none() && !self.out.admissions.is_empty() {
                break;
            }
        }
    }

    fn answer(&mut self, applied: Applied) {
        if let Applied::Page(ticket, page) = applied {
            let Self {
                shard, now, out, ..
            } = self;
            shard.handle_retained(ticket, page, *now, out);
        }
    }

    fn flush(&mut self, conn: ConnId) {
        let Some(line) = self.lines.get_mut(&conn.0) else {
            return;
        };
        if line.stuck {
            // Ends its being dirty, like a write that takes nothing.
            self.shard.outbound(conn);
            return;
        }
        let mut bytes = Vec::new();
        if let Some(outbound) = self.shard.outbound(conn) {
            outbound.drain_into(&mut bytes);
        }
        line.read(&bytes);
        self.said.append(&mut line.said);
        if self.shard.flushed(conn) {
            self.shard.handle_writable(conn, self.now, &mut self.out);
        }
    }

    fn line(&mut self, conn: ConnId) -> &mut Line {
        self.lines.get_mut(&conn.0).unwrap()
    }
}

impl Line {
    pub(super) fn new(version: ProtocolVersion) -> Self {
        Self {
            version,
            frames: FrameBuffer::default(),
            got: Vec::new(),
            said: Vec::new(),
            open: true,
            stuck: false,
        }
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.version
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.frames.next(&mut bytes, MAX_PACKET_SIZE).unwrap() {
            let packet = Packet::decode(frame, self.version).unwrap();
            if let Some(text) = reason_string(&packet) {
                self.said.push((packet.packet_type(), text.to_owned()));
            }
            self.got.push(match packet {
                Packet::ConnAck(ConnAck {
                    session_present,
                    reason,
                    properties,
                }) => Got::ConnAck {
                    present: session_present,
                    reason,
                    properties: properties.into(),
                },
                Packet::Publish(publish) => Got::Publish(Delivered {
                    topic: publish.topic.into(),
                    payload: publish.payload.into(),
                    qos: publish.qos,
                    dup: publish.dup,
                    retain: publish.retain,
                    id: publish.packet_id,
                    properties: publish.properties.into(),
                }),
                Packet::PubAck(ack)
                | Packet::PubRec(ack)
                | Packet::PubRel(ack)
                | Packet::PubComp(ack) => Got::Ack(packet.packet_type(), ack.packet_id, ack.reason),
                Packet::SubAck(ack) => Got::SubAck(ack.packet_id, ack.codes.0.into()),
                Packet::UnsubAck(ack) => Got::UnsubAck(ack.packet_id, ack.codes.0.into()),
                Packet::PingResp => Got::PingResp,
                Packet::Disconnect(disconnect) => Got::Disconnect(disconnect.reason),
                Packet::Auth(auth) => Got::Auth(auth.reason, auth.properties.into()),
                other => panic!("a server never sends {other:?}"),
            });
        }
    }
}

fn reason_string<'a>(packet: &Packet<'a>) -> Option<&'a str> {
    let properties = match packet {
        Packet::ConnAck(ack) => ack.properties,
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.properties
        }
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => ack.properties,
        Packet::Disconnect(disconnect) => disconnect.properties,
        _ => return None,
    };
    properties.text(PropertyId::ReasonString)
}

/// Whatever a test was about, the sums have to be right at its end.
impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            super::sums::check_sums(&self.shard);
        }
    }
}

/// A client of MQTT 5.0 with these numbers in its CONNECT is connected, CONNACK read.
pub(super) fn client_with(desk: &mut Desk, name: &str, properties: &[(PropertyId, u32)]) -> ConnId {
    let mut buf = PropertiesBuf::default();
    for (id, number) in properties {
        buf.push_number(*id, *number);
    }
    let mut connect = Connect::new(V5_0, name);
    connect.properties = buf.get();
    let conn = desk.connect(connect);
    desk.connack(conn);
    conn
}
