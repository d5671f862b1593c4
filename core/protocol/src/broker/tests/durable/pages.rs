//! Pages of the log: how many a session asks for, and what it takes of those it gets.

use super::hall::*;
use super::plain::{publisher, subscriber};
use crate::broker::durable::{DurableConfig, LogPage};
use crate::broker::tests::desk::*;

/// A session that was away while so many messages came, each with its number, and has asked for a page.
fn asks(config: DurableConfig, messages: u16) -> (Hall, u32) {
    let mut hall = Hall::with(1, config, |limits| limits.inflight = 1);
    let sub = subscriber(&mut hall, "sub", "t", Q1);
    hall.cut(sub);
    let publisher = publisher(&mut hall);
    for n in 1..=messages {
        hall.publish(publisher, "t", &n.to_string(), Q1, n);
    }
    hall.quiet();
    let sub = hall.connect(V5_0, "sub", false, 10_000);
    hall.commit(usize::MAX, None);
    hall.deliver_all();
    assert!(hall.connack(sub));
    assert_eq!(hall.reads.len(), 1);
    (hall, sub)
}

#[test]
fn however_often_a_client_subscribes_one_page_is_under_way() {
    let (mut hall, sub) = asks(DurableConfig::default(), 3);
    for n in 0..20 {
        hall.subscribe(sub, &format!("u/{n}"), Q1);
        hall.commit(usize::MAX, None);
        hall.deliver_all();
    }
    assert_eq!(hall.reads.len(), 1);
    // It is asked for once more, now with all filters.
    assert!(hall.answer_read());
    hall.deliver_all();
    assert_eq!(hall.reads.len(), 1);
    assert_eq!(hall.reads[0].1.streams.len(), 21);
    assert_eq!(read_all(&mut hall, sub, 10), ["1", "2", "3"]);
}

#[test]
fn of_a_page_that_is_larger_than_asked_for_a_session_takes_what_it_asked_for() {
    let config = DurableConfig {
        page_messages: 4,
        ..DurableConfig::default()
    };
    let (mut hall, sub) = asks(config, 30);
    let (shard, mut request) = hall.reads.pop_front().unwrap();
    request.messages = usize::MAX;
    let page = hall.disk.read(&request, hall.clock());
    assert_eq!(page.messages.len(), 30);
    hall.mail[shard].push_back(Mail::Page(request.ticket, page));
    hall.deliver_all();
    let stats = hall.shards[0].stats();
    assert!(stats.queued <= 4, "{stats:?}");
    let all: Vec<_> = (1..=30).map(|n| n.to_string()).collect();
    assert_eq!(read_all(&mut hall, sub, 40), all);
}

#[test]
fn no_more_is_lost_than_there_was_whatever_a_store_says() {
    let (mut hall, sub) = asks(DurableConfig::default(), 3);
    let (shard, request) = hall.reads.pop_front().unwrap();
    let page = LogPage {
        reached: 3,
        lost: u64::MAX,
        ..LogPage::default()
    };
    hall.mail[shard].push_back(Mail::Page(request.ticket, page));
    assert!(read_all(&mut hall, sub, 10).is_empty());
    assert_eq!(hall.shards[0].stats().dropped.unreadable, 3);
    hall.check_books();
}

// What was published before the subscription is not for it, however late the session was written last.
#[test]
fn who_subscribes_twice_gets_nothing_from_before_after_a_crash() {
    let mut hall = Hall::new(1);
    let (sub, _) = hall.durable(V5_0, "sub");
    let _keeps = subscriber(&mut hall, "keeps", "t", Q1);
    let publisher = publisher(&mut hall);
    for n in 1..=3 {
        hall.publish(publisher, "t", &n.to_string(), Q1, n);
    }
    hall.quiet();
    hall.subscribe(sub, "t", Q1);
    hall.subscribe(sub, "t", Q1);
    hall.quiet();
    hall.publish(publisher, "t", "4", Q1, 4);
    hall.quiet();
    hall.crash(1, 1);
    let (sub, present) = hall.durable(V5_0, "sub");
    assert!(present);
    assert_eq!(read_all(&mut hall, sub, 10), ["4"]);
}
