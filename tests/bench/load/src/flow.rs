//! Publishers, subscribers, and the books of every message between them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::net::{Client, Net, State, Welcome};
use crate::options::{HEAD, Options, Scenario};
use crate::stamp::{Stamp, put_digits, scatter, topic};
use crate::track::{Arrival, Track};
use crate::wire;

/// Batches that one publisher writes before the sockets are looked at.
const BATCHES: usize = 8;

/// Which topic a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topics {
    /// One for each publisher.
    Own,
    /// A new one for each message.
    New,
    /// One of so many, as good as random.
    Scattered(u64),
}

/// Who publishes to whom. Publishers are the first connections, subscribers those after them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) tag: &'static str,
    pub(crate) topics: Topics,
    /// Subscriber n hears publisher n only.
    pub(crate) paired: bool,
    /// Whichever subscriber: each message comes once, in no order.
    pub(crate) anyone: bool,
    /// Sessions that outlive their connections.
    pub(crate) kept: bool,
}

#[derive(Debug, Default)]
struct Publisher {
    sent: u64,
    /// It ends when so many are sent.
    quota: u64,
    /// Sent when the phase began.
    base: u64,
    unacked: usize,
    /// Copies that have arrived, of all that it ever sent.
    delivered: u64,
    free: Vec<u16>,
    /// What each identifier waits for: the kind of an acknowledgement, or 0.
    waits: Vec<u8>,
    queued: bool,
}

/// Counts of one phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) duplicated: u64,
    pub(crate) late: u64,
    pub(crate) misrouted: u64,
    pub(crate) foreign: u64,
    pub(crate) rejected: u64,
    pub(crate) stalled: bool,
    pub(crate) seconds: f64,
}

pub(crate) struct Flow {
    options: Options,
    plan: Plan,
    publishers: Vec<Publisher>,
    tracks: Vec<Track>,
    /// QoS 2 identifiers between PUBLISH and PUBREL, a bit each, by subscriber.
    open: Vec<Vec<u64>>,
    /// Deliveries that each message is to cause; 0 when nobody listens.
    pub(crate) copies: u64,
    run: u32,
    /// `batch` packets that lack topic digits, identifier and stamp.
    template: Vec<u8>,
    packet: usize,
    digits: [usize; 2],
    id_at: usize,
    payload_at: usize,
    batch: u64,
    may_send: Vec<usize>,
    acks: Vec<u8>,
    subacks: usize,
    refused: usize,
    pongs: usize,
    pub(crate) present: usize,
    phase: u64,
    progress: u64,
    last: u64,
    pub(crate) counts: Counts,
    /// Nanoseconds; with a rate from when a message was due.
    pub(crate) latency: Histogram<u64>,
    /// With a rate: from when it was sent.
    pub(crate) since_send: Histogram<u64>,
}

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).map_err(|error| error.to_string())
}

impl Flow {
    pub(crate) fn new(options: &Options, plan: Plan) -> Result<Self, String> {
        let tracks = match plan.paired || plan.anyone {
            true => plan.publishers,
            false => plan.publishers * plan.subscribers,
        };
        let mut flow = Self {
            options: options.clone(),
            plan,
            publishers: (0..plan.publishers).map(|_| Publisher::default()).collect(),
            tracks: vec![Track::default(); tracks],
            open: vec![Vec::new(); plan.subscribers],
            copies: 0,
            run: run(),
            template: Vec::new(),
            packet: 0,
            digits: [0; 2],
            id_at: 0,
            payload_at: 0,
            batch: match options.window {
                0 => options.batch,
                window => options.batch.min(window),
            },
            may_send: Vec::new(),
            acks: Vec::new(),
            subacks: 0,
            refused: 0,
            pongs: 0,
            present: 0,
            phase: 0,
            progress: 0,
            last: 0,
            counts: Counts::default(),
            latency: histogram()?,
            since_send: histogram()?,
        };
        flow.make_template();
        Ok(flow)
    }

    fn flat(&self) -> bool {
        self.plan.topics == Topics::Own
    }

    pub(crate) fn topic(&self, id: u64) -> String {
        topic(&self.options.topic_prefix, self.plan.tag, self.flat(), id)
    }

    fn make_template(&mut self) {
        let (options, text) = (&self.options, self.topic(0));
        let id = if options.qos > 0 { 2 } else { 0 };
        let body = 2 + text.len() + id + usize::from(options.version == 5) + options.size;
        let retain = u8::from(options.scenario == Scenario::Retained);
        let mut packet = vec![wire::PUBLISH << 4 | options.qos << 1 | retain];
        wire::put_length(&mut packet, body);
        packet.extend((text.len() as u16).to_be_bytes());
        packet.extend(text.as_bytes());
        let end = packet.len();
        self.digits = if self.flat() {
            [end - 8, end - 4]
        } else {
            [end - 11, end - 6]
        };
        self.id_at = end;
        packet.resize(end + id, 0);
        if options.version == 5 {
            packet.push(0);
        }
        self.payload_at = packet.len();
        packet.extend((0..options.size).map(|n| b'a' + (n % 26) as u8));
        self.packet = packet.len();
        self.template = packet.repeat(self.batch as usize);
    }

    fn subscriber(&self, number: usize) -> Option<usize> {
        number.checked_sub(self.plan.publishers)
    }

    pub(crate) fn connections(&self) -> usize {
        self.plan.publishers + self.plan.subscribers
    }

    pub(crate) fn connect_publishers(&mut self, net: &mut Net) -> Result<(), String> {
        self.connect(net, 0..self.plan.publishers)
    }

    pub(crate) fn connect_subscribers(&mut self, net: &mut Net) -> Result<(), String> {
        self.connect(net, self.plan.publishers..self.connections())
    }

    fn connect(&mut self, net: &mut Net, numbers: std::ops::Range<usize>) -> Result<(), String> {
        let wanted = numbers.len();
        match net.open_all(numbers, self) {
            ready if ready == wanted => Ok(()),
            ready => Err(format!("{ready} of {wanted} could connect")),
        }
    }

    /// Subscriber n sends the n-th packet of filters, as many of each as there are, and waits for all.
    pub(crate) fn subscribe(
        &mut self,
        net: &mut Net,
        filters: &[Vec<String>],
    ) -> Result<(), String> {
        let (mut sent, mut seen) = (0, usize::MAX);
        let (base, mut progress) = (self.subacks, Instant::now());
        while self.subacks - base < filters.len() {
            // One packet of each subscriber is under way at a time.
            while sent < filters.len() && sent - (self.subacks - base) < self.plan.subscribers {
                let number = self.plan.publishers + sent % self.plan.subscribers;
                let id = (sent % 65_535) as u16 + 1;
                let packet = wire::subscribe(
                    self.options.protocol(),
                    id,
                    &filters[sent],
                    self.options.qos,
                )?;
                net.send(number, &packet);
                sent += 1;
            }
            net.poll(Duration::from_millis(50), self);
            if seen != self.subacks {
                (seen, progress) = (self.subacks, Instant::now());
            } else if progress.elapsed().as_secs_f64() > self.options.stall_timeout {
                return Err("SUBACKs are missing".to_owned());
            }
        }
        match self.refused {
            0 => Ok(()),
            refused => Err(format!(
                "{refused} subscriptions were refused or got another QoS"
            )),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.counts = Counts::default();
        self.latency.reset();
        self.since_send.reset();
    }

    /// Publishes so many, or as many as go within `seconds` if that is not 0, and waits for all
    /// acknowledgements and deliveries.
    pub(crate) fn publish(&mut self, net: &mut Net, count: u64, seconds: f64) {
        let publishers = self.plan.publishers as u64;
        self.phase = net.clock();
        self.progress = self.phase;
        for (number, publisher) in self.publishers.iter_mut().enumerate() {
            let number = number as u64;
            publisher.base = publisher.sent;
            publisher.quota =
                publisher.sent + count / publishers + u64::from(number < count % publishers);
        }
        (0..self.plan.publishers).for_each(|number| self.note(number));
        let mut open = true;
        loop {
            if open && seconds > 0.0 && (net.clock() - self.phase) as f64 > seconds * 1e9 {
                open = false;
                self.publishers
                    .iter_mut()
                    .for_each(|one| one.quota = one.sent);
            }
            self.pump(net);
            if self.is_done() || net.error.is_some() {
                break;
            }
            let pause = if self.options.rate > 0.0 {
                100_000
            } else {
                20_000_000
            };
            let pause = if self.may_send.is_empty() { pause } else { 0 };
            net.poll(Duration::from_nanos(pause), self);
            if self.options.rate > 0.0 {
                (0..self.plan.publishers).for_each(|number| self.note(number));
            }
            if self.has_stalled(net) {
                break;
            }
        }
        self.counts.expected = self.counts.sent * self.copies;
        self.counts.seconds = self.last.max(self.progress).saturating_sub(self.phase) as f64 / 1e9;
    }

    /// Waits for so many messages that come without being published now.
    pub(crate) fn receive(&mut self, net: &mut Net, expected: u64) {
        self.progress = net.clock();
        self.counts.expected = expected;
        while self.counts.received < expected && net.error.is_none() && !self.has_stalled(net) {
            net.poll(Duration::from_millis(20), self);
        }
    }

    /// A PINGRESP comes after the broker has handled all that was before it.
    pub(crate) fn barrier(&mut self, net: &mut Net) -> bool {
        let until = Instant::now() + Duration::from_secs_f64(self.options.stall_timeout);
        let wanted = self.pongs + self.plan.publishers;
        (0..self.plan.publishers).for_each(|number| net.send(number, &wire::PINGREQ));
        while self.pongs < wanted && Instant::now() < until {
            net.poll(Duration::from_millis(20), self);
        }
        self.pongs == wanted
    }

    pub(crate) fn leave(&mut self, net: &mut Net, numbers: std::ops::Range<usize>) {
        net.may_close = true;
        for number in numbers {
            net.leave(number);
            net.close(number);
        }
        net.may_close = false;
    }

    pub(crate) fn subscribers(&self) -> std::ops::Range<usize> {
        self.plan.publishers..self.connections()
    }

    pub(crate) fn is_correct(&self) -> bool {
        let counts = &self.counts;
        let wrong = counts.duplicated + counts.misrouted + counts.foreign + counts.rejected;
        let late = if self.plan.anyone { 0 } else { counts.late };
        wrong + late == 0 && counts.received == counts.expected && !counts.stalled
    }

    pub(crate) fn report(&self) -> Value {
        let counts = &self.counts;
        let rate = |number: u64| {
            if counts.seconds > 0.0 {
                number as f64 / counts.seconds
            } else {
                0.0
            }
        };
        json!({
            "sent": counts.sent,
            "acked": counts.acked,
            "rejected": counts.rejected,
            "expected": counts.expected,
            "received": counts.received,
            "lost": counts.expected.saturating_sub(counts.received),
            "duplicated": counts.duplicated,
            "out_of_order": if self.plan.anyone { 0 } else { counts.late },
            "misrouted": counts.misrouted,
            "foreign": counts.foreign,
            "stalled": counts.stalled,
            "wall_s": counts.seconds,
            "per_s": rate(counts.received),
            "received_per_s": rate(counts.received),
        })
    }

    fn is_done(&self) -> bool {
        self.publishers.iter().all(|one| {
            let copies = one.sent * self.copies;
            one.sent == one.quota
                && one.unacked == 0
                && (self.copies == 0 || one.delivered >= copies)
        })
    }

    fn has_stalled(&mut self, net: &Net) -> bool {
        let idle = net.clock().saturating_sub(self.progress) as f64;
        self.counts.stalled = idle > self.options.stall_timeout * 1e9;
        self.counts.stalled
    }

    fn note(&mut self, number: usize) {
        let publisher = &mut self.publishers[number];
        if !publisher.queued {
            publisher.queued = true;
            self.may_send.push(number);
        }
    }

    /// Lets those send that may be able to.
    fn pump(&mut self, net: &mut Net) {
        for number in std::mem::take(&mut self.may_send) {
            self.publishers[number].queued = false;
            for round in 0..=BATCHES {
                let room = self.room(net, number);
                if room == 0 {
                    break;
                }
                if round == BATCHES {
                    self.note(number);
                    break;
                }
                self.send(net, number, room);
            }
        }
    }

    /// How many messages go now. In closed loop only whole batches, so that the size of what the broker
    /// reads does not depend on its speed.
    fn room(&self, net: &Net, number: usize) -> u64 {
        let (options, one) = (&self.options, &self.publishers[number]);
        if net.conns[number].state != State::Ready || net.has_unsent(number) {
            return 0;
        }
        let mut left = one.quota - one.sent;
        let paced = options.rate > 0.0;
        if paced {
            let passed = (net.clock() - self.phase) as f64 / 1e9;
            let due = (passed * options.rate / self.plan.publishers as f64) as u64 + 1;
            left = left.min((one.base + due).saturating_sub(one.sent));
        }
        let mut room = left;
        if options.qos > 0 {
            room = room.min(one.free.len() as u64);
        }
        if options.window > 0 && self.copies > 0 {
            let missing = one.sent * self.copies - one.delivered.min(one.sent * self.copies);
            let free = (options.window * self.copies).saturating_sub(missing) / self.copies;
            room = room.min(free);
        }
        let batch = match options.qos {
            0 => self.batch,
            _ => self.batch.min(one.waits.len() as u64 - 1),
        };
        match paced || room >= batch.min(left) {
            true => room.min(batch),
            false => 0,
        }
    }

    fn send(&mut self, net: &mut Net, number: usize, count: u64) {
        let now = net.clock();
        let mut bytes = std::mem::take(&mut self.template);
        let base = if self.flat() { 10_000 } else { 1000 };
        for at in 0..count {
            let packet = &mut bytes[at as usize * self.packet..][..self.packet];
            let publisher = &mut self.publishers[number];
            let sequence = publisher.sent + at;
            let topic = match self.plan.topics {
                Topics::Own => number as u64,
                Topics::New => sequence,
                Topics::Scattered(space) => scatter(sequence, space),
            };
            put_digits(&mut packet[self.digits[0]..], topic / base);
            put_digits(&mut packet[self.digits[1]..], topic % base);
            if self.options.qos > 0 {
                let id = publisher.free.pop().unwrap_or(0);
                publisher.waits[usize::from(id)] = wire::PUBACK + self.options.qos - 1;
                publisher.unacked += 1;
                packet[self.id_at..][..2].copy_from_slice(&id.to_be_bytes());
            }
            let mut due = now;
            if self.options.rate > 0.0 {
                let k = (sequence - publisher.base) * self.plan.publishers as u64 + number as u64;
                due = self.phase + (k as f64 * 1e9 / self.options.rate) as u64;
            }
            let stamp = Stamp {
                run: self.run,
                publisher: number as u32,
                sequence,
                due,
                delay: now.saturating_sub(due),
            };
            stamp.write(&mut packet[self.payload_at..][..HEAD]);
        }
        self.publishers[number].sent += count;
        self.counts.sent += count;
        self.progress = now;
        net.send(number, &bytes[..count as usize * self.packet]);
        self.template = bytes;
    }

    fn deliver(&mut self, now: u64, subscriber: usize, payload: &[u8]) {
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.run == self.run) else {
            self.counts.foreign += 1;
            return;
        };
        let from = stamp.publisher as usize;
        if from >= self.plan.publishers || payload.len() != self.options.size {
            self.counts.foreign += 1;
            return;
        }
        if self.plan.paired && from != subscriber {
            self.counts.misrouted += 1;
            return;
        }
        let track = match self.plan.paired || self.plan.anyone {
            true => from,
            false => subscriber * self.plan.publishers + from,
        };
        match self.tracks[track].arrive(stamp.sequence) {
            Arrival::New => {}
            Arrival::Late => self.counts.late += 1,
            Arrival::Duplicate => {
                self.counts.duplicated += 1;
                return;
            }
        }
        let since_due = now.saturating_sub(stamp.due);
        self.latency.saturating_record(since_due);
        if self.options.rate > 0.0 {
            self.since_send
                .saturating_record(since_due.saturating_sub(stamp.delay));
        }
        self.counts.received += 1;
        self.publishers[from].delivered += 1;
        self.progress = now;
        self.last = now;
        self.note(from);
    }

    fn at_subscriber(
        &mut self,
        net: &mut Net,
        number: usize,
        first: u8,
        body: &[u8],
    ) -> Option<()> {
        match first >> 4 {
            wire::PUBLISH => {
                let (id, payload) = wire::publish(first, body, self.options.version == 5)?;
                match first >> 1 & 3 {
                    0 => {}
                    1 => self.acks.extend(wire::ack(wire::PUBACK, id)),
                    _ => {
                        self.acks.extend(wire::ack(wire::PUBREC, id));
                        let open = &mut self.open[number];
                        open.resize(open.len().max(1024), 0);
                        let (word, bit) = (&mut open[usize::from(id / 64)], 1 << (id % 64));
                        let seen = *word & bit != 0;
                        *word |= bit;
                        if seen {
                            return Some(());
                        }
                    }
                }
                self.deliver(net.now, number, payload);
            }
            wire::PUBREL => {
                let id = wire::u16_at(body, 0)?;
                if let Some(word) = self.open[number].get_mut(usize::from(id / 64)) {
                    *word &= !(1 << (id % 64));
                }
                self.acks.extend(wire::ack(wire::PUBCOMP, id));
            }
            wire::SUBACK => {
                let properties = match self.options.version {
                    5 => wire::varint(body.get(2..)?).map(|(length, used)| length + used)?,
                    _ => 0,
                };
                let codes = body.get(2 + properties..)?;
                self.refused += codes
                    .iter()
                    .filter(|code| **code != self.options.qos)
                    .count();
                self.subacks += 1;
            }
            _ => return None,
        }
        Some(())
    }

    fn at_publisher(&mut self, now: u64, number: usize, first: u8, body: &[u8]) -> Option<()> {
        if first >> 4 == wire::PINGRESP {
            self.pongs += 1;
            return Some(());
        }
        let id = wire::u16_at(body, 0)?;
        let refused = body.get(2).is_some_and(|code| *code >= 0x80);
        let publisher = &mut self.publishers[number];
        let waits = publisher.waits.get_mut(usize::from(id))?;
        if *waits != first >> 4 {
            return None;
        }
        if first >> 4 == wire::PUBREC && !refused {
            *waits = wire::PUBCOMP;
            self.acks.extend(wire::ack(wire::PUBREL, id));
            return Some(());
        }
        *waits = 0;
        publisher.free.push(id);
        publisher.unacked -= 1;
        self.counts.acked += 1;
        self.counts.rejected += u64::from(refused);
        self.progress = now;
        self.note(number);
        Some(())
    }
}

/// A number that tells this run from others.
fn run() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u32
}

impl Client for Flow {
    fn introduce(&mut self, number: usize) -> Result<Vec<u8>, String> {
        let kind = if self.subscriber(number).is_some() {
            's'
        } else {
            'p'
        };
        let id = format!("l{kind}{:08x}{number:07}", self.run);
        let clean = !(self.plan.kept && kind == 's');
        wire::connect(self.options.protocol(), &id, clean, self.options.keepalive)
    }

    fn welcome(&mut self, _net: &mut Net, number: usize, welcome: Welcome) {
        self.present += usize::from(welcome.session_present);
        if self.subscriber(number).is_none() && self.options.qos > 0 {
            let window = self
                .options
                .inflight
                .min(usize::from(welcome.receive_maximum)) as u16;
            let publisher = &mut self.publishers[number];
            publisher.free = (1..=window).rev().collect();
            publisher.waits = vec![0; usize::from(window) + 1];
        }
    }

    fn packet(&mut self, net: &mut Net, number: usize, first: u8, body: &[u8]) {
        let handled = match self.subscriber(number) {
            Some(subscriber) => self.at_subscriber(net, subscriber, first, body),
            None => self.at_publisher(net.now, number, first, body),
        };
        if handled.is_none() {
            net.fail(format!(
                "a packet that was not expected: {first:#04x}, {} bytes",
                body.len()
            ));
        }
    }

    fn read(&mut self, net: &mut Net, number: usize) {
        if !self.acks.is_empty() {
            net.send(number, &self.acks);
            self.acks.clear();
        }
    }

    fn writable(&mut self, _net: &mut Net, number: usize) {
        if self.subscriber(number).is_none() {
            self.note(number);
        }
    }
}
