//! The simulated broker for raw clients, whose bytes somebody else writes and reads: shards, mail
//! between them and the network, without the clients and models of a run.

use ternmq_broker::{Config, Drain};
use ternmq_protocol::broker::Claims;
use ternmq_protocol::broker::retained::Retained;
use ternmq_protocol::{ProtocolVersion, Time};

use crate::door::Door;
use crate::fault::Faults;
use crate::plan::Plan;
use crate::random::Random;
use crate::trace::Trace;
use crate::world::{End, Link, World};

/// What a raw client sees of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The broker has closed.
    End,
    /// None of it in the time given.
    Nothing,
}

/// One to four shards behind a simulated network. Chance decides, by the seed, which shard a
/// connection comes to and where sessions live, how bytes are cut into pieces, how long pieces and
/// mail take, and in which order what may happen now happens.
pub struct Bench {
    world: World,
}

impl Bench {
    /// A fresh broker with what of the configuration can be had without sockets and threads; `traced`
    /// keeps the last lines of what happens.
    ///
    /// # Errors
    /// What of it can't.
    pub fn new(seed: u64, config: &Config, traced: bool) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let plan = Plan::bench(&mut random, config);
        let door = Door::new(config)?;
        let mut world = World::bare(seed, random, plan, Faults::new(None, 0), Trace::new(traced));
        world.scripted = true;
        world.door = door;
        world.claims = Claims::new(config.limits.exclusive);
        world.store = Retained::new(config.limits.retained);
        Ok(Self { world })
    }

    /// The broker lets go of all clients at once, and refuses those that come.
    ///
    /// # Errors
    /// The broker has broken a rule that holds whatever clients do.
    pub fn drain(&mut self, drain: &Drain) -> Result<(), String> {
        self.world.drain(drain)
    }

    /// Opens a connection, which the number stands for from then on.
    pub fn connect(&mut self) -> usize {
        let world = &mut self.world;
        let arrives = world.later();
        let number = world.links.len();
        let (now, pipe) = (world.now, world.plan.pipe);
        let link = Link::new(number, ProtocolVersion::V5_0, now, arrives, pipe);
        world.links.push(link);
        world.live.push(number);
        world.note(format_args!("link {number} opens"));
        number
    }

    /// Bytes from a client; they get there whole.
    pub fn send(&mut self, link: usize, bytes: &[u8]) {
        let arrives = self.world.later();
        let sent = bytes.len();
        self.world
            .note(format_args!("link {link}: the client sends {sent} bytes"));
        self.world.links[link].up.send(arrives, bytes);
    }

    /// Lets things happen until something arrives at the client, for `most_ms` of virtual time.
    ///
    /// # Errors
    /// The broker has broken a rule that holds whatever clients do.
    pub fn receive(&mut self, link: usize, most_ms: u64) -> Result<Arrival, String> {
        let world = &mut self.world;
        let until = world.now.after(most_ms);
        loop {
            let down = &mut world.links[link].down;
            let readable = down.readable_at().unwrap_or(Time::NEVER);
            if readable <= world.now {
                let bytes = down.read(world.now, usize::MAX);
                return Ok(match bytes.is_empty() {
                    true => Arrival::End,
                    false => Arrival::Bytes(bytes),
                });
            }
            if !world.turn(until.min(readable))? {
                if readable > until {
                    world.now = until;
                    return Ok(Arrival::Nothing);
                }
                world.now = readable;
            }
        }
    }

    /// The client closes both directions. What it has sent still gets there.
    pub fn cut(&mut self, link: usize) {
        self.stop_sending(link);
        let link = &mut self.world.links[link];
        link.client_open = false;
        link.down.die(0);
    }

    /// Lets things happen until the broker's end of a connection is closed, for `most_ms` of virtual
    /// time; whether it is.
    ///
    /// # Errors
    /// The broker has broken a rule that holds whatever clients do.
    pub fn sees_end(&mut self, link: usize, most_ms: u64) -> Result<bool, String> {
        let until = self.world.now.after(most_ms);
        while self.world.links[link].server != End::Closed {
            if !self.world.turn(until)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The client closes its sending direction only.
    pub fn stop_sending(&mut self, link: usize) {
        let arrives = self.world.later();
        self.world.note(format_args!("link {link} ends"));
        self.world.links[link].up.end(arrives);
    }

    /// Time passes: moment by moment, or in one jump, as for a machine that was asleep.
    ///
    /// # Errors
    /// The broker has broken a rule that holds whatever clients do.
    pub fn pass(&mut self, ms: u64) -> Result<(), String> {
        let world = &mut self.world;
        let until = world.now.after(ms);
        if world.random.one_in(3) {
            // What was on its way has arrived before.
            let settled = until.min(world.now.after(10 * world.plan.latency_ms));
            while world.turn(settled)? {}
            world.now = until;
        }
        while world.turn(until)? {}
        world.now = until;
        Ok(())
    }

    /// Milliseconds of virtual time since it began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.world.now.0
    }

    /// The last lines of what happened.
    #[must_use]
    pub fn trace(&self) -> String {
        self.world.trace.tail()
    }
}
