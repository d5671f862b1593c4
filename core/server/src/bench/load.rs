//! Messages from publishers to subscribers.
//!
//! Without a rate each publisher has so many messages on their way; with one, messages are due at fixed times
//! and their latency counts from there, so that a broker that stops for a second is not asked less by that.

use std::time::{Duration, Instant};

use ternmq_client::link::Event;
use ternmq_protocol::Message;
use ternmq_protocol::client::{Event as Session, Incoming};
use ternmq_protocol::codec::{Properties, SubscriptionOptions};

use super::clients::{Clients, TICK, histogram};
use super::flow::{Flow, Head};
use super::report::{Measured, Messages, Progress, micros};
use super::{Interrupt, Load, Shape};

/// How long nothing may arrive until what is on its way counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The measurement while it goes on.
struct Run<'a> {
    load: &'a Load,
    shape: Shape,
    run: u32,
    start: Instant,
    publishers: Vec<Publisher>,
    /// From a publisher to a subscriber: as many as there are on the side that has many.
    flows: Vec<Flow>,
    published: u64,
    arrived: u64,
    cut: u64,
    /// Why a subscription was refused.
    refused: Option<String>,
    subscribed: usize,
    latency: hdrhistogram::Histogram<u64>,
    /// When something arrived last.
    last: Instant,
    payload: Vec<u8>,
}

struct Publisher {
    topic: String,
    published: u64,
    /// Deliveries that are awaited.
    on_their_way: u64,
}

/// Runs one of the three.
pub(super) fn run(load: &Load, shape: Shape, interrupt: &Interrupt) -> Result<Measured, String> {
    let many = load.clients as usize;
    let (publishers, subscribers) = match shape {
        Shape::FanIn => (many, 1),
        Shape::FanOut => (1, many),
        Shape::Pairs => (many, many),
    };
    let run = random();
    let mut clients = Clients::new();
    let connected = clients.connect(&load.common, (run, publishers + subscribers), interrupt)?;
    if let Some(why) = connected.why {
        return Err(format!(
            "{} clients could not connect: {why}",
            connected.failed
        ));
    }
    let topic = |number| format!("{}/{run:08x}/{number}", load.common.prefix);
    let publisher = |number| Publisher {
        topic: topic(number),
        published: 0,
        on_their_way: 0,
    };
    let now = Instant::now();
    let mut state = Run {
        load,
        shape,
        run,
        start: now,
        publishers: (0..publishers).map(publisher).collect(),
        flows: vec![Flow::default(); many],
        published: 0,
        arrived: 0,
        cut: 0,
        refused: None,
        subscribed: 0,
        latency: histogram()?,
        last: now,
        payload: vec![b'.'; load.size as usize],
    };
    state.subscribe(&mut clients, subscribers, interrupt)?;
    state.go_on(&mut clients, interrupt);
    clients.disconnect();
    Ok(state.measured(interrupt.came(), clients.links.len()))
}

fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u32
}

impl Run<'_> {
    /// Publishers come first, then subscribers.
    fn subscribe(
        &mut self,
        clients: &mut Clients,
        subscribers: usize,
        interrupt: &Interrupt,
    ) -> Result<(), String> {
        let options = SubscriptionOptions {
            qos: self.load.qos,
            ..SubscriptionOptions::default()
        };
        let links = clients.links.iter().skip(self.publishers.len());
        for (number, link) in links.enumerate() {
            let (prefix, run) = (&self.load.common.prefix, self.run);
            let filter = match self.shape {
                Shape::FanIn => format!("{prefix}/{run:08x}/#"),
                Shape::FanOut => format!("{prefix}/{run:08x}/0"),
                Shape::Pairs => format!("{prefix}/{run:08x}/{number}"),
            };
            let sent = link.subscribe(&[(&filter, options)], Properties::EMPTY);
            sent.map_err(|error| error.to_string())?;
        }
        let until = Instant::now() + Duration::from_secs(30);
        while self.subscribed < subscribers && !interrupt.came() {
            clients.wait(Instant::now() + TICK, |number, event| {
                self.event(number, event)
            });
            if let Some(why) = &self.refused {
                return Err(why.clone());
            }
            if self.cut > 0 || Instant::now() > until {
                return Err("not all subscriptions were acknowledged".to_owned());
            }
        }
        Ok(())
    }

    fn go_on(&mut self, clients: &mut Clients, interrupt: &Interrupt) {
        let mut progress = Progress::new("measuring", self.load.common.json);
        self.start = Instant::now();
        self.last = self.start;
        let end = match self.load.count {
            Some(_) => None,
            None => Some(self.start + Duration::from_secs(self.load.duration)),
        };
        let mut over = false;
        while !interrupt.came() {
            over |= end.is_some_and(|end| Instant::now() >= end)
                || self.load.count.is_some_and(|count| self.published >= count);
            if !over {
                self.publish(clients);
            }
            let pause = if self.load.rate > 0 && !over { 1 } else { 50 };
            let until = Instant::now() + Duration::from_millis(pause);
            clients.wait(until, |number, event| self.event(number, event));
            if over && self.arrived >= self.expected() {
                break;
            }
            if self.last.elapsed() > PATIENCE && self.arrived < self.expected() {
                if over {
                    break;
                }
                // What is lost must not keep the others from going on.
                self.publishers
                    .iter_mut()
                    .for_each(|one| one.on_their_way = 0);
                self.last = Instant::now();
            }
            let time = self.start.elapsed().as_secs_f64();
            let part = match self.load.count {
                Some(count) => self.published as f64 / count as f64,
                None => time / self.load.duration as f64,
            };
            let p99 = self.latency.value_at_percentile(99.0) as f64 / 1000.0;
            let rate = self.arrived as f64 / time.max(1e-9);
            progress.show(
                part,
                &format!("{rate:.0} messages a second, p99 {p99:.1} ms"),
            );
        }
    }

    /// All that may be on its way now.
    fn publish(&mut self, clients: &Clients) {
        let count = self.load.count.unwrap_or(u64::MAX);
        let mut full = 0;
        while full < self.publishers.len() && self.published < count {
            let due = match self.load.rate {
                0 => self.start.elapsed(),
                rate => Duration::from_secs_f64(self.published as f64 / f64::from(rate)),
            };
            if due > self.start.elapsed() {
                return;
            }
            let number = (self.published % self.publishers.len() as u64) as usize;
            // In turn where there is a rate; else whoever has room.
            let number = (number + full) % self.publishers.len();
            match self.publish_one(clients, number, due) {
                true => full = 0,
                false => full += 1,
            }
        }
    }

    fn publish_one(&mut self, clients: &Clients, number: usize, due: Duration) -> bool {
        let publisher = &mut self.publishers[number];
        let copies = match self.shape {
            Shape::FanOut => self.flows.len() as u64,
            Shape::FanIn | Shape::Pairs => 1,
        };
        if publisher.on_their_way >= u64::from(self.load.inflight) * copies {
            return false;
        }
        let head = Head {
            run: self.run,
            publisher: number as u32,
            number: publisher.published,
            due: u64::try_from(due.as_nanos()).unwrap_or(u64::MAX),
        };
        head.write(&mut self.payload);
        let link = &clients.links[number];
        let now = link.session(|now, _| now);
        let (topic, qos) = (&publisher.topic, self.load.qos);
        let message = Message::new(topic, &self.payload, qos, false, Properties::EMPTY, now);
        let Ok(message) = message else {
            return false;
        };
        // Full is a reason to wait; so is a connection that has ended, which is counted where it is told.
        if link.publish(message).is_err() {
            return false;
        }
        publisher.published += 1;
        publisher.on_their_way += copies;
        self.published += 1;
        true
    }

    fn event(&mut self, number: usize, event: Event) {
        match event {
            Event::Session(Session::Message(message)) => self.message(number, &message),
            Event::Session(Session::Subscribed { codes, .. }) => {
                self.subscribed += 1;
                if let Some(code) = codes.iter().find(|code| code.is_error()) {
                    self.refused = Some(format!("a subscription was refused: {code}"));
                }
            }
            Event::Session(Session::Disconnected { .. }) => self.cut += 1,
            _ => {}
        }
    }

    fn message(&mut self, number: usize, message: &Incoming) {
        let Some(head) = Head::read(message.message.payload()).filter(|head| head.run == self.run)
        else {
            return;
        };
        let publisher = head.publisher as usize;
        let flow = match self.shape {
            Shape::FanOut => number.checked_sub(self.publishers.len()),
            Shape::FanIn | Shape::Pairs => Some(publisher),
        };
        let Some(flow) = flow.and_then(|flow| self.flows.get_mut(flow)) else {
            return;
        };
        if !flow.arrive(head.number) {
            return;
        }
        let since = self.start.elapsed();
        let late = since.saturating_sub(Duration::from_nanos(head.due));
        self.latency.saturating_record(micros(late));
        self.arrived += 1;
        self.last = Instant::now();
        let publisher = &mut self.publishers[publisher];
        publisher.on_their_way = publisher.on_their_way.saturating_sub(1);
    }

    fn expected(&self) -> u64 {
        match self.shape {
            Shape::FanOut => self.published * self.flows.len() as u64,
            Shape::FanIn | Shape::Pairs => self.published,
        }
    }

    fn measured(self, interrupted: bool, clients: usize) -> Measured {
        let sum = |count: fn(&Flow) -> u64| self.flows.iter().map(count).sum();
        Measured {
            scenario: match self.shape {
                Shape::FanIn => "fanin",
                Shape::FanOut => "fanout",
                Shape::Pairs => "pairs",
            },
            clients: clients as u64,
            failed: 0,
            why: None,
            cut: self.cut,
            took: self.last.saturating_duration_since(self.start),
            interrupted,
            messages: Some(Messages {
                qos: self.load.qos as u8,
                size: self.load.size,
                published: self.published,
                expected: self.expected(),
                arrived: sum(|flow| flow.arrived),
                duplicates: sum(|flow| flow.duplicates),
                late: sum(|flow| flow.late),
            }),
            latency: self.latency,
        }
    }
}
