//! Every script in every version on both stages, each a test of its own: `STAGE::SCRIPT::VERSION`.
//!
//! `TERNMQ_WIRE_SEED=7` plays the stage in memory with that seed only.
#![allow(missing_docs)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::Arc;
use ternmq_test_faces::normative::Statements;
use ternmq_test_faces::telling::Version;
use ternmq_test_wire::{Cut, Memory, Performance, Script, Sockets, perform, scripts};

/// Seeds that each script is played with in memory; one with cuts anywhere, for each cut.
const SEEDS: u64 = 100;
const SEEDS_FOR_A_CUT: u64 = 8;

/// Over sockets, one of so many cuts inside packets is made, and every one between packets.
const CUTS_OVER_SOCKETS: usize = 11;

fn main() {
    let arguments = Arguments::from_args();
    let all = Script::load_all(&scripts()).expect("readable scripts");
    let mut trials = checks(&all);
    for script in all {
        let script = Arc::new(script);
        for &version in &script.versions {
            let title = |stage: &str| format!("{stage}::{}::{version}", script.name);
            let played = Arc::clone(&script);
            if script.plays_in_memory() {
                trials.push(Trial::test(title("memory"), move || {
                    Ok(in_memory(&played, version)?)
                }));
            }
            if script.plays_over_sockets() {
                let played = Arc::clone(&script);
                trials.push(Trial::test(title("sockets"), move || {
                    Ok(over_sockets(&played, version)?)
                }));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn in_memory(script: &Script, version: Version) -> Result<(), String> {
    let seeds = match std::env::var("TERNMQ_WIRE_SEED") {
        Ok(text) => {
            let seed: u64 = text.parse().map_err(|_| "TERNMQ_WIRE_SEED=NUMBER")?;
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    let mut whole = Performance::default();
    for seed in seeds.clone() {
        whole = once_in_memory(script, version, seed, None)?;
    }
    for (at, cut) in whole.cuts(|_| true).into_iter().enumerate() {
        // Other seeds for each cut.
        let first = at as u64 * SEEDS_FOR_A_CUT;
        let of_cut = match seeds.end - seeds.start {
            1 => seeds.clone(),
            _ => first..first + SEEDS_FOR_A_CUT,
        };
        for seed in of_cut {
            once_in_memory(script, version, seed, Some(cut))?;
        }
    }
    Ok(())
}

fn once_in_memory(
    script: &Script,
    version: Version,
    seed: u64,
    cut: Option<Cut>,
) -> Result<Performance, String> {
    let mut stage = Memory::new(seed, &script.config, false)?;
    perform(script, version, &mut stage, cut).map_err(|failure| {
        // Once more, now with its trace.
        let trace = Memory::new(seed, &script.config, true).map(|mut stage| {
            drop(perform(script, version, &mut stage, cut));
            stage.trace()
        });
        let trace = trace.unwrap_or_default();
        format!("{trace}\nseed {seed}, {cut:?}: {failure}")
    })
}

fn over_sockets(script: &Script, version: Version) -> Result<(), String> {
    let once = |cut: Option<Cut>| {
        let mut stage = Sockets::start(&script.config)?;
        perform(script, version, &mut stage, cut).map_err(|e| format!("{cut:?}: {e}"))
    };
    let whole = once(None)?;
    for cut in whole.cuts(|at| at % CUTS_OVER_SOCKETS == 0) {
        once(Some(cut))?;
    }
    Ok(())
}

/// Tests of the script files themselves.
fn checks(scripts: &[Script]) -> Vec<Trial> {
    let count = scripts.len();
    let scripts = scripts.to_vec();
    vec![
        Trial::test("scripts::there_are_at_least_40", move || match count {
            40.. => Ok(()),
            n => Err(format!("only {n} scripts").into()),
        }),
        Trial::test("scripts::every_statement_exists", move || {
            statements_exist(&scripts).map_err(Failed::from)
        }),
    ]
}

fn statements_exist(scripts: &[Script]) -> Result<(), String> {
    for script in scripts {
        for (version, id) in &script.proves {
            if Statements::of(*version)?.gist(id).is_none() {
                return Err(format!("{}: MQTT {version} has no {id}", script.name));
            }
            if !script.versions.contains(version) {
                return Err(format!("{}: is not told in MQTT {version}", script.name));
            }
        }
    }
    Ok(())
}
