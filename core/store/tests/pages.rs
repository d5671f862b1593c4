//! What is put into a store comes out of it, page by page, also when it was closed meanwhile.

mod common;

use common::{CLOCK, append, message, payloads, read, request};
use ternmq_protocol::broker::durable::{DelayedKey, StoreOp, StreamKey};
use ternmq_protocol::broker::record::{
    CopyRecord, DelayedRecord, InFlightRecord, NodeId, Owner, Rev, SessKey, SessionRecord,
    SubscriptionRecord,
};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::codec::subscribe::SubscriptionOptions;
use ternmq_protocol::time::UnixMs;
use ternmq_store::{Options, Store, StoreError, Sync};

const NODE: NodeId = NodeId(1);

fn commit(store: &Store, owner: Owner, ops: &[StoreOp]) -> u64 {
    store.commit(owner, ops, CLOCK, Sync::Yes).unwrap().head
}

fn subscription(filter: &str) -> StoreOp {
    let record = SubscriptionRecord {
        filter: filter.into(),
        options: SubscriptionOptions::default(),
        identifier: None,
        replay: None,
        replay_until: None,
        since: 0,
    };
    StoreOp::Subscribe(SessKey::new("", "anna"), Box::new(record))
}

fn session(owner: Owner, rev: u64) -> SessionRecord {
    let mut record = SessionRecord::new("anna", owner, Rev(rev));
    record.expiry = 100;
    record
}

fn put(record: &SessionRecord) -> StoreOp {
    StoreOp::PutSession(Box::new(record.clone()))
}

#[test]
fn streams_are_read_in_the_order_of_the_log_each_message_once() {
    let folder = std::env::temp_dir().join(format!("ternmq-store-pages-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let store = Store::open(&folder, &Options::default()).unwrap();
    assert!(matches!(
        Store::open(&folder, &Options::default()),
        Err(StoreError::InUse(_))
    ));
    let owner = store.begin(NODE).unwrap();
    let ops = [
        append("a", b"1", &["a", "#"]),
        append("b", b"2", &["#"]),
        append("a", b"3", &["a", "#"]),
    ];
    assert_eq!(commit(&store, owner, &ops), 3);
    let ops = [append("c", b"4", &["c", "#"]), append("a", b"5", &["a"])];
    assert_eq!(commit(&store, owner, &ops), 5);
    let check = |store: &Store| {
        let page = read(store, &["a", "c"], 0, 10);
        let wanted = [(1, "1"), (3, "3"), (4, "4"), (5, "5")];
        assert_eq!(
            payloads(&page),
            wanted.map(|(seq, text)| (seq, text.to_owned()))
        );
        assert_eq!((page.reached, page.lost), (5, 0));
        let page = read(store, &["#", "a"], 0, 3);
        assert_eq!((page.messages.len(), page.reached), (3, 3));
        let page = read(store, &["#", "a"], 3, 3);
        assert_eq!((page.messages.len(), page.reached), (2, 5));
        let page = read(store, &["#"], 4, 3);
        assert_eq!((page.messages.len(), page.reached), (0, 5));
        let mut request = request(&["#"], 0, 10);
        request.streams = Box::new([(StreamKey::of("#"), 2), (StreamKey::of("a"), 3)]);
        let page = store.read(&request, CLOCK).unwrap();
        let seqs: Vec<u64> = payloads(&page).into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(seqs, [3, 4, 5]);
        request.bytes = 1;
        let page = store.read(&request, CLOCK).unwrap();
        assert_eq!((page.messages.len(), page.reached), (1, 3));
        let at = store.messages_at(&[5, 9, 2], CLOCK).unwrap();
        let topics: Vec<_> = at
            .iter()
            .map(|one| one.as_ref().map(|one| one.topic()))
            .collect();
        assert_eq!(topics, [Some("a"), None, Some("b")]);
    };
    check(&store);
    drop(store);
    let store = Store::open(&folder, &Options::default()).unwrap();
    check(&store);
    assert!(store.commit(owner, &[], CLOCK, Sync::No).is_ok());
    let next = store.begin(NODE).unwrap();
    assert!(next.epoch > owner.epoch);
    assert!(matches!(
        store.commit(owner, &[], CLOCK, Sync::No),
        Err(StoreError::Fenced)
    ));
    drop(store);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_index_is_the_same_in_memory_and_in_rows() {
    let store = Store::memory().unwrap();
    let owner = store.begin(NODE).unwrap();
    // More than the tail of the index may hold, in more than one row of a stream.
    for round in 0..60 {
        let ops: Vec<StoreOp> = (0..500)
            .map(|n| {
                let seq = round * 500 + n + 1;
                let own = format!("own/{}", seq % 100);
                append("t", format!("{seq}").as_bytes(), &["all", &own])
            })
            .collect();
        commit(&store, owner, &ops);
    }
    for stream in [7, 99] {
        let own = format!("own/{stream}");
        let mut after = 0;
        let mut seqs = Vec::new();
        while after < 30_000 {
            let page = read(&store, &[&own], after, 70);
            assert_eq!(page.lost, 0);
            seqs.extend(payloads(&page).into_iter().map(|(seq, text)| {
                assert_eq!(seq.to_string(), text);
                seq
            }));
            after = page.reached;
        }
        let wanted: Vec<u64> = (1..=30_000).filter(|seq| seq % 100 == stream).collect();
        assert_eq!(seqs, wanted);
    }
    let page = read(&store, &["all", "own/3"], 12_345, 2_000);
    let seqs: Vec<u64> = page.messages.iter().map(|one| one.log_seq()).collect();
    assert_eq!(seqs, (12_346..=14_345).collect::<Vec<_>>());
}

#[test]
fn sessions_come_back_with_subscriptions_and_the_messages_they_refer_to() {
    let store = Store::memory().unwrap();
    let owner = store.begin(NODE).unwrap();
    let logged = append("a", b"logged", &["a"]);
    let StoreOp::Append(one) = &logged else {
        unreachable!()
    };
    let logged_message = one.message.clone();
    commit(&store, owner, &[logged]);
    assert_eq!(logged_message.log_seq(), 1);
    let copy = |message| CopyRecord {
        message,
        qos: QoS::AtLeastOnce,
        retain: false,
        ids: Vec::new(),
        shared: None,
        left: None,
    };
    let mut record = session(owner, 4);
    record.in_flight.push(InFlightRecord {
        packet_id: 9,
        copy: Some(copy(logged_message)),
    });
    record.queue.push(copy(message("retained", b"by value")));
    let ops = [put(&record), subscription("a/+"), subscription("b/#")];
    commit(&store, owner, &ops);
    commit(&store, owner, &ops);
    let page = store.sessions(None, 100, CLOCK).unwrap();
    assert_eq!((page.sessions.len(), page.next, page.damaged), (1, None, 0));
    let back = &page.sessions[0];
    let mut filters: Vec<&str> = back.subscriptions.iter().map(|one| &*one.filter).collect();
    filters.sort_unstable();
    assert_eq!(filters, ["a/+", "b/#"]);
    let copies: Vec<(&str, u64)> = back
        .messages()
        .map(|one| (one.topic(), one.log_seq()))
        .collect();
    assert_eq!(copies, [("a", 1), ("retained", 0)]);
    assert_eq!((back.rev, back.lost), (Rev(4), 0));

    commit(&store, owner, &[subscription("b/#")]);
    check_later_records(&store, owner);
}

/// Of a session of revision 4 with two subscriptions and a message in flight.
fn check_later_records(store: &Store, owner: Owner) {
    let older = session(owner, 3);
    let done = store
        .commit(owner, &[put(&older)], CLOCK, Sync::Yes)
        .unwrap();
    assert_eq!(done.fenced, [SessKey::new("", "anna")]);
    let key = SessKey::new("", "anna");
    let now = store.session(key, CLOCK).unwrap().unwrap();
    assert_eq!((now.rev, now.in_flight.len()), (Rev(4), 1));

    let ops = [
        StoreOp::Unsubscribe(key, "a/+".into()),
        put(&session(owner, 5)),
    ];
    commit(store, owner, &ops);
    let now = store.session(key, CLOCK).unwrap().unwrap();
    assert_eq!((now.subscriptions.len(), now.in_flight.len()), (1, 0));
    // What stands before the end of a session in the same commit ends with it.
    let ops = [
        subscription("c"),
        StoreOp::EndSession(key),
        put(&session(owner, 1)),
        subscription("d"),
    ];
    commit(store, owner, &ops);
    let now = store.session(key, CLOCK).unwrap().unwrap();
    assert_eq!((now.rev, &*now.subscriptions[0].filter), (Rev(1), "d"));
    assert_eq!(now.subscriptions.len(), 1);
    commit(store, owner, &[StoreOp::EndSession(key)]);
    assert!(store.session(key, CLOCK).unwrap().is_none());
    commit(store, owner, &[put(&session(owner, 1))]);
    let now = store.session(key, CLOCK).unwrap().unwrap();
    assert!(now.subscriptions.is_empty());
}

#[test]
fn sessions_retained_and_delayed_messages_come_in_pages() {
    let store = Store::memory().unwrap();
    let owner = store.begin(NODE).unwrap();
    let delayed = |number| DelayedKey {
        shard: 3,
        epoch: 1,
        number,
    };
    for n in 0..25u64 {
        let record = SessionRecord::new(&format!("client-{n}"), owner, Rev(1));
        let later = DelayedRecord {
            message: message("later", n.to_string().as_bytes()),
            due: UnixMs(n),
            home: 0,
        };
        let ops = [
            put(&record),
            StoreOp::PutRetained(message(&format!("r/{n:02}"), b"x")),
            StoreOp::PutDelayed(delayed(n), Box::new(later)),
        ];
        commit(&store, owner, &ops);
    }
    let gone = [
        StoreOp::RemoveRetained("r/07".into()),
        StoreOp::RemoveDelayed(delayed(7)),
    ];
    commit(&store, owner, &gone);
    let (mut names, mut from) = (Vec::new(), None);
    loop {
        let page = store.sessions(from, 4, CLOCK).unwrap();
        assert!(page.sessions.len() <= 4);
        names.extend(page.sessions.into_iter().map(|one| one.client_id));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 25);
    let (mut topics, mut from) = (Vec::new(), String::new());
    loop {
        let page = store.retained(&from, 10, CLOCK).unwrap();
        topics.extend(page.messages.iter().map(|one| one.topic().to_owned()));
        match page.next {
            Some(next) => from = next.into(),
            None => break,
        }
    }
    let wanted: Vec<String> = (0..25)
        .filter(|n| *n != 7)
        .map(|n| format!("r/{n:02}"))
        .collect();
    assert_eq!(topics, wanted);
    let page = store.delayed(None, 5, CLOCK).unwrap();
    assert_eq!(page.next, Some(delayed(5)));
    let rest = store.delayed(page.next, 100, CLOCK).unwrap();
    let numbers: Vec<u64> = page
        .messages
        .iter()
        .chain(&rest.messages)
        .map(|(key, _)| key.number)
        .collect();
    assert_eq!(numbers, (0..25).filter(|n| *n != 7).collect::<Vec<_>>());
    assert_eq!(rest.next, None);
}

#[test]
fn a_group_gets_what_is_not_done() {
    let store = Store::memory().unwrap();
    let owner = store.begin(NODE).unwrap();
    let group = "$share/g/a";
    let ops: Vec<StoreOp> = (1..=10)
        .map(|n| append("a", n.to_string().as_bytes(), &[group]))
        .collect();
    commit(&store, owner, &ops);
    let stream = StreamKey::of(group);
    let done = |seqs: &[u64]| -> Vec<StoreOp> {
        seqs.iter().map(|seq| StoreOp::Done(stream, *seq)).collect()
    };
    commit(&store, owner, &done(&[4, 2]));
    commit(&store, owner, &done(&[2, 9, 9]));
    let seqs = |after, max| {
        let page = store
            .undone(stream, after, (max, usize::MAX), CLOCK)
            .unwrap();
        let seqs: Vec<u64> = page.messages.iter().map(|one| one.log_seq()).collect();
        (seqs, page.reached)
    };
    assert_eq!(seqs(0, 100), (vec![1, 3, 5, 6, 7, 8, 10], 10));
    assert_eq!(seqs(0, 3), (vec![1, 3, 5], 5));
    assert_eq!(seqs(5, 100), (vec![6, 7, 8, 10], 10));
    commit(&store, owner, &[StoreOp::DoneUpTo(stream, 6)]);
    assert_eq!(seqs(0, 100), (vec![7, 8, 10], 10));
    assert_eq!(store.cursor(stream).unwrap(), (6, 9));
    // It never goes back.
    commit(&store, owner, &[StoreOp::DoneUpTo(stream, 3)]);
    assert_eq!(seqs(0, 100), (vec![7, 8, 10], 10));
    let all: Vec<u64> = (1..=10).collect();
    commit(&store, owner, &done(&all));
    assert_eq!(seqs(0, 100), (vec![], 10));
}

#[test]
fn a_message_that_is_in_the_log_is_not_appended_again() {
    let store = Store::memory().unwrap();
    let owner = store.begin(NODE).unwrap();
    let ops = [append("a", b"1", &["a"]), append("a", b"2", &["a"])];
    let first = store.commit(owner, &ops, CLOCK, Sync::No).unwrap();
    assert_eq!((first.head, first.appended), (2, 2));
    let again = store.commit(owner, &ops, CLOCK, Sync::Yes).unwrap();
    assert_eq!((again.head, again.appended), (2, 0));
    assert_eq!(read(&store, &["a"], 0, 9).messages.len(), 2);
}
