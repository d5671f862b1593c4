//! A subscriber with a session that outlives its connections: now there, now away, and always honest
//! in what it acknowledges.

use std::collections::BTreeSet;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use ternmq_test_broker_wire::Line;

use crate::chance::Chance;
use crate::notes::{Got, Stream};
use crate::wire::{Stage, Wire};

/// What a subscriber is like.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Its client identifier.
    pub(crate) name: String,
    /// Under which name it notes what comes: members of a group have one.
    pub(crate) notes_as: String,
    pub(crate) level: u8,
    /// Filters with their QoS.
    pub(crate) filters: Vec<(String, u8)>,
    /// It comes in behind the mount point.
    pub(crate) tenant: bool,
    /// Stands before the topics of publishers.
    pub(crate) prefix: &'static str,
    /// Its session ends with its connection, or at the latest when the next one begins.
    pub(crate) fleeting: bool,
    /// It stays for so many packets at most, and away for as long as the others get as many times ten.
    pub(crate) stays: u64,
}

pub(crate) struct Subscriber<'a> {
    stage: &'a Stage,
    habits: Habits,
    known: bool,
    subscribed: bool,
    /// QoS 2 messages whose PUBREL is awaited: what a client keeps for its session.
    received: BTreeSet<u16>,
    chance: Chance,
    /// Told once its subscriptions are there.
    ready: Option<SyncSender<()>>,
}

impl<'a> Subscriber<'a> {
    pub(crate) fn new(stage: &'a Stage, habits: Habits, seed: u64, ready: SyncSender<()>) -> Self {
        Self {
            stage,
            habits,
            known: false,
            subscribed: false,
            received: BTreeSet::new(),
            chance: Chance::new(seed),
            ready: Some(ready),
        }
    }

    /// Goes on until the run is over.
    pub(crate) fn run(mut self) {
        let (name, level) = (self.habits.name.clone(), self.habits.level);
        while !self.stage.is_over() {
            let fleeting = self.habits.fleeting;
            let expiry = match fleeting && self.chance.one_in(2) {
                true => 0,
                false => 3600,
            };
            let options = match level {
                5 => format!(
                    " session_expiry={expiry} receive_maximum={}",
                    1 + self.chance.below(40)
                ),
                _ => String::new(),
            };
            let clean = u8::from(fleeting);
            let connect =
                format!("CONNECT level={level} clean_start={clean} client_id={name}{options}");
            let tenant = self.habits.tenant;
            let Some((present, wire)) = self.stage.connect(tenant, level, &connect) else {
                return;
            };
            if self.known && present == fleeting {
                let what = if fleeting { "kept" } else { "lost" };
                self.stage
                    .complain(format!("{name} has {what} its session"));
            }
            self.known = true;
            if fleeting {
                (self.subscribed, self.received) = (false, BTreeSet::new());
            }
            self.connected(wire);
            if !self.stage.is_finishing() {
                let away = self.chance.below(self.habits.stays * 10);
                self.stage.wait_for_packets(away, Duration::from_secs(2));
            }
        }
    }

    fn connected(&mut self, mut wire: Wire<'_>) {
        if !self.subscribed && !wire.send(&self.subscribe()) {
            return;
        }
        let mut left = 1 + self.chance.below(self.habits.stays * 2);
        loop {
            let Some(packet) = wire.receive() else {
                return;
            };
            left = left.saturating_sub(1);
            if left == 0 && !self.stage.is_finishing() && self.subscribed {
                // In the middle of whatever it is: this packet was never seen.
                if self.habits.fleeting && self.chance.one_in(2) {
                    wire.send("DISCONNECT session_expiry=0");
                }
                return wire.cut();
            }
            if !self.handle(&packet, &mut wire) {
                return;
            }
        }
    }

    fn subscribe(&self) -> String {
        let mut line = "SUBSCRIBE id=1".to_owned();
        for (filter, qos) in &self.habits.filters {
            line += &format!(" filter={filter} options={qos}");
        }
        line
    }

    /// False when the connection is over.
    fn handle(&mut self, packet: &Line, wire: &mut Wire<'_>) -> bool {
        let id = packet.number("id", 0) as u16;
        match packet.word(0) {
            "SUBACK" => {
                self.subscribed = true;
                if let Some(ready) = self.ready.take() {
                    // Nobody waits any more when the run has failed.
                    let _ = ready.send(());
                }
                true
            }
            "PUBLISH" => self.take(packet, id, wire),
            "PUBREL" => {
                self.received.remove(&id);
                wire.send(&format!("PUBCOMP id={id}"))
            }
            _ => {
                let name = &self.habits.name;
                self.stage
                    .complain(format!("{name}: unexpected `{packet}`"));
                false
            }
        }
    }

    fn take(&mut self, packet: &Line, id: u16, wire: &mut Wire<'_>) -> bool {
        let qos = packet.number("qos", 0) as u8;
        let first = qos < 2 || self.received.insert(id);
        if first {
            let topic = packet.text("topic", "");
            match read(packet, self.habits.prefix, qos) {
                _ if topic == crate::later::TOPIC => {
                    let name = packet.text("payload", "");
                    let mut notes = self.stage.notes();
                    notes.came.entry(name).or_default().push(Instant::now());
                }
                Some(got) => {
                    let mut notes = self.stage.notes();
                    let all = notes.got.entry(self.habits.notes_as.clone());
                    all.or_default().push(got);
                }
                None => {
                    let name = &self.habits.name;
                    self.stage.complain(format!("{name}: strange `{packet}`"));
                }
            }
        }
        match qos {
            1 => wire.send(&format!("PUBACK id={id}")),
            2 => wire.send(&format!("PUBREC id={id}")),
            _ => true,
        }
    }
}

/// What a PUBLISH of a publisher says: `p/PUBLISHER/QOS` and a number.
fn read(packet: &Line, prefix: &str, qos: u8) -> Option<Got> {
    let topic = packet.text("topic", "");
    let topic = topic.strip_prefix(prefix)?;
    let mut levels = topic.strip_prefix("p/")?.split('/');
    let stream = Stream {
        publisher: levels.next()?.parse().ok()?,
        qos: levels.next()?.parse().ok()?,
    };
    Some(Got {
        stream,
        number: packet.text("payload", "").parse().ok()?,
        qos,
        dup: packet.number("dup", 0) == 1,
    })
}
