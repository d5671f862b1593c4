//! Runs of the simulation.
//!
//! `TERNMQ_SIM_SEED=7` plays one seed, `TERNMQ_SIM_SEEDS=10000` as many as that, from 0 on.

use ternmq_test_sim::{Fault, run};

/// Seeds that are played when nothing else is asked for.
const SEEDS: u64 = 20;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

#[test]
fn every_promise_holds_in_every_run() {
    let seeds = match number("TERNMQ_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TERNMQ_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (mut steps, mut delivered, mut milliseconds) = (0, 0, 0);
    for seed in seeds {
        let report = run(seed, None);
        if let Some(failure) = report.failure {
            panic!("{failure}\nplay it again with TERNMQ_SIM_SEED={seed}");
        }
        steps += report.steps;
        delivered += report.delivered;
        milliseconds += report.milliseconds;
    }
    println!("{steps} steps, {delivered} deliveries, {milliseconds} ms of virtual time");
    assert!(delivered > 0);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..5 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert_eq!((first.hash, first.steps), (second.hash, second.steps));
    }
    assert_ne!(run(0, None).hash, run(1, None).hash);
}

#[test]
fn every_fault_is_noticed() {
    for fault in Fault::ALL {
        let (mut struck, mut noticed) = (0, 0);
        for seed in 0..40 {
            if noticed == 2 {
                break;
            }
            let report = run(seed, Some(fault));
            struck += u32::from(report.struck);
            noticed += u32::from(report.failure.is_some());
        }
        println!("{fault:?}: struck in {struck} runs, noticed in {noticed}");
        assert!(
            noticed == 2,
            "{fault:?} was noticed {noticed} times, struck in {struck} runs"
        );
    }
}
