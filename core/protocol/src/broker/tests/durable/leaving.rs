//! Groups whose last member with a session that lasts leaves them while they are behind.

use super::hall::*;
use crate::broker::durable::DurableConfig;
use crate::broker::tests::desk::*;
use crate::codec::{Disconnect, Packet, PropertiesBuf, PropertyId};
use crate::reason::ReasonCode;
use crate::seeded::Seeded;
use std::collections::BTreeSet;

const GROUP: &str = "$share/g/t";

fn hall(shards: usize) -> Hall {
    Hall::with(shards, DurableConfig::default(), |limits| {
        (limits.queue.items, limits.inflight) = (5, 3);
    })
}

/// A member whose session ends with its connection.
fn guest(hall: &mut Hall, name: &str) -> u32 {
    let guest = hall.connect(V5_0, name, true, 0);
    hall.quiet();
    hall.connack(guest);
    hall.subscribe(guest, GROUP, Q1);
    hall.quiet();
    guest
}

/// One whose session lasts. A message may come before SUBACK.
fn lasting(hall: &mut Hall, name: &str, filter: &str) -> u32 {
    let (member, _) = hall.durable(V5_0, name);
    hall.subscribe(member, filter, Q1);
    hall.quiet();
    member
}

fn publish(hall: &mut Hall, numbers: std::ops::Range<u16>) {
    let publisher = hall.connect(V5_0, "publisher", true, 0);
    for id in numbers {
        hall.publish(publisher, "t", &id.to_string(), Q1, id);
        hall.quiet();
    }
    hall.cut(publisher);
    hall.quiet();
}

/// A member whose session lasts for five seconds, away, and a guest; thirty messages for them, and the session's
/// end. The guest has had no more than its queue holds.
fn left_behind(hall: &mut Hall) -> u32 {
    let guest = guest(hall, "guest");
    let member = hall.connect(V5_0, "former", false, 5);
    hall.quiet();
    hall.connack(member);
    hall.subscribe(member, GROUP, Q1);
    hall.quiet();
    hall.cut(member);
    publish(hall, 1..31);
    hall.wait(6_000);
    hall.quiet();
    guest
}

/// All that is counted as lost for want of a member, wherever.
fn lost(hall: &Hall) -> u64 {
    let shards = hall
        .shards
        .iter()
        .map(|shard| shard.stats().dropped.no_member);
    shards.sum::<u64>() + hall.left
}

/// Sweeps often enough that nothing is left that can go.
fn sweep(hall: &mut Hall) {
    hall.quiet();
    hall.sweep();
    hall.sweep();
}

fn numbers(range: std::ops::Range<u16>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn who_stays_has_what_is_in_the_log_however_often_that_is_swept() {
    for shards in 1..4 {
        let mut hall = hall(shards);
        let guest = left_behind(&mut hall);
        let mut got = Vec::new();
        for _ in 0..20 {
            sweep(&mut hall);
            got.extend(read_all(&mut hall, guest, 2));
        }
        assert_eq!(got, numbers(1..31), "{shards}");
        sweep(&mut hall);
        assert_eq!(lost(&hall), 0);
        assert_eq!(hall.disk.entries_of(GROUP), 0, "and it goes once it is had");
        hall.check_books();
    }
}

#[test]
fn what_is_left_when_the_last_one_leaves_is_counted_once() {
    for shards in 1..4 {
        for had in [0, 4] {
            let mut hall = hall(shards);
            let guest = left_behind(&mut hall);
            let got = read_all(&mut hall, guest, had).len() as u64;
            sweep(&mut hall);
            assert_eq!(lost(&hall), 0);
            hall.cut(guest);
            sweep(&mut hall);
            assert_eq!(lost(&hall), 30 - got, "{shards} shards, {had} times");
            // Nor does a later group, or a start, find it again.
            let later = lasting(&mut hall, "later", GROUP);
            assert!(read_all(&mut hall, later, 3).is_empty());
            sweep(&mut hall);
            assert_eq!(lost(&hall), 30 - got);
            hall.check_books();
            hall.left = 0;
            hall.crash(shards, 10);
            sweep(&mut hall);
            assert_eq!(lost(&hall), 0);
        }
    }
}

/// Members that do not last are gone with the broker, and nobody is there any more who could say what they had not.
#[test]
fn what_is_left_after_a_crash_is_counted_though_nobody_is_there() {
    for begins in [false, true] {
        let mut hall = hall(2);
        let guest = left_behind(&mut hall);
        let got = read_all(&mut hall, guest, 3).len() as u64;
        hall.quiet();
        hall.crash(2, 10);
        assert_eq!(lost(&hall), 0);
        if begins {
            let later = lasting(&mut hall, "later", GROUP);
            assert!(read_all(&mut hall, later, 3).is_empty());
        }
        sweep(&mut hall);
        assert_eq!(lost(&hall), 30 - got, "{begins}");
    }
}

/// What comes while nobody's session lasts is not in the log; what did before is, for whoever comes then too.
#[test]
fn somebody_whose_session_lasts_comes_again() {
    for shards in 1..4 {
        let mut hall = hall(shards);
        let guest = left_behind(&mut hall);
        // In memory, as far as its queue holds it.
        let mut got = read_all(&mut hall, guest, 1);
        publish(&mut hall, 31..33);
        let member = lasting(&mut hall, "later", GROUP);
        publish(&mut hall, 33..41);
        hall.cut(guest);
        sweep(&mut hall);
        got.extend(read_all(&mut hall, member, 40));
        let got: BTreeSet<String> = got.into_iter().collect();
        let missing: Vec<u16> = (1..41)
            .filter(|number| !got.contains(&number.to_string()))
            .collect();
        sweep(&mut hall);
        let dropped = hall
            .shards
            .iter()
            .map(|shard| shard.stats().dropped.total());
        let counted = dropped.sum::<u64>() + hall.left;
        assert_eq!(counted, missing.len() as u64, "{shards} shards");
        assert!(
            missing.iter().all(|number| (31..33).contains(number)),
            "{missing:?}"
        );
        hall.check_books();
    }
}

/// Members of both kinds come and go, read or not, and the log is swept whenever it may be: each message comes to
/// somebody or is counted, and none is both, as far as those tell that acknowledge.
#[test]
fn each_message_comes_or_is_counted() {
    let (mut came, mut counted) = (0, 0);
    for seed in 0..300 {
        let (got, lost) = come_and_go(seed);
        (came, counted) = (came + got, counted + lost);
    }
    assert!(came > 3_000 && counted > 300, "{came} {counted}");
}

fn come_and_go(seed: u64) -> (u64, u64) {
    let mut seeded = Seeded::new(seed);
    let mut hall = hall(1 + seeded.below(3));
    // One is there all the time, so that every message is in the log.
    let witness = lasting(&mut hall, "witness", "t");
    let mut members: Vec<u32> = Vec::new();
    let (mut got, mut last, mut named) = (BTreeSet::new(), 0, 0);
    let take = |hall: &mut Hall, member: u32, got: &mut BTreeSet<String>| {
        for text in read_all(hall, member, 1) {
            assert!(got.insert(text.clone()), "seed {seed}: {text} twice");
        }
    };
    for _ in 0..60 {
        match seeded.below(10) {
            0 if members.len() < 4 => {
                named += 1;
                members.push(guest(&mut hall, &format!("guest {named}")));
            }
            1 if members.len() < 4 => {
                named += 1;
                members.push(lasting(&mut hall, &format!("member {named}"), GROUP));
            }
            2 if !members.is_empty() => leave(&mut hall, &mut members, &mut seeded),
            3 => sweep(&mut hall),
            4..=6 if !members.is_empty() => {
                publish(&mut hall, last + 1..last + 4);
                last += 3;
            }
            7 | 8 if !members.is_empty() => {
                let at = seeded.below(members.len());
                take(&mut hall, members[at], &mut got);
            }
            _ => drop(read_all(&mut hall, witness, 1)),
        }
    }
    while !members.is_empty() {
        leave(&mut hall, &mut members, &mut seeded);
    }
    hall.cut(witness);
    hall.wait(10_001_000);
    sweep(&mut hall);
    let dropped = hall
        .shards
        .iter()
        .map(|shard| shard.stats().dropped.total());
    let lost = dropped.sum::<u64>() + hall.left;
    assert_eq!(got.len() as u64 + lost, last.into(), "seed {seed}");
    assert_eq!(hall.disk.entries_of(GROUP), 0, "seed {seed}");
    hall.check_books();
    (got.len() as u64, lost)
}

/// One of them goes, and its session with it or not, with what it was sent and has not acknowledged.
fn leave(hall: &mut Hall, members: &mut Vec<u32>, seeded: &mut Seeded) {
    let member = members.swap_remove(seeded.below(members.len()));
    match seeded.one_in(2) {
        true => {
            let mut properties = PropertiesBuf::default();
            properties.push_number(PropertyId::SessionExpiryInterval, 0);
            let goes = Disconnect {
                reason: ReasonCode::SUCCESS,
                properties: properties.get(),
            };
            hall.send(member, Packet::Disconnect(goes));
        }
        // A session that lasts is away then, and a member still.
        false => hall.cut(member),
    }
    hall.quiet();
}
