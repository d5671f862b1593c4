//! `simulate`: many runs of the simulation, or one of them again with its trace.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use clap::Parser;
use ternmq_test_sim::{Fault, Report, replay, run};

/// Plays seeded runs of shards, clients and the network between them in virtual time.
///
/// Exit status: 0 when every promise held, 1 when one was broken, 2 for wrong arguments.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// Play this seed again and show all that happens in it.
    #[arg(long, conflicts_with_all = ["seeds", "from", "jobs"])]
    seed: Option<u64>,
    /// How many seeds to play.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads that play; 0 means one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Put a bug into the simulated world, to see it noticed.
    #[arg(long, value_parser = fault)]
    fault: Option<Fault>,
    /// One line of JSON instead of a sentence.
    #[arg(long)]
    json: bool,
}

fn fault(name: &str) -> Result<Fault, String> {
    Fault::named(name).ok_or_else(|| {
        let names: Vec<String> = Fault::ALL.into_iter().map(Fault::name).collect();
        format!("there are: {}", names.join(", "))
    })
}

/// What came of many runs.
#[derive(Default)]
struct Sums {
    runs: u64,
    steps: u64,
    delivered: u64,
    milliseconds: u64,
    dropped: BTreeMap<&'static str, u64>,
    struck: u64,
    failures: Vec<Report>,
}

/// Failures after which it stops: more of them teach nothing.
const ENOUGH_FAILURES: usize = 5;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A run that panics says so in its report.
    std::panic::set_hook(Box::new(|_| ()));
    let begun = Instant::now();
    let sums = match arguments.seed {
        Some(seed) => {
            let mut sums = Sums::default();
            sums.add(replay(seed, arguments.fault, |line| {
                // A reader that goes away, as `head` does, ends nothing.
                drop(writeln!(stderr(), "{line}"));
            }));
            sums
        }
        None => play_all(&arguments),
    };
    tell(&arguments, &sums, begun.elapsed().as_secs_f64());
    match sums.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn play_all(arguments: &Arguments) -> Sums {
    let jobs = match arguments.jobs {
        0 => thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let last = arguments.from.saturating_add(arguments.seeds);
    let (next, enough) = (AtomicU64::new(arguments.from), AtomicBool::new(false));
    let progress = stderr().is_terminal() && !arguments.json;
    let mut sums = Sums::default();
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(1_000);
        for _ in 0..jobs {
            let (send, next, enough) = (send.clone(), &next, &enough);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || send.send(run(seed, arguments.fault)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for report in receive {
            sums.add(report);
            enough.fetch_or(sums.failures.len() >= ENOUGH_FAILURES, Ordering::Relaxed);
            if progress && sums.runs % 50 == 0 {
                drop(write!(stderr(), "\r{} of {}", sums.runs, arguments.seeds));
            }
        }
    });
    if progress {
        drop(write!(stderr(), "\r\x1b[K"));
    }
    sums.failures.sort_by_key(|report| report.seed);
    sums
}

impl Sums {
    fn add(&mut self, report: Report) {
        self.runs += 1;
        self.steps += report.steps;
        self.delivered += report.delivered;
        self.milliseconds += report.milliseconds;
        for (reason, count) in &report.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
        self.struck += u64::from(report.struck);
        if report.failure.is_some() {
            self.failures.push(report);
        }
    }
}

fn tell(arguments: &Arguments, sums: &Sums, seconds: f64) {
    let again = match arguments.fault {
        Some(fault) => format!(" --fault {}", fault.name()),
        None => String::new(),
    };
    if arguments.json {
        let failures: Vec<_> = sums
            .failures
            .iter()
            .map(|report| serde_json::json!({ "seed": report.seed, "why": report.failure }))
            .collect();
        let line = serde_json::json!({ "runs": sums.runs, "steps": sums.steps,
            "delivered": sums.delivered, "dropped": sums.dropped, "virtual_ms": sums.milliseconds, "struck": sums.struck,
            "seconds": seconds, "failures": failures });
        drop(writeln!(stdout(), "{line}"));
        return;
    }
    let mut out = stdout().lock();
    for report in &sums.failures {
        let failure = report.failure.as_deref().unwrap_or_default();
        drop(writeln!(
            out,
            "{failure}\nagain: simulate --seed {}{again}\n",
            report.seed
        ));
    }
    let struck = match arguments.fault {
        Some(fault) => format!(", {} struck in {}", fault.name(), sums.struck),
        None => String::new(),
    };
    let dropped: Vec<String> = sums
        .dropped
        .iter()
        .map(|(why, n)| format!("{n} {why}"))
        .collect();
    drop(writeln!(
        out,
        "{} runs, {} failed{struck}: {} steps, {} deliveries, dropped {}, {} h of virtual time in {seconds:.1} s",
        sums.runs,
        sums.failures.len(),
        sums.steps,
        sums.delivered,
        dropped.join(", "),
        sums.milliseconds / 3_600_000,
    ));
}
