//! Memory, counted: what a message allocates on its way through a shard and out of a client when all tables
//! and buffers have the size they need, and what a subscription keeps.
#![forbid(unsafe_code)]

use allocation_counter::measure;
use ternmq_protocol::ProtocolVersion::V3_1_1;
use ternmq_protocol::broker::{Admission, ConnId, ListenerId, Out, Shard, ShardConfig};
use ternmq_protocol::client::{ClientSession, Event, Options};
use ternmq_protocol::codec::{
    Ack, ConnAck, Connect, Packet, Properties, Publish, QoS, Split, Subscribe, SubscriptionOptions,
    split,
};
use ternmq_protocol::message::Message;
use ternmq_protocol::{ReasonCode, Time};

const NOW: Time = Time(1_000);

/// Messages of one measurement, and those before it.
const MESSAGES: u64 = 500;

/// Bytes that one of many subscriptions keeps, for a filter of some 16 characters.
const SUBSCRIPTION: u64 = 240;

/// A shard and what a driver does with it, without sockets; nothing here allocates once it has grown.
struct Host {
    shard: Shard,
    out: Out,
    /// What a client got, which it answers.
    got: Vec<u8>,
    answer: Vec<u8>,
    /// PUBLISHes that were delivered.
    delivered: u64,
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(V3_1_1, &mut bytes).expect("a packet");
    bytes
}

fn publish(qos: QoS, packet_id: u16) -> Vec<u8> {
    let mut publish = Publish::new("rooms/21/temperature", &[7; 64]);
    publish.qos = qos;
    if qos != QoS::AtMostOnce {
        publish.packet_id = packet_id;
    }
    encoded(&Packet::Publish(publish))
}

impl Host {
    fn new() -> Self {
        Self {
            shard: Shard::new(ShardConfig::default()),
            out: Out::default(),
            got: Vec::with_capacity(1 << 16),
            answer: Vec::with_capacity(1 << 16),
            delivered: 0,
        }
    }

    fn client(&mut self, name: &str) -> ConnId {
        let conn = self.shard.open(NOW, ListenerId(0), None).expect("room");
        self.input(conn, &encoded(&Packet::Connect(Connect::new(V3_1_1, name))));
        conn
    }

    fn subscribe(&mut self, conn: ConnId, filter: &str, qos: QoS) {
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        let requests = [(filter, options)];
        let subscribe = Subscribe::new(1, Properties::EMPTY, &requests);
        self.input(conn, &encoded(&Packet::Subscribe(subscribe)));
    }

    fn input(&mut self, conn: ConnId, bytes: &[u8]) {
        self.shard.handle_input(conn, NOW, bytes, &mut self.out);
        self.settle();
    }

    /// Until nothing is left to be done. Clients acknowledge what they get.
    fn settle(&mut self) {
        while !self.out.is_empty() {
            if let Some(ticket) = self.out.owed.take() {
                self.shard.complete(ticket, &mut self.out);
            }
            while let Some(request) = self.out.admissions.pop() {
                self.shard
                    .admit(request.conn, NOW, Admission::Accept, &mut self.out);
            }
            while let Some(conn) = self.out.unfinished.pop() {
                self.shard.resume(conn, NOW, &mut self.out);
            }
            while let Some(conn) = self.out.dirty.pop() {
                self.got.clear();
                if let Some(outbound) = self.shard.outbound(conn) {
                    outbound.drain_into(&mut self.got);
                }
                if self.shard.flushed(conn) {
                    self.shard.handle_writable(conn, NOW, &mut self.out);
                }
                self.acknowledge();
                if !self.answer.is_empty() {
                    let answer = std::mem::take(&mut self.answer);
                    self.shard.handle_input(conn, NOW, &answer, &mut self.out);
                    self.answer = answer;
                }
            }
            assert!(self.out.closing.is_empty(), "nobody is to be closed");
            self.out.retained.clear();
            self.out.ended.clear();
            self.out.publishes.clear();
        }
    }

    /// Puts the answers to what was got into `answer`: PUBACK, PUBREC, PUBREL, PUBCOMP.
    fn acknowledge(&mut self) {
        self.answer.clear();
        let mut at = 0;
        while let Ok(Split::Frame(frame)) = split(&self.got[at..], 1 << 16) {
            at += frame.len;
            let ack = |id| Ack::new(id, ReasonCode::SUCCESS);
            let answer = match Packet::decode(frame, V3_1_1).expect("a packet") {
                Packet::Publish(publish) => {
                    self.delivered += 1;
                    match publish.qos {
                        QoS::AtMostOnce => continue,
                        QoS::AtLeastOnce => Packet::PubAck(ack(publish.packet_id)),
                        QoS::ExactlyOnce => Packet::PubRec(ack(publish.packet_id)),
                    }
                }
                Packet::PubRec(got) => Packet::PubRel(ack(got.packet_id)),
                Packet::PubRel(got) => Packet::PubComp(ack(got.packet_id)),
                _ => continue,
            };
            answer.encode(V3_1_1, &mut self.answer).expect("room");
        }
    }
}

/// Allocations for each of many messages from one client to `subscribers`, one at a time.
fn allocations_in_a_shard(subscribers: u64, qos: QoS) -> f64 {
    let mut host = Host::new();
    let publisher = host.client("publisher");
    for number in 0..subscribers {
        let conn = host.client(&format!("subscriber-{number}"));
        host.subscribe(conn, "rooms/+/temperature", qos);
    }
    let packets: Vec<_> = (1..=MESSAGES).map(|id| publish(qos, id as u16)).collect();
    let mut play = || {
        packets
            .iter()
            .for_each(|packet| host.input(publisher, packet))
    };
    play();
    let info = measure(play);
    assert_eq!(
        host.delivered,
        2 * MESSAGES * subscribers,
        "all are delivered"
    );
    info.count_total as f64 / MESSAGES as f64
}

#[test]
fn a_message_that_goes_out_at_once_allocates_nothing_and_another_one_once() {
    for subscribers in [1, 50] {
        let none = allocations_in_a_shard(subscribers, QoS::AtMostOnce);
        assert_eq!(none, 0.0, "QoS 0 to {subscribers}");
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let each = allocations_in_a_shard(subscribers, qos);
            assert!(each <= 1.0, "{qos:?} to {subscribers}: {each}");
        }
    }
}

#[test]
fn a_subscription_keeps_few_bytes() {
    let mut host = Host::new();
    let clients: Vec<_> = (0..100)
        .map(|n| host.client(&format!("client-{n}")))
        .collect();
    let filters: Vec<_> = (0..20_000).map(|n| format!("rooms/{n:06}/heat")).collect();
    let info = measure(|| {
        for (number, filter) in filters.iter().enumerate() {
            host.subscribe(clients[number % 100], filter, QoS::AtLeastOnce);
        }
    });
    assert_eq!(host.shard.stats().subscriptions, 20_000);
    let each = u64::try_from(info.bytes_current).expect("more than before") / 20_000;
    println!("bytes per subscription: {each}");
    assert!(each <= SUBSCRIPTION, "{each} bytes per subscription");
}

/// Allocations of a client for each message that it publishes and that is acknowledged, without the message's
/// own.
fn allocations_in_a_client(qos: QoS) -> f64 {
    let options = Options {
        version: V3_1_1,
        client_id: "c".to_owned(),
        ..Options::default()
    };
    let mut session = ClientSession::new(options).expect("options");
    session.handle_open(NOW);
    session.outbound().clear();
    session.handle_input(
        NOW,
        &encoded(&Packet::ConnAck(ConnAck {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: Properties::EMPTY,
        })),
    );
    assert!(matches!(session.poll_event(), Some(Event::Connected(_))));
    let message = || {
        Message::new(
            "rooms/21/temperature",
            &[7; 64],
            qos,
            false,
            Properties::EMPTY,
            NOW,
        )
        .expect("a message")
    };
    let mut got = Vec::with_capacity(1 << 12);
    let mut answer = Vec::with_capacity(1 << 12);
    let mut play = |messages: Vec<Message>| {
        for message in messages {
            session.publish(NOW, message).expect("room");
            // What goes out is answered, until nothing does.
            loop {
                got.clear();
                session.outbound().drain_into(&mut got);
                session.outbound_taken();
                let Ok(Split::Frame(frame)) = split(&got, 1 << 16) else {
                    break;
                };
                answer.clear();
                let ack = |id| Ack::new(id, ReasonCode::SUCCESS);
                let packet = match Packet::decode(frame, V3_1_1).expect("a packet") {
                    Packet::Publish(sent) if sent.qos == QoS::AtLeastOnce => {
                        Packet::PubAck(ack(sent.packet_id))
                    }
                    Packet::Publish(sent) if sent.qos == QoS::ExactlyOnce => {
                        Packet::PubRec(ack(sent.packet_id))
                    }
                    Packet::PubRel(sent) => Packet::PubComp(ack(sent.packet_id)),
                    _ => break,
                };
                packet.encode(V3_1_1, &mut answer).expect("room");
                session.handle_input(NOW, &answer);
            }
            while session.poll_event().is_some() {}
        }
        assert_eq!(session.pending_count(), 0, "all are complete");
    };
    let messages = || (0..MESSAGES).map(|_| message()).collect::<Vec<_>>();
    play(messages());
    let second = messages();
    measure(|| play(second)).count_total as f64 / MESSAGES as f64
}

#[test]
fn publishing_by_a_client_allocates_the_message_only() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let each = allocations_in_a_client(qos);
        println!("{qos:?}: {each} allocations per message");
        assert_eq!(each, 0.0, "{qos:?}");
    }
}
