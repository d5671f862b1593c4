//! The world of one run: what there is, and what happens next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Arguments;

use ternmq_protocol::broker::retained::{Retained, RetainedLimits};
use ternmq_protocol::broker::{Claims, ConnId};
use ternmq_protocol::codec::FrameBuffer;
use ternmq_protocol::{Message, ProtocolVersion, Time};

use crate::door::Door;
use crate::fault::{Fault, Faults};
use crate::host::{Directory, Homes, Host, Mail};
use crate::ledger::Ledger;
use crate::peer::Peer;
use crate::pipe::Pipe;
use crate::plan::Plan;
use crate::random::Random;
use crate::trace::Trace;
use crate::truth::Truth;

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
    /// What the server has read before it let the client in.
    pub(crate) held: Vec<u8>,
    pub(crate) tap_up: FrameBuffer,
    pub(crate) tap_down: FrameBuffer,
    pub(crate) aliases: BTreeMap<u16, String>,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Mail(usize, usize),
    ShardTime(usize),
    Accept(usize),
    ServerRead(usize),
    ServerFlush(usize),
    ClientRead(usize),
    ClientFlush(usize),
    ClientTime(usize),
    ClientAct(usize),
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
    pub(crate) claims: Claims,
    pub(crate) door: Door,
    pub(crate) links: Vec<Link>,
    /// Links that are not over.
    pub(crate) live: Vec<usize>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) ledger: Ledger,
    pub(crate) truth: Truth,
    /// Clients do things until there are none left to do.
    pub(crate) acts_left: u32,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Option<Fault>, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let mut world = Self::bare(seed, random, plan, trace);
        let passes = world.random.below(12) as u32;
        world.faults = Faults::new(fault, passes);
        for number in 0..world.plan.clients {
            let peer = Peer::new(number, &mut world.random);
            world.peers.push(peer);
        }
        world
    }

    /// A world without clients.
    pub(crate) fn bare(seed: u64, random: Random, plan: Plan, trace: Trace) -> Self {
        let shards = plan.shards;
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
            faults: Faults::new(None, 0),
            hosts: (0..shards)
                .map(|number| Host::new(number, seed, &plan))
                .collect(),
            mail: (0..shards)
                .map(|_| (0..shards).map(|_| VecDeque::new()).collect())
                .collect(),
            store: Retained::new(no_limits),
            directory: Directory::default(),
            homes: Homes::default(),
            claims: Claims::new(100),
            door: Door::default(),
            links: Vec::new(),
            live: Vec::new(),
            peers: Vec::new(),
            ledger: Ledger::default(),
            truth: Truth::new(shards),
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
        let mut at_once = 0;
        while !done(self) {
            let before = self.now;
            if !self.turn(Time::NEVER)? || self.now > until {
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
            return Ok(next != Time::NEVER);
        }
        let step = self.random.pick(&ready);
        self.take(step)?;
        Ok(true)
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
            if self.acts_left > 0 {
                found(peer.acts_at, Step::ClientAct(number));
            }
        }
    }

    fn link_steps(&self, number: usize, found: &mut impl FnMut(Time, Step)) {
        let link = &self.links[number];
        match link.server {
            End::Arriving(at) => found(at, Step::Accept(number)),
            End::Open(shard, conn) => {
                if let Some(at) = link.up.readable_at()
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
        if link.client_open && !self.scripted {
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
            Step::Reconnect(peer) => self.connect(peer),
        }?;
        let links = &self.links;
        self.live
            .retain(|link| links[*link].client_open || links[*link].server != End::Closed);
        Ok(())
    }
}
