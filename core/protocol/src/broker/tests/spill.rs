//! What becomes of the messages of a group that a member can't keep: it has left the group before its
//! session ended, or has no room.

use super::desk::*;
use super::shared::{Pair, counts, members, publish_many};
use crate::broker::{ConnId, Limits, ShareStrategy};
use crate::codec::PacketType;
use crate::session::queue::OverflowPolicy;

/// One message in flight and one waiting for each member.
fn narrow(policy: OverflowPolicy) -> Limits {
    let mut limits = Limits {
        inflight: 1,
        ..Limits::default()
    };
    (limits.queue.items, limits.queue.policy) = (1, policy);
    limits
}

#[test]
fn who_has_left_the_group_gives_back_at_the_end_of_its_session() {
    let mut desk = Desk::new();
    let all = members(&mut desk, 2, Q1);
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 4, Q1);
    let got = desk.messages(all[0]);
    assert_eq!(counts(&mut desk, &all[1..]), [2]);
    desk.unsubscribe(all[0], &["$share/g/t/#"]);
    // Acknowledged after all: nobody else's.
    desk.ack(all[0], PacketType::PubAck, got[0].id);
    // It goes away, comes back, and gets the other one again.
    desk.cut(all[0]);
    assert!(desk.got(all[1]).is_empty());
    let (back, _) = desk.durable(V5_0, "m0");
    assert_eq!(desk.texts(back), ["3"]);
    desk.check_books();
    // Its session ends with a clean start.
    desk.client(V5_0, "m0");
    assert_eq!(desk.texts(all[1]), ["3"]);
    assert_eq!(desk.stats().picked_again, 1);
    desk.check_books();
}

#[test]
fn a_place_in_a_group_is_free_once_nothing_of_it_is_in_flight() {
    let mut desk = Desk::new();
    let all = members(&mut desk, 2, Q1);
    let publisher = desk.client(V5_0, "p");
    publish_many(&mut desk, publisher, 2, Q1);
    let first = desk.messages(all[0]).remove(0);
    desk.take_all(all[1]);
    // Leaves and joins again: a second membership, and one message of the first in flight.
    desk.unsubscribe(all[0], &["$share/g/t/#"]);
    desk.subscribe(all[0], "$share/g/t/#", Q1);
    desk.subscribe(all[0], "$share/h/u", Q1);
    desk.subscribe(all[1], "$share/h/u", Q1);
    publish_many(&mut desk, publisher, 2, Q1);
    assert_eq!(counts(&mut desk, &all), [1, 1]);
    desk.ack(all[0], PacketType::PubAck, first.id);
    for _ in 0..100 {
        desk.unsubscribe(all[0], &["$share/h/u"]);
        desk.subscribe(all[0], "$share/h/u", Q1);
    }
    desk.client(V5_0, "m0");
    assert_eq!(
        counts(&mut desk, &all[1..]),
        [1],
        "of the second membership"
    );
    desk.check_books();
}

#[test]
fn a_group_elsewhere_gets_back_what_was_sent_before_it_was_left() {
    let mut pair = Pair::with(ShareStrategy::RoundRobin, Limits::default());
    let near = members(&mut pair.home, 1, Q1)[0];
    let far = members(&mut pair.away, 1, Q1)[0];
    pair.exchange();
    let publisher = pair.home.client(V5_0, "p");
    publish_many(&mut pair.home, publisher, 2, Q1);
    pair.exchange();
    assert_eq!(pair.away.texts(far), ["2"]);
    pair.away.unsubscribe(far, &["$share/g/t/#"]);
    pair.exchange();
    pair.away.client(V5_0, "m0");
    pair.exchange();
    assert_eq!(pair.home.texts(near), ["1", "2"]);
}

/// Takes and acknowledges until nothing more comes: what came.
fn drain(desk: &mut Desk, member: ConnId) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let got = desk.messages(member);
        if got.is_empty() {
            return texts;
        }
        for one in got {
            texts.push(one.text().to_owned());
            desk.ack(member, PacketType::PubAck, one.id);
        }
    }
}

fn publish(desk: &mut Desk, publisher: ConnId, numbers: std::ops::RangeInclusive<u16>) {
    for n in numbers {
        desk.publish(publisher, "t/x", &n.to_string(), Q1, n);
    }
    desk.take_all(publisher);
}

#[test]
fn what_a_full_member_has_no_room_for_goes_to_one_that_has() {
    for (policy, passed_on, kept) in [
        (OverflowPolicy::DropOldest, "3", "5"),
        (OverflowPolicy::DropNewest, "5", "3"),
    ] {
        let mut desk = Desk::with(|limits| *limits = narrow(policy));
        let all = members(&mut desk, 2, Q1);
        let publisher = desk.client(V5_0, "p");
        // The first one is sent 1, and 3 waits; the second one is done with 2 and 4.
        publish(&mut desk, publisher, 1..=4);
        assert_eq!(drain(&mut desk, all[1]), ["2", "4"]);
        publish(&mut desk, publisher, 5..=5);
        assert_eq!(desk.texts(all[1]), [passed_on]);
        assert_eq!(desk.stats().dropped.total(), 0);
        assert_eq!(desk.stats().picked_again, 1);
        desk.check_books();
        assert_eq!(drain(&mut desk, all[0]), ["1", kept]);
    }
}

#[test]
fn where_all_are_full_or_away_it_is_dropped_and_counted() {
    let mut desk = Desk::with(|limits| *limits = narrow(OverflowPolicy::DropOldest));
    let all = members(&mut desk, 3, Q1);
    let publisher = desk.client(V5_0, "p");
    publish(&mut desk, publisher, 1..=6);
    assert_eq!(desk.stats().dropped.total(), 0);
    publish(&mut desk, publisher, 7..=8);
    assert_eq!(desk.stats().dropped.queue_items, 2);
    desk.check_books();
    // Who is away is not asked, though it has room: it may stay away.
    drain(&mut desk, all[2]);
    desk.cut(all[2]);
    publish(&mut desk, publisher, 9..=9);
    assert_eq!(desk.stats().dropped.queue_items, 3);
    assert_eq!(desk.stats().picked_again, 0);
    desk.check_books();
}

#[test]
fn room_is_found_on_other_shards() {
    let mut pair = Pair::with(
        ShareStrategy::RoundRobin,
        narrow(OverflowPolicy::DropOldest),
    );
    let near = members(&mut pair.home, 1, Q1)[0];
    let far = members(&mut pair.away, 1, Q1)[0];
    pair.exchange();
    let publisher = pair.home.client(V5_0, "p");
    let say = |pair: &mut Pair, numbers| {
        publish(&mut pair.home, publisher, numbers);
        pair.exchange();
    };
    say(&mut pair, 1..=4);
    assert_eq!(drain(&mut pair.away, far), ["2", "4"]);
    // From the home to the other shard, which is sent it at once.
    say(&mut pair, 5..=6);
    assert_eq!(pair.away.texts(far), ["3"]);
    // Both are full: over there and back again.
    say(&mut pair, 7..=7);
    let dropped = |desk: &Desk| desk.stats().dropped.queue_items;
    assert_eq!((dropped(&pair.home), dropped(&pair.away)), (1, 0));
    // And from the other shard to the home.
    assert_eq!(drain(&mut pair.home, near), ["1", "7"]);
    say(&mut pair, 8..=8);
    assert_eq!(pair.home.texts(near), ["6"]);
    assert_eq!((dropped(&pair.home), dropped(&pair.away)), (1, 0));
    assert_eq!(pair.home.stats().picked_again, 1);
    assert_eq!(pair.away.stats().picked_again, 1);
}
