//! Runs of the simulation.
//!
//! A few seeds, and every fault. `cargo run --release -p ternmq-test-sim --bin simulate -- --seeds 10000` plays as
//! many as one likes, `--seed 7` one of them with its trace.

use ternmq_test_sim::{Fault, replay, run};

/// Seeds in which a fault must be noticed twice: not every run has what it could be noticed by.
const FAULTY_SEEDS: u64 = 120;

/// Seeds that are played here; the suite `simulate` plays 10,000.
const SEEDS: u64 = 20;

#[test]
fn every_promise_holds_in_every_run() {
    let (mut steps, mut delivered, mut milliseconds) = (0, 0, 0);
    for seed in 0..SEEDS {
        let report = run(seed, None);
        if let Some(failure) = report.failure {
            panic!("{failure}\nplay it again with `simulate --seed {seed}`");
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
        let (first, second) = (replay(seed, None, |_| ()), replay(seed, None, |_| ()));
        assert_eq!((first.hash, first.steps), (second.hash, second.steps));
        assert_eq!(
            first.steps,
            run(seed, None).steps,
            "with and without a trace"
        );
    }
    assert_ne!(replay(0, None, |_| ()).hash, replay(1, None, |_| ()).hash);
}

#[test]
fn every_fault_is_noticed() {
    for fault in Fault::ALL {
        let (mut struck, mut noticed) = (0, 0);
        for seed in 0..FAULTY_SEEDS {
            if noticed == 2 {
                break;
            }
            let report = run(seed, Some(fault));
            struck += u32::from(report.struck);
            noticed += u32::from(report.struck && report.failure.is_some());
        }
        println!("{fault:?}: struck in {struck} runs, noticed in {noticed}");
        assert!(
            noticed == 2,
            "{fault:?} was noticed {noticed} times, struck in {struck} runs"
        );
    }
}
