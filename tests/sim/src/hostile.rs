//! Clients that keep to no rule. What they publish is below `$evil`, where nobody else subscribes, so
//! that the models need not know of it: whatever they do, the others must not notice.

use ternmq_protocol::codec::{FrameBuffer, Packet};
use ternmq_protocol::{ProtocolVersion, Time};

use crate::random::Random;
use crate::tap::read_packets;
use crate::world::{End, Link, World};

/// What one of them is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Bytes that are no packets, or good packets with some of them changed.
    Garbage,
    /// Goes away in the middle of a packet, at any byte.
    Cut,
    /// Subscribes to everything and reads nothing.
    SlowReader,
    /// More subscriptions than the limit allows.
    Bomb,
    /// Topic aliases beyond the maximum, and unknown ones.
    Aliases,
    /// QoS 2 messages, one after the other, none of which is ever released.
    Unreleased,
    /// Acknowledgements that nobody waits for.
    Acknowledgements,
}

const HABITS: [Habit; 7] = [
    Habit::Garbage,
    Habit::Cut,
    Habit::SlowReader,
    Habit::Bomb,
    Habit::Aliases,
    Habit::Unreleased,
    Habit::Acknowledgements,
];

/// A hostile client.
#[derive(Debug)]
pub(crate) struct Hostile {
    habit: Habit,
    v5: bool,
    link: Option<usize>,
    /// What it has sent, cut into packets.
    sent: FrameBuffer,
    pub(crate) acts_at: Time,
}

impl Hostile {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            habit: random.pick(&HABITS),
            v5: random.one_in(2),
            link: None,
            sent: FrameBuffer::default(),
            acts_at: Time(random.between(0, 500)),
        }
    }
}

impl Hostile {
    /// Whether a message in these bytes could be for somebody: chance writes topics too.
    fn reaches_others(&mut self, bytes: &[u8], version: ProtocolVersion) -> bool {
        let mut reaches = false;
        // Behind what is no packet nothing is read; what stands before it counts.
        let _ = read_packets(&mut self.sent, bytes, version, |packet, _| {
            if let Packet::Publish(publish) = packet {
                let topic = publish.topic;
                reaches |= !topic.is_empty() && !topic.starts_with("$evil/");
            }
            Ok(())
        });
        reaches
    }
}

impl World {
    /// A hostile client does its next thing.
    pub(crate) fn act_hostile(&mut self, number: usize) {
        let pause = self.random.between(1, 10 * self.plan.pause_ms);
        let hostile = &mut self.hostiles[number];
        hostile.acts_at = self.now.after(pause);
        let (habit, v5) = (hostile.habit, hostile.v5);
        let Some(link) = hostile.link else {
            return self.connect_hostile(number);
        };
        if self.links[link].server == End::Closed || self.random.one_in(8) {
            return self.end_hostile(number);
        }
        if habit != Habit::SlowReader {
            let now = self.now;
            self.links[link].down.read(now, usize::MAX);
        }
        let mut bytes = evil(habit, v5, &mut self.random);
        if habit == Habit::Garbage {
            for _ in 0..1 + self.random.below(4) {
                let at = self.random.below(bytes.len());
                bytes[at] = self.random.next() as u8;
            }
        }
        if habit == Habit::Cut {
            bytes.truncate(self.random.below(bytes.len()));
        }
        self.send_hostile(link, &bytes);
        if habit == Habit::Cut {
            self.end_hostile(number);
        }
    }

    fn connect_hostile(&mut self, number: usize) {
        let arrives = self.later();
        let at = self.links.len();
        let Hostile { v5, habit, .. } = self.hostiles[number];
        let version = match v5 {
            true => ProtocolVersion::V5_0,
            false => ProtocolVersion::V3_1_1,
        };
        let mut link = Link::new(number, version, self.now, arrives, self.plan.pipe);
        link.hostile = true;
        self.links.push(link);
        self.live.push(at);
        self.hostiles[number].link = Some(at);
        self.hostiles[number].sent = FrameBuffer::default();
        self.note(format_args!(
            "hostile {number} connects by link {at}, {habit:?}"
        ));
        if habit == Habit::Garbage && self.random.one_in(3) {
            let noise: Vec<u8> = (0..20).map(|_| self.random.next() as u8).collect();
            return self.send_hostile(at, &noise);
        }
        let mut bytes = connect(number, v5);
        if habit == Habit::SlowReader {
            bytes.extend(subscribe(1, &["#".into(), "+/+".into()], v5));
        }
        self.send_hostile(at, &bytes);
    }

    fn send_hostile(&mut self, link: usize, bytes: &[u8]) {
        let arrives = self.later();
        let number = self.links[link].peer;
        if self.hostiles[number].reaches_others(bytes, self.links[link].version) {
            return self.end_hostile(number);
        }
        self.note(format_args!(
            "hostile: {} bytes on link {link}",
            bytes.len()
        ));
        self.links[link].up.send(arrives, bytes);
    }

    /// A hostile client goes away, without a word.
    pub(crate) fn end_hostile(&mut self, number: usize) {
        let Some(link) = self.hostiles[number].link.take() else {
            return;
        };
        let arrives = self.later();
        let link = &mut self.links[link];
        link.client_open = false;
        link.up.end(arrives);
        link.down.die(0);
        if matches!(link.server, End::Arriving(_)) {
            link.server = End::Closed;
        }
    }
}

/// What a habit sends once it is let in.
fn evil(habit: Habit, v5: bool, random: &mut Random) -> Vec<u8> {
    match habit {
        Habit::Garbage | Habit::Cut | Habit::SlowReader => {
            let mut bytes = publish(0, random.below(5) as u16, None, v5);
            bytes.extend(subscribe(9, &["$evil/+".into(), "$evil/a/#".into()], v5));
            bytes.extend(publish(2, 1 + random.below(5) as u16, None, v5));
            bytes.extend([0xC0, 0]);
            bytes
        }
        Habit::Bomb => {
            let first = random.below(2_000);
            let filters: Vec<String> = (first..first + 300).map(|n| format!("$evil/{n}")).collect();
            subscribe(7, &filters, v5)
        }
        Habit::Aliases => publish(0, 0, Some(random.pick(&[0, 1, 2, 5, 65_535])), true),
        Habit::Unreleased => (0..50)
            .flat_map(|_| publish(2, 1 + random.below(2_000) as u16, None, v5))
            .collect(),
        Habit::Acknowledgements => {
            let first = random.pick(&[0x40, 0x50, 0x62, 0x70]);
            packet(first, &(random.below(9) as u16).to_be_bytes())
        }
    }
}

fn connect(number: usize, v5: bool) -> Vec<u8> {
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([if v5 { 5 } else { 4 }, 2, 0, 5]);
    body.extend(v5.then_some(0));
    body.extend(text(&format!("hostile {number}")));
    packet(0x10, &body)
}

fn subscribe(id: u16, filters: &[String], v5: bool) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(v5.then_some(0));
    for filter in filters {
        body.extend(text(filter));
        body.push(1);
    }
    packet(0x82, &body)
}

fn publish(qos: u8, id: u16, alias: Option<u16>, v5: bool) -> Vec<u8> {
    let mut body = match alias {
        Some(alias) if alias % 2 == 0 => text(""),
        _ => text("$evil/a"),
    };
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    match alias {
        Some(alias) => {
            body.extend([3, 0x23]);
            body.extend(alias.to_be_bytes());
        }
        None => body.extend(v5.then_some(0)),
    }
    body.extend(b"evil");
    packet(0x30 | qos << 1, &body)
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let more = u8::from(left > 0x7F) << 7;
        bytes.push((left & 0x7F) as u8 | more);
        left >>= 7;
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}
