//! What nobody waits for goes, and nothing else.

mod common;

use common::{CLOCK, append, appended, commit, key, payloads, read, session, subscribe};
use ternmq_protocol::broker::durable::{StoreOp, StreamKey};
use ternmq_protocol::broker::record::{NodeId, Owner};
use ternmq_protocol::time::{Clock, Time, UnixMs};
use ternmq_store::{Store, SweepLimits, Swept};

fn new() -> (Store, Owner) {
    let store = Store::memory().unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    (store, owner)
}

fn sweep(store: &Store, owner: Owner) -> Swept {
    let limits = SweepLimits {
        settled: store.head(),
        ..SweepLimits::default()
    };
    store.sweep(owner, &limits, CLOCK).unwrap()
}

fn fill(store: &Store, owner: Owner, commits: u64, streams: &[&str]) -> Vec<StoreOp> {
    let mut all = Vec::new();
    for _ in 0..commits {
        let ops: Vec<StoreOp> = (0..100)
            .map(|n| {
                append(
                    "t",
                    format!("{n}").as_bytes(),
                    &[streams[n % streams.len()]],
                )
            })
            .collect();
        commit(store, owner, &ops);
        all.extend(ops);
    }
    all
}

#[test]
fn messages_go_when_all_have_read_them() {
    let (store, owner) = new();
    let ops = [
        session("anna", 1, 0, &[]),
        session("bert", 1, 0, &[]),
        subscribe("anna", "a", 0),
        subscribe("bert", "a", 0),
    ];
    commit(&store, owner, &ops);
    fill(&store, owner, 10, &["a"]);
    assert_eq!(sweep(&store, owner), Swept::default());
    commit(&store, owner, &[session("anna", 2, 1000, &[])]);
    assert_eq!(sweep(&store, owner), Swept::default());
    commit(&store, owner, &[session("bert", 2, 450, &[])]);
    // The index has the thousand in one row, which goes as a whole.
    assert_eq!(sweep(&store, owner).passed, 0);
    commit(&store, owner, &[session("bert", 3, 1000, &[])]);
    let swept = sweep(&store, owner);
    assert_eq!((swept.passed, swept.blocks, swept.rows), (1000, 10, 1));
    assert_eq!(store.log_bytes(), 0);
    let page = read(&store, &["a"], 0, 10);
    assert_eq!((page.messages.len(), page.lost), (0, 0));
    // The numbers go on.
    assert_eq!(commit(&store, owner, &[append("a", b"", &["a"])]), 1001);
}

#[test]
fn what_is_not_settled_stays_without_anybody() {
    let (store, owner) = new();
    fill(&store, owner, 4, &["a"]);
    let limits = SweepLimits {
        settled: 399,
        ..SweepLimits::default()
    };
    assert_eq!(store.sweep(owner, &limits, CLOCK).unwrap().passed, 0);
    assert_eq!(sweep(&store, owner).passed, 400);
}

#[test]
fn a_slow_session_keeps_its_own_messages_and_not_those_beside_them() {
    let (store, owner) = new();
    let ops = [
        session("slow", 1, 0, &[]),
        session("quick", 1, 0, &[]),
        subscribe("slow", "rare", 0),
        subscribe("quick", "#", 0),
    ];
    commit(&store, owner, &ops);
    for round in 0..20 {
        let ops: Vec<StoreOp> = (0..200)
            .map(|n| match n {
                7 => append("t", format!("{round}").as_bytes(), &["rare", "#"]),
                _ => append("t", &[b'x'; 100], &["#"]),
            })
            .collect();
        commit(&store, owner, &ops);
    }
    let before = store.log_bytes();
    commit(&store, owner, &[session("quick", 2, 4000, &[])]);
    let swept = sweep(&store, owner);
    // A commit is two blocks, and one of them has something rare.
    assert_eq!(
        (swept.passed, swept.rewritten, swept.blocks),
        (3980, 20, 20)
    );
    assert!(store.log_bytes() < before / 50, "{}", store.log_bytes());
    assert_eq!(before - store.log_bytes(), swept.bytes);
    let page = read(&store, &["rare"], 0, 100);
    let wanted: Vec<(u64, String)> = (0..20).map(|n| (n * 200 + 8, n.to_string())).collect();
    assert_eq!((payloads(&page), page.lost), (wanted, 0));
    commit(&store, owner, &[StoreOp::EndSession(key("slow"))]);
    let swept = sweep(&store, owner);
    assert_eq!((swept.passed, swept.blocks), (20, 20));
    assert_eq!(store.log_bytes(), 0);
}

#[test]
fn what_is_in_flight_stays() {
    let (store, owner) = new();
    commit(
        &store,
        owner,
        &[session("anna", 1, 0, &[]), subscribe("anna", "a", 0)],
    );
    let ops = fill(&store, owner, 3, &["a"]);
    let flying = appended(&ops[150]);
    let with = session("anna", 2, 300, &[flying]);
    commit(&store, owner, &[with]);
    let swept = sweep(&store, owner);
    assert_eq!((swept.passed, swept.blocks, swept.rewritten), (299, 2, 1));
    let back = store.session(key("anna"), CLOCK).unwrap().unwrap();
    assert_eq!((back.in_flight.len(), back.lost), (1, 0));
    assert_eq!(sweep(&store, owner), Swept::default());
    commit(&store, owner, &[session("anna", 3, 300, &[])]);
    let swept = sweep(&store, owner);
    assert_eq!((swept.passed, swept.blocks), (1, 1));
    assert_eq!(store.log_bytes(), 0);
}

#[test]
fn a_subscription_holds_what_is_behind_its_beginning() {
    let (store, owner) = new();
    fill(&store, owner, 1, &["a"]);
    let ops = [session("anna", 1, 0, &[]), subscribe("anna", "a", 100)];
    commit(&store, owner, &ops);
    fill(&store, owner, 1, &["a"]);
    sweep(&store, owner);
    let page = read(&store, &["a"], 100, 1000);
    assert_eq!((page.messages.len(), page.lost), (100, 0));
}

#[test]
fn the_old_goes_and_what_is_too_much_though_somebody_waits() {
    let (store, owner) = new();
    commit(
        &store,
        owner,
        &[session("anna", 1, 0, &[]), subscribe("anna", "a", 0)],
    );
    fill(&store, owner, 10, &["a"]);
    let later = Clock::at(Time(5_000), UnixMs(CLOCK.utc_now().0 + 10_000));
    let ops: Vec<StoreOp> = (0..100).map(|_| append("t", b"late", &["a"])).collect();
    store
        .commit(owner, &ops, later, ternmq_store::Sync::Yes)
        .unwrap();
    let aged = SweepLimits {
        max_age_ms: Some(5_000),
        ..SweepLimits::default()
    };
    let swept = store.sweep(owner, &aged, later).unwrap();
    assert_eq!((swept.aged, swept.passed, swept.over_limit), (1000, 0, 0));
    let page = read(&store, &["a"], 0, 1000);
    // It went by a limit, which was counted then: it is not lost.
    assert_eq!(
        (page.messages.len(), page.reached, page.lost),
        (100, 1100, 0)
    );
    let few = SweepLimits {
        max_bytes: Some(10),
        ..SweepLimits::default()
    };
    let swept = store.sweep(owner, &few, later).unwrap();
    assert_eq!((swept.aged, swept.over_limit), (0, 100));
    assert_eq!(store.log_bytes(), 0);
    fill(&store, owner, 1, &["a"]);
    let page = read(&store, &["a"], 0, 1000);
    assert_eq!((page.messages.len(), page.reached), (100, 1200));
}

/// A group of which the store knows no member: what it holds stays until it is done. What is not when it is let go
/// is counted, once, whether a later group of its name has begun or not.
#[test]
fn what_a_group_leaves_is_counted_when_it_goes() {
    for begins in [false, true] {
        let (store, owner) = new();
        let group = "$share/g/a";
        let stream = StreamKey::of(group);
        let at = |settled| SweepLimits {
            settled,
            ..SweepLimits::default()
        };
        commit(&store, owner, &[StoreOp::DoneUpTo(stream, 0)]);
        // The last is not settled at first.
        fill(&store, owner, 1, &[group, "nobody's"]);
        let done: Vec<_> = (11..=21).map(|seq| StoreOp::Done(stream, seq)).collect();
        commit(&store, owner, &done);
        let held = |of| of == stream;
        let swept = store.sweep_but(owner, &at(100), &held, CLOCK).unwrap();
        assert_eq!(swept.left, 0, "{swept:?}");
        let page = store.undone(stream, 0, (1000, usize::MAX), CLOCK).unwrap();
        assert_eq!(page.messages.len(), 44);
        commit(&store, owner, &[StoreOp::DoneUpTo(stream, 100)]);
        if begins {
            let ops = [session("anna", 1, 0, &[]), subscribe("anna", group, 0)];
            commit(&store, owner, &ops);
        }
        assert_eq!(store.sweep(owner, &at(0), CLOCK).unwrap().left, 0);
        let first = store.sweep(owner, &at(99), CLOCK).unwrap().left;
        assert_eq!(first + sweep(&store, owner).left, 44, "{begins}");
        assert_eq!(sweep(&store, owner).left, 0);
        assert_eq!(store.log_bytes(), 0);
    }
}

/// The same for what the limits of the log have taken.
#[test]
fn what_a_group_leaves_to_the_limits_is_counted_once() {
    let (store, owner) = new();
    let group = "$share/g/a";
    commit(&store, owner, &[StoreOp::DoneUpTo(StreamKey::of(group), 0)]);
    fill(&store, owner, 1, &[group]);
    let few = SweepLimits {
        max_bytes: Some(10),
        settled: store.head(),
        ..SweepLimits::default()
    };
    let swept = store.sweep(owner, &few, CLOCK).unwrap();
    assert_eq!((swept.left, swept.over_limit), (100, 0));
    assert_eq!(sweep(&store, owner).left, 0);
}

#[test]
fn a_clock_that_jumps_a_year_lets_all_go_or_nothing() {
    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    let (store, owner) = new();
    commit(
        &store,
        owner,
        &[session("anna", 1, 0, &[]), subscribe("anna", "a", 0)],
    );
    fill(&store, owner, 10, &["a"]);
    let clock = |utc| Clock::at(Time(10_000), UnixMs(utc));
    let now = CLOCK.utc_now().0;
    let limits = SweepLimits {
        max_age_ms: Some(60_000),
        ..SweepLimits::default()
    };
    // Back, also to before 1970: nothing is older than it was.
    for utc in [now - YEAR, 0] {
        let swept = store.sweep(owner, &limits, clock(utc)).unwrap();
        assert_eq!(swept, Swept::default());
    }
    let ops: Vec<StoreOp> = (0..100).map(|_| append("t", b"next", &["a"])).collect();
    let ahead = clock(now + YEAR);
    let sync = ternmq_store::Sync::Yes;
    store.commit(owner, &ops, ahead, sync).unwrap();
    // Ahead: what came before is old, and counted as that.
    let swept = store.sweep(owner, &limits, ahead).unwrap();
    assert_eq!((swept.aged, swept.passed), (1000, 0));
    // Right again: what was written meanwhile, and what stands behind it, is kept until the clock is there.
    fill(&store, owner, 1, &["a"]);
    let soon = clock(now + 120_000);
    assert_eq!(store.sweep(owner, &limits, soon).unwrap().aged, 0);
    let page = read(&store, &["a"], 0, 1000);
    assert_eq!((page.messages.len(), page.lost), (200, 0));
    // Bytes are counted all the same, and what stood behind it is old by then.
    let few = SweepLimits {
        max_bytes: Some(10),
        ..limits
    };
    let swept = store.sweep(owner, &few, soon).unwrap();
    assert_eq!((swept.over_limit, swept.aged), (100, 100));
    let end = clock(u64::MAX);
    assert_eq!(store.sweep(owner, &limits, end).unwrap().aged, 0);
}

#[test]
fn messages_of_a_group_go_when_they_are_done() {
    let (store, owner) = new();
    let group = "$share/g/a";
    let stream = StreamKey::of(group);
    commit(
        &store,
        owner,
        &[session("anna", 1, 0, &[]), subscribe("anna", group, 0)],
    );
    fill(&store, owner, 4, &[group]);
    let done = |from: u64, to: u64| -> Vec<StoreOp> {
        (from..=to).map(|seq| StoreOp::Done(stream, seq)).collect()
    };
    commit(&store, owner, &done(2, 400));
    assert_eq!(sweep(&store, owner).passed, 0);
    let page = store.undone(stream, 0, (10, 1000), CLOCK).unwrap();
    assert_eq!((page.messages.len(), page.reached), (1, 400));
    commit(&store, owner, &done(1, 1));
    let swept = sweep(&store, owner);
    assert_eq!((swept.passed, swept.rows), (400, 3));
    fill(&store, owner, 1, &[group]);
    let page = store.undone(stream, 0, (1000, usize::MAX), CLOCK).unwrap();
    assert_eq!((page.messages.len(), page.reached), (100, 500));
    // A place up to which all is over counts as much, and says that the stream is a group's while there is one.
    commit(&store, owner, &[StoreOp::DoneUpTo(stream, 450)]);
    assert_eq!(passed_rows(&store), 1);
    assert_eq!(sweep(&store, owner).passed, 0, "one row of the index");
    let page = store.undone(stream, 0, (1000, usize::MAX), CLOCK).unwrap();
    assert_eq!((page.messages.len(), page.reached), (50, 500));
    commit(&store, owner, &[StoreOp::DoneUpTo(stream, 500)]);
    let swept = sweep(&store, owner);
    assert_eq!((swept.passed, swept.left), (100, 100));
    assert_eq!((store.log_bytes(), passed_rows(&store)), (0, 1));
    fill(&store, owner, 1, &[group]);
    commit(
        &store,
        owner,
        &[StoreOp::Unsubscribe(key("anna"), group.into())],
    );
    let swept = sweep(&store, owner);
    assert_eq!((swept.passed, swept.left), (100, 100));
    assert_eq!((store.log_bytes(), passed_rows(&store)), (0, 0));
}

fn passed_rows(store: &Store) -> u64 {
    store.check(CLOCK).unwrap().kinds["passed"].rows
}

#[test]
fn what_is_in_flight_stays_though_it_is_too_old_or_done() {
    let (store, owner) = new();
    let group = "$share/g/a";
    let stream = StreamKey::of(group);
    let ops = [
        session("anna", 1, 0, &[]),
        subscribe("anna", "a", 0),
        session("ben", 1, 0, &[]),
        subscribe("ben", group, 0),
    ];
    commit(&store, owner, &ops);
    let ops = fill(&store, owner, 2, &["a", group]);
    // The odd ones are "a", the even ones the group's.
    let (plain, shared) = (appended(&ops[50]), appended(&ops[51]));
    assert_eq!((plain.log_seq() % 2, shared.log_seq() % 2), (1, 0));
    let (seq, at) = (shared.log_seq(), [plain, shared]);
    // Half of the group's are done. What a member's record names is done before the record says so.
    let mut ops: Vec<StoreOp> = (1..=100)
        .filter(|n| n % 2 == 0)
        .map(|n| StoreOp::Done(stream, n))
        .collect();
    ops.push(session("anna", 2, 200, &at[..1]));
    ops.push(session("ben", 2, 200, &at[1..]));
    commit(&store, owner, &ops);
    sweep(&store, owner);
    let in_flight = |store: &Store| {
        for name in ["anna", "ben"] {
            let back = store.session(key(name), CLOCK).unwrap().unwrap();
            assert_eq!((back.in_flight.len(), back.lost), (1, 0), "{name}");
        }
    };
    in_flight(&store);
    // Nobody has had the others of the group.
    let page = store.undone(stream, 0, (1000, usize::MAX), CLOCK).unwrap();
    let left: Vec<u64> = page.messages.iter().map(|m| m.log_seq()).collect();
    assert!(left.iter().copied().eq((101..=200).filter(|n| n % 2 == 0)));
    assert!(!left.contains(&seq));
    let limits = SweepLimits {
        settled: u64::MAX,
        max_age_ms: Some(1),
        max_bytes: Some(1),
        ..SweepLimits::default()
    };
    let later = Clock::at(Time(5_000), UnixMs(CLOCK.utc_now().0 + 10_000));
    let swept = store.sweep(owner, &limits, later).unwrap();
    assert_eq!((swept.aged + swept.over_limit, swept.damaged), (50, 0));
    in_flight(&store);
    let ops = [session("anna", 3, 200, &[]), session("ben", 3, 200, &[])];
    commit(&store, owner, &ops);
    sweep(&store, owner);
    assert_eq!(store.log_bytes(), 0);
}

/// Sweeps with limits of what a session may have to read of a stream.
fn bound(store: &Store, owner: Owner, messages: Option<u64>, bytes: Option<u64>) -> Swept {
    let limits = SweepLimits {
        settled: store.head(),
        stream_messages: messages,
        stream_bytes: bytes,
        ..SweepLimits::default()
    };
    store.sweep(owner, &limits, CLOCK).unwrap()
}

#[test]
fn what_is_too_much_for_all_sessions_of_a_stream_goes_and_is_counted_once() {
    let limits = [
        (Some(150), None),
        (None, Some(150 * 20)),
        (Some(150), Some(1 << 20)),
    ];
    for (messages, bytes) in limits {
        let (store, owner) = new();
        for n in 0..50 {
            let name = format!("away-{n}");
            commit(
                &store,
                owner,
                &[session(&name, 1, 0, &[]), subscribe(&name, "a", 0)],
            );
        }
        // Each sweep puts what has come in since into a row.
        let (mut gone, mut largest) = (0, 0);
        for _ in 0..10 {
            fill(&store, owner, 1, &["a"]);
            let swept = bound(&store, owner, messages, bytes);
            assert_eq!((swept.passed, swept.over_limit, swept.aged), (0, 0, 0));
            let other = if messages.is_some() {
                swept.over_bytes
            } else {
                swept.over_messages
            };
            assert_eq!(other, 0);
            gone += swept.over_messages + swept.over_bytes;
            largest = largest.max(store.log_bytes());
        }
        assert!(gone >= 600, "{gone}");
        // Nothing of what is left is missing, and it is the newest.
        let page = read(&store, &["a"], 0, 2000);
        let first = page.messages[0].log_seq();
        assert_eq!((page.messages.len() as u64, page.lost), (1000 - gone, 0));
        assert_eq!((first, page.reached), (gone + 1, 1000));
        assert!(page.messages.len() >= 150);
        assert!(largest < 4 * 16_200, "{largest}");
        assert!(store.check(CLOCK).unwrap().is_whole());
        // What they have read since is not counted again.
        for n in 0..50 {
            commit(
                &store,
                owner,
                &[session(&format!("away-{n}"), 2, 1000, &[])],
            );
        }
        let swept = bound(&store, owner, messages, bytes);
        assert_eq!(swept.passed, 1000 - gone);
        assert_eq!(store.log_bytes(), 0);
    }
}

#[test]
fn what_one_session_has_not_read_stays_if_it_is_not_too_much_for_it() {
    let (store, owner) = new();
    commit(
        &store,
        owner,
        &[session("anna", 1, 0, &[]), subscribe("anna", "a", 0)],
    );
    for _ in 0..10 {
        fill(&store, owner, 1, &["a"]);
        sweep(&store, owner);
    }
    commit(&store, owner, &[session("anna", 2, 900, &[])]);
    let swept = bound(&store, owner, Some(100), None);
    assert_eq!((swept.passed, swept.over_messages), (900, 0));
    assert_eq!(read(&store, &["a"], 900, 200).messages.len(), 100);
    // A group has no such limit by its stream, for it has done some of it.
    let group = "$share/g/a";
    commit(&store, owner, &[subscribe("anna", group, 0)]);
    for _ in 0..3 {
        fill(&store, owner, 1, &[group]);
        let swept = bound(&store, owner, Some(10), Some(10));
        assert_eq!(swept.over_messages + swept.over_bytes, 0);
    }
}
