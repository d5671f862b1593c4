//! Disks that fail and power that is cut: what was acknowledged is there, and nothing half.

mod common;

use std::sync::Arc;

use common::disk::{Fault, Faulty, Volatile};
use common::{CLOCK, Seeded, append, key, payloads, read, session};
use ternmq_protocol::broker::durable::StoreOp;
use ternmq_protocol::broker::record::{NodeId, Owner, Rev};
use ternmq_store::{Backend, Memory, Options, Store, StoreError, SweepLimits, Sync};

const NODE: NodeId = NodeId(1);

fn open(backend: Arc<dyn Backend>) -> Result<Store, StoreError> {
    let options = Options {
        cache_bytes: 1 << 20,
        verify: false,
    };
    Store::over(backend, &options)
}

/// The messages of a commit: so many, by its number.
fn count(commit: u64) -> u64 {
    1 + commit * 7 % 5
}

fn payload(commit: u64, n: u64) -> Vec<u8> {
    let mut payload = format!("{commit}/{n}").into_bytes();
    // Some are longer than a page of the engine.
    payload.resize(if commit % 4 == 3 { 9_000 } else { 40 }, b'.');
    payload
}

/// All of a commit: messages, a session, a retained message, each of its number.
fn ops(commit: u64) -> Vec<StoreOp> {
    let mut ops: Vec<StoreOp> = (0..count(commit))
        .map(|n| append("t", &payload(commit, n), &["all"]))
        .collect();
    ops.push(session("anna", commit, 0, &[]));
    ops.push(StoreOp::PutRetained(common::message(
        "r",
        commit.to_string().as_bytes(),
    )));
    ops
}

/// Which commits a store has, by all that is in each; they are the first ones.
fn commits(store: &Store) -> u64 {
    let session = store.session(key("anna"), CLOCK).unwrap();
    let commits = session.map_or(0, |record| record.rev.0);
    let wanted: Vec<(u64, String)> = (1..=commits)
        .flat_map(|commit| (0..count(commit)).map(move |n| payload(commit, n)))
        .zip(1..)
        .map(|(payload, seq)| (seq, String::from_utf8(payload).unwrap()))
        .collect();
    let page = read(store, &["all"], 0, 100_000);
    assert_eq!(payloads(&page), wanted);
    assert_eq!((page.lost, store.head()), (0, wanted.len() as u64));
    let retained = store.retained("", 10, CLOCK).unwrap();
    let retained: Vec<&[u8]> = retained.messages.iter().map(|one| one.payload()).collect();
    match commits {
        0 => assert!(retained.is_empty()),
        _ => assert_eq!(retained, [commits.to_string().as_bytes()]),
    }
    commits
}

/// Commits until the disk fails. Returns how many were acknowledged.
fn run(store: &Store, owner: Owner, from: u64, to: u64) -> (u64, Option<StoreError>) {
    for commit in from..=to {
        let sync = match commit % 3 {
            0 => Sync::No,
            _ => Sync::Yes,
        };
        if let Err(error) = store.commit(owner, &ops(commit), CLOCK, sync) {
            return (commit - 1, Some(error));
        }
    }
    (to, None)
}

fn fails_everywhere(fault: Fault) {
    let mut failures = 0;
    for after in 0.. {
        let disk = Arc::new(Faulty::default());
        let store = open(disk.clone()).unwrap();
        let owner = store.begin(NODE).unwrap();
        assert_eq!(run(&store, owner, 1, 3).0, 3);
        disk.fail(after, fault);
        let (done, error) = run(&store, owner, 4, 12);
        if let Some(error) = &error {
            failures += 1;
            assert_eq!(error.is_full(), fault == Fault::Full, "{error}");
            // It goes on failing, and says so.
            assert!(
                store
                    .commit(owner, &ops(done + 1), CLOCK, Sync::Yes)
                    .is_err()
            );
        }
        let failed = disk.mend();
        assert_eq!(commits(&store), done, "after {after}");
        let (done, error) = run(&store, owner, done + 1, 14);
        assert!(error.is_none());
        assert_eq!((done, commits(&store)), (14, 14));
        drop(store);
        let copy = Arc::new(Memory::with(disk.memory.bytes()));
        assert_eq!(commits(&open(copy).unwrap()), 14, "after {after}");
        if !failed {
            break;
        }
    }
    assert!(failures > 20, "{failures}");
}

#[test]
fn a_full_disk_takes_nothing_back_and_loses_nothing() {
    fails_everywhere(Fault::Full);
}

#[test]
fn a_broken_disk_takes_nothing_back_and_loses_nothing() {
    fails_everywhere(Fault::Broken);
}

#[test]
fn a_write_that_ends_halfway_takes_nothing_back_and_loses_nothing() {
    fails_everywhere(Fault::Short);
}

#[test]
fn a_store_that_can_not_be_opened_can_be_later() {
    for fault in [Fault::Full, Fault::Broken, Fault::Short] {
        for after in 0.. {
            let disk = Arc::new(Faulty::default());
            disk.fail(after, fault);
            let opened = open(disk.clone());
            let failed = disk.mend();
            assert!(failed || opened.is_ok(), "{fault:?} {after}");
            drop(opened);
            if !failed {
                break;
            }
            let store = open(disk).unwrap();
            let owner = store.begin(NODE).unwrap();
            assert_eq!(run(&store, owner, 1, 2).0, 2);
        }
    }
}

#[test]
fn reads_fail_while_the_disk_does_and_work_again_with_it() {
    let disk = Arc::new(Faulty::default());
    let store = open(disk.clone()).unwrap();
    let owner = store.begin(NODE).unwrap();
    run(&store, owner, 1, 400);
    drop(store);
    for after in 0..40 {
        let store = open(disk.clone()).unwrap();
        disk.fail(after, Fault::Broken);
        let request = common::request(&["all"], 0, 100_000);
        let page = store.read(&request, CLOCK);
        if disk.mend() {
            assert!(matches!(page, Err(StoreError::Io(..))), "{after}");
        }
        assert_eq!(commits(&store), 400);
    }
}

/// A sweep at whose operations the disk fails in turn: what is waited for stays, and a later sweep
/// does what was left.
#[test]
fn a_sweep_that_fails_halfway_loses_nothing() {
    for after in 0.. {
        let disk = Arc::new(Faulty::default());
        let store = open(disk.clone()).unwrap();
        let owner = store.begin(NODE).unwrap();
        let waiting = [
            session("slow", 1, 0, &[]),
            common::subscribe("slow", "rare", 0),
        ];
        common::commit(&store, owner, &waiting);
        for round in 0..30u32 {
            let ops: Vec<StoreOp> = (0..20)
                .map(|n| match n {
                    3 => append("t", round.to_string().as_bytes(), &["all", "rare"]),
                    _ => append("t", &[b'x'; 700], &["all"]),
                })
                .collect();
            common::commit(&store, owner, &ops);
        }
        let limits = SweepLimits {
            settled: store.head(),
            ..SweepLimits::default()
        };
        disk.fail(after, Fault::Broken);
        let swept = store.sweep(owner, &limits, CLOCK);
        let failed = disk.mend();
        assert!(failed || swept.is_ok());
        let rest = store.sweep(owner, &limits, CLOCK).unwrap();
        let passed = swept.map_or(0, |swept| swept.passed) + rest.passed;
        assert!(passed == 570 || failed, "{passed}");
        let page = read(&store, &["rare"], 0, 100);
        let said: Vec<String> = payloads(&page).into_iter().map(|(_, said)| said).collect();
        let wanted: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        assert_eq!((said, page.lost), (wanted, 0), "{after}");
        assert!(store.log_bytes() < 10_000, "{}", store.log_bytes());
        assert!(store.check(CLOCK).unwrap().is_whole());
        if !failed {
            return;
        }
    }
}

#[test]
fn compacting_that_fails_halfway_loses_nothing() {
    for fault in [Fault::Full, Fault::Broken, Fault::Short] {
        for after in (0..).step_by(3) {
            let disk = Arc::new(Faulty::default());
            let store = open(disk.clone()).unwrap();
            let owner = store.begin(NODE).unwrap();
            let large = append("t", &[b'x'; 200_000], &["gone"]);
            store.commit(owner, &[large], CLOCK, Sync::Yes).unwrap();
            let limits = SweepLimits {
                settled: 1,
                ..SweepLimits::default()
            };
            assert_eq!(store.sweep(owner, &limits, CLOCK).unwrap().passed, 1);
            for n in 0..30 {
                let message = common::message(&format!("r/{n}"), &[b'y'; 900]);
                let sync = if n % 2 == 0 { Sync::Yes } else { Sync::No };
                let ops = [StoreOp::PutRetained(message)];
                store.commit(owner, &ops, CLOCK, sync).unwrap();
            }
            disk.fail(after, fault);
            let compacted = store.compact();
            let failed = disk.mend();
            assert!(failed || compacted.is_ok(), "{fault:?} {after}");
            let there = |store: &Store| {
                let page = store.retained("r/", 100, CLOCK).unwrap();
                assert!(page.messages.iter().all(|one| one.payload() == [b'y'; 900]));
                assert_eq!(
                    (page.messages.len(), page.damaged),
                    (30, 0),
                    "{fault:?} {after}"
                );
            };
            there(&store);
            store.commit(owner, &ops(1), CLOCK, Sync::Yes).unwrap();
            there(&store);
            drop(store);
            there(&open(disk).unwrap());
            if !failed {
                break;
            }
        }
    }
}

/// One thread commits on a disk that fails now and then, another sweeps, and two read: they see
/// messages in their order, none twice, and none left out.
#[test]
fn readers_see_the_log_in_order_whatever_goes_on() {
    const LAST: u64 = 4_000;
    let disk = Arc::new(Faulty::default());
    let store = open(disk.clone()).unwrap();
    let owner = store.begin(NODE).unwrap();
    let waiting = [
        session("slow", 1, 0, &[]),
        common::subscribe("slow", "a", 0),
    ];
    common::commit(&store, owner, &waiting);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Seeded(7);
            let mut next = 1;
            while next <= LAST {
                let ops: Vec<StoreOp> = (next..next + 10)
                    .map(|seq| append("t", seq.to_string().as_bytes(), &["a", "all"]))
                    .collect();
                if random.one_in(40) {
                    disk.fail(random.below(20) as u64, Fault::Broken);
                }
                let sync = match random.one_in(2) {
                    true => Sync::Yes,
                    false => Sync::No,
                };
                match store.commit(owner, &ops, CLOCK, sync) {
                    Ok(done) => next = done.head + 1,
                    Err(_) => drop(disk.mend()),
                }
            }
            disk.mend();
        });
        scope.spawn(|| {
            while store.head() < LAST {
                let limits = SweepLimits {
                    settled: store.head(),
                    ..SweepLimits::default()
                };
                let _ = store.sweep(owner, &limits, CLOCK);
                std::thread::yield_now();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut after = 0;
                while after < LAST {
                    let request = common::request(&["a"], after, 50);
                    let Ok(page) = store.read(&request, CLOCK) else {
                        continue;
                    };
                    for (seq, said) in payloads(&page) {
                        assert_eq!((seq, said), (after + 1, (after + 1).to_string()));
                        after = seq;
                    }
                    assert_eq!((page.lost, page.reached), (0, after));
                }
            });
        }
    });
    assert!(store.check(CLOCK).unwrap().is_whole());
}

/// A run with a power cut somewhere in it. Returns whether there was one.
fn cut(seed: u64) -> bool {
    let mut random = Seeded(seed);
    let disk = Volatile::new(random.below(220) as u64, random.next());
    let store = open(Arc::new(disk.clone())).unwrap();
    let owner = store.begin(NODE).unwrap();
    let (mut synced, mut tried) = (0, 0);
    for commit in 1..=12 {
        let sync = match random.one_in(3) {
            true => Sync::No,
            false => Sync::Yes,
        };
        tried = commit;
        store.commit(owner, &ops(commit), CLOCK, sync).unwrap();
        if disk.image().is_some() {
            break;
        }
        if sync == Sync::Yes {
            synced = commit;
        }
        if random.one_in(6) {
            let limits = SweepLimits::default();
            store.sweep(owner, &limits, CLOCK).unwrap();
            if disk.image().is_some() {
                break;
            }
        }
    }
    drop(store);
    let Some(image) = disk.image() else {
        return false;
    };
    let store = open(Arc::new(Memory::with(image)));
    let store = store.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let there = commits(&store);
    assert!((synced..=tried).contains(&there), "seed {seed}: {there}");
    // And it goes on from there.
    let owner = store.begin(NODE).unwrap();
    let next = store
        .commit(owner, &ops(there + 1), CLOCK, Sync::Yes)
        .unwrap();
    assert_eq!(
        (next.appended, commits(&store)),
        (count(there + 1), there + 1)
    );
    let record = store.session(key("anna"), CLOCK).unwrap().unwrap();
    assert_eq!(record.rev, Rev(there + 1));
    true
}

#[test]
fn a_power_cut_leaves_what_was_synced_and_nothing_half() {
    let seeds = common::rounds(400);
    let cuts = (0..seeds).filter(|seed| cut(*seed)).count() as u64;
    assert!(cuts > seeds / 2, "{cuts}");
}
