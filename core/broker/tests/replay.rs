//! Two hundred thousand retained messages for a client that reads slowly.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::{ANY_PORT, client, publish, start, subscribe};
use ternmq_broker::{Broker, Config, Placement};
use ternmq_protocol::codec::{
    Ack, Connect, FrameBuffer, Packet, Properties, QoS, Subscribe, SubscriptionOptions,
};
use ternmq_protocol::{Message, ProtocolVersion, ReasonCode};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

const MESSAGES: usize = 200_000;

/// Messages that the client reads at a time. Between two times the broker is left alone until it has
/// done all that it can.
const STEP: usize = 1_000;

/// More than the kernel's buffers for one connection hold, times [`MESSAGES`].
const PAYLOAD: usize = 100;

/// Bytes of a QoS 0 PUBLISH of [`topic`] with a payload; with QoS 1 two more.
const PACKET: u64 = 2 + 2 + 9 + PAYLOAD as u64;

/// What the broker may have on its way for one connection, and what it looks up at a time.
const OUTBOUND: usize = 16 << 10;
const PAGE: usize = 256;

/// What others change while the replay is under way: the replay itself never makes more than a page.
const CHANGES: usize = 6;

const V4: ProtocolVersion = ProtocolVersion::V3_1_1;

/// The retained value of each topic by its number; even numbers have one from the start.
type Values = Vec<Option<u8>>;

fn topic(number: usize) -> String {
    format!("r/{number:07}")
}

fn payload(value: Option<u8>) -> Vec<u8> {
    value.map_or(Vec::new(), |value| vec![value; PAYLOAD])
}

fn retain(broker: &Broker, number: usize, value: u8) {
    let (qos, none) = (QoS::AtLeastOnce, Properties::EMPTY);
    let payload = payload(Some(value));
    let message = Message::new(&topic(number), &payload, qos, true, none, broker.now());
    broker.publish(&message.expect("a message")).expect("kept");
}

/// A client that takes so many messages at a time and reads nothing else meanwhile.
struct Reader {
    stream: TcpStream,
    frames: FrameBuffer,
    qos: QoS,
    /// What has come, by number: copies as retained messages, and the last value of all.
    replayed: Vec<u8>,
    last: Vec<Option<Option<u8>>>,
    taken: usize,
}

impl Reader {
    fn new(broker: &Broker, client_id: &str, qos: QoS) -> Self {
        let mut stream = TcpStream::connect(broker.local_addrs()[0]).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        let requests = [("r/#", options)];
        let mut bytes = Vec::new();
        for packet in [
            Packet::Connect(Connect::new(V4, client_id)),
            Packet::Subscribe(Subscribe::new(1, Properties::EMPTY, &requests)),
        ] {
            packet.encode(V4, &mut bytes).expect("encoded");
        }
        stream.write_all(&bytes).expect("sent");
        let mut answer = [0; 4 + 5];
        stream.read_exact(&mut answer).expect("CONNACK and SUBACK");
        assert_eq!(answer, [0x20, 2, 0, 0, 0x90, 3, 0, 1, qos as u8]);
        Self {
            stream,
            frames: FrameBuffer::default(),
            qos,
            replayed: vec![0; 2 * MESSAGES],
            last: vec![None; 2 * MESSAGES],
            taken: 0,
        }
    }

    /// Reads and acknowledges so many messages, or those up to the last topic.
    fn take(&mut self, count: usize) {
        let enough = self.taken + count;
        let (mut bytes, mut acks) = ([0; 4096], Vec::new());
        while self.taken < enough && self.last[2 * MESSAGES - 2].is_none() {
            let most = bytes.len().min((enough - self.taken) * PACKET as usize);
            let read = self.stream.read(&mut bytes[..most]).expect("messages");
            assert!(read > 0, "closed after {} messages", self.taken);
            let mut input = &bytes[..read];
            while let Some(frame) = self.frames.next(&mut input, 1024).expect("a packet") {
                let packet = Packet::decode(frame, V4).expect("a packet");
                let Packet::Publish(publish) = packet else {
                    panic!("{packet:?}");
                };
                assert_eq!(publish.qos, self.qos);
                let number: usize = publish.topic[2..].parse().expect("a number");
                self.replayed[number] += u8::from(publish.retain);
                self.last[number] = Some(publish.payload.first().copied());
                self.taken += 1;
                if self.qos == QoS::AtLeastOnce {
                    let ack = Ack::new(publish.packet_id, ReasonCode::SUCCESS);
                    Packet::PubAck(ack).encode(V4, &mut acks).expect("encoded");
                }
            }
        }
        self.stream.write_all(&acks).expect("sent");
    }

    /// Everything there was came once, and what changed meanwhile came last.
    fn check(mut self, values: &Values, before: &Values) {
        for (number, value) in values.iter().enumerate() {
            let (copies, untouched) = (self.replayed[number], before[number] == *value);
            match (value, untouched) {
                (Some(_), true) => assert_eq!(copies, 1, "{number}"),
                (None, true) => assert_eq!(copies, 0, "{number}"),
                (_, false) => assert!(copies <= 1, "{number}"),
            }
            // What was deleted has come as an empty message.
            assert!(untouched || self.last[number].is_some(), "{number}");
            assert_eq!(self.last[number].flatten(), *value, "{number}");
        }
        self.stream.write_all(&[0xC0, 0]).expect("sent");
        let mut answer = [0; 2];
        self.stream.read_exact(&mut answer).expect("PINGRESP");
        assert_eq!(answer, [0xD0, 0], "nothing else comes");
    }
}

/// Sets, changes and deletes retained messages, before and behind where the replay is.
fn change(publisher: &mut RawPeer, values: &mut Values, by: usize) {
    let last = 2 * MESSAGES - 100 * by;
    let changes: [(usize, Option<u8>); CHANGES] = [
        (10 * by, Some(b'2')),
        (10 * by + 2, None),
        (10 * by + 1, Some(b'3')),
        (last, Some(b'2')),
        (last + 2, None),
        (last + 1, Some(b'3')),
    ];
    for (number, value) in changes {
        let topic = topic(number);
        let payload = String::from_utf8(payload(value)).expect("text");
        publisher
            .send(&format!(
                "PUBLISH topic={topic} qos=1 id=9 retain=1 payload={payload}"
            ))
            .expect("sent");
        publisher.expect("PUBACK id=9").expect("PUBACK");
        values[number] = value;
    }
}

/// One client reads all there is, a step at a time.
fn replay(broker: &Broker, qos: QoS, values: &mut Values, others: &mut [RawPeer]) {
    let before = values.clone();
    let written = broker.stats();
    let mut reader = Reader::new(broker, &format!("reader-{}", qos as u8), qos);
    let mut for_others = 0;
    let mut steps = 0;
    while reader.last[2 * MESSAGES - 2].is_none() {
        for (n, other) in others.iter_mut().enumerate() {
            publish(other, &format!("other-{n}"), 0, "x");
            other.expect("PUBLISH payload=x").expect("its own");
            for_others += 1;
        }
        if steps == 50 {
            change(&mut others[0], values, 1 + qos as usize);
        }
        // Each shard has had a turn since, and asks for no other until the reader reads.
        let stats = broker.stats();
        let sent = stats.mqtt.sent() - written.mqtt.sent() - for_others;
        let out = stats.bytes_out - written.bytes_out;
        let waiting = (sent * (PACKET + 2 * qos as u64)).saturating_sub(out);
        assert!(waiting <= OUTBOUND as u64 + PACKET, "{waiting} bytes wait");
        let queued = stats.mqtt.queued as usize;
        assert!(queued <= PAGE + CHANGES, "{queued} messages wait");
        reader.take(STEP);
        steps += 1;
    }
    assert!(steps >= MESSAGES / STEP, "{steps} steps");
    if qos == QoS::AtMostOnce {
        assert!(broker.stats().blocked > written.blocked, "never slow");
    }
    reader.check(values, &before);
}

// [MQTT-3.3.1-6]
#[test]
fn a_slow_reader_gets_every_retained_message_once_and_the_broker_holds_a_page_of_them() {
    let mut config = Config {
        shards: 2,
        placement: Placement::ByClientId,
        ..Config::listen(ANY_PORT)
    };
    (config.session.outbound_bytes, config.session.retained_page) = (OUTBOUND, PAGE);
    let broker = start(config);
    let mut values: Values = (0..2 * MESSAGES)
        .map(|n| (n % 2 == 0).then_some(b'1'))
        .collect();
    for number in (0..2 * MESSAGES).step_by(2) {
        retain(&broker, number, b'1');
    }
    // All over the shards.
    let mut others: Vec<_> = (0..4)
        .map(|n| client(&broker, 4, &format!("other-{n}")))
        .collect();
    for (n, other) in others.iter_mut().enumerate() {
        subscribe(other, &format!("other-{n}"), 0);
    }
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        replay(&broker, qos, &mut values, &mut others);
    }
    // What was deleted meanwhile is gone for everybody.
    let gone = values.iter().step_by(2).filter(|value| value.is_none());
    assert_eq!(gone.count(), 4);
    for number in (0..2 * MESSAGES).step_by(2) {
        if values[number].is_none() {
            let mut late = client(&broker, 4, "late");
            subscribe(&mut late, &topic(number), 0);
            late.send("PINGREQ").expect("sent");
            late.expect("PINGRESP").expect("nothing");
        }
    }
    let stats = broker.stats();
    assert_eq!((stats.mqtt.dropped.total(), stats.mqtt.queued), (0, 0));
}
