//! Records and frames byte by byte. How sessions come back is in `broker/tests/records.rs`.

use super::*;
use crate::codec::subscribe::{RetainHandling, SubscriptionOptions};
use crate::codec::{Properties, PropertiesBuf, PropertyId, QoS, Value};
use crate::message::{Message, Origin, Parts};
use crate::seeded::Seeded;
use crate::time::{Clock, Time, UnixMs};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

const NOW: Clock = Clock::at(Time(5_000), UnixMs(1_800_000_000_000));

const OWNER: Owner = Owner {
    node: NodeId(1),
    epoch: Epoch(7),
};

/// What this version writes. Once released, a golden file never changes: a new version gets one of
/// its own, and the old one must still be read. `TERNMQ_WRITE_GOLDEN=1` writes one that is missing.
const GOLDEN: &str = "golden/records-v1.bin";

/// Messages by their places, both ways.
#[derive(Default)]
struct Log {
    places: BTreeMap<usize, LogPos>,
    messages: BTreeMap<LogPos, Message>,
}

impl Log {
    fn place(&mut self, message: &Message) -> LogPos {
        let seq = self.messages.len() as u64;
        let partition = topic_partition(message.topic());
        let entry = self.places.entry(message.identity());
        let at = *entry.or_insert(LogPos { partition, seq });
        self.messages.insert(at, message.clone());
        at
    }

    fn encode(&mut self, record: &SessionRecord) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.encode(|message| self.place(message), &mut bytes);
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Result<SessionRecord, RecordError> {
        SessionRecord::decode(bytes, |at| self.messages.get(&at).cloned())
    }
}

fn message(topic: &str, payload: &[u8], qos: QoS, expires: Time) -> Message {
    let mut properties = PropertiesBuf::default();
    let value = Value::Utf8StringPair("k", "v");
    properties.push(PropertyId::UserProperty, value).unwrap();
    Message::from_parts(Parts {
        topic,
        payload,
        qos,
        retain: payload.is_empty(),
        properties: properties.get(),
        expires,
        arrived: Time(1_000),
        origin: Origin(3 << 48 | 1),
    })
    .unwrap()
}

fn copy(message: &Message, qos: QoS, ids: &[u32]) -> CopyRecord {
    CopyRecord {
        message: message.clone(),
        qos,
        retain: ids.len() == 1,
        ids: ids.into(),
        shared: (ids.len() > 1).then_some(1),
        left: None,
    }
}

/// A session in which every field is used.
fn full() -> SessionRecord {
    let one = message("a/b/c", b"first", QoS::ExactlyOnce, Time::NEVER);
    let two = message("a/b/d", b"", QoS::AtLeastOnce, Time(65_000));
    let mut record = SessionRecord::new("anna", OWNER, Rev(300));
    record.home = 2;
    record.expiry = u32::MAX - 1;
    record.ends_at = Some(UnixMs(1_800_000_003_600));
    record.subscriptions = vec![
        SubscriptionRecord {
            filter: "a/+/#".into(),
            options: SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
            },
            identifier: NonZeroU32::new(268_435_455),
            replay: Some("a\0b".into()),
            replay_until: None,
            since: 0,
        },
        SubscriptionRecord {
            filter: "$share/g/a".into(),
            options: SubscriptionOptions::default(),
            identifier: None,
            replay: Some("".into()),
            replay_until: None,
            since: 0,
        },
    ];
    record.will = Some(WillRecord {
        topic: "gone/anna".into(),
        payload: (*b"\0bye").into(),
        properties: one.properties().into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay: 30,
        due: UnixMs(1_800_000_030_000),
    });
    record.in_flight = vec![
        InFlightRecord {
            packet_id: 65_535,
            copy: Some(copy(&one, QoS::ExactlyOnce, &[7])),
        },
        InFlightRecord {
            packet_id: 1,
            copy: Some(copy(&two, QoS::AtLeastOnce, &[])),
        },
        InFlightRecord {
            packet_id: 2,
            copy: None,
        },
    ];
    record.received = vec![1, 128, 65_535];
    record.queue = vec![
        copy(&one, QoS::AtLeastOnce, &[1, 128, 70_000]),
        copy(&two, QoS::AtMostOnce, &[]),
    ];
    record.last_packet_id = 2;
    record
}

fn delayed() -> DelayedRecord {
    DelayedRecord {
        message: message("later/on", b"then", QoS::AtLeastOnce, Time::NEVER),
        due: UnixMs(1_800_000_500_000),
        home: 1,
    }
}

/// All kinds of frames, as a store has them.
fn store() -> Vec<u8> {
    let (mut log, mut bytes, mut body) = (Log::default(), Vec::new(), Vec::new());
    let written = NOW.utc_now();
    let owner = OWNER;
    Start { owner, written }.encode(&mut body);
    assert!(Frame::start(&body).write(&mut bytes));
    let session = log.encode(&full());
    for (at, message) in &log.messages {
        body.clear();
        encode_message(message, NOW, &mut body);
        assert!(Frame::message(*at, &body).write(&mut bytes));
    }
    let key = SessKey::new("", "anna");
    assert!(Frame::session(key, &session).write(&mut bytes));
    body.clear();
    let retained = message("state/door", b"open", QoS::AtMostOnce, Time(9_000));
    encode_message(&retained, NOW, &mut body);
    assert!(Frame::retained("state/door", &body).write(&mut bytes));
    body.clear();
    delayed().encode(NOW, &mut body);
    assert!(Frame::delayed("later/on", 0, &body).write(&mut bytes));
    assert!(Frame::end(6).write(&mut bytes));
    bytes
}

/// What a reader makes of bytes: the records it found, and how often it had to look for the next.
fn read(mut bytes: &[u8]) -> (Vec<String>, usize) {
    let (mut log, mut found, mut damaged) = (Log::default(), Vec::new(), 0);
    while !bytes.is_empty() {
        let (frame, len) = match Frame::split(bytes) {
            Found::Whole(frame, len) => (frame, len),
            Found::Needs(_) | Found::Damaged(_) => {
                damaged += 1;
                bytes = &bytes[next_marker(bytes)..];
                continue;
            }
        };
        bytes = &bytes[len..];
        let text = match frame.kind {
            FrameKind::Start => format!("{:?}", Start::decode(frame.body)),
            FrameKind::Message => {
                let message = decode_message(frame.body, NOW).unwrap();
                let text = show(&message);
                log.messages.insert(frame.position(), message);
                text
            }
            FrameKind::Session => format!("{:?}", log.decode(frame.body)),
            FrameKind::Retained => show(&decode_message(frame.body, NOW).unwrap()),
            FrameKind::Delayed => {
                let DelayedRecord { message, due, home } =
                    DelayedRecord::decode(frame.body, NOW).unwrap();
                format!("{} {due:?} {home}", show(&message))
            }
            FrameKind::End => format!("{} before", frame.position().seq),
        };
        found.push(text);
    }
    (found, damaged)
}

fn show(message: &Message) -> String {
    let (payload, expires) = (message.payload(), message.expires());
    let properties = message.properties();
    format!(
        "{message:?} {payload:?} {expires:?} {properties:?} {:?}",
        message.origin()
    )
}

#[test]
fn every_field_comes_back() {
    let mut log = Log::default();
    let record = full();
    let bytes = log.encode(&record);
    let back = log.decode(&bytes).unwrap();
    assert_eq!(format!("{back:?}"), format!("{record:?}"));
    assert_eq!(log.messages.len(), 2, "each message has one place");
    let identities: Vec<usize> = back.messages().map(Message::identity).collect();
    assert_eq!(identities[0], identities[2], "and is one again");
    assert_eq!(log.encode(&back), bytes);
}

/// A session of a store with a log: what that adds, and copies by place and by value.
fn logged() -> SessionRecord {
    let mut record = full();
    (record.cursor, record.connected) = (300, true);
    record.ends_at = None;
    record.subscriptions[0].since = 129;
    let at = &record.queue[0].message;
    at.set_log_seq(127);
    record
}

#[test]
fn what_has_a_place_in_the_log_is_referred_to_and_the_rest_stands_in_the_record() {
    let record = logged();
    let mut bytes = Vec::new();
    record.encode_whole(NOW, &mut bytes);
    let placed = record.queue[0].message.clone();
    let mut asked = Vec::new();
    let find = |at: LogPos| {
        asked.push(at);
        (at.seq == 127).then(|| placed.clone())
    };
    let back = SessionRecord::decode_whole(&bytes, NOW, find).unwrap();
    let seq = 127;
    let partition = topic_partition("a/b/c");
    assert_eq!(asked, [LogPos { partition, seq }; 2]);
    assert_eq!((back.cursor, back.connected, back.lost), (300, true, 0));
    assert_eq!(back.subscriptions, record.subscriptions);
    let seqs: Vec<u64> = back.messages().map(Message::log_seq).collect();
    assert_eq!(seqs, [127, 0, 127, 0]);
    assert!(
        back.messages()
            .zip(record.messages())
            .all(|(a, b)| show(a) == show(b))
    );
    // Where nobody looks for messages by value, one is no session to be taken for whole.
    assert!(SessionRecord::decode(&bytes, |_| None).is_err());
    let mut again = Vec::new();
    back.encode_whole(NOW, &mut again);
    assert_eq!(again, bytes);
    for subscription in &record.subscriptions {
        let mut row = Vec::new();
        subscription.write(&mut row);
        assert_eq!(SubscriptionRecord::read(&row).as_ref(), Ok(subscription));
        for len in 0..row.len() {
            let _ = SubscriptionRecord::read(&row[..len]);
        }
    }
}

#[test]
fn records_of_this_version_are_what_they_were() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/broker/record")
        .join(GOLDEN);
    if std::env::var_os("TERNMQ_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, store()).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(store(), golden, "written as before");
    let (found, damaged) = read(&golden);
    assert_eq!((found.len(), damaged), (7, 0));
    assert!(found[3].contains("lost: 0"), "{}", found[3]);
}

#[test]
fn unknown_fields_are_kept_and_a_newer_version_is_refused() {
    let mut log = Log::default();
    let mut bytes = log.encode(&full());
    let known = bytes.len();
    // From a newer program, one of them in front.
    bytes.extend_from_slice(&[200, 3, 1, 2, 3, 201, 0]);
    bytes.splice(1..1, [99, 1, 0]);
    let record = log.decode(&bytes).unwrap();
    assert_eq!(*record.unknown, [99, 1, 0, 200, 3, 1, 2, 3, 201, 0]);
    let again = log.encode(&record);
    assert_eq!(again.len(), known + 10);
    assert_eq!(log.decode(&again).unwrap().unknown, record.unknown);
    bytes[0] = RECORD_VERSION + 1;
    let newer = RecordError::Newer(RECORD_VERSION + 1);
    assert_eq!(log.decode(&bytes).unwrap_err(), newer);
    assert_eq!(decode_message(&bytes, NOW).unwrap_err(), newer);
    assert_eq!(Start::decode(&bytes).unwrap_err(), newer);
    assert!(log.decode(&[]).is_err() && log.decode(&[0]).is_err());
}

#[test]
fn copies_without_their_message_are_left_out_and_counted() {
    let mut log = Log::default();
    let bytes = log.encode(&full());
    let record = Log::default().decode(&bytes).unwrap();
    assert_eq!((record.lost, record.queue.len()), (4, 0));
    assert_eq!(record.in_flight.len(), 1, "PUBREL needs no message");
}

#[test]
fn what_no_writer_writes_is_refused() {
    let breaks: [fn(&mut SessionRecord); 5] = [
        |record| record.client_id = "".into(),
        |record| record.subscriptions[0].filter = "a/#/b".into(),
        |record| record.in_flight[1].packet_id = 65_535,
        |record| record.in_flight[0].packet_id = 0,
        |record| record.received = vec![7, 7],
    ];
    for change in breaks {
        let mut record = full();
        change(&mut record);
        let mut log = Log::default();
        let bytes = log.encode(&record);
        assert!(log.decode(&bytes).is_err(), "{record:?}");
    }
}

#[test]
fn a_cut_or_a_flipped_bit_is_found_and_costs_one_frame() {
    let whole = store();
    let (all, _) = read(&whole);
    for len in 0..whole.len() {
        let (found, damaged) = read(&whole[..len]);
        assert!(found.len() < all.len() && all.starts_with(&found), "{len}");
        assert!(damaged <= 1 + len / MARKER.len());
    }
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (found, damaged) = read(&bytes);
        assert!(damaged >= 1, "bit {bit} goes unnoticed");
        let lost = all.iter().filter(|text| !found.contains(text)).count();
        // A session whose message is damaged is another session.
        assert!(lost <= 2 && found.len() == all.len() - 1, "bit {bit}");
    }
}

#[test]
fn the_records_themselves_stand_any_bytes() {
    let mut log = Log::default();
    let session = log.encode(&full());
    let mut message = Vec::new();
    let first = log.messages.values().next().unwrap();
    encode_message(first, NOW, &mut message);
    let mut start = Vec::new();
    let (owner, written) = (OWNER, UnixMs(3));
    Start { owner, written }.encode(&mut start);
    let mut seeded = Seeded::new(11);
    let mut whole = Vec::new();
    logged().encode_whole(NOW, &mut whole);
    for record in [&session, &message, &start, &whole] {
        for len in 0..record.len() {
            let _ = (
                log.decode(&record[..len]),
                decode_message(&record[..len], NOW),
                Start::decode(&record[..len]),
            );
        }
        for _ in 0..20_000 {
            let mut bytes = record.clone();
            for _ in 0..=seeded.below(3) {
                let at = seeded.below(bytes.len());
                bytes[at] = seeded.next() as u8;
            }
            if let Ok(read) = log.decode(&bytes) {
                let mut log = Log::default();
                let once = log.encode(&read);
                assert_eq!(log.encode(&log.decode(&once).unwrap()), once);
            }
            if let Ok(read) = decode_message(&bytes, NOW) {
                let mut once = Vec::new();
                encode_message(&read, NOW, &mut once);
                assert_eq!(show(&decode_message(&once, NOW).unwrap()), show(&read));
            }
            let _ = Start::decode(&bytes);
            let _ = SubscriptionRecord::read(&bytes);
            let find = |_| Some(first.clone());
            if let Ok(read) = SessionRecord::decode_whole(&bytes, NOW, find) {
                let mut once = Vec::new();
                read.encode_whole(NOW, &mut once);
                assert!(SessionRecord::decode_whole(&once, NOW, find).is_ok());
            }
        }
    }
}

#[test]
fn a_message_that_is_longer_than_a_length_of_one_byte_comes_back() {
    for len in [0, 127, 128, 16_383, 16_384, 3 << 20] {
        let long = message("t", &vec![9; len], QoS::AtLeastOnce, Time::NEVER);
        let mut bytes = Vec::new();
        encode_message(&long, NOW, &mut bytes);
        assert_eq!(decode_message(&bytes, NOW).unwrap().payload().len(), len);
    }
    let plain = Message::new("t", b"", QoS::AtMostOnce, false, Properties::EMPTY, Time(0));
    let mut bytes = Vec::new();
    encode_message(&plain.unwrap(), NOW, &mut bytes);
    assert_eq!(
        bytes,
        [RECORD_VERSION, 1, 1, b't'],
        "nothing for what is absent"
    );
}

#[test]
fn age_counts_from_the_reading_and_of_a_delayed_message_from_its_time() {
    let one = message("a", b"x", QoS::AtLeastOnce, Time::NEVER);
    assert_eq!(one.age(NOW.now()), 4_000);
    let mut bytes = Vec::new();
    encode_message(&one, NOW, &mut bytes);
    let read = decode_message(&bytes, NOW).unwrap();
    assert_eq!(read.age(NOW.now().after(7)), 7);
    let now = NOW.now().0;
    // Due later, and due while nothing ran.
    for (due, from) in [(10_000, now + 10_000), (-10_000, now)] {
        let mut bytes = Vec::new();
        let due = UnixMs(NOW.utc_now().0.strict_add_signed(due));
        let (message, home) = (one.clone(), 0);
        DelayedRecord { message, due, home }.encode(NOW, &mut bytes);
        let read = DelayedRecord::decode(&bytes, NOW).unwrap();
        assert_eq!(read.message.age(Time(from + 5)), 5);
    }
}

#[test]
fn a_retained_message_keeps_its_place_and_one_of_an_older_program_has_none() {
    let clock = Clock::at(Time(0), UnixMs(5));
    let message = message("r", b"x", QoS::ExactlyOnce, Time::NEVER);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    encode_message(&message, clock, &mut old);
    encode_retained(&message, 300, clock, &mut new);
    // What is on disks, for good.
    assert_eq!(new, [&old[..], &[9, 2, 0xAC, 0x02]].concat());
    let place = |bytes: &[u8]| decode_retained(bytes, clock).map(|found| found.log_seq());
    assert_eq!((place(&old), place(&new)), (Ok(0), Ok(300)));
    let older = decode_message(&new, clock).unwrap();
    assert_eq!((older.payload(), older.log_seq()), (&b"x"[..], 0));
    let mut none = Vec::new();
    encode_retained(&message, 0, clock, &mut none);
    assert_eq!(none, old);
    new[0] += 1;
    assert_eq!(place(&new), Err(RecordError::Newer(RECORD_VERSION + 1)));
    new.truncate(new.len() - 1);
    new[0] -= 1;
    assert!(matches!(place(&new), Err(RecordError::Damaged(_))));
}

#[test]
fn a_subscription_keeps_behind_which_place_its_retained_messages_come_from_the_log() {
    for until in [None, Some(0), Some(300)] {
        let mut record = full().subscriptions.remove(0);
        record.replay_until = until;
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        assert_eq!(SubscriptionRecord::read(&bytes), Ok(record));
    }
}
