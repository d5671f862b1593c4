//! Groups that end and begin again while there are messages for them in the log.

use super::hall::*;
use super::plain::subscriber;
use crate::broker::durable::{NotStored, StreamKey};
use crate::broker::tests::desk::*;

const GROUP: &str = "$share/g/t";

/// A member that was there, messages that it is due and has not, and the end of its session. Returns the publisher.
fn former_life(hall: &mut Hall) -> u32 {
    let member = hall.connect(V5_0, "former", false, 5);
    hall.quiet();
    hall.connack(member);
    hall.subscribe(member, GROUP, Q1);
    hall.quiet();
    hall.cut(member);
    let publisher = hall.connect(V5_0, "publisher", true, 0);
    for id in 1..4 {
        hall.publish(publisher, "t", "former", Q1, id);
        hall.quiet();
    }
    hall.wait(5_000);
    publisher
}

fn crash(hall: &mut Hall, shards: usize) {
    hall.crash(shards, 10);
    hall.quiet();
}

/// What a later member gets of its group, after a crash.
fn of_a_later_life(hall: &mut Hall, shards: usize) -> Vec<String> {
    let member = subscriber(hall, "later", GROUP, Q1);
    hall.cut(member);
    let publisher = hall.connect(V5_0, "publisher", true, 0);
    hall.publish(publisher, "t", "later", Q1, 1);
    hall.quiet();
    crash(hall, shards);
    let (member, present) = hall.durable(V5_0, "later");
    assert!(present);
    read_all(hall, member, 5)
}

#[test]
fn a_group_has_nothing_of_one_of_its_name_that_ended_before_it_began() {
    for shards in 1..4 {
        for crashes in 0..3 {
            let mut hall = Hall::new(shards);
            former_life(&mut hall);
            hall.quiet();
            for _ in 0..crashes {
                crash(&mut hall, shards);
            }
            assert_eq!(of_a_later_life(&mut hall, shards), ["later"]);
            hall.check_books();
        }
    }
}

/// That the first one has ended is not on the disk: there was a crash just then.
#[test]
fn a_group_that_begins_where_another_one_ended_unseen_has_nothing_of_it() {
    let mut hall = Hall::new(2);
    former_life(&mut hall);
    hall.quiet();
    hall.disk.passed.clear();
    crash(&mut hall, 2);
    assert_eq!(of_a_later_life(&mut hall, 2), ["later"]);
}

#[test]
fn that_a_group_has_ended_is_said_again_when_it_is_refused() {
    let mut hall = Hall::new(1);
    former_life(&mut hall);
    hall.keep(usize::MAX, Some(NotStored::Full));
    hall.quiet();
    let stream = StreamKey::of(GROUP);
    assert_eq!(hall.disk.passed.get(&stream), Some(&0), "it has begun");
    hall.wait(1_000);
    hall.quiet();
    assert_eq!(hall.disk.passed.get(&stream), Some(&3));
}

/// While somebody whose session lasts stays, the group is the same one, whoever comes and goes.
#[test]
fn a_group_that_goes_on_has_all_that_it_was_due() {
    let mut hall = Hall::new(2);
    let stays = subscriber(&mut hall, "stays", GROUP, Q1);
    hall.cut(stays);
    former_life(&mut hall);
    hall.quiet();
    let got = of_a_later_life(&mut hall, 2);
    assert_eq!(got, ["former", "former", "former", "later"]);
}

/// Another member has had it by then.
#[test]
fn what_a_member_gave_back_is_not_its_own_after_a_crash() {
    for shards in 1..4 {
        let mut hall = Hall::new(shards);
        let first = subscriber(&mut hall, "first", GROUP, Q1);
        let publisher = hall.connect(V5_0, "publisher", true, 0);
        hall.publish(publisher, "t", "once", Q1, 1);
        hall.quiet();
        assert_eq!(hall.texts(first), ["once"]);
        let second = subscriber(&mut hall, "second", GROUP, Q1);
        hall.cut(first);
        assert_eq!(read_all(&mut hall, second, 3), ["once"]);
        hall.quiet();
        crash(&mut hall, shards);
        for name in ["first", "second"] {
            let (member, _) = hall.durable(V5_0, name);
            assert!(read_all(&mut hall, member, 3).is_empty(), "{name}");
        }
        hall.check_books();
    }
}
