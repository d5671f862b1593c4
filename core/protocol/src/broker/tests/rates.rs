//! Rate limits: of a client, of a listener, in both directions.

use super::desk::*;
use crate::broker::{ConnId, Limits, ListenerLimits, Rates, Shard, ShardConfig};
use crate::codec::{Connect, Packet, PacketType, QoS};
use crate::session::rate::Rate;
use std::sync::Arc;

fn messages_in(rate: Rate) -> Rates {
    Rates {
        messages_in: rate,
        ..Rates::UNLIMITED
    }
}

fn messages_out(rate: Rate) -> Rates {
    Rates {
        messages_out: rate,
        ..Rates::UNLIMITED
    }
}

fn rate(per_second: u64, burst: u64) -> Rate {
    Rate { per_second, burst }
}

/// So many PUBLISH packets in one read.
fn flood(desk: &mut Desk, conn: ConnId, count: usize, qos: QoS) {
    let mut bytes = Vec::new();
    for n in 0..count {
        let payload = n.to_string();
        let mut publish = crate::codec::Publish::new("t", payload.as_bytes());
        (publish.qos, publish.packet_id) = (qos, u16::from(qos != Q0));
        Packet::Publish(publish).encode(V3_1_1, &mut bytes).unwrap();
    }
    desk.input(conn, &bytes);
}

#[test]
fn who_sends_too_fast_is_not_read_until_there_is_credit_again() {
    for qos in [Q0, Q1] {
        let mut desk = Desk::with_rates(messages_in(rate(10, 3)), Rates::UNLIMITED);
        let (fast, other) = (desk.client(V3_1_1, "f"), desk.client(V3_1_1, "o"));
        desk.subscribe(other, "t", Q0);
        flood(&mut desk, fast, 10, qos);
        // The one that used up the credit was handled with the others.
        assert_eq!(desk.texts(other), ["0", "1", "2"]);
        assert!(!desk.shard.wants_input(fast) && desk.shard.wants_input(other));
        desk.publish(other, "t", "own", Q0, 0);
        assert_eq!(desk.texts(other), ["own"], "nobody else waits");
        for n in 3..10 {
            desk.wait(99);
            assert!(desk.got(other).is_empty(), "{n}");
            desk.wait(1);
            assert_eq!(desk.texts(other), [n.to_string()]);
        }
        desk.wait(100);
        assert!(desk.shard.wants_input(fast));
        assert_eq!(
            desk.stats().received[qos as usize],
            10 + u64::from(qos == Q0)
        );
        assert_eq!(desk.take_all(fast).len(), 10 * usize::from(qos == Q1));
        assert_eq!(desk.stats().rate_pauses, 8);
        desk.check_books();
    }
}

#[test]
fn bytes_are_counted_with_every_packet() {
    let rates = Rates {
        bytes_in: rate(100, 100),
        ..Rates::UNLIMITED
    };
    let mut desk = Desk::with_rates(rates, Rates::UNLIMITED);
    let client = desk.client(V3_1_1, "c");
    for _ in 0..49 {
        desk.input(client, &[0xC0, 0]);
        assert!(desk.shard.wants_input(client));
    }
    desk.input(client, &[0xC0, 0, 0xC0, 0]);
    assert!(!desk.shard.wants_input(client));
    assert_eq!(desk.take_all(client).len(), 50);
    // The fifty-first is paid for, and one byte more.
    desk.wait(30);
    assert_eq!(desk.take_all(client), [Got::PingResp]);
    desk.wait(30);
    assert!(desk.shard.wants_input(client) && desk.is_open(client));
}

// [MQTT-3.1.2-22]
#[test]
fn a_client_that_is_not_read_is_not_timed_out_but_a_silent_one_is() {
    let mut desk = Desk::with_rates(messages_in(rate(1, 1)), Rates::UNLIMITED);
    let mut connect = Connect::new(V3_1_1, "c");
    connect.keep_alive = 2;
    let client = desk.connect(connect);
    desk.connack(client);
    flood(&mut desk, client, 10, Q0);
    desk.wait(10_000);
    assert!(desk.is_open(client) && desk.shard.wants_input(client));
    assert_eq!(desk.stats().received[0], 10);
    desk.wait(2_900);
    assert!(desk.is_open(client));
    desk.wait(200);
    assert!(!desk.is_open(client), "from then on its silence counts");
    assert_eq!(desk.stats().timeouts, 1);
}

#[test]
fn messages_to_a_client_wait_for_its_rate() {
    for qos in [Q0, Q1] {
        let mut desk = Desk::with_rates(messages_out(rate(10, 2)), Rates::UNLIMITED);
        let clients = [desk.client(V5_0, "a"), desk.client(V3_1_1, "b")];
        for client in clients {
            desk.subscribe(client, "t", qos);
        }
        let publisher = desk.client(V3_1_1, "p");
        flood(&mut desk, publisher, 6, qos);
        for client in clients {
            assert_eq!(desk.texts(client), ["0", "1"]);
        }
        assert_eq!((desk.stats().queued, desk.stats().rate_waits), (8, 2));
        for n in 2..6 {
            desk.wait(99);
            assert!(desk.got(clients[0]).is_empty());
            desk.wait(1);
            for client in clients {
                assert_eq!(desk.texts(client), [n.to_string()]);
            }
            desk.check_books();
        }
        assert_eq!(desk.stats().queued, 0);
        desk.wait(1000);
        flood(&mut desk, publisher, 3, qos);
        assert_eq!(desk.texts(clients[0]), ["0", "1"], "the burst is back");
    }
}

#[test]
fn what_waits_for_a_rate_is_within_the_limits_of_the_queue() {
    let mut desk = Desk::with_rates(messages_out(rate(1, 1)), Rates::UNLIMITED);
    desk.shard.links.limits.queue.items = 5;
    let client = desk.client(V5_0, "c");
    desk.subscribe(client, "t", Q0);
    let publisher = desk.client(V3_1_1, "p");
    flood(&mut desk, publisher, 20, Q0);
    assert_eq!(
        (desk.stats().queued, desk.stats().dropped.queue_items),
        (5, 14)
    );
    desk.check_books();
    desk.wait(60_000);
    assert_eq!(desk.texts(client), ["0", "1", "2", "3", "4", "5"]);
    desk.check_books();
}

#[test]
fn what_is_sent_again_waits_too() {
    let mut desk = Desk::with_rates(messages_out(rate(10, 3)), Rates::UNLIMITED);
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "t", Q2);
    let publisher = desk.client(V3_1_1, "p");
    flood(&mut desk, publisher, 6, Q1);
    desk.wait(1000);
    assert_eq!(desk.texts(client).len(), 6);
    desk.cut(client);
    let (client, _) = desk.durable(V5_0, "c");
    assert_eq!(desk.messages(client).len(), 3);
    desk.wait(100);
    let again = desk.messages(client);
    assert!(again.len() == 1 && again[0].dup);
    desk.ack(client, PacketType::PubAck, again[0].id);
    desk.wait(1000);
    assert_eq!(desk.messages(client).len(), 2);
    desk.check_books();
}

#[test]
fn the_clients_of_a_listener_share_its_rate() {
    let mut desk = Desk::with_rates(messages_in(rate(100, 100)), messages_in(rate(20, 10)));
    let clients: Vec<_> = (0..5)
        .map(|n| desk.client(V3_1_1, &format!("c{n}")))
        .collect();
    for client in &clients {
        flood(&mut desk, *client, 50, Q0);
    }
    let received = desk.stats().received[0];
    assert!((10..=15).contains(&received), "{received}");
    desk.wait(10_000);
    let received = desk.stats().received[0];
    assert!((205..=215).contains(&received), "{received}");
    for n in 0..5 {
        let counters = desk.shard.client(&format!("c{n}")).unwrap().counters;
        assert!(counters.received > 0, "c{n} starves");
    }
    desk.wait(10_000);
    assert_eq!(desk.stats().received[0], 250);
}

#[test]
fn ends_of_paused_and_blocked_clients_leave_nothing_behind() {
    let rates = Rates {
        messages_in: rate(1, 1),
        messages_out: rate(1, 1),
        ..Rates::UNLIMITED
    };
    let mut desk = Desk::with_rates(rates, rates);
    for round in 0..4 {
        let client = desk.client(V3_1_1, &format!("c{round}"));
        desk.subscribe(client, "t", Q1);
        flood(&mut desk, client, 5, Q0);
        assert!(desk.shard.is_paused(client));
        desk.wait(500 * round);
        desk.cut(client);
        desk.check_books();
    }
    desk.wait(100_000);
    assert_eq!((desk.stats().queued, desk.stats().sessions), (0, 0));
}

#[test]
fn a_driver_is_told_when_a_pause_is_over() {
    let mut desk = Desk::with_rates(messages_in(rate(10, 1)), Rates::UNLIMITED);
    let fast = desk.client(V3_1_1, "f");
    assert!(!desk.shard.is_paused(fast));
    flood(&mut desk, fast, 2, Q0);
    for pause in 0..2 {
        assert!(desk.shard.is_paused(fast) && !desk.shard.wants_input(fast));
        desk.wait(99);
        assert!(desk.shard.is_paused(fast));
        desk.now = desk.now.after(1);
        desk.shard.handle_timeout(desk.now, &mut desk.out);
        assert_eq!(desk.out.resumed, [fast]);
        // The message that was held makes the second one.
        assert_eq!(desk.shard.is_paused(fast), pause == 0);
        desk.settle();
    }
    assert!(desk.shard.wants_input(fast));
}

/// So many messages in one read, after which the connection is cut; how many of them were handled.
fn flood_and_leave(desk: &mut Desk, conn: ConnId, count: usize) -> u64 {
    let before = desk.stats().received[0];
    flood(desk, conn, count, Q0);
    desk.cut(conn);
    desk.stats().received[0] - before
}

#[test]
fn a_reconnection_is_no_way_to_a_new_burst() {
    let mut desk = Desk::with_rates(messages_in(rate(10, 3)), Rates::UNLIMITED);
    let first = desk.client(V3_1_1, "f");
    assert_eq!(flood_and_leave(&mut desk, first, 9), 3);
    let pauses = desk.stats().rate_pauses;
    // The session is over, and what it has used is not.
    let again = desk.client(V3_1_1, "f");
    assert!(desk.shard.is_paused(again));
    assert_eq!(desk.stats().rate_pauses, pauses + 1);
    assert_eq!(flood_and_leave(&mut desk, again, 9), 0);
    let other = desk.client(V3_1_1, "other");
    assert_eq!(flood_and_leave(&mut desk, other, 9), 3, "nobody else's");
    let again = desk.client(V3_1_1, "f");
    flood(&mut desk, again, 2, Q0);
    desk.wait(99);
    assert_eq!(desk.stats().received[0], 6);
    desk.wait(1);
    assert_eq!(desk.stats().received[0], 7);
    desk.cut(again);
    desk.wait(300);
    let again = desk.client(V3_1_1, "f");
    assert_eq!(flood_and_leave(&mut desk, again, 9), 3, "all is paid for");
}

#[test]
fn taking_over_ones_own_connection_is_none_either() {
    let mut desk = Desk::with_rates(messages_in(rate(10, 3)), Rates::UNLIMITED);
    let (first, _) = desk.durable(V3_1_1, "f");
    flood(&mut desk, first, 3, Q0);
    let (second, present) = desk.durable(V3_1_1, "f");
    assert!(present && desk.shard.is_paused(second));
    assert_eq!(flood_and_leave(&mut desk, second, 9), 0);
}

#[test]
fn what_a_client_was_sent_counts_on_its_next_connection() {
    let mut desk = Desk::with_rates(messages_out(rate(10, 3)), Rates::UNLIMITED);
    let (to, _) = desk.durable(V5_0, "to");
    desk.subscribe(to, "t", Q1);
    let from = desk.client(V3_1_1, "from");
    flood(&mut desk, from, 6, Q1);
    assert_eq!(desk.messages(to).len(), 3);
    desk.cut(to);
    let (to, _) = desk.durable(V5_0, "to");
    assert!(desk.got(to).is_empty());
    desk.wait(100);
    assert_eq!(desk.messages(to).len(), 1);
    desk.wait(1_000);
    assert_eq!(desk.messages(to).len(), 5, "those sent before come again");
}

#[test]
fn only_so_many_that_are_gone_are_remembered_those_with_the_most_to_pay() {
    let mut desk = Desk::new();
    let listener = Arc::new(ListenerLimits::new(
        messages_in(rate(10, 3)),
        Rates::UNLIMITED,
    ));
    let limits = Limits {
        rate_debts: 2,
        ..Limits::default()
    };
    desk.shard = Shard::new(ShardConfig {
        limits,
        listeners: vec![listener; 8],
        ..ShardConfig::default()
    });
    for (name, messages) in [("a", 2), ("b", 3), ("c", 1), ("d", 3)] {
        let conn = desk.client(V3_1_1, name);
        flood_and_leave(&mut desk, conn, messages);
    }
    assert_eq!(desk.stats().rate_debts_forgotten, 2);
    for (name, burst) in [("b", 0), ("d", 0), ("a", 3), ("c", 3)] {
        let conn = desk.client(V3_1_1, name);
        let passed = flood_and_leave(&mut desk, conn, 9);
        assert_eq!(passed, burst, "{name}");
    }
}
