//! Clients at random under limits so low that all are met: what the shard counts as it goes is what is
//! found when everything is counted anew.

use super::desk::*;
use super::sums::{all_zero, big_publish, bytes, check_sums, will};
use crate::broker::sums::ALLOWANCE;
use crate::broker::{Admission, ConnId, Topics};
use crate::codec::{
    Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, Request,
    Subscribe, SubscriptionOptions, Unsubscribe, Value,
};
use crate::reason::ReasonCode;
use crate::seeded::Seeded;
use crate::session::queue::OverflowPolicy;
use crate::version::ProtocolVersion;

/// Exclusive subscriptions weigh more than the subscription that was checked.
const CLAIMS: usize = 20_000;

/// Of a property, for the limit of properties.
const TOO_LONG: &str = match std::str::from_utf8(&[b'v'; 500]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Clients at random, under limits so low that all of them are met.
struct Crowd {
    desk: Desk,
    clients: Vec<Option<(ConnId, ProtocolVersion)>>,
    seeded: Seeded,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let mut desk = Desk::with_all(
            |limits| {
                (limits.inflight, limits.outbound_bytes) = (4, 3_000);
                limits.inflight_bytes = 9_000;
                limits.queue.bytes = 30_000;
                limits.queue.policy = match seed % 2 {
                    0 => OverflowPolicy::DropOldest,
                    _ => OverflowPolicy::DropNewest,
                };
                (limits.filter_bytes, limits.packet_filters) = (9_000, 20);
                (limits.alias_bytes, limits.property_bytes) = (5_000, 500);
                let sums = &mut limits.sums;
                (sums.input_bytes, sums.outbound_bytes) = (20_000, 9_000);
                (sums.queued_bytes, sums.filter_bytes) = (60_000, 20_000);
                (sums.will_bytes, sums.name_bytes) = (9_000, 6_000);
                // The one limit would hide the other.
                sums.alias_bytes = [5_000, 50_000][seed as usize % 2];
            },
            Topics {
                exclusive: true,
                ..Topics::default()
            },
        );
        if seed.is_multiple_of(3) {
            desk.admission = None;
        }
        Self {
            desk,
            clients: vec![None; 8],
            seeded: Seeded::new(seed),
        }
    }

    fn step(&mut self) {
        let n = self.seeded.below(self.clients.len());
        let Some((conn, version)) = self.clients[n].filter(|(conn, _)| self.desk.is_open(*conn))
        else {
            return self.connect(n);
        };
        match self.seeded.below(24) {
            0..8 => self.publish(conn, version),
            8..11 => self.subscribe(conn, version),
            11 => self.unsubscribe(conn, version),
            12..14 => {
                let stuck = self.seeded.one_in(2);
                self.desk.stick(conn, stuck);
            }
            14 if self.seeded.one_in(2) => self.desk.cut(conn),
            15 if self.seeded.one_in(2) => {
                self.desk.disconnect(conn, ReasonCode::NORMAL_DISCONNECTION);
            }
            16..19 => {
                // The beginning of a packet, or more of one, or what makes no sense in its middle.
                let part = big_publish(self.seeded.below(12_000));
                let end = self.seeded.below(part.len());
                self.desk.input(conn, &part[..end]);
            }
            19 => self.desk.wait(20_000),
            _ => self.acknowledge(conn),
        }
        self.answer_admissions();
    }

    fn connect(&mut self, n: usize) {
        let version = [V3_1_1, V5_0][self.seeded.below(2)];
        let name = format!("{n}{}", "x".repeat(self.seeded.below(20)));
        let name = match self.seeded.one_in(8) {
            true => name.repeat(400),
            false => name,
        };
        let (user, payload) = (
            "u".repeat(self.seeded.below(90)),
            vec![1; self.seeded.below(6_000)],
        );
        let mut properties = PropertiesBuf::default();
        if version.is_v5() {
            properties.push_number(PropertyId::SessionExpiryInterval, 100);
            properties.push_number(PropertyId::TopicAliasMaximum, 5);
            if self.seeded.one_in(20) {
                let pair = Value::Utf8StringPair("k", TOO_LONG);
                properties.push(PropertyId::UserProperty, pair).unwrap();
            }
        }
        let mut connect = Connect::new(version, &name);
        (connect.clean_start, connect.properties) = (self.seeded.one_in(3), properties.get());
        connect.user_name = Some(&user);
        if self.seeded.one_in(2) {
            connect.will = Some(will(&payload));
        }
        let conn = self.desk.open(version);
        let whole = bytes(version, Packet::Connect(connect));
        let cut = self.seeded.below(whole.len());
        self.desk.input(conn, &whole[..cut]);
        check_sums(&self.desk.shard);
        self.desk.input(conn, &whole[cut..]);
        if self.desk.is_open(conn) && self.seeded.one_in(2) {
            self.desk.input(conn, &[0xC0, 0, 0xC0, 0]);
        }
        self.clients[n] = Some((conn, version));
        self.answer_admissions();
    }

    /// Where the driver takes its time, it has taken it.
    fn answer_admissions(&mut self) {
        if self.seeded.one_in(3) {
            for request in std::mem::take(&mut self.desk.out.admissions) {
                let (now, out) = (self.desk.now, &mut self.desk.out);
                let shard = &mut self.desk.shard;
                shard.admit(request.conn, now, Admission::Accept, out);
            }
            self.desk.settle();
        }
    }

    fn publish(&mut self, conn: ConnId, version: ProtocolVersion) {
        let topic = match self.seeded.one_in(2) {
            true => self.seeded.topic(2),
            false => format!("a/{}", "a".repeat(self.seeded.below(2_500))),
        };
        let payload = vec![2; self.seeded.below(7_000)];
        let mut properties = PropertiesBuf::default();
        if version.is_v5() && self.seeded.one_in(2) {
            properties.push_number(PropertyId::TopicAlias, 1 + self.seeded.below(60) as u32);
            let value = "v".repeat(self.seeded.below(600));
            let pair = Value::Utf8StringPair("k", &value);
            properties.push(PropertyId::UserProperty, pair).unwrap();
        }
        let mut publish = Publish::new(&topic, &payload);
        publish.qos = [Q0, Q1, Q2][self.seeded.below(3)];
        publish.packet_id = match publish.qos {
            Q0 => 0,
            _ => 1 + self.seeded.below(30) as u16,
        };
        publish.properties = properties.get();
        self.desk.send(conn, Packet::Publish(publish));
    }

    fn filters(&mut self) -> Vec<String> {
        let count = 1 + self.seeded.below(25);
        let filter = |seeded: &mut Seeded| {
            let prefix = ["", "", "$share/g/", "$exclusive/"][seeded.below(4)];
            let tail = ["", "/+/x", "/#"][seeded.below(3)];
            format!("{prefix}{}{tail}", seeded.filter(2).replace("/#", ""))
        };
        (0..count).map(|_| filter(&mut self.seeded)).collect()
    }

    fn subscribe(&mut self, conn: ConnId, version: ProtocolVersion) {
        let filters = self.filters();
        let mut properties = PropertiesBuf::default();
        if version.is_v5() {
            let id = 1 + self.seeded.below(100) as u32;
            properties.push_number(PropertyId::SubscriptionIdentifier, id);
        }
        let options = SubscriptionOptions {
            qos: [Q0, Q1, Q2][self.seeded.below(3)],
            ..SubscriptionOptions::default()
        };
        let requests: Vec<Request<'_>> = filters.iter().map(|f| (&**f, options)).collect();
        let packet = Subscribe::new(9, properties.get(), &requests);
        self.desk.send(conn, Packet::Subscribe(packet));
    }

    fn unsubscribe(&mut self, conn: ConnId, _: ProtocolVersion) {
        let filters = self.filters();
        let filters: Vec<&str> = filters.iter().map(|f| &**f).collect();
        let packet = Unsubscribe::new(11, Properties::EMPTY, &filters);
        self.desk.send(conn, Packet::Unsubscribe(packet));
    }

    /// No sum exceeds its limit by more than an allowance for each that may hold something.
    fn check_bounds(&self) {
        let (shard, stats) = (&self.desk.shard, self.desk.stats());
        let sums = &shard.links.limits.sums;
        let (conns, sessions) = (stats.connections as usize, stats.sessions as usize);
        // What was read at once is answered before it is counted.
        let most_at_once = 20_000;
        for (sum, limit, holders, more) in [
            (stats.input_bytes, sums.input_bytes, conns, 0),
            (
                shard.outbound_bytes() as u64,
                sums.outbound_bytes,
                conns,
                most_at_once,
            ),
            (
                stats.queued_bytes + stats.inflight_bytes,
                sums.queued_bytes,
                sessions,
                0,
            ),
            (stats.filter_bytes, sums.filter_bytes, sessions, CLAIMS),
            (stats.will_bytes, sums.will_bytes, sessions, 0),
            (stats.name_bytes, sums.name_bytes, sessions + conns, 0),
            (stats.alias_bytes, sums.alias_bytes, conns, 0),
        ] {
            let most = limit + holders * ALLOWANCE + more;
            assert!(sum as usize <= most, "{sum} > {most}: {stats:?}");
        }
    }

    /// Whatever came with an identifier is answered somehow.
    fn acknowledge(&mut self, conn: ConnId) {
        for got in self.desk.take_all(conn) {
            let (kind, id) = match got {
                Got::Publish(message) if message.qos == Q1 => (PacketType::PubAck, message.id),
                Got::Publish(message) if message.qos == Q2 => (PacketType::PubRec, message.id),
                Got::Ack(PacketType::PubRel, id, _) => (PacketType::PubComp, id),
                Got::Ack(PacketType::PubRec, id, _) => (PacketType::PubRel, id),
                _ => continue,
            };
            let refused = kind == PacketType::PubRec && self.seeded.one_in(4);
            let reason = match refused {
                true => ReasonCode::UNSPECIFIED_ERROR,
                false => ReasonCode::SUCCESS,
            };
            if self.desk.is_open(conn) {
                self.desk.ack_with(conn, kind, id, reason);
            }
        }
    }
}

#[test]
fn the_sums_are_exact_whatever_happens_and_zero_when_all_are_gone() {
    let mut met = crate::broker::Stats::default();
    for seed in 0..40 {
        let mut crowd = Crowd::new(seed);
        for _ in 0..400 {
            crowd.step();
            check_sums(&crowd.desk.shard);
            crowd.check_bounds();
        }
        met.add(crowd.desk.stats());
        for client in &crowd.clients {
            if let Some((conn, _)) = client.filter(|(conn, _)| crowd.desk.is_open(*conn)) {
                crowd.desk.cut(conn);
            }
        }
        crowd.desk.wait(200_000);
        let left: Vec<String> = (crowd.desk.shard.clients(0, 1000).clients.iter())
            .map(|client| client.client_id.clone().into())
            .collect();
        // Before MQTT 5.0 a session has no end of its own: it is ended by a clean one.
        crowd.desk.admission = Some(Admission::Accept);
        for name in left {
            let conn = crowd.desk.client(V3_1_1, &name);
            crowd.desk.cut(conn);
        }
        all_zero(&crowd.desk.shard);
    }
    // And every limit was met.
    let unmet: Vec<&str> = (met.over_limit.by_reason())
        .filter(|(reason, count)| *count == 0 && !["sessions", "subscriptions"].contains(reason))
        .map(|(reason, _)| reason)
        .collect();
    assert!(unmet.is_empty(), "{unmet:?}");
    assert!(
        met.dropped.queue_share > 0 && met.publishes_refused.quota > 0,
        "{met:?}"
    );
}
