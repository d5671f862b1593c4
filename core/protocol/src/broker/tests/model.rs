//! Many clients at random against a model that knows nothing of tables, windows and buffers.

use super::desk::*;
use crate::broker::ConnId;
use crate::codec::{PacketType, QoS};
use crate::reason::ReasonCode;
use crate::seeded::Seeded;
use crate::topic::{TopicFilter, TopicName};
use crate::version::ProtocolVersion;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const CLIENTS: usize = 6;

/// A client and what it ought to get.
struct Client {
    name: String,
    version: ProtocolVersion,
    durable: bool,
    conn: Option<ConnId>,
    stuck: bool,
    has_session: bool,
    filters: BTreeMap<String, QoS>,
    /// Messages with QoS 1 and 2 not seen yet, in order; and those with QoS 0.
    due: VecDeque<u32>,
    due_qos_0: VecDeque<u32>,
    /// Received and not acknowledged: QoS 1 and 2 identifiers and messages.
    open: Vec<(QoS, u16, u32)>,
    /// QoS 2 identifiers whose PUBREL has not come, and those whose PUBCOMP is owed.
    held: BTreeSet<u16>,
    released: Vec<u16>,
    /// QoS 1 messages seen, which may come again.
    seen: BTreeSet<u32>,
}

struct World {
    desk: Desk,
    clients: Vec<Client>,
    seeded: Seeded,
    published: u32,
    copies: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let client = |n: usize| Client {
            name: format!("client {n}"),
            version: [V3_1, V3_1_1, V5_0][n % 3],
            durable: n.is_multiple_of(2),
            conn: None,
            stuck: false,
            has_session: false,
            filters: BTreeMap::new(),
            due: VecDeque::new(),
            due_qos_0: VecDeque::new(),
            open: Vec::new(),
            held: BTreeSet::new(),
            released: Vec::new(),
            seen: BTreeSet::new(),
        };
        Self {
            desk: Desk::with(|limits| (limits.inflight, limits.outbound_bytes) = (3, 150)),
            clients: (0..CLIENTS).map(client).collect(),
            seeded: Seeded::new(seed),
            published: 0,
            copies: 0,
        }
    }

    fn step(&mut self) {
        let n = self.seeded.below(CLIENTS);
        let Some(conn) = self.clients[n].conn else {
            if self.seeded.one_in(3) {
                self.connect(n);
            }
            return;
        };
        match self.seeded.below(20) {
            0..=8 => self.publish(conn),
            9..=10 => self.subscribe(n, conn),
            11 => self.unsubscribe(n, conn),
            12 => {
                self.clients[n].stuck ^= true;
                self.desk.stick(conn, self.clients[n].stuck);
            }
            13 if self.seeded.one_in(2) => self.cut(n, conn),
            _ => self.acknowledge(n, conn),
        }
        self.read_all();
        self.desk.check_books();
    }

    fn connect(&mut self, n: usize) {
        let client = &mut self.clients[n];
        let conn = if client.durable {
            let (conn, present) = self.desk.durable(client.version, &client.name);
            assert_eq!(present, client.has_session && client.version != V3_1);
            conn
        } else {
            self.desk.client(client.version, &client.name)
        };
        (client.conn, client.has_session, client.stuck) = (Some(conn), true, false);
        self.read_all();
    }

    fn cut(&mut self, n: usize, conn: ConnId) {
        let client = &mut self.clients[n];
        if self.seeded.one_in(2) {
            self.desk.cut(conn);
        } else {
            self.desk.disconnect(conn, ReasonCode::NORMAL_DISCONNECTION);
        }
        // What was written and not read is lost with the line; the rest comes again.
        client.conn = None;
        client.due_qos_0.clear();
        client.open.clear();
        client.released.clear();
        if !client.durable {
            client.has_session = false;
            client.filters.clear();
            client.due.clear();
            client.held.clear();
        }
    }

    fn publish(&mut self, conn: ConnId) {
        let topic = self.seeded.topic(3);
        let qos = [Q0, Q1, Q2][self.seeded.below(3)];
        self.published += 1;
        let number = self.published;
        for client in &mut self.clients {
            let name = TopicName::assume(&topic);
            let matching = client
                .filters
                .iter()
                .filter(|(filter, _)| TopicFilter::assume(filter).matches(name));
            let Some(granted) = matching.map(|(_, qos)| *qos).max() else {
                continue;
            };
            self.copies += 1;
            match granted.min(qos) {
                Q0 if client.conn.is_some() => client.due_qos_0.push_back(number),
                Q0 => {}
                _ => client.due.push_back(number),
            }
        }
        let id = if qos == Q0 { 0 } else { 500 };
        self.desk
            .publish(conn, &topic, &number.to_string(), qos, id);
        if qos == Q2 {
            self.desk.ack(conn, PacketType::PubRel, 500);
        }
    }

    fn subscribe(&mut self, n: usize, conn: ConnId) {
        if self.clients[n].stuck {
            return;
        }
        let filter = self.seeded.filter(3);
        let qos = [Q0, Q1, Q2][self.seeded.below(3)];
        assert_eq!(self.desk.subscribe(conn, &filter, qos), qos as u8);
        self.clients[n].filters.insert(filter, qos);
    }

    fn unsubscribe(&mut self, n: usize, conn: ConnId) {
        let known: Vec<_> = self.clients[n].filters.keys().cloned().collect();
        if known.is_empty() || self.clients[n].stuck {
            return;
        }
        let filter = &known[self.seeded.below(known.len())];
        self.desk.unsubscribe(conn, &[filter]);
        self.clients[n].filters.remove(filter);
    }

    /// Answers one message or PUBREL, in any order.
    fn acknowledge(&mut self, n: usize, conn: ConnId) {
        let client = &mut self.clients[n];
        if self.seeded.one_in(2)
            && let Some(id) = client.released.pop()
        {
            self.desk.ack(conn, PacketType::PubComp, id);
        } else if !client.open.is_empty() {
            let at = self.seeded.below(client.open.len());
            let (qos, id, _) = client.open.remove(at);
            let kind = if qos == Q1 {
                PacketType::PubAck
            } else {
                PacketType::PubRec
            };
            self.desk.ack(conn, kind, id);
        }
    }

    /// Each client takes what it got and compares it with what it is due.
    fn read_all(&mut self) {
        for client in &mut self.clients {
            let Some(conn) = client.conn else {
                continue;
            };
            for got in self.desk.take_all(conn) {
                match got {
                    Got::Publish(message) => client.take(&message),
                    Got::Ack(PacketType::PubRel, id, ReasonCode::SUCCESS) => {
                        client.held.remove(&id);
                        client.open.retain(|(_, open, _)| *open != id);
                        client.released.push(id);
                    }
                    // Answers to what it published itself.
                    Got::Ack(_, 500, _) => {}
                    other => panic!("{}: {other:?}", client.name),
                }
            }
            if !client.stuck {
                assert!(client.due_qos_0.is_empty(), "{}", client.name);
            }
        }
    }

    /// Lets all finish, and looks whether anything is left.
    fn finish(mut self) {
        for n in 0..CLIENTS {
            match self.clients[n].conn {
                None => self.connect(n),
                Some(conn) => self.desk.stick(conn, false),
            }
            self.clients[n].stuck = false;
        }
        for _ in 0..20_000 {
            self.read_all();
            for n in 0..CLIENTS {
                let conn = self.clients[n].conn.unwrap();
                self.acknowledge(n, conn);
            }
        }
        self.read_all();
        let filters: usize = self.clients.iter().map(|client| client.filters.len()).sum();
        for client in &self.clients {
            assert!(
                client.due.is_empty(),
                "{} misses {:?}",
                client.name,
                client.due
            );
            assert!(client.open.is_empty() && client.held.is_empty());
        }
        let stats = self.desk.stats();
        assert_eq!((stats.matched, stats.queued), (self.copies, 0));
        assert_eq!(
            (stats.subscriptions, stats.queued_bytes),
            (filters as u64, 0)
        );
        assert_eq!(self.desk.shard.subscriptions(), filters);
        assert_eq!(
            stats.received.iter().sum::<u64>(),
            u64::from(self.published)
        );
        assert_eq!(
            stats.dropped.total(),
            stats.dropped.offline + stats.dropped.session_ended
        );
        self.desk.check_books();
    }
}

impl Client {
    fn take(&mut self, message: &Delivered) {
        let number: u32 = message.text().parse().unwrap();
        if message.qos == Q0 {
            assert_eq!(self.due_qos_0.pop_front(), Some(number), "{}", self.name);
            return;
        }
        assert!(
            !self.open.iter().any(|(_, id, _)| *id == message.id),
            "an identifier in use"
        );
        self.open.push((message.qos, message.id, number));
        let again = match message.qos {
            Q1 => !self.seen.insert(number),
            _ => !self.held.insert(message.id),
        };
        if again {
            assert!(message.dup, "{}: {number} came twice", self.name);
        } else {
            // First come in the order they were published.
            assert_eq!(self.due.pop_front(), Some(number), "{}", self.name);
        }
    }
}

// [MQTT-4.6.0-5] [MQTT-4.6.0-6] [MQTT-2.2.1-4] in MQTT 3.1.1 [MQTT-4.6.0-6] [MQTT-2.3.1-4]
#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_happens() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        world.finish();
    }
}
