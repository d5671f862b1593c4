//! Kills a server under load as often as asked and says whether it kept its word.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ternmq_broker::Durability;
use ternmq_test_crash::{Chance, Plan, Report, Server, run};

/// Kills a server under load, at random points, and compares what was acknowledged with what arrives.
#[derive(Parser)]
struct Options {
    /// The program `ternmq` to kill.
    #[arg(long, default_value = "target/release/ternmq")]
    program: PathBuf,
    /// How often in all.
    #[arg(long, default_value_t = 1_000)]
    points: u32,
    /// Crashes of one run, with the same sessions.
    #[arg(long, default_value_t = 25)]
    crashes: u32,
    /// Cut the power instead, of a broker in this process on a disk that forgets what was not synced.
    #[arg(long, conflicts_with = "config")]
    power: bool,
    /// The same, and before half of the cuts the disk is full, broken, or takes half of what is written.
    #[arg(long, conflicts_with = "config")]
    faults: bool,
    /// Stop it with SIGTERM instead: shows whether what is found has to do with crashes.
    #[arg(long)]
    gently: bool,
    /// The first run's seed; the next ones count on.
    #[arg(long)]
    seed: Option<u64>,
    /// Further lines for the server's configuration.
    #[arg(long, default_value = "")]
    config: String,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options
        .seed
        .unwrap_or_else(|| Chance::new(u64::from(std::process::id())).below(1 << 32));
    match all(&options, seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crash: {error}");
            ExitCode::from(2)
        }
    }
}

fn all(options: &Options, first: u64) -> Result<bool, String> {
    let (mut done, mut seed, mut good) = (0, first, true);
    let (mut published, mut delivered, mut failed, mut expired) = (0, 0, 0, 0);
    let (mut later, mut bans) = (0, 0);
    while done < options.points {
        let crashes = options.crashes.min(options.points - done);
        let report = one(options, seed, crashes)?;
        done += report.crashes;
        published += report.published;
        delivered += report.delivered;
        failed += report.failed;
        expired += report.expired;
        later += report.later;
        bans += report.bans;
        println!(
            "seed {seed}: {} crashes, {} published, {} delivered, {} failures of the disk, {} sessions expired, \
             slowest start {} ms, {} wrong",
            report.crashes,
            report.published,
            report.delivered,
            report.failed,
            report.expired,
            report.slowest_start.as_millis(),
            report.wrong.len(),
        );
        for wrong in &report.wrong {
            println!("  {wrong}");
        }
        good &= report.wrong.is_empty();
        seed += 1;
    }
    let word = if good { "nothing lost" } else { "FAILED" };
    println!(
        "{done} crashes, {published} published, {delivered} delivered, {failed} failures of the disk, \
         {expired} sessions expired, {later} wills and delayed messages, {bans} bans: {word}"
    );
    Ok(good)
}

fn one(options: &Options, seed: u64, crashes: u32) -> Result<Report, String> {
    let plan = Plan {
        seed,
        crashes,
        gently: options.gently,
        faults: options.faults,
        publishers: 3,
    };
    let shards = 1 + seed % 3;
    if options.power || options.faults {
        return run(
            &plan,
            Server::powered(shards as usize, seed, Durability::Group)?,
        );
    }
    let at = |path: &std::path::Path, e: std::io::Error| format!("{}: {e}", path.display());
    let program = options.program.canonicalize();
    let program = program.map_err(|e| at(&options.program, e))?;
    let folder = std::env::temp_dir().join(format!("ternmq-crash-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| at(&folder, e))?;
    let config = format!("shards = {shards}\n{}", options.config);
    let report = run(&plan, Server::process(&program, &folder, &config)?)?;
    match report.wrong.is_empty() {
        true => std::fs::remove_dir_all(&folder).map_err(|e| at(&folder, e))?,
        false => println!("its folder stays: {}", folder.display()),
    }
    Ok(report)
}
