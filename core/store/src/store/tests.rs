//! Stores of other versions.

use super::*;
use ternmq_protocol::Message;
use ternmq_protocol::broker::durable::{Append, DelayedKey, Durability, ReadRequest, ReadTicket};
use ternmq_protocol::broker::record::{
    CopyRecord, DelayedRecord, InFlightRecord, Rev, SessionRecord, SubscriptionRecord,
};
use ternmq_protocol::codec::subscribe::SubscriptionOptions;
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::time::{Time, UnixMs};

use crate::meta::FORMAT;
use crate::sweep::SweepLimits;

const CLOCK: Clock = Clock::at(Time(5_000), UnixMs(1_800_000_000_000));

/// The rows of a store of format 1: for each, key and value behind their lengths, four bytes with
/// the lowest first. Once released it never changes: a new format gets one of its own, and this one
/// must still be read. `TERNMQ_WRITE_GOLDEN=1` writes one that is missing.
const GOLDEN: &str = "src/golden/rows-v1.bin";
/// The same with a field of sessions that is no longer written.
const GOLDEN_WITH_FIELD_15: &str = "src/golden/rows-v1-field-15.bin";

fn message(topic: &str, payload: &str) -> Message {
    let (qos, none) = (QoS::ExactlyOnce, Properties::EMPTY);
    Message::new(topic, payload.as_bytes(), qos, false, none, CLOCK.now()).unwrap()
}

fn subscribe(client: &str, filter: &str, since: u64) -> StoreOp {
    let record = SubscriptionRecord {
        filter: filter.into(),
        options: SubscriptionOptions {
            qos: QoS::AtLeastOnce,
            ..SubscriptionOptions::default()
        },
        identifier: None,
        replay: None,
        replay_until: None,
        since,
    };
    StoreOp::Subscribe(SessKey::new("", client), Box::new(record))
}

fn put(client: &str, rev: u64, cursor: u64, copies: &[&Message]) -> StoreOp {
    let mut record = SessionRecord::new(client, Owner::default(), Rev(rev));
    (record.cursor, record.expiry) = (cursor, 60);
    for (message, packet_id) in copies.iter().zip(1..) {
        let copy = CopyRecord {
            message: (*message).clone(),
            qos: QoS::AtLeastOnce,
            retain: false,
            ids: vec![7],
            shared: None,
            left: None,
        };
        let copy = Some(copy);
        record.in_flight.push(InFlightRecord { packet_id, copy });
    }
    StoreOp::PutSession(Box::new(record))
}

/// A store with rows of all kinds that there were from the beginning.
fn full() -> Store {
    let store = Store::memory().unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    let group = StreamKey::of("$share/g/a");
    let messages: Vec<Message> = (1..=20)
        .map(|n| message("a", &format!("message {n}")))
        .collect();
    let append = |message: &Message, streams: &[&str]| {
        StoreOp::Append(Append {
            message: message.clone(),
            streams: streams.iter().map(|filter| StreamKey::of(filter)).collect(),
            durability: Durability::Group,
        })
    };
    let commit = |ops: &[StoreOp]| drop(store.commit(owner, ops, CLOCK, Sync::Yes).unwrap());
    commit(&[
        put("anna", 1, 0, &[]),
        put("bert", 1, 0, &[]),
        subscribe("anna", "#", 0),
        subscribe("bert", "rare", 0),
        subscribe("bert", "$share/g/a", 0),
        StoreOp::PutRetained(message("retained", "kept")),
    ]);
    let all: [&[&str]; 4] = [&["#"], &["#", "rare"], &["#", "$share/g/a"], &["#"]];
    for chunk in messages[..15].chunks(5) {
        let ops = chunk.iter().zip(all.iter().cycle());
        let ops: Vec<StoreOp> = ops.map(|(one, streams)| append(one, streams)).collect();
        commit(&ops);
    }
    commit(&[append(&messages[15], &["#"])]);
    let delayed = DelayedRecord {
        message: message("later", "delayed"),
        due: UnixMs(9),
        home: 3,
    };
    let at = DelayedKey {
        shard: 3,
        epoch: 1,
        number: 4,
    };
    commit(&[
        put("anna", 2, 16, &[&messages[15], &message("b", "by value")]),
        StoreOp::Done(group, 3),
        StoreOp::PutDelayed(at, Box::new(delayed)),
    ]);
    let limits = SweepLimits {
        settled: 16,
        ..SweepLimits::default()
    };
    store.sweep(owner, &limits, CLOCK).unwrap();
    commit(&[append(&messages[16], &["#", "rare"])]);
    store
}

fn rows(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let view = store.engine.view().unwrap();
    view.scan(&[0], &[u8::MAX], |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Flow::Continue(())
    })
    .unwrap();
    rows
}

fn check(store: &Store) {
    let request = |filter: &str, after| ReadRequest {
        ticket: ReadTicket {
            session: 0,
            group: false,
            serial: 0,
            turn: 0,
        },
        streams: Box::new([(StreamKey::of(filter), 0)]),
        after,
        undone: false,
        messages: 100,
        bytes: 10_000,
        count_to: 0,
    };
    let seqs = |filter, after| -> Vec<u64> {
        let page = store.read(&request(filter, after), CLOCK).unwrap();
        assert_eq!(page.lost, 0);
        page.messages.iter().map(Message::log_seq).collect()
    };
    assert_eq!(seqs("#", 16), [17]);
    assert_eq!(seqs("rare", 0), [2, 7, 12, 17]);
    let group = StreamKey::of("$share/g/a");
    let undone = store.undone(group, 0, (9, 9_999), CLOCK).unwrap();
    let undone: Vec<u64> = undone.messages.iter().map(Message::log_seq).collect();
    assert_eq!(undone, [8, 13]);
    let anna = store.session(SessKey::new("", "anna"), CLOCK).unwrap();
    let anna = anna.unwrap();
    let copies: Vec<&[u8]> = anna.messages().map(Message::payload).collect();
    assert_eq!(copies, [&b"message 16"[..], b"by value"]);
    assert_eq!((anna.rev, anna.cursor, anna.lost), (Rev(2), 16, 0));
    let retained = store.retained("", 9, CLOCK).unwrap().messages;
    assert_eq!(retained[0].payload(), b"kept");
    let delayed = store.delayed(None, 9, CLOCK).unwrap().messages;
    assert_eq!((delayed[0].0.number, delayed[0].1.due), (4, UnixMs(9)));
    let kinds = store.check(CLOCK).unwrap();
    assert!(kinds.is_whole());
    let empty = kinds.kinds.iter().filter(|(_, rows)| rows.rows == 0);
    assert_eq!(
        empty.map(|(name, _)| *name).collect::<Vec<_>>(),
        ["damaged", "passed"]
    );
    assert_eq!((store.head(), store.writer().epoch), (17, 1));
}

/// A backend with these rows.
fn backend(rows: Vec<Change>) -> Arc<Memory> {
    let memory = Arc::new(Memory::default());
    let engine = Engine::open(memory.clone(), 1 << 20, false).unwrap();
    engine.commit(rows, true).unwrap();
    drop(engine);
    memory
}

/// The rows in a file of this crate.
fn rows_in(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut take = || {
        let (len, behind) = rest.split_first_chunk()?;
        let (part, behind) = behind.split_at(u32::from_le_bytes(*len) as usize);
        rest = behind;
        Some(part.to_vec())
    };
    let mut rows = Vec::new();
    while let (Some(key), Some(value)) = (take(), take()) {
        rows.push((key, value));
    }
    rows
}

#[test]
fn stores_of_format_1_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join(GOLDEN);
    if !path.exists() && std::env::var_os("TERNMQ_WRITE_GOLDEN").is_some() {
        let mut bytes = Vec::new();
        for (key, value) in rows(&full()) {
            for part in [key, value] {
                bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
                bytes.extend_from_slice(&part);
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let known = rows_in(&path);
    assert_eq!(
        FORMAT, 1,
        "a new format: keep this store, and read it as an older one"
    );
    assert_eq!(
        rows(&full()),
        known,
        "what is written has changed without a new format"
    );
    for rows in [known, rows_in(&folder.join(GOLDEN_WITH_FIELD_15))] {
        let changes = rows.into_iter().map(|(key, value)| (key, Some(value)));
        let memory = backend(changes.collect());
        check(&Store::over(memory, &Options::default()).unwrap());
    }
}

/// Who does not know the kind passes it over, and gives a later group what was left of a former one.
#[test]
fn a_place_up_to_which_all_is_done_is_a_row_of_its_own_kind() {
    let store = Store::memory().unwrap();
    let owner = store.begin(NodeId(1)).unwrap();
    let op = StoreOp::DoneUpTo(StreamKey(0x0102_0304_0506_0708), 300);
    store.commit(owner, &[op], CLOCK, Sync::Yes).unwrap();
    let rows = rows(&store);
    let (key, value) = rows.iter().find(|(key, _)| key[0] == b'P').unwrap();
    assert_eq!(key, b"P\x01\x02\x03\x04\x05\x06\x07\x08");
    assert_eq!((value[0], &value[5..]), (1, &[0xAC, 2][..]));
    let mut lines = Vec::new();
    store.dump(CLOCK, &mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.contains("up to 300"), "{lines}");
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let key = row::meta("format");
    let value = row::seal(&key, |out| {
        for number in [u64::from(FORMAT) + 1, 64, 2] {
            row::put_number(out, number);
        }
    });
    let mut rows = rows(&full());
    rows.retain(|(other, _)| *other != key);
    rows.push((key, value));
    let changes = rows.into_iter().map(|(key, value)| (key, Some(value)));
    let memory = backend(changes.collect());
    let before = memory.bytes();
    let options = Options {
        verify: false,
        ..Options::default()
    };
    let error = Store::over(memory.clone(), &options).unwrap_err();
    assert!(matches!(error, StoreError::Newer(2)));
    assert!(error.to_string().contains("format 2"), "{error}");
    let rows = |bytes: Vec<u8>| {
        let engine = Engine::open(Arc::new(Memory::with(bytes)), 1 << 20, false).unwrap();
        let mut rows = Vec::new();
        let view = engine.view().unwrap();
        view.scan(&[0], &[u8::MAX], |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Flow::Continue(())
        })
        .unwrap();
        rows
    };
    assert_eq!(rows(memory.bytes()), rows(before));
}

#[test]
fn other_partitions_are_no_store_of_this_program() {
    let key = row::meta("format");
    let value = row::seal(&key, |out| {
        for number in [FORMAT.into(), 128, 2] {
            row::put_number(out, number);
        }
    });
    let memory = backend(vec![(key, Some(value))]);
    let error = Store::over(memory, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("partitions"), "{error}");
}
