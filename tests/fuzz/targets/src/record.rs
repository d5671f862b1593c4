use crate::choice;
use std::collections::BTreeMap;
use ternmq_protocol::broker::record::{
    DelayedRecord, FRAME_HEAD, Found, Frame, FrameKind, LogPos, SessionRecord, Start,
    decode_message, encode_message, next_marker, topic_partition,
};
use ternmq_protocol::time::{Clock, Time, UnixMs};
use ternmq_protocol::{Message, broker};

const CLOCK: Clock = Clock::at(Time(1 << 40), UnixMs(1_800_000_000_000));

/// A store of any bytes: reading comes to its end, and what was read can be written and reads as the
/// same again; a session that was read is one that a shard takes.
///
/// With a first byte that is odd the rest is a store of frames, else the record of one session.
pub fn record(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else {
        return;
    };
    let mut messages = BTreeMap::new();
    if kind % 2 == 0 {
        return session(bytes, &messages);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        match Frame::split(rest) {
            Found::Whole(frame, len) => {
                let mut again = Vec::new();
                assert!(frame.write(&mut again));
                // The byte that is always 0 is the one that a writer does not choose.
                assert!(again.len() == len && again[..5] == rest[..5]);
                body(frame, &mut messages);
                rest = &rest[len..];
            }
            Found::Needs(len) => {
                assert!(len > rest.len() || len == FRAME_HEAD);
                rest = &rest[next_marker(rest)..];
            }
            Found::Damaged(_) => rest = &rest[next_marker(rest)..],
        }
    }
}

fn body(frame: Frame<'_>, messages: &mut BTreeMap<LogPos, Message>) {
    match frame.kind {
        FrameKind::Start => {
            if let Ok(start) = Start::decode(frame.body) {
                let mut bytes = Vec::new();
                start.encode(&mut bytes);
                assert_eq!(Start::decode(&bytes), Ok(start));
            }
        }
        FrameKind::Message | FrameKind::Retained => {
            if let Ok(message) = decode_message(frame.body, CLOCK) {
                let mut bytes = Vec::new();
                encode_message(&message, CLOCK, &mut bytes);
                let again = decode_message(&bytes, CLOCK).expect("what was just written");
                assert_eq!(again.payload(), message.payload());
                assert_eq!(again.topic(), message.topic());
                messages.insert(frame.position(), message);
            }
        }
        FrameKind::Delayed => {
            if let Ok(delayed) = DelayedRecord::decode(frame.body, CLOCK) {
                let mut bytes = Vec::new();
                delayed.encode(CLOCK, &mut bytes);
                let again = DelayedRecord::decode(&bytes, CLOCK).expect("what was just written");
                assert_eq!((again.due, again.home), (delayed.due, delayed.home));
            }
        }
        FrameKind::Session => session(frame.body, messages),
        FrameKind::End => {}
    }
}

fn session(bytes: &[u8], messages: &BTreeMap<LogPos, Message>) {
    let read = |bytes: &[u8]| SessionRecord::decode(bytes, |at| messages.get(&at).cloned());
    let Ok(record) = read(bytes) else {
        return;
    };
    let write = |record: &SessionRecord| {
        let mut bytes = Vec::new();
        let place = |message: &Message| {
            let found = messages
                .iter()
                .find(|(_, known)| known.identity() == message.identity());
            found.map_or(
                LogPos {
                    partition: topic_partition(message.topic()),
                    seq: u64::MAX,
                },
                |(at, _)| *at,
            )
        };
        record.encode(place, &mut bytes);
        bytes
    };
    let once = write(&record);
    let again = read(&once).expect("what was just written");
    assert_eq!(write(&again), once);
    let mut shard = broker::Shard::new(broker::ShardConfig::default());
    let mut out = broker::Out::default();
    let id = record.client_id.clone();
    assert_eq!(
        shard.restore(record, CLOCK, &mut out),
        broker::record::Restored::Taken
    );
    let mut back = Vec::new();
    assert_eq!(shard.export(0, 1, CLOCK, &mut back), None);
    assert!(shard.has_session(&id) && back.len() <= 1);
    shard.handle_timeout(CLOCK.now(), &mut out);
    let stats = shard.stats();
    let accounted = stats.sent() + stats.queued + stats.dropped.total();
    assert_eq!(stats.copies(), accounted, "{stats:?}");
}
