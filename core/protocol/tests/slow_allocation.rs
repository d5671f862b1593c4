//! Memory, counted and not timed: what it costs to know which clients get their messages late, and what a
//! message costs that is dropped.
#![forbid(unsafe_code)]

use allocation_counter::{AllocationInfo, measure};
use ternmq_protocol::ProtocolVersion::V5_0;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::Time;
use ternmq_protocol::broker::{
    Admission, ConnId, Latency, ListenerId, Out, Page, RetainedOp, Shard, ShardConfig, SlowLimits,
};
use ternmq_protocol::codec::{
    Ack, Connect, Packet, Properties, PropertiesBuf, PropertyId, Publish, QoS, Subscribe,
    SubscriptionOptions, Value,
};

/// A shard with three subscribers to everything and a publisher.
struct Desk {
    shard: Shard,
    out: Out,
    now: Time,
    /// Reused, so that only the shard allocates.
    input: Vec<u8>,
    output: Vec<u8>,
    subscribers: [ConnId; 3],
    publisher: ConnId,
    /// The Packet Identifier that each subscriber sees next.
    next_id: u16,
}

impl Desk {
    fn new(slow: Option<SlowLimits>) -> Self {
        let config = ShardConfig {
            slow,
            ..ShardConfig::default()
        };
        let mut desk = Self {
            shard: Shard::new(config),
            out: Out::default(),
            now: Time(1_000),
            input: Vec::with_capacity(4_096),
            output: Vec::with_capacity(4_096),
            subscribers: [ConnId(0); 3],
            publisher: ConnId(0),
            next_id: 1,
        };
        desk.subscribers = ["a", "b", "c"].map(|name| {
            let conn = desk.connect(name);
            let options = SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                ..SubscriptionOptions::default()
            };
            let all = [("#", options)];
            let subscribe = Subscribe::new(1, Properties::EMPTY, &all);
            desk.send(conn, Packet::Subscribe(subscribe));
            conn
        });
        desk.publisher = desk.connect("p");
        desk
    }

    fn connect(&mut self, name: &str) -> ConnId {
        let conn = self.shard.open(self.now, ListenerId(0), None).unwrap();
        self.send(conn, Packet::Connect(Connect::new(V5_0, name)));
        conn
    }

    fn send(&mut self, conn: ConnId, packet: Packet<'_>) {
        self.input.clear();
        packet.encode(V5_0, &mut self.input).unwrap();
        self.shard
            .handle_input(conn, self.now, &self.input, &mut self.out);
        while let Some(request) = self.out.admissions.pop() {
            let accept = Admission::Accept;
            self.shard
                .admit(request.conn, self.now, accept, &mut self.out);
        }
        if let Some(ticket) = self.out.owed.take() {
            self.shard.complete(ticket, &mut self.out);
        }
        while let Some(op) = self.out.retained.pop() {
            if let RetainedOp::Page { ticket, .. } = op {
                let none = Page::default();
                self.shard
                    .handle_retained(ticket, none, self.now, &mut self.out);
            }
        }
        while let Some(conn) = self.out.dirty.pop() {
            self.output.clear();
            if let Some(outbound) = self.shard.outbound(conn) {
                outbound.drain_into(&mut self.output);
            }
            self.shard.flushed(conn);
        }
        assert!(self.out.is_empty());
    }

    /// One message of each QoS, acknowledged by everybody after so long, beginning with another each
    /// time.
    fn round(&mut self, n: usize, ms: u64) {
        let topic = ["t", "a/longer/one"][n % 2];
        for (qos, id) in [
            (QoS::AtMostOnce, 0),
            (QoS::AtLeastOnce, 1),
            (QoS::ExactlyOnce, 2),
        ] {
            let mut publish = Publish::new(topic, b"payload");
            (publish.qos, publish.packet_id) = (qos, id);
            self.send(self.publisher, Packet::Publish(publish));
        }
        let ack = |id| Ack::new(id, ReasonCode::SUCCESS);
        self.send(self.publisher, Packet::PubRel(ack(2)));
        self.now = self.now.after(ms);
        let (first, second) = (self.next_id, self.next_id + 1);
        for at in 0..3 {
            let conn = self.subscribers[(n + at) % 3];
            self.send(conn, Packet::PubAck(ack(first)));
            self.send(conn, Packet::PubRec(ack(second)));
            self.send(conn, Packet::PubComp(ack(second)));
        }
        self.next_id += 2;
    }
}

/// What a thousand rounds allocate once everything has its memory.
fn rounds(slow: Option<SlowLimits>) -> (AllocationInfo, Desk) {
    let mut desk = Desk::new(slow);
    for n in 0..100 {
        desk.round(n, 600 + n as u64);
    }
    let info = measure(|| {
        for n in 100..1_100 {
            desk.round(n, 600 + n as u64);
        }
    });
    assert_eq!(desk.shard.stats().acknowledged, 6 * 1_100);
    (info, desk)
}

#[test]
fn knowing_who_is_late_allocates_nothing_per_message() {
    let (off, desk) = rounds(None);
    assert_eq!(off.count_total, 2_000, "one for each message that is kept");
    assert_eq!(desk.shard.stats().late_deliveries, 0);
    for latency in [Latency::Whole, Latency::Internal, Latency::Response] {
        for threshold_ms in [100_000, 500] {
            let (on, desk) = rounds(Some(SlowLimits {
                latency,
                threshold_ms,
                entries: 2,
                ..SlowLimits::default()
            }));
            assert_eq!(on.count_total, off.count_total, "{latency:?}");
            assert_eq!(on.count_current, 0);
            let stats = desk.shard.stats();
            if threshold_ms == 500 && latency != Latency::Internal {
                assert_eq!(stats.late_deliveries, 6 * 1_100);
                assert!(stats.slow_displaced > 1_000, "{stats:?}");
                assert_eq!(desk.shard.slow_subscribers(desk.now).len(), 2);
            } else {
                assert_eq!(stats.late_deliveries, 0);
            }
        }
    }
}

#[test]
fn a_qos_0_message_for_nobody_but_who_is_away_is_never_made() {
    let mut desk = Desk::new(None);
    let mut keeps = PropertiesBuf::default();
    keeps
        .push(
            PropertyId::SessionExpiryInterval,
            Value::FourByteInteger(1_000),
        )
        .unwrap();
    for conn in desk.subscribers {
        desk.shard.handle_closed(conn, desk.now, &mut desk.out);
    }
    desk.out.ended.clear();
    let away = desk.shard.open(desk.now, ListenerId(0), None).unwrap();
    let mut connect = Connect::new(V5_0, "away");
    connect.properties = keeps.get();
    desk.send(away, Packet::Connect(connect));
    let options = SubscriptionOptions::default();
    let all = [("#", options)];
    desk.send(
        away,
        Packet::Subscribe(Subscribe::new(1, Properties::EMPTY, &all)),
    );
    desk.shard.handle_closed(away, desk.now, &mut desk.out);
    let publish = |desk: &mut Desk| {
        let publisher = desk.publisher;
        desk.send(publisher, Packet::Publish(Publish::new("t", b"payload")));
    };
    publish(&mut desk);
    let info = measure(|| (0..1_000).for_each(|_| publish(&mut desk)));
    assert_eq!(desk.shard.stats().dropped.offline, 1_001);
    assert_eq!(info.count_total, 0);
}
