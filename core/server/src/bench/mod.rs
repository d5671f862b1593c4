//! `ternmq bench`: load for any broker, what of it arrives and how late.
//!
//! Threads (`--threads`) share out the clients; each drives its own, and has a thread of the client library that does
//! their IO. What is measured includes all of them, so that beyond some 100,000 messages a second for each it is this
//! command that is slow and not the broker.

mod clients;
mod flow;
mod load;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};
use ternmq_protocol::codec::QoS;

use crate::cli::Connection;
use crate::connection;

/// The exit status when messages were lost, came twice or in another order.
const WRONG: u8 = 3;

/// What a script wants to know.
const STATUSES: &str = "\
Exit status:
  0  all arrived once and in order (with QoS 1 twice is allowed)
  1  it could not be measured
  2  the command line is wrong
  3  messages are lost, came twice or in another order, or connections failed

Ctrl-C ends it early, and what was measured is printed.";

/// Options of `ternmq bench`.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    #[command(subcommand)]
    scenario: Scenario,
}

/// Who sends to whom.
#[derive(Debug, Subcommand)]
enum Scenario {
    /// Many publishers, one subscriber
    #[command(after_help = STATUSES)]
    Fanin(Load),
    /// One publisher, many subscribers
    #[command(after_help = STATUSES)]
    Fanout(Load),
    /// Each publisher has a subscriber of its own
    #[command(after_help = STATUSES)]
    Pairs(Load),
    /// Connections alone: how fast they are made, and whether they stay
    #[command(after_help = STATUSES)]
    Connections(Connections),
}

/// What is sent.
#[derive(Args, Debug)]
struct Load {
    /// Clients on the side that has many; of pairs, so many pairs
    #[arg(short = 'n', long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// Messages a second, of all publishers together; 0: as many as are taken
    #[arg(long, default_value_t = 0, value_name = "N")]
    rate: u32,
    /// Bytes of a payload
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = value_parser!(u32).range(flow::HEAD as i64..=16_000_000))]
    size: u32,
    /// QoS of messages and subscriptions
    #[arg(short, long, value_parser = crate::cli::qos, default_value = "0")]
    qos: QoS,
    /// End after so many messages, all publishers together, and not after a time
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// Messages of one publisher that are on their way at a time, from publish to the last subscriber
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = value_parser!(u32).range(1..=65_535))]
    inflight: u32,
    #[command(flatten)]
    common: Common,
}

/// Connections that do nothing.
#[derive(Args, Debug)]
struct Connections {
    /// How many
    #[arg(short = 'n', long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// Seconds to keep them
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = value_parser!(u64).range(..=86_400))]
    duration: u64,
    #[command(flatten)]
    common: Common,
}

/// What all of them know.
#[derive(Args, Debug)]
struct Common {
    /// Connections made a second; 0: all at once
    #[arg(long, default_value_t = 1000, value_name = "N")]
    connect_rate: u32,
    /// Threads that drive the clients, each with another one for their IO [default: half of the cores, 8 at most]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Beginning of all topics
    #[arg(long, default_value = "ternmq-bench", value_name = "TOPIC")]
    prefix: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Write the distribution of the latencies there, in the format of HdrHistogram's plotter, in microseconds
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

impl Common {
    /// As many as are wanted or fit; none has nothing to do.
    fn threads(&self, clients: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let fits = (cores / 2).clamp(1, 8);
        let wanted = self.threads.map_or(fits, |threads| threads as usize);
        wanted.min(clients).max(1)
    }
}

/// Who sends to whom, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    FanIn,
    FanOut,
    Pairs,
}

/// Set by Ctrl-C.
#[derive(Clone, Debug, Default)]
struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs one scenario and prints what came of it.
pub(crate) fn run(args: &Bench) -> Result<u8, String> {
    // More clients than files may be open fail with words of their own.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let interrupt = Interrupt::default();
    let set = interrupt.clone();
    connection::at_signal(move || set.0.store(true, Ordering::Relaxed))?;
    let (common, measured) = match &args.scenario {
        Scenario::Fanin(load) => (&load.common, load::run(load, Shape::FanIn, &interrupt)?),
        Scenario::Fanout(load) => (&load.common, load::run(load, Shape::FanOut, &interrupt)?),
        Scenario::Pairs(load) => (&load.common, load::run(load, Shape::Pairs, &interrupt)?),
        Scenario::Connections(args) => {
            let keep = Duration::from_secs(args.duration);
            let measured = clients::connections(&args.common, args.clients, keep, &interrupt)?;
            (&args.common, measured)
        }
    };
    if let Some(path) = &common.hdr {
        report::write_distribution(path, &measured.latency)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    match common.json {
        true => crate::report::line(&measured.json().to_string()),
        false => crate::report::line(&measured.table()),
    }
    Ok(match measured.is_right() {
        true => crate::SUCCESS,
        false => WRONG,
    })
}
