//! A seeded simulation of TernMQ: shards, clients and the network between them, in virtual time.
//!
//! One seed is one run: up to four [`Shard`](ternmq_protocol::broker::Shard)s behind a simulated
//! driver, [`ClientSession`](ternmq_protocol::client::ClientSession)s of all three versions, and
//! links that delay, fragment, stall, break in the middle of a packet or fall silent. Nothing waits
//! for a clock: when nothing more can happen now, time jumps to the next deadline.
//!
//! What goes on in a run, its plan says: small queues with each policy, priorities, rates, small
//! packets, few aliases, delayed messages, groups, exclusive subscriptions, full mailboxes, hostile
//! clients, a clock that jumps.
//!
//! Everything is checked against models that know nothing of the code under test. The ledger sees what
//! clients published, subscribed to and received; the truth sees the packets that a shard has handled.
//! The books say how many copies each session was due, message by message: after every step a session's
//! copies are sent, queued or dropped for a counted reason, and their number is that of the books; when
//! nothing waits any more, what was not seen on the wire is what the counters say was dropped. The audit
//! holds each shard against its limits after every step. A [`Fault`] puts a bug into the simulated
//! driver, or lets the shards forget a limit, which shows that the models notice.
#![forbid(unsafe_code)]

mod act;
mod audit;
mod bench;
mod books;
mod door;
mod event;
mod fault;
mod finale;
mod flow;
mod host;
mod hostile;
mod intake;
mod ledger;
mod mail;
mod peer;
mod pipe;
mod plan;
mod random;
mod rates;
mod tap;
mod trace;
mod truth;
mod world;

pub use bench::{Arrival, Bench};
pub use fault::Fault;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use trace::Trace;
use world::World;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The run's only input, besides the fault.
    pub seed: u64,
    /// Of every line of its trace, if it has one: [`replay`] writes it.
    pub hash: u64,
    /// Things that happened.
    pub steps: u64,
    /// Messages that arrived and were checked.
    pub delivered: u64,
    /// Copies that shards counted as dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Milliseconds of virtual time.
    pub milliseconds: u64,
    /// What went wrong, with the last lines of the trace.
    pub failure: Option<String>,
    /// Whether the fault found an occasion.
    pub struck: bool,
}

/// Plays the run of a seed to its end or to its first failure. What failed is played once more, with
/// its trace.
#[must_use]
pub fn run(seed: u64, fault: Option<Fault>) -> Report {
    let report = play(World::new(seed, fault, Trace::new(false)));
    match report.failure {
        None => report,
        Some(_) => play(World::new(seed, fault, Trace::new(true))),
    }
}

/// The same run with its trace, line by line as it happens.
#[must_use]
pub fn replay(seed: u64, fault: Option<Fault>, line: impl FnMut(&str) + 'static) -> Report {
    let mut trace = Trace::new(true);
    trace.listen(Box::new(line));
    play(World::new(seed, fault, trace))
}

fn play(mut world: World) -> Report {
    let played = catch_unwind(AssertUnwindSafe(|| world.run()));
    let failure = match played {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(format!("panicked: {}", text.unwrap_or_default()))
        }
    };
    let seed = world.seed;
    Report {
        seed,
        hash: world.trace.hash(),
        steps: world.step,
        delivered: world.ledger.delivered,
        dropped: world.dropped_by_reason(),
        milliseconds: world.now.0,
        failure: failure.map(|failure| {
            let trace = world.trace.tail();
            format!("seed {seed}, step {}:\n{trace}\n{failure}", world.step)
        }),
        struck: world.faults.have_struck(),
    }
}
