//! The world of one run: what there is, and what happens next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Arguments;

use ternmq_protocol::broker::retained::{Retained, RetainedLimits};
use ternmq_protocol::broker::{Claims, ConnId, Homes, Limits, Priorities};
use ternmq_protocol::codec::{FrameBuffer, PropertyId, SubscriptionOptions};
use ternmq_protocol::{Message, ProtocolVersion, Time};

use crate::books::Books;
use crate::door::Door;
use crate::fault::{Fault, Faults};
use crate::host::{Directory, Host};
use crate::hostile::Hostile;
use crate::ledger::Ledger;
use crate::mail::{Joining, Mail};
use crate::peer::Peer;
use crate::pipe::Pipe;
use crate::plan::Plan;
use crate::random::Random;
use crate::rates::{Meters, Vessel};
use crate::tap::is_whole;
use crate::trace::Trace;
use crate::truth::{Session, Truth};

/// Steps at one moment of time from which on it is taken to stand still.
const STANDSTILL: u32 = 200_000;

/// The server's end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Not accepted yet.
    Arriving(Time),
    Open(usize, ConnId),
    /// On its way from one shard to another.
    Moving,
    Closed,
}

/// A connection through the network.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: usize,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    pub(crate) server: End,
    pub(crate) client_open: bool,
    /// The shard has something to send.
    pub(crate) to_flush: bool,
    pub(crate) accepted: Time,
    pub(crate) version: ProtocolVersion,
    /// The server has let it in, into this session.
    pub(crate) admitted: bool,
    pub(crate) epoch: u64,
    pub(crate) present: bool,
    pub(crate) keep_alive: u16,
    pub(crate) last_in: Time,
    /// The shard has a reason to close it.
    pub(crate) ending: bool,
    /// What the server has read and not handled.
    pub(crate) unhandled: Vec<u8>,
    pub(crate) tap_down: FrameBuffer,
    pub(crate) aliases: BTreeMap<u16, String>,
    /// Its SUBSCRIBE that waits to hear whether it may have what one client at a time may have.
    pub(crate) asking: Vec<(String, SubscriptionOptions)>,
    /// How many messages and bytes have come in lately.
    pub(crate) vessels: [Vessel; 2],
    /// Topic Alias Maximum of the client.
    pub(crate) most_aliases: u16,
    /// The client keeps to no rule, and the models look away.
    pub(crate) hostile: bool,
}

impl Link {
    /// A connection on its way to the server.
    pub(crate) fn new(
        peer: usize,
        version: ProtocolVersion,
        now: Time,
        arrives: Time,
        capacity: usize,
    ) -> Self {
        Self {
            peer,
            up: Pipe::new(capacity),
            down: Pipe::new(capacity),
            server: End::Arriving(arrives),
            client_open: true,
            to_flush: false,
            accepted: now,
            version,
            admitted: false,
            epoch: 0,
            present: false,
            keep_alive: 0,
            last_in: now,
            ending: false,
            unhandled: Vec::new(),
            tap_down: FrameBuffer::default(),
            aliases: BTreeMap::new(),
            asking: Vec::new(),
            vessels: Default::default(),
            most_aliases: 0,
            hostile: false,
        }
    }

    /// The models follow it.
    pub(crate) fn is_honest(&self) -> bool {
        !self.hostile
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Mail(usize, usize),
    PostKept(usize, usize),
    ShardTime(usize),
    Accept(usize),
    ServerRead(usize),
    ServerFlush(usize),
    ClientRead(usize),
    ClientFlush(usize),
    ClientTime(usize),
    ClientAct(usize),
    HostileAct(usize),
    Reconnect(usize),
}

/// Everything.
pub(crate) struct World {
    pub(crate) seed: u64,
    /// The clients are raw ones that a script speaks for, and the script knows what must come: the
    /// models, which see clients of ours only, look away.
    pub(crate) scripted: bool,
    pub(crate) now: Time,
    pub(crate) step: u64,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) plan: Plan,
    pub(crate) faults: Faults,
    pub(crate) hosts: Vec<Host>,
    pub(crate) mail: Vec<Vec<Mail>>,
    pub(crate) store: Retained<Message>,
    pub(crate) directory: Directory,
    pub(crate) homes: Homes,
    pub(crate) joining: Joining,
    pub(crate) claims: Claims,
    pub(crate) door: Door,
    pub(crate) links: Vec<Link>,
    /// Links that are not over.
    pub(crate) live: Vec<usize>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) hostiles: Vec<Hostile>,
    pub(crate) ledger: Ledger,
    pub(crate) truth: Truth,
    pub(crate) books: Books,
    pub(crate) meters: Meters,
    /// In which order things happen in this step is known.
    pub(crate) certain: bool,
    /// Sessions that end in this step, and may get something before they do.
    pub(crate) ending: Vec<(String, Session)>,
    /// Milliseconds that the clock has jumped over.
    pub(crate) jumped: u64,
    /// Clients do things until there are none left to do.
    pub(crate) acts_left: u32,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Option<Fault>, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let faults = Faults::new(fault, random.below(12) as u32);
        let mut world = Self::bare(seed, random, plan, faults, trace);
        for number in 0..world.plan.clients {
            let mut peer = Peer::new(number, &mut world.random, &world.plan);
            if peer.max_packet.is_some() && world.faults.begins(Fault::ForgetPacketSize) {
                let properties = &mut peer.session.options_mut().properties;
                properties.retain(|property| property.id != PropertyId::MaximumPacketSize);
            }
            world.peers.push(peer);
        }
        for _ in 0..world.plan.hostiles {
            let hostile = Hostile::new(&mut world.random);
            world.hostiles.push(hostile);
        }
        world
    }

    /// A world without clients.
    pub(crate) fn bare(
        seed: u64,
        random: Random,
        plan: Plan,
        mut faults: Faults,
        trace: Trace,
    ) -> Self {
        let shards = plan.shards;
        let known = faulty(&plan, &mut faults);
        let rates = known.listener();
        let no_limits = RetainedLimits {
            messages: 100_000,
            bytes: 1 << 30,
        };
        let mut world = Self {
            now: Time(0),
            step: 0,
            trace,
            seed,
            scripted: false,
            acts_left: plan.acts,
            faults,
            hosts: (0..shards)
                .map(|number| Host::new(known.config(number, seed, &rates)))
                .collect(),
            mail: (0..shards)
                .map(|_| (0..shards).map(|_| VecDeque::new()).collect())
                .collect(),
            store: Retained::new(no_limits),
            directory: Directory::default(),
            homes: Homes::default(),
            joining: Joining::new(),
            claims: Claims::new(100),
            door: Door::default(),
            links: Vec::new(),
            live: Vec::new(),
            peers: Vec::new(),
            hostiles: Vec::new(),
            ledger: Ledger::default(),
            truth: Truth::new(shards),
            books: Books::default(),
            meters: Meters::default(),
            certain: true,
            ending: Vec::new(),
            jumped: 0,
            random,
            plan,
        };
        world
            .trace
            .line(world.now, format_args!("seed {seed}: {:?}", world.plan));
        world
    }

    pub(crate) fn note(&mut self, what: Arguments<'_>) {
        self.trace.line(self.now, what);
    }

    /// Some time after now: what is on its way arrives then.
    pub(crate) fn later(&mut self) -> Time {
        let most = match self.random.one_in(20) {
            true => self.plan.latency_ms * 10,
            false => self.plan.latency_ms,
        };
        self.now.after(self.random.between(0, most))
    }

    /// Lets things happen until `done`, or for `most_ms` of the world's time.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        most_ms: u64,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<(), String> {
        let until = self.now.after(most_ms);
        let (mut at_once, jumped) = (0, self.jumped);
        while !done(self) {
            let before = self.now;
            if !self.turn(Time::NEVER)? || self.now > until.after(self.jumped - jumped) {
                return Err(format!("never {what}: {}", self.unfinished()));
            }
            at_once = if self.now == before { at_once + 1 } else { 0 };
            if at_once > STANDSTILL {
                return Err(format!("time stands still before {what}"));
            }
        }
        Ok(())
    }

    /// One thing happens, or time passes until one can; false when there is none until then.
    pub(crate) fn turn(&mut self, until: Time) -> Result<bool, String> {
        self.step += 1;
        let mut ready = Vec::new();
        let mut next = Time::NEVER;
        self.steps(&mut |at, step| {
            if at <= self.now {
                ready.push(step);
            } else {
                next = next.min(at);
            }
        });
        if ready.is_empty() {
            if next > until {
                return Ok(false);
            }
            self.now = next;
            self.jump();
            return Ok(next != Time::NEVER);
        }
        let step = self.random.pick(&ready);
        self.take(step)?;
        Ok(true)
    }

    /// The machine wakes up late. Not while a member is on its way to a group: a shard of the real driver
    /// takes its mail before it looks what is due, here what is due comes first.
    fn jump(&mut self) {
        let wakes = self.plan.jumps && self.acts_left > 0 && self.random.one_in(200);
        if wakes && self.joining.values().all(|(members, _)| *members == 0) {
            let late = self.random.pick(&[1_000, 30_000, 600_000, 4_000_000]);
            self.note(format_args!("the clock jumps by {late} ms"));
            self.now = self.now.after(late);
            self.jumped += late;
        }
    }

    /// Everything that can happen, with its time.
    fn steps(&self, found: &mut impl FnMut(Time, Step)) {
        for (from, row) in self.mail.iter().enumerate() {
            for (to, mail) in row.iter().enumerate() {
                if let Some((at, _)) = mail.front() {
                    found(*at, Step::Mail(from, to));
                }
            }
        }
        for (number, host) in self.hosts.iter().enumerate() {
            for (to, kept) in &host.kept {
                found(kept.until, Step::PostKept(number, *to));
            }
            let asleep = self.faults.has_struck(Fault::SkipTimeouts);
            if let Some(at) = host.shard.poll_timeout().filter(|_| !asleep) {
                found(at, Step::ShardTime(number));
            }
        }
        for number in &self.live {
            self.link_steps(*number, found);
        }
        for (number, peer) in self.peers.iter().enumerate() {
            if let Some(at) = peer.session.poll_timeout() {
                found(at, Step::ClientTime(number));
            }
            if let Some(at) = peer.reconnect_at {
                found(at, Step::Reconnect(number));
            }
        }
        self.acts(found);
    }

    /// What clients do of their own accord.
    fn acts(&self, found: &mut impl FnMut(Time, Step)) {
        if self.acts_left == 0 {
            return;
        }
        for (number, peer) in self.peers.iter().enumerate() {
            found(peer.acts_at, Step::ClientAct(number));
        }
        for (number, hostile) in self.hostiles.iter().enumerate() {
            found(hostile.acts_at, Step::HostileAct(number));
        }
    }

    fn link_steps(&self, number: usize, found: &mut impl FnMut(Time, Step)) {
        let link = &self.links[number];
        match link.server {
            End::Arriving(at) => found(at, Step::Accept(number)),
            End::Open(shard, conn) => {
                // Rates hold nothing back that comes before the client is let in.
                let early = self.plan.rates.is_some() && !link.admitted;
                if let Some(at) = link.up.readable_at()
                    && !(early && link.is_honest() && is_whole(&link.unhandled))
                    && self.hosts[shard].shard.wants_input(conn)
                {
                    found(at, Step::ServerRead(number));
                }
                if link.to_flush && link.down.room() > 0 {
                    found(self.now, Step::ServerFlush(number));
                }
            }
            End::Moving | End::Closed => {}
        }
        if link.client_open && !self.scripted && link.is_honest() {
            if let Some(at) = link.down.readable_at() {
                found(at, Step::ClientRead(number));
            }
            let peer = &self.peers[link.peer];
            if peer.to_flush && link.up.room() > 0 {
                found(self.now, Step::ClientFlush(number));
            }
        }
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Mail(from, to) => self.deliver_mail(from, to),
            Step::PostKept(from, to) => self.post_kept(from, to),
            Step::ShardTime(shard) => {
                let _ = self.faults.strikes(Fault::SkipTimeouts);
                self.pass_time(shard)
            }
            Step::Accept(link) => self.accept(link),
            Step::ServerRead(link) => self.server_read(link),
            Step::ServerFlush(link) => self.server_flush(link),
            Step::ClientRead(link) => self.client_read(link),
            Step::ClientFlush(link) => {
                let peer = self.links[link].peer;
                self.client_flush(peer)
            }
            Step::ClientTime(peer) => self.client_time(peer),
            Step::ClientAct(peer) => self.act(peer),
            Step::HostileAct(number) => {
                self.act_hostile(number);
                Ok(())
            }
            Step::Reconnect(peer) => self.connect(peer),
        }?;
        let links = &self.links;
        self.live
            .retain(|link| links[*link].client_open || links[*link].server != End::Closed);
        Ok(())
    }
}

/// The plan as the shards know it.
fn faulty(plan: &Plan, faults: &mut Faults) -> Plan {
    let mut known = plan.clone();
    let Limits {
        queue,
        priorities,
        inflight,
        outgoing_aliases,
        ..
    } = &mut known.limits;
    if plan.has_small_queues() && faults.begins(Fault::ForgetQueueLimit) {
        *queue = Limits::default().queue;
    }
    if !priorities.filters.is_empty() && faults.begins(Fault::ForgetPriorities) {
        *priorities = Priorities::default();
    }
    if *inflight < 20 && faults.begins(Fault::ForgetInflight) {
        *inflight = 1_024;
    }
    if *outgoing_aliases < 30 && faults.begins(Fault::ForgetAliases) {
        *outgoing_aliases = 30;
    }
    if plan.rewrites && faults.begins(Fault::ForgetRewrite) {
        known.rewrites = false;
    }
    if plan.rates.is_some() && faults.begins(Fault::ForgetRates) {
        known.rates = None;
    }
    known
}
