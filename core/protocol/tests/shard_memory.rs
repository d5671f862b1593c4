//! Memory, counted: what a shard says that its clients hold is what they hold, so that its limits limit
//! memory and not a number.
#![forbid(unsafe_code)]

use allocation_counter::measure;
use ternmq_protocol::ProtocolVersion::V5_0;
use ternmq_protocol::Time;
use ternmq_protocol::broker::{
    Admission, ConnId, Limits, ListenerId, Out, Shard, ShardConfig, SumLimits,
};
use ternmq_protocol::codec::{
    Connect, Packet, Properties, PropertiesBuf, PropertyId, Publish, QoS, Subscribe,
    SubscriptionOptions, Value, Will,
};

const NOW: Time = Time(1_000);

/// A shard and as much of a driver as it takes.
struct Bench {
    shard: Shard,
    out: Out,
    bytes: Vec<u8>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            // What buffers keep for the next one is another limit.
            spare_buffers: 0,
            ..Limits::default()
        };
        change(&mut limits);
        Self {
            shard: Shard::new(ShardConfig {
                limits,
                ..ShardConfig::default()
            }),
            out: Out::default(),
            bytes: Vec::with_capacity(1 << 20),
        }
    }

    fn open(&mut self) -> ConnId {
        self.shard.open(NOW, ListenerId(0), None).unwrap()
    }

    fn send(&mut self, conn: ConnId, packet: &Packet<'_>) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        packet.encode(V5_0, &mut bytes).unwrap();
        self.input(conn, &bytes);
        self.bytes = bytes;
    }

    fn input(&mut self, conn: ConnId, bytes: &[u8]) {
        self.shard.handle_input(conn, NOW, bytes, &mut self.out);
        self.settle();
    }

    fn settle(&mut self) {
        while !self.out.is_empty() {
            let Self { shard, out, .. } = self;
            out.retained.clear();
            for (_, letter) in std::mem::take(&mut out.letters) {
                shard.handle_letter(letter, NOW, out);
            }
            out.groups_gone.clear();
            if let Some(ticket) = out.owed.take() {
                shard.complete(ticket, out);
            }
            for request in std::mem::take(&mut out.admissions) {
                shard.admit(request.conn, NOW, Admission::Accept, out);
            }
            out.ended.clear();
            for conn in std::mem::take(&mut out.unfinished) {
                shard.resume(conn, NOW, out);
            }
            for conn in std::mem::take(&mut out.dirty) {
                if let Some(outbound) = shard.outbound(conn) {
                    outbound.clear();
                }
                if shard.flushed(conn) {
                    shard.handle_writable(conn, NOW, out);
                }
            }
            for conn in std::mem::take(&mut out.closing) {
                shard.handle_closed(conn, NOW, out);
            }
        }
    }

    fn client(&mut self, name: &str) -> ConnId {
        let conn = self.open();
        let mut properties = PropertiesBuf::default();
        properties
            .push(
                PropertyId::SessionExpiryInterval,
                Value::FourByteInteger(1000),
            )
            .unwrap();
        let mut connect = Connect::new(V5_0, name);
        connect.properties = properties.get();
        self.send(conn, &Packet::Connect(connect));
        conn
    }

    fn subscribe(&mut self, conn: ConnId, filters: &[String]) {
        let options = SubscriptionOptions {
            qos: QoS::AtLeastOnce,
            ..SubscriptionOptions::default()
        };
        let requests: Vec<_> = filters.iter().map(|f| (&**f, options)).collect();
        let none = Properties::EMPTY;
        self.send(conn, &Packet::Subscribe(Subscribe::new(1, none, &requests)));
    }
}

/// What `act` has left allocated, and the most that there was meanwhile.
fn kept(act: impl FnOnce()) -> (u64, u64) {
    let info = measure(act);
    (
        u64::try_from(info.bytes_current).unwrap_or(0),
        info.bytes_max,
    )
}

#[test]
fn subscriptions_weigh_what_they_take() {
    type Name = fn(usize) -> String;
    let kinds: [(&str, Name); 4] = [
        ("exact", |n| format!("some/topic/{n}")),
        ("wildcards", |n| format!("{n}/+/a/+/b")),
        ("deep", |n| format!("{}x/#", format!("{n}/").repeat(60))),
        ("shared", |n| format!("$share/group/{n}/+/a")),
    ];
    for (kind, name) in kinds {
        let mut bench = Bench::new(|limits| limits.filter_bytes = 1 << 30);
        let conn = bench.client("c");
        // All tables grow by doubling, so that much may be kept that is not used yet.
        let filters: Vec<String> = (0..3_000).map(name).collect();
        let (bytes, _) = kept(|| bench.subscribe(conn, &filters));
        let weight = bench.shard.stats().filter_bytes;
        assert_eq!(bench.shard.stats().subscriptions, 3_000, "{kind}");
        assert!(bytes <= weight * 3 / 2, "{kind}: {bytes} for {weight}");
        assert!(bytes >= weight / 5, "{kind}: {bytes} for {weight}");
    }
}

#[test]
fn half_packets_weigh_what_they_take() {
    let mut bench = Bench::new(|limits| {
        limits.packet_size = 1 << 20;
        limits.sums = SumLimits {
            input_bytes: 4 << 20,
            ..SumLimits::default()
        };
    });
    let conns: Vec<ConnId> = (0..200).map(|n| bench.client(&format!("{n}"))).collect();
    let mut part = Vec::new();
    let publish = Publish::new("t", &[0; 1_000_000]);
    Packet::Publish(publish).encode(V5_0, &mut part).unwrap();
    let (bytes, most) = kept(|| {
        // In reads as a driver makes them, from all of them in turn.
        for read in part[..400_000].chunks(50_000) {
            for conn in &conns {
                bench.input(*conn, read);
            }
        }
    });
    let stats = bench.shard.stats();
    assert!(stats.over_limit.shard_input_bytes > 100, "{stats:?}");
    assert!(stats.input_bytes <= 4 << 20);
    // A buffer that grows is there twice for a moment; the lists are small.
    assert!(bytes <= stats.input_bytes + (1 << 20), "{bytes}");
    assert!(most <= (4 << 20) + (2 << 20), "{most}");
}

#[test]
fn queues_weigh_what_they_take() {
    let mut bench = Bench::new(|limits| {
        limits.sums = SumLimits {
            queued_bytes: 4 << 20,
            ..SumLimits::default()
        };
    });
    // Each message has one that waits for it; for several, it is there once and counted for each.
    let publisher = bench.client("publisher");
    for n in 0..20 {
        let conn = bench.client(&format!("{n}"));
        bench.subscribe(conn, &[format!("t/{n}")]);
        bench.shard.handle_closed(conn, NOW, &mut bench.out);
        bench.settle();
    }
    let payload = [0; 2_000];
    let (bytes, most) = kept(|| {
        for round in 0..1_000 {
            let topic = format!("t/{}", round % 20);
            let mut publish = Publish::new(&topic, &payload[..1_000 + round]);
            (publish.qos, publish.packet_id) = (QoS::AtLeastOnce, 1);
            for _ in 0..5 {
                bench.send(publisher, &Packet::Publish(publish));
            }
        }
    });
    let stats = bench.shard.stats();
    assert!(stats.dropped.queue_share > 1_000, "{stats:?}");
    assert!(stats.queued_bytes > 3 << 20 && stats.queued_bytes <= 4 << 20);
    assert!(bytes <= stats.queued_bytes * 5 / 4, "{bytes}");
    assert!(most <= 5 << 20, "{most}");
}

#[test]
fn wills_and_names_weigh_what_they_take() {
    let mut bench = Bench::new(|limits| {
        limits.sums = SumLimits {
            will_bytes: 1 << 20,
            name_bytes: 1 << 20,
            ..SumLimits::default()
        };
    });
    let (payload, long) = ([0; 30_000], "n".repeat(30_000));
    let mut properties = PropertiesBuf::default();
    properties
        .push(
            PropertyId::SessionExpiryInterval,
            Value::FourByteInteger(1000),
        )
        .unwrap();
    let mut of_will = PropertiesBuf::default();
    let pair = Value::Utf8StringPair("k", &long);
    of_will.push(PropertyId::UserProperty, pair).unwrap();
    of_will
        .push(PropertyId::WillDelayInterval, Value::FourByteInteger(1000))
        .unwrap();
    let (bytes, _) = kept(|| {
        for n in 0..100 {
            let name = format!("{n}{long}");
            let mut connect = Connect::new(V5_0, &name);
            connect.properties = properties.get();
            connect.will = Some(Will {
                topic: "w",
                payload: &payload,
                qos: QoS::AtMostOnce,
                retain: false,
                properties: of_will.get(),
            });
            let conn = bench.open();
            bench.send(conn, &Packet::Connect(connect));
            // Its session stays, and its will.
            bench.shard.handle_closed(conn, NOW, &mut bench.out);
            bench.settle();
        }
    });
    let stats = bench.shard.stats();
    assert!(stats.over_limit.shard_will_bytes + stats.over_limit.shard_name_bytes > 80);
    let weight = stats.will_bytes + stats.name_bytes;
    assert!(stats.will_bytes <= 1 << 20 && stats.name_bytes <= 1 << 20);
    assert!(
        bytes >= weight && bytes <= weight + (64 << 10),
        "{bytes} for {weight}"
    );
}
