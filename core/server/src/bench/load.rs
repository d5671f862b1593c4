//! Messages from publishers to subscribers.
//!
//! Without a rate each publisher has so many messages on their way; with one, messages are due at fixed times
//! and their latency counts from there, so that a broker that stops for a second is not asked less by that.
//!
//! Publishers and subscribers are shared out among threads, and with the publishers the rate and the count, so that
//! nothing but sums and what is on its way of each publisher is common to the threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ternmq_client::link::Event;
use ternmq_protocol::Message;
use ternmq_protocol::client::{Event as Session, Incoming};
use ternmq_protocol::codec::{Properties, SubscriptionOptions};

use super::clients::{self, Clients, TICK, histogram, shared_out, side_by_side};
use super::flow::{Flow, Head};
use super::report::{Measured, Messages, micros};
use super::{Interrupt, Load, Shape};
use crate::progress::Progress;

/// How long nothing may arrive until what is on its way counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the threads have in common.
struct Whole<'a> {
    load: &'a Load,
    shape: Shape,
    run: u32,
    threads: usize,
    /// Subscribers that a message goes to.
    copies: u64,
    /// Of each publisher the deliveries that are awaited.
    on_their_way: Vec<AtomicU64>,
    published: AtomicU64,
    arrived: AtomicU64,
    cut: AtomicU64,
    /// When something arrived last, in nanoseconds since the start.
    last: AtomicU64,
    /// Microseconds, of the slowest thread.
    p99: AtomicU64,
    /// Threads that may have more to publish.
    publishing: AtomicU64,
    stop: AtomicBool,
}

/// The part of one thread.
struct Part<'a> {
    whole: &'a Whole<'a>,
    clients: Clients,
    start: Instant,
    publishers: Vec<Publisher>,
    subscribers: Vec<usize>,
    /// From a publisher to a subscriber: as many as there are on the side that has many, and come here.
    flows: Vec<Flow>,
    published: u64,
    /// How many it may publish.
    count: u64,
    /// Messages a second; 0: as many as are taken.
    rate: f64,
    /// Why a subscription was refused.
    refused: Option<String>,
    subscribed: usize,
    latency: hdrhistogram::Histogram<u64>,
    payload: Vec<u8>,
}

struct Publisher {
    number: usize,
    topic: String,
    published: u64,
}

/// Runs one of the three.
pub(super) fn run(load: &Load, shape: Shape, interrupt: &Interrupt) -> Result<Measured, String> {
    let many = load.clients as usize;
    let (publishers, subscribers) = match shape {
        Shape::FanIn => (many, 1),
        Shape::FanOut => (1, many),
        Shape::Pairs => (many, many),
    };
    let threads = load.common.threads(many);
    let whole = Whole {
        load,
        shape,
        run: random(),
        threads,
        copies: if shape == Shape::FanOut {
            many as u64
        } else {
            1
        },
        on_their_way: (0..publishers).map(|_| AtomicU64::new(0)).collect(),
        published: AtomicU64::new(0),
        arrived: AtomicU64::new(0),
        cut: AtomicU64::new(0),
        last: AtomicU64::new(0),
        p99: AtomicU64::new(0),
        publishing: AtomicU64::new(threads as u64),
        stop: AtomicBool::new(false),
    };
    let (senders, receivers) = (
        shared_out(publishers, threads),
        shared_out(subscribers, threads),
    );
    let mut all = Clients::of_all(threads)?;
    // Those that publish come first.
    let behind = |own: &Vec<usize>| own.iter().map(|n| publishers + n).collect::<Vec<_>>();
    let each = senders.iter().zip(&receivers);
    let numbers: Vec<Vec<usize>> = each.map(|(p, s)| [p.clone(), behind(s)].concat()).collect();
    let connected = clients::connect(&mut all, &numbers, (&load.common, whole.run), interrupt)?;
    if let Some(why) = connected.why {
        return Err(format!(
            "{} clients could not connect: {why}",
            connected.failed
        ));
    }
    let mut parts = Vec::with_capacity(threads);
    let mut before = 0;
    for (clients, (own, to)) in all.into_iter().zip(senders.iter().zip(receivers)) {
        parts.push(Part::new(&whole, clients, (own, to), before)?);
        before += own.len();
    }
    let made = parts.iter().map(|part| part.clients.links.len()).sum();
    side_by_side(parts.iter_mut(), |part| part.subscribe(interrupt), || {})?;
    let start = Instant::now();
    parts.iter_mut().for_each(|part| part.start = start);
    let mut progress = Progress::new("measuring", load.common.json);
    side_by_side(
        parts.iter_mut(),
        |part| {
            part.go_on();
            Ok(())
        },
        || whole.look(start, interrupt, &mut progress),
    )?;
    drop(progress);
    parts.iter_mut().for_each(|part| part.clients.disconnect());
    whole.measured(&parts, interrupt.came(), made)
}

fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u32
}

impl Whole<'_> {
    fn expected(&self) -> u64 {
        self.published.load(Ordering::SeqCst) * self.copies
    }

    /// Says when it is over, and how far it is.
    fn look(&self, start: Instant, interrupt: &Interrupt, progress: &mut Progress) {
        let over = self.publishing.load(Ordering::SeqCst) == 0;
        let arrived = self.arrived.load(Ordering::SeqCst);
        let missing = arrived < self.expected();
        let time = start.elapsed();
        let last = Duration::from_nanos(self.last.load(Ordering::SeqCst));
        let lost = missing && time.saturating_sub(last) > PATIENCE;
        if interrupt.came() || (over && (!missing || lost)) {
            self.stop.store(true, Ordering::SeqCst);
            return;
        }
        if lost {
            // What is lost must not keep the others from going on.
            let all = self.on_their_way.iter();
            all.for_each(|on_their_way| on_their_way.store(0, Ordering::SeqCst));
            self.last.fetch_max(nanos(time), Ordering::SeqCst);
        }
        let seconds = time.as_secs_f64();
        let part = match self.load.count {
            Some(count) => self.published.load(Ordering::SeqCst) as f64 / count as f64,
            None => seconds / self.load.duration as f64,
        };
        let p99 = self.p99.load(Ordering::Relaxed) as f64 / 1000.0;
        let rate = arrived as f64 / seconds.max(1e-9);
        progress.show(
            part,
            &format!("{rate:.0} messages a second, p99 {p99:.1} ms"),
        );
    }

    fn measured(
        &self,
        parts: &[Part<'_>],
        interrupted: bool,
        clients: usize,
    ) -> Result<Measured, String> {
        let flows = || parts.iter().flat_map(|part| &part.flows);
        let sum = |count: fn(&Flow) -> u64| flows().map(count).sum();
        let mut latency = histogram()?;
        for part in parts {
            let added = latency.add(&part.latency);
            added.map_err(|error| error.to_string())?;
        }
        Ok(Measured {
            scenario: match self.shape {
                Shape::FanIn => "fanin",
                Shape::FanOut => "fanout",
                Shape::Pairs => "pairs",
            },
            clients: clients as u64,
            failed: 0,
            why: None,
            cut: self.cut.load(Ordering::SeqCst),
            took: Duration::from_nanos(self.last.load(Ordering::SeqCst)),
            interrupted,
            messages: Some(Messages {
                qos: self.load.qos as u8,
                size: self.load.size,
                published: self.published.load(Ordering::SeqCst),
                expected: self.expected(),
                arrived: sum(|flow| flow.arrived),
                duplicates: sum(|flow| flow.duplicates),
                late: sum(|flow| flow.late),
            }),
            latency,
        })
    }
}

impl<'a> Part<'a> {
    /// `before`: publishers that others have.
    fn new(
        whole: &'a Whole<'a>,
        clients: Clients,
        (own, subscribers): (&[usize], Vec<usize>),
        before: usize,
    ) -> Result<Self, String> {
        let (load, run) = (whole.load, whole.run);
        let publisher = |number: &usize| Publisher {
            number: *number,
            topic: format!("{}/{run:08x}/{number}", load.common.prefix),
            published: 0,
        };
        let all = whole.on_their_way.len();
        // So that all of them together are what was wanted.
        let up_to = |publishers: usize| {
            let part = |count: u64| u128::from(count) * publishers as u128 / all as u128;
            load.count.map_or(u64::MAX, |count| part(count) as u64)
        };
        let flows = match whole.shape {
            Shape::FanIn if subscribers.is_empty() => 0,
            Shape::FanIn => all,
            Shape::FanOut | Shape::Pairs => subscribers.len(),
        };
        Ok(Self {
            whole,
            clients,
            start: Instant::now(),
            publishers: own.iter().map(publisher).collect(),
            flows: vec![Flow::default(); flows],
            subscribers,
            published: 0,
            count: match load.count {
                Some(_) => up_to(before + own.len()) - up_to(before),
                None => u64::MAX,
            },
            rate: f64::from(load.rate) * own.len() as f64 / all as f64,
            refused: None,
            subscribed: 0,
            latency: histogram()?,
            payload: vec![b'.'; load.size as usize],
        })
    }

    /// Publishers come first, then subscribers.
    fn subscribe(&mut self, interrupt: &Interrupt) -> Result<(), String> {
        let (load, run) = (self.whole.load, self.whole.run);
        let options = SubscriptionOptions {
            qos: load.qos,
            ..SubscriptionOptions::default()
        };
        let links = self.clients.links.iter().skip(self.publishers.len());
        for (number, link) in self.subscribers.iter().zip(links) {
            let prefix = &load.common.prefix;
            let filter = match self.whole.shape {
                Shape::FanIn => format!("{prefix}/{run:08x}/#"),
                Shape::FanOut => format!("{prefix}/{run:08x}/0"),
                Shape::Pairs => format!("{prefix}/{run:08x}/{number}"),
            };
            let sent = link.subscribe(&[(&filter, options)], Properties::EMPTY);
            sent.map_err(|error| error.to_string())?;
        }
        let until = Instant::now() + Duration::from_secs(30);
        while self.subscribed < self.subscribers.len() && !interrupt.came() {
            self.wait(Instant::now() + TICK);
            if let Some(why) = &self.refused {
                return Err(why.clone());
            }
            if self.whole.cut.load(Ordering::SeqCst) > 0 || Instant::now() > until {
                return Err("not all subscriptions were acknowledged".to_owned());
            }
        }
        Ok(())
    }

    fn go_on(&mut self) {
        let whole = self.whole;
        let end = match whole.load.count {
            Some(_) => None,
            None => Some(self.start + Duration::from_secs(whole.load.duration)),
        };
        let mut over = false;
        while !whole.stop.load(Ordering::SeqCst) {
            if !over {
                self.publish();
                over = self.publishers.is_empty()
                    || self.published >= self.count
                    || end.is_some_and(|end| Instant::now() >= end);
                if over {
                    whole.publishing.fetch_sub(1, Ordering::SeqCst);
                }
            }
            let pause = if self.rate > 0.0 && !over { 1 } else { 50 };
            self.wait(Instant::now() + Duration::from_millis(pause));
            let p99 = self.latency.value_at_percentile(99.0);
            whole.p99.fetch_max(p99, Ordering::Relaxed);
        }
    }

    fn wait(&mut self, until: Instant) {
        let mut events = Vec::new();
        self.clients
            .wait(until, |number, event| events.push((number, event)));
        for (number, event) in events {
            self.event(number, event);
        }
    }

    /// All that may be on its way now.
    fn publish(&mut self) {
        let mut full = 0;
        while full < self.publishers.len() && self.published < self.count {
            let due = match self.rate {
                0.0 => self.start.elapsed(),
                rate => Duration::from_secs_f64(self.published as f64 / rate),
            };
            if due > self.start.elapsed() {
                return;
            }
            let number = (self.published % self.publishers.len() as u64) as usize;
            // In turn where there is a rate; else whoever has room.
            let number = (number + full) % self.publishers.len();
            match self.publish_one(number, due) {
                true => full = 0,
                false => full += 1,
            }
        }
    }

    /// `at`: its place among those of this thread.
    fn publish_one(&mut self, at: usize, due: Duration) -> bool {
        let whole = self.whole;
        let publisher = &mut self.publishers[at];
        let on_their_way = &whole.on_their_way[publisher.number];
        let most = u64::from(whole.load.inflight) * whole.copies;
        if on_their_way.load(Ordering::SeqCst) >= most {
            return false;
        }
        let head = Head {
            run: whole.run,
            publisher: publisher.number as u32,
            number: publisher.published,
            due: nanos(due),
        };
        head.write(&mut self.payload);
        let link = &self.clients.links[at];
        let now = link.session(|now, _| now);
        let (topic, qos) = (&publisher.topic, whole.load.qos);
        let message = Message::new(topic, &self.payload, qos, false, Properties::EMPTY, now);
        let Ok(message) = message else {
            return false;
        };
        // Before it can arrive anywhere, and taken back where it does not go out.
        on_their_way.fetch_add(whole.copies, Ordering::SeqCst);
        whole.published.fetch_add(1, Ordering::SeqCst);
        // Full is a reason to wait; so is a connection that has ended, which is counted where it is told.
        if link.publish(message).is_err() {
            less(on_their_way, whole.copies);
            whole.published.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        publisher.published += 1;
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
            Event::Session(Session::Disconnected { .. }) => {
                self.whole.cut.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }

    fn message(&mut self, number: usize, message: &Incoming) {
        let whole = self.whole;
        let head = Head::read(message.message.payload()).filter(|head| head.run == whole.run);
        let Some(head) = head else {
            return;
        };
        let publisher = head.publisher as usize;
        let flow = match whole.shape {
            Shape::FanOut => number.checked_sub(self.publishers.len()),
            Shape::FanIn => Some(publisher),
            Shape::Pairs => Some(publisher / whole.threads),
        };
        let flow = flow.and_then(|flow| self.flows.get_mut(flow));
        let (Some(flow), Some(on_their_way)) = (flow, whole.on_their_way.get(publisher)) else {
            return;
        };
        if !flow.arrive(head.number) {
            return;
        }
        let since = self.start.elapsed();
        let late = since.saturating_sub(Duration::from_nanos(head.due));
        self.latency.saturating_record(micros(late));
        whole.arrived.fetch_add(1, Ordering::SeqCst);
        whole.last.fetch_max(nanos(since), Ordering::SeqCst);
        less(on_their_way, 1);
    }
}

/// As much less as there is.
fn less(count: &AtomicU64, by: u64) {
    let less = |count: u64| Some(count.saturating_sub(by));
    // It always is some.
    let _ = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
