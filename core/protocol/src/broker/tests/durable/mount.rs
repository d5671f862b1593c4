//! Mount points, and what a store keeps.

use super::hall::*;
use super::plain::subscriber;
use crate::broker::tests::desk::*;
use crate::broker::tests::mount::{OPEN, T, U};
use crate::codec::PacketType;

fn topics(hall: &mut Hall, client: u32) -> Vec<String> {
    let all = hall.take_all(client).into_iter();
    let topics = all.filter_map(|got| match got {
        Got::Publish(message) => Some(message.topic),
        _ => None,
    });
    topics.collect()
}

fn outside(hall: &Hall) -> u64 {
    let dropped = hall
        .shards
        .iter()
        .map(|shard| shard.stats().dropped.outside_mount);
    dropped.sum()
}

/// The store has whole names: what a session is due comes by the name that it has through the listener
/// where it comes back, or is dropped and counted.
#[test]
fn what_is_kept_has_whole_names_and_comes_by_those_inside() {
    for shards in 1..4 {
        let mut hall = Hall::new(shards);
        hall.listener = T;
        let sub = subscriber(&mut hall, "sub", "a/#", Q2);
        let publisher = hall.connect(V3_1_1, "pub", true, 0);
        hall.quiet();
        hall.connack(publisher);
        for (qos, id) in [(Q1, 1), (Q2, 2)] {
            hall.publish(publisher, "a/live", "", qos, id);
            hall.quiet();
        }
        hall.ack(publisher, PacketType::PubRel, 2);
        hall.quiet();
        assert_eq!(topics(&mut hall, sub), ["a/live", "a/live"]);
        hall.cut(sub);
        for (qos, id) in [(Q1, 3), (Q2, 4)] {
            hall.publish(publisher, "a/away", "", qos, id);
        }
        hall.quiet();
        hall.ack(publisher, PacketType::PubRel, 4);
        hall.quiet();
        hall.check_books();
        hall.crash(shards, 1_000);
        let (sub, present) = hall.durable(V5_0, "sub");
        assert!(present);
        hall.quiet();
        let mut got = topics(&mut hall, sub);
        got.sort();
        assert_eq!(got, ["a/away", "a/away", "a/live", "a/live"]);
        hall.cut(sub);
        hall.quiet();
        // Two more, of which the session has seen nothing.
        let publisher = hall.connect(V3_1_1, "pub", true, 0);
        hall.quiet();
        hall.connack(publisher);
        for (qos, id) in [(Q1, 5), (Q2, 6)] {
            hall.publish(publisher, "a/late", "", qos, id);
        }
        hall.quiet();
        hall.listener = U;
        let (sub, present) = hall.durable(V5_0, "sub");
        assert!(present);
        hall.quiet();
        assert_eq!(topics(&mut hall, sub), [""; 0]);
        // And while it is here: with QoS 2 too nothing is begun that could not be sent.
        for (qos, id) in [(Q1, 7), (Q2, 8)] {
            hall.publish(publisher, "a/live", "", qos, id);
            hall.quiet();
        }
        assert_eq!(topics(&mut hall, sub), [""; 0]);
        assert_eq!(outside(&hall), 4);
        hall.check_books();
        // What was dropped stays so, and what comes has its name again where the root is.
        hall.wait(10_000);
        hall.quiet();
        hall.crash(shards, 1_000);
        hall.listener = OPEN;
        let (sub, present) = hall.durable(V5_0, "sub");
        assert!(present);
        hall.quiet();
        assert_eq!(topics(&mut hall, sub), [""; 0]);
        let publisher = hall.connect(V3_1_1, "pub", true, 0);
        hall.quiet();
        hall.publish(publisher, "t/a/x", "", Q2, 9);
        hall.quiet();
        assert_eq!(topics(&mut hall, sub), ["t/a/x"]);
        hall.check_books();
    }
}
