//! Clients of the model: what they remember over cuts and crashes of the server, and what must not happen
//! to them.

use super::hall::Hall;
use crate::broker::tests::desk::*;
use crate::codec::{PacketType, QoS};
use crate::reason::ReasonCode;
use crate::topic::{TopicFilter, TopicName};
use crate::version::ProtocolVersion;
use std::collections::{BTreeMap, BTreeSet};

/// What became of a message, as its publisher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Acknowledged,
    Refused,
}

#[derive(Debug)]
pub(super) struct Published {
    pub(super) publisher: usize,
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) fate: Fate,
    /// Sent more than once, so that it may be two messages.
    pub(super) again: bool,
    /// The server has ended its connection while it was open: others may come before it.
    pub(super) set_back: bool,
    /// How many messages there were when its publisher heard that it is acknowledged.
    acknowledged: usize,
}

/// Somebody who publishes.
pub(super) struct Publisher {
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) version: ProtocolVersion,
    pub(super) durable: bool,
    pub(super) conn: Option<u32>,
    pub(super) connected: bool,
    known: bool,
    next_id: u16,
    /// In the order of sending: identifier, number, and whether PUBREL is out.
    open: Vec<(u16, usize, bool)>,
}

impl Publisher {
    pub(super) fn new(at: usize) -> Self {
        Self {
            at,
            name: format!("publisher {at}"),
            version: [V5_0, V3_1_1][at % 2],
            durable: at < 2,
            conn: None,
            connected: false,
            known: false,
            next_id: 0,
            open: Vec::new(),
        }
    }

    pub(super) fn connect(&mut self, hall: &mut Hall) {
        let (clean, expiry) = (!self.durable, if self.durable { 100_000 } else { 0 });
        self.conn = Some(hall.connect(self.version, &self.name, clean, expiry));
        self.connected = false;
    }

    /// Whether it knows how all its messages ended.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Its connection is gone. `set_back`: what is open may come behind what was published later.
    pub(super) fn lose(&mut self, all: &mut [Published], set_back: bool) {
        self.conn = None;
        self.connected = false;
        for (_, number, _) in &self.open {
            all[*number].set_back |= set_back;
        }
        if !self.durable {
            self.open.clear();
        }
    }

    pub(super) fn publish(
        &mut self,
        hall: &mut Hall,
        all: &mut Vec<Published>,
        topic: &str,
        qos: QoS,
    ) {
        let Some(conn) = self.conn.filter(|_| self.connected && self.open.len() < 6) else {
            return;
        };
        loop {
            self.next_id = self.next_id % 20 + 1;
            if self.open.iter().all(|(id, ..)| *id != self.next_id) {
                break;
            }
        }
        let number = all.len();
        all.push(Published {
            publisher: self.at,
            topic: topic.into(),
            qos,
            fate: Fate::Open,
            again: false,
            set_back: false,
            acknowledged: usize::MAX,
        });
        self.open.push((self.next_id, number, false));
        hall.publish(conn, topic, &number.to_string(), qos, self.next_id);
    }

    pub(super) fn read(&mut self, hall: &mut Hall, all: &mut [Published]) {
        let Some(conn) = self.conn else {
            return;
        };
        for got in hall.take_all(conn) {
            match got {
                Got::ConnAck {
                    reason, present, ..
                } if reason == ReasonCode::SUCCESS => {
                    assert!(present || !(self.known && self.durable), "{}", self.name);
                    self.known = true;
                    self.connected = true;
                    self.go_on(hall, all);
                }
                Got::ConnAck { .. } | Got::Disconnect(_) => {}
                Got::Ack(kind, id, reason) => self.answered(hall, all, kind, id, reason),
                other => panic!("{}: {other:?}", self.name),
            }
        }
        if !hall.is_open(conn) {
            hall.cut(conn);
            self.lose(all, true);
        }
    }

    /// Sends again what is open [MQTT-4.4.0-1].
    fn go_on(&mut self, hall: &mut Hall, all: &mut [Published]) {
        let conn = self.conn.unwrap();
        for (id, number, released) in self.open.clone() {
            if released {
                hall.ack(conn, PacketType::PubRel, id);
                continue;
            }
            let known = &mut all[number];
            known.again = true;
            let topic = known.topic.clone();
            let mut publish = crate::codec::Publish::new(&topic, b"");
            let text = number.to_string();
            publish.payload = text.as_bytes();
            (publish.qos, publish.packet_id, publish.dup) = (known.qos, id, true);
            hall.send(conn, crate::codec::Packet::Publish(publish));
        }
    }

    fn answered(
        &mut self,
        hall: &mut Hall,
        all: &mut [Published],
        kind: PacketType,
        id: u16,
        reason: ReasonCode,
    ) {
        let Some(place) = self.open.iter().position(|(open, ..)| *open == id) else {
            panic!("{}: {kind:?} of {id} which is not open", self.name);
        };
        let (_, number, _) = self.open[place];
        let count = all.len();
        let known = &mut all[number];
        if !reason.is_error() && kind != PacketType::PubComp {
            known.acknowledged = known.acknowledged.min(count);
        }
        match kind {
            PacketType::PubAck | PacketType::PubRec if reason.is_error() => {
                // One that was sent before may have been taken then.
                if !known.again {
                    known.fate = Fate::Refused;
                }
                self.open.remove(place);
            }
            PacketType::PubAck => {
                known.fate = Fate::Acknowledged;
                self.open.remove(place);
            }
            PacketType::PubRec => {
                known.fate = Fate::Acknowledged;
                self.open[place].2 = true;
                let conn = self.conn.unwrap();
                hall.ack(conn, PacketType::PubRel, id);
            }
            PacketType::PubComp => {
                self.open.remove(place);
            }
            _ => panic!("{kind:?}"),
        }
    }
}

/// Somebody who subscribes, with a session that the server keeps.
pub(super) struct Subscriber {
    pub(super) name: String,
    pub(super) version: ProtocolVersion,
    pub(super) conn: Option<u32>,
    pub(super) connected: bool,
    known: bool,
    /// What it asks for first, and is to have until the end.
    base: Vec<(String, QoS)>,
    /// Filters of which it knows that it has them with more than QoS 0, and the first message that was
    /// published then.
    pub(super) sure: BTreeMap<String, usize>,
    /// How many messages there were when it first asked for a filter with more than QoS 0.
    wanted: BTreeMap<String, usize>,
    /// The SUBSCRIBE that is on its way.
    asked: Option<(String, QoS)>,
    /// Filters that it has with QoS 0.
    loose: BTreeSet<String>,
    leaving: Option<String>,
    held: BTreeSet<u16>,
    /// What it is going to answer.
    owes: Vec<(PacketType, u16)>,
    /// How often it has got each message: at all, and with QoS 2 for the first time.
    pub(super) seen: BTreeMap<usize, (u32, u32)>,
    /// The last message by publisher, topic, and the QoS of publish and delivery, within which order holds.
    order: BTreeMap<(usize, String, QoS, QoS), usize>,
    /// What has come since the last crash, not again.
    fresh: BTreeSet<usize>,
}

impl Subscriber {
    pub(super) fn new(name: String, version: ProtocolVersion, base: &[(&str, QoS)]) -> Self {
        Self {
            name,
            version,
            conn: None,
            connected: false,
            known: false,
            base: base.iter().map(|(f, q)| ((*f).into(), *q)).collect(),
            sure: BTreeMap::new(),
            wanted: BTreeMap::new(),
            asked: None,
            loose: BTreeSet::new(),
            leaving: None,
            held: BTreeSet::new(),
            owes: Vec::new(),
            seen: BTreeMap::new(),
            order: BTreeMap::new(),
            fresh: BTreeSet::new(),
        }
    }

    pub(super) fn connect(&mut self, hall: &mut Hall) {
        self.conn = Some(hall.connect(self.version, &self.name, false, 100_000));
        self.connected = false;
    }

    pub(super) fn lose(&mut self) {
        self.conn = None;
        self.connected = false;
        self.asked = None;
        self.leaving = None;
        self.owes.clear();
    }

    pub(super) fn crashed(&mut self) {
        self.lose();
        self.fresh.clear();
    }

    /// Asks for a filter that it is to have and does not know that it has.
    pub(super) fn ask(&mut self, hall: &mut Hall, published: usize) {
        let Some(conn) = self.conn.filter(|_| self.connected && self.asked.is_none()) else {
            return;
        };
        let wanted = self.base.iter().find(|(f, _)| !self.has(f));
        if let Some((filter, qos)) = wanted.cloned() {
            self.note_wanted(&filter, qos, published);
            self.asked = Some((filter.clone(), qos));
            hall.subscribe(conn, &filter, qos);
        }
    }

    /// Asks again for a filter that it has.
    pub(super) fn ask_again(&mut self, hall: &mut Hall) {
        let Some(conn) = self.conn.filter(|_| self.connected && self.asked.is_none()) else {
            return;
        };
        let known = self.base.iter().find(|(f, _)| self.has(f));
        if let Some((filter, qos)) = known.cloned() {
            self.asked = Some((filter.clone(), qos));
            hall.subscribe(conn, &filter, qos);
        }
    }

    /// Comes and goes with one more filter.
    pub(super) fn wander(&mut self, hall: &mut Hall, filter: &str, qos: QoS, published: usize) {
        let Some(conn) = self.conn.filter(|_| self.connected && self.asked.is_none()) else {
            return;
        };
        if self.leaving.is_some() || self.base.iter().any(|(known, _)| known == filter) {
            return;
        }
        if self.sure.remove(filter).is_some() || self.loose.remove(filter) {
            self.leaving = Some(filter.into());
            hall.unsubscribe(conn, filter);
        } else {
            self.note_wanted(filter, qos, published);
            self.asked = Some((filter.into(), qos));
            hall.subscribe(conn, filter, qos);
        }
    }

    fn note_wanted(&mut self, filter: &str, qos: QoS, published: usize) {
        if qos > Q0 {
            self.wanted.entry(filter.into()).or_insert(published);
        }
    }

    pub(super) fn read(&mut self, hall: &mut Hall, all: &[Published]) {
        let Some(conn) = self.conn else {
            return;
        };
        for got in hall.take_all(conn) {
            match got {
                Got::ConnAck {
                    reason, present, ..
                } if reason == ReasonCode::SUCCESS => {
                    assert!(present || !self.known, "{}: its session is gone", self.name);
                    self.known = true;
                    self.connected = true;
                }
                Got::ConnAck { .. } | Got::Disconnect(_) => {}
                Got::SubAck(_, codes) => {
                    assert!(codes[0] < 3);
                    let (filter, qos) = self.asked.take().expect("it has asked");
                    if qos == Q0 {
                        self.loose.insert(filter);
                    } else {
                        self.sure.entry(filter).or_insert(all.len());
                    }
                }
                Got::UnsubAck(..) => self.leaving = None,
                Got::Publish(message) => self.take(&message, all),
                Got::Ack(PacketType::PubRel, id, _) => {
                    self.held.remove(&id);
                    self.owes.retain(|(_, owed)| *owed != id);
                    self.owes.push((PacketType::PubComp, id));
                }
                other => panic!("{}: {other:?}", self.name),
            }
        }
        if !hall.is_open(conn) {
            hall.cut(conn);
            self.lose();
        }
    }

    fn take(&mut self, message: &Delivered, all: &[Published]) {
        let number: usize = message.text().parse().unwrap();
        let known = &all[number];
        assert_eq!(known.topic, message.topic);
        assert!(known.fate != Fate::Refused, "{number} was refused");
        assert!(message.qos <= known.qos);
        if message.qos == Q0 {
            return;
        }
        // What a member of a group gives back comes later to another one, which may have had it.
        let alone = !self.base[0].0.starts_with('$');
        let twice = !message.dup && !self.fresh.insert(number);
        let late = alone && !known.again && !self.was_wanted(known);
        assert!(!late, "{}: {number} is from before it asked", self.name);
        let doubled = twice && alone && !known.again;
        assert!(!doubled, "{}: {number} came twice", self.name);
        let seen = self.seen.entry(number).or_default();
        if message.qos == Q2 {
            self.owes.push((PacketType::PubRec, message.id));
            if !self.held.insert(message.id) {
                assert!(message.dup);
                return;
            }
            seen.1 += 1;
            assert_eq!(seen.1, 1, "{}: {number} came twice with QoS 2", self.name);
        } else {
            self.owes.push((PacketType::PubAck, message.id));
        }
        seen.0 += 1;
        let first = seen.0 == 1;
        // One from before it had the subscription may come when its publisher sends it again.
        if first && !known.set_back && alone && self.is_due(number, known) {
            let of = (known.publisher, known.topic.clone(), known.qos, message.qos);
            let before = self.order.insert(of, number);
            let in_order = before.is_none_or(|before| before < number);
            assert!(in_order, "{}: {before:?} before {number}", self.name);
        }
    }

    /// Answers one of what it has got, in whatever order; the oldest of each QoS mostly.
    pub(super) fn answer(&mut self, hall: &mut Hall, at: usize) {
        let Some(conn) = self
            .conn
            .filter(|_| self.connected && !self.owes.is_empty())
        else {
            return;
        };
        if !hall.is_open(conn) {
            return;
        }
        let (kind, id) = self.owes.remove(at % self.owes.len());
        hall.ack(conn, kind, id);
    }

    pub(super) fn is_idle(&self) -> bool {
        let asked = self.base.iter().any(|(f, _)| !self.has(f));
        self.connected && self.owes.is_empty() && self.held.is_empty() && !asked
    }

    pub(super) fn has(&self, filter: &str) -> bool {
        self.sure.contains_key(filter) || self.loose.contains(filter)
    }

    /// Whether it had asked for a message before its publisher knew that the store had it.
    fn was_wanted(&self, message: &Published) -> bool {
        let name = TopicName::assume(&message.topic);
        self.wanted.iter().any(|(filter, since)| {
            message.acknowledged >= *since && TopicFilter::assume(filter).matches(name)
        })
    }

    /// Whether it is due a message for certain.
    pub(super) fn is_due(&self, number: usize, message: &Published) -> bool {
        let name = TopicName::assume(&message.topic);
        self.sure.iter().any(|(filter, since)| {
            let inner = filter.strip_prefix("$share/g/").unwrap_or(filter);
            number >= *since && TopicFilter::assume(inner).matches(name)
        })
    }
}
