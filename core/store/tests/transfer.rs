//! A store as frames, a copy of it, and what is said of it.

mod common;

use std::sync::Arc;

use common::{
    CLOCK, append, appended, commit, copy, key, message, payloads, read, session, subscribe,
};
use ternmq_protocol::broker::durable::{DelayedKey, StoreOp, StreamKey};
use ternmq_protocol::broker::record::{
    DelayedRecord, Frame, LogPos, NodeId, Owner, Rev, SessKey, SessionRecord, Start, encode_message,
};
use ternmq_protocol::time::UnixMs;
use ternmq_store::{Memory, Options, Store, StoreError};

fn filled() -> (Store, Owner) {
    let store = Store::memory().unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    let ops: Vec<StoreOp> = (1..=300)
        .map(|n| append("a/b", format!("{n}").as_bytes(), &["#", "$share/g/#"]))
        .collect();
    commit(&store, owner, &ops);
    let flying = appended(&ops[6]).clone();
    let later = DelayedRecord {
        message: message("later", b"x"),
        due: UnixMs(7),
        home: 2,
    };
    let number = DelayedKey {
        shard: 2,
        epoch: 1,
        number: 9,
    };
    let group = StreamKey::of("$share/g/#");
    let mut ops = vec![
        session("anna", 3, 10, &[&flying, &message("kept", b"by value")]),
        subscribe("anna", "#", 0),
        subscribe("anna", "$share/g/#", 0),
        StoreOp::PutRetained(message("r", b"retained")),
        StoreOp::PutDelayed(number, Box::new(later)),
    ];
    ops.extend((1..=290).map(|seq| StoreOp::Done(group, seq)));
    commit(&store, owner, &ops);
    (store, owner)
}

fn check(store: &Store) {
    let page = read(store, &["#"], 10, 1000);
    let wanted: Vec<(u64, String)> = (11..=300).map(|n| (n, n.to_string())).collect();
    assert_eq!((payloads(&page), page.lost), (wanted, 0));
    let group = StreamKey::of("$share/g/#");
    let page = store.undone(group, 0, (100, usize::MAX), CLOCK).unwrap();
    assert_eq!(page.messages.len(), 10);
    let anna = store.session(key("anna"), CLOCK).unwrap().unwrap();
    let copies: Vec<(u64, &[u8])> = anna
        .messages()
        .map(|one| (one.log_seq(), one.payload()))
        .collect();
    assert_eq!(copies, [(7, &b"7"[..]), (0, b"by value")]);
    assert_eq!((anna.rev, anna.cursor, anna.lost), (Rev(3), 10, 0));
    assert_eq!(anna.subscriptions.len(), 2);
    let retained = store.retained("", 10, CLOCK).unwrap().messages;
    assert_eq!(retained[0].payload(), b"retained");
    let delayed = store.delayed(None, 10, CLOCK).unwrap().messages;
    assert_eq!((delayed[0].1.due, delayed.len()), (UnixMs(7), 1));
    assert!(store.check(CLOCK).unwrap().is_whole());
}

#[test]
fn what_was_exported_can_be_imported() {
    let (store, owner) = filled();
    check(&store);
    let mut bytes = Vec::new();
    let sum = store.export(owner, CLOCK, &mut bytes).unwrap();
    assert_eq!((sum.messages, sum.sessions, sum.damaged), (300, 1, 0));
    let other = Store::memory().unwrap();
    let owner = other.begin(NodeId(1)).unwrap();
    let taken = other.import(owner, CLOCK, &mut &bytes[..]).unwrap();
    assert_eq!(taken, sum);
    check(&other);
    assert!(matches!(
        other.import(owner, CLOCK, &mut &bytes[..]),
        Err(StoreError::NotEmpty)
    ));
    assert_eq!(commit(&other, owner, &[append("a", b"", &["#"])]), 301);
}

/// No end is longer.
const END_BYTES: usize = 100;

#[test]
fn a_damaged_stream_is_taken_in_but_for_what_is_damaged() {
    let (store, owner) = filled();
    let mut bytes = Vec::new();
    store.export(owner, CLOCK, &mut bytes).unwrap();
    let last = bytes.len() - END_BYTES;
    for at in (0..bytes.len()).step_by(997) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        let other = Store::memory().unwrap();
        let owner = other.begin(NodeId(1)).unwrap();
        let taken = other.import(owner, CLOCK, &mut &bytes[..]).unwrap();
        assert!(taken.messages >= 299 && taken.damaged > 0, "{at} {taken:?}");
        // Unless it is the end itself that is damaged.
        assert!(taken.complete || at >= last, "{at} {taken:?}");
        let cut = Store::memory().unwrap();
        let owner = cut.begin(NodeId(1)).unwrap();
        let taken = cut.import(owner, CLOCK, &mut &bytes[..at]).unwrap();
        assert!(!taken.complete);
    }
}

/// As the store before the log wrote it: messages by their places in partitions, sessions that refer
/// to them.
#[test]
fn the_file_of_an_old_folder_is_taken_in() {
    let owner = Owner::default();
    let mut bytes = Vec::new();
    let mut body = Vec::new();
    let start = Start {
        owner,
        written: UnixMs(5),
    };
    start.encode(&mut body);
    assert!(Frame::start(&body).write(&mut bytes));
    let waiting = message("a/b", b"for two");
    let place = LogPos {
        partition: 9,
        seq: 1,
    };
    body.clear();
    encode_message(&waiting, CLOCK, &mut body);
    assert!(Frame::message(place, &body).write(&mut bytes));
    for client in ["anna", "bert"] {
        let mut record = SessionRecord::new(client, owner, Rev(1));
        let StoreOp::Subscribe(_, subscription) = subscribe(client, "$share/g/a", 0) else {
            unreachable!()
        };
        record.subscriptions.push(*subscription);
        let mut queued = copy(&waiting);
        queued.shared = Some(0);
        record.queue.push(queued);
        body.clear();
        record.encode(|_| place, &mut body);
        let frame = Frame::session(SessKey::new("", client), &body);
        assert!(frame.write(&mut bytes));
    }
    body.clear();
    encode_message(&message("r", b"retained"), CLOCK, &mut body);
    assert!(Frame::retained("r", &body).write(&mut bytes));
    assert!(Frame::end(5).write(&mut bytes));

    let store = Store::memory().unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    let taken = store.import(owner, CLOCK, &mut &bytes[..]).unwrap();
    assert!(taken.complete);
    assert_eq!((taken.messages, taken.sessions, taken.retained), (1, 2, 1));
    for client in ["anna", "bert"] {
        let record = store.session(key(client), CLOCK).unwrap().unwrap();
        assert_eq!((record.queue.len(), record.lost), (1, 0));
        let copy = &record.queue[0];
        assert_eq!(
            (copy.message.payload(), copy.message.log_seq()),
            (&b"for two"[..], 0)
        );
        // A record of its own has no places among subscriptions.
        assert_eq!((copy.shared, copy.left.as_deref()), (None, Some("g/a")));
        assert_eq!(&*record.subscriptions[0].filter, "$share/g/a");
    }
    assert_eq!(store.retained("", 10, CLOCK).unwrap().messages.len(), 1);
    assert_eq!(store.head(), 0);
}

#[test]
fn a_copy_is_the_store_as_it_was() {
    let (store, owner) = filled();
    let folder = std::env::temp_dir().join(format!("ternmq-store-backup-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("store.redb");
    // Of one that was killed, and would be a store with less in it.
    let part = folder.join("store.redb.part");
    std::fs::write(&part, b"half").unwrap();
    let rows = store.backup(&path).unwrap();
    assert!(store.backup(&path).is_err());
    assert!(!part.exists());
    commit(&store, owner, &[append("a/b", b"later", &["#"])]);
    let copy = Store::open(&folder, &Options::default()).unwrap();
    check(&copy);
    assert!(copy.salvaged().is_none());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let check = copy.check(CLOCK).unwrap();
    assert_eq!(
        check.kinds.values().map(|kind| kind.rows).sum::<u64>(),
        rows
    );
    drop(copy);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Of what is committed while it is made, a copy has what came first, and all that was there before.
#[test]
fn copies_that_are_made_while_much_is_committed_have_no_gap() {
    const LAST: u64 = 20_000;
    const A_COMMIT: u64 = 20;
    let store = Store::memory().unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    commit(
        &store,
        owner,
        &[session("slow", 1, 0, &[]), subscribe("slow", "#", 0)],
    );
    let mut between = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for next in (1..=LAST).step_by(A_COMMIT as usize) {
                let ops: Vec<StoreOp> = (next..next + A_COMMIT)
                    .map(|n| append("a/b", n.to_string().as_bytes(), &["#"]))
                    .chain([StoreOp::PutRetained(message(
                        "r",
                        next.to_string().as_bytes(),
                    ))])
                    .collect();
                commit(&store, owner, &ops);
            }
        });
        while store.head() < LAST {
            let (before, copy) = (store.head(), Arc::new(Memory::default()));
            store.backup_into(copy.clone()).unwrap();
            let after = store.head();
            let copy = Store::over(copy, &Options::default()).unwrap();
            let head = copy.head();
            // A commit is there for a copy before it is for `head`, which counts what has its place.
            let most = after + A_COMMIT;
            assert!((before..=most).contains(&head), "{before} {head} {after}");
            let page = read(&copy, &["#"], 0, LAST as usize);
            let wanted: Vec<(u64, String)> = (1..=head).map(|n| (n, n.to_string())).collect();
            assert_eq!((payloads(&page), page.lost), (wanted, 0));
            let retained = copy.retained("", 10, CLOCK).unwrap().messages;
            let last = retained
                .first()
                .map(|one| String::from_utf8_lossy(one.payload()).into_owned());
            assert_eq!(last, (head > 0).then(|| (head + 1 - A_COMMIT).to_string()));
            assert!(copy.check(CLOCK).unwrap().is_whole());
            between += u32::from(before > 0 && head < LAST && after > before);
        }
    });
    assert!(between > 0, "all of them before or behind");
}

#[test]
fn a_folder_with_a_damaged_file_is_opened_with_what_is_left_of_it() {
    let (store, _) = filled();
    let folder = std::env::temp_dir().join(format!("ternmq-store-damaged-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("store.redb");
    store.backup(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // The beginning of the file, without which the engine does not know it.
    bytes[..9].fill(0xEE);
    std::fs::write(&path, &bytes).unwrap();
    let store = Store::open(&folder, &Options::default()).unwrap();
    check(&store);
    let salvaged = store.salvaged().unwrap();
    let aside = salvaged.aside.clone().unwrap();
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
    assert_eq!((salvaged.damaged, salvaged.pages), (0, 0));
    drop(store);
    let again = Store::open(&folder, &Options::default()).unwrap();
    assert!(again.salvaged().is_none());
    check(&again);
    drop(again);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_without_a_store_in_it_is_begun_anew_and_told_of() {
    let folder = std::env::temp_dir().join(format!("ternmq-store-zeros-{}", std::process::id()));
    for bytes in [0, 1, 4_096, 4 << 20, 5 << 20] {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let open = || Store::open(&folder, &Options::default()).unwrap();
        std::fs::write(folder.join("store.redb"), vec![0; bytes]).unwrap();
        let store = open();
        let salvaged = store.salvaged().expect("told of");
        assert!(!salvaged.reason.is_empty() && salvaged.rows == 0, "{bytes}");
        drop(store);
        assert!(open().salvaged().is_none(), "{bytes}");
        std::fs::remove_file(folder.join("store.redb")).unwrap();
        assert!(open().salvaged().is_none(), "one that is new");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_of_a_newer_engine_is_refused_and_left_as_it_is() {
    let (store, _) = filled();
    let folder = std::env::temp_dir().join(format!("ternmq-store-newer-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("store.redb");
    store.backup(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!((bytes[64], bytes[192]), (3, 3), "another engine");
    (bytes[64], bytes[192]) = (4, 4);
    std::fs::write(&path, &bytes).unwrap();
    let error = Store::open(&folder, &Options::default()).unwrap_err();
    for word in [
        "version 4",
        "left as it is",
        "store export",
        "another folder",
    ] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    // One of them alone is damage.
    bytes[64] = 3;
    std::fs::write(&path, &bytes).unwrap();
    check(&Store::open(&folder, &Options::default()).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn compacting_gives_room_back_and_what_is_there_is_told() {
    let memory = Arc::new(Memory::default());
    let store = Store::over(memory, &Options::default()).unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    for _ in 0..40 {
        commit(&store, owner, &[append("a", &[b'x'; 60_000], &["#"])]);
    }
    let limits = ternmq_store::SweepLimits {
        settled: 40,
        ..Default::default()
    };
    assert_eq!(store.sweep(owner, &limits, CLOCK).unwrap().passed, 40);
    let sizes = store.compact().unwrap();
    assert!(sizes.after * 4 < sizes.before, "{sizes:?}");
    assert_eq!(store.file_bytes().unwrap(), sizes.after);

    let (store, _) = filled();
    let mut lines = Vec::new();
    store.dump(CLOCK, &mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    for word in [
        "blocks 1: 290 messages",
        "\"anna\" revision 3 cursor 10 in flight 2",
        "\"$share/g/#\" QoS 1",
        "retained \"r\": 8 bytes",
        "\"later\" due 7",
        "meta epoch",
    ] {
        assert!(lines.contains(word), "{word} in {lines}");
    }
    assert!(!lines.contains("by value"));
}
