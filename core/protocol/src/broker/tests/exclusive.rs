//! `$exclusive/{filter}`: one client at a time.

use super::desk::*;
use crate::broker::{ConnId, Topics};
use crate::codec::subscribe::SubscriptionOptions;
use crate::codec::{Packet, Properties, Request, Subscribe};
use crate::reason::ReasonCode;

fn desk() -> Desk {
    Desk::with_topics(Topics {
        exclusive: true,
        ..Topics::default()
    })
}

fn subscribe_many(desk: &mut Desk, conn: ConnId, filters: &[&str]) -> Vec<u8> {
    let options = SubscriptionOptions {
        qos: Q1,
        ..SubscriptionOptions::default()
    };
    let requests: Vec<Request<'_>> = filters.iter().map(|f| (*f, options)).collect();
    desk.subscribe_with(conn, &requests, Properties::EMPTY)
}

#[test]
fn the_second_client_is_refused_until_the_first_gives_up() {
    for version in [V3_1_1, V5_0] {
        let quota = if version == V5_0 { 0x97 } else { 0x80 };
        let mut desk = desk();
        let [a, b, publisher] = ["a", "b", "p"].map(|id| desk.client(version, id));
        assert_eq!(
            subscribe_many(&mut desk, a, &["$exclusive/t/+", "u"]),
            [1, 1]
        );
        assert_eq!(
            subscribe_many(&mut desk, b, &["x", "$exclusive/t/+", "$exclusive/v"]),
            [1, quota, 1]
        );
        // The same client may change its options; a plain subscription is nobody's.
        assert_eq!(desk.subscribe(a, "$exclusive/t/+", Q0), 0);
        assert_eq!(desk.subscribe(b, "t/1", Q0), 0);
        desk.publish(publisher, "t/1", "x", Q1, 1);
        assert_eq!(desk.messages(a)[0].topic, "t/1");
        assert_eq!(desk.messages(b).len(), 1);
        assert_eq!((desk.stats().exclusive, desk.claims.len()), (2, 2));
        desk.unsubscribe(a, &["$exclusive/t/+"]);
        assert_eq!(desk.subscribe(b, "$exclusive/t/+", Q1), 1);
        desk.cut(b);
        assert_eq!((desk.stats().exclusive, desk.claims.len()), (0, 0));
        assert_eq!(desk.subscribe(a, "$exclusive/t/+", Q1), 1);
    }
}

#[test]
fn a_session_keeps_its_claim_while_its_client_is_away_and_a_clean_start_frees_it() {
    let mut desk = desk();
    let (a, _) = desk.durable(V5_0, "a");
    let b = desk.client(V5_0, "b");
    desk.subscribe(a, "$exclusive/t", Q1);
    desk.cut(a);
    assert_eq!(desk.subscribe(b, "$exclusive/t", Q1), 0x97);
    let (again, present) = desk.durable(V5_0, "a");
    assert!(present);
    desk.publish(b, "t", "x", Q1, 1);
    assert_eq!(desk.messages(again).len(), 1);
    // Taken over by a client that begins anew.
    desk.client(V5_0, "a");
    assert_eq!(desk.subscribe(b, "$exclusive/t", Q1), 1);
}

#[test]
fn off_by_default_it_is_a_filter_like_others() {
    let mut desk = Desk::new();
    let [a, b] = ["a", "b"].map(|id| desk.client(V5_0, id));
    for conn in [a, b] {
        assert_eq!(desk.subscribe(conn, "$exclusive/t", Q1), 1);
    }
    desk.publish(a, "$exclusive/t", "x", Q1, 1);
    assert_eq!(desk.messages(b).len(), 1);
}

#[test]
fn what_is_no_filter_behind_the_prefix_is_refused() {
    let mut desk = desk();
    let a = desk.client(V5_0, "a");
    for filter in ["$exclusive/", "$exclusive/a/#/b", "$exclusive/$share/g/t"] {
        assert_eq!(desk.subscribe(a, filter, Q1), 0x8F, "{filter}");
    }
    assert!(desk.claims.is_empty());
}

// The answer comes later: what stands behind the SUBSCRIBE waits, and a client that is gone keeps nothing.
#[test]
fn input_waits_for_the_answer_and_a_client_that_left_holds_no_claim() {
    let mut desk = desk();
    let a = desk.client(V5_0, "a");
    let options = SubscriptionOptions::default();
    let requests = [("$exclusive/t", options)];
    let subscribe = Subscribe::new(7, Properties::EMPTY, &requests);
    let mut bytes = Vec::new();
    Packet::Subscribe(subscribe)
        .encode(V5_0, &mut bytes)
        .unwrap();
    bytes.extend_from_slice(&[0xC0, 0]);
    desk.shard.handle_input(a, desk.now, &bytes, &mut desk.out);
    assert!(!desk.shard.wants_input(a) && desk.out.dirty.is_empty());
    desk.settle();
    let got = desk.take_all(a);
    assert!(got.contains(&Got::SubAck(7, vec![0])) && got.contains(&Got::PingResp));
    assert!(desk.shard.wants_input(a));

    let b = desk.client(V5_0, "b");
    let mut bytes = Vec::new();
    let requests = [("$exclusive/u", options)];
    let subscribe = Subscribe::new(8, Properties::EMPTY, &requests);
    Packet::Subscribe(subscribe)
        .encode(V5_0, &mut bytes)
        .unwrap();
    desk.shard.handle_input(b, desk.now, &bytes, &mut desk.out);
    desk.cut(b);
    assert_eq!(desk.claims.len(), 1, "only the one of a");
    let next = desk.client(V5_0, "next");
    assert_eq!(desk.subscribe(next, "$exclusive/u", Q1), 1);
}

#[test]
fn a_subscribe_that_breaks_the_protocol_keeps_no_claim() {
    let mut desk = desk();
    let a = desk.client(V5_0, "a");
    let no_local = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    let requests = [("$exclusive/t", no_local), ("$share/g/t", no_local)];
    let packet = Packet::Subscribe(Subscribe::new(7, Properties::EMPTY, &requests));
    desk.send(a, packet);
    assert_eq!(desk.take(a), Got::Disconnect(ReasonCode::PROTOCOL_ERROR));
    assert!(desk.claims.is_empty());
}
