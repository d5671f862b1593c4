//! The machines of broker and client with fixed input and no sockets, clock or thread, for valgrind to count the
//! instructions of.  shard-work fanin|fanout|publish|receive QOS MESSAGES
#![forbid(unsafe_code)]

use ternmq_protocol::ProtocolVersion::V3_1_1;
use ternmq_protocol::broker::{Admission, ConnId, ListenerId, Out, Shard, ShardConfig};
use ternmq_protocol::client::{ClientSession, Options};
use ternmq_protocol::codec::{
    Ack, ConnAck, Connect, Packet, Properties, Publish, QoS, Split, Subscribe, SubscriptionOptions,
    split,
};
use ternmq_protocol::message::Message;
use ternmq_protocol::{ReasonCode, Time};

const NOW: Time = Time(1_000);

/// Clients on the side that has many.
const MANY: usize = 100;

/// Messages that a publisher writes in one go.
const BATCH: usize = 16;

const LARGEST: u32 = 1 << 20;

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(V3_1_1, &mut bytes).expect("a packet");
    bytes
}

fn publish(topic: &str, qos: QoS, id: u16, out: &mut Vec<u8>) {
    let mut publish = Publish::new(topic, &[7; 64]);
    (publish.qos, publish.packet_id) = (qos, if qos == QoS::AtMostOnce { 0 } else { id });
    Packet::Publish(publish).encode(V3_1_1, out).expect("room");
}

/// Appends the answers to all packets in `got`; tells how many of them are PUBLISHes.
fn answers(got: &[u8], answer: &mut Vec<u8>) -> usize {
    let (mut at, mut publishes) = (0, 0);
    while let Ok(Split::Frame(frame)) = split(&got[at..], LARGEST) {
        at += frame.len;
        let ack = |id| Ack::new(id, ReasonCode::SUCCESS);
        let packet = match Packet::decode(frame, V3_1_1).expect("a packet") {
            Packet::Publish(publish) => {
                publishes += 1;
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
        packet.encode(V3_1_1, answer).expect("room");
    }
    publishes
}

#[derive(Default)]
struct Host {
    out: Out,
    got: Vec<u8>,
    answer: Vec<u8>,
    delivered: usize,
}

impl Host {
    /// Gives the shard bytes, and does what it asks for until nothing is left.
    fn input(&mut self, shard: &mut Shard, conn: ConnId, bytes: &[u8]) {
        let out = &mut self.out;
        shard.handle_input(conn, NOW, bytes, out);
        while !out.is_empty() {
            if let Some(ticket) = out.owed.take() {
                shard.complete(ticket, out);
            }
            while let Some(request) = out.admissions.pop() {
                shard.admit(request.conn, NOW, Admission::Accept, out);
            }
            while let Some(conn) = out.unfinished.pop() {
                shard.resume(conn, NOW, out);
            }
            while let Some(conn) = out.dirty.pop() {
                self.got.clear();
                if let Some(outbound) = shard.outbound(conn) {
                    outbound.drain_into(&mut self.got);
                }
                if shard.flushed(conn) {
                    shard.handle_writable(conn, NOW, out);
                }
                self.answer.clear();
                self.delivered += answers(&self.got, &mut self.answer);
                if !self.answer.is_empty() {
                    shard.handle_input(conn, NOW, &self.answer, out);
                }
            }
            out.publishes.clear();
            out.retained.clear();
            out.ended.clear();
        }
    }
}

/// `publishers` with a topic each, `subscribers` of all topics.
fn broker(publishers: usize, subscribers: usize, qos: QoS, messages: usize) {
    let mut shard = Shard::new(ShardConfig::default());
    let mut host = Host::default();
    let mut client = |host: &mut Host, name: String| {
        let conn = shard.open(NOW, ListenerId(0), None).expect("room");
        host.input(
            &mut shard,
            conn,
            &encoded(&Packet::Connect(Connect::new(V3_1_1, &name))),
        );
        conn
    };
    let from: Vec<_> = (0..publishers)
        .map(|n| client(&mut host, format!("publisher-{n}")))
        .collect();
    let to: Vec<_> = (0..subscribers)
        .map(|n| client(&mut host, format!("subscriber-{n}")))
        .collect();
    for conn in to {
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        let requests = [("rooms/+/temperature", options)];
        let subscribe = Subscribe::new(1, Properties::EMPTY, &requests);
        host.input(&mut shard, conn, &encoded(&Packet::Subscribe(subscribe)));
    }
    let batches: Vec<Vec<u8>> = (0..publishers)
        .map(|n| {
            let mut bytes = Vec::new();
            (0..BATCH).for_each(|id| {
                publish(
                    &format!("rooms/{n:04}/temperature"),
                    qos,
                    id as u16 + 1,
                    &mut bytes,
                )
            });
            bytes
        })
        .collect();
    for round in 0..messages / BATCH {
        let n = round % publishers;
        host.input(&mut shard, from[n], &batches[n]);
    }
    assert_eq!(
        host.delivered,
        messages / BATCH * BATCH * subscribers,
        "all are delivered"
    );
}

fn client(publishes: bool, qos: QoS, messages: usize) {
    let options = Options {
        version: V3_1_1,
        client_id: "c".to_owned(),
        ..Options::default()
    };
    let mut session = ClientSession::new(options).expect("options");
    session.handle_open(NOW);
    session.outbound().clear();
    let (session_present, reason, properties) = (false, ReasonCode::SUCCESS, Properties::EMPTY);
    session.handle_input(
        NOW,
        &encoded(&Packet::ConnAck(ConnAck {
            session_present,
            reason,
            properties,
        })),
    );
    let (mut got, mut answer, mut batch) = (Vec::new(), Vec::new(), Vec::new());
    (0..BATCH).for_each(|id| publish("rooms/21/temperature", qos, id as u16 + 1, &mut batch));
    let mut events = 0;
    for _ in 0..messages / BATCH {
        if publishes {
            for _ in 0..BATCH {
                let message = Message::new(
                    "rooms/21/temperature",
                    &[7; 64],
                    qos,
                    false,
                    Properties::EMPTY,
                    NOW,
                );
                session
                    .publish(NOW, message.expect("a message"))
                    .expect("room");
            }
        } else {
            session.handle_input(NOW, &batch);
        }
        loop {
            got.clear();
            session.outbound().drain_into(&mut got);
            session.outbound_taken();
            answer.clear();
            answers(&got, &mut answer);
            if answer.is_empty() {
                break;
            }
            session.handle_input(NOW, &answer);
        }
        while session.poll_event().is_some() {
            events += 1;
        }
    }
    assert!(
        events
            >= if publishes && qos == QoS::AtMostOnce {
                0
            } else {
                messages / BATCH * BATCH
            },
        "events"
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, qos, messages] = &words[..] else {
        panic!("shard-work fanin|fanout|publish|receive QOS MESSAGES");
    };
    let qos = qos.parse().ok().and_then(QoS::from_bits).expect("a QoS");
    let messages = messages.parse().expect("a number");
    match what.as_str() {
        "fanin" => broker(MANY, 1, qos, messages),
        "fanout" => broker(1, MANY, qos, messages),
        "publish" => client(true, qos, messages),
        "receive" => client(false, qos, messages),
        _ => panic!("{what} is nothing that it does"),
    }
}
