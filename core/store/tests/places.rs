//! Where in the log a retained message stands too.

mod common;

use common::{CLOCK, append, appended, commit, message, read, session, subscribe};
use ternmq_protocol::Message;
use ternmq_protocol::broker::durable::StoreOp;
use ternmq_protocol::broker::record::{NodeId, Owner};
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::time::Time;
use ternmq_store::{Store, SweepLimits};

/// A message as a shard hands it in: to be retained, and for the log.
fn logged(topic: &str, payload: &[u8]) -> [StoreOp; 2] {
    let none = Properties::EMPTY;
    let message = Message::new(topic, payload, QoS::ExactlyOnce, true, none, Time(0)).unwrap();
    message.set_for_the_log();
    let StoreOp::Append(mut for_the_log) = append(topic, payload, &["#"]) else {
        unreachable!()
    };
    for_the_log.message = message.clone();
    [StoreOp::PutRetained(message), StoreOp::Append(for_the_log)]
}

/// Topic, payload and place of each.
fn retained(store: &Store) -> Vec<(String, String, u64)> {
    let page = store.retained("", 100, CLOCK).unwrap();
    let show = |one: &Message| {
        let payload = String::from_utf8_lossy(one.payload()).into_owned();
        (one.topic().to_owned(), payload, one.log_seq())
    };
    page.messages.iter().map(show).collect()
}

fn new() -> (Store, Owner) {
    let store = Store::memory().unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    (store, owner)
}

#[test]
fn a_retained_message_has_the_place_that_it_gets_in_the_same_commit() {
    let (store, owner) = new();
    commit(&store, owner, &[append("x", b"1", &["#"])]);
    let [put, log] = logged("r", b"2");
    // It is replaced before it has its place, it is removed, nobody wanted it.
    let [first, first_log] = logged("s", b"3");
    let [second, second_log] = logged("s", b"4");
    let [removed, removed_log] = logged("t", b"5");
    let ops = [
        put,
        StoreOp::PutRetained(message("q", b"6")),
        first,
        second,
        removed,
        StoreOp::RemoveRetained("t".into()),
        log,
        second_log,
        first_log,
        removed_log,
    ];
    commit(&store, owner, &ops);
    let one = |topic: &str, payload: &str, place| (topic.to_owned(), payload.to_owned(), place);
    let all = [one("q", "6", 0), one("r", "2", 2), one("s", "4", 3)];
    assert_eq!(retained(&store), all);
    // One that is put again has its place already.
    let StoreOp::PutRetained(known) = &ops[3] else {
        unreachable!()
    };
    assert_eq!(known.log_seq(), 3);
    commit(&store, owner, &[StoreOp::PutRetained(known.clone())]);
    assert_eq!(retained(&store), all);
    assert!(store.check(CLOCK).unwrap().is_whole());
}

#[test]
fn places_stay_right_in_a_store_that_was_exported_and_imported() {
    let (store, owner) = new();
    commit(
        &store,
        owner,
        &[session("anna", 1, 0, &[]), subscribe("anna", "#", 0)],
    );
    for n in 0..5 {
        commit(&store, owner, &[append("x", &[b'0' + n], &["#"])]);
    }
    commit(&store, owner, &logged("r", b"kept"));
    // She has read everything, and the log has nothing left.
    commit(&store, owner, &[session("anna", 2, 6, &[])]);
    let limits = SweepLimits {
        settled: 6,
        ..SweepLimits::default()
    };
    assert_eq!(store.sweep(owner, &limits, CLOCK).unwrap().passed, 6);
    let mut bytes = Vec::new();
    store.export(owner, CLOCK, &mut bytes).unwrap();

    let (other, owner) = new();
    other.import(owner, CLOCK, &mut &bytes[..]).unwrap();
    assert_eq!(retained(&other), [("r".into(), "kept".into(), 6)]);
    assert_eq!(other.head(), 6);
    let op = append("x", b"next", &["#"]);
    commit(&other, owner, std::slice::from_ref(&op));
    assert_eq!(appended(&op).log_seq(), 7);
    assert_eq!(read(&other, &["#"], 6, 10).messages.len(), 1);
}
