//! Bytes that were flipped in a store's file: never a panic, never wrong data, and as little lost as
//! can be.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{CLOCK, Seeded, append, appended, commit, key, message, request, session, subscribe};
use ternmq_protocol::broker::durable::{DelayedKey, StoreOp};
use ternmq_protocol::broker::record::{DelayedRecord, NodeId};
use ternmq_protocol::time::UnixMs;
use ternmq_store::{Memory, Options, Store, StoreError, SweepLimits};

const STREAMS: [&str; 3] = ["a", "b", "#"];
const CLIENTS: u64 = 40;
const MESSAGES: u64 = 1_500;

/// What any message of the store says.
fn payload(seq: u64) -> String {
    format!("{seq}:{}", "x".repeat(seq as usize % 90))
}

/// A store with some of everything, in rows and in the tail, closed or as a crash leaves it.
fn image(closed: bool) -> Vec<u8> {
    let memory = Arc::new(Memory::default());
    let store = Store::over(memory.clone(), &options(false)).unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    for n in 0..CLIENTS {
        let later = DelayedRecord {
            message: message("later", n.to_string().as_bytes()),
            due: UnixMs(n),
            home: 0,
        };
        let number = DelayedKey {
            shard: 0,
            epoch: 1,
            number: n,
        };
        let client = format!("client-{n}");
        let topic = format!("r/{n}");
        let ops = [
            session(&client, n + 1, n, &[]),
            subscribe(&client, STREAMS[n as usize % 3], n),
            StoreOp::PutRetained(message(&topic, topic.as_bytes())),
            StoreOp::PutDelayed(number, Box::new(later)),
        ];
        commit(&store, owner, &ops);
    }
    for round in 0..MESSAGES / 50 {
        let ops: Vec<StoreOp> = (1..=50)
            .map(|n| {
                let seq = round * 50 + n;
                append(
                    "t",
                    payload(seq).as_bytes(),
                    &[STREAMS[seq as usize % 2], "#"],
                )
            })
            .collect();
        commit(&store, owner, &ops);
        assert_eq!(appended(&ops[49]).log_seq(), round * 50 + 50);
        if round == 20 {
            store.sweep(owner, &SweepLimits::default(), CLOCK).unwrap();
        }
    }
    let crashed = memory.bytes();
    drop(store);
    match closed {
        true => memory.bytes(),
        false => crashed,
    }
}

fn options(verify: bool) -> Options {
    Options {
        cache_bytes: 1 << 20,
        verify,
    }
}

/// What is missing from a store, and whether something was said about it. Fails on anything wrong.
fn missing(store: &Store) -> Result<(BTreeMap<&'static str, u64>, bool), StoreError> {
    let mut missing = BTreeMap::new();
    let (mut lost, mut seen) = (0, 0);
    let mut after = 0;
    while after < MESSAGES {
        let page = store.read(&request(&["#"], after, 500), CLOCK)?;
        for one in &page.messages {
            let said = String::from_utf8_lossy(one.payload()).into_owned();
            assert_eq!(said, payload(one.log_seq()));
            assert!(one.log_seq() > after);
            seen += 1;
        }
        lost += page.lost;
        if page.reached == after {
            break;
        }
        after = page.reached;
    }
    missing.insert("messages", MESSAGES - seen);
    let page = store.sessions(None, usize::MAX, CLOCK)?;
    let mut subscriptions = 0;
    for record in &page.sessions {
        let n: u64 = record.client_id["client-".len()..].parse().unwrap();
        assert_eq!((record.rev.0, record.cursor), (n + 1, n));
        for one in &record.subscriptions {
            assert_eq!((&*one.filter, one.since), (STREAMS[n as usize % 3], n));
            subscriptions += 1;
        }
    }
    lost += page.damaged;
    missing.insert("sessions", CLIENTS - page.sessions.len() as u64);
    missing.insert("subscriptions", page.sessions.len() as u64 - subscriptions);
    let page = store.retained("", usize::MAX, CLOCK)?;
    for one in &page.messages {
        assert_eq!(one.topic().as_bytes(), one.payload());
    }
    lost += page.damaged;
    missing.insert("retained", CLIENTS - page.messages.len() as u64);
    let page = store.delayed(None, usize::MAX, CLOCK)?;
    for (key, one) in &page.messages {
        assert_eq!(key.number.to_string().as_bytes(), one.message.payload());
        assert_eq!(one.due, UnixMs(key.number));
    }
    lost += page.damaged;
    missing.insert("delayed", CLIENTS - page.messages.len() as u64);
    Ok((missing, lost > 0))
}

/// Opens damaged bytes as a folder's store does. Returns how much is missing.
///
/// Of a store that was not closed the engine may take the last commit for one that was not finished.
fn survive(bytes: Vec<u8>, verify: bool, closed: bool) -> u64 {
    let opened = Store::over(Arc::new(Memory::with(bytes.clone())), &options(verify));
    let (store, salvaged) = match opened {
        Ok(store) => (store, false),
        Err(StoreError::Damaged(_)) => {
            let into = Arc::new(Memory::default());
            let from = Memory::with(bytes.clone());
            Store::salvage(&from, into.clone(), &options(false)).unwrap();
            (Store::over(into, &options(true)).unwrap(), true)
        }
        Err(StoreError::Newer(_)) => return 0,
        Err(error) => panic!("{error}"),
    };
    let (missing, said) = match missing(&store) {
        Ok(found) => found,
        // Only a store that trusts its file may find out so late.
        Err(_) if !verify && !salvaged => return survive(bytes, true, closed),
        Err(error) => panic!("{error}"),
    };
    let sum = missing.values().sum();
    let unfinished = !closed && sum == missing["messages"] && sum <= 50;
    assert!(
        sum == 0 || salvaged || said || !verify || unfinished,
        "{missing:?}"
    );
    // And it goes on.
    let owner = match store.begin(NodeId(1)) {
        Ok(owner) => owner,
        Err(_) if !verify && !salvaged => return survive(bytes, true, closed),
        Err(error) => panic!("{error}"),
    };
    let head = commit(&store, owner, &[append("t", b"new", &["new"])]);
    let page = store.read(&request(&["new"], 0, 10), CLOCK).unwrap();
    assert_eq!((page.messages.len(), page.reached), (1, head));
    assert!(head > MESSAGES - 50);
    assert!(store.session(key("client-0"), CLOCK).is_ok());
    sum
}

fn flip(closed: bool, verify: bool, seed: u64) {
    let whole = image(closed);
    assert_eq!(survive(whole.clone(), verify, closed), 0);
    let mut random = Seeded(seed);
    let (mut worst, mut sum, mut flips) = (0, 0, 0);
    let mut at = random.below(32);
    while at < whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        // The engine's own head, where one bit may say that the state before is the present one.
        let missing = survive(bytes, verify, closed);
        (worst, sum, flips) = (missing.max(worst), sum + missing, flips + 1);
        at += 1 + random.below(whole.len() / (common::rounds(60) as usize));
    }
    println!(
        "{flips} flips of {} bytes: {sum} missing, {worst} at most",
        whole.len()
    );
    assert!(sum / flips < 5, "{sum} of {flips}");
}

#[test]
fn a_flipped_bit_in_a_closed_store_costs_next_to_nothing() {
    flip(true, true, 1);
}

#[test]
fn a_flipped_bit_in_a_store_that_was_not_closed_costs_next_to_nothing() {
    flip(false, true, 2);
}

#[test]
fn a_store_that_trusts_its_file_never_says_what_is_wrong() {
    flip(true, false, 3);
}

#[test]
fn pages_of_nothing_cost_what_was_on_them() {
    let whole = image(true);
    for page in (1..whole.len() / 4096).step_by(3) {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        survive(bytes, true, true);
    }
}
