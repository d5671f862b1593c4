//! A publisher with QoS 1 and 2 that keeps its session over crashes, and sends again what was not
//! acknowledged [MQTT-4.4.0-1].

use std::collections::BTreeMap;

use ternmq_test_broker_wire::Line;

use crate::chance::Chance;
use crate::notes::Stream;
use crate::wire::{REFUSED, Stage, Wire};

/// A message on its way to the server.
#[derive(Clone, Copy, Debug)]
struct Sent {
    what: What,
    /// PUBREC came in.
    released: bool,
    /// The order of sending.
    order: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Numbered(Stream, u64),
    Retained(u64),
}

/// The publisher, whose state is what a client keeps for its session.
pub(crate) struct Publisher<'a> {
    stage: &'a Stage,
    number: u32,
    /// Behind a mount point.
    tenant: bool,
    level: u8,
    /// The server has confirmed a session.
    known: bool,
    window: usize,
    in_flight: BTreeMap<u16, Sent>,
    last_id: u16,
    order: u64,
    sent: BTreeMap<Stream, u64>,
    retained: u64,
    chance: Chance,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(stage: &'a Stage, number: u32, tenant: bool, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            stage,
            number,
            tenant,
            level: if number.is_multiple_of(2) { 5 } else { 4 },
            known: false,
            window: 1 + chance.below(30) as usize,
            in_flight: BTreeMap::new(),
            last_id: 0,
            order: 0,
            sent: BTreeMap::new(),
            retained: 0,
            chance,
        }
    }

    /// Streams that it is going to send.
    pub(crate) fn streams(number: u32) -> [Stream; 2] {
        [1, 2].map(|qos| Stream {
            publisher: number,
            qos,
        })
    }

    /// Publishes until the run is to finish and everything is acknowledged.
    pub(crate) fn run(mut self) {
        let expiry = if self.level == 5 {
            " session_expiry=3600"
        } else {
            ""
        };
        let connect = format!(
            "CONNECT level={} clean_start=0 client_id=publisher-{}{expiry}",
            self.level, self.number
        );
        loop {
            let Some((present, wire)) = self.stage.connect(self.tenant, self.level, &connect)
            else {
                break;
            };
            if self.known && !present {
                let number = self.number;
                self.stage
                    .complain(format!("publisher {number} has lost its session"));
            }
            self.known = true;
            if self.connected(wire) {
                break;
            }
        }
        let mut notes = self.stage.notes();
        for (stream, sent) in &self.sent {
            notes.sent.insert(*stream, *sent);
        }
        notes.retained.insert(self.number, (None, self.retained));
    }

    /// True when all is done, false when the connection is over.
    fn connected(&mut self, mut wire: Wire<'_>) -> bool {
        if !self.send_again(&mut wire) {
            return false;
        }
        loop {
            while self.in_flight.len() < self.window && !self.stage.is_finishing() {
                if !self.send_next(&mut wire) {
                    return false;
                }
            }
            if self.in_flight.is_empty() {
                return true;
            }
            if self.chance.one_in(2_000) {
                wire.cut();
                return false;
            }
            let Some(packet) = wire.receive() else {
                return false;
            };
            if !self.handle(&packet, &mut wire) {
                return false;
            }
        }
    }

    fn send_again(&mut self, wire: &mut Wire<'_>) -> bool {
        let mut again: Vec<_> = self
            .in_flight
            .iter()
            .map(|(id, sent)| (*id, *sent))
            .collect();
        again.sort_by_key(|(_, sent)| sent.order);
        again.into_iter().all(|(id, sent)| match sent.released {
            true => wire.send(&format!("PUBREL id={id}")),
            false => wire.send(&self.publish(id, sent.what, true)),
        })
    }

    fn send_next(&mut self, wire: &mut Wire<'_>) -> bool {
        let what = if self.chance.one_in(10) {
            self.retained += 1;
            What::Retained(self.retained)
        } else {
            let stream = Self::streams(self.number)[self.chance.below(2) as usize];
            let number = self.sent.entry(stream).or_default();
            *number += 1;
            What::Numbered(stream, *number)
        };
        let id = self.free_id();
        self.order += 1;
        let sent = Sent {
            what,
            released: false,
            order: self.order,
        };
        self.in_flight.insert(id, sent);
        wire.send(&self.publish(id, what, false))
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    fn publish(&self, id: u16, what: What, dup: bool) -> String {
        let dup = u8::from(dup);
        let publisher = self.number;
        match what {
            What::Numbered(Stream { qos, .. }, number) => format!(
                "PUBLISH topic=p/{publisher}/{qos} qos={qos} dup={dup} id={id} payload={number}"
            ),
            What::Retained(number) => format!(
                "PUBLISH topic=s/{publisher} qos=1 retain=1 dup={dup} id={id} payload={number}"
            ),
        }
    }

    /// Something was not taken, and is sent again on the next connection; who knows what was behind it.
    fn is_refused(&mut self) {
        let mut notes = self.stage.notes();
        for sent in self.in_flight.values() {
            if let What::Numbered(stream, number) = sent.what {
                notes.refused.entry(stream).or_default().insert(number);
            }
        }
        // One that is retained must not take the place of a later one.
        let last = self.retained;
        self.in_flight
            .retain(|_, sent| !matches!(sent.what, What::Retained(number) if number < last));
    }

    /// False when the server has said something that it must not say.
    fn handle(&mut self, packet: &Line, wire: &mut Wire<'_>) -> bool {
        let (kind, id) = (packet.word(0), packet.number("id", 0) as u16);
        let reason = packet.number("reason", 0);
        if reason == REFUSED {
            self.is_refused();
            return false;
        }
        // PUBCOMP may say that the identifier is not found: it was released before a crash.
        if !matches!((kind, reason), (_, 0 | 0x10) | ("PUBCOMP", 0x92)) {
            self.stage
                .complain(format!("publisher {}: `{packet}`", self.number));
            return false;
        }
        match (kind, self.in_flight.get_mut(&id)) {
            ("PUBREC", Some(sent)) => {
                sent.released = true;
                return wire.send(&format!("PUBREL id={id}"));
            }
            ("PUBACK" | "PUBCOMP", Some(sent)) => {
                if let What::Numbered(stream, number) = sent.what {
                    let mut notes = self.stage.notes();
                    notes.acknowledged.entry(stream).or_default().insert(number);
                }
                self.in_flight.remove(&id);
            }
            _ => {
                self.stage
                    .complain(format!("publisher {}: unexpected `{packet}`", self.number));
                return false;
            }
        }
        true
    }
}
